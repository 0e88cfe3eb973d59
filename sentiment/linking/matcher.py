"""Every name of a table found in one pass over a text: a trie of words, the longest name at a place first.

Cashtags: "$AAPL", "$ aapl" (as tokenised corpora write it), "$BRK.B", "$BRK-B", "$BRK/B". Tickers besides: after their
exchange ("NYSE: F"), as Reuters codes ("F.N", "AAPL.O"), and bare in capitals where the guard lets them.
"""

import re
from bisect import bisect
from collections.abc import Iterator
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from sentiment.linking.guard import (
    COMMON_WORDS,
    MARKET_WORDS,
    Line,
    Mention,
    Rejection,
    Row,
    has_context,
    is_doubtful,
    is_ruled_out,
    line_of,
    suffix_end,
)
from sentiment.linking.words import joined, name_words, split, unescape

if TYPE_CHECKING:
    from sentiment.linking.name_table import NameTable

EARLIEST, LATEST = -(10**9), 10**9
_EPOCH = date(1970, 1, 1).toordinal()
_CASHTAG = re.compile(r"(?<![\w$])\$\s?([A-Za-z]{1,6})(?:(\s?[.\-/]\s?)([A-Za-z]))?(?![A-Za-z0-9_])")
_MARKED = re.compile(
    r"\b(?:NYSE|NASDAQ|Nasdaq|NASDAQGS|NasdaqGS|AMEX|NYSEARCA|ARCA|OTC|BATS)(?: American| Arca| MKT)?"
    r"\s?:\s?(?P<listed>[A-Z]{1,6}(?:[.\-/][A-Z])?)(?![A-Za-z0-9_])"
    r"|(?<![\w.$])(?P<code>[A-Z]{1,6}[ab]?)\.(?:OQ|O|N|K|P|A)(?![\w.])"
)
_CENSORED = re.compile(r"(?<!\w)(?<!\$\s)(?<!&\s)\w\s$")
_Node = dict[str, "_Node | list[Row]"]
_END = " "  # no word


