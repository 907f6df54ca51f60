"""Maximum likelihood in plain NumPy: trace once, replay value, gradient and Hessian."""

from tapegrad.entry import trace
from tapegrad.errors import (
    BranchWarning,
    LongTapeWarning,
    NonFiniteWarning,
    ReplayError,
    RetraceWarning,
    TraceError,
    UnrolledWarning,
    UnusedParameterWarning,
)
from tapegrad.function import TracedFunction
from tapegrad.mle import ConvergenceWarning, FitResult, StandardErrorWarning, compare, fit, load, save
from tapegrad.tape import Tape, TapeError, verify

__version__ = "0.1.0"

__all__ = [
    "BranchWarning",
    "ConvergenceWarning",
    "FitResult",
    "LongTapeWarning",
    "NonFiniteWarning",
    "ReplayError",
    "RetraceWarning",
    "StandardErrorWarning",
    "Tape",
    "TapeError",
    "TraceError",
    "TracedFunction",
    "UnrolledWarning",
    "UnusedParameterWarning",
    "compare",
    "fit",
    "load",
    "save",
    "trace",
    "verify",
]
