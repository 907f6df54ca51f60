"""What a formula makes of its data: responses, design matrices, groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.mixed import table
from tapegrad.mixed.families import FAMILIES
from tapegrad.mixed.names import Names
from tapegrad.mixed.table import Frame
from tapegrad.mixed.terms import Predictor, RandomTerm, columns_in, split

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Term:
    """A random term with its data.

    Attributes
    ----------
    formula : RandomTerm
    levels : tuple of str
        The groups.
    columns : tuple of str
        The effects that each group has.
    codes : ndarray of int, shape (n,)
        Each row's group.
    matrix : ndarray, shape (n, m)
        The columns of the effects.
    spec : Any
        How formulaic made them.
    label : str
        What the groups are called in results; those of structural zeros begin with "zi_".
    group, b, sd, theta, z : str
        The identifiers of the groups' numbers, of the effects, of their standard deviations, of what their
        correlations are made of, and of the matrix.
    """

    formula: RandomTerm
    levels: tuple[str, ...]
    columns: tuple[str, ...]
    codes: Array
    matrix: Array
    spec: Any
    label: str
    group: str
    b: str
    sd: str
    theta: str
    z: str

    @property
    def is_intercept(self) -> bool:
        """Whether each group has one effect, the same in all its rows."""
        return self.matrix.shape[1] == 1 and bool((self.matrix == 1.0).all())

    @property
    def has_correlations(self) -> bool:
        """Whether the effects of a group are correlated."""
        return len(self.columns) > 1 and self.formula.is_correlated


@dataclass(frozen=True, eq=False)
class Part:
    """A linear predictor with its data: that of the mean, or of the structural zeros.

    Attributes
    ----------
    suffix : str
        "" or "_zi", the end of its identifiers.
    x : ndarray, shape (n, p)
    columns : tuple of str
    spec : Any
        How formulaic made them.
    terms : tuple of Term
    offset : ndarray, shape (n,), or None
    offsets : tuple of str
        The expressions that it is the sum of.
    """

    suffix: str
    x: Array
    columns: tuple[str, ...]
    spec: Any
    terms: tuple[Term, ...]
    offset: Array | None
    offsets: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Design:
    """All that the joint log-likelihood is made of.

    Attributes
    ----------
    response : str
        The identifier of the response.
    y : ndarray, shape (n,)
        The response: of trials, the numbers of successes.
    trials, weights : ndarray, shape (n,), or None
    parts : tuple of Part
        That of the mean, and that of the structural zeros, if there are any.
    left_out : int
        How many rows had missing values.
    """

    response: str
    y: Array
    trials: Array | None
    weights: Array | None
    parts: tuple[Part, ...]
    left_out: int

    @property
    def terms(self) -> tuple[Term, ...]:
        """All random terms."""
        return tuple(term for part in self.parts for term in part.terms)


def design(
    response: str,
    predictors: Mapping[str, Predictor],
    data: Any,
    family: str,
    weights: Any,
    offset: Any,
    missing: str,
) -> Design:
    """Evaluate a formula.

    Raises
    ------
    ValueError
        If the data do not fit the formula or the family; the message says what was expected.
    """
    frame = table.frame_of(data)
    names = Names()
    frame, weights, offset = _attached(frame, weights, offset)
    texts = [response.removeprefix("cbind"), *filter(None, (weights, offset))]
    for one in predictors.values():
        texts += [one.fixed, *one.offsets, *(term.effects for term in one.random)]
        texts += [f"`{name}`" for term in one.random for name in term.factors]
    used = table.check_columns(frame, texts)
    complete = table.without_missing(frame, used, missing)
    frame = table.without_unused(frame[complete], used)
    y, trials, weight = _response(response, frame, family, weights)
    if trials is None:
        _check_range(response, y, family, len(predictors) > 1, frame)
    parts = tuple(
        _part(suffix, one, frame, names, offset if suffix == "" else None, family)
        for suffix, one in predictors.items()
    )
    bare = columns_in(response)
    ident = names.new(bare[0] if bare == [response.strip("`")] else "y")
    return Design(ident, y, trials, weight, parts, int((~complete).sum()))


def _attached(frame: Frame, weights: Any, offset: Any) -> tuple[Frame, str | None, str | None]:
    """Arrays beside the table as further columns of it; the expressions of both."""
    told: list[str | None] = []
    for name, given in (("weights", weights), ("offset", offset)):
        if given is None or isinstance(given, str):
            told.append(given)
            continue
        if np.shape(given) != (len(frame),):
            raise ValueError(f"{name} must have shape ({len(frame)},), a number for each row")
        column = f"{name}="
        frame = frame.assign(**{column: np.asarray(given, dtype=float)})
        told.append(f"`{column}`")
    return frame, told[0], told[1]


def _response(
    text: str, frame: Frame, family: str, weights: str | None
) -> tuple[Array, Array | None, Array | None]:
    """Responses, trials, and the weights of log-likelihoods."""
    weight = None if weights is None else table.numbers(weights, frame)
    if weight is not None and not (weight >= 0.0).all():
        raise ValueError("weights must not be negative")
    if text.replace(" ", "").startswith("cbind("):
        if family != "binomial":
            raise ValueError("formula: cbind(successes, failures) is a response of family='binomial'")
        if weight is not None:
            raise ValueError("weights: cbind(successes, failures) has the numbers of trials already")
        both = split(text.strip().removeprefix("cbind").strip()[1:-1], [","])
        if len(both) != 2:
            raise ValueError("formula: cbind(successes, failures) has two columns")
        counts = [table.numbers(one, frame) for _, one in both]
        for (_, one), column in zip(both, counts, strict=True):
            _check(one, column, (column >= 0.0) & (column == np.floor(column)), "counts", frame)
        return counts[0], counts[0] + counts[1], None
    y = _column(text, frame, family)
    if family != "binomial" or weight is None:
        return y, None, weight
    wanted = "proportions of weights= trials, so that weights * y is a whole number"
    successes = np.rint(weight * y)
    is_whole = (weight == np.rint(weight)) & (np.abs(successes - weight * y) <= 1e-6)
    _check(text, y, is_whole & (y >= 0.0) & (y <= 1.0), wanted, frame)
    return successes, weight, None


def _column(text: str, frame: Frame, family: str) -> Array:
    """The response as numbers: of two categories, whether it is the second."""
    name = text.strip("`")
    if name in frame.columns and not _is_numeric(frame[name]):
        labels, codes = table.groups_of(frame, [name])
        if family == "binomial" and len(labels) == 2:
            return codes.astype(float)
        kind = "one of two categories, or a number" if family == "binomial" else "a number"
        raise ValueError(f"formula: the response {name} is {kind}; it has the categories {', '.join(labels)}")
    return table.numbers(text, frame)


def _is_numeric(column: Any) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return bool(is_numeric_dtype(column) or is_bool_dtype(column))


def _check(name: str, values: Array, fine: Array, wanted: str, frame: Frame) -> None:
    if not fine.all():
        at = int(np.argmin(fine))
        raise ValueError(
            f"formula: the response {name} must be {wanted}; it is {values[at]:g} in row {frame.index[at]!r}"
        )


def _check_range(name: str, y: Array, family: str, has_zi: bool, frame: Frame) -> None:
    """Refuse responses that the family does not have."""
    found = FAMILIES[family]
    fine = found.has(y)
    if has_zi and not found.is_discrete:  # zeros of their own beside a continuous response
        fine |= y == 0.0
    _check(name, y, fine, found.wanted, frame)


def _part(suffix: str, text: Predictor, frame: Frame, names: Names, offset: str | None, family: str) -> Part:
    made = table.matrix_of(text.fixed, frame)
    x, columns = np.asarray(made, dtype=float), tuple(map(str, made.columns))
    if columns:
        _check_rank(x, columns)
    offsets = (*text.offsets, *(() if offset is None else (offset,)))
    total = np.sum([table.numbers(one, frame) for one in offsets], axis=0) if offsets else None
    terms: list[Term] = []
    for one in text.random:
        terms.append(_term(one, frame, names, suffix, terms, family if suffix == "" else ""))
    return Part(suffix, x, columns, made.model_spec, tuple(terms), total, offsets)


def _check_rank(x: Array, columns: tuple[str, ...]) -> None:
    scale = np.linalg.norm(x, axis=0)
    if (scale == 0.0).any():
        raise ValueError(f"formula: the column {columns[int(np.argmin(scale))]} is 0 in every row")
    _, sizes, rows = np.linalg.svd(x / scale, full_matrices=False)
    if len(x) < len(columns) or sizes[-1] <= 1e-10 * sizes[0]:
        shares = np.abs(rows[-1])
        which = [name for name, share in zip(columns, shares, strict=True) if share > 1e-6 * shares.max()]
        raise ValueError(
            f"formula: the columns {', '.join(which)} depend on each other, so that their coefficients are "
            "not determined: leave one out"
        )


def _term(
    formula: RandomTerm, frame: Frame, names: Names, suffix: str, before: list[Term], family: str
) -> Term:
    levels, codes = table.groups_of(frame, formula.factors)
    if len(levels) < 2:
        raise ValueError(f"formula: the grouping {formula.group} has one level, {levels[0]}, and needs two")
    made = table.matrix_of(formula.effects, frame)
    matrix, columns = np.asarray(made, dtype=float), tuple(map(str, made.columns))
    if not columns:
        raise ValueError(f"formula: ({formula.effects} | {formula.group}) has no effects")
    if family == "gaussian" and len(levels) * len(columns) >= len(frame):
        raise ValueError(
            f"formula: ({formula.effects} | {formula.group}) has {len(levels) * len(columns)} random effects "
            f"for {len(frame)} rows, so that they cannot be told from the residuals"
        )
    same = [term for term in before if term.formula.factors == formula.factors]
    group = same[0].group if same else names.new(f"{formula.group}{suffix}")
    ident = f"{group}_{len(same) + 1}" if same else group
    kinds = ("b", "sd", "theta", "Z")
    return Term(
        formula,
        levels,
        columns,
        codes,
        matrix,
        made.model_spec,
        f"zi_{formula.group}" if suffix else formula.group,
        group,
        *(names.prefixed(kind, ident) for kind in kinds),
    )
