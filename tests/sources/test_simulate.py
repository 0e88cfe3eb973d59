"""The embedded market's mechanics: bits, clocks, book, bars, files. For its effects see test_simulate_effects."""

import json
import os
import subprocess
import sys
from datetime import date
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from gpu_kernels.errors import DataError
from sources.config import parse_source
from sources.lake import ingest
from sources.simulate import Quality, SimulationConfig, ensure, simulate, write
from sources.simulate.config import DEFAULT_ENTITIES
from sources.simulate.dirt import KINDS, plant
from sources.simulate.market import SimulatedMarket
from sources.simulate.templates import HARD, PAIR, PLAIN

ROOT = Path(__file__).resolve().parent.parent.parent
# one retailer and one tech company over a half day and a change of daylight saving time
SMALL = SimulationConfig(
    seed=3,
    sessions=6,
    start=date(2024, 11, 25),
    entities=(DEFAULT_ENTITIES[0], DEFAULT_ENTITIES[4]),
    quality=Quality(late=0.02, revised=0.02, bad=0.003),
)
# only a change of the market itself may change this; say in the commit what changed and why
PINNED = "00710ca46eb97bc1bbb2034d8630e177b46181e0e7eff03a4d68c5a0ebeec90b"


@pytest.fixture(scope="module")
def small() -> SimulatedMarket:
    return simulate(SMALL)


@pytest.fixture(scope="module")
def folder(small: SimulatedMarket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("market")
    write(small, made)
    return made


def digest(market: SimulatedMarket) -> str:
    """sha256 of the values of every table, whatever the file format would make of them."""
    found = sha256()
    for name, table in sorted(
        {**market.tables, **{f"truth_{key}": value for key, value in market.truth.items()}}.items()
    ):
        for column in table.get_columns():
            found.update(f"{name}.{column.name}:{column.dtype}:{len(column)};".encode())
            if column.dtype in (pl.String, pl.List(pl.String)):
                found.update(json.dumps(column.to_list()).encode())
            else:
                found.update(column.is_null().to_numpy().tobytes())
                found.update(column.to_physical().fill_null(0).to_numpy().tobytes())
    return found.hexdigest()


def replay(updates: pl.DataFrame):
    """Naive book of one entity and session: yields (time in ns, bids, asks) after each batch of updates of one time;
    the books are dictionaries price in cents -> size."""
    books: dict[int, dict[int, float]] = {1: {}, -1: {}}
    times = updates["event_time"].to_physical().to_list()
    rows = list(zip(updates["side"].to_list(), updates["price"].to_list(), updates["size"].to_list(), strict=True))
    for index, (side, price, size) in enumerate(rows):
        cents = round(price * 100)
        if size == 0:
            del books[side][cents]  # only what rests can be removed
        else:
            books[side][cents] = size
        if index + 1 == len(rows) or times[index + 1] != times[index]:
            yield times[index], books[1], books[-1]


def by_session(market: SimulatedMarket):
    """(ticker, session row, updates, trades) of each entity and session."""
    for ticker in market.config.tickers():
        for session in market.sessions.iter_rows(named=True):
            inside = pl.col("event_time").is_between(session["open"], session["close"])
            updates = market.book_updates.filter((pl.col("entity") == ticker) & inside)
            traded = pl.col("time").is_between(session["open"], session["close"])
            yield ticker, session, updates, market.trades.filter((pl.col("ticker") == ticker) & traded)


class TestBits:
    def test_values_are_pinned(self, small: SimulatedMarket) -> None:
        assert digest(small) == PINNED

    def test_a_process_without_compiler_gives_the_same_bits(self) -> None:
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "from test_simulate import SMALL, digest; from sources.simulate import simulate\n"
            "print(digest(simulate(SMALL.model_copy(update={'sessions': 1}))))"
        )
        environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONHASHSEED": "17", "POLARS_MAX_THREADS": "1"}
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == digest(simulate(SMALL.model_copy(update={"sessions": 1})))

    def test_another_seed_is_another_market(self, small: SimulatedMarket) -> None:
        other = simulate(SMALL.model_copy(update={"seed": 4, "sessions": 1}))
        first = small.book_updates.filter(pl.col("event_time") <= small.sessions["close"][0])
        assert not first.equals(other.book_updates)

    def test_an_entity_does_not_depend_on_the_others(self, small: SimulatedMarket) -> None:
        alone = simulate(SMALL.model_copy(update={"entities": SMALL.entities[:1]}))
        ticker = SMALL.entities[0].ticker
        together = small.truth["drivers"].filter(pl.col("ticker") == ticker)
        assert alone.truth["drivers"].select("pressure", "surprise").equals(together.select("pressure", "surprise"))


