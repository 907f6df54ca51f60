"""Chains of one op, `p = p * x` or `s = np.logaddexp(s, x)`, as one reduction of all their terms.

Not all chains are here. Between three equal terms a chain of maxima shares the derivative by halves of
halves, their reduction by thirds. So it stays a recurrence, and its derivative is what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.elementwise import logaddexp, mul
from tapegrad.ops.indexing import ARRAY, concatenate, getitem
from tapegrad.ops.reductions import logsumexp_, prod_
from tapegrad.ops.registry import Attrs, Op
from tapegrad.ops.shaping import reshape
from tapegrad.passes.loops.elements import Ints
from tapegrad.passes.loops.linear import Writing
from tapegrad.tape.line import Source


@dataclass(frozen=True)
class Reduction:
    """What puts all terms of a chain together, along the last axis, and the term that changes nothing."""

    op: Op
    neutral: float
    flat: Attrs
    rows: Attrs


REDUCTIONS: dict[Op, Reduction] = {
    mul: Reduction(prod_, 1.0, (("axis", 0),), (("axis", 1),)),
    logaddexp: Reduction(
        logsumexp_, -np.inf, (("axis", (0,)), ("keepdims", False)), (("axis", (1,)), ("keepdims", False))
    ),
}


def reduced(new: Writing, op: Op, terms: Ints, source: Source | None) -> int:
    """Write one chain: the terms, in order, and their reduction."""
    how = REDUCTIONS[op]
    return new.emit(how.op, (_filled(new, terms, source),), source, **dict(how.flat))


def alike(chains: Sequence[Ints]) -> list[Ints]:
    """Which chains to write as one table: those of lengths that differ by less than a factor of 2."""
    classes = np.array([len(chain).bit_length() for chain in chains])
    return [np.flatnonzero(classes == one) for one in np.unique(classes)]


def reduced_together(new: Writing, op: Op, chains: Sequence[Ints], source: Source | None) -> int:
    """Write many chains as the rows of a table; the shorter ones end with what changes nothing."""
    how = REDUCTIONS[op]
    lengths = np.array(list(map(len, chains)))
    flat, shape = _filled(new, np.concatenate(chains), source), (len(chains), int(lengths.max()))
    if (lengths == lengths[0]).all():
        table = new.emit(reshape, (flat,), source, shape=shape)
    else:
        total = int(lengths.sum())
        there = np.arange(shape[1]) < lengths[:, None]
        places = np.full(shape, total)
        places[there] = np.arange(total)
        pool = new.emit(concatenate, (flat, new.constant(np.array([how.neutral]))), source, axis=0)
        table = new.emit(getitem, (pool, new.constant(places)), source, index=(ARRAY,))
    return new.emit(how.op, (table,), source, **dict(how.rows))


def _filled(new: Writing, slots: Ints, source: Source | None) -> int:
    flat: Any = new.operand(slots, source)
    if new.shape(flat):
        return int(flat)
    return new.emit(broadcast_to, (flat,), source, shape=(len(slots),))
