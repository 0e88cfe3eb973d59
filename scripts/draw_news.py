"""Pictures of tone against price: the hours around a report of earnings, and around statements of the FOMC.

    python scripts/draw_news.py                                   # both, into docs/, and the table of reports
    python scripts/draw_news.py --earnings e.png --fomc f.png --lake lake

Tweets and statements are those of configs/tweets.yaml, prices minute bars of AAPL and SPY, all from TRIFUSE_DATA.
Every line shows at each minute what was known then: a bar from its known_time on, a tweet from its receipt. Scored are
the tweets of the windows and of LEAD before them, which is twelve of the longest half-lives: what came earlier would
weigh less than 1/4096 of its own weight. Repeats are told by words.
"""

import importlib.util
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import typer

from fusion import config as configs
from fusion.console import note, one_line_errors
from fusion.news import CACHE
from fusion.pipeline import ingest
from fusion.plan import make_plan
from gpu_kernels.errors import ConfigError
from sentiment.decision_view import NEGATIVE_SCORE
from sentiment.embedded import TONES
from sentiment.features import SESSION_DAYS, news_features
from sentiment.score import Scorer
from sources import lake as tables_lake
from sources.files import expand
from sources.schema import TIME
from sources.sessions import sessions_around
from sources.stream import in_order

ROOT = Path(__file__).resolve().parent.parent
CONFIG, BARS = ROOT / "configs" / "tweets.yaml", ROOT / "configs" / "tech_news.yaml"
NEW_YORK = ZoneInfo("America/New_York")
LEAD = timedelta(days=3)
STATEMENTS_READ = 24
INK, GREY, RED, GREEN, BLUE, PALE = "#22313f", "#95a5a6", "#c0392b", "#27ae60", "#1f4e79", "#d5dbdf"
STATEMENTS = (date(2014, 12, 17), date(2015, 3, 18), date(2015, 6, 17))
# days after whose close the companies reported; on each of which the tweets here tell of figures, where there are any
REPORTS = {
    "AAPL": "2014-01-27 2014-04-23 2014-07-22 2014-10-20 2015-01-27 2015-04-27 2015-07-21 2015-10-27",
    "AMZN": "2014-01-30 2014-04-24 2014-07-24 2014-10-23 2015-01-29 2015-04-23 2015-07-23 2015-10-22",
    "FB": "2014-01-29 2014-04-23 2014-07-23 2014-10-28 2015-01-28 2015-04-22 2015-07-29 2015-11-04",
    "GOOG": "2014-01-30 2014-04-16 2014-07-17 2014-10-16 2015-01-29 2015-04-23 2015-07-16 2015-10-22",
}


class News:
    """The tweets, unscored, the FOMC's statements, scored, and the exchange's sessions."""

    def __init__(self, lake: Path) -> None:
        config = configs.load(CONFIG)
        plan = make_plan(config, lake)
        found = ingest(config, lake=lake, plan=plan)
        self.scorer = Scorer(config.sentiment.model, cache=lake / CACHE)
        self.tweets = tables_lake.read(found["tweets"].folder)
        self.statements = self.toned(tables_lake.read(found["fomc"].folder).sort("known_time").tail(STATEMENTS_READ))
        first = plan.start - timedelta(days=SESSION_DAYS)
        self.sessions = sessions_around(config.calendar, first, plan.end)

    def toned(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with the tones of their texts."""
        return rows.with_columns(self.scorer.score(rows["text"]).select(*TONES, "score"))

    def around(self, entity: str | None, start: datetime, end: datetime) -> pl.DataFrame:
        """The tweets known in (start, end], scored; None: about anyone."""
        rows = self.tweets if entity is None else self.tweets.filter(pl.col("entity") == entity)
        return self.toned(rows.filter(pl.col("known_time").is_between(*_moments(start, end), closed="right")))

    def trading(self, grid: pl.DataFrame) -> Any:
        """Whether the exchange is open at each moment of a grid."""
        opens, closes = (self.sessions[edge].dt.epoch("ns").to_numpy() for edge in ("open", "close"))
        moments = grid["decision_time"].dt.epoch("ns").to_numpy()
        return moments <= closes[np.searchsorted(opens, moments, side="right") - 1]


def _moments(*times: datetime) -> list[pl.Expr]:
    return [pl.lit(moment).cast(TIME) for moment in times]


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), NEW_YORK)


def minutes_of(entity: str, start: datetime, end: datetime) -> pl.DataFrame:
    """A grid of every minute of a span."""
    moments = pl.datetime_range(start, end, "1m", eager=True).cast(TIME)
    return pl.DataFrame({"entity": entity, "decision_time": moments})


def prices(entity: str, lake: Path) -> pl.DataFrame:
    """known_time and close of the minute bars of a stock or fund of the real sample."""
    folder = "us_equity_1min_2014_2015" if entity in {"AAPL", "FB"} else "us_etf_1min_2014_2015"
    files = f"{{{entity}: '${{TRIFUSE_DATA}}/market/{folder}/{entity.lower()}-*.csv.gz'}}"
    config = configs.load(BARS, [f"sources.bars.files={files}", f"entities=[{entity}]", f"name=bars_{entity.lower()}"])
    config = config.model_copy(update={"sources": {"bars": config.sources["bars"]}, "features": {"bars": ["price"]}})
    rows = tables_lake.read(ingest(config, lake=lake)["bars"].folder)
    return in_order(rows, "bar")[0].select("session", "known_time", "close")


# --- panels -----------------------------------------------------------------------------------------------------------


def here(times: pl.Series) -> Any:
    """New York's clock without a zone, as matplotlib shows it."""
    return times.dt.convert_time_zone("America/New_York").dt.replace_time_zone(None).to_numpy()


def wall(moment: datetime) -> Any:
    return np.datetime64(moment.astimezone(NEW_YORK).replace(tzinfo=None))


def clean(axis: Any) -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=9)


