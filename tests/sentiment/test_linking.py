"""Names in texts: the matcher, the guard, validity, relevance, passages, masks."""

import random
from datetime import UTC, date, datetime

import polars as pl
import pytest

from gpu_kernels.errors import DataError
from sentiment.linking import NameTable, cut, find, link, mask, passages, relevance
from sentiment.linking.words import split, unescape
from sentiment.sentences import sentence_spans

DAY = date(2019, 6, 3)
TABLE = NameTable.packaged()


def entities(text: str, day: date = DAY, table: NameTable = TABLE) -> list[str]:
    return list(dict.fromkeys(mention.entity for mention in find(text, table, day)[0]))


def reasons(text: str, day: date = DAY) -> list[tuple[str, str]]:
    return [(rejection.entity, rejection.reason) for rejection in find(text, TABLE, day)[1]]


def items(*texts: str | None, day: datetime = datetime(2019, 6, 3, 12, tzinfo=UTC)) -> pl.DataFrame:
    return pl.DataFrame(
        {"item": [f"i{i}" for i in range(len(texts))], "known_time": [day] * len(texts), "text": list(texts)},
        schema_overrides={"known_time": pl.Datetime("ns", "UTC"), "text": pl.String},
    )


class TestWhatIsWritten:
    @pytest.mark.parametrize(
        ("text", "entity"),
        [
            ("sold $AAPL, bought gold", "AAPL"),
            ("Sold $AAPL.", "AAPL"),
            ("sold $ aapl today", "AAPL"),
            ("long $aapl!", "AAPL"),
            ("$BRK.B", "BRK-A"),
            ("$BRK-B", "BRK-A"),
            ("$BRK/B is up", "BRK-A"),
            ("$ brk . b up", "BRK-A"),
            ("$F breaks out", "F"),
            ("Ford Motor Co (NYSE: F)", "F"),
            ("(F.N) rose", "F"),
            ("AAPL.O rose", "AAPL"),
            ("BRKb.N rose", "BRK-A"),
            ("Nasdaq:AAPL", "AAPL"),
            ("We like AAPL here", "AAPL"),
            ("Apple's sales", "AAPL"),
            ("Apple’s sales", "AAPL"),
            ("Apple&#39;s sales", "AAPL"),
            ("AT&amp;T adds subscribers", "T"),
            ("AT & T adds subscribers", "T"),
            ("Procter and Gamble rises", "PG"),
            ("Coca Cola rises", "KO"),
            ("COCA-COLA RISES", "KO"),
            ("J. P. Morgan rises", "JPM"),
            ("McDonald 's rises", "MCD"),
            ("McDonald’s rises", "MCD"),
            ("non-Apple suppliers", "AAPL"),
            ("the Disney-owned studio", "DIS"),
        ],
    )
    def test_is_found(self, text: str, entity: str) -> None:
        assert entities(text) == [entity]

    @pytest.mark.parametrize(
        "text",
        [
            "it cost $5",
            "$ 5 million",
            "$AAPLX",
            "US$AAPL",
            "holy s$t",
            "$AAPL_X",
            "AAPLE pie",
            "pineapples",
            "U.N. talks",
            "she is at home. Depot workers strike",
            "home\nDepot",
            "A look at IT, ALL of it, NOW",
            "I",
            "",
            "…",
            "$",
            "$$$$",
            "&amp;",
            "\x00\x01 ￾",
            "🙂🙂",
        ],
    )
    def test_is_nobody(self, text: str) -> None:
        assert entities(text) == []

    def test_the_longest_name_wins(self) -> None:
        assert entities("Morgan Stanley cuts, J.P. Morgan Chase raises") == ["MS", "JPM"]
        found = find("Bank of America Merrill Lynch analysts", TABLE, DAY)[0]
        assert [mention.name for mention in found] == ["Bank of America Merrill Lynch"]

    def test_spans_are_those_of_the_text_as_it_came(self) -> None:
        text = "Profit at AT&amp;T, Apple Inc. and $ msft &lt;up&gt;"
        pieces = [text[m.start : m.end] for m in find(text, TABLE, DAY)[0]]
        assert pieces == ["AT&amp;T", "Apple Inc", "$ msft"]

    def test_a_letter_written_apart_stands_among_cashtags_or_words_of_the_market(self) -> None:
        assert entities("payments : $ ma $ v $ c") == ["MA", "V", "C"]
        assert entities("at & t $ t stock higher") == ["T"]
        assert entities("bought $ t for the dividend") == ["T"]

    def test_another_symbol_is_not_the_shorter_one(self) -> None:
        assert reasons("$AAPL.B") == [("AAPL", "other_symbol")]
        assert entities("$ aapl . a new high") == ["AAPL"]

    def test_accents_are_no_difference(self) -> None:
        table = NameTable.of(pl.DataFrame({"entity": ["N"], "name": ["Nestlé"], "kind": ["name"]}))
        assert entities("Nestle rises, NESTLÉ too", table=table) == ["N"]


