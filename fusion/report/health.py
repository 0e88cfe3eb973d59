"""Data health: of each source what came, what was set aside, how old it was, what was missing; and what is wrong."""

import math

import polars as pl

from fusion.report.maps import feature_columns
from fusion.report.run_folder import RunFolder, number, section
from fusion.report.wording import MISSING, Table, age, percent, whole

# shares above which a source is marked
_BAD, _LATE, _UNSEEN = 0.01, 0.01, 0.5


def table(run: RunFolder) -> Table | None:
    """One row per source, those with something wrong first."""
    listed = section(run.manifest, "sources")
    ages, present = _of_features(run)
    names = [name for name, source in listed.items() if isinstance(source, dict)]
    names += [name for name in ages if name not in names]
    rows = []
    for name in names:
        source = section(listed, name)
        read, used, late = (number(source.get(key)) for key in ("read", "used", "late"))
        bad = float(sum(section(source, "quarantined").values()))
        typical, old, unseen = ages.get(name, (math.nan,) * 3)
        share, tardy = bad / read if read else math.nan, late / used if used else math.nan
        wrong = [
            words
            for words, true in (
                ("no row was used", used == 0),
                (f"{percent(share)} set aside", share > _BAD),
                (f"{percent(tardy)} came late", tardy > _LATE),
                (f"no value at {percent(unseen, 0)} of decisions", unseen > _UNSEEN),
            )
            if true
        ]
        cells = [name, "⚠ " + ", ".join(wrong) if wrong else "✓ in order"]
        cells += [whole(read), whole(used), whole(late), percent(share, 2) if read else MISSING]
        cells += [age(typical), age(old), percent(1 - unseen), percent(present.get(name, math.nan))]
        rows.append((not wrong, cells))
    if not rows:
        return None
    rows.sort(key=lambda row: row[0])
    columns = ["source", "state", "rows read", "used", "late", "set aside", "age", "95 % under", "decisions", "values"]
    note = (
        f"Marked: more than {percent(_BAD, 0)} of the rows set aside as bad, more than {percent(_LATE, 0)} late (after "
        f"a later one, so not used), or no value at more than {percent(_UNSEEN, 0)} of the decisions. Age: of the "
        "value that a decision used, the median and what 95 % are under; of several columns the oldest. Decisions: "
        "with any such value. Values: share that is there, over the source's features and all decisions."
    )
    marks = ["" if fine else "bad" for fine, _ in rows]
    return Table("Health of each source", columns, [cells for _, cells in rows], note, text_columns=2, marks=marks)


def _of_features(run: RunFolder) -> tuple[dict[str, tuple[float, float, float]], dict[str, float]]:
    """source -> median and 95 % age in minutes and share of decisions without one; source -> share of values there."""
    lazy = run.lazy("features")
    if lazy is None:
        return {}, {}
    features, columns = feature_columns(lazy)
    if not features and not columns:
        return {}, {}
    missing = {name: pl.col(name).is_null() | pl.col(name).is_nan() for name in (*features, *columns)}
    known = {name: pl.col(name).drop_nulls().drop_nans() for name in columns}
    found = lazy.select(
        *[missing[name].mean().alias(name) for name in missing],
        *[known[name].median().alias(f"{name}/median") for name in columns],
        *[known[name].quantile(0.95).alias(f"{name}/late") for name in columns],
    ).collect()
    told = {name: number(found[name][0]) for name in found.columns}
    ages: dict[str, tuple[float, float, float]] = {}
    for name in columns:
        source = str(run.families.get(name, name.removesuffix("_age")))
        mine = (told[f"{name}/median"], told[f"{name}/late"], told[name])
        before = ages.get(source, (math.nan,) * 3)
        ages[source] = tuple(_larger(*pair) for pair in zip(before, mine, strict=True))  # type: ignore[assignment]
    shares: dict[str, list[float]] = {}
    for name in features:
        if family := run.families.get(name):
            shares.setdefault(str(family), []).append(1 - told[name])
    return ages, {source: sum(values) / len(values) for source, values in shares.items()}


def _larger(one: float, other: float) -> float:
    return other if math.isnan(one) or other > one else one
