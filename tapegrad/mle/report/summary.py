"""The table of a fit, and its numbers for other programs."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.flat import why_undetermined
from tapegrad.mle.infer.random import random_effects
from tapegrad.mle.report.intervals import conf_int
from tapegrad.mle.tables import Table, text_table

Array: TypeAlias = npt.NDArray[np.float64]

# What `as_dict` holds besides the parameters, and what of it the number of observations enters.
_REPORTED: Final = (
    *("llf", "aic", "aicc", "bic", "nobs", "df_model", "df_resid", "converged", "se_reliable", "message"),
    *("nit", "nfev", "njev", "nhev", "seconds", "dropped", "method", "model", "cov_type"),
)
_BY_OBSERVATIONS: Final = ("aicc", "bic", "df_resid")
HEADER = ("", "Estimate", "Std. Error", "z value", "Pr(>|z|)")
_EPSILON: Final = np.finfo(np.float64).eps
_STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, "."))
LEGEND = "Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"


def summarize(result: Estimate, alpha: float | None = None, *, stars: bool = True) -> Table:
    """The table of coefficients, and how the fit went.

    Parameters
    ----------
    result : FitResult
    alpha : float, optional
        One minus the level of confidence intervals (Wald's), which are shown if this is given.
    stars : bool
        Whether to mark small p-values.

    Returns
    -------
    Table
        Print it, or take `as_html()`, `as_latex()` or `as_markdown()`.

    Raises
    ------
    ValueError
        If `alpha` is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.stats import expon
    >>> waits = np.array([0.8, 2.9, 0.3, 1.6, 4.4])
    >>> result = fit(lambda scale: expon.logpdf(waits, scale=scale), {"scale": 1.0})
    >>> print(result.summary(alpha=0.05, stars=False))
    Maximum likelihood fit: f    method: bfgs    covariance: nonrobust
           Estimate  Std. Error  z value  Pr(>|z|)     2.5 %    97.5 %
    scale  2.000000    0.894427    2.236    0.0253  0.246955  3.753045
    ---
    Log-likelihood: -8.466    AIC: 18.93    BIC: 18.54    No. observations: 5
    Converged in ... iterations
    """
    starred = stars and result.converged  # what is no maximum has no significant coefficients
    columns = coefficient_columns(result.names, result.x, result.bse, result.is_fixed)
    ends: tuple[str, ...] = ()
    if alpha is not None:
        ends = tuple(f"{100.0 * share:.6g} %" for share in (alpha / 2.0, 1.0 - alpha / 2.0))
        columns += _interval_columns(result, alpha)
    marks = marks_of(result.pvalues) if starred else [""] * len(result.names)
    return Table(
        header=(*HEADER, *ends, *(("",) if stars else ())),
        rows=tuple(zip(*columns, *((marks,) if stars else ()), strict=True)),
        title=(
            f"Maximum likelihood fit: {result.model}    method: {result.method}    "
            f"covariance: {result.cov_type}"
        ),
        notes=(
            *((LEGEND,) if starred else ()),
            *_random_effects(result),
            criteria(result),
            *ending(result),
        ),
        marks=stars,
    )


def _random_effects(result: Estimate) -> tuple[str, ...]:
    """What was integrated out, and how the modes are spread; nothing in a model without random effects."""
    if not result.random_names:
        return ()
    found = random_effects(result)
    lines = [("Random effects", "Number", "SD of modes", "Mean Std. Error")]
    for label, count in found.labels():
        places = found.places(label)
        numbers = (
            format(float(np.std(found.x[places])), ".6g"),
            format(float(np.mean(found.bse[places])), ".6g"),
        )
        lines.append((label, f"{count:,}", *numbers))
    return (*text_table(lines), f"Integrated out by {integrated_by(result.quadrature)}")


def integrated_by(nodes: int) -> str:
    """How random effects were integrated out, in words."""
    if nodes == 1:
        return "Laplace's method"
    return f"adaptive Gauss-Hermite quadrature, {nodes} nodes along each random effect"


def criteria(result: Estimate) -> str:
    """The line of log-likelihood and criteria."""
    bic = "unknown (pass nobs=)" if result.nobs is None else criterion(result.bic)
    observations = "unknown" if result.nobs is None else str(result.nobs)
    if result.dropped:
        observations += f" ({result.dropped} dropped: values are missing)"
    return (
        f"Log-likelihood: {criterion(result.llf)}    AIC: {criterion(result.aic)}    BIC: {bic}    "
        f"No. observations: {observations}"
    )


def ending(result: Estimate) -> tuple[str, ...]:
    """How the fit ended, and whether there is more to be said about it."""
    iterations = f"{result.nit} iteration{'s' * (result.nit != 1)}"
    if result.seconds is not None:
        seconds = format(result.seconds, ".2g" if result.seconds < 10.0 else ",.0f")
        iterations = f"{seconds} s and {iterations}"
    if result.flat is not None:
        first, *others = why_undetermined(result)
        return (f"NOT CONVERGED after {iterations}: {first}", *others, "diagnose() says more")
    if not result.converged:
        why = result.message.removeprefix("not converged: ")
        return (f"NOT CONVERGED after {iterations}: {why}", "diagnose() says more")
    if not result.se_reliable:
        return (
            f"Converged in {iterations}",
            "The standard errors have few right digits: diagnose() says why",
        )
    return (f"Converged in {iterations}",)


def coefficient_columns(
    names: Sequence[str], x: Array, bse: Array, held: npt.NDArray[np.bool_]
) -> list[list[str]]:
    """Names, estimates, errors, z and p-values as text, each column in one format."""
    with np.errstate(divide="ignore", invalid="ignore"):
        zvalues = np.where(held, np.nan, x / bse)
    pvalues = 2.0 * ndtr(-np.abs(zvalues))
    number, z = number_format(x, bse), _format_of_quotients(zvalues)
    p_value = _format_of_p_values(pvalues)
    return [
        list(names),
        [text_of(value, number) for value in x],
        ["fixed" if fixed else format(se, number) for fixed, se in zip(held, bse, strict=True)],
        _shown(zvalues, held, lambda value: text_of(value, z)),
        # Below the machine epsilon the digits of a p-value mean nothing; R writes the same.
        _shown(pvalues, held, lambda p: "< 2e-16" if p < _EPSILON else format(p, p_value)),
    ]


def _interval_columns(result: Estimate, alpha: float) -> list[list[str]]:
    number = number_format(result.x, result.bse)
    ends = conf_int(result, alpha).T
    return [_shown(end, result.is_fixed, lambda value: text_of(value, number)) for end in ends]


def _shown(values: Array, held: npt.NDArray[np.bool_], text: Callable[[float], str]) -> list[str]:
    """The texts of values, and nothing for parameters that are fixed."""
    return ["" if fixed else text(value) for fixed, value in zip(held, values, strict=True)]


def marks_of(pvalues: Array) -> list[str]:
    """The marks of p-values."""
    return [stars_of(p) for p in pvalues]


def stars_of(p: float) -> str:
    """The marks of a p-value, as R has them."""
    return next((stars for limit, stars in _STARS if p < limit), "")


def number_format(estimates: Array, errors: Array) -> str:
    """That of estimates and errors: six decimals in general, six significant digits where decimals would show
    too few of some number, or too many."""
    sizes = np.where(np.isfinite(errors) & (errors > 0.0), errors, np.abs(estimates))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0.0)]
    plain = (np.abs(estimates) < 1e7).all() and ((sizes >= 1e-3) & (sizes < 1e7)).all()
    return ".6f" if plain else ".5e"


def _format_of_quotients(z: Array) -> str:
    return ".3f" if np.nanmax(np.abs(z), initial=0.0) < 1e6 else ".3e"


def _format_of_p_values(p: Array) -> str:
    return ".2e" if ((p >= _EPSILON) & (p < 1e-4)).any() else ".3g"


def text_of(value: float, form: str) -> str:
    """The text of a number, without the minus sign of a rounded zero."""
    text = format(value, form)
    return text.removeprefix("-") if float(text) == 0.0 else text


def criterion(value: float) -> str:
    """A log-likelihood or an information criterion, to a tenth or to four digits, at no great length."""
    return f"{value:.1f}" if 100.0 <= abs(value) < 1e9 else f"{value:.4g}"


# Numbers ----------------------------------------------------------------------------------------------------


def as_dict(result: Estimate) -> dict[str, Any]:
    """The numbers of the fit as lists, numbers and texts, ready for `json.dumps`.

    Under "params", the estimate, errors and 95 % Wald interval of each; `None` stands for what is not
    finite.
    """
    low, high = conf_int(result).T
    columns = {
        "estimate": result.x,
        "se": result.bse,
        "z": result.zvalues,
        "p": result.pvalues,
        "low": low,
        "high": high,
        "fixed": result.is_fixed,
    }
    coefficients = {
        name: {key: _plain(values[i]) for key, values in columns.items()}
        for i, name in enumerate(result.names)
    }
    cov = [[_plain(value) for value in row] for row in result.cov_params()]
    unknown = _BY_OBSERVATIONS if result.nobs is None else ()
    reported = {name: None if name in unknown else _plain(getattr(result, name)) for name in _REPORTED}
    random = {
        name: {"mode": _plain(mode), "se": _plain(se)}
        for name, mode, se in zip(
            result.random_names, _none(result.modes), _none(result.modes_bse), strict=True
        )
    }
    told = {"random": random} if random else {}
    return {"params": coefficients, "cov_params": cov, **told, **reported}


def _none(values: Array | None) -> list[Any]:
    return [] if values is None else list(values)


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
