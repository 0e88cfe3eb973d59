"""How good a score is: information coefficients and their kin over a whole sample, with intervals by session.

A library on its own: it needs a table of scores and one of forward returns. Correlations and quantiles are pooled:
ranks and means are those of all rows (or of all rows of a group), never those of one session, whose own mean contains
the future (`fusion.correlation` says how much that costs). A session is what is independent of the next: errors are
clustered by it, intervals resample whole sessions, and no lag, change of rank or return crosses from one to another.

Of horizons in sessions (`5 sessions`) neighbouring sessions share returns: errors and intervals are those of
`fusion.overlap`, and lags and changes of rank go from session to session.

Source: Grinold & Kahn (2000) for IC and ICIR; Efron & Tibshirani (1993) for the percentile bootstrap.
"""

from fusion.evaluation.config import EvaluationConfig
from fusion.evaluation.costs import CostConfig, trading_costs
from fusion.evaluation.cross_section import cross_sectional_ic
from fusion.evaluation.measures import quantile_sums
from fusion.evaluation.net import judged
from fusion.evaluation.pooled import evaluate, session_ic
from fusion.evaluation.portfolio import PORTFOLIO, PortfolioConfig, portfolios
from fusion.evaluation.table import BPS, CROSS_SECTION, EVALUATION, SCORES, SESSION_IC

__all__ = [
    "BPS",
    "CROSS_SECTION",
    "EVALUATION",
    "PORTFOLIO",
    "SCORES",
    "SESSION_IC",
    "CostConfig",
    "EvaluationConfig",
    "PortfolioConfig",
    "cross_sectional_ic",
    "evaluate",
    "judged",
    "portfolios",
    "quantile_sums",
    "session_ic",
    "trading_costs",
]
