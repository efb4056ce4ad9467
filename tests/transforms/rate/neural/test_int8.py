"""Linear maps in int8: exact integer sums, against a slow reference in numpy; and an error that has a bound."""

from __future__ import annotations

import numpy as np
import pytest

from tamis.transforms.core.errors import RunError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tamis.transforms.rate.neural.int8 import Int8Linear, with_int8_layers  # noqa: E402


def linear(size: int, outputs: int, bias: bool = True) -> torch.nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(size)
        return torch.nn.Linear(size, outputs, bias)


def inputs(*shape: int) -> torch.Tensor:
    numbers = np.random.default_rng(7).standard_t(3, shape).astype(np.float32)
    return torch.from_numpy(numbers)


def slow(layer: torch.nn.Linear, rows: np.ndarray) -> np.ndarray:
    """[n, out] of rows [n, in]: every sum in Python's integers."""
    weights = layer.weight.detach().numpy()
    units = np.abs(weights).max(1) / np.float32(127)
    whole = np.rint(weights / units[:, None])
    result = np.empty((len(rows), len(weights)))
    for place, row in enumerate(rows):
        unit = np.abs(row).max() / np.float32(127)
        ints = np.rint(row / unit) if unit else row
        for output, (own, worth) in enumerate(zip(whole, units, strict=True)):
            total = sum(int(a) * int(b) for a, b in zip(ints, own, strict=True))
            result[place, output] = total * float(unit) * float(worth)
    return result if layer.bias is None else result + layer.bias.detach().numpy()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [32, 40])
def test_it_is_the_slow_reference(size: int, bias: bool) -> None:
    layer, rows = linear(size, 24, bias), inputs(5, size)
    rows[2] = 0
    np.testing.assert_allclose(Int8Linear(layer)(rows).numpy(), slow(layer, rows.numpy()), rtol=1e-5, atol=1e-6)


def test_the_error_is_at_most_that_of_rounding() -> None:
    """Half a unit for each number of the input and of the weights, times what it is multiplied with."""
    layer, rows = linear(64, 32), inputs(20, 64)
    weights = layer.weight.detach().abs()
    row_unit, unit = rows.abs().amax(1, keepdim=True) / 127, weights.amax(1) / 127
    bound = 0.5 * (row_unit * weights.sum(1) + unit * rows.abs().sum(1, keepdim=True) + 64 * 0.5 * row_unit * unit)
    error = (Int8Linear(layer)(rows) - layer(rows)).abs()
    assert (error <= bound * 1.001).all()
    assert error.max() > 0


def test_a_row_depends_on_no_other_and_shapes_stay() -> None:
    layer, rows = Int8Linear(linear(32, 16)), inputs(3, 7, 32)
    whole = layer(rows)
    assert whole.shape == (3, 7, 16)
    assert all(torch.equal(layer(rows[a, b][None])[0], whole[a, b]) for a in range(3) for b in range(7))


def test_maps_behind_the_layers_stay() -> None:
    model = torch.nn.Sequential()
    model.layers = torch.nn.ModuleList([linear(8, 8), torch.nn.Sequential(linear(8, 8))])
    model.head = linear(8, 1)
    changed = with_int8_layers(model)
    assert isinstance(changed.layers[0], Int8Linear)
    assert isinstance(changed.layers[1][0], Int8Linear)
    assert isinstance(changed.head, torch.nn.Linear)


def test_a_model_without_such_layers_is_refused() -> None:
    with pytest.raises(RunError, match=r"Sequential has no layers of torch\.nn\.Linear to compute in int8: choose another"):
        with_int8_layers(torch.nn.Sequential(linear(8, 8)))
