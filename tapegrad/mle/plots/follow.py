"""The lines of equal profile likelihood of two parameters, followed from point to point."""

from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.others import others, settled
from tapegrad.mle.climb.refit import Refit, refit
from tapegrad.mle.climb.surfaces import Supported
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.matrices import covariance
from tapegrad.mle.progress import Progress

Array: TypeAlias = npt.NDArray[np.float64]

# Angles between neighbouring points, in units in which Wald's ellipses are circles: what is aimed at, and the
# most there may be.
_TURN: Final = 0.22
_MOST: Final = 0.55
_CORRECTIONS: Final = 8
_POINTS: Final = 600
# How near a point has to come to its height, and when a step is too short.
_NEAR: Final = 2e-4
_SHORTEST: Final = 1e-4
_BETWEEN: Final = 8


class Curve(NamedTuple):
    """A line of equal profile likelihood.

    Attributes
    ----------
    points : ndarray, shape (m, 2)
        The line, fine enough to be drawn with straight pieces.
    nodes : ndarray, shape (n, 2)
        The points where the other parameters were fitted.
    closed : bool
        Whether it comes back to where it began.
    """

    points: Array
    nodes: Array
    closed: bool


class _Node(NamedTuple):
    """A point in round coordinates, the depth of the profile there, its slope, and the free vector."""

    w: Array
    drop: float
    slope: Array
    free: Array


class Surface2:
    """The profile likelihood of two parameters around a fit.

    Parameters
    ----------
    result : Estimate
        A fit that has converged.
    places : list of int
        Of two parameters that have free coordinates of their own.
    shown : Progress
    """

    def __init__(self, result: Estimate, places: list[int], shown: Progress) -> None:
        self._model = result.require_model("a contour plot")
        self._result, self._places, self._shown = result, places, shown
        self._top = result.free_estimates
        self._coordinates = [int(one) for one in self._model.space.coordinate[places]]
        block = np.ix_(self._coordinates, self._coordinates)
        # Of the likelihood's own curvature, whatever errors are reported.
        self._round = np.linalg.cholesky(covariance(result.observed_info)[block])
        self._surface = Supported(self._model.function)
        self._beside = others(result.observed_info, self._coordinates)
        self._height = self._model.function.value_flat(self._top)

    def contour(self, drop: float) -> Curve:
        """The line on which the profile likelihood lies by `drop` below its maximum."""
        start = self._first(drop)
        nodes, closed = self._around(start, drop, 1.0)
        if not closed:
            back, _ = self._around(start, drop, -1.0)
            nodes = [*reversed(back[1:]), *nodes]
        w = _smooth(nodes, closed)
        return Curve(self._natural(w), self._natural(np.array([node.w for node in nodes])), closed)

    def _natural(self, w: Array) -> Array:
        """Points in the parameters themselves."""
        found = np.empty((len(w), 2))
        free = self._top.copy()
        for i, one in enumerate(w):
            free[self._coordinates] = self._top[self._coordinates] + self._round @ one
            found[i] = self._model.space.natural(free)[self._places]
        return found

    def _at(self, w: Array, near: Array) -> _Node | None:
        """The node there, fitted from `near`; None where there is no maximum in the others."""
        wanted = self._top[self._coordinates] + self._round @ w
        held = dict(zip(self._coordinates, map(float, wanted), strict=True))
        with np.errstate(all="ignore"):  # a fit that runs away may overflow on its way
            found = self._stepped(wanted, near)
            if found is None:
                found = refit(self._model, near, held)
            if not found.converged:
                found = refit(self._model, self._top, held)
        self._shown.step()
        if not (found.converged and np.isfinite(found.llf)):
            return None
        # What the others do there has no part in the slope.
        slope = self._model.function.value_and_grad_flat(found.free)[1][self._coordinates]
        down = -(self._round.T @ slope)
        return _Node(w, self._height - found.llf, down, found.free) if np.isfinite(down).all() else None

    def _stepped(self, wanted: Array, near: Array) -> Refit | None:
        """The best fit of the others by the Hessian of the estimates; None where that does not lead there."""
        if self._beside is None:
            return None
        point = self._beside.moved(near, np.zeros(near.size), (wanted - near[self._coordinates]).tolist())
        point[self._coordinates] = wanted
        found = settled(self._surface, point, self._beside)
        return None if found is None else Refit(*found, converged=True)

    def _first(self, drop: float) -> _Node:
        """A point of the line, in the first direction in which there is one."""
        for angle in np.pi * np.array([0.0, 1.0, 0.5, 1.5, 0.25, 1.25]):
            way = np.array([np.cos(angle), np.sin(angle)])
            found = self._crossing(way, drop)
            if found is not None:
                return found
        raise ValueError("the log-likelihood does not fall far enough in any direction: there is no contour")

    def _crossing(self, way: Array, drop: float) -> _Node | None:
        inner, outer = 0.0, np.inf
        length, near = float(np.sqrt(2.0 * drop)), self._top
        for _ in range(60):
            node = self._at(length * way, near)
            if node is not None and abs(node.drop - drop) <= _NEAR * drop:
                return node
            if node is None or node.drop > drop:
                outer = length
            else:
                inner, near = length, node.free
            # In the root of the drop, which is nearly a straight line; halving where that leads out.
            guess = length * np.sqrt(drop / node.drop) if node is not None and node.drop > 0.0 else 0.0
            if not inner < guess < min(outer, 4.0 * length):
                guess = 0.5 * (inner + outer) if np.isfinite(outer) else 2.0 * length
            length = guess
            if length > 1e3 * np.sqrt(drop):
                return None
        return None

    def _around(self, start: _Node, drop: float, sign: float) -> tuple[list[_Node], bool]:
        """Nodes along the line, to one side; and whether it came back."""
        nodes, step, bend = [start], _TURN * float(np.linalg.norm(start.w)), 0.0
        smallest = _SHORTEST * step
        while len(nodes) < _POINTS:
            last = nodes[-1]
            new = self._next(last, drop, sign, step, bend)
            turn = np.inf if new is None else _angle(last.slope, new.slope)
            if new is None or abs(turn) > _MOST:
                step *= 0.5
                if step < smallest:
                    return nodes, False
                continue
            length = float(np.linalg.norm(new.w - last.w))
            if len(nodes) > 4 and _passes(last.w, new.w, start.w, length):
                return nodes, True
            bend = turn / length
            nodes.append(new)
            step *= float(np.clip(_TURN / max(abs(turn), 1e-3), 0.5, 1.6))
        return nodes, False

    def _next(self, last: _Node, drop: float, sign: float, step: float, bend: float) -> _Node | None:
        """The point of the line a step further on: along an arc, and then up or down the slope."""
        normal = last.slope / np.linalg.norm(last.slope)
        tangent = sign * np.array([-normal[1], normal[0]])
        half = 0.5 * bend * step
        ahead = np.array([tangent[0] * np.cos(half) - tangent[1] * np.sin(half),
                          tangent[0] * np.sin(half) + tangent[1] * np.cos(half)])  # fmt: skip
        w, near = last.w + step * ahead, last.free
        for _ in range(_CORRECTIONS):
            node = self._at(w, near)
            if node is None or not node.slope.any():
                return None
            gap = drop - node.drop
            if abs(gap) <= _NEAR * drop:
                return node
            move = gap / float(node.slope @ node.slope) * node.slope
            if np.linalg.norm(move) > step:
                return None
            w, near = w + move, node.free
        return None


