"""The house rules that a machine can check: imports run one way, and need only numpy and scipy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tapegrad

PACKAGE = Path(tapegrad.__file__).parent
# Each layer may import itself and the layers before it.
LAYERS = (
    ("errors",),
    ("ops",),
    ("tape",),
    ("nest",),
    ("recording",),
    ("derive",),
    ("passes",),
    ("plan",),
    ("backends",),
    ("function",),
    ("differences", "testing"),
    ("graph", "stats", "special", "datasets", "forward"),
    ("mle",),
    ("samplers",),
    ("demo",),
    ("cli",),
)
RANK = {name: i for i, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem[:2] != "__")


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> list[str]:
    """The modules a file imports when it runs."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if checking:
            node.body = []
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            found += [f"{base}.{alias.name}" for alias in node.names] if base == "tapegrad" else [base]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    layer = layer_of(path)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "tapegrad" and len(parts) > 1 and parts[1] in RANK:
            assert RANK[parts[1]] <= RANK[layer], f"{layer} imports {name}"


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
    assert not found & {"exec", "eval", "compile"} or name == "backends/numpy/compiled.py"
    if name.startswith("backends/") and path.name != "written.py":
        assert not found & {"repr", "ascii", "!r"}


def test_importing_needs_numpy_and_scipy_alone():
    code = (
        "import sys, tapegrad, tapegrad.mle, tapegrad.cli\n"
        "optional = {'pandas', 'matplotlib', 'tqdm', 'jax', 'torch', 'autograd', 'statsmodels', 'pytest'}\n"
        "sys.exit(', '.join(sorted(optional & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["forward", "graph", "mle", "special", "stats", "testing"])
def test_modules_are_reached_through_the_package(name):
    code = f"import tapegrad as tg; assert tg.{name}.__name__ == 'tapegrad.{name}' and {name!r} in dir(tg)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_said_so():
    with pytest.raises(AttributeError, match="module 'tapegrad' has no attribute 'statz'"):
        tapegrad.statz  # noqa: B018
