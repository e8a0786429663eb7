"""Conductor's right hand: what becomes of the answers about one recording once all its windows were heard.

In go a Document with its transcript, the notes of each stretch, and the Course; out comes the Document with summary,
analysis and answers. It needs a language model on the way and knows none: it is a Script, which yields questions about
text, a list at a time, and is sent what was answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from audiocli import extractive, grounding, reduce, replies, summary, timeline
from audiocli.course import COMBINED_TOKENS, NOTE_TOKENS, Course, fits, language_name
from audiocli.prompts import Prompt
from audiocli.records import Analysis, Answer, Document, Event, Facts, Gap, Note, Reply, Request, Segment, Summary
from audiocli.writers.said import clock

_T = TypeVar("_T")
Script: TypeAlias = Generator[list[Request], Sequence[Reply | Exception], _T]

MEASURED = "measured"
"""The method of an analysis that no model had a part in."""
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
    """What was asked for, from what was heard.

    notes: by the prompt's name, of the prompts that were put to the audio; in any order.
    """
    spoken = [segment for segment in document.segments if segment.text.strip()]
    found = document
    for prompt in course.heard:
        found = yield from _concluded(found, prompt, _in_order(notes.get(prompt.name, ())), course, measured)
    for prompt in course.read:
        found, read = yield from _read(found, prompt, course)
        found = yield from _concluded(found, prompt, read, course, measured)
    if course.extractive:
        found = replace(found, summary=extractive.extract(spoken, document.language))
    if measured and found.analysis is None:
        found = replace(found, analysis=Analysis(MEASURED, _paced(measured.facts, spoken), measured.timeline))
    gaps = sorted(found.gaps, key=lambda gap: (gap.start_s, gap.end_s, gap.reason))
    return replace(found, gaps=tuple(gaps))


def _in_order(notes: Sequence[Note]) -> tuple[Note, ...]:
    """In the order of the recording: answers come in the order of the batches."""
    return tuple(sorted(notes, key=lambda note: (note.start_s, note.end_s, note.speaker or "")))


def across(prompt: Prompt, answers: Sequence[tuple[str, Answer]], course: Course) -> Script[Answer]:
    """One answer over all recordings from the answer to each. answers: with the recording's name."""
    told = [(name, answer) for name, answer in answers if answer.text]
    notes = tuple(Note(0.0, 0.0, f"{name}: {answer.text}", answer.unreliable) for name, answer in told)
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
        method = _method(prompt, course) if any(note.text for note in notes) else MEASURED
        return replace(document, analysis=Analysis(method, facts, events, notes))
    answer = yield from _answer(prompt, notes, course, language=document.language)
    return replace(document, answers=(*document.answers, answer))


def _summary(document: Document, prompt: Prompt, notes: tuple[Note, ...], course: Course) -> Script[Summary]:
    """Notes put together, read by their lines, and checked against the transcript where there is one."""
    method = _method(prompt, course)
    if not any(note.text for note in notes):
        return Summary(method, notes=notes, unreliable=NOTHING if document.gaps else None)
    combined = yield from _combined(prompt, notes, course, language=document.language)
    made = summary.parse(combined.text, 0.0, document.duration_s, method=method)
    made = replace(made, notes=notes, unreliable=combined.unreliable or made.unreliable)
    return grounding.ground(made, document.segments) if document.segments else made


def _answer(
    prompt: Prompt, notes: tuple[Note, ...], course: Course, *, language: str | None = None, named: bool = False
) -> Script[Answer]:
    """named: the notes say themselves what they are about, and not where they stand."""
    question = course.options.question
    if not any(note.text for note in notes):
        return Answer(prompt.name, question, "", notes=notes, unreliable=NOTHING)
    combined = yield from _combined(prompt, notes, course, language=language, named=named)
    answer = Answer(prompt.name, question, combined.text, notes=notes, unreliable=combined.unreliable)
    return _as_json(answer) if prompt.output == "json" else answer


def _as_json(answer: Answer) -> Answer:
    try:
        json.loads(answer.text)
    except ValueError as exc:
        return replace(answer, unreliable=answer.unreliable or f"JSON was asked for, and this is none: {exc}")
    return replace(answer, format="json")


def _combined(
    prompt: Prompt, notes: tuple[Note, ...], course: Course, *, language: str | None, named: bool = False
) -> Script[Note]:
    """All notes in one: put together by the model where the prompt says how, else one below the other, or a JSON list.

    Refusals say nothing of the recording and stay outside, unless there is nothing else; the result is then marked.
    """
    told = [note for note in notes if note.text]
    used = [note for note in told if not refusal(note.text, prompt)] or told
    left_out = f"{len(told) - len(used)} of {len(told)} notes are no answers" if len(used) < len(told) else None
    reader = course.reader
    if not prompt.reduce or reader is None:
        texts = [note.text for note in used]
        text = f"[{', '.join(texts)}]" if prompt.output == "json" else "\n\n".join(texts)
        doubt = _doubts([left_out, *(note.unreliable for note in used)])
        return Note(used[0].start_s, max(note.end_s for note in used), text, doubt)

    def ask(group: Sequence[Note]) -> Request:
        return _question(prompt, group, course, language=language, named=named)

    found = yield from reduce.reduce(used, ask, lambda request: fits(request, reader))
    plain = replies.unwrapped(found.text, prompt.task)
    return replace(
        found, text=plain.text, unreliable=_doubts([found.unreliable, left_out, refusal(found.text, prompt)])
    )


