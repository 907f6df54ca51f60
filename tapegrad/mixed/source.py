"""The joint log-likelihood of a mixed model as the source of a NumPy function, and that function."""

from __future__ import annotations

import linecache
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from tapegrad.backends.written import comment, executed
from tapegrad.mixed.design import Design, Part, Term
from tapegrad.mixed.families import FAMILIES, LINKS

Array = np.ndarray[Any, Any]

_LONGEST: Final = 96  # characters of a line

# Where the functions come from that the source calls.
_IMPORTS = {
    "scipy.special": ("betaln", "log_ndtr", "ndtr"),
    "tapegrad.covariance": ("unstructured",),
    "tapegrad.special": ("expit", "log_expit"),
    "tapegrad.stats": (
        *("beta_mean", "gamma_mean", "multivariate_normal_chol", "nbinom_mu", "norm", "poisson"),
    ),
}


def joint_source(title: str, made: Design, family: str, link: str) -> str:
    """The source of the joint log-likelihood of data and random effects."""
    body = [line for part in made.parts for line in _predictor(part)]
    body += [*_density(made, family, link), *_effects(made.terms)]
    weighted = "(weights * loglik)" if made.weights is not None else "loglik"
    arguments = ", ".join([*parameters(made, family), made.response])
    lines = [f"def joint({arguments}):", *body, f"return {weighted}.sum() + density"]
    text = "\n    ".join(lines)
    return "\n".join([*_imports(text), "", *map(comment, [title, *_legend(made)]), text, ""])


def parameters(made: Design, family: str) -> list[str]:
    """The arguments of the joint log-likelihood: parameters, then random effects."""
    found = [f"beta{part.suffix}" for part in made.parts if part.columns]
    own = FAMILIES[family].parameter
    found += [] if own is None else [own]
    for term in made.terms:
        found += [term.sd, *([term.theta] if term.has_correlations else [])]
    return found + [term.b for term in made.terms]


def arrays(made: Design) -> dict[str, Array]:
    """The arrays that the source uses, by their names."""
    found: dict[str, Array | None] = {"trials": made.trials, "weights": made.weights}
    for part in made.parts:
        found |= {f"X{part.suffix}": part.x if part.columns else None, f"offset{part.suffix}": part.offset}
        for term in part.terms:
            found[term.group] = term.codes
            found[term.z] = None if term.is_intercept else term.matrix
            if term.matrix.shape[1] == 1 and not term.is_intercept:
                found[term.z] = term.matrix[:, 0]
    return {name: array for name, array in found.items() if array is not None}


def _predictor(part: Part) -> list[str]:
    eta = f"eta{part.suffix}"
    offset = [] if part.offset is None else [f"offset{part.suffix}"]
    fixed = [f"X{part.suffix} @ beta{part.suffix}"] if part.columns else []
    summands = [*fixed, *offset, *map(_effect, part.terms)]
    whole = f"{eta} = {' + '.join(summands)}"
    if len(whole) <= _LONGEST:
        return [whole]
    return [f"{eta} = {summands[0]}", *(f"{eta} = {eta} + {one}" for one in summands[1:])]


def _effect(term: Term) -> str:
    chosen = f"{term.b}[{term.group}]"
    if term.is_intercept:
        return chosen
    product = f"{term.z} * {chosen}"
    return product if term.matrix.shape[1] == 1 else f"({product}).sum(axis=1)"


def _density(made: Design, family: str, link: str) -> list[str]:
    """The lines that end in the log-likelihood of each row, given the random effects."""
    y, has_zi = made.response, len(made.parts) > 1
    found = FAMILIES[family]
    if family == "binomial":
        lines = _binomial(made, link)
    else:
        is_plain = link == "identity"
        lines = [] if is_plain else [f"mu = {LINKS[link].inverse}"]
        whole = found.density.replace("(y, mu", "(y, eta") if is_plain else found.density
        density = whole.replace("(y,", f"({y},")
        if has_zi and not found.is_discrete:
            lines += [f"is_zero = {y} == 0.0", f"inside = np.where(is_zero, {found.inside}, {y})"]
            density = whole.replace("(y,", "(inside,")
        lines.append(f"loglik = {density}")
    if not has_zi:
        return lines
    # The mixture exp(eta_zi) / (1 + exp(eta_zi)) of zeros and the rest, on the scale of logarithms.
    if found.is_discrete:
        mixed = f"np.where({y} == 0.0, np.logaddexp(eta_zi, loglik), loglik)"
    else:
        mixed = "np.where(is_zero, eta_zi, loglik)"
    return [*lines, f"loglik = {mixed} - np.logaddexp(0.0, eta_zi)"]


def _binomial(made: Design, link: str) -> list[str]:
    success, failure = LINKS[link].probabilities
    y = made.response
    lines = [f"log_p = {success}", f"log_q = {failure}"]
    if made.trials is None:
        return [*lines, f"loglik = {y} * log_p + (1.0 - {y}) * log_q"]
    choose = f"choose = -np.log1p(trials) - betaln(1.0 + trials - {y}, 1.0 + {y})"
    return [*lines, choose, f"loglik = choose + {y} * log_p + (trials - {y}) * log_q"]


def _effects(terms: Sequence[Term]) -> list[str]:
    """The log-density of the random effects."""
    lines = []
    for term in terms:
        factor = term.sd
        kind = "norm"
        if term.has_correlations:
            lines.append(f"chol = {term.sd}[:, None] * unstructured({term.theta})")
            factor, kind = "chol", "multivariate_normal_chol"
        before = "density + " if term is not terms[0] else ""
        lines.append(f"density = {before}{kind}.logpdf({term.b}, 0.0, {factor}).sum()")
    return lines


def _imports(text: str) -> list[str]:
    lines = ["import numpy as np"]
    for module, names in _IMPORTS.items():
        used = [name for name in names if re.search(rf"\b{name}\b", text)]
        lines += [f"from {module} import {', '.join(used)}"] if used else []
    return lines


def _legend(made: Design) -> list[str]:
    """What the arrays are that the function finds in its surroundings."""
    lines = []
    for part in made.parts:
        n, p = part.x.shape
        shown = ", ".join(part.columns[:6]) + (", ..." if p > 6 else "")
        lines += [f"X{part.suffix}: {n} rows, the columns {shown}"] if p else []
        for term in part.terms:
            lines.append(f"{term.group}: each row's {term.formula.group}, one of {len(term.levels)}")
            if not term.is_intercept:
                lines.append(f"{term.z}: the columns {', '.join(term.columns)}")
        if part.offset is not None:
            lines.append(f"offset{part.suffix}: {' + '.join(part.offsets)}")
    if made.trials is not None:
        lines.append("trials: each row's number of trials")
    if made.weights is not None:
        lines.append("weights: what each row's log-likelihood is multiplied by")
    return list(dict.fromkeys(lines))


def run(source: str, names: dict[str, Array]) -> Callable[..., Any]:
    """The function that the source defines, on these arrays."""
    name = f"joint log-likelihood {zlib.crc32(source.encode()):08x}"
    # So that messages and listings can quote its lines.
    linecache.cache[f"<{name}>"] = (len(source), None, source.splitlines(keepends=True), f"<{name}>")
    joint: Callable[..., Any] = executed(source, name, dict(names))["joint"]
    return joint
