"""News features against their naive definition, and what later items may not change."""

from datetime import UTC, date, datetime, timedelta

import news_naive
import numpy as np
import polars as pl
import pytest

from gpu_kernels.errors import ArgumentError, ConfigError, DataError
from sentiment.embedded import TONES
from sentiment.features import FEATURES, GROUPS, asked, history, names_of, news_features, reads_novelty
from sentiment.item_stream import DAY, HOUR
from sentiment.novelty import largest_overlap, word_sets

START = datetime(2024, 1, 2, tzinfo=UTC)
TIME = pl.Datetime("ns", "UTC")
MAX_AGE = 3 * DAY
WORDS = ["profit", "loss", "rises", "falls", "outlook", "raised", "cut", "shares", "apple", "facebook", "today"]
NAMES = [name for group in GROUPS.names for name in names_of(group) if group != "statement"]
NAMES += ["news_attention_6h", "news_tone_15min", "news_tone_change_2h_3d", "news_market_surprise_1h_20d"]


def make_items(rows: int, seed: int, *, days: float = 40, entities: str = "AAA BBB CCC") -> pl.DataFrame:
    """Items with ties, revisions, repeats, items about several entities, items without a score or without a text."""
    draw = np.random.default_rng(seed)
    names = entities.split()
    texts: list[str | None] = []
    for _ in range(rows):
        if texts and draw.random() < 0.3:
            texts.append(f"RT {texts[draw.integers(len(texts))]} https://t.co/x")
        else:
            texts.append(" ".join(draw.choice(WORDS, draw.integers(0, 7))))
    seconds = np.sort(draw.integers(0, int(days * 86_400), rows))
    seconds[1::7] = seconds[0::7][: len(seconds[1::7])]
    items = [f"item-{number}" for number in range(rows)]
    for row in np.flatnonzero(draw.random(rows) < 0.2):  # of an item shortly before: a revision, or another entity
        items[row] = items[max(0, row - draw.integers(1, 6))]
    return pl.DataFrame(
        {
            "entity": draw.choice(names, rows),
            "item": items,
            "text": texts,
            "score": np.round(draw.uniform(-1, 1, rows), 4),
            "relevance": draw.choice([1.0, 1.0, 0.25, 0.0, np.nan], rows),
            "novelty": np.where(draw.random(rows) < 0.3, np.round(draw.random(rows), 3), np.nan),
            "delay": draw.choice([0, 2, 9 * 3600], rows),
            "known": np.sort(seconds),
        }
    ).select(
        "entity",
        event_time=(pl.lit(START) + pl.duration(seconds=pl.col("known") - pl.col("delay"))).cast(TIME),
        known_time=(pl.lit(START) + pl.duration(seconds="known")).cast(TIME),
        item="item",
        text="text",
        score=pl.when(pl.int_range(pl.len()) % 11 == 5).then(None).otherwise(pl.col("score")),
        relevance=pl.col("relevance").fill_nan(None),
        novelty="novelty",
    )


def make_grid(times: list[float], entities: str = "AAA BBB CCC DDD") -> pl.DataFrame:
    """Decisions at `times` (days from START) for each entity."""
    moments = pl.Series([START + timedelta(days=day) for day in times], dtype=TIME)
    return pl.DataFrame({"entity": entities.split()}).join(pl.DataFrame({"decision_time": moments}), how="cross")


def make_sessions(days: int = 60) -> pl.DataFrame:
    """Weekdays from 14:30 to 21:00, each tenth one to 18:00, and Saturdays from 15:00 on."""
    rows = []
    for number in range(days):
        day = date(2024, 1, 1) + timedelta(days=number)
        if day.weekday() < 6:
            opened = datetime(day.year, day.month, day.day, 15 if day.weekday() == 5 else 14, 30, tzinfo=UTC)
            rows.append((day, opened, opened + timedelta(hours=3.5 if number % 10 == 4 else 6.5)))
    frame = pl.DataFrame(rows, schema=["session", "open", "close"], orient="row")
    return frame.with_columns(pl.col("open", "close").cast(TIME))


