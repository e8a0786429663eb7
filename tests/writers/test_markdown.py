"""The Markdown page shows what was said and nothing else, in the eyes of a real Markdown parser."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from document_strategies import FACTS, PROVENANCE, document, documents, found, full_documents, promise, silent, spoken
from hypothesis import given
from markdown_it import MarkdownIt

from audiocli.records import Analysis, Answer, Coverage, Document, Event, Gap, Note, Point, Segment, Summary
from audiocli.writers.facts import facts_rows
from audiocli.writers.markdown import PARAGRAPH_S, PAUSE_S, render
from audiocli.writers.said import line
from audiocli.writers.shape import Shape

parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])

LISTS = ["Overview", "Key points", "Decisions", "Action items", "Open questions"]
OURS = {*LISTS, "Analysis", "Timeline", "What was heard", "Transcript", "Not heard", "Warnings"} | {
    "Loud, but not taken for speech"
}
MINUTES = Summary(
    "extractive: quotes only",
    overview=(Point("We met.", 12, 14, quote="We met.", found=True), Point("We left.", 3723, quote="We left.")),
    key_points=(Point("Tickets rose", 60, 64, quote="tickets went up", found=True),),
    decisions=(Point("It moves to May", 190, quote="we move it to the spring", found=False),),
    action_items=(
        Point("Send the draft", 230, who="Ben", when="by Wednesday"),
        Point("Book a room", None, when="tomorrow", doubt="nobody named a day"),
        Point("Call <legal>", 240, who="*Ann*"),
    ),
    open_questions=(Point("Who pays?", 500),),
)


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
@given(documents())
def test_the_paragraphs_hold_every_segment_once_in_order(made: Document) -> None:
    page = " ".join(paragraphs(render(made, Shape())))
    for said in filter(None, (line(segment.text) for segment in made.segments)):
        _, found, page = page.partition(said)
        assert found


@promise
@given(full_documents())
def test_no_html_no_link_and_no_heading_comes_from_outside(made: Document) -> None:
    tokens = parser.parse(render(made, Shape()))
    kinds = {child.type for token in tokens for child in token.children or []}
    assert not {token.type for token in tokens} & {"html_block", "code_block", "blockquote_open"}
    assert kinds <= {"text", "strong_open", "strong_close", "em_open", "em_close", "hardbreak", "softbreak"}
    assert [token.info for token in tokens if token.type == "fence"] == ["json"] * sum(
        answer.format == "json" for answer in made.answers
    )
    assert sum(token.type == "table_open" for token in tokens) == (made.analysis is not None)
    asked = {line(answer.question or "") or answer.prompt for answer in made.answers}
    assert {text for tag, text in blocks(render(made, Shape())) if tag in ("h2", "h3")} <= OURS | asked
    assert sum(token.type == "heading_open" and token.tag == "h1" for token in tokens) == 1


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


# Events


def test_music_stands_among_the_words_and_ends_the_paragraph() -> None:
    events = (
        Event(60, 70, "sound", text="a *door*"),
        Event(4, 5, "music"),
        Event(0, 9, "speech"),
        Event(20, 30, "silence"),
    )
    said = (Segment(0, 4, "One."), Segment(4, 6, "Two."), Segment(6, 8, "Three."))
    page = render(replace(document(*said), events=events), Shape())
    assert paragraphs(page) == [
        "[0:00] One.",
        "[0:04–0:05] <em_open>[music]<em_close>",
        "[0:04] Two. Three.",
        "[1:00–1:10] <em_open>[sound: a *door*]<em_close>",
    ]


def test_a_recording_of_music_says_that_and_that_nothing_was_transcribed() -> None:
    page = blocks(render(replace(silent(), events=(Event(0, 12.5, "music"),)), Shape()))
    assert page[2:4] == [
        ("p", "<em_open>Nothing was transcribed.<em_close>"),
        ("p", "[0:00–0:12] <em_open>[music]<em_close>"),
    ]


# A summary


def test_a_summary_is_a_page_of_minutes() -> None:
    page = blocks(render(found("summarize", spoken("We met.", 12), summary=MINUTES), Shape()))
    bold, doubtful = "<strong_open>{}<strong_close>", "<em_open>(doubtful: {})<em_close>"
    assert page[1:-1] == [
        ("p", "10:00 · language en · model whisper-tiny.en"),
        ("p", f"{bold.format('Summary:')} extractive: quotes only"),
        ("h2", "Overview"),
        ("p", "[0:12] “We met.”"),
        ("p", "[1:02:03] “We left.”"),
        ("h2", "Key points"),
        ("p", "[1:00] Tickets rose — “tickets went up”"),
        ("h2", "Decisions"),
        (
            "p",
            "[3:10] It moves to May — “we move it to the spring” "
            + doubtful.format("the quoted words are not in the transcript"),
        ),
        ("h2", "Action items"),
        ("p", f"[3:50] Send the draft — {bold.format('Ben')}, by Wednesday"),
        ("p", f"Book a room — tomorrow {doubtful.format('nobody named a day')}"),
        ("p", f"[4:00] Call <legal> — {bold.format('*Ann*')}"),
        ("h2", "Open questions"),
        ("p", "[8:20] Who pays?"),
    ]


def test_the_points_are_items_and_the_overview_reads_as_text() -> None:
    tokens = parser.parse(render(found("summarize", summary=MINUTES), Shape()))
    assert sum(token.type == "bullet_list_open" for token in tokens) == 4
    assert sum(token.type == "list_item_open" for token in tokens) == 6


def test_an_empty_list_has_no_heading_and_an_empty_summary_says_so() -> None:
    one = Summary("notes of ultravox", decisions=(Point("Yes.", 0.0), Point(" \n")), unreliable="cut *short*")
    assert blocks(render(found("summarize", summary=one), Shape()))[2:-1] == [
        ("p", "<strong_open>Summary:<strong_close> notes of ultravox"),
        ("p", "<em_open>(unreliable: cut *short*)<em_close>"),
        ("h2", "Decisions"),
        ("p", "[0:00] Yes."),
    ]
    nothing = blocks(render(found("summarize", summary=Summary("extractive: quotes only")), Shape()))
    assert ("p", "<em_open>There is nothing to summarize.<em_close>") in nothing


def test_a_summary_that_could_not_be_taken_apart_keeps_its_lines() -> None:
    whole = Summary(
        "notes of ultravox", (Point("We met.\n\n- *Ann*\n- Ben\n# End", doubt="no form"),), unreliable="formless"
    )
    page = blocks(render(found("summarize", summary=whole), Shape()))
    assert page[4:-1] == [
        ("h2", "Overview"),
        ("p", "We met."),
        ("p", "*Ann*"),
        ("p", "Ben"),
        ("p", "# End"),
        ("p", "<em_open>(doubtful: no form)<em_close>"),
    ]


@pytest.mark.parametrize("task", ["summarize", "analyze", "ask", "summarize,ask"])
def test_the_transcript_is_left_out_where_it_was_not_asked_for(task: str) -> None:
    page = render(found(task, spoken("Good morning.", 0), summary=MINUTES), Shape())
    assert "Good morning" not in page
    assert "## Transcript" not in page


@pytest.mark.parametrize("task", ["transcribe,summarize", "summarize,translate", "summarize, translate"])
def test_the_transcript_follows_the_summary_where_both_were_asked_for(task: str) -> None:
    page = blocks(render(found(task, spoken("Good morning.", 0), summary=MINUTES), Shape()))
    assert page.index(("h2", "Transcript")) == page.index(("h2", "Open questions")) + 2
    assert ("p", "[0:00] Good morning.") in page


def test_words_that_nothing_was_made_of_are_shown_whatever_was_asked() -> None:
    assert ("p", "[0:00] Good morning.") in blocks(render(found("answer", spoken("Good morning.", 0)), Shape()))


def test_a_task_without_a_result_says_so() -> None:
    page = blocks(render(replace(found("ask"), gaps=(Gap(0, 600, "out of memory"),)), Shape()))
    assert page[2:5] == [
        ("p", "<em_open>There is no result.<em_close>"),
        ("h2", "Not heard"),
        ("p", "0:00–10:00: out of memory"),
    ]


# An analysis


def test_an_analysis_has_its_facts_its_course_and_what_was_heard() -> None:
    timeline = (Event(0, 5, "speech"), Event(5, 600, "music"), Event(5, 60, "tone", text="<calm>"))
    heard = (Note(0, 300, "Ann:\n- laughs\n- **sings**"), Note(270, 600, "x x x", "repeats itself", "Channel 2"))
    analysis = Analysis("measured", FACTS, timeline, heard)
    page = blocks(render(found("analyze", analysis=analysis), Shape()))
    rows = [cell for row in facts_rows(FACTS) for cell in row]
    bold = "<strong_open>{}<strong_close>"
    assert page[2:-1] == [
        ("h2", "Analysis"),
        ("p", f"{bold.format('Method:')} measured"),
        *[("th", cell) for cell in ("Measured", "Value")],
        *[("td", cell) for cell in rows],
        ("h3", "Timeline"),
        ("p", "0:00–0:05 speech"),
        ("p", "0:05–1:00 tone: <calm>"),
        ("p", "0:05–10:00 music"),
        ("h3", "What was heard"),
        ("p", bold.format("0:00–5:00")),
        ("p", "Ann:"),
        ("p", "laughs"),
        ("p", bold.format("sings")),
        ("p", bold.format("4:30–10:00 Channel 2")),
        ("p", "<em_open>(unreliable: repeats itself)<em_close>"),
        ("p", "x x x"),
    ]


def test_a_long_timeline_says_what_was_joined() -> None:
    timeline = tuple(Event(index, index + 0.5, "music") for index in range(100))
    page = blocks(render(found("analyze", analysis=Analysis("measured", FACTS, timeline)), Shape()))
    assert page[-3:-1] == [
        ("p", "0:00–1:39 music"),
        ("p", "<em_open>(stretches up to 0.5 s apart are joined)<em_close>"),
    ]


# Answers


def test_an_answer_stands_under_its_question_or_its_prompts_name() -> None:
    answers = (
        Answer("ask", "Who *is* it?", "Ann.\n\n- and Ben"),
        Answer("mood", None, "calm calm calm", unreliable="repeats itself"),
        Answer("ask", "Why?", " \n"),
    )
    assert blocks(render(found("ask", answers=answers), Shape()))[2:-1] == [
        ("h2", "Who *is* it?"),
        ("p", "Ann."),
        ("p", "and Ben"),
        ("h2", "mood"),
        ("p", "<em_open>(unreliable: repeats itself)<em_close>"),
        ("p", "calm calm calm"),
        ("h2", "Why?"),
        ("p", "<em_open>There is no answer.<em_close>"),
    ]


@pytest.mark.parametrize("value", ['{"a": "```\\n```", "b": "<b>"}', '"```"', '["\\u2028", "~~~"]', "null"])
def test_json_stands_in_a_block_of_code_that_it_cannot_end(value: str) -> None:
    answers = (Answer("ask", "Who?", value, "json"), Answer("ask", "Next?", "Ann."))
    page = render(found("ask", answers=answers), Shape())
    if value == "null":
        assert ("p", "null") in blocks(page)
        return
    (fence,) = [token for token in parser.parse(page) if token.type == "fence"]
    assert json.loads(fence.content) == json.loads(value)
    assert ("h2", "Next?") in blocks(page)


def test_an_answer_over_several_recordings_has_no_length_and_no_coverage() -> None:
    made = Document(
        "all recordings", "across", 0.0, None, (), (), Coverage(), PROVENANCE, answers=(Answer("ask", "Who?", "Ann."),)
    )
    page = blocks(render(replace(made, provenance=replace(PROVENANCE, task="ask")), Shape()))
    assert page[:-1] == [("h1", "all recordings"), ("p", "model whisper-tiny.en"), ("h2", "Who?"), ("p", "Ann.")]
    assert page[-1][1].startswith("ask by whisper-tiny.en")


def test_what_was_to_be_json_and_is_not_stays_readable() -> None:
    page = blocks(render(found("ask", answers=(Answer("ask", "Who?", "{Ann}\n<b>", "json"),)), Shape()))
    assert ("p", "{Ann}<hardbreak><b>") in page


# The account


def test_what_was_skipped_is_accounted_for_where_a_part_was_asked() -> None:
    part = replace(document(), coverage=Coverage(transcribed_s=30, skipped_s=45.5))
    assert "failed 0.0 s, skipped 45.5 s · sum 75.5 s" in render(part, Shape())
    assert "skipped" not in render(document(), Shape())


def test_the_footer_names_the_tasks_and_the_prompts() -> None:
    made = found("transcribe,summarize", spoken("Hello.", 0))
    prompted = replace(made, provenance=replace(made.provenance, prompts={"notes": "9f", "reduce": "7d"}))
    _, footer = blocks(render(prompted, Shape()))[-1]
    assert "transcribe, summarize by whisper-tiny.en" in footer
    assert "· prompts notes, reduce ·" in footer
