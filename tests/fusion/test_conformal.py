"""Intervals: the definition by a slow reference, nothing of the future, coverage under drift, going on from a store."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from forecast_market import Forecast, forecast_market
from pydantic import ValidationError

from fusion import signal_state
from fusion.conformal import IntervalConfig, intervals
from fusion.settlement import settlement, volatility_of
from fusion.signal_state import SignalState
from fusion.walk_forward import Refit, training_rows
from gpu_kernels.errors import ConfigError, DataError, ModelError
from sources.schema import TIME

SMALL = IntervalConfig(min_sessions=5, min_rows=60, half_life=7, window=30)
COLUMNS = ("low", "high", "expected_error")


def run(market: Forecast, config: IntervalConfig = SMALL) -> pl.DataFrame:
    return intervals(market.decisions, market.settles(), market.refits, config)[0]


def naive(market: Forecast, config: IntervalConfig) -> list[dict[str, float]]:
    """Decision by decision from the definitions; everything that is known at a session is looked up anew."""
    days, opens = market.sessions["session"].to_list(), market.sessions["open"].to_list()
    rows = market.decisions.join(market.labels, on=["entity", "session", "decision_time"], how="left").to_dicts()
    for row in rows:
        row["u"] = days.index(row["session"])
        row["slot"] = (row["decision_time"] - opens[row["u"]]).total_seconds() * 1e9 // config.slot
        end = row["label_end_15min"]
        later = [p for p in range(len(days)) if end is not None and opens[p] > end]
        row["settled"] = later[0] + 1 if later else len(days)
        scored = row["score"] is not None and row["return_15min"] is not None
        row["error"] = abs(row["return_15min"] - row["score"]) if scored else None
    alpha, state = 1 - config.level, None
    for u, day in enumerate(days):
        past = [row for row in rows if row["settled"] <= u and row["error"] is not None]
        new = [row for row in past if row["settled"] == u and row.get("q") is not None and row["sigma"] is not None]
        if new:
            missed = np.mean([row["error"] > row["q"] * row["sigma"] for row in new])
            alpha += config.adaptation * (1 - config.level - missed)
        if day in market.refits:
            state = [row for row in past if row.get("sigma") and row["u"] >= u - config.window]
        for row in rows:
            if row["u"] != u:
                continue
            row["sigma"], row["q"] = sigma(row, past, u, config), None
            if row["sigma"] is not None and state is not None:
                row["q"] = quantile(row, state, 1 - alpha, config)
    out = []
    for row in rows:
        said = row["score"] is not None and row["q"] is not None
        half = row["q"] * row["sigma"] if said else np.nan
        score = row["score"] if said else np.nan
        out.append({"low": score - half, "high": score + half, "expected_error": row["sigma"] or np.nan})
    return out


def sigma(row: dict, past: list[dict], u: int, config: IntervalConfig) -> float | None:
    if len({each["settled"] for each in past}) < 3:
        return None

    def mean(some: list[dict], *, scaled: bool) -> float | None:
        some = [each for each in some if not scaled or each["volatility"]]
        weights = [0.5 ** ((u - each["settled"]) / config.half_life) for each in some]
        errors = [each["error"] / (each["volatility"] if scaled else 1) for each in some]
        return float(np.average(errors, weights=weights)) if some else None

    slot = [each for each in past if each["slot"] == row["slot"]]
    own = [each for each in slot if each["entity"] == row["entity"]]
    pools = [some for some in (own, slot) if len({each["settled"] for each in some}) >= config.min_sessions]
    pools += [slot, past]
    plain = next((m for m in (mean(some, scaled=False) for some in pools) if m is not None), None)
    ratio = next((m for m in (mean(some, scaled=True) for some in pools) if m is not None), None)
    return row["volatility"] * ratio if row["volatility"] and ratio is not None else plain


def quantile(row: dict, state: list[dict], level: float, config: IntervalConfig) -> float | None:
    own = [each for each in state if each["entity"] == row["entity"]]
    if len(own) < config.min_rows or len({each["u"] for each in own}) < config.min_sessions:
        own = state
    count = {u: sum(each["u"] == u for each in own) for u in {each["u"] for each in own}}
    if len(count) < config.min_sessions:
        return None
    z = np.array([each["error"] / each["sigma"] for each in own])
    weights = np.array([1 / count[each["u"]] for each in own])
    n = float(len(count))
    if config.by_regime:
        now = [row["probability_0"], row["probability_1"]]
        parts = [weights * [each[f"probability_{k}"] for each in own] for k in (0, 1)]
        of_session = [[part[[e["u"] == u for e in own]].sum() for u in count] for part in parts]
        effective = [sum(each) ** 2 / sum(v**2 for v in each) for each in of_session]
        if np.dot(now, effective) >= config.min_sessions:
            weights, n = now[0] * parts[0] + now[1] * parts[1], float(np.dot(now, effective))
    order = np.argsort(z)
    share = np.cumsum(weights[order]) / weights.sum()
    reached = np.flatnonzero(share >= level * (1 + 1 / n) - 1e-12)
    return float(z[order][reached[0] if len(reached) else -1])


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SMALL.model_copy(update={"by_regime": True}),
        SMALL.model_copy(update={"min_rows": 10_000, "level": 0.6}),
        SMALL.model_copy(update={"window": 7}),
    ],
    ids=["entities", "regimes", "pooled", "window"],
)
def test_equals_the_definition(config: IntervalConfig) -> None:
    market = forecast_market(0, sessions=32)
    found, expected = run(market, config), pl.DataFrame(naive(market, config))
    for name in COLUMNS:
        np.testing.assert_allclose(found[name].fill_null(np.nan), expected[name], rtol=1e-9)
    assert found["low"].is_not_null().sum() > 200


def test_without_a_volatility_past_errors_alone_scale() -> None:
    market = forecast_market(1, sessions=32)
    bare = replace(market, decisions=market.decisions.with_columns(pl.lit(None, pl.Float64).alias("volatility")))
    expected = pl.DataFrame(naive(bare, SMALL))
    np.testing.assert_allclose(run(bare)["high"].fill_null(np.nan), expected["high"], rtol=1e-9)


@pytest.mark.parametrize("by_regime", [False, True])
def test_what_is_taken_away_changes_nothing_before(by_regime: bool) -> None:
    market, config = forecast_market(2), SMALL.model_copy(update={"by_regime": by_regime})
    whole = market.decisions.select("decision_time").hstack(run(market, config))
    for session in (21, 34, 49):
        cut = market.sessions["open"][session] + pl.Series([3600 * 10**9]).cast(pl.Duration("ns"))[0]
        part = run(market.until(cut), config)
        before = whole.filter(pl.col("decision_time") <= cut).drop("decision_time")
        assert part.equals(before)
        assert part["low"].is_not_null().sum() > 100


def test_a_calibration_on_the_whole_sample_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    market = forecast_market(2)
    cut = market.sessions["open"][34]

    def leaking(whole: Forecast) -> pl.DataFrame:
        settles = whole.settles()
        known = np.isfinite(settles.value)
        everything = replace(settles, settled=np.where(known, settles.session, settles.settled))
        return intervals(whole.decisions, everything, whole.refits, SMALL)[0]

    before = leaking(market).filter(market.decisions["decision_time"] <= cut)
    assert not leaking(market.until(cut)).equals(before)


def coverage(market: Forecast, found: pl.DataFrame, first: int = 0) -> float:
    y = market.labels["return_15min"].to_numpy()
    low, high = (found[name].fill_null(np.nan).to_numpy() for name in ("low", "high"))
    later = (market.decisions["session"] >= market.sessions["session"][first]).to_numpy()
    judged = np.isfinite(y) & np.isfinite(low) & later
    return float(((y >= low) & (y <= high))[judged].mean())


def test_coverage_is_the_level_under_clustered_volatility() -> None:
    for level in (0.8, 0.9):
        config = IntervalConfig(level=level)
        found = [coverage(market, run(market, config)) for market in (forecast_market(s, sessions=250) for s in (3, 4))]
        # 230 sessions x 20 decisions x 2 markets: a standard error of about 0.005
        assert abs(np.mean(found) - level) < 0.015, found


def test_adaptation_brings_the_coverage_back_where_errors_grow() -> None:
    # errors grow sixfold against what volatility says, faster than the usual error follows
    market = forecast_market(5, sessions=120, drift=1.8)
    fixed = IntervalConfig(adaptation=0.0, half_life=1000.0)
    without = coverage(market, run(market, fixed), 60)
    adapted = coverage(market, run(market, fixed.model_copy(update={"adaptation": 0.1})), 60)
    usual = coverage(market, run(market, IntervalConfig()), 60)
    assert without < 0.87
    assert abs(adapted - 0.9) < 0.02
    assert abs(usual - 0.9) < 0.02


def test_intervals_are_wider_where_volatility_is_known_to_be_high() -> None:
    market = forecast_market(6, sessions=120)
    found = run(market, IntervalConfig())
    table = market.decisions.hstack(found).filter(pl.col("low").is_not_null(), pl.col("volatility").is_not_null())
    width = table["high"] - table["low"]
    assert np.corrcoef(np.log(width), np.log(table["volatility"]))[0, 1] > 0.8


def test_later_sessions_go_on_from_a_stored_state(tmp_path: Path) -> None:
    market = forecast_market(7)
    cut = market.sessions["open"][44]
    part = market.until(cut)
    _, state = intervals(part.decisions, part.settles(), part.refits, SMALL)
    signal_state.save(SignalState(state, ()), tmp_path)
    loaded = signal_state.load(tmp_path).conformal
    kept = [day for day in market.refits if day <= market.sessions["session"][40]]
    truth, _ = intervals(market.decisions, market.settles(), kept, SMALL)
    again, _ = intervals(market.decisions, market.settles(), kept, SMALL, loaded)
    assert again.equals(truth)
    # and what was learned is not learned anew: past labels that a vendor rewrites change nothing that is said later
    rewritten = market.labels.with_columns(
        pl.when(pl.col("decision_time") < market.sessions["open"][20]).then(9.0).otherwise("return_15min")
        .alias("return_15min")
    )  # fmt: skip
    changed = replace(market, labels=rewritten)
    kept_on, _ = intervals(changed.decisions, changed.settles(), kept, SMALL, loaded)
    later = market.decisions["decision_time"] > cut
    assert kept_on.filter(later).equals(truth.filter(later))


@pytest.mark.parametrize("name", ["signals.json", "interval_curves.parquet", "interval_settled.parquet"])
def test_a_store_that_is_broken_is_one_line(tmp_path: Path, name: str) -> None:
    market = forecast_market(8, sessions=30)
    signal_state.save(SignalState(intervals(market.decisions, market.settles(), market.refits, SMALL)[1], ()), tmp_path)
    data = (tmp_path / name).read_bytes()
    for broken in (data[: len(data) // 2], b"", b"{}"):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(ModelError) as caught:
            signal_state.load(tmp_path)
        assert "\n" not in str(caught.value)
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match="No such file"):
        signal_state.load(tmp_path)


def test_no_interval_before_enough_sessions_have_settled() -> None:
    market = forecast_market(9, sessions=40)
    found = market.decisions.hstack(run(market, IntervalConfig(min_sessions=12)))
    first = found.filter(pl.col("low").is_not_null())["session"].min()
    # sessions 0 to 2 settle by session 4; from there on 12 have errors over their usual when session 20 is refitted
    assert first == market.sessions["session"][20]


def test_nothing_of_nothing() -> None:
    market = forecast_market(10, sessions=12)
    nobody = replace(market, decisions=market.decisions.clear())
    found, state = intervals(nobody.decisions, nobody.settles(), nobody.refits, SMALL)
    assert found.height == 0
    assert state.curves == {}
    silent = replace(market, decisions=market.decisions.with_columns(pl.lit(None, pl.Float64).alias("score")))
    assert run(silent).null_count().row(0) == (market.decisions.height,) * 3
    wild = replace(
        market,
        decisions=market.decisions.with_columns(
            pl.Series("volatility", np.resize([0.0, -1.0, np.inf, np.nan, 1e-300], market.decisions.height))
        ),
    )
    assert run(wild)["expected_error"].drop_nulls().is_finite().all()


def test_bad_input() -> None:
    market = forecast_market(11, sessions=12)
    with pytest.raises(DataError, match="each decision once"):
        settlement(market.decisions, market.labels[:-1], market.sessions, ("return_15min", "label_end_15min"), 1)
    with pytest.raises(DataError, match="no session"):
        settlement(market.decisions, market.labels, market.sessions[:-1], ("return_15min", "label_end_15min"), 1)
    bare = market.decisions.drop("probability_0", "probability_1")
    with pytest.raises(DataError, match="probability"):
        intervals(bare, market.settles(), market.refits, SMALL.model_copy(update={"by_regime": True}))
    with pytest.raises(ConfigError, match="bar_nothing"):
        volatility_of(market.decisions, "bar_nothing")
    for wrong in ({"level": 1.0}, {"level": 0}, {"window": 0}, {"adaptation": -1}, {"levle": 0.9}):
        with pytest.raises(ValidationError):
            IntervalConfig.model_validate(wrong)


def test_the_volatility_that_divides_errors() -> None:
    matrix = pl.DataFrame(
        {"bar_volatility_30": [2.0, 0.0], "bar_realised_variance_30": [9.0, np.nan], "bar_rsi_14": [1.0, 2.0]}
    )
    assert volatility_of(matrix, "auto").to_list() == [3.0, None]
    assert volatility_of(matrix, "bar_volatility_30").to_list() == [2.0, None]
    assert volatility_of(matrix, "none").to_list() == [None, None]
    assert volatility_of(matrix.select("bar_rsi_14"), "auto").to_list() == [None, None]


def test_a_label_counts_where_a_refit_may_learn_from_it() -> None:
    # one that ends at the very open is not known before it, as in `fusion.walk_forward.training_rows`
    market = forecast_market(1, sessions=12)
    opens = market.sessions["open"]
    for end, first in ((opens[5], 6), (opens[5] - timedelta(microseconds=1), 5)):
        labels = market.labels.with_columns(pl.lit(end).cast(TIME).alias("label_end_15min"))
        settles = settlement(market.decisions, labels, market.sessions, ("return_15min", "label_end_15min"), 1)
        told = settles.settled[np.isfinite(settles.value)]
        assert set(told.tolist()) == {first + 1}
        for session in range(2, 12):
            refit = Refit(0, opens[session].date(), opens[session], opens[session - 1], (date.min, date.max), ())
            assert (training_rows(labels, refit, 15 * 60 * 10**9).height > 0) == (session >= first + 1)
