"""Covering arrays: rows in which every combination of levels of any t columns occurs.

In-parameter-order generation (IPOG; Lei, Kacker, Kuhn, Okun and Lawrence, 2007): all combinations of the t columns
with most levels, then one column after another; each row takes the level that covers most of what is still missing,
and what is left in the end goes to further rows.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import prod

import numpy as np

from diffbehav.errors import InputError
from diffbehav.suite.forbidden import OPEN, Forbidden

MAX_ROWS = 5_000_000


def covering_array(
    radices: Sequence[int], *, strength: int, forbidden: Forbidden, rng: np.random.Generator
) -> np.ndarray:
    """int32 [R, F]: no row is forbidden, and every `strength` levels that an allowed row can hold are in a row."""
    strength = min(strength, len(radices))
    order = sorted(range(len(radices)), key=lambda column: -radices[column])
    least = prod(radices[column] for column in order[:strength])
    if least > MAX_ROWS:
        raise InputError(
            f"covering {strength} factors at a time takes at least {least:,} rows, more than {MAX_ROWS:,}; "
            "lower `strength` or thin out the longest factors"
        )
    rows_RF = _combinations(forbidden, order[:strength])
    for position in range(strength, len(order)):
        column = order[position]
        subsets = list(combinations(order[:position], strength - 1))
        rows_RF, missing_MF = _with_column(rows_RF, column, subsets, forbidden, rng)
        rows_RF = np.concatenate([rows_RF, _packed(missing_MF, forbidden, rng, until=order[: position + 1])])
    return rows_RF


def completed(
    rows_RF: np.ndarray, *, strength: int, forbidden: Forbidden, rng: np.random.Generator
) -> np.ndarray:
    """`rows_RF` and the further rows it takes to cover every `strength` levels that an allowed row can hold."""
    width = len(forbidden.radices)
    subsets = combinations(range(width), min(strength, width))
    missing = [_uncovered(rows_RF, columns, forbidden) for columns in subsets]
    missing_MF = np.concatenate([np.empty((0, width), dtype=np.int32), *missing])
    return np.concatenate([rows_RF, _packed(missing_MF, forbidden, rng, until=range(width))])


def relabel(array_RF: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """The same array under other names: a random permutation of the levels that occur in each column.

    It covers what it covered before. Where combinations are forbidden, rename the rules before generating instead
    (`Forbidden.renamed`): a permutation would bring forbidden rows in.
    """
    relabelled_RF = np.empty_like(array_RF)
    for position, column in enumerate(array_RF.T):
        relabelled_RF[:, position] = rng.permutation(int(column.max()) + 1)[column]
    return relabelled_RF


def filled(
    rows_RF: np.ndarray,
    wanted_RF: np.ndarray,
    *,
    columns: Sequence[int],
    forbidden: Forbidden,
    rng: np.random.Generator,
) -> np.ndarray:
    """`rows_RF` with its open `columns` set to what is wanted, or to a random allowed level where that is forbidden."""
    rows_RF = rows_RF.copy()
    for column in columns:
        blank = np.flatnonzero(rows_RF[:, column] == OPEN)
        levels = wanted_RF[blank, column]
        if forbidden:
            free = forbidden.choices(rows_RF[blank], column)
            barred = np.flatnonzero(~free[np.arange(len(blank)), levels])
            levels[barred] = (rng.random((len(barred), free.shape[1])) * free[barred]).argmax(axis=1)
        rows_RF[blank, column] = levels
    return rows_RF


def _combinations(forbidden: Forbidden, columns: Sequence[int]) -> np.ndarray:
    """Every possible combination of `columns`, the other columns open."""
    radices = [forbidden.radices[column] for column in columns]
    rows = np.full((prod(radices), len(forbidden.radices)), OPEN, dtype=np.int32)
    rows[:, list(columns)] = np.indices(radices, dtype=np.int32).reshape(len(radices), prod(radices)).T
    allowed: np.ndarray = rows[~forbidden.hits(rows)]
    return allowed


def _with_column(
    rows_RF: np.ndarray,
    column: int,
    subsets: Sequence[tuple[int, ...]],
    forbidden: Forbidden,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The rows with `column` set, and what it leaves uncovered together with each of the `subsets`."""
    radix = forbidden.radices[column]
    sizes = [prod(forbidden.radices[each] for each in subset) for subset in subsets]
    starts = np.cumsum([0, *sizes])
    missing_PL = np.concatenate([forbidden.possible((*subset, column)) for subset in subsets]).reshape(-1, radix)
    place_RS = np.stack([_code(rows_RF, subset, forbidden) for subset in subsets], axis=1) + starts[:-1]
    weight_S = np.array(sizes, dtype=np.float32) / max(sizes)
    tie_RL = rng.random((len(rows_RF), radix), dtype=np.float32)
    if forbidden:
        tie_RL[~forbidden.choices(rows_RF, column)] = -np.inf
    rows_RF = rows_RF.copy()
    rows_RF[:, column] = _greedy(missing_PL, place_RS, weight_S, 1e-3 * tie_RL, turns_R=rng.permutation(len(rows_RF)))
    left = [
        _decoded(np.argwhere(missing_PL[start : start + size]), subset, column, forbidden)
        for start, size, subset in zip(starts, sizes, subsets, strict=False)
    ]
    return rows_RF, np.concatenate(left)


