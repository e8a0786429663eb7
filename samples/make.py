"""Makes the sample recordings, each with a reference of who says what and when, so that they can be remade and trusted.

In go the scripts in `texts/` (who speaks how, and what after which pause); out come, beside this file, `NAME.SUFFIX`,
`NAME.txt` (one utterance a line) and `NAME.json` (utterances with times, speaker and channel). The times are exact
because the utterances are placed here. This room knows nothing of audiocli, and needs a few packages that audiocli
does not (README.md names them):

    python samples/make.py              # all of them
    python samples/make.py call rain    # only these
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import yaml
from hibari import Hibari

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Samples = npt.NDArray[np.float32]

HERE = Path(__file__).parent
SEED = 20
PEAK_DB = -3.0
SPEECH_DB = -20.0
"""RMS of each utterance while it is loud, so that no voice is louder than another."""
FLITE_VOICES = ("awb", "rms", "slt")
"""Flite's statistical voices; its older diphone voices sound like a machine."""
BELL = ((0.5, 0.6, 5.0), (1.0, 1.0, 3.5), (1.2, 0.5, 2.5), (1.5, 0.3, 1.8), (2.0, 0.5, 1.2))
"""Partials of a struck bell, from hum to octave: pitch ratio, loudness, seconds to fade by 60 dB."""


@dataclass(frozen=True, slots=True)
class Recording:
    """How one sample is stored."""

    suffix: str
    codec: str
    """FFmpeg's name where a bit rate is given, else libsndfile's."""
    rate: int
    channels: int = 1
    bit_rate: int | None = None
    """Bits per second; None where the codec is lossless or has a quality instead."""
    room_db: float = -68.0
    """RMS of the noise of the room; never digital silence, which no microphone records."""
    band_hz: tuple[float, float] = (60, 20_000)
    """What the microphone or the line lets through; a synthesizer may leave an offset that no microphone has."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """How one person of a script sounds."""

    voice: str
    pitch: float = 1.0
    """Below 1 a larger person: pitch and formants move together."""
    speed: float = 1.0
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is said without a change of speaker, as it is written to the reference."""

    start_s: float
    end_s: float
    speaker: str
    channel: int
    text: str


SPEECH = {
    "meeting": Recording("mp3", "libmp3lame", rate=24_000, bit_rate=48_000),
    "call": Recording("ogg", "VORBIS", rate=8_000, channels=2, room_db=-62, band_hz=(250, 3_500)),
    "lecture": Recording("m4a", "aac", rate=24_000, bit_rate=48_000),
    "pauses": Recording("flac", "PCM_16", rate=16_000, room_db=-74),
    "voicemail": Recording("mp3", "libmp3lame", rate=16_000, bit_rate=32_000, band_hz=(200, 3_800)),
}
NOISE = {"rain": Recording("wav", "PCM_16", rate=16_000)}


def main(names: Sequence[str]) -> None:
    if unknown := sorted({*names} - {*SPEECH, *NOISE}):
        raise SystemExit(f"no such sample: {', '.join(unknown)}; there are {', '.join([*SPEECH, *NOISE])}")
    for name in names or [*SPEECH, *NOISE]:
        script = yaml.safe_load((HERE / "texts" / f"{name}.yaml").read_text(encoding="utf-8"))
        if name in SPEECH:
            write(name, SPEECH[name], *stage(script, SPEECH[name]))
        else:
            write(name, NOISE[name], rain(script, NOISE[name].rate), [])


def stage(script: Mapping[str, Any], recording: Recording) -> tuple[Samples, list[Utterance]]:
    """Speak a script into one recording: float32 (n, channels), −1…1, and what is said in it, by start."""
    spoken = list(_spoken(script, recording))
    total_s = spoken[-1][0].end_s + script.get("tail_s", 1.0)
    sound = np.zeros((round(total_s * recording.rate), recording.channels), np.float32)
    for utterance, voice in spoken:
        start = round(utterance.start_s * recording.rate)
        sound[start : start + len(voice), utterance.channel] += voice
    return to_peak(sound) + room(sound.shape, recording), [utterance for utterance, _ in spoken]


