"""Regressions whose results others have published: Stata's and R's, as statsmodels stores them, and books'.

The numbers and the data are in ``tests/data/references``; the README beside it says where each comes from.
How many digits can agree depends on the other side: on how many are stored, on where its optimiser stopped,
on whether it took the Hessian by differences, and on data that Stata keeps in single precision. So what is
needed is stated case by case.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, expit, log_ndtr, ndtr, xlog1py, xlogy

from benchmarks.lre import Check, log_relative_error
from tapegrad.datasets import load_randhie
from tapegrad.mle import FitResult, fit
from tapegrad.stats import nbinom, poisson

FOLDER: Final = Path(__file__).parents[1] / "tests" / "data" / "references"
STORED: Final[dict[str, Any]] = json.loads((FOLDER / "stored.json").read_text(encoding="utf-8"))
Array = npt.NDArray[np.float64]


def load(name: str) -> dict[str, Array]:
    """The columns of one of the data sets."""
    with gzip.open(FOLDER / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
        header = file.readline().strip().split(",")
        return dict(zip(header, np.loadtxt(file, delimiter=",", unpack=True, ndmin=2), strict=True))


def design(*columns: Any) -> Array:
    """The columns with a constant at the end, where Stata has it."""
    return np.column_stack([*columns, np.ones(len(columns[0]))])


def against(
    name: str, estimates: Any, errors: Any, llf: float | None, needed: tuple[float, float, float]
) -> Iterator[Check]:
    """Checks of estimates, standard errors and log-likelihood against those stored under `name`."""
    stored = STORED[name]
    yield Check(name, "estimates", log_relative_error(estimates, stored["params"]), needed[0])
    yield Check(name, "errors", log_relative_error(errors, stored["bse"]), needed[1])
    if llf is not None:
        yield Check(name, "log-likelihood", log_relative_error(llf, stored["llf"]), needed[2])


def with_exp(result: FitResult, index: int) -> tuple[Array, Array]:
    """Estimates and errors with the exponential of one parameter for the parameter (the delta method)."""
    estimates, errors = result.x.copy(), result.bse.copy()
    estimates[index] = np.exp(estimates[index])
    errors[index] *= estimates[index]
    return estimates, errors


# Binary, counts ---------------------------------------------------------------------------------------------


def binary() -> Iterator[Check]:
    """Logit and probit; the data's author keeps the rights in them, so that they come from statsmodels."""
    try:
        from statsmodels.datasets import spector
    except ImportError:
        return
    data = spector.load_pandas()
    x, y = design(*data.exog.to_numpy().T), data.endog.to_numpy()
    sign = 2.0 * y - 1.0
    logit = fit(lambda beta: -np.log1p(np.exp(-sign * (x @ beta))).sum(), {"beta": np.zeros(4)})
    probit = fit(lambda beta: log_ndtr(sign * (x @ beta)).sum(), {"beta": np.zeros(4)})
    for name, result in (("logit", logit), ("probit", probit)):
        yield from against(name, result.x, result.bse, result.llf, (6.5, 6.5, 7.0))
        covariance = log_relative_error(result.cov_params(), STORED[name]["cov"])
        yield Check(name, "covariances", covariance, 6.0)


def _randhie(columns: int | None = None) -> tuple[Array, Array]:
    covariates = load_randhie()
    y = covariates.pop("mdvis")
    return design(*list(covariates.values())[:columns]), y


def counts() -> Iterator[Check]:
    """Poisson and both negative binomial regressions of the visits to a doctor."""
    x, y = _randhie()
    p = x.shape[1]
    start = np.zeros(p)
    result = fit(lambda beta: poisson.logpmf(y, np.exp(x @ beta)).sum(), {"beta": start})
    yield from against("poisson", result.x, result.bse, result.llf, (6.5, 7.0, 9.0))

    def negative_binomial(beta: Any, log_alpha: Any, power: int) -> Any:
        mu = np.exp(x @ beta)
        n = np.exp(-log_alpha) * mu ** (2 - power)
        return nbinom.logpmf(y, n, n / (n + mu)).sum()

    for name, power, needed in (("nb2", 2, (6.5, 1.5, 14.0)), ("nb1", 1, (7.0, 3.0, 14.0))):
        result = fit(
            lambda beta, log_alpha, power=power: negative_binomial(beta, log_alpha, power),
            {"beta": start, "log_alpha": 0.0},
        )
        yield from against(name, *with_exp(result, p), result.llf, needed)
        if name == "nb2":  # Stata's errors of the coefficients are those of the expected information
            mu = np.exp(x @ result.x[:p])
            information = x.T @ ((mu / (1.0 + np.exp(result.x[p]) * mu))[:, None] * x)
            errors = np.sqrt(np.diag(np.linalg.inv(information)))
            yield Check(name, "errors, expected", log_relative_error(errors, STORED[name]["bse"][:p]), 8.0)


