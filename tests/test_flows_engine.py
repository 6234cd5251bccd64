"""The engine: what it says and asks after each answer, with the product's own flows and with small ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.engine import advance, again, asked, begin, load
from flows.model import Answer, Flow, FlowError, Position, Turn

FLOWS = load()
REPORT, CHECKIN = FLOWS["report"], FLOWS["checkin"]

SKIP = Answer("skip", "0")


def words(text: str, *told: str) -> Answer:
    return Answer("text", text, told=frozenset(told))


def pick(value: str, text: str = "1") -> Answer:
    return Answer("option", text, value)


def play(flow: Flow, answers: list[Answer], facts: Mapping[str, Any] | None = None) -> list[Turn]:
    turns = [begin(flow, facts or {"channel": "sms"})]
    for answer in answers:
        position = turns[-1].position
        assert position is not None, "the flow was over before the answers were"
        kept = json.loads(json.dumps(position.as_dict()))
        turns.append(advance(flow, Position.from_dict(kept), answer))
    return turns


def said(turn: Turn) -> list[str]:
    return [event.values["msgid"] for event in turn.events if event.name == "said"]


def happened(turn: Turn) -> list[tuple[str, Mapping[str, Any]]]:
    return [(event.name, event.values) for event in turn.events if event.name != "said"]


def node(turn: Turn) -> str | None:
    return turn.ask.node if turn.ask else None


def asked_nodes(turns: list[Turn]) -> list[str | None]:
    return [node(turn) for turn in turns]


VICTIM = [
    words("A man spat at me"),
    words("My son saw it"),
    pick("done"),
    pick("victim"),
    words("My headscarf"),
    words("Yesterday"),
    words("On the bus"),
    pick("yes"),
    pick("yes"),
    pick("yes"),
    pick("yes"),
]


def test_the_first_text_holds_emergency_who_we_are_the_channel_card_and_the_limits_before_any_question() -> None:
    turn = begin(REPORT, {"channel": "telegram"})
    assert said(turn) == ["welcome.emergency", "welcome.who", "card.telegram", "welcome.limits", "welcome.skip", "story.ask"]
    assert node(turn) == "story"


def test_a_victim_is_heard_from_end_to_end() -> None:
    turns = play(REPORT, VICTIM)
    assert asked_nodes(turns) == [
        "story", "more", "more_again", "role", "motive", "when", "where", "safe_now", "contact", "check_in", "read_back", None,
    ]  # fmt: skip
    assert said(turns[4]) == ["motive.victim"]
    assert turns[-1].position is None
    assert happened(turns[-1]) == [
        (
            "report_confirmed",
            {
                "report": {
                    "role": "victim",
                    "authority": None,
                    "story": ["A man spat at me", "My son saw it"],
                    "perception": "My headscarf",
                    "when": "Yesterday",
                    "earlier": None,
                    "where": "On the bus",
                    "safe_now": "yes",
                    "contact": "yes",
                    "told": [],
                    "remarks": [],
                    "retells": None,
                }
            },
        ),
        ("consent_given", {"purpose": "contact"}),
        ("consent_given", {"purpose": "check_in"}),
        ("check_in_wanted", {"in_days": 3}),
    ]
    assert said(turns[-1]) == ["receipt"]


def test_an_anonymous_witness_gives_nothing_but_the_story() -> None:
    answers = [words("I saw a man being kicked"), pick("done"), pick("witness"), SKIP, SKIP, SKIP, pick("anonymous"), pick("yes")]
    turns = play(REPORT, answers)
    assert asked_nodes(turns) == ["story", "more", "role", "motive", "when", "where", "contact", "read_back", None]
    assert said(turns[3]) == ["motive.witness"]
    assert said(turns[6]) == ["contact.witness"]
    confirmed, anonymity = happened(turns[-1])
    assert confirmed[1]["report"]["story"] == ["I saw a man being kicked"]
    assert confirmed[1]["report"]["perception"] == "skipped"
    assert confirmed[1]["report"]["safe_now"] is None
    assert anonymity == ("anonymity_wanted", {})


def test_a_story_that_came_first_is_not_asked_for_again() -> None:
    turn = begin(REPORT, {"channel": "sms", "story": ["He spat at me"]})
    assert node(turn) == "more"
    assert said(turn)[-1] == "more.ask"
    assert "story.ask" not in said(turn)


def test_what_the_story_told_is_neither_asked_nor_invented() -> None:
    turns = play(
        REPORT,
        [words("On Monday at school he spat at me", "when", "where"), pick("done"), pick("victim"), SKIP, SKIP, pick("yes")],
    )
    assert asked_nodes(turns) == ["story", "more", "role", "motive", "earlier", "safe_now", "contact"]
    turns += play_on(turns[-1], [pick("reporter_first"), pick("yes")])
    assert said(turns[-2]) == ["readback.intro", "readback.story", "readback.when_told", "readback.where_told"]
    report = happened(turns[-1])[0][1]["report"]
    assert (report["when"], report["where"], report["told"]) == (None, None, ["when", "where"])


def test_a_fact_told_while_answering_another_question_is_not_asked() -> None:
    turns = play(
        REPORT, [words("He spat at me"), pick("done"), pick("victim"), words("Because of the mosque", "where"), words("Friday")]
    )
    assert node(turns[-1]) == "safe_now"


def play_on(turn: Turn, answers: list[Answer]) -> list[Turn]:
    turns = []
    for answer in answers:
        assert turn.position is not None
        turn = advance(REPORT, turn.position, answer)
        turns.append(turn)
    return turns


def test_skipping_works_at_every_question_and_only_the_read_back_waits_for_a_word() -> None:
    turns = play(REPORT, [SKIP] * 7)
    assert asked_nodes(turns) == ["story", "role", "motive", "when", "where", "safe_now", "contact", "read_back"]
    assert said(turns[2]) == ["motive.unknown"]
    assert said(turns[-1]) == ["readback.intro", "readback.nothing"]
    again_asked, over = play_on(turns[-1], [SKIP, pick("yes")])
    assert node(again_asked) == "read_back"
    assert said(again_asked) == ["unclear"]
    report = happened(over)[0][1]["report"]
    assert report["story"] == []
    assert {report[fact] for fact in ("role", "perception", "when", "where", "safe_now", "contact")} == {"skipped"}


def test_an_unclear_answer_is_asked_once_more_and_then_kept_as_a_remark() -> None:
    first, second = Answer("unclear", "my cousin and me"), Answer("unclear", "both of us")
    turns = play(REPORT, [words("He spat at us"), pick("done"), first, second])
    assert said(turns[3]) == ["unclear"]
    assert [option.value for option in turns[3].events[0].values["options"]] == ["victim", "witness", "on_behalf"]
    assert node(turns[3]) == "role"
    assert node(turns[4]) == "motive"
    assert turns[4].position is not None
    assert turns[4].position.facts["remarks"] == ["my cousin and me", "both of us"]
    assert turns[4].position.facts["role"] == "skipped"


def test_a_clear_answer_after_an_unclear_one_starts_the_count_anew() -> None:
    unclear = Answer("unclear", "hm")
    turns = play(REPORT, [words("x"), pick("done"), unclear, pick("victim"), SKIP, SKIP, SKIP, unclear])
    assert node(turns[-1]) == "safe_now"
    assert turns[-1].position is not None
    assert turns[-1].position.facts["unclear_at"] == "safe_now"


@pytest.mark.parametrize(
    "answer", [pick("victim", "1, and my mother was pushed too"), Answer("skip", "no, he would know that it was me")]
)
def test_words_beside_a_number_or_a_skip_are_kept_as_a_remark(answer: Answer) -> None:
    turns = play(REPORT, [words("x"), pick("done"), answer])
    assert turns[-1].position is not None
    assert turns[-1].position.facts["remarks"] == [answer.text]


def test_remarks_are_read_back_and_are_in_the_report() -> None:
    turns = play(
        REPORT, [words("x"), pick("done"), pick("victim", "1, and my mother was pushed too"), *[SKIP] * 4, pick("reporter_first")]
    )
    assert said(turns[-1])[-1] == "readback.also"
    (over,) = play_on(turns[-1], [pick("yes")])
    assert happened(over)[0][1]["report"]["remarks"] == ["1, and my mother was pushed too"]


def test_an_option_that_was_not_offered_counts_as_unclear() -> None:
    turns = play(REPORT, [words("x"), pick("done"), pick("bystander")])
    assert (node(turns[-1]), said(turns[-1])) == ("role", ["unclear"])


def test_not_being_safe_is_told_at_once_and_gives_the_emergency_line() -> None:
    turns = play(REPORT, [words("x"), pick("done"), pick("victim"), SKIP, SKIP, SKIP, pick("no")])
    assert happened(turns[-1]) == [("risk_raised", {"reason": "not_safe"})]
    assert said(turns[-1]) == ["safe.emergency", "contact.ask"]


def test_the_read_back_shows_the_reporters_own_words_and_leaves_out_what_was_skipped() -> None:
    turns = play(
        REPORT,
        [
            words("Cuspiu-me  na cara 😡"),
            pick("done"),
            pick("victim"),
            SKIP,
            words("ontem"),
            SKIP,
            pick("yes"),
            pick("yes"),
            pick("no"),
        ],
    )
    shown = [(event.values["msgid"], event.values["values"]) for event in turns[-1].events]
    assert shown == [
        ("readback.intro", {}),
        ("readback.story", {"story": "Cuspiu-me  na cara 😡"}),
        ("readback.when", {"when": "ontem"}),
    ]
    assert [bool(event.values["options"]) for event in turns[-1].events] == [False, False, True]


@pytest.mark.parametrize(
    ("part", "fact", "kept"),
    [
        ("story", "story", ["new words"]),
        ("why", "perception", "new words"),
        ("when", "when", "new words"),
        ("where", "where", "new words"),
    ],
)
def test_each_part_can_be_corrected_and_is_read_back_again(part: str, fact: str, kept: object) -> None:
    read_back = play(REPORT, VICTIM[:-1])[-1]
    choose, write, shown, over = play_on(read_back, [pick("change"), pick(part), words("new words"), pick("yes")])
    assert (node(choose), said(write), node(shown)) == ("change", ["change.write"], "read_back")
    assert happened(over)[0][1]["report"][fact] == kept


def test_skipping_a_correction_keeps_what_was_said() -> None:
    read_back = play(REPORT, VICTIM[:-1])[-1]
    *_, over = play_on(read_back, [pick("change"), pick("where"), SKIP, pick("yes")])
    assert happened(over)[0][1]["report"]["where"] == "On the bus"


@pytest.mark.parametrize(
    ("answer", "events", "texts"),
    [
        (pick("yes"), [("checked_in", {"safe": True, "remarks": []})], ["checkin.thanks"]),
        (pick("no"), [("checked_in", {"safe": False, "remarks": []})], ["checkin.emergency"]),
        (pick("no_more"), [("consent_withdrawn", {"purpose": "check_in"})], ["checkin.no_more"]),
        (SKIP, [("checked_in", {"safe": None, "remarks": []})], ["checkin.not_said"]),
    ],
)
def test_a_check_in_asks_once_and_is_over(answer: Answer, events: list[object], texts: list[str]) -> None:
    asked_turn, over = play(CHECKIN, [answer], {})
    assert said(asked_turn) == ["checkin.ask"]
    assert (over.position, happened(over), said(over)) == (None, events, texts)


def test_words_at_a_check_in_reach_a_person() -> None:
    unclear = Answer("unclear", "he was here again")
    over = play(CHECKIN, [unclear, unclear], {})[-1]
    assert happened(over) == [("checked_in", {"safe": None, "remarks": ["he was here again"] * 2})]


def test_the_engine_changes_neither_the_position_nor_the_facts_it_was_given() -> None:
    facts: dict[str, Any] = {"channel": "sms", "story": ["one"], "told": ["when"]}
    turn = begin(REPORT, facts)
    assert turn.position is not None
    before = json.dumps(turn.position.as_dict())
    advance(REPORT, turn.position, words("two", "where"))
    assert json.dumps(turn.position.as_dict()) == before
    assert facts == {"channel": "sms", "story": ["one"], "told": ["when"]}


def test_the_same_question_can_be_said_again() -> None:
    turn = play(REPORT, VICTIM[:4])[-1]
    assert turn.position is not None
    repeated = again(REPORT, turn.position)
    assert (repeated.position, repeated.ask, said(repeated)) == (turn.position, turn.ask, ["motive.victim"])
    assert asked(REPORT, turn.position) == turn.ask


def test_a_question_says_which_told_fact_would_answer_it() -> None:
    turn = play(REPORT, VICTIM[:5])[-1]
    assert turn.ask is not None
    assert (turn.ask.kind, turn.ask.told) == ("text", "when")


def test_a_position_at_a_node_that_is_gone_is_named_without_the_reporters_words() -> None:
    with pytest.raises(FlowError) as error:
        advance(REPORT, Position("report", "gone", {"story": ["secret"]}), SKIP)
    assert str(error.value) == "flow 'report': there is no node 'gone'; begin the flow again with the same facts"


TOLD = st.frozensets(st.sampled_from(["when", "where", "who", "injury", "online", "threat", "ongoing"]), max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_walk_ends_or_keeps_asking_and_never_asks_the_motive_or_a_told_fact_twice(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["report", "checkin"]))
    flow = FLOWS[name]
    start: dict[str, Any] = {"channel": "sms"}
    if name == "report" and data.draw(st.booleans()):
        start |= {"story": ["opening"], "told": sorted(data.draw(TOLD))}
    turn, count, left = begin(flow, start), {"motive": 0, "when": 0, "where": 0}, 40
    while turn.position is not None and left:
        left -= 1
        assert turn.ask is not None
        assert said(turn), "a question without a word"
        if said(turn) != ["unclear"] and turn.ask.node in count:
            count[turn.ask.node] += 1
            assert turn.ask.told is None or turn.ask.told not in turn.position.facts.get("told", [])
        values = [option.value for option in turn.ask.options] or ["none"]
        answer = data.draw(
            st.one_of(
                st.builds(Answer, st.just("option"), st.just("1"), st.sampled_from(values)),
                st.builds(Answer, st.just("text"), st.text(min_size=1, max_size=30), told=TOLD),
                st.builds(Answer, st.sampled_from(["skip", "unclear"]), st.text(min_size=1, max_size=10)),
            )
        )
        before, turn = turn.position, advance(flow, Position.from_dict(json.loads(json.dumps(turn.position.as_dict()))), answer)
        if turn.position is not None and answer.kind == "text" and not before.node.startswith("change_"):
            kept = json.dumps(turn.position.facts)
            assert json.dumps(answer.text) in kept, "words were lost"
    assert max(count.values()) <= 1


# ---- flow files with a mistake -----------------------------------------------------------------------------------------------

GOOD = """
flow: small
start: hello
nodes:
  hello: {say: a, ask: choice, options: {no: b, yes: c}, saves: fact, next: bye}
  bye: {say: d, next: over}
