"""Problems without a given plan: microagents find the decomposition, and votes decide it, stage by stage."""

from langgraph_maker.journal.tree_records import read_tree
from langgraph_maker.prebuilt.recursive.graph import create_recursive_maker
from langgraph_maker.prebuilt.recursive.stages import Stages

__all__ = ["Stages", "create_recursive_maker", "read_tree"]