SESSIONS = make_sessions()


def in_sessions(first: int, last: int, *, entities: str = "AAA BBB DDD", each: int = 3) -> pl.DataFrame:
    """Some decisions of sessions, the first at the open itself."""
    times = [
        (opened - START) / timedelta(days=1) + part * ((closed - opened) / timedelta(days=1))
        for opened, closed in SESSIONS[first:last].select("open", "close").iter_rows()
        for part in np.linspace(0, 0.97, each)
    ]
    return make_grid(times, entities)


def made(items: pl.DataFrame, grid: pl.DataFrame, names: list[str] = NAMES, **more: object) -> pl.DataFrame:
    return news_features(items, grid, names, **({"sessions": SESSIONS, "max_age_ns": MAX_AGE} | more))  # type: ignore[arg-type]


def assert_equals_naive(items: pl.DataFrame, grid: pl.DataFrame, names: list[str], **more: object) -> np.ndarray:
    found = made(items, grid, names, **more)
    assert found.columns == names
    assert set(found.dtypes) == {pl.Float64}
    naive = {"cutoff": more.get("cutoff_ns", 0), "shared": more.get("shared")}
    wanted = np.array(news_naive.news_features(names, items, grid, SESSIONS, max_age=MAX_AGE, **naive))  # type: ignore[arg-type]
    for place, name in enumerate(names):
        # a deviation is a root: of 1e-16 it is 1e-8
        loose = 1e-7 if "dispersion" in name else 1e-9
        np.testing.assert_allclose(found[name], wanted[:, place], rtol=loose, atol=loose, err_msg=name, equal_nan=True)
    return found.to_numpy()


def test_every_feature_equals_its_naive_definition() -> None:
    grid = pl.concat([in_sessions(0, 40, entities="AAA DDD", each=2), make_grid([-1, 0.01, 3.2, 41, 44, 59], "BBB")])
    found = assert_equals_naive(make_items(420, 1), grid, NAMES)
    compared = dict(zip(NAMES, (~np.isnan(found)).any(axis=0), strict=True))
    assert all(compared.values()), compared


def test_with_a_cutoff_before_the_close() -> None:
    names = [name for name in NAMES if asked(name).feature.needs == "sessions"]
    assert len(names) >= 7
    items, grid = make_items(400, 11), in_sessions(14, 30, each=4)
    found = assert_equals_naive(items, grid, names, cutoff_ns=2 * HOUR)
    assert not np.array_equal(found, made(items, grid, names).to_numpy(), equal_nan=True)


def test_at_the_very_nanosecond_of_an_item() -> None:
    items = make_items(30, 2, days=2)
    times = items["known_time"].unique().to_list()
    grid = pl.concat(
        pl.DataFrame({"entity": ["AAA"] * len(times), "decision_time": pl.Series(times, dtype=TIME)}).with_columns(
            pl.col("decision_time") + pl.duration(nanoseconds=shift)
        )
        for shift in (-1, 0, HOUR, HOUR - 1, DAY, DAY - 1)
    )
    assert_equals_naive(items, grid, [name for name in NAMES if "market" not in name])


def test_statements_of_one_entity_serve_all() -> None:
    items, grid = make_items(40, 12, entities="US"), in_sessions(5, 25, entities="AAA BBB", each=1)
    names = [*names_of("statement"), "news_tone_1d", "news_count_1d"]
    found = assert_equals_naive(items, grid, names, shared="US")
    half = grid.height // 2
    assert np.array_equal(found[:half], found[half:], equal_nan=True)
    assert (~np.isnan(found)).any(axis=0).all()


