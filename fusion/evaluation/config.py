"""Settings of the evaluation."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fusion.evaluation.costs import CostConfig
from fusion.evaluation.portfolio import PortfolioConfig
from sources.durations import Duration


class EvaluationConfig(BaseModel):
    """Settings of the evaluation.

    quantiles    groups of the score, over all rows
    bootstrap    resamples of whole sessions, or of blocks of as many as a label spans
    confidence   level of the intervals
    lags         decisions by which the return is delayed at most, for the decay
    min_rows     least rows of the sample, or of a group of it, for its IC
    event_window how long before and after a scheduled event of the run's calendar a decision belongs to it (group_kind
                 event); null: no such groups
    sectors      the sector of an entity, e.g. {AAPL: technology}: ICs inside each sector, and neutral to it
    neutral_to   features of the run that rank_ic_neutral is neutral to (fusion.evaluation.neutral)
    contribution what each source adds out of sample, by refitting without it and with it and the prices alone
                 (fusion.contribution): twice as many models as there are sources
    comparison   the model beside simpler ones on the same decisions (fusion.comparison): without regimes, with pooled
                 selection, a single learner, ridge; with `contribution` also the best single source, the prices alone,
                 no news, no alternative data
    alternative  the sources of alternative data, where fusion.comparison's rule does not tell them
    costs        what trading costs (fusion.evaluation.costs)
    portfolio    how decisions are put into portfolios of quantiles (fusion.evaluation.portfolio)
    trials       how many models, settings and features were tried before this run, its own included: your honest word,
                 by which the Sharpe ratio is deflated; at least as many as the run compares
    blocks       of sessions, of which each half is in-sample once, for the probability of overfitting; even
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    quantiles: Annotated[int, Field(ge=2)] = 5
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    lags: Annotated[int, Field(ge=0)] = 6
    min_rows: Annotated[int, Field(ge=3)] = 5
    event_window: Duration | None = 30 * 60 * 10**9
    sectors: dict[str, Annotated[str, Field(min_length=1)]] = {}
    neutral_to: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    seed: int = 7
    contribution: bool = False
    comparison: bool = True
    alternative: tuple[str, ...] | None = None
    costs: CostConfig = CostConfig()
    portfolio: PortfolioConfig = PortfolioConfig()
    trials: Annotated[int, Field(ge=1)] | None = None
    blocks: Annotated[int, Field(ge=4, le=18)] = 10

    @model_validator(mode="after")
    def _even(self) -> "EvaluationConfig":
        if self.blocks % 2:
            raise ValueError(f"blocks is {self.blocks}; write an even number, half of which are in-sample")
        return self
