"""One corpus and one undisturbed run of it that the tests of this folder share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipelines.corpus import Record, corpus, dealt, save
from tests.pipelines.running import command, typed, write_recipe


@dataclass(frozen=True)
class Base:
    """A corpus in three files, its recipe, and a run of it by two workers that nobody disturbed."""

    records: list[Record]
    source: Path
    recipe: Path
    run: Path


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """Read only."""
    folder = tmp_path_factory.mktemp("base")
    records = corpus(400)
    found = Base(records, save(folder / "in", dealt(records, 3, seed=1)), write_recipe(folder), folder / "run")
    typed(command(found.recipe, found.source, found.run))
    return found
