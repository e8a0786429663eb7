"""What a user gets from real recordings: the words, at their times, whatever the container, the length or the damage.

Word error rates are those of the embedded model, with both texts through Whisper's English normalizer. `samples/` comes
with the project; the folder `../shared/audio` holds recordings of people and a `manifest.jsonl` with what they say.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from audiocli.audio import open_audio
from audiocli.records import RATE

SAMPLES = Path(__file__).parents[1] / "samples"
RECORDINGS = Path(__file__).parents[2] / "shared" / "audio"
needs_recordings = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no folder shared/audio beside the checkout")

WORST = {"meeting": 0.04, "lecture": 0.03, "pauses": 0.04, "call#0": 0.03, "call#1": 0.03}
"""Word error rate that each sample, or channel of one, may have; measured: 0.024, 0.000, 0.011, 0.000 and 0.007."""
WORST_POOLED = {"speech": 0.11, "long": 0.09}
"""The same over all of a folder's recordings; measured: 0.097 and 0.082."""
FIT = {"human", "book", "known"}
"""Kinds of text in the manifest that tell what was said."""

normalize = EnglishTextNormalizer({})


def words(text):
    """A text as it is compared. Brackets go first: the normalizer would drop what is in them, and it was said."""
    return normalize(re.sub(r"[()\[\]<>]", " ", text)).split()


@dataclass(frozen=True, slots=True)
class Alignment:
    """Two texts side by side, word by word."""

    said: list[str]
    heard: list[str]
    parts: list[jiwer.AlignmentChunk]

    def errors(self, start=0, stop=None):
        """Words changed, left out or added where the reference's words `start` to `stop` are."""
        stop = len(self.said) if stop is None else stop
        count = 0
        for part in self.parts:
            if part.type == "insert" and start < part.ref_start_idx < stop:
                count += part.hyp_end_idx - part.hyp_start_idx
            elif part.type in ("substitute", "delete"):
                count += max(min(part.ref_end_idx, stop) - max(part.ref_start_idx, start), 0)
        return count

    def opposite(self, start, stop):
        """The words heard where the reference's words `start` to `stop` are."""
        ends = [
            part.hyp_start_idx + at - part.ref_start_idx
            for part in self.parts
            if part.type == "equal"
            for at in range(max(part.ref_start_idx, start), min(part.ref_end_idx, stop))
        ]
        return self.heard[min(ends) : max(ends) + 1]


def aligned(reference, text):
    said, heard = words(reference), words(text)
    result = jiwer.process_words(" ".join(said), " ".join(heard))
    return Alignment(said, heard, result.alignments[0])


def rate(reference, text):
    found = aligned(reference, text)
    return found.errors() / len(found.said)


def reference(name):
    """The utterances of a sample."""
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory, audiocli_in):
    """JSON documents of the samples with speech in them, by name; channels apart."""
    audiocli = audiocli_in(tmp_path_factory.mktemp("samples"))
    files = [SAMPLES / name for name in ("meeting.mp3", "lecture.m4a", "pauses.flac", "call.ogg")]
    run = audiocli("transcribe", *files, "--channels", "split", "-o", "out", "-f", "json", timeout_s=1200)
    assert run.code == 0, run.err
    written = (audiocli.folder / "out").glob("*.json")
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in written}


# The words


@pytest.mark.slow
@pytest.mark.parametrize("name", WORST)
def test_the_words_of_a_sample_are_found(transcripts, name):
    stem, _, channel = name.partition("#")
    said = [one for one in reference(stem) if not channel or one["channel"] == int(channel)]
    segments = transcripts[stem]["segments"]
    heard = [one for one in segments if not channel or one["speaker"] == f"Channel {int(channel) + 1}"]
    text = " ".join(one["text"] for one in heard)
    assert rate(" ".join(one["text"] for one in said), text) <= WORST[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["meeting", "lecture", "pauses"])
