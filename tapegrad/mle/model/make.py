"""How a model is made of what the user wrote: traced, and checked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.errors import DiscreteWarning
from tapegrad.function.long import columns_of
from tapegrad.function.trace import trace_quietly
from tapegrad.function.traced import TracedFunction
from tapegrad.marginal.discrete import rounded
from tapegrad.marginal.division import divided
from tapegrad.marginal.joint import Joint
from tapegrad.marginal.quadrature import marginal_of
from tapegrad.mle.model.make_space import Names, make_space
from tapegrad.mle.model.model import Model, Specification
from tapegrad.mle.model.random import check_random
from tapegrad.mle.model.space import Space
from tapegrad.mle.notices import warn
from tapegrad.mle.transforms import Transform
from tapegrad.nest import Leaf, argument_name, structure_of

Array: TypeAlias = npt.NDArray[np.float64]


def make_model(
    loglik: Callable[..., Any] | TracedFunction,
    params: Any,
    *,
    data: Mapping[str, Any] | None = None,
    weights: Any = None,
    transforms: Mapping[str, Transform] | Transform | None = None,
    fixed: Names | Mapping[str, Any] = (),
    tie: Sequence[Names] = (),
    logprior: Callable[..., Any] | None = None,
    nobs: int | None = None,
    random: Names = (),
    quadrature: int = 1,
) -> Model:
    """Trace what `fit` maximises; the arguments are those of `fit`.

    Raises
    ------
    ValueError, TypeError
        If the arguments do not fit together; each message says what was expected.
    """
    if not isinstance(data, Mapping | None):
        raise TypeError(f"data is a dict of arrays by name, such as dict(x=x), not a {type(data).__name__}")
    data = columns_of(data or {})
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
        return _marginal_model(given, values, data, nobs, quadrature)
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
    if weights is not None and plain.is_in_pieces:
        raise ValueError("data in pieces take no weights=: pass them in data, and multiply in the function")
    checked = None if weights is None else _checked_weights(weights, rows, given.name)
    prior = None if logprior is None else _traced_prior(given)
    function = plain
    if rows is not None or prior is not None:
        start = space.free_structure.unravel(space.start)
        weighted = None if checked is None else checked.tobytes()
        function = given.kept(
            ("total", weighted), lambda **a: given.total(*given.split(a), checked), start, data
        )
    if nobs is None:
        nobs = counted if rows is None or rows.is_in_pieces else rows.outputs.size
    return Model(given, function, rows, prior, data, checked, nobs)


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
        is_rows = np.ndim(given.values({**pieces, **random}, data)) > 0
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
        reasons = "".join(_dropped(data[name]) for name in empty)
        raise ValueError(f"no data: {', '.join(empty)} has no elements{reasons}")


def _dropped(table: Any) -> str:
    """Why a table of formulaic may have no rows: its columns that one missing value makes missing whole."""
    names = [str(name) for name in getattr(table, "columns", ())]
    centred = [name for name in names if name.startswith(("scale(", "center(", "standardize("))]
    if not centred:
        return ""
    return (
        f". Its column {centred[0]} is missing in every row if one value in it is missing, and formulaic "
        'drops such rows: drop that one first; model_matrix(..., na_action="raise") says which column has it'
    )


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


def _checked_weights(weights: Any, rows: TracedFunction | None, name: str) -> Array:
    array = np.array(weights, dtype=np.float64)
    if rows is None:
        raise ValueError(
            f"weights= needs the log-likelihood of each observation: let {name} return an array of shape "
            "(n,), without the .sum() at its end"
        )
    n = rows.outputs.size
    if array.shape != (n,):
        raise ValueError(f"weights must have shape ({n},), one for each observation, not {array.shape}")
    if not (np.isfinite(array).all() and (array >= 0.0).all() and array.any()):
        raise ValueError("weights must be finite and not negative, and not all zero")
    return array


def _traced_prior(given: Specification) -> TracedFunction:
    start = given.space.free_structure.unravel(given.space.start)
    prior = given.trace(lambda **pieces: given.prior(pieces), start, {})
    if prior.outputs.size != 1 or not isinstance(prior.outputs.root, Leaf):
        raise ValueError("logprior must return one number, the log of the prior density up to a constant")
    return prior
