"""``BanditModel`` against the installed pydantic-ai, with models that answer without a network."""

import pytest

pytest.importorskip("pydantic_ai", reason="pip install 'banditroute[pydantic-ai]'")

from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

from banditroute import Router
from banditroute.core.conversation import plain_messages
from banditroute.errors import InvalidConfigurationError
from banditroute.integrations.pydantic_ai import BanditModel
from tests.integrations.pairs import make_router
from tests.support import store_of


def says(text, error=None, breaks_off=False):
    """A model that says a text in two chunks, or raises an error."""

    def answer(messages, info):
        if error is not None:
            raise error
        return ModelResponse([TextPart(text)], usage=RequestUsage(input_tokens=10, output_tokens=5))

    async def stream(messages, info):
        if error is not None and not breaks_off:
            raise error
        yield text[:4]
        if breaks_off:
            raise error
        yield text[4:]

    return FunctionModel(answer, stream_function=stream)


def behind(a=None, b=None, **more):
    """A model over arms a and b; a is always tried first."""
    return BanditModel(make_router(), {"a": a or says("I am a."), "b": b or says("I am b.")}, **more)


def reports(model):
    return store_of(model.router).reports


async def test_run_names_its_decision_and_reports_the_call():
    model = behind()
    result = await Agent(model).run("Who are you?")
    assert (result.output, result.response.metadata["arm"]) == ("I am a.", "a")
    ((arm, outcomes, failure),) = reports(model)
    assert (arm, failure) == ("a", None)
    assert outcomes["cost_usd"] == pytest.approx(6e-5)  # 10 tokens at $1 and 5 at $10 per million
    model.router.feedback(result.response.metadata["decision_id"], quality=1.0)


async def test_next_arm_answers_when_the_first_fails():
    model = behind(says("", error=ModelHTTPError(429, "a", {"message": "slow down"})))
    assert (await Agent(model).run("Who are you?")).output == "I am b."
    assert [report[::2] for report in reports(model)] == [("a", "rate_limit"), ("b", None)]


async def test_error_of_the_last_arm_is_raised():
    down = ModelHTTPError(503, "a")
    with pytest.raises(ModelHTTPError):
        await Agent(behind(says("", error=down), says("", error=down))).run("Who are you?")


async def test_stream_names_its_decision_and_reports_the_call():
    model = behind()
    async with Agent(model).run_stream("Who are you?") as result:
        assert [text async for text in result.stream_text(delta=True, debounce_by=None)] == ["I am", " a."]
        assert result.response.metadata["arm"] == "a"
    ((arm, outcomes, failure),) = reports(model)
    assert (arm, failure) == ("a", None)
    assert outcomes["output_tokens"] > 0


async def test_stream_that_fails_before_it_begins_goes_on_with_the_next_arm():
    model = behind(says("", error=ModelHTTPError(500, "a")))
    async with Agent(model).run_stream("Who are you?") as result:
        assert await result.get_output() == "I am b."
    assert [report[::2] for report in reports(model)] == [("a", "server_error"), ("b", None)]


async def test_stream_that_breaks_off_raises_and_is_reported_once():
    model = behind(says("I am a.", error=ModelHTTPError(500, "a"), breaks_off=True))
    with pytest.raises(ModelHTTPError):
        async with Agent(model).run_stream("Who are you?") as result:
            await result.get_output()
    assert [report[::2] for report in reports(model)] == [("a", "server_error")]


async def test_stream_that_is_left_reports_that_the_arm_answered():
    model = behind()
    async with Agent(model).run_stream("Who are you?") as result:
        async for _ in result.stream_text(delta=True, debounce_by=None):
            break
    ((arm, outcomes, failure),) = reports(model)
    assert (arm, failure) == ("a", None)
    assert "cost_usd" in outcomes


class City(BaseModel):
    name: str


async def test_tools_and_output_types_work_and_each_step_is_routed():
    model = behind(TestModel(custom_output_args={"name": "Rome"}))
    agent = Agent(model, output_type=City)

    @agent.tool_plain
    def weather(city: str) -> str:
        """Say what the weather is."""
        return "sunny"

    result = await agent.run("Name a city with good weather.")
    assert result.output == City(name="Rome")
    assert [report[0] for report in reports(model)] == ["a", "a"]


async def test_messages_of_a_run_can_be_routed():
    def answer(messages, info):
        if len(messages) == 1:
            return ModelResponse([ToolCallPart("weather", {"city": "Rome"}, "1")])
        return ModelResponse([TextPart("It is sunny.")])

    agent = Agent(FunctionModel(answer), system_prompt="Be brief.")
    agent.tool_plain(weather)
    result = await agent.run("How is the weather?")
    decision = Router(arms=["a"], seed=0).route(result.all_messages())
    assert decision.arm == "a"
    roles = [message["role"] for message in plain_messages(result.all_messages())]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]


def weather(city: str) -> str:
    """Say what the weather is."""
    return "sunny"


async def test_options_of_route_may_be_given():
    assert (await Agent(behind(route={"arms": ["b"]})).run("Hi")).response.metadata["arm"] == "b"


async def test_models_are_entered_and_left_with_the_model():
    class Entered(TestModel):
        open = 0

        async def __aenter__(self):
            self.open += 1
            return self

        async def __aexit__(self, *error):
            self.open -= 1

    inner = Entered()
    async with behind(inner), Agent(TestModel()):
        assert inner.open == 1
    assert inner.open == 0


@pytest.mark.parametrize(
    ("models", "reason"),
    [({"a": TestModel()}, "give one for each arm"), ({"a": TestModel(), "b": "gpt-5"}, "model of arm 'b' is a str")],
)
def test_models_that_do_not_fit_are_refused(models, reason):
    with pytest.raises(InvalidConfigurationError, match=reason):
        BanditModel(Router(arms=["a", "b"]), models)
