"""Measure trifuse against its peers on generated inputs, in one run on one machine.

    python scripts/bench.py [--suite NAME] [--quick] [--json FILE]

Outputs are compared before anything is timed; times are medians of at least five warmed runs taken in turn; the copy
bandwidth of the machine is measured in the same run. The JSON file is a list of {suite, work, rows, dtype, seconds,
peer, peer_seconds, ratio, bandwidth_fraction}, ratio being peer_seconds / seconds. Exit code 1: outputs differ.
"""

import argparse
import ctypes
import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.harness import OutputsDifferError, copy_bandwidth, measure

SUITES = (
    "ingest",
    "book",
    "rebuild",
    "orders",
    "trade",
    "bars",
    "technical",
    "volatility",
    "sentiment",
    "repeats",
    "news",
    "alternative",
    "fusion",
    "regimes",
    "selection",
    "evaluation",
)


def keep_memory() -> None:
    """Freed memory stays with the process, for us and for peers alike. By its own rule glibc hands a large output back
    or keeps it, as the heap happens to lie, and to get it anew, page by page, may cost ten times what is measured."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        trim_threshold, mmap_threshold = -1, -3
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_threshold, 2**25)


def table_of(suite: str, records: list[dict[str, Any]]) -> Table:
    table = Table(title=suite, title_justify="left")
    for name in ("work", "dtype", "rows", "M rows/s", "of copy", "peer", "peer M rows/s", "ratio"):
        table.add_column(name, justify="left" if name in {"work", "dtype", "peer"} else "right")
    for record in records:
        speed, peer = record["rows"] / record["seconds"] / 1e6, record["peer_seconds"]
        table.add_row(
            record["work"],
            record["dtype"],
            f"{record['rows']:,}",
            f"{speed:.3g}",
            f"{record['bandwidth_fraction']:.0%}",
            record["peer"] or "none",
            "" if peer is None else f"{record['rows'] / peer / 1e6:.3g}",
            "" if peer is None else f"{record['ratio']:.2f}",
        )
    return table


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=SUITES, action="append", help="may be repeated; default: all")
    parser.add_argument("--quick", action="store_true", help="small inputs, to see that everything runs")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each; at least 5")
    parser.add_argument("--json", type=Path, help="write the records to this file")
    options = parser.parse_args(arguments)
    if options.repeats < 5:
        parser.error(f"--repeats is {options.repeats}; allowed: 5 or more")
    # a table that goes into a pipe or a file is not squeezed
    console = Console(width=None if sys.stdout.isatty() else 140)
    keep_memory()
    bandwidth = copy_bandwidth(options.repeats, options.quick)
    console.print(f"copy bandwidth {bandwidth / 1e9:.1f} GB/s")
    records: list[dict[str, Any]] = []
    for suite in options.suite or SUITES:
        if importlib.util.find_spec(f"benchmarks.{suite}") is None:
            console.print(f"{suite}: no work yet")
            continue
        found = []
        for comparison in importlib.import_module(f"benchmarks.{suite}").comparisons(options.quick):
            try:
                found += measure(suite, comparison, options.repeats, bandwidth)
            except OutputsDifferError as error:
                print(f"bench: {error}", file=sys.stderr)
                return 1
        console.print(table_of(suite, found))
        records += found
    if options.json:
        temporary = options.json.with_name(f".{options.json.name}.{os.getpid()}")
        temporary.write_text(json.dumps(records, indent=2) + "\n")
        os.replace(temporary, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
