"""The decision grid: early closes, daylight saving, and no decision outside its session."""

from datetime import date

import polars as pl

from fusion.config import DecisionConfig
from fusion.grid import decision_grid
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
