"""Models without a maximum that could be fitted, each with the one thing that is wrong with it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit, gammaln, logit

from tapegrad.mle.transforms import Transform, positive, unit
from tapegrad.stats import bernoulli, norm, poisson

METHODS = (
    *("bfgs", "lbfgs", "newton", "trust", "gradient_ascent", "bhhh", "nelder-mead", "powell", "cg"),
    *("newton-cg", "tnc", "slsqp", "trust-constr", "trust-ncg", "trust-krylov", "cobyla", "cobyqa"),
)


@dataclass(frozen=True)
class Case:
    """A log-likelihood by rows, or one number, its start, and what `diagnose` is to find."""

    loglik: Callable[..., Any]
    start: Mapping[str, Any]
    kind: str
    transforms: Mapping[str, Transform] = field(default_factory=dict)
    rows: bool = True

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(method for method in METHODS if self.rows or method != "bhhh")

    def starts(self, count: int) -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng(0)
        for _ in range(count):
            yield {name: self._moved(name, value, rng) for name, value in self.start.items()}

    def _moved(self, name: str, value: Any, rng: np.random.Generator) -> Any:
        by = rng.normal(size=np.shape(value))
        transform = self.transforms.get(name)
        if transform is positive or name == "size":
            return value * np.exp(by)
        return expit(logit(value) + 0.7 * by) if transform is unit else value + by


# Counts that vary less than Poisson's, and a formula that loses its digits as the size grows.
COUNTS = np.tile([3.0, 3.0, 3.0, 2.0, 4.0], 16)


def negative_binomial(size: Any, mean: Any) -> Any:
    ways = gammaln(COUNTS + size) - gammaln(size) - gammaln(COUNTS + 1.0)
    return ways + size * np.log(size / (size + mean)) + COUNTS * np.log(mean / (size + mean))


SHORT = np.linspace(-1.7, 1.7, 60)  # with shorter tails than any of Student's distributions


def student(mu: Any, log_sigma: Any, df: Any) -> Any:
    z = (SHORT - mu) / np.exp(log_sigma)
    scale = gammaln((df + 1.0) / 2.0) - gammaln(df / 2.0) - 0.5 * np.log(df * np.pi) - log_sigma
    return scale - (df + 1.0) / 2.0 * np.log1p(z * z / df)


X = np.array([-2.0, -1.0, 1.0, 3.0])
PLANE = np.random.default_rng(1).normal(size=(40, 2))
GROUP = np.repeat([0.0, 1.0], [12, 5])
GROUP_Y = np.where(GROUP == 1.0, 0.0, np.tile([0.0, 1.0, 1.0], 6)[:17])
LINE_X = np.linspace(0.0, 1.0, 12)
LINE_Y = 1.5 + 0.7 * LINE_X
RISK = np.array([2.0, 0.5, -1.0, 0.3, 1.1, -0.7])  # of those at risk when the first of them has its event
TIMES = np.random.default_rng(2).exponential(2.0, 50)
EVENTS = (np.arange(50) % 3 > 0) * 1.0
DOSE = np.tile([0.0, 1.0], 40)
NEVER_ZERO = np.tile([3.0, 2.0, 4.0, 1.0, 5.0, 2.0, 3.0, 6.0], 10)


def competing(log_first: Any, log_second: Any) -> Any:
    return EVENTS * log_first - np.exp(log_first) * TIMES - np.exp(log_second) * TIMES


def zero_inflated(base: Any, slope: Any, log_mean: Any) -> Any:
    share, mean = expit(base + slope * DOSE), np.exp(log_mean)
    zero = np.log(share + (1.0 - share) * np.exp(-mean))
    return np.where(NEVER_ZERO == 0.0, zero, np.log1p(-share) + poisson.logpmf(NEVER_ZERO, mean))


RELEASED = np.array([200.0, 180.0, 190.0])
RECAPTURED = np.array([[70.0, 25.0, 9.0], [0.0, 66.0, 24.0], [0.0, 0.0, 70.0]])


def cormack_jolly_seber(survival: Any, capture: Any) -> Any:
    """Only the product of the last survival and the last capture is determined."""
    total = 0.0
    for i in range(3):
        unseen, alive = 1.0, 1.0
        for j in range(i, 3):
            first_seen = alive * survival[j] * capture[j]
            total = total + RECAPTURED[i, j] * np.log(first_seen)
            unseen = unseen - first_seen
            alive = alive * survival[j] * (1.0 - capture[j])
        total = total + (RELEASED[i] - RECAPTURED[i].sum()) * np.log(unseen)
    return total


CASES = {
    "dispersion, log": Case(
        lambda log_mu, log_alpha: negative_binomial(np.exp(-log_alpha), np.exp(log_mu)),
        {"log_mu": 0.0, "log_alpha": 0.0},
        "rising",
    ),
    "dispersion, positive": Case(
        lambda log_mu, alpha: negative_binomial(1.0 / alpha, np.exp(log_mu)),
        {"log_mu": 0.0, "alpha": 1.0},
        "bound",
        {"alpha": positive},
    ),
    "size, positive": Case(
        lambda log_mu, size: negative_binomial(size, np.exp(log_mu)),
        {"log_mu": 0.0, "size": 1.0},
        "bound",
        {"size": positive},
    ),
    "size as it is": Case(
        lambda log_mu, size: negative_binomial(size, np.exp(log_mu)), {"log_mu": 0.0, "size": 5.0}, "rising"
    ),
    "degrees of freedom, log": Case(
        lambda mu, log_sigma, log_df: student(mu, log_sigma, np.exp(log_df)),
        {"mu": 0.0, "log_sigma": 0.0, "log_df": 1.0},
        "rising",
    ),
    "degrees of freedom, positive": Case(
        student, {"mu": 0.0, "log_sigma": 0.0, "df": 3.0}, "bound", {"df": positive}
    ),
    "separation": Case(
        lambda a, b: bernoulli.logpmf((X > 0.0) * 1.0, expit(a + b * X)), {"a": 0.0, "b": 0.0}, "separation"
    ),
    "separation by a plane": Case(
        lambda a, b: bernoulli.logpmf((PLANE @ [1.0, 0.5] > 0.1) * 1.0, expit(a + PLANE @ b)),
        {"a": 0.0, "b": np.zeros(2)},
        "separation",
    ),
    "quasi-complete separation": Case(
        lambda a, b: bernoulli.logpmf(GROUP_Y, expit(a + b * GROUP)), {"a": 0.0, "b": 0.0}, "separation"
    ),
    "perfect fit, log": Case(
        lambda a, b, log_s: norm.logpdf(LINE_Y, a + b * LINE_X, np.exp(log_s)),
        {"a": 0.0, "b": 0.0, "log_s": 0.0},
        "rising",
    ),
    "perfect fit, positive": Case(
        lambda a, b, s: norm.logpdf(LINE_Y, a + b * LINE_X, s),
        {"a": 0.0, "b": 0.0, "s": 1.0},
        "rising",
        {"s": positive},
    ),
    "one event, at the largest covariate": Case(
        lambda b: b * RISK[0] - np.log(np.exp(b * RISK).sum()), {"b": 0.0}, "separation", rows=False
    ),
    "a cause that never happens, log": Case(competing, {"log_first": 0.0, "log_second": 0.0}, "rising"),
    "a cause that never happens, positive": Case(
        lambda first, second: competing(np.log(first), np.log(second)),
        {"first": 1.0, "second": 1.0},
        "bound",
        {"first": positive, "second": positive},
    ),
    "inflation without zeros": Case(zero_inflated, {"base": 0.0, "slope": 0.0, "log_mean": 0.0}, "rising"),
    "capture and recapture, unit": Case(
        cormack_jolly_seber,
        {"survival": np.full(3, 0.6), "capture": np.full(3, 0.5)},
        "flat",
        {"survival": unit, "capture": unit},
        rows=False,
    ),
    "capture and recapture, logit": Case(
        lambda survival, capture: cormack_jolly_seber(expit(survival), expit(capture)),
        {"survival": np.full(3, 0.4), "capture": np.full(3, 0.1)},
        "flat",
        rows=False,
    ),
}
