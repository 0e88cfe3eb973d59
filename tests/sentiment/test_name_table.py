"""Reading tables of names: formats, rows set aside, refusals."""

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from gpu_kernels.errors import ArgumentError, DataError
from sentiment.linking import NameTable, find

DAY = date(2019, 6, 3)
CSV = """\
entity,name,kind,valid_from,valid_to,ambiguous,needs,never
FB,Facebook,name,,2022-06-08,,,
FB,FB,ticker,2012-05-18,2022-06-08,,,
GPS,Gap,name,,,capital,old navy|stores,pay gap|the gap between
"""


def table(*rows: tuple[str | None, ...], columns: str = "entity name kind valid_from valid_to") -> NameTable:
    return NameTable.of(pl.DataFrame(list(rows), schema=dict.fromkeys(columns.split(), pl.String), orient="row"))


def test_three_formats_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text(CSV)
    first = NameTable.read(tmp_path / "names.csv")
    first.rows.write_parquet(tmp_path / "names.parquet")
    (tmp_path / "names.yaml").write_text(
        "- {entity: FB, name: Facebook, kind: name, valid_to: 2022-06-08}\n"
        "- {entity: FB, name: FB, kind: ticker, valid_from: 2012-05-18, valid_to: 2022-06-08}\n"
        "- {entity: GPS, name: Gap, kind: name, ambiguous: capital,\n"
        "   needs: [old navy, stores], never: [pay gap, the gap between]}\n"
    )
    assert first.rows.height == 3
    for name in ("names.parquet", "names.yaml"):
        assert NameTable.read(tmp_path / name).rows.equals(first.rows)
    assert [m.entity for m in find("Old Navy owner Gap and Facebook", first, DAY)[0]] == ["GPS", "FB"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("", "A", "name", None, None), "no_entity"),
        ((None, "A", "name", None, None), "no_entity"),
        (("A", "", "name", None, None), "no_name"),
        (("A", " . ", "name", None, None), "no_name"),
        (("A", "x" * 101, "name", None, None), "long_name"),
        (("A", "A", "brand", None, None), "unknown_kind"),
        (("A", "A", "name", "2020-13-01", None), "bad_date"),
        (("A", "A", "name", "yesterday", None), "bad_date"),
        (("A", "A", "name", "2020-01-02", "2020-01-01"), "reversed_dates"),
        (("B", "Bee", "name", None, None), "duplicate"),
        (("B", "BEE ", "name", " ", None), "duplicate"),
    ],
)
def test_a_wrong_row_is_set_aside_with_its_line(row: tuple[str | None, ...], reason: str) -> None:
    found = table(("B", "Bee", "name", None, None), row, ("C", "Cee", "name", "2020-01-01", "2020-01-01"))
    assert found.set_aside.select("line", "reason").rows() == [(2, reason)]
    assert found.rows["entity"].to_list() == ["B", "C"]


def test_an_unknown_level_is_set_aside_and_needs_alone_mean_always() -> None:
    columns = "entity name kind ambiguous needs"
    found = table(("A", "Ay", "name", "often", ""), ("B", "Bee", "name", "", "honey| hive |"), columns=columns)
    assert found.set_aside["reason"].to_list() == ["unknown_ambiguous"]
    assert found.rows.select("ambiguous", "needs").rows() == [("always", ["honey", "hive"])]
    assert find("we saw a Bee", found, DAY)[0] == []
    assert len(find("the Bee has honey", found, DAY)[0]) == 1


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([("A", "X", "ticker", None, None), ("B", "X", "cashtag", None, None)], "X belongs to A and to B"),
        ([("A", "BRK.B", "ticker", None, None), ("B", "brk-b", "ticker", None, None)], "BRK.B belongs to A and to B"),
        ([("A", "X", "ticker", None, "2020-01-02"), ("B", "X", "ticker", "2020-01-02", None)], "X belongs"),
        (
            [
                ("A", "X", "ticker", "2000-01-01", None),
                ("A", "X", "ticker", "2001-01-01", "2001-02-01"),
                ("B", "X", "ticker", "2010-01-01", None),
            ],
            "X belongs",
        ),
    ],
)
def test_a_ticker_of_two_on_one_day_is_refused(rows: list[tuple[str | None, ...]], told: str) -> None:
    with pytest.raises(DataError, match=told) as error:
        table(*rows)
    assert "\n" not in str(error.value)


