"""All tables."""

from __future__ import annotations

from tapegrad.recording.standins import dataframes, densities, maths, normals, numpys, scipys, sparses
from tapegrad.recording.standins.mechanism import StandIn

ALL: tuple[StandIn, ...] = (
    *numpys.TABLE,
    *maths.TABLE,
    *scipys.TABLE,
    *densities.TABLE,
    *normals.TABLE,
    *dataframes.TABLE,
    *sparses.TABLE,
)
