"""How much a text is about each of the entities that it names."""

from collections.abc import Sequence
from typing import NamedTuple

from sentiment.linking.guard import Mention

HALF_LIFE = 25
"""Words: a first mention so many words after the beginning counts half as much."""


class About(NamedTuple):
    """What one text says of one entity's part in it."""

    entity: str
    relevance: float
    mentions: int
    first_position: int
    name: str


def relevance(mentions: Sequence[Mention], text: str) -> list[About]:
    """Relevance in (0, 1] of each entity that a text names, in order of first mention.

        relevance = sqrt(share * position),   share = mentions of the entity / mentions of all entities,
        position = 2^(-w / 25),               w = words before the first mention; 0 in the title

    The title is the first line of a text of several lines. So the only company of a headline has about 1, two companies
    that share it about 0.7 each, ten tickers in a row about 0.3, and a company first named in the 200th word next to
    nothing. Own definition; that the first 25 words tell whom a story is about is the rule of Tetlock, Saar-Tsechansky
    and Macskassy (2008, "More Than Words", J. Finance 63), who ask for the name in the headline or the first 25 words
    and twice in all. `first_position` is the w of the whole text, title or not; `name` the table's that matched first.

    Missing values: no mentions, no rows.
    """
    title = text.find("\n") if text.strip().find("\n") >= 0 else -1
    first: dict[str, Mention] = {}
    count: dict[str, int] = {}
    for mention in mentions:
        first.setdefault(mention.entity, mention)
        count[mention.entity] = count.get(mention.entity, 0) + 1
    total = sum(count.values())
    rows = []
    for entity, mention in first.items():
        before = 0 if mention.start < title else mention.word
        value = (count[entity] / total * 2.0 ** (-before / HALF_LIFE)) ** 0.5
        rows.append(About(entity, value, count[entity], mention.word, mention.name))
    return rows
