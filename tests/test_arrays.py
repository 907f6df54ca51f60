"""Traced values as arrays: methods, object arrays, views, assignment, and Python's own ways with numbers.

Each program is plain NumPy. What it gives when it is replayed must be what a plain call gives.
"""

from __future__ import annotations

import copy
import math
from fractions import Fraction

import numpy as np
import pytest
from against_plain import DATA, MASK, check
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import tapegrad as tg

pytestmark = pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")

X = np.array([[0.4, -1.0], [1.3, 0.2], [-0.6, 2.2], [0.1, 0.7]])
PROGRAMS = []


def program(f):
    PROGRAMS.append(pytest.param(f, id=f.__name__))
    return f


def programs(*fs):
    for i, f in enumerate(fs):
        PROGRAMS.append(pytest.param(f, id=f"line{f.__code__.co_firstlineno}-{i}"))


# Methods ----------------------------------------------------------------------------------------------------

programs(
    lambda m: m.sum(),
    lambda m: m.sum(axis=0),
    lambda m: m.sum(1, keepdims=True),
    lambda m: m.sum(-1, float),
    lambda m: m.mean(axis=1),
    lambda m: m.prod(0),
    lambda m: m.max(axis=1, keepdims=True) - m.min(),
    lambda m: m.var(ddof=1) + m.std(axis=0),
    lambda m: m.var(0, None, None, 1),
    lambda m: m.cumsum(axis=1),
    lambda m: m.cumprod(axis=0),
    lambda m: m * m.argmax() + m.argmin(axis=0),
    lambda m: m.argsort(axis=1),
    lambda m: m.T,
    lambda m: m.transpose(),
    lambda c: c.transpose(1, 2, 0),
    lambda c: c.transpose((1, 2, 0)),
    lambda m: m.reshape(3, 2),
    lambda m: m.reshape((3, -1)),
    lambda m: m.reshape(-1) + m.ravel() + m.flatten(),
    lambda m: m[None].squeeze(),
    lambda m: m[None].squeeze(axis=0),
    lambda m: m.swapaxes(0, 1),
    lambda m: m.repeat(2, axis=1),
    lambda m: m.take([0, 2], axis=1),
    lambda q: q.diagonal(1),
    lambda q: q.trace(),
    lambda m: m.clip(0.0, 1.0),
    lambda m: m.clip(min=0.0),
    lambda m: m.clip(max=0.0),
    lambda m: m.round(1),
    lambda m: m.dot(DATA),
    lambda m: m.copy() + 1.0,
    lambda m: m.astype(float) * m.astype(int),
    lambda m: m.astype(bool),
    lambda m: (m > 0.5).astype(float).sum(axis=1),
    lambda m: (m > 0.5).sum() * m,
    lambda m: (m > 0.5).any(axis=0) & (m > -1.0).all(axis=0),
    lambda m: m[(m > 0.5).nonzero()].sum(),
    lambda m: m * m.size + m.ndim + m.shape[1] + len(m),
    lambda s: s.sum() + s.mean() + s.reshape(1),
    lambda s: s.ravel() + s.size,
)


@program
def sorted_in_place(u):
    u.sort()
    return u * np.arange(5)


@program
def filled(v, s):
    v.fill(s)
    return v


# Object arrays ----------------------------------------------------------------------------------------------

