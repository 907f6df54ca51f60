"""Iterations of a circle of families: which entry is which step of which iteration, and what is carried."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.record import Record

FEWEST = 8  # iterations
MOST_CARRIED = 8
MOST_TRIED = 32  # lengths of an iteration


@dataclass(frozen=True)
class Operand:
    """One input of a step: of the step `position`, `lag` iterations ago, or from outside if `lag` is None."""

    position: int
    lag: int | None
    slots: Ints


@dataclass(frozen=True)
class Recurrence:
    """A loop with a carry.

    Attributes
    ----------
    early : int array
        The entries that are left as they are: those before the first whole iteration, and the first ones.
    first : int array, shape (lag, k)
        The last of them, which are whole iterations and read by later ones.
    entries : int array, shape (T, k)
        The entries of each iteration.
    operands : tuple of tuples of Operand
        The inputs of each of the k steps.
    carried : tuple of (int, int)
        The steps that later iterations read, and how many iterations ago.
    """

    early: Ints
    first: Ints
    entries: Ints
    operands: tuple[tuple[Operand, ...], ...]
    carried: tuple[tuple[int, int], ...]


def recurrence(record: Record, members: Ints, colour: Ints) -> Recurrence | None:
    """The iterations of these entries, in the order of the record; None where they are not alike."""
    tokens = colour[members]
    places = np.flatnonzero(tokens == tokens[-1])
    # An iteration is as long as the distance at which the last entries repeat.
    for period in (places[-1] - places[-2::-1][:MOST_TRIED]).tolist():
        start = _first_alike(tokens, period)
        if len(tokens) - start >= FEWEST * period:
            found = _of_period(record, members, start, period)
            if found is not None:
                return found
    return None


def _of_period(record: Record, members: Ints, start: int, period: int) -> Recurrence | None:
    early = start + (len(members) - start) % period
    table = members[early:].reshape(-1, period)
    found = _operands(record, table)
    if found is None:
        return None
    operands, lags = found
    reach = max(lags.values(), default=0)
    carried = tuple((step, lag) for step, most in lags.items() for lag in range(1, most + 1))
    if not 0 < len(carried) <= MOST_CARRIED or len(table) - reach < FEWEST:
        return None
    # The first iterations read what the loop began with: they stay as they are, and hand it on.
    later = tuple(tuple(Operand(o.position, o.lag, o.slots[reach:]) for o in step) for step in operands)
    return Recurrence(members[: early + reach * period], table[:reach], table[reach:], later, carried)


def _first_alike(tokens: Ints, period: int) -> int:
    """From which token on all are alike at this distance."""
    differ = np.flatnonzero(tokens[:-period] != tokens[period:])
    return int(differ[-1]) + 1 if differ.size else 0


def _operands(record: Record, table: Ints) -> tuple[tuple[tuple[Operand, ...], ...], dict[int, int]] | None:
    """The inputs of each step, and how far back which steps are read."""
    count, period = table.shape
    step_of, turn_of = np.full(record.count + 1, NONE), np.full(record.count + 1, NONE)
    step_of[table], turn_of[table] = np.arange(period), np.arange(count)[:, None]
    steps, lags = [], dict[int, int]()
    turns = np.arange(count)
    for position in range(period):
        entries = table[:, position]
        arity = int(record.ends[entries[0] + 1] - record.ends[entries[0]])
        step = []
        for i in range(arity):
            slots = record.inputs_of(entries, i)
            writers = record.writer[slots]
            source, turn = step_of[writers], turn_of[writers]
            if source[-1] == NONE:
                if not (source == NONE).all():
                    return None
                step.append(Operand(NONE, None, slots))
                continue
            lag = int(turns[-1] - turn[-1])
            if lag < 0 or not ((source[lag:] == source[-1]) & (turn[lag:] == turns[lag:] - lag)).all():
                return None
            if not (source[:lag] == NONE).all():
                return None
            if lag:
                lags[int(source[-1])] = max(lag, lags.get(int(source[-1]), 0))
            step.append(Operand(int(source[-1]), lag, slots))
        steps.append(tuple(step))
    return tuple(steps), lags
