"""The news features: what each is, and its formula over a view of one stream."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpu_kernels.spec import FeatureSpec
from sentiment.decision_view import ATTENTION_MINIMUM, ATTENTION_SESSIONS, NEGATIVE_SCORE, View
from sentiment.feature_names import NewsFeature
from sentiment.item_stream import DAY, Floats, Int64s
from sentiment.repeats import REPEAT_WEIGHT

MINUTE = 60 * 10**9
FADED = 10
"""Half-lives after which a stream of one item has nothing left to say."""
_LEAST = 2.0**-FADED
# of the usual that a surprise is measured by
_USUAL_ITEMS, _USUAL_DEVIATION = 10, 0.01
# share of the usual's time that must have passed since the first item
_HISTORY = 6


def _enough(total: Floats, values: Floats) -> Floats:
    return np.where(total >= _LEAST, values, np.nan)


def _decayed_mean(weighting: str) -> Callable[[View, int], Floats]:
    def formula(view: View, half_life: int) -> Floats:
        total, mean, _ = view.decayed(weighting, half_life)
        return _enough(total, mean)

    return formula


tone = _decayed_mean("tone")


def tone_sum(view: View, half_life: int) -> Floats:
    total, mean, _ = view.decayed("tone", half_life)
    return _enough(total, total * mean)


def dispersion(view: View, half_life: int) -> Floats:
    total, _, deviation = view.decayed("tone", half_life)
    return _enough(total, deviation)


def tone_change(view: View, short: int, long: int) -> Floats:
    change: Floats = tone(view, short) - tone(view, long)
    return change


def surprise(view: View, short: int, long: int) -> Floats:
    _, usual, deviation = view.decayed("tone", long, before=short)
    known = (view.count(long, before=short, scored=True) >= _USUAL_ITEMS) & (deviation >= _USUAL_DEVIATION)
    found: Floats = np.divide(tone(view, short) - usual, deviation, out=np.full(len(usual), np.nan), where=known)
    return found


def window_moment(place: int) -> Callable[[View, int], Floats]:
    def formula(view: View, window: int) -> Floats:
        found: Floats = view.window(window)[1][place]
        return found

    return formula


def _recent(view: View, values: Floats, age: Floats) -> Floats:
    return values if view.max_age is None else np.where(age <= view.max_age, values, np.nan)


def last_tone(view: View) -> Floats:
    return _recent(view, view.of_latest(view.stream.score), view.age())


def statement_change(view: View) -> Floats:
    change: Floats = last_tone(view) - view.of_latest(view.stream.score, 1)
    return change


def last_change(view: View) -> Floats:
    return _recent(view, statement_change(view), view.age(1) - view.age())


def count(view: View, window: int) -> Floats:
    counted: Floats = view.count(window).astype(np.float64)
    return counted


def scored(view: View, window: int) -> Floats:
    counted: Floats = view.window(window)[0][1].astype(np.float64)
    return counted


def attention(view: View, window: int) -> Floats:
    return view.attention(window)


def attention_ratio(view: View, short: int, long: int) -> Floats:
    before = long - short
    passed = np.minimum(view.at - short - view.first_time(), before)
    enough = passed >= before / _HISTORY
    usual = view.count(before, before=short) / (np.where(enough, passed, before) / short)
    ratio: Floats = np.log((1 + view.count(short)) / (1 + usual))
    return np.where(enough, ratio, np.nan)


def minutes_since(view: View) -> Floats:
    minutes: Floats = view.age() / MINUTE
    return _recent(view, minutes, view.age())


def days_since(view: View) -> Floats:
    days: Floats = view.age() / DAY
    return _recent(view, days, view.age())


def latest_novelty(view: View) -> Floats:
    return _recent(view, view.of_latest(view.stream.novelty), view.age())


def _or_missing(counts: Int64s) -> Floats:
    return np.where(counts >= 0, counts, np.nan)


def session_count(view: View) -> Floats:
    return _or_missing(view.of_session(until_open=False)[0][0])


def session_tone(view: View) -> Floats:
    mean: Floats = view.of_session(until_open=False)[1][1]
    return mean


def overnight_count(view: View) -> Floats:
    return _or_missing(view.of_session(until_open=True)[0][0])


def overnight_tone(view: View) -> Floats:
    mean: Floats = view.of_session(until_open=True)[1][1]
    return mean


def _shorter_first(short: int, long: int) -> str:
    return "" if short < long else "its first <time> must be the shorter one"


_WEIGHT = f"w relevance times what a repeat counts: 1 where novel, down to {REPEAT_WEIGHT} (sentiment.repeats.discount)"
WEIGHTS = {_WEIGHT: "w as above"}
"""What a table of many features says once -> what it says from the second time on."""
_QUIET = f"the decayed weight is under 2^-{FADED}, that of one item {FADED} half-lives old"
_UNSCORED = "no scored item in the <time>"
_NEVER = "no item was received within the source's max_age"
_OLD = "no item was received within the source's max_age, or the last one has no score"
_FIRST = "before the second session of the calendar's table"
_CUTOFF = "since the close before the session, or `cutoff` before that close"


def _feature(
    name: str,
    unit: str,
    meaning: str,
    missing: str,
    formula: Callable[..., Floats],
    *standard: str,
    source: str = "definition",
    **more: Any,
) -> NewsFeature:
    spec = FeatureSpec(f"news_{name}", "news", unit, more.pop("clock", "each item"), meaning, missing, source)
    return NewsFeature(spec, formula, tuple(tuple(text.split()) for text in standard) or ((),), **more)


_unweighted = partial(_feature, reads_novelty=False)
"""A feature in which a repeat counts as much as any item."""

TONE = (
    _feature(
        "tone_<time>",
        "1",
        f"decayed mean of scores, sum w 2^-(age/<time>) score / sum w 2^-(age/<time>), {_WEIGHT}",
        _QUIET,
        tone,
        *("1h", "6h", "1d"),
        weighting="tone",
    ),
    _feature(
        "tone_sum_<time>",
        "1",
        f"decayed sum of scores, sum w 2^-(age/<time>) score, {_WEIGHT}",
        _QUIET,
        tone_sum,
        *("1h", "6h", "1d"),
        weighting="tone",
    ),
    _feature(
        "dispersion_<time>",
        "1",
        "weighted standard deviation of scores about news_tone_<time>, weights as there; 0 for a single item",
        _QUIET,
        dispersion,
        "1d",
        weighting="tone",
        source="West 1979, with decay",
    ),
    _feature(
        "tone_change_<time>_<time>",
        "1",
        "news_tone of the first <time> less that of the second <time>",
        "either is",
        tone_change,
        "1h 1d",
        weighting="tone",
        check=_shorter_first,
    ),
    _feature(
        "surprise_<time>_<time>",
        "deviations",
        "(news_tone of the first <time> - usual) / spread: decayed mean and deviation of the second <time>, as they "
        "stood the first <time> ago",
        f"news_tone is; fewer than {_USUAL_ITEMS} scored items in the second <time> up to then, or a spread under "
        f"{_USUAL_DEVIATION}",
        surprise,
        "6h 10d",
        weighting="tone",
        check=_shorter_first,
    ),
    _feature(
        "window_tone_<time>",
        "1",
        f"weighted mean of the scores of the items of the last <time>, {_WEIGHT}",
        _UNSCORED,
        window_moment(1),
        "1d",
    ),
    _feature("lowest_<time>", "1", "lowest score of the last <time>", _UNSCORED, window_moment(3), "1d"),
    _feature("highest_<time>", "1", "highest score of the last <time>", _UNSCORED, window_moment(4), "1d"),
    _feature(
        "share_negative_<time>",
        "1",
        f"weighted share of the last <time>'s scored items with score < {NEGATIVE_SCORE}, {_WEIGHT}",
        _UNSCORED,
        window_moment(5),
        "1d",
    ),
    _unweighted("last_tone", "1", "score of the latest item", _OLD, last_tone),
    _unweighted(
        "last_change",
        "1",
        "score of the latest item less that of the item before it",
        f"{_OLD}; or the item before it has none, or came more than max_age before it",
        last_change,
    ),
    _feature(
        "session_tone",
        "1",
        f"weighted mean of the scores of the items {_CUTOFF}, up to now; {_WEIGHT}",
        f"no scored item since then; {_FIRST}",
        session_tone,
        needs="sessions",
    ),
    _feature(
        "overnight_tone",
        "1",
        f"the same up to the session's open, settled there: items {_CUTOFF}",
        f"no scored item then; {_FIRST}",
        overnight_tone,
        needs="sessions",
        clock="each session",
    ),
    _feature(
        "confident_tone_<time>",
        "1",
        "news_tone_<time> with weights times confidence, 1 - entropy / log 3 of the three probabilities",
        _QUIET,
        _decayed_mean("confident"),
        weighting="confident",
        needs="probabilities",
    ),
)
ATTENTION = (
    _unweighted("count_<time>", "items", "items known in (t - <time>, t], scored or not", "never", count, "1h", "1d"),
    _unweighted("scored_<time>", "items", "those of them that have a score", "never", scored, "1d"),
    _unweighted(
        "attention_<time>",
        "deviations",
        "z-score of the items in (t - <time>, t], after-hours ones counting from the next open, against those at the "
        f"same time after the open of the last {ATTENTION_SESSIONS} sessions; Saturdays and Sundays are compared with "
        "each other, Mondays with all weekdays; variance at least Poisson's",
        f"fewer than {ATTENTION_MINIMUM} such sessions since the first item; outside of sessions",
        attention,
        "1h",
        needs="sessions",
    ),
    _unweighted(
        "attention_ratio_<time>_<time>",
        "1",
        "log((1 + items of the first <time>) / (1 + usual)), usual per first <time> in the rest of the second <time>, "
        "or since the first item",
        "the first item is less than a sixth of that older than the first <time>",
        attention_ratio,
        "1d 30d",
        check=_shorter_first,
        source="after Barber and Odean 2008 (abnormal attention), with news counts",
    ),
    _unweighted("minutes_since", "minutes", "since the latest item was first known", _NEVER, minutes_since),
    _unweighted("session_count", "items", f"items {_CUTOFF}, up to now", _FIRST, session_count, needs="sessions"),
    _unweighted(
        "overnight_count",
        "items",
        f"items {_CUTOFF}, up to the session's open, settled there",
        _FIRST,
        overnight_count,
        needs="sessions",
        clock="each session",
    ),
)
NOVELTY = (
    _feature(
        "novelty",
        "1",
        "of the latest item: 1 - the largest similarity to the stream's items of the last 24 h or to the last ten; as "
        "given with the item, else by words (Jaccard)",
        _NEVER,
        latest_novelty,
        source="Jaccard 1901; after Tetlock 2011 (stale news)",
    ),
    _feature(
        "novelty_<time>",
        "1",
        "decayed mean of novelty, weighted by relevance",
        _QUIET,
        _decayed_mean("novelty"),
        "1d",
        weighting="novelty",
    ),
    _feature(
        "novel_tone_<time>",
        "1",
        "decayed mean of scores, weighted by relevance times novelty",
        _QUIET,
        _decayed_mean("novel"),
        *("1h", "1d"),
        weighting="novel",
        source="after Tetlock 2011 (stale news)",
    ),
)
STATEMENT = (
    _unweighted(
        "statement_tone",
        "1",
        "score of the latest statement of the entity that serves all",
        _OLD,
        last_tone,
        needs="shared",
        clock="each statement",
    ),
    _unweighted(
        "statement_change",
        "1",
        "score of the latest statement less that of the one before it, however long ago that was",
        f"{_OLD}; or it is the first, or the one before it has no score",
        statement_change,
        needs="shared",
        clock="each statement",
    ),
    _unweighted(
        "statement_days",
        "days",
        "since the latest statement was known",
        _NEVER,
        days_since,
        needs="shared",
        clock="each decision",
    ),
)