programs(
    lambda s, t: np.array([s, t]),
    lambda s, t: np.array([s, t]) * 2.0,
    lambda s, t: X @ np.array([s, t]),
    lambda s, t: (X @ np.array([s, t])).sum(),
    lambda s, t: np.exp(np.array([s, t])),
    lambda s, t: np.exp(X @ np.array([s, t])) * np.array([1.0, 2.0, 3.0, 4.0]),
    lambda s, t: np.sqrt(np.abs(np.array([[s, t], [t, s]]))),
    lambda s, t: np.log1p(np.square(np.array([s, t]))).sum(),
    lambda s, t: np.dot(np.array([s, t]), [1.0, 2.0]),
    lambda s, t: np.array([s, 1.0, t]).sum() * np.array([s, 2.0]).prod(),
    lambda s, t, v: np.array([s, 0.5, t]) * v,
    lambda s, t, v: v * np.array([s, 0.5, t]),
    lambda s, t, v: v @ np.array([s, 0.5, t]),
    lambda s, t, v: np.maximum(v, np.array([s, 0.5, t])),
    lambda s, t: np.maximum(np.array([s, 0.5, t]), 0.6),
    lambda s, t: np.array([s, t]) > 0.5,
    lambda s, t: np.where(np.array([s, t]) > 0.5, np.array([s, t]), 0.0),
    lambda s, t: np.stack([s, t]) + np.array([t, s]),
    lambda s, v: np.concatenate([np.array([s, 1.0]), v]),
    lambda s, v: np.concatenate([[s], [2.0]]) * 2.0,
    lambda s, v: np.array([v, v * s]),
    lambda s, v: np.array([list(v), [s, 1.0, s]]).sum(axis=0),
    lambda s, t: np.sum([s, t]) + np.max([s, t]) + np.prod([s, t]),
    lambda s, t: np.maximum.reduce([s, t, 0.6]),
    lambda v: np.asarray(v) * 2.0,
    lambda s: np.asarray(s) + 1.0,
    lambda s: np.exp(np.array(s)),
    lambda s, v: np.r_[s, v, 1.0],
    lambda v, w: np.c_[v, w],
    lambda s: np.full(3, s),
    lambda v: np.vectorize(lambda x: 2.0 * x if x > 0.0 else x)(v),
    lambda s, t: [s, t] * np.ones(2) @ np.array([[s, t], [1.0, 2.0]]),
)


@program
def an_object_array_is_a_buffer(s, t):
    values = np.array([s, t, 1.0])
    values[2] = s * t
    values += 1.0
    values += np.stack([s, s, t])
    values *= t
    return values


# Arrays made to be written to -------------------------------------------------------------------------------


@program
def buffer_like_a_parameter(v):
    out = np.zeros_like(v)
    for i in range(3):
        out[i] = v[i] ** 2 if i == 0 else out[i - 1] + v[i]
    return out


@program
def buffers_by_like(s, v):
    a = np.zeros(4, like=v)
    b = np.ones((2, 3), like=v)
    c = np.empty(3, like=v)
    d = np.full(3, s, like=v)
    e = np.full(2, 7.0, like=v)
    g = np.eye(3, like=v)
    h = np.array([s, 1.0, 2.0], like=v)
    a[1:] = v
    b[1] += v
    c[...] = s
    d[0] = 0.0
    e[1] *= s
    g[np.arange(3), np.arange(3)] = v
    h[-1] = v[0]
    return a, b, c, d, e, g, h, np.array(v, like=v), np.asarray([s, 2.0], like=v), np.arange(3.0, like=v) * s


@program
def buffers_like_another(v, m):
    a, b, c = np.ones_like(m), np.empty_like(v), np.full_like(v, 2.0)
    d = np.full_like(v, v[0])
    a[0], b[:] = v, 1.0
    c[1] = v[1]
    d[2] = 0.0
    return a, b, c, d, np.zeros_like(v, shape=(2,)) + v[0], np.copy(m) * 2.0


@program
def slices_and_steps(v, u):
    out = np.zeros_like(u)
    out[::2] = v
    out[::-2] += 1.0
    out[-2] = u[0]
    out[1:4] *= 2.0
    out[[0, 4]] -= u[:2]
    out[np.array([1, 2])] = u[3]
    out[...] += 0.5
    return out


@program
def tables(m, v, s):
    m[0, 1] = s
    m[:, 2] = [1.0, s]
    m[1] = v
    m[1, ::-1] += v
    m[m > 1.0] = s
    m[:, None, 0] *= 2.0
    return m


@program
def functions_that_write(q, v):
    np.fill_diagonal(q, v)
    np.copyto(v, q[:, 1])
    return q, v


@program
def masks(v, w, s):
    v[v < 0.0] = 0.0
    w[MASK] = s
    w[w > v] -= 1.0
    w[w > 5.0] = v[:0]
    return v, w


