"""Regressions by a formula: the common families, each one line of NumPy."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from tapegrad.mle.fit import fit
from tapegrad.mle.model.columns import is_table, names_of, numbers_of
from tapegrad.mle.result import FitResult
from tapegrad.mle.transforms import positive
from tapegrad.special import expit, log_expit, log_ndtr
from tapegrad.stats import beta, gamma_mean, nbinom_mu, norm, poisson, t

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Family:
    """A family of distributions whose mean, or its transform, is a linear predictor.

    Attributes
    ----------
    loglik : callable
        Of the outcome, the linear predictor, and the parameters of `more` by name.
    link : callable
        Of the mean of the outcome: where the constant starts.
    needs : callable
        Of the outcome: whether each value is possible.
    possible : str
        The same in words.
    more : dict of str to float
        Further parameters, all positive, and where they start.
    """

    loglik: Callable[..., Any]
    link: Callable[[float], float]
    needs: Callable[[Array], Any]
    possible: str
    more: dict[str, float] = field(default_factory=dict)


def _logit(y: Any, eta: Any) -> Any:
    return log_expit((2.0 * y - 1.0) * eta)


def _probit(y: Any, eta: Any) -> Any:
    return log_ndtr((2.0 * y - 1.0) * eta)


def _logit_of(mean: float) -> float:
    return float(np.log(mean / (1.0 - mean)))


def _log_of(mean: float) -> float:
    return float(np.log(mean))


def _finite(y: Array) -> Any:
    return np.isfinite(y)


def _count(y: Array) -> Any:
    return (y >= 0.0) & (y == np.floor(y))


def _binary(y: Array) -> Any:
    return (y == 0.0) | (y == 1.0)


def _positive(y: Array) -> Any:
    return y > 0.0


def _share(y: Array) -> Any:
    return (y > 0.0) & (y < 1.0)


_COUNTS, _TRUTHS = "counts: 0, 1, 2 and so on", "0 or 1"
FAMILIES: Final[dict[str, Family]] = {
    "gaussian": Family(
        lambda y, eta, sigma: norm.logpdf(y, eta, sigma), float, _finite, "finite numbers", {"sigma": 1.0}
    ),
    "student": Family(
        lambda y, eta, sigma, df: t.logpdf(y, df, eta, sigma),
        float,
        _finite,
        "finite numbers",
        {"sigma": 1.0, "df": 5.0},
    ),
    "logit": Family(_logit, _logit_of, _binary, _TRUTHS),
    "probit": Family(_probit, lambda mean: float(ndtri(mean)), _binary, _TRUTHS),
    "poisson": Family(lambda y, eta: poisson.logpmf(y, np.exp(eta)), _log_of, _count, _COUNTS),
    "negbinomial": Family(
        lambda y, eta, size: nbinom_mu.logpmf(y, np.exp(eta), size), _log_of, _count, _COUNTS, {"size": 1.0}
    ),
    "gamma": Family(
        lambda y, eta, shape: gamma_mean.logpdf(y, np.exp(eta), shape),
        _log_of,
        _positive,
        "positive numbers",
        {"shape": 1.0},
    ),
    "beta": Family(
        lambda y, eta, phi: beta.logpdf(y, expit(eta) * phi, expit(-eta) * phi),
        _logit_of,
        _share,
        "numbers between 0 and 1",
        {"phi": 2.0},
    ),
}


def regression(
    formula: str,
    data: Any,
    family: str = "gaussian",
    *,
    offset: Any = None,
    missing: str = "raise",
    **options: Any,
) -> FitResult:
    """Fit a regression by its formula.

    Parameters
    ----------
    formula : str
        Such as ``"y ~ x + C(group)"``; it is read by formulaic (``pip install "tapegrad[formula]"``).
    data : table, or mapping of str to array_like
        The columns of the formula: of pandas, polars, pyarrow, or arrays by name.
    family : str
        The mean is the linear predictor for "gaussian" and "student" (with scale `sigma`, and `df`); its
        exponential for "poisson", "negbinomial" (variance ``mu + mu^2 / size``) and "gamma" (`shape`); and a
        probability or a share for "logit", "probit" and "beta" (with precision `phi`, by the logistic
        function).
    offset : array_like of shape (n,), or str, optional
        What is added to the linear predictor, or the name of its column.
    missing : str
        "raise", or "drop" for leaving out rows in which a value of the formula is missing.
    **options
        Those of `fit`, such as ``cov_type="HC3"``; not `data`, `transforms` and `random`.

    Returns
    -------
    FitResult
        The coefficients have the names of the formula's columns.

    Raises
    ------
    ImportError
        If formulaic is not installed.
    ValueError
        If there is no such family, if values are missing, or if the outcome is none of the family.

    Examples
    --------
    >>> from tapegrad.mle import regression
    >>> data = dict(killed=[1, 4, 9, 13, 18], dose=[0, 1, 2, 3, 4])
    >>> result = regression("killed ~ dose", data, "poisson")
    >>> result.names, result.x.round(3)
    (('Intercept', 'dose'), array([0.859, 0.534]))
    """
    if family not in FAMILIES:
        raise ValueError(f"no family {family!r}: choose one of {', '.join(FAMILIES)}")
    chosen = FAMILIES[family]
    frame = _frame(data, offset)
    y, design, dropped = _matrices(formula, frame, offset, missing)
    outcome = np.asarray(y)
    _check(outcome, chosen, family, formula)
    along = np.zeros(outcome.size) if offset is None else np.asarray(frame[_OFFSET])[dropped.kept]
    names = [str(name) for name in design.columns]
    clash = sorted(set(names) & set(chosen.more))
    if clash:
        raise ValueError(f"{clash[0]} is a column of the formula, and a parameter of the family {family}")
    matrix = np.asarray(design, dtype=np.float64)

    def loglik(b: Any, y: Any, design: Any, offset: Any, **more: Any) -> Any:
        return chosen.loglik(y, design @ b + offset, **more)

    loglik.__name__ = formula
    result = fit(
        loglik,
        {"b": _start(matrix, outcome, along, chosen), **_further(chosen, outcome)},
        data={"y": outcome, "design": matrix, "offset": along},
        transforms=dict.fromkeys(chosen.more, positive),
        **_kept(options, dropped),
    )
    return replace(result.renamed(b=names), dropped=dropped.count)


_OFFSET: Final = "offset of the linear predictor"


@dataclass(frozen=True, eq=False)
class _Dropped:
    kept: npt.NDArray[np.bool_]

    @property
    def count(self) -> int:
        return int((~self.kept).sum())


def _frame(data: Any, offset: Any) -> Any:
    try:
        import formulaic  # noqa: F401
        import pandas
    except ImportError as error:
        raise ImportError('formulas need formulaic: python -m pip install "tapegrad[formula]"') from error
    names = (names_of(data) or []) if is_table(data) else list(data)
    columns = {str(name): data[name] for name in names}
    frame = data.reset_index(drop=True) if isinstance(data, pandas.DataFrame) else None
    if frame is None:
        frame = pandas.DataFrame({name: _column(value) for name, value in columns.items()})
    if offset is not None:
        values = frame[offset] if isinstance(offset, str) else offset
        frame = frame.assign(**{_OFFSET: np.asarray(values, dtype=np.float64)})
    return frame


def _column(value: Any) -> Any:
    """A column as pandas takes it, with its texts."""
    numbers, levels = numbers_of(value, "a column")
    return np.asarray(numbers) if levels is None else np.asarray(value, dtype=object)


def _matrices(formula: str, frame: Any, offset: Any, missing: str) -> tuple[Any, Any, _Dropped]:
    from formulaic import model_matrix

    if missing not in ("raise", "drop"):
        raise ValueError(f"missing is 'raise' or 'drop', not {missing!r}")
    whole = np.ones(len(frame), dtype=np.bool_)
    if offset is not None:
        whole &= np.isfinite(np.asarray(frame[_OFFSET]))
    if not whole.all() and missing == "raise":
        count = int((~whole).sum())
        raise ValueError(f"values are missing in the offset ({count}): missing='drop' leaves them out")
    found = model_matrix(formula, frame[whole], na_action=missing)
    if not hasattr(found, "lhs"):
        raise ValueError(f"a formula has two sides, as in 'y ~ x'; {formula!r} has one")
    if found.lhs.shape[1] != 1:
        names = ", ".join(map(str, found.lhs.columns))
        raise ValueError(f"the outcome of a regression is one column of numbers, not {names}")
    kept = np.zeros(len(frame), dtype=np.bool_)
    kept[np.asarray(found.rhs.index)] = True
    return found.lhs.iloc[:, 0].astype(float), found.rhs, _Dropped(kept)


def _check(outcome: Array, chosen: Family, family: str, formula: str) -> None:
    if outcome.size == 0:
        raise ValueError(f"no data: no row has all of {formula}")
    wrong = ~np.asarray(chosen.needs(outcome), dtype=np.bool_)
    if wrong.any():
        first = outcome[int(np.argmax(wrong))]
        told = f"and the outcome of {formula} has {first:g}"
        raise ValueError(f"family {family!r} is of {chosen.possible}, {told}")


def _start(matrix: Array, outcome: Array, along: Array, chosen: Family) -> Array:
    """No effect of anything; the constant, where there is one, as the mean of the outcome has it."""
    start = np.zeros(matrix.shape[1])
    (constant,) = np.nonzero((matrix == 1.0).all(axis=0))
    if constant.size:
        with np.errstate(all="ignore"):
            level = chosen.link(float(outcome.mean())) - float(along.mean())
        start[constant[0]] = level if np.isfinite(level) else 0.0
    return start


def _further(chosen: Family, outcome: Array) -> dict[str, float]:
    spread = float(outcome.std())
    return {
        name: spread if name == "sigma" and spread > 0.0 else value for name, value in chosen.more.items()
    }


def _kept(options: dict[str, Any], dropped: _Dropped) -> dict[str, Any]:
    """Weights and groups without the rows that were left out."""

    def rows(values: Any) -> Any:
        array = np.asarray(values)
        return array[dropped.kept] if array.shape == dropped.kept.shape else values

    found = dict(options)
    if found.get("weights") is not None:
        found["weights"] = rows(found["weights"])
    if (found.get("cov_kwds") or {}).get("groups") is not None:
        found["cov_kwds"] = {**found["cov_kwds"], "groups": rows(found["cov_kwds"]["groups"])}
    return found
