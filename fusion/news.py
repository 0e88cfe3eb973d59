"""News on its way to features: linked to the entities that it is about, cut, masked and scored; kept as files.

    lake/news_items/<source>-<key>/entity=AAPL.parquet   one row per (entity, item, version), in order of known_time
                                   items.json            the model, its hash, and what was counted

A run, the features of entities in parallel processes, a refresh and the leak test read the same files, so that the
model is loaded once and a text is scored once. Memory is bounded by a piece of the rows and by one entity's items. The
folder appears when it is whole; after a kill the linking begins again, and what was scored comes from the cache.

An item that came more than `max_age` after what it is about is stale on arrival and left out. Items of a linked source
that are about none of the run's entities are of sources.schema.UNNAMED: they count for the market.
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import polars as pl

from fusion import manifest as record
from fusion.config import RunConfig
from fusion.features.choice import chosen
from fusion.news_links import about, once
from fusion.plan import Plan, Progress, silent
from gpu_kernels.errors import DataError
from sentiment.embedded import TONES
from sentiment.embedding import Embedder
from sentiment.features import history, reads_novelty
from sentiment.linking import NameTable
from sentiment.repeats import compare
from sources import lake as tables_lake
from sources.files import expand
from sources.hold import holding
from sources.lake import IngestResult
from sources.runs import Partitions
from sources.schema import TABLES, UNNAMED

if TYPE_CHECKING:
    from sentiment.score import Scorer

FOLDER, CACHE, RECORD = "news_items", "sentiment.sqlite", "items.json"
_TONES = (*TONES, "score")
SCHEMA: dict[str, Any] = TABLES["news"].schema | dict.fromkeys(("relevance", *_TONES, "novelty"), pl.Float64())
SCHEMA |= {"truncated": pl.Boolean()}
"""Of the files: the table news, `relevance` (1 where the source itself named the entity), the scores, and `novelty` by
sentence embeddings; null where no feature reads it, or where features tell it by words."""
_PIECE = 2**15
_PARTS = "parts"


@dataclass(frozen=True)
class NewsItems:
    """The items of a source: the folder, its key, and what was counted.

    counts  rows (of the source in the run's window), stale, texts (given to the model), missing (nothing in them to
            score), truncated, from_cache; of sources whose texts are linked also linked and unlinked rows, and links
    """

    folder: Path
    key: str
    model: str
    sha256: str
    counts: dict[str, int]

    def read(self, entities: list[str] | None = None) -> pl.DataFrame:
        """The items of entities, sorted by (entity, known_time, event_time); None: of all."""
        names = ["*"] if entities is None else [quote(entity, safe="") for entity in sorted(set(entities))]
        paths = sorted(path for name in names for path in self.folder.glob(f"entity={name}.parquet"))
        if not paths:
            return pl.DataFrame(schema=SCHEMA)
        rows = pl.read_parquet(paths, hive_partitioning=False)
        return rows.sort("entity", "known_time", "event_time", maintain_order=True)


def sources_of(config: RunConfig) -> list[str]:
    """The sources of news that give features."""
    return [name for name in config.features if config.sources[name].table == "news"]


def files_of_model(config: RunConfig, variables: Mapping[str, str]) -> str:
    """A hash of the files that decide scores and links and are no input of a source: a model in a local folder, and the
    table of names. The config tells their names only."""
    found = hashlib.sha256()
    model, names, paths = config.sentiment.model, config.sentiment.names, list[Path]()
    if model != "embedded" and (folder := Path(model).expanduser()).is_dir():
        paths += sorted(path for path in folder.iterdir() if path.is_file())
    if names is not None and names != "packaged":
        paths.append(Path(expand(names, variables)))
    for path in paths if sources_of(config) else []:
        if not path.is_file():
            raise DataError(f"sentiment.names: no file {path}", hint="give a table of names, or packaged")
        found.update(f"{path.name} {record.file_hash(path)}\n".encode())
    return found.hexdigest()


def prepare(
    plan: Plan, ingested: Mapping[str, IngestResult], *, lake: Path, progress: Progress = silent
) -> dict[str, NewsItems]:
    """The items of every source of news that gives features; those that are there are not made again.

    Raises DataError for a table of names that cannot be used, ModelError for a model that cannot.
    """
    wanted = [name for name in sources_of(plan.config) if name in ingested]
    if not wanted:
        return {}
    reading = _Reading(plan, lake)
    return {name: _made(name, ingested[name], reading, lake, progress) for name in wanted}


def describe(
    config: RunConfig, items: Mapping[str, NewsItems], look_ahead: str | None, *, timeless: bool = False
) -> dict[str, Any] | None:
    """What read the news, for a manifest; None where no feature is of news.

    timeless  without what depends on when the items were made: how many texts came from the cache
    """
    if not items:
        return None
    first, told = next(iter(items.values())), config.sentiment
    return {
        "card": told.card.facts() | {"model": first.model},
        "sha256": first.sha256,
        "look_ahead": look_ahead,
        "names": told.names,
        "long": told.long,
        "precision": told.precision,
        "passages": told.passages,
        "novelty": told.novelty,
        "masking": "names of the table are taken out of what the model reads" if told.mask else None,
        "texts": {
            name: {what: n for what, n in made.counts.items() if not (timeless and what == "from_cache")}
            for name, made in items.items()
        },
    }


class _Reading:
    """The model and the names, each loaded once, when first needed."""

    def __init__(self, plan: Plan, lake: Path) -> None:
        self.plan, self.settings = plan, plan.config.sentiment
        self._cache = lake / CACHE

    @cached_property
    def scorer(self) -> "Scorer":
        from sentiment.score import Scorer  # torch

        told = self.settings
        return Scorer(
            told.model,
            cache=self._cache,
            labels=told.labels,
            max_length=told.max_length,
            long=told.long,
            precision=told.precision,
        )

    @cached_property
    def embedder(self) -> Embedder | None:
        """What makes the sentence embeddings, where novelty is told by them."""
        return Embedder(cache=self._cache) if self.settings.novelty == "embedding" else None

    @cached_property
    def names(self) -> NameTable | None:
        told = self.settings.names
        if told is None:
            return None
        return NameTable.packaged() if told == "packaged" else NameTable.read(expand(told, self.plan.variables))


def _made(name: str, result: IngestResult, reading: _Reading, lake: Path, progress: Progress) -> NewsItems:
    plan = reading.plan
    source, told = plan.config.sources[name], reading.settings
    since, until = _window(plan, name)
    key = record.key(
        result.key,
        [since, until, source.max_age, plan.entities, reads_novelty(chosen(plan.config, name))],
        told.model_dump(mode="json", include={"names", "passages", "mask", "novelty"}),
        [reading.scorer.sha256, files_of_model(plan.config, plan.variables), record.code_version()],
    )
    folder = lake / FOLDER / f"{name}-{key}"
    work = folder.with_name(f".{folder.name}")
    with holding(work, wait=True):
        if not (folder / RECORD).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            for path in work.iterdir():  # what a killed process left
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            counts = _write(work, name, result, reading, (since, until), progress)
            record.write_json(
                work / RECORD, {"model": reading.scorer.identifier, "sha256": reading.scorer.sha256, "counts": counts}
            )
            os.replace(work, folder)
        else:
            shutil.rmtree(work, ignore_errors=True)
    found = record.read_json(folder / RECORD)
    return NewsItems(folder, key, found["model"], found["sha256"], found["counts"])


def _window(plan: Plan, name: str) -> tuple[int, int]:
    """From when on items may matter to the first decision, and until when to the last: nanoseconds since 1970."""
    opened, closed = (plan.sessions[edge].dt.epoch("ns") for edge in ("open", "close"))
    return opened[0] - history(chosen(plan.config, name), plan.config.sources[name].max_age), closed[-1]


def _write(
    work: Path,
    name: str,
    result: IngestResult,
    reading: _Reading,
    window: tuple[int, int],
    progress: Progress,
) -> dict[str, int]:
    """Writes the files of a source; returns what was counted."""
    source, scorer = reading.plan.config.sources[name], reading.scorer
    linked = bool(getattr(source, "link", False))
    embedder = reading.embedder if reads_novelty(chosen(reading.plan.config, name)) else None
    total, done, counts, before = max(result.counts["used"], 1), 0, Counter[str](), scorer.from_cache
    parts = Partitions(work / _PARTS, SCHEMA, ("entity",), ("known_time", "event_time"))
    progress(f"sentiment: {name}", 0.0)
    for piece in _pieces(tables_lake.batches(result.folder)):
        rows = piece.filter(pl.col("known_time").dt.epoch("ns").is_between(*window))
        late = pl.col("known_time") - pl.col("event_time") > pl.duration(nanoseconds=source.max_age)
        fresh = rows.filter(~late)
        counts.update({"rows": rows.height, "stale": rows.height - fresh.height})
        items = about(fresh, reading.names, reading.settings, reading.plan.entities, counts, linked=linked)
        told = partial(_tell, progress, name, done / total, piece.height / total)
        scores = scorer.score(items["read"].to_list(), progress=told)
        missing, cut = scores["score"].null_count(), int(scores["truncated"].sum() or 0)
        counts.update({"texts": items.height, "missing": missing, "truncated": cut})
        unknown = pl.lit(None, dtype=pl.Float64).alias("novelty")
        parts.append(items.with_columns(scores.select(*_TONES, "truncated")).with_columns(unknown))
        done += piece.height
    for (entity,), part in parts.items():
        path = work / f"entity={quote(entity, safe='')}.parquet"
        if entity == UNNAMED or not (linked or embedder):
            part.write(path, SCHEMA)
            continue
        items = pl.concat(part.sorted())
        items = once(items) if linked else items
        if embedder is not None:
            progress(f"novelty: {name}", None)
            items = items.with_columns(compare(items, embedder=embedder)["novelty"])
        items.write_parquet(path, compression="zstd")
    shutil.rmtree(work / _PARTS)
    return {**counts, "from_cache": scorer.from_cache - before}


def _tell(progress: Progress, name: str, before: float, share: float, part: float) -> None:
    progress(f"sentiment: {name}", before + part * share)


def _pieces(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in frames that are large enough for texts of like length to share a batch."""
    held: list[pl.DataFrame] = []
    for rows in batches:
        held.append(rows)
        if sum(frame.height for frame in held) >= _PIECE:
            yield pl.concat(held)
            held = []
    if held:
        yield pl.concat(held)
