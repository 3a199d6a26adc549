"""The app: its answers and headers, hostile names, mounting, and a database that goes away."""

import re

import pytest
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from banditroute import Router
from banditroute.admin._database import open_database
from banditroute.cli import main
from banditroute.dashboard import dashboard_app
from banditroute.dashboard.reader import Reader
from banditroute.errors import StoreError
from banditroute.store import SQLStore
from tests.dashboard.conftest import HOSTILE, fill
from tests.support import make_router, wait_until


@pytest.fixture
def client(eventful):
    with TestClient(dashboard_app(eventful)) as client:
        yield client


def wait_for(condition):
    """Return what ``condition`` returns as soon as it holds."""
    found = []

    def holds():
        found.append(condition())
        return bool(found[-1])

    wait_until(holds)
    return found[-1]


def test_page_shows_what_happened(client):
    page = wait_for(lambda: ">403</dd>" in (text := client.get("/?range=all").text) and text)
    assert re.search(r"<h1>Saves \d\d% against always large .*; 2 things need you\.</h1>", page)
    assert "The circuit of small is open" in page
    assert "Budget cost_usd per request is overdrawn" in page
    assert page.count(">why?</a>") == 15


def test_no_script_may_come_from_elsewhere(client):
    answers = [client.get(path) for path in ("/", "/live", "/decision?id=x", "/static/plotly.js", "/static/no.js")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "default-src 'none'" in policy
        assert "unsafe-eval" not in policy
    page = answers[0].text
    assert re.findall(r"<script(.*?)>(.*?)</script>", page) == [
        (' src="static/plotly.js" defer', ""),
        (' src="static/dashboard.js" defer', ""),
    ]
    assert not re.search(r"\son\w+=|https?://", page)
    assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 404]


def test_live_gives_the_parts_and_the_charts(client):
    found = wait_for(lambda: "calibration" in (got := client.get("/live?range=all").json())["charts"] and got)
    assert {"shares", "spend", "trade-off", "calibration", "curve-0"} <= set(found["charts"])
    assert found["html"].count("data-live") == 9


def test_filters_narrow_the_figures(client):
    wait_for(lambda: "<dd>403</dd>" in client.get("/live?range=all").json()["html"])
    chat = client.get("/live?range=all&tag=chat").json()["html"]
    assert "<dd>200</dd>" in chat
    assert "(not active)" not in chat


def test_tenant_and_task_narrow_the_figures(tmp_path):
    url = f"sqlite:///{tmp_path / 'tenants.db'}"
    with make_router("small", "large", store=SQLStore(url)) as router:
        for i in range(12):
            router.route(
                [0.0, 0.0], tags=[f"tenant:{'acme' if i % 2 else 'zoo'}", f"task:{'code' if i % 3 else 'chat'}"]
            )
    client = TestClient(dashboard_app(url), base_url="http://127.0.0.1")
    page = wait_for(lambda: "tenant:acme" in (got := client.get("/").text) and got)
    assert page.count('name="tag"') == 2
    assert '<option value="tenant:acme">acme</option>' in page
    both = "/live?tag=tenant:acme&tag=task:code"
    assert "<dd>4</dd>" in wait_for(lambda: "<dd>4</dd>" in (got := client.get(both).json()["html"]) and got)
    assert client.get(both).json()["html"].count('class="text">tenant:acme, task:code</td>') == 4
    chosen = client.get("/?tag=tenant:acme&tag=task:code").text
    assert 'value="tenant:acme" selected' in chosen
    assert 'value="task:code" selected' in chosen


@pytest.mark.parametrize(
    "path", ["/?router=%00&arm=<x>&tag='&tag=<x>&range=zz&step=--", "/live?arm=" + "x" * 5000, "/decision?id=%00"]
)
def test_hostile_queries_are_answered(client, path):
    assert client.get(path).status_code in (200, 404)


