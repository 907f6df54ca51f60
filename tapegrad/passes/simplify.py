"""simplify: local rules, exact but for the sign of a zero, and within rounding where constants are gathered.

No rule drops a factor of zero: 0 times infinity is NaN, and stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.builder import Builder, copy_guards, copy_leaves
from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.elementwise import absolute, add, mul, neg, root, square, sub
from tapegrad.ops.registry import FLOAT, Elementwise, Op, broadcast
from tapegrad.passes.cse import entry_key
from tapegrad.passes.fold import computed
from tapegrad.tape import Entry, Tape, deciding_slots, size_of


class Rewriter:
    """A tape being rewritten entry by entry; the rules see what has been written so far."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.builder = Builder(tape.name)
        self.new = copy_leaves(tape, self.builder)
        self.made: dict[int, Entry] = {}
        self.known: dict[int, Any] = dict(self.builder.constants)
        self.seen: dict[Any, int] = {}
        self.exact = False

    def shape(self, slot: int) -> tuple[int, ...]:
        return self.builder.avals[slot].shape

    def is_number(self, slot: int, number: float) -> bool:
        value = self.known.get(slot)
        return isinstance(value, float) and value == number

    def emit(self, like: Entry, op: Op, inputs: tuple[int, ...], attrs: Any = ()) -> int:
        if op is not broadcast_to and all(slot in self.known for slot in inputs):
            return self.constant(computed(Entry(op, inputs, -1, attrs, like.source), self.known))
        key = entry_key(op, inputs, attrs)
        slot = self.seen.get(key)
        if slot is None:
            aval = op.aval([self.builder.avals[slot] for slot in inputs], dict(attrs))
            slot = self.seen[key] = self.builder.emit(op, inputs, attrs, like.source, aval)
            self.made[slot] = self.builder.entries[-1]
        return slot

    def constant(self, value: Any) -> int:
        slot = self.builder.constant(value)
        self.known[slot] = value
        return slot


# A rule takes the rewriter and an entry with rewritten inputs, and gives the slot that replaces it, or None.
Rule = Callable[[Rewriter, Entry], int | None]


def _neutral(number: float, *sides: int) -> Rule:
    """x + 0, x - 0, x * 1, x / 1: the other operand."""

    def rule(w: Rewriter, entry: Entry) -> int | None:
        for side in sides:
            other = entry.inputs[1 - side]
            if w.is_number(entry.inputs[side], number) and w.builder.avals[other].dtype == FLOAT:
                return other
        return None

    return rule


def _double_negation(w: Rewriter, entry: Entry) -> int | None:
    return _negated(w, entry.inputs[0])


def _minus_one_times(w: Rewriter, entry: Entry) -> int | None:
    for side in (0, 1):
        if w.is_number(entry.inputs[side], -1.0):
            return w.emit(entry, neg, (entry.inputs[1 - side],))
    return None


def _constant_times_constant(w: Rewriter, entry: Entry) -> int | None:
    """c * (d * x) is (c * d) * x, within rounding."""
    if w.exact:
        return None
    for side in (0, 1):
        c, inner = w.known.get(entry.inputs[side]), w.made.get(entry.inputs[1 - side])
        if not isinstance(c, float) or inner is None or inner.op is not mul:
            continue
        for inner_side in (0, 1):
            d = w.known.get(inner.inputs[inner_side])
            if isinstance(d, float):
                factor = w.constant(c * d)
                return rewrite(w, entry._replace(inputs=(factor, inner.inputs[1 - inner_side]), attrs=()))
    return None


def _twice(w: Rewriter, entry: Entry) -> int | None:
    """x + x is 2 * x, whose factor may meet others."""
    x, y = entry.inputs
    return rewrite(w, Entry(mul, (w.constant(2.0), x), -1, (), entry.source)) if x == y else None


def _scalar_and_array(w: Rewriter, slot: int) -> tuple[int, int] | None:
    """s and x, where the slot is s * x of a scalar and an array."""
    made = w.made.get(slot)
    if made is None or made.op is not mul or w.exact:
        return None
    left, right = made.inputs
    if w.shape(left) == () != w.shape(right):
        return left, right
    return (right, left) if w.shape(right) == () != w.shape(left) else None


def _scalar_outward(w: Rewriter, entry: Entry) -> int | None:
    """(s * x) * y is s * (x * y), within rounding: scalars meet, and leave sums at last."""
    for side in (0, 1):
        found, other = _scalar_and_array(w, entry.inputs[side]), entry.inputs[1 - side]
        if found is not None:
            s, x = found
            first, second = ((s, other), x) if w.shape(other) == () else ((x, other), s)
            inner = rewrite(w, Entry(mul, first, -1, (), entry.source))
            return rewrite(w, Entry(mul, (inner, second), -1, (), entry.source))
    return None


def _scalar_out_of_sum(w: Rewriter, entry: Entry) -> int | None:
    """sum(s * x) is s * sum(x), within rounding."""
    found = _scalar_and_array(w, entry.inputs[0])
    if found is None:
        return None
    s, x = found
    total = rewrite(w, entry._replace(inputs=(x,)))
    return rewrite(w, Entry(mul, (s, total), -1, (), entry.source))


def _negated(w: Rewriter, slot: int) -> int | None:
    """y, where the slot is -y."""
    made = w.made.get(slot)
    return made.inputs[0] if made is not None and made.op is neg else None


