"""The marginal log-likelihood by adaptive Gauss-Hermite quadrature, with its exact gradient and Hessian.

Random effects that fall into blocks of few are integrated block by block. With the mode u of a block, minus
its Hessian there A = M M', and L = M'^-1, the integral of ``exp(f)`` is that of ``exp(f(u + sqrt(2) L x))``
over x, times the determinant of sqrt(2) L. Nodes and weights in x are those of Gauss and Hermite. As the
parameters move, u and L move with them, and so do the nodes; the derivatives follow both.

J. Pinheiro and D. Bates, "Approximations to the log-likelihood function in the nonlinear mixed-effects
model", Journal of Computational and Graphical Statistics 4 (1995); Q. Liu and D. Pierce, "A note on
Gauss-Hermite quadrature", Biometrika 81 (1994).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.polynomial.hermite import hermgauss
from scipy.special import logsumexp

from tapegrad.marginal.blocks import Blocks, BlocksFactor, Stack
from tapegrad.marginal.curvature import responses
from tapegrad.marginal.inner import InnerProblem, Mode
from tapegrad.marginal.joint import Joint
from tapegrad.marginal.layout import Layout
from tapegrad.marginal.messages import listed
from tapegrad.marginal.shares import NoQuadrature
from tapegrad.marginal.surface import Marginal

Array = np.ndarray[Any, Any]

MOST_NODES: Final = 100  # beyond, the smallest weights leave the range of doubles
MOST_EFFECTS: Final = 3


@dataclass(frozen=True, eq=False)
class Grid:
    """The nodes of blocks of one size k.

    Attributes
    ----------
    stack : Stack
        The blocks.
    groups : ndarray of int, shape (g,)
        Their numbers among all blocks.
    x : ndarray, shape (m, k)
        The nodes, times sqrt(2).
    log_weights : ndarray, shape (m,)
        Of the integral over x of any function, not times ``exp(-x'x)``.
    """

    stack: Stack
    groups: Array
    x: Array
    log_weights: Array


def grids(layout: Layout, nodes: int, names: tuple[str, ...]) -> list[Grid]:
    """The nodes of all blocks, those of one size together.

    Raises
    ------
    NoQuadrature
        If a block has too many random effects.
    """
    sizes = np.bincount(layout.labels)
    if sizes.max() > MOST_EFFECTS:
        mine = np.flatnonzero(layout.labels == int(sizes.argmax())).tolist()
        raise NoQuadrature(
            f"quadrature is for groups of one to {MOST_EFFECTS} random effects; {sizes.max():,} of them "
            f"meet: {listed([names[i] for i in mine])}. Laplace's method takes any number, and "
            "result.check_laplace(samples=1000) checks it by importance sampling"
        )
    assert isinstance(layout.system, Blocks)
    x, weights = hermgauss(nodes)
    found = []
    for stack in layout.system.stacks:
        k = stack.members.shape[1]
        places = np.stack(np.meshgrid(*[np.arange(nodes)] * k, indexing="ij"), axis=-1).reshape(-1, k)
        logs = (np.log(weights) + x**2)[places].sum(axis=1) + 0.5 * k * np.log(2.0)
        found.append(Grid(stack, layout.labels[stack.members[:, 0]], np.sqrt(2.0) * x[places], logs))
    return found


class Nodes:
    """The nodes around one mode, with the shares of the blocks there.

    Attributes
    ----------
    grids : list of Grid
    roots : list of ndarray, shape (g, k, k)
        L of each block, stack by stack.
    weights : ndarray, shape (m, b + 1)
        What each node contributes to the integral of each block, as a part of it. What depends on no block
        counts once, at the first node.
    log_integral : float
        The logarithm of the integral.
    """

    def __init__(self, joint: Joint, theta: Array, found: Mode, grids_: list[Grid]) -> None:
        assert isinstance(found.factor, BlocksFactor)
        self.joint, self.theta, self.found, self.grids = joint, theta, found, grids_
        self.roots = found.factor.roots
        self.count = max(grid.log_weights.size for grid in grids_)
        blocks = int(found.point.layout.labels.max()) + 1
        logs = np.full((self.count, blocks + 1), -np.inf)
        logs[0, -1] = 0.0
        for grid, root in zip(grids_, self.roots, strict=True):
            size = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
            logs[: grid.log_weights.size, grid.groups] = grid.log_weights[:, None] + size
        self.lost = np.zeros((self.count, blocks), dtype=bool)
        for j in range(self.count):
            logs[j] += self._shares(j, np.isfinite(logs[j]))
        whole = logsumexp(logs, axis=0)
        self.log_integral = float(whole.sum())
        self.weights = np.exp(logs - whole)

    def _shares(self, j: int, wanted: Array) -> Array:
        """The shares at one node; those outside the support of the random effects are minus infinity."""
        layout = self.found.point.layout
        shares, path = self.joint.shares(self.joint.vector(self.theta, self.at(j)))
        if path is not layout and not np.array_equal(path.labels, layout.labels):
            raise InnerProblem("random effects that are apart at their mode meet at a node of the quadrature")
        bad = np.isnan(shares) | (shares == np.inf)
        if (bad & wanted).any():
            block = int(np.flatnonzero(bad & wanted)[0])
            mine = np.flatnonzero(layout.labels == block).tolist()
            names = listed([f"{self.joint.names[i]} = {self.at(j)[i]:.4g}" for i in mine])
            raise InnerProblem(
                f"the joint log-likelihood is {shares[block]} at {names}, a node of the quadrature"
            )
        self.lost[j] = np.isneginf(shares[:-1])
        return np.where(wanted, shares, 0.0)

    def at(self, j: int) -> Array:
        """The random effects at a node of each block; at the mode for blocks without, or outside the
        support."""
        u = self.found.u.copy()
        for grid, root in zip(self.grids, self.roots, strict=True):
            if j < len(grid.x):
                moved = root @ grid.x[j]
                moved[self.lost[j][grid.groups]] = 0.0
                u[grid.stack.members] += moved
        return u

    def over(self) -> Iterator[tuple[int, Array, Array]]:
        """For each node its number, parameters and random effects there, and the weights of the blocks."""
        for j in range(self.count):
            yield j, self.joint.vector(self.theta, self.at(j)), self.weights[j]

    def pulled(self) -> tuple[Array, list[Array]]:
        """The gradient of the logarithm of the integral in parameters, mode, and L, each as if alone."""
        slope = np.zeros(self.joint.inner.size + self.joint.outer.size)
        by_root = [np.linalg.inv(root).mT for root in self.roots]
        for j, x, weights in self.over():
            found = self.joint.shares_pulled(x, weights)
            slope += found
            self.add_outer(by_root, j, found[self.joint.inner])
        return slope, by_root

    def add_outer(self, totals: list[Array], j: int, slope: Array) -> None:
        """Add the products of a slope in the random effects and the node that moves them with L."""
        for grid, total in zip(self.grids, totals, strict=True):
            if j < len(grid.x):
                total += slope[grid.stack.members][:, :, None] * grid.x[j]

    def placed(self, parts: list[Array]) -> Array:
        """Matrices of the blocks as the stored elements of one."""
        values = np.zeros(self.found.point.layout.pattern.nnz)
        for grid, part in zip(self.grids, parts, strict=True):
            values[grid.stack.stored] = part.ravel()[grid.stack.places]
        return values


def _half(matrices: Array) -> Array:
    """The lower triangles, with half the diagonal."""
    return np.tril(matrices) - 0.5 * np.eye(matrices.shape[-1]) * matrices


def _symmetric(matrices: Array) -> Array:
    found: Array = 0.5 * (matrices + matrices.mT)
    return found


class Quadrature(Marginal):
    """A marginal log-likelihood by quadrature, as a function of one flat vector of parameters.

    Parameters
    ----------
    joint : Joint
    start : ndarray, shape (q,)
        Where the first search for the mode begins.
    nodes : int
        How many there are along each random effect.
    """

    def __init__(self, joint: Joint, start: Array, nodes: int) -> None:
        super().__init__(joint, start)
        self.nodes = nodes
        self._grids: tuple[Layout, list[Grid]] | None = None
        self._around: tuple[Mode, Nodes] | None = None

    def like(self, joint: Joint, start: Array) -> Quadrature:
        """The same of another joint log-likelihood."""
        return Quadrature(joint, start, self.nodes)

    def around(self, theta: Array) -> Nodes:
        """The nodes at some parameters."""
        found = self.mode(theta)
        if self._around is None or self._around[0] is not found:
            layout = found.point.layout
            if self._grids is None or self._grids[0] is not layout:
                self._grids = layout, grids(layout, self.nodes, self.joint.names)
            self._around = found, Nodes(self.joint, theta, found, self._grids[1])
        return self._around[1]

    def value_flat(self, theta: Array) -> float:
        """The marginal log-likelihood."""
        return self.around(theta).log_integral

    def value_and_grad_flat(self, theta: Array) -> tuple[float, Array]:
        """The marginal log-likelihood and its gradient."""
        found = _Sensitivity(self.around(theta))
        joint, v = self.joint, found.v
        (moved,) = joint.hessian_columns(found.x, [joint.vector(np.zeros_like(theta), v)])
        return found.nodes.log_integral, (found.slope + moved)[joint.outer]

    def mixed(self, theta: Array, directions: Array) -> list[Array]:
        """The Hessian of the function whose gradient is the marginal one, nodes and weights held, times
        directions."""
        found = _Sensitivity(self.around(theta))
        still = np.zeros(self.joint.inner.size)
        moves = np.array([self.joint.vector(one, still) for one in directions])
        total = np.array(self.joint.second(found.x, found.v, found.weights, moves, times=0.0)[0])
        for _, x, weights in found.nodes.over():
            turned = np.column_stack([moves, np.zeros((len(moves), weights.size))])
            total += self.joint.shares_turned(x, weights, turned)
        return list(total)

    def hessian_flat(self, theta: Array) -> Array:
        """Its exact Hessian."""
        return _hessian(_Sensitivity(self.around(theta)))


def marginal_of(joint: Joint, start: Array, nodes: int = 1) -> Marginal:
    """The marginal log-likelihood with so many nodes along each random effect; one is Laplace's method.

    Raises
    ------
    ValueError
        If that is no number of nodes.
    """
    if isinstance(nodes, bool) or not isinstance(nodes, int | np.integer) or not 1 <= nodes <= MOST_NODES:
        raise ValueError(f"quadrature= is a number of nodes, from 1 to {MOST_NODES}, not {nodes!r}")
    return Marginal(joint, start) if nodes == 1 else Quadrature(joint, start, int(nodes))


class _Sensitivity:
    """How the logarithm of the integral depends on parameters and mode, and through L on A.

    Attributes
    ----------
    x : ndarray, shape (p + q,)
        Parameters and mode.
    by_root : list of ndarray
        The slope in L, stack by stack.
    weights : ndarray, shape (nnz,)
        The slope in the elements of the inner Hessian, which is -A.
    slope : ndarray, shape (p + q,)
        The slope in parameters and mode, with A moving along.
    """

    def __init__(self, nodes: Nodes) -> None:
        self.nodes, joint = nodes, nodes.joint
        self.x = joint.vector(nodes.theta, nodes.found.u)
        direct, self.by_root = nodes.pulled()
        parts = [
            _symmetric(root @ _half(slope.mT @ root) @ root.mT)
            for root, slope in zip(nodes.roots, self.by_root, strict=True)
        ]
        self.weights = nodes.placed(parts)
        self.slope = direct + joint.swept(self.x, self.weights, times=0.0)

    @cached_property
    def v(self) -> Array:
        """The inverse of A times the slope in the mode."""
        return self.nodes.found.factor.solve(self.slope[self.nodes.joint.inner])


def _hessian(at: _Sensitivity) -> Array:
    """The gradient's own derivative, along each parameter, with mode and nodes following it."""
    nodes, joint = at.nodes, at.nodes.joint
    directions = responses(joint, nodes.found, at.x)
    held, changes = joint.second(at.x, at.v, at.weights, directions, times=0.0)
    roots = [
        [
            -root @ _half(root.mT @ grid.stack.matrices(change) @ root).mT
            for grid, root in zip(nodes.grids, nodes.roots, strict=True)
        ]
        for change in changes
    ]
    turned, by_root = _turned(nodes, directions, roots)
    total = np.array(held) + turned
    for i, moved in enumerate(roots):
        parts = [
            _weights_moved(*each) for each in zip(nodes.roots, moved, at.by_root, by_root[i], strict=True)
        ]
        total[i] += joint.swept(at.x, nodes.placed(parts), times=0.0)
    matrix: Array = directions @ total.T
    return 0.5 * (matrix + matrix.T)


def _weights_moved(root: Array, root_moved: Array, slope: Array, slope_moved: Array) -> Array:
    """How the slope in the inner Hessian's elements moves with L and with the slope in L."""
    inverse = np.linalg.inv(root).mT
    slope_moved = slope_moved - inverse @ root_moved.mT @ inverse
    middle, middle_moved = _half(slope.mT @ root), _half(slope_moved.mT @ root + slope.mT @ root_moved)
    aside = root_moved @ middle @ root.mT
    return _symmetric(aside + root @ middle_moved @ root.mT + root @ middle @ root_moved.mT)


def _turned(nodes: Nodes, directions: Array, roots: list[list[Array]]) -> tuple[Array, list[list[Array]]]:
    """How the slopes that the nodes give move along directions: in parameters and mode, and in L."""
    joint, count = nodes.joint, len(directions)
    moves = np.empty((nodes.count, *directions.shape))
    gains = np.empty((nodes.count, count, nodes.weights.shape[1]))
    for j, x, _ in nodes.over():
        moves[j] = directions
        for i in range(count):
            for grid, root in zip(nodes.grids, roots[i], strict=True):
                if j < len(grid.x):
                    moved = root @ grid.x[j]
                    moved[nodes.lost[j][grid.groups]] = 0.0
                    moves[j, i, joint.inner[grid.stack.members]] += moved
        gains[j] = joint.shares_moved(x, moves[j])
    gains -= np.einsum("jb,jib->ib", nodes.weights, gains)
    gains *= nodes.weights[:, None, :]
    slopes = np.zeros(directions.shape)
    by_root = [[np.zeros_like(root) for root in nodes.roots] for _ in range(count)]
    for j, x, weights in nodes.over():
        found = joint.shares_turned(x, weights, np.column_stack([moves[j], gains[j]]))
        slopes += found
        for i in range(count):
            nodes.add_outer(by_root[i], j, found[i][joint.inner])
    return slopes, by_root
