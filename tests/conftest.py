"""Where the tests find the real data that may lie beside the checkout."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real corpora and benchmarks beside this checkout; tests that need it skip where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real corpora in ../shared/data")
    return folder
