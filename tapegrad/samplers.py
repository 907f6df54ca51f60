"""Log-densities for samplers: value and gradient of a traced log-likelihood or log-posterior on flat vectors.

Any sampler that asks for a function of a vector can be given a `LogDensity`. `nutpie_model` makes what
nutpie's ``sample`` takes (an optional extra: ``pip install "tapegrad[samplers]"``).
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad import TracedFunction, trace
from tapegrad.recording.frames import place_of_error

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
        self._function = (
            log_density if isinstance(log_density, TracedFunction) else trace(log_density, params)
        )
        self._function.require_scalar("a log-density")
        self.start = self._function.ravel(params)
        self.names = self._function.names

    def __call__(self, x: npt.ArrayLike) -> tuple[float, Array]:
        """Value and gradient at a flat vector; ``-inf`` and zeros where the log-density is not finite."""
        value, gradient = self._function.value_and_grad_flat(np.asarray(x, dtype=np.float64))
        if np.isfinite(value) and np.isfinite(gradient).all():
            return value, gradient
        # NaN would stop most samplers; -inf makes them turn back.
        return -np.inf, np.zeros(len(self.names))

    def unravel(self, x: npt.ArrayLike) -> Any:
        """A flat vector in the structure of the parameters."""
        return self._function.unravel(np.asarray(x, dtype=np.float64))

    def variables(self, x: npt.ArrayLike) -> dict[str, Array]:
        """The numbers and arrays among the parameters by their labels, such as "beta", from a flat vector."""
        vector = np.asarray(x, dtype=np.float64)
        leaves = self._function.structure.leaves
        return {leaf.label: vector[leaf.place].reshape(leaf.shape) for leaf in leaves}


class _Watched:
    """A log-density that keeps the first error it meets, and ends the run by having no density from then on.

    In nutpie an error late in a run becomes a panic that is no `Exception`, without the user's line.
    """

    def __init__(self, density: LogDensity) -> None:
        self._density = density
        self.error: Exception | None = None

    def __call__(self, x: Array) -> tuple[float, Array]:
        if self.error is None:
            try:
                return self._density(x)
            except Exception as error:
                self.error = error
        return -np.inf, np.zeros(x.size)

    def check(self) -> None:
        """Raise what went wrong in one of the threads."""
        if self.error is not None:
            kind, where = type(self.error).__name__, place_of_error(self.error)[0]
            raise RuntimeError(f"the log-density raised {kind}: {self.error}{where}") from self.error


class _Reporting:
    """A sampler of nutpie whose results are an error where the log-density raised one."""

    def __init__(self, sampler: Any, watched: _Watched) -> None:
        self._sampler, self._watched = sampler, watched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the end of the run."""
        try:
            self._sampler.wait(timeout)
        except Exception:  # no start was found, say, because the log-density raised at each
            self._watched.check()
            raise

    def take_results(self) -> Any:
        """The draws, if they were drawn from the density."""
        results = self._sampler.take_results()
        self._watched.check()
        return results

    def inspect(self) -> Any:
        """The draws until now."""
        self._watched.check()
        return self._sampler.inspect()


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

    Notes
    -----
    If the log-density raises an error during the run, ``nutpie.sample`` raises a RuntimeError that names your
    line. (nutpie 0.16 hands the seeds (0, 0, 0) to every ``make_expand_fn``; nothing here depends on them.)
    """
    try:
        from nutpie.compiled_pyfunc import PyFuncModel, from_pyfunc
    except ImportError as error:
        raise ImportError('this needs nutpie: python -m pip install "tapegrad[samplers]"') from error

    def near_start(seed: int) -> Array:
        return density.start + 0.1 * np.random.default_rng(seed).standard_normal(density.start.size)

    variables, watched = density.variables(density.start), _Watched(density)

    class Model(PyFuncModel):  # type: ignore[misc]
        def _make_sampler(self, *args: Any, **options: Any) -> Any:
            watched.error = None
            return _Reporting(super()._make_sampler(*args, **options), watched)

    model = from_pyfunc(
        ndim=density.start.size,
        make_logp_fn=lambda: watched,
        make_expand_fn=lambda *_: density.variables,
        expanded_dtypes=[np.dtype(np.float64)] * len(variables),
        expanded_shapes=[value.shape for value in variables.values()],
        expanded_names=list(variables),
        make_initial_point_fn=near_start,
    )
    return Model(**{field.name: getattr(model, field.name) for field in fields(model)})
