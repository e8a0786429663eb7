"""What `audiocli.work` promises: each setting reaches whom it is for; contradictions are refused at once."""

from __future__ import annotations

import pytest

from audiocli.errors import UsageError
from audiocli.options import Settings
from audiocli.work import Work, engine_options, pipeline_options, shared_out, time_s


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """A user without prompts of their own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def asked(command, **settings):
    """The prompts a command line asks, by name."""
    return [prompt.name for prompt in pipeline_options(command, Settings(**settings)).prompts]


# What is asked


@pytest.mark.parametrize(
    ("command", "settings", "expected"),
    [
        ("transcribe", {}, []),
        ("summarize", {}, ["summarize"]),
        ("summarize", {"prompt": ["podcast"]}, ["podcast"]),
        ("analyze", {"prompt": ["emotions"]}, ["emotions"]),
        ("ask", {"question": "why?"}, ["ask"]),
        ("ask", {"prompt": ["chapters"]}, ["chapters"]),
        ("ask", {"prompt": ["chapters"], "question": "why?"}, ["chapters", "ask"]),
        ("run", {"tasks": "summarize, analyze,summarize"}, ["summarize", "analyze"]),
        ("run", {"tasks": "transcribe", "question": "why?"}, ["ask"]),
        ("run", {"prompt": ["ask"], "question": "why?"}, ["ask"]),
        ("run", {"question": "why?"}, ["ask"]),
    ],
)
def test_each_command_asks_what_was_said_and_no_question_goes_unread(command, settings, expected):
    assert asked(command, **settings) == expected


@pytest.mark.parametrize(
    ("command", "settings", "task", "transcript"),
    [
        ("transcribe", {}, "transcribe", True),
        ("transcribe", {"task": "translate"}, "translate", True),
        ("transcribe", {"prompt": ["translate"]}, "translate", True),
        ("transcribe", {"task": "translate", "var": ["into=German"]}, "translate", True),
        ("summarize", {"task": "translate"}, "translate", False),
        ("summarize", {"with_transcript": True}, "transcribe", False),
        ("run", {"tasks": "translate,summarize"}, "translate", True),
        ("run", {"tasks": "summarize", "prompt": ["transcribe"]}, "transcribe", True),
        ("run", {"tasks": "analyze"}, "transcribe", False),
    ],
)
def test_words_are_a_result_where_they_are_asked_for(command, settings, task, transcript):
    options = pipeline_options(command, Settings(**settings))
    assert (options.task, options.transcript) == (task, transcript)


def test_a_variable_goes_to_every_prompt_that_has_it():
    options = pipeline_options("run", Settings(prompt=["summarize", "chapters"], var=["focus=money = time"]))
    (summarize,) = [prompt for prompt in options.prompts if prompt.name == "summarize"]
    assert "money = time" in " ".join(summarize.ask({"start": "0:00", "end": "0:30", "language": "English"}))


@pytest.mark.parametrize(
    ("command", "settings", "says"),
    [
        ("ask", {}, "give it with -q"),
        ("ask", {"question": ""}, "give it with -q"),
        ("run", {"prompt": ["ask"]}, "'ask' takes a question; give it with -q"),
        ("run", {}, "nothing is asked"),
        ("run", {"tasks": " , "}, "nothing is asked"),
        ("run", {"tasks": "ask"}, "-q asks a question"),
        ("run", {"tasks": "transcribe,translate"}, "not both"),
        ("run", {"tasks": "transcribe", "prompt": ["translate"]}, "to translate, not to transcribe"),
        ("transcribe", {"task": "translate", "prompt": ["transcribe"]}, "to transcribe, not to translate"),
        ("run", {"prompt": ["transcribe", "translate"]}, "both write down words"),
        ("run", {"tasks": "summarize", "prompt": ["summarize"]}, "asked twice"),
        ("run", {"tasks": "summarize", "across": True}, "ask something with -q"),
        ("summarize", {"prompt": ["ask"]}, "for ask, not for summarize"),
        ("summarize", {"var": ["focus"]}, "give NAME=VALUE"),
        ("summarize", {"var": ["fokus=x"]}, "there is focus"),
        ("transcribe", {"var": ["focus=x"]}, "there is "),
        ("transcribe", {"select": "densest"}, "needs a --budget"),
        ("transcribe", {"select": "densest", "budget": "ten"}, "90s, 10m"),
        ("transcribe", {"budget": "10m"}, "--select densest"),
        ("transcribe", {"channels": "left"}, "mix, split"),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_line(command, settings, says):
    with pytest.raises(UsageError) as raised:
        pipeline_options(command, Settings(**settings))
    assert says in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("1.5m", 90), ("12h", 43200), ("30d", 2592000)])
def test_a_time_has_a_unit(text, expected):
    assert time_s("--budget", text) == expected


@pytest.mark.parametrize("text", ["", "10", "m", "0s", "-5m", "infs", "nans", "5w"])
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="--budget"):
        time_s("--budget", text)


# The model that hears, and the one that reads

LANGUAGE_MODELS = Settings(
    model="ears",
    text_model="reader",
    top_p=0.5,
    repetition_penalty=1.2,
    max_new_tokens=12,
    seed=3,
    quantize="8bit",
    attn="eager",
    compile=True,
    clips_per_request=2,
    downsample=4,
    language_model="llm",
    temperature=0.2,
    device="cpu",
)


def test_what_is_said_of_language_models_is_meant_for_the_one_that_reads():
    hearing, reading = shared_out(engine_options(LANGUAGE_MODELS), LANGUAGE_MODELS.text_model)
    assert (hearing.model, reading.model) == ("ears", "reader")
    assert (reading.sampling.top_p, reading.sampling.max_new_tokens, reading.sampling.seed) == (0.5, 12, 3)
    assert (reading.sampling.repetition_penalty, reading.sampling.temperature) == (1.2, 0.2)
    assert (reading.quantize, reading.attention, reading.compile) == ("8bit", "eager", True)
    assert (reading.clips_per_request, reading.downsample, reading.language_model) == (None, None, None)
    assert (hearing.clips_per_request, hearing.downsample, hearing.language_model) == (2, 4, "llm")
    assert (hearing.sampling.max_new_tokens, hearing.quantize, hearing.attention) == (None, None, None)
    assert hearing.sampling.temperature == 0.2 and hearing.device == reading.device == "cpu"


def test_without_a_reader_all_is_meant_for_the_model_that_hears():
    hearing, reading = shared_out(engine_options(LANGUAGE_MODELS), None)
    assert reading is None and hearing.sampling.top_p == 0.5 and hearing.quantize == "8bit"


@pytest.mark.parametrize(
    ("start", "step", "expected"),
    [(0.0, 0.2, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)), (0.2, 0.4, (0.2, 0.6, 1.0)), (0.5, 0.0, (0.5,)), (2.0, 0.2, (2.0,))],
)
def test_attempts_rise_from_the_temperature_that_was_given(start, step, expected):
    options = engine_options(Settings(temperature=start, temperature_increment_on_fallback=step))
    assert options.fallback.temperatures == expected
    assert options.sampling.temperature == start


# Formats


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"output_format": "docx"}, "choose from json, md"),
        ({"output_format": "json,txt"}, "stdout takes one format"),
        ({"output_format": "all"}, "stdout takes one format"),
        ({"output_format": "png"}, "cannot go to stdout"),
        ({"skip_existing": True}, "-o"),
    ],
)
def test_formats_that_cannot_be_are_refused_before_anything_is_read(settings, says):
    with pytest.raises(UsageError, match=says):
        Work("analyze", ["nothing.wav"], Settings(**settings))
