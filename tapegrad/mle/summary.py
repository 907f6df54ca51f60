"""The table of a fit, as text, HTML and LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tapegrad.mle.result import FitResult

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
        return "\n".join((self.title, *table, "---", _LEGEND, *self.notes))

    __repr__ = __str__

    def as_html(self) -> str:
        """The table as HTML."""
        notes = "".join(f"<p>{escape(note)}</p>" for note in (_LEGEND, *self.notes))
        return f"<p>{escape(self.title)}</p>{html_table([(*_HEADER, ''), *self.rows])}{notes}"

    _repr_html_ = as_html  # what Jupyter shows

    def as_latex(self) -> str:
        """The table as LaTeX, a ``tabular`` with its title and notes as comments."""
        comments = [f"% {line}" for line in (self.title, *self.notes)]
        rows = [" & ".join(map(_tex, cells)) + r" \\" for cells in ((*_HEADER, ""), *self.rows)]
        begin, end = r"\begin{tabular}{lrrrrl}", r"\end{tabular}"
        rule = r"\hline"
        return "\n".join([*comments, begin, rule, rows[0], rule, *rows[1:], rule, end])


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


def text_table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines of aligned columns, the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for cells in rows:
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        lines.append(f"{cells[0].ljust(widths[0])}  {numbers}".rstrip())
    return lines


def html_table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of cells as an HTML table, the first row as its head."""

    def line(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(cells, "td") for cells in rows[1:])
    return f"<table><thead>{line(rows[0], 'th')}</thead><tbody>{body}</tbody></table>"


def summarize(result: "FitResult") -> Summary:
    """The table of a fit."""
    columns = zip(result.names, result.x, result.bse, result.zvalues, result.pvalues, strict=True)
    bic = "nan (pass nobs=)" if result.nobs is None else criterion(result.bic)
    observations = "unknown" if result.nobs is None else str(result.nobs)
    robust = "" if result.cov_type == "nonrobust" else f"    standard errors: {result.cov_type}"
    fixed = result.is_fixed
    return Summary(
        title=f"Maximum likelihood fit: {result.model}    method: {result.method}{robust}",
        rows=tuple(
            fixed_row(name, x) if held else row(name, x, *rest)
            for (name, x, *rest), held in zip(columns, fixed, strict=True)
        ),
        notes=(
            f"Log-likelihood: {criterion(result.llf)}    AIC: {criterion(result.aic)}    BIC: {bic}    "
            f"No. observations: {observations}",
            f"Converged in {result.nit} iteration{'s' * (result.nit != 1)}"
            if result.converged
            else f"NOT CONVERGED after {result.nit} iterations: {result.message}",
        ),
    )


def row(name: str, estimate: float, error: float, z: float, p: float) -> tuple[str, ...]:
    """One line of the table, as text; the stars come last."""
    # Six decimals in general; six significant digits where they would show too few of them, or too many.
    plain = abs(estimate) < 1e7 and not (error < 1e-3 or error >= 1e7)
    number = "{:.6f}" if plain else "{:.5e}"
    stars = next((stars for limit, stars in _STARS if p < limit), "")
    return (name, number.format(estimate), number.format(error), f"{z:.3f}", _p_value(p), stars)


def fixed_row(name: str, value: float) -> tuple[str, ...]:
    """The line of a parameter that was held at its value."""
    return (name, f"{value:.6g}", "fixed", "", "", "")


def _p_value(p: float) -> str:
    # Below the machine epsilon the digits of a p-value mean nothing; R writes the same.
    return "< 2e-16" if p < np.finfo(np.float64).eps else f"{p:.3g}"


def criterion(value: float) -> str:
    """A log-likelihood or an information criterion, to a tenth or to four digits."""
    return f"{value:.1f}" if abs(value) >= 100.0 else f"{value:.4g}"
