"""What a client answered goes back into the next request, to a client of the same kind or of the other."""

import anthropic.types
import pytest
from openai.types.chat import ChatCompletionMessage

from banditroute import InvalidRequestError
from banditroute.core.conversation import plain_messages
from banditroute.integrations.apis.messages import anthropic_messages, openai_messages, openai_options
from tests.integrations.pairs import MESSAGES, Pair, chat, message

TOOL_CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"x": 2}'}}
OPENAI_TURN = {"role": "assistant", "content": "Let me see.", "tool_calls": [TOOL_CALL]}
ANTHROPIC_TURN = {
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "2 + 2", "signature": "s"},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "1", "name": "add", "input": {"x": 2}},
    ],
}
OPENAI_RESULT = {"role": "tool", "tool_call_id": "1", "content": "4"}
ANTHROPIC_RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "4"}]}


class TestRoundTrips:
    def test_openai_message_goes_back_to_openai(self, serve):
        pair = Pair(serve, chat("4"))
        said = pair.chat.create(MESSAGES).response.choices[0].message
        assert pair.chat.create([*MESSAGES, said, {"role": "user", "content": "and?"}]).text == "4"
        assert pair.asked[1]["messages"][1] == {"role": "assistant", "content": "4"}

    def test_openai_tool_calls_go_back_with_their_result(self, serve):
        turn = ChatCompletionMessage.model_validate(OPENAI_TURN)
        pair = Pair(serve, chat("4"))
        assert pair.chat.create([*MESSAGES, turn, OPENAI_RESULT]).text == "4"
        assert pair.asked[0]["messages"][1:] == [OPENAI_TURN, OPENAI_RESULT]

    def test_anthropic_blocks_go_back_to_anthropic(self, serve):
        pair = Pair(serve, message(content=ANTHROPIC_TURN["content"]), anthropic=True)
        response = pair.chat.create(MESSAGES).response
        for said in ({"role": "assistant", "content": response.content}, response):
            pair.chat.create([*MESSAGES, said, ANTHROPIC_RESULT])
            turn = pair.asked[-1]["messages"][1]
            assert turn == ANTHROPIC_TURN
            assert pair.asked[-1]["messages"][2] == ANTHROPIC_RESULT

    def test_openai_history_goes_to_anthropic(self, serve):
        pair = Pair(serve, message("4"), anthropic=True)
        pair.chat.create([*MESSAGES, ChatCompletionMessage.model_validate(OPENAI_TURN), OPENAI_RESULT])
        assert pair.asked[0]["messages"][1:] == [
            {"role": "assistant", "content": ANTHROPIC_TURN["content"][1:]},
            ANTHROPIC_RESULT,
        ]

    def test_anthropic_history_goes_to_openai(self, serve):
        pair = Pair(serve, chat("4"))
        blocks = anthropic.types.Message.model_validate(message(content=ANTHROPIC_TURN["content"])).content
        pair.chat.create([*MESSAGES, {"role": "assistant", "content": blocks}, ANTHROPIC_RESULT])
        assert pair.asked[0]["messages"][1:] == [OPENAI_TURN, OPENAI_RESULT]


class TestForms:
    @pytest.mark.parametrize(
        "given",
        [
            "hi",
            {"role": "user", "content": "hi"},
            ("user", "hi"),
            ("human", "hi"),
            [("user", "hi")],
            (("user", "hi"),),
            [{"role": "user", "content": "hi"}],
        ],
    )
    @pytest.mark.parametrize("is_anthropic", [False, True])
    def test_one_message_in_any_form(self, serve, given, is_anthropic):
        pair = Pair(serve, message("4") if is_anthropic else chat("4"), anthropic=is_anthropic)
        assert pair.chat.create(given).text == "4"
        assert pair.asked[0]["messages"] == MESSAGES

    @pytest.mark.parametrize("wrong", [7, None, [7], [{"content": "hi"}], [("user", "hi"), 0.5]])
    def test_other_things_are_refused(self, serve, wrong):
        pair = Pair(serve, chat("4"))
        with pytest.raises(InvalidRequestError):
            pair.chat.create(wrong)
        assert (pair.asked, pair.reports) == ([], [])


PART = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}


