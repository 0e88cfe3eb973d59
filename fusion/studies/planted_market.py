"""The embedded market of sources.simulate as a sample of the study of selection: files, ingest, features, labels.

Everything is as in configs/demo.yaml but the tones: a noisy reader of the simulator's own truth stands for the
transformer, so that a seed takes seconds. It gives tanh(1.2 tone + 0.6 z), z standard normal and drawn for each item.
"""

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from fusion import features, target
from fusion.config import RunConfig, load
from fusion.grid import decision_grid
from fusion.pipeline import ingest
from fusion.plan import make_plan
from fusion.regime.observations import regime_observations
from fusion.studies.planted_samples import Sample, Source
from fusion.study import make_labels
from sources import lake as tables_lake

SHARPNESS, NOISE = 1.2, 0.6
CALM, STRESS = 0, 1
SHOWS = {
    "pressure": (("book_imbalance", "book_microprice"), (CALM,)),
    "tone": (("news_",), (CALM, STRESS)),
    "surprise": (("metric_lot_fill_yoy",), (CALM,)),
}
"""Driver -> what the features that show it begin with, and the regimes in which it moves prices
(docs/simulated_market.md)."""
TONELESS = ("count", "scored", "attention", "minutes", "novelty", "dispersion", "share", "market")
"""Features of news of these words do not tell an entity's own tone."""


@cache
def source(config: Path = Path("configs/demo.yaml")) -> Source:
    """The market of a config, the demo's by default."""
    settings = load(config)

    def make(seed: int, effects: bool, work: Path) -> Sample:
        return sample(settings, seed, effects, work)

    return Source("market", settings, make)


def sample(config: RunConfig, seed: int, effects: bool, work: Path) -> Sample:
    """One seed; files and the lake lie in `work` meanwhile."""
    assert config.simulate is not None
    simulated = config.simulate.model_copy(update={"seed": seed, "effects": effects})
    config = config.model_copy(update={"simulate": simulated})
    plan = make_plan(config, work)
    tables = {name: tables_lake.read(made.folder) for name, made in ingest(config, lake=work, plan=plan).items()}
    truth = pl.read_parquet(Path(plan.variables["SIMULATED"]) / "truth" / "headlines.parquet")
    tables["headlines"] = _read(tables["headlines"], truth, seed)
    grid = decision_grid(list(plan.entities), plan.sessions, config.decisions)
    matrix = features.build(config, tables, grid)
    kinds = pl.DataFrame({"feature": matrix.candidates}).with_columns(kind=pl.col("feature").str.extract(r"^([a-z]+)_"))
    return Sample(
        features=matrix.frame.select(*target.KEYS, *matrix.candidates),
        labels=make_labels(plan, tables, grid),
        sessions=plan.periods,
        observations=regime_observations(plan, tables, matrix),
        kinds=kinds,
        truth=shown(matrix.candidates, effects),
    )


def _read(items: pl.DataFrame, truth: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The items with the scores of the noisy reader: the same for all rows of an item. A repeat is no news."""
    z = np.random.default_rng(seed).standard_normal(truth.height)
    score = np.tanh(SHARPNESS * truth["tone"].to_numpy() + NOISE * z)
    told = truth.select(item=pl.col("id"), novelty=pl.col("repeats").is_null().cast(pl.Float64)).with_columns(
        score=pl.Series(score),
        positive=pl.Series(np.maximum(score, 0)),
        negative=pl.Series(np.maximum(-score, 0)),
        neutral=pl.Series(1 - np.abs(score)),
    )
    return items.join(told, on="item", how="left", maintain_order="left").with_columns(
        relevance=pl.lit(1.0), truncated=pl.lit(False)
    )


def shown(names: list[str], effects: bool) -> pl.DataFrame:
    """feature, regime, driver: what is there to be found. Empty where effects are off."""
    rows = []
    for driver, (starts, regimes) in SHOWS.items() if effects else ():
        for name in names:
            toneless = driver == "tone" and any(word in name for word in TONELESS)
            if name.startswith(starts) and not toneless:
                rows += [(name, regime, driver) for regime in regimes]
    return pl.DataFrame(rows, schema={"feature": pl.String, "regime": pl.Int64, "driver": pl.String}, orient="row")
