"""What a score is made of: Shapley values of the trees, by feature and by source, in return units.

    score = base + sum_j phi_j      phi_j = sum_k p_k phi_kj / sum_k p_k, base the same of the trees' expected values

phi_kj are the exact Shapley values of the trees of regime k for the decision's own features (TreeSHAP; each split by a
feature that is left out goes both ways, by the training rows that went there), mixed as the forecasts are. Features of
one source add up to its contribution. A contribution tells what the model did with a value, not what the value causes.

Source: Lundberg, Erion & Lee (2018), LightGBM's `pred_contrib`: path-dependent, of the raw output, in the trees' units
times the learner's scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.model import RefitModel, matrix_of

Floats = NDArray[np.float64]

BPS = 1e4
_TOP = 3


def columns_of(sources: Sequence[str]) -> list[str]:
    """The names of the columns that `attribute` gives."""
    return ["base", *(f"contribution_{source}" for source in sources), "top_features"]


def attribute(
    models: Sequence[RefitModel],
    decisions: pl.DataFrame,
    weights: Floats,
    families: Mapping[str, str],
    sources: Sequence[str],
    *,
    threads: int = 1,
) -> pl.DataFrame:
    """base, contribution_<source> (return units) and top_features of each decision, in its order.

    decisions  refit_session, score, and the features of the models
    weights    (rows, regimes) probabilities, as the forecasts were mixed by
    families   the source of each feature
    sources    those that get a column; it is 0 where none of their features is in the model

    top_features are the three features that moved the score most, `bar_rsi_14:+0.8bps, news_tone_1h:-0.1bps`.

    Missing values: null where there is no score.
    """
    scored = decisions["score"].is_finite().fill_null(False).to_numpy()
    found = {name: np.full(decisions.height, np.nan) for name in columns_of(sources)[:-1]}
    texts: list[pl.DataFrame] = []
    for model in models:
        mine = (decisions["refit_session"] == model.refit_session).fill_null(False).to_numpy() & scored
        if not mine.any():
            continue
        mixed = _mixed(model, decisions.filter(mine), weights[mine], threads)
        found["base"][mine] = mixed.base
        for source in sources:
            total = np.zeros(int(mine.sum()))
            for name, values in mixed.of_features.items():
                if families[name] == source:
                    total += values
            found[f"contribution_{source}"][mine] = total
        texts.append(pl.DataFrame({"_row": np.flatnonzero(mine), "top_features": _top(mixed.of_features)}))
    rows = pl.DataFrame({"_row": np.arange(decisions.height)})
    told = pl.concat(texts) if texts else pl.DataFrame(schema={"_row": pl.Int64, "top_features": pl.String})
    text = rows.join(told, on="_row", how="left", maintain_order="left")["top_features"]
    return pl.DataFrame(found).with_columns(pl.all().fill_nan(None)).with_columns(text)


@dataclass(frozen=True)
class _Mixed:
    base: Floats
    of_features: dict[str, Floats]


def _mixed(model: RefitModel, decisions: pl.DataFrame, weights: Floats, threads: int) -> _Mixed:
    """The Shapley values of the regimes, mixed as `fusion.model` mixes their forecasts."""
    rows = decisions.height
    base, mass = np.zeros(rows), np.zeros(rows)
    of_features: dict[str, Floats] = {}
    for k, learner in enumerate(model.learners):
        if learner is None:
            continue
        p = weights[:, k]
        counts = ~(p <= 0)
        phi = learner.explain(matrix_of(decisions.select(learner.features)), threads)
        for j, name in enumerate(learner.features):
            sums = of_features.setdefault(name, np.zeros(rows))
            sums += np.where(counts, p * phi[:, j], 0.0)
        base += np.where(counts, p * phi[:, -1], 0.0)
        mass += np.where(counts, p, 0.0)
    return _Mixed(base / mass, {name: values / mass for name, values in of_features.items()})


def _top(of_features: Mapping[str, Floats]) -> pl.Series:
    """The three largest by size as text; a feature that moved nothing is not told."""
    names = list(of_features)
    values = np.column_stack(list(of_features.values()))
    order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :_TOP]
    parts = []
    for place in range(order.shape[1]):
        chosen = order[:, place]
        value = np.take_along_axis(values, chosen[:, None], axis=1)[:, 0] * BPS
        tenths = pl.Series(np.rint(np.abs(value) * 10).astype(np.int64))
        name = pl.Series(names).gather(chosen)
        frame = pl.DataFrame({"name": name, "sign": np.where(value < 0, "-", "+"), "tenths": tenths, "value": value})
        text = pl.format("{}:{}{}.{}bps", "name", "sign", pl.col("tenths") // 10, pl.col("tenths") % 10)
        parts.append(frame.select(pl.when(pl.col("value") != 0).then(text).alias(f"text_{place}")))
    return (
        pl.concat(parts, how="horizontal")
        .select(pl.concat_str(pl.all(), separator=", ", ignore_nulls=True))
        .to_series()
    )
