"""A pretrained transformer in memory, and what it computes of windows of tokens."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging

from tamis.transforms.core.errors import RunError
from tamis.transforms.rate.neural.int8 import with_int8_layers
from tamis.transforms.rate.neural.pretrained import Head, Pretrained
from tamis.transforms.rate.neural.token_batches import plan_batches
from tamis.transforms.runtime.torch_threads import one_thread

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class _Key(NamedTuple):
    """What tells networks in memory apart."""

    folder: str
    head: Head
    device: str
    precision: str
    max_tokens: int
    batch_tokens: int | None


def shared_network(options: Pretrained, head: Head) -> Network:
    """The network of these options, which this process loads once. Raises RunError if the files hold none
    of this kind, or it cannot read so many tokens."""
    chosen = options.device, options.precision, options.max_tokens, options.batch_tokens
    with _loading:
        return _network(_Key(str(options.folder()), head, *chosen))


_loading = threading.Lock()


@lru_cache(maxsize=4)
def _network(key: _Key) -> Network:
    return Network(key)


class Network:
    """One model, which threads share: they compute one after the other, each on one core."""

    def __init__(self, key: _Key) -> None:
        self._lock = threading.Lock()
        self._key = key
        if key.device == "cuda" and not torch.cuda.is_available():
            raise RunError("device is cuda, but torch finds no GPU here: choose the device cpu, or run where there is one")
        model = _load(key)
        self.config = model.config
        longest = _longest(model)
        if longest is not None and key.max_tokens > longest:
            raise ValueError(f"max_tokens is {key.max_tokens}, but it reads {longest} at most: {key.folder}")
        if key.batch_tokens is not None and self.config.pad_token_id is None:
            raise RunError(f"{key.folder}: the model has no token for padding, so it has no batches: leave batch_tokens out")
        self._width = self.config.num_labels if key.head == "classifier" else self.config.hidden_size
        if key.precision == "int8":
            self._model = with_int8_layers(model).eval()
        else:
            self._model = model.to(key.device, getattr(torch, key.precision)).eval()

    def outputs(self, windows: Sequence[Ints]) -> Floats:
        """[w, k]: logits or vectors of w windows, each as if it were alone."""
        values = np.empty((len(windows), self._width))
        with self._lock, one_thread(), torch.inference_mode():
            if self._key.batch_tokens is None:
                for place, window in enumerate(windows):
                    values[place] = self._computed(window[None], None)
                return values
            lengths = np.array([len(window) for window in windows], np.int64)
            for batch in plan_batches(lengths, self._key.max_tokens, self._key.batch_tokens):
                tokens, mask = batch.filled(windows, self.config.pad_token_id)
                values[batch.windows] = self._computed(tokens, mask)[: len(batch.windows)]
        return values

    def _computed(self, tokens: Ints, mask: Ints | None) -> npt.NDArray[np.float32]:
        """[rows, k] of tokens [rows, length], of which those count where `mask` is 1."""
        device = self._key.device
        seen = None if mask is None else torch.from_numpy(mask).to(device)
        output = self._model(input_ids=torch.from_numpy(tokens).to(device), attention_mask=seen)
        return np.asarray(_pooled(output, self._key.head, seen).float().cpu().numpy())


def _load(key: _Key) -> Any:
    """The model of a folder, on the CPU. Weights come from safetensors, and code from the library alone."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    auto = AutoModelForSequenceClassification if key.head == "classifier" else AutoModel
    options = {"trust_remote_code": False, "use_safetensors": True, "local_files_only": True, "dtype": torch.float32}
    try:
        model, loaded = auto.from_pretrained(key.folder, output_loading_info=True, **options)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{key.folder}: not a model that transformers can load ({str(error).splitlines()[0]})") from error
    if missing := sorted(name for name in loaded["missing_keys"] if "pooler" not in name or key.head == "classifier"):
        kind = "classifier" if key.head == "classifier" else "model"
        raise RunError(f"{key.folder}: its weights are not those of a {kind}: {', '.join(missing[:3])} missing")
    return model


def _longest(model: Any) -> int | None:
    """Most tokens that a model has positions for; None if it does not say."""
    for name, part in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, torch.nn.Embedding):
            return part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1)
    return getattr(model.config, "max_position_embeddings", None)


def _pooled(output: Any, head: Head, seen: Any) -> Any:
    if head == "classifier":
        return output.logits
    states = output.last_hidden_state.float()
    if head == "first":
        return states[:, 0]
    if seen is None:
        return states.mean(1)
    weight = seen[..., None].float()
    return (states * weight).sum(1) / weight.sum(1)
