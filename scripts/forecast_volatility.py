"""Out-of-sample variance forecasts on real data: the component model and its rivals, inside the session and across.

    python scripts/forecast_volatility.py                               # every sample of TRIFUSE_DATA, a few minutes
    python scripts/forecast_volatility.py --samples spy_5min --json
    python scripts/forecast_volatility.py --samples es_day --out forecasts/ --png forecast.png
    python scripts/forecast_volatility.py --config configs/spy_volatility.yaml --from 2019-01-01   # your own bars

Inside the session: at the start of every five minutes, the variance of the coming 5, 15 or 60. Across: after the close,
the mean variance of the coming 1, 5 and 22 sessions. A config of trifuse gives the bars, the calendar and the scheduled
events; its section `volatility` the slots, at whose starts forecasts are made. Losses are over the rows that every
forecast has. What is judged, and what was looked at before, is told in fusion/studies/volatility_forecasts.py.
"""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import polars as pl
import typer

from fusion.config import RunConfig, load
from fusion.console import answer, note, one_line_errors, show
from fusion.studies.volatility_bars import config_samples
from fusion.studies.volatility_forecasts import COMPONENT, Intraday, forecast_intraday, judge_intraday, windows
from fusion.studies.volatility_samples import MINUTE, SAMPLES, Sample, read_samples, resolves
from fusion.studies.volatility_sessions import FITS, HORIZONS, AcrossSessions, forecast_across, judge_across, told_of
from fusion.volatility.compare import Score
from gpu_kernels.durations import format_duration
from gpu_kernels.errors import ConfigError, DataError

NUMBERS = ("QLIKE", "less", "95 %", "DM", "p", "RMSE bp²", "DM mse", "p mse", "|ln|")


def row_of(score: Score) -> dict[str, Any]:
    """A line of a table; `less` is the reference's mean QLIKE less this one's."""
    reference = score.difference == 0 and not np.isfinite(score.test.p)
    verdict = {"first": "worse", "second": "BETTER", "neither": ""}[score.test.better]
    return {
        "forecast": score.name,
        "QLIKE": f"{score.qlike:.4f}",
        "less": "" if reference else f"{score.difference:+.4f}",
        "95 %": "" if reference else f"[{score.low:+.4f}, {score.high:+.4f}]",
        "DM": "" if reference else f"{score.test.statistic:+.2f}",
        "p": "" if reference else f"{score.test.p:.4f}",
        "than the first": verdict,
        "RMSE bp²": f"{np.sqrt(score.mse) * 1e8:,.1f}",
        "DM mse": "" if reference else f"{score.mse_test.statistic:+.2f}",
        "p mse": "" if reference else f"{score.mse_test.p:.3f}",
        "|ln|": f"{score.log_mae:.3f}",
        "set": "" if score.kept is None else "in" if score.kept else "",
    }


def record_of(score: Score) -> dict[str, Any]:
    found = asdict(score)
    return found | {name: found[name]._asdict() for name in ("test", "mse_test")}


def print_table(title: str, scores: Sequence[Score]) -> None:
    show(
        [row_of(score) for score in scores],
        title=f"{title}: {scores[0].rows:,} forecasts, {scores[0].sessions} sessions",
        numeric=NUMBERS,
    )
    typer.echo("")


def table_of(run: Intraday | AcrossSessions) -> pl.DataFrame:
    """Forecasts and what came, a row a decision: session, decision time, the session's bin."""
    bins = run.sample.bins
    times = bins.starts if isinstance(run, Intraday) else bins.closes[:, None]
    days = np.repeat(np.array(run.sample.days, "datetime64[D]"), times.shape[1])
    columns = {"realised": run.realised, **run.forecasts}
    return pl.DataFrame(
        {
            "session": days,
            "decision_time": pl.Series(times.ravel()).cast(pl.Datetime("ns", "UTC")),
            **{name: np.ascontiguousarray(values).ravel() for name, values in columns.items()},
        }
    ).filter(pl.col("realised").is_not_nan())


