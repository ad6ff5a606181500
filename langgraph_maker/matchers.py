"""Matchers: which votes are equal."""

from langgraph_maker.core.matchers import *  # noqa: F403 - the public face of the module
from langgraph_maker.core.matchers import __all__  # noqa: F401
