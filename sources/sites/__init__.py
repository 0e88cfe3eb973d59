"""Sites of companies: where they are, since when, whose they are, and what was known of it when."""

from sources.sites.asof import sites_at
from sources.sites.changes import snapshot_changes
from sources.sites.counts import store_steps, store_weights
from sources.sites.tickers import by_ticker

__all__ = ["by_ticker", "sites_at", "snapshot_changes", "store_steps", "store_weights"]