@pytest.mark.parametrize("cut_day", [0.5, 16.65, 21.7, 33.8])
def test_truncation_changes_no_bit_of_any_feature(cut_day: float) -> None:
    names = [*NAMES, *names_of("statement")]
    items, grid = make_items(500, 3), in_sessions(0, 40)
    cut = START + timedelta(days=cut_day)
    grid = pl.concat([grid, make_grid([cut_day], "AAA BBB DDD")])
    early = grid.filter(pl.col("decision_time") <= cut)
    for shared in (None, "AAA"):
        chosen = [name for name in names if shared is not None or name in NAMES]
        whole = made(items, grid, chosen, shared=shared).filter(grid["decision_time"] <= cut)
        sessions = SESSIONS.filter(pl.col("open") <= cut)
        known = items.filter(pl.col("known_time") <= cut)
        part = made(known, early, chosen, shared=shared, sessions=sessions if sessions.height else SESSIONS)
        for name in chosen:
            assert part[name].to_numpy().tobytes() == whole[name].to_numpy().tobytes(), name
        assert part.height > 0


def test_order_of_rows_changes_no_bit_of_any_feature() -> None:
    # ties, revisions and all
    items, grid = make_items(300, 5), in_sessions(10, 30, each=2)
    order = np.random.default_rng(0).permutation(grid.height)
    shuffled = made(items.sample(fraction=1, shuffle=True, seed=1), grid[order])
    whole = made(items, grid)[order]
    for name in NAMES:
        assert shuffled[name].to_numpy().tobytes() == whole[name].to_numpy().tobytes(), name


def test_novelty_moves_what_says_that_it_reads_it() -> None:
    names = [*NAMES, *names_of("statement"), "news_confident_tone_1d"]
    items = make_items(300, 8).with_columns(pl.lit("US").alias("entity"), *(pl.lit(0.3).alias(n) for n in TONES))
    items = items.unique("item", keep="first", maintain_order=True)
    share = pl.int_range(pl.len()) % 5 / 5
    grid = in_sessions(12, 30, entities="AAA", each=2)
    one, two = (
        made(items.with_columns(novelty=novelty), grid, names, shared="US") for novelty in (share, 1 - share.reverse())
    )
    moved = {name for name in names if not one[name].equals(two[name], null_equal=True)}
    weighted = {name for name in names if reads_novelty([name])}
    assert moved <= weighted
    # the lowest and the highest score do not, whatever they weigh
    assert {name for name in weighted - moved if "est_" not in name} == set()
    assert not reads_novelty(["news_count_1d", "news_statement_change"])
    assert reads_novelty(["news_count_1d", "news_tone_1h"])


def one_stream(*rows: tuple[float, str, float | None, str], late: float = 0) -> pl.DataFrame:
    """Items of AAA: (hours after START at which known, item, score, text), having happened `late` hours earlier."""
    return pl.DataFrame(
        {
            "entity": ["AAA"] * len(rows),
            "event_time": [START + timedelta(hours=row[0] - late) for row in rows],
            "known_time": [START + timedelta(hours=row[0]) for row in rows],
            "item": [row[1] for row in rows],
            "text": [row[3] for row in rows],
            "score": pl.Series([row[2] for row in rows], dtype=pl.Float64),
        }
    )


def at(items: pl.DataFrame, hours: list[float], *names: str, **more: object) -> list[list[float]]:
    grid = make_grid([hour / 24 for hour in hours], "AAA")
    return made(items, grid, list(names), **more).to_numpy().T.tolist()


