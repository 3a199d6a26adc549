"""``BanditPlugin`` against the installed LiteLLM, whose mock responses need no network."""

import asyncio
import inspect
import os

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # otherwise its import asks a server for prices
litellm = pytest.importorskip("litellm", reason="pip install 'banditroute[litellm]'")

from litellm.integrations.custom_logger import CustomLogger

from banditroute import Learner, Router
from banditroute.errors import InvalidConfigurationError
from banditroute.integrations.litellm import HEADER, BanditPlugin
from banditroute.policies import Mixture
from tests.integrations.pairs import Recording
from tests.support import store_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*ReadOnly:UserWarning", "ignore::DeprecationWarning"
)  # of LiteLLM's own code
A, B = "openai/gpt-4o-mini", "openai/gpt-4o"
MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]


def models(a="I am a.", b="I am b."):
    """A model list of one group, whose models answer or fail as LiteLLM's mock responses do."""
    return [
        {"model_name": "auto", "litellm_params": {"model": model, "api_key": "x", "mock_response": says}}
        for model, says in ((A, a), (B, b))
    ]


@pytest.fixture
async def routed():
    """Make a LiteLLM router over a model list, whose first model is always tried first."""
    made = []

    def make(model_list, name="banditroute", **settings):
        router = Router(
            arms=BanditPlugin.arms(model_list),
            learner=Learner(policy=Mixture(shares={A: 1})),
            store=Recording(),
            seed=0,
        )
        plugin = BanditPlugin(router, name=name)
        litellm.callbacks = [*litellm.callbacks, plugin]
        made.append(litellm.Router(model_list=model_list, plugins=[plugin], disable_cooldowns=True, **settings))
        return made[-1], plugin

    litellm.logging_callback_manager._reset_all_callbacks()
    yield make
    litellm.logging_callback_manager._reset_all_callbacks()
    await litellm.close_litellm_async_clients()


async def reports_of(plugin, number):
    """Wait until LiteLLM's background worker has reported ``number`` attempts, and return the reports."""
    reports = store_of(plugin.router).reports
    for _ in range(500):
        if len(reports) >= number:
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)  # for one report too many
    return reports


def test_litellm_calls_its_callbacks_by_the_names_that_the_plugin_has():
    for method in ("async_log_success_event", "async_log_failure_event"):
        expected = ["self", "kwargs", "response_obj", "start_time", "end_time"]
        for owner in (CustomLogger, BanditPlugin):
            found = list(inspect.signature(getattr(owner, method)).parameters)
            assert found == expected, f"LiteLLM calls {method} by keywords; rename those of {owner.__name__}: {found}"


async def test_each_call_is_reported_once_and_the_callers_metadata_name_the_decision(routed):
    client, plugin = routed(models())
    ids = set()
    for _ in range(50):
        metadata = {}
        answer = await client.acompletion(model="auto", messages=MESSAGES, metadata=metadata)
        assert answer.choices[0].message.content == "I am a."
        ids.add(plugin.decision_id(metadata))
    reports = await reports_of(plugin, 50)
    assert len(ids) == len(reports) == 50
    for arm, outcomes, failure in reports:
        assert (arm, failure) == (A, None)
        assert outcomes["output_tokens"] > 0
        assert outcomes["cost_usd"] > 0.0
        assert outcomes["latency_seconds"] >= 0.0
    await plugin.router.afeedback(ids.pop(), quality=1.0)


