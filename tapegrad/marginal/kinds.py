"""The derived tapes of a joint log-likelihood: what a marginal likelihood by Laplace's method is made of.

The joint log-likelihood f has parameters x, of which some, u, are to be integrated out. Each tape is made
once for each path through the user's branches, and replayed from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import sparse

from tapegrad.derive.continuation import Continuation
from tapegrad.derive.many import with_columns
from tapegrad.derive.pullback import pullback, reverse
from tapegrad.derive.pushforward import pushforward
from tapegrad.derive.sparsity import colour_symmetric, jacobian_pattern
from tapegrad.function.derived import GRADIENT, VALUE, Derived, Tapes, in_parameters
from tapegrad.marginal.layout import Layout
from tapegrad.marginal.shares import shares
from tapegrad.ops.indexing import ARRAY, concatenate, getitem
from tapegrad.ops.shaping import reshape
from tapegrad.passes import dce
from tapegrad.passes.statistics.statistics import COLUMNS
from tapegrad.tape.tape import Tape, size_of

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class Kinds:
    """The kinds of derived tapes of one joint log-likelihood.

    Attributes
    ----------
    leaves : tuple of int
        Which parameter leaves are integrated out.
    places : ndarray of int
        Their elements in the flat vector of all parameters.
    compiles : bool
        Whether compiled code may be used.
    layouts : dict of Tapes to Layout
        Where the elements of the inner Hessian stand, on each path.
    inner : Derived
        f, its gradient in u, and the stored elements of its Hessian in u.
    sweep : Derived
        The gradient in x of ``c f + w . h``, h the elements of the Hessian; takes c and w after x.
    second : Derived
        The Hessian of ``c f + v . f_u + w . h`` times directions in x, and how h changes along them; takes c,
        v and w after x.
    shares : Derived
        The shares of the blocks of random effects in f.
    shares_moved : Derived
        How they change along directions in x.
    shares_pulled : Derived
        The gradient in x of ``p . shares``; takes p after x.
    shares_turned : Derived
        How that gradient changes along directions in x and p.
    """

    leaves: tuple[int, ...]
    places: Array
    compiles: bool = False
    layouts: dict[Tapes, Layout] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inner = Derived("inner", self._inner)
        self.sweep = Derived("sweep", self._sweep)
        self.second = Derived("second", self._second, late=in_parameters)
        self.shares = Derived("shares", self._shares)
        self.shares_moved = Derived("shares_moved", self._shares_moved, late=in_parameters)
        self.shares_pulled = Derived("shares_pulled", self._shares_pulled)
        self.shares_turned = Derived("shares_turned", self._shares_turned, late=_parameters_and_output)

    def _slots(self, tape: Tape) -> list[int]:
        return [tape.parameters[i] for i in self.leaves]

    def _pattern(self, gradient: Tape) -> Any:
        """The pattern of the Hessian in u, as the tape of value and gradient has it."""
        _, *slopes = gradient.outputs
        start = dce(replace(gradient, outputs=tuple([slopes[i] for i in self.leaves])))
        return jacobian_pattern(start)[:, self.places]

    def _inner(self, tapes: Tapes) -> Tape:
        gradient = tapes[GRADIENT]
        _, *slopes = gradient.outputs
        of = [slopes[i] for i in self.leaves]
        pattern = self._pattern(gradient)
        if self.places.size < pattern.nnz and self.places.size <= COLUMNS:
            # Sums over rows that are put together from a few rows hide which random effects never meet.
            pattern = pattern.multiply(self._pattern(reverse(tapes.short)))
        pattern = sparse.csc_array(pattern)
        complete = pattern + sparse.eye_array(len(self.places), dtype=bool)
        colouring = colour_symmetric(complete)
        layout = self.layouts[tapes] = Layout(colouring, np.diff(pattern.indptr) == 0, self.compiles)
        tape = with_columns(gradient, of, self._slots(gradient), colouring.seeds())
        new = Continuation(tape)
        products = new.value(tape.outputs[-1])
        found = reshape(products, shape=(size_of(products.shape),))
        elements = getitem(found, layout.read_at(products.shape[1]), index=(ARRAY,))
        parts = [new.value(tape.outputs[1 + i]) for i in self.leaves]
        flat = [reshape(part, shape=(size_of(part.shape),)) for part in parts]
        slope = concatenate(*flat, axis=0) if len(flat) > 1 else flat[0]
        return new.builder.finish((tape.outputs[0], slope.slot, elements.slot))

    def _sweep(self, tapes: Tapes) -> Tape:
        tape = tapes[self.inner]
        value, _, elements = tape.outputs
        return pullback(dce(replace(tape, outputs=(value, elements))))

    def _second(self, tapes: Tapes) -> Tape:
        inner = tapes[self.inner]
        tape = pullback(inner)
        tape = dce(replace(tape, outputs=(*tape.outputs, inner.outputs[2])))
        return pushforward(tape, tape.parameters[: len(tape.parameters) - 3])

    def _shares(self, tapes: Tapes) -> Tape:
        tapes[self.inner]  # finds the layout
        return shares(tapes.short, self._slots(tapes.short), self.layouts[tapes].labels)

    def _shares_moved(self, tapes: Tapes) -> Tape:
        return pushforward(tapes[self.shares])

    def _shares_pulled(self, tapes: Tapes) -> Tape:
        return pullback(tapes[self.shares])

    def _shares_turned(self, tapes: Tapes) -> Tape:
        return pushforward(tapes[self.shares_pulled])


def _parameters_and_output(tapes: Tapes) -> list[int]:
    """A direction in the parameters, and one in the cotangent of the shares."""
    return [*tapes[VALUE].parameters, *tapes[VALUE].outputs]