def draw(runs: Sequence[Intraday], path: Path) -> None:
    """Realised over forecast by the size of the forecast, and both through the afternoon of a scheduled decision."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.6 * len(runs)), layout="constrained")
    axes = figure.subplots(len(runs), 2, squeeze=False)
    shown = {COMPONENT: "#c0392b", "GARCH(1,1), diurnal": "#1f4e79", "rolling hour, diurnal": "#7f8c8d"}
    for line, run in zip(axes, runs, strict=True):
        judged = windows(run.sample, run.minutes)["all"] & np.isfinite(run.realised)
        for name, colour in shown.items():
            rows = judged & np.isfinite(run.forecasts[name])
            forecast, came = run.forecasts[name][rows] * 1e8, run.realised[rows] * 1e8
            groups = np.array_split(np.argsort(forecast, kind="stable"), 30)
            x, y = (np.array([values[group].mean() for group in groups]) for values in (forecast, came))
            line[0].plot(x, y / x, "o-", markersize=3.5, linewidth=1, color=colour, label=name)
        line[0].axhline(1.0, color="black", linewidth=0.8, linestyle=":", zorder=0)
        line[0].set(xscale="log", ylim=(0.0, None), title=f"{run.sample.name}: the coming {run.minutes} min")
        line[0].set(xlabel="forecast variance, bp² (mean of a thirtieth of the forecasts)")
        line[0].set(ylabel="realised variance / forecast")
        scheduled = {kind: times for kind, times in run.sample.events.items() if _inside(run, times)[0].any()}
        kind = "fomc" if "fomc" in scheduled else next(iter(scheduled), None)
        if kind is None:
            draw_day(run, line[1], shown)
        else:
            draw_decisions(run, line[1], shown, kind)
        for axis in line:
            axis.legend(frameon=False, fontsize=9)
            axis.grid(alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def draw_day(run: Intraday, axis: Any, shown: dict[str, str]) -> None:
    """Root of the mean variance by the time of day, as it came and as it was forecast."""
    judged = windows(run.sample, run.minutes)["all"] & np.isfinite(run.realised)
    judged &= np.isfinite([run.forecasts[name] for name in shown]).all(axis=0)
    hours = np.arange(judged.shape[1]) * run.sample.bins.step / 3600e9
    count = judged.sum(axis=0)
    curves = [("realised", run.realised, "black"), *((name, run.forecasts[name], shown[name]) for name in shown)]
    for name, values, colour in curves:
        mean = np.where(count > 0, np.where(judged, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
        axis.plot(hours, np.sqrt(mean) * 1e4, color=colour, linewidth=1.8 if name == "realised" else 1.3, label=name)
    axis.set(
        xlabel="hours from the first slot of the session",
        ylabel=f"volatility of the next {run.minutes} min, bp",
        title=f"{run.sample.name}: mean over {int(judged.any(axis=1).sum())} sessions",
    )


def _inside(run: Intraday, times: Any) -> tuple[Any, Any]:
    """Which events lie in sessions that are judged, and the session of each."""
    bins = run.sample.bins
    session = np.searchsorted(bins.opens, times, side="right") - 1
    inside = (session >= run.sample.report_from) & (times < bins.closes[np.maximum(session, 0)])
    inside &= np.isfinite(run.forecasts[COMPONENT]).any(axis=1)[session]
    return inside, session


def draw_decisions(run: Intraday, axis: Any, shown: dict[str, str], kind: str) -> None:
    """Mean volatility through the hours around events of a kind, as it came and as it was forecast."""
    bins, times = run.sample.bins, run.sample.events[kind]
    reach = np.arange(-12, 25)
    inside, session = _inside(run, times)
    one, plural = ("the FOMC's decision", "FOMC decisions") if kind == "fomc" else (kind, f"events of kind {kind}")
    place = ((times - bins.opens[session]) // bins.step)[inside][:, None] + reach
    session = np.broadcast_to(session[inside][:, None], place.shape)
    there = (place >= 0) & (place < bins.variance.shape[1])
    minutes = reach * bins.step / 60e9

    def curve(values: Any) -> Any:
        found = np.where(there, values[session, np.where(there, place, 0)], np.nan)
        # of each event what its own session's forecasts were worth that day, so that no wild day rules the mean
        with np.errstate(invalid="ignore"):
            counted = np.isfinite(found).sum(axis=0)
            return np.where(counted > 0, np.nansum(np.sqrt(found), axis=0) / np.maximum(counted, 1), np.nan) * 1e4

    axis.plot(minutes, curve(run.realised), color="black", linewidth=1.8, label="realised")
    for name, colour in shown.items():
        axis.plot(minutes, curve(run.forecasts[name]), color=colour, linewidth=1.3, label=name)
    axis.axvline(0, color="black", linewidth=0.8, linestyle=":")
    axis.set(
        xlabel=f"minutes from {one} to the forecast",
        ylabel=f"volatility of the next {run.minutes} min, bp",
        title=f"{run.sample.name}: mean over {int(inside.sum())} {plural}",
    )


class Table(NamedTuple):
    """What one table says."""

    sample: str
    horizon: str
    where: str
    scores: list[Score]


def judged(title: tuple[str, str, str], judge: Callable[[], list[Score]]) -> Iterator[Table]:
    try:
        yield Table(*title, judge())
    except DataError as error:
        note(f"{', '.join(title)}: {error.problem}")


def inside_sessions(sample: Sample, minutes: Sequence[int], draws: int) -> Iterator[tuple[Intraday, list[Table]]]:
    """Runs and tables for the horizons that are whole slots and that the sample's prices resolve."""
    step = sample.bins.step
    whole = [length for length in minutes if length * MINUTE % step == 0]
    for length in sorted(set(minutes) - set(whole)):
        note(f"{sample.name}: {length} min is no multiple of the slot, {format_duration(step)}, left out")
    kept = [length for length in whole if resolves(sample, length)]
    for length in sorted(set(whole) - set(kept)):
        note(f"{sample.name}: too few prices within {length} min, left out")
    if not kept:
        return
    for run in forecast_intraday(sample, kept):
        tables: list[Table] = []
        for name, where in windows(sample, run.minutes).items():
            judge = partial(judge_intraday, run, where, confidence=name == "all", draws=draws)
            tables += judged((sample.name, f"{run.minutes} min", name), judge)
            if name == "all" and run.by_range is not None:
                title = (sample.name, f"{run.minutes} min", "all, realised by high and low")
                tables += judged(title, partial(judge_intraday, run, where, by_range=True, draws=draws))
        yield run, tables


