"""The time of day: planted patterns come back, wild bars and missing hours hardly move them, and no session teaches
itself."""

import numpy as np
import pytest
from naive.volatility_diurnal import pattern as naive_slots
from naive.volatility_diurnal_fourier import pattern as naive_fourier

from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility import diurnal, diurnal_fourier

SLOTS, DAYS = 39, 260
PLACE = np.linspace(-1.0, 1.0, SLOTS)
U_SHAPE = (0.4 + 2.0 * PLACE**2 + 0.8 * (PLACE < -0.9)) / np.mean(0.4 + 2.0 * PLACE**2 + 0.8 * (PLACE < -0.9))
ESTIMATORS = [
    pytest.param(diurnal.pattern, {"smoothing": 2}, id="slots"),
    pytest.param(diurnal_fourier.pattern, {"pairs": 2, "opening": 2}, id="log"),
    pytest.param(diurnal_fourier.pattern, {"pairs": 2, "opening": 2, "response": "square"}, id="square"),
]


def market(seed: int, days: int = DAYS, shape: np.ndarray = U_SHAPE, *, wild: float = 0.0) -> np.ndarray:
    """Squared returns (days, slots): a level that clusters over days and slots, times the shape, times squared normals;
    a share of the bars jumps to a hundred times its variance."""
    rng = np.random.default_rng(seed)
    level = np.empty(days * SLOTS)
    state = 1.0
    for i in range(len(level)):
        level[i] = state
        state = 0.03 + 0.97 * state if i == 0 else 0.02 + 0.9 * state + 0.08 * state * rng.normal() ** 2
    variance = level.reshape(days, SLOTS) * shape * 1e-6
    return variance * rng.normal(size=variance.shape) ** 2 * np.where(rng.random(variance.shape) < wild, 100.0, 1.0)


def table(proxy: np.ndarray, day_class: np.ndarray | None = None, lengths: np.ndarray | None = None) -> tuple:
    days, slots = proxy.shape
    slot = np.tile(np.arange(slots), days)
    return (
        proxy.ravel(),
        slot,
        np.arange(days + 1) * slots,
        np.full(days, slots) if lengths is None else lengths,
        np.zeros(days, np.int64) if day_class is None else day_class,
        np.array([0, days]),
    )


def pattern_of(estimator, *arrays, **keywords) -> np.ndarray:
    found = estimator(*arrays, **{"slots": SLOTS, **keywords})
    return found[0] if isinstance(found, tuple) else found


def distance(pattern: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((pattern / truth - 1.0) ** 2)))


