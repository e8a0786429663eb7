"""From a file to its Waveform in blocks: a path comes in, mono float32 at 16 kHz goes out, 10 seconds at a time.

However long the recording, a few blocks of it are in memory. What was damaged, missing or odd on the way is collected
as warnings, so that nobody claims to have heard it. This room does not know jobs, speech or windows, nor which library
decodes what (`audiocli.decoders`).
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import numpy as np
import soxr

from audiocli.decoders import Piece, open_stream
from audiocli.errors import DecodeError
from audiocli.records import RATE, AudioInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from audiocli.decoders import Samples, Stream
    from audiocli.records import Waveform

BLOCK_S = 10
"""Seconds in a block: 640 kB."""
MIN_RATE, MAX_RATE = 1_000, 768_000
"""Hz between which a sample rate is believed: speech needs 4 kHz, converters end at 768 kHz."""
LOUD = 2.0
"""A peak, in full scales, that no codec's overshoot reaches: the samples are damaged, or stored in another scale."""
CANCELLED = 1e-3
"""Energy of the mix against that of its channels: below −30 dB they are each other's inverse."""
CANCELLED_S = 1.0
"""So much of it is worth a warning."""
SHORTFALL_S, SHORTFALL = 1.0, 0.02
"""Seconds, and part of the promised duration, that may be missing unremarked: encoders pad and round."""


class Recording(Protocol):
    """An opened recording, whoever decodes it: see `Reader`."""

    @property
    def info(self) -> AudioInfo: ...

    @property
    def samples(self) -> int: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def __iter__(self) -> Iterator[Waveform]: ...


class Reader:
    """One pass over a recording's sound.

    Iterating gives float32 (n,) blocks, mono, −1…1, at `RATE`, each `BLOCK_S` long but the last; a second iteration
    goes on where the first was left. Raises DecodeError where the sound turns out to be unreadable or shorter than one
    sample.
    """

    def __init__(self, stream: Stream, channel: int | None) -> None:
        first = next(stream.pieces)
        channels = first.samples.shape[1]
        if channel is not None and not 0 <= channel < channels:
            raise DecodeError(f"there is no channel {channel + 1}: {_numbered(channels)}")
        self.info = AudioInfo(stream.container, stream.codec, _rate(first.rate), channels, stream.duration_s)
        self.samples = 0
        """Samples at `RATE` given so far."""
        self._stream = stream
        self._mix = _Mix(channel)
        self._peak = 0.0
        self._done = False
        self._blocks = self._cut(_resampled(map(self._mix, chain([first], stream.pieces))))

    def __iter__(self) -> Iterator[Waveform]:
        return self._blocks

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong without stopping us, one line each; complete after iteration."""
        return (*self._stream.warnings, *self._missing(), *self._mix.warnings(), *self._clipping())

    def _cut(self, pieces: Iterator[Waveform]) -> Iterator[Waveform]:
        """Blocks of one length, whatever the lengths of the pieces; a view into a piece never leaves the room."""
        size = BLOCK_S * RATE
        held: list[Waveform] = []
        for piece in pieces:
            held.append(piece)
            if sum(map(len, held)) >= size:
                joined = np.concatenate(held)
                whole = len(joined) - len(joined) % size
                held = [joined[whole:]]
                yield from (self._given(joined[start : start + size]) for start in range(0, whole, size))
        last = np.concatenate(held) if held else np.empty(0, np.float32)
        if len(last):
            yield self._given(last)
        self._done = True
        if not self.samples:
            raise DecodeError("no sound: less than one sample is left at 16 kHz")

    def _given(self, block: Waveform) -> Waveform:
        self.samples += len(block)
        peak = float(np.abs(block).max())
        self._peak = max(self._peak, peak)
        return np.clip(block, -1, 1) if peak > 1 else block.copy()

    def _missing(self) -> Iterator[str]:
        promised_s, given_s = self._stream.promised_s or 0.0, self.samples / RATE
        if self._done and promised_s - given_s > max(SHORTFALL_S, SHORTFALL * promised_s):
            yield f"the header promises {promised_s:.1f} s, only {given_s:.1f} s could be read"

    def _clipping(self) -> Iterator[str]:
        if self._peak > LOUD:
            yield f"samples up to {self._peak:.5g} times full scale were clipped"


class _Mix:
    """Makes pieces mono, all channels' mean or the one asked for, and notes what that loses."""

    def __init__(self, channel: int | None) -> None:
        self.channel = channel
        self._seconds = 0.0
        self._bad = 0
        self._first_bad_s = 0.0
        self._absent_s: float | None = None
        self._cancelled_s = 0.0

    def __call__(self, piece: Piece) -> Piece:
        samples = self._finite(piece)
        mono = self._mono(samples, piece.rate)
        self._seconds += len(samples) / piece.rate
        return Piece(mono, piece.rate)

    def _finite(self, piece: Piece) -> Samples:
        """Not-a-number and infinity become 0 before the resampler, which would smear them over their neighbours."""
        good = np.isfinite(piece.samples)
        if good.all():
            return piece.samples
        if not self._bad:
            self._first_bad_s = self._seconds + int(np.argmin(good.all(axis=1))) / piece.rate
        self._bad += int(good.size - good.sum())
        return np.where(good, piece.samples, np.float32(0))

    def _mono(self, samples: Samples, rate: int) -> Samples:
        """Channels of opposite phase, as wrong wiring gives, would leave silence: one of them is taken."""
        channels = samples.shape[1]
        if self.channel is not None:
            if self.channel < channels:
                return np.ascontiguousarray(samples[:, self.channel])
            self._absent_s = self._seconds if self._absent_s is None else self._absent_s
            return np.zeros(len(samples), np.float32)
        if channels == 1:
            return np.ascontiguousarray(samples[:, 0])
        mono: Samples = samples.mean(axis=1, dtype=np.float32)
        if float(np.vdot(mono, mono)) * channels >= CANCELLED * float(np.vdot(samples, samples)):
            return mono
        self._cancelled_s += len(samples) / rate
        return np.ascontiguousarray(samples[:, 0])

    def warnings(self) -> Iterator[str]:
        if self._bad:
            yield f"{self._bad} values that are no finite number became silence, the first at {self._first_bad_s:.1f} s"
        if self._absent_s is not None:
            number = (self.channel or 0) + 1
            yield f"channel {number} ends at {self._absent_s:.1f} s, where the number of channels changes"
        if self._cancelled_s >= CANCELLED_S:
            yield f"the channels cancel each other out for {self._cancelled_s:.1f} s; only the first was heard there"


