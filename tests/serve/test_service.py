"""The service over real sockets: OpenAI's SDK, routing, feedback, figures, and what it refuses."""

import json
import logging

import httpx
import openai
import pytest

from banditroute import Arm, Router, SQLStore, admin
from banditroute.config import ServeSettings, load_deployment
from banditroute.errors import InvalidConfigurationError
from banditroute.serve import Tokens, run
from banditroute.serve.running import app_of, check_address
from tests.support import wait_until

from .conftest import KEY, service, tables_for

ASKED = [{"role": "user", "content": "Who are you?"}]


@pytest.fixture
def sdk(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        yield client


class TestOpenAI:
    def test_chat_completion_names_its_decision(self, sdk, http):
        raw = sdk.chat.completions.with_raw_response.create(model="auto", messages=ASKED)
        answer = raw.parse()
        facts = answer.model_extra["banditroute"]
        assert answer.choices[0].message.content == f"I am {facts['arm']}."
        assert answer.usage.prompt_tokens == 20
        assert raw.headers["x-banditroute-decision-id"] == facts["decision_id"]
        assert raw.headers["x-banditroute-arm"] == facts["arm"]
        explained = http.get(f"/explain/{facts['decision_id']}").json()
        assert explained["arm"] == facts["arm"]
        assert {row["arm"] for row in explained["arms"]} == {"small", "large"}
        assert http.post("/feedback", json={"decision_id": facts["decision_id"], "quality": 1.0}).json() == {
            "status": "accepted"
        }

    def test_name_of_an_arm_is_obeyed(self, sdk):
        for arm in ("small", "large"):
            answer = sdk.chat.completions.create(model=arm, messages=ASKED)
            assert answer.choices[0].message.content == f"I am {arm}."

    def test_unknown_model_is_not_found(self, sdk):
        with pytest.raises(openai.NotFoundError, match="unknown model 'gpt-7'"):
            sdk.chat.completions.create(model="gpt-7", messages=ASKED)

    def test_streamed_answer_names_its_decision(self, sdk, http):
        chunks = list(sdk.chat.completions.create(model="large", messages=ASKED, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "I am large."
        id = chunks[0].model_extra["banditroute"]["decision_id"]
        assert http.get(f"/explain/{id}").json()["arm"] == "large"

    def test_stream_with_usage(self, sdk):
        chunks = list(
            sdk.chat.completions.create(
                model="auto", messages=ASKED, stream=True, stream_options={"include_usage": True}
            )
        )
        assert chunks[-1].usage.total_tokens == 23

    def test_stream_that_is_left_does_no_harm(self, sdk):
        with sdk.chat.completions.create(model="auto", messages=ASKED, stream=True) as stream:
            next(iter(stream))
        assert sdk.chat.completions.create(model="auto", messages=ASKED).choices

    def test_tools_reach_the_model(self, sdk):
        tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
        answer = sdk.chat.completions.create(model="auto", messages=ASKED, tools=[tool], temperature=0)
        assert answer.choices[0].message.tool_calls[0].function.name == "look_up"

    def test_option_that_the_client_does_not_know_is_sent_in_the_body(self, sdk):
        answer = sdk.chat.completions.create(model="small", messages=ASKED, extra_body={"top_k": 3, "extra_headers": 1})
        assert answer.choices[0].message.content == "I am small."

    def test_options_of_the_router(self, sdk, http):
        answer = sdk.chat.completions.create(
            model="auto", messages=ASKED, extra_body={"route": {"exclude": ["small"], "session": "7", "tags": ["x"]}}
        )
        facts = answer.model_extra["banditroute"]
        explained = http.get(f"/explain/{facts['decision_id']}").json()
        assert (explained["arm"], explained["session"], explained["tags"]) == ("large", "7", ["x"])

    async def test_asynchronous_client_is_served(self, url):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any") as client:
            answer = await client.chat.completions.create(model="auto", messages=ASKED)
            assert answer.choices[0].message.content.startswith("I am")
            stream = await client.chat.completions.create(model="small", messages=ASKED, stream=True)
            assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "I am small."

    def test_models_are_auto_and_the_arms(self, sdk):
        assert [model.id for model in sdk.models.list()] == ["auto", "small", "large"]


class TestUpstreamTrouble:
    @pytest.mark.parametrize(("model", "status"), [("400", 400), ("401", 502), ("429", 429), ("500", 502)])
    def test_failure_of_the_last_arm_is_passed_on_without_its_key(self, upstream, model, status):
        with service(tables_for(upstream, model)) as url:
            answer = httpx.post(f"{url}/v1/chat/completions", json={"model": "auto", "messages": ASKED}, timeout=30)
        assert answer.status_code == status
        assert KEY not in answer.text
        assert answer.json()["error"]["message"]

    def test_another_arm_answers_for_one_that_fails(self, upstream):
        with service(tables_for(upstream, "500", "good")) as url:
            for _ in range(10):
                answer = httpx.post(f"{url}/v1/chat/completions", json={"model": "auto", "messages": ASKED}, timeout=30)
                assert answer.json()["banditroute"]["arm"] == "good"

    def test_stream_that_breaks_off_says_so(self, upstream):
        with service(tables_for(upstream, "breaks off")) as url:
            body = {"messages": ASKED, "stream": True}
            lines = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30).text.strip().split("\n\n")
        assert "error" in json.loads(lines[-1].removeprefix("data: "))


class TestAHardBudget:
    def test_that_covers_no_arm_is_answered_with_402(self, upstream):
        tables = tables_for(upstream, budgets=[{"usd": 1e-9, "per": "day", "hard": True}])
        with service(tables) as url:
            body = {"messages": ASKED, "max_tokens": 10}
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30)
            assert answer.status_code == 402
            assert "no arm was asked: budget 'cost_usd per day'" in answer.json()["error"]["message"]
            routed = httpx.post(f"{url}/route", json={"input": "Why?"}, timeout=30).json()
            assert routed["granted"] is False


class TestRouting:
    def test_route_feedback_compare(self, http):
        first = http.post("/route", json={"input": "Why?", "tags": ["x"]})
        assert first.headers["x-banditroute-decision-id"] == first.json()["id"]
        other = http.post("/route", json={"input": ASKED, "exclude": [first.json()["arm"]]}).json()
        assert other["arm"] != first.json()["arm"]
        assert http.post("/compare", json={"ranking": [other["id"], first.json()["id"]]}).status_code == 200
        report = {"decision_id": first.json()["id"], "cost_usd": 0.001, "latency_seconds": 2.0}
        assert http.post("/feedback", json=report).json() == {"status": "accepted"}
        assert http.post("/feedback", json={**report, "cost_usd": 0.5}).status_code == 409

    def test_next_step_names_the_answer_or_the_next_arm(self, http):
        first = http.post("/route", json={"input": "Why?"}).json()
        step = http.post("/next_step", json={"decision_id": first["id"], "signals": {"judge": 0.1}}).json()
        assert step["stop"] is (step["next"] is None)
        if step["stop"]:
            assert step["answer"] == first["id"]
        else:
            assert step["next"]["arm"] != first["arm"]
        body = {"decision_id": first["id"], "signals": {"judge": 3}}
        assert http.post("/next_step", json=body).status_code == 422

    def test_dry_run_changes_nothing(self, http):
        before = http.get("/status").json()["decisions"]
        shown = http.post("/route", json={"input": "Why?", "dry_run": True}).json()
        assert shown["id"] == ""
        assert sum(row["probability"] for row in shown["arms"]) == pytest.approx(1.0)
        assert http.get("/status").json()["decisions"] == before

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("/route", {"input": "Why?", "arms": ["nobody"]}, 422),
            ("/route", {"input": "Why?", "armz": ["small"]}, 422),
            ("/route", {"input": "Why?", "limits": {"max_cost": 1}}, 422),
            ("/route", {"input": []}, 422),
            ("/route", {"input": [1.0]}, 422),
            ("/feedback", {"decision_id": "0" * 32, "quality": 1.0}, 404),
            ("/feedback", {"decision_id": "x", "quality": 2.0}, 422),
            ("/feedback", {"decision_id": "x", "objectives": {"failed": 1.0}}, 422),
            ("/feedback", {"decision_id": "x", "objectives": {"decision_id": 1.0}}, 422),
            ("/feedback", {"decision_id": "x", "quality": 1.0, "objectives": {"quality": 1.0}}, 422),
            ("/compare", {"ranking": ["x", "x"]}, 422),
        ],
    )
    def test_mistake_is_answered_with_what_to_do(self, http, path, body, status):
        answer = http.post(path, json=body)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]

    def test_decision_of_another_process_is_explained_from_the_database(self, upstream, tmp_path):
        store = f"sqlite:///{tmp_path}/routes.db"
        with (
            service(tables_for(upstream, store={"type": "SQLStore", "url": store})) as url,
            httpx.Client(base_url=url, timeout=30) as http,
        ):
            with Router(arms=["small", "large"], store=SQLStore(store)) as other:
                decision = other.route("Why?")
                other.feedback(decision.id, quality=1.0)
            found = http.get(f"/explain/{decision.id}").json()
            assert found["arm"] == decision.arm
            assert found["outcomes"][0]["value"] == 1.0
            assert {row["arm"]: row["probability"] for row in found["arms"]} == pytest.approx(
                {"small": 0.5, "large": 0.5}
            )
            unknown = http.get(f"/explain/{'0' * 32}")
            assert unknown.status_code == 404
            assert "is recorded; check the id" in unknown.text
            assert str(tmp_path) not in unknown.text

    def test_unknown_decision_is_not_found(self, http):
        assert http.get(f"/explain/{'0' * 32}").status_code == 404

    def test_health_status_metrics_and_schema_are_served(self, http):
        assert http.get("/healthz").json()["status"] == "ok"
        assert http.get("/status").json()["router"] == "default"
        assert "banditroute" in http.get("/metrics").text
        assert {"/route", "/v1/chat/completions"} <= http.get("/openapi.json").json()["paths"].keys()


