"""Which features a config asks for, and which its sources are enough for: told before any file is read."""

from collections.abc import Callable, Sequence

from fusion.config import RunConfig
from fusion.features import bar, book, metric, metric_names, quote, site_names, site_table, trade
from fusion.features.ticks import allowed, defaults
from gpu_kernels.durations import format_duration
from gpu_kernels.errors import ConfigError
from gpu_kernels.spec import FeatureSpec
from sentiment import features as news
from sources.config import Source
from sources.daily_options import DailyFile
from sources.source_options import BOOKS, StreamSource


def chosen(config: RunConfig, name: str, names: list[str] | None = None) -> list[str]:
    """The features of a source that are made: `names`, or what the config says; `all` leaves out those that the
    source's options are not enough for. Of a metric or an event table they are its metrics or kinds; of metrics by site
    or region the features of these.

    Raises ConfigError on an unknown name, or one that needs an option which the source lacks.
    """
    source, wanted = config.sources[name], config.features[name]
    if names is None and wanted != "all":
        names = list(wanted)
    if source.table == "bar":
        return _of_bars(name, names, config)
    if source.table == "quote":
        return _windowed(name, names, quote.FEATURES)
    if source.table == "news":
        return _of_news(name, names, shared=shared_entity(config, name) is not None)
    if source.table == "site":
        return _of_sites(name, names, tells_closings(source))
    if found := _with_options(source.table):
        assert isinstance(source, StreamSource)
        return possible(name, names, source, *found)
    return _of_series(config, name, names)


def _of_bars(source: str, names: list[str] | None, config: RunConfig) -> list[str]:
    """The features of bars that a config names, groups among them; all: those of all groups."""
    options, count, found = config.volatility, _entities(config), []
    daily = isinstance(config.sources[source], DailyFile)
    for name in bar.groups(daily=daily) if names is None else names:
        if name in bar.GROUPS or name == bar.VOLATILITY:
            made = bar.names_of(name, options, count, daily=daily)
            if names is not None and not made:
                lacked = ", ".join(dict.fromkeys(bar.left_out(name, options, count, daily=daily).values()))
                raise ConfigError(
                    f"features.{source} names {name!r}, all of which needs {lacked}",
                    hint=f"write {lacked}, or leave the group out",
                )
            found += made
            continue
        try:
            asked = bar.asked(name)
        except ConfigError as error:
            raise ConfigError(
                f"features.{source}: {error.problem}", allowed=error.allowed, hint="`trifuse schema bar` tells them"
            ) from None
        if asked.time is not None and asked.time % options.interval:
            interval = format_duration(options.interval)
            raise ConfigError(
                f"features.{source} names {name!r}, of {asked.time / options.interval:.4g} slots",
                allowed=f"a <time> that is a multiple of volatility.interval, {interval}",
                hint="ask for another time, or change the interval",
            )
        if lack := bar.lacked(asked, options, daily=daily):
            raise ConfigError(
                f"features.{source} names {name!r}, which needs `{lack}`",
                hint=f"write {lack}, or leave the feature out",
            )
        found.append(name)
    return list(dict.fromkeys(found))


def _of_news(source: str, names: list[str] | None, *, shared: bool) -> list[str]:
    """The features of news that a config names, groups among them; all: those of all groups that can be made, less the
    market's where one entity serves all, which are its own."""
    found, every = [], [group for group in news.GROUPS.names if not (shared and group == "market")]
    for name in every if names is None else names:
        if name in news.GROUPS.names:
            made = [one for one in news.names_of(name) if not news.lacked(news.asked(one), shared=shared)]
            if names is not None and not made:
                raise ConfigError(
                    f"features.{source} names {name!r}, all of which needs the entity that serves all",
                    hint=f"write sources.{source}.entity, e.g. US",
                )
            found += made
            continue
        try:
            lack = news.lacked(news.asked(name), shared=shared)
        except ConfigError as error:
            hint = error.hint or "`trifuse schema news` tells them"
            raise ConfigError(f"features.{source}: {error.problem}", allowed=error.allowed, hint=hint) from None
        if lack:
            raise ConfigError(
                f"features.{source} names {name!r}, which needs the entity that serves all",
                hint=f"write sources.{source}.{lack}, e.g. US, or leave the feature out",
            )
        found.append(name)
    return list(dict.fromkeys(found))


