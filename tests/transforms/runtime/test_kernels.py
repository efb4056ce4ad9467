"""Compiled kernels are kept between processes, and a stale one is never used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tamis.transforms.runtime import kernels

KERNEL = """
from tamis.transforms.runtime import kernels
from sample_kernels.callee import FACTOR

@kernels.njit(cache=True, nogil=True)
def scaled(x):
    return x * FACTOR

print(scaled(2), "kept" if scaled.stats.cache_hits else "compiled")
"""


@pytest.fixture(autouse=True)
def _uncached() -> Iterator[None]:
    cached = (kernels.folder, kernels.module_folder)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a kernel that takes a constant from another module, and with modules that import each other."""
    folder = tmp_path / "sample_kernels"
    folder.mkdir()
    (folder / "__init__.py").write_text("from sample_kernels import callee\n")
    (folder / "callee.py").write_text("from sample_kernels import cycle\nFACTOR = 3\n")
    (folder / "cycle.py").write_text("from sample_kernels import callee\n")
    (folder / "kernel.py").write_text(KERNEL)
    return folder


def run(package: Path, cache: Path) -> tuple[str, str]:
    """(output, warnings) of a new process that imports the kernel and may keep it in `cache`, but nowhere else."""
    taken = package.parent / "taken"
    taken.mkdir(exist_ok=True)
    (taken / f"tamis-kernels-{os.getuid()}").write_text("")
    variables = {"NUMBA_CACHE_DIR": str(cache), "XDG_CACHE_HOME": str(package / "callee.py"), "TMPDIR": str(taken)}
    done = subprocess.run(
        [sys.executable, "-c", "import sample_kernels.kernel"],
        cwd=package.parent,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout.strip(), done.stderr


def test_a_kernel_is_compiled_once_and_again_when_another_module_changes(package: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert run(package, cache)[0] == "6 compiled"
    assert run(package, cache)[0] == "6 kept"
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    (package / "callee.py").write_text("FACTOR = 5\n")
    assert run(package, cache)[0] == "10 compiled"


def test_a_kept_kernel_needs_nothing_of_a_compiler(package: Path, tmp_path: Path) -> None:
    with (package / "kernel.py").open("a") as file:
        file.write('import sys; print("numba.np.linalg" in sys.modules)\n')
    assert run(package, tmp_path)[0].split() == ["6", "compiled", "True"]
    assert run(package, tmp_path)[0].split() == ["6", "kept", "False"]


def test_without_a_writable_folder_kernels_run_and_one_warning_says_what_to_do(package: Path) -> None:
    output, stderr = run(package, package / "callee.py" / "below a file")
    assert output == "6 compiled"
    assert stderr.count("KernelWarning") == 1
    assert "name a folder with NUMBA_CACHE_DIR" in stderr


def test_a_removed_folder_is_made_again(package: Path, tmp_path: Path) -> None:
    run(package, tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    assert run(package, tmp_path / "cache") == ("6 compiled", "")


def test_kernels_in_a_read_only_folder_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed, own = tmp_path / "installed", tmp_path / "own"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(installed))
    monkeypatch.setenv("XDG_CACHE_HOME", str(own))
    source = Path(kernels.__file__)
    warm = kernels.module_folder(source)
    assert warm is not None
    (warm / "compiled").write_text("code")
    kernels.folder.cache_clear()
    kernels.module_folder.cache_clear()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(installed) and access(path, mode))
    folder = kernels.module_folder(source)
    assert folder is not None
    assert folder.is_relative_to(own)
    assert (folder / "compiled").read_text() == "code"


def test_another_processor_has_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    first = kernels.folder()
    kernels.folder.cache_clear()
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: "another")
    second = kernels.folder()
    assert first is not None
    assert second is not None
    assert first != second
    assert first.parent == second.parent == tmp_path / "tamis-kernels"


def test_a_temporary_folder_that_others_can_write_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(file))
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    open_to_all = tmp_path / f"tamis-kernels-{os.getuid()}"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        assert kernels.folder() is None
    assert [warning.category for warning in raised] == [kernels.KernelWarning]


def test_no_other_module_compiles_kernels() -> None:
    package = Path(kernels.__file__).parents[1]
    elsewhere = re.compile(r"^from numba import .*\b(njit|jit|vectorize|guvectorize)\b|numba\.njit", re.MULTILINE)
    assert [path.name for path in sorted(package.rglob("*.py")) if elsewhere.search(path.read_text())] == ["kernels.py"]
