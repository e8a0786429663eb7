"""Tab-separated values: a `Document` comes in, a table of segments goes out, with whisper's columns.

Times are whole milliseconds. As IANA's text/tab-separated-values has it nothing is quoted, so a reader must not take a
quotation mark for anything else: fields hold neither tabs nor line breaks. Music and other sounds are rows as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiocli.records import Event
from audiocli.writers.said import line
from audiocli.writers.sounds import among, label

if TYPE_CHECKING:
    from audiocli.records import Document, Segment
    from audiocli.writers.shape import Shape


def render(document: Document, shape: Shape) -> str:
    """A row per segment that has text, and a last column `speaker` if any is known; the header alone for silence."""
    spoken = [segment for segment in document.segments if line(segment.text)]
    named = any(line(segment.speaker or "") for segment in spoken)
    rows = [["start", "end", "text", "speaker"], *map(_row, among(spoken, document.events))]
    columns = 4 if named else 3
    return "".join("\t".join(row[:columns]) + "\n" for row in rows)


def _row(one: Segment | Event) -> list[str]:
    times = [str(round(time_s * 1000)) for time_s in (one.start_s, one.end_s)]
    if isinstance(one, Event):
        return [*times, label(one), ""]
    return [*times, line(one.text), line(one.speaker or "")]
