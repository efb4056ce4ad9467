"""Pickles a function of the user for workers, with the parts of the user's own modules that it needs."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from types import ModuleType
from typing import Any


def dump_function(function: Callable[..., Any]) -> bytes:
    """The function, by value, with the user's own modules that it uses."""
    from apache_beam.internal.cloudpickle import cloudpickle

    already = cloudpickle.list_registry_pickle_by_value()  # by a function that uses this one, and is being sent
    modules = [module for module in _own_modules() if module.__name__ not in already]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(function))
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def load_function(data: bytes) -> Any:
    """The function of `dump_function`."""
    from apache_beam.internal.cloudpickle import cloudpickle

    return cloudpickle.loads(data)


def _own_modules() -> list[ModuleType]:
    """The modules that are files of the user: of no installed package, and not of Tamis."""
    installed = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
    modules = {module.__name__: module for module in sys.modules.values() if isinstance(module, ModuleType)}
    files = {name: getattr(module, "__file__", None) for name, module in modules.items() if name in sys.modules}
    return [
        modules[name]
        for name, file in files.items()
        if file is not None and not file.startswith(installed) and name.split(".")[0] not in ("__main__", "tamis")
    ]
