"""A line of the user's code."""

from __future__ import annotations

import linecache
import os
from typing import NamedTuple


class Source(NamedTuple):
    """A line of the user's code."""

    file: str
    line: int

    @property
    def text(self) -> str:
        """The line itself, or an empty string where the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"
