"""Log-densities for samplers: value and gradient of a traced log-likelihood or log-posterior on flat vectors.

Any sampler that asks for a function of a vector can be given a `LogDensity`; `run_chains` runs one in several
chains. `nutpie_model` makes what nutpie's ``sample`` takes (an optional extra: ``pip install
"tapegrad[samplers]"``), and `LogDensity.as_jax` a function for samplers that are written in JAX.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from html import escape
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad import TracedFunction
from tapegrad.function.in_jax import log_density
from tapegrad.function.trace import trace_quietly
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.model.model import Model, make_model
from tapegrad.mle.transforms import Transform
from tapegrad.nest import call
from tapegrad.recording.frames import place_of_error

Array: TypeAlias = npt.NDArray[np.float64]
# In standard errors (or, where there are none, in units): how far from the start chains begin.
_SPREAD = 1.0
_BESIDE = 0.1


class LogDensity:
    """A log-density on vectors of real numbers, with its gradient, for samplers.

    Parameters
    ----------
    log_density : callable, TracedFunction or FitResult
        In plain NumPy, up to a constant: a log-likelihood, or one with a log-prior. Of a fit it is what was
        maximised, in the free coordinates of the fit, so that its parameters keep their constraints.
    params : float, array_like, or a nest of them, optional
        Parameters to trace at, in the structure that `trace` takes. A fit has its own: its estimates.
    transforms : mapping of str to Transform, optional
        Constraints as in `fit`. The sampler then moves in free coordinates, and the logarithm of the
        transforms' Jacobian is added, so that it samples the density of the parameters.
    logprior : callable, optional
        The logarithm of a prior density of the (natural) parameters, called as the log-likelihood is, without
        data. It is added.
    data : mapping of str to array_like, optional
        Arrays that the log-likelihood takes besides, as in `fit`.

    Raises
    ------
    ValueError
        If `log_density` or `logprior` returns anything but one number, such as one for each observation; if a
        start breaks its constraint; or if a fit is given together with `params`, `transforms` or `data`, or
        with a second prior.
    TypeError
        If there are no parameters to trace at.

    Attributes
    ----------
    names : tuple of str
        Labels of the elements of the flat vector, such as "log(sigma)".
    start : ndarray of shape (p,)
        Where `params` are in these coordinates.

    Examples
    --------
    >>> density = LogDensity(lambda mu: -0.5 * (mu - 3.0) ** 2, dict(mu=0.0))
    >>> density([1.0])
    (-2.0, array([2.]))

    An exponential distribution, sampled in the logarithm of its variable, ``z``: ``-exp(z) + z``.

    >>> from tapegrad.mle.transforms import positive
    >>> waiting = LogDensity(lambda t: -t, dict(t=1.0), transforms={"t": positive})
    >>> waiting.names, waiting([0.5])
    (('log(t)',), (-1.148721..., array([-0.648721...])))
    >>> waiting.variables([0.5])["t"].round(4)
    np.float64(1.6487)
    """

    def __init__(
        self,
        log_density: Callable[..., Any] | TracedFunction | Estimate,
        params: Any = None,
        *,
        transforms: Mapping[str, Transform] | Transform | None = None,
        logprior: Callable[..., Any] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self._scale: Array | None = None
        if isinstance(log_density, Estimate):
            if params is not None or transforms is not None or data is not None:
                raise ValueError("a fit has its own parameters, transforms and data: give it alone")
            self._model = _model_of(log_density, logprior)
            self.start = log_density.free_estimates.copy()
            errors = log_density.free_bse
            self._scale = np.where(np.isfinite(errors), errors, _BESIDE)
        else:
            if params is None:
                raise TypeError("LogDensity needs parameters to trace at: LogDensity(f, dict(mu=0.0))")
            self._model = make_model(log_density, params, transforms=transforms, data=data)
            if self._model.rows is not None:
                self._model.rows.require_scalar("a log-density")
            self.start = self._model.space.start.copy()
        self._space = self._model.space
        self.names = self._space.free_names
        self._more = self._traced_rest(logprior)

    def _traced_rest(self, logprior: Callable[..., Any] | None) -> TracedFunction | None:
        """What is added in free coordinates: the logarithm of the Jacobian, and the log-prior."""
        space = self._space

        def rest(**pieces: Any) -> Any:
            volume = space.log_volume(pieces)
            return volume if logprior is None else volume + call(logprior, space.params(pieces), {})

        if logprior is None and all(block.transform.log_volume is None for block in space.blocks):
            return None
        traced = trace_quietly(rest, space.free_structure.unravel(self.start))
        traced.require_scalar("a log-density with this logprior")
        return traced

    def __call__(self, x: npt.ArrayLike) -> tuple[float, Array]:
        """Value and gradient at a flat vector; ``-inf`` and zeros where the log-density is not finite."""
        vector = np.asarray(x, dtype=np.float64)
        value, gradient = self._model.function.value_and_grad_flat(vector)
        if self._more is not None:
            further, slope = self._more.value_and_grad_flat(vector)
            value, gradient = value + further, gradient + slope
        if np.isfinite(value) and np.isfinite(gradient).all():
            return value, gradient
        # NaN would stop most samplers; -inf makes them turn back.
        return -np.inf, np.zeros(len(self.names))

    def value(self, x: npt.ArrayLike) -> float:
        """The value alone, for samplers without gradients; ``-inf`` where it is not finite."""
        vector = np.asarray(x, dtype=np.float64)
        value = self._model.function.value_flat(vector)
        if self._more is not None:
            value += self._more.value_flat(vector)
        return value if np.isfinite(value) else -np.inf

    def as_jax(self) -> Callable[[Any], Any]:
        """The log-density as a function of JAX, for BlackJAX; NumPyro's ``potential_fn`` is minus it.

        Its first and second derivatives are tapegrad's: `jax.grad`, `jax.hessian`, `jax.jit` and `jax.vmap`
        work on it. It takes an array of shape (p,) of float64, which JAX has to have switched on, or raises a
        TypeError. Where it or its gradient is not finite, it is ``-inf`` with a gradient of 0.

        Raises
        ------
        ImportError
            If JAX is not installed, or too old.
        ValueError
            If the log-density branches on its parameters (NumPy's functions choose without a branch), or
            integrates random effects out.
        """
        return log_density([self._model.function, *([] if self._more is None else [self._more])])

    def unravel(self, x: npt.ArrayLike) -> Any:
        """The parameters, in their structure, of a flat vector."""
        return self._space.structure.unravel(self._space.natural(np.asarray(x, dtype=np.float64)))

    def variables(self, x: npt.ArrayLike) -> dict[str, Array]:
        """The numbers and arrays among the parameters by their labels, such as "beta", of a flat vector."""
        vector = self._space.natural(np.asarray(x, dtype=np.float64))
        leaves = self._space.structure.leaves
        return {leaf.label: vector[leaf.place].reshape(leaf.shape) for leaf in leaves}

    def starts(self, chains: int, seed: int | None = None) -> Array:
        """Where chains begin, shape (chains, p): around `start`, each with numbers of its own.

        They are normal, with the standard errors of a fit, or with 0.1 where there are none, and the density
        is finite there.
        """
        scale = np.full(self.start.size, _BESIDE) if self._scale is None else _SPREAD * self._scale
        seeds = np.random.SeedSequence(seed).spawn(chains)
        return np.array([self._start(np.random.default_rng(one), scale) for one in seeds])

    def _start(self, rng: np.random.Generator, scale: Array) -> Array:
        step = scale * rng.standard_normal(self.start.size)
        while not np.isfinite(self.value(self.start + step)) and np.abs(step).max() > 1e-12:
            step *= 0.5
        return np.asarray(self.start + step)

    def __repr__(self) -> str:
        names = f"{', '.join(self.names[:6])}{', ...' * (len(self.names) > 6)}"
        return f"<LogDensity of {self._model.name} in {names}>"

    def _repr_html_(self) -> str:
        return f"<div>{escape(repr(self))}</div>"


def _model_of(result: Estimate, logprior: Callable[..., Any] | None) -> Model:
    model = result.require_model("sampling")
    if logprior is not None and model.specification.logprior is not None:
        raise ValueError("this fit has a logprior of its own, which is sampled with it: give no second one")
    return model


# Several chains ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Draws:
    """What several chains have drawn.

    Attributes
    ----------
    density : LogDensity
    free : ndarray of shape (chains, draws, p)
        The draws as flat vectors.
    """

    density: LogDensity
    free: Array

    def posterior(self) -> dict[str, Array]:
        """The parameters by label, each of shape (chains, draws, ...), as ArviZ takes them.

        Write ``arviz.from_dict({"posterior": draws.posterior()})``, or ``from_dict(posterior=...)`` before
        ArviZ 1.
        """
        chains, count, _ = self.free.shape
        rows = [self.density.variables(x) for x in self.free.reshape(chains * count, -1)]
        return {
            label: np.array([row[label] for row in rows]).reshape(chains, count, *np.shape(rows[0][label]))
            for label in rows[0]
        }

    def dataset(self) -> Any:
        """The same as an `xarray.Dataset` with dimensions ``chain`` and ``draw``.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError("a dataset needs xarray: python -m pip install xarray") from error
        found = {}
        for label, values in self.posterior().items():
            inner = [f"{label}_dim_{i}" for i in range(values.ndim - 2)]
            found[label] = (("chain", "draw", *inner), values)
        chains, count, _ = self.free.shape
        return xarray.Dataset(found, coords={"chain": np.arange(chains), "draw": np.arange(count)})

    def __repr__(self) -> str:
        chains, count, p = self.free.shape
        return f"<{chains} chains of {count:,} draws of {p} coordinates>"

    def _repr_html_(self) -> str:
        return f"<div>{escape(repr(self))}</div>"


def run_chains(
    sampler: Callable[[LogDensity, Array, np.random.Generator], npt.ArrayLike],
    density: LogDensity,
    chains: int = 4,
    *,
    seed: int | None = None,
    starts: Sequence[npt.ArrayLike] | None = None,
) -> Draws:
    """Run a sampler in several chains at once, in a thread each.

    Parameters
    ----------
    sampler : callable
        ``sampler(density, start, rng) -> array of shape (draws, p)``: one chain.
    density : LogDensity
    chains : int
    seed : int, optional
        Each chain gets a generator of its own, so that draws do not depend on which thread comes first.
    starts : sequence of array_like, shape (chains, p), optional
        Where they begin; by default `LogDensity.starts`.

    Returns
    -------
    Draws

    Raises
    ------
    ValueError
        If there are no chains, or not as many starts, or chains give arrays of different shapes.

    Examples
    --------
    >>> def metropolis(density, x, rng, draws=500, step=2.4):
    ...     value, kept = density.value(x), []
    ...     for _ in range(draws):
    ...         proposal = x + step * rng.standard_normal(x.size)
    ...         proposed = density.value(proposal)
    ...         if np.log(rng.random()) < proposed - value:
    ...             x, value = proposal, proposed
    ...         kept.append(x)
    ...     return kept
    >>> density = LogDensity(lambda mu: -0.5 * (mu - 3.0) ** 2, dict(mu=3.0))
    >>> draws = run_chains(metropolis, density, seed=1)
    >>> draws
    <4 chains of 500 draws of 1 coordinates>
    >>> draws.posterior()["mu"].shape
    (4, 500)
    """
    if chains < 1:
        raise ValueError(f"chains is a count of 1 or more, not {chains}")
    places = density.starts(chains, seed) if starts is None else [np.asarray(x, dtype=float) for x in starts]
    if len(places) != chains:
        raise ValueError(f"{chains} chains have {len(places)} starts: give one for each")
    # Other numbers than those that the starts are made of.
    generators = map(np.random.default_rng, np.random.SeedSequence(seed, spawn_key=(1,)).spawn(chains))
    with ThreadPoolExecutor(chains) as pool:
        found = list(pool.map(sampler, [density] * chains, places, generators))
    arrays = [np.asarray(one, dtype=np.float64) for one in found]
    p = density.start.size
    for one in arrays:
        if one.ndim != 2 or one.shape != (len(arrays[0]), p):
            raise ValueError(f"each chain gives an array of one shape (draws, {p}), not {one.shape}")
    return Draws(density, np.array(arrays))


# nutpie -----------------------------------------------------------------------------------------------------


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
        return np.asarray(density.starts(1, seed)[0])

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
