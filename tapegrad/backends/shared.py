"""What programs on the same data make of them once, and share: C's matrices by columns, for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

Array = np.ndarray[Any, Any]


class Shared:
    """Forms of arrays that nobody writes to any more.

    A form is there as long as a workspace holds it, which holds the array as well. So its address names it.

    Attributes
    ----------
    keeps : bool
        Whether there is room for second copies.
    """

    def __init__(self, keeps: bool = True) -> None:
        self.keeps = keeps
        self._forms: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()

    def form(self, how: str, array: Array, make: Callable[[Array], Any]) -> Any:
        """What `make` makes of an array, or has made of it before under the name `how`."""
        key = (how, array.ctypes.data, array.shape, array.strides, array.dtype)
        found = self._forms.get(key)
        if found is None:
            found = self._forms[key] = make(array)
        return found
