"""Functions of installed packages, traced as they stand: values, gradients and Hessians at two places."""

from __future__ import annotations

import sys
import warnings
from collections import Counter

import numpy as np
import of_fitting
import of_models
import of_more
import of_statsmodels
import of_survival
import pytest
from table import ROWS, Differences, Row

import tapegrad as tg

FILES = (of_fitting, of_models, of_more, of_statsmodels, of_survival)
OUTCOMES: dict[str, str | None] = {}  # why a row is refused, or None, as far as the tests have run


@pytest.fixture(autouse=True)
def what_packages_warn_of():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def close(found, expected, off, rtol, label):
    """Within `rtol` of the largest part, or as near as the differences are to one another."""
    size = max(float(np.abs(expected).max(initial=0.0)), 1e-3)
    assert np.all(np.abs(found - expected) <= rtol * size + 10.0 * off), f"{label}: {found}, not {expected}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_as_it_stands(row: Row):
    real = row.real()
    if row.refused is not None:
        with pytest.raises(tg.TraceError):
            tg.trace(real.f, row.start).grad(row.start)
        OUTCOMES[row.label] = row.refused
        return
    traced = tg.trace(real.f, row.start.copy())
    for point in (row.start, row.other):
        assert traced(point) == pytest.approx(float(real.f(point.copy())), rel=1e-11)
        differences = Differences(real.f, point)
        gradient, off = differences.gradient()
        close(traced.grad(point), gradient, off, row.rtol, "gradient")
        if real.gradient is not None:
            own = np.asarray(real.gradient(point.copy()), dtype=float)
            close(traced.grad(point), own, 0.0, row.rtol, "the package's gradient")
        if real.hessian is not None:
            own = np.asarray(real.hessian(point.copy()), dtype=float)
            close(traced.hessian(point), own, 0.0, row.rtol, "the package's Hessian")
        elif point.size <= 6:
            hessian, off = differences.hessian()
            close(traced.hessian(point), hessian, off, 100.0 * row.rtol, "Hessian")
    OUTCOMES[row.label] = None


def test_rows_are_told_apart():
    assert len({row.label for row in ROWS}) == len(ROWS) > 60
    assert len({row.package for row in ROWS}) > 10


def test_the_share_that_traces(capsys: pytest.CaptureFixture[str]):
    if len(OUTCOMES) < 60:
        pytest.skip("too few of the packages are installed")
    causes = Counter(cause for cause in OUTCOMES.values() if cause is not None)
    traced = len(OUTCOMES) - causes.total()
    with capsys.disabled():
        packages = {label.partition(":")[0] for label in OUTCOMES}
        print(f"\n{traced} of {len(OUTCOMES)} functions of {len(packages)} packages trace as they stand")
        for cause, count in causes.most_common():
            print(f"{count:4} refused: {cause}")
        sys.stdout.flush()
    assert traced >= 0.9 * len(OUTCOMES)
