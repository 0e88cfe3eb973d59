"""All features: the registry that `trifuse schema` prints, and the one function that builds the matrix."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

import polars as pl

from fusion.asof import nanoseconds
from fusion.config import RunConfig
from fusion.features import bar, book, event, metric, quote, region, site, site_names, site_table, trade
from fusion.features.bar_rows import BarSettings, DailyBars
from fusion.features.book_rows import BookSettings
from fusion.features.choice import chosen, shared_entity, tells_closings
from fusion.features.peers import Sums
from fusion.features.trade_rows import TradeSettings
from gpu_kernels.errors import ConfigError
from gpu_kernels.spec import FeatureSpec
from sentiment import features as news
from sources.daily_options import DailyFile
from sources.sessions import sessions_around
from sources.source_options import BOOKS, TICKS, StreamSource
from sources.stream import in_order

REGISTRY: tuple[FeatureSpec, ...] = (
    *bar.FEATURES,
    *quote.FEATURES,
    *trade.FEATURES,
    *book.FEATURES,
    *news.FEATURES,
    *metric.FEATURES,
    *site_names.FEATURES,
    *event.FEATURES,
    *site_table.FEATURES,
    FeatureSpec(
        "<family>_age",
        "every source",
        "minutes",
        "each decision",
        "decision time minus the event_time of the row used; not a candidate for selection",
        "nothing usable is known",
        "definition",
    ),
)


@dataclass(frozen=True)
class Matrix:
    """The feature matrix: `frame` is the grid with one Float64 column per feature (NaN: missing), `families` tells the
    source of each, `late` how many rows of each stream came too late to be used."""

    frame: pl.DataFrame
    families: dict[str, str]
    late: dict[str, int]

    @property
    def candidates(self) -> list[str]:
        """The columns that selection may choose from: all but the ages of rows."""
        return [name for name in self.families if not name.endswith("_age")]


def build(
    config: RunConfig, tables: Mapping[str, pl.DataFrame], grid: pl.DataFrame, peers: Mapping[str, Sums] | None = None
) -> Matrix:
    """Compute what `config.features` asks for.

    `tables` maps each source's name to its canonical rows; news tables carry the scores of their texts
    (sentiment.score). Where several sources of one tick table, or of news, give features, as two markets' order books
    of one entity do, each one's columns are named after it: perp_quote_imbalance, fomc_news_novelty. `peers` holds the
    sums over all entities where the grid is of some of them only.
    Raises ConfigError on an unknown feature name.
    """
    frame = grid
    families: dict[str, str] = {}
    late: dict[str, int] = {}
    given = Counter(_family(config.sources[name].table) for name in config.features)
    for name in config.features:
        source, rows, wanted = config.sources[name], tables[name], chosen(config, name)
        if source.table == "bar":
            stream, late[name] = in_order(rows, source.table)
            columns = bar.compute(stream, grid, wanted, source.max_age, _bar_settings(config, tables, grid, peers))
        elif source.table == "quote":
            stream, late[name] = in_order(rows, source.table)
            columns = quote.compute(stream, grid, wanted, source.max_age, continuous=source.carries_book)
        elif source.table == "trade":
            stream, late[name] = in_order(rows, source.table)
            assert isinstance(source, StreamSource)
            quotes = None if source.quotes is None else in_order(tables[source.quotes], "quote")[0]
            settings = _trade_settings(config, source)
            columns = trade.compute(
                stream, grid, wanted, source.max_age, continuous=source.carries_book, quotes=quotes, settings=settings
            )
        elif source.table in BOOKS:
            stream, late[name] = in_order(rows, source.table)
            assert isinstance(source, StreamSource)
            traded = None if source.trades is None else in_order(tables[source.trades], "trade")[0]
            book_settings = _book_settings(config, source)
            columns = book.compute(
                stream, grid, wanted, source.max_age, book_settings, continuous=source.carries_book, trades=traded
            )
        elif source.table == "news":
            table = news.news_features(
                rows,
                grid,
                wanted,
                sessions=_sessions_before(config, grid, news.SESSION_DAYS),
                shared=shared_entity(config, name),
                max_age_ns=source.max_age,
                cutoff_ns=config.sentiment.cutoff,
            )
            columns = {column: table[column].to_numpy() for column in wanted}
        elif source.table == "metric":
            columns = _of_metrics(config, name, tables, grid, wanted)
        elif source.table == "site":
            if any(config.sources[other].table == "site" for other in families.values()):
                continue  # the first list has brought the columns of all
            columns = _of_sites(config, tables, grid)
        else:
            columns = event.compute(rows, grid, wanted)
        if source.table in (*TICKS, "news") and given[_family(source.table)] > 1:
            columns = {f"{name}_{column}": values for column, values in columns.items()}
        if clash := set(columns) & set(families):
            raise ConfigError(
                f"source {name!r} gives {sorted(clash)[0]!r}, which another source gives too",
                hint="give the series of one of them another name",
            )
        frame = frame.with_columns(pl.Series(column, values) for column, values in columns.items())
        families |= dict.fromkeys(columns, name)
    return Matrix(frame, families, late)


def _of_metrics(
    config: RunConfig, name: str, tables: Mapping[str, pl.DataFrame], grid: pl.DataFrame, wanted: list[str]
) -> dict[str, metric.Array]:
    """The columns of a source of metrics: of tickers and markets, or by site or region."""
    source = config.sources[name]
    if source.stores:
        compute = site.compute if source.sites else region.compute
        stores = pl.concat([tables[other] for other in source.stores])
        return compute(tables[name], stores, grid, wanted, source.max_age, source.matching)
    market = None if source.entity in set(grid["entity"].unique()) else source.entity
    own = metric.own_names(source)
    return metric.compute(tables[name], grid, wanted, source.max_age, market=market, own=own)


def _of_sites(config: RunConfig, tables: Mapping[str, pl.DataFrame], grid: pl.DataFrame) -> dict[str, site_table.Array]:
    """The columns of all lists of sites, whose counts add up."""
    names = [name for name in config.features if config.sources[name].table == "site"]
    lists = [site_table.SiteList(tables[name], tells_closings(config.sources[name])) for name in names]
    return site_table.compute(lists, grid, list(dict.fromkeys(one for name in names for one in chosen(config, name))))


def _sessions_before(config: RunConfig, grid: pl.DataFrame, days: int) -> pl.DataFrame | None:
    """The calendar's sessions of a grid, and of so many days before it."""
    if grid.is_empty():
        return None
    first, last = grid["session"].min(), grid["session"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    return sessions_around(config.calendar, first - timedelta(days=days), last)


def _family(table: str) -> str:
    """What a table's features are named by: a book's may be made of updates or of orders."""
    return "book" if table in BOOKS else table


def _bar_settings(
    config: RunConfig, tables: Mapping[str, pl.DataFrame], grid: pl.DataFrame, peers: Mapping[str, Sums] | None
) -> BarSettings:
    events, bars = config.volatility.events, config.sources[config.source_of("bar") or ""]
    found = BarSettings(config.calendar, config.volatility, None if events is None else tables[events], peers)
    if not isinstance(bars, DailyFile) or grid.is_empty():
        return found
    trading = _sessions_before(config, grid, 2 * bars.sessions_kept)
    assert trading is not None
    return replace(found, daily=DailyBars(nanoseconds(trading["close"]), bars.delay, bars.sessions_kept))


def _trade_settings(config: RunConfig, source: StreamSource) -> TradeSettings:
    return TradeSettings(
        quote_lag=source.quote_lag,
        quotes_max_age=0 if source.quotes is None else config.sources[source.quotes].max_age,
        tick=source.tick,
        lot=source.lot,
        bands=source.bands,
        hawkes=source.hawkes,
        fit_every=config.feature_fit.every,
        fit_window=config.feature_fit.window,
        pin_days=config.feature_fit.pin_days,
    )


def _book_settings(config: RunConfig, source: StreamSource) -> BookSettings:
    assert source.tick is not None  # the config's own check
    return BookSettings(
        tick=source.tick,
        levels=source.levels,
        lot=source.lot,
        depth_bps=source.depth_bps,
        cost_size=source.cost_size,
        drought_warm_up=source.drought_warm_up,
        spoofing_warm_up=source.spoofing_warm_up,
        fit_every=config.feature_fit.every,
        fit_window=config.feature_fit.window,
    )
