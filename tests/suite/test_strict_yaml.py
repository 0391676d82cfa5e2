import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbehav.suite import strict_yaml
from diffbehav.suite.strict_yaml import Plain, YamlError, parse


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("2026-01-01", "2026-01-01"),
        ("3.10", 3.1),
        ("1e3", 1000.0),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("1.0.0", "1.0.0"),
    ],
)
def test_a_plain_scalar_keeps_its_text_and_has_its_core_value(written: str, value: object) -> None:
    scalar = parse(f"a: {written}").value()["a"]
    assert scalar == written
    assert isinstance(scalar, Plain)
    assert scalar.core == value and type(scalar.core) is type(value)


def test_a_quoted_scalar_is_never_a_number() -> None:
    assert not isinstance(parse('a: "3"').value()["a"], Plain)


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan"])
def test_a_number_json_lacks_has_no_core_value(number: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        _ = parse(f"a: {number}").value()["a"].core


def test_an_alias_stands_for_its_anchor() -> None:
    assert parse("a: &x [1, {b: c}]\nd: *x").value() == {"a": ["1", {"b": "c"}], "d": ["1", {"b": "c"}]}


def test_a_node_knows_its_line_and_column() -> None:
    node = parse("a:\n  - b: c\n    dé: [1, 2]").child("a").child(0).child("dé").child(1)  # type: ignore[union-attr]
    assert node is not None and node.place == (3, 13)


@pytest.mark.parametrize(
    ("text", "reason", "place"),
    [
        ("a: 1\nb: 2\na: 3", "duplicate key 'a'", (3, 1)),
        ("a: {b: 1, b: 2}", "duplicate key 'b'", (1, 11)),
        ('a: 1\n"a": 2', "duplicate key 'a'", (2, 1)),
        ("a: !!str 3", "tag", (1, 4)),
        ("a: !!python/object/apply:os.system [ls]", "tag", (1, 4)),
        ("a: &x {b: 1}\nc:\n  <<: *x", "merge key", (3, 3)),
        ("? [a, b]\n: c", "a key must be a scalar", (1, 3)),
        ("a: *b", "alias *b names no anchor", (1, 4)),
        ("a: &x [*x]", "alias *x names no anchor that is complete", (1, 8)),
        ("a: 1\n---\nb: 2", "second document", (2, 1)),
        ("", "empty", (1, 1)),
        ("a: [1, 2", "expected", (1, 9)),
        ("a: b: c", "mapping values are not allowed", (1, 5)),
        ("a:\n  b: \x07", "not allowed", (2, 6)),
    ],
)
def test_what_is_not_strict_is_refused_with_its_place(text: str, reason: str, place: tuple[int, int]) -> None:
    with pytest.raises(YamlError, match=reason.replace("*", r"\*")) as caught:
        parse(text)
    assert caught.value.place == place


def test_aliases_cannot_grow_a_small_file_into_a_large_one() -> None:
    laughs = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    laughs += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(YamlError, match="once aliases are written out"):
        parse("\n".join(laughs))


@pytest.mark.parametrize("bracket", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_before_it_exhausts_the_stack(bracket: str) -> None:
    with pytest.raises(YamlError, match="nested deeper"):
        parse(bracket * 5_000)


def test_aliases_cannot_nest_deeper_than_brackets() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 200)]
    with pytest.raises(YamlError, match="nested deeper"):
        parse("\n".join(lines))


def test_a_huge_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(YamlError, match="larger than"):
        parse("a" * (strict_yaml.MAX_BYTES + 1))


@given(st.text())
def test_any_text_is_read_or_refused_and_never_crashes(text: str) -> None:
    try:
        parse(text).value()
    except YamlError as error:
        assert error.place.line >= 1 and error.place.column >= 1
