"""Conductor's left hand: one recording from its file to the windows a model can hear.

In goes a local file, out come (Window, clip) pairs while it is decoded, so that neither the length of the file nor the
number of its windows decides how much memory it takes. Others may listen to what is decoded, and only a part of it may
be given to windows; what a part is chosen by is found in a pass before (`survey`). Knows the stages audio, vad and
windows; no engine, no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from audiocli import audio, vad, windows
from audiocli.records import RATE, AudioInfo, Span, Speech, Waveform, Window

SURVEY = vad.Rules(pause_s=0.14, pad_s=0.06)
"""Speech ends with 0.2 s that are not voiced: where windows are cut too, longer than any stop consonant."""
PHRASE_S = 15.0
"""A survey tells no speech longer than this as one: in noise and music a detector may find no pause at all."""

Opener: TypeAlias = Callable[[Path, int | None], AbstractContextManager[audio.Recording]]
"""Opens a file, and one channel of it or all: `audio.open_audio`, or a cell's `open`."""


class Listener(Protocol):
    """Hears a whole recording in passing."""

    def push(self, block: Waveform) -> None:
        """block: float32 (n,), what follows on the last one; shared, so it must not be changed."""
        ...


class Road:
    """One pass over one recording. Iterate it once; then `speech`, `info` and `warnings` are complete.

    stopped: asked at every block, for silence may go on for hours; once it says so, nothing more comes.
    only: what to hear, in samples of the source, ascending and apart; None for everything. The rest is decoded and
    marked all the same, and no frame that reaches into it is in any window.
    listeners: each gets every decoded block, also those of which nothing is heard.
    opener: who decodes, and in which process.
    """

    def __init__(
        self,
        path: Path,
        *,
        channel: int | None,
        detector: str,
        window_s: float,
        stopped: Callable[[], bool] = lambda: False,
        only: Sequence[Span] | None = None,
        listeners: Sequence[Listener] = (),
        opener: Opener = audio.open_audio,
    ) -> None:
        self._path, self._channel = path, channel
        self._only, self._listeners = only, listeners
        self._window_s = window_s
        self._stopped, self._opener = stopped, opener
        self._tracker = vad.Tracker(detector)
        self.info: AudioInfo | None = None
        self.warnings: tuple[str, ...] = ()

    @property
    def speech(self) -> Speech:
        return self._tracker.speech

    @property
    def heard(self) -> int:
        """Samples of the source decoded so far."""
        return self._tracker.total

    def __iter__(self) -> Iterator[tuple[Window, Waveform]]:
        """Raises DecodeError when nothing can be read."""
        tape = _Tape()
        planner = windows.Planner(self._window_s, self._tracker.frame)
        with self._opener(self._path, self._channel) as reader:
            self.info = reader.info
            for block in reader:
                if self._stopped():
                    return
                for listener in self._listeners:
                    listener.push(block)
                tape.append(block)
                yield from self._windows(planner, tape, self._tracker.push(block))
                tape.keep([*planner.held, Span(self._tracker.settled, tape.stop)])
            self.warnings = reader.warnings
        yield from self._windows(planner, tape, self._tracker.close())
        for window in planner.close(self._tracker.total):
            yield window, tape.cut(window.pieces)

    def _windows(
        self, planner: windows.Planner, tape: _Tape, stretches: Sequence[vad.Stretch]
    ) -> Iterator[tuple[Window, Waveform]]:
        for stretch in chain.from_iterable(map(self._wanted, stretches)):
            for window in planner.push(stretch.start, stretch.voiced, stretch.level_db):
                yield window, tape.cut(window.pieces)

    def _wanted(self, stretch: vad.Stretch) -> Iterator[vad.Stretch]:
        """Of a stretch the frames that are to be heard: those wholly inside; the file's last may be a part of one."""
        if self._only is None:
            yield stretch
            return
        frame, length = self._tracker.frame, len(stretch.voiced)
        for span in self._only:
            first = max(-(-span.start // frame) - stretch.start, 0)
            past = span.stop // frame if span.stop < self._tracker.total else stretch.start + length
            last = min(past - stretch.start, length)
            if first < last:
                yield vad.Stretch(stretch.start + first, stretch.voiced[first:last], stretch.level_db[first:last])


def survey(
    path: Path,
    channel: int | None,
    *,
    detector: str,
    stopped: Callable[[], bool] = lambda: False,
    opener: Opener = audio.open_audio,
) -> Speech:
    """Where somebody speaks in a recording, told phrase by phrase, so that a part of it can be chosen to be heard.

    Returns spans that ascend and may touch; each lies between two pauses, and only where there is none within
    `PHRASE_S` between the quietest places instead. They are finer than `Road.speech`, which keeps pauses of more than a
    second as what is heard with the words around them. Takes the time of decoding and the memory of a few blocks;
    once `stopped` says so, it ends with what it has. Raises DecodeError when nothing can be read.
    """
    tracker = vad.Tracker(detector, SURVEY)
    planner = windows.Planner(PHRASE_S, tracker.frame)
    found: list[Window] = []
    with opener(path, channel) as reader:
        for block in reader:
            if stopped():
                break
            found += _planned(planner, tracker.push(block))
    found += _planned(planner, tracker.close())
    found += planner.close(tracker.total)
    spans = tuple(piece for window in found for piece in _fresh(window))
    return replace(tracker.speech, spans=spans)


def _planned(planner: windows.Planner, stretches: Sequence[vad.Stretch]) -> Iterator[Window]:
    for stretch in stretches:
        yield from planner.push(stretch.start, stretch.voiced, stretch.level_db)


def _fresh(window: Window) -> tuple[Span, ...]:
    """The pieces of a window without what the one before has heard too."""
    return windows.split(window, window.overlap, window.index)[1].pieces if window.overlap else window.pieces


def quietest(clip: Waveform) -> int:
    """The sample in the middle third of a clip where a fifth of a second is quietest: where it does least harm to cut.

    clip: float32 (n,), n at least 3. Returns a sample with audio on both sides.
    """
    third, half = len(clip) // 3, min(RATE // 10, len(clip) // 6)
    energy = np.concatenate([[0.0], np.cumsum(np.square(clip, dtype=np.float64))])
    middle = np.arange(third, len(clip) - third)
    return third + int((energy[middle + half] - energy[middle - half]).argmin())


class _Tape:
    """What windows may still ask for: the last of the source, and older parts that wait for their window to fill.

    The silence between those parts is let go at once, so that an hour of it takes no memory.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[int, Waveform]] = []
        """Where in the source each starts, and its samples; ascending, apart."""
        self.stop = 0

    def append(self, block: Waveform) -> None:
        self._parts.append((self.stop, block))
        self.stop += len(block)

    def keep(self, spans: Sequence[Span]) -> None:
        """Let go of all but these; ascending, apart, and still there."""
        self._parts = [(span.start, self.cut([span])) for span in spans]

    def cut(self, pieces: Sequence[Span]) -> Waveform:
        """The pieces put end to end, as a copy. They must not have been let go."""
        found = [
            samples[max(piece.start - start, 0) : piece.stop - start]
            for piece in pieces
            for start, samples in self._parts
            if start < piece.stop and piece.start < start + len(samples)
        ]
        clip: Waveform = np.concatenate([np.zeros(0, np.float32), *found])
        assert len(clip) == sum(piece.length for piece in pieces), f"{pieces} are not on the tape any more"
        return clip
