"""The refit schedule against a loop, its invariance to truncation, and purge with embargo."""

from datetime import timedelta

import polars as pl
import pytest
from planted import MINUTE, session_table
from pydantic import ValidationError

from fusion.horizon import Sessions
from fusion.target import end_column, return_column
from fusion.walk_forward import WalkForwardConfig, assign, schedule, training_rows
from gpu_kernels.errors import DataError
from sources.schema import TIME


@pytest.mark.parametrize("expanding", [True, False])
@pytest.mark.parametrize(("train", "refit", "embargo"), [(5, 3, 0), (5, 3, 1), (7, 1, 2), (4, 100, 3)])
def test_schedule_equals_counting_sessions(train, refit, embargo, expanding):
    sessions = session_table(20)
    days, opens = sessions["session"].to_list(), sessions["open"].to_list()
    config = WalkForwardConfig(
        train_sessions=train, refit_sessions=refit, embargo_sessions=embargo, expanding=expanding
    )
    refits = schedule(sessions, config)
    positions = [i for i in range(20) if i >= train and (i - train) % refit == 0]
    assert [found.session for found in refits] == [days[i] for i in positions]
    for index, (found, i) in enumerate(zip(refits, positions, strict=True)):
        assert found.index == index
        assert found.refit_time == opens[i]
        assert found.cutoff == opens[i - embargo]
        assert found.train == (days[0] if expanding else days[i - train], days[i - embargo - 1])
        assert found.predict == (days[i], days[min(i + refit - 1, 19)])


