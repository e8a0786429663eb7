"""Second stage: which parts of a recording are speech, found while it streams by.

In go blocks of a Waveform, out come `Stretch`es: runs of frames worth hearing, with what the planner of windows needs
to know of each frame. Positions are source samples. The road never waits for the end of a file: a stretch leaves as
soon as nothing can change it, about a second behind the audio. Third parties: webrtcvad (compiled from WebRTC, BSD)
or Silero's network through onnxruntime, each imported only when chosen.

Cautious by design: what is taken for speech is padded, starts on little evidence and ends on much (hysteresis), and
whatever is loud and still not taken for speech is listed in `Speech.loud`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from audiocli.errors import UsageError
from audiocli.records import RATE, Span, Speech, Waveform

Levels = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

SILENT_DB = -100.0
"""Level given to digital silence, in dB of full scale."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How frames become speech. Times in seconds."""

    onset_s: float = 0.3
    """Speech starts when `onset_share` of so long a stretch is voiced."""
    onset_share: float = 0.5
    pause_s: float = 0.8
    """Speech ends when, after its padding, so long a stretch has no voiced frame; shorter pauses are kept."""
    pad_s: float = 0.3
    """Kept on either side of speech: soft consonants at the edges are seldom voiced."""
    loud_db: float = -40.0
    """Not speech, but at least so loud …"""
    loud_s: float = 0.5
    """… for so long: listed in `Speech.loud`."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Consecutive frames to hear. The next stretch continues it when it starts at the frame where this one stops."""

    start: int
    """Index of the first frame."""
    voiced: Flags
    """(n,): whether the frame itself is voiced; unvoiced ones are pauses and padding."""
    level_db: Levels
    """(n,): root mean square of the frame in dB of full scale."""


class Detector(Protocol):
    """Says of each frame whether it is voiced; keeps state, so one Detector hears one recording, in order."""

    frame: int
    """Samples a frame."""

    def voiced(self, frames: Waveform) -> Flags:
        """frames: float32 (n, frame), −1…1. Returns bool (n,)."""
        ...


class Webrtc:
    """WebRTC's voice activity detector: a Gaussian mixture over six bands, thousands of times faster than real time.

    Its thresholds are absolute, and low enough: clean speech is found whole down to −65 dB of full scale. Nothing is
    lifted first, for steady noise counts as speech above about −35 dB: lifted, every quiet room would be speech.
    """

    frame = 480  # 30 ms, the longest it takes and so the steadiest
    AGGRESSIVENESS = 1  # 0…3; more drops soft speech
    WARM_UP = 10  # frames; noise passes for five to eight, speech from the first frame on passes all the same

    def __init__(self) -> None:
        import webrtcvad  # 0.1 s; the other detectors do not need it

        self._vad = webrtcvad.Vad(self.AGGRESSIVENESS)
        self._warm = False

    def voiced(self, frames: Waveform) -> Flags:
        pcm = np.clip(frames * 32767, -32768, 32767).astype("<i2")
        return np.fromiter((self._hears(frame.tobytes()) for frame in pcm), bool, len(pcm))

    def _hears(self, frame: bytes) -> bool:
        """Its models start far from any room, and the first frames of every hiss would pass: let it hear one again."""
        if not self._warm and any(frame):
            self._warm = True
            for _ in range(self.WARM_UP):
                self._vad.is_speech(frame, RATE)
        return bool(self._vad.is_speech(frame, RATE))


class Silero:
    """Silero VAD 6: a small recurrent network; slower, and better at telling speech from music and noise.

    The ONNX file of the `silero-vad` package is run as its authors do: 512 new samples after the last 64, and a state
    of shape (2, 1, 128) that is handed on. Speech from a probability of 0.5, and on until it falls below 0.35.
    """

    frame = 512
    START, STOP = 0.5, 0.35
    CONTEXT = 64

    def __init__(self) -> None:
        self._session = _silero_session()
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros((1, self.CONTEXT), np.float32)
        self._on = False

    def voiced(self, frames: Waveform) -> Flags:
        return np.fromiter((self._step(frame[None]) for frame in frames), bool, len(frames))

    def _step(self, frame: Waveform) -> bool:
        heard = np.concatenate([self._context, frame], axis=1)
        inputs = {"input": heard, "state": self._state, "sr": np.array(RATE, np.int64)}
        probability, self._state = self._session.run(None, inputs)
        self._context = heard[:, -self.CONTEXT :]
        self._on = bool(probability[0, 0] >= (self.STOP if self._on else self.START))
        return self._on


