"""Speed and peak memory of comparing the weights of two models, on a synthetic pair in bfloat16.

    python -m tests.benchmarks.inspect_weights [--megabytes 800]

Half of the tensors differ everywhere, by a change of rank 16 and rounding, the others not at all. The files are written
by another process, so that the peak is that of the comparison, imports included. Two tensors are the largest whose
difference is kept in memory, and one that is read again for its rank.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from diffbehav.intake.tensor_values import weight_tensors
from diffbehav.intake.weight_difference import HELD, weight_differences
from tests.intake.writing import bfloat16, write_raw

ROWS, COLUMNS = 4096, 2048
RANK = 16
TENSORS = 8
TALL = (HELD // (ROWS * COLUMNS), HELD // (ROWS * COLUMNS) + 1)
"""Times the rows of the first matrix of a shard: the largest whose difference is kept in memory, and one beyond."""


def write_pair(folder: Path, megabytes: int) -> None:
    """About `megabytes` per side in shards of TENSORS matrices; the first of each is TALL times as tall if it fits."""
    rng = np.random.default_rng(0)
    left, shard = megabytes << 20, 0
    for side in ("candidate", "trusted"):
        (folder / side).mkdir()
    while left > 0:
        sides: dict[str, dict[str, tuple[str, tuple[int, ...], bytes]]] = {"candidate": {}, "trusted": {}}
        for index in range(TENSORS):
            tall = TALL[shard % 2] if index == 0 and left > max(TALL) * ROWS * COLUMNS * 2 else 1
            shape = (ROWS * tall, COLUMNS)
            weights = rng.standard_normal(shape, np.float32) * np.float32(0.02)
            raw = bfloat16(weights)
            name = f"model.layers.{shard}.{index}.weight"
            sides["trusted"][name] = ("BF16", shape, raw)
            if index % 2 == 0:
                b, a = (rng.standard_normal(size, np.float32) for size in ((shape[0], RANK), (RANK, COLUMNS)))
                raw = bfloat16(weights + np.float32(0.002) * (b @ a))
            sides["candidate"][name] = ("BF16", shape, raw)
            left -= len(raw)
            if left <= 0:
                break
        for side, tensors in sides.items():
            write_raw(folder / side / f"model-{shard:05d}.safetensors", tensors)
        shard += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=800, help="Of each of the two models.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = multiprocessing.get_context("spawn").Process(target=write_pair, args=(folder, arguments.megabytes))
        writer.start()
        writer.join()
        sides = [weight_tensors(folder / side) for side in ("candidate", "trusted")]
        read = sum(tensor.bytes for side in sides for tensor in side.values())
        wall, cpu = time.perf_counter(), time.process_time()
        found = list(weight_differences(sides[0], sides[1]))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    ranks = [each.stable_rank for each in found if each.stable_rank is not None]
    again = sum(each.elements > HELD for each in sides[0].values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{read / 1e6:,.0f} MB, {len(found)} pairs of tensors, {len(ranks)} changed, {again} read again for the rank")
    print(f"{wall:.1f} s, {read / 1e6 / wall:.0f} MB/s; {cpu:.1f} s of CPU, {read / 1e6 / cpu:.0f} MB in each")
    print(f"stable ranks {min(ranks):.2f} to {max(ranks):.2f}; peak resident memory {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
