"""The commands that may be a C compiler, and how commands are run."""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

TIME_LIMIT_S: Final = 60.0
SYSTEMS: Final = ("linux", "darwin")
# What /proc/cpuinfo says of a processor that decides on the instructions it has.
PROCESSOR: Final = (
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "isa", "uarch", "cpu"),
)


class NoCompiler(Exception):
    """This machine has no C compiler that tapegrad can use."""


class CompilationFailed(Exception):
    """The compiler refused some source; the message is what it said."""


def candidates() -> Iterator[tuple[str, ...]]:
    """The commands that may be a C compiler: what `CC` names and nothing else, or the usual ones."""
    if sys.platform not in SYSTEMS:
        return
    if os.environ.get("CC", "").strip():
        try:
            named = shlex.split(os.environ["CC"])
        except ValueError:  # a quotation mark that is never closed
            return
        found = shutil.which(named[0])
        if found is not None:
            yield found, *named[1:]
        return
    for name in ("cc", "gcc", "clang"):
        found = shutil.which(name)
        if found is not None and not _only_asks_to_be_installed(found):
            yield (found,)
    zig = _zig()
    if zig is not None:
        yield str(zig), "cc"


def _only_asks_to_be_installed(command: str) -> bool:
    """Whether it is one of Apple's stand-ins, which open a window where no compiler is installed."""
    if sys.platform != "darwin" or not command.startswith("/usr/bin/"):
        return False
    return execute(["/usr/bin/xcode-select", "-p"], None).returncode != 0


def _zig() -> Path | None:
    """The compiler that the package `ziglang` brings."""
    spec = importlib.util.find_spec("ziglang")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if os.access(Path(folder, "zig"), os.X_OK):
            return Path(folder, "zig")
    return None


def identity_of(command: Sequence[str]) -> str | None:
    """What a compiler says of its version, with the processor; None if it does not answer."""
    try:
        done = execute([*command, "--version"], None)
    except (OSError, CompilationFailed):
        return None
    return None if done.returncode else "\n".join([*command, done.stdout.strip(), processor()])


def processor() -> str:
    """What decides on the instructions of this machine: compiled code runs on the same only."""
    if sys.platform == "darwin":
        asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string", "hw.cpufamily"]
        return f"{platform.machine()} {execute(asked, None).stdout.strip()}"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    fields = {line for line in lines if line.partition(":")[0].strip() in PROCESSOR}
    return "\n".join([platform.machine(), *sorted(fields)])


def execute(
    command: Sequence[str], folder: Path | None, caches: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with all that it starts.

    Raises
    ------
    CompilationFailed
        If it takes longer than `TIME_LIMIT_S`.
    """
    told = {"LC_ALL": "C", "TMPDIR": str(folder)} if folder is not None else {"LC_ALL": "C"}
    if caches is not None:
        told["ZIG_LOCAL_CACHE_DIR"] = str(folder)
        told["ZIG_GLOBAL_CACHE_DIR"] = os.environ.get("ZIG_GLOBAL_CACHE_DIR", str(caches))
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **told},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # a compiler's driver starts others, which end with it
    )
    try:
        out, words = process.communicate(timeout=TIME_LIMIT_S)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise CompilationFailed(
                f"{Path(command[0]).name} was stopped after {TIME_LIMIT_S:.0f} s"
            ) from None
        raise
    return subprocess.CompletedProcess(list(command), process.returncode, out, words)
