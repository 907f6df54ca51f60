"""The table of a fit, as text, HTML and LaTeX."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.flat import why_undetermined
from tapegrad.mle.infer.random import random_effects
from tapegrad.mle.report.intervals import conf_int
from tapegrad.mle.tables import html_table, text_table

Array: TypeAlias = npt.NDArray[np.float64]

# What `as_dict` holds besides the parameters, and what of it the number of observations enters.
_REPORTED: Final = (
    *("llf", "aic", "aicc", "bic", "nobs", "df_model", "df_resid", "converged", "se_reliable", "message"),
    *("nit", "nfev", "njev", "nhev", "method", "model", "cov_type"),
)
_BY_OBSERVATIONS: Final = ("aicc", "bic", "df_resid")
_HEADER = ("", "Estimate", "Std. Error", "z value", "Pr(>|z|)")
_EPSILON: Final = np.finfo(np.float64).eps
_STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, "."))
LEGEND = "Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"
_TEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
}


@dataclass(frozen=True, repr=False)
class Summary:
    """A table of coefficients with lines above and below it; its `str` is what R and statsmodels print.

    Attributes
    ----------
    title : str
        The line above the table.
    rows : tuple of tuples of str
        Name, estimate, standard error, z value, p-value and stars of each coefficient, see `row`.
    notes : tuple of str
        The lines below the table.
    """

    title: str
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        lines = text_table([_HEADER, *(row[:5] for row in self.rows)])
        stars = ("", *(row[5] for row in self.rows))
        table = [f"{line} {mark}".rstrip() for line, mark in zip(lines, stars, strict=True)]
        return "\n".join((self.title, *table, "---", *self.notes))

    __repr__ = __str__

    def as_html(self) -> str:
        """The table as HTML, which Jupyter shows by itself."""
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return f"<div>{escape(self.title)}</div>{html_table([(*_HEADER, ''), *self.rows])}{notes}"

    _repr_html_ = as_html

    def as_latex(self) -> str:
        """The table as LaTeX: a ``tabular``, which needs no package, with the title as a comment above it."""
        lines = [" & ".join(map(_tex, cells)) for cells in self.rows]
        short = [line for note in self.notes for line in textwrap.wrap(note, 100)]
        notes = [rf"\multicolumn{{6}}{{l}}{{\footnotesize {_tex(line)}}}" for line in short]
        parts = ([" & ".join(map(_tex, (*_HEADER, "")))], lines, notes)
        body = "\\hline\n".join("".join(f"{line} \\\\\n" for line in part) for part in parts)
        title = " ".join(self.title.split())  # whatever its name: no line of it leaves the comment
        return f"% {title}\n\\begin{{tabular}}{{lrrrrl}}\n\\hline\n{body}\\end{{tabular}}"


def _tex(text: str) -> str:
    escaped = "".join(_TEX.get(character, character) for character in text)
    # A minus is no hyphen, and TeX would make one space of several.
    return re.sub(r"-(?=\d)", "$-$", escaped).replace("    ", r"\quad ")


def summarize(result: Estimate) -> Summary:
    """The table of coefficients, and how the fit went: `print` it, or take its HTML or LaTeX."""
    robust = "" if result.cov_type == "nonrobust" else f"    standard errors: {result.cov_type}"
    rows = coefficient_rows(result.names, result.x, result.bse, result.is_fixed)
    if not result.converged:  # what is no maximum has no significant coefficients
        rows = [(*cells[:5], "") for cells in rows]
    return Summary(
        title=f"Maximum likelihood fit: {result.model}    method: {result.method}{robust}",
        rows=tuple(rows),
        notes=(
            *((LEGEND,) if result.converged else ()),
            *_random_effects(result),
            criteria(result),
            *ending(result),
        ),
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
    return (
        f"Log-likelihood: {criterion(result.llf)}    AIC: {criterion(result.aic)}    BIC: {bic}    "
        f"No. observations: {observations}"
    )


def ending(result: Estimate) -> tuple[str, ...]:
    """How the fit ended, and whether there is more to be said about it."""
    iterations = f"{result.nit} iteration{'s' * (result.nit != 1)}"
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


def coefficient_rows(
    names: Sequence[str], x: Array, bse: Array, held: npt.NDArray[np.bool_]
) -> list[tuple[str, ...]]:
    """The lines of a table of estimates, as text, with one format for each column; the stars come last."""
    with np.errstate(divide="ignore", invalid="ignore"):
        zvalues = np.where(held, np.nan, x / bse)
    pvalues = 2.0 * ndtr(-np.abs(zvalues))
    number, z = _format(x, bse), _format_of_quotients(zvalues)
    p_value = _format_of_p_values(pvalues)
    rows: list[tuple[str, ...]] = []
    for i, name in enumerate(names):
        estimate = _unsigned_zero(format(x[i], number))
        if held[i]:
            rows.append((name, estimate, "fixed", "", "", ""))
            continue
        stars = next((stars for limit, stars in _STARS if pvalues[i] < limit), "")
        quotient = _unsigned_zero(format(zvalues[i], z))
        # Below the machine epsilon the digits of a p-value mean nothing; R writes the same.
        p = "< 2e-16" if pvalues[i] < _EPSILON else format(pvalues[i], p_value)
        rows.append((name, estimate, format(bse[i], number), quotient, p, stars))
    return rows


def _format(estimates: Array, errors: Array) -> str:
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


def _unsigned_zero(text: str) -> str:
    """The text of a number, without the minus sign of a rounded zero."""
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
