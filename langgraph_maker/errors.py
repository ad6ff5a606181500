"""Errors that the package raises."""

from langgraph_maker.core.errors import *  # noqa: F403 - the public face of the module
from langgraph_maker.core.errors import __all__  # noqa: F401
