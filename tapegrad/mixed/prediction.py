"""Predictions of a mixed model for rows of data, also of groups that the fit has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from tapegrad.function.trace import trace_quietly
from tapegrad.mixed import table
from tapegrad.mixed.components import factor_of
from tapegrad.mixed.design import Part, Term
from tapegrad.mixed.families import LINKS
from tapegrad.mixed.model import MixedModel
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.delta import Derived, DerivedTogether, delta
from tapegrad.special import expit

Array = np.ndarray[Any, Any]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
_SHARES: Final = _WEIGHTS / _WEIGHTS.sum()
_WHICH = ("mean", "linear", "conditional", "zero", "zero_linear")
_NEW = ("raise", "zero", "spread", "mean")


class Asked(NamedTuple):
    """What is predicted: see `MixedResult.predict`."""

    which: str
    new_groups: str
    population: bool
    bias_correct: bool


@dataclass(frozen=True, eq=False)
class Rows:
    """A random term for some rows.

    Attributes
    ----------
    term : Term
    matrix : ndarray, shape (k, m)
    codes : ndarray of int, shape (k,)
        Their groups; 0 where these are new.
    labels : list of str
        The labels of their groups.
    is_new : ndarray of bool, shape (k,)
    """

    term: Term
    matrix: Array
    codes: Array
    labels: Sequence[str]
    is_new: Array


@dataclass(frozen=True, eq=False)
class Predicted:
    """A linear predictor for some rows: that of the mean, or of structural zeros."""

    part: Part
    x: Array
    offset: Array
    terms: tuple[Rows, ...]

    def value(self, params: Mapping[str, Any]) -> Any:
        """The linear predictor, with 0 for random effects of new groups; on tracers as well."""
        eta = self.x @ params[f"beta{self.part.suffix}"] + self.offset if self.part.columns else self.offset
        for rows in self.terms:
            effects = np.reshape(params[rows.term.b], (len(rows.term.levels), len(rows.term.columns)))
            known = np.where(rows.is_new[:, None], 0.0, rows.matrix)
            eta = eta + (known * effects[rows.codes]).sum(axis=1)
        return eta

    def spread(self, params: Mapping[str, Any]) -> Any:
        """The standard deviation of the random effects of new groups in it, and 0 without them."""
        variance: Any = np.zeros(len(self.x))
        for rows in self.terms:
            new = np.where(rows.is_new[:, None], rows.matrix, 0.0)
            scaled = new @ factor_of(rows.term, params)
            variance = variance + (scaled * scaled).sum(axis=1)
        has_any = np.any([np.zeros(len(self.x), dtype=bool), *(rows.is_new for rows in self.terms)], axis=0)
        return np.where(has_any, np.sqrt(np.where(has_any, variance, 1.0)), 0.0)


def predict(
    result: Estimate, model: MixedModel, newdata: Any, names: Any, offset: Any, asked: Asked
) -> Derived:
    """See `MixedResult.predict`."""
    _check(asked, model)
    parts, index = _parts(model, newdata, offset, asked)
    averages = asked.new_groups == "mean" and asked.which != "linear" and asked.which != "zero_linear"

    def mean(eta: Any, eta_zi: Any) -> Any:
        return _wanted(asked.which, LINKS[model.link].mean, eta, eta_zi)

    def predicted(**params: Any) -> Any:
        etas = [part.value(params) for part in parts]
        if not averages:
            return mean(etas[0], etas[-1])
        spreads = [part.spread(params) for part in parts]
        return _averaged(asked.which, LINKS[model.link].mean, etas, spreads)

    told = delta(result, predicted, names or index, bias_correct=asked.bias_correct)
    if asked.new_groups == "spread":
        return _with_spread(told, result, parts, mean)
    return told


def _check(asked: Asked, model: MixedModel) -> None:
    for name, given, known in (("which", asked.which, _WHICH), ("new_groups", asked.new_groups, _NEW)):
        if given not in known:
            raise ValueError(f"{name}: one of {', '.join(known)}, not {given!r}")
    if asked.which.startswith("zero") and len(model.design.parts) == 1:
        raise ValueError(f"which: {asked.which!r} needs a model with zi=")


def _wanted(which: str, mean: Callable[[Any], Any], eta: Any, eta_zi: Any) -> Any:
    if which == "linear":
        return eta
    if which == "zero_linear":
        return eta_zi
    if which == "zero":
        return expit(eta_zi)
    value = mean(eta)
    return value if which == "conditional" or eta_zi is eta else value * expit(-eta_zi)


def _averaged(which: str, mean: Callable[[Any], Any], etas: list[Any], spreads: list[Any]) -> Any:
    """The mean over normal linear predictors, by Gauss-Hermite quadrature."""

    def over(function: Callable[[Any], Any], i: int) -> Any:
        points = etas[i][:, None] + spreads[i][:, None] * _NODES
        return (function(points) * _SHARES).sum(axis=1)

    if which == "zero":
        return over(expit, 1)
    value = over(mean, 0)
    return value if which == "conditional" or len(etas) == 1 else value * over(lambda eta: expit(-eta), 1)


def _parts(model: MixedModel, newdata: Any, offset: Any, asked: Asked) -> tuple[list[Predicted], list[str]]:
    if newdata is None:
        if offset is not None:
            raise ValueError("offset: it goes with new data")
        found = [_of_fit(part, asked) for part in model.design.parts]
        return found, list(map(str, range(len(found[0].x))))
    frame = table.frame_of(newdata)
    if not len(frame):
        raise ValueError("new data: the table has no rows")
    if offset is not None:
        frame = frame.assign(**{"offset=": np.asarray(offset, dtype=float)})
    found = [_of_rows(part, frame, asked) for part in model.design.parts]
    return found, [str(label) for label in frame.index]


def _of_fit(part: Part, asked: Asked) -> Predicted:
    none = np.zeros(len(part.x), dtype=bool)
    rows = [
        Rows(term, term.matrix, term.codes, [term.levels[i] for i in term.codes], none) for term in part.terms
    ]
    offset = np.zeros(len(part.x)) if part.offset is None else part.offset
    return Predicted(part, part.x, offset, () if asked.population else tuple(rows))


def _of_rows(part: Part, frame: Any, asked: Asked) -> Predicted:
    if "`offset=`" in part.offsets and "offset=" not in frame.columns:
        raise ValueError("new data: the fit had an offset as an array; give one for these rows by offset=")
    terms = () if asked.population else part.terms
    texts = [*part.offsets, *(f"`{name}`" for term in terms for name in term.formula.factors)]
    for text in texts:
        table.check_columns(frame, [text])
    for name in {name for term in terms for name in term.formula.factors}:
        table.without_missing(frame, [name], "raise")
    x = table.again(part.spec, frame)
    offset = sum((table.numbers(one, frame) for one in part.offsets), np.zeros(len(frame)))
    return Predicted(part, x, offset, tuple(_rows(term, frame, asked) for term in terms))


def _rows(term: Term, frame: Any, asked: Asked) -> Rows:
    labels, codes = table.groups_of(frame, term.formula.factors)
    place = {level: i for i, level in enumerate(term.levels)}
    mine = [labels[i] for i in codes]
    is_new = np.array([label not in place for label in mine])
    if asked.new_groups == "raise" and is_new.any():
        unseen = list(dict.fromkeys(label for label, new in zip(mine, is_new, strict=True) if new))
        shown = ", ".join(unseen[:5]) + (f" and {len(unseen) - 5} more" if len(unseen) > 5 else "")
        raise ValueError(
            f"new data: the fit has not seen {term.formula.group} {shown}. new_groups='zero' predicts for a "
            "typical one, 'spread' for one to come, with its variance, and 'mean' for the mean over such ones"
        )
    matrix = table.again(term.spec, frame)
    return Rows(term, matrix, np.array([place.get(label, 0) for label in mine]), mine, is_new)


def _with_spread(
    told: Derived, result: Estimate, parts: list[Predicted], mean: Callable[[Any, Any], Any]
) -> Derived:
    """The same, with the variance of the random effects of new groups in the standard errors."""
    assert isinstance(told, DerivedTogether)
    params = result.require_model("predictions").natural_params(result.free_estimates)
    cov = told.cov_elements.copy()
    # Groups that are new have a mode of 0; those of the others stand in the predictor.
    division = result.require_model("predictions").division
    assert division is not None
    assert result.modes is not None
    whole = np.empty(division.structure.size)
    whole[division.rest], whole[division.random] = result.x, result.modes
    values = division.structure.unravel(whole)
    etas = [part.value(values) for part in parts]
    for i, part in enumerate(parts):

        def total(eta: Any, i: int = i) -> Any:
            at = [eta if j == i else etas[j] for j in range(len(parts))]
            return mean(at[0], at[-1]).sum()

        slopes = trace_quietly(total, dict(eta=etas[i])).grad(dict(eta=etas[i]))["eta"]
        for rows in part.terms:
            new = np.where(rows.is_new[:, None], rows.matrix, 0.0)
            scaled = slopes[:, None] * (
                new @ factor_of(rows.term, params if rows.term.sd in params else values)
            )
            same = np.array(rows.labels)[:, None] == np.array(rows.labels)
            cov += np.where(same, scaled @ scaled.T, 0.0)
    return replace(told, cov_elements=cov)
