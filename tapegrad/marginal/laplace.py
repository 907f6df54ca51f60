"""`laplace`: the marginal log-likelihood as a function, for any use."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from tapegrad.errors import DiscreteWarning
from tapegrad.function.trace import trace_quietly
from tapegrad.function.traced import TracedFunction
from tapegrad.marginal.discrete import rounded
from tapegrad.marginal.division import Division, divided
from tapegrad.marginal.joint import Joint
from tapegrad.marginal.quadrature import marginal_of
from tapegrad.marginal.surface import Marginal
from tapegrad.nest import Structure, Vector, argument_name, call, has_traced, structure_of
from tapegrad.ops.given import Given, given
from tapegrad.ops.indexing import concatenate
from tapegrad.ops.shaping import reshape, shape_of

Array = np.ndarray[Any, Any]


class _Function(Given):
    """The marginal log-likelihood as other functions record it."""

    def __init__(self, marginal: Marginal, name: str) -> None:
        self.marginal = marginal
        self.name = f"the marginal log-likelihood of {name}"

    def value(self, x: Array) -> float:
        return self.marginal.value_flat(x)

    def gradient(self, x: Array) -> Array:
        return self.marginal.value_and_grad_flat(x)[1]

    def hessian(self, x: Array) -> Array:
        return self.marginal.hessian_flat(x)


class Laplace:
    """A log-likelihood of parameters, from which the random effects are integrated out; made by `laplace`.

    It may be called inside a function that is traced, also its `grad` and `hessian`: the tape then holds it
    as one step, with its exact derivatives up to the second.

    Attributes
    ----------
    structure : Structure
        How the parameters are nested; the random effects are not among them.
    random_names : tuple of str
        The names of the random effects.
    """

    def __init__(self, marginal: Marginal, division: Division) -> None:
        self._marginal = marginal
        self._function = _Function(marginal, marginal.joint.function.tape.name)
        self.structure: Structure = division.outer
        self.random_names = division.random_names

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, element by element."""
        return self.structure.names

    def __repr__(self) -> str:
        names = f"{', '.join(self.names[:6])}{', ...' * (len(self.names) > 6)}"
        count = len(self.random_names)
        return f"<Laplace of {names}: {count:,} random effect{'s' * (count != 1)} integrated out>"

    def _repr_html_(self) -> str:
        return f"<div>{escape(repr(self))}</div>"

    def __call__(self, params: Any) -> float:
        """The marginal log-likelihood, as `value`."""
        return self.value(params)

    def value(self, params: Any) -> float:
        """The marginal log-likelihood at some parameters, without the random effects."""
        if has_traced(params):
            found: float = self._recorded(params, 0)
            return found
        return self._marginal.value_flat(self._vector(params))

    def grad(self, params: Any) -> Any:
        """Its exact gradient, in the structure of the parameters."""
        if has_traced(params):
            slope = self._recorded(params, 1)
            return self.structure.build(self.structure.operands(slope))
        return self.value_and_grad(params)[1]

    def value_and_grad(self, params: Any) -> tuple[float, Any]:
        """Both at once."""
        value, gradient = self._marginal.value_and_grad_flat(self._vector(params))
        return value, self.structure.unravel(gradient)

    def hessian(self, params: Any) -> Array:
        """Its Hessian, shape (p, p), in the order of `names`."""
        if has_traced(params):
            found: Array = self._recorded(params, 2)
            return found
        return self._marginal.hessian_flat(self._vector(params))

    def value_flat(self, vector: Vector) -> float:
        """The value at a flat vector, for optimisers."""
        return self._marginal.value_flat(vector)

    def value_and_grad_flat(self, vector: Vector) -> tuple[float, Vector]:
        """Value and gradient at a flat vector, for optimisers."""
        return self._marginal.value_and_grad_flat(vector)

    def hessian_flat(self, vector: Vector) -> Array:
        """The Hessian at a flat vector, for optimisers."""
        return self._marginal.hessian_flat(vector)

    def mode(self, params: Any) -> Array:
        """The random effects at which the joint log-likelihood is highest, in the order of `random_names`."""
        return self._marginal.mode(self._vector(params)).u.copy()

    def _recorded(self, params: Any, order: int) -> Any:
        """The value or a derivative at traced parameters."""
        parts = [
            reshape(part, shape=(math.prod(shape_of(part)),)) for part in self.structure.operands(params)
        ]
        return given(concatenate(*parts, axis=0), function=self._function, order=order)

    def _vector(self, params: Any) -> Vector:
        if has_traced(params):
            raise TypeError(
                "value, grad and hessian of a marginal log-likelihood can stand in a function that is being "
                "traced; value_and_grad and mode take numbers"
            )
        return self.structure.ravel(params)


