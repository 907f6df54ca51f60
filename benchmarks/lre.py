"""Log relative errors: how many digits of a result are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Check:
    """A number of right digits, and how many there have to be.

    Attributes
    ----------
    case, quantity : str
        What was computed, and which of its numbers.
    digits : float
        The smallest log relative error of the numbers.
    needed : float
        What it must not fall below.
    """

    case: str
    quantity: str
    digits: float
    needed: float

    @property
    def holds(self) -> bool:
        """Whether there are enough right digits; NaN are none."""
        return self.digits >= self.needed


def log_relative_error(values: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """The number of decimal digits to which `values` agree with `expected`, in the worst of them.

    It is the least of ``-log10(abs(value / expected - 1))``; where `expected` is zero, the error is absolute.
    B. D. McCullough, "Assessing the reliability of statistical software: Part I", The American Statistician
    52 (1998), 358-366.

    Returns
    -------
    float
        At most 16; ``nan`` if a value is.

    Examples
    --------
    >>> round(log_relative_error([1.0, 2.0002], [1.0, 2.0]), 6)
    4.0
    """
    values, expected = np.asarray(values, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    error = np.abs(values - expected) / np.where(expected == 0.0, 1.0, np.abs(expected))
    return float(-np.log10(np.maximum(error.max(), 1e-16)))
