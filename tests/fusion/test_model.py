"""Learning: planted nonlinear signal, baselines, mixture by hand, truncation, threads, storage, dirt."""

import json
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMRegressor
from planted import PRIMARY, Planted, planted
from pydantic import ValidationError
from scipy import stats
from sklearn.linear_model import Ridge

from fusion.model import ModelConfig, RefitModel, fit, load, predict, save, walk_forward_predict
from fusion.regime import RegimeConfig, RegimePath, at, filter_regimes
from fusion.selection import LEDGER, SelectionConfig, select
from fusion.target import KEYS
from fusion.walk_forward import Refit, WalkForwardConfig, schedule, training_rows
from gpu_kernels.errors import DataError, ModelError

CONFIG = ModelConfig(trees=30, learning_rate=0.1, leaves=7, min_rows_leaf=20)
FORWARD = WalkForwardConfig(train_sessions=30, refit_sessions=15)


def prepared(market: Planted, states: int = 2) -> tuple[list[Refit], RegimePath, pl.DataFrame]:
    refits = schedule(market.sessions, FORWARD)
    regimes = filter_regimes(market.observations, refits, RegimeConfig(states=states))
    config = SelectionConfig(min_features=2)
    return refits, regimes, select(market.features, market.labels, regimes, refits, config, PRIMARY)


def run(market: Planted, config: ModelConfig = CONFIG, states: int = 2) -> tuple[pl.DataFrame, list[RefitModel]]:
    refits, regimes, ledger = prepared(market, states)
    return walk_forward_predict(market.features, market.labels, regimes, ledger, refits, config, PRIMARY)


def kept(refits: list[Refit], features: list[str], states: int = 1) -> pl.DataFrame:
    """A ledger that keeps the given features everywhere."""
    rows = [
        {"refit_session": refit.session, "regime": k, "feature": name, "kept": True, "position": i + 1}
        for refit in refits
        for k in range(states)
        for i, name in enumerate(features)
    ]
    return pl.from_dicts(rows, schema=LEDGER)


def test_finds_a_planted_nonlinear_signal_that_ridge_cannot_see():
    market = planted(0, sessions=70, entities=4)
    x = market.features["always"].to_numpy()
    rng = np.random.default_rng(0)
    returns = 1e-3 * ((np.abs(x) - 0.8) + rng.standard_normal(len(x)))
    labels = market.labels.with_columns(pl.Series("return_15min", returns))
    refits = schedule(market.sessions, FORWARD)
    regimes = filter_regimes(market.observations, refits, RegimeConfig(states=1))
    ledger = kept(refits, ["always", "noise_0"])
    found, _ = walk_forward_predict(market.features, labels, regimes, ledger, refits, CONFIG, PRIMARY)
    scored = found.join(labels, on=["entity", "session", "decision_time"]).drop_nulls("score")
    assert scored.height == 40 * 4 * 10
    trees = stats.spearmanr(scored["score"], scored["return_15min"]).statistic
    straight = stats.spearmanr(scored["score_ridge"], scored["return_15min"]).statistic
    assert trees > 0.35
    assert abs(straight) < 0.15
    # scores are forecasts of the return itself
    slope = np.polyfit(scored["score"], scored["return_15min"], 1)[0]
    assert 0.7 < slope < 1.4


def test_regime_dependent_effects_are_learned_per_regime():
    market = planted(1, sessions=90, entities=4, effect=0.8, stay=0.8)
    found, _ = run(market)
    static, _ = run(market, states=1)
    labels = market.labels["return_15min"].to_numpy()
    later = (market.labels["session"] >= market.sessions["session"][60]).to_numpy()

    def rank_ic(predictions: pl.DataFrame) -> float:
        score = predictions["score"].to_numpy()
        used = later & np.isfinite(score)
        assert used.sum() > 0.8 * later.sum()
        return float(stats.spearmanr(score[used], labels[used]).statistic)

    assert rank_ic(found) > rank_ic(static) + 0.03 > 0.1


def test_nothing_is_found_where_nothing_is():
    market = planted(2, sessions=70, effect=0.0)
    found, _ = run(market)
    scored = found.join(market.labels, on=["entity", "session", "decision_time"]).drop_nulls("score")
    for name in ("score", "score_ridge"):
        assert abs(stats.spearmanr(scored[name], scored["return_15min"]).statistic) < 4 / np.sqrt(scored.height)


