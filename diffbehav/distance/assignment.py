"""The cheapest one-to-one pairing of two small sets, exactly."""

import math
from collections.abc import Sequence


def cheapest_pairs(cost_RC: Sequence[Sequence[float]]) -> list[int]:
    """The column of each row in the pairing of least total cost; at most as many rows as columns.

    Kuhn and Munkres' method by shortest augmenting paths with potentials, O(R^2 C): exact at every size.
    """
    columns = len(cost_RC[0]) if cost_RC else 0
    row_of = [-1] * columns
    potential_R, potential_C = [0.0] * len(cost_RC), [0.0] * columns
    for row in range(len(cost_RC)):
        _augment(cost_RC, row, row_of, potential_R, potential_C)
    column_of = [-1] * len(cost_RC)
    for column, row in enumerate(row_of):
        if row >= 0:
            column_of[row] = column
    return column_of


def _augment(
    cost_RC: Sequence[Sequence[float]],
    free_row: int,
    row_of: list[int],
    potential_R: list[float],
    potential_C: list[float],
) -> None:
    """Give `free_row` a column along the shortest augmenting path; updates the three lists in place."""
    columns = len(row_of)
    slack, came_from, done = [math.inf] * columns, [-1] * columns, [False] * columns
    row, last = free_row, -1
    while row >= 0:
        if last >= 0:
            done[last] = True
        nearest = -1
        for column in range(columns):
            if done[column]:
                continue
            reduced = cost_RC[row][column] - potential_R[row] - potential_C[column]
            if reduced < slack[column]:
                slack[column], came_from[column] = reduced, last
            if nearest < 0 or slack[column] < slack[nearest]:
                nearest = column
        step = slack[nearest]
        potential_R[free_row] += step
        for column in range(columns):
            if done[column]:
                potential_R[row_of[column]] += step
                potential_C[column] -= step
            else:
                slack[column] -= step
        last, row = nearest, row_of[nearest]
    while last >= 0:
        previous = came_from[last]
        row_of[last] = row_of[previous] if previous >= 0 else free_row
        last = previous
