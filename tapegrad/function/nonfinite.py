"""Warnings about a number that is not finite: they name the entry in which it arises, and the user's line."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from tapegrad.backends.replay import evaluate
from tapegrad.errors import NonFiniteWarning
from tapegrad.function.derived import HVP, Derived
from tapegrad.function.explanation import Explanation, explain, explain_hessian, first_nan
from tapegrad.function.long import LENGTHS
from tapegrad.function.paths import Path
from tapegrad.nest import Vector
from tapegrad.pieces.rows import Rows

_FEW = 100  # elements, which Python adds up in less time than NumPy needs to begin
_NOWHERE = "it arises in no entry as recorded, but in the order that the passes put them in"


def has_nan(value: Any) -> bool:
    """Whether a float or an array holds NaN."""
    if type(value) is float:
        return value != value
    if value.size < _FEW:
        total = sum(value.tolist() if value.ndim == 1 else value.ravel().tolist())
        if total == total:  # NaN is not itself, and spreads; infinities of both signs make one, too
            return False
    return bool(np.isnan(value).any())


def warn_nan(
    what: str,
    path: Path,
    vector: Vector,
    stacklevel: int,
    kind: Derived | None = None,
    direction: Vector | None = None,
) -> None:
    """Warn that a result is NaN, and say where the first one arises.

    Parameters
    ----------
    what : str
        For example "the value".
    path : Path
    vector : ndarray, shape (p,)
        The parameters.
    stacklevel : int
        That of the method that is to be blamed, counted from here.
    kind, direction : Derived and ndarray, optional
        A product, and what it multiplies by: its tape is looked at where the value is not NaN, nor the
        gradient of a scalar function.
    """
    tape = path.tape_at(vector)
    where = first_nan(tape, evaluate(tape, vector, path.data))
    if where is None and kind is not None and direction is not None:
        where = first_nan(path.tapes[kind], _of_product(path, kind, vector, direction))
    where = where or _NOWHERE if path.rows is None else _in_pieces(path, path.rows, where)
    message = f"{what} of {path.tape.name} is NaN: {where}"
    warnings.warn(message, NonFiniteWarning, stacklevel=stacklevel + 1)


def warn_nan_matrix(
    what: str, path: Path, vector: Vector, matrix: Any, kind: Derived, stacklevel: int = 2
) -> None:
    """The same for a matrix that products with unit vectors make, by its first column that holds NaN."""
    if not isinstance(matrix, np.ndarray):
        matrix = matrix.toarray() if has_nan(matrix.data) else np.empty((0, 0))
    if has_nan(matrix):
        column = int(np.argmax(np.isnan(matrix).any(axis=0)))
        warn_nan(what, path, vector, stacklevel + 1, kind, np.eye(matrix.shape[1])[column])


def explained(path: Path, vector: Vector, names: tuple[str, ...], rows: Vector | None) -> Explanation:
    """Where the first NaN or infinity arises, in the value, in an adjoint, or in the Hessian.

    `rows` is the Hessian times a vector without zeros: what is not finite in a row shows there. Of data in
    pieces, only the first rows are looked at, and whether any are missing.
    """
    found = _explained(path, vector, names, rows)
    if path.rows is None:
        return found
    where = None if found.quantity is None else found.text
    return replace(found, text=_in_pieces(path, path.rows, where, found.text))


def _in_pieces(path: Path, rows: Rows, where: str | None, finite: str = "all is finite") -> str:
    """Where something arises in data in pieces, of which the first rows alone are at hand."""
    first = f"the first {LENGTHS[0]:,} of {rows.length:,} rows"
    other = f"{finite} in {first}: if something is not, it arises in other rows. Call the function on these"
    text, missing = other if where is None else f"{where} (in {first})", rows.missing()
    told = ", ".join(f"{name} ({count:,})" for name, count in missing.items())
    lacks = f"values are missing in {told}: fit(..., missing='drop') leaves out the rows without them"
    return f"{text}; {lacks}" if missing else text


def _explained(path: Path, vector: Vector, names: tuple[str, ...], rows: Vector | None) -> Explanation:
    tape = path.tape_at(vector)
    found = explain(tape, evaluate(tape, vector, path.data))
    if found.quantity is not None or rows is None or np.isfinite(rows).all():
        return found
    row = int(np.argmin(np.isfinite(rows)))
    for direction in (np.eye(rows.size)[row], np.ones(rows.size)):
        values = _of_product(path, HVP, vector, direction)
        hessian = explain_hessian(path.tape.name, names[row], path.tapes[HVP], values)
        if hessian is not None:
            return hessian
    return found


def _of_product(path: Path, kind: Derived, vector: Vector, direction: Vector) -> list[Any]:
    """Every value of the tape of a product."""
    tape = path.tapes[kind]
    # Directions stand before the data, whose slots are then no longer those of the recorded tape.
    data = dict(zip(tape.data, path.data.values(), strict=True))
    return evaluate(tape, np.concatenate([vector, direction]), data)
