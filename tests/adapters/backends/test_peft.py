"""Adapters of a small transformers model: through its slots it computes what it computes with each adapter alone."""

import copy
import dataclasses
import json
import math
import shutil
import threading

import pytest

pytest.importorskip("peft")
import peft
import safetensors.torch
import torch
from safetensors.torch import load, save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from banditroute.adapters import AdapterSpec, Capacity, PeftBackend, Tier
from banditroute.errors import (
    AdapterBusyError,
    AdapterCapacityError,
    AdapterIncompatibleError,
    AdapterNotFoundError,
    InvalidConfigurationError,
    InvalidInputError,
)

pytestmark = [
    pytest.mark.torch,
    # of peft, when it wraps a model; the backend wraps none
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]

ADAPTERS = {
    "plain": {"r": 4},
    "wide": {"r": 8, "lora_alpha": 32, "use_rslora": True},
    "patterned": {"r": 2, "rank_pattern": {"up_proj": 6}, "alpha_pattern": {r"layers\.1\..*q_proj": 64}},
    "some.modules/v1.5": {"r": 3, "target_modules": ["q_proj", "down_proj"], "lora_dropout": 0.5},
}
IDS = torch.tensor([[1, 5, 3, 9], [2, 2, 7, 4], [8, 1, 1, 6], [3, 3, 3, 3]])


def made(hidden_size=32):
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=16,
        hidden_size=hidden_size,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
    )
    return Qwen2ForCausalLM(config).eval()


def save(model, folder, **settings):
    """A LoRA adapter of random weights, as peft saves it."""
    config = peft.LoraConfig(**{"init_lora_weights": False, "target_modules": "all-linear"} | settings)
    peft.get_peft_model(copy.deepcopy(model), config).save_pretrained(folder, save_embedding_layers=False)
    return AdapterSpec(name=folder.name, path=str(folder))


@pytest.fixture(scope="module")
def base():
    return made()


@pytest.fixture(scope="module")
def saved(base, tmp_path_factory):
    """Name -> spec, with names that no folder could have."""
    folder = tmp_path_factory.mktemp("adapters")
    for i, settings in enumerate(ADAPTERS.values()):
        save(base, folder / str(i), **settings)
    return {name: AdapterSpec.read(folder / str(i), name=name) for i, name in enumerate(ADAPTERS)}


@pytest.fixture(scope="module")
def expected(base, saved):
    """Name -> logits of the whole batch with peft's own way; None: of the base model."""
    with torch.no_grad():
        alone = {
            name: peft.PeftModel.from_pretrained(copy.deepcopy(base), spec.path).eval()(IDS).logits
            for name, spec in saved.items()
        }
        return alone | {None: base(IDS).logits}


@pytest.fixture
def model(base):
    return copy.deepcopy(base)


@pytest.fixture
def backend(model):
    return PeftBackend(model=model, slots=2, max_rank=8)


def difference(model, backend, names, expected):
    """The largest difference of any row from the row of its adapter alone."""
    with backend.serving(names):
        logits = model(IDS).logits
    return max(float((logits[i] - expected[name][i]).abs().max()) for i, name in enumerate(names))


