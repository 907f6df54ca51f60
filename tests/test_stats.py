"""The log-densities against scipy.stats: same names, arguments and numbers, at the edges and traced too."""

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from scipy.special import digamma

import tapegrad.special
from benchmarks.distributions import DISTRIBUTIONS, Distribution
from benchmarks.distributions.row import COUNTS, DATA
from tapegrad import stats, trace

INF = np.inf

# Their distribution functions are compared with mpmath, in test_more_cdfs.py.
BY_MPMATH = {
    *("skewnorm", "vonmises", "betabinom", "hypergeom", "nbinom_mu", "genpoisson", "cmpoisson", "skellam"),
    "tweedie",
}
QUANTILES = ("ppf", "isf")
LEVELS = np.array([0.003, 0.2, 0.5, 0.9, 0.9975, 0.0, 1.0, -0.1, 1.1, np.nan])


def grid_of(row: Distribution, method: str) -> dict[str, Any]:
    """Values of the arguments: of quantiles, the first one is a probability."""
    if method not in QUANTILES:
        return row.grid
    return {"q": LEVELS, **dict(list(row.grid.items())[1:])}


CASES: list[tuple[str, str, dict[str, Any]]] = [
    (row.name, method, grid_of(row, method))
    for row in DISTRIBUTIONS
    for method in dir(getattr(stats, row.name))
    if method[0] != "_" and not (row.name in BY_MPMATH and method.endswith(("cdf", "sf", "ppf")))
]
IDS = [f"{distribution}.{name}" for distribution, name, _ in CASES]
ROWS = {row.name: row for row in DISTRIBUTIONS}


# Of vectors and matrices, and what is made of other distributions: these have tests of their own.
VECTORS = {"categorical", "multinomial", "dirichlet", "dirichlet_multinomial"}
MATRICES = {"multivariate_normal", "multivariate_t", "wishart", "lkj"}
FIELDS = {"ar1", "multivariate_normal_chol", "multivariate_normal_prec", "random_walk", "separable_normal"}
WRAPPERS = {"censored", "truncated", "zero_inflated", "hurdle"}


def test_every_distribution_is_compared() -> None:
    assert sorted({*ROWS, *VECTORS, *MATRICES, *FIELDS, *WRAPPERS}) == stats.__all__


