from diffbehav.suite.seen import Seen


def test_a_repeat_is_found_among_many_and_the_first_cell_is_named() -> None:
    seen = Seen()
    names = [(number * 0x9E3779B97F4A7C15) % 2**64 for number in range(150_000)]
    assert all(seen.add(name, cell) == cell for cell, name in enumerate(names))
    assert [seen.add(names[cell], -1) for cell in (0, 70_000, 149_999)] == [0, 70_000, 149_999]
