from __future__ import annotations

import contextlib
import copy
import re
from hashlib import sha256
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import HasOracle, HasVariants
from langgraph_maker.tasks import TowersOfHanoi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph_maker.core.task import State, Vote

SIX = TowersOfHanoi(6)
FOUR = TowersOfHanoi(4)
MENDING = TowersOfHanoi(4, repairing=True)
GOOD = {"action": [1, 0, 1], "next_state": [[4, 3, 2], [1], []]}
MOVE = "move = [1, 0, 1]"
STATE = "next_state = [[4, 3, 2], [1], []]"
HUGE = 5_000_000
VARIANTS = range(FOUR.variants)


def walk(task: TowersOfHanoi) -> Iterator[tuple[State, Vote]]:
    state = task.initial_state()
    while not task.is_done(state):
        vote = task.oracle(state)
        yield state, vote
        state = task.advance(state, vote)


def after_legal_move(pegs: list[list[int]], move: list[int]) -> list[list[int]]:
    disk, start, end = move
    assert start != end
    assert pegs[start][-1] == disk
    assert all(disk < other for other in pegs[end])
    moved = copy.deepcopy(pegs)
    moved[end].append(moved[start].pop())
    return moved


def positions(task: TowersOfHanoi) -> st.SearchStrategy[State]:
    """Legal positions of `task`, on the shortest path or off it, after any move."""

    def build(where: list[int]) -> list[list[int]]:
        return [[disk for disk in range(task.disks, 0, -1) if where[disk - 1] == peg] for peg in range(3)]

    pegs = st.lists(st.integers(0, 2), min_size=task.disks, max_size=task.disks).map(build)
    move = st.none() | st.lists(st.integers(-1, 7), min_size=3, max_size=3)
    return st.fixed_dictionaries({"previous": move, "pegs": pegs})


def worked_example(task: TowersOfHanoi, variant: int) -> str:
    text = task.prompt(task.initial_state(), variant)[0].text
    return next(part for part in text.split("\n\n") if part.startswith("EXAMPLE"))


def reason(task: TowersOfHanoi, text: str) -> str:
    with pytest.raises(RedFlag) as flag:
        task.parse(text)
    assert len(flag.value.detail) < 500
    return flag.value.reason


@pytest.mark.parametrize("disks", range(1, 11))
def test_the_strategy_moves_all_disks_to_peg_2_in_the_fewest_moves(disks: int) -> None:
    task = TowersOfHanoi(disks)
    pegs = [list(range(disks, 0, -1)), [], []]
    moves = 0
    for state, vote in walk(task):
        assert state["pegs"] == pegs
        pegs = after_legal_move(pegs, vote["action"])
        assert vote["next_state"] == pegs
        moves += 1
    assert pegs == [[], [], list(range(disks, 0, -1))]
    assert moves == task.steps == 2**disks - 1


@pytest.mark.parametrize("disks", [29, 30])
def test_the_largest_puzzles_begin_with_legal_moves(disks: int) -> None:
    for state, vote in islice(walk(TowersOfHanoi(disks)), 1000):
        assert vote["next_state"] == after_legal_move(state["pegs"], vote["action"])


@pytest.mark.parametrize(("disks", "way_round"), [(4, [0, 1, 2, 0]), (5, [0, 2, 1, 0])])
def test_disk_1_makes_every_second_move_and_goes_one_way_round(disks: int, way_round: list[int]) -> None:
    moves = [vote["action"] for _, vote in walk(TowersOfHanoi(disks))]
    assert [move[0] == 1 for move in moves] == [step % 2 == 0 for step in range(len(moves))]
    assert [move[1:] for move in moves[::2]][:3] == [way_round[0:2], way_round[1:3], way_round[2:4]]


