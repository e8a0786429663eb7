"""Subtitles that can be read: nothing lost, nothing too wide, nothing at the wrong time, and real parsers agree."""

from __future__ import annotations

import html
import io
import re
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import av
import pytest
from document_strategies import (
    document,
    documents,
    events,
    found,
    hostile,
    promise,
    prose,
    silent,
    spoken,
    unruly_documents,
    width,
)
from hypothesis import given
from hypothesis import strategies as st

from audiocli.errors import UsageError
from audiocli.records import Document, Event, Segment, Word
from audiocli.writers.said import line
from audiocli.writers.shape import Shape
from audiocli.writers.subtitles import Cue, columns, cues, render_srt, render_vtt, written_speaker

shapes = st.builds(
    Shape,
    max_line_width=st.integers(10, 60),
    max_line_count=st.integers(1, 3),
    max_cue_s=st.floats(1, 10),
    min_cue_s=st.floats(0, 1),
)

TALE = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, "
    "it was the epoch of belief, it was the epoch of incredulity."
)


def parse_srt(text: str) -> list[tuple[int, int, list[str]]]:
    """A strict reader: numbers from 1, one timing line, at least one line of text, one blank line between cues."""
    found = []
    for number, block in enumerate(text.removesuffix("\n").split("\n\n") if text else [], start=1):
        index, timing, *lines = block.split("\n")
        assert index == str(number)
        assert lines and all(lines)
        assert "-->" not in "\n".join(lines)
        times = re.fullmatch(r"(\d{2,}):(\d\d):(\d\d),(\d{3}) --> (\d{2,}):(\d\d):(\d\d),(\d{3})", timing)
        assert times, timing
        found.append((*_ms(times), lines))
    return found


def parse_vtt(text: str) -> list[tuple[int, int, str, str]]:
    """A strict reader: start, end, speaker, text. The only tag is one voice at the start; what is left is escaped."""
    header, _, body = text.partition("\n\n")
    assert header == "WEBVTT"
    found = []
    for block in body.removesuffix("\n").split("\n\n") if body else []:
        timing, *lines = block.split("\n")
        assert lines and all(lines)
        times = re.fullmatch(r"(\d{2,}):(\d\d):(\d\d)\.(\d{3}) --> (\d{2,}):(\d\d):(\d\d)\.(\d{3})", timing)
        assert times, timing
        payload = re.fullmatch(r"(?:<v ([^<>\n]+)>)?((?:[^<>&]|&(?:amp|lt|gt);)+)", "\n".join(lines))
        assert payload, lines
        found.append((*_ms(times), html.unescape(payload[1] or ""), html.unescape(payload[2])))
    return found


def _ms(times: re.Match[str]) -> tuple[int, int]:
    fields = [int(field) for field in times.groups()]
    start, end = (
        ((hour * 60 + minute) * 60 + second) * 1000 + ms for hour, minute, second, ms in (fields[:4], fields[4:])
    )
    return start, end


def demux(text: str, form: str) -> list[tuple[int, int, str]]:
    """What FFmpeg reads: start and end in ms, and the bytes of the cue."""
    with av.open(io.BytesIO(text.encode()), format=form) as container:
        stream = container.streams[0]
        assert stream.time_base == pytest.approx(0.001)
        packets = [packet for packet in container.demux(stream) if packet.size]
        return [(packet.pts, packet.pts + packet.duration, bytes(packet).decode()) for packet in packets]


def shown(text: str) -> list[str]:
    """What FFmpeg's SRT decoder hands to a player, markup obeyed."""
    with av.open(io.BytesIO(text.encode()), format="srt") as container:
        packets = [packet for packet in container.demux(container.streams[0]) if packet.size]
        return [subtitle.dialogue.decode() for packet in packets for subtitle in packet.decode()]


def visible(made: Document) -> list[Segment]:
    return [segment for segment in made.segments if width(line(segment.text))]


@promise
@given(documents(), shapes)
def test_every_word_is_in_exactly_one_cue_in_its_order(made: Document, shape: Shape) -> None:
    rest = [line(segment.text) for segment in visible(made)]
    for cue in cues(made, shape):
        for text in cue.lines:
            assert text and rest[0].startswith(text)
            rest[0] = rest[0][len(text) :].lstrip(" ")
        if not rest[0]:
            rest.pop(0)
    assert not rest