class TestGuard:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("An apple pie for everyone", "never"),
            ("He ate an apple", "no_context"),
            ("Target practice", "never"),
            ("Target is in sight", "never"),
            ("Gap of ten points", "no_context"),
            ("SPY games", "common_word"),
            ("a new GE16 plan for GD roads", "short_ticker"),
            ("Profit beats Street target; shares climb", "lower_case"),
            ("OIL FALLS AS AAPL RISES", "all_caps"),
            ("holy s $ t", "censored_word"),
            ("my shares , l $ d", "censored_word"),
            ("you are the be $ t", "censored_word"),
        ],
    )
    def test_turns_down_and_says_why(self, text: str, reason: str) -> None:
        assert entities(text) == []
        assert [why for _, why in reasons(text)] == [reason]

    @pytest.mark.parametrize(
        "text", ["Target Corp is in town", "Retailer Target hires", "Shares of Target fell", "They like Target a lot"]
    )
    def test_lets_the_company_pass(self, text: str) -> None:
        assert entities(text) == ["TGT"]

    def test_a_sure_mention_vouches_for_the_bare_ticker(self) -> None:
        assert entities("Now is the time for NOW") == []
        found = find("ServiceNow rose. We like NOW", TABLE, DAY)[0]
        assert [(m.entity, m.kind) for m in found] == [("NOW", "name"), ("NOW", "ticker")]
        assert entities("Caterpillar pie. Ate an apple pie, $AAPL") == ["CAT", "AAPL"]
        assert len(find("Ate an apple pie, $AAPL", TABLE, DAY)[0]) == 1

    def test_a_doubtful_mention_vouches_for_nobody(self) -> None:
        assert entities("apple shares, IT spending, an apple") == ["AAPL"]
        assert (
            len(find("apple shares one two three four five six seven eight nine ten eleven apple", TABLE, DAY)[0]) == 1
        )


