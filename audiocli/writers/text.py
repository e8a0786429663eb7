"""Plain text: a `Document` comes in, one line per segment goes out, as whisper writes it.

It shows words and speakers only: times, doubts and gaps are for the other formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiocli.writers.said import line

if TYPE_CHECKING:
    from audiocli.records import Document, Segment
    from audiocli.writers.shape import Shape


def render(document: Document, shape: Shape) -> str:
    """One line per segment that has text, with "Speaker: " before it where the speaker is known; "" for silence."""
    return "".join(f"{_said(segment)}\n" for segment in document.segments if line(segment.text))


def _said(segment: Segment) -> str:
    speaker = line(segment.speaker or "")
    return f"{speaker}: {line(segment.text)}" if speaker else line(segment.text)