class Off:
    """Hears everything, and tells only digital silence from the rest."""

    frame = 480

    def voiced(self, frames: Waveform) -> Flags:
        return levels(frames) > SILENT_DB


DETECTORS: dict[str, Callable[[], Detector]] = {"webrtc": Webrtc, "silero": Silero, "off": Off}


def check(name: str) -> None:
    """Raises UsageError for a detector that is unknown or not installed: once, before any file is opened."""
    if name not in DETECTORS:
        raise UsageError(f"no voice activity detector {name!r}; choose from {', '.join(DETECTORS)}")
    if name == "silero":
        _silero_file()


def levels(frames: Waveform) -> Levels:
    """Root mean square of each frame. frames: float32 (n, frame). Returns float32 (n,), dB of full scale."""
    power = np.einsum("nf,nf->n", frames, frames) / frames.shape[1]
    level_db: Levels = np.maximum(10 * np.log10(power + 1e-12), SILENT_DB).astype(np.float32)
    return level_db


class Tracker:
    """Follows one recording and says, block by block, what of it to hear.

    name: a key of DETECTORS. After `close`, `speech` holds what was marked in the whole recording.
    """

    def __init__(self, name: str = "webrtc", rules: Rules | None = None) -> None:
        check(name)
        self._detector = DETECTORS[name]()
        self.frame = self._detector.frame
        self.total = 0
        self._rest = np.zeros(0, np.float32)
        rules = rules or Rules()
        self._spans: list[Span] = []
        self._loud = _LoudSpans(rules, self.frame)
        self._gate: _Gate = _OpenGate() if name == "off" else _HysteresisGate(rules, self.frame)

    @property
    def settled(self) -> int:
        """Source sample before which no frame can still be asked for."""
        return self._gate.settled * self.frame

    @property
    def speech(self) -> Speech:
        return Speech(tuple(self._spans), self.total, tuple(self._loud.spans))

    def push(self, block: Waveform) -> list[Stretch]:
        """block: float32 (n,), what follows on the last one. Returns the stretches that became certain."""
        self.total += len(block)
        heard = np.concatenate([self._rest, block])
        whole = len(heard) // self.frame * self.frame
        self._rest = heard[whole:]
        return self._frames(heard[:whole].reshape(-1, self.frame))

    def close(self) -> list[Stretch]:
        """The recording has ended; the last frame is filled up with silence. Returns what was still uncertain."""
        last: list[Stretch] = []
        if len(self._rest):
            last = self._frames(np.pad(self._rest, (0, self.frame - len(self._rest))).reshape(1, -1))
            self._rest = self._rest[:0]
        final = self._noted(self._gate.close(), np.zeros(0, np.float32))
        self._loud.close(self.total)
        return last + final

    def _frames(self, frames: Waveform) -> list[Stretch]:
        level_db = levels(frames)
        return self._noted(self._gate.push(self._detector.voiced(frames), level_db), level_db)

    def _noted(self, stretches: Iterator[Stretch], level_db: Levels) -> list[Stretch]:
        """Keep account of what the gate hands on and of what it lets go. level_db: of the frames it was just given."""
        found = list(stretches)
        for stretch in found:
            start = stretch.start * self.frame
            stop = min(start + len(stretch.voiced) * self.frame, self.total)
            if self._spans and self._spans[-1].stop == start:
                start = self._spans.pop().start
            self._spans.append(Span(start, stop))
        self._loud.push(level_db, found, self._gate.settled)
        return found


class _Gate(Protocol):
    """Decides which frames are kept."""

    settled: int

    def push(self, voiced: Flags, level_db: Levels) -> Iterator[Stretch]: ...

    def close(self) -> Iterator[Stretch]: ...


class _OpenGate:
    """Keeps every frame."""

    def __init__(self) -> None:
        self.settled = 0

    def push(self, voiced: Flags, level_db: Levels) -> Iterator[Stretch]:
        if len(voiced):
            yield Stretch(self.settled, voiced, level_db)
        self.settled += len(voiced)

    def close(self) -> Iterator[Stretch]:
        return iter(())


