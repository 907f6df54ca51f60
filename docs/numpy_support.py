"""Make docs/numpy-support.md of the code: ``python docs/numpy_support.py``, from the repository's root."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops import NUMPY, Op
from tapegrad.recording import decisions, dispatch
from tapegrad.recording.tracer import Tracer
from tapegrad.recording.writers import WRITERS

PAGE = Path(__file__).parent / "numpy-support.md"
MODULES = {"np": np, "np.linalg": np.linalg, "np.fft": np.fft, "np.emath": np.emath}
DIFFERENTIABLE, CONSTANT, FACT = "differentiable", "piecewise constant", "types and shapes"
STAND_IN, PLAIN, REFUSED = "made into arrays", "not concerned", "refused"
SAYS_NOTHING = {"out", "dtype", "subok", "casting", "order", "overwrite_input", "like", "device", "kind"}
METHODS = ("reduce", "accumulate", "reduceat", "outer", "at")

HEAD = """# NumPy's functions

This page says of every function of NumPy {version} what becomes of it in a traced function. It is made of the
code, by `python docs/numpy_support.py`, and a test holds it complete.

| class | functions |
|---|---|
{counts}

`out=`, `where=`, `initial=`, `keepdims=`, `dtype=float` and tuples of axes work wherever NumPy has them,
unless a row says otherwise. A traced array can be written to: so `out=` is a traced array.

"""


class Row(NamedTuple):
    """A function, what is decided about it, and what there is to say."""

    name: str
    kind: str
    note: str


def functions() -> Iterator[tuple[str, Any]]:
    """All public functions of the installed NumPy; one that has two names by the first of them."""
    for prefix, module in MODULES.items():
        for name in sorted(dir(module)):
            function = getattr(module, name)
            if not name.startswith("_") and callable(function) and not isinstance(function, type):
                yield f"{prefix}.{name}", function


def classes() -> list[str]:
    """All public classes, but for the dtypes and their scalars, arrays, ufuncs and errors."""
    known = (np.generic, np.dtype, np.ndarray, np.ufunc, Exception)
    public = [name for name in sorted(dir(np)) if name[0] != "_"]
    found = [f"np.{name}" for name in public if isinstance(getattr(np, name), type)]
    arrays = {"np.matrix", "np.memmap", "np.recarray", "np.record"}
    return [name for name in found if name in arrays or not issubclass(decisions.find(name), known)]


def is_computed(function: Any) -> bool:
    """Whether a rule computes it, or the dispatch knows what it does."""
    tables = (NUMPY, WRITERS, dispatch._MAKERS, dispatch._FINDERS)
    return any(function in table for table in tables)


def rows() -> list[Row]:
    """What is decided about each function; the kind is empty where nothing is."""
    kinds = {
        decisions.find(name): kind
        for kind, text in (
            (CONSTANT, decisions.PIECEWISE_CONSTANT),
            (FACT, decisions.FACTS),
            (STAND_IN, decisions.STAND_INS),
            (PLAIN, decisions.PLAIN),
            (DIFFERENTIABLE, decisions.CALLING_OTHERS),
        )
        for name in decisions.names(text)
    }
    found = []
    for name, function in functions():
        if function in decisions.reasons():
            found.append(Row(name, REFUSED, decisions.reasons()[function]))
        elif function in kinds:
            found.append(Row(name, kinds[function], note_of(function)))
        else:
            found.append(Row(name, DIFFERENTIABLE if is_computed(function) else "", note_of(function)))
    return found


def note_of(function: Any) -> str:
    """What its rule says about it besides its name, and what it does not take."""
    rule = NUMPY.get(function)
    if rule is None or isinstance(rule, Op):
        return ""
    text = " ".join((rule.__doc__ or "").split())
    match = re.match(r"NumPy's `[\w.]+`[,:]? ?(.*)\.$", text)
    said = match.group(1) if match else ""
    left = without(function, rule)
    return "; ".join(
        part for part in (said.lstrip("; "), f"without {', '.join(left)}" if left else "") if part
    )


def without(function: Any, rule: Any) -> list[str]:
    """The arguments of NumPy's function that its rule does not take."""
    theirs, ours = dispatch._signature(function), inspect.signature(rule)
    if theirs is None or isinstance(function, np.ufunc):
        return []
    kinds = {p.kind for p in (*theirs.parameters.values(), *ours.parameters.values())}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return []
    optional = [n for n, p in theirs.parameters.items() if p.default is not p.empty]
    return [f"`{n}`" for n in optional if n not in ours.parameters and n not in SAYS_NOTHING]


