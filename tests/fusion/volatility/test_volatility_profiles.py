"""The curves of a sample: what was planted in its bins is what the pictures show."""

from datetime import date, timedelta

import numpy as np
import pytest

from fusion.studies.volatility_profiles import EDGES, diurnal_curves, event_curve, rows_of
from fusion.studies.volatility_samples import MINUTE, Sample
from fusion.volatility.bins import SessionBins

DAYS, SLOTS, STEP = 200, 78, 5 * MINUTE
U_SHAPE = 0.5 + 1.5 * np.linspace(-1, 1, SLOTS) ** 2
U_SHAPE /= U_SHAPE.mean()


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Sessions of 78 bins from 14:30 UTC, one in twenty of 42; an event at bin 40 of every fourth triples variance for
    half an hour."""
    rng = np.random.default_rng(0)
    days = [date(2020, 1, 6) + timedelta(days=day) for day in range(300)]
    days = [day for day in days if day.weekday() < 5][:DAYS]
    opens = np.array([(day - date(1970, 1, 1)).days * 1440 + 870 for day in days], np.int64) * MINUTE
    lengths = np.where(np.arange(DAYS) % 20 == 19, 42, SLOTS)
    factor = np.tile(U_SHAPE, (DAYS, 1))
    factor[lengths == 42] = np.nan
    factor[lengths == 42, :42] = np.concatenate([U_SHAPE[:30], U_SHAPE[-12:]])
    events = opens[1::4] + 40 * STEP
    factor[1::4, 40:46] *= 3.0
    variance = 1e-6 * factor * rng.chisquare(10, factor.shape) / 10
    bins = SessionBins(opens, opens + lengths * STEP, STEP, np.sqrt(variance), variance)
    return Sample(
        "planted",
        bins,
        tuple(days),
        {"fomc": events},
        opens,
        opens + lengths * STEP,
        np.ones(variance.shape, np.int64),
    )


def test_rows_are_the_bins_that_sessions_have(sample: Sample) -> None:
    rows = rows_of(sample)
    assert len(rows.proxy) == np.isfinite(sample.bins.variance).sum()
    assert set(rows.day_class[rows.lengths == 42]) == {-1}
    assert set(rows.day_class[rows.lengths == SLOTS]) == set(range(5))
    np.testing.assert_array_equal(rows.start, rows.start[np.argsort(rows.start)])


def test_the_time_of_day(sample: Sample) -> None:
    curves = diurnal_curves(sample)
    quiet = np.r_[0:40, 46:SLOTS]
    for curve in (curves.robust, curves.plain, *curves.weekdays):
        np.testing.assert_allclose(curve[quiet] / curve[quiet].mean(), U_SHAPE[quiet] / U_SHAPE[quiet].mean(), rtol=0.2)
    assert np.corrcoef(curves.fourier, U_SHAPE)[0, 1] > 0.97
    np.testing.assert_allclose(curves.short[:30], curves.robust[:30])
    np.testing.assert_allclose(curves.short[30:42], curves.robust[-12:])
    assert np.isnan(curves.short[42:]).all()


def test_events(sample: Sample) -> None:
    curve = event_curve(sample, "fomc")
    after = (EDGES[:-1] >= 0) & (EDGES[:-1] < 30 * MINUTE)
    # a quarter of the sessions have one, which the factor of the slot knows of
    assert curve.mean[after].mean() == pytest.approx(3.0 / 1.4, rel=0.25)
    assert curve.multiplier[after].mean() == pytest.approx(curve.mean[after].mean(), rel=0.15)
    np.testing.assert_allclose(curve.mean[~after], 1.0, atol=0.35)
    assert curve.ratios.shape == (49, len(EDGES) - 1)
