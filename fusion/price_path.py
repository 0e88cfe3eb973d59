"""The prices that a run's decisions saw, one a session: what a picture of its regimes is drawn over."""

from collections.abc import Mapping

import polars as pl

from fusion.plan import Plan
from fusion.target import price_stream

PRICES: dict[str, pl.DataType] = {"session": pl.Date(), "entity": pl.String(), "price": pl.Float64()}


def price_path(plan: Plan, tables: Mapping[str, pl.DataFrame], decisions: pl.DataFrame) -> pl.DataFrame:
    """session, entity and the last price known at the session's last decision, of the source that the targets use.

    decisions  entity, session (or a block of one), decision_time; anything else is not looked at

    Prices that the source scales for later dividends and splits are scaled here too, so that only ratios mean anything.

    Missing values: null where nothing was known yet, or where the price is none above 0; after the entity's last price
    that one goes on.
    """
    name = plan.config.price_source
    prices = price_stream(tables[name], plan.config.sources[name].table).sort("known_time", maintain_order=True)
    last = decisions.group_by("session", "entity").agg(pl.col("decision_time").max()).sort("decision_time", "entity")
    found = last.join_asof(
        prices.select("entity", "known_time", "price"),
        left_on="decision_time",
        right_on="known_time",
        by="entity",
        check_sortedness=False,
    )
    usable = pl.when(pl.col("price").is_finite() & (pl.col("price") > 0)).then("price")
    return found.select("session", "entity", price=usable.cast(pl.Float64)).sort("session", "entity")
