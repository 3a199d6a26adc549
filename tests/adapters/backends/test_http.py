"""Every server: its failures become declared errors, and the known state stays as it was."""

import asyncio
import contextlib
import gzip
import math
import socket
import threading
import time

import numpy as np
import pytest

from banditroute.adapters import (
    AdapterCache,
    AdapterSpec,
    AsyncAdapterBackend,
    Capacity,
    SGLangBackend,
    Tier,
    VLLMBackend,
    lru,
)
from banditroute.errors import (
    AdapterIncompatibleError,
    AdapterNotFoundError,
    BackendUnavailableError,
    InvalidConfigurationError,
)

KINDS = {
    "vllm": (VLLMBackend, {"max_loras": 2, "max_cpu_loras": 4}),
    "sglang": (SGLangBackend, {"max_loras_per_batch": 3, "max_loaded_loras": 4}),
}


def adapter(name, **known):
    return AdapterSpec(name=name, path=f"adapters/{name}", **known)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def fake(kind, request):
    return request.getfixturevalue(kind)


@pytest.fixture
def backend(kind, fake, served):
    made, settings = KINDS[kind]
    return made(base_url=served(fake), **settings)


@pytest.fixture
def load_call(kind):
    return {"vllm": "POST /v1/load_lora_adapter", "sglang": "POST /load_lora_adapter"}[kind]


def test_is_an_asynchronous_backend_that_counts_slots(backend):
    assert isinstance(backend, AsyncAdapterBackend)
    assert backend.capacity() == Capacity(slots=2)
    assert backend.size(adapter("a")) is None
    assert backend.size(adapter("a", size_bytes=7)) == 7


class TestLoading:
    def test_takes_what_the_server_takes(self, backend, fake, ask):
        fake.delay_seconds = 0.05
        result = ask(backend, "load", adapter("a"))
        assert (result.name, result.source, result.evicted) == ("a", Tier.DISK, ())
        assert 0.05 <= result.seconds < 2.0
        assert fake.registered() == {"a": "adapters/a"}

    def test_loading_a_resident_adapter_sends_no_request(self, backend, fake, ask):
        backend.load(adapter("a"))
        fake.calls.clear()
        assert ask(backend, "load", adapter("a")).was_resident
        assert fake.calls == []

    def test_loading_an_adapter_that_left_its_slot_waits_for_the_request(self, backend, fake, ask):
        evicted = [backend.load(adapter(name)).evicted for name in "abc"]
        fake.calls.clear()
        result = ask(backend, "load", adapter("a"))
        assert evicted == [(), (), ("a",)]
        assert (result.source, result.seconds, result.was_resident, result.evicted) == (Tier.RAM, None, False, ("b",))
        assert fake.calls == []

    def test_loading_an_adapter_that_another_client_loaded_finds_it_resident(self, backend, fake, load_call, ask):
        fake.answer(load_call, {"lora_name": "a", "lora_path": "adapters/a"})
        result = ask(backend, "load", adapter("a"))
        assert (result.was_resident, result.seconds) == (True, 0.0)

    def test_loading_under_a_name_that_another_client_gave_away_is_refused(self, backend, fake, load_call, ask):
        fake.answer(load_call, {"lora_name": "a", "lora_path": "adapters/b"})
        with pytest.raises(AdapterIncompatibleError, match="the name 'a' belongs to the adapter in 'adapters/b'"):
            ask(backend, "load", adapter("a"))

    def test_loading_under_a_name_that_was_given_away_is_refused(self, backend, ask):
        backend.load(adapter("a"))
        with pytest.raises(AdapterIncompatibleError, match="and 'elsewhere' is another one; give it another name"):
            ask(backend, "load", AdapterSpec(name="a", path="elsewhere"))

    def test_from_nearer_is_expected_to_be_faster(self, backend):
        spec = adapter("a", size_bytes=80_000_000)
        costs = [backend.load_cost(spec)]
        backend.load(spec)
        for name in "bc":
            backend.load(adapter(name))
        costs.append(backend.load_cost(spec))
        backend.load(spec)
        costs.append(backend.load_cost(spec))
        means = [cost.mean_seconds for cost in costs]
        assert means == sorted(means, reverse=True)
        assert means[2] == 0.0
        assert all(cost.n == 0 and cost.p95_seconds >= cost.mean_seconds for cost in costs)

    def test_loads_by_many_threads_at_once_agree(self, backend, fake):
        results, threads = [], []
        for name in "ababab":
            threads.append(threading.Thread(target=lambda name=name: results.append(backend.load(adapter(name)))))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 6
        assert sum(result.source is Tier.DISK for result in results) == 2
        assert backend.resident() == {"a": Tier.GPU, "b": Tier.GPU}

    async def test_loads_in_one_event_loop_run_concurrently(self, backend):
        results = await asyncio.gather(*(backend.aload(adapter(name)) for name in "abab"))
        assert sum(result.source is Tier.DISK for result in results) == 2
        assert await backend.aresident() == {"a": Tier.GPU, "b": Tier.GPU}

    def test_adapter_that_the_server_forgot_is_loaded_again(self, backend, fake, kind, request, load_call, ask):
        """The server was started anew."""
        backend.load(adapter("a"))
        for kept in ("names", "registry", "pool", "seen"):
            if hasattr(fake, kept):
                getattr(fake, kept).clear()
        assert ask(backend, "resident") == {}
        assert ask(backend, "load", adapter("a")).source is Tier.DISK
        assert fake.calls.count(load_call) == 2


