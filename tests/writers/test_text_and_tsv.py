"""Plain text and TSV: one line per segment whatever was said, with whisper's columns."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from document_strategies import FACTS, document, documents, found, full_documents, promise, silent, spoken
from hypothesis import given

from audiocli.records import Analysis, Answer, Document, Event, Note, Point, Segment, Summary
from audiocli.writers import text, tsv
from audiocli.writers.facts import facts_rows
from audiocli.writers.said import line
from audiocli.writers.shape import Shape


def rows(rendered: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(rendered, newline="\n"), delimiter="\t", quoting=csv.QUOTE_NONE))


@promise
@given(documents())
def test_text_has_one_line_for_every_segment_with_text(made: Document) -> None:
    written = text.render(made, Shape()).splitlines()
    said = [line(segment.text) for segment in made.segments if line(segment.text)]
    assert len(written) == len(said)
    assert all(shown.endswith(heard) for shown, heard in zip(written, said, strict=True))


def test_text_names_the_speakers_that_are_known() -> None:
    made = document(Segment(0, 1, " Good\nmorning.", speaker="Ann"), Segment(1, 2, "Hello."))
    assert text.render(made, Shape()) == "Ann: Good morning.\nHello.\n"


def test_text_obeys_no_terminal_escape() -> None:
    assert text.render(document(Segment(0, 1, "\ufeffa\x1b[31mb\x9bc\x00d\x07")), Shape()) == "a [31mb c d\n"


@promise
@given(documents())
def test_tsv_reads_back_with_times_in_milliseconds(made: Document) -> None:
    header, *table = rows(tsv.render(made, Shape()))
    expected = [
        [str(round(segment.start_s * 1000)), str(round(segment.end_s * 1000)), line(segment.text)]
        for segment in made.segments
        if line(segment.text)
    ]
    assert header[:3] == ["start", "end", "text"]
    assert [row[:3] for row in table] == expected
    assert all(len(row) == len(header) for row in table)


def test_tsv_keeps_tabs_and_quotation_marks_from_shifting_columns() -> None:
    made = document(Segment(0.5, 1.25, '"one\ttwo'), Segment(2, 3, 'three"'))
    assert tsv.render(made, Shape()) == 'start\tend\ttext\n500\t1250\t"one two\n2000\t3000\tthree"\n'


def test_tsv_has_a_speaker_column_only_if_one_is_known() -> None:
    made = document(Segment(0, 1, "Hello.", speaker="Ann\tB"), Segment(1, 2, "Hi."))
    assert tsv.render(made, Shape()) == "start\tend\ttext\tspeaker\n0\t1000\tHello.\tAnn B\n1000\t2000\tHi.\t\n"


def test_silence_is_an_empty_text_and_a_header() -> None:
    assert text.render(silent(), Shape()) == ""
    assert tsv.render(silent(), Shape()) == "start\tend\ttext\n"


# Music and the like

MUSIC = (
    Event(5, 8, "silence"),
    Event(6, 6, "music"),
    Event(1.5, 4, "music"),
    Event(1, 2, "speech"),
    Event(9, 9.4, "sound", text="a\tdoor"),
)


def test_sounds_are_lines_among_the_words() -> None:
    made = replace(document(Segment(0, 1, "One."), Segment(2, 3, "Two.", speaker="Ann")), events=MUSIC)
    assert text.render(made, Shape()) == "One.\n[music]\nAnn: Two.\n[sound: a door]\n"
    assert rows(tsv.render(made, Shape()))[1:] == [
        ["0", "1000", "One.", ""],
        ["1500", "4000", "[music]", ""],
        ["2000", "3000", "Two.", "Ann"],
        ["9000", "9400", "[sound: a door]", ""],
    ]


@promise
@given(documents())
def test_sounds_move_no_word(made: Document) -> None:
    heard = replace(made, events=MUSIC)
    for render in (text.render, tsv.render):
        kept = [row for row in render(heard, Shape()).splitlines() if "[music]" not in row and "[sound: " not in row]
        assert kept == render(made, Shape()).splitlines()


# What was made of the words

MINUTES = Summary(
    "extractive: quotes only",
    overview=(Point("We met.", 12, 14, quote="We met.", found=True),),
    action_items=(Point("Send <it>", 230, who="Ben", when="by Wednesday", doubt="nobody said when"),),
)


def test_a_summary_is_a_plain_page() -> None:
    assert text.render(found("summarize", spoken("We met.", 12), summary=MINUTES), Shape()) == (
        "Summary (extractive: quotes only)\n\n"
        "Overview\n[0:12] “We met.”\n\n"
        "Action items\n- [3:50] Send <it> — Ben, by Wednesday (doubtful: nobody said when)\n"
    )


def test_an_empty_summary_says_so_and_a_doubtful_one_too() -> None:
    nothing = Summary("notes of ultravox", unreliable="cut short")
    assert text.render(found("summarize", summary=nothing), Shape()) == (
        "Summary (notes of ultravox)\n(unreliable: cut short)\nThere is nothing to summarize.\n"
    )


def test_a_summary_that_could_not_be_taken_apart_keeps_its_lines() -> None:
    whole = Summary("notes of ultravox", (Point("\nWe met.\n  - Ann\n\n- Ben\n"), Point("We left.")))
    made = text.render(found("summarize", summary=whole), Shape())
    assert made == "Summary (notes of ultravox)\n\nOverview\nWe met.\n  - Ann\n\n- Ben\nWe left.\n"


def test_the_transcript_stays_one_line_a_segment_whatever_else_was_asked() -> None:
    made = found("transcribe,summarize", spoken("We met.", 12), summary=MINUTES)
    assert text.render(made, Shape()) == "We met.\n"


def test_the_only_answer_is_that_answer_line_by_line() -> None:
    answer = Answer("ask", "Who?", "\nAnn:\n  - sings\x1b[31m\n\n\nBen.\n\n")
    assert text.render(found("ask", answers=(answer,)), Shape()) == "Ann:\n  - sings [31m\n\n\nBen.\n"


def test_an_answer_in_json_can_be_read_by_a_program() -> None:
    answer = Answer("ask", "Who?", '{"who":  ["Ann"]}', "json")
    assert json.loads(text.render(found("ask", answers=(answer,)), Shape())) == {"who": ["Ann"]}


def test_several_answers_stand_under_their_questions() -> None:
    answers = (Answer("ask", "Who?", "Ann."), Answer("mood", None, "calm calm", unreliable="repeats itself"))
    assert text.render(found("ask", answers=answers), Shape()) == (
        "Who?\nAnn.\n\nmood\n(unreliable: repeats itself)\ncalm calm\n"
    )
    assert text.render(found("summarize,ask", summary=MINUTES, answers=answers[:1]), Shape()).endswith(
        "\n\nWho?\nAnn.\n"
    )


def test_an_analysis_has_facts_course_and_notes() -> None:
    timeline = (Event(0, 5, "speech"), Event(5, 600, "tone", text="calm"))
    notes = (Note(0, 300, "Ann laughs.\nBen too."), Note(270, 600, "x x x", "repeats itself", "Channel 2"))
    facts = "".join(f"{name}: {value}\n" for name, value in facts_rows(FACTS))
    assert text.render(found("analyze", analysis=Analysis("measured", FACTS, timeline, notes)), Shape()) == (
        f"Analysis (measured)\n{facts}\n"
        "Timeline\n- 0:00–0:05 speech\n- 0:05–10:00 tone: calm\n\n"
        "[0:00–5:00]\nAnn laughs.\nBen too.\n\n"
        "[4:30–10:00] Channel 2\n(unreliable: repeats itself)\nx x x\n"
    )


@promise
@given(full_documents())
def test_no_text_obeys_a_terminal_escape(made: Document) -> None:
    written = text.render(made, Shape())
    assert not {char for char in written if char != "\n" and not char.isprintable()} & set("\x00\x07\x1b\x7f\x9b\t\r")


@pytest.mark.parametrize("task", ["summarize", "ask", "analyze"])
def test_the_table_holds_the_words_whatever_was_asked(task: str) -> None:
    made = found(task, spoken("Good morning.", 0), summary=MINUTES)
    assert rows(tsv.render(made, Shape()))[1:] == [["0", "800", "Good morning."]]
    assert tsv.render(found(task, summary=MINUTES), Shape()) == "start\tend\ttext\n"