def test_an_utterance_stands_where_it_is_said(transcripts, name):
    """Segments are within the recording, ascend, and cover the middle of nearly every utterance."""
    document = transcripts[name]
    times = [(one["start"], one["end"]) for one in document["segments"]]
    assert times == sorted(times) and all(0 <= start <= end <= document["duration"] for start, end in times)
    middles = [(one["start_s"] + one["end_s"]) / 2 for one in reference(name)]
    covered = sum(any(start - 0.5 <= middle <= end + 0.5 for start, end in times) for middle in middles)
    assert covered / len(middles) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seam_s", [270.0, 300.0])
def test_at_the_seams_of_chunks_no_word_is_lost_and_none_comes_twice(transcripts, seam_s):
    utterances = reference("meeting")
    near = [at for at, one in enumerate(utterances) if abs((one["start_s"] + one["end_s"]) / 2 - seam_s) <= 20]
    assert near, "nothing is said there, so nothing is tested"
    found = aligned(" ".join(one["text"] for one in utterances), transcripts["meeting"]["text"])
    start = len(words(" ".join(one["text"] for one in utterances[: near[0]])))
    stop = len(words(" ".join(one["text"] for one in utterances[: near[-1] + 1])))
    assert found.errors(start, stop) / (stop - start) <= 0.1
    said, heard = Counter(triples(found.said[start:stop])), Counter(triples(found.opposite(start, stop)))
    assert {triple for triple, count in heard.items() if count > max(said[triple], 1)} == set()


def triples(found):
    return zip(found, found[1:], found[2:], strict=False)


@pytest.mark.slow
def test_split_channels_are_two_speakers_who_take_their_turns(transcripts):
    """Who speaks at the middle of an utterance is who spoke it, and nobody else."""
    segments, utterances = transcripts["call"]["segments"], reference("call")
    assert {one["speaker"] for one in segments} == {"Channel 1", "Channel 2"}
    right = 0
    for one in utterances:
        middle, own = (one["start_s"] + one["end_s"]) / 2, f"Channel {one['channel'] + 1}"
        near = [found for found in segments if found["start"] - 0.5 <= middle <= found["end"] + 0.5]
        others = [found for found in near if found["start"] <= middle <= found["end"] and found["speaker"] != own]
        right += not others and any(found["speaker"] == own for found in near)
    assert right / len(utterances) >= 0.95


