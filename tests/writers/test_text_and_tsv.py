"""Plain text and TSV: one line per segment whatever was said, with whisper's columns."""

from __future__ import annotations

import csv
import io

from document_strategies import document, documents, promise, silent
from hypothesis import given

from audiocli.records import Document, Segment
from audiocli.writers import text, tsv
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
