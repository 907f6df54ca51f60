"""What a compiler can do: a test program says it at the first use, and the answer is kept."""

from __future__ import annotations

import ctypes
import json
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from tapegrad.backends.c import cache
from tapegrad.backends.c.commands import CompilationFailed, execute, identity_of
from tapegrad.backends.c.probe_program import (
    FUNCTIONS,
    RIGHT,
    TWO_ARGUMENTS,
    prototypes,
    test_program,
)

# Sums keep their order, NaN and infinity their meaning. Never -ffast-math or one of its parts: GCC then links
# what switches denormal numbers off for the whole process, and NumPy's results change.
FLAGS: Final = (
    *("-O3", "-std=gnu11", "-fPIC", "-fopenmp-simd", "-Werror=implicit-function-declaration"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"),
)
SHARED: Final = "-shared"
LIBM: Final = ("-lm",)
LIBMVEC: Final = ("-lmvec", "-lm")
# GCC, where it knows what a function of the file leaves alone, forgets to empty the upper halves of
# registers. On Intel's processors, each step to code without vectors then takes 50 ns: each `exp` of the C
# library, and much of NumPy.
WITHOUT: Final = "-fno-ipa-ra"
# Each way to ask for the instructions of this processor; the last is not to ask. Compilers leave the longest
# vectors aside, as a processor may slow down for them; but exponentials take half the time by them.
NATIVE: Final = (
    ("-march=native", "-mprefer-vector-width=512", WITHOUT),
    ("-march=native", "-mprefer-vector-width=512"),
    *(("-march=native", WITHOUT), ("-march=native",), ("-mcpu=native",), ()),
)
# How glibc calls vector forms: by the instructions and the number of elements, the arguments, the function.
SYMBOLS: Final = {"x86_64": ("_ZGVbN2", "_ZGVcN4", "_ZGVdN4", "_ZGVeN8"), "aarch64": ("_ZGVnN2",)}
# The functions whose vector forms Clang calls by itself.
CLANG: Final = ("exp", "log", "pow", "sin", "cos", "tan")


class Compiler(NamedTuple):
    """How C becomes a library here.

    Attributes
    ----------
    command : tuple of str
        What is called, and the arguments that always come first.
    flags, libraries : tuple of str
        The arguments before the source, and after it.
    prelude : str
        C text that stands before all source: which functions have vector forms.
    vectors : tuple of str
        The functions of libm whose vector forms were found right.
    identity : str
        Its own words on its version, and the processor.
    """

    command: tuple[str, ...]
    flags: tuple[str, ...]
    libraries: tuple[str, ...]
    prelude: str
    vectors: tuple[str, ...]
    identity: str


class Way(NamedTuple):
    """A way to compile, which the test program is tried in."""

    flags: tuple[str, ...]
    libraries: tuple[str, ...] = LIBM
    prelude: str = ""
    vectors: tuple[str, ...] = ()


def probed(command: tuple[str, ...]) -> Compiler | None:
    """What a command can do as a C compiler; None if it is none, or if its arithmetic is not IEEE's."""
    identity = identity_of(command)
    if identity is None:
        return None
    key = cache.key_of("probe", identity, test_program(FUNCTIONS), json.dumps([*_ways()]))
    known = cache.look_up(key)
    if known is not None:
        found = json.loads((known / "found.json").read_bytes())
    else:
        found = _first_that_is_right(command)
        with suppress(OSError):  # a full disk: it will be tried anew
            cache.store(key, {"found.json": json.dumps(found).encode("ascii")})
    return None if found is None else _compiler(command, identity, found)


def _compiler(command: tuple[str, ...], identity: str, found: Mapping[str, Any]) -> Compiler:
    flags, libraries, vectors = (tuple(found[name]) for name in ("flags", "libraries", "vectors"))
    return Compiler(command, flags, libraries, found["prelude"], vectors, identity)


def _first_that_is_right(command: tuple[str, ...]) -> dict[str, Any] | None:
    """The first way in which the test program compiles and runs right."""
    for way in _ways():
        right = _lines(command, way, test_program(way.vectors))
        if RIGHT not in right:
            continue
        vectors = tuple(name for name in way.vectors if name in right)
        if way.prelude:
            way = way._replace(vectors=vectors, prelude=prototypes(vectors))
        elif vectors != way.vectors:
            continue
        return way._asdict()
    return None


def _ways() -> Iterator[Way]:
    """The ways to compile, the best first."""
    names = vector_forms()
    clang = tuple(name for name in CLANG if name in names)
    for native in NATIVE:
        flags = (*FLAGS, *native)
        if names:
            yield Way((*flags, "-Werror=attributes"), LIBMVEC, prototypes(names), names)
            yield Way((*flags, "-fveclib=libmvec"), LIBMVEC, "", clang)
        yield Way(flags)


def vector_forms() -> tuple[str, ...]:
    """The functions that glibc has in vector forms on this machine."""
    marks = SYMBOLS.get(platform.machine(), ())
    if sys.platform != "linux" or not marks:
        return ()
    try:
        library = ctypes.CDLL("libmvec.so.1")
    except OSError:  # another C library, or one from before
        return ()

    def has(name: str) -> bool:
        arguments = "vv" if name in TWO_ARGUMENTS else "v"
        return all(hasattr(library, f"{mark}{arguments}_{name}") for mark in marks)

    return tuple(name for name in FUNCTIONS if has(name))


def _lines(command: Sequence[str], way: Way, text: str) -> list[str]:
    """What a program says that is compiled in some way and run; nothing if one of them fails."""
    with cache.room() as folder:
        (folder / "probe.c").write_text(way.prelude + text, encoding="ascii")
        call = [*command, *way.flags, "probe.c", "-o", "probe", *way.libraries]
        try:
            if execute(call, folder, cache.compilers_own()).returncode == 0:
                done = execute([str(folder / "probe")], folder)
                return done.stdout.splitlines() if done.returncode == 0 else []
        except (OSError, CompilationFailed):
            pass
        return []
