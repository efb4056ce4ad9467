"""Compiles kernels with numba and keeps the machine code for later processes; never a stale one.

By default numba stores a kernel beside its source and compiles it again if that file changes. It
misses changes in other files that the kernel's code comes from, it cannot store anything in a
read-only installation, and machines on one file system overwrite each other's files. Here, a cache
folder belongs to one module on one kind of machine; its name contains a hash of the module's
source and of all modules that it imports from its own package and from this one.
"""

import hashlib
import os
import platform
import re
import shutil
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
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys

from tamis.transforms.runtime import caches

_PACKAGE = Path(__file__).parents[2]
_IMPORT = re.compile(rb"^from (\w[\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)
_lock = threading.Lock()


class KernelWarning(RuntimeWarning):
    """Compiled kernels cannot be stored, so each process compiles its own."""


def njit(*, nogil: bool, cache: bool, inline: str = "never") -> Callable[[Callable[..., Any]], Any]:
    """numba's `njit`. With `cache`, machine code is stored in `module_folder`, if there is one."""

    def compiled(function: Callable[..., Any]) -> Any:
        home = module_folder(Path(function.__code__.co_filename)) if cache else None
        if home is None:
            return numba.njit(nogil=nogil, inline=inline)(function)
        with _lock:
            before, config.CACHE_DIR = config.CACHE_DIR, str(home)
            try:
                dispatcher = numba.njit(nogil=nogil, inline=inline)(function)
                dispatcher._cache = _KernelCache(function)
                return dispatcher
            finally:
                config.CACHE_DIR = before

    return compiled


class _KernelCache(FunctionCache):
    """numba's store of a function, which reads machine code without what a compiler has to know of
    Python and numpy: numba loads that first, for a quarter of a second. To compile, it does so again."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)  # the memory of arrays that kernels make
        return self._load_overload(sig, target_context)


@cache
def folder() -> Path | None:
    """The folder of this process's kernels; None, after a KernelWarning, if none can be written.

    It is in NUMBA_CACHE_DIR or beside the environment, else in the user's cache or among temporary
    files. Inside there is one folder for each processor with versions of Python, numpy and numba.
    """
    candidates = _candidates()
    home = caches.first_writable(candidates)
    if home is not None:
        return home / _machine()
    warnings.warn(
        f"compiled kernels cannot be stored: none of {', '.join(map(str, candidates))} can be written. "
        "Each process compiles them again, for about 20 seconds; name a folder with NUMBA_CACHE_DIR",
        KernelWarning,
        stacklevel=2,
    )
    return None


@cache
def digest(source: Path) -> str:
    """16 hex digits: a hash of a module and all that it imports from its package and this one."""
    total, files = hashlib.blake2b(digest_size=8), [source]
    for file in files:
        contents, imported = _source(file)
        total.update(contents)
        files += [other for other in imported if other not in files]
    return total.hexdigest()


@cache
def module_folder(source: Path) -> Path | None:
    """The folder of one module's kernels. If the best one is read-only, its files are copied."""
    home = folder()
    if home is None:
        return None
    name = f"{source.stem}-{digest(source)}"
    installed, own = _candidates()[0] / home.name / name, home / name
    if installed != own and installed.is_dir() and not own.exists():
        copy = own.with_name(f"{name}.{uuid.uuid4().hex}")
        try:
            shutil.copytree(installed, copy)
            copy.rename(own)
        except OSError:  # another process was first, or the disk is full
            shutil.rmtree(copy, ignore_errors=True)
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return own


def _candidates() -> list[Path]:
    return caches.candidate_folders("tamis-kernels", os.environ.get("NUMBA_CACHE_DIR"))


def _machine() -> str:
    """A folder name for all that machine code depends on, apart from its source."""
    processor = llvmlite.binding.get_host_cpu_name()
    try:
        features = llvmlite.binding.get_host_cpu_features().flatten()
    except RuntimeError:  # not known for every processor; numba then uses the name alone
        features = ""
    versions = [platform.python_version(), np.__version__, numba.__version__, llvmlite.__version__]
    return f"{processor}-{hashlib.blake2b(repr([versions, processor, features]).encode(), digest_size=8).hexdigest()}"


@cache
def _source(path: Path) -> tuple[bytes, list[Path]]:
    """A hash of a module's source, and the files it imports from its package and this one."""
    text = path.read_bytes()
    files: list[Path] = []
    packages = {package.name: package.parent for package in (_PACKAGE, _package_of(path))}
    for module, names in _IMPORT.findall(text):
        parts = module.decode().split(".")
        if parts[0] in packages:
            base = packages[parts[0]].joinpath(*parts)
            inside = [base / f"{name.decode()}.py" for name in re.findall(rb"\w+", names)]
            files += filter(Path.is_file, [base.with_suffix(".py"), base / "__init__.py", *inside])
    return hashlib.blake2b(text, digest_size=8).digest(), files


def _package_of(source: Path) -> Path:
    """The folder of the top-level package that a module belongs to."""
    package = source.parent
    while (package.parent / "__init__.py").is_file():
        package = package.parent
    return package
