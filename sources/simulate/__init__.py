"""The embedded market: a simulated exchange with planted, documented effects, and the test oracle of the project.

    market = simulate(SimulationConfig(seed=7, sessions=80))
    write(market, folder)                # the files that configs/demo.yaml reads
    folder = ensure(config, cache)       # the same, generated once

docs/simulated_market.md describes the market; `sources.simulate.effects` holds the strengths.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sources.simulate.config import Quality, SimulatedEntity, SimulationConfig

if TYPE_CHECKING:
    from sources.simulate.market import SimulatedMarket

__all__ = ["Quality", "SimulatedEntity", "SimulationConfig", "ensure", "simulate", "write"]


# Reading a config must not compile the book's loop, so that part is imported by the call that needs it.
def simulate(config: SimulationConfig) -> "SimulatedMarket":
    """Generate a market: the same bits for the same config on every machine. See `market.SimulatedMarket`.

    Raises ConfigError where the exchange calendar does not reach.
    """
    from sources.simulate import market

    return market.simulate(config)


def write(market: "SimulatedMarket", folder: Path) -> None:
    """Write a market as the files of its vendors, unreadable rows included. See `files.write`."""
    from sources.simulate import files

    files.write(market, folder)


def ensure(config: SimulationConfig, cache: Path) -> Path:
    """The folder under `cache` that holds this config's market, generated where it is not there yet."""
    from sources.simulate import files

    return files.ensure(config, cache)
