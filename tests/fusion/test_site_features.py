"""Features of sites and regions: against their definitions, under the one rule, and on stores whose truth is known."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
import site_naive
from hypothesis import given, settings
from hypothesis import strategies as st
from site_tables import DAY, HOUR, SECOND, START, cut, day_after_start, frame, grid, random_tables

from fusion.features import region, site
from fusion.features.observed import local_clock
from fusion.features.site_members import tenures
from fusion.features.site_names import REGION_GROUPS, SITE_GROUPS, asked, names_of
from gpu_kernels.errors import ConfigError
from sources.schema import TIME
from sources.site_rules import MatchingRules
from sources.sites import sites_at

SITES = [*names_of(SITE_GROUPS, "fill"), "site_acceleration_fill_28d"]
REGIONS = [*names_of(REGION_GROUPS, "visits"), "region_change_visits_364d"]
RULES = MatchingRules(days=10, hours="5h", least=3, shrink=4.0)
MAX_AGE, REGION_MAX_AGE = 45 * DAY, 4 * DAY


def computed(metrics: pl.DataFrame, sites: pl.DataFrame, at: pl.DataFrame, rules: MatchingRules = RULES) -> dict:
    found = site.compute(metrics, sites, at, SITES, MAX_AGE, rules)
    return found | region.compute(metrics, sites, at, REGIONS, REGION_MAX_AGE, rules)


class TestDefinitions:
    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("change", ["difference", "log"])
    def test_equals_its_definition(self, seed: int, change: str) -> None:
        rules = RULES.model_copy(update={"change": change, "min_valid": 0.3 * (seed == 3)})
        metrics, sites, at = random_tables(seed)
        if change == "log":
            metrics = metrics.with_columns(pl.when(pl.col("metric") == "fill").then("value"))
        found = computed(metrics, sites, at, rules)
        rows, facts = site_naive.as_dicts(metrics), site_naive.as_dicts(sites)
        for place, decision in enumerate(site_naive.as_dicts(at)):
            day = site_naive.Day(rows, facts, decision["entity"], decision["decision_time"], MAX_AGE, rules)
            for name in SITES:
                one = asked(SITE_GROUPS, name)
                what = {"staleness": "age"}.get(one.what, one.what)
                wanted = site_naive.site_feature(day, what, one.time)
                assert found[name][place] == pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True), (name, decision)
            day.max_age = REGION_MAX_AGE
            for name in REGIONS if change == "difference" else []:
                one = asked(REGION_GROUPS, name)
                wanted = site_naive.region_feature(day, one.what, one.time)
                assert found[name][place] == pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True), (name, decision)
        told = {name: np.isfinite(values).sum() for name, values in found.items()}
        assert min(n for name, n in told.items() if change == "difference" or "site" in name) > 1, told


class TestTheOneRule:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 10**6), st.integers(60, 640))
    def test_rows_known_later_change_no_bit(self, seed: int, day: int) -> None:
        metrics, sites, at = random_tables(seed)
        moment = day_after_start(day)
        known = at.filter(pl.col("decision_time") <= moment)
        full, part = computed(metrics, sites, at), computed(cut(metrics, moment), cut(sites, moment), known)
        there = at.select(pl.col("decision_time") <= moment).to_series().to_numpy()
        for name, values in part.items():
            assert values.tobytes() == full[name][there].tobytes(), name

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 10**6), st.integers(60, 640), st.integers(0, 10**6))
    def test_rows_of_another_world_known_later_change_no_bit(self, seed: int, day: int, other: int) -> None:
        """What comes later may be anything, on any site and about any time."""
        moment = day_after_start(day)
        metrics, sites, at = random_tables(seed)
        known = at.filter(pl.col("decision_time") <= moment)
        more = random_tables(other)
        mixed = []
        for mine, theirs in ((metrics, more[0]), (sites, more[1])):
            later = theirs.filter(pl.col("known_time") > moment)
            mixed.append(pl.concat([cut(mine, moment), later]).sort("entity", "known_time", maintain_order=True))
        alone, together = computed(cut(metrics, moment), cut(sites, moment), known), computed(*mixed, known)
        for name, values in alone.items():
            assert values.tobytes() == together[name].tobytes(), name

    def test_each_ticker_alone_has_the_same_bits(self) -> None:
        metrics, sites, at = random_tables(5)
        whole = computed(metrics, sites, at)
        for entity in at["entity"].unique():
            others = [other for other in at["entity"].unique() if other != entity]
            part = computed(
                metrics.filter(~pl.col("entity").is_in(others)), sites, at.filter(pl.col("entity") == entity)
            )
            for name, values in part.items():
                assert values.tobytes() == whole[name][(at["entity"] == entity).to_numpy()].tobytes(), name


class TestTenures:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10**6), st.integers(-100, 700))
    def test_a_ticker_has_the_sites_that_sites_at_tells(self, seed: int, day: int) -> None:
        _, sites, _ = random_tables(seed)
        at, moment = START + day * DAY, day_after_start(day)
        held = tenures(sites).filter(pl.col("start") <= at, at < pl.col("stop")).sort("entity", "site")
        wanted = sites_at(sites, moment)
        assert held.select("entity", "site").equals(wanted.select("entity", "site"))
        assert not held.select("entity", "site").is_duplicated().any()

    def test_a_gap_ends_a_stay_and_a_new_ticker_does_not(self) -> None:
        one = {"site": "s", "latitude": 0.0, "longitude": 0.0, "known_time": START}
        rows = [
            one | {"entity": "OLD", "event_time": START - 900 * DAY, "valid_to": START - 500 * DAY},
            one | {"entity": "OLD", "event_time": START - 400 * DAY, "valid_to": START - 90 * DAY},
            one | {"entity": "NEW", "event_time": START - 90 * DAY},
        ]
        assert tenures(frame("site", rows)).rows() == [
            ("NEW", "s", START, 2**63 - 1, START - 400 * DAY, 0.0),
        ]

    def test_a_place_found_out_later_changes_no_clock(self) -> None:
        one = {"site": "s", "entity": "AAA", "latitude": 0.0, "event_time": START - 9 * DAY}
        rows = [
            one | {"longitude": -75.0, "known_time": START - 9 * DAY},
            one | {"longitude": 15.0, "known_time": START},
        ]
        assert set(tenures(frame("site", rows))["longitude"]) == {-75.0}

    def test_what_another_ticker_goes_on_having_is_not_taken_over(self) -> None:
        """Two chains number their stores alike, and the older one keeps its own."""
        one = {"site": "s", "latitude": 0.0, "longitude": 0.0, "known_time": START - 900 * DAY}
        rows = [
            one | {"entity": "OLD", "event_time": START - 900 * DAY, "valid_to": START + 90 * DAY},
            one | {"entity": "NEW", "event_time": START - 90 * DAY},
        ]
        assert tenures(frame("site", rows)).filter(pl.col("entity") == "NEW")["since"].to_list() == [START - 90 * DAY]

    def test_weights_of_regions_are_those_known_then(self) -> None:
        """A store moves from one region's count to another's on the day on which that becomes known."""
        base = {"entity": "AAA", "site": "s", "latitude": 0.0, "longitude": 0.0, "event_time": START - 9 * DAY}
        sites = [base | {"known_time": START - 9 * DAY, "region": "R1"}, base | {"known_time": START, "region": "R2"}]
        value = {"metric": "visits", "event_time": START - 3 * DAY, "known_time": START - 3 * DAY}
        metrics = [value | {"entity": "R1", "value": 1.0}, value | {"entity": "R2", "value": 2.0}]
        at = grid(["AAA"], [-2, 1])
        found = region.compute(frame("metric", metrics), frame("site", sites), at, ["region_visits"], MAX_AGE, RULES)
        assert found["region_visits"].tolist() == [1.0, 2.0]


def weekly(site_name: str, values: list[float | None], first_week: int = 0, **more: object) -> list[dict]:
    """Observations of one site, one a week at the same hour, delivered five days later; None: clouds."""
    row = {"entity": "", "site": site_name, "metric": "fill"} | more
    times = [START + (first_week + week) * 7 * DAY + 15 * HOUR for week in range(len(values))]
    return [
        row | {"event_time": time, "known_time": time + 5 * DAY, "value": value}
        for time, value in zip(times, values, strict=True)
        if value is not None
    ]


def store(site_name: str, **more: object) -> dict:
    base = {"entity": "AAA", "site": site_name, "latitude": 40.0, "longitude": -75.0, "region": "R1"}
    return base | {"event_time": START - 900 * DAY, "known_time": START - 800 * DAY} | more


class TestMissing:
    def yoy(self, metrics: list[dict], sites: list[dict], day: int = 380, **rules: object) -> tuple[float, float]:
        names, at = ["site_yoy_fill", "site_count_fill"], grid(["AAA"], [day])
        found = site.compute(frame("metric", metrics), frame("site", sites), at, names, MAX_AGE, MatchingRules(**rules))
        return tuple(found[name][0] for name in names)  # type: ignore[return-value]

    def test_no_store_is_missing_and_none_comparable_counts_0(self) -> None:
        rows = weekly("s", [0.5] * 60)
        assert np.isnan(self.yoy(rows, [])).all()
        value, count = self.yoy(weekly("s", [0.5] * 60, 5), [store("s")])
        assert np.isnan(value)
        assert count == 0

    def test_an_opening_is_no_growth(self) -> None:
        """Observed as a building site a year before it opened, it is not in the same-store set."""
        rows = weekly("old", [0.5] * 60) + weekly("new", [0.0] * 30 + [0.6] * 30)
        sites = [store("old"), store("new", event_time=START + 210 * DAY, known_time=START + 200 * DAY)]
        assert self.yoy(rows, sites, shrink=0) == (0.0, 1.0)

    def test_a_closing_counts_from_when_it_is_known(self) -> None:
        rows = weekly("a", [0.5] * 60) + weekly("b", [0.5] * 52 + [0.1] * 8)
        closed = store("b", valid_to=START + 370 * DAY)
        for known, count in ((375, 1.0), (390, 2.0)):
            sites = [store("a"), store("b"), closed | {"known_time": START + known * DAY}]
            assert self.yoy(rows, sites, day=380)[1] == count

    def test_an_empty_car_park_is_a_zero_and_clouds_are_not(self) -> None:
        empty = weekly("s", [0.5] * 52 + [0.0] * 8)
        assert self.yoy(empty, [store("s")], shrink=0)[0] == -0.5
        clouds = weekly("s", [0.5] * 51 + [None] * 9)
        value, _ = self.yoy(clouds, [store("s")], day=51 * 7 + 60)
        assert np.isnan(value)  # the last one is older than max_age

    def test_shrinks_by_the_number_of_sites(self) -> None:
        rows, sites = [], []
        for number in range(6):
            rows += weekly(f"s{number}", [0.4] * 52 + [0.6] * 8)
            sites.append(store(f"s{number}"))
        for count in (1, 3, 6):
            value, used = self.yoy(rows, sites[:count], shrink=3)
            assert used == count
            assert value == pytest.approx(0.2 * count / (count + 3))

    def test_rows_filed_under_a_ticker_are_of_that_one(self) -> None:
        rows = weekly("s", [0.5] * 60, entity="BBB")
        assert self.yoy(rows, [store("s")])[1] == 0
        assert self.yoy(weekly("s", [0.5] * 60, entity="AAA"), [store("s")])[1] == 1


class TestClocks:
    def test_a_zone_has_summer_time_and_a_longitude_does_not(self) -> None:
        moments = [datetime(2023, 1, 6, 15, tzinfo=UTC), datetime(2023, 7, 7, 15, tzinfo=UTC)]
        rows = pl.DataFrame({"event_time": pl.Series(moments, dtype=TIME), "longitude": [-75.0, None]})
        hours = [local_clock(rows, zone) % DAY / HOUR for zone in ("America/New_York", None)]
        assert hours[0].tolist() == [10, 11]
        assert hours[1].tolist() == [10, 15]
        assert (local_clock(rows.drop("longitude"), None) % DAY / HOUR).tolist() == [15, 15]

    def test_the_zone_decides_what_is_like(self) -> None:
        """15:00 UTC of two Tuesdays 364 days apart: summer time had begun in 2020 and not yet in 2021."""
        base = {"entity": "", "site": "s", "metric": "fill", "value": 0.5}
        moments = (datetime(2020, 3, 10, 15, tzinfo=UTC), datetime(2021, 3, 9, 15, tzinfo=UTC))
        times = [int(moment.timestamp()) * SECOND for moment in moments]
        metrics = frame("metric", [base | {"event_time": time, "known_time": time} for time in times])
        sites, at = frame("site", [store("s", longitude=-75.0)]), grid(["AAA"], [(times[1] - START) // DAY])
        for zone, count in ((None, 1.0), ("America/New_York", 0.0)):
            rules = MatchingRules(zone=zone, hours="30min")
            assert site.compute(metrics, sites, at, ["site_count_fill"], MAX_AGE, rules)["site_count_fill"][0] == count


class TestPlantedTruth:
    """Weekly pictures of 400 stores at their own weekday: half of them under clouds, delivered after five days, some
    corrected later; the chain's fill rose by `EFFECT` a year on some days, and each store goes its own way."""

    EFFECT, BETWEEN = 0.04, 0.05

    def tables(self, stores: int, seed: int = 3) -> tuple[pl.DataFrame, pl.DataFrame]:
        rng = np.random.default_rng(seed)
        metrics, sites = [], []
        for number in range(stores):
            name, base, own = f"s{number:03d}", rng.uniform(0.3, 0.6), rng.normal(0, self.BETWEEN)
            noise = float(rng.choice([0.03, 0.12]))
            weeks = np.arange(80)
            truth = base + 0.1 * np.sin(2 * np.pi * weeks / 52) + np.where(weeks >= 52, self.EFFECT + own, 0.0)
            seen = truth + rng.normal(0, noise, 80)
            values = [None if rng.random() < 0.5 else float(x) for x in seen]
            rows = weekly(name, values, std=noise)
            shift = int(rng.integers(0, 7)) * DAY
            for row in rows:
                row["event_time"] += shift
                row["known_time"] += shift
            revised = [row for row in rows if rng.random() < 0.1]
            metrics += [row | {"value": row["value"] + 0.3} for row in revised]  # a first print that was wrong
            metrics += [row for row in rows if row not in revised]
            metrics += [row | {"known_time": row["known_time"] + 2 * DAY} for row in revised]
            sites.append(store(name))
        return frame("metric", metrics), frame("site", sites)

    def test_the_change_is_found_and_shrunk_as_said(self) -> None:
        metrics, sites = self.tables(400)
        at = grid(["AAA"], [300, 420, 450, 480, 510])
        names = [f"site_{what}_fill" for what in ("yoy", "count", "coverage")]
        found = site.compute(metrics, sites, at, names, 30 * DAY, MatchingRules(shrink=10, days=7))
        value, count, coverage = (found[name] for name in names)
        assert np.isnan(value[0])
        assert count[0] == 0
        assert (count[1:] > 150).all()
        np.testing.assert_allclose(coverage[1:], count[1:] / 400)
        raw = value[1:] * (count[1:] + 10) / count[1:]
        # the change has a standard deviation of some 0.1 over stores: of the median of 300, 0.0075
        np.testing.assert_allclose(raw, self.EFFECT, atol=4 * 0.0075)
        assert abs(raw.mean() - self.EFFECT) < 0.012

    def test_shrinking_lowers_the_error_of_few_stores(self) -> None:
        """Chains of 2 stores whose true change is small beside what a store's picture tells."""
        rng, raw, shrunk = np.random.default_rng(0), [], []
        for seed in range(60):
            metrics, sites = self.tables(2, seed)
            truth = rng.normal(0, 0.03)
            shifted = metrics.with_columns(
                pl.when(pl.col("event_time") >= day_after_start(364))
                .then(pl.col("value") - self.EFFECT + truth)
                .otherwise("value")
            )
            at = grid(["AAA"], [450])
            for shrink, errors in ((0, raw), (10, shrunk)):
                rules = MatchingRules(shrink=shrink)
                found = site.compute(shifted, sites, at, ["site_yoy_fill"], 30 * DAY, rules)["site_yoy_fill"][0]
                errors.append(found - truth)
        raw, shrunk = (np.array(errors)[np.isfinite(errors)] for errors in (raw, shrunk))
        assert len(raw) > 30
        assert (shrunk**2).mean() < 0.5 * (raw**2).mean()


class TestNames:
    def test_a_metric_stands_for_all_and_a_group_for_its_own(self) -> None:
        assert names_of(SITE_GROUPS, "expectation_fill") == ["site_surprise_fill"]
        assert names_of(SITE_GROUPS, "site_yoy_fill") == ["site_yoy_fill"]
        assert "site_acceleration_fill_91d" in names_of(SITE_GROUPS, "fill")
        assert set(names_of(REGION_GROUPS, "fill")) >= {"region_fill", "region_change_fill_28d"}
        assert asked(REGION_GROUPS, "region_change_fill_364d").metric == "fill"

    @pytest.mark.parametrize("name", ["site_yo_fill", "metric_fill", "region_fill", "site_acceleration_fill"])
    def test_a_slip_is_told(self, name: str) -> None:
        with pytest.raises(ConfigError, match=f"no feature '{name}'; allowed: site_yoy_<metric>"):
            names_of(SITE_GROUPS, name)
