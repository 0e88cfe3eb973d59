"""The flag for suspected spoofing on simulated markets: how many planted spoofs it tells, and how long it is up without
any, by the plain window score and by the one over what is usual (`fusion.features.book_spoofing.excess`).

    python scripts/measure_spoofing_flag.py [--seeds 301 302 ...] [--sessions 3]

Level-2 updates, a decision each second, the limit 1. A spoof is told where the flag is up at the first decision after
its orders went. Right is time flagged within three half-lives of the window after such a moment.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.detectors.frame import Market, simulated
from benchmarks.detectors.spoofing import KINDS, feed
from fusion.features import book_spoofing
from gpu_kernels.decay import decayed_sum

SECOND = 10**9
LIMIT = 1.0
NAMES = ("window score", "over the usual")
SUMS = ("spoofs", "flagged spoofs", "quiet time", "flagged quiet time", "flagged time", "right flagged time")


def measure(market: Market) -> dict[str, np.ndarray]:
    """`SUMS` of each value, of the time in which both are told; times in seconds."""
    rows = feed(market)
    score, *_ = rows.scored(rows.from_levels())
    firsts = rows.offsets[:-1]
    at = [np.arange(rows.time[a], rows.time[b - 1], SECOND) for a, b in zip(firsts, rows.offsets[1:], strict=True)]
    at_offsets = np.append(0, np.cumsum([len(times) for times in at])).astype(np.int64)
    clock = np.concatenate(at)
    columns = rows.time, score, rows.offsets, clock, at_offsets
    goes_on = np.arange(len(at)) > 0
    window = decayed_sum(*columns, book_spoofing.HALF_LIFE)
    over = book_spoofing.excess(*columns, goes_on, warm_up=300 * SECOND)
    truth = market.found.truth.filter(pl.col("kind").is_in(KINDS))
    end = np.sort(truth["end"].to_physical().to_numpy())
    seen = np.searchsorted(clock, end)
    told = ~np.isnan(over)
    last = np.searchsorted(end, clock, side="right") - 1
    # the next session's first decision is no answer to a spoof of this one
    age = np.where(last >= 0, clock - end[np.maximum(last, 0)], 2**62) if len(end) else np.full(len(clock), 2**62)
    right = age <= 3 * book_spoofing.HALF_LIFE
    busy = np.unique(np.searchsorted(rows.time[firsts], end, side="right") - 1)
    quiet = ~np.isin(np.repeat(np.arange(len(at)), np.diff(at_offsets)), busy)
    answers = seen[(seen < len(clock))]
    answers = answers[told[answers] & (age[answers] < 2 * SECOND)]
    found = {}
    for name, values in zip(NAMES, (window, over), strict=True):
        up = told & (values >= LIMIT)
        counts = (
            len(answers),
            up[answers].sum(),
            (told & quiet).sum(),
            (up & quiet).sum(),
            up.sum(),
            (up & right).sum(),
        )
        found[name] = np.array(counts)
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(301, 309)))
    parser.add_argument("--sessions", type=int, default=3, help="of an hour each, the first without spoofs")
    options = parser.parse_args(arguments)
    totals = {name: np.zeros(len(SUMS), np.int64) for name in NAMES}
    for market in simulated(tuple(options.seeds), sessions=options.sessions, duration=3600.0):
        for name, counts in measure(market).items():
            totals[name] += counts
    table = Table(title=f"seeds {', '.join(map(str, options.seeds))}", title_justify="left")
    for heading in ("flag by", "spoofs", "told", "quiet hours", "flagged", "flagged hours", "right"):
        table.add_column(heading, justify="left" if heading == "flag by" else "right")
    for name, (spoofs, flagged, quiet, wrong, up, right) in totals.items():
        table.add_row(
            name, str(spoofs), f"{flagged / max(spoofs, 1):.2f}", f"{quiet / 3600:.1f}",
            f"{wrong / max(quiet, 1):.2%}", f"{up / 3600:.2f}", f"{right / max(up, 1):.2f}",
        )  # fmt: skip
    Console(width=max(Console().width, 120)).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
