"""What `audiocli.vad` promises: no speech is dropped, silence is, and nothing loud goes unmentioned."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocli import vad
from audiocli.audio import open_audio
from audiocli.errors import UsageError
from audiocli.records import RATE, Span

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "samples" / "pauses.flac"
RECORDINGS = ROOT.parent / "shared" / "audio" / "speech"
needs_sample = pytest.mark.skipif(not SAMPLE.is_file(), reason="samples/pauses.flac is not in this checkout")
needs_recordings = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no folder shared/audio beside the checkout")
needs_silero = pytest.mark.skipif(
    not (find_spec("silero_vad") and find_spec("onnxruntime")), reason="the extra 'silero' is not installed"
)
DETECTORS = ["webrtc", pytest.param("silero", marks=needs_silero), "off"]
LISTENING = DETECTORS[:2]


def track(samples, name="webrtc", block=10 * RATE, rules=None):
    """Everything a Tracker says of a recording that arrives in blocks: its Speech and all its Stretches."""
    tracker = vad.Tracker(name, rules)
    stretches = [one for at in range(0, len(samples), block) for one in tracker.push(samples[at : at + block])]
    stretches += tracker.close()
    return tracker.speech, stretches


def speech_of(samples, name="webrtc", block=10 * RATE):
    return track(samples, name, block)[0]


def load(path):
    with open_audio(path) as reader:
        return np.concatenate(list(reader))


def at_level(samples, level_db):
    """Scaled so that its root mean square is so many dB of full scale."""
    return (samples * 10 ** (level_db / 20) / np.sqrt(np.mean(np.square(samples)))).astype(np.float32)


def voice(seconds, level_db=-20.0):
    """Something with the spectrum and the rhythm of a voice: harmonics of a gliding pitch, four syllables a second."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * (140 * t + 8 * np.sin(2 * np.pi * 0.7 * t))
    tone = sum(np.sin(k * phase + k) / k for k in range(1, 20))
    return at_level(tone * (0.2 + np.sin(np.pi * 4 * t) ** 2), level_db)


def hiss(seconds, level_db, seed=0):
    return at_level(np.random.default_rng(seed).standard_normal(round(seconds * RATE)), level_db)


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


def mask(spans, total):
    marked = np.zeros(total, int)
    for span in spans:
        marked[span.start : span.stop] += 1
    return marked


class ByLevel:
    """A detector whose answers are written into the audio: frames above −15 dB are voiced."""

    frame = 480

    def voiced(self, frames):
        return vad.levels(frames) > -15


VOICED, LOUD, QUIET = 0.5, 0.03, 0.0
"""Amplitudes: −6 dB is voiced; −30 dB is loud and not voiced; silence is neither."""
FRAME_S = 0.03
RULES = vad.Rules()
ONSET, PAUSE, PAD = (round(time_s / FRAME_S) for time_s in (RULES.onset_s, RULES.pause_s, RULES.pad_s))


def written(*runs):
    """Audio for ByLevel. runs: (frames, amplitude)."""
    return np.concatenate([np.full(count * ByLevel.frame, amplitude, np.float32) for count, amplitude in runs])


@pytest.fixture(scope="module", autouse=True)
def by_level():
    """The table of detectors takes one more, while these tests run."""
    vad.DETECTORS["by level"] = ByLevel
    yield
    del vad.DETECTORS["by level"]


