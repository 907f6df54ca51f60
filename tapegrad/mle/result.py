"""What a fit returns: its data, and a verb for each analysis."""

import os
from dataclasses import dataclass

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer import (
    accuracy,
    delta,
    effects,
    forecast,
    hypotheses,
    impacts,
    limits,
    onestep,
    predictions,
    profile,
)
from tapegrad.mle.infer.random import RandomEffects, joint_precision, random_effects
from tapegrad.mle.report import diagnose, intervals, storage, summary
from tapegrad.mle.report.labelled import Labelled
from tapegrad.mle.resample import simulation
from tapegrad.tape.tape import Tape


@dataclass(frozen=True, eq=False, repr=False)
class FitResult(Estimate):
    # A verb is a function of an `Estimate`, which stands here as a method, with its own docstring.
    __doc__ = Estimate.__doc__

    conf_int = intervals.conf_int
    profile = profile.profile
    expected_info = simulation.expected_information

    wald_test = hypotheses.wald_test
    lr_test = hypotheses.lr_test
    score_test = hypotheses.score_test

    delta = delta.delta
    predict = predictions.predict
    effects = effects.effects
    forecast = forecast.forecast
    limit = limits.limit
    impacts = impacts.impacts

    @property
    def random(self) -> RandomEffects:
        """The random effects: modes, standard errors, names.

        Raises
        ------
        ValueError
            If the model has none.
        """
        return random_effects(self)

    joint_precision = joint_precision
    one_step_residuals = onestep.one_step_residuals
    check_laplace = accuracy.check_laplace

    diagnose = diagnose.diagnose
    coverage = simulation.coverage

    to_dict = summary.as_dict
    summary = summary.summarize
    save = storage.save

    @property
    def labelled(self) -> Labelled:
        """The same under the parameters' names: pandas objects, or plain arrays where pandas is missing."""
        return Labelled(self)

    def __str__(self) -> str:
        return str(self.summary())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def load(path: str | os.PathLike[str]) -> FitResult | Tape:
    """Read what `save` wrote.

    Returns
    -------
    FitResult or Tape

    Raises
    ------
    StorageError
        If the file is not one that `save` wrote, or is damaged, or was written by a later version.
    OSError
        If it cannot be read.
    """
    found = storage.read(path)
    return found if isinstance(found, Tape) else FitResult(**vars(found))
