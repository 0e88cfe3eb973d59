"""Precision and recall of ticker linking with the packaged table of names, on labelled sentences, headlines and tweets.

    python scripts/evaluate_linking.py [--data FOLDER] [--only sentences|headlines|tweets|masks|speed] [--misses]

sentences   tests/sentiment/linking_sample.tsv: sentences of our own, half of them looked at while the rules were made.
            The same hand wrote the sentences and the table, so these are traps that were thought of, not a rate
headlines   Reuters, CNBC and Guardian 2017-2020, drawn at random in strata and labelled by reading. The texts are not
            ours to copy: tests/sentiment/linking_headlines.tsv knows them by their SHA-256. Rules were changed after
            the first and the second part had been looked at; the third was drawn, labelled and looked at once, after
tweets      stocknet 2014-2015: whether the ticker that a tweet was collected under is found again
masks       the embedded model on headlines of one company: how far each mask moves the score from the average over
            other companies' names in its place, and how far the names themselves move it
speed       seconds of a processor for all tweets, with the packaged table and with 10,000 names of tweets' words more

A link is one (text, entity). Intervals are Wilson's of 95 %; strata are weighted by their sizes. An entity counts as
named where the text names the company, its security or, by its own name, a product (Apple Watch); not where only a
brand (Instagram), a person or an account (on Twitter) is named.
"""

import argparse
import csv
import gzip
import hashlib
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from scipy.stats import binomtest

from fusion.console import run_script
from gpu_kernels.errors import DataError
from sentiment.linking import NameTable, find, link, mask

REPOSITORY = Path(__file__).resolve().parent.parent
SENTENCES = REPOSITORY / "tests" / "sentiment" / "linking_sample.tsv"
HEADLINES = REPOSITORY / "tests" / "sentiment" / "linking_headlines.tsv"
# headlines of each stratum when the parts were drawn, those of earlier parts left out
SIZES: Mapping[str, Mapping[str, int]] = {
    "first": {"candidate": 10_745, "other": 24_737},
    "second": {"linked": 11_415, "rejected": 908, "other": 40_648},
    "third": {"linked": 11_386, "rejected": 756, "other": 40_588},
}
MASKS = ("the company", "company", "[company]", "it", "XYZ Corp", "")
NAMES = ("Apple", "Boeing", "Pfizer", "Walmart", "Tesla", "Goldman Sachs", "Exxon", "Facebook", "Toyota", "Mattel")


def share(part: int, whole: int) -> str:
    """A share with its interval."""
    if not whole:
        return "-"
    interval = binomtest(part, whole).proportion_ci(method="wilson")
    return f"{part / whole:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def labelled(path: Path) -> list[list[str]]:
    """The rows of a labelled sample, without its header."""
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]


