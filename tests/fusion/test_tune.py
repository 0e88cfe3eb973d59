"""Settings of the trees by combinatorial purged cross-validation: against a slow reference, planted, causal, dirty."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMRegressor
from planted import PRIMARY, Planted, planted
from pydantic import ValidationError
from scipy import stats

from fusion.cross_validation import combinatorial_purged
from fusion.model import ModelConfig, RefitModel, TuneConfig, Tuned, fit, load, predict, save, walk_forward_predict
from fusion.model.tune import tune, weighted_rank_ic
from fusion.regime import RegimeConfig, at, filter_regimes
from fusion.selection import LEDGER
from fusion.walk_forward import Refit, WalkForwardConfig, schedule, training_rows

FORWARD = WalkForwardConfig(train_sessions=30, refit_sessions=15)
CONFIG = ModelConfig(
    trees=15, learning_rate=0.2, leaves=4, min_rows_leaf=20, tune=TuneConfig(leaves=(2, 6), min_rows_leaf=(20, 60))
)


def kept(refits: list[Refit], names: list[str], states: int = 1) -> pl.DataFrame:
    """A ledger that keeps the given features everywhere; the columns that learning reads."""
    rows = [
        (refit.session, k, name, True, i + 1) for refit in refits for k in range(states) for i, name in enumerate(names)
    ]
    columns = ("refit_session", "regime", "feature", "kept", "position")
    return pl.DataFrame(rows, schema={name: LEDGER[name] for name in columns}, orient="row")


def crossed(seed: int, sessions: int = 46) -> Planted:
    """The return is the product of two signs: stumps cannot learn it, trees of four leaves can."""
    market = planted(seed, sessions=sessions, entities=3, effect=0.0)
    x, y = market.features["calm"].to_numpy(), market.features["bent"].to_numpy()
    noise = np.random.default_rng(seed).standard_normal(len(x))
    returns = pl.Series("return_15min", 1e-3 * (np.sign(x * y) + noise))
    labels = market.labels.with_columns(returns)
    return Planted(market.sessions, market.features, labels, market.observations, market.regime)


def run(market: Planted, config: ModelConfig = CONFIG, states: int = 1) -> tuple[pl.DataFrame, list[RefitModel]]:
    refits = schedule(market.sessions, FORWARD)
    regimes = filter_regimes(market.observations, refits, RegimeConfig(states=states))
    ledger = kept(refits, ["calm", "bent", "noise_0"], states)
    return walk_forward_predict(market.features, market.labels, regimes, ledger, refits, config, PRIMARY)


def test_interactions_ask_for_larger_trees():
    _, models = run(crossed(0))
    (learner,) = models[0].learners
    assert learner is not None
    assert learner.tuned is not None
    assert dict(learner.tuned.settings)["leaves"] == 6
    assert learner.tuned.points == 4
    assert learner.tuned.rank_ic > 0.3


def test_the_choice_is_that_of_a_slow_reference():
    """By LightGBM's own regressor, on the splits, in each of two regimes."""
    market = planted(1, sessions=46, effect=0.5, stay=0.7)
    refit = schedule(market.sessions, FORWARD)[0]
    regimes = filter_regimes(market.observations, [refit], RegimeConfig(states=2))
    names = ["calm", "always"]
    model = fit(market.features, market.labels, regimes, kept([refit], names, 2), refit, CONFIG, PRIMARY)
    rows = training_rows(market.features.join(market.labels, on=["entity", "session", "decision_time"]), refit, PRIMARY)
    y = rows["return_15min"].to_numpy()
    y = np.clip(y, *np.quantile(y, [0.005, 0.995]))
    for k, learner in enumerate(model.learners):
        assert learner is not None
        weight = at(regimes.training(refit), rows["decision_time"])[:, k]
        used = weight >= CONFIG.min_weight
        part, target, w = rows.filter(used), (y / y.std())[used], weight[used]
        x = part.select(names).to_numpy()
        session = part["session"].rank("dense").cast(pl.Int64).to_numpy()
        clocks = [part[name].dt.epoch("ns").to_numpy() for name in ("decision_time", "label_end_15min")]
        splits = combinatorial_purged(*clocks, session, 4, 2, embargo_sessions=1)
        assert len(splits) == 6
        found = {}
        for leaves in (2, 6):
            for least in (20, 60):
                ics = []
                for split in splits:
                    library = LGBMRegressor(
                        n_estimators=15, learning_rate=0.2, num_leaves=leaves, min_child_samples=least,
                        deterministic=True, force_row_wise=True, verbosity=-1, n_jobs=1, min_child_weight=1e-3,
                    )  # fmt: skip
                    library.fit(x[split.train], target[split.train], sample_weight=w[split.train])
                    forecast = stats.rankdata(library.booster_.predict(x[split.test]))
                    truth = stats.rankdata(target[split.test])
                    cov = np.cov(forecast, truth, aweights=w[split.test])
                    ics.append(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))
                found[leaves, least] = np.mean(ics)
        best = max(found, key=lambda point: found[point])
        assert learner.tuned is not None
        assert learner.tuned.settings == (("leaves", best[0]), ("min_rows_leaf", best[1]))
        assert learner.tuned.rank_ic == pytest.approx(found[best], abs=1e-12)
        # and the learner is that of the chosen settings on the whole window
        chosen = CONFIG.model_copy(update={"tune": None, "leaves": best[0], "min_rows_leaf": best[1]})
        plain = fit(market.features, market.labels, regimes, kept([refit], names, 2), refit, chosen, PRIMARY)
        again = plain.learners[k]
        assert again is not None
        assert again.trees == learner.trees
        assert again.tuned is None


