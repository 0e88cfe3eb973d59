"""Headlines with a planted tone, as a wire delivers them: late ones, repeats, items about two companies."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sources.schema import TIME
from sources.simulate import templates
from sources.simulate.config import SimulatedEntity, SimulationConfig
from sources.simulate.draws import Stream, key_of, words
from sources.simulate.effects import STEP_NS

_SECOND = 10**9
_MINUTE = 60 * _SECOND
# per entity and session, in ten-thousandths per 20-second step of trading: about 2.7 items
_IN_SESSION = 23
_TONES = (templates.NEGATIVE,) * 7 + (templates.NEUTRAL,) * 6 + (templates.POSITIVE,) * 7


@dataclass(frozen=True, slots=True)
class _Item:
    received: int
    published: int
    tickers: tuple[str, ...]
    headline: str
    tone: int
    kind: str
    template: str
    repeats: int  # position in the list of originals, -1 for an original


def headline_tables(config: SimulationConfig, sessions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(what the wire delivers, the truth), both in order of receipt.

    Delivered: id, tickers (list), headline, published, received.
    Truth: id, tone (-1, 0, 1), kind (plain, hard, pair), template, repeats (id of the item repeated), late (published
    5 to 60 minutes before receipt).
    """
    opens, closes = (sessions[name].to_physical().to_list() for name in ("open", "close"))
    originals = [
        item
        for entity in config.entities
        for index in range(len(opens))
        for item in _items(config, entity, index, opens, closes)
    ]
    repeated = [item for index, original in enumerate(originals) for item in _repeats(config, index, original)]
    items = originals + repeated
    order = sorted(range(len(items)), key=lambda index: (items[index].received, index))
    identifiers = {index: f"H{position:06d}" for position, index in enumerate(order, start=1)}
    delivered = pl.DataFrame(
        {
            "id": [identifiers[index] for index in order],
            "tickers": pl.Series([list(items[index].tickers) for index in order], dtype=pl.List(pl.String)),
            "headline": pl.Series([items[index].headline for index in order], dtype=pl.String),
            "published": pl.Series([items[index].published for index in order], dtype=pl.Int64).cast(TIME),
            "received": pl.Series([items[index].received for index in order], dtype=pl.Int64).cast(TIME),
        }
    )
    truth = pl.DataFrame(
        {
            "id": delivered["id"],
            "tone": pl.Series([items[index].tone for index in order], dtype=pl.Int64),
            "kind": pl.Series([items[index].kind for index in order], dtype=pl.String),
            "template": pl.Series([items[index].template for index in order], dtype=pl.String),
            "repeats": pl.Series(
                [None if items[index].repeats < 0 else identifiers[items[index].repeats] for index in order],
                dtype=pl.String,
            ),
            "late": (delivered["received"] - delivered["published"]).dt.total_minutes() >= 5,
        }
    )
    return delivered, truth


def acting_tones(
    delivered: pl.DataFrame, truth: pl.DataFrame, ticker: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(receipt in nanoseconds, tone) of the items that move `ticker`, in order of receipt; repeats do not."""
    mine = (
        delivered.select("id", "received", "tickers")
        .join(truth.select("id", "tone", "repeats"), on="id", how="left", maintain_order="left")
        .filter(pl.col("repeats").is_null() & pl.col("tickers").list.contains(ticker))
    )
    return mine["received"].to_physical().to_numpy(), mine["tone"].to_numpy()


def _items(
    config: SimulationConfig, entity: SimulatedEntity, index: int, opens: list[int], closes: list[int]
) -> list[_Item]:
    """The originals about one entity received from the close before session `index` to its own close."""
    steps = (closes[index] - opens[index]) // STEP_NS
    chance = words(config.seed, Stream.HEADLINES, key_of(entity.ticker), index, count=steps + 1)
    received = [
        opens[index] + step * STEP_NS for step in np.flatnonzero(chance[:steps] % 10_000 < _IN_SESSION).tolist()
    ]
    before = closes[index - 1] if index else opens[index] - 17 * 60 * _MINUTE
    # nothing, or one item, or two between the close and the open; most in the last hours before the open
    for number in range((0, 0, 1, 1, 2)[int(chance[steps]) % 5]):
        drawn = words(config.seed, Stream.HEADLINES, key_of(entity.ticker), index, 1, number, count=2)
        hours = 2 if drawn[0] % 3 else (opens[index] - before) // (60 * _MINUTE)
        received.append(
            max(before, opens[index] - _MINUTE - int(drawn[1]) % (hours * 60 * _MINUTE)) // STEP_NS * STEP_NS
        )
    return [_write(config, entity, index, number, start) for number, start in enumerate(sorted(received))]


def _write(config: SimulationConfig, entity: SimulatedEntity, index: int, number: int, start: int) -> _Item:
    drawn = [
        int(word) for word in words(config.seed, Stream.HEADLINES, key_of(entity.ticker), index, 2, number, count=13)
    ]
    tone = _TONES[drawn[0] % len(_TONES)]
    others = [other for other in config.entities if other.kind == entity.kind and other is not entity]
    other = others[drawn[1] % len(others)] if others and drawn[2] % 100 < 12 else None
    if other is not None:
        kind, choices = "pair", templates.PAIR[tone]
    elif drawn[3] % 100 < 30:
        kind, choices = "hard", templates.HARD[tone]
    else:
        kind, choices = "plain", templates.PLAIN[tone]
    template = choices[drawn[4] % len(choices)]
    products = templates.PRODUCTS[entity.kind]
    headline = template.format(
        name=entity.name,
        other="" if other is None else other.name,
        product=products[drawn[5] % len(products)],
        region=templates.REGIONS[drawn[6] % len(templates.REGIONS)],
        quarter=templates.QUARTERS[drawn[7] % len(templates.QUARTERS)],
        pct=3 + drawn[8] % 30,
        count=20 * (2 + drawn[8] % 60),
        money=f"${10 * (2 + drawn[9] % 90)} million",
    )
    received = start + (1 + drawn[10] % 18_000) * 10**6
    late = drawn[11] % 100 < 8
    delay = (5 * _MINUTE + drawn[12] % (55 * _MINUTE)) if late else _SECOND + drawn[12] % (20 * _SECOND)
    tickers = (entity.ticker,) if other is None else (entity.ticker, other.ticker)
    published = (received - delay) // 10**6 * 10**6
    return _Item(received, published, tickers, headline[0].upper() + headline[1:], tone, kind, template, -1)


def _repeats(config: SimulationConfig, index: int, original: _Item) -> list[_Item]:
    """One item in seven is repeated 1 to 45 minutes after its receipt."""
    key = (key_of(original.tickers[0]), original.received)
    drawn = [int(word) for word in words(config.seed, Stream.HEADLINES, *key, count=4)]
    if drawn[0] % 7:
        return []
    received = original.received + (_MINUTE + drawn[1] % (44 * _MINUTE)) // 10**6 * 10**6
    published = received - (1 + drawn[2] % 9) * _SECOND
    text = templates.REPEATS[drawn[3] % len(templates.REPEATS)].format(text=original.headline)
    return [_Item(received, published, original.tickers, text, original.tone, original.kind, original.template, index)]
