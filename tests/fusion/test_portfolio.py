"""Portfolios of quantiles and their costs: against loops over positions, by hand, and cut in time."""

import math
from collections import defaultdict
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from planted import MINUTE, decisions, session_table
from pydantic import ValidationError

from fusion.evaluation.config import EvaluationConfig
from fusion.evaluation.costs import CostConfig, ImpactConfig, trading_costs
from fusion.evaluation.net import judged, trial_returns
from fusion.evaluation.overfitting import (
    deflated_sharpe,
    expected_maximum_sharpe,
    probability_of_overfitting,
    sharpe_ratio,
)
from fusion.evaluation.portfolio import PORTFOLIO, SPREAD, PortfolioConfig, portfolios
from fusion.evaluation.table import EVALUATION
from fusion.horizon import Sessions
from fusion.target import KEYS
from gpu_kernels.errors import ConfigError, DataError
from sources.schema import TIME


def market(seed: int, *, sessions: int = 8, entities: int = 3, missing: float = 0.1, effect: float = 0.3):
    """predictions with two scores, labels of 5 and 15 minutes, costs; with gaps and ties."""
    rng = np.random.default_rng(seed)
    grid = decisions(session_table(sessions, early=4), [f"E{i}" for i in range(entities)])
    n = grid.height
    score = np.round(rng.standard_normal(n), 1)
    holes = rng.random((4, n)) < missing
    predictions = grid.with_columns(
        pl.Series("score", np.where(holes[0], np.nan, score)),
        pl.Series("other", np.where(holes[1], np.nan, rng.standard_normal(n))),
    )
    labels = grid.with_columns(
        *(
            pl.Series(
                f"return_{h}min", np.where(hole, np.nan, 1e-3 * (effect * score + rng.standard_normal(n)))
            ).fill_nan(None)
            for h, hole in ((5, holes[2]), (15, holes[3]))
        )
    )
    costs = grid.with_columns(pl.Series("cost", rng.random(n) * 3))
    return predictions, labels, costs


def daily(seed: int, *, sessions: int = 30, entities: int = 12):
    rng = np.random.default_rng(seed)
    days = [date(2024, 1, 1) + timedelta(days=i) for i in range(sessions)]
    grid = pl.DataFrame(
        {
            "entity": [f"E{e:02d}" for e in range(entities) for _ in days],
            "session": days * entities,
            "decision_time": pl.Series([pl.Series([d]).cast(TIME)[0] for d in days] * entities, dtype=TIME),
        }
    )
    n = grid.height
    holes = rng.random((2, n)) < 0.1
    predictions = grid.with_columns(pl.Series("score", np.where(holes[0], np.nan, rng.standard_normal(n))))
    labels = grid.with_columns(
        pl.Series("return_3sessions", np.where(holes[1], np.nan, 0.02 * rng.standard_normal(n))).fill_nan(None)
    )
    last = labels["session"] > days[-4]  # not yet settled
    labels = labels.with_columns(pl.when(~last).then("return_3sessions").alias("return_3sessions"))
    return predictions, labels, grid.with_columns(pl.Series("cost", rng.random(n) * 3))


