"""Imports Beam without its connectors to MongoDB and Google Cloud, which take a quarter of its import."""

from __future__ import annotations

import sys

_CONNECTORS = ("pymongo", "apache_beam.io.gcp.bigquery")
"""Beam's `io` imports what needs them, and does without if they are not installed."""


def import_plain_beam() -> None:
    """Imports Beam as if the packages of the connectors were not installed. Others can import them later."""
    if "apache_beam" in sys.modules:
        return
    hidden = {name: None for name in _CONNECTORS if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type] # None: an import of the name fails
    try:
        import apache_beam  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
