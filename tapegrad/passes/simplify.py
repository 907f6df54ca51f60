"""simplify: local rules, exact but for the sign of a zero, or within rounding where they say so.

Within rounding means a few units in the last place of the result, or of the terms of a sum, as long as
nothing in between over- or underflows. What decides a branch, a comparison or a rounding keeps its bits.
"""

from __future__ import annotations

from tapegrad.ops.elementwise import mul, neg
from tapegrad.ops.registry import broadcast
from tapegrad.passes.arithmetic import (
    by_a_power_of_two,
    by_a_reciprocal,
    by_an_exponential,
    constant_times_constant,
    double_negation,
    easy_factor,
    easy_power,
    log_of_exp,
    minus_one_times,
    neutral,
    of_a_negative,
    one_over,
    quotient_out_of_sum,
    scalar_beside_logs,
    scalar_out_of_product,
    scalar_out_of_sum,
    scalar_outward,
    scalar_over,
    sign_outward,
    square_again,
    square_of_length,
    sum_of_stretched,
    times_itself,
    twice,
    with_a_negative,
    zero_minus,
)
from tapegrad.passes.choices import (
    closed_gate,
    decided,
    needless_gate,
    open_gate,
    same_either_way,
    share_of_a_negative,
)
from tapegrad.passes.writer import Rule, Writer, beside_a_constant, first, made_by
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape


def same_shape(w: Writer, entry: Entry) -> int | None:
    """An array brought to the shape that it has."""
    return entry.inputs[0] if w.shape(entry.inputs[0]) == dict(entry.attrs)["shape"] else None


_SIGNS = made_by(neg, sign_outward)

RULES: dict[str, tuple[Rule, ...]] = {
    "abs": (of_a_negative,),
    "add": (beside_a_constant(neutral(0.0, 0, 1)), made_by(neg, with_a_negative), twice),
    "broadcast_to": (same_shape,),
    "div": (
        beside_a_constant(neutral(1.0, 1), one_over),
        _SIGNS,
        by_a_power_of_two,
        by_a_reciprocal,
        by_an_exponential,
        scalar_over,
    ),
    "gated_div": (neutral(1.0, 1), open_gate, closed_gate, needless_gate, _SIGNS),
    "gated_matmul": (open_gate, needless_gate, _SIGNS),
    "gated_mul": (neutral(1.0, 1), open_gate, closed_gate, needless_gate, _SIGNS),
    "log": (log_of_exp,),
    "matmul": (_SIGNS, scalar_out_of_product),
    "maximum": (same_either_way,),
    "minimum": (same_either_way,),
    "mul": (
        beside_a_constant(neutral(1.0, 0, 1), minus_one_times, constant_times_constant),
        _SIGNS,
        times_itself,
        made_by(mul, square_again, scalar_outward),
    ),
    "neg": (double_negation,),
    "power": (easy_power,),
    "reciprocal": (_SIGNS, by_a_reciprocal),
    "reshape": (same_shape,),
    "scatter": (_SIGNS,),
    "share": (share_of_a_negative,),
    "square": (of_a_negative, square_of_length),
    "sub": (beside_a_constant(neutral(0.0, 1), zero_minus), made_by(neg, with_a_negative)),
    "sum": (sum_of_stretched, _SIGNS, scalar_out_of_sum, quotient_out_of_sum, scalar_beside_logs),
    "gated_times_power": (easy_factor,),
    "times_power": (easy_factor,),
    "transpose": (_SIGNS,),
    "where": (decided, same_either_way),
}


class Rewriter(Writer):
    """A tape being simplified."""

    rules = RULES

    def rewrite(self, entry: Entry) -> int:
        """By the rules; and what is elementwise is computed on small operands, and stretched afterwards."""
        slot = first(self.rules.get(entry.op.name, ()), self, entry)
        if slot is not None:
            return slot
        if entry.op.is_elementwise and not self.small.keys().isdisjoint(entry.inputs):
            return self._stretched_late(entry)
        return self.emit(entry, entry.op, entry.inputs, entry.attrs)

    def _stretched_late(self, entry: Entry) -> int:
        shape = broadcast(*map(self.shape, entry.inputs))
        inputs = tuple([self.small.get(slot, slot) for slot in entry.inputs])
        return self.stretch(entry, self.rewrite(entry._replace(inputs=inputs)), shape)


def simplify(tape: Tape) -> Tape:
    """Apply the local rules of the table above, and fold what they make constant, in one walk."""
    return Rewriter(tape).written()
