"""An error for a person survives a runner that keeps only its text, and names what was probably meant."""

import pytest

from tamis.transforms.core.errors import RunError, nearest

TRACEBACK = """Traceback (most recent call last):
  File "worker.py", line 3, in process
    raise RunError("two lines,\\nboth kept")
tamis.transforms.core.errors.RunError: two lines,
both kept [while running 'Curate/Check-ptransform-12']

Traceback (most recent call last):
  File "runner.py"
"""


def test_the_message_is_found_in_a_workers_traceback():
    found = RunError.from_traceback(TRACEBACK)
    assert str(found) == "two lines,\nboth kept"


def test_other_errors_are_not_taken_for_one():
    assert RunError.from_traceback("Traceback ...\nValueError: tamis.transforms.core.errors is a module") is None


def test_a_full_disk_is_for_the_person_and_a_missing_file_is_not():
    text = "Traceback ...\nOSError: [Errno 28] No space left on device [while running 'Rate']\n\nTraceback ..."
    assert str(RunError.from_traceback(text)).startswith("No space left on device. Once that is fixed")
    assert RunError.from_traceback("FileNotFoundError: [Errno 2] No such file or directory: 'spill'") is None


def test_the_last_error_of_a_chain_is_reported():
    chain = "OSError: [Errno 28] No space left on device\n\n"
    chain += "During handling of the above exception, another exception occurred:\n\n"
    chain += "OSError: [Errno 28] No space left on device: 'run/x' [while running 'Rate']\n"
    assert str(RunError.from_traceback(chain)).startswith("No space left on device: 'run/x'. Once that is fixed")


SIGNALS = ("gopher.word_count", "gopher.stop_words", "gopher.mean_word_length", "gopher.symbol_ratio", "language.score")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gopher.words", "gopher.word_count"),  # the plural of how it begins, not the one that ends so
        ("gopher.length", "gopher.mean_word_length"),  # a word of one name only
        ("gopher.stopwords", "gopher.stop_words"),
        ("gopher.word-count", "gopher.word_count"),
        ("gopher.symbol", "gopher.symbol_ratio"),
        ("language.scores", "language.score"),
        ("perplexity", None),
    ],
)
def test_a_part_of_a_name_finds_it(typed: str, meant: str | None) -> None:
    assert nearest(typed, SIGNALS) == meant
