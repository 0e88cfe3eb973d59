"""A leaner market than sources.simulate's, drawn straight as features and labels: hundreds of seeds in minutes.

**Time.** Sessions of 40 decisions, five minutes apart, of `ENTITIES` entities; the label is the log return of the next
three steps, so that neighbouring labels share two thirds, and those at a session's end are missing.

**Regimes.** A Markov chain over sessions, calm and stress, that stays with probability 0.96. It is read through noise:
one observation a session, before it opens, mean 20 or 30, noise 4; 250 sessions of it come before the market.

**Returns** of a step, entity e, session s:

    r = sigma (sqrt(0.3) market + sqrt(0.7) own + drift),   market, own: Student's t with 4 degrees, unit variance
    sigma = 5 bps x (1.6 in stress) x level_s x u(time of day) x cluster_e

level_s: exp of an AR(1) over sessions (0.9, standard deviation 0.35); u: 1.5 at both ends, 0.75 at noon; cluster: a
GARCH(1, 1) (0.08, 0.9) of the entity's own shocks. Without drift returns are a martingale difference, and symmetric.

**Features.** By kind (the name's first part), per entity unless told otherwise:

    fast       AR(1) over steps, half-life 30 minutes, anew each session
    daily      one value a session, AR(1) over sessions (0.9)
    weekly     one value in five sessions, AR(1) over weeks (0.5)
    sparse     news-like: a shock in 4 % of steps, Student's t with 3 degrees, decaying with a half-life of 30 minutes
    market     one for all entities, AR(1) over steps, half-life two sessions
    calendar   one for all: time since, and to, what happens every 30 sessions
    returns    the entity's own last 3, 12 and 78 steps' return, over sessions; place in the range of 24 steps
    volatility realised over 12 and over 240 steps

**Effects.** drift = strength x feature in the regimes of `EFFECTS`. A decoy is 0.6 x a feature that moves prices +
0.8 x a feature of its kind that does not. In a regime where the feature moves prices the decoy forecasts too, by the
correlation alone: it is counted apart, as neither right nor wrong; in the other regime it is wrong.

Variant: invented for this study; the parts are Engle (1982), Bollerslev (1986) and Hamilton (1989).
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.config import RunConfig, load
from fusion.studies.planted_samples import Sample, Source
from sources.schema import TIME

Floats = NDArray[np.float64]

ENTITIES, STEPS, HORIZON, STEP_MINUTES = 8, 40, 3, 5
HISTORY, STAY, READINGS, READING_NOISE = 250, 0.96, (20.0, 30.0), 4.0
SIGMA, STRESS_FACTOR, COMMON = 5e-4, 1.6, 0.3
CALM, STRESS = 0, 1
EFFECTS: dict[str, tuple[float, float]] = {
    "fast_0": (0.07, 0.0),
    "sparse_0": (0.0, 0.09),
    "weekly_0": (0.05, 0.0),
    "daily_0": (0.045, 0.045),
}
"""Feature -> drift in standard deviations of a step's return per unit of it, (calm, stress)."""
COUNTS = {"fast": 5, "daily": 5, "weekly": 4, "sparse": 5, "market": 4}
"""Drawn features of each kind; number 0 moves prices and number 1 is its decoy where the kind is in EFFECTS."""


@cache
def source(config: Path = Path("configs/demo.yaml")) -> Source:
    """Panels judged by the walk-forward, regime, selection and model of a config."""
    settings = load(config)
    return Source("panel", settings, lambda seed, effects, _: sample(settings, seed, effects))


def sample(config: RunConfig, seed: int, effects: bool, sessions: int | None = None) -> Sample:
    """One seed: the same draws with effects on or off. `sessions` is the config's by default."""
    if sessions is None:
        assert config.simulate is not None
        sessions = config.simulate.sessions
    regime_draw, shock_draw, feature_draw = np.random.default_rng(seed).spawn(3)
    regimes = _chain(regime_draw, HISTORY + sessions)
    readings = np.array(READINGS)[regimes] + READING_NOISE * regime_draw.standard_normal(len(regimes))
    regime = regimes[HISTORY:]
    drawn = _drawn(feature_draw, sessions)
    drift = sum((np.array(strength)[regime][:, None, None] * drawn[name] for name, strength in EFFECTS.items()))
    returns, sigma = _returns(shock_draw, regime, drift if effects else 0.0)
    features = drawn | _of_returns(returns, sigma)
    return _tables(features, returns, readings, effects)