class TestBoundary:
    def test_request_id_is_kept_or_made(self, http):
        assert http.get("/healthz", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
        assert len(http.get("/healthz", headers={"x-request-id": "a b"}).headers["x-request-id"]) == 32

    def test_long_body_is_refused(self, http):
        body = b'{"input": "' + b"x" * 2**20 + b'"}'
        assert http.post("/route", content=body).status_code == 413

        def parts():
            for _ in range(20):
                yield b"x" * 2**16

        assert http.post("/route", content=parts()).status_code == 413
        assert http.get("/healthz").status_code == 200

    def test_slow_answer_is_cut(self, upstream):
        with service(tables_for(upstream, serve={"timeout_seconds": 1e-6})) as url:
            answer = httpx.post(f"{url}/v1/chat/completions", json={"messages": ASKED}, timeout=30)
        assert answer.status_code == 504

    def test_token_opens_only_the_paths_of_its_scope(self, upstream, tmp_path):
        names = {scope: f"{scope}-token-0123456789" for scope in ("read", "route", "feedback", "admin")}
        path = tmp_path / "tokens"
        path.write_text("# tokens\n" + "".join(f"{token} {scope}\n" for scope, token in names.items()))
        with service(tables_for(upstream, serve={"token_file": str(path)})) as url:
            calls = {
                "read": ("GET", "/status", None),
                "route": ("POST", "/route", {"input": "Why?"}),
                "feedback": ("POST", "/feedback", {"decision_id": "x", "quality": 1.0}),
                "admin": ("GET", "/elsewhere", None),
            }
            for needed, (method, path, body) in calls.items():
                for scope, token in names.items():
                    headers = {"Authorization": f"Bearer {token}"}
                    answer = httpx.request(method, f"{url}{path}", json=body, headers=headers, timeout=30)
                    assert (answer.status_code == 403) is (scope not in (needed, "admin")), (needed, scope)
                for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {names['admin']}"}):
                    answer = httpx.request(method, f"{url}{path}", json=body, headers=wrong, timeout=30)
                    assert answer.status_code == 401
                    assert answer.headers["www-authenticate"] == "Bearer"
            assert httpx.get(f"{url}/healthz").status_code == 200

    def test_tokens_compare_in_constant_time(self, monkeypatch):
        import hmac

        compared = []
        real = hmac.compare_digest
        monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or real(a, b))
        tokens = Tokens(scopes={"a" * 20: ["read"], "b" * 30: ["read"]})
        assert tokens.knows("a" * 20)
        assert compared == [(32, 32)] * 2

    @pytest.mark.parametrize("text", ["", "short read", "a-long-enough-token reed", "a-long-enough-token", "a b c"])
    def test_bad_token_file_is_refused_and_not_quoted(self, tmp_path, text):
        path = tmp_path / "tokens"
        path.write_text(text)
        with pytest.raises(InvalidConfigurationError) as error:
            Tokens.read(path)
        assert "long-enough" not in str(error.value)

    @pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.org"])
    def test_address_of_others_needs_tokens(self, tmp_path, host):
        with pytest.raises(InvalidConfigurationError, match="can be reached by others"):
            check_address(ServeSettings(host=host))
        file = tmp_path / "router.toml"
        file.write_text(f'arms = ["a"]\n[serve]\nhost = "{host}"\n')
        with pytest.raises(InvalidConfigurationError, match="can be reached by others"):
            run(str(file))

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
    def test_loopback_needs_none(self, host):
        check_address(ServeSettings(host=host))

    def test_workers_need_a_database(self, tmp_path):
        file = tmp_path / "router.toml"
        file.write_text('arms = ["a"]\n')
        with pytest.raises(InvalidConfigurationError, match="2 workers share nothing without a database"):
            run(str(file), workers=2)

    def test_arm_without_upstream_is_refused(self):
        deployment = load_deployment({"arms": ["a", "b"], "upstreams": {"a": {}}}, environment={})
        with pytest.raises(InvalidConfigurationError, match="give one for each arm"):
            app_of(deployment)