@program
def rows_of_rows(m, v):
    m[0][1] = 9.0
    m[1][1:] = v[:2]
    m[1][2] += 1.0
    m[0][:2][0] = v[2]
    for row in m:
        row *= 2.0
        row[0] = 0.5
    return m


@program
def a_rank_one_buffer(q, v):
    q[np.tril_indices(3, -1)] = v
    q[np.diag_indices(3)] = np.exp(v)
    return q @ q.T


# Views ------------------------------------------------------------------------------------------------------


@program
def a_view_sees_what_is_written_to_its_owner(u):
    head, twice = u[:2], u[1:4][1:]
    before = head * 1.0
    u[0] = 7.0
    u[2:] = 5.0 * u[2:]
    return before, head, twice


@program
def the_owner_sees_what_is_written_to_a_view(u):
    tail = u[2:]
    tail[0] = 1.0
    tail += u[0]
    inner = tail[1:]
    inner *= 3.0
    return u, tail, inner


@program
def reshapes_and_transposes_are_views(m):
    flat, turned, column = m.reshape(-1), m.T, m[:, 1]
    flat[0] = 4.0
    turned[2, 1] = 5.0
    column += 1.0
    m.ravel()[3] = 6.0
    np.swapaxes(m, 0, 1)[1] *= 2.0
    m[None].squeeze()[0, 0] -= 1.0
    return m, flat, turned, column


@program
def diagonals_and_broadcasts_follow_their_owner(q, v):
    along, above, rows = np.diag(q), q.diagonal(1), np.broadcast_to(v, (2, 3))
    tables = np.meshgrid(v, v)
    q[np.diag_indices(3)] = np.exp(along)
    q[0] += 1.0
    v[0] = 5.0
    return along, above, rows, q, tables[0]


@program
def a_ravel_of_a_strided_array_is_a_copy(u):
    other = u[::2].ravel()
    other += 1.0
    same = u.ravel()
    same *= 2.0
    return u, other


@program
def a_reshape_of_a_transpose_is_a_copy(m):
    flat = m.T.reshape(-1)
    flat[0] = 100.0
    m[1, 1] = 7.0
    return m, flat


@program
def copies_are_copies(m, v):
    kept = [m.flatten(), m.copy(), +v, v.astype(float), v[[0, 1, 2]], v[MASK], copy.copy(v), copy.deepcopy(v)]
    kept += [
        np.copy(v),
        np.array(v, like=v),
        v[:].copy(),
        np.positive(v),
        np.prod(m, axis=()),
        np.round(v, 9),
    ]
    m[...] = 0.0
    v[...] = 0.0
    return m, v, *kept


@program
def writing_to_a_copy_leaves_the_original(v):
    for made in (v.flatten(), v.copy(), +v, v.astype(float), np.array(v, like=v), copy.copy(v)):
        made[0] = 9.0
        made += 1.0
    return v


@program
def aliases_share(v):
    other, same = v, np.asarray(v, like=v)
    other += 1.0
    same *= 2.0
    return v


@program
def scalars_do_not_share(s, v):
    other, first = s, v[0]
    other += 1.0
    first *= 5.0
    return s, v


@program
def a_view_of_one_element(u):
    one = u[1:2].reshape(())
    two = u[2, ...]
    u[1] = 4.0
    two += 1.0
    return one * 2.0, u


@program
def rows_by_unpacking(m):
    first, second = m
    first += 1.0
    second[:] = first
    return m


@program
def splits_are_views(u):
    left, right = np.split(u, [2])
    left += 1.0
    right[0] = left[1]
    return u


# In place ---------------------------------------------------------------------------------------------------


@program
def every_operator_in_place(v, w):
    alias = v
    v += w
    v -= 0.5
    v *= w
    v /= 2.0
    v **= 2
    v **= 1.5
    v //= 0.1
    v %= 3.0
    return alias


@program
def matrices_in_place(q, n):
    alias = q
    q @= np.eye(3)
    n = n @ np.ones((2, 2))
    return alias, n


