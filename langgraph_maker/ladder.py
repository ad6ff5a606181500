"""The ladder of tiers for ballots that do not converge."""

from langgraph_maker.nodes.ladder import *  # noqa: F403 - the public face of the module
from langgraph_maker.nodes.ladder import __all__  # noqa: F401
