"""Conductor's left hand: one recording from its file to the windows a model can hear.

In goes a local file, out come (Window, clip) pairs while it is decoded, so that neither the length of the file nor the
number of its windows decides how much memory it takes. Knows the stages audio, vad and windows; no engine, no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from audiocli import audio, vad, windows
from audiocli.records import RATE, AudioInfo, Span, Speech, Waveform, Window


class Road:
    """One pass over one recording. Iterate it once; then `speech`, `info` and `warnings` are complete.

    stopped: asked at every block, for silence may go on for hours; once it says so, nothing more comes.
    """

    def __init__(
        self,
        path: Path,
        *,
        channel: int | None,
        detector: str,
        window_s: float,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path, self._channel = path, channel
        self._window_s = window_s
        self._stopped = stopped
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
                if self._stopped():
                    return
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
        for stretch in stretches:
            for window in planner.push(stretch.start, stretch.voiced, stretch.level_db):
                yield window, tape.cut(window.pieces)


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