class TestItems:
    def test_late_items_count_from_when_they_are_known(self) -> None:
        items = one_stream((48, "a", 0.5, "profit up"), late=48)
        (count, tone, since) = at(items, [24, 48], "news_count_1d", "news_tone_1d", "news_minutes_since")
        assert count == [0, 1]
        assert np.isnan(tone[0])
        assert tone[1] == 0.5
        assert since[1] == 0

    def test_duplicates_count_once(self) -> None:
        once = one_stream((1, "a", 0.5, "profit up"), (2, "b", -0.5, "loss"))
        grid = make_grid([0.1, 0.2, 1], "AAA")
        assert made(pl.concat([once, once]), grid).equals(made(once, grid))

    def test_revisions_replace_the_older_text_and_are_no_news(self) -> None:
        items = one_stream(
            (1, "a", 0.5, "profit up"), (2, "b", 0.1, "new plant"), (5, "a", -0.5, "correct: profit down")
        )
        names = (
            "news_count_1h",
            "news_count_1d",
            "news_lowest_1d",
            "news_last_tone",
            "news_tone_sum_1h",
            "news_tone_1h",
        )
        count, day, lowest, last, total, mean = at(items, [4, 5], *names)
        assert count == [0, 0]  # the revision is not a new item
        assert day == [2, 2]
        assert lowest == [0.1, -0.5]  # but what it says stands from then on
        assert last == [0.1, 0.1]  # and the latest item is still the other one
        assert total[0] == pytest.approx(0.5 * 2**-3 + 0.1 * 2**-2)
        assert total[1] == pytest.approx(-0.5 * 2**-4 + 0.1 * 2**-3)
        assert mean[1] == pytest.approx((-0.5 * 2**-4 + 0.1 * 2**-3) / (2**-4 + 2**-3))

    def test_a_revision_without_a_score_takes_the_tone_away(self) -> None:
        items = one_stream((1, "a", 0.5, "profit up"), (2, "a", None, ""))
        tone, count, scored = at(items, [1, 2], "news_tone_1d", "news_count_1d", "news_scored_1d")
        assert tone[0] == 0.5
        assert np.isnan(tone[1])
        assert (count, scored) == ([1, 1], [1, 0])

    def test_undated_items_are_refused(self) -> None:
        for name in ("known_time", "event_time"):
            items = make_items(5, 7).with_columns(pl.lit(None, TIME).alias(name))
            with pytest.raises(DataError, match=f"5 rows without {name}"):
                made(items, make_grid([1]))

    def test_zero_items_and_zero_scored_items_are_told_apart(self) -> None:
        items = one_stream((30, "a", None, "chart"))
        tone, count, scored = at(items, [24, 31], "news_tone_1d", "news_count_1d", "news_scored_1d")
        assert np.isnan(tone).all()
        assert (count, scored) == ([0, 1], [0, 0])

    def test_no_news_is_missing_and_not_neutral(self) -> None:
        items = one_stream((1, "a", 0.5, "profit up"))
        tones = [name for name in NAMES if "count" not in name and "scored" not in name and "attention" not in name]
        grid = make_grid([0, 40], "AAA")
        assert np.isnan(made(items, grid, tones).to_numpy()).all()

    def test_repeats_are_damped(self) -> None:
        repeats = [(1 + (k + 1) / 60, str(k), -1.0, "rt AT_USER $AAA net profit rises URL") for k in range(10)]
        items = one_stream((1, "first", 1.0, "$AAA net profit rises"), *repeats)
        tone, novel, count, new = at(
            items, [2], "news_window_tone_1d", "news_novel_tone_1d", "news_count_1d", "news_novelty"
        )
        assert tone == [pytest.approx((1 - 10 * 0.1) / 2, abs=1e-12)]
        assert novel == [1]  # a repeat has no novelty at all
        assert (count, new) == ([11], [0])

    def test_relevance_weighs(self) -> None:
        items = one_stream((1, "a", 1.0, "profit up"), (1.5, "b", -1.0, "loss")).with_columns(
            relevance=pl.Series([1.0, 0.25])
        )
        assert at(items, [2], "news_window_tone_1d") == [[pytest.approx(0.75 / 1.25)]]

    def test_an_item_about_two_entities_counts_once_for_the_market(self) -> None:
        items = one_stream((0, "x", 0.5, "profit up"), (0, "x", -0.5, "profit up")).with_columns(
            entity=pl.Series(["AAA", "BBB"]), relevance=pl.Series([0.75, 0.25])
        )
        found = made(items, make_grid([0.01], "AAA"), ["news_market_count_1h", "news_market_window_tone_1d"])
        assert found.row(0) == (1, 0.25)

    def test_confidence_is_one_less_entropy(self) -> None:
        items = one_stream((1, "a", 1.0, "profit up"), (1, "b", 0.0, "loss")).with_columns(
            negative=pl.Series([0.0, 1 / 3]), neutral=pl.Series([0.0, 1 / 3]), positive=pl.Series([1.0, 1 / 3])
        )
        assert at(items, [2], "news_confident_tone_1d") == [[pytest.approx(1)]]  # an even guess weighs nothing
        with pytest.raises(DataError, match="without the columns negative"):
            at(items.drop("negative"), [2], "news_confident_tone_1d")


