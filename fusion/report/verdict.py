"""What the numbers say, in words, before any plot is shown."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from fusion.report import comparison, contribution, returns
from fusion.report.difference import rank_ic_difference
from fusion.report.run_folder import Estimate, RunFolder, is_redundant, number, section
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
    sentences = [*_sample(run, primary), *_baseline(run, primary), *_money(run), *_features(run)]
    sentences += [*comparison.sentences(run), *contribution.sentence(run), *_data(run)]
    return Verdict(tone, headline, sentences)


def _headline(run: RunFolder, ic: Estimate) -> tuple[str, str]:
    if not ic.known:
        return _without_ic(run)
    name = f"the {run.primary_adjective} rank IC is {signed(ic.value)}"
    if not ic.has_interval:
        return "unknown", f"No verdict: {name}, but it has no confidence interval."
    name += f", {run.confidence} confidence interval {interval(ic)}"
    if ic.side > 0:
        return "positive", f"Better than chance: {name}. Zero lies outside the interval."
    if ic.side < 0:
        return "negative", f"Worse than chance: {name}. The score ranks returns the wrong way round."
    return "zero", f"No skill shown: {name}, indistinguishable from zero."


def _without_ic(run: RunFolder) -> tuple[str, str]:
    """Why there is no rank IC: no refit, nothing tested, nothing found, or something else."""
    ledger = run.selection
    sessions = number(section(run.manifest, "window").get("sessions"))
    train = number(section(run.config, "walk_forward").get("train_sessions"))
    if ledger is not None and ledger.is_empty():
        if not sessions <= train:
            return "unknown", "No verdict: no refit was possible, so nothing was learned or scored."
        return "unknown", (
            f"No refit was possible: {plural(int(sessions), 'session')}, the first refit comes after "
            f"walk_forward.train_sessions {train:,.0f}; lower it or lengthen the window."
        )
    if ledger is None or ledger["kept"].any() or ledger["significant"].any():
        return "unknown", f"No verdict: the {run.primary_adjective} rank IC could not be computed from this run."
    of = f"none of {plural(ledger['feature'].n_unique(), 'candidate feature')}"
    at = f"at any of {plural(ledger['refit_session'].n_unique(), 'refit')}"
    if not ledger["q_value"].is_finite().any():
        why = ledger["reason"].str.split(" (").list.first().drop_nulls().mode().sort()
        return "unknown", f"No verdict: {of} could be tested {at}" + (f" ({why[0]})." if len(why) else ".")
    return "zero", f"Nothing found: {of} was significant {at}, so there is no signal to judge."


def _moment(session: object) -> str:
    """A day, or the start of a block to the second."""
    return f"{session:%Y-%m-%d %H:%M:%S} UTC" if isinstance(session, datetime) else str(session)


def _sample(run: RunFolder, ic: Estimate) -> list[str]:
    if run.session_ic is None:
        return []
    rows = run.session_ic.filter(pl.col("score") == "score", pl.col("horizon").cast(pl.String) == run.primary)
    known = rows.filter(pl.col("rank_ic").is_not_null() & pl.col("rank_ic").is_not_nan())
    if known.is_empty():
        learned = run.selection is None or run.selection["kept"].any()
        return ["There were too few scored decisions for a rank IC."] if learned else []
    above = number((known["rank_ic"] > 0).mean())
    ratio = run.estimate("icir")
    days = known["session"].sort()
    text = (
        f"Measured out of sample on {plural(known.height, 'session')}, {_moment(days[0])} to {_moment(days[-1])}; "
        f"the session's contribution to the rank IC was above zero in {percent(above, 0)} of them"
    )
    text += f" (mean over standard deviation {signed(ratio.value, 2)})." if ratio.known else "."
    if known.height < _FEW_SESSIONS:
        text += f" With fewer than {_FEW_SESSIONS} sessions the interval itself is rough, and likely too narrow."
    if block := section(run.config, "walk_forward").get("block"):
        text += f" Here a session is a block of {block} of the day."
    return [text]


def _baseline(run: RunFolder, ic: Estimate) -> list[str]:
    ridge = run.estimate("rank_ic", score="score_ridge")
    if not (ridge.known and ic.known):
        return []
    difference = rank_ic_difference(run)
    if ridge.value > ic.value:
        text = f"The linear baseline did {'better' if difference.side < 0 else 'no worse'}"
    elif difference.side > 0:
        text = "The model did better than the linear baseline"
    else:
        text = "The model was not shown to do better than the linear baseline"
    text += f": a ridge regression on the same features has a rank IC of {measured(ridge)}"
    if not difference.has_interval:
        return [text + f" against {signed(ic.value)}."]
    zero = ", which holds zero" if difference.side == 0 else ""
    return [
        f"{text}; the model's minus the baseline's is {signed(difference.value)}, {run.confidence} interval "
        f"{interval(difference)}{zero}."
    ]


def _money(run: RunFolder) -> list[str]:
    if told := returns.sentence(run):
        return told
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
    if ledger is None:
        return ["No selection ledger was written, so nothing can be said about single features."]
    if ledger.is_empty():
        return ["No feature was tested."]
    limit = number(section(run.config, "selection").get("false_discovery_rate"))
    refits = ledger["refit_session"].n_unique()
    names = ledger["feature"].n_unique()
    significant = ledger.filter(pl.col("significant"))
    text = f"Of {plural(names, 'candidate feature')} over {plural(refits, 'refit')}, "
    rule = f"q ≤ {plain(limit, 2)}"
    if significant.is_empty():
        text += f"none was significant ({rule}) at any refit"
    else:
        text += (
            f"{plural(significant['feature'].n_unique(), 'was', 'were')} significant ({rule}) in at least one regime "
            f"of one refit; {_last_significant(ledger)}"
        )
    forced = ledger.filter(pl.col("kept") & ~pl.col("significant")).height
    kept = ledger.filter(pl.col("kept")).height
    if forced:
        text += f"; {forced:,} of the {plural(kept, 'kept place')} went to features kept although not significant"
    return [text + "."]


def _last_significant(ledger: pl.DataFrame) -> str:
    """The significant ones of the last refit, and why some were not kept; counted as the tiles count them."""
    last = ledger.filter(pl.col("significant"), pl.col("refit_session") == ledger["refit_session"].max())
    if last.is_empty():
        return "none at the last refit"
    kept, redundant = last["kept"].sum(), last.filter(is_redundant()).height
    beyond = last.filter(pl.col("reason").str.contains("beyond max_features", literal=True)).height
    held_back = last.height - kept - redundant - beyond
    parts = [f"{kept:,} kept"]
    parts += [f"{redundant:,} dropped as redundant"] if redundant else []
    parts += [f"{beyond:,} beyond max_features"] if beyond else []
    parts += [f"{held_back:,} held back by a gate"] if held_back else []
    return f"{last.height:,} at the last refit, counted by regime ({', '.join(parts)})"


def _data(run: RunFolder) -> list[str]:
    sources = [source for source in section(run.manifest, "sources").values() if isinstance(source, dict)]
    read = sum(int(source.get("read") or 0) for source in sources)
    if not read:
        return []
    bad = sum(sum(section(source, "quarantined").values()) for source in sources)
    return [f"{plural(read, 'row')} were read, {percent(bad / read, 2)} of them set aside as bad ({bad:,})."]