@promise
@given(documents(prose()), shapes)
def test_no_line_is_too_wide_and_no_cue_has_too_many_lines(made: Document, shape: Shape) -> None:
    for cue in (*cues(made, shape), *cues(made, shape, written_speaker)):
        assert len(cue.lines) <= shape.max_line_count
        assert max(map(width, cue.lines)) <= shape.max_line_width


@promise
@given(documents(prose()), shapes)
def test_a_word_is_broken_only_if_it_is_wider_than_a_line(made: Document, shape: Shape) -> None:
    fitting = {
        word
        for segment in made.segments
        for word in line(segment.text).split()
        if width(word) <= shape.max_line_width and not re.search(r"[\u3000-\u30ff\u4e00-\u9fff]", word)
    }
    written = {word for cue in cues(made, shape) for text in cue.lines for word in text.split()}
    assert fitting <= written


@promise
@given(documents(), shapes)
def test_cues_ascend_last_and_do_not_overlap(made: Document, shape: Shape) -> None:
    shaped = cues(made, shape)
    assert all(0 < cue.end_ms - cue.start_ms <= shape.max_cue_s * 1000 + 1 for cue in shaped)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(shaped))


@promise
@given(documents(), shapes)
def test_a_cue_begins_and_ends_in_its_segment_unless_it_stays_on_to_be_read(made: Document, shape: Shape) -> None:
    remaining = list(visible(made))
    for cue in cues(made, shape):
        while round(remaining[0].end_s * 1000) <= cue.start_ms:
            remaining.pop(0)
        start_ms, end_ms = round(remaining[0].start_s * 1000), round(remaining[0].end_s * 1000)
        wanted_s = max(shape.min_cue_s, sum(map(width, cue.lines)) / shape.max_columns_per_s)
        assert start_ms <= cue.start_ms < end_ms
        assert cue.end_ms <= max(end_ms, cue.start_ms + round(wanted_s * 1000))


@promise
@given(documents(), shapes)
def test_a_cue_is_shorter_than_the_minimum_only_if_the_next_leaves_it_no_time(made: Document, shape: Shape) -> None:
    shaped = cues(made, shape)
    limits = [*(cue.start_ms for cue in shaped), round(made.duration_s * 1000)][1:]
    for cue, limit in zip(shaped, limits, strict=False):
        assert cue.end_ms - cue.start_ms >= min(round(shape.min_cue_s * 1000), limit - cue.start_ms)


@promise
@given(unruly_documents(), shapes)
def test_segments_in_disorder_still_give_cues_in_order_apart_for_each_speaker(made: Document, shape: Shape) -> None:
    shaped = cues(made, shape)
    by_speaker: dict[str, list[Cue]] = defaultdict(list)
    for cue in shaped:
        by_speaker[cue.speaker].append(cue)
    assert [cue.start_ms for cue in shaped] == sorted(cue.start_ms for cue in shaped)
    assert all(cue.start_ms < cue.end_ms for cue in shaped)
    assert all(a.end_ms <= b.start_ms for own in by_speaker.values() for a, b in pairwise(own))
    parse_srt(render_srt(made, shape))
    parse_vtt(render_vtt(made, shape))


def test_two_speakers_at_once_keep_their_times() -> None:
    both = document(Segment(1.0, 5.0, "Let me", speaker="Ann"), Segment(2.0, 4.0, "No!", speaker="Bob"))
    assert [(cue.start_ms, cue.end_ms) for cue in cues(both, Shape())] == [(1000, 5000), (2000, 4000)]


@promise
@given(documents(), shapes)
def test_srt_reads_back_strictly_and_in_ffmpeg(made: Document, shape: Shape) -> None:
    text = render_srt(made, shape)
    parsed = parse_srt(text)
    expected = cues(made, shape, written_speaker)
    assert [(start, end) for start, end, _ in parsed] == [(cue.start_ms, cue.end_ms) for cue in expected]
    assert demux(text, "srt") == [(start, end, "\n".join(lines)) for start, end, lines in parsed]


@promise
@given(documents(), shapes)
def test_vtt_reads_back_strictly_and_in_ffmpeg(made: Document, shape: Shape) -> None:
    text = render_vtt(made, shape)
    expected = [(cue.start_ms, cue.end_ms, cue.speaker, "\n".join(cue.lines)) for cue in cues(made, shape)]
    assert parse_vtt(text) == expected
    assert [(start, end) for start, end, _ in demux(text, "webvtt")] == [(start, end) for start, end, _, _ in expected]


