"""The table of a fit, as text, HTML and LaTeX."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tapegrad.mle.inference import why_undetermined

if TYPE_CHECKING:
    from tapegrad.mle.result import FitResult

# What `as_dict` holds besides the parameters, and what of it the number of observations enters.
_REPORTED: Final = (
    *("llf", "aic", "aicc", "bic", "nobs", "df_model", "df_resid", "converged", "se_reliable", "message"),
    *("nit", "nfev", "njev", "nhev", "method", "model", "cov_type"),
)
_BY_OBSERVATIONS: Final = ("aicc", "bic", "df_resid")
_HEADER = ("", "Estimate", "Std. Error", "z value", "Pr(>|z|)")
_STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, "."))
_LEGEND = "Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"
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


def text_table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines of aligned columns, the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for cells in rows:
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        lines.append(f"{cells[0].ljust(widths[0])}  {numbers}".rstrip())
    return lines


def html_table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of cells as an HTML table, the first row as its head, the first column to the left."""

    def line(cells: tuple[str, ...], tag: str) -> str:
        sides = ("left", *("right" for _ in cells[1:]))
        pairs = zip(cells, sides, strict=True)
        inner = (f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for cell, side in pairs)
        return f"<tr>{''.join(inner)}</tr>"

    body = "".join(line(cells, "td") for cells in rows[1:])
    return f"<table><thead>{line(rows[0], 'th')}</thead><tbody>{body}</tbody></table>"


def summarize(result: "FitResult") -> Summary:
    """The table of a fit."""
    columns = zip(result.names, result.x, result.bse, result.zvalues, result.pvalues, strict=True)
    robust = "" if result.cov_type == "nonrobust" else f"    standard errors: {result.cov_type}"
    rows = [
        fixed_row(name, x) if held else row(name, x, *rest)
        for (name, x, *rest), held in zip(columns, result.is_fixed, strict=True)
    ]
    if not result.converged:  # what is no maximum has no significant coefficients
        rows = [(*cells[:5], "") for cells in rows]
    return Summary(
        title=f"Maximum likelihood fit: {result.model}    method: {result.method}{robust}",
        rows=tuple(rows),
        notes=(*((_LEGEND,) if result.converged else ()), _criteria(result), *_ending(result)),
    )


def _criteria(result: "FitResult") -> str:
    bic = "unknown (pass nobs=)" if result.nobs is None else criterion(result.bic)
    observations = "unknown" if result.nobs is None else str(result.nobs)
    return (
        f"Log-likelihood: {criterion(result.llf)}    AIC: {criterion(result.aic)}    BIC: {bic}    "
        f"No. observations: {observations}"
    )


def _ending(result: "FitResult") -> tuple[str, ...]:
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


def row(name: str, estimate: float, error: float, z: float, p: float) -> tuple[str, ...]:
    """One line of the table, as text; the stars come last."""
    # Six decimals in general; six significant digits where they would show too few of them, or too many.
    size = error if np.isfinite(error) else abs(estimate) or 1.0
    plain = abs(estimate) < 1e7 and 1e-3 <= size < 1e7
    number = "{:.6f}" if plain else "{:.5e}"
    stars = next((stars for limit, stars in _STARS if p < limit), "")
    return (
        name,
        _unsigned_zero(number.format(estimate)),
        number.format(error),
        _unsigned_zero(f"{z:.3f}"),
        _p_value(p),
        stars,
    )


def _unsigned_zero(text: str) -> str:
    """Without the minus of what has been rounded to zero."""
    return text.removeprefix("-") if float(text) == 0.0 else text


def fixed_row(name: str, value: float) -> tuple[str, ...]:
    """The line of a parameter that was held at its value."""
    return (name, f"{value:.6g}", "fixed", "", "", "")


def _p_value(p: float) -> str:
    # Below the machine epsilon the digits of a p-value mean nothing; R writes the same.
    return "< 2e-16" if p < np.finfo(np.float64).eps else f"{p:.3g}"


def criterion(value: float) -> str:
    """A log-likelihood or an information criterion, to a tenth or to four digits."""
    return f"{value:.1f}" if abs(value) >= 100.0 else f"{value:.4g}"


# Numbers ----------------------------------------------------------------------------------------------------


def as_dict(result: "FitResult") -> dict[str, Any]:
    """The numbers of a fit as lists, numbers and texts; None for what is not finite."""
    low, high = result.conf_int().T
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
    return {"params": coefficients, "cov_params": cov, **reported}


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
