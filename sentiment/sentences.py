"""Where the sentences of a text begin and end, by rules for English financial prose."""

import itertools
import re
from collections.abc import Iterator

# never the end of a sentence
_TITLES = (
    "mr mrs ms dr prof gen col lt capt sgt gov sen rep pres hon rev st messrs vs v e.g i.e cf approx viz mt ft fig "
    "al ca est incl excl dept"
)
# not the end before a number
_NUMBERED = "no nos art sec para pp vol rs jan feb mar apr jun jul aug sep sept oct nov dec"
# the end only before a word that begins sentences: "Apple Inc. Chief Executive", "Apple Inc. The"
_DOUBTFUL = (
    "inc corp co cos ltd plc llc lp bros jr sr u.s u.k u.n e.u u.s.a a.m p.m etc pct bn mn s.a n.v a.g s.p.a ph.d"
)
_STARTERS = (
    "the a an it its this that these those there he she they we i you his her their our in on at for from with as "
    "after before by but and however while when if since although also meanwhile moreover shares revenue sales net "
    "profit analysts investors"
)
_NEVER, _NUMBER, _UNSURE, _BEGINS = (frozenset(words.split()) for words in (_TITLES, _NUMBERED, _DOUBTFUL, _STARTERS))
_SUFFIXES = frozenset(("inc", "corp", "co", "ltd", "plc", "llc"))
_CLOSERS = "\"'”’»)\\]"
_BREAK = re.compile(
    rf"(?P<stop>(?<![.!?…؟।])[.!?…؟।]++[{_CLOSERS}]*+)(?=\s)"  # a mark, its closing quotes, and a space
    r"|(?P<wide>[。！？]+[」』”’）]*)"  # scripts that need no space
    r"|(?P<line>\n\s*+)"
)
_INDENT = 9
_BEFORE = re.compile(r"([^\s(\[\"'“‘«]+)\s?$")
_AFTER = re.compile(r"\s*([\"'“‘«(\[]*)(\S?)([\w.&-]*)")
_BULLET = re.compile(r"[-*•·–—]\s|\(?\d{1,2}[.)]\s")

RULES = "\n".join((_TITLES, _NUMBERED, _DOUBTFUL, _STARTERS, _BREAK.pattern))
"""What decides it, in writing."""


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order; joined together they are the text, each with the white space before it.

    A sentence ends at . ! ? … with closing quotes or brackets, before white space and a word that is not in lower case;
    at 。！？; at a blank line; and at a line's end unless the next line goes on in lower case. It does not end after a
    title (Mr.), an initial (J. P.), a number of an enumeration (1.), before a number after No. or Jan., nor after Inc.,
    U.S., a.m. and the like unless a word follows that begins sentences (The, In, Shares). Points inside a word (3.5,
    BRK.B, example.com) end nothing.

    Missing values: none; a blank text is no sentence.
    """
    cuts, last = [0], 0
    for end in _ends(text):
        # white space alone waits for the sentence after it
        if not text[last:end].isspace():
            cuts.append(end)
        last = end
    if text[last:].strip():
        cuts.append(len(text))
    elif len(cuts) > 1:
        cuts[-1] = len(text)
    return [text[start:end] for start, end in itertools.pairwise(cuts)]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence of `sentences`, without the white space around it. Missing values: as there."""
    ends = itertools.accumulate(map(len, sentences(text)))
    spans, start = [], 0
    for end in ends:
        piece = text[start:end]
        left = start + len(piece) - len(piece.lstrip())
        spans.append((left, left + len(piece.strip())))
        start = end
    return spans


def _ends(text: str) -> Iterator[int]:
    """Where sentences end; an end may follow an end with nothing but white space between them."""
    start = 0
    for match in _BREAK.finditer(text):
        judged = _line_ends(text, match) if match["line"] else match["wide"] or _stop_ends(text, start, match)
        if judged:
            start = match.end()
            yield start


def _line_ends(text: str, match: re.Match[str]) -> bool:
    following = text[match.end() : match.end() + 1]
    return match["line"].count("\n") > 1 or not following.islower() or bool(_BULLET.match(text, match.end()))


def _stop_ends(text: str, start: int, match: re.Match[str]) -> bool:
    opening, first, rest = _AFTER.match(text, match.end()).groups()  # type: ignore[union-attr]  # matches anything
    if not first or first.islower():
        return not first
    following = (first + rest).lower().rstrip(".")
    before = _BEFORE.search(text, max(start, match.start() - 40), match.start())
    if match["stop"][0] != "." or before is None:
        return following not in _SUFFIXES  # "Yahoo! Inc"
    word = before[1]
    lower = word.lower()
    first_word = before.start() - start < _INDENT and not text[start : before.start()].strip()
    if lower in _NEVER or (word.isdecimal() and first_word):  # the second: an enumeration
        return False
    if lower in _NUMBER:
        return not first.isdecimal()
    if lower in _UNSURE or (len(word) == 1 and word.isalpha()):
        return bool(opening) or following in _BEGINS
    return True
