"""Which contract of a future stands for it in a session, where a config asks for `contract: front`."""

import polars as pl

# the month of expiry in the name of a file inside a LEAN zip
CONTRACT = r"_(\d{6})(?:_\d{8})?\.csv$"
OTHER_CONTRACT = "other_contract"


def of_front_contract(rows: pl.DataFrame, trading: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """The rows, contract by contract within each file, and which of them are of their session's front contract.

    That is the contract of which most was traded in the entity's last session before, counting what was known at the
    open (the earlier one of two equal ones), and never one that expires before an earlier session's. So a session
    holds one contract and a roll lies between two sessions, where no return of a session crosses. Prices are not
    adjusted for it. No contract is known in the first session.

    rows     judged bars whose `member` names the contract, with `session`, `reason`
    trading  session and open of (at least) their sessions
    """
    contract = pl.col("member").str.extract(CONTRACT).alias("_contract")
    rows = rows.with_columns(contract).sort("file", "_contract", maintain_order=True)
    # rows before the window were known too; those set aside were not good
    good = rows.filter(pl.col("reason").is_null() & pl.col("session").is_not_null())
    # a bar that is told twice was traded once
    good = good.unique(["entity", "_contract", "event_time"], keep="first", maintain_order=True)
    sessions = (
        good.select("entity", "session")
        .unique()
        .sort("entity", "session")
        .join(trading.select("session", "open"), on="session", how="left", maintain_order="left")
        .with_columns(pl.col("session", "open").shift(-1).over("entity").name.prefix("_next_"))
    )
    front = (
        good.join(sessions, on=["entity", "session"])
        .filter(pl.col("known_time") <= pl.col("_next_open"))
        .group_by("entity", "_next_session", "_contract")
        .agg(pl.col("volume").sum())
        .sort("entity", "_next_session", "volume", "_contract", descending=[False, False, True, False])
        .unique(["entity", "_next_session"], keep="first", maintain_order=True)
        .select("entity", pl.col("_next_session").alias("session"), pl.col("_contract").alias("_front"))
        .with_columns(pl.col("_front").cast(pl.Int64).cum_max().over("entity"))
    )
    rows = rows.join(front, on=["entity", "session"], how="left", maintain_order="left")
    of_front = (rows["_contract"].cast(pl.Int64) == rows["_front"]).fill_null(False)
    return rows.drop("_contract", "_front"), of_front
