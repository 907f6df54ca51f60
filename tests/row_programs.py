"""Random programs over rows: what a log-likelihood does with data, in random order and several rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy import special

GROUPS, COLUMNS = 5, 3
Instruction = tuple[str, int, int, float]
Program = Sequence[Instruction]

# Bounded functions, so that rounding is not blown up on the way.
UNARY = (
    np.tanh,
    np.sin,
    np.abs,
    special.expit,
    lambda v: np.exp(-np.abs(v)),
    lambda v: np.log1p(v**2),
    lambda v: np.sqrt(np.abs(v) + 0.1),
    lambda v: np.where(v > 0.0, np.log1p(np.abs(v)), 0.25),
    lambda v: np.clip(v, -0.5, 0.5),
    lambda v: v.reshape(v.shape),
    np.negative,
)
BINARY = (
    np.add,
    np.subtract,
    lambda v, w: np.tanh(v) * np.tanh(w),
    lambda v, w: v / (1.5 + np.abs(w)),
    np.maximum,
    np.minimum,
    np.logaddexp,
    np.hypot,
    lambda v, w: np.where(v > w, v, 0.5 * w),
)
# Rows to a number: each is a round of its own, where rows need the number.
OVER_ROWS = (
    lambda v: v.mean(),
    lambda v: v.sum() / len(v),
    lambda v: v.std(),
    lambda v: v.var(ddof=1),
    lambda v: v.max(),
    lambda v: v.min(),
    lambda v: 0.1 * special.logsumexp(v),
    lambda v: np.linalg.norm(v) / np.sqrt(1.0 + (v**2).sum()),
    lambda v: (v > 0.1).mean() * v.mean(),
    lambda v: np.where((v > 1.0).any(), v.mean(), 0.5 * v.max()),
    lambda v: np.average(v, weights=np.abs(v) + 0.1),
)
# A matrix with a row for each row, to rows.
OF_EACH = (
    lambda m: m.sum(axis=1),
    lambda m: m.mean(axis=-1),
    lambda m: m.max(axis=1),
    lambda m: special.logsumexp(m, axis=1),
    lambda m: m[:, 1],
    lambda m: m.T[0],
    lambda m: np.cumsum(m, axis=1)[:, -1] * 0.3,
    lambda m: np.sort(m, axis=1)[:, 1],
    lambda m: np.einsum("ij,ij->i", m, m) * 0.1,
    lambda m: np.linalg.slogdet(m[:, :, None] * m[:, None, :] + np.eye(COLUMNS))[1],
    lambda m: np.prod(0.2 * np.tanh(m), axis=1),
    lambda m: np.swapaxes(m, 0, 1)[2],
)
# A matrix with a row for each row, to one of a few columns.
PRODUCTS = (
    lambda m: m.T @ m / len(m),
    lambda m: m.T @ (special.expit(m[:, :1]) * m) / m.shape[0],
    lambda m: np.einsum("ni,nj->ij", m, np.tanh(m)) / len(m),
    lambda m: (m.T * m[:, 0] ** 2) @ m / len(m),
    lambda m: np.cov(m, rowvar=False, ddof=0),
    lambda m: m.T.dot(m) / len(m),
)


def column(v: Any, place: int) -> Any:
    """Rows as a matrix, by one of several ways."""
    ways = (
        lambda: np.column_stack([v, 0.5 * v, np.ones(len(v))]),
        lambda: np.stack([np.tanh(v), v, v], axis=1),
        lambda: v[:, None] * np.array([1.0, -0.5, 0.2]),
        lambda: np.concatenate([v.reshape(-1, 1), v[:, None], np.zeros((len(v), 1))], axis=1),
        lambda: np.broadcast_to(v.reshape(len(v), 1), (len(v), COLUMNS)),
        lambda: np.vstack([v, v, 0.1 * v]).T,
        lambda: np.outer(v, [0.3, 0.2, 0.1]),
    )
    return ways[place % len(ways)]()


def picked(m: Any, g: Any, place: int) -> Any:
    """One element of each row."""
    ways = (
        lambda: m[np.arange(len(m)), g % COLUMNS],
        lambda: np.take_along_axis(m, (g % COLUMNS)[:, None], axis=1)[:, 0],
        lambda: np.where(g == 1, m[:, 0], m[:, 2]),
        lambda: (m * (g[:, None] % COLUMNS == np.arange(COLUMNS))).sum(axis=1),
    )
    return ways[place % len(ways)]()


def by_group(v: Any, g: Any, place: int) -> Any:
    """The mean or the sum of each group, for each row of it."""
    if place % 3 == 0:
        totals = np.bincount(g, weights=v, minlength=GROUPS)
        return np.tanh(totals / np.bincount(g, minlength=GROUPS))[g]
    if place % 3 == 1:
        totals = np.zeros(GROUPS) + 0.0 * v.mean()
        np.add.at(totals, g, v)
        return np.tanh(totals[g] / len(v))
    return np.tanh(np.where(g == place % GROUPS, v, 0.0).mean() - v)


def branched(s: Any, v: Any, w: Any, c: float) -> Any:
    """Rows chosen by a number of all rows, in Python."""
    if s > c:
        return v
    if s * 2.0 > c - 1.0:
        return 0.5 * w
    return v - w


def run(program: Program, b: Any, X: Any, y: Any, g: Any, m: Any) -> Any:
    """Interpret a program: each instruction appends a number, rows, or a matrix made of earlier ones."""
    numbers, rows, matrices = [b[0], b[1] * b[2]], [y, X @ b], [X, X * b]
    for kind, i, j, c in program:
        s, v, a = numbers[i % len(numbers)], rows[i % len(rows)], matrices[i % len(matrices)]
        w, place = rows[j % len(rows)], int(abs(c) * 60.0)
        if kind == "unary":
            rows.append(UNARY[place % len(UNARY)](v))
        elif kind == "binary":
            rows.append(BINARY[place % len(BINARY)](v, w))
        elif kind == "number":
            rows.append(BINARY[place % len(BINARY)](v, s))
        elif kind == "over rows":
            numbers.append(OVER_ROWS[place % len(OVER_ROWS)](v))
        elif kind == "of each":
            rows.append(OF_EACH[place % len(OF_EACH)](a))
        elif kind == "column":
            matrices.append(column(v, place))
        elif kind == "scaled":
            matrices.append(np.tanh(a) * v[:, None])
        elif kind == "centred":
            matrices.append((a - a.mean(axis=0)) / (0.5 + a.std(axis=0)))
        elif kind == "product":
            gram = PRODUCTS[place % len(PRODUCTS)](a)
            numbers.append(np.linalg.slogdet(gram @ gram.T + np.eye(COLUMNS))[1])
            rows.append(a @ np.tanh(gram)[:, 0])
        elif kind == "score":
            rows.append(a @ (a.T @ v) / len(v))
        elif kind == "picked":
            rows.append(picked(a, g, place))
        elif kind == "table":
            rows.append(np.stack([s, b[2], 0.1 * s, b[0] + b[1], s - b[1]])[g])
        elif kind == "by group":
            rows.append(by_group(v, g, place))
        elif kind == "mask":
            rows.append(np.where(m, v, w) if place % 2 else v * m)
        elif kind == "written":
            out = np.zeros((len(v), COLUMNS))
            out[:, 0], out[:, place % COLUMNS] = v, s
            matrices.append(out)
        elif kind == "branch":
            rows.append(branched(s, v, w, c))
    last = rows[-1]
    return (
        (last * last).mean() + last.sum() / len(y) + 0.1 * (numbers[-1] + matrices[-1].mean()) + 0.1 * b @ b
    )


KINDS = (
    *("unary", "binary", "number", "over rows", "of each", "column", "scaled", "centred", "product", "score"),
    *("picked", "table", "by group", "mask", "written", "branch"),
)
# On a grid: ties are frequent, and no derivative overflows.
NUMBERS = st.integers(-2000, 2000).map(lambda k: k / 1000.0)
INSTRUCTION = st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9), NUMBERS)
PROGRAM = st.lists(INSTRUCTION, min_size=1, max_size=8)


def data(rows: int, seed: int) -> dict[str, Any]:
    """Columns of all kinds; the first rows are unlike the others, so that they decide otherwise."""
    rng = np.random.default_rng(seed)
    late = np.linspace(-1.0, 1.0, rows)
    return dict(
        X=rng.normal(size=(rows, COLUMNS)) + late[:, None],
        y=rng.normal(size=rows) * (1.0 + late**2),
        g=rng.integers(0, GROUPS, rows),
        m=rng.random(rows) < 0.5 + 0.4 * late,
    )