def across_sessions(sample: Sample, draws: int) -> Iterator[tuple[AcrossSessions, list[Table]]]:
    if len(sample.days) <= FITS.first:
        note(f"{sample.name}: {len(sample.days)} sessions, {FITS.first + 1} or more to forecast sessions, left out")
        return
    late = [str(horizon) for horizon in HORIZONS if sample.planned and not told_of(sample, horizon)]
    if late:
        note(f"{sample.name}: events are not known {', '.join(late)} sessions ahead, so without them there")
    for run in forecast_across(sample):
        title = (sample.name, f"{run.horizon} sessions", "all")
        yield run, list(judged(title, partial(judge_across, run, confidence=True, draws=draws)))


def write(run: Intraday | AcrossSessions, folder: Path) -> None:
    """The run's forecasts as CSV, named after its sample and horizon."""
    folder.mkdir(parents=True, exist_ok=True)
    length = f"{run.minutes}min" if isinstance(run, Intraday) else f"{run.horizon}sessions"
    table_of(run).write_csv(folder / f"{run.sample.name}_{length}.csv")


def require(package: str, what: str) -> None:
    """Told before the work, not after it."""
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"{package} is not installed, which {what}", hint=f"pip install {package}")


def lengths_of(minutes: str) -> list[int]:
    lengths = [int(text) if text.strip().isdigit() else 0 for text in minutes.split(",")]
    if any(length == 0 for length in lengths):
        raise ConfigError(f"--minutes is {minutes}", allowed="whole minutes with commas, such as 5,15,60")
    return lengths


