"""Maximum-likelihood fits."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.traced import TracedFunction
from tapegrad.mle.climb import optimizers
from tapegrad.mle.climb.climbing import verdict
from tapegrad.mle.climb.negated import looks_negated
from tapegrad.mle.climb.search import Found, Search, Watch
from tapegrad.mle.climb.starts import value_at_start
from tapegrad.mle.climb.surfaces import Counted
from tapegrad.mle.infer.flat import Undetermined, undetermined, why_undetermined
from tapegrad.mle.infer.random import several_peaks, with_modes, without_spread
from tapegrad.mle.infer.sandwich import check_cov_type, free_covariance
from tapegrad.mle.model.columns import is_elsewhere, is_table, names_of, numbers_of
from tapegrad.mle.model.make_space import Names
from tapegrad.mle.model.model import Model, make_model
from tapegrad.mle.model.random import labels_of
from tapegrad.mle.notices import ConvergenceWarning, StandardErrorWarning, warn
from tapegrad.mle.progress import Progress
from tapegrad.mle.result import FitResult
from tapegrad.mle.transforms import Transform

Array: TypeAlias = npt.NDArray[np.float64]


class Iteration(NamedTuple):
    """What a callback is given after each of the optimiser's iterations.

    Attributes
    ----------
    nit : int
        Its number, counted through all phases and starts.
    params : Any
        The best parameters so far of this start, in the user's structure.
    llf : float
        Their log-likelihood, plus the log-prior where there is one.
    """

    nit: int
    params: Any
    llf: float


def fit(
    loglik: Callable[..., Any] | TracedFunction,
    params: Any,
    method: str = "bfgs",
    *,
    data: Any = None,
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
    random: Names = (),
    missing: str | None = None,
    quadrature: int = 1,
) -> FitResult:
    """Maximise a log-likelihood.

    The optimiser uses exact derivatives. Whatever it says, the fit then takes Newton steps with the exact
    Hessian as long as they come closer to the maximum, and calls itself converged only if they end at one:
    the gradient small relative to the curvature, the Hessian negative definite, and the log-likelihood around
    the parabola that both describe. Standard errors come from that same Hessian. From where an optimiser does
    not arrive at a maximum, Newton's method goes on; then it begins once more from the same start, in units
    that the curvature there gives, and only where the log-likelihood can be told from rounding.

    Parameters
    ----------
    loglik : callable or TracedFunction
        The log-likelihood (not its negative) in plain NumPy, or what `trace` made of it: a number, or an
        array of shape (n,) with one for each observation, which is then summed.
    params : float, array_like, or a nest of lists, tuples and dicts of them
        Where to start, in the structure that `trace` takes: a dict is passed as keyword arguments.
    method : str
        "bfgs", "lbfgs", "newton" (Newton-Raphson with step control), "trust" (SciPy's trust-exact), "bhhh"
        (or "fisher_scoring", which is the same here: the expected information is not known for a
        log-likelihood in general, and is estimated by the outer products of the scores of each
        observation), "gradient_ascent" (or "gradient_descent", of minus the log-likelihood), or any method
        of `scipy.optimize.minimize`. Upper and lower case are the same.
    data : mapping of str to array_like, or table, optional
        Arrays passed to `loglik` as further keyword arguments, that the bootstrap and others can replace. Of
        a table (pandas, polars, pyarrow) those columns are passed that `loglik` has arguments for. Columns
        of texts or categories come as the numbers of their levels, 0, 1 and so on, in alphabetical order, or
        in that of the categories. A traced function has its data already; what is given here takes their
        place.
    weights : array_like, shape (n,), optional
        What each observation's log-likelihood is multiplied by; of data in pieces, also a column of those.
        Standard errors from the Hessian take them for numbers of observations, those of the robust kinds for
        the weights of single observations.
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
        "nonrobust" (from the Hessian), "opg", "HC0", "HC1", "HC2", "HC3", "cluster" or "HAC"; all but the
        first need one log-likelihood for each observation.
    cov_kwds : mapping, optional
        ``groups`` for "cluster", one label for each observation or the name of a column of `data`;
        ``maxlags`` for "HAC"; and ``use_correction`` for both.
    n_starts : int
        Number of starts: `params`, and random ones around it in the unconstrained space. The best end is
        kept.
    seed : int, optional
        Of the random starts.
    callback : callable, optional
        Called with an `Iteration` after each of the optimiser's iterations; raising StopIteration ends the
        fit with the best parameters so far, marked as not converged, as Ctrl-C does: with those of an
        earlier start, if they are better.
    progress : bool
        Whether to show the iterations on standard error, with tqdm's bar where it is installed.
    nobs : int, optional
        Number of observations, for BIC. Where it is not given, it is the number of rows that `loglik`
        returns; or of the rows of `data`, if all agree; or of those that a sum at the end of `loglik` runs
        over. Where none of these tells, it is unknown (None).
    maxiter : int, optional
        Limit on the optimiser's iterations from each start and in each phase, in its own count; its own
        default where not given.
    random : str or sequence of str, optional
        Random effects: parameters ("u"), or elements ("u[3]"), that are integrated out by Laplace's method.
        `loglik` is then the joint log-likelihood of data and random effects, in which each of them has a
        density over all real numbers. What is estimated are the other parameters; `result.random` has the
        modes of the random effects, under the names of their index if they are a pandas Series in `params`.
    missing : str, optional
        "drop" leaves out rows of the data in which something is missing, of `weights` and ``groups``, too,
        and the summary tells how many; "raise" refuses them. Where it is not given, tables and columns of
        texts must have nothing missing, and NaN in arrays is taken as it is.
    quadrature : int
        With how many nodes along each random effect they are integrated out, by adaptive Gauss-Hermite
        quadrature; 1 is Laplace's method. More are for random effects in groups of one to three that never
        meet, such as those of sites or patients. `check_laplace` says whether they are needed.

    Returns
    -------
    FitResult
        Estimates, standard errors, tests and intervals, and `summary()`. Its counts `nit`, `nfev`, `njev` and
        `nhev` are those of all phases and starts together.

    Raises
    ------
    ValueError
        If there is no such method, if the log-likelihood or its gradient is not finite at the start (the
        message names the step where that arises), if it is constant there, if there are no data, or if an
        argument does not fit the others.

    Warns
    -----
    NonFiniteWarning
        `loglik` raised an exception during the search, where it was traced anew for another branch. That
        counts as outside the support, as NaN does. Errors of tapegrad itself are raised.
    StandardErrorWarning
        The Hessian is not negative definite at the end, and the message says along which parameters it is
        not; or it is that of a parabola whose top is out of reach. Where the log-likelihood is found to be
        flat along a direction, or to level off as a parameter runs to its boundary, what moves along it has
        no standard error (NaN), and the rest keeps those of a generalised inverse; otherwise all are NaN.
    DiscreteWarning
        A random effect is rounded.
    ConvergenceWarning
        The fit stopped short of a maximum, or random effects have several modes. Where the function has a
        minimum nearby, or grows as no log-likelihood does, the message asks whether it is minus the
        log-likelihood.

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
    begun = time.perf_counter()
    optimizer = optimizers.resolve(method)
    check_cov_type(cov_type, cov_kwds)
    _check_whole("n_starts", n_starts, 1)
    if maxiter is not None:
        _check_whole("maxiter", maxiter, 0)
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
        random=random,
        missing=missing,
        quadrature=quadrature,
    )
    cov_kwds = _with_groups(model, data, cov_kwds)
    surface = Counted(model.function)
    value = value_at_start(model, surface)
    with Progress(f"fit {model.name}", None, progress, each=model.is_in_pieces) as shown:
        search = Search(model, surface, optimizer, maxiter, _watcher(model, callback, shown, progress))
        found = search.best(value, phases or {}, n_starts, seed)
    message = verdict(found.end, found.run, model.space.free_names) + found.note
    if not np.isfinite(found.end.information).all():
        message += f"; {model.function.explain(found.end.x).text.splitlines()[0]}"
    # Who stops a run wants no more evaluations.
    if not (found.converged or found.run.stopped):
        question = looks_negated(model, surface, value, found.end.value)
        message = f"{question}; {message}" if question else message
    flat = None if found.run.stopped else undetermined(surface, found.end.x, found.end.information)
    if flat is not None:
        found = _at_top(found, flat)
    robust = None
    if cov_type != "nonrobust":
        directions = None if flat is None else flat.directions
        robust = free_covariance(model, found.end.x, found.end.information, cov_type, cov_kwds, directions)
    if flat is None and found.end.definite and not found.end.has_errors:  # the inverse would pass for one
        robust = np.full_like(found.end.information, np.nan)
    result = _result(
        model, surface, found, flat, message=message, method=method, cov_type=cov_type, cov_free=robust
    )
    if model.division is not None:
        result = replace(with_modes(result), quadrature=quadrature)
        result = result.renamed(**labels_of(params, model.division))
        result = _told_of_modes(result)
    result = replace(result, seconds=time.perf_counter() - begun)
    if flat is not None:
        told = "; ".join(why_undetermined(result))
        result = replace(result, message=told + found.note)
        only_ends = len(result.ends) == flat.directions.shape[1]
        warn(told, ConvergenceWarning if only_ends else StandardErrorWarning)
    elif not found.converged:
        warn(result.message, ConvergenceWarning if found.end.has_errors else StandardErrorWarning)
    return result


