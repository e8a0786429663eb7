"""How answers are chosen, token by token: each row by itself, within its budget, and as it was asked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_tokenizer
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from audiocli.engines import Sampling
from audiocli.engines.families.chat import FEWEST_TOKENS, SPARE_TOKENS, Chat, Manner, _Draw, messages
from audiocli.records import RATE, Request

END, PAD = "<|im_end|>", "<|endoftext|>"
PROMPTS = [
    "Who speaks?",
    "What is said about the harbour, and who says it?",
    "Why?",
    "How many people speak, and when?",
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer.make([PAD, "<|im_start|>", END], end=END, pad=PAD)


@pytest.fixture(scope="module")
def language_model(tokenizer: Any) -> Any:
    """A small Qwen2 whose answers depend on the prompt, and which ends some of them early."""
    config = Qwen2Config(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        tie_word_embeddings=False,
    )
    model = Qwen2ForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.15, generator=generator)
    return model


class Reader:
    """A family that reads its prompts: it lays them out by the tokenizer's template, with or without embedding them."""

    def __init__(self, model: Any, tokenizer: Any, gives: Sequence[str]) -> None:
        self._model, self._tokenizer, self._gives = model, tokenizer, gives

    def __call__(self, requests: Sequence[Request]) -> Mapping[str, Any]:
        found = self._tokenizer.apply_chat_template(
            [messages(replace(request, clips=())) for request in requests],
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            padding=True,
        )
        embedded = {"inputs_embeds": self._model.get_input_embeddings()(found["input_ids"])}
        return {name: {**found, **embedded}[name] for name in ("attention_mask", *self._gives)}


Made = Any


@pytest.fixture
def make(language_model: Any, tokenizer: Any) -> Made:
    """A Chat with the small model: sampling as given; what is not named here is for its manner."""

    def made(
        sampling: Sampling | None = None,
        *,
        gives: Sequence[str] = ("input_ids",),
        context: int | None = None,
        speaks: Any = tokenizer,
        prepare: Any = None,
        **manner: Any,
    ) -> Chat:
        ends = (tokenizer.convert_tokens_to_ids(END),)
        return Chat(
            language_model,
            speaks,
            prepare or Reader(language_model, tokenizer, gives),
            Manner(**{"end_ids": ends, "pad_id": tokenizer.pad_token_id, **manner}),
            sampling or Sampling(),
            audio_tokens=lambda samples: samples // 640,
            context=context,
        )

    return made


def asked(*prompts: str, **more: Any) -> list[Request]:
    return [Request((), prompt, **{"task": "answer", "max_new_tokens": 24, **more}) for prompt in prompts]


def by_hand(model: Any, tokenizer: Any, request: Request, **settings: Any) -> list[int]:
    """What transformers generates of itself for one request, without padding or end token."""
    given = Reader(model, tokenizer, ("input_ids",))([request])
    count = request.max_new_tokens
    with torch.inference_mode():
        output = model.generate(**given, max_new_tokens=count, eos_token_id=tokenizer.eos_token_id, **settings)
    said = output[0, given["input_ids"].shape[1] :].tolist()
    return said[:-1] if said[-1] == tokenizer.eos_token_id else said


