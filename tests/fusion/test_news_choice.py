"""Which features of news a config asks for, and what `trifuse schema` tells of them."""

from pathlib import Path

import pytest
from small_market import CONFIGS

from fusion.config import RunConfig, load, parse
from fusion.features.choice import chosen, shared_entity
from fusion.features.lookup import specs_of
from gpu_kernels.errors import ConfigError
from sentiment.features import GROUPS, names_of


def config_of(*features: str, entity: str | None = None) -> RunConfig:
    wanted = "all" if features == ("all",) else "[" + ", ".join(features) + "]"
    more = [] if entity is None else [f"sources.headlines.entity={entity}"]
    return load(Path(CONFIGS / "demo.yaml"), [f"features.headlines={wanted}", *more])


def test_groups_and_names_may_be_mixed() -> None:
    found = chosen(config_of("novelty", "news_tone_90min", "news_novelty"), "headlines")
    assert found == [*names_of("novelty"), "news_tone_90min"]


def test_all_leaves_out_what_the_source_is_not_enough_for() -> None:
    own = chosen(config_of("all"), "headlines")
    assert own == [name for group in GROUPS.names if group != "statement" for name in names_of(group)]
    # one entity that serves all is a market of its own
    shared = chosen(config_of("all", entity="US"), "headlines")
    assert {"news_statement_change", "news_tone_1h"} <= set(shared)
    assert not any(name.startswith("news_market_") for name in shared)


def test_an_entity_of_the_run_serves_itself_alone() -> None:
    config = config_of("all", entity="US")
    assert shared_entity(config, "headlines") == "US"
    assert config.simulate is not None
    assert shared_entity(config_of("all", entity=config.simulate.tickers()[0]), "headlines") is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("statement", "names 'statement', all of which needs the entity"),
        ("news_statement_tone", "names 'news_statement_tone', which needs the entity"),
        ("news_tones_1h", "did you mean news_tone_1h"),
        ("news_surprise_10d_6h", "the shorter one"),
    ],
)
def test_what_cannot_be_made_is_told(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        chosen(config_of(name), "headlines")


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("attention", "news_count_<time>"),
        ("statement", "news_statement_tone"),
        ("market", "bar_market_beta_<time>"),
        ("market", "news_market_tone_1h"),
        ("news_market_surprise_6h_10d", "news_market_surprise_6h_10d"),
        ("surprise", "news_surprise_<time>_<time>"),
    ],
)
def test_schema_tells_groups_and_any_time(asked: str, first: str) -> None:
    found = specs_of(asked)
    assert first in [spec.name for spec in found]
    assert all(spec.meaning and spec.missing for spec in found)


def test_a_cutoff_is_a_day_at_most() -> None:
    demo = Path(CONFIGS / "demo.yaml")
    assert load(demo, ["sentiment.cutoff=1d"]).sentiment.cutoff == 86_400 * 10**9
    with pytest.raises(ConfigError, match=r"sentiment: `cutoff` is 30 days; at most 1d"):
        load(demo, ["sentiment.cutoff=30d"])


def test_what_is_wrong_between_sections_is_told_once() -> None:
    with pytest.raises(ConfigError, match=r"demo.yaml: sources.headlines.link needs"):
        load(Path(CONFIGS / "demo.yaml"), ["sources.headlines.link=true"])


@pytest.mark.parametrize("name", ["a/b", "..", "", "x" * 300])
def test_a_source_is_named_as_a_folder_may_be(name: str) -> None:
    tree = load(Path(CONFIGS / "demo.yaml")).model_dump(mode="json", exclude_none=True)
    tree["sources"][name] = tree["sources"]["headlines"]
    with pytest.raises(ConfigError, match="is no name of a folder"):
        parse(tree)