class Matcher:
    """Finds a table's names. `find` is a pure function of the text and the day, so it never looks ahead."""

    def __init__(self, table: "NameTable") -> None:
        from sentiment.linking.name_table import symbol

        self._names: _Node = {}
        self._symbols: dict[str, list[Row]] = {}
        self._bare: dict[str, list[Row]] = {}
        for row in _rows(table):
            if row.kind in ("ticker", "cashtag"):
                self._symbols.setdefault(symbol(row.name), []).append(row)
                if row.kind == "ticker" and row.name.isalpha() and len(row.name) > 1:
                    self._bare.setdefault(row.name.lower(), []).append(row)
                continue
            node = self._names
            for word in name_words(row.name):
                node = node.setdefault(word, {})  # type: ignore[assignment]
            node.setdefault(_END, []).append(row)  # type: ignore[union-attr]
        self._first = self._names.keys() | self._bare.keys()

    def find(self, text: str, day: int) -> tuple[list[Mention], list[Rejection]]:
        """The entities named in a text, and what only looked so, both in order of place.

        day   days since 1970 (UTC) on which the text became known

        Missing values: an empty text names nobody.
        """
        text = unescape(text)
        words, spans = split(text)
        if "$" not in text and self._first.isdisjoint(words) and _MARKED.search(text) is None:
            return [], []
        found = _Found(text, words, spans, day)
        taken = sorted([*self._cashtags(found), *self._marked(found)])
        starts = [start for start, _ in taken]
        after = 0  # the last name
        for at, word in enumerate(words):
            if at < after or word not in self._first:
                continue
            start, end = spans[at]
            before = bisect(starts, start)
            if any(start < right and left < end for left, right in taken[max(before - 1, 0) : before + 1]):
                continue
            after = self._name(found, at) if word in self._names else 0
            if not after and word in self._bare:
                self._bare_ticker(found, at)
        return found.settled()

    def _cashtags(self, found: "_Found") -> Iterator[tuple[int, int]]:
        if "$" not in found.text:
            return
        tags = list(_CASHTAG.finditer(found.text))
        longer = any(len(tag[1]) > 1 for tag in tags)
        for tag in tags:
            root, mark, share = tag[1].upper(), tag[2], tag[3]
            start, end = tag.span()
            rows = self._symbols.get(f"{root}.{share.upper()}") if share else None
            if rows is None:
                rows = self._symbols.get(root)
                if share:
                    end = tag.end(1)
                if rows and share and mark.strip() == mark:
                    found.reject(start, tag.end(), rows, "other_symbol")
                    yield tag.span()
                    continue
            yield start, end
            if rows is None:
                continue
            if len(root) == 1 and found.text[start + 1].isspace() and found.is_censored(start, longer):
                found.reject(start, end, rows, "censored_word")
            else:
                found.take(start, end, rows, sure=True)

    def _marked(self, found: "_Found") -> Iterator[tuple[int, int]]:
        for code in _MARKED.finditer(found.text):
            written = code["listed"] or code["code"]
            if code["code"] and written[-1] in "ab":
                written = f"{written[:-1]}.{written[-1].upper()}"  # Reuters writes BRKb.N
            rows = self._symbols.get(written.replace("-", ".").replace("/", "."))
            if rows is not None:
                found.take(*code.span(), rows, sure=True)
                yield code.span()

    def _name(self, found: "_Found", first: int) -> int:
        """Takes or rejects the longest name that begins at a word; the number of the word after it, 0 for none."""
        words, spans, text = found.words, found.spans, found.text
        node, at, best, rows = self._names, first, 0, None
        while at < len(words) and words[at] in node and (at == first or joined(text, spans[at - 1][1], spans[at][0])):
            node = node[words[at]]  # type: ignore[assignment]
            at += 1
            ends: list[Row] = node.get(_END, [])  # type: ignore[assignment]
            written = text[spans[first][0] : spans[at - 1][1]]
            ends = [row for row in ends if not row.capitals or written.isupper()]
            if ends and (rows is None or any(map(found.is_valid, ends)) or not any(map(found.is_valid, rows))):
                best, rows = at, ends
        if rows is not None:
            found.name(first, best, rows)
        return best

    def _bare_ticker(self, found: "_Found", at: int) -> None:
        start, end = found.spans[at]
        written = found.text[start:end]
        rows = self._bare.get(written.lower(), []) if written.isupper() else []
        if not rows or found.text[max(start - 1, 0)] in "$_" or found.text[end : end + 1] == "_":
            return
        if len(written) == 2:
            found.doubt(at, at + 1, start, end, rows, "short_ticker")
        elif written in COMMON_WORDS:
            found.doubt(at, at + 1, start, end, rows, "common_word")
        elif found.line(start).capitals:
            found.doubt(at, at + 1, start, end, rows, "all_caps")
        else:
            found.take(start, end, rows, sure=True, words=(at, at + 1))


