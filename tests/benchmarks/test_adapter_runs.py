"""The runs of real adapters: which figures they report, and what the server in place of vLLM answers."""

import json

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("peft")
from benchmarks import adapter_runs
from benchmarks.lora_server import LoraServer, serving

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]


def test_oracle_is_right_and_the_base_model_is_not(tmp_path):
    out = tmp_path / "out.json"
    options = ["--seeds", "1", "--adapters", "3", "--slots", "1", "--requests", "24", "--json", str(out)]
    result = CliRunner().invoke(adapter_runs.main, options, catch_exceptions=False)
    assert result.exit_code == 0
    rows = {(row["case"], row["policy"], row["metric"]): row["mean"] for row in json.loads(out.read_text())["rows"]}
    assert {(case, policy) for case, policy, _ in rows} == {
        (case, policy) for case in ("peft", "servers") for policy in adapter_runs.POLICIES
    }
    for case in ("peft", "servers"):
        assert rows[case, "oracle", "quality"] > 0.9 > rows[case, "always_base", "quality"]
        assert rows[case, "always_base", "loads"] == 0.0
        assert rows[case, "oracle", "tokens"] == 24 * 4
    assert rows["peft", "random", "quality"] == rows["servers", "random", "quality"]  # the same choices and answers


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    ciphers = adapter_runs.EXAMPLE["make_ciphers"](2)
    base, specs = adapter_runs.EXAMPLE["train"](tmp_path_factory.mktemp("adapters"), ciphers)
    return base, specs, ciphers


def test_server_answers_as_vllm_does(trained):
    base, specs, ciphers = trained
    server = LoraServer(base, slots=1, max_rank=8)
    with serving(server) as url, httpx.Client(base_url=url) as http:
        ask = {"model": "cipher-0", "messages": [{"role": "user", "content": "3 4"}]}
        assert http.post("/v1/chat/completions", json=ask).status_code == 404
        for spec in specs:
            loaded = {"lora_name": spec.name, "lora_path": spec.path}
            assert http.post("/v1/load_lora_adapter", json=loaded).status_code == 200
        assert [card["id"] for card in http.get("/v1/models").json()["data"]] == ["base", "cipher-0", "cipher-1"]
        said = http.post("/v1/chat/completions", json=ask).json()["choices"][0]["message"]["content"]
        assert said == " ".join(map(str, np.asarray(ciphers[0])[[3, 4]]))
        assert server.loads == 3  # one slot: the second evicted the first, which came again
        assert http.post("/v1/load_lora_adapter", json=loaded).status_code == 400
        assert http.post("/v1/unload_lora_adapter", json={"lora_name": "cipher-0"}).status_code == 200
        assert http.post("/v1/chat/completions", json=ask).status_code == 404
        missing = {"lora_name": "x", "lora_path": "nowhere"}
        assert http.post("/v1/load_lora_adapter", json=missing).status_code == 404