def _truncated(logpmf: Callable[..., Any], y: Array, limit: int) -> Callable[..., Any]:
    """The log-likelihood of counts of which those up to `limit` are never seen."""

    def loglik(*parameters: Any) -> Any:
        hidden = sum(np.exp(logpmf(float(k), *parameters)) for k in range(limit + 1))
        return (logpmf(y, *parameters) - np.log1p(-hidden)).sum()

    return loglik


def truncated() -> Iterator[Check]:
    """Poisson and negative binomial counts without the zeros, or without all up to a limit."""
    data = load("docvis")
    for limit, suffix in ((0, ""), (1, "1")):
        seen = data["docvis"] > limit
        x, y = design(data["aget"], data["totchr"])[seen], data["docvis"][seen]
        result = _truncated_poisson(x, y, limit)
        needed = (5.5, 3.0, 13.0)
        yield from against(f"trunc_poisson{suffix}", result.x, result.bse, result.llf, needed)
        result = _truncated_nbinom(x, y, limit)
        yield from against(f"trunc_negbin{suffix}", result.x, result.bse, result.llf, needed)
    for limit in (0, 5):
        x, y = _randhie(4)
        seen = y > limit
        result = _truncated_poisson(x[seen], y[seen], limit)
        yield from against(f"truncated_poisson_{limit}", result.x, result.bse, result.llf, (3.5, 4.5, 7.0))


def _truncated_poisson(x: Array, y: Array, limit: int) -> FitResult:
    loglik = _truncated(poisson.logpmf, y, limit)
    start = np.zeros(x.shape[1])
    start[-1] = np.log(y.mean())
    return fit(lambda beta: loglik(np.exp(x @ beta)), {"beta": start})


def _truncated_nbinom(x: Array, y: Array, limit: int) -> FitResult:
    def logpmf(k: Any, mu: Any, n: Any) -> Any:
        return nbinom.logpmf(k, n, n / (n + mu))

    loglik = _truncated(logpmf, y, limit)
    start = np.zeros(x.shape[1])
    start[-1] = np.log(y.mean())
    return fit(
        lambda beta, log_alpha: loglik(np.exp(x @ beta), np.exp(-log_alpha)),
        {"beta": start, "log_alpha": 0.0},
    )


def hurdle() -> Iterator[Check]:
    """Zero or not by one Poisson law, and how many by another one, truncated."""
    data = load("docvis")
    x, y = design(data["aget"], data["totchr"]), data["docvis"]
    positive = y > 0

    def loglik(zero: Any, count: Any) -> Any:
        none = -np.exp(x @ zero)
        many = _truncated(poisson.logpmf, y[positive], 0)
        crossed = np.log(-np.expm1(none[positive])).sum()
        return none[~positive].sum() + crossed + many(np.exp(x[positive] @ count))

    start = {"zero": np.zeros(3), "count": np.array([0.0, 0.0, np.log(y.mean())])}
    result = fit(loglik, start)
    stored = STORED["hurdle_poisson"]
    name, last_first = "hurdle_poisson", [2, 0, 1]  # R has the constant first
    for part, place, key in (("zero", slice(0, 3), "zero"), ("count", slice(3, 6), "params")):
        errors = stored["zero_bse" if part == "zero" else "bse"]
        digits = log_relative_error(result.x[place][last_first], stored[key])
        yield Check(name, f"estimates, {part}", digits, 3.5)
        yield Check(name, f"errors, {part}", log_relative_error(result.bse[place][last_first], errors), 5.0)
    yield Check(name, "log-likelihood", log_relative_error(result.llf, stored["llf"]), 11.0)