@program
def out_arguments(v, w, m):
    alias = v
    np.add(v, w, out=v)
    np.multiply(v, 2.0, out=(w,))
    np.exp(0.1, out=m)
    np.sum(m, axis=1, out=m[:, 0])
    np.cumsum(v, out=v)
    np.greater(v, w, out=w)
    return alias, w, m


@program
def truth_values_in_place(v):
    mask = v > 0.0
    alias = mask
    mask &= v < 2.0
    mask |= v < -1.0
    mask ^= MASK
    alias[0] = v[1] > 0.0
    return mask, ~mask


# Truth values and whole numbers keep NumPy's ways ----------------------------------------------------------

programs(
    lambda v: (v > 0.0) + (v > -1.0),
    lambda v: (v > 0.0) * (v > -1.0) * 1.0,
    lambda v: ((v > 0.0) + (v > -1.0)).sum(),
    lambda v: (v > 0.0) + 1,
    lambda v: sum(v > 0.0) * v,
    lambda v: np.add(v > 0.0, v < 1.0).sum(),
    lambda v: np.maximum(v > 0.0, v < -1.0),
    lambda v: ~np.where(v > 0.0, v < 1.0, v > -1.0),
    lambda v: ~np.stack([v > 0.0, v < -1.0]).any(axis=0),
    lambda v: -(v > 0.0).astype(int) // 2,
    lambda v: np.diff(v > 0.0),
    lambda v: np.cumsum(v > 0.0) / 2,
    lambda u: u[(u > 0.0).sum() - 1],
    lambda u: u[2 * np.argmax(u[:2]) : (u > 0.0).sum() + 1].sum(),
    lambda u: u[np.where(u[0] > 0.5, 1, 2)],
    lambda u: u[np.abs(np.argmin(u) - 2)],
    lambda u: DATA[np.argmax(u[:3])] * u,
    lambda u: DATA[np.argsort(u[:3])] * u[:3],
    lambda v: DATA[v > 0.0].sum() * v[0],
    lambda v: DATA[v[0] > 0.6] * np.ones((2, 3))[:, v > 5.0].sum() * v[0],
    lambda u: [1.0, 2.0, 3.0][np.argmax(u[:3])] * u,
    lambda u: u[np.argsort(-u)[:2]],
    lambda u: np.arange(int((u > 0.5).sum())).sum() * u + np.zeros((u > 0.5).sum()).sum(),
    lambda u: float(u[0] > 0.5) * u + (u > 0.5).sum().item() * sum((u > 0.5).tolist()),
    lambda u: math.sqrt(np.argmax(u)) * u + np.array([1.0, 2.0])[int(u[0] > 0.5)],
    lambda u: u[[np.argmax(u), 0, np.argmin(u)]],
    lambda u: u[np.floor(np.abs(u[:3])).astype(int)],
    lambda u: sum(u[i] for i in range((u > 0.5).sum())) + 0.0 * u[0],
)


@program
def whole_number_buffers(v, s):
    counts = np.zeros_like((v > 0.0).sum(), shape=3)
    counts[0] = 2.7 * s
    counts[1] += 3
    flags = np.zeros(2, dtype=bool, like=v)
    flags[0] = s
    return counts, flags, np.array([1, 2], like=v) // 2


# Python's own ways ------------------------------------------------------------------------------------------

