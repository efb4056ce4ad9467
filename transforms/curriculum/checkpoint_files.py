"""Averages the checkpoints of a training run, tensor by tensor, so that a model may be of any size.

This module reads safetensors itself (8 bytes of length, a JSON header, the tensors' bytes): the
package's numpy interface does not support bfloat16. torch reads torch files, with
`weights_only=True`, so no code in them runs.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.transforms import storage
from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.errors import RunError, missing_package

Array = npt.NDArray[Any]

SAFETENSORS: Final = (".safetensors",)
TORCH: Final = (".pt", ".pth", ".bin")

_HEADER = 100_000_000
"""Longest header that the format allows, in bytes."""

_FLOATS: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_INTEGERS: Final = frozenset({"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"})


def weighted_sum(arrays: Iterable[Array], weights: Floats) -> Floats:
    """Σ weight × array in float64, in the given order. An array of weight 0 is left out, even its
    NaNs. Raises ValueError if shapes differ, or there are not as many arrays as weights."""
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
        raise ValueError("an average needs at least one array")
    return total


def average_checkpoints(files: Sequence[str], weights: Floats, output: str) -> int:
    """Writes the average of checkpoints, oldest first; returns the number of averaged parameters.

    Each tensor keeps its type. Integers and booleans (counters, masks), layout and metadata come
    from the newest checkpoint. The output appears only when complete. Raises RunError, naming the
    file, if one is not a checkpoint or belongs to another model.
    """
    if len(files) != len(weights):
        raise RunError(f"{len(files)} checkpoints, but {len(weights)} weights")
    endings = {_ending(file) for file in (*files, output)}
    if len(endings) != 1:
        raise RunError("checkpoints and output must all be .safetensors files, or all torch files (" + ", ".join(TORCH) + ")")
    return (_average_safetensors if endings == {SAFETENSORS} else _average_torch)(files, weights, output)


def to_bfloat16(values: Array) -> npt.NDArray[np.uint16]:
    """Bits of the nearest bfloat16, ties to even, by way of float32 as in torch."""
    with np.errstate(over="ignore", invalid="ignore"):
        bits = values.astype("<f4").view("<u4")
        nearest = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), nearest)


def from_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The values of bfloat16 bits, exactly."""
    return (bits.astype("<u4") << 16).view("<f4")


def _ending(file: str) -> tuple[str, ...]:
    last = (storage.suffixes(file) or [""])[-1]
    for endings in (SAFETENSORS, TORCH):
        if last in endings:
            return endings
    raise RunError(f"{file}: checkpoint names end in {', '.join((*SAFETENSORS, *TORCH))}")


class _Kind(NamedTuple):
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


class _Safetensors:
    """An open file: its raw header, and its tensors one at a time."""

    def __init__(self, uri: str, file: IO[bytes]) -> None:
        self.uri, self._file = uri, file
        length = int.from_bytes(file.read(8), "little")
        self.header = file.read(length) if length <= _HEADER else b""
        try:
            entries = json.loads(self.header)
            entries.pop("__metadata__", None)
            by_offset = sorted(entries.items(), key=lambda item: (item[1]["data_offsets"], item[0]))
            self.kinds = {name: _Kind(str(entry["dtype"]), tuple(map(int, entry["shape"]))) for name, entry in by_offset}
            self._offsets = {name: (int(entry["data_offsets"][0]), int(entry["data_offsets"][1])) for name, entry in by_offset}
            self._check(storage.entry(uri).size - 8 - length)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RunError(f"{uri}: not a safetensors file ({error})") from None
        self._start = 8 + length

    def _check(self, size: int) -> None:
        """Raises ValueError unless the tensors fill the file without gaps and fit their shapes."""
        at = 0
        for name, (start, end) in self._offsets.items():
            dtype, shape = kind = self.kinds[name]
            if start != at or end < start:
                raise ValueError(f"'{name}' does not begin where the tensor before it ends")
            if dtype in _FLOATS and end - start != math.prod(shape) * np.dtype(_FLOATS[dtype]).itemsize:
                raise ValueError(f"'{name}' has {end - start} bytes, which does not fit {kind}")
            at = end
        if at != size:
            raise ValueError(f"the file holds {size} bytes of tensors, its header names {at}")

    def raw(self, name: str) -> bytes:
        start, end = self._offsets[name]
        self._file.seek(self._start + start)
        return self._file.read(end - start)

    def array(self, name: str) -> Array:
        dtype, shape = self.kinds[name]
        values: Array = np.frombuffer(self.raw(name), _FLOATS[dtype]).reshape(shape)
        return from_bfloat16(values) if dtype == "BF16" else values


