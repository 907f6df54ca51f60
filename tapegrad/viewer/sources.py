"""The user's code as it stands on a page: whole functions, in coloured pieces."""

from __future__ import annotations

import ast
import builtins
import io
import keyword
import linecache
import os
import tokenize
from collections.abc import Iterable, Sequence
from typing import Any

_AROUND = 2  # lines that are shown around one that stands in no function
_SOFT = frozenset(("self", "cls"))
_BUILTINS = frozenset(dir(builtins))
_KINDS = {tokenize.STRING: "string", tokenize.COMMENT: "comment", tokenize.NUMBER: "number"}


def source(file: str, wanted: Iterable[int]) -> dict[str, Any]:
    """The functions of a file that hold some of its lines.

    Parameters
    ----------
    file : str
        As `linecache` knows it. Of one that is told without its folder, such as a stored tape has, the lines
        themselves are shown and no others.
    wanted : iterable of int

    Returns
    -------
    dict
        ``name``, and ``lines``: pairs of the number of a line and its pieces, each a kind and a text.
        Between parts that do not follow one another stands a pair of 0 and no pieces.
    """
    wanted = sorted(set(wanted))
    text = linecache.getlines(file)
    is_theirs = os.path.isabs(file) or file.startswith("<")
    shown = _functions(text, wanted) if is_theirs else [line for line in wanted if line <= len(text)]
    pieces = _pieces(text)
    lines: list[tuple[int, list[tuple[str, str]]]] = []
    for line in shown or wanted:
        if lines and line > lines[-1][0] + 1:
            lines.append((0, []))
        lines.append((line, pieces[line - 1] if 0 < line <= len(pieces) else []))
    return {"name": os.path.basename(file) if os.path.isabs(file) else file, "lines": lines}


def _functions(text: Sequence[str], wanted: Sequence[int]) -> list[int]:
    """The lines of the functions that hold the wanted ones, or those around them."""
    spans = _spans(text)
    shown: set[int] = set()
    for line in wanted:
        outer = next((span for span in spans if line in span), None)
        around = range(max(line - _AROUND, 1), min(line + _AROUND, len(text)) + 1)
        shown.update(around if outer is None else outer)
    return sorted(shown)


def _spans(text: Sequence[str]) -> list[range]:
    """Where each function of a file stands, decorators included, the outer ones first."""
    try:
        tree = ast.parse("".join(text))
    except (SyntaxError, ValueError):
        return []
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    starts = [min([node.lineno, *(one.lineno for one in node.decorator_list)]) for node in nodes]
    ends = [node.end_lineno or node.lineno for node in nodes]
    return [range(a, b + 1) for a, b in zip(starts, ends, strict=True)]


def _pieces(text: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Each line in pieces of one kind: keyword, name, string, comment, number, or "" for the rest."""
    marks: list[list[tuple[int, int, str]]] = [[] for _ in text]
    try:
        for token in tokenize.generate_tokens(io.StringIO("".join(text)).readline):
            kind = _KINDS.get(token.type, _kind_of_name(token) if token.type == tokenize.NAME else "")
            if kind:
                _mark(marks, text, token, kind)
    except (SyntaxError, tokenize.TokenError):  # what has been read until there is coloured
        pass
    return [_cut(line.rstrip("\r\n"), marked) for line, marked in zip(text, marks, strict=True)]


def _kind_of_name(token: tokenize.TokenInfo) -> str:
    if keyword.iskeyword(token.string):
        return "keyword"
    return "builtin" if token.string in _BUILTINS or token.string in _SOFT else ""


def _mark(
    marks: Sequence[list[tuple[int, int, str]]], text: Sequence[str], token: tokenize.TokenInfo, kind: str
) -> None:
    """Note the columns of a token in each of its lines."""
    (first, left), (last, right) = token.start, token.end
    for line in range(first, min(last, len(text)) + 1):
        start = left if line == first else 0
        marks[line - 1].append((start, right if line == last else len(text[line - 1]), kind))


def _cut(line: str, marked: Sequence[tuple[int, int, str]]) -> list[tuple[str, str]]:
    found, at = [], 0
    for start, end, kind in marked:
        found += [("", line[at:start]), (kind, line[start:end])]
        at = end
    return [piece for piece in (*found, ("", line[at:])) if piece[1]]
