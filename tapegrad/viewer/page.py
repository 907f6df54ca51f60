"""Sheets and texts as one page of HTML that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import tempfile
import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from tapegrad.viewer.sources import source

_HEIGHT = 640  # pixels in a notebook


@dataclass(frozen=True, repr=False)
class Page:
    """A page for a browser, in one piece; a notebook displays it.

    Attributes
    ----------
    name : str
        What it shows.
    html : str
        The whole page.
    """

    name: str
    html: str

    def write(self, path: str | os.PathLike[str]) -> Page:
        """Write the page to a file, and return it."""
        Path(path).write_text(self.html, encoding="utf-8")
        return self

    def open(self) -> None:
        """Show it in the browser of this machine, from a temporary file."""
        with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False, encoding="utf-8") as file:
            file.write(self.html)
        webbrowser.open(Path(file.name).as_uri())

    def __repr__(self) -> str:
        size = f"{len(self.html) / 1e3:,.0f} kB"
        return f'<page of {self.name}, {size}: .open() shows it in a browser, .write("page.html") keeps it>'

    def _repr_html_(self) -> str:
        return (
            f'<iframe title="{escape(self.name)}" sandbox="allow-scripts" srcdoc="{escape(self.html)}" '
            f'style="width: 100%; height: {_HEIGHT}px; border: 0"></iframe>'
        )


def page(
    name: str,
    sheets: Sequence[Mapping[str, Any]],
    texts: Sequence[Mapping[str, str]] = (),
    notes: Sequence[str] = (),
    finding: Mapping[str, Any] | None = None,
) -> Page:
    """A page with a tab for each sheet and each text.

    Parameters
    ----------
    name : str
        Of the function.
    sheets : sequence of dict
        Tapes, see `tapegrad.tape.showing`.
    texts : sequence of dict
        Generated sources: ``title``, ``note`` and ``text``.
    notes : sequence of str
        What is to be said of the whole.
    finding : dict, optional
        What was found of NaN and infinity: ``text``, and of the first sheet the ``slot`` it arises in.
    """
    lines: dict[str, set[int]] = {}
    for file, line in (place for one in sheets for place in _places(one)):
        lines.setdefault(file, set()).add(line)
    numbers = {file: i for i, file in enumerate(lines)}
    content = {
        "name": name,
        "files": [source(file, wanted) for file, wanted in lines.items()],
        "sheets": [_with_files(one, numbers) for one in sheets],
        "texts": list(texts),
        "notes": list(notes),
        "finding": finding,
    }
    return Page(name, _assembled(name, json.dumps(content, allow_nan=False, separators=(",", ":"))))


def _places(sheet: Mapping[str, Any]) -> list[tuple[str, int]]:
    """All places of a sheet and of the bodies of its loops."""
    inner = (place for body in sheet["bodies"].values() for place in _places(body))
    return [*map(tuple, sheet["places"]), *inner]


def _with_files(sheet: Mapping[str, Any], numbers: Mapping[str, int]) -> dict[str, Any]:
    """A sheet with the numbers of files."""
    bodies = {i: _with_files(body, numbers) for i, body in sheet["bodies"].items()}
    return {
        **sheet,
        "places": [(numbers[file], line) for file, line in sheet["places"]],
        "bodies": bodies,
    }


@cache
def _template(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _assembled(name: str, content: str) -> str:
    """The page. Names and code reach it as JSON in which no tag can stand."""
    script, style = _template("page.js"), _template("page.css")
    for character in "<>&":
        content = content.replace(character, f"\\u{ord(character):04x}")
    # The browser runs this script and no other, and loads nothing.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Names stand in the title, as ASCII, whatever they hold.
    title = escape(name).encode("ascii", "xmlcharrefreplace").decode()
    parts = {"name": title, "digest": digest, "style": style, "script": script, "content": content}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _template("page.html"))