@given(positions(SIX))
def test_the_oracle_answers_legal_positions_off_the_path(state: State) -> None:
    try:
        vote = SIX.oracle(state)
    except ValueError:
        assert state["previous"][0] == 1
        assert sorted(map(len, state["pegs"])) == [0, 0, 6]
        return
    assert vote["next_state"] == after_legal_move(state["pegs"], vote["action"])
    assert (vote["action"][0] == 1) == (state["previous"] is None or state["previous"][0] != 1)


@pytest.mark.parametrize(
    "pegs",
    [
        *([[4, 3, 1, 2], [], []], [[1, 2, 3, 4], [], []], [[4, 3, 2], [], []], [[4, 3, 2, 1], [1], []]),
        *([[5, 4, 3, 2, 1], [], []], [[4, 3, 2, 1], []], [[4, 3, 2, 1], [], [], []], []),
    ],
)
def test_the_oracle_refuses_positions_that_are_not_legal(pegs: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="not a legal position of 4 disks"):
        FOUR.oracle({"previous": None, "pegs": pegs})


def test_the_oracle_refuses_a_solved_puzzle() -> None:
    with pytest.raises(ValueError, match="no move is left"):
        FOUR.oracle({"previous": [1, 1, 2], "pegs": [[], [], [4, 3, 2, 1]]})


def test_a_task_is_done_when_all_disks_lie_on_peg_2_in_order() -> None:
    assert FOUR.is_done({"previous": [1, 1, 2], "pegs": [[], [], [4, 3, 2, 1]]})
    for pegs in ([[4, 3, 2, 1], [], []], [[], [4, 3, 2, 1], []], [[], [], [4, 3, 1, 2]], [[], [1], [4, 3]]):
        assert not FOUR.is_done({"previous": [1, 1, 2], "pegs": pegs})


@given(positions(SIX))
def test_nothing_changes_the_state_it_is_given(state: State) -> None:
    before = copy.deepcopy(state)
    with contextlib.suppress(ValueError):
        vote = SIX.oracle(state)
        cast = copy.deepcopy(vote)
        following = SIX.advance(state, vote)
        SIX.prompt(following)
        SIX.is_done(following)
        assert vote == cast
        assert all(peg is not old for peg, old in zip(vote["next_state"], state["pegs"], strict=True))
    assert state == before


def test_no_two_runs_share_their_first_state() -> None:
    FOUR.initial_state()["pegs"][0].clear()
    assert FOUR.initial_state() == {"previous": None, "pegs": [[4, 3, 2, 1], [], []]}


def test_the_state_handed_on_is_the_one_the_vote_wrote() -> None:
    vote: Vote = {"action": [4, 2, 2], "next_state": [[1], [2, 3], [4]]}
    assert FOUR.advance(FOUR.initial_state(), vote) == {"previous": [4, 2, 2], "pegs": [[1], [2, 3], [4]]}


@pytest.mark.parametrize("disks", [0, -1, 31, "ten", "10", 2.5, 10.0, True, None, float("nan")])
def test_disks_must_be_a_whole_number_from_1_to_30(disks: Any) -> None:
    with pytest.raises(ValueError, match="disks is a whole number from 1 to 30, not"):
        TowersOfHanoi(disks)


