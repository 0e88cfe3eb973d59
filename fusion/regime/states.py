"""What each regime is: a name made of its inputs, their levels, how long it lasts, how often it was seen."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusion.regime.path import RegimePath
from fusion.walk_forward import Refit

_WORDS = {
    2: ("low", "high"),
    3: ("low", "middle", "high"),
    4: ("lowest", "low", "high", "highest"),
    5: ("lowest", "low", "middle", "high", "highest"),
}
_APART = 0.5  # of the usual deviation inside a state: how far apart means lie that are named
_WIDER = 1.5  # the largest deviation over the smallest, where that is what tells states apart
_INPUTS = 3


def describe(path: RegimePath, refits: Sequence[Refit]) -> list[dict[str, Any]]:
    """Each state of each refit: its name, its inputs' mean and standard deviation in input units, how long it lasts,
    its share of the past.

    name                       see `state_names`, unless the kind of model names its states itself
    mean, standard_deviation   the model's
    expected_sessions          the model's expected_observations by the observations per session
    share                      mean filtered probability over the refit's past
    held_out                   where the number of states was chosen: mean log predictive density of each number, an
                               observation
    matched                    whether the state's number is that of the refit before

    A refit without a model has one entry with `problem`.
    """
    described: list[dict[str, Any]] = []
    sessions = max(path.observations["session"].n_unique(), 1)
    per_session = max(path.observations.height / sessions, 1.0)
    for model in path.models:
        entry: dict[str, Any] = {"refit_session": model.refit_session.isoformat()}
        if model.problem is not None:
            described.append(entry | {"problem": model.problem})
            continue
        refit = next(refit for refit in refits if refit.session == model.refit_session)
        training = path.training(refit)
        states = model.describe_states()
        for k, (state, name) in enumerate(zip(states, state_names(states), strict=True)):
            lasts = state.get("expected_observations")
            described.append(
                entry
                | {"regime": k, "name": name}
                | state
                | {
                    "expected_sessions": None if lasts is None else lasts / per_session,
                    "share": training[f"probability_{k}"].mean(),
                    "observations": model.observations,
                    "matched": model.matched,
                }
            )
    return described


def state_names(states: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each state, relative to the others, such as "high vix_close, low term_spread".

    states: mean and standard_deviation, {input: value}. An input is named where the states' means lie at least half of
    its mean deviation inside a state apart: low or high, with middle between of three, lowest and highest of four and
    five, "level 2 of 6" of more. Else where the largest deviation is 1.5 times the smallest, "of x's deviation". The
    three inputs that part the states the most, in the inputs' order; where nothing does, the first input.
    """
    if not states:
        return []
    apart: dict[str, float] = {}
    words: dict[str, list[str]] = {}
    for name in states[0]["mean"]:
        mean = np.array([state["mean"][name] for state in states], dtype=np.float64)
        deviation = np.array([state["standard_deviation"][name] for state in states], dtype=np.float64)
        usual = max(float(deviation.mean()), 1e-300)
        apart[name], words[name] = float(np.ptp(mean)) / usual, [f"{word} {name}" for word in _ranked(mean)]
        wider = float(deviation.max()) / max(float(deviation.min()), 1e-300)
        if apart[name] < _APART <= wider / _WIDER * _APART:
            apart[name], words[name] = _APART, [f"{word} deviation of {name}" for word in _ranked(deviation)]
    told = sorted((name for name in apart if apart[name] >= _APART), key=lambda name: -apart[name])[:_INPUTS]
    told = told or [next(iter(apart))]
    return [", ".join(words[name][k] for name in apart if name in told) for k in range(len(states))]


def _ranked(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[str]:
    count = len(values)
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    if count == 1:
        return ["any"]
    return [_WORDS[count][place] if count in _WORDS else f"level {place + 1} of {count}" for place in rank]
