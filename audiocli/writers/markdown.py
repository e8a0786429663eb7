"""Markdown: a `Document` comes in, a page to read goes out: a title, paragraphs with times, what was missed, a footer.

What was said, and every name that came from outside, is text: it is escaped so that no CommonMark or GitHub renderer
takes it for markup or HTML. Seconds come in, clock times go out.
"""

from __future__ import annotations

import re
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from audiocli.writers.said import clock, line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from audiocli.records import Coverage, Document, Gap, Provenance, Segment
    from audiocli.writers.shape import Shape

PAUSE_S = 2.0
"""Silence that opens a new paragraph."""
PARAGRAPH_S = 75.0
"""A paragraph that has lasted this long takes no further segment."""

# An underscore between letters is none of Markdown's business, and file names are full of them.
_INLINE = re.compile(r"[\\`*\[\]~$|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_BLOCK = re.compile(r"^(\d+)(?=[.)])|^(?=[#>+\-=:])")
_CLOSING = re.compile(r"(#+)$")


def render(document: Document, shape: Shape) -> str:
    """The page, also for silence and for a recording that failed: then it says that nothing was transcribed."""
    spoken = [segment for segment in document.segments if line(segment.text)]
    blocks = [
        f"# {escape(_title(document))}",
        _facts(document),
        *([_paragraph(run) for run in _paragraphs(spoken)] or ["*Nothing was transcribed.*"]),
        *_listing("Not heard", map(_stretch, document.gaps)),
        *_listing("Loud, but not taken for speech", map(_stretch, document.loud)),
        *_listing("Warnings", map(escape, document.warnings)),
        "---",
        f"{_coverage(document.coverage)}  \n{_provenance(document.provenance)}",
    ]
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Text as Markdown that reads as that text, on one line, wherever it stands in a line; "" for blank text."""
    escaped = _INLINE.sub(r"\\\g<0>", _ENTITY.sub("&amp;", line(text)))
    escaped = _CLOSING.sub(r"\\\1", escaped.replace("<", "&lt;"))
    return _BLOCK.sub(r"\1\\", escaped)


def _title(document: Document) -> str:
    """The name of the recording without its folders; the stem's where it came from standard input."""
    if "://" in document.source:
        name = Path(unquote(urlsplit(document.source).path)).name
    else:
        name = Path(document.source).name
    return name if line(name) and name != "-" else document.stem.rsplit("/", 1)[-1]


def _facts(document: Document) -> str:
    language = [f"language {escape(document.language)}"] if document.language else []
    return " · ".join([clock(document.duration_s), *language, f"model {escape(document.provenance.model)}"])


def _paragraphs(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Runs of segments that read on: same speaker, same doubt, no long pause, and not for too long."""
    run: list[Segment] = []
    for segment in segments:
        if run and not _reads_on(run, segment):
            yield run
            run = []
        run.append(segment)
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
    name = escape(first.speaker or "")
    speaker = [f"**{name}:**"] if name else []
    doubt = [f"*(unreliable: {escape(first.unreliable)})*"] if first.unreliable is not None else []
    said = escape(" ".join(segment.text for segment in run))
    return " ".join([f"[{clock(first.start_s)}]", *speaker, *doubt, said])


def _listing(title: str, items: Iterable[str]) -> Iterator[str]:
    entries = "\n".join(f"- {item}" for item in items)
    if entries:
        yield f"## {title}"
        yield entries


def _stretch(gap: Gap) -> str:
    return f"{clock(gap.start_s)}–{clock(gap.end_s)}: {escape(gap.reason)}"


def _coverage(coverage: Coverage) -> str:
    """Every kind with its sum, zeros too: that nothing failed is worth reading."""
    kinds = {
        "transcribed": coverage.transcribed_s,
        "silence": coverage.silence_s,
        "event": coverage.event_s,
        "unreliable": coverage.unreliable_s,
        "failed": coverage.failed_s,
    }
    sums = ", ".join(f"{name} {length_s:.1f} s" for name, length_s in kinds.items())
    return f"Coverage {coverage.share:.1%} · {sums} · sum {sum(astuple(coverage)):.1f} s"


def _provenance(provenance: Provenance) -> str:
    facts = [
        f"{provenance.task} by {provenance.model} ({provenance.revision}), engine {provenance.engine}",
        f"windows {provenance.windows}, retried {provenance.retried}",
        f"audiocli {provenance.audiocli}",
    ]
    return " · ".join(escape(fact) for fact in facts)