def test_what_a_task_says_of_itself() -> None:
    assert (FOUR.name, FOUR.disks, FOUR.steps, FOUR.repairing) == ("hanoi", 4, 15, False)
    assert repr(MENDING) == "TowersOfHanoi(disks=4, repairing=True)"
    assert TowersOfHanoi().disks == 10
    assert isinstance(FOUR, HasOracle)
    assert isinstance(FOUR, HasVariants)
    assert FOUR.variants == 6


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("disks", [1, 4, 5, 20, 30])
def test_an_answer_in_the_asked_form_parses_to_the_vote(disks: int, variant: int) -> None:
    task = TowersOfHanoi(disks)
    asked = task.prompt(task.initial_state(), variant)[0].text.splitlines()[-2:]
    for _, vote in islice(walk(task), 50):
        text = "\n".join(asked)
        text = text.replace("[disk, from, to]", str(vote["action"]))
        text = text.replace("[[...], [...], [...]]", str(vote["next_state"]))
        assert task.parse(text) == vote
        assert task.parse(f"Disk 1 moved last, so it stays.\n\n{text}\n") == vote
        assert TowersOfHanoi(disks, repairing=True).parse(text) == vote


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("disks", "height"), [(20, 4), (19, 5)])
def test_the_worked_example_is_right(disks: int, height: int, variant: int) -> None:
    example = worked_example(TowersOfHanoi(disks), variant)
    assert f"of a puzzle with {height} disks" in example
    task = TowersOfHanoi(height)
    state = task.read_state([HumanMessage(example)])
    assert state in [seen for seen, _ in walk(task)]
    assert task.parse(example) == task.oracle(state)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_asked_form_itself_is_no_answer(variant: int) -> None:
    assert reason(FOUR, FOUR.prompt(FOUR.initial_state(), variant)[0].text) == "bad_move"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_instructions_are_the_same_at_every_step_and_the_state_comes_last(variant: int) -> None:
    for state, _ in walk(FOUR):
        instructions, position = FOUR.prompt(state, variant)
        assert isinstance(instructions, SystemMessage)
        assert instructions.text == FOUR.prompt(FOUR.initial_state(), variant)[0].text
        assert isinstance(position, HumanMessage)
        assert position.text == f"Previous move: {state['previous']}\nCurrent state: {state['pegs']}"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("disks", "way_round"), [(20, " clockwise: 0 > 1 > 2"), (19, " counter-clockwise: 0 > 2 > 1")])
def test_a_prompt_names_the_number_of_disks_and_the_way_round(disks: int, way_round: str, variant: int) -> None:
    task = TowersOfHanoi(disks)
    instructions = task.prompt(task.initial_state(), variant)[0].text
    assert f"{disks} disks" in instructions
    assert way_round in instructions


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_prompt_at_20_disks_has_about_600_tokens(variant: int) -> None:
    task = TowersOfHanoi(20)
    for state, _ in islice(walk(task), 100):
        assert 450 <= sum(len(message.text) for message in task.prompt(state, variant)) / 4 <= 750


@given(positions(SIX), st.sampled_from(VARIANTS))
def test_the_state_can_be_read_back_from_the_prompt(state: State, variant: int) -> None:
    assert SIX.read_state(SIX.prompt(state, variant)) == state


@pytest.mark.parametrize(
    ("disks", "digest"), [(3, "8949510410b2aeba"), (4, "a8807a1da281ab11"), (20, "9736c2eec845ae73")]
)
def test_the_ordinary_prompt_stays_as_it_is(disks: int, digest: str) -> None:
    task = TowersOfHanoi(disks)
    for messages in (task.prompt(task.initial_state()), task.prompt(task.initial_state(), 0)):
        said = "\0".join(message.type + message.text for message in messages)
        assert sha256(said.encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize(("one", "other"), list(combinations(VARIANTS, 2)))
def test_variants_differ_in_at_least_two_of_wording_example_and_order(one: int, other: int) -> None:
    shared = [first == second for first, second in zip(aspects(one), aspects(other), strict=True)]
    assert sum(shared) <= 1


def aspects(variant: int) -> tuple[str, str, list[str]]:
    example, text = worked_example(FOUR, variant), FOUR.prompt(FOUR.initial_state(), variant)[0].text
    headings = [part.splitlines()[0] for part in text.split("\n\n")]
    order = [REWORDED.get(heading, heading) for heading in headings[1:]]
    assert sorted(order) == sorted({*REWORDED.values(), example.splitlines()[0]})
    return headings[0], example, order


REWORDED = {
    "THE PUZZLE": "RULES",
    "WHICH DISK MOVES": "HOW TO CHOOSE THE MOVE",
    "THE STATE AFTERWARDS": "HOW TO WRITE THE NEXT STATE",
    "YOUR ANSWER": "OUTPUT",
}


@pytest.mark.parametrize("variant", [-1, 6, 0.0, True, None, "1"])
def test_a_variant_that_there_is_not_is_refused(variant: Any) -> None:
    with pytest.raises(ValueError, match="variant is a whole number from 0 to 5, not"):
        FOUR.prompt(FOUR.initial_state(), variant)


def test_states_that_only_a_repaired_vote_could_bring_about_can_be_read_back() -> None:
    for pegs in ([[], [7]], [[-3]], [[4, 4], [], [], [1]]):
        state = {"previous": [1, 2], "pegs": pegs}
        assert MENDING.read_state(MENDING.prompt(state)) == state


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [AIMessage("Previous move: None\nCurrent state: [[1], [], []]")],
        [SystemMessage("Previous move: None\nCurrent state: [[1], [], []]")],
        [HumanMessage("What is the weather?")],
        [HumanMessage("Previous move: None\nCurrent state: [[1], [,], []]")],
        [HumanMessage("Previous move: [1, 0\nCurrent state: [[1], [], []]")],
        [HumanMessage("Previous move: None\nCurrent state: [[1], [], []]"), HumanMessage("And now?")],
    ],
)
def test_a_prompt_of_something_else_is_refused(messages: list[Any]) -> None:
    with pytest.raises(ValueError, match="not a prompt of TowersOfHanoi"):
        FOUR.read_state(messages)


