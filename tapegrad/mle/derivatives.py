"""The Jacobian of a traced function as a matrix, with a word where it is NaN."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.traced import TracedFunction

Array: TypeAlias = npt.NDArray[np.float64]


def jacobian(function: TracedFunction, x: Array) -> Array:
    """The Jacobian of all elements of the outputs in all parameters, shape (m, p), at a flat vector.

    Warns
    -----
    NonFiniteWarning
        If some of it is NaN; the message names the entry where the first NaN arose.
    """
    found = function.jacobian_flat(x)
    if np.isnan(found).any():
        function.jacobian(x)  # which says where it comes from
    return found
