"""Functions of other libraries that do something else while a function is traced.

A stand-in is in force while at least one trace runs, and only for the thread that traces. There it is asked
where an argument is traced, or, for makers of arrays, where the caller is no library. All other calls go to
the function itself. When the last trace is over, all is as it was.

A function written in Python is given other code, so that each name that holds it leads here, those of
``from scipy.special import logsumexp`` too. Anything else is replaced where it stands, and where the user's
modules hold it under names of their own, see `tapegrad.recording.standins.names`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import update_wrapper
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType, WrapperDescriptorType
from typing import Any, NamedTuple

from tapegrad.recording.buffers import trace_in
from tapegrad.recording.current import current_trace, running
from tapegrad.recording.standins.names import Names
from tapegrad.recording.tracer import Trace

OWN = frozenset(("tapegrad",))
# Their objects hold plain arrays, which they make of whatever they are given.
HOLDERS = OWN | {"pandas", "polars", "xarray", "pyarrow", "dask", "narwhals", "numba"}
# Their own code makes arrays for itself, which stay what they are.
_LIBRARIES = HOLDERS | {"numpy", "scipy"}
_METHODS = (FunctionType, WrapperDescriptorType)


class StandIn(NamedTuple):
    """One row of a table.

    Attributes
    ----------
    owner : str
        The module, or ``module:Class``. One that is not loaded is passed over.
    name : str
        The attribute.
    answer : callable or None
        ``answer(original, *args, **kwargs)`` in place of calls with traced values. With `NotImplemented` the
        original is called.
    keep : callable or None
        ``keep(result, *args, **kwargs)`` gets what other calls by the user's own code made, and returns what
        they get instead.
    silent_for : frozenset of str
        The packages whose own calls go to the original.
    always : bool
        The answer is asked whatever the arguments are, because traced values may stand inside of objects.
    """

    owner: str
    name: str
    answer: Callable[..., Any] | None
    keep: Callable[..., Any] | None = None
    silent_for: frozenset[str] = OWN
    always: bool = False


class _Place:
    """A place where a stand-in can be put: what was there, and how to put either there."""

    def __init__(self, owner: Any, name: str, original: Any, row: StandIn) -> None:
        self.owner = owner
        self.names = vars(owner)
        self.name = name
        self.held = original
        self.is_inherited = name not in self.names
        self.row = row
        self.function = _written_in_python(original)
        if self.function is not None:
            self.code = self.function.__code__
            self.jump = _jump_to(id(self), self.code)
            self.original: Callable[..., Any] = _twin(self.function)
        else:
            self.original = original
            self.replacement = _Replacement(self, original)

    def serve(self, caller: FrameType, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call, by whoever made it."""
        trace = current_trace()
        if trace is None:
            return self.original(*args, **kwargs)
        library, row = _library(caller), self.row
        if trace.posing is not None and library not in _LIBRARIES:
            args, kwargs = trace.posing.taken(row.name, args, kwargs)
        is_asked = row.answer is not None and library not in row.silent_for
        if is_asked and (row.always or trace_in((args, kwargs)) is not None):
            answer = row.answer(self.original, *args, **kwargs)  # type: ignore[misc]  # not None
            if answer is not NotImplemented:
                return answer
        result = self.original(*args, **kwargs)
        if row.keep is None or library in _LIBRARIES:
            return result
        kept = row.keep(result, *args, **kwargs)
        return kept if trace.posing is None else trace.posing.widened(kept)

    def put(self) -> bool:
        """Put the stand-in there; False if something else stands there than once did."""
        if self.function is not None:
            if self.function.__code__ is not self.code:
                return False
            self.function.__code__ = self.jump
        else:
            if self.names.get(self.name) is not (None if self.is_inherited else self.held):
                return False
            setattr(self.owner, self.name, self.replacement)
        return True

    def take_away(self) -> None:
        """Put back what was there, if nobody else has put something there meanwhile."""
        if self.function is not None:
            if self.function.__code__ is self.jump:
                self.function.__code__ = self.code
        elif self.names.get(self.name) is self.replacement:
            if self.is_inherited:
                delattr(self.owner, self.name)
            else:
                setattr(self.owner, self.name, self.held)


class _Replacement:
    """What stands in a module in the place of a function. It equals the function, also as a key of tables."""

    def __init__(self, place: _Place, original: Callable[..., Any]) -> None:
        self._place = place
        update_wrapper(self, original)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._place.serve(sys._getframe(1), args, kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """A method of the instance, where a function in a class is replaced."""
        if instance is None or not isinstance(self._place.original, _METHODS):
            return self
        return MethodType(self, instance)

    def __eq__(self, other: object) -> bool:
        return other is self or other is self._place.original

    def __hash__(self) -> int:
        return hash(self._place.original)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._place.original, name)

    def __repr__(self) -> str:
        return repr(self._place.original)