def naive(predictions, labels, costs, *, score, label, horizon, step, quantiles, cross_section, past_rows):
    """{(session, group): (gross, cost, turnover)} position by position."""
    rows = predictions.join(labels, on=KEYS).join(costs, on=KEYS).sort("decision_time", "entity").to_dicts()
    days = sorted({row["session"] for row in rows})
    spans = horizon.count if isinstance(horizon, Sessions) else None
    held = spans or (max(1, math.ceil(horizon / step)) if step else 1)
    is_number = lambda v: v is not None and math.isfinite(v)  # noqa: E731

    def place(value, pool):
        below, equal = sum(v < value for v in pool), sum(v == value for v in pool)
        return (2 * below + equal) * quantiles // (2 * len(pool))

    group = {}
    for i, row in enumerate(rows):
        if not is_number(row[score]):
            continue
        if cross_section:
            pool = [r[score] for r in rows if r["decision_time"] == row["decision_time"] and is_number(r[score])]
            if len(pool) < quantiles or len(set(pool)) == 1:
                continue
            # the mid-rank of the place among its own, itself included
            below, equal = sum(v < row[score] for v in pool), sum(v == row[score] for v in pool)
            group[i] = (2 * below + equal) * quantiles // (2 * len(pool)) + 1
        else:
            pool = [r[score] for r in rows if r["session"] < row["session"] and is_number(r[score])]
            if len(pool) < past_rows:
                continue
            group[i] = min(place(row[score], pool), quantiles - 1) + 1
    group = {i: g for i, g in group.items() if is_number(rows[i][label])}
    live = sorted({rows[i]["session"] for i in group})
    members = defaultdict(int)
    for i, g in group.items():
        members[rows[i]["decision_time"], g] += 1
    gross, cost, turnover = (defaultdict(float) for _ in range(3))
    moves = defaultdict(float)  # (scope, entity, group, time) -> change of weight
    counted = {}
    for i, g in group.items():
        row = rows[i]
        weight = 1 / members[row["decision_time"], g] / held
        gross[row["session"], g] += weight * (math.exp(row[label]) - 1) * 1e4
        if spans:
            start = days.index(row["session"])
            scope, end = None, start + spans
            after = [d for d in live if days.index(d) >= end]
            closes = after[0] if after else None
        else:
            start = row["decision_time"].timestamp()
            scope, end, closes = row["session"], start + horizon / 1e9, row["session"]
        moves[scope, row["entity"], g, start] += weight
        counted[scope, row["entity"], g, start] = row["session"]
        if closes is not None:
            moves[scope, row["entity"], g, end] -= weight
            counted.setdefault((scope, row["entity"], g, end), closes)
    for key, change in moves.items():
        scope, entity, g, time = key
        known = [
            r["cost"]
            for r in rows
            if r["entity"] == entity
            and (
                days.index(r["session"]) <= time
                if spans
                else r["session"] == scope and r["decision_time"].timestamp() <= time
            )
        ]
        session = counted[key]
        turnover[session, g] += abs(change)
        cost[session, g] += abs(change) * known[-1]
    return live, gross, cost, turnover


def check(found, expected, quantiles):
    live, *parts = expected
    assert found["session"].unique().sort().to_list() == live
    assert found.height == len(live) * (quantiles + 1)
    at = {(row["session"], row["quantile"]): row for row in found.to_dicts()}
    for name, values in zip(("gross", "cost", "turnover"), parts, strict=True):
        sign = -1 if name == "gross" else 1
        for session in live:
            for g in range(1, quantiles + 1):
                assert at[session, str(g)][name] == pytest.approx(values[session, g], rel=1e-9, abs=1e-9)
            both = values[session, quantiles] + sign * values[session, 1]
            assert at[session, SPREAD][name] == pytest.approx(both, rel=1e-9, abs=1e-9)
    for name in [*(str(g + 1) for g in range(quantiles)), SPREAD]:
        part = found.filter(pl.col("quantile") == name)
        assert part["session"].is_sorted()
        assert np.allclose(part["net"], part["gross"] - part["cost"])
        for column in ("gross", "net"):
            assert np.allclose(part[f"{column}_cumulative"], np.cumsum(part[column]))


@pytest.mark.parametrize("cross_section", [True, False])
@pytest.mark.parametrize(("horizon", "label"), [(5 * MINUTE, "return_5min"), (15 * MINUTE, "return_15min")])
def test_inside_sessions_equals_the_loop(horizon, label, cross_section) -> None:
    predictions, labels, costs = market(1, entities=6 if cross_section else 2)
    options = {"horizon": horizon, "step": 5 * MINUTE, "quantiles": 3, "cross_section": cross_section, "past_rows": 150}
    found = portfolios(predictions, labels, costs, scores=["score"], **options)
    assert found.schema == PORTFOLIO
    assert found.height > 0
    check(found, naive(predictions, labels, costs, score="score", label=label, **options), 3)


