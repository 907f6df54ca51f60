"""Ops on numbers: how each is written in C, and what that keeps of the bits and of the speed.

The value of a slot is an array of expressions here, one for each of its elements: names of variables, and
literals. So what moves elements only moves names, and NumPy itself says where to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from tapegrad.backends.c.runtime import declared
from tapegrad.ops import OPS
from tapegrad.ops.registry import Op, Shape
from tapegrad.tape.entries import Entry

Names: TypeAlias = np.ndarray[Any, np.dtype[np.object_]]
# Takes an expression, and gives the name of the variable that holds it.
Assign = Callable[[str], str]

_PLACE = re.compile(r"\{\d\}")
_CALLED = re.compile(r"\b([A-Za-z_]\w*)\(")
# What C and NumPy round in the same way, as IEEE 754 says; and casts.
_ROUNDED = frozenset(
    ["sqrt", "fabs", "floor", "ceil", "trunc", "rint", "copysign", "fmod", "signbit", "double"]
)


@cache
def calls_of(form: str) -> frozenset[str]:
    """The functions that a form calls."""
    return frozenset(_CALLED.findall(form))


def is_exact(form: str) -> bool:
    """Whether a form has the bits of NumPy's kernel."""
    return calls_of(form) <= _ROUNDED | declared("TG_EXACT", "TG_EXACT_ALONE")


def is_by_vectors(form: str) -> bool:
    """Whether the compiler can take a form for many rows at once."""
    ours = {name for name in calls_of(form) if name == "fmod" or name.startswith("tg_")}
    return ours <= declared("TG_FORM", "TG_EXACT") | {"tg_place"}


def written(op: Op, operands: Sequence[str]) -> str:
    """An elementwise op on numbers."""
    if "{" not in op.c:
        return op.c.join(operands)
    rest = operands[len(_PLACE.findall(op.c)) :]
    return op.c.format(*operands, rest=f"(const double[]){{{', '.join(rest)}}}, {len(rest)}")


# Ops that are not elementwise, on arrays of names -----------------------------------------------------------


def _moved(
    assign: Assign, entry: Entry, inputs: Sequence[Names], attrs: Mapping[str, Any], shape: Shape
) -> Names:
    """What moves elements moves names."""
    return moved(entry, inputs, attrs, shape)


def moved(entry: Entry, inputs: Sequence[Names], attrs: Mapping[str, Any], shape: Shape) -> Names:
    """The elements of what only moves elements, in this shape."""
    assert entry.op.copies is not None
    out: Names = np.full(shape, "0.0", dtype=object)
    for target, source, _ in entry.op.copies(out, *inputs, **attrs):
        target[...] = source
    return out


def _reduced(fold: Callable[[Assign, list[str]], str]) -> Evaluator:
    def evaluate(
        assign: Assign, entry: Entry, inputs: Sequence[Names], attrs: Mapping[str, Any], shape: Shape
    ) -> Names:
        x, axis = inputs[0], attrs["axis"]
        axes = axis if isinstance(axis, tuple) else (axis,)
        kept = [i for i in range(x.ndim) if i not in axes]
        rows = np.transpose(x, (*kept, *axes)).reshape((*(x.shape[i] for i in kept), -1))
        out: Names = np.empty(rows.shape[:-1], dtype=object)
        for place in np.ndindex(out.shape):
            out[place] = fold(assign, list(rows[place]))
        if attrs.get("keepdims"):
            return out.reshape([1 if i in axes else n for i, n in enumerate(x.shape)])
        return out

    return evaluate


def sum_of(assign: Assign, terms: Sequence[str]) -> str:
    """The sum of some numbers."""
    return terms[0] if len(terms) == 1 else assign(" + ".join(terms)) if terms else "0.0"


def _product(assign: Assign, factors: list[str]) -> str:
    return factors[0] if len(factors) == 1 else assign(" * ".join(factors)) if factors else "1.0"


def _truth(sign: str, end: str) -> Callable[[Assign, list[str]], str]:
    def fold(assign: Assign, truths: list[str]) -> str:
        return truths[0] if len(truths) == 1 else assign(f" {sign} ".join(truths)) if truths else end

    return fold


def _folded(function: str, end: str) -> Callable[[Assign, list[str]], str]:
    def fold(assign: Assign, numbers: list[str]) -> str:
        found = numbers[0] if numbers else end
        for number in numbers[1:]:
            found = assign(f"{function}({found}, {number})")
        return found

    return fold


_most = _folded("tg_maximum", "-INFINITY")


def _logsumexp(assign: Assign, numbers: list[str]) -> str:
    most = _most(assign, numbers)
    top = assign(f"tg_kept(fabs({most}) < INFINITY, {most})")
    total = sum_of(assign, [assign(f"exp({number} - {top})") for number in numbers])
    return assign(f"log({total}) + {top}")


def products(gated: bool, a: str, b: str) -> str:
    """A term of a sum of products; where the first factor is a gate, its 0 wins."""
    return f"tg_gated_mul({a}, {b})" if gated else f"{a} * {b}"


def _matmul(
    assign: Assign, entry: Entry, inputs: Sequence[Names], attrs: Mapping[str, Any], shape: Shape
) -> Names:
    a, b = inputs
    rows = a if a.ndim > 1 else a[None, :]
    columns = b if b.ndim > 1 else b[:, None]
    gated = entry.op.name == "gated_matmul"
    stack = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    rows = np.broadcast_to(rows, (*stack, *rows.shape[-2:]))
    columns = np.broadcast_to(columns, (*stack, *columns.shape[-2:]))
    out: Names = np.empty((*stack, rows.shape[-2], columns.shape[-1]), dtype=object)
    for *where, i, j in np.ndindex(out.shape):
        pairs = zip(rows[(*where, i)], columns[(*where, slice(None), j)], strict=True)
        out[(*where, i, j)] = assign(" + ".join(products(gated, x, y) for x, y in pairs) or "0.0")
    out = out if a.ndim > 1 else out[..., 0, :]
    return out if b.ndim > 1 else out[..., 0]


Evaluator: TypeAlias = Callable[[Assign, Entry, Sequence[Names], Mapping[str, Any], Shape], Names]

# How the others are evaluated on names, to an output of some shape, and whether they keep NumPy's bits.
EVALUATORS: dict[str, tuple[Evaluator, bool]] = {
    **{op.name: (_moved, True) for op in OPS.values() if op.copies is not None},
    "sum": (_reduced(sum_of), False),
    "prod": (_reduced(_product), False),
    "any": (_reduced(_truth("|", "0")), True),
    "all": (_reduced(_truth("&", "1")), True),
    "max": (_reduced(_folded("tg_maximum", "-INFINITY")), True),
    "min": (_reduced(_folded("tg_minimum", "INFINITY")), True),
    "logsumexp": (_reduced(_logsumexp), False),
    "matmul": (_matmul, False),
    "dot": (_matmul, False),
    "gated_matmul": (_matmul, False),
}