def text(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()


# ---- the same as anyone would get


@pytest.mark.parametrize("gives", [("input_ids",), ("inputs_embeds",), ("input_ids", "inputs_embeds")], ids=" ".join)
def test_greedy_answers_are_those_of_generate(
    make: Made, gives: Sequence[str], language_model: Any, tokenizer: Any
) -> None:
    requests = asked(*PROMPTS)
    replies = make(gives=gives).answer(requests)
    expected = [by_hand(language_model, tokenizer, request, do_sample=False) for request in requests]
    assert [(reply.text, reply.tokens) for reply in replies] == [(text(tokenizer, ids), len(ids)) for ids in expected]
    assert len({reply.text for reply in replies}) == len(replies), "else this proves little"
    assert {reply.temperature for reply in replies} == {0.0}


@pytest.mark.parametrize("manner", [{}, {"repetition_penalty": 1.7}], ids=["asked for", "advised"])
def test_a_repetition_penalty_is_that_of_generate(
    make: Made, manner: dict[str, float], language_model: Any, tokenizer: Any
) -> None:
    """Of the prompt's tokens, too, but not of what pads it."""
    penalty = None if manner else 1.7
    requests = asked(*PROMPTS)
    replies = make(Sampling(repetition_penalty=penalty), **manner).answer(requests)
    for request, reply in zip(requests, replies, strict=True):
        assert reply.text == text(tokenizer, by_hand(language_model, tokenizer, request, repetition_penalty=1.7))
    assert [reply.text for reply in replies] != [reply.text for reply in make().answer(requests)]


def test_what_is_asked_for_goes_before_what_is_advised(make: Made) -> None:
    requests = asked(*PROMPTS)
    undone = make(Sampling(repetition_penalty=1.0), repetition_penalty=1.7).answer(requests)
    assert undone == make().answer(requests)


def test_what_a_checkpoint_brings_does_not_leak_in(make: Made, language_model: Any) -> None:
    requests = asked(*PROMPTS)
    before = make().answer(requests)
    language_model.generation_config.update(do_sample=True, temperature=9.0, max_length=3, repetition_penalty=3.0)
    assert make().answer(requests) == before


# ---- company


def test_a_batch_answers_as_its_members_alone(make: Made) -> None:
    chat = make(Sampling(top_p=0.9, seed=3))
    requests = [
        replace(request, temperature=temperature, max_new_tokens=budget)
        for request, temperature, budget in zip(asked(*PROMPTS), (0.0, 0.8, 0.0, 1.5), (30, 11, 3, 24), strict=True)
    ]
    together = chat.answer(requests)
    for request, reply in zip(requests, together, strict=True):
        (alone,) = chat.answer([request])
        assert replace(reply, avg_logprob=None) == replace(alone, avg_logprob=None)
        assert reply.avg_logprob == pytest.approx(alone.avg_logprob, abs=1e-3)
    assert chat.answer(requests[::-1])[::-1] == together


def test_requests_with_and_without_audio_do_not_share_a_batch(make: Made) -> None:
    clip = np.zeros(RATE, np.float32)
    chat = make()
    kinds = [chat.kind(Request(clips, prompt)) for clips in ((), (clip,), (clip, clip)) for prompt in ("a", "b")]
    assert kinds[0] == kinds[1] != kinds[2]
    assert len(set(kinds[2:])) == 1


# ---- sampling


def test_sampling_is_repeatable_and_follows_the_seed(make: Made) -> None:
    requests = asked(*PROMPTS)
    hot = [make(Sampling(temperature=1.0, seed=seed)).answer(requests) for seed in (1, 1, 2)]
    assert hot[0] == hot[1]
    assert [reply.text for reply in hot[0]] != [reply.text for reply in hot[2]]
    assert [reply.text for reply in hot[0]] != [reply.text for reply in make().answer(requests)]
    assert {reply.temperature for reply in hot[0]} == {1.0}


def test_the_requests_temperature_goes_before_the_options(make: Made) -> None:
    (request,) = asked(PROMPTS[0], temperature=0.5)
    (reply,) = make(Sampling(temperature=1.2)).answer([request])
    assert reply.temperature == 0.5
    assert [reply] == make().answer([request])


def test_the_same_question_about_other_audio_is_drawn_otherwise(make: Made) -> None:
    """The small model hears nothing, so what is drawn depends on the clip by its seed alone."""
    quiet, loud = np.zeros(RATE, np.float32), np.ones(RATE, np.float32)
    requests = [Request((clip,), PROMPTS[0], max_new_tokens=20, temperature=1.0) for clip in (quiet, loud, quiet)]
    first, other, again = make().answer(requests)
    assert first == again
    assert first.text != other.text


def test_little_of_the_probability_is_as_good_as_greedy(make: Made) -> None:
    requests = asked(*PROMPTS)
    narrow = make(Sampling(temperature=1.0, top_p=1e-6)).answer(requests)
    assert [reply.text for reply in narrow] == [reply.text for reply in make().answer(requests)]


@pytest.mark.parametrize(
    ("temperature", "top_p", "shares"),
    [
        (1.0, 1.0, [0.5, 0.2, 0.15, 0.1, 0.05]),
        (1.0, 0.8, [0.5 / 0.85, 0.2 / 0.85, 0.15 / 0.85, 0.0, 0.0]),
        (0.5, 1.0, [0.25 / 0.325, 0.04 / 0.325, 0.0225 / 0.325, 0.01 / 0.325, 0.0025 / 0.325]),
    ],
)
def test_tokens_are_drawn_as_often_as_they_are_probable(temperature: float, top_p: float, shares: list[float]) -> None:
    """4,000 draws by one row's generator; each count within five standard deviations of what is expected."""
    scores = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05]).log()
    draw, count = _Draw(temperature, top_p, torch.Generator().manual_seed(1)), 4000
    seen = torch.bincount(torch.stack([draw(scores).argmax() for _ in range(count)]), minlength=5).tolist()
    for number, share in zip(seen, shares, strict=True):
        assert abs(number - count * share) <= 5 * (count * share * (1 - share)) ** 0.5


