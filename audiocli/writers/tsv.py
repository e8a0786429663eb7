"""Tab-separated values: a `Document` comes in, a table of segments goes out, with whisper's columns.

Times are whole milliseconds. As IANA's text/tab-separated-values has it nothing is quoted, so a reader must not take a
quotation mark for anything else: fields hold neither tabs nor line breaks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiocli.writers.said import line

if TYPE_CHECKING:
    from audiocli.records import Document
    from audiocli.writers.shape import Shape


def render(document: Document, shape: Shape) -> str:
    """A row per segment that has text, and a last column `speaker` if any is known; the header alone for silence."""
    spoken = [segment for segment in document.segments if line(segment.text)]
    named = any(line(segment.speaker or "") for segment in spoken)
    rows = [["start", "end", "text", "speaker"]]
    for segment in spoken:
        times = [str(round(time_s * 1000)) for time_s in (segment.start_s, segment.end_s)]
        rows.append([*times, line(segment.text), line(segment.speaker or "")])
    columns = 4 if named else 3
    return "".join("\t".join(row[:columns]) + "\n" for row in rows)
