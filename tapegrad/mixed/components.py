"""Variance components of a mixed model: standard deviations and correlations of its random effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.covariance import unstructured
from tapegrad.mixed.design import Term
from tapegrad.mixed.families import FAMILIES
from tapegrad.mixed.model import MixedModel
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.delta import derive
from tapegrad.mle.tables import text_table

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, repr=False)
class Component:
    """The standard deviations of the effects of one random term, or the family's own parameter.

    Attributes
    ----------
    group : str
        The grouping; "Residual" or the family for its own parameter.
    effects : tuple of str
    sd : ndarray, shape (m,)
        Standard deviations; the value of the family's own parameter.
    bse : ndarray, shape (m,)
        Their standard errors.
    corr : ndarray, shape (m, m)
        The correlation matrix of the effects.
    corr_bse : ndarray, shape (m, m)
        The standard errors of the correlations, by the delta method; 0 on the diagonal.
    """

    group: str
    effects: tuple[str, ...]
    sd: Array
    bse: Array
    corr: Array
    corr_bse: Array

    @property
    def cov(self) -> Array:
        """The covariance matrix of the effects, shape (m, m)."""
        return np.asarray(self.corr * np.outer(self.sd, self.sd))


class VarianceComponents(tuple[Component, ...]):
    """All components of a mixed model; print it."""

    def __str__(self) -> str:
        return "\n".join(component_lines(self))

    __repr__ = __str__


def correlation_of(term: Term, params: Any) -> Any:
    """The correlation matrix of a term's effects; on tracers as well."""
    if not term.has_correlations:
        return np.eye(len(term.columns))
    factor = unstructured(params[term.theta])
    return factor @ factor.T


def factor_of(term: Term, params: Any) -> Any:
    """The Cholesky factor of the covariance of a term's effects; on tracers as well."""
    factor = unstructured(params[term.theta]) if term.has_correlations else np.eye(len(term.columns))
    return np.reshape(params[term.sd], (-1, 1)) * factor


def variance_components(result: Estimate, model: MixedModel) -> VarianceComponents:
    """The variance components of a fit."""
    cov, found = result.cov_where_determined(), []
    for term in model.design.terms:

        def spreads(term: Term = term, **params: Any) -> Any:
            sd = np.reshape(params[term.sd], (-1,))
            return np.concatenate([sd, np.reshape(correlation_of(term, params), (-1,))])

        told = derive(spreads, result.params, cov)
        moved = result.moves_along_flat(told.jacobian)
        errors, m = np.where(moved, np.nan, told.bse), len(term.columns)
        corr, corr_bse = told.x[m:].reshape(m, m), errors[m:].reshape(m, m)
        found.append(Component(term.label, term.columns, told.x[:m], errors[:m], corr, corr_bse))
    own = FAMILIES[model.family].parameter
    if own is not None:
        place = model.own_place
        group = "Residual" if own == "sigma" else model.family
        name = "" if own == "sigma" else own
        value, error = result.x[[place]], result.bse[[place]]
        found.append(Component(group, (name,), value, error, np.eye(1), np.zeros((1, 1))))
    return VarianceComponents(found)


def component_lines(found: VarianceComponents) -> list[str]:
    """The table of them, as lme4 prints it, with standard errors."""
    widest = max(len(one.effects) for one in found)
    corr_heads = ["Corr", *[""] * (widest - 2)] if widest > 1 else []
    rows = [("Groups", "Effect", "Std. Dev.", "Std. Error", *corr_heads)]
    for one in found:
        has_corr = not np.array_equal(one.corr, np.eye(len(one.effects)))
        for i, effect in enumerate(one.effects):
            corr = [f"{one.corr[i, j]:.3f}" if has_corr and j < i else "" for j in range(max(widest - 1, 0))]
            numbers = (f"{one.sd[i]:.5g}", f"{one.bse[i]:.4g}")
            rows.append(("" if i else one.group, effect, *numbers, *corr))
    # The effects stand to the left, as the groups do.
    width = max(len(row[1]) for row in rows)
    return text_table([(row[0], row[1].ljust(width), *row[2:]) for row in rows])
