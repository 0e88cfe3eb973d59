"""Kernels of the order book: rebuilding it, its state, its flow, and what happens to it."""
