"""Whole Jacobians and Hessians out of products: which products, and how their results are put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from tapegrad.function.derived import FROM_WAIST, HVP, JVP, TO_WAIST, VJP
from tapegrad.function.paths import Path
from tapegrad.nest import Leaf, Structure, Vector

# Runs one of a path's executables at fixed parameters: (kind, read=, directions=).
Replay = Callable[..., Any]


def dense_jacobian(replay: Replay, path: Path, outputs: Structure, params: Structure) -> Vector:
    """The Jacobian, shape (m, p), with the fewest products.

    By columns (forward), by rows (reverse), or where the function narrows in the middle, by rows up to the
    waist and by columns from there.
    """
    waist = path.tapes.waist
    if waist is not None and 2 * waist < min(params.size, outputs.size):
        before = np.array(replay(TO_WAIST, read=params.join, directions=np.eye(waist)))
        behind = np.array(replay(FROM_WAIST, read=outputs.join, directions=np.eye(waist)))
        product: Vector = behind.reshape(waist, outputs.size).T @ before.reshape(waist, params.size)
        return product
    if params.size <= outputs.size:
        columns = replay(JVP, read=outputs.join, directions=np.eye(params.size))
        return np.array(columns).reshape(params.size, outputs.size).T
    rows = replay(VJP, read=params.join, directions=np.eye(outputs.size))
    return np.array(rows).reshape(outputs.size, params.size)


def split(dense: Any, outputs: Structure, params: Structure) -> Any:
    """A matrix of all outputs' elements by all parameters' as nested arrays of shape ``output + leaf``."""

    def block(out: Leaf, leaf: Leaf) -> Any:
        part = np.reshape(dense[out.place, leaf.place], (*out.shape, *leaf.shape))
        return float(part) if isinstance(part, np.ndarray) and part.ndim == 0 else part

    return outputs.build(
        [params.build([block(out, leaf) for leaf in params.leaves]) for out in outputs.leaves]
    )


def sparse_hessian(replay: Replay, path: Path) -> Any:
    """The Hessian as a csc_array, with one product per colour."""
    colouring = path.tapes.hessian_colouring
    products = replay(HVP, read=_flat, directions=colouring.seeds())
    return colouring.matrix(np.array(products))


def sparse_jacobian(replay: Replay, path: Path, outputs: Structure, params: Structure) -> Any:
    """The Jacobian as a csc_array: by columns (forward) or rows (reverse), whichever need fewer colours."""
    by_columns, by_rows = path.tapes.jacobian_colourings
    if by_columns.count <= by_rows.count:
        return by_columns.matrix(np.array(replay(JVP, read=_flat, directions=by_columns.seeds())))
    return sparse.csc_array(by_rows.matrix(np.array(replay(VJP, read=_flat, directions=by_rows.seeds()))).T)


def _flat(outputs: list[Vector]) -> Vector:
    return np.concatenate([np.ravel(output) for output in outputs])
