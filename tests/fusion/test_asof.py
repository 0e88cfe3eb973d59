"""Tables onto the grid: the as-of rule against its definition, read off row by row."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.asof import align, align_stream, as_of, segment_offsets
from gpu_kernels.errors import DataError

TIME = pl.Datetime("ns", "UTC")
MINUTE = 60 * 10**9


def table(rows: list[tuple[str, int, int, float]]) -> pl.DataFrame:
    schema = {"entity": pl.String(), "event_time": pl.Int64(), "known_time": pl.Int64(), "value": pl.Float64()}
    frame = pl.DataFrame(rows, schema=schema, orient="row").sort("known_time", maintain_order=True)
    return frame.with_columns(pl.col("event_time", "known_time").cast(TIME))


def grid(rows: list[tuple[str, int]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"entity": pl.String(), "decision_time": pl.Int64()}, orient="row")
    return frame.with_columns(pl.col("decision_time").cast(TIME)).sort("entity", "decision_time")


def naive(rows: pl.DataFrame, decisions: pl.DataFrame, max_age: int) -> list[float]:
    """The definition: filter, latest vintage of each event_time, latest event_time, age limit."""
    found = []
    for entity, at in decisions.select("entity", pl.col("decision_time").dt.epoch("ns")).iter_rows():
        vintages: dict[int, float] = {}
        for name, event, known, value in rows.select(
            "entity", pl.col("event_time").dt.epoch("ns"), pl.col("known_time").dt.epoch("ns"), "value"
        ).iter_rows():
            if name == entity and known <= at:
                vintages[event] = value  # rows come in order of known_time: the later one replaces
        latest = max(vintages, default=None)
        found.append(vintages[latest] if latest is not None and at - latest <= max_age else np.nan)
    return found


small = st.integers(0, 8)
row = st.tuples(st.sampled_from("ABC"), small, small, st.floats(-5, 5))


class TestAsOf:
    @settings(max_examples=500, deadline=None)
    @given(st.lists(row, max_size=14), st.lists(st.tuples(st.sampled_from("AB"), small), max_size=8), small)
    def test_equals_the_definition(
        self, rows: list[tuple[str, int, int, float]], decisions: list[tuple[str, int]], max_age: int
    ) -> None:
        known, asked = table(rows), grid(decisions)
        aligned = as_of(known, asked, ["entity"], max_age)
        taken = aligned.take(aligned.rows["value"].to_numpy())
        np.testing.assert_array_equal(taken, naive(known, asked, max_age))

    def test_a_late_revision_of_an_old_event_does_not_hide_the_newer_event(self) -> None:
        known = table([("A", 1, 1, 10.0), ("A", 2, 2, 20.0), ("A", 1, 3, 11.0), ("A", 2, 5, 21.0)])
        aligned = as_of(known, grid([("A", 2), ("A", 3), ("A", 4), ("A", 5)]), ["entity"], 10)
        assert aligned.take(aligned.rows["value"].to_numpy()).tolist() == [20.0, 20.0, 20.0, 21.0]

    def test_age_counts_from_event_time_in_minutes(self) -> None:
        known = table([("A", 10 * MINUTE, 12 * MINUTE, 1.0)])
        aligned = as_of(known, grid([("A", 11 * MINUTE), ("A", 13 * MINUTE)]), ["entity"], 60 * MINUTE)
        assert np.isnan(aligned.age[0])
        assert aligned.age[1] == 3.0

    def test_without_keys_every_decision_sees_all_rows(self) -> None:
        known = table([("A", 1, 1, 1.0), ("B", 2, 2, 2.0)])
        aligned = as_of(known, grid([("A", 1), ("A", 2)]).sort("decision_time"), [], 10)
        assert aligned.take(aligned.rows["value"].to_numpy()).tolist() == [1.0, 2.0]

    def test_empty_sides(self) -> None:
        assert as_of(table([]), grid([("A", 1)]), ["entity"], 5).index.tolist() == [-1]
        assert len(as_of(table([("A", 1, 1, 1.0)]), grid([]), ["entity"], 5).index) == 0


def test_segment_offsets_count_runs_of_equal_keys() -> None:
    frame = pl.DataFrame({"entity": ["A", "A", "B"], "session": [1, 2, 2]})
    assert segment_offsets(frame).tolist() == [0, 1, 2, 3]
    assert segment_offsets(frame.head(0)).tolist() == [0]


def brute_force(
    rows: pl.DataFrame, decisions: pl.DataFrame, max_age: int, delay: int
) -> list[tuple[float | None, ...]]:
    """(value, age, known since) of each decision by the definition, in the order of the decisions."""
    found: list[tuple[float | None, ...]] = []
    listed = rows.select(
        "entity", pl.col("event_time").dt.epoch("ns"), pl.col("known_time").dt.epoch("ns"), "value"
    ).rows()
    for entity, at in decisions.select("entity", pl.col("decision_time").dt.epoch("ns")).iter_rows():
        best: tuple[int, int, float] | None = None
        for name, event, known, value in listed:
            usable = name == entity and known + delay <= at
            if usable and (best is None or (event, known) >= best[:2]):
                best = (event, known, value)
        if best is None or at - best[0] > max_age:
            found.append((None, None, None))
        else:
            found.append((best[2], (at - best[0]) / MINUTE, (at - best[1] - delay) / MINUTE))
    return found


class TestAlign:
    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(row, max_size=14),
        st.lists(st.tuples(st.sampled_from("AB"), small), max_size=8),
        small,
        st.integers(0, 3),
    )
    def test_equals_brute_force_whatever_the_order_of_rows_and_decisions(
        self, rows: list[tuple[str, int, int, float]], asked: list[tuple[str, int]], max_age: int, delay: int
    ) -> None:
        known = table(rows).sample(fraction=1.0, shuffle=True, seed=3)
        decisions = grid(asked).sample(fraction=1.0, shuffle=True, seed=4)
        found = align(known, decisions, ["value"], max_age_ns=max_age, delay_ns=delay)
        assert found.select(decisions.columns).equals(decisions)
        assert found.select("value", "age_minutes", "known_since_minutes").rows() == brute_force(
            known, decisions, max_age, delay
        )

    def test_columns_of_any_type_share_the_gather_map(self) -> None:
        known = table([("A", 1, 1, 1.0), ("A", 2, 3, 2.0)]).with_columns(
            said=pl.Series(["first", None], dtype=pl.String), count=pl.Series([7, 8])
        )
        found = align(known, grid([("A", 0), ("A", 1), ("A", 3)]), ["said", "count"])
        assert found["said"].to_list() == [None, "first", None]
        assert found["count"].to_list() == [None, 7, 8]
        assert found["known_since_minutes"].to_list() == [None, 0.0, 0.0]

    @pytest.mark.parametrize("name", ["segment", "_place", "_found", "_row", "event_time", "known_time"])
    def test_columns_may_have_any_name(self, name: str) -> None:
        known = table([("A", 1, 1, 1.0), ("A", 2, 3, 2.0), ("B", 4, 4, 9.0)])
        known = known if name in known.columns else known.with_columns(pl.Series(name, [7, 8, 9]))
        found = align(known, grid([("A", 2), ("A", 3), ("B", 1), ("B", 4)]), [name])[name]
        assert found.to_list() == [known[name][0], known[name][1], None, known[name][2]]

    def test_keys_may_have_any_name(self) -> None:
        known, decisions = table([("A", 1, 1, 1.0), ("B", 1, 1, 2.0)]), grid([("A", 1), ("B", 1)])
        found = align(*(each.rename({"entity": "segment"}) for each in (known, decisions)), ["value"], by=("segment",))
        assert found["value"].to_list() == [1.0, 2.0]

    def test_rows_without_a_clock_or_a_key_are_never_used(self) -> None:
        known = table([("A", 1, 1, 1.0), ("A", 2, 2, 2.0), ("A", 3, 3, 3.0)])
        for column in ("event_time", "known_time", "entity"):
            broken = known.with_columns(pl.when(pl.col("value") < 3).then(pl.col(column)).alias(column))
            assert align(broken, grid([("A", 5)]), ["value"])["value"].to_list() == [2.0]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda rows, asked: (rows.drop("known_time"), asked), "rows lack known_time"),
            (lambda rows, asked: (rows, asked.drop("entity")), "grid lack entity"),
            (
                lambda rows, asked: (rows.with_columns(pl.col("event_time").dt.epoch("ns")), asked),
                "event_time of rows is",
            ),
            (lambda rows, asked: (rows, asked.with_columns(value=1.0)), "the grid has value already"),
            (
                lambda rows, asked: (rows, asked.with_columns(entity=pl.lit(1))),
                "entity is String in rows, Int32 in the grid",
            ),
            (
                lambda rows, asked: (rows, asked.with_columns(decision_time=pl.lit(None, TIME))),
                "1 decisions have no time",
            ),
        ],
    )
    def test_what_does_not_fit_is_one_line(self, change: object, message: str) -> None:
        rows, asked = change(table([("A", 1, 1, 1.0)]), grid([("A", 5)]))  # type: ignore[operator]
        with pytest.raises(DataError, match=message):
            align(rows, asked, ["value"])

    def test_a_column_named_twice_is_told(self) -> None:
        with pytest.raises(DataError, match="columns name value twice"):
            align(table([("A", 1, 1, 1.0)]), grid([("A", 5)]), ["value", "value"])

    def test_nothing_at_all(self) -> None:
        assert align(table([]), grid([("A", 1)]), ["value"])["value"].to_list() == [None]
        assert align(table([("A", 1, 1, 1.0)]), grid([]), ["value"]).height == 0

    def test_later_known_rows_change_no_earlier_bit(self) -> None:
        rng = np.random.default_rng(8)
        event = rng.integers(0, 500, 2000)
        rows = table([("AB"[i % 2], int(e), int(e + rng.integers(0, 50)), float(i)) for i, e in enumerate(event)])
        asked = grid([(entity, at) for entity in "AB" for at in range(0, 600, 3)])
        whole = align(rows, asked, ["value"], max_age_ns=40)
        for cut in (60, 300, 480):
            moment = pl.lit(cut, pl.Int64).cast(TIME)
            part = align(rows.filter(pl.col("known_time") <= moment), asked, ["value"], max_age_ns=40)
            before = pl.col("decision_time") <= moment
            assert part.filter(before).equals(whole.filter(before))
            assert not part.equals(whole)

    def test_partitions_of_files_one_after_the_other_are_the_whole(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(9)
        rows = table([("ABC"[int(e) % 3], int(e), int(e) + int(rng.integers(0, 9)), float(e)) for e in range(900)])
        asked = grid([(entity, at) for entity in "ABD" for at in range(0, 900, 7)])
        rows.write_parquet(tmp_path / "rows", partition_by="entity")
        scanned = pl.scan_parquet(tmp_path / "rows" / "**" / "*.parquet", hive_partitioning=True)
        parts = list(align_stream(scanned, asked.lazy(), ["value"], max_age_ns=50))
        assert [part["entity"][0] for part in parts] == ["A", "B", "D"]
        assert pl.concat(parts).equals(align(rows, asked, ["value"], max_age_ns=50))


@pytest.mark.data
@pytest.mark.parametrize("name", ["oi_affinity_national_spend_all", "oi_gps_retail_national"])
def test_every_publication_of_a_real_series_is_replayed(data_root: Path, name: str) -> None:
    """At each publication, and a microsecond before it, the value is that of the file as it then stood."""
    log = pl.read_csv(data_root / f"alt/series/{name}_vintages.csv.gz", infer_schema_length=None)
    rows = log.select(
        entity=pl.lit("US"),
        event_time=pl.col("event_date").str.to_datetime("%Y-%m-%d", time_zone="UTC", time_unit="ns"),
        known_time=pl.col("available_time").str.to_datetime("%Y-%m-%d %H:%M:%S%z", time_unit="ns"),
        value=pl.col("value").cast(pl.Float64, strict=False),
    )
    stands: dict[object, object] = {}
    expected = {}
    for (published,), change in rows.sort("known_time", maintain_order=True).group_by(
        "known_time", maintain_order=True
    ):
        expected[published - timedelta(microseconds=1)] = stands[max(stands)] if stands else None
        stands.update(change.select("event_time", "value").iter_rows())
        expected[published] = stands[max(stands)]
    found = align(
        rows, pl.DataFrame({"entity": "US", "decision_time": list(expected)}).cast({"decision_time": TIME}), ["value"]
    )
    assert found["value"].to_list() == list(expected.values())
    assert len(set(found["value"].drop_nulls())) > 100
