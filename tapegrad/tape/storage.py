"""What this package writes to files, without pickle: reading a file from a stranger runs no code of theirs.

A file is JSON. Numbers keep every bit: arrays are stored as base64 of their little-endian bytes, floats by
their shortest exact digits. Everything that is read is checked: types, sizes, texts, op names and attributes,
and for a tape all that `verify` checks. Whatever is wrong is a `StorageError`. Texts that later stand in
listings or in generated code are of one line, and the room that a tape asks for is limited, however small its
file.
"""

import base64
import binascii
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from tapegrad.ops.registry import OPS, Aval
from tapegrad.tape.body import Body
from tapegrad.tape.entries import Entries, Entry
from tapegrad.tape.line import Source
from tapegrad.tape.tape import Constant, Guard, Tape, TapeError
from tapegrad.tape.verify import verify

Item = TypeVar("Item")

VERSION: Final = 1
_DTYPES: Final = {"float64": "<f8", "int64": "<i8", "bool": "|b1"}
_SPECIAL: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
# Deeper nests are not made by any trace or fit; reading them would exhaust the stack.
_DEPTH: Final = 50
# A slot of a tape may have this many elements: 1 GiB of float64.
_ELEMENTS: Final = 2**27
_AXES: Final = 64  # NumPy's own limit
_TAPE: Final = tuple(field.name for field in fields(Tape))
_ENTRY: Final = Entry._fields
_BODY: Final = tuple(field.name for field in fields(Body))


class StorageError(ValueError):
    """A file is not one that `save` wrote, or is damaged."""


def write_file(path: str | os.PathLike[str], kind: str, content: Any) -> None:
    """Write a file with content of some kind, "tape" or "fit", as JSON knows it."""
    whole = {"format": f"tapegrad {kind}", "version": VERSION, kind: content}
    Path(path).write_text(json.dumps(whole, allow_nan=False, indent=1) + "\n", encoding="utf-8")


