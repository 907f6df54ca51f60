"""The marginal log-likelihood by Laplace's method, with its exact gradient and Hessian.

With the joint log-likelihood f, and minus its Hessian in the random effects, A, both at the mode u of the q
random effects for the parameters t, it is ``f - log(det(A)) / 2 + q log(2 pi) / 2``.

H. Skaug and D. Fournier, "Automatic approximation of the marginal likelihood in non-Gaussian hierarchical
models", Computational Statistics & Data Analysis 51 (2006); K. Kristensen, A. Nielsen, C. W. Berg, H. Skaug
and B. M. Bell, "TMB: Automatic differentiation and Laplace approximation", Journal of Statistical Software 70
(2016).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tapegrad.function.explanation import Explanation
from tapegrad.marginal.curvature import hessian
from tapegrad.marginal.inner import InnerProblem, Mode, mode
from tapegrad.marginal.joint import Joint

Array = np.ndarray[Any, Any]

_LOG_2PI: Final = float(np.log(2.0 * np.pi))

# Squared steps of the mode in its standard deviations, on average, up to which its tangent is followed.
_NEAR: Final = 10.0


class Marginal:
    """A marginal log-likelihood as a function of one flat vector of parameters.

    It remembers the latest mode, where the next search for one begins. Each search goes on until only
    rounding is left, so that no value depends on where it began.

    Parameters
    ----------
    joint : Joint
    start : ndarray, shape (q,)
        Where the first search for the mode begins.
    """

    def __init__(self, joint: Joint, start: Array) -> None:
        self.joint = joint
        self.start = start
        self._latest: tuple[bytes, Mode] | None = None

    def like(self, joint: Joint, start: Array) -> Marginal:
        """The same of another joint log-likelihood."""
        return Marginal(joint, start)

    def with_data(self, **data: Any) -> Marginal:
        """The same on other data of the same shapes, without a new trace."""
        found = self.like(self.joint.with_data(**data), self.start)
        if self._latest is not None:
            found.start = self._latest[1].u
        return found

    def explain(self, theta: Array) -> Explanation:
        """What is wrong at some parameters: with the mode of the random effects, or with a number there."""
        try:
            found = self.mode(theta)
        except InnerProblem as error:
            return Explanation(None, None, (), str(error))
        return self.joint.function.explain(self.joint.vector(theta, found.u))

    def rounding_flat(self, theta: Array) -> float:
        """By how much the value of the joint log-likelihood at the mode may be wrong by rounding."""
        return self.joint.function.rounding_flat(self.joint.vector(theta, self.mode(theta).u))

    def mode(self, theta: Array) -> Mode:
        """The mode of the random effects, from the latest one, or from the start if that leads nowhere.

        Raises
        ------
        InnerProblem
            If there is none.
        """
        key = theta.tobytes()
        if self._latest is not None and self._latest[0] == key:
            return self._latest[1]
        found = None
        if self._latest is not None:
            try:
                found = mode(self.joint, theta, self._predicted(theta, *self._latest))
            except InnerProblem:
                found = None
        if found is None:
            found = mode(self.joint, theta, self.start)
        self._latest = key, found
        return found

    @np.errstate(all="ignore")
    def _predicted(self, theta: Array, key: bytes, found: Mode) -> Array:
        """About where the mode is: the latest one, moved along its tangent where that is not too far."""
        before = np.frombuffer(key)
        direction = self.joint.vector(theta - before, np.zeros_like(found.u))
        (product,) = self.joint.hessian_columns(self.joint.vector(before, found.u), [direction])
        pull = product[self.joint.inner]
        move = found.factor.solve(pull)
        is_near = float(pull @ move) <= _NEAR * found.u.size
        return found.u + move if is_near else found.u

    def laplace_flat(self, theta: Array) -> float:
        """The marginal log-likelihood by Laplace's method."""
        return _value(self.mode(theta))

    def value_flat(self, theta: Array) -> float:
        """The marginal log-likelihood."""
        return self.laplace_flat(theta)

    def value_and_grad_flat(self, theta: Array) -> tuple[float, Array]:
        """The marginal log-likelihood and its gradient."""
        found = self.mode(theta)
        x = self.joint.vector(theta, found.u)
        _, v, swept = self._pulled(found, x)
        (moved,) = self.joint.hessian_columns(x, [self.joint.vector(np.zeros_like(theta), v)])
        slope = swept + moved
        return _value(found), slope[self.joint.outer]

    def mixed(self, theta: Array, directions: Array) -> list[Array]:
        """The Hessian of ``f + v . f_u + w . h``, whose gradient is the marginal one, times directions.

        Parameters
        ----------
        theta : ndarray, shape (p,)
        directions : ndarray, shape (k, p)

        Returns
        -------
        list of ndarray
            For each, in parameters and random effects.
        """
        found = self.mode(theta)
        x = self.joint.vector(theta, found.u)
        weights, v, _ = self._pulled(found, x)
        still = np.zeros_like(found.u)
        return self.joint.second(x, v, weights, [self.joint.vector(one, still) for one in directions])[0]

    def pull(self, theta: Array) -> Array:
        """The inverse of A times the slope of minus half its log-determinant in the random effects."""
        found = self.mode(theta)
        return self._pulled(found, self.joint.vector(theta, found.u))[1]

    def _pulled(self, found: Mode, x: Array) -> tuple[Array, Array, Array]:
        """The weights of the inner Hessian's elements, the pull on the mode, and the slope with it held."""
        weights = 0.5 * found.factor.inverse_subset()
        swept = self.joint.swept(x, weights)
        return weights, found.factor.solve(swept[self.joint.inner]), swept

    def hessian_flat(self, theta: Array) -> Array:
        """Its exact Hessian."""
        found = self.mode(theta)
        x = self.joint.vector(theta, found.u)
        weights, v, _ = self._pulled(found, x)
        return hessian(self.joint, found, x, v, weights)


def _value(found: Mode) -> float:
    return found.point.value - 0.5 * found.factor.logdet + 0.5 * found.u.size * _LOG_2PI