class TestClocks:
    def test_sessions_hold_the_half_day(self, small: SimulatedMarket) -> None:
        minutes = small.sessions.select((pl.col("close") - pl.col("open")).dt.total_minutes()).to_series().to_list()
        assert minutes == [390, 390, 390, 210, 390, 390]
        assert small.sessions["session"][3] == date(2024, 11, 29)

    def test_open_moves_with_daylight_saving_time(self) -> None:
        market = simulate(SMALL.model_copy(update={"start": date(2024, 11, 1), "sessions": 2}))
        assert market.sessions["open"].dt.hour().to_list() == [13, 14]
        assert market.bars["start_time"].dt.hour().unique().sort().to_list()[0] == 13

    @pytest.mark.parametrize(
        ("table", "event", "known"),
        [
            ("bars", "end_time", "received_time"),
            ("book_updates", "event_time", "known_time"),
            ("trades", "time", "received"),
            ("headlines", "published", "received"),
            ("lots", "captured", "delivered"),
            ("calendar", "announced", "scheduled"),
        ],
    )
    def test_nothing_is_known_before_it_happens(
        self, small: SimulatedMarket, table: str, event: str, known: str
    ) -> None:
        rows = small.tables[table]
        assert rows.height > 0
        assert (rows[known] > rows[event]).all()

    def test_stress_is_read_before_the_session_it_tells_about(self, small: SimulatedMarket) -> None:
        first = small.macro.filter(pl.col("metric") == "stress").unique(
            "reference_date", keep="first", maintain_order=True
        )
        joined = small.sessions.join(first, left_on="session", right_on="reference_date")
        assert joined.height == small.sessions.height
        assert (joined["released"] > joined["close"]).all()
        assert (joined["released"][:-1] < joined["open"][1:]).all()
        assert first.height == 250 + SMALL.sessions

    def test_lots_come_two_to_five_days_late_and_their_revisions_later(self, small: SimulatedMarket) -> None:
        fill = small.lots.filter(pl.col("metric") == "lot_fill").with_columns(
            lag=(pl.col("delivered") - pl.col("captured")).dt.total_hours() / 24.0,
            vintage=pl.int_range(pl.len()).over("ticker", "captured"),
        )
        assert fill.filter(pl.col("vintage") == 0)["lag"].is_between(2, 5).all()
        again = fill.filter(pl.col("vintage") == 1)
        assert again.height > 0
        assert again["lag"].is_between(9, 17).all()
        truth = small.truth["lots"]
        assert again.height <= truth.filter(pl.col("sky") == "haze").height
        assert truth.filter(pl.col("sky") == "cloud")["delivered"].null_count() == (truth["sky"] == "cloud").sum() > 0
        assert not set(truth.filter(pl.col("sky") == "cloud")["captured"]) & set(fill["captured"])

    def test_macro_is_revised(self, small: SimulatedMarket) -> None:
        vintages = small.macro.group_by("metric", "reference_date").len().group_by("metric").agg(pl.col("len").max())
        assert dict(vintages.iter_rows()) == {"stress": 2, "retail_sales": 3}

    def test_late_items_are_not_in_published_order(self, small: SimulatedMarket) -> None:
        assert small.headlines["received"].is_sorted()
        assert not small.headlines["published"].is_sorted()


