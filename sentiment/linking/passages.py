"""The sentences about each of several entities that a text names."""

import re
from bisect import bisect_left
from collections.abc import Sequence

from sentiment.linking.guard import Mention
from sentiment.sentences import sentence_spans

Span = tuple[int, int]
_PRONOUN = re.compile(
    r"[\"'“‘(\[]*(?:it|its|he|she|his|her|the\s(?:company|firm|group|maker|retailer|bank))\b", re.IGNORECASE
)


def passages(text: str, mentions: Sequence[Mention]) -> dict[str, list[Span]]:
    """For each entity, in order of first mention, where the sentences about it start and end.

    A text that names one entity is about it as a whole. Otherwise a sentence is about those whom it names; one that
    names nobody goes on about those of the sentence before, or about the first of them alone where it begins with a
    pronoun in the singular or with "the company" (the subject is what a pronoun takes up: Grosz, Joshi and Weinstein
    1995, "Centering"); sentences before the first name are about nobody. A sentence that names two is about both:
    nothing is cut inside it.

    Missing values: no mentions, no passages.
    """
    entities = list(dict.fromkeys(mention.entity for mention in mentions))
    if len(entities) < 2:
        return {entity: [(0, len(text))] for entity in entities}
    output: dict[str, list[Span]] = {entity: [] for entity in entities}
    subjects: list[str] = []
    starts = [mention.start for mention in mentions]
    for start, end in sentence_spans(text):
        inside = mentions[bisect_left(starts, start) : bisect_left(starts, end)]
        named = list(dict.fromkeys(mention.entity for mention in inside))
        if named:
            subjects = named
        elif _PRONOUN.match(text, start):
            subjects = subjects[:1]
        for entity in subjects:
            output[entity].append((start, end))
    return output


def cut(text: str, spans: Sequence[Span]) -> str:
    """The pieces of a text with a space between them. Missing values: no spans, an empty text."""
    return " ".join(text[start:end] for start, end in spans)
