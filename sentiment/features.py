"""News features: what the items received so far amount to at each decision, for each entity and for the market.

Items count from known_time, in order of arrival; at decision t only items with known_time <= t are seen, of each the
version known then (sentiment.item_stream). An item's own numbers (score, relevance, novelty, weight) depend on earlier
arrivals alone, so later items change nothing: the features are truncation-invariant by construction.

A repeat weighs down to a tenth in all sums and means of scores (sentiment.repeats.discount), by the novelty that comes
with the item, else by its words; counts count every item, once. No news is missing, not neutral: where nothing recent
has a tone, a tone is NaN. Counts tell the two kinds of silence apart: `news_count_<time>` counts all items,
`news_scored_<time>` those that have a score.

The market's stream (`news_market_`) is all entities' items in one, an item that names several entities once. Of a
source whose one entity serves all others (`shared`, as statements of a central bank do) every feature is of that
entity's.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from gpu_kernels.errors import ConfigError, DataError
from gpu_kernels.spec import FeatureSpec
from sentiment.decision_view import ATTENTION_SESSIONS, Placed, Sessions, View
from sentiment.embedded import TONES
from sentiment.feature_formulas import ATTENTION, NOVELTY, STATEMENT, TONE
from sentiment.feature_names import MARKET, OWN, Asked, Groups, market_names
from sentiment.item_stream import DAY, GRID, Stream, in_order, pooled, require

__all__ = [
    "FEATURES",
    "GROUPS",
    "MARKET",
    "OWN",
    "asked",
    "history",
    "lacked",
    "names_of",
    "news_features",
    "reads_novelty",
]

_MARKET = ("tone_1h", "tone_1d", "tone_sum_1h", "tone_sum_1d", "dispersion_1d", "tone_change_1h_1d")
_MARKET_MORE = ("surprise_6h_10d", "novel_tone_1d", "count_1h", "count_1d", "attention_1h", "overnight_tone")
GROUPS = Groups(
    {"tone": TONE, "attention": ATTENTION, "novelty": NOVELTY, "statement": STATEMENT},
    market_names(OWN + name for name in (*_MARKET, *_MARKET_MORE)),
)
"""What a config may name. `all` stands for all groups whose features the source is enough for."""
FEATURES: tuple[FeatureSpec, ...] = tuple(GROUPS.specs())

names_of, asked = GROUPS.names_of, GROUPS.asked
# older items move no decayed mean by more than 2^-30 of its own weight
_HALF_LIVES = 40
_ALL = 2**62
# for the novelty of the oldest items that matter: nearly always, the ten before them came in as many days
_NOVELTY_DAYS = 10
# so many days hold enough sessions, of weekdays and of weekends
SESSION_DAYS = 4 * ATTENTION_SESSIONS


def lacked(found: Asked, *, shared: bool) -> str:
    """What a feature lacks of a source, or nothing: `shared` tells whether one entity's items serve all."""
    return "entity" if found.feature.needs == "shared" and not shared else ""


def reads_novelty(names: Sequence[str]) -> bool:
    """Whether any of the features tells novelty, or lets repeats weigh less; counts and latest items do neither."""
    return any(asked(name).feature.reads_novelty for name in names)


def history(names: Sequence[str], max_age_ns: int | None = None) -> int:
    """How long before the first decision items still matter to any of the features, in nanoseconds; 2^62: for ever.

    max_age_ns  after which an item came too late to be used. A revision is told from a new item by its first version,
                which is then at most as much older; without it, by one of the ten days before
    """
    found = 0
    for one in map(asked, names):
        if one.feature.needs == "shared" or (not one.times and max_age_ns is None):
            return _ALL
        reach = sum(one.times) * (1 if one.feature.weighting is None else _HALF_LIVES)
        if one.feature.needs == "sessions":
            reach += SESSION_DAYS * DAY
        found = max(found, reach if one.times else max(2 * (max_age_ns or 0), reach))
    return min(found + max(_NOVELTY_DAYS * DAY, max_age_ns or 0), _ALL)


