"""Conductor's ear: the thread that walks the jobs ahead of the model, and no further than its queue is long.

In go Jobs, out come messages: each window with its samples, the end of each channel with what was marked and measured,
and the end of each job, with the reason where that is an error. Whatever one input does, the others go on. Knows the
stages up to the windows; no engine, no store.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from audiocli import densest, events, measure, sources, vad
from audiocli.cell import Cell
from audiocli.course import Course
from audiocli.errors import AudiocliError
from audiocli.records import RATE, Event, Facts, Job, Span, Speech, Waveform, Window
from audiocli.road import Listener, Road, survey

PATIENCE_S = 1.0
"""How long the thread may take to end when the run is over before it is left behind."""

NOTHING_FITS = "nothing was heard: no stretch of speech is so short as the budget"

log = logging.getLogger(__name__)

_Case = TypeVar("_Case")
"""What the messages of one job have in common, made by the caller. Never kept here: all that was heard hangs on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Found(Generic[_Case]):
    """A window of a case."""

    case: _Case
    channel: int | None
    window: Window
    clip: Waveform
    duration_s: float | None
    """Of the source, where its header says."""


@dataclass(frozen=True, slots=True, eq=False)
class Listened(Generic[_Case]):
    """A channel of a case has ended."""

    case: _Case
    channel: int | None
    speech: Speech
    warnings: tuple[str, ...]
    only: tuple[Span, ...] | None = None
    """What was chosen to be heard; None for all."""
    events: tuple[Event, ...] = ()
    facts: Facts | None = None
    timeline: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Closed(Generic[_Case]):
    """No more comes of this case; with the reason, if that is an error."""

    case: _Case
    error: str | None = None


Message: TypeAlias = "Found[_Case] | Listened[_Case] | Closed[_Case]"


class Intake(Generic[_Case]):
    """One thread over all jobs. case: makes what the messages of a job are to carry."""

    def __init__(
        self, jobs: Sequence[Job], case: Callable[[Job], _Case], course: Course, window_s: float, ahead: int
    ) -> None:
        self._jobs, self._case = jobs, case
        self._course, self._options, self._window_s = course, course.options, window_s
        self._queue: queue.Queue[Message[_Case] | None] = queue.Queue(max(ahead, 2))
        self._stopped = threading.Event()
        self._cell = Cell()
        self._thread = threading.Thread(target=self._walk, name="audiocli-intake", daemon=True)

    def start(self) -> None:
        """The decoder's process comes up while the model is loaded."""
        self._cell.start()
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end; what it still wants to hand over is dropped.

        It is not waited for when a read keeps it, from a pipe or the network, that may never return.
        """
        self._stopped.set()
        self._cell.close()
        self._thread.join(PATIENCE_S)

    def messages(self) -> Iterator[Message[_Case]]:
        while (message := self._queue.get()) is not None:
            yield message

    def _walk(self) -> None:
        for job in self._jobs:
            if self._stopped.is_set():
                return
            case = self._case(job)
            self._put(Closed(case, self._attempt(job, case)))
            del case
        self._put(None)

    def _attempt(self, job: Job, case: _Case) -> str | None:
        """Hear one job. Returns why it failed: whatever one input does, the others go on."""
        try:
            self._hear(job, case)
        except AudiocliError as exc:
            return f"{job.shown}: {exc}"
        except Exception as exc:
            log.debug("unexpected error", exc_info=True)
            return f"{job.shown}: unexpected {type(exc).__name__}: {' '.join(str(exc).split())}"
        return None

    def _hear(self, job: Job, case: _Case) -> None:
        with sources.local(job.source, offline=self._options.offline) as path:
            for channel in self._channels(path):
                self._hear_channel(path, channel, case)

    def _hear_channel(self, path: Path, channel: int | None, case: _Case) -> None:
        only = self._chosen(path, channel)
        bystanders = _Bystanders(self._course)
        road = Road(
            path,
            channel=channel,
            detector=self._course.detector if only is None else self._options.vad,
            window_s=self._window_s,
            stopped=self._stopped.is_set,
            only=only,
            listeners=bystanders.all,
            opener=self._cell.open,
        )
        for window, clip in road:
            self._put(Found(case, channel, window, clip, road.info.duration_s if road.info else None))
        if self._stopped.is_set():
            return
        noticed = bystanders.noticed()
        warnings = (*road.warnings, NOTHING_FITS) if only == () and road.speech.spans else road.warnings
        self._put(Listened(case, channel, road.speech, warnings, only, *noticed))

    def _chosen(self, path: Path, channel: int | None) -> tuple[Span, ...] | None:
        """The densest speech, where that is all that is wanted; this takes a pass of its own over the file."""
        if self._options.densest_s is None:
            return None
        speech = survey(path, channel, detector=self._options.vad, stopped=self._stopped.is_set, opener=self._cell.open)
        return densest.choose(speech, round(self._options.densest_s * RATE))

    def _channels(self, path: Path) -> Sequence[int | None]:
        if self._options.channels == "mix":
            return [None]
        if self._options.channels == "split":
            with self._cell.open(path) as recording:
                count = recording.info.channels
            return list(range(count)) if count > 1 else [None]
        return [self._options.channels]

    def _put(self, message: Message[_Case] | None) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(message, timeout=0.1)
                return
            except queue.Full:
                continue


class _Bystanders:
    """Who else listens while a channel is decoded: for measured facts, and for music and singing."""

    def __init__(self, course: Course) -> None:
        wanted = course.measured or course.options.events
        self._gauge = measure.Gauge() if course.measured else None
        # the road's own detector may be off, so that a model hears everything: facts are about speech all the same
        self._marks = _Marks(course.options.vad) if course.measured else None
        self._events = events.Listener() if wanted and (course.options.events or events.installed()) else None

    @property
    def all(self) -> tuple[Listener, ...]:
        return tuple(one for one in (self._gauge, self._marks, self._events) if one is not None)

    def noticed(self) -> tuple[tuple[Event, ...], Facts | None, tuple[Event, ...]]:
        """The recording has ended: music and singing, measured facts, and a timeline of both and of speech."""
        found = self._events.events() if self._events else ()
        if self._gauge is None or self._marks is None:
            return found, None, ()
        speech = self._marks.close()
        if self._events:
            speech = measure.refined(speech, found)
        return found, self._gauge.facts(speech, None), self._gauge.timeline(speech, found)


class _Marks:
    """Speech as the detector marks it, apart from what the model is given."""

    def __init__(self, detector: str) -> None:
        self._tracker = vad.Tracker(detector)

    def push(self, block: Waveform) -> None:
        self._tracker.push(block)

    def close(self) -> Speech:
        self._tracker.close()
        return self._tracker.speech
