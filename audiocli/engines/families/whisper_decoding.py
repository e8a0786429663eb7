"""Whisper's decoding loop: encoder states in, tokens out, with what is needed to judge them.

transformers' `generate` would do, but holds the logits of every step for every row to tell how sure it was, and has no
way to sample one row as it would be sampled alone. The rules for timestamps are those of section 2.3 of the paper
(arXiv:2212.04356) and of its reference code. Knows tokens and logits; nothing of text, audio or requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from audiocli.records import StopReason

TIMESTAMP_S = 0.02
"""What one timestamp token counts."""
REST_S = 1.0
"""An answer that opens a segment earlier than this before the clip's end must go on.

Whisper was trained to stop there when a sentence runs over the end of its 30 s, and the reference code hears the rest
with the next window. Windows here end in pauses, so the sentence is whole, and is asked for at once instead.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """The token ids that mean something to the loop."""

    eot: int
    sot: int
    previous: int
    """<|startofprev|>: what follows is context, not to be said."""
    no_timestamps: int
    suppressed: torch.Tensor
    """int64 (n,): never said: symbols that stand for no speech, and special tokens."""
    latest_first: int | None
    """The first timestamp is at most this many steps of 20 ms."""
    languages: Mapping[str, int]
    tasks: Mapping[str, int]

    @property
    def first_timestamp(self) -> int:
        return self.no_timestamps + 1

    @property
    def no_speech(self) -> int:
        return self.no_timestamps - 1


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What was decoded for one row."""

    tokens: tuple[int, ...]
    """Without prompt and end token."""
    logprobs: tuple[float, ...]
    """One per token."""
    end_logprob: float
    """Of the end token; 0.0 where the budget ran out before it."""
    no_speech_prob: float | None
    stop: StopReason

    @property
    def avg_logprob(self) -> float:
        return (sum(self.logprobs) + self.end_logprob) / (len(self.logprobs) + 1)


def vocabulary(generation: Any, device: torch.device | str) -> Vocabulary:
    """From a checkpoint's generation configuration (transformers.GenerationConfig)."""

    eos, suppressed = generation.eos_token_id, getattr(generation, "suppress_tokens", None) or ()
    return Vocabulary(
        eot=eos[0] if isinstance(eos, list) else eos,
        sot=generation.decoder_start_token_id,
        previous=getattr(generation, "prev_sot_token_id", None) or generation.no_timestamps_token_id - 2,
        no_timestamps=generation.no_timestamps_token_id,
        suppressed=torch.tensor(suppressed, dtype=torch.long, device=device),
        latest_first=getattr(generation, "max_initial_timestamp_index", None),
        languages={token.strip("<|>"): id_ for token, id_ in (getattr(generation, "lang_to_id", None) or {}).items()},
        tasks=dict(getattr(generation, "task_to_id", None) or {}),
    )


class Decoder:
    """A Whisper decoder with its output layer, asked token by token."""

    def __init__(self, model: Any, vocabulary: Vocabulary) -> None:
        self._decoder = model.model.decoder
        self._output = model.proj_out
        self._vocabulary = vocabulary

    def language(self, encoded: torch.Tensor) -> list[str]:
        """The most probable language of each row. encoded: (b, positions, d). For models of many languages only."""
        vocabulary = self._vocabulary
        start = torch.full((len(encoded), 1), vocabulary.sot, device=encoded.device)
        logits = self._step(start, encoded, _cache())[:, -1]
        codes = list(vocabulary.languages)
        among = logits[:, [vocabulary.languages[code] for code in codes]]
        return [codes[index] for index in among.argmax(-1).tolist()]

    @torch.inference_mode()
    def decode(
        self,
        encoded: torch.Tensor,
        prompts: torch.Tensor,
        *,
        lengths_s: Sequence[float],
        budget: int,
        temperature: float = 0.0,
        seeds: Sequence[int] = (),
    ) -> list[Hypothesis]:
        """Greedy at temperature 0, else sampled, each row from its own seed, so that its company changes nothing.

        encoded: (b, positions, d) encoder states; prompts: int64 (b, n), the start token within; lengths_s: of the
        clips, without padding; budget: tokens at most. Rows that have ended leave the batch.
        """
        rows = _Rows(lengths_s, self._vocabulary, encoded.device)
        generators = [torch.Generator(encoded.device).manual_seed(seed) for seed in seeds]
        cache, inputs = _cache(), prompts
        for step in range(budget):
            logits = self._step(inputs, encoded, cache)
            if step == 0:
                rows.note_no_speech(logits, prompts)
            allowed = rows.allowed(logits[:, -1].float())
            logprobs = allowed.log_softmax(-1)
            if temperature:
                picks = [_sample(allowed[at] / temperature, generators[row]) for at, row in enumerate(rows.active)]
                tokens = torch.stack(picks)
            else:
                tokens = allowed.argmax(-1)
            chosen = logprobs.gather(-1, tokens[:, None])[:, 0]
            going_on = rows.take(tokens, chosen)
            if not len(going_on):
                break
            if len(going_on) < len(tokens):
                cache.batch_select_indices(going_on)
                encoded, tokens = encoded[going_on], tokens[going_on]
            inputs = tokens[:, None]
        return rows.hypotheses()

    def _step(self, tokens: torch.Tensor, encoded: torch.Tensor, cache: EncoderDecoderCache) -> torch.Tensor:
        """Logits (b, n, vocabulary) of n new tokens a row."""
        output = self._decoder(
            input_ids=tokens, encoder_hidden_states=encoded, past_key_values=cache, use_cache=True
        ).last_hidden_state
        logits: torch.Tensor = self._output(output)
        return logits