def test_a_ticker_may_pass_on_and_a_name_may_be_shared() -> None:
    found = table(
        ("A", "X", "ticker", None, "2020-01-01"),
        ("B", "X", "ticker", "2020-01-02", None),
        ("A", "Unilever", "name", None, None),
        ("B", "Unilever", "name", None, None),
    )
    assert [m.entity for m in find("$X", found, date(2020, 1, 1))[0]] == ["A"]
    assert [m.entity for m in find("$X", found, date(2020, 1, 2))[0]] == ["B"]
    assert [m.entity for m in find("Unilever", found, DAY)[0]] == ["A", "B"]


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pl.DataFrame({"entity": ["A"], "name": ["A"]}), "without kind"),
        (pl.DataFrame({"entity": ["A"], "name": ["A"], "kind": ["name"], "isin": [""]}), "column 'isin'"),
        (pl.DataFrame({"entity": [1], "name": ["A"], "kind": ["name"]}), "entity is Int64"),
        (
            pl.DataFrame({"entity": ["A"], "name": ["A"], "kind": ["name"], "valid_from": [20200101]}),
            "valid_from is Int64",
        ),
        (pl.DataFrame({"entity": ["A"], "name": ["A"], "kind": ["name"], "needs": [1]}), "needs is Int64"),
        (pl.DataFrame({"entity": [], "name": [], "kind": []}), "none of 0 rows"),
        (
            pl.DataFrame({"entity": [""], "name": ["A"], "kind": ["name"]}),
            "none of 1 rows can be used .first: no_entity",
        ),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_line(frame: pl.DataFrame, told: str) -> None:
    with pytest.raises(DataError, match=told) as error:
        NameTable.of(frame)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("no.csv", None, "cannot be read"),
        ("names.txt", "A", "allowed: .csv, .parquet, .yaml"),
        ("names.parquet", "A", "cannot be read"),
        ("names.yaml", "a: [", "is no YAML"),
        ("names.yaml", "a: 1", "a list of rows"),
        ("names.csv", "", "cannot be read"),
        ("names.csv", "entity,name,kind\nA,B\n", "none of 1 rows"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=told):
        NameTable.read(tmp_path / name)


def test_dates_may_be_timestamps() -> None:
    frame = pl.DataFrame({"entity": ["A"], "name": ["Ay"], "kind": ["name"], "valid_from": [datetime(2020, 1, 2, 9)]})
    found = NameTable.of(frame)
    assert [len(find("Ay", found, date(2020, 1, day))[0]) for day in (1, 2)] == [0, 1]


def test_renamed_and_only() -> None:
    packaged = NameTable.packaged()
    one = packaged.renamed({"FB": "META"})
    assert [m.entity for m in find("$FB and Facebook", one, DAY)[0]] == ["META", "META"]
    passed_on = table(("A", "X", "ticker", None, None), ("B", "Y", "ticker", None, None))
    assert passed_on.renamed({"A": "B"}).rows["entity"].to_list() == ["B", "B"]
    in_turn = table(("A", "X", "ticker", None, "2020-01-01"), ("B", "X", "ticker", "2020-01-02", None))
    assert in_turn.renamed({"A": "B"}).rows.height == 2
    assert set(packaged.only(["AAPL", "T"]).rows["entity"]) == {"AAPL", "T"}
    with pytest.raises(ArgumentError, match="no XYZW"):
        packaged.only(["AAPL", "XYZW"])


def test_the_packaged_table_is_clean() -> None:
    packaged = NameTable.packaged()
    assert packaged.set_aside.height == 0
    assert packaged.rows["entity"].n_unique() > 190
    for column in ("needs", "never"):
        assert packaged.rows.filter(pl.col(column).list.len() > 0).height > 20
    # a name that needs context is of a level that asks for it
    assert packaged.rows.filter((pl.col("needs").list.len() > 0) & (pl.col("ambiguous") == "")).height == 0


def test_a_table_of_ten_thousand_names_is_quick_to_make() -> None:
    frame = pl.DataFrame({"entity": [f"E{i}" for i in range(10_000)]}).with_columns(
        name=pl.lit("Company of ") + pl.col("entity"), kind=pl.lit("name")
    )
    found = NameTable.of(frame)
    assert found.rows.height == 10_000
    assert [m.entity for m in find("the company of e9999 and Company of E12", found, DAY)[0]] == ["E9999", "E12"]
