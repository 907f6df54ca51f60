"""What is fitted: a log-likelihood traced in free coordinates, with its rows, its prior and its data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.errors import DiscreteWarning
from tapegrad.function.long import beside, extent, is_in_pieces
from tapegrad.function.trace import trace_quietly
from tapegrad.function.traced import TracedFunction
from tapegrad.marginal.discrete import rounded
from tapegrad.marginal.division import Division, divided
from tapegrad.marginal.joint import Joint
from tapegrad.marginal.quadrature import marginal_of
from tapegrad.marginal.surface import Marginal
from tapegrad.mle.model.columns import Columns, read_columns, why_no_rows
from tapegrad.mle.model.make_space import Names, make_space
from tapegrad.mle.model.random import check_random
from tapegrad.mle.model.space import Space
from tapegrad.mle.model.specification import Specification
from tapegrad.mle.notices import warn
from tapegrad.mle.transforms import Transform
from tapegrad.nest import Leaf, argument_name, structure_of

Array: TypeAlias = npt.NDArray[np.float64]

WEIGHTS = "observation weights"  # with a space: no parameter and no data are called so


@dataclass(frozen=True, eq=False)
class Model:
    """The function that `fit` maximises. The result keeps it, so that one can refit, profile and resample.

    Free vectors have shape (q,), natural vectors shape (p,); see `Space`.

    Attributes
    ----------
    specification : Specification
        What the user wrote: log-likelihood, log-prior, and the space of their parameters.
    function : TracedFunction or Marginal
        What is maximised, as a function of the free coordinates: the (weighted) log-likelihood, plus the
        log-prior where there is one; of a model with random effects, the marginal one. Use `value_flat`,
        `value_and_grad_flat` and `hessian_flat` with a free vector.
    rows : TracedFunction or None
        The log-likelihood of each observation, unweighted and without the prior, shape (n,), as a function
        of the free coordinates; None where the log-likelihood is one number.
    prior : TracedFunction or None
        The log-prior as a function of the free coordinates.
    data : mapping of str to array
        The data that can be rebound.
    weights : ndarray, shape (n,), or None
        What the rows are multiplied by; of data in pieces, a column of theirs.
    nobs : int or None
        Number of observations, if known.
    joint_rows : TracedFunction or None
        The rows of a joint log-likelihood that returns some, as a function of free coordinates and random
        effects.
    levels : mapping of str to tuple of str
        Of columns of texts or categories among the data, of which the model has the numbers, in their order.
    dropped : int
        How many rows of the data were left out because something was missing.
    kept : ndarray of bool or None
        Which rows were not, if some were.
    """

    specification: Specification
    function: TracedFunction | Marginal
    rows: TracedFunction | None
    prior: TracedFunction | None
    data: Mapping[str, Any]
    weights: Any
    nobs: int | None
    joint_rows: TracedFunction | None = None
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: int = 0
    kept: npt.NDArray[np.bool_] | None = None

    @property
    def space(self) -> Space:
        """The map between free and natural vectors, and the names of both."""
        return self.specification.space

    @property
    def division(self) -> Division | None:
        """Which parameters are random effects; None where there are none."""
        return self.specification.division

    @property
    def marginal(self) -> Marginal:
        """What is maximised, of a model with random effects.

        Raises
        ------
        ValueError
            If there are none.
        """
        if not isinstance(self.function, Marginal):
            raise ValueError(f"{self.name} has no random effects: name them as fit(..., random=...)")
        return self.function

    @property
    def loglik(self) -> Callable[..., Any] | TracedFunction:
        """The user's log-likelihood, of natural parameters and data."""
        return self.specification.loglik

    @property
    def name(self) -> str:
        """The name of the log-likelihood."""
        return self.specification.name

    def llf(self, free: Array, objective: float) -> float:
        """The log-likelihood at `free`, where `function` is `objective`: without the prior."""
        return objective if self.prior is None else objective - self.prior.value_flat(free)

    def natural_params(self, free: Array) -> Any:
        """The natural parameters of a free vector, in the user's structure."""
        return self.space.structure.unravel(self.space.natural(free))

    def with_data(self, **data: Any) -> "Model":
        """The same model on other data of the same shapes, without a new trace.

        Raises
        ------
        ValueError
            If there is no such data, or its shape differs.
        """
        if not self.data:
            raise ValueError(
                "this fit has no data to replace: pass it as fit(loglik, params, data=dict(x=x))"
            )
        return replace(
            self,
            function=self.function.with_data(**data),
            rows=None if self.rows is None else self.rows.with_data(**data),
            joint_rows=None if self.joint_rows is None else self.joint_rows.with_data(**data),
            data={**self.data, **data},
        )

    @property
    def pointwise(self) -> TracedFunction | None:
        """The log-likelihood of each observation; None also if data are in pieces, and not in one place."""
        return None if self.is_in_pieces else self.rows

    def require_rows(self, what: str) -> TracedFunction:
        """The log-likelihood of each observation, of all in one place.

        Raises
        ------
        ValueError
            If the log-likelihood is one number, where `what` needs one for each observation, or if the data
            are in pieces; the message says so.
        """
        self.some_rows(what)
        if self.pointwise is None:
            raise ValueError(
                f"{what} need the log-likelihoods of all observations in one place, and the data are in "
                "pieces: value, derivatives, standard errors, tests and profiles need only sums of them, and "
                "so do all covariances but 'HAC'"
            )
        return self.pointwise

    def some_rows(self, what: str) -> TracedFunction:
        """The log-likelihood of each observation, wherever they are.

        Raises
        ------
        ValueError
            If it is one number, where `what` needs one for each observation.
        """
        if self.rows is None and self.division is not None:
            raise ValueError(
                f"{what} need the log-likelihood of each observation; with random effects there is none, "
                "because observations that share one are not independent"
            )
        if self.rows is None:
            raise ValueError(
                f"{what} need the log-likelihood of each observation: let {self.name} return an array of "
                "shape (n,), without the .sum() at its end"
            )
        return self.rows

    def require_joint_rows(self, what: str) -> TracedFunction:
        """The rows of the joint log-likelihood.

        Raises
        ------
        ValueError
            If it is one number.
        """
        if self.joint_rows is None:
            raise ValueError(
                f"{what} need independent rows; with random effects there is none for an observation, "
                f"because observations that share one are not independent: let {self.name} return one row "
                "for each block of random effects, or one for each observation and random effect, in groups"
            )
        return self.joint_rows

    @property
    def is_in_pieces(self) -> bool:
        """Whether the data are on disk or on a cluster."""
        found = self.function
        return (found.joint.function if isinstance(found, Marginal) else found).is_in_pieces

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.require_rows("rows").outputs.size

    @cached_property
    def weighted(self) -> TracedFunction:
        """What is maximised, as a function of the free coordinates and of the weights: one trace
        for all weights.

        Its flat vector is the free one (q,) followed by the weights (n,).
        """
        self.require_rows("weights")
        given = self.specification

        def objective(**arguments: Any) -> Any:
            weights = arguments.pop(WEIGHTS)
            pieces, data = given.split(arguments)
            return given.total(pieces, data, weights)

        start = given.space.free_structure.unravel(given.space.start)
        start[WEIGHTS] = np.ones(self.n_rows)
        return given.trace(objective, start, self.data)