@pytest.mark.parametrize(("estimator", "settings"), ESTIMATORS)
class TestAllEstimators:
    def test_a_planted_shape_comes_back(self, estimator, settings: dict) -> None:
        found = pattern_of(estimator, *table(market(1)), half_life=120.0, **settings)
        assert np.isnan(found[:5]).all()
        assert np.isfinite(found[5:]).all()
        np.testing.assert_allclose(found[5:].mean(axis=1), 1.0, rtol=1e-12)
        assert distance(found[-1], U_SHAPE) < 0.12
        assert distance(found[-1], U_SHAPE) < 0.25 * distance(np.ones(SLOTS), U_SHAPE)
        assert distance(found[-1], U_SHAPE) < distance(found[8], U_SHAPE)

    def test_wild_bars_are_clipped(self, estimator, settings: dict) -> None:
        robust, plain = (
            np.mean(
                [
                    distance(pattern_of(estimator, *table(market(seed, wild=0.02)), cut=cut, **settings)[-1], U_SHAPE)
                    for seed in (2, 3, 4)
                ]
            )
            for cut in (6.635, np.inf)
        )
        assert robust < 0.2
        # logarithms do not mind them anyway
        assert robust < 0.6 * plain or (estimator is diurnal_fourier.pattern and "response" not in settings)

    def test_a_weekday_has_its_own_shape(self, estimator, settings: dict) -> None:
        late = PLACE > 0.3
        friday = U_SHAPE * np.where(late, 3.0, 1.0)
        friday /= friday.mean()
        weekday = np.arange(DAYS) % 5
        shape = np.where((weekday == 4)[:, None], friday, U_SHAPE)
        keywords = {"classes": 5, "half_life": 500.0, **settings}
        lift = []
        for seed in (5, 6, 7):
            arrays = table(market(seed, shape=shape), weekday)
            found = pattern_of(estimator, *arrays, class_shrinkage=5.0, **keywords)
            alike = pattern_of(estimator, *arrays, class_shrinkage=np.inf, **keywords)
            lift.append(found[-1][late].sum() / found[-2][late].sum())
            assert distance(found[-1], friday) < 0.75 * distance(alike[-1], friday)
            np.testing.assert_allclose(alike[-1], alike[-2], rtol=0.1)
        # shares of a session whose level wanders are drawn towards each other, and so does the shrinking
        wanted = friday[late].sum() / U_SHAPE[late].sum()
        assert 1.0 + 0.5 * (wanted - 1.0) < np.mean(lift) < wanted * 1.1

    def test_few_sessions_of_a_class_change_little(self, estimator, settings: dict) -> None:
        proxy, weekday = market(6, 60), np.zeros(60, np.int64)
        weekday[50], weekday[59] = 1, 1
        proxy[50] = proxy[50][::-1] * np.linspace(0.1, 10.0, SLOTS)
        found = pattern_of(estimator, *table(proxy, weekday), classes=2, class_shrinkage=50.0, **settings)
        pooled = pattern_of(estimator, *table(proxy, weekday), classes=2, class_shrinkage=np.inf, **settings)
        assert distance(found[59], pooled[59]) < 0.12
        # a class that has not come yet has the pattern of all days
        np.testing.assert_allclose(found[50], pooled[50], rtol=0.02)

    def test_no_session_moves_its_own_pattern_or_an_earlier_one(self, estimator, settings: dict) -> None:
        proxy, weekday = market(7, 40, wild=0.02), np.arange(40) % 5
        proxy[np.random.default_rng(0).random(proxy.shape) < 0.05] = np.nan
        whole = pattern_of(estimator, *table(proxy, weekday), classes=5, **settings)
        for day in (6, 20, 39):
            other = proxy.copy()
            other[day:] = other[day:][::-1] * 7.0 + 1e-6
            changed = pattern_of(estimator, *table(other, weekday), classes=5, **settings)
            np.testing.assert_array_equal(whole[: day + 1], changed[: day + 1])
            # a few rows of the session, and nothing after it
            rows = day * SLOTS + 3
            cut = list(table(proxy, weekday))
            cut = [cut[0][:rows], cut[1][:rows], np.append(cut[2][: day + 1], rows), *(a[: day + 1] for a in cut[3:5])]
            part = pattern_of(estimator, *cut, np.array([0, day + 1]), classes=5, **settings)
            np.testing.assert_array_equal(whole[: day + 1], part)

    def test_an_entity_is_alone(self, estimator, settings: dict) -> None:
        one, other = market(8, 30), market(9, 20)
        arrays = list(table(np.concatenate([one, other])))
        arrays[5] = np.array([0, 30, 30, 50])
        both = pattern_of(estimator, *arrays, **settings)
        np.testing.assert_array_equal(both[:30], pattern_of(estimator, *table(one), **settings))
        np.testing.assert_array_equal(both[30:], pattern_of(estimator, *table(other), **settings))

    def test_missing_first_hours(self, estimator, settings: dict) -> None:
        """A lively hour that is missing on every second day neither lowers the level nor counts as calm."""
        proxy = market(10)
        holed = proxy.copy()
        holed[::2, :8] = np.nan
        full = pattern_of(estimator, *table(proxy), half_life=120.0, **settings)[-1]
        found = pattern_of(estimator, *table(holed), half_life=120.0, **settings)[-1]
        assert distance(found, full) < 0.12
        # never seen: missing, and the others' mean is 1 without it
        holed[:, :8] = np.nan
        never = pattern_of(estimator, *table(holed), half_life=120.0, **settings)[-1]
        assert np.isnan(never[:8]).all()
        assert never[8:].mean() == pytest.approx(1.0)

    def test_short_sessions(self, estimator, settings: dict) -> None:
        proxy, lengths, day_class = market(11, 100), np.full(100, SLOTS), np.zeros(100, np.int64)
        lengths[[60, 99]], day_class[[60, 99]] = 20, -1
        full = pattern_of(estimator, *table(np.delete(proxy, 60, axis=0)), **settings)
        found = pattern_of(estimator, *table(proxy, day_class, lengths), close_slots=6, **settings)
        # it taught nothing, by its own rows or by those that came after its close
        np.testing.assert_array_equal(found[61:99], full[60:98])
        np.testing.assert_array_equal(found[99, :14], full[98, :14])
        np.testing.assert_array_equal(found[99, 14:20], full[98, SLOTS - 6 :])
        assert np.isnan(found[99, 20:]).all()

    def test_a_dead_or_hardly_seen_session_teaches_nothing(self, estimator, settings: dict) -> None:
        proxy = market(12, 30)
        dead = np.insert(proxy, [20, 20], 0.0, axis=0)
        dead[21, :] = np.nan
        dead[21, :9] = 1e-3
        whole = pattern_of(estimator, *table(proxy), **settings)
        found = pattern_of(estimator, *table(dead), **settings)
        np.testing.assert_array_equal(found[22:], whole[20:])


