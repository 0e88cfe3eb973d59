"""Features of scheduled events: how far the next one is, and how long ago the last one was.

The schedule is known ahead (known_time is when it became public); the outcome is not used here.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import MINUTE, nanoseconds
from gpu_kernels.spec import FeatureSpec

Array = NDArray[np.float64]
CAP_MINUTES = 7 * 24 * 60.0


def _spec(which: str, meaning: str) -> FeatureSpec:
    return FeatureSpec(
        f"event_{which}_<kind>",
        "event",
        "minutes",
        "each decision",
        f"{meaning}, among the events whose schedule is known; at most {CAP_MINUTES:.0f} (one week)",
        "never: without such an event it is the cap",
        "definition",
    )


FEATURES: tuple[FeatureSpec, ...] = (
    _spec("minutes_to", "minutes to the next event of the kind"),
    _spec("minutes_since", "minutes since the last event of the kind"),
)


def compute(rows: pl.DataFrame, grid: pl.DataFrame, kinds: list[str]) -> dict[str, Array]:
    """`event_minutes_to_<kind>` and `event_minutes_since_<kind>` for each of the kinds.

    Calendars hold few events, so each decision looks at those of its kind within the cap. A calendar of an entity of
    the grid serves that entity; one of a market or region serves all. Missing values: none, see the specs.
    """
    entities = set(grid["entity"].unique())
    decisions = nanoseconds(grid["decision_time"])
    columns: dict[str, Array] = {}
    for kind in kinds:
        ahead, behind = np.full(len(decisions), CAP_MINUTES), np.full(len(decisions), CAP_MINUTES)
        for entity, event_time, known_time in (
            rows.filter(pl.col("kind") == kind)
            .select("entity", pl.col("event_time").dt.epoch("ns"), pl.col("known_time").dt.epoch("ns"))
            .iter_rows()
        ):
            distance = (event_time - decisions) / MINUTE
            usable = known_time <= decisions
            if entity in entities:
                usable &= (grid["entity"] == entity).to_numpy()
            coming = usable & (distance > 0)
            ahead[coming] = np.minimum(ahead[coming], distance[coming])
            past = usable & (distance <= 0)
            behind[past] = np.minimum(behind[past], -distance[past])
        columns[f"event_minutes_to_{kind}"], columns[f"event_minutes_since_{kind}"] = ahead, behind
    return columns
