"""What `audiocli.road` promises: clips are the source at the pieces of their windows, in the memory of a few blocks."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocli.engines.fake import tones
from audiocli.errors import DecodeError
from audiocli.records import RATE, Span
from audiocli.road import PHRASE_S, Road, quietest, survey

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
FRAME = 480
"""Samples in a frame of the detectors used here."""


def talk(seconds, seed=0):
    """A recording of words with pauses of all lengths, and where the words are."""
    rng, words, at = np.random.default_rng(seed), [], 1.0
    while at < seconds - 2:
        words.append((round(at, 2), int(rng.integers(100))))
        at += 0.3 + float(rng.choice([0.05, 0.1, 0.3, 1.0, 4.0, 15.0], p=[0.4, 0.3, 0.2, 0.05, 0.04, 0.01]))
    return tones(words, seconds), words


def road(path, detector="webrtc", window_s=30.0, channel=None, **more):
    return Road(path, channel=channel, detector=detector, window_s=window_s, **more)


def marked(spans, total):
    """Which samples lie in spans: bool (total,)."""
    flags = np.zeros(total, bool)
    for span in spans:
        flags[span.start : span.stop] = True
    return flags


def marked_windows(pairs, total):
    return marked([piece for window, _ in pairs for piece in window.pieces], total)


@pytest.fixture(params=["PCM_16", "FLOAT"])
def recording(request, tmp_path):
    """Five minutes of talk: (path, samples, words)."""
    samples, words = talk(300.7)
    soundfile.write(tmp_path / "talk.wav", samples, RATE, subtype=request.param)
    return tmp_path / "talk.wav", samples, words


@pytest.mark.parametrize("window_s", [4.0, 30.0, 120.0])
@pytest.mark.parametrize("detector", ["webrtc", "off"])
def test_a_clip_is_the_source_at_the_pieces_of_its_window(recording, detector, window_s):
    path, samples, _ = recording
    pairs = list(road(path, detector, window_s))
    assert len(pairs) > 1
    for window, clip in pairs:
        assert clip.dtype == np.float32 and 0 < len(clip) == window.length <= window_s * RATE
        source = np.concatenate([samples[piece.start : piece.stop] for piece in window.pieces])
        np.testing.assert_allclose(clip, source, rtol=0, atol=1e-4)


def test_every_word_is_in_a_window_and_long_pauses_are_not(recording):
    path, samples, words = recording
    heard = np.zeros(len(samples), int)
    for window, _ in road(path):
        for piece in window.pieces:
            heard[piece.start : piece.stop] += 1
    for start_s, _ in words:
        assert heard[round(start_s * RATE) : round((start_s + 0.3) * RATE)].all()
    for (before_s, _), (after_s, _) in pairwise(words):
        assert after_s - before_s < 4 or not heard[round((before_s + 1.3) * RATE) : round((after_s - 1) * RATE)].any()


def test_with_the_detector_off_every_sample_is_heard(recording):
    path, samples, _ = recording
    heard = np.zeros(len(samples), bool)
    for window, _ in road(path, "off"):
        for piece in window.pieces:
            heard[piece.start : piece.stop] = True
    assert heard.all()


def test_what_is_done_to_one_clip_is_not_heard_in_the_next(tmp_path):
    hum = (0.5 * np.sin(np.arange(100 * RATE) / 7)).astype(np.float32)
    soundfile.write(tmp_path / "hum.wav", hum, RATE, subtype="FLOAT")
    windows = []
    for window, clip in road(tmp_path / "hum.wav"):
        np.testing.assert_allclose(clip, hum[window.start : window.stop], rtol=0, atol=1e-4)
        clip[:] = 7.0
        windows.append(window)
    assert all(window.overlap for window in windows[1:])


def test_what_is_known_of_the_recording_is_complete_after_the_last_window(recording):
    path, samples, _ = recording
    one = road(path)
    assert one.info is None and one.heard == 0
    windows = [window for window, _ in one]
    assert one.info.rate == RATE and one.info.channels == 1
    assert one.info.duration_s == pytest.approx(300.7)
    assert one.heard == one.speech.total == len(samples)
    assert one.warnings == ()
    kept = np.zeros(len(samples), bool)
    for span in one.speech.spans:
        kept[span.start : span.stop] = True
    heard = np.zeros(len(samples), bool)
    for piece in [piece for window in windows for piece in window.pieces]:
        heard[piece.start : piece.stop] = True
    np.testing.assert_array_equal(heard, kept)


def test_windows_come_while_the_recording_is_still_being_read(recording):
    path, samples, _ = recording
    one = road(path)
    next(iter(one))
    assert one.heard < len(samples) / 2


def test_once_stopped_nothing_more_is_read_even_where_nothing_is_said(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(120 * RATE, np.float32), RATE)
    answers = iter([False, False, True])
    one = Road(tmp_path / "silent.wav", channel=None, detector="webrtc", window_s=30.0, stopped=lambda: next(answers))
    assert list(one) == []
    assert 0 < one.heard < 60 * RATE


def test_what_the_decoder_complains_of_is_handed_on(tmp_path):
    samples, _ = talk(20)
    broken = samples.copy()
    broken[5000:5010] = np.nan
    soundfile.write(tmp_path / "broken.wav", broken, RATE, subtype="FLOAT")
    one = road(tmp_path / "broken.wav")
    assert all(np.isfinite(clip).all() for _, clip in one)
    assert any("no finite number" in warning for warning in one.warnings)


def test_one_channel_is_heard_and_the_others_are_not(tmp_path):
    left, right = tones([(2.0, 1), (2.4, 1), (2.8, 1)], 12), tones([(8.0, 2), (8.4, 2), (8.8, 2)], 12)
    soundfile.write(tmp_path / "two.wav", np.stack([left, right], axis=1), RATE)
    ((window, clip),) = road(tmp_path / "two.wav", channel=1)
    assert 7 * RATE < window.start < 8 * RATE
    np.testing.assert_allclose(clip, right[window.start : window.stop], rtol=0, atol=1e-4)


@pytest.mark.parametrize("seconds", [0.001, 25.0])
def test_a_silent_recording_has_no_windows_and_is_known_whole(tmp_path, seconds):
    soundfile.write(tmp_path / "silent.wav", np.zeros(round(seconds * RATE), np.float32), RATE)
    one = road(tmp_path / "silent.wav")
    assert list(one) == []
    assert (one.speech.spans, one.speech.total) == ((), round(seconds * RATE))


def test_a_window_may_wait_through_a_silence_longer_than_a_block(tmp_path):
    samples = tones([(at, 1) for at in (2.0, 2.4, 2.8, 95.0, 95.4, 95.8)], 100)
    soundfile.write(tmp_path / "sparse.wav", samples, RATE)
    ((window, clip),) = road(tmp_path / "sparse.wav")
    assert len(window.pieces) == 2
    np.testing.assert_allclose(
        clip, np.concatenate([samples[piece.start : piece.stop] for piece in window.pieces]), rtol=0, atol=1e-4
    )


# ------------------------------------------------------------------------------------------------ a part of it only


PARTS = {
    "begins and ends inside": [(31.3, 92.0), (150.0, 170.01), (200.0, 259.99)],
    "the beginning": [(0, 40.0)],
    "the end": [(250.123, 300.7)],
    "everything": [(0, 300.7)],
    "nothing": [],
    "less than a frame": [(100.0, 100.01)],
}


@pytest.mark.parametrize("detector", ["webrtc", "off"])
@pytest.mark.parametrize("part", PARTS)
def test_of_a_part_is_heard_what_would_be_heard_of_it_anyway_and_nothing_else(recording, detector, part):
    path, samples, _ = recording
    only = [Span(round(start_s * RATE), round(stop_s * RATE)) for start_s, stop_s in PARTS[part]]
    pairs = list(road(path, detector, only=only))
    heard, wanted = marked_windows(pairs, len(samples)), marked(only, len(samples))
    due = wanted & marked_windows(road(path, detector), len(samples))
    assert not (heard & ~wanted).any()
    missed = np.flatnonzero(due & ~heard)
    edges = [edge for span in only for edge in (span.start, span.stop)]
    assert all(min(abs(edge - sample) for edge in edges) < FRAME for sample in missed.tolist())
    assert part != "everything" or not len(missed)
    for window, clip in pairs:
        source = np.concatenate([samples[piece.start : piece.stop] for piece in window.pieces])
        np.testing.assert_allclose(clip, source, rtol=0, atol=1e-4)


def test_what_is_marked_of_the_recording_does_not_depend_on_what_is_heard_of_it(recording):
    path, _, _ = recording
    whole, part = road(path), road(path, only=[Span(50 * RATE, 60 * RATE)])
    list(whole)
    list(part)
    assert part.speech == whole.speech
    assert part.heard == whole.heard


def test_everything_chosen_gives_the_same_windows_as_no_choice(recording):
    path, samples, _ = recording
    assert [window for window, _ in road(path, only=[Span(0, len(samples))])] == [window for window, _ in road(path)]


class Tape:
    def __init__(self):
        self.blocks = []

    def push(self, block):
        self.blocks.append(block.copy())


@pytest.mark.parametrize("only", [None, [], [Span(50 * RATE, 60 * RATE)]], ids=["all", "nothing", "a part"])
def test_who_listens_gets_every_sample_once_and_in_order(recording, only):
    path, samples, _ = recording
    first, second = Tape(), Tape()
    list(road(path, only=only, listeners=[first, second]))
    np.testing.assert_allclose(np.concatenate(first.blocks), samples, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(np.concatenate(second.blocks), np.concatenate(first.blocks))
    assert len(first.blocks) > 1


def test_who_listens_hears_nothing_more_once_stopped(recording):
    path, _, _ = recording
    answers, tape = iter([False, False, True]), Tape()
    list(road(path, listeners=[tape], stopped=lambda: next(answers)))
    assert len(tape.blocks) == 2


# ----------------------------------------------------------------------------------------------------- the survey


@pytest.mark.parametrize("detector", ["webrtc", "off"])
def test_a_survey_tells_ascending_phrases_that_hold_every_word(recording, detector):
    path, samples, words = recording
    found = survey(path, None, detector=detector)
    assert found.total == len(samples)
    assert all(0 < span.length <= PHRASE_S * RATE for span in found.spans)
    assert all(before.stop <= after.start for before, after in pairwise(found.spans))
    said = marked(found.spans, len(samples))
    for start_s, _ in words:
        assert said[round(start_s * RATE) : round((start_s + 0.3) * RATE)].all()


@pytest.mark.parametrize("name", ["meeting.mp3", "lecture.m4a", "call.ogg"])
def test_a_survey_ends_its_phrases_where_it_is_quiet(name):
    """The fifth of a second around each end is quieter than speech: for nearly all by 20 dB."""
    tape = Tape()
    list(road(SAMPLES / name, "off", only=[], listeners=[tape]))
    samples = np.concatenate(tape.blocks).astype(np.float64)
    found = survey(SAMPLES / name, None, detector="webrtc")
    speech_db = 10 * np.log10(np.mean(samples[marked(found.spans, found.total)] ** 2))
    ends = [edge for span in found.spans for edge in (span.start, span.stop) if 800 < edge < found.total - 800]
    levels_db = [10 * np.log10(np.mean(samples[edge - 800 : edge + 800] ** 2) + 1e-12) for edge in ends]
    assert len(ends) > 20
    assert np.mean(np.array(levels_db) < speech_db - 20) > 0.9


def test_a_survey_tells_apart_what_the_road_hears_as_one():
    """A lecture with hardly a pause: one stretch of two and a half minutes, and three dozen phrases."""
    one = road(SAMPLES / "lecture.m4a")
    list(one)
    assert len(one.speech.spans) == 1
    assert len(survey(SAMPLES / "lecture.m4a", None, detector="webrtc").spans) > 25


def test_steady_noise_is_surveyed_in_parts_that_lie_end_to_end(tmp_path):
    noise = 0.2 * np.random.default_rng(0).standard_normal(100 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, RATE)
    spans = survey(tmp_path / "noise.wav", None, detector="webrtc").spans
    assert all(span.length <= PHRASE_S * RATE for span in spans)
    assert [span.start for span in spans[1:]] == [span.stop for span in spans[:-1]]
    assert spans[-1].stop - spans[0].start > 99 * RATE


def test_a_survey_of_one_channel_does_not_hear_the_others(tmp_path):
    left, right = tones([(2.0, 1), (2.4, 1), (2.8, 1)], 12), tones([(8.0, 2), (8.4, 2), (8.8, 2)], 12)
    soundfile.write(tmp_path / "two.wav", np.stack([left, right], axis=1), RATE)
    spans = survey(tmp_path / "two.wav", 1, detector="webrtc").spans
    assert all(7.8 * RATE < span.start < span.stop < 9.5 * RATE for span in spans) and spans


def test_once_stopped_a_survey_ends_with_what_it_has(recording):
    path, samples, _ = recording
    answers = iter([False, False, True])
    found = survey(path, None, detector="webrtc", stopped=lambda: next(answers))
    assert 0 < found.total < len(samples) / 2
    assert found.spans[-1].stop <= found.total


def test_a_silent_recording_is_surveyed_as_silent(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(5 * RATE, np.float32), RATE)
    found = survey(tmp_path / "silent.wav", None, detector="webrtc")
    assert (found.spans, found.total) == ((), 5 * RATE)


def test_what_is_no_audio_cannot_be_surveyed(tmp_path):
    (tmp_path / "notes.wav").write_text("not a recording")
    with pytest.raises(DecodeError):
        survey(tmp_path / "notes.wav", None, detector="webrtc")


def test_what_is_no_audio_is_a_decode_error(tmp_path):
    (tmp_path / "notes.wav").write_text("not a recording")
    with pytest.raises(DecodeError):
        list(road(tmp_path / "notes.wav"))


WALK = """
import resource, sys
from pathlib import Path
from audiocli.road import Road

