"""The C compiler of this machine."""

from __future__ import annotations

import os
import sys
import threading

from tapegrad.backends.c.commands import SYSTEMS, candidates
from tapegrad.backends.c.probe import Compiler, probed

_lock = threading.Lock()
_known: dict[tuple[str | None, ...], Compiler | None] = {}


def compiler() -> Compiler | None:
    """The C compiler of this machine, or None.

    It is looked for once in a process, and again where `CC` or `PATH` has changed.
    """
    asked = (os.environ.get("CC"), os.environ.get("PATH"))
    with _lock:
        if asked not in _known:
            tried = (probed(command) for command in candidates())
            _known[asked] = next((found for found in tried if found is not None), None)
        return _known[asked]


def reason() -> str:
    """Why there is no compiler, as a clause of an error."""
    if sys.platform not in SYSTEMS:
        return f"it is for Linux and macOS, not for {sys.platform}"
    named = os.environ.get("CC", "").strip()
    if named:
        return f"CC names {named!a}, which is no C compiler here, or one whose arithmetic is not IEEE's"
    return (
        "no C compiler was found: install one (gcc or clang), or `python -m pip install 'tapegrad[c]'`, "
        "which brings one"
    )