class TestRestart:
    """A server that was restarted has forgotten its adapters; a failed request makes the cache ask."""

    def restart(self, fake):
        for kept in ("names", "name_of", "registry", "pool", "seen"):
            if hasattr(fake, kept):
                getattr(fake, kept).clear()
        if hasattr(fake, "levels"):
            fake.levels = {"cpu": [], "gpu": []}
        fake.calls.clear()

    @pytest.mark.parametrize("has_metric", [False, True])
    def test_adapters_are_loaded_again_once(self, backend, fake, load_call, has_metric):
        fake.has_metric = has_metric
        cache = AdapterCache(backend=backend, control=lru)
        specs = [adapter("a"), adapter("b")]
        cache.start(specs)
        for spec in specs:
            cache.acquire(spec)
            cache.release(spec.name)
        self.restart(fake)
        cache.doubt("a")
        threads = [threading.Thread(target=cache.acquire, args=(specs[0],)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert fake.calls.count(load_call) == 1
        cache.acquire(specs[1])  # nobody saw it fail
        assert fake.calls.count(load_call) == 2
        assert set(fake.registered()) == {"a", "b"} == cache.resident

    def test_two_processes_do_not_evict_each_others_adapters(self, kind, fake, served):
        """Each plans for two slots, and the server makes room by itself: every name stays known."""
        made, settings = KINDS[kind]
        url = served(fake)
        caches = [AdapterCache(backend=made(base_url=url, **settings), control=lru) for _ in range(2)]
        for cache in caches:
            cache.start([adapter(name) for name in "abcd"])
        rng = np.random.default_rng(0)
        generate = {"vllm": ("POST /v1/completions", "model"), "sglang": ("POST /generate", "lora_path")}[kind]
        for _ in range(60):
            cache, name = caches[rng.integers(2)], "abcd"[rng.integers(4)]
            cache.acquire(adapter(name))
            status, _ = fake.answer(generate[0], {generate[1]: name})
            assert status == 200
            cache.release(name)

    def test_server_without_room_is_asked_to_unload(self, backend, fake, load_call):
        cache = AdapterCache(backend=backend, control=lru)
        specs = {name: adapter(name) for name in "abc"}
        cache.start(list(specs.values()))
        for name in "ab":
            cache.acquire(specs[name])
            cache.release(name)
        load = fake.routes[load_call]

        def full(body):
            if len(fake.registered()) >= 2:
                return 400, {"message": "Please unload some LoRA adapters before loading new ones."}
            return load(body)

        fake.routes[load_call] = full
        cache.acquire(specs["c"])
        assert cache.resident == {"b", "c"} == set(fake.registered())

    def test_adapter_that_is_there_is_not_loaded_again(self, backend, fake, load_call):
        cache = AdapterCache(backend=backend, control=lru)
        cache.start([adapter("a")])
        cache.acquire(adapter("a"))
        fake.calls.clear()
        cache.doubt("a")
        assert cache.acquire(adapter("a")) == 0.0
        assert load_call not in fake.calls

    def test_server_that_lists_no_adapters_is_believed_when_it_refuses_a_second_load(
        self, backend, fake, kind, load_call
    ):
        """Some gateways list the base model alone."""
        cache = AdapterCache(backend=backend, control=lru)
        cache.start([adapter("a")])
        cache.acquire(adapter("a"))
        fake.routes["GET /v1/models"] = lambda body: (200, {"data": [{"id": "base", "root": "base", "parent": None}]})
        cache.doubt("a")
        assert cache.acquire(adapter("a")) == 0.0
        assert cache.resident == {"a"}


class TestRefusals:
    """Each leaves what is known as it was: the adapter is not resident, and may be loaded later."""

    def refused(self, ask, backend, fake, error, match, spec=None):
        spec = spec or adapter("a")
        with pytest.raises(error, match=match):
            ask(backend, "load", spec)
        fake.failures.clear()
        fake.delay_seconds = 0.0
        fake.files[spec.path] = 8
        assert backend.resident() == {}
        assert not backend.load(spec).was_resident
        assert backend.resident() == {spec.name: Tier.GPU}

    def test_adapter_without_files_is_refused(self, backend, fake, ask):
        spec = adapter("nowhere")
        self.refused(ask, backend, fake, AdapterNotFoundError, "finds no adapter 'nowhere' in 'adapters/nowhere'", spec)

    def test_adapter_of_too_large_a_rank_is_refused(self, backend, fake, ask):
        fake.files["adapters/a"] = 17
        self.refused(ask, backend, fake, AdapterIncompatibleError, "refuses adapter 'a': .*rank 17")

    def test_a_dead_engine(self, backend, fake, load_call, ask):
        fake.failures = {load_call: (500, "dead"), "GET /health": (503, "")}
        self.refused(ask, backend, fake, BackendUnavailableError, "answers 500: dead")

    @pytest.mark.parametrize("status", [301, 401, 429, 502, 503])
    def test_unexpected_status_is_refused(self, backend, fake, load_call, ask, status):
        fake.failures = {load_call: (status, "<html>no</html>")}
        self.refused(
            ask, backend, fake, BackendUnavailableError, f"at http://127.0.0.1:[0-9]+ answers {status}: <html>"
        )

    def test_an_address_that_is_not_offered(self, backend, fake, load_call, ask):
        route = fake.routes.pop(load_call)
        with pytest.raises(BackendUnavailableError, match=r"answers 404: Not Found; start it with (VLLM_|--enable)"):
            ask(backend, "load", adapter("a"))
        fake.routes[load_call] = route
        backend.load(adapter("a"))

    def test_server_that_does_not_answer_in_time_is_unavailable(self, kind, fake, served, ask, until):
        made, settings = KINDS[kind]
        backend = made(base_url=served(fake), timeout_seconds=0.1, **settings)
        fake.delay_seconds = 0.3
        started = time.monotonic()
        with pytest.raises(
            BackendUnavailableError, match=r"does not answer \(ReadTimeout.*timeout_seconds, which is 0.1"
        ):
            ask(backend, "load", adapter("a"))
        assert time.monotonic() - started < 0.29
        fake.delay_seconds = 0.0
        until(fake.registered)
        assert backend.load(adapter("a")).was_resident  # the server had gone on
        assert backend.resident() == {"a": Tier.GPU}

    @pytest.mark.parametrize("what", [("load", adapter("a")), ("unload", "a"), ("resident",)])
    def test_server_that_does_not_run_is_unavailable(self, kind, ask, what):
        made, _ = KINDS[kind]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            backend = made(base_url=f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(BackendUnavailableError, match=r"does not answer \(ConnectError.*check that it runs"):
            ask(backend, *what)

    @pytest.mark.parametrize(
        "answer", [(200, "hello"), (200, []), (200, {"data": 3}), (200, {"data": [{"parent": 1}]}), (500, "")]
    )
    def test_server_without_a_list_of_models_is_unavailable(self, backend, fake, ask, answer):
        backend.load(adapter("a"))
        fake.failures = {"GET /v1/models": answer}
        with pytest.raises(BackendUnavailableError, match="gives no list of its models"):
            ask(backend, "resident")
        fake.failures = {}
        assert ask(backend, "resident") == {"a": Tier.GPU}

    def test_an_unload_that_fails(self, backend, fake, load_call, ask):
        backend.load(adapter("a"))
        fake.failures = {load_call.replace("load_", "unload_"): (500, {"message": "no"})}
        with pytest.raises(BackendUnavailableError, match="answers 500: no"):
            ask(backend, "unload", "a")
        assert ask(backend, "resident") == {"a": Tier.GPU}


class _Raw:
    """Answer every request with what ``send`` writes, byte by byte if it likes."""

    def __init__(self, send):
        self._send = send
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while not self._stop.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                peer.recv(65536)
                self._send(peer, self._stop)

    def close(self):
        self._stop.set()
        self._listener.close()


def _drip_body(peer, stop):
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not stop.wait(0.02):
        peer.sendall(b"x")


def _drip_headers(peer, stop):
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    while not stop.wait(0.02):
        peer.sendall(b"A: b\r\n")


def _drip_endless(peer, stop):
    peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not stop.wait(0.02):
        peer.sendall(b"x")


def _flood(peer, stop):
    peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not stop.is_set():
        peer.sendall(bytes(2**20))


def _gzip_bomb(peer, stop):
    body = gzip.compress(bytes(10**6))
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


class TestHostileServers:
    """A call ends in time, in little memory, and with one declared error."""

    @pytest.fixture
    def hostile(self, kind):
        made, settings = KINDS[kind]
        servers = []

        def start(send):
            servers.append(_Raw(send))
            return made(base_url=servers[-1].url, timeout_seconds=0.15, **settings)

        yield start
        for server in servers:
            server.close()

    @pytest.mark.parametrize("send", [_drip_body, _drip_headers, _drip_endless])
    def test_dripping_answer_ends_at_twice_the_timeout(self, hostile, ask, send):
        with pytest.raises(BackendUnavailableError, match=r"has not finished its answer after 0\.3 seconds"):
            ask(hostile(send), "load", adapter("a"))

    def test_endless_answer_is_cut_off(self, hostile, ask):
        with pytest.raises(BackendUnavailableError, match="it has more than 8388608 bytes"):
            ask(hostile(_flood), "load", adapter("a"))

    def test_compressed_answer_is_not_expanded(self, hostile, ask):
        with pytest.raises(BackendUnavailableError, match="it is compressed with 'gzip', which was not asked for"):
            ask(hostile(_gzip_bomb), "load", adapter("a"))

    @pytest.mark.parametrize("body", ["[" * 200_000, "[1]", "5", '{"error": "text"}', "\udcff"])
    @pytest.mark.parametrize("status", [200, 400, 500])
    def test_odd_json_is_a_declared_error(self, backend, fake, load_call, ask, body, status):
        text = body.encode("utf-8", "surrogateescape").decode("latin-1")
        fake.failures = dict.fromkeys([load_call, "GET /v1/models"], (status, text))
        if status != 200:
            with pytest.raises((BackendUnavailableError, AdapterIncompatibleError)):
                ask(backend, "load", adapter("a"))
        with pytest.raises(BackendUnavailableError, match="gives no list of its models"):
            ask(backend, "resident")

    def test_key_that_the_server_echoes_is_hidden(self, kind, fake, served, load_call, ask):
        made, settings = KINDS[kind]
        backend = made(base_url=served(fake), api_key="sk-secret", **settings)
        fake.failures = {load_call: (400, {"message": "bad header Authorization: Bearer sk-secret"})}
        with pytest.raises(AdapterIncompatibleError, match=r"Bearer \*\*\*") as caught:
            ask(backend, "load", adapter("a"))
        assert "sk-secret" not in str(caught.value)
        assert "sk-secret" not in repr(backend) + repr(vars(backend)) + repr(vars(backend._connection))

    @pytest.mark.parametrize(
        "base_url", ["http://user:sk-secret@", "ftp://user:sk-secret@host", "http://h:port/?key=sk-secret"]
    )
    def test_key_in_an_unusable_address_is_hidden(self, kind, base_url):
        with pytest.raises(InvalidConfigurationError, match="base_url is ") as caught:
            KINDS[kind][0](base_url=base_url)
        assert "sk-secret" not in str(caught.value)


class TestSettings:
    def test_the_key_is_shown_to_the_server(self, kind, fake, served, ask):
        made, settings = KINDS[kind]
        backend = made(base_url=served(fake), api_key="k3y", **settings)
        ask(backend, "load", adapter("a"))
        assert fake.keys == ["Bearer k3y"]

    def test_a_password_is_shown_to_the_server_alone(self, kind, fake, served, ask):
        made, settings = KINDS[kind]
        backend = made(base_url=served(fake).replace("http://", "http://user:secret@"), **settings)
        fake.failures = {"GET /v1/models": (500, "")}
        with pytest.raises(BackendUnavailableError) as caught:
            ask(backend, "resident")
        assert fake.keys[0].startswith("Basic ")
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("made", [VLLMBackend, SGLangBackend])
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"base_url": "localhost:8000"}, "base_url is 'localhost:8000'; give an address such as"),
            ({"base_url": "ftp://host"}, "base_url is 'ftp://host'"),
            ({"base_url": "http://"}, "base_url is 'http://'"),
            ({"base_url": "http://host:port"}, "base_url is 'http://host:port'"),
            ({"base_url": None}, "base_url is None"),
            ({"timeout_seconds": 0}, "timeout_seconds is 0; give a number above 0"),
            ({"timeout_seconds": math.nan}, "timeout_seconds is nan"),
            ({"timeout_seconds": True}, "timeout_seconds is True"),
        ],
    )
    def test_bad_base_url_is_refused(self, made, given, message):
        with pytest.raises(InvalidConfigurationError, match=message):
            made(**{"base_url": "http://localhost"} | given)

    @pytest.mark.parametrize(
        ("made", "given", "message"),
        [
            (VLLMBackend, {"max_loras": 0}, "max_loras is 0; give a whole number of at least 1"),
            (VLLMBackend, {"max_loras": 2.0}, "max_loras is 2.0"),
            (VLLMBackend, {"max_loras": 4, "max_cpu_loras": 3}, "max_cpu_loras is 3; .* at least 4"),
            (SGLangBackend, {"max_loras_per_batch": 1}, "max_loras_per_batch is 1; .* at least 2"),
            (SGLangBackend, {"max_loaded_loras": 7}, "max_loaded_loras is 7; .* at least 8"),
            (SGLangBackend, {"max_loaded_loras": 0}, "max_loaded_loras is 0"),
            (SGLangBackend, {"max_loaded_loras": True}, "max_loaded_loras is True"),
        ],
    )
    def test_bad_number_of_slots_is_refused(self, made, given, message):
        with pytest.raises(InvalidConfigurationError, match=message):
            made(base_url="http://localhost", **given)
