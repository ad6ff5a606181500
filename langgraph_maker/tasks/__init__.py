"""Tasks that ship with the package, each with a prompt, a parser and a checkable truth."""

from langgraph_maker.tasks.dictionary_sum import DictionarySum
from langgraph_maker.tasks.hanoi import TowersOfHanoi
from langgraph_maker.tasks.ledger import Ledger
from langgraph_maker.tasks.multiplication import Multiplication
from langgraph_maker.tasks.programs import ProgramLibrary, Programs
from langgraph_maker.tasks.proofs import Proof
from langgraph_maker.tasks.sorting import Sorting
from langgraph_maker.tasks.stacks import BlocksWorld, HanoiPositions

__all__ = [
    "BlocksWorld",
    "DictionarySum",
    "HanoiPositions",
    "Ledger",
    "Multiplication",
    "ProgramLibrary",
    "Programs",
    "Proof",
    "Sorting",
    "TowersOfHanoi",
]
