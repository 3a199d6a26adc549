"""``ChatBandit`` against the installed LangChain, with chat models that answer without a network."""

import pytest

pytest.importorskip("langchain_core", reason="pip install 'banditroute[langchain]'")

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from pydantic import BaseModel

from banditroute import Router
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.integrations.langchain import ChatBandit
from tests.integrations.pairs import make_router
from tests.support import store_of

TOKENS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


class Model(BaseChatModel):
    """A chat model that says its name in two chunks, calls the first of its tools once, or raises its error."""

    name: str = "a"
    error: Exception | None = None
    breaks_off: bool = False
    tools: list = []
    seen: list = []
    model_config = {"arbitrary_types_allowed": True}

    @property
    def _llm_type(self):
        return "model"

    def bind_tools(self, tools, **kwargs):
        return self.model_copy(update={"tools": [*tools]}).bind(**kwargs)

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.seen.append({"stop": stop, **kwargs})
        if self.error is not None:
            raise self.error
        message = AIMessage(f"I am {self.name}.", usage_metadata=TOKENS, response_metadata={"model_name": self.name})
        if self.tools and not any(isinstance(each, ToolMessage) for each in messages):
            called = getattr(self.tools[0], "name", None) or self.tools[0].__name__
            message = AIMessage("", tool_calls=[{"name": called, "args": {"city": "Rome"}, "id": "1"}])
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        if self.error is not None and not self.breaks_off:
            raise self.error
        for text, tokens in (("I am ", (10, 2)), (f"{self.name}.", (0, 3))):
            usage = {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)}
            yield ChatGenerationChunk(message=AIMessageChunk(text, usage_metadata=usage))
            if self.breaks_off:
                raise self.error


def behind(a=None, b=None, **more):
    """A chat over arms a and b; a is always tried first."""
    return ChatBandit(router=make_router(), models={"a": a or Model(), "b": b or Model(name="b")}, **more)


def reports(chat):
    return store_of(chat.router).reports


def check_report(report, arm="a"):
    assert report[0] == arm
    assert report[1]["cost_usd"] == pytest.approx(6e-5)  # 10 tokens at $1 and 5 at $10 per million
    assert report[1]["latency_seconds"] >= 0.0
    assert report[2] is None


def test_invoke_names_its_decision_and_reports_the_call():
    chat = behind()
    answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("Who are you?")])
    assert (answer.text, answer.response_metadata["arm"]) == ("I am a.", "a")
    check_report(*reports(chat))
    chat.router.feedback(answer.response_metadata["decision_id"], quality=1.0)


async def test_ainvoke_does_the_same_on_the_event_loop():
    chat = behind()
    answer = await chat.ainvoke("Who are you?")
    assert (answer.text, answer.response_metadata["arm"]) == ("I am a.", "a")
    check_report(*reports(chat))


def test_next_arm_answers_when_the_first_fails():
    chat = behind(Model(error=TimeoutError("slow")))
    assert chat.invoke("Who are you?").text == "I am b."
    assert reports(chat)[0][::2] == ("a", "timeout")
    check_report(reports(chat)[1], "b")


def test_mistake_of_the_caller_is_raised_and_not_reported():
    chat = behind(Model(error=TypeError("got an unexpected keyword argument 'temperatur'")))
    with pytest.raises(TypeError, match="temperatur"):
        chat.invoke("Who are you?")
    assert reports(chat) == []


def test_stream_names_its_decision_once_and_reports_the_sum_of_its_tokens():
    chat = behind()
    chunks = list(chat.stream("Who are you?"))
    assert "".join(chunk.text for chunk in chunks) == "I am a."
    assert [chunk.response_metadata.get("arm") for chunk in chunks if chunk.text] == ["a", None]
    check_report(*reports(chat))


async def test_astream_does_the_same_on_the_event_loop():
    chat = behind()
    assert "".join([chunk.text async for chunk in chat.astream("Who are you?")]) == "I am a."
    check_report(*reports(chat))


