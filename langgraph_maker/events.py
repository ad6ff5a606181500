"""Events of a run, as observers and the custom stream get them."""

from langgraph_maker.core.events import *  # noqa: F403 - the public face of the module
from langgraph_maker.core.events import __all__  # noqa: F401
