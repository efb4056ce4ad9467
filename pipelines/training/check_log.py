"""`tamis check-log`: holds the log of a training run against its plan, and names the first step that left it."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import orjson

from tamis.pipelines.training.open_plan import open_plan
from tamis.transforms import storage
from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.training_log import Flags, TrainingLog, other_rates, other_tokens, planned_tokens

_STEP: Final = ("step", "global_step", "iteration", "train/global_step", "trainer/global_step", "_step")
_RATE: Final = ("lr", "learning_rate", "learning-rate", "train/learning_rate", "train/lr")
_TOKENS: Final = ("tokens", "num_input_tokens_seen", "consumed_tokens", "train/num_input_tokens_seen")
"""What trainers call these fields, the usual name first."""


def check_log(run: str, log_file: str, plan_file: str = "", batch_tokens: int | None = None) -> dict[str, Any]:
    """The first deviations of a log from the plan of a release, or from another plan; each is None if there is none.
    Raises what `open_plan` and `read_log` raise, and RunError if the log does not tell how many tokens a step has."""
    plan = open_plan(run, plan_file)
    log = read_log(log_file)
    batch = batch_tokens or log.batch_tokens()
    if batch is None:
        raise RunError(f"{log_file} does not tell the tokens of a step: give --batch-tokens, those of one step on all devices")
    tokens = planned_tokens(log, batch)
    rates = plan.schedule.learning_rate(np.clip(tokens / plan.tokens, 0, 1))
    return {
        "log": log_file,
        "steps": len(log.step),
        "last_step": int(log.step.max()),
        "batch_tokens": batch,
        "tokens": int(tokens.max()),
        "planned_tokens": plan.tokens,
        "rate_deviation": _first(other_rates(log, batch, plan.schedule, plan.tokens), log, log.rate, rates),
        "token_deviation": _first(other_tokens(log, batch), log, log.tokens, tokens),
    }


def _first(deviates: Flags, log: TrainingLog, logged: Floats, planned: Floats) -> dict[str, Any] | None:
    places = np.flatnonzero(deviates)
    if not len(places):
        return None
    first = places[0]
    return {
        "step": int(log.step[first]),
        "logged": float(logged[first]),
        "planned": float(planned[first]),
        "rows": len(places),
        "last_step": int(log.step[places[-1]]),
    }


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The result as text."""
    yield (
        f"{result['log']}: {result['steps']:,} logged steps of {result['batch_tokens']:,.0f} tokens, to "
        f"{result['tokens']:,} of {result['planned_tokens']:,} tokens"
    )
    for name, form in (("rate", ".4g"), ("token", ",.0f")):
        found = result[f"{name}_deviation"]
        what = "learning rate" if name == "rate" else "tokens"
        if found is None:
            yield f"{what}: as planned"
            continue
        more = f"; {found['rows']:,} logged steps deviate, the last is {found['last_step']:,}" if found["rows"] > 1 else ""
        yield f"{what}: step {found['step']:,} has {found['logged']:{form}}, the plan {found['planned']:{form}}{more}"


def read_log(path: str) -> TrainingLog:
    """The log in a CSV file, or in one of JSON objects, one a line. Rows without a step, or with neither rate nor
    tokens, such as those of evaluations, are left out. Raises FileNotFoundError, and RunError naming the line or the fields."""
    if not storage.exists(path):
        raise FileNotFoundError(f"{path}: no such file")
    text = storage.read_bytes(path).decode("utf-8")
    rows = list(_csv_rows(text) if path.endswith(".csv") else _json_rows(path, text))
    fields = list(dict.fromkeys(name for _, row in rows for name in row))
    step, rate, tokens = (next((name for name in names if name in fields), None) for names in (_STEP, _RATE, _TOKENS))
    if step is None or rate is None:
        wanted = "step, as " + " or ".join(_STEP[:3]) if step is None else "learning rate, as " + " or ".join(_RATE[:3])
        raise RunError(f"{path}: no field for the {wanted}; it has {', '.join(fields) or 'no rows'}: rename one")
    values = np.array([[_number(path, line, row, name) for name in (step, rate, tokens)] for line, row in rows])
    values = values[np.isfinite(values[:, 0]) & np.isfinite(values[:, 1:]).any(axis=1)]
    if not len(values):
        raise RunError(f"{path}: no row has a step with its learning rate or tokens")
    return TrainingLog(values[:, 0].astype(np.int64), values[:, 1], values[:, 2])


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="")
    for row in reader:
        yield reader.line_num, row


def _json_rows(path: str, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise RunError(f"{path}:{number}: {error}; a log is CSV (named .csv), or JSON Lines") from None
        if not isinstance(row, dict):
            raise RunError(f"{path}:{number}: not an object")
        yield number, row


def _number(path: str, line: int, row: Mapping[str, Any], name: str | None) -> float:
    """A field as a number; NaN if it is not there."""
    value = row.get(name) if name is not None else None
    if value is None or value == "":
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise RunError(f"{path}:{line}: {name} is {value!r}, not a number") from None
