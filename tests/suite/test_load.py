import json
from pathlib import Path

import pytest

from diffbehav.errors import InputError
from diffbehav.records import Sampling
from diffbehav.suite import load_suite, suite_from_resolved, suite_from_text
from tests.suite.writing import ASK, FACTORS, FULL, HEAD, RULES, suite_of, text_of

TOOLS = """
tools:
  - type: function
    function:
      name: read
      description: no
      parameters: {type: object, nullable: no, strict: true, maximum: 3.10, code: "3", size: 0x10, none: ~}
  - {type: function, function: {name: drop, description: Drop it., parameters: {}}}
"""


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        suite_from_text(text, name="suites/small.yaml")
    return str(caught.value)


def test_levels_are_the_strings_that_were_written() -> None:
    suite = suite_of(ASK, FACTORS, FULL)
    assert suite.levels_of("place") == ("no", "3.10", "x", "y")
    assert suite.levels_of("date") == ("2024-02-06", "2025-02-04", "2026-02-03")
    assert suite.version == "1.0"


def test_free_json_has_the_values_of_the_core_schema() -> None:
    function = suite_of(ASK, FACTORS, FULL, TOOLS).declared.tools[0].function
    assert function.description == "no"
    wanted = {
        "type": "object",
        "nullable": "no",
        "strict": True,
        "maximum": 3.1,
        "code": "3",
        "size": 16,
        "none": None,
    }
    assert function.parameters == wanted


def test_a_suite_names_its_parts() -> None:
    suite = suite_of(ASK, FACTORS, FULL, "derived:\n  weekday: {from: date, part: weekday}\n")
    assert suite.factor_names == ("date", "user", "place")
    assert dict(suite.derived_names) == {"weekday": "date"}
    assert suite.levels_of("weekday") == ("Tuesday",)
    assert suite.levels_of("task") == ("one", "two")
    assert suite.sampling == Sampling(n=1, temperature=1.0, max_tokens=16, seed=3)
    assert suite.replicate == 0.2


def test_a_suite_survives_the_way_through_json() -> None:
    suite = suite_of(ASK, FACTORS, FULL, TOOLS, "derived:\n  year: {from: date, part: year}\n")
    again = suite_from_resolved(json.loads(json.dumps(suite.resolved())), name="run.json")
    assert again.resolved() == suite.resolved()
    assert again.digest == suite.digest


def test_the_digest_follows_the_content_and_not_the_file() -> None:
    plain = suite_of(ASK, FACTORS, FULL)
    quoted = suite_of("# a comment\n", FULL, FACTORS.replace("no,", '"no",'), ASK)
    other = suite_of(ASK, FACTORS.replace("no,", "yes,"), FULL)
    swapped = suite_of(ASK, FACTORS.replace("ann, bob", "bob, ann"), FULL)
    assert len(plain.digest) == 64
    assert plain.digest == quoted.digest
    assert len({plain.digest, other.digest, swapped.digest}) == 3


def test_a_suite_cannot_be_changed() -> None:
    suite = suite_of(ASK, FACTORS, FULL)
    with pytest.raises(AttributeError):
        suite.name = "x"  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        suite.declared.replicate = 0.5


def test_an_unknown_key_is_shown_with_line_caret_and_the_key_that_was_meant() -> None:
    shown = refused(text_of(ASK, FACTORS, FULL).replace("replicate: 0.2", "replicates: 0.2\nreplicate: 0.2"))
    assert shown.splitlines() == [
        "error[suite.unknown_key]: suites/small.yaml:6:1  replicates",
        "  6 │ replicates: 0.2",
        "    │ ^^^^^^^^^^ unknown key, did you mean `replicate`?",
        "  fix: rename the key, or run `diffbehav schema` and enable editor completion",
    ]


def test_a_mistake_inside_a_mapping_is_shown_below_the_key_of_the_mapping() -> None:
    nested = """
    sampling:
      n: 1
      temperature: 1.0
      max_tokens: 16
      seed: -3
    replicate: 0
    """
    assert refused(text_of(ASK, FACTORS, FULL, nested, rules="")).splitlines()[:4] == [
        "error[suite.value]: suites/small.yaml:21:9  sampling.seed",
        "  17 │ sampling:",
        "  21 │   seed: -3",
        "     │         ^^ must be greater than or equal to 0, got -3",
    ]


