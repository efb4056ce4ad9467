"""Learns the best weights of signals, or of domains, from the losses of proxies, for `tamis rate fuse`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence

import numpy as np

from tamis.transforms import storage
from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.errors import RunError
from tamis.transforms.decontaminate.benchmark_files import Row, rows
from tamis.transforms.mixture.drawn_mixtures import draw_mixtures
from tamis.transforms.mixture.log_linear_law import LogLinearLaw, least_loss
from tamis.transforms.mixture.search import mean_of_best
from tamis.transforms.select.quality.learned_weights import LearnedWeights

KEYS = ("index", "run", "name")
"""Columns that may name a proxy (RegMix and olmix); the first that both tables have joins them."""

_HELD_OUT = 5  # every fifth proxy checks the law, and stops the trees


def learn_weights(
    mixtures: str, losses: Sequence[str], targets: Sequence[str], law: str, draws: int, seed: int, cap: float, divergence: float
) -> LearnedWeights:
    """The weights with the least mean predicted loss.

    `mixtures` and `losses` are tables with a row for each proxy; losses may be what `tamis proxy --json` printed.
    `targets`: columns of losses, by default all. `law`: trees (mean of the best 128 of `draws`; signed if the
    proxies' weights are) or log-linear (convex programme). `cap`: the most of a weight, in multiples of its mean over
    the proxies; 0 for none. Both laws are fitted, and agree or not on held-out proxies. Raises RunError for tables
    that do not fit.
    """
    measured = ", ".join(losses)
    key, names, x, columns, y = _joined(mixtures, losses)
    chosen = list(dict.fromkeys(targets)) or columns
    if unknown := [name for name in chosen if name not in columns]:
        raise RunError(f"{measured}: there is no column '{unknown[0]}'; the losses are {', '.join(columns)}")
    y = y[:, [columns.index(name) for name in chosen]]
    if len(x) < 4 * _HELD_OUT:
        raise RunError(f"{mixtures} and {measured} share {len(x)} proxies by {key}: a law needs {4 * _HELD_OUT} or more")
    held_out = np.arange(len(x)) % _HELD_OUT == _HELD_OUT - 1
    signed = bool((x < 0).any())
    prior = np.abs(x).mean(axis=0)
    prior = prior / prior.sum()
    try:
        fitted = {law: _Laws(law, x, y, held_out)}
        other = "log-linear" if law == "trees" else "trees"
        try:
            fitted[other] = _Laws(other, x, y, held_out)
        except ImportError:
            if law == "trees":
                raise
        caps = cap * prior if cap else np.ones(len(prior))
        if law == "trees":
            tried = draw_mixtures(prior * len(prior), draws, seed, signed)
            tried = tried[(np.abs(tried) <= caps).all(axis=1)]
            if not len(tried):
                raise RunError(f"no draw keeps below the cap of {cap:g}: raise it, or use the log-linear law")
            weights, predicted = mean_of_best(tried, fitted[law].predict)
        elif signed:
            raise RunError("the log-linear law finds no signed weights: use --law trees")
        else:
            weights = least_loss(fitted[law].slopes, caps, np.maximum(prior, 1e-6), divergence)
            predicted = float(fitted[law].predict(weights[None])[0])
    except ValueError as error:
        raise RunError(f"{measured}: {error}") from None
    return LearnedWeights(
        weights=dict(zip(names, weights.tolist(), strict=True)),
        law=law,
        targets=tuple(chosen),
        predicted=predicted,
        rank_agreement={name: laws.rank_agreement for name, laws in sorted(fitted.items())},
    )


class _Laws:
    """One law for each target. `predict` is their mean."""

    def __init__(self, law: str, x: Floats, y: Floats, held_out: np.ndarray) -> None:
        from scipy.stats import spearmanr

        from tamis.transforms.mixture.tree_law import TreeLaw

        train, losses, test, expected = x[~held_out], y[~held_out], x[held_out], y[held_out]
        self._laws: list[TreeLaw | LogLinearLaw] = [
            TreeLaw(train, losses[:, target], (test, expected[:, target]))
            if law == "trees"
            else LogLinearLaw(train, losses[:, target])
            for target in range(y.shape[1])
        ]
        agreement = spearmanr(self.predict(test), expected.mean(axis=1)).statistic
        self.rank_agreement = 0.0 if np.isnan(agreement) else float(agreement)

    @property
    def slopes(self) -> Floats:
        """f64[targets, k] of log-linear laws."""
        return np.stack([law.slopes for law in self._laws if isinstance(law, LogLinearLaw)])

    def predict(self, mixtures: Floats) -> Floats:
        """The mean predicted loss of n mixtures: f64[n]."""
        return np.mean([law.predict(mixtures) for law in self._laws], axis=0)


def lines(found: LearnedWeights) -> Iterator[str]:
    """What a person reads."""
    agreement = ", ".join(f"{law} {value:.3f}" for law, value in found.rank_agreement.items())
    yield f"Spearman's ρ on held-out proxies: {agreement}"
    yield f"predicted loss {found.predicted:.4f}, by {found.law}, of {len(found.targets)} losses"
    for name, weight in sorted(found.weights.items(), key=lambda item: (-abs(item[1]), item[0])):
        yield f"  {weight:+.4f}  {name}"


def write_draws(names: Sequence[str], draws: int, seed: int, signed: bool, uri: str) -> None:
    """Writes weights for proxies to train, as a CSV with a row for each."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["index", *names])
    for index, row in enumerate(draw_mixtures(np.ones(len(names)), draws, seed, signed).tolist()):
        writer.writerow([index, *(f"{weight:.6f}" for weight in row)])
    storage.write_bytes(uri, table.getvalue().encode())


def _joined(mixtures: str, losses: Sequence[str]) -> tuple[str, list[str], Floats, list[str], Floats]:
    """(key, names of weights, f64[n, k], names of losses, f64[n, targets]) of the proxies in all tables, in the
    order of the first."""
    left, measured = _table(mixtures), [_table(uri) for uri in losses]
    key = next((name for name in KEYS if all(name in table[0] for table in (left, *measured))), "")
    if not key:
        raise RunError(f"{mixtures} and {', '.join(losses)} need a column that names the proxy in each: {', '.join(KEYS)}")
    columns: list[str] = []
    proxies, found = left, [np.empty((len(left), 0))]
    for uri, table in zip(losses, measured, strict=True):
        by_key = {str(row[key]): row for row in table}
        if len(by_key) < len(table):
            raise RunError(f"{uri}: a proxy has two rows of losses ('{key}')")
        own = [name for name in table[0] if name not in KEYS]
        if twice := set(own) & set(columns):
            raise RunError(f"{uri}: the losses '{min(twice)}' are in another table, too")
        there = [str(row[key]) in by_key for row in proxies]
        proxies, found = [row for row, has in zip(proxies, there, strict=True) if has], [part[there] for part in found]
        values = [[_number(by_key[str(row[key])], name, uri) for name in own] for row in proxies]
        found.append(np.array(values).reshape(-1, len(own)))
        columns += own
    names = [name for name in left[0] if name not in KEYS]
    x = np.array([[_number(row, name, mixtures) for name in names] for row in proxies])
    return key, names, x.reshape(-1, len(names)), columns, np.concatenate(found, axis=1)


def _table(uri: str) -> list[Row]:
    try:
        found = _proxy_losses(uri) if uri.endswith(".json") else [row for _, row in rows(uri)]
    except (ValueError, OSError) as error:
        raise RunError(str(error)) from None
    if not found:
        raise RunError(f"{uri}: the table has no rows")
    return found


def _proxy_losses(uri: str) -> list[Row]:
    """A row for each run that `tamis proxy` has ranked, by its losses at the lowest learning rate, at which rankings
    hold best. Its index is the last part of the run's name. Raises ValueError if the file is something else."""
    try:
        result = json.loads(storage.read_bytes(uri))
        ranking = min(result["rates"], key=lambda rate: float(rate["learning_rate"]))
        return [
            {"index": row["run"].rstrip("/").rpartition("/")[2], "run": row["run"], result["validation"]: row["loss"]}
            for row in ranking["runs"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{uri}: a .json file of losses is what tamis proxy --json prints") from None


def _number(row: Row, name: str, uri: str) -> float:
    try:
        number = float(str(row[name]))
    except (KeyError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise RunError(f"{uri}: '{name}' is a number in every row, not {row.get(name)!r}")
    return number
