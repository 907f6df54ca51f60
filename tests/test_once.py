"""once: what depends on data alone is computed when they are bound, before and after."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from test_exponentials import OTHERS, outputs
from test_passes import assert_lists, ops

import tapegrad as tg
from tapegrad.passes import once, tidy

COUNTS = np.array([0.0, 2.0, 5.0])


def poisson(eta, y):
    return (y * eta - np.exp(eta) - special.gammaln(y + 1.0)).sum()


def test_once_before_and_after():
    tape = tidy(tg.trace(poisson, dict(eta=0.3), data=dict(y=COUNTS)).tape, OTHERS)
    assert_lists(
        tape,
        """
        [0]  mul      y, eta      -> %3  (3,)
        [1]  exp      eta         -> %4  scalar
        [2]  sub      %3, %4      -> %5  (3,)
        [3]  add      y, 1        -> %6  (3,)
        [4]  gammaln  %6          -> %7  (3,)
        [5]  sub      %5, %7      -> %8  (3,)
        [6]  sum      %8, axis=0  -> %9  scalar
        """,
    )
    first, rest = once(tape)
    assert_lists(
        first,
        """
        [0]  add      y, 1  -> %2  (3,)
        [1]  gammaln  %2    -> %3  (3,)
        """,
    )
    assert_lists(
        rest,
        """
        [0]  mul  y, eta      -> %3  (3,)
        [1]  exp  eta         -> %4  scalar
        [2]  sub  %3, %4      -> %5  (3,)
        [3]  sub  %5, %2      -> %6  (3,)
        [4]  sum  %6, axis=0  -> %7  scalar
        """,
    )


def run_in_two(tape, theta, *data):
    first, rest = once(tape)
    tg.verify(first)
    tg.verify(rest)
    bound = outputs(first, np.empty(0), data=zip(first.data, data, strict=True))
    return outputs(rest, theta, data=zip(rest.data, bound, strict=True)), first, rest


def test_once_keeps_values_and_leaves_guards_where_they_are():
    def f(a, y):
        if y.sum() > 3.0:
            return (np.log(y + 1.0) * a).sum() + np.sqrt(y.sum())
        return a

    tape = tidy(tg.trace(f, 2.0, data=dict(y=COUNTS)).tape)
    (found,), _, rest = run_in_two(tape, 3.0, COUNTS)
    assert found == pytest.approx(f(3.0, COUNTS))
    assert len(rest.guards) == len(tape.guards) == 1
    assert rest.entries[0].op.name == "sum"  # which the guard reads, with each replay


@pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")
def test_once_with_nothing_or_everything_to_do():
    tape = tg.trace(lambda a: a * 2.0, 1.0).tape
    (found,), first, rest = run_in_two(tape, 3.0)
    assert found == 6.0
    assert (ops(first), ops(rest)) == ([], ["mul"])
    for f, value in ((lambda a, y: np.exp(y).sum(), np.exp(COUNTS).sum()), (lambda a, y: y, COUNTS)):
        tape = tg.trace(f, 1.0, data=dict(y=COUNTS)).tape
        (found,), first, rest = run_in_two(tape, 3.0, COUNTS)
        np.testing.assert_array_equal(found, value)
        assert ops(rest) == []


def test_data_can_still_be_rebound():
    tape = tg.trace(poisson, dict(eta=0.3), data=dict(y=COUNTS))
    for y in (COUNTS, COUNTS + 3.0):
        other = tape.with_data(y=y)
        assert other(dict(eta=0.7)) == pytest.approx(poisson(0.7, y))
        assert other.grad(dict(eta=0.7))["eta"] == pytest.approx(y.sum() - 3.0 * np.exp(0.7))
