"""Answers by conversation: what every audio-LLM does alike once its prompt is laid out.

In go Requests, and from the family a function that turns them into what `generate` takes; out come Replies. Here tokens
are chosen, one by one and each row by itself: its company in the batch changes nothing. Knows nothing of audio but how
many tokens it takes; the family knows the layout of its prompts. Third parties: torch, transformers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from inspect import signature
from math import ceil
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor, TopPLogitsWarper

from audiocli.engines import Sampling
from audiocli.records import RATE, Reply, Request

LAYOUT_TOKENS = 48
"""What a prompt's layout takes at most besides its texts: turns, their roles and ends. ChatML takes 13, Llama 3 36."""
CLIP_TOKENS = 10
"""What stands around a clip at most: Qwen2-Audio writes "Audio 10: ", two marks and a line break."""
SPARE_TOKENS = 48
"""Added to every transcript's budget: a short clip may hold a name that is spelled out."""
KEPT_COUNTS = 256
"""Texts whose tokens are counted once: most questions of a run are the same few, each asked of many clips."""
FEWEST_TOKENS = 64
"""An answer for which the context has less room than this is not worth asking for."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a family answers."""

    end_ids: tuple[int, ...]
    pad_id: int
    repetition_penalty: float = 1.0
    """What the makers advise; 1.0 is none."""
    answer_tokens_per_s: float = 8.0
    """Budget of a transcript for each second of audio: fast speech has 4 words a second, and 1.3 to 2 tokens a word."""
    answer_tokens: int = 512
    """Budget of any other answer."""
    never_ids: tuple[int, ...] = ()
    """Tokens that no answer holds: marks of clips, for which models that find one in a row look for its audio."""
    static_cache: bool = False
    """Whether to reserve the cache at once, which lets `generate` compile the model on accelerators."""


def messages(request: Request) -> list[dict[str, Any]]:
    """A request as the conversation that chat templates take: who the model is to be, then the clips and the text.

    The clips go with it as arrays; a template without use for them takes note that they are there.
    """
    clips = [{"type": "audio", "audio": clip} for clip in request.clips]
    user = {"role": "user", "content": [*clips, {"type": "text", "text": request.prompt}]}
    return [{"role": "system", "content": request.system}, user] if request.system else [user]