programs(
    lambda s, t: s + t - 2 * s / t * 3,
    lambda s: 2.0**s + s**2 + s**3 + abs(s) ** 0.5 + s**-1 + s**0,
    lambda s: 1 - s + 1 / s * 2 + s % 0.3 + 5.0 % abs(s) + s // 0.3 + 5.0 // s,
    lambda s, t: (*divmod(s, 0.3), *divmod(5.0, t), *divmod(s, t)),
    lambda s, t: pow(s, 2) + pow(2, s) + pow(abs(s), t),
    lambda s: abs(s) + -s + +s,
    lambda s: round(s) + round(s, 1) + round(10.0 * s, -1),
    lambda s: s * math.floor(s) + math.ceil(s) + math.trunc(s) + int(s),
    lambda v: sum(v) + sum(v, 1.0) + min(v) * max(v),
    lambda s, t: max(s, t) + min(s, t, 0.5),
    lambda s, t: sorted([s, t, 0.5])[1],
    lambda v: sum([x for x in v if x > 0.0]),
    lambda v: list(v)[1] + tuple(v)[2] + next(iter(v)),
    lambda v: np.stack(list(reversed(v))),
    lambda v, w: sum(a * b for a, b in zip(v, w, strict=True)),
    lambda v: sum(i * x for i, x in enumerate(v)),
    lambda m: [row.sum() for row in m],
    lambda n: sum(a * b for a, b in n),
    lambda s, v: (v[0] > 0.0 and s > 0.0) + 0.0 * s if v[1] > 0.0 or s < 0.0 else s,
    lambda s, t: s if 0.0 < s < t else t,
    lambda s, v: v * (s in v) + (v[0] in v),
    lambda s: s * (s in (0.7, 0.3)),
    lambda s: not s > 1.0,
    lambda s: bool(s) * s,
    lambda v: any(v > 2.0) * v + all(v > -1.5),
    lambda s, v: [s, 1.0, 2.0] * v + (1.0, 2.0, 3.0) - [v[0], 0.0, s],
    lambda s, v: np.multiply([s, 1.0, 2.0], v),
    lambda s: s * np.float32(0.1) + np.int8(3) * s - np.uint16(7) * s + True * s,
    lambda s: s * Fraction(1, 3),
    lambda v: v * np.array([1, 2, 3], dtype=np.uint8) + np.array([0.1, 0.2, 0.3], dtype=np.float32),
    lambda v: v * np.array([True, False, True]) + np.array(2),
    lambda v: np.array([1, 2, 3]) ** v[0] ** 2,
    lambda v: v**0.5 + v**2.0 + v**-1.0 + v ** np.array([1, 2, 3]),
    lambda s, v: v[...] + v[()] + v[None, :] + v[np.newaxis, ..., 0] + s,
    lambda s, v: v[-1:0:-1] + v[:-1],
    lambda m: m[1:, ::2] + m[[True, False]][:, [0, 2]] + m[np.ix_([0], [1, 2])],
    lambda c: c[:, [0, 2, 2], -1] * c[1, :, 0][np.array([[0, 1, 2]])],
    lambda s, v: s == v[0],
    lambda v, w: (v >= w) ^ (v != 0.5) | (w <= 0.2),
)


@program
def a_while_loop(s):
    n = 0
    while abs(s) > 0.1:
        s = s / 2.0
        n += 1
    return s * n


@program
def early_return(s, t):
    if s > 0.0:
        return s * t
    return t + 1.0


@program
def a_running_maximum(u):
    best = -np.inf
    for x in u:
        if x > best:
            best = x
    return best


@pytest.mark.parametrize("f", PROGRAMS)
@pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning")
def test_program(f):
    check(f, rtol=1e-12)


# Lists of traced and plain numbers --------------------------------------------------------------------------