class TestOutput:
    def test_the_adapters_of_the_tests_differ(self, expected):
        outputs = list(expected.values())
        for i, one in enumerate(outputs):
            for other in outputs[:i]:
                assert float((one - other).abs().max()) > 0.01

    @pytest.mark.parametrize("name", ADAPTERS)
    def test_is_that_of_the_adapter_alone(self, name, model, backend, saved, expected):
        backend.load(saved[name])
        assert difference(model, backend, [name] * 4, expected) < 1e-6

    def test_mixed_batch_gives_the_output_of_each_adapter_alone(self, model, backend, saved, expected):
        for name in ["plain", "wide", "patterned"]:
            backend.load(saved[name])
        assert difference(model, backend, ["wide", None, "patterned", "plain"], expected) < 1e-6

    def test_outside_of_serving_is_that_of_the_base_model(self, model, backend, saved, expected):
        backend.load(saved["wide"])
        assert torch.equal(model(IDS).logits, expected[None])

    def test_a_slot_keeps_nothing_of_the_adapter_before(self, model, backend, saved, expected, base, tmp_path):
        broken = save(base, tmp_path / "broken", r=8)
        weights = tmp_path / "broken" / "adapter_model.safetensors"
        save_file({key: each * math.nan for key, each in load(weights.read_bytes()).items()}, weights)
        for name in ADAPTERS:
            backend.load(broken)
            with backend.serving(["broken"]):
                assert model(IDS[:1]).logits.isnan().all()
            backend.unload("broken")  # the next one gets its slot
            backend.load(saved[name])
            assert difference(model, backend, [name] * 4, expected) < 1e-6
            backend.unload(name)

    def test_texts_are_generated_through_the_adapter_of_each_row(self, model, backend, saved, base):
        settings = {"max_new_tokens": 6, "do_sample": False, "attention_mask": torch.ones_like(IDS[:2])}
        alone = peft.PeftModel.from_pretrained(copy.deepcopy(base), saved["wide"].path).generate(IDS[:2], **settings)
        plain = base.generate(IDS[:2], **settings)
        backend.load(saved["wide"])
        with backend.serving(["wide", None]):
            mixed = model.generate(IDS[:2], **settings)
        assert not torch.equal(alone[0], plain[0])
        assert torch.equal(mixed, torch.stack([alone[0], plain[1]]))

    @pytest.mark.parametrize("names", [[], ["plain"], ["plain"] * 5])
    def test_needs_an_adapter_for_each_row(self, model, backend, saved, expected, names):
        backend.load(saved["plain"])
        message = f"the batch has 4 rows, and is served through {len(names)} adapters; name one for each row"
        with pytest.raises(InvalidInputError, match=message), backend.serving(names):
            model(IDS)
        assert torch.equal(model(IDS).logits, expected[None])
        assert backend.unload("plain")

    def test_no_gradients_before_and_after(self, model, backend, saved):
        backend.load(saved["wide"])
        with backend.serving(["wide"] * 4):
            assert not model(IDS).logits.requires_grad
        assert not any(parameter.requires_grad for parameter in model.parameters())


