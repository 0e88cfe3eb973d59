"""The measures of scripts/evaluate_novelty.py, and that its labelled pairs are what it says."""

import importlib.util
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("evaluate_novelty", ROOT / "scripts" / "evaluate_novelty.py")
script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(script)


def test_rates_are_weighted() -> None:
    called, repeat = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert script.rates(called, repeat, np.array([3.0, 1.0, 2.0, 9.0])) == (0.75, 0.6)
    assert np.isnan(script.rates(~called & called, repeat, np.ones(4))[0])


def test_best_threshold() -> None:
    assert script.best_threshold(np.array([0.9, 0.5, 0.7, 0.1]), np.array([True, True, False, False])) == 0.5
    assert script.best_threshold(np.array([0.9, 0.2, 0.7, 0.4]), np.array([True, False, False, False])) == 0.9


def test_halves_are_balanced_and_apart() -> None:
    halves = [script.written_pairs(part) for part in ("development", "reported")]
    assert [(half.height, half["repeat"].sum()) for half in halves] == [(60, 30), (60, 30)]
    one, other = (set(half.select("earlier", "later").iter_rows()) for half in halves)
    assert not one & other


def test_labels_of_tweets() -> None:
    labels = pl.read_csv(ROOT / "tests" / "sentiment" / "repeat_tweets.tsv", separator="\t")
    assert set(labels["kind"]) == {"repeat", "new", "template"}
    strata = labels.group_by("stratum").agg(pl.col("pairs", "taken").unique(), pl.len())
    assert all(row["taken"] == [row["len"]] and row["pairs"][0] >= row["len"] for row in strata.to_dicts())