def test_shape_and_nulls_before_the_first_refit():
    market = planted(3, effect=0.8)
    found, models = run(market)
    assert found.columns == ["entity", "session", "decision_time", "score", "score_ridge", "refit_session"]
    assert found.select("entity", "session", "decision_time").equals(
        market.features.select("entity", "session", "decision_time")
    )
    first = market.sessions["session"][30]
    before = found.filter(pl.col("session") < first)
    assert before.select("score", "score_ridge", "refit_session").null_count().row(0) == (before.height,) * 3
    assert [model.refit_session for model in models] == [first, market.sessions["session"][45]]
    assert found.filter(pl.col("session") >= first)["refit_session"].n_unique() == 2
    assert found["score"].is_nan().sum() == 0


def test_mixture_is_that_of_the_docstring():
    market = planted(4, effect=0.8, stay=0.5)
    refits, regimes, ledger = prepared(market)
    found, models = walk_forward_predict(market.features, market.labels, regimes, ledger, refits, CONFIG, PRIMARY)
    row = found.height - 1
    learners = models[-1].learners
    p = at(regimes.probabilities, market.features["decision_time"])[row]
    expected, straight = 0.0, 0.0
    for k, learner in enumerate(learners):
        assert learner is not None
        score, ridge = learner.predict(market.features.select(learner.features)[row].to_numpy())
        expected += p[k] * score[0]
        straight += p[k] * ridge[0]
    assert found["score"][row] == pytest.approx(expected, rel=1e-12)
    assert found["score_ridge"][row] == pytest.approx(straight, rel=1e-12)


def test_a_row_of_a_regime_without_a_model_has_no_score():
    market = planted(5, effect=0.8, stay=0.5)
    refits, regimes, ledger = prepared(market)
    only = ledger.with_columns((pl.col("kept") & (pl.col("regime") == 1)).alias("kept"))
    found, models = walk_forward_predict(market.features, market.labels, regimes, only, refits, CONFIG, PRIMARY)
    assert all(model.learners[0] is None and model.learners[1] is not None for model in models)
    p = at(regimes.probabilities, market.features["decision_time"])[:, 1]
    scored = found["score"].is_not_null().to_numpy()
    np.testing.assert_array_equal(scored, np.nan_to_num(p) >= 0.5)
    assert 0 < scored.sum() < len(scored)
    # what is left of the mixture is the one model's own forecast
    last = (found["refit_session"] == models[-1].refit_session).fill_null(False).to_numpy() & scored
    learner = models[-1].learners[1]
    assert learner is not None
    own = learner.predict(market.features.select(learner.features).to_numpy()[last])
    np.testing.assert_allclose(found["score"].to_numpy()[last], own[0], rtol=1e-12)
    np.testing.assert_allclose(found["score_ridge"].to_numpy()[last], own[1], rtol=1e-12)
    assert (p[last] < 0.999).any()


def test_ridge_equals_scikit_learn_with_the_regime_as_weight():
    market = planted(6, effect=0.8, stay=0.7)
    refit = schedule(market.sessions, FORWARD)[0]
    regimes = filter_regimes(market.observations, [refit], RegimeConfig(states=2))
    names = ["always", "calm", "bent"]
    config = CONFIG.model_copy(update={"ridge": 0.3})
    model = fit(market.features, market.labels, regimes, kept([refit], names, 2), refit, config, PRIMARY)
    rows = training_rows(market.features.join(market.labels, on=list(KEYS)), refit, PRIMARY)
    y = rows["return_15min"].to_numpy()
    y = np.clip(y, *np.quantile(y, [0.005, 0.995]))
    x = rows.select(names).to_numpy()
    new = market.features.filter(pl.col("session") >= refit.session).select(names).to_numpy()
    coefficients = []
    for k, learner in enumerate(model.learners):
        assert learner is not None
        weight = at(regimes.training(refit), rows["decision_time"])[:, k]
        used = weight >= config.min_weight
        w = weight[used]
        centre = np.average(x[used], axis=0, weights=w)
        spread = np.sqrt(np.average((x[used] - centre) ** 2, axis=0, weights=w))
        library = Ridge(alpha=0.3 * w.sum()).fit(
            np.clip((x[used] - centre) / spread, -5, 5), y[used] / y.std(), sample_weight=w
        )
        expected = library.predict(np.clip((new - centre) / spread, -5, 5)) * y.std()
        np.testing.assert_allclose(learner.predict(new)[1], expected, rtol=1e-9, atol=1e-15)
        assert learner.rows == used.sum() < len(x)
        coefficients.append(library.coef_)
    assert coefficients[0][1] > coefficients[1][1] + 0.1


