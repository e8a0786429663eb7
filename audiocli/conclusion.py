"""Conductor's right hand: what becomes of the answers about one recording once all its windows were heard.

In go a Document with its transcript, the notes of each stretch, and the Course; out comes the Document with summary,
analysis and answers. It needs a language model on the way and knows none: it is a Script, which yields questions about
text, a list at a time, and is sent what was answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from audiocli import extractive, grounding, reduce, replies, summary, timeline
from audiocli.course import COMBINED_TOKENS, NOTE_TOKENS, Course, fits, language_name
from audiocli.prompts import Prompt
from audiocli.records import Analysis, Answer, Document, Event, Facts, Gap, Note, Reply, Request, Segment, Summary
from audiocli.writers.said import clock

_T = TypeVar("_T")
Script: TypeAlias = Generator[list[Request], Sequence[Reply | Exception], _T]

NOTHING = "nothing was heard that could be asked about"
BESIDE = "The transcript of it:\n$transcript"
"""Added to prompts that do not say themselves where the transcript goes."""
AGAIN_TEMPERATURE = 0.4
"""An answer that cannot be used is asked for once more, less likely words allowed."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured while the recording was decoded."""

    facts: Facts
    timeline: tuple[Event, ...]


def conclude(
    document: Document, notes: Mapping[str, Sequence[Note]], course: Course, measured: Measured | None
) -> Script[Document]:
    """notes: by the prompt's name, in the order of the recording, of the prompts that were put to the audio."""
    spoken = [segment for segment in document.segments if segment.text.strip()]
    found = document
    for prompt in course.heard:
        found = yield from _concluded(found, prompt, tuple(notes.get(prompt.name, ())), course, measured)
    for prompt in course.read:
        read, gaps = yield from _read(document, prompt, course)
        found = yield from _concluded(replace(found, gaps=found.gaps + gaps), prompt, read, course, measured)
    if course.extractive:
        found = replace(found, summary=extractive.extract(spoken, document.language))
    if measured and found.analysis is None:
        found = replace(found, analysis=Analysis("measured", _paced(measured.facts, spoken), measured.timeline))
    return found


def across(prompt: Prompt, answers: Sequence[tuple[str, Answer]], course: Course) -> Script[Answer]:
    """One answer over all recordings from the answer to each. answers: with the recording's name."""
    notes = tuple(Note(0.0, 0.0, f"{name}: {answer.text}") for name, answer in answers if answer.text)
    return (yield from _answer(prompt, notes, course, named=True))


def _concluded(
    document: Document, prompt: Prompt, notes: tuple[Note, ...], course: Course, measured: Measured | None
) -> Script[Document]:
    if prompt.task == "summarize":
        made = yield from _summary(document, prompt, notes, course)
        return replace(document, summary=made)
    if prompt.task == "analyze" and measured:
        facts = _paced(measured.facts, document.segments)
        events = tuple(sorted((*measured.timeline, *timeline.timeline(notes)), key=lambda one: one.start_s))
        return replace(document, analysis=Analysis(_method(prompt, course), facts, events, notes))
    answer = yield from _answer(prompt, notes, course)
    return replace(document, answers=(*document.answers, answer))


def _summary(document: Document, prompt: Prompt, notes: tuple[Note, ...], course: Course) -> Script[Summary]:
    """Notes put together, read by their lines, and checked against the transcript where there is one."""
    method = _method(prompt, course)
    if not any(note.text for note in notes):
        return Summary(method, notes=notes, unreliable=NOTHING if document.gaps else None)
    combined = yield from _combined(prompt, notes, course)
    made = summary.parse(combined.text, 0.0, document.duration_s, method=method)
    made = replace(made, notes=notes, unreliable=combined.unreliable or made.unreliable)
    return grounding.ground(made, document.segments) if document.segments else made


def _answer(prompt: Prompt, notes: tuple[Note, ...], course: Course, *, named: bool = False) -> Script[Answer]:
    """named: the notes say themselves what they are about, and not where they stand."""
    question = course.options.question
    if not any(note.text for note in notes):
        return Answer(prompt.name, question, "", notes=notes, unreliable=NOTHING)
    combined = yield from _combined(prompt, notes, course, named=named)
    answer = Answer(prompt.name, question, combined.text, notes=notes, unreliable=combined.unreliable)
    return _as_json(answer) if prompt.output == "json" else answer


def _as_json(answer: Answer) -> Answer:
    try:
        json.loads(answer.text)
    except ValueError as exc:
        return replace(answer, unreliable=answer.unreliable or f"JSON was asked for, and this is none: {exc}")
    return replace(answer, format="json")


def _combined(prompt: Prompt, notes: tuple[Note, ...], course: Course, *, named: bool = False) -> Script[Note]:
    """All notes in one: put together by the model where the prompt says how, else one below the other."""
    told = [note for note in notes if note.text]
    reader = course.reader
    if not prompt.reduce or reader is None:
        text = "\n\n".join(note.text for note in told)
        doubts = [note.unreliable for note in told if note.unreliable]
        return Note(told[0].start_s, told[-1].end_s, text, doubts[0] if doubts else None)
    found = yield from reduce.reduce(
        told, lambda group: _question(prompt, group, course, named=named), lambda request: fits(request, reader)
    )
    plain = replies.unwrapped(found.text, prompt.task)
    refused = f"the model {plain.refused}" if plain.refused else None
    return replace(found, text=plain.text, unreliable=found.unreliable or refused)


