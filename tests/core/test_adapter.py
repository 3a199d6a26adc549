"""What an adapter's files say of it, unread."""

import json
import math
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from banditroute.adapters import AdapterSpec
from banditroute.errors import AdapterIncompatibleError, AdapterNotFoundError, InvalidConfigurationError


@pytest.fixture
def folder(tmp_path):
    """Rank 4 on q and 2 on k, of 16 inputs and 8 outputs, in half precision."""
    config = {"peft_type": "LORA", "base_model_name_or_path": "tiny"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    weights = {}
    for name, rank in {"q": 4, "k": 2}.items():
        weights[f"base_model.model.{name}.lora_A.weight"] = np.ones((rank, 16), np.float16)
        weights[f"base_model.model.{name}.lora_B.weight"] = np.ones((8, rank), np.float16)
    save_file(weights, tmp_path / "adapter_model.safetensors")
    return tmp_path


def test_size_rank_and_modules_are_those_of_the_weights(folder):
    assert AdapterSpec.read(folder, name="law", pinned=True) == AdapterSpec(
        name="law",
        path=str(folder),
        size_bytes=2 * (4 + 2) * (16 + 8),
        rank=4,
        modules=2,
        base_model="tiny",
        pinned=True,
    )


def test_no_weight_is_loaded(folder, monkeypatch):
    def loaded(*args, **kwargs):
        raise AssertionError("a weight was loaded")

    monkeypatch.setattr(np, "frombuffer", loaded)
    assert AdapterSpec.read(str(folder), name="law").rank == 4


@pytest.mark.parametrize("model", [None, ""])
def test_the_base_model_may_be_unknown(folder, model):
    config = {"peft_type": "LORA", "base_model_name_or_path": model}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    assert AdapterSpec.read(folder, name="law").base_model is None


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(folder, file):
    (folder / file).unlink()
    with pytest.raises(AdapterNotFoundError, match=rf"'law' has no {file} in .*save_pretrained"):
        AdapterSpec.read(folder, name="law")


def test_a_file_is_no_folder(folder):
    with pytest.raises(AdapterNotFoundError, match=r"has no adapter_config\.json"):
        AdapterSpec.read(folder / "adapter_model.safetensors", name="law")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "3", "null", "\x00"])
def test_a_configuration_that_is_no_object_is_refused(folder, text):
    (folder / "adapter_config.json").write_text(text)
    with pytest.raises(AdapterIncompatibleError, match=r"adapter_config.json of adapter 'law' cannot be read"):
        AdapterSpec.read(folder, name="law")


def test_another_kind_of_adapter_is_refused(folder):
    (folder / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    with pytest.raises(AdapterIncompatibleError, match="is of type 'IA3'; give a LoRA adapter"):
        AdapterSpec.read(folder, name="law")


def test_every_cut_is_found(folder):
    weights = folder / "adapter_model.safetensors"
    whole = weights.read_bytes()
    for length in range(0, len(whole), 7):
        weights.write_bytes(whole[:length])
        with pytest.raises(AdapterIncompatibleError, match="copy or save it again"):
            AdapterSpec.read(folder, name="law")


def test_a_header_that_claims_too_much_is_refused(folder):
    (folder / "adapter_model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(AdapterIncompatibleError, match="cannot be read"):
        AdapterSpec.read(folder, name="law")


@pytest.mark.parametrize("weight", [np.ones((2, 2), np.int64), np.ones((), np.float32)])
def test_numbers_that_no_adapter_holds_are_refused(folder, weight):
    save_file({"q.lora_A.weight": weight}, folder / "adapter_model.safetensors")
    with pytest.raises(AdapterIncompatibleError, match="cannot be read"):
        AdapterSpec.read(folder, name="law")


def test_weights_without_lora_are_refused(folder):
    save_file({"q.weight": np.ones((2, 2), np.float32)}, folder / "adapter_model.safetensors")
    with pytest.raises(AdapterIncompatibleError, match="holds no LoRA weights"):
        AdapterSpec.read(folder, name="law")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": ""}, r"AdapterSpec\(name=...\) has 0 characters"),
        ({"name": None}, r"AdapterSpec\(name=...\) is None"),
        ({"path": ""}, "path of adapter 'law' is ''; give a non-empty string"),
        ({"path": "a\x00b"}, "path of adapter 'law'"),
        ({"path": 3}, "path of adapter 'law' is 3"),
        ({"base_model": ""}, "base_model of adapter 'law' has 0 characters"),
        ({"pinned": 1}, "pinned of adapter 'law' is 1 .int.; give True or False"),
        *(
            ({name: value}, f"{name} of adapter 'law' is {value!r}; give a whole number of at least 1")
            for name in ("size_bytes", "rank", "modules")
            for value in (0, -1, True, 2.0, math.nan, "4")
        ),
    ],
)
def test_bad_adapter_settings_are_refused(given, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        AdapterSpec(**{"name": "law", "path": "law"} | given)


class TestFilesThatLie:
    """Reading ends in time and in little memory, with a declared error."""

    def refused(self, folder, message):
        with pytest.raises(AdapterIncompatibleError, match=message):
            AdapterSpec.read(folder, name="law")

    @pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
    def test_pipe_is_refused(self, folder, file):
        (folder / file).unlink()
        os.mkfifo(folder / file)
        self.refused(folder, f"{file} of adapter 'law' cannot be read .*not a regular file")

    @pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
    @pytest.mark.parametrize("target", ["/dev/zero", "/"])
    def test_link_to_a_device_or_folder_is_refused(self, folder, file, target):
        (folder / file).unlink()
        (folder / file).symlink_to(target)
        self.refused(folder, f"{file} of adapter 'law' cannot be read .*not a regular file")

    def test_link_to_a_file_is_followed(self, folder, tmp_path_factory):
        elsewhere = tmp_path_factory.mktemp("elsewhere") / "weights"
        (folder / "adapter_model.safetensors").rename(elsewhere)
        (folder / "adapter_model.safetensors").symlink_to(elsewhere)
        assert AdapterSpec.read(folder, name="law").rank == 4

    def test_configuration_that_is_too_large_is_refused(self, folder):
        (folder / "adapter_config.json").write_bytes(b" " * (8 * 2**20 + 1))
        self.refused(folder, "it has more than 8388608 bytes")

    @pytest.mark.parametrize("text", [b'{"a":' * 100_000, b"[1]", b"5", b"", b"\xff", b"nan"])
    def test_configuration_that_is_not_an_object_is_refused(self, folder, text):
        (folder / "adapter_config.json").write_bytes(text)
        self.refused(folder, "adapter_config.json of adapter 'law' cannot be read")

    @pytest.mark.parametrize("initialisation", ["pissa", "pissa_niter_16", "olora", "corda", "loftq", ["list"], 7])
    def test_initialisation_that_changes_the_base_model_is_refused(self, folder, initialisation):
        config = {"peft_type": "LORA", "init_lora_weights": initialisation}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        self.refused(folder, "which changes the base model; save it as plain LoRA")
