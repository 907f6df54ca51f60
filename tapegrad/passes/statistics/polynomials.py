"""Which arrays of a tape are polynomials in columns of known numbers, with parameters in the coefficients.

Where `where` chooses by constants, each choice is a cell of rows with polynomials of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from tapegrad.ops.broadcasting import broadcast_to, sum_
from tapegrad.ops.elementwise import div, exp, log, mul, neg, power, reciprocal, sqrt
from tapegrad.ops.indexing import ARRAY, getitem
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import logical_and, where
from tapegrad.ops.registry import FLOAT, Op
from tapegrad.ops.shaping import reshape
from tapegrad.ops.special import xlog1py, xlogy
from tapegrad.passes.simplify import Rewriter
from tapegrad.passes.statistics.columns import WHOLE, Columns, Leaf, Source
from tapegrad.passes.statistics.lines import RULES, Cell, Polynomial
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape, size_of

Node = tuple[int, int]  # a slot of the tape that is read, and the number of what gathers its rows

TERMS = 10  # in a polynomial
FACTORS = 8  # in a term
MASKS = 4  # whose choices make up to 16 cells
LEVELS = 50  # of a factor


class Form(IntEnum):
    """What an array is at least: the same number in all rows, a multiple of one column, or more than that."""

    NUMBER = 0
    MULTIPLE = 1
    MORE = 2


def _form(op: Op, forms: Sequence[Form]) -> Form | None:
    """What a step makes of arrays of these forms; None where none of `RULES` takes them.

    So sums that are none of a polynomial are seen before anything is written.
    """
    first, last = forms[0], forms[-1]
    if max(forms) is Form.NUMBER:
        return Form.NUMBER
    if op in (neg, broadcast_to, reshape):
        return first
    if op in (mul, div):
        if op is div and last is Form.MORE:
            return None
        return max(forms) if Form.NUMBER in forms else Form.MORE
    if op in (log, power, reciprocal, sqrt, xlogy, xlog1py):
        if Form.MORE in forms or (len(forms) == 2 and Form.NUMBER not in forms):
            return None
        return Form.MORE if op is log else Form.MULTIPLE
    return Form.MORE


class Polynomials:
    """The arrays of a tape, one number for each row, that may be polynomials.

    Attributes
    ----------
    candidates : dict of int to Form
        Arrays all of whose steps from the known ones on have a rule.
    """

    def __init__(self, tape: Tape, source: Source) -> None:
        self.tape = tape
        self.source = source
        self.columns = Columns(tape, source)
        self.constants: dict[int, Any] = dict(tape.constants)
        self.made = {entry.output: entry for entry in tape.entries if entry.output not in source}
        self.candidates: dict[int, Form] = {}
        for entry in self.made.values():
            form = self._form_of(entry) if tape.avals[entry.output].shape else None
            if form is not None:
                self.candidates[entry.output] = form

    def size(self, slot: int) -> int:
        """The number of elements of a slot."""
        return size_of(self.tape.avals[slot].shape)

    def is_rows(self, slot: int, n: int) -> bool:
        """Whether an elementwise step can take a slot for a scalar, or for one number in each of n rows."""
        if self.tape.avals[slot].dtype != FLOAT:
            return False
        is_known = slot in self.source or slot in self.candidates
        return self.size(slot) == 1 or (self.size(slot) == n and is_known)

    def _mask(self, condition: int, n: int) -> tuple[int, bool] | None:
        """The array that decides a condition in each of n rows, and whether it does so alone.

        Joined by `and` with a scalar that is not known, it decides where it is False.
        """
        if condition in self.source:
            return (condition, True) if self.size(condition) == n else None
        made = self.made.get(condition)
        if made is None or made.op is not logical_and or self.size(condition) != n:
            return None
        known = [slot for slot in made.inputs if slot in self.source and self.size(slot) == n]
        return (known[0], False) if len(known) == 1 and 1 in map(self.size, made.inputs) else None

    def _form_of(self, entry: Entry) -> Form | None:
        """What an entry's array is at least; None where it is no polynomial."""
        n = self.size(entry.output)
        if n < 2 or self.tape.avals[entry.output].dtype != FLOAT:
            return None
        if entry.op is where:
            condition, *choices = entry.inputs
            is_decided = self.size(condition) == 1 and condition in self.constants
            is_decided = is_decided or self._mask(condition, n) is not None
            is_chosen = is_decided and all(self.is_rows(slot, n) for slot in choices)
            return min(map(self._form_in, choices)) if is_chosen else None
        if entry.op is getitem:
            array, *index = entry.inputs
            if not len(self.tape.avals[array].shape) == len(self.tape.avals[entry.output].shape) == 1:
                return None
            if array in self.candidates:
                return self.candidates[array] if all(slot in self.constants for slot in index) else None
            return None if self._design(entry) is None else Form.MORE
        if entry.op.name in ("matmul", "sum"):
            return None if self._design(entry) is None else Form.MORE
        if entry.op.name not in RULES or not all(self.is_rows(slot, n) for slot in entry.inputs):
            return None
        return _form(entry.op, [self._form_in(slot) for slot in entry.inputs])

    def _form_in(self, slot: int) -> Form:
        """What an operand along the rows is at least."""
        if self.size(slot) == 1:
            return Form.NUMBER
        return Form.MULTIPLE if slot in self.source else self.candidates[slot]

    def _design(self, entry: Entry) -> tuple[Leaf, int] | None:
        """The design and the slot of b in ``b[levels]``, ``X @ b``, ``b @ X.T``, ``(X * b).sum(axis=1)``."""
        if entry.op is getitem:
            b, (k, *others) = entry.inputs[0], self.tape.avals[entry.inputs[0]].shape
            is_factor = dict(entry.attrs)["index"] == (ARRAY,) and not others and 1 < k <= LEVELS
            is_factor = is_factor and entry.inputs[1] in self.source
            return (Leaf(entry.inputs[1], levels=k), b) if is_factor and self._is_finite(b) else None
        product = self.made.get(entry.inputs[0]) if entry.op.name == "sum" else entry
        if product is None or (product is not entry and (product.op is not mul or _axis(entry) != (1,))):
            return None
        a, b = product.inputs
        for matrix, coefficients, along in ((a, b, 0), (b, a, 0 if product.op is mul else 1)):
            shape = self.tape.avals[matrix].shape
            if matrix not in self.source or coefficients in self.source or len(shape) != 2:
                continue
            n, k = shape[along], shape[1 - along]
            column = (1, k) if product.op is mul or along == 1 else (k, 1)
            fits = self.tape.avals[coefficients].shape in ((k,), column)
            if fits and self.size(entry.output) == n:
                return Leaf(matrix, along=along), coefficients
        return None

    def _coefficients(self, cell: Cell, leaf: Leaf, slot: int) -> int:
        """The coefficients of a design; of a factor, 0 for levels that no row has, which may be infinite."""
        new = cell.w.new[slot]
        if not leaf.levels:
            return new
        used = self.columns.levels_in_use(leaf, cell.masks, cell.n)
        return new if used.all() else cell.emit(where, cell.w.constant(used), new, cell.w.number(0.0))

    def _is_finite(self, slot: int) -> bool:
        """Whether a slot is infinite for no parameters to speak of: infinite levels would meet the others."""
        entry = self.made.get(slot)
        return slot in self.tape.parameters or (entry is not None and entry.op is exp)

    def is_switch(self, slot: int) -> bool:
        """Whether a scalar that is not known decides between two arrays of rows as a whole."""
        entry = self.made.get(slot)
        if entry is None or entry.op is not where or entry.inputs[0] in self.constants:
            return False
        n = self.size(slot)
        is_scalar = self.tape.avals[entry.inputs[0]].shape == ()
        return is_scalar and all(self.is_rows(choice, n) for choice in entry.inputs[1:])

    def summed(self, entry: Entry) -> tuple[tuple[int, ...], int] | None:
        """The arrays of n rows whose product an entry sums over all of them, and n."""
        if entry.op is not sum_ and entry.op is not matmul:
            return None
        n = self.size(entry.inputs[0])
        if n < 2 or self.size(entry.output) != 1:
            return None
        if entry.op is sum_:
            (slot,) = entry.inputs
            return ((slot,), n) if self.is_rows(slot, n) or self.is_switch(slot) else None
        if entry.op is matmul:
            is_dot = all(self.tape.avals[slot].shape == (n,) for slot in entry.inputs)
            return (entry.inputs, n) if is_dot and all(self.is_rows(s, n) for s in entry.inputs) else None
        return None

    # From the constants up, on the rows of one cell ---------------------------------------------------------

    def cells(
        self, w: Rewriter, end: Entry, roots: Sequence[int], n: int
    ) -> list[tuple[Cell, list[Polynomial]]]:
        """The cells of n rows, with the polynomials of `roots`; no cells if one array is no polynomial."""
        nodes = self._below(roots)
        found_masks = [(self._choice(slot), gather) for slot, gather in nodes]
        masks = list(dict.fromkeys(Leaf(mask[0], gather) for mask, gather in found_masks if mask is not None))
        if len(masks) > MASKS:
            return []
        choices = [dict(zip(masks, c, strict=True)) for c in self.columns.cells(masks, n)]
        found = []
        for decided in choices:
            cell = Cell(w, self.columns, tuple(decided.items()) if len(choices) > 1 else (), n, end)
            polynomials: dict[Node, Polynomial | None] = {}
            for node in nodes:
                polynomials[node] = self._polynomial(cell, node, decided, polynomials)
            chosen = [p for p in (polynomials[slot, WHOLE] for slot in roots) if p is not None]
            if len(chosen) < len(roots):
                return []
            found.append((cell, chosen))
        return found

    def _choice(self, slot: int) -> tuple[int, bool] | None:
        """The mask by which an array is chosen row by row, see `_mask`; None, if it is not."""
        entry = self.made.get(slot)
        is_choice = entry is not None and entry.op is where and self.size(entry.inputs[0]) > 1
        return self._mask(entry.inputs[0], self.size(slot)) if entry is not None and is_choice else None

    def _below(self, roots: Sequence[int]) -> list[Node]:
        """All that arrays are made of, themselves included, in the order of the tape."""
        waiting: list[Node] = [(slot, WHOLE) for slot in roots]
        found = set(waiting)
        while waiting:
            new = set(self._inputs(waiting.pop())) - found
            found |= new
            waiting += new
        return sorted(found)

    def _inputs(self, node: Node) -> list[Node]:
        """What an array is made of, row by row."""
        slot, gather = node
        entry = self.made.get(slot)
        if entry is None or self.size(slot) == 1 or entry.op.name in ("matmul", "sum"):
            return []
        if entry.op is getitem:
            if entry.inputs[0] not in self.candidates:
                return []
            n = self.size(entry.inputs[0])
            return [(entry.inputs[0], self.source.gather(entry, n, gather))]
        slots = entry.inputs[1:] if entry.op is where else entry.inputs
        return [(s, WHOLE if self.size(s) == 1 else gather) for s in slots]

    def _polynomial(
        self, cell: Cell, node: Node, decided: dict[Leaf, bool], found: dict[Node, Polynomial | None]
    ) -> Polynomial | None:
        slot, gather = node
        if self.size(slot) == 1:
            return cell.scalar(cell.w.new[slot])
        if slot in self.source:
            return cell.column(Leaf(slot, gather))
        cell.entry = entry = self.made[slot]
        parts = [found[below] for below in self._inputs(node)]
        if entry.op is where:
            mask = self._choice(slot)
            value = self.constants[entry.inputs[0]] if mask is None else decided[Leaf(mask[0], gather)]
            is_open = mask is not None and value and not mask[1]
            return None if is_open else parts[0 if value else 1]
        if entry.op is getitem and parts:
            return parts[0]
        design = self._design(entry) if entry.op.name in ("getitem", "matmul", "sum") else None
        if design is not None:
            leaf = design[0]._replace(gather=gather)
            return cell.design(leaf, self._coefficients(cell, leaf, design[1]))
        known = [part for part in parts if part is not None]
        polynomial = RULES[entry.op.name](cell, *known) if len(known) == len(parts) else None
        if polynomial is None or len(polynomial) > TERMS:
            return None
        return polynomial if all(len(factors) <= FACTORS for _, factors in polynomial) else None


def _axis(entry: Entry) -> Any:
    return dict(entry.attrs)["axis"]