class TestBook:
    def test_replay_is_never_crossed_and_never_thin(self, small: SimulatedMarket) -> None:
        for _, _, updates, _ in by_session(small):
            for _, bids, asks in replay(updates):
                assert max(bids) < min(asks)
                assert len(bids) >= 10
                assert len(asks) >= 10
                assert min(bids.values()) > 0
                assert min(asks.values()) > 0

    def test_not_crossed_within_a_batch_either(self, small: SimulatedMarket) -> None:
        _, _, updates, _ = next(by_session(small))
        one_row_each = updates.with_columns(
            (pl.col("event_time").to_physical() + pl.int_range(pl.len())).cast(pl.Datetime("ns", "UTC"))
        )
        for _, bids, asks in replay(one_row_each):
            assert not bids or not asks or max(bids) < min(asks)

    def test_sequence_counts_the_rows_of_a_session(self, small: SimulatedMarket) -> None:
        for _, session, updates, _ in by_session(small):
            assert updates["sequence"].to_list() == list(range(1, updates.height + 1))
            assert updates["event_time"].is_sorted()
            assert updates["event_time"][0] == session["open"]
            assert (updates["size"] >= 0).all()
        assert sum(updates.height for *_, updates, _ in by_session(small)) == small.book_updates.height

    def test_first_rows_fill_an_empty_book(self, small: SimulatedMarket) -> None:
        for _, _, updates, _ in by_session(small):
            _, bids, asks = next(replay(updates))
            assert len(bids) == len(asks) == 10

    def test_trades_are_at_the_best_price_with_what_rests_there(self, small: SimulatedMarket) -> None:
        for _, _, updates, trades in by_session(small):
            states = {}
            before: tuple[dict, dict] = ({}, {})
            for time, bids, asks in replay(updates):
                states[time] = before
                before = (dict(bids), dict(asks))
            for trade in trades.with_columns(at=pl.col("time").to_physical()).iter_rows(named=True):
                bids, asks = states[trade["at"]]
                best = min(asks) if trade["aggressor"] > 0 else max(bids)
                assert round(trade["price"] * 100) == best
                assert 0 < trade["size"] <= (asks if trade["aggressor"] > 0 else bids)[best]

    def test_nothing_moves_in_the_first_six_seconds_of_a_minute(self, small: SimulatedMarket) -> None:
        opens = small.sessions["open"].to_list()
        for table, clock in ((small.book_updates, "event_time"), (small.trades, "time")):
            later = table.filter(~pl.col(clock).is_in(opens))[clock]
            assert (later.dt.second() >= 6).all()


class TestBars:
    def test_bars_follow_the_mid_of_the_book(self, small: SimulatedMarket) -> None:
        first = small.bars.unique(["ticker", "end_time"], keep="first", maintain_order=True)
        for ticker, session, updates, trades in by_session(small):
            mids = [(time, (max(bids) + min(asks)) / 200) for time, bids, asks in replay(updates)]
            times, values = np.array([time for time, _ in mids]), np.array([mid for _, mid in mids])
            bars = first.filter(
                (pl.col("ticker") == ticker) & pl.col("end_time").is_between(session["open"], session["close"])
            ).sort("end_time")
            assert bars.height == (session["close"] - session["open"]).total_seconds() / 60
            ends = bars["end_time"].to_physical().to_numpy()
            starts = ends - 60 * 10**9
            np.testing.assert_allclose(bars["close"], values[np.searchsorted(times, ends, side="right") - 1], atol=1e-9)
            np.testing.assert_allclose(
                bars["open"], values[np.searchsorted(times, starts, side="right") - 1], atol=1e-9
            )
            for bar, start, end in zip(bars.iter_rows(named=True), starts, ends, strict=True):
                seen = np.append(values[(times > start) & (times <= end)], bar["open"])
                assert bar["high"] == pytest.approx(seen.max())
                assert bar["low"] == pytest.approx(seen.min())
            stamps = trades["time"].to_physical().to_numpy()
            volume = [
                int(trades["size"].to_numpy()[(stamps > a) & (stamps <= b)].sum())
                for a, b in zip(starts, ends, strict=True)
            ]
            assert bars["volume"].to_list() == volume

    def test_every_bar_is_a_bar(self, small: SimulatedMarket) -> None:
        for name in ("open", "close", "high", "low"):
            assert small.bars[name].is_between(small.bars["low"], small.bars["high"]).all()

    def test_late_and_revised_bars_are_in_the_truth(self, small: SimulatedMarket) -> None:
        delay = (pl.col("received_time") - pl.col("end_time")).dt.total_seconds(fractional=True)
        vintage = pl.int_range(pl.len()).over("ticker", "end_time")
        bars = small.bars.with_columns(delay=delay, vintage=vintage)
        told = small.truth["deliveries"]
        keys = ["ticker", "end_time", "received_time"]
        late = bars.filter((pl.col("vintage") == 0) & (pl.col("delay") > 10))
        assert late.select(keys).sort(keys).equals(told.filter(pl.col("kind") == "late").select(keys).sort(keys))
        assert late["delay"].is_between(300, 40 * 60 + 3).all()
        again = bars.filter(pl.col("vintage") == 1)
        assert again.select(keys).sort(keys).equals(told.filter(pl.col("kind") == "revised").select(keys).sort(keys))
        assert bars["vintage"].max() == 1
        rows = 2 * (5 * 390 + 210)
        assert 0.01 < late.height / rows < 0.03
        assert 0.01 < again.height / rows < 0.03


