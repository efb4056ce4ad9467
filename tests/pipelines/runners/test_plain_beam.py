"""Beam is imported without its connectors, and they can be imported afterwards."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from tamis.pipelines.runners.plain_beam import import_plain_beam
import_plain_beam()
print("apache_beam" in sys.modules, *(name in sys.modules for name in ("pymongo", "apache_beam.io.gcp.bigquery")))
import pymongo
import apache_beam.io.gcp.bigquery
"""


def test_connectors_are_imported_only_when_they_are_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["True", "False", "False"]
