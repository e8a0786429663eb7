"""What the command line promises, started as its users start it: stdout for results, one line an error, exit codes.

Most runs use the engine that hears tones, which needs no second; those that show the embedded model say so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocli import __version__
from audiocli.audio import open_audio
from audiocli.options import ONLY_FOR
from audiocli.records import RATE
from audiocli.writers import every

SAMPLES = Path(__file__).parents[1] / "samples"
FAKE = ["--engine", "fake"]
HELLO, WORLD = [(1.0, 1), (1.5, 2)], [(1.0, 3), (1.5, 4)]


@pytest.fixture
def talk(audiocli, say):
    """Two recordings in the folder where commands run: a.wav says "w1 w2", b.wav says "w3 w4"."""
    say(audiocli.folder / "a.wav", HELLO, 3.0)
    say(audiocli.folder / "b.wav", WORLD, 3.0)
    return audiocli.folder


@pytest.fixture
def remark(audiocli):
    """Nine seconds of real speech: "The recorder is running. It is still dark …"."""
    with open_audio(SAMPLES / "pauses.flac") as reader:
        soundfile.write(audiocli.folder / "remark.wav", next(iter(reader))[: 10 * RATE], RATE)
    return audiocli.folder / "remark.wav"


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# stdout


def test_stdout_carries_results_only_in_the_order_of_the_inputs(audiocli, talk):
    run = audiocli("transcribe", "b.wav", "a.wav", *FAKE, "-f", "json")
    assert run.code == 0
    assert [(one["source"], one["text"]) for one in run.documents] == [("b.wav", "w3 w4"), ("a.wav", "w1 w2")]
    assert "2 of 2 done" in run.err and "w1" not in run.err


def test_markdown_is_what_people_get_on_stdout(audiocli, talk):
    run = audiocli("transcribe", "a.wav", *FAKE)
    assert run.code == 0 and run.out.startswith("# ") and "w1 w2" in run.out


def test_audio_comes_through_a_pipe(audiocli, talk):
    run = audiocli("transcribe", "-", *FAKE, "-f", "json", stdin=(talk / "a.wav").read_bytes())
    assert run.code == 0 and run.documents[0]["text"] == "w1 w2" and run.documents[0]["stem"] == "stdin"


def test_names_come_through_a_pipe(audiocli, talk):
    run = audiocli("transcribe", "--files-from", "-", *FAKE, "-f", "txt", stdin=b"# today\na.wav\nb.wav\n")
    assert (run.code, run.out) == (0, "w1 w2\nw3 w4\n")


@pytest.mark.skipif(os.name != "posix", reason="pipes that break as with | head")
def test_a_reader_that_has_had_enough_is_no_error(audiocli, say):
    for n in range(30):
        say(audiocli.folder / f"{n}.wav", [(0.5 + 0.5 * word, word) for word in range(50)], 27.0)
    with (audiocli.folder / "errors").open("wb") as errors:
        process = audiocli.start("transcribe", ".", *FAKE, "-f", "json", stdout=subprocess.PIPE, stderr=errors)
    with process.stdout as results:
        assert json.loads(results.readline())["stem"] == "0"
    assert process.wait(120) == 0
    assert (audiocli.folder / "errors").read_text() == ""


def test_results_are_utf_8_whatever_the_locale(audiocli, say):
    say(audiocli.folder / "Größe 日本.wav", HELLO, 3.0)
    command = audiocli.command("transcribe", "Größe 日本.wav", *FAKE, "-f", "json")
    environment = {**audiocli.environment, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=audiocli.folder, env=environment, capture_output=True)
    assert done.returncode == 0 and json.loads(done.stdout.decode())["source"] == "Größe 日本.wav"


# Files


def test_a_tree_is_mirrored_with_one_file_for_each_format(audiocli, say):
    for path in ("in/a.wav", "in/jan/a.wav", "in/jan/b.v2.wav"):
        say(audiocli.folder / path, HELLO, 3.0)
    run = audiocli("transcribe", "in", "--recursive", *FAKE, "-o", "out", "-f", "json,srt")
    assert (run.code, run.out) == (0, "")
    assert below(audiocli.folder / "out") == sorted(
        f"{stem}.{suffix}" for stem in ("a", "jan/a", "jan/b.v2") for suffix in ("json", "srt")
    )
    assert json.loads((audiocli.folder / "out/jan/a.json").read_text())["text"] == "w1 w2"


def test_without_recursive_only_the_folder_itself_is_taken(audiocli, say):
    for path in ("in/a.wav", "in/jan/b.wav"):
        say(audiocli.folder / path, HELLO, 3.0)
    assert audiocli("transcribe", "in", *FAKE, "-o", "out").code == 0
    assert below(audiocli.folder / "out") == ["a.json", "a.md"]


def test_what_exists_already_is_left_alone_where_that_is_asked_for(audiocli, talk):
    assert audiocli("transcribe", "a.wav", *FAKE, "-o", "out", "-f", "txt,srt").code == 0
    (talk / "out/a.txt").write_text("mine")
    (talk / "out/b.srt").write_text("only half of what was asked for")
    run = audiocli("transcribe", "a.wav", "b.wav", *FAKE, "-o", "out", "-f", "txt,srt", "--skip-existing")
    assert run.code == 0 and "1 of 2 inputs skipped" in run.err
    assert (talk / "out/a.txt").read_text() == "mine" and (talk / "out/b.txt").read_text() == "w3 w4\n"
    assert "w3 w4" in (talk / "out/b.srt").read_text()


def test_skipping_what_exists_needs_a_folder_where_it_could(audiocli):
    run = audiocli("transcribe", "a.wav", "--skip-existing", *FAKE)
    assert (run.code, run.out) == (2, "")
    assert run.errors == ["audiocli: error: --skip-existing is about files; give their folder with -o"]


def test_two_inputs_for_one_output_are_refused_before_anything_is_written(audiocli, say):
    say(audiocli.folder / "one/a.wav", HELLO, 3.0)
    say(audiocli.folder / "two/a.wav", WORLD, 3.0)
    run = audiocli("transcribe", "one/a.wav", "two/a.wav", *FAKE, "-o", "out")
    assert run.code == 2 and len(run.errors) == 1 and "one/a.wav and two/a.wav" in run.errors[0]
    assert not (audiocli.folder / "out").exists()
    assert audiocli("transcribe", "one/a.wav", "two/a.wav", *FAKE, "-f", "txt").out == "w1 w2\nw3 w4\n"


def test_silence_is_a_valid_file_in_every_format(audiocli):
    soundfile.write(audiocli.folder / "silent.wav", np.zeros(2 * RATE, np.float32), RATE)
    run = audiocli("transcribe", "silent.wav", *FAKE, "-o", "out", "-f", "all")
    written = sorted(f"silent.{suffix}" for suffix in every("transcribe"))
    assert run.code == 0 and below(audiocli.folder / "out") == written
    document = json.loads((audiocli.folder / "out/silent.json").read_text())
    assert (document["text"], document["coverage"]["silence"], document["coverage"]["share"]) == ("", 2.0, 1.0)
    assert (audiocli.folder / "out/silent.vtt").read_text().startswith("WEBVTT")


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_files_may_be_called_anything(audiocli, say):
    names = ["two words.wav", "Zoë 🎧 日本語.wav", "-o.wav", "new\nline.wav", "100%[red].wav", "$(id).wav", "a;b&c.wav"]
    for name in names:
        say(audiocli.folder / "in" / name, HELLO, 3.0)
    say(audiocli.folder / "in/bytes.wav", HELLO, 3.0).rename(audiocli.folder / "in" / os.fsdecode(b"\xff.wav"))
    run = audiocli("transcribe", *[f"./in/{name}" for name in names], "./in", *FAKE, "-o", "out", "-f", "json,md")
    assert run.code == 0 and not run.errors and "8 of 8 done" in run.err
    written = [json.loads(path.read_text(encoding="utf-8")) for path in (audiocli.folder / "out").glob("*.json")]
    assert len(written) == 8 and {one["text"] for one in written} == {"w1 w2"}
    assert {Path(one["source"]).name for one in written} >= set(names)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_an_error_is_one_line_whatever_the_file_is_called(audiocli):
    for name in ("new\nline.wav", "\x1b[31mred.wav"):
        (audiocli.folder / name).write_text("no sound")
    run = audiocli("transcribe", "./new\nline.wav", "./\x1b[31mred.wav", *FAKE)
    assert run.code == 4 and len(run.errors) == 2 and "\x1b" not in run.err


# What goes wrong


def test_bad_files_are_named_in_one_line_each_and_the_others_are_done(audiocli, talk):
    (talk / "text.wav").write_text("this is no sound")
    (talk / "empty.wav").write_bytes(b"")
    run = audiocli("transcribe", "text.wav", "a.wav", "missing.wav", "empty.wav", "b.wav", *FAKE, "-f", "json")
    assert run.code == 4 and [one["source"] for one in run.documents] == ["a.wav", "b.wav"]
    assert [error.split(": ")[2] for error in run.errors] == ["text.wav", "missing.wav", "empty.wav"]
    assert "Traceback" not in run.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["transcibe", "a.wav"], "transcribe"),
        (["transcribe"], "no input"),
        (["transcribe", "a.wav", "--outptu-dir", "x"], "--output-dir"),
        (["transcribe", "a.wav", "-f", "jsn"], "json, md, txt"),
        (["transcribe", "a.wav", "-f", "json,txt"], "stdout takes one format"),
        (["transcribe", "a.wav", "--language", "germn"], "did you mean 'german'"),
        (["transcribe", "a.wav", "--language", "de"], "does not know language 'de'; it knows en"),
        (["transcribe", "a.wav", "--task", "translate"], "cannot translate"),
        (["transcribe", "a.wav", "--engine", "fkae"], "choose from transformers, fake"),
        (["transcribe", "a.wav", "--device", "gpu"], "no device 'gpu'"),
        (["transcribe", "a.wav", "--batch-size", "none"], "--batch-size"),
        (["transcribe", "a.wav", "--channels", "0"], "--channels '0'"),
        (["transcribe", "empty/"], "no recording"),
        (["cache", "clear", "--older-than", "7w"], "90s, 10m, 12h, 30d"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_with_the_command_is_one_line_and_exit_2(audiocli, arguments, says):
    (audiocli.folder / "empty").mkdir()
    run = audiocli(*arguments)
    assert (run.code, run.out, len(run.err.splitlines())) == (2, "", 1)
    assert run.errors and says in run.errors[0]


def test_what_is_wrong_with_the_settings_is_one_line_and_exit_2(audiocli, talk):
    run = audiocli("transcribe", "a.wav", AUDIOCLI_MODLE="x")
    assert (run.code, len(run.errors)) == (2, 1) and "'AUDIOCLI_MODEL'" in run.err
    (talk / "audiocli.yaml").write_text("modle: x")
    run = audiocli("transcribe", "a.wav")
    assert (run.code, len(run.errors)) == (2, 1) and "did you mean 'model'" in run.err


def test_a_model_that_cannot_be_found_is_exit_3(audiocli, talk):
    for model, says in (("nonesuch", "not a folder, not a hub id"), ("someone/nothing", "--offline is set")):
        run = audiocli("transcribe", "a.wav", "--model", model)
        assert (run.code, run.out, len(run.err.splitlines())) == (3, "", 1) and says in run.err


def test_an_output_folder_that_cannot_be_is_exit_3_before_any_work(audiocli, talk):
    run = audiocli("transcribe", "a.wav", *FAKE, "-o", "b.wav/out", "--progress", "json")
    assert (run.code, len(run.err.splitlines())) == (3, 1) and "b.wav/out: cannot be written to" in run.err


def test_a_result_that_cannot_be_written_is_exit_3(audiocli, talk):
    (talk / "out/a.json").mkdir(parents=True)
    run = audiocli("transcribe", "a.wav", *FAKE, "-o", "out")
    assert (run.code, len(run.errors)) == (3, 1) and "out/a.json: cannot be written" in run.err


def test_offline_fetches_nothing(audiocli):
    run = audiocli("transcribe", "http://127.0.0.1:9/a.wav", *FAKE)
    assert run.code == 4 and "--offline forbids the network" in run.errors[0]


# Settings


def test_flags_outrank_variables_outrank_the_file(audiocli, talk):
    (talk / "audiocli.yaml").write_text("engine: fake\noutput-format: srt\nquiet: true")
    assert "-->" in audiocli("transcribe", "a.wav").out
    assert audiocli("transcribe", "a.wav", AUDIOCLI_OUTPUT_FORMAT="txt").out == "w1 w2\n"
    run = audiocli("transcribe", "a.wav", "-f", "json", AUDIOCLI_OUTPUT_FORMAT="txt")
    assert run.documents[0]["text"] == "w1 w2" and run.err == ""


def test_quiet_is_silent_but_for_errors(audiocli, talk):
    run = audiocli("transcribe", "a.wav", "missing.wav", *FAKE, "--quiet", "-f", "txt")
    assert (run.code, run.out) == (4, "w1 w2\n") and run.err.splitlines() == run.errors and len(run.errors) == 1


def test_progress_as_json_is_events_and_nothing_else(audiocli, talk):
    run = audiocli("transcribe", "a.wav", "missing.wav", "b.wav", *FAKE, "--progress", "json", "-f", "txt")
    assert [event["event"] for event in run.events if event["event"] != "progress"] == ["failed", "done", "done", "end"]
    assert [event["source"] for event in run.events if event["event"] == "progress"] == ["a.wav", "b.wav"]
    assert run.code == 4


def test_another_format_asks_the_model_nothing(audiocli, talk):
    def cached(*arguments):
        events = audiocli("transcribe", "a.wav", *FAKE, "--progress", "json", *arguments).events
        return [event["cached"] for event in events if event["event"] == "progress"]

    assert cached("-f", "txt") == [False]
    assert cached("-f", "srt") == [True]
    assert cached("-o", "out", "-f", "all") == [True]
    assert cached("-f", "txt", "--no-cache") == [False]


def test_the_cache_tells_what_it_holds_and_lets_it_go(audiocli, talk):
    assert ": 0 replies" in audiocli("cache", "info").out
    audiocli("transcribe", "a.wav", "b.wav", *FAKE)
    info = audiocli("cache", "info").out
    assert ": 2 replies" in info and info.startswith(str(talk / "cache"))
    assert audiocli("cache", "clear", "--older-than", "1h").out == "0 replies removed\n"
    assert audiocli("cache", "clear", "--cache-dir", talk / "cache").out == "2 replies removed\n"
    assert ": 0 replies" in audiocli("cache", "info").out


def test_a_damaged_cache_costs_a_warning_not_the_run(audiocli, talk):
    (talk / "cache").mkdir()
    (talk / "cache/replies.sqlite").write_bytes(b"no database" * 1000)
    run = audiocli("transcribe", "a.wav", *FAKE, "-f", "txt")
    assert (run.code, run.out) == (0, "w1 w2\n") and "audiocli: warning: " in run.err and "set aside" in run.err


def test_the_version_and_help_are_results(audiocli):
    assert audiocli("--version").out == f"audiocli {__version__}\n"
    bare = audiocli()
    assert bare.code == 2 and "transcribe" in bare.out
    shown = audiocli("transcribe", "--help")
    assert shown.code == 0 and "--output-dir" in shown.out and shown.err == ""


@pytest.mark.parametrize("name", ["transcribe", "summarize", "analyze", "ask", "run"])
def test_help_has_every_option_below_a_heading_and_only_those_the_command_reads(audiocli, name):
    shown = audiocli(name, "--help", COLUMNS="80").out
    assert shown.splitlines()[2].endswith("."), "the first sentence stands alone, so that the list of commands shows it"
    headings = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith((" ", "Usage"))]
    assert headings[0] == "Input:" and headings[-2:] == ["Output:", "This run:"] and len(set(headings)) == len(headings)
    assert "<int" not in shown and "<float" not in shown and max(map(len, shown.splitlines())) <= 80
    others = {setting for setting, names in ONLY_FOR.items() if name not in names}
    assert [setting for setting in others if f"--{setting.replace('_', '-')} " in shown] == []


def test_what_another_command_takes_is_pointed_to(audiocli):
    run = audiocli("summarize", "a.wav", "--word-timestamps")
    assert run.code == 2 and "summarize has no --word-timestamps; transcribe and run do" in run.errors[0]


# The embedded model


def test_a_whisper_command_line_runs_unchanged(audiocli, remark):
    arguments = (
        "--model tiny.en --output_dir out --output_format srt --word_timestamps True --fp16 False --language English"
        " --verbose False --task transcribe --temperature 0 --device cpu --max_line_width 42 --max_line_count 2"
    )
    run = audiocli("transcribe", remark, *arguments.split())
    assert run.code == 0 and below(audiocli.folder / "out") == ["remark.srt"]
    subtitles = (audiocli.folder / "out/remark.srt").read_text()
    assert "The recorder is running" in subtitles and "edge of the forest" in subtitles.replace("\n", " ")
    assert subtitles.startswith(("1\n00:00:03,", "1\n00:00:04,"))


def test_coverage_below_the_least_that_is_asked_for_is_exit_5(audiocli):
    """Rain: the model hears words in it, and does not believe them."""
    once = ["--temperature-increment-on-fallback", "0"]
    run = audiocli("transcribe", SAMPLES / "rain.wav", *once, "--min-coverage", "0.5", "-f", "json")
    assert run.code == 5 and run.documents[0]["coverage"]["share"] < 0.5
