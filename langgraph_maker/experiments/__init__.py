"""The paper's experiments, anyone's to repeat: on simulated models for nothing, or on real ones.

Needs the extra `cli`, which brings SQLite, and `plots` for figures.
"""

from langgraph_maker.experiments.run import EXPERIMENTS, Outcome, experiment

__all__ = ["EXPERIMENTS", "Outcome", "experiment"]
