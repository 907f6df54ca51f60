"""Draw the pictures of the pages: ``python docs/images/draw.py``, from the repository's root.

The examples of a page are run in their order. Where the page shows a picture, the `axes` of the example
before it are saved under its name.
"""

import re
import sys
from contextlib import redirect_stdout
from doctest import DocTestParser
from io import StringIO
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGES = [HERE.parent / name for name in ("index.md", "tutorial-statistics.md", "random-effects.md")]
PICTURE = re.compile(r"!\[[^]]*\]\(images/([^)]+)\)")


def draw(folder: Path) -> list[str]:
    """Save all pictures in a folder; their names."""
    return [name for page in PAGES for name in _drawn_from(page, folder)]


def _drawn_from(page: Path, folder: Path) -> list[str]:
    names: dict[str, Any] = {}
    drawn = []
    for part in DocTestParser().parse(page.read_text(encoding="utf-8")):
        if isinstance(part, str):
            for name in PICTURE.findall(part):
                names["axes"].figure.savefig(folder / name, dpi=80)
                drawn.append(name)
        elif part.exc_msg is None:  # what raises an error draws nothing
            with redirect_stdout(StringIO()):
                exec(compile(part.source, f"{page.name}:{part.lineno + 1}", "single"), names)
    return drawn


if __name__ == "__main__":
    sys.stdout.write("\n".join(draw(HERE)) + "\n")
