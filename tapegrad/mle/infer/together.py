"""Functions of parameters and random effects together: their errors, and means over the random effects."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.trace import trace_quietly
from tapegrad.mle.derivatives import jacobian
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.random import mode_slopes
from tapegrad.nest import call

Array: TypeAlias = npt.NDArray[np.float64]

_AT_ONCE: Final = 64  # columns of the inverse


def takes_random_effects(result: Estimate, function: Callable[..., Any]) -> bool:
    """Whether a function has arguments for random effects, as the joint log-likelihood has."""
    random, others = _own_names(result)
    labels = set(map(_label, random)) - set(map(_label, others))
    return bool(labels & _arguments(function)) or (bool(labels) and "**" in _arguments(function))


def _own_names(result: Estimate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the joint log-likelihood calls random effects and parameters, whatever tables call them."""
    model = result.kept_model
    if model is None or model.division is None:
        return result.random_names, result.names
    return model.division.random_names, model.division.outer.names


def _label(name: str) -> str:
    return name.partition("[")[0].partition(".")[0]


def _arguments(function: Callable[..., Any]) -> set[str]:
    """The names of its arguments, and "**" if it takes any others."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set()
    return {"**" if one.kind is one.VAR_KEYWORD else one.name for one in found}


class Together:
    """A function of parameters and random effects, at the estimates and the modes.

    Attributes
    ----------
    traced : TracedFunction
        Of the flat vector of all unknowns, in the order of the joint log-likelihood.
    at : ndarray
        The estimates and the modes as that vector.
    slopes : ndarray of shape (k, r)
        Its derivatives in the random effects, with the parameters held.
    free_slopes : ndarray of shape (k, q)
        Those in the free coordinates, with the modes moving along.
    """

    def __init__(self, result: Estimate, function: Callable[..., Any]) -> None:
        model, self._free = result.require_model("a function of random effects"), result.free_estimates
        division = model.division
        assert division is not None
        self._marginal, self._random = model.marginal, division.random
        self._mode = self._marginal.mode(self._free)
        self.at = np.empty(division.structure.size)
        self.at[division.rest], self.at[division.random] = result.x, self._mode.u
        arguments = _arguments(function)

        def flat(z: Any) -> Any:
            params = division.structure.build(division.structure.operands(z))
            if isinstance(params, Mapping) and "**" not in arguments:
                params = {name: value for name, value in params.items() if name in arguments}
            return call(function, params, {})

        flat.__wrapped__ = function  # type: ignore[attr-defined]
        self.traced = trace_quietly(flat, self.at)
        slopes = jacobian(self.traced, self.at)
        self.slopes = slopes[:, division.random]
        outer = slopes[:, division.rest] @ model.space.jacobian(self._free)
        self.free_slopes = outer + self.slopes @ mode_slopes(result)

    def covariance(self, cov_free: Array) -> Array:
        """The covariance of its elements, of shape (k, k).

        The random effects are spread about their modes, and the modes move with the parameters, whose
        covariance is `cov_free`.
        """
        given = self.slopes @ self._mode.factor.solve(np.ascontiguousarray(self.slopes.T))
        return np.asarray(given + self.free_slopes @ cov_free @ self.free_slopes.T)

    def correction(self) -> Array:
        """What its means over the random effects differ by from its values at the modes, of shape (k,).

        They are the derivatives of the marginal log-likelihood of ``f + e g`` in e at 0 (the epsilon method).
        J. Thorson and K. Kristensen, "Implementing a generic method for bias correction in statistical models
        using random effects", Fisheries Research 175 (2016).
        """
        bent = [self._bent(i) for i in range(len(self.slopes))]
        return np.asarray(np.array(bent) + self.slopes @ self._marginal.pull(self._free))

    def _bent(self, i: int) -> float:
        """Half the trace of the inverse of A times the Hessian of element i in the random effects."""
        one = trace_quietly(lambda z: _flattened(self.traced(z))[i], self.at)
        hessian = one.hessian(self.at, sparse=True)[self._random][:, self._random].tocsc()
        needed = np.flatnonzero(np.diff(hessian.indptr))
        trace = 0.0
        for first in range(0, needed.size, _AT_ONCE):
            part = needed[first : first + _AT_ONCE]
            trace += float(np.trace(self._mode.factor.solve(hessian[:, part].toarray())[part]))
        return 0.5 * trace


def _flattened(nest: Any) -> Any:
    """All numbers of a nest one after the other; on tracers as well."""
    if isinstance(nest, dict | list | tuple):
        return np.concatenate(
            [_flattened(one) for one in (nest.values() if isinstance(nest, dict) else nest)]
        )
    return np.reshape(nest, (-1,))
