"""What the numbers say, in words, before any plot is shown."""

from dataclasses import dataclass

import polars as pl

from fusion.report.run_folder import Estimate, RunFolder, number, section
from fusion.report.wording import interval, measured, percent, plain, plural, signed

# the bootstrap's percentile interval covers less than it says when it resamples this few
_FEW_SESSIONS = 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """`tone` is positive, negative, zero or unknown; it is a word on the page too, never only a colour."""

    tone: str
    headline: str
    sentences: list[str]


def verdict(run: RunFolder) -> Verdict:
    """The verdict on the primary horizon's rank IC.

    The score is called indistinguishable from zero whenever its confidence interval holds zero, whatever its value.
    """
    primary = run.estimate("rank_ic")
    tone, headline = _headline(run, primary)
    sentences = [*_sample(run, primary), *_baseline(run, primary), *_money(run), *_features(run), *_data(run)]
    return Verdict(tone, headline, sentences)


def _headline(run: RunFolder, ic: Estimate) -> tuple[str, str]:
    if not ic.known:
        return _without_ic(run)
    name = f"the {run.primary} rank IC is {signed(ic.value)}"
    if not ic.has_interval:
        return "unknown", f"No verdict: {name}, but it has no confidence interval."
    name += f", {run.confidence} confidence interval {interval(ic)}"
    if ic.side > 0:
        return "positive", f"Better than chance: {name}. Zero lies outside the interval."
    if ic.side < 0:
        return "negative", f"Worse than chance: {name}. The score ranks returns the wrong way round."
    return "zero", f"No skill shown: {name}, indistinguishable from zero."


def _without_ic(run: RunFolder) -> tuple[str, str]:
    ledger = run.selection
    if ledger is not None and ledger.is_empty():
        return "unknown", "No verdict: no refit was possible, so nothing was learned or scored."
    if ledger is not None and not ledger["kept"].any():
        refits = plural(ledger["refit_session"].n_unique(), "refit")
        names = plural(ledger["feature"].n_unique(), "candidate feature")
        return (
            "zero",
            f"Nothing found: none of {names} was selected at any of {refits}, so there is no signal to judge.",
        )
    return "unknown", f"No verdict: the {run.primary} rank IC could not be computed from this run."


def _sample(run: RunFolder, ic: Estimate) -> list[str]:
    if run.session_ic is None:
        return []
    rows = run.session_ic.filter(pl.col("score") == "score", pl.col("horizon").cast(pl.String) == run.primary)
    known = rows.filter(pl.col("rank_ic").is_not_null() & pl.col("rank_ic").is_not_nan())
    if known.is_empty():
        return ["There were too few scored decisions for a rank IC."]
    above = number((known["rank_ic"] > 0).mean())
    ratio = run.estimate("icir")
    days = known["session"].sort()
    text = (
        f"Measured out of sample on {plural(known.height, 'session')}, {days[0]} to {days[-1]}; "
        f"the session's contribution to the rank IC was above zero in {percent(above, 0)} of them"
    )
    text += f" (mean over standard deviation {signed(ratio.value, 2)})." if ratio.known else "."
    if known.height < _FEW_SESSIONS:
        text += f" With fewer than {_FEW_SESSIONS} sessions the interval itself is rough, and likely too narrow."
    return [text]


def _baseline(run: RunFolder, ic: Estimate) -> list[str]:
    ridge = run.estimate("rank_ic", score="score_ridge")
    if not (ridge.known and ic.known):
        return []
    text = f"The linear baseline, a ridge regression on the same features, gives {measured(ridge)}"
    # the two are measured on the same sessions, so that overlapping intervals would say little about their difference
    return [f"{text}: {'the baseline did better' if ridge.value > ic.value else 'no better than the model'}."]


def _money(run: RunFolder) -> list[str]:
    spread = run.estimate("top_minus_bottom")
    if not spread.known:
        return []
    zero = " (the interval holds zero)" if spread.has_interval and spread.side == 0 else ""
    return [
        f"The top quantile of the score returned {measured(spread, 2)} bps per {run.primary} more than the bottom "
        f"one{zero}, before any cost."
    ]


def _features(run: RunFolder) -> list[str]:
    ledger = run.selection
    if ledger is None or ledger.is_empty():
        return ["No selection ledger was written, so nothing can be said about single features."]
    limit = number(section(run.config, "selection").get("false_discovery_rate"))
    refits = ledger["refit_session"].n_unique()
    names = ledger["feature"].n_unique()
    significant = ledger.filter(pl.col("significant"))
    text = f"Of {plural(names, 'candidate feature')} over {plural(refits, 'refit')}, "
    rule = f"q ≤ {plain(limit, 2)}"
    if significant.is_empty():
        text += f"none was significant ({rule}) at any refit"
    else:
        last = significant.filter(pl.col("refit_session") == ledger["refit_session"].max())["feature"].n_unique()
        text += (
            f"{plural(significant['feature'].n_unique(), 'was', 'were')} significant ({rule}) in at least one regime "
            f"of one refit, {last:,} at the last refit"
        )
    forced = ledger.filter(pl.col("kept") & ~pl.col("significant")).height
    kept = ledger.filter(pl.col("kept")).height
    if forced:
        text += f"; {forced:,} of the {plural(kept, 'kept place')} went to features kept although not significant"
    return [text + "."]


def _data(run: RunFolder) -> list[str]:
    sources = [source for source in section(run.manifest, "sources").values() if isinstance(source, dict)]
    read = sum(int(source.get("read") or 0) for source in sources)
    if not read:
        return []
    bad = sum(sum(section(source, "quarantined").values()) for source in sources)
    return [f"{plural(read, 'row')} were read, {percent(bad / read, 2)} of them set aside as bad ({bad:,})."]
