"""Finding a C compiler, probing it, and keeping what it makes."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.c import backend, cache, commands, compiler, library, probe, probe_program
from tapegrad.backends.c.commands import CompilationFailed, NoCompiler
from tapegrad.cli import main

ADD = "double add(double a, double b) { return a + b; }\n"
HAS_COMPILER = compiler.compiler() is not None
needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="needs a C compiler")


@pytest.fixture(autouse=True)
def empty_cache(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A cache of its own for each test, and nothing remembered from others."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    # Zig compiles its own library when it is first called with an empty cache, which takes seconds.
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "zig"))
    for known in (library._loaded, compiler._known, cache._own):
        monkeypatch.setattr(*_place(known), {})
    monkeypatch.setattr(backend, "_told", set())
    return tmp_path / "cache" / "libraries"


def _place(known: object) -> tuple[object, str]:
    return next(
        (module, name)
        for module in (library, compiler, cache)
        for name, value in vars(module).items()
        if value is known
    )


def add(a: float, b: float, source: str = ADD) -> float:
    function = library.library(source).add
    function.argtypes, function.restype = [ctypes.c_double] * 2, ctypes.c_double
    return float(function(a, b))


def script(file: Path, text: str) -> str:
    """A compiler that is a shell script."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("needs a C compiler on the PATH")
    file.write_text(f'#!/bin/sh\n{text}\nexec {found} "$@"\n')
    file.chmod(0o755)
    return str(file)


def libraries(folder: Path) -> list[Path]:
    return sorted(file.parent for file in folder.glob(f"*/{library.BUILT}"))


# The compiler -----------------------------------------------------------------------------------------------


@needs_compiler
def test_source_becomes_a_library_once() -> None:
    assert add(1.0, 2.0) == 3.0
    assert library.library(ADD) is library.library(ADD)


@pytest.mark.parametrize("named", ["/nonexistent", "/", "false", "echo", '"cc', sys.executable])
def test_what_is_no_compiler_is_none(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", named)
    assert compiler.compiler() is None
    with pytest.raises(NoCompiler, match="CC names"):
        library.library(ADD)
    with pytest.raises(ValueError, match="the backend 'c' cannot be used: CC names"):
        tg.trace(lambda x: x * x, 1.0, backend="c")


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compiler, "candidates", lambda: iter(()))
    with pytest.raises(NoCompiler, match=r"install one \(gcc or clang\), or `python -m pip install"):
        library.library(ADD)


@pytest.mark.parametrize("system", ["win32", "emscripten"])
def test_other_systems_have_none(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.sys, "platform", system)
    assert list(commands.candidates()) == []
    assert system in compiler.reason()


