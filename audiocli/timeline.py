"""A side stage: what an audio language model noted of each stretch, as one timeline.

In go Notes of lines such as "MUSIC [0:10-0:25]: a piano", out come Events in source seconds. Knows the form that the
prompts ask for, and forgives models some of what they make of it; what it cannot read stays in the Notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import get_args

from audiocli.records import Event, EventKind, Note

JOIN_S = 1.0
"""Equal events no further apart than this are one: stretches are cut where the event went on."""

_CLOCK = r"\d+(?::\d\d){1,2}(?:\.\d+)?"
_LINE = re.compile(
    rf"[ *•-]*(?P<kind>[a-z]+)\b[ *]*[\[(]? ?(?P<start>{_CLOCK})? ?(?:(?:-|–|to) ?(?P<end>{_CLOCK}))? ?[\])]?"
    r"[ *]*[:\-–](?P<text>.+)",
    re.IGNORECASE,
)
"""Of a line whose blanks are single ones: over long runs of them, which failing models write, it would take hours."""


def timeline(notes: Sequence[Note]) -> tuple[Event, ...]:
    """Every line that names a kind of event, ascending; neighbours that say the same are joined.

    A time outside its note's stretch is drawn into it: the model heard nothing else.
    """
    found = sorted((event for note in notes for event in _events(note)), key=lambda one: (one.start_s, one.end_s))
    joined: list[Event] = []
    last: dict[tuple[EventKind, str], int] = {}
    for event in found:
        same = event.kind, event.text.casefold()
        at = last.get(same)
        if at is None or event.start_s - joined[at].end_s > JOIN_S:
            last[same] = len(joined)
            joined.append(event)
        else:
            joined[at] = replace(joined[at], end_s=max(joined[at].end_s, event.end_s))
    return tuple(joined)


def _events(note: Note) -> Iterator[Event]:
    for line in note.text.splitlines():
        match = _LINE.fullmatch(" ".join(line.split()))
        kind, text = (match["kind"].casefold(), match["text"].strip(" *")) if match else ("", "")
        if match and text and kind in get_args(EventKind):
            start_s = _within(match["start"], note, note.start_s)
            end_s = max(_within(match["end"], note, note.end_s), start_s)
            yield Event(start_s, end_s, kind, text=text)  # type: ignore[arg-type]  # one of its values


def _within(clock: str | None, note: Note, otherwise_s: float) -> float:
    if clock is None:
        return otherwise_s
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part)
    return min(max(seconds, note.start_s), note.end_s)