class TestSessions:
    """A Tuesday from 14:30 to 21:00 UTC, a Wednesday, and so on; hours are counted from Tuesday's midnight."""

    def test_after_hours_items_belong_to_the_next_session(self) -> None:
        items = one_stream(
            (20, "in hours", 0.2, "a b c"), (22, "after hours", 0.4, "d e f"), (39, "next", 0.9, "g h i")
        )
        names = ("news_session_count", "news_overnight_count", "news_overnight_tone", "news_session_tone")
        session, overnight, tone, mean = at(items, [20.9, 38.5, 39.5], *names)
        assert session == [1, 1, 2]
        assert overnight == [0, 1, 1]  # settled at the open
        assert tone[1:] == [0.4, 0.4]
        assert mean[2] == pytest.approx(0.65)

    def test_what_comes_shortly_before_the_close_may_count_for_the_next_session(self) -> None:
        items = one_stream((20.95, "late", 0.4, "d e f"))
        names = ("news_session_count", "news_overnight_count", "news_count_1h")
        assert at(items, [21, 38.5], *names) == [[1, 0], [0, 0], [1, 0]]
        # decisions still see it as soon as it is known
        assert at(items, [21, 38.5], *names, cutoff_ns=10 * 60 * 10**9) == [[0, 1], [0, 1], [1, 0]]

    def test_a_half_day_ends_early(self) -> None:
        (number,) = [k for k, day in enumerate(SESSIONS["session"]) if day == date(2024, 1, 5)]
        assert SESSIONS["close"][number] - SESSIONS["open"][number] == timedelta(hours=3.5)
        items = one_stream((3 * 24 + 19, "after the early close", 0.4, "d e f"))
        saturday = 4 * 24 + 16
        assert at(items, [saturday], "news_overnight_count", "news_session_count") == [[1], [1]]

    def test_attention_compares_with_the_same_time_of_day(self) -> None:
        # three items each session at 15:00, none later; today as many at 15:00, and three more at 20:00
        weekdays = [day for day in range(30) if (START + timedelta(days=day)).weekday() < 5]
        hours = [24 * day + hour for day in weekdays for hour in (14.9, 14.95, 14.99)]
        today = 24 * weekdays[-1]
        hours += [today + hour for hour in (19.9, 19.95, 19.99)]
        items = one_stream(*((hour, str(k), 0.1, f"text {k}") for k, hour in enumerate(sorted(hours))))
        (score,) = at(items, [today + 15, today + 20], "news_attention_1h")
        assert score[0] == pytest.approx(0)
        # of 21 weekdays before, 3 were half days, closed by then
        assert score[1] == pytest.approx(3 / np.sqrt(1 / 18))

    def test_needs_sessions(self) -> None:
        with pytest.raises(ConfigError, match="without sessions"):
            at(one_stream((1, "a", 0.1, "b")), [2], "news_attention_1h", sessions=None)
        with pytest.raises(DataError, match="overlap"):
            at(one_stream((1, "a", 0.1, "b")), [2], "news_attention_1h", sessions=SESSIONS.reverse())


