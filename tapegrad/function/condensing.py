"""Few rows in the place of all, for data in pieces: the value's tape with sufficient statistics in it.

What the pass `statistics` finds in arrays in memory is found here by walks over the pieces: the same rows
that stand for all, by the same arithmetic. From then on, the pieces are asked only for what has no such
statistics; often that is nothing, and a replay's cost does not depend on the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tapegrad.backends.written import comment
from tapegrad.function.agreement import differing, sizes_of
from tapegrad.function.lengths import NUMBER_OF_ROWS, as_constant, of_any_length
from tapegrad.function.long import LENGTHS
from tapegrad.nest import Vector
from tapegrad.passes import dce, simplify, tidy
from tapegrad.passes.statistics.polynomials import Polynomials
from tapegrad.passes.statistics.statistics import summed_rows, without_rows
from tapegrad.pieces.known import KnownRows
from tapegrad.pieces.program import InPieces
from tapegrad.pieces.rows import Rows
from tapegrad.pieces.shard import resized
from tapegrad.plan.split import split
from tapegrad.tape.entries import Entry
from tapegrad.tape.rewrite import Copy, rewrite
from tapegrad.tape.slots import moving_slots
from tapegrad.tape.tape import Tape, shape_text


@dataclass(frozen=True)
class LongTrace:
    """A function traced on a few of its rows.

    Attributes
    ----------
    tapes : sequence of Tapes
        As recorded with each of `LENGTHS` rows.
    data, sample : mapping of int to Column or array
        The values of their data slots, and those that the first was recorded with.
    rows : Rows
        Who has the columns among the data.
    vector : ndarray, shape (p,)
        Parameters on the path of the tapes.
    """

    tapes: Sequence[Tape]
    data: Mapping[int, Any]
    sample: Mapping[int, Any]
    rows: Rows
    vector: Vector


def condensed(given: LongTrace, hold: Callable[[Tape], None]) -> list[Tape]:
    """A value's tapes with few rows in the place of all: one if no rows are left, else one of each length.

    None at all if no sum has statistics, or if these do not give what the rows give.

    Parameters
    ----------
    given : LongTrace
    hold : callable
        Holds a tape of the value against plain calls, on the sample.

    Raises
    ------
    TraceError
        If a step mixes rows.
    """
    simple = [tidy(tape, (simplify,)) for tape in given.tapes]
    tape = _with_count(of_any_length(simple, LENGTHS)[0], given.rows.length)
    split(tape, LENGTHS[0])  # which refuses what mixes rows
    short = _on_few_rows(_without_known_sums(tape, given), given)
    if short is tape:
        return []
    hold(simple[0])
    if any(LENGTHS[0] in short.avals[entry.output].shape for entry in short.entries):
        return [short, *(resized(short, LENGTHS[0], n) for n in LENGTHS[1:])]
    given.rows.release()
    return [short]


def kept(tapes: Sequence[Tape], rows: int) -> str:
    """What is kept of all rows in condensed tapes, as lines of comments; nothing, if there are none."""
    if not tapes:
        return ""
    tape = tapes[0]
    held = dict(tape.constants)
    labels = [(slot, label) for slot, label in tape.labels if slot in held]
    each = [f"{label} {shape_text(tape.avals[slot])}" for slot, label in labels]
    lines = [f"Found once, and kept of all {rows:,} rows:", *(f"  {line}" for line in each)]
    return "".join(f"{comment(line)}\n" for line in lines)


def _without_known_sums(tape: Tape, given: LongTrace) -> Tape:
    """The tape with what it sums of data alone, or takes the largest of, as constants: found once."""
    moving = moving_slots(tape, tape.parameters)
    ends = [slot for slot in _sums_of_rows(tape) if not moving[slot]]
    if not ends:
        return tape
    found = dict(zip(ends, _run(dce(replace(tape, outputs=tuple(ends), guards=())), given), strict=True))

    known = KnownRows(tape, LENGTHS[0], _bound(tape, given.data))

    def rule(copy: Copy, entry: Entry) -> int:
        if entry.output not in found:
            return copy.keep(entry)
        slot = copy.builder.constant(as_constant(found[entry.output]))
        copy.builder.labels[slot] = known.name(entry.output)
        return slot

    return tidy(rewrite(tape, rule), (dce, simplify))


def _on_few_rows(tape: Tape, given: LongTrace) -> Tape:
    """The tape with few rows in the place of all where that can be done, the same tape where nowhere."""
    known = KnownRows(tape, LENGTHS[0], _bound(tape, given.data))
    ends = summed_rows(Polynomials(tape, known))
    if not ends:
        return tape
    told = replace(tape, outputs=(*tape.outputs, *ends))
    found = without_rows(Polynomials(told, known), ends)
    few, whole = (
        dce(replace(one, outputs=one.outputs[len(tape.outputs) :], guards=())) for one in (found, told)
    )
    if len(_sums_of_rows(few)) == len(_sums_of_rows(whole)) or not _agree(few, whole, given):
        return tape
    return dce(replace(found, outputs=found.outputs[: len(tape.outputs)]))


def _with_count(tape: Tape, count: int) -> Tape:
    """A tape of any length, as `of_any_length` makes it, for so many rows."""
    rows = next(slot for slot, label in tape.labels if label == NUMBER_OF_ROWS)
    copy = Copy(tape)
    copy.new[rows] = copy.builder.constant(float(count))
    return dce(copy.run(Copy.keep))


def _bound(tape: Tape, data: Mapping[int, Any]) -> dict[int, Any]:
    """The values of its data slots, which are those of another tape."""
    return dict(zip(tape.data, data.values(), strict=True))


def _sums_of_rows(tape: Tape) -> list[int]:
    """What the steps write that take rows, and give none."""
    along = [LENGTHS[0] in aval.shape for aval in tape.avals]
    rows = tape.entries.rows()
    return [end for _, inputs, end, _, _ in rows if not along[end] and any(along[slot] for slot in inputs)]


def _run(tape: Tape, given: LongTrace) -> Sequence[Any]:
    """The outputs of a tape of all rows."""
    workspace = InPieces(tape, (), LENGTHS[0], "numpy").workspace(_bound(tape, given.data))
    workspace.run(given.vector)
    return workspace.outputs


def _agree(few: Tape, whole: Tape, given: LongTrace) -> bool:
    """Whether sums over few rows are those over all rows, next to the terms that the sample's rows have."""

    def sizes() -> list[Any]:
        found = sizes_of(whole, given.vector, given.sample.values())
        return [size * given.rows.length / LENGTHS[0] for size in found]

    return differing(_run(few, given), _run(whole, given), sizes) is None
