"""Calls that take the short way: the same results, errors and warnings as the long way gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.c.compiler import compiler
from tapegrad.function.derived import GRADIENT

X = np.random.default_rng(4).normal(size=60)
BACKENDS = ["replay", "numpy", "auto", *(["c"] if compiler() is not None else [])]


def normal(mu: Any, log_sigma: Any) -> Any:
    z = (X - mu) / np.exp(log_sigma)
    return np.sum(-0.5 * z * z - log_sigma)


def mixed(mu: Any, beta: Any, move: Any) -> Any:
    return np.sum(-0.5 * (X - mu - beta[0] * X**2 - beta[1] * np.sin(X)) ** 2) * (1.0 + (move @ move.T).sum())


def short(traced: tg.TracedFunction) -> Any:
    """The short way of the current path."""
    return traced._router.current.direct


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("arrays", [False, True])
def test_both_ways_give_the_same_bits(backend: str, arrays: bool) -> None:
    start: dict[str, Any] = dict(mu=0.1, log_sigma=0.2)
    if arrays:
        start = dict(mu=0.1, beta=np.array([0.2, 0.3]), move=np.eye(2) * 0.4)
    traced = tg.trace(mixed if arrays else normal, start, backend=backend)
    first = traced.value_and_grad(start)
    assert short(traced) is not None
    for scale in (1.0, 1.5, -2.0):
        theta = {name: scale * item for name, item in start.items()}
        found = short(traced)(theta)
        assert found is not None
        value, gradient = traced.value_and_grad(theta)
        flat_value, flat = traced.value_and_grad_flat(traced.ravel(theta))
        assert value == found[0] == flat_value
        assert type(value) is float
        np.testing.assert_array_equal(traced.ravel(gradient), flat)
        assert all(type(gradient[name]) is (np.ndarray if np.ndim(start[name]) else float) for name in start)
    again = traced.value_and_grad(start)
    np.testing.assert_array_equal(
        traced.ravel(again[1]), traced.ravel(first[1])
    )  # nobody wrote into the first


def test_what_is_handed_out_is_no_view() -> None:
    traced = tg.trace(mixed, dict(mu=0.1, beta=np.array([0.2, 0.3]), move=np.eye(2)))
    theta = dict(mu=0.3, beta=np.array([0.2, 0.5]), move=np.eye(2))
    found = [traced.value_and_grad(theta)[1]["beta"] for _ in range(3)]
    kept = found[1].copy()
    found[2][:] = 7.0
    traced.value_and_grad(dict(theta, mu=5.0))
    np.testing.assert_array_equal(found[1], kept)


def test_what_is_not_a_float_takes_the_long_way() -> None:
    start = dict(mu=0.1, log_sigma=0.2)
    traced = tg.trace(normal, start)
    traced.value_and_grad(start)
    for theta in (dict(mu=1, log_sigma=0.2), dict(mu=np.array(1.0), log_sigma=np.float32(0.2))):
        assert short(traced)(theta) is None
        assert np.isfinite(traced.value_and_grad(theta)[0])
    assert short(traced)(dict(mu=np.float64(1.0), log_sigma=0.2)) is not None
    assert traced.value_and_grad(dict(log_sigma=0.2, mu=1.0))[1].keys() == start.keys()


@pytest.mark.parametrize(
    ("theta", "error"),
    [
        (dict(mu=1.0), ValueError),
        (dict(mu=1.0, sigma=1.0), ValueError),
        (dict(mu=1.0, log_sigma=np.array([0.2])), ValueError),
        (dict(mu=1.0, log_sigma="0.2"), TypeError),
        (dict(mu=1.0, log_sigma=1j), TypeError),
    ],
)
def test_errors_are_those_of_the_long_way(theta: dict[str, Any], error: type[Exception]) -> None:
    start = dict(mu=0.1, log_sigma=0.2)
    traced = tg.trace(normal, start)
    for _ in range(2):
        with pytest.raises(error):
            traced.value_and_grad(theta)
        traced.value_and_grad(start)


def test_arrays_of_another_shape_or_type_take_the_long_way() -> None:
    start: dict[str, Any] = dict(mu=0.1, beta=np.array([0.2, 0.3]), move=np.eye(2))
    traced = tg.trace(mixed, start)
    traced.value_and_grad(start)
    with pytest.raises(ValueError, match="beta"):
        traced.value_and_grad(dict(start, beta=np.zeros(3)))
    whole = dict(start, beta=np.array([1, 2]))
    assert short(traced)(whole) is None
    np.testing.assert_array_equal(
        traced.value_and_grad(whole)[1]["beta"],
        traced.value_and_grad(dict(start, beta=np.array([1.0, 2.0])))[1]["beta"],
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_is_told_and_infinity_is_not(backend: str) -> None:
    def f(a: Any, b: Any) -> Any:
        return np.sum(X) + np.log(a) - np.log(b)

    traced = tg.trace(f, dict(a=1.0, b=1.0), backend=backend)
    traced.value_and_grad(dict(a=2.0, b=1.0))
    with pytest.warns(tg.NonFiniteWarning):
        traced.value_and_grad(dict(a=-1.0, b=1.0))
    value, gradient = traced.value_and_grad(dict(a=0.0, b=0.5))
    assert value == -np.inf
    assert gradient["a"] == np.inf


@pytest.mark.parametrize("backend", BACKENDS)
def test_branches_are_followed(backend: str) -> None:
    def f(a: Any, b: Any) -> Any:
        if a > 0.0 and round(float(np.sum(X > 0.0))) > 0:
            return np.sum(X * X) * a + b
        return b * b

    traced = tg.trace(f, dict(a=1.0, b=1.0), backend=backend)
    for _ in range(3):
        for a in (1.0, -1.0, 2.0, 0.0, -0.0):
            value, gradient = traced.value_and_grad(dict(a=a, b=3.0))
            assert value == pytest.approx(f(a, 3.0))
            assert gradient["b"] == (1.0 if a > 0.0 else 6.0)
    assert short(traced) is not None


@pytest.mark.skipif(compiler() is None, reason="no C compiler was found")
def test_the_turn_to_c_comes_on_the_short_way_too() -> None:
    traced = tg.trace(normal, dict(mu=0.1, log_sigma=0.2), backend="auto")
    theta = dict(mu=0.1, log_sigma=0.2)
    traced.value_and_grad(theta)
    executable = traced._router.current.executable
    meter = executable(GRADIENT).meter
    assert meter is not None
    meter.left = 3
    meter.pays = lambda lines: True
    for _ in range(5):
        traced.value_and_grad(theta)
    assert executable(GRADIENT).meter is None
    assert "piece" in traced.source()
