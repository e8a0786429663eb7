"""Two decoders, libsndfile and FFmpeg, behind one door: a file goes in, `Piece`s of sound as it is stored come out.

What is inside decides, never the file's name. Uncompressed sound goes to libsndfile, which reads it in large blocks;
all else goes to FFmpeg (PyAV), which loses one frame to a damaged spot where libsndfile loses the rest of the file,
reads chained streams to their end, and has no MP3 decoder that writes to stderr. Each stands in where the other finds
nothing. This room does not know 16 kHz, mixing or blocks of equal length: that is `audiocli.audio`.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

import av
import numpy as np
import soundfile

from audiocli import sniff
from audiocli.errors import DecodeError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy.typing as npt

    Samples: TypeAlias = npt.NDArray[np.float32]

PIECE = 2**18
"""Values (samples × channels) in one piece, about: 1 MB, and at most 6 s of 44.1 kHz sound."""
MAX_CHANNELS = 64
MIN_BIT_RATE = 100
"""Bits per second below which a promised duration is not believed: Opus needs 400 for digital silence."""

DEMUXERS = (
    "aa,aac,ac3,ac4,act,aea,aiff,amr,amrnb,amrwb,ape,asf,asf_o,ast,au,avi,caf,dsf,dss,dts,dtshd,dv,eac3,flac,flv,gsm,"
    "g722,iamf,iff,ircam,loas,live_flv,matroska,mlp,mmf,mov,mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,ogg,oma,qcp,"
    "rm,shn,sox,tak,truehd,tta,voc,w64,wav,wsd,wtv,wv"
)
"""What FFmpeg may take a file for: containers with sound in them. No playlist, no list of other files, no picture, no
subtitles, no network: those would let one file read others, and are no recordings."""
HEADERLESS = {".g722": "g722", ".gsm": "gsm"}
"""Sound without any header, whose one rate and layout the suffix tells."""
NAMES = {"mov": "mp4", "wavex": "wav"}
"""What people call a container, where the libraries call it otherwise."""
PROMISELESS = {"aac", "ac3", "dts", "eac3", "g722", "gsm", "loas", "mlp", "mpeg", "mpegts", "truehd"}
"""Containers without a length, for which FFmpeg guesses one from the bit rate."""

UNCOMPRESSED = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff")
"""First bytes of WAV and its variants (RF64, Wave64), AIFF, AU and CAF."""
UNKNOWN = 2**62
"""libsndfile answers with a larger number of samples where a header does not tell."""
MPEG_TAGS = (0x50, 0x55)
"""Codec numbers in a WAV header: MPEG layer 1 or 2, layer 3."""


class Piece(NamedTuple):
    """Consecutive sound of one rate and layout."""

    samples: Samples
    """float32, nominally −1…1: (n, channels) as it comes out of here, (n,) once mixed; n > 0."""
    rate: int


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """An opened recording; its first piece has been decoded, so there is sound in it."""

    container: str
    codec: str
    pieces: Iterator[Piece]
    duration_s: float | None = None
    promised_s: float | None = None
    """Duration the header vouches for: what falls short of it was lost. None where it is an estimate."""
    warnings: list[str] = field(default_factory=list)
    """Grows while pieces are taken; whole after the last."""


@contextmanager
def open_stream(path: Path) -> Iterator[Stream]:
    """Opens with the decoder that gets sound out of the file.

    Raises DecodeError, which says what the file is instead, and SourceError where it cannot be read at all.
    """
    try:
        with path.open("rb") as file:
            head, size = file.read(sniff.HEAD), os.fstat(file.fileno()).st_size
    except OSError as exc:
        raise SourceError(exc.strerror or "cannot be read") from exc
    sniff.refuse(head, headerless=path.suffix.lower() in HEADERLESS)
    wav = sniff.wav_layout(path)
    reasons = []
    for decoder in _decoders(head, wav):
        with ExitStack() as opened:
            try:
                stream = opened.enter_context(decoder(path))
                first = next(stream.pieces)
            except DecodeError as exc:
                reasons.append(str(exc))
            except StopIteration:
                pass
            else:
                stream.warnings.extend(sniff.wav_doubts(wav))
                yield replace(
                    stream,
                    pieces=chain([first], stream.pieces),
                    duration_s=_believed(stream.duration_s, size),
                    promised_s=_believed(stream.promised_s, size),
                )
                return
    raise DecodeError(next(filter(None, reasons), None) or sniff.explain(path, head, size))


def _believed(duration_s: float | None, size: int) -> float | None:
    return duration_s if duration_s and 0 < duration_s < 1 + size * 8 / MIN_BIT_RATE else None


Decoder: TypeAlias = "Callable[[Path], AbstractContextManager[Stream]]"


def _decoders(head: bytes, wav: sniff.Wav | None) -> list[Decoder]:
    """Best first. libsndfile never gets MP3, also not inside WAV: its decoder reports to stderr even on whole files."""
    ffmpeg = partial(_ffmpeg, head=head)
    if head.startswith(UNCOMPRESSED):
        return [ffmpeg] if wav and wav.tag in MPEG_TAGS else [_libsndfile, ffmpeg]
    return [ffmpeg, _libsndfile] if head.startswith((b"fLaC", b"OggS")) else [ffmpeg]


# libsndfile


@contextmanager
def _libsndfile(path: Path) -> Iterator[Stream]:
    try:
        sound = soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else str(path))
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as exc:
        raise DecodeError from exc
    with sound:
        duration_s = sound.frames / sound.samplerate if sound.frames < UNKNOWN else None
        warnings: list[str] = []
        yield Stream(
            container=NAMES.get(sound.format.lower(), sound.format.lower()),
            codec=sound.subtype.lower(),
            pieces=_blocks(sound, warnings),
            duration_s=duration_s,
            promised_s=duration_s,
            warnings=warnings,
        )


def _blocks(sound: Any, warnings: list[str]) -> Iterator[Piece]:
    rate, channels = sound.samplerate, _channels(sound.channels)
    position = 0
    while True:
        try:
            samples = sound.read(max(PIECE // channels, 1), dtype="float32", always_2d=True)
        except soundfile.SoundFileError:
            if not position:
                return
            warnings.append(f"damaged at {position / rate:.1f} s; what follows could not be read")
            return
        if not len(samples):
            return
        position += len(samples)
        yield Piece(samples, rate)


# FFmpeg


class _Unnamed:
    """A file whose name FFmpeg does not get to see: it would take `.raw` for a picture and `a%03d` for many files."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.tell = file.tell
        self.error: OSError | None = None

    def read(self, size: int) -> bytes:
        """Keeps the error of a failing disk for later: raised in here it would be printed, or taken for the end."""
        try:
            return self.file.read(size)
        except OSError as exc:
            self.error = exc
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self.file.seek(offset, whence)
        except (OSError, ValueError):
            return -1


