"""scipy.stats: distributions of vectors and matrices, frozen or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
from scipy.special import gammaln, ive, ndtr

from tapegrad import stats
from tapegrad.errors import TraceError
from tapegrad.ops.bivariate import bivariate_normal
from tapegrad.recording.frames import whereabouts
from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.standins.numpys import traced_array
from tapegrad.special import multigammaln

_LOG_2PI, _LOG_PI = math.log(2.0 * math.pi), math.log(math.pi)

# Densities that tapegrad.stats has not, or has for other shapes ---------------------------------------------


def _normal(x: Any, mean: Any = None, cov: Any = 1) -> Any:
    """By the Cholesky factor of the covariance matrix."""
    mean = np.zeros(1) if mean is None else np.atleast_1d(mean)
    size = max(mean.shape[0], *np.shape(cov), 1)
    x = np.atleast_1d(x)
    if x.ndim == 1:
        x = x[:, None] if size == 1 else x[None]
    factor = np.linalg.cholesky(_square(cov, size))
    rows = x.reshape(-1, size) - mean
    squares = np.sum(np.linalg.solve(factor, rows.T) ** 2, axis=0)
    value = -0.5 * (size * _LOG_2PI + squares) - _half_log_det(factor)
    return np.squeeze(value.reshape(x.shape[:-1]))[()]


def _square(matrix: Any, size: int) -> Any:
    return np.eye(size) * matrix if np.ndim(matrix) < 2 else matrix


def _half_log_det(factor: Any) -> Any:
    return np.sum(np.log(np.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)


def _rows_and_columns(x: Any, mean: Any, of_rows: Any, of_columns: Any) -> tuple[Any, ...]:
    """Matrices without mean, whitened on both sides; half of both log-determinants; sizes."""
    n, m = np.shape(x)[-2:]
    rows, columns = (np.linalg.cholesky(_square(v, k)) for v, k in ((of_rows, n), (of_columns, m)))
    away = x if mean is None else x - mean
    white = np.linalg.solve(columns, np.swapaxes(np.linalg.solve(rows, away), -1, -2))
    return white, _half_log_det(rows), _half_log_det(columns), n, m


def _matrix_normal(X: Any, mean: Any = None, rowcov: Any = 1, colcov: Any = 1) -> Any:
    white, rows, columns, n, m = _rows_and_columns(X, mean, rowcov, colcov)
    return -0.5 * (n * m * _LOG_2PI + np.sum(white**2, axis=(-2, -1))) - m * rows - n * columns


def _matrix_t(X: Any, mean: Any = None, row_spread: Any = 1, col_spread: Any = 1, df: Any = 1) -> Any:
    white, rows, columns, n, m = _rows_and_columns(X, mean, row_spread, col_spread)
    inner = np.eye(m) + white @ np.swapaxes(white, -1, -2)
    total = 0.5 * (df + n + m - 1.0)
    value = multigammaln(total, n) - multigammaln(total - 0.5 * m, n) - 0.5 * n * m * _LOG_PI
    return value - m * rows - n * columns - 2.0 * total * _half_log_det(np.linalg.cholesky(inner))


def _inverse_wishart(x: Any, df: Any, scale: Any) -> Any:
    x = np.reshape(x, (1, 1)) if np.ndim(x) == 0 else x
    x = np.moveaxis(x, -1, 0) if np.ndim(x) == 3 else x
    size = np.shape(x)[-1]
    of_x, factor = np.linalg.cholesky(x), np.linalg.cholesky(_square(scale, size))
    trace = np.sum(np.linalg.solve(of_x, factor) ** 2, axis=(-2, -1))
    value = df * _half_log_det(factor) - (df + size + 1.0) * _half_log_det(of_x) - 0.5 * trace
    value = value - 0.5 * size * math.log(2.0) * df - multigammaln(0.5 * df, size)
    return np.where(np.greater(df, size - 1), value, np.nan)[()]


def _von_mises_fisher(x: Any, mu: Any = None, kappa: Any = 1) -> Any:
    half = 0.5 * np.shape(x)[-1]
    level = (half - 1.0) * np.log(kappa) - half * _LOG_2PI - np.log(ive(half - 1.0, kappa)) - kappa
    return level + kappa * (x @ mu)


def _normal_inverse_gamma(x: Any, s2: Any, mu: Any = 0, lmbda: Any = 1, a: Any = 1, b: Any = 1) -> Any:
    is_inside = np.greater(s2, 0.0)
    s = np.where(is_inside, s2, 1.0)
    value = 0.5 * (np.log(lmbda) - _LOG_2PI) + a * np.log(b) - gammaln(a) - (a + 1.5) * np.log(s)
    value = value - (2.0 * b + lmbda * (x - mu) ** 2) / (2.0 * s)
    is_valid = np.logical_and(np.greater(lmbda, 0), np.logical_and(np.greater(a, 0), np.greater(b, 0)))
    return np.where(is_valid, np.where(is_inside, value, -np.inf), np.nan)[()]


# Distribution functions -------------------------------------------------------------------------------------


def _normal_cdf(
    x: Any,
    mean: Any = None,
    cov: Any = 1,
    maxpts: Any = None,
    abseps: Any = 1e-5,
    releps: Any = 1e-5,
    lower_limit: Any = None,
    rng: Any = None,
) -> Any:
    """Of one or two variables; that of more is an integral, which SciPy takes at random points."""
    mean = np.zeros(1) if mean is None else np.atleast_1d(mean)
    size = max(mean.shape[0], *np.shape(cov), 1)
    if size > 2:
        raise TraceError(
            f"the distribution function of {size} normal variables cannot be traced{whereabouts()}: SciPy "
            "integrates at random points; that of one or of two variables has a formula"
        )
    cov = _square(cov, size)
    widths = np.sqrt(np.diagonal(cov))
    r = cov[0, -1] / (widths[0] * widths[-1])
    x = np.atleast_1d(x)
    x = (x[:, None] if size == 1 else x[None]) if x.ndim == 1 else x
    high = (x - mean) / widths
    if lower_limit is None:
        return np.squeeze(_below(high, r))[()]
    low = (lower_limit + 0.0 * x - mean) / widths
    if size == 1:
        return np.squeeze(_below(high, r) - _below(low, r))[()]
    mixed = [np.stack([a[..., 0], b[..., 1]], axis=-1) for a, b in ((low, high), (high, low))]
    return np.squeeze(_below(high, r) - _below(mixed[0], r) - _below(mixed[1], r) + _below(low, r))[()]


def _below(bounds: Any, r: Any) -> Any:
    """The probability that all variables are below their bounds."""
    if bounds.shape[-1] == 1:
        return ndtr(bounds[..., 0])
    return bivariate_normal(-bounds[..., 0], -bounds[..., 1], r)


# Their methods ----------------------------------------------------------------------------------------------

_DENSITIES: dict[str, Callable[..., Any]] = {
    "multivariate_normal": _normal,
    "multivariate_t": stats.multivariate_t.logpdf,
    "matrix_normal": _matrix_normal,
    "matrix_t": _matrix_t,
    "dirichlet": stats.dirichlet.logpdf,
    "wishart": stats.wishart.logpdf,
    "invwishart": _inverse_wishart,
    "vonmises_fisher": _von_mises_fisher,
    "normal_inverse_gamma": _normal_inverse_gamma,
}
_MASSES: dict[str, Callable[..., Any]] = {
    "multinomial": stats.multinomial.logpmf,
    "dirichlet_multinomial": stats.dirichlet_multinomial.logpmf,
}


def _of(log_density: Callable[..., Any], is_log: bool, params: dict[str, Any]) -> Any:
    value = log_density(**{name: _array(value) for name, value in params.items()})
    return value if is_log else np.exp(value)


def _array(arg: Any) -> Any:
    array = traced_array(arg)
    return np.asarray(array) if isinstance(array, (list, tuple)) else array


def _given(method: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any] | None:
    """The arguments of a method of SciPy's by their names, None where a singular matrix is allowed."""
    given = dict(signature(method).bind(*args, **kwargs).arguments)
    params = {name: value for name, value in given.items() if name not in ("self", "seed", "kwds")}
    return None if params.pop("allow_singular", False) else params