"""


def write(folder: Path, text: str) -> Path:
    (folder / "small.yaml").write_text(text, "utf-8")
    return folder


def test_every_scalar_of_a_flow_file_stays_text(tmp_path: Path) -> None:
    ask = begin(load(write(tmp_path, GOOD))["small"]).ask
    assert ask is not None
    assert [option.value for option in ask.options] == ["no", "yes"]


@pytest.mark.parametrize(
    ("wrong", "right", "sentence"),
    [
        (
            "next: bye}",
            "next: by}",
            "small.yaml: flow 'small': 'hello' goes to 'by', which is not a node; the nodes are hello, bye",
        ),
        (
            "start: hello",
            "start: hullo",
            "small.yaml: flow 'small' starts at 'hullo', which is not a node; the nodes are hello, bye",
        ),
        ("say: d,", "says: d,", "small.yaml: node 'bye': 'says' is not a key it can have; correct the spelling or remove it"),
        ("{say: d, next: over}", "{say: d}", "small.yaml: node 'bye': 'next' is missing; add it"),
        ("ask: choice", "ask: chioce", "small.yaml: node 'hello': 'ask' is wrong: Input should be 'text', 'choice'"),
        ("options: {no: b, yes: c}, ", "", "small.yaml: node 'hello': it asks a choice without 'options': add 'options'"),
        ("say: a, ", "", "small.yaml: node 'hello': it asks without a word: add 'say'"),
        (
            "next: over}",
            "next: bye}",
            "small.yaml: flow 'small': 'bye' to 'bye' goes round and may never ask; let one of them always ask",
        ),
        ("  bye:", "  hello:", "small.yaml is not YAML at line 5: the key 'hello' stands twice; check the indentation"),
        ("next: over}", "next: [{to: over, when: {fact: no}}]}", "small.yaml: node 'bye': the last 'next' has a 'when'"),
        ("nodes:", "nodes: ]", "small.yaml is not YAML at line 4"),
        ("flow: small", "", "small.yaml: the file: 'flow' is missing; add it"),
    ],
)
def test_a_mistake_in_a_flow_file_is_named_with_file_node_and_mend(tmp_path: Path, wrong: str, right: str, sentence: str) -> None:
    assert wrong in GOOD
    with pytest.raises(FlowError) as error:
        load(write(tmp_path, GOOD.replace(wrong, right)))
    assert str(error.value).startswith(sentence)


def test_two_flows_of_one_name_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="no flow file"):
        load(tmp_path)
    write(tmp_path, GOOD)
    (tmp_path / "twin.yaml").write_text(GOOD, "utf-8")
    with pytest.raises(FlowError, match=r"twin.yaml: there are two flows named 'small'; rename one"):
        load(tmp_path)


def test_a_choice_of_several_keeps_a_list(tmp_path: Path) -> None:
    flow = load(
        write(
            tmp_path,
            GOOD.replace("ask: choice", "ask: choices")
            .replace("next: bye", "next: hold")
            .replace("  bye:", "  hold: {say: e, ask: text, next: bye}\n  bye:"),
        )
    )["small"]
    turn = play(flow, [pick("no,yes", "1 2")], {})[-1]
    assert turn.position is not None
    assert turn.position.facts["fact"] == ["no", "yes"]
