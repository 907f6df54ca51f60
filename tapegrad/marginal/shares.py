"""A joint log-likelihood as a sum of shares, one for each block of random effects that never meet.

The Hessian says which random effects meet, but not which numbers of the function belong to which of them.
That is read from the tape: from its end back to its beginning, through sums and what else is linear, up to
arrays of which each element depends on the random effects of one block at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from tapegrad.derive.continuation import Continuation
from tapegrad.derive.rules import vjp
from tapegrad.derive.sparsity import carried
from tapegrad.ops.broadcasting import gated_mul
from tapegrad.ops.elementwise import add, div, mul, neg, sub
from tapegrad.ops.indexing import ARRAY, scatter
from tapegrad.ops.linalg import dot_, matmul
from tapegrad.ops.registry import Linear
from tapegrad.ops.shaping import reshape
from tapegrad.recording.frames import location
from tapegrad.tape.entries import Entry
from tapegrad.tape.line import Source
from tapegrad.tape.tape import Tape, size_of

Array = np.ndarray[Any, Any]

_ADDED = (add, sub, neg)
_NONE, _SEVERAL = -1, -2  # blocks that an element depends on


class NoQuadrature(ValueError):
    """Random effects that cannot be integrated block by block."""


class NoShares(NoQuadrature):
    """A joint log-likelihood that is not written as a sum over blocks."""

    def __init__(self, op: str, source: Source | None) -> None:
        super().__init__(
            f"blocks of random effects that never meet are mixed by {op}{location(source)}: write the joint "
            "log-likelihood as a sum of terms that depend on the random effects of one group each"
        )


def shares(tape: Tape, leaves: list[int], labels: Array) -> Tape:
    """The tape of the shares.

    Parameters
    ----------
    tape : Tape
        Of the joint log-likelihood.
    leaves : list of int
        The slots of the random effects.
    labels : ndarray of int, shape (q,)
        The block of each random effect.

    Returns
    -------
    Tape
        Its one output has shape (b + 1,): a number for each of the b blocks, and what depends on none.

    Raises
    ------
    NoShares
        If the function does not end in a sum over blocks.
    """
    blocks = _Blocks(tape, leaves, labels)
    new = Continuation(tape)
    cotangents: dict[int, Any] = {tape.outputs[0]: 1.0}
    parts = []
    for entry in reversed(tape.entries):
        if entry.output not in cotangents or not blocks.is_mixed(entry.output):
            continue
        ct = cotangents.pop(entry.output)
        new.visit(entry.source)
        inputs = tuple(map(new.value, entry.inputs))
        if entry.op in (matmul, dot_) and all(len(tape.avals[slot].shape) == 1 for slot in entry.inputs):
            parts.append((ct * (inputs[0] * inputs[1]), blocks.of_product(entry)))
            continue
        out = new.value(entry.output)
        for i in _passed(entry, blocks):
            found = vjp(entry.op, i, ct, out, inputs, dict(entry.attrs), gated=False)
            known = cotangents.get(entry.inputs[i])
            cotangents[entry.inputs[i]] = found if known is None else known + found
    if any(blocks.is_mixed(slot) for slot in cotangents):
        raise NoShares("the random effects themselves", None)
    for slot, ct in cotangents.items():
        value = new.value(slot)
        parts.append((value if _is_one(ct) else gated_mul(ct, value), blocks.of(slot)))
    count = int(labels.max()) + 1
    total = None
    for value, of in parts:
        places = np.where(of == _NONE, count, of)
        flat = reshape(value, shape=(size_of(value.shape),))
        placed = scatter(flat, places, index=(ARRAY,), shape=(count + 1,))
        total = placed if total is None else total + placed
    assert total is not None
    return new.builder.finish((total.slot,))


def _is_one(ct: Any) -> bool:
    return isinstance(ct, float | np.ndarray) and bool(np.all(ct == 1.0))


def _passed(entry: Entry, blocks: _Blocks) -> list[int]:
    """The inputs that an entry is linear in, together; those that depend on random effects are among them."""
    moving = [i for i, slot in enumerate(entry.inputs) if blocks.moves(slot)]
    op, every = entry.op, list(range(len(entry.inputs)))
    if op in _ADDED:
        return every
    if len(moving) == 1 and (op is mul or (op is div and moving == [0])):
        return moving
    if isinstance(op.rule, Linear) and all(map(op.differentiable, moving)):
        if op.rule.jointly:
            return [i for i in every if op.differentiable(i)]
        if len(moving) == 1:
            return moving
    raise NoShares(op.name, entry.source)


@dataclass(frozen=True, eq=False)
class _Known:
    """What a slot depends on: its elements by blocks."""

    pattern: Any

    def blocks(self) -> Array:
        """The one block of each element, `_NONE` or `_SEVERAL`."""
        counts = np.diff(self.pattern.indptr)
        found = np.full(counts.size, _NONE)
        found[counts == 1] = self.pattern.indices[self.pattern.indptr[:-1][counts == 1]]
        found[counts > 1] = _SEVERAL
        return found


class _Blocks:
    """Which elements of a tape's slots depend on which blocks, in any way: comparisons count, too."""

    def __init__(self, tape: Tape, leaves: list[int], labels: Array) -> None:
        self._avals = tape.avals
        found: dict[int, Any] = {}
        start = 0
        for slot in leaves:
            mine = labels[start : start + size_of(tape.avals[slot].shape)]
            start += mine.size
            ones = np.ones(mine.size, dtype=bool)
            shape = (mine.size, int(labels.max()) + 1)
            found[slot] = sparse.csr_array((ones, mine, np.arange(mine.size + 1)), shape=shape)
        known = dict(tape.constants)
        for entry in tape.entries:
            parts = [
                carried(entry, i, tape.avals, known, found[slot])
                for i, slot in enumerate(entry.inputs)
                if slot in found
            ]
            if parts:
                found[entry.output] = sparse.csr_array(sum(parts[1:], start=parts[0]))
        self._blocks = {slot: _Known(pattern).blocks() for slot, pattern in found.items()}

    def moves(self, slot: int) -> bool:
        """Whether a slot depends on random effects."""
        return slot in self._blocks

    def is_mixed(self, slot: int) -> bool:
        """Whether some element depends on several blocks."""
        return slot in self._blocks and bool((self._blocks[slot] == _SEVERAL).any())

    def of(self, slot: int) -> Array:
        """The block of each element."""
        found = self._blocks.get(slot)
        return np.full(size_of(self._avals[slot].shape), _NONE) if found is None else found

    def of_product(self, entry: Entry) -> Array:
        """The block of each product of the elements of two vectors."""
        left, right = map(self.of, entry.inputs)
        is_mixed = (left == _SEVERAL) | (right == _SEVERAL)
        is_mixed |= (left != right) & (left != _NONE) & (right != _NONE)
        if is_mixed.any():
            raise NoShares(entry.op.name, entry.source)
        return np.maximum(left, right)