def arrivals(axis: Any, items: pl.DataFrame, start: datetime, end: datetime, minutes: int) -> None:
    """How many tweets each span of some minutes brought, by tone."""
    edges = pl.datetime_range(start, end, f"{minutes}m", eager=True).cast(TIME)
    ends = edges.dt.epoch("ns").to_numpy()
    place = np.searchsorted(ends, items["known_time"].dt.epoch("ns").to_numpy(), side="left") - 1
    score = items["score"].fill_null(0.0).to_numpy()
    bottom, left = np.zeros(len(ends) - 1), here(edges)[:-1]
    for name, colour, chosen in (
        ("negative", RED, score < NEGATIVE_SCORE),
        ("neutral", PALE, np.abs(score) <= -NEGATIVE_SCORE),
        ("positive", GREEN, score > -NEGATIVE_SCORE),
    ):
        count = np.bincount(place[chosen], minlength=len(ends) - 1)
        width = np.timedelta64(minutes * 60 - minutes * 6, "s")
        axis.bar(left, count, width, bottom, align="edge", color=colour, label=name, linewidth=0)
        bottom += count
    axis.set_ylabel(f"tweets\nin {minutes} min", fontsize=9)


def tones(axis: Any, items: pl.DataFrame) -> None:
    """Each tweet by its tone."""
    score = items["score"].to_numpy()
    colours = np.where(score < NEGATIVE_SCORE, RED, np.where(score > -NEGATIVE_SCORE, GREEN, GREY))
    axis.scatter(here(items["known_time"]), score, s=10, c=colours, alpha=0.45, linewidths=0)


def closed(axis: Any, sessions: pl.DataFrame, start: datetime, end: datetime) -> None:
    """The hours in which the exchange is closed, shaded."""
    last = start
    for row in sessions.iter_rows(named=True):
        if row["close"] > start and row["open"] < end:
            if row["open"] > last:
                axis.axvspan(wall(last), wall(row["open"]), color="#f2f4f5", zorder=0, linewidth=0)
            last = row["close"]
    if last < end:
        axis.axvspan(wall(last), wall(end), color="#f2f4f5", zorder=0, linewidth=0)


def hours(axis: Any, every: int) -> None:
    from matplotlib.dates import DateFormatter, HourLocator

    axis.xaxis.set_major_locator(HourLocator(byhour=range(0, 24, every)))
    axis.xaxis.set_major_formatter(DateFormatter("%H:%M"))


# --- the pictures -----------------------------------------------------------------------------------------------------


