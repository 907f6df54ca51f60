"""The tapes of one path: the value, and what is derived from it, each made when first asked for.

The table of all kinds stands at the end. A line in it says what the library knows of one: its name, how the
tape is made, which inputs arrive after the point, and what its program is held against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.backends.effort import effort
from tapegrad.backends.replay import evaluate
from tapegrad.derive.continuation import Continuation
from tapegrad.derive.gates import Gates
from tapegrad.derive.many import whole_jacobian
from tapegrad.derive.pullback import pullback, reverse, sweep
from tapegrad.derive.pushforward import jacobian_by_columns, push, pushforward
from tapegrad.derive.sparsity import Colouring, colour_columns, colour_symmetric, jacobian_pattern
from tapegrad.errors import TraceError
from tapegrad.function.condensing import LongTrace, condensed, kept
from tapegrad.function.long import LENGTHS
from tapegrad.function.swept import Ledger
from tapegrad.function.trials import Run, Trial
from tapegrad.nest import Vector
from tapegrad.ops.broadcasting import axes_of, sum_
from tapegrad.ops.elementwise import absolute
from tapegrad.ops.indexing import concatenate
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import equal, where_
from tapegrad.ops.registry import FLOAT
from tapegrad.ops.shaping import transpose_
from tapegrad.passes import Pass, dce, tidy
from tapegrad.plan.split import split
from tapegrad.plan.stages import BLOCK, row_axis
from tapegrad.tape.slots import active_slots, waist
from tapegrad.tape.tape import Tape, size_of

# Entries of a Hessian written out column by column. Deriving and printing one takes some 50 us, as long as an
# array operation on 50,000 rows.
MOST_WRITTEN_OUT = 2_000
EPSILON = 2.0**-52


class Tapes:
    """The tape of one path as recorded, and those derived from it, by their kinds: ``tapes[GRADIENT]``.

    None of it depends on the values of data that can be replaced: all of these share the tapes.

    Attributes
    ----------
    recorded, short : Tape
        The tape as recorded, and with its loops as array code.
    trial : Trial
        What programs of these tapes are held against.
    twins : sequence of Tapes
        Those of the same path with other numbers of rows, where the data are in pieces.
    rows : int or None
        The number of rows that it was recorded with, where the data are in pieces and rows are read: what is
        derived can then be cut along the rows.
    condensed : sequence of Tape
        Of data in pieces, the value's tape with few rows in the place of all, and where rows are left in it
        those of its twins; empty, where nothing is to be had so.
    """

    def __init__(
        self,
        recorded: Tape,
        short: Tape,
        passes: Sequence[Pass],
        trial: Trial,
        twins: Sequence[Tapes] = (),
        rows: int | None = None,
        long: LongTrace | None = None,
    ) -> None:
        self.recorded = recorded
        self._twins = twins
        self._rows = rows
        self._long = long
        self.short = short
        self.trial = trial
        self._passes = passes
        self._known: dict[Derived, Tape] = {}

    def __getitem__(self, kind: Derived) -> Tape:
        """The tape of one kind, after the passes."""
        known = self._known.get(kind)
        if known is None:
            made = kind.make(self)
            self.trial.keep(kind, made)
            known = self._known[kind] = tidy(made, self._passes)
        return known

    # With few rows in the place of all ----------------------------------------------------------------------

    @cached_property
    def condensed(self) -> Sequence[Tape]:
        """The value's tapes with few rows in the place of all, see the attributes."""
        if self._long is None:
            return ()
        found = condensed(self._long, self._hold_recorded)
        if found:
            self.trial.by_looks = False
        return found

    @property
    def kept(self) -> str:
        """What is kept of all rows of data in pieces, as lines of comments."""
        return "" if self._long is None else kept(self.condensed, self._long.rows.length)

    def _hold_recorded(self, tape: Tape) -> None:
        """Hold a tape of the value against plain calls, entry by entry."""
        data = dict(zip(tape.data, self.trial.data.values(), strict=True))

        def run(inputs: Vector) -> Sequence[Any]:
            values = evaluate(tape, inputs, data, tape.outputs)
            return [values[slot] for slot in tape.outputs]

        self.trial.hold_values(VALUE, run)

    @property
    def rows(self) -> int | None:
        """The number of rows that it was recorded with, see the attributes."""
        return None if len(self.condensed) == 1 else self._rows

    @cached_property
    def twins(self) -> Sequence[Tapes]:
        """Those of other lengths."""
        if not self.condensed:
            return self._twins
        others = zip(self.condensed[1:], LENGTHS[1:], strict=False)
        return [Tapes(one, one, self._passes, Trial(one, {}, ()), rows=n) for one, n in others]

    # What is known about them -------------------------------------------------------------------------------

    @cached_property
    def gradient_alone(self) -> Tape:
        """The gradient without the value: what second derivatives are made of."""
        gradient = self[GRADIENT]
        return dce(replace(gradient, outputs=gradient.outputs[1:]))

    @cached_property
    def gates(self) -> Gates:
        """Where zeros and infinities can meet in second derivatives."""
        return Gates(self.gradient_alone)

    @cached_property
    def waist(self) -> int | None:
        """The size of the narrowest slot that everything passes through, if there is one."""
        slot = waist(self[VALUE])
        return None if slot is None else size_of(self[VALUE].avals[slot].shape)

    @cached_property
    def has_cheap_hessian(self) -> bool:
        """Whether to run the Hessian written out, which walks long data once, and not product by product."""
        if self.twins:
            return True
        gradient = self.gradient_alone
        p = sum(size_of(gradient.avals[slot].shape) for slot in gradient.parameters)
        is_long = any(row_axis(aval.shape, BLOCK) is not None for aval in gradient.avals)
        return is_long and p * len(gradient.entries) <= MOST_WRITTEN_OUT

    @cached_property
    def ledger(self) -> Ledger:
        """Whether one more Hessian is worth a program."""
        return Ledger(self.gradient_alone, self.has_cheap_hessian)

    @cached_property
    def has_quick_hessian(self) -> bool:
        """Whether the Hessian takes no longer than as many gradients as there are parameters."""
        if not self.has_cheap_hessian:
            return False
        count = sum(size_of(self[VALUE].avals[slot].shape) for slot in self[VALUE].parameters)
        return effort(self[HESSIAN]) <= count * effort(self[GRADIENT])

    @cached_property
    def hessian_colouring(self) -> Colouring:
        """The pattern of the Hessian and the products that find it."""
        return colour_symmetric(jacobian_pattern(self.gradient_alone))

    @cached_property
    def jacobian_colourings(self) -> tuple[Colouring, Colouring]:
        """The pattern of the Jacobian and the products that find it: by columns, and by rows."""
        pattern = jacobian_pattern(self[VALUE])
        return colour_columns(pattern), colour_columns(pattern.T)


