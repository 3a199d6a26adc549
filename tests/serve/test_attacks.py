"""Hostile bodies and headers, requests made from the OpenAPI, and an upstream that is killed under load."""

import asyncio
import json
import random
import socket
import string

import httpx
import pytest

from .conftest import service, tables_for, upstream_process

ASKED = [{"role": "user", "content": "Why?"}]
PATHS = ["/route", "/feedback", "/compare", "/v1/chat/completions"]
VALUES = [
    None,
    True,
    0,
    -1,
    1e308,
    2**70,
    "",
    "x",
    "\x00",
    "\ud800",
    "é" * 300,
    [],
    {},
    [[]],
    [1.0],
    {"a": None},
    ASKED,
]
NAMES = ["input", "messages", "model", "stream", "route", "dry_run", "arms", "exclude", "limits", "preference", "tags"]
NAMES += [
    "session",
    "metadata",
    "input_tokens",
    "decision_id",
    "quality",
    "failure",
    "objectives",
    "ranking",
    "tools",
]


def hostile_body(rng):
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    if kind == 1:
        return b"[" * rng.randrange(5000)
    if kind == 2:
        return rng.choice([b"", b"null", b"NaN", b'{"input": NaN}', b'"x"', b"{", b'{"input": 1e999}', b"\xff\xfe{}"])
    known = {"input": "Why?", "messages": ASKED, "decision_id": "0" * 32, "ranking": ["a", "b"]}
    body = known if kind > 3 else {}
    body |= {rng.choice(NAMES): rng.choice(VALUES) for _ in range(rng.randrange(4))}
    return json.dumps(body).encode()


def hostile_headers(rng):
    names = ["content-type", "authorization", "x-request-id", "accept", "cookie", "x-" + "a" * rng.randrange(1, 50)]
    letters = string.ascii_letters + string.punctuation + " \té"
    return {rng.choice(names): "".join(rng.choices(letters, k=rng.randrange(60))).strip() for _ in range(3)}


def attack(url, count, seed):
    rng = random.Random(seed)
    statuses = set()
    with httpx.Client(base_url=url, timeout=60) as client:
        for _ in range(count):
            headers = {"content-type": "application/json"} | hostile_headers(rng)
            method = rng.choice(["POST", "POST", "POST", "PUT", "GET", "DELETE"])
            path = rng.choice([*PATHS, "/explain/" + rng.choice(["x", "%00", "%ED%A0%80", "a" * 500])])
            answer = client.request(
                method,
                path,
                content=hostile_body(rng),
                headers={name: value.encode("latin-1") for name, value in headers.items()},
            )
            assert answer.status_code < 500, (method, path, answer.text)
            assert "Traceback" not in answer.text
            statuses.add(answer.status_code)
        assert client.get("/healthz").status_code == 200
    return statuses


def test_hostile_requests_never_give_a_server_error(url):
    assert {200, 404, 405, 422} <= attack(url, 300, seed=0)


@pytest.mark.slow
def test_10_000_hostile_requests_never_give_a_server_error(url):
    attack(url, 10_000, seed=1)


def test_raw_bytes_do_not_stop_the_service(url):
    port = int(url.rsplit(":", 1)[1])
    for raw in (b"\x00" * 100, b"GET\r\n\r\n", b"POST /route HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"x" * 70_000):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            try:
                connection.sendall(raw)
                connection.settimeout(2)
                connection.recv(100)
            except OSError:
                pass
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_answer_that_no_json_can_hold_is_the_arms_failure(upstream):
    with service(tables_for(upstream, "nan", "surrogate")) as url:
        answer = httpx.post(f"{url}/v1/chat/completions", json={"model": "nan", "messages": ASKED})
        assert (answer.status_code, answer.json()["error"]["type"]) == (502, "server_error")
        answer = httpx.post(f"{url}/v1/chat/completions", json={"model": "surrogate", "messages": ASKED})
        assert json.loads(answer.content)["choices"][0]["message"]["content"] == "\ud800"


@pytest.mark.parametrize("name", ["self", "options", "extra_body", "extra_headers", "timeout", "path", "cast_to"])
def test_option_with_the_name_of_a_parameter_is_sent_in_the_body_alone(http, name):
    answer = http.post("/v1/chat/completions", json={"model": "small", "messages": ASKED, name: {"x": 1}})
    assert answer.json()["choices"][0]["message"]["content"] == "I am small."


@pytest.mark.filterwarnings("ignore")
def test_database_that_is_gone_is_named_in_the_log_alone(upstream, tmp_path, caplog):
    file = tmp_path / "secret-place.db"
    tables = tables_for(upstream, store={"type": "SQLStore", "url": f"sqlite:///{file}"})
    with service(tables) as url:
        decision = httpx.post(f"{url}/route", json={"input": "Why?"}).json()
        assert httpx.post(f"{url}/feedback", json={"decision_id": decision["id"], "quality": 1.0}).status_code == 200
        for part in tmp_path.glob("secret-place*"):
            part.rename(f"{part}.moved")
        file.mkdir()  # or a new database would take its place
        answer = httpx.post(f"{url}/feedback", json={"decision_id": decision["id"], "cost_usd": 1.0}, timeout=90)
        health = httpx.get(f"{url}/healthz")
    assert (answer.status_code, health.json()["trouble"]) == (503, True)
    assert not [each.text for each in (answer, health) if "secret-place" in each.text]
    assert "secret-place" in caplog.text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_requests_made_from_the_openapi_keep_it(url):
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=40,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(case=operation.as_strategy())
        def check(case):
            answer = case.call(base_url=url)
            assert answer.status_code < 500, answer.text

        check()


async def load(url, requests, per_second, *, after):
    statuses = []

    async def ask(client, number):
        await asyncio.sleep(number / per_second)
        after(number)
        answer = await client.post("/v1/chat/completions", json={"messages": ASKED, "stream": number % 3 == 0})
        statuses.append((answer.status_code, "I am" in answer.text or "content" in answer.text, "error" in answer.text))

    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        await asyncio.gather(*(ask(client, number) for number in range(requests)))
    return statuses


async def test_killed_upstream_gives_no_client_error():
    with upstream_process() as (victim, first), upstream_process() as (_, second):
        tables = tables_for(first, "small", "large")
        tables["upstreams"]["large"]["base_url"] = second

        def kill_in_the_middle(number):
            if number == 40:
                victim.kill()

        with service(tables) as url:
            statuses = await load(url, 120, 60, after=kill_in_the_middle)
            shown = httpx.get(f"{url}/status").json()
    assert [each for each in statuses if each != (200, True, False)] == []
    assert shown["decisions"] >= 120
