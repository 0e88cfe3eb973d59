"""FRED-MD's and ALFRED's files, told by their columns: as daily series with a lag of days they would look ahead."""

import re
from pathlib import Path
from typing import Any

import polars as pl

from sources.macro.lags import packaged

_VINTAGE = re.compile(r"(.+)_((?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))")


def macro_entry(path: Path, rows: pl.DataFrame) -> tuple[dict[str, Any], list[str]] | None:
    """The entry of a config that reads such a file, and its doubtful options; None of other files."""
    if rows.columns[:1] == ["sasdate"] and rows.height and str(rows["sasdate"][0]).lower().startswith("transform"):
        known = [name for name in rows.columns[1:] if name in packaged()]
        series = "all" if len(known) == len(packaged()) else known
        return {"kind": "fred_md", "files": str(path), "series": series, "transform": "tcode"}, ["series"]
    common = {"kind": "alfred", "files": str(path)}
    rest = {"time": "08:30", "max_age": "100d"}
    if "realtime_start" in rows.columns and "value" in rows.columns:
        names = [name for name in ("series", "series_id") if name in rows.columns]
        if not names:
            return common | {"metrics": {"series": "SERIES"}} | rest, ["metrics", *rest]
        told = rows[names[0]].cast(pl.String).drop_nulls().unique().sort().to_list()[:20]
        mapped = {} if names == ["series"] else {"columns": {"series": names[0]}}
        return common | mapped | {"metrics": {_metric(name): name for name in told}} | rest, list(rest)
    found = [match[1] for name in rows.columns if (match := _VINTAGE.fullmatch(name))]
    if len(found) < 2 or len(found) < rows.width - 4:
        return None
    return common | {"metrics": {_metric(name): name for name in dict.fromkeys(found)}} | rest, list(rest)


def _metric(series: str) -> str:
    return re.sub(r"\W+", "_", series.lower()).strip("_")