def _angle(first: Array, second: Array) -> float:
    """By how much one direction is turned against the other."""
    cross = first[0] * second[1] - first[1] * second[0]
    return float(np.arctan2(cross, first @ second))


def _passes(last: Array, new: Array, start: Array, length: float) -> bool:
    """Whether the step leads past the start."""
    ahead = (new - last) / length
    along = float((start - last) @ ahead)
    aside = float(np.linalg.norm(start - last - along * ahead))
    return 0.0 < along <= length * 1.0001 and aside < 0.3 * length


def _smooth(nodes: list[_Node], closed: bool) -> Array:
    """Cubic pieces through the nodes, along the line at each."""
    ring = [*nodes, nodes[0]] if closed else nodes
    w = np.array([node.w for node in ring])
    slopes = np.array([node.slope for node in ring])
    tangents = np.column_stack([-slopes[:, 1], slopes[:, 0]])
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    chords = np.diff(w, axis=0)
    if len(chords) and float(np.sum(chords * tangents[:-1])) < 0.0:
        tangents = -tangents
    lengths = np.linalg.norm(chords, axis=1, keepdims=True)
    pieces = []
    for s in np.arange(_BETWEEN) / _BETWEEN:
        start, end = (1.0 + 2.0 * s) * (1.0 - s) ** 2, s * s * (3.0 - 2.0 * s)
        leave, arrive = s * (1.0 - s) ** 2, s * s * (s - 1.0)
        pieces.append(
            start * w[:-1] + end * w[1:] + lengths * (leave * tangents[:-1] + arrive * tangents[1:])
        )
    return np.vstack([np.stack(pieces, axis=1).reshape(-1, 2), w[-1:]])