@pytest.mark.parametrize(
    "text",
    [
        f"{MOVE}\n{STATE}",
        f"{STATE}\n{MOVE}",
        f"{MOVE}, {STATE}.",
        "MOVE = [1, 0, 1]\nNext_State = [[4, 3, 2], [1], []]",
        "move=[1,0,1]\nnext_state=[[4,3,2],[1],[]]",
        "move  =\t[ 1 , 0 , 1 ]\r\nnext_state =\n[\n  [4, 3, 2],\n  [1],\n  [ ]\n]\n",
        "**move** = [1, 0, 1]\n**next_state** = [[4, 3, 2], [1], []]",
        f"**{MOVE}**\n`{STATE}`",
        "`move` = `[1, 0, 1]`\n`next_state` = `[[4, 3, 2], [1], []]`",
        f"```\n{MOVE}\n{STATE}\n```",
        f"move = [9, 9, 9]\nnext_state = [[1], [2], [3]]\nNo, wait.\n{MOVE}\n{STATE}",
        f"move = [9, 9\nnext_state = [[1]\nNo, wait.\n{MOVE}\n{STATE}",
        f"{MOVE}\n{STATE}\nnext_move = [2, 0, 2]\nremove = [3]\nmoves = [4]\nmy_next_state = []",
        f"{MOVE}\n{STATE}\nPrevious move: [2, 0, 1]\nThe move is [3, 0, 2]; move = done",
        f"\0\ud800 {MOVE}\n{STATE} \0",
    ],
)
def test_the_last_move_and_state_in_the_asked_form_are_the_vote(text: str) -> None:
    assert FOUR.parse(text) == GOOD


@pytest.mark.parametrize("move", [[1, 0, 1], [4, 2, 2], [7, 5, 9], [0, -1, 3], [999_999_999, 0, 1]])
@pytest.mark.parametrize("pegs", [[[4, 3, 2], [1], []], [[1, 2, 3, 4], [], []], [[], [1, 4], [2, 3]]])
def test_legality_is_left_to_the_vote(move: list[int], pegs: list[list[int]]) -> None:
    assert FOUR.parse(f"move = {move}\nnext_state = {pegs}") == {"action": move, "next_state": pegs}


