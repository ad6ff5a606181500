"""Tasks that ship with the package, each with a prompt, a parser and a checkable truth."""

from langgraph_maker.tasks.hanoi import TowersOfHanoi

__all__ = ["TowersOfHanoi"]