@pytest.mark.parametrize("cross_section", [True, False])
def test_over_sessions_equals_the_loop(cross_section) -> None:
    tables = daily(2)
    options = {"horizon": Sessions(3), "step": None, "quantiles": 4, "cross_section": cross_section, "past_rows": 60}
    found = portfolios(*tables, scores=["score"], **options)
    check(found, naive(*tables, score="score", label="return_3sessions", **options), 4)
    assert found["session"].n_unique() == (27 if cross_section else 21)


def grid_of(times: list[int], entities: str = "A") -> pl.DataFrame:
    start = pl.Series([date(2024, 1, 2)]).cast(TIME).dt.epoch("ns")[0] + 15 * 60 * MINUTE
    return pl.DataFrame(
        {
            "entity": [e for e in entities for _ in times],
            "session": [date(2024, 1, 2)] * len(times) * len(entities),
            "decision_time": pl.Series([start + t * MINUTE for t in times] * len(entities)).cast(TIME),
        }
    )


def test_a_position_that_goes_on_costs_its_ends_alone() -> None:
    """A is above B all the time: held for 15 minutes from decisions each 5, it is built up and taken down by thirds."""
    grid = grid_of([0, 5, 10, 15, 20], "AB")
    predictions = grid.with_columns(pl.Series("score", [1.0] * 5 + [0.0] * 5))
    labels = grid.with_columns(pl.Series("return_15min", [math.log(1.0003)] * 5 + [0.0] * 5))
    costs = grid.with_columns(cost=pl.lit(2.0))
    options = {"horizon": 15 * MINUTE, "step": 5 * MINUTE, "quantiles": 2}
    found = portfolios(predictions, labels, costs, scores=["score"], **options)
    top = found.row(by_predicate=pl.col("quantile") == "2", named=True)
    assert top["turnover"] == pytest.approx(2.0)  # in and out, once
    assert top["gross"] == pytest.approx(3.0 * 5 / 3)  # three basis points for each of five decisions, each of a third
    assert top["cost"] == pytest.approx(4.0)
    spread = found.row(by_predicate=pl.col("quantile") == SPREAD, named=True)
    assert (spread["turnover"], spread["net"]) == (pytest.approx(4.0), pytest.approx(5.0 - 8.0))
    # changing places at each decision: nothing can be netted
    predictions = grid.with_columns(pl.Series("score", [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]))
    found = portfolios(predictions, labels, costs, scores=["score"], **options)
    assert found.filter(pl.col("quantile") == "2")["turnover"].item() == pytest.approx(10 / 3)


def test_later_rows_change_no_earlier_session() -> None:
    predictions, labels, costs = market(3, sessions=9, entities=2)
    options = {"horizon": 15 * MINUTE, "step": 5 * MINUTE, "scores": ["score", "other"], "cross_section": False}
    whole = portfolios(predictions, labels, costs, **options)
    days = predictions["session"].unique().sort()
    for last in (days[4], days[6]):
        cut = [frame.filter(pl.col("session") <= last) for frame in (predictions, labels, costs)]
        assert portfolios(*cut, **options).equals(whole.filter(pl.col("session") <= last))
    tables = daily(4)
    options = {"horizon": Sessions(3), "step": None, "scores": ["score"], "cross_section": False, "past_rows": 60}
    whole = portfolios(*tables, **options)
    for last in (date(2024, 1, 15), date(2024, 1, 20)):
        # labels of the last three sessions are not settled by then
        predictions, labels, costs = (frame.filter(pl.col("session") <= last) for frame in tables)
        late = pl.col("session") > last - timedelta(days=3)
        labels = labels.with_columns(pl.when(~late).then("return_3sessions").alias("return_3sessions"))
        found = portfolios(predictions, labels, costs, **options)
        assert found.height > 0
        assert found.equals(whole.filter(pl.col("session") <= last - timedelta(days=3)))


