"""Order events (level 3): replay to level-2 updates, and the place of each order in its queue."""
