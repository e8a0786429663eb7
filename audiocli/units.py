"""Conductor's other desk: windows put together to what a prompt is asked about at once.

In go windows with their clips, in order, out come Units: one window, or as many as the model hears or takes in one
message, never more than a chunk. Every window is in one Unit, so nothing is heard twice although chunks overlap. Knows
limits and samples; no prompt and no engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from audiocli.engines import Limits
from audiocli.records import RATE, Waveform, Window
from audiocli.windows import CHUNK_S


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Windows that follow on one another, and the clips by which a model hears them."""

    windows: tuple[Window, ...]
    clips: tuple[Waveform, ...]
    """One of all windows where the model hears so long, else one for each."""

    @property
    def start(self) -> int:
        return self.windows[0].start

    @property
    def stop(self) -> int:
        return self.windows[-1].stop


class Packer:
    """Packs the windows of one recording. Iterate what `push` and, at the end, `close` give."""

    def __init__(self, limits: Limits) -> None:
        self._ear = round(limits.window_s * RATE)
        self._most = limits.clips_per_request
        self._held: list[tuple[Window, Waveform]] = []

    def push(self, window: Window, clip: Waveform) -> Iterator[Unit]:
        """clip: the window's samples. Yields the Unit before it, where the window does not fit into that any more."""
        if self._held and not self._fits(window):
            yield from self.close()
        self._held.append((window, clip))

    def close(self) -> Iterator[Unit]:
        """What is left; nothing where nothing is."""
        held, self._held = self._held, []
        if held:
            yield Unit(tuple(window for window, _ in held), self._clips(held))

    def _fits(self, window: Window) -> bool:
        if window.stop - self._held[0][0].start > CHUNK_S * RATE:
            return False
        joined = window.length + sum(one.length for one, _ in self._held)
        return len(self._held) < self._most if self._most > 1 else joined <= self._ear

    def _clips(self, held: list[tuple[Window, Waveform]]) -> tuple[Waveform, ...]:
        if self._most > 1 or len(held) == 1:
            return tuple(clip for _, clip in held)
        first, *others = held
        # what the window before has heard already is not said twice
        return (np.concatenate([first[1], *(clip[window.overlap :] for window, clip in others)]),)
