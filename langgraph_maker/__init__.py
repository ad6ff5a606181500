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
    from langgraph_maker.core.ballot import Ballot
    from langgraph_maker.core.grouped import Grouped
    from langgraph_maker.core.red_flags import RedFlag
    from langgraph_maker.core.state import Decision
    from langgraph_maker.core.task import Task, Vote
    from langgraph_maker.nodes.context import MakerContext
    from langgraph_maker.nodes.ladder import Split
    from langgraph_maker.prebuilt.maker import create_maker
    from langgraph_maker.prebuilt.maker_node import create_maker_node
    from langgraph_maker.prebuilt.recursive import create_recursive_maker
    from langgraph_maker.prebuilt.voting import create_voting_graph
    from langgraph_maker.prebuilt.voting_node import create_voting_node
    from langgraph_maker.runs.calibration import acalibrate, calibrate
    from langgraph_maker.runs.calibration.result import Calibration
    from langgraph_maker.runs.result import Progress, Run
    from langgraph_maker.runs.solve import asolve, solve

_MODULES: Final = {
    "Ballot": "core.ballot",
    "Calibration": "runs.calibration.result",
    "Decision": "core.state",
    "Grouped": "core.grouped",
    "MakerContext": "nodes.context",
    "Progress": "runs.result",
    "RedFlag": "core.red_flags",
    "Run": "runs.result",
    "Split": "nodes.ladder",
    "Task": "core.task",
    "Vote": "core.task",
    "acalibrate": "runs.calibration",
    "asolve": "runs.solve",
    "calibrate": "runs.calibration",
    "create_maker": "prebuilt.maker",
    "create_maker_node": "prebuilt.maker_node",
    "create_recursive_maker": "prebuilt.recursive",
    "create_voting_graph": "prebuilt.voting",
    "create_voting_node": "prebuilt.voting_node",
    "solve": "runs.solve",
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
