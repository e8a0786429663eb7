"""Measured facts: what can be said of a recording without any model, gathered while it streams by.

In go the blocks of one recording's Waveform, in order, and at its end what was taken for speech and how many words
were said; out come `Facts` and a timeline of `Event`s. What is kept is 4 bytes for every 10 ms, 8 for every 100 ms and
at most five minutes of sound to find the pitch in, so that hours take megabytes. This room does not know files,
transcripts or how speech was found. Third parties: scipy (a recursive filter) and librosa (pYIN), imported when used.

All figures are of the mono signal at 16 kHz that the models hear, not of the channels in the file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log10, pi, tan

import numpy as np
import numpy.typing as npt

from audiocli.records import RATE, Event, EventKind, Facts, Span, Speech, Waveform, seconds

Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

STEP = 10 * RATE
"""Samples measured at once, whatever the blocks: so figures do not depend on how the audio arrives."""
FRAME = RATE // 100
"""10 ms, the hop of the field's features: short enough to see a pause's edges."""
SILENT_DB = -100.0
"""Below what 16 bits can hold: digital silence, which tells nothing of a room or a microphone."""

FULL_SCALE = 0.99
"""127 of 128, what 8 bits end at, and what is left of a flat top when a resampler has rippled it: of speech clipped at
44.1 kHz 57 to 62 % is found, of unclipped speech and music with a peak of 1.0 nothing counts."""
CLIPPED_RUN = 3
"""Consecutive samples at full scale that make a clip; one or two are a peak that just fits."""

SHELF_HZ, SHELF_DB, SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
HIGH_PASS_HZ, HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773
"""The analogue filters behind the 48-kHz coefficients of ITU-R BS.1770-4, annex 1, as B. De Man recovered them
("Evaluation of implementations of the EBU R128 loudness measurement", AES 145, 2018): they fit any rate."""
LOUDNESS_OFFSET = -0.691
"""BS.1770: takes out the filters' gain at 997 Hz."""
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0
"""BS.1770: LUFS, and LU against the mean of what passed the first gate."""
TENTH = RATE // 10
"""Samples. BS.1770's blocks are four of them long and start at each."""

ROOM_FRAMES = 100
"""A second of it, in all, must be neither speech nor loud to tell the room's noise."""
ROOM_PERCENTILE, ANYWHERE_PERCENTILE = 50, 5
"""Of frames without speech the usual one; where there are too few, the quietest of all: between words."""
SPEECH_OVER_NOISE_DB = 6.0
"""Frames in speech that stand out by less are its pauses: left out of the level of speech."""
PAUSE_FRAMES = 50
"""Half a second: what `Facts.pauses` counts from."""
CLICK_FRAMES = 3
"""A pause is not broken by anything shorter, such as a click."""

PLAYED: tuple[EventKind, ...] = ("music", "singing")
SHORTEST = RATE // 2
"""Half a second: what is left over between the edges of two detectors is no stretch of its own."""

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
"""From a deep voice's creak to a child's excitement."""
PITCH_FRAME = 1024
"""Samples, 64 ms: pYIN compares halves of it, which hold nearly two periods of the lowest voice."""
SEMITONE_PART = 0.2
"""Resolution of pYIN in semitones, 1.2 %: twice as fast as its default, and medians differ by less than 2 %."""
SURE = 0.1
"""pYIN's probability of a voice from which on a frame is believed; below it follows noise and mains hum."""
OCTAVE = 1.7
"""A frame further than this factor from the median of its second has been taken for another octave."""
KEPT_SECONDS, HEARD_SECONDS = 300, 60
"""Seconds of sound kept for the pitch, evenly spread over the recording; and those used, of the ones with speech."""
FEWEST_VOICED = 50
"""Voiced frames below which a percentile means nothing: half a second."""


log = logging.getLogger(__name__)


