"""No NaN from the branch not taken: what is masked out of a cotangent stays out, at both orders."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.replay import adjoints, evaluate

AT = np.array([0.0, 0.5, 2.0])

CASES = {
    # name: (function, gradient at AT, diagonal of the Hessian at AT)
    "where with log": (lambda x: np.where(x > 0.0, np.log(x), 0.0), [0, 2, 0.5], [0, -4, -0.25]),
    "where with sqrt": (
        lambda x: np.where(x > 0.0, np.sqrt(x), 0.0),
        [0, 0.5 / np.sqrt(0.5), 0.5 / np.sqrt(2.0)],
        [0, -0.25 * 0.5**-1.5, -0.25 * 2.0**-1.5],
    ),
    "where with division": (lambda x: np.where(x > 0.0, 1.0 / x, x), [1, -4, -0.25], [0, 16, 0.25]),
    "where with a power": (
        lambda x: np.where(x > 0.0, x**-1.5, 1.0),
        [0, -1.5 * 0.5**-2.5, -1.5 * 2.0**-2.5],
        [0, 3.75 * 0.5**-3.5, 3.75 * 2.0**-3.5],
    ),
    "where inside a function": (
        lambda x: np.exp(np.where(x > 0.0, np.log(x), -1.0)),
        [0, 1, 1],
        [0, 0, 0],
    ),
    "maximum": (lambda x: np.maximum(np.log(x), -50.0), [0, 2, 0.5], [0, -4, -0.25]),
    "minimum": (lambda x: np.minimum(-np.log(x), 50.0), [0, -2, -0.5], [0, 4, 0.25]),
    "clip": (lambda x: np.clip(np.log(x), -50.0, 50.0), [0, 2, 0.5], [0, -4, -0.25]),
    "indexing": (lambda x: np.log(x)[1:], [0, 2, 0.5], [0, -4, -0.25]),
    "fancy indexing": (lambda x: np.log(x)[np.array([2, 1])], [0, 2, 0.5], [0, -4, -0.25]),
    "max of an array": (lambda x: np.max(np.log(x)), [0, 0, 0.5], [0, 0, -0.25]),
    "nested where": (
        lambda x: np.where(x > 1.0, 0.0, np.where(x > 0.0, np.log(x), 0.0)),
        [0, 2, 0],
        [0, -4, 0],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_and_hessian_are_finite_and_right(name):
    f, gradient, diagonal = CASES[name]
    tape = tg.trace(lambda x: f(x).sum(), np.array([0.1, 0.5, 2.0]))
    np.testing.assert_allclose(tape.grad(AT), gradient, rtol=1e-12)
    np.testing.assert_allclose(tape.hessian(AT), np.diag(diagonal), rtol=1e-12, atol=1e-14)
    swept = adjoints(tape.tape, evaluate(tape.tape, AT, {}))
    np.testing.assert_allclose(swept[tape.tape.parameters[0]], gradient, rtol=1e-12)


def test_a_shared_scalar_masked_everywhere():
    x = np.array([-1.0, -2.0])
    tape = tg.trace(lambda a: np.where(x > 0.0, np.log(a), 3.0 * a).sum(), 1.0)
    assert tape.grad(0.0) == 6.0
    assert tape.hessian(0.0) == 0.0


def test_what_is_not_masked_stays_infinite():
    tape = tg.trace(lambda x: np.log(x).sum(), np.array([1.0, 2.0]))
    np.testing.assert_array_equal(tape.grad(np.array([0.0, 2.0])), [np.inf, 0.5])
