"""Model text for every sink. A model under test is an attacker, and only this module escapes what it wrote.

`visible` shows what cannot be seen; every other function makes text harmless for one sink and calls `visible`
first. Newline and tab are kept where the sink can hold them. A box, `⟦U+202E⟧`, stands for the character it
names; a real `⟦` in the text is boxed itself, so that no text can forge a box.
"""

import base64
import functools
import hashlib
import html as markup
import re
import unicodedata
from typing import TypedDict

PREVIEW = 300
"""Characters of a text that are shown beside its base64 form in JSON."""

_PLAIN = re.compile(r"[^\n\t -~]+")
_BOX = re.compile("⟦([^⟦⟧]*)⟧")
_FORMULA = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")
_COMMANDS = re.compile(r"^[^\S\n]*::|##", re.MULTILINE)
"""What a CI runner takes for a command of the workflow where it stands in a log."""
_MARKUP = re.compile(r"[\\`*_\[\]<>#|~&$]|:(?=[/:])|(?<=www)\.", re.IGNORECASE)
_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0⟦⟧")
"""Characters with a visible category that draw nothing, and the two that draw a box."""


class UntrustedJson(TypedDict):
    """A text inside a JSON document that other programs, or other models, may read."""

    untrusted: bool
    utf8_b64: str
    preview: str
    sha256: str


def visible(text: str) -> str:
    """`text` with controls as pictures, and hidden, bidirectional and piled-up characters as named boxes."""
    return _PLAIN.sub(_visible_run, text)


def pieces(text: str) -> list[tuple[str, bool]]:
    """`visible` text in parts, each with whether it stands in a box, for a page that makes its own elements."""
    parts = _BOX.split(visible(text))
    return [(part, bool(i % 2)) for i, part in enumerate(parts) if part]


def html(text: str) -> str:
    """Content for an HTML element (not for an attribute): text alone, and each box as <span class="box">."""
    return _BOX.sub(r'<span class="box">\1</span>', markup.escape(visible(text)))


def terminal(text: str) -> str:
    """One line for a terminal or a log: no escape sequence, no line break, no CI workflow command.

    Rich markup is left as it is: print the result as `rich.text.Text`.
    """
    line = visible(text).replace("\n", "␊").replace("\t", "␉")
    return _COMMANDS.sub(_boxed_command, line)


def markdown(text: str) -> str:
    """A block of whole lines, in a fence that `text` cannot close; its mentions reach nobody."""
    shown = _COMMANDS.sub(_boxed_command, visible(text)).replace("@", "@\u200b")
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}\n"


def markdown_line(text: str) -> str:
    """Part of a line or of a table cell: no markup, no HTML, no link of its own accord, no mention."""
    line = visible(text).replace("\n", "␊").replace("\t", "␉")
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", line).replace("@", "@\u200b")


def csv_cell(text: str) -> str:
    """A quoted CSV field that no spreadsheet takes for a formula."""
    shown = visible(text)
    if text.startswith(("\r", "\0")) or shown.startswith(_FORMULA) or shown.lstrip().startswith(_FORMULA):
        shown = "'" + shown
    return '"' + shown.replace('"', '""') + '"'


def xml(text: str) -> str:
    """Character data or an attribute value of XML 1.0."""
    return markup.escape(visible(text))


def json_untrusted(text: str) -> UntrustedJson:
    """`text` as base64 with a short visible preview, so that no reader takes it for an instruction."""
    return {
        "untrusted": True,
        "utf8_b64": base64.b64encode(_utf8(text)).decode("ascii"),
        "preview": visible(text[:PREVIEW]),
        "sha256": _sha256(text),
    }


def from_json_untrusted(document: UntrustedJson) -> str:
    """The text that `json_untrusted` was given."""
    return base64.b64decode(document["utf8_b64"]).decode("utf-8", "surrogatepass")


def shorten(text: str, limit: int) -> str:
    """The first `limit` characters of `text`, how much was cut, and the sha256 of the whole. Not escaped."""
    if len(text) <= limit:
        return text
    cut = f"{len(text) - limit:,} of {len(text):,} characters cut"
    return f"{text[:limit]}\n[{cut}; sha256 of all {_sha256(text)}]"


def _boxed_command(match: re.Match[str]) -> str:
    return f"⟦{match[0].strip()}⟧"


def _sha256(text: str) -> str:
    return hashlib.sha256(_utf8(text)).hexdigest()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _visible_run(match: re.Match[str]) -> str:
    shown: list[str] = []
    marks: list[str] = []
    for character in match[0] + "\n":
        if _kind(character) == "mark":
            marks.append(character)
            continue
        shown.append("".join(marks) if len(marks) <= 2 else f"⟦{len(marks)} marks⟧")
        marks.clear()
        shown.append(_visible_character(character))
    return "".join(shown)[:-1]


@functools.lru_cache(maxsize=4096)
def _visible_character(character: str) -> str:
    code = ord(character)
    if character in "\n\t":
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return f"⟦U+{code:04X}⟧" if _kind(character) == "hidden" else character


@functools.lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    """`hidden`, `mark` or `shown`."""
    category = unicodedata.category(character)
    code = ord(character)
    selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    picture = 0x2400 <= code <= 0x2421
    if category[0] == "C" or category in ("Zl", "Zp") or selector or picture or character in _BLANK_LETTERS:
        return "hidden"
    return "mark" if category[0] == "M" else "shown"