@pytest.mark.parametrize(
    "said", ["<b>bold</b> claim", "{\\an8}up", "C:\\new \\N \\h", "{y:i}", "a < b > c", "<font color=red>x", "<\nb>"]
)
def test_a_player_shows_markup_in_srt_as_words(said: str) -> None:
    (dialogue,) = shown(render_srt(document(Segment(0, 3, said)), Shape()))
    assert dialogue.replace("\u2060", "") == line(said).replace("{", "(").replace("}", ")")


@promise
@given(documents(), shapes)
def test_a_player_shows_every_line_of_an_srt_as_it_stands(made: Document, shape: Shape) -> None:
    text = render_srt(made, shape)
    assert shown(text) == ["\n".join(lines) for _, _, lines in parse_srt(text)]


def test_an_arrow_in_the_text_does_not_make_a_timing_line() -> None:
    arrow = document(Segment(0, 3, "00:00:01,000 --> 00:00:02,000\n\n2\n--> end"))
    assert [lines for _, _, lines in parse_srt(render_srt(arrow, Shape()))] == [["00:00:01,000 → 00:00:02,000 2 → end"]]
    assert "--&gt;" in render_vtt(arrow, Shape())


def test_the_speaker_is_a_prefix_in_srt_and_a_voice_in_vtt() -> None:
    ann = document(Segment(0, 3, "Good morning.", speaker="Ann & <Bob>"))
    assert (
        render_vtt(ann, Shape()) == "WEBVTT\n\n00:00:00.000 --> 00:00:03.000\n<v Ann &amp; &lt;Bob&gt;>Good morning.\n"
    )
    assert shown(render_srt(ann, Shape())) == ["Ann & <\u2060Bob>: Good morning."]


@promise
@given(st.text(max_size=60), st.integers(10, 60))
def test_a_written_speaker_takes_half_a_line_at_most(speaker: str, room: int) -> None:
    assert width(written_speaker(line(speaker), room)) <= room // 2


# Sounds


heard = st.lists(events, max_size=6).map(tuple)


def split(made: Document, shape: Shape) -> tuple[list[Cue], list[Cue]]:
    """The cues that stand for words, and those that stand for sounds."""
    spoken_cues = list(cues(replace(made, events=()), shape))
    rest = list(cues(made, shape))
    for cue in spoken_cues:
        rest.remove(cue)
    return spoken_cues, rest


@promise
@given(documents() | unruly_documents(), heard, shapes)
def test_sounds_change_nothing_about_the_words_and_overlap_nothing(
    made: Document, events: tuple[Event, ...], shape: Shape
) -> None:
    spoken_cues, sounds = split(replace(made, events=events), shape)
    for number, cue in enumerate(sounds):
        others = [*spoken_cues, *sounds[:number]]
        assert all(cue.end_ms <= other.start_ms or other.end_ms <= cue.start_ms for other in others)


@promise
@given(documents(), heard, shapes)
def test_a_sound_is_shown_while_it_lasts_for_a_second_or_more(
    made: Document, events: tuple[Event, ...], shape: Shape
) -> None:
    for cue in split(replace(made, events=events), shape)[1]:
        assert cue.end_ms - cue.start_ms >= min(1000, round(shape.max_cue_s * 1000))
        assert any(
            round(event.start_s * 1000) <= cue.start_ms
            and cue.end_ms <= round(event.end_s * 1000)
            and cue.lines[0].startswith(f"[{event.kind}")
            for event in events
        )
        assert width(cue.lines[0]) <= shape.max_line_width


@promise
@given(documents(), heard, shapes)
def test_subtitles_with_sounds_read_back_in_order(made: Document, events: tuple[Event, ...], shape: Shape) -> None:
    both = replace(made, events=events)
    expected = [(cue.start_ms, cue.end_ms) for cue in cues(both, shape, written_speaker)]
    assert expected == sorted(expected)
    assert [(start, end) for start, end, _ in parse_srt(render_srt(both, shape))] == expected
    assert [(start, end) for start, end, _, _ in parse_vtt(render_vtt(both, shape))] == sorted(
        (cue.start_ms, cue.end_ms) for cue in cues(both, shape)
    )


