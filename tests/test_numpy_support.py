"""The page on NumPy's functions: complete for the installed NumPy, and true."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from against_plain import check
from test_numpy_functions import BY_NAME, ROWS, UFUNCS

import tapegrad as tg
from tapegrad.ops import NUMPY, Op
from tapegrad.recording import decisions

pytestmark = pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")

PAGE = Path(__file__).parents[1] / "docs" / "numpy-support.md"


def _tool() -> Any:
    spec = importlib.util.spec_from_file_location("numpy_support", PAGE.with_name("numpy_support.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


support = _tool()


def test_every_function_is_decided_once():
    rows = support.rows()
    assert not [row.name for row in rows if not row.kind]
    said = [*map(str.split, (decisions.PIECEWISE_CONSTANT, decisions.FACTS, decisions.STAND_INS))]
    said += [*map(str.split, (decisions.PLAIN, decisions.CALLING_OTHERS, *decisions.REFUSED.values()))]
    names = [name for part in said for name in part]
    assert sorted(names) == sorted(set(names))
    assert not [name for name in decisions.PLAIN.split() if decisions.find(name) in NUMPY]
    refused = [row.name for row in rows if row.kind == support.REFUSED]
    assert not [name for name in refused if support.is_computed(decisions.find(name))]


def test_every_class_method_and_attribute_is_decided():
    assert [name for name in support.classes() if name not in decisions.CLASSES] == []
    assert [row.name for row in support.attributes() if not row.kind] == []


def test_the_page_is_the_one_that_the_code_makes():
    version = ".".join(np.__version__.split(".")[:2])
    text = PAGE.read_text(encoding="utf-8")
    if f"every function of NumPy {version} what" not in text:
        pytest.skip("the page is about another NumPy")
    assert text == support.page(), "run python docs/numpy_support.py"


def test_every_row_that_is_supported_is_tested():
    tested = {*ROWS, *BY_NAME, *(param.values[0] for param in UFUNCS), *OTHERWISE}
    tested.add(np.matmul)  # in the table of ops
    kinds = (support.DIFFERENTIABLE, support.CONSTANT, support.FACT, support.STAND_IN)
    rows = [row.name for row in support.rows() if row.kind in kinds]
    rows = [name for name in rows if name not in decisions.CALLING_OTHERS.split()]
    assert [name for name in rows if decisions.find(name) not in tested] == []


# Functions that no rule computes: they write, make arrays, find indices, or call others.


def _written(write: Any) -> Any:
    def f(u: Any, v: Any, s: Any) -> Any:
        x = u.copy()
        write(x, v, s)
        return x

    return f


def _into_rows(write: Any) -> Any:
    def f(m: Any, v: Any, s: Any) -> Any:
        write(m, v, s)
        return m

    return f


OTHERWISE: dict[Any, list[Any]] = {
    np.put: [
        _written(lambda x, v, s: np.put(x, [0, 0, 2], v)),
        _written(lambda x, v, s: np.put(x, [3, 1], s)),
    ],
    np.place: [_written(lambda x, v, s: np.place(x, x > 0.5, v))],
    np.putmask: [
        _written(lambda x, v, s: np.putmask(x, x > 0.5, s)),
        _written(lambda x, v, s: np.putmask(x, [True, False, True, True, False], v)),
    ],
    np.put_along_axis: [_into_rows(lambda m, v, s: np.put_along_axis(m, np.array([[1], [2]]), s, axis=1))],
    np.copyto: [
        _into_rows(lambda m, v, s: np.copyto(m, v, where=m > 0.0)),
        _into_rows(lambda m, v, s: np.copyto(m, v)),
    ],
    np.fill_diagonal: [
        _into_rows(lambda m, v, s: np.fill_diagonal(m, v[:2])),
        _into_rows(lambda m, v, s: np.fill_diagonal(m, s)),
    ],
    np.nonzero: [lambda u: u[np.nonzero(u > 0.5)].sum()],
    np.flatnonzero: [lambda u: u[np.flatnonzero(u > 0.5)].sum()],
    np.argwhere: [lambda u: u[np.argwhere(u > 0.5)].sum()],
    np.zeros_like: [lambda v: np.zeros_like(v) + v],
    np.ones_like: [lambda v: np.ones_like(v) + v],
    np.empty_like: [lambda v: np.empty_like(v) * 0.0 + v],
    np.full_like: [lambda v, s: np.full_like(v, s)],
    np.copy: [lambda v: np.copy(v) * 2.0],
    np.array: [lambda v: np.array(v, like=v), lambda s, t: np.array([s, t]) * 2.0],
    np.asarray: [lambda v: np.asarray(v) * 2.0],
    np.asanyarray: [lambda v: np.asanyarray(v) * 2.0],
    np.asarray_chkfinite: [lambda v: np.asarray_chkfinite(v) * 2.0],
    np.ascontiguousarray: [lambda v: np.ascontiguousarray(v) * 2.0],
    np.asfortranarray: [lambda v: np.asfortranarray(v) * 2.0],
    np.require: [lambda v: np.require(v) * 2.0],
    np.zeros: [lambda v: np.zeros(3, like=v) + v],
    np.ones: [lambda v: np.ones(3, like=v) + v],
    np.empty: [lambda v: np.empty(3, like=v) * 0.0 + v],
    np.full: [lambda v, s: np.full(3, s, like=v)],
    np.arange: [lambda v: np.arange(3.0, like=v) * v],
    np.eye: [lambda v: np.eye(3, like=v) * v],
    np.identity: [lambda v: np.identity(3, like=v) * v],
    np.tri: [lambda v: np.tri(3, like=v) * v],
    np.broadcast_shapes: [lambda m, v: np.broadcast_shapes(m.shape, v.shape)[0] * v],
    np.isfortran: [lambda v: v + np.isfortran(v)],
    np.iterable: [lambda v, s: v * np.iterable(v) + np.iterable(s)],
}


def _cases(table: dict[Any, list[Any]]) -> list[Any]:
    return [
        case if not callable(case) else pytest.param(case, id=f"{getattr(key, '__name__', key)}-{i}")
        for key, cases in table.items()
        for i, case in enumerate(cases)
    ]


@pytest.mark.parametrize("f", _cases(OTHERWISE))
def test_function(f):
    check(f)


# Methods and attributes of arrays ---------------------------------------------------------------------------


def _parted(u: Any) -> Any:
    u.partition(2)
    return u


def _put(u: Any, s: Any) -> Any:
    u.put([0, 3], s)
    return u


def _sorted(u: Any) -> Any:
    u.sort()
    return u


def _filled(v: Any, s: Any) -> Any:
    v.fill(s)
    return v


def _flat(m: Any, v: Any) -> Any:
    m.flat[1] = 9.0
    m.flat[2:5] = [1.0, 2.0]
    c = m.copy()
    c.flat = v
    return m, m.flat[3], m.flat[:3], c, sum(x * x for x in m.flat), len(m.flat), m.flat.copy()


MEMBERS: dict[str, Any] = {
    "T": lambda m: m.T,
    "all": lambda m: (m > -1.5).all(axis=0),
    "any": lambda m: (m > 2.0).any(),
    "argmax": lambda m: m.argmax(axis=1),
    "argmin": lambda m: m.argmin() + m,
    "argpartition": lambda u: u.argpartition(2),
    "argsort": lambda u: u.argsort(),
    "astype": lambda v: v.astype(int) + v.astype(float),
    "choose": lambda u: (u > 0.0).astype(int).choose([u, 2.0 * u]),
    "clip": lambda v: v.clip(-0.5, 1.0),
    "compress": lambda m: m.compress([True, False, True], axis=1),
    "conj": lambda v: v.conj() * 2.0,
    "conjugate": lambda v: v.conjugate() * 2.0,
    "copy": lambda v: v.copy() * 2.0,
    "cumprod": lambda m: m.cumprod(1),
    "cumsum": lambda m: m.cumsum(axis=0),
    "device": lambda v: v * (v.device == "cpu"),
    "diagonal": lambda q: q.diagonal(1),
    "dot": lambda m, v: m.dot(v),
    "dtype": lambda v: v * (v.dtype == np.float64),
    "fill": _filled,
    "flags": lambda m: m * m.flags.c_contiguous + m.T.flags.c_contiguous,
    "flat": _flat,
    "flatten": lambda m: m.flatten("F"),
    "imag": lambda v: v.imag + v,
    "item": lambda u: u * u.argmax().item(),
    "itemsize": lambda v: v * v.itemsize,
    "mT": lambda c: c.mT,
    "max": lambda m: m.max(axis=0, initial=0.2),
    "mean": lambda m: m.mean(axis=(0, 1)),
    "min": lambda m: m.min(1, keepdims=True),
    "nbytes": lambda v: v * v.nbytes,
    "ndim": lambda m: m * m.ndim,
    "nonzero": lambda u: u[(u > 0.5).nonzero()].sum(),
    "partition": _parted,
    "prod": lambda m: m.prod(axis=1),
    "put": _put,
    "ravel": lambda m: m.ravel(order="F"),
    "real": lambda v: v.real * 2.0,
    "repeat": lambda m: m.repeat([1, 2], axis=0),
    "reshape": lambda m: m.reshape(3, 2, order="F"),
    "round": lambda v: v.round(1),
    "searchsorted": lambda u: np.sort(u).searchsorted(0.45),
    "shape": lambda m: m * m.shape[1],
    "size": lambda m: m * m.size,
    "sort": _sorted,
    "squeeze": lambda v: v[None].squeeze(0),
    "std": lambda m: m.std(axis=0, ddof=1),
    "strides": lambda m: m * m.strides[0] + m.T.strides[0],
    "sum": lambda m: m.sum(where=m > 0.0),
    "swapaxes": lambda c: c.swapaxes(0, 2),
    "take": lambda m: m.take([0, 5]),
    "to_device": lambda v: v.to_device("cpu") * 2.0,
    "tolist": lambda u: u * u.argsort().tolist()[0],
    "trace": lambda q: q.trace(),
    "transpose": lambda c: c.transpose(2, 0, 1),
    "var": lambda m: m.var(1, mean=m.mean(1, keepdims=True)),
}


def test_every_member_has_a_case():
    assert {row.name for row in support.attributes() if row.kind == "supported"} == set(MEMBERS)


@pytest.mark.parametrize("name", MEMBERS)
def test_member(name):
    check(MEMBERS[name], rtol=1e-12)


# Methods of ufuncs ------------------------------------------------------------------------------------------

# NumPy itself is not consistent there: np.power.reduce of a vector is not what np.power.accumulate ends with.
_INCONSISTENT = {np.power, np.float_power, np.arctan2}


def _method(ufunc: np.ufunc, method: str) -> Any:
    rule = NUMPY[ufunc]
    is_logical = isinstance(rule, Op) and rule.takes[0] == np.dtype(bool)

    def f(m: Any, v: Any) -> Any:
        m, v = (m > 0.4, v > 0.4) if is_logical else (np.abs(m) + 0.3, np.abs(v) + 0.3)
        if method == "outer":
            return ufunc.outer(m, v)
        if method == "reduceat":
            return ufunc.reduceat(m, [0, 2, 1], axis=1)
        if method == "at":
            x = m.copy()
            ufunc.at(x, (0, [1, 0, 1]), v)
            return x
        if method == "reduce":
            return ufunc.reduce(m, axis=1, keepdims=True), ufunc.reduce(m, initial=m[0, 0])
        return ufunc.accumulate(m, axis=1)

    return f


def _makes_numbers(ufunc: np.ufunc) -> bool:
    return ufunc(1.5, 2.5).dtype == np.float64


@pytest.mark.parametrize("ufunc", support.with_methods(), ids=lambda ufunc: ufunc.__name__)
@pytest.mark.parametrize("method", support.METHODS)
def test_method_of_a_ufunc(ufunc, method):
    is_logical = ufunc in (np.logical_and, np.logical_or, np.logical_xor)
    if method != "outer" and not (is_logical or _makes_numbers(ufunc)):
        pytest.skip("a comparison of a comparison with a number")
    if (ufunc in _INCONSISTENT and method in ("reduce", "reduceat")) or (is_logical and method == "at"):
        pytest.skip("NumPy's own results depend on the layout")
    check(_method(ufunc, method), rtol=1e-12)


def test_where_and_out_of_a_ufunc():
    def f(v, w):
        quotient = np.divide(v, w, out=np.zeros_like(v), where=w > 0.0)
        logs = np.ones_like(v)
        np.log(v, out=logs, where=v > 0.0)
        parts = np.zeros_like(v), np.zeros_like(v)
        np.modf(3.0 * v, out=parts)
        return quotient, logs, parts, np.multiply(v, w, where=True, dtype=float)

    tape = check(f)
    gradient = tg.trace(lambda v: f(v, v)[1].sum(), np.array([0.5, -1.0, 2.0])).grad([0.5, -1.0, 2.0])
    np.testing.assert_array_equal(gradient, [2.0, 0.0, 0.5])
    assert not tape.tape.guards


def test_into_arrays_that_are_made_inside():
    def f(v, w):
        sums, logs, firsts = np.zeros(3), np.zeros(3), np.ones(4)
        np.add.at(sums, [0, 2, 0], v)
        np.log(v, out=logs, where=v > 0.0)
        np.divide(v, w, out=firsts[1:], where=w > 0.0)
        np.put(firsts, [0], v[0])
        return sums, logs, firsts

    check(f)


@pytest.mark.parametrize(
    ("f", "told"),
    [
        (lambda v: np.log(v, where=v > 0.0), "leaves the other elements to chance.*out=np.zeros_like"),
        (lambda v: np.fft.rfft(v).real, "np.fft.rfft.*complex numbers.*cosines and sines"),
        (lambda v: np.roots(v), "np.roots.*may be complex"),
        (lambda v: np.frexp(v)[0], "frexp.*no derivative"),
        (lambda v: np.gcd(v, v), "gcd.*whole numbers"),
        (lambda v: np.linalg.eigvals(np.stack([v[:2], -v[1::-1]])), "complex eigenvalues"),
        (lambda v: np.linalg.svd(v[:, None] * v[:2]), "full_matrices=False"),
        (lambda v: np.emath.sqrt(v), "np.emath.sqrt gives complex numbers"),
        (lambda v: np.pad(v, 1, mode="mean"), "mode='mean': write np.concatenate"),
        (lambda v: np.histogram(v, bins="auto"), "their number would change"),
    ],
)
def test_refusals(f, told):
    with pytest.raises(tg.TraceError, match=told):
        tg.trace(f, np.array([0.5, -1.2, 2.3]))


# Points at which a factor is not unique ---------------------------------------------------------------------

DEPENDENT = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
TWINS = np.diag([2.0, 2.0, 1.0])


@pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning", "ignore::tapegrad.BranchWarning")
@pytest.mark.parametrize(
    ("f", "at"),
    [
        (lambda a: np.linalg.pinv(a).sum(), DEPENDENT),
        (lambda a: np.linalg.lstsq(a, np.ones(3))[0].sum(), DEPENDENT),
        (lambda a: np.linalg.qr(a).Q[0, 1], DEPENDENT),
        (lambda a: np.linalg.svd(a, full_matrices=False).U[0, 0], TWINS),
        (lambda a: np.linalg.svdvals(a)[1], DEPENDENT),
        (lambda a: np.linalg.eigvals(a).real[0], TWINS),
        (lambda a: np.linalg.eig(a).eigenvectors.real[0, 0], TWINS),
    ],
    ids=["pinv", "lstsq", "qr", "svd", "svdvals", "eigvals", "eig"],
)
def test_no_derivative_where_there_is_none(f, at):
    away = at + np.random.default_rng(3).normal(scale=0.3, size=at.shape) * np.eye(*at.shape)
    traced = tg.trace(f, away)
    assert np.isfinite(traced.grad(away)).all()
    assert np.isfinite(traced(at))
    assert np.isnan(traced.grad(at)).any()


def test_what_belongs_to_other_values_has_a_derivative():
    traced = tg.trace(lambda a: np.linalg.svdvals(a)[0], DEPENDENT + np.eye(3, 2))
    left, _, right = np.linalg.svd(DEPENDENT, full_matrices=False)
    np.testing.assert_allclose(traced.grad(DEPENDENT), np.outer(left[:, 0], right[0]), rtol=1e-12)


# The derivatives of new ops against mpmath ------------------------------------------------------------------


def _third(f: Any, x: float) -> list[float]:
    first = tg.trace(f, x)
    second = tg.trace(lambda x: first.grad(x), x)
    third = tg.trace(lambda x: second.grad(x), x)
    return [first(x), first.grad(x), second.grad(x), third.grad(x)]


@pytest.mark.parametrize("x", [0.0, 1e-7, 0.3, -0.9, 1.0, 2.6, -7.3, 40.2])
def test_sinc(x):
    with mpmath.workdps(60):
        y = mpmath.pi * mpmath.mpf(x)
        true = [mpmath.sincpi(mpmath.mpf(x))]
        for n in (1, 2, 3):
            step = mpmath.sin(y + n * mpmath.pi / 2) - n * true[-1]
            true.append(step / y if x else [0, mpmath.mpf(-1) / 3, 0][n - 1])
        expected = [float(mpmath.pi**n * slope) for n, slope in enumerate(true)]
    np.testing.assert_allclose(_third(np.sinc, x), expected, rtol=1e-12, atol=2e-15)


@pytest.mark.parametrize("x", [0.0, 1e-7, 0.3, -0.9, 5.5, -30.0])
def test_i0(x):
    with mpmath.workdps(30):
        i = [mpmath.besseli(n, mpmath.mpf(x)) for n in range(4)]
        expected = [*map(float, (i[0], i[1], (i[0] + i[2]) / 2, (3 * i[1] + i[3]) / 4))]
    np.testing.assert_allclose(_third(np.i0, x), expected, rtol=1e-13, atol=1e-16)
