"""The elements of a traced array one after another: `x.flat`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


class Flat:
    """As NumPy's `flatiter`: reads copies, writes into the array."""

    __slots__ = ("base", "index")

    def __init__(self, base: Any) -> None:
        self.base = base
        self.index = 0

    def _places(self, index: Any) -> Any:
        return np.arange(self.base.size)[index]

    def __len__(self) -> int:
        return int(self.base.size)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.index >= len(self):
            raise StopIteration
        self.index += 1
        return self[self.index - 1]

    def __getitem__(self, index: Any) -> Any:
        return np.take(self.base, self._places(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        np.put(self.base, self._places(index), value)

    def copy(self) -> Any:
        """The elements as a new array."""
        return self.base.flatten()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.copy(), dtype=dtype)
