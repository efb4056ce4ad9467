"""The local executor does what Beam's own runner does, here and on worker processes."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from contextlib import AbstractContextManager
from functools import partial
from operator import add
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.pipelines.curate import Curate
from tamis.pipelines.runners import local
from tamis.pipelines.runners.executor import Call, Chain, apply_here, execute
from tamis.pipelines.runners.threads import apply_in_threads
from tamis.pipelines.runners.worker import DriverAlive
from tamis.pipelines.runners.worker_pool import WorkerPool
from tamis.transforms.beam.exchange import FlatMapDoFn, MapDoFn
from tamis.transforms.core.errors import RunError
from tests.pipelines.running import left, run


class Collect(beam.PTransform):
    """Writes every element to a file of its own, so that workers can."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def expand(self, values: beam.PCollection) -> beam.PCollection:
        return values | beam.ParDo(MapDoFn(partial(_write, folder=self.folder)))


def _write(value: object, folder: Path) -> None:
    number, path = tempfile.mkstemp(dir=folder)
    os.close(number)
    Path(path).write_text(repr(value))


def everything(pipeline: beam.Pipeline, words: list[str], folder: Path) -> None:
    """A graph with all that the DAG is made of: several readers of one value, none, side inputs, joins."""
    values = pipeline | "Words" >> beam.Create(words, reshuffle=False)
    lengths = values | "Lengths" >> beam.ParDo(MapDoFn(len))
    total = beam.pvalue.AsSingleton(lengths | "Total" >> beam.CombineGlobally(sum))
    every = beam.pvalue.AsList(lengths)
    pairs = values | "Pairs" >> beam.ParDo(FlatMapDoFn(_pairs))
    _ = pairs | "Unread" >> beam.ParDo(MapDoFn(str))
    groups = (pairs, pairs | "Again" >> beam.ParDo(MapDoFn(tuple))) | beam.Flatten() | "Group" >> beam.GroupByKey()
    sums = groups | "Sums" >> beam.ParDo(MapDoFn(_sum), total)
    added = lengths | "Added" >> beam.ParDo(MapDoFn(add), total)
    largest = pipeline | "Once" >> beam.Create([None]) | "Largest" >> beam.ParDo(MapDoFn(_largest), every)
    _ = (sums, added, largest) | "All" >> beam.Flatten() | Collect(folder)


def _pairs(word: str) -> list[tuple[int, str]]:
    return [(len(word), letter) for letter in word]


def _ungroup(group: tuple[int, list[str]]) -> list[tuple[int, str]]:
    return [(group[0], letter) for letter in group[1]]


def _sum(group: tuple[int, list[str]], total: int) -> tuple[int, list[str], int]:
    return group[0], sorted(group[1]), total


def _largest(_: None, lengths: list[int]) -> int:
    return max(lengths, default=-1)


def collected(folder: Path) -> list[str]:
    return sorted(path.read_text() for path in folder.iterdir())


def pipeline_of(build, *arguments) -> beam.Pipeline:
    pipeline = beam.Pipeline(PipelineRunner())
    build(pipeline, *arguments)
    return pipeline


WORDS = ["a", "bb", "cc", "", "a", "dddd"]


