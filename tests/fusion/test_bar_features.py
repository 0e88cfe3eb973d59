"""Names of features of bars, their groups, and windows that cross sessions."""

import re
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from small_market import CONFIGS
from test_features import GRID, GRID_NS, MAX_AGE, make_bars, rsi

from fusion.config import parse
from fusion.features import bar
from fusion.features.choice import chosen, left_out
from fusion.plan import make_plan
from fusion.volatility.settings import VolatilityConfig
from gpu_kernels.errors import ConfigError
from sources.stream import in_order

CONFIG: dict[str, Any] = {
    "name": "x",
    "entities": ["A"],
    "start": "2024-07-02",
    "end": "2024-07-03",
    "sources": {
        "bars": {"kind": "table_file", "table": "bar", "files": "x.csv", "timezone": "UTC", "max_age": "10min"},
        "calendar": {
            "kind": "calendar_file",
            "files": "x.csv",
            "timezone": "UTC",
            "kinds": {"fomc": ["Fed"]},
            "announced": "7d",
        },
    },
    "decisions": {"step": "5min"},
    "targets": {"horizons": ["5min"], "primary": "5min"},
}


def config(bars: Any, **volatility: Any) -> Any:
    return parse(CONFIG | {"features": {"bars": bars}, "volatility": volatility})


class TestNames:
    def test_a_parameter_may_be_any(self) -> None:
        found = bar.asked("bar_rsi_21")
        assert (found.feature.spec.name, found.parameters, found.across) == ("bar_rsi_<bars>", (21,), False)
        assert bar.asked("bar_rsi_21_across").across

    def test_groups_and_names_may_stand_together_in_any_order(self) -> None:
        price = bar.names_of("price", VolatilityConfig(), entities=1)
        assert chosen(config(["bar_rsi_21", "price", "bar_rsi_14"]), "bars") == ["bar_rsi_21", *price]
        assert chosen(config("all"), "bars")[: len(price)] == price

    def test_the_standard_names_of_each_group_are_read_as_such(self) -> None:
        for features in bar.GROUPS.values():
            for feature in features:
                for name, parameters in zip(feature.names, feature.standard, strict=True):
                    found = bar.asked(name)
                    assert (found.feature.spec.name, found.parameters) == (feature.spec.name, parameters)

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("bar_rsi", "no feature 'bar_rsi'; did you mean bar_rsi_14"),
            ("adx", "no feature 'adx'; did you mean bar_adx_14"),
            ("bollinger", "did you mean bar_bollinger_width_20 or bar_bollinger_position_20"),
            ("bar_ppo", "did you mean bar_ppo_<fast>_<slow>"),
            ("volatlity", "did you mean volatility"),
            ("xyzzy", "no feature 'xyzzy'; `trifuse schema bar`"),
            ("bar_rsi_0", "has the parameter 0"),
            ("bar_rsi_99999999", "has the parameter 99999999"),
            ("bar_zscore_1", "needs 2 bars"),
            ("bar_return_5_across", "bar_return_5 does not go on across sessions"),
            ("bar_rsi_14_acros", "did you mean bar_rsi_14"),
        ],
    )
    def test_a_name_that_is_none_is_told(self, name: str, told: str) -> None:
        with pytest.raises(ConfigError, match=f"^features.bars: .*{told}") as error:
            chosen(config([name]), "bars")
        assert len(str(error.value)) < 200

    def test_one_name_is_a_list_of_one(self) -> None:
        assert config("price").features["bars"] == ["price"]
        with pytest.raises(ConfigError, match=r"features\.bars: names of features are a list, .* or all \(got 5\)"):
            config(5)


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"events": "bars"}, "volatility.events is 'bars'; allowed: a source of table event"),
            ({"events": "news"}, "volatility.events is 'news'; allowed: a source of table event"),
            ({"market": "HY"}, "volatility.market is 'HY'; allowed: one of entities, A"),
            ({"interval": "0s"}, "volatility.interval"),
            ({"intervall": "5min"}, "volatility.intervall is not a known key"),
        ],
    )
    def test_what_cannot_be_is_refused_before_files_are_read(self, options: dict[str, str], told: str) -> None:
        with pytest.raises(ConfigError, match=told):
            config("all", **options)

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"interval": "7h"}, "the longest session has 0 slots of 7h .* allowed: 1 or more"),
            ({"first": "4h", "last": "4h"}, "the longest session has 0 slots"),
            ({"interval": "1h", "pattern": "fourier"}, "has 6 slots of 1h .* allowed: 13 or more"),
        ],
    )
    def test_sessions_too_short_for_the_slots_are_refused(
        self, options: dict[str, str], told: str, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError, match=told):
            make_plan(config("all", **options), tmp_path)

    def test_all_tells_what_it_leaves_out(self) -> None:
        lacking = {f.needs for features in bar.GROUPS.values() for f in features if f.needs}
        said = " ".join(left_out(config("all")))
        assert all(f"for want of volatility.{option}" in said for option in lacking)
        assert "bar_relative_return_15 (for want of a second entity)" in said
        two = config("all", events="calendar", market="A").model_copy(update={"entities": ["A", "B"]})
        assert left_out(two) == []
        assert "bar_relative_return_15" in chosen(two, "bars")

    def test_groups_leave_out_a_comparison_of_one_entity(self) -> None:
        for asked in ("all", ["price"]):
            assert "bar_relative_return_15" not in chosen(config(asked), "bars")
        assert "bar_relative_return_15 (for want" in left_out(config(["price"]))[0]

    def test_a_time_of_no_whole_slots_is_refused_before_files_are_read(self, tmp_path: Path) -> None:
        names = ["bar_forecast_15min", "bar_realised_over_expected_1h", "bar_market_beta_1h"]
        for name in names:
            told = rf"{name}', of .* slots; allowed: a <time> .* multiple of volatility\.interval, 7min; ask for"
            with pytest.raises(ConfigError, match=told):
                make_plan(config([name], interval="7min", market="A"), tmp_path)
        assert chosen(config(["bar_forecast_14min"], interval="7min"), "bars") == ["bar_forecast_14min"]

    def test_groups_leave_out_times_of_no_whole_slots(self) -> None:
        found = config(["diurnal"], interval="10min")
        assert "bar_expected_variance_1h" in chosen(found, "bars")
        assert "bar_expected_variance_15min" not in chosen(found, "bars")
        assert (
            "bar_expected_variance_15min (for want of a volatility.interval that divides 15min)" in left_out(found)[0]
        )

    def test_a_group_of_which_nothing_is_left_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"names 'market', all of which needs volatility\.market"):
            chosen(config(["price", "market"]), "bars")
        assert len(chosen(config(["market"], market="A"), "bars")) == 2


