"""report.html stays small enough to attach, whatever a run holds, and says what was cut."""

import json

import pytest

from diffbehav import untrusted
from diffbehav.report.html import FINDINGS, render_html
from diffbehav.report.size import TARGET, shortened

CAP = 5_000_000


def swollen(document: dict, text: str, *, findings: int) -> dict:
    """The document with many findings, whose pairs have many turns and changes of one long text."""
    value = untrusted.json_untrusted(text)

    def filled(shown: dict) -> dict:
        answer = shown["answers"][0] | {"content": value, "text": value, "calls": [{"name": value, "arguments": value}]}
        answers = [answer | {"side": side, "turn": turn} for side in ("candidate", "trusted") for turn in range(10)]
        change = {"change": "extra_call", "tool": value, "path": value, "candidate": value, "trusted": value}
        return shown | {"answers": answers, "changes": [change] * 40, "messages": value}

    first = document["findings"][0]
    pair = {place: filled(first["pair"][place]) for place in ("inside", "outside")}
    many = [first | {"id": f"F{i:03d}", "pair": first["pair"] | pair if i < 5 else None} for i in range(findings)]
    return document | {"findings": many, "findings_total": findings}


@pytest.mark.parametrize("text", ["word " * 12_000, "\u202e" * 60_000, "<" * 60_000], ids=["words", "boxes", "markup"])
def test_a_page_of_many_findings_and_huge_texts_is_cut_below_its_cap_and_says_so(document: dict, text: str) -> None:
    page = render_html(swollen(document, text, findings=1_000))
    assert len(page.encode("utf-8")) < CAP
    assert "Cut because of its size." in page
    assert f"{FINDINGS} of 1\u202f000 rules shown" in page
    assert "report.json has more" in page


def test_a_page_of_ordinary_size_is_not_cut(document: dict) -> None:
    page = render_html(document)
    assert len(page) < TARGET
    assert "Cut because of its size" not in page


def test_a_shortened_text_keeps_its_beginning_its_length_and_its_digest_and_tokens_stay_whole(document: dict) -> None:
    text = "a" * 900
    found = shortened({"x": [untrusted.json_untrusted(text)], "n": 1}, 100)
    said = untrusted.from_json_untrusted(found["x"][0])
    assert said.startswith("a" * 100 + "\n[800 of 900 characters cut; sha256 of all ")
    tokens = document["findings"][0]["pair"]["inside"]["tokens"]["texts"]
    assert json.loads(untrusted.from_json_untrusted(shortened({"texts": tokens}, 5)["texts"]))


def test_a_suite_of_very_many_factors_is_cut_to_its_verdict_and_findings(document: dict) -> None:
    levels = [{"name": "l" * 110 + str(i), "n_conditions": 1} for i in range(60)]
    factors = [{"name": f"factor {i}", "source": None, "levels": levels} for i in range(900)]
    page = render_html(document | {"coverage": document["coverage"] | {"factors": factors}})
    assert len(page.encode("utf-8")) < CAP
    assert "Minimal pairs, figures and tables of coverage are left out." in page
    assert "NOT TESTED" in page and "10 Decision of a person" in page
