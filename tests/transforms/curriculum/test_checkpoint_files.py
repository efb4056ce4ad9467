"""Checkpoints are averaged exactly, in their own types; checkpoints of different models are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.checkpoint_files import average_checkpoints, from_bfloat16, to_bfloat16, weighted_sum
from tamis.transforms.curriculum.checkpoint_weights import averaging_weights

EMA = averaging_weights("ema", 3)


def safetensors(file: Path, tensors: dict[str, tuple[str, np.ndarray]], metadata: dict[str, str] | None = None) -> str:
    """A file by the format's own description: length, header, bytes."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    at = 0
    for name, (dtype, array) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    file.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"".join(array.tobytes() for _, array in tensors.values()))
    return str(file)


def read_tensors(file: Path) -> dict[str, tuple[str, bytes]]:
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {
        name: (one["dtype"], data[start + one["data_offsets"][0] : start + one["data_offsets"][1]])
        for name, one in header.items()
    }


def model(seed: int) -> dict[str, tuple[str, np.ndarray]]:
    draw = np.random.default_rng(seed)
    return {
        "embed": ("F32", draw.normal(size=(5, 4)).astype("<f4")),
        "half": ("F16", draw.normal(size=7).astype("<f2")),
        "brain": ("BF16", to_bfloat16(draw.normal(size=(2, 3)))),
        "wide": ("F64", draw.normal(size=())),
        "empty": ("F32", np.zeros((0, 3), "<f4")),
        "steps": ("I64", np.array([seed], "<i8")),
        "mask": ("BOOL", np.array([True, seed % 2 == 0])),
    }


def three(folder: Path) -> list[str]:
    return [safetensors(folder / f"{seed}.safetensors", model(seed), {"format": "pt"}) for seed in range(3)]


def test_an_average_is_the_sum_in_order_of_weighted_doubles_in_the_type_of_each_tensor(tmp_path: Path) -> None:
    files = three(tmp_path)
    assert average_checkpoints(files, EMA, str(tmp_path / "out.safetensors")) == 20 + 7 + 6 + 1
    got, models = read_tensors(tmp_path / "out.safetensors"), [model(seed) for seed in range(3)]
    for name, dtype in (("embed", "<f4"), ("half", "<f2"), ("wide", "<f8")):
        first, second, third = (one[name][1].astype(float) * weight for one, weight in zip(models, EMA, strict=True))
        assert got[name] == (models[0][name][0], ((first + second) + third).astype(dtype).tobytes())
    first, second, third = (from_bfloat16(one["brain"][1]).astype(float) * w for one, w in zip(models, EMA, strict=True))
    assert got["brain"] == ("BF16", to_bfloat16((first + second) + third).tobytes())
    assert got["steps"][1] == np.array([2], "<i8").tobytes()
    assert got["mask"][1] == b"\1\1"


def test_the_layout_and_the_metadata_are_the_newest_checkpoints(tmp_path: Path) -> None:
    files = three(tmp_path)
    reordered = dict(reversed(model(0).items()))
    safetensors(tmp_path / "0.safetensors", reordered)
    average_checkpoints(files, averaging_weights("none", 3), str(tmp_path / "out.safetensors"))
    assert (tmp_path / "out.safetensors").read_bytes() == Path(files[2]).read_bytes()


def test_equal_checkpoints_average_to_themselves_and_a_weightless_one_does_not_count(tmp_path: Path) -> None:
    same = {"a": ("F32", np.float32([1e-30, 0.1, 3e38, -0.1]))}
    broken = {"a": ("F32", np.float32([np.nan, np.inf, 0, 0]))}
    files = [safetensors(tmp_path / f"{n}.safetensors", one) for n, one in enumerate((broken, same, same, same))]
    average_checkpoints(files, np.array([0, 0.3, 0.3, 0.4]), str(tmp_path / "out.safetensors"))
    assert (tmp_path / "out.safetensors").read_bytes() == Path(files[1]).read_bytes()


@given(st.lists(st.floats(width=32), min_size=1))
def test_bfloat16_is_the_nearest_with_ties_to_even(numbers: list[float]) -> None:
    values = np.array(numbers)
    got = from_bfloat16(to_bfloat16(values))
    assert (np.isnan(got) == np.isnan(values)).all()
    grid = np.sort(
        from_bfloat16(np.concatenate([np.arange(0x7F80), np.arange(0x8000, 0xFF80)]).astype(np.uint16)).astype(float)
    )
    for value, near in zip(values, got.astype(float), strict=True):
        if np.isfinite(value) and np.isfinite(near):
            assert abs(near - value) == np.abs(grid - value).min()
            if (np.abs(grid - value) == abs(near - value)).sum() > 1 and near:
                assert to_bfloat16(np.array([near]))[0] % 2 == 0


