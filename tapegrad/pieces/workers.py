"""Dask's workers: whether they have this package, and how much each of them may keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

# What a worker keeps besides the data: sub-results that depend on the data alone, such as gammaln(y + 1).
# Beyond it, they are computed anew for each replay. Where its memory is known, it is a share of that.
MOST_KEPT_BY_A_WORKER = 1_000_000_000  # bytes
SHARE_KEPT = 0.25
# What Dask says of graphs without the futures that were its chunks, and of a cluster that is gone.
_LOST = {
    "Missing dependency": "the data are with the workers of a Dask client that is closed: persist them anew",
    "Requested dask.distributed scheduler": "Dask is set to compute with the workers of a client, and none "
    "is open: open one, or dask.config.set(scheduler='threads')",
}
# So long after they have been looked at, workers may have come.
SECONDS = 1.0


def version() -> str:
    """The version of this package, where it runs."""
    return str(import_module("tapegrad").__version__)


class Workers:
    """The workers of a client of Dask's. Those that come later are asked for their version, too.

    Parameters
    ----------
    client : distributed.Client

    Raises
    ------
    RuntimeError
        If a worker lacks the package, or has another version.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._known: set[str] = set()
        self._looked = -float("inf")
        self.check()

    def check(self) -> None:
        """Ask those that have come since the last time.

        Raises
        ------
        RuntimeError
            If the client is closed, or one of them lacks the package, or has another version.
        """
        self.check_open()
        if time.monotonic() - self._looked < SECONDS:
            return
        there = set(self._client.nthreads())
        new = sorted(there - self._known)
        # A worker that cannot import what it is sent ends, and Dask goes on waiting for another one.
        for worker, found in (self._client.run(_asking(), workers=new) if new else {}).items():
            if found is None:
                raise RuntimeError(
                    f"the worker {worker} of Dask cannot import tapegrad: install tapegrad {version()} "
                    "there, or take the worker away"
                )
            if found != version():
                raise RuntimeError(_unlike(f"the worker {worker} of Dask", found, version()))
        self._known, self._looked = there, time.monotonic()

    def check_open(self) -> None:
        """Raise RuntimeError if the client is closed."""
        if self._client.status in ("closing", "closed"):
            raise RuntimeError(
                "the Dask client is closed with whose workers the data are, and what was computed of them: "
                "trace anew with an open one"
            )

    @property
    def room(self) -> float:
        """How much they may keep, in bytes."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return float(sum(SHARE_KEPT * worker["memory_limit"] or MOST_KEPT_BY_A_WORKER for worker in workers))


@contextmanager
def data_at_hand() -> Iterator[None]:
    """Where chunks are asked for that may have been with the workers of a client that is closed by now.

    Raises
    ------
    RuntimeError
        If they are lost.
    """
    try:
        yield
    except (ValueError, RuntimeError) as error:
        told = next((words for start, words in _LOST.items() if str(error).startswith(start)), None)
        if told is None:
            raise
        raise RuntimeError(told) from error


def workers_now() -> Workers | None:
    """Those of the client that is open, if there is one."""
    try:
        client = import_module("distributed").default_client()
    except (ImportError, ValueError):
        return None
    return Workers(client)


def check_version(asked_by: str) -> None:
    """Raise RuntimeError if this process has another version than the one that asks it to compute."""
    if asked_by != version():
        raise RuntimeError(_unlike("a worker of Dask", version(), asked_by))


def _unlike(who: str, other: str, own: str) -> str:
    return f"{who} has tapegrad {other}, and the process that asks it {own}: the same has to be everywhere"


def _asking() -> Callable[[], str | None]:
    """What asks a worker for its version. It travels by itself: the worker need not have this module."""

    def ask() -> str | None:
        from importlib import import_module

        try:
            return str(import_module("tapegrad").__version__)
        except ImportError:
            return None

    return ask