class TestSlots:
    def test_are_as_many_as_given_and_one_for_staging(self, backend, saved):
        assert backend.capacity() == Capacity(slots=2, staging_slots=1)
        for name in ["plain", "wide", "patterned"]:
            assert backend.load(saved[name]).source is Tier.DISK
        with pytest.raises(AdapterCapacityError, match=r"all 3 slots are taken, none is left for 'some.modules/v1.5'"):
            backend.load(saved["some.modules/v1.5"])
        assert "some.modules/v1.5" not in backend.resident()

    def test_a_resident_adapter_is_not_loaded_again(self, backend, saved):
        assert not backend.load(saved["plain"]).was_resident
        again = backend.load(saved["plain"])
        assert (again.was_resident, again.seconds) == (True, 0.0)

    def test_an_unloaded_adapter_comes_from_ram(self, model, backend, saved, expected, tmp_path):
        spec = AdapterSpec(name="plain", path=str(shutil.copytree(saved["plain"].path, tmp_path / "copy")))
        from_disk = backend.load_cost(spec)
        backend.load(spec)
        assert backend.unload("plain")
        assert backend.resident() == {"plain": Tier.RAM}
        assert backend.load_cost(spec).mean_seconds < from_disk.mean_seconds < from_disk.p95_seconds
        file = tmp_path / "copy" / "adapter_model.safetensors"
        with file.open("r+b") as weights:  # in place: a view of the file would see it
            weights.seek(-4096, 2)
            weights.write(bytes(4096))
        assert backend.load(spec).source is Tier.RAM
        assert difference(model, backend, ["plain"] * 4, expected) < 1e-6

    def test_ram_holds_the_last_ones_used(self, model, saved):
        room = saved["plain"].size_bytes + saved["wide"].size_bytes
        backend = PeftBackend(model=model, slots=1, max_rank=8, ram_bytes=room)
        for name in ["plain", "wide", "plain", "patterned"]:
            backend.load(saved[name])
            backend.unload(name)
        assert set(backend.resident()) == {"plain", "patterned"}
        assert backend.load_cost(saved["plain"]).mean_seconds < backend.load_cost(saved["wide"]).mean_seconds

    def test_the_last_adapter_may_leave(self, model, backend, saved, expected):
        backend.load(saved["plain"])
        backend.unload("plain")
        assert torch.equal(model(IDS).logits, expected[None])
        with pytest.raises(AdapterNotFoundError, match="adapter 'plain' is not resident; load it first"):
            difference(model, backend, ["plain"] * 4, expected)
        backend.load(saved["plain"])
        assert difference(model, backend, ["plain"] * 4, expected) < 1e-6

    def test_adapter_that_serves_a_request_is_not_unloaded(self, backend, saved):
        backend.load(saved["plain"])
        busy = pytest.raises(AdapterBusyError, match="adapter 'plain' serves 2 requests")
        with backend.serving(["plain", None]), backend.serving(["plain"]), busy:
            backend.unload("plain")
        with pytest.raises(RuntimeError, match="out of luck"), backend.serving(["plain"]):
            raise RuntimeError("out of luck")
        with pytest.raises(AdapterNotFoundError), backend.serving(["plain", "nowhere"]):
            pass
        assert backend.unload("plain")

    def test_unloading_what_is_not_there_is_done(self, backend):
        assert backend.unload("nowhere")

    def test_many_threads_that_load_one_adapter_share_a_slot(self, backend, saved):
        results, together = [], threading.Barrier(4)

        def load(name):
            together.wait()
            results.append(backend.load(saved[name]))

        threads = [threading.Thread(target=load, args=(name,)) for name in ["plain", "wide"] * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(result.source for result in results) == ["disk", "disk", "gpu", "gpu"]
        assert backend.resident() == {"plain": Tier.GPU, "wide": Tier.GPU}

    def test_resident_adapter_does_not_wait_for_another_that_is_loaded(self, backend, saved, monkeypatch):
        backend.load(saved["plain"])
        reading, done = threading.Event(), threading.Event()
        read = backend._read

        def slow(adapter):
            reading.set()
            assert done.wait(30.0)
            return read(adapter)

        monkeypatch.setattr(backend, "_read", slow)
        thread = threading.Thread(target=backend.load, args=(saved["wide"],))
        thread.start()
        assert reading.wait(30.0)
        assert backend.load(saved["plain"]).was_resident  # or the test would hang
        done.set()
        thread.join()
        assert backend.resident() == {"plain": Tier.GPU, "wide": Tier.GPU}

    def test_an_adapter_loads_while_other_adapters_serve(self, model, backend, saved, expected):
        """Forward passes of two threads through two adapters, while a third comes and goes."""
        for name in ["plain", "wide"]:
            backend.load(saved[name])
        stop, differences = threading.Event(), []

        def serve(names):
            while not stop.is_set():
                try:
                    differences.append(difference(model, backend, names, expected))
                except Exception as error:
                    differences.append(error)
                    return

        threads = [threading.Thread(target=serve, args=([name, None, name, name],)) for name in ["plain", "wide"]]
        for thread in threads:
            thread.start()
        for _ in range(20):
            for name in ["patterned", "some.modules/v1.5"]:
                backend.load(saved[name])
                backend.unload(name)
        stop.set()
        for thread in threads:
            thread.join()
        assert len(differences) >= 2
        assert all(isinstance(each, float) and each < 1e-6 for each in differences), differences


class TestBadAdapters:
    """Each is refused by a declared error, with the slot still free and nothing resident."""

    @pytest.fixture
    def refused(self, model, saved, expected, monkeypatch):
        def check(spec, error, message, patterns=None, **settings):
            if patterns is not None:
                monkeypatch.setattr("banditroute.adapters.backends.peft._PATTERN_SECONDS", patterns)
            backend = PeftBackend(model=model, slots=1, max_rank=8, **settings)
            for _ in range(3):  # more often than there are slots
                with pytest.raises(error, match=message):
                    backend.load(spec)
            assert backend.resident() == {}
            if "base_model" not in settings:
                backend.load(saved["plain"])
                assert difference(model, backend, ["plain"] * 4, expected) < 1e-6

        return check

    @pytest.fixture
    def damaged(self, base, tmp_path):
        """A spec, after something was done to its folder."""

        def damage(do):
            spec = save(base, tmp_path / "bad", r=2)
            do(tmp_path / "bad")
            return spec

        return damage

    def test_adapter_without_files_is_refused(self, refused, tmp_path):
        refused(AdapterSpec(name="bad", path=str(tmp_path)), AdapterNotFoundError, "has no adapter_config.json")

    def test_adapter_without_weights_is_refused(self, refused, damaged):
        spec = damaged(lambda folder: (folder / "adapter_model.safetensors").unlink())
        refused(spec, AdapterNotFoundError, "'bad' has no adapter_model.safetensors")

    @pytest.mark.parametrize("kept", [0, 4, 200, 2000])
    def test_truncated_weights_are_refused(self, refused, damaged, kept):
        def cut(folder):
            weights = folder / "adapter_model.safetensors"
            weights.write_bytes(weights.read_bytes()[:kept])

        refused(damaged(cut), AdapterIncompatibleError, "adapter_model.safetensors of adapter 'bad' cannot be read")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"peft_type": "LOHA"}, "is of type 'LOHA'; give a LoRA adapter"),
            ({"lora_alpha": None}, "adapter_config.json of adapter 'bad' cannot be read"),
            ({"lora_alpha": float("nan")}, "adapter_config.json of adapter 'bad' cannot be read"),
            ({"lora_alpha": 1e308}, "adapter_config.json of adapter 'bad' cannot be read"),
            ({"alpha_pattern": {"(": 4}}, "adapter_config.json of adapter 'bad' cannot be read"),
            ({"alpha_pattern": ["q_proj"]}, "adapter_config.json of adapter 'bad' cannot be read"),
            ({"alpha_pattern": {"q_proj": "many"}}, "adapter_config.json of adapter 'bad' cannot be read"),
            ({"alora_invocation_tokens": [1, 2]}, "uses alora_invocation_tokens; only plain LoRA"),
        ],
    )
    def test_adapter_of_another_kind_is_refused(self, refused, damaged, changes, message):
        def change(folder):
            config = folder / "adapter_config.json"
            config.write_text(json.dumps(json.loads(config.read_text()) | changes))

        refused(damaged(change), AdapterIncompatibleError, message)

    @pytest.mark.parametrize("initialisation", ["pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga", "new"])
    def test_initialisation_that_changes_the_base_model_is_refused(self, refused, damaged, initialisation):
        def change(folder):
            config = folder / "adapter_config.json"
            config.write_text(json.dumps(json.loads(config.read_text()) | {"init_lora_weights": initialisation}))

        refused(
            damaged(change), AdapterIncompatibleError, f"init_lora_weights='{initialisation}', which changes the base"
        )

    @pytest.mark.filterwarnings("ignore:(PiSSA|OLoRA) changes the base weights:UserWarning")  # of peft, converting
    @pytest.mark.parametrize("initialisation", ["pissa", "olora"])
    def test_changed_base_model_is_right_when_saved_as_plain_lora(self, base, tmp_path, initialisation):
        config = peft.LoraConfig(r=2, init_lora_weights=initialisation, target_modules=["q_proj", "down_proj"])
        trained = peft.get_peft_model(copy.deepcopy(base), config)
        trained.peft_config["default"].init_lora_weights = True
        trained.save_pretrained(tmp_path / "initial", save_embedding_layers=False)
        trained.peft_config["default"].init_lora_weights = initialisation
        with torch.no_grad():
            for name, parameter in trained.named_parameters():
                if "lora_" in name:
                    parameter.add_(torch.full_like(parameter, 0.02))
            expected = trained(IDS).logits
        trained.save_pretrained(tmp_path / "raw", save_embedding_layers=False)
        model = copy.deepcopy(base)
        backend = PeftBackend(model=model, slots=1, max_rank=8)
        with pytest.raises(AdapterIncompatibleError, match="path_initial_model_for_weight_conversion"):
            backend.load(AdapterSpec(name="raw", path=str(tmp_path / "raw")))
        trained.save_pretrained(
            tmp_path / "plain",
            path_initial_model_for_weight_conversion=str(tmp_path / "initial"),
            save_embedding_layers=False,
        )
        backend.load(AdapterSpec.read(tmp_path / "plain", name="plain"))
        with torch.no_grad(), backend.serving(["plain"] * 4):
            assert (model(IDS).logits - expected).abs().max() < 1e-5

    @pytest.mark.parametrize("initialisation", ["gaussian", "orthogonal"])
    def test_initialisation_that_keeps_the_base_model_is_right(self, base, tmp_path, initialisation):
        config = peft.LoraConfig(r=2, init_lora_weights=initialisation, target_modules=["q_proj", "down_proj"])
        trained = peft.get_peft_model(copy.deepcopy(base), config)
        with torch.no_grad():
            for name, parameter in trained.named_parameters():
                if "lora_B" in name:
                    parameter.add_(0.1)
            expected = trained(IDS).logits
        trained.save_pretrained(tmp_path / "plain", save_embedding_layers=False)
        model = copy.deepcopy(base)
        backend = PeftBackend(model=model, slots=1, max_rank=8)
        backend.load(AdapterSpec.read(tmp_path / "plain", name="plain"))
        with torch.no_grad(), backend.serving(["plain"] * 4):
            assert (model(IDS).logits - expected).abs().max() < 1e-5

    @pytest.mark.parametrize(
        "changes", [{"layer_replication": [[0, 1], [0, 2]]}, {"arrow_config": {"k": 2}}, {"kasa_config": {}, "new": 1}]
    )
    def test_setting_that_may_compute_something_else_is_refused(self, refused, damaged, changes):
        def change(folder):
            config = folder / "adapter_config.json"
            config.write_text(json.dumps(json.loads(config.read_text()) | changes))

        name = max(changes, key=lambda key: bool(changes[key]))
        refused(damaged(change), AdapterIncompatibleError, f"uses {name}; only plain LoRA")

    def test_pattern_that_backtracks_for_ever_is_refused(self, refused, damaged):
        def change(folder):
            config = folder / "adapter_config.json"
            pattern = {r"(\w|\w|\.|[a-z])+[!#]": 4}
            config.write_text(json.dumps(json.loads(config.read_text()) | {"alpha_pattern": pattern}))

        refused(damaged(change), AdapterIncompatibleError, "alpha_pattern takes more than 0.05 seconds", patterns=0.05)

    def test_configuration_that_is_not_json_is_refused(self, refused, damaged):
        spec = damaged(lambda folder: (folder / "adapter_config.json").write_text("{"))
        refused(spec, AdapterIncompatibleError, "adapter_config.json of adapter 'bad' cannot be read")

    def test_a_file_with_tensors_of_no_slot_is_refused_before_it_is_read(self, refused, damaged, monkeypatch):
        weights = {f"t{number}.lora_A.weight": torch.zeros(0, 1) for number in range(1_000)}
        spec = damaged(lambda folder: save_file(weights, folder / "adapter_model.safetensors"))
        read = []
        original = safetensors.torch.load_file
        monkeypatch.setattr("safetensors.torch.load_file", lambda path: (read.append(str(path)), original(path))[1])
        refused(spec, AdapterIncompatibleError, "'t0.lora_A.weight', which no slot has")
        assert read  # another adapter, afterwards
        assert not any(path.startswith(spec.path) for path in read)  # 300,000 tensors would take half a minute

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"r": 9}, r"slots hold ranks of 1 to 8 between 32 inputs"),
            ({"use_dora": True}, "uses use_dora; only plain LoRA"),
            ({"modules_to_save": ["lm_head"]}, r"'base_model.model.lm_head.weight', which no slot has"),
            ({"target_modules": ["lm_head"]}, r"'base_model.model.lm_head.lora_A.weight', which no slot has"),
        ],
    )
    def test_adapter_larger_than_every_slot_is_refused(self, refused, base, tmp_path, settings, message):
        refused(save(base, tmp_path / "bad", **settings), AdapterIncompatibleError, message)

    def test_adapter_of_a_model_of_another_size_is_refused(self, refused, tmp_path):
        spec = save(made(hidden_size=64), tmp_path / "bad", r=2)
        refused(spec, AdapterIncompatibleError, r"has the shapes \(\(2, 64\), \(64, 2\)\)")

    def test_adapter_of_another_base_model_is_refused(self, refused, base, tmp_path):
        spec = save(base, tmp_path / "bad", r=2)
        refused(spec, AdapterIncompatibleError, "trained on None, the model is 'tiny'", base_model="tiny")

    def test_adapter_under_the_name_of_another_is_refused(self, backend, saved):
        backend.load(saved["plain"])
        impostor = AdapterSpec(name="plain", path=saved["wide"].path)
        for _ in range(2):
            with pytest.raises(AdapterIncompatibleError, match="the name 'plain' belongs to the adapter in"):
                backend.load(impostor)
            backend.unload("plain")

    def test_adapter_whose_files_were_exchanged_keeps_its_weights_or_is_refused(self, model, base, tmp_path):
        """The weights in RAM serve on; what was learned of the name is about them."""
        backend = PeftBackend(model=model, slots=1, max_rank=8, ram_bytes=1)
        spec = save(base, tmp_path / "law", r=2)
        other = save(base, tmp_path / "other", r=2)
        backend.load(spec)
        with torch.no_grad(), backend.serving(["law"] * 4):
            before = model(IDS).logits
        save(base, tmp_path / "law", r=4)
        backend.unload("law")
        backend.load(spec)
        with torch.no_grad(), backend.serving(["law"] * 4):
            assert torch.equal(model(IDS).logits, before)
        backend.unload("law")
        backend.load(other)  # and law leaves RAM
        for _ in range(2):
            with pytest.raises(AdapterIncompatibleError, match=r"files of adapter 'law' have changed .* another name"):
                backend.load(spec)
        backend.load(dataclasses.replace(spec, name="law-2"))
        with torch.no_grad(), backend.serving(["law-2"] * 4):
            assert not torch.equal(model(IDS).logits, before)

    def test_adapter_with_two_names_is_right_under_both(self, model, backend, saved, expected):
        backend.load(saved["plain"])
        backend.load(dataclasses.replace(saved["plain"], name="twin"))
        with torch.no_grad(), backend.serving(["plain", "twin", "plain", "twin"]):
            assert (model(IDS).logits - expected["plain"]).abs().max() < 1e-6

    @pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
    def test_adapter_is_refused_where_memory_is_too_short(self, model, backend, saved, expected, monkeypatch, error):
        layer = model.model.layers[1].mlp.down_proj

        class Full(dict):
            def __setitem__(self, key, value):
                raise error

        with monkeypatch.context() as patch:
            patch.setattr(layer, "scaling", Full(layer.scaling))
            with pytest.raises(AdapterCapacityError, match="memory is too short for adapter 'wide'"):
                backend.load(saved["wide"])
        assert backend.resident() == {}
        backend.load(saved["plain"])
        assert difference(model, backend, ["plain"] * 4, expected) < 1e-6

    def test_adapter_whose_copy_fails_half_way_leaves_the_slot_free(self, model, backend, saved, expected, monkeypatch):
        layer = model.model.layers[1].mlp.down_proj
        with monkeypatch.context() as patch:
            patch.setattr(layer, "scaling", None)
            with pytest.raises(TypeError):
                backend.load(saved["wide"])
        assert backend.resident() == {}
        backend.load(saved["plain"])
        assert difference(model, backend, ["plain"] * 4, expected) < 1e-6


