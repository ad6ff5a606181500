"""The report of a run: its numbers, read from the journal alone, and one page that shows them.

>>> from langgraph.store.memory import InMemoryStore
>>> from langgraph_maker import solve
>>> from langgraph_maker.tasks import TowersOfHanoi
>>> store = InMemoryStore()
>>> run = solve(TowersOfHanoi(3), "sim:error=0.01", store=store, run_id="mine")
>>> found = numbers(store, "mine")
>>> found["status"], found["totals"]["steps"], page(found)[:15]
('solved', 7, '<!doctype html>')
"""

from langgraph_maker.report.numbers import Numbers, numbers
from langgraph_maker.report.page import page

__all__ = ["Numbers", "numbers", "page"]