def clustered() -> Iterator[Check]:
    """Damage to ships: covariances that are robust, or clustered by ship, with Stata's corrections for these.

    Stata multiplies the sandwich by n / (n - 1), and that of clusters by G / (G - 1).
    """
    data = load("ships")
    x, y = design(data["yr_con"], data["op_75_79"]), data["accident"]
    n, groups = y.size, data["ship"]
    count = np.unique(groups).size
    kinds: dict[str, tuple[str, dict[str, Any], float]] = {
        "nonrobust": ("nonrobust", {}, 1.0),
        "hc1": ("HC0", {}, n / (n - 1)),
        "clu": ("cluster", {"groups": groups, "use_correction": False}, count / (count - 1)),
    }
    for name in sorted(name for name in STORED if name.startswith("ships_")):
        offset = np.log(data["service"]) if "exposure" in name else np.zeros(n)
        kind, keywords, correction = kinds[name.rpartition("_")[2]]
        model, start = _ships("negbin" in name, x, y, offset)
        result = fit(model, start, cov_type=kind, cov_kwds=keywords)
        estimates, errors = result.x, np.sqrt(correction) * result.bse
        if "negbin" in name:  # Stata has both the logarithm and alpha
            estimates, errors = np.append(estimates, np.exp(estimates[3])), np.append(errors, 0.0)
            errors[4] = estimates[4] * errors[3]
        yield from against(name, estimates, errors, result.llf, (6.0, 4.5, 13.0))


def _ships(negbin: bool, x: Array, y: Array, offset: Array) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The rows of a Poisson or negative binomial log-likelihood, and a start."""

    def by_poisson(beta: Any) -> Any:
        return poisson.logpmf(y, np.exp(x @ beta + offset))

    def by_nbinom(beta: Any, log_alpha: Any) -> Any:
        mu, n = np.exp(x @ beta + offset), np.exp(-log_alpha)
        return nbinom.logpmf(y, n, n / (n + mu))

    start = {"beta": np.array([0.0, 0.0, np.log(y.sum() / np.exp(offset).sum())])}
    return (by_nbinom, {**start, "log_alpha": 0.0}) if negbin else (by_poisson, start)


# Categories -------------------------------------------------------------------------------------------------


def multinomial() -> Iterator[Check]:
    """Multinomial logit of the party that people identify with."""
    data = load("anes96")
    x = design(np.log(data["popul"] + 0.1), *(data[name] for name in ("selfLR", "age", "educ", "income")))
    y = data["PID"].astype(int)
    rows = np.arange(y.size)

    def loglik(beta: Any) -> Any:
        eta = np.concatenate([np.zeros((y.size, 1)), x @ beta.T], axis=1)
        return (eta[rows, y] - np.log(np.exp(eta).sum(axis=1))).sum()

    result = fit(loglik, {"beta": np.zeros((6, 6))})
    shape = (6, 6)
    yield from against(
        "mnlogit", result.x.reshape(shape), result.bse.reshape(shape), result.llf, (6.0, 7.0, 10.0)
    )


def _logistic(z: Any) -> Any:
    return expit(z)


def _gumbel(z: Any) -> Any:
    return -np.expm1(-np.exp(z))


ORDERED: Final[dict[str, Callable[[Any], Any]]] = {
    "ordered_logit": _logistic,
    "ordered_probit": ndtr,
    "ordered_cloglog": _gumbel,
}


def ordered() -> Iterator[Check]:
    """Ordered regressions of how likely students are to apply to graduate school."""
    data = load("admissions")
    x = np.column_stack([data["pared"], data["public"], data["gpa"]])
    level = data["apply"].astype(int)
    for name, cdf in ORDERED.items():

        def loglik(beta: Any, first: Any, log_gap: Any, cdf: Callable[[Any], Any] = cdf) -> Any:
            eta = x @ beta
            low, high = cdf(first - eta), cdf(first + np.exp(log_gap) - eta)
            return np.log(np.where(level == 0, low, np.where(level == 1, high - low, 1.0 - high))).sum()

        result = fit(loglik, {"beta": np.zeros(3), "first": 0.0, "log_gap": 0.0})
        thresholds = result.x[3] + np.array([0.0, np.exp(result.x[4])])
        stored = STORED[name]
        yield from against(name, result.x[:3], result.bse[:3], None, (2.5, 3.5, 0.0))
        yield Check(name, "thresholds", log_relative_error(thresholds, stored["thresholds"]), 3.5)


# Proportions ------------------------------------------------------------------------------------------------


def _beta_rows(y: Array, mean: Any, precision: Any) -> Any:
    a, b = mean * precision, (1.0 - mean) * precision
    return xlogy(a - 1.0, y) + xlog1py(b - 1.0, -y) - betaln(a, b)


def beta() -> Iterator[Check]:
    """Beta regressions: the share of income spent on food, and the methylation of DNA."""
    food = load("foodexpenditure")
    x = np.column_stack([np.ones(food["food"].size), food["income"], food["persons"]])
    y = food["food"] / food["income"]
    result = fit(
        lambda beta, log_phi, y: _beta_rows(y, expit(x @ beta), np.exp(log_phi)),
        {"beta": np.zeros(3), "log_phi": 0.0},
        data={"y": y},
    )
    estimates, observed = with_exp(result, 3)
    yield from against("beta_food", estimates, observed, None, (7.0, 1.5, 0.0))
    # R's errors are those of the expected information.
    points, widths = np.polynomial.legendre.leggauss(100)
    outcomes = {"y": 0.5 * (points + 1.0)}
    information = result.expected_info(outcomes=outcomes, widths=0.5 * widths)
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    errors[3] *= estimates[3]
    digits = log_relative_error(errors, STORED["beta_food"]["bse"])
    yield Check("beta_food", "errors, expected", digits, 6.5)

    data = load("methylation")
    steps = [(data["cpg"] == k).astype(np.float64) for k in (1.0, 2.0)]
    x = np.column_stack([np.ones(data["age"].size), data["male"], *steps])
    age = data["age"]
    result = fit(
        lambda beta, gamma: _beta_rows(
            data["methylation"], expit(x @ beta), np.exp(gamma[0] + gamma[1] * age)
        ).sum(),
        {"beta": np.zeros(4), "gamma": np.zeros(2)},
    )
    yield from against("beta_methylation", result.x, result.bse, result.llf, (7.0, 3.0, 13.0))


# Survival and bioassay --------------------------------------------------------------------------------------


def weibull() -> Iterator[Check]:
    """R's ``survreg(Surv(time, status) ~ sex + age + ph.ecog, lung)``: log(time) is a Gumbel variable."""
    data = load("lung")
    x = np.column_stack([np.ones(data["time"].size), data["sex"], data["age"], data["ph.ecog"]])
    died, log_time = data["status"], np.log(data["time"])

    def loglik(beta: Any, log_scale: Any) -> Any:
        z = (log_time - x @ beta) / np.exp(log_scale)
        return (died * (z - log_scale - log_time) - np.exp(z)).sum()

    result = fit(loglik, {"beta": np.array([6.0, 0.0, 0.0, 0.0]), "log_scale": 0.0})
    published = [6.273435252, 0.401090541, -0.007475439, -0.339638098]
    yield Check("survreg_weibull", "estimates", log_relative_error(result.x[:4], published), 7.0)
    yield Check("survreg_weibull", "scale", log_relative_error(np.exp(result.x[4]), 0.731109), 6.0)
    yield Check("survreg_weibull", "log-likelihood", log_relative_error(result.llf, -1132.4), 4.4)


