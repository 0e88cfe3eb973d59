"""Volatility from returns: realised measures, jumps, what noise and the time of day do to them."""