class _Found:
    """What was found in one text so far."""

    def __init__(self, text: str, words: list[str], spans: list[tuple[int, int]], day: int) -> None:
        self.text, self.words, self.spans, self._day = text, words, spans, day
        self._mentions: list[tuple[int, int, Row]] = []
        self._rejected: list[Rejection] = []
        self._doubts: list[tuple[int, int, Row, str]] = []
        self._sure: set[str] = set()
        self._lines: dict[int, Line] = {}

    def is_valid(self, row: Row) -> bool:
        return row.first <= self._day <= row.last

    def is_censored(self, start: int, longer: bool) -> bool:
        """Whether "$ t" is the end of a word whose s is written as a dollar, there being a longer cashtag or not."""
        if _CENSORED.search(self.text, max(0, start - 4), start):
            return True
        return not longer and self._is_not_of_the_market

    @cached_property
    def _is_not_of_the_market(self) -> bool:
        return MARKET_WORDS.isdisjoint(self.words)

    def line(self, start: int) -> Line:
        """How the line around a place uses capitals."""
        begin = self.text.rfind("\n", 0, start) + 1
        if begin not in self._lines:
            end = self.text.find("\n", begin)
            self._lines[begin] = line_of(self.text[begin : end if end >= 0 else len(self.text)])
        return self._lines[begin]

    def reject(self, start: int, end: int, rows: list[Row], reason: str) -> None:
        for row in rows:
            kept = reason if self.is_valid(row) else "not_valid_then"
            self._rejected.append(Rejection(start, end, row.entity, row.name, row.kind, kept))

    def take(self, start: int, end: int, rows: list[Row], *, sure: bool, words: tuple[int, int] | None = None) -> None:
        """The valid ones of rows are mentioned, in doubt of nothing but `never` where `words` says where they stand."""
        valid = [row for row in rows if self.is_valid(row)]
        if not valid:
            self.reject(start, end, rows, "not_valid_then")
        for row in valid:
            if words is not None and is_ruled_out(row, self.words, *words):
                self.reject(start, end, [row], "never")
                continue
            self._mentions.append((start, end, row))
            if sure:
                self._sure.add(row.entity)

    def doubt(self, first: int, stop: int, start: int, end: int, rows: list[Row], reason: str) -> None:
        """To be settled when it is known who else is named."""
        for row in rows:
            if not self.is_valid(row):
                self.reject(start, end, [row], "not_valid_then")
            elif is_ruled_out(row, self.words, first, stop):
                self.reject(start, end, [row], "never")
            else:
                self._doubts.append((start, end, row, reason))

    def name(self, first: int, stop: int, rows: list[Row]) -> None:
        start, end = self.spans[first][0], self.spans[stop - 1][1]
        after, settles = suffix_end(self.text, self.words, self.spans, stop)
        whole = self.spans[after - 1][1]
        valid = [row for row in rows if self.is_valid(row)]
        if not valid:
            self.reject(start, end, rows, "not_valid_then")
        for row in valid:
            doubtful = not settles and is_doubtful(self.text, start, row.ambiguous, self.line(start))
            if row.ambiguous in ("capital", "always") and self.text[start].islower() and not self.line(start).lower:
                self.doubt(first, stop, start, end, [row], "lower_case")
            elif doubtful and not has_context(row, self.words, first, stop):
                self.doubt(first, stop, start, end, [row], "no_context")
            else:
                self.take(start, whole, [row], sure=not doubtful, words=(first, stop))

    def settled(self) -> tuple[list[Mention], list[Rejection]]:
        for start, end, row, reason in self._doubts:
            if row.entity in self._sure:
                self._mentions.append((start, end, row))
            else:
                self._rejected.append(Rejection(start, end, row.entity, row.name, row.kind, reason))
        self._mentions.sort(key=lambda mention: (mention[0], mention[1], mention[2].entity))
        output, word = [], 0
        for start, end, row in self._mentions:
            while word < len(self.spans) and self.spans[word][1] <= start:
                word += 1
            output.append(Mention(start, end, row.entity, row.name, row.kind, word))
        return output, sorted(self._rejected)


def find(text: str, table: "NameTable", day: date) -> tuple[list[Mention], list[Rejection]]:
    """The entities that a text names, and what only looked so; see `Matcher.find`. day: on which it became known."""
    return table.matcher.find(text, day.toordinal() - _EPOCH)


def _rows(table: "NameTable") -> Iterator[Row]:
    for entity, name, kind, first, last, ambiguous, needs, never in table.rows.iter_rows():
        spelled = name_words(name)
        phrases = []
        for phrase in never:
            words = name_words(phrase)
            place = next((i for i in range(len(words)) if words[i : i + len(spelled)] == spelled), -1)
            phrases.append((words, place))
        yield Row(
            entity,
            name,
            kind,
            first.toordinal() - _EPOCH if first else EARLIEST,
            last.toordinal() - _EPOCH if last else LATEST,
            ambiguous,
            tuple(name_words(entry) for entry in needs if entry != "*"),
            bool(ambiguous) and (not needs or "*" in needs),
            tuple(phrases),
            name.isupper() and len(spelled) == 1,
        )
