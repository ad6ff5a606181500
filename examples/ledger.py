"""A ledger: transactions applied one at a time, each microagent seeing the accounts that it needs."""

import sys

from langgraph_maker import solve
from langgraph_maker.tasks import Ledger


def check(task: Ledger, decisions: list[str], balances: dict[str, int]) -> bool:
    """What came in, less what went out and the fees, is what is there, and nobody is below the limit."""
    done = [one for one, decision in zip(task.transactions, decisions, strict=True) if decision == "applied"]
    paid_in = sum(one["amount"] for one in done if one["kind"] == "deposit")
    paid_out = sum(one["amount"] + task.WITHDRAWAL_FEE for one in done if one["kind"] == "withdrawal")
    fees = sum(max(task.TRANSFER_FEE, one["amount"] // 100) for one in done if one["kind"] == "transfer")
    adds_up = sum(balances.values()) == sum(task.accounts.values()) + paid_in - paid_out - fees
    return adds_up and min(balances.values()) >= -task.OVERDRAFT


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    task = Ledger.random(count, accounts=50)
    run = solve(task, "sim:error=0.02,flag=0.05", k=5)
    decisions = list(run.actions())
    print(f"{run.status}: {run.steps} steps, {run.samples} samples, {run.flagged} discarded (a simulated model)")
    print(f"{decisions.count('declined')} transactions declined")
    print("right" if check(task, decisions, run.final_state["balances"]) else "wrong")
