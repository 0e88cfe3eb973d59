"""What each regime is: its inputs' levels, how long it lasts, how often it was seen."""

from collections.abc import Sequence
from typing import Any

from fusion.regime.path import RegimePath
from fusion.walk_forward import Refit


def describe(path: RegimePath, refits: Sequence[Refit]) -> list[dict[str, Any]]:
    """Each state of each refit: its inputs' mean and standard deviation in input units, how long it lasts, its share.

    expected_sessions divides the model's expected_observations by the observations per session;
    share is the mean filtered probability over the refit's past. A refit without a model has one entry with `problem`.
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
        for k, state in enumerate(model.describe_states()):
            lasts = state.get("expected_observations")
            described.append(
                entry
                | {"regime": k, **state}
                | {
                    "expected_sessions": None if lasts is None else lasts / per_session,
                    "share": training[f"probability_{k}"].mean(),
                    "observations": model.observations,
                }
            )
    return described
