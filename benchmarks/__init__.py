"""One module per suite of scripts/bench.py: each offers `comparisons(quick)`; a suite without a module has no work
yet."""