class Gauge:
    """Measures one recording. `push` its blocks, then ask for `facts` and `timeline`; after that nothing can follow."""

    def __init__(self) -> None:
        self._held: list[Waveform] = []
        self._closed = False
        self._levels: list[Levels] = []
        self._loudness = _Loudness()
        self._peak = _Peak()
        self._seconds = _Seconds()

    def push(self, block: Waveform) -> None:
        """block: float32 (n,), mono, −1…1, at 16 kHz, what follows on the last one; of any length."""
        assert not self._closed, "facts were asked for; nothing can follow"
        self._held.append(block)
        if sum(map(len, self._held)) >= STEP:
            joined = np.concatenate(self._held)
            whole = len(joined) - len(joined) % STEP
            for start in range(0, whole, STEP):
                self._measure(joined[start : start + STEP])
            self._held = [joined[whole:].copy()]

    def facts(self, speech: Speech, words: int | None) -> Facts:
        """All that was measured. Finding the pitch takes up to 3 s of one core, however long the recording.

        speech: of this recording. words: of its transcript, None where there is none.
        """
        self._close()
        level_db = np.concatenate([np.zeros(0, np.float32), *self._levels])
        spoken, loud = _marked(speech.spans, len(level_db)), _marked(speech.loud, len(level_db))
        noise_db = _noise_db(level_db, spoken | loud)
        speech_db = _speech_db(level_db[spoken], noise_db)
        pauses_s = _pauses_s(spoken, level_db, noise_db, speech_db)
        low, median, high = _pitch(self._seconds.kept, spoken)
        speech_s = seconds(sum(span.length for span in speech.spans))
        return Facts(
            speech_s=speech_s,
            speech_share=round(min(speech_s / seconds(speech.total), 1.0), 4) if speech_s else 0.0,
            pauses=len(pauses_s),
            longest_pause_s=max(pauses_s, default=0.0),
            loudness_lufs=_rounded(self._loudness.integrated()),
            peak_dbfs=_rounded(self._peak.dbfs),
            clipped_s=seconds(self._peak.clipped),
            noise_floor_dbfs=_rounded(noise_db),
            snr_db=None if noise_db is None or speech_db is None else _rounded(speech_db - noise_db),
            pitch_low_hz=low,
            pitch_median_hz=median,
            pitch_high_hz=high,
            words_per_minute=_rounded(60 * words / speech_s) if words is not None and speech_s else None,
        )

    @staticmethod
    def timeline(speech: Speech, heard: Sequence[Event] = ()) -> tuple[Event, ...]:
        """What is where, from the first sample to the last: speech; sound, where it is loud and no speech; silence.

        heard: of a detector of music, where one has listened; its music and singing join in, and where they are is
        neither sound nor silence. Ascending, without holes; () for a recording without samples.
        """
        played = [event for event in heard if event.kind in PLAYED]
        frames = -(-speech.total // FRAME)
        spoken, loud = _marked(speech.spans, frames), _marked(speech.loud, frames)
        covered = _marked([_span(event) for event in played], frames)
        kinds: dict[EventKind, Flags] = {
            "speech": spoken,
            "sound": loud & ~covered & ~spoken,
            "silence": ~(spoken | loud | covered),
        }
        marked = [
            Event(seconds(span.start), seconds(span.stop), kind)
            for kind, flags in kinds.items()
            for span in _spans(flags, speech.total)
        ]
        return tuple(sorted([*marked, *played], key=lambda event: (event.start_s, event.end_s)))

    def _close(self) -> None:
        rest = np.concatenate([np.zeros(0, np.float32), *self._held])
        if len(rest):
            self._measure(rest)
        self._held, self._closed = [], True

    def _measure(self, samples: Waveform) -> None:
        """samples: `STEP` of them, or fewer at the very end. What is shorter than a frame there has no level."""
        frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
        power = np.einsum("nf,nf->n", frames, frames) / np.float32(FRAME)
        self._levels.append((10 * np.log10(power + np.float32(10 ** (SILENT_DB / 10)))).astype(np.float32))
        self._loudness.push(samples)
        self._peak.push(samples)
        self._seconds.push(samples)


def refined(speech: Speech, heard: Sequence[Event]) -> Speech:
    """Speech as two detectors see it together: one that is cautious and takes music for speech, one that knows music.

    What the first marked is speech, but for music without words, and for spans in which the second heard no word at
    all: those are loud. Music with speech over it is speech.

    heard: the second one's events, also if there are none.
    """
    frames = -(-speech.total // FRAME)
    words = _marked([_span(event) for event in heard if event.kind == "speech"], frames)
    played = _marked([_span(event) for event in heard if event.kind in PLAYED], frames)
    wordless = [span for span in speech.spans if not words[span.start // FRAME : -(-span.stop // FRAME)].any()]
    spoken = (_marked(speech.spans, frames) & ~_marked(wordless, frames) & ~played) | words
    spans = [span for span in _spans(spoken, speech.total) if span.length >= SHORTEST]
    loud = (_marked([*speech.spans, *speech.loud], frames)) & ~_marked(spans, frames)
    louds = [span for span in _spans(loud, speech.total) if span.length >= SHORTEST]
    return Speech(tuple(spans), speech.total, tuple(louds))


class _Loudness:
    """Integrated loudness after ITU-R BS.1770-4: filtered as the ear weighs it, squared, and gated at the end."""

    def __init__(self) -> None:
        from scipy.signal import sosfilt  # 0.5 s; only where something is measured

        self._filter = sosfilt
        self._sections = _k_weighting()
        self._state = np.zeros((2, 2))
        self._powers: list[Floats] = []
        """Mean square of each tenth of a second."""

    def push(self, samples: Waveform) -> None:
        """Tenths that are not whole occur only at the end, where the standard leaves them out."""
        weighted, self._state = self._filter(self._sections, samples.astype(np.float64), zi=self._state)
        tenths = weighted[: len(weighted) // TENTH * TENTH].reshape(-1, TENTH)
        self._powers.append(np.einsum("nt,nt->n", tenths, tenths) / TENTH)

    def integrated(self) -> float | None:
        """LUFS; None for less than 0.4 s, and where nothing is above −70 LUFS."""
        tenths = np.concatenate([np.zeros(0), *self._powers])
        if len(tenths) < 4:
            return None
        blocks = (tenths[:-3] + tenths[1:-2] + tenths[2:-1] + tenths[3:]) / 4
        passed = blocks[blocks > _power(ABSOLUTE_GATE)]
        if not len(passed):
            return None
        passed = passed[passed > passed.mean() * 10 ** (RELATIVE_GATE / 10)]
        return LOUDNESS_OFFSET + 10 * log10(passed.mean())


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - LOUDNESS_OFFSET) / 10))


def _k_weighting() -> Floats:
    """The two filters of BS.1770 at `RATE`, by the bilinear transform. Second-order sections, float64 (2, 6)."""
    k = tan(pi * SHELF_HZ / RATE)
    high = 10 ** (SHELF_DB / 20)
    middle = high**0.4996667741545416
    a0 = 1 + k / SHELF_Q + k * k
    shelf = [
        (high + middle * k / SHELF_Q + k * k) / a0,
        2 * (k * k - high) / a0,
        (high - middle * k / SHELF_Q + k * k) / a0,
        1.0,
        2 * (k * k - 1) / a0,
        (1 - k / SHELF_Q + k * k) / a0,
    ]
    k = tan(pi * HIGH_PASS_HZ / RATE)
    a0 = 1 + k / HIGH_PASS_Q + k * k
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / HIGH_PASS_Q + k * k) / a0]
    return np.array([shelf, high_pass])


