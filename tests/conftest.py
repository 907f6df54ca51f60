"""A backend for all tests, with blocks so small that tests walk through row loops, and a list of products."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tapegrad.backends.numpy.compiled import Compiled
from tapegrad.backends.programs import BACKENDS
from tapegrad.function.derived import Derived
from tapegrad.function.router import Router

TINY = "numpy in tiny blocks"


@pytest.fixture(scope="session", autouse=True)
def tiny_backend() -> Iterator[str]:
    """Enter the backend of tiny blocks."""
    BACKENDS[TINY] = lambda tape, late, threads: Compiled(tape, late, 1, threads)
    yield TINY
    del BACKENDS[TINY]


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """pyplot keeps each figure, and warns of many."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


@pytest.fixture(params=["numpy", "replay", TINY])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend by its name."""
    name: str = request.param
    return name


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is run from now on: which kind of product, and how many."""
    seen: list[tuple[str, int]] = []
    run = Router.run

    def watched(self: Any, kind: Derived, inputs: Any, read: Any, directions: Any = None) -> Any:
        if directions is not None:
            directions = list(directions)
            seen.append((kind.name, len(directions)))
        return run(self, kind, inputs, read, directions)

    monkeypatch.setattr(Router, "run", watched)
    return seen
