"""What is left of each order of a feed: the state that turns messages of remaining sizes into what happened."""

import polars as pl


class LiveOrders:
    """The orders that rest, by past rows only; it carries from one batch of rows to the next.

    key  columns that identify an order
    """

    def __init__(self, key: tuple[str, ...]) -> None:
        self._key = list(key)
        self._live: pl.DataFrame | None = None

    def __len__(self) -> int:
        """How many orders rest: that is all that is kept."""
        return 0 if self._live is None else self._live.height

    def before(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`rows` with `size_before` and `price_before`: what rested of the row's order when the row came.

        rows   the key, `price`, `sets` (the row says what rests now; null: it does not) and `takes` (it takes so much
               away), in the order of the feed. The rows of a later call come after those of this one, so that any cut
               into calls gives the same values.

        Missing values: both are null where no past row tells the order, or nothing of it was left.
        """
        new = rows.select(*self._key, "price", "sets", "takes")
        held = len(self)
        every = new if self._live is None else pl.concat([self._live, new], how="vertical_relaxed")
        # one sort brings the rows of an order together, so that nothing below needs a window over orders
        every = every.with_row_index("_row").sort(*self._key, "_row")
        place = pl.int_range(pl.len())
        begins = pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in self._key).fill_null(True)
        every = every.with_columns(_begins=begins, _taken=pl.col("takes").fill_null(0).cum_sum())
        told = pl.when(pl.col("_begins") | pl.col("sets").is_not_null()).then(place).forward_fill()
        priced = pl.when(pl.col("_begins") | pl.col("price").is_not_null()).then(place).forward_fill()
        every = every.with_columns(
            _left=pl.col("sets").gather(told) - (pl.col("_taken") - pl.col("_taken").gather(told)),
            _price=pl.col("price").gather(priced),
        )
        every = every.with_columns(pl.when(pl.col("_left") > 0).then(pl.col("_left", "_price")))
        before = every.select(
            "_row",
            pl.when(~pl.col("_begins")).then(pl.col("_left").shift(1)).alias("size_before"),
            pl.when(~pl.col("_begins")).then(pl.col("_price").shift(1)).alias("price_before"),
        ).sort("_row")
        ends = pl.col("_begins").shift(-1, fill_value=True)
        self._live = every.filter(ends & pl.col("_left").is_not_null()).select(
            *self._key, price="_price", sets="_left", takes=pl.lit(None, new.schema["takes"])
        )
        return pl.concat([rows, before.slice(held).drop("_row")], how="horizontal")
