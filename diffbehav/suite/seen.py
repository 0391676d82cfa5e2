"""Which cell sent what: finds a repeat among millions of condition ids in little memory."""

import numpy as np

_RECENT = 65_536


class Seen:
    """Ids and the cells they came from: 16 bytes each, recent ones apart."""

    def __init__(self) -> None:
        self._ids = np.empty(0, dtype=np.uint64)
        self._cells = np.empty(0, dtype=np.int64)
        self._recent: dict[int, int] = {}

    def add(self, name: int, cell: int) -> int:
        """The cell that has the id: `cell`, unless one came before."""
        place = int(np.searchsorted(self._ids, np.uint64(name)))
        if place < len(self._ids) and int(self._ids[place]) == name:
            return int(self._cells[place])
        earlier = self._recent.setdefault(name, cell)
        if len(self._recent) >= _RECENT:
            self._merge()
        return earlier

    def _merge(self) -> None:
        ids = np.concatenate([self._ids, np.fromiter(self._recent.keys(), dtype=np.uint64)])
        cells = np.concatenate([self._cells, np.fromiter(self._recent.values(), dtype=np.int64)])
        order = np.argsort(ids)
        self._ids, self._cells, self._recent = ids[order], cells[order], {}
