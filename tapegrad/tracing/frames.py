"""Telling the user's lines from those of libraries, and how a line stands in messages."""

from __future__ import annotations

import os
import re
from types import CodeType, FrameType

import numpy as np
import scipy

from tapegrad.tape import Source

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NUMPY, _SCIPY = (os.path.dirname(str(module.__file__)) + os.sep for module in (np, scipy))
_STANDARD = os.path.dirname(os.__file__) + os.sep
_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/](\w+)")
_LIBRARY = re.compile(r"(?:^|[\\/])(scipy|numpy|pandas)[\\/](\w+)")
# The demonstration is written as a user would write it, so its lines count as the user's.
_USER_SIDE = (os.path.join(_PACKAGE, "demo.py"),)


def is_user_code(code: CodeType) -> bool:
    """Whether `code` stands outside tapegrad, NumPy, SciPy, pandas and Python's own library."""
    file = code.co_filename
    if file in _USER_SIDE:
        return True
    if file.startswith((_PACKAGE, _NUMPY, _SCIPY, "<frozen ")) or file.endswith(".pyx"):
        return False
    installed = _INSTALLED.search(file)
    return installed[1] != "pandas" if installed else not file.startswith(_STANDARD)


def is_own_code(code: CodeType) -> bool:
    """Whether `code` is tapegrad's."""
    return code.co_filename.startswith(_PACKAGE) and not is_user_code(code)


def user_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of the user's code, from `frame` outwards."""
    while frame is not None and not is_user_code(frame.f_code):
        frame = frame.f_back
    return frame


def location(source: Source | None) -> str:
    """A source as it stands in messages: `` at file:line: `text` ``."""
    if source is None:
        return ""
    return f" at {source.file}:{source.line}" + (f": `{source.text}`" if source.text else "")


def library_of(code: CodeType) -> str | None:
    """The library that `code` belongs to, as far as messages tell them apart: ``scipy.stats``, ``pandas``."""
    found = _LIBRARY.search(code.co_filename)
    if found is None:
        return None
    return "pandas" if found[1] == "pandas" else f"{found[1]}.{found[2]}"
