"""Calibration: measure p, v and cost before a run, and choose k."""

from langgraph_maker.runs.calibration import *  # noqa: F403 - the public face of the module
from langgraph_maker.runs.calibration import __all__  # noqa: F401
