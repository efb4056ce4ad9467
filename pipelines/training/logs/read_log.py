"""Training logs as their trainers write them: tables, JSON, lines of text, event files of TensorBoard."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from tamis.pipelines.training.logs.event_files import event_files, read_events
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.training_log import TOLERANCE, TrainingLog

_STEP: Final = (
    "step",
    "global_step",
    "iteration",
    "train/global_step",
    "trainer/global_step",
    "time/batch",  # Composer
    "_step",  # Weights & Biases; counts calls, not steps, where a trainer logs more often
)
_RATE: Final = (
    "lr",
    "learning_rate",
    "learning-rate",
    "learning rate",
    "train/learning_rate",
    "train/lr",
    "lr-*",  # LearningRateMonitor of Lightning, LRMonitor of Composer: lr-AdamW
    "lrm",  # nanochat logs multiples of the peak
    "train/lrm",
)
_MULTIPLES: Final = ("lrm", "train/lrm")
_TOKENS: Final = (
    "tokens",
    "num_input_tokens_seen",
    "train/num_input_tokens_seen",
    "consumed_tokens",
    "n_tokens_seen",  # torchtitan
    "time/token",
)
_SEQUENCES: Final = ("consumed samples", "consumed_samples", "consumed_train_samples", "time/sample")
"""What trainers call these fields, the usual name first. A star stands for any letters."""

_CENTS: Final = 0.005
"""How much the two decimals of nanochat's lines round."""

_JSON = re.compile(r"\s*(\{|\[\s*\{)")
_LINE = re.compile(r"\b(?:iteration|step)\s+(\d+)(?:\s*/\s*\d+)?\s*(?:\([^)]*\)\s*)?\|(.*)")
"""A line of Megatron or nanochat: `iteration 10/ 500 | learning rate: 1.0E-03 | …`."""

_VALUE = re.compile(r"([^|:]+):\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(?=\||$)")
_LENGTH = re.compile(r"\bseq_length \.+ (\d+)")
"""The sequence length among the arguments that Megatron prints before it trains."""

Row = tuple[str, Mapping[str, Any]]
"""Where a row is, for messages, and its fields."""


@dataclass(frozen=True)
class LogFile:
    """A log, and what its fields mean."""

    log: TrainingLog
    fields: tuple[str, ...]
    """The fields that were read: step, learning rate, tokens."""
    multiples: bool
    """Rates are multiples of the peak."""
    tolerance: float
    """How much rates round, as a share of the peak."""
    sequences: bool
    """Sequences are counted, not tokens."""
    sequence_length: int | None
    """Tokens of a sequence, if the log says so."""


def read_log(path: str) -> LogFile:
    """A log: CSV (named .csv); JSON objects, one a line, in a list, or in the `log_history` of transformers; lines of
    Megatron or nanochat; an event file of TensorBoard, or a folder of them. Rows without a step, or with neither
    rate nor tokens, such as those of evaluations, are left out. Raises FileNotFoundError, and RunError naming the line
    or the fields."""
    length = None
    if events := event_files(path):
        rows: list[Row] = [(file, row) for file in events for row in read_events(file)]
    else:
        if not storage.exists(path):
            raise FileNotFoundError(f"{path}: no such log; name a file, or a folder with event files of TensorBoard")
        text = storage.read_bytes(path).decode("utf-8", errors="replace")
        rows = list(_rows(path, text))
        found = _LENGTH.search(text)
        length = int(found[1]) if found else None
    fields = list(dict.fromkeys(name for _, row in rows for name in row))
    step, rate, tokens, sequences = (_find(names, fields) for names in (_STEP, _RATE, _TOKENS, _SEQUENCES))
    amount = tokens or sequences
    if step is None or (rate is None and amount is None):
        wanted = (
            f"the step ({', '.join(_STEP[:3])}, …)" if step is None else "the learning rate (lr, learning_rate, …) or tokens"
        )
        raise RunError(f"{path}: no field for {wanted}; it has {', '.join(fields) or 'no rows'}: rename one")
    values = np.array([[_number(place, row, name) for name in (step, rate, amount)] for place, row in rows])
    values = values[np.isfinite(values[:, 0]) & np.isfinite(values[:, 1:]).any(axis=1)]
    if not len(values):
        raise RunError(f"{path}: no row has a step with its learning rate or tokens")
    return LogFile(
        log=TrainingLog(values[:, 0].astype(np.int64), values[:, 1], values[:, 2]),
        fields=tuple(filter(None, (step, rate, amount))),
        multiples=rate is not None and _plain(rate) in _MULTIPLES,
        tolerance=_CENTS + TOLERANCE if rate is not None and _plain(rate) == "lrm" else TOLERANCE,
        sequences=tokens is None and sequences is not None,
        sequence_length=length,
    )


def _plain(field: str) -> str:
    """The name of a field in a table that Weights & Biases exports: `RUN - train/lr`."""
    return field.rsplit(" - ", 1)[-1].strip().lower()


def _find(names: Iterable[str], fields: Iterable[str]) -> str | None:
    plain = [(field, _plain(field)) for field in fields]
    for name in names:
        for field, own in plain:
            if own == name or (name.endswith("*") and own.startswith(name[:-1])):
                return field
    return None


def _rows(path: str, text: str) -> Iterator[Row]:
    if path.endswith(".csv"):
        yield from _csv_rows(path, text)
    elif _JSON.match(text):
        yield from _json_rows(path, text)
    else:
        yield from _line_rows(path, text)


def _csv_rows(path: str, text: str) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="")
    for row in reader:
        yield f"{path}:{reader.line_num}", row


def _json_rows(path: str, text: str) -> Iterator[Row]:
    try:
        whole = orjson.loads(text)
    except orjson.JSONDecodeError:
        whole = None
    if isinstance(whole, dict):
        whole = whole.get("log_history", [whole])
    if isinstance(whole, list):
        numbered = ((f"{path}, row {number}", row) for number, row in enumerate(whole, 1))
    else:
        lines = ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
        numbered = ((f"{path}:{number}", _object(path, number, line)) for number, line in lines)
    for place, row in numbered:
        if not isinstance(row, dict):
            raise RunError(f"{place}: not an object")
        yield place, row


def _object(path: str, number: int, line: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise RunError(f"{path}:{number}: {error}; a log that begins with {{ is JSON, or JSON Lines") from None


def _line_rows(path: str, text: str) -> Iterator[Row]:
    for number, line in enumerate(re.split(r"[\r\n]+", text), 1):
        found = _LINE.search(line)
        if found:
            values = {name.strip(): value for name, value in _VALUE.findall(found[2])}
            yield f"{path}:{number}", {"step": found[1], **values}


def _number(place: str, row: Mapping[str, Any], name: str | None) -> float:
    """A field as a number; NaN if it is not there."""
    value = row.get(name) if name is not None else None
    if value is None or value == "":
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise RunError(f"{place}: {name} is {value!r}, not a number") from None