def test_stream_that_fails_before_its_first_chunk_goes_on_with_the_next_arm():
    chat = behind(Model(error=ConnectionError("gone")))
    assert "".join(chunk.text for chunk in chat.stream("Who are you?")) == "I am b."
    assert [report[::2] for report in reports(chat)] == [("a", "connection"), ("b", None)]


def test_stream_that_breaks_off_raises_and_is_reported_once():
    chat = behind(Model(error=ConnectionError("gone"), breaks_off=True))
    with pytest.raises(ConnectionError):
        list(chat.stream("Who are you?"))
    assert [report[::2] for report in reports(chat)] == [("a", "connection")]


def test_stream_that_is_left_reports_its_cost_so_far():
    chat = behind()
    stream = chat.stream("Who are you?")
    next(stream)
    stream.close()
    ((arm, outcomes, failure),) = reports(chat)
    assert (arm, failure) == ("a", None)
    assert outcomes["cost_usd"] > 0.0


@tool
def weather(city: str) -> str:
    """Say what the weather is."""
    return f"sunny in {city}"


def test_tools_are_bound_to_the_model_of_the_chosen_arm():
    answer = behind().bind_tools([weather]).invoke("How is the weather in Rome?")
    assert answer.tool_calls[0]["args"] == {"city": "Rome"}


class City(BaseModel):
    """A city."""

    city: str


def test_structured_output_gives_an_object():
    assert behind().with_structured_output(City).invoke("Name a city.") == City(city="Rome")


def test_agent_answers_each_step_through_the_router():
    agents = pytest.importorskip("langchain.agents", reason="pip install langchain")
    chat = behind()
    state = agents.create_agent(chat, [weather]).invoke({"messages": [HumanMessage("How is the weather?")]})
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert state["messages"][2].content == "sunny in Rome"
    assert len(reports(chat)) == 2


def test_options_of_the_chat_and_of_the_call_reach_the_model():
    model = Model(seen=[])
    behind(model, temperature=0.5).invoke("Hi", stop=["."], top_p=0.9)
    assert model.seen == [{"stop": ["."], "temperature": 0.5, "top_p": 0.9}]


def test_options_of_route_may_be_given_for_all_calls_and_for_one():
    chat = behind(route={"arms": ["b"]})
    assert chat.invoke("Hi").response_metadata["arm"] == "b"
    assert chat.invoke("Hi", route={"arms": ["a"]}).response_metadata["arm"] == "a"


def test_chain_works_with_a_prompt_template():
    chain = ChatPromptTemplate([("system", "Be brief."), ("user", "{question}")]) | behind()
    assert chain.invoke({"question": "Who are you?"}).text == "I am a."
    assert [answer.text for answer in chain.batch([{"question": "1"}, {"question": "2"}])] == ["I am a."] * 2


@pytest.mark.parametrize(
    "request_",
    [
        [HumanMessage("Why?")],
        [
            HumanMessage("Why?"),
            AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
            ToolMessage("1", tool_call_id="1"),
        ],
        ChatPromptTemplate([("user", "Why?")]).invoke({}).to_messages(),
    ],
)
def test_route_takes_langchain_messages(request_):
    assert Router(arms=["a"], seed=0).route(request_).arm == "a"


def test_model_that_is_named_is_refused():
    with pytest.raises(InvalidRequestError, match="the router chooses the model"):
        behind().invoke("Hi", model="gpt-5")


@pytest.mark.parametrize(
    ("models", "says"),
    [({"a": Model()}, "give one for each arm"), ({"a": Model(), "b": "gpt-5"}, "model of arm 'b' is a str")],
)
def test_models_that_do_not_fit_are_refused(models, says):
    with pytest.raises(InvalidConfigurationError, match=says):
        ChatBandit(router=Router(arms=["a", "b"]), models=models)


def test_callbacks_hear_of_each_call_once():
    handler = UsageMetadataCallbackHandler()
    chain = ChatPromptTemplate([("user", "{question}")]) | behind()
    chain.invoke({"question": "Who are you?"}, {"callbacks": [handler]})
    assert [usage["total_tokens"] for usage in handler.usage_metadata.values()] == [15]
