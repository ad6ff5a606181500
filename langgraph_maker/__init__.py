"""Long chains of model calls without errors: voting microagents (MAKER, arXiv 2511.09030) as LangGraph nodes.

Names are imported when they are first used: `import langgraph_maker` alone loads no LangGraph and no model's client.

>>> from langgraph_maker import solve
>>> from langgraph_maker.tasks import TowersOfHanoi
>>> run = solve(TowersOfHanoi(5), "sim:error=0.01", k=4)
>>> run.status, run.steps
('solved', 31)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
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

_MODULES: Final = {
    "Ballot": "ballot",
    "Calibration": "calibration.findings",
    "Decision": "state",
    "Grouped": "grouping",
    "MakerContext": "context",
    "Progress": "run",
    "RedFlag": "red_flags",
    "Run": "run",
    "Split": "ladder",
    "Task": "task",
    "Vote": "task",
    "acalibrate": "calibration",
    "asolve": "runner",
    "calibrate": "calibration",
    "create_maker": "graph",
    "create_maker_node": "maker_node",
    "create_recursive_maker": "recursion",
    "create_voting_graph": "voting_graph",
    "create_voting_node": "voting_node",
    "solve": "runner",
}
"""Where each name is defined."""

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


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        """Import what `name` stands for."""
        if name in _MODULES:
            value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        elif name in __all__:
            value = import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """Return the public names, imported or not, beside what is there."""
        return sorted({*globals(), *__all__})