def _question(prompt: Prompt, notes: Sequence[Note], course: Course, *, named: bool) -> Request:
    """What asks a language model to put notes together."""
    told = "\n\n".join(note.text if named else _headed(note) for note in notes)
    variables = {
        "notes": told,
        "start": clock(notes[0].start_s),
        "end": clock(max(note.end_s for note in notes)),
        "language": language_name(course.options.language),
        "question": course.options.question or "",
    }
    system, user = prompt.combine(variables)
    budget = prompt.limits.reduce_tokens or COMBINED_TOKENS
    return Request(clips=(), prompt=user, system=system, task="answer", max_new_tokens=budget)


def _headed(note: Note) -> str:
    speaker = f" {note.speaker}" if note.speaker else ""
    return f"[{clock(note.start_s)}-{clock(note.end_s)}]{speaker}\n{note.text}"


def _read(document: Document, prompt: Prompt, course: Course) -> Script[tuple[tuple[Note, ...], tuple[Gap, ...]]]:
    """Notes of each chunk from its transcript; and where they could not be had."""
    reader = course.reader
    assert reader is not None, "prompts are read by a reader"

    def ask(segments: Sequence[Segment]) -> Request:
        return _reading(prompt, segments, course)

    stretches: list[tuple[Segment, ...]] = []
    for chunk in document.chunks:
        held = tuple(
            one for one in document.segments if chunk.start_s <= one.start_s < chunk.end_s and one.text.strip()
        )
        stretches += _fitting(held, lambda segments: fits(ask(segments), reader)) if held else ()
    answers = yield [ask(segments) for segments in stretches]
    notes, gaps = [], []
    for segments, answer in zip(stretches, answers, strict=True):
        if isinstance(answer, Reply):
            notes.append(noted(answer, prompt, segments[0].start_s, segments[-1].end_s))
        else:
            gaps.append(Gap(segments[0].start_s, segments[-1].end_s, f"{prompt.name}: {answer}"))
    return tuple(notes), tuple(gaps)


def _fitting(segments: tuple[Segment, ...], fit: Callable[[Sequence[Segment]], bool]) -> list[tuple[Segment, ...]]:
    """A stretch as it is, or halved until its parts fit; one segment alone is left to the model to refuse."""
    if len(segments) < 2 or fit(segments):
        return [segments]
    middle = len(segments) // 2
    return _fitting(segments[:middle], fit) + _fitting(segments[middle:], fit)


def _reading(prompt: Prompt, segments: Sequence[Segment], course: Course) -> Request:
    """A prompt about a stretch of the transcript."""
    lines = "\n".join(
        f"[{clock(one.start_s)}] {one.speaker + ': ' if one.speaker else ''}{one.text.strip()}" for one in segments
    )
    place = {"start": clock(segments[0].start_s), "end": clock(segments[-1].end_s)}
    return question(prompt, place, course, transcript=lines)


def question(
    prompt: Prompt, place: Mapping[str, str], course: Course, *, transcript: str = "", language: str | None = None
) -> Request:
    """A prompt about one stretch, without its clips. place: its $start and $end; transcript: what was said in it."""
    options = course.options
    if transcript and "transcript" not in prompt.needs:
        prompt = replace(prompt, user=f"{prompt.user}\n\n{BESIDE}")
    variables = {
        **place,
        "language": language_name(options.language or language),
        "question": options.question or "",
        "transcript": transcript,
    }
    system, user = prompt.ask(variables)
    budget = prompt.limits.max_new_tokens or NOTE_TOKENS
    return Request(clips=(), prompt=user, system=system, task="answer", max_new_tokens=budget)


def noted(reply: Reply, prompt: Prompt, start_s: float, end_s: float, speaker: str | None = None) -> Note:
    """A reply as a note: without what models wrap around it, and marked where it is not whole or not an answer."""
    plain = replies.unwrapped(reply.text, prompt.task)
    doubt = "the answer did not end within its token budget" if reply.stop == "length" else None
    refused = f"the model {plain.refused}" if plain.refused else None
    return Note(start_s, end_s, plain.text, reply.unreliable or refused or doubt, speaker)


def _paced(facts: Facts, segments: Sequence[Segment]) -> Facts:
    """Facts with the speaking rate, which takes words."""
    words = sum(len(segment.text.split()) for segment in segments)
    if not words or not facts.speech_s:
        return facts
    return replace(facts, words_per_minute=round(60 * words / facts.speech_s, 1))


def _method(prompt: Prompt, course: Course) -> str:
    """Whose words these are, for the reader."""
    by = course.reader.model if course.read and course.reader else None
    return f"{prompt.name}: {'read from the transcript by ' + by if by else 'heard by the model'}"