@contextmanager
def _ffmpeg(path: Path, head: bytes) -> Iterator[Stream]:
    av.logging.set_level(None)
    headerless = HEADERLESS.get(path.suffix.lower())
    with path.open("rb") as file, ExitStack() as opened:
        unnamed = _Unnamed(file)
        try:
            container: Any = opened.enter_context(_opened(unnamed, headerless))
        except (av.FFmpegError, ValueError) as exc:
            raise DecodeError from exc
        stream = _audio_stream(container)
        count, number = len(container.streams.audio), container.streams.audio.index(stream) + 1
        warnings = [f"{count} audio streams; only number {number} was read"] if count > 1 else []
        duration_s = _duration_s(container, stream)
        name = container.format.name.split(",")[0]
        vouched = _vouched(name, file, head) and (stream.duration or len(container.streams) == 1)
        yield Stream(
            container=NAMES.get(name, name),
            codec=stream.codec_context.name.removesuffix("float"),  # FFmpeg decodes MP3 with `mp3float`
            pieces=_checked(_pieces(_frames(container, stream, warnings)), unnamed),
            duration_s=duration_s,
            promised_s=duration_s if vouched else None,
            warnings=warnings,
        )


def _opened(file: _Unnamed, demuxer: str | None) -> Any:
    return av.open(
        file,
        format=demuxer,
        metadata_errors="replace",
        buffer_size=2**18,
        container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": "none"},
    )


def _checked(pieces: Iterator[Piece], file: _Unnamed) -> Iterator[Piece]:
    yield from pieces
    if file.error:
        raise SourceError(file.error.strerror or "cannot be read to its end") from file.error