LISTS = {
    "solve": lambda s, t, w: np.linalg.solve([[s, 0.5], [0.5, t]], w[:2]),
    "solve of an object array": lambda s, t, w: np.linalg.solve(np.array([[s, 0.5], [0.5, t]]), w[:2]),
    "solve of a diagonal": lambda s, t, w: np.linalg.solve(np.diag([s, t]), w[:2]),
    "stack": lambda s, t, v: np.stack([v, [s, 0.5, t]]),
    "stack of an object array": lambda s, t, v: np.stack([v, np.array([s, 0.5, t])]),
    "vstack": lambda s, t, v: np.vstack([v, [s, 0.5, t], [1.0, 2.0, 3.0]]),
    "hstack": lambda s, t, v: np.hstack([v, [s, 0.5, t], s, 2.0]),
    "hstack of numbers": lambda s, t: np.hstack([s, 0.5, t]),
    "column_stack": lambda s, t, v: np.column_stack([v, [s, 0.5, t]]),
    "dot": lambda s, t, v: np.dot([[s, 0.5, t], [1.0, 2.0, s]], v),
    "block": lambda s, t: np.linalg.det(np.block([[s, 0.5], [0.5, t]])),
    "block of a list": lambda s, t: np.block([s, 0.5, t]),
    "array like": lambda s, t, v: np.linalg.det(np.array([[s, 0.5], [0.5, t]], like=v)),
    "array of rows like": lambda s, t, v: np.array([v, [s, 0.5, t]], like=v),
    "ufunc": lambda s, t, v: np.add([s, 0.5, t], v),
    "operator": lambda s, t, v: v * [s, 0.5, t],
    "reflected operator": lambda s, t, v: [s, 0.5, t] - v,
    "product": lambda s, t, v: [[s, 0.5, t]] @ v,
    "where": lambda s, t, v: np.where(v > 0.0, [s, 1.0, t], [0.0, s, 2.0]),
    "select": lambda s, t, v: np.select([v > 0.0, [True, False, True]], [[s, 1.0, t], v], t),
    "interp": lambda s, v: np.interp(v, [0.0, 1.0, 2.0], [s, 1.0, 2.0]),
    "multi_dot": lambda s, t, m, v: np.linalg.multi_dot([[[s, t]], m, v]),
    "assignment": lambda s, t, v: assigned(v, [s, t]),
    "weights": lambda s, t, v: np.average(v, weights=[abs(s), 0.5, t]),
    "diagonal, then a product": lambda s, t, w: np.diag([s, t]) @ w[:2],
    "stack, then a product": lambda s, t, w: np.stack([[s, 0.5], [0.5, t]]) @ w[:2],
}


def assigned(v, values):
    v[:2] = values
    return v


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_traced_and_plain_numbers(name):
    tape = check(LISTS[name], rtol=1e-12)
    assert len(tape.tape.entries) < 45


def test_interpolation_has_a_slope_at_its_points():
    """Between two pieces of one line it is theirs; at a corner that of the piece to the right."""
    line, corner = np.linspace(-2.0, 2.0, 5), np.array([0.0, 1.0, 3.0])
    straight = tg.trace(lambda v: np.interp(v, line, 0.1 * line).sum(), dict(v=np.zeros(3)))
    assert straight.grad(dict(v=np.array([-1.0, 0.0, 1.0])))["v"] == pytest.approx([0.1, 0.1, 0.1])
    bent = tg.trace(lambda s, y: np.interp(s, [0.0, 1.0, 2.0], y), dict(s=0.5, y=corner))
    assert bent.grad(dict(s=1.0, y=corner))["s"] == 2.0
    assert bent.grad(dict(s=1.0, y=corner))["y"] == pytest.approx([0.0, 1.0, 0.0])
    infinite = np.array([0.0, 1.0, np.inf])
    told = tg.trace(lambda s: np.interp(s, [0.0, 1.0, 2.0], infinite), dict(s=0.5))
    assert told(dict(s=1.0)) == 1.0


# pandas -----------------------------------------------------------------------------------------------------


def test_pandas_objects_inside_the_function():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(dict(y=[0.5, 1.5, -0.3], x=[1, 0, 2]), index=[3, 1, 2])
    check(lambda s: ((frame["y"] - s) ** 2).sum())
    check(lambda s: ((s - frame["y"]) / s * frame["x"]).sum())
    check(lambda s: np.multiply(frame["y"], s).sum() + np.where(frame["x"] > 0, s, frame["y"]).sum())
    check(lambda v: (v * frame["y"] + frame.y**2).sum())
    check(lambda s, t: (frame[["y", "x"]].to_numpy() @ np.stack([s, t])).sum())
    check(lambda s, t: (frame @ np.stack([s, t])).sum())
    check(lambda v: v[frame["x"]] + v[frame["x"].to_numpy()])
    tape = tg.trace(lambda s: ((frame["y"].to_numpy() - s) ** 2).sum(), dict(s=0.1))
    assert len(tape.tape.entries) == 3


