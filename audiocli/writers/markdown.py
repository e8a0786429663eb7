"""Markdown: a `Document` comes in, a page to read goes out: a title, what was found, what was said, what was missed.

A summary, an analysis and answers come first; the transcript follows where it was asked for; a footer accounts for
every second. What was said or answered, and every name that came from outside, is text: `prose` escapes it. Seconds
come in, clock times go out.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

from audiocli.records import Event
from audiocli.writers import json_
from audiocli.writers.facts import facts_rows
from audiocli.writers.glance import condense, row
from audiocli.writers.parts import has_findings, title, transcript_asked, transcript_shown
from audiocli.writers.points import NOTHING, OVERVIEW, Style, sections, told, written
from audiocli.writers.prose import escape, prose
from audiocli.writers.said import clock, clocks, line
from audiocli.writers.sounds import among, name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from audiocli.records import Analysis, Answer, Coverage, Document, Facts, Gap, Note, Provenance, Segment, Summary
    from audiocli.writers.shape import Shape

PAUSE_S = 2.0
"""Silence that opens a new paragraph."""
PARAGRAPH_S = 75.0
"""A paragraph that has lasted this long takes no further segment."""

_STYLE = Style(escape, prose, strong="**", aside="*")


def render(document: Document, shape: Shape) -> str:
    """The page, also for silence and for a recording that failed: then it says that nothing was transcribed."""
    blocks = [
        f"# {escape(title(document))}",
        _opening(document),
        *(_summary(document.summary) if document.summary else ()),
        *(_analysis(document.analysis) if document.analysis else ()),
        *(block for answer in document.answers for block in _answer(answer)),
        *(_transcript(document) if transcript_shown(document) else ()),
        *_listing("Not heard", map(_stretch, document.gaps)),
        *_listing("Loud, but not taken for speech", map(_stretch, document.loud)),
        *_listing("Warnings", map(escape, document.warnings)),
        "---",
        "  \n".join([*_coverage(document.coverage), _provenance(document.provenance)]),
    ]
    return "\n\n".join(blocks) + "\n"


def _opening(document: Document) -> str:
    length = [clock(round(document.duration_s))] if document.duration_s else []
    language = [f"language {escape(document.language)}"] if document.language else []
    return " · ".join([*length, *language, f"model {escape(document.provenance.model)}"])


# --- what was made of the words ---------------------------------------------------------------------------------------


def _summary(summary: Summary) -> Iterator[str]:
    """The lists of a page of minutes. How it came about stands before them: readers must know whose words these are."""
    yield f"**Summary:** {escape(summary.method)}"
    yield from _doubt(summary.unreliable)
    found = sections(summary)
    if not found:
        yield f"*{NOTHING}*"
    for heading, points in found:
        if heading == OVERVIEW:
            yield f"## {heading}"
            yield from (told(point, _STYLE) for point in points)
        else:
            yield from _listing(heading, (written(point, _STYLE) for point in points))


def _analysis(analysis: Analysis) -> Iterator[str]:
    yield "## Analysis"
    yield f"**Method:** {escape(analysis.method)}"
    yield _facts(analysis.facts)
    course = condense(analysis.timeline)
    if course.events:
        yield "### Timeline"
        yield "\n".join(f"- {escape(row(event))}" for event in course.events)
        yield from [_STYLE.remark(course.remark)] if course.remark else ()
    if analysis.notes:
        yield "### What was heard"
        yield from (block for note in analysis.notes for block in _note(note))


def _facts(facts: Facts) -> str:
    """A table, its columns made even: the page is read on terminals too."""
    cells = [("Measured", "Value"), *facts_rows(facts)]
    left, right = (max(map(len, column)) for column in zip(*cells, strict=True))
    head, *rest = (f"| {fact:<{left}} | {value:<{right}} |" for fact, value in cells)
    return "\n".join([head, f"| {'-' * left} | {'-' * right} |", *rest])


def _note(note: Note) -> Iterator[str]:
    speaker = escape(note.speaker or "")
    yield f"**{clocks(note.start_s, note.end_s)}" + (f" {speaker}**" if speaker else "**")
    yield from _doubt(note.unreliable)
    yield from filter(None, [prose(note.text)])


def _answer(answer: Answer) -> Iterator[str]:
    """The question and what it got. JSON is set as such: in it no line can end the block of code that it stands in."""
    yield f"## {escape(answer.question or '') or escape(answer.prompt)}"
    yield from _doubt(answer.unreliable)
    read = json_.data(answer)
    said = prose(answer.text) if read is None else f"```json\n{json_.dumped(read, indent=2)}\n```"
    yield said or "*There is no answer.*"


def _doubt(reason: str | None) -> list[str]:
    return [] if reason is None else [_unreliable(reason)]


def _unreliable(reason: str) -> str:
    return _STYLE.remark(f"unreliable: {escape(reason)}")


# --- what was said ----------------------------------------------------------------------------------------------------


def _transcript(document: Document) -> Iterator[str]:
    """Paragraphs with their times, and music and the like between them."""
    if has_findings(document):
        yield "## Transcript"
    spoken = [segment for segment in document.segments if line(segment.text)]
    if not spoken:
        yield "*Nothing was transcribed.*" if transcript_asked(document) else "*There is no result.*"
    for run in _runs(among(spoken, document.events)):
        yield _sound(run) if isinstance(run, Event) else _paragraph(run)


def _runs(ones: Iterable[Segment | Event]) -> Iterator[list[Segment] | Event]:
    """Runs of segments that read on: same speaker, same doubt, no long pause or sound between, not for too long."""
    run: list[Segment] = []
    for one in ones:
        if run and (isinstance(one, Event) or not _reads_on(run, one)):
            yield run
            run = []
        if isinstance(one, Event):
            yield one
        else:
            run.append(one)
    if run:
        yield run


def _reads_on(run: Sequence[Segment], segment: Segment) -> bool:
    first, last = run[0], run[-1]
    return (
        (first.speaker, first.unreliable) == (segment.speaker, segment.unreliable)
        and segment.start_s - last.end_s <= PAUSE_S
        and last.end_s - first.start_s < PARAGRAPH_S
    )


def _paragraph(run: Sequence[Segment]) -> str:
    first = run[0]
    who = escape(first.speaker or "")
    speaker = [f"**{who}:**"] if who else []
    said = escape(" ".join(segment.text for segment in run))
    return " ".join([f"[{clock(first.start_s)}]", *speaker, *_doubt(first.unreliable), said])


def _sound(event: Event) -> str:
    return f"[{clocks(event.start_s, event.end_s)}] *[{escape(name(event))}]*"


# --- what was missed, and the account ---------------------------------------------------------------------------------


def _listing(heading: str, items: Iterable[str]) -> Iterator[str]:
    entries = "\n".join(f"- {item}" for item in items)
    if entries:
        yield f"## {heading}"
        yield entries


def _stretch(gap: Gap) -> str:
    return f"{clocks(gap.start_s, gap.end_s)}: {escape(gap.reason)}"


def _coverage(coverage: Coverage) -> list[str]:
    """Every kind with its sum, zeros too: that nothing failed is worth reading. Skipped only where a part was asked.

    None for what stands for several recordings, and has no seconds of its own.
    """
    if not any(astuple(coverage)):
        return []
    kinds = {
        "transcribed": coverage.transcribed_s,
        "silence": coverage.silence_s,
        "event": coverage.event_s,
        "unreliable": coverage.unreliable_s,
        "failed": coverage.failed_s,
        **({"skipped": coverage.skipped_s} if coverage.skipped_s else {}),
    }
    sums = ", ".join(f"{kind} {length_s:.1f} s" for kind, length_s in kinds.items())
    return [f"Coverage {coverage.share:.1%} · {sums} · sum {sum(astuple(coverage)):.1f} s"]


def _provenance(provenance: Provenance) -> str:
    task = provenance.task.replace(",", ", ")
    facts = [
        f"{task} by {provenance.model} ({provenance.revision}), engine {provenance.engine}",
        f"windows {provenance.windows}, retried {provenance.retried}",
        *([f"prompts {', '.join(provenance.prompts)}"] if provenance.prompts else []),
        f"audiocli {provenance.audiocli}",
    ]
    return " · ".join(escape(fact) for fact in facts)
