"""Where a zero and an infinity can meet in a derivative, and which of the two counts there.

``p * [1, 0]`` is 0 in its second element whatever `p` is. What goes on behind it, say a logarithm, which is
minus infinity and has an infinite slope, does not reach `p`; yet 0 times infinity is NaN. So what is made 0
by a factor that no parameter moves is *still*: its tangent is 0, which no partial revives, and from behind no
cotangent passes the factor.

Such gates are written only where an element can be infinite that its neighbours need not share: behind a
logarithm, a quotient, a root of an array. A scalar that is not finite leaves nothing finite beside it.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from tapegrad.derive.rules import vjp
from tapegrad.ops.elementwise import mul
from tapegrad.ops.indexing import concatenate, getitem, scatter
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import equal, isfinite, isinf, logical_and, where
from tapegrad.ops.registry import FLOAT, Elementwise, Linear, Op, broadcast
from tapegrad.tape import Entry, Tape

# What ops are asked at. Large numbers are not among them: where an exponential overflows, so does the rest.
_FINITE = (0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0)
_ORDINARY = 0.7


@cache
def singular_arguments(op: Op) -> frozenset[int]:
    """The arguments at some finite value of which an elementwise op, or a slope of it, is not finite."""
    if not isinstance(op.rule, Elementwise):
        return frozenset()
    n = len(op.rule.partials)
    found = set()
    for j, x in product(range(n), _FINITE):
        inputs = tuple(np.array([x if i == j else _ORDINARY]) for i in range(n))
        with np.errstate(all="ignore"):
            out = op(*inputs)
            slopes = [
                vjp(op, i, np.ones(1), out, inputs, {}, False) for i in range(n) if op.differentiable(i)
            ]
        if not np.isfinite([out, *slopes]).all():
            found.add(j)
    return frozenset(found)


@cache
def ends_infinity(op: Op) -> bool:
    """Whether an elementwise op of one argument is finite at an infinity, as ``exp`` is at minus infinity."""
    if not isinstance(op.rule, Elementwise) or len(op.rule.partials) != 1:
        return False
    with np.errstate(all="ignore"):
        return bool(np.isfinite(op(np.array([np.inf, -np.inf]))).any())


class Gates:
    """What the gates of one tape depend on.

    Attributes
    ----------
    known : dict of int to float or ndarray
        The constants.
    wild : set of int
        Slots in which some elements may be infinite or NaN and others not.
    """

    def __init__(self, tape: Tape) -> None:
        self.avals = tape.avals
        self.known: dict[int, Any] = dict(tape.constants)
        self.wild = {slot for slot, value in self.known.items() if not _is_finite(value)}
        for entry in tape.entries:
            if self.avals[entry.output].dtype == FLOAT and self._may_be_wild(entry):
                self.wild.add(entry.output)

    def _may_be_wild(self, entry: Entry) -> bool:
        counted = [j for j, slot in enumerate(entry.inputs) if self._has_elements(slot, entry)]
        if any(entry.inputs[j] in self.wild for j in counted):
            return True
        return not singular_arguments(entry.op).isdisjoint(counted)

    def _has_elements(self, slot: int, entry: Entry) -> bool:
        """Whether a slot is not one number for all elements of what an entry makes."""
        return entry.op.shape is not broadcast or not self._is_scalar(slot) or self._is_scalar(entry.output)

    def _is_scalar(self, slot: int) -> bool:
        return self.avals[slot].shape == ()

    # What reaches what --------------------------------------------------------------------------------------

    def spreads(self, entry: Entry, i: int) -> bool:
        """Whether the slope in input `i` may be infinite or NaN for some elements."""
        rule = entry.op.rule
        if isinstance(rule, Linear) or (
            isinstance(rule, Elementwise) and isinstance(rule.partials[i], float)
        ):
            return False
        if entry.op is mul:
            other = entry.inputs[1 - i]
            return other in self.wild and self._has_elements(other, entry)
        return entry.output in self.wild

    def arrives_in_elements(self, entry: Entry, i: int) -> bool:
        """Whether a cotangent is not spread, as one number, over all elements of input `i`."""
        return entry.op is getitem or not self._is_scalar(entry.output) or self._is_scalar(entry.inputs[i])

    def stills(self, entry: Entry, moving: Collection[int]) -> bool:
        """Whether a step brings zeros into tangents that no change of the parameters makes other than 0."""
        op = entry.op
        # The slope of abs, too, is 0 at 0, but that is where it begins to move.
        if op is scatter or (op.masks and not isinstance(op.rule, Elementwise)):
            return True
        fixed = [slot for slot in entry.inputs if slot not in moving]
        if op is concatenate:
            return bool(fixed)
        if op in (mul, matmul):
            return any(self._may_hold_zero(slot) for slot in fixed)
        return self._ends_infinity(entry)

    def _may_hold_zero(self, slot: int) -> bool:
        return slot not in self.known or not np.all(self.known[slot])

    def _ends_infinity(self, entry: Entry) -> bool:
        return entry.inputs[0] in self.wild and ends_infinity(entry.op)

    # The gates ----------------------------------------------------------------------------------------------

    def past_zeros(
        self, entry: Entry, i: int, moved: Any, inputs: tuple[Any, ...], moving: Collection[int]
    ) -> Any:
        """A tangent or cotangent that may be infinite, and 0 where input `i` is multiplied by a fixed 0.

        `moving` are the slots that the parameters move.
        """
        other = entry.inputs[1 - i] if entry.op is mul else None
        if other is None or other in moving or not self._may_hold_zero(other):
            return moved
        return where(equal(inputs[1 - i], 0.0), 0.0, moved)

    def past_infinities(self, entry: Entry, ct: Any, out: Any, inputs: tuple[Any, ...]) -> Any:
        """A cotangent that may be infinite, and 0 where the op has made an infinity finite.

        There is no such gate for tangents: a logarithm at 0 whose argument does move has an infinite tangent,
        and with ``exp(log(x))`` the slope is 1. This is NaN, because it cannot be known.
        """
        if not self._ends_infinity(entry):
            return ct
        return where(logical_and(isinf(inputs[0]), isfinite(out)), 0.0, ct)

    def is_fixed_matrix(self, entry: Entry, i: int, gated: bool, moving: Collection[int]) -> bool:
        """Whether an entry multiplies input `i` by a matrix of its own zeros, which keep a cotangent out.

        If the matrix holds infinities and NaN itself, the zeros of a gated cotangent come first.
        """
        if entry.op is not matmul or entry.inputs[1 - i] in moving:
            return False
        matrix = entry.inputs[1 - i]
        is_tame = matrix in self.known and matrix not in self.wild
        return self._may_hold_zero(matrix) and (is_tame or not gated)


def _is_finite(value: Any) -> bool:
    if getattr(value, "dtype", FLOAT) != FLOAT:
        return True
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.sum(value)) or np.isfinite(value).all())
