"""The log-densities against scipy.stats: same names, same arguments, same numbers, edge cases included."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

from tapegrad import stats

NAN, INF = np.nan, np.inf
XS = np.array([-40.0, -9.0, -2.5, -1.0, -0.3, 0.0, 1e-9, 0.5, 1.0, 2.0, 3.7, 12.0, 38.0, 1e3, -INF, INF, NAN])
LOCS = np.array([0.0, 1.0, -2.5, NAN])
SCALES = np.array([1.0, 0.25, 7.0, 1e-3, 0.0, -1.0, NAN])
KS = np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 17.0, 150.0, NAN])
PROBABILITIES = np.array([0.0, 1e-12, 0.2, 0.5, 0.9, 1.0 - 1e-12, 1.0, -0.1, 1.1, NAN])

CONTINUOUS = {"x": XS, "loc": LOCS, "scale": SCALES}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    *(("norm", name, CONTINUOUS) for name in ("logpdf", "pdf", "logcdf", "cdf", "logsf", "sf")),
    *(("expon", name, CONTINUOUS) for name in ("logpdf", "pdf", "logcdf", "cdf", "logsf", "sf")),
    ("poisson", "logpmf", {"k": KS, "mu": np.array([0.0, 1e-9, 0.7, 3.0, 80.0, -1.0, NAN]), "loc": LOCS}),
    (
        "nbinom",
        "logpmf",
        {"k": KS, "n": np.array([0.3, 1.0, 4.5, 60.0, 0.0, -0.5, NAN]), "p": PROBABILITIES, "loc": LOCS},
    ),
    ("bernoulli", "logpmf", {"k": KS, "p": PROBABILITIES, "loc": LOCS}),
]
IDS = [f"{distribution}.{name}" for distribution, name, _ in CASES]


def ours_and_scipys(distribution: str, name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return getattr(getattr(stats, distribution), name), getattr(getattr(scipy.stats, distribution), name)


def assert_same(ours: Any, scipys: Any) -> None:
    # Both sum terms of a few hundred that may cancel, hence the absolute part.
    np.testing.assert_allclose(ours, scipys, rtol=1e-13, atol=2e-13)


@pytest.mark.parametrize(("distribution", "name", "grid"), CASES, ids=IDS)
def test_agrees_with_scipy_on_a_grid(distribution: str, name: str, grid: dict[str, Any]) -> None:
    function, oracle = ours_and_scipys(distribution, name)
    arguments = np.meshgrid(*grid.values(), indexing="ij")
    with np.errstate(all="ignore"):  # SciPy warns at some of these points; ours must not
        expected = oracle(*arguments)
    assert_same(function(*arguments), expected)


@pytest.mark.parametrize(("distribution", "name", "grid"), CASES, ids=IDS)
def test_numbers_give_numbers_and_keywords_are_scipys(
    distribution: str, name: str, grid: dict[str, Any]
) -> None:
    function, oracle = ours_and_scipys(distribution, name)
    for point in itertools.product(*(values[::3] for values in grid.values())):
        keywords = dict(zip(grid, (float(value) for value in point), strict=True))
        first = "x" if "x" in grid else "k"  # the one argument SciPy takes by position alone
        position = keywords.pop(first)
        with np.errstate(all="ignore"):
            expected = oracle(position, **keywords)
        value = function(position, **keywords)
        assert np.ndim(value) == 0
        assert isinstance(value, float), point
        assert_same(value, expected)


@pytest.mark.parametrize(("distribution", "name", "grid"), CASES, ids=IDS)
def test_defaults_and_broadcasting(distribution: str, name: str, grid: dict[str, Any]) -> None:
    function, oracle = ours_and_scipys(distribution, name)
    points = np.array([0.0, 1.0, 1.0, 4.0])
    shape = {"norm": (), "expon": (), "poisson": (2.0,), "nbinom": (2.0, 0.3), "bernoulli": (0.3,)}
    assert_same(function(points, *shape[distribution]), oracle(points, *shape[distribution]))
    last = [values[:3, None] if i else values for i, values in enumerate(grid.values())]
    with np.errstate(all="ignore"):
        expected = oracle(*last)
    assert function(*last).shape == (3, next(iter(grid.values())).size)
    assert_same(function(*last), expected)


def test_the_log_of_a_cdf_keeps_its_digits_where_the_cdf_is_close_to_one_or_zero() -> None:
    # -exp(-40) and log(1e-12) - 5e-13 to first order: a plain log(cdf) has lost them all.
    np.testing.assert_allclose(stats.expon.logcdf(40.0), -np.exp(-40.0), rtol=1e-14)
    np.testing.assert_allclose(stats.expon.logcdf(1e-12), np.log(1e-12) - 5e-13, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.bool_, np.float32])
def test_narrow_data_is_computed_in_float64(dtype: type) -> None:
    # scipy.special alone would answer in float32 for all of these but int64.
    data = np.array([0, 1, 1], dtype=dtype)
    for function, arguments in (
        (stats.poisson.logpmf, (1.3,)),
        (stats.nbinom.logpmf, (1.3, 0.3)),
        (stats.bernoulli.logpmf, (0.3,)),
        (stats.norm.logcdf, (0.3, 1.7)),
    ):
        assert_same(function(data, *arguments), function([0.0, 1.0, 1.0], *arguments))


def test_lists_and_pandas_objects_give_arrays() -> None:
    pandas = pytest.importorskip("pandas")
    series = pandas.Series([1.0, 2.0], index=["a", "b"])
    expected = scipy.stats.norm.logpdf([1.0, 2.0], [1.0, 2.0], [1.0, 2.0])
    for value in (stats.norm.logpdf(series, series, series), stats.norm.logpdf(*3 * [[1.0, 2.0]])):
        assert type(value) is np.ndarray
        assert_same(value, expected)


def test_arguments_are_not_changed() -> None:
    k, n, p = np.array([-1.0, 2.0]), np.array([-1.0, 3.0]), np.array([0.5, 7.0])
    before = [a.copy() for a in (k, n, p)]
    stats.nbinom.logpmf(k, n, p)
    for array, copy in zip((k, n, p), before, strict=True):
        np.testing.assert_array_equal(array, copy)