def test_scores_of_the_own_session_are_none_of_the_past() -> None:
    """A decision that holds nothing has a wild score: it moves the thresholds of later sessions, not of its own."""
    predictions, labels, costs = market(3, sessions=9, entities=1)
    options = {"horizon": 15 * MINUTE, "step": 5 * MINUTE, "scores": ["score"], "cross_section": False}
    days = labels["session"].unique().sort()
    first = pl.col("decision_time") == pl.col("decision_time").min()
    early = labels.filter(pl.col("session") == days[7]).select(first=first)["first"]
    wild = pl.Series(np.isin(np.arange(labels.height), np.flatnonzero(labels["session"] == days[7])[early.to_numpy()]))
    labels = labels.with_columns(pl.when(~wild).then("return_15min").alias("return_15min"))
    tables = [
        portfolios(
            predictions.with_columns(pl.when(wild).then(pl.lit(x)).otherwise("score").alias("score")),
            labels,
            costs,
            **options,
        )
        for x in (-99.0, 99.0)
    ]
    own = pl.col("session") <= days[7]
    assert tables[0].filter(own).equals(tables[1].filter(own))
    assert days[7] in tables[0]["session"]


def test_no_shuffle_of_rows_matters_and_a_missing_cost_is_told() -> None:
    predictions, labels, costs = market(5, entities=6)
    options = {"horizon": 5 * MINUTE, "step": 5 * MINUTE, "scores": ["score"], "quantiles": 3}
    whole = portfolios(predictions, labels, costs, **options)
    mixed = [frame.sample(fraction=1.0, shuffle=True, seed=k) for k, frame in enumerate((predictions, labels, costs))]
    assert portfolios(*mixed, **options).equals(whole)
    days = predictions["session"].unique().sort()
    holed = costs.with_columns(pl.when(pl.col("session") != days[3]).then("cost").alias("cost"))
    found = portfolios(predictions, labels, holed, **options)
    assert found.filter(pl.col("session") < days[3]).equals(whole.filter(pl.col("session") < days[3]))
    assert found.filter(pl.col("session") == days[3])["net"].null_count() == 4
    assert found["gross"].equals(whole["gross"])
    told = judged(found, EvaluationConfig(bootstrap=100), 5 * MINUTE)
    assert told.filter(pl.col("metric") == "gross_top_minus_bottom")["value"].null_count() == 0
    assert told.filter(pl.col("metric").is_in(["sharpe", "net_top_minus_bottom"]))["value"].null_count() == 2


def test_nothing_to_hold_gives_an_empty_table() -> None:
    predictions, labels, costs = market(6, entities=1)
    options = {"horizon": 5 * MINUTE, "step": 5 * MINUTE, "scores": ["score"]}
    for found in (
        portfolios(predictions, labels, costs, **options),  # one entity has no cross-section
        portfolios(predictions, labels, costs, cross_section=False, past_rows=10**6, **options),
        portfolios(*(frame.clear() for frame in (predictions, labels, costs)), cross_section=False, **options),
    ):
        assert found.is_empty()
        assert found.schema == PORTFOLIO
        assert judged(found, EvaluationConfig(bootstrap=100), 5 * MINUTE).is_empty()
    with pytest.raises(DataError, match="lack cost"):
        portfolios(predictions, labels, costs.drop("cost"), **options)