def test_service_starts_after_arms_were_changed_for_all_processes(upstream, tmp_path):
    database = f"sqlite:///{tmp_path}/routes.db"
    tables = tables_for(upstream, "a", "b", store={"type": "SQLStore", "url": database})
    with service(tables):
        admin.add_arm(database, Arm(name="new"))
        admin.remove_arm(database, "a")
    with service(tables) as url:
        wait_until(lambda: [arm["arm"] for arm in httpx.get(f"{url}/status").json()["arms"]] == ["b", "new"])
        for _ in range(10):  # "new" has no upstream
            answer = httpx.post(f"{url}/v1/chat/completions", json={"messages": ASKED}, timeout=30)
            assert answer.json()["banditroute"]["arm"] == "b"


def test_live_page_of_the_database_is_at_dashboard(upstream, tmp_path):
    with service(tables_for(upstream, store={"type": "SQLStore", "url": f"sqlite:///{tmp_path}/routes.db"})) as url:
        made = httpx.post(f"{url}/route", json={"input": "Why?"}).json()
        wait_until(lambda: made["id"] in httpx.get(f"{url}/dashboard/live").json()["html"])
        assert f"Why {made['arm']}?" in httpx.get(f"{url}/dashboard/decision", params={"id": made["id"]}).text
        assert httpx.get(f"{url}/dashboard", follow_redirects=True).text.startswith("<!doctype html>")
    with service(tables_for(upstream)) as url:  # without a database
        assert httpx.get(f"{url}/dashboard/").status_code == 404


def test_key_appears_nowhere(upstream, caplog):
    with caplog.at_level(logging.DEBUG, logger="banditroute"), service(tables_for(upstream, "401", "good")) as url:
        texts = [httpx.get(f"{url}{path}").text for path in ("/status", "/metrics", "/openapi.json", "/healthz")]
        for _ in range(5):
            texts.append(httpx.post(f"{url}/v1/chat/completions", json={"messages": ASKED}, timeout=30).text)
    assert KEY not in "".join(texts) + caplog.text