def _audio_stream(container: Any) -> Any:
    streams = container.streams
    if not streams.audio:
        kinds = [stream.type for stream in streams]
        counts = " and ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        raise DecodeError(f"no audio stream ({counts or 'no'} stream{'s' * (len(kinds) != 1)} found)")
    stream = streams.best("audio") or streams.audio[0]  # the track its author marked as default, as players choose
    if stream.codec_context is None:
        raise DecodeError("the sound is in a codec that is not known here")
    for other in streams:
        if other is not stream and hasattr(other, "discard"):
            other.discard = type(other.discard).all
    return stream


def _duration_s(container: Any, stream: Any) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def _vouched(demuxer: str, file: BinaryIO, head: bytes) -> bool:
    """Does the header state the duration? An MP3 does in the Xing, Info or VBRI tag of its first frame, after ID3."""
    if demuxer != "mp3":
        return demuxer not in PROMISELESS
    skip = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False)) + 10
    position = file.tell()
    file.seek(skip if head.startswith(b"ID3") else 0)
    frame = file.read(sniff.HEAD)
    file.seek(position)
    return any(tag in frame for tag in (b"Xing", b"Info", b"VBRI"))


def _frames(container: Any, stream: Any, warnings: list[str]) -> Iterator[Any]:
    """Decodes packet by packet; one that is damaged is skipped and counted, since the next is whole again."""
    packets, position_s, errors, first_s = container.demux(stream), 0.0, 0, 0.0
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, IndexError):  # the latter where a stream turns up that no header told of
            warnings.append(f"damaged at {position_s:.1f} s; what follows could not be read")
            break
        if packet is None:
            break
        try:
            frames = packet.decode()
        except av.FFmpegError:
            first_s = first_s if errors else position_s
            errors += 1
            continue
        for frame in frames:
            if frame.samples and frame.sample_rate:
                position_s += frame.samples / frame.sample_rate
                yield frame
    if errors:
        warnings.append(f"{errors} damaged packet{'s'[: errors > 1]} skipped, the first at {first_s:.1f} s")


def _pieces(frames: Iterator[Any]) -> Iterator[Piece]:
    """Puts frames of one kind together: a frame is a few milliseconds, too little to be worth a pass of NumPy."""
    batch: list[Any] = []
    kind, values = None, 0
    for frame in frames:
        its_kind = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        if batch and (its_kind != kind or values >= PIECE):
            yield _joined(batch)
            batch, values = [], 0
        kind = its_kind
        batch.append(frame)
        values += frame.samples * kind[1]
    if batch:
        yield _joined(batch)


MISCOUNTED = 8
"""From so many channels on PyAV counts a plane too many in planar frames, and would read memory beyond the last."""


def _interleaved(frames: list[Any]) -> list[Any]:
    """The same sound, channel by channel within each sample, as FFmpeg itself lays it out."""
    resampler = av.AudioResampler(format="flt")
    return [packed for frame in [*frames, None] for packed in resampler.resample(frame)]


def _joined(frames: list[Any]) -> Piece:
    channels = _channels(frames[0].layout.nb_channels)
    if frames[0].format.is_planar and channels >= MISCOUNTED:
        frames = _interleaved(frames)
    try:
        stored = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    except ValueError as exc:
        raise DecodeError(f"samples of format {frames[0].format.name} cannot be read") from exc
    samples = stored.T if frames[0].format.is_planar else stored.reshape(-1, channels)
    return Piece(_as_float(samples), frames[0].sample_rate)


def _as_float(samples: npt.NDArray[Any]) -> Samples:
    """Full scale becomes 1.0, also that of unsigned bytes, whose zero is 128."""
    with np.errstate(over="ignore", invalid="ignore"):
        values: Samples = samples.astype(np.float32)
    if samples.dtype.kind == "u":
        values -= np.float32(128)
        values /= np.float32(128)
    elif samples.dtype.kind == "i":
        values /= np.float32(2 ** (8 * samples.dtype.itemsize - 1))
    return values


def _channels(channels: int) -> int:
    if not 0 < channels <= MAX_CHANNELS:
        raise DecodeError(f"{channels} channels; 1 to {MAX_CHANNELS} can be read")
    return channels
