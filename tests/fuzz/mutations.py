"""Damaged recordings, each with a number: the same number gives the same bytes wherever the seeds are the same.

A list of whole recordings comes in, bytes and the name of what was done to them go out. Knows no decoder: what becomes
of the bytes is `fuzz_decoding`'s business. The ways of damage are those of storage and transfer (flipped bits, holes,
truncation, blocks lost, doubled or swapped) and those that parsers fear (sizes at their extremes, another file's
header, chunks in another order).
"""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile

HEADER = 512
"""Bytes at the start that hold the header of most formats, and the chunks of a small file."""
LONGEST = 200_000
"""Bytes of a recording that are used; the samples are longer, which would cost time and show nothing more."""
RATE, LENGTH_S = 16_000, 2

SNDFILE = (
    ("wav", "PCM_16"),
    ("wav", "FLOAT"),
    ("wav", "IMA_ADPCM"),
    ("wav", "ULAW"),
    ("wavex", "PCM_24"),
    ("rf64", "PCM_16"),
    ("w64", "PCM_16"),
    ("aiff", "PCM_16"),
    ("au", "PCM_16"),
    ("caf", "ALAC_16"),
    ("flac", "PCM_16"),
    ("ogg", "VORBIS"),
    ("ogg", "OPUS"),
    ("voc", "PCM_16"),
    ("nist", "PCM_16"),
)
"""Formats and codecs that libsndfile writes."""
FFMPEG = (
    ("mp3", "mp3", "mp3"),
    ("mp4", "m4a", "aac"),
    ("mp4", "mp4", "alac"),
    ("mov", "mov", "pcm_s16le"),
    ("adts", "aac", "aac"),
    ("matroska", "mka", "ac3"),
    ("webm", "webm", "libopus"),
    ("asf", "wma", "wmav2"),
    ("avi", "avi", "mp2"),
    ("mpegts", "ts", "ac3"),
    ("flv", "flv", "aac"),
    ("tta", "tta", "tta"),
    ("wv", "wv", "wavpack"),
    ("caf", "caf", "adpcm_ima_qt"),
    ("nut", "nut", "pcm_mulaw"),
)
"""Containers, their suffixes and codecs that FFmpeg writes; those that this build lacks are passed over."""