class TestStatements:
    def test_change_against_the_previous_one_however_old(self) -> None:
        items = one_stream((0, "jan", 0.3, "rates unchanged"), (24 * 42, "mar", -0.2, "rates raised"))
        names = ("news_statement_tone", "news_statement_change", "news_statement_days", "news_last_change")
        tone, change, days, last = at(items, [24, 24 * 42, 24 * 43, 24 * 46], *names, shared="AAA")
        np.testing.assert_allclose(tone, [0.3, -0.2, -0.2, np.nan])
        np.testing.assert_allclose(change, [np.nan, -0.5, -0.5, np.nan])
        np.testing.assert_allclose(days, [1, 0, 1, np.nan])
        assert np.isnan(last).all()  # six weeks are more than the source's max_age

    def test_needs_an_entity_that_serves_all(self) -> None:
        with pytest.raises(ConfigError, match="without `entity`"):
            at(one_stream((1, "a", 0.1, "b")), [2], "news_statement_tone")


def test_empty_tables() -> None:
    items, grid = make_items(50, 6), make_grid([1, 2])
    assert made(items, grid.clear()).shape == (0, len(NAMES))
    none = made(items.clear(), grid)
    counts = [name for name in NAMES if ("count" in name or "scored" in name) and none[name].is_not_nan().any()]
    assert {"news_count_1h", "news_scored_1d", "news_market_count_1d", "news_overnight_count"} <= set(counts)
    assert none.select(counts).fill_nan(0).sum().row(0) == (0.0,) * len(counts)
    assert np.isnan(none.drop(counts).to_numpy()).all()
    assert made(items.clear(), grid.clear()).height == 0


class TestBadTables:
    def test_missing_column(self) -> None:
        with pytest.raises(DataError, match="without the column 'score'"):
            news_features(make_items(5, 7).drop("score"), make_grid([1]))

    def test_times_that_are_text(self) -> None:
        with pytest.raises(DataError, match="known_time is String"):
            news_features(make_items(5, 7).with_columns(known_time=pl.lit("2024-01-02")), make_grid([1]))

    @pytest.mark.parametrize(("name", "value"), [("score", -7.0), ("relevance", 1.5), ("novelty", -0.1)])
    def test_numbers_out_of_range(self, name: str, value: float) -> None:
        with pytest.raises(DataError, match=f"a {name} of {value:g}"):
            news_features(make_items(5, 7).with_columns(pl.lit(value).alias(name)), make_grid([1]))

    def test_nan_score_is_an_item_without_tone(self) -> None:
        items, grid = make_items(30, 8), make_grid([3, 30])
        nans = items.with_columns(pl.col("score").fill_null(float("nan")))
        assert made(nans, grid).equals(made(items, grid))