def make_model(
    loglik: Callable[..., Any] | TracedFunction,
    params: Any,
    *,
    data: Any = None,
    weights: Any = None,
    transforms: Mapping[str, Transform] | Transform | None = None,
    fixed: Names | Mapping[str, Any] = (),
    tie: Sequence[Names] = (),
    logprior: Callable[..., Any] | None = None,
    nobs: int | None = None,
    random: Names = (),
    missing: str | None = None,
    quadrature: int = 1,
) -> Model:
    """Trace what `fit` maximises; the arguments are those of `fit`.

    Raises
    ------
    ValueError, TypeError
        If the arguments do not fit together; each message says what was expected.
    """
    known = tuple(loglik.data) if isinstance(loglik, TracedFunction) else loglik
    columns = Columns({}) if data is None else read_columns(data, known, params, missing)
    data, weights = beside(columns.values, WEIGHTS, columns.rows(weights))
    if isinstance(loglik, TracedFunction):
        loglik = loglik.with_data(**data) if data else loglik
        structure, values = loglik.structure, _finite(loglik, params)
        data = loglik.data
    else:
        structure, values = structure_of(params, argument_name(loglik))
    if len(random):
        division = divided(structure, random)
        check_random(division, transforms, fixed, tie, weights)
        space = make_space(division.outer, values[division.rest], transforms, fixed, tie)
        _check_data(space, data)
        given = Specification(loglik, logprior, space, division)
        return replace(_marginal_model(given, values, data, nobs, quadrature), **columns.about)
    if quadrature != 1:
        raise ValueError("quadrature= is how random effects are integrated out: name them as random=")
    space = make_space(structure, values, transforms, fixed, tie)
    given = Specification(loglik, logprior, space)
    _check_data(space, data)
    plain = _traced(given, params, data)
    # What is traced already stands in another trace as its passes have left it, with a few rows for all.
    counted = loglik.nobs if isinstance(loglik, TracedFunction) else plain.nobs
    rows = _rows(plain, given.name)
    if counted == 0:
        raise ValueError(f"no data: the arrays that {given.name} uses have no rows")
    checked = None if weights is None else _checked_weights(weights, rows, given.name)
    prior = None if logprior is None else _traced_prior(given)
    function = plain
    if rows is not None or prior is not None:
        function = _total(given, data, checked)
    if nobs is None:
        nobs = counted if rows is None else rows.nobs
    return Model(given, function, rows, prior, data, checked, nobs, **columns.about)


