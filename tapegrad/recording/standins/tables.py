"""All tables."""

from __future__ import annotations

from tapegrad.recording.standins import dataframes, maths, numpys
from tapegrad.recording.standins.mechanism import StandIn

ALL: list[StandIn] = [*numpys.TABLE, *maths.TABLE, *dataframes.TABLE]
