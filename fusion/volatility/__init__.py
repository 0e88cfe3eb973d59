"""Forecasts of variance: the HAR family by session, a component model inside the session, rivals and losses.

Arrays in, arrays out: readers, sessions and realised measures come from `sources` and `gpu_kernels`. A forecast at t
uses what was known at t: coefficients are fitted walk-forward, on targets that were complete by then.
"""
