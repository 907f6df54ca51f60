"""What is decided about NumPy's functions that no rule computes, and what is said of those that one does.

A function of NumPy is differentiable if it has a rule, unless a table here says that it is piecewise constant
or only tells about types and shapes. All others stand here: refused with a reason, or nothing that a traced
value comes to. docs/numpy-support.md is made from these tables, and a test holds them complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np

# Of these, the derivative is 0 wherever there is one.
PIECEWISE_CONSTANT = """
    np.ceil np.fix np.floor np.floor_divide np.heaviside np.rint np.round np.around np.sign
    np.spacing np.trunc np.angle
    np.equal np.greater np.greater_equal np.less np.less_equal np.not_equal np.signbit np.isclose np.allclose
    np.isfinite np.isinf np.isnan np.isneginf np.isposinf np.isin np.array_equal np.array_equiv
    np.logical_and np.logical_not np.logical_or np.logical_xor np.all np.any
    np.bitwise_and np.bitwise_or np.bitwise_xor np.invert
    np.argmax np.argmin np.argpartition np.argsort np.lexsort np.nanargmax np.nanargmin np.searchsorted
    np.argwhere np.flatnonzero np.nonzero np.count_nonzero np.digitize
    np.ravel_multi_index np.unravel_index np.linalg.matrix_rank
"""

# These tell about an array without its numbers.
FACTS = """
    np.can_cast np.common_type np.imag np.iscomplex np.iscomplexobj np.isreal np.isrealobj np.min_scalar_type
    np.ndim np.result_type np.shape np.size np.einsum_path np.broadcast_shapes np.isfortran np.iterable
    np.array2string np.array_repr np.array_str
    np.diag_indices_from np.tril_indices_from np.triu_indices_from np.empty_like np.ones_like np.zeros_like
"""

REFUSED: dict[str, str] = {
    "it gives complex numbers, and tapegrad computes with real ones; real and imaginary part are the "
    "products with matrices of cosines and sines": """
        np.fft.fft np.fft.fft2 np.fft.fftn np.fft.hfft np.fft.ifft np.fft.ifft2 np.fft.ifftn np.fft.ihfft
        np.fft.irfft np.fft.irfft2 np.fft.irfftn np.fft.rfft np.fft.rfft2 np.fft.rfftn
    """,
    "its result may be complex, and tapegrad computes with real numbers": "np.roots np.sort_complex",
    "the length of the remainder changes with the values": "np.polydiv",
    "find the bin of each row with np.digitize, and add up with np.bincount": "np.histogram2d np.histogramdd",
    "it takes numbers apart in bits, and the steps between doubles have no derivative": """
        np.frexp np.nextafter
    """,
    "it works on the bits of whole numbers": """
        np.bitwise_count np.left_shift np.right_shift np.packbits np.unpackbits
    """,
    "it works on whole numbers, as indices are": "np.gcd np.lcm",
    "a traced array has no memory of its own": "np.may_share_memory np.shares_memory np.nested_iters",
    "it writes numbers to a file, and a traced value is not one": """
        np.save np.savetxt np.savez np.savez_compressed
    """,
    "it works on dates": """
        np.busday_count np.busday_offset np.datetime_as_string np.is_busday np.isnat
    """,
    "matrices of this kind change what * means; write np.block": "np.asmatrix np.bmat",
    "build the array with np.stack": "np.fromiter",
    "its argument is a plain number; write out the formula": "np.kaiser",
}

# NumPy makes an array of its argument and does not ask: this is taken care of while a trace runs.
STAND_INS = """
    np.array np.asanyarray np.asarray np.asarray_chkfinite np.ascontiguousarray np.asfortranarray np.copy
    np.require np.empty np.full np.full_like np.ones np.zeros np.arange np.eye np.identity np.tri
"""

# Python functions of NumPy's that call others, which are asked.
CALLING_OTHERS = "np.row_stack"

# No traced value comes to these: settings, texts, dtypes, files, and arrays made of plain numbers.
PLAIN = """
    np.bartlett np.blackman np.hamming np.hanning np.base_repr np.binary_repr np.datetime_data
    np.diag_indices np.indices np.ix_ np.mask_indices np.tril_indices
    np.triu_indices np.fromfunction np.frompyfunc np.format_float_positional np.format_float_scientific
    np.from_dlpack np.frombuffer np.fromfile np.fromregex np.fromstring np.genfromtxt np.load np.loadtxt
    np.get_include np.get_printoptions np.set_printoptions np.printoptions np.getbufsize np.setbufsize
    np.geterr np.seterr np.geterrcall np.seterrcall np.info np.isdtype np.issubdtype np.isscalar
    np.mintypecode np.promote_types np.typename np.show_config np.show_runtime np.test np.linalg.test
    np.fft.fftfreq np.fft.rfftfreq np.fft.test
"""

# Classes of NumPy besides its dtypes.
CLASSES: dict[str, str] = {
    "np.vectorize": "its function is called for each number, and each call is recorded",
    "np.broadcast": "by the shapes",
    "np.ndenumerate": "through `.flat`",
    "np.ndindex": "of plain numbers",
    "np.errstate": "holds while the function runs; a replay gives no warnings",
    "np.finfo": "of a dtype",
    "np.iinfo": "of a dtype",
    "np.poly1d": "of an object array, number by number; write np.polyval",
    "np.matrix": "refused: it changes what * means",
    "np.memmap": "data as from other arrays",
    "np.nditer": "refused: write a loop, or array code",
    "np.flatiter": "what `.flat` gives is like one",
    "np.recarray": "refused: traced arrays have no fields",
    "np.record": "refused: traced arrays have no fields",
    "np.busdaycalendar": "of dates",
}

# Methods and attributes of arrays that traced arrays do not have.
NOT_OF_ARRAYS: dict[str, str] = {
    "it stands for the memory of an array, and a traced array has none": """
        base byteswap ctypes data getfield resize setfield setflags view
    """,
    "it would take plain numbers out of the trace": "dump dumps tobytes tofile",
}

# Modules of which no function is traced by itself.
MODULES: dict[str, str] = {
    "np.ma": "refused: what a mask adds would be lost; choose with np.where",
    "np.random": "draw random numbers outside the function, once, and pass them in as data",
    "np.polynomial": "its functions compute with object arrays, one by one; np.polyval is an array step",
    "np.char": "texts",
    "np.strings": "texts",
    "np.rec": "refused: traced arrays have no fields",
    "np.testing": "its comparisons take plain numbers",
}


def names(text: str) -> list[str]:
    """The names in a table, those that the installed NumPy has."""
    return [name for name in text.split() if find(name) is not None]


def find(name: str) -> Any:
    """A function of NumPy by its name, or None."""
    try:
        return attrgetter(name.removeprefix("np."))(np)
    except AttributeError:
        return None


def _refusals() -> Iterator[tuple[Callable[..., Any], str]]:
    for reason, text in REFUSED.items():
        for name in names(text):
            yield find(name), reason


@cache
def reasons() -> dict[Callable[..., Any], str]:
    """Why functions are refused."""
    return dict(_refusals())
