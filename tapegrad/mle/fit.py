"""Maximum-likelihood fits."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function import TracedFunction
from tapegrad.mle import optimizers
from tapegrad.mle.climbing import NEWTON_STEPS, End, climb, polish, verdict
from tapegrad.mle.covariance import check_cov_type, free_covariance
from tapegrad.mle.inference import ConvergenceWarning, StandardErrorWarning
from tapegrad.mle.model import Model, make_model
from tapegrad.mle.progress import Progress
from tapegrad.mle.result import FitResult
from tapegrad.mle.rows import scores
from tapegrad.mle.space import Names
from tapegrad.mle.starts import moving_by_phase, starts
from tapegrad.mle.transforms import Transform

Array: TypeAlias = npt.NDArray[np.float64]

# Ends whose values differ by less than this share are the same maximum.
_SAME_VALUE = 1e-8


class Iteration(NamedTuple):
    """What a callback is given after each of the optimiser's iterations.

    Attributes
    ----------
    nit : int
        Its number.
    params : Any
        The best parameters so far, in the user's structure.
    llf : float
        Their log-likelihood, plus the log-prior where there is one.
    """

    nit: int
    params: Any
    llf: float


class Refit(NamedTuple):
    """Where `refit` ends.

    Attributes
    ----------
    free : ndarray, shape (q,)
    llf : float
        What was maximised: the (weighted) log-likelihood, plus the log-prior where there is one.
    converged : bool
    """

    free: Array
    llf: float
    converged: bool


def fit(
    loglik: Callable[..., Any] | TracedFunction,
    params: Any,
    method: str = "bfgs",
    *,
    data: Mapping[str, Any] | None = None,
    weights: Any = None,
    transforms: Mapping[str, Transform] | Transform | None = None,
    fixed: Names | Mapping[str, Any] = (),
    tie: Sequence[Names] = (),
    logprior: Callable[..., Any] | None = None,
    phases: Mapping[str, int] | None = None,
    cov_type: str = "nonrobust",
    cov_kwds: Mapping[str, Any] | None = None,
    n_starts: int = 1,
    seed: int | None = None,
    callback: Callable[[Iteration], Any] | None = None,
    progress: bool = False,
    nobs: int | None = None,
    maxiter: int | None = None,
) -> FitResult:
    """Maximise a log-likelihood.

    The optimiser uses exact derivatives. Whatever it says, the fit then takes Newton steps with the exact
    Hessian as long as they come closer to the maximum, and calls itself converged only if they end at one:
    the gradient small relative to the curvature, and the Hessian negative definite. Standard errors come from
    that same Hessian.

    Parameters
    ----------
    loglik : callable or TracedFunction
        The log-likelihood (not its negative) in plain NumPy, or what `trace` made of it: a number, or an
        array of shape (n,) with one for each observation, which is then summed.
    params : float, array_like, or a nest of lists, tuples and dicts of them
        Where to start, in the structure that `trace` takes: a dict is passed as keyword arguments.
    method : str
        "bfgs", "lbfgs", "newton" (Newton-Raphson with step control), "trust" (SciPy's trust-exact), "bhhh"
        (or "fisher_scoring": the information from the scores of each observation), "gradient_ascent" (or
        "gradient_descent", of minus the log-likelihood), or any method of `scipy.optimize.minimize`. Upper
        and lower case are the same.
    data : mapping of str to array_like, optional
        Arrays passed to `loglik` as further keyword arguments, that the bootstrap and others can replace.
    weights : array_like, shape (n,), optional
        What each observation's log-likelihood is multiplied by. Standard errors from the Hessian take them
        for numbers of observations, those of the robust kinds for the weights of single observations.
    transforms : mapping of str to Transform, or a Transform, optional
        Constraints by parameter, such as ``dict(sigma=positive)``; see `tapegrad.mle.transforms`. `loglik`
        sees natural values, and so do estimates and standard errors (by the delta method).
    fixed : str, sequence of str, or mapping of str to values, optional
        Parameters ("beta") or elements ("beta[2]") that keep their start value, or the value given.
    tie : sequence of sequences of str, optional
        Groups of parameters or elements that share one value, such as ``[("a", "b")]``.
    logprior : callable, optional
        The logarithm of a prior density (or minus a penalty) of the natural parameters, called as `loglik`
        without data; the fit then maximises the sum (MAP). `llf` is without it.
    phases : mapping of str to int, optional
        The phase in which a parameter begins to be estimated; before, it keeps its start. Others begin in 1.
    cov_type : str
        "nonrobust" (from the Hessian), "opg", "HC0", "HC1", "cluster" or "HAC"; all but the first need one
        log-likelihood for each observation.
    cov_kwds : mapping, optional
        ``groups`` for "cluster", ``maxlags`` for "HAC", and ``use_correction`` for both.
    n_starts : int
        Number of starts: `params`, and random ones around it in the unconstrained space. The best end is
        kept.
    seed : int, optional
        Of the random starts.
    callback : callable, optional
        Called with an `Iteration` after each of the optimiser's iterations; raising StopIteration ends the
        fit with the best parameters so far, marked as not converged, as Ctrl-C does.
    progress : bool
        Whether to show the iterations on standard error, with tqdm's bar where it is installed.
    nobs : int, optional
        Number of observations, for BIC. Where it is not given, it is the number of rows, or the common length
        of the data, if they have one.
    maxiter : int, optional
        Limit on the optimiser's iterations, in its own count; its own default where not given.

    Returns
    -------
    FitResult
        Estimates, standard errors, tests and intervals, and `summary()`.

    Raises
    ------
    ValueError
        If there is no such method, if the log-likelihood or its gradient is not finite at the start (the
        message names the step where that arises), if it is constant there, or if an argument does not fit
        the others.

    Warns
    -----
    StandardErrorWarning
        The Hessian is not negative definite at the end. The standard errors are NaN, and the message says
        along which parameters it is not.
    ConvergenceWarning
        The fit stopped short of a maximum.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.stats import expon
    >>> waits = np.array([0.8, 2.9, 0.3, 1.6, 4.4])
    >>> result = fit(lambda scale: expon.logpdf(waits, scale=scale).sum(), {"scale": 1.0})
    >>> round(result.params["scale"], 6), result.bse.round(6)  # the mean, and the mean / sqrt(5)
    (2.0, array([0.894427]))
    """
    optimizer = optimizers.resolve(method)
    check_cov_type(cov_type, cov_kwds)
    if n_starts < 1:
        raise ValueError(f"n_starts is a number of starts, 1 or more, not {n_starts}")
    model = make_model(
        loglik,
        params,
        data=data,
        weights=weights,
        transforms=transforms,
        fixed=fixed,
        tie=tie,
        logprior=logprior,
        nobs=nobs,
    )
    value = _value_at_start(model)
    with Progress(f"fit {model.name}", None, progress) as shown:
        plan = _Plan(model, optimizer, maxiter, _watcher(model, callback, shown, progress))
        best, note = plan.best_of(phases or {}, value, n_starts, seed)
    message = verdict(best.end, best.run, model.space.free_names) + note
    if not best.converged:
        category = ConvergenceWarning if best.end.definite else StandardErrorWarning
        warnings.warn(message, category, stacklevel=2)
    return _result(model, best, message, method, cov_type, cov_kwds)


def refit(model: Model, start_free: Array, fixed: Mapping[int, float] | None = None) -> Refit:
    """Maximise a model again from another start, with some of its free coordinates held.

    Newton steps first, which are enough near a maximum, and BFGS where they fail. Nothing is raised or
    warned: look at `converged`.

    Parameters
    ----------
    model : Model
        That of a fit.
    start_free : ndarray, shape (q,)
        Where to start, in free coordinates. Where the log-likelihood is not finite there, it is also the end.
    fixed : mapping of int to float, optional
        Places in the free vector, and the values that they are held at.
    """
    point = np.array(start_free, dtype=np.float64)
    held = dict(fixed or {})
    point[list(held)] = list(held.values())
    moving = np.array([i for i in range(point.size) if i not in held], dtype=np.intp)
    if moving.size == 0:
        value = model.tape.value_flat(point)
        return Refit(point, value, bool(np.isfinite(value)))
    if moving.size == point.size:
        end = climb(model.tape, point)
        return Refit(end.x, end.value, end.converged)
    surface = optimizers.Slice(model.tape, point, moving)
    end = climb(surface, point[moving])
    return Refit(surface.whole(end.x), end.value, end.converged)


def _value_at_start(model: Model) -> float:
    """The value at the start, where it must be finite, differentiable and not constant."""
    tape, start = model.tape, model.space.start
    value, gradient = tape.value_and_grad_flat(start)
    natural = zip(model.space.names, model.space.values, strict=True)
    at = ", ".join(f"{name}={x:.6g}" for name, x in natural)
    what = "log-likelihood" if model.prior is None else "log-likelihood plus log-prior"
    if not np.isfinite(value):
        raise ValueError(
            f"the {what} is {value} at the start ({at}): start where it is finite, inside the "
            f"support of the data and of the parameters\n{tape.explain(start)}"
        )
    slopes = zip(model.space.free_names, gradient, strict=True)
    bad = [name for name, slope in slopes if not np.isfinite(slope)]
    if bad:
        raise ValueError(
            f"the gradient of the {what} is not finite at the start ({at}) in {', '.join(bad)}: "
            f"start elsewhere, or check that it has a derivative there\n{tape.explain(start)}"
        )
    if not gradient.any() and not tape.hessian(start).any():
        raise ValueError(
            f"the {what} is constant around the start ({at}): gradient and Hessian are zero there. "
            "Check that what it returns depends on the parameters, or start elsewhere"
        )
    return value


Watch: TypeAlias = Callable[[int, Array, float], None]


def _watcher(
    model: Model, callback: Callable[[Iteration], Any] | None, shown: Progress, progress: bool
) -> Watch | None:
    if callback is None and not progress:
        return None

    def watch(nit: int, free: Array, value: float) -> None:
        shown.step(f"log-likelihood {value:.6g}")
        if callback is not None:
            callback(Iteration(nit, model.natural_params(free), value))

    return watch


def _watch_whole(watch: Watch, surface: optimizers.Slice, nit: int, moving: Array, value: float) -> None:
    watch(nit, surface.whole(moving), value)


@dataclass(frozen=True)
class _Attempt:
    """One start's run and end."""

    run: optimizers.Run
    end: End
    objective: optimizers.Objective

    @property
    def converged(self) -> bool:
        return self.end.converged and not self.run.stopped


@dataclass(frozen=True)
class _Plan:
    """How each start is to be run."""

    model: Model
    optimizer: str
    maxiter: int | None
    watch: Watch | None

    def attempt(self, start: Array, value: float) -> _Attempt:
        """The optimiser from one start, and Newton's steps."""
        tape = self.model.tape
        outer = None if self.model.rows is None else self._outer_products
        objective = optimizers.Objective(tape, start, value, outer, self.watch)
        run = optimizers.run(objective, self.optimizer, self.maxiter)
        try:
            # Who stops a run wants no more steps, but may see how far it came.
            end = polish(tape, objective.best_x, 0 if run.stopped else NEWTON_STEPS)
        except KeyboardInterrupt:
            run = optimizers.Run(run.nit, "interrupted", stopped=True)
            end = polish(tape, objective.best_x, 0)
        return _Attempt(run, end, objective)

    def _outer_products(self, free: Array) -> Array:
        found = scores(self.model, free)
        outer: Array = found.T @ found
        return outer if np.isfinite(outer).all() else np.eye(free.size)

    def by_phases(
        self, phases: Mapping[str, int], value: float
    ) -> tuple[Array, float, optimizers.Run | None]:
        """Where the last phase starts, its value, and the run that was stopped on the way there, if one was.

        Each phase begins where the one before it ended.
        """
        point = self.model.space.start
        for moving in moving_by_phase(self.model.space, phases):
            surface = optimizers.Slice(self.model.tape, point, moving)
            watch = None if self.watch is None else partial(_watch_whole, self.watch, surface)
            objective = optimizers.Objective(surface, point[moving], value, None, watch)
            # Scores for BHHH are those of all coordinates; Newton's method serves as well for a part of them.
            method = self.optimizer if self.optimizer != optimizers.BHHH else optimizers.NEWTON
            run = optimizers.run(objective, method, self.maxiter)
            point, value = surface.whole(objective.best_x), objective.path[-1]
            if run.stopped:
                return point, value, run
        return point, value, None

    def best_of(
        self, phases: Mapping[str, int], value: float, count: int, seed: int | None
    ) -> tuple[_Attempt, str]:
        """The best end of so many starts, and what to say about the others."""
        tape = self.model.tape
        first, value, stopped = self.by_phases(phases, value)
        if stopped is not None:
            return _Attempt(stopped, polish(tape, first, 0), optimizers.Objective(tape, first, value)), ""
        attempts = []
        for start, start_value in starts(tape, first, value, count, seed):
            attempts.append(self.attempt(start, start_value))
            if attempts[-1].run.stopped:
                break
        best = max(attempts, key=lambda attempt: (attempt.converged, attempt.end.value))
        if count == 1:
            return best, ""
        reach = _SAME_VALUE * (1.0 + abs(best.end.value))
        same = sum(attempt.converged and attempt.end.value >= best.end.value - reach for attempt in attempts)
        missing = f"; {count - len(attempts)} more were not run" if len(attempts) < count else ""
        return best, f"; {same} of {len(attempts)} starts ended at this maximum{missing}"


def _result(
    model: Model, best: _Attempt, message: str, method: str, cov_type: str, cov_kwds: Mapping[str, Any] | None
) -> FitResult:
    end, space = best.end, model.space
    robust = None
    if cov_type != "nonrobust":
        robust = free_covariance(model, end.x, end.information, cov_type, cov_kwds)
    return FitResult(
        params=model.natural_params(end.x),
        x=space.natural(end.x),
        names=space.names,
        llf=model.llf(end.x, end.value),
        observed_info=end.information,
        nobs=model.nobs,
        converged=best.converged,
        message=message,
        nit=best.run.nit + end.steps,
        nfev=best.objective.nfev,
        method=method,
        model=model.name,
        njev=best.objective.njev,
        nhev=best.objective.nhev + end.steps + 1,
        cov_type=cov_type,
        free=None if space.is_identity else end.x,
        cov_free=robust,
        jacobian=None if space.is_identity else space.jacobian(end.x),
        path=np.array(best.objective.path),
        _model=model,
    )
