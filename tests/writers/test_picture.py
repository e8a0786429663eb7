"""The picture shows what the document says, where it says it, for any document, and leaves nothing behind."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from document_strategies import document, documents, hostile, silent, spoken
from hypothesis import given, settings
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from audiocli.records import Analysis, ChunkSpan, Document, Event, Facts, Gap, Point, Segment, Summary
from audiocli.writers import picture
from audiocli.writers.picture import render_png

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"
FACTS = Facts(speech_s=100.0, speech_share=0.5, pauses=0, longest_pause_s=0.0)


def pixels(made: Document):
    """The picture as a viewer sees it: float (height, width, 3)."""
    return imread(io.BytesIO(render_png(made)))[:, :, :3]


def columns(made: Document, colour: str) -> set[int]:
    """Where on the time axis a colour is seen at all, in percent of the recording."""
    image = pixels(made)
    height, width = image.shape[:2]
    rows = image[round((1 - picture.TOP) * height) : round((1 - picture.BOTTOM) * height)]
    seen = np.flatnonzero((np.abs(rows - to_rgb(colour)) < 0.02).all(axis=2).any(axis=0))
    return set(((seen / width - picture.LEFT) / (picture.RIGHT - picture.LEFT) * 100).round().astype(int).tolist())


def analysed(*timeline: Event, duration_s: float = 1000.0, **others) -> Document:
    return replace(silent(duration_s), analysis=Analysis("measured", FACTS, timeline), **others)


def near(found: set[int], first: int, last: int) -> bool:
    """Whether columns run from one percentage to the other, to within the rounding of pixels."""
    inner, outer = set(range(first + 1, last)), set(range(first - 1, last + 2))
    return inner <= found <= outer


def colour_of(kind: str) -> str:
    return picture.KINDS[kind][1]


@pytest.mark.parametrize("kind", picture.KINDS)
def test_an_event_is_drawn_where_it_happened(kind):
    timeline = (Event(0.0, 100.0, "silence" if kind != "silence" else "speech"), Event(300.0, 450.0, kind))
    assert near(columns(analysed(*timeline), colour_of(kind)), 30, 45)


def test_events_that_were_only_to_be_shown_among_words_are_drawn_too():
    made = replace(document(spoken("a b c", 500.0, 30.0)), events=(Event(60.0, 120.0, "music"),))
    assert near(columns(made, colour_of("music")), 10, 20)
    assert near(columns(made, picture.WORDS), 83, 98)


def test_what_is_unreliable_or_was_not_heard_stands_out():
    made = document(Segment(0.0, 300.0, "well"), Segment(300.0, 360.0, "la la la", unreliable="it repeats itself"))
    made = replace(made, gaps=(Gap(420.0, 480.0, "out of memory"),))
    assert near(columns(made, picture.DOUBTFUL), 50, 60)
    assert near(columns(made, picture.MISSED), 70, 80)


def test_a_second_lost_in_three_hours_is_seen():
    lost = replace(silent(10_800.0), gaps=(Gap(5400.0, 5401.0, "damaged"),))
    assert not np.array_equal(pixels(lost), pixels(silent(10_800.0)))
    image = pixels(lost)
    assert ((image[:, :, 0] - image[:, :, 1]) > 0.4).any()


def test_loud_stretches_are_shown_where_no_analysis_says_what_they_are():
    loud = (Gap(300.0, 450.0, "loud"),)
    assert near(columns(replace(silent(1000.0), loud=loud), picture.DOUBTFUL), 30, 45)
    assert not columns(analysed(Event(300.0, 450.0, "sound"), loud=loud), picture.DOUBTFUL)


@pytest.mark.parametrize("field", picture.MARKS)
def test_points_of_a_summary_stand_at_their_time(field):
    colour = picture.MARKS[field][2]
    point = Point("We meet on Friday.", start_s=400.0)
    made = analysed(summary=Summary("extractive", **{field: (point, Point("Somewhere.", start_s=None))}))
    assert columns(made, colour) >= {40}
    assert columns(made, colour) <= {39, 40, 41}


def test_a_point_in_doubt_is_hollow():
    def inked(point: Point) -> int:
        image = pixels(analysed(summary=Summary("notes", decisions=(point,))))
        part = image[:, 400:]  # right of the legend's first entry
        return int((np.abs(part - to_rgb(picture.MARKS["decisions"][2])) < 0.02).all(axis=2).sum())

    sure = Point("Yes.", start_s=900.0)
    assert inked(replace(sure, doubt="not in the notes")) < inked(sure) / 2
    assert inked(replace(sure, quote="yes", found=False)) < inked(sure) / 2
    assert inked(replace(sure, quote="yes", found=True)) == inked(sure)


def test_borders_of_chunks_are_shown_and_one_chunk_has_none():
    chunks = tuple(ChunkSpan(index, 270.0 * index, 270.0 * index + 300.0, ()) for index in range(3))
    plain = silent(840.0)
    assert render_png(replace(plain, chunks=chunks)) != render_png(plain)
    assert render_png(replace(plain, chunks=chunks[:1])) == render_png(plain)


def test_days_of_chunks_leave_the_rows_legible():
    chunks = tuple(ChunkSpan(index, 270.0 * index, 270.0 * index + 300.0, ()) for index in range(960))
    image = pixels(replace(silent(960 * 270.0), chunks=chunks))
    assert (image > 0.9).all(axis=2).mean() > 0.9


@pytest.mark.parametrize(
    ("duration_s", "labels"),
    [(0.0, ["0:00", "0:01"]), (61.0, ["0:00", "0:10", "0:20", "0:30", "0:40", "0:50", "1:00"])]
    + [(10_800.0, ["0:00", "30:00", "1:00:00", "1:30:00", "2:00:00", "2:30:00", "3:00:00"])]
    + [(86_400.0 * 30, [f"{hour}:00:00" if hour else "0:00" for hour in range(0, 721, 72)])],
)
def test_the_axis_counts_as_clocks_do(duration_s, labels):
    from matplotlib.figure import Figure

    axes = Figure().add_axes((0, 0, 1, 1))
    picture._frame(axes, [], max(duration_s, 1.0))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == labels


@settings(deadline=None, max_examples=15)
@given(documents())
def test_any_document_becomes_a_picture_of_the_same_size(made):
    image = pixels(made)
    assert image.shape == (625, 1600, 3)


@settings(deadline=None, max_examples=25)
@given(hostile(8))
def test_any_name_is_drawn_without_a_warning(name):
    """pytest makes errors of warnings, as of a character that no font has."""
    assert render_png(replace(silent(), source=name + ".mp3")).startswith(PNG)


@pytest.mark.parametrize(
    "name", [r"$\frac{1}{$.mp3", "a_b^c $x$.mp3", "{}%&#.mp3", "日本語の会議.wav", "שלום 👩‍👩‍👧.m4a"]
)
def test_a_name_is_no_formula_and_needs_no_font(name):
    assert render_png(replace(silent(), source=name)) != render_png(replace(silent(), source="x"))


@pytest.mark.parametrize("character", ["W", "i", "日"])
def test_a_long_name_leaves_room_for_the_duration(character):
    short, long = (pixels(replace(silent(), source=character * count)) for count in (1, 500))
    assert np.array_equal(short[:100, 1400:], long[:100, 1400:])


def test_equal_documents_give_equal_bytes_without_a_date():
    made = analysed(Event(0.0, 100.0, "music"), summary=Summary("x", key_points=(Point("y", 3.0),)))
    written = render_png(made)
    assert written == render_png(made)
    assert b"Software" not in written
    assert b"tIME" not in written


def test_nothing_is_left_behind_and_no_window_is_thought_of():
    code = """if True:
        import sys
        sys.path.insert(0, "tests/writers")
        from document_strategies import silent
        import audiocli.writers.picture as picture
        assert "matplotlib" not in sys.modules
        import matplotlib
        asked = sorted(set(matplotlib.rcParams) - {"backend"})  # to ask for the backend chooses one
        before = [matplotlib.rcParams[name] for name in asked]
        picture.render_png(silent())
        assert [matplotlib.rcParams[name] for name in asked] == before
        print(sorted({"matplotlib.pyplot", "tkinter"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_silent_recording_says_that_nothing_was_heard():
    said = replace(silent(), analysis=Analysis("measured", FACTS, (Event(0.0, 12.5, "silence"),)))
    middle = (slice(250, 400), slice(700, 1000))
    assert (pixels(silent())[middle] < 0.6).any()
    assert not (pixels(said)[middle] < 0.6).any()
