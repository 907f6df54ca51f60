"""Arrays that the function makes by np.zeros and the like, and fills with traced values."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from against_plain import DATA, MASK, check
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.recording.buffers import Buffer
from tapegrad.testing import check_grads

pytestmark = pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")

PROGRAMS = []


def program(f):
    PROGRAMS.append(pytest.param(f, id=f.__name__))
    return f


@program
def elements(v):
    b = np.zeros(4)
    b[0], b[-1] = v[0], v[1] * 2.0
    b[1] = 7.0
    return b, b.sum(), b[0] * b[3], b @ np.arange(4.0), len(b), float(b[2:3].size)


@program
def slices_masks_and_lists(v, w):
    b = np.ones(3)
    b[MASK] = v[MASK]
    b[[1]] = w[0]
    c = np.full(6, 0.5)
    c[::2] = v
    c[v.shape[0] :] += w
    return b, c, np.where(c > 0.0, c, -c)


@program
def a_mask_of_traced_values(v):
    b = np.zeros(3)
    b[v > 0.5] = 1.0
    c = np.copy(DATA)
    c[c > 1.0] = v[0]
    return b * v, c


@program
def in_place(v, w):
    b = np.zeros(3)
    for x in DATA:
        b += x * v
    b[1] *= w[0]
    b -= 1.0
    b /= 2.0
    b **= 2
    return b


@program
def rows_of_a_matrix(m):
    b = np.empty((2, 3))
    rows = [b[0], b[1]]
    b[0] = m[0]
    rows[1][:] = m[1] * 2.0
    b[1, 2] += m[0, 0]
    return b, rows[0], rows[1], b.T @ b


@program
def views_taken_before_and_after(v):
    b = np.zeros((3, 3))
    before = [b.T, b.reshape(-1), b[::-1], b[1], np.ravel(b), np.einsum("ii->i", b), b[:, 2]]
    np.einsum("ii->i", b)[...] = v
    b.T[0, 1] = v[0]
    before[2][0, 0] = 5.0
    after = [b.T, b.reshape(-1), b[::-1], b[1], b[:, 2]]
    after[1][7] = v[2] * v[1]
    return [np.exp(x) for x in before + after], b.copy()


@program
def copies_stay_as_they_were(v):
    b = np.zeros(3)
    first = b.copy()
    b[0] = v[0]
    second = np.copy(b)
    b[1] = v[1]
    first[2] = v[2]
    return b, first, second, copy.copy(b), copy.deepcopy(b)


@program
def buffers_of_computed_numbers(v):
    b = np.zeros(3) + DATA
    b[0] = v[0]
    c = -np.inf * np.ones(3)
    c[:] = v
    d = np.concatenate([np.zeros(1), np.ones(2)])
    d[1] = v[1]
    return b, c, d


@program
def like_plain_arrays(v):
    made = [np.zeros_like(DATA), np.ones_like(DATA), np.empty_like(DATA), np.full_like(DATA, 2.0)]
    for i, b in enumerate(made):
        b[i % 3 :] = v[i % 3 :]
    made[2][:2] = 0.0
    return made


@program
def of_plain_numbers(v):
    a, b, c, d = np.array([1.0, 2.0, 3.0]), np.array(DATA), np.asarray([[1.0], [2.0]]), np.eye(3)
    a[1], b[2], c[0, 0] = v[0], v[1], v[2]
    d[np.tril_indices(3, -1)] = v
    return a, b, c, d @ d.T, np.linalg.slogdet(d)[1]


@program
def filled(v):
    b, c = np.zeros(3), np.zeros((2, 2))
    b.fill(v[0])
    np.copyto(c[0], v[:2])
    np.fill_diagonal(c, v[2])
    return b, c


@program
def full_of_a_traced_number(v):
    a, b = np.full(3, v[0]), np.full_like(DATA, v[1])
    a[0] = b[1] = 1.0
    return a, b, np.full((2, 2), v[2])


@program
def results_by_out(v, w):
    b, c = np.empty(3), np.zeros(3)
    same = np.exp(v, out=b)
    np.multiply(b, w, out=b)
    np.add(b[:2], 1.0, out=c[1:])
    return b, c, same


@program
def functions_and_operators(v):
    b = np.zeros(3)
    b[1:] = v[1:]
    found = [v + b, b + v, b * 2.0, 2.0 * b, -b, abs(b), b**2, 3.0**b, b @ v, v @ b, b > v, b == v]
    return found, np.sum(b), np.dot(b, v), np.stack([b, v]), np.where(b > 0.0, b, v), np.outer(b, v)


@program
def methods(v):
    b = np.zeros((3, 1))
    b[:, 0] = v
    found = [b.sum(axis=0), b.mean(), b.max(), b.std(), b.T, b.ravel(), b.reshape(1, 3), b.flatten()]
    return found, b.dot(v[:1]), b.cumsum(), b.squeeze(), b.astype(float), b.clip(0.0, 1.0), b[0].item()


@program
def of_one_element(v):
    b = np.zeros(())
    b[()] = v[0]
    b += v[1]
    return b * 2.0


@program
def lists_of_traced_numbers(v):
    b = np.zeros((2, 2))
    b[0] = [v[0], 1.0]
    b[1] = [2.0, v[1]]
    return b, np.linalg.det(b), [np.asarray(b), np.array(b), np.asarray(b, dtype=float)]


@program
def by_columns(v):
    b = np.zeros((3, 2), order="F")
    b[:, 1] = v
    b.T[0] = v * 2.0
    return b, b.ravel(), b.ravel("F") if isinstance(b.base, int) else b.sum()


@program
def a_test_of_a_class(v):
    b = np.zeros(3)
    assert isinstance(b, np.ndarray)
    assert b.dtype == np.float64
    b[0] = v[0]
    assert isinstance(b, np.ndarray)
    return b


@program
def decisions(v):
    b = np.zeros(3)
    b[:] = v
    return (b * 2.0 if b[0] > 0.0 else b), (1.0 if 7.0 in b else 0.0), [x * 2.0 for x in b]


@program
def counts_stay_plain(v):
    n, mask = np.zeros(3, dtype=int), np.zeros(3, dtype=bool)
    n[1] = 2
    mask[0] = v[0] > 100.0
    return v[n], v[~mask]


@pytest.mark.parametrize("f", PROGRAMS)
def test_as_with_numpy(f):
    check(f)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["view", "copy", "write", "plain", "add", "read"]),
        st.integers(0, 7),
        st.integers(0, 6),
        st.floats(-2.0, 2.0),
    ),
    max_size=9,
)
VIEWS = [
    lambda x: x[::2],
    lambda x: x.T,
    lambda x: x.reshape(-1),
    lambda x: x[-1:],
    lambda x: np.ravel(x),
    lambda x: x[..., ::-1],
    lambda x: x[None],
]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(STEPS)
def test_views_and_writes_at_random(steps):
    def f(v):
        arrays = [np.zeros((2, 3)), np.ones(4)]
        for kind, which, view, number in steps:
            x = arrays[which % len(arrays)]
            if kind == "view":
                arrays.append(VIEWS[view](x))
            elif kind == "copy":
                arrays.append(x.copy())
            elif kind == "write":
                x[..., :1] = v[view % 3] * number
            elif kind == "plain":
                x[...] = number
            elif kind == "add":
                x += number * v[0]
            else:
                arrays.append(x * 2.0)
        return arrays

    check(f)


def test_a_loop_that_fills_a_buffer_becomes_array_code():
    y = np.random.default_rng(0).normal(size=500)

    def garch(omega, alpha, beta):
        h = np.zeros(len(y))
        h[0] = y.var()
        for t in range(1, len(y)):
            h[t] = omega + alpha * y[t - 1] ** 2 + beta * h[t - 1]
        return -0.5 * np.sum(np.log(h) + y**2 / h)

    start = dict(omega=0.1, alpha=0.1, beta=0.8)
    traced = tg.trace(garch, start)
    check_grads(garch, start)
    assert len(traced.plan.tape.entries) <= 40


def test_results_are_plain_arrays_after_the_trace():
    kept = []

    def f(v):
        b = np.zeros(3)
        kept.append(b)
        c = np.zeros(3)
        c[0] = v[0]
        return c, b

    traced = tg.trace(f, np.ones(3))
    assert [type(x) for x in traced(np.ones(3))] == [np.ndarray, np.ndarray]
    plain = kept[0]
    assert isinstance(plain, Buffer)
    assert type(plain + 1.0) is np.ndarray
    plain[0] = 3.0
    assert plain.sum() == 3.0
    assert type(np.sort(plain)) is np.ndarray


def test_a_buffer_that_was_kept_becomes_plain():
    kept = []

    def f(v):
        if not kept:
            kept.append(np.zeros(3))
        kept[0][0] = v[0]
        return (kept[0] ** 2).sum()

    traced = tg.trace(f, np.array([0.3]))
    assert type(kept[0]) is np.ndarray
    np.testing.assert_allclose(traced.grad(np.array([0.7])), [1.4])


def test_a_buffer_that_adds_up_is_refused():
    kept = []

    def f(v):
        if not kept:
            kept.append(np.zeros(3))
        kept[0][0] += v[0]
        return kept[0].sum()

    with pytest.raises((tg.TraceError, tg.ReplayError), match="test_buffers"):
        tg.trace(f, np.array([0.3]))


def test_memory_that_compiled_code_reads_holds_no_number_of_one_call():
    def f(v):
        b = np.zeros(3)
        hidden = memoryview(b)
        b[:] = v
        return v.sum() + sum(hidden)

    with pytest.raises(tg.ReplayError, match="replaying f gives nan"):
        tg.trace(f, np.ones(3))


def test_plain_views_of_a_traced_buffer_are_found():
    def f(v):
        b = np.zeros(3)
        plain = b.view(np.ndarray)[1:]
        b[:] = v
        return plain * v[0] if hasattr(v, "recorder") else b[1:] * v[0]

    check(f)


def test_buffers_of_traces_inside_traces():
    def f(v):
        b = np.zeros(2)
        b[0] = v[0]
        inner = tg.trace(lambda w: _filled(w).sum(), np.ones(2))
        return b.sum() + inner(v)

    v = np.array([0.5, 2.0])
    traced = tg.trace(f, v)
    assert traced(v) == 2.5
    np.testing.assert_allclose(traced.grad(v), [3.0, 0.5])


def _filled(w):
    b = np.ones(2)
    b[1] = w[0] * w[1]
    return b
