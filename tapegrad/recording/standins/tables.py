"""All tables."""

from __future__ import annotations

from tapegrad.recording.standins import (
    autograds,
    dataframes,
    densities,
    maths,
    multivariates,
    numpys,
    quantiles,
    scipys,
    variables,
)
from tapegrad.recording.standins.mechanism import StandIn

ALL: tuple[StandIn, ...] = (
    *numpys.TABLE,
    *maths.TABLE,
    *scipys.TABLE,
    *densities.TABLE,
    *multivariates.TABLE,
    *quantiles.TABLE,
    *variables.TABLE,
    *dataframes.TABLE,
    *autograds.TABLE,
)