def _sign_outward(w: Rewriter, entry: Entry) -> int | None:
    """(-x) * y is -(x * y), and the same for x / y and sum(x): signs meet further out and cancel."""
    bare = [_negated(w, slot) for slot in entry.inputs]
    if all(slot is None for slot in bare):
        return None
    inputs = tuple([slot if new is None else new for slot, new in zip(entry.inputs, bare, strict=True)])
    positive = rewrite(w, entry._replace(inputs=inputs))
    if sum(slot is not None for slot in bare) == 2:
        return positive
    return rewrite(w, Entry(neg, (positive,), -1, (), entry.source))


def _minus_a_negative(w: Rewriter, entry: Entry) -> int | None:
    """x + (-y) is x - y, and x - (-y) is x + y."""
    x, y = entry.inputs
    bare = _negated(w, y)
    return None if bare is None else w.emit(entry, sub if entry.op is add else add, (x, bare))


def _open_gate(w: Rewriter, entry: Entry) -> int | None:
    """A constant gate without a zero lets everything through."""
    gate = w.known.get(entry.inputs[0])
    return rewrite(w, entry._replace(op=mul)) if gate is not None and np.all(gate) else None


def _times_itself(w: Rewriter, entry: Entry) -> int | None:
    x, y = entry.inputs
    return rewrite(w, entry._replace(op=square, inputs=(x,))) if x == y else None


def _square_of_length(w: Rewriter, entry: Entry) -> int | None:
    """The square of |x| or of a norm has no kink at 0, and its second derivative there is not 0."""
    made = w.made.get(entry.inputs[0])
    if made is None or made.op not in (absolute, root):
        return None
    if made.op is absolute:
        return rewrite(w, entry._replace(inputs=made.inputs))
    return None if w.exact else made.inputs[0]


def _easy_power(w: Rewriter, entry: Entry) -> int | None:
    x, y = entry.inputs
    if w.is_number(y, 1.0):
        return x
    return w.emit(entry, square, (x,)) if w.is_number(y, 2.0) else None


def _decided(w: Rewriter, entry: Entry) -> int | None:
    """`where` on a constant scalar condition takes one side."""
    condition = w.known.get(entry.inputs[0])
    if condition is None or np.ndim(condition) != 0:
        return None
    chosen = entry.inputs[1 if condition else 2]
    return chosen if w.shape(chosen) == broadcast(*map(w.shape, entry.inputs)) else None


def _is_stretched(w: Rewriter, slot: int) -> bool:
    made = w.made.get(slot)
    return made is not None and made.op is broadcast_to


def _stretch_late(w: Rewriter, entry: Entry) -> int:
    """An elementwise op broadcasts by itself: compute on the small operands, and stretch what is left to."""
    shape = broadcast(*map(w.shape, entry.inputs))
    inputs = tuple([w.made[s].inputs[0] if _is_stretched(w, s) else s for s in entry.inputs])
    small = rewrite(w, entry._replace(inputs=inputs))
    if w.shape(small) == shape:
        return small
    return w.emit(entry, broadcast_to, (small,), (("shape", shape),))


def _sum_of_broadcast(w: Rewriter, entry: Entry) -> int | None:
    """The full sum of a stretched scalar is the scalar times the count, within rounding."""
    if w.exact or not _is_stretched(w, entry.inputs[0]):
        return None
    made = w.made[entry.inputs[0]]
    shape = w.shape(made.output)
    attrs = dict(entry.attrs)
    if w.shape(made.inputs[0]) != () or len(attrs["axis"]) < len(shape) or attrs["keepdims"]:
        return None
    return w.emit(entry, mul, (made.inputs[0], w.constant(float(size_of(shape)))))


def _same_shape(w: Rewriter, entry: Entry) -> int | None:
    return entry.inputs[0] if w.shape(entry.inputs[0]) == dict(entry.attrs)["shape"] else None


RULES: dict[str, tuple[Rule, ...]] = {
    "add": (_neutral(0.0, 0, 1), _minus_a_negative, _twice),
    "sub": (_neutral(0.0, 1), _minus_a_negative),
    "mul": (
        _neutral(1.0, 0, 1),
        _minus_one_times,
        _constant_times_constant,
        _sign_outward,
        _times_itself,
        _scalar_outward,
    ),
    "div": (_neutral(1.0, 1), _sign_outward),
    "gated_mul": (_neutral(1.0, 1), _open_gate),
    "neg": (_double_negation,),
    "square": (_square_of_length,),
    "power": (_easy_power,),
    "where": (_decided,),
    "sum": (_sum_of_broadcast, _sign_outward, _scalar_out_of_sum),
    "broadcast_to": (_same_shape,),
    "reshape": (_same_shape,),
}


def rewrite(w: Rewriter, entry: Entry) -> int:
    for rule in RULES.get(entry.op.name, ()):
        slot = rule(w, entry)
        if slot is not None:
            return slot
    if isinstance(entry.op.rule, Elementwise) and any(_is_stretched(w, slot) for slot in entry.inputs):
        return _stretch_late(w, entry)
    return w.emit(entry, entry.op, entry.inputs, entry.attrs)


def simplify(tape: Tape) -> Tape:
    """Apply the local rules of the table above, and fold what they make constant, in one walk."""
    w = Rewriter(tape)
    deciding = deciding_slots(tape)
    with np.errstate(all="ignore"):
        for entry in tape.entries:
            # A decision at a tie must fall the way the user's own arithmetic sends it, to the last bit.
            w.exact = entry.output in deciding
            inputs = tuple([w.new[slot] for slot in entry.inputs])
            w.new[entry.output] = rewrite(w, entry._replace(inputs=inputs))
    copy_guards(tape, w.builder, w.new)
    return w.builder.finish(w.new[slot] for slot in tape.outputs)
