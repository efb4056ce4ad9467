"""Where the tests find the real data that may lie beside the checkout."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Time is the machine's: a busy one must not fail a test.
settings.register_profile("tamis", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tamis")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real corpora and benchmarks beside this checkout; tests that need it skip where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real corpora in ../shared/data")
    return folder