def _method(log_density: Callable[..., Any], is_log: bool) -> Callable[..., Any]:
    def answer(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        params = _given(original, *args, **kwargs)
        return NotImplemented if params is None else _of(log_density, is_log, params)

    return answer


class _Frozen:
    """A distribution with its parameters: its densities take what is left."""

    def __init__(self, dist: Any, log_density: Callable[..., Any], kind: str, params: dict[str, Any]) -> None:
        self._dist, self._log_density, self._kind, self._params = dist, log_density, kind, params
        vars(self).update({name: value for name, value in params.items() if not hasattr(dist, name)})

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._dist, name)
        if name not in (self._kind, f"log{self._kind}"):
            return partial(method, **self._params)

        def density(*args: Any, **kwargs: Any) -> Any:
            params = _given(method, *args, **kwargs, **self._params)
            return _of(self._log_density, name != self._kind, params or {})

        return density


def _frozen(log_density: Callable[..., Any], kind: str) -> Callable[..., Any]:
    def answer(original: Callable[..., Any], dist: Any, *args: Any, **kwargs: Any) -> Any:
        params = _given(original, dist, *args, **kwargs)
        return NotImplemented if params is None else _Frozen(dist, log_density, kind, params)

    return answer


def _cumulative(is_log: bool) -> Callable[..., Any]:
    def answer(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        params = _given(original, *args, **kwargs)
        if params is None:
            return NotImplemented
        value = _normal_cdf(**{name: _array(value) for name, value in params.items()})
        return np.log(value) if is_log else value

    return answer


TABLE = [
    StandIn("scipy.stats._multivariate:multivariate_normal_gen", "cdf", _cumulative(False)),
    StandIn("scipy.stats._multivariate:multivariate_normal_gen", "logcdf", _cumulative(True)),
    *[
        StandIn(f"scipy.stats._multivariate:{name}_gen", method, answer)
        for kind, table in (("pdf", _DENSITIES), ("pmf", _MASSES))
        for name, log_density in table.items()
        for method, answer in (
            (f"log{kind}", _method(log_density, True)),
            (kind, _method(log_density, False)),
            ("__call__", _frozen(log_density, kind)),
        )
    ],
]