def test_what_is_judged_is_what_the_table_holds() -> None:
    predictions, labels, costs = market(7, sessions=40, entities=6, effect=0.6)
    options = {"horizon": 15 * MINUTE, "step": 5 * MINUTE, "quantiles": 3}
    table = portfolios(predictions, labels, costs, scores=["score", "other"], **options)
    config = EvaluationConfig(bootstrap=300, trials=20)
    found = judged(table, config, 15 * MINUTE)
    assert found.schema == EVALUATION
    value = {(row["score"], row["metric"], row["group"]): row for row in found.to_dicts()}
    nets = {}
    for score in ("score", "other"):
        spread = table.filter((pl.col("score") == score) & (pl.col("quantile") == SPREAD))
        net, gross, turnover = (spread[name].to_numpy() for name in ("net", "gross", "turnover"))
        nets[score] = net
        told = {metric: row for (own, metric, group), row in value.items() if own == score and group == "all"}
        assert told["net_top_minus_bottom"]["value"] == pytest.approx(net.mean())
        assert told["gross_top_minus_bottom"]["value"] == pytest.approx(gross.mean())
        assert told["break_even_bps"]["value"] == pytest.approx(gross.sum() / turnover.sum())
        assert told["cost_bps"]["value"] == pytest.approx(spread["cost"].sum() / turnover.sum())
        assert told["sharpe"]["value"] == pytest.approx(net.mean() / net.std())
        assert told["sharpe"]["low"] < told["sharpe"]["value"] < told["sharpe"]["high"]
        assert told["trials"]["value"] == 20
        ratio = sharpe_ratio(net)
        assert told["probabilistic_sharpe"]["value"] == pytest.approx(ratio.above(0))
    # break-even: with that cost on each trade nothing is left
    even = value["score", "break_even_bps", "all"]["value"]
    flat = portfolios(predictions, labels, costs.with_columns(cost=pl.lit(even)), scores=["score"], **options)
    assert flat.filter(pl.col("quantile") == SPREAD)["net"].mean() == pytest.approx(0.0, abs=1e-9)
    best = sharpe_ratio(nets["score"])
    spread_of = best.error**2
    assert value["score", "expected_maximum_sharpe", "all"]["value"] == pytest.approx(
        expected_maximum_sharpe(spread_of, 20)
    )
    moments = best.value, best.sessions, best.skewness, best.kurtosis
    dsr = deflated_sharpe(*moments, variance=spread_of, trials=20)
    assert value["score", "deflated_sharpe", "all"]["value"] == pytest.approx(dsr)
    pbo = probability_of_overfitting(np.stack(list(nets.values()), axis=1), 10)
    assert value["score", "pbo", "all"]["value"] == pbo.probability
    assert ("other", "pbo", "all") not in value
    returns = trial_returns(table.filter(pl.col("quantile") == SPREAD))
    assert np.array_equal(returns, np.stack(list(nets.values()), axis=1))
    # further models are further trials
    third = table.filter(pl.col("score") == "other").with_columns(pl.lit("third").alias("score"), pl.col("net") + 1)
    more = judged(table, EvaluationConfig(bootstrap=300), 15 * MINUTE, others=third)
    assert more.filter(pl.col("metric") == "trials")["value"].to_list() == [3.0, 3.0]
    assert set(more["score"]) == {"score", "other"}


def test_groups_by_the_number_of_entities() -> None:
    assert PortfolioConfig().cross_section(10, 5)
    assert not PortfolioConfig().cross_section(9, 5)
    assert PortfolioConfig(by="cross_section").cross_section(2, 5)
    assert not PortfolioConfig(by="past").cross_section(100, 5)


# --- costs --------------------------------------------------------------------------------------------------------


def features() -> pl.DataFrame:
    return grid_of([0, 5, 10], "AB").with_columns(
        pl.Series("book_spread", [math.nan, 4.0, 2.0, 6.0, math.nan, -1.0]),
        pl.Series("book_depth_near", [math.nan, math.log1p(200.0), math.log1p(50.0), math.log1p(8.0), math.nan, 0.0]),
        pl.Series("trade_kyle_lambda_1min", [0.5, -1.0, 2.0, math.nan, 0.25, math.nan]),
    )


