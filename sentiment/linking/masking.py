"""A text without the names of companies, so that a model cannot remember what became of them."""

import re
from collections.abc import Sequence

from sentiment.linking.guard import Mention
from sentiment.linking.passages import Span

COMPANY = "company"
OTHER = "another company"
"""Of the masks tried, "company" moves scores of the embedded model least (docs/linking.md)."""
_APART = re.compile(r"(?:\.(?=\s?[(\[]))?[\s,()<>\[\]:/]*")


def mask(
    text: str,
    mentions: Sequence[Mention],
    *,
    about: str | None = None,
    spans: Sequence[Span] | None = None,
    company: str = COMPANY,
    other: str = OTHER,
) -> str:
    """The text with every mention replaced, so that two texts which differ in the names alone become the same.

    about    the entity whose mentions become `company`, those of others `other`; None: all are `company`
    spans    pieces of the text to keep (`passages`), joined by spaces; None: all of it

    Mentions of one entity with nothing but spaces, commas and brackets between them become one ("Apple (AAPL.O)"). What
    the table does not know stays: products, people, other companies. Missing values: no mentions, the text as it is.
    """
    pieces = []
    for start, end in [(0, len(text))] if spans is None else spans:
        piece, at = "", start
        last = ""
        for mention in mentions:
            if not at <= mention.start < end:
                continue
            between = text[at : mention.start]
            if not (last == mention.entity and _APART.fullmatch(between)):
                piece += between + (company if about in (None, mention.entity) else other)
            elif between.count("(") + between.count("[") > between.count(")") + between.count("]"):
                closing = re.match(r"\s?[)\]]", text[mention.end : end])
                at, last = mention.end + (closing.end() if closing else 0), mention.entity
                continue
            at, last = mention.end, mention.entity
        pieces.append(piece + text[at:end])
    return " ".join(pieces)