def budworm() -> Iterator[Check]:
    """Deaths of budworms by dose: W. N. Venables and B. D. Ripley, *MASS*, 4th edition, section 8.4.

    The book's interval is R's ``confint``, which puts a spline through the profile.
    """
    dose, male = np.tile(np.arange(6.0), 2), np.repeat([1.0, 0.0], 6)
    dead = np.array([1.0, 4.0, 9.0, 13.0, 18.0, 20.0, 0.0, 2.0, 6.0, 10.0, 12.0, 16.0])

    def loglik(males: Any, females: Any, ldose: Any) -> Any:
        p = expit(males * male + females * (1.0 - male) + ldose * dose)
        return (xlogy(dead, p) + xlogy(20.0 - dead, 1.0 - p)).sum()

    result = fit(loglik, {"males": 0.0, "females": 0.0, "ldose": 0.0})
    digits = log_relative_error(result.profile("ldose").interval, [0.8229, 1.3391])
    yield Check("budworm", "profile interval", digits, 4.0)


CASES: Final[dict[str, Callable[[], Iterator[Check]]]] = {
    "binary": binary,
    "counts": counts,
    "truncated": truncated,
    "hurdle": hurdle,
    "clustered": clustered,
    "multinomial": multinomial,
    "ordered": ordered,
    "beta": beta,
    "weibull": weibull,
    "budworm": budworm,
}
