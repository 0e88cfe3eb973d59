"""From a text to the companies that it is about, by the names that were theirs when the text became known.

    table = NameTable.packaged()                      # or NameTable.read("names.csv")
    linked = link(items, table)                       # items: item, known_time, text
    linked.links, linked.rejected, linked.counts
    linked = link(items, table, passages=True, mask=True)   # `text`: what is said of each entity, its name hidden

One text by hand: `find` gives its mentions, `passages` the sentences about each entity, `mask` the text without names.
"""

from sentiment.linking.guard import Mention, Rejection
from sentiment.linking.link import LINKS, REJECTED, Linked, link
from sentiment.linking.masking import mask
from sentiment.linking.matcher import Matcher, find
from sentiment.linking.name_table import NameTable
from sentiment.linking.passages import cut, passages
from sentiment.linking.relevance import relevance

__all__ = [
    "LINKS",
    "REJECTED",
    "Linked",
    "Matcher",
    "Mention",
    "NameTable",
    "Rejection",
    "cut",
    "find",
    "link",
    "mask",
    "passages",
    "relevance",
]