def day_from(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--from is {text}", allowed="a day, YYYY-MM-DD") from None


def own_samples(config: RunConfig, entity: str | None, since: date | None) -> list[Sample]:
    """Those of a config; where nothing is scheduled in them, that is told."""
    found = config_samples(config, entity, since)
    if config.volatility.events is None:
        note("the config names no volatility.events: forecasts are made without scheduled events")
    for sample in found:
        if config.volatility.events is not None and not sample.events:
            note(f"{sample.name}: no event was known when its session opened, so without events")
    return found


def chosen_samples(samples: str | None, config: Path | None, entity: str | None, since: str | None) -> list[Sample]:
    if config is None:
        if entity or since:
            raise ConfigError("--entity and --from are of a config", hint="add --config CONFIG.yaml")
        return read_samples(samples.split(",") if samples is not None else list(SAMPLES))
    if samples is not None:
        raise ConfigError("--samples and --config are both given", allowed="one of them")
    return own_samples(load(config), entity, day_from(since))


def main(
    samples: Annotated[
        str | None, typer.Option("--samples", help=f"Names with commas, of {', '.join(SAMPLES)}; none: all.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Bars of this config instead.")] = None,
    entity: Annotated[str | None, typer.Option("--entity", help="One of the config's; none: each.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Judge a config's forecasts from this day on.")] = None,
    minutes: Annotated[str, typer.Option("--minutes", help="Horizons inside the session.")] = "5,15,60",
    across: Annotated[bool, typer.Option(help="Forecast the coming sessions too.")] = True,
    draws: Annotated[int, typer.Option("--draws", min=100, help="Resamples of the intervals.")] = 1000,
    out: Annotated[Path | None, typer.Option("--out", help="Write the forecasts to this folder, as CSV.")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Draw forecast against realised to this file.")] = None,
    drawn: Annotated[int, typer.Option("--png-minutes", help="The horizon that is drawn.")] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """Losses of variance forecasts, each against the component model (inside sessions) or plain HAR (across them)."""
    with one_line_errors(debug):
        lengths = lengths_of(minutes)
        require("arch", "the GARCH rivals need")
        if png is not None:
            require("matplotlib", "--png needs")
        tables: list[Table] = []
        pictures: list[Intraday] = []
        for sample in chosen_samples(samples, config, entity, since):
            runs: Iterator[tuple[Intraday | AcrossSessions, list[Table]]] = chain(
                inside_sessions(sample, lengths, draws), across_sessions(sample, draws) if across else ()
            )
            for run, found in runs:
                tables += found
                for table in () if as_json else found:
                    print_table(f"{table.sample}, {table.horizon}, {table.where}", table.scores)
                if out is not None:
                    write(run, out)
                if isinstance(run, Intraday) and run.minutes == drawn:
                    pictures.append(run)
        if not tables:
            raise DataError("no forecast could be judged", hint="more sessions, finer bars, or other --minutes")
        if png is not None:
            if not pictures:
                raise ConfigError(f"--png-minutes is {drawn}", allowed=f"a horizon that was run, of {minutes}")
            draw(pictures, png)
        if as_json:
            answer([{**table._asdict(), "scores": [record_of(score) for score in table.scores]} for table in tables])
            return
        typer.echo("less: mean QLIKE of the first forecast less this one's, below 0 where the first is better.")
        typer.echo("DM: Diebold-Mariano on loss differences summed by session, Newey-West, small-sample corrected.")
        typer.echo("set: in the 90 % model confidence set by QLIKE. 95 %: blocks of sessions resampled.")


if __name__ == "__main__":
    typer.run(main)
