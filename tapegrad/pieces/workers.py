"""Dask's workers: whether they have this package, and how much each of them may keep."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# What a worker keeps besides the data: sub-results that depend on the data alone, such as gammaln(y + 1).
# Beyond it, they are computed anew for each replay. Where its memory is known, it is a share of that.
MOST_KEPT_BY_A_WORKER = 1_000_000_000  # bytes
SHARE_KEPT = 0.25


def version() -> str:
    """The version of this package, where it runs."""
    return str(import_module("tapegrad").__version__)


def client_and_room() -> tuple[Any, float]:
    """Dask's client, whose workers all have this version, or None; and how much they may keep, in bytes.

    Raises
    ------
    RuntimeError
        If a worker lacks the package, or has another version.
    """
    try:
        client = import_module("distributed").default_client()
    except (ImportError, ValueError):
        return None, MOST_KEPT_BY_A_WORKER
    try:
        found = client.run(version)
    except ImportError as error:
        raise RuntimeError(f"Dask's workers cannot import tapegrad ({error}): install it there") from error
    others = sorted({other for other in found.values() if other != version()})
    if others:
        raise RuntimeError(f"Dask's workers have tapegrad {', '.join(others)}, this process {version()}")
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return client, sum(SHARE_KEPT * worker["memory_limit"] or MOST_KEPT_BY_A_WORKER for worker in workers)
