"""Tests of hypotheses about the parameters: Wald's, the likelihood ratio, and the score test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import binom, chdtrc, ndtr

from tapegrad.function.trace import trace_quietly
from tapegrad.mle.climb.refit import refit
from tapegrad.mle.derivatives import jacobian
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.equations import parse
from tapegrad.mle.matrices import is_definite, solve
from tapegrad.mle.model.rows import outer_products
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HypothesisTest(Tabled):
    """The outcome of a test whose statistic is chi-squared distributed under the hypothesis.

    Attributes
    ----------
    kind : str
        "Wald", "likelihood ratio" or "score".
    hypothesis : str
        What was tested.
    statistic : float
    df : int
        Degrees of freedom: the number of restrictions.
    pvalue : float
        Probability of a larger statistic under the hypothesis; of a one-sided test, of a larger root in that
        direction.
    alternative : str
        "two-sided", or what a single restriction is tested against: that its left side is "greater", or
        "less".
    root : float or None
        Of a one-sided test the signed root of the statistic, which is standard normal under the hypothesis.
    """

    kind: str
    hypothesis: str
    statistic: float
    df: int
    pvalue: float
    alternative: str = "two-sided"
    root: float | None = None

    def significant(self, alpha: float = 0.05) -> bool:
        """Whether the hypothesis is rejected at level `alpha`."""
        return self.pvalue < alpha

    def table(self) -> Table:
        """The hypothesis, the statistic and the p-value: print it, or take its HTML, LaTeX or Markdown."""
        p = "< 2e-16" if self.pvalue < 2e-16 else f"{self.pvalue:.4g}"
        if self.root is not None:
            hypothesis, statistic = f"{self.hypothesis} against {self.alternative}", ("z", self.root)
        else:
            hypothesis, statistic = self.hypothesis, (f"chi2({self.df})", self.statistic)
        row = (hypothesis, f"{statistic[1]:.6g}", p)
        return Table(("", statistic[0], "p"), (row,), title=f"{self.kind} test")

    def __str__(self) -> str:
        table = self.table()
        ((hypothesis, statistic, p),) = table.rows
        equals = "" if p.startswith("<") else "= "
        return f"{table.title} of {hypothesis}: {table.header[1]} = {statistic}, p {equals}{p}"


def _outcome(kind: str, hypothesis: str, statistic: float, df: int) -> HypothesisTest:
    return HypothesisTest(kind, hypothesis, statistic, df, float(chdtrc(df, statistic)))


def _sided(test: HypothesisTest, alternative: str, direction: float) -> HypothesisTest:
    """The same test against one side: `direction` has the sign of what speaks for "greater"."""
    if alternative == "two-sided":
        return test
    if alternative not in ("greater", "less"):
        raise ValueError(f"alternative is 'two-sided', 'greater' or 'less', not {alternative!r}")
    if test.df != 1:
        raise ValueError(f"a one-sided test is of one restriction, not of {test.df}: {test.hypothesis}")
    root = float(np.copysign(np.sqrt(test.statistic), direction))
    pvalue = float(ndtr(-root if alternative == "greater" else root))
    return replace(test, pvalue=pvalue, alternative=alternative, root=root)


# Wald -------------------------------------------------------------------------------------------------------


def wald_test(
    result: Estimate,
    hypothesis: "str | Callable[..., Any] | npt.ArrayLike",
    value: npt.ArrayLike = 0.0,
    *,
    alternative: str = "two-sided",
) -> HypothesisTest:
    """Wald's test: how far ``g(params) - value`` is from zero, in its standard errors.

    The statistic is ``d' (J V J')^-1 d`` with ``d = g(params) - value`` and the exact Jacobian `J` of `g`.

    Parameters
    ----------
    result : FitResult
    hypothesis : str, callable or array_like
        Equations such as ``"b1 = b2"`` or ``"mu = 5, exp(log_sigma) = 2 * mu"`` in the parameters' names; a
        function of the parameters, which is zero under the hypothesis; or a matrix `R` of shape (k, p), or
        one row of it, for ``R x = value``.
    value : array_like
        The right side, for a function or a matrix.
    alternative : str
        "two-sided", "greater" or "less": of one restriction, such as ``"b = 1"``, what it is tested
        against, here ``b > 1`` for "greater".

    Returns
    -------
    HypothesisTest

    Raises
    ------
    ValueError
        If there is no covariance matrix, if an equation cannot be read, if the restrictions depend on each
        other, so that some could be left out, or if several are tested against one side.
    """
    gap, slopes, text = _restrictions(result, hypothesis, value)
    covariance = result.cov_of(slopes)
    if not np.isfinite(covariance).all():
        raise ValueError(f"a Wald test needs standard errors, and there are none: {result.message}")
    if not is_definite(covariance):
        raise ValueError(
            f"the restrictions {text} depend on each other, or on fixed parameters alone: leave out those "
            "that follow from the rest"
        )
    test = _outcome("Wald", text, float(gap @ solve(covariance, gap)), gap.size)
    return _sided(test, alternative, float(gap[0]))


def _restrictions(result: Estimate, hypothesis: Any, value: npt.ArrayLike) -> tuple[Array, Array, str]:
    """``g(params) - value``, its Jacobian in the parameters, and the hypothesis in words."""
    if isinstance(hypothesis, str):
        equations = parse(hypothesis, result.names)
        traced = trace_quietly(lambda x: [equation(x) for equation in equations], result.x)
        slopes = jacobian(traced, result.x)
        if not slopes.any(axis=1).all():
            raise ValueError(f"part of {hypothesis!r} says nothing about the parameters")
        return traced.outputs.ravel(traced(result.x)), slopes, hypothesis
    if callable(hypothesis):
        traced = trace_quietly(hypothesis, result.params)
        gap = traced.outputs.ravel(traced(result.x)) - np.asarray(value, dtype=np.float64).ravel()
        return gap, jacobian(traced, result.x), f"{traced.tape.name}(params) = {np.asarray(value)}"
    matrix = np.atleast_2d(np.asarray(hypothesis, dtype=np.float64))
    if matrix.ndim != 2 or matrix.shape[1] != result.x.size:
        raise ValueError(
            f"a matrix of restrictions has one column for each of the {result.x.size} parameters, not shape "
            f"{matrix.shape}"
        )
    gap = matrix @ result.x - np.asarray(value, dtype=np.float64)
    return gap, matrix, f"R x = {np.asarray(value)}"


# Likelihood ratio and score ---------------------------------------------------------------------------------


def lr_test(
    result: Estimate,
    restricted: Estimate | Mapping[str, float],
    *,
    boundary: int = 0,
    alternative: str = "two-sided",
) -> HypothesisTest:
    """The likelihood-ratio test: twice the difference of the maximal log-likelihoods.

    Parameters
    ----------
    result : FitResult
        The larger model.
    restricted : Estimate, or mapping of str to float
        The fit of a smaller model nested in it; or values at which parameters of `result` are held while the
        others are fitted again.
    boundary : int
        How many of the restrictions put a parameter on the boundary of its range, as a variance that is 0.
        The statistic then is a mixture of chi-squared variables: of k such parameters, if they are
        independent, as many are estimated at 0 as there are heads in k throws of a coin (S. Self and
        K.-Y. Liang, Journal of the American Statistical Association 82, 1987). Of a random slope that is
        correlated with an intercept, the variance counts and the covariance does not: df 2, boundary 1 (D.
        Stram and J. W. Lee, Biometrics 50, 1994).
    alternative : str
        "two-sided", or for one parameter held at a value that it is "greater" or "less", by the signed root
        of the statistic.

    Returns
    -------
    HypothesisTest

    Raises
    ------
    ValueError
        If there are fewer restrictions than those on the boundary; if the smaller model has as many free
        parameters, another number of observations, or a larger log-likelihood; if one of the fits has not
        converged, unless all that keeps it from that are parameters at an end of their range; or if a prior
        took part (which is not known of a fit that was read from a file); or if a one-sided test is asked of
        anything but one parameter held at a value.
    """
    if alternative != "two-sided" and (boundary or not isinstance(restricted, Mapping)):
        raise ValueError(
            "a one-sided test is of one parameter at a value inside its range: write lr_test(dict(b=1.0), "
            'alternative="greater"), without boundary='
        )
    if isinstance(restricted, Mapping):
        _, llf, held = _refitted(result, restricted)
        test = _outcome("likelihood ratio", _equations(restricted), _ratio(result.llf, llf), len(held))
        name, value = next(iter(restricted.items()))
        return _sided(_mixed(test, boundary), alternative, result.x[result.names.index(name)] - value)
    df = result.df_model - restricted.df_model
    if df < 1:
        raise ValueError(
            f"the restricted model has {restricted.df_model} free parameters, the other one "
            f"{result.df_model}: call it as larger.lr_test(smaller)"
        )
    if None not in (result.nobs, restricted.nobs) and result.nobs != restricted.nobs:
        raise ValueError(f"the fits have {result.nobs} and {restricted.nobs} observations: fit the same data")
    for fit in (result, restricted):
        if fit.has_prior or not _levels_off(fit):
            require_maximum(fit)
    hypothesis, ratio = f"{restricted.model} in {result.model}", _ratio(result.llf, restricted.llf)
    return _mixed(_outcome("likelihood ratio", hypothesis, ratio, df), boundary)


def _levels_off(result: Estimate) -> bool:
    """Whether a fit has no maximum only because parameters run to an end, as a variance to 0: its
    log-likelihood is then as high as it can be."""
    return result.flat is not None and len(result.ends) == result.flat.shape[1] > 0


def _mixed(test: HypothesisTest, boundary: int) -> HypothesisTest:
    """The same test, with some of its restrictions on the boundary."""
    if not 0 <= boundary <= test.df:
        raise ValueError(f"boundary is a number of restrictions, from 0 to {test.df}, not {boundary!r}")
    if not boundary:
        return test
    inside = np.arange(boundary + 1)
    df = test.df - boundary + inside
    tails = np.where(df > 0, chdtrc(np.maximum(df, 1), test.statistic), float(test.statistic <= 0.0))
    return replace(test, pvalue=float(binom(boundary, inside) @ tails / 2.0**boundary))


def require_maximum(result: Estimate) -> None:
    """Raise ValueError if a fit has not converged, or has a prior: its log-likelihood is no maximum then."""
    if not result.converged:
        raise ValueError(
            f"{result.model} has not converged, and its log-likelihood is no maximum: {result.message}"
        )
    if result.has_prior:
        raise ValueError(
            f"a test of the likelihood needs a maximum-likelihood fit, and {result.model} has a logprior"
        )


def _ratio(llf: float, restricted: float) -> float:
    statistic = 2.0 * (llf - restricted)
    if not statistic >= -1e-6 * (1.0 + abs(llf)):
        raise ValueError(
            f"the restricted log-likelihood, {restricted:.6g}, is above the other one, {llf:.6g}: the models "
            "are not nested, or the larger one has stopped at a local maximum"
        )
    return max(statistic, 0.0)


def score_test(
    result: Estimate,
    restricted: Mapping[str, float],
    information: str = "observed",
    *,
    alternative: str = "two-sided",
) -> HypothesisTest:
    """The score (Lagrange multiplier) test: ``U' I^-1 U`` where the hypothesis holds.

    Parameters
    ----------
    result : FitResult
        The larger model.
    restricted : mapping of str to float
        Values at which parameters are held while the others are fitted again. The gradient `U` of the
        log-likelihood and the information `I` are then taken there.
    information : str
        "observed", or "opg" for the outer products of the scores of the observations. Far from the maximum
        the observed information can be a poor estimate of the expected one, which the theory is about, and
        the test then misleads (D. A. Freedman, "How can the score test be inconsistent?", The American
        Statistician 61, 2007): compare it with `lr_test`.

    Returns
    -------
    HypothesisTest

    Raises
    ------
    ValueError
        If the information is not positive definite there, if a prior took part, or if "opg" is asked of a
        log-likelihood that is one number.
    """
    if information not in ("observed", "opg"):
        raise ValueError(f"information is 'observed' or 'opg', not {information!r}")
    free, _, held = _refitted(result, restricted)
    model = result.require_model("a score test")
    score = model.function.value_and_grad_flat(free)[1]
    score[[i for i in range(score.size) if i not in held]] = 0.0  # exact there
    matrix = outer_products(model, free) if information == "opg" else -model.function.hessian_flat(free)
    if not is_definite(matrix):
        raise ValueError(
            f"the {information} information is not positive definite where {_equations(restricted)}: use "
            "lr_test"
        )
    statistic = float(score @ solve(matrix, score))
    test = _outcome("score", _equations(restricted), statistic, len(held))
    # In a decreasing free coordinate, uphill is downwards.
    name = next(iter(restricted))
    (at,) = np.flatnonzero(np.array(result.names) == name)
    slope = model.space.jacobian(free)[at] @ score
    return _sided(test, alternative, float(slope))


def _equations(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())


def _refitted(result: Estimate, values: Mapping[str, float]) -> tuple[Array, float, dict[int, float]]:
    """The free vector and the log-likelihood where some parameters are held at `values`."""
    model = result.require_model("this test")
    require_maximum(result)
    held = _held(result, values)
    found = refit(model, result.free_estimates, held)
    if not found.converged:
        raise ValueError(f"no maximum was found where {_equations(values)}")
    return found.free, found.llf, held


def _held(result: Estimate, values: Mapping[str, float]) -> dict[int, float]:
    """The places and values of free coordinates that hold parameters at `values`."""
    space = result.require_model("this test").space
    natural, places = result.x.copy(), []
    for name, value in values.items():
        if name not in result.names:
            raise ValueError(f"no parameter {name!r}; the parameters are {', '.join(result.names)}")
        place = result.names.index(name)
        if space.coordinate[place] < 0:
            raise ValueError(f"{name} was fixed, or is constrained together with others, and cannot be held")
        natural[place] = value
        places.append(place)
    if not places:
        raise ValueError("name one parameter or more, such as {'mu': 0.0}")
    free = space.free(natural)
    return {int(space.coordinate[place]): float(free[space.coordinate[place]]) for place in places}