class TestSystemMessages:
    @pytest.mark.parametrize(
        ("prompts", "system"),
        [
            ([{"role": "system", "content": "Be brief."}], "Be brief."),
            ([{"role": "developer", "content": "Be brief."}], "Be brief."),
            ([{"role": "system", "content": "Be"}, {"role": "developer", "content": "brief."}], "Be\n\nbrief."),
            ([{"role": "system", "content": [PART]}], [PART]),
            ([{"role": "system", "content": [PART]}, ("system", "Do.")], [PART, {"type": "text", "text": "Do."}]),
        ],
    )
    def test_become_the_system_of_anthropic(self, serve, prompts, system):
        pair = Pair(serve, message(), anthropic=True)
        pair.chat.create([*prompts, *MESSAGES])
        assert pair.asked[0]["system"] == system
        assert pair.asked[0]["messages"] == MESSAGES

    def test_system_of_anthropic_becomes_a_message_of_openai(self, serve):
        pair = Pair(serve, chat())
        pair.chat.create(MESSAGES, system="Be brief.")
        assert pair.asked[0]["messages"] == [{"role": "system", "content": "Be brief."}, *MESSAGES]


def test_images_are_translated_both_ways():
    ours = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]
    theirs = [
        {"type": "text", "text": "What?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
    ]
    user = {"role": "user", "content": ours}
    assert anthropic_messages([user])[1] == [{"role": "user", "content": theirs}]
    assert openai_messages([{"role": "user", "content": theirs}]) == [user]


def test_results_of_several_tools_are_one_message_of_anthropic():
    other = {**OPENAI_RESULT, "tool_call_id": "2"}
    (merged,) = anthropic_messages([OPENAI_RESULT, other])[1]
    assert [part["tool_use_id"] for part in merged["content"]] == ["1", "2"]


def test_messages_without_content_are_not_sent_to_anthropic():
    assert anthropic_messages([{"role": "assistant", "content": None}, *MESSAGES])[1] == MESSAGES


def test_tools_of_anthropic_become_functions_of_openai():
    options = {
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f"},
    }
    assert openai_options(options) == {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }


@pytest.mark.parametrize(
    ("arguments", "given"), [('{"a": 1}', {"a": 1}), ("[1]", {"input": [1]}), ('{"a": ', {}), ("", {})]
)
def test_arguments_of_a_tool_are_an_object_for_anthropic(arguments, given):
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    ((block,),) = (turn["content"] for turn in anthropic_messages([{"role": "assistant", "tool_calls": calls}])[1])
    assert (block["name"], block["input"]) == ("f", given)


def test_custom_tools_and_the_old_form_of_calls_go_to_anthropic():
    custom = [{"id": "1", "type": "custom", "custom": {"name": "f", "input": "print(1)"}}]
    old = {"role": "assistant", "content": None, "function_call": {"name": "g", "arguments": "{}"}}
    history = [{"role": "assistant", "tool_calls": custom}, old, {"role": "function", "name": "g", "content": "4"}]
    assert [turn["content"] for turn in anthropic_messages(history)[1]] == [
        [{"type": "tool_use", "id": "1", "name": "f", "input": {"input": "print(1)"}}],
        [{"type": "tool_use", "id": "g", "name": "g", "input": {}}],
        [{"type": "tool_result", "tool_use_id": "g", "content": "4"}],
    ]


def test_refusal_of_openai_stays_in_the_history_of_anthropic():
    assert anthropic_messages([{"role": "assistant", "content": None, "refusal": "no"}])[1] == [
        {"role": "assistant", "content": "no"}
    ]


def test_blocks_of_anthropics_own_tools_are_not_sent_to_openai():
    blocks = [
        {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "1", "content": []},
        {"type": "text", "text": "found"},
    ]
    assert openai_messages([{"role": "assistant", "content": blocks}]) == [{"role": "assistant", "content": "found"}]


def test_documents_are_translated_both_ways():
    file = {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AA=="}}
    source = {"type": "base64", "media_type": "application/pdf", "data": "AA=="}
    user = {"role": "user", "content": [file]}
    assert anthropic_messages([user])[1] == [{"role": "user", "content": [{"type": "document", "source": source}]}]
    assert openai_messages([{"role": "user", "content": [{"type": "document", "source": source}]}]) == [user]
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "once"}}
    assert openai_messages([{"role": "user", "content": [plain]}])[0]["content"] == [{"type": "text", "text": "once"}]


def test_the_name_of_a_function_message_of_langchain_is_kept():
    messages = pytest.importorskip("langchain_core.messages")
    (given,) = plain_messages([messages.FunctionMessage(name="add", content="4")])
    assert given == {"role": "function", "name": "add", "content": "4"}
    _, turns = anthropic_messages([given])
    assert turns == [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "add", "content": "4"}]}]
