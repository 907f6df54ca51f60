"""Whether two computations of the same numbers agree, next to the terms that these are made of.

Two orders of the same arithmetic differ by rounding, and how much that is depends on what was added on the
way: 1e16 + 1 - 1e16 may be 0 or 1. So a difference is held against the terms. They are found by a running
bound: each value has a size, that of a leaf is its magnitude, and that of an entry its own magnitude and what
its derivative makes of the sizes of its inputs, with nothing cancelled (J. H. Wilkinson, Error analysis
revisited, 1986). A double's precision times the size bounds the error of a value, but for a small factor.

Sizes cost some evaluations, and are asked for only where two numbers differ by more than their own rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.backends.replay import apply
from tapegrad.derive.rules import jvp
from tapegrad.ops.registry import FLOAT, Elementwise, Linear, Op
from tapegrad.recording.values import tidy_value
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape, size_of

Array = np.ndarray[Any, Any]
Sizes = Callable[[], Sequence[Any]]

# How many times its precision two orders of the same arithmetic may differ by, next to the terms: a long sum
# in another order takes some hundred, the fit that least squares are freed of a thousand.
ROUNDINGS = 2.0**16
_TOLERANCE = ROUNDINGS * 2.0**-52
_DRAWS = 4


def differing(
    values: Sequence[Any], expected: Sequence[Any], sizes: Sizes, only_finite: bool = False
) -> int | None:
    """The position of the first number or array that differs from the expected one, or None.

    Parameters
    ----------
    values, expected : sequences of numbers and arrays
    sizes : callable
        Gives the sizes of all of them; called only where numbers differ by more than their own rounding.
    only_finite : bool
        Whether nothing is expected where the expected number is infinite or NaN.
    """
    suspects = [
        i
        for i, (value, wanted) in enumerate(zip(values, expected, strict=True))
        if not _are_near(value, wanted)
        and (np.shape(value) != np.shape(wanted) or _wrong(value, wanted, 0.0, only_finite).any())
    ]
    if not suspects or any(np.shape(values[i]) != np.shape(expected[i]) for i in suspects):
        return suspects[0] if suspects else None
    found = sizes()
    wrong = (i for i in suspects if _wrong(values[i], expected[i], found[i], only_finite).any())
    return next(wrong, None)


def _are_near(value: Any, expected: Any) -> bool:
    """The short way for two numbers."""
    if np.ndim(value) or np.ndim(expected):
        return False
    x, y = float(value), float(expected)
    return abs(x - y) <= _TOLERANCE * abs(y) < np.inf


def _wrong(value: Any, expected: Any, size: Any, only_finite: bool) -> Array:
    """The elements in which a value differs from the expected one."""
    with np.errstate(all="ignore"):
        finite = np.isfinite(expected)
        known = np.where(np.isfinite(size), size, 0.0)
        near = np.abs(np.subtract(value, expected)) <= _TOLERANCE * np.maximum(np.abs(expected), known)
        same = (value == expected) | (np.isnan(value) & np.isnan(expected))
    return np.asarray(np.where(finite, ~near, False if only_finite else ~same))


def sizes_of(tape: Tape, theta: Array, data: Iterable[Any]) -> list[Any]:
    """The sizes of a tape's outputs: the terms that they are made of, added up without signs.

    Parameters
    ----------
    tape : Tape
    theta : ndarray, shape (p,)
        The parameters' elements, leaf after leaf.
    data : iterable of arrays
        The values of the data slots, in their order.
    """
    values: dict[int, Any] = dict(zip(tape.data, data, strict=True))
    start = 0
    for slot in tape.parameters:
        shape = tape.avals[slot].shape
        values[slot] = tidy_value(theta[start : start + size_of(shape)].reshape(shape))
        start += size_of(shape)
    values.update(tape.constants)
    sizes = {
        slot: np.abs(value) if tape.avals[slot].dtype == FLOAT else 0.0 for slot, value in values.items()
    }
    with np.errstate(all="ignore"):
        for entry in tape.entries:
            operands = [values[slot] for slot in entry.inputs]
            values[entry.output] = apply(entry.op, operands, entry.attrs)
            is_float = tape.avals[entry.output].dtype == FLOAT
            sizes[entry.output] = _size(tape, entry, values, sizes) if is_float else 0.0
    return [sizes[slot] for slot in tape.outputs]


def _size(
    tape: Tape,
    entry: Entry,
    values: Mapping[int, Any],
    sizes: Mapping[int, Any],
) -> Any:
    """The size of an entry's output."""
    op, attrs, total = entry.op, dict(entry.attrs), np.abs(values[entry.output])
    # NumPy's scalars, because Python's floats raise where a rule divides by zero.
    out, *operands = [_ieee(values[slot]) for slot in (entry.output, *entry.inputs)]
    arriving = [sizes[slot] for slot in entry.inputs]
    moving = [
        i for i, slot in enumerate(entry.inputs) if op.differentiable(i) and tape.avals[slot].dtype == FLOAT
    ]
    if isinstance(op.rule, Linear):
        parts = _linear(op, moving, operands, arriving, attrs)
    else:
        parts = [_carried(op, i, arriving[i], out, tuple(operands), attrs) for i in moving]
    for part in parts:
        total = total + part
    return np.where(np.isnan(total), np.inf, total)[()]


def _ieee(value: Any) -> Any:
    return np.float64(value) if type(value) is float else value


def _linear(
    op: Op, moving: list[int], operands: list[Any], sizes: list[Any], attrs: dict[str, Any]
) -> list[Any]:
    """The size of the output of an op that adds products, from the sizes of its inputs."""
    assert isinstance(op.rule, Linear)
    if op.rule.jointly:
        together = [sizes[i] if i in moving else x for i, x in enumerate(operands)]
        return [np.abs(op.kernel(*together, **attrs))] if moving else []
    lengths = [np.abs(x) if i in moving else x for i, x in enumerate(operands)]
    return [np.abs(op.kernel(*lengths[:i], sizes[i], *lengths[i + 1 :], **attrs)) for i in moving]


def _carried(op: Op, i: int, size: Any, out: Any, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
    """The size that any other op adds for one input; an input without influence adds nothing."""

    def slope_times(tangent: Any) -> Any:
        tangents = tuple(tangent if j == i else None for j in range(len(operands)))
        return np.abs(jvp(op, tangents, out, operands, attrs))

    if not isinstance(op.rule, Elementwise):
        # A matrix equation cancels what has one sign: the size is what it makes of errors of any sign.
        rng = np.random.default_rng(0)
        drawn = [slope_times(size * rng.choice([-1.0, 1.0], np.shape(size))) for _ in range(_DRAWS)]
        return np.sqrt(np.size(size)) * np.maximum.reduce(drawn)
    part = slope_times(size)
    if np.isnan(part).any():
        is_nothing = (slope_times(np.ones_like(size)) == 0.0) | (slope_times(np.sign(size)) == 0.0)
        part = np.where(is_nothing, 0.0, part)
    return part
