"""Macro regimes, causally: a Gaussian hidden Markov model fitted walk-forward, and only ever FILTERED.

    z_t | z_{t-1} ~ transition[z_{t-1}, .]      x_t | z_t = k ~ Normal(mean_k, covariance_k)

The probability used at t is P(z_t | x_1..x_t) with parameters fitted before the last refit. Smoothed probabilities,
which a library's `predict` returns, would look ahead; they serve here inside the fit alone.

Source: Hamilton (1989); the smoother is Kim's (1994); EM is Baum-Welch (1970).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fusion.threads import single_thread
from fusion.walk_forward import Refit, session_of
from gpu_kernels import hmm
from gpu_kernels.errors import DataError, ModelError
from sources.schema import TIME

Floats = NDArray[np.float64]


class RegimeInput(BaseModel):
    """One input of the regime model: a metric of an entity, as known at each time, or its natural logarithm."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    entity: str
    transform: Literal["none", "log"] = "none"

    @property
    def column(self) -> str:
        """Name of the observation column, e.g. `log_vix_close`."""
        return self.metric if self.transform == "none" else f"{self.transform}_{self.metric}"

    def apply(self, values: pl.Expr) -> pl.Expr:
        """The transform of the values; null where it is not defined (the logarithm of zero or less)."""
        return values if self.transform == "none" else pl.when(values > 0).then(values.log())


