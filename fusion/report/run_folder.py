"""What the report reads: the tables and the manifest of one run folder.

Every table but the manifest may be absent (a run without a regime writes no regime.parquet); its section then says so.
"""

import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from gpu_kernels.errors import ModelError

_HINT = "run `trifuse run CONFIG --rerun` to write it again"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its confidence interval; any part is NaN where it could not be computed."""

    value: float
    low: float
    high: float
    count: int

    @property
    def known(self) -> bool:
        return math.isfinite(self.value)

    @property
    def has_interval(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def side(self) -> int:
        """+1 where the whole interval is above zero, -1 where it is below, 0 where it holds zero or is not known."""
        return (self.low > 0) - (self.high < 0) if self.has_interval else 0


@dataclass(frozen=True)
class RunFolder:
    """One finished run, read-only. Tables are None where the run wrote none."""

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        file = self.path / "manifest.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(
                f"{self.path} holds no manifest.json",
                allowed="the folder of a finished run, e.g. runs/demo/<id>",
                hint="an unfinished run has none; start it again with `trifuse run CONFIG`",
            ) from None
        except (OSError, ValueError) as error:
            raise ModelError(f"{file} cannot be read: {error}", hint=_HINT) from None
        if not isinstance(content, dict):
            raise ModelError(f"{file} holds a JSON {type(content).__name__}", allowed="an object", hint=_HINT)
        return content

    @property
    def config(self) -> dict[str, Any]:
        return section(self.manifest, "config")

    @property
    def name(self) -> str:
        return str(self.config.get("name") or self.path.name)

    @property
    def identifier(self) -> str:
        """The run's key. While a run is written its folder is called `.<key>.<process>`; the report is made then."""
        return self.path.resolve().name.removeprefix(".").partition(".")[0]

    @property
    def primary(self) -> str:
        """The primary horizon, e.g. "15min"."""
        targets = section(self.config, "targets")
        return str(targets.get("primary") or next(iter(self.horizons), ""))

    @property
    def primary_adjective(self) -> str:
        """The same before a noun: "15min", "5-session"."""
        return re.sub(r"^(\d+) sessions?$", r"\1-session", self.primary)

    @property
    def spanned(self) -> int:
        """How many sessions a label of the primary horizon spans; 0 where labels lie inside sessions."""
        found = re.fullmatch(r"(\d+) sessions?", self.primary)
        return int(found[1]) if found else 0

    @property
    def period(self) -> str:
        """What results are counted by: "session", or "block" where the config cuts sessions into blocks."""
        return "block" if section(self.config, "walk_forward").get("block") else "session"

    @property
    def horizons(self) -> list[str]:
        return [str(horizon) for horizon in section(self.config, "targets").get("horizons", [])]

    @property
    def confidence(self) -> str:
        """Level of the intervals, e.g. "95 %"."""
        level = section(self.config, "evaluation").get("confidence", 0.95)
        return f"{100 * number(level):g}\u00a0%"

    @cached_property
    def evaluation(self) -> pl.DataFrame | None:
        columns = ["metric", "score", "horizon", "group_kind", "group", "value", "low", "high", "count"]
        table = self.table("evaluation", columns)
        texts = pl.col("metric", "score", "horizon", "group_kind", "group").cast(pl.String).fill_null("")
        return None if table is None else table.with_columns(texts)

    @cached_property
    def session_ic(self) -> pl.DataFrame | None:
        return self.table("session_ic", ["session", "horizon", "score", "rank_ic"])

    @cached_property
    def regime(self) -> pl.DataFrame | None:
        return self.table("regime", ["session", "time", "regime"])

    @cached_property
    def selection(self) -> pl.DataFrame | None:
        columns = ["refit_session", "regime", "feature", "ic", "t_stat", "q_value", "kept", "significant", "reason"]
        return self.table("selection", columns)

    @cached_property
    def quarantine(self) -> pl.DataFrame | None:
        return self.table("quarantine", ["source", "table", "reason", "file", "line"])

    @cached_property
    def portfolio(self) -> pl.DataFrame | None:
        columns = ["session", "horizon", "score", "quantile", "gross", "net", "gross_cumulative", "net_cumulative"]
        return self.table("portfolio", columns)

    @cached_property
    def prices(self) -> pl.DataFrame | None:
        return self.table("prices", ["session", "entity", "price"])

    @cached_property
    def regime_states(self) -> list[dict[str, Any]]:
        """The states of all refits, as they were described; empty where the run wrote none that can be read."""
        content = self._json("regime_states")
        listed = content.get("states", []) if isinstance(content, dict) else content
        return [record for record in listed if isinstance(record, dict)] if isinstance(listed, list) else []

    @cached_property
    def families(self) -> dict[str, Any]:
        """Which source each column of features.parquet came from; empty where the run did not say."""
        content = self._json("families")
        return content if isinstance(content, dict) else {}

    def _json(self, name: str) -> object:
        try:
            return json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    @cached_property
    def regime_names(self) -> dict[str, str]:
        """number -> "regime 1: high stress", by the name that the newest refit gave it."""
        named = {}
        for record in sorted(self.regime_states, key=lambda state: str(state.get("refit_session", ""))):
            name = str(record.get("name") or "")
            named[str(record.get("regime"))] = f"regime {record.get('regime')}" + (f": {name}" if name else "")
        return named

    def regime_name(self, number: object) -> str:
        return self.regime_names.get(str(number), f"regime {number}")

    @cached_property
    def one_regime(self) -> bool:
        """Whether every decision lies in the same regime, so that there is nothing to tell apart."""
        if self.regime is None:
            return True
        return len([name for name in self.regime.columns if name.startswith("probability_")]) < 2

    @cached_property
    def signals(self) -> pl.DataFrame | None:
        return self.table("signals", ["entity", "session", "decision_time", "score"])

    def lazy(self, name: str) -> pl.LazyFrame | None:
        """The table unread, for those too wide to hold at once; None where the run wrote none."""
        file = self.path / f"{name}.parquet"
        return pl.scan_parquet(file) if file.is_file() else None

    def table(self, name: str, needed: list[str]) -> pl.DataFrame | None:
        """A table of the run, or None. Raises ModelError where it is damaged or lacks a column that is needed."""
        file = self.path / f"{name}.parquet"
        if not file.is_file():
            return None
        try:
            table = pl.read_parquet(file)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ModelError(f"{file} cannot be read: {error}", hint=_HINT) from None
        missing = [column for column in needed if column not in table.columns]
        if missing:
            raise ModelError(
                f"{file} lacks {', '.join(missing)}", allowed=f"a table with {', '.join(needed)}", hint=_HINT
            )
        return table

    def estimates(
        self, metric: str, *, group_kind: str = "all", score: str = "score", horizon: str = ""
    ) -> dict[str, Estimate]:
        """group -> estimate of a metric, in the order of the table; `horizon` empty: the primary one."""
        if self.evaluation is None:
            return {}
        rows = self.evaluation.filter(
            pl.col("metric") == metric,
            pl.col("score") == score,
            pl.col("horizon") == (horizon or self.primary),
            pl.col("group_kind") == group_kind,
        )
        return {
            row["group"]: Estimate(
                number(row["value"]), number(row["low"]), number(row["high"]), int(row["count"] or 0)
            )
            for row in rows.iter_rows(named=True)
        }

    def estimate(self, metric: str, *, score: str = "score", horizon: str = "") -> Estimate:
        """A metric over everything; all NaN where it was not computed."""
        found = self.estimates(metric, score=score, horizon=horizon)
        return next(iter(found.values()), Estimate(math.nan, math.nan, math.nan, 0))

    @cached_property
    def scores(self) -> list[str]:
        """The scores that were evaluated, the model's own first."""
        if self.evaluation is None:
            return []
        return sorted(self.evaluation["score"].unique().to_list(), key=lambda name: (name != "score", name))


def section(tree: dict[str, Any], key: str) -> dict[str, Any]:
    """A mapping inside a mapping; empty where it is absent or something else."""
    found = tree.get(key)
    return found if isinstance(found, dict) else {}


def is_redundant() -> pl.Expr:
    """Of the selection ledger: significant, and dropped for being close to a better feature."""
    return pl.col("significant") & ~pl.col("kept") & pl.col("reason").fill_null("").str.starts_with("redundant")


def number(value: object) -> float:
    """A float; NaN for null and for what is no number."""
    return float(value) if isinstance(value, int | float) else math.nan
