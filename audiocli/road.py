"""Conductor's left hand: one recording from its file to the windows a model can hear.

In goes a local file, out come (Window, clip) pairs while it is decoded, so that neither the length of the file nor the
number of its windows decides how much memory it takes. Knows the stages audio, vad and windows; no engine, no store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from audiocli import audio, vad, windows
from audiocli.records import RATE, AudioInfo, Span, Speech, Waveform, Window


class Road:
    """One pass over one recording. Iterate it once; then `speech`, `info` and `warnings` are complete."""

    def __init__(self, path: Path, *, channel: int | None, detector: str, window_s: float) -> None:
        self._path, self._channel = path, channel
        self._window_s = window_s
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
        with audio.open_audio(self._path, self._channel) as reader:
            self.info = reader.info
            for block in reader:
                tape.append(block)
                yield from self._windows(planner, tape, self._tracker.push(block))
                tape.forget(min(planner.oldest if planner.oldest is not None else tape.stop, self._tracker.settled))
            self.warnings = reader.warnings
        yield from self._windows(planner, tape, self._tracker.close())
        for window in planner.close(self._tracker.total):
            yield window, tape.cut(window.pieces)

    def _windows(
        self, planner: windows.Planner, tape: _Tape, stretches: Sequence[vad.Stretch]
    ) -> Iterator[tuple[Window, Waveform]]:
        for stretch in stretches:
            for window in planner.push(stretch.start, stretch.voiced, stretch.level_db):
                yield window, tape.cut(window.pieces)


def quietest(clip: Waveform) -> int:
    """The sample in the middle third of a clip where a fifth of a second is quietest: where it does least harm to cut.

    clip: float32 (n,), n at least 3. Returns a sample with audio on both sides.
    """
    around = min(RATE // 5, len(clip) // 3)
    power = np.convolve(clip.astype(np.float64) ** 2, np.ones(around), mode="same")
    third = len(clip) // 3
    return third + int(power[third : len(clip) - third].argmin())


class _Tape:
    """The stretch of the source that windows may still ask for."""

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)
        self._start = 0

    @property
    def stop(self) -> int:
        return self._start + len(self._samples)

    def append(self, block: Waveform) -> None:
        self._samples = np.concatenate([self._samples, block])

    def forget(self, before: int) -> None:
        count = min(max(before - self._start, 0), len(self._samples))
        self._samples, self._start = self._samples[count:], self._start + count

    def cut(self, pieces: Sequence[Span]) -> Waveform:
        """The pieces put end to end, as a copy. They must not have been forgotten."""
        if pieces[0].start < self._start:
            raise ValueError(f"{pieces[0]} was forgotten up to {self._start}")
        parts = [self._samples[piece.start - self._start : piece.stop - self._start] for piece in pieces]
        return np.ascontiguousarray(np.concatenate(parts), np.float32)
