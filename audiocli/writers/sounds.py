"""Sounds among the words: the Events of a Document come in, those worth a line of their own go out, as "[music]".

Speech is what the words are, and silence is where there are none: neither is shown. Seconds come in and go out; how a
line or a cue looks is known by each format's writer.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from audiocli.writers.said import line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from audiocli.records import Event, Segment

KINDS = frozenset({"music", "singing", "sound"})
"""Of an event that is shown."""


def shown(events: Iterable[Event]) -> list[Event]:
    """The events to show, in the order of their starts; none without a duration."""
    worth = (event for event in events if event.kind in KINDS and event.end_s > event.start_s)
    return sorted(worth, key=lambda event: event.start_s)


def among(segments: Iterable[Segment], events: Iterable[Event]) -> Iterator[Segment | Event]:
    """The segments in the order they came, and each shown event before the first that starts no earlier than it."""
    return heapq.merge(shown(events), segments, key=lambda one: one.start_s)


def name(event: Event) -> str:
    """What it is, and what a model said of it: "music", "sound: a door falls shut"."""
    said = line(event.text)
    return f"{event.kind}: {said}" if said else event.kind


def label(event: Event) -> str:
    """As broadcasters write it: "[music]"."""
    return f"[{name(event)}]"


def brief(event: Event) -> str:
    """The same where there is no room: at most nine columns."""
    return f"[{event.kind}]"
