"""What `audiocli.timeline` promises: every line in the form asked for is an event, and no time leaves its stretch."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiocli.records import Event, Note
from audiocli.timeline import timeline


def noted(*lines: str, start_s: float = 0.0, end_s: float = 60.0) -> Note:
    return Note(start_s, end_s, "\n".join(lines))


@pytest.mark.parametrize(
    "line",
    [
        "MUSIC [0:10-0:25]: a piano",
        "music [0:10-0:25]: a piano",
        "- MUSIC [0:10–0:25]: a piano",
        "**MUSIC** [0:10-0:25]: a piano",
        "* Music (0:10 to 0:25) - a piano",
        "MUSIC 0:10-0:25: a piano",
        "MUSIC [0:10.0 - 0:25.00]:  a  piano **",
        "MUSIC\t[ 0:10-0:25 ] : a piano",
    ],
)
def test_a_line_is_an_event_however_it_is_dressed(line):
    assert timeline([noted(line)]) == (Event(10.0, 25.0, "music", text="a piano"),)


def test_events_of_all_notes_ascend():
    notes = [
        noted("TONE [0:40-0:50]: calm", "SPEECH [0:05-0:50]: two people"),
        noted("SETTING: a large hall", start_s=60, end_s=90),
    ]
    assert [(one.kind, one.start_s, one.end_s) for one in timeline(notes)] == [
        ("speech", 5.0, 50.0),
        ("tone", 40.0, 50.0),
        ("setting", 60.0, 90.0),
    ]


def test_what_goes_on_over_the_edge_of_a_stretch_is_one_event():
    notes = [noted("MUSIC [0:30-1:00]: drums"), noted("MUSIC [1:00-1:20]: Drums", start_s=60, end_s=120)]
    assert timeline(notes) == (Event(30.0, 80.0, "music", text="drums"),)


def test_the_same_sound_later_is_another_event():
    notes = [noted("SOUND [0:01-0:02]: a bell", "SOUND [0:30-0:31]: a bell")]
    assert len(timeline(notes)) == 2


def test_hours_are_read_and_a_missing_time_is_the_whole_stretch():
    notes = [noted("SOUND [1:00:10-1:00:20]: a train", "SPEECH: somebody", start_s=3600, end_s=3630)]
    assert {(one.kind, one.start_s, one.end_s) for one in timeline(notes)} == {
        ("sound", 3610.0, 3620.0),
        ("speech", 3600.0, 3630.0),
    }


@pytest.mark.parametrize(
    "line", ["", "I hear some music.", "KEY POINT [0:10]: a piano", "MUSIC", "MUSIC [0:10]:", "MUSIC: ***", "10:20"]
)
def test_what_is_in_no_such_form_is_no_event(line):
    assert timeline([noted(line)]) == ()


@pytest.mark.parametrize("filler", [" ", "*", "* ", "- ", "0:10", "[", ":"])
def test_what_a_failing_model_repeats_is_read_at_once(filler):
    """Runs of blanks took time by the fifth power of their length: hours for what one answer may hold."""
    started = time.process_time()
    timeline([noted("MUSIC" + filler * 500 + "x", filler * 500 + "MUSIC")])
    assert time.process_time() - started < 2


def test_the_events_of_a_long_day_are_joined_at_once():
    lines = [[f"SOUND: thing {number % 500}", f"TONE: voice {number}"] for number in range(10_000)]
    notes = [noted(*two, start_s=30.0 * at, end_s=30.0 * at + 30) for at, two in enumerate(lines)]
    started = time.process_time()
    assert len(timeline(notes)) == 20_000
    assert time.process_time() - started < 5


@given(st.lists(st.text(max_size=60), max_size=5), st.integers(0, 7200), st.integers(0, 600))
def test_no_text_breaks_it_and_no_event_leaves_its_stretch(lines, start_s, length_s):
    kinds = ["MUSIC [0:10-9:99:99]: x", "SOUND [99:59:59-0:00]: y"]
    note = Note(float(start_s), float(start_s + length_s), "\n".join([*lines, *kinds]))
    for event in timeline([note]):
        assert note.start_s <= event.start_s <= event.end_s <= note.end_s