class _Rows:
    """The rows of a batch while they are decoded: what each has said, and what it may say next.

    Tensors hold the rows still going (`active`), in their order; lists hold all of them.
    """

    def __init__(self, lengths_s: Sequence[float], vocabulary: Vocabulary, device: torch.device) -> None:
        count = len(lengths_s)
        self._vocabulary = vocabulary
        self.active = list(range(count))
        self._said: list[list[int]] = [[] for _ in range(count)]
        self._logprobs: list[list[float]] = [[] for _ in range(count)]
        self._end: list[float] = [0.0] * count
        self._ended = [False] * count
        self._no_speech: list[float | None] = [None] * count
        self._step = 0
        self._was_timestamp = torch.zeros(count, dtype=torch.bool, device=device)
        self._before_was = torch.ones(count, dtype=torch.bool, device=device)
        self._earliest = torch.zeros(count, dtype=torch.long, device=device)
        """Index of the first timestamp that does not run backwards."""
        ends_s = [max(length_s - REST_S, 0.0) for length_s in lengths_s]
        self._near_end = torch.tensor([round(end_s / TIMESTAMP_S) for end_s in ends_s], device=device)
        """Index of the first timestamp behind which nothing worth hearing is left."""

    def note_no_speech(self, logits: torch.Tensor, prompts: torch.Tensor) -> None:
        """logits: (b, n, vocabulary) over the prompts; the reference reads the probability at the start token."""
        at = int((prompts[0] == self._vocabulary.sot).nonzero()[-1])
        self._no_speech = logits[:, at].float().softmax(-1)[:, self._vocabulary.no_speech].tolist()

    def allowed(self, logits: torch.Tensor) -> torch.Tensor:
        """Rule out what must not come next. logits: float32 (b, vocabulary), changed in place and returned."""
        vocabulary, first = self._vocabulary, self._vocabulary.first_timestamp
        logits[:, vocabulary.suppressed] = -torch.inf
        logits[:, vocabulary.no_timestamps] = -torch.inf
        if self._step == 0:
            logits[:, :first] = -torch.inf
            if vocabulary.latest_first is not None:
                logits[:, first + vocabulary.latest_first + 1 :] = -torch.inf
            return logits
        stamps = logits[:, first:]
        late_enough = torch.arange(stamps.shape[1], device=logits.device)[None] >= self._earliest[:, None]
        opened = self._was_timestamp & self._before_was
        closed = self._was_timestamp & ~self._before_was
        stamps.masked_fill_(~late_enough | opened[:, None], -torch.inf)
        logits[:, : vocabulary.eot].masked_fill_(closed[:, None], -torch.inf)
        # a segment was opened and much is left to hear: ending now would drop it
        unheard = opened & (self._earliest <= self._near_end)
        logits[:, vocabulary.eot].masked_fill_(unheard, -torch.inf)
        # a timestamp is due when together they are more probable than any one word
        due = stamps.logsumexp(-1) > logits[:, :first].max(-1).values
        logits[:, :first].masked_fill_(due[:, None], -torch.inf)
        return logits

    def take(self, tokens: torch.Tensor, logprobs: torch.Tensor) -> torch.Tensor:
        """Note the next token of each active row. Returns the positions (int64) of those that go on."""
        going_on = []
        for at, (row, token, logprob) in enumerate(zip(self.active, tokens.tolist(), logprobs.tolist(), strict=True)):
            if token == self._vocabulary.eot:
                self._end[row], self._ended[row] = logprob, True
            else:
                self._said[row].append(token)
                self._logprobs[row].append(logprob)
                going_on.append(at)
        self._step += 1
        self.active = [self.active[at] for at in going_on]
        keep = torch.tensor(going_on, dtype=torch.long, device=tokens.device)
        self._follow(tokens, keep)
        return keep

    def _follow(self, tokens: torch.Tensor, keep: torch.Tensor) -> None:
        """A timestamp that closes a segment may be repeated to open the next; one that opens may not."""
        index = tokens - self._vocabulary.first_timestamp
        is_timestamp = index >= 0
        closes = is_timestamp & ~self._was_timestamp & (self._step > 1)
        earliest = torch.where(is_timestamp, index + (~closes).long(), self._earliest)
        self._before_was, self._was_timestamp = self._was_timestamp[keep], is_timestamp[keep]
        if self._step == 1:
            self._before_was = torch.ones_like(self._was_timestamp)
        self._earliest, self._near_end = earliest[keep], self._near_end[keep]

    def hypotheses(self) -> list[Hypothesis]:
        return [
            Hypothesis(tuple(said), tuple(logprobs), end, no_speech, "end" if ended else "length")
            for said, logprobs, end, no_speech, ended in zip(
                self._said, self._logprobs, self._end, self._no_speech, self._ended, strict=True
            )
        ]


def _cache() -> EncoderDecoderCache:
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


def _sample(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[0]