def _told_of_modes(result: FitResult) -> FitResult:
    """The same, with what the random effects say of how it ended; warn if they have several modes."""
    if result.modes is None or not np.isfinite(result.modes).all():
        return result
    peaks = several_peaks(result)
    if peaks is not None:
        warn(peaks, ConvergenceWarning)
    collapsed = None if result.converged or result.flat is not None else without_spread(result)
    return result if collapsed is None else replace(result, message=f"not converged: {collapsed}")


def _at_top(found: Found, top: Undetermined) -> Found:
    """What was found, with a point on the top of the flat directions for its end: that is not one maximum."""
    end = replace(found.end, x=top.x, value=top.value, information=top.information)
    return replace(found, end=replace(end, definite=False, distance=np.nan))


def _result(
    model: Model, surface: Counted, found: Found, flat: Undetermined | None, **told: Any
) -> FitResult:
    space, free = model.space, found.end.x
    return FitResult(
        params=model.natural_params(free),
        x=space.natural(free),
        names=space.names,
        llf=model.llf(free, found.end.value),
        observed_info=found.end.information,
        nobs=model.nobs,
        converged=found.converged,
        nit=found.nit,
        nfev=surface.nfev,
        model=model.name,
        njev=surface.njev,
        nhev=surface.nhev,
        free=None if space.is_identity else free,
        jacobian=None if space.is_identity else space.jacobian(free),
        path=np.array(found.path),
        dropped=model.dropped,
        flat=None if flat is None else flat.directions,
        ends=() if flat is None else tuple(space.free_names[i] for i in flat.ends),
        _model=model,
        **told,
    )


