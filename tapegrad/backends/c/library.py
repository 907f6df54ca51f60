"""C source as a loaded library: compiled once, and taken from the cache afterwards."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from typing import Final

from tapegrad.backends.c import cache
from tapegrad.backends.c.commands import CompilationFailed, NoCompiler, execute
from tapegrad.backends.c.compiler import compiler, reason
from tapegrad.backends.c.probe import SHARED, Compiler

BUILT: Final = "library.so"
SOURCE: Final = "library.c"

_lock = threading.Lock()
_loaded: dict[str, ctypes.CDLL] = {}


def library(source: str) -> ctypes.CDLL:
    """The functions of C source, compiled and loaded; the same source gives the same library.

    Parameters
    ----------
    source : str
        In ASCII, with all that it needs.

    Raises
    ------
    NoCompiler
    CompilationFailed
        With the compiler's words.
    """
    found = compiler()
    if found is None:
        raise NoCompiler(reason())
    whole = found.prelude + source
    flags = (*found.flags, SHARED)
    key = cache.key_of("library", whole, *flags, *found.libraries, found.identity)
    with _lock:
        if key not in _loaded:
            _loaded[key] = _kept(key) or _compiled(key, whole, flags, found)
        return _loaded[key]


def _kept(key: str) -> ctypes.CDLL | None:
    """A library from the cache."""
    place = cache.look_up(key)
    if place is None:
        return None
    try:
        return ctypes.CDLL(str(place / BUILT))
    except OSError:  # another process took it away just now
        return None


def _compiled(key: str, source: str, flags: tuple[str, ...], found: Compiler) -> ctypes.CDLL:
    """A library from its source, which goes into the cache."""
    with cache.room() as folder:
        (folder / SOURCE).write_text(source, encoding="ascii")
        command = [*found.command, *flags, SOURCE, "-o", BUILT, *found.libraries]
        done = execute(command, folder, cache.compilers_own())
        if done.returncode:
            raise CompilationFailed(done.stderr.strip())
        try:
            files = {name: (folder / name).read_bytes() for name in (SOURCE, BUILT)}
            place = cache.store(key, files)
            return ctypes.CDLL(str(place / BUILT))
        except OSError:  # the cache is full, or what was stored is gone again
            return _loaded_from(folder)


def _loaded_from(folder: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(folder / BUILT))
    except OSError as error:
        raise CompilationFailed(str(error)) from None
