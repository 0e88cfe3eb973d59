"""A simulated level-3 market with planted spoofing, layering and liquidity droughts, and with decoys: the judge of the
detectors. docs/simulated_order_book.md describes it.

    found = simulate_orders(OrderSimulation(seed=11, sessions=4))
    found.order_event, found.book_update, found.trade, found.quote      # canonical tables
    found.truth                                                         # what was planted, and the decoys
"""

from typing import TYPE_CHECKING

from sources.simulate.orders.config import NOTHING, EpisodePlan, OrderMarket, OrderSimulation

if TYPE_CHECKING:
    from sources.simulate.orders.market import SimulatedOrders

__all__ = ["NOTHING", "EpisodePlan", "OrderMarket", "OrderSimulation", "simulate_orders"]


# Reading a config must not compile the loop, so that part is imported by the call that needs it.
def simulate_orders(config: OrderSimulation) -> "SimulatedOrders":
    """Simulate every market and session of a config. See `market.simulate_orders`."""
    from sources.simulate.orders import market

    return market.simulate_orders(config)
