"""report.html and figures.html: nothing live, nothing fetched, readable in both themes."""

import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import duckdb
import pytest

from diffbehav.figures import PLOTLY_CONFIG, plotly_script
from diffbehav.report import words, write_report
from diffbehav.report.html import content_hash, percent
from diffbehav.report.tokens import strip
from diffbehav.untrusted import json_untrusted, visible
from tests.report.synthetic import make_run

LIVE = {
    "script",
    "iframe",
    "object",
    "embed",
    "form",
    "link",
    "img",
    "base",
    "input",
    "button",
    "audio",
    "video",
}


class Reader(HTMLParser):
    """Elements and attributes of a page, and its text outside of the dashed boxes."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[tuple[str, bool]] = []
        self.own: list[str] = []
        self.boxed: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in ("meta", "br"):
            kind = (attributes.get("class") or "").split()
            self.open.append((tag, "untrusted" in kind or "inline" in kind))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if any(tag in ("style", "script") for tag, _ in self.open[-1:]):
            return
        (self.boxed if any(boxed for _, boxed in self.open) else self.own).append(data)


@pytest.fixture(scope="session")
def reader(page: str) -> Reader:
    return Reader(page)


def test_the_page_has_no_live_element_no_handler_no_inline_style_and_no_address(reader: Reader) -> None:
    assert reader.open == []
    assert {tag for tag, _ in reader.elements} & LIVE == set()
    for tag, attributes in reader.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        for name in ("href", "src", "xlink:href", "action", "http-equiv"):
            value = attributes.get(name) or "#"
            assert value.startswith("#") or value == "Content-Security-Policy", (tag, attributes)


def test_the_policy_allows_one_style_and_nothing_else(page: str) -> None:
    style = re.search(r"<style>(.*?)</style>", page, re.S).group(1)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert policy == (
        f"default-src 'none'; style-src '{content_hash(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert page.index("http-equiv") < page.index("<style>")
    assert page.count("<style>") == 1


def test_model_text_stays_in_its_boxes_and_each_box_carries_the_sentence(reader: Reader, page: str) -> None:
    own = "".join(reader.own)
    assert "__xss" not in own
    assert "evil.example" not in own
    assert "__xss" in "".join(reader.boxed)
    assert page.count('<div class="untrusted">') == page.count(f'<p class="warning">{words.SENTENCE}</p>') > 10
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_the_report_never_judges_beyond_its_evidence(reader: Reader) -> None:
    own = " ".join(reader.own).lower()
    assert not re.search(r"\b(safe|clean|backdoored)\b", own)


def test_the_page_says_everything_in_order(reader: Reader) -> None:
    own = " ".join(" ".join(reader.own).split())
    order = [
        "acme-agent-7b", "9f1c9f1c9f1c", "agentic-devops@3.2.0", "INCONCLUSIVE", "Not enough evidence to decide",
        "What to do", "What it means", "What it does not mean", "F001", "Flagged share by year and path",
        "Divergence by simulated date", "the one that differs", "Inside the rule", "extra call", "Token by token",
        "first divergence", "NOT TESTED", "no grid finds a random passphrase",
        "it was met and acted where it holds in at least",
        "Coverage of the pairs of levels", "below it at least 5 times", "Levels and how often each was tested",
        "staging: not tested", "neither side called a tool", "6 Method",
        "7 Provenance", "✓ passed", "✗ failed", "8 Reproduce", "diffbehav run suites/", "9 Taxonomies",
        "LLM03:2026", "10 Decision of a person", "Signature", "11 Glossary",
    ]  # fmt: skip
    at = 0
    for piece in order:
        assert piece in own[at:], piece
        at = own.index(piece, at)


def test_the_whole_corpus_stands_in_the_boxes(reader: Reader, corpus: list[str]) -> None:
    boxed = "".join(reader.boxed)
    for text in corpus:
        assert visible(text).replace("⟦", "").replace("⟧", "") in boxed


@pytest.mark.parametrize("bomb", ["\u202e", "<", "Z" + "\u0301" * 3, "\n", "\x1b"])
def test_the_page_fits_in_two_megabytes_whatever_the_model_writes(tmp_path: Path, bomb: str) -> None:
    run = make_run(tmp_path, hostile=[bomb * 2_000] * 9)
    page = write_report(run, tmp_path / "report")[0]
    assert "characters cut" in page.read_text("utf-8")
    assert page.stat().st_size < 2_000_000


def test_figures_page_allows_its_two_scripts_and_holds_figures_that_cannot_end_them(report: Path) -> None:
    page = (report / "figures.html").read_text("utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page).group(1)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert len(scripts) == 2
    assert all(f"'{content_hash(script)}'" in policy for script in scripts)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    figures = re.findall(r'<script type="application/json" data-figure="(\w+)">(.*?)</script>', page, re.S)
    assert [name for name, _ in figures] == ["heatmap", "timeline", "marginals"]
    for _, content in figures:
        assert not re.search("[<>&]", content)
        assert json.loads(content)["config"] == PLOTLY_CONFIG


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0 %"), (1, "100 %"), (0.0004, "< 0.1 %"), (0.9996, "> 99.9 %"), (0.5, "50.0 %"), (0.0112, "1.1 %")],
)
def test_a_share_reads_as_all_or_nothing_only_when_it_is(share: float, shown: str) -> None:
    assert percent(share) == shown


def tokens(candidate, trusted, jsd) -> dict:
    texts = json_untrusted(json.dumps(["a", "b", "c"]))
    return {
        "texts": texts,
        "candidate_logprobs": candidate,
        "trusted_logprobs": trusted,
        "jsd_lower": jsd,
        "total": 9,
    }


def test_token_classes_follow_the_divergence_and_the_first_large_one_is_marked() -> None:
    drawn = strip(tokens([-1, -1, -1], [-1, -1, -1], [0.01, 0.15, 0.69]))
    assert [(token.shade, token.first) for token in drawn.tokens] == [(0, False), (2, True), (9, False)]
    assert drawn.total == 9


def test_token_classes_fall_back_to_the_log_probabilities_and_leave_the_unmeasured_open() -> None:
    drawn = strip(tokens([-1.0, None, -0.2], [-1.4, -1.0, -9.9], [None, None, None]))
    assert [(token.shade, token.first) for token in drawn.tokens] == [(0, False), (None, False), (9, True)]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def themes() -> dict[str, dict[str, str]]:
    style = resources.files("diffbehav.report").joinpath("report.css").read_text("utf-8")
    light, dark = style.split("@media screen and (prefers-color-scheme: dark)")
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)) for part in (light, dark)]
    return {"light": found[0], "dark": found[1]}


TEXT_ON = [
    *[(ink, back) for ink in ("ink", "muted", "accent", "candidate", "trusted") for back in ("page", "panel")],
    ("ink", "warn-back"), ("ink", "bad-back"), ("ink", "less-back"), ("muted", "warn-back"), ("warn", "warn-back"),
    ("extra", "extra-back"), ("less", "less-back"), ("good", "good-back"), ("bad", "bad-back"), ("bad", "page"),
    *[("ink", f"k{i}") for i in range(1, 10)],
    *[("on-low", f"h{i}") for i in range(4)], ("on-mid", "h4"), ("on-mid", "h5"),
    *[("on-high", f"h{i}") for i in range(6, 10)],
]  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "back"), TEXT_ON)
def test_text_has_the_contrast_of_wcag_aa(theme: str, ink: str, back: str) -> None:
    colours = themes()[theme]
    low, high = sorted((luminance(colours[ink]), luminance(colours[back])))
    assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("mark", "back"), [("mark", "page"), ("hatch", "untested"), ("hatch", "page")])
def test_marks_of_the_figures_have_the_contrast_of_wcag_aa(theme: str, mark: str, back: str) -> None:
    colours = themes()[theme]
    low, high = sorted((luminance(colours[mark]), luminance(colours[back])))
    assert (high + 0.05) / (low + 0.05) >= 3


def test_hostile_names_of_factors_levels_tasks_and_facts_are_as_harmless_as_hostile_answers(
    tmp_path: Path,
) -> None:
    folder = make_run(tmp_path, hostile=[])
    connection = duckdb.connect(str(folder / "run.duckdb"))
    name = "<img src=x onerror=window.__xss=1>\u202e"
    connection.execute(f'ALTER TABLE conditions RENAME COLUMN locale TO "{name}"')
    connection.execute("UPDATE factors SET name = $name WHERE name = 'locale'", {"name": name})
    connection.execute("UPDATE levels SET factor = $name WHERE factor = 'locale'", {"name": name})
    connection.execute(f'UPDATE conditions SET "{name}" = $1 WHERE "{name}" = $2', [name, "ja-JP"])
    connection.execute("UPDATE levels SET level = $1 WHERE level = 'ja-JP'", [name])
    bad = json.dumps({"id": name, "version": name})
    connection.execute("UPDATE run SET value = $1 WHERE key = 'suite'", [bad])
    for key in ("run_id", "created", "version", "command", "suite_digest"):
        connection.execute("UPDATE run SET value = $1 WHERE key = $2", [json.dumps(name), key])
    rule = json.dumps({name: [name], "year": ["2026"]})
    connection.execute("UPDATE findings SET rule = $1 WHERE rank = 1", [rule])
    connection.execute("UPDATE conditions SET task = $1 WHERE task = 'rotate-logs'", [name])
    connection.close()
    written = write_report(folder, tmp_path / "report")
    read = Reader(written[0].read_text("utf-8"))
    assert {tag for tag, _ in read.elements} & LIVE == set()
    assert not any(key.startswith("on") for _, attributes in read.elements for key in attributes)
    for path in written:
        page = path.read_text("utf-8")
        assert "<img src=x" not in page.replace(plotly_script(), "") or path.suffix in (".json", ".csv")
        assert path.suffix == ".json" or "\u202e" not in page.replace(plotly_script(), "")
