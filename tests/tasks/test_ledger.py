from __future__ import annotations

from typing import Any

import pytest
from domains import end_of

from langgraph_maker import RedFlag
from langgraph_maker.tasks import Ledger

ACCOUNTS = {"ann": 1000, "bob": 0}


def ledger(**changes: Any) -> Ledger:
    one = {"id": "t", "kind": "transfer", "account": "ann", "to": "bob", "amount": 500, **changes}
    return Ledger(ACCOUNTS, [{name: value for name, value in one.items() if value != "none"}])


@pytest.mark.parametrize(
    ("changes", "decision", "ann", "bob"),
    [
        ({}, "applied", 490, 500),
        ({"amount": 5099}, "applied", 1000 - 5099 - 50, 5099),
        ({"amount": 10_891}, "applied", -9999, 10_891),
        ({"amount": 10_893}, "declined", 1000, 0),
        ({"kind": "deposit", "to": "none"}, "applied", 1500, 0),
        ({"kind": "withdrawal", "to": "none", "amount": 10_975}, "applied", -10_000, 0),
        ({"kind": "withdrawal", "to": "none", "amount": 10_976}, "declined", 1000, 0),
    ],
)
def test_rules(changes: Any, decision: str, ann: int, bob: int) -> None:
    task = ledger(**changes)
    vote = task.oracle(task.initial_state())
    assert vote["action"] == decision
    assert end_of(task)["balances"] == {"ann": ann, "bob": bob}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"account": "zoe"}, r"transaction 0 \('t'\) names the account 'zoe', which the ledger does not have"),
        ({"to": "zoe"}, "names the account 'zoe'"),
        ({"to": ["ann"]}, "names the account"),
        ({"to": "ann"}, "a transfer from 'ann' to itself"),
        ({"to": "none"}, "a transfer has account, amount, id, kind, to"),
        ({"kind": "gift"}, "of kind 'gift': it is one of deposit, withdrawal, transfer"),
        ({"kind": "deposit"}, "a deposit has account, amount, id, kind"),
        ({"amount": 0}, "is of 0: an amount is a whole number of cents, at least 1"),
        ({"amount": -5}, "is of -5"),
        ({"amount": "0500"}, "is of '0500'"),
        ({"amount": 10**13}, "is of 10000000000000"),
        ({"id": 7}, "it must be a text"),
    ],
)
def test_what_no_rule_covers_is_refused_and_named(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ledger(**changes)


def test_a_duplicate_transaction_is_refused_and_both_are_named() -> None:
    one = {"id": "t", "kind": "deposit", "account": "ann", "amount": 5}
    with pytest.raises(ValueError, match="transaction 2 has the id of transaction 0, 't': each is applied once"):
        Ledger(ACCOUNTS, [one, {**one, "id": "u"}, one])


def test_an_empty_ledger_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one transaction"):
        Ledger(ACCOUNTS, [])


@pytest.mark.parametrize("balance", [1.5, "7", None, True])
def test_a_balance_is_whole_cents(balance: Any) -> None:
    with pytest.raises(ValueError, match="the balance of account 'ann' is a whole number of cents"):
        Ledger({"ann": balance}, [])


def test_a_microagent_sees_the_accounts_of_its_transaction_only() -> None:
    task = Ledger.random(5, 50)
    text = task.prompt(task.initial_state())[-1].text
    assert sum(f'"{name}":' in text for name in task.accounts) <= 2


def test_balances_of_other_accounts_are_a_flag() -> None:
    task = ledger()
    flag = task.validate(task.initial_state(), {"action": "applied", "next_state": {"ann": 1}})
    assert flag is not None
    assert flag.reason == "wrong_accounts"


def test_what_the_model_wrote_is_handed_on() -> None:
    task = ledger()
    state = task.advance(task.initial_state(), {"action": "declined", "next_state": {"ann": 7, "bob": 9}})
    assert state["balances"] == {"ann": 7, "bob": 9}


@pytest.mark.parametrize(
    ("decision", "ann", "flagged"), [("declined", 1000, False), ("declined", 490, True), ("applied", 1000, False)]
)
def test_what_is_declined_and_changes_a_balance_is_a_flag(decision: str, ann: int, flagged: bool) -> None:
    task = ledger()
    flag = task.validate(task.initial_state(), {"action": decision, "next_state": {"ann": ann, "bob": 0}})
    assert (flag and flag.reason) == ("contradiction" if flagged else None)


def test_an_account_given_two_balances_is_a_flag() -> None:
    with pytest.raises(RedFlag, match="bad_balances"):
        ledger().parse('decision = "applied"\nbalances = {"ann": 1, "bob": 2, "ann": 490}')


@pytest.mark.parametrize("name", [7, None, "\ud800", "a\nb"])
def test_an_account_has_a_name_that_can_be_shown(name: Any) -> None:
    with pytest.raises(ValueError, match="the name of an account is a text of printable characters"):
        Ledger({name: 5}, [{"id": "t", "kind": "deposit", "account": name, "amount": 5}])
