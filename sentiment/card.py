"""A model's card: up to when the text reaches that it has read, what it was trained on, and under which licence.

A model that has read what happened next looks ahead by itself, whatever the clocks of the data say; cutting the inputs
cannot show it. So a run whose decisions begin before the day up to which its model was trained says so.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml

from gpu_kernels.errors import ModelError
from sentiment import embedded

CARD_FILE = "trifuse_card.yaml"
_RECORD = embedded.ADAPTER_FILE.with_name("record.json")
_FIELDS = ("trained_through", "training_data", "licence")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model; None: unknown.

    model            as it was asked for
    trained_through  the last day of any text that it can have read; an upper bound where only its publication is known
    training_data    what it was trained on, in words
    licence          of its weights, in words
    source           where the facts are from
    """

    model: str
    trained_through: date | None
    training_data: str | None
    licence: str | None
    source: str

    def facts(self) -> dict[str, str | None]:
        """The card as JSON holds it."""
        return {name: value if value is None else str(value) for name, value in asdict(self).items()}

    def sentence(self) -> str:
        """The card in one line."""
        until = "up to an unknown day" if self.trained_through is None else f"up to {self.trained_through}"
        data, licence = self.training_data or "unknown data", self.licence or "unknown"
        return f"{self.model}: trained on text {until} ({data}); licence: {licence}; card: {self.source}"

    def look_ahead(self, start: date, *, masked: bool = False) -> str | None:
        """A warning to those who decide from `start` on; None where the model cannot have read what came later.

        masked  names of companies were taken out of the texts, so that it cannot tell whom it knows something about
        """
        if self.trained_through is not None and self.trained_through < start:
            return None
        less = "; masking the names of companies makes that less likely" if masked else ""
        if self.trained_through is None:
            return (
                f"nobody says up to when {self.model} was trained: any decision may look ahead through the model itself"
                f"{less} (write sentiment.trained_through, or {CARD_FILE} in its folder)"
            )
        name = "the embedded model" if self.model == "embedded" else self.model
        return (
            f"texts are scored by {name}, which was trained on text up to {self.trained_through}: decisions from "
            f"{start} to that day may look ahead through the model itself{less}"
        )


# facts that their makers published, and no more than these
_PUBLISHED = {
    "ProsusAI/finbert": ModelCard(
        "ProsusAI/finbert",
        date(2019, 8, 27),
        "BERT, Reuters TRC2 of 2008 to 2010, Financial PhraseBank",
        None,
        "Araci 2019 (arXiv:1908.10063), whose date is the upper bound",
    ),
    "yiyanghkust/finbert-tone": ModelCard(
        "yiyanghkust/finbert-tone",
        None,
        "10-K and 10-Q reports, earnings calls, analyst reports; 10,000 annotated sentences of the last",
        None,
        "its card on the hub; Yang, Uy and Huang 2020 (arXiv:2006.08097)",
    ),
    "mrm8488/distilroberta-finetuned-financial-news-sentiment-analysis": ModelCard(
        "mrm8488/distilroberta-finetuned-financial-news-sentiment-analysis",
        None,
        "DistilRoBERTa, Financial PhraseBank",
        "Apache-2.0",
        "its card on the hub",
    ),
}


def card_of(
    model: str | Path = "embedded",
    *,
    trained_through: date | None = None,
    training_data: str | None = None,
    licence: str | None = None,
) -> ModelCard:
    """The card of a model: `embedded`, a local folder (its trifuse_card.yaml), or a name on the hub (what its makers
    published, for the few that are known here). What the caller says goes before all of it.

    trifuse_card.yaml holds any of `trained_through: YYYY-MM-DD`, `training_data` and `licence`.

    Missing values: fields are None where nobody says.
    Raises ModelError where a card is there and cannot be read.
    """
    name = str(model)
    told = {"trained_through": trained_through, "training_data": training_data, "licence": licence}
    told = {field: value for field, value in told.items() if value is not None}
    card = _found(name)
    if not told:
        return card
    source = "the config" if card.source == "none" else f"the config ({', '.join(told)}) and {card.source}"
    return replace(card, **told, source=source)  # type: ignore[arg-type]


def _found(name: str) -> ModelCard:
    if name == "embedded":
        return _of_embedded()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _of_folder(folder)
    known = _PUBLISHED.get(name.partition("@")[0])
    return ModelCard(name, None, None, None, "none") if known is None else replace(known, model=name)


def _of_embedded() -> ModelCard:
    facts = _facts(json.loads(_RECORD.read_text(encoding="utf-8")), _RECORD)
    return _card("embedded", facts, "sentiment/adapter/record.json")


def _of_folder(folder: Path) -> ModelCard:
    path, name = folder / CARD_FILE, folder.resolve().name
    if not path.is_file():
        return ModelCard(name, None, None, None, "none")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise ModelError(f"the card {path} cannot be read: {said}", allowed="YAML") from None
    if not isinstance(content, dict):
        raise ModelError(
            f"the card {path} holds {type(content).__name__}", allowed=f"a mapping of {', '.join(_FIELDS)}"
        )
    if unknown := sorted(map(str, set(content) - set(_FIELDS))):
        raise ModelError(f"the card {path} has the key {unknown[0]!r}", allowed=", ".join(_FIELDS))
    facts = _facts(content, path)
    return _card(name, facts, CARD_FILE)


def _card(name: str, facts: dict[str, Any], source: str) -> ModelCard:
    return ModelCard(name, facts.get("trained_through"), facts.get("training_data"), facts.get("licence"), source)


def _facts(content: dict[str, Any], path: Path) -> dict[str, Any]:
    facts = {field: content[field] for field in _FIELDS if content.get(field) is not None}
    for field in ("training_data", "licence"):
        if field in facts:
            facts[field] = ", ".join(map(str, facts[field])) if isinstance(facts[field], list) else str(facts[field])
    if "trained_through" in facts:
        facts["trained_through"] = _day(facts["trained_through"], path)
    return facts


def _day(value: object, path: Path) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ModelError(f"the card {path} says trained_through: {value}", allowed="a day, YYYY-MM-DD") from None
