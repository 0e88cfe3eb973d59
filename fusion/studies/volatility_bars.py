"""Samples for variance forecasts from the bars of a config: its calendar, its hours and slots, its scheduled events."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import nanoseconds
from fusion.config import RunConfig
from fusion.features.bar_slots import known_events
from fusion.pipeline import ingest
from fusion.plan import make_plan
from fusion.studies.volatility_forecasts import FITS
from fusion.studies.volatility_samples import CLIP, MINUTE, Sample, make_sample
from gpu_kernels.durations import format_duration
from gpu_kernels.errors import ConfigError, DataError
from sources import lake

Integers = NDArray[np.int64]


def config_samples(config: RunConfig, entity: str | None = None, since: date | None = None) -> list[Sample]:
    """A sample for each entity of a config, or for one of them, from the rows that ingest would use.

    Bins are of `volatility.interval`, from `volatility.first` after the open to `volatility.last` before the close.
    A bin's variance is the sum of the squared returns of its bars; of minutes where bars are shorter than one, or with
    `volatility.repeat`. Events are those of `volatility.events` that concern the entity and were known when their
    session opened; its kinds are judged one by one.

    since  forecasts are judged from this day on; none: as soon as there are some

    Raises: ConfigError where the config has no source of bars or no such entity; DataError for bars that are too few
    or too coarse, and as ingest does.
    """
    bars, calendar = config.source_of("bar"), config.volatility.events
    if bars is None:
        raise ConfigError(f"config {config.name} has no source of bars", hint="add one of `table: bar` to sources")
    kept = {name: config.sources[name] for name in (bars, calendar) if name is not None}
    with TemporaryDirectory() as folder:
        plan = make_plan(config, Path(folder))
        if entity is not None and entity not in plan.entities:
            raise ConfigError(f"--entity is {entity}", allowed=", ".join(plan.entities))
        asked = plan.entities if entity is None else (entity,)
        found = ingest(
            config.model_copy(update={"sources": kept}),
            lake=Path(folder),
            plan=replace(plan, config=config.model_copy(update={"sources": kept})),
        )
        events = None if calendar is None else lake.read(found[calendar].folder)
        samples = []
        for name in asked:
            others = [other for other in plan.entities if other != name]
            known = None if events is None else events.filter(~pl.col("entity").is_in(others))
            samples.append(_sample_of(config, name, lake.read(found[bars].folder, entities=[name]), known, since))
    return samples


def _sample_of(
    config: RunConfig, entity: str, rows: pl.DataFrame, events: pl.DataFrame | None, since: date | None
) -> Sample:
    options = config.volatility
    if rows.is_empty():
        raise DataError(f"{entity}: no usable bars between {config.start} and {config.end}")
    rows = rows.sort("event_time", "known_time", maintain_order=True)
    length = _bar_length(config, rows)
    if length > options.interval and not options.repeat:
        raise DataError(
            f"{entity}: bars of {format_duration(length)} are too coarse for slots of "
            f"{format_duration(options.interval)}",
            hint=f"write volatility.interval: {format_duration(length)} or longer, or give finer bars",
        )
    fine = _fine(length, options.interval, repeat=options.repeat)
    # the first return of a session: of bars that span other times than slots do, never from a bar's own opening price
    first = "open" if not options.repeat else "before" if options.first else "none"

    def made(step: int) -> Sample:
        return make_sample(
            entity,
            rows,
            config.calendar,
            fine=min(fine, step),
            step=step,
            first=first,  # type: ignore[arg-type]
            repeat=options.repeat,
            ranges=not options.repeat,
            report_from=since or date.min,
            events={},
            cut=(options.first, options.last),
        )

    sample = made(options.interval)
    seen = int(np.isfinite(sample.bins.variance).any(axis=1).sum())
    if seen <= FITS.first:
        raise DataError(
            f"{entity}: {seen} sessions with bars", allowed=f"{FITS.first + 1} or more", hint="widen start and end"
        )
    if sample.report_from >= len(sample.days):
        raise DataError(f"--from is {since}", allowed=f"a day up to {sample.days[-1]}, the last session of {entity}")
    early = sample.prices[: FITS.first][_inside(sample)[: FITS.first]]
    # where most bins hold no price, a robust mean would take the few that do for outliers
    clip = CLIP if (early > 0).mean() >= 0.5 else np.inf
    times: dict[str, Integers] = {}
    notice = None
    if events is not None and events.height:
        came = known_events(events, sample.calendar_opens)
        # of two kinds that come together the order tells whose steps the multiplier is put down to: that of the config
        listed = getattr(config.sources[options.events or ""], "kinds", None) or came
        times = {kind: came[kind] for kind in listed if len(came.get(kind, ()))}
        event, known, kinds = (
            nanoseconds(events["event_time"]),
            nanoseconds(events["known_time"]),
            events["kind"].to_numpy(),
        )
        # of the events that are used: what came unannounced is none of them, and takes nothing from the others' notice
        used = np.any([(kinds == kind) & np.isin(event, when) for kind, when in times.items()], axis=0)
        notice = int((event - known)[used].min()) if np.any(used) else None
    finer = made(fine).bins if fine < options.interval and not options.repeat else None
    return replace(
        sample,
        clip=clip,
        events=times,
        finer=finer,
        windows={f"{kind}, -30 to +120 min": (kind,) for kind in times},
        planned=tuple(times),
        notice=notice,
    )


def _inside(sample: Sample) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.arange(sample.prices.shape[1]) < sample.bins.lengths[:, None]
    return found


def _bar_length(config: RunConfig, rows: pl.DataFrame) -> int:
    """What the config says, or else the median time from one bar's end to the next one's in its session, in ns."""
    told = getattr(config.sources[config.source_of("bar") or ""], "bar", None)
    if told:
        return int(told)
    same = (rows["session"].diff().dt.total_days() == 0).fill_null(value=False).to_numpy()
    gaps = np.diff(nanoseconds(rows["event_time"]))[same[1:]]
    return int(np.median(gaps)) if len(gaps) else 0


def _fine(length: int, step: int, *, repeat: bool) -> int:
    """Time between the prices whose returns are squared: the bars' own, or a minute."""
    found = max(length, MINUTE) if not repeat else MINUTE
    return found if step % found == 0 else step
