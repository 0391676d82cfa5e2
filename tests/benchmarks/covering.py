"""Rows and seconds of covering arrays, beside other generators where they are installed.

    python -m tests.benchmarks.covering
"""

import importlib.util
import time
from collections.abc import Callable
from math import prod

import numpy as np

from diffbehav.suite.covering import completed, covering_array
from diffbehav.suite.forbidden import Forbidden

CASES = {
    "6 factors": ([20, 7, 30, 50, 10, 20], (2, 3)),
    "7 factors": ([100, 20, 7, 30, 50, 10, 20], (2, 3)),
    "10 of 10 levels": ([10] * 10, (2, 3)),
    "40 of 2 levels": ([2] * 40, (2, 3)),
}
OTHERS_UP_TO = 2000


def own(radices: list[int], strength: int) -> np.ndarray:
    return covering_array(
        radices, strength=strength, forbidden=Forbidden(radices, ()), rng=np.random.default_rng(0)
    )


def allpairspy(radices: list[int], strength: int) -> np.ndarray:
    from allpairspy import AllPairs

    return np.array(list(AllPairs([list(range(radix)) for radix in radices], n=strength)))


def covertable(radices: list[int], strength: int) -> np.ndarray:
    from covertable import make

    return np.array(make([list(range(radix)) for radix in radices], strength=strength))


def installed() -> list[Callable[[list[int], int], np.ndarray]]:
    return [own, *(each for each in (allpairspy, covertable) if importlib.util.find_spec(each.__name__))]


def main() -> None:
    for name, (radices, strengths) in CASES.items():
        for strength in strengths:
            least = prod(sorted(radices)[-strength:])
            for generator in installed():
                if generator is not own and (strength > 2 or least > OTHERS_UP_TO):
                    continue
                wall, cpu = time.perf_counter(), time.process_time()
                rows = generator(radices, strength).astype(np.int32)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                rng = np.random.default_rng(1)
                whole = completed(rows, strength=strength, forbidden=Forbidden(radices, ()), rng=rng)
                assert len(whole) == len(rows), "something is not covered"
                print(
                    f"{name:16} t={strength}  {generator.__name__:10} {len(rows):>7,} rows (at least {least:,}), "
                    f"{wall:6.2f} s, {cpu:6.2f} s of CPU"
                )


if __name__ == "__main__":
    main()