def test_truncation_changes_no_earlier_choice_or_score():
    market = crossed(2, sessions=62)
    full, models = run(market)
    assert len({learner.tuned for model in models for learner in model.learners if learner}) > 1
    for session in (30, 52):
        part, fewer = run(market.until(market.sessions["open"][session] + timedelta(minutes=45)))
        known = full.join(part.select("entity", "decision_time"), on=["entity", "decision_time"], how="semi")
        assert part.equals(known)
        for ours, theirs in zip(fewer, models, strict=False):
            pairs = zip(ours.learners, theirs.learners, strict=True)
            assert all(a and b and (a.tuned, a.trees) == (b.tuned, b.trees) for a, b in pairs)


def test_it_is_stored(tmp_path):
    market = crossed(3)
    found, models = run(market)
    save(models, tmp_path)
    again = load(tmp_path)
    assert [learner and learner.tuned for learner in again[0].learners] == [
        learner and learner.tuned for learner in models[0].learners
    ]
    regimes = filter_regimes(market.observations, schedule(market.sessions, FORWARD), RegimeConfig(states=1))
    assert predict(again, market.features, regimes.probabilities).equals(found)


def test_weights_are_those_of_repeated_rows():
    draw = np.random.default_rng(4)
    # the ranks among distinct rows, repeated; those among the repeated rows would be others
    x, y = draw.permutation(30).astype(float), draw.permutation(30).astype(float)
    times = draw.integers(1, 5, 30)
    expected = np.corrcoef(np.repeat(x, times), np.repeat(y, times))[0, 1]
    assert weighted_rank_ic(x, y, times.astype(float)) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(weighted_rank_ic(np.ones(30), y, np.full(30, 0.1)))


class TestDirt:
    def clocks(self, count: int, sessions: int) -> pl.DataFrame:
        market = planted(5, sessions=sessions)
        return market.labels.head(count).select(
            "decision_time", "session", pl.col("label_end_15min").alias("label_end")
        )

    def test_too_few_sessions_or_rows_choose_nothing(self):
        draw = np.random.default_rng(6)
        for sessions, least in ((3, (20, 60)), (20, (500, 600))):
            clocks = self.clocks(10 * sessions, 20)
            x, y = draw.standard_normal((clocks.height, 2)), draw.standard_normal(clocks.height)
            config = CONFIG.model_copy(update={"tune": TuneConfig(min_rows_leaf=least)})
            assert tune(x, y, np.ones(len(y)), clocks, config) == (config, None)

    def test_a_point_that_cannot_be_fitted_is_not_chosen(self):
        draw = np.random.default_rng(7)
        clocks = self.clocks(200, 20)
        x, y = draw.standard_normal((200, 2)), draw.standard_normal(200)
        config = CONFIG.model_copy(update={"tune": TuneConfig(min_rows_leaf=(1000, 10))})
        chosen, tuned = tune(x, y, np.ones(200), clocks, config)
        assert chosen.min_rows_leaf == 10
        assert isinstance(tuned, Tuned)
        assert (tuned.points, tuned.settings) == (1, (("min_rows_leaf", 10),))

    def test_config(self):
        for wrong in (
            {},
            {"leaves": [4]},
            {"leaves": [2, 3], "groups": 3, "tested": 3},
            {"leaves": list(range(2, 12)), "trees": list(range(1, 11))},
            {"leaves": [1, 2]},
            {"depth": [1, 2]},
        ):
            with pytest.raises(ValidationError):
                TuneConfig.model_validate(wrong)
