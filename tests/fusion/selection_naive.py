"""Selection's scores by the book: every rank by SciPy, every sum a loop over sessions, nothing incremental."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special, stats
from statsmodels.stats.sandwich_covariance import S_hac_simple

from fusion.regime import RegimePath, at
from fusion.walk_forward import Refit

Floats = NDArray[np.float64]


def grades(values: Floats, sessions: NDArray[Any], windows: list[list[Any]]) -> Floats:
    """Each row ranked once, among the rows of the first window that holds it; in whole steps of 1/32768."""
    found = np.full(len(values), np.nan)
    for window in windows:
        pool = np.isin(sessions, window) & np.isfinite(values)
        place = np.full(len(values), np.nan)
        place[pool] = stats.rankdata(values[pool])
        for row in np.flatnonzero(pool & np.isnan(found)):
            centred = (2 * place[row] - (pool.sum() + 1)) / pool.sum()
            found[row] = np.sign(centred) * np.floor(abs(centred) * 32768 + 0.5) / 32768
    return found


@dataclass
class Naive:
    """The rows of a market in order, and the sessions that each refit may see."""

    features: pl.DataFrame
    labels: pl.DataFrame
    regimes: RegimePath
    refits: list[Refit]
    label: str = "15min"
    rows: pl.DataFrame = field(init=False)
    windows: list[list[Any]] = field(init=False)

    def __post_init__(self) -> None:
        keys = ["entity", "session", "decision_time"]
        self.rows = self.features.join(self.labels, on=keys).sort("session", "entity", "decision_time")
        ends = self.rows.group_by("session", maintain_order=True).agg(pl.col(f"label_end_{self.label}").max())
        self.windows = [
            [day for day, end in ends.rows() if end is not None and day >= refit.train[0] and end < refit.cutoff]
            for refit in self.refits
        ]

    def scores(self, name: str) -> list[list[dict[str, float]]]:
        """By refit and regime."""
        sessions = self.rows["session"].to_numpy()
        x = self.rows[name].cast(pl.Float64).to_numpy()
        y = self.rows[f"return_{self.label}"].to_numpy()
        windows = [list(np.array(window, dtype=sessions.dtype)) for window in self.windows]
        v = grades(y, sessions, windows)
        u = grades(np.where(np.isfinite(y), x, np.nan), sessions, windows)
        entity = self.rows["entity"].to_numpy()
        return [
            [self._at(refit, window, k, sessions, entity, u, v) for k in range(self.regimes.states)]
            for refit, window in zip(self.refits, windows, strict=True)
        ]

    def _at(self, refit: Refit, window: Any, k: int, sessions: Any, entity: Any, u: Any, v: Any) -> dict[str, float]:
        chance = {}
        for (day,), part in self.rows.group_by("session", maintain_order=True):
            times = part["decision_time"].unique().sort()
            chance[np.datetime64(day)] = at(self.regimes.training(refit), times)[:, k].mean()
        inside = np.isin(sessions, window)
        both = inside & np.isfinite(u) & np.isfinite(v)
        w = np.array([chance[day] for day in sessions])
        z = [np.full(len(u), np.nan), np.full(len(u), np.nan)]
        for into, grade in zip(z, (u, v), strict=True):
            mean = np.average(grade[both], weights=w[both])
            into[both] = (grade[both] - mean) / np.sqrt(np.average((grade[both] - mean) ** 2, weights=w[both]))
        ic = np.average(z[0][both] * z[1][both], weights=w[both])
        psi, share, means, spread = [], [], [], []
        for day in window:
            mine = both & (sessions == day)
            a, b = z[0][mine], z[1][mine]
            psi.append((w[mine] * (a * b - ic * (a * a + b * b) / 2)).sum())
            share.append(w[mine].sum())
            means.append((a * b).mean() if mine.any() else 0.0)
            spread.append(chance[day] ** 2 * (a * a).sum() * (b * b).sum())
        psi, share, means, spread = (np.array(values) for values in (psi, share, means, spread))
        n = share.sum() ** 2 / (share**2).sum()
        left_out = []
        for day in window:
            rest = both & (sessions != day)
            left_out.append(weighted_correlation(u[rest], v[rest], w[rest]) - ic)
        g = [np.dot(left_out[lag:], left_out[: len(left_out) - lag]) for lag in range(3)]
        near = g[0] + 4 / 3 * g[1] + 2 / 3 * g[2]
        t = ic / np.sqrt(max(g[0], near))
        m = spread.sum() ** 2 / (spread**2).sum() * (0.5 if near > g[0] else 1.0)
        p = 2 * stats.t.sf(abs(t), max(m - 1, 1e-12))
        lags = int(4 * (len(window) / 100) ** (2 / 9))
        signs = []
        for i in range(4):
            part = [day for j, day in enumerate(window) if j * 4 // len(window) == i]
            some = both & np.isin(sessions, part)
            signs.append(np.sign(weighted_correlation(u[some], v[some], w[some])) == np.sign(ic))
        pairs = []
        for row in np.flatnonzero(both):
            same = (sessions == sessions[row]) & (entity == entity[row])
            earlier = np.flatnonzero(same[:row])
            if len(earlier) and both[earlier[-1]]:
                pairs.append((u[earlier[-1]], u[row], w[row]))
        before, now, weight = np.array(pairs).T
        table = np.zeros((8, 8))
        for row in np.flatnonzero(both):
            table[int((u[row] + 1) * 4), int((v[row] + 1) * 4)] += w[row]
        filled = (table > 0).sum() - (table.sum(1) > 0).sum() - (table.sum(0) > 0).sum() + 1
        kish = w[both].sum() ** 2 / (w[both] ** 2).sum()
        share_of = table / table.sum()
        information = special.rel_entr(share_of, np.outer(share_of.sum(1), share_of.sum(0))).sum()
        enough = sum(chance[day] for day in window if (both & (sessions == day)).any()) >= 5.0
        return {
            "ic": ic,
            "t_stat": t if enough else np.nan,
            "p_value": p if enough else np.nan,
            "sessions": n,
            "t_newey_west": ic * share.sum() / np.sqrt(S_hac_simple(psi, lags).item()) if enough else np.nan,
            "icir": ic / np.sqrt(np.average((means - ic) ** 2, weights=share)),
            "stability": np.mean(signs),
            "autocorrelation": weighted_correlation(before, now, weight),
            "turnover": (weight * abs(now - before)).sum() / (weight * abs(now)).sum(),
            "mutual_information": information - filled / (2 * kish),
            "coverage": both.sum() / (inside & np.isfinite(v)).sum(),
        }


def weighted_correlation(a: Floats, b: Floats, w: Floats) -> float:
    moments = np.cov(a, b, aweights=w, ddof=0)
    return float(moments[0, 1] / np.sqrt(moments[0, 0] * moments[1, 1]))
