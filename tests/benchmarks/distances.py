"""Distances per second beside a plain loop over scipy or Python on the same data; prints a table.

Run as `python -m tests.benchmarks.distances`.
"""

import json
import time
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import binom, median_abs_deviation

from diffbehav.distance.calls import Turns, call_distances, comparing
from diffbehav.distance.likelihood import llr_scan
from diffbehav.distance.text import token_edit
from diffbehav.distance.topk import TopK, token_bounds
from diffbehav.stats.peel import peel
from diffbehav.stats.scan import QUANTILES, scan
from diffbehav.stats.standardise import task_z

VOCABULARY, K = 150_000, 20


class Line(NamedTuple):
    """One row of the table."""

    what: str
    unit: str
    ours: float
    """Units per second."""
    plain: float
    """Units per second of the plain loop on the same data."""


def seconds(work: Callable[[], Any], *, repeats: int = 3) -> float:
    """Least time of some runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def top_k(rng: np.random.Generator, *, positions: int, alike: float) -> tuple[TopK, TopK, np.ndarray]:
    """Two sides; a share `alike` of the positions has the same tokens in the same order on both."""
    ids = (rng.integers(0, VOCABULARY, (positions, 1)) + np.arange(0, K * 50, 50)).astype(np.int32)
    logprobs = np.log(rng.dirichlet(np.full(K + 1, 0.3), positions)[:, :K] + 1e-9)
    logprobs = -np.sort(-logprobs, axis=1).astype(np.float32)
    shuffled = rng.random(positions) >= alike
    other_ids = ids.copy()
    other_ids[shuffled] = rng.permuted(ids[shuffled], axis=1)
    other_ids[shuffled, :3] += 7
    chosen = ids[:, 0].copy()
    other = logprobs + rng.normal(scale=0.01, size=logprobs.shape).astype(np.float32) - np.float32(0.03)
    return (
        TopK(ids, logprobs, logprobs[:, 0].copy()),
        TopK(other_ids, other, logprobs[:, 0] - np.float32(0.05)),
        chosen,
    )


def plain_jsd(candidate: TopK, trusted: TopK, chosen: np.ndarray) -> list[float]:
    """JSD lower bound alone, one position at a time."""
    found = []
    for place in range(len(chosen)):
        p = dict(zip(candidate.ids_MK[place].tolist(), np.exp(candidate.logprobs_MK[place]).tolist(), strict=True))
        q = dict(zip(trusted.ids_MK[place].tolist(), np.exp(trusted.logprobs_MK[place]).tolist(), strict=True))
        p[int(chosen[place])] = float(np.exp(candidate.chosen_logprobs_M[place]))
        q[int(chosen[place])] = float(np.exp(trusted.chosen_logprobs_M[place]))
        shared = sorted(p.keys() & q.keys())
        known = [[side[token] for token in shared] for side in (p, q)]
        vectors = [[*side, max(1 - sum(side), 1e-12)] for side in known]
        found.append(float(jensenshannon(*vectors) ** 2))
    return found


def plain_scan(llr: np.ndarray, offsets: np.ndarray) -> list[float]:
    """Kadane's algorithm, one token at a time."""
    scores = []
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        best = running = -float("inf")
        for value in llr[start:stop].tolist():
            running = max(running, 0.0) + value
            best = max(best, running)
        scores.append(best)
    return scores


def plain_edit(a: Sequence[int], b: Sequence[int]) -> float:
    """Levenshtein distance, one cell at a time."""
    above = list(range(len(b) + 1))
    for row, token in enumerate(a, start=1):
        here = [row]
        for column, other in enumerate(b, start=1):
            here.append(min(above[column] + 1, here[-1] + 1, above[column - 1] + (token != other)))
        above = here
    return above[-1] / max(len(a), len(b), 1)


def plain_levels_and_pairs(codes: np.ndarray, sizes: Sequence[int], score: np.ndarray) -> float:
    """The scan of one pair of factors with a mask per cell."""
    cuts = np.quantile(score, QUANTILES)
    best = 0.0
    for first in range(sizes[0]):
        for second in range(sizes[1]):
            inside = score[(codes[:, 0] == first) & (codes[:, 1] == second)]
            for quantile, cut in zip(QUANTILES, cuts, strict=True):
                best = min(best, float(binom.logsf((inside > cut).sum() - 1, len(inside), 1 - quantile)))
    return best


def distribution_lines(rng: np.random.Generator) -> list[Line]:
    lines = []
    for alike in (0.0, 0.95):
        sides = top_k(rng, positions=100_000, alike=alike)
        some = [TopK(*(field[:2000] for field in side)) for side in sides[:2]]
        ours = seconds(lambda sides=sides: token_bounds(*sides[:2], chosen_M=sides[2]))
        plain = seconds(lambda some=some, sides=sides: plain_jsd(*some, sides[2][:2000]), repeats=1)
        what = f"all bounds, K={K}, {alike:.0%} of positions list the same tokens (plain: JSD only)"
        lines.append(Line(what, "positions", 100_000 / ours, 2000 / plain))
    return lines


