"""The page, as a browser shows it."""

import csv
import io
import json
import re
import shutil

import numpy as np
import pytest

from banditroute import LinUCB, Preference
from banditroute.logs import DecisionLog, OutcomeTable
from banditroute.report import Section, Table, page, report, simulated
from banditroute.simulate.adapter_slots import AdapterSlots
from banditroute.simulate.conditions import Conditions
from banditroute.simulate.replay import replay

NAMES = ("cheap $1 & <small>", "_dear")
PREFER = Preference(quality=1.0, cost_usd=10.0, latency_seconds=0.2)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report of two seeds of a learner on a small table."""
    rng = np.random.default_rng(0)
    n = 300
    quality = np.stack([rng.random(n) < 0.5, rng.random(n) < 0.9], axis=1).astype(float)
    table = OutcomeTable(
        name="toy",
        prompts=tuple(f"prompt {i}" for i in range(n)),
        tasks=("",) * n,
        arms=NAMES,
        outcomes={"quality": quality, "cost_usd": np.tile([0.001, 0.01], (n, 1))},
    )
    x = rng.normal(size=(n, 2))
    learner = LinUCB()
    paged = Conditions(paging=AdapterSlots(slots=1, load_seconds=0.4))
    traces = {
        "Lin <UCB>": [replay(table, x, learner=learner, preference=PREFER, seed=s, conditions=paged) for s in (0, 1)]
    }
    sections = simulated(
        table,
        x,
        traces=traces,
        learners={"Lin <UCB>": learner},
        preference=PREFER,
        budget_usd=0.005,
        conditions=paged,
    )
    out = tmp_path_factory.mktemp("report")
    page(out, title="A <b>title</b>", facts={"log": "toy & co"}, sections=sections)
    return out


def test_page_is_one_small_file_without_links_to_others(folder):
    text = (folder / "report.html").read_text()
    assert len(text) < 1_000_000
    for link in ("src=", "@import", "url(http", "<link"):
        assert link not in text
    assert "default-src 'none'" in text
    assert "<b>title" not in text
    assert "{{" not in text


def test_the_same_figures_are_beside_it(folder):
    document = json.loads((folder / "figures.json").read_text())
    assert document["facts"] == {"log": "toy & co"}
    (ours, *_) = document["sections"]["policies"]
    assert ours["policy"] == "Lin <UCB>"
    for name, rows in document["sections"].items():
        head, *lines = (folder / f"{name}.csv").read_text().splitlines()
        assert len(lines) == len(rows)
        assert head
        assert name == "policies" or (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    (paging,) = document["sections"]["paging"]
    assert paging["policy"] == "Lin <UCB>"
    assert paging["requests"] == 600
    assert ours["hit_rate"] == pytest.approx(paging["hit rate"])
    assert ours["paged_seconds"] == pytest.approx(paging["seconds waited"] / 600)
    assert paging["waited"] * paging["seconds of a wait"] == pytest.approx(paging["seconds waited"]) != 0.0
    (utility,), (regret,) = document["sections"]["utility"], document["sections"]["regret"]
    assert utility["after 4/4"] == pytest.approx(300 * ours["utility"])
    assert regret["after 4/4"] == pytest.approx(ours["regret"])
    error = document["sections"]["calibration"][0]["calibration error of the policy"]
    assert 0.0 <= error < 0.3


def test_the_same_figures_give_the_same_page(folder, tmp_path):
    section = Section(name="a", title="A", says="B", table=Table(columns=("c",), rows=[(1.5,), (None,), ("x",)]))
    first = page(tmp_path / "one", title="t", facts={}, sections=[section]).read_bytes()
    assert page(tmp_path / "two", title="t", facts={}, sections=[section]).read_bytes() == first


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "dark")])
def test_page_works_in_a_browser(folder, width, scheme):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        complaints, asked = [], []
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        url = (folder / "report.html").as_uri()
        tab.goto(url)
        assert tab.title() == "A <b>title</b>"
        assert tab.locator("figure svg").count() == 7
        assert {"served at once", "seconds waited"} <= set(tab.locator("#paging svg text").all_text_contents())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width  # only tables scroll, in themselves
        for figure in tab.locator("figure svg").all():
            box = figure.bounding_box()
            assert 0.5 * min(width, 700) < box["width"] <= width
            assert box["height"] > 150
        ink, paper = tab.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        assert brightness(ink) > 600 > 200 > brightness(paper) if scheme == "dark" else brightness(ink) < 200
        label = tab.locator("#regret svg text").first
        assert tab.evaluate("e => getComputedStyle(e).fill", label.element_handle()) == ink
        assert "cheap $1 & <small>" in tab.locator("#frontier table").inner_text()
        heads = tab.locator("#frontier th button")
        heads.nth(1).click()
        cost = [float(cell.get_attribute("data-value")) for cell in tab.locator("#frontier td:nth-child(2)").all()]
        assert cost == sorted(cost)
        heads.nth(1).click()
        cost = [float(cell.get_attribute("data-value")) for cell in tab.locator("#frontier td:nth-child(2)").all()]
        assert cost == sorted(cost, reverse=True)
        heads.nth(0).click()
        assert tab.locator("#frontier td:first-child").first.inner_text() == "_dear"
        browser.close()
    assert complaints == []
    assert asked == [url]


def brightness(colour):
    """The sum of red, green and blue of ``rgb(r, g, b)``."""
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


HOSTILE = ("<script>alert(1)</script>", "=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "{{sections}}", "\t=1", "]]>")


def test_names_from_data_are_safe_everywhere(tmp_path):
    names = ["tokens/s", "..", "../../evil", "A", "a", "CON?", "\u00e9t\u00e9", "", "x" * 300]
    sections = [
        Section(
            name=name,
            title=name,
            says=HOSTILE[5],
            table=Table(columns=("arm", "n"), rows=[(arm, -1.0) for arm in HOSTILE]),
        )
        for name in names
    ]
    written = page(tmp_path / "out", title="{{facts}}", facts={"log": "{{title}}"}, sections=sections)
    text = written.read_text()
    assert text.count("{{sections}}") == len(names) * 2  # its sentence and one cell; nothing was filled in twice
    assert "<script>alert" not in text
    files = sorted(each.name for each in (tmp_path / "out").iterdir())
    assert len(files) == len(names) + 2
    assert all(re.fullmatch(r"[a-z0-9_-]+\.(csv|json|html)", name) for name in files)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out"]
    for path in (tmp_path / "out").glob("*.csv"):
        cells = [row[0] for row in csv.reader(io.StringIO(path.read_text(), newline=""))]
        assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t|")]
        assert "'=cmd|' /C calc'!A0" in cells


def test_no_password_is_shown(tmp_path):
    log = DecisionLog(
        arms=("a", "b"),
        chosen=np.array([0, 1] * 100),
        eligible=np.ones((200, 2), dtype=bool),
        outcomes={"quality": np.ones(200)},
        decided_at=np.arange(200.0),
    )
    written = report(log, tmp_path, name="postgresql://user:s3cr3t@host/db")
    assert "s3cr3t" not in written.read_text() + (tmp_path / "figures.json").read_text()
