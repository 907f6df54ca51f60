"""Where a zero and an infinity can meet in a derivative, and which of the two counts there.

``p * [1, 0]`` is 0 in its second element whatever `p` is. What goes on behind it, say a logarithm, which is
minus infinity and has an infinite slope, does not reach `p`; yet 0 times infinity is NaN. So what is made 0
by a factor that no parameter moves is *still*: its tangent is 0, which no partial revives, and from behind no
cotangent passes the factor.

Such gates are written only where an element can be infinite that its neighbours need not share: behind a
logarithm, a quotient, a root of an array. A scalar that is not finite leaves nothing finite beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.derive.ranges import ends_infinity, has_elements, ranges
from tapegrad.ops.elementwise import logaddexp, logaddexp2, mul, share
from tapegrad.ops.indexing import concatenate, getitem, scatter
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import equal, isfinite, isinf, logical_and, where
from tapegrad.ops.reductions import logsumexp_
from tapegrad.ops.registry import Elementwise, Linear, Op
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape


class Gates:
    """The facts about one tape that decide where gates stand.

    Attributes
    ----------
    known : dict of int to float or ndarray
        The constants.
    wild : set of int
        Slots in which some elements may be infinite or NaN and others not.
    underflowing : set of int
        Slots of ops whose slope is infinite where a positive number has been rounded to 0. Its own slope has
        been rounded to 0 as well, and a sum of exponentials of such slots does not see them.
    fixed : set of int
        Slots that depend on no parameter, not even by a comparison or a sign.
    """

    def __init__(self, tape: Tape) -> None:
        self.avals = tape.avals
        self.known: dict[int, Any] = dict(tape.constants)
        found, self.underflowing = ranges(tape)
        self.wild = {slot for slot, held in enumerate(found) if held.wild}
        self._zeros: dict[tuple[int, int | None], bool] = {}
        self.fixed = set(self.known).union(tape.data)
        for _, inputs, output, _, _ in tape.entries.rows():
            if self.fixed.issuperset(inputs):
                self.fixed.add(output)

    # What reaches what --------------------------------------------------------------------------------------

    def spreads(self, entry: Entry, i: int) -> bool:
        """Whether the slope in input `i` may be infinite or NaN for some elements."""
        if not self.wild:
            return False
        rule = entry.op.rule
        is_constant = isinstance(rule, Elementwise) and isinstance(rule.partials[i], float)
        if is_constant or isinstance(rule, Linear):
            return False
        if entry.op is mul:
            other = entry.inputs[1 - i]
            return other in self.wild and has_elements(entry, other, self.avals)
        return entry.output in self.wild

    def quenches(self, op: Op) -> bool:
        """Whether a cotangent can become 0 because an exponential is."""
        return ends_infinity(op) or op in (logaddexp, logaddexp2, logsumexp_, share)

    def arrives_in_elements(self, entry: Entry, i: int) -> bool:
        """Whether a cotangent is not spread, as one number, over all elements of input `i`."""
        made, read = self.avals[entry.output].shape, self.avals[entry.inputs[i]].shape
        return made != () or read == () or entry.op is getitem

    def stills(self, entry: Entry) -> bool:
        """Whether a step brings zeros into tangents that no change of the parameters makes other than 0."""
        op = entry.op
        if not self.wild:
            return False
        # The slope of abs, too, is 0 at 0, but that is where it begins to move.
        if op is scatter or (op.masks and op is not getitem and not isinstance(op.rule, Elementwise)):
            return True
        if op is concatenate:
            return not self.fixed.isdisjoint(entry.inputs)
        if op is matmul:
            return any(self._has_zero_line(slot, -1 - i) for i, slot in enumerate(entry.inputs))
        if op is mul:
            return any(map(self._is_fixed_with_zeros, entry.inputs))
        return self._ends_infinity(entry)

    def _has_zero_line(self, slot: int, axis: int) -> bool:
        """Whether a fixed factor of a matrix product can make a whole row or column of it 0."""
        return slot in self.fixed and self._holds_zeros(slot, max(axis, -len(self.avals[slot].shape)))

    def _holds_zeros(self, slot: int, axis: int | None) -> bool:
        """Whether a slot may hold a 0, or nothing but zeros along an axis."""
        if slot not in self.known:
            return True
        if (slot, axis) not in self._zeros:
            value = self.known[slot]
            self._zeros[slot, axis] = not np.all(value if axis is None else np.any(value, axis=axis))
        return self._zeros[slot, axis]

    def _is_fixed_with_zeros(self, slot: int) -> bool:
        return slot in self.fixed and self._holds_zeros(slot, None)

    def _ends_infinity(self, entry: Entry) -> bool:
        return entry.inputs[0] in self.wild and ends_infinity(entry.op)

    # The gates ----------------------------------------------------------------------------------------------

    def past_zeros(self, entry: Entry, i: int, moved: Any, inputs: tuple[Any, ...]) -> Any:
        """A tangent or cotangent that may be infinite, and 0 where input `i` is multiplied by a fixed 0."""
        if entry.op is not mul or not self._is_fixed_with_zeros(entry.inputs[1 - i]):
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

    def is_fixed_matrix(self, entry: Entry, i: int, gated: bool) -> bool:
        """Whether an entry multiplies input `i` by a fixed matrix whose zeros keep a cotangent out.

        If the matrix holds infinities and NaN itself, the zeros of a gated cotangent come first.
        """
        if entry.op is not matmul or not self._is_fixed_with_zeros(entry.inputs[1 - i]):
            return False
        matrix = entry.inputs[1 - i]
        return not gated or (matrix in self.known and matrix not in self.wild)
