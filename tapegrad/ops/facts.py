"""What NumPy's functions tell about the types, the kind and the shape of arrays, which takes no computing."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.registry import Recordable, implements
from tapegrad.ops.shaping import shape_of
from tapegrad.ops.trigonometric import arctan2


def _typed(x: Any) -> Any:
    """An operand, or the dtype of a recordable one."""
    return x.dtype if isinstance(x, Recordable) else x  # type: ignore[attr-defined]


@implements(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> Any:
    """NumPy's `result_type`."""
    return np.result_type(*map(_typed, arrays_and_dtypes))


@implements(np.can_cast)
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """NumPy's `can_cast`."""
    return np.can_cast(_typed(from_), to, casting)


@implements(np.min_scalar_type)
def min_scalar_type(a: Any, /) -> Any:
    """NumPy's `min_scalar_type`: the dtype, for how small a traced number is may change."""
    return _typed(a)


@implements(np.common_type)
def common_type(*arrays: Any) -> Any:
    """NumPy's `common_type`."""
    return np.common_type(*(np.empty(0, _typed(x)) if isinstance(x, Recordable) else x for x in arrays))


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """NumPy's `iscomplexobj`: False, for tapegrad computes with real numbers."""
    return False


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """NumPy's `isrealobj`: True."""
    return True


@implements(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """NumPy's `iscomplex`: False everywhere."""
    return np.zeros(shape_of(x), dtype=bool)[()]


@implements(np.isreal)
def isreal(x: Any) -> Any:
    """NumPy's `isreal`: True everywhere."""
    return np.ones(shape_of(x), dtype=bool)[()]


@implements(np.imag)
def imag(val: Any) -> Any:
    """NumPy's `imag`: 0."""
    return np.zeros(shape_of(val))[()]


@implements(np.real_if_close)
def real_if_close(a: Any, tol: float = 100) -> Any:
    """NumPy's `real_if_close`: the array itself."""
    return a


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """NumPy's `angle`: 0, or half a turn for negative numbers."""
    found = arctan2(0.0, z)
    return found * (180.0 / np.pi) if deg else found


@implements(np.tril_indices_from)
def tril_indices_from(arr: Any, k: int = 0) -> Any:
    """NumPy's `tril_indices_from`."""
    return np.tril_indices_from(np.broadcast_to(0.0, shape_of(arr)), k)


@implements(np.triu_indices_from)
def triu_indices_from(arr: Any, k: int = 0) -> Any:
    """NumPy's `triu_indices_from`."""
    return np.triu_indices_from(np.broadcast_to(0.0, shape_of(arr)), k)


@implements(np.diag_indices_from)
def diag_indices_from(arr: Any) -> Any:
    """NumPy's `diag_indices_from`."""
    return np.diag_indices_from(np.broadcast_to(0.0, shape_of(arr)))


@implements(np.einsum_path)
def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: Any = False) -> Any:
    """NumPy's `einsum_path`, by the shapes."""
    stand_ins = (np.broadcast_to(0.0, shape_of(x)) if isinstance(x, Recordable) else x for x in operands)
    return np.einsum_path(*stand_ins, optimize=optimize, einsum_call=einsum_call)


@implements(np.array2string, np.array_repr, np.array_str)
def array_repr(arr: Any, *how: Any, **more: Any) -> str:
    """For printing: the text tells that the array is traced."""
    return repr(arr)
