"""The file of a trained model: its tensors in the safetensors format, with a description of the model as metadata."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import Options

Tensors = Mapping[str, npt.NDArray[Any]]

SUFFIX: Final = ".safetensors"
_METADATA = "tamis"

Kind = Literal["pooled", "linear"]


class Description(Options):
    """What a trained model is, beside its tensors."""

    kind: Kind
    version: int = 1
    """Of the computation: raised when the same tensors would give other values."""
    positive: str
    """What a high score means."""
    documents: int
    """That it was trained on."""


@dataclass(frozen=True)
class TrainedModel:
    """A model that was read from a file."""

    description: Description
    tensors: Tensors


def write_model(path: str, model: TrainedModel) -> None:
    """Writes a model. The same model gives the same bytes."""
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in sorted(model.tensors.items())}
    save_file(tensors, path, {_METADATA: model.description.model_dump_json()})


def read_model(path: str) -> TrainedModel:
    """The model in a file, read once in a process unless the file changes. Raises RunError if it is
    none."""
    try:
        state = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such model on this machine; make one with: tamis rate train") from None
    return _read(path, state.st_ino, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _read(path: str, *_version: int) -> TrainedModel:
    try:
        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get(_METADATA)
            if text is None:
                raise RunError(f"{path}: not a model of Tamis; make one with: tamis rate train")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return TrainedModel(Description.model_validate_json(text), tensors)
    except (SafetensorError, ValidationError) as error:
        raise RunError(f"{path}: not a model of Tamis ({str(error).splitlines()[0]})") from None
