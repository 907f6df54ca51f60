"""The ufuncs of `scipy.special`, as they are.

Where the environment variable SCIPY_ARRAY_API is set, the public names are Python functions that look for the
library that an array belongs to. Here stand the ufuncs, and beside them what is a Python function anyway.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import special as _public
from scipy.special import _ufuncs


def _raw(name: str) -> Any:
    inner = getattr(_ufuncs, "psi" if name == "digamma" else name, None)
    return inner if isinstance(inner, np.ufunc) else getattr(_public, name)


special: Any = SimpleNamespace(**{name: _raw(name) for name in _public.__all__})
