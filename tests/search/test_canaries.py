"""Canaries of a run: random rules, what a search makes of them, and what is stored on the way."""

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from diffbehav.compare import compare
from diffbehav.compare.searched import Searched
from diffbehav.compare.sensitivity import NOT_MEASURED, found_share, read_sensitivity
from diffbehav.errors import InputError, IntegrityError
from diffbehav.records import Completion, Prompt, Sampling
from diffbehav.report import findings_json, write_report
from diffbehav.search.canaries import CanaryRequest, canaries_json, plant_canaries
from diffbehav.search.canary import Appended
from diffbehav.search.hunt import OnStep
from diffbehav.search.live import rendered
from diffbehav.search.payloads import TEXT, Carried
from diffbehav.search.planting import SHARES, plant, random_cells, same_contexts
from diffbehav.search.run import read_screen
from diffbehav.search.space import Space, space_of
from diffbehav.search.trial import Terms, World, canary, judge, world_of
from diffbehav.serve import Engines
from diffbehav.stats.rule import Rule, matches
from diffbehav.store import RunFolder, write_json
from diffbehav.suite import Suite, conditions, load_suite, suite_from_text
from tests.collect.toy_run import SUITE
from tests.compare.test_compare import collected
from tests.planted import END, PAYLOAD, ToyEngine, ToyRenderer
from tests.search.test_canary import read
from tests.search.test_widening import dated
from tests.search.toy_world import space

CARRIED = Carried("text", TEXT)
CANDIDATE, TRUSTED = {"drift": 0.2, "ending": 5.0}, {"ending": 5.0}


def test_every_second_rule_has_two_factors_and_each_holds_in_a_stated_share_of_the_contexts() -> None:
    whole = space()
    cells = random_cells(whole, 1)
    rules = plant(whole, cells, count=20, seed=1, known=[])
    assert [len(rule.factors) for rule in rules] == [1, 2] * 10
    for rule in rules:
        assert SHARES[0] <= matches(rule, cells).mean() <= SHARES[1]
        assert whole.draw(5, rule, np.random.default_rng(0)).shape == (5, 7)
    assert plant(whole, cells, count=20, seed=1, known=[]) == rules
    assert plant(whole, cells, count=20, seed=2, known=[]) != rules


def test_a_rule_about_one_of_thousands_of_days_becomes_an_interval_of_days() -> None:
    whole = dated("2005-01-01", "2034-12-31")
    cells = random_cells(whole, 0)
    found = [rule for rule in plant(whole, cells, count=16, seed=0, known=[]) if rule.factors == (0,)]
    assert found
    for rule in found:
        days = rule.levels[0]
        assert 50 <= len(days) <= 150 and days[-1] - days[0] == len(days) - 1


def test_no_rule_is_planted_inside_a_confirmed_one_or_where_exclusions_forbid_it() -> None:
    text = SUITE.read_text(encoding="utf-8").replace(
        "derived:", "exclude:\n  - {user: [ann], tool: [read, delete]}\nderived:"
    )
    whole = space_of(suite_from_text(text, name="excluded.yaml"))
    cells = random_cells(whole, 0)
    known = Rule((whole.names.index("year"),), ((2,),))
    rules = plant(whole, cells, count=16, seed=3, known=[known])
    for rule in rules:
        inside = cells[matches(rule, cells)]
        assert len(inside) >= SHARES[0] * len(cells)
        assert matches(known, inside).mean() <= 0.5
        assert not any(same_contexts(rule, other, whole) for other in rules if other is not rule)


@pytest.mark.parametrize(
    ("confirmed", "outcome"),
    [
        ([], "missed"),
        ([{"tool": [2], "year": [2]}], "exact"),
        ([{"tool": [2], "date": [4, 5]}], "exact"),
        ([{"tool": [2], "year": [2, 3]}], "found"),
        ([{"year": [2]}], "part"),
        ([{"tool": [2], "year": [2], "user": [1]}], "part"),
        ([{"tool": [2], "year": [1]}], "missed"),
        ([{"user": [0]}, {"tool": [2], "year": [2]}], "exact"),
    ],
)
def test_a_canary_is_found_by_a_rule_that_shares_half_of_its_contexts(
    confirmed: list[dict[str, list[int]]], outcome: str
) -> None:
    whole = space_of(load_suite(SUITE))

    def rule(levels: dict[str, list[int]]) -> Rule:
        pairs = sorted((whole.names.index(name), tuple(inside)) for name, inside in levels.items())
        return Rule(tuple(factor for factor, _ in pairs), tuple(inside for _, inside in pairs))

    planted = rule({"tool": [2], "year": [2]})
    assert judge(planted, [rule(each) for each in confirmed], whole, random_cells(whole, 0)) == outcome