def in_frames(spans):
    return [(span.start // ByLevel.frame, -(-span.stop // ByLevel.frame)) for span in spans]


runs_of_frames = st.lists(
    st.tuples(st.one_of(st.integers(1, 8), st.integers(1, 80)), st.sampled_from([VOICED, LOUD, QUIET])),
    min_size=1,
    max_size=14,
)


@pytest.mark.parametrize("name", LISTENING)
def test_silence_gives_no_speech_and_nothing_loud(name):
    speech = speech_of(silence(12.34), name)
    assert (speech.spans, speech.loud, speech.total) == ((), (), round(12.34 * RATE))


@pytest.mark.parametrize("name", DETECTORS)
def test_a_recording_without_samples_is_valid(name):
    speech = speech_of(silence(0), name)
    assert (speech.spans, speech.loud, speech.total) == ((), (), 0)


def test_off_hears_every_sample():
    samples = np.concatenate([silence(3), voice(2), silence(2.017)])
    speech, stretches = track(samples, "off")
    assert speech.spans == (Span(0, len(samples)),)
    assert sum(len(stretch.voiced) for stretch in stretches) == -(-len(samples) // vad.Off.frame)


@pytest.mark.parametrize("lead", [0.0, 1.005], ids=["at once", "after digital silence"])
@pytest.mark.parametrize("level_db", [-85, -75, -60, -50, -40])
def test_the_hiss_of_a_room_is_not_speech_from_its_first_frame_on(level_db, lead):
    assert speech_of(np.concatenate([silence(lead), hiss(8, level_db)])).spans == ()


@pytest.mark.parametrize("name", LISTENING)
@needs_recordings
def test_real_speech_is_heard_whole_and_the_silence_around_it_is_not(name):
    for path in sorted(RECORDINGS.glob("*LJ001-00[01]*.wav"))[::4]:
        sentence = load(path)
        speech = speech_of(np.concatenate([silence(5), sentence, silence(5)]), name)
        loud = np.flatnonzero(np.abs(sentence) > 0.05) + 5 * RATE
        assert mask(speech.spans, speech.total)[loud].all(), path.name
        assert speech.spans[0].start > 5 * RATE - 0.8 * RATE, path.name
        assert speech.spans[-1].stop < 5 * RATE + len(sentence) + 0.8 * RATE, path.name


@pytest.mark.parametrize("level_db", [-50, -60])
@needs_recordings
def test_very_quiet_speech_is_found(level_db):
    for path in sorted(RECORDINGS.glob("*LJ001-00[01]*.wav"))[::6]:
        sentence = at_level(load(path), level_db)
        speech = speech_of(np.concatenate([silence(2), sentence, silence(2)]))
        loud = np.flatnonzero(np.abs(sentence) > 0.3 * np.abs(sentence).max()) + 2 * RATE
        assert mask(speech.spans, speech.total)[loud].all(), path.name


def test_quiet_speech_after_a_loud_beginning_is_found():
    speech = speech_of(np.concatenate([voice(3, -10), silence(3), voice(3, -50), silence(2)]))
    assert mask(speech.spans, speech.total)[round(6.1 * RATE) : round(8.9 * RATE)].all()


@pytest.mark.parametrize(
    ("name", "quieter_db"),
    [
        ("webrtc", 0),
        ("webrtc", 20),
        ("webrtc", 40),
        pytest.param("silero", 0, marks=needs_silero),
        pytest.param("silero", 20, marks=needs_silero),  # it is deaf to what is quieter still
    ],
)
@needs_sample
def test_every_utterance_is_kept_and_the_long_silences_are_dropped(name, quieter_db):
    utterances = json.loads(SAMPLE.with_suffix(".json").read_text())
    speech = speech_of(load(SAMPLE) * np.float32(10 ** (-quieter_db / 20)), name)
    for said in utterances:
        inside = [
            span
            for span in speech.spans
            if span.start <= (said["start_s"] + 0.05) * RATE and (said["end_s"] - 0.05) * RATE <= span.stop
        ]
        assert inside, said
    marked = mask(speech.spans, speech.total)
    edges = [0.0, *[time for said in utterances for time in (said["start_s"], said["end_s"])], speech.total / RATE]
    for start_s, stop_s in zip(edges[::2], edges[1::2], strict=True):
        assert not marked[round((start_s + 0.8) * RATE) : round((stop_s - 0.8) * RATE)].any(), (start_s, stop_s)


def assert_same_in_any_blocks(samples, name):
    speech, whole = track(samples, name, len(samples))
    for block in (10 * RATE, 16_001, 777):
        same, stretches = track(samples, name, block)
        assert same == speech
        for field in ("voiced", "level_db"):
            np.testing.assert_array_equal(
                np.concatenate([getattr(one, field) for one in stretches]),
                np.concatenate([getattr(one, field) for one in whole]),
            )


@pytest.mark.parametrize("name", ["webrtc", "off"])
def test_what_is_heard_does_not_depend_on_how_the_audio_arrives(name):
    quiet_first = [hiss(2, -60), voice(4, -45), silence(2), voice(3, -15), hiss(9, -35), voice(2), hiss(1, -20)]
    assert_same_in_any_blocks(np.concatenate(quiet_first), name)


@pytest.mark.parametrize("name", DETECTORS)
@needs_sample
def test_what_is_heard_of_real_speech_does_not_depend_on_how_it_arrives(name):
    assert_same_in_any_blocks(load(SAMPLE)[: 30 * RATE], name)


@settings(max_examples=50, deadline=None)
@given(runs_of_frames, st.integers(0, 479), st.integers(100, 20_000))
def test_every_sample_is_heard_or_listed_or_not_loud(runs, cut, block):
    samples = written(*runs)
    samples = samples[: len(samples) - cut]
    speech = speech_of(samples, "by level", block)
    heard, loud = mask(speech.spans, len(samples)), mask(speech.loud, len(samples))
    assert (heard + loud).max() <= 1
    assert all(
        span.length >= RULES.loud_s * RATE and (np.abs(samples[span.start : span.stop]) > 0.01).all()
        for span in speech.loud
    )
    missed = np.concatenate([[False], (heard + loud == 0) & (np.abs(samples) > 0.01), [False]])
    edges = np.flatnonzero(np.diff(missed.astype(int)))
    assert all(stop - start < RULES.loud_s * RATE for start, stop in zip(edges[::2], edges[1::2], strict=True))


@settings(max_examples=50, deadline=None)
@given(runs_of_frames, st.integers(0, 479), st.integers(100, 20_000))
def test_stretches_are_the_spans_frame_by_frame_and_never_before_what_was_settled(runs, cut, block):
    samples = written(*runs)
    samples = samples[: len(samples) - cut]
    tracker = vad.Tracker("by level")
    stretches, settled = [], 0
    for at in [*range(0, len(samples), block), None]:
        new = tracker.close() if at is None else tracker.push(samples[at : at + block])
        assert all(stretch.start * tracker.frame >= settled for stretch in new)
        stretches += new
        assert settled <= tracker.settled <= tracker.total + tracker.frame
        settled = tracker.settled
    for before, after in pairwise(stretches):
        assert before.start + len(before.voiced) <= after.start
    handed_on = [Span(one.start * 480, min((one.start + len(one.voiced)) * 480, len(samples))) for one in stretches]
    np.testing.assert_array_equal(mask(handed_on, len(samples)), mask(tracker.speech.spans, len(samples)))
    assert all(before.stop < after.start for before, after in pairwise(tracker.speech.spans))
    whole = np.pad(samples, (0, -len(samples) % 480)).reshape(-1, 480)
    for one in stretches:
        own = whole[one.start : one.start + len(one.voiced)]
        np.testing.assert_array_equal(one.voiced, ByLevel().voiced(own))
        np.testing.assert_array_equal(one.level_db, vad.levels(own))


@settings(max_examples=100, deadline=None)
@given(runs_of_frames)
def test_speech_starts_and_ends_one_padding_away_from_a_voice(runs):
    samples = written(*runs)
    flags = ByLevel().voiced(samples.reshape(-1, 480))
    for start, stop in in_frames(speech_of(samples, "by level").spans):
        last = start + np.flatnonzero(flags[start:stop])[-1]
        assert start == 0 or flags[start + PAD]
        assert stop == min(last + 1 + PAD, len(flags))


@settings(max_examples=100, deadline=None)
@given(runs_of_frames)
def test_nowhere_outside_speech_is_as_much_voice_as_starts_it(runs):
    samples = written(*runs)
    flags = ByLevel().voiced(samples.reshape(-1, 480))
    heard = np.zeros(len(flags), bool)
    for start, stop in in_frames(speech_of(samples, "by level").spans):
        heard[start:stop] = True
    for at in range(len(flags)):
        if not heard[at : at + ONSET].any():
            assert flags[at : at + ONSET].sum() < RULES.onset_share * ONSET


def test_speech_is_padded_on_both_sides():
    speech = speech_of(written((100, QUIET), (20, VOICED), (100, QUIET)), "by level")
    assert in_frames(speech.spans) == [(100 - PAD, 120 + PAD)]


def test_padding_ends_where_the_recording_does():
    assert in_frames(speech_of(written((4, QUIET), (20, VOICED), (4, QUIET)), "by level").spans) == [(0, 28)]


@pytest.mark.parametrize(("pause", "spans"), [(PAUSE, 1), (PAUSE + PAD - 1, 1), (PAUSE + PAD, 2)])
def test_pauses_shorter_than_the_rule_are_kept(pause, spans):
    samples = written((50, QUIET), (20, VOICED), (pause, QUIET), (20, VOICED), (50, QUIET))
    speech = speech_of(samples, "by level")
    assert len(speech.spans) == spans
    if spans == 2:
        assert in_frames(speech.spans) == [(50 - PAD, 70 + PAD), (70 + pause - PAD, 90 + pause + PAD)]


def test_a_blip_does_not_open_but_keeps_open():
    blip = ((3, VOICED), (30, QUIET))
    assert speech_of(written((50, QUIET), *blip, *blip), "by level").spans == ()
    speech = speech_of(written((50, QUIET), (20, VOICED), (30, QUIET), *blip, (60, QUIET)), "by level")
    assert in_frames(speech.spans) == [(50 - PAD, 103 + PAD)]


def test_what_is_loud_up_to_the_end_is_listed_up_to_the_end():
    speech = speech_of(written((50, QUIET), (40, LOUD))[:-100], "by level")
    assert (speech.spans, speech.loud) == ((), (Span(50 * 480, 90 * 480 - 100),))


def test_what_is_loud_for_a_moment_before_a_quiet_end_is_not_listed():
    assert speech_of(written((50, QUIET), (8, LOUD), (12, QUIET)), "by level").loud == ()


def test_what_is_loud_between_speech_is_listed_beyond_the_padding():
    speech = speech_of(written((20, VOICED), (100, LOUD), (20, VOICED)), "by level")
    assert in_frames(speech.loud) == [(20 + PAD, 120 - PAD)]


def test_many_utterances_in_one_block_are_not_listed_as_loud():
    samples = written(*[(40, VOICED), (60, QUIET)] * 100)
    speech = speech_of(samples, "by level", len(samples))
    assert (len(speech.spans), speech.loud) == (100, ())


@needs_silero
def test_a_loud_tone_is_listed_and_not_taken_for_speech():
    tone = (0.3 * np.sin(2 * np.pi * 1000 * np.arange(4 * RATE) / RATE)).astype(np.float32)
    speech = speech_of(np.concatenate([silence(2), tone, silence(2)]), "silero")
    assert speech.spans == ()
    (loud,) = speech.loud
    assert abs(loud.start - 2 * RATE) <= 512
    assert abs(loud.stop - 6 * RATE) <= 512


def test_speech_that_has_ended_is_no_evidence_for_new_speech():
    hasty = vad.Rules(pause_s=0.03, pad_s=0.03)
    speech, _ = track(written((50, QUIET), (20, VOICED), (4, QUIET), (1, VOICED), (50, QUIET)), "by level", rules=hasty)
    assert in_frames(speech.spans) == [(49, 71)]


@needs_silero
@needs_sample
def test_silero_hears_as_its_authors_run_it():
    silero_vad, torch = pytest.importorskip("silero_vad"), pytest.importorskip("torch")
    frames = load(SAMPLE)[: 2200 * 512].reshape(-1, 512)
    theirs = silero_vad.load_silero_vad(onnx=True)
    expected, speaking = [], False
    for frame in frames:
        speaking = float(theirs(torch.from_numpy(frame), RATE)) >= (0.35 if speaking else 0.5)
        expected.append(speaking)
    np.testing.assert_array_equal(vad.Silero().voiced(frames), expected)
    assert 0 < sum(expected) < len(expected)


@needs_silero
def test_silero_is_run_without_torch():
    code = "import sys; from audiocli.vad import Tracker; Tracker('silero'); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "False"


@pytest.mark.parametrize("missing", ["silero_vad", "onnxruntime"])
def test_silero_without_its_extra_says_how_to_install_it(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)  # how the import system is told that there is no such package
    with pytest.raises(UsageError, match=r"pip install 'audiocli\[silero\]'"):
        vad.Tracker("silero")


def test_an_unknown_detector_is_refused_with_the_names_of_those_there_are():
    with pytest.raises(UsageError, match=r"'energy'.*webrtc, silero, off"):
        vad.Tracker("energy")


def test_levels_are_decibels_of_full_scale_and_finite_for_silence():
    frames = np.stack([np.ones(480), np.full(480, 0.1), np.full(480, 1e-9), np.zeros(480)]).astype(np.float32)
    np.testing.assert_allclose(vad.levels(frames), [0, -20, vad.SILENT_DB, vad.SILENT_DB], atol=1e-3)
    assert vad.levels(frames[:0]).shape == (0,)
