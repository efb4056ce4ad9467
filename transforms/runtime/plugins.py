"""Finds what Tamis is extended by: a table of what is shipped, and entry points of installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any


@dataclass(frozen=True)
class Plugin:
    """One extension: its name in recipes, `module` or `module:attribute`, and the name and version
    of the package that provides it (None: Tamis itself)."""

    name: str
    target: str
    package: str | None = None

    def load(self) -> Any:
        """Imports the object. Raises ImportError naming the package."""
        module, _, attribute = self.target.partition(":")
        try:
            return reduce(getattr, filter(None, attribute.split(".")), import_module(module))
        except Exception as error:  # a module may fail in any way while it is imported
            reason = f"{type(error).__name__}: {error}"
            raise ImportError(f"{self.package or 'Tamis'} provides '{self.name}', but it cannot be loaded: {reason}") from error


class Plugins:
    """The extensions of one kind by name, such as the raters. Names of shipped ones are reserved."""

    def __init__(self, group: str, shipped: Mapping[str, str]) -> None:
        self.group = group
        self.shipped = {name: Plugin(name, target) for name, target in shipped.items()}

    def find(self, name: str) -> Plugin | None:
        """The extension of this name, or None. Looks at installed packages only if it must. Raises
        ValueError if two packages provide it."""
        if name in self.shipped:
            return self.shipped[name]
        providers = self.installed.get(name, [])
        if len(providers) > 1:
            packages = " and ".join(str(plugin.package) for plugin in providers)
            raise ValueError(f"{packages} both provide '{name}': uninstall one of them")
        return providers[0] if providers else None

    @property
    def all(self) -> list[Plugin]:
        """The shipped ones in the order of their table, then those of packages by name."""
        return [*self.shipped.values(), *(plugin for plugins in self.installed.values() for plugin in plugins)]

    @property
    def names(self) -> list[str]:
        return [*self.shipped, *self.installed]

    @property
    def shadowed(self) -> list[Plugin]:
        """What installed packages provide under a name that is reserved, so that it is not used."""
        return [plugin for plugin in self._entries if plugin.name in self.shipped]

    @cached_property
    def _entries(self) -> list[Plugin]:
        """What installed packages provide. This looks at every package (20 ms)."""
        entries = entry_points(group=self.group)
        return [Plugin(entry.name, f"{entry.module}:{entry.attr or ''}", _package(entry)) for entry in entries]

    @cached_property
    def installed(self) -> dict[str, list[Plugin]]:
        """What installed packages provide, by name: one extension, unless two packages have it."""
        by_name: dict[str, dict[str, Plugin]] = {}
        for plugin in self._entries:
            if plugin.name not in self.shipped:
                by_name.setdefault(plugin.name, {})[str(plugin.package)] = plugin
        return {name: [by_name[name][package] for package in sorted(by_name[name])] for name in sorted(by_name)}


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.module