class RegimeConfig(BaseModel):
    """One regime where `inputs` is empty or `states` is 1; else a hidden Markov model.

    history_start    first day of the inputs' history that the fit may use, earlier than the run's own start
    covariance       of the states: full, or diagonal (inputs independent inside a state)
    variance_floor   least variance of a state in any direction, as a share of the input's own variance
    iterations       most EM steps of a fit
    tolerance        a fit ends when an EM step gains less log likelihood per observation
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: tuple[RegimeInput, ...] = ()
    states: Annotated[int, Field(ge=1, le=8)] = 2
    history_start: date | None = None
    covariance: Literal["full", "diagonal"] = "full"
    variance_floor: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    iterations: Annotated[int, Field(ge=1)] = 200
    tolerance: Annotated[float, Field(gt=0)] = 1e-7

    @property
    def regimes(self) -> int:
        """How many regimes a run has: without inputs, one."""
        return self.states if self.inputs else 1


@dataclass(frozen=True)
class RegimeModel:
    """Parameters of one refit, in input units. `problem` says why there are none, or is None.

    States are ordered by the mean of the first input, lowest first, so that a state's number means the same thing in
    every refit. start (K,), transition (K, K), mean (K, D), covariance (K, D, D).
    """

    refit_session: date
    refit_time: datetime
    inputs: tuple[str, ...]
    start: Floats
    transition: Floats
    mean: Floats
    covariance: Floats
    observations: int = 0
    log_likelihood: float = float("nan")
    iterations: int = 0
    problem: str | None = None

    @property
    def states(self) -> int:
        return len(self.start)

    def filter(self, x: Floats) -> Floats:
        """P(state at row t | rows up to t), (T, K). A row with any missing input only predicts."""
        emission = _log_emission(x, self.mean, *_whitening(self.covariance))
        return _filtered(emission, self.start, self.transition)[0]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        lists = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in asdict(self).items()}
        missing = None if np.isnan(self.log_likelihood) else self.log_likelihood
        return lists | {
            "refit_session": self.refit_session.isoformat(),
            "refit_time": self.refit_time.isoformat(),
            "inputs": list(self.inputs),
            "log_likelihood": missing,
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "RegimeModel":
        """What `to_dict` gave. Raises ModelError on anything else."""
        try:
            names = ("start", "transition", "mean", "covariance")
            arrays = {name: np.asarray(stored[name], dtype=np.float64) for name in names}
            k, d = len(arrays["start"]), len(stored["inputs"])
            shapes = {"start": (k,), "transition": (k, k), "mean": (k, d), "covariance": (k, d, d)}
            if k and any(arrays[name].shape != shape for name, shape in shapes.items()):
                raise ValueError("arrays of different sizes")
            likelihood = stored["log_likelihood"]
            return cls(
                refit_session=session_of(stored["refit_session"]),
                refit_time=datetime.fromisoformat(stored["refit_time"]),
                inputs=tuple(stored["inputs"]),
                observations=int(stored["observations"]),
                log_likelihood=float("nan") if likelihood is None else float(likelihood),
                iterations=int(stored["iterations"]),
                problem=stored["problem"],
                **arrays,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"stored regime model cannot be read: {error!r}", hint="run `trifuse run` again") from None


@dataclass(frozen=True)
class RegimePath:
    """Observations, the models fitted on their past, and the probabilities that follow.

    observations   session, time, then one Float64 column per input; sorted by time
    models         one per refit, in order; not used where there is one state
    states         number of regimes
    """

    observations: pl.DataFrame
    models: tuple[RegimeModel, ...]
    states: int

    @cached_property
    def probabilities(self) -> pl.DataFrame:
        """The live path: session, time, probability_0.., regime (the likeliest state).

        A session's parameters are those of the last refit at or before it; each refit filters the whole past anew, so
        that its first session starts from all that was seen. Missing values: null before the first refit and where
        the refit had too few observations to fit.
        """
        if self.states == 1:
            return self._frame(self.observations, np.ones((self.observations.height, 1)))
        x, found = _inputs(self.observations), np.full((self.observations.height, self.states), np.nan)
        sessions = self.observations["session"]
        starts = pl.Series([model.refit_session for model in self.models], dtype=sessions.dtype)
        first = sessions.search_sorted(starts, "left").to_numpy()
        for model, begin, end in zip(self.models, first, np.append(first, len(x))[1:], strict=True):
            if model.problem is None and begin < end:
                found[begin:end] = model.filter(x[:end])[begin:]
        return self._frame(self.observations, found)

    def training(self, refit: Refit) -> pl.DataFrame:
        """The past of a refit filtered with the refit's own parameters: what its selection and learning weigh by.

        The parameters saw nothing after refit_time, and no row after it is returned, so that this is causal for the
        refit although not for the rows themselves. Columns and missing values as in `probabilities`.
        """
        past = self.observations.filter(pl.col("time") < refit.refit_time)
        if self.states == 1:
            return self._frame(past, np.ones((past.height, 1)))
        model = next((model for model in self.models if model.refit_session == refit.session), None)
        if model is None:
            raise ModelError(f"no regime model was fitted at {refit.session}", hint="fit with the same refits")
        if model.problem is not None:
            return self._frame(past, np.full((past.height, self.states), np.nan))
        return self._frame(past, model.filter(_inputs(past)))

    def _frame(self, rows: pl.DataFrame, probabilities: Floats) -> pl.DataFrame:
        known = ~np.isnan(probabilities).any(axis=1)
        regime = np.where(known, np.argmax(np.nan_to_num(probabilities), axis=1), -1)
        return rows.select("session", "time").with_columns(
            *(pl.Series(f"probability_{k}", probabilities[:, k]).fill_nan(None) for k in range(probabilities.shape[1])),
            pl.Series("regime", regime, dtype=pl.Int64).replace(-1, None),
        )


def filter_regimes(observations: pl.DataFrame, refits: Sequence[Refit], config: RegimeConfig) -> RegimePath:
    """Fit a model at each refit on the observations before its refit_time, and filter.

    observations: session, time, and one Float64 column per input, as they were known at `time`; sorted by time.

    Missing values: a row with any missing input is no observation: the filter only predicts there. A refit with fewer
    than 10 observations a state, or a constant input, has no model (`problem` says so) and its sessions get null.
    Raises DataError when session or time are absent, an input is not numeric, or times repeat or go back.
    """
    missing = [name for name in ("session", "time") if name not in observations.columns]
    if missing:
        raise DataError(f"observations lack {', '.join(missing)}", allowed="session, time, and one column per input")
    inputs = [name for name in observations.columns if name not in ("session", "time")]
    wrong = [name for name in inputs if not observations.schema[name].is_numeric()]
    if wrong:
        raise DataError(f"input {wrong[0]} of the regime is {observations.schema[wrong[0]]}", allowed="numbers")
    ordered = observations.select(
        "session", pl.col("time").cast(TIME), *(pl.col(name).cast(pl.Float64) for name in inputs)
    )
    if not ordered["time"].is_sorted() or ordered["time"].is_duplicated().any():
        raise DataError("times of the regime's observations repeat or go back", allowed="one row per time, in order")
    if config.states == 1 or not inputs:
        return RegimePath(ordered, (), 1)
    models = []
    for refit in refits:
        past = ordered.filter(pl.col("time") < refit.refit_time)
        models.append(_fit(_inputs(past), refit, tuple(inputs), config))
    return RegimePath(ordered, tuple(models), config.states)


def at(probabilities: pl.DataFrame, times: pl.Series) -> Floats:
    """(rows, K): the last probabilities at or before each time; NaN where there are none. `times` in any order."""
    columns = [name for name in probabilities.columns if name.startswith("probability_")]
    asked = pl.DataFrame({"time": times.cast(TIME)}).with_row_index("_row").sort("time", maintain_order=True)
    joined = asked.join_asof(probabilities.select(pl.col("time").cast(TIME), *columns), on="time").sort("_row")
    return joined.select(columns).to_numpy()


def describe(path: RegimePath, refits: Sequence[Refit]) -> list[dict[str, Any]]:
    """Each state of each refit: its inputs' mean and standard deviation in input units, how long it lasts, its share.

    expected_observations = 1 / (1 - transition[k, k]); expected_sessions divides by the observations per session;
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
        for k in range(model.states):
            leave = max(1.0 - float(model.transition[k, k]), 1e-12)
            described.append(
                entry
                | {
                    "regime": k,
                    "mean": dict(zip(model.inputs, model.mean[k].tolist(), strict=True)),
                    "standard_deviation": dict(
                        zip(model.inputs, np.sqrt(np.diagonal(model.covariance[k])).tolist(), strict=True)
                    ),
                    "expected_observations": 1.0 / leave,
                    "expected_sessions": 1.0 / leave / per_session,
                    "share": training[f"probability_{k}"].mean(),
                    "observations": model.observations,
                }
            )
    return described


