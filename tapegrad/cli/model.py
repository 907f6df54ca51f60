"""The user's function, and what is said of its parameters."""

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapegrad.cli.words import CommandError, meant
from tapegrad.mle import transforms

# Constraints that a number or a vector can have, with how many limits each takes.
TRANSFORMS: Final = {
    **{"positive": 0, "unit": 0, "lower": 1, "upper": 1, "interval": 2},
    **{"simplex": 0, "ordered": 0, "sum_to_zero": 0},
}


def function_of(text: str) -> Callable[..., Any]:
    """The function that "path/model.py:name" means."""
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not file or path.suffix != ".py":
        raise CommandError(f"write the model as FILE.py:FUNCTION, not {text!r}")
    if not path.is_file():
        near = meant(path.name, [other.name for other in path.parent.glob("*.py")])
        raise CommandError(f"there is no file {file}{near}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None  # there is one for each file called .py
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # as for a script: it may import its neighbours
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CommandError(f"{file} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    function = getattr(module, name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise CommandError(f"there is no function {name!r} in {file}{meant(name, own)}")
    return function  # type: ignore[no-any-return]


def starts_of(texts: Sequence[str]) -> dict[str, Any]:
    """Where parameters start, of "name=value" each."""
    start: dict[str, Any] = {}
    for text in texts:
        name, value = _start(text)
        if name in start:
            raise CommandError(f"--start {name} is given twice; a vector is {name}=0,0,0")
        start[name] = value
    return start


def _start(text: str) -> tuple[str, Any]:
    """The name and the value of "name=value"; with commas the value is a vector."""
    name, equals, value = text.partition("=")
    try:
        numbers = [float(part) for part in value.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not (equals and name.strip() and numbers):
        raise CommandError(f"write a start as NAME=VALUE, such as mu=0 or beta=0,0,0, not {text!r}")
    return name.strip(), np.array(numbers) if "," in value else numbers[0]


def transform_of(text: str) -> tuple[str, Any]:
    """The name and the transform of "name=kind" or "name=kind(a,b)"."""
    found = re.fullmatch(r"\s*(\S+?)\s*=\s*(\w+)\s*(?:\((.*)\))?\s*", text)
    try:
        name, kind, given = found.groups() if found else ("", "", None)
        limits = [] if given is None else [float(limit) for limit in given.split(",")]
        if TRANSFORMS.get(kind) != len(limits):
            raise ValueError
    except ValueError:
        kinds = ", ".join(call(kind, count) for kind, count in TRANSFORMS.items())
        near = meant(found[2], TRANSFORMS) if found and found[2] not in TRANSFORMS else ""
        raise CommandError(
            f"write a constraint as NAME=KIND, with one of {kinds}, not {text!r}{near}"
        ) from None
    made = getattr(transforms, kind)
    try:
        return name, made(*limits) if limits else made
    except ValueError as error:
        raise CommandError(str(error)) from None


def call(kind: str, count: int) -> str:
    """A transform as it is written."""
    return kind + (f"({','.join('AB'[:count])})" if count else "")


def arguments_of(function: Callable[..., Any]) -> dict[str, bool]:
    """The names of a function's arguments, and whether they may be left out."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise CommandError(f"{function!r} does not say what arguments it takes: write a def") from None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    other = [str(parameter) for parameter in parameters if parameter.kind not in named]
    if other:
        raise CommandError(
            f"arguments are passed by name, and {', '.join(other)} has none: write a def with one argument "
            "for each parameter and column"
        )
    return {parameter.name: parameter.default is not parameter.empty for parameter in parameters}
