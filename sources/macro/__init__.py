"""Macro series: when each is published, what its transformation is, and what vintages of it say."""
