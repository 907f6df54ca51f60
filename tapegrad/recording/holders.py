"""Putting another object in the place of one, wherever the user's objects hold it.

That is in attributes, dictionaries, lists and closures. What stands in a tuple cannot be replaced.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from types import CellType, FrameType
from typing import Any


def replace_held(
    targets: tuple[Any, ...], values: Sequence[Any], known: tuple[dict[Any, Any], ...] = ()
) -> bool:
    """Put `values` in the places of `targets`; whether there was any such place.

    Python does not tell of tables that hold plain arrays alone, so those `known` are looked through, too.
    """
    by_id = {id(target): i for i, target in enumerate(targets)}
    found = False
    for holder in (*gc.get_referrers(*targets), *known) if targets else ():
        for where, key in _places(holder, by_id):
            _put(where, key, values[by_id[id(_held(where, key))]])
            found = True
    return found


def is_held(target: Any, frame: FrameType | None, known: tuple[dict[Any, Any], ...] = ()) -> bool:
    """Whether anybody holds an object in a place where another could be put.

    What `frame` and those that it was called from hold as variables does not count.
    """
    variables: set[int] = set()
    while frame is not None:
        if frame.f_locals is not frame.f_globals:
            variables.add(id(frame.f_locals))
        frame = frame.f_back
    by_id = {id(target): 0}
    holders = [x for x in (*gc.get_referrers(target), *known) if id(x) not in variables]
    return any(any(True for _ in _places(holder, by_id)) for holder in holders)


def _places(holder: Any, by_id: dict[int, int]) -> Iterator[tuple[Any, Any]]:
    """Where a container holds one of them."""
    if isinstance(holder, CellType):
        yield holder, None
    elif isinstance(holder, dict):
        yield from [(holder, key) for key, value in holder.items() if id(value) in by_id]
    elif isinstance(holder, list):
        yield from [(holder, i) for i, value in enumerate(holder) if id(value) in by_id]
    elif getattr(type(holder), "__dictoffset__", 0):  # Python finds attributes by their object
        names = vars(holder)
        if isinstance(names, dict):
            yield from _places(names, by_id)


def _held(where: Any, key: Any) -> Any:
    return where.cell_contents if isinstance(where, CellType) else where[key]


def _put(where: Any, key: Any, value: Any) -> None:
    if isinstance(where, CellType):
        where.cell_contents = value
    else:
        where[key] = value
