"""Grids of conditions with scores of heavy-tailed noise and a planted rule."""

from typing import NamedTuple

import numpy as np

from diffbehav.stats.rule import Rule, matches


class Grid(NamedTuple):
    codes_CF: np.ndarray
    cardinalities_F: tuple[int, ...]
    score_C: np.ndarray


def planted(
    seed: int, rows: int, cardinalities: tuple[int, ...], rules: dict[Rule, float], *, per_year: int = 0
) -> Grid:
    """Student t noise with 3 degrees of freedom; each rule adds 8 x lognormal(1) to the share of its rows given.

    With `per_year` the first factor is a date and a last factor is its year, of so many dates.
    """
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, size, rows) for size in cardinalities], axis=1)
    if per_year:
        codes = np.column_stack([codes, codes[:, 0] // per_year])
        cardinalities += (-(-cardinalities[0] // per_year),)
    score = rng.standard_t(3, rows)
    for rule, rate in rules.items():
        fires = matches(rule, codes) & (rng.random(rows) < rate)
        score += fires * 8 * rng.lognormal(size=rows)
    return Grid(codes, cardinalities, score)
