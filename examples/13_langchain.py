"""A LangChain chat model that learns which of two models to ask; the models answer without a network.

Needs ``pip install 'banditroute[langchain]'``.
"""

from __future__ import annotations

import sys
from typing import Any

from banditroute import Arm, Preference, Router
from banditroute.errors import MissingDependencyError

try:
    from banditroute.integrations.langchain import ChatBandit
except MissingDependencyError as error:
    print(error)
    sys.exit(0)

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate

QUESTIONS = 300


class Model(BaseChatModel):
    """Stand for a provider's chat model: it counts tokens, and solves easy or all questions."""

    solves_hard: bool

    @property
    def _llm_type(self) -> str:
        return "example"

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        solved = self.solves_hard or "prove" not in messages[-1].text
        tokens = {"input_tokens": 200, "output_tokens": 100, "total_tokens": 300}
        message = AIMessage("right" if solved else "wrong", usage_metadata=tokens)
        return ChatResult(generations=[ChatGeneration(message=message)])


def main() -> None:
    router = Router(
        arms=[
            Arm(name="small", input_usd_per_million_tokens=0.2, output_usd_per_million_tokens=1.0),
            Arm(name="large", input_usd_per_million_tokens=3.0, output_usd_per_million_tokens=15.0),
        ],
        preference=Preference(quality=1.0, cost_usd=100.0),
        seed=0,
    )
    chat = ChatBandit(router=router, models={"small": Model(solves_hard=False), "large": Model(solves_hard=True)})
    chain = ChatPromptTemplate([("system", "Answer briefly."), ("user", "{question}")]) | chat
    asked = {"easy": {"small": 0, "large": 0}, "hard": {"small": 0, "large": 0}}
    for number in range(QUESTIONS):
        hard = number % 3 == 0
        question = f"Please prove theorem {number}." if hard else f"What is the capital of country {number}?"
        answer = chain.invoke({"question": question})
        router.feedback(answer.response_metadata["decision_id"], quality=float(answer.text == "right"))
        if number >= QUESTIONS // 2:
            asked["hard" if hard else "easy"][answer.response_metadata["arm"]] += 1
    for kind, arms in asked.items():
        print(f"{kind} questions of the second half: " + ", ".join(f"{n} to {arm}" for arm, n in arms.items()))


if __name__ == "__main__":
    main()