def _of_sites(source: str, names: list[str] | None, closings: bool) -> list[str]:
    """The features of a list of sites that a config names; all: those that its list is enough for."""
    if names is None:
        return site_table.defaults(closings)
    for name in names:
        window = site_table.window_of(name)
        if window is None and name != "site_count":
            _known(source, [name], [spec.name for spec in site_table.FEATURES])
        if window is not None and window[0] in site_table.CLOSINGS and not closings:
            raise ConfigError(
                f"features.{source} names {name!r}, and nothing of the source can tell that a site closed",
                hint=f"map columns.closed, give snapshots of several days (snapshot: file_name), or leave {name} out",
            )
    return names


def tells_closings(source: Source) -> bool:
    """Whether a list of sites can tell that one closed."""
    return bool(getattr(source, "knows_closings", True))


def _of_metrics(source: str, names: list[str] | None, own: list[str]) -> list[str]:
    """The features of metrics that a config names; all: the values of those that the source says it has."""
    for name in names or []:
        try:
            feature = metric_names.asked(name, own)
        except ConfigError as error:
            raise ConfigError(f"features.{source}: {error.problem}", allowed=error.allowed) from None
        if own and feature.metric not in own:
            _known(source, [name], [*own, *(f"<metric>_{form}" for form in metric_names.FORMS)])
    return own if names is None else names


def shared_entity(config: RunConfig, source: str) -> str | None:
    """The entity of a source that is none of the run's own, so that its rows serve all of them: a market or region."""
    entity = config.sources[source].entity
    own = config.entities
    if isinstance(own, str):
        own = [] if config.simulate is None else list(config.simulate.tickers())
    return None if entity in own else entity


def _of_series(config: RunConfig, source: str, names: list[str] | None) -> list[str]:
    """The kinds that a config names, or the metrics and what is made of their vintages; of metrics by site or region
    the features of these."""
    options = config.sources[source]
    if options.table != "metric":
        return _known(source, names, sorted(getattr(options, "kinds", names or [])))
    own = metric.own_names(options)
    if options.stores:
        return _of_places(config, source, own if names is None else names)
    _no_place(source, names or [], own)
    return _of_metrics(source, names, own)


def _of_places(config: RunConfig, source: str, names: list[str]) -> list[str]:
    """The features of sites or regions that a config names, metrics and groups of theirs among them."""
    groups = site_names.SITE_GROUPS if config.sources[source].sites else site_names.REGION_GROUPS
    found = []
    for name in names:
        try:
            found += site_names.names_of(groups, name)
        except ConfigError as error:
            raise ConfigError(
                f"features.{source}: {error.problem}", allowed=error.allowed, hint="`trifuse schema` tells what each is"
            ) from None
    return list(dict.fromkeys(found))


def _no_place(source: str, names: list[str], own: list[str]) -> None:
    """Raises ConfigError where a source that tells no sites is asked for a feature of them."""
    for name in [one for one in names if one not in own]:
        for option, groups in (("sites", site_names.SITE_GROUPS), ("weights", site_names.REGION_GROUPS)):
            if site_names.asked(groups, name) is not None:
                raise ConfigError(
                    f"features.{source} names {name!r}, which needs `{option}`",
                    hint=f"write sources.{source}.{option}: the name of a source of table site",
                )


def _entities(config: RunConfig) -> int | None:
    """How many a config lists."""
    return None if isinstance(config.entities, str) else len(config.entities)


def check(config: RunConfig) -> None:
    """Raises one ConfigError that names every feature which cannot be made."""
    wrong = []
    for source, wanted in config.features.items():
        for name in [] if wanted == "all" else wanted:
            try:
                chosen(config, source, [name])
            except ConfigError as error:
                wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        # what is allowed is said once, not once for each
        told = [(error.allowed and f"allowed: {error.allowed}", error.hint) for error in wrong]
        parts = dict.fromkeys(part for pair in told for part in pair if part)
        raise ConfigError("; ".join(error.problem for error in wrong), hint="; ".join(parts))


