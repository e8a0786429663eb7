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

_LINE = re.compile(
    r"^[\s*\-•]*(?P<kind>[a-z]+)\b[\s*]*[\[(]?\s*(?P<start>\d+(?::\d\d){1,2})?\s*(?:(?:-|–|to)\s*(?P<end>\d+(?::\d\d){1,2}))?"
    r"\s*[\])]?[\s*]*[:\-–][\s*]*(?P<text>.+?)[\s*]*$",
    re.IGNORECASE,
)


def timeline(notes: Sequence[Note]) -> tuple[Event, ...]:
    """Every line that names a kind of event, ascending; neighbours that say the same are joined.

    A time outside its note's stretch is drawn into it: the model heard nothing else.
    """
    found = sorted((event for note in notes for event in _events(note)), key=lambda one: (one.start_s, one.end_s))
    joined: list[Event] = []
    for event in found:
        before = next((at for at, one in enumerate(joined) if _goes_on(one, event)), None)
        if before is None:
            joined.append(event)
        else:
            joined[before] = replace(joined[before], end_s=max(joined[before].end_s, event.end_s))
    return tuple(joined)


def _events(note: Note) -> Iterator[Event]:
    for line in note.text.splitlines():
        match = _LINE.match(line)
        kind = match["kind"].casefold() if match else ""
        if match and kind in get_args(EventKind):
            start_s = _within(match["start"], note, note.start_s)
            end_s = max(_within(match["end"], note, note.end_s), start_s)
            yield Event(start_s, end_s, kind, text=match["text"])  # type: ignore[arg-type]  # one of its values


def _within(clock: str | None, note: Note, otherwise_s: float) -> float:
    if clock is None:
        return otherwise_s
    seconds = 0
    for part in clock.split(":"):
        seconds = seconds * 60 + int(part)
    return min(max(float(seconds), note.start_s), note.end_s)


def _goes_on(before: Event, event: Event) -> bool:
    same = (before.kind, before.text.casefold()) == (event.kind, event.text.casefold())
    return same and event.start_s - before.end_s <= JOIN_S
