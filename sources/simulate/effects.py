"""The planted effects: every strength, horizon, entity and regime in one place.

Strengths of drift are in standard deviations of the entity's one-minute return, per minute and per unit of the driver.
They are larger than what is published for real markets, because eighty sessions are few; docs/simulated_market.md has
the rank ICs that follow from them.
"""

from dataclasses import dataclass

import polars as pl

CALM, STRESS = 0, 1
REGIMES = ("calm", "stress")
STEPS_PER_MINUTE = 3
STEP_NS = 20 * 10**9

# 2^(-1/n): the factor of one step for a half-life of n steps, as literals because a power may differ in its last bit
PRESSURE_DECAY = 0.9675317785238916  # 21 steps: 7 minutes
TONE_DECAY = 0.9923279462629435  # 90 steps: 30 minutes
POLICY_DECAY = 0.9771599684342459  # 30 steps: 10 minutes

POLICY_VOLATILITY = 2.5
POLICY_STEPS = 180
SURPRISE_DAYS = 14
OVERNIGHT_TONE = 4.0


@dataclass(frozen=True, slots=True)
class Effect:
    """A driver's pull on an entity's price. `drift` is by regime: (calm, stress)."""

    name: str
    driver: str
    entities: str
    drift: tuple[float, float]
    horizon: str
    meaning: str


PRESSURE = Effect(
    "book_pressure",
    "pressure",
    "all",
    (0.065, 0.0),
    "half-life 7 minutes",
    "hidden buying pressure, AR(1) of unit variance; it leans the sizes of the book and the side of trades",
)
TONE = Effect(
    "headline_tone",
    "tone",
    "all",
    (0.04, 0.11),
    "half-life 30 minutes of trading after receipt",
    "sum over the session's headlines of tone (-1, 0, +1) times 2^(-minutes since receipt / 30); repeats do not count",
)
SURPRISE = Effect(
    "lot_surprise",
    "surprise",
    "retailer",
    (0.032, 0.0),
    "until the next delivery, at most two weeks",
    "parking-lot fill less that of 52 weeks before, over its standard deviation, from its first delivery on",
)
POLICY = Effect(
    "policy_burst",
    "policy",
    "all",
    (0.0, 0.0),
    "half-life 10 minutes, 60 minutes in all",
    "after a policy rate decision volatility is 1 + 2.5 x 2^(-minutes / 10) times the usual and the spread is five "
    "ticks for ten minutes; no drift",
)
EFFECTS = (PRESSURE, TONE, SURPRISE, POLICY)


def table(on: bool) -> pl.DataFrame:
    """The effects as a table, one row an effect and regime; strength 0 throughout where they are off."""
    return pl.DataFrame(
        [
            {
                "effect": effect.name,
                "driver": effect.driver,
                "entities": effect.entities,
                "regime": REGIMES[regime],
                "drift_sigma_per_minute": effect.drift[regime] if on else 0.0,
                "volatility_factor": 1.0 + (POLICY_VOLATILITY if on and effect is POLICY else 0.0),
                "horizon": effect.horizon,
                "meaning": effect.meaning,
            }
            for effect in EFFECTS
            for regime in (CALM, STRESS)
        ]
    )
