"""A table of cells that are text, and how it is printed: as text, HTML, LaTeX and Markdown."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Final

_TEX: Final = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
}
# Rows of a longer table that a notebook shows.
_FIRST: Final = 50
_LAST: Final = 10
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of cells under a header, with a line above and lines below; print it.

    Attributes
    ----------
    header : tuple of str
        One cell for each column.
    rows : tuple of tuples of str
        The first cell stands to the left, the others to the right.
    title : str
        The line above the table.
    notes : tuple of str
        The lines below it.
    rules : tuple of int
        Rows above which a line is drawn.
    marks : bool
        Whether the last column has marks, such as stars: it stands to the left, close to the numbers.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()
    rules: tuple[int, ...] = ()
    marks: bool = False

    def as_text(self) -> str:
        """The table as lines of aligned columns."""
        cells = [self.header, *self.rows]
        kept = [row[:-1] for row in cells] if self.marks else cells
        lines = text_table(kept)
        if self.marks:
            lines = [f"{line} {row[-1]}".rstrip() for line, row in zip(lines, cells, strict=True)]
        for place in sorted(self.rules, reverse=True):
            lines.insert(place + 1, "---")
        above = (self.title,) if self.title else ()
        below = ("---", *self.notes) if self.notes and self.title else self.notes
        return "\n".join((*above, *lines, *below))

    __str__ = __repr__ = as_text

    def as_html(self) -> str:
        """The table as HTML, which Jupyter shows by itself."""
        above = f"<div>{escape(self.title)}</div>" if self.title else ""
        below = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return f"{above}{html_table([self.header, *self.rows], self.rules)}{below}"

    def _repr_html_(self) -> str:
        return self.shortened().as_html()

    def shortened(self) -> "Table":
        """The same with the first rows and the last ones, where there are more than a screen takes."""
        left_out = len(self.rows) - _FIRST - _LAST
        if left_out <= 0:
            return self
        gap = (f"... {left_out:,} more ...", *("" for _ in self.header[1:]))
        rows = (*self.rows[:_FIRST], gap, *self.rows[-_LAST:])
        return replace(self, rows=rows, rules=tuple(rule for rule in self.rules if rule <= _FIRST))

    def as_latex(self) -> str:
        """The table as LaTeX: a ``tabular``, which needs no package, with the title as a comment above it."""
        lines = [_tex_line(row) for row in self.rows]
        for place in sorted(self.rules, reverse=True):
            lines.insert(place, "\\hline\n")
        short = [line for note in self.notes for line in textwrap.wrap(note, 100)]
        width = len(self.header)
        notes = [rf"\multicolumn{{{width}}}{{l}}{{\footnotesize {_tex(line)}}} \\" + "\n" for line in short]
        parts = ([_tex_line(self.header)], lines, notes)
        body = "\\hline\n".join("".join(part) for part in parts)
        columns = "l" + "r" * (width - 1 - self.marks) + "l" * self.marks
        title = " ".join(self.title.split())  # whatever its name: no line of it leaves the comment
        above = f"% {title}\n" if title else ""
        return f"{above}\\begin{{tabular}}{{{columns}}}\n\\hline\n{body}\\end{{tabular}}"

    def as_markdown(self) -> str:
        """The table as Markdown, as GitHub and Jupyter read it."""
        sides = [":--", *("--:" for _ in self.header[1:])]
        if self.marks:
            sides[-1] = ":--"
        lines = [_pipes(map(_markdown, row)) for row in (self.header, *self.rows)]
        lines.insert(1, _pipes(sides))
        above = [_markdown(self.title), ""] if self.title else []
        below = ["", "<br>\n".join(map(_markdown, self.notes))] if self.notes else []
        return "\n".join((*above, *lines, *below))


class Tabled:
    """What is shown as a table: its own method `table` makes it."""

    def table(self) -> Table:
        """The same as a table: print it, or take its HTML, LaTeX or Markdown."""
        raise NotImplementedError

    def as_html(self) -> str:
        """The table as HTML."""
        return self.table().as_html()

    def as_latex(self) -> str:
        """The table as LaTeX, a ``tabular``."""
        return self.table().as_latex()

    def as_markdown(self) -> str:
        """The table as Markdown."""
        return self.table().as_markdown()

    def _repr_html_(self) -> str:
        return self.table().shortened().as_html()


def text_table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines of aligned columns, the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for cells in rows:
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        lines.append(f"{cells[0].ljust(widths[0])}  {numbers}".rstrip())
    return lines


def html_table(rows: Sequence[tuple[str, ...]], rules: Sequence[int] = ()) -> str:
    """Rows of cells as an HTML table, the first row as its head, the first column to the left.

    A line stands above each row of the body whose number is among `rules`.
    """

    def line(cells: tuple[str, ...], tag: str, above: str = "") -> str:
        sides = ("left", *("right" for _ in cells[1:]))
        pairs = zip(cells, sides, strict=True)
        inner = (
            f'<{tag} style="text-align: {side}{above}">{escape(cell.strip())}</{tag}>' for cell, side in pairs
        )
        return f"<tr>{''.join(inner)}</tr>"

    ruled = "; border-top: 1px solid"
    body = "".join(line(cells, "td", ruled if i in rules else "") for i, cells in enumerate(rows[1:]))
    return f"<table><thead>{line(rows[0], 'th')}</thead><tbody>{body}</tbody></table>"


def _tex_line(cells: tuple[str, ...]) -> str:
    line = " & ".join(_tex(cell.strip()) for cell in cells)
    # After the end of a line, TeX takes these for an option of it.
    return f"{'{}' * line.startswith(('[', '*'))}{line} \\\\\n"


def _tex(text: str) -> str:
    escaped = "".join(_TEX.get(character, character) for character in text)
    # A minus is no hyphen, and TeX would make one space of several.
    return re.sub(r"-(?=\d)", "$-$", escaped).replace("    ", r"\quad ")


def _markdown(text: str) -> str:
    """The text as it is: no character of it means something to Markdown."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _pipes(cells: "Sequence[str] | map[str]") -> str:
    return f"| {' | '.join(cells)} |"