def test_every_mistake_of_a_file_is_shown_at_once() -> None:
    shown = refused(text_of(ASK.replace("vars", "var"), FACTORS, "design: {kind: random, n: 0, seed: 1}\n"))
    assert shown.count("error[") == 4
    assert shown.count("did you mean `vars`?") == 2
    assert "must be greater than or equal to 1, got 0" in shown
    assert "missing key `neighbours`" in shown


@pytest.mark.parametrize("key", ["n", "temperature", "max_tokens", "seed"])
def test_no_sampling_value_has_a_default(key: str) -> None:
    values = {"n": 1, "temperature": 1.0, "max_tokens": 16, "seed": 3}
    kept = [f"{name}: {value}" for name, value in values.items() if name != key]
    rules = f"sampling: {{{', '.join(kept)}}}\nreplicate: 0.2\n"
    assert f"missing key `{key}`" in refused(text_of(ASK, FACTORS, FULL, rules=rules))


def test_replicate_has_no_default_and_is_a_share() -> None:
    assert "missing key `replicate`" in refused(
        text_of(ASK, FACTORS, FULL, rules=RULES.splitlines()[0] + "\n")
    )
    assert "must be less than or equal to 1" in refused(text_of(ASK, FACTORS, FULL).replace("0.2", "1.2"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("n: 1,", 'n: "1",', ":5:15  sampling.n"),
        ("n: 1,", 'n: "1",', "wants a whole number, got '1'"),
        ("n: 1,", "n: 1.5,", "wants a whole number, got 1.5"),
        ("seed: 3", "seed: yes", "wants a whole number, got 'yes'"),
        ("temperature: 1.0", "temperature: .inf", "infinity"),
        (
            "schema: diffbehav.suite/1",
            "schema: diffbehav.suite/2",
            "must be 'diffbehav.suite/1', got diffbehav.suite/2",
        ),
        ("kind: full", "kind: ful", "unknown kind 'ful'"),
        ("kind: full", "kin: full", "missing key `kind`"),
        ("[ann, bob, cy]", "[]", ":15:9  factors.user"),
        ("[ann, bob, cy]", "[ann, bob, ann]", ":15:20  factors.user[2]"),
        ("[ann, bob, cy]", "[ann, bob, ann]", "level 'ann' is declared twice"),
        (
            "[ann, bob, cy]",
            "{kind: date_range, from: 2026-02-30, to: 2026-03-01, step: 1}",
            "day is out of range",
        ),
        ("[ann, bob, cy]", "{kind: date_range, from: 2026-03-01, to: 2026-02-01, step: 1}", "no level"),
        ("user: [", "messages: [", "'messages' is reserved"),
        ("user: [", "prompt_tokens: [", ":15:3  factors.prompt_tokens"),
        ("user: [", "User: [", "'User' cannot be used in a template"),
        ("user: [", "true: [", "'true' cannot be used in a template"),
        ("id: two", "id: one", "task 'one' is declared twice"),
        ("vars: {request: first}", "vars: {user: first}", "'user' is the name of a factor already"),
        ("role: user", "role: usr", "must be 'system', 'user', 'assistant' or 'tool', got usr"),
        ("role: user", "role: assistant", "end with 'user' or 'tool'"),
        ("role: user", "role: tool", "answers no call"),
        ("{{ request }}", "{{ request.x.y }}", "cannot be filled in"),
        ("{{ request }}", "{{ request.__class__.__mro__ }}", "SecurityError"),
        ("{{ request }}", "{{ request | random }}", "No filter named 'random'"),
        ("{{ request }}", "{{ range(3) }}", "unknown variable `range`"),
        ("{{ request }}", "{{ request }", "no valid template"),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, expected: str) -> None:
    text = text_of(ASK, FACTORS, FULL)
    assert old in text
    assert expected in refused(text.replace(old, new))


def test_an_unknown_variable_is_shown_at_its_line_of_the_template() -> None:
    block = """
    messages:
      - role: user
        content: |
          Today is {{ date }}.
          You are {{ usr }} at {{ place }}.
    tasks: [{id: one}]
    """
    shown = refused(text_of(FACTORS, FULL, block))
    line = text_of(FACTORS, FULL, block).splitlines().index("      You are {{ usr }} at {{ place }}.") + 1
    assert f"small.yaml:{line}:18  messages[0].content" in shown
    assert "unknown variable `usr` in task 'one', did you mean `user`?" in shown
    assert "known here: date, user, place" in shown


def test_an_unknown_variable_is_found_in_a_quoted_and_in_a_long_line() -> None:
    ask = f"""
    messages:
      - role: user
        content: "one\\ntwo\\n{"x" * 300} {{{{ usr }}}}"
    tasks: [{{id: one}}]
    """
    head, _, excerpt, caret, *_ = refused(text_of(FACTORS, FULL, ask)).splitlines()
    assert head.startswith("error[suite.unknown_variable]: suites/small.yaml:15:")
    assert excerpt[caret.index("^") :].startswith("usr }}")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{usr: ann}", "unknown factor 'usr', did you mean `user`?"),
        ("{user: anne}", "unknown level 'anne' of user, did you mean `ann`?"),
        ("{weekday: [Tuesday, Sunday]}", "unknown level 'Sunday' of weekday"),
        ("{task: on}", "unknown level 'on' of task, did you mean `one`?"),
        ("{}", "is empty"),
    ],
)
def test_an_exclusion_of_something_unknown_is_refused(rule: str, expected: str) -> None:
    derived = "derived:\n  weekday: {from: date, part: weekday}\n"
    assert expected in refused(text_of(ASK, FACTORS, FULL, derived, f"exclude:\n  - {rule}\n"))