def draw_earnings(found: News, bars: pl.DataFrame, path: Path) -> None:
    """AAPL from the session that ends before its report of 27 January 2015 to the end of the next one."""
    from matplotlib.figure import Figure

    day, entity = date(2015, 1, 27), "AAPL"
    start, end = at(day, 9, 30), at(day + timedelta(days=1), 16)
    everybody, grid = found.around(None, start - LEAD, end), minutes_of(entity, start, end)
    names = ["news_tone_1h", "news_tone_6h", "news_market_tone_6h"]
    lines = news_features(everybody, grid, names)
    own = found.tweets.filter(pl.col("entity") == entity).with_columns(score=pl.lit(None, dtype=pl.Float64))
    attention = news_features(own, grid, ["news_attention_1h"], sessions=found.sessions).to_series().to_numpy()
    items = everybody.filter(pl.col("entity") == entity, pl.col("known_time") > _moments(start)[0])
    clock = here(grid["decision_time"])
    told = items.filter(pl.col("text").str.contains("3.06", literal=True))["known_time"].min()
    figure = Figure(figsize=(11, 9), layout="constrained")
    price, bar, tone, busy = figure.subplots(4, 1, sharex=True, height_ratios=[2.1, 1.2, 1.8, 1.0])
    for _, rows in bars.filter(pl.col("known_time").is_between(*_moments(start, end))).group_by(
        "session", maintain_order=True
    ):
        price.plot(here(rows["known_time"]), rows["close"], color=INK, linewidth=1.3)
    price.set_ylabel("AAPL, $", fontsize=9)
    arrivals(bar, items, start, end, 15)
    tones(tone, items)
    tone.plot(clock, lines["news_market_tone_6h"], color=GREY, linewidth=1.4, label="all 87 companies, 6 h")
    tone.plot(clock, lines["news_tone_6h"], color=BLUE, linewidth=1.8, label="AAPL, half-life 6 h")
    tone.plot(clock, lines["news_tone_1h"], color="#e67e22", linewidth=1.4, label="AAPL, 1 h")
    tone.set(ylim=(-1.1, 1.5), yticks=(-1, -0.5, 0, 0.5, 1))
    tone.set_ylabel("tone", fontsize=9)
    busy.plot(clock, np.where(found.trading(grid), attention, np.nan), color=BLUE)
    busy.set_ylabel("attention\nof 1 h, z", fontsize=9)
    for axis in (price, bar, tone, busy):
        clean(axis)
        closed(axis, found.sessions, start, end)
        axis.axvline(wall(told), color=INK, linewidth=1.0, linestyle=":")
    for axis in (tone, busy):
        axis.axhline(0, color="black", linewidth=0.6)
    price.annotate(
        f"first tweet with the figures, {here(pl.Series([told]))[0].astype('datetime64[s]').item():%H:%M:%S}",
        (wall(told), 0.06), xycoords=("data", "axes fraction"), xytext=(6, 0), textcoords="offset points", fontsize=9,
    )  # fmt: skip
    bar.legend(frameon=False, fontsize=9, ncols=3, loc="upper right")
    tone.legend(frameon=False, fontsize=9, ncols=3, loc="upper left")
    price.set_title("AAPL around its report of 27 January 2015: shaded where the exchange is closed", fontsize=11)
    hours(busy, 3)
    busy.set_xlim(wall(start), wall(end))
    busy.set_xlabel("New York, 27 and 28 January 2015", fontsize=9)
    figure.savefig(path, dpi=130)
    session = bars.filter(pl.col("session") == day)["close"][-1], bars.filter(pl.col("session") > day)["close"][0]
    note(f"{entity} {day}: {items.height} tweets; last {session[0]:.2f}, first of the next session {session[1]:.2f}")


