"""Kernels of trades: who was the aggressor, what trading cost, how orders arrive, bars."""
