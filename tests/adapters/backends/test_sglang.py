"""An SGLang server: it says what is in RAM, and keeps what is pinned."""

import numpy as np
import pytest

from banditroute.adapters import AdapterSpec, Capability, SGLangBackend, Tier
from banditroute.errors import AdapterCapacityError, BackendUnavailableError


def adapter(name, **settings):
    return AdapterSpec(name=name, path=f"adapters/{name}", **settings)


@pytest.fixture
def backend(sglang, served):
    return SGLangBackend(base_url=served(sglang), max_loras_per_batch=3, max_loaded_loras=4)


def test_keeps_what_is_pinned(backend, sglang, ask):
    assert backend.capabilities == {Capability.PIN}
    ask(backend, "load", adapter("a", pinned=True))
    assert sglang.registry["a"] == ("adapters/a", True)
    for name in "bcdefgh":
        ask(backend, "load", adapter(name))
    assert ask(backend, "resident")["a"] is Tier.GPU


def test_more_pinned_than_it_has_slots_for_are_refused(backend, ask):
    for name in "ab":
        backend.load(adapter(name, pinned=True))
    with pytest.raises(AdapterCapacityError, match=r"has no room for adapter 'c': .*not allowed to pin all slots"):
        ask(backend, "load", adapter("c", pinned=True))
    assert ask(backend, "resident") == {"a": Tier.GPU, "b": Tier.GPU}
    assert backend.load(adapter("c")).source is Tier.DISK


def test_a_full_server_of_older_releases_is_refused(backend, sglang, ask):
    message = "Maximum number of loaded LoRA adapters is 4. Please unload some LoRA adapters before loading new ones."
    answer = {"success": False, "error_message": message, "loaded_adapters": None}
    sglang.failures = {"POST /load_lora_adapter": (400, answer)}
    with pytest.raises(AdapterCapacityError, match="Maximum number of loaded LoRA adapters is 4"):
        ask(backend, "load", adapter("a"))
    assert ask(backend, "resident") == {}


def test_server_without_lora_is_unavailable(backend, sglang, ask):
    sglang.enabled = False
    with pytest.raises(BackendUnavailableError, match=r"LoRA is not enabled.*start it with --enable-lora"):
        ask(backend, "load", adapter("a"))


@pytest.mark.parametrize("seed", range(3))
def test_resident_agrees_with_the_servers_own_list_after_every_load(backend, sglang, seed):
    """Each load is followed by a request, as the cache does."""
    rng = np.random.default_rng(seed)
    for name in rng.choice(list("abcdefgh"), size=40):
        backend.load(adapter(str(name)))
        sglang.answer("POST /generate", {"lora_path": str(name)})
        assert backend.resident() == sglang.truth()


def test_adapter_that_another_client_loaded_is_in_ram(backend, sglang, ask):
    sglang.answer("POST /load_lora_adapter", {"lora_name": "a", "lora_path": "adapters/a"})
    assert ask(backend, "resident") == {"a": Tier.RAM}


def test_unloading_is_certain(backend, sglang, ask):
    backend.load(adapter("a"))
    sglang.answer("POST /generate", {"lora_path": "a"})
    assert ask(backend, "unload", "a") is True
    assert ask(backend, "resident") == sglang.truth() == {}
    assert ask(backend, "unload", "a") is True
    assert ask(backend, "load", adapter("a")).source is Tier.DISK
