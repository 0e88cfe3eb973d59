"""Whether the score and what it says of itself hold: in calm and in turmoil, from decision to decision, as promised."""

import math

from fusion.report.figures import VOLATILITY
from fusion.report.run_folder import Estimate, RunFolder, number, section
from fusion.report.wording import Table, interval, percent, plain, signed


def table(run: RunFolder) -> Table | None:
    """One row per question: the figure, its interval, and what it means."""
    rows = [*_calm_and_volatile(run), *_pace(run), *_promises(run)]
    if not rows:
        return None
    columns = ["question", "value", f"{run.confidence} interval", "reading"]
    return Table(
        "In calm and turmoil, from decision to decision, and against what was promised",
        columns,
        rows,
        text_columns=1,
        last_words=1,
    )


def _calm_and_volatile(run: RunFolder) -> list[list[str]]:
    found = run.estimates("rank_ic", group_kind="volatility")
    readings = {1: "better than chance", -1: "worse than chance", 0: "cannot be told from chance"}
    rows = [
        [f"rank IC, {VOLATILITY[group]}", signed(each.value), interval(each), readings[each.side]]
        for group, each in sorted(found.items(), reverse=True, key=lambda pair: pair[0])
        if each.known and group in VOLATILITY
    ]
    ratio = run.estimate("icir")
    if ratio.known:
        reading = f"mean over deviation of the {run.period}s' rank ICs: above 0.2 is steady, near 0 is chance"
        rows.append(["steadiness (ICIR)", signed(ratio.value, 2), interval(ratio, 2), reading])
    return rows


def _pace(run: RunFolder) -> list[list[str]]:
    rows = []
    kept, turned = run.estimate("autocorrelation"), run.estimate("turnover")
    if kept.known:
        reading = (
            "near 1 the score stays from decision to decision; near 0 it is a new one each time, and dear to trade"
        )
        rows.append(["autocorrelation of the score", signed(kept.value, 2), interval(kept, 2), reading])
    if turned.known:
        reading = "mean change of an entity's rank from a decision to the next, 0 to 1"
        rows.append(["change of rank", plain(turned.value, 3), interval(turned), reading])
    return rows


def _promises(run: RunFolder) -> list[list[str]]:
    rows = []
    settings = section(section(run.config, "model"), "interval")
    promised = number(settings.get("level", 0.9))
    inside = run.estimate("coverage")
    if inside.known:
        rows.append(
            [
                f"returns inside the {percent(promised, 0)} intervals",
                percent(inside.value),
                _shares(inside),
                _kept(inside, promised),
            ]
        )
        for group, each in run.estimates("coverage", group_kind="volatility").items():
            if each.known and group in VOLATILITY:
                rows.append(
                    [f"the same, {VOLATILITY[group]}", percent(each.value), _shares(each), _kept(each, promised)]
                )
    error, skill = run.estimate("calibration_error"), run.estimate("brier_skill")
    if error.known:
        reading = "mean gap between the chance of a rise that was said and the share that rose; above 0 by luck too"
        rows.append(["calibration error", percent(error.value), _shares(error), reading])
    if skill.known:
        words = "better than" if skill.side > 0 else "worse than" if skill.side < 0 else "cannot be told from"
        reading = f"the probabilities are {words} always saying the mean share"
        rows.append(["skill of the probabilities (Brier)", signed(skill.value, 4), interval(skill, 4), reading])
    return rows


def _shares(each: Estimate) -> str:
    if not each.has_interval:
        return interval(each)
    return f"[{percent(each.low)},\u00a0{percent(each.high)}]"


def _kept(each: Estimate, promised: float) -> str:
    if math.isfinite(each.low) and each.low > promised:
        return "wider than they need be"
    if math.isfinite(each.high) and each.high < promised:
        return "too narrow: returns lie outside more often than promised"
    return "as promised"