class TestPointInTime:
    @pytest.mark.parametrize(("day", "expected"), [(date(2022, 6, 8), ["FB"]), (date(2022, 6, 9), ["META"])])
    def test_a_name_means_who_bore_it(self, day: date, expected: list[str]) -> None:
        assert entities("Facebook rises", day) == expected
        assert entities(f"${expected[0]} rises", day) == expected

    @pytest.mark.parametrize(
        ("text", "owned", "before_or_after"),
        [
            ("Whole Foods cuts prices", (date(2017, 8, 28), "AMZN"), date(2017, 8, 25)),
            ("StubHub sued over tickets", (date(2020, 2, 13), "EBAY"), date(2020, 2, 14)),
            ("Asda announces pay rise", (date(2021, 2, 16), "WMT"), date(2021, 2, 17)),
            ("Family Dollar stores to close", (date(2015, 7, 6), "DLTR"), date(2015, 7, 2)),
        ],
    )
    def test_a_chain_is_its_owners_while_it_is_owned(
        self, text: str, owned: tuple[date, str], before_or_after: date
    ) -> None:
        assert entities(text, owned[0]) == [owned[1]]
        assert entities(text, before_or_after) == []

    def test_an_outlet_of_another_company_is_not_the_brands_owners(self) -> None:
        assert entities("KFC to sell plant-based chicken", DAY) == ["YUM"]
        assert entities("Yum China to open KFC outlets at gas stations", DAY) == []

    def test_a_ticker_of_the_future_or_the_past_is_nobodys(self) -> None:
        assert reasons("$META rises") == [("META", "not_valid_then")]
        assert reasons("$FB rises", date(2023, 1, 3)) == [("FB", "not_valid_then")]
        assert entities("Alphabet's shares", date(2015, 10, 1)) == []
        assert entities("Alphabet's shares", date(2015, 10, 2)) == ["GOOG"]
        assert entities("$PCLN", date(2018, 2, 26)) == ["PCLN"]
        assert entities("Priceline", date(2018, 2, 27)) == ["BKNG"]
        assert entities("Celgene", date(2019, 11, 21)) == []

    def test_a_longer_name_of_another_time_hides_no_shorter_one(self) -> None:
        rows = [("A", "Time", None), ("B", "Time Warner", date(2018, 1, 1))]
        table = NameTable.of(
            pl.DataFrame(
                [(entity, name, "name", last) for entity, name, last in rows],
                schema={"entity": pl.String, "name": pl.String, "kind": pl.String, "valid_to": pl.Date},
                orient="row",
            )
        )
        assert entities("Time Warner", date(2018, 1, 1), table) == ["B"]
        assert entities("Time Warner", date(2018, 1, 2), table) == ["A"]

    def test_links_depend_on_their_own_row_alone(self) -> None:
        frame = items("Apple rises", "He ate an apple", "Microsoft and $FB fall")
        frame = frame.with_columns(known_time=pl.Series([datetime(y, 1, 5, tzinfo=UTC) for y in (2015, 2016, 2023)]))
        whole = link(frame, TABLE).links
        for row in range(frame.height):
            one = link(frame[row], TABLE).links
            assert one.drop("row").equals(whole.filter(pl.col("row") == row).drop("row"))


