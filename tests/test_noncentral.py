"""The noncentral t distribution against mpmath: value, and derivatives in all three arguments."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

import tapegrad as tg

POINTS = ((0.7, 4.0, 1.2), (8.0, 0.7, 2.0))


def given_chi(f: Any, df: Any) -> Any:
    """The mean of ``f(u)`` for a chi variable u."""
    level = 2 ** (1 - df / 2) / mp.gamma(df / 2)
    root = mp.sqrt(df)
    edges = [0, root / 8, root / 2, root, root + 2, root + 6, root + 20]
    return level * mp.quad(lambda u: f(u) * u ** (df - 1) * mp.exp(-u * u / 2), edges)


def density(x: Any, df: Any, nc: Any) -> Any:
    root = mp.sqrt(df)
    return given_chi(lambda u: mp.npdf(x * u / root - nc) * u / root, df)


def tail(x: Any, df: Any, nc: Any) -> Any:
    root = mp.sqrt(df)
    return given_chi(lambda u: mp.ncdf(nc - x * u / root), df)


@pytest.mark.parametrize(("name", "exact"), [("pdf", density), ("sf", tail)])
@pytest.mark.parametrize("point", POINTS)
def test_noncentral_t(name: str, exact: Any, point: tuple[float, ...]) -> None:
    at = np.array(point)
    traced = tg.trace(lambda v: getattr(stats.nct, name)(*v), at)
    with mp.workdps(25):
        assert float(traced(at)) == pytest.approx(float(exact(*map(mp.mpf, point))), rel=1e-12)
        for i, slope in enumerate(traced.grad(at)):

            def along(z: Any, i: int = i) -> Any:
                return exact(*[z if j == i else mp.mpf(value) for j, value in enumerate(point)])

            assert slope == pytest.approx(float(mp.diff(along, point[i], h=mp.mpf(10) ** -8)), rel=1e-9)
