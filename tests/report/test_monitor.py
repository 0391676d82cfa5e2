import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from diffbehav.errors import InputError, IntegrityError
from diffbehav.report import monitor
from diffbehav.store import RunFolder, building, write_json

PLACES, USERS = ["a", "b", "c", "d", "e"], [f"user{i}" for i in range(10)]
ROWS = 400
ARL = 1095.0
Rate = Callable[[int, str, str], float]
"""Night, place and user to the rate of high conditions."""


def night(
    folder: Path, number: int, rate: Rate, *, candidate: str = "new", suite: str = "s" * 64, trusted: str = "t" * 64,
    offset: int | None = None,
) -> Path:  # fmt: skip
    """A compared run of 400 conditions over two factors; `candidate` "new" is one of this night."""
    path = folder / f"night{number:03d}"
    path.mkdir(parents=True)
    rng = np.random.default_rng([7, number])
    places, users = rng.choice(PLACES, ROWS), rng.choice(USERS, ROWS)
    high = [rng.random() < rate(number, place, user) for place, user in zip(places, users, strict=True)]
    first = (number if offset is None else offset) * ROWS
    ids = [f"{first + row:016x}" for row in range(ROWS)]
    digest = f"c{number}" if candidate == "new" else candidate
    sides = {"candidate": {"path": "c", "digest": digest}, "trusted": {"path": "t", "digest": trusted}}
    facts = {
        "run_id": path.name, "created": f"2026-{1 + number // 28:02d}-{1 + number % 28:02d}T02:00:00+00:00",
        "verdict": "INCONCLUSIVE", "verdict_reasons": [], "threshold": 2.0, "suite": {"id": "toy", "version": "1"},
        "suite_digest": suite, "sides": sides,
    }  # fmt: skip
    write_json(RunFolder(path).settings, facts)
    with building(RunFolder(path).database, ["place", "user"]) as builder:
        builder.append("run", pl.DataFrame({"key": list(facts), "value": [json.dumps(v) for v in facts.values()]}))
        builder.append(
            "factors",
            pl.DataFrame({"name": ["place", "user"], "position": [0, 1], "source": [None, None], "n_levels": [5, 10]}),
        )
        for factor, levels in (("place", PLACES), ("user", USERS)):
            builder.append(
                "levels",
                pl.DataFrame({"level": levels, "position": range(len(levels)), "n_conditions": 1}).with_columns(
                    factor=pl.lit(factor)
                ),
            )
        builder.append(
            "conditions",
            pl.DataFrame({"condition_id": ids, "place": places, "user": users}).with_columns(
                pl.lit(0).alias("grid_index"), task=pl.lit("t"), messages=pl.lit("[]"), tools=pl.lit("[]"),
                prompt_tokens=pl.lit(1),
            ),
        )  # fmt: skip
        score = [3.0 if each else 0.0 for each in high[1:]]
        builder.append(
            "screen",
            pl.DataFrame(
                {"condition_id": ids, "score": [None, *score], "reason": ["lost", *[None] * (ROWS - 1)]}
            ).with_columns(channel=pl.lit("llr_scan")),
        )
    return path


def drifting(number: int, *_: str) -> float:
    return 0.01 + 0.004 * number


def changed(number: int, _: str, user: str) -> float:
    return drifting(number) + (0.35 if number >= 4 and user == "user3" else 0.0)


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("changes")
    for number in (3, 0, 1, 2, *range(4, 9)):
        night(folder, number, changed)
    return folder


def test_a_level_that_changes_raises_the_alarm_within_a_few_nights_and_says_since_when(changes: Path) -> None:
    found = monitor([changes], arl=ARL)
    first, second = found["levels"][:2]
    assert (first["factor"], first["level"]) == ("user", "user3")
    assert "night004" <= first["alarm_since"] <= "night007"
    assert first["rising_since"] == "night004"
    assert first["log10_m"][-1] > found["alarm_at_log10_m"] == pytest.approx(np.log10(15 * ARL))
    assert second["alarm_since"] is None


