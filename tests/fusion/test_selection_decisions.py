"""What is kept, given scores: hysteresis, clusters, gates, gain; and what a decision may not depend on."""

from dataclasses import replace
from typing import Any

import numba
import numpy as np
import polars as pl
import pytest
from planted import PRIMARY, planted
from pydantic import ValidationError
from scipy import stats

from fusion.horizon import Sessions as SessionCount
from fusion.regime import RegimeConfig, filter_regimes
from fusion.selection import SelectionConfig, measure, select
from fusion.selection.decide import Decision, decide
from fusion.selection.grades import MISSING, Batches, graded
from fusion.selection.ledger import _ranked_by_then
from fusion.selection.redundancy import Similarity, clusters, sampled_rows
from fusion.selection.scores import Scores
from fusion.selection.table import Sessions
from fusion.target import end_column, return_column
from fusion.walk_forward import WalkForwardConfig, schedule

NAMES = ["a", "b", "c", "d"]


def scores(z: list[float], **others: Any) -> Scores:
    """One regime whose features have these normal quantiles for t."""
    z = np.array([z])
    full = {name: np.full(z.shape, 0.5) for name in Scores.__dataclass_fields__}
    return Scores(
        **full | {"ic": z / 100, "t": z, "p": 2 * stats.norm.sf(abs(z)), "coverage": np.ones(z.shape[1])} | others
    )


def decided(
    z: list[float],
    before: str = "",
    close: dict[tuple[int, int], float] | None = None,
    *,
    config: Any = None,
    **others: Any,
) -> Decision:
    similarity = np.eye(len(z))
    for (i, j), r in (close or {}).items():
        similarity[i, j] = similarity[j, i] = r
    found = scores(z, **others)
    q = stats.false_discovery_control(found.p[0])
    among = lambda one, two: similarity[np.ix_(one, two)]  # noqa: E731
    config = SelectionConfig.model_validate(config or {})
    return decide(NAMES[: len(z)], found, 0, q, among, frozenset(before), config, 1)


