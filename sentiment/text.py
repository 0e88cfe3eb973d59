"""What a text says apart from links, handles and tickers; and its set of words.

Both are pure functions of the text, so they never look ahead.
"""

import re

_LINK = re.compile(r"https?://\S+|www\.\S+|\b(?:URL|AT_USER)\b")
_HANDLE = re.compile(r"(?<!\w)@\w+")
_RETWEET = re.compile(r"^\s*rt\b\s*:?", re.IGNORECASE)
# "$AAPL", and "$ aapl" as some corpora split it; a price such as "$ 5" has a digit and stays
_CASHTAG = re.compile(r"\$\s?[A-Za-z]{1,6}(?:\.[A-Za-z])?\b")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w+")

CLEANING = "\n".join(pattern.pattern for pattern in (_LINK, _HANDLE, _RETWEET, _CASHTAG))
"""What `clean` removes, in writing: part of the hash of a model that is used on cleaned texts."""


def clean(text: str) -> str:
    """The text without links, handles, a leading "rt" and cashtags, with single spaces.

    The embedded model is trained and used on this: a ticker's name carries no tone of its own, and a model that learnt
    one would only remember what happened to that company. Missing values: a text of nothing else becomes "".
    """
    for pattern in (_LINK, _HANDLE, _RETWEET, _CASHTAG):
        text = pattern.sub(" ", text)
    return _SPACE.sub(" ", text).strip(" -:,|")


def words(text: str) -> frozenset[str]:
    """The set of lower-case words of a text without its links, handles and leading "rt"; tickers count as words.

    Missing values: empty for a text without words.
    """
    for pattern in (_LINK, _HANDLE, _RETWEET):
        text = pattern.sub(" ", text)
    return frozenset(_WORD.findall(text.lower()))
