"""exponentials: one exponential for the logarithm of a sum of two, and for the shares in it.

`logaddexp`, its derivatives, which are shares, and the logistic functions, which are those of x and 0, need
nothing but ``e = exp(-|x - y|)``:

=============================  ======================================
``logaddexp(x, y)``            ``maximum(x, y) + log1p(e)``
``share(x, y)``                ``(1 if x > y else e) / (1 + e)``
``both_shares(x, y)``          ``e / (1 + e)**2``
=============================  ======================================

That is within rounding, of the smallest share as well, and right at infinities. The parts have kinks where x
and y are equal, though the whole has none: so this pass is one of those that make a tape ready to run, and no
derivative is taken of what it writes. It writes out all large arrays of these functions that decide nothing,
even where there is nothing to share: NumPy has vector code for exp and log1p, and none for logaddexp, expit
and log_expit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tapegrad.ops.elementwise import add, div, exp_gap, log1p, neg, one_above, share, square, sub
from tapegrad.ops.logic import maximum, minimum
from tapegrad.ops.special import expit
from tapegrad.passes.writer import Rule, Writer
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape, size_of

LONG = 256  # elements; the calls cost more where there are fewer


class _Exponentials(Writer):
    rules: ClassVar[Mapping[str, tuple[Rule, ...]]] = {
        "both_shares": (lambda w, entry: w.both(entry, *entry.inputs),),
        "expit": (lambda w, entry: w.share(entry, *entry.inputs, w.number(0.0)),),
        "log_expit": (lambda w, entry: w.log_share(entry, *entry.inputs, w.number(0.0)),),
        "logaddexp": (lambda w, entry: w.total(entry, *entry.inputs),),
        "mul": (lambda w, entry: w.product(entry, *entry.inputs),),
        "share": (lambda w, entry: w.share(entry, *entry.inputs),),
        "softplus": (lambda w, entry: w.total(entry, *entry.inputs, w.number(0.0)),),
    }

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape)
        self.shares: dict[int, tuple[int, int]] = {}  # whose share a slot is, and beside whom

    def rewrite(self, entry: Entry) -> int:
        shape = self.tape.avals[entry.output].shape
        if self.exact or size_of(shape) < LONG:
            if entry.op is share and shape != () and self.is_number(entry.inputs[1], 0.0):
                return self.emit(entry, expit, entry.inputs[:1])  # the same bits in a third of the time
            return self.emit(entry, entry.op, entry.inputs, entry.attrs)
        return super().rewrite(entry)

    def gap(self, like: Entry, x: int, y: int) -> int:
        """The exponential: one for x and y, y and x, -x and 0."""
        x, y = sorted(self.signless(x, y))
        return self.emit(like, exp_gap, (x, y))

    def signless(self, x: int, y: int) -> tuple[int, int]:
        """0 and u for -u and 0, which are as far apart, in the same order."""
        if self.is_number(y, 0.0) and self.is_made(x, neg):
            return y, self.made[x].inputs[0]
        if self.is_number(x, 0.0) and self.is_made(y, neg):
            return self.made[y].inputs[0], x
        return x, y

    def total(self, like: Entry, x: int, y: int) -> int:
        """log(exp(x) + exp(y))."""
        rest = self.emit(like, log1p, (self.gap(like, x, y),))
        return self.emit(like, add, (self.emit(like, maximum, (x, y)), rest))

    def log_share(self, like: Entry, x: int, zero: int) -> int:
        """log(exp(x) / (exp(x) + exp(0)))."""
        rest = self.emit(like, log1p, (self.gap(like, x, zero),))
        return self.emit(like, sub, (self.emit(like, minimum, (x, zero)), rest))

    def share(self, like: Entry, x: int, y: int) -> int:
        """exp(x) / (exp(x) + exp(y))."""
        x, y = self.signless(x, y)
        e = self.gap(like, x, y)
        slot = self.emit(like, div, (self.emit(like, one_above, (x, y, e)), self.one_plus(like, e)))
        self.shares[slot] = x, y
        return slot

    def product(self, like: Entry, p: int, q: int) -> int | None:
        """The product of the share of x and that of y."""
        if p not in self.shares or self.shares.get(q, ())[::-1] != self.shares[p]:
            return None
        return self.both(like, *self.shares[p])

    def both(self, like: Entry, x: int, y: int) -> int:
        """The product of the share of x and that of y."""
        e = self.gap(like, x, y)
        return self.emit(like, div, (e, self.emit(like, square, (self.one_plus(like, e),))))

    def one_plus(self, like: Entry, e: int) -> int:
        return self.emit(like, add, (self.number(1.0), e))


def exponentials(tape: Tape) -> Tape:
    """Write logarithms of sums of two, and shares in them, with the exponential that they have in common."""
    if tape.entries.op_names().isdisjoint(_Exponentials.rules.keys() - {"mul"}):
        return tape
    return _Exponentials(tape).written()
