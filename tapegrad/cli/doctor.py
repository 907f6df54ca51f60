"""`tapegrad doctor`: what is installed, and what works here."""

import importlib.util
import platform
from collections.abc import Iterator
from importlib import metadata
from typing import Final

from tapegrad import __version__
from tapegrad.backends.c import cache
from tapegrad.backends.c.compiler import compiler, reason

# Optional parts: what each is for, and what brings it.
PARTS: Final = {
    "pandas": ("tables with names", "pandas"),
    "polars": ("tables with names", "polars"),
    "pyarrow": ("Parquet files", "pyarrow"),
    "matplotlib": ("pictures", '"tapegrad[plots]"'),
    "formulaic": ("formulas", '"tapegrad[formula]"'),
    "qdldl": ("faster sparse matrices", '"tapegrad[sparse]"'),
    "ziglang": ("a compiler for the backend 'c'", '"tapegrad[c]"'),
    "dask": ("data that are larger than memory", '"tapegrad[dask]"'),
    "jax": ("the backend 'jax'", '"tapegrad[jax]"'),
    "nutpie": ("sampling", '"tapegrad[samplers]"'),
    "tqdm": ("progress bars", "tqdm"),
}


def lines() -> Iterator[str]:
    """What there is to say."""
    yield f"tapegrad {__version__}"
    yield f"Python {platform.python_version()} on {platform.platform()}"
    yield f"numpy {metadata.version('numpy')}, scipy {metadata.version('scipy')}"
    yield ""
    found = compiler()
    if found is None:
        yield f"backend 'c': cannot be used: {reason()}"
        yield "  every function runs in NumPy"
    else:
        yield f"backend 'c': {' '.join(found.command)}"
    entries = cache.entries()
    size = sum(entry.size for entry in entries)
    yield f"cache of compiled code: {cache.folder()}, entries: {len(entries)}, {size / 1e6:.1f} MB"
    yield ""
    for name, (purpose, source) in PARTS.items():
        if importlib.util.find_spec(name) is None:
            yield f"{name:<11} missing    for {purpose}: python -m pip install {source}"
        else:
            yield f"{name:<11} {_version(name):<10} for {purpose}"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "found"
