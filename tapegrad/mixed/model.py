"""A mixed model by formula: the joint log-likelihood, where to start, and what is random."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.mixed import source, terms
from tapegrad.mixed.design import Design, Part, Term, design
from tapegrad.mixed.families import FAMILIES, LINKS, chosen
from tapegrad.mle.transforms import Transform, positive

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, repr=False)
class MixedModel:
    """What `tapegrad.glmm` fits: all that `tapegrad.fit` is called with.

    Attributes
    ----------
    formula : str
    family, link : str
    joint : callable
        The joint log-likelihood of data and random effects: a NumPy function, of which `joint_source()` is
        the source.
    start : dict
        Parameters and random effects, at their start values.
    random : tuple of str
        The names of the random effects among them.
    data : dict
        The response, by its name.
    design : Design
        The arrays that the formula has made of its data.
    is_restricted : bool
        Whether the coefficients are integrated out, too (REML).
    """

    formula: str
    family: str
    link: str
    joint: Callable[..., Any]
    start: dict[str, Any]
    random: tuple[str, ...]
    data: dict[str, Array]
    design: Design
    is_restricted: bool
    _source: str

    def joint_source(self) -> str:
        """The joint log-likelihood as NumPy source.

        It runs where the names of `arrays` are known: ``exec(model.joint_source(), model.arrays)`` defines
        `joint` once more.
        """
        return self._source

    @property
    def arrays(self) -> dict[str, Array]:
        """The arrays that the source uses besides parameters and response, by their names."""
        return source.arrays(self.design)

    @property
    def transforms(self) -> dict[str, Transform]:
        """Which parameters are above 0."""
        own = FAMILIES[self.family].parameter
        names = [*([] if own is None else [own]), *(term.sd for term in self.design.terms)]
        return dict.fromkeys(names, positive)

    @property
    def labels(self) -> dict[str, list[str]]:
        """What the elements of parameters and random effects are called in results."""
        found, own = {}, FAMILIES[self.family].parameter
        for part in self.design.parts:
            prefix = "zi_" if part.suffix else ""
            names = [f"{prefix}{name}" for name in part.columns]
            if self.is_restricted:
                names = [f"beta[{name}]" for name in names]
            if names:
                found[f"beta{part.suffix}"] = names
            if own in part.columns:
                found[str(own)] = [f"{own} ({self.family})"]
            for term in part.terms:
                found |= _labels_of(term, part)
        return found

    @property
    def own_place(self) -> int:
        """Where the family's own parameter stands among the estimates: behind the coefficients."""
        return 0 if self.is_restricted else sum(part.x.shape[1] for part in self.design.parts)

    def describe(self) -> str:
        """The formula, the family and its link."""
        return f"{self.formula}    family: {self.family} ({self.link})"

    def __str__(self) -> str:
        return f"mixed model {self.describe()}\n{self._source}"

    __repr__ = __str__


def _labels_of(term: Term, part: Part) -> dict[str, list[str]]:
    """Such as "sd_site" and "site[3]"; with several effects "sd_site[x]" and "site[3, x]"."""
    same = [one for one in part.terms if one.group == term.group]
    group = term.label
    if len(same) == 1 and term.is_intercept:
        return {term.sd: [term.sd], term.b: [f"{group}[{level}]" for level in term.levels]}
    effects = [f"{group}[{level}, {column}]" for level in term.levels for column in term.columns]
    spreads = [f"sd_{term.group}[{column}]" for column in term.columns]
    return {term.sd: spreads, term.b: effects}


def in_words(text: str, model: MixedModel) -> str:
    """A message with the names of results in place of those of the source, such as ``beta[1]``."""
    names = {}
    for label, told in model.labels.items():
        shape = np.shape(model.start[label])
        for index, name in zip(np.ndindex(shape), told, strict=True):
            names[f"{label}[{','.join(map(str, index))}]" if shape else label] = name
    return re.sub(r"\w+\[[\d,]+\]|\w+", lambda found: names.get(found[0], found[0]), text)


