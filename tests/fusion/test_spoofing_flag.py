"""The window score of spoofing over what is usual: against its definition, by hand, causal, across sessions and losses;
and of order events the orders' own lives, not guesses from levels."""

import math
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from fusion.features import book_spoofing
from fusion.features.book_liquidity import Traded
from fusion.features.book_rows import Book, BookSettings
from fusion.features.book_spoofing import HALF_LIFE, SECOND, USUAL_HALF_LIFE, USUAL_LAG, excess
from gpu_kernels.book.rebuild import rebuild
from gpu_kernels.book.spoofing import spoofing
from gpu_kernels.orders.origins import order_origins
from gpu_kernels.orders.replay import replay
from sources.simulate.orders import EpisodePlan, OrderSimulation, simulate_orders
from sources.stream import in_order

WARM_UP = 100 * SECOND
Sessions = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def sessions(count: int = 3, *, every: float = 1.0, lasting: int = 600, score: float | None = None) -> Sessions:
    """Rows and decisions of sessions a day apart: random scores, or one and the same in each row."""
    rng = np.random.default_rng(5)
    time, values, at = [], [], []
    for session in range(count):
        opened = session * 86_400 * SECOND
        own = np.arange(0, lasting * SECOND, round(every * SECOND))
        if score is None:
            own = np.sort(own + rng.integers(0, SECOND, len(own)))
        time.append(opened + own)
        values.append(rng.exponential(2.0, len(own)) * (rng.random(len(own)) < 0.05))
        at.append(opened + np.arange(-5, lasting, 7) * SECOND)
    values = np.concatenate(values) if score is None else np.full(sum(map(len, time)), score)
    offsets, at_offsets = (np.append(0, np.cumsum([len(part) for part in parts])) for parts in (time, at))
    return np.concatenate(time), values, offsets, np.concatenate(at), at_offsets


def naive(columns: Sessions, goes_on: np.ndarray) -> list[float]:
    """By the definition: sums over all rows, and integrals over all times between them, for each decision."""
    time, score, offsets, at, at_offsets = columns

    def faded(segment: int, now: int, half_life: int) -> np.ndarray:
        found = seen = 0.0
        rows = [i for i in range(offsets[segment], offsets[segment + 1]) if time[i] <= now]
        for i in rows:
            found += 0.0 if math.isnan(score[i]) else score[i] * 2.0 ** ((time[i] - now) / half_life)
            if i > rows[0] and not math.isnan(score[i - 1]):
                weights = [2.0 ** ((time[k] - now) / half_life) for k in (i, i - 1)]
                seen += (weights[0] - weights[1]) * half_life / math.log(2)
        return np.array([found, seen])

    out, left = [], np.zeros(2)
    for segment in range(len(goes_on)):
        own = at[at_offsets[segment] : at_offsets[segment + 1]]
        before = left if goes_on[segment] else np.zeros(2)
        for now in own.tolist():
            window, span = faded(segment, now, HALF_LIFE)
            left = faded(segment, now - USUAL_LAG, USUAL_HALF_LIFE) + before * 2.0 ** ((own[0] - now) / USUAL_HALF_LIFE)
            usual = left[0] / left[1] * span if left[1] >= WARM_UP else math.nan
            out.append((1 + window) / (1 + usual) - 1)
    return out


def with_a_loss(columns: Sessions) -> Sessions:
    time, score, *rest = columns
    lost = (time > 200 * SECOND) & (time < 330 * SECOND)
    return time, np.where(lost, np.nan, score), *rest  # type: ignore[return-value]


@pytest.mark.parametrize("goes_on", [[False, True, True], [False, False, True]])
def test_it_is_what_the_definition_says(goes_on: list[bool]) -> None:
    columns, flags = with_a_loss(sessions()), np.array(goes_on)
    got = excess(*columns, flags, warm_up=WARM_UP)
    assert 100 < np.isfinite(got).sum() < len(got)
    assert (got[np.isfinite(got)] > 0.5).any()
    np.testing.assert_allclose(got, naive(columns, flags), rtol=1e-9, atol=1e-12)


def test_where_there_were_none_it_is_the_window_score() -> None:
    time, score, offsets, *_ = sessions(1, score=0.0)
    score[400] = 1.0
    got = excess(time, score, offsets, np.array([400, 430, 460]) * SECOND, np.array([0, 3]), np.array([False]),
                 warm_up=WARM_UP)  # fmt: skip
    np.testing.assert_allclose(got[:2], [1.0, 2**-0.5])
    # a minute later it counts as usual too: one in 400 s, faded
    span, seen = (1 - 2 ** -(460 / 60)) * HALF_LIFE, (1 - 2 ** -(400 / 1200)) * USUAL_HALF_LIFE
    assert got[2] == pytest.approx(1.5 / (1 + span / seen) - 1)


