"""OpenTelemetry for runs and votes (extra `otel`)."""

from langgraph_maker.runs.monitor.otel import *  # noqa: F403 - the public face of the module
from langgraph_maker.runs.monitor.otel import __all__  # noqa: F401