class TestNames:
    def test_the_standard_ones_of_a_group_are_its_own(self) -> None:
        assert names_of("tone")[:4] == ["news_tone_1h", "news_tone_6h", "news_tone_1d", "news_tone_sum_1h"]
        assert all(name.startswith("news_market_") for name in names_of("market"))
        every = [name for group in GROUPS.names for name in names_of(group)]
        assert len(set(every)) == len(every)
        assert all(asked(name).name == name for name in every)

    def test_times_are_any_durations(self) -> None:
        found = asked("news_market_surprise_90min_7d")
        assert found.market
        assert found.times == (90 * 60 * 10**9, 7 * DAY)

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("news_ton_1h", "did you mean news_tone_1h"),
            ("news_tone", "did you mean news_tone_1h"),
            ("news_tone_0h", "a time of 0"),
            ("news_tone_99999d", "too long"),
            ("news_tone_change_1d_1h", "the shorter one"),
            ("news_market_statement_tone", "did you mean news_(?!market_statement)"),
        ],
    )
    def test_wrong_names(self, name: str, said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            asked(name)

    def test_every_feature_has_a_spec(self) -> None:
        assert all(spec.family == "news" and spec.missing and spec.meaning and spec.unit for spec in FEATURES)
        assert len({spec.name for spec in FEATURES}) == len(FEATURES)

    def test_columns_may_bear_a_prefix(self) -> None:
        found = news_features(make_items(9, 1), make_grid([1]), ["news_count_1h"], prefix="tweets_")
        assert found.columns == ["tweets_news_count_1h"]

    def test_history_reaches_as_far_as_items_matter(self) -> None:
        items, grid = make_items(900, 13, days=90), make_grid([80, 85, 89.5], "AAA BBB")
        names = ["news_tone_1h", "news_dispersion_1h", "news_window_tone_1d", "news_last_change", "news_novelty"]
        since = START + timedelta(days=80) - timedelta(microseconds=history(names, MAX_AGE) / 1000)
        recent = items.filter(pl.col("known_time") >= since)
        assert 0 < recent.height < items.height / 2
        np.testing.assert_allclose(made(recent, grid, names), made(items, grid, names), rtol=1e-9, atol=1e-9)
        assert history(["news_statement_tone"], MAX_AGE) == 2**62

    def test_history_reaches_the_first_version_of_a_late_revision(self) -> None:
        max_age, names = 60 * DAY, ["news_count_1d", "news_tone_1h"]
        known = [START + timedelta(days=day) for day in (1, 40, 55)]
        items = pl.DataFrame(
            {"entity": "AAA", "item": ["a", "a", "b"], "text": ["profit", "loss", "outlook"], "score": [0.5, -1, 1]},
            schema_overrides={"score": pl.Float64},
        ).with_columns(event_time=pl.Series(known, dtype=TIME), known_time=pl.Series(known, dtype=TIME))
        grid = make_grid([40.5], "AAA")
        since = START + timedelta(days=40.5) - timedelta(microseconds=history(names, max_age) / 1000)
        recent = items.filter(pl.col("known_time") >= since)
        whole = news_features(items, grid, names, max_age_ns=max_age)
        assert whole["news_count_1d"].to_list() == [0]
        assert news_features(recent, grid, names, max_age_ns=max_age).equals(whole, null_equal=True)


def novelty(texts: list, time: np.ndarray, offsets: np.ndarray, *, window_ns: int, capacity: int = 200) -> np.ndarray:
    """By words, against the texts that are recent and among the last `capacity`."""
    rule = {"window_ns": window_ns, "capacity": capacity, "either": False, "limit": capacity}
    return 1.0 - np.nan_to_num(largest_overlap(texts, time, offsets, **rule)[0], nan=0.0)


class TestNovelty:
    def test_equals_the_naive_definition(self) -> None:
        items = make_items(300, 9, days=3)
        texts = [*items["text"].to_list(), None, "", None]
        time = np.append(
            items["known_time"].dt.epoch("ns").to_numpy(), [3 * DAY + items["known_time"].dt.epoch("ns")[-1]] * 3
        )
        for window, capacity in ((DAY, 200), (10 * DAY, 7), (0, 5)):
            found = novelty(texts, time, np.array([0, len(texts)]), window_ns=window, capacity=capacity)
            np.testing.assert_allclose(
                found, news_naive.novelty(texts, time.tolist(), window, capacity), rtol=0, atol=1e-12
            )

    def test_streams_do_not_see_each_other(self) -> None:
        texts = ["profit rises", "profit rises", "profit rises"]
        found = novelty(texts, np.array([5, 1, 2]), np.array([0, 1, 1, 3]), window_ns=DAY)
        assert found.tolist() == [1, 1, 0]

    def test_bad_arguments(self) -> None:
        with pytest.raises(ArgumentError, match="falls"):
            novelty(["a", "b"], np.array([2, 1]), np.array([0, 2]), window_ns=1)
        with pytest.raises(ArgumentError, match="1 texts, 2 times"):
            novelty(["a"], np.array([1, 2]), np.array([0, 2]), window_ns=1)
        with pytest.raises(ArgumentError, match="capacity=0"):
            novelty(["a"], np.array([1]), np.array([0, 1]), window_ns=1, capacity=0)

    def test_word_sets(self) -> None:
        word, offsets = word_sets(["profit up, profit UP", None, "up @someone https://x.y/z"])
        assert offsets.tolist() == [0, 2, 2, 3]
        assert word[:2].tolist() == sorted(word[:2].tolist())
        assert word[2] in word[:2]