class TestHeadlines:
    def test_enough_templates_of_every_tone(self) -> None:
        for tone in (-1, 0, 1):
            texts = PLAIN[tone] + HARD[tone] + PAIR[tone]
            assert len(set(texts)) == len(texts) >= 35
        every = [text for group in (PLAIN, HARD, PAIR) for texts in group.values() for text in texts]
        assert len(set(every)) == len(every)

    def test_texts_are_filled_in(self, small: SimulatedMarket) -> None:
        assert not small.headlines["headline"].str.contains(r"[{}]").any()
        names = {entity.ticker: entity.name.lower() for entity in SMALL.entities}
        for item in small.headlines.iter_rows(named=True):
            assert all(names[ticker] in item["headline"].lower() for ticker in item["tickers"])

    def test_repeats_come_later_with_nearly_the_same_text(self) -> None:
        market = simulate(SimulationConfig(seed=1, sessions=8))
        items = market.headlines.join(market.truth["headlines"], on="id")
        repeats = items.drop_nulls("repeats").join(items, left_on="repeats", right_on="id", suffix="_first")
        assert repeats.height > 10
        assert (repeats["received"] > repeats["received_first"]).all()
        assert (repeats["tone"] == repeats["tone_first"]).all()
        assert repeats.select(pl.col("headline").str.contains(pl.col("headline_first"), literal=True)).to_series().all()
        assert items.filter(pl.col("tickers").list.len() == 2).height > 10
        assert items["late"].sum() > 5


class TestFiles:
    def test_bad_rows_are_extra_and_told(self, small: SimulatedMarket, folder: Path) -> None:
        bad = pl.read_parquet(folder / "truth" / "bad_rows.parquet")
        for name, table in (("bars.csv", small.bars), ("trades.csv", small.trades), ("lots.csv", small.lots)):
            mine = bad.filter(pl.col("file") == name)
            lines = (folder / name).read_text().splitlines()
            kept = [line for number, line in enumerate(lines, start=1) if number not in set(mine["line"])]
            assert "\n".join(kept) + "\n" == table.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%.3f")
            assert mine.height >= 0.003 * table.height - 1
            assert name == "lots.csv" or set(mine["kind"]) == set(KINDS[name])
        mine = bad.filter(pl.col("file") == "book_updates.parquet")
        updates = pl.read_parquet(folder / "book_updates.parquet")
        good = (
            updates.with_row_index("line", offset=1).filter(~pl.col("line").is_in(mine["line"].implode())).drop("line")
        )
        assert good.equals(small.book_updates)
        assert set(mine["kind"]) == set(KINDS["book_updates.parquet"])

    @pytest.mark.parametrize("name", sorted(set(KINDS) - {"book_updates.parquet"}))
    def test_a_short_file_holds_every_kind(self, name: str) -> None:
        line = (
            json.dumps({"id": "H1", "received": "x"})
            if name.endswith("jsonl")
            else "A,b,c,2024-01-02T03:04:05.006,1,2,1,2,9"
        )
        lines, bad = plant([line] * 1500, name, seed=1, share=0.0001)
        assert len(lines) == 1500 + len(bad)
        assert {kind for _, kind in bad} == set(KINDS[name])
        assert all((lines[at - 1] == line) == (kind == "duplicate") for at, kind in bad)
        assert plant([line] * 149, name, seed=1, share=0.0001) == ([line] * 149, [])

    def test_truth_file_tells_effects_and_counts(self, small: SimulatedMarket, folder: Path) -> None:
        truth = json.loads((folder / "truth.json").read_text())
        assert truth["config"]["seed"] == 3
        assert truth["rows"]["bars"] == small.bars.height
        assert {row["effect"] for row in truth["effects"]} == set(small.truth["effects"]["effect"])
        assert {path.stem for path in (folder / "truth").iterdir()} == {*small.truth, "bad_rows"}
        assert SimulationConfig.model_validate(truth["config"]) == SMALL

    def test_twice_the_same_bytes(self, small: SimulatedMarket, folder: Path, tmp_path: Path) -> None:
        write(simulate(SMALL), tmp_path)
        for path in sorted(folder.rglob("*.*")):
            assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path.name

    def test_readers_set_aside_exactly_the_bad_rows(self, folder: Path, tmp_path: Path) -> None:
        bad = pl.read_parquet(folder / "truth" / "bad_rows.parquet")
        columns = {"entity": "ticker", "event_time": "end_time", "known_time": "received_time"}
        common = {"kind": "table_file", "timezone": "UTC", "max_age": "10min"}
        sources = {
            "bars.csv": {**common, "table": "bar", "columns": columns, "max_jump": 0.2},
            "book_updates.parquet": {**common, "table": "book_update"},
        }
        for name, entry in sources.items():
            source = parse_source("feed", {**entry, "files": str(folder / name)})
            result = ingest("feed", source, calendar="XNYS", lake=tmp_path)
            told = bad.filter(pl.col("file") == name)["line"].to_list()
            assert sorted(pl.read_parquet(result.quarantine)["line"]) == sorted(told)

    def test_a_clean_feed_has_no_dirt(self, tmp_path: Path) -> None:
        clean = Quality(late=0, revised=0, bad=0)
        market = simulate(SMALL.model_copy(update={"sessions": 2, "quality": clean}))
        write(market, tmp_path)
        assert market.truth["deliveries"].is_empty()
        assert pl.read_parquet(tmp_path / "truth" / "bad_rows.parquet").is_empty()
        assert market.bars.height == 2 * 2 * 390