windows = sum(1 for _ in Road(Path(sys.argv[1]), channel=None, detector="webrtc", window_s=30.0))
print(windows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_minutes(path, minutes, speaking):
    """A wav with twenty seconds of talk in each minute that `speaking` names, silence in the others."""
    talking, still = tones([(at * 0.4, at) for at in range(50)], 60), np.zeros(60 * RATE, np.float32)
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as out:
        for minute in range(minutes):
            out.write(talking if minute in speaking else still)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize(
    ("speaking", "windows"), [(range(60), 40), ((0, 59), 2)], ids=["talk all along", "an hour of silence in between"]
)
def test_an_hour_takes_no_more_memory_than_two_minutes(tmp_path, speaking, windows):
    def memory_mb(path):
        walk = [sys.executable, "-c", WALK, str(path)]
        found, peak_kb = subprocess.run(walk, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
        return int(found), int(peak_kb) / 1024

    write_minutes(tmp_path / "short.wav", 2, range(2))
    write_minutes(tmp_path / "hour.wav", 60, speaking)
    _, short_mb = memory_mb(tmp_path / "short.wav")
    found, hour_mb = memory_mb(tmp_path / "hour.wav")
    assert found >= windows
    assert hour_mb - short_mb < 25


def test_the_quietest_place_is_found_in_the_middle_third():
    rng = np.random.default_rng(0)
    clip = rng.standard_normal(9 * RATE).astype(np.float32)
    clip[RATE : 2 * RATE] = 0  # quieter still, and too early
    clip[round(4.1 * RATE) : round(4.4 * RATE)] *= 0.01
    assert abs(quietest(clip) - round(4.25 * RATE)) <= 0.06 * RATE


@pytest.mark.parametrize("length", [3, 4, 5, 6, 7, 100, 3201, 30 * RATE])
@pytest.mark.parametrize("make", [np.zeros, np.ones, lambda n: np.arange(n) % 7], ids=["silent", "even", "uneven"])
def test_there_is_audio_on_both_sides_of_the_quietest_place(length, make):
    assert length // 3 <= quietest(make(length).astype(np.float32)) < length - length // 3
