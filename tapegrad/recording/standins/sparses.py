"""scipy.sparse: the operators of constant matrices with traced values.

SciPy asks the other operand for a plain array before Python could ask it, so no protocol comes in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.errors import TraceError
from tapegrad.ops.matrices import as_sparse
from tapegrad.recording.frames import whereabouts
from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.standins.numpys import traced_array


def _operator(name: str) -> Callable[..., Any]:
    def answer(original: Callable[..., Any], matrix: Any, other: Any) -> Any:
        return getattr(as_sparse(matrix, whereabouts()), name)(traced_array(other))

    return answer


def _refused(name: str) -> Callable[..., Any]:
    def answer(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        raise TraceError(
            f"{name} cannot take traced values{whereabouts()}: sparse matrices are made of constants. Make "
            "them outside of the function; inside, multiply them by traced numbers and add them, as in "
            "kappa**2 * C + G, write products as A @ x, and take a density from tapegrad.stats"
        )

    return answer


_BASE = "scipy.sparse._base:_spbase"
_OWNERS: dict[str, tuple[str, ...]] = {
    "__matmul__": (_BASE,),
    "__rmatmul__": (_BASE,),
    "dot": (_BASE, "scipy.sparse._coo:_coo_base"),
    "__mul__": (_BASE, "scipy.sparse._matrix:spmatrix"),
    "__rmul__": (_BASE, "scipy.sparse._matrix:spmatrix"),
    "multiply": (_BASE, "scipy.sparse._dia:_dia_base"),
    "__truediv__": (_BASE, "scipy.sparse._dok:_dok_base", "scipy.sparse._lil:_lil_base"),
    "__add__": (_BASE, "scipy.sparse._dok:_dok_base"),
    "__radd__": (_BASE, "scipy.sparse._dok:_dok_base"),
    "__sub__": (_BASE,),
    "__rsub__": (_BASE,),
}
_MAKERS = ("diags_array", "diags", "kron", "kronsum", "block_diag", "block_array", "bmat", "hstack", "vstack")
_SOLVERS = ("spsolve", "splu", "spilu", "factorized", "cg", "gmres", "inv", "expm")
TABLE = [
    *[StandIn(owner, name, _operator(name)) for name, owners in _OWNERS.items() for owner in owners],
    *[StandIn("scipy.sparse", name, _refused(f"scipy.sparse.{name}")) for name in _MAKERS],
    *[StandIn("scipy.sparse.linalg", name, _refused(f"scipy.sparse.linalg.{name}")) for name in _SOLVERS],
    *[
        StandIn(f"scipy.sparse.{module}:{owner}", "__init__", _refused("a sparse matrix"))
        for module, owner in (
            ("_compressed", "_cs_matrix"),
            ("_coo", "_coo_base"),
            ("_dia", "_dia_base"),
            ("_bsr", "_bsr_base"),
            ("_lil", "_lil_base"),
        )
    ],
]
