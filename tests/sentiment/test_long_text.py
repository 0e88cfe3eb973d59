"""Where sentences end, how they are packed, and that neither loses a word nor takes long."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.long_text import MAX_CHUNKS, aggregate, head, pack
from sentiment.sentences import sentences

# "|" marks where a sentence ends
MARKED = [
    "Profit rose 3.5 % on Monday.| Shares of BRK.B and $T fell 1.2 points.| Why?| Nobody knows!",
    'Mr. Smith of J. P. Morgan said: "We won."| The shares rose.',
    "The company (it was founded in 1990.)| Its shares rose.",
    "“We won.”| That was all… and more.| Then the end…| Really?!| Yes.",
    "The U.S. Federal Reserve met at 2 p.m. Eastern time.| It acted in the U.S.| The euro fell.",
    "Apple Inc. Chief Executive Tim Cook spoke.| It was bought by Apple Inc.| Shares rose.",
    "See No. 5 and Nos. 6, Fig. 2, Sec. 12 and Art. 50 of Dec. 2014.| He said no.| That was Dec.| The end.",
    "Results, e.g. Sales, vs. Costs, rose approx. Five times, i.e. Much.| More follows.",
    "Yahoo! Inc fell.| Its yahoo! shares fell! and how.",
    "1. Profit rose.| 2. Sales fell.|\n- Costs are up|\n• Cash is down|\n(3) Debt is up",
    "A line that is\nwrapped goes on.|\nA headline without a stop|\nAnother one|\n\nand one in lower case",
    "Reuters writes U . S . Treasury yields rise 3 % .| Stocks fall .",
    "We sold at $5.| Then at 6.| 7 were left.",
    "利益が増えた。|株価は上昇した！|「なぜ？」|不明。",
    "ارتفعت الأرباح؟| نعم.",
    "Mail a@b.com or see www.example.com/a.b?c=d for version 2.0.1 of it.| Done.",
    "iPhone sales fell. iPad sales rose",
    "Plan B.| The rest is J. Smith's.",
]


@pytest.mark.parametrize("marked", MARKED)
def test_ends_of_sentences(marked: str) -> None:
    assert [part.strip() for part in sentences(marked.replace("|", ""))] == [part.strip() for part in marked.split("|")]


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet='aA1 .!?\n"”)。\x00é🚀', max_size=60))
def test_nothing_is_lost_and_nothing_is_blank(text: str) -> None:
    found = sentences(text)
    assert "".join(found) == (text if text.strip() else "")
    assert all(sentence.strip() for sentence in found)


@pytest.mark.parametrize(
    "piece",
    ["a. ", "A.\n", "\n \n", "1. ", '.")', "()", "x", " ", ".", "\n", "A. B", "Inc. Corp. ", "。", ". " + " " * 99],
)
def test_hostile_texts_end(piece: str) -> None:
    text = piece * (300_000 // len(piece)) + "X"
    assert "".join(sentences(text)) == text


class TestPack:
    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.integers(0, 30), max_size=12), st.integers(6, 40))
    def test_all_tokens_in_order_and_none_too_many(self, lengths: list[int], room: int) -> None:
        pieces = [[n * 100 + k for k in range(length)] for n, length in enumerate(lengths)]
        chunks = pack(pieces, room)
        assert [token for tokens, _ in chunks for token in tokens] == [token for piece in pieces for token in piece]
        assert all(0 < len(tokens) <= room for tokens, _ in chunks)
        assert sum(begun for _, begun in chunks) == sum(map(bool, pieces))
        starts = {tokens[0] for tokens, _ in chunks}
        for piece in pieces:  # only what fits into no chunk is cut
            assert len(piece) > room or not starts & set(piece[1:])

    def test_a_long_sentence_is_cut_into_equal_windows(self) -> None:
        assert [len(tokens) for tokens, _ in pack([[1] * 3, [2] * 23, [3]], 10)] == [3, 8, 8, 8]
        assert pack([[1] * 3, [2] * 23, [3]], 10)[-1] == ([2] * 7 + [3], 1)

    def test_work_stops_at_the_most_chunks(self) -> None:
        def pieces():  # type: ignore[no-untyped-def]
            yield from ([1] * 10 for _ in range(MAX_CHUNKS + 1))
            raise AssertionError("read on")

        assert len(pack(pieces(), 10)) == MAX_CHUNKS + 1  # type: ignore[arg-type]

    def test_head(self) -> None:
        assert head([[1, 2], [], [3, 4], [5]], 3) == ([1, 2, 3], 2)
        assert head([[1, 2]], 3) == ([1, 2], 1)
        assert head([], 3) == ([], 0)


class TestAggregate:
    PARTS = np.array([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])

    def test_mean_and_first(self) -> None:
        assert aggregate(self.PARTS, [1, 2, 1], "mean").tolist() == pytest.approx([0.425, 0.275, 0.3])
        # weights 4, 4, 1 of nine
        assert aggregate(self.PARTS, [4, 8, 4], "first").tolist() == pytest.approx([3.7 / 9, 3.0 / 9, 2.3 / 9])

    def test_max_takes_the_first_of_equals(self) -> None:
        assert aggregate(self.PARTS, [1, 1, 1], "max").tolist() == [0.7, 0.2, 0.1]
        assert aggregate(self.PARTS[::-1], [1, 1, 1], "max").tolist() == [0.1, 0.2, 0.7]

    @pytest.mark.parametrize("long", ["mean", "first", "max"])
    def test_equal_chunks_and_one_chunk_change_nothing(self, long: str) -> None:
        assert aggregate(self.PARTS[:1], [7], long) == pytest.approx(self.PARTS[0])
        assert aggregate(np.repeat(self.PARTS[:1], 5, 0), [7, 1, 2, 9, 9], long) == pytest.approx(self.PARTS[0])