class TestHysteresis:
    # alone, q is p: 0.134 for z 1.5, 0.0801 for 1.75, 0.23 for 1.2
    def test_a_kept_feature_leaves_at_a_looser_level_than_it_enters(self):
        assert decided([1.5]).kept == []
        stays = decided([1.5], before="a")
        assert stays.kept == [0]
        assert stays.reasons == ["kept before, and stays up to q 0.15 (q 0.13, hysteresis)"]
        assert decided([1.75]).reasons == ["significant (q 0.08)"]
        leaves = decided([1.2], before="a")
        assert leaves.kept == []
        assert leaves.reasons == ["not significant (q 0.23 > 0.15)"]
        assert decided([1.5], before="a", config={"leave_false_discovery_rate": 0.1}).kept == []

    @pytest.mark.parametrize(("newcomer", "kept"), [(5.4, "a"), (5.6, "b")])
    def test_a_newcomer_takes_a_place_only_by_a_margin(self, newcomer: float, kept: str):
        found = decided([5.0, newcomer], before="a", close={(0, 1): 0.95})
        assert [NAMES[f] for f in found.kept] == [kept]
        other = NAMES.index("b" if kept == "a" else "a")
        reason = "redundant with a (rank correlation 0.95), which was kept before and is worse by less than 0.5 errors"
        assert found.reasons[other] == (reason if kept == "a" else "redundant with b (rank correlation 0.95)")
        assert found.head == {0: NAMES.index(kept), 1: NAMES.index(kept)}
        assert decided([5.0, newcomer], before="a", close={(0, 1): 0.95}, config={"switch_margin": 0}).kept == [1]

    def test_the_margin_counts_for_the_last_place_too(self):
        config = {"max_features": 1}
        assert decided([5.0, 5.4], before="a", config=config).kept == [0]
        assert decided([5.0, 5.6], before="a", config=config).kept == [1]

    def test_what_was_kept_is_told_from_refit_to_refit(self):
        market = planted(1, effect=0.25, stay=0.5, sessions=110)
        refits = schedule(market.sessions, WalkForwardConfig(train_sessions=30, refit_sessions=5))
        regimes = filter_regimes(market.observations, refits, RegimeConfig(states=2))
        found = {}
        for leave in (0.1, 0.3):
            config = SelectionConfig(leave_false_discovery_rate=leave)
            ledger = select(market.features, market.labels, regimes, refits, config, PRIMARY)
            kept = ledger.sort("refit_session").with_columns(
                pl.col("kept").shift(1, fill_value=False).over("regime", "feature").alias("expected")
            )
            assert (kept["kept_before"] == kept["expected"]).all()
            found[leave] = (kept["kept"] != kept["expected"]).sum()
            weak = kept.filter("kept", ~pl.col("significant"))
            assert weak["kept_before"].all()
            assert weak["reason"].str.contains("hysteresis").all()
        assert weak.height > 0
        assert found[0.3] < found[0.1]

    def test_nothing_was_kept_before_in_regimes_that_are_numbered_anew(self):
        market = planted(1, effect=0.8, stay=0.5)
        refits = schedule(market.sessions, WalkForwardConfig(train_sessions=30, refit_sessions=10))
        regimes = filter_regimes(market.observations, refits, RegimeConfig(states=2))
        models = tuple(replace(model, matched=number != 1) for number, model in enumerate(regimes.models))
        given = (replace(regimes, models=models), refits, SelectionConfig(), PRIMARY)
        ledger = select(market.features, market.labels, *given)
        before = (
            ledger.group_by("refit_session")
            .agg(pl.col("kept_before").any(), pl.col("kept").any())
            .sort(by="refit_session")
        )
        assert before["kept"].to_list() == [True] * 3
        assert before["kept_before"].to_list() == [False, False, True]


