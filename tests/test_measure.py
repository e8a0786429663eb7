"""What `audiocli.measure` promises: figures that can be checked against known signals, however the audio arrives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocli import vad
from audiocli.audio import open_audio
from audiocli.measure import HEARD_SECONDS, KEPT_SECONDS, Gauge, _Seconds, refined
from audiocli.records import RATE, Event, Span, Speech

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
RECORDINGS = ROOT.parent / "shared" / "audio"
needs_recordings = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no folder shared/audio beside the checkout")


def facts_of(samples, spans=(), *, loud=(), words=None, block=10 * RATE):
    """spans, loud: (start, end) in seconds."""
    gauge = Gauge()
    for at in range(0, len(samples), block):
        gauge.push(samples[at : at + block])
    return gauge.facts(speech(len(samples), spans, loud), words)


def speech(total, spans=(), loud=()):
    made = [tuple(Span(round(start * RATE), round(end * RATE)) for start, end in pairs) for pairs in (spans, loud)]
    return Speech(made[0], total, made[1])


def tone(length_s, level_db, hz=997.0):
    """A sine whose peak is so many dB of full scale."""
    t = np.arange(round(length_s * RATE)) / RATE
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def hiss(length_s, level_db, seed=0):
    """White noise of so many dB of full scale, root mean square."""
    noise = np.random.default_rng(seed).standard_normal(round(length_s * RATE))
    return (10 ** (level_db / 20) * noise).astype(np.float32)


def silence(length_s):
    return np.zeros(round(length_s * RATE), np.float32)


def harmonics(hz):
    """Something like a vowel, whose fundamental is hz[n] at sample n."""
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    return (0.1 * sum(np.sin(k * phase + k) / k for k in range(1, 12))).astype(np.float32)


def load(path):
    with open_audio(path) as reader:
        return np.concatenate(list(reader))


def heard_by_vad(samples):
    tracker = vad.Tracker()
    tracker.push(samples)
    tracker.close()
    return tracker.speech


# Loudness. A full-scale sine of 997 Hz on one channel is −3.01 LUFS by definition (BS.1770-4, annex 1).

MONO = 3.01
"""dB that one channel lacks against the two of the test signals in EBU Tech 3341."""


@pytest.mark.parametrize(
    ("stretches", "lufs"),
    [
        pytest.param([(20, -23.0)], -23.0, id="case 1"),
        pytest.param([(20, -33.0)], -33.0, id="case 2"),
        pytest.param([(10, -36.0), (60, -23.0), (10, -36.0)], -23.0, id="case 3: the relative gate"),
        pytest.param([(10, -72.0), (10, -36.0), (60, -23.0), (10, -36.0), (10, -72.0)], -23.0, id="case 4: both gates"),
        pytest.param([(20, -26.0), (20.1, -20.0), (20, -26.0)], -23.0, id="case 5: no gate"),
    ],
)
def test_loudness_of_the_broadcasters_test_signals_is_within_their_tolerance(stretches, lufs):
    signal = np.concatenate([tone(length_s, level_db + MONO) for length_s, level_db in stretches])
    assert facts_of(signal).loudness_lufs == pytest.approx(lufs, abs=0.1)


def ffmpeg_lufs(samples):
    av = pytest.importorskip("av")
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="flt", layout="mono", time_base=f"1/{RATE}")
    meter, sink = graph.add("ebur128", "metadata=1:framelog=quiet"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    last = None
    for start in range(0, len(samples), RATE):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + RATE], format="flt", layout="mono")
        frame.sample_rate, frame.pts = RATE, start
        graph.push(frame)
        try:
            while True:
                last = graph.pull().metadata["lavfi.r128.I"]
        except (av.BlockingIOError, av.EOFError):
            pass
    return float(last)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(lambda: tone(5, -20, 60), id="60 Hz"),
        pytest.param(lambda: tone(5, -20, 6000), id="6 kHz"),
        pytest.param(lambda: hiss(8, -30), id="hiss"),
        pytest.param(lambda: load(SAMPLES / "pauses.flac"), id="speech with long pauses"),
        pytest.param(lambda: load(SAMPLES / "call.ogg"), id="telephone"),
        pytest.param(lambda: load(SAMPLES / "rain.wav"), id="rain"),
    ],
)
def test_loudness_is_what_ffmpeg_measures(samples):
    made = samples()
    assert facts_of(made).loudness_lufs == pytest.approx(ffmpeg_lufs(made), abs=0.1)


@pytest.mark.parametrize("samples", [silence(0), silence(5), tone(0.39, -6), hiss(5, -80)])
def test_what_is_too_short_or_too_quiet_has_no_loudness(samples):
    assert facts_of(samples).loudness_lufs is None


# Level


def test_the_peak_is_the_largest_sample_of_either_sign():
    samples = silence(1)
    samples[777], samples[12_345] = 0.25, -0.5
    assert facts_of(samples).peak_dbfs == pytest.approx(-6.02, abs=0.005)
    assert facts_of(silence(1)).peak_dbfs is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 5)), max_size=12), st.integers(159_980, 160_000))
def test_clipping_is_counted_in_runs_of_three_samples_on(runs, lead):
    """lead: so that runs lie across the edge between two steps of the measurement."""
    pieces = [np.zeros(lead, np.float32)]
    for clipped, between in runs:
        pieces += [np.full(clipped, -1 if clipped % 2 else 1, np.float32), np.full(between, 0.5, np.float32)]
    counted = sum(clipped for clipped, _ in runs if clipped >= 3)
    assert facts_of(np.concatenate(pieces)).clipped_s == round(counted / RATE, 3)


def test_a_recording_clipped_from_end_to_end_is_counted_once():
    assert facts_of(np.ones(25 * RATE, np.float32)).clipped_s == 25.0


def test_a_recording_that_just_reaches_full_scale_is_not_clipped():
    samples = load(SAMPLES / "meeting.mp3")[: 60 * RATE]
    assert facts_of(samples / np.abs(samples).max()).clipped_s == 0.0
    assert facts_of(np.clip(samples * 8, -1, 1)).clipped_s > 0.1


# Noise


def test_the_noise_floor_is_what_is_heard_where_nobody_speaks():
    samples = np.concatenate([hiss(5, -60), tone(5, -10), hiss(5, -60, seed=1)])
    assert facts_of(samples, [(5, 10)]).noise_floor_dbfs == pytest.approx(-60, abs=0.3)


def test_loud_stretches_and_digital_silence_are_not_the_rooms_noise():
    samples = np.concatenate([hiss(2, -60), tone(5, -10), hiss(20, -25), silence(20), tone(5, -10)])
    facts = facts_of(samples, [(2, 7), (47, 52)], loud=[(7, 27)])
    assert facts.noise_floor_dbfs == pytest.approx(-60, abs=0.3)


def test_where_all_is_speech_the_noise_is_found_between_the_words():
    words = np.concatenate([piece for seed in range(20) for piece in (tone(0.4, -10), hiss(0.2, -60, seed))])
    assert facts_of(words, [(0, 12)]).noise_floor_dbfs == pytest.approx(-60, abs=1.5)


@pytest.mark.parametrize("snr_db", [8, 30])
def test_the_ratio_of_speech_to_noise_leaves_out_the_pauses_and_the_noise_in_speech(snr_db):
    words = [piece for _ in range(5) for piece in (tone(1, snr_db - 50 + MONO), silence(1))]
    samples = np.concatenate([silence(3), *words, silence(3)]) + hiss(16, -50)
    assert facts_of(samples, [(3, 13)]).snr_db == pytest.approx(snr_db, abs=0.3)


@pytest.mark.parametrize(
    ("samples", "spans"),
    [(silence(5), []), (silence(5), [(1, 4)]), (silence(0), []), (hiss(5, -50), []), (hiss(5, -50), [(2, 3)])],
    ids=["silence", "silence taken for speech", "nothing", "no speech", "speech that is only noise"],
)
def test_without_speech_over_noise_there_is_no_ratio(samples, spans):
    assert facts_of(samples, spans).snr_db is None


# Pauses and pace


def remarks(*pauses_s):
    """Words of one second with pauses between them, in a quiet room."""
    pieces = [tone(1, -20)]
    for pause_s in pauses_s:
        pieces += [silence(pause_s), tone(1, -20)]
    samples = np.concatenate([silence(2), *pieces, silence(2)])
    return samples + hiss(len(samples) / RATE, -60)


@pytest.mark.parametrize(("pauses_s", "count"), [((0.49, 0.3), 0), ((0.5,), 1), ((0.7, 0.4, 2.1), 2)])
def test_pauses_are_found_inside_of_what_was_marked_as_speech(pauses_s, count):
    samples = remarks(*pauses_s)
    facts = facts_of(samples, [(1.7, len(samples) / RATE - 1.7)])
    assert facts.pauses == count
    assert facts.longest_pause_s == (max(pauses_s) if count else 0.0)


def test_the_padding_around_speech_does_not_shorten_pauses():
    samples = remarks(3.0)
    facts = facts_of(samples, [(1.7, 3.3), (5.7, 7.3)])
    assert (facts.pauses, facts.longest_pause_s) == (1, 3.0)


def test_a_click_does_not_end_a_pause():
    samples = remarks(2.0)
    samples[4 * RATE : 4 * RATE + 300] += tone(300 / RATE, -20)
    facts = facts_of(samples, [(1.7, len(samples) / RATE - 1.7)])
    assert (facts.pauses, facts.longest_pause_s) == (1, 2.0)


def test_where_noise_is_nearly_as_loud_as_speech_the_marks_decide():
    samples = np.concatenate([hiss(3, -30), hiss(2, -22, 1), hiss(1, -30, 2), hiss(2, -22, 3), hiss(3, -30, 4)])
    facts = facts_of(samples, [(3, 5), (6, 8)])
    assert (facts.pauses, facts.longest_pause_s) == (1, 1.0)


@pytest.mark.parametrize(("name", "within_s"), [("pauses.flac", 0.1), ("meeting.mp3", 0.2)])
def test_the_longest_pause_of_a_recording_is_as_long_as_its_script_says(name, within_s):
    said = json.loads((SAMPLES / name).with_suffix(".json").read_text(encoding="utf-8"))
    ends = np.maximum.accumulate([one["end_s"] for one in said])
    longest_s = max(after["start_s"] - end_s for end_s, after in zip(ends, said[1:], strict=False))
    samples = load(SAMPLES / name)
    gauge = Gauge()
    gauge.push(samples)
    assert gauge.facts(heard_by_vad(samples), None).longest_pause_s == pytest.approx(longest_s, abs=within_s)


def test_pace_and_share_count_speech_only():
    facts = facts_of(silence(60), [(0, 10), (20, 40)], words=75)
    assert (facts.speech_s, facts.speech_share, facts.words_per_minute) == (30.0, 0.5, 150.0)
    assert facts_of(silence(60), [(0, 10)]).words_per_minute is None
    assert facts_of(silence(60), words=0).words_per_minute is None
    assert facts_of(silence(0)).speech_share == 0.0


# Pitch


def test_pitch_is_the_fundamental_of_the_voice():
    hz = np.linspace(120, 220, 20 * RATE)
    facts = facts_of(harmonics(hz) + hiss(20, -60), [(0, 20)])
    found = (facts.pitch_low_hz, facts.pitch_median_hz, facts.pitch_high_hz)
    assert found == pytest.approx((130, 170, 210), rel=0.025)


def test_only_speech_has_a_pitch():
    samples = np.concatenate([harmonics(np.full(10 * RATE, 110.0)), harmonics(np.full(10 * RATE, 230.0))])
    facts = facts_of(samples + hiss(20, -60), [(10, 20)])
    assert facts.pitch_low_hz == pytest.approx(230, rel=0.02)
    assert facts.pitch_high_hz == pytest.approx(230, rel=0.02)


@pytest.mark.parametrize("samples", [hiss(10, -20), silence(10), harmonics(np.full(RATE // 5, 150.0))])
def test_noise_silence_and_too_little_voice_have_no_pitch(samples):
    facts = facts_of(samples, [(0, len(samples) / RATE)])
    assert (facts.pitch_low_hz, facts.pitch_median_hz, facts.pitch_high_hz) == (None, None, None)


@pytest.mark.parametrize(("speaker", "lowest", "highest"), [("Agent", 200, 245), ("Customer", 95, 120)])
def test_each_speaker_of_a_telephone_call_has_a_pitch(speaker, lowest, highest):
    said = json.loads((SAMPLES / "call.json").read_text(encoding="utf-8"))
    spans = [(one["start_s"], one["end_s"]) for one in said if one["speaker"] == speaker and one["end_s"] < 40]
    facts = facts_of(load(SAMPLES / "call.ogg"), spans)
    assert lowest < facts.pitch_median_hz < highest
    assert lowest * 0.8 < facts.pitch_low_hz < facts.pitch_high_hz < highest * 1.25


@needs_recordings
@pytest.mark.parametrize(
    ("path", "lowest", "highest"), [("long/lj001.m4a", 190, 250), ("long/constme_whisper__columbia.wma", 85, 115)]
)
def test_a_woman_and_a_man_are_told_apart(path, lowest, highest):
    samples = load(RECORDINGS / path)[: 15 * RATE]
    facts = facts_of(samples, [(0, 15)])
    assert lowest < facts.pitch_median_hz < highest
    assert facts.pitch_low_hz > lowest * 0.85
    assert facts.pitch_high_hz < highest * 1.5


@pytest.mark.parametrize("length_s", [1, KEPT_SECONDS, KEPT_SECONDS + 1, 10 * KEPT_SECONDS, 20_000])
def test_what_is_kept_for_the_pitch_is_bounded_and_spread_over_the_whole(length_s):
    kept = _Seconds()
    for at in range(0, length_s, 10):
        kept.push(np.zeros(min(10, length_s - at) * RATE, np.float32))
    at_s = [one.index for one in kept.kept]
    assert min(KEPT_SECONDS, length_s) / 2 < len(at_s) <= KEPT_SECONDS
    assert len({after - before for before, after in pairwise(at_s)}) <= 1
    assert at_s[0] == 0
    assert length_s - at_s[-1] <= max(length_s / len(at_s) * 2, 1)


@pytest.mark.slow
def test_hours_of_speech_take_no_more_time_for_the_pitch_than_its_share():
    """That of a long recording is found from a bounded part of it."""
    gauge = Gauge()
    voice = harmonics(np.full(10 * RATE, 150.0))
    for _ in range(6 * 60):
        gauge.push(voice)
    assert len(gauge._seconds.kept) >= HEARD_SECONDS
    before = os.times().user
    assert gauge.facts(speech(3600 * RATE, [(0, 3600)]), None).pitch_median_hz == pytest.approx(150, rel=0.02)
    assert os.times().user - before < 60


def test_where_numba_cannot_keep_compiled_code_only_the_pitch_is_missing():
    """As for a user without a home whose packages belong to another. A class that never applies stands for that."""
    code = """if True:
        import numpy as np
        from audiocli.measure import Gauge
        from audiocli.records import Span, Speech
        gauge = Gauge()
        gauge.push(np.sin(np.arange(16000) / 20).astype(np.float32) / 2)
        facts = gauge.facts(Speech((Span(0, 16000),), 16000), 3)
        print(facts.pitch_median_hz, facts.peak_dbfs, facts.words_per_minute)
    """
    environment = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "IPythonCacheLocator"}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "-6.02", "180.0"]
    assert "NUMBA_CACHE_DIR" in done.stderr


# All of it


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 60_000), max_size=12), st.integers(0, 40 * RATE))
def test_figures_do_not_depend_on_how_the_audio_arrives(cuts, length):
    whole = np.concatenate([hiss(9, -55), tone(6, 0), hiss(3, -30), silence(9), np.ones(13 * RATE, np.float32)])[
        :length
    ]
    marked = Speech((), len(whole), (Span(0, min(len(whole), 5 * RATE)),))
    expected = Gauge()
    expected.push(whole)
    pieces = Gauge()
    edges = np.cumsum([0, *cuts]).clip(max=len(whole)).tolist()
    for start, stop in pairwise([*edges, len(whole)]):
        pieces.push(whole[start:stop])
    assert pieces.facts(marked, 7) == expected.facts(marked, 7)


def test_figures_of_real_speech_do_not_depend_on_how_it_arrives():
    samples = load(SAMPLES / "meeting.mp3")[: 23 * RATE]
    spans = [(0.3, 4.0), (18.0, 22.7)]
    expected = facts_of(samples, spans, words=80)
    assert expected.pitch_median_hz is not None
    for block in (len(samples), 16_001, 777):
        assert facts_of(samples, spans, words=80, block=block) == expected


def test_facts_can_be_asked_for_twice_and_nothing_can_follow():
    gauge = Gauge()
    gauge.push(hiss(3, -40))
    marked = speech(3 * RATE, [(1, 2)])
    assert gauge.facts(marked, 3) == gauge.facts(marked, 3)
    with pytest.raises(AssertionError):
        gauge.push(hiss(1, -40))


def test_a_gauge_costs_an_import_only_where_something_is_measured():
    code = "import sys, audiocli.measure\nprint(sorted({'scipy', 'librosa', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Timeline

HUNDREDTH = RATE // 100


@st.composite
def marks(draw):
    """Speech and loud spans, apart, on the detectors' grid."""
    edges = sorted(draw(st.sets(st.integers(0, 400), max_size=24)))
    spans = [Span(a * 480, b * 480) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    chosen = [draw(st.booleans()) for _ in spans]
    total = (spans[-1].stop if spans else 0) + draw(st.integers(0, 20_000))
    loud = tuple(span for span, is_loud in zip(spans, chosen, strict=True) if is_loud)
    return Speech(tuple(span for span in spans if span not in loud), total, loud)


@settings(max_examples=100, deadline=None)
@given(marks())
def test_the_timeline_covers_the_whole_recording_once(marked):
    timeline = Gauge.timeline(marked)
    edges = [0.0, *(event.end_s for event in timeline)]
    assert [event.start_s for event in timeline] == edges[:-1]
    assert edges[-1] == round(marked.total / RATE, 3)
    for kind, spans in (("speech", marked.spans), ("sound", marked.loud)):
        found = [(event.start_s, event.end_s) for event in timeline if event.kind == kind]
        assert found == [(round(span.start / RATE, 3), round(span.stop / RATE, 3)) for span in spans]


def kinds(timeline):
    return [(event.kind, event.start_s, event.end_s) for event in timeline]


def test_where_music_is_there_is_neither_sound_nor_silence():
    marked = speech(100 * RATE, [(40, 60)], loud=[(10, 20)])
    timeline = Gauge.timeline(
        marked, [Event(5.0, 30.0, "music"), Event(50.0, 70.0, "singing"), Event(41.0, 59.0, "speech")]
    )
    assert kinds(timeline) == [
        ("silence", 0.0, 5.0),
        ("music", 5.0, 30.0),
        ("silence", 30.0, 40.0),
        ("speech", 40.0, 60.0),
        ("singing", 50.0, 70.0),
        ("silence", 70.0, 100.0),
    ]


@pytest.mark.parametrize(
    ("spans", "heard", "spoken", "loud"),
    [
        ([(0, 40)], [("music", 0, 40)], [], [(0, 40)]),
        ([(0, 40)], [], [], [(0, 40)]),
        ([(0, 60)], [("music", 0, 20), ("speech", 20, 58)], [(20, 60)], [(0, 20)]),
        ([(0, 60)], [("music", 0, 60), ("speech", 10, 50)], [(10, 50)], [(0, 10), (50, 60)]),
        ([(5, 10), (20, 30)], [("speech", 5.5, 9.5), ("speech", 21, 24)], [(5, 10), (20, 30)], []),
        ([(5, 10)], [("speech", 4.8, 9.0), ("music", 9.9, 30)], [(4.8, 9.9)], []),
    ],
    ids=["music", "rain", "music, then speech", "speech over music", "pauses", "edges that differ"],
)
def test_two_detectors_together_tell_speech_from_music(spans, heard, spoken, loud):
    events = [Event(float(start_s), float(end_s), kind) for kind, start_s, end_s in heard]
    assert refined(speech(70 * RATE, spans), events) == speech(70 * RATE, spoken, loud)
