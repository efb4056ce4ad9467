"""Compiles kernels, once: numba's cache, kept beside the environment and never out of date.

By itself numba keeps a kernel beside its source and compiles it again when that file changes. It does not see a change in
another file that the kernel's code was made of, a read-only installation has no cache, and machines that share a file system
write into one. So a cache folder here belongs to one module on one kind of machine, and is named by the contents of the module
and of all that it imports of this package.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import re
import shutil
import sys
import threading
import uuid
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from numba.core import config

from tamis.transforms.runtime import caches

# numba looks for SciPy's BLAS, which takes a sixth of a second of every process, and no kernel multiplies matrices.
_BLAS = "scipy.linalg.cython_blas"
if _BLAS not in sys.modules:
    sys.modules[_BLAS] = None  # type: ignore[assignment]  # how Python says that a module cannot be imported
    importlib.import_module("numba.np.arraymath")
    del sys.modules[_BLAS]

_PACKAGE = Path(__file__).parents[2]
_IMPORT = re.compile(rb"^from (%b[\w.]*) import (\([^)]*\)|.*)" % _PACKAGE.name.encode(), re.MULTILINE)
_lock = threading.Lock()


class KernelWarning(RuntimeWarning):
    """Kernels cannot be kept: each process compiles its own."""


def njit(*, nogil: bool, cache: bool, inline: str = "never") -> Callable[[Callable[..., Any]], Any]:
    """numba's `njit`. With `cache`, what it compiles is kept in `folder()`, or nowhere where that is None."""

    def compiled(function: Callable[..., Any]) -> Any:
        place = _module_folder(Path(function.__code__.co_filename)) if cache else None
        if place is None:
            return numba.njit(nogil=nogil, inline=inline)(function)
        with _lock:
            before, config.CACHE_DIR = config.CACHE_DIR, str(place)
            try:
                return numba.njit(nogil=nogil, inline=inline, cache=True)(function)
            finally:
                config.CACHE_DIR = before

    return compiled


@cache
def folder() -> Path | None:
    """Where this process keeps its kernels; None, after a KernelWarning, where no place can be written.

    It is in NUMBA_CACHE_DIR, or beside the environment, or else in the user's cache or among temporary files, and there the one
    for this processor and these versions of Python, numpy and numba.
    """
    found = _places()
    place = caches.first_writable(found)
    if place is not None:
        return place / _machine()
    warnings.warn(
        f"compiled kernels cannot be kept: none of {', '.join(map(str, found))} can be written. "
        "Each process compiles them again, for about 20 seconds; name a folder with NUMBA_CACHE_DIR",
        KernelWarning,
        stacklevel=2,
    )
    return None


@cache
def digest(source: Path) -> str:
    """16 hex digits over a file and, in turn, over the files of this package that its head imports."""
    text = source.read_bytes()
    total = hashlib.blake2b(text, digest_size=8)
    for package, names in _IMPORT.findall(text):
        base = _PACKAGE.parent.joinpath(*package.decode().split("."))
        inside = (base / f"{name.decode()}.py" for name in re.findall(rb"\w+", names))
        for file in filter(Path.is_file, [base.with_suffix(".py"), base / "__init__.py", *inside]):
            total.update(digest(file).encode())
    return total.hexdigest()


def _places() -> list[Path]:
    return caches.places("tamis-kernels", os.environ.get("NUMBA_CACHE_DIR"))


def _machine() -> str:
    """The name of the folder for what compiled code depends on apart from its source."""
    processor = llvmlite.binding.get_host_cpu_name()
    try:
        features = llvmlite.binding.get_host_cpu_features().flatten()
    except RuntimeError:  # not every processor tells; numba too takes the name alone then
        features = ""
    versions = [platform.python_version(), np.__version__, numba.__version__, llvmlite.__version__]
    return f"{processor}-{hashlib.blake2b(repr([versions, processor, features]).encode(), digest_size=8).hexdigest()}"


@cache
def _module_folder(source: Path) -> Path | None:
    """The folder of one module's kernels. Where the best place is read-only, it begins as a copy of what is there."""
    home = folder()
    if home is None:
        return None
    name = f"{source.stem}-{digest(source)}"
    warm, own = _places()[0] / home.name / name, home / name
    if warm != own and warm.is_dir() and not own.exists():
        copy = own.with_name(f"{name}.{uuid.uuid4().hex}")
        try:
            shutil.copytree(warm, copy)
            copy.rename(own)
        except OSError:  # another process was first, or the disk is full: what is missing is compiled
            shutil.rmtree(copy, ignore_errors=True)
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return own
