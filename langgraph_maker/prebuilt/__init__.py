"""Graphs and nodes put together, for use as they are: `create_maker`, `create_voting_node` and the rest."""