def left_out(config: RunConfig) -> list[str]:
    """A sentence for each source whose `all` leaves features out, which tells why."""
    said = []
    for name, wanted in config.features.items():
        source, found = config.sources[name], _with_options(config.sources[name].table)
        if source.table == "bar":
            said += _left_out_of_bars(name, wanted, config)
        if source.table == "site" and wanted == "all" and not tells_closings(source):
            said.append(
                f"features.{name} is all, but not made: {', '.join(site_table.CLOSINGS)} (nothing of sources.{name} "
                "can tell that a site closed)"
            )
        if wanted != "all" or found is None:
            continue
        assert isinstance(source, StreamSource)
        by_option: dict[str, list[str]] = {}
        for feature, options in _lacking(source, *found).items():
            by_option.setdefault(" and ".join(f"sources.{name}.{option}" for option in options), []).append(feature)
        parts = [f"{', '.join(features)} (for want of {options})" for options, features in by_option.items()]
        if parts:
            said.append(f"features.{name} is all, but not made: {'; '.join(parts)}")
    return said


def _left_out_of_bars(source: str, wanted: str | list[str], config: RunConfig) -> list[str]:
    """The same of the groups of features of bars."""
    daily = isinstance(config.sources[source], DailyFile)
    named = [name for name in wanted if name in (*bar.GROUPS, bar.VOLATILITY)]
    groups = bar.groups(daily=daily) if wanted == "all" else named
    by_option: dict[str, dict[str, None]] = {}
    for group in groups:
        for name, lack in bar.left_out(group, config.volatility, _entities(config), daily=daily).items():
            if name not in wanted:
                by_option.setdefault(lack, {})[name] = None
    parts = [f"{', '.join(features)} (for want of {option})" for option, features in by_option.items()]
    return [f"features.{source} leaves out {'; '.join(parts)}"] if parts else []


_Needs = Callable[[str], tuple[str, ...]]


def _with_options(table: str) -> tuple[Sequence[FeatureSpec], _Needs] | None:
    """Of a table some of whose features need options of the source: the specs, and what each needs."""
    if table == "trade":
        return trade.FEATURES, trade.needs
    return (book.FEATURES, book.needs) if table in BOOKS else None


def _lacking(options: StreamSource, specs: Sequence[FeatureSpec], needs: _Needs) -> dict[str, list[str]]:
    """The options that each spec misses, where it misses any."""
    return {
        spec.name: missing
        for spec in specs
        if (missing := [option for option in needs(spec.name) if getattr(options, option) is None])
    }


def possible(
    source: str, names: list[str] | None, options: StreamSource, specs: Sequence[FeatureSpec], needs: _Needs
) -> list[str]:
    """The features of a family that a config names; all: those that the source's options are enough for."""
    lacking = _lacking(options, specs, needs)
    if names is None:
        return defaults([spec for spec in specs if spec.name not in lacking])
    found = _windowed(source, names, specs)
    for name in found:
        for spec in specs:
            if spec.name in lacking and allowed([spec], name):
                raise ConfigError(
                    f"features.{source} names {name!r}, which needs `{lacking[spec.name][0]}`",
                    hint=f"write sources.{source}.{lacking[spec.name][0]}, or leave the feature out",
                )
    return found


def _windowed(source: str, names: list[str] | None, specs: Sequence[FeatureSpec]) -> list[str]:
    """The features that a config names, of a family whose names may carry any half-life."""
    if names is None:
        return defaults(specs)
    return [
        name if allowed(specs, name) else _known(source, [name], [spec.name for spec in specs])[0] for name in names
    ]


def _known(source: str, names: list[str] | None, allowed: list[str]) -> list[str]:
    if names is None:
        return allowed
    for name in names:
        if name not in allowed:
            raise ConfigError(
                f"features.{source} names {name!r}",
                allowed=", ".join(allowed),
                hint="`trifuse schema` tells what each is",
            )
    return names
