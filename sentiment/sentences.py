"""Where the sentences of a text begin and end."""

import re

# after a full stop the next sentence begins with a capital, a digit, a quote or a cashtag; after ! and ? with anything
_END = re.compile(r"(?:[.…](?:[\"'”’)\]]*)\s+(?=[\"'“‘(\[]*[A-Z0-9$@#])|[!?](?:[\"'”’)\]]*)\s+(?![!?])|\n\s*)")
_SHORT = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|Sen|Rep|Gov|Gen|St|Jr|Sr|Inc|Corp|Co|Ltd|Bros|vs|No|Nos|approx|est|Jan|Feb|Mar|Apr|Jun|Jul"
    r"|Aug|Sep|Sept|Oct|Nov|Dec|Fig|e\.g|i\.e|U\.S|U\.K|U\.N|E\.U|a\.m|p\.m)|(?<![\w.])[A-Z]|(?<!\w)\w(?:\s?\.\s?\w)+)\s?\.$"
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, in order, without the spaces around it.

    A sentence ends at . … ! ? before a space and a likely beginning, and at a new line; not after an abbreviation
    (Inc., U.S., Jan.) or an initial. Missing values: a blank text has none.
    """
    spans, start = [], 0
    for end in _END.finditer(text):
        if "\n" not in end[0] and _SHORT.search(text, max(start, end.start() - 20), end.start() + 1):
            continue
        spans.append((start, end.start() + len(end[0].rstrip())))
        start = end.end()
    spans.append((start, len(text)))
    trimmed = []
    for begin, stop in spans:
        piece = text[begin:stop]
        if piece.strip():
            left = begin + len(piece) - len(piece.lstrip())
            trimmed.append((left, left + len(piece.strip())))
    return trimmed
