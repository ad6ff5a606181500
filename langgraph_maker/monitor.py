"""Monitors, which follow a run by its events."""

from langgraph_maker.runs.monitor import *  # noqa: F403 - the public face of the module
from langgraph_maker.runs.monitor import __all__  # noqa: F401