@pytest.mark.parametrize(
    ("kernel", "reference", "settings"),
    [
        (diurnal.pattern, naive_slots, {"smoothing": 3}),
        (diurnal.pattern, naive_slots, {"smoothing": 0, "cut": np.inf, "level_half_life": 2.0}),
        (diurnal_fourier.pattern, naive_fourier, {"pairs": 3, "half_life": 15.0}),
        (diurnal_fourier.pattern, naive_fourier, {"pairs": 1, "opening": 3, "closing": 0, "response": "square"}),
    ],
)
def test_many_sessions_are_those_of_the_definition(kernel, reference, settings: dict) -> None:
    proxy, rng = market(13, 40, wild=0.02), np.random.default_rng(13)
    proxy[rng.random(proxy.shape) < 0.05] = np.nan
    proxy[::3, :6] = np.nan
    lengths = np.where(np.arange(40) % 9 == 5, 25, SLOTS)
    day_class = np.where(lengths < SLOTS, -1, np.arange(40) % 5)
    arrays = table(proxy, day_class, lengths)
    keywords = {"slots": SLOTS, "classes": 5, "class_shrinkage": 4.0, "close_slots": 5, **settings}
    got, wanted = kernel(*arrays, **keywords), reference(*arrays, **keywords)
    if isinstance(got, tuple):
        np.testing.assert_allclose(got[1], wanted[1], rtol=1e-9)
        got, wanted = got[0], wanted[0]
    assert np.isfinite(got).sum() > 30 * 25
    np.testing.assert_allclose(got, wanted, rtol=1e-9)


def test_the_expected_level_is_of_past_sessions() -> None:
    proxy = market(14, 3)
    _, level = diurnal.pattern(*table(proxy), slots=SLOTS, cut=np.inf, level_half_life=1.0)
    assert np.isnan(level[0])
    assert level[1] == pytest.approx(proxy[0].mean())
    # of a mean of 1 and a first pattern that is flat, half of what is new
    f = (1.0 + proxy[0] / proxy[0].mean()) / 2.0
    f /= f.mean()
    assert level[2] == pytest.approx((level[1] + proxy[1].sum() / f.sum()) / 2.0)


