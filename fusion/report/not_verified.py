"""What a reader must not take for shown: computed from the run where it depends on the run."""

from typing import Any

from fusion.report.run_folder import RunFolder, section
from fusion.session_target import DEFAULT_ENTRY
from sources.config import RECEIPTS

_PRICES = {"bar": "the closes of the last bars", "quote": "the mids of the last quotes", "trade": "last traded prices"}
_ENTRIES = {
    "next_open": "the next session's open",
    "next_close": "the next close",
    "last": "the last known close, at which nobody could trade any more,",
}


def not_verified(run: RunFolder) -> list[str]:
    """Each entry is one sentence that names an assumption or a check that this run did not make."""
    config = run.config
    points = [
        "Costs: what is shown after costs takes the config's half spread, fees and impact as true; borrow is in no "
        "figure, and all other returns are before any cost.",
        f"Execution: returns run {_prices(run)}; no order was simulated.",
        "Multiplicity: the false discovery rate covers features and regimes inside one refit. Horizons, groups and the "
        "configs tried before this one are not corrected for.",
        f"Confidence intervals and t statistics {_dependence(run)} would widen them, and a score that persists over "
        "many sessions while returns drive it (a price level) keeps some bias.",
        "Universe: the entities were chosen by whoever wrote the config; survivorship was not examined.",
        "Truncation invariance (no value before it was known) was not checked by this run itself; "
        "`trifuse verify CONFIG` does it.",
    ]
    points += [line for name, source in section(config, "sources").items() for line in _clock(name, source)]
    if config.get("simulate"):
        points.insert(0, "These data are simulated: the figures say nothing about any real market.")
    device = run.manifest.get("device")
    kind = str(device.get("kind", device.get("name", "")) if isinstance(device, dict) else device or "").lower()
    if not any(word in kind for word in ("cuda", "gpu", "nvidia")):
        points.append("GPU: this run used the CPU; that a GPU gives the same figures was not checked by it.")
    return points


def _dependence(run: RunFolder) -> str:
    if run.spanned > 1:
        return f"allow for labels that span {run.spanned} sessions; any other dependence between sessions"
    return "take sessions as independent; dependence between sessions"


def _prices(run: RunFolder) -> str:
    """What the returns are between, told by the table of the source of prices: the bars where none is named."""
    if run.spanned:
        begins = _ENTRIES[str(section(run.config, "targets").get("entry") or DEFAULT_ENTRY)]
        return f"from {begins} to the close {run.primary} on, and what a share lost at its delisting is in none"
    name = section(run.config, "targets").get("price")
    table = section(section(run.manifest, "sources"), str(name)).get("table") if name else "bar"
    return f"between {_PRICES.get(str(table), 'the last prices')} at the decision and at the horizon"


def _clock(name: str, source: Any) -> list[str]:
    """Where known_time comes from, of a source whose rows do not tell it themselves: a receipt that was recorded, whose
    clock nobody checked, or a rule of the config."""
    if not isinstance(source, dict):
        return []
    columns = section(source, "columns")
    if columns.get("known_time") or columns.get("received"):
        return []
    if receipt := RECEIPTS.get(str(source.get("kind"))):
        clock = receipt.format(minimum_latency=source.get("minimum_latency") or "0s")
        delay = source.get("delay") or "0s"
        return [f"Clock of {name}: its rows were known at {clock}, plus a delay of {delay} of the config."]
    known = source.get("known")
    if isinstance(known, dict):
        days, time = known.get("days", 0), known.get("time", "")
        unit = ("session" if known.get("business") else "day") + ("" if days == 1 else "s")
        rule = f'the rule "{days} {unit} later at {time}"'
    elif source.get("announced"):
        late = len(source.get("unscheduled") or [])
        rule = f"the rule that the schedule was public {source['announced']} ahead"
        rule += f", but for {late} day{'' if late == 1 else 's'} told as unscheduled," if late else ""
    elif source.get("delay") or source.get("bar"):
        parts = [f"a bar of {source['bar']}" if source.get("bar") else "", f"a delay of {source.get('delay') or '0s'}"]
        rule = " and ".join(part for part in parts if part)
    else:
        return []
    return [f"Clock of {name}: when its rows were known is {rule} of the config, not a recorded receipt."]