def test_what_the_docs_write_can_be_written() -> None:
    text = (CONFIGS.parent / "docs" / "bar_features.md").read_text()
    wanted, options = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    found = parse(CONFIG | wanted | options | {"entities": ["SPY"]})
    assert chosen(found, "bars")[-2:] == ["bar_macd_5_13_6", "bar_ewma_variance_60_across"]
    groups = re.findall(r"^\| `([a-z]+)` \|", text, re.MULTILINE)
    assert groups == list(bar.GROUPS)


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp()) * 10**9


def test_windows_across_sessions() -> None:
    stream, _ = in_order(make_bars(), "bar")
    found = bar.compute(stream, GRID, ["bar_rsi_14_across", "bar_rsi_14"], MAX_AGE)
    expected = []
    rows = {entity: part.sort("event_time").to_dicts() for (entity,), part in stream.group_by("entity")}
    for (entity, day), at in zip(GRID.select("entity", "session").iter_rows(), GRID_NS, strict=True):
        known = [row for row in rows.get(entity, []) if _nanoseconds(row["known_time"]) <= at]
        fresh = known and known[-1]["session"] == day and at - _nanoseconds(known[-1]["event_time"]) <= MAX_AGE
        expected.append(rsi([row["close"] for row in known]) if fresh and len(known) > 14 else np.nan)
    np.testing.assert_allclose(found["bar_rsi_14_across"], expected, rtol=1e-9)
    first_of_second = pl.Series(np.isnan(found["bar_rsi_14"]) & ~np.isnan(found["bar_rsi_14_across"]))
    assert first_of_second.any(), "no decision early in the second session, which the other windows do not reach"


def test_measures_across_sessions_step_over_the_night() -> None:
    """The last 30 one-bar returns of an entity, none of which is over a night."""
    stream, _ = in_order(make_bars(), "bar")
    names = ["bar_realised_variance_30", "bar_semivariance_up_30", "bar_parkinson_30"]
    found = bar.compute(stream, GRID, [f"{name}_across" for name in names] + names, MAX_AGE)
    rows = {entity: part.sort("event_time").to_dicts() for (entity,), part in stream.group_by("entity")}
    expected: dict[str, list[float]] = {name: [] for name in names}
    for (entity, day), at in zip(GRID.select("entity", "session").iter_rows(), GRID_NS, strict=True):
        known = [row for row in rows.get(entity, []) if _nanoseconds(row["known_time"]) <= at]
        fresh = known and known[-1]["session"] == day and at - _nanoseconds(known[-1]["event_time"]) <= MAX_AGE
        returns = np.array(
            [np.log(b["close"] / a["close"]) for a, b in pairwise(known) if a["session"] == b["session"]][-30:]
        )
        ranges = np.array([np.log(row["high"] / row["low"]) for row in known[-30:]])
        enough = fresh and len(returns) == 30
        expected[names[0]].append(1e8 * (returns**2).sum() if enough else np.nan)
        expected[names[1]].append(1e8 * (returns[returns > 0] ** 2).sum() if enough else np.nan)
        expected[names[2]].append(1e8 * (ranges**2).mean() / (4 * np.log(2)) if fresh and len(ranges) == 30 else np.nan)
    for name in names:
        np.testing.assert_allclose(found[f"{name}_across"], expected[name], rtol=1e-9)
        assert (np.isnan(found[name]) & ~np.isnan(found[f"{name}_across"])).any()