def draw_fomc(found: News, bars: pl.DataFrame, path: Path) -> None:
    """SPY and the market's tone on three days of statements, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.6), layout="constrained")
    axes = figure.subplots(3, len(STATEMENTS), sharex="col", sharey="row", height_ratios=[1.8, 1.0, 1.5])
    for column, day in enumerate(STATEMENTS):
        price, bar, tone = axes[:, column]
        start, end, moment = at(day, 11), at(day, 16), at(day, 14)
        everybody, grid = found.around(None, start - LEAD, end), minutes_of("SPY", start, end)
        lines = news_features(everybody, grid, ["news_market_tone_1h", "news_market_tone_6h"])
        items = everybody.filter(pl.col("known_time") > _moments(start)[0]).unique("item", maintain_order=True)
        rows = bars.filter(pl.col("known_time").is_between(*_moments(start, end)))
        before = rows.filter(pl.col("known_time") <= _moments(moment)[0])["close"][-1]
        price.plot(here(rows["known_time"]), (rows["close"] / before - 1) * 1e4, color=INK, linewidth=1.2)
        arrivals(bar, items, start, end, 10)
        tones(tone, items)
        clock = here(grid["decision_time"])
        tone.plot(clock, lines["news_market_tone_6h"], color=GREY, linewidth=1.6, label="half-life 6 h")
        tone.plot(clock, lines["news_market_tone_1h"], color="#e67e22", linewidth=1.6, label="1 h")
        said = statement(found.statements, at(day, 15))
        price.set_title(f"{day:%-d %B %Y}\nstatement: tone {said[0]:+.2f}, change {said[1]:+.2f}", fontsize=10)
        tone.set(ylim=(-1.1, 1.5), yticks=(-1, -0.5, 0, 0.5, 1))
        for axis in (price, bar, tone):
            clean(axis)
            axis.axvline(wall(moment), color=INK, linewidth=1.0, linestyle=":")
        for axis in (price, tone):
            axis.axhline(0, color="black", linewidth=0.6)
        hours(tone, 1)
        tone.set_xlim(wall(start), wall(end))
        tone.set_xlabel("New York", fontsize=9)
        if column:
            bar.set_ylabel("")
        note(f"{day}: {items.height} tweets, statement {said[0]:+.3f} ({said[1]:+.3f})")
    axes[0, 0].set_ylabel("SPY since 14:00, bp", fontsize=9)
    axes[2, 0].set_ylabel("tone of all companies' tweets", fontsize=9)
    axes[1, 0].legend(frameon=False, fontsize=9, loc="upper left")
    axes[2, 0].legend(frameon=False, fontsize=9, ncols=2, loc="upper left")
    figure.savefig(path, dpi=130)


def statement(statements: pl.DataFrame, moment: datetime) -> tuple[float, float]:
    """Tone of the latest statement, and its change against the one before."""
    grid = pl.DataFrame({"entity": ["SPY"], "decision_time": pl.Series([moment]).cast(TIME)})
    found = news_features(statements, grid, ["news_statement_tone", "news_statement_change"], shared="US")
    tone, change = found.row(0)
    return tone, change


def reports(found: News, daily: pl.DataFrame) -> pl.DataFrame:
    """Each report: the mean tone of tweets from the close to 9:25 of the next session, those of the session before it,
    how many, and the move from that close to the next open."""
    rows = []
    for entity, days in REPORTS.items():
        own = daily.filter(pl.col("ticker") == entity).sort("date")
        for day in map(date.fromisoformat, days.split()):
            later = own.filter(pl.col("date") > day).row(0, named=True)
            close = own.filter(pl.col("date") == day)["close"][0]
            after = found.around(entity, at(day, 16), at(later["date"], 9, 25))
            before = found.around(entity, at(day, 9, 30), at(day, 16))
            means = {"before": before["score"].mean(), "after": after["score"].mean(), "tweets": after.height}
            rows.append({"entity": entity, "day": day, **means, "gap": 100 * (later["open"] / close - 1)})
    return pl.DataFrame(rows)


def main(
    earnings: Annotated[Path, typer.Option("--earnings", help="Picture of AAPL's report.")] = Path(
        "docs/news_earnings.png"
    ),
    fomc: Annotated[Path, typer.Option("--fomc", help="Picture of the statements.")] = Path("docs/news_fomc.png"),
    lake: Annotated[Path, typer.Option("--lake", help="Where rows and scores are kept.")] = Path("lake"),
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """Draw tone against price around AAPL's report and the FOMC's statements, and tell the table of reports."""
    with one_line_errors(debug):
        if importlib.util.find_spec("matplotlib") is None:
            raise ConfigError("matplotlib is not installed, which draws", hint="pip install matplotlib")
        found = News(lake)
        draw_earnings(found, prices("AAPL", lake), earnings)
        draw_fomc(found, prices("SPY", lake), fomc)
        daily = pl.read_csv(
            expand("${TRIFUSE_DATA}/news/stocknet/prices_raw.csv.gz", {}), try_parse_dates=True, null_values="null"
        )
        table = reports(found, daily)
        with pl.Config(tbl_rows=-1, float_precision=3):
            note(str(table))
        for column in ("before", "after"):
            correlation = table.select(pl.corr(column, "gap", method="spearman")).item()
            note(f"rank correlation of the tone {column} the close with the move to the next open: {correlation:+.2f}")


if __name__ == "__main__":
    typer.run(main)