def attributes() -> list[Row]:
    """The methods and attributes of arrays."""
    refused = {name: why for why, text in decisions.NOT_OF_ARRAYS.items() for name in text.split()}
    found = []
    for name in dir(np.ndarray):
        if not name.startswith("_"):
            kind = REFUSED if name in refused else "supported" if hasattr(Tracer, name) else ""
            found.append(Row(name, kind, refused.get(name, "")))
    return found


def with_methods() -> list[np.ufunc]:
    """The ufuncs of two operands that have a rule: all of their methods work."""
    return [
        function
        for name, function in functions()
        if name.startswith("np.") and isinstance(function, np.ufunc) and function in NUMPY
        if (function.nin, function.nout) == (2, 1) and function.signature is None
        if {"dd->d", "dd->?"} & set(function.types)
    ]


def table(found: list[Row], head: str) -> str:
    """Rows as a table, those without a note in one line below."""
    said = [row for row in found if row.note]
    lines = (
        [f"| {head} | |", "|---|---|", *(f"| `{row.name}` | {row.note} |" for row in said)] if said else []
    )
    rest = [row.name for row in found if not row.note]
    plain = [f"{'As they are: ' if said else ''}{', '.join(f'`{name}`' for name in rest)}."] if rest else []
    return "\n".join([*lines, *([""] if lines and plain else []), *plain])


def page() -> str:
    """The whole text."""
    found = rows()
    of = {kind: [row for row in found if row.kind == kind] for kind in dict.fromkeys(r.kind for r in found)}
    counts = "\n".join(
        f"| {kind} | {len(of[kind])} |" for kind in (DIFFERENTIABLE, CONSTANT, FACT, STAND_IN, PLAIN, REFUSED)
    )
    refused: dict[str, list[str]] = {}
    for row in of[REFUSED]:
        refused.setdefault(row.note, []).append(f"`{row.name}`")
    members = attributes()
    version = ".".join(np.__version__.split(".")[:2])
    parts = [
        HEAD.format(version=version, counts=counts),
        f"## Differentiable\n\n{table(of[DIFFERENTIABLE], 'function')}\n\n",
        "## Methods of ufuncs\n\n"
        f"{', '.join(f'`{m}`' for m in METHODS)} of: "
        f"{', '.join(f'`np.{ufunc.__name__}`' for ufunc in with_methods())}.\n\n",
        f"## Piecewise constant\n\nTheir derivative is 0.\n\n{table(of[CONSTANT], 'function')}\n\n",
        f"## About types and shapes\n\n{table(of[FACT], 'function')}\n\n",
        "## Made into arrays\n\nNumPy does not ask tapegrad when it makes an array of its argument: "
        "see [Arrays of traced values](tracing.md#arrays-of-traced-values).\n\n"
        f"{table(of[STAND_IN], 'function')}\n\n",
        "## Not concerned\n\nNo traced value comes to these: settings, texts, files, dtypes, and arrays of "
        f"plain numbers.\n\n{table(of[PLAIN], 'function')}\n\n",
        "## Refused\n\nThe error names the line, and says why.\n\n| functions | why |\n|---|---|\n",
        "".join(f"| {', '.join(names)} | {why} |\n" for why, names in refused.items()),
        "\n## Methods and attributes of arrays\n\n",
        f"{', '.join(f'`{row.name}`' for row in members if row.kind == 'supported')}.\n\n",
        "| not there | why |\n|---|---|\n",
        "".join(f"| `{row.name}` | {row.note} |\n" for row in members if row.kind == REFUSED),
        "\n## Classes and modules\n\n| class or module | |\n|---|---|\n",
        "".join(f"| `{name}` | {decisions.CLASSES[name]} |\n" for name in classes()),
        "".join(f"| `{name}` | {why} |\n" for name, why in decisions.MODULES.items()),
    ]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