def test_truncation_removes_refits_and_changes_none():
    sessions = session_table(40)
    config = WalkForwardConfig(train_sessions=10, refit_sessions=7)
    full = schedule(sessions, config)
    for length in range(41):
        part = schedule(sessions.head(length), config)
        assert len(part) == max(0, -(-(length - 10) // 7))
        for cut, whole in zip(part, full, strict=False):
            assert (cut.session, cut.refit_time, cut.cutoff, cut.train) == (
                whole.session,
                whole.refit_time,
                whole.cutoff,
                whole.train,
            )
            assert cut.predict[0] == whole.predict[0]


def labels_around(cutoff, horizon: str = "15min") -> pl.DataFrame:
    ends = [cutoff + timedelta(minutes=m) for m in (-10, -1, 0, 1)] + [None]
    return pl.DataFrame(
        {
            "entity": ["A"] * 5,
            "session": [(cutoff - timedelta(days=1)).date()] * 5,
            "decision_time": pl.Series([cutoff - timedelta(minutes=30 - i) for i in range(5)], dtype=TIME),
            f"return_{horizon}": [0.1, 0.2, 0.3, 0.4, None],
            f"label_end_{horizon}": pl.Series(ends, dtype=TIME),
        }
    )


def test_labels_that_end_at_or_after_the_cutoff_are_purged():
    refit = schedule(session_table(12), WalkForwardConfig(train_sessions=10, refit_sessions=5, embargo_sessions=1))[0]
    assert training_rows(labels_around(refit.cutoff), refit, 15 * MINUTE)["return_15min"].to_list() == [0.1, 0.2]


def test_purge_is_exact_to_the_nanosecond():
    refit = schedule(session_table(12), WalkForwardConfig(train_sessions=10, refit_sessions=5))[0]
    labels = labels_around(refit.cutoff).head(2)
    before = pl.lit(refit.cutoff, dtype=TIME) - pl.duration(nanoseconds=1)
    labels = labels.with_columns(before.alias("label_end_15min"))
    assert training_rows(labels, refit, 15 * MINUTE).height == 2


def test_the_embargo_removes_whole_sessions():
    sessions = session_table(12)
    ends = sessions.select(
        pl.lit("A").alias("entity"),
        "session",
        pl.col("close").alias("decision_time"),
        pl.lit(0.5).alias("return_5min"),
        pl.col("close").alias("label_end_5min"),
    )
    for embargo in range(4):
        config = WalkForwardConfig(train_sessions=10, refit_sessions=5, embargo_sessions=embargo)
        used = training_rows(ends, schedule(sessions, config)[0], 5 * MINUTE)
        assert used["session"].to_list() == sessions["session"].to_list()[: 10 - embargo]
    rolling = WalkForwardConfig(train_sessions=5, refit_sessions=5, embargo_sessions=1, expanding=False)
    used = training_rows(ends, schedule(sessions, rolling)[1], 5 * MINUTE)
    assert used["session"].to_list() == sessions["session"].to_list()[5:9]


@pytest.mark.parametrize("late_minutes", [0, 25 * 60])
@pytest.mark.parametrize("count", [1, 5])
def test_labels_over_sessions_are_purged_by_when_they_were_known(count, late_minutes):
    """Of a loop: the close of the session so many later, plus what the price took to arrive."""
    sessions, horizon = session_table(30), Sessions(count)
    closes = sessions["close"].to_list()
    exits = [closes[i + count] if i + count < 30 else None for i in range(30)]
    known = [None if end is None else end + timedelta(minutes=late_minutes) for end in exits]
    labels = sessions.select("session", pl.col("open").alias("decision_time")).with_columns(
        pl.Series(return_column(horizon), [None if end is None else 0.1 for end in exits]),
        pl.Series(end_column(horizon), known, dtype=TIME),
    )
    for embargo in (0, 2):
        config = WalkForwardConfig(train_sessions=12, refit_sessions=6, embargo_sessions=embargo)
        refits = schedule(sessions, config)
        assert len(refits) == 3
        for refit in refits:
            expected = [i for i in range(30) if known[i] is not None and known[i] < refit.cutoff]
            used = training_rows(labels, refit, horizon)["session"].to_list()
            assert used == [sessions["session"][i] for i in expected]
            at = sessions["session"].to_list().index(refit.session)
            if not late_minutes:
                assert len(used) == at - embargo - count
            else:  # a day late: one session fewer, or more where a weekend lies between
                assert len(used) < at - embargo - count + 1


def test_labels_that_cross_blocks_are_purged_by_their_end():
    """Blocks of 10 minutes, labels of 15: those of the last two blocks before a cutoff reach it."""
    opened = session_table(1, minutes=120)["open"][0]
    starts = [opened + timedelta(minutes=10 * k) for k in range(12)]
    blocks_ = pl.DataFrame({"session": pl.Series(starts, dtype=TIME), "open": pl.Series(starts, dtype=TIME)})
    at = [opened + timedelta(minutes=5 * k) for k in range(24)]
    labels = pl.DataFrame(
        {
            "session": pl.Series([starts[k // 2] for k in range(24)], dtype=TIME),
            "return_15min": [0.1] * 24,
            "label_end_15min": pl.Series([time + timedelta(minutes=15) for time in at], dtype=TIME),
        }
    )
    for embargo, minutes in ((0, 60), (1, 50)):
        config = WalkForwardConfig(train_sessions=6, refit_sessions=3, embargo_sessions=embargo)
        refit = schedule(blocks_, config)[0]
        assert refit.cutoff == opened + timedelta(minutes=minutes)
        # ended before the cutoff, not at it: decided more than 15 minutes before
        expected = [time for time in at if time + timedelta(minutes=15) < opened + timedelta(minutes=minutes)]
        assert training_rows(labels, refit, 15 * MINUTE).height == len(expected) == (minutes - 15) // 5


def test_assign_gives_the_last_refit_at_or_before():
    days = session_table(12)["session"]
    refits = [days[4], days[9]]
    shuffled = pl.Series("session", [days[11], days[3], days[4], days[8], days[9], days[0]])
    assert assign(shuffled, refits).to_list() == [days[9], None, days[4], days[4], days[9], None]
    assert assign(shuffled, []).to_list() == [None] * 6


def test_wrong_sessions_and_configs_are_refused():
    sessions = session_table(12)
    with pytest.raises(DataError, match="repeat or go back"):
        schedule(sessions.reverse(), WalkForwardConfig())
    with pytest.raises(DataError, match="repeat or go back"):
        schedule(pl.concat([sessions.head(1), sessions]), WalkForwardConfig())
    with pytest.raises(DataError, match="lacks open"):
        schedule(sessions.drop("open"), WalkForwardConfig())
    assert schedule(sessions.clear(), WalkForwardConfig()) == []
    for wrong in ({"train_sessions": 0}, {"refit_sessions": 0}, {"train_sessions": 3, "embargo_sessions": 3}, {"x": 1}):
        with pytest.raises(ValidationError):
            WalkForwardConfig.model_validate(wrong)
