"""The fit of a mixed model: a `FitResult` that knows its formula."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtr

from tapegrad.mixed import prediction
from tapegrad.mixed.components import VarianceComponents, component_lines, variance_components
from tapegrad.mixed.model import MixedModel, in_words
from tapegrad.mixed.simulation import simulated
from tapegrad.mle.infer.delta import Derived
from tapegrad.mle.levels import normal_intervals
from tapegrad.mle.report.summary import (
    HEADER,
    LEGEND,
    coefficient_columns,
    criteria,
    ending,
    integrated_by,
    marks_of,
)
from tapegrad.mle.result import FitResult
from tapegrad.mle.tables import Table

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, repr=False)
class MixedResult(FitResult):
    """The fit of a mixed model by formula: a `FitResult`, and what follows from the formula.

    Attributes
    ----------
    mixed : MixedModel or None
        The joint log-likelihood, its start values and arrays; None in a fit that was unpickled.
    """

    mixed: MixedModel | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "mixed": None}

    def require_mixed(self, what: str) -> MixedModel:
        """The model by formula.

        Raises
        ------
        ValueError
            If this result was unpickled: `what` then needs a new fit.
        """
        if self.mixed is None:
            raise ValueError(f"{what} needs the model, which is not stored with a result: fit again")
        return self.mixed

    def joint_source(self) -> str:
        """The joint log-likelihood that was fitted, as NumPy source."""
        return self.require_mixed("the source").joint_source()

    @property
    def fixed_effects(self) -> tuple[tuple[str, ...], Array, Array]:
        """Names, estimates and standard errors of the coefficients, those of structural zeros last."""
        is_restricted, names, values = self._coefficients()
        errors = self.random.bse if is_restricted else self.bse
        return names, values, errors[self._places()]

    def _places(self) -> Array:
        model = self.require_mixed("coefficients")
        if model.is_restricted and model.design.parts[0].columns:
            return np.array(self.random.places("beta"))
        return np.arange(sum(part.x.shape[1] for part in model.design.parts))

    def _coefficients(self) -> tuple[bool, tuple[str, ...], Array]:
        model, places = self.require_mixed("coefficients"), self._places()
        if model.is_restricted:
            names = [self.random.names[i].removeprefix("beta[").removesuffix("]") for i in places]
            return True, tuple(names), self.random.x[places]
        return False, tuple(self.names[i] for i in places), self.x[places]

    @property
    def variance_components(self) -> VarianceComponents:
        """Standard deviations and correlations of the random effects, and the family's own parameter."""
        return variance_components(self, self.require_mixed("variance components"))

    @property
    def random_effects(self) -> dict[str, Any]:
        """The modes of the random effects: for each grouping a pandas DataFrame, a row for each group."""
        import pandas

        model = self.require_mixed("random effects")
        found: dict[str, Any] = {}
        at = 0
        for term in model.design.terms:
            size = len(term.levels) * len(term.columns)
            table = self._modes(at, size).reshape(len(term.levels), -1)
            frame = pandas.DataFrame(table, index=list(term.levels), columns=list(term.columns))
            before = found.get(term.label)
            found[term.label] = frame if before is None else before.join(frame)
            at += size
        return found

    def _modes(self, first: int, size: int) -> Array:
        start = 0
        if self.require_mixed("modes").is_restricted:  # the coefficients stand before them
            start = len(self._places())
        return self.random.x[start + first : start + first + size]

    def simulator(self, params: Any, rng: np.random.Generator) -> dict[str, Array]:
        """New responses at some parameters, for `check_consistency`, `bootstrap` and `coverage`."""
        return simulated(self.require_mixed("simulation"), params, rng)

    def predict(  # type: ignore[override]  # rows of a table, where others take a function
        self,
        newdata: Any = None,
        names: Any = None,
        *,
        which: str = "mean",
        new_groups: str = "raise",
        population: bool = False,
        offset: Any = None,
        bias_correct: bool = False,
    ) -> Derived:
        """Predictions for rows of data, with standard errors.

        Parameters
        ----------
        newdata : table or dict of columns, optional
            Those of the fit where it is not given. A function of parameters and random effects is
            predicted as by `FitResult.predict`.
        names : sequence of str, optional
            What to call the rows: the index of the table where it is not given.
        which : {"mean", "linear", "conditional", "zero", "zero_linear"}
            The mean; the linear predictor; with zero inflation also the mean without structural zeros, their
            probability, and the linear predictor of it.
        new_groups : {"raise", "zero", "spread", "mean"}
            For groups that the fit has not seen: refuse them; random effects of 0, a typical group; the same
            with their variance in the standard errors, for one group to come; or the mean over such groups.
        population : bool
            Leave out the random effects of all groups (R's ``re.form = NA``).
        offset : array_like, optional
            Where the fit had one as an array.
        bias_correct : bool
            The mean over the random effects instead of the value at their modes, see `delta`.

        Returns
        -------
        Derived

        Raises
        ------
        ValueError
            If the data do not fit the formula, or hold new groups or categories.
        """
        if callable(newdata):
            return self.delta(newdata, names, bias_correct=bias_correct)
        model = self.require_mixed("predictions")
        asked = prediction.Asked(which, new_groups, population, bias_correct)
        return prediction.predict(self, model, newdata, names, offset, asked)

    def summary(self, alpha: float | None = None, *, stars: bool = True) -> Table:
        """The tables of coefficients and of variance components.

        Parameters
        ----------
        alpha : float, optional
            One minus the level of Wald's intervals, which are shown if this is given.
        stars : bool
            Whether to mark small p-values.
        """
        if self.mixed is None:
            return super().summary(alpha, stars=stars)
        names, x, bse = self.fixed_effects
        held = np.zeros(x.size, dtype=bool) if self.mixed.is_restricted else self.is_fixed[: x.size]
        columns, heads = coefficient_columns(names, x, bse, held), list(HEADER)
        if alpha is not None:
            heads += [f"{100.0 * share:.6g} %" for share in (alpha / 2.0, 1.0 - alpha / 2.0)]
            columns += [[f"{end:.6g}" for end in ends] for ends in normal_intervals(x, bse, alpha).T]
        starred = stars and self.converged  # what is no maximum has no significant coefficients
        if stars:
            with np.errstate(divide="ignore", invalid="ignore"):
                pvalues = 2.0 * ndtr(-np.abs(np.where(held, np.nan, x / bse)))
            columns.append(marks_of(pvalues) if starred else [""] * len(names))
        return Table(
            header=(*heads, *(("",) if stars else ())),
            rows=tuple(zip(*columns, strict=True)),
            title=self._title(),
            notes=(*((LEGEND,) if starred else ()), *self._notes(), criteria(self), *ending(self)),
            marks=stars,
        )

    def _title(self) -> str:
        model = self.require_mixed("the title")
        how = "restricted maximum likelihood" if model.is_restricted else "maximum likelihood"
        return f"Mixed model by {how}: {model.describe()}"

    def _notes(self) -> list[str]:
        """The variance components, and a line on the random effects."""
        made = self.require_mixed("the notes").design
        counts = ", ".join(f"{len(term.levels):,} {term.label}" for term in made.terms)
        integrated = f"Random effects integrated out by {integrated_by(self.quadrature)}; groups: {counts}"
        dropped = [f"{made.left_out} rows with missing values left out"] if made.left_out else []
        return [*component_lines(self.variance_components), integrated, *dropped]


def with_labels(result: FitResult, model: MixedModel) -> MixedResult:
    """A fit under the names of the formula's columns and groups."""
    told = {**vars(result), "model": model.formula, "message": in_words(result.message, model)}
    return MixedResult(**told, mixed=model).renamed(**model.labels)
