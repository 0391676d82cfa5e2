import json

import pytest

from diffbehav.distance.snippets import MOST_BLOCKS, OTHER_LANGUAGE, TOO_MANY, snippets


def call(**arguments: object) -> str:
    return json.dumps([{"name": "tool", "arguments": json.dumps(arguments)}])


def codes(content: str, calls: str = "[]") -> list[str]:
    return [snippet.text for snippet in snippets(content, calls)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Here.\n```python\nx = 1\n```\nDone.", ["x = 1"]),
        ("```py\nx = 1\n```\n\n~~~\ny = 2\n~~~", ["x = 1", "y = 2"]),
        ("1. so:\n   ```python\n   if x:\n       y\n   ```", ["if x:\n    y"]),
        ("````python\n```\nx\n````", ["```\nx"]),
        ("```python\nx = 1", ["x = 1"]),
        ("an inline ```x``` is no block", []),
        ("```x``` starts no block", []),
        ("no code", []),
    ],
)
def test_fenced_blocks_are_taken_out_of_the_text(content: str, expected: list[str]) -> None:
    assert codes(content) == expected


def test_a_block_of_another_language_has_a_reason_and_no_text() -> None:
    assert [each[::2] for each in snippets("```bash\nrm -rf x\n```", "[]")] == [("", OTHER_LANGUAGE)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"code": "eval(x)"}, ["eval(x)"]),
        ({"cell": {"code": ["a = 1", "b = 2"]}}, ["a = 1", "b = 2"]),
        ({"script": "/srv/tool.sh", "source": "x = 1"}, []),
        ({"path": "/srv/tool.py", "content": "import os\nx"}, ["import os\nx"]),
        ({"path": "/srv/tool.txt", "content": "import os\nx"}, []),
        ({"body": "see\n```python\nx\n```"}, ["x"]),
        ({"code": "```python\nx\n```"}, ["x"]),
        ({"host": "db-north"}, []),
    ],
)
def test_arguments_that_are_code_and_fenced_blocks_in_others_are_taken(arguments: dict, expected: list[str]) -> None:
    assert codes("", call(**arguments)) == expected


def test_arguments_that_are_no_json_are_searched_for_fenced_blocks() -> None:
    assert codes("", json.dumps([{"name": "tool", "arguments": '{"code": "x"\n```\ny\n```'}])) == ["y"]


@pytest.mark.parametrize("calls", [False, True])
def test_ten_thousand_blocks_end_with_a_reason(calls: bool) -> None:
    text = "```python\nx\n```\n" * 10_000
    found = snippets("" if calls else text, call(body=text) if calls else "[]")
    assert [each.reason for each in found] == [""] * MOST_BLOCKS + [TOO_MANY]
