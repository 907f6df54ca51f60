"""All tables."""

from __future__ import annotations

from tapegrad.recording.standins import (
    autograds,
    compiled,
    curves,
    dataframes,
    densities,
    filters,
    maths,
    matrices,
    multivariates,
    numpys,
    quantiles,
    scipys,
    sparses,
    splines,
    variables,
)
from tapegrad.recording.standins.mechanism import StandIn

ALL: tuple[StandIn, ...] = (
    *numpys.TABLE,
    *maths.TABLE,
    *scipys.TABLE,
    *densities.TABLE,
    *filters.TABLE,
    *matrices.TABLE,
    *multivariates.TABLE,
    *quantiles.TABLE,
    *compiled.TABLE,
    *curves.TABLE,
    *splines.TABLE,
    *variables.TABLE,
    *dataframes.TABLE,
    *autograds.TABLE,
    *sparses.TABLE,
)