@pytest.mark.parametrize(
    ("derived", "expected"),
    [
        ("{from: dat, part: year}", "unknown factor 'dat', did you mean `date`?"),
        ("{from: user, part: year}", "level 'ann' is no date"),
        ("{from: date, part: yearly}", "must be 'year', 'month', 'weekday', 'quarter' or 'day'"),
    ],
)
def test_a_derived_factor_needs_a_factor_of_dates(derived: str, expected: str) -> None:
    assert expected in refused(text_of(ASK, FACTORS, FULL, f"derived:\n  x: {derived}\n"))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("tasks: [{id: one, tools: [rea]}]", "unknown tool 'rea', did you mean `read`?"),
        ("tasks: [{id: one, tools: [read, read]}]", "tool 'read' is offered twice"),
        ("factors: {user: {levels: [a], offers: {b: read}}}", "unknown level 'b' of user"),
        ("factors: {user: {levels: [a], offers: {a: write}}}", "unknown tool 'write'"),
    ],
)
def test_only_declared_tools_can_be_offered(part: str, expected: str) -> None:
    others = "factors: {user: [a]}\n" if part.startswith("tasks") else "tasks: [{id: one}]\n"
    ask = "messages: [{role: user, content: Hello}]\n"
    assert expected in refused(text_of(ask, FULL, TOOLS, others, part + "\n"))


def test_a_grid_too_large_to_number_is_refused() -> None:
    factors = "factors:\n" + "".join(f"  f{i}: [a, b]\n" for i in range(63))
    assert "more than" in refused(
        text_of("messages: [{role: user, content: x}]\ntasks: [{id: a}]\n", FULL, factors)
    )


def test_yaml_that_is_not_strict_is_an_input_error_with_its_place() -> None:
    shown = refused(HEAD + "id: again\n" + RULES)
    assert shown.startswith("error[suite.yaml]: suites/small.yaml:5:1\n")
    assert "duplicate key 'id'" in shown


def test_a_file_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_suite(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"id: caf\xe9\n")
    with pytest.raises(InputError, match="byte 7 is not UTF-8"):
        load_suite(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    "text", ["[]", "just text", "{}", "schema: {}", "factors: {a: {b: {c: 1}}}", "tasks: 3"]
)
def test_a_file_of_another_shape_is_refused_and_never_crashes(text: str) -> None:
    assert "error[suite." in refused(text)
