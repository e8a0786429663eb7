"""The Markdown page shows what was said and nothing else, in the eyes of a real Markdown parser."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from document_strategies import document, documents, hostile, promise, silent, spoken
from hypothesis import given
from markdown_it import MarkdownIt

from audiocli.records import Coverage, Document, Gap, Segment
from audiocli.writers.markdown import PARAGRAPH_S, PAUSE_S, escape, render
from audiocli.writers.said import line
from audiocli.writers.shape import Shape

parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def blocks(page: str) -> list[tuple[str, str]]:
    """(block, text as a reader sees it) of a page; inline markup and HTML are named where there is any."""
    tokens = parser.parse(page)
    found = []
    for opening, token in zip(tokens, tokens[1:], strict=False):
        if token.type == "inline":
            children = token.children or []
            seen = [child.content if child.type == "text" else f"<{child.type}>" for child in children]
            found.append((opening.tag, "".join(seen)))
    return found


def paragraphs(page: str) -> list[str]:
    """The paragraphs that begin with a time."""
    return [text for tag, text in blocks(page) if tag == "p" and re.match(r"\[\d", text)]


@promise
@given(hostile().filter(line))
def test_escaped_text_reads_as_that_text_wherever_it_stands(text: str) -> None:
    said = line(text)
    assert blocks(escape(text)) == [("p", said)]
    assert blocks(f"# {escape(text)}") == [("h1", said)]
    assert blocks(f"- {escape(text)}") == [("p", said)]
    assert blocks(f"[0:00] {escape(text)}") == [("p", f"[0:00] {said}")]


@pytest.mark.parametrize(
    "said",
    ["# no title", "1. no list", "2) nor this", "- nor this", "+ nor", "> no quote", "===", "---", "``` no code", "***"]
    + ["<script>alert(1)</script>", "<!-- hidden", "&lt; &#60; AT&T", "[a](javascript:b)", "![x](y)", "[x]: http://y"]
    + ["*a* _b_ __c__ ~~d~~ `e`", "| a | b |", "back\\slash \\", "$x$", "5 # # ##", "<http://a.b>", "snake_case_name"],
)
def test_markup_in_the_recording_stays_text(said: str) -> None:
    assert blocks(escape(said)) == [("p", said)]
    assert blocks(f"# {escape(said)}") == [("h1", said)]
    assert "<" not in escape(said)


def test_ordinary_text_is_not_disfigured() -> None:
    said = "Well, AT&T's meeting_2024.mp3 cost 3.5 % (or more): naïve? \"No!\" – it's fine; 吾輩は猫である。"
    assert escape(said) == said


@promise
@given(documents())
def test_the_paragraphs_hold_every_segment_once_in_order(made: Document) -> None:
    page = " ".join(paragraphs(render(made, Shape())))
    for said in filter(None, (line(segment.text) for segment in made.segments)):
        _, found, page = page.partition(said)
        assert found


@promise
@given(documents())
def test_no_html_and_no_heading_comes_from_outside(made: Document) -> None:
    tokens = parser.parse(render(made, Shape()))
    kinds = {child.type for token in tokens for child in token.children or []}
    headings = [
        after.content for token, after in zip(tokens, tokens[1:], strict=False) if token.tag == "h2" and after.content
    ]
    assert not {token.type for token in tokens} & {"html_block", "code_block", "fence", "blockquote_open", "table_open"}
    assert kinds <= {"text", "strong_open", "strong_close", "em_open", "em_close", "hardbreak"}
    assert set(headings) <= {"Not heard", "Loud, but not taken for speech", "Warnings"}


def test_the_page_opens_with_the_name_and_the_facts() -> None:
    made = document(spoken("Good morning.", 0), duration_s=3723.4)
    assert blocks(render(made, Shape()))[:2] == [
        ("h1", "meeting.mp3"),
        ("p", "1:02:03 · language en · model whisper-tiny.en"),
    ]


@pytest.mark.parametrize(
    ("source", "title"),
    [("a/b/talk.v2.mp3", "talk.v2.mp3"), ("https://a.b/c/my%20talk.mp3?key=secret", "my talk.mp3"), ("-", "meeting")]
    + [("https://a.b/", "meeting"), ("# talk #.mp3", "# talk #.mp3")],
)
def test_the_title_is_the_name_of_the_recording(source: str, title: str) -> None:
    assert blocks(render(document(source=source), Shape()))[0] == ("h1", title)


def test_a_new_speaker_a_pause_or_a_doubt_opens_a_paragraph() -> None:
    made = document(
        Segment(0, 2, "One.", speaker="Ann"),
        Segment(2, 4, "Two.", speaker="Ann"),
        Segment(4, 6, "Three.", speaker="Bob"),
        Segment(6 + PAUSE_S + 0.1, 10, "Four.", speaker="Bob"),
        Segment(10, 12, "five five five", speaker="Bob", unreliable="repeats itself"),
        Segment(12, 13, "Six."),
    )
    page = render(made, Shape())
    strong, doubt = "<strong_open>{}:<strong_close>", "<em_open>(unreliable: repeats itself)<em_close>"
    assert paragraphs(page) == [
        f"[0:00] {strong.format('Ann')} One. Two.",
        f"[0:04] {strong.format('Bob')} Three.",
        f"[0:08] {strong.format('Bob')} Four.",
        f"[0:10] {strong.format('Bob')} {doubt} five five five",
        "[0:12] Six.",
    ]


def test_a_long_speech_is_cut_into_paragraphs_of_a_minute_or_so() -> None:
    made = document(*[Segment(10 * index, 10 * index + 10, f"Part {index}.") for index in range(20)])
    stamps = [re.match(r"\[(\d+):(\d+)\]", text) for text in paragraphs(render(made, Shape()))]
    starts = [60 * int(stamp[1]) + int(stamp[2]) for stamp in stamps if stamp]
    assert starts == [0, 80, 160]
    assert PARAGRAPH_S <= 80


def test_what_was_missed_is_listed_with_times_and_reasons() -> None:
    made = replace(
        document(spoken("Hello.", 0)),
        gaps=(Gap(60, 90, "out of memory <1 GB>"),),
        loud=(Gap(100, 101.5, "-12 dBFS"),),
        warnings=("- the end is cut off",),
    )
    assert blocks(render(made, Shape()))[3:9] == [
        ("h2", "Not heard"),
        ("p", "1:00–1:30: out of memory <1 GB>"),
        ("h2", "Loud, but not taken for speech"),
        ("p", "1:40–1:41: -12 dBFS"),
        ("h2", "Warnings"),
        ("p", "- the end is cut off"),
    ]


def test_the_footer_has_the_sums_and_where_the_text_came_from() -> None:
    coverage = Coverage(transcribed_s=30, silence_s=15.25, event_s=5, unreliable_s=5, failed_s=5)
    tag, footer = blocks(render(replace(document(), coverage=coverage), Shape()))[-1]
    assert (tag, footer.split("<hardbreak>")) == (
        "p",
        [
            "Coverage 75.0% · transcribed 30.0 s, silence 15.2 s, event 5.0 s, unreliable 5.0 s, failed 5.0 s"
            " · sum 60.2 s",
            "transcribe by whisper-tiny.en (0f1e2d), engine transformers · windows 3, retried 1 · audiocli 0.1.0",
        ],
    )


def test_silence_says_that_nothing_was_transcribed() -> None:
    page = blocks(render(silent(), Shape()))
    assert ("p", "<em_open>Nothing was transcribed.<em_close>") in page
    assert paragraphs(render(silent(), Shape())) == []
