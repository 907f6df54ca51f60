"""Names in the user's modules that hold a function which has a stand-in.

``from math import log`` binds a name of its own, which nobody reaches through the module math. So the
user's modules, installed packages among them, are looked through once for such names. Functions that are
written in Python need this not: their stand-in is other code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.registry import FLOAT
from tapegrad.recording.current import current_trace
from tapegrad.recording.tracer import Tracer

# Packages that make arrays for themselves, and those that know nothing of arrays.
_SKIPPED = sys.stdlib_module_names | {
    *("tapegrad", "numpy", "scipy", "pandas", "polars", "xarray", "pyarrow", "dask", "narwhals", "numba"),
    *(
        "matplotlib",
        "pytest",
        "_pytest",
        "hypothesis",
        "IPython",
        "mypy",
        "PIL",
        "torch",
        "jax",
        "tensorflow",
    ),
}


class _Held(NamedTuple):
    """A name in a module, what it holds, and what stands there while a trace runs."""

    names: dict[str, Any]
    name: str
    original: Any
    replacement: Any


_ABSENT = object()  # a name that is looked up among the builtins


class Names:
    """The names found so far."""

    def __init__(self) -> None:
        self._held: list[_Held] = []
        self._known: set[tuple[int, str]] = set()
        self._modules: set[str] = set()

    def look_through_modules(self, replacements: Mapping[int, tuple[Any, Any]]) -> None:
        """Look for names in modules that have been loaded since; `replacements` by the ids of functions."""
        for name in set(sys.modules) - self._modules:
            self._modules.add(name)
            module = sys.modules.get(name)
            is_users = name == "__main__" or name.partition(".")[0] not in _SKIPPED
            if is_users and module is not None and hasattr(module, "__dict__"):
                self.look_through(vars(module), replacements)

    def look_through(self, names: dict[str, Any], replacements: Mapping[int, tuple[Any, Any]]) -> None:
        """Look for names among those of one module, or of what serves as one."""
        for name, value in list(names.items()):
            found = replacements.get(id(value))
            if found is not None and found[0] is value:
                self._add(_Held(names, name, *found))

    def add_type(self, names: dict[str, Any], name: str) -> bool:
        """Let `float` mean its stand-in in a module, or `np.float64` everywhere; False if it does already."""
        if str(names.get("__name__", "")).partition(".")[0] in _SKIPPED:
            return False
        if name in ("float64", "double", "longdouble") and name not in names:
            names = vars(np)
        found = names.get(name, _ABSENT)
        kind = float if name == "float" and found is _ABSENT else found
        if not (isinstance(kind, type) and kind in TYPES) or (id(names), name) in self._known:
            return False
        self._add(_Held(names, name, found, TYPES[kind]))
        return True

    def _add(self, held: _Held) -> None:
        key = id(held.names), held.name
        if key not in self._known:
            self._known.add(key)
            self._held.append(held)

    def put(self) -> None:
        """Put all stand-ins there."""
        for names, name, original, replacement in self._held:
            if names.get(name, _ABSENT) is original:
                names[name] = replacement

    def take_away(self) -> None:
        """Put back what was there, if nobody else has put something there meanwhile."""
        for names, name, original, replacement in self._held:
            if names.get(name) is replacement:
                if original is _ABSENT:
                    del names[name]
                else:
                    names[name] = original


class _Type:
    """What `float` is while a trace runs, in modules that ask a traced value for one, or `np.float64`.

    It is asked for nowhere else: Python gives no other way to a call of `float`, which must return a number.
    """

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self.dtype = np.dtype(kind)  # as which NumPy takes it

    def __call__(self, *args: Any) -> Any:
        given = args[0] if len(args) == 1 else None
        if current_trace() is None or not isinstance(given, Tracer) or given.size != 1:
            return self._kind(*args)
        if given.dtype != FLOAT:
            given = given.astype(FLOAT)
        return given.item() if given.shape else given.copy()

    def __instancecheck__(self, x: object) -> bool:
        return isinstance(x, self._kind)

    def __subclasscheck__(self, kind: type) -> bool:
        return issubclass(getattr(kind, "_kind", kind), self._kind)

    def __mro_entries__(self, bases: Iterable[Any]) -> tuple[type, ...]:
        return (self._kind,)

    def __or__(self, other: Any) -> Any:
        return self._kind | other

    def __ror__(self, other: Any) -> Any:
        return other | self._kind

    def __eq__(self, other: object) -> bool:
        return other is self or other is self._kind

    def __hash__(self) -> int:
        return hash(self._kind)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kind, name)

    def __repr__(self) -> str:
        return repr(self._kind)


TYPES: dict[type, _Type] = {kind: _Type(kind) for kind in (float, np.float64, np.longdouble)}
