"""The tapes of one path: the value, and what is derived from it, each made when first asked for by its name.

`DERIVED`, at the end, is the table of all kinds. A line in it says what the library knows of one: its name,
how the tape is made, which inputs arrive after the point, and what its program is held against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tapegrad.derive.pullback import pullback, reverse
from tapegrad.derive.pushforward import jacobian_by_columns, pushforward
from tapegrad.derive.sparsity import Colouring, colour_columns, colour_symmetric, jacobian_pattern
from tapegrad.function.trials import Run, Trial
from tapegrad.passes import Pass, dce, tidy
from tapegrad.plan.stages import BLOCK, row_axis
from tapegrad.tape.slots import waist
from tapegrad.tape.tape import Tape, size_of

# Entries of a Hessian written out column by column. Deriving and printing one takes some 50 us, as long as an
# array operation on 50,000 rows.
MOST_WRITTEN_OUT = 2_000


class Tapes:
    """The tape of one path as recorded, and those derived from it: ``tapes["gradient"]``, as in `DERIVED`.

    None of it depends on the values of the data: all data share these tapes.

    Attributes
    ----------
    recorded : Tape
    trial : Trial
        What programs of these tapes are held against.
    """

    def __init__(self, recorded: Tape, passes: Sequence[Pass], trial: Trial) -> None:
        self.recorded = recorded
        self.trial = trial
        self._passes = passes
        self._known: dict[str, Tape] = {}

    def __getitem__(self, kind: str) -> Tape:
        """The tape of one kind, after the passes."""
        known = self._known.get(kind)
        if known is None:
            line = derived(kind)
            made = line.make(self)
            if line.hold is Trial.hold_made:
                self.trial.keep(kind, made)
            known = self._known[kind] = tidy(made, self._passes)
        return known

    # What is known about them -------------------------------------------------------------------------------

    @cached_property
    def gradient_alone(self) -> Tape:
        """The gradient without the value: what second derivatives are made of."""
        gradient = self["gradient"]
        return dce(replace(gradient, outputs=gradient.outputs[1:]))

    @cached_property
    def waist(self) -> int | None:
        """The size of the narrowest slot that everything passes through, if there is one."""
        slot = waist(self["value"])
        return None if slot is None else size_of(self["value"].avals[slot].shape)

    @cached_property
    def has_cheap_hessian(self) -> bool:
        """Whether to run the Hessian written out, which walks long data once, and not product by product."""
        gradient = self.gradient_alone
        p = sum(size_of(gradient.avals[slot].shape) for slot in gradient.parameters)
        is_long = any(row_axis(aval.shape, BLOCK) is not None for aval in gradient.avals)
        return is_long and p * len(gradient.entries) <= MOST_WRITTEN_OUT

    @cached_property
    def hessian_colouring(self) -> Colouring:
        """The pattern of the Hessian and the products that find it."""
        return colour_symmetric(jacobian_pattern(self.gradient_alone))

    @cached_property
    def jacobian_colourings(self) -> tuple[Colouring, Colouring]:
        """The pattern of the Jacobian and the products that find it: by columns, and by rows."""
        pattern = jacobian_pattern(self["value"])
        return colour_columns(pattern), colour_columns(pattern.T)


# Which inputs arrive after the point ------------------------------------------------------------------------


def nothing(tapes: Tapes) -> Sequence[int]:
    """All inputs are there at once."""
    return ()


def in_parameters(tapes: Tapes) -> Sequence[int]:
    """A direction in the parameters."""
    return tapes["value"].parameters


def in_outputs(tapes: Tapes) -> Sequence[int]:
    """A cotangent of the outputs."""
    return tapes["value"].outputs


def in_waist(tapes: Tapes) -> Sequence[int]:
    """A direction in the waist, or a cotangent of it."""
    slot = waist(tapes["value"])
    assert slot is not None, "who asks knows that there is one"
    return (slot,)


# How each is made -------------------------------------------------------------------------------------------


def _value(tapes: Tapes) -> Tape:
    """What the function returns."""
    return tapes.recorded


def _gradient(tapes: Tapes) -> Tape:
    """Value and gradient."""
    return reverse(tapes["value"])


def _hessian(tapes: Tapes) -> Tape:
    """The Hessian as a matrix: every column written out."""
    return jacobian_by_columns(tapes.gradient_alone)


def _jacobian(tapes: Tapes) -> Tape:
    """The Jacobian as a matrix of parameters by outputs: every row written out."""
    return jacobian_by_columns(tapes["value"])


def _jvp(tapes: Tapes) -> Tape:
    """The Jacobian times a direction in the parameters."""
    return pushforward(tapes["value"])


def _vjp(tapes: Tapes) -> Tape:
    """A cotangent of the outputs times the Jacobian."""
    return pullback(tapes["value"])


def _hvp(tapes: Tapes) -> Tape:
    """The Hessian times a direction: forward over reverse."""
    return pushforward(tapes.gradient_alone)


def _third(tapes: Tapes) -> Tape:
    """The third derivative times two directions; the first belongs to the point."""
    hvp = tapes["hvp"]
    return pushforward(hvp, hvp.parameters[: len(tapes["value"].parameters)])


def _from_waist(tapes: Tapes) -> Tape:
    """The Jacobian of the outputs in the waist, times a direction in it."""
    return pushforward(tapes["value"], in_waist(tapes))


def _to_waist(tapes: Tapes) -> Tape:
    """A cotangent of the waist times its Jacobian in the parameters."""
    return pullback(tapes["value"], in_waist(tapes))


# The table --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Derived:
    """A kind of tape that is made of a recorded one.

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
    hold: Callable[[Trial, str, Run], None] = Trial.hold_made


DERIVED: dict[str, Derived] = {
    line.name: line
    for line in (
        Derived("value", _value, hold=Trial.hold_values),
        Derived("gradient", _gradient, hold=Trial.hold_gradient),
        Derived("hessian", _hessian),
        Derived("jacobian", _jacobian),
        Derived("jvp", _jvp, late=in_parameters),
        Derived("vjp", _vjp, late=in_outputs),
        Derived("hvp", _hvp, late=in_parameters),
        Derived("third", _third, late=in_parameters),
        Derived("from_waist", _from_waist, late=in_waist),
        Derived("to_waist", _to_waist, late=in_waist),
    )
}


def derived(kind: str) -> Derived:
    """What the table says of a kind of derived tape.

    Raises
    ------
    ValueError
        If there is no such name; the message lists those that there are.
    """
    found = DERIVED.get(kind)
    if found is None:
        raise ValueError(f"no derived tape {kind!r}: there are {', '.join(DERIVED)}")
    return found
