"""The figures of docs/linking.md are those of the script."""

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from scripts.evaluate_linking import HEADLINES, SENTENCES, SIZES, judge, labelled, share, texts_of_headlines
from sentiment.linking import NameTable

PAGE = " ".join((Path(__file__).resolve().parent.parent.parent / "docs" / "linking.md").read_text().split())


def as_told(count: Counter[str]) -> str:
    hit, false, missed = count["hit"], count["false"], count["missed"]
    return f"| {count['texts']} | {hit + missed} | {share(hit, hit + false)} | {share(hit, hit + missed)} |"


def test_counts_are_those_of_links() -> None:
    rows = [
        ("a", "2019-06-03", "AAPL MSFT", "Apple beats $INTC"),
        ("a", "2019-06-03", "TGT", "Target is in town"),
        ("b", "2019-06-03", "", "Rain"),
    ]
    counts, wrong = judge(rows, NameTable.packaged())
    assert counts["a"] == {"texts": 2, "hit": 1, "false": 1, "missed": 2, "missed: no candidate": 1, "missed: never": 1}
    assert counts["b"]["texts"] == 1
    assert len(wrong) == 3
    assert share(9, 10) == "0.900 [0.596, 0.982]"


def test_sentences() -> None:
    rows = labelled(SENTENCES)
    assert len(rows) == len({text for *_, text in rows}) > 300
    known = set(NameTable.packaged().rows["entity"])
    assert all(set(entities.split()) <= known and date.fromisoformat(day) for _, day, entities, _ in rows)
    counts, _ = judge(rows, NameTable.packaged())
    for part in ("development", "reported"):
        assert as_told(counts[part]) in PAGE, as_told(counts[part])


@pytest.mark.data
def test_headlines(data_root: Path) -> None:
    texts = texts_of_headlines(data_root)
    rows = labelled(HEADLINES)
    given = [(f"{part}, {stratum}", day, entities, texts[sha]) for part, stratum, day, entities, sha in rows]
    counts, _ = judge(given, NameTable.packaged())
    assert {name.partition(",")[0] for name in counts} == set(SIZES)
    for stratum in ("linked", "rejected"):
        assert as_told(counts[f"third, {stratum}"]) in PAGE, as_told(counts[f"third, {stratum}"])