class TestClusters:
    def test_the_best_of_each_cluster_is_its_head(self):
        found = decided([4.0, 6.0, 5.0, 3.0], close={(0, 1): -0.95, (2, 3): 0.97})
        assert found.kept == [1, 2]
        assert found.cluster == {1: 1, 0: 1, 2: 2, 3: 2}
        assert found.head == {0: 1, 1: 1, 2: 2, 3: 2}
        assert found.reasons[0] == "redundant with b (rank correlation -0.95)"

    def test_heads_that_are_close_are_not_both_kept(self):
        # on average the last is 0.77 from the first two, so that it is a cluster of its own
        found = decided([6.0, 5.0, 4.0], close={(0, 1): 0.95, (0, 2): 0.92, (1, 2): 0.62})
        assert found.cluster == {0: 1, 1: 1, 2: 2}
        assert found.kept == [0]
        assert found.reasons[2] == "redundant with a (rank correlation 0.92)"

    def test_average_linkage(self):
        r = np.array([[1.0, 0.95, 0.88, 0.0], [0.95, 1.0, 0.93, 0.0], [0.88, 0.93, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
        assert clusters(r, 0.9).tolist() == [0, 0, 0, 1]  # (0.88 + 0.93) / 2 = 0.905
        assert clusters(r, 0.91).tolist() == [0, 0, 1, 2]
        assert clusters(np.ones((3, 3)), 1.0).tolist() == [0, 1, 2]
        assert clusters(np.zeros((0, 0)), 0.9).tolist() == []

    def test_correlations_are_the_weighted_spearmans_of_pairs(self):
        rng = np.random.default_rng(1)
        sessions, rows = 40, 50
        offsets = np.arange(sessions + 1) * rows
        x = rng.standard_normal((3, sessions * rows))
        x[1] += 2 * x[0]
        x[2] -= x[0]
        x[2, rng.random(sessions * rows) < 0.3] = np.nan
        batches = Batches.of(np.ones((1, sessions), dtype=np.bool_))
        there = np.ones(sessions * rows, dtype=np.bool_)
        picked, first = sampled_rows(offsets)
        assert picked.tolist() == list(range(sessions * rows))  # sessions of 50 rows are taken whole
        grades = np.stack([graded(each, there, offsets, batches) for each in x])
        weights = rng.random(sessions)
        similarity = Similarity.of(grades, first, np.arange(sessions), weights)
        found = similarity.among([0, 1, 2], [0, 1, 2])
        w = np.repeat(weights, rows)
        for i in range(3):
            for j in range(3):
                both = (grades[i] != MISSING) & (grades[j] != MISSING)
                moments = np.cov(grades[i][both], grades[j][both], aweights=w[both])
                # of weights in 4096 steps and grades in 1024
                assert found[i, j] == pytest.approx(moments[0, 1] / np.sqrt(moments[0, 0] * moments[1, 1]), abs=2e-4)
        np.testing.assert_array_equal(similarity.among([2, 0], [1]), found[[2, 0]][:, [1]])
        assert np.all(Similarity.of(grades, first, np.arange(0), weights[:0]).among([0, 1], [2]) == 0)

    def test_the_sample_is_bounded_and_spread(self):
        picked, first = sampled_rows(np.array([0, 1000, 1003, 1003, 1203]))
        assert np.diff(first).tolist() == [64, 3, 0, 64]
        assert np.all(np.diff(picked) >= 1)
        assert (picked[:64].min(), picked[:64].max()) == (7, 992)
        many = Similarity.of(np.zeros((1, 131 * 64), dtype=np.int16), np.arange(132) * 64, np.arange(131), np.ones(131))
        assert len(many.rows) == 131 * 64 // 2


class TestGates:
    def test_unstable_and_hasty_features_are_held_back(self):
        config = {"min_stability": 0.75, "max_turnover": 0.8, "min_features": 2}
        others = {"stability": np.array([[0.5, 1.0, 1.0]]), "turnover": np.array([[0.1, 0.9, np.nan]])}
        found = decided([5.0, 4.0, 3.0], config=config, **others)
        assert found.kept == [2]
        assert found.reasons[0] == "unstable: the sign of the IC holds in 50% of sub-windows, 75% needed"
        assert found.reasons[1] == "turns over 0.90 of a position at each decision, 0.8 allowed"
        assert decided([5.0, 4.0, 3.0], **others).kept == [0, 1, 2]

    def test_min_features_are_filled_past_what_is_redundant(self):
        found = decided([6.0, 0.5, 0.4, 0.3], close={(0, 1): 0.99}, config={"min_features": 3})
        assert found.kept == [0, 2, 3]
        assert found.reasons[1] == "redundant with a (rank correlation 0.99)"
        assert found.reasons[3].endswith("; kept as one of the best 3 (min_features)")

    def test_config(self):
        with pytest.raises(ValidationError, match=r"leave_false_discovery_rate 0\.05 is below"):
            SelectionConfig(leave_false_discovery_rate=0.05)
        assert SelectionConfig(false_discovery_rate=0.8).leave == 1.0


class TestSeparateness:
    """Scores of a feature are its own; decisions do not depend on threads or on scores that were made for others."""

    def test_of_candidates(self):
        market = planted(2, missing=0.1)
        refits = schedule(market.sessions, WalkForwardConfig(train_sessions=30, refit_sessions=10))
        regimes = filter_regimes(market.observations, refits, RegimeConfig(states=2))
        config = SelectionConfig(min_features=2, gain=True)
        given = (regimes, refits, config, PRIMARY)
        measured = measure(market.features, market.labels, *given)
        some = ["noise_1", "always"]
        part = select(market.features.select("entity", "session", "decision_time", *some), market.labels, *given)
        assert measured.ledger(some).equals(part)
        own = [
            "ic",
            "t_stat",
            "p_value",
            "t_newey_west",
            "icir",
            "mutual_information",
            "stability",
            "turnover",
            "coverage",
        ]
        whole = measured.ledger().filter(pl.col("feature").is_in(some))
        keys = ["refit_session", "regime", "feature"]
        assert whole.select(*keys, *own).sort(keys).equals(part.select(*keys, *own).sort(keys))
        shares = part.group_by(keys[:2]).agg(pl.col("gain").sum(), pl.col("gain").count().alias("count"))
        assert shares["count"].to_list() == [2] * shares.height
        assert shares["gain"].to_list() == pytest.approx([1.0] * shares.height)
        assert measured.ledger([]).height == 0

    def test_of_threads(self):
        market = planted(5)
        refits = schedule(market.sessions, WalkForwardConfig(train_sessions=30, refit_sessions=5))
        regimes = filter_regimes(market.observations, refits, RegimeConfig(states=2))
        given = (market.features, market.labels, regimes, refits, SelectionConfig(), PRIMARY)
        before = numba.get_num_threads()
        ledgers = []
        try:
            for threads in (1, before):
                numba.set_num_threads(threads)
                ledgers.append(select(*given))
        finally:
            numba.set_num_threads(before)
        assert ledgers[0].equals(ledgers[1])


def test_gain_is_of_what_drives_the_label():
    market = planted(1, sessions=80, effect=0.8, stay=0.5)
    refits = schedule(market.sessions, WalkForwardConfig(train_sessions=60, refit_sessions=20))
    regimes = filter_regimes(market.observations, refits, RegimeConfig(states=2))
    config = SelectionConfig(min_features=7, gain=True)
    ledger = select(market.features, market.labels, regimes, refits, config, PRIMARY).filter("kept")
    best = ledger.sort("gain", descending=True).group_by("regime", maintain_order=True).head(2).sort("regime")
    assert [set(part["feature"]) for part in best.partition_by("regime")] == [{"calm", "always"}, {"bent", "always"}]
    off = config.model_copy(update={"gain": False})
    assert select(market.features, market.labels, regimes, refits, off, PRIMARY)["gain"].null_count() == ledger.height


def test_ties_and_signs_of_grades():
    values = np.array([1.0, 1.0, 2.0, np.nan, -0.0, 0.0, 5.0, np.inf])
    batches = Batches.of(np.array([[True, False], [True, True]]))
    there = np.ones(8, dtype=np.bool_)
    offsets = np.array([0, 4, 8])
    found = graded(values, there, offsets, batches)
    step = 32768
    # first of 1, 1, 2; then of 0, 0, 1, 1, 2, 5
    expected = [-step / 3, -step / 3, step * 2 / 3, MISSING, -step * 4 / 6, -step * 4 / 6, step * 5 / 6, MISSING]
    assert found.tolist() == np.round(expected).tolist()
    negative = graded(-values, there, offsets, batches)
    seen = found != MISSING
    assert (negative[seen] == -found[seen]).all()
    assert (graded(np.ones(8), there, offsets, batches) == 0).all()


def test_the_decision_before_counts_only_where_it_was_ranked_by_then():
    """Decisions of one entity in four sessions, by day; the labels of the second were known a refit late."""
    market = planted(0, sessions=4, entities=1)
    daily = (
        market.features.group_by("session", maintain_order=True).first().select("entity", "session", "decision_time")
    )
    labels = daily.with_columns(
        pl.Series("return_1s", np.arange(4.0)), pl.col("decision_time").alias("label_end_1s")
    ).rename({"return_1s": return_column(SessionCount(1)), "label_end_1s": end_column(SessionCount(1))})
    table = Sessions.of(daily, labels, SessionCount(1))
    assert table.previous.tolist() == [-1, 0, 1, 2]
    windows = np.array([[True, False, True, False], [True, True, True, True]])
    assert _ranked_by_then(table, Batches.of(windows)).tolist() == [-1, 0, -1, 2]