def test_decision_is_explained_by_its_id(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    id = fill(url, n=60)[-1]
    with TestClient(dashboard_app(url)) as client:
        page = client.get(f"/decision?id={id}").text
        assert "Arms were compared by their utility: 1 × quality." in page
        assert page.count("<meter") == 2
        assert "All arms were equally probable, each with 50.0%." in page
        assert client.get("/decision?id=" + "0" * 32).status_code == 404


def test_hostile_names_are_text(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    ids = fill(url, arms=tuple(HOSTILE), n=80)
    with TestClient(dashboard_app(url)) as client:
        wait_for(lambda: "<dd>80</dd>" in client.get("/live?range=all").json()["html"])
        for path in ("/?range=all", f"/decision?id={ids[0]}"):
            page = client.get(path).text
            for part in ("<script>alert", "<a href='https", "<img"):
                assert part not in page
            assert "{{7*7}}" in page
        charts = client.get("/live?range=all").json()["charts"]
        names = {trace["name"] for chart in charts.values() for trace in chart["data"]}
        assert any("&lt;script&gt;" in name for name in names)
        assert not any("<" in name or "$" in name or "%{" in name for name in names)


def test_app_can_be_mounted(eventful):
    with TestClient(Starlette(routes=[Mount("/routing", dashboard_app(eventful))])) as client:
        page = client.get("/routing/").text
        assert not re.search(r'(href|src|action)="/', page)  # links are relative
        assert client.get("/routing/static/dashboard.css").status_code == 200


def test_database_cannot_be_written(eventful):
    database = Reader(url=eventful).database
    with (
        pytest.raises(Exception, match="readonly"),
        database.engine.connect() as connection,
        database.reading(connection),
    ):
        connection.execute(text("DELETE FROM banditroute_feedback"))


def test_missing_database_is_refused_and_not_made(tmp_path):
    with pytest.raises(StoreError, match="there is no file"):
        dashboard_app(f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []


def test_figures_stay_while_the_database_is_away_and_follow_when_it_is_back(tmp_path):
    place, away = tmp_path / "a.db", tmp_path / "away.db"
    fill(f"sqlite:///{place}", n=60)
    with TestClient(dashboard_app(f"sqlite:///{place}")) as client:
        wait_for(lambda: "<dd>60</dd>" in client.get("/live?range=all").json()["html"])
        place.rename(away)
        gone = wait_for(lambda: "cannot be read" in (html := client.get("/live?range=all").json()["html"]) and html)
        assert "<dd>60</dd>" in gone
        assert client.get("/decision?id=x").status_code == 503
        assert not place.exists()
        away.rename(place)
        wait_for(lambda: "cannot be read" not in client.get("/live?range=all").json()["html"])
        fill(f"sqlite:///{place}", n=5, days=0.001)
        wait_for(lambda: "<dd>65</dd>" in client.get("/live?range=all").json()["html"])


def test_empty_database_says_so(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_router(store=SQLStore(url)).close()
    with TestClient(dashboard_app(url)) as client:
        wait_for(lambda: "No decision is recorded yet." in client.get("/").text)
        assert client.get("/live").json()["charts"] == {}


def test_damaged_rows_and_states_do_not_stop_the_page(eventful):
    database = open_database(eventful)
    with database.engine.connect() as connection, database.writing(connection):
        connection.execute(text("UPDATE banditroute_state SET blob = x'00' WHERE name = 'breaker'"))
        connection.execute(text("UPDATE banditroute_decision SET tags = '{', x = x'01' WHERE arm = 'large'"))
        id = connection.scalar(text("SELECT id FROM banditroute_decision WHERE arm = 'large'"))
    with TestClient(dashboard_app(eventful)) as client:
        wait_for(lambda: "A piece of state cannot be read" in client.get("/?range=all").text)
        answer = client.get(f"/decision?id={id}")
        assert answer.status_code == 503
        assert "is damaged" in answer.text


def test_command_refuses_a_database_that_is_not_there(tmp_path):
    from click.testing import CliRunner

    found = CliRunner().invoke(main, ["dashboard", str(tmp_path / "none.db")])
    assert found.exit_code == 1 or found.exit_code == 2
    assert "none.db" in found.output


def test_long_names_of_one_family_are_told_apart(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    arms = ("provider/model-large-2512-instruct", "provider/model-large-2512-thinking")
    fill(url, arms=arms, n=40)
    with TestClient(dashboard_app(url)) as client:
        wait_for(lambda: "<dd>40</dd>" in client.get("/live?range=all").json()["html"])
        charts = client.get("/live?range=all").json()["charts"]
        for chart in charts.values():
            names = [trace["name"] for trace in chart["data"]]
            assert len(set(names)) == len(names)
        assert len(charts["shares"]["data"]) == 2


def test_shares_of_a_single_hour_are_bars_and_large_numbers_are_whole(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with Router(arms=["a"], features=1, store=SQLStore(url), seed=0, clock=lambda: 1_800_000_000.0) as router:
        router.feedback(router.route([0.5]).id, quality=1.0, output_tokens=1462)
    with TestClient(dashboard_app(url)) as client:
        wait_for(lambda: "<dd>1</dd>" in client.get("/live?range=all").json()["html"])
        live = client.get("/live?range=all").json()
    assert [(trace["type"], trace["y"]) for trace in live["charts"]["shares"]["data"]] == [("bar", [1.0])]
    assert "output tokens 1,462" in live["html"]
