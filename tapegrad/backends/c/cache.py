"""What was compiled, kept on disk for later processes: private, checked before it is used, and bounded.

An entry is a folder with its files and their checksums. It is made beside its place and renamed into it, so
other processes see all of it or nothing, and whoever comes second takes what is there.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

VARIABLE: Final = "TAPEGRAD_CACHE_DIR"
CHECKSUMS: Final = "checksums"
TEMPORARY: Final = "making-"
MOST_BYTES: Final = 100_000_000
ABANDONED_S: Final = 3600.0  # after which a folder that nobody has finished is taken away


class Entry(NamedTuple):
    """One entry: its folder, its bytes, and when it was used last."""

    folder: Path
    size: int
    used: float


def key_of(*parts: str) -> str:
    """The name of an entry for what it was made from."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    return digest.hexdigest()[:40]


# The folder -------------------------------------------------------------------------------------------------


def wanted() -> Path:
    """Where the cache should be: `TAPEGRAD_CACHE_DIR`, or the user's folder for caches."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):  # others are to be ignored, says its specification
        return Path(xdg, "tapegrad")
    home = Path(os.path.expanduser("~"))
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "tapegrad"


def folder() -> Path:
    """Where the cache is: a folder of this user's that nobody else may enter.

    Where there can be none, it is a temporary one for this process alone.
    """
    place = wanted() / "libraries"
    return place if _is_private(place) else _temporary()


def _is_private(place: Path) -> bool:
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return False  # others may have written into it
        if found.st_mode & 0o777 != 0o700:
            place.chmod(0o700)
        return os.access(place, os.W_OK | os.X_OK)
    except OSError:
        return False


_lock = threading.Lock()
_own: dict[int, Path] = {}  # by processes: a fork takes one of its own


def _temporary() -> Path:
    with _lock:
        process = os.getpid()
        if process not in _own or not _own[process].is_dir():
            _own[process] = Path(tempfile.mkdtemp(prefix="tapegrad-"))
            atexit.register(_remove, _own[process], process)
        return _own[process]


def _remove(place: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def room() -> Iterator[Path]:
    """A private folder to compile in, on the disk of the cache; it is gone afterwards."""
    made = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder()))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


# Entries ----------------------------------------------------------------------------------------------------


def look_up(key: str) -> Path | None:
    """The folder of an entry whose files are what was stored, or None; a damaged one is taken out."""
    place = folder() / key
    if not place.is_dir():
        return None
    if not _is_whole(place):
        discard(place)
        return None
    with suppress(OSError):
        os.utime(place / CHECKSUMS)
    return place


def store(key: str, files: Mapping[str, bytes]) -> Path:
    """Keep files as an entry, all at once; the folder of the entry, which may be another process's."""
    home = folder()
    made = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=home))
    try:
        for name, content in {**files, CHECKSUMS: _checksums(key, files)}.items():
            with open(os.open(made / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        for _ in range(3):  # another process may have stored the same, whole or damaged
            with suppress(OSError):
                made.rename(home / key)
                break
            if look_up(key) is not None:
                break
        else:
            raise OSError(f"{home / key} cannot be written")
    finally:
        shutil.rmtree(made, ignore_errors=True)
    prune(keep=key)
    return home / key


def discard(place: Path) -> None:
    """Take an entry out, all at once."""
    with suppress(OSError):
        aside = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=place.parent))
        place.rename(aside / place.name)
        shutil.rmtree(aside, ignore_errors=True)


def _checksums(key: str, files: Mapping[str, bytes]) -> bytes:
    """What stands beside the files of an entry: its name, and a line for each of them."""
    lines = [f"{hashlib.sha256(content).hexdigest()} {name}" for name, content in sorted(files.items())]
    return "\n".join([key, *lines, ""]).encode("ascii")


def _is_whole(place: Path) -> bool:
    """Whether a folder holds the files that its checksums name, as they were stored, and by this user."""
    try:
        found = [place.lstat(), *(file.lstat() for file in place.iterdir())]
        if any(one.st_uid != os.geteuid() or one.st_mode & 0o022 for one in found):
            return False
        if not all(stat.S_ISREG(one.st_mode) for one in found[1:]):
            return False
        files = {file.name: file.read_bytes() for file in place.iterdir()}
        return files.pop(CHECKSUMS, None) == _checksums(place.name, files)
    except OSError:
        return False


def entries() -> list[Entry]:
    """All entries, the one that was used last at the end."""
    found = []
    for place in folder().iterdir():
        with suppress(OSError):  # others may take it away meanwhile
            if not place.name.startswith(TEMPORARY) and (place / CHECKSUMS).is_file():
                size = sum(file.stat().st_size for file in place.iterdir())
                found.append(Entry(place, size, (place / CHECKSUMS).stat().st_mtime))
    return sorted(found, key=lambda entry: (entry.used, entry.folder.name))


def prune(keep: str = "") -> None:
    """Take out what was not used for longest until the rest is small enough, and what nobody has finished."""
    found = entries()
    total = sum(entry.size for entry in found)
    for entry in found:
        if total <= MOST_BYTES:
            break
        if entry.folder.name != keep:
            discard(entry.folder)
            total -= entry.size
    for place in folder().glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            if time.time() - place.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(place, ignore_errors=True)


def clear() -> int:
    """Take out all entries, and what compilers keep beside them; how many entries there were."""
    found = entries()
    for entry in found:
        discard(entry.folder)
    shutil.rmtree(compilers_own(), ignore_errors=True)
    return len(found)


def compilers_own() -> Path:
    """Where a compiler may keep what it makes for itself."""
    return folder() / "compiler"