@pytest.mark.parametrize("score", [0.01, 1.0, 50.0])
def test_what_is_always_so_is_no_excess(score: float) -> None:
    got = excess(*sessions(1, score=score), np.array([False]), warm_up=WARM_UP)
    assert np.isnan(got[:20]).all()
    np.testing.assert_allclose(got[30:], 0.0, atol=0.01)


def test_twice_the_usual_and_one_clear_case_raise_the_flag() -> None:
    time, score, offsets, *_ = sessions(1, score=0.1)
    now = np.array([500 * SECOND])
    columns = time, score, offsets, now, np.array([0, 1])
    weight = 2.0 ** (-(500 * SECOND - time[time <= now[0]]) / HALF_LIFE)
    usual = 0.1 * weight.sum()
    score[500] += 1 + usual
    got = excess(*columns, np.array([False]), warm_up=WARM_UP)
    assert got[0] == pytest.approx(1.0, abs=0.02)


def test_a_session_knows_what_was_usual_in_the_one_before() -> None:
    columns = sessions(2, score=0.1)
    first = columns[4][1] + 2
    alone, carried = (excess(*columns, np.array([False, follows]), warm_up=WARM_UP) for follows in (False, True))
    assert np.isnan(alone[first])
    assert np.isfinite(carried[first])
    np.testing.assert_array_equal(alone[: columns[4][1]], carried[: columns[4][1]])


@pytest.mark.parametrize("seconds", [250, 333, 590, 86_400 + 300])
def test_the_past_does_not_move(seconds: int) -> None:
    time, score, offsets, at, at_offsets = columns = with_a_loss(sessions(2))
    flags = np.array([False, True])
    whole = excess(*columns, flags, warm_up=WARM_UP)
    kept, asked = time <= seconds * SECOND, at <= seconds * SECOND
    ends, at_ends = (np.minimum(edges, part.sum()) for edges, part in ((offsets, kept), (at_offsets, asked)))
    cut = excess(time[kept], score[kept], ends, at[asked], at_ends, flags, warm_up=WARM_UP)
    assert np.isfinite(cut).any()
    np.testing.assert_array_equal(cut, whole[: len(cut)])


@pytest.fixture(scope="module")
def market():  # type: ignore[no-untyped-def]
    plan = EpisodePlan(spoof=3, layering=2, drought=0, spoof_strength=(5.0, 20.0))
    return simulate_orders(OrderSimulation(seed=31, sessions=1, quiet_sessions=0, duration=900, plan=plan))


def test_of_order_events_the_orders_tell_what_vanished(market, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    events, trades = in_order(market.order_event, "order_event")[0], in_order(market.trade, "trade")[0]
    opened = events["known_time"].min()
    times = pl.Series([opened + timedelta(seconds=5 * k) for k in range(1, 180)]).cast(events["known_time"].dtype)
    grid = pl.DataFrame({"entity": events["entity"][:1].extend_constant(events["entity"][0], len(times) - 1),
                         "session": [events["session"][0]] * len(times), "decision_time": times})  # fmt: skip
    book = Book.of_orders(events, grid, 60 * SECOND, BookSettings(tick=1.0, lot=0.001), continuous=False)

    def guessed(*_: object, **__: object) -> None:
        raise AssertionError("guessed from levels")

    monkeypatch.setattr("fusion.features.book_spoofing.origins.level_origins", guessed)
    traded = Traded(book, trades)
    score, *_ = book_spoofing.Suspicion(book, traded).found

    # the same of the events themselves, a row each
    time = events["known_time"].to_physical().to_numpy()
    order, action, side = (events[name].to_numpy() for name in ("order", "action", "side"))
    tick, lots = (
        np.rint(events[name].to_numpy() * per).astype(np.int64) for name, per in (("price", 1), ("size", 1000))
    )
    offsets = np.array([0, len(time)])
    played = replay(time, order, action, side, tick, lots, offsets)
    ends = np.searchsorted(played.event, np.arange(len(time)), side="right") - 1
    updates = np.array([0, len(played.side)])
    shown = rebuild(played.side, played.price_ticks, played.lots, updates, 10, action=played.action, at=ends)
    origins = order_origins(time, order, tick, lots, action, offsets)
    wanted, *_ = spoofing(
        time, tick, *origins, side, *shown, offsets, traded.time, traded.lots, traded.side, traded.offsets
    )
    assert (wanted >= 1).sum() >= 3
    got = np.zeros(len(time))
    np.add.at(got, played.event, score)
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
