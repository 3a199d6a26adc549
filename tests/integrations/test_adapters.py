"""Arms with adapters on a server like vLLM: a call leases its adapter, and a restarted server is noticed."""

import threading

import openai
import pytest

from banditroute import Arm, Router
from banditroute.adapters import AdapterCache, AdapterSpec, Fleet, VLLMBackend
from banditroute.errors import InvalidConfigurationError
from banditroute.integrations import AsyncRoutedClient, RoutedClient
from tests.integrations.pairs import MESSAGES, Recording, chat, chunk
from tests.support import store_of


class VLLM:
    """Answers for the adapters that it was given; ``forget`` is a restart."""

    def __init__(self, serve):
        self.loaded = {}
        self.loads = 0
        self.lock = threading.Lock()
        self.url = serve(self.answer)

    def forget(self):
        self.loaded.clear()

    def answer(self, path, body):
        if path == "/v1/models":
            cards = [{"id": name, "root": at, "parent": "base"} for name, at in self.loaded.items()]
            return 200, {"data": [{"id": "base", "root": "base", "parent": None}, *cards]}
        if path == "/v1/load_lora_adapter":
            with self.lock:
                self.loads += 1
                self.loaded[body["lora_name"]] = body["lora_path"]
            return 200, "Success"
        if path == "/v1/unload_lora_adapter":
            self.loaded.pop(body["lora_name"], None)
            return 200, "Success"
        if path == "/v1/chat/completions":
            if body["model"] in {"base", *self.loaded}:
                said = f"by {body['model']}"
                return 200, [chunk({"content": said})] if body.get("stream") else chat(said)
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist.", "code": 404}}
        return 404, {"detail": "Not Found"}


@pytest.fixture
def server(serve):
    return VLLM(serve)


@pytest.fixture
def cache(server):
    return AdapterCache(backend=VLLMBackend(base_url=server.url, max_loras=3))


@pytest.fixture
def router(cache):
    adapters = [AdapterSpec(name=name, path=f"/adapters/{name}", size_bytes=10_000_000) for name in ("law", "code")]
    arms = [*(Arm(name=each.name, adapter=each) for each in adapters), Arm(name="base")]
    return Router(arms=arms, adapters=cache, store=Recording(), seed=0)


@pytest.fixture
def routed(router, server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:
        yield RoutedClient(router, dict.fromkeys(("law", "code", "base"), client))


LAW = {"arms": ["law"]}


def failures(router):
    return [failure for _, _, failure in store_of(router).reports if failure is not None]


def test_an_adapter_is_loaded_before_it_is_asked(routed, server, router):
    for _ in range(3):
        answer = routed.create(MESSAGES, route=LAW)
        assert (answer.text, answer.failures) == ("by law", ())
    assert server.loads == 1
    assert failures(router) == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_restarted_server_is_given_the_adapter_again(routed, server, router, stream):
    for restart in range(3):
        answer = routed.create(MESSAGES, route=LAW, stream=stream)
        if stream:
            list(answer)
            answer = answer.answer
        assert (answer.text, answer.failures) == ("by law", ())
        assert server.loads == restart + 1
        server.forget()
    assert failures(router) == []


def test_requests_at_once_after_a_restart_load_it_once(routed, server, router):
    routed.create(MESSAGES, route=LAW)
    server.forget()
    texts = []
    threads = [threading.Thread(target=lambda: texts.append(routed.create(MESSAGES, route=LAW).text)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["by law"] * 8
    assert server.loads == 2
    assert failures(router) == []


def test_a_server_that_loses_the_adapter_at_once_is_a_failure_of_the_arm(routed, server, router):
    """It is loaded again once, not for ever."""
    server.loaded = type("Forgetful", (dict,), {"__setitem__": lambda self, name, path: None})()
    with pytest.raises(openai.NotFoundError):
        routed.create(MESSAGES, route=LAW)
    assert server.loads == 2
    assert failures(router) == ["unknown_model"]


def test_the_lease_is_held_while_a_stream_is_read(routed, cache):
    stream = routed.create(MESSAGES, route=LAW, stream=True)
    assert cache.resident_set.users("law") == 1
    list(stream)
    assert cache.resident_set.users("law") == 0


@pytest.mark.parametrize("how", ["close", "del"])
def test_a_stream_that_is_left_gives_up_its_lease(routed, cache, how):
    stream = routed.create(MESSAGES, route=LAW, stream=True)
    if how == "close":
        stream.close()
    del stream
    assert cache.resident_set.users("law") == 0


async def test_lost_adapter_is_loaded_again_on_the_event_loop(router, server, cache):
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:
        routed = AsyncRoutedClient(router, dict.fromkeys(("law", "code", "base"), client))
        assert (await routed.create(MESSAGES, route=LAW)).text == "by law"
        server.forget()
        assert (await routed.create(MESSAGES, route=LAW)).text == "by law"
    assert server.loads == 2
    assert cache.resident_set.users("law") == 0
    assert failures(router) == []


class TestFleetOfServers:
    @pytest.fixture
    def servers(self, serve):
        return {"gpu-1": VLLM(serve), "gpu-2": VLLM(serve)}

    @pytest.fixture
    def fleet(self, servers):
        return Fleet(servers={name: VLLMBackend(base_url=each.url, max_loras=1) for name, each in servers.items()})

    @pytest.fixture
    def router(self, fleet):
        adapters = [AdapterSpec(name=name, path=f"/adapters/{name}", size_bytes=10_000_000) for name in ("law", "code")]
        return Router(
            arms=[Arm(name=each.name, adapter=each) for each in adapters], adapters=fleet, store=Recording(), seed=0
        )

    @pytest.fixture
    def clients(self, servers):
        clients = {
            name: openai.OpenAI(base_url=f"{each.url}/v1", api_key="x", max_retries=0) for name, each in servers.items()
        }
        yield clients
        for client in clients.values():
            client.close()

    def test_a_call_goes_to_the_server_that_holds_the_adapter(self, router, servers, clients):
        routed = RoutedClient(router, {"law": clients, "code": clients})
        for arm in ("law", "code") * 5:
            answer = routed.create(MESSAGES, route={"arms": [arm]})
            assert answer.text == f"by {arm}"
            assert arm in servers[answer.decision.residency.server].loaded
        assert sum(server.loads for server in servers.values()) == 2  # each server keeps one of the two
        assert failures(router) == []

    def test_a_server_that_joins_without_a_client_is_named(self, router, clients):
        routed = RoutedClient(router, {"law": {"gpu-9": clients["gpu-1"]}, "code": clients})
        with pytest.raises(
            InvalidConfigurationError, match=r"arm 'law' has no client for server 'gpu-.', only for gpu-9"
        ):
            routed.create(MESSAGES, route=LAW)
        assert failures(router) == []
        routed.add_client("law", clients)
        assert routed.create(MESSAGES, route=LAW).text == "by law"

    def test_an_arm_without_an_adapter_is_refused_a_client_for_each_server(self, router, clients):
        router.add_arm("base")
        with pytest.raises(InvalidConfigurationError, match="arm 'base' has no adapter"):
            RoutedClient(router, {"law": clients, "code": clients, "base": clients})

    def test_an_arm_without_any_client_is_refused(self, router, clients):
        with pytest.raises(InvalidConfigurationError, match="the clients of arm 'law' are empty"):
            RoutedClient(router, {"law": {}, "code": clients})
