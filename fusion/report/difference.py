"""Model less baseline, on the same sessions: two intervals that overlap do not say whether two scores differ."""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.horizon import overlap, parse_horizon
from fusion.overlap import resamples, stretched
from fusion.report.run_folder import Estimate, RunFolder, number, section

_DRAWS = 1000
# with fewer sessions a resampled interval says more than the data do
_MIN_SESSIONS = 5


def rank_ic_difference(run: RunFolder) -> Estimate:
    """Rank IC of the model less that of the ridge at the primary horizon, over the sessions that both scored.

    Each rank IC is the mean of its sessions' contributions, weighted by rows. The interval is the percentile one from
    drawing whole sessions, the same for both scores, with the seed of the run's evaluation; of horizons in sessions
    blocks of them, as `fusion.overlap` says.

    Missing values: a session that one score lacks counts for neither; all NaN where the run has no such sessions or no
    row counts; no interval from fewer than 5 sessions.
    """
    unknown = Estimate(math.nan, math.nan, math.nan, 0)
    if run.session_ic is None or "rows" not in run.session_ic.columns:
        return unknown
    rows = run.session_ic.filter(
        pl.col("horizon").cast(pl.String) == run.primary, pl.col("rank_ic").is_finite(), pl.col("rows") > 0
    ).select("session", "score", "rank_ic", "rows")
    model, ridge = (rows.filter(pl.col("score") == name).drop("score") for name in ("score", "score_ridge"))
    pairs = model.join(ridge, on="session", suffix="_ridge").sort("session")
    if pairs.is_empty():
        return unknown
    columns = [pairs[name].to_numpy().astype(np.float64) for name in ("rank_ic", "rows", "rank_ic_ridge", "rows_ridge")]

    def difference(times: NDArray[np.float64]) -> NDArray[np.float64]:
        ic, weight, other, other_weight = columns
        # einsum sums in an order that no BLAS can change
        sums = [np.einsum("bs,s->b", times, each) for each in (ic * weight, weight, other * other_weight, other_weight)]
        found: NDArray[np.float64] = sums[0] / sums[1] - sums[2] / sums[3]
        return found

    count = pairs.height
    value = float(difference(np.ones((1, count)))[0])
    if count < _MIN_SESSIONS:
        return Estimate(value, math.nan, math.nan, count)
    settings = section(run.config, "evaluation")
    tail = (1 - number(settings.get("confidence", 0.95))) / 2
    generator = np.random.default_rng(int(settings.get("seed", 7)))
    spanned = overlap(parse_horizon(run.primary))
    drawn = difference(resamples(count, spanned, _DRAWS, generator))
    low, high = (float(end) for end in np.quantile(drawn, [tail, 1 - tail]))
    ends = stretched(value, low, high, sessions=count, overlap=spanned, confidence=1 - 2 * tail)
    return Estimate(value, *ends, count)