def test_trees_are_those_of_lightgbm_with_the_regime_as_weight():
    market = planted(6, effect=0.8, stay=0.7)
    refit = schedule(market.sessions, FORWARD)[0]
    regimes = filter_regimes(market.observations, [refit], RegimeConfig(states=2))
    names = ["always", "calm"]
    model = fit(market.features, market.labels, regimes, kept([refit], names, 2), refit, CONFIG, PRIMARY)
    rows = training_rows(market.features.join(market.labels, on=list(KEYS)), refit, PRIMARY)
    y = rows["return_15min"].to_numpy()
    y = np.clip(y, *np.quantile(y, [0.005, 0.995]))
    new = market.features.filter(pl.col("session") >= refit.session).select(names).to_numpy()
    for k, learner in enumerate(model.learners):
        assert learner is not None
        weight = at(regimes.training(refit), rows["decision_time"])[:, k]
        used = weight >= CONFIG.min_weight
        library = LGBMRegressor(
            n_estimators=30, learning_rate=0.1, num_leaves=7, min_child_samples=20, deterministic=True,
            force_row_wise=True, verbosity=-1, n_jobs=1, min_child_weight=1e-3, subsample_for_bin=200_000,
        )  # fmt: skip
        library.fit(rows.select(names).to_numpy()[used], y[used] / y.std(), sample_weight=weight[used])
        expected = library.booster_.predict(new) * y.std()
        np.testing.assert_allclose(learner.predict(new)[0], expected, rtol=1e-12)


def test_purged_labels_do_not_teach():
    """A label that ends after the cutoff is the only trace of a spy; with the purge nothing learns from it."""
    market = planted(7, sessions=32, effect=0.0)
    refit = schedule(market.sessions, WalkForwardConfig(train_sessions=30, embargo_sessions=0))[0]
    regimes = filter_regimes(market.observations, [refit], RegimeConfig(states=1))
    spy = market.features.with_columns((1e3 * market.labels["return_15min"]).alias("spy"))
    late = market.labels.with_columns(
        pl.lit(refit.refit_time + timedelta(minutes=1)).cast(pl.Datetime("ns", "UTC")).alias("label_end_15min")
    )
    ledger = kept([refit], ["spy"])
    seen = fit(spy, market.labels, regimes, ledger, refit, CONFIG, PRIMARY)
    unseen = fit(spy, late, regimes, ledger, refit, CONFIG, PRIMARY)
    assert seen.learners[0] is not None
    assert seen.learners[0].rows == 30 * 3 * 10
    assert unseen.learners == (None,)


def test_truncation_changes_no_earlier_score():
    market = planted(8, sessions=62, effect=0.6)
    full, models = run(market)
    for session, minutes in ((20, 0), (30, 0), (38, 45), (45, 0), (59, 70)):
        cut = market.sessions["open"][session] + timedelta(minutes=minutes)
        part, fewer = run(market.until(cut))
        known = full.join(part.select("entity", "decision_time"), on=["entity", "decision_time"], how="semi")
        assert part.equals(known)
        for ours, theirs in zip(fewer, models, strict=False):
            assert [a and a.trees for a in ours.learners] == [b and b.trees for b in theirs.learners]
    assert part["score"].count() > 100


def test_a_label_that_leaks_into_a_feature_breaks_truncation():
    market = planted(9, sessions=40, effect=0.0)

    def leaky(cut: Planted) -> Planted:
        features = cut.features.with_columns(cut.labels["return_15min"].alias("leak"))
        return Planted(cut.sessions, features, cut.labels, cut.observations, cut.regime)

    full, _ = _leaky_run(leaky(market))
    cut = market.sessions["open"][35] + timedelta(minutes=60)
    part, _ = _leaky_run(leaky(market.until(cut)))
    known = full.join(part.select("entity", "decision_time"), on=["entity", "decision_time"], how="semi")
    assert not part.equals(known)


def _leaky_run(market: Planted) -> tuple[pl.DataFrame, list[RefitModel]]:
    refits = schedule(market.sessions, FORWARD)
    regimes = filter_regimes(market.observations, refits, RegimeConfig(states=1))
    renamed = market.features.rename({"leak": "spy"})
    return walk_forward_predict(renamed, market.labels, regimes, kept(refits, ["spy"]), refits, CONFIG, PRIMARY)


