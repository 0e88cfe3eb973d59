"""The run's model beside simpler ones: what planted effects say, one regime, no look ahead, dirt."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from example_run import write_run
from planted import PRIMARY, Planted, planted
from planted_study import FAMILIES, config, planted_study
from pydantic import ValidationError
from scipy import stats

from fusion import rivals as module
from fusion.comparison import COMPARISON, alternative_sources, compare
from fusion.config import RunConfig, parse
from fusion.correlation import rank_moments
from fusion.evaluation import EvaluationConfig
from fusion.model import mixture
from fusion.paired import ADDED, UNTOLD, PairedSample
from fusion.report import render
from fusion.report.comparison import sentences
from fusion.report.run_folder import RunFolder
from fusion.rivals import Recipe, Rivals, united
from fusion.study import Study
from fusion.walk_forward import Refit
from gpu_kernels.errors import ConfigError


def rows(found: pl.DataFrame) -> dict[str, dict[str, Any]]:
    assert found.schema == COMPARISON
    return {str(row["model"]): row for row in found.to_dicts()}


@pytest.fixture(scope="module")
def regimes_matter() -> dict[str, dict[str, Any]]:
    market = planted(1, sessions=120, entities=3, effect=0.8, stay=0.8)
    return rows(compare(*planted_study(market, config())))


def test_the_mixture_beats_the_static_model_where_effects_differ_by_regime(regimes_matter):
    static = regimes_matter["static"]
    assert static["verdict"] == ADDED
    assert static["tells"] == "regimes"
    assert static["difference"] > static["difference_low"] > 0.02
    assert static["ic"] + static["difference"] == pytest.approx(regimes_matter["run"]["ic"], abs=1e-15)
    assert regimes_matter["single_learner"]["verdict"] == ADDED


def test_each_number_is_that_of_its_scores(regimes_matter):
    """Written from the definitions, on the scores of the same market."""
    market = planted(1, sessions=120, entities=3, effect=0.8, stay=0.8)
    plan, found = planted_study(market, config())
    scores = Rivals(plan, found)
    y, _ = scores.returns()
    run, static = scores[scores.run], scores[Recipe(scores.every, "pooled", "single")]
    assert np.isfinite([run, static, y]).all()
    for name, x in (("run", run), ("static", static), ("ridge", scores.ridge)):
        assert regimes_matter[name]["ic"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
        cut = np.quantile(stats.rankdata(x), [0.2, 0.8])
        spread = y[stats.rankdata(x) > cut[1]].mean() - y[stats.rankdata(x) <= cut[0]].mean()
        assert regimes_matter[name]["spread"] == pytest.approx(1e4 * spread, rel=0.02)
    row, sessions = regimes_matter["static"], scores.signals["session"].to_numpy()
    influence = []
    for x in (run, static):
        u, v = (stats.zscore(stats.rankdata(each)) for each in (x, y))
        psi = u * v - (u * v).mean() * (u**2 + v**2) / 2
        influence.append([psi[sessions == day].sum() / len(y) for day in np.unique(sessions)])
    difference = np.subtract(*influence)
    n = len(difference)
    t = row["difference"] / np.sqrt((difference**2).sum() * n / (n - 1))
    assert row["t"] == pytest.approx(t, rel=1e-9)
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(t), n - 1), rel=1e-9)
    assert (row["sessions"], row["rows"], row["scored"]) == (n, len(y), 1.0)


def test_selection_by_regime_and_pooled_selection_are_told_apart(regimes_matter):
    """With at most one feature a regime, pooling must keep the wrong one in one of them."""
    market = planted(3, sessions=120, entities=3, effect=0.9, stay=0.8)
    settings = config()
    few = settings.selection.model_copy(update={"max_features": 1, "min_features": 1})
    settings = settings.model_copy(update={"selection": few})
    families = {"calm": "bars", "bent": "bars", "noise_0": "wire"}
    plan, found = planted_study(market, settings, families=families)
    result = rows(compare(plan, found))
    assert result["pooled_selection"]["verdict"] == ADDED
    assert result["pooled_selection"]["tells"] == "regime-wise selection"
    assert result["pooled_selection"]["difference_low"] > 0.01
    # where every feature may be kept, choosing by regime adds next to nothing
    assert abs(regimes_matter["pooled_selection"]["difference"]) < result["pooled_selection"]["difference"]


@pytest.mark.parametrize("seed", [20, 21, 22])
def test_without_effects_nothing_is_said_to_add(seed):
    market = planted(seed, sessions=75, entities=2, effect=0.0)
    verdicts = {row["verdict"] for row in rows(compare(*planted_study(market, config()))).values()}
    assert verdicts == {None, UNTOLD}


def test_one_regime_is_the_static_model_bit_for_bit():
    market = planted(4, sessions=62, effect=0.6, missing=0.1)
    plan, found = planted_study(market, config(), states=1)
    scores = Rivals(plan, found)
    run = scores[scores.run].tobytes()
    for chosen in ("by_regime", "pooled"):
        for learning in ("mixture", "single"):
            assert scores[Recipe(scores.every, chosen, learning)].tobytes() == run
    result = rows(compare(plan, found))
    for name in ("static", "pooled_selection", "single_learner"):
        assert (result[name]["difference"], result[name]["verdict"]) == (0.0, UNTOLD)
        assert result[name]["p_holm"] is None
        assert "one regime" in result[name]["reason"]
    assert result["ridge"]["reason"].endswith("after 1 look (Holm)")
    # nor is it an effect of what was made already: fitted and selected anew, the static model has the same bits
    regimes = scores._one_regime
    ledger = scores._pooled.ledger()
    anew, _ = mixture.walk_forward_predict(
        found.matrix.frame, found.labels, regimes, ledger, found.refits, plan.config.model, PRIMARY
    )
    joined = scores.signals.select("entity", "decision_time").join(anew, on=["entity", "decision_time"], how="left")
    assert joined["score"].cast(pl.Float64).fill_null(np.nan).to_numpy().tobytes() == run


def test_what_is_alike_is_fitted_once(monkeypatch):
    market = planted(5, sessions=62, effect=0.6)
    plan, found = planted_study(market, config(contribution=True))
    learn, fits = mixture.learn, []

    def counted(*given: Any) -> Any:
        fits.append((given[3], given[2].tobytes(), len(given[1])))
        return learn(*given)

    monkeypatch.setattr(mixture, "learn", counted)
    compare(plan, found)
    assert len(fits) == len(set(fits)) > 0


class TestSources:
    def found(self, market: Planted, **changed: Any) -> dict[str, dict[str, Any]]:
        families = {"always": "bars", "calm": "wire", "noise_0": "wire", "noise_1": "lots"} | changed
        return rows(compare(*planted_study(market, config(contribution=True), states=1, families=families)))

    def test_a_source_that_matters_is_told_and_a_useless_one_is_not(self):
        market = planted(6, sessions=120, entities=3, effect=1.0)
        found = self.found(market)
        assert found["without_news"]["verdict"] == ADDED
        assert found["without_news"]["difference_low"] > 0.05
        assert found["without_alternative"]["verdict"] == UNTOLD
        assert found["prices"]["verdict"] == ADDED
        assert found["best_source"]["verdict"] == ADDED

    def test_the_best_source_is_the_one_with_the_effect(self):
        market = planted(7, sessions=90, entities=3, effect=1.0)
        families = {"always": "lots", "noise_0": "bars", "noise_1": "wire", "noise_2": "wire"}
        plan, found = planted_study(market, config(), states=1, families=families)
        scores = Rivals(plan, found)
        best, chosen = scores.best_source()
        assert chosen == ["lots"] * len(found.refits)
        assert best.tobytes() == scores[Recipe(frozenset({"lots"}))].tobytes()

    def test_one_source_alone_has_no_rows_of_sources(self):
        market = planted(8, sessions=46, effect=1.0)
        found = self.found(market, calm="bars", noise_0="bars", noise_1="bars")
        assert set(found) == {"run", "static", "pooled_selection", "single_learner", "ridge"}


def changing(seed: int, *, sessions: int = 120) -> Planted:
    """`early` forecasts more than `late` but in the last quarter, which makes `late` the better one of the whole."""
    market = planted(seed, sessions=sessions, entities=3, effect=0.0)
    draw = np.random.default_rng(seed)
    late = (market.features["session"] >= market.sessions["session"][3 * sessions // 4]).to_numpy()
    early, other = draw.standard_normal((2, len(late)))
    returns = 1e-3 * (np.where(late, 4 * other, early + 0.7 * other) + draw.standard_normal(len(late)))
    features = market.features.with_columns(pl.Series("early", early), pl.Series("late", other))
    labels = market.labels.with_columns(pl.Series("return_15min", returns))
    return Planted(market.sessions, features, labels, market.observations, market.regime)


OF_CHANGING = {"noise_0": "bars", "early": "wire", "late": "lots"}


def best_until(market: Planted, cut: Any = None) -> tuple[pl.DataFrame, list[str], Study]:
    plan, found = planted_study(market if cut is None else market.until(cut), config(), states=1, families=OF_CHANGING)
    scores = Rivals(plan, found)
    best, chosen = scores.best_source()
    keys = scores.signals.select("entity", "session", "decision_time")
    columns = {
        "best": best,
        "static": scores[Recipe(scores.every, "pooled", "single")],
        "without": scores[Recipe(scores.every - {"wire"})],
    }
    return keys.with_columns(pl.Series(name, values) for name, values in columns.items()), chosen, found


def same_past(market: Planted, full: pl.DataFrame) -> bool:
    """Whether the scores of cut data are those of the whole, to the bit."""
    for session in (50, 80):
        part, _, _ = best_until(market, market.sessions["open"][session] + timedelta(minutes=45))
        known = full.join(part.select("entity", "decision_time"), on=["entity", "decision_time"], how="semi")
        if part.height < 100 or not part.equals(known, null_equal=True):
            return False
    return True


def test_no_model_looks_ahead(monkeypatch):
    """A source that is the best of the whole sample, and not of the past, is not chosen; a choice that sees the whole
    sample is found out by cutting it."""
    market = changing(9)
    full, chosen, found = best_until(market)
    sources = dict(zip([refit.session for refit in found.refits], chosen, strict=True))
    change = market.sessions["session"][90]
    # the first refit has no record out of sample: the p-values of its window tell, by which either may be ahead
    assert [source for session, source in sources.items() if session <= change][1:] == ["wire"] * 4
    assert same_past(market, full)

    def all_of_it(ends: pl.Series, _refit: Refit) -> np.ndarray:
        return np.ones(len(ends), dtype=bool)

    monkeypatch.setattr(module, "_before", all_of_it)
    leaky, chosen, _ = best_until(market)
    assert set(chosen) == {"lots"}
    assert not same_past(market, leaky)


def test_united_selection_is_what_any_regime_kept():
    rows = [("a", 0, 2, True), ("b", 0, 1, True), ("c", 1, 1, True), ("a", 1, None, False), ("b", 1, 2, True)]
    ledger = pl.DataFrame(
        [(day, regime, name, position, kept) for day in (1, 2) for name, regime, position, kept in rows],
        schema=["refit_session", "regime", "feature", "position", "kept"],
        orient="row",
    )
    found = united(ledger)
    assert found.filter(refit_session=2)["feature"].to_list() == ["b", "c", "a"]
    assert found.filter(refit_session=1)["position"].to_list() == [1, 2, 3]
    assert set(found["regime"]) == {0}


class TestAlternative:
    def of(self, **changed: Any) -> RunConfig:
        tree = config().model_dump(mode="json", exclude_none=True)
        return parse(tree | changed)

    def test_by_what_a_source_is(self):
        assert alternative_sources(config()) == {"lots"}
        for wanted in ({"metric": "fill"}, {"metric": "vix", "less": "fill"}, {"mean_of": ["-fill", "vix"]}):
            assert alternative_sources(self.of(regime={"inputs": [wanted | {"entity": "US"}]})) == set()
        of_bars = {"inputs": [{"market": "trend", "sessions": 21}]}
        assert alternative_sources(self.of(regime=of_bars)) == {"lots"}

    def test_by_name(self):
        assert alternative_sources(self.of(evaluation={"alternative": ["wire"]})) == {"wire"}
        assert alternative_sources(self.of(evaluation={"alternative": []})) == set()
        with pytest.raises(ConfigError, match="alternative names 'nobody', which is no source; sources: bars"):
            self.of(evaluation={"alternative": ["nobody"]})
        with pytest.raises(ValidationError):
            EvaluationConfig.model_validate({"comparison": "perhaps"})


class TestDirt:
    def test_without_a_refit(self):
        market = planted(10, sessions=20)
        found = rows(compare(*planted_study(market, config(contribution=True))))
        assert found["static"]["rows"] == 0
        assert found["static"]["verdict"] == UNTOLD
        assert found["static"]["difference_low"] is None

    def test_few_sessions_tell_nothing(self):
        market = planted(11, sessions=33, effect=1.0)
        found = rows(compare(*planted_study(market, config())))["ridge"]
        assert found["sessions"] == 3
        assert (found["verdict"], found["p_holm"], found["ic_low"]) == (UNTOLD, None, None)
        assert found["reason"] == "3 sessions are too few to tell"

    def test_without_a_feature_that_is_kept(self):
        market = planted(12, sessions=62, effect=0.0)
        settings = config()
        strict = settings.selection.model_copy(update={"min_features": 0, "false_discovery_rate": 1e-9})
        plan, found = planted_study(market, settings.model_copy(update={"selection": strict}))
        result = rows(compare(plan, found))
        assert found.ledger["kept"].sum() == 0
        assert all(row["rows"] == 0 and row["ic"] == 0 for row in result.values())
        assert result["static"]["reason"] == "no model has a score out of sample"


def test_a_sample_of_sessions_is_told_by_their_runs():
    days = pl.Series([1, 1, 2, 3, 3, 3])
    sample = PairedSample.of(np.arange(6.0), days, PRIMARY, EvaluationConfig(bootstrap=100))
    assert sample.offsets.tolist() == [0, 2, 3, 6]
    assert sample.resamples.sum(axis=1).tolist() == [3.0] * 100
    x = np.array([1.0, 3, 2, 5, 4, 6])
    assert sample.ic(x).value == float(rank_moments(x, sample.y, sample.offsets).correlation(np.ones(3)))


def test_families_name_the_sources_of_the_config():
    assert set(FAMILIES.values()) == set(config().sources)


def test_what_is_said_of_regimes_does_not_depend_on_the_question_about_sources():
    market = planted(13, sessions=62, effect=0.5)
    alone = rows(compare(*planted_study(market, config())))
    with_sources = rows(compare(*planted_study(market, config(contribution=True))))
    assert len(with_sources) > len(alone)
    assert {name: with_sources[name] for name in alone} == alone
    assert "after 4 looks" in alone["static"]["reason"]
    assert "after 4 looks" in with_sources["prices"]["reason"]


class TestReport:
    def run(self, folder: Path, found: pl.DataFrame) -> RunFolder:
        write_run(folder, effect=0.05)
        found.write_parquet(folder / "comparison.parquet")
        return RunFolder(folder)

    def test_says_what_regimes_added(self, tmp_path, regimes_matter):
        run = self.run(tmp_path, pl.DataFrame(list(regimes_matter.values()), schema=COMPARISON))
        selected, whole = sentences(run)
        assert selected.startswith("Regime-wise selection ")
        assert "less that of selection pooled over the regimes is " in selected
        assert whole.startswith("Regimes as a whole added information: ")
        assert "after 4 looks (Holm)." in whole
        page = render(run)
        assert "Is it better than simpler models?" in page
        assert "selection by regime, one model" in page
        assert whole.split(":")[0] in page

    def test_says_that_there_is_one_regime(self, tmp_path):
        market = planted(14, sessions=62, effect=0.5)
        run = self.run(tmp_path, compare(*planted_study(market, config(), states=1)))
        assert sentences(run) == ["The run has one regime, so that choosing features by regime adds nothing."]
        assert "one static model: the run has one regime" in render(run)

    def test_says_nothing_where_nothing_was_asked(self, tmp_path):
        run = RunFolder(write_run(tmp_path))
        assert sentences(run) == []
        assert "simpler models" not in render(run)

    def test_without_a_score_nothing_is_drawn(self, tmp_path):
        market = planted(15, sessions=20)
        run = self.run(tmp_path, compare(*planted_study(market, config())))
        assert sentences(run) == []
        assert "no model has a score out of sample" in render(run)
