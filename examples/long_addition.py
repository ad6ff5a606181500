"""A task of one's own: add two long numbers digit by digit, each microagent seeing one column only.

It asks in eight variants, each with other worked examples, so that votes can be spread over them.
"""

import json
from collections.abc import Sequence

from langchain_core.messages import BaseMessage, HumanMessage

from langgraph_maker import RedFlag, Task, Vote, solve
from langgraph_maker.core.task import State
from langgraph_maker.core.variants import examples

WORKED = [
    '3 + 4 + 0: {"action": 7, "next_state": 0}',
    '8 + 7 + 1: {"action": 6, "next_state": 1}',
    '0 + 9 + 1: {"action": 0, "next_state": 1}',
    '6 + 6 + 0: {"action": 2, "next_state": 1}',
    '5 + 0 + 1: {"action": 6, "next_state": 0}',
    '9 + 9 + 1: {"action": 9, "next_state": 1}',
    '2 + 8 + 0: {"action": 0, "next_state": 1}',
    '1 + 3 + 1: {"action": 5, "next_state": 0}',
]


class LongAddition(Task):
    """Column addition from the right. State: the columns still to add, and the carry."""

    name = "long-addition"
    variants = 8

    def __init__(self, a: int, b: int) -> None:
        """Line the digits of `a` and `b` up in columns, with one more for the last carry."""
        self.steps = len(str(max(a, b))) + 1
        digits = [str(number).zfill(self.steps) for number in (a, b)]
        self.columns = [[int(top), int(bottom)] for top, bottom in zip(*digits, strict=True)]

    def initial_state(self) -> State:
        """All columns, and no carry."""
        return {"columns": self.columns, "carry": 0}

    def is_done(self, state: State) -> bool:
        """When no column is left."""
        return not state["columns"]

    def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
        """The last column and the carry, after three examples: all that this step needs."""
        (top, bottom), carry = state["columns"][-1], state["carry"]
        form = 'Add one column. Answer as JSON: {"action": <last digit of the sum>, "next_state": <carry>}'
        return [HumanMessage("\n".join([form, *examples(WORKED, 3, variant), f"{top} + {bottom} + {carry}"]))]

    def parse(self, text: str) -> Vote:
        """The answer's JSON; what is no JSON raises a ValueError, which is a red flag."""
        match json.loads(text):
            case {"action": int(digit), "next_state": 0 | 1 as carry} if 0 <= digit <= 9:
                return {"action": digit, "next_state": carry}
        raise RedFlag("no_column_sum", text)

    def advance(self, state: State, vote: Vote) -> State:
        """One column less, with the carry that the vote chose."""
        return {"columns": state["columns"][:-1], "carry": vote["next_state"]}

    # Only for simulated models and for calibration: what the right answer would be.

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """The column and carry in a prompt."""
        top, bottom, carry = map(int, messages[-1].text.splitlines()[-1].split(" + "))
        return {"columns": [[top, bottom]], "carry": carry}

    def oracle(self, state: State) -> Vote:
        """The right digit and carry."""
        total = sum(state["columns"][-1]) + state["carry"]
        return {"action": total % 10, "next_state": total // 10}

    def wrong_votes(self, state: State) -> list[Vote]:
        """A forgotten carry: what a simulated model answers when it errs."""
        right = self.oracle(state)
        return [{"action": right["action"], "next_state": 1 - right["next_state"]}]


if __name__ == "__main__":
    a, b = 3**200, 7**100
    run = solve(LongAddition(a, b), "sim:error=0.02,flag=0.05", k=4)
    digits = "".join(str(digit) for digit in reversed(list(run.actions())))
    print(f"{run.status}: {run.steps} steps, {run.samples} samples, {run.flagged} discarded (a simulated model)")
    print("right" if int(digits) == a + b else "wrong")