class TestLink:
    def test_loses_nothing(self) -> None:
        frame = items("Apple and $MSFT rise", "He ate an apple", "Rain", None, "  ", "$META")
        linked = link(frame, TABLE)
        assert linked.links.select("row", "item", "entity", "mentions", "first_position", "name").rows() == [
            (0, "i0", "AAPL", 1, 0, "Apple"),
            (0, "i0", "MSFT", 1, 2, "MSFT"),
        ]
        assert linked.rejected.select("item", "entity", "written", "reason").rows() == [
            ("i1", "AAPL", "apple", "no_context"),
            ("i5", "META", "$META", "not_valid_then"),
        ]
        assert linked.counts == {
            "items": 6,
            "without_text": 2,
            "linked": 1,
            "unnamed": 3,
            "links": 2,
            "rejected_no_context": 1,
            "rejected_not_valid_then": 1,
        }

    def test_of_no_items(self) -> None:
        linked = link(items(), TABLE, passages=True)
        assert linked.links.columns == [
            "row",
            "item",
            "entity",
            "relevance",
            "mentions",
            "first_position",
            "name",
            "text",
        ]
        assert linked.links.height == linked.rejected.height == linked.counts["items"] == 0

    @pytest.mark.parametrize(
        ("frame", "told"),
        [
            (items("a").drop("text"), "without the column 'text'"),
            (items("a").with_columns(known_time=pl.lit(None, pl.Datetime("ns", "UTC"))), "1 rows without known_time"),
            (items("a").with_columns(known_time=pl.lit("2019")), "known_time is String"),
            (items("a").with_columns(text=pl.lit(3)), "text is Int32"),
            (items("a").with_columns(pl.col("known_time").dt.convert_time_zone("Asia/Tokyo")), "Asia/Tokyo"),
        ],
    )
    def test_refuses_items_in_one_line(self, frame: pl.DataFrame, told: str) -> None:
        with pytest.raises(DataError, match=told) as error:
            link(frame, TABLE)
        assert "\n" not in str(error.value)

    def test_days_are_of_utc(self) -> None:
        late = datetime(2022, 6, 8, 23, 59, 59, tzinfo=UTC)
        assert link(items("Facebook", day=late), TABLE).links["entity"].to_list() == ["FB"]

    def test_a_long_text_is_read_to_its_end(self) -> None:
        text = "word " * 50_000 + "Apple"
        found = link(items(text), TABLE).links
        assert found["first_position"].to_list() == [50_000]
        assert 0 <= found["relevance"][0] < 1e-9

    @pytest.mark.parametrize(
        "piece",
        [
            "Apple ",
            "apple ",
            "an apple pie. ",
            "$ t ",
            "AAPL.O $MSFT, ",
            "Amazon and the Gap; ",
            " ",
            "\n",
            "&amp;",
            ".",
        ],
    )
    def test_a_text_of_100_kb_is_read(self, piece: str) -> None:
        text = piece * (100_000 // len(piece)) + "and Microsoft Corp. too"
        linked = link(items(text), TABLE, passages=True, mask=True)
        assert "MSFT" in linked.links["entity"].to_list()

    @pytest.mark.parametrize("seed", range(20))
    def test_any_characters_are_text(self, seed: int) -> None:
        pieces = [
            *"$ .,-'’&;()[]\n\t\x00\ufeffßİǅ🙂é٣",
            "Apple",
            "$AAPL",
            "AT&amp;T",
            "F.N",
            "NYSE: ",
            "&#39;",
            "TARGET",
            "\ud800",
        ]
        generator = random.Random(seed)
        text = "".join(generator.choice(pieces) for _ in range(300))
        for mention in find(text, TABLE, DAY)[0]:
            assert text[mention.start : mention.end].strip()
        found = find(text, TABLE, DAY)[0]
        about = passages(text, found)
        assert all(0 <= start < end <= len(text) for spans in about.values() for start, end in spans)
        assert mask(text, found, company="", other="").count("Apple") <= text.count("Apple")


class TestRelevance:
    def of(self, text: str) -> dict[str, float]:
        return {about.entity: about.relevance for about in relevance(find(text, TABLE, DAY)[0], text)}

    def test_formula(self) -> None:
        assert self.of("Apple rises") == {"AAPL": 1.0}
        found = self.of("Apple sues Microsoft as Apple wants")
        assert found["AAPL"] == pytest.approx((2 / 3) ** 0.5)
        assert found["MSFT"] == pytest.approx((1 / 3 * 2 ** (-2 / 25)) ** 0.5)

    def test_the_title_counts_as_the_beginning(self) -> None:
        assert self.of("One two three Apple\nBody") == {"AAPL": 1.0}
        assert self.of("One two three Apple")["AAPL"] == pytest.approx(2 ** (-3 / 50))
        assert self.of("Title\nthree Apple")["AAPL"] == pytest.approx(2 ** (-2 / 50))


class TestPassages:
    def about(self, text: str) -> dict[str, str]:
        return {entity: cut(text, spans) for entity, spans in passages(text, find(text, TABLE, DAY)[0]).items()}

    def test_one_entity_has_the_whole_text(self) -> None:
        text = "Rain fell.  Apple rose. It was fine."
        assert self.about(text) == {"AAPL": text}

    def test_sentences_go_to_whom_they_name_and_on(self) -> None:
        text = "Rain fell. Apple rose 2.5 pct. It beat. Analysts cheered. Microsoft Corp. fell! So did Intel’s chips."
        assert self.about(text) == {
            "AAPL": "Apple rose 2.5 pct. It beat. Analysts cheered.",
            "MSFT": "Microsoft Corp. fell!",
            "INTC": "So did Intel’s chips.",
        }

    def test_a_pronoun_takes_up_the_first_of_two(self) -> None:
        about = self.about("Apple sues Microsoft. It wants money. Shares fell.")
        assert about == {
            "AAPL": "Apple sues Microsoft. It wants money. Shares fell.",
            "MSFT": "Apple sues Microsoft.",
        }
        about = self.about("Apple sues Microsoft. Shares fell.")
        assert about["MSFT"] == about["AAPL"] == "Apple sues Microsoft. Shares fell."

    def test_link_gives_them(self) -> None:
        linked = link(items("Apple rose. Microsoft fell."), TABLE, passages=True).links
        assert linked["text"].to_list() == ["Apple rose.", "Microsoft fell."]
        linked = link(items("Apple rose. Microsoft fell, unlike Apple."), TABLE, passages=True, mask=True).links
        assert linked["text"].to_list() == [
            "company rose. another company fell, unlike company.",
            "company fell, unlike another company.",
        ]


class TestSentences:
    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("", 0),
            (" \n ", 0),
            ("One", 1),
            ("Apple Inc. rose.", 1),
            ("U.S. stocks fell. They rose.", 2),
            ("U . S . Stocks fell . They rose .", 2),
            ("It cost 2.5 dollars.", 1),
            ("Really?! Yes.", 2),
            ("He said “Stop.” She did.", 2),
            ("Title\nBody\n\nEnd", 3),
            ("On Jan. 5 it fell.", 1),
            ("amazon.com rose. $AAPL fell.", 2),
        ],
    )
    def test_are_told_apart(self, text: str, count: int) -> None:
        spans = sentence_spans(text)
        assert len(spans) == count
        kept = "".join(text[start:end] for start, end in spans)
        assert "".join(kept.split()) == "".join(text.split())


