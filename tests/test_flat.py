"""The flat face of traced functions: the one Jacobian of all outputs' elements in all parameters."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.function.trace import trace_quietly

X = np.array([0.5, -1.0, 2.0])


def test_rows_are_elements_of_the_outputs_and_columns_those_of_the_parameters(products):
    f = tg.trace(lambda a, b: {"sum": a + b[0], "parts": (a * b, b**2)}, dict(a=3.0, b=np.array([1.0, 2.0])))
    assert f.outputs.size == 5
    expected = [[1, 1, 0], [1, 3, 0], [2, 0, 3], [0, 2, 0], [0, 0, 4]]
    np.testing.assert_array_equal(f.jacobian_flat(np.array([3.0, 1.0, 2.0])), expected)
    assert products == [("jvp", 3)]


def test_a_number_has_one_row_found_by_one_product(products):
    f = tg.trace(lambda x: np.sum(x**3), X)
    np.testing.assert_allclose(f.jacobian_flat(X), [3.0 * X**2], rtol=1e-15)
    assert products == [("vjp", 1)]


def test_a_function_of_one_number_takes_one_product(products):
    f = tg.trace(lambda s: np.exp(s * X), 1.0)
    np.testing.assert_allclose(f.jacobian_flat(np.array([0.25])), (X * np.exp(0.25 * X))[:, None], rtol=1e-15)
    assert products == [("jvp", 1)]


def test_what_is_constant_has_rows_and_columns_of_zeros():
    f = trace_quietly(lambda a, b: [a, np.ones(2), 4.0], dict(a=1.0, b=2.0))
    np.testing.assert_array_equal(f.jacobian_flat(np.ones(2)), [[1, 0], [0, 0], [0, 0], [0, 0]])


def test_no_outputs_have_no_rows():
    f = trace_quietly(lambda x: x[:0], X)
    assert f.jacobian_flat(X).shape == (0, 3)


def test_the_jacobian_is_that_of_the_branch_taken(products):
    def f(x):
        return np.sin(x) if x[0] > 0 else np.sum(x) * np.ones(3)

    traced = tg.trace(f, X)
    np.testing.assert_array_equal(traced.jacobian_flat(-X), np.ones((3, 3)))
    np.testing.assert_allclose(traced.jacobian_flat(X), np.diag(np.cos(X)), rtol=1e-15)


def test_it_is_the_readers_own_on_either_backend():
    for backend in ("numpy", "replay"):
        f = tg.trace(lambda x: np.cumsum(x**2), X, backend=backend)
        found = f.jacobian_flat(X)
        found[:] = 0.0
        np.testing.assert_array_equal(f.jacobian_flat(X), np.tril(np.ones((3, 3))) * 2.0 * X)


def test_nan_comes_without_a_warning():
    f = tg.trace(lambda x: np.sqrt(x), np.ones(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = f.jacobian_flat(np.array([-1.0, 4.0]))
    np.testing.assert_array_equal(found[:, 0], [np.nan, 0.0])
    assert found[1, 1] == 0.25


def test_a_quiet_trace_says_nothing_of_parameters_that_do_nothing():
    def f(a, b):
        return 2.0 * a

    with pytest.warns(tg.UnusedParameterWarning, match="does not depend on b"):
        tg.trace(f, dict(a=1.0, b=1.0))
    quiet = trace_quietly(f, dict(a=1.0, b=1.0), backend="replay")
    assert quiet.grad(a=1.0, b=1.0) == {"a": 2.0, "b": 0.0}