def _doubts(reasons: Iterable[str | None]) -> str | None:
    """Each reason once."""
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason)) or None


def _question(prompt: Prompt, notes: Sequence[Note], course: Course, *, language: str | None, named: bool) -> Request:
    """What asks a language model to put notes together."""
    told = "\n\n".join(note.text if named else _headed(note) for note in notes)
    variables = {
        "notes": told,
        "start": clock(notes[0].start_s),
        "end": clock(max(note.end_s for note in notes)),
        "language": language_name(course.options.language or language),
        "question": course.options.question or "",
    }
    system, user = prompt.combine(variables)
    budget = prompt.limits.reduce_tokens or COMBINED_TOKENS
    return Request(clips=(), prompt=user, system=system, task="answer", max_new_tokens=budget)


def _headed(note: Note) -> str:
    speaker = f" {note.speaker}" if note.speaker else ""
    return f"[{clock(note.start_s)}-{clock(note.end_s)}]{speaker}\n{note.text}"


def _read(document: Document, prompt: Prompt, course: Course) -> Script[tuple[Document, tuple[Note, ...]]]:
    """Notes of each chunk from its transcript; and the document with where they could not be had."""
    reader = course.reader
    assert reader is not None, "prompts are read by a reader"

    def ask(segments: Sequence[Segment]) -> Request:
        return _reading(prompt, segments, course, document.language)

    stretches: list[tuple[Segment, ...]] = []
    for held in _by_chunk(document):
        stretches += _fitting(held, lambda segments: fits(ask(segments), reader))
    answers, retried = yield from _answered([ask(segments) for segments in stretches], prompt)
    notes, gaps = [], []
    for segments, answer in zip(stretches, answers, strict=True):
        start_s, end_s = segments[0].start_s, max(one.end_s for one in segments)
        if isinstance(answer, Reply):
            notes.append(noted(answer, prompt, start_s, end_s))
        else:
            gaps.append(Gap(start_s, end_s, f"{prompt.name}: {answer}"))
    made_by = replace(document.provenance, retried=document.provenance.retried + retried)
    return replace(document, gaps=(*document.gaps, *gaps), provenance=made_by), tuple(notes)


def _by_chunk(document: Document) -> Iterator[tuple[Segment, ...]]:
    """What was said in each chunk in which something was. What should not be trusted is read where there is no more."""
    spoken = [one for one in document.segments if one.text.strip()]
    believed = [one for one in spoken if not one.unreliable] or spoken
    for chunk in document.chunks:
        # nothing begins after the last chunk, and what begins at its very end belongs to it
        stop_s = float("inf") if chunk is document.chunks[-1] else chunk.end_s
        if held := tuple(one for one in believed if chunk.start_s <= one.start_s < stop_s):
            yield held


def _answered(requests: Sequence[Request], prompt: Prompt) -> Script[tuple[list[Reply | Exception], int]]:
    """The answers, and how many of them were asked for once more since the first could not be used."""
    answers = list((yield list(requests)))
    again = [at for at, answer in enumerate(answers) if isinstance(answer, Reply) and useless(answer, prompt)]
    others = yield [replace(requests[at], temperature=AGAIN_TEMPERATURE) for at in again]
    for at, other in zip(again, others, strict=True):
        answers[at] = other
    return answers, len(again)


def _fitting(segments: tuple[Segment, ...], fit: Callable[[Sequence[Segment]], bool]) -> list[tuple[Segment, ...]]:
    """A stretch as it is, or halved until its parts fit; one segment alone is left to the model to refuse."""
    if len(segments) < 2 or fit(segments):
        return [segments]
    middle = len(segments) // 2
    return _fitting(segments[:middle], fit) + _fitting(segments[middle:], fit)


def _reading(prompt: Prompt, segments: Sequence[Segment], course: Course, language: str | None) -> Request:
    """A prompt about a stretch of the transcript."""
    lines = "\n".join(
        f"[{clock(one.start_s)}] {one.speaker + ': ' if one.speaker else ''}{one.text.strip()}" for one in segments
    )
    place = {"start": clock(segments[0].start_s), "end": clock(max(one.end_s for one in segments))}
    return question(prompt, place, course, transcript=lines, language=language)


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
    text = replies.unwrapped(reply.text, prompt.task).text
    doubt = "the answer did not end within its token budget" if reply.stop == "length" else None
    return Note(start_s, end_s, text, reply.unreliable or refusal(reply.text, prompt) or doubt, speaker)


def useless(reply: Reply, prompt: Prompt) -> bool:
    """Whether a reply should be asked for again. One that is cut off would be so again, and is worth having."""
    return bool(reply.unreliable or refusal(reply.text, prompt))


def refusal(text: str, prompt: Prompt) -> str | None:
    """Why a text is no answer; None where it is one."""
    refused = replies.unwrapped(text, prompt.task).refused
    return f"the model {refused}" if refused else None


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
