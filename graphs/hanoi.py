"""Towers of Hanoi for LangGraph Studio: 5 disks, 31 voted steps, a simulated model, no key.

The settings panel is `MakerContext`: k, temperatures, samples a step.
"""

from langgraph_maker import create_maker
from langgraph_maker.tasks import TowersOfHanoi

graph = create_maker(TowersOfHanoi(5), "sim:gpt-4.1-mini", min_k=1).compile(name="hanoi")
