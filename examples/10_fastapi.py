"""A FastAPI service with streamed answers and thumbs: three paths, and a router that learns from what users press.

``POST /ask`` answers at once, ``POST /ask/stream`` streams the words, and ``POST /thumbs/{id}`` reports what the user
thought. The response header ``x-decision-id`` names the decision. Two stand-ins play the models, so that the example
needs no key; put ``AsyncOpenAI()`` in their place. Needs the extra ``serve``. `banditroute serve` does all this without
code; write your own service where users, prompts and answers are yours to handle.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace as Some
from typing import Any

try:
    import httpx
    from fastapi import FastAPI, HTTPException
    from fastapi.responses import StreamingResponse
    from pydantic import BaseModel
except ImportError as missing:
    print(f"skipped: {missing.name} is not installed; run: pip install '.[serve]'")
    sys.exit()

from banditroute import Arm, InvalidInputError, Preference, Router, UnknownDecisionError
from banditroute.integrations import AsyncRoutedClient

WORDS = {"small": "I would guess it is ten.", "large": "There are ten. Here is why: ..."}


class Model:
    """Plays a client of the openai package: `chat.completions.create`, whole or as a stream."""

    def __init__(self) -> None:
        self.chat = Some(completions=Some(create=self.create))

    async def create(self, *, model: str, messages: list[dict[str, Any]], stream: bool = False, **_: Any) -> Any:
        usage = Some(prompt_tokens=600, completion_tokens=300)
        if not stream:
            return Some(choices=[Some(message=Some(content=WORDS[model]))], usage=usage)
        return self._words(WORDS[model], usage)

    async def _words(self, text: str, usage: Any) -> AsyncIterator[Any]:
        for word in text.split():
            yield Some(choices=[Some(delta=Some(content=f"{word} "))], usage=None)
        yield Some(choices=[], usage=usage)


class Question(BaseModel):
    text: str
    user: str


class Thumb(BaseModel):
    up: bool
    user: str


def service(router: Router) -> FastAPI:
    """Return the app; it closes the router when it stops."""
    chat = AsyncRoutedClient(router, {"small": Model(), "large": Model()})

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        router.close()

    app = FastAPI(lifespan=life)

    @app.post("/ask")
    async def ask(question: Question) -> dict[str, str]:
        answer = await chat.create(question.text, route={"session": question.user})
        return {"text": answer.text or "", "decision": answer.decision_id}

    @app.post("/ask/stream")
    async def ask_stream(question: Question) -> StreamingResponse:
        answer = await chat.create(question.text, stream=True, route={"session": question.user})

        async def words() -> AsyncIterator[str]:
            async with answer:  # a reader who goes away ends the stream, and is reported too
                async for chunk in answer:
                    if chunk.choices:
                        yield chunk.choices[0].delta.content

        return StreamingResponse(words(), media_type="text/plain", headers={"x-decision-id": answer.decision_id})

    @app.post("/thumbs/{decision_id}", status_code=204)
    async def thumbs(decision_id: str, thumb: Thumb) -> None:
        try:
            await router.afeedback(decision_id, quality=float(thumb.up), source=thumb.user)
        except UnknownDecisionError:
            raise HTTPException(404, "no such answer") from None
        except InvalidInputError as error:
            raise HTTPException(422, str(error)) from None

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"learned": router.status().learned, "trouble": router.status().trouble}

    return app


async def main() -> None:
    router = Router(
        arms=[
            Arm(name="small", input_usd_per_million_tokens=0.15, output_usd_per_million_tokens=0.60),
            Arm(name="large", input_usd_per_million_tokens=3.00, output_usd_per_million_tokens=15.0),
        ],
        preference=Preference(quality=1.0, cost_usd=50.0),
        seed=0,
    )
    app = service(router)
    served: Counter[tuple[str, str]] = Counter()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as users:
        for i in range(150):
            hard = i % 3 == 0
            question = {"text": f"Prove lemma {i} in three steps." if hard else f"Spell {i}.", "user": f"user {i % 7}"}
            if i % 2:
                async with users.stream("POST", "/ask/stream", json=question) as response:
                    text = "".join([part async for part in response.aiter_text()]).strip()
                decision_id = response.headers["x-decision-id"]
            else:
                answer = (await users.post("/ask", json=question)).json()
                text, decision_id = answer["text"], answer["decision"]
            arm = "large" if text == WORDS["large"] else "small"
            served["hard" if hard else "easy", arm] += 1
            thumb = {"up": arm == "large" or not hard, "user": question["user"]}
            (await users.post(f"/thumbs/{decision_id}", json=thumb)).raise_for_status()
        unknown = await users.post("/thumbs/" + "0" * 32, json={"up": True, "user": "nobody"})
        print(f"a thumb for an unknown answer: {unknown.status_code} {unknown.json()['detail']}")
        print(f"health: {json.dumps((await users.get('/health')).json())}")
    for kind in ("easy", "hard"):
        large = served[kind, "large"]
        print(f"{kind} questions: {large} of {large + served[kind, 'small']} went to the large model")
    router.close()


if __name__ == "__main__":
    asyncio.run(main())
