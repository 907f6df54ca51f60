"""Programs on trial: the first run of each is compared with plain calls, or with the tape it comes from.

A tape as recorded has been held against plain calls by then, see `witness`. What runs has gone through
passes and a backend, and may lose digits there. So the first time that a program runs, its values are
compared with those of the plain calls, which have been kept; and its derivatives with those of the tape
before the passes, entry by entry in the reference's arithmetic, at the place of the second look.

Both sides compute the same derivative by the same rules: they can differ by rounding alone, or by a defect. A
comparison with differences of plain calls would also see a wrong rule, but takes kinks and steps that are too
long for defects; the rules have tests of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from tapegrad.backends.replay import adjoints, evaluate
from tapegrad.derive.pullback import reverse
from tapegrad.errors import ReplayError
from tapegrad.function.agreement import differing, sizes_of
from tapegrad.function.witness import Look
from tapegrad.nest import Vector
from tapegrad.tape.tape import Tape, size_of

# Elements of all slots of a tape that is checked at both places, and its derivatives too: sweeping over more
# takes longer than a tenth of a trace.
MOST_SWEPT = 100_000

# Runs a program at some inputs: its outputs.
Run = Callable[[Vector], Sequence[Any]]


class Kind(Protocol):
    """What kind of tape it is that a program was made of."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def hold(self) -> Callable[..., None]:
        """How its program is tried."""


@dataclass
class Trial:
    """The results with which the programs of a path are compared.

    Attributes
    ----------
    recorded : Tape
    data : mapping of int to array
        The data of the plain calls.
    looks : tuple of Look
        The plain calls: at the parameters of the trace, and near them.
    made : dict of Kind to Tape
        Derived tapes before the passes, by their kinds, until their programs have been held against them.
    passed : set of Kind
        The kinds of the tapes whose programs have passed.
    by_looks : bool
        Whether values and gradients are held against the plain calls. Not if few rows stand for all: for
        others, then, than the calls have seen.
    """

    recorded: Tape
    data: Mapping[int, Any]
    looks: tuple[Look, ...]
    made: dict[Kind, Tape] = field(default_factory=dict)
    passed: set[Kind] = field(default_factory=set)
    by_looks: bool = True

    def keep(self, kind: Kind, made: Tape) -> None:
        """Keep a derived tape as it is before the passes, if its program is to be held against it."""
        held_so = kind.hold is type(self).hold_made or not self.by_looks
        if held_so and kind not in self.passed and self._sweeps(made):
            self.made[kind] = made

    def close(self, kind: Kind) -> None:
        """End the trial of a program: it has passed."""
        self.passed.add(kind)
        self.made.pop(kind, None)

    def _sweeps(self, tape: Tape) -> bool:
        """Whether derivatives are held against a sweep over a tape: a short one, where a second look is."""
        return len(self.looks) > 1 and _is_short(tape)

    # How a program is tried: each takes the kind of its tape, and what runs it ------------------------------

    def hold_values(self, kind: Kind, run: Run) -> None:
        """Compare a program, whose first outputs are those of the recorded tape, with the plain calls."""
        if not self.by_looks:
            self.hold_made(kind, run)
            return
        tape = self.recorded
        for look in self.looks if _is_short(tape) else self.looks[-1:]:
            values = run(look.vector)[: len(look.values)]
            sizes = partial(sizes_of, tape, look.vector, self.data.values())
            place = differing(values, look.values, sizes, only_finite=True)
            if place is not None:
                raise _defect(tape, "its value", values[place], look.values[place], "by a plain call")
        if any(tape.avals[slot].shape for slot in tape.outputs):  # no other program has these outputs
            self.looks = tuple(look._replace(values=[]) for look in self.looks)

    def hold_gradient(self, kind: Kind, run: Run) -> None:
        """Hold a program of value and gradient against plain calls, and a sweep over the tape as recorded."""
        self.hold_values(kind, run)
        tape = self.recorded
        if not (self.by_looks and self._sweeps(tape)):
            return
        there = self.looks[1].vector
        swept = adjoints(tape, evaluate(tape, there, self.data))
        expected = [swept.get(slot, np.zeros(tape.avals[slot].shape)) for slot in tape.parameters]
        found = run(there)[1:]

        def sizes() -> Sequence[Any]:
            return sizes_of(reverse(tape), there, self.data.values())[1:]

        self._compare(tape, "its gradient", found, expected, sizes)

    def hold_made(self, kind: Kind, run: Run) -> None:
        """Hold a program against its tape before the passes."""
        tape = self.made.get(kind)
        if tape is None:
            return
        inputs = self._inputs(tape)
        data = list(self.data.values())
        values = evaluate(tape, inputs, dict(zip(tape.data, data, strict=True)), tape.outputs)
        expected = [values[slot] for slot in tape.outputs]
        self._compare(tape, f"its {kind.name}", run(inputs), expected, lambda: sizes_of(tape, inputs, data))

    def hold_other(self, kind: Kind, tape: Tape, data: Mapping[int, Any], run: Run, before: Run) -> None:
        """Hold a program of a tape against another one, which has passed."""
        inputs = self._inputs(tape)
        what = f"its {kind.name}"
        values = list(data.values())
        self._compare(
            tape, what, run(inputs), before(inputs), lambda: sizes_of(tape, inputs, values), "by NumPy"
        )

    def _inputs(self, tape: Tape) -> Vector:
        """Where derivatives are compared: at the place of the latest look, in some direction."""
        there = self.looks[-1].vector
        total = sum(size_of(tape.avals[slot].shape) for slot in tape.parameters)
        directions = np.cos(np.arange(1.0, 1.0 + total - there.size))
        return np.concatenate([there, directions])

    def _compare(
        self,
        tape: Tape,
        what: str,
        found: Sequence[Any],
        expected: Sequence[Any],
        sizes: Callable[[], Sequence[Any]],
        how: str = "before the passes",
    ) -> None:
        # An infinity or NaN is seen by whoever gets it, and may stand for another.
        known = [np.where(np.isfinite(x), y, np.nan) for x, y in zip(found, expected, strict=True)]
        place = differing(found, known, lambda: [_or_any(size) for size in sizes()], only_finite=True)
        if place is not None:
            raise _defect(tape, what, found[place], expected[place], how)


def _or_any(size: Any) -> Any:
    """A size, or where nothing is known of it, one that allows anything."""
    return np.where(np.isfinite(size), size, np.finfo(np.float64).max)


def _is_short(tape: Tape) -> bool:
    return sum(size_of(aval.shape) for aval in tape.avals) <= MOST_SWEPT


def copied(outputs: Sequence[Any]) -> list[Any]:
    """Outputs of a program that its next run does not overwrite."""
    return [np.array(output) for output in outputs]


def _defect(tape: Tape, what: str, found: Any, expected: Any, how: str) -> ReplayError:
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    place = np.unravel_index(np.nanargmax(np.abs(found - expected)), found.shape) if found.ndim else ()
    return ReplayError(
        f"the program made of the tape of {tape.name} loses digits: {what} is {found[place]:.10g}, and "
        f"{expected[place]:.10g} {how}. This is a defect of tapegrad, please report it; backend='replay' or "
        "sufficient_statistics=False may be without it"
    )