def _chain(draw: np.random.Generator, length: int) -> NDArray[np.int64]:
    leaves = draw.random(length) >= STAY
    return np.cumsum(leaves).astype(np.int64) % 2


def _persistent(z: Floats, stay: float, axis: int) -> Floats:
    """A stationary AR(1) of unit variance along an axis, from standard normal draws."""
    z = np.moveaxis(z, axis, 0)
    found = np.empty_like(z)
    found[0] = z[0]
    for i in range(1, len(z)):
        found[i] = stay * found[i - 1] + np.sqrt(1 - stay * stay) * z[i]
    return np.moveaxis(found, 0, axis)


def _drawn(draw: np.random.Generator, sessions: int) -> dict[str, Floats]:
    """The features that do not depend on prices, (sessions, steps, entities)."""
    shape, half_life = (sessions, STEPS, ENTITIES), 2.0 ** (-STEP_MINUTES / 30)
    weeks = -(-sessions // 5)
    found: dict[str, Floats] = {}
    for kind, count in COUNTS.items():
        for i in range(count):
            if kind == "fast":
                values = _persistent(draw.standard_normal(shape), half_life, 1)
            elif kind == "daily":
                values = _persistent(draw.standard_normal((sessions, 1, ENTITIES)), 0.9, 0)
            elif kind == "weekly":
                values = np.repeat(_persistent(draw.standard_normal((weeks, 1, ENTITIES)), 0.5, 0), 5, 0)[:sessions]
            elif kind == "sparse":
                shocks = np.where(draw.random(shape) < 0.04, draw.standard_t(3, shape), 0.0)
                values = np.zeros(shape)
                values[:, 0] = shocks[:, 0]
                for t in range(1, STEPS):
                    values[:, t] = half_life * values[:, t - 1] + shocks[:, t]
            else:
                values = _persistent(draw.standard_normal(sessions * STEPS), 2.0 ** (-1 / (2 * STEPS)), 0)
                values = values.reshape(sessions, STEPS, 1)
            values = np.ascontiguousarray(np.broadcast_to(values, shape))
            if i == 1 and f"{kind}_0" in EFFECTS:
                values = 0.6 * found[f"{kind}_0"] + 0.8 * values
            found[f"{kind}_{i}"] = values
    place = np.arange(sessions * STEPS, dtype=np.float64).reshape(sessions, STEPS, 1) + draw.integers(30 * STEPS)
    since = np.broadcast_to(place % (30 * STEPS), shape)
    return found | {"calendar_since": since.copy(), "calendar_to": 30 * STEPS - since}


def _returns(draw: np.random.Generator, regime: NDArray[np.int64], drift: Floats | float) -> tuple[Floats, Floats]:
    """(sessions, steps, entities) log returns of the steps that begin at each decision, and their deviations."""
    shape = (len(regime), STEPS, ENTITIES)
    unit = np.sqrt(2.0)  # of Student's t with 4 degrees
    shocks = np.sqrt(COMMON) * draw.standard_t(4, shape[:2])[..., None] / unit
    shocks = shocks + np.sqrt(1 - COMMON) * draw.standard_t(4, shape) / unit
    level = np.exp(0.35 * _persistent(draw.standard_normal(len(regime)), 0.9, 0))
    slow = SIGMA * np.where(regime == STRESS, STRESS_FACTOR, 1.0) * level
    of_day = 0.75 + 0.75 * np.linspace(-1, 1, STEPS) ** 2
    sigma, variance = np.empty(shape), np.ones(ENTITIES)
    for s in range(shape[0]):
        for t in range(STEPS):
            sigma[s, t] = slow[s] * of_day[t] * np.sqrt(variance)
            variance = 0.02 + 0.08 * variance * shocks[s, t] ** 2 + 0.9 * variance
    return sigma * (shocks + drift), sigma


def _of_returns(returns: Floats, sigma: Floats) -> dict[str, Floats]:
    """Features of the past of prices, which end where the step of a decision begins."""
    flat = returns.reshape(-1, ENTITIES)
    price = np.vstack([np.zeros(ENTITIES), np.cumsum(flat, axis=0)])[:-1]
    squares = np.vstack([np.zeros(ENTITIES), np.cumsum(flat**2, axis=0)])[:-1]

    def lagged(values: Floats, steps: int) -> Floats:
        return np.vstack([np.full((steps, ENTITIES), np.nan), values[steps:] - values[:-steps]])

    found = {f"returns_{steps}": lagged(price, steps) for steps in (3, 12, 78)}
    window = np.lib.stride_tricks.sliding_window_view(price, 24, axis=0)
    low, high = window.min(axis=-1), window.max(axis=-1)
    found["returns_range"] = np.vstack([np.full((23, ENTITIES), np.nan), (price[23:] - low) / (high - low)])
    found |= {f"volatility_{steps}": lagged(squares, steps) for steps in (12, 240)}
    return {name: values.reshape(returns.shape) for name, values in found.items()}


def _tables(features: dict[str, Floats], returns: Floats, readings: Floats, effects: bool) -> Sample:
    count = len(returns)
    days = _days(HISTORY + count)
    opens = pl.Series([datetime.combine(day, time(14, 30), tzinfo=UTC) for day in days], dtype=TIME)
    observations = pl.DataFrame({"session": days}).with_columns(time=opens, stress=pl.Series(readings))
    sessions = observations.select("session", open=pl.col("time"), close=pl.col("time") + timedelta(hours=4))[HISTORY:]
    step = timedelta(minutes=STEP_MINUTES)
    grid = (
        sessions.select("session", "open")
        .join(pl.DataFrame({"step": np.arange(STEPS)}), how="cross")
        .join(pl.DataFrame({"entity": [f"E{e}" for e in range(ENTITIES)]}), how="cross")
        .select("entity", "session", decision_time=(pl.col("open") + (pl.col("step") + 3) * step).cast(TIME))
    )
    # the sum of three steps, by hand: no difference of running totals
    label = np.full(returns.shape, np.nan)
    label[:, : STEPS - HORIZON + 1] = sum(returns[:, i : STEPS - HORIZON + 1 + i] for i in range(HORIZON))
    labels = grid.with_columns(
        pl.Series("return_15min", label.ravel()).fill_nan(None),
        label_end_15min=(pl.col("decision_time") + HORIZON * step).cast(TIME),
    ).with_columns(
        pl.when(pl.col("return_15min").is_not_null()).then(pl.col("label_end_15min")).alias("label_end_15min")
    )
    frame = grid.with_columns(pl.Series(name, values.ravel()) for name, values in features.items())
    kinds = [
        (name, "decoy" if f"{name[:-1]}0" in EFFECTS and name.endswith("_1") else name.split("_")[0])
        for name in features
    ]
    truth = [
        (name, regime, name)
        for name, strength in EFFECTS.items()
        for regime in (CALM, STRESS)
        if effects and strength[regime]
    ]
    return Sample(
        features=frame.sort("entity", "decision_time"),
        labels=labels.sort("entity", "decision_time"),
        sessions=sessions,
        observations=observations,
        kinds=pl.DataFrame(kinds, schema={"feature": pl.String, "kind": pl.String}, orient="row"),
        truth=pl.DataFrame(truth, schema={"feature": pl.String, "regime": pl.Int64, "driver": pl.String}, orient="row"),
    )


def _days(count: int) -> list[date]:
    """Weekdays that end in March 2026."""
    days: list[date] = []
    day = date(2026, 3, 31)
    while len(days) < count:
        if day.weekday() < 5:
            days.append(day)
        day -= timedelta(days=1)
    return days[::-1]