_lock = threading.Lock()
_running = 0
_modules: tuple[int, str] = (0, "")  # how many were loaded when rows were last looked for, and the last one
_places: dict[StandIn, _Place] = {}
_by_key: dict[int, _Place] = {}
_names = Names()
_replacements: dict[int, tuple[Any, Any]] = {}  # of what is replaced where it stands, by its id


@contextmanager
def in_force(trace: Trace, rows: Sequence[StandIn], around: dict[str, Any] | None = None) -> Iterator[None]:
    """While this lasts, the thread runs `trace`, and the stand-ins of `rows` are in force.

    `around` are the global names of the function that is traced.
    """
    _begin(rows, around)
    try:
        with running(trace):
            yield
    finally:
        _end()


def float_in(names: dict[str, Any], name: str) -> bool:
    """Have a stand-in for `float` in a module from the next trace on, if `name` means it there.

    False if that changes nothing.
    """
    with _lock:
        return _names.add_type(names, name)


def _begin(rows: Sequence[StandIn], around: dict[str, Any] | None) -> None:
    """One trace more."""
    global _running, _modules
    with _lock:
        _running += 1
        if _running == 1:
            for row in [row for row, place in _places.items() if not place.put()]:
                del _places[row]
                _modules = (0, "")
        loaded = len(sys.modules), next(reversed(sys.modules))
        if _modules != loaded:
            _modules = loaded
            _put_new(rows)
            _names.look_through_modules(_replacements)
        if around is not None:
            _names.look_through(around, _replacements)
        _names.put()


def _end() -> None:
    """One trace less."""
    global _running
    with _lock:
        _running -= 1
        if not _running:
            _names.take_away()
            for place in _places.values():
                place.take_away()


def _put_new(rows: Sequence[StandIn]) -> None:
    """Put the stand-ins of modules that have been loaded since."""
    for row in rows:
        if row in _places:
            continue
        module, _, name = row.owner.partition(":")
        owner: Any = sys.modules.get(module)
        if name and owner is not None:
            owner = getattr(owner, name, None)
        original = None if owner is None else vars(owner).get(row.name)
        if original is None and isinstance(owner, type):
            original = getattr(owner, row.name, None)
        # A method that one class inherits from another has its stand-in there already.
        function = _written_in_python(original)
        is_served = function is not None and any(place.function is function for place in _places.values())
        if original is not None and not is_served:
            place = _places[row] = _Place(owner, row.name, original, row)
            _by_key[id(place)] = place
            place.put()
            if place.function is None and isinstance(place.owner, ModuleType):
                _replacements[id(original)] = original, place.replacement


def _library(caller: FrameType) -> str:
    """The package that called."""
    return str(caller.f_globals.get("__name__", "")).partition(".")[0]


# Other code for a function ----------------------------------------------------------------------------------


def _written_in_python(original: Any) -> FunctionType | None:
    """The function that can be given other code: it, or the one that it wraps, if that has no closure."""
    while isinstance(original, FunctionType) and original.__code__.co_freevars:
        original = getattr(original, "__wrapped__", None)
    return original if isinstance(original, FunctionType) else None


def _twin(function: FunctionType) -> FunctionType:
    """The same function as another object, which keeps its code."""
    twin = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


def _jump() -> Any:
    return __import__("sys").modules["tapegrad.recording.standins.mechanism"].jumped("key", locals())


_ARGUMENTS = 0x04 | 0x08  # CO_VARARGS, CO_VARKEYWORDS


def _jump_to(key: int, code: CodeType) -> CodeType:
    """Code with the arguments of `code` that calls `jumped` with them."""
    flags = code.co_flags & _ARGUMENTS
    count = code.co_argcount + code.co_kwonlyargcount + flags.bit_count()
    jump = _jump.__code__
    return jump.replace(
        co_argcount=code.co_argcount,
        co_posonlyargcount=code.co_posonlyargcount,
        co_kwonlyargcount=code.co_kwonlyargcount,
        co_varnames=code.co_varnames[:count],
        co_nlocals=count,
        co_flags=jump.co_flags & ~_ARGUMENTS | flags,
        co_consts=tuple([key if const == "key" else const for const in jump.co_consts]),
        co_name=code.co_name,
        co_qualname=code.co_qualname,
    )


def jumped(key: int, given: dict[str, Any]) -> Any:
    """A call of a function that has other code, with its arguments by their names."""
    place = _by_key[key]
    code = place.code
    names = code.co_varnames
    last = code.co_argcount + code.co_kwonlyargcount
    args = [given[name] for name in names[: code.co_argcount]]
    kwargs = {name: given[name] for name in names[code.co_argcount : last]}
    if code.co_flags & 0x04:
        args += given[names[last]]
        last += 1
    if code.co_flags & 0x08:
        kwargs.update(given[names[last]])
    return place.serve(sys._getframe(2), tuple(args), kwargs)
