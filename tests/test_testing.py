"""`check_grads`: right models pass, and a wrong rule is found and named, with its line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import special

import tapegrad as tg
from benchmarks.models import MODELS
from tapegrad import differences
from tapegrad.ops.registry import OPS, Linear, Op, Products, broadcast, elementwise, register
from tapegrad.testing import check_grads

X = np.random.default_rng(0).normal(3.0, 1.0, 30)


@pytest.fixture(autouse=True)
def the_registry_as_it_was() -> Iterator[None]:
    before = set(OPS)
    yield
    for name in set(OPS) - before:
        del OPS[name]


def cube(x: Any, out: Any = None) -> Any:
    return np.power(x, 3, out=out)


def failure(f: Any, params: Any, order: int = 3) -> str:
    with pytest.raises(AssertionError) as caught:
        check_grads(f, params, order)
    return str(caught.value)


# Right models -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if not model.is_loop])
def test_the_benchmarks_models_pass(name):
    model = MODELS[name]
    data = model.data(20)
    check_grads(lambda **theta: model.loglik(np, special, **data, **theta), model.start)


def test_a_traced_function_on_data_passes():
    tape = tg.trace(lambda mu, x: -((x - mu) ** 2).sum() / 2, dict(mu=0.1), data=dict(x=X))
    check_grads(tape, dict(mu=0.3))
    check_grads(tape.with_data(x=2.0 * X), [0.3])


def test_nests_of_outputs_pass():
    def f(a, b):
        return {"u": a * X[:3] * b[0], "v": [np.exp(a), b @ b], "w": (np.outer(b, b),)}

    check_grads(f, dict(a=0.3, b=np.array([1.0, 2.0])))


def test_branches_are_followed():
    check_grads(lambda a: a**2 if a < 1.0 else 2.0 * a - 1.0 + (a - 1.0) ** 3, 1.001, order=1)


def test_a_sharp_peak_far_from_the_origin_passes():
    x = 5.0 + 1e-3 * (X - 3.0)

    def loglik(mu, sigma):
        return -(((x - mu) / sigma) ** 2).sum() / 2.0 - x.size * np.log(sigma)

    check_grads(loglik, dict(mu=5.0003, sigma=0.001))


def test_points_outside_the_domain_are_not_taken():
    check_grads(lambda p: np.log(1.0 - p) + 3.0 * np.log(p), 0.97)
    check_grads(lambda p: np.log(np.linalg.norm(p) - 2.9), np.array([2.0, 2.12]))


def test_a_derivative_that_cancels_is_zero():
    check_grads(lambda a: np.hypot(a, a), 0.37)


def test_a_kink_at_the_point_itself_is_left_to_convention():
    check_grads(lambda b: np.maximum(b, 0.0).sum() + np.abs(b).sum() + b @ b, np.zeros(2))


# Wrong rules ------------------------------------------------------------------------------------------------


def test_a_wrong_partial_is_named_with_its_parameters_and_its_line():
    bad = elementwise("bad_cube", cube, lambda out, x: 3.0 * x * x + 0.01 * x, numpy=())

    def model(mu, beta):
        z = X - mu
        w = bad(z)
        return beta * w.sum()

    told = failure(model, dict(mu=0.1, beta=2.0))
    assert told.startswith("the gradient of model with respect to mu is -15")
    assert "by differences: off by 1.67, at mu = 0.1, beta = 2\n" in told
    assert "wrong is the rule of bad_cube(%" in told
    assert "test_testing.py" in told
    assert "`w = bad(z)`: its jvp is " in told
    assert told.splitlines()[-1].startswith("    %")
    assert "(30,)" in told.splitlines()[-1]


def test_the_first_of_several_wrong_entries_is_named():
    bad = elementwise("bad_cube", cube, lambda out, x: 2.0 * x * x, numpy=())

    def model(a, b):
        first = bad(a)
        return first + bad(b)

    assert "`first = bad(a)`" in failure(model, dict(a=1.0, b=2.0))


def test_a_partial_with_a_wrong_derivative_is_found_at_second_order():
    wrong = elementwise(
        "bad_square", lambda x, out=None: np.square(x, out=out), lambda out, x: 2.1 * x, numpy=()
    )
    right = elementwise("good_cube", cube, lambda out, x: 3.0 * wrong(x), numpy=())

    def model(mu, beta):
        z = right(X - mu)
        return beta * z.sum()

    check_grads(model, dict(mu=0.1, beta=2.0), order=1)
    told = failure(model, dict(mu=0.1, beta=2.0))
    assert told.startswith("the Hessian of model with respect to mu and mu is ")
    assert "wrong is the rule of bad_square(%" in told
    assert "`z = right(X - mu)`" in told


def test_and_one_derivative_further_at_third_order():
    flat = elementwise("bad_double", lambda x, out=None: np.multiply(x, 2.0, out=out), 2.5, numpy=())
    square = elementwise(
        "good_square", lambda x, out=None: np.square(x, out=out), lambda out, x: flat(x), numpy=()
    )
    right = elementwise("good_cube", cube, lambda out, x: 3.0 * square(x), numpy=())
    check_grads(lambda mu: right(X - mu).sum(), 0.1, order=2)
    told = failure(lambda mu: right(X - mu).sum(), 0.1)
    assert told.startswith("the third derivative of f along a random direction for mu and mu is ")
    assert "wrong is the rule of bad_double(%" in told


def test_a_vjp_that_is_not_the_jvp_is_told_apart():
    rule = Products(jvp=lambda i, t, out, x: 3.0 * x * x * t, vjp=lambda i, ct, out, x: 3.1 * x * x * ct)
    bad = register(Op("bad_vjp", cube, broadcast, rule))
    told = failure(lambda a: bad(a), 1.5)
    assert told.startswith(
        "the gradient of f with respect to a is 6.975, and 6.75 by differences: off by 0.225"
    )
    assert "its vjp gives " in told


def test_a_wrong_transpose_shows_in_the_vjp_of_an_array():
    rule = Linear(lambda i, ct, x: -2.0 * ct)
    bad = register(Op("bad_double", lambda x, out=None: np.multiply(x, 2.0, out=out), broadcast, rule))
    told = failure(lambda a: bad(a) * X, 1.5)
    assert told.startswith("the vjp of f along a random direction is ")
    assert "wrong is the rule of bad_double(a)" in told


def test_a_wrong_jacobian_names_output_and_parameter():
    bad = elementwise("bad_cube", cube, lambda out, x: 2.0 * x * x, numpy=())

    def f(a, b):
        return [a * b, bad(b)]

    told = failure(f, dict(a=1.0, b=np.array([2.0, 1.0])))
    assert told.startswith(
        "the Jacobian of f with respect to b[0] of output[1][0] is 8, and 12 by differences"
    )
    assert "off by 4" in told


def test_a_nan_derivative_is_wrong_too():
    bad = elementwise("bad_cube", cube, lambda out, x: x * np.nan, numpy=())
    with pytest.warns(tg.NonFiniteWarning):
        told = failure(lambda a: bad(a), 1.5)
    assert told.startswith("the gradient of f with respect to a is nan, and 6.75 by differences")


# What else can be wrong -------------------------------------------------------------------------------------


def test_a_function_that_changes_after_the_trace_is_found():
    factor = [1.0]
    tape = tg.trace(lambda a: a * factor[0], 3.0)
    check_grads(tape, 2.0)
    factor[0] = 1.5
    told = failure(tape, 2.0)
    assert told.startswith(
        "output of f is 2 by replay and 3 by a plain call, at a = 2: does the function keep"
    )


def test_a_value_that_is_not_finite_is_explained():
    told = failure(lambda a: np.log(a) * 2.0, -1.0)
    assert told.startswith("not finite at a = -1: the value of f is nan: it arises in log(a) at ")


def test_what_cannot_be_judged_is_not_passed():
    def f(a):
        return a + 0.01 * np.sin(1e9 * a)

    assert "cannot be checked: its differences settle nowhere at a = 2" in failure(f, 2.0, order=1)


def test_wrong_orders_are_refused():
    with pytest.raises(ValueError, match="order must be 1, 2 or 3, not 4"):
        check_grads(lambda a: a, 1.0, order=4)


# Differences ------------------------------------------------------------------------------------------------


def test_differences_bound_their_own_error():
    at, direction = np.array([1.0, 0.3]), np.array([1.0, -0.5])
    found = differences.slope(lambda x: np.array([np.exp(x[0]) * x[1], 1e-3 * np.sin(x[1])]), at, direction)
    expected = [np.e * 0.3 - 0.5 * np.e, -0.5e-3 * np.cos(0.3)]
    np.testing.assert_allclose(found.value, expected, rtol=1e-10)
    assert found.settled.all()
    assert not found.wrong(np.array(expected)).any()
    assert found.wrong(np.array(expected) * (1.0 + 1e-5)).all()


def test_kinks_are_seen_from_both_sides():
    kinked = differences.kinked(lambda x: np.array([abs(x[0]), x[0]]), np.zeros(1), np.ones(1))
    assert kinked.tolist() == [True, False]