def _greedy(
    missing_PL: np.ndarray, place_RS: np.ndarray, weight_S: np.ndarray, tie_RL: np.ndarray, *, turns_R: np.ndarray
) -> np.ndarray:
    """The level of each row, taken in turn, that covers most; what it covers is struck out of `missing_PL`.

    Larger subsets weigh more: they have the fewest rows to spare for each combination. Once nothing is missing, the
    tie breaker alone decides.
    """
    levels_R: np.ndarray = tie_RL.argmax(axis=1)
    left = int(missing_PL.sum())
    for row in turns_R.tolist():
        if not left:
            break
        place_S = place_RS[row]
        missing_SL = missing_PL[place_S]
        level = int((weight_S @ missing_SL + tie_RL[row]).argmax())
        missing_PL[place_S, level] = False
        left -= int(missing_SL[:, level].sum())
        levels_R[row] = level
    return levels_R


def _decoded(found_MP: np.ndarray, subset: Sequence[int], column: int, forbidden: Forbidden) -> np.ndarray:
    """Rows that hold the combinations `(code over subset, level of column)` and are open elsewhere."""
    rows = np.full((len(found_MP), len(forbidden.radices)), OPEN, dtype=np.int32)
    radices = [forbidden.radices[each] for each in subset]
    if subset:
        rows[:, list(subset)] = np.stack(np.unravel_index(found_MP[:, 0], radices), axis=1)
    rows[:, column] = found_MP[:, 1]
    return rows


def _uncovered(rows_RF: np.ndarray, columns: tuple[int, ...], forbidden: Forbidden) -> np.ndarray:
    """Rows that hold the possible combinations of `columns` that are in no row, and are open elsewhere."""
    missing = np.ones(prod(forbidden.radices[column] for column in columns), dtype=bool)
    missing[_code(rows_RF, columns, forbidden)] = False
    if not missing.any():
        return np.empty((0, len(forbidden.radices)), dtype=np.int32)
    missing &= forbidden.possible(columns)
    *subset, last = columns
    return _decoded(np.argwhere(missing.reshape(-1, forbidden.radices[last])), subset, last, forbidden)


def _code(rows_RF: np.ndarray, columns: Sequence[int], forbidden: Forbidden) -> np.ndarray:
    code_R = np.zeros(len(rows_RF), dtype=np.int64)
    for column in columns:
        code_R = code_R * forbidden.radices[column] + rows_RF[:, column]
    return code_R


def _packed(
    missing_MF: np.ndarray, forbidden: Forbidden, rng: np.random.Generator, *, until: Sequence[int]
) -> np.ndarray:
    """Few rows, set on the columns `until`, that hold every partial row of `missing_MF`."""
    packed_NF, used = np.full((64, missing_MF.shape[1]), OPEN, dtype=np.int32), 0
    for partial_F in missing_MF[rng.permutation(len(missing_MF))]:
        columns = np.flatnonzero(partial_F != OPEN)
        place = next(_fitting(packed_NF[:used], partial_F, columns, forbidden), used)
        if place == len(packed_NF):
            packed_NF = np.concatenate([packed_NF, np.full_like(packed_NF, OPEN)])
        used = max(used, place + 1)
        packed_NF[place, columns] = partial_F[columns]
    rows_NF = packed_NF[:used]
    random_NF = rng.integers(0, np.array(forbidden.radices), size=rows_NF.shape)
    return filled(rows_NF, random_NF, columns=until, forbidden=forbidden, rng=rng)


def _fitting(
    packed_NF: np.ndarray, partial_F: np.ndarray, columns: np.ndarray, forbidden: Forbidden
) -> Iterator[int]:
    """The rows that can take the partial row in, first come first."""
    held = packed_NF[:, columns]
    places = np.flatnonzero(((held == partial_F[columns]) | (held == OPEN)).all(axis=1))
    if forbidden and len(places):
        merged = packed_NF[places]
        merged[:, columns] = partial_F[columns]
        places = places[~forbidden.hits(merged)]
    yield from places.tolist()
