"""Tables onto the grid: the as-of rule against its definition, read off row by row."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.asof import as_of, segment_offsets

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