class _Peak:
    """The largest sample, and how many lie in runs at full scale.

    Clipping before a resampler or a lossy codec rings and leaves shorter runs behind: what is counted is a lower bound.
    """

    def __init__(self) -> None:
        self.clipped = 0
        self._peak = 0.0
        self._run = 0
        """Samples at full scale that the last step ended with."""

    @property
    def dbfs(self) -> float | None:
        """None for digital silence."""
        return 20 * log10(self._peak) if self._peak else None

    def push(self, samples: Waveform) -> None:
        magnitude = np.abs(samples)
        self._peak = max(self._peak, float(magnitude.max(initial=0.0)))
        full = magnitude >= FULL_SCALE
        if not self._run and not full.any():
            return
        for start, stop in _runs(np.concatenate([np.ones(self._run, bool), full])):
            counted = self._run if start == 0 and self._run >= CLIPPED_RUN else 0
            if stop - start >= CLIPPED_RUN:
                self.clipped += stop - start - counted
        self._run = len(full) - 1 - int(np.flatnonzero(~full)[-1]) if not full.all() else self._run + len(full)


@dataclass(frozen=True, slots=True, eq=False)
class _Second:
    index: int
    """Where in the recording: seconds from its start."""
    samples: npt.NDArray[np.int16]


class _Seconds:
    """Keeps whole seconds of sound, evenly spread: every one, then every second one, every fourth …, as it grows."""

    def __init__(self) -> None:
        self.kept: list[_Second] = []
        self._stride = 1
        self._next = 0

    def push(self, samples: Waveform) -> None:
        """The last second of a recording is filled up with silence."""
        for start in range(0, len(samples), RATE):
            if self._next % self._stride == 0:
                self._keep(samples[start : start + RATE])
            self._next += 1

    def _keep(self, second: Waveform) -> None:
        stored = np.zeros(RATE, np.int16)
        stored[: len(second)] = np.rint(second * 32_767)
        self.kept.append(_Second(self._next, stored))
        if len(self.kept) > KEPT_SECONDS:
            self._stride *= 2
            self.kept = [one for one in self.kept if one.index % self._stride == 0]


