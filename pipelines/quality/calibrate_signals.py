"""Fits calibrations of signals on a release or on files, for `tamis rate calibrate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.quality.value_table import described, numbers_of, read_values, signals_of
from tamis.transforms import storage
from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.errors import RunError
from tamis.transforms.select.quality.calibration import CalibrationFile, Method
from tamis.transforms.select.quality.fit_calibration import fit_calibration


def fit_calibrations(
    sources: Sequence[str], signals: Sequence[str], method: Method, labels: str, better: str, decision: str
) -> CalibrationFile:
    """Calibrations of `signals` by the documents of `sources` (see `read_values`).

    `labels`: a file with columns id and label, from 0 (bad) to 1 (good); "" for none. `better`: up or
    down; "" as the raters of a release declare it. Raises RunError, naming the signal, if one cannot be
    calibrated.
    """
    table = read_values(sources, signals, ["id"] if labels else [], decision)
    known = signals_of(sources)
    targets = join_labels(table["id"].combine_chunks(), labels) if labels else None
    calibrations = {}
    for name in dict.fromkeys(signals):
        direction = better or (known[name].direction if name in known else "")
        if method in ("ecdf", "logit") and direction not in ("up", "down"):
            band = f"the useful values of '{name}' are a range" if direction == "band" else f"nothing says what '{name}' means"
            raise RunError(f"{band}: say which values are better with --better up or --better down")
        try:
            calibrations[name] = fit_calibration(numbers_of(table, name), method, direction, targets)
        except ValueError as error:
            raise RunError(f"'{name}': {error}") from None
    return CalibrationFile(reference=described(sources), signals=calibrations)


def write_calibrations(file: CalibrationFile, uri: str) -> None:
    """Writes a file that a recipe can name."""
    storage.write_bytes(uri, file.model_dump_json().encode())


def lines(file: CalibrationFile) -> Iterator[str]:
    """What a person reads: the score at some quantiles of the reference set."""
    yield f"{'signal':<36} {'method':<9} {'documents':>9}   score of the value at 5 %, 25 %, 50 %, 75 %, 95 %"
    for name, calibration in sorted(file.signals.items()):
        values = np.array([calibration.quantiles[percent] for percent in (5, 25, 50, 75, 95)])
        shown = "  ".join(f"{value:g}: {score:.2f}" for value, score in zip(values, calibration.apply(values), strict=True))
        yield f"{name:<36} {calibration.method:<9} {calibration.documents:>9,}   {shown}"


def join_labels(ids: pa.Array, uri: str) -> Floats:
    """The label of each document: f64[n], NaN where there is none. Raises RunError if no id is labelled."""
    table = read_values([uri], ["label"], ["id"])
    values = numbers_of(table, "label")
    labelled = table["id"].combine_chunks()
    if len(labelled) != len(labelled.unique()):
        raise RunError(f"{uri}: some ids have two labels")
    index = pc.index_in(ids, value_set=labelled)
    if index.null_count == len(ids):
        raise RunError(f"{uri}: no document has one of its ids, such as {labelled[0]}; ids of documents are such as {ids[0]}")
    found = index.fill_null(0).to_numpy(zero_copy_only=False)
    return np.where(index.is_valid().to_numpy(zero_copy_only=False), values[found], np.nan)
