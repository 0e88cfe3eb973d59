"""What may be wrong with a file of texts, said in the options of the commands that read it."""

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from gpu_kernels.errors import DataError

Item = TypeVar("Item")

# what the readers say to those who write a config -> what a command has for it
_OF_CONFIGS = {
    "give the file's `encoding`, e.g. latin-1": "say its encoding, e.g. --encoding latin-1",
    "a quote is not closed; if quotes mean nothing: quoted: false": (
        "a quote is not closed; if quotes mean nothing: --no-quotes"
    ),
    "fetch the file again, or take it out of `files`": "",
}
_DELIMITERS = {";": "';'", "\t": "$'\\t'", "|": "'|'", ",": "','"}
_NUMBER = re.compile(r"[-+]?\d[\d.,:/TZ+ -]*")  # or a date, or a time
_WORDS = 5  # a name of a column with so many is a sentence


def said_of_options(items: Iterator[Item]) -> Iterator[Item]:
    """The items; an error on the way that tells a key of a config tells the command's option instead."""
    try:
        yield from items
    except DataError as error:
        hint = error.hint
        if "the first line is not a header" in error.problem:
            hint = "if it is data: --header name,name,... or --no-header"
        hint = _OF_CONFIGS.get(hint, hint)
        if hint == error.hint:
            raise
        raise DataError(error.problem, allowed=error.allowed, hint=hint) from error


def delimiter_hint(column: str, names: Sequence[str], delimiter: str) -> str:
    """The delimiter that would give the column, or several columns where there is one; empty: none would."""
    line = delimiter.join(names)
    for other, written in _DELIMITERS.items():
        cells = [cell.strip().strip('"') for cell in line.split(other)]
        if other != delimiter and len(cells) > 1 and (column in cells or len(names) == 1):
            return f"try --delimiter {written}"
    return ""


def header_hint(names: Sequence[str]) -> str:
    """What to do where the names look like data: numbers, dates, sentences; empty: they do not."""
    if not any(_NUMBER.fullmatch(name) or len(name.split()) >= _WORDS for name in names):
        return ""
    return "the first line looks like data: if it is, --header name,name,... or --no-header with numbers as names"
