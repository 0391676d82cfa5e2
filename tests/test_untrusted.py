"""Whatever a model writes, no sink receives a live element, escape sequence, formula or command."""

import csv
import hashlib
import io
import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbehav import untrusted

HOSTILE = [
    json.loads(line)["text"]
    for line in (Path(__file__).parent / "data" / "hostile.jsonl").read_text("ascii").splitlines()
]
PIECES = st.sampled_from(
    ["<", ">", "&", '"', "'", "`", "@", "=", ":", "#", "\x1b", "\x9b", "\r", "\n", "\t", "\0", "\u202e"]
    + ["\u200b", "\ud800", "\u0301", "⟦", "⟧", "\u2028", "]]>", "</script>", "::", "```", "\U000e0041"]
    + ["\ufe0f", "U+202E"]
)
ANY = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(), max_size=60),
    st.lists(st.one_of(PIECES, st.text(st.characters(), max_size=3)), max_size=25).map("".join),
)


class Elements(HTMLParser):
    """Collects the elements, comments and text of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, object]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, attrs))

    def handle_comment(self, data):
        self.elements.append(("comment", data))

    def handle_decl(self, decl):
        self.elements.append(("declaration", decl))

    def handle_data(self, data):
        self.text += data


def hidden(text: str) -> list[str]:
    """Characters of `text` that draw nothing or move the cursor, newline and tab aside."""
    categories = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return [c for c in text if c not in "\n\t" and unicodedata.category(c) in categories]


@given(ANY)
def test_visible_text_holds_no_hidden_character_and_no_pile_of_marks(text):
    shown = untrusted.visible(text)
    assert hidden(shown) == []
    run = longest = 0
    for character in shown:
        run = run + 1 if unicodedata.category(character)[0] == "M" else 0
        longest = max(longest, run)
    assert longest <= 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext é 日本 א", "plain\n\ttext é 日本 א"),
        ("\x1b[31m\x07\x7f", "␛[31m␇␡"),
        ("a\u202eb", "a⟦U+202E⟧b"),
        ("\U000e0041", "⟦U+E0041⟧"),
        ("e\u0301", "e\u0301"),
        ("Z\u0300\u0301\u0302!", "Z⟦3 marks⟧!"),
        ("\ud800", "⟦U+D800⟧"),
        ("\u0085\u2028", "⟦U+0085⟧⟦U+2028⟧"),
        ("⟦U+202E⟧", "⟦U+27E6⟧U+202E⟦U+27E7⟧"),
    ],
)
def test_visible_form_of_known_characters(text, shown):
    assert untrusted.visible(text) == shown


@given(ANY)
def test_html_holds_no_element_but_boxes_and_keeps_the_text(text):
    parsed = Elements(untrusted.html(text))
    assert all(element == ("span", [("class", "box")]) for element in parsed.elements)
    assert parsed.text == untrusted.visible(text).replace("⟦", "").replace("⟧", "")


@given(ANY)
def test_terminal_text_is_one_line_without_controls_or_ci_commands(text):
    line = untrusted.terminal(text)
    assert hidden(line) == []
    assert "\n" not in line
    assert "\t" not in line
    assert line.splitlines() in ([line], [])
    assert not line.lstrip().startswith("::")
    assert not re.search(r"##(\[|vso|teamcity)", line)


@given(ANY)
def test_markdown_fence_cannot_be_closed_by_the_text(text):
    lines = untrusted.markdown(text).split("\n")
    fence = lines[0].removesuffix("text")
    assert re.fullmatch("`{3,}", fence)
    assert lines[-2:] == [fence, ""]
    assert not any(fence in line for line in lines[1:-2])
    assert not re.search("@[^\u200b]", "\n".join(lines))
    assert hidden("\n".join(lines).replace("@\u200b", "")) == []


@given(ANY)
def test_csv_field_is_one_field_and_no_formula(text):
    field = untrusted.csv_cell(text)
    rows = list(csv.reader(io.StringIO(field + ",1", newline=""), strict=True))
    assert len(rows) == 1
    assert rows[0][1:] == ["1"]
    assert not re.match(r"\s*[=+\-@＝＋－＠]", rows[0][0])
    assert rows[0][0].removeprefix("'") == untrusted.visible(text).removeprefix("'")


@given(ANY)
def test_xml_text_parses_as_text_alone_in_an_element_and_in_an_attribute(text):
    value = untrusted.xml(text)
    element = ElementTree.fromstring(f'<a b="{value}">{value}</a>')  # noqa: S314
    assert element.text in (untrusted.visible(text), None)
    assert list(element) == []


@given(ANY)
def test_json_form_is_ascii_apart_from_the_preview_and_round_trips(text):
    stored = json.loads(json.dumps(untrusted.json_untrusted(text)))
    assert stored["untrusted"] is True
    assert untrusted.from_json_untrusted(stored) == text
    assert stored["sha256"] == hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    assert hidden(stored["preview"]) == []


def test_short_text_is_kept_and_long_text_says_what_was_cut():
    assert untrusted.shorten("abc", 3) == "abc"
    digest = hashlib.sha256(b"abcdef").hexdigest()
    assert untrusted.shorten("abcdef", 2) == f"ab\n[4 of 6 characters cut; sha256 of all {digest}]"


def test_a_line_of_ten_megabytes_is_shortened_and_shown():
    line = "<b>\u202e" * 2_500_000
    shown = untrusted.html(untrusted.shorten(line, 4_000))
    assert len(shown) < 60_000
    assert "9,996,000 of 10,000,000 characters cut" in shown
    assert "<b>" not in shown
