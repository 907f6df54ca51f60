"""The table of a fit, as text."""

from dataclasses import dataclass

import numpy as np

_HEADER = ("", "Estimate", "Std. Error", "z value", "Pr(>|z|)")
_STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, "."))
_LEGEND = "Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"


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
        table = (_HEADER, *(row[:5] for row in self.rows))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for cells, stars in zip(table, ("", *(row[5] for row in self.rows)), strict=True):
            numbers = "  ".join(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
            lines.append(f"{cells[0].ljust(widths[0])}  {numbers} {stars}".rstrip())
        return "\n".join((self.title, *lines, "---", _LEGEND, *self.notes))

    __repr__ = __str__


def row(name: str, estimate: float, error: float, z: float, p: float) -> tuple[str, ...]:
    """One line of the table, as text; the stars come last."""
    # Six decimals in general; six significant digits where they would show too few of them, or too many.
    plain = abs(estimate) < 1e7 and not (error < 1e-3 or error >= 1e7)
    number = "{:.6f}" if plain else "{:.5e}"
    stars = next((stars for limit, stars in _STARS if p < limit), "")
    return (name, number.format(estimate), number.format(error), f"{z:.3f}", _p_value(p), stars)


def _p_value(p: float) -> str:
    # Below the machine epsilon the digits of a p-value mean nothing; R writes the same.
    return "< 2e-16" if p < np.finfo(np.float64).eps else f"{p:.3g}"


def criterion(value: float) -> str:
    """A log-likelihood or an information criterion, to a tenth or to four digits."""
    return f"{value:.1f}" if abs(value) >= 100.0 else f"{value:.4g}"
