"""Two arms behind a router: ``a`` is always tried first and answers as the test says, ``b`` always answers well."""

from anthropic import Anthropic
from openai import OpenAI

from banditroute import Arm, Learner, Router
from banditroute.integrations import RoutedClient
from banditroute.policies import Mixture
from banditroute.store import MemoryStore
from banditroute.store.outcomes import failure_of, measured
from tests.support import store_of

MESSAGES = [{"role": "user", "content": "hi"}]
PRICE = {"input_usd_per_million_tokens": 1.0, "output_usd_per_million_tokens": 10.0}
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


class Recording(MemoryStore):
    """Remembers decisions, and feedback: arm, outcomes, and the failure."""

    def __init__(self):
        super().__init__()
        self.reports = []
        self.decisions = []

    def add_decision(self, decision, prompt=None):
        self.decisions.append(decision)
        super().add_decision(decision, prompt)

    def add_feedback(self, feedback):
        arm = self.find(feedback.decision_id).arm
        failure = failure_of(feedback.values)
        self.reports.append((arm, measured(feedback.values), failure and failure[0].value))
        return super().add_feedback(feedback)


def chat(text="hi", usage=USAGE, **more):
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
        **more,
    }


def chunk(delta, **more):
    choices = [{"index": 0, "delta": delta, "finish_reason": None}]
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}


def message(text="hi", **more):
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "stop_reason": "end_turn",
        "content": [{"type": "text", "text": text}],
        "usage": {"input_tokens": 10, "output_tokens": 5},
        **more,
    }


def response(text="hi", **more):
    """Return an answer of the Responses interface."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "id": "r",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed",
        "error": None,
        "output": [
            {"id": "x", "type": "reasoning", "summary": []},
            {"id": "o", "type": "message", "role": "assistant", "status": "completed", "content": content},
        ],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 2},
        },
        **more,
    }


def make_router(arms=("a", "b"), *, arm=None, **settings):
    return Router(
        arms=[Arm(name=name, **PRICE, **(arm or {})) for name in arms],
        learner=Learner(policy=Mixture(shares={arms[0]: 1})),
        store=Recording(),
        seed=0,
        **settings,
    )


class Pair:
    """The router, the routed client, and the requests that arm ``a`` was sent."""

    def __init__(self, serve, answer_of_a, *, anthropic=False, **settings):
        self.asked = []

        def answer(path, body):
            if body["model"] != "a":
                return 200, [chunk({"content": "answer of b"})] if body.get("stream") else chat("answer of b")
            self.asked.append(body)
            return answer_of_a(body) if callable(answer_of_a) else (200, answer_of_a)

        self.url = serve(answer)
        self.openai = OpenAI(base_url=f"{self.url}/v1", api_key="x", max_retries=0)
        self.client = Anthropic(base_url=self.url, api_key="x", max_retries=0) if anthropic else self.openai
        self.router = make_router(**settings)
        self.chat = RoutedClient(self.router, {"a": self.client, "b": self.openai})

    @property
    def reports(self):
        return store_of(self.router).reports
