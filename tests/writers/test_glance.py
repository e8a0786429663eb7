"""The course of hours in a few rows: what is shown is true, what is joined or left out is said."""

from __future__ import annotations

from dataclasses import replace

from document_strategies import events, promise
from hypothesis import given
from hypothesis import strategies as st

from audiocli.records import Event
from audiocli.writers.glance import ROWS, Course, condense, row


def talk(*, turns: int, speech_s: float, pause_s: float) -> list[Event]:
    """Speech and pauses by turns."""
    made = []
    for turn in range(turns):
        start_s = turn * (speech_s + pause_s)
        made.append(Event(start_s, start_s + speech_s, "speech"))
        made.append(Event(start_s + speech_s, start_s + speech_s + pause_s, "silence"))
    return made


@promise
@given(st.lists(events, max_size=60), st.integers(1, 30))
def test_there_are_never_more_rows_than_fit_and_they_ascend(timeline: list[Event], rows: int) -> None:
    shown = condense(timeline, rows).events
    assert len(shown) <= rows
    assert [event.start_s for event in shown] == sorted(event.start_s for event in shown)


@promise
@given(st.lists(events, max_size=60), st.integers(1, 30))
def test_a_row_begins_and_ends_where_something_of_its_kind_does(timeline: list[Event], rows: int) -> None:
    for event in condense(timeline, rows).events:
        alike = [one for one in timeline if one.kind == event.kind]
        assert event.start_s in {one.start_s for one in alike}
        assert event.end_s in {one.end_s for one in alike}


@promise
@given(st.lists(events, max_size=60), st.integers(1, 30))
def test_what_is_not_silence_is_covered_unless_it_is_counted_as_left_out(timeline: list[Event], rows: int) -> None:
    course = condense(timeline, rows)
    if course.left_out:
        return
    for event in timeline:
        around = [one for one in course.events if one.kind == event.kind and one.start_s <= event.start_s]
        assert event.kind == "silence" or any(event.end_s <= one.end_s for one in around)


def test_a_short_timeline_is_shown_as_it_is() -> None:
    timeline = talk(turns=3, speech_s=5, pause_s=0.3)
    assert condense(timeline) == Course(tuple(timeline))
    assert condense(timeline).remark == ""
    full = talk(turns=ROWS // 2, speech_s=5, pause_s=0.3)
    assert condense(full) == Course(tuple(full))


def test_pauses_go_first_and_the_long_one_stays() -> None:
    timeline = talk(turns=40, speech_s=5, pause_s=0.7)
    later = [replace(event, start_s=event.start_s + 300, end_s=event.end_s + 300) for event in timeline]
    course = condense([*timeline, Event(228, 300, "silence"), *later])
    assert [(event.kind, event.start_s) for event in course.events] == [
        ("speech", 0),
        ("silence", 228),
        ("speech", 300),
    ]
    assert course.remark == "stretches up to 1 s apart are joined"


def test_silence_is_never_stretched_over_what_lies_between() -> None:
    course = condense(talk(turns=40, speech_s=0.4, pause_s=30))
    assert all(event.end_s - event.start_s <= 30 for event in course.events if event.kind == "silence")


def test_what_models_told_apart_is_not_joined_and_the_shortest_is_left_out() -> None:
    tones = [Event(60.0 * index, 60.0 * index + 10 + index, "tone", text=f"mood {index}") for index in range(ROWS + 3)]
    course = condense(tones)
    assert course.events == tuple(tones[3:])
    assert course.left_out == 3
    assert course.remark == "stretches up to 2048 s apart are joined, the 3 shortest are left out"


def test_music_in_pieces_becomes_one_stretch() -> None:
    pieces = [Event(10.0 * index, 10.0 * index + 9.8, "music", 0.9) for index in range(40)]
    assert condense(pieces).events == (Event(0.0, 399.8, "music"),)


def test_ten_hours_of_talk_fit_on_a_page() -> None:
    assert 1 <= len(condense(talk(turns=8000, speech_s=4, pause_s=0.6)).events) <= ROWS


def test_a_row_says_when_and_what() -> None:
    assert row(Event(7.9, 754, "music")) == "0:07–12:34 music"
    assert row(Event(0, 3661, "tone", text="calm,\nfriendly")) == "0:00–1:01:01 tone: calm, friendly"
