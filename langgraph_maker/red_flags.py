"""Red flags: `TokenLimit`, `Truncated`, `Matches` and rules of your own."""

from langgraph_maker.core.red_flags import *  # noqa: F403 - the public face of the module
from langgraph_maker.core.red_flags import __all__  # noqa: F401
