"""False discoveries, precision and recall of the selection, and the mixture against one model, over many seeds.

    python scripts/measure_selection.py --seeds 400 --effects off                    # a lean panel, 0.3 s a seed
    python scripts/measure_selection.py --seeds 100 --effects on --learn             # and the models, 4 s a seed
    python scripts/measure_selection.py --market embedded --seeds 100 --effects off  # configs/demo.yaml, 15 s a seed
    python scripts/measure_selection.py --seeds 400 --effects off --out results.json

What is measured is told in fusion/studies/planted_effects.py, the markets in planted_panel.py and planted_market.py
beside it. Each seed's result is kept in the folder --work as soon as it is there, so that a run that was killed goes
on; results of other code or settings are made anew. Samples of the embedded market are kept too, whatever the code:
remove them when features have changed. docs/planted_effects.md has the figures.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from enum import StrEnum
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import typer

from fusion.console import one_line_errors, progress, show
from fusion.manifest import code_version
from fusion.studies import planted_effects, planted_market, planted_panel
from fusion.studies.planted_samples import Source, kept
from gpu_kernels.errors import ConfigError


class Market(StrEnum):
    panel = "panel"
    embedded = "embedded"


class Effects(StrEnum):
    on = "on"
    off = "off"


def source_of(market: str) -> Source:
    return planted_panel.source() if market == Market.panel else planted_market.source()


def one(market: str, seed: int, effects: bool, learn: bool, work: Path, place: Path) -> None:
    """Judge a seed and keep the record."""
    source = source_of(market)
    sample = source.make(seed, effects, work) if market == Market.panel else kept(source, seed, effects, work)
    record = planted_effects.judge(sample, source.config, learn=learn)
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    temporary.write_text(json.dumps(record))
    os.replace(temporary, place)


def judged(
    market: str, seeds: range, effects: bool, learn: bool, work: Path, processes: int
) -> Iterator[tuple[int, int]]:
    """Makes the records that are not there; yields how many are there, of how many."""
    places = {seed: place_of(market, seed, effects, learn, work) for seed in seeds}
    wanted = {seed: place for seed, place in places.items() if not place.is_file()}
    done = len(places) - len(wanted)
    yield done, len(places)
    if processes == 1:
        for seed, place in wanted.items():
            one(market, seed, effects, learn, work, place)
            done += 1
            yield done, len(places)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(one, market, seed, effects, learn, work, place) for seed, place in wanted.items()]
        for future in as_completed(futures):
            future.result()
            done += 1
            yield done, len(places)


def place_of(market: str, seed: int, effects: bool, learn: bool, work: Path) -> Path:
    settings = [source_of(market).config.digest(), code_version(), learn]
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:10]
    return work / "records" / f"{market}-{'on' if effects else 'off'}-{seed}-{key}.json"


def percent(found: dict[str, Any]) -> str:
    return f"{100 * found['mean']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def tell(found: dict[str, Any]) -> None:
    """The tables of docs/planted_effects.md."""
    rates = [
        {"of": "refits with a discovery", "share": percent(found["with_discovery"])},
        {"of": "refits that keep a feature", "share": percent(found["with_kept"])},
        {"of": "seeds with a discovery in any refit", "share": percent(found["seeds_with_discovery"])},
    ]
    show(rates, title=f"{len(found['seeds'])} seeds, {found['families']} refits")
    below = [
        {"group": row["group"], "p": f"{row['count']:,}"}
        | {f"< {level:g}": f"{100 * row[str(level)]:.3f} %" for level in planted_effects.LEVELS}
        for row in found["p"]
    ]
    show(below, title="p-values")
    if found["recall"]:
        show([{"driver": name, "recall": percent(each)} for name, each in found["recall"].items()])
        show([{"regime": name, "precision": percent(each)} for name, each in found["precision"].items()])
    if "ic" in found:
        rows = []
        for group, each in found["ic"].items():
            row = {"decisions": group, "seeds better": f"{100 * each['better']:.0f} %"}
            for name in ("mixture", "static", "difference"):
                told = each[name]
                row[name] = f"{told['mean']:+.4f} [{told['low']:+.4f}, {told['high']:+.4f}]"
            rows.append(row)
        show(rows, title="rank IC out of sample")


def main(
    market: Annotated[Market, typer.Option("--market", help="Lean panel, or the market of configs/demo.yaml.")] = (
        Market.panel
    ),
    effects: Annotated[Effects, typer.Option("--effects", help="Planted effects.")] = Effects.off,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many.")] = 100,
    first: Annotated[int, typer.Option("--first", min=0, help="The first of them.")] = 0,
    learn: Annotated[bool, typer.Option("--learn", help="Fit the mixture and one model, too.")] = False,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Seeds at a time.")] = 1,
    work: Annotated[Path, typer.Option("--work", help="Where seeds are kept.")] = Path("work/measure_selection"),
    out: Annotated[Path | None, typer.Option("--out", help="JSON file of all figures.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """Judge the selection on markets whose truth is known."""
    with one_line_errors(debug):
        try:
            (work / "records").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--work {work}: {error.strerror}", hint="name a folder that can be written") from None
        wanted = range(first, first + seeds)
        with progress(quiet) as advance:
            for done, total in judged(market, wanted, effects is Effects.on, learn, work, processes):
                advance(f"seeds: {done} of {total}", done / total)
        places = {seed: place_of(market, seed, effects is Effects.on, learn, work) for seed in wanted}
        found = planted_effects.summary({seed: json.loads(place.read_text()) for seed, place in places.items()})
        tell(found)
        if out is not None:
            settings = {"market": market, "effects": effects, "learn": learn, "first": first, "seeds": seeds}
            out.write_text(json.dumps(settings | {"found": found | {"seeds": len(found["seeds"])}}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