def test_half_the_spread_as_known_else_the_config_s() -> None:
    found = trading_costs(features(), CostConfig(otherwise=9.0, fee_bps=0.5))
    assert found["half_spread"].to_list() == [9.0, 2.0, 1.0, 3.0, 3.0, 0.0]
    assert found["cost"].to_list() == [9.5, 2.5, 1.5, 3.5, 3.5, 0.5]
    assert found.select(KEYS).equals(features().select(KEYS))
    assert trading_costs(features(), CostConfig(half_spread=1.5))["cost"].to_list() == [1.5] * 6
    assert trading_costs(features().drop("book_spread"), CostConfig())["cost"].to_list() == [1.0] * 6
    quotes = features().rename({"book_spread": "binance_quote_spread"})
    assert trading_costs(quotes, CostConfig(otherwise=9.0))["cost"].to_list() == [9.0, 2.0, 1.0, 3.0, 3.0, 0.0]
    mixed = features().sample(fraction=1.0, shuffle=True, seed=1)
    again = trading_costs(mixed, CostConfig(otherwise=9.0)).sort("entity", "decision_time")
    assert again["cost"].to_list() == [9.0, 2.0, 1.0, 3.0, 3.0, 0.0]


def test_impact_of_an_order() -> None:
    impact = {"kind": "linear", "coefficient": 10.0}
    config = CostConfig(half_spread=0.0, impact=ImpactConfig(**impact), size=25.0)
    found = trading_costs(features(), config)["cost"]
    assert found.to_list() == pytest.approx([math.nan, 2.5, 10.0, 62.5, 62.5, math.nan], nan_ok=True)
    root = CostConfig(half_spread=0.0, impact=ImpactConfig(**impact | {"kind": "square_root"}), size=25.0)
    assert trading_costs(features(), root)["cost"].to_list() == pytest.approx(
        [math.nan, 5.0, 10.0, 25.0, 25.0, math.nan], nan_ok=True
    )
    fixed = CostConfig(half_spread=0.0, impact=ImpactConfig(**impact, depth=100.0), size=25.0)
    assert trading_costs(features(), fixed)["cost"].to_list() == [2.5] * 6
    kyle = CostConfig(half_spread=0.0, impact=ImpactConfig(kind="kyle"), size=2.0)
    assert trading_costs(features(), kyle)["cost"].to_list() == pytest.approx(
        [1.0, 0.0, 4.0, math.nan, 0.5, 0.5], nan_ok=True
    )


def test_walking_a_book_of_equal_thickness() -> None:
    """The linear rule with half of depth_bps: what eating through levels of one size costs on average."""
    depth_bps, levels, each = 10.0, 1000, 3.0
    prices = (np.arange(levels) + 0.5) * depth_bps / levels
    size = 1200.0
    eaten = np.minimum(np.maximum(size - each * np.arange(levels), 0), each)
    walked = (eaten * prices).sum() / size
    grid = grid_of([0]).with_columns(book_depth_near=pl.lit(math.log1p(2 * each * levels)))
    impact = ImpactConfig(kind="linear", coefficient=depth_bps / 2)
    assert trading_costs(grid, CostConfig(half_spread=0.0, impact=impact, size=size))["impact"][0] == pytest.approx(
        walked, rel=1e-3
    )


def test_costs_that_cannot_be_are_one_line() -> None:
    for kind, lacking in (("linear", "book_depth_near"), ("kyle", "trade_kyle_lambda_<time>")):
        impact = ImpactConfig(kind=kind, coefficient=1.0 if kind == "linear" else None)
        with pytest.raises(ConfigError, match=lacking):
            trading_costs(grid_of([0]), CostConfig(impact=impact, size=1.0))
    with pytest.raises(DataError, match="a decision twice"):
        trading_costs(pl.concat([features(), features()]), CostConfig())
    for wrong in (
        {"size": 3.0},
        {"impact": {"kind": "linear", "coefficient": 1.0}},
        {"half_spread": -1.0},
        {"half_spread": "from_tape"},
        {"impact": {"kind": "kyle", "coefficient": 1.0}, "size": 1.0},
        {"impact": {"kind": "linear"}, "size": 1.0},
        {"fee_bps": math.inf},
    ):
        with pytest.raises(ValidationError):
            CostConfig.model_validate(wrong)
    with pytest.raises(ValidationError, match="even number"):
        EvaluationConfig(blocks=7)