BAD_MOVES = """
[1, 0] | [1, 0, 1, 2] | [] | [1, 0, 1 | [1, 0, 1]] | [[1, 0, 1]] | [1, 0, 1,] | [1 0 1]
[1, 0, 1.0] | [1, 0, 1e0] | [1, 0, +1] | [1, 0, 01] | [1, 0, - 1] | [1, 0, true] | [1, 0, 'B']
["1", 0, 1] | [1, 0, 1_0] | [1, 0, 0x1] | [1, 0, \u0661] | [\uff11, 0, 1] | [1, 0,\u00a01]
[1, 0, 1\0] | [1, 0, 1000000000] | [disk, from, to]"""
BAD_STATES = """
[[4, 3, 2], [1]] | [[4, 3, 2], [1], [], []] | [[4, 3, 2], [1], [] | [[4, 3, 2], [1], []]]
[[4, 3, 2], [1], [[]]] | [[4, 3, 2, [1], []] | [4, 3, 2], [1], [] | [[4, 3, 2] [1] []]
[[4, 3, 2], [1], [],] | [[4, 3, 2,], [1], []] | [] | [[4, 3, 2], [1], 5] | [[4, 3, 2], [], []]
[[4, 3, 2], [1], [1]] | [[4, 3, 2], [5], []] | [[4, 3, 2], [0], []] | [[4, 3, 2], [-1], []]
[[4, 3, 2], [1.0], []] | [[4, 3, 2], [true], []] | [[4, 3, 2], [\u0661], []] | [[4, 3, 2], [01], []]
[[4-3, 2], [1], []] | [[4, 3, 2],\u00a0[1], []] | [[...], [...], [...]]"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no_move"),
        (STATE, "no_move"),
        (f"move: [1, 0, 1]\n{STATE}", "no_move"),
        (f"move = 1, 0, 1\n{STATE}", "no_move"),
        (f"move = (1, 0, 1)\n{STATE}", "no_move"),
        (f"next_move = [1, 0, 1]\n{STATE}", "no_move"),
        (MOVE, "no_state"),
        (f"{MOVE}\nstate = [[4, 3, 2], [1], []]", "no_state"),
        (f"{MOVE}\nnext state = [[4, 3, 2], [1], []]", "no_state"),
        (f"{MOVE}\n{STATE}\nmove = [1, 0", "bad_move"),
        (f"{MOVE}\n{STATE}\nnext_state = [[4, 3", "bad_state"),
        *((f"move = {move}\n{STATE}", "bad_move") for move in re.split(r" \| |\n", BAD_MOVES)[1:]),
        *((f"{MOVE}\nnext_state = {pegs}", "bad_state") for pegs in re.split(r" \| |\n", BAD_STATES)[1:]),
    ],
)
def test_anything_else_is_a_red_flag(text: str, expected: str) -> None:
    assert reason(FOUR, text) == expected


PIECES = st.sampled_from(["move", "next_state", " = ", "[", "]", "[[4, 3, 2], [1], []]", ", ", "1", "\n", "-"])


@given(st.text() | st.lists(PIECES, max_size=40).map("".join))
def test_parsing_never_raises_anything_but_a_red_flag(text: str) -> None:
    for task in (FOUR, MENDING):
        try:
            vote = task.parse(text)
        except RedFlag:
            continue
        assert vote.keys() == {"action", "next_state"}
        assert task.vote_key(vote)


@given(st.sampled_from(list(walk(SIX))), st.sampled_from(["", " ", "\n", " \t"]), st.booleans())
def test_votes_that_differ_in_layout_are_equal(step: tuple[State, Vote], blank: str, upper: bool) -> None:
    vote = step[1]
    text = re.sub(r"(?<=,) ", blank, f"move = {vote['action']}\nnext_state = {vote['next_state']}")
    assert SIX.vote_key(SIX.parse(text.upper() if upper else text)) == SIX.vote_key(vote)


BEFORE_STATE = f"{MOVE}\nnext_state = "
# What comes before, and what is then repeated for five million characters.
HOSTILE = [
    ("", "["), ("", "\0"), ("", "move "), ("", "move = ["), ("", "move" + " " * 2000), ("move", " "),
    ("move", "*"), ("move = [", " "), ("move = [", "["), ("move = [", "-"), ("move = [1, 0, ", "9"),
    (MOVE, "next_state = [["), (BEFORE_STATE, "["), (f"{BEFORE_STATE}[", "[], "),
    (f"{BEFORE_STATE}[[", " "), (f"{BEFORE_STATE}[[", "1, "), (f"{BEFORE_STATE}[[4, 3, 2], [", "0"),
    (f"{BEFORE_STATE}[[4, 3, 2], [1", "] "),
]  # fmt: skip


@pytest.mark.parametrize("end", ["", pytest.param("1], [], []]", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("before", "repeated"), HOSTILE)
def test_hostile_text_is_read_in_linear_time(before: str, repeated: str, end: str) -> None:
    text = before + repeated * (HUGE // len(repeated)) + end
    assert reason(FOUR, text) in {"no_move", "bad_move", "no_state", "bad_state"}
    with contextlib.suppress(RedFlag):
        vote = MENDING.parse(text)
        assert len(vote["action"]) <= 3
        assert len(vote["next_state"]) <= 3


AT_PEGS = "Previous move: None\nCurrent state: "


@pytest.mark.parametrize(
    ("before", "repeated"),
    [
        *(("", "Previous move: ["), ("", "Previous move: None\n"), ("Previous move: None", " ")),
        *(("Previous move: [", "1"), (AT_PEGS, "["), (f"{AT_PEGS}[", "[], "), (f"{AT_PEGS}[[", "1")),
    ],
)
def test_hostile_prompts_are_refused_in_linear_time(before: str, repeated: str) -> None:
    with pytest.raises(ValueError, match="not a prompt of TowersOfHanoi"):
        FOUR.read_state([HumanMessage(before + repeated * (HUGE // len(repeated)))])


def test_a_huge_answer_is_read_at_its_end() -> None:
    assert FOUR.parse("move = [1, 2" * (HUGE // 12) + f"\n{MOVE}\n{STATE}") == GOOD


@pytest.mark.parametrize(
    "text",
    [
        f"{MOVE}\n{STATE}",
        "move = [1, 0, 1\nnext_state = [[4, 3, 2], [1], []",
        "move = [1, 0, 1\nnext_state = [[4, 3, 2, [1], [",
        "move = 1, 0, 1\nnext_state = [4, 3, 2], [1], []",
        "move: [1 0 1]\nnext_state: [[4 3 2] [1] []]",
        '{"move": [1, 0, 1], "next_state": [[4, 3, 2], [1], []]}',
        "**move** = **[1, 0, 1]**\n`next_state` = `[[4, 3, 2], [1], []]`",
        "move = [1, 0, 1, 5]\nnext_state = [[4, 3, 2], [1], [], [9]]",
        f"move = [9, 9, 9]\nnext_state = [[9], [], []]\nNo, wait.\n{MOVE}\n{STATE}",
        f"{MOVE}\n{STATE}\nSo my move = done and next_state = [",
    ],
)
def test_repairing_closes_brackets_and_takes_what_it_can(text: str) -> None:
    assert MENDING.parse(text) == GOOD


def test_repairing_checks_nothing() -> None:
    assert MENDING.parse("move = [7]\nnext_state = [[4, 4], [-1]]") == {
        "action": [7],
        "next_state": [[4, 4], [-1]],
    }
    assert MENDING.parse(f"{MOVE}\nnext_state = [[], [], [2, 1]]")["next_state"] == [[], [], [2, 1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no_move"),
        (STATE, "no_move"),
        ("move = [disk, from, to]", "no_move"),
        (MOVE, "no_state"),
        (f"{MOVE}\nnext_state = [[], [], []]", "no_state"),
        (f"move = [{'9' * 20}]\n{STATE}", "no_move"),
    ],
)
def test_repairing_flags_only_where_nothing_can_be_taken(text: str, expected: str) -> None:
    assert reason(MENDING, text) == expected