def answer_lines(rng: np.random.Generator) -> list[Line]:
    lengths = rng.integers(0, 512, 5000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    candidate, trusted = (rng.normal(size=offsets[-1]).astype(np.float32) for _ in range(2))
    ours = seconds(lambda: llr_scan(candidate, trusted, offsets_N1=offsets, floor=0.01))
    plain = seconds(lambda: plain_scan(candidate - trusted, offsets), repeats=1)
    ids = rng.integers(0, VOCABULARY, offsets[-1]).astype(np.int32)
    others = np.where(rng.random(len(ids)) < 0.7, ids, rng.integers(0, VOCABULARY, len(ids))).astype(np.int32)
    edit = seconds(lambda: token_edit(ids, others, candidate_offsets_N1=offsets, trusted_offsets_N1=offsets))
    few = list(zip(offsets[:30].tolist(), offsets[1:31].tolist(), strict=True))
    slow = seconds(lambda: [plain_edit(ids[a:b].tolist(), others[a:b].tolist()) for a, b in few], repeats=1)
    return [
        Line("LLR scan, answers of 0..511 tokens", "answers", 5000 / ours, 5000 / plain),
        Line("token edit, answers of 0..511 tokens", "pairs", 5000 / edit, len(few) / slow),
    ]


def call_lines(rng: np.random.Generator) -> list[Line]:
    def turn(place: int) -> str:
        arguments = json.dumps({"path": f"/srv/data/{place}", "to": [f"user{place}@example.com"], "n": place})
        return json.dumps([{"name": "write_file", "arguments": arguments}])

    texts = [turn(place) for place in range(2000)]
    mostly = [texts[place if place % 20 else place - 1] for place in range(2000)]
    far = [texts[place] for place in rng.permutation(2000)]

    def work(others: list[str]) -> None:
        sides = Turns(texts, [None] * 2000), Turns(others, [None] * 2000)
        call_distances(*sides, tools_N=None, compare=comparing(severities={}, default_severity=1.0))

    def loop(others: list[str]) -> None:
        for candidate, trusted in zip(texts, others, strict=True):
            SequenceMatcher(None, candidate, trusted, autojunk=False).ratio()

    return [
        Line(
            f"tool calls with their changes, {what} (plain: difflib on the text)",
            "pairs",
            2000 / seconds(lambda others=others: work(others)),
            2000 / seconds(lambda others=others: loop(others), repeats=1),
        )
        for what, others in (("1 pair of 20 differs", mostly), ("all pairs differ", far))
    ]


def grid_lines(rng: np.random.Generator) -> list[Line]:
    sizes = (20, 7, 30, 50, 10, 20)
    codes = np.stack([rng.integers(0, size, 100_000) for size in sizes], axis=1)
    score = rng.standard_t(3, 100_000)
    score[(codes[:, 0] == 3) & (codes[:, 4] == 1)] += 8.0
    cells = sum(sizes) + (sum(sizes) ** 2 - sum(size**2 for size in sizes)) // 2
    ours = seconds(lambda: scan(codes, cardinalities_F=sizes, score_C=score))
    plain = seconds(lambda: plain_levels_and_pairs(codes, sizes[:2], score), repeats=1)
    task = codes[:, 3]
    whole = seconds(
        lambda: peel(codes, cardinalities_F=sizes, score_C=score, task_C=task, max_rules=5, interval_level=0.95)
    )
    print(f"scan of 100,000 x {len(sizes)} factors, {cells} cells: {ours:.3f} s; peel with refinement: {whole:.3f} s")
    z = seconds(lambda: task_z(score, task_C=task))
    slow = seconds(
        lambda: [
            (score[task == name] - np.median(score[task == name])) / median_abs_deviation(score[task == name])
            for name in range(50)
        ],
        repeats=1,
    )
    return [
        Line("rule scan (plain: a mask per cell)", "cells", cells / ours, sizes[0] * sizes[1] / plain),
        Line("z within 50 tasks (plain: scipy per task)", "rows", 100_000 / z, 100_000 / slow),
    ]


def main() -> None:
    rng = np.random.default_rng(0)
    lines = [*distribution_lines(rng), *answer_lines(rng), *call_lines(rng), *grid_lines(rng)]
    width = max(len(line.what) for line in lines)
    print(f"{'':{width}}  {'ours/s':>12} {'plain/s':>12} {'ratio':>8}")
    for line in lines:
        ratio = line.ours / line.plain
        print(f"{line.what:{width}}  {line.ours:12,.0f} {line.plain:12,.0f} {ratio:7.1f}x  {line.unit}")


if __name__ == "__main__":
    main()