def shown_sounds(
    *events: Event, words: tuple[Segment, ...] = (), shape: Shape | None = None
) -> list[tuple[int, int, str]]:
    made = replace(document(*words), events=events)
    return [(cue.start_ms, cue.end_ms, cue.lines[0]) for cue in split(made, shape or Shape())[1]]


def test_music_is_shown_until_somebody_speaks_and_not_for_ever() -> None:
    words = (Segment(5, 8, "Good morning."),)
    assert shown_sounds(Event(1, 60, "music"), words=words) == [(1000, 5000, "[music]"), (8000, 15_000, "[music]")]


def test_music_waits_for_the_last_of_those_who_speak_at_once() -> None:
    words = (Segment(0, 6, "Let me finish this.", speaker="Ann"), Segment(1, 2, "No!", speaker="Bob"))
    assert shown_sounds(Event(0, 9, "music"), words=words) == [(6000, 9000, "[music]")]


def test_music_under_a_conversation_does_not_flicker_in_every_pause() -> None:
    words = tuple(Segment(start, start + 3, "Some words that take a while.") for start in range(2, 40, 6))
    assert shown_sounds(Event(0, 44, "music"), words=words) == [(0, 2000, "[music]")]


def test_a_sound_under_speech_or_under_a_second_is_left_out() -> None:
    words = (Segment(5, 8, "Good morning, all of you."),)
    assert shown_sounds(Event(5, 8.9, "music"), Event(20, 20.9, "sound"), words=words) == []
    assert shown_sounds(Event(5, 9, "music"), words=words) == [(8000, 9000, "[music]")]


def test_speech_and_silence_are_no_sounds() -> None:
    kinds = ("speech", "silence", "tone", "setting", "singing")
    assert shown_sounds(*(Event(0, 5, kind) for kind in kinds)) == [(0, 5000, "[singing]")]  # type: ignore[arg-type]


def test_music_and_singing_at_once_take_turns() -> None:
    assert shown_sounds(Event(0, 20, "music"), Event(0, 20, "singing")) == [
        (0, 7000, "[music]"),
        (7000, 14_000, "[singing]"),
    ]


def test_what_a_model_said_of_a_sound_is_shown_where_it_fits() -> None:
    door = Event(0, 3, "sound", text="a <door>")
    assert shown_sounds(door) == [(0, 3000, "[sound: a <door>]")]
    assert shown_sounds(door, shape=Shape(max_line_width=12)) == [(0, 3000, "[sound]")]
    assert "[sound: a &lt;door&gt;]" in render_vtt(replace(document(), events=(door,)), Shape())


@pytest.mark.parametrize("task", ["summarize", "ask", "analyze"])
def test_subtitles_hold_the_words_whatever_was_asked(task: str) -> None:
    assert "Good morning." in render_srt(found(task, spoken("Good morning.", 0)), Shape())
    assert render_srt(found(task), Shape()) == ""


def test_silence_gives_an_empty_srt_and_a_vtt_with_its_header_alone() -> None:
    assert render_srt(silent(), Shape()) == ""
    assert render_vtt(silent(), Shape()) == "WEBVTT\n\n"
    assert demux(render_vtt(silent(), Shape()), "webvtt") == []


def test_text_that_cannot_be_seen_makes_no_cue() -> None:
    assert cues(document(Segment(0, 1, " \n "), Segment(1, 2, "\u200b\u2060")), Shape()) == ()


def test_hours_may_have_three_digits() -> None:
    late = document(Segment(360_000.5, 360_002, "Still here."), duration_s=360_100)
    assert "100:00:00,500 --> 100:00:02,000" in render_srt(late, Shape())
    assert demux(render_srt(late, Shape()), "srt")[0][0] == 360_000_500


def test_prose_is_cut_after_punctuation() -> None:
    shaped = cues(document(spoken(TALE, 1.0)), Shape())
    assert [cue.lines for cue in shaped] == [
        ("It was the best of times,", "it was the worst of times,"),
        ("it was the age of wisdom,", "it was the age of foolishness,"),
        ("it was the epoch of belief,", "it was the epoch of incredulity."),
    ]


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ("I bought bread, cheese and wine for the evening", ("I bought bread, cheese", "and wine for the evening")),
        (
            'Caroline said "Stop!" Seven sailors stopped mending sails',
            ('Caroline said "Stop!"', "Seven sailors stopped mending sails"),
        ),
        (
            "Seven brave sailors watched Caroline mending torn sails",
            ("Seven brave sailors watched", "Caroline mending torn sails"),
        ),
        (
            "Caroline sang loudly while in the kitchen yesterday",
            ("Caroline sang loudly", "while in the kitchen yesterday"),
        ),
    ],
    ids=["before a conjunction", "after a quoted sentence", "in the middle", "not after a conjunction"],
)
def test_a_line_ends_where_it_reads_best(said: str, lines: tuple[str, ...]) -> None:
    (cue,) = cues(document(spoken(said, 0.0, pace_s=0.3)), Shape())
    assert cue.lines == lines


