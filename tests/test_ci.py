"""What .ci/run does, on stand-ins for Python: which it finds, and in which order it takes them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / ".ci" / "run"
pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or not RUN.exists(), reason="needs bash, and a copy of the repository"
)

TOOLS = ("bash", "cat", "chmod", "cp", "dirname", "grep", "ls", "mkdir", "seq", "sort", "tr")

# A Python that knows its version, makes environments that hold itself, and fails its suite if told so.
STAND_IN = """#!/bin/bash
minor={minor}
case "$1 $2" in
  "-c import sys"*) [[ "$2" == *"(3, $minor)"* ]] ;;
  "-c import platform"*) echo "3.$minor.1" ;;
  "-m venv")
    mkdir -p "$4/bin" && cp "$0" "$4/bin/python"
    for tool in ruff mypy tapegrad; do
      printf '#!/bin/bash\\necho "%s" "$@"\\n' "$tool" > "$4/bin/$tool" && chmod +x "$4/bin/$tool"
    done ;;
  "-m pip") if [ "$3" = list ]; then echo "numpy==2.$minor.0"; fi ;;
  "-m pytest")
    if [ "{fails}" = True ]; then echo "1 failed in 0.01s"; exit 1; fi
    echo "$minor passed in 0.01s" ;;
esac
"""


def stand_in(file: Path, minor: int, fails: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(STAND_IN.format(minor=minor, fails=fails))
    file.chmod(0o755)


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, with none of the machine's own Pythons on the PATH."""
    (folder / ".ci").mkdir()
    shutil.copy(RUN, folder / ".ci" / "run")
    tools = folder / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(str(shutil.which(tool)))
    environment = {"PATH": f"{folder / 'bin'}:{tools}", "PYENV_ROOT": str(folder / "pyenv")}
    command = [str(tools / "bash"), str(folder / ".ci" / "run")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_every_python_is_found_and_takes_the_suite(tmp_path: Path) -> None:
    for minor in (11, 13):
        stand_in(tmp_path / "bin" / f"python3.{minor}", minor)
    # A shim answers to the name of a version that is installed but not chosen.
    shim = tmp_path / "bin" / "python3.12"
    shim.write_text("#!/bin/bash\necho 'command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    stand_in(tmp_path / "pyenv" / "versions" / "3.12.1" / "bin" / "python3.12", 12)
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Pythons on this machine: 3.11.1 3.12.1 3.13.1"
    assert [line for line in lines if line.startswith(("ruff", "mypy", "tapegrad"))] == [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "tapegrad demo",
    ]
    # The first goes on with what depends on the compiler, with another one, and with none, and with
    # functions of other packages. The last one makes the documentation site, looks at it, and runs
    # what needs JAX.
    passed = [line for line in lines if "passed in" in line]
    assert passed == [f"{n} passed in 0.01s" for n in (11, 11, 11, 11, 12, 13, 13, 13)]
    assert "== Python 3.12.1 with numpy==2.12.0 " in lines
    assert "== passed on 3.11.1; left: 3.12.1 3.13.1" in done.stdout
    assert lines[-1] == "13 passed in 0.01s"
    assert sorted(p.name for p in tmp_path.glob(".venv*")) == [f".venv-3.{n}.1" for n in (11, 12, 13)]


def test_without_a_python_of_a_known_name_it_is_the_one_called_python(tmp_path: Path) -> None:
    stand_in(tmp_path / "bin" / "python", 12)
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Pythons on this machine: 3.12.1" in done.stdout
    assert done.stdout.splitlines()[-1] == "12 passed in 0.01s"


def test_a_suite_that_fails_ends_the_run_with_its_closing_line(tmp_path: Path) -> None:
    stand_in(tmp_path / "bin" / "python3.11", 11)
    stand_in(tmp_path / "bin" / "python3.12", 12, fails=True)
    stand_in(tmp_path / "bin" / "python3.13", 13)
    done = run(tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "1 failed in 0.01s"
