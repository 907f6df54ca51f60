"""Ufuncs of scipy.special that have no public name, and that scipy.stats calls."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import _ufuncs

from tapegrad.ops.elementwise import expm1
from tapegrad.ops.registry import Per, elementwise

# ``log(1 - exp(x))`` for negative x.
log1mexp = elementwise(
    "log1mexp",
    _ufuncs._log1mexp,
    (-1.0, Per(lambda out, x: expm1(-x))),
    samples=((np.array([-0.3, -2.0, -30.0]),),),
)
