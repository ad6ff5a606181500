r"""A ledger: thousands of transactions applied one at a time, each microagent seeing only the accounts it needs.

>>> task = Ledger({"ann": 5000, "bob": 0, "cy": 70}, [
...     {"id": "t1", "kind": "transfer", "account": "ann", "to": "bob", "amount": 2000},
... ])
>>> print(task.prompt(task.initial_state())[-1].text)
transaction: {"id": "t1", "kind": "transfer", "account": "ann", "to": "bob", "amount": 2000}
balances: {"ann": 5000, "bob": 0}
>>> task.advance(task.initial_state(), task.parse('decision = "applied"\nbalances = {"ann": 2980, "bob": 2000}'))
{'transaction': None, 'balances': {'ann': 2980, 'bob': 2000, 'cy': 70}, 'applied': 1}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, Final, Self

from langchain_core.messages import BaseMessage

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import State, Task, Vote
from langgraph_maker.tasks.wording import asked, fingerprint, said, shown, written

__all__ = ["Ledger"]

_LARGEST: Final = 10**12
_BOUND: Final = 2**63 - 1  # of a balance: what millions of the largest amounts cannot reach
_NAMES: Final = {
    "deposit": {"id", "kind", "account", "amount"},
    "withdrawal": {"id", "kind", "account", "amount"},
    "transfer": {"id", "kind", "account", "to", "amount"},
}


class Ledger(Task):
    """Apply transactions to accounts by rules: fees, and an overdraft limit beyond which a transaction is declined.

    All amounts are whole numbers of cents. A withdrawal costs `WITHDRAWAL_FEE`; a transfer costs its sender one cent in
    a hundred, rounded down, and at least `TRANSFER_FEE`. A transaction that would leave the paying account below
    -`OVERDRAFT` is declined, and changes nothing.

    The transactions belong to the task; a state holds the one that is next, all balances, and how many were dealt with.

    Args:
        accounts: Opening balances by name.
        transactions: Each `{"id", "kind", "account", "amount"}` of kind "deposit" or "withdrawal", or with `to` as
            well of kind "transfer".

    Raises:
        ValueError: For a ledger without transactions, a name that cannot be printed, an unknown account or kind, an
            amount below 1, a transfer to the same account, or two transactions of one id.
    """

    name = "ledger"
    variants = 3
    WITHDRAWAL_FEE: Final = 25
    TRANSFER_FEE: Final = 10
    OVERDRAFT: Final = 10_000

    def __init__(self, accounts: Mapping[str, int], transactions: Sequence[Mapping[str, Any]]) -> None:
        self.accounts = dict(accounts)
        self.transactions = [dict(transaction) for transaction in transactions]
        for name, balance in self.accounts.items():
            if not isinstance(name, str) or not name.isprintable():
                raise ValueError(f"the name of an account is a text of printable characters, not {excerpt(name)}")
            if not _whole(balance, -_LARGEST):
                raise ValueError(
                    f"the balance of account {excerpt(name)} is a whole number of cents, not {excerpt(balance)}"
                )
        if not self.transactions:
            raise ValueError("a ledger has at least one transaction")
        self._check()
        self.steps = len(self.transactions)

    @classmethod
    def random(cls, count: int = 100, accounts: int = 20, *, seed: int = 0) -> Self:
        """Return so many random transactions among so many accounts; about one in twenty has to be declined.

        Raises:
            ValueError: When there are less than 1 transaction or 2 accounts.
        """
        if not _whole(count, 1) or not _whole(accounts, 2):
            raise ValueError(
                f"count is at least 1 and accounts at least 2, not {excerpt(count)} and {excerpt(accounts)}"
            )
        random = Random(seed)  # noqa: S311 - no secret
        names = [f"a{number}" for number in range(1, accounts + 1)]
        opening = {name: random.randrange(0, 200_000) for name in names}
        return cls(opening, [_random_transaction(random, names, number) for number in range(1, count + 1)])

    def __repr__(self) -> str:
        return f"Ledger of {len(self.accounts):,} accounts and {len(self.transactions):,} transactions"

    def parameters(self) -> dict[str, Any]:
        """Return how many accounts and transactions, and a digest of them."""
        return {
            "accounts": len(self.accounts),
            "transactions": len(self.transactions),
            "digest": fingerprint([self.accounts, self.transactions]),
        }

    def initial_state(self) -> State:
        """Opening balances, and the first transaction."""
        return self._at(0, self.accounts)

    def is_done(self, state: State) -> bool:
        """Return whether no transaction is left."""
        return state["transaction"] is None

    def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
        """Return φ: the rules, one transaction, and the balances of the accounts in it."""
        transaction = state["transaction"]
        seen = {"transaction": transaction, "balances": {name: state["balances"][name] for name in _named(transaction)}}
        return asked(_INSTRUCTIONS[variant], seen, reverse=variant % 2 == 1)

    def parse(self, text: str) -> Vote:
        """Return ψ: whether the transaction was applied or declined, and the balances after it.

        Raises:
            RedFlag: `no_decision`, `no_balances`, `bad_decision` or `bad_balances`, when they are missing or malformed.
        """
        decision, balances = said(text, "decision", "balances")
        if str(decision) not in {"applied", "declined"}:
            raise RedFlag("bad_decision", f"{str(decision)[:80]} is neither applied nor declined")
        if not isinstance(balances, dict) or not all(_whole(value, -_BOUND, _BOUND) for value in balances.values()):
            raise RedFlag("bad_balances", f"{str(balances)[:80]} is no balance for each account")
        return {"action": decision, "next_state": balances}

    def validate(self, state: State, vote: Vote) -> RedFlag | None:
        """Flag balances of other accounts than those of the transaction, and what is declined and changes them.

        What the balances amount to is left to the vote.
        """
        named = _named(state["transaction"])
        if vote["next_state"].keys() != set(named):
            return RedFlag("wrong_accounts", f"{list(vote['next_state'])[:3]} in place of {named}")
        if vote["action"] == "declined" and any(vote["next_state"][one] != state["balances"][one] for one in named):
            return RedFlag("contradiction", "it is declined, and a balance changes")
        return None

    def advance(self, state: State, vote: Vote) -> State:
        """Return the balances that the vote chose among the others, and the next transaction."""
        return self._at(state["applied"] + 1, {**state["balances"], **vote["next_state"]})

    def _at(self, applied: int, balances: Mapping[str, int]) -> State:
        left = applied < len(self.transactions)
        transaction = self.transactions[applied] if left else None
        return {"transaction": transaction, "balances": dict(balances), "applied": applied}

    def step_type(self, state: State) -> str:
        """Return the kind of the transaction."""
        return str(state["transaction"]["kind"])

    def oracle(self, state: State) -> Vote:
        """Return the one right decision and the balances after it."""
        transaction, balances = state["transaction"], state["balances"]
        before = {name: balances[name] for name in _named(transaction)}
        after = self._applied(transaction, before, self._fee(transaction))
        return self._declined(before) if self._beyond(transaction, after) else _vote("applied", after)

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """Return what a prompt of this task shows: a transaction, and the balances that it needs.

        Raises:
            ValueError: When the last human message does not show them.
        """
        transaction, balances = shown(messages, "transaction", "balances")
        return {"transaction": transaction, "balances": balances}

    def wrong_votes(self, state: State) -> list[Vote]:
        """Likely slips, for simulation: the limit or the fee overlooked, a receiver forgotten, a carry lost."""
        right, transaction = self.oracle(state), state["transaction"]
        before = {name: state["balances"][name] for name in _named(transaction)}
        applied = self._applied(transaction, before, self._fee(transaction))
        free = self._applied(transaction, before, 0)
        slipped = {**applied, transaction["account"]: applied[transaction["account"]] + 100}
        votes = [_vote("applied", applied), self._declined(before), _vote("applied", free), _vote("applied", slipped)]
        if "to" in transaction:
            votes.append(_vote("applied", {**applied, transaction["to"]: before[transaction["to"]]}))
        return [vote for place, vote in enumerate(votes) if vote != right and vote not in votes[:place]]

    def render(self, vote: Vote) -> str:
        """Return how a model words `vote`, for simulation."""
        return f"By the rules it is {vote['action']}.\n{written(decision=vote['action'], balances=vote['next_state'])}"

    def _fee(self, transaction: Mapping[str, Any]) -> int:
        if transaction["kind"] == "transfer":
            return max(self.TRANSFER_FEE, int(transaction["amount"]) // 100)
        return self.WITHDRAWAL_FEE if transaction["kind"] == "withdrawal" else 0

    def _beyond(self, transaction: Mapping[str, Any], after: Mapping[str, int]) -> bool:
        return transaction["kind"] != "deposit" and after[transaction["account"]] < -self.OVERDRAFT

    @staticmethod
    def _applied(transaction: Mapping[str, Any], before: Mapping[str, int], fee: int) -> dict[str, int]:
        after, amount = dict(before), transaction["amount"]
        after[transaction["account"]] += amount if transaction["kind"] == "deposit" else -amount - fee
        if "to" in transaction:
            after[transaction["to"]] += amount
        return after

    @staticmethod
    def _declined(before: Mapping[str, int]) -> Vote:
        return _vote("declined", before)

    def _check(self) -> None:
        """Refuse what no rule says anything about, naming the transaction."""
        seen: dict[str, int] = {}
        for place, one in enumerate(self.transactions):
            for problem in _problems(one, self.accounts):
                raise ValueError(f"transaction {place} ({excerpt(one.get('id'))}) {problem}")
            if (first := seen.setdefault(one["id"], place)) != place:
                raise ValueError(
                    f"transaction {place} has the id of transaction {first}, {excerpt(one['id'])}: each is"
                    " applied once, so"
                    " leave one of them out, or give it an id of its own"
                )


def _problems(one: Mapping[str, Any], accounts: Mapping[str, int]) -> Iterator[str]:
    kind = one.get("kind")
    if not isinstance(kind, str) or kind not in _NAMES:
        yield f"is of kind {excerpt(kind)}: it is one of {', '.join(_NAMES)}"
    elif set(one) != _NAMES[kind]:
        yield f"has the fields {', '.join(one)}: a {kind} has {', '.join(sorted(_NAMES[kind]))}"
    elif not isinstance(one["id"], str):
        yield f"has the id {one['id']!r:.80}: it must be a text"
    elif not _whole(one["amount"], 1):
        yield f"is of {excerpt(one['amount'])}: an amount is a whole number of cents, at least 1"
    elif unknown := [name for name in _named(one) if not isinstance(name, str) or name not in accounts]:
        yield f"names the account {excerpt(unknown[0])}, which the ledger does not have"
    elif one.get("to") == one["account"]:
        yield f"is a transfer from {excerpt(one['to'])} to itself"


def _whole(value: object, least: int, most: int = _LARGEST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _named(transaction: Mapping[str, Any]) -> list[str]:
    """Return the accounts that a transaction changes."""
    return [transaction[role] for role in ("account", "to") if role in transaction]


def _vote(action: str, balances: Mapping[str, int]) -> Vote:
    return {"action": action, "next_state": dict(balances)}


def _random_transaction(random: Random, names: Sequence[str], number: int) -> dict[str, Any]:
    kind = random.choice(("deposit", "withdrawal", "transfer", "transfer"))
    account, other = random.sample(names, 2)
    transaction = {"id": f"t{number}", "kind": kind, "account": account}
    if kind == "transfer":
        transaction["to"] = other
    most = 30_000 if kind == "deposit" else 60_000 if random.random() < 0.2 else 20_000  # noqa: PLR2004
    return {**transaction, "amount": random.randrange(1, most)}


_FORM: Final = """\
Reason in a few short sentences if it helps. Then end with exactly these two lines, with the balances of all accounts \
that you were shown and of no others, in whole cents:
decision = "applied" or "declined"
balances = {"<account>": <balance afterwards>, …}"""

_FEES: Final = (Ledger.WITHDRAWAL_FEE, Ledger.TRANSFER_FEE, Ledger.OVERDRAFT)
_EXAMPLE: Final = """\
transaction: {"id": "x", "kind": "transfer", "account": "p", "to": "q", "amount": 3050}
balances: {"p": 1000, "q": 20}"""
_ANSWER: Final = written(decision="applied", balances={"p": -2080, "q": 3070})

_INSTRUCTIONS: Final = (
    """\
