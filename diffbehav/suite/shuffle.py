"""A seeded permutation of 0 .. size-1 that is computed item by item and never stored."""

import numpy as np

ROUNDS = 8


class Shuffle:
    """A balanced Feistel network over an even number of bits; values outside are walked until inside."""

    def __init__(self, size: int, *, seed: int) -> None:
        self.size = size
        self._half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = np.random.default_rng(seed).integers(0, 2**64, size=ROUNDS, dtype=np.uint64)

    def take(self, positions: np.ndarray) -> np.ndarray:
        """int64: the item at each position."""
        items = self._once(positions.astype(np.uint64))
        outside = np.flatnonzero(items >= self.size)
        while outside.size:
            items[outside] = self._once(items[outside])
            outside = outside[items[outside] >= self.size]
        return items.astype(np.int64)

    def _once(self, items: np.ndarray) -> np.ndarray:
        left, right = items >> self._half, items & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & self._mask)
        return (left << self._half) | right


def _mix(words: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(words ^ (words >> np.uint64(31)))
