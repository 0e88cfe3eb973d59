"""The decision grid: early closes, daylight saving, and no decision outside its session."""

from datetime import UTC, date, datetime, timedelta

import polars as pl

from fusion.config import DecisionConfig
from fusion.grid import blocks, decision_grid, in_periods
from sources.sessions import sessions

CONFIG = DecisionConfig(step="5min", first="15min", last="15min", delay="5s")


def naive_times(open_ns: int, close_ns: int) -> list[int]:
    """Every point of a session by counting up."""
    minute, times = 60 * 10**9, []
    at = open_ns + 15 * minute
    while at <= close_ns - 15 * minute:
        times.append(at + 5 * 10**9)
        at += 5 * minute
    return times


class TestDecisionGrid:
    def test_equals_counting_up_over_a_half_day_and_a_clock_change(self) -> None:
        days = sessions("XNYS", date(2014, 11, 26), date(2014, 12, 1)).vstack(
            sessions("XNYS", date(2015, 3, 6), date(2015, 3, 9))
        )
        grid = decision_grid(["FB", "AAPL"], days, CONFIG)
        expected = [
            (entity, day, at)
            for entity in ("AAPL", "FB")
            for day, open_ns, close_ns in days.select(
                "session", pl.col("open").dt.epoch("ns"), pl.col("close").dt.epoch("ns")
            ).iter_rows()
            for at in naive_times(open_ns, close_ns)
        ]
        assert grid.with_columns(pl.col("decision_time").dt.epoch("ns")).rows() == expected

    def test_a_half_day_has_fewer_decisions(self) -> None:
        days = sessions("XNYS", date(2014, 11, 26), date(2014, 11, 28))
        counts = decision_grid(["AAPL"], days, CONFIG).group_by("session", maintain_order=True).len()["len"].to_list()
        assert counts == [73, 37]

    def test_a_session_shorter_than_its_margins_has_none(self) -> None:
        days = sessions("XNYS", date(2014, 11, 28), date(2014, 11, 28))
        config = DecisionConfig(step="5min", first="2h", last="2h")
        assert decision_grid(["AAPL"], days, config).is_empty()


class TestBlocks:
    DAYS = sessions("24/7", date(2024, 8, 8), date(2024, 8, 9))

    def test_a_session_is_its_own_period_without_a_length(self) -> None:
        assert blocks(self.DAYS, None).equals(self.DAYS)

    def test_blocks_equal_counting_up_and_never_hold_two_sessions(self) -> None:
        days = self.DAYS.with_columns(pl.col("close") - pl.duration(seconds=5))
        length = timedelta(seconds=3600 * 7)
        wanted = []
        for opened, closed in days.select("open", "close").iter_rows():
            at = opened
            while at < closed:
                wanted.append((at, at, min(at + length, closed)))
                at += length
        assert blocks(days, 7 * 3600 * 10**9).rows() == wanted
        assert len(wanted) == 8

    def test_a_decision_is_in_the_last_block_that_opened(self) -> None:
        cut = blocks(self.DAYS, 3600 * 10**9)
        noon = datetime(2024, 8, 8, 12, tzinfo=UTC)
        moments = [noon + timedelta(seconds=1), noon, noon - timedelta(microseconds=1)]
        rows = pl.DataFrame(
            {"decision_time": pl.Series(moments, dtype=pl.Datetime("ns", "UTC")), "session": [date(2024, 8, 8)] * 3}
        )
        assert in_periods(rows, cut)["session"].to_list() == [noon, noon, noon - timedelta(hours=1)]
        assert in_periods(rows, self.DAYS)["session"].to_list() == [date(2024, 8, 8)] * 3
