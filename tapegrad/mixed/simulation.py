"""New responses of a mixed model, with new random effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.mixed.components import factor_of
from tapegrad.mixed.design import Part
from tapegrad.mixed.families import FAMILIES, LINKS
from tapegrad.mixed.model import MixedModel
from tapegrad.special import expit

Array = np.ndarray[Any, Any]


def predictor(part: Part, params: Mapping[str, Any], effects: Mapping[str, Array]) -> Array:
    """A linear predictor at some parameters and random effects."""
    eta = np.zeros(len(part.x)) if part.offset is None else part.offset
    if part.columns:
        eta = eta + part.x @ params[f"beta{part.suffix}"]
    for term in part.terms:
        eta = eta + (term.matrix * effects[term.b][term.codes]).sum(axis=1)
    return np.asarray(eta)


def simulated(model: MixedModel, params: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Array]:
    """Draw random effects, and responses given these: both under their names.

    Raises
    ------
    ValueError
        If log-likelihoods are weighted, or coefficients are integrated out: then there is no such draw.
    """
    if model.design.weights is not None:
        raise ValueError("simulation: responses of weighted log-likelihoods have no distribution")
    if model.is_restricted:
        raise ValueError("simulation: with REML the coefficients have no distribution; fit with REML=False")
    effects = {}
    for term in model.design.terms:
        draws = rng.normal(size=(len(term.levels), len(term.columns)))
        effects[term.b] = draws @ factor_of(term, params).T
    family = FAMILIES[model.family]
    etas = [predictor(part, params, effects) for part in model.design.parts]
    own = None if family.parameter is None else params[family.parameter]
    trials = np.ones(etas[0].size) if model.design.trials is None else model.design.trials
    y = family.draw(rng, LINKS[model.link].mean(etas[0]), own, trials)
    if len(etas) > 1:
        y = np.where(rng.uniform(size=y.size) < expit(etas[1]), 0.0, y)
    return {model.design.response: y, **effects}