def _marked(spans: Sequence[Span], frames: int) -> Flags:
    """Which frames lie in the spans, the last one of each perhaps in part; bool (frames,)."""
    marked = np.zeros(frames, bool)
    for span in spans:
        marked[round(span.start / FRAME) : -(-span.stop // FRAME)] = True
    return marked


def _span(event: Event) -> Span:
    return Span(round(event.start_s * RATE), round(event.end_s * RATE))


def _spans(flags: Flags, total: int) -> list[Span]:
    """The runs of True as samples; the last frame may be cut short by the recording's end at `total`."""
    return [Span(start * FRAME, min(stop * FRAME, total)) for start, stop in _runs(flags)]


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Start and stop of every run of True, ascending."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _noise_db(level_db: Levels, heard: Flags) -> float | None:
    """The level of the recording where nobody speaks and nothing is loud; of its quietest frames where that is rare.

    heard: frames that are speech or loud. None where all is digital silence.
    """
    sounding = level_db > SILENT_DB + 1
    room = level_db[sounding & ~heard]
    if len(room) >= ROOM_FRAMES:
        return float(np.percentile(room, ROOM_PERCENTILE))
    anywhere = level_db[sounding]
    return float(np.percentile(anywhere, ANYWHERE_PERCENTILE)) if len(anywhere) else None


def _speech_db(level_db: Levels, noise_db: float | None) -> float | None:
    """The mean power of speech without its pauses and without the noise beneath, in dB of full scale.

    level_db: of the frames in speech. None where no frame stands out of the noise.
    """
    if noise_db is None:
        return None
    active = level_db[level_db >= noise_db + SPEECH_OVER_NOISE_DB].astype(np.float64)
    return float(10 * np.log10(np.mean(10 ** (active / 10)) - 10 ** (noise_db / 10))) if len(active) else None


def _pauses_s(spoken: Flags, level_db: Levels, noise_db: float | None, speech_db: float | None) -> list[float]:
    """How long each pause is, in seconds, from half a second on; before the first word and after the last is none.

    Spans of speech are padded, and run on over pauses of up to a second; inside them a frame counts as spoken when it
    is nearer, in dB, to the level of speech than to that of the noise. Where noise and speech are too close together
    to tell, the spans alone decide.
    """
    voiced = spoken
    if noise_db is not None and speech_db is not None and speech_db - noise_db >= 2 * SPEECH_OVER_NOISE_DB:
        voiced = spoken & (level_db >= (noise_db + speech_db) / 2)
    runs = [(start, stop) for start, stop in _runs(voiced) if stop - start >= CLICK_FRAMES]
    lengths = [after[0] - before[1] for before, after in pairwise(runs)]
    return [round(length * FRAME / RATE, 2) for length in lengths if length >= PAUSE_FRAMES]


def _pitch(kept: Sequence[_Second], spoken: Flags) -> tuple[float, float, float] | tuple[None, None, None]:
    """10th, 50th and 90th percentile of the voice's fundamental, in Hz; None for each where too little is voiced.

    By pYIN (Mauch and Dixon, ICASSP 2014) on seconds that are half speech at least. Frames it doubts are left out, and
    those far from the median of their second, whose octave is probably wrong.
    """
    frames = RATE // FRAME
    inside = [one for one in kept if spoken[one.index * frames : (one.index + 1) * frames].sum() >= frames / 2]
    pyin = _pyin() if inside else None
    if pyin is None:
        return None, None, None
    picked = np.linspace(0, len(inside) - 1, min(HEARD_SECONDS, len(inside))).round().astype(int)
    found = [_voiced_hz(inside[index], spoken, pyin) for index in picked]
    hz = np.concatenate([np.zeros(0), *found])
    if len(hz) < FEWEST_VOICED:
        return None, None, None
    low, median, high = np.percentile(hz, [10, 50, 90]).round(1).tolist()
    return low, median, high


def _voiced_hz(second: _Second, spoken: Flags, pyin: Callable[..., tuple[Floats, Flags, Floats]]) -> Floats:
    """The fundamental of each frame of speech in one second that is surely voiced; Hz, (n,)."""
    samples = second.samples.astype(np.float32) / np.float32(32_767)
    if not samples.any():
        return np.zeros(0)
    hz, _, probability = pyin(
        samples,
        fmin=LOWEST_HZ,
        fmax=HIGHEST_HZ,
        sr=RATE,
        frame_length=PITCH_FRAME,
        hop_length=FRAME,
        resolution=SEMITONE_PART,
        center=False,
    )
    middle = second.index * RATE // FRAME + np.arange(len(hz)) + PITCH_FRAME // FRAME // 2
    inside = (middle < len(spoken)) & spoken[np.minimum(middle, len(spoken) - 1)]
    sure: Floats = hz[inside & (probability >= SURE) & np.isfinite(hz)]
    if not len(sure):
        return sure
    distance = sure / np.median(sure)
    steady: Floats = sure[(distance < OCTAVE) & (distance > 1 / OCTAVE)]
    return steady


def _pyin() -> Callable[..., tuple[Floats, Flags, Floats]] | None:
    """librosa's pYIN; None where numba, which compiles it, may not keep what it compiled and so refuses to load."""
    try:
        import librosa  # 2 s; only where there is speech to measure

        found: Callable[..., tuple[Floats, Flags, Floats]] = librosa.pyin
    except RuntimeError as exc:
        log.warning("the pitch is not measured (%s); set NUMBA_CACHE_DIR to a folder that can be written", exc)
        return None
    return found


def _rounded(value: float | None) -> float | None:
    """To a hundredth: more than any of these figures is good for."""
    return None if value is None else round(value, 2)