def test_rows_of_a_slot_are_averaged() -> None:
    proxy = market(15, 20)
    halves = np.stack([0.5 * proxy, 1.5 * proxy], axis=2)
    arrays = table(proxy)
    twice = (halves.ravel(), np.repeat(arrays[1], 2), arrays[2] * 2, *arrays[3:])
    for one, other in zip(diurnal.pattern(*arrays, slots=SLOTS), diurnal.pattern(*twice, slots=SLOTS), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_deseasonalised_returns_are_level() -> None:
    proxy = market(16)
    sign = np.where(np.random.default_rng(0).random(proxy.size) < 0.5, -1.0, 1.0)
    arrays = table(proxy)
    pattern, _ = diurnal.pattern(*arrays, slots=SLOTS, smoothing=2)
    found = diurnal.deseasonalised(sign * np.sqrt(arrays[0]), *arrays[1:4], pattern).reshape(DAYS, SLOTS)[60:]
    by_slot = np.mean(found**2, axis=0) / np.mean(found**2)
    assert np.std(by_slot) < 0.35 * np.std(np.mean(proxy[60:], axis=0) / np.mean(proxy[60:]))


def test_abnormal_volume() -> None:
    proxy = market(17, 60)
    arrays = table(proxy)
    arrays[0][59 * SLOTS + 7] = 12.0 * proxy[58].mean()
    pattern, level = diurnal.pattern(*arrays, slots=SLOTS, cut=np.inf)
    found = diurnal.relative(arrays[0], *arrays[1:4], pattern, level)
    assert np.isnan(found[: 5 * SLOTS]).all()
    assert 0.5 < np.mean(found[20 * SLOTS :]) < 2.0
    assert found[59 * SLOTS + 7] == pytest.approx(12.0 * proxy[58].mean() / (level[59] * pattern[59, 7]))


def test_the_mean_ahead_stops_at_the_close() -> None:
    pattern = np.array([[1.0, 2.0, 3.0, 6.0, np.nan]])
    slot, offsets, lengths = np.array([0, 2, 3, 4, -1]), np.array([0, 5]), np.array([4])
    np.testing.assert_array_equal(diurnal.factor(slot, offsets, lengths, pattern), [1.0, 3.0, 6.0, np.nan, np.nan])
    ahead = diurnal.factor(slot, offsets, lengths, pattern, ahead=2)
    np.testing.assert_array_equal(ahead, [2.5, 6.0, np.nan, np.nan, np.nan])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slots": 0}, "slots is 0"),
        ({"slots": 5}, "lengths spans 39 to 39; allowed: 0 to slots, which is 5"),
        ({"classes": 0}, "classes is 0"),
        ({"close_slots": 40}, "close_slots is 40; allowed: a whole number, 0 to 39"),
        ({"half_life": 0}, "half_life is 0; allowed: a number above 0"),
        ({"half_life": np.nan}, "half_life is nan"),
        ({"cut": 0.5}, "cut is 0.5"),
        ({"minimum_sessions": 0}, "minimum_sessions is 0"),
        ({"class_shrinkage": -1.0}, "class_shrinkage is -1.0"),
    ],
)
def test_mistakes_are_named(change: dict, message: str) -> None:
    for estimator in (diurnal.pattern, diurnal_fourier.pattern):
        with pytest.raises(ArgumentError, match=message):
            pattern_of(estimator, *table(market(1, 2)), **change)


def test_mistakes_of_arrays_are_named() -> None:
    arrays = table(market(1, 2))
    with pytest.raises(ArgumentError, match="lengths has 1 numbers for 2 sessions"):
        diurnal.pattern(*arrays[:3], arrays[3][:1], arrays[4][:1], np.array([0, 1]), slots=SLOTS)
    with pytest.raises(ArgumentError, match="day_class spans 0 to 3; allowed: -1 to classes - 1, which is 0"):
        diurnal.pattern(*arrays[:4], np.array([0, 3]), arrays[5], slots=SLOTS)
    with pytest.raises(ArgumentError, match="slot is float64; allowed: int64"):
        diurnal.pattern(arrays[0], arrays[1] * 1.0, *arrays[2:], slots=SLOTS)
    with pytest.raises(ArgumentError, match="21 terms for sessions of 14 slots"):
        diurnal_fourier.pattern(*table(market(1, 2)[:, :14]), slots=14, pairs=8)
    with pytest.raises(ArgumentError, match='response is \'cube\'; allowed: "log" or "square"'):
        pattern_of(diurnal_fourier.pattern, *arrays, response="cube")
    with pytest.raises(ArgumentError, match="lengths 2, pattern 1 for 2 sessions"):
        diurnal.factor(*arrays[1:4], np.ones((1, SLOTS)))
