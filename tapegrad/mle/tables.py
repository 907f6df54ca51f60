"""Rows of cells as text and as HTML."""

from collections.abc import Sequence
from html import escape


def text_table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines of aligned columns, the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for cells in rows:
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        lines.append(f"{cells[0].ljust(widths[0])}  {numbers}".rstrip())
    return lines


def html_table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of cells as an HTML table, the first row as its head, the first column to the left."""

    def line(cells: tuple[str, ...], tag: str) -> str:
        sides = ("left", *("right" for _ in cells[1:]))
        pairs = zip(cells, sides, strict=True)
        inner = (f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for cell, side in pairs)
        return f"<tr>{''.join(inner)}</tr>"

    body = "".join(line(cells, "td") for cells in rows[1:])
    return f"<table><thead>{line(rows[0], 'th')}</thead><tbody>{body}</tbody></table>"
