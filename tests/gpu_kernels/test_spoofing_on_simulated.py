"""The detector on a simulated market with planted spoofs and decoys, and what the cleaned book is worth."""

import numpy as np
import polars as pl
import pytest

from benchmarks.detectors import spoofing as detectors
from benchmarks.detectors.frame import Market, judged
from gpu_kernels.book.state import weighted_imbalance
from sources.simulate.orders import EpisodePlan, OrderSimulation, simulate_orders

PLAN = EpisodePlan(
    spoof=5, layering=4, drought=0, large_stays=2, large_executed=3, large_late=3, flicker=3, one_sided=0, short_gap=0,
    jump=0, lull=0, spoof_strength=(5.0, 20.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(simulate_orders(OrderSimulation(seed=31, sessions=1, quiet_sessions=0, duration=1200, plan=PLAN)))


@pytest.mark.parametrize("level", ["level 3", "level 2"])
def test_strong_spoofs_are_found_above_chance(market: Market, level: str) -> None:
    one = next(one for one in detectors.detectors() if one.name == f"spoofing, {level}")
    judgement = judged(one, [market], draws=50)
    assert judgement.recall >= 0.8
    assert judgement.precision >= 0.6
    assert judgement.recall > judgement.own_chance_recall + 0.5


def test_decoys_are_hit_by_size_alone_and_not_by_the_detector(market: Market) -> None:
    def hit(name: str) -> dict[str, int]:
        one = next(one for one in detectors.detectors() if one.name == name)
        decoys = judged(one, [market], draws=1).decoys
        return dict(zip(decoys["kind"], decoys["hit"], strict=True))

    ours, size = hit("spoofing, level 3"), hit("size alone")
    for kind in ("flicker", "large_executed"):
        assert ours[kind] == 0
        assert size[kind] == 3


def test_no_order_of_a_decoy_is_an_alarm(market: Market) -> None:
    """By the orders' own identifiers: a decoy that lasts for minutes may hold somebody else's spoof."""
    rows = detectors.feed(market)
    score, *_ = rows.scored(rows.from_orders())
    alarmed = set(rows.order[score >= 0.5].tolist())
    truth = market.found.truth
    decoys = set(truth.filter("is_decoy")["orders"].explode().drop_nulls().to_list())
    planted = set(truth.filter(~pl.col("is_decoy"))["orders"].explode().drop_nulls().to_list())
    assert not alarmed & decoys
    assert len(alarmed & planted) >= 6


def test_the_cleaned_imbalance_leans_less_while_a_spoof_rests(market: Market) -> None:
    rows = detectors.feed(market)
    *_, bids, asks = rows.scored(rows.from_orders())
    weights = np.ones(len(bids))
    raw, clean = (weighted_imbalance(*pair, weights=weights) for pair in (rows.books[1::2], (bids, asks)))
    truth = market.found.truth.filter(~pl.col("is_decoy"))
    leans, during = [], np.zeros(len(rows.time), bool)
    for start, end, side in zip(
        *(truth[name].to_physical().to_list() for name in ("start", "end")), truth["side"], strict=True
    ):
        inside = (rows.time > start) & (rows.time < end)
        before = (rows.time > start - 10 * 10**9) & (rows.time < start)
        leans.append([side * (one[inside].mean() - one[before].mean()) for one in (raw, clean)])
        during |= inside
    lean_raw, lean_clean = np.mean(leans, axis=0)
    assert lean_raw > 0.1
    assert lean_clean < 0.7 * lean_raw
    there = ~during & np.isfinite(raw) & np.isfinite(clean)
    assert np.corrcoef(raw[there], clean[there])[0, 1] > 0.9
