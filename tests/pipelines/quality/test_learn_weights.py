"""`tamis rate fuse` learns hidden weights from planted losses, its file works in a recipe, and it says what does not fit."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.transforms.core.rater import Signal
from tamis.transforms.select.quality.fuse import Quality, fuse
from tamis.transforms.select.quality.learned_weights import LearnedWeights

NAMES = ["edu.facts", "edu.noise", "edu.reasoning", "edu.spam"]
HIDDEN = np.array([0.5, 0.0, 0.4, -0.3])
"""What documents are worth, by their four signals."""


def rate(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["rate", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def documents(seed: int, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Scores of n documents by four raters, from 0 to 1, and their hidden quality."""
    scores = np.random.default_rng(seed).random((n, 4))
    return scores, scores @ HIDDEN


def planted_proxies(folder: Path, proxies: int = 192) -> tuple[str, str]:
    """Drawn weights; and for each the loss of a proxy that was trained on the best 15 % by them (Meta-rater)."""
    drawn = str(folder / "weights.csv")
    signals = [word for name in NAMES for word in ("--signal", name)]
    rate("draw", *signals, "-n", str(proxies), "--signed", "--output", drawn)
    scores, hidden = documents(1)
    noise = np.random.default_rng(2).normal(0, 0.002, proxies)
    rows = list(csv.DictReader(Path(drawn).read_text().splitlines()))
    losses = ["index,web"]
    for row, error in zip(rows, noise, strict=True):
        fused = scores @ np.array([float(row[name]) for name in NAMES])
        best = fused >= np.quantile(fused, 0.85)
        losses.append(f"{row['index']},{3 - hidden[best].mean() + error}")
    (folder / "losses.csv").write_text("\n".join(reversed(losses[1:])).join([losses[0] + "\n", "\n"]))
    return drawn, str(folder / "losses.csv")


def test_learned_weights_beat_every_single_rater(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    output = tmp_path / "learned.json"
    printed = rate("fuse", *planted_proxies(tmp_path), "--draws", "20000", "--output", str(output))
    assert "Spearman's ρ on held-out proxies" in printed
    learned = LearnedWeights.model_validate_json(output.read_text())
    weights = learned.weights
    assert learned.rank_agreement["trees"] > 0.8
    assert weights["edu.facts"] > 0.1 < weights["edu.reasoning"]
    assert weights["edu.spam"] < -0.05
    scores, hidden = documents(3)
    quality = Quality.model_validate({"weights": str(output), "signals": [{"signal": name} for name in NAMES]})
    signals = {name: Signal(name, "float64", "share", "up", "test", 0.0, 1.0) for name in NAMES}
    fused = fuse(pa.table({name: scores[:, column] for column, name in enumerate(NAMES)}), quality, signals)

    def value_of_the_best(ranking: np.ndarray) -> float:
        return float(hidden[np.argsort(-ranking)[: int(0.15 * len(ranking))]].mean())

    single = max(value_of_the_best(sign * scores[:, column]) for column in range(4) for sign in (1, -1))
    assert value_of_the_best(fused) > single + 0.05
    assert 0 <= fused.min() <= fused.max() <= 1
    assert Quality.model_validate_json(quality.model_dump_json()) == quality


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "wiki"), "there is no column 'wiki'"),
        (("--law", "forest"), "trees or log-linear, not 'forest'"),
        (("--divergence", "1"), "is for --law log-linear"),
        (("--law", "log-linear"), "no signed weights"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    pytest.importorskip("lightgbm")
    tables = planted_proxies(tmp_path, 20)
    assert words in rate("fuse", *tables, *arguments, "--output", str(tmp_path / "x.json"), code=1)


def test_tables_that_share_no_proxies_are_told(tmp_path: Path) -> None:
    (tmp_path / "weights.csv").write_text("index,a,b\n" + "".join(f"{n},0.5,0.5\n" for n in range(30)))
    (tmp_path / "losses.csv").write_text("index,web\n1,3\n2,x\n")
    tables = (str(tmp_path / "weights.csv"), str(tmp_path / "losses.csv"))
    assert "'web' is a number in every row, not 'x'" in rate("fuse", *tables, "-o", str(tmp_path / "x"), code=1)
    (tmp_path / "losses.csv").write_text("index,web\n1,3\n2,4\n")
    assert "share 2 proxies" in rate("fuse", *tables, "-o", str(tmp_path / "x"), code=1)
    (tmp_path / "losses.csv").write_text("id,web\n1,3\n")
    assert "need a column that names the proxy" in rate("fuse", *tables, "-o", str(tmp_path / "x"), code=1)


def test_losses_of_proxies_are_taken_as_tamis_proxy_prints_them(tmp_path: Path) -> None:
    """Two validation runs, two learning rates: the losses are those at the lower rate, joined by the runs' last names."""
    draws = np.random.default_rng(6).dirichlet(np.ones(2), 40)
    (tmp_path / "weights.csv").write_text("index,a,b\n" + "".join(f"{n},{a},{b}\n" for n, (a, b) in enumerate(draws)))
    for held_out, hidden in (("run/web", (0.2, 0.9)), ("run/wiki", (0.1, 0.8))):
        runs = [{"run": f"proxies/{n}", "loss": 4 - float(row @ hidden)} for n, row in reversed(list(enumerate(draws)))]
        flipped = [{"run": row["run"], "loss": 4 - row["loss"]} for row in runs]
        rates = [{"learning_rate": 1e-3, "runs": flipped}, {"learning_rate": 1e-5, "runs": runs}]
        (tmp_path / f"{held_out[4:]}.json").write_text(json.dumps({"validation": held_out, "rates": rates}))
    tables = [str(tmp_path / name) for name in ("weights.csv", "web.json", "wiki.json")]
    rate("fuse", *tables, "--law", "log-linear", "--output", str(tmp_path / "learned.json"))
    learned = LearnedWeights.model_validate_json((tmp_path / "learned.json").read_text())
    assert learned.targets == ("run/web", "run/wiki")
    assert learned.weights["b"] > 0.95
    (tmp_path / "other.json").write_text('{"rates": []}')
    assert "what tamis proxy --json prints" in rate("fuse", tables[0], str(tmp_path / "other.json"), "-o", "x", code=1)
    assert "'run/web' are in another table" in rate("fuse", *tables, tables[1], "-o", "x", code=1)


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        ([{"signal": "a"}], "'b' is under the file, but not"),
        ([{"signal": "a"}, {"signal": "b"}, {"signal": "c"}], "'c' is under signals, but not in"),
        ([{"signal": "a", "weight": 2}, {"signal": "b"}], "give no weight"),
    ],
)
def test_learned_weights_are_for_all_signals_together(tmp_path: Path, signals: list[dict[str, object]], words: str) -> None:
    path = tmp_path / "learned.json"
    path.write_text(
        LearnedWeights(
            weights={"a": 0.4, "b": -0.6}, law="trees", targets=("web",), predicted=3, rank_agreement={"trees": 1}
        ).model_dump_json()
    )
    with pytest.raises(ValidationError, match=words):
        Quality.model_validate({"weights": str(path), "signals": signals})
