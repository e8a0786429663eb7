"""What a model wrote is read, not guessed; and what it claims was said is looked up."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocli.grounding import NOT_FOUND, ground, heard, sentences
from audiocli.records import Point, Segment, Summary, Word
from audiocli.summary import FORMLESS, SILENT, UNFILLED, parse

FIELDS = ("overview", "key_points", "decisions", "action_items", "open_questions")


def read(text: str, start_s: float = 0.0, end_s: float = 600.0) -> Summary:
    return parse(text, start_s, end_s, method="notes of a model")


def every(summary: Summary) -> list[Point]:
    return [point for field in FIELDS for point in getattr(summary, field)]


def test_the_form_asked_for_is_read_as_it_stands() -> None:
    summary = read(
        "OVERVIEW: The release was moved.\n"
        'KEY POINT [0:45]: Connections get lost "the box still loses its connection"\n'
        "DECISION [1:25-1:30]: Move the release\n"
        'ACTION [1:31]: Repair the connection | Peter | by Wednesday "repair the connection by Wednesday"\n'
        "QUESTION [3:44]: Can old boxes be changed?\n"
    )
    assert summary == Summary(
        "notes of a model",
        overview=(Point("The release was moved."),),
        key_points=(Point("Connections get lost", 45.0, quote="the box still loses its connection"),),
        decisions=(Point("Move the release", 85.0, 90.0),),
        action_items=(
            Point(
                "Repair the connection",
                91.0,
                who="Peter",
                when="by Wednesday",
                quote="repair the connection by Wednesday",
            ),
        ),
        open_questions=(Point("Can old boxes be changed?", 224.0),),
    )


@pytest.mark.parametrize(
    "line",
    [
        "DECISION [1:02]: Move it",
        "decision [1:02]: Move it",
        "- **DECISION [1:02]:** Move it",
        "* *Decision* [01:02]: Move it",
        "**Decision:** [1:02] Move it",
        "3. Decision 2 (1:02): Move it",
        "DECISION: [00:01:02] Move it",
        "DECISION: Move it [1:02]",
        "Decisions made:\n- [1:02] Move it",
        "## Decisions\n\n1. Move it [1:02]",
        "### **Decisions**\n[1:02] Move it",
        "> DECISION [62s]: Move it",
        "Decision – [1:02]: Move it",
        "```\nDECISION [1:02]: Move it\n```",
        "ENTSCHEIDUNG [1:02]: Move it",
        "DÉCISION [1:02] : Move it",
        "决定 [1:02]：Move it",
        "[1:02] DECISION: Move it",
        "DECISION [1:02] Move it",
        "DECISION 1:02: Move it",
        "DECISION [~1:02]: Move it",
        "DECISION [1m02s]: Move it",
        "| Type | Time | Text |\n|---|---|---|\n| DECISION | 1:02 | Move it |",
        '{"decisions": [{"decision": "Move it", "time": "1:02"}]}',
        '```json\n{"summary": {"decisions": [{"text": "Move it", "start_s": 62}]}}\n```',
        '[{"type": "decision", "text": "Move it", "time": "[1:02]"}]',
    ],
)
def test_other_ways_to_write_the_same_are_read_alike(line: str) -> None:
    assert every(read(line)) == [Point("Move it", 62.0)]
    assert read(line).decisions and read(line).unreliable is None


@pytest.mark.parametrize(
    "line",
    [
        "ACTION: Write the letter | Laura | before Thursday",
        "ACTION ITEM 1: **Write the letter** | Laura | before Thursday",
        "Action: Write the letter (who: Laura, when: before Thursday)",
        "TODO: Write the letter, owner: Laura, due: before Thursday",
        "ACTION: Write the letter; Who: Laura; When: before Thursday.",
        "ACTION: Write the letter. Who: Laura. When: before Thursday.",
        "ACTION: Write the letter [Owner: Laura] [Due: before Thursday]",
        "ACTION: Write the letter | who does it: Laura | by when: before Thursday",
        "## Action items\n| Task | Owner | Due |\n|---|---|---|\n| Write the letter | Laura | before Thursday |",
        "## Next steps\n| Owner | Task | Due |\n|:--|---|---|\n| Laura | Write the letter | before Thursday |",
        '{"action_items": [{"task": "Write the letter", "assignee": "Laura", "deadline": "before Thursday"}]}',
        '{"Action Items": ["Write the letter | Laura | before Thursday"]}',
    ],
)
def test_who_and_when_are_told_apart(line: str) -> None:
    assert read(line).action_items == (Point("Write the letter", who="Laura", when="before Thursday"),)


@pytest.mark.parametrize("nobody", ["-", "none", "N/A", "unassigned", "not specified", "", "who", "Unknown."])
def test_nobody_is_not_a_name(nobody: str) -> None:
    assert read(f"ACTION [0:10]: Call | {nobody} | {nobody}").action_items == (Point("Call", 10.0),)


def test_sections_without_content_and_unfilled_lines_give_no_points() -> None:
    text = "OVERVIEW: We met.\nDECISION: none\nACTION [m:ss]: what | who | when\n## Open questions\nNone.\n- N/A\n"
    assert every(read(text)) == [Point("We met.")]


NOTHING_SAID = """
None.
(none)
N/A - this is a lecture
No decisions were made in this part.
No decision was reached.
No decisions, action items or open questions were mentioned.
There are no action items in this part of the recording.
There were no specific decisions or tasks mentioned by the speakers.
There is no decision mentioned in this segment.
No action required.
Nothing was decided.
Nothing was left open.
None were made in this section.
None stated.
Not specified in the recording
The speaker does not make any decisions.
Keine.
Keine Entscheidungen getroffen.
Es wurden keine Entscheidungen getroffen.
Aucune.
Ninguna
没有
what was decided or agreed
what is to be done | who does it | by when
""".strip().splitlines()


@pytest.mark.parametrize("text", NOTHING_SAID)
@pytest.mark.parametrize("form", ["DECISION: {}", "ACTION [0:10]: {}", "## Open questions\n- {}", "**Decisions:** {}"])
def test_saying_that_there_is_none_makes_no_point(form: str, text: str) -> None:
    assert every(read(f"OVERVIEW: We met.\n{form.format(text)}")) == [Point("We met.")]


@pytest.mark.parametrize(
    "text",
    [
        "No smoking in the office from Monday.",
        "No decision will be taken before the board has met.",
        "Nothing will be ordered until the budget is approved.",
        "No new features before the release.",
        "No one was named to replace Tom.",
        "None of the old boxes may be shipped.",
        "There are no seats left for the summer fair.",
        "Not to hire anybody this year.",
        "Keine Rechnung wird ohne Nummer bezahlt.",
    ],
)
def test_a_negative_that_tells_something_is_a_point(text: str) -> None:
    assert read(f"DECISION [0:10]: {text}").decisions == (Point(text, 10.0),)
    assert read(f"QUESTION [0:10]: {text}").open_questions == (Point(text, 10.0),)


def test_a_key_point_may_say_that_nothing_was_done() -> None:
    text = "No action was taken in the years before the flood."
    assert read(f"KEY POINT: {text}").key_points == (Point(text),)


def test_titled_and_numbered_bullets_keep_title_and_time() -> None:
    text = (
        "## Key Points\n1. **Connection** (00:12): It gets lost.\n"
        "2. **Budget**\n   - Cut by 10% [1:45]\n   - No travel\n"
        "## Action Items\n- **Laura**:\n  - Write the letter\n- Pay the bill\n"
    )
    summary = read(text)
    assert summary.key_points == (
        Point("Connection: It gets lost.", 12.0),
        Point("Budget: Cut by 10%", 105.0),
        Point("Budget: No travel"),
    )
    assert [point.text for point in summary.action_items] == ["Laura: Write the letter", "Pay the bill"]


def test_a_line_that_begins_with_a_time_is_a_point_of_its_own() -> None:
    summary = read("KEY POINTS\n[0:12] The box fails\n[0:40] Users complain,\neven Tom\n0:50 - Sales fall")
    assert summary.key_points == (
        Point("The box fails", 12.0),
        Point("Users complain, even Tom", 40.0),
        Point("Sales fall", 50.0),
    )


def test_labels_in_one_line_are_taken_apart() -> None:
    summary = read(
        "OVERVIEW: We met. DECISION [1:02]: Move it. ACTION [1:31]: Repair it | Peter | - QUESTION: Who pays?"
    )
    assert every(summary) == [
        Point("We met."),
        Point("Move it.", 62.0),
        Point("Repair it", 91.0, who="Peter"),
        Point("Who pays?"),
    ]


def test_what_stands_in_brackets_behind_a_label_and_is_no_time_is_kept() -> None:
    assert read("DECISION [by the board]: Move it").decisions == (Point("[by the board] Move it"),)


def test_remarks_on_the_notes_stand_behind_and_are_doubted_or_say_nothing() -> None:
    summary = read(
        "First I look at the notes.\n\nOVERVIEW: We met.\n(There were no decisions in this part.)\n"
        "KEY POINT: It rains.\nNo questions were left open.\n**Note:** The recording ends abruptly."
    )
    assert summary.key_points == (Point("It rains."),)
    assert [(point.text, point.doubt) for point in summary.overview] == [
        ("We met.", None),
        ("First I look at the notes.", FORMLESS),
        ("Note: The recording ends abruptly.", FORMLESS),
    ]


def test_a_line_said_over_and_over_is_one_point_and_the_one_cut_off_is_kept() -> None:
    summary = read("KEY POINT [0:12]: The box fails.\n" * 30 + "KEY POINT [0:30]: The customers are compl")
    assert [point.text for point in summary.key_points] == ["The box fails.", "The customers are compl"]


@pytest.mark.parametrize(
    "text", ["no key points, ", "| who: ", "a (1:02", "no decisions or ", "[0:1", "KEY POINT ", "x?! "]
)
def test_a_model_that_loops_is_read_at_once(text: str) -> None:
    started = time.process_time()
    read(f"DECISION: {text * 3000}")
    assert time.process_time() - started < 2


def test_a_point_goes_on_over_lines_and_a_closing_remark_is_no_part_of_it() -> None:
    summary = read("Here is what I found:\n\nKEY POINT [0:10]: A long\n  story\n\nI hope this helps!")
    assert summary.key_points == (Point("A long story", 10.0),)
    assert summary.overview == (Point("I hope this helps!", doubt=FORMLESS),)


def test_a_quotation_inside_a_sentence_stays_in_it() -> None:
    (point,) = read('KEY POINT: The button says "I am ready".').key_points
    assert (point.text, point.quote) == ('The button says "I am ready".', "I am ready")


def test_a_quote_on_its_own_line_belongs_to_the_point_above() -> None:
    (point,) = read("DECISION: Move it\n  Quote [0:12]: “we move it”").decisions
    assert (point.text, point.quote, point.start_s) == ("Move it", "we move it", 12.0)


@pytest.mark.parametrize("stamp", ["11:00", "0:10", "5:00-11:00", "7:00-6:00"])
def test_a_time_outside_of_the_stretch_is_doubted_not_taken(stamp: str) -> None:
    (point,) = read(f"DECISION [{stamp}]: Move it", start_s=300.0, end_s=600.0).decisions
    assert (point.text, point.start_s, point.end_s) == ("Move it", None, None)
    assert point.doubt is not None and stamp in point.doubt


def test_a_clock_without_fractions_is_moved_into_the_stretch() -> None:
    (point,) = read("DECISION [5:00]: Move it", start_s=300.7, end_s=600.0).decisions
    assert (point.start_s, point.doubt) == (300.7, None)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I cannot listen to audio.",
        "- one thing\n- another thing",
        '{"decisions": ["cut o',
        "[0:12] Emma greets everybody.",
        '{"unrelated": {"a": 1}}',
    ],
)
def test_what_cannot_be_read_is_kept_whole_and_marked(text: str) -> None:
    assert read(f"\n{text}\n") == Summary("notes of a model", (Point(text),), unreliable=FORMLESS)


def test_saying_nothing_is_marked() -> None:
    assert read(" \n").unreliable == SILENT
    assert read("DECISION: none").unreliable == UNFILLED


def test_deeply_nested_json_is_text() -> None:
    text = '{"decisions": ' * 100_000
    assert read(text).unreliable == FORMLESS


def test_points_repeated_where_stretches_overlap_become_one() -> None:
    summary = read(
        "ACTION [4:50]: repair the connection to the phone | Peter | -\n"
        "DECISION [4:58]: move the release\n"
        'ACTION [5:10]: Repair the connection to the phone. | - | by Wednesday "repair it by Wednesday"\n'
    )
    assert summary.action_items == (
        Point(
            "repair the connection to the phone",
            290.0,
            who="Peter",
            when="by Wednesday",
            quote="repair it by Wednesday",
        ),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("DECISION [1:00]: we will move the release", "DECISION [1:05]: we will not move the release"),
        ("DECISION [1:00]: pay 200 euros for the table", "DECISION [1:05]: pay 300 euros for the table"),
        ("DECISION [1:00]: move the release", "DECISION [2:00]: move the release"),
        ("DECISION [1:00]: move the release", "QUESTION [1:00]: move the release"),
        ("ACTION [1:00]: write the letter | Tom | -", "ACTION [1:00]: write the letter | Laura | -"),
        ("ACTION [1:00]: test it | - | on Friday", "ACTION [1:00]: test it | - | on Monday"),
    ],
)
def test_points_that_only_look_alike_stay_apart(one: str, other: str) -> None:
    assert len(every(read(f"{one}\n{other}"))) == 2


@given(st.text(alphabet=st.sampled_from("aB :-*#[]()|\"'{}0123456789.\n?“”DECISION"), max_size=200))
def test_no_text_breaks_the_reader_and_none_with_words_vanishes(text: str) -> None:
    summary = read(text)
    assert bool(every(summary)) or summary.unreliable


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.sampled_from(["decisions", "text", "who", "x"]),
        st.recursive(st.text() | st.integers() | st.none(), st.lists),
    )
)
def test_no_json_breaks_the_reader(value: object) -> None:
    assert isinstance(read(json.dumps(value)), Summary)


# The transcript


def said(*texts: str) -> list[Segment]:
    """One segment each ten seconds, nine seconds long."""
    return [Segment(10.0 * index, 10.0 * index + 9, text) for index, text in enumerate(texts)]


def checked(point: Point, segments: Sequence[Segment]) -> Point:
    (result,) = ground(Summary("m", decisions=(point,)), segments).decisions
    return result


MEETING = said(
    "Good morning. We decided, in the end,", "to move the release! Peter, please repair it by Wednesday.", "Don't wait."
)


@pytest.mark.parametrize(
    ("quote", "start_s", "end_s"),
    [
        ("Good morning.", 0.0, 3.0),
        ("we DECIDED in the end to move — the release", 3.4, 12.9),
        ("Don’t  wait", 20.0, 29.0),
        ("Peter please", 13.3, 15.3),
    ],
)
def test_a_quote_is_found_across_segments_whatever_its_case_and_punctuation(
    quote: str, start_s: float, end_s: float
) -> None:
    point = checked(Point("x", quote=quote), MEETING)
    assert point.found is True and point.doubt is None
    assert point.start_s == pytest.approx(start_s, abs=0.1)
    assert point.end_s == pytest.approx(end_s, abs=0.1)


@pytest.mark.parametrize(
    "quote", ["we have decided", "move the releases", "decided to move", "ood morning", "wait. Good"]
)
def test_a_quote_that_is_nearly_right_is_not_found(quote: str) -> None:
    point = checked(Point("x", 4.0, quote=quote), MEETING)
    assert (point.found, point.doubt, point.start_s) == (False, NOT_FOUND, 4.0)


def test_of_several_places_the_one_next_to_the_points_time_is_meant() -> None:
    segments = said("yes we do", "no", "yes we do")
    assert checked(Point("x", quote="we do"), segments).start_s == pytest.approx(4.0)
    assert checked(Point("x", 19.0, quote="yes we do"), segments).start_s == 20.0


def test_times_come_from_words_where_the_segment_has_them() -> None:
    words = (Word(0.0, 0.5, "Good"), Word(6.0, 6.4, " old"), Word(6.4, 6.8, " day"))
    point = checked(Point("x", quote="old day"), [Segment(0.0, 9.0, "Good old day.", words)])
    assert (point.start_s, point.end_s) == (6.0, 6.8)


def test_a_found_quote_dispels_the_doubt_about_the_time_and_no_other() -> None:
    (point,) = read('DECISION [59:00]: Move it "to move the release"').decisions
    assert point.doubt
    assert checked(point, MEETING).doubt is None
    assert checked(Point("x", quote="to move the release", doubt=FORMLESS), MEETING).doubt == FORMLESS


def test_who_and_when_that_nobody_said_are_doubted() -> None:
    def doubt(who: str | None, when: str | None) -> str | None:
        return checked(Point("x", who=who, when=when), MEETING).doubt

    assert doubt("Peter", "on Wednesday") is None
    assert doubt(None, None) is None
    assert "Paul" in str(doubt("Paul", "by Wednesday"))
    assert "Friday" in str(doubt("Peter", "by Friday"))


def test_a_speakers_label_counts_as_said() -> None:
    segments = [Segment(0.0, 1.0, "I will do it", speaker="Emma")]
    assert checked(Point("x", who="Emma"), segments).doubt is None


def test_without_a_transcript_nothing_is_found_or_denied() -> None:
    point = Point("x", quote="anything", who="Anybody")
    assert checked(point, []) == point
    assert checked(point, said("...")) == point


def test_chinese_is_found_without_blanks() -> None:
    assert checked(Point("x", quote="决定推迟"), said("我们决定", "推迟发布。")).found is True


def test_grounding_twice_changes_nothing() -> None:
    summary = read('ACTION [0:05]: repair | Paul | by Friday "repair it"\nDECISION: go "never said"')
    once = ground(summary, MEETING)
    assert ground(once, MEETING) == once


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (
            ["It costs 3.5 million. Mr. Baker", "paid. Really?! Yes."],
            ["It costs 3.5 million.", "Mr. Baker paid.", "Really?!", "Yes."],
        ),
        (["I met J. Smith at 5 p.m. on Main St. today."], ["I met J. Smith at 5 p.m. on Main St. today."]),
        (["So do I. No. No. 5 is", "right."], ["So do I.", "No.", "No. 5 is right."]),
        (["Am 3. Mai z. B. kommt Dr. Weiß. Gut."], ["Am 3. Mai z. B. kommt Dr. Weiß.", "Gut."]),
        (["我们决定了。", "好！走吧"], ["我们决定了。", "好！", "走吧"]),
        (["...", "well... yes"], ["well...", "yes"]),
    ],
)
def test_sentences_are_joined_over_segments_and_short_forms_end_none(texts: list[str], expected: list[str]) -> None:
    assert [sentence.text for sentence in sentences(heard(said(*texts)))] == expected


def test_a_sentence_ends_where_somebody_else_speaks_or_after_a_long_pause() -> None:
    segments = [
        Segment(0.0, 1.0, "we could", speaker="Ann"),
        Segment(1.0, 2.0, "no", speaker="Ben"),
        Segment(2.0, 3.0, "wait", speaker="Ben"),
        Segment(9.0, 9.5, "fine", speaker="Ben"),
    ]
    found = [(one.text, one.speaker, one.start_s, one.end_s) for one in sentences(heard(segments))]
    assert found == [("we could", "Ann", 0.0, 1.0), ("no wait", "Ben", 1.0, 3.0), ("fine", "Ben", 9.0, 9.5)]


@pytest.mark.parametrize("texts", [["word " * 12] * 40, ["word " * 480]])
def test_speech_without_full_stops_is_cut_and_nothing_of_it_lost(texts: list[str]) -> None:
    found = sentences(heard([Segment(4.0 * i, 4.0 * i + 4, text.strip()) for i, text in enumerate(texts)]))
    assert all(len(one.text.split()) <= 36 for one in found)
    assert " ".join(one.text for one in found).split() == ["word"] * 480
    assert all(before.end_s <= after.start_s for before, after in zip(found, found[1:], strict=False))