def _marginal_model(
    given: Specification, values: Array, data: dict[str, Any], nobs: int | None, quadrature: int
) -> Model:
    """The model of which the random effects are integrated out; `values` are the start of everything."""
    assert given.division is not None
    pieces = given.space.free_structure.unravel(given.space.start)
    random = given.division.start(values)
    clash = sorted(set(pieces) & set(random) | set(data) & set(random))
    if clash:
        raise ValueError(f"{', '.join(clash)} is the name of random effects and of something else")
    joint = given.trace(lambda **a: given.total(*given.split(a), None), {**pieces, **random}, data)
    if isinstance(given.loglik, TracedFunction) and nobs is None:
        nobs = given.loglik.nobs
    nobs = joint.nobs if nobs is None else nobs
    if nobs == 0:
        raise ValueError(f"no data: the arrays that {given.name} uses have no rows")
    leaves = given.division.random_leaves(joint.structure)
    told = rounded(joint, leaves)
    if told is not None:
        warn(told, DiscreteWarning)
    function = marginal_of(Joint(joint, leaves), values[given.division.random], quadrature)
    rows = None
    with np.errstate(all="ignore"):
        in_pieces = is_in_pieces(data)  # with which nothing can be called
        is_rows = in_pieces or np.ndim(given.values({**pieces, **random}, data)) > 0
    if is_rows:  # only then a trace of its own
        plain = given.trace(lambda **a: given.values(*given.split(a)), {**pieces, **random}, data)
        rows = _rows(plain, given.name)
    prior = None if given.logprior is None else _traced_prior(given)
    return Model(given, function, None, prior, data, None, nobs, rows)


def _finite(traced: TracedFunction, params: Any) -> Array:
    """The start of a traced function as a flat vector."""
    vector: Array = traced.ravel(params)
    if not np.isfinite(vector).all():
        structure_of(traced.unravel(vector), traced.names[0])  # says which are not
    return vector


def _check_data(space: Space, data: Mapping[str, Any]) -> None:
    if not data:
        return
    labels = (
        leaf.label for structure in (space.structure, space.free_structure) for leaf in structure.leaves
    )
    clash = sorted(set(labels) & set(data))
    if clash:
        raise ValueError(f"{', '.join(clash)} is the name of a parameter and of data: rename one of them")
    empty = [name for name, array in data.items() if np.size(array) == 0]
    if empty:
        reasons = "".join(why_no_rows(data[name]) for name in empty)
        raise ValueError(f"no data: {', '.join(empty)} has no elements{reasons}")


def _traced(given: Specification, params: Any, data: Mapping[str, Any]) -> TracedFunction:
    """What the user's function returns, as a function of the free coordinates."""
    if given.space.is_identity:
        loglik = given.loglik
        return loglik if isinstance(loglik, TracedFunction) else trace_quietly(loglik, params, data=data)
    start = given.space.free_structure.unravel(given.space.start)
    return given.kept("values", lambda **a: given.values(*given.split(a)), start, data)


def _rows(plain: TracedFunction, name: str) -> TracedFunction | None:
    """The function itself where it returns one number for each observation, None where it returns one."""
    root = plain.outputs.root
    if not isinstance(root, Leaf) or len(root.shape) > 1:
        returns = f"an array of shape {root.shape}" if isinstance(root, Leaf) else "several outputs"
        raise ValueError(
            f"fit needs a scalar log-likelihood, or one of shape (n,), a number for each observation; {name} "
            f"returns {returns}: end it with .sum()?"
        )
    if root.shape == (0,):
        raise ValueError(f"no data: {name} returns the log-likelihoods of 0 observations")
    return plain if root.shape else None


def _total(given: Specification, data: Mapping[str, Any], weights: Any) -> TracedFunction:
    """What is maximised, as a function of the free coordinates."""
    start = given.space.free_structure.unravel(given.space.start)
    if weights is None or isinstance(weights, np.ndarray):
        key = "total", None if weights is None else weights.tobytes()
        return given.kept(key, lambda **a: given.total(*given.split(a), weights), start, data)

    def weighted(**arguments: Any) -> Any:
        column = arguments.pop(WEIGHTS)
        return given.total(*given.split(arguments), column)

    return given.trace(weighted, start, {**data, WEIGHTS: weights})


def _checked_weights(weights: Any, rows: TracedFunction | None, name: str) -> Any:
    """Weights that can be used: an array, or a column of data in pieces as it is."""
    if rows is None:
        raise ValueError(
            f"weights= needs the log-likelihood of each observation: let {name} return an array of shape "
            "(n,), without the .sum() at its end"
        )
    if rows.is_in_pieces:
        checked = weights
    else:
        checked, n = np.array(weights, dtype=np.float64), rows.outputs.size
        if checked.shape != (n,):
            raise ValueError(f"weights must have shape ({n},), one for each observation, not {checked.shape}")
    low, high = extent(checked)
    if not (low >= 0.0 and 0.0 < high < np.inf):
        raise ValueError("weights must be finite and not negative, and not all zero")
    return checked


def _traced_prior(given: Specification) -> TracedFunction:
    start = given.space.free_structure.unravel(given.space.start)
    prior = given.trace(lambda **pieces: given.prior(pieces), start, {})
    if prior.outputs.size != 1 or not isinstance(prior.outputs.root, Leaf):
        raise ValueError("logprior must return one number, the log of the prior density up to a constant")
    return prior