class _HysteresisGate:
    """Opens when enough of the last frames were voiced, closes when none was for a whole pause; pads both ends.

    `_frames` holds (voiced, level) from frame `settled` on: what has been neither handed on nor let go.
    """

    def __init__(self, rules: Rules, frame: int) -> None:
        def count(time_s: float) -> int:
            return max(round(time_s * RATE / frame), 1)

        self._recent: deque[bool] = deque(maxlen=count(rules.onset_s))
        self._needed = max(round(rules.onset_share * count(rules.onset_s)), 1)
        self._pause, self._pad = count(rules.pause_s), count(rules.pad_s)
        self._frames: deque[tuple[bool, float]] = deque()
        self._open = False
        self._unvoiced = 0
        self.settled = 0

    def push(self, voiced: Flags, level_db: Levels) -> Iterator[Stretch]:
        for flag, level in zip(voiced.tolist(), level_db.tolist(), strict=True):
            self._frames.append((flag, level))
            self._recent.append(flag)
            self._unvoiced = 0 if flag else self._unvoiced + 1
            if not self._open:
                self._wait()
            elif self._unvoiced >= self._pause + self._pad:
                yield from self._hand_on(len(self._frames) - self._unvoiced + self._pad)
                self._open = False
                self._recent.clear()
        if self._open:
            yield from self._hand_on(len(self._frames) - max(self._unvoiced - self._pad, 0))

    def close(self) -> Iterator[Stretch]:
        if self._open:
            yield from self._hand_on(len(self._frames) - max(self._unvoiced - self._pad, 0))
        self.settled += len(self._frames)
        self._frames.clear()

    def _wait(self) -> None:
        """Closed: keep only what an opening would still take along, its evidence and the padding before it."""
        if sum(self._recent) >= self._needed:
            self._open = True
            first = len(self._frames) - len(self._recent) + list(self._recent).index(True)
            self._let_go(max(first - self._pad, 0))
        else:
            self._let_go(len(self._frames) - (self._recent.maxlen or 0) - self._pad)

    def _let_go(self, count: int) -> None:
        for _ in range(count):
            self._frames.popleft()
            self.settled += 1

    def _hand_on(self, count: int) -> Iterator[Stretch]:
        if count <= 0:
            return
        taken = [self._frames.popleft() for _ in range(count)]
        flags, level_db = zip(*taken, strict=True)
        yield Stretch(self.settled, np.array(flags, bool), np.array(level_db, np.float32))
        self.settled += count


class _LoudSpans:
    """Notes loud stretches that the gate let go."""

    def __init__(self, rules: Rules, frame: int) -> None:
        self._rules, self._frame = rules, frame
        self._level_db = np.zeros(0, np.float32)
        """Of the frames from `_next` on: what is not decided yet."""
        self._next = 0
        self._run_start: int | None = None
        self.spans: list[Span] = []

    def push(self, level_db: Levels, kept: list[Stretch], settled: int) -> None:
        """kept: what was handed on since the last call; frames before `settled` are decided."""
        self._level_db = np.concatenate([self._level_db, level_db])
        loud = self._level_db[: settled - self._next] >= self._rules.loud_db
        for stretch in kept:
            first = stretch.start - self._next
            loud[first : first + len(stretch.voiced)] = False
        for flag in loud.tolist():
            self._step(self._next * self._frame, flag)
            self._next += 1
        self._level_db = self._level_db[len(loud) :]

    def close(self, total: int) -> None:
        self._step(total, False)

    def _step(self, start: int, loud: bool) -> None:
        if loud and self._run_start is None:
            self._run_start = start
        elif not loud and self._run_start is not None:
            if start - self._run_start >= self._rules.loud_s * RATE:
                self.spans.append(Span(self._run_start, start))
            self._run_start = None


def _silero_file() -> Path:
    """Silero's ONNX file, found without importing its package, which would load torch."""
    package, runtime = find_spec("silero_vad"), find_spec("onnxruntime")
    if not package or not runtime or not package.submodule_search_locations:
        raise UsageError("--vad silero needs an extra: pip install 'audiocli[silero]'")
    return Path(package.submodule_search_locations[0]) / "data" / "silero_vad.onnx"


def _silero_session() -> Any:
    import onnxruntime  # an extra

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(_silero_file()), sess_options=options, providers=["CPUExecutionProvider"])