def read_file(path: str | os.PathLike[str], readers: Mapping[str, Callable[[Any], Item]]) -> Item:
    """Read what `write_file` wrote, by the reader of its kind.

    Raises
    ------
    StorageError
        If the file is damaged, of another kind, or written by a later version.
    OSError
        If it cannot be read.
    """
    raw = Path(path).read_bytes()
    try:
        content = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
        form, version = content["format"], content["version"]
        if version != VERSION:
            raise StorageError(f"{path} has version {version!r} of the format, expected {VERSION}")
        for kind, reader in readers.items():
            if form == f"tapegrad {kind}":
                _only(content, ("format", "version", kind))
                return reader(content[kind])
    except StorageError:
        raise
    except Exception as error:  # whatever damaged content leads to
        raise StorageError(f"{path} is not a file that save wrote, or is damaged: {error!r:.200}") from error
    raise StorageError(f"{path} holds {form!a:.40}, expected a tapegrad {' or '.join(readers)}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise StorageError("an object has two entries of one name")
    return found


def _constant(text: str) -> Any:
    raise StorageError(f"{text} is no number of JSON")  # what is not finite is stored by name


# Values -----------------------------------------------------------------------------------------------------


def encode(value: Any) -> Any:
    """A value as JSON; what JSON does not know becomes an object with one key that starts with a colon."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.ndarray):
        return {":array": _array_to_json(value)}
    if isinstance(value, np.generic):
        return {":scalar": _array_to_json(np.asarray(value))}
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {":float": repr(value)}
    if isinstance(value, Tape):
        return {":tape": tape_to_json(value)}
    if isinstance(value, Body):
        return {":body": {"tape": tape_to_json(value.tape), "carried": value.carried, "fixed": value.fixed}}
    if value is Ellipsis:
        return {":ellipsis": True}
    if isinstance(value, tuple):
        return {":tuple": [encode(item) for item in value]}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {":dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, np.dtype) and value.name in _DTYPES:
        return {":dtype": value.name}
    raise TypeError(f"cannot store {value!r:.60}, a {type(value).__name__}")


def decode(value: Any, depth: int = 0) -> Any:
    if depth > _DEPTH:
        raise StorageError("values are nested too deeply")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [decode(item, depth + 1) for item in value]
    ((tag, content),) = value.items()
    if tag in (":array", ":scalar"):
        array = _array_from_json(content)
        return array if tag == ":array" else array[()]
    if tag == ":float":
        return _SPECIAL[content]
    if tag == ":tape":
        return tape_from_json(content, depth + 1)
    if tag == ":body":
        _only(content, _BODY)
        carried, fixed = (checked_count(content[name]) for name in ("carried", "fixed"))
        return Body(tape_from_json(content["tape"], depth + 1), carried, fixed)
    if tag == ":ellipsis":
        return Ellipsis
    if tag == ":tuple":
        return tuple(decode(item, depth + 1) for item in content)
    if tag == ":dict":
        return {decode(key, depth + 1): decode(item, depth + 1) for key, item in content}
    if tag == ":dtype":
        return np.dtype(_known_dtype(content))
    raise StorageError(f"unknown tag {tag!a:.40}")


def _array_to_json(array: Any) -> dict[str, Any]:
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"cannot store an array of {array.dtype}")
    raw = np.ascontiguousarray(array).astype(_DTYPES[array.dtype.name]).tobytes()
    data = base64.b64encode(raw).decode("ascii")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "base64": data}


def _array_from_json(content: dict[str, Any]) -> Any:
    dtype = np.dtype(_known_dtype(content["dtype"]))
    shape = tuple(checked_count(n) for n in content["shape"])
    try:
        raw = base64.b64decode(content["base64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise StorageError(f"an array is damaged: {error}") from error
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise StorageError(f"an array of shape {shape} has {len(raw)} bytes")
    if dtype.kind == "b" and raw.strip(b"\0\1"):
        raise StorageError("a boolean is neither true nor false")
    return np.frombuffer(raw, _DTYPES[dtype.name]).astype(dtype).reshape(shape)


def _known_dtype(name: Any) -> str:
    if not (isinstance(name, str) and name in _DTYPES):
        raise StorageError(f"unknown dtype {name!a:.40}")
    return name


def checked_count(n: Any) -> int:
    if type(n) is not int or n < 0:
        raise StorageError(f"{n!a:.40} is no count")
    return n


def checked_line(value: Any) -> str:
    """A text of one line, without control characters: it may stand in a listing, or in generated code."""
    if not (isinstance(value, str) and value.isprintable()):
        raise StorageError(f"{value!a:.40} is no line of text")
    return value


# Tapes ------------------------------------------------------------------------------------------------------


def tape_to_json(tape: Tape) -> dict[str, Any]:
    return {
        "name": tape.name,
        "avals": [[list(aval.shape), aval.dtype.name] for aval in tape.avals],
        "parameters": list(tape.parameters),
        "data": list(tape.data),
        "constants": [[constant.slot, encode(constant.value)] for constant in tape.constants],
        "entries": [
            {
                "op": entry.op.name,
                "inputs": list(entry.inputs),
                "output": entry.output,
                "attrs": [[name, encode(value)] for name, value in entry.attrs],
                "source": _source_to_json(entry.source),
            }
            for entry in tape.entries
        ],
        "outputs": list(tape.outputs),
        "guards": [[g.slot, encode(g.outcome), _source_to_json(g.source)] for g in tape.guards],
        "labels": [[slot, label] for slot, label in tape.labels],
    }


def _source_to_json(source: Source | None) -> list[Any] | None:
    # The folder is nobody else's business.
    return None if source is None else [os.path.basename(source.file), source.line]


def _source_from_json(content: Any) -> Source | None:
    if content is None:
        return None
    file, line = content
    if os.path.basename(checked_line(file)) != file:  # a listing shows lines of no file that a stranger names
        raise StorageError(f"{file!a:.40} is no name of a file without its folder")
    return Source(file, checked_count(line))


def tape_from_json(content: dict[str, Any], depth: int = 0) -> Tape:
    _only(content, _TAPE)
    avals = tuple(_aval(*aval) for aval in content["avals"])
    tape = Tape(
        name=checked_line(content["name"]),
        avals=avals,
        parameters=tuple(map(checked_count, content["parameters"])),
        data=tuple(map(checked_count, content["data"])),
        constants=tuple(
            Constant(checked_count(slot), _frozen(decode(v, depth))) for slot, v in content["constants"]
        ),
        entries=Entries(_entry(entry, depth) for entry in content["entries"]),
        outputs=tuple(map(checked_count, content["outputs"])),
        guards=tuple(
            Guard(checked_count(slot), _frozen(decode(outcome, depth)), _source_from_json(source))
            for slot, outcome, source in content["guards"]
        ),
        labels=tuple((checked_count(slot), checked_line(label)) for slot, label in content["labels"]),
    )
    try:
        verify(tape)
    except TapeError as error:
        raise StorageError(f"the tape is damaged: {error}") from error
    return tape


def _aval(shape: list[int], dtype: str) -> Aval:
    counts = tuple(map(checked_count, shape))
    if len(counts) > _AXES:
        raise StorageError(f"a slot has more than {_AXES} axes")
    if math.prod(counts) > _ELEMENTS:
        raise StorageError(f"a slot has more than {_ELEMENTS} elements")
    return Aval(counts, np.dtype(_known_dtype(dtype)))


def _entry(content: dict[str, Any], depth: int) -> Entry:
    _only(content, _ENTRY)
    if content["op"] not in OPS:
        name = f"{content['op']!a:.40}"
        raise StorageError(f"unknown op {name}; an op of your own is registered before tapes are read")
    op = OPS[content["op"]]
    for name, _ in content["attrs"]:
        if name not in op.attrs:
            raise StorageError(f"{name!a:.40} is no attribute of {op.name}")
    attrs = tuple((name, decode(value, depth)) for name, value in content["attrs"])
    inputs = tuple(map(checked_count, content["inputs"]))
    return Entry(op, inputs, checked_count(content["output"]), attrs, _source_from_json(content["source"]))


def _only(content: dict[str, Any], names: tuple[str, ...]) -> None:
    """Raise an error unless the object has exactly these names."""
    if not isinstance(content, dict) or set(content) != set(names):
        raise StorageError(f"expected {', '.join(names)}, found {list(content)!a:.80}")


def _frozen(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif not isinstance(value, bool | int | float | np.generic):
        raise StorageError(f"{value!a:.40} is no number and no array")
    return value