def _with_groups(model: Model, data: Any, cov_kwds: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The keywords with the labels of the groups: those of a column where they are its name, without the rows
    that were dropped."""
    groups = None if cov_kwds is None else cov_kwds.get("groups")
    if cov_kwds is None or groups is None:
        return cov_kwds
    if isinstance(groups, str):
        names = (names_of(data) if is_table(data) else list(data or ())) or []
        if groups not in names:
            raise ValueError(f"groups={groups!r} is no column of the data, which are {', '.join(names)}")
        groups = data[groups]
    if is_elsewhere(groups):
        return {**cov_kwds, "groups": groups}
    labels, levels = numbers_of(groups, "groups")
    array = np.asarray(labels)
    array = array if model.kept is None or array.shape != model.kept.shape else array[model.kept]
    if levels is not None and (array < 0).any():
        raise ValueError(f"groups has no label for observation {int(np.argmax(array < 0))}")
    return {**cov_kwds, "groups": array}


def _check_whole(name: str, number: Any, least: int) -> None:
    if not isinstance(number, int | np.integer) or number < least:
        raise ValueError(f"{name} is a whole number, {least} or more, not {number!r}")


def _watcher(
    model: Model, callback: Callable[[Iteration], Any] | None, shown: Progress, progress: bool
) -> Watch | None:
    if callback is None and not progress:
        return None
    numbers = itertools.count(1)

    def watch(free: Array, value: float) -> None:
        shown.step(f"log-likelihood {value:.6g}")
        if callback is not None:
            callback(Iteration(next(numbers), model.natural_params(free), value))

    return watch
