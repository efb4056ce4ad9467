"""NeMo Curator: the filters of its pipeline for English web pages, with its limits.

The pipeline has Gopher's rules and some of C4's. Its filters are called without Ray, which would start processes of its
own. Its MinHash runs on a GPU alone (`nemo_curator.stages.deduplication.fuzzy.minhash` imports cuDF).
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from hydra.utils import instantiate
from loguru import logger
from measure import Task, main, megabytes, texts
from omegaconf import OmegaConf

PIPELINE = files("nemo_curator") / "config" / "text" / "heuristic_filter_english_pipeline.yaml"


def rules(corpus: Path) -> Task:
    """Every filter on every document, as Tamis measures every signal."""
    documents = texts(corpus)
    stages = OmegaConf.create(PIPELINE.read_text()).stages
    filters = [instantiate(stage.filter_obj) for stage in stages if "filter_obj" in stage]

    def run() -> None:
        for text in documents:
            for each in filters:
                each.keep_document(each.score_document(text))

    return Task(megabytes(corpus), run)


logger.remove()
main("nemo-curator", {"rules": rules})