def _average_safetensors(files: Sequence[str], weights: Floats, output: str) -> int:
    numbers = 0
    with ExitStack() as stack:
        opened = [_Safetensors(uri, stack.enter_context(storage.open_binary(uri))) for uri in files]
        newest = opened[-1]
        for file in opened[:-1]:
            _check_same_model(file.uri, file.kinds, newest.kinds)
        for name, (dtype, _) in newest.kinds.items():
            if dtype not in _FLOATS and dtype not in _INTEGERS:
                raise RunError(f"{newest.uri}: cannot average '{name}' of type {dtype}, only {', '.join(_FLOATS)}")
        sink = stack.enter_context(storage.commit(output))
        sink.write(len(newest.header).to_bytes(8, "little") + newest.header)
        for name, (dtype, shape) in newest.kinds.items():
            if dtype not in _FLOATS:
                sink.write(newest.raw(name))
                continue
            mean = weighted_sum((file.array(name) for file in opened), weights)
            sink.write((to_bfloat16(mean) if dtype == "BF16" else mean.astype(_FLOATS[dtype])).tobytes())
            numbers += math.prod(shape)
    return numbers


def _average_torch(files: Sequence[str], weights: Floats, output: str) -> int:
    try:
        import torch
    except ModuleNotFoundError:
        raise ImportError(missing_package("a torch checkpoint", "torch")) from None
    states = [_load_state(file) for file in files]
    newest = states[-1]
    for file, state in zip(files, states, strict=True):
        _check_same_model(file, _kinds(state), _kinds(newest))
    numbers, average = 0, dict(newest)
    for name, tensor in newest.items():
        if tensor.is_floating_point():
            mean = weighted_sum((state[name].detach().double().numpy() for state in states), weights)
            average[name] = torch.from_numpy(mean).to(tensor.dtype)
            numbers += mean.size
    with storage.commit(output) as sink:
        torch.save(average, sink)
    return numbers


def _load_state(file: str) -> Mapping[str, Any]:
    """The tensors of a torch file by name. A local file is memory-mapped."""
    import pickle

    import torch

    path = storage.local_path(file)
    try:
        if path is not None:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        else:
            with storage.open_binary(file) as opened:
                state = torch.load(opened, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise RunError(f"{file}: torch cannot read it: {str(error).splitlines()[0]}") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        content = ", ".join(map(repr, state)) if isinstance(state, dict) else type(state).__name__
        raise RunError(
            f"{file}: should hold only tensors by name, but holds {content[:200]}: save the model's state_dict alone"
        )
    return state


def _kinds(state: Mapping[str, Any]) -> dict[str, _Kind]:
    return {name: _Kind(str(tensor.dtype), tuple(tensor.shape)) for name, tensor in state.items()}


def _check_same_model(file: str, kinds: Mapping[str, _Kind], newest: Mapping[str, _Kind]) -> None:
    """Raises RunError unless the tensors have the same names, types and shapes."""
    for name in sorted(kinds.keys() | newest.keys()):
        own, other = kinds.get(name, "missing"), newest.get(name, "missing")
        if own != other:
            raise RunError(f"{file}: '{name}' is {own}, but {other} in the newest checkpoint: not the same model")
