"""Dask's workers: whether they have this package, and how much each of them may keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

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
# More than one, so that workers end about the same time.
TASKS_TO_A_THREAD = 2


def version() -> str:
    """The version of this package, where it runs."""
    return str(import_module("tapegrad").__version__)


class Workers:
    """The workers of a client of Dask's. Those that come later are asked for their version, too.

    Parameters
    ----------
    client : distributed.Client

    Attributes
    ----------
    threads : dict of str to int
        How many each has, as far as they are known.

    Raises
    ------
    RuntimeError
        If a worker lacks the package, or has another version.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.threads: dict[str, int] = {}
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
        there = self._client.nthreads()
        new = sorted(there.keys() - self.threads.keys())
        # A worker that cannot import what it is sent ends, and Dask goes on waiting for another one.
        for worker, found in (self._client.run(_asking(), workers=new) if new else {}).items():
            if found is None:
                raise RuntimeError(
                    f"the worker {worker} of Dask cannot import tapegrad: install tapegrad {version()} "
                    "there, or take the worker away"
                )
            if found != version():
                raise RuntimeError(_unlike(f"the worker {worker} of Dask", found, version()))
        self.threads, self._looked = there, time.monotonic()

    def check_open(self) -> None:
        """Raise RuntimeError if the client is closed."""
        if self._client.status in ("closing", "closed"):
            raise RuntimeError(
                "the Dask client is closed with whose workers the data are, and what was computed of them: "
                "trace anew with an open one"
            )

    def shares(self, pieces: Sequence[Any]) -> list[list[int]] | None:
        """The places of pieces that a worker is to compute as one task: all its pieces, in few tasks.

        A task takes Dask as long as a worker some 100,000 rows. None where some are not there yet.
        """
        holders = self._client.who_has(list(pieces))
        of_worker: dict[str, list[int]] = {}
        for place, piece in enumerate(pieces):
            held_by = holders.get(piece.key)
            if not held_by or held_by[0] not in self.threads:
                return None
            of_worker.setdefault(held_by[0], []).append(place)
        found = []
        for worker, places in of_worker.items():
            count = min(TASKS_TO_A_THREAD * self.threads[worker], len(places))
            found += [part.tolist() for part in np.array_split(places, count)]
        return found

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
