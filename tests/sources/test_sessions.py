"""Sessions: holidays, half days, daylight saving; and which session holds a time, against a loop."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_kernels.errors import ArgumentError, ConfigError
from sources.schema import TIME
from sources.sessions import assign_session, sessions

START, END = date(2014, 10, 27), date(2014, 12, 31)
XNYS = sessions("XNYS", START, END)


def naive_session(time: datetime | None, table: pl.DataFrame, stamp: str) -> date | None:
    holding = [
        row["session"]
        for row in table.iter_rows(named=True)
        if time is not None
        and (row["open"] < time <= row["close"] if stamp == "end" else row["open"] <= time <= row["close"])
    ]
    return holding[-1] if holding else None


def test_holidays_half_days_and_daylight_saving() -> None:
    rows = {row["session"]: (row["open"], row["close"]) for row in XNYS.iter_rows(named=True)}
    assert date(2014, 11, 27) not in rows  # Thanksgiving
    assert rows[date(2014, 11, 28)][1] == datetime(2014, 11, 28, 18, tzinfo=UTC)
    assert rows[date(2014, 12, 24)][1] == datetime(2014, 12, 24, 18, tzinfo=UTC)
    assert rows[date(2014, 10, 31)][0] == datetime(2014, 10, 31, 13, 30, tzinfo=UTC)
    assert rows[date(2014, 11, 3)][0] == datetime(2014, 11, 3, 14, 30, tzinfo=UTC)
    assert len(rows) == 46
    assert XNYS.schema == {"session": pl.Date, "open": TIME, "close": TIME}


def test_window_is_inclusive_and_spans_years() -> None:
    found = sessions("XNYS", date(2014, 12, 31), date(2015, 1, 2))["session"].to_list()
    assert found == [date(2014, 12, 31), date(2015, 1, 2)]
    assert sessions("XNYS", date(2014, 12, 25), date(2014, 12, 25)).is_empty()


def test_mistakes() -> None:
    with pytest.raises(ConfigError, match="NYSEE"):
        sessions("NYSEE", START, END)
    with pytest.raises(ConfigError, match="is after end"):
        sessions("XNYS", END, START)
    with pytest.raises(ArgumentError, match="start"):
        assign_session(XNYS["open"], XNYS, "start")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.datetimes(datetime(2014, 10, 27), datetime(2015, 1, 2)),
            # edges of sessions, and one nanosecond-sized step is beyond Python: one microsecond
            st.builds(
                lambda row, side, off: (XNYS[side][row] + timedelta(microseconds=off)).replace(tzinfo=None),
                st.integers(0, XNYS.height - 1),
                st.sampled_from(["open", "close"]),
                st.sampled_from([-1, 0, 1]),
            ),
        ),
        max_size=30,
    ),
    st.sampled_from(["end", "tick"]),
)
def test_assign_equals_loop(times: list[datetime | None], stamp: str) -> None:
    aware = [None if time is None else time.replace(tzinfo=UTC) for time in times]
    found = assign_session(pl.Series("t", aware, dtype=TIME), XNYS, stamp)
    assert found.to_list() == [naive_session(time, XNYS, stamp) for time in aware]


def test_a_market_that_never_closes() -> None:
    table = sessions("24/7", date(2018, 4, 4), date(2018, 4, 6))
    midnight = pl.Series([datetime(2018, 4, 5, tzinfo=UTC)], dtype=TIME)
    assert assign_session(midnight, table, "end").to_list() == [date(2018, 4, 4)]
    assert assign_session(midnight, table, "tick").to_list() == [date(2018, 4, 5)]