class TestMask:
    def masked(self, text: str, about: str | None = None) -> str:
        return mask(text, find(text, TABLE, DAY)[0], about=about)

    def test_hides_every_way_of_writing(self) -> None:
        assert self.masked("Apple Inc's sales: $AAPL up") == "company's sales: company up"
        assert self.masked("Apple Inc. (NASDAQ: AAPL) rose") == "company rose"
        assert self.masked("Apple (AAPL.O), Microsoft") == "company, company"
        assert self.masked("Rain fell") == "Rain fell"

    def test_tells_the_entity_from_others(self) -> None:
        assert self.masked("Apple sues Microsoft", "MSFT") == "another company sues company"

    def test_the_name_leaves_no_trace(self) -> None:
        sentence = "{0} cut its forecast. Shares of {0} fell after {0}'s warning, as did {1}."
        hidden = {
            self.masked(sentence.format(*names))
            for names in (("Apple", "Boeing"), ("Microsoft", "Intel"), ("Goldman Sachs", "AT&T"), ("$GE", "$C"))
        }
        assert len(hidden) == 1


@pytest.mark.usefixtures("one_thread")
def test_a_masked_text_has_one_score_whoever_it_names() -> None:
    from sentiment.score import score

    sentence = "{} cut its forecast, and {}'s shares fell."
    texts = [sentence.format(name, name) for name in ("Apple", "Boeing Co", "$MSFT", "AT&amp;T")]
    masked = link(items(*texts), TABLE, mask=True).links["text"]
    assert score(masked)["score"].n_unique() == 1
    assert score(texts)["score"].n_unique() > 1


def test_words_keep_their_places() -> None:
    text = unescape("AT&amp;T’s &#x27;M&A&#39; café")
    words, spans = split(text)
    assert words == ["at", "&", "t", "s", "m", "&", "a", "cafe"]
    assert len(text) == len("AT&amp;T’s &#x27;M&A&#39; café")
    assert text[slice(*spans[-1])] == "café"
