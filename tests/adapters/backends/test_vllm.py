"""A vLLM server: registered is not resident, and unloaded is not gone."""

import httpx
import numpy as np
import pytest

from banditroute.adapters import AdapterSpec, Capability, Tier, VLLMBackend
from banditroute.errors import AdapterIncompatibleError, AdapterNotFoundError


def adapter(name):
    return AdapterSpec(name=name, path=f"adapters/{name}")


@pytest.fixture
def backend(vllm, served):
    return VLLMBackend(base_url=served(vllm), max_loras=2, max_cpu_loras=4)


def test_keeps_no_adapter_for_us(backend):
    assert Capability.PIN not in backend.capabilities
    backend.load(AdapterSpec(name="a", path="adapters/a", pinned=True))
    for name in "bcd":
        backend.load(adapter(name))
    assert backend.resident()["a"] is Tier.RAM


def test_ram_holds_by_default_what_the_slots_hold(vllm, served):
    backend = VLLMBackend(base_url=served(vllm), max_loras=2)
    for name in "abc":
        backend.load(adapter(name))
    assert backend.resident() == {"b": Tier.GPU, "c": Tier.GPU}


@pytest.mark.parametrize("seed", range(3))
def test_rule_gives_the_tiers_where_the_server_has_no_metric(backend, vllm, seed):
    """Each load is followed by a request, as the cache does."""
    rng = np.random.default_rng(seed)
    for name in rng.choice(list("abcdefgh"), size=40):
        result = backend.load(adapter(str(name)))
        before = dict(vllm.truth())
        vllm.answer("POST /v1/completions", {"model": str(name)})
        assert vllm.truth()[str(name)] == "gpu"
        if result.seconds is None:
            assert before.get(name, "disk") == result.source.value
        assert backend.resident() == vllm.truth()
    assert set(vllm.registered()) == set("abcdefgh")


@pytest.mark.parametrize("frees", [False, True])
def test_metric_gives_the_tiers_after_any_sequence_of_calls(backend, vllm, frees):
    """Loads, unloads and requests of ours and of others, in any order."""
    vllm.frees, vllm.has_metric = frees, True
    rng = np.random.default_rng(0)
    for _ in range(60):
        name, kind = str(rng.choice(list("abcdef"))), rng.integers(5)
        if kind < 2:
            backend.load(adapter(name))
            vllm.answer("POST /v1/completions", {"model": name})
        elif kind == 2:
            gone = backend.unload(name)
            assert gone is (name not in vllm.truth())
        elif kind == 3:
            vllm.answer("POST /v1/load_lora_adapter", {"lora_name": name, "lora_path": f"adapters/{name}"})
        else:
            vllm.answer("POST /v1/completions", {"model": name})
        assert backend.resident() == vllm.truth()


@pytest.mark.parametrize("name", ["law", "v1.2/x", 'quote"d', "back\\slash", "new\nline", "a} 0 {b"])
def test_the_metric_corrects_the_estimate(backend, vllm, ask, name):
    vllm.files["adapters/" + name] = 8
    vllm.has_metric = True
    backend.load(adapter(name))
    for other in "bc":  # by somebody else
        vllm.answer("POST /v1/load_lora_adapter", {"lora_name": other, "lora_path": f"adapters/{other}"})
    assert ask(backend, "resident") == {name: Tier.RAM, "b": Tier.GPU, "c": Tier.GPU} == vllm.truth()
    result = backend.load(adapter(name))
    assert (result.source, result.seconds, result.evicted) == (Tier.RAM, None, ("b",))


def test_older_metric_corrects_the_adapters_that_serve_now(backend, vllm, ask):
    """It names those with requests in flight; the value of a sample is its time, and the latest counts."""
    for name in "abc":
        backend.load(adapter(name))
    vllm.failures = {
        "GET /metrics": (
            200,
            'vllm:lora_requests_info{max_lora="2",running_lora_adapters="c",waiting_lora_adapters=""} 1.7e9\n'
            'vllm:lora_requests_info{max_lora="2",running_lora_adapters="a",waiting_lora_adapters="b"} 1.8e9\n',
        )
    }
    assert ask(backend, "resident") == {"a": Tier.GPU, "b": Tier.RAM, "c": Tier.GPU}


