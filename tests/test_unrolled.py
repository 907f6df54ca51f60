"""An array operation that is recorded number by number says so; a loop of the user's does not."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from numpy import array, asarray  # as defaults of arguments, which stand-ins do not reach

import tapegrad as tg

X = np.random.default_rng(0).normal(size=(200, 3))
ROW = X[:, 0]
START = np.array([0.5, 0.2, 0.1])


def dot_of_a_plain_array(b):
    return X.dot(b).sum()  # here


def product_with_asarray(b, asarray=asarray):
    plain = asarray(b)  # made
    return ((X @ plain) ** 2).sum()  # here


def product_with_asarray_at_once(b, asarray=asarray):
    return (X @ asarray(b)).sum()  # here


def product_with_a_list(b, array=array):
    return (X @ array([b[0], b[1], 1.0])).sum()  # here


def elementwise(b, asarray=asarray):
    eta = asarray(X @ b)  # made
    return np.exp(eta).sum()  # here


def operator(b, asarray=asarray):
    eta = asarray(X @ b)  # made
    return (eta * ROW).sum()  # here


UNROLLED = [
    (dot_of_a_plain_array, "write X @ b for X.dot(b)"),
    (product_with_asarray, "leave out np.asarray"),
    (product_with_asarray_at_once, "leave out np.asarray"),
    (product_with_a_list, "write np.stack([...]) for np.array([...]), np.block for nested lists"),
    (elementwise, "leave out np.asarray"),
    (operator, "leave out np.asarray"),
]


def lines_of(f):
    lines, start = inspect.getsourcelines(f)
    return {
        mark: start + i for i, line in enumerate(lines) for mark in ("here", "made") if f"# {mark}" in line
    }


@pytest.mark.parametrize(("f", "advice"), UNROLLED)
def test_an_unrolled_operation_warns_once_with_its_line(f, advice):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tape = tg.trace(f, START)
    (told,) = [str(w.message) for w in caught if w.category is tg.UnrolledWarning]
    lines = lines_of(f)
    assert f"number by number at {__file__}:{lines['here']}: `" in told
    assert advice in told
    if "made" in lines:
        assert f", made at {__file__}:{lines['made']}: `" in told
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert tape(2.0 * START) == pytest.approx(f(2.0 * START), rel=1e-12)


def test_names_of_the_module_are_reached():
    def product(b):
        return (X @ asarray(b)).sum()

    assert len(tg.trace(product, START).tape.entries) == 2


def loop(b):
    b = asarray(b)
    total = 0.0
    for x in ROW:
        total = total + b[0] * x + np.exp(b[1] * x)
    return total


def loop_over_unpacked_values(b):
    mu, sigma, _ = array([b[0], b[1], b[2]])
    total = 0.0
    for x in ROW:
        total = total - ((x - mu) / sigma) ** 2
    return total


def loop_of_products(b):
    asarray(b)
    return sum([np.dot(row, b) for row in X]) + sum(row @ b for row in X)


def comprehension(b):
    plain = asarray(b)
    return sum([plain[0] * x for x in ROW])


def few(b):
    return (X[:5] @ asarray(b)).sum()


def gathered(b):
    return (array([b[0], b[1]]) * b[:2]).sum()


@pytest.mark.parametrize(
    "f", [loop, loop_over_unpacked_values, loop_of_products, comprehension, few, gathered]
)
@pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")
def test_loops_do_not_warn(f):
    assert tg.trace(f, START)(2.0 * START) == pytest.approx(f(2.0 * START), rel=1e-12)


def test_new_paths_do_not_say_it_again():
    def f(b):
        return X.dot(b).sum() * int(b[0])

    with pytest.warns(tg.UnrolledWarning):
        tape = tg.trace(f, np.array([1.5, 0.2, 0.1]))
    for first in (2.5, 3.5):
        b = np.array([first, 0.2, 0.1])
        assert tape(b) == pytest.approx(f(b), rel=1e-12)
    assert tape.retraces == 2