def _inputs(observations: pl.DataFrame) -> Floats:
    return observations.drop("session", "time").to_numpy()


def _fit(x: Floats, refit: Refit, inputs: tuple[str, ...], config: RegimeConfig) -> RegimeModel:
    """Baum-Welch from one start: states are the quantile groups of the first input."""
    k, d = config.states, x.shape[1]
    complete = x[np.isfinite(x).all(axis=1)]
    problem = None
    if len(complete) < 10 * k:
        problem = f"{len(complete)} observations before {refit.session}; {10 * k} are needed for {k} states"
    elif constant := [name for name, values in zip(inputs, complete.T, strict=True) if np.ptp(values) == 0]:
        problem = f"input {constant[0]} is constant before {refit.session}"
    if problem is not None:
        nothing = np.zeros(0), np.zeros((0, 0)), np.zeros((0, d)), np.zeros((0, d, d))
        return RegimeModel(refit.session, refit.refit_time, inputs, *nothing, len(complete), problem=problem)

    centre, scale = complete.mean(axis=0), complete.std(axis=0)
    x = np.ascontiguousarray(np.where(np.isfinite(x).all(axis=1, keepdims=True), (x - centre) / scale, np.nan))
    seen = x[~np.isnan(x[:, 0])]
    groups = np.empty(len(seen), dtype=np.int64)
    groups[np.argsort(seen[:, 0], kind="stable")] = np.arange(len(seen)) * k // len(seen)
    mean, covariance = _moments(np.eye(k)[groups], seen, np.zeros((k, d)), np.tile(np.eye(d), (k, 1, 1)))
    covariance = _constrained(covariance, config)
    start, transition = np.full(k, 1 / k), np.full((k, k), 0.1 / (k - 1))
    np.fill_diagonal(transition, 0.9)

    before, step = -np.inf, 0
    while True:
        emission = _log_emission(x, mean, *_whitening(covariance))
        filtered, likelihood = _filtered(emission, start, transition)
        if step == config.iterations or likelihood - before < config.tolerance * len(seen):
            break
        before, step = likelihood, step + 1
        smoothed, moves = _smooth(filtered, transition)
        start = smoothed[0].copy()
        left = moves.sum(axis=1, keepdims=True)
        transition = np.where(left > 0, moves / np.where(left > 0, left, 1.0), transition)
        mean, covariance = _moments(smoothed, x, mean, covariance)
        covariance = _constrained(covariance, config)

    order = np.argsort(mean[:, 0], kind="stable")
    return RegimeModel(
        refit_session=refit.session,
        refit_time=refit.refit_time,
        inputs=inputs,
        start=start[order],
        transition=transition[np.ix_(order, order)],
        mean=mean[order] * scale + centre,
        covariance=covariance[order] * np.outer(scale, scale),
        observations=len(complete),
        log_likelihood=likelihood - len(complete) * float(np.log(scale).sum()),
        iterations=step,
    )