def judge(rows: Iterable[Sequence[str]], table: NameTable) -> tuple[dict[str, Counter[str]], list[str]]:
    """Counts of texts and of links found, false and missed by part, and what went wrong, in writing.

    rows   part, day on which the text became known, entities, text
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    wrong = []
    for part, known, entities, text in rows:
        mentions, rejected = find(text, table, date.fromisoformat(known))
        wanted, found = set(entities.split()), {mention.entity for mention in mentions}
        count = counts[part]
        count["texts"] += 1
        count["hit"] += len(wanted & found)
        count["false"] += len(found - wanted)
        count["missed"] += len(wanted - found)
        for entity in sorted(found - wanted):
            wrong.append(f"{part}: {entity} was no such thing: {text}")
        for entity in sorted(wanted - found):
            why = next((r.reason for r in rejected if r.entity == entity), "no candidate")
            count[f"missed: {why}"] += 1
            wrong.append(f"{part}: {entity} missed ({why}): {text}")
    return counts, wrong


def columns(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, justify="left" if name in ("part", "stratum", "of them", "mask") else "right")
    return table


def show(out: Console, counts: Mapping[str, Counter[str]], title: str) -> None:
    out.print(f"\n[bold]{title}[/]")
    table = columns("part", "texts", "links", "precision", "recall", "missed for")
    for part, count in counts.items():
        hit, false, missed = count["hit"], count["false"], count["missed"]
        kinds = ", ".join(f"{key[8:]} {n}" for key, n in sorted(count.items()) if key.startswith("missed: "))
        row = (str(count["texts"]), str(hit + missed), share(hit, hit + false), share(hit, hit + missed), kinds)
        table.add_row(part, *row)
    out.print(table)


def sentences(out: Console, names: NameTable, _data: Path) -> list[str]:
    counts, wrong = judge(labelled(SENTENCES), names)
    show(out, counts, "sentences of our own")
    return [line for line in wrong if line.startswith("development")]


def texts_of_headlines(data: Path) -> dict[str, str]:
    """Headlines by the SHA-256 of their text."""
    texts = {}
    for paper in ("reuters", "cnbc", "guardian"):
        path = data / "news" / "headlines_dated" / f"{paper}_headlines.csv.gz"
        if not path.exists():
            raise DataError(f"{path} is not there", hint="set TRIFUSE_DATA or --data to the folder of real data")
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as stream:
            for row in csv.reader(stream):
                if len(row) == 2:
                    texts[hashlib.sha256(row[1].strip().encode()).hexdigest()] = row[1].strip()
    return texts


def headlines(out: Console, names: NameTable, data: Path) -> list[str]:
    texts = texts_of_headlines(data)
    rows = labelled(HEADLINES)
    counts, wrong = judge(
        [(f"{part}, {stratum}", known, entities, texts[sha]) for part, stratum, known, entities, sha in rows], names
    )
    show(out, counts, "real headlines")
    for part, sizes in SIZES.items():
        weight = {name: size / counts[f"{part}, {name}"]["texts"] for name, size in sizes.items()}
        total = {
            key: sum(weight[name] * counts[f"{part}, {name}"][key] for name in sizes)
            for key in ("hit", "false", "missed")
        }
        precision, recall = (total["hit"] / (total["hit"] + total[key]) for key in ("false", "missed"))
        out.print(f"{part}: weighted precision {precision:.3f}, weighted recall {recall:.3f}")
    named = sum(counts[f"{part}, other"]["missed"] for part in SIZES)
    others = sum(counts[f"{part}, other"]["texts"] for part in SIZES)
    out.print(f"headlines without any candidate that name somebody after all: {share(named, others)} of {others}")
    return wrong


def read_tweets(data: Path) -> pl.DataFrame:
    path = data / "news" / "stocknet" / "tweets.csv.gz"
    if not path.exists():
        raise DataError(f"{path} is not there", hint="set TRIFUSE_DATA or --data to the folder of real data")
    tweets = pl.read_csv(path).rename({"created_at": "known_time"})
    return tweets.with_columns(
        pl.col("known_time").str.to_datetime(time_unit="ns", time_zone="UTC"), item=pl.int_range(pl.len())
    )


def tweets(out: Console, names: NameTable, data: Path) -> list[str]:
    given = read_tweets(data)
    linked = link(given, names)
    given = given.with_row_index("row")
    pairs = given.select("row", entity="ticker")
    found = pairs.join(linked.links, on=["row", "entity"], how="semi")["row"]
    reasons = pairs.join(
        linked.rejected.select("row", "entity", "reason").unique(["row", "entity"]), on=["row", "entity"]
    )
    given = given.with_columns(found=pl.col("row").is_in(found.implode())).join(reasons, on="row", how="left")
    out.print("\n[bold]tweets: is the ticker that each was collected under found again?[/]")
    table = columns("of them", "tweets", "found", "turned down for")
    letters = pl.col("ticker").str.len_chars() == 1
    for name, chosen in (
        ("all", pl.lit(True)),
        ("tickers of one letter (C, D, T, V)", letters),
        ("D alone", pl.col("ticker") == "D"),
        ("longer tickers", ~letters),
    ):
        part = given.filter(chosen)
        why = part.filter(~pl.col("found"))["reason"].fill_null("no candidate").value_counts(sort=True)
        told = ", ".join(f"{reason} {count:,}" for reason, count in why.iter_rows())
        table.add_row(name, f"{part.height:,}", share(int(part["found"].sum()), part.height), told)
    out.print(table)
    several = linked.links["row"].value_counts().filter(pl.col("count") > 1).height
    out.print(
        f"{linked.counts['linked']:,} of {linked.counts['items']:,} tweets are linked, {several:,} of them to several "
        f"entities; {linked.links.height:,} links"
    )
    return []


def masks(out: Console, names: NameTable, data: Path) -> list[str]:
    from sentiment.score import score

    chosen = []
    for text in sorted(texts_of_headlines(data).items()):
        mentions, _ = find(text[1], names, date(2019, 6, 3))
        if len(mentions) == 1 and mentions[0].kind in ("name", "alias"):
            chosen.append((text[1], mentions))
        if len(chosen) == 300:
            break
    variants = {name: [mask(text, found, company=name) for text, found in chosen] for name in (*MASKS, *NAMES)}
    scores = {name: score(texts)["score"].to_numpy() for name, texts in variants.items()}
    of_names = np.stack([scores[name] for name in NAMES])
    average = of_names.mean(axis=0)
    out.print(f"\n[bold]masks: {len(chosen)} headlines of one company, scores of the embedded model[/]")
    flips = np.sign(of_names).min(axis=0) != np.sign(of_names).max(axis=0)
    out.print(
        f"one headline under {len(NAMES)} names: standard deviation {of_names.std(axis=0).mean():.3f} and range "
        f"{np.ptp(of_names, axis=0).mean():.3f} on average; the sign depends on the name in {flips.mean():.1%}"
    )
    table = columns("mask", "mean |score - average of names|", "mean difference", "correlation")
    for name in MASKS:
        difference = scores[name] - average
        correlation = np.corrcoef(scores[name], average)[0, 1]
        told = (f"{np.abs(difference).mean():.3f}", f"{difference.mean():+.3f}", f"{correlation:.3f}")
        table.add_row(escape(f"{name!r}"), *told)
    out.print(table)
    return []


def speed(out: Console, names: NameTable, data: Path) -> list[str]:
    given = read_tweets(data)
    words = sorted({word for text in given["text"].head(20_000) for word in text.split() if word.isalpha()})
    generator = random.Random(1)
    more = [" ".join(generator.sample(words, generator.choice((1, 2, 2, 3)))) for _ in range(10_000)]
    frame = pl.DataFrame({"entity": [f"E{i}" for i in range(len(more))], "name": more, "kind": "name"})
    larger = NameTable.of(pl.concat([names.rows.select(frame.columns), frame]))
    out.print(f"\n[bold]speed: {given.height:,} tweets, seconds of a processor[/]")
    table = columns("names", "links", "seconds", "with passages and masks")
    for some in (names, larger):
        link(given.head(100), some)
        start = time.process_time()
        linked = link(given, some)
        middle = time.process_time()
        link(given, some, passages=True, mask=True)
        seconds = f"{middle - start:.1f}", f"{time.process_time() - middle:.1f}"
        table.add_row(f"{some.rows.height:,}", f"{linked.links.height:,}", *seconds)
    out.print(table)
    return []


PARTS = {"sentences": sentences, "headlines": headlines, "tweets": tweets, "masks": masks, "speed": speed}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TRIFUSE_DATA") or REPOSITORY.parent / "shared" / "data")
    )
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--misses", action="store_true", help="print what went wrong, but for our reported sentences")
    arguments = parser.parse_args()
    out, names = Console(width=200, highlight=False), NameTable.packaged()
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            wrong = part(out, names, arguments.data)
            if arguments.misses:
                out.print("\n".join(wrong), markup=False)
    return 0


if __name__ == "__main__":
    run_script(main)
