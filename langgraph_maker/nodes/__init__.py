"""The roles of a maker graph, one factory a file; each returns a Runnable with a sync and an async side."""

from langgraph_maker.nodes.decompose import decompose_node
from langgraph_maker.nodes.escalate import escalate_node
from langgraph_maker.nodes.guard import guard_node
from langgraph_maker.nodes.sample import sample_node
from langgraph_maker.nodes.tally import tally_node
from langgraph_maker.nodes.update import update_node

__all__ = ["decompose_node", "escalate_node", "guard_node", "sample_node", "tally_node", "update_node"]