def _spoken(script: Mapping[str, Any], recording: Recording) -> Iterator[tuple[Utterance, Samples]]:
    speakers = {name: Speaker(**spec) for name, spec in script["speakers"].items()}
    now_s = 0.0
    for pause_s, name, text in script["utterances"]:
        voice = speak(text, speakers[name], recording)
        start_s = round(now_s + pause_s, 3)
        now_s = round(start_s + len(voice) / recording.rate, 3)
        yield Utterance(start_s, now_s, name, speakers[name].channel, text), voice


def speak(text: str, speaker: Speaker, recording: Recording) -> Samples:
    """Text as speech, float32 (n,) at the recording's rate: no silence around it, as loud as all others, no clicks."""
    sound, native = _flite(text, speaker) if speaker.voice in FLITE_VOICES else _heart(text, speaker)
    sound = through_line(soxr.resample(sound, native * speaker.pitch, recording.rate), recording)
    return fade(to_loudness(trim(sound, recording.rate), recording.rate), recording.rate)


def _heart(text: str, speaker: Speaker) -> tuple[Samples, int]:
    """hibari's voice; it speaks faster by what the lower pitch will slow it down, so the pace stays."""
    return _hibari()(text, speed=speaker.speed / speaker.pitch, seed=SEED), Hibari.sample_rate


@cache
def _hibari() -> Hibari:
    return Hibari(voice="heart")


def _flite(text: str, speaker: Speaker) -> tuple[Samples, int]:
    stretch = f"duration_stretch={speaker.pitch / speaker.speed}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        subprocess.run(["flite", "-voice", speaker.voice, "--setf", stretch, "-t", text, "-o", path], check=True)
        sound, rate = soundfile.read(path, dtype="float32")
        return sound, rate


def through_line(sound: Samples, recording: Recording) -> Samples:
    """Let only the band of the line pass; edges 100 Hz wide, as a sharp one would ring."""
    low, high = recording.band_hz
    hertz = np.fft.rfftfreq(len(sound), 1 / recording.rate)
    gain = np.clip((hertz - low) / 100 + 0.5, 0, 1) * np.clip((high - hertz) / 100 + 0.5, 0, 1)
    return np.fft.irfft(np.fft.rfft(sound) * gain, len(sound)).astype(np.float32)


def trim(sound: Samples, rate: int, *, below_peak_db: float = 40.0, margin_s: float = 0.03) -> Samples:
    """Take the silence off both ends, but a margin, so that the reference has the times of the voice."""
    loud = np.flatnonzero(np.abs(sound) > np.abs(sound).max() * amplitude(-below_peak_db))
    margin = round(margin_s * rate)
    return sound[max(loud[0] - margin, 0) : loud[-1] + margin]


