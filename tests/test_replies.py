"""What `audiocli.replies` promises: wrappers come off, refusals are found, and nothing that was said is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiocli.replies import LONGEST_REFUSAL, SPOKEN, unwrapped

SAMPLES = Path(__file__).parents[1] / "samples"
TASKS = ("transcribe", "translate", "summarize", "analyze", "ask", "answer")

WRAPPED = [
    # Qwen2-Audio: the answers its tests in transformers and llama.cpp's first trials show, and variants of them
    ("The original content of this audio is: 'Mister Quiller is the apostle.'", "Mister Quiller is the apostle."),
    ("The original content of this audio is:'yet these thoughts'", "yet these thoughts"),
    ("The original content of this audio is: 'The dogs' owner is here.'", "The dogs' owner is here."),
    ("The transcription of the audio is: 'the cat sat'", "the cat sat"),
    ("The transcription of the audio is as follows: the cat sat", "the cat sat"),
    ("The speech said was: 'Fivescore years ago.'", "Fivescore years ago."),
    ("The speech says: we shall go on", "we shall go on"),
    ("The speech is in English, saying 'hello there.'", "hello there."),
    ("The speech is in French, saying: bonjour", "bonjour"),
    ("The speech in the audio is transcribed as: 'it's here'.", "it's here"),
    ("The audio states: “no”", "no"),
    ("The person in the audio says: 'go home'", "go home"),
    ('In the audio, the person says "go home"', "go home"),
    ("The speaker says: 'I'll go.'", "I'll go."),
    ("这段音频的内容是：'我跟你说'", "我跟你说"),
    ("。\n这段音频的内容是：'我跟你说，我跟你说'", "我跟你说，我跟你说"),
    ("这段音频的原始内容是:'大家好，我是学生。'", "大家好，我是学生。"),
    ("这段语音的原始文本内容是：大家好", "大家好"),
    ("好的，以下是音频的转录内容：\n大家好", "大家好"),
    ("这段音频的原始内容是:'这是一封信'，说话者为男性，年龄大约30岁。听起来情绪平静。", "这是一封信"),
    ("语音转写：你好", "你好"),
    ("この音声の内容は：「こんにちは」", "こんにちは"),
    # Audio Flamingo 3
    ("The spoken content of the audio is 'Concord returned.'.", "Concord returned."),
    # Qwen2.5-Omni (QwenLM/Qwen2.5-Omni#229), Qwen3-ASR's own format, tokens that were not skipped
    (
        "Well, this is the content of the audio.\nHello there.\n\nIf you have any more questions, feel free to ask.",
        "Hello there.",
    ),
    ("language English<asr_text>Hello there.", "Hello there."),
    ("<|zh|>你好。", "你好。"),
    ("Hello.<|im_end|>\n<|endoftext|>", "Hello."),
    # Voxtral (ggml-org/llama.cpp#14862): what is bold here belongs to its speaker labels
    ('### Transcription\n\n**Speaker 1:**\n"This is it."', '**Speaker 1:**\n"This is it."'),
    # chat: Ultravox, Gemma, Phi and other instructed language models
    ("Sure, here is the transcript:\nHello there.", "Hello there."),
    ("Sure! Here’s the transcription of the audio:\n\n“Hello there.”", "Hello there."),
    ("Sure, here's the transcription of the audio: Hello there.", "Hello there."),
    (
        "Here is the verbatim transcript of the audio file you provided:\n\nHello.\n\nLet me know if I can help!",
        "Hello.",
    ),
    (
        'Sure! I\'d be happy to help. Here is the transcription: "Hello." Let me know if you need anything else.',
        "Hello.",
    ),
    ("Here is the transcription:\n---\nHello.\n---\nLet me know if you would like a shorter transcript.", "Hello."),
    ("Here is the transcription:\n\n```\nHello.\nGoodbye.\n```", "Hello.\nGoodbye."),
    ("**Transcript:**\nHello", "Hello"),
    ("**Transcription**: Hello", "Hello"),
    ("Transcript: Hello", "Hello"),
    ("```\nHello\nthere\n```", "Hello\nthere"),
    ("```text\nHello\n```", "Hello"),
    ('"Hello there."', "Hello there."),
    ("'Hello there.'", "Hello there."),
    ('"He said "go" and left."', 'He said "go" and left.'),
    ("«Bonjour, l'ami.»", "Bonjour, l'ami."),
    ("„Guten Tag.“", "Guten Tag."),
    ("Hello there.\nPlease let me know if you would like me to format the transcript.", "Hello there."),
    ("<think>\nThe user wants words.\n</think>\n\nHello", "Hello"),
    ("The template opened the thought.</think>Hello", "Hello"),
    ("Hier ist die Transkription der Aufnahme:\nGuten Tag.", "Guten Tag."),
    ("Voici la transcription de l'audio : Bonjour.", "Bonjour."),
    ("Aquí está la transcripción:\nBuenos días.", "Buenos días."),
]

SAID = [
    "Sure, here is the plan for Monday: we meet at nine.",
    "Sure, here is the plan for Monday:\nwe meet at nine.",
    "Sure, here is the transcript: you can see it on page four.",
    "Here is the transcript of the trial, which I have read twice.",
    "The transcript says that he was there.",
    "Transcription of the meeting is due on Friday.",
    "The content of the audio course is new.",
    "The recording is on Friday.",
    "This is a recording of the sea.",
    "The audio contains a lot of background noise.",
    "In this recording, the people of the town speak about the flood.",
    "Yes, I can help with that. The content of the file is long.",
    "Great, this is the transcript of the call.",
    "Here is the text of the audio guide: turn left.",
    "The audio, the picture and the people who made it were great.",
    'The man said, "Go home."',
    "He said: 'come here'",
    'The text says: "Thou shalt not."',
    '"Stop," he said, and then he said "go"',
    "'Cause I was runnin' and you were singin'",
    "「はい」「いいえ」",
    "Is there anything else I can help you with?",
    "How can I help you?",
    "Hello! How can I assist you today?",
    "Thank you for calling.\n\nLet me know if you need anything else.",
    "Thank you.\nIf you have any questions, please feel free to ask.",
    "I'm sorry, but I can't hear you.",
    "I'm sorry about that, I dropped the clipboard.",
    "I'm sorry, but I can't help you with that.",
    "I can't hear the audio, can you turn it up?",
    "I can't access the recording, can you send me the link?",
    "I can't transcribe the audio from Tuesday yet.",
    "Could you please send me the recording?",
    "I'm a language teacher, and I can't listen to audio books at work.",
    "As an AI researcher, I cannot agree.",
    "As an AI language model, ChatGPT predicts the next word.",
    "It sounds like you're having a hard time.",
    "No speech today, he said, and sat down.",
    "Nothing.",
    "Okay.",
    "Certainly.",
    "  Hello  \n",
    "他说：“你好”",
    "抱歉，我无法来开会。",
    "",
    " \n",
]

SILENT = [
    "There is no speech in the audio.",
    "No speech detected.",
    "No speech.",
    "The audio contains no speech.",
    "This audio clip does not contain any spoken words.",
    "(No one speaks.)",
    "[silence]",
    "[BLANK_AUDIO]",
    '""',
    "Transcript: The audio is silent.",
    "这段音频中没有人说话。",
]

REFUSED = [
    ("I'm sorry, but I can't listen to audio.", "cannot hear"),
    ("I’m sorry, but I can’t listen to audio files directly.", "cannot hear"),
    ("I cannot process audio.", "cannot hear"),
    ("I am unable to transcribe audio directly, but if you give me the text I can help.", "cannot hear"),
    ("I'm sorry, but I cannot transcribe this audio as there is no audio file in your message.", "cannot hear"),
    ("I'm unable to access the audio file. Please upload it and I'd be happy to help.", "cannot hear"),
    ("I'm sorry, but I don't have access to the audio. Please provide a transcript.", "cannot hear"),
    ("As an AI language model, I don't have the capability to listen to audio.", "cannot hear"),
    ("I'm just an AI and I don't have the ability to listen to audio.", "cannot hear"),
    ("抱歉，我无法听到音频内容。", "cannot hear"),
    ("Es tut mir leid, aber ich kann keine Audiodateien anhören.", "cannot hear"),
    ("Je suis désolé, mais je ne peux pas écouter de fichiers audio.", "cannot hear"),
    ("Lo siento, pero no puedo escuchar archivos de audio.", "cannot hear"),
    ("As an AI language model, I cannot feel anger.", "language model"),
    ("I'm an AI text-based model, so I can't listen to recordings.", "language model"),
    ("Hello! I'm Qwen, a large language model created by Alibaba Cloud.", "language model"),
    ("作为一个AI语言模型，我无法直接听取音频。", "language model"),
    ("Please provide the audio file you would like me to transcribe.", "asked for"),
    ("It seems there is no audio attached to your message.", "asked for"),
    ("I'm sorry, but I can't assist with that.", "declined"),
    ("I cannot fulfill your request.", "declined"),
    ("<think>The user wants", "never came to an answer"),
]

DESCRIBED = [
    "The audio features a man speaking about the weather.",
    "In this audio, a woman is talking to two men.",
    "This audio clip contains two speakers who discuss a battery.",
]


@pytest.mark.parametrize(("reply", "words"), WRAPPED)
def test_what_was_said_comes_out_of_its_wrapper(reply: str, words: str) -> None:
    answer = unwrapped(reply, "transcribe")
    assert (answer.text, answer.refused) == (words, None)
    assert answer.removed
    assert len(answer.removed) >= len(reply.strip()) - len(words) - 6


@pytest.mark.parametrize("task", SPOKEN)
@pytest.mark.parametrize("text", SAID)
def test_speech_that_begins_like_a_wrapper_or_a_refusal_is_not_touched(text: str, task: str) -> None:
    answer = unwrapped(text, task)
    assert (answer.text, answer.refused, answer.removed) == (text, None, "")


def test_a_translation_is_labelled_as_such_only_where_one_was_asked_for() -> None:
    assert unwrapped("Translation: that means no.", "translate").text == "that means no."
    assert unwrapped("Translation: that means no.", "transcribe").text == "Translation: that means no."


@pytest.mark.parametrize("reply", SILENT)
def test_a_report_of_silence_is_an_empty_answer(reply: str) -> None:
    answer = unwrapped(reply, "transcribe")
    assert (answer.text, answer.refused) == ("", None)
    assert answer.removed == reply


def test_a_report_of_silence_is_an_answer_to_a_question() -> None:
    assert unwrapped("There is no speech in the audio.", "ask").text == "There is no speech in the audio."


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("reply", "why"), REFUSED)
def test_a_refusal_is_found_and_says_why(reply: str, why: str, task: str) -> None:
    assert why in str(unwrapped(reply, task).refused)


@pytest.mark.parametrize("reply", [reply for reply, _ in REFUSED if not reply.startswith("<")])
def test_the_words_of_a_refusal_are_kept(reply: str) -> None:
    assert unwrapped(reply, "transcribe").text == reply


def test_a_refusal_is_found_within_a_wrapper() -> None:
    answer = unwrapped("Transcript: I'm sorry, but I can't process audio.", "transcribe")
    assert (answer.text, answer.removed) == ("I'm sorry, but I can't process audio.", "Transcript:")
    assert "cannot hear" in str(answer.refused)


def test_silence_after_a_thought_is_an_empty_answer() -> None:
    assert unwrapped("<think>Nobody speaks.</think>", "transcribe").refused is None


@pytest.mark.parametrize("reply", DESCRIBED)
def test_a_description_is_no_transcript_but_may_be_an_analysis(reply: str) -> None:
    assert "described" in str(unwrapped(reply, "transcribe").refused)
    assert unwrapped(reply, "analyze").refused is None


def test_long_speech_is_not_doubted() -> None:
    said = "I cannot process audio. " + "And so he went on for a while. " * 30
    assert len(said) > LONGEST_REFUSAL
    assert unwrapped(said, "transcribe").refused is None


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["call", "lecture", "meeting", "pauses", "rain"])
def test_real_transcripts_come_through_unchanged(name: str, task: str) -> None:
    """Whole, line by line, and in windows of a few lines as a model would hear them."""
    text = (SAMPLES / f"{name}.txt").read_text(encoding="utf-8")
    lines = text.splitlines()
    windows = ["\n".join(lines[at : at + size]) for size in (2, 3) for at in range(len(lines))]
    for said in [text, " ".join(lines), *lines, *windows, *(window.replace("\n", " ") for window in windows)]:
        answer = unwrapped(said, task)
        assert (answer.text, answer.refused, answer.removed) == (said, None, "")


@pytest.mark.parametrize("name", ["call", "lecture", "meeting"])
def test_real_transcripts_come_out_of_every_wrapper(name: str) -> None:
    for segment in json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8")):
        said = segment["text"]
        for wrapper in ("The original content of this audio is: '{}'", "Sure, here is the transcript:\n\n{}", '"{}"'):
            assert unwrapped(wrapper.format(said), "transcribe").text == said


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Sure, here are the notes:\nOVERVIEW: a\nKEY POINT [0:01]: b\n\nLet me know if you need more.", None),
        ("```\nOVERVIEW: a\nKEY POINT [0:01]: b\n```", None),
        ("<think>first</think>OVERVIEW: a\nKEY POINT [0:01]: b<|im_end|>", None),
        ('Here is the JSON:\n```json\n{"a": 1}\n```\nI hope this helps!', '{"a": 1}'),
        ('"Wednesday" is what Peter says.', '"Wednesday" is what Peter says.'),
        ('"Wednesday"', '"Wednesday"'),
        ("Transcript: not given.", "Transcript: not given."),
        ("Here are two points: one, two.", "Here are two points: one, two."),
        ("not said in the recording", "not said in the recording"),
    ],
)
@pytest.mark.parametrize("task", ["summarize", "ask", "answer"])
def test_an_answer_in_the_models_own_words_loses_only_the_chat_around_it(reply: str, answer: str | None, task: str):
    assert unwrapped(reply, task).text == (answer or "OVERVIEW: a\nKEY POINT [0:01]: b")


def test_what_was_taken_off_is_told() -> None:
    reply = "Sure, here is the transcript:\nHello.\n\nLet me know if the transcript is right."
    assert unwrapped(reply, "transcribe").removed == (
        "Sure, here is the transcript: … Let me know if the transcript is right."
    )


PIECES = st.sampled_from(
    [
        *(reply for reply, _ in WRAPPED),
        *SAID,
        *SILENT,
        "Here is the transcript:\n",
        "The speaker says: ",
        "\n\n",
        "\n---\n",
        "\n```\n",
        '"',
        "'",
        " '",
        "“",
        "”",
        "<think>",
        "</think>",
        "<|en|>",
        "\nLet me know if you need anything else.",
        "，说话者为男性",
        "word",
        " ",
    ]
)


@given(st.lists(PIECES | st.text(max_size=8), max_size=7).map("".join), st.sampled_from(TASKS))
def test_the_answer_is_one_stretch_of_the_reply_and_unwrapping_it_again_changes_nothing(reply: str, task: str) -> None:
    answer = unwrapped(reply, task)
    assert answer.text in reply
    assert unwrapped(answer.text, task).text == answer.text
    assert not unwrapped(answer.text, task).removed
    assert bool(answer.removed) == (answer.text != reply)


ORDINARY = [
    "river",
    "seven",
    "Laura",
    "it's",
    "3.5",
    "never,",
    "slow;",
    "green?",
    "Monday!",
    "—",
    "élan",
    "水",
    "(left)",
]


@given(st.lists(st.sampled_from(ORDINARY), max_size=60).map(" ".join), st.sampled_from(TASKS))
def test_text_without_wrapper_words_is_unchanged(text: str, task: str) -> None:
    answer = unwrapped(text, task)
    assert (answer.text, answer.refused, answer.removed) == (text, None, "")
