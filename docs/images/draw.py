"""Draw the pictures of the statistics tutorial: ``python docs/images/draw.py``, from the repository's root.

The examples of the page are run in their order. Where the page shows a picture, the `axes` of the example
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
PAGE = HERE.parent / "tutorial-statistics.md"
PICTURE = re.compile(r"!\[[^]]*\]\(images/([^)]+)\)")


def draw(folder: Path) -> list[str]:
    """Save all pictures in a folder; their names."""
    names: dict[str, Any] = {}
    drawn = []
    for part in DocTestParser().parse(PAGE.read_text(encoding="utf-8")):
        if isinstance(part, str):
            for name in PICTURE.findall(part):
                names["axes"].figure.savefig(folder / name, dpi=80)
                drawn.append(name)
        else:
            with redirect_stdout(StringIO()):
                exec(compile(part.source, f"{PAGE.name}:{part.lineno + 1}", "single"), names)
    return drawn


if __name__ == "__main__":
    sys.stdout.write("\n".join(draw(HERE)) + "\n")
