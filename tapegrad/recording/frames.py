"""Telling the user's lines from those of libraries, and how a line stands in messages."""

from __future__ import annotations

import ast
import dis
import linecache
import os
import re
import sys
from collections.abc import Iterator
from itertools import islice
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

import numpy as np
import scipy

from tapegrad.tape.line import Source

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NUMPY, _SCIPY = (os.path.dirname(str(module.__file__)) + os.sep for module in (np, scipy))
_STANDARD = os.path.dirname(os.__file__) + os.sep
_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/](\w+)")
_LIBRARY = re.compile(r"(?:^|[\\/])(scipy|numpy|pandas|polars|xarray)[\\/](\w+)")
# Installed packages that hold the user's data. Other packages hold the user's models, and their lines count.
_HOLDERS = frozenset(
    ("numpy", "scipy", "pandas", "polars", "xarray", "pyarrow", "dask", "narwhals", "numba", "sklearn")
)
# The demonstration is written as a user would write it, so its lines count as the user's.
_USER_SIDE = (os.path.join(_PACKAGE, "demo.py"),)
_LONGEST = 100  # characters of a line that a message quotes


def is_user_code(code: CodeType, module: str = "") -> bool:
    """Whether `code`, of this module, stands outside tapegrad, Python's own library and those for data."""
    file = code.co_filename
    if file in _USER_SIDE:
        return True
    if file.startswith((_PACKAGE, _NUMPY, _SCIPY, "<frozen ")) or file.endswith(".pyx"):
        return False
    if file.startswith("<"):  # written by a program, and so by whoever the module belongs to
        return module.partition(".")[0] not in _HOLDERS
    installed = _INSTALLED.search(file)
    return installed[1] not in _HOLDERS if installed else not file.startswith(_STANDARD)


def is_users(frame: FrameType) -> bool:
    """Whether a frame runs the user's code."""
    return is_user_code(frame.f_code, str(frame.f_globals.get("__name__", "")))


def is_own_code(code: CodeType) -> bool:
    """Whether `code` is tapegrad's."""
    return code.co_filename.startswith(_PACKAGE) and not is_user_code(code)


def is_of_libraries(code: CodeType) -> bool:
    """Whether `code` is tapegrad's, NumPy's or SciPy's."""
    return code.co_filename.startswith((_PACKAGE, _NUMPY, _SCIPY)) and code.co_filename not in _USER_SIDE


def user_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of the user's code, from `frame` outwards."""
    while frame is not None and not is_users(frame):
        frame = frame.f_back
    return frame


def library_of(code: CodeType) -> str | None:
    """The library that `code` belongs to, as far as messages tell them apart: ``scipy.stats``, ``pandas``."""
    found = _LIBRARY.search(code.co_filename)
    if found is None:
        return None
    return f"{found[1]}.{found[2]}" if found[1] in ("scipy", "numpy") else found[1]


# What a line is doing ---------------------------------------------------------------------------------------


class Spot(NamedTuple):
    """A place within the user's code: the expression that is being evaluated, and by which instruction."""

    source: Source
    expression: str
    instruction: str

    @property
    def stores_element(self) -> bool:
        """Whether the instruction assigns to an element or a slice."""
        return self.instruction in ("STORE_SUBSCR", "STORE_SLICE")

    @property
    def text(self) -> str:
        """The text for a message: the line, or the expression if it has several lines or the line is long."""
        line = self.source.text
        is_whole = "\n" not in self.expression and len(line) <= _LONGEST
        return line if is_whole or not self.expression else self.expression


