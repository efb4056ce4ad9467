"""Averages the checkpoints of a training run into one model, tensor by tensor, whatever size the model has.

A safetensors file (8 bytes of length, a JSON header, the tensors' bytes) is read here, not by its package, whose numpy side
knows no bfloat16. A torch file is read by torch, with `weights_only=True`: nothing in it is run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.schedule import Floats

Array = npt.NDArray[Any]

SAFETENSORS: Final = (".safetensors",)
TORCH: Final = (".pt", ".pth", ".bin")

_HEADER = 100_000_000
"""Bytes of the longest header that the format allows."""

_FLOATS: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_WHOLE: Final = frozenset({"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"})


def weighted(arrays: Iterable[Array], weights: Floats) -> Floats:
    """Σ weight × array, element by element in float64, added up in the order given.

    A weight of 0 leaves its array out, whatever is in it. Raises ValueError for other shapes, and when there are not as many
    arrays as weights.
    """
    total: Floats | None = None
    for array, weight in zip(arrays, weights.tolist(), strict=True):
        term = array.astype(np.float64)
        if total is None:
            total = np.zeros(term.shape)
        if term.shape != total.shape:
            raise ValueError(f"shapes differ: {term.shape} and {total.shape}")
        if weight:
            total += term * weight
    if total is None:
        raise ValueError("an average takes at least one array")
    return total


def average(files: Sequence[str], weights: Floats, output: str) -> int:
    """Writes the average of checkpoints, oldest first, in the type that each tensor has; returns how many numbers it has.

    Whole numbers and truths (counters, masks) are those of the newest. The output has the newest's layout and metadata; it is
    there whole or not at all. Raises RunError, naming the file, for what is no checkpoint or not one of the same model.
    """
    if len(files) != len(weights):
        raise RunError(f"{len(files)} checkpoints for {len(weights)} weights")
    endings = {_ending(file) for file in (*files, output)}
    if len(endings) != 1:
        raise RunError("checkpoints and output are all .safetensors, or all torch's (" + ", ".join(TORCH) + ")")
    return (_average_safetensors if endings == {SAFETENSORS} else _average_torch)(files, weights, output)


def to_bfloat16(values: Array) -> npt.NDArray[np.uint16]:
    """Bits of the nearest bfloat16, ties to even; through float32, as torch does it."""
    with np.errstate(over="ignore", invalid="ignore"):
        bits = values.astype("<f4").view("<u4")
        nearest = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), nearest)


def from_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The numbers, exactly."""
    return (bits.astype("<u4") << 16).view("<f4")


def _ending(file: str) -> tuple[str, ...]:
    last = (storage.suffixes(file) or [""])[-1]
    for endings in (SAFETENSORS, TORCH):
        if last in endings:
            return endings
    raise RunError(f"{file}: no checkpoint by its name; known are {', '.join((*SAFETENSORS, *TORCH))}")


class _Kind(NamedTuple):
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


class _Safetensors:
    """An open file: its header as it is, and its tensors one at a time."""

    def __init__(self, uri: str, file: IO[bytes]) -> None:
        self.uri, self._file = uri, file
        length = int.from_bytes(file.read(8), "little")
        self.header = file.read(length) if length <= _HEADER else b""
        try:
            told = json.loads(self.header)
            told.pop("__metadata__", None)
            by_place = sorted(told.items(), key=lambda item: (item[1]["data_offsets"], item[0]))
            self.kinds = {name: _Kind(str(one["dtype"]), tuple(map(int, one["shape"]))) for name, one in by_place}
            self._places = {name: (int(one["data_offsets"][0]), int(one["data_offsets"][1])) for name, one in by_place}
            self._check(storage.entry(uri).size - 8 - length)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RunError(f"{uri}: no safetensors file ({error})") from None
        self._begin = 8 + length

    def _check(self, size: int) -> None:
        """Tensors lie end to end and are as long as their shapes say: what was cut off or made up is an error."""
        at = 0
        for name, (start, end) in self._places.items():
            dtype, shape = kind = self.kinds[name]
            if start != at or end < start:
                raise ValueError(f"'{name}' does not begin where the one before it ends")
            if dtype in _FLOATS and end - start != math.prod(shape) * np.dtype(_FLOATS[dtype]).itemsize:
                raise ValueError(f"'{name}' has {end - start} bytes, which is not {kind}")
            at = end
        if at != size:
            raise ValueError(f"{size} bytes of tensors, {at} in the header")

    def raw(self, name: str) -> bytes:
        start, end = self._places[name]
        self._file.seek(self._begin + start)
        return self._file.read(end - start)

    def array(self, name: str) -> Array:
        dtype, shape = self.kinds[name]
        values: Array = np.frombuffer(self.raw(name), _FLOATS[dtype]).reshape(shape)
        return from_bfloat16(values) if dtype == "BF16" else values


