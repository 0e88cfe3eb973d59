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
        new = rows.select(*self._key, "price", "sets", "takes").with_columns(_new=True)
        every = new if self._live is None else pl.concat([self._live, new], how="vertical_relaxed")
        taken = pl.col("takes").fill_null(0).cum_sum()
        every = every.with_columns(
            taken.over(self._key).alias("_taken"),
            pl.col("sets").forward_fill().over(self._key).alias("_set"),
            pl.col("price").forward_fill().over(self._key).alias("_price"),
        ).with_columns(
            pl.when(pl.col("sets").is_not_null()).then("_taken").forward_fill().over(self._key).alias("_taken_at_set")
        )
        every = every.with_columns(_left=pl.col("_set") - (pl.col("_taken") - pl.col("_taken_at_set")))
        rests = pl.col("_left") > 0
        every = every.with_columns(
            size_before=pl.when(rests).then("_left").shift(1).over(self._key),
            price_before=pl.when(rests).then("_price").shift(1).over(self._key),
        )
        self._live = (
            every.group_by(self._key, maintain_order=True)
            .last()
            .filter(rests)
            .select(*self._key, price="_price", sets="_left", takes=pl.lit(None, new.schema["takes"]), _new=False)
        )
        return pl.concat([rows, every.filter("_new").select("size_before", "price_before")], how="horizontal")
