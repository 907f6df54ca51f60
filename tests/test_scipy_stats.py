"""All distributions of scipy.stats: what traces is right, and what does not trace says why.

``python -m pytest -s tests/test_scipy_stats.py`` prints how many trace, and why the others do not.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import stats
from scipy.stats import _distr_params

import tapegrad as tg

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning"),
]
LOC, SCALE = 0.2, 1.3
REASONS: dict[tuple[str, str], str | None] = {}
CASES = {
    **{name: shapes for name, shapes in reversed(_distr_params.distcont) if isinstance(name, str)},
    **{name: shapes for name, shapes in reversed(_distr_params.distdiscrete) if isinstance(name, str)},
}
# Their quantiles take seconds, or their density is that of another distribution.
POINTS = {"levy_stable": [0.1, 0.5, 1.0], "studentized_range": [1.0, 2.0], "kstwo": [0.3, 0.4]}

# Next to 0.9, SciPy's density has ten digits.
SCIPYS_ERRORS = {"kstwobign": 1e-8}


def is_discrete(name):
    return isinstance(getattr(stats, name), stats.rv_discrete)


def points(name):
    """Points in the inside of the support."""
    shapes = CASES[name]
    found = POINTS.get(name)
    if found is None:
        found = np.unique(getattr(stats, name).ppf([0.15, 0.35, 0.6, 0.85], *shapes))
    return found if is_discrete(name) else np.asarray(found) * SCALE + LOC


def moving(name):
    """The places of the parameters that need not be whole numbers: the others stay as they are."""
    return [i for i, info in enumerate(getattr(stats, name)._shape_info()) if not info.integrality]


def method(name, which):
    dist, x, places = getattr(stats, name), points(name), moving(name)

    def f(theta):
        args = list(CASES[name])
        for i, place in enumerate(places):
            args[place] = theta[i]
        if is_discrete(name):
            return getattr(dist, which)(x, *args).sum() + 0.0 * theta.sum()
        return getattr(dist, which)(x, *args, loc=theta[-2], scale=theta[-1]).sum()

    return f


def start(name):
    shapes = [CASES[name][i] for i in moving(name)]
    return np.array((shapes or [1.0]) if is_discrete(name) else [*shapes, LOC, SCALE], dtype=float)


def slopes(f, theta):
    """Central differences of the sixth order, of the step at which they change least."""
    tried = [differences(f, theta, step) for step in (2e-3, 4e-4, 8e-5, 1.6e-5)]
    changes = np.abs(np.diff(tried, axis=0))
    return np.take_along_axis(np.array(tried[1:]), changes.argmin(axis=0)[None], axis=0)[0]


def differences(f, theta, step):
    found = np.zeros(theta.size)
    for i in range(theta.size):
        h = step * max(abs(theta[i]), 0.05)
        for k, weight in ((1, 0.75), (2, -0.15), (3, 1 / 60)):
            move = np.zeros(theta.size)
            move[i] = k * h
            found[i] += weight * (f(theta + move) - f(theta - move)) / h
    return found


WHICH = [(name, "logpmf" if is_discrete(name) else "logpdf") for name in sorted(CASES)]
WHICH += [(name, "cdf") for name in sorted(CASES) if name not in POINTS]


@pytest.mark.parametrize(("name", "which"), WHICH, ids=[f"{name}-{which}" for name, which in WHICH])
def test_distribution(name, which):
    f, theta = method(name, which), start(name)
    try:
        traced = tg.trace(f, theta)
        slope = traced.grad(theta)
    except tg.TraceError as error:
        REASONS[name, which] = re.sub(r" at \S+: `.*?`", "", str(error))
        return
    REASONS[name, which] = None
    assert traced(theta) == pytest.approx(f(theta), rel=SCIPYS_ERRORS.get(name, 1e-11), abs=1e-13)
    expected = slopes(f, theta)
    bound = 1e-6 * np.abs(expected).max() + 1e-9
    np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=bound)


def test_how_many_trace():
    if len(REASONS) < len(WHICH):
        pytest.skip("not all distributions have been tried")
    for kind, which, least in (
        (False, "logpdf", 100),
        (True, "logpmf", 20),
        (False, "cdf", 97),
        (True, "cdf", 20),
    ):
        tried = {n: r for (n, w), r in REASONS.items() if w == which and is_discrete(n) == kind}
        refused = {n: r for n, r in tried.items() if r is not None}
        print(f"\n{which}: {len(tried) - len(refused)} of {len(tried)} distributions trace")
        for n, reason in refused.items():
            print(f"  {n}: {reason}")
        assert len(tried) - len(refused) >= least


def test_the_slope_in_a_noncentrality_of_0():
    """SciPy goes over to chi squared there. It is ``x / (2 df) - 1 / 2``, and minus a density."""
    x, df = np.array([0.7, 3.0, 9.0]), 2.5
    traced = tg.trace(lambda nc: stats.ncx2.logpdf(x, df, nc).sum(), 0.0)
    assert traced(0.0) == pytest.approx(stats.chi2.logpdf(x, df).sum(), rel=1e-13)
    assert traced.grad(0.0) == pytest.approx((0.5 * x / df - 0.5).sum(), rel=1e-12)
    traced = tg.trace(lambda nc: stats.ncx2.cdf(x, df, nc).sum(), 0.0)
    assert traced.grad(0.0) == pytest.approx(-stats.chi2.pdf(x, df + 2.0).sum(), rel=1e-12)
    assert traced(1.3) == pytest.approx(stats.ncx2.cdf(x, df, 1.3).sum(), rel=1e-12)
