"""Every shipped rater keeps the contract of raters, and the checks of the contract find a rater that breaks it."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pytest

import tamis
from tamis.pipelines.recipe.raters import RATERS, example_rater, rater_type
from tamis.testing import check_rater
from tamis.transforms.rate.metadata_signals import DeclaredSignal, DeclaredSignals, MetadataRater

WITHOUT_FILES = [plugin for plugin in RATERS.shipped.values() if not rater_type(plugin).example]


@pytest.mark.parametrize("plugin", WITHOUT_FILES, ids=lambda plugin: plugin.name)
def test_a_shipped_rater_keeps_the_contract(plugin: Any) -> None:
    check_rater(example_rater(plugin))


def test_declared_signals_keep_the_contract() -> None:
    declared = {"metadata.score": DeclaredSignal(unit="points"), "metadata.lang": DeclaredSignal(kind="string", unit="code")}
    check_rater(MetadataRater(DeclaredSignals(signals=declared)))


def test_a_function_keeps_the_contract() -> None:
    check_rater(tamis.rater(name="length", version="1", unit="characters")(len))


class Faulty(tamis.Rater[tamis.Options]):
    """Counts characters, until a test breaks it."""

    name = "faulty"
    VERSION = 1
    signals = (tamis.Signal("faulty.characters", "int64", "characters", "up", "a test"),)

    def rate(self, texts: tamis.SegmentedTexts) -> pa.RecordBatch:
        return tamis.signal_batch(self.signals, [texts.text_chars])


class Unnamed(Faulty):
    signals = (tamis.Signal("other.characters", "int64", "characters", "up", "a test"),)


class Forgetful(Faulty):
    calls = 0

    def rate(self, texts: tamis.SegmentedTexts) -> pa.RecordBatch:
        self.calls += 1
        return tamis.signal_batch(self.signals, [texts.text_chars + self.calls])


class Comparing(Faulty):
    def rate(self, texts: tamis.SegmentedTexts) -> pa.RecordBatch:
        return tamis.signal_batch(self.signals, [texts.text_chars - texts.text_chars.min()])


class Short(Faulty):
    def rate(self, texts: tamis.SegmentedTexts) -> pa.RecordBatch:
        return tamis.signal_batch(self.signals, [texts.text_chars[1:]])


class NotANumber(Faulty):
    signals = (tamis.Signal("faulty.characters", "float64", "characters", "up", "a test"),)

    def rate(self, texts: tamis.SegmentedTexts) -> pa.RecordBatch:
        return tamis.signal_batch(self.signals, [pa.array([float("nan")] * len(texts))])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Unnamed, "its name does not begin with 'faulty.'"),
        (Forgetful, "a second time"),
        (Comparing, "among other documents"),
        (Short, "rows for"),
        (NotANumber, "null means that there is no value"),
    ],
)
def test_a_breach_is_found(kind: type[Faulty], message: str) -> None:
    check_rater(Faulty(tamis.Options()))
    with pytest.raises(AssertionError, match=message):
        check_rater(kind(tamis.Options()), documents=50)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "Odd"}, "name='Odd' should be of small letters, digits and _, and begin with a letter"),
        ({"version": ""}, "version='' should have at least 1 character"),
        ({"direction": "higher"}, "direction='higher' should be 'up', 'down', 'band' or 'none'"),
        ({"range": (1, 0)}, "range=(1, 0) should be (low, high) with low below high"),
    ],
)
def test_a_wrong_argument_of_a_function_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tamis.rater(**{"name": "odd", "version": "1", **arguments})
