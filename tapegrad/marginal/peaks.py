"""Whether the random effects have several modes: a search from elsewhere, at given parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tapegrad.marginal.inner import InnerProblem, mode
from tapegrad.marginal.messages import listed
from tapegrad.marginal.surface import Marginal

Array = np.ndarray[Any, Any]

_APART: Final = 1e-3  # standard deviations


@dataclass(frozen=True, eq=False)
class OtherPeak:
    """Another mode of a block of random effects, all others held.

    Attributes
    ----------
    names : tuple of str
        The random effects of the block.
    here, there : ndarray
        Their modes: the one in use, and the other.
    gain : float
        By how much the joint log-likelihood is higher there.
    """

    names: tuple[str, ...]
    here: Array
    there: Array
    gain: float

    def __str__(self) -> str:
        here, there = (
            listed([f"{name} = {x:.4g}" for name, x in zip(self.names, u, strict=True)])
            for u in (self.here, self.there)
        )
        much = f"{abs(self.gain):.3g}"
        what = "higher" if self.gain > 0.0 else "lower"
        return (
            f"given the parameters, the joint log-likelihood has several peaks in the random effects: one at "
            f"{here}, which is integrated, and one at {there}, {what} by {much}. The integral leaves it "
            "out. Start the random effects elsewhere if that is the wrong one, or write the model so that "
            "there is one peak"
        )


def other_peak(marginal: Marginal, theta: Array) -> OtherPeak | None:
    """The highest other mode among those that searches from the first start and from 0 come to.

    Parameters
    ----------
    marginal : Marginal
    theta : ndarray, shape (p,)
        The parameters, where there is a mode.
    """
    found, joint = marginal.mode(theta), marginal.joint
    layout = found.point.layout
    spread = np.sqrt(found.factor.inverse_subset()[layout.pattern.diagonal])
    peaks = []
    for start in (marginal.start, np.zeros_like(found.u)):
        try:
            other = mode(joint, theta, start)
        except InnerProblem:
            continue
        far = np.abs(other.u - found.u) / spread
        if far.max(initial=0.0) <= _APART:
            continue
        for block in np.unique(layout.labels[far > _APART])[:_BLOCKS]:
            mine = np.flatnonzero(layout.labels == block)
            there = found.u.copy()
            there[mine] = other.u[mine]
            gain = joint.at(theta, there).value - found.point.value
            names = tuple(joint.names[i] for i in mine)
            peaks.append(OtherPeak(names, found.u[mine], there[mine], gain))
    return max(peaks, key=lambda peak: peak.gain, default=None)


_BLOCKS: Final = 50  # so many are looked at, to name the highest
