from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from diffbehav.distance.assignment import cheapest_pairs

tables = st.integers(1, 5).flatmap(
    lambda rows: st.integers(rows, 6).flatmap(
        lambda columns: st.lists(
            st.lists(st.integers(0, 8).map(lambda eighth: eighth / 8), min_size=columns, max_size=columns),
            min_size=rows,
            max_size=rows,
        )
    )
)


@given(tables)
def test_no_other_pairing_is_cheaper(cost_RC: list[list[float]]) -> None:
    column_of = cheapest_pairs(cost_RC)
    assert len(set(column_of)) == len(cost_RC)
    cheapest = min(
        sum(costs[column] for costs, column in zip(cost_RC, columns, strict=True))
        for columns in permutations(range(len(cost_RC[0])), len(cost_RC))
    )
    assert sum(costs[column] for costs, column in zip(cost_RC, column_of, strict=True)) == cheapest


def test_no_rows_need_no_columns() -> None:
    assert cheapest_pairs([]) == []