def test_threads_do_not_change_a_bit():
    market = planted(10, sessions=46, effect=0.6, missing=0.1)
    refit = schedule(market.sessions, FORWARD)[0]
    regimes = filter_regimes(market.observations, [refit], RegimeConfig(states=1))
    ledger = kept([refit], ["always", "calm", "bent"])
    models = []
    for threads in (1, 2):
        config = CONFIG.model_copy(update={"threads": threads, "trees": 10})
        models.append(fit(market.features, market.labels, regimes, ledger, refit, config, PRIMARY))
    one, two = (model.learners[0] for model in models)
    assert one is not None
    assert two is not None
    assert one.trees == two.trees
    assert np.array_equal(one.coefficients, two.coefficients)
    first, second = (predict(models[:1], market.features, regimes.probabilities, threads=t) for t in (1, 2))
    assert first.equals(second)


class TestStorage:
    def test_saved_models_score_new_rows_alike(self, tmp_path):
        market = planted(11, effect=0.8, stay=0.5, missing=0.1)
        refits, regimes, ledger = prepared(market)
        part = market.until(market.sessions["open"][55])
        found, models = walk_forward_predict(market.features, market.labels, regimes, ledger, refits, CONFIG, PRIMARY)
        save(models, tmp_path / "models")
        again = load(tmp_path / "models")
        assert [model.refit_session for model in again] == [model.refit_session for model in models]
        assert predict(again, market.features, regimes.probabilities).equals(found)
        newest = market.features.join(part.features, on=["entity", "decision_time"], how="anti")
        assert newest.height > 0
        rows = found.join(newest.select("entity", "decision_time"), on=["entity", "decision_time"], how="semi")
        assert predict(again, newest, regimes.probabilities).equals(rows)
        assert not list((tmp_path / "models").glob("*.tmp"))
        save(again, tmp_path / "again")
        for path in sorted((tmp_path / "models").iterdir()):
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()

    def stored(self, folder):
        market = planted(12, sessions=46, effect=0.8)
        save(run(market)[1], folder)
        return folder

    @pytest.mark.parametrize(
        "damage",
        [
            lambda folder: (folder / "models.json").unlink(),
            lambda folder: (folder / "models.json").write_text("{"),
            lambda folder: (folder / "models.json").write_text("[]"),
            lambda folder: (folder / "models.json").write_text('{"format": 99, "models": []}'),
            lambda folder: next(folder.glob("*.txt")).unlink(),
            lambda folder: next(folder.glob("*.txt")).write_text("tree"),
            lambda folder: next(folder.glob("*.txt")).write_bytes(b"\xff\xfe"),
        ],
    )
    def test_damage_is_one_error(self, tmp_path, damage):
        folder = self.stored(tmp_path / "models")
        damage(folder)
        with pytest.raises(ModelError, match="trifuse run"):
            load(folder)

    @pytest.mark.parametrize(
        "damage", [{"features": ["calm"]}, {"centre": []}, {"spread": [[1.0]]}, {"coefficients": [1.0] * 9}]
    )
    def test_parts_of_different_sizes_are_one_error(self, tmp_path, damage):
        folder = self.stored(tmp_path)
        index = json.loads((folder / "models.json").read_text())
        learner = next(each for model in index["models"] for each in model["learners"] if each is not None)
        assert len(learner["features"]) not in (1, 9)
        learner.update(damage)
        (folder / "models.json").write_text(json.dumps(index))
        with pytest.raises(ModelError, match="trifuse run"):
            load(folder)

    def test_missing_folder(self, tmp_path):
        with pytest.raises(ModelError, match="cannot be read"):
            load(tmp_path / "nowhere")

    def test_a_model_of_no_refit_is_stored_too(self, tmp_path):
        save([], tmp_path)
        assert load(tmp_path) == []
        assert json.loads((tmp_path / "models.json").read_text())["models"] == []