class TestSettings:
    @pytest.mark.parametrize("name", ["slots", "max_rank", "ram_bytes"])
    @pytest.mark.parametrize("value", [0, -1, True, 2.0, "2"])
    def test_a_number_that_is_none_is_refused(self, model, name, value):
        with pytest.raises(InvalidConfigurationError, match=f"{name} is {value!r}; give a whole number"):
            PeftBackend(model=model, **{"slots": 2, "max_rank": 8} | {name: value})

    def test_modules_that_the_model_has_not_are_refused(self, model):
        with pytest.raises(InvalidConfigurationError, match=r"target_modules \['nowhere'\] do not fit the model"):
            PeftBackend(model=model, slots=1, max_rank=2, target_modules=["nowhere"])

    def test_a_model_with_adapters_is_refused(self, model, backend):
        with pytest.raises(InvalidConfigurationError, match="the model has LoRA adapters"):
            PeftBackend(model=model, slots=1, max_rank=2)

    def test_only_the_given_modules_get_slots(self, model, saved, base, tmp_path):
        backend = PeftBackend(model=model, slots=1, max_rank=8, target_modules=["q_proj"])
        backend.load(save(base, tmp_path / "queries", r=2, target_modules=["q_proj"]))
        with pytest.raises(AdapterIncompatibleError, match="which no slot has"):
            backend.load(saved["some.modules/v1.5"])

    def test_the_size_is_that_of_the_file(self, backend, saved):
        unread = AdapterSpec(name="unread", path=saved["wide"].path)
        assert backend.size(unread) == backend.size(saved["wide"]) == saved["wide"].size_bytes