@pytest.mark.slow
@needs_recordings
@pytest.mark.parametrize("folder", WORST_POOLED)
def test_the_words_of_people_are_found(audiocli, folder):
    """Errors over words, of all recordings whose text is what was said."""
    rows = [json.loads(line) for line in (RECORDINGS / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    told = {
        str(RECORDINGS / row["path"]): row["text"]
        for row in rows
        if row["path"].startswith(f"{folder}/")
        and row["lang"] == "en"
        and set((row["text_quality"] or "?").split("+")) <= FIT
    }
    assert len(told) > 2
    run = audiocli("transcribe", *told, "-f", "json", timeout_s=1200)
    assert run.code == 0, run.err
    pairs = [aligned(told[document["source"]], document["text"]) for document in run.documents]
    assert len(pairs) == len(told)
    assert sum(pair.errors() for pair in pairs) / sum(len(pair.said) for pair in pairs) <= WORST_POOLED[folder]


# The road, with an engine that needs no time


def test_chunks_are_five_minutes_and_share_thirty_seconds(audiocli):
    (document,) = audiocli("transcribe", SAMPLES / "meeting.mp3", "--engine", "fake", "-f", "json").documents
    chunks, duration_s = document["chunks"], document["duration"]
    assert [(one["start"], one["end"]) for one in chunks] == [(0.0, 300.0), (270.0, duration_s)]
    assert duration_s == pytest.approx(437, abs=1.5)
    shared = set(chunks[0]["windows"]) & set(chunks[1]["windows"])
    assert shared and sorted({*chunks[0]["windows"], *chunks[1]["windows"]}) == list(
        range(document["provenance"]["windows"])
    )


@pytest.mark.parametrize("name", ["meeting.mp3", "lecture.m4a", "call.ogg", "pauses.flac", "rain.wav"])
def test_every_second_of_a_recording_is_accounted_for(audiocli, name):
    (document,) = audiocli("transcribe", SAMPLES / name, "--engine", "fake", "-f", "json").documents
    assert document["coverage"]["sum"] == document["duration"] > 0 and document["gaps"] == []


CONTAINERS = (
    "aac.m4a opus.mp4 .ts .wma .3gp .webm .flv .ac3 alac.caf two_tracks_second_default.mkv 6ch_ext.wav "
    "adpcm_ima.wav cover_art.mp3"
)


@needs_recordings
def test_containers_of_all_kinds_go_the_whole_road(audiocli):
    """The same eleven seconds, whoever wrapped them."""
    pattern = [name if name.startswith(".") else f"_{name}" for name in CONTAINERS.split()]
    files = [RECORDINGS / "containers" / f"derived_containers__jfk{name}" for name in pattern]
    run = audiocli("transcribe", *files, "--engine", "fake", "-f", "json")
    assert run.code == 0, run.err
    assert {document["source"] for document in run.documents} == set(map(str, files))
    for document in run.documents:
        assert document["duration"] == pytest.approx(11.0, abs=0.3), document["source"]
        assert document["text"] and document["coverage"]["transcribed"] > 5, document["source"]


@needs_recordings
def test_what_is_broken_is_named_in_one_line_and_hides_nothing(audiocli, say):
    good = say(audiocli.folder / "good.wav", [(1.0, 1), (1.5, 2)], 3.0)
    everything = sorted(path for path in (RECORDINGS / "broken").iterdir() if path.is_file())
    half = len(everything) // 2
    inputs = [*everything[:half], good, *everything[half:]]
    listed = "\n".join(map(str, inputs)).encode()
    run = audiocli(
        "transcribe", "--files-from", "-", "--engine", "fake", "-f", "json", "-q", stdin=listed, timeout_s=600
    )
    assert run.code == 4 and "Traceback" not in run.err
    failed = {re.match(r"audiocli: error: (.*?): ", line)[1] for line in run.errors}
    done = {document["source"]: document for document in run.documents}
    assert done[str(good)]["text"] == "w1 w2"
    assert len(run.errors) == len(run.err.splitlines()) == len(failed) > 10
    assert failed.isdisjoint(done) and failed | set(done) == set(map(str, inputs)), "an input was lost"
    assert all(one["coverage"]["sum"] == pytest.approx(one["duration"], abs=0.002) for one in done.values())


# Length


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")
def test_memory_does_not_grow_with_the_length_of_a_recording(audiocli):
    """Forty minutes of the meeting against seven."""
    with open_audio(SAMPLES / "meeting.mp3") as reader:
        sound = (np.concatenate(list(reader)) * 32767).astype(np.int16)
    peaks = []
    for name, times in (("short.wav", 1), ("long.wav", 6)):
        with soundfile.SoundFile(audiocli.folder / name, "w", RATE, 1, "PCM_16") as file:
            for _ in range(times):
                file.write(sound)
        peaks.append(
            peak_kb(
                audiocli, "transcribe", name, "--engine", "fake", "-o", "out", "--no-cache", "-q", "--batch-size", 2
            )
        )
    documents = [json.loads((audiocli.folder / f"out/{stem}.json").read_text()) for stem in ("short", "long")]
    assert documents[1]["duration"] == pytest.approx(6 * documents[0]["duration"], abs=0.01)
    assert len(documents[1]["text"]) > 5 * len(documents[0]["text"])
    assert peaks[1] < 1.15 * peaks[0]


def peak_kb(audiocli, *arguments):
    """Most memory a run had resident, in kB. Asked of the run itself: what a parent is told counts the fork, too."""
    code = (
        "import re, sys; from audiocli.cli import run; assert run(sys.argv[1:]) == 0; "
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=audiocli.folder, env=audiocli.environment, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout.split()[-1])