def test_a_pandas_column_is_one_array_on_the_tape():
    pd = pytest.importorskip("pandas")
    y = pd.Series([0.5, 1.5, -0.3], name="y")
    tape = tg.trace(lambda s: ((y - s) ** 2).sum(), dict(s=0.1))
    assert [entry.op.name for entry in tape.tape.entries] == ["sub", "square", "sum"]
    assert "data y[3]" in str(tape)


# Views and writes at random ---------------------------------------------------------------------------------

VIEWS = (
    lambda x: x[1:],
    lambda x: x[::-1],
    lambda x: x[..., :2],
    lambda x: x[::2],
    lambda x: x.T,
    lambda x: x.reshape(-1),
    lambda x: x.reshape(2, -1) if x.size % 2 == 0 else x.ravel(),
    lambda x: x[None],
    lambda x: x[0] if x.ndim > 1 and x.shape[0] else x[:1],
    lambda x: np.squeeze(x),
    lambda x: x.diagonal() if x.ndim > 1 else x,
    lambda x: np.broadcast_to(x, (2, *x.shape)) if x.ndim < 3 else x,
    lambda x: np.flip(x),
    lambda x: np.swapaxes(x, 0, -1) if x.ndim else x,
    lambda x: x,
    lambda x: np.asarray(x),
    lambda x: np.ravel(x),
    lambda x: np.einsum("ij->ji", x) if x.ndim == 2 else x,
    lambda x: np.einsum("ii->i", x[:2, :2]) if x.ndim == 2 and min(x.shape) > 1 else x,
    lambda x: np.rot90(x) if x.ndim > 1 else x,
    lambda x: np.array_split(x, 2)[0] if x.ndim else x,
    lambda x: np.diag(x) if x.ndim == 2 else x,
)
COPIES = (
    lambda x: x + 0.0,
    lambda x: x.copy(),
    lambda x: x.flatten(),
    lambda x: +x,
    lambda x: x.astype(x.dtype),
    lambda x: x[np.arange(len(x))] if x.ndim else x * 1.0,
    lambda x: np.zeros_like(x),
    lambda x: x.T * 2.0,
    lambda x: np.array(x),
    lambda x: np.clip(x, None, None),
)


def write(x, y, how, c):
    try:
        np.shape(x)[0]
        x[:0] = 0.0
    except ValueError:
        return  # a view that is read-only
    except IndexError:
        pass
    value = y if np.ndim(y) == 0 or np.shape(y) == np.shape(x) else c
    if how == 0:
        x[...] = value
    elif how == 1 and np.ndim(x):
        x[-1:] = c
    elif how == 2 and np.ndim(x):
        x[np.arange(0, np.shape(x)[0], 2)] *= c
    elif how == 3 and np.ndim(x) > 1 and len(x):
        x[0] += x[-1] * c
    elif how == 4 and np.ndim(x):
        x[x > c] = c
    elif how == 5 and np.ndim(x):
        x *= c
    elif how == 6 and np.ndim(x):
        x -= value


def scribble(m, steps):
    """Make views and copies of `m`, and write into some of them."""
    arrays = [m]
    for kind, i, j, c in steps:
        x, y = arrays[i % len(arrays)], arrays[j % len(arrays)]
        if kind == "view":
            if np.ndim(x):
                arrays.append(VIEWS[j % len(VIEWS)](x))
        elif kind == "copy":
            if np.ndim(x):
                arrays.append(COPIES[j % len(COPIES)](x))
        else:
            write(x, y, j % 7, c)
    return [1.0 * x for x in arrays]


STEP = st.tuples(
    st.sampled_from(["view", "view", "write", "write", "copy"]),
    st.integers(0, 20),
    st.integers(0, 20),
    st.floats(-2.0, 2.0).map(lambda c: round(c, 2)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=12))
def test_views_and_writes_at_random(steps):
    check(lambda m: scribble(m, steps))


