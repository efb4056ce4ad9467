"""A half-life that `tamis proxy-memory` has measured, for the model and the batch of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError

from tamis.transforms.core.options import Options, PositiveCount

FURTHEST: Final = 10.0
"""How many times larger or smaller than any measured one a model or a batch may be."""


class MeasuredMemory(Options):
    """What `half_life` takes from a file."""

    measured: str = Field(description="a file measured.json of tamis proxy-memory")
    parameters: PositiveCount | None = Field(
        default=None,
        description="size of the model to train, at most ten times that of the largest measured; null: the largest",
    )
    batch_tokens: PositiveCount | None = Field(
        default=None,
        description="tokens of its steps, at most ten times those of the largest measured; null: the measured ones",
    )

    @classmethod
    def of(cls, fields: dict[str, Any]) -> MeasuredMemory:
        """Of the fields in a recipe. Raises ValueError naming the first that is wrong."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            names = ", ".join(cls.model_fields)
            raise ValueError(f"{first['loc'][0]}: {first['msg']} (a measured half-life has {names})") from None


def half_life_tokens(memory: MeasuredMemory) -> int:
    """The half-life in tokens of the largest model that was measured, scaled to the size and the batch of
    `memory` by the measured laws. A law whose interval contains 0 tells no trend, and scales nothing.

    Raises ValueError naming the file, if it is missing, is of another kind, has no half-life of the
    largest model or not the law that is asked for, or if the run is too far from what was measured.
    """
    settings, laws = _read(memory.measured)
    largest = max(settings, key=lambda row: int(row["parameters"]))
    if largest["half_life"] is None:
        raise ValueError(
            f"{memory.measured}: no half-life was found for the largest model ({largest['parameters']:,} parameters): its "
            "warnings say why"
        )
    half_life = float(largest["half_life"])
    for cause, wanted in (("parameters", memory.parameters), ("batch_tokens", memory.batch_tokens)):
        if wanted is None or wanted == largest[cause]:
            continue
        sizes = [int(row[cause]) for row in settings]
        law = laws[cause]
        if law is None:
            option = "--size" if cause == "parameters" else "--batch-size"
            raise ValueError(f"{memory.measured}: only {cause} of {sizes[0]:,} were measured: measure with more of {option}")
        if not min(sizes) / FURTHEST <= wanted <= max(sizes) * FURTHEST:
            raise ValueError(
                f"{memory.measured}: {cause} of {wanted:,} are too far from those measured, {min(sizes):,} to {max(sizes):,}: "
                f"measure nearer to it, or leave {cause} out"
            )
        if law["low"] is not None and not law["low"] <= 0 <= law["high"]:
            half_life *= (wanted / largest[cause]) ** law["slope"]
    return max(1, round(half_life))


def _read(file: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The settings and the laws of a file."""
    if not Path(file).is_file():
        raise ValueError(f"{file}: no such file; tamis proxy-memory writes it")
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        settings, laws = content["settings"], content["laws"]
        if all({"parameters", "batch_tokens", "half_life"} <= row.keys() for row in settings) and settings:
            return settings, {cause: laws[cause] for cause in ("parameters", "batch_tokens")}
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise ValueError(f"{file}: is not a measured.json of tamis proxy-memory")
