"""A study of a simulated level-3 market with every feature of its quotes, trades and book: invariant, leaks found, and
missing where messages of the book were lost."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from fusion import features
from fusion.config import RunConfig, parse
from fusion.features import book, quote, trade
from fusion.features.ticks import Array, Ticks, allowed
from fusion.grid import decision_grid
from fusion.invariance import check, cut_times
from fusion.plan import Plan, make_plan
from sources.schema import GAP, SET, SNAPSHOT, TIME
from sources.simulate.orders import OrderSimulation, simulate_orders

START, END = datetime(2024, 9, 2, 8, 2, tzinfo=UTC), datetime(2024, 9, 2, 8, 12, tzinfo=UTC)
LOST_FROM, LOST_TO = START + timedelta(minutes=4), START + timedelta(minutes=4, seconds=40)


def source(table: str, **options: object) -> dict[str, object]:
    shared = {"kind": "table_file", "table": table, "files": f"{table}.parquet", "timezone": "UTC", "max_age": "1min"}
    return shared | options


def config_of(**wanted: object) -> RunConfig:
    options = {"tick": 1.0, "lot": 0.001}
    return parse(
        {
            "name": "order_book",
            "calendar": "24/7",
            "entities": ["SIMBTC"],
            "start": START,
            "end": END,
            "sources": {
                "quotes": source("quote"),
                "trades": source("trade", quotes="quotes", bands=[2, 4, 20], **options),
                "book": source(
                    "book_update",
                    cost_size=2.0,
                    depth_bps=2.0,
                    drought_warm_up="1min",
                    spoofing_warm_up="1min",
                    trades="trades",
                    **options,
                ),
                "orders": source("order_event", depth_bps=2.0, trades="trades", **options),
            },
            "features": wanted or {"quotes": "all", "trades": "all", "book": "all"},
            "feature_fit": {"every": "1min", "window": "2min"},
            "decisions": {"step": "2s", "delay": "100ms"},
            "targets": {"horizons": ["5s"], "primary": "5s", "price": "quotes"},
            "walk_forward": {"block": "30s", "train_sessions": 8, "refit_sessions": 6, "embargo_sessions": 0},
            "selection": {"min_sessions": 5, "min_features": 2},
            "model": {"trees": 10, "min_rows_leaf": 20},
            "evaluation": {"bootstrap": 100},
        }
    )


@pytest.fixture(autouse=True)
def _a_short_first_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusion.features.trade_flow.FIRST_TRADES", 100)


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """Ten minutes of the market, and a loss of the book's messages in them."""
    found = simulate_orders(OrderSimulation(seed=11, sessions=1))
    inside = pl.col("known_time") <= pl.lit(END, TIME)
    rows = {"quotes": found.quote, "trades": found.trade, "book": found.book_update, "orders": found.order_event}
    return {name: table.filter(inside) for name, table in rows.items()}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return make_plan(config_of(), tmp_path_factory.mktemp("lake"))


def test_all_of_the_registry_is_there_and_nothing_of_it_knows_the_future(
    plan: Plan, tables: dict[str, pl.DataFrame]
) -> None:
    matrix = features.build(plan.config, tables, decision_grid(["SIMBTC"], plan.sessions, plan.config.decisions))
    for family in (quote, trade, book):
        for spec in family.FEATURES:
            assert any(allowed([spec], name) for name in matrix.families), spec.name
    # one session has no session before it, and an hour is too short for sixty days
    empty = {name for name in matrix.candidates if matrix.frame[name].is_nan().all()}
    assert {name for name in empty if not name.endswith("_1min")} == {"trade_pin", "trade_pin_adjusted", "trade_psos"}
    report = check(plan, tables, cut_times(plan, tables, 1))
    assert report.differences.is_empty(), report.differences
    assert report.ok


