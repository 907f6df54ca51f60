"""Arrays and objects from outside of the function that it writes to: right, or refused, and all as it was."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.testing import check_grads

RIGHT = (
    "module",
    "table",
    "closure",
    "attribute",
    "copy of an attribute",
    "results of an attribute",
    "properties",
    "in place",
    "in place, and in a closure",
)
REFUSED = ("other name", "view", "ignored result", "aliased", "adding", "last")


@pytest.fixture(scope="module")
def cases() -> Iterator[Any]:
    """The functions, among few objects: who holds an array is looked for among all, tests and all else."""
    gc.collect()
    gc.freeze()
    yield importlib.import_module("tests.outer_cases")
    gc.unfreeze()


def test_every_case_is_named(cases: Any) -> None:
    assert (tuple(cases.RIGHT), tuple(cases.REFUSED)) == (RIGHT, REFUSED)


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str, cases: Any) -> None:
    for start in (np.ones(2), cases.START):
        f = cases.RIGHT[name]()
        traced = tg.trace(f, start)
        for point in (cases.START, cases.OTHER if name != "properties" else 0.5 * cases.START):
            assert traced(point) == pytest.approx(float(f(point.copy())), rel=1e-13)
            check_grads(f, point)


@pytest.mark.parametrize("before", ["none", "there", "elsewhere"])
@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_line(name: str, before: str, cases: Any) -> None:
    f = cases.REFUSED[name]()
    for point in {"none": [], "there": [cases.START], "elsewhere": [cases.OTHER]}[before]:
        f(point.copy())
    with pytest.raises((tg.TraceError, tg.ReplayError), match=r"outer_cases\.py"):
        tg.trace(f, cases.START)


def test_all_is_as_it_was(cases: Any) -> None:
    model = cases.Model()
    held, numbers = model.params, model.data.copy()
    traced = tg.trace(model.set, cases.START)
    assert model.params is held
    assert type(held) is np.ndarray
    with pytest.raises(tg.TraceError):
        tg.trace(lambda t: (model.set(t), np.fft.fft(t))[0], cases.START)
    assert model.params is held
    np.testing.assert_array_equal(model.data, numbers)
    model.set(cases.OTHER)
    np.testing.assert_array_equal(held, [*cases.OTHER, cases.OTHER[0] * cases.OTHER[1]])
    np.testing.assert_allclose(traced.grad(cases.START), tg.trace(model.set, cases.START).grad(cases.START))
