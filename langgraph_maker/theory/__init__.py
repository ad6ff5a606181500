"""The scaling laws of MAKER (Eqs 9-19): which margin k a task needs, how sure it is, what it costs."""

from langgraph_maker.theory.scaling import expected_cost, expected_votes, k_min, p_correct, p_full
from langgraph_maker.theory.schedule import k_at_step
from langgraph_maker.theory.varied_votes import p_correct_varied

__all__ = ["expected_cost", "expected_votes", "k_at_step", "k_min", "p_correct", "p_correct_varied", "p_full"]
