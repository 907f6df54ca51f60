"""Log-densities for samplers: value and gradient of a traced log-likelihood or log-posterior on flat vectors.

Any sampler that asks for a function of a vector can be given a `LogDensity`. `nutpie_model` makes what
nutpie's ``sample`` takes (an optional extra: ``pip install "tapegrad[samplers]"``).
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.entry import trace
from tapegrad.function import TracedFunction

Array: TypeAlias = npt.NDArray[np.float64]


class LogDensity:
    """A log-density on the real line or on vectors, with its gradient, for samplers.

    Parameters
    ----------
    log_density : callable or TracedFunction
        In plain NumPy, up to a constant: a log-likelihood plus a log-prior. It must be defined for all real
        parameters; where a parameter is positive, for example, let the function take its logarithm and add
        the log of the derivative (here the logarithm itself) to the log-density.
    params : float, array_like, or a nest of them
        Parameters to trace at, in the structure that `trace` takes.

    Raises
    ------
    ValueError
        If `log_density` returns anything but one number, such as one for each observation.

    Attributes
    ----------
    names : tuple of str
        Labels of the elements of the flat vector.
    start : ndarray of shape (p,)
        `params`, flat.

    Examples
    --------
    >>> density = LogDensity(lambda mu: -0.5 * (mu - 3.0) ** 2, dict(mu=0.0))
    >>> density([1.0])
    (-2.0, array([2.]))
    """

    def __init__(self, log_density: Callable[..., Any] | TracedFunction, params: Any) -> None:
        self._tape = log_density if isinstance(log_density, TracedFunction) else trace(log_density, params)
        self._tape.require_scalar("a log-density")
        self.start = self._tape.ravel(params)
        self.names = self._tape.names

    def __call__(self, x: npt.ArrayLike) -> tuple[float, Array]:
        """Value and gradient at a flat vector; ``-inf`` and zeros where the log-density is not finite."""
        value, gradient = self._tape.value_and_grad_flat(np.asarray(x, dtype=np.float64))
        if np.isfinite(value) and np.isfinite(gradient).all():
            return value, gradient
        # NaN would stop most samplers; -inf makes them turn back.
        return -np.inf, np.zeros(len(self.names))

    def unravel(self, x: npt.ArrayLike) -> Any:
        """A flat vector in the structure of the parameters."""
        return self._tape.unravel(np.asarray(x, dtype=np.float64))

    def variables(self, x: npt.ArrayLike) -> dict[str, Array]:
        """The numbers and arrays among the parameters by their labels, such as "beta", from a flat vector."""
        vector = np.asarray(x, dtype=np.float64)
        leaves = self._tape.structure.leaves
        return {leaf.label: vector[leaf.place].reshape(leaf.shape) for leaf in leaves}


def nutpie_model(density: LogDensity) -> Any:
    """A model for ``nutpie.sample``, with a variable for each parameter, in its shape.

    Chains start near `density.start`; start it at a maximum-likelihood fit. There is an example in
    ``examples/sample_with_nutpie.py``.

    Parameters
    ----------
    density : LogDensity

    Returns
    -------
    nutpie.compiled_pyfunc.PyFuncModel

    Raises
    ------
    ImportError
        If nutpie is not installed.
    """
    try:
        from nutpie.compiled_pyfunc import from_pyfunc
    except ImportError as error:
        raise ImportError('this needs nutpie: python -m pip install "tapegrad[samplers]"') from error

    def near_start(seed: int) -> Array:
        return density.start + 0.1 * np.random.default_rng(seed).standard_normal(density.start.size)

    variables = density.variables(density.start)
    return from_pyfunc(
        ndim=density.start.size,
        make_logp_fn=lambda: density,
        make_expand_fn=lambda *_: density.variables,
        expanded_dtypes=[np.dtype(np.float64)] * len(variables),
        expanded_shapes=[value.shape for value in variables.values()],
        expanded_names=list(variables),
        make_initial_point_fn=near_start,
    )
