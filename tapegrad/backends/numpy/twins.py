"""Ops as they are written on Python's numbers inside of loops.

A step of a loop that runs on Python's floats takes a tenth of the time that NumPy's functions take for single
numbers. So inside of loops, ops are written by the functions of the `math` module where it has them, as they
are in scalar code. Those of C and those of NumPy are within a unit in the last place of the truth, and within
two of each other: a loop is within rounding of the reference, entry by entry. Where the last bit decides on
something, see `deciding_slots`, only those that give the same bits are taken.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tapegrad.ops.elementwise import (
    absolute,
    cbrt,
    exp2,
    log,
    log2,
    log10,
    logaddexp,
    power,
    relu,
)
from tapegrad.ops.logic import (
    isfinite,
    isinf,
    isnan,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    where,
)
from tapegrad.ops.normal import erf
from tapegrad.ops.registry import Op
from tapegrad.ops.special import expit
from tapegrad.ops.trigonometric import (
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    cos,
    cosh,
    hypot,
    sin,
    sinh,
    tan,
)


class Twin(NamedTuple):
    """An op on Python's numbers, and whether it has the bits of the op's kernel."""

    text: str
    same_bits: bool


def _logaddexp(x: float, y: float) -> float:
    if x == y:  # infinities among them
        return x + _LOG2
    gap = x - y
    return x + math.log1p(math.exp(-gap)) if gap > 0.0 else y + math.log1p(math.exp(gap))


_LOG2 = math.log(2.0)

# What the texts call: everything in the math module, and these.
FUNCTIONS: dict[str, Any] = {name: value for name, value in vars(math).items() if not name.startswith("_")}
FUNCTIONS["logaddexp"] = _logaddexp

# NaN is not equal to itself, and goes on through maximum and minimum.
_TWINS: dict[Op, Twin] = {
    where: Twin("{1} if {0} else {2}", True),
    maximum: Twin("{0} if {0} >= {1} or {0} != {0} else {1}", True),
    minimum: Twin("{0} if {0} <= {1} or {0} != {0} else {1}", True),
    relu: Twin("0.0 if {0} <= 0.0 else {0}", True),
    absolute: Twin("fabs({0})", True),
    logical_and: Twin("{0} and {1}", True),
    logical_or: Twin("{0} or {1}", True),
    logical_not: Twin("not {0}", True),
    isnan: Twin("isnan({0})", True),
    isinf: Twin("isinf({0})", True),
    isfinite: Twin("isfinite({0})", True),
    # Probabilities of 0 are common, and the whole loop would run again for one.
    log: Twin("log({0}) if {0} else -inf", False),
    power: Twin("pow({0}, {1})", False),
    exp2: Twin("exp2({0})", False),
    log2: Twin("log2({0})", False),
    log10: Twin("log10({0})", False),
    cbrt: Twin("cbrt({0})", False),
    logaddexp: Twin("logaddexp({0}, {1})", False),
    expit: Twin("1.0 / (1.0 + exp(-{0}))", False),
    erf: Twin("erf({0})", False),
    sin: Twin("sin({0})", False),
    cos: Twin("cos({0})", False),
    tan: Twin("tan({0})", False),
    sinh: Twin("sinh({0})", False),
    cosh: Twin("cosh({0})", False),
    hypot: Twin("hypot({0}, {1})", False),
    arcsin: Twin("asin({0})", False),
    arccos: Twin("acos({0})", False),
    arctan: Twin("atan({0})", False),
    arctan2: Twin("atan2({0}, {1})", False),
    arcsinh: Twin("asinh({0})", False),
    arccosh: Twin("acosh({0})", False),
    arctanh: Twin("atanh({0})", False),
}


def twin(op: Op) -> Twin | None:
    """How an op is written on Python's numbers, or None where only its kernel will do."""
    if op in _TWINS:
        return _TWINS[op]
    # Operators, roots and choices have one result; functions of C are an ulp beside NumPy's.
    same_bits = not op.python[:1].isalpha() or op.python.startswith("sqrt")
    return Twin(op.python, same_bits) if op.python else None
