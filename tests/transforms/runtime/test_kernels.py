"""Where compiled kernels are kept, and that an old one is never used."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tamis.transforms.runtime import kernels

KERNEL = """
from tamis.transforms.runtime import kernels
from {package}.callee import FACTOR

@kernels.njit(cache=True, nogil=True)
def scaled(x):
    return x * FACTOR

print(scaled(2), "kept" if scaled.stats.cache_hits else "compiled")
"""


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    cached = (kernels.folder, kernels._module_folder, kernels.digest)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


def run(folder: Path, cache: Path) -> tuple[str, str]:
    """(what the module says, what it warns of) in a process of its own, which keeps kernels in `cache` alone."""
    code = f"""
import pathlib, re, sys
sys.path[:0] = ["", {str(folder.parent)!r}]
from tamis.transforms.runtime import kernels
kernels._places = lambda: [pathlib.Path({str(cache)!r})]
kernels._PACKAGE = pathlib.Path({str(folder)!r})
kernels._IMPORT = re.compile(kernels._IMPORT.pattern.replace(b"tamis", {folder.name.encode()!r}), re.MULTILINE)
import {folder.name}.kernel
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip(), done.stderr


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A package of a kernel and of what it is made of in another file."""
    folder = tmp_path / "sample_kernels"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "callee.py").write_text("FACTOR = 3\n")
    (folder / "kernel.py").write_text(KERNEL.format(package=folder.name))
    return folder


def test_a_kernel_is_compiled_once_and_again_when_another_file_changes(module: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert run(module, cache)[0] == "6 compiled"
    assert run(module, cache)[0] == "6 kept"
    shutil.rmtree(module / "__pycache__", ignore_errors=True)
    (module / "callee.py").write_text("FACTOR = 5\n")
    assert run(module, cache)[0] == "10 compiled"


def test_without_a_place_kernels_run_and_one_line_says_what_to_do(module: Path) -> None:
    said, warned = run(module, module / "callee.py" / "below a file")
    assert said == "6 compiled"
    assert warned.count("KernelWarning") == 1
    assert "name a folder with NUMBA_CACHE_DIR" in warned


def test_a_folder_that_is_removed_is_made_again(module: Path, tmp_path: Path) -> None:
    run(module, tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    assert run(module, tmp_path / "cache") == ("6 compiled", "")


def test_what_a_read_only_place_holds_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed, own = tmp_path / "installed", tmp_path / "own"
    monkeypatch.setattr(kernels, "_places", lambda: [installed, own])
    monkeypatch.setattr("tamis.transforms.runtime.caches._writable", lambda place, private: place == own)
    source = Path(kernels.__file__)
    warm = installed / kernels._machine() / f"kernels-{kernels.digest(source)}"
    warm.mkdir(parents=True)
    (warm / "compiled").write_text("code")
    folder = kernels._module_folder(source)
    assert folder is not None
    assert folder.is_relative_to(own)
    assert (folder / "compiled").read_text() == "code"


def test_another_processor_has_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    here = kernels.folder()
    kernels.folder.cache_clear()
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: "another")
    there = kernels.folder()
    assert here is not None
    assert there is not None
    assert here != there
    assert here.parent == there.parent == tmp_path / "tamis-kernels"


def test_a_temporary_folder_of_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_to_all = tmp_path / "kernels"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setattr(kernels, "_places", lambda: [tmp_path / "file" / "x", open_to_all])
    (tmp_path / "file").write_text("")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert kernels.folder() is None
    assert [warning.category for warning in told] == [kernels.KernelWarning]


def test_every_kernel_is_compiled_here() -> None:
    package = Path(kernels.__file__).parents[1]
    elsewhere = re.compile(r"^from numba import .*\b(njit|jit|vectorize|guvectorize)\b|numba\.njit", re.MULTILINE)
    assert [path.name for path in sorted(package.rglob("*.py")) if elsewhere.search(path.read_text())] == ["kernels.py"]