def test_the_usual_names_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", " ")
    monkeypatch.setattr(commands.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(commands, "_zig", lambda: Path("/zig/zig"))
    expected = [("/bin/cc",), ("/bin/gcc",), ("/bin/clang",), ("/zig/zig", "cc")]
    assert list(commands.candidates()) == expected
    monkeypatch.setenv("CC", "ccache gcc -m64")
    assert list(commands.candidates()) == [("/bin/ccache", "gcc", "-m64")]


@pytest.mark.parametrize("status", [0, 2])
def test_apples_stand_ins_are_not_called(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def execute(command: list[str], folder: object) -> subprocess.CompletedProcess[str]:
        asked.append(command[0])
        return subprocess.CompletedProcess(command, status, "", "")

    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(commands.sys, "platform", "darwin")
    monkeypatch.setattr(commands, "execute", execute)
    monkeypatch.setattr(commands, "_zig", lambda: None)
    places = {"cc": "/usr/bin/cc", "clang": "/opt/local/bin/clang"}
    monkeypatch.setattr(commands.shutil, "which", places.get)
    found = [command[0] for command in commands.candidates()]
    assert found == (["/opt/local/bin/clang"] if status else ["/usr/bin/cc", "/opt/local/bin/clang"])
    assert asked == ["/usr/bin/xcode-select"]


@needs_compiler
@pytest.mark.parametrize("flag", ["-ffast-math", "-funsafe-math-optimizations"])
def test_arithmetic_that_is_not_ieees_is_refused(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = compiler.compiler()
    assert found is not None
    if "Free Software Foundation" not in found.identity:
        pytest.skip("how GCC takes these flags")
    monkeypatch.setenv("CC", f"{found.command[0]} {flag}")
    assert compiler.compiler() is None


@needs_compiler
def test_vector_registers_are_empty_behind_a_function(tmp_path: Path) -> None:
    """Otherwise code without vectors behind it is slow on Intel's processors, NumPy's among it."""
    found = compiler.compiler()
    assert found is not None
    (tmp_path / "twice.c").write_text(
        "static __attribute__((noinline)) void put(double *to, const double *from) { to[0] = from[3]; }\n"
        "void twice(double *to, const double *from) {\n"
        "    double room[8];\n"
        "    for (int i = 0; i < 8; i++) room[i] = 2.0 * from[i];\n"
        "    put(to, room);\n"
        "}\n"
    )
    call = [*found.command, *found.flags, "-S", "twice.c", "-o", "twice.s"]
    subprocess.run(call, cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "twice.s").read_text(encoding="utf-8")
    body = text[text.index("twice:") :].split("\n\tret")[0]
    assert "vzeroupper" in body or not re.search(r"[yz]mm\d", body)


@needs_compiler
def test_denormal_numbers_survive_a_load() -> None:
    tiny = np.array([5e-324, 1e-310, -3e-320])
    before = tiny * 1.0
    assert add(5e-324, 5e-324) == 1e-323
    assert np.array_equal(tiny * 1.0, before)
    assert (tiny[1:] / 2.0 != 0.0).all()
    assert float(np.float64(1e-308) / 1e10) != 0.0


@needs_compiler
def test_a_function_that_is_wrong_is_not_called_by_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compiler.compiler()
    assert found is not None
    if "cbrt" not in found.vectors:
        pytest.skip("needs GCC, and glibc's vector functions")
    wrong = """[ -e probe.c ] && sed -i 's/= cbrt(x.i.)/= 1.000000000000002 * cbrt(x[i])/' probe.c"""
    monkeypatch.setenv("CC", script(tmp_path / "wrong", wrong))
    other = compiler.compiler()
    assert other is not None
    assert set(found.vectors) - set(other.vectors) == {"cbrt"}
    assert "cbrt" in found.prelude
    assert "cbrt" not in other.prelude


@needs_compiler
def test_vector_functions_are_within_their_bound() -> None:
    found = compiler.compiler()
    assert found is not None
    names = [name for name in ("exp", "log", "log1p", "erf", "tanh") if name in found.vectors]
    loops = "".join(
        f"void v_{name}(double *x, long n) {{ for (long i = 0; i < n; i++) x[i] = {name}(x[i]); }}\n"
        for name in ("exp", "log", "log1p", "erf", "tanh")
    )
    compiled = library.library("#include <math.h>\n" + loops)
    points = np.concatenate([np.linspace(0.01, 20.0, 1000), [np.inf, np.nan, 0.0, -0.0]])
    from scipy.special import erf

    exact = {"exp": np.exp, "log": np.log, "log1p": np.log1p, "erf": erf, "tanh": np.tanh}
    for name in names:
        x = points.copy()
        getattr(compiled, f"v_{name}")(ctypes.c_void_p(x.ctypes.data), ctypes.c_long(x.size))
        with np.errstate(all="ignore"):
            expected = exact[name](points)
        assert np.array_equal(np.isnan(x), np.isnan(expected))
        finite = np.isfinite(expected)
        # 4 ulp for the vector form, and 4 for NumPy's and SciPy's.
        error = np.abs(x[finite] - expected[finite])
        assert (error <= 8.0 * np.spacing(np.abs(expected[finite]))).all()
        assert np.array_equal(x[~finite], expected[~finite], equal_nan=True)


def test_the_probe_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = compiler.compiler()
    monkeypatch.setattr(compiler, "_known", {})
    monkeypatch.setattr(probe, "_first_that_is_right", None)  # which would raise
    assert compiler.compiler() == first


@pytest.mark.skipif(sys.platform != "linux", reason="how Linux describes processors")
def test_the_processor_is_part_of_the_identity() -> None:
    assert "flags" in commands.processor() or "Features" in commands.processor()
    assert "MHz" not in commands.processor()


def test_programs_of_the_probe_are_ascii() -> None:
    assert probe_program.test_program(probe_program.FUNCTIONS).isascii()


# Failures ---------------------------------------------------------------------------------------------------


@needs_compiler
def test_errors_have_the_compilers_words() -> None:
    with pytest.raises(CompilationFailed, match="nonsense"):
        library.library("nonsense here;\n")


def test_a_failed_compilation_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = 'case "$*" in *library.c*) echo "internal error: too tired" >&2; exit 1;; esac'
    monkeypatch.setenv("CC", script(tmp_path / "tired", fails))
    x = np.linspace(0.1, 1.0, 100)
    traced = tg.trace(lambda a: np.exp(-a * x).sum(), 0.5, backend="c")
    with pytest.warns(tg.CompilationWarning, match="internal error: too tired") as caught:
        value, gradient = traced.value_and_grad(0.5)
    assert len(caught) == 1
    np.testing.assert_allclose(value, np.exp(-0.5 * x).sum(), rtol=1e-14)
    np.testing.assert_allclose(gradient, -(x * np.exp(-0.5 * x)).sum(), rtol=1e-14)
    np.testing.assert_allclose(traced.hessian(0.5), [[(x * x * np.exp(-0.5 * x)).sum()]], rtol=1e-13)
    assert "def bind" in traced.source()


def test_a_compiler_that_does_not_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps = f'case "$*" in *library.c*) sleep 60 & echo $! > {tmp_path}/sleeper; wait;; esac'
    monkeypatch.setenv("CC", script(tmp_path / "slow", sleeps))
    assert compiler.compiler() is not None
    monkeypatch.setattr(commands, "TIME_LIMIT_S", 0.5)
    with pytest.raises(CompilationFailed, match="slow was stopped after"):
        library.library(ADD)
    sleeper = int((tmp_path / "sleeper").read_text())
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline and _is_running(sleeper):
        time.sleep(0.05)
    assert not _is_running(sleeper)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


# The cache --------------------------------------------------------------------------------------------------


@needs_compiler
def test_later_processes_do_not_compile(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(1.0, 2.0)
    monkeypatch.setattr(library, "_loaded", {})
    monkeypatch.setattr(library, "execute", None)  # which would raise
    assert add(1.0, 2.0) == 3.0
    (entry,) = libraries(empty_cache)
    assert (entry / library.SOURCE).read_text().endswith(ADD)
    for place in (empty_cache, entry):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in entry.iterdir())
    assert not list(empty_cache.glob(f"{cache.TEMPORARY}*"))


def _replace(file: Path, content: bytes) -> None:
    """Another file of this name: the process that runs this has loaded the first."""
    file.unlink()
    file.write_bytes(content)
    file.chmod(0o600)


def _flip(entry: Path) -> None:
    content = bytearray((entry / library.BUILT).read_bytes())
    content[len(content) // 2] ^= 1
    _replace(entry / library.BUILT, content)


def _cut(entry: Path) -> None:
    _replace(entry / library.BUILT, (entry / library.BUILT).read_bytes()[:100])


def _open_to_all(entry: Path) -> None:
    (entry / library.BUILT).chmod(0o666)


def _link(entry: Path) -> None:
    shutil.move(entry / library.BUILT, entry.parent.parent / "elsewhere.so")
    (entry / library.BUILT).symlink_to(entry.parent.parent / "elsewhere.so")


def _without_checksums(entry: Path) -> None:
    (entry / cache.CHECKSUMS).unlink()


def _with_more(entry: Path) -> None:
    (entry / "more").write_bytes(b"")


def _of_another(entry: Path) -> None:
    other = entry.parent / cache.key_of("other")
    shutil.copytree(entry, other)
    shutil.rmtree(entry)
    other.rename(entry)
    lines = (entry / cache.CHECKSUMS).read_text().splitlines()
    (entry / cache.CHECKSUMS).write_text("\n".join([cache.key_of("other"), *lines[1:], ""]))


@needs_compiler
@pytest.mark.parametrize(
    "damage", [_flip, _cut, _open_to_all, _link, _without_checksums, _with_more, _of_another]
)
def test_what_is_damaged_or_foreign_is_not_loaded(
    damage: Callable[[Path], None], empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(1.0, 2.0)
    (entry,) = libraries(empty_cache)
    damage(entry)
    made = []
    compiled = library._compiled

    def watched(*given: Any) -> ctypes.CDLL:
        made.append(given)
        return compiled(*given)

    monkeypatch.setattr(library, "_loaded", {})
    monkeypatch.setattr(library, "_compiled", watched)
    assert add(1.0, 2.0) == 3.0
    assert len(made) == 1
    assert libraries(empty_cache) == [entry]
    assert cache.look_up(entry.name) == entry


@needs_compiler
def test_what_is_of_another_user_is_not_loaded(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(1.0, 2.0)
    (entry,) = libraries(empty_cache)
    assert cache.look_up(entry.name) is not None
    monkeypatch.setattr(cache.os, "geteuid", lambda: 12345)
    assert cache.look_up(entry.name) is None
    assert cache.folder() != empty_cache


@pytest.mark.parametrize("mode", [0o777, 0o722, 0o770])
def test_a_folder_that_others_may_write_to_is_not_used(mode: int, empty_cache: Path) -> None:
    empty_cache.mkdir(parents=True)
    empty_cache.chmod(mode)
    place = cache.folder()
    assert place != empty_cache
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_folder_that_others_may_read_becomes_private(empty_cache: Path) -> None:
    empty_cache.mkdir(parents=True)
    empty_cache.chmod(0o755)
    assert cache.folder() == empty_cache
    assert stat.S_IMODE(empty_cache.stat().st_mode) == 0o700


@needs_compiler
def test_where_nothing_can_be_written_a_temporary_folder_serves(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code = (
        "import ctypes\nfrom tapegrad.backends.c import cache, library\n"
        f"library.library({ADD!r})\nprint(cache.folder())"
    )
    environment = {**os.environ, cache.VARIABLE: str(tmp_path / "file" / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "tapegrad-" in done.stdout
    assert not Path(done.stdout.strip()).exists()


@needs_compiler
def test_where_nothing_can_be_stored_the_library_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(key: str, files: object) -> Path:
        raise OSError("no space left on device")

    compiler.compiler()
    monkeypatch.setattr(cache, "store", full)
    assert add(1.0, 2.0) == 3.0


@needs_compiler
def test_many_processes_at_once(empty_cache: Path) -> None:
    code = (
        "import ctypes\nfrom tapegrad.backends.c.library import library\n"
        f"for number in range(3):\n    f = library({ADD!r} + f'/* {{number}} */').add\n"
        "    f.argtypes, f.restype = [ctypes.c_double] * 2, ctypes.c_double\n    assert f(1.0, 2.0) == 3.0\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(5)
    ]
    assert [(process.communicate()[1], process.returncode) for process in running] == [("", 0)] * 5
    assert len(libraries(empty_cache)) == 3
    assert all(cache.look_up(entry.name) == entry for entry in libraries(empty_cache))
    assert not list(empty_cache.glob(f"{cache.TEMPORARY}*"))


def test_one_entry_that_many_threads_store(empty_cache: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    key = cache.key_of("contested")
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda i: cache.store(key, {"a": b"%d" % i}), range(64)))
    assert set(places) == {empty_cache / key}
    assert cache.look_up(key) == empty_cache / key


def test_the_oldest_goes_first(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_BYTES", 5_000)
    keys = [cache.key_of(str(i)) for i in range(6)]
    for i, key in enumerate(keys[:4]):
        place = cache.store(key, {"a": bytes(1_000)})
        os.utime(place / cache.CHECKSUMS, (1e9 + i, 1e9 + i))
    assert cache.look_up(keys[0]) is not None  # which makes it the youngest
    cache.store(keys[4], {"a": bytes(1_000)})
    assert [cache.look_up(key) is not None for key in keys] == [True, False, True, True, True, False]
    cache.store(keys[5], {"a": bytes(9_000)})  # alone too large, but the one that is needed now
    assert [entry.folder.name for entry in cache.entries()] == [keys[5]]


def test_what_nobody_finished_is_taken_away(empty_cache: Path) -> None:
    cache.store(cache.key_of("a"), {"a": b"1"})
    for name, age in (("old", 10_000.0), ("new", 0.0)):
        place = empty_cache / f"{cache.TEMPORARY}{name}"
        place.mkdir()
        os.utime(place, (time.time() - age, time.time() - age))
    cache.prune()
    assert [place.name for place in empty_cache.glob(f"{cache.TEMPORARY}*")] == [f"{cache.TEMPORARY}new"]


def test_parts_of_a_key_do_not_run_together() -> None:
    assert cache.key_of("ab", "c") != cache.key_of("a", "bc")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv(cache.VARIABLE, "/scratch/libraries")
    assert cache.wanted() == Path("/scratch/libraries")
    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/me")
    assert cache.wanted() == Path("/var/me/tapegrad")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(cache.sys, "platform", "linux")
    assert cache.wanted() == Path("/home/me/.cache/tapegrad")
    monkeypatch.setattr(cache.sys, "platform", "darwin")
    assert cache.wanted() == Path("/home/me/Library/Caches/tapegrad")


@needs_compiler
def test_the_command_line_lists_and_clears(empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(1.0, 2.0)
    (entry,) = libraries(empty_cache)
    assert main(["cache"]) == 0
    assert str(empty_cache) in capsys.readouterr().out
    assert main(["cache", "--list"]) == 0
    out = capsys.readouterr().out
    assert entry.name in out
    assert main(["cache", "--clear"]) == 0
    assert "2 entries" in capsys.readouterr().out  # the library and the probe
    assert libraries(empty_cache) == []
    assert main(["cache", "--list"]) == 0
    assert "0 entries" in capsys.readouterr().out


# ziglang alone ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(find_spec("ziglang") is None, reason="needs the package ziglang: tapegrad[c]")
def test_ziglang_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = compiler.compiler()
    assert found is not None
    assert found.command[-1] == "cc"
    assert Path(found.command[0]).name == "zig"
    assert add(1.0, 2.0) == 3.0
    x = np.linspace(0.1, 1.0, 1000)
    one, other = (
        tg.trace(lambda a: np.log1p(np.exp(-a * x)).sum(), 0.5, backend=name) for name in ("c", "replay")
    )
    assert "piece0" in one.source()
    np.testing.assert_allclose(one.hessian(0.7), other.hessian(0.7), rtol=1e-13)
