"""Examples whose packages are not installed are not collected; CI runs them where the extra `hosts` is."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("deepagents") and find_spec("langgraph_swarm") else ["deep_agent.py", "swarm.py"]
