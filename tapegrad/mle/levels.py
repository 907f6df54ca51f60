"""Confidence levels, and the intervals that standard errors give."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

Array: TypeAlias = npt.NDArray[np.float64]


def checked_alpha(alpha: float) -> float:
    """`alpha`, if it is one minus a confidence level."""
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is one minus the confidence level, between 0 and 1, not {alpha}")
    return alpha


def normal_intervals(x: Array, bse: Array, alpha: float) -> Array:
    """Wald intervals, `x` plus and minus a normal quantile times `bse`, of shape (p, 2)."""
    half = -ndtri(checked_alpha(alpha) / 2.0) * bse
    return np.column_stack([x - half, x + half])