async def test_stream_is_reported_once(routed):
    client, plugin = routed(models())
    stream = await client.acompletion(model="auto", messages=MESSAGES, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == "I am a."
    ((arm, outcomes, failure),) = await reports_of(plugin, 1)
    assert (arm, failure) == (A, None)
    assert outcomes["output_tokens"] > 0


async def test_retry_asks_another_arm_and_both_attempts_are_reported(routed):
    client, plugin = routed(models(a="litellm.RateLimitError"), num_retries=1)
    metadata = {}
    answer = await client.acompletion(model="auto", messages=MESSAGES, metadata=metadata)
    assert answer.choices[0].message.content == "I am b."
    assert [report[::2] for report in await reports_of(plugin, 2)] == [(A, "rate_limit"), (B, None)]
    assert metadata["routing_plugin_signals"]["banditroute"]["arm"] == B


async def test_arm_that_keeps_failing_is_left_out(routed):
    client, plugin = routed(models(a="litellm.InternalServerError"), num_retries=1)
    for _ in range(10):
        await client.acompletion(model="auto", messages=MESSAGES)
    reports = await reports_of(plugin, 15)
    assert [arm for arm, _, failure in reports if failure].count(A) == 5  # then its circuit opens


async def test_fallback_to_another_group_is_routed_and_reported(routed):
    given = [*models(a="litellm.InternalServerError")[:1], *models()[1:]]
    given[1]["model_name"] = "spare"
    client, plugin = routed(given, fallbacks=[{"auto": ["spare"]}], num_retries=0)
    answer = await client.acompletion(model="auto", messages=MESSAGES)
    assert answer.choices[0].message.content == "I am b."
    assert [report[::2] for report in await reports_of(plugin, 2)] == [(A, "server_error"), (B, None)]


async def test_session_of_the_metadata_is_the_session_of_the_decision(routed):
    client, plugin = routed(models())
    metadata = {"session_id": "ticket 7"}
    await client.acompletion(model="auto", messages=MESSAGES, metadata=metadata)
    assert store_of(plugin.router).find(plugin.decision_id(metadata)).session == "ticket 7"
    await reports_of(plugin, 1)


async def test_two_plugins_report_each_to_its_own_router(routed):
    (one, first), (other, second) = routed(models(), name="one"), routed(models(), name="other")
    await one.acompletion(model="auto", messages=MESSAGES)
    await other.acompletion(model="auto", messages=MESSAGES)
    await other.acompletion(model="auto", messages=MESSAGES)
    assert len(await reports_of(second, 2)) == 2
    assert len(await reports_of(first, 1)) == 1


async def test_models_that_are_not_arms_are_left_to_litellm(routed):
    client, plugin = routed(models())
    client.add_deployment(
        litellm.Deployment(
            model_name="other",
            litellm_params={"model": "openai/gpt-4-turbo", "api_key": "x", "mock_response": "I am c."},
        )
    )
    answer = await client.acompletion(model="other", messages=MESSAGES)
    assert answer.choices[0].message.content == "I am c."
    assert await reports_of(plugin, 0) == []


async def test_trouble_of_the_router_costs_no_answer(routed, monkeypatch, caplog):
    client, plugin = routed(models())
    monkeypatch.setattr(plugin.router, "aroute", lambda *_, **__: 1 / 0)
    answer = await client.acompletion(model="auto", messages=MESSAGES)
    assert answer.choices[0].message.content in ("I am a.", "I am b.")
    assert "cannot be routed" in caplog.text


async def test_proxy_names_the_decision_in_a_header():
    plugin = BanditPlugin(Router(arms=[A], seed=0))
    signals = {"routing_plugin_signals": {"banditroute": {"decision_id": "d1"}}}
    for name in ("metadata", "litellm_metadata"):
        headers = await plugin.async_post_call_response_headers_hook(data={name: signals}, response=None)
        assert headers == {HEADER: "d1"}
    assert await plugin.async_post_call_response_headers_hook(data={}, response=None) is None


def test_arms_have_the_prices_of_the_list_or_of_litellm():
    given = [*models(), {"model_name": "own", "litellm_params": {"model": "openai/own-7b"}}]
    given[1]["litellm_params"].update(input_cost_per_token=1e-6, output_cost_per_token=2e-6)
    a, b, own = BanditPlugin.arms([*given, given[0]])
    assert a.input_usd_per_million_tokens == pytest.approx(0.15)
    assert b.output_usd_per_million_tokens == pytest.approx(2.0)
    assert (own.name, own.priced) == ("openai/own-7b", False)
    assert [arm.name for arm in BanditPlugin.arms(given, group="own")] == ["openai/own-7b"]


def test_arms_of_an_unknown_group_are_refused():
    with pytest.raises(InvalidConfigurationError, match="no model of the group 'chta'"):
        BanditPlugin.arms(models(), group="chta")