# ---- how sure it was


class Listening:
    """A tokenizer, and the tokens of every answer that it was given to read."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self.said = tokenizer, list[list[int]]()

    def encode(self, text: str, **options: Any) -> Any:
        return self._tokenizer.encode(text, **options)

    def decode(self, ids: list[int], **options: Any) -> Any:
        self.said.append(ids)
        return self._tokenizer.decode(ids, **options)


@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(temperature=0.9), Sampling(repetition_penalty=1.5)],
    ids=["greedy", "hot", "penal"],
)
def test_the_mean_log_probability_is_the_models_own(
    make: Made, sampling: Sampling, language_model: Any, tokenizer: Any
) -> None:
    """As when it reads prompt and answer at once: of what was said and of the end, however that was chosen."""
    listening, requests = Listening(tokenizer), asked(*PROMPTS)
    replies = make(sampling, speaks=listening).answer(requests)
    for request, reply, ids in zip(requests, replies, listening.said, strict=True):
        ids = [*ids, tokenizer.eos_token_id] if reply.stop == "end" else ids
        given = Reader(language_model, tokenizer, ("input_ids",))([request])["input_ids"]
        whole = torch.cat([given, torch.tensor([ids])], dim=1)
        with torch.inference_mode():
            logprobs = language_model(input_ids=whole).logits[0, given.shape[1] - 1 : -1].log_softmax(-1)
        expected = float(logprobs.gather(-1, torch.tensor(ids)[:, None]).mean())
        assert reply.avg_logprob == pytest.approx(expected, abs=1e-3)


# ---- ends and budgets


def test_an_answer_that_ran_out_of_its_budget_says_so(make: Made, tokenizer: Any) -> None:
    """Each row by its own budget, and cut there, whatever the others go on to say."""
    whole = make().answer(asked(*PROMPTS, max_new_tokens=60))
    assert {reply.stop for reply in whole} <= {"end", "length"}
    budgets = [1, 9, 4, 30]
    requests = [replace(request, max_new_tokens=most) for request, most in zip(asked(*PROMPTS), budgets, strict=True)]
    for reply, full, most in zip(make().answer(requests), whole, budgets, strict=True):
        assert reply.stop == ("end" if full.stop == "end" and full.tokens < most else "length")
        assert reply.tokens == min(full.tokens, most)


def test_an_answer_ends_at_its_end_token(make: Made, language_model: Any, tokenizer: Any) -> None:
    """Whatever is taken for the end, and however long its company goes on."""
    (request, *others) = asked(*PROMPTS)
    ids = by_hand(language_model, tokenizer, request, do_sample=False)
    at = next(at for at in range(4, len(ids)) if ids[at] not in ids[:at])
    chat = make(end_ids=(ids[at], 7))
    for reply in (chat.answer([request])[0], chat.answer([request, *others])[0]):
        assert (reply.tokens, reply.stop, reply.text) == (at, "end", text(tokenizer, ids[:at]))


def test_budgets_are_as_asked_else_by_what_is_asked(make: Made) -> None:
    """What the user says goes before what the request does, whichever is more."""
    clip = np.zeros(10 * RATE, np.float32)
    chat, told = make(), make(Sampling(max_new_tokens=33))

    one = make(Sampling(max_new_tokens=1))

    def budget(of: Chat, request: Request) -> int:
        return of.size(request) - one.size(request) + 1

    assert budget(chat, Request((clip,))) == 80 + SPARE_TOKENS
    assert budget(chat, Request((clip, clip), task="translate")) == 160 + SPARE_TOKENS
    assert budget(chat, Request((clip,), task="answer")) == 512
    assert budget(chat, Request(())) == 512
    assert budget(make(answer_tokens=100), Request((clip,), task="answer")) == 100
    assert budget(make(answer_tokens_per_s=2.0), Request((clip,))) == 20 + SPARE_TOKENS
    assert budget(told, Request((clip,))) == 33
    assert budget(chat, Request((clip,), max_new_tokens=5)) == 5
    assert budget(told, Request((clip,), max_new_tokens=5)) == budget(told, Request((clip,), max_new_tokens=50)) == 33


def test_the_users_budget_is_kept_to_whatever_the_request_says(make: Made) -> None:
    (free,) = make().answer(asked(PROMPTS[1], max_new_tokens=20))
    assert free.tokens > 5, "else this proves little"
    replies = make(Sampling(max_new_tokens=5)).answer(asked(*PROMPTS[1:3], max_new_tokens=20))
    assert [(reply.tokens, reply.stop) for reply in replies] == [(5, "length")] * 2


def test_a_size_covers_all_that_is_laid_out_and_answered(make: Made, language_model: Any, tokenizer: Any) -> None:
    chat, read = make(), Reader(language_model, tokenizer, ("input_ids",))
    for prompt in (*PROMPTS, "", "<|im_end|>" * 9, "Größe 大きさ 🎧 " * 20, "word " * 300):
        request = Request((), prompt, system="You listen. " * 4, task="answer", max_new_tokens=10)
        laid_out = read([request])["input_ids"].shape[1]
        assert laid_out + 10 <= chat.size(request) <= laid_out + 10 + 32 + 9 * prompt.count("<|")


def test_what_a_clip_takes_counts(make: Made) -> None:
    chat = make()
    clips = (np.zeros(64_000, np.float32), np.zeros(32_000, np.float32))
    empty = Request((), "Who?", max_new_tokens=5)
    assert 100 + 50 <= chat.size(replace(empty, clips=clips)) - chat.size(empty) <= 150 + 20


def test_an_answer_has_the_room_that_its_question_leaves(make: Made) -> None:
    """Down to a few tokens: then the question is too long, and its size says so."""
    request = Request((), "word " * 100, task="answer")
    asking = make().size(replace(request, max_new_tokens=1)) - 1
    roomy = make(context=asking + 200)
    assert roomy.size(request) == asking + 200
    (reply,) = roomy.answer([request])
    assert reply.tokens <= 200
    tight = make(context=asking + FEWEST_TOKENS - 1)
    assert tight.size(request) == asking + FEWEST_TOKENS > asking + FEWEST_TOKENS - 1


# ---- what it says beside its answer


def test_nothing_is_said_but_the_answer(make: Made, capfd: pytest.CaptureFixture[str]) -> None:
    make(Sampling(temperature=0.5, top_p=0.5, repetition_penalty=1.2), gives=("inputs_embeds",)).answer(asked(*PROMPTS))
    make(end_ids=()).answer(asked("Who?"))
    assert capfd.readouterr() == ("", "")


def test_right_padding_is_not_taken(make: Made) -> None:
    """Our own mistake, and a quiet one: generate would go on from the padding."""
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    chat = make(prepare=lambda _: {"input_ids": torch.ones_like(mask), "attention_mask": mask})
    with pytest.raises(AssertionError, match="padded on the left"):
        chat.answer(asked("a", "b"))


def test_messages_hold_what_is_asked_in_order() -> None:
    one, two = np.zeros(3, np.float32), np.ones(3, np.float32)
    (system, user) = messages(Request((one, two), "Who?", "You listen."))
    assert system == {"role": "system", "content": "You listen."}
    assert [part["type"] for part in user["content"]] == ["audio", "audio", "text"]
    assert user["content"][0]["audio"] is one and user["content"][1]["audio"] is two
    assert messages(Request((), "Who?")) == [{"role": "user", "content": [{"type": "text", "text": "Who?"}]}]


def test_the_tiny_tokenizer_gives_back_any_text(tokenizer: Any, tmp_path: Path) -> None:
    """What other tests rest on."""
    for said in ("Größe, 大きさ 🎧\n\tfine", " blank at both ends "):
        assert tokenizer.decode(tokenizer.encode(said)) == said
    assert len({tokenizer.convert_tokens_to_ids(mark) for mark in (PAD, "<|im_start|>", END)}) == 3
