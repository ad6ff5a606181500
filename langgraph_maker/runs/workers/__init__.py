"""Many workers on one run: who coordinates it, what a worker does, and what starts workers."""