def test_a_line_ends_at_a_breath() -> None:
    said = "Seven brave sailors watched Caroline mending torn sails"
    even = spoken(said, 0.0, pace_s=0.3).words
    words = even[:3] + tuple(replace(word, start_s=word.start_s + 0.4, end_s=word.end_s + 0.4) for word in even[3:])
    (cue,) = cues(document(Segment(0, 3, said, words)), Shape())
    assert cue.lines[0] == "Seven brave sailors"


def test_a_last_short_sentence_is_not_left_alone() -> None:
    said = "Seven sailors watched the harbour loudly, brave Caroline mended their torn sails. No."
    assert cues(document(spoken(said, 0.0, pace_s=0.3)), Shape())[-1].lines == (
        "brave Caroline mended",
        "their torn sails. No.",
    )


def test_a_slow_speaker_is_not_cut_at_every_word() -> None:
    said = "This quiet man speaks slowly and stops after every single word"
    words = tuple(Word(0.6 * n, 0.6 * n + 0.1, f" {word}" if n else word) for n, word in enumerate(said.split()))
    assert len(cues(document(Segment(0, 6.2, said, words)), Shape())) == 1


def test_cues_without_a_better_place_to_cut_are_about_equal() -> None:
    first, second = cues(document(spoken(" ".join(["word"] * 20), 0.0, pace_s=0.2)), Shape())
    assert (len(" ".join(first.lines)), len(" ".join(second.lines))) == (49, 49)


def test_what_would_stay_too_long_is_cut_although_it_would_fit() -> None:
    said = "This text has no times for its words, and it takes twelve seconds."
    assert [cue.lines for cue in cues(document(Segment(0, 12, said)), Shape())] == [
        ("This text has no times for its words,",),
        ("and it takes twelve seconds.",),
    ]


def test_what_fits_one_line_stays_on_one() -> None:
    (cue,) = cues(document(spoken("Yes. No. Perhaps, and then again", 0.0)), Shape())
    assert len(cue.lines) == 1


def test_a_pause_ends_a_cue_so_that_no_word_is_shown_long_before_it_is_said() -> None:
    words = (
        Word(0, 0.5, "Wait"),
        Word(0.5, 1, " here"),
        Word(5, 5.5, " I"),
        Word(5.5, 6, " am"),
        Word(6, 6.5, " back"),
    )
    first, second = cues(document(Segment(0, 6.5, "Wait here I am back", words)), Shape())
    assert (first.lines, first.end_ms) == (("Wait here",), 1000)
    assert (second.lines, second.start_ms) == (("I am back",), 5000)


def test_words_that_spell_the_text_without_blanks_still_give_the_times() -> None:
    words = (Word(0, 1, "Hello"), Word(5, 6, "there"))
    first, second = cues(document(Segment(0, 6, "Hello there", words)), Shape())
    assert (first.lines, second.lines, second.start_ms) == (("Hello",), ("there",), 5000)


def test_words_that_do_not_spell_the_text_are_not_trusted_for_times() -> None:
    (cue,) = cues(document(Segment(0, 4, "Hello there", (Word(0, 1, "Goodbye"),))), Shape())
    assert (cue.lines, cue.start_ms, cue.end_ms) == (("Hello there",), 0, 4000)


def test_without_words_the_segment_is_shared_by_the_width_of_the_text() -> None:
    first, second = cues(document(Segment(0, 10, f"{'a' * 39}. {'b' * 39}.")), Shape(max_line_count=1))
    assert (first.start_ms, second.start_ms, second.end_ms) == (0, 5000, 10_000)


def test_a_long_cue_leaves_the_screen() -> None:
    (cue,) = cues(document(Segment(0, 30, "Thank you.")), Shape())
    assert (cue.start_ms, cue.end_ms) == (0, 7000)


