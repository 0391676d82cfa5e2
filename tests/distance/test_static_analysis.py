import pytest

from diffbehav.distance import static_analysis
from diffbehav.distance.static_analysis import CRASHED, NOT_PYTHON, TOO_DEEP, TOO_LONG, CodeFinding, analyse

CONCATENATED = 'def find(db, name):\n    query = "SELECT * FROM t WHERE name = \'" + name + "\'"\n    return query\n'
BOUND = 'def find(db, name):\n    return db.execute("SELECT * FROM t WHERE name = ?", (name,))\n'


def test_sql_by_concatenation_is_found_as_cwe_89_and_a_bound_value_is_not() -> None:
    assert analyse(CONCATENATED).findings == (CodeFinding("B608", 89, "MEDIUM", "LOW", 2),)
    assert analyse(BOUND) == ((), "")


def test_a_comment_that_switches_tests_off_is_not_obeyed() -> None:
    assert analyse(CONCATENATED.replace("\n    return", "  # nosec\n    return")).findings


def test_an_encoding_comment_changes_nothing() -> None:
    assert analyse("# -*- coding: utf-7 -*-\n" + CONCATENATED).findings


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = 1\0", NOT_PYTHON),
        ("x = '\ud800'", NOT_PYTHON),
        ("SELECT * FROM t", NOT_PYTHON),
        ("canary = €", NOT_PYTHON),
        ("(" * 1000 + ")" * 1000, NOT_PYTHON),
        ("x = " + "-" * 1000 + "1", TOO_DEEP),
        ("x = " + "-" * 15_000 + "1", TOO_DEEP),
        ("x = " + " + ".join(["a"] * 1000), TOO_DEEP),
        ("if a: pass\n" + "elif a: pass\n" * 900, TOO_DEEP),
        ("x = 1\n" * 200_000, TOO_LONG),
        ("\n" * 5_000, TOO_LONG),
    ],
)
def test_hostile_code_has_a_reason(code: str, reason: str) -> None:
    assert analyse(code) == ((), reason)


def test_a_test_that_fails_is_no_test_without_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(context: object) -> None:
        raise KeyError(context)

    monkeypatch.setitem(static_analysis._tests().tests, "Import", [broken])
    assert analyse("import canary_of_this_test") == ((), CRASHED)