def _average_safetensors(files: Sequence[str], weights: Floats, output: str) -> int:
    numbers = 0
    with ExitStack() as stack:
        opened = [_Safetensors(file, stack.enter_context(storage.open_binary(file))) for file in files]
        newest = opened[-1]
        for one in opened[:-1]:
            _same(one.uri, one.kinds, newest.kinds)
        for name, (dtype, _) in newest.kinds.items():
            if dtype not in _FLOATS and dtype not in _WHOLE:
                raise RunError(f"{newest.uri}: '{name}' is {dtype}, which has no average; averaged are {', '.join(_FLOATS)}")
        sink = stack.enter_context(storage.commit(output))
        sink.write(len(newest.header).to_bytes(8, "little") + newest.header)
        for name, (dtype, shape) in newest.kinds.items():
            if dtype not in _FLOATS:
                sink.write(newest.raw(name))
                continue
            mean = weighted((one.array(name) for one in opened), weights)
            sink.write((to_bfloat16(mean) if dtype == "BF16" else mean.astype(_FLOATS[dtype])).tobytes())
            numbers += math.prod(shape)
    return numbers


def _average_torch(files: Sequence[str], weights: Floats, output: str) -> int:
    try:
        import torch
    except ModuleNotFoundError:
        raise ImportError("torch's checkpoints need the package torch: pip install 'tamis[torch]'") from None
    states = [_state(file) for file in files]
    newest = states[-1]
    for file, state in zip(files, states, strict=True):
        _same(file, _kinds(state), _kinds(newest))
    numbers, made = 0, {}
    for name, one in newest.items():
        made[name] = one
        if one.is_floating_point():
            mean = weighted((state[name].detach().double().numpy() for state in states), weights)
            made[name] = torch.from_numpy(mean).to(one.dtype)
            numbers += mean.size
    with storage.commit(output) as sink:
        torch.save(made, sink)
    return numbers


def _state(file: str) -> Mapping[str, Any]:
    """A torch file as names and tensors; a local one stays on the disk until a tensor of it is wanted."""
    import pickle

    import torch

    path = storage.local_path(file)
    try:
        if path is not None:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        else:
            with storage.open_binary(file) as opened:
                found = torch.load(opened, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise RunError(f"{file}: torch cannot read it: {str(error).splitlines()[0]}") from None
    if not isinstance(found, dict) or not all(isinstance(one, torch.Tensor) for one in found.values()):
        inside = ", ".join(map(repr, found)) if isinstance(found, dict) else type(found).__name__
        raise RunError(f"{file}: names and tensors are wanted, this has {inside[:200]}; save the model's state_dict alone")
    return found


def _kinds(state: Mapping[str, Any]) -> dict[str, _Kind]:
    return {name: _Kind(str(one.dtype), tuple(one.shape)) for name, one in state.items()}


def _same(file: str, kinds: Mapping[str, _Kind], newest: Mapping[str, _Kind]) -> None:
    """RunError unless the tensors are alike in name, type and shape."""
    for name in sorted(kinds.keys() | newest.keys()):
        ours, theirs = kinds.get(name, "missing"), newest.get(name, "missing")
        if ours != theirs:
            raise RunError(f"{file}: '{name}' is {ours}, in the newest {theirs}: these are not of one model")