class TestDirt:
    def test_missing_and_infinite_features(self):
        market = planted(13, effect=0.8)
        refits = schedule(market.sessions, FORWARD)
        regimes = filter_regimes(market.observations, refits, RegimeConfig(states=1))
        names = ["always", "calm"]
        dirty = market.features.with_columns(
            pl.when(pl.int_range(pl.len()) % 3 == 0).then(None).otherwise("always").alias("always"),
            pl.when(pl.int_range(pl.len()) % 5 == 0).then(float("inf")).otherwise("calm").alias("calm"),
        )
        found, _ = walk_forward_predict(dirty, market.labels, regimes, kept(refits, names), refits, CONFIG, PRIMARY)
        index = np.arange(found.height)
        none = (index % 15 == 0) & (found["refit_session"].is_not_null().to_numpy())
        scored = found["score"].is_not_null().to_numpy()
        assert not scored[none].any()
        assert scored[~none & found["refit_session"].is_not_null().to_numpy()].all()
        assert found.drop_nulls("score").select("score", "score_ridge").to_numpy().max() < 0.01

    @pytest.mark.parametrize("value", [None, 1.0])
    def test_a_feature_without_information_gives_a_constant(self, value):
        market = planted(14)
        refits = schedule(market.sessions, FORWARD)
        regimes = filter_regimes(market.observations, refits, RegimeConfig(states=1))
        features = market.features.with_columns(pl.lit(value, dtype=pl.Float64).alias("flat"))
        ledger = kept(refits, ["flat"])
        found, _ = walk_forward_predict(features, market.labels, regimes, ledger, refits, CONFIG, PRIMARY)
        scores = found.drop_nulls("score")
        assert scores.height == (0 if value is None else 900)
        assert scores.group_by("refit_session").agg(pl.col("score", "score_ridge").n_unique()).select(
            pl.col("score", "score_ridge").max()
        ).row(0) in {(1, 1), (None, None)}

    def test_wild_values_do_not_carry_the_ridge_away(self):
        market = planted(15, effect=0.8)
        refits = schedule(market.sessions, FORWARD)
        regimes = filter_regimes(market.observations, refits, RegimeConfig(states=1))
        wild = market.features.with_columns(
            pl.when(pl.col("session") == market.sessions["session"][-1]).then(1e12).otherwise("always").alias("always")
        )
        found, _ = walk_forward_predict(wild, market.labels, regimes, kept(refits, ["always"]), refits, CONFIG, PRIMARY)
        assert found["score_ridge"].abs().max() < 0.01

    def test_constant_returns_or_too_few_rows_have_no_model(self):
        market = planted(16)
        refits = schedule(market.sessions, FORWARD)
        regimes = filter_regimes(market.observations, refits, RegimeConfig(states=1))
        ledger = kept(refits, ["always"])
        flat = market.labels.with_columns(pl.lit(0.0).alias("return_15min"))
        found, models = walk_forward_predict(market.features, flat, regimes, ledger, refits, CONFIG, PRIMARY)
        assert all(model.learners == (None,) for model in models)
        assert found["score"].null_count() == found.height
        many = CONFIG.model_copy(update={"min_rows_leaf": 10_000})
        _, models = walk_forward_predict(market.features, market.labels, regimes, ledger, refits, many, PRIMARY)
        assert all(model.learners == (None,) for model in models)

    def test_empty_and_without_refits(self):
        market = planted(17, sessions=5)
        found, models = run(market)
        assert models == []
        assert found["score"].null_count() == found.height > 0
        empty = predict(models, market.features.clear(), market.observations.clear())
        assert empty.height == 0
        assert dict(empty.schema)["score"] == pl.Float64

    def test_wrong_tables_are_named(self):
        market = planted(18, sessions=46, effect=0.8)
        refits, regimes, ledger = prepared(market, 1)
        models = [fit(market.features, market.labels, regimes, ledger, refits[0], CONFIG, PRIMARY)]
        learner = models[0].learners[0]
        assert learner is not None
        with pytest.raises(DataError, match=f"feature {learner.features[0]} of the model is absent"):
            predict(models, market.features.drop(learner.features[0]), regimes.probabilities)
        two = regimes.probabilities.with_columns(pl.lit(0.0).alias("probability_1"))
        with pytest.raises(DataError, match="2 regimes in probabilities; allowed: 1"):
            predict(models, market.features, two)
        with pytest.raises(DataError, match="features lack entity"):
            predict(models, market.features.drop("entity"), regimes.probabilities)
        with pytest.raises(DataError, match="kept feature nobody"):
            fit(market.features, market.labels, regimes, kept(refits, ["nobody"]), refits[0], CONFIG, PRIMARY)

    def test_config(self):
        wrong: dict[str, Any]
        for wrong in ({"trees": 0}, {"leaves": 1}, {"learning_rate": 0}, {"winsor": 0.5}, {"ridge": 0}, {"tree": 1}):
            with pytest.raises(ValidationError):
                ModelConfig.model_validate(wrong)
