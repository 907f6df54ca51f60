"""Mixed models by formula."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tapegrad.marginal.inner import InnerProblem
from tapegrad.mixed.model import MixedModel, in_words, make_model
from tapegrad.mixed.result import MixedResult, with_labels
from tapegrad.mle.fit import fit
from tapegrad.mle.notices import warn


def glmm(
    formula: str,
    data: Any,
    family: str = "gaussian",
    *,
    link: str | None = None,
    zi: str | None = None,
    offset: Any = None,
    weights: Any = None,
    REML: bool = False,
    missing: str = "raise",
    **options: Any,
) -> MixedResult:
    """Fit a generalised linear mixed model by formula.

    The joint log-likelihood of data and random effects is written as a NumPy function, which
    `result.joint_source()` shows, and `fit` integrates the random effects out by Laplace's method. Rows,
    columns and groups keep their names.

    Parameters
    ----------
    formula : str
        ``"y ~ x + (1 + x | group)"``. The fixed part is in formulaic's grammar. A random term has effects
        left of the bar, and right of it columns whose combinations are the groups: ``a:b``, and ``a/b`` for
        ``a`` and ``a:b``. The effects of a group are correlated; with two bars, or as ``diag(...)``, none
        are. ``offset(z)`` is added as it is. Successes and failures of trials are ``cbind(s, f)``.
    data : DataFrame, or mapping of str to array_like
        The columns.
    family : {"gaussian", "binomial", "poisson", "nbinom2", "gamma", "beta"}
        Beside the mean mu, ``sigma`` is the standard deviation of "gaussian"; "nbinom2" has the variance
        ``mu + mu**2 / size``, "gamma" ``mu**2 / shape``, and "beta" ``mu (1 - mu) / (1 + phi)``.
    link : str, optional
        "identity", "log", "inverse", "sqrt", "logit", "probit" or "cloglog", as far as the family has it. By
        default "identity" for "gaussian", "logit" for "binomial" and "beta", and "log" for the others (for
        "gamma", too, where R has "inverse").
    zi : str, optional
        The formula of structural zeros, such as ``"~ x"``: their probability has a logit link. Continuous
        families then have zeros of this kind alone.
    offset : str or array_like, optional
        A column, an expression or an array that is added to the linear predictor.
    weights : str or array_like, optional
        What each row's log-likelihood is multiplied by. For "binomial", where the response is a proportion,
        the numbers of trials.
    REML : bool
        Integrate the coefficients out, too: restricted maximum likelihood, for "gaussian" alone.
    missing : {"raise", "drop"}
        What to do about rows with missing values.
    **options
        Those of `fit`, such as `method`, `fixed`, `n_starts` or `maxiter`.

    Returns
    -------
    MixedResult
        A `FitResult`, with `joint_source()`, `variance_components`, `random_effects`, `predict(newdata)` and
        `simulator`.

    Raises
    ------
    ImportError
        If formulaic or pandas is missing: they are the extra ``tapegrad[formula]``.
    ValueError
        If the data do not fit the formula or the family; the message says what was expected.

    Examples
    --------
    >>> import tapegrad as tg
    >>> data = dict(
    ...     y=[5.1, 4.9, 6.2, 6.8, 3.9, 4.4, 5.5, 5.2, 7.1, 6.5],
    ...     x=[0, 1, 0, 1, 0, 1, 0, 1, 0, 1],
    ...     plot=["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"],
    ... )
    >>> result = tg.glmm("y ~ x + (1 | plot)", data)
    >>> print(result.joint_source())
    import numpy as np
    from tapegrad.stats import norm
    <BLANKLINE>
    # y ~ x + (1 | plot), family gaussian (identity)
    # X: 10 rows, the columns Intercept, x
    # plot: each row's plot, one of 5
    def joint(beta, sigma, sd_plot, b_plot, y):
        eta = X @ beta + b_plot[plot]
        loglik = norm.logpdf(y, eta, sigma)
        density = norm.logpdf(b_plot, 0.0, sd_plot).sum()
        return loglik.sum() + density
    <BLANKLINE>
    >>> round(result.random["plot[b]"], 6)
    0.885773
    """
    told = dict(link=link, zi=zi, offset=offset, weights=weights, REML=REML, missing=missing)
    model = make_model(formula, data, family, **told)
    transforms = {**model.transforms, **(options.pop("transforms", None) or {})}
    options.setdefault("nobs", model.design.y.size)
    with _in_words_of(model):
        result = fit(
            model.joint, model.start, data=model.data, random=model.random, transforms=transforms, **options
        )
    return with_labels(result, model)


@contextmanager
def _in_words_of(model: MixedModel) -> Iterator[None]:
    """Warnings and errors of a fit, with parameters under the names that the formula gives them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except InnerProblem as error:
            raise InnerProblem(in_words(str(error), model)) from error
        except ValueError as error:
            raise ValueError(in_words(str(error), model)) from error
    for one in caught:
        warn(in_words(str(one.message), model), one.category)