def laplace(
    joint: Callable[..., Any] | TracedFunction,
    params: Any,
    *,
    random: str | Sequence[str],
    data: Mapping[str, Any] | None = None,
    quadrature: int = 1,
) -> Laplace:
    """The marginal log-likelihood of a model with random effects, by Laplace's method or by quadrature.

    The random effects are integrated out by a normal distribution at their mode, which is exact where the
    joint log-likelihood is quadratic in them. The mode is found anew for all parameters.

    Parameters
    ----------
    joint : callable or TracedFunction
        The joint log-likelihood of data and random effects, in plain NumPy.
    params : nest of floats and array_like
        Where to start: parameters and random effects, as `trace` takes them.
    random : str or sequence of str
        What to integrate out: names of parameters ("u"), or of their elements ("u[3]").
    data : mapping of str to array_like, optional
        Arrays passed to `joint` as further keyword arguments.
    quadrature : int
        The number of nodes along each random effect, for adaptive Gauss-Hermite quadrature; 1 is Laplace's
        method. More are for random effects in groups of one to three that never meet.

    Returns
    -------
    Laplace

    Raises
    ------
    ValueError
        If a name is unknown, if nothing but random effects is left, or if `quadrature` is no number of nodes.
        When it is called: if more than three random effects meet, or the joint log-likelihood is not written
        as a sum over groups, and `quadrature` is more than 1.

    Warns
    -----
    DiscreteWarning
        If a random effect is rounded.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> from tapegrad.stats import norm
    >>> y = np.array([[1.2, 0.7, 1.9], [-0.4, 0.3, 0.1], [2.2, 1.5, 2.9]])
    >>> def joint(mu, log_tau, u):
    ...     return norm.logpdf(u, 0.0, np.exp(log_tau)).sum() + norm.logpdf(y, mu + u[:, None], 0.5).sum()
    >>> start = dict(mu=0.0, log_tau=0.0, u=np.zeros(3))
    >>> marginal = tg.laplace(joint, start, random="u")
    >>> round(marginal(dict(mu=1.0, log_tau=0.0)), 6)
    -10.971854
    >>> marginal.grad(dict(mu=1.0, log_tau=0.0))
    {'mu': 0.430769..., 'log_tau': -0.629585...}

    With few counts in each group, Laplace's method is not exact, and quadrature is:

    >>> from tapegrad.stats import poisson
    >>> counts = np.array([0.0, 2.0, 1.0])
    >>> def of_counts(mu, log_tau, u):
    ...     return norm.logpdf(u, 0.0, np.exp(log_tau)).sum() + poisson.logpmf(counts, np.exp(mu + u)).sum()
    >>> at = dict(mu=0.0, log_tau=0.0)
    >>> [round(tg.laplace(of_counts, start, random="u", quadrature=n)(at), 4) for n in (1, 3, 15, 25)]
    [-4.2313, -4.2749, -4.2464, -4.2464]
    """
    if isinstance(joint, TracedFunction):
        structure, vector = joint.structure, joint.ravel(params)
        data = {**joint.data, **(data or {})}
        running = dict[str, Any](backend=joint.backend, threads=joint.threads)
    else:
        structure, vector = structure_of(params, argument_name(joint))
        running = {}
    division = divided(structure, random)

    def pieces_of(**arguments: Any) -> Any:
        given = {name: arguments[name] for name in arguments if name not in division.keys}
        whole = division.whole(arguments)
        return joint.on(whole, given) if isinstance(joint, TracedFunction) else call(joint, whole, given)

    pieces_of.__name__ = getattr(joint, "__name__", "joint")
    pieces_of.__wrapped__ = joint  # type: ignore[attr-defined]
    traced = trace_quietly(pieces_of, division.pieces(vector), data=data, **running)
    leaves = division.random_leaves(traced.structure)
    told = rounded(traced, leaves)
    if told is not None:
        warnings.warn(told, DiscreteWarning, stacklevel=2)
    marginal = marginal_of(Joint(traced, leaves), vector[division.random], quadrature)
    return Laplace(marginal, division)