class TestEnsure:
    def test_generated_once_and_keyed_by_config(self, tmp_path: Path) -> None:
        one = SMALL.model_copy(update={"sessions": 1})
        made = ensure(one, tmp_path)
        stamp = (made / "truth.json").stat().st_mtime_ns
        assert ensure(one, tmp_path) == made
        assert (made / "truth.json").stat().st_mtime_ns == stamp
        assert ensure(one.model_copy(update={"effects": False}), tmp_path) != made
        assert sorted(path.name[:7] for path in tmp_path.iterdir()) == ["market-", "market-"]

    def test_a_failure_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object) -> None:
            raise OSError("disk full")

        monkeypatch.setattr("sources.simulate.files.plant_updates", broken)
        with pytest.raises(DataError, match="disk full"):
            ensure(SMALL.model_copy(update={"sessions": 1}), tmp_path)
        assert not list(tmp_path.iterdir())

    def test_a_cache_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("")
        with pytest.raises(DataError, match="cannot be written"):
            ensure(SMALL, tmp_path / "cache")


class TestConfig:
    def test_one_entity_three_sessions(self) -> None:
        market = simulate(SimulationConfig(sessions=3, entities=DEFAULT_ENTITIES[5:6]))
        assert market.bars.unique(["ticker", "end_time"]).height == 3 * 390
        assert market.lots.is_empty()
        assert market.truth["lots"].is_empty()

    def test_days_and_tickers(self) -> None:
        config = SimulationConfig()
        days = config.days()
        assert len(days) == 80
        assert (days[0], days[-1]) == (date(2024, 9, 3), date(2024, 12, 24))
        assert len(set(config.tickers())) == 8

    @pytest.mark.parametrize(
        "wrong",
        [
            {"sessions": 0},
            {"seed": -1},
            {"start": "1999-01-04"},
            {"entities": []},
            {"entities": [DEFAULT_ENTITIES[0].model_dump(), DEFAULT_ENTITIES[0].model_dump()]},
            {"quality": {"bad": 0.5}},
            {"colour": "blue"},
        ],
    )
    def test_wrong_values_are_refused(self, wrong: dict) -> None:
        with pytest.raises(ValidationError):
            SimulationConfig.model_validate(wrong)

    def test_reading_a_config_does_not_load_the_compiler(self) -> None:
        code = "import sys, sources.simulate; print('numba' in sys.modules)"
        run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == "False"
