"""The house rules that a machine can check: imports run one way, and need only numpy and scipy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import tapegrad

PACKAGE = Path(tapegrad.__file__).parent
# Each layer may import itself and the layers before it.
LAYERS = (
    ("errors",),
    ("sparse",),  # numbers alone
    ("ops",),
    ("viewer",),
    ("tape",),
    ("nest",),
    ("stats", "special", "covariance"),  # in the words of NumPy and the ops alone
    ("recording",),
    ("derive",),
    ("passes",),
    ("plan",),
    ("backends",),
    ("pieces",),
    ("function",),
    ("marginal",),
    ("loops",),
    ("differences", "testing"),
    ("graph", "datasets", "forward"),
    ("mle",),
    ("mixed",),
    ("samplers",),
    ("demo",),
    ("cli",),
)
# The same for the files and folders of mle/.
MLE_LAYERS = (
    ("derivatives", "levels", "matrices", "notices", "progress", "tables", "transforms"),
    ("model",),
    ("estimate",),
    ("climb",),
    ("infer",),
    ("resample",),
    ("report",),
    ("plots",),
    ("result",),
    ("fit",),
    ("regression",),
)
# All that mle/ and samplers.py take from the rest of the package, and what for.
OFFERED = {
    "tapegrad": {"TracedFunction": "what is sampled"},
    "tapegrad.errors": {
        "DiscreteWarning": "random effects that are rounded, told",
        "NonFiniteWarning": "NaN, told",
    },
    "tapegrad.function.derived": {
        "JACOBIAN": "slopes of predictions, where the data are in pieces",
        "OUTER": "outer products of scores there",
        "VALUE": "predictions there",
    },
    "tapegrad.function.in_jax": {"log_density": "what samplers in JAX take"},
    "tapegrad.function.long": {
        "beside": "weights of data in pieces",
        "columns_of": "data in pieces",
        "complete": "their rows without those that lack something",
        "is_in_pieces": "whether there are any",
        "extent": "checks weights, wherever they are",
        "missing_in": "what is missing in them",
        "with_groups": "and their groups",
    },
    "tapegrad.function.record": {
        "definition": "where a function is written",
        "line_that_raised": "the user's own exceptions",
    },
    "tapegrad.function.trace": {"trace_quietly": "a function that need not depend on all parameters"},
    "tapegrad.function.traced": {"TracedFunction": "what is fitted"},
    "tapegrad.marginal.curvature": {"responses": "how the mode moves with the parameters"},
    "tapegrad.marginal.discrete": {"rounded": "finds random effects that are"},
    "tapegrad.marginal.division": {
        "Division": "which parameters are random effects",
        "divided": "finds them by name",
    },
    "tapegrad.marginal.importance": {"Sampled": "an estimate with its error", "sampled": "makes it"},
    "tapegrad.marginal.inner": {
        "InnerProblem": "random effects without a mode",
        "mode": "that at the start of a fit",
    },
    "tapegrad.marginal.joint": {"Joint": "what is integrated"},
    "tapegrad.marginal.peaks": {"other_peak": "whether there are several modes"},
    "tapegrad.marginal.quadrature": {"marginal_of": "the same by quadrature"},
    "tapegrad.marginal.surface": {"Marginal": "what is fitted, with random effects"},
    "tapegrad.nest": {
        "Leaf": "one number or array among the parameters",
        "Structure": "natural and free parameters as nests",
        "argument_name": "what the only parameter is called",
        "call": "the user's function on a nest",
        "structure_of": "start values",
    },
    "tapegrad.pieces.rows": {"Column": "one of data in pieces"},
    "tapegrad.recording.frames": {
        "is_user_code": "the line of a warning",
        "location": "a line in a message",
        "place_of_error": "the line of an error",
    },
    "tapegrad.special": {
        "log_softmax": "the volume of a simplex",
        "softmax": "simplex",
        **dict.fromkeys(("expit", "log_expit", "log_ndtr"), "regressions"),
    },
    "tapegrad.stats": dict.fromkeys(
        ("beta", "gamma_mean", "nbinom_mu", "norm", "poisson", "t"), "regressions"
    ),
    "tapegrad.tape.storage": {
        "StorageError": "a damaged file",
        "checked_count": "a field that counts",
        "checked_line": "a field of text",
        "decode": "a field, read",
        "encode": "a field, written",
        "read_file": "the form of a file",
        "tape_from_json": "load reads tapes, too",
        "tape_to_json": "save writes tapes, too",
        "write_file": "the form of a file",
    },
    "tapegrad.tape.tape": {"Tape": "what load returns and save takes, besides a fit"},
}
MLE = PACKAGE / "mle"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem[:2] != "__")
MLE_MODULES = [path for path in MODULES if path.is_relative_to(MLE) and path != MLE / "__init__.py"]


class Import(NamedTuple):
    """A name that a file imports, at its top, inside a function or for type checking alone."""

    module: str
    name: str | None  # None for `import module`

    @property
    def file(self) -> str:
        """The module of this package that it comes from, or the module itself."""
        whole = f"{self.module}.{self.name}"
        return whole if whole in BY_NAME else self.module


def imports(path: Path) -> list[Import]:
    """All that a file imports from this package."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [Import(node.module or "", alias.name) for alias in node.names]
    return [one for one in found if one.module.split(".")[0] == "tapegrad"]


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(path: Path, room: Path) -> str:
    """The folder of a room that a file stands in, or the file itself."""
    return path.relative_to(room).with_suffix("").parts[0]