def _rate(rate: int) -> int:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise DecodeError(f"a sample rate of {rate} Hz is not plausible ({MIN_RATE} to {MAX_RATE} Hz can be read)")
    return rate


def _numbered(channels: int) -> str:
    """For people, who count from 1."""
    return "only channel 1" if channels == 1 else f"there are {channels}, 1 to {channels}"


def _resampled(pieces: Iterator[Piece]) -> Iterator[Waveform]:
    """Mono pieces (n,) of any rate at `RATE`; where the rate changes midway, the old resampler is emptied first."""
    rate, resampler = 0, None
    for piece in pieces:
        if piece.rate != rate:
            if resampler:
                yield _through(resampler, last=True)
            rate = _rate(piece.rate)
            resampler = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
        yield _through(resampler, piece.samples) if resampler else piece.samples
    if resampler:
        yield _through(resampler, last=True)


def _through(resampler: soxr.ResampleStream, samples: Samples | None = None, *, last: bool = False) -> Waveform:
    try:
        given: Waveform = resampler.resample_chunk(np.empty(0, np.float32) if samples is None else samples, last=last)
    except (RuntimeError, ValueError) as exc:
        raise DecodeError(f"cannot be resampled: {exc}") from exc
    return given


@contextmanager
def open_audio(path: Path, channel: int | None = None) -> Iterator[Reader]:
    """Opens a recording for one pass; its first second has been decoded, so that what is no audio fails here.

    channel: the one to hear, from 0; None takes the mean of all.
    Raises DecodeError, one line without the file's name, if there is no sound or no such channel; SourceError if the
    file cannot be read.
    """
    with open_stream(path) as stream:
        yield Reader(stream, channel)


def probe(path: Path) -> AudioInfo:
    """What a recording is, for the time of decoding its beginning: a header alone may announce what is not there."""
    with open_audio(path) as reader:
        return reader.info
