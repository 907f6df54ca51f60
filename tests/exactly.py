"""Tapes and derivatives in mpmath, to many digits: they share no derivative rule with tapegrad."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mpmath import mp, mpf

import tapegrad as tg
from tapegrad.ops.registry import BOOL, FLOAT

DIGITS = 80
STEP = mpf(10) ** -20


def derivatives(f: Callable[..., Sequence[Any]], at: Any) -> tuple[Any, Any, Any]:
    """Values, first and second derivatives of `f`, which takes numbers and gives some, as arrays of mpf.

    By central differences. Relative to the values they are right to about 40 digits; so where a derivative is
    zero, there is something of that size instead.
    """
    x = [mpf(float(value)) for value in at]
    n = len(x)
    steps = [STEP * max(abs(value), 1) for value in x]

    def moved(*moves: tuple[int, int]) -> Any:
        there = list(x)
        for i, sign in moves:
            there[i] += sign * steps[i]
        return np.array(f(*there), dtype=object)

    here = moved()
    up, down = [moved((i, 1)) for i in range(n)], [moved((i, -1)) for i in range(n)]
    first = np.empty((here.size, n), dtype=object)
    second = np.empty((here.size, n, n), dtype=object)
    for i in range(n):
        first[:, i] = (up[i] - down[i]) / (2 * steps[i])
        second[:, i, i] = (up[i] - 2 * here + down[i]) / steps[i] ** 2
        for j in range(i):
            across = moved((i, 1), (j, 1)) - moved((i, 1), (j, -1))
            across = across - moved((i, -1), (j, 1)) + moved((i, -1), (j, -1))
            second[:, i, j] = second[:, j, i] = across / (4 * steps[i] * steps[j])
    return here, first, second


# Tapes ------------------------------------------------------------------------------------------------------


class AtAKink(Exception):
    """Differences say nothing here, because a decision is too close."""


def _apart(decide: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def decided(x: Any, y: Any) -> Any:
        if abs(x - y) < mpf(10) ** -15:
            raise AtAKink
        return decide(x, y)

    return decided


def _of_sign(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decided(x: Any) -> Any:
        if abs(x) < mpf(10) ** -15:
            raise AtAKink
        return function(x)

    return decided


def _ndtr(x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def _logaddexp(x: Any, y: Any) -> Any:
    return mp.log(mp.exp(x) + mp.exp(y))


def _expit(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


# What each elementwise op means for numbers. Other ops only move, add or multiply: their own kernels do that.
MEANING: dict[str, Callable[..., Any]] = {
    "abs": _of_sign(abs),
    "add": operator.add,
    "arccos": mp.acos,
    "arccosh": mp.acosh,
    "arcsin": mp.asin,
    "arcsinh": mp.asinh,
    "arctan": mp.atan,
    "arctan2": mp.atan2,
    "arctanh": mp.atanh,
    "betaln": lambda a, b: mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b),
    "cbrt": mp.cbrt,
    "cos": mp.cos,
    "cosh": mp.cosh,
    "deg2rad": lambda x: x * mp.pi / 180,
    "digamma": mp.digamma,
    "div": operator.truediv,
    "equal": operator.eq,
    "erf": mp.erf,
    "erfc": mp.erfc,
    "erfcx": lambda x: mp.exp(x**2) * mp.erfc(x),
    "erfinv": mp.erfinv,
    "exp": mp.exp,
    "exp2": lambda x: mpf(2) ** x,
    "expit": _expit,
    "expm1": mp.expm1,
    "gamma": mp.gamma,
    "gammaln": mp.loggamma,
    "greater": _apart(operator.gt),
    "greater_equal": _apart(operator.ge),
    "hypot": mp.hypot,
    "less": _apart(operator.lt),
    "less_equal": _apart(operator.le),
    "log": mp.log,
    "log10": mp.log10,
    "log1p": mp.log1p,
    "log2": lambda x: mp.log(x, 2),
    "log_expit": lambda x: mp.log(_expit(x)),
    "log_ndtr": lambda x: mp.log(_ndtr(x)),
    "logaddexp": _logaddexp,
    "logaddexp2": lambda x, y: mp.log(mpf(2) ** x + mpf(2) ** y, 2),
    "logit": lambda p: mp.log(p / (1 - p)),
    "maximum": _apart(max),
    "minimum": _apart(min),
    "mul": operator.mul,
    "ndtr": _ndtr,
    "ndtri": lambda p: mp.sqrt(2) * mp.erfinv(2 * p - 1),
    "neg": operator.neg,
    "not_equal": operator.ne,
    "power": operator.pow,
    "rad2deg": lambda x: x * 180 / mp.pi,
    "reciprocal": lambda x: 1 / x,
    "relu": _of_sign(lambda x: max(x, 0)),
    "share": lambda x, y: 1 / (1 + mp.exp(y - x)),
    "sin": mp.sin,
    "sinh": mp.sinh,
    "softplus": lambda x: _logaddexp(0, x),
    "sqrt": mp.sqrt,
    "square": lambda x: x * x,
    "sub": operator.sub,
    "tan": mp.tan,
    "tanh": mp.tanh,
    "xlog1py": lambda x, y: x * mp.log1p(y),
    "xlogy": lambda x, y: x * mp.log(y),
}

_numbers = np.frompyfunc(mpf, 1, 1)


def run(tape: tg.Tape, *theta: Any) -> Any:
    """The scalar that a tape computes, of numbers."""
    values: dict[int, Any] = {}
    left = list(theta)
    for slot in tape.parameters:
        shape = tape.avals[slot].shape
        count = int(np.prod(shape, dtype=int))
        values[slot] = np.array(left[:count], dtype=object).reshape(shape)[()]
        left = left[count:]
    for slot, value in tape.constants:
        values[slot] = _numbers(value) if tape.avals[slot].dtype == FLOAT else value
    for op, inputs, output, attrs, _ in tape.entries:
        meaning = MEANING.get(op.name)
        operands = [values[slot] for slot in inputs]
        if meaning is None:
            result = op.kernel(*operands, **dict(attrs))
        else:
            result = np.frompyfunc(meaning, len(operands), 1)(*operands)
        values[output] = np.asarray(result, dtype=BOOL if op.gives == BOOL else None)[()]
    return values[tape.outputs[0]]
