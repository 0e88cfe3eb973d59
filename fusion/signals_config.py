"""Settings of the signals, apart from what makes them, which knows the config as a whole."""

from pydantic import BaseModel, ConfigDict


class SignalsConfig(BaseModel):
    """What signals carry beside their scores.

    contributions  what each source adds to each score: `base`, `contribution_<source>`, `top_features`
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    contributions: bool = True
