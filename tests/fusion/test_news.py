"""News from the lake to items: linked, cut, masked, scored; the same for whoever reads them."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fusion import features, news
from fusion.config import RunConfig, parse
from fusion.grid import decision_grid
from fusion.news import NewsItems, prepare
from fusion.pipeline import ingest, load
from fusion.plan import make_plan
from gpu_kernels.errors import ConfigError, DataError
from sentiment.linking.masking import COMPANY, OTHER
from sources.schema import UNNAMED

TABLE = """entity,name,kind,valid_from,valid_to
A,Alpha Works,name,,
A,A,cashtag,,
B,Beta Motors,name,,
B,Gamma Motors,name,,2015-01-05
C,Cetus,name,,
"""
BARS = (
    "event_time,entity,open,high,low,close,volume\n2015-01-05T15:00:00Z,A,1,1,1,1,1\n2015-01-05T15:00:00Z,B,1,1,1,1,1\n"
)


class Scorer:
    """Counts good and bad words, and keeps what it was given to read."""

    identifier, sha256 = "words", "ab" * 32

    def __init__(self) -> None:
        self.read: list[str] = []
        self.from_cache = 0

    def score(self, texts: Sequence[str], progress: Any = None) -> pl.DataFrame:
        self.read += texts
        good = pl.Series([text.count("beats") - text.count("misses") for text in texts], dtype=pl.Float64)
        score = good.clip(-1, 1)
        return pl.DataFrame(
            {
                "negative": (-score).clip(0, 1),
                "neutral": 1 - score.abs(),
                "positive": score.clip(0, 1),
                "score": score,
                "truncated": [False] * len(texts),
            }
        )


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> Scorer:
    found = Scorer()
    monkeypatch.setattr(news._Reading, "scorer", found)
    return found


def config(folder: Path, items: list[dict[str, Any]], source: dict[str, Any] | None = None, **more: Any) -> RunConfig:
    (folder / "names.csv").write_text(TABLE)
    (folder / "bars.csv").write_text(BARS)
    (folder / "n.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    entry = {"kind": "news_file", "files": str(folder / "n.jsonl"), "timezone": "UTC", "max_age": "2d", "delay": "0s"}
    bars = {
        **{"kind": "table_file", "table": "bar", "files": str(folder / "bars.csv"), "timezone": "UTC"},
        **{"max_age": "1d", "delay": "0s", "extended_hours": True},
    }
    tree = {
        **{"name": "n", "entities": ["A", "B"], "start": "2015-01-05", "end": "2015-01-07"},
        "sources": {"bars": bars, "wire": entry | (source or {})},
        **{"decisions": {"step": "30min"}, "targets": {"horizons": ["30min"], "primary": "30min"}},
        "features": {"wire": ["news_minutes_since"]},
    }
    return parse(tree | more)


def items_of(settings: RunConfig, folder: Path) -> NewsItems:
    plan = make_plan(settings, folder / "lake")
    return prepare(plan, ingest(settings, lake=folder / "lake", plan=plan), lake=folder / "lake")["wire"]


def linked(folder: Path, *texts: str, **sentiment: Any) -> RunConfig:
    items = [{"published": f"2015-01-06T15:{n:02d}:00Z", "text": text} for n, text in enumerate(texts)]
    return config(folder, items, {"link": True}, sentiment={"names": str(folder / "names.csv"), **sentiment})


class TestLinks:
    def test_a_text_without_a_ticker(self, tmp_path: Path, scorer: Scorer) -> None:
        settings = linked(
            tmp_path, "Alpha Works beats estimates", "Rain is expected", "Alpha Works sues Beta Motors", "Cetus misses"
        )
        found = items_of(settings, tmp_path)
        rows = found.read()
        assert sorted(rows.select("entity", "text").rows()) == [
            (UNNAMED, "Cetus misses"),  # of the table, but none of the run's entities
            (UNNAMED, "Rain is expected"),
            ("A", "Alpha Works beats estimates"),
            ("A", "Alpha Works sues Beta Motors"),
            ("B", "Alpha Works sues Beta Motors"),
        ]
        assert rows.filter(pl.col("entity") == UNNAMED)["relevance"].to_list() == [1.0, 1.0]
        both = rows.filter(pl.col("text").str.contains("sues")).sort("entity")
        assert both["relevance"][0] > both["relevance"][1]
        assert both["item"].n_unique() == 1
        assert (found.counts["linked"], found.counts["unlinked"], found.counts["links"]) == (2, 2, 3)

    def test_by_the_names_of_the_day(self, tmp_path: Path, scorer: Scorer) -> None:
        settings = linked(tmp_path, "Gamma Motors misses estimates")
        assert items_of(settings, tmp_path).read()["entity"].to_list() == [UNNAMED]
        assert items_of(linked(tmp_path, "Beta Motors misses"), tmp_path).read()["entity"].to_list() == ["B"]

    def test_what_the_file_says_goes_first(self, tmp_path: Path, scorer: Scorer) -> None:
        item = {"published": "2015-01-06T15:00:00Z", "entity": ["A", "Z"], "text": "Alpha Works buys Beta Motors"}
        names = {"names": str(tmp_path / "names.csv")}
        rows = items_of(config(tmp_path, [item], {"link": True}, sentiment=names), tmp_path).read().sort("entity")
        # filed under A, and under Z, which the run does not know: B is told by the text, once
        assert rows["entity"].to_list() == ["A", "B"]
        assert rows["relevance"][0] == 1.0
        assert 0 < rows["relevance"][1] < 1

    def test_news_by_ticker_needs_no_names(self, tmp_path: Path, scorer: Scorer) -> None:
        items = [
            {"published": "2015-01-06T15:00:00Z", "entity": ["A", "B"], "text": "Beta Motors beats"},
            {"published": "2015-01-06T15:00:00Z", "entity": "Z", "text": "Zeta"},
        ]
        rows = items_of(config(tmp_path, items), tmp_path).read()
        assert rows.select("entity", "relevance", "score").rows() == [("A", 1.0, 1.0), ("B", 1.0, 1.0)]


class TestWhatIsRead:
    TEXT = "Alpha Works beats estimates. Beta Motors misses them badly."

    def test_passages(self, tmp_path: Path, scorer: Scorer) -> None:
        rows = items_of(linked(tmp_path, self.TEXT, passages=True), tmp_path).read()
        assert rows.select("entity", "score").rows() == [("A", 1.0), ("B", -1.0)]
        assert set(rows["text"]) == {self.TEXT}  # novelty and the reader see the text as it was
        assert sorted(scorer.read) == ["Alpha Works beats estimates.", "Beta Motors misses them badly."]

    def test_without_passages_each_gets_the_whole(self, tmp_path: Path, scorer: Scorer) -> None:
        rows = items_of(linked(tmp_path, self.TEXT), tmp_path).read()
        assert rows["score"].to_list() == [0.0, 0.0]

    def test_masks(self, tmp_path: Path, scorer: Scorer) -> None:
        items_of(linked(tmp_path, self.TEXT, "Cetus is for sale", mask=True), tmp_path)
        read = " | ".join(scorer.read)
        assert not any(name in read for name in ("Alpha", "Beta", "Cetus"))
        assert f"{COMPANY} beats estimates. {OTHER} misses them badly." in scorer.read
        assert f"{COMPANY} is for sale" in scorer.read

    def test_of_news_by_ticker_too(self, tmp_path: Path, scorer: Scorer) -> None:
        items = [{"published": "2015-01-06T15:00:00Z", "entity": entity, "text": self.TEXT} for entity in ("A", "B")]
        items.append({"published": "2015-01-06T15:01:00Z", "entity": "A", "text": "$Z up, says Cetus"})
        told = {"names": str(tmp_path / "names.csv"), "passages": True, "mask": True}
        items_of(config(tmp_path, items, sentiment=told), tmp_path)
        # A is not named in the last text, so that it is read whole
        assert sorted(scorer.read) == [
            f"$Z up, says {OTHER}",
            f"{COMPANY} beats estimates.",
            f"{COMPANY} misses them badly.",
        ]


class TestClocks:
    def test_stale_on_arrival(self, tmp_path: Path, scorer: Scorer) -> None:
        item = {"entity": "A", "published": "2015-01-03T15:00:00Z", "text": "x"}
        items = [
            {**item, "received": "2015-01-05T15:00:00Z"},
            {**item, "received": "2015-01-05T15:00:01Z", "text": "y"},
        ]
        found = items_of(config(tmp_path, items), tmp_path)
        assert found.read()["text"].to_list() == ["x"]
        assert (found.counts["rows"], found.counts["stale"]) == (2, 1)

    def test_only_what_can_matter_is_scored(self, tmp_path: Path, scorer: Scorer) -> None:
        times = ["2014-10-01T15:00:00Z", "2015-01-02T15:00:00Z", "2015-01-07T20:59:00Z", "2015-01-07T21:00:01Z"]
        items = [{"entity": "A", "published": time, "text": time} for time in times]
        assert items_of(config(tmp_path, items), tmp_path).read()["text"].to_list() == times[1:3]

    def test_both_versions_of_a_revised_item(self, tmp_path: Path, scorer: Scorer) -> None:
        item = {"entity": "A", "item": "1", "published": "2015-01-05T15:00:00Z", "text": "A beats"}
        items = [item, {**item, "received": "2015-01-05T16:00:00Z", "text": "Correction: A misses"}]
        assert items_of(config(tmp_path, items), tmp_path).read().select("item", "score").rows() == [
            ("1", 1.0),
            ("1", -1.0),
        ]


class Embedder:
    """Two directions: of texts with `beats`, and of others."""

    def embed(self, texts: Sequence[str], progress: Any = None) -> Any:
        vectors = np.zeros((len(texts), 384), np.int16)
        for row, text in enumerate(texts):
            vectors[row, "beats" in text] = 32767
        return vectors


class TestNovelty:
    def test_by_embeddings_of_the_entity_alone_and_of_earlier_items_alone(
        self, tmp_path: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(news._Reading, "embedder", Embedder())
        texts = ["Alpha Works beats", "Beta Motors beats", "Alpha Works is on strike", "Alpha Works again beats all"]

        def of_novelty(folder: Path, *given: str) -> RunConfig:
            return linked(folder, *given).model_copy(update={"features": {"wire": ["news_novelty"]}})

        whole = items_of(of_novelty(tmp_path, *texts), tmp_path).read()
        assert whole.select("entity", "novelty").rows() == [("A", 1.0), ("A", 1.0), ("A", 0.0), ("B", 1.0)]
        (tmp_path / "cut").mkdir()
        part = items_of(of_novelty(tmp_path / "cut", *texts[:3]), tmp_path / "cut").read()
        assert part.equals(whole.filter(pl.col("text") != texts[3]))

    @pytest.mark.parametrize(
        ("wanted", "sentiment"), [(["news_tone_1h"], {"novelty": "words"}), (["attention", "news_last_tone"], {})]
    )
    def test_no_text_is_embedded_for_words_or_for_nobody(
        self,
        tmp_path: Path,
        scorer: Scorer,
        monkeypatch: pytest.MonkeyPatch,
        wanted: list[str],
        sentiment: dict[str, Any],
    ) -> None:
        settings = linked(tmp_path, "Alpha Works beats", **sentiment).model_copy(update={"features": {"wire": wanted}})
        monkeypatch.setattr(news, "Embedder", lambda **_: 1 / 0)
        assert items_of(settings, tmp_path).read()["novelty"].to_list() == [None]

    def test_items_without_it_are_not_taken_for_items_with_it(
        self, tmp_path: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(news._Reading, "embedder", Embedder())
        settings = linked(tmp_path, "Alpha Works beats")
        assert items_of(settings, tmp_path).read()["novelty"].to_list() == [None]
        settings = settings.model_copy(update={"features": {"wire": ["news_tone_1h"]}})
        assert items_of(settings, tmp_path).read()["novelty"].to_list() == [1.0]


class TestSideBySide:
    """Two sources of news: one by ticker, one of a market that serves all."""

    def test_columns_bear_the_names_of_their_sources(self, tmp_path: Path, scorer: Scorer) -> None:
        statements = [
            {"date": "2015-01-02", "text": "beats"},  # a Friday: known at 19:00 UTC
            {"date": "2015-01-06", "text": "misses"},
        ]
        (tmp_path / "s.jsonl").write_text("".join(json.dumps(item) + "\n" for item in statements))
        settings = config(tmp_path, [{"entity": "A", "published": "2015-01-05T15:00:00Z", "text": "A beats"}])
        fomc = {
            **{"kind": "news_file", "files": str(tmp_path / "s.jsonl"), "columns": {"published": "date"}},
            **{"timezone": "America/New_York", "date_only": "14:00", "delay": "0s", "entity": "US", "max_age": "30d"},
        }
        tree = settings.model_dump(mode="json", exclude_none=True)
        tree["sources"]["fomc"] = fomc
        tree["features"] = {"wire": ["news_count_1d"], "fomc": ["statement", "news_tone_1d"]}
        settings = parse(tree)
        plan = make_plan(settings, tmp_path / "lake")
        tables = load(plan, ingest(settings, lake=tmp_path / "lake", plan=plan), lake=tmp_path / "lake")
        grid = decision_grid(list(plan.entities), plan.sessions, settings.decisions)
        found = features.build(settings, tables, grid).frame
        assert found.columns[3:] == [
            "wire_news_count_1d",
            "fomc_news_statement_tone",
            "fomc_news_statement_change",
            "fomc_news_statement_days",
            "fomc_news_tone_1d",
        ]
        a, b = (found.filter(pl.col("entity") == entity) for entity in "AB")
        assert a.drop("entity", "wire_news_count_1d").equals(b.drop("entity", "wire_news_count_1d"), null_equal=True)
        assert a["wire_news_count_1d"].max() == 1
        assert b["wire_news_count_1d"].max() == 0
        released = pl.datetime(2015, 1, 6, 19, time_unit="ns", time_zone="UTC")
        before = a.filter(pl.col("decision_time") < released)
        after = a.filter(pl.col("decision_time") >= released)
        assert set(before["fomc_news_statement_tone"]) == {1.0}
        assert before["fomc_news_statement_change"].is_nan().all()
        assert set(after["fomc_news_statement_tone"]) == {-1.0}
        assert set(after["fomc_news_statement_change"]) == {-2.0}

    def test_one_entity_reads_what_all_do(self, tmp_path: Path, scorer: Scorer) -> None:
        items = [{"published": "2015-01-05T15:00:00Z", "text": "rates beats"}]
        settings = config(tmp_path, items, {"entity": "US"})
        plan = make_plan(settings, tmp_path / "lake")
        ingested = ingest(settings, lake=tmp_path / "lake", plan=plan)
        assert load(plan, ingested, lake=tmp_path / "lake", entity="A")["wire"]["entity"].to_list() == ["US"]


class TestFiles:
    def test_made_once_and_for_all_readers(self, tmp_path: Path, scorer: Scorer) -> None:
        settings = linked(tmp_path, "Alpha Works beats", "Rain")
        first = items_of(settings, tmp_path)
        read = len(scorer.read)
        again = items_of(settings, tmp_path)
        assert (again, len(scorer.read)) == (first, read)
        plan = make_plan(settings, tmp_path / "lake")
        ingested = ingest(settings, lake=tmp_path / "lake", plan=plan)
        whole = load(plan, ingested, lake=tmp_path / "lake")["wire"]
        own = load(plan, ingested, lake=tmp_path / "lake", entity="A")["wire"]
        assert own.equals(whole.filter(pl.col("entity") == "A"))
        assert len(scorer.read) == read

    def test_other_names_make_other_items(self, tmp_path: Path, scorer: Scorer) -> None:
        settings = linked(tmp_path, "Cetus beats")
        first = items_of(settings, tmp_path)
        (tmp_path / "names.csv").write_text(TABLE.replace("C,Cetus", "A,Cetus"))
        second = items_of(settings, tmp_path)
        assert first.key != second.key
        assert second.read()["entity"].to_list() == ["A"]

    def test_pieces_change_nothing(self, tmp_path: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
        texts = [f"{'Alpha Works' if n % 3 else 'Beta Motors'} beats {n}" for n in range(20)]
        whole = items_of(linked(tmp_path, *texts), tmp_path).read()
        monkeypatch.setattr(news, "_PIECE", 1)
        monkeypatch.setattr("sources.runs.ROW_GROUP", 3)
        small = tmp_path / "small"
        small.mkdir()
        assert items_of(linked(small, *texts), small).read().equals(whole)

    def test_killed_in_between(self, tmp_path: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = linked(tmp_path, "Alpha Works beats", "Rain")
        with monkeypatch.context() as patched:
            patched.setattr(news, "once", lambda rows: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                items_of(settings, tmp_path)
        assert items_of(settings, tmp_path).read().height == 2


class TestConfig:
    ITEM: list[dict[str, Any]] = [{"published": "2015-01-06T15:00:00Z", "text": "x"}]  # noqa: RUF012

    @pytest.mark.parametrize(
        ("source", "sentiment", "words"),
        [
            ({"link": True}, {}, "sources.wire.link needs sentiment.names"),
            ({}, {"names": "packaged"}, "sentiment.names is used by nothing"),
            ({}, {"mask": True}, "`mask` needs `names`"),
            ({}, {"passages": True}, "`passages` needs `names`"),
            ({"link": True, "entity": "US"}, {"names": "packaged"}, "give one of them"),
            ({"names": "my.csv"}, {}, "write link: true here and sentiment: {names: my.csv} at the top"),
            ({"link": "my.csv"}, {}, "write link: true here and sentiment: {names: my.csv} at the top"),
            ({"only": {"kind": {"a": 1}}}, {}, "sources.wire.only.kind.0: Input should be a valid string"),
            ({}, {"model": "embedded", "labels": {"LABEL_0": "good"}}, "sentiment.labels.LABEL_0"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, source: dict[str, Any], sentiment: dict[str, Any], words: str) -> None:
        with pytest.raises(ConfigError) as error:
            config(tmp_path, self.ITEM, source, sentiment=sentiment)
        assert words in str(error.value)

    def test_one_wanted_value_is_a_list_of_one(self, tmp_path: Path) -> None:
        settings = config(tmp_path, self.ITEM, {"only": {"kind": "statement", "final": True, "page": [1, 2]}})
        assert settings.sources["wire"].only == {"kind": ["statement"], "final": ["true"], "page": ["1", "2"]}  # type: ignore[union-attr]

    def test_no_table_of_names(self, tmp_path: Path, scorer: Scorer) -> None:
        settings = config(tmp_path, self.ITEM, {"link": True}, sentiment={"names": str(tmp_path / "absent.csv")})
        with pytest.raises(DataError, match=r"sentiment.names: no file .*absent.csv"):
            items_of(settings, tmp_path)


def test_the_manifest_tells_what_was_read(tmp_path: Path, scorer: Scorer) -> None:
    settings = linked(tmp_path, "Alpha Works beats", "Rain", mask=True, trained_through="2019-06-30")
    told = news.describe(settings, {"wire": items_of(settings, tmp_path)}, None)
    assert told is not None
    assert told["card"]["trained_through"] == "2019-06-30"
    assert told["sha256"] == Scorer.sha256
    assert told["masking"] == "names of the table are taken out of what the model reads"
    counts = told["texts"]["wire"]
    assert counts == {
        **{"rows": 2, "stale": 0, "linked": 1, "unlinked": 1, "links": 1},
        **{"texts": 2, "missing": 0, "truncated": 0, "from_cache": 0},
    }
    assert settings.start == date(2015, 1, 5)