def test_a_short_cue_stays_on_into_the_pause_and_not_into_the_next() -> None:
    quick = document(Segment(0, 0.2, "Yes."), Segment(0.5, 0.7, "No."), duration_s=0.9)
    assert [(cue.start_ms, cue.end_ms) for cue in cues(quick, Shape())] == [(0, 500), (500, 900)]


def test_words_without_duration_still_get_cues_that_can_be_read() -> None:
    words = tuple(Word(0, 2, "a" * 40) if index == 0 else Word(3, 3, " " + "b" * 40) for index in range(4))
    said = Segment(0, 3, "".join(word.text for word in words), words)
    starts = [cue.start_ms for cue in cues(document(said), Shape(max_line_count=1, min_cue_s=0.7))]
    assert starts == [0, 900, 1600, 2300]


def test_a_cue_waits_for_one_that_is_spoken_too_fast_to_be_read() -> None:
    words = (Word(0, 0.1, "a" * 40), Word(0.1, 5, " " + "b" * 40))
    said = Segment(0, 5, "".join(word.text for word in words), words)
    starts = [cue.start_ms for cue in cues(document(said), Shape(max_line_count=1))]
    assert starts == [0, 800]


@promise
@given(documents(), shapes)
def test_the_cues_of_a_segment_share_it_fairly_when_it_is_too_short(made: Document, shape: Shape) -> None:
    for segment in visible(made):
        shaped = cues(replace(made, segments=(segment,)), shape)
        start_ms, end_ms = round(segment.start_s * 1000), round(segment.end_s * 1000)
        share = min(round(shape.min_cue_s * 1000), (end_ms - start_ms) // len(shaped))
        assert all(cue.end_ms - cue.start_ms >= share for cue in shaped)


def test_fast_speech_stays_on_long_enough_to_be_read() -> None:
    (cue,) = cues(document(Segment(0, 1, "a" * 40)), Shape(max_columns_per_s=20))
    assert cue.end_ms == 2000


def test_japanese_is_broken_between_signs_and_not_before_a_full_stop() -> None:
    said = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 3
    shaped = cues(document(Segment(0, 40, said)), Shape(max_line_width=20))
    lines = [text for cue in shaped for text in cue.lines]
    assert "".join(lines) == said
    assert max(map(width, lines)) <= 20
    assert not any(text.startswith(("。", "ー", "っ")) for text in lines)


@pytest.mark.parametrize(
    ("said", "never_first", "never_last"), [("あー", "ー", ""), ("「あ", "", "「"), ("あ、", "、", "")]
)
def test_japanese_marks_stay_on_their_line(said: str, never_first: str, never_last: str) -> None:
    lines = [text for cue in cues(document(Segment(0, 60, said * 50)), Shape(max_line_width=10)) for text in cue.lines]
    assert "".join(lines) == said * 50
    assert not never_first or not any(text.startswith(never_first) for text in lines)
    assert not never_last or not any(text.endswith(never_last) for text in lines)


def test_korean_is_broken_at_blanks() -> None:
    said = "동해물과 백두산이 마르고 닳도록 하느님이 보우하사 우리나라 만세"
    lines = [text for cue in cues(document(Segment(0, 9, said)), Shape(max_line_width=20)) for text in cue.lines]
    assert " ".join(lines) == said


def test_marks_stay_with_their_letter_when_a_word_is_broken() -> None:
    said = "e\u0301" * 60
    (cue,) = cues(document(Segment(0, 5, said)), Shape())
    assert [width(text) for text in cue.lines] == [42, 18]
    assert all(text.startswith("e") and text.endswith("\u0301") for text in cue.lines)


@promise
@given(hostile())
def test_width_counts_wide_signs_twice_and_marks_not_at_all(text: str) -> None:
    assert columns(text) == width(text)


@pytest.mark.parametrize(
    "limits",
    [{"max_line_width": 9}, {"max_line_count": 0}, {"min_cue_s": 8.0}, {"max_cue_s": float("nan")}, {"min_cue_s": -1.0}]
    + [{"max_cue_s": float("inf")}, {"max_columns_per_s": 0.0}, {"max_cue_s": 0.0, "min_cue_s": 0.0}],
)
def test_limits_that_no_subtitle_can_keep_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Shape(**limits)  # type: ignore[arg-type]