@pytest.fixture(scope="module")
def by_beam(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("beam")
    with beam.Pipeline(FnApiRunner()) as pipeline:
        everything(pipeline, WORDS, folder)
    return collected(folder)


def test_here_it_does_what_beam_does(by_beam, tmp_path):
    execute(pipeline_of(everything, WORDS, tmp_path), apply_here)
    assert collected(tmp_path) == by_beam


def test_on_threads_it_does_what_beam_does(by_beam, tmp_path):
    execute(pipeline_of(everything, WORDS, tmp_path), apply_in_threads(3))
    assert collected(tmp_path) == by_beam


def test_threads_work_at_the_same_time_and_answers_keep_the_order():
    together = threading.Barrier(2, timeout=10)

    def meet(number: int) -> int:
        together.wait()
        return number

    assert apply_in_threads(2)(Chain((Call(MapDoFn(meet)),)), range(6)) == [*range(6)]


@settings(max_examples=20)  # a graph takes .1 s to make
@given(st.lists(st.text(max_size=3), max_size=8))
def test_nothing_is_lost_or_added(words):
    read: list[object] = []

    def graph(pipeline):
        values = pipeline | beam.Create(words, reshuffle=False)
        groups = values | "Pairs" >> beam.ParDo(FlatMapDoFn(_pairs)) | beam.GroupByKey()
        _ = groups | "Ungroup" >> beam.ParDo(FlatMapDoFn(_ungroup)) | beam.Map(read.append)

    execute(pipeline_of(graph), apply_here)
    assert sorted(read) == sorted(pair for word in words for pair in _pairs(word))


@pytest.fixture(scope="module", autouse=True)
def functions_of_this_file():
    """The workers import the functions of this file, by the name that pytest gives it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
        yield


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    with DriverAlive(str(run)) as alive, WorkerPool(2, str(run), alive.uri) as pool:
        yield pool


def test_on_workers_it_does_what_beam_does(by_beam, pool, tmp_path):
    execute(pipeline_of(everything, WORDS, tmp_path), pool.apply)
    assert collected(tmp_path) == by_beam


def test_workers_take_elements_as_they_finish_and_answers_keep_the_order(pool, tmp_path):
    def graph(pipeline):
        values = pipeline | beam.Create(range(500), reshuffle=False) | beam.ParDo(MapDoFn(_with_process))
        # Two readers, so that the values come back.
        _ = values | "One" >> beam.ParDo(MapDoFn(len))
        _ = values | "All" >> beam.GroupByKey() | Collect(tmp_path)

    execute(pipeline_of(graph), pool.apply)
    (group,) = collected(tmp_path)
    key, numbers = eval(group)
    assert (key, numbers) == ("all", sorted(numbers))


def _with_process(number: int) -> tuple[str, int]:
    assert os.getppid() != 1
    return "all", number


def test_a_batch_travels_without_the_batch_that_it_is_a_part_of():
    whole = pa.record_batch({"text": ["x" * 1000] * 1000})
    sent = local.worker.dumps(whole.slice(10, 2))
    assert len(sent) < 10_000
    assert local.worker.loads(sent).equals(whole.slice(10, 2))


def test_a_failure_on_a_worker_is_an_error_with_its_traceback(pool):
    def graph(pipeline):
        _ = pipeline | beam.Create([0]) | beam.ParDo(MapDoFn(_divide))

    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        execute(pipeline_of(graph), pool.apply)


def _divide(number: int) -> float:
    return 1 / number


def test_a_worker_that_is_killed_ends_the_run(tmp_path):
    def graph(pipeline):
        _ = pipeline | beam.Create([signal.SIGKILL]) | beam.ParDo(MapDoFn(_end))

    pipeline = pipeline_of(graph)
    with DriverAlive(str(tmp_path)) as alive, WorkerPool(2, str(tmp_path), alive.uri) as pool, killed():
        execute(pipeline, pool.apply)


def killed() -> AbstractContextManager[object]:
    return pytest.raises(RunError, match=r"killed \(SIGKILL\)")


def _end(number: int) -> None:
    os.kill(os.getpid(), number)


def test_what_the_dag_is_not_made_of_is_refused():
    pipeline = pipeline_of(lambda pipeline: pipeline | beam.Create([1, 2]) | beam.Reshuffle())
    with pytest.raises(TypeError, match="is no part of the DAG"):
        execute(pipeline, apply_here)


def test_beams_own_runner_leaves_the_same_bytes(base, tmp_path, monkeypatch):
    def execute_by_beam(recipe, plan, pool):
        with beam.Pipeline(FnApiRunner()) as pipeline:
            pipeline | Curate(recipe, plan)

    monkeypatch.setattr(local, "_execute", execute_by_beam)
    run(base.recipe, base.source, tmp_path)
    assert left(tmp_path) == left(base.run)
