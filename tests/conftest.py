"""What tests share: a backend whose blocks are so small that every test walks through row loops."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tapegrad.backends.numpy.compiled import Compiled
from tapegrad.backends.programs import BACKENDS

TINY = "numpy in tiny blocks"


@pytest.fixture(scope="session", autouse=True)
def tiny_backend() -> Iterator[str]:
    """Enter the backend of tiny blocks."""
    BACKENDS[TINY] = lambda tape, late, threads: Compiled(tape, late, 1, threads)
    yield TINY
    del BACKENDS[TINY]


@pytest.fixture(params=["numpy", "replay", TINY])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend by its name."""
    name: str = request.param
    return name
