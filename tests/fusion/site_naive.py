"""Features of sites and regions from their definitions: one decision at a time, from dictionaries."""

import math
import statistics
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "gpu_kernels"))

from naive.sites_cross_section import centre

DAY = 86_400 * 10**9


def as_dicts(frame):
    times = [name for name, dtype in frame.schema.items() if str(dtype).startswith("Datetime")]
    return frame.with_columns(frame[name].dt.epoch("ns") for name in times).to_dicts()


def latest_vintages(rows, t, key):
    known = {}
    for row in rows:
        if row["known_time"] <= t and (key(row) not in known or known[key(row)]["known_time"] <= row["known_time"]):
            known[key(row)] = row
    return known


class Day:
    """What is known at one decision."""

    def __init__(self, metrics, sites, entity, t, max_age, rules):
        self.entity, self.t, self.max_age, self.rules = entity, t, max_age, rules
        facts = list(latest_vintages(sites, t, lambda r: (r["entity"], r["site"], r["event_time"])).values())
        self.facts = facts
        self.members = {}
        for fact in sorted(facts, key=lambda fact: fact["event_time"]):
            if fact["entity"] == entity and fact["event_time"] <= t < self.end(fact):
                self.members[fact["site"]] = fact
        self.longitude = {}
        for row in reversed(sorted(sites, key=lambda row: row["known_time"])):
            if row["entity"] == entity:
                self.longitude[row["site"]] = row["longitude"]
        self.metrics = metrics

    @staticmethod
    def end(fact):
        return math.inf if fact["valid_to"] is None else fact["valid_to"]

    def open_since(self, site):
        since = self.members[site]["event_time"]
        while True:
            before = [
                fact["event_time"]
                for fact in self.facts
                if fact["site"] == site and fact["event_time"] < since
                if self.end(fact) == since or (fact["entity"] == self.entity and self.end(fact) > since)
            ]
            if not before:
                return since
            since = min(before)

    def observations(self, metric, belongs):
        """event_time -> row of what counts, and event_time -> first row with a value."""
        rows = [row for row in self.metrics if row["metric"] == metric and belongs(row)]

        def counts(row):
            clear = row["valid_frac"] is None or row["valid_frac"] >= self.rules.min_valid
            return row["value"] is not None and clear

        current = latest_vintages(rows, self.t, lambda row: row["event_time"])
        first = {}
        for row in rows:
            if row["known_time"] <= self.t and counts(row):
                held = first.setdefault(row["event_time"], row)
                first[row["event_time"]] = row if row["known_time"] < held["known_time"] else held
        return {event: row for event, row in sorted(current.items()) if counts(row)}, first


def local(event, longitude):
    return event + round(longitude / 15 * 3600) * 10**9


def alike(one, other, rules, weekday):
    apart = abs(one % DAY - other % DAY)
    names = [(moment // DAY + 3) % 7 for moment in (one, other)]
    days = {"any": True, "same": names[0] == names[1], "kind": (names[0] > 4) == (names[1] > 4)}
    return min(apart, DAY - apart) <= rules.hours and days[weekday]


def earlier(held, event, lag, rules, weekday, longitude):
    """The event nearest to `lag` before another one."""
    here = local(event, longitude)
    near = []
    for other in held:
        there = local(other, longitude)
        off = abs(there // DAY - (here - lag) // DAY)
        if other < event and off <= rules.days and alike(here, there, rules, weekday):
            near.append((abs(there - (here - lag)), other))
    return min(near)[1] if near else None


def level(row, rules):
    return row["value"] if rules.change == "difference" else math.log(row["value"])


def variance(rows, rules):
    if any(row["std"] is None for row in rows):
        return math.nan
    return sum((row["std"] / (1 if rules.change == "difference" else row["value"])) ** 2 for row in rows)


def site_values(day, site, what, time=0):  # noqa: PLR0911
    """(value, variance, earliest event) of a site, or None."""
    rules, longitude = day.rules, day.longitude[site]
    held, first = day.observations("fill", lambda row: row["site"] == site and row["entity"] in ("", day.entity))
    if not held or day.t - max(held) > day.max_age:
        return None
    now = max(held)
    if what == "level":
        return held[now]["value"], variance([held[now]], type(rules)()), now
    if what == "age":
        return (day.t - now) / DAY, math.nan, now
    if what == "revision":
        return level(held[now], rules) - level(first[now], rules), math.nan, now
    if what == "surprise":
        here, like = local(now, longitude), []
        for event, row in held.items():
            there = local(event, longitude)
            gap = here // DAY - there // DAY
            season = min(abs(gap - 365.2425 * years) for years in range(4))
            if event < now and season <= rules.season and alike(here, there, rules, "same"):
                like.append(row["value"])
        if len(like) < rules.least:
            return None
        centre = statistics.median(like)
        scale = 1.4826022185056018 * statistics.median(abs(x - centre) for x in like)
        return ((held[now]["value"] - centre) / scale, math.nan, now) if scale > 0 else None
    year = earlier(held, now, rules.lag, rules, "same", longitude)
    if year is None:
        return None
    change = level(held[now], rules) - level(held[year], rules)
    if what == "yoy":
        return change, variance([held[now], held[year]], rules), year
    before = earlier(held, now, time, rules, "same", longitude)
    year_before = before and earlier(held, before, rules.lag, rules, "same", longitude)
    if year_before is None:
        return None
    change -= level(held[before], rules) - level(held[year_before], rules)
    used = [held[event] for event in (now, year, before, year_before)]
    return change, variance(used, rules), min(year, year_before)


def site_feature(day, what, time):
    found = [
        (site, site_values(day, site, "yoy" if what in ("count", "coverage") else what, time))
        for site in sorted(day.members)
    ]
    used = [one[:2] for site, one in found if one is not None and one[2] >= day.open_since(site)]
    if what in ("count", "coverage"):
        share = len(day.members) if what == "coverage" else 1
        return len(used) / share if day.members else math.nan
    kept = len(used) / (len(used) + day.rules.shrink) if what in ("yoy", "acceleration", "surprise") and used else 1
    return centre(used) * kept


def region_feature(day, what, time=0):
    weights = {}
    for fact in day.members.values():
        weights[fact["region"]] = weights.get(fact["region"], 0) + 1
    total, used = 0.0, 0
    for region, weight in weights.items():
        held, _ = day.observations("visits", lambda row, region=region: row["entity"] == region)
        if region is None or not held or day.t - max(held) > day.max_age:
            continue
        value = {"level": held[max(held)]["value"], "staleness": (day.t - max(held)) / DAY, "coverage": 0}.get(what)
        if what == "change":
            before = earlier(held, max(held), time, day.rules, "any", 0.0)
            if before is None:
                continue
            value = held[max(held)]["value"] - held[before]["value"]
        total, used = total + weight * value, used + weight
    if what == "coverage":
        return used / len(day.members) if day.members else math.nan
    return total / used if used else math.nan
