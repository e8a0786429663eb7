"""Plain text: a `Document` comes in, one line per segment goes out, as whisper writes it.

A transcript shows words, speakers and "[music]" only: times, doubts and gaps are for the other formats. Of a Document
whose words were not asked for it is the summary, the analysis and the answers, as a page without markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiocli.records import Event
from audiocli.writers import json_
from audiocli.writers.facts import facts_rows
from audiocli.writers.glance import condense, row
from audiocli.writers.parts import transcript_shown
from audiocli.writers.points import NOTHING, OVERVIEW, Style, sections, told, written
from audiocli.writers.said import clocks, line, passage
from audiocli.writers.sounds import among, label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from audiocli.records import Analysis, Answer, Document, Note, Segment, Summary
    from audiocli.writers.shape import Shape

_PLAIN = Style()


def render(document: Document, shape: Shape) -> str:
    """One line per segment that has text, with "Speaker: " before it where the speaker is known; "" for silence.

    The transcript alone wherever it was asked for; else all that was made of it, in paragraphs. The only answer to a
    single question is that answer and nothing else, so that a program can read it.
    """
    if transcript_shown(document):
        spoken = (segment for segment in document.segments if line(segment.text))
        return "".join(f"{_said(one)}\n" for one in among(spoken, document.events))
    blocks = [
        *(_summary(document.summary) if document.summary else ()),
        *(_analysis(document.analysis) if document.analysis else ()),
    ]
    blocks += filter(None, _answers(document.answers, alone=not blocks))
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _said(one: Segment | Event) -> str:
    if isinstance(one, Event):
        return label(one)
    speaker = line(one.speaker or "")
    return f"{speaker}: {line(one.text)}" if speaker else line(one.text)


def _summary(summary: Summary) -> Iterator[str]:
    found = sections(summary)
    yield _block([f"Summary ({line(summary.method)})", *_doubt(summary.unreliable), *([] if found else [NOTHING])])
    for title, points in found:
        if title == OVERVIEW:
            yield _block([title, *(told(point, _PLAIN) for point in points)])
        else:
            yield _block([title, *(f"- {written(point, _PLAIN)}" for point in points)])


def _analysis(analysis: Analysis) -> Iterator[str]:
    facts = (f"{line(name)}: {line(value)}" for name, value in facts_rows(analysis.facts))
    yield _block([f"Analysis ({line(analysis.method)})", *facts])
    course = condense(analysis.timeline)
    if course.events:
        remark = f" ({course.remark})" if course.remark else ""
        yield _block([f"Timeline{remark}", *(f"- {row(event)}" for event in course.events)])
    yield from map(_note, analysis.notes)


def _note(note: Note) -> str:
    speaker = line(note.speaker or "")
    heading = f"[{clocks(note.start_s, note.end_s)}]" + (f" {speaker}" if speaker else "")
    return _block([heading, *_doubt(note.unreliable), passage(note.text)])


def _answers(answers: Sequence[Answer], *, alone: bool) -> Iterator[str]:
    for answer in answers:
        asked = [] if alone and len(answers) == 1 else [line(answer.question or answer.prompt)]
        read = json_.data(answer)
        said = passage(answer.text) if read is None else json_.dumped(read, indent=2)
        yield _block([*asked, *_doubt(answer.unreliable), said])


def _block(parts: Iterable[str]) -> str:
    return "\n".join(filter(None, parts))


def _doubt(reason: str | None) -> list[str]:
    return [] if reason is None else [f"(unreliable: {line(reason)})"]