def make_model(
    formula: str,
    data: Any,
    family: str = "gaussian",
    *,
    link: str | None = None,
    zi: str | None = None,
    offset: Any = None,
    weights: Any = None,
    REML: bool = False,  # the name that everybody knows
    missing: str = "raise",
) -> MixedModel:
    """The model of a formula; the arguments are those of `tapegrad.glmm`."""
    family, link = chosen(family, link)
    if REML and (family != "gaussian" or link != "identity" or zi is not None):
        raise ValueError("REML: it is for family='gaussian' with the identity link, and without zi=")
    if zi is not None and family == "gaussian":
        raise ValueError("zi: zeros stand out in counts, proportions or positive responses, not in gaussian")
    response, predictor = terms.parse(formula)
    predictors = {"": predictor}
    if zi is not None:
        predictors["_zi"] = terms.parse_predictor(zi)
    for one in predictors.values():
        if one.fixed in ("0", "-1", "- 1") and not (one.random or one.offsets):
            raise ValueError("formula: nothing is left of the linear predictor; leave zi= out for no zeros")
    made = design(response, predictors, data, family, weights, offset, missing)
    random = tuple(term.b for term in made.terms)
    if not random:
        raise ValueError(
            f"formula: no random term in {formula!r}, such as (1 | group); without one, write the "
            "log-likelihood for tapegrad.fit"
        )
    zero_inflated = "" if zi is None else f", zeros by ~ {zi.strip().removeprefix('~').strip()}"
    title = f"{formula.strip()}{zero_inflated}"
    text = source.joint_source(f"{title}, family {family} ({link})", made, family, link)
    return MixedModel(
        title,
        family,
        link,
        source.run(text, source.arrays(made)),
        _start(made, family, link),
        (*random, *(["beta"] if REML and made.parts[0].columns else [])),
        {made.response: made.y},
        made,
        bool(REML),
        text,
    )


def _start(made: Design, family: str, link: str) -> dict[str, Any]:
    """Coefficients by least squares on the scale of the link, and spreads of that scale's size."""
    found: dict[str, Any] = {}
    shares = made.y if made.trials is None else made.y / np.maximum(made.trials, 1.0)
    has_zi = len(made.parts) > 1
    used = shares > 0.0 if has_zi and not FAMILIES[family].is_discrete else np.ones(shares.size, dtype=bool)
    part = made.parts[0]
    with np.errstate(all="ignore"):  # a response at the edge of the link's range
        target = LINKS[link].of(FAMILIES[family].near(np.where(used, shares, np.mean(shares[used]))))
        middle = float(LINKS[link].of(np.mean(shares[used])))
    target = np.where(np.isfinite(target), target, middle if np.isfinite(middle) else 0.0)
    target = target - (0.0 if part.offset is None else part.offset)
    beta = np.linalg.lstsq(part.x[used], target[used], rcond=None)[0]
    spread = float(np.std(target[used] - part.x[used] @ beta)) if family == "gaussian" else 1.0
    spread = spread if spread > 0.0 else 1.0
    if beta.size:
        found["beta"] = beta
    if has_zi and made.parts[1].columns:
        found["beta_zi"] = np.zeros(len(made.parts[1].columns))
    own = FAMILIES[family].parameter
    if own is not None:
        scale = float(np.std(made.y - LINKS[link].mean(part.x @ beta))) if family == "gaussian" else 1.0
        found[own] = scale if scale > 0.0 else 1.0
    for term in made.terms:
        sizes = np.sqrt(np.mean(term.matrix**2, axis=0))
        sd = 0.5 * spread / np.where(sizes > 0.0, sizes, 1.0)
        found[term.sd] = float(sd[0]) if sd.size == 1 else sd
        if term.has_correlations:
            found[term.theta] = np.zeros(sd.size * (sd.size - 1) // 2)
    for term in made.terms:
        count = len(term.columns)
        found[term.b] = np.zeros(len(term.levels) if count == 1 else (len(term.levels), count))
    return found
