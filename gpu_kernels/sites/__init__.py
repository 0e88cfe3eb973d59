"""Many places that are observed now and then: each against its own past, and many of them at once."""