class TestPlantedLeaks:
    def differing(self, plan: Plan, tables: Mapping[str, pl.DataFrame], name: str) -> bool:
        """Whether a feature changes before a cut in the middle of what comes after it."""
        source = name.split("_", maxsplit=1)[0].replace("trade", "trades")
        config = config_of(**{source: [name]})
        grid = decision_grid(["SIMBTC"], plan.sessions, config.decisions)
        cut = pl.lit(START + timedelta(minutes=6, seconds=30), TIME)
        full = features.build(config, tables, grid).frame[name].to_numpy()
        left = {key: rows.filter(pl.col("known_time") <= cut) for key, rows in tables.items()}
        part = features.build(config, left, grid.filter(pl.col("decision_time") <= cut)).frame[name].to_numpy()
        return not np.array_equal(full[: len(part)], part, equal_nan=True)

    def test_a_realised_spread_before_its_later_mid(
        self, plan: Plan, tables: dict[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = Ticks.decayed

        def early(self: Ticks, values: Array, half_life: int, delay: int = 0) -> Array:
            return honest(self, values, half_life)

        assert not self.differing(plan, tables, "trade_realised_spread_10s")
        monkeypatch.setattr(Ticks, "decayed", early)
        assert self.differing(plan, tables, "trade_realised_spread_10s")

    @pytest.mark.parametrize("name", ["trade_hawkes_imbalance", "book_stoikov_gap", "book_ofi_integrated_10s"])
    def test_a_model_fitted_to_what_comes_after(
        self, plan: Plan, tables: dict[str, pl.DataFrame], name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from fusion.feature_fit import Fit, fits

        def ahead(time: Array, at: Array, every: int, window: int) -> list[Fit]:
            later = [(f, int(np.searchsorted(time, f.moment + every))) for f in fits(time, at, every, window)]
            return [Fit(f.moment + every, f.first, stop, f.last, f.begin, f.end) for f, stop in later]

        assert not self.differing(plan, tables, name)
        for module in ("trade_models", "book_rows"):
            monkeypatch.setattr(f"fusion.features.{module}.fits", ahead)
        assert self.differing(plan, tables, name)


def test_the_orders_of_a_book_give_the_features_of_its_updates(plan: Plan, tables: dict[str, pl.DataFrame]) -> None:
    names = ["book_spread", "book_imbalance_10", "book_depth_near", "book_ofi_levels_10s", "book_cancel_to_trade_1min"]
    config = config_of(book=names, orders=names)
    grid = decision_grid(["SIMBTC"], plan.sessions, config.decisions)
    frame = features.build(config, tables, grid).frame
    for name in names[:4]:
        of_updates, of_orders = (frame[f"{source}_{name}"].to_numpy() for source in ("book", "orders"))
        assert np.isfinite(of_updates).sum() > 200
        np.testing.assert_allclose(of_orders, of_updates, rtol=1e-6, atol=1e-9, err_msg=name)
    # what trades do not explain is a guess from updates, and told by the orders
    guessed, told = (frame[f"{source}_book_cancel_to_trade_1min"].to_numpy() for source in ("book", "orders"))
    assert np.nanmedian(np.abs(guessed - told)) < 0.3
    cut = pl.lit(START + timedelta(minutes=6, seconds=30), TIME)
    left = {key: rows.filter(pl.col("known_time") <= cut) for key, rows in tables.items()}
    part = features.build(config, left, grid.filter(pl.col("decision_time") <= cut)).frame
    assert part.equals(frame.head(part.height))


def with_a_loss(rows: pl.DataFrame) -> pl.DataFrame:
    """The updates from LOST_FROM to LOST_TO taken away; a gap where the first is missed, then a snapshot."""
    moments = [pl.lit(moment, TIME) for moment in (LOST_FROM, LOST_TO)]
    before = rows.filter(pl.col("known_time") < moments[0])
    after = rows.filter(pl.col("known_time") >= moments[1])
    held: dict[tuple[int, float], float] = {}
    missed = rows.filter(pl.col("known_time") < moments[1])
    for side, price, size in missed.select("side", "price", "size").iter_rows():
        held[side, price] = size
    whole = [(side, price, size) for (side, price), size in held.items() if size > 0]
    first = rows.filter(pl.col("known_time") >= moments[0]).head(1)
    gap = first.with_columns(action=pl.lit(GAP, pl.Int8), last=True)
    number = int(first["sequence"][0])
    snapshot = pl.concat([after.head(1)] * len(whole)).with_columns(
        known_time=moments[1],
        sequence=pl.Series(range(number + 1, number + 1 + len(whole))),
        action=pl.Series([SNAPSHOT] + [SET] * (len(whole) - 1), dtype=pl.Int8),
        side=pl.Series([side for side, _, _ in whole], dtype=pl.Int8),
        price=pl.Series([price for _, price, _ in whole]),
        size=pl.Series([size for _, _, size in whole]),
        last=pl.Series([False] * (len(whole) - 1) + [True]),
    )
    moved = after.with_columns(sequence=pl.col("sequence") + len(whole))
    return pl.concat([before, gap, snapshot, moved])


def test_every_feature_of_a_book_is_missing_from_a_loss_to_the_next_snapshot(
    plan: Plan, tables: dict[str, pl.DataFrame]
) -> None:
    config = config_of(book="all")
    grid = decision_grid(["SIMBTC"], plan.sessions, config.decisions)
    lossy = tables | {"book": with_a_loss(tables["book"])}
    matrix = features.build(config, lossy, grid)
    at = matrix.frame["decision_time"]
    lost = ((at >= LOST_FROM) & (at < LOST_TO)).to_numpy()
    assert lost.sum() == 20
    whole = features.build(config, tables, grid).frame
    for name in matrix.candidates:
        assert np.isnan(matrix.frame[name].to_numpy()[lost]).all(), name
    for name in ("book_spread", "book_imbalance_10", "book_depth_near", "book_cost_buy"):
        np.testing.assert_array_equal(matrix.frame[name].to_numpy()[~lost], whole[name].to_numpy()[~lost], name)
        assert np.isfinite(whole[name].to_numpy()[lost]).all(), name
