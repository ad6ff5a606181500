"""Follow a run by its events: what it amounts to so far, and alarms when its assumptions stop holding."""

from langgraph_maker.runs.monitor.monitor import Monitor

__all__ = ["Monitor"]
