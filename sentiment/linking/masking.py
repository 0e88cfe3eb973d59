"""A text without the names of companies, so that a model cannot remember what became of them."""

import re
from bisect import bisect_left
from collections.abc import Sequence

from sentiment.linking.guard import Mention
from sentiment.linking.passages import Span

COMPANY = "company"
OTHER = "another company"
"""Of the masks tried, "company" moves scores of the embedded model least (docs/linking.md)."""
_CLOSING = re.compile(r"\s?[)\]]")
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
    starts = [mention.start for mention in mentions]
    pieces = []
    for start, end in [(0, len(text))] if spans is None else spans:
        piece, at, last = [], start, ""
        for mention in mentions[bisect_left(starts, start) : bisect_left(starts, end)]:
            if mention.start < at:  # two entities of one name
                continue
            between = text[at : mention.start]
            at = mention.end
            if last != mention.entity or not _APART.fullmatch(between):
                piece += [between, company if about in (None, mention.entity) else other]
            elif between.count("(") + between.count("[") > between.count(")") + between.count("]"):
                closing = _CLOSING.match(text, at, end)
                at = closing.end() if closing else at
            last = mention.entity
        pieces.append("".join(piece) + text[at:end])
    return " ".join(pieces)
