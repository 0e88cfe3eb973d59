"""Regimes of many entities at once: each entity's observations filtered by its own model, or all by one."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from fusion.regime.hmm import HiddenMarkovModel
from fusion.regime.model import Floats
from gpu_kernels import hmm
from gpu_kernels.errors import DataError

_KEYS = ("entity", "time")
_PARTS = ("mean", "covariance", "start", "transition")


def filter_panel(
    observations: pl.DataFrame, models: HiddenMarkovModel | Mapping[str, HiddenMarkovModel]
) -> pl.DataFrame:
    """Filtered probabilities of every entity: entity, time, probability_0.., log_density, in the order of the rows.

    observations   entity, time, and one numeric column per input of the models; sorted by entity and time
    models         one for all entities, or one for each; all with the same inputs and number of states
    log_density    log p(row | the entity's rows before it): how unexpected the observation was

    The kernel takes all entities in one launch, so that thousands of short series cost what one long one does. Row t of
    an entity depends on its rows up to t alone.

    Missing values: a row with a missing input only predicts, and its log_density is 0. Entities without a model, or
    whose model has a problem, get null.
    Raises DataError: a column is absent or not numeric, rows not sorted or repeated, models that differ.
    """
    _check(observations, ())
    if isinstance(models, HiddenMarkovModel):
        named = dict.fromkeys(observations["entity"].unique().to_list(), models)
    else:
        named = dict(models)
    usable = {name: model for name, model in named.items() if model.problem is None}
    shapes = {(model.inputs, model.states) for model in usable.values()}
    if len(shapes) > 1:
        raise DataError(f"models of {len(shapes)} kinds", allowed="the same inputs and number of states for all")
    inputs, states = next(iter(shapes)) if shapes else ((), 0)
    _check(observations, inputs)
    keys = observations.select(_KEYS)
    names, lengths = _runs(keys["entity"])
    used = list({id(usable[name]): usable[name] for name in names if name in usable}.values())
    if not used:
        return keys.with_columns(pl.lit(None, pl.Float64).alias("log_density"))
    number = {id(model): at for at, model in enumerate(used)}
    of = np.array([number[id(usable[name])] if name in usable else 0 for name in names], dtype=np.int64)
    x = np.ascontiguousarray(observations.select(pl.col(inputs).cast(pl.Float64)).to_numpy())
    mean, covariance, start, transition = (np.stack([getattr(model, part) for model in used]) for part in _PARTS)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    filtered, density = hmm.gaussian_filter(x, mean, covariance, start, transition, of, offsets)
    known = np.repeat([name in usable for name in names], lengths)
    return keys.with_columns(
        *(_known(filtered[:, k], known).alias(f"probability_{k}") for k in range(states)),
        _known(density, known).alias("log_density"),
    )


def _known(values: Floats, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> pl.Series:
    return pl.Series(np.where(known, values, np.nan)).fill_nan(None)


def _runs(entity: pl.Series) -> tuple[list[str], list[int]]:
    """The entities in their order, and how many rows each has."""
    counted = entity.rle().struct.unnest()
    return counted["value"].to_list(), counted["len"].to_list()


def _check(observations: pl.DataFrame, inputs: tuple[str, ...]) -> None:
    missing = [name for name in (*_KEYS, *inputs) if name not in observations.columns]
    if missing:
        raise DataError(f"observations lack {', '.join(missing)}", allowed="entity, time, and one column per input")
    wrong = [name for name in inputs if not observations.schema[name].is_numeric()]
    if wrong:
        raise DataError(f"input {wrong[0]} of the regime is {observations.schema[wrong[0]]}", allowed="numbers")
    keys = observations.select(_KEYS)
    if keys.is_duplicated().any() or not keys.equals(keys.sort(_KEYS)):
        raise DataError(
            "rows of the panel repeat or are not in order", hint="sort by entity and time, one row for each"
        )
