"""Whether something written like a name means the company: the rules, one for each kind of doubt.

A mention passes unless one of these reasons holds; what is turned down is kept with its reason:

    not_valid_then   nobody was called so on the day that the text became known
    never            a phrase of the row's `never` stands around it, or near it where the phrase lacks the name
    no_context       the name is ambiguous as it is written here, and none of `needs` stands near it
    lower_case       a name of level `capital` or `always` in lower case, in a text that has capitals
    common_word      a bare ticker that is an English word or a common abbreviation (ALL, NOW, CEO)
    short_ticker     a bare ticker of two letters (a single letter is not even looked at)
    all_caps         a bare ticker in a text of capitals
    other_symbol     a longer ticker begins so ($BRK.C where only BRK is known)
    censored_word    a cashtag of one letter written apart, after a lone letter ("s $ t"), or in a text that has neither
                     a longer cashtag nor one of MARKET_WORDS ("you are the be $ t")

A name is ambiguous as it is written where its row's level says so: `lower` in lower case and in CAPITALS; `capital`
also where a capital says nothing (the sentence begins with it, Title Case, or the word before has a capital too: Tom
Ford); `always`. A verb after it that goes with companies ("Gap warns") is context like a word of `needs`. A company's
suffix ("Target Corp") settles it, and so does the same entity named without doubt elsewhere in the text, which lets its
bare tickers pass too; `never` holds all the same.
"""

import re
from importlib import resources
from typing import NamedTuple

from sentiment.linking.words import in_words


def _listed(file: str) -> frozenset[str]:
    return frozenset((resources.files("sentiment.linking") / "names" / file).read_text(encoding="utf-8").split())


NEAR = 10
"""Words on either side among which `needs` and `never` are looked for."""

MARKET_WORDS = _listed("market_words.txt")

SUFFIXES = frozenset(
    {"inc", "incorporated", "corp", "corporation", "co", "plc", "ltd", "limited", "llc", "lp", "sa", "nv", "ag", "se"}
    | {"ab", "spa", "company", "group", "holding", "holdings"}
)
_WEAK_SUFFIXES = frozenset({"group", "company", "se", "sa", "ab"})

SUBJECT_VERBS = _listed("subject_verbs.txt")
"""What a company does in a headline and a word such as target or gap does not: "Gap warns of", "Shell writes down"."""

COMMON_WORDS = _listed("common_words.txt")
"""Words that a bare ticker must not be, of three letters and more; shorter tickers are never taken bare."""

_OPENING = re.compile(r"(?:^|[.!?:;…|\n]|[A-Z0-9]{2,}\s?[-–—])[\s\"'“”‘’(\[]*$")
_BEFORE = re.compile(r"([^\W\d_][\w&]*)[ \t]$")


class Mention(NamedTuple):
    """An entity named in a text: text[start:end], with a cashtag's $ and a company's suffix."""

    start: int
    end: int
    entity: str
    name: str
    kind: str
    word: int  # words before it


class Rejection(NamedTuple):
    """What was written like a name and not taken for it."""

    start: int
    end: int
    entity: str
    name: str
    kind: str
    reason: str


class Row(NamedTuple):
    """A row of the table, ready for use. `never` holds each phrase and the name's place in it (-1: not in it)."""

    entity: str
    name: str
    kind: str
    first: int
    last: int
    ambiguous: str
    needs: tuple[tuple[str, ...], ...]
    market: bool
    never: tuple[tuple[tuple[str, ...], int], ...]
    capitals: bool  # written in capitals alone: matched in capitals alone


class Line(NamedTuple):
    """How a line uses capitals: nothing else, nowhere, or at the head of most words."""

    capitals: bool
    lower: bool
    title: bool


_PLACEHOLDERS = re.compile(r"\b(?:URL|AT_USER)\b")
_LONG = re.compile(r"[^\W\d_]{4,}")


def line_of(text: str) -> Line:
    """Of a line of text, placeholders such as URL aside.

    capitals   more than six capitals, and at least nine of ten letters are capitals
    lower      no capital
    title      of its words of four letters and more, four at least, three of four begin with a capital
    """
    text = _PLACEHOLDERS.sub(" ", text)
    upper, lower = sum(map(str.isupper, text)), sum(map(str.islower, text))
    long = _LONG.findall(text)
    heads = sum(word[0].isupper() for word in long)
    return Line(upper > 6 and upper >= 9 * lower, not upper, len(long) >= 4 and heads >= 0.75 * len(long))


def is_doubtful(text: str, start: int, level: str, line: Line) -> bool:
    """Whether a name of this level is ambiguous as it is written at text[start:], in a line of this kind."""
    if level in ("", "always"):
        return level == "always"
    if not text[start].isupper() or line.capitals:
        return True
    if level == "lower":
        return False
    before = _BEFORE.search(text, max(0, start - 40), start)
    return (
        _OPENING.search(text, max(0, start - 40), start) is not None
        or (before is not None and before[1][0].isupper())
        or line.title
    )


def is_ruled_out(row: Row, words: list[str], first: int, stop: int) -> bool:
    """Whether a phrase of `never` holds for the name that is words[first:stop]."""
    for phrase, place in row.never:
        if place < 0:
            if in_words(words, phrase, first - NEAR, stop + NEAR):
                return True
        elif tuple(words[max(first - place, 0) : first - place + len(phrase)]) == phrase and first >= place:
            return True
    return False


def has_context(row: Row, words: list[str], first: int, stop: int) -> bool:
    """Whether a word of `needs` stands near the name that is words[first:stop]."""
    if stop < len(words) and words[stop] in SUBJECT_VERBS:
        return True
    around = words[max(0, first - NEAR) : first], words[stop : stop + NEAR]
    if row.market and not all(MARKET_WORDS.isdisjoint(side) for side in around):
        return True
    return any(in_words(side, phrase, 0, len(side)) for phrase in row.needs for side in around)


def suffix_end(text: str, words: list[str], spans: list[tuple[int, int]], stop: int) -> tuple[int, bool]:
    """Where a company's suffix after words[:stop] ends (stop where there is none), and whether it settles a doubt."""
    end, settles = stop, False
    at = stop
    while at < len(words) and at < stop + 3:
        gap = text[spans[at - 1][1] : spans[at][0]]
        if gap.strip() not in ("", ",", ".", "/") or "\n" in gap:
            break
        word = words[at]
        if word == "&":
            at += 1
            continue
        if word not in SUFFIXES or not text[spans[at][0]].isupper():
            break
        at += 1
        end, settles = at, settles or word not in _WEAK_SUFFIXES
    return end, settles
