"""What other data say about a fit: expected information, consistency, and coverage of the intervals."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc

from tapegrad.mle.climb.refit import refit
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.hypotheses import HypothesisTest
from tapegrad.mle.levels import checked_alpha, normal_intervals
from tapegrad.mle.matrices import covariance, is_definite, solve
from tapegrad.mle.model.model import Model
from tapegrad.mle.model.rows import outer_products, unweighted_scores
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]
Simulate: TypeAlias = Callable[[Any, np.random.Generator], Mapping[str, Any]]


def simulated(
    model: Model, free: Array, simulate: Simulate, count: int, rng: np.random.Generator
) -> Iterator[Model]:
    """The model on data that ``simulate(params, rng)`` draws at the parameters of a free vector.

    Random effects that it gives, too, are left aside.

    Raises
    ------
    ValueError
        If the model has no data to replace, or `simulate` returns no mapping of arrays of the right shapes.
    """
    if not model.data:
        raise ValueError("simulation replaces the data: pass them as fit(loglik, params, data=dict(x=x))")
    for _ in range(count):
        data = simulate(model.natural_params(free), rng)
        if not isinstance(data, Mapping):
            raise ValueError(
                f"simulate(params, rng) must return a dict of arrays for data=, not a {type(data).__name__}"
            )
        random = () if model.division is None else model.division.random_keys
        yield model.with_data(**{name: array for name, array in data.items() if name not in random})


def _draws(result: Estimate, simulate: Simulate, draws: int, seed: int | None) -> Iterator[Model]:
    """The model of a fit on data simulated at the estimates."""
    if draws < 2:
        raise ValueError(f"draws must be 2 or more, not {draws}")
    model = result.require_model("simulation")
    return simulated(model, result.free_estimates, simulate, draws, np.random.default_rng(seed))


def expected_information(
    result: Estimate,
    simulate: Simulate | None = None,
    draws: int = 200,
    seed: int | None = None,
    *,
    outcomes: Mapping[str, npt.ArrayLike] | None = None,
    widths: npt.ArrayLike = 1.0,
) -> Array:
    """The expected (Fisher) information of the free coordinates at the estimates, without a prior.

    For independent observations it is the expectation of the outer products of their scores,
    ``sum_i sum_y p_i(y) s_i(y) s_i(y)'``. With `outcomes` it is computed by this formula, which is exact if
    they are all there are. With `simulate` the observed information is averaged over simulated data. With
    neither, the outer products are added up at the observed data alone: an estimate of the expected
    information (E. K. Berndt, B. H. Hall, R. E. Hall and J. A. Hausman 1974), not the expectation itself.

    Parameters
    ----------
    result : FitResult
    simulate : callable, optional
        ``simulate(params, rng)`` gives new data as a mapping, under the names of `data`.
    draws : int
        Number of simulated data sets.
    seed : int, optional
    outcomes : mapping of str to array_like, optional
        The values, shape (k,), that one of the data takes: ``dict(y=[0, 1])``, or ``dict(y=range(100))`` for
        counts that are surely less. Each is tried for all observations. Of a continuous variable, the points
        of a quadrature rule.
    widths : array_like, shape (k,), or float
        For continuous `outcomes`: the weights of the rule, such as the distance of points in a fine grid.

    Returns
    -------
    ndarray of shape (q, q)

    Raises
    ------
    ValueError
        If there is no log-likelihood for each observation where scores are needed; if the data are not among
        those of the fit; or if the probabilities of the outcomes of an observation do not add up to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.mle.resample.simulation import expected_information
    >>> from tapegrad.stats import bernoulli
    >>> y = np.array([1.0, 0.0, 1.0, 1.0])
    >>> result = fit(lambda p, y: bernoulli.logpmf(y, p), dict(p=0.5), data=dict(y=y))
    >>> expected_information(result, outcomes=dict(y=[0, 1])).round(6)  # n / (p (1 - p))
    array([[21.333333]])
    """
    model, free = result.require_model("the expected information"), result.free_estimates
    if outcomes is not None:
        if simulate is not None:
            raise ValueError("the expected information is by outcomes= or by simulate=, not by both")
        return _over_outcomes(model, free, outcomes, widths)
    if simulate is None:
        return outer_products(model, free)
    total = np.zeros((free.size, free.size))
    for drawn in _draws(result, simulate, draws, seed):
        total -= drawn.function.hessian_flat(free)
    information: Array = total / draws
    return information if model.prior is None else information + model.prior.hessian_flat(free)


def _over_outcomes(
    model: Model, free: Array, outcomes: Mapping[str, npt.ArrayLike], widths: npt.ArrayLike
) -> Array:
    if len(outcomes) != 1 or not set(outcomes) <= set(model.data):
        known = ", ".join(model.data) or "none (pass them as fit(..., data=dict(y=y)))"
        raise ValueError(f"outcomes= is a dict of the values of one of the data; these are {known}")
    ((name, values),) = outcomes.items()
    points = np.asarray(values, dtype=np.float64).ravel()
    seen = np.asarray(model.data[name])
    total, mass = np.zeros((free.size, free.size)), np.zeros(model.n_rows)
    for point, width in zip(points, np.broadcast_to(widths, points.shape), strict=True):
        drawn = model.with_data(**{name: np.full(seen.shape, point, dtype=seen.dtype)})
        probability = width * np.exp(drawn.require_rows("outcomes")(free))
        mass += probability
        # Outside the support there are no scores.
        found = np.where(probability[:, None] > 0.0, unweighted_scores(drawn, free), 0.0)
        weighted = probability if model.weights is None else probability * model.weights
        total += (found * weighted[:, None]).T @ found
    worst = float(mass[np.argmax(np.abs(mass - 1.0))])
    if not abs(worst - 1.0) <= 1e-6:
        raise ValueError(
            f"the probabilities of the outcomes of {name} add up to {worst:.6g} for some observations, not "
            "to 1: give all values (of a continuous one a grid, and widths=), and a log-likelihood with its "
            "constants, of observations that do not depend on each other"
        )
    return total


@dataclass(frozen=True)
class Consistency(HypothesisTest):
    """The outcome of `check_consistency`.

    Attributes
    ----------
    bias : ndarray of shape (q,)
        About how far the estimates of the free coordinates lie from the truth on average: the inverse of the
        observed information times the mean gradient.
    joint : HypothesisTest or None
        The same test of the joint log-likelihood, where `simulate` gives the random effects, too. It does not
        depend on Laplace's method.
    """

    bias: Array = field(default_factory=lambda: np.empty(0))
    joint: HypothesisTest | None = None

    def __str__(self) -> str:
        return super().__str__() if self.joint is None else f"{super().__str__()}\n{self.joint}"

    __repr__ = __str__


def check_consistency(
    result: Estimate, simulate: Simulate, draws: int = 200, *, seed: int | None = None
) -> Consistency:
    """Test whether the log-likelihood is that of the data which `simulate` makes.

    At the parameters from which data are simulated, the expectation of the gradient of the right
    log-likelihood (without a prior) is zero. Hotelling's test compares the gradients' mean over the draws
    with that (as TMB's ``checkConsistency``). A small p-value means a mistake in one of the two, or, in a
    model with random effects, that Laplace's method is not accurate enough: `bias` says what follows for the
    estimates. If `simulate` gives the random effects that it has drawn, too, the joint log-likelihood is
    tested by itself, and tells a mistake from inaccuracy.

    The statistic is ``(r - q) / (r - 1)`` times Hotelling's, with r draws and q parameters: q times one that
    follows F's distribution with q and ``r - q`` degrees of freedom, where the p-value is taken from.

    Parameters
    ----------
    result : FitResult
    simulate : callable
        ``simulate(params, rng)`` gives new data as a mapping, under the names of `data`; and random effects
        under theirs, all or none.
    draws : int
        More than the number of parameters.
    seed : int, optional

    Returns
    -------
    Consistency
        A `HypothesisTest`.

    Raises
    ------
    ValueError
        If there are too few draws, or the gradients are not finite or depend on each other.
    """
    free, model = result.free_estimates, result.require_model("simulation")
    effects: list[Mapping[str, Any]] = []

    def noted(params: Any, rng: np.random.Generator) -> Mapping[str, Any]:
        told = simulate(params, rng)
        if model.division is not None and isinstance(told, Mapping):
            effects.append({name: told[name] for name in told if name in model.division.random_keys})
        return told

    gradients, joint = [], []
    for drawn in _draws(result, noted, draws, seed):
        gradients.append(_score(drawn, free))
        if effects and effects[-1]:
            joint.append(_joint_score(drawn, free, effects[-1]))
    if draws <= free.size:
        raise ValueError(f"{free.size} parameters need more than {free.size} draws, not {draws}")
    test = _hotelling(np.array(gradients), "the log-likelihood fits the simulated data")
    bias = result.cov_of_free() @ np.mean(gradients, axis=0)
    other = _hotelling(np.array(joint), "the joint log-likelihood fits the simulated data") if joint else None
    return Consistency(
        test.kind, test.hypothesis, test.statistic, test.df, test.pvalue, bias=bias, joint=other
    )


def _hotelling(gradients: Array, hypothesis: str) -> HypothesisTest:
    draws, q = gradients.shape
    mean, spread = gradients.mean(axis=0), np.atleast_2d(np.cov(gradients.T)) / draws
    if not is_definite(spread):
        raise ValueError(
            "the gradients on simulated data are not finite, or depend on each other: check simulate, and "
            "that the log-likelihood depends on all parameters"
        )
    room = draws - q
    statistic = room / (draws - 1.0) * float(mean @ solve(spread, mean))
    return HypothesisTest("score", hypothesis, statistic, q, float(fdtrc(q, room, statistic / q)))


def _joint_score(model: Model, free: Array, effects: Mapping[str, Any]) -> Array:
    """The gradient of the joint log-likelihood in the parameters, at the random effects that were drawn."""
    division, joint = model.division, model.marginal.joint
    assert division is not None
    missing = [name for name in division.random_keys if name not in effects]
    if missing:
        raise ValueError(f"simulate(params, rng) gives some random effects, but not {', '.join(missing)}")
    u = np.concatenate([np.ravel(effects[name]) for name in division.random_keys])
    if u.size != joint.inner.size:
        raise ValueError(
            f"simulate(params, rng) gives {u.size} random effects, and there are {joint.inner.size}"
        )
    gradient = joint.function.value_and_grad_flat(joint.vector(free, u))[1][joint.outer]
    return np.asarray(
        gradient if model.prior is None else gradient - model.prior.value_and_grad_flat(free)[1]
    )


def _score(model: Model, free: Array) -> Array:
    """The gradient of the log-likelihood, without the prior."""
    gradient = model.function.value_and_grad_flat(free)[1]
    return gradient if model.prior is None else gradient - model.prior.value_and_grad_flat(free)[1]


@dataclass(frozen=True, eq=False, repr=False)
class Study(Tabled):
    """Fits of simulated data; print it.

    Attributes
    ----------
    names : tuple of str
    truth : ndarray of shape (p,)
        The parameters that the data were simulated with.
    estimates, errors : ndarray of shape (r, p)
        Estimates and standard errors of the r fits that converged.
    alpha : float
        One minus the level of the intervals.
    failed : int
        How many fits did not converge.
    """

    names: tuple[str, ...]
    truth: Array
    estimates: Array
    errors: Array
    alpha: float
    failed: int

    @property
    def bias(self) -> Array:
        """Mean of the estimates less the truth, of shape (p,)."""
        return np.asarray(self.estimates.mean(axis=0) - self.truth)

    @property
    def sd(self) -> Array:
        """Standard deviation of the estimates, of shape (p,): what the standard errors estimate."""
        return np.asarray(self.estimates.std(axis=0, ddof=1))

    @property
    def coverage(self) -> Array:
        """Share of the Wald intervals that hold the truth, of shape (p,)."""
        inside = []
        for x, bse in zip(self.estimates, self.errors, strict=True):
            low, high = normal_intervals(x, bse, self.alpha).T
            inside.append((low <= self.truth) & (self.truth <= high))
        return np.asarray(np.mean(inside, axis=0))

    def table(self) -> Table:
        """Bias, errors and coverage: print it, or take its HTML, LaTeX or Markdown."""
        columns = (self.names, self.truth, self.bias, self.sd, self.errors.mean(axis=0), self.coverage)
        rows = [
            (name, *(f"{value:.4g}" for value in values), f"{share:.3f}")
            for name, *values, share in zip(*columns, strict=True)
        ]
        count = f"{len(self.estimates)} fits of simulated data, {self.failed} more did not converge"
        title = f"{count}; {100 * (1 - self.alpha):g}% Wald intervals"
        return Table(("", "truth", "bias", "sd", "mean se", "coverage"), tuple(rows), title)

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__


def coverage(
    result: Estimate, simulate: Simulate, draws: int = 200, *, alpha: float = 0.05, seed: int | None = None
) -> Study:
    """Fit data simulated at the estimates: bias, true errors, and coverage of Wald's intervals.

    Parameters
    ----------
    result : FitResult
    simulate : callable
        ``simulate(params, rng)`` gives new data as a mapping, under the names of `data`.
    draws : int
        Number of simulated data sets.
    alpha : float
        One minus the confidence level.
    seed : int, optional

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        If fewer than two of the fits converge.
    """
    checked_alpha(alpha)
    free = result.free_estimates
    estimates, errors = [], []
    for model in _draws(result, simulate, draws, seed):
        with np.errstate(all="ignore"):  # a fit that runs away may overflow on its way
            found = refit(model, free)
        if not found.converged:
            continue
        cov = covariance(-model.function.hessian_flat(found.free))
        jacobian = model.space.jacobian(found.free)
        estimates.append(model.space.natural(found.free))
        errors.append(np.sqrt(np.diag(jacobian @ cov @ jacobian.T)))
    if len(estimates) < 2:
        raise ValueError(f"only {len(estimates)} of {draws} fits of simulated data converged: check simulate")
    return Study(result.names, result.x, np.array(estimates), np.array(errors), alpha, draws - len(estimates))
