"""The page, as a browser shows it."""

import shutil
import socket
import threading
import time

import pytest
from playwright.sync_api import expect, sync_playwright

from banditroute.dashboard import dashboard_app
from banditroute.store import SQLStore
from tests.dashboard.conftest import HOSTILE, fill
from tests.report.test_page import brightness
from tests.support import make_router

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
PATIENCE_MILLISECONDS = 60_000


@pytest.fixture
def serve():
    """Serve the page of a database on a port of this machine; return its address."""
    import uvicorn

    running = []

    def start(url):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(dashboard_app(url), port=port, log_level="error", ws="none"))
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        while not server.started:
            time.sleep(0.02)
        return f"http://127.0.0.1:{port}/"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(30.0)


@pytest.fixture
def tab():
    """A tab of a browser; at its end nothing was complained of, and no other place was asked."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.set_default_timeout(PATIENCE_MILLISECONDS)
        complaints, asked = [], set()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: asked.add(request.url.split("/")[2] if "//" in request.url else "data"))
        yield tab
        browser.close()
    assert [each for each in complaints if "503" not in each and "ERR_" not in each] == []
    assert len(asked - {"data"}) == 1


def drawn(tab):
    """Wait until the charts are drawn; return the names of those that are."""
    tab.wait_for_selector("[data-chart=shares] .main-svg")
    expect(tab.locator(".js-plotly-plot").nth(2)).to_be_attached(timeout=PATIENCE_MILLISECONDS)
    return {each.get_attribute("data-chart") for each in tab.locator(".js-plotly-plot").all()}


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1024, "dark"), (390, "dark")])
def test_page_fits_and_is_readable(eventful, serve, tab, width, scheme):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.emulate_media(color_scheme=scheme)
    tab.goto(f"{serve(eventful)}?range=all")
    assert {"shares", "trade-off", "spend", "curve-0"} <= drawn(tab)
    assert tab.locator("h1").inner_text().endswith("2 things need you.")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width  # only tables scroll, in themselves
    ink, paper = tab.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert brightness(ink) > 600 > 200 > brightness(paper) if scheme == "dark" else brightness(ink) < 200
    label = tab.locator("[data-chart=shares] .xtick text").first
    assert label.evaluate("each => getComputedStyle(each).fill") == ink
    for chart in tab.locator(".js-plotly-plot").all():
        box = chart.bounding_box()
        assert 0.4 * min(width, 600) < box["width"] <= width
        assert chart.evaluate("each => each.getAttribute('role')") == "img"
    assert tab.locator("canvas").count() == 0


def test_filters_change_the_figures_and_the_address(eventful, serve, tab):
    tab.goto(f"{serve(eventful)}?range=all")
    drawn(tab)
    tab.locator("select[name=tag]").select_option("chat")
    expect(tab.locator(".tiles dd").first).to_have_text("200", timeout=PATIENCE_MILLISECONDS)
    assert tab.url.endswith("?router=support&tag=chat&range=all")
    tab.locator("select[name=arm]").select_option("large")
    expect(tab.locator("#arms tbody tr")).to_have_count(1, timeout=PATIENCE_MILLISECONDS)
    tab.reload()
    drawn(tab)
    assert tab.locator("select[name=arm]").input_value() == "large"
    assert tab.locator(".tiles dd").first.inner_text() == "200"


def test_tenant_and_task_are_chosen_together(tmp_path, serve, tab):
    url = f"sqlite:///{tmp_path / 'tenants.db'}"
    with make_router("small", "large", store=SQLStore(url)) as router:
        for i in range(12):
            router.route(
                [0.0, 0.0], tags=[f"tenant:{'acme' if i % 2 else 'zoo'}", f"task:{'code' if i % 3 else 'chat'}"]
            )
    address = serve(url)
    tab.goto(address)
    expect(tab.locator(".tiles dd").first).to_have_text("12", timeout=PATIENCE_MILLISECONDS)
    tab.goto(address)
    tab.get_by_label("Tenant").select_option("acme")
    expect(tab.locator(".tiles dd").first).to_have_text("6", timeout=PATIENCE_MILLISECONDS)
    tab.get_by_label("Task").select_option("code")
    expect(tab.locator(".tiles dd").first).to_have_text("4", timeout=PATIENCE_MILLISECONDS)
    assert tab.url.endswith("tag=tenant%3Aacme&tag=task%3Acode&range=day")
    tab.reload()
    expect(tab.locator(".tiles dd").first).to_have_text("4", timeout=PATIENCE_MILLISECONDS)


def test_page_is_used_by_keyboard(eventful, serve, tab):
    tab.goto(f"{serve(eventful)}?range=all")
    drawn(tab)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the figures"
    reached = []
    for _ in range(12):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.name || document.activeElement.id || 'link'"))
    assert reached[:5] == ["router", "arm", "tag", "range", "step"]
    assert "pause" in reached
    tab.get_by_role("button", name="Pause updates").press("Enter")
    assert tab.get_by_role("button", name="Resume updates").get_attribute("aria-pressed") == "true"


def test_decision_is_followed_and_left(eventful, serve, tab):
    tab.goto(f"{serve(eventful)}?range=all")
    drawn(tab)
    tab.get_by_role("button", name="Pause updates").click()
    tab.locator("#decisions tbody tr").nth(4).get_by_role("link").click()
    tab.wait_for_selector("h1:has-text('Why small?')")
    assert tab.locator("tr.chosen th").inner_text().startswith("small")
    assert tab.locator(".why li").count() >= 2
    tab.get_by_role("link", name="Back to all figures").click()
    drawn(tab)


def test_new_decisions_appear_and_the_database_may_go_and_come(tmp_path, serve, tab):
    place, away = tmp_path / "a.db", tmp_path / "away.db"
    fill(f"sqlite:///{place}", n=40, days=0.01)
    tab.goto(serve(f"sqlite:///{place}"))
    drawn(tab)
    fill(f"sqlite:///{place}", n=7, days=0.001)
    expect(tab.locator(".tiles dd").first).to_have_text("47", timeout=PATIENCE_MILLISECONDS)
    place.rename(away)
    tab.wait_for_selector(".banner:has-text('cannot be read')")
    assert tab.locator(".tiles dd").first.inner_text() == "47"
    away.rename(place)
    tab.wait_for_selector(".banner", state="detached")


def test_empty_database_fills_by_itself(tmp_path, serve, tab):
    from banditroute.store import SQLStore
    from tests.support import make_router

    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_router("small", "large", store=SQLStore(url), name="support").close()
    tab.goto(serve(url))
    tab.wait_for_selector("text=No decision is recorded yet.")
    fill(url, n=30, days=0.001)
    drawn(tab)
    expect(tab.locator(".tiles dd").first).to_have_text("30", timeout=PATIENCE_MILLISECONDS)


def test_hostile_names_are_only_text(tmp_path, serve, tab):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    fill(url, arms=tuple(HOSTILE), n=80, days=0.5)
    tab.on("dialog", lambda dialog: pytest.fail(dialog.message))
    tab.goto(serve(url))
    drawn(tab)
    assert set(tab.locator("#arms tbody th").all_text_contents()) == set(HOSTILE)
    legend = tab.locator("[data-chart=shares] .legendtext").all_text_contents()
    assert "<script>ale…(1)</script>" in legend
    assert "{{7*7}}%\u200b{y}$x$" in legend
    assert tab.locator("main img, main script, .js-plotly-plot a[href]").count() == 0
