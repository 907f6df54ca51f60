"""The warnings of a fit, given at the line of the user's that led to them."""

import sys
import warnings

from tapegrad.recording.frames import is_user_code


class StandardErrorWarning(RuntimeWarning):
    """The observed information is not positive definite: the standard errors are NaN."""


class ConvergenceWarning(RuntimeWarning):
    """A fit has stopped where the log-likelihood can still be raised."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's that led here, however deep in the package the reason was found."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and not is_user_code(frame.f_code):  # through SciPy's optimisers, too
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