def to_loudness(sound: Samples, rate: int) -> Samples:
    """Bring the RMS to `SPEECH_DB`, counted over the 50-ms frames within 20 dB of the loudest: pauses do not count."""
    size = round(0.05 * rate)
    frames = sound[: len(sound) // size * size].reshape(-1, size)
    power = np.square(frames).mean(axis=1)
    rms = np.sqrt(power[power > power.max() / 100].mean())
    return scaled(sound, amplitude(SPEECH_DB) / rms)


def fade(sound: Samples, rate: int, *, length_s: float = 0.015) -> Samples:
    """Raise and lower the ends, because a step from the room to the voice would click."""
    ramp = np.linspace(0, 1, round(length_s * rate), dtype=np.float32)
    shape = np.ones_like(sound)
    shape[: len(ramp)], shape[-len(ramp) :] = ramp, ramp[::-1]
    return sound * shape


def to_peak(sound: Samples) -> Samples:
    return scaled(sound, amplitude(PEAK_DB) / np.abs(sound).max())


def room(shape: tuple[int, ...], recording: Recording) -> Samples:
    """The noise of a quiet room, float32 of `shape`: even below 300 Hz, falling by 6 dB an octave above."""
    noise = np.random.default_rng(SEED).standard_normal(shape)
    hertz = np.fft.rfftfreq(shape[0], 1 / recording.rate)[:, None]
    noise = np.fft.irfft(np.fft.rfft(noise, axis=0) / np.hypot(1, hertz / 300), shape[0], axis=0)
    return scaled(noise, amplitude(recording.room_db) / noise.std())


def rain(script: Mapping[str, Any], rate: int) -> Samples:
    """Rain that grows and fades, and a bell at the times of the script: float32 (n, 1), −1…1."""
    total = round(script["duration_s"] * rate)
    sound = 0.08 * _hiss(total, rate) + 0.6 * _drops(total, rate)
    sound *= 0.25 + 0.75 * np.sin(np.pi * np.arange(total) / total)
    for chime in script["chimes"]:
        start = round(chime["at_s"] * rate)
        sound[start:] += _bell(chime["pitch_hz"], total - start, rate)
    return to_peak(fade(sound.astype(np.float32), rate, length_s=0.5))[:, None]


def _hiss(total: int, rate: int) -> npt.NDArray[np.float64]:
    """The many drops too far away to be told apart: noise around 3 kHz, RMS 1."""
    spectrum = np.fft.rfft(np.random.default_rng(SEED).standard_normal(total))
    ratio = np.fft.rfftfreq(total, 1 / rate) / 3_000
    noise = np.fft.irfft(spectrum * ratio / (1 + ratio**2), total)
    return np.asarray(noise / noise.std())


def _drops(total: int, rate: int, *, per_s: int = 30) -> npt.NDArray[np.float64]:
    """The drops close by: short tones between 1 and 5 kHz, each of its own loudness, dead after 10 ms."""
    random = np.random.default_rng(SEED + 1)
    sound, time = np.zeros(total), np.arange(round(0.01 * rate)) / rate
    for start in random.integers(0, total - len(time), per_s * total // rate):
        tone = np.sin(2 * np.pi * random.uniform(1_000, 5_000) * time) * np.exp(-time * 500)
        sound[start : start + len(time)] += tone * random.uniform(0.05, 0.5)
    return sound


def _bell(pitch_hz: float, total: int, rate: int) -> npt.NDArray[np.float64]:
    time = np.arange(total) / rate
    strike = np.minimum(time / 0.004, 1)
    fall = np.log(1_000)  # 60 dB
    sound = np.zeros(total)
    for ratio, loudness, length_s in BELL:
        sound += loudness * np.exp(-fall * time / length_s) * np.sin(2 * np.pi * ratio * pitch_hz * time)
    return 0.25 * strike * sound


def scaled(sound: npt.NDArray[Any], gain: float) -> Samples:
    return np.asarray(sound * gain, np.float32)


def amplitude(decibel: float) -> float:
    return float(10 ** (decibel / 20))


def write(name: str, recording: Recording, sound: Samples, said: Sequence[Utterance]) -> None:
    encode(HERE / f"{name}.{recording.suffix}", recording, sound)
    lines = "".join(f"{utterance.text}\n" for utterance in said)
    (HERE / f"{name}.txt").write_text(lines, encoding="utf-8", newline="\n")
    entries = json.dumps([asdict(utterance) for utterance in said], indent=1, ensure_ascii=False)
    (HERE / f"{name}.json").write_text(entries + "\n", encoding="utf-8", newline="\n")
    print(f"{name}.{recording.suffix}: {len(sound) / recording.rate:.1f} s, {len(said)} utterances")


def encode(path: Path, recording: Recording, sound: Samples) -> None:
    """Write float32 (n, channels). Equal sounds give equal files, but for Vorbis, which draws a serial number."""
    if recording.bit_rate is None:
        soundfile.write(path, sound, recording.rate, subtype=recording.codec)
    else:
        _encode_lossy(path, recording, sound)


def _encode_lossy(path: Path, recording: Recording, sound: Samples) -> None:
    """Write at a given bit rate, through FFmpeg; "bitexact" leaves out the clock and the versions."""
    layout = "stereo" if recording.channels == 2 else "mono"
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        options = {"flags": "+bitexact"}
        stream = container.add_stream(recording.codec, rate=recording.rate, layout=layout, options=options)
        stream.bit_rate = recording.bit_rate
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="flt", layout=layout)
        frame.rate = recording.rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main(sys.argv[1:])