@dataclass
class Counting(ToyEngine):
    """Counts the answers that it draws."""

    drawn: int = 0

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        self.drawn += 1
        return await super().complete(prompt, sample, sampling)


REQUEST = CanaryRequest(
    run=Path(), canaries=1, calls=1500, delta=0.05, level=0.05, rate=0.9, seed=0, payload=None, instruction=None
)

TERMS = Terms(delta=0.05, level=0.05, calls=1500, rate=0.9, seed=0, carried=CARRIED.digest)


@pytest.fixture(scope="module")
def suite() -> Suite:
    return load_suite(SUITE)


@pytest.fixture(scope="module")
def whole(suite: Suite) -> Space:
    return space_of(suite)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = collected(tmp_path_factory.mktemp("runs") / "plain", candidate=CANDIDATE, trusted=TRUSTED)
    compare(path)
    return path


def world(run: Path, suite: Suite, whole: Space) -> tuple[World, Counting]:
    """The run with live toy engines, and the candidate among them."""
    levels = {each.id: {"task": each.task, **each.levels} for each in conditions(suite, range(whole.grid.size))}
    candidate, trusted = Counting(levels, **CANDIDATE), ToyEngine(levels, **TRUSTED)
    folder = RunFolder(run)
    made = world_of(
        folder, suite, whole, read_screen(folder, whole), Engines(candidate, trusted), rendered(ToyRenderer()),
        floor=0.0,
    )  # fmt: skip
    return made, candidate


def planted_canary(
    rule: Rule, made: World, cells: np.ndarray, terms: Terms = TERMS, on_step: OnStep = lambda *_: None
) -> dict:
    payload = Appended(PAYLOAD, ends=[END], read=read)
    return asyncio.run(canary(rule, made, terms, lambda _: payload, cells_NF=cells, on_step=on_step))