You apply a single transaction of a ledger. Other people apply those before and after it, so deal with this one and \
nothing beyond it. All amounts are in cents.

RULES
- A deposit adds its amount to the account. It has no fee.
- A withdrawal takes its amount and a fee of {} from the account.
- A transfer takes its amount and a fee from the account, and adds the amount, without the fee, to the account "to". \
The fee is one hundredth of the amount, rounded down, but at least {}.
- If a withdrawal or transfer would leave the account below -{}, it is declined: no balance changes, and no fee is due.

EXAMPLE
{}
The fee is 3050 / 100, rounded down: 30. 1000 - 3050 - 30 is -2080, which is allowed. 20 + 3050 is 3070.
{}

{}""".format(*_FEES, _EXAMPLE, _ANSWER, _FORM),
    """\
Book one transaction. Amounts are whole cents.

deposit: the account gains the amount.
withdrawal: the account loses the amount plus {}.
transfer: "to" gains the amount; the account loses the amount plus a fee, which is amount / 100 rounded down, or {} if \
that is more.
Nothing is booked, and nothing is charged, when the account would end lower than -{} through a withdrawal or transfer. \
Then the decision is "declined".

This would be right for 1000 in p, 20 in q and a transfer of 3050 from p to q, whose fee is 30:
{}

{}""".format(*_FEES, _ANSWER, _FORM),
    """\
You are a clerk at a counter, with one slip of paper before you and the balances, in cents, of those that it names. \
Work out their balances once the slip is dealt with.

First find the charge: nothing for a deposit, {} for a withdrawal, and for a transfer the amount divided by 100 \
without the remainder, or {} where that is less. Then find what the account would hold: a deposit raises it by the \
amount, a withdrawal or a transfer lowers it by amount and charge together. Is it then under -{}, and the slip no \
deposit? Then send the customer away (declined), with all balances as they were. Otherwise it is done (applied); of a \
transfer the receiver, named "to", gets the full amount.

Say the slip and the balances are
{}
The charge is 30, p comes to 1000 - 3080 = -2080, and q to 3070:
{}

{}""".format(*_FEES, _EXAMPLE, _ANSWER, _FORM),
)