SHAPE = (2, 3, 2)
MIXED = st.tuples(
    st.one_of(st.integers(-2, 1), st.just(slice(None)), st.lists(st.integers(-2, 1), min_size=1, max_size=3)),
    st.one_of(st.just(Ellipsis), st.just(None), st.slices(3), npst.arrays(bool, 3)),
    st.one_of(st.integers(-2, 1), st.slices(2), st.just([1, 0]).map(np.array)),
)
INDEX = st.one_of(
    npst.basic_indices(SHAPE, allow_newaxis=True, allow_ellipsis=True),
    npst.integer_array_indices(SHAPE),
    npst.arrays(bool, SHAPE),
    npst.arrays(bool, SHAPE[:2]),
    MIXED,
)


@settings(max_examples=300, deadline=None)
@given(INDEX)
def test_indices_at_random(index):
    def fits(shape):
        try:
            return np.zeros(shape)[index] is not None
        except IndexError:
            return False

    def read(c):
        return c[index] * 2.0

    def written(c, s):
        c[index] = s
        return c

    def moved(c):
        part = c[index]
        part += 1.0
        return c, part

    assume(fits(SHAPE))
    check(read)
    check(moved)
    places = np.arange(12).reshape(SHAPE)[index]
    if np.unique(places).size == np.size(places):
        check(written)


# What the tape holds ----------------------------------------------------------------------------------------


def ops(f, *params):
    return [entry.op.name for entry in tg.trace(f, list(params)).tape.entries]


def test_plain_steps_record_no_more_than_they_must():
    v = np.ones(3)
    assert ops(lambda theta: theta[0] + 1.0, 2.0) == ["add"]
    assert ops(lambda theta: (theta[0] > 0.5).sum() * theta[1], v, 1.0) == [
        "greater",
        "to_float",
        "sum",
        "to_int",
        "to_float",
        "mul",
    ]
    assert ops(lambda theta: theta[0].reshape(3).T, v) == []

    def slices(theta):
        theta[0][:2] += 1.0
        return theta[0]

    assert ops(slices, v) == ["getitem", "add", "update"]

    def masked(theta):
        theta[0][theta[0] < 0.0] = 0.0
        return theta[0]

    tape = tg.trace(masked, [v])
    assert [entry.op.name for entry in tape.tape.entries] == ["less", "where"]
    assert not tape.tape.guards


def test_sorting_and_argsort_need_no_guard():
    tape = tg.trace(lambda u: u[np.argsort(u)] @ np.sort(u * 2.0), dict(u=np.array([3.0, 1.0, 2.0])))
    assert not tape.tape.guards
    assert tape([1.0, -2.0, 0.5]) == pytest.approx(2.0 * (1.0 + 4.0 + 0.25))
    np.testing.assert_allclose(tape.grad([1.0, -2.0, 0.5])["u"], [4.0, -8.0, 2.0])
    assert tape.retraces == 0


def test_float32_data_are_float64_on_the_tape():
    x = np.array([0.1, 0.2], dtype=np.float32)
    tape = tg.trace(lambda s, y: (s * np.log(y)).sum(), dict(s=1.0), data=dict(y=x))
    assert tape([2.0]) == 2.0 * np.log(x.astype(float)).sum()
    small = np.array([200, 100], dtype=np.uint8)
    tape = tg.trace(lambda s, n: s * (n + n).sum(), dict(s=1.0), data=dict(n=small))
    assert tape([1.0]) == 600.0


# A single truth value as an index: all or nothing, with one more axis ---------------------------------------


@pytest.mark.parametrize("index", [True, False, np.bool_(True), np.bool_(False)])
def test_a_truth_value_takes_all_or_nothing(index):
    x = np.array([0.3, 0.5])
    found = tg.trace(lambda v: v[index] * 2.0, x)
    np.testing.assert_array_equal(found(x), x[index] * 2.0)
    assert found(x).shape == x[index].shape

    def written(v):
        y, z = v * 1.0, np.full_like(v[0], 7.0)
        y[index] = v[0] * 3.0
        taken = v * 1.0
        taken[index][...] = 0.0  # of a copy
        z[v[0] < 1.0] = np.log(v[1][v[1] > 0.0])  # a traced truth value, and what is 0-d in NumPy
        return np.append(y * taken, z)

    np.testing.assert_array_equal(tg.trace(written, x)(x * 1.1), written(x * 1.1))
