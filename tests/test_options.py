"""What `audiocli.options` promises: each setting once, the same by flag, variable and file, and no unknown one."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from audiocli.errors import UsageError
from audiocli.options import LISTS, NAMES, ONLY_FOR, ClickError, Settings, command, read_config, reworded, spelled

CHANGED = Settings(
    recursive=True,
    files_from="list.txt",
    channels="split",
    vad="off",
    vad_filter=False,
    model="small",
    model_dir="models",
    engine="fake",
    device="cuda:1",
    dtype="bf16",
    fp16=False,
    batch_size=3,
    threads=2,
    offline=True,
    task="translate",
    language="de",
    initial_prompt="Zoë & Søren",
    word_timestamps=True,
    temperature=0.4,
    temperature_increment_on_fallback=0.0,
    compression_ratio_threshold=2.0,
    logprob_threshold=-0.5,
    no_speech_threshold=0.3,
    select="densest",
    budget="10m",
    clips_per_request=4,
    downsample=4,
    top_p=0.9,
    repetition_penalty=1.1,
    max_new_tokens=100,
    seed=7,
    quantize="8bit",
    attn="sdpa",
    compile=True,
    language_model="llm",
    text_model="reader",
    tasks="transcribe,summarize",
    prompt=["mine.yaml"],
    var=["focus=money"],
    question="why?",
    across=True,
    with_transcript=True,
    events=True,
    output_dir="out",
    output_format="json,srt",
    skip_existing=True,
    max_line_width=30,
    max_line_count=1,
    min_coverage=0.9,
    cache=False,
    cache_dir="cache",
    progress="json",
    quiet=True,
    verbose=True,
)
"""Every setting with another value than its default."""


@pytest.fixture
def given_by(tmp_path, monkeypatch):
    """Run a command line: (files, Settings). variables: of the environment; config: YAML that lies there."""

    def run(*arguments, variables=None, config=None, name="transcribe"):
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            for variable, value in (variables or {}).items():
                patch.setenv(variable, value)
            if config is not None:
                Path("audiocli.yaml").write_text(config, encoding="utf-8")
            seen = []
            app = typer.Typer()
            app.command()(command(name, lambda files, settings: seen.append((files, settings))))
            app(spelled(arguments), standalone_mode=False)
        (result,) = seen
        return result

    return run


def flag(name, value):
    """A setting as it is written on the command line."""
    long = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [long if value else f"--no-{long[2:]}"]
    return [part for one in (value if isinstance(value, list) else [value]) for part in (long, str(one))]


def test_the_settings_tried_here_are_all_there_are_and_differ_from_the_defaults():
    assert [name for name in NAMES if getattr(CHANGED, name) == getattr(Settings(), name)] == []


def test_without_anything_the_defaults_hold(given_by):
    assert given_by("a.wav", "b.wav") == (["a.wav", "b.wav"], Settings())


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_the_same_by_flag_by_variable_and_by_file(given_by, name):
    value = getattr(CHANGED, name)
    expected = replace(Settings(), **{name: value})
    of = ONLY_FOR.get(name, ("transcribe",))[0]
    written = str(value).lower() if isinstance(value, bool) else " ".join(value) if name in LISTS else str(value)
    assert given_by(*flag(name, value), name=of)[1] == expected
    assert given_by(variables={f"AUDIOCLI_{name.upper()}": written}, name=of)[1] == expected
    assert given_by(config=f"{name}: '{written}'", name=of)[1] == expected
    assert given_by(config=f"{name.replace('_', '-')}: {written}", name=of)[1] == expected


def test_a_setting_of_several_values_takes_them_by_repetition_and_as_a_list(given_by):
    expected = ["one", "two"]
    assert given_by("--prompt", "one", "--prompt", "two")[1].prompt == expected
    assert given_by(config="prompt: [one, two]")[1].prompt == expected


@pytest.mark.parametrize("name", ONLY_FOR)
def test_what_a_command_does_not_read_it_does_not_take_and_says_who_does(given_by, name):
    arguments = flag(name, getattr(CHANGED, name))
    for of in ("transcribe", "summarize", "analyze", "ask", "run"):
        if of in ONLY_FOR[name]:
            assert getattr(given_by(*arguments, name=of)[1], name) == getattr(CHANGED, name)
            continue
        with pytest.raises(ClickError, match="No such option") as raised:
            given_by(*arguments, name=of)
        assert f"has no --{name.replace('_', '-')}; {' and '.join(ONLY_FOR[name])} do" in reworded(raised.value)


@pytest.mark.parametrize("name", ["ask", "run"])
def test_q_is_the_question_where_one_can_be_put_and_quiet_elsewhere(given_by, name):
    assert given_by("-q")[1].quiet and given_by("-q", name="summarize")[1].quiet
    settings = given_by("-q", "why?", name=name)[1]
    assert (settings.question, settings.quiet) == ("why?", False)
    assert given_by("--quiet", name=name)[1].quiet


def test_flags_outrank_variables_and_those_the_file_and_that_the_defaults(given_by):
    ranks = {
        "flags": (["--model", "flag", "--batch-size", "1", "--no-recursive"], {}, None),
        "variables": (
            [],
            {"AUDIOCLI_MODEL": "variable", "AUDIOCLI_BATCH_SIZE": "2", "AUDIOCLI_RECURSIVE": "yes"},
            None,
        ),
        "file": ([], {}, "model: file\nbatch_size: 3\nrecursive: true\nlanguage: fr\n"),
    }
    flags, variables, config = ranks["flags"][0], ranks["variables"][1], ranks["file"][2]
    _, all_three = given_by(*flags, variables=variables, config=config)
    assert (all_three.model, all_three.batch_size, all_three.recursive) == ("flag", 1, False)
    _, without_flags = given_by(variables=variables, config=config)
    assert (without_flags.model, without_flags.batch_size, without_flags.recursive) == ("variable", 2, True)
    _, file_only = given_by(config=config)
    assert (file_only.model, file_only.batch_size, file_only.recursive) == ("file", 3, True)
    assert {settings.language for settings in (all_three, without_flags, file_only)} == {"fr"}


# The file


@pytest.mark.parametrize("value", ["no", "on", "yes", "nn"])
def test_a_language_is_never_taken_for_yes_or_no(given_by, value):
    """In YAML 1.1 a bare `no` is False, and Norwegian."""
    assert given_by(config=f"language: {value}")[1].language == value


def test_a_list_is_written_with_commas(given_by):
    assert given_by(config="output_format: [json, srt]")[1].output_format == "json,srt"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "model:\n", "model: ~\nlanguage: null\n", "output_format: []"])
def test_a_key_without_a_value_leaves_the_default(given_by, text):
    assert given_by(config=text)[1] == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle: small", "no setting 'modle'; did you mean 'model'"),
        ("1: small", "no setting '1'"),
        ("- model", "expected settings as 'name: value' lines"),
        ("just text", "expected settings"),
        ("model: {name: small}", "'model' takes one value"),
        ("output_format: [[json]]", "'output_format' takes one value"),
        ("model: 'small", "not YAML"),
    ],
)
def test_a_file_that_is_not_right_is_refused_in_one_line_that_names_it(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as raised:
        read_config(path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


def test_no_tag_in_the_file_runs_anything(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        f"model: !!python/object/apply:os.mkdir [{tmp_path / 'made'}]", encoding="utf-8"
    )
    assert read_config(tmp_path / "mine.yaml") == {"model": str(tmp_path / "made")}
    assert not (tmp_path / "made").exists()


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "sound.yaml").write_bytes(b"RIFF\xff\xfe\x00")
    with pytest.raises(UsageError, match="not YAML"):
        read_config(tmp_path / "sound.yaml")


def test_a_file_that_was_named_must_be_there(given_by, tmp_path):
    with pytest.raises(UsageError, match="nowhere.yaml: cannot be read"):
        given_by("--config", "nowhere.yaml")


def test_a_file_that_was_named_replaces_the_one_that_lies_here(given_by, tmp_path):
    (tmp_path / "mine.yaml").write_text("language: de", encoding="utf-8")
    here = "model: small"
    assert given_by("--config", "mine.yaml", config=here)[1] == replace(Settings(), language="de")
    assert given_by(variables={"AUDIOCLI_CONFIG": "mine.yaml"}, config=here)[1] == replace(Settings(), language="de")


@pytest.mark.parametrize("value", ["many", "0", "1.5"])
def test_a_value_of_the_wrong_kind_is_refused_wherever_it_stands(given_by, value):
    for arguments in (
        {"variables": {"AUDIOCLI_BATCH_SIZE": value}},
        {"config": f"batch_size: {value}"},
    ):
        with pytest.raises(ClickError):
            given_by(**arguments)
    with pytest.raises(ClickError):
        given_by("--batch-size", value)


# The environment


def test_an_unknown_variable_of_ours_is_an_error_that_names_the_nearest(given_by):
    with pytest.raises(UsageError, match="AUDIOCLI_MODLE is no setting; did you mean 'AUDIOCLI_MODEL'"):
        given_by(variables={"AUDIOCLI_MODLE": "small"})


def test_variables_of_benchmarks_and_of_others_are_let_be(given_by):
    assert given_by(variables={"AUDIOCLI_BENCH_AUDIO": "x", "AUDIOCLI_TEST_X": "x", "AUDIO": "x"})[1] == Settings()


# The command line


def test_whisper_s_own_spelling_is_understood(given_by):
    line = (
        "a.mp3 --model tiny.en --output_dir out --output_format srt --word_timestamps True --fp16 False"
        " --language English --verbose False --task transcribe --temperature 0 --threads 2"
        " --temperature_increment_on_fallback 0.2"
        " --compression_ratio_threshold 2.4 --logprob_threshold -1.0 --no_speech_threshold 0.6 --device cpu"
        " --max_line_width 40 --max_line_count 2 --model_dir models"
    )
    files, settings = given_by(*line.split())
    assert files == ["a.mp3"]
    told = {name: value for name, value in asdict(settings).items() if value != getattr(Settings(), name)}
    assert told == {
        "model": "tiny.en",
        "output_dir": "out",
        "output_format": "srt",
        "word_timestamps": True,
        "fp16": False,
        "language": "English",
        "threads": 2,
        "device": "cpu",
        "max_line_width": 40,
        "model_dir": "models",
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--word_timestamps", "True"], ["--word-timestamps"]),
        (["--word_timestamps=False"], ["--no-word-timestamps"]),
        (["--fp16", "false"], ["--fp16", "false"]),
        (["--fp16=false"], ["--no-fp16"]),
        (["--quiet", "my_True.wav"], ["--quiet", "my_True.wav"]),
        (["--model", "True"], ["--model", "True"]),
        (["--model=my_model"], ["--model=my_model"]),
        (["my_file.wav", "-o", "my_dir"], ["my_file.wav", "-o", "my_dir"]),
        (["--", "--word_timestamps", "True"], ["--", "--word_timestamps", "True"]),
    ],
)
def test_only_names_of_options_and_values_of_switches_are_respelled(arguments, expected):
    assert spelled(arguments) == expected


@given(st.lists(st.one_of(st.sampled_from(["--quiet", "True", "--", "--a_b", "--a_b=c_d", "x_y"]), st.text())))
def test_what_is_spelled_our_way_stays_as_it_is(arguments):
    once = spelled(arguments)
    if "True" not in once and "False" not in once:
        assert spelled(once) == once


def test_every_setting_is_one_option_that_says_what_it_does():
    described = {}
    for name in ("transcribe", "ask", "run"):
        app = typer.Typer()
        app.command()(command(name, lambda files, settings: None))
        described |= {option.name: option.help for option in typer.main.get_command(app).params}
    assert set(NAMES) | {"files", "config"} <= set(described)
    assert all(described[name] and described[name].endswith(".") for name in NAMES)
