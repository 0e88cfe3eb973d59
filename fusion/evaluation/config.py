"""Settings of the evaluation."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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