def spot_of(code: CodeType, at: int, line: int | None) -> Spot:
    """The place of the instruction at the offset `at` of `code`."""
    instruction = dis.opname[code.co_code[at]] if 0 <= at < len(code.co_code) else ""
    start, end, left, right = next(islice(code.co_positions(), max(at, 0) // 2, None), (None,) * 4)
    expression = ""
    if start is not None and end is not None and left is not None and right is not None:
        lines = [linecache.getline(code.co_filename, i).encode() for i in range(start, end + 1)]
        lines[-1] = lines[-1][:right]
        lines[0] = lines[0][left:]
        expression = b"".join(lines).decode(errors="replace")
    return Spot(Source(code.co_filename, line or start or 0), expression, instruction)


def spot_at(frame: FrameType) -> Spot:
    """The place that a frame has reached."""
    return spot_of(frame.f_code, frame.f_lasti, frame.f_lineno)


def parsed(text: str) -> ast.expr | None:
    """An expression as Python reads it, or None."""
    try:
        return ast.parse(f"({text})", mode="eval").body
    except SyntaxError:
        return None


def location(place: Source | Spot | None) -> str:
    """A place as it stands in messages: `` at file:line: `text` ``."""
    if place is None:
        return ""
    source = place.source if isinstance(place, Spot) else place
    return f" at {source.file}:{source.line}" + _quoted(place.text)


def _quoted(text: str) -> str:
    if "\n" in text:
        text = " ".join(text.split())
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 4] + " ..."
    return f": `{text}`" if text else ""


def _placed(spot: Spot | None, code: CodeType | None, caller: Spot | None) -> str:
    """A place within a package as it stands in messages: the user's own line, and what that has called."""
    if caller is None or spot is None or code is None:
        return location(spot)
    return location(caller) + inside(code, spot.source.line)[:-1] + _quoted(spot.text) + ")"


def is_installed(code: CodeType) -> bool:
    """Whether `code` stands in an installed package."""
    return _INSTALLED.search(code.co_filename) is not None


def _caller(frame: FrameType) -> Spot | None:
    """The user's own line that has called an installed package, in the call that is traced."""
    outer = frame.f_back if is_installed(frame.f_code) else None
    while outer is not None and not is_own_code(outer.f_code):
        if is_users(outer) and not is_installed(outer.f_code):
            return spot_at(outer)
        outer = outer.f_back
    return None


def here() -> Spot | None:
    """The place that the user's code has reached."""
    frame = user_frame(sys._getframe(1))
    return None if frame is None else spot_at(frame)


def whereabouts() -> str:
    """The same as it stands in messages, with the step inside a library that the user's line has called."""
    frame: FrameType | None = sys._getframe(1)
    deeper = ""
    while frame is not None and not is_users(frame):
        if library_of(frame.f_code) is not None and not deeper:
            deeper = inside(frame.f_code, frame.f_lineno)
        frame = frame.f_back
    if frame is None:
        return deeper
    return _placed(spot_at(frame), frame.f_code, _caller(frame)) + deeper


def inside(code: CodeType, line: int) -> str:
    """A step of a library, as it stands in messages."""
    module = re.split(r"[\\/](?:site|dist)-packages[\\/]", code.co_filename)[-1]
    return f" (inside {code.co_qualname}, {module}:{line})"


def variable_of(value: Any) -> str | None:
    """The name of the user's variable that holds a value, looked up where the user's code stands."""
    frame = user_frame(sys._getframe(1))
    if frame is None:
        return None
    for scope in (frame.f_locals, frame.f_globals):
        for name, held in scope.items():
            if held is value and not name.startswith("_"):
                return name
    return None


# First and last line, first and last column, each None where Python was told not to keep them.
Piece = tuple[int | None, int | None, int | None, int | None]


class Lines:
    """The user's line that is running, for who asks at every step: what a code object told is kept.

    Each piece of a line, such as ``a * b``, has a line object of its own: so two places in one line can be
    told apart, see `tapegrad.passes.loops`.
    """

    def __init__(self) -> None:
        self._known: dict[int, dict[int, Source] | None] = {}  # by code, and by instruction; None: not theirs
        self._codes: list[CodeType] = []
        self._pieces: dict[int, list[Piece]] = {}  # of a code object, by the place of the instruction
        self._sources: dict[tuple[int, Piece], Source] = {}

    def current(self, depth: int = 2) -> Source | None:
        """The user's innermost line that is running; so many callers are known not to be the user."""
        frame: FrameType | None = sys._getframe(depth)
        while frame is not None:
            code = frame.f_code
            try:
                lines = self._known[id(code)]
            except KeyError:
                lines = self._known[id(code)] = {} if is_users(frame) else None
                self._codes.append(code)  # so that no other code object gets this id
            if lines is not None:
                found = lines.get(frame.f_lasti)
                return self._noted(frame, lines) if found is None else found
            frame = frame.f_back
        return None

    def _noted(self, frame: FrameType, lines: dict[int, Source]) -> Source:
        code, last = frame.f_code, frame.f_lasti
        # A running program specialises its instructions, and then stands at other offsets within them: what
        # stays is the piece of the source line.
        if id(code) not in self._pieces:
            self._pieces[id(code)] = list(code.co_positions())
        key = (id(code), self._pieces[id(code)][last // 2])
        line = self._sources.setdefault(key, Source(code.co_filename, frame.f_lineno))
        lines[last] = line
        return line


# Errors -----------------------------------------------------------------------------------------------------


def steps_of(error: BaseException) -> Iterator[TracebackType]:
    """The calls that an error has come through, the outermost first."""
    step = error.__traceback__
    while step is not None:
        yield step
        step = step.tb_next


def spot_in(step: TracebackType) -> Spot:
    """The place that such a call had reached."""
    return spot_of(step.tb_frame.f_code, step.tb_lasti, step.tb_lineno)


def place_of_error(error: BaseException) -> tuple[str, str | None]:
    """The innermost of the user's lines that an error has come through, and the library that it called."""
    spot: Spot | None = None
    code: CodeType | None = None
    caller: Spot | None = None
    library: str | None = None
    for step in steps_of(error):
        if is_users(step.tb_frame):
            if spot is not None and code is not None and not is_installed(code):
                caller = spot
            spot, code, library = spot_in(step), step.tb_frame.f_code, None
        else:
            library = library or library_of(step.tb_frame.f_code)
    is_package = code is not None and is_installed(code)
    return _placed(spot, code, caller if is_package else None), library


def inside_of_error(error: BaseException) -> str:
    """The innermost step of a library that an error has come through after the user's lines, for messages."""
    found = ""
    for step in steps_of(error):
        code = step.tb_frame.f_code
        if is_users(step.tb_frame):
            found = ""
        elif library_of(code) is not None:
            found = inside(code, step.tb_lineno)
    return found
