"""The report of a run: its numbers, read from the journal alone, and one page that shows them.

>>> from langgraph.store.memory import InMemoryStore
>>> from langgraph_maker import solve
>>> from langgraph_maker.tasks import TowersOfHanoi
>>> store = InMemoryStore()
>>> run = solve(TowersOfHanoi(3), "sim:error=0.01", store=store, run_id="mine")
>>> found = numbers(store, "mine")
>>> found["status"], found["totals"]["steps"], page(found)[:15]
('solved', 7, '<!doctype html>')

A recursive run has a tree in place of steps: `tree_numbers` and `tree_page` are for it.
"""

from langgraph_maker.report.numbers import Numbers, numbers
from langgraph_maker.report.page import page
from langgraph_maker.report.tree import TreeNumbers, tree_numbers, tree_page

__all__ = ["Numbers", "TreeNumbers", "numbers", "page", "tree_numbers", "tree_page"]
