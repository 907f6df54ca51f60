"""Fits as files: the data of a fit, checked when they are read. The log-likelihood is not stored."""

import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from tapegrad.mle.estimate import Estimate
from tapegrad.tape.storage import (
    StorageError,
    checked_count,
    checked_line,
    decode,
    encode,
    read_file,
    tape_from_json,
    tape_to_json,
    write_file,
)
from tapegrad.tape.tape import Tape


def save(item: Estimate | Tape, path: str | os.PathLike[str]) -> None:
    """Write a fit or a tape to a file.

    Parameters
    ----------
    item : FitResult or Tape
        Of a fit the numbers are kept, but not the log-likelihood: a fit that was read cannot be profiled or
        resampled. Of a tape's source lines the file's name and the line's number are kept.
    path : path-like
        Where; an existing file is overwritten.

    Raises
    ------
    TypeError
        If `item` is neither, or holds something that is no number, text or array.
    OSError
        If the file cannot be written.
    """
    if isinstance(item, Tape):
        write_file(path, "tape", tape_to_json(item))
    elif isinstance(item, Estimate):
        write_file(path, "fit", {name: encode(getattr(item, name)) for name in _stored()})
    else:
        kind = type(item).__name__
        raise TypeError(f"save takes a fit or a tape (for a traced function, its .tape), not a {kind}")


def read(path: str | os.PathLike[str]) -> Estimate | Tape:
    """Read what `save` wrote: a tape, or the data of a fit."""
    readers: dict[str, Callable[[Any], Estimate | Tape]] = {
        "fit": _fit_from_json,
        "tape": tape_from_json,
    }
    return read_file(path, readers)


def _stored() -> list[str]:
    return [field.name for field in fields(Estimate) if field.name != "_model"]


def _fit_from_json(content: dict[str, Any]) -> Estimate:
    unknown = sorted(set(content) - set(_stored()))
    if unknown:
        raise StorageError(f"{unknown[0]!a:.40} is no field of a fit")
    result = Estimate(**{name: decode(value) for name, value in content.items()})
    _check_fit(result)
    return result


def _check_fit(result: Estimate) -> None:
    if not isinstance(result.names, tuple) or len(set(map(checked_line, result.names))) < len(result.names):
        raise StorageError("the parameters' names are no tuple of different texts")
    if not (isinstance(result.ends, tuple) and isinstance(result.random_names, tuple)):
        raise StorageError("ends or random_names is no tuple of texts")
    for line in (result.method, result.model, result.cov_type, *result.ends, *result.random_names):
        checked_line(line)
    if not (isinstance(result.message, str) and result.message.replace("\n", " ").isprintable()):
        raise StorageError("message is no text")
    for name in ("nit", "nfev", "njev", "nhev", "dropped"):
        checked_count(getattr(result, name))
    if checked_count(result.quadrature) < 1:
        raise StorageError("quadrature is no number of nodes")
    if result.nobs is not None and checked_count(result.nobs) < 1:
        raise StorageError("nobs is no number of observations")
    if not (result.seconds is None or (type(result.seconds) is float and result.seconds >= 0.0)):
        raise StorageError("seconds is no length of time")
    if type(result.llf) is not float or type(result.converged) is not bool:
        raise StorageError("llf is no float, or converged neither true nor false")
    _check_arrays(result)
    if not np.array_equal(np.array(_numbers(result.params), dtype=np.float64), result.x, equal_nan=True):
        raise StorageError("params and x are not the same numbers")


def _numbers(nest: Any) -> list[Any]:
    if isinstance(nest, dict | list | tuple):
        items = nest.values() if isinstance(nest, dict) else nest
        return [number for item in items for number in _numbers(item)]
    if type(nest) not in (int, float, np.float64, np.ndarray):
        raise StorageError(f"{nest!a:.40} is no parameter")
    return list(np.ravel(nest))


def _optional(result: Estimate) -> tuple[str, ...]:
    """The arrays that may be missing."""
    return ("free", "cov_free", "jacobian", *(() if result.random_names else ("modes", "modes_bse")))


def _check_arrays(result: Estimate) -> None:
    if (result.free is None) != (result.jacobian is None):
        raise StorageError("free and jacobian go together")
    p = len(result.names)
    q = p if result.free is None else np.size(result.free)
    shapes = {"x": (p,), "observed_info": (q, q), "free": (q,), "cov_free": (q, q), "jacobian": (p, q)}
    if (result.modes is None) != (not result.random_names):
        raise StorageError("modes and random_names go together")
    shapes |= {"modes": (len(result.random_names),), "modes_bse": (len(result.random_names),)}
    if result.path is not None:
        shapes["path"] = (np.size(result.path),)
    if result.flat is not None:
        shapes["flat"] = (q, np.size(result.flat) // max(q, 1))
    for name, shape in shapes.items():
        array = getattr(result, name)
        if array is None and name in _optional(result):
            continue
        if not (isinstance(array, np.ndarray) and array.dtype == np.float64 and array.shape == shape):
            raise StorageError(f"{name} is no array of float64 of shape {shape}")
