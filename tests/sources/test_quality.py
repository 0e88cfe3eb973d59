"""Row checks: each reason on the smallest case, and the sequential ones against loops."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_kernels.errors import DataError
from sources.config import Source, parse_source
from sources.quality import Checked, Window, check
from sources.readers.batch import canonical
from sources.schema import TABLES

OPEN = datetime(2015, 1, 2, 14, 30, tzinfo=UTC)
WINDOW = Window("XNYS")
GOOD_BAR = {"open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5, "volume": 5.0}
GOOD_QUOTE = {"bid_price": 10.0, "bid_size": 1.0, "ask_price": 10.1, "ask_size": 2.0}


def source_of(table: str, **options: Any) -> Source:
    return parse_source(
        "x", {"kind": "table_file", "table": table, "files": "x", "timezone": "UTC", "max_age": "1d"} | options
    )


def batch(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """RawBatch rows; `at` is minutes after the open, `known` seconds later (default 1), `file` 0."""
    full = [
        {
            "entity": row.get("entity", "A"),
            "event_time": OPEN + timedelta(minutes=row.get("at", 1)),
            "known_time": OPEN + timedelta(minutes=row.get("at", 1), seconds=row.get("known", 1)),
            **{column.name: column.default for column in TABLES[table].columns if column.default is not None},
            **{name: value for name, value in row.items() if name not in {"at", "known", "file", "entity", "problem"}},
            "_line": line,
            "_problem": row.get("problem"),
        }
        for line, row in enumerate(rows, 2)
    ]
    parts = [
        canonical(pl.DataFrame([row], infer_schema_length=None), table, given_row.get("file", 0))
        for row, given_row in zip(full, rows, strict=True)
    ]
    return pl.concat(parts)


def bars(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**GOOD_BAR, **row} for row in rows]


def reasons(found: Checked) -> dict[int, str]:
    return dict(found.bad.select("line", "reason").iter_rows())


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("table", "change", "reason"),
    [
        ("bar", {"close": NAN}, "not_finite"),
        ("bar", {"volume": INF}, "not_finite"),
        ("bar", {"close": None}, "missing_value"),
        ("bar", {"entity": None}, "missing_value"),
        ("bar", {"open": 0.0}, "non_positive_price"),
        ("bar", {"low": -9.0}, "non_positive_price"),
        ("bar", {"volume": -1.0}, "negative_size"),
        ("bar", {"high": 8.0}, "high_below_low"),
        ("bar", {"close": 11.5}, "price_outside_bar"),
        ("bar", {"open": 8.5}, "price_outside_bar"),
        ("bar", {"known": -1}, "known_before_event"),
        ("bar", {"problem": "unparsable_number", "close": None}, "unparsable_number"),
        ("bar", {"at": 0}, "outside_session"),
        ("bar", {"at": 391}, "outside_session"),
        ("bar", {"at": 60 * 24}, "outside_session"),
        ("quote", {"ask_price": 9.9}, "crossed_quote"),
        ("quote", {"bid_size": -1.0}, "negative_size"),
        ("quote", {"ask_price": 0.0}, "non_positive_price"),
        ("metric", {"value": NAN}, "not_finite"),
        ("metric", {"value": INF}, "not_finite"),
        ("metric", {"known": -1}, "known_before_event"),
        ("book_update", {"price": 0.0}, "non_positive_price"),
        ("book_update", {"size": -1.0}, "negative_size"),
        ("book_update", {"action": 3}, "unknown_action"),
        ("book_update", {"side": 0}, "unknown_side"),
        ("order_event", {"action": 0}, "unknown_action"),
    ],
)
def test_bad_row_gets_its_reason(table: str, change: dict[str, Any], reason: str) -> None:
    good = {
        "bar": GOOD_BAR,
        "quote": GOOD_QUOTE,
        "metric": {"metric": "m", "value": 1.0},
        "book_update": {"sequence": 1, "side": 1, "price": 5.0, "size": 1.0},
        "order_event": {"sequence": 1, "order": 1, "action": 3, "side": 1, "price": 5.0, "size": 1.0},
    }[table]
    assert reasons(check(batch(table, [{**good}]), source_of(table), WINDOW)) == {}
    found = check(batch(table, [{**good, **change}]), source_of(table), WINDOW)
    assert reasons(found) == {2: reason}
    assert found.good.is_empty()


def test_what_is_allowed() -> None:
    withdrawn = check(batch("metric", [{"metric": "m", "value": None}]), source_of("metric"), WINDOW)
    assert withdrawn.good.height == 1
    locked = check(batch("quote", [{**GOOD_QUOTE, "ask_price": 10.0}]), source_of("quote"), WINDOW)
    assert locked.good.height == 1
    ahead = check(batch("event", [{"kind": "nfp", "name": "n", "known": -1000}]), source_of("event"), WINDOW)
    assert ahead.good.height == 1
    at_close = check(batch("bar", bars({"at": 390})), source_of("bar"), WINDOW)
    assert at_close.good["session"].to_list() == [date(2015, 1, 2)]


def test_a_half_day_ends_early() -> None:
    minutes = int((datetime(2014, 12, 24, 18, tzinfo=UTC) - OPEN).total_seconds() // 60)
    found = check(batch("bar", bars({"at": minutes}, {"at": minutes + 1})), source_of("bar"), WINDOW)
    assert found.good.height == 1
    assert reasons(found) == {3: "outside_session"}


def test_window_and_entities_are_counted_and_not_set_aside() -> None:
    rows = batch("bar", bars({"at": 1}, {"at": 2, "entity": "B"}, {"at": 4 * 60 * 24}, {"at": -300}))
    window = Window("XNYS", ("A",), date(2015, 1, 2), date(2015, 1, 2))
    found = check(rows, source_of("bar"), window)
    assert found.good["line"].to_list() == [2]
    assert found.ignored == {"other_entity": 1, "outside_window": 1}
    # before the open of the window's own first day is a row of that day
    assert reasons(found) == {5: "outside_session"}


def test_extended_hours_are_counted() -> None:
    found = check(batch("bar", bars({"at": 1}, {"at": -30})), source_of("bar", extended_hours=True), WINDOW)
    assert found.ignored == {"outside_session": 1}
    assert reasons(found) == {}


@pytest.mark.parametrize(("wrong", "right"), [("UTC", "America/New_York"), ("America/New_York", "America/Chicago")])
def test_wrong_timezone_is_said_and_the_right_one_named(wrong: str, right: str) -> None:
    # what a reader makes of right-zone wall clocks when told that they are wrong-zone
    local = pl.datetime_range(
        datetime(2015, 1, 2, 14, 31), datetime(2015, 1, 2, 21), "1m", eager=True, time_unit="ns"
    ).dt.replace_time_zone("UTC")
    misread = (
        local.dt.convert_time_zone(right)
        .dt.replace_time_zone(None)
        .dt.replace_time_zone(wrong)
        .dt.convert_time_zone("UTC")
    )
    shift = (misread[0] - OPEN).total_seconds() / 60
    rows = batch("bar", bars(*({"at": shift + number} for number in range(390))))
    with pytest.raises(DataError) as error:
        check(rows, source_of("bar", timezone=wrong), WINDOW)
    assert "timezone looks wrong" in str(error.value)
    assert f"timezone: {right}" in str(error.value)


def test_a_file_of_longer_bars_is_set_aside_whole() -> None:
    rows = bars(
        *({"at": number + 1} for number in range(30)), *({"at": 10 * number + 40, "file": 1} for number in range(12))
    )
    found = check(batch("bar", rows), source_of("bar", bar="1min"), WINDOW)
    assert found.good["file"].unique().to_list() == [0]
    assert set(reasons(found).values()) == {"wrong_bar_interval"}


def test_longer_bars_are_told_within_sessions() -> None:
    # 13 minutes divide a session and not the night between two
    days = (0, 3 * 24 * 60)
    rows = bars(*({"at": day + 13 * number} for day in days for number in range(1, 11)))
    found = check(batch("bar", rows), source_of("bar", bar="1min"), WINDOW)
    assert set(reasons(found).values()) == {"wrong_bar_interval"}


def test_a_quiet_market_is_not_a_longer_bar() -> None:
    rows = bars(*({"at": at} for at in (3, 10, 14, 25, 28, 41, 55, 61, 90, 97, 120, 133)))
    assert check(batch("bar", rows), source_of("bar", bar="1min"), WINDOW).good.height == 12


def test_shorter_bars_than_stated_are_set_aside() -> None:
    rows = bars(*({"at": number + 1} for number in range(30)))
    found = check(batch("bar", rows), source_of("bar", bar="5min"), WINDOW)
    assert set(reasons(found).values()) == {"wrong_bar_interval"}


class TestDuplicates:
    def test_within_a_file(self) -> None:
        rows = bars({"at": 1}, {"at": 1}, {"at": 1, "close": 10.6}, {"at": 1, "close": 10.7, "known": 9})
        found = check(batch("bar", rows), source_of("bar"), WINDOW)
        # another known_time is a revision, and a new row
        assert found.good["line"].to_list() == [2, 5]
        assert reasons(found) == {3: "exact_duplicate", 4: "conflicting_duplicate"}

    def test_between_files(self) -> None:
        rows = bars(
            {"at": 2, "file": 0},
            {"at": 3, "file": 0, "close": 10.9},
            {"at": 1, "file": 1},
            {"at": 2, "file": 1},
            {"at": 3, "file": 1},
        )
        found = check(batch("bar", rows), source_of("bar"), WINDOW)
        # file 1 starts earlier, so it was exported first whatever its name
        assert found.good["line"].to_list() == [4, 5, 6]
        assert found.ignored == {"duplicate_of_overlap": 1}
        assert reasons(found) == {3: "conflicting_overlap"}

    def test_equal_trades_of_one_file_are_two_trades(self) -> None:
        trade = {"price": 5.0, "size": 1.0, "side": 0}
        rows = [{"at": 1, "file": file, **trade} for file in (0, 0, 1, 1, 1)]
        found = check(batch("trade", rows), source_of("trade"), WINDOW)
        # the third of file 1 is one that file 0 does not have
        assert found.good.height == 3
        assert found.ignored == {"duplicate_of_overlap": 2}

    def test_tied_vintages_of_a_metric_stay_in_the_order_of_the_file(self) -> None:
        rows = [{"metric": "m", "value": value} for value in (1.0, 2.0, 1.0)]
        vintages = check(batch("metric", rows), source_of("metric", columns={"known_time": "known"}), WINDOW)
        assert vintages.good["value"].to_list() == [1.0, 2.0]
        derived = check(batch("metric", rows), source_of("metric", delay="1s"), WINDOW)
        assert reasons(derived) == {3: "conflicting_duplicate", 4: "exact_duplicate"}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(0, 1), st.integers(0, 1)), max_size=16))
def test_duplicates_equal_a_loop(drawn: list[tuple[int, int, int, int]]) -> None:
    drawn = sorted(drawn, key=lambda row: (row[0], row[1]))
    rows = bars(*({"file": f, "at": at, "volume": float(v), "known": 1 + k} for f, at, v, k in drawn))
    if not rows:
        return
    found = check(batch("bar", rows), source_of("bar"), WINDOW)
    first = {file: min(row[1] for row in drawn if row[0] == file) for file in {row[0] for row in drawn}}
    expected, equal, fact, ignored = {}, dict[Any, int](), dict[Any, int](), 0
    for place in sorted(range(len(drawn)), key=lambda place: (first[drawn[place][0]], drawn[place][0], place)):
        file, at, value, known = drawn[place]
        if (at, value, known) in equal:
            if equal[at, value, known] == file:
                expected[place + 2] = "exact_duplicate"
            else:
                ignored += 1
        elif (at, known) in fact:
            same = fact[at, known] == file
            expected[place + 2] = "conflicting_duplicate" if same else "conflicting_overlap"
            equal[at, value, known] = file
        else:
            equal[at, value, known], fact[at, known] = file, file
    assert {k: v for k, v in reasons(found).items() if v != "time_goes_back"} == expected
    assert found.ignored.get("duplicate_of_overlap", 0) == ignored


class TestOrder:
    def test_time_going_back_within_a_file(self) -> None:
        found = check(batch("bar", bars({"at": 2}, {"at": 1}, {"at": 3})), source_of("bar"), WINDOW)
        assert reasons(found) == {3: "time_goes_back"}

    def test_a_late_row_may_stand_where_it_arrived(self) -> None:
        rows = batch("bar", bars({"at": 2}, {"at": 1, "known": 90}, {"at": 3}))
        assert check(rows, source_of("bar"), WINDOW).bad.is_empty()

    def test_a_late_row_may_stand_where_it_belongs(self) -> None:
        rows = batch("bar", bars({"at": 1, "known": 300}, {"at": 2}, {"at": 3}))
        assert check(rows, source_of("bar"), WINDOW).bad.is_empty()

    def test_each_entity_and_file_has_its_own_order(self) -> None:
        rows = batch("bar", bars({"at": 5}, {"at": 1, "entity": "B"}, {"at": 2, "file": 1}))
        assert check(rows, source_of("bar"), WINDOW).bad.is_empty()

    def test_a_bad_row_moves_no_clock(self) -> None:
        rows = batch("bar", bars({"at": 1}, {"at": 300, "close": NAN}, {"at": 2}))
        assert reasons(check(rows, source_of("bar"), WINDOW)) == {3: "not_finite"}


def naive_jumps(prices: list[float], limit: float) -> list[int]:
    """Rows more than `limit` from the last good one; the fourth in a row within `limit` of its neighbour is good."""
    good, bad, streak = prices[0], [], list[float]()
    for place, price in enumerate(prices[1:], 1):
        if abs(price / good - 1) <= limit:
            good, streak = price, []
            continue
        agrees = bool(streak) and abs(price / streak[-1] - 1) <= limit
        streak = [*streak, price] if agrees else [price]
        if len(streak) > 3:
            good, streak = price, []
        else:
            bad.append(place)
    return bad


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([10.0, 10.5, 11.0, 14.0, 15.0, 100.0]), min_size=1, max_size=20))
def test_price_jumps_equal_a_loop(prices: list[float]) -> None:
    rows = [{"at": number + 1, "price": price, "size": 1.0, "side": 0} for number, price in enumerate(prices)]
    found = check(batch("trade", rows), source_of("trade", max_jump=0.2), WINDOW)
    assert sorted(line - 2 for line in reasons(found)) == naive_jumps(prices, 0.2)


def test_price_jumps_are_judged_within_a_session() -> None:
    next_session = 3 * 24 * 60 + 1
    rows = bars({"at": 1}, {"at": next_session, "open": 30.0, "high": 30.0, "low": 30.0, "close": 30.0})
    assert check(batch("bar", rows), source_of("bar", max_jump=0.2), WINDOW).bad.is_empty()
    spike = bars({"at": 1}, {"at": 2, "high": 100.0}, {"at": 3})
    assert reasons(check(batch("bar", spike), source_of("bar", max_jump=0.3), WINDOW)) == {3: "price_jump"}


def test_a_row_is_judged_by_earlier_rows_only() -> None:
    """Cutting the input never changes what is said of the rows before the cut."""
    rows = bars(
        *({"at": at, "close": 10.5, "file": 0} for at in range(1, 12)),
        *({"at": at, "close": 10.5 + at % 2 / 10, "file": 1} for at in range(6, 20)),
        {"at": 20, "file": 1, "high": 99.0, "close": 99.0},
        {"at": 21, "file": 1},
        {"at": 12.5, "file": 1},
    )
    source = source_of("bar", max_jump=0.3)
    whole = reasons(check(batch("bar", rows), source, WINDOW))
    assert set(whole.values()) == {"conflicting_overlap", "price_jump", "time_goes_back"}
    for cut in range(1, len(rows)):
        part = reasons(check(batch("bar", rows[:cut]), source, WINDOW))
        assert part == {line: reason for line, reason in whole.items() if line < cut + 2}


SESSIONS = [datetime(2015, 1, day, 14, 30, tzinfo=UTC) for day in (2, 5, 6, 7)]


def stamped(first: int, last: int, sessions: int = 4, step: int = 5) -> pl.DataFrame:
    """Bars of each session, stamped from `first` to `last` minutes after its open."""
    days = [(opens - OPEN) // timedelta(minutes=1) for opens in SESSIONS[:sessions]]
    return batch("bar", bars(*({"at": day + at} for day in days for at in range(first, last + 1, step))))


def test_bars_stamped_at_their_starts_are_refused() -> None:
    with pytest.raises(DataError) as error:
        check(stamped(0, 385), source_of("bar"), WINDOW)
    words = str(error.value)
    assert "stamps look like bar STARTS (4 of 4 sessions have one at the open, 0 at the close)" in words
    assert "event_time at the bar's END" in words
    assert "`bar: 5min`" in words
    assert "`extended_hours: true`" in words


def test_stamps_that_are_no_starts_or_are_said_to_be() -> None:
    ends = check(stamped(5, 390), source_of("bar"), WINDOW)
    assert ends.good.height == 4 * 78
    # an opening print beside ends is one bad row a session, and no doubt
    both = check(stamped(0, 390), source_of("bar"), WINDOW)
    assert set(reasons(both).values()) == {"outside_session"}
    assert check(stamped(0, 385, sessions=2), source_of("bar"), WINDOW).bad.height == 2
    extended = check(stamped(0, 385), source_of("bar", extended_hours=True), WINDOW)
    assert extended.ignored == {"outside_session": 4}
    # the reader has moved these to their ends, so that one at the open is a bar before it
    assert check(stamped(0, 385), source_of("bar", bar="5min"), WINDOW).bad.height == 4


def test_stamps_of_a_market_that_never_closes_are_not_doubted() -> None:
    hours = [{"at": 60 * hour + 30} for hour in range(24 * 6)]
    found = check(batch("bar", bars(*hours)), source_of("bar"), Window("24/7"))
    assert found.good.height == len(hours)


def test_quotes_at_the_open_are_meant() -> None:
    minutes = [(opens - OPEN) // timedelta(minutes=1) for opens in SESSIONS]
    rows = [{**GOOD_QUOTE, "at": minute} for minute in minutes]
    assert check(batch("quote", rows), source_of("quote"), WINDOW).good.height == 4