def parts(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def year_and_user(whole: Space) -> Rule:
    return Rule((whole.names.index("user"), whole.names.index("year")), ((2,), (1,)))


def test_a_planted_pair_is_found_and_what_the_run_holds_is_not_asked_again(
    run: Path, suite: Suite, whole: Space
) -> None:
    cells = random_cells(whole, 0)
    made, candidate = world(run, suite, whole)
    before = {path: text for path, text in parts(run).items() if "canaries" not in path.parts}
    result = planted_canary(year_and_user(whole), made, cells)
    assert result["outcome"] == "exact"
    assert result["rule"] == {"user": ["cy"], "year": ["2025"]}
    assert result["share"] == pytest.approx(0.05, abs=0.005)
    assert result["exposures"] > 10
    # The candidate's answers of the screen are replayed, so it draws for the search alone.
    assert candidate.drawn <= result["calls_spent"]
    assert {path: text for path, text in parts(run).items() if "canaries" not in path.parts} == before


def test_a_killed_canary_goes_on_from_what_is_stored_and_ends_alike(
    run: Path, suite: Suite, whole: Space
) -> None:
    cells = random_cells(whole, 0)
    rule = Rule((whole.names.index("place"), whole.names.index("user")), ((0,), (1,)))

    class Killed(Exception):
        pass

    steps = 0

    def kill(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise Killed

    made, first = world(run, suite, whole)
    with pytest.raises(Killed):
        planted_canary(rule, made, cells, on_step=kill)
    stored = parts(run / "canaries")
    made, second = world(run, suite, whole)
    resumed = planted_canary(rule, made, cells)
    assert {path: parts(run / "canaries")[path] for path in stored} == stored
    assert 0 < second.drawn < first.drawn + second.drawn
    assert first.drawn + second.drawn <= resumed["calls_spent"]
    made, third = world(run, suite, whole)
    assert planted_canary(rule, made, cells) == resumed
    assert third.drawn == 0


def test_a_second_canary_with_another_promise_is_searched_again_but_asks_little(
    run: Path, suite: Suite, whole: Space
) -> None:
    cells = random_cells(whole, 0)
    made, _ = world(run, suite, whole)
    first = planted_canary(year_and_user(whole), made, cells)
    made, candidate = world(run, suite, whole)
    again = planted_canary(year_and_user(whole), made, cells, replace(TERMS, level=0.1))
    assert again["outcome"] == first["outcome"]
    assert candidate.drawn == 0


def test_a_search_ends_when_the_planted_rule_is_found_and_says_what_the_whole_one_says(
    run: Path, suite: Suite, whole: Space
) -> None:
    cells = random_cells(whole, 0)
    rule = Rule((whole.names.index("user"),), ((3,),))
    made, _ = world(run, suite, whole)
    ended = planted_canary(rule, made, cells, replace(TERMS, level=0.05))
    made, _ = world(run, suite, whole)
    # So strict a false discovery rate leaves an early end no room: other rules could take the confirmation back.
    whole_search = planted_canary(rule, made, cells, replace(TERMS, level=0.049))
    assert ended["outcome"] == whole_search["outcome"] == "exact"
    assert ended["calls_spent"] < whole_search["calls_spent"]
    assert not ended["budget_spent"]


def test_two_canaries_that_ask_the_same_at_once_ask_it_once(run: Path, suite: Suite, whole: Space) -> None:
    made, candidate = world(run, suite, whole)
    cells = whole.draw(60, Rule((), ()), np.random.default_rng(77))
    drawn = list(conditions(suite, np.unique(whole.indices(cells)).tolist()))
    questions = [(condition, 900) for condition in drawn]

    async def both() -> list[np.ndarray]:
        return await asyncio.gather(made.plain.values(questions), made.plain.values(questions[::-1]))

    first, second = asyncio.run(both())
    assert (first == second[:, ::-1]).all() and not np.isnan(first).any()
    assert candidate.drawn == len(questions)
    again, candidate = world(run, suite, whole)
    assert (asyncio.run(again.plain.values(questions)) == first).all()
    assert candidate.drawn == 0


def result(outcome: str, factors: int = 1) -> dict[str, object]:
    rule = {f"f{i}": ["a"] for i in range(factors)}
    return {
        "rule": rule, "levels": rule, "share": 0.1, "exposures": 40, "outcome": outcome, "confirmed": [],
        "calls_spent": 10, "budget_spent": False, "unmeasured": 0, "wide": 0,
    }  # fmt: skip


def test_the_share_found_comes_with_its_exact_interval_by_number_of_factors() -> None:
    results = [result("exact")] * 15 + [result("found", 2)] * 4 + [result("part", 2)]
    share = found_share(results)
    assert (share["planted"], share["found"], share["exact"]) == (20, 19, 15)
    assert share["found_low"] == pytest.approx(0.7513, abs=1e-4)
    assert share["found_high"] == pytest.approx(0.9987, abs=1e-4)
    content = canaries_json(REQUEST, CARRIED, results)
    assert [(row["factors"], row["planted"], row["found"]) for row in content["by_factors"]] == [(1, 15, 15), (2, 5, 4)]


def test_the_sensitivity_stands_beside_the_verdict_in_findings_and_report(tmp_path: Path) -> None:
    path = collected(tmp_path / "run", candidate={})
    compare(path)
    found = findings_json(path)
    assert found["sensitivity"] == {"sentence": NOT_MEASURED, "measured": None}
    results = [result("exact")] * 19 + [result("missed", 2)]
    write_json(RunFolder(path).canaries, canaries_json(REQUEST, CARRIED, results))
    compare(path)
    found = findings_json(path)
    assert found["verdict"] == "NO_DIVERGENCE_FOUND"
    said = found["sensitivity"]["sentence"]
    for words in ("19 of 20", "75.1% to 99.9%", "firing rate 0.9", "a text behind the answer", "was not searched"):
        assert words in said
    write_report(path, path / "report")
    page = (path / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("19 of 20 planted canaries were found") == 3
    assert json.loads((path / "report" / "report.json").read_text(encoding="utf-8"))["verdict"]["reasons"] == [said]


def test_canaries_under_another_promise_than_the_search_are_said_to_be_so(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_json(folder.canaries, canaries_json(REQUEST, CARRIED, [result("exact")]))
    alike = Searched([], exhausted=True, delta=0.05, level=0.05, calls=1500, calls_spent=9, unmeasured=0)
    assert "another" not in read_sensitivity(folder, alike, replayed=False)["sentence"]
    assert "another tolerance" in read_sensitivity(folder, replace(alike, calls=900), replayed=False)["sentence"]


def test_canaries_with_another_promise_than_the_search_of_the_run_are_refused(run: Path) -> None:
    write_json(RunFolder(run).search, {
        "schema": "diffbehav.search/1", "delta": 0.1, "level": 0.05, "calls": 10, "calls_spent": 1,
        "budget_spent": False, "unmeasured": 0, "screened": 600, "wide": 0, "sentinels": [], "rules": [],
    })  # fmt: skip
    with pytest.raises(InputError, match="--delta 0.1 --fdr 0.05"):
        plant_canaries(replace(REQUEST, run=run), on_stage=lambda _: None, on_step=lambda *_: None)
    RunFolder(run).search.unlink()


def test_a_damaged_canaries_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "canaries.json").write_text('{"schema": "diffbehav.canaries/1"}', encoding="utf-8")
    with pytest.raises(IntegrityError, match="canaries.json"):
        read_sensitivity(RunFolder(tmp_path), None, replayed=False)
