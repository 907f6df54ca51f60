"""Names that modules have bound before, types that they ask for, and functions of distances."""

from __future__ import annotations

import importlib
import itertools
import numbers
import sys
import threading

import numpy as np
import pytest
from scipy import linalg
from scipy.spatial.distance import cdist, pdist, squareform
from test_standins import state

import tapegrad as tg
from tapegrad.ops import OPS

V = np.array([0.3, -0.2, 0.5])
NUMBER = itertools.count()


@pytest.fixture(name="before")
def what_stands_there():
    return state()


# Names and types of a module --------------------------------------------------------------------------------


@pytest.fixture(name="module")
def module_of_others(tmp_path, monkeypatch):
    """A module with names of its own for functions and types."""
    name = f"names_of_others_{next(NUMBER)}"
    (tmp_path / f"{name}.py").write_text(
        "from math import log as ln\n"
        "from numpy import array, asarray, float64, zeros\n"
        "import numpy as np\n"
        "KINDS = (int, float)\n"
        "def f(v):\n"
        "    h = zeros(4, dtype=float)\n"
        "    h[0], h[1] = ln(v[0]), float(v[1])\n"
        "    h[2] = sum([float(x) for x in v])\n"
        "    h[3] = float64(v[0] * v[1]) * np.float64(2.0)\n"
        "    assert isinstance(h[0], KINDS) and isinstance(v, np.ndarray) and not isinstance(v, float)\n"
        "    assert isinstance(v[0], float | None) and issubclass(float, float) and float == float\n"
        "    assert float('2.5') == 2.5 and float.fromhex('0x1p1') == 2.0\n"
        "    assert repr(float) == \"<class 'float'>\"\n"
        "    class Own(float):\n"
        "        pass\n"
        "    assert Own.__mro__[1].__name__ == 'float'\n"
        "    return asarray(h.astype(float), dtype=float).sum() + array([v[0], v[1]]).prod()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(name)
    sys.modules.pop(name)


def test_names_and_types_of_a_module_and_nothing_left_behind(module, before):
    held = dict(vars(module))
    kinds = [(name, getattr(np, name)) for name in ("float64", "double", "longdouble")]
    x = np.array([0.7, 0.4])
    traced = tg.trace(lambda v: module.f(v), x)  # reached through a function of another module
    expected = [1.0 / x[0] + 1.0 + 3.0 * x[1], 2.0 + 3.0 * x[0]]
    np.testing.assert_allclose(traced.grad(x), expected, rtol=1e-15)
    assert traced(x * 1.1) == pytest.approx(module.f(x * 1.1), rel=1e-15)
    assert {**vars(module)} == held
    assert all(vars(module)[name] is value for name, value in held.items())
    assert all(getattr(np, name) is kind for name, kind in kinds)
    assert all(a is b for pair in zip(before, state(), strict=True) for a, b in zip(*pair, strict=True))
    with pytest.raises(tg.TraceError):
        tg.trace(lambda v: module.f(v) + complex(v[0]).real, x)
    assert all(vars(module)[name] is value for name, value in held.items())
    assert "float" not in vars(module)


def test_other_threads_go_on_with_float(module):
    x, seen = np.array([0.7, 0.4]), []

    def f(v):
        thread = threading.Thread(target=lambda: seen.append(module.f(x)))
        thread.start()
        thread.join()
        return module.f(v)

    tg.trace(f, x)
    assert seen
    assert set(seen) == {module.f(x)}
    assert all(type(value) is np.float64 for value in seen)


def test_isinstance_tells_what_a_plain_call_has():
    def f(v):
        kinds = [
            (np.ndarray, v),
            (float, v[0]),
            (np.floating, v.sum()),
            (np.bool_, v[0] > 0.0),
            (np.ndarray, v > 0.0),
        ]
        kinds += [
            (numbers.Real, v[0]),
            (np.generic, v[1]),
            (np.integer, (v > 0.0).sum()),
            (np.ndarray, v[:1]),
        ]
        assert all(isinstance(x, kind) for kind, x in kinds)
        assert np.isscalar(v[0])
        assert not np.isscalar(v)
        assert not isinstance(v[0], (np.ndarray, int, bool, list))
        return v.sum()

    assert tg.trace(f, V)(V) == V.sum()


# Distances --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cityblock", "chebyshev"])
def test_distances(metric):
    points = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.3], [0.0, 1.0]])

    def f(v):
        own = squareform(pdist(points * v[:2], metric))
        return np.exp(-own).sum() + cdist(points / v[2], points[:2] + v[1], metric).sum() + squareform(own)[1]

    x = V + 0.6
    assert tg.trace(f, x)(1.1 * x) == pytest.approx(f(1.1 * x), rel=1e-14)
    # Where points coincide, their distance is 0 whatever the scale.
    scale = tg.trace(lambda s: np.exp(-pdist(points / s, metric)).sum(), 2.0)
    h = 1e-6
    slope = (
        np.exp(-pdist(points / (2.0 + h), metric)) - np.exp(-pdist(points / (2.0 - h), metric))
    ).sum() / (2 * h)
    assert scale.grad(2.0) == pytest.approx(slope, rel=1e-8)


def test_pinv_with_its_cut_offs():
    m = np.array([[2.0, 0.3], [0.1, 1.0], [0.4, 0.2]])

    def f(v):
        return linalg.pinv(m * v[0]).sum() + linalg.pinv(m + v[1], rtol=1e-8).sum()

    assert tg.trace(f, V)(1.1 * V) == pytest.approx(f(1.1 * V), rel=1e-12)
    assert tg.trace(lambda v: linalg.pinv(m * v, return_rank=True)[1] * v, 1.5)(2.0) == 4.0


@pytest.mark.parametrize("stack", [(), (2,), (3, 2)])
@pytest.mark.parametrize("cut", [(), (1,), (2,), (2, 1), (3, 1), (3, 3)])
def test_pinv_takes_the_shapes_of_cut_offs_that_numpy_takes(stack, cut):
    a, rcond = np.ones((*stack, 3, 2)) + np.eye(3, 2), np.full(cut, 1e-10)
    try:
        expected = np.linalg.pinv(a, rcond).shape
    except ValueError:
        with pytest.raises(ValueError, match="shape"):
            OPS["pinv"].shape(a.shape, cut)
    else:
        assert OPS["pinv"].shape(a.shape, cut) == expected
