"""A text as the words that names are made of, each with its place in the text."""

import html
import re
import unicodedata

_ENTITY = re.compile(r"&(?:[A-Za-z]{2,8}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")
WORD = re.compile(r"[^\W_]+|&")
_JOINS = frozenset("-‐‑'’‘ʼ`´")
_LONGEST_GAP = 8  # "&amp;" leaves four spaces
AND = "&"


def unescape(text: str) -> str:
    """HTML entities as what they stand for, padded with spaces, so that every other character keeps its place."""
    if "&" not in text or ";" not in text:
        return text
    return _ENTITY.sub(lambda found: html.unescape(found[0])[:1].ljust(len(found[0])), text)


def normal(word: str) -> str:
    """The form in which words are compared: lower case, without accents; "and" is "&"."""
    if not word.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
        word = plain or word  # a mark alone
    word = word.lower()
    return AND if word == "and" else word


def split(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """The normal words of an unescaped text, and the start and end of each. Missing values: none of either for ""."""
    spans = [found.span() for found in WORD.finditer(text)]
    if not text.isascii():
        return [normal(text[start:end]) for start, end in spans], spans
    lower = text.lower()
    return [AND if lower[start:end] == "and" else lower[start:end] for start, end in spans], spans


def name_words(name: str) -> tuple[str, ...]:
    """The normal words of a name or phrase."""
    return tuple(split(unescape(name))[0])


def joined(text: str, end: int, start: int) -> bool:
    """Whether the word that ends at `end` and the one that starts at `start` may belong to one name.

    Between them stand spaces, one hyphen or apostrophe, or a full stop as in "Amazon.com" and "J. P. Morgan"; the full
    stop after a longer word and before a space ends a sentence, and so does a new line.
    """
    gap = text[end:start]
    if len(gap) > _LONGEST_GAP or "\n" in gap:
        return False
    mark = gap.strip()
    if not mark or mark in _JOINS:
        return True
    return mark == "." and (not gap[-1].isspace() or end < 2 or not text[end - 2].isalnum())


def in_words(words: list[str], phrase: tuple[str, ...], start: int, stop: int) -> bool:
    """Whether the phrase stands in words[start:stop]."""
    size, near = len(phrase), words[max(start, 0) : max(stop, 0)]
    return phrase[0] in near and any(tuple(near[i : i + size]) == phrase for i in range(len(near) - size + 1))
