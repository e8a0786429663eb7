"""Documents for the tests of the writers: one made by hand, and hypothesis strategies for all the others."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from itertools import accumulate
from typing import get_args

from hypothesis import settings
from hypothesis import strategies as st

from audiocli.records import (
    Analysis,
    Answer,
    ChunkSpan,
    Coverage,
    Document,
    Event,
    EventKind,
    Facts,
    Gap,
    Note,
    Point,
    Provenance,
    Segment,
    Summary,
    Word,
)

FACTS = Facts(speech_s=480.5, speech_share=0.801, pauses=12, longest_pause_s=3.2)

PROVENANCE = Provenance(
    audiocli="0.1.0",
    model="whisper-tiny.en",
    revision="0f1e2d",
    engine="transformers",
    task="transcribe",
    settings={"batch_size": 8, "threshold": 0.0004, "prompt": None, "vad": "webrtc", "offline": True},
    libraries={"torch": "2.6.0"},
    windows=3,
    retried=1,
)

promise = settings(deadline=None, max_examples=40)
"""For every property here: a busy machine is not a broken promise."""

TOKENS = (
    ["yes", "no,", "Ulysses.", "it's", "and", "und", "de", "naïve", "donaudampfschifffahrtsgesellschaftskapitänsmütze"]
    + [
        "吾輩は猫である。",
        "「こんにちは」、",
        "안녕하세요",
        "สวัสดีครับผมชื่อสมชาย",
        "e\u0301te\u0301",
        "👩‍👩‍👧‍👦",
        "שלום",
        "x" * 90,
    ]
    + [
        "-->",
        "<b>",
        "</i>",
        "&amp;",
        "&",
        "{\\an8}",
        "C:\\new",
        "#",
        "1.",
        "-",
        "```",
        "[a](b)",
        "*x*",
        "_y_",
        "|",
        "~~z~~",
    ]
    + ["<v Ann>", "00:00:01,000 --> 00:00:02,000", "WEBVTT", "NOTE", "$x$", "1)", "<!--", "!", "![", "http://a.b/c"]
)
"""Words of many scripts, and what some format takes for its own syntax."""

BREAKS = ["", " ", "  ", "\n", "\n\n", "\t", "\r\n", "\u2028", "\x1b[31m", "\x00", "\x85", "\ud800"]


def silent(duration_s: float = 12.5) -> Document:
    return Document("-", "silence", duration_s, None, (), (), Coverage(silence_s=duration_s), PROVENANCE)


def document(*segments: Segment, duration_s: float = 600.0, source: str = "talks/meeting.mp3") -> Document:
    coverage = Coverage(transcribed_s=duration_s - 10, silence_s=10.0)
    return Document(source, "talks/meeting", duration_s, "en", segments, (), coverage, PROVENANCE)


def found(task: str, *segments: Segment, **parts: object) -> Document:
    """A document of `task` with what was made of its words."""
    return replace(document(*segments), provenance=replace(PROVENANCE, task=task), **parts)  # type: ignore[arg-type]


def spoken(text: str, start_s: float, pace_s: float = 0.4) -> Segment:
    """A segment with words of `pace_s` seconds each, without pauses."""
    edges = [start_s + pace_s * index for index in range(len(text.split()) + 1)]
    words = tuple(
        Word(edges[index], edges[index + 1], f" {word}" if index else word) for index, word in enumerate(text.split())
    )
    return Segment(start_s, edges[-1], text, words)


def width(text: str) -> int:
    """Columns, counted without the code under test."""
    marks = [char for char in text if unicodedata.category(char) in ("Mn", "Me", "Cf")]
    return (
        len(text) - len(marks) + sum(unicodedata.east_asian_width(char) in "WF" for char in text if char not in marks)
    )


def hostile(max_size: int = 15) -> st.SearchStrategy[str]:
    """Text as no model should write it, and as some have."""
    any_character = st.text(max_size=4)
    return st.lists(st.sampled_from(TOKENS) | st.sampled_from(BREAKS) | any_character, max_size=max_size).map("".join)


def prose(max_size: int = 25) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(TOKENS), max_size=max_size).map(" ".join)


def seconds(most: float) -> st.SearchStrategy[float]:
    return st.integers(0, round(most * 1000)).map(lambda ms: ms / 1000)


probabilities = st.none() | st.floats(0, 1)
speakers = st.none() | st.sampled_from(
    ["", "Ann", "SPEAKER_00", "Bob with a name that is far too long for a line", "王小明"]
)
remarks = st.none() | hostile(4)


@st.composite
def words(draw: st.DrawFn, text: str, start_s: float, end_s: float) -> tuple[Word, ...]:
    """The blank-separated words of a text at ascending times in the segment, with pauses here and there."""
    parts = text.split()
    shares = draw(st.lists(st.integers(0, 20), min_size=2 * len(parts) + 1, max_size=2 * len(parts) + 1))
    edges = [start_s + (end_s - start_s) * edge / max(sum(shares), 1) for edge in accumulate(shares)]
    return tuple(
        Word(edges[2 * index], edges[2 * index + 1], f" {part}" if index else part, draw(probabilities))
        for index, part in enumerate(parts)
    )


@st.composite
def segments(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> tuple[Segment, ...]:
    """Ascending and apart, none shorter than what its text needs at all (1 ms for each character)."""
    made, now_s = [], 0.0
    for text in draw(st.lists(texts, max_size=3)):
        start_s = round(now_s + draw(seconds(4)), 3)
        end_s = round(start_s + 0.001 * max(len(text), 1) + draw(seconds(20)), 3)
        timed = draw(words(text, start_s, end_s)) if draw(st.booleans()) else ()
        made.append(Segment(start_s, end_s, text, timed, draw(speakers), draw(probabilities), draw(remarks)))
        now_s = end_s
    return tuple(made)


@st.composite
def gaps(draw: st.DrawFn) -> Gap:
    start_s = draw(seconds(500))
    return Gap(start_s, start_s + draw(seconds(30)), draw(hostile(4)))


@st.composite
def documents(draw: st.DrawFn, texts: st.SearchStrategy[str] | None = None) -> Document:
    said = draw(segments(hostile() if texts is None else texts))
    duration_s = (said[-1].end_s if said else 0.0) + draw(seconds(10))
    chunk = ChunkSpan(0, 0.0, duration_s, tuple(range(draw(st.integers(0, 3)))))
    return Document(
        source=draw(hostile(4)),
        stem="a/b.v2",
        duration_s=duration_s,
        language=draw(st.none() | st.sampled_from(["en", "ja"])),
        segments=said,
        chunks=(chunk,),
        coverage=Coverage(*[draw(seconds(100)) for _ in range(6)]),
        provenance=PROVENANCE,
        gaps=tuple(draw(st.lists(gaps(), max_size=2))),
        loud=tuple(draw(st.lists(gaps(), max_size=2))),
        warnings=tuple(draw(st.lists(hostile(4), max_size=2))),
    )


@st.composite
def unruly_documents(draw: st.DrawFn) -> Document:
    """Segments in any order, overlapping, without a duration: what no stage should hand over."""
    made = []
    for text in draw(st.lists(hostile(10), max_size=5)):
        start_s, end_s = draw(seconds(5)), draw(seconds(5))
        made.append(Segment(start_s, end_s, text, draw(words(text, 0.0, 9.0)), draw(speakers)))
    return document(*made, duration_s=draw(seconds(5)))


# What is made of the words


@st.composite
def stretches(draw: st.DrawFn, longest_s: float = 60.0) -> tuple[float, float]:
    start_s = draw(seconds(500))
    return start_s, start_s + draw(seconds(longest_s))


kinds = st.sampled_from(get_args(EventKind))
events = st.builds(
    lambda stretch, kind, confidence, text: Event(*stretch, kind, confidence, text),
    stretches(),
    kinds,
    probabilities,
    st.just("") | hostile(4),
)
notes = st.builds(
    lambda stretch, text, reason, speaker: Note(*stretch, text, reason, speaker),
    stretches(),
    hostile(),
    remarks,
    speakers,
)
points = st.builds(
    lambda stretch, text, who, when, quote, heard, doubt: Point(text, *stretch, who, when, quote, heard, doubt),
    stretches() | st.just((None, None)),
    hostile(6),
    speakers,
    remarks,
    remarks,
    st.none() | st.booleans(),
    remarks,
)


def few(of: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(of, max_size=2).map(tuple)


summaries = st.builds(
    Summary, hostile(3), few(points), few(points), few(points), few(points), few(points), few(notes), remarks
)
analyses = st.builds(Analysis, hostile(3), st.just(FACTS), st.lists(events, max_size=40).map(tuple), few(notes))
answers = st.builds(Answer, st.just("ask"), remarks, hostile(), st.just("text"), few(notes), remarks) | st.builds(
    Answer, st.just("ask"), remarks, hostile().map(json.dumps), st.just("json"), few(notes), remarks
)


@st.composite
def full_documents(draw: st.DrawFn) -> Document:
    """Documents of any task, with whatever may be in them."""
    made = draw(documents())
    task = draw(st.sampled_from(["transcribe", "summarize", "transcribe,analyze", "ask"]))
    return replace(
        made,
        provenance=replace(PROVENANCE, task=task, prompts={"ask": draw(hostile(3))}),
        events=draw(few(events)),  # type: ignore[arg-type]
        summary=draw(st.none() | summaries),
        analysis=draw(st.none() | analyses),
        answers=draw(few(answers)),  # type: ignore[arg-type]
    )
