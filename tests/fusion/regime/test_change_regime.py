"""The regime of recent changes: the fitted law, what is planted, and that a law given is a law kept."""

import numpy as np
import pytest
from chains import daily
from planted import session_table
from pydantic import ValidationError

from fusion.regime import RegimeConfig, filter_regimes
from fusion.regime.change_point import Law, fit_law
from fusion.regime.options import ChangePointConfig
from fusion.walk_forward import WalkForwardConfig, schedule
from gpu_kernels.change_point import run_lengths


def drawn(seed: int, rows: int, law: Law) -> tuple[np.ndarray, np.ndarray]:
    """(T,) whether a run begins, and (T, 1): runs of the law."""
    rng = np.random.default_rng(seed)
    begins = rng.random(rows) < 1.0 / law.expected_run
    begins[0] = True
    run = np.cumsum(begins) - 1
    spread = 1.0 / np.sqrt(rng.gamma(law.shape, 1.0 / (law.shape * law.spread), run[-1] + 1))
    level = rng.normal(size=run[-1] + 1) * spread / np.sqrt(law.weight)
    return begins, (level[run] + rng.normal(size=rows) * spread[run])[:, None]


def predictive(x: np.ndarray, law: Law) -> float:
    scale = np.full(x.shape[1], law.spread * law.shape)
    told = run_lengths(
        np.ascontiguousarray(x.T),
        np.zeros(x.shape[1]),
        scale,
        np.array([0, len(x)]),
        hazard=1.0 / law.expected_run,
        weight=law.weight,
        shape=law.shape,
        within=1,
    )
    return float(told[2].sum())


class TestLaw:
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_predicts_as_well_as_the_one_that_the_series_came_from(self, seed: int) -> None:
        true = Law(60.0, 0.2, 4.0, 0.3)
        begins, x = drawn(seed, 1500, true)
        found = fit_law(x, ChangePointConfig(expected_run=None))
        assert predictive(x, found) > predictive(x, true) - 0.5
        assert found.expected_run == pytest.approx(1500 / begins.sum(), rel=0.6)
        assert found.spread == pytest.approx(0.3, rel=0.7)

    def test_what_is_given_is_kept(self) -> None:
        _, x = drawn(3, 300, Law(60.0, 0.2, 4.0, 0.3))
        asked = ChangePointConfig(expected_run=33, shape=7)
        found = fit_law(x, asked)
        assert (found.expected_run, found.shape) == (33, 7)
        assert predictive(x, found) > predictive(x, Law(33, 0.5, 7, 0.5))
        whole = ChangePointConfig(expected_run=33, weight=1, shape=7, spread=2)
        assert fit_law(x[:1], whole) == Law(33, 1, 7, 2)

    def test_a_series_without_changes_gets_long_runs(self) -> None:
        quiet = np.random.default_rng(4).normal(size=(1000, 1))
        assert fit_law(quiet, ChangePointConfig(expected_run=None)).expected_run > 500
        assert fit_law(quiet).expected_run == 100


class TestModel:
    def test_finds_planted_changes(self) -> None:
        """Changes every 60 rows, with a law fitted on the first half."""
        state = np.arange(1200) // 60 % 2
        x = (4.0 * state + np.random.default_rng(7).normal(size=1200) * (1.0 + state))[:, None]
        refit = schedule(session_table(601), WalkForwardConfig(train_sessions=600))[0]
        config = RegimeConfig(model="change_point", change_point={"within": 10})
        model = filter_regimes(daily(x)[1], [refit], config).models[0]
        changed = model.filter(x)[600:, 1]
        since = np.arange(600) % 60
        found = [bool((changed[60 * k : 60 * k + 10] > 0.5).any()) for k in range(10)]
        assert sum(found) >= 9
        assert changed[since >= 30].mean() < 0.2

    def test_the_law_is_of_the_last_rows_of_the_past(self) -> None:
        _, x = drawn(6, 300, Law(60.0, 0.2, 4.0, 0.3))
        x[280] = np.nan
        asked = ChangePointConfig(search_rows=100)
        refit = schedule(session_table(301), WalkForwardConfig(train_sessions=300))[0]
        config = RegimeConfig(model="change_point", change_point=asked)
        model = filter_regimes(daily(x)[1], [refit], config).models[0]
        seen = ((x - model.centre) / model.scale)[np.isfinite(x[:, 0])]
        assert tuple(model.law) == fit_law(seen[-100:], asked)
        assert model.centre[0] == pytest.approx(np.nanmean(x))

    def test_length_counts_back_to_the_change(self) -> None:
        x = np.concatenate([np.zeros(100), np.full(100, 8.0)])[:, None] + np.random.default_rng(5).normal(size=(200, 1))
        refit = schedule(session_table(201), WalkForwardConfig(train_sessions=200))[0]
        model = filter_regimes(daily(x)[1], [refit], RegimeConfig(model="change_point")).models[0]
        changed, length, _, discarded = model.run_lengths(x)
        assert length[150] == pytest.approx(51, abs=2)
        assert changed[100:109].min() > 0.9
        assert changed[115] < 0.1
        assert discarded.max() == 0.0
        assert model.log_likelihood == pytest.approx(
            predictive((x - model.centre) / model.scale, Law(*model.law)) - 200 * np.log(model.scale[0]), abs=1e-6
        )


def test_config() -> None:
    config = RegimeConfig.model_validate(
        {"model": "change_point", "inputs": [{"metric": "x", "entity": "US"}], "states": 4}
    )
    assert config.regimes == 2
    for wrong in (
        {"within": 0},
        {"expected_run": 1},
        {"weight": 0},
        {"hypotheses": 1},
        {"hazard": 0.1},
        {"shape": "x"},
    ):
        with pytest.raises(ValidationError):
            ChangePointConfig.model_validate(wrong)
