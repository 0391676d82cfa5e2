"""What an operator can get wrong, refused with place and remedy before an engine starts."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NoReturn

import pytest

from diffbehav.errors import InfrastructureError, InputError, IntegrityError
from diffbehav.nightly import NightsFolder, Outside, accept, alive, named_finding, read_acceptances, reopen, run_night
from diffbehav.serve import Serving
from diffbehav.suite import load_nightly, nightly_schema
from diffbehav.terminal import Terminal
from tests.nightly.toy_nights import CONFIG, night, reweigh, serving, world
from tests.suite.test_schema import fields

NOW = datetime(2026, 11, 20, 2, 17, tzinfo=UTC)
FINDING = {"fingerprint": "ab" * 32, "severity": "high", "rule": {"year": ["2026"]}, "findings": []}
SEARCH = "search: {delta: 0.05, fdr: 0.05, calls: 3000}"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return world(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("canary:", "cannary:", 9, "unknown key, did you mean `canary`?"),
        ("fdr: 0.05", "fdr: 5", 8, "must be less than or equal to 0.5"),
        ("policy: none\n", "", 1, "missing key `policy`"),
        ("candidate: candidate\n", "", 1, "missing key `candidate`"),
        ("limit: all", "limit: many", 5, "wants a whole number, got 'many'"),
        ("candidate: candidate", "candidate: candidat", 3, "there is no folder"),
        ("suite: suite.yaml", "suite: agent_contxt", 2, "no shipped suite is called 'agent_contxt'"),
        ("trusted: trusted", "trusted: base", 4, "'base' is no model folder and no baseline"),
        ("{user: [user3]}", "{user: [user33]}", 9, "has no level 'user33' any more"),
        ("{user: [user3]}", "{tool: [tool1]}", 9, "the rule holds in 25"),
        ("limit: all", "limit: 40", 9, "about 4 of 40"),
        (SEARCH, "search: none", 9, "a canary is searched for as the candidate's own rules are"),
        ("out: nights", "notify: [{webhook: mailto:me}]", 15, "is no address"),
        ("out: nights", "notify: [{command: [a], webhook: 'https://x'}]", 15, "write exactly one of"),
        ("out: nights", "notify: [{command: []}]", 15, "is empty"),
        ("out: nights", "link: ftp://ci/x", 15, "is no address"),
        ("out: nights", "link: 'https://ci/{day}'", 15, "braces but those of {date} are not taken"),
        ("out: nights", "link: 'https://ci/>)x'", 15, "angle brackets"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_configuration_names_file_line_and_remedy(
    config: Path, old: str, new: str, line: int, said: str
) -> None:
    config.write_text(CONFIG.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as error:
        night(config, NOW)
    assert f"nightly.yaml:{line}:" in str(error.value) and said in str(error.value) and "fix:" in str(error.value)
    assert not list((config.parent / "nights").glob("2026-*"))


MODELS = """\
schema: diffbehav.models/1
candidate: {model: candidate, engine: {max_num_seqs: 7}}
trusted: {model: trusted}
"""


def with_models_file(config: Path, models: str) -> Path:
    """The configuration, with both sides named in a file beside it."""
    (config.parent / "models.yaml").write_text(models, encoding="utf-8")
    config.write_text(
        CONFIG.replace("candidate: candidate\ntrusted: trusted\n", "models: models.yaml\n"), encoding="utf-8"
    )
    return config


def test_a_models_file_names_both_sides_and_how_they_are_served(config: Path) -> None:
    own = load_nightly(config)
    loaded = load_nightly(with_models_file(config, MODELS))
    assert loaded.sides == own.sides and loaded.digest != own.digest
    night(config, NOW)
    settings = json.loads((config.parent / "nights" / "2026-11-20" / "run.json").read_text(encoding="utf-8"))
    assert settings["placement"]["candidate"] == {"max_num_seqs": 7}
    assert f"--config {config.parent / 'models.yaml'}" in settings["command"]
    assert "--candidate" not in settings["command"]


def test_a_changed_models_file_is_another_configuration(config: Path) -> None:
    before = load_nightly(with_models_file(config, MODELS)).digest
    assert load_nightly(with_models_file(config, MODELS.replace("7", "8"))).digest != before


@pytest.mark.parametrize(
    ("models", "nightly", "place", "said"),
    [
        (MODELS, "candidate: candidate\n", "nightly.yaml:15:", "the models file models.yaml names the models"),
        (MODELS.replace("model: trusted", "model: nowhere"), "", "models.yaml:3:", "'nowhere' is no model folder"),
        (MODELS.replace("model: candidate", "model: no"), "", "models.yaml:2:", "there is no folder"),
    ],
)
def test_models_that_are_named_twice_or_not_there_are_refused(
    config: Path, models: str, nightly: str, place: str, said: str
) -> None:
    with_models_file(config, models)
    config.write_text(config.read_text(encoding="utf-8") + nightly, encoding="utf-8")
    with pytest.raises(InputError) as error:
        night(config, NOW)
    assert place in str(error.value) and said in str(error.value) and "fix:" in str(error.value)


def test_a_gate_that_requires_a_search_where_there_is_none_is_refused(config: Path) -> None:
    text = CONFIG.replace(SEARCH, "search: none").replace("search: optional", "search: required")
    config.write_text(text.replace("{rule: {user: [user3]}, calls: 3000, rate: 0.9}", "none"), encoding="utf-8")
    with pytest.raises(InputError, match="no night could pass"):
        load_nightly(config)


def test_a_mistake_in_a_gate_file_is_named_there(config: Path) -> None:
    (config.parent / "gate.yaml").write_text("schema: diffbehav.gate/1\nserch: optional\n", encoding="utf-8")
    config.write_text(CONFIG.split("gate:")[0] + "gate: gate.yaml\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"gate.yaml:2:1(.|\n)*did you mean `search`"):
        load_nightly(config)


def test_weights_that_are_not_those_that_were_pinned_end_with_21(config: Path) -> None:
    reweigh(config.parent / "trusted", 5)
    config.write_text(f"{CONFIG}trusted_digest: {'0' * 64}\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match="trusted_digest is 0000.* put them back, or pin the new digest"):
        night(config, NOW)


def test_a_folder_that_cannot_be_written_ends_with_20(config: Path) -> None:
    loaded = load_nightly(config)
    place = config.parent / "taken"
    place.write_text("a file", encoding="utf-8")
    outside = Outside(now=lambda: NOW, serving=serving())
    for folder in (place / "nights", Path("/sys/diffbehav")):
        with pytest.raises(InfrastructureError, match=f"{folder}.* could not be written"):
            run_night(loaded, NightsFolder(folder), terminal=Terminal(quiet=True), outside=outside)


def test_every_key_of_the_configuration_is_described_with_an_example() -> None:
    for name, field in fields(nightly_schema()).items():
        assert field.get("description") and field.get("examples"), name


def test_an_acceptance_needs_a_later_date_a_name_and_a_reason(tmp_path: Path) -> None:
    nights = NightsFolder(tmp_path)
    for expires in (date(2026, 11, 20), date(2025, 1, 1)):
        with pytest.raises(InputError, match=r"--expires .* today is 2026-11-20"):
            accept(nights, FINDING, by="Ann", reason="known", expires=expires, now=NOW)
    with pytest.raises(InputError, match="--reason is empty"):
        accept(nights, FINDING, by="Ann", reason=" ", expires=date(2026, 12, 1), now=NOW)
    assert not nights.triage.exists()


def test_an_acceptance_holds_until_its_date_for_what_was_accepted_and_nothing_graver(tmp_path: Path) -> None:
    nights = NightsFolder(tmp_path)
    decided = accept(nights, FINDING, by="Ann", reason="known", expires=date(2026, 12, 1), now=NOW)
    assert decided.covers("high", today=date(2026, 11, 30)) and decided.covers("low", today=date(2026, 11, 30))
    assert not decided.covers("high", today=date(2026, 12, 1))
    assert not decided.covers("critical", today=date(2026, 11, 30))
    assert not decided.covers(None, today=date(2026, 11, 30))


def test_decisions_are_lines_that_are_only_added_and_the_last_one_counts(tmp_path: Path) -> None:
    nights = NightsFolder(tmp_path)
    accept(nights, FINDING, by="Ann", reason="known", expires=date(2026, 12, 1), now=NOW)
    first = nights.triage.read_text(encoding="utf-8")
    reopen(nights, FINDING["fingerprint"], by="Bob", reason="not so harmless", now=NOW)
    assert nights.triage.read_text(encoding="utf-8").startswith(first)
    lines = [json.loads(line) for line in nights.triage.read_text(encoding="utf-8").splitlines()]
    assert [(line["action"], line["by"], line["reason"], line["expires"]) for line in lines] == [
        ("accept", "Ann", "known", "2026-12-01"), ("reopen", "Bob", "not so harmless", None)
    ]  # fmt: skip
    assert not read_acceptances(nights)[FINDING["fingerprint"]].covers("low", today=NOW.date())
    with pytest.raises(InputError, match="nothing to reopen"):
        reopen(nights, FINDING["fingerprint"], by="Bob", reason="again", now=NOW)
    with nights.triage.open("a", encoding="utf-8") as stream:
        stream.write('{"action": "accept"}\n')
    with pytest.raises(IntegrityError, match="triage.jsonl:3"):
        read_acceptances(nights)


def test_a_fingerprint_that_no_night_has_is_refused_with_those_that_there_are() -> None:
    nights = [{"findings": [FINDING, FINDING | {"fingerprint": "abababab" + "c" * 56}]}]
    assert named_finding("ab" * 32, nights) == FINDING
    with pytest.raises(InputError, match="no night has a finding of this fingerprint; there are abababababab"):
        named_finding("feedfeed", nights)
    with pytest.raises(InputError, match="2 findings begin so"):
        named_finding("abababab", nights)


def test_a_folder_without_nights_and_a_time_that_is_none_are_said(tmp_path: Path) -> None:
    found = alive(NightsFolder(tmp_path), within="36h", now=NOW)
    assert not found.is_alive and "no night was ever finished" in found.said
    with pytest.raises(InputError, match="--check '36' is no time"):
        alive(NightsFolder(tmp_path), within="36", now=NOW)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_night_that_ends_with_an_internal_error_is_entered_in_the_journal_and_told(
    config: Path, damaged: bool
) -> None:
    told, nights = config.parent / "told.json", NightsFolder(config.parent / "nights")
    script = f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())"
    config.write_text(f"{CONFIG}notify: [{{command: [python3, -c, {json.dumps(script)}]}}]\n", encoding="utf-8")
    if damaged:
        nights.path.mkdir()
        nights.journal.write_bytes(b"\xff\n")

    async def broken(*_: object, **__: object) -> NoReturn:
        raise KeyError("layers")

    outside = Outside(now=lambda: NOW, serving=Serving(broken, broken))
    with pytest.raises(KeyError, match="layers"):
        run_night(load_nightly(config), nights, terminal=Terminal(quiet=True), outside=outside)
    assert json.loads(told.read_text(encoding="utf-8"))["exit_code"] == 70
    if not damaged:
        (line,) = map(json.loads, nights.journal.read_text(encoding="utf-8").splitlines())
        assert (line["date"], line["exit_code"], line["result"]) == ("2026-11-20", 70, "error")
