"""The errors and warnings that users meet."""

from __future__ import annotations


class TraceError(TypeError):
    """A step of the user's function cannot be recorded; the message says where, and what to write instead."""


class ReplayError(RuntimeError):
    """The tape does not reproduce the user's function (it draws random numbers, or writes through a view)."""


class RetraceWarning(RuntimeWarning):
    """A branch changes so often that tracing anew costs more than replaying saves."""


class BranchWarning(RuntimeWarning):
    """A derivative is taken on a branch that holds at single points, such as ``if x == 0.0``."""


class UnrolledWarning(RuntimeWarning):
    """An operation on arrays is recorded number by number; the message says what to write instead."""


class LongTapeWarning(RuntimeWarning):
    """A tape has so many steps on single numbers that deriving it takes long."""


class UnusedParameterWarning(UserWarning):
    """The result does not depend on a parameter."""


class DiscreteWarning(UserWarning):
    """A random effect is rounded, and cannot be integrated out as a real number."""


class NonFiniteWarning(RuntimeWarning):
    """A result is NaN; the message names the entry where the first one arose."""


class CompilationWarning(RuntimeWarning):
    """The C compiler failed, and NumPy computes instead; the message shows what the compiler says."""