def _filtered(emission: Floats, start: Floats, transition: Floats) -> tuple[Floats, float]:
    """Probabilities and log likelihood of one series, which has nothing to share among threads."""
    with single_thread():
        filtered, likelihood = hmm.forward_filter(emission, start, transition, np.array([0, len(emission)]))
    return filtered, float(likelihood[0])


def _constrained(covariance: Floats, config: RegimeConfig) -> Floats:
    """Diagonal where asked for, and no variance below the floor in any direction (inputs have variance 1 here)."""
    if config.covariance == "diagonal":
        variance = np.maximum(np.diagonal(covariance, axis1=1, axis2=2), config.variance_floor)
        return np.eye(covariance.shape[1]) * variance[:, None, :]
    values, vectors = np.linalg.eigh(covariance)
    if values.min() >= config.variance_floor:
        return covariance
    floored: Floats = np.einsum("kij,kj,klj->kil", vectors, np.maximum(values, config.variance_floor), vectors)
    return floored


def _whitening(covariance: Floats) -> tuple[Floats, Floats]:
    """Inverse Cholesky factors (K, D, D), and the log of each density's constant (K,)."""
    if len(covariance) == 0:
        return covariance, np.zeros(0)
    factor = np.linalg.cholesky(covariance)
    constant = -np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1) - 0.5 * factor.shape[1] * np.log(2 * np.pi)
    return np.linalg.inv(factor), constant


@njit(cache=True)
def _log_emission(x, mean, whitening, constant):  # type: ignore[no-untyped-def]
    # one row at a time: a row's bits must not depend on how many follow, which a BLAS call would not promise
    rows, d, states = x.shape[0], x.shape[1], mean.shape[0]
    log = np.full((rows, states), np.nan)
    for t in range(rows):
        missing = False
        for j in range(d):
            missing |= not np.isfinite(x[t, j])
        if missing:
            continue
        for k in range(states):
            square = 0.0
            for i in range(d):
                z = 0.0
                for j in range(i + 1):
                    z += whitening[k, i, j] * (x[t, j] - mean[k, j])
                square += z * z
            log[t, k] = constant[k] - 0.5 * square
    return log


@njit(cache=True)
def _smooth(filtered, transition):  # type: ignore[no-untyped-def]
    # Kim's smoother: P(z_t = i, z_{t+1} = j | all x) = filtered_i P_ij smoothed_j / (filtered P)_j
    rows, states = filtered.shape
    smoothed, moves = filtered.copy(), np.zeros((states, states))
    for t in range(rows - 2, -1, -1):
        for i in range(states):
            smoothed[t, i] = 0.0
        for j in range(states):
            predicted = 0.0
            for i in range(states):
                predicted += filtered[t, i] * transition[i, j]
            if predicted > 0.0:
                for i in range(states):
                    both = filtered[t, i] * transition[i, j] * smoothed[t + 1, j] / predicted
                    smoothed[t, i] += both
                    moves[i, j] += both
    return smoothed, moves


@njit(cache=True)
def _moments(weights, x, old_mean, old_covariance):  # type: ignore[no-untyped-def]
    # weighted mean and covariance of each state; a state that holds less than one observation keeps what it had
    rows, d, states = x.shape[0], x.shape[1], weights.shape[1]
    mean, covariance = old_mean.copy(), old_covariance.copy()
    for k in range(states):
        total, first, second = 0.0, np.zeros(d), np.zeros((d, d))
        for t in range(rows):
            if not np.isnan(x[t, 0]):
                total += weights[t, k]
                for i in range(d):
                    first[i] += weights[t, k] * x[t, i]
        if total < 1.0:
            continue
        mean[k] = first / total
        for t in range(rows):
            if not np.isnan(x[t, 0]):
                for i in range(d):
                    for j in range(d):
                        second[i, j] += weights[t, k] * (x[t, i] - mean[k, i]) * (x[t, j] - mean[k, j])
        covariance[k] = second / total
    return mean, covariance