# Which inputs arrive after the point ------------------------------------------------------------------------


def nothing(tapes: Tapes) -> Sequence[int]:
    """All inputs are there at once."""
    return ()


def in_parameters(tapes: Tapes) -> Sequence[int]:
    """A direction in the parameters."""
    return tapes[VALUE].parameters


def in_outputs(tapes: Tapes) -> Sequence[int]:
    """A cotangent of the outputs."""
    return tapes[VALUE].outputs


def in_waist(tapes: Tapes) -> Sequence[int]:
    """A direction in the waist, or a cotangent of it."""
    slot = waist(tapes[VALUE])
    assert slot is not None, "who asks knows that there is one"
    return (slot,)


# How each is made -------------------------------------------------------------------------------------------


def _value(tapes: Tapes) -> Tape:
    """What the function returns."""
    return tapes.condensed[0] if tapes.condensed else tapes.short


def _gradient(tapes: Tapes) -> Tape:
    """Value and gradient."""
    return reverse(tapes[VALUE])


def _whole(tapes: Tapes, tape: Tape) -> Tape:
    """A Jacobian with all directions at once, or column by column where that cannot be cut along the rows."""
    whole = whole_jacobian(tape)
    if tapes.rows is not None:
        try:
            split(whole, tapes.rows)
        except TraceError:
            return jacobian_by_columns(tape)
    return whole


def _hessian(tapes: Tapes) -> Tape:
    """The Hessian as a matrix."""
    return _whole(tapes, tapes.gradient_alone)


def _jacobian(tapes: Tapes) -> Tape:
    """The Jacobian as a matrix of parameters by outputs."""
    return _whole(tapes, tapes[VALUE])


def _outer(tapes: Tapes) -> Tape:
    """The sum over all outputs' elements of the outer products of their slopes, a matrix of parameters."""
    new = Continuation(_jacobian(tapes))
    slopes = new.value(new.tape.outputs[0])
    return new.builder.finish((matmul(slopes, transpose_(slopes)).slot,))


def _curves(tapes: Tapes) -> Tape:
    """The slopes of outputs (n,), and below them their second derivatives: (p + p p, n)."""
    slopes = jacobian_by_columns(tapes[VALUE])
    new, gates = Continuation(slopes), Gates(slopes)
    parts = [new.value(slopes.outputs[0])]
    for leaf in slopes.parameters:
        shape = slopes.avals[leaf].shape
        for one in np.eye(size_of(shape)):
            tangents = {leaf: new.recorder.lift(one.reshape(shape), FLOAT)}
            found = push(slopes, new.value, tangents, new.visit, gates)
            parts += [new.value(slot) for slot in new.slots_or_zeros(found, slopes.outputs)]
    return new.builder.finish((concatenate(*parts, axis=0).slot,))


