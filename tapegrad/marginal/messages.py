"""What is said of random effects that have no mode, in their own names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.marginal.layout import Layout
from tapegrad.sparse import NotPositiveDefinite

Array = np.ndarray[Any, Any]

_SHOWN = 4


def listed(names: Sequence[str]) -> str:
    """The first few of many names."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def along(direction: Array, names: Sequence[str]) -> str:
    """A direction in the random effects, such as "u[3] - 0.5 u[4]"."""
    order = np.argsort(-np.abs(direction), kind="stable")[:_SHOWN]
    order = order[np.abs(direction[order]) > 0.1 * np.abs(direction[order[0]])]
    text = ""
    for i in order.tolist():
        share = direction[i] / direction[order[0]]
        size = f"{abs(share):.3g}"
        text += (" - " if share < 0 else " + ") + (names[i] if size == "1" else f"{size} {names[i]}")
    more = np.count_nonzero(np.abs(direction) > 0.1 * np.abs(direction).max()) - len(order)
    return text.removeprefix(" + ") + (" and so on" if more > 0 else "")


def idle(names: Sequence[str], layout: Layout) -> str:
    """Which random effects the joint log-likelihood does not depend on, or only as a straight line."""
    found = [names[i] for i in np.flatnonzero(layout.idle).tolist()]
    return (
        f"the joint log-likelihood does not depend on {listed(found)}, or only as a straight line, so that "
        "there is nothing to integrate: give each random effect a density (one for a group without data, "
        "too), or leave it out of random="
    )


def not_definite(names: Sequence[str], layout: Layout, error: NotPositiveDefinite) -> str:
    """Along which direction, in which block, the joint log-likelihood has no peak."""
    try:
        direction = error.direction
    except np.linalg.LinAlgError:  # so singular that none can be told from others
        return "minus the Hessian in the random effects is singular: the joint log-likelihood is flat in them"
    block = layout.labels == layout.labels[error.where]
    which = along(np.where(block, direction, 0.0), names)
    size = float(np.abs(error.matrix.diagonal()).max(initial=0.0))
    if not np.isfinite(error.curvature):
        what = "has a Hessian that is not finite"
    elif error.curvature < -1e-10 * size:
        what = "curves upwards"
    else:
        what = "is flat"
    members = [names[i] for i in np.flatnonzero(block).tolist()]
    among = "" if len(members) == 1 else f" (a block of {len(members):,}: {listed(members)})"
    return (
        f"minus the Hessian in the random effects is not positive definite: the joint log-likelihood {what} "
        f"along {which}{among}. Their density may be improper there, or the start far off"
    )


def diverged(names: Sequence[str], u: Array, step: Array, count: int) -> str:
    """Which random effects run off."""
    far = np.argsort(-np.abs(step) / (1.0 + np.abs(u)), kind="stable")[:_SHOWN]
    at = ", ".join(f"{names[i]} = {u[i]:.4g}" for i in far)
    return (
        f"the random effects have not come to a mode in {count} steps; the last ones moved {at}. Start them "
        "elsewhere, or check that the joint log-likelihood has a peak in them"
    )


def edge(names: Sequence[str], u: Array, block: Array, value: float) -> str:
    """Which random effects stand at the edge of their support, the joint log-likelihood still rising."""
    at = listed([f"{names[i]} = {u[i]:.4g}" for i in block.tolist()])
    what = f"the joint log-likelihood is {value}" if not np.isfinite(value) else "the Hessian is not finite"
    return (
        f"{what} at {at}, right beside where it rises most. A random effect takes all real numbers: write "
        "one with bounds as a function of one without, such as np.exp(u), and take the sum over all values "
        "of a discrete one in the log-likelihood"
    )


def kink(names: Sequence[str], u: Array, step: Array, count: int) -> str:
    """Which random effects stand where the joint log-likelihood has no derivative."""
    far = np.argsort(-np.abs(step) / (1.0 + np.abs(u)), kind="stable")[:_SHOWN]
    at = ", ".join(f"{names[i]} = {u[i]:.4g}" for i in far.tolist())
    return (
        f"the random effects have not come to a mode in {count} steps, and move no more, at {at}, though the "
        "slope there is not 0: the joint log-likelihood has a kink there, as np.abs has at 0, or a step. "
        "Laplace's method needs a smooth one"
    )


def not_finite(names: Sequence[str], value: float, slope: Array) -> str:
    """What is not finite where the inner problem begins."""
    if not np.isfinite(value):
        return f"the joint log-likelihood is {value} at the start of the random effects"
    bad = [names[i] for i in np.flatnonzero(~np.isfinite(slope)).tolist()]
    which = f"gradient in {listed(bad)}" if bad else "Hessian in the random effects"
    return f"the {which} of the joint log-likelihood is not finite at the start of the random effects"