def test_a_weighted_sum_of_unequal_shapes_is_an_error() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        weighted_sum([np.zeros(3), np.zeros(1)], np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="longer"):
        weighted_sum([np.zeros(3)], np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="at least one"):
        weighted_sum([], np.array([]))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"a": ("F32", np.zeros(3, "<f4"))}, r"'a' is F32 \[3\], but F32 \[2\] in the newest"),
        ({"a": ("F16", np.zeros(2, "<f2"))}, "'a' is F16"),
        ({"b": ("F32", np.zeros(2, "<f4"))}, "'a' is missing"),
        ({"a": ("F32", np.zeros(2, "<f4")), "b": ("F32", np.zeros(2, "<f4"))}, "but missing in the newest"),
    ],
)
def test_other_models_are_refused_by_name(tmp_path: Path, other: dict[str, tuple[str, np.ndarray]], words: str) -> None:
    files = [
        safetensors(tmp_path / "other.safetensors", other),
        safetensors(tmp_path / "this.safetensors", {"a": ("F32", np.zeros(2, "<f4"))}),
    ]
    with pytest.raises(RunError, match=rf"other\.safetensors: .*{words}"):
        average_checkpoints(files, averaging_weights("sma", 2), str(tmp_path / "out.safetensors"))
    assert not (tmp_path / "out.safetensors").exists()


def test_damaged_and_impossible_files_are_refused(tmp_path: Path) -> None:
    data = Path(safetensors(tmp_path / "whole.safetensors", model(0))).read_bytes()
    bad = tmp_path / "bad.safetensors"
    for damaged in (b"", data[:4], data[:100], data[:-1], data + b"x", b"\xff" * 16, (2).to_bytes(8, "little") + b"[]"):
        bad.write_bytes(damaged)
        with pytest.raises(RunError, match=r"bad\.safetensors: not a safetensors file"):
            average_checkpoints([str(bad)], np.ones(1), str(tmp_path / "out.safetensors"))
    overlapping = {
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    }
    encoded = json.dumps(overlapping).encode()
    bad.write_bytes(len(encoded).to_bytes(8, "little") + encoded + bytes(4))
    with pytest.raises(RunError, match="does not begin where"):
        average_checkpoints([str(bad)], np.ones(1), str(tmp_path / "out.safetensors"))
    safetensors(bad, {"a": ("F8_E4M3", np.zeros(2, np.uint8))})
    with pytest.raises(RunError, match="of type F8_E4M3"):
        average_checkpoints([str(bad)], np.ones(1), str(tmp_path / "out.safetensors"))
    with pytest.raises(RunError, match="all"):
        average_checkpoints([str(bad)], np.ones(1), str(tmp_path / "out.pt"))
    with pytest.raises(RunError, match="checkpoint names end in"):
        average_checkpoints(["a.ckpt"], np.ones(1), "b.ckpt")
    with pytest.raises(RunError, match="1 checkpoints, but 2 weights"):
        average_checkpoints([str(bad)], np.ones(2), str(bad))


def test_the_package_writes_what_is_read_and_reads_what_is_written(tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    models = [{"b": np.float32([[1, 2], [3, seed]]), "a": np.float16([seed, 1])} for seed in range(3)]
    for seed, one in enumerate(models):
        package.save_file(one, tmp_path / f"{seed}.safetensors", {"format": "np"})
    average_checkpoints([str(tmp_path / f"{seed}.safetensors") for seed in range(3)], EMA, str(tmp_path / "out.safetensors"))
    got = package.load_file(tmp_path / "out.safetensors")
    assert got.keys() == models[0].keys()
    for name, array in got.items():
        assert (array == weighted_sum([one[name] for one in models], EMA).astype(array.dtype)).all()


def test_torch_checkpoints(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    models = [
        {name: torch.from_numpy(np.array(array)) for name, (_, array) in model(seed).items() if name != "brain"}
        | {"brain": torch.tensor([seed, 0.1]).bfloat16()}
        for seed in range(3)
    ]
    files = [str(tmp_path / f"{seed}.pt") for seed in range(3)]
    for file, one in zip(files, models, strict=True):
        torch.save(one, file)
    assert average_checkpoints(files, EMA, str(tmp_path / "out.pt")) == 20 + 7 + 2 + 1
    got = torch.load(tmp_path / "out.pt", weights_only=True)
    assert list(got) == list(models[0])
    for name, tensor in got.items():
        assert tensor.dtype == models[0][name].dtype
        if tensor.is_floating_point():
            mean = weighted_sum([one[name].double().numpy() for one in models], EMA)
            assert torch.equal(tensor, torch.from_numpy(np.asarray(mean)).to(tensor.dtype))
    assert got["steps"].item() == 2
    values = np.random.default_rng(0).normal(size=9999)
    assert (to_bfloat16(values) == torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()).all()


def test_other_torch_files_are_refused_and_run_no_code(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    bad, out = tmp_path / "bad.pt", str(tmp_path / "out.pt")
    for value, words in (({"a": Evil()}, "cannot read"), ({"model": {}, "step": 3}, "'model', 'step'"), ([1], "holds list")):
        torch.save(value, bad)
        with pytest.raises(RunError, match=words):
            average_checkpoints([str(bad)], np.ones(1), out)
    bad.write_bytes(b"nothing")
    with pytest.raises(RunError, match="cannot read"):
        average_checkpoints([str(bad)], np.ones(1), out)
    assert not (tmp_path / "ran").exists()
