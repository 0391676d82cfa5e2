"""The pages of the hostile run in a real browser without a network."""

import re
from pathlib import Path

import pytest

from diffbehav.errors import InfrastructureError
from diffbehav.report import write_pdf

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


def opened(browser, path: Path, *, javascript: bool, scheme: str = "light"):
    """The page at `path`, what its console said, and which requests it made beside itself."""
    context = browser.new_context(java_script_enabled=javascript, color_scheme=scheme, offline=True)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    return page, said, asked


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_runs_nothing_fetches_nothing_and_violates_no_policy(browser, report: Path, scheme: str) -> None:
    path = report / "report.html"
    page, said, asked = opened(browser, path, javascript=True, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    page.wait_for_timeout(300)
    assert said == []
    assert asked == [path.as_uri()]
    assert page.evaluate("typeof window.__xss") == "undefined"
    assert page.evaluate("document.styleSheets.length") == 1
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_report_shows_everything_without_javascript(browser, report: Path) -> None:
    page, said, _ = opened(browser, report / "report.html", javascript=False)
    assert said == []
    for heading in (
        "Verdict",
        "Rules",
        "Where they part",
        "Minimal pairs",
        "Coverage",
        "Method",
        "Provenance",
    ):
        assert page.get_by_role("heading", name=heading, exact=False).first.is_visible()
    for figure in ("Flagged share by year and path", "Divergence by simulated date"):
        assert page.get_by_role("img", name=figure).is_visible()
    assert page.locator(".tokens .first").first.is_visible()
    assert page.locator(".tag.extra_call").first.is_visible()


def test_what_is_folded_on_the_page_is_unfolded_in_print_but_for_tables_of_what_a_figure_shows(
    browser, report: Path
) -> None:
    page, _, _ = opened(browser, report / "report.html", javascript=True)
    page.emulate_media(media="print")
    assert page.get_by_text("Messages, inside").first.is_visible()
    assert page.locator("details:not(.aside) .untrusted").first.is_visible()
    assert not page.get_by_text("View as table").first.is_visible()
    assert not page.get_by_role("navigation").is_visible()
    page.set_viewport_size({"width": 690, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator(".decision").is_visible()


def test_the_report_is_printed_as_a_pdf_of_several_pages(report: Path, tmp_path: Path) -> None:
    write_pdf(report / "report.html", tmp_path / "new" / "report.pdf")
    content = (tmp_path / "new" / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 3


def test_figures_draw_without_a_console_message_or_a_request(browser, report: Path) -> None:
    path = report / "figures.html"
    page, said, asked = opened(browser, path, javascript=True)
    page.wait_for_selector("#marginals .main-svg", timeout=60_000)
    assert page.locator(".js-plotly-plot").count() == 3
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
    assert page.evaluate("typeof window.__xss") == "undefined"
    assert page.locator("[data-title*='hart Studio'], [data-title*='hare']").count() == 0


def test_without_a_chromium_the_error_says_what_is_missing(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match="none of chromium, .* is installed here; install one, leave out"):
        write_pdf(report / "report.html", tmp_path / "report.pdf")
