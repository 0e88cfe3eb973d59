"""Features of order books: the list of all, and the one function that makes them."""

import polars as pl

from fusion.features import book_flow, book_liquidity, book_spoofing, book_state
from fusion.features.book_rows import Book, BookSettings
from fusion.features.ticks import Array, built
from gpu_kernels.spec import FeatureSpec

FEATURES: tuple[FeatureSpec, ...] = (
    *book_state.FEATURES,
    *book_flow.FEATURES,
    *book_liquidity.FEATURES,
    *book_spoofing.FEATURES,
)


def needs(name: str) -> tuple[str, ...]:
    """The options of the source that a feature cannot do without."""
    stem = name.removesuffix("_<time>")
    size, trades = book_state.NEEDS_SIZE, (*book_liquidity.NEEDS_TRADES, *book_spoofing.NEEDS_TRADES)
    return (("cost_size",) if stem in size else ()) + (("trades",) if stem in trades else ())


def compute(
    stream: pl.DataFrame,
    grid: pl.DataFrame,
    wanted: list[str],
    max_age_ns: int,
    settings: BookSettings,
    *,
    continuous: bool,
    trades: pl.DataFrame | None = None,
) -> dict[str, Array]:
    """The wanted columns at each decision, and `book_age` in minutes.

    `stream` is of book updates or of order events, `trades` where there are any of the same market; both in order
    (sources.stream.in_order). A decision sees the book at the end of the last message known by then. Missing values:
    see the specs.
    Raises DataError where a price is no multiple of the tick.
    """
    rebuilt = Book.of_orders if "order" in stream.columns else Book.of_updates
    book = rebuilt(stream, grid, max_age_ns, settings, continuous=continuous)
    traded = None if trades is None else book_liquidity.Traded(book, trades)
    suspicion = None if traded is None else book_spoofing.Suspicion(book, traded)
    columns = built(
        wanted,
        book_state.plain(book) | book_liquidity.plain(book) | book_spoofing.plain(suspicion),
        book_flow.formulas(book) | book_liquidity.formulas(book, traded) | book_spoofing.formulas(suspicion),
    )
    return columns | {"book_age": book.ticks.aligned.age}
