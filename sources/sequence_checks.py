"""The row checks that look at earlier rows: time going back within a file, and price jumps.

Both carry what they need of the rows before, so that any cut of the rows into batches gives the same."""

import numpy as np
import polars as pl

from sources.schema import TIME

# a bad print is rarely repeated; after this many rows in a row at a new level, the level is real
_JUMP_CONFIRMED = 3
_CLOCKS = ("event_time", "known_time")
_BY = ("file", "entity")


class Order:
    """Time going back within a file; where the file has a known_time of its own, only if that goes back too: a late row
    stands where it arrived in one kind of file and where it belongs in the other.

    Carries the latest clocks of each file and entity."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, str], tuple[int, int]] = {}
        self._newest = np.iinfo(np.int64).min

    def goes_back(self, rows: pl.DataFrame) -> pl.Series:
        """Which of the next rows go back, given those that passed the earlier checks, in the order of their file."""
        if rows.is_empty():
            return pl.Series("back", [], dtype=pl.Boolean)
        event, known = (rows[clock].to_physical().to_numpy() for clock in _CLOCKS)
        # most feeds are in the order of receipt, and then nothing goes back
        rising = known[0] >= self._newest and bool((known[1:] >= known[:-1]).all())
        self._newest = max(self._newest, int(known.max()))
        back = pl.Series("back", [False], dtype=pl.Boolean).new_from_index(0, rows.height)
        if not rising:
            back = self._compared(rows)
        if all((rows[name] == rows[name][0]).all() for name in _BY):
            latest = [(*(rows[name][0] for name in _BY), int(event.max()), int(known.max()))]
        else:
            clocks = [pl.col(clock).max().to_physical() for clock in _CLOCKS]
            latest = rows.group_by(_BY, maintain_order=True).agg(clocks).rows()
        for file, entity, *clocks_of in latest:
            before = self._latest.get((file, entity), clocks_of)
            self._latest[file, entity] = (max(clocks_of[0], before[0]), max(clocks_of[1], before[1]))
        return back

    def _compared(self, rows: pl.DataFrame) -> pl.Series:
        latest = pl.DataFrame(
            [(*key, *clocks) for key, clocks in self._latest.items()],
            schema={"file": pl.UInt32, "entity": pl.String} | {f"_{clock}": pl.Int64 for clock in _CLOCKS},
            orient="row",
        ).with_columns(pl.col(f"_{clock}").cast(TIME) for clock in _CLOCKS)
        rows = rows.join(latest, on=_BY, how="left", maintain_order="left")
        back = [
            pl.col(clock) < pl.max_horizontal(pl.col(clock).cum_max().shift(1).over(_BY), f"_{clock}")
            for clock in _CLOCKS
        ]
        return rows.select(pl.all_horizontal(back).fill_null(False).alias("back"))["back"]


class Jumps:
    """Prices of one session too far from its last good one. The first row cannot be judged; a new level that several
    rows agree on is real.

    limit  the largest share of the last good price that a step may be

    Carries the last good price, and the level that the rows since then agree on."""

    def __init__(self, limit: float, table: str) -> None:
        self._limit, self._table = limit, table
        self._good: float | None = None
        self._level, self._agreeing = 0.0, 0

    def jumping(self, rows: pl.DataFrame) -> pl.Series:
        """Which of the next rows jump; rows are of one entity and session, by (known_time, event_time)."""
        low, high, last = {
            "bar": (pl.col("low"), pl.col("high"), pl.col("close")),
            "trade": (pl.col("price"),) * 3,
            "quote": (pl.col("bid_price"), pl.col("ask_price"), (pl.col("bid_price") + pl.col("ask_price")) / 2),
        }[self._table]
        prices = rows.select(low=low, high=high, last=last)
        before = pl.col("last").shift(1, fill_value=self._good)
        far = (pl.col("high") > before * (1 + self._limit)) | (pl.col("low") < before * (1 - self._limit))
        # walking row by row is needed only where some step is large
        if self._agreeing or prices.select(far.any()).item():
            return pl.Series(self._walk(*(prices[name].to_list() for name in prices.columns)), dtype=pl.Boolean)
        if prices.height:
            self._good = prices["last"][-1]
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, prices.height)

    def _walk(self, low: list[float], high: list[float], last: list[float]) -> list[bool]:
        def far(row: int, reference: float) -> bool:
            return high[row] > reference * (1 + self._limit) or low[row] < reference * (1 - self._limit)

        jumping = [False] * len(last)
        for row, price in enumerate(last):
            if self._good is not None and far(row, self._good):
                self._agreeing = self._agreeing + 1 if self._agreeing and not far(row, self._level) else 1
                self._level = price
                jumping[row] = self._agreeing <= _JUMP_CONFIRMED
            if not jumping[row]:
                self._good, self._agreeing = price, 0
        return jumping
