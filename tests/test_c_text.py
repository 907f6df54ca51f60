"""No text of a tape gets into C but as comments, and no comment ends before its end."""

from __future__ import annotations

import ctypes
import linecache
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.backends.c import commands
from tapegrad.backends.c.cache import compilers_own, room
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.c.library import library
from tapegrad.backends.c.program import CProgram
from tapegrad.backends.c.text import LONGEST, comment
from tapegrad.tape.entries import Entries
from tapegrad.tape.line import Source

# Pieces that comments, strings, lines and letters of C are made of, and what encodings make of them.
PIECES = [
    *("*/", "/*", "//", "*", "/", "\\", "\\\n", "\n", "\r", "\r\n", "\t", "\v", "\f", "\0", "\x1a", "\x85"),
    *("??/", "??/\n", "??=", "???", "?", '"', "'", "#", "#include", "%:", "<%", "%>", "\\u000a", "\\x2a/"),
    *("*\\\n/", "*\u200b/", "\u2028", "\ufeff", "\ud800", "\uff0a\uff0f", "\u202e", "é", "💥", "_Pragma"),
    *("int broken(void) { return 1; }", "; }", "a = b * c  # why", "x = y[i] / z[j]", " ", ""),
]
TEXTS = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))


@given(TEXTS)
@settings(max_examples=500, deadline=None)
def test_a_comment_is_one_line_that_ends_at_its_end(text: str) -> None:
    found = comment(text)
    assert found.startswith("/* ")
    assert found.endswith(" */")
    inside = found[2:-2]
    assert "*/" not in inside
    assert "/*" not in inside
    assert "\\" not in inside
    assert "??" not in inside
    assert len(found) <= LONGEST + 6
    assert all(" " <= letter <= "~" for letter in found)


@pytest.mark.skipif(compiler() is None, reason="needs a C compiler")
@pytest.mark.parametrize("standard", ["gnu11", "c99"])
@given(texts=st.lists(TEXTS, min_size=20, max_size=60))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_the_compiler_sees_comments_alone(standard: str, texts: list[str]) -> None:
    source = "".join(f"{comment(text)} int f{i}(void);\n{comment(text)}\n" for i, text in enumerate(texts))
    source += "".join(f"int f{i}(void) {{ {comment(text)} return {i}; }}\n" for i, text in enumerate(texts))
    if standard == "gnu11":
        found = library(source)
        assert [getattr(found, f"f{i}")() for i in range(len(texts))] == list(range(len(texts)))
        return
    used = compiler()
    assert used is not None
    with room() as folder:
        (folder / "library.c").write_text(source, encoding="ascii")
        strict = ["-std=c99", "-Wall", "-Wextra", "-Werror"]  # c99 has trigraphs
        strict += ["-c", "library.c", "-o", "library.o"]
        done = commands.execute([*used.command, *strict], Path(folder), compilers_own())
    assert done.returncode == 0, done.stderr


def bare(source: str) -> str:
    """C without its comments and empty lines."""
    lines = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL).splitlines()
    return "\n".join(line.rstrip() for line in lines if line.strip())


@given(text=TEXTS, file=TEXTS, name=TEXTS)
@settings(max_examples=60, deadline=None)
def test_text_of_a_tape_changes_comments_alone(text: str, file: str, name: str) -> None:
    tape = TRACED.grad_tape
    source = Source(f"{file}.py", 1)
    entries = Entries([entry._replace(source=source) for entry in tape.entries])
    labels = tuple((slot, f"{name}{i}") for i, (slot, _) in enumerate(tape.labels))
    linecache.cache[source.file] = (len(text), None, [text], source.file)
    try:
        hostile = replace(tape, name=name, labels=labels, entries=entries)
        printed = CProgram(hostile, (), 1).source
    finally:
        del linecache.cache[source.file]
    assert bare(printed) == bare(CProgram(tape, (), 1).source)
    assert printed.isascii()


X = np.linspace(0.5, 2.0, 300)
TRACED = tg.trace(lambda a, b: np.log1p(np.exp(a * X) + b).sum(), dict(a=0.3, b=0.2))


@pytest.mark.skipif(compiler() is None, reason="needs a C compiler")
def test_hostile_names_compile_and_run() -> None:
    lines = "def f(a):\n    return (a * x).sum()  # */ int broken(void) { return 1; } /* ??/ \\\n"
    file = "*/ #error foreign /*\\.py"
    linecache.cache[file] = (len(lines), None, lines.splitlines(keepends=True), file)
    names = {"x": X}
    exec(compile(lines, file, "exec"), names)
    traced = tg.trace(names["f"], 0.5, backend="c", sufficient_statistics=False)
    assert traced(2.0) == pytest.approx(2.0 * X.sum(), rel=1e-14)
    assert "int broken" in traced.source()
    assert isinstance(traced._program, CProgram)
    assert not hasattr(ctypes.CDLL(None), "broken")
    del linecache.cache[file]