@dataclass(frozen=True, slots=True)
class Seed:
    """A whole recording."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Damaged:
    """One input of the run."""

    number: int
    name: str
    """Of the recording it was made from."""
    damage: str
    content: bytes


def seeds(folders: tuple[Path, ...] = ()) -> tuple[Seed, ...]:
    """Two seconds in every format that can be written here, then every file of `folders` that is a recording."""
    made = [*_from_libsndfile(), *_from_ffmpeg()]
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    found = (path for path in files if path.suffix not in (".txt", ".json", ".jsonl", ".md", ".py"))
    return (*made, *(Seed(path.name, path.read_bytes()[:LONGEST]) for path in found))


def damaged(number: int, recordings: tuple[Seed, ...]) -> Damaged:
    """The input of that number. Recordings and kinds of damage take turns, so that a short run meets all of them."""
    chance = random.Random(number)
    seed = recordings[number % len(recordings)]
    name = tuple(DAMAGES)[(number // len(recordings) + number) % len(DAMAGES)]
    other = chance.choice(recordings)
    return Damaged(number, seed.name, name, DAMAGES[name](seed.content, other.content, chance))


def _sound() -> np.ndarray:
    """A rising tone in noise, int16 (n,): it has something at every frequency, so codecs use all their tables."""
    time_s = np.arange(RATE * LENGTH_S) / RATE
    tone = np.sin(2 * np.pi * (200 + 1500 * time_s) * time_s)
    noise = np.random.default_rng(0).normal(0, 0.05, len(time_s))
    return ((0.5 * tone + noise) * 20_000).astype(np.int16)


def _from_libsndfile() -> Iterator[Seed]:
    for container, codec in SNDFILE:
        written = io.BytesIO()
        soundfile.write(written, _sound(), RATE, codec, format=container)
        yield Seed(f"{codec.lower()}.{container}", written.getvalue())


def _from_ffmpeg() -> Iterator[Seed]:
    for container, suffix, codec in FFMPEG:
        try:
            content = _muxed(container, codec)
        except (av.FFmpegError, ValueError):  # this build writes other formats
            continue
        yield Seed(f"{codec}.{suffix}", content)


def _muxed(container: str, codec: str) -> bytes:
    written = io.BytesIO()
    with av.open(written, "w", format=container) as file:
        stream = file.add_stream(codec, rate=48_000 if codec in ("libopus", "ac3") else RATE, layout="mono")
        stream.bit_rate = 64_000
        stream.codec_context.open()  # only then it knows how long its frames are
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.codec_context.format, "mono", stream.codec_context.rate, size)
        frame = av.AudioFrame.from_ndarray(_sound()[None, :], "s16", "mono")
        frame.sample_rate = RATE
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            file.mux(stream.encode(part))
    return written.getvalue()


# Damage


def _flipped(content: bytes, first: int, last: int, times: int, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(times if last > first else 0):
        changed[chance.randrange(first, last)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _header_bits(content: bytes, other: bytes, chance: random.Random) -> bytes:
    return _flipped(content, 0, min(HEADER, len(content)), chance.randint(1, 8), chance)


def _body_bits(content: bytes, other: bytes, chance: random.Random) -> bytes:
    return _flipped(content, min(HEADER, len(content)), len(content), chance.randint(1, 200), chance)


def _truncated(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """Half of the time inside the header."""
    return content[: chance.randint(1, HEADER if chance.random() < 0.5 else max(len(content) - 1, 1))]


def _spliced(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """One file's header before another's sound."""
    return other[: chance.randint(4, HEADER)] + content[chance.randint(0, HEADER) :]


def _extreme(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """A few numbers of the header become the smallest, the largest, or the one beyond which signs turn."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        width, order = chance.choice("BHIQ"), chance.choice("<>")
        size = struct.calcsize(width)
        value = chance.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1)))
        at = chance.randrange(max(min(HEADER, len(content)) - size, 1))
        changed[at : at + size] = struct.pack(order + width, value)
    return bytes(changed)


def _cuts(content: bytes, count: int, chance: random.Random) -> list[bytes]:
    """The file in `count` + 1 parts; half of the time at the front, where chunks are small."""
    end = len(content) if chance.random() < 0.5 else min(HEADER, len(content))
    places = sorted(chance.randint(0, end) for _ in range(count))
    return [content[a:b] for a, b in zip((0, *places), (*places, len(content)), strict=True)]


def _swapped(content: bytes, other: bytes, chance: random.Random) -> bytes:
    before, one, between, two, after = _cuts(content, 4, chance)
    return before + two + between + one + after


def _doubled(content: bytes, other: bytes, chance: random.Random) -> bytes:
    before, block, after = _cuts(content, 2, chance)
    return before + block * chance.randint(2, 4) + after


def _holed(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """A part is lost, or zeros as after a crash of a file system."""
    before, lost, after = _cuts(content, 2, chance)
    return before + (bytes(len(lost)) if chance.random() < 0.5 else b"") + after


def _random_part(content: bytes, other: bytes, chance: random.Random) -> bytes:
    before, lost, after = _cuts(content, 2, chance)
    return before + chance.randbytes(len(lost)) + after


DAMAGES: dict[str, Callable[[bytes, bytes, random.Random], bytes]] = {
    "bits of the header": _header_bits,
    "bits of the body": _body_bits,
    "truncated": _truncated,
    "another's header": _spliced,
    "extreme sizes": _extreme,
    "parts swapped": _swapped,
    "a part doubled": _doubled,
    "a hole": _holed,
    "a part is noise": _random_part,
}