def wrong_way(path: Path, room: Path, layers: tuple[tuple[str, ...], ...]) -> list[str]:
    """What a file imports from its room that is in none of its own layer and those before it."""
    rank = {name: i for i, names in enumerate(layers) for name in names}
    sources = [BY_NAME[one.file] for one in imports(path) if one.file in BY_NAME]
    inside = [source for source in sources if source.is_relative_to(room) and source != room / "__init__.py"]
    own = rank[layer_of(path, room)]
    return [module_name(source) for source in inside if rank[layer_of(source, room)] > own]


BY_NAME = {module_name(path): path for path in PACKAGE.rglob("*.py")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    assert not wrong_way(path, PACKAGE, LAYERS)


@pytest.mark.parametrize("path", MLE_MODULES, ids=lambda p: str(p.relative_to(MLE)))
def test_imports_run_one_way_in_mle(path):
    assert not wrong_way(path, MLE, MLE_LAYERS)


# Circles ----------------------------------------------------------------------------------------------------


def circles(targets: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The strongly connected components of more than one file (R. Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_, found = [], []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        open_.append(name)
        for target in targets[name]:
            if target not in order:
                visit(target)
            if target in open_:
                lowest[name] = min(lowest[name], lowest[target])
        if lowest[name] == order[name]:
            start = open_.index(name)
            found.append(sorted(open_[start:]))
            del open_[start:]

    for name in targets:
        if name not in order:
            visit(name)
    return [files for files in found if len(files) > 1]


CIRCLES = circles(
    {name: sorted({one.file for one in imports(path)} & set(BY_NAME)) for name, path in BY_NAME.items()}
)


def test_what_a_circle_is():
    found = circles({"a": "b", "b": "ca", "c": "d", "d": "e", "e": "d", "f": "a"})
    assert sorted(found) == [["a", "b"], ["d", "e"]]


def test_imports_inside_functions_and_for_type_checking_count(tmp_path):
    path = tmp_path / "late.py"
    path.write_text(
        "import numpy\n"
        "if TYPE_CHECKING:\n    from tapegrad.mle.result import FitResult\n"
        "def f():\n    from tapegrad import nest\n"
    )
    assert [one.file for one in imports(path)] == ["tapegrad.mle.result", "tapegrad.nest"]


@pytest.mark.parametrize("room", sorted({layer_of(path, PACKAGE) for path in BY_NAME.values()}))
def test_no_circle_of_imports_between_files(room):
    inside = {module_name(path) for path in BY_NAME.values() if layer_of(path, PACKAGE) == room}
    assert not [files for files in CIRCLES if inside & set(files)]


# What mle takes from the engine -----------------------------------------------------------------------------


def test_mle_reaches_the_engine_through_the_names_that_it_offers():
    taken: dict[str, set[str]] = {}
    for path in [*MLE_MODULES, MLE / "__init__.py", PACKAGE / "samplers.py"]:
        for one in imports(path):
            assert one.name is not None, f"{path}: import {one.module}"
            if not one.file.startswith("tapegrad.mle"):
                taken.setdefault(one.module, set()).add(one.name)
    assert taken == {module: set(names) for module, names in OFFERED.items()}


@pytest.mark.parametrize("path", [*MLE_MODULES, PACKAGE / "samplers.py"], ids=lambda p: p.name)
def test_mle_reads_nothing_private(path):
    """No attribute with a leading underscore, but a file's own."""
    nodes = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    ]
    read = [node for node in nodes if node.attr.startswith("_") and not node.attr.startswith("__")]
    others = {ast.unparse(node) for node in read if ast.unparse(node.value) not in ("self", "super()")}
    assert others <= {"sys._getframe"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450


def calls(path: Path) -> list[str]:
    """The functions that a file calls by a bare name, and `!r` for each such conversion, errors aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    errors = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Raise) for part in ast.walk(node)}
    nodes = [node for node in ast.walk(tree) if id(node) not in errors]
    converted = [
        "!r" for node in nodes if isinstance(node, ast.FormattedValue) and node.conversion == ord("r")
    ]
    return converted + [
        node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_what_is_run_is_written_by_one_function(path):
    """Source is run in one place, and values get into it by `written` alone, which admits literals only."""
    name, found = str(path.relative_to(PACKAGE)), set(calls(path))
    assert not found & {"exec", "eval", "compile"} or name == "backends/written.py"
    if name.startswith("backends/") and path.name != "written.py":
        assert not found & {"repr", "ascii", "!r"}


def test_importing_needs_numpy_and_scipy_alone():
    code = (
        "import sys, tapegrad, tapegrad.mle, tapegrad.cli\n"
        "optional = {'pandas', 'matplotlib', 'tqdm', 'jax', 'torch', 'autograd', 'statsmodels', 'pytest'}\n"
        "optional.add('qdldl')\n"
        "sys.exit(', '.join(sorted(optional & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name", ["covariance", "forward", "graph", "mle", "ops", "special", "stats", "testing"]
)
def test_modules_are_reached_through_the_package(name):
    code = f"import tapegrad as tg; assert tg.{name}.__name__ == 'tapegrad.{name}' and {name!r} in dir(tg)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_said_so():
    with pytest.raises(AttributeError, match="module 'tapegrad' has no attribute 'statz'"):
        tapegrad.statz  # noqa: B018
