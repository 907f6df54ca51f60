"""Maximum likelihood in plain NumPy: trace once, replay value, gradient and Hessian."""

from importlib import import_module
from types import ModuleType

from tapegrad.errors import (
    BranchWarning,
    CompilationWarning,
    DiscreteWarning,
    LongTapeWarning,
    NonFiniteWarning,
    ReplayError,
    RetraceWarning,
    TraceError,
    UnrolledWarning,
    UnusedParameterWarning,
)
from tapegrad.function.trace import trace
from tapegrad.function.traced import TracedFunction
from tapegrad.loops.functions import map, scan
from tapegrad.marginal.laplace import Laplace, laplace
from tapegrad.mixed.glmm import glmm
from tapegrad.mle import ConvergenceWarning, FitResult, StandardErrorWarning, compare, fit, load, save
from tapegrad.tape.tape import Tape, TapeError
from tapegrad.tape.verify import verify

__version__ = "0.1.0"

__all__ = [
    "BranchWarning",
    "CompilationWarning",
    "ConvergenceWarning",
    "DiscreteWarning",
    "FitResult",
    "Laplace",
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
    "glmm",
    "laplace",
    "load",
    "map",
    "save",
    "scan",
    "trace",
    "verify",
]

# Loaded when first asked for, so that ``tg.stats`` needs no import of its own.
_MODULES = ("covariance", "forward", "graph", "mle", "ops", "special", "stats", "testing")


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return import_module(f"tapegrad.{name}")
    raise AttributeError(f"module 'tapegrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
