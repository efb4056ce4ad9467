"""Predicts the loss of a proxy from its mixture by olmix's log-linear law, and finds the mixture with the least loss."""

from __future__ import annotations

import numpy as np

from tamis.transforms.core.arrays import Floats

HUBER = 0.02
"""Residuals above this count linearly (olmix fit/law.py)."""

_STARTS = (-2.0, 1.0)
"""Where the search for c starts; the loss without training data of a kind is e^c and more."""


class LogLinearLaw:
    """loss(x) = e^c + e^(t · x) (olmix fit/law.py; arXiv 2602.12237)."""

    def __init__(self, mixtures: Floats, losses: Floats) -> None:
        """Fits c and t by Huber's loss with L-BFGS from fixed starts. `mixtures` f64[n, k], losses f64[n] above 0."""
        from scipy.optimize import minimize

        if losses.min() <= 0:
            raise ValueError(f"a log-linear law is of losses above 0, not {losses.min():g}")

        def error(parameters: Floats) -> tuple[float, Floats]:
            floor, rest = np.exp(parameters[0]), np.exp(np.minimum(mixtures @ parameters[1:], 50.0))
            residual = floor + rest - losses
            clipped = np.clip(residual, -HUBER, HUBER)
            value = np.mean(clipped * residual - clipped**2 / 2)
            slope = clipped / len(losses)
            return float(value), np.concatenate([[slope.sum() * floor], mixtures.T @ (slope * rest)])

        best = None
        for start in _STARTS:
            floor = min(np.exp(start), 0.9 * losses.min())
            first = np.linalg.lstsq(mixtures, np.log(losses - floor), rcond=None)[0]
            found = minimize(
                error,
                np.concatenate([[np.log(floor)], first]),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": 5000, "maxfun": 50000, "ftol": 1e-14, "gtol": 1e-10},
            )
            if best is None or found.fun < best.fun:
                best = found
        assert best is not None
        self.floor, self.slopes = float(np.exp(best.x[0])), best.x[1:]

    def predict(self, mixtures: Floats) -> Floats:
        """The losses of n mixtures: f64[n]."""
        return np.asarray(self.floor + np.exp(mixtures @ self.slopes))


def least_loss(slopes: Floats, caps: Floats, prior: Floats, divergence: float) -> Floats:
    """The mixture x with the least mean_k e^(slopes_k · x) + divergence · KL(x ‖ prior), with 0 ≤ x ≤ caps.

    `slopes` f64[targets, k], `caps` and `prior` f64[k] (olmix fit/utils.py). The problem is convex. Raises
    ValueError if the caps leave less than a whole mixture.
    """
    from scipy.optimize import LinearConstraint, linprog, minimize

    if caps.sum() < 1:
        raise ValueError(f"the caps add up to {caps.sum():.3f}, less than a whole mixture: raise them")
    bounds = [(0.0, min(cap, 1.0)) for cap in caps]
    if len(slopes) == 1 and not divergence:  # e^z rises with z: the least z is a linear programme
        return np.asarray(linprog(slopes[0], A_eq=np.ones((1, len(caps))), b_eq=[1.0], bounds=bounds, method="highs-ds").x)

    def objective(x: Floats) -> tuple[float, Floats]:
        losses = np.exp(slopes @ x) / len(slopes)
        ratio = np.log(np.maximum(x, 1e-12) / prior)
        return float(losses.sum() + divergence * (x * ratio).sum()), slopes.T @ losses + divergence * (ratio + 1)

    start = _fill(prior, caps)
    whole = LinearConstraint(np.ones((1, len(caps))), 1.0, 1.0)
    found = minimize(
        objective, start, jac=True, bounds=bounds, constraints=[whole], method="SLSQP", options={"maxiter": 2000, "ftol": 1e-12}
    )
    mixture = np.clip(found.x, 0.0, caps)
    return np.asarray(mixture / mixture.sum())


def _fill(prior: Floats, caps: Floats) -> Floats:
    """The prior cut to the caps, with the rest spread over what is left below them."""
    x = np.minimum(prior, caps)
    room = caps - x
    return x + (1 - x.sum()) * room / room.sum() if room.sum() > 0 else x
