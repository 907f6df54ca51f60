"""Maximum likelihood in plain NumPy: trace once, replay value, gradient and Hessian."""

from tapegrad.errors import (
    NonFiniteWarning,
    ReplayError,
    RetraceWarning,
    TraceError,
    UnusedParameterWarning,
)
from tapegrad.function import TracedFunction, trace
from tapegrad.tape import Tape, TapeError, verify

__version__ = "0.1.0"

__all__ = [
    "NonFiniteWarning",
    "ReplayError",
    "RetraceWarning",
    "Tape",
    "TapeError",
    "TraceError",
    "TracedFunction",
    "UnusedParameterWarning",
    "trace",
    "verify",
]
