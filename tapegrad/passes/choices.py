"""Rewrite rules of ops that choose: `where`, `maximum`, shares, and gates, which keep out unchosen elements.

All are exact but for the sign of a zero.
"""

from __future__ import annotations

import numpy as np

from tapegrad.ops.broadcasting import gated_mul
from tapegrad.ops.elementwise import div, mul, neg, share
from tapegrad.ops.linalg import gated_matmul, matmul
from tapegrad.ops.registry import broadcast
from tapegrad.ops.scaled import gated_div
from tapegrad.passes.writer import Writer
from tapegrad.tape.entries import Entry


def decided(w: Writer, entry: Entry) -> int | None:
    """`where` takes one side if its condition is constant, and the same everywhere."""
    condition = w.known.get(entry.inputs[0])
    if condition is None or np.all(condition) != np.any(condition):
        return None
    chosen = entry.inputs[1 if np.all(condition) else 2]
    return w.stretch(entry, chosen, broadcast(*map(w.shape, entry.inputs)))


def same_either_way(w: Writer, entry: Entry) -> int | None:
    """`where`, `maximum` and `minimum` of x and x are x."""
    *_, x, y = entry.inputs
    return w.stretch(entry, x, broadcast(*map(w.shape, entry.inputs))) if x == y else None


# What a gated product is without its gate.
_BARE = {gated_mul: mul, gated_div: div, gated_matmul: matmul}


def open_gate(w: Writer, entry: Entry) -> int | None:
    """A constant gate without a zero lets everything through."""
    gate = w.known.get(entry.inputs[0])
    return w.apply(entry, _BARE[entry.op], *entry.inputs) if gate is not None and np.all(gate) else None


def closed_gate(w: Writer, entry: Entry) -> int | None:
    """A constant gate of zeros lets nothing through."""
    gate = w.known.get(entry.inputs[0])
    if gate is None or np.any(gate):
        return None
    return w.stretch(entry, w.number(0.0), broadcast(*map(w.shape, entry.inputs)))


def needless_gate(w: Writer, entry: Entry) -> int | None:
    """A constant factor that is finite gives 0 times 0 by itself."""
    factor = w.known.get(entry.inputs[1])
    if factor is None or not np.all(np.isfinite(factor)) or (entry.op is gated_div and not np.all(factor)):
        return None
    return w.apply(entry, _BARE[entry.op], *entry.inputs)


def share_of_a_negative(w: Writer, entry: Entry) -> int | None:
    """The share of -x beside 0 is that of 0 beside x."""
    x, y = entry.inputs
    if w.is_number(y, 0.0) and w.is_made(x, neg):
        return w.apply(entry, share, y, w.made[x].inputs[0])
    if w.is_number(x, 0.0) and w.is_made(y, neg):
        return w.apply(entry, share, w.made[y].inputs[0], x)
    return None