def test_hostile_metrics_are_read_in_linear_time(backend, vllm, ask):
    backend.load(adapter("a"))
    lines = ['vllm:lora_adapter_loaded{level="gpu",adapter_name="' + "\\" * 200_000 + '"} 1']
    lines += ["vllm:lora_adapter_loaded{" + 'a="' * 20_000 + "} 1"]
    lines += ['vllm:lora_adapter_loaded{level="gpu",adapter_name="a"} nonsense']
    vllm.failures = {"GET /metrics": (200, "\n".join(lines))}
    assert ask(backend, "resident") == {}


def test_adapter_that_another_client_registered_is_in_an_unknown_tier(backend, vllm, ask):
    vllm.answer("POST /v1/load_lora_adapter", {"lora_name": "a", "lora_path": "adapters/a"})
    assert ask(backend, "resident") == {"a": Tier.UNKNOWN}


class TestUnloading:
    @pytest.mark.parametrize("frees", [False, True])
    def test_unloading_without_the_metric_is_not_certain(self, backend, vllm, ask, frees):
        vllm.frees = frees
        backend.load(adapter("a"))
        assert ask(backend, "unload", "a") is False
        assert vllm.registered() == {}
        assert ("a" in vllm.truth()) is not frees
        assert ask(backend, "resident") == {"a": Tier.UNKNOWN}

    @pytest.mark.parametrize("frees", [False, True])
    def test_unloading_with_the_metric_is_certain(self, backend, vllm, ask, frees):
        vllm.frees, vllm.has_metric = frees, True
        backend.load(adapter("a"))
        assert ask(backend, "unload", "a") is frees
        assert ask(backend, "resident") == vllm.truth() == ({} if frees else {"a": Tier.GPU})

    def test_unloading_an_absent_adapter_succeeds(self, backend, ask):
        assert ask(backend, "unload", "a") is True

    def test_loading_after_unload_loads_from_disk(self, backend, vllm, ask):
        backend.load(adapter("a"))
        backend.unload("a")
        assert ask(backend, "load", adapter("a")).source is Tier.DISK
        assert backend.resident() == {"a": Tier.GPU}


class TestAnswers:
    def test_answers_of_older_releases_are_understood(self, backend, vllm, ask):
        """They wrap no message, and refuse with 400 what newer ones refuse with 500."""
        already = {"object": "error", "message": "The lora adapter 'a' has already been loaded.", "code": 400}
        vllm.failures = {"POST /v1/load_lora_adapter": (400, already)}
        assert ask(backend, "load", adapter("a")).was_resident
        refused = {"object": "error", "message": "LoRA rank 64 is greater than max_lora_rank 16.", "code": 400}
        vllm.failures = {"POST /v1/load_lora_adapter": (400, refused)}
        with pytest.raises(AdapterIncompatibleError, match="refuses adapter 'b': LoRA rank 64 is greater"):
            ask(backend, "load", adapter("b"))

    def test_about_a_path_with_unlucky_words_are_not_mistaken(self, backend, ask):
        spec = AdapterSpec(name="b", path="adapters/already loaded/unload some")
        with pytest.raises(AdapterNotFoundError, match="finds no adapter 'b'"):
            ask(backend, "load", spec)

    def test_broken_metrics_are_ignored(self, backend, vllm, ask):
        backend.load(adapter("a"))
        lines = [
            "vllm:lora_adapter_loaded 3",
            'vllm:lora_adapter_loaded{level="moon"} 1',
            "vllm:lora_adapter_loaded{} 1",
        ]
        vllm.failures = {"GET /metrics": (200, "\n".join(lines))}
        assert ask(backend, "resident") == {}


def test_the_fake_refuses_an_unknown_model(vllm, served):
    assert httpx.post(f"{served(vllm)}/v1/completions", json={"model": "a"}).status_code == 404