def news_features(
    items: pl.DataFrame,
    grid: pl.DataFrame,
    names: Sequence[str] | None = None,
    *,
    sessions: pl.DataFrame | None = None,
    shared: str | None = None,
    max_age_ns: int | None = None,
    cutoff_ns: int = 0,
    prefix: str = "",
) -> pl.DataFrame:
    """The news features of every decision of a grid.

    items       one row per (entity, item), in any order: entity, event_time, known_time, item, text, score; and, where
                they are known, relevance (else 1), novelty (NaN or absent: by words), negative, neutral, positive.
                A later row of the same item is a revision. Items of entities that the grid lacks count for the market
    grid        entity, decision_time (and whatever else); in any order
    names       features, as `GROUPS` tells; without: those that all groups stand for and the arguments are enough for
    sessions    session, open, close in order, from two months before the first decision on for attention; half days
                with their own close
    shared      the entity whose items serve all entities of the grid
    max_age_ns  after which the latest item says nothing any more (last_tone, last_change, novelty, statements)
    cutoff_ns   items known less than this before a close count for the next session (attention, session, overnight)
    prefix      of the columns' names, where several sources give features

    Returns the grid's rows in their order, one Float64 column per name.

    Missing values: NaN where `FeatureSpec.missing` says so. A null or NaN score is an item without tone.
    Raises DataError where a column is missing, a time or an entity is null, or a number is out of range; ConfigError on
    an unknown name, or one that needs `sessions` or `shared` where that is not given.
    """
    require(grid, GRID, "decision grid")
    if cutoff_ns < 0 or (max_age_ns is not None and max_age_ns <= 0):
        raise ConfigError(f"cutoff_ns={cutoff_ns}, max_age_ns={max_age_ns}", allowed="0 or more, and above 0")
    rows = in_order(items)
    if names is None:
        groups = [group for group in GROUPS.names if group != ("statement" if shared is None else "market")]
        every = [name for group in groups for name in names_of(group)]
        names = [name for name in every if sessions is not None or asked(name).feature.needs != "sessions"]
    wanted = [asked(name) for name in names]
    _check(wanted, items, sessions, shared)
    calendar = None if sessions is None else Sessions.of(sessions, cutoff_ns)
    columns = {}
    for market in (False, True):
        chosen = [one for one in wanted if one.market == market]
        if not chosen:
            continue
        view = _view(rows, grid, chosen, calendar, shared, max_age_ns, market=market)
        for one in chosen:
            columns[one.name] = np.asarray(one.feature.formula(view, *one.times))[view.placed.back]
    named = {prefix + name: columns[name] for name in names}
    return pl.DataFrame(named, schema=dict.fromkeys(named, pl.Float64()))


def _view(
    rows: pl.DataFrame,
    grid: pl.DataFrame,
    chosen: Sequence[Asked],
    calendar: Sessions | None,
    shared: str | None,
    max_age: int | None,
    *,
    market: bool,
) -> View:
    half_lives: dict[str, list[int]] = {}
    for one in chosen:
        if one.feature.weighting is not None:
            half_lives.setdefault(one.feature.weighting, []).extend(one.times)
    if market:
        stream, placed = Stream.of(pooled(rows), None), Placed.shared(grid)
    elif shared is not None:
        stream, placed = Stream.of(rows, [shared]), Placed.shared(grid)
    else:
        entities = grid["entity"].unique(maintain_order=True).to_list()
        stream, placed = Stream.of(rows, entities), Placed.own(grid, entities)
    return View(stream, placed, calendar, max_age, half_lives)


def _check(wanted: Sequence[Asked], items: pl.DataFrame, sessions: pl.DataFrame | None, shared: str | None) -> None:
    for one in wanted:
        needs = one.feature.needs
        if needs == "sessions" and sessions is None:
            raise ConfigError(f"{one.name!r} without sessions", hint="give session, open and close of each")
        if needs == "shared" and shared is None:
            raise ConfigError(f"{one.name!r} of a source without `entity`", hint="name the entity that serves all")
        if needs == "probabilities" and (lacks := [name for name in TONES if name not in items.columns]):
            raise DataError(f"{one.name!r} without the columns {', '.join(lacks)}", hint="score the texts")
