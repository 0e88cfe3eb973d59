"""Selection against a naive ledger, planted effects, the null over many seeds, and truncation."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from planted import MINUTE, PRIMARY, Planted, planted
from pydantic import ValidationError
from scipy import stats
from selection_naive import Naive
from sklearn.metrics import mutual_info_score

from fusion.regime import RegimeConfig, RegimePath, filter_regimes
from fusion.regime.hmm import HiddenMarkovModel
from fusion.selection import LEDGER, SelectionConfig, select
from fusion.walk_forward import Refit, WalkForwardConfig, schedule
from gpu_kernels.errors import DataError

FORWARD = WalkForwardConfig(train_sessions=30, refit_sessions=10)


def run(market: Planted, config: Any = None, forward: WalkForwardConfig = FORWARD, states: int = 2) -> pl.DataFrame:
    refits = schedule(market.sessions, forward)
    regimes = filter_regimes(market.observations, refits, RegimeConfig(states=states))
    return select(market.features, market.labels, regimes, refits, config or SelectionConfig(), PRIMARY)


@pytest.mark.parametrize("expanding", [True, False])
def test_scores_equal_the_formulas(expanding):
    """To the rounding of float64: the naive ledger adds in another order."""
    market = planted(0, missing=0.1)
    forward = WalkForwardConfig(train_sessions=30, refit_sessions=10, expanding=expanding)
    refits = schedule(market.sessions, forward)
    regimes = filter_regimes(market.observations, refits, RegimeConfig(states=2))
    ledger = select(market.features, market.labels, regimes, refits, SelectionConfig(), PRIMARY)
    assert dict(ledger.schema) == LEDGER
    assert ledger.height == 3 * 2 * 7
    naive = Naive(market.features, market.labels, regimes, refits)
    expected = {name: naive.scores(name) for name in ("always", "bent", "noise_0")}
    assert len({len(window) for window in naive.windows}) == (3 if expanding else 1)
    for r, refit in enumerate(refits):
        mine = ledger.filter(pl.col("refit_session") == refit.session)
        assert set(mine["refit_time"]) == {refit.refit_time}
        for row in mine.filter(pl.col("feature").is_in(expected)).iter_rows(named=True):
            wanted = expected[row["feature"]][r][row["regime"]]
            found = {name: np.nan if row[name] is None else row[name] for name in wanted}
            assert found == pytest.approx(wanted, rel=1e-8, abs=1e-12, nan_ok=True)
            assert row["turnover_cost"] == row["turnover"]
        tested = mine.drop_nulls("p_value")
        adjusted = stats.false_discovery_control(tested["p_value"].to_numpy())
        np.testing.assert_allclose(tested["q_value"].to_numpy(), adjusted)
        assert tested["significant"].to_list() == (adjusted <= 0.1).tolist()
        assert not mine.filter(pl.col("p_value").is_null())["significant"].any()


def test_at_the_first_refit_scores_are_those_of_libraries():
    """One regime, so that all weights are 1: Spearman's correlation, and scikit-learn's mutual information of bins."""
    market = planted(0)
    refits = schedule(market.sessions, FORWARD)[:1]
    regimes = filter_regimes(market.observations, refits, RegimeConfig(states=1))
    ledger = select(market.features, market.labels, regimes, refits, SelectionConfig(), PRIMARY)
    rows = market.features.join(market.labels, on=["entity", "session", "decision_time"])
    rows = rows.filter(pl.col("session") <= refits[0].train[1])
    place = {name: stats.rankdata(rows[name]) for name in (*ledger["feature"], "return_15min")}
    bins = {name: np.floor((2 * rank - 1) / (2 * rows.height) * 8) for name, rank in place.items()}
    for name, ic, information in ledger.select("feature", "ic", "mutual_information").iter_rows():
        # grades are rounded to 1/32768
        assert ic == pytest.approx(stats.spearmanr(rows[name], rows["return_15min"]).statistic, abs=1e-5)
        plain = mutual_info_score(bins[name], bins["return_15min"])
        assert information == pytest.approx(plain - 49 / (2 * rows.height), abs=1e-12)


def test_finds_each_planted_feature_in_its_regime():
    ledger = run(planted(1, sessions=80, effect=0.7))
    last = ledger.filter(pl.col("refit_session") == ledger["refit_session"].max())
    kept = {k: last.filter(pl.col("kept"), pl.col("regime") == k).sort("position")["feature"].to_list() for k in (0, 1)}
    assert kept[0][0] == "calm"
    assert kept[1][0] == "bent"
    assert {"always"} < set(kept[0])
    assert {"always"} < set(kept[1])
    assert "bent" not in kept[0]
    assert "calm" not in kept[1]


def test_false_discoveries_under_the_null_stay_below_the_level():
    config = SelectionConfig(false_discovery_rate=0.1)
    forward = WalkForwardConfig(train_sessions=30, refit_sessions=100)
    found = [run(planted(seed, sessions=31, effect=0.0), config, forward)["kept"].any() for seed in range(120)]
    # under the global null the rate is the share of runs with any discovery; 0.185 is 0.1 + 3.1 standard errors
    assert np.mean(found) < 0.185
    assert np.mean(found) > 0.0 or len(found) < 50


def test_benjamini_yekutieli_is_one_setting_away():
    market = planted(1, effect=0.3)
    plain, wary = (run(market, SelectionConfig(dependence=how)) for how in ("positive", "any"))
    for session in plain["refit_session"].unique():
        mine = [each.filter(pl.col("refit_session") == session).drop_nulls("p_value") for each in (plain, wary)]
        assert mine[0]["p_value"].equals(mine[1]["p_value"])
        adjusted = stats.false_discovery_control(mine[1]["p_value"].to_numpy(), method="by")
        np.testing.assert_allclose(mine[1]["q_value"].to_numpy(), adjusted)
    assert (wary["q_value"] > 2 * plain["q_value"]).sum() > 6
    assert 0 < wary["significant"].sum() <= plain["significant"].sum()


def test_p_values_under_the_null_are_uniform():
    forward = WalkForwardConfig(train_sessions=40, refit_sessions=100)
    p = [run(planted(1000 + seed, sessions=41, effect=0.0), None, forward)["p_value"] for seed in range(40)]
    p = pl.concat(p).drop_nulls().to_numpy()
    assert len(p) > 500
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_a_regime_that_never_came_is_not_tested():
    market = planted(2)
    refit = schedule(market.sessions, FORWARD)[0]
    model = HiddenMarkovModel(
        refit_session=refit.session,
        refit_time=refit.refit_time,
        inputs=("stress",),
        start=np.array([1.0, 0.0]),
        transition=np.array([[1 - 1e-9, 1e-9], [0.5, 0.5]]),
        mean=np.array([[0.0], [0.0]]),
        covariance=np.ones((2, 1, 1)),
    )
    regimes = RegimePath(market.observations, (model,), 2)
    ledger = select(market.features, market.labels, regimes, [refit], SelectionConfig(), PRIMARY)
    never = ledger.filter(pl.col("regime") == 1)
    # all weights are alike and tiny, so that the effective number alone would pass
    assert never["sessions"].min() > 20
    assert never["p_value"].null_count() == never.height
    assert never["reason"].str.contains(r"too few sessions of this regime \(0.0 expected").all()


class TestRules:
    def test_max_features(self):
        ledger = run(planted(1, effect=0.8, stay=0.5), SelectionConfig(max_features=1))
        assert ledger.group_by("refit_session", "regime").agg(pl.col("kept").sum())["kept"].to_list() == [1] * 6
        assert ledger.filter(pl.col("reason").str.contains("beyond max_features 1")).height > 0
        assert ledger.filter("kept")["position"].to_list() == [1] * 6

    def test_min_features_are_kept_and_the_ledger_says_so(self):
        market = planted(3, effect=0.0, stay=0.5)
        config = SelectionConfig(min_features=3, false_discovery_rate=1e-6, switch_margin=0)
        ledger = run(market, config)
        kept = ledger.filter("kept")
        assert kept.group_by("refit_session", "regime").len()["len"].to_list() == [3] * 6
        assert not kept["significant"].any()
        assert kept["reason"].str.contains("kept as one of the best 3").all()
        best = ledger.sort("p_value").group_by("refit_session", "regime", maintain_order=True).head(3)
        assert best["kept"].all()
        assert run(market, SelectionConfig(false_discovery_rate=1e-6))["kept"].sum() == 0

    def test_a_copy_is_redundant_with_the_better_one(self):
        market = planted(1, effect=0.8, stay=0.5)
        rng = np.random.default_rng(0)
        noisy = market.features["always"] + 0.05 * rng.standard_normal(market.features.height)
        features = market.features.with_columns(
            (-(noisy**3)).alias("cube"), pl.col("always").alias("twin"), (noisy > 0).alias("sign").cast(pl.Int8)
        )
        config = SelectionConfig(switch_margin=0)
        ledger = run(Planted(market.sessions, features, market.labels, market.observations, market.regime), config)
        for _, part in ledger.group_by("refit_session", "regime"):
            family = part.filter(pl.col("feature").is_in(["always", "twin", "cube"]))
            assert family["kept"].sum() == 1
            assert family.filter(~pl.col("kept"))["reason"].str.contains(r"redundant with \w+ \(rank corr").all()
            best = family.filter("kept")["p_value"][0]
            assert best == family["p_value"].min()
        loose = run(
            Planted(market.sessions, features, market.labels, market.observations, market.regime),
            SelectionConfig(max_rank_correlation=1.0),
        )
        assert loose.filter(pl.col("reason").str.contains("redundant")).height == 0

    def test_a_leaked_label_is_found_whatever_the_noise(self):
        market = planted(5, effect=0.0, stay=0.5)
        leaked = market.features.with_columns(market.labels["return_15min"].alias("leak"))
        ledger = run(Planted(market.sessions, leaked, market.labels, market.observations, market.regime))
        assert ledger.filter(pl.col("feature") == "leak")["ic"].to_list() == pytest.approx([1.0] * 6)
        assert ledger.filter(pl.col("feature") == "leak")["kept"].all()
        assert ledger.filter(pl.col("feature") == "leak")["t_stat"].is_finite().all()


class TestPurge:
    def overlapping(self) -> tuple[Planted, Refit]:
        """Labels of the session before the refit end after its open, and only there `spy` equals them."""
        market = planted(6, sessions=31, effect=0.0)
        days = market.sessions["session"]
        last = pl.col("session") == days[29]
        late = pl.lit(market.sessions["open"][30]) + pl.duration(nanoseconds=20 * MINUTE)
        labels = market.labels.with_columns(
            pl.when(last & (pl.col("entity") == "E0"))
            .then(late)
            .otherwise("label_end_15min")
            .cast(pl.Datetime("ns", "UTC"))
            .alias("label_end_15min")
        )
        spy = pl.when(last).then(market.labels["return_15min"]).otherwise(None)
        features = market.features.with_columns(spy.alias("spy"))
        refit = schedule(market.sessions, WalkForwardConfig(train_sessions=30, embargo_sessions=0))[0]
        return Planted(market.sessions, features, labels, market.observations, market.regime), refit

    def test_a_session_with_a_label_known_too_late_is_left_out(self):
        market, refit = self.overlapping()
        regimes = filter_regimes(market.observations, [refit], RegimeConfig(states=1))
        config = SelectionConfig(min_sessions=2)
        ledger = select(market.features, market.labels, regimes, [refit], config, PRIMARY)
        spy = ledger.filter(pl.col("feature") == "spy")
        assert spy["coverage"][0] == 0.0
        assert spy["ic"][0] is None
        assert ledger["sessions"].max() == pytest.approx(29)

    def test_without_purge_the_same_labels_would_have_been_seen(self):
        market, refit = self.overlapping()
        on_time = pl.col("decision_time") + pl.duration(nanoseconds=PRIMARY)
        labels = market.labels.with_columns(on_time.alias("label_end_15min"))
        regimes = filter_regimes(market.observations, [refit], RegimeConfig(states=1))
        ledger = select(market.features, labels, regimes, [refit], SelectionConfig(), PRIMARY)
        spy = ledger.filter(pl.col("feature") == "spy")
        # not 1: the label is ranked among all returns, `spy` among those of one session
        assert spy["ic"][0] > 0.98
        embargoed = schedule(market.sessions, WalkForwardConfig(train_sessions=30, embargo_sessions=1))
        again = select(market.features, labels, regimes, embargoed, SelectionConfig(), PRIMARY)
        assert again.filter(pl.col("feature") == "spy")["ic"][0] is None


def test_truncation_changes_no_earlier_decision():
    market = planted(7, sessions=60, missing=0.05)
    full = run(market, SelectionConfig(min_features=1))
    for session, minutes in ((25, 0), (30, 0), (41, 33), (50, 0), (59, 45)):
        cut = market.sessions["open"][session] + timedelta(minutes=minutes)
        part = run(market.until(cut), SelectionConfig(min_features=1))
        kept = full.filter(pl.col("refit_session") <= market.sessions["session"][session])
        assert part.equals(kept)
    assert part.height > 0


def test_columns_and_rows_in_any_order_give_the_same_scores():
    market = planted(8)
    ledger = run(market)
    mixed = Planted(
        market.sessions,
        market.features.select([*market.features.columns[:3], *reversed(market.features.columns[3:])]).sample(
            fraction=1.0, shuffle=True, seed=1
        ),
        market.labels.reverse(),
        market.observations,
        market.regime,
    )
    order = ["refit_session", "regime", "feature"]
    again = run(mixed).select(ledger.columns).sort(order)
    ledger = ledger.sort(order)
    assert again.equals(ledger)


class TestDirt:
    def test_missing_constant_infinite_and_rare_features_are_dropped_with_a_reason(self):
        market = planted(9)
        n = market.features.height
        sessions = market.sessions["session"]
        features = market.features.with_columns(
            pl.lit(None, dtype=pl.Float64).alias("nulls"),
            pl.lit(float("nan")).alias("nans"),
            pl.lit(float("inf")).alias("infinite"),
            pl.lit(1.0).alias("constant"),
            pl.when(pl.col("session") < sessions[2]).then(pl.col("always")).alias("rare"),
            pl.Series("whole", np.arange(n) % 7),
        )
        ledger = run(Planted(market.sessions, features, market.labels, market.observations, market.regime))
        reasons = dict(ledger.filter(pl.col("regime") == 0).select("feature", "reason").iter_rows())
        for name in ("nulls", "nans", "infinite"):
            assert reasons[name] == "no value in the training window"
        assert "undefined in this regime" in reasons["constant"]
        assert "too few sessions of this regime" in reasons["rare"]
        dropped = ledger.filter(pl.col("feature").is_in(["nulls", "nans", "infinite", "constant", "rare"]))
        assert not dropped["kept"].any()
        assert not dropped["significant"].any()
        assert dropped["q_value"].null_count() == dropped.height
        assert ledger.filter(pl.col("feature") == "always")["kept"].all()

    def test_a_feature_constant_inside_sessions_is_pooled_over_entities(self):
        market = planted(10, entities=12, effect=0.0)
        level = {f"E{i}": float(i) for i in range(12)}
        features = market.features.select("entity", "session", "decision_time").with_columns(
            pl.col("entity").replace_strict(level).alias("level")
        )
        labels = market.labels.with_columns(pl.col("return_15min") + 1e-3 * features["level"])
        ledger = run(Planted(market.sessions, features, labels, market.observations, market.regime))
        assert ledger["kept"].all()
        alone = market.features["entity"] == "E3"
        one = run(
            Planted(market.sessions, features.filter(alone), labels.filter(alone), market.observations, market.regime)
        )
        assert one["ic"].null_count() == one.height
        assert one["reason"].str.contains("undefined in this regime").all()

    def test_one_entity(self):
        assert run(planted(11, entities=1, effect=1.0), SelectionConfig(min_rows=5))["kept"].any()

    def test_missing_regime_probabilities_weigh_nothing(self):
        market = planted(12)
        silent = market.observations.with_columns(pl.lit(None, dtype=pl.Float64).alias("stress"))
        ledger = run(Planted(market.sessions, market.features, market.labels, silent, market.regime))
        assert ledger["ic"].null_count() == ledger.height
        assert not ledger["kept"].any()

    def test_empty_and_without_refits(self):
        market = planted(13, sessions=5)
        assert dict(run(market).schema) == LEDGER
        assert run(market).height == 0
        bare = market.features.select("entity", "session", "decision_time")
        assert run(Planted(market.sessions, bare, market.labels, market.observations, market.regime)).height == 0
        refits = schedule(planted(13, sessions=31).sessions, FORWARD)
        regimes = filter_regimes(market.observations.clear(), [], RegimeConfig(states=1))
        ledger = select(market.features.clear(), market.labels.clear(), regimes, refits, SelectionConfig(), PRIMARY)
        assert ledger.height == 7
        assert set(ledger["reason"]) == {"no value in the training window"}

    def test_wrong_tables_are_named(self):
        market = planted(14, sessions=31)
        good = (market.features, market.labels)
        for features, labels, message in (
            (good[0].head(10), good[1], "features hold 10 decisions"),
            (good[0].with_columns(pl.lit("x").alias("calm")), good[1], "feature calm is String"),
            (pl.concat([good[0], good[0].head(1)]), good[1], "features hold a decision twice"),
            (good[0], good[1].drop("label_end_15min"), "labels lack label_end_15min"),
            (good[0].drop("session"), good[1], "features lack session"),
            (good[0].with_columns(pl.lit(1.0).alias("return_15min")), good[1], "label return_15min is among"),
        ):
            with pytest.raises(DataError, match=message):
                run(Planted(market.sessions, features, labels, market.observations, market.regime))

    def test_config(self):
        for wrong in (
            {"max_features": 0},
            {"max_features": 2, "min_features": 3},
            {"false_discovery_rate": 0},
            {"min_sessions": 1},
            {"fdr": 0.1},
        ):
            with pytest.raises(ValidationError):
                SelectionConfig.model_validate(wrong)
