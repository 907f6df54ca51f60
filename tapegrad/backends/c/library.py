"""C source as a loaded library."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path

from tapegrad.backends.c.compiler import CompilationFailed, NoCompiler, compiler


def library(source: str) -> ctypes.CDLL:
    """The functions of C source, compiled and loaded.

    Raises `NoCompiler`, or `CompilationFailed` with the compiler's words.
    """
    found = compiler()
    if found is None:
        raise NoCompiler("no C compiler was found")
    with tempfile.TemporaryDirectory(prefix="tapegrad-") as folder:
        text, built = Path(folder, "tape.c"), Path(folder, "tape.so")
        text.write_text(source, encoding="ascii")
        command = [*found.command, *found.flags, str(text), "-o", str(built), *found.libraries]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode:
            raise CompilationFailed(done.stderr)
        return ctypes.CDLL(str(built))
