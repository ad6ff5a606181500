"""Long chains of model calls without errors: voting microagents (MAKER, arXiv 2511.09030) as LangGraph nodes.

>>> from langgraph_maker import solve
>>> from langgraph_maker.tasks import TowersOfHanoi
>>> run = solve(TowersOfHanoi(5), "sim:error=0.01", k=4)
>>> run.status, run.steps
('solved', 31)
"""

from langgraph_maker import journal, matchers, nodes, red_flags, simulation, theory
from langgraph_maker.ballot import Ballot
from langgraph_maker.calibration import acalibrate, calibrate
from langgraph_maker.calibration.findings import Calibration
from langgraph_maker.context import MakerContext
from langgraph_maker.graph import create_maker
from langgraph_maker.grouping import Grouped
from langgraph_maker.ladder import Split
from langgraph_maker.maker_node import create_maker_node
from langgraph_maker.recursion import create_recursive_maker
from langgraph_maker.red_flags import RedFlag
from langgraph_maker.run import Progress, Run
from langgraph_maker.runner import asolve, solve
from langgraph_maker.state import Decision
from langgraph_maker.task import Task, Vote
from langgraph_maker.voting_graph import create_voting_graph
from langgraph_maker.voting_node import create_voting_node

__all__ = [
    "Ballot",
    "Calibration",
    "Decision",
    "Grouped",
    "MakerContext",
    "Progress",
    "RedFlag",
    "Run",
    "Split",
    "Task",
    "Vote",
    "acalibrate",
    "asolve",
    "calibrate",
    "create_maker",
    "create_maker_node",
    "create_recursive_maker",
    "create_voting_graph",
    "create_voting_node",
    "journal",
    "matchers",
    "nodes",
    "red_flags",
    "simulation",
    "solve",
    "theory",
]
