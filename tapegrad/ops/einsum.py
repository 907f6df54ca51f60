"""NumPy's `einsum`: two operands at a time, by products of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.broadcasting import sum_
from tapegrad.ops.indexing import ARRAY, getitem
from tapegrad.ops.linalg import matmul
from tapegrad.ops.registry import implements
from tapegrad.ops.shaping import reshape_, shape_of, transpose_

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class _Term(NamedTuple):
    """An array with a letter for each axis."""

    array: Any
    letters: str


@implements(np.einsum)
def einsum(*operands: Any, optimize: Any = False) -> Any:
    """NumPy's `einsum`; `optimize` changes nothing."""
    subscripts, arrays = _by_letters(operands)
    np.einsum(subscripts, *(np.broadcast_to(0.0, shape_of(a)) for a in arrays))  # NumPy's own errors
    left, arrow, right = _without_ellipsis(subscripts.replace(" ", ""), arrays).partition("->")
    kept = right if arrow else "".join(i for i in sorted(set(left) - {","}) if left.count(i) == 1)
    terms = [_diagonals(_Term(*pair)) for pair in zip(arrays, left.split(","), strict=True)]
    found = terms[0]
    for i, other in enumerate(terms[1:], 1):
        needed = set(kept).union(*(term.letters for term in terms[i + 1 :]))
        found = _together(found, other, needed)
    found = _summed(found, set(kept))
    return transpose_(found.array, [found.letters.index(i) for i in kept])


def _by_letters(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """Subscripts and arrays, of NumPy's other form too: each array with a list of numbers for its axes."""
    if isinstance(operands[0], str):
        return operands[0], list(operands[1:])
    spelled = ["".join("..." if i is Ellipsis else _LETTERS[i] for i in axes) for axes in operands[1::2]]
    arrays = list(operands[: 2 * (len(operands) // 2) : 2])
    result = operands[-1] if len(operands) % 2 else None
    subscripts = ",".join(spelled)
    if result is not None:
        subscripts += "->" + "".join("..." if i is Ellipsis else _LETTERS[i] for i in result)
    return subscripts, arrays


def _without_ellipsis(subscripts: str, arrays: Sequence[Any]) -> str:
    """The subscripts with letters for the axes that '...' stands for."""
    if "..." not in subscripts:
        return subscripts
    left, arrow, right = subscripts.partition("->")
    unused = [i for i in reversed(_LETTERS) if i not in subscripts]
    terms = left.split(",")
    counts = [len(shape_of(a)) - len(t.replace("...", "")) for a, t in zip(arrays, terms, strict=True)]
    spread = "".join(unused[: max(counts)])
    terms = [t.replace("...", spread[len(spread) - n :]) for n, t in zip(counts, terms, strict=True)]
    left = ",".join(terms)
    if not arrow:  # the axes of the ellipsis come first
        named = (i for i in sorted(set(left) - {",", *spread}) if left.count(i) == 1)
        return f"{left}->{spread}{''.join(named)}"
    return f"{left}->{right.replace('...', spread)}"


def _diagonals(term: _Term) -> _Term:
    """The same with each letter once: repeated ones mean diagonals."""
    array, letters = term
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            rest = [i for i in range(len(letters)) if i not in (first, second)]
            array = transpose_(array, [first, second, *rest])
            along = np.arange(shape_of(array)[0])
            array = getitem(array, along, along, index=(ARRAY, ARRAY))
            letters = letter + "".join(letters[i] for i in rest)
    return _Term(array, letters)


def _summed(term: _Term, needed: set[str]) -> _Term:
    """The sum over the letters that nothing else needs."""
    axes = tuple(i for i, letter in enumerate(term.letters) if letter not in needed)
    if not axes:
        return term
    letters = "".join(letter for letter in term.letters if letter in needed)
    return _Term(sum_(term.array, axis=axes, keepdims=False), letters)


def _sizes(term: _Term) -> dict[str, int]:
    return dict(zip(term.letters, shape_of(term.array), strict=True))


def _widened(term: _Term, other: _Term) -> _Term:
    """Axes of length one that another array broadcasts are left out: a sum over them is that of the other."""
    sizes, others = _sizes(term), _sizes(other)
    letters = "".join(i for i in term.letters if sizes[i] != 1 or others.get(i, 1) == 1)
    return _Term(reshape_(term.array, tuple(sizes[i] for i in letters)), letters)


def _together(a: _Term, b: _Term, needed: set[str]) -> _Term:
    """The product of two arrays, summed over what only they have."""
    a, b = _widened(a, b), _widened(b, a)
    a, b = _summed(a, needed | set(b.letters)), _summed(b, needed | set(a.letters))
    sizes = {**_sizes(b), **_sizes(a)}
    stack = [i for i in a.letters if i in b.letters and i in needed]
    inner = [i for i in a.letters if i in b.letters and i not in needed]
    rows = [i for i in a.letters if i not in b.letters]
    columns = [i for i in b.letters if i not in a.letters]
    letters = "".join([*stack, *rows, *columns])

    def arranged(term: _Term, *groups: list[str]) -> Any:
        array = transpose_(term.array, [term.letters.index(i) for group in groups for i in group])
        return reshape_(array, tuple(math.prod(sizes[i] for i in group) for group in groups))

    if not inner:
        product = _spread(a, letters) * _spread(b, letters)
        return _Term(product, letters)
    product = matmul(arranged(a, stack, rows, inner), arranged(b, stack, inner, columns))
    return _Term(reshape_(product, tuple(sizes[i] for i in letters)), letters)


def _spread(term: _Term, letters: str) -> Any:
    """The array with an axis for each letter, of length one where it has none."""
    sizes = _sizes(term)
    array = transpose_(term.array, [term.letters.index(i) for i in letters if i in sizes])
    return reshape_(array, tuple(sizes.get(i, 1) for i in letters))