def _rounding(tapes: Tapes) -> Tape:
    """By how much the value may be wrong if every entry rounds once: for each, its size times its slope."""
    tape = _value(tapes)
    new = Continuation(tape)
    active = active_slots(tape, tape.parameters)
    seeds = {slot: new.recorder.number(1.0) for slot in tape.outputs if active[slot]}
    slopes = sweep(tape, new.value, seeds, active, new.visit)
    total = new.recorder.number(0.0)
    for entry in tape.entries:
        if entry.output in slopes:
            slope = slopes[entry.output]
            share = where_(equal(slope, 0.0), 0.0, absolute(new.value(entry.output) * slope))
            axis = axes_of(share, None)
            total = total + (sum_(share, axis=axis, keepdims=False) if axis else share)
    return new.builder.finish((new.recorder.lift(0.5 * EPSILON * total, None).slot,))


def _jvp(tapes: Tapes) -> Tape:
    """The Jacobian times a direction in the parameters."""
    return pushforward(tapes[VALUE])


def _vjp(tapes: Tapes) -> Tape:
    """A cotangent of the outputs times the Jacobian."""
    return pullback(tapes[VALUE])


def _hvp(tapes: Tapes) -> Tape:
    """The Hessian times a direction: forward over reverse."""
    return pushforward(tapes.gradient_alone)


def _second(tapes: Tapes) -> Tape:
    """The second derivative of all outputs along two directions; the first belongs to the point."""
    jvp = tapes[JVP]
    return pushforward(jvp, jvp.parameters[: len(tapes[VALUE].parameters)])


def _third(tapes: Tapes) -> Tape:
    """The third derivative times two directions; the first belongs to the point."""
    hvp = tapes[HVP]
    return pushforward(hvp, hvp.parameters[: len(tapes[VALUE].parameters)])


def _from_waist(tapes: Tapes) -> Tape:
    """The Jacobian of the outputs in the waist, times a direction in it."""
    return pushforward(tapes[VALUE], in_waist(tapes))


def _to_waist(tapes: Tapes) -> Tape:
    """A cotangent of the waist times its Jacobian in the parameters."""
    return pullback(tapes[VALUE], in_waist(tapes))


# The table --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Derived:
    """A kind of tape that is made of a recorded one.

    Those that every function has are entered in `DERIVED`. One for a single use, such as a Hessian in some of
    the parameters, need not be: tapes, programs and paths ask for nothing but the kind itself.

    Attributes
    ----------
    name : str
    make : callable
        Makes it, before the passes, of the tapes of a path. Its inputs are the parameters, then further ones.
    late : callable
        The slots of the value's tape in which directions arrive after the point: as many of its last inputs
        are late. Many directions share one run of what does not depend on them.
    hold : callable
        How its program is tried before it serves: held against the tape before the passes, unless something
        surer is at hand.
    """

    name: str
    make: Callable[[Tapes], Tape]
    late: Callable[[Tapes], Sequence[int]] = nothing
    hold: Callable[[Trial, Derived, Run], None] = Trial.hold_made


DERIVED: dict[str, Derived] = {}


def _enter(kind: Derived) -> Derived:
    assert kind.name not in DERIVED, f"{kind.name} is the name of two derived tapes"
    DERIVED[kind.name] = kind
    return kind


VALUE = _enter(Derived("value", _value, hold=Trial.hold_values))
GRADIENT = _enter(Derived("gradient", _gradient, hold=Trial.hold_gradient))
HESSIAN = _enter(Derived("hessian", _hessian))
JACOBIAN = _enter(Derived("jacobian", _jacobian))
OUTER = _enter(Derived("outer", _outer))
# For functions of one number for each row.
CURVES = Derived("curves", _curves)
ROUNDING = _enter(Derived("rounding", _rounding))
JVP = _enter(Derived("jvp", _jvp, late=in_parameters))
VJP = _enter(Derived("vjp", _vjp, late=in_outputs))
HVP = _enter(Derived("hvp", _hvp, late=in_parameters))
SECOND = _enter(Derived("second", _second, late=in_parameters))
THIRD = _enter(Derived("third", _third, late=in_parameters))
FROM_WAIST = _enter(Derived("from_waist", _from_waist, late=in_waist))
TO_WAIST = _enter(Derived("to_waist", _to_waist, late=in_waist))


def derived(name: str) -> Derived:
    """A kind of derived tape by its name.

    Raises
    ------
    ValueError
        If there is no such name; the message lists those that there are.
    """
    found = DERIVED.get(name)
    if found is None:
        raise ValueError(f"no derived tape {name!r}: there are {', '.join(DERIVED)}")
    return found
