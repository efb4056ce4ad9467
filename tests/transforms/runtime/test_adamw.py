"""Our AdamW moves parameters as torch's does, and does not load torch's compiler. Needs torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tamis.transforms.runtime.adamw import AdamW  # noqa: E402

RATES = (0.1, 0.02, 0.3, 0.0, 0.05)


def gradients(parameters: list[torch.Tensor]) -> None:
    for parameter in parameters:
        (parameter.sin() * parameter).sum().backward()


def start() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(5)
    return [torch.randn(shape, generator=draw, requires_grad=True) for shape in ((3, 4), (7,))]


@pytest.mark.slow  # torch.optim imports the compiler
def test_steps_are_those_of_torch_to_the_bit() -> None:
    ours, theirs = start(), start()
    mine = AdamW([(ours[:1], 6.0), (ours[1:], 1.0)], (0.9, 0.95), 0.1)
    reference = torch.optim.AdamW(
        [{"params": theirs[:1], "scale": 6.0}, {"params": theirs[1:], "scale": 1.0}], betas=(0.9, 0.95), weight_decay=0.1
    )
    for rate in RATES:
        for group in reference.param_groups:
            group["lr"] = rate * group["scale"]
        reference.zero_grad()
        gradients(ours)
        gradients(theirs)
        mine.step(rate)
        reference.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_one_step_by_hand() -> None:
    parameter = torch.tensor([2.0], requires_grad=True)
    optimiser = AdamW([([parameter], 1.0)], (0.9, 0.99), 0.5)
    (3 * parameter).backward()
    optimiser.step(0.1)
    assert parameter.item() == pytest.approx(2 * (1 - 0.1 * 0.5) - 0.1)  # the first step is the rate by the gradient's sign
    assert parameter.grad is None


@pytest.mark.slow
def test_training_does_not_import_the_compiler() -> None:
    code = (
        "import sys, numpy as np; from tamis.transforms.rate.trained.pooled_training import Settings, train_pooled\n"
        "rows = [np.arange(k % 5 + 1, dtype=np.int32) for k in range(8)]\n"
        "train_pooled(rows, rows, 9, np.arange(8) % 2 * 1.0, np.ones(8), np.arange(8) > 5, Settings(epochs=1))\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