def _log_of(cdf: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return np.log(cdf(*arguments, **named))


# SciPy gives 0 where a parameter is not valid.
SCIPYS_FAULTS = {("binom", "logcdf"), ("bernoulli", "logcdf")}
# Its search stops early.
TOLERANCE = {"ppf": 1e-9, "isf": 1e-9}


def _geom_quantile(name: str) -> Callable[..., Any]:
    """SciPy's has 0 trials for a success that is certain."""

    def quantile(q: Any, p: Any, loc: Any = 0.0) -> Any:
        certain = np.equal(p, 1.0) & np.greater(q, 0.0) & np.less(q, 1.0)
        return np.where(certain, np.add(loc, 1.0), getattr(scipy.stats.geom, name)(q, p, loc))

    return quantile


def ours_and_scipys(distribution: str, name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    row = ROWS[distribution]
    scipys = getattr(scipy.stats, distribution) if row.scipys is None else row.scipys
    oracle = getattr(scipys, name)
    if distribution == "geom" and name in QUANTILES:
        oracle = _geom_quantile(name)
    if (distribution, name) in SCIPYS_FAULTS:
        return getattr(getattr(stats, distribution), name), lambda *a, **named: np.log(
            scipys.cdf(*a, **named)
        )
    return getattr(getattr(stats, distribution), name), oracle


def assert_same(ours: Any, scipys: Any, name: str = "") -> None:
    # Both sum terms of a few hundred that may cancel, hence the absolute part.
    rtol = TOLERANCE.get(name, 1e-13)
    np.testing.assert_allclose(ours, scipys, rtol=rtol, atol=max(rtol, 2e-13))


def with_limits(scipys: Any, ours: Any, name: str, x: Any) -> Any:
    """SciPy's densities, and 0 for its NaN at infinity, where its formula is a difference of infinities."""
    if name not in ("pdf", "logpdf"):
        return scipys
    nothing = 0.0 if name == "pdf" else -INF
    return np.where(np.isnan(scipys) & np.isinf(x) & np.equal(ours, nothing), nothing, scipys)


@pytest.mark.parametrize(("distribution", "name", "grid"), CASES, ids=IDS)
def test_agrees_with_scipy_on_a_grid(distribution: str, name: str, grid: dict[str, Any]) -> None:
    function, oracle = ours_and_scipys(distribution, name)
    arguments = np.meshgrid(*grid.values(), indexing="ij")
    with np.errstate(all="ignore"):  # SciPy warns at some of these points; ours must not
        expected = oracle(*arguments)
    found = function(*arguments)
    assert_same(found, with_limits(expected, found, name, arguments[0]), name)


@pytest.mark.parametrize(("distribution", "name", "grid"), CASES, ids=IDS)
def test_numbers_give_numbers_and_keywords_are_scipys(
    distribution: str, name: str, grid: dict[str, Any]
) -> None:
    function, oracle = ours_and_scipys(distribution, name)
    for point in itertools.product(*(values[::3] for values in grid.values())):
        keywords = dict(zip(grid, (float(value) for value in point), strict=True))
        position = keywords.pop(next(iter(grid)))  # the one argument SciPy takes by position alone
        with np.errstate(all="ignore"):
            expected = oracle(position, **keywords)
        value = function(position, **keywords)
        assert np.ndim(value) == 0
        assert isinstance(value, float), point
        assert_same(value, with_limits(expected, value, name, position), name)


@pytest.mark.parametrize(("distribution", "name", "grid"), CASES, ids=IDS)
def test_defaults_and_broadcasting(distribution: str, name: str, grid: dict[str, Any]) -> None:
    function, oracle = ours_and_scipys(distribution, name)
    points = np.array([0.2, 0.5, 0.5, 0.9] if name in QUANTILES else [0.0, 1.0, 1.0, 4.0])
    main = getattr(stats, distribution)  # the other methods have the arguments of its first
    signature = inspect.signature(getattr(main, "logpmf" if hasattr(main, "logpmf") else "logpdf"))
    names = list(signature.parameters.values())[1:]
    needed = ROWS[distribution].at[: sum(name.default is inspect.Parameter.empty for name in names)]
    assert_same(function(points, *needed), oracle(points, *needed), name)
    last = [values[:3, None] if i else values for i, values in enumerate(grid.values())]
    with np.errstate(all="ignore"):
        expected = oracle(*last)
    found = function(*last)
    assert found.shape == (3, next(iter(grid.values())).size)
    assert_same(found, with_limits(expected, found, name, last[0]), name)


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


# Traced -----------------------------------------------------------------------------------------------------


def slopes(function: Callable[..., Any], data: Any, at: tuple[float, ...]) -> Any:
    tape = trace(lambda theta: function(data, *theta).sum(), list(at))
    value, gradient = tape.value_and_grad(list(at))
    assert_same(value, function(data, *at).sum())
    return gradient


@pytest.mark.parametrize("row", DISTRIBUTIONS, ids=lambda row: row.name)
def test_traced_value_and_gradient(row: Distribution) -> None:
    density = row.densities[0]
    fixed = max(density.data - 1, 0)
    if fixed == len(row.at):
        pytest.skip("all its parameters are whole numbers")
    gradient = slopes(lambda x, *free: density.function(x, *row.at[:fixed], *free), row.data, row.at[fixed:])
    with mp.workdps(density.digits):
        true = [density.terms(*map(mp.mpf, (float(x), *row.at))) for x in row.data]
        value, *score = (
            float(mp.fsum(term for terms in true for term in terms.get(what, ())))
            for what in ((), *((name,) for name in density.names[1 + fixed :]))
        )
    np.testing.assert_allclose(density.function(row.data, *row.at).sum(), value, rtol=1e-13)
    np.testing.assert_allclose(gradient, score, rtol=1e-12)


CUMULATED = [row for row in DISTRIBUTIONS if hasattr(getattr(stats, row.name), "logsf")]
# Those that begin at 0 or 1, and whose parameters are not all whole.
OF_COUNTS = [row for row in CUMULATED if "k" in row.grid and row.name not in ("hypergeom", "skellam")]
# That of the uniform distribution does not depend on x.
OF_NUMBERS = [row for row in CUMULATED if "x" in row.grid and row.name != "uniform"]


@pytest.mark.parametrize("row", OF_NUMBERS, ids=lambda row: row.name)
def test_the_slope_of_a_cdf_is_the_density(row: Distribution) -> None:
    """In x; and so are their slopes in the parameters."""
    dist = getattr(stats, row.name)
    at = (float(row.data[1]), *row.at)
    density = trace(lambda theta: np.exp(dist.logpdf(*_placed(row, theta))), at)
    value, slopes = density.value_and_grad_flat(np.array(at))
    for log, sign in ((dist.logcdf, 1.0), (dist.logsf, -1.0)):
        traced = trace(lambda theta, log=log: np.exp(log(*_placed(row, theta))), at)
        np.testing.assert_allclose(traced.value_and_grad_flat(np.array(at))[1][0], sign * value, rtol=1e-12)
        np.testing.assert_allclose(traced.hessian_flat(np.array(at))[0], sign * slopes, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("row", OF_COUNTS, ids=lambda row: row.name)
def test_the_slopes_of_a_cdf_of_counts_are_those_of_its_sums(row: Distribution) -> None:
    dist, fixed = getattr(stats, row.name), max(row.densities[0].data - 1, 0)
    at, whole = row.at[fixed:], row.at[:fixed]
    first = 1.0 if row.name == "geom" else 0.0
    counts = np.arange(first, 2.0 if row.name == "bernoulli" else 4.0)[:3]
    total = trace(lambda theta: np.exp(dist.logpmf(counts[:-1], *whole, *theta)).sum(), at)
    for log, sign in ((dist.logcdf, 1.0), (dist.logsf, -1.0)):
        traced = trace(lambda theta, log=log: np.exp(log(counts[-2], *whole, *theta)), at)
        slopes = sign * total.value_and_grad_flat(np.array(at))[1]
        np.testing.assert_allclose(traced.value_and_grad_flat(np.array(at))[1], slopes, rtol=1e-11)
        bends = sign * total.hessian_flat(np.array(at))
        np.testing.assert_allclose(traced.hessian_flat(np.array(at)), bends, rtol=1e-9, atol=1e-11)


def _placed(row: Distribution, theta: Any) -> tuple[Any, ...]:
    """The arguments for a density whose row may leave out the location."""
    names = row.densities[0].names
    x, *others = theta
    if "loc" in row.grid and "loc" not in names and "scale" in names:
        return x, *others[:-1], 0.0, others[-1]
    return (x, *others)


@pytest.mark.parametrize(
    ("function", "data", "at", "score"),
    [
        (stats.bernoulli.logpmf, np.zeros(3), 0.0, -3.0),
        (stats.bernoulli.logpmf, np.ones(3), 1.0, 3.0),
        (stats.poisson.logpmf, np.zeros(3), 0.0, -3.0),
    ],
)
def test_the_score_at_the_edge_of_what_is_allowed(
    function: Callable[..., Any], data: Any, at: float, score: float
) -> None:
    """The derivative of 0 log(p) is 0 at p = 0 too."""
    np.testing.assert_allclose(slopes(function, data, (at,)), [score], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "x", "at"),
    [
        ("gamma", 0.0, (2.0, 1.5)),
        ("beta", 0.0, (2.0, 1.5)),
        ("beta", 1.0, (2.0, 1.5)),
        ("weibull_min", 0.0, (2.0, 1.5)),
        ("lognorm", 0.0, (0.5, 1.0)),
        ("f", 0.0, (5.0, 3.0)),
        ("pareto", 0.5, (2.0, 0.3)),
        ("genpareto", 10.0, (-0.5, 1.0)),
        ("genextreme", 10.0, (0.5, 0.0)),
        ("triang", 0.0, (0.5,)),
        ("truncnorm", 5.0, (-1.0, 1.0)),
        ("gumbel_r", INF, (0.0, 1.0)),
        ("t", INF, (3.0, 0.0, 1.0)),
    ],
)
def test_no_density_has_no_slope(name: str, x: float, at: tuple[float, ...]) -> None:
    traced = trace(lambda theta: getattr(stats, name).logpdf(x, *theta), at)
    value, gradient = traced.value_and_grad_flat(np.array(at))
    assert value == -INF
    np.testing.assert_array_equal(gradient, 0.0)
    np.testing.assert_array_equal(traced.hessian_flat(np.array(at)), 0.0)


def test_a_traced_support_follows_its_parameter() -> None:
    tape = trace(lambda loc: stats.expon.logpdf(DATA, loc, 2.0).sum(), 0.0)
    assert tape(0.39) == pytest.approx(scipy.stats.expon.logpdf(DATA, 0.39, 2.0).sum(), rel=1e-13)
    assert tape(0.41) == -INF
    assert tape.retraces == 0


def test_traced_invalid_parameters_are_nan_on_replay() -> None:
    tape = trace(lambda n, p: stats.nbinom.logpmf(COUNTS, n, p).sum(), {"n": 1.0, "p": 0.5})
    for theta in ([-0.5, 0.5], [1.0, -0.1], [1.0, 1.1], [0.0, 0.5]):
        assert np.isnan(tape.value_flat(np.array(theta)))


def test_the_support_of_plain_data_is_not_on_the_tape() -> None:
    def shapes_of_where(function: Callable[..., Any], data: Any, *start: float) -> list[tuple[int, ...]]:
        tape = trace(lambda theta: function(data, *theta).sum(), list(start)).tape
        return [tape.avals[entry.output].shape for entry in tape.entries if entry.op.name == "where"]

    assert shapes_of_where(stats.norm.logpdf, DATA, 1.0, 2.0) == []
    assert shapes_of_where(stats.poisson.logpmf, COUNTS, 2.0) == [()]  # mu >= 0
    assert shapes_of_where(stats.nbinom.logpmf, COUNTS, 2.0, 0.5) == [(), ()]  # n > 0, 0 < p <= 1
    # and where something is outside, it is.
    assert shapes_of_where(stats.poisson.logpmf, COUNTS - 1.0, 2.0) == [(), (4,)]


def test_lists_that_hold_traced_values() -> None:
    def written_with(special: Any, norm: Any) -> Callable[..., Any]:
        def f(a: Any, b: Any) -> Any:
            total = special.logsumexp([a, b, 1.0]) + special.gammaln([[a, 2.0], [b, a]]).sum()
            return total + norm.logpdf(0.5, [a, 1.0], [2.0, 3.0]).sum() + special.softmax((a, b))[0]

        return f

    tape = trace(written_with(tapegrad.special, stats.norm), dict(a=2.0, b=3.0))
    expected = written_with(scipy.special, scipy.stats.norm)(1.5, 0.7)
    np.testing.assert_allclose(tape(dict(a=1.5, b=0.7)), expected, rtol=1e-14)
    softmax = scipy.special.softmax
    slope = softmax([2.0, 3.0, 1.0])[1] + digamma(3.0) - softmax([2.0, 3.0]).prod()
    np.testing.assert_allclose(tape.grad(dict(a=2.0, b=3.0))["b"], slope, rtol=1e-13)