class Chat:
    """See `audiocli.engines.families.Model`."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prepare: Callable[[Sequence[Request]], Mapping[str, Any]],
        manner: Manner,
        sampling: Sampling,
        *,
        audio_tokens: Callable[[int], int],
        context: int | None = None,
    ) -> None:
        """model: with transformers' `generate`. It is taken over: its own generation settings are dropped.

        prepare: gives what `generate` takes for a batch, padded on the left: attention_mask (b, n) with input_ids
        (b, n) and features, or with inputs_embeds (b, n, d), or both; a repetition penalty counts the prompt's tokens
        where there are input_ids. audio_tokens: what a clip of so many samples takes of the context, whose tokens
        are `context`; None: no end to it.
        """
        self._model, self._tokenizer, self._prepare = model, tokenizer, prepare
        self._manner, self._sampling = manner, sampling
        self._audio_tokens, self._context = audio_tokens, context
        # what is not set for a call would be taken from here: a checkpoint may bring sampling, penalties and lengths
        model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        self._text_tokens = lru_cache(KEPT_COUNTS)(self._counted)
        if "logits_to_keep" not in signature(model.forward).parameters:
            model.get_output_embeddings().register_forward_pre_hook(_last_position)

    @torch.inference_mode()
    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """One Reply per request, in order."""
        budgets = [self._budget(request) for request in requests]
        inputs = dict(self._prepare(requests))
        mask = inputs["attention_mask"]
        assert len(mask) == len(requests)
        assert bool((mask[:, -1] == 1).all()), "padded on the left: generate reads the last position"
        given = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
        choice = self._choice(requests, mask, given)
        output = self._model.generate(
            **inputs,
            generation_config=self._settings(max(budgets)),
            logits_processor=LogitsProcessorList([choice]),
            stopping_criteria=StoppingCriteriaList([_Budgets(budgets, given)]),
        )
        rows, logprobs = output[:, given:].tolist(), torch.stack(choice.logprobs, dim=1).tolist()
        return list(map(self._reply, requests, budgets, rows, logprobs))

    def size(self, request: Request) -> int:
        """Tokens of context that a request takes at most: its texts, its audio, and its answer."""
        return self._asked_tokens(request) + self._budget(request)

    def kind(self, request: Request) -> Hashable:
        """Requests of equal kind may share a batch: with audio or without, as some models run differently on text."""
        return bool(request.clips)

    def _asked_tokens(self, request: Request) -> int:
        """Of prompt and audio. Marks in the user's texts are taken apart, as they will be taken for text."""
        texts = (request.system, request.prompt)
        text = sum(self._text_tokens(one) for one in texts if one)
        audio = sum(self._audio_tokens(len(clip)) + CLIP_TOKENS for clip in request.clips)
        return text + audio + LAYOUT_TOKENS

    def _counted(self, text: str) -> int:
        return len(self._tokenizer.encode(_unmarked(text), add_special_tokens=False))

    def _budget(self, request: Request) -> int:
        """Tokens the answer may take: as the user says, else as the request does, else by what is asked for.

        No more than the context has room for.
        """
        wanted = self._sampling.max_new_tokens or request.max_new_tokens or self._usual_budget(request)
        if self._context is None:
            return wanted
        room = self._context - self._asked_tokens(request)
        return min(wanted, max(room, FEWEST_TOKENS))

    def _usual_budget(self, request: Request) -> int:
        if request.task == "answer" or not request.clips:
            return self._manner.answer_tokens
        length_s = sum(len(clip) for clip in request.clips) / RATE
        return ceil(length_s * self._manner.answer_tokens_per_s) + SPARE_TOKENS

    def _settings(self, budget: int) -> GenerationConfig:
        """Greedy, as `_Choice` has the say: where it samples, what it hands on is already drawn."""
        manner = self._manner
        return GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=budget,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            eos_token_id=list(manner.end_ids) or None,
            pad_token_id=manner.pad_id,
            cache_implementation="static" if manner.static_cache else None,
        )

    def _choice(self, requests: Sequence[Request], mask: torch.Tensor, given: int) -> _Choice:
        penalty = self._sampling.repetition_penalty or self._manner.repetition_penalty
        padding = (mask != 0).int().argmax(dim=1) if given else None
        draws = [self._draw(request, mask.device) for request in requests]
        repeats = RepetitionPenaltyLogitsProcessor(float(penalty), padding) if penalty != 1 else None
        return _Choice(repeats, draws, self._manner.never_ids)

    def _draw(self, request: Request, device: torch.device) -> _Draw | None:
        temperature = self._temperature(request)
        if not temperature:
            return None
        seed = _seed(request, self._sampling.seed, temperature)
        return _Draw(temperature, self._sampling.top_p, torch.Generator(device).manual_seed(seed))

    def _temperature(self, request: Request) -> float:
        return request.temperature or self._sampling.temperature

    def _reply(self, request: Request, budget: int, row: list[int], logprobs: list[float]) -> Reply:
        """row: the tokens of one row, whatever stands behind its end; logprobs: of each."""
        ends = [at for at, token in enumerate(row[:budget]) if token in self._manner.end_ids]
        count = ends[0] if ends else min(len(row), budget)
        sure = logprobs[: count + 1] if ends else logprobs[:count]
        return Reply(
            text=str(self._tokenizer.decode(row[:count], skip_special_tokens=True)).strip(),
            tokens=count,
            stop="end" if ends else "length",
            language=request.language,
            temperature=self._temperature(request),
            avg_logprob=round(sum(sure) / len(sure), 4),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Draw:
    """How one row is sampled."""

    temperature: float
    top_p: float
    generator: torch.Generator

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores whose highest is a sample. scores: float32 (vocabulary,).

        The maximum of log probabilities with Gumbel noise added is a draw from them (Gumbel 1954, "the Gumbel-max
        trick"). So the row's own generator decides, where `multinomial` would draw for all rows from one.
        """
        scores = scores / self.temperature
        if self.top_p < 1:
            scores = TopPLogitsWarper(self.top_p)(None, scores[None])[0]
        tiny = torch.finfo(torch.float32).tiny
        uniform = torch.rand(scores.shape, generator=self.generator, device=scores.device).clamp_min(tiny)
        noise: torch.Tensor = -(-uniform.log()).log()
        return scores + noise


class _Choice(LogitsProcessor):
    """Settles each next token, and notes how probable it was to the model: before penalty, temperature and noise."""

    def __init__(self, penalty: LogitsProcessor | None, draws: Sequence[_Draw | None], never: Sequence[int]) -> None:
        self._penalty, self._draws, self._never = penalty, draws, list(never)
        self.logprobs: list[torch.Tensor] = []
        """(b,) for each step."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """input_ids: int64 (b, n) so far; scores: float32 (b, vocabulary). The highest of each row is what it says."""
        logprobs = scores.log_softmax(-1)
        if self._penalty is not None:
            scores = self._penalty(input_ids, scores)
        if self._never:
            scores = scores.clone()  # those that came may be shared with whoever computed them
            scores[:, self._never] = -torch.inf
        if any(self._draws):
            drawn = [draw(row) if draw else row for draw, row in zip(self._draws, scores, strict=True)]
            scores = torch.stack(drawn)
        self.logprobs.append(logprobs.gather(-1, scores.argmax(-1, keepdim=True))[:, 0])
        return scores


class _Budgets(StoppingCriteria):
    """Ends each row when its own budget is used up."""

    def __init__(self, budgets: Sequence[int], given: int) -> None:
        self._budgets, self._given = torch.tensor(budgets), given

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        self._budgets = self._budgets.to(input_ids.device)
        return self._budgets <= input_ids.shape[1] - self._given


def _last_position(_: object, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """For models whose output layer is not told that only the last position is read.

    The logits of a whole prompt of 7,600 tokens are 2.4 GB in bf16 (Qwen2-Audio: 156,032 to a position).
    """
    return (inputs[0][:, -1:],)


def _unmarked(text: str) -> str:
    """Without anything that a tokenizer could take for one of its marks."""
    return text.replace("<|", "< |")


def _seed(request: Request, seed: int, temperature: float) -> int:
    """From all that is asked, so that equal requests are answered alike and no other row has a part in it."""
    asked = (seed, temperature, request.system, request.prompt, request.task, request.language)
    digest = hashlib.sha256(repr(asked).encode())
    for clip in request.clips:
        digest.update(hashlib.sha256(clip.tobytes()).digest())
    return int.from_bytes(digest.digest()[:8], "big") >> 1
