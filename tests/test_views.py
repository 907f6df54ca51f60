"""Views and copies: what is written into one array shows in another where it does in NumPy, and only there.

Every function of `tapegrad.ops.NUMPY` is tried, and every method and form beside them, on arrays in several
memory layouts: the layout decides whether NumPy gives a view.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import warnings

import numpy as np
import pytest
from against_plain import MASK, arguments, check, leaves
from test_numpy_functions import ROWS

import tapegrad as tg

pytestmark = pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")

LAYOUTS = {
    "rows": lambda a: a,
    "columns": lambda a: (a.T * 1.0).T,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: (a[::-1] * 1.0)[::-1],
}

FORMS = {
    "T": lambda m: m.T,
    "mT": lambda c: c.mT,
    "real": lambda m: m.real,
    "conj": lambda m: m.conj(),
    "conjugate": lambda m: m.conjugate(),
    "+": lambda m: +m,
    "copy": lambda m: m.copy(),
    "copy K": lambda m: m.copy("K"),
    "copy.copy": lambda m: copy.copy(m),
    "astype": lambda m: m.astype(float),
    "astype without a copy": lambda m: m.astype(float, copy=False),
    "reshape": lambda m: m.reshape(3, 2),
    "reshape to itself": lambda m: m.reshape(2, 3),
    "reshape of the transpose": lambda m: m.T.reshape(-1),
    "reshape of a column": lambda m: m[:, :1].reshape(-1),
    "ravel": lambda m: m.ravel(),
    "ravel of the transpose": lambda m: m.T.ravel(),
    "flatten": lambda m: m.flatten(),
    "squeeze": lambda v: v[:, None].squeeze(),
    "squeeze to a number": lambda v: v[:1].squeeze(),
    "swapaxes": lambda c: c.swapaxes(0, 2),
    "transpose": lambda c: c.transpose(1, 0, 2),
    "diagonal": lambda q: q.diagonal(),
    "round": lambda m: m.round(1),
    "clip": lambda m: m.clip(-0.5, 0.5),
    "clip of nothing": lambda m: np.clip(m, None, None),
    "take": lambda m: m.take([0, 1], axis=0),
    "repeat": lambda v: v.repeat(1),
    "all": lambda m: m[...],
    "slice": lambda m: m[1:],
    "slice backwards": lambda m: m[::-1, 1:],
    "row": lambda m: m[1],
    "element": lambda v: v[1],
    "element as a view": lambda v: v[1, ...],
    "integers": lambda m: m[[0, 1]],
    "mask": lambda v: v[MASK],
    "rows one by one": lambda m: list(m),
    "einsum ii->i": lambda q: np.einsum("ii->i", q),
    "einsum ij->ji": lambda m: np.einsum("ij->ji", m),
    "einsum ij->ij": lambda m: np.einsum("ij->ij", m),
    "einsum ij": lambda m: np.einsum("ij", m),
    "einsum ii": lambda q: np.einsum("ii", q),
    "einsum iij->ij": lambda q: np.einsum("iij->ij", q[None, :1, :]),
    "einsum iji->ij": lambda c: np.einsum("iji->ij", c),
    "reshape of a diagonal": lambda c: np.einsum("iji->ij", c).reshape(-1),
    "einsum of two": lambda m, n: np.einsum("ij,ji->ij", m, n),
    "broadcast_arrays of one shape": lambda v, w: np.broadcast_arrays(v, w),
    "sum along no axis": lambda m: m.sum(axis=()),
    "sort": lambda v: np.sort(v),
    "asarray": lambda m: np.asarray(m),
    "asarray of a view": lambda m: np.asarray(m.T[1:]),
    "asarray of a copy": lambda m: np.asarray(m.T.reshape(-1)),
    "asarray of what cannot be written to": lambda q: np.asarray(np.diagonal(q)),
    "asanyarray": lambda m: np.asanyarray(m),
    "ascontiguousarray": lambda m: np.ascontiguousarray(m[:, ::2]),
    "atleast_1d of asarray": lambda v: np.atleast_1d(np.asarray(v)),
    "array": lambda m: np.array(m),
    "array copy=None": lambda m: np.array(m, copy=None),
    "asarray like": lambda m: np.asarray(m, like=m),
    "asarray of a dtype like": lambda m: np.asarray(m, dtype=float, like=m),
    "array of a dtype like": lambda m: np.array(m, dtype=float, like=m),
    "array like": lambda m: np.array(m, like=m),
    "concatenate of one": lambda v: np.concatenate([v]),
    "nan_to_num": lambda v: np.nan_to_num(v),
    "iterating over rows of asarray": lambda m: [np.asarray(row) for row in m],
    "array copy=None like": lambda m: np.array(m, copy=None, like=m),
    "copy of asarray": lambda m: np.asarray(m).copy(),
}


def written(f, layout):
    """`f`, with writing into its arguments and into its results, which shows in the others or does not."""

    def program(**given):
        given = {name: layout(x) if np.ndim(x) else x for name, x in given.items()}
        results = leaves(f(**given))
        for x in given.values():
            if np.ndim(x):
                x *= 0.5
        before = [1.0 * x for x in results]
        for x in results:
            if np.ndim(x):
                # Whole numbers do not take it, nor do views that are read-only.
                with contextlib.suppress(TypeError, ValueError, DeprecationWarning):
                    x += 1.0
        return before, results, list(given.values())

    program.__signature__ = inspect.signature(f)
    return program


def cases():
    rows = {f"{func.__name__} {i}": f for func, found in ROWS.items() for i, f in enumerate(found)}
    for name, f in {**rows, **FORMS}.items():
        yield pytest.param(f, id=name)


@pytest.mark.parametrize("f", [*cases()])
def test_writing_shows_where_it_does_in_numpy(f):
    for layout in LAYOUTS.values():
        check(written(f, layout))


@pytest.mark.parametrize("f", [*cases()])
def test_layouts_are_those_of_numpy(f):
    for layout in LAYOUTS.values():
        found = []

        def program(layout=layout, found=found, **given):
            given = {name: layout(x) if np.ndim(x) else x for name, x in given.items()}
            result = f(**given)
            found.append([x.plain() if hasattr(x, "plain") else x for x in leaves(result)])
            return result

        tg.trace(program, arguments(f)[0])
        for traced, plain in zip(*found[:2], strict=True):
            traced, plain = np.asarray(traced), np.asarray(plain)
            if plain.ndim > 1 and traced.dtype != object:
                assert traced.flags.c_contiguous == plain.flags.c_contiguous
                assert traced.flags.f_contiguous == plain.flags.f_contiguous


def test_arrays_without_dimensions_are_views():
    def squeezed(v):
        x = v[:1].squeeze()
        x += 1.0
        v[0] *= 2.0
        return x, v

    def indexed(v):
        x = v[1, ...]
        v[1] = 5.0
        x *= 2.0
        return x, v

    check(squeezed)
    check(indexed)


# What a trace at one place does not show: nothing is masked there, and it is elsewhere ----------------------


def masked_elsewhere(f, here, there):
    tape = tg.trace(f, np.array(here))
    assert tape(np.array(there)) == f(np.array(there))
    assert tape.retraces == 0
    return tape(np.array(there))


def test_a_diagonal_by_einsum_is_a_view():
    def f(M):
        d = np.einsum("ii->i", M)
        M[M > 2.0] = 2.0
        return (d**2).sum()

    assert masked_elsewhere(f, [[1.0, 0.0], [0.0, 1.0]], [[5.0, 0.0], [0.0, 7.0]]) == 8.0


def test_clip_without_bounds_is_a_copy():
    def f(x):
        y = np.clip(x, None, None)
        y[y < 0.0] = 0.0
        return x.sum()

    assert masked_elsewhere(f, [1.0, 2.0], [1.0, -2.0]) == -1.0


@pytest.mark.parametrize("array", [np.asarray, lambda x: np.array(x, copy=None), np.ascontiguousarray])
def test_asarray_is_a_view(array):
    def f(x):
        y = array(x)
        x[x < 0.0] = 0.0
        return y[::-1].sum()

    assert masked_elsewhere(f, [1.0, 2.0], [1.0, -2.0]) == 1.0


def test_array_is_a_copy():
    def f(x):
        y = np.array(x)
        x[x < 0.0] = 0.0
        return y[::-1].sum()

    assert masked_elsewhere(f, [1.0, 2.0], [1.0, -2.0]) == -1.0


# Plain arrays in the memory of traced ones ------------------------------------------------------------------


def writes_both_ways(v):
    y = np.asarray(v)
    y[0] = 5.0
    y[1] *= 3.0
    z = v * 2.0
    v[2] = 7.0
    y[0] += 1.0
    return v, z, y.sum(), y[2]


def parts_share_the_whole(m):
    whole, part = np.asarray(m), np.asarray(m.T[1:])
    whole[0, 1] = 4.0
    first = part[0, 0] * 1.0
    part[1, 0] = 8.0
    m[1] = 0.5
    return first, whole[0, 2] * 1.0, part[0, 1] * 1.0, m


def truth_values(v):
    k = v > 0.0
    j = np.asarray(k)
    k[0] = True
    count = j.sum()
    j[1] = True
    return 1.0 * count, k * v


@pytest.mark.parametrize("f", [writes_both_ways, parts_share_the_whole, truth_values])
def test_plain_arrays_share_memory(f):
    check(f)


def test_part_of_a_large_array_cannot_be_written_to_as_a_plain_one():
    def f(x):
        y = np.asarray(x[:3])
        x[0] = 2.0
        seen = y.sum()
        with pytest.raises(ValueError, match="read-only") if y.dtype == object else warnings.catch_warnings():
            y[0] = 2.0
        return seen * x.sum()

    tape = tg.trace(f, np.ones(10_001))
    assert tape(np.ones(10_001)) == 4.0 * 10_002


def test_a_plain_array_that_nobody_holds_is_forgotten():
    seen, as_array = [], np.asarray  # by a name of its own, which no stand-in reaches

    def f(x):
        as_array(x).sum()
        total = x.sum()
        seen.append(getattr(x, "recorder", None) and len(x.recorder.handouts._all))
        return total

    tg.trace(f, np.ones(3))
    assert seen[0] == 0


@pytest.mark.parametrize("shape", [(8,), (2, 4), (2, 2, 2)])
def test_a_plain_array_that_is_sorted_in_place_is_left_alone_while_numpy_works_on_it(shape):
    """Comparisons ask traced numbers in the midst of it: objects put into the array then would be lost."""
    weights, as_array = np.arange(8.0).reshape(shape), np.asarray

    def f(v):
        x = v.reshape(shape) * 2.0
        y = as_array(x)
        held = list(y.flat)
        y.sort()
        assert y.dtype != object or {id(item) for item in held} == {id(item) for item in y.flat}
        return (x * weights).sum() + (y * weights).sum()

    start = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 0.5, 9.0, 7.0])
    order = np.argsort(start.reshape(shape), axis=-1)
    slope = np.zeros(shape)
    np.put_along_axis(slope, order, 4.0 * weights, axis=-1)
    tape = tg.trace(f, start)
    assert tape(start) == 4.0 * (np.sort(start.reshape(shape)) * weights).sum()
    assert np.array_equal(tape.grad(start), slope.ravel())


def test_ravel_in_the_order_of_memory():
    def f(m):
        rows = m * 1.0
        first, second = np.ravel(rows, order="K"), rows[:, ::2].ravel("A")
        first[0] = 5.0
        return rows, first * np.arange(6.0), second, rows.flatten("K")

    check(f)


@pytest.mark.parametrize("order", ["K", "A", "F"])
def test_by_columns(order):
    """What is a view in NumPy is one here: writing to it shows where it shows there."""

    def f(m, q):
        a, b = m.T.copy().T, np.asfortranarray(q.copy()) if order == "F" else q.T.copy().T
        first, second = a.ravel(order), m.ravel(order)
        first[0], second[1] = 5.0, 7.0
        third = b.reshape((9,), order="A" if order == "K" else order)
        third[2] = 9.0
        return a, m, b, first, second, third, np.reshape(m, (3, 2), order="F") * 1.0

    check(f)
