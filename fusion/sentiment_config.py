"""The section `sentiment` of a config: the model that reads the news, and what is done to texts before it does."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gpu_kernels.durations import DAY
from sentiment.card import ModelCard, card_of
from sources.durations import Duration

Tone = Literal["negative", "neutral", "positive"]


class SentimentConfig(BaseModel):
    """The text model: `embedded`, a hub name, or a local folder; and what it reads.

    labels        the model's own label -> negative, neutral or positive, of models whose labels say nothing
    max_length    in tokens; default 256, or the model's own limit where that is smaller
    long          of a text longer than that whole sentences are read in pieces, and the pieces' probabilities averaged
                  (mean), averaged with each counting half as much as the one before (first), or those of the strongest
                  piece taken (max); or its end is not read (truncate). Where not all was read is counted
    precision     of the model's arithmetic; int8 is fastest and flips some labels
    trained_through, training_data, licence   what its card does not say, or says wrongly (sentiment.card)
    names         a table of companies' names (CSV, Parquet or YAML; sentiment.linking), or `packaged`: needed by
                  sources with `link: true`, by `passages` and by `mask`
    passages      of a text that names several companies each gets the sentences about it, not the whole
    mask          names are taken out of what the model reads, so that it cannot remember what became of whom
    novelty       whether an item repeats earlier ones of its entity, those of the last 24 hours and the last ten, is
                  told by sentence embeddings, which see paraphrases too (embedding), or by their words, which need no
                  model and see reprints alone (words)
    cutoff        items known less than this, at most a day, before a close count for the next session
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "embedded"
    labels: dict[str, Tone] | None = None
    max_length: int | None = Field(default=None, ge=8)
    long: Literal["mean", "first", "max", "truncate"] = "mean"
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    trained_through: date | None = None
    training_data: str | None = None
    licence: str | None = None
    names: str | None = None
    passages: bool = False
    mask: bool = False
    novelty: Literal["words", "embedding"] = "embedding"
    cutoff: Annotated[Duration, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _cutoff_is_of_a_session(self) -> "SentimentConfig":
        if self.cutoff > DAY:
            raise ValueError(f"`cutoff` is {self.cutoff / DAY:g} days; at most 1d before a close")
        return self

    @model_validator(mode="after")
    def _names_are_told(self) -> "SentimentConfig":
        for option in ("passages", "mask"):
            if getattr(self, option) and self.names is None:
                raise ValueError(f"`{option}` needs `names`: a table of companies' names, or packaged")
        return self

    @property
    def card(self) -> ModelCard:
        """The model's card, with what the config says of it."""
        return card_of(
            self.model,
            trained_through=self.trained_through,
            training_data=self.training_data,
            licence=self.licence,
        )