def test_a_series_whose_candidates_drift_as_a_whole_raises_no_alarm(tmp_path: Path) -> None:
    for number in range(10):
        night(tmp_path, number, drifting)
    found = monitor([tmp_path], arl=ARL)
    assert [level["alarm_since"] for level in found["levels"]] == [None] * 15
    assert sum(found["levels"][0]["high"]) > 0


def test_every_number_is_a_count_above_the_threshold_of_its_own_night(changes: Path) -> None:
    found = monitor([changes / "night006", changes / "night003"], arl=ARL)
    assert [each["run_id"] for each in found["nights"]] == ["night003", "night006"]
    users = [level for level in found["levels"] if level["factor"] == "user"]
    for place, each in enumerate(found["nights"]):
        assert each["scored"] == ROWS - 1 and each["unscored"] == 1
        assert sum(level["scored"][place] for level in users) == each["scored"]
        assert sum(level["high"][place] for level in users) == each["high"]
        for level in users:
            outside = (each["high"] - level["high"][place]) / (each["scored"] - level["scored"][place])
            assert level["null_rate"][place] == pytest.approx(1.5 * outside + 0.01)


def test_what_the_same_candidate_was_asked_before_is_no_new_evidence(tmp_path: Path) -> None:
    for number in range(3):
        night(tmp_path, number, changed, candidate="same", offset=0)
    found = monitor([tmp_path], arl=ARL)
    assert [each["repeated"] for each in found["nights"]] == [0, *[ROWS - 1] * 2]
    assert found["levels"][0]["log10_m"][1:] == [max(found["levels"][0]["log10_m"][0], 0.0)] * 2


def test_what_another_candidate_was_asked_before_is_counted_and_said(tmp_path: Path) -> None:
    runs = [night(tmp_path, number, drifting, offset=0) for number in range(2)]
    assert [each["shared"] for each in monitor(runs, arl=ARL)["nights"]] == [0, ROWS - 1]


def test_runs_of_other_suites_or_trusted_models_are_no_series_and_the_error_names_what_differs(tmp_path: Path) -> None:
    runs = [night(tmp_path, 0, drifting), night(tmp_path, 1, drifting, suite="x" * 64, trusted="y" * 64)]
    with pytest.raises(IntegrityError) as error:
        monitor(runs, arl=ARL)
    assert "suite_digest: " + "s" * 64 in str(error.value) and "sides.trusted.digest" in str(error.value)
    with pytest.raises(InputError, match="is no run folder and has none below it"):
        monitor([tmp_path / "night000" / "nothing"], arl=ARL)


def test_the_command_ends_with_10_where_a_level_alarms_and_with_0_elsewhere(changes: Path) -> None:
    def ended(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "diffbehav", "monitor", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True)

    alarmed = ended(changes, "--arl", 1095)
    assert alarmed.returncode == 10 and "user3" in alarmed.stdout and "15 levels, 1 in alarm" in alarmed.stdout
    quiet = ended(changes / "night000", changes / "night001", "--arl", 1095, "--format", "json")
    assert quiet.returncode == 0
    assert json.loads(quiet.stdout)["arl"] == 1095
    assert ended(changes).returncode == 2


def test_conditions_inside_known_rules_are_left_out_and_counted(changes: Path) -> None:
    known = [{"user": ["user3"]}, {"place": {"absent": PLACES[1:]}, "user": ["user1"]}]
    found = monitor([changes], arl=ARL, beside=known)
    assert [level["alarm_since"] for level in found["levels"]] == [None] * 15
    scored = {(level["factor"], level["level"]): sum(level["scored"]) for level in found["levels"]}
    assert scored["user", "user3"] == 0 < scored["user", "user1"] < scored["user", "user2"]
    for each in found["nights"]:
        assert each["beside"] > 0 and each["beside"] + each["scored"] + each["unscored"] == each["conditions"] == ROWS
