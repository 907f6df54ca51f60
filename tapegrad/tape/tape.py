"""The tape: a linear record of ops over slots, as immutable data.

Each slot is written once, by a leaf or by an entry. A tape holds no values but its constants: a workspace is
handed in when it runs, so that one tape serves many threads, and pickles.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.ops.registry import SCALAR as SCALAR
from tapegrad.ops.registry import Aval, Shape
from tapegrad.tape.record import Constant as Constant
from tapegrad.tape.record import Guard as Guard
from tapegrad.tape.record import Record
from tapegrad.tape.showing import sheet
from tapegrad.tape.text import OperandNames as OperandNames
from tapegrad.tape.text import aligned as aligned
from tapegrad.tape.text import attr_text as attr_text
from tapegrad.tape.text import header as header
from tapegrad.tape.text import html_listing
from tapegrad.tape.text import listing as listing
from tapegrad.tape.text import shape_text as shape_text
from tapegrad.viewer.page import Page, page

LISTED = 200


@dataclass(frozen=True)
class Tape(Record):
    """A linear record of ops.

    Attributes
    ----------
    name : str
        The traced function's.
    avals : tuple of Aval
        Shape and dtype of each slot.
    parameters, data : tuple of int
        Leaf slots: what is differentiated, and what can be rebound without a new trace.
    constants : tuple of Constant
        The leaf slots that never change.
    entries : Entries
        The steps, in order.
    outputs : tuple of int
        The slots of the results.
    guards : tuple of Guard
        What must hold for the results to be right.
    labels : tuple of (int, str)
        The names of leaves, for reading.
    """

    @property
    def nbytes(self) -> int:
        """Memory held by the constants and needed by one workspace, in bytes."""
        constants = sum(np.asarray(constant.value).nbytes for constant in self.constants)
        fixed = {constant.slot for constant in self.constants}
        return constants + sum(
            size_of(aval.shape) * aval.dtype.itemsize
            for slot, aval in enumerate(self.avals)
            if slot not in fixed
        )

    def __str__(self) -> str:
        return listing(self, limit=LISTED)

    def _repr_html_(self) -> str:
        return html_listing(self, LISTED)

    def show(self, path: str | os.PathLike[str] | None = None) -> Page:
        """The tape as a page for a browser: your lines beside its entries, linked both ways.

        `TracedFunction.show` shows values, derivatives and generated code, too.

        Parameters
        ----------
        path : str or path, optional
            Write the page to this file.

        Returns
        -------
        Page
            A notebook displays it where it is the last line of a cell.

        Examples
        --------
        >>> import tapegrad as tg
        >>> tg.trace(lambda mu: -0.5 * (mu - 3.0) ** 2, dict(mu=0.0)).tape.show()
        <page of f, ... kB: .open() shows it in a browser, .write("page.html") keeps it>
        """
        made = page(self.name, [sheet(self, "Tape")])
        return made if path is None else made.write(path)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickle forgets that arrays are read-only.
        for value in (*(c.value for c in state["constants"]), *(g.outcome for g in state["guards"])):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self.__dict__.update(state)


class TapeError(Exception):
    """A tape breaks one of its own invariants: a defect of tapegrad, not of the user's code."""


def size_of(shape: Shape) -> int:
    """The number of elements of an array of this shape."""
    size = 1
    for n in shape:
        size *= n
    return size


def aval_of(value: Any) -> Aval:
    """The shape and dtype of a number or an array."""
    return SCALAR if type(value) is float else Aval(np.shape(value), np.asarray(value).dtype)
