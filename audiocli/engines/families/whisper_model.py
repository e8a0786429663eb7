"""A Whisper checkpoint in memory: clips in, Replies out.

Every clip is padded to the model's full 30 s: shorter input is outside what it was trained on, and word error rates say
so. An answer that repeats itself or was guessed is asked for again at rising temperatures (`Fallback`).
Third parties: torch, transformers.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from math import ceil, exp
from typing import Any

import torch
import transformers

from audiocli.engines import Fallback
from audiocli.engines.checkpoints import Checkpoint
from audiocli.engines.families import whisper_alignment, whisper_decoding
from audiocli.engines.families.loading import loading, whole
from audiocli.engines.families.whisper_decoding import TIMESTAMP_S, Hypothesis
from audiocli.records import RATE, Reply, Request, Segment, Word


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One hypothesis, read."""

    hypothesis: Hypothesis
    text: str
    temperature: float
    compression_ratio: float


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What was said between two timestamps, in seconds of the clip."""

    start_s: float
    end_s: float
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


class Whisper:
    """See `audiocli.engines.families.Model`."""

    def __init__(self, checkpoint: Checkpoint, device: str, dtype: str, fallback: Fallback) -> None:
        with loading(checkpoint):
            model, self._tokenizer, self._features = _load(str(checkpoint.folder), getattr(torch, dtype))
            self._model = model.to(device).eval()
        self._vocabulary = whisper_decoding.vocabulary(model.generation_config, device)
        self._decoder = whisper_decoding.Decoder(self._model, self._vocabulary)
        self._heads: Sequence[Sequence[int]] = getattr(model.generation_config, "alignment_heads", None) or ()
        self._context = int(model.config.max_target_positions)
        self._fallback = fallback

    def kind(self, request: Request) -> Hashable:
        """All but the audio, and whether words are timed."""
        return repr(replace(request, clips=(), word_timestamps=False))

    def size(self, request: Request) -> int:
        """The decoder's context: prompt and answer share it, and the audio is not in it."""
        return self._context

    @torch.inference_mode()
    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        clips = [request.clips[0] for request in requests]
        encoded = self._encode(clips)
        languages = self._languages(requests[0], encoded)
        prompts = [self._prompt(requests[0], language) for language in languages]
        seeds = [int.from_bytes(hashlib.sha256(clip.tobytes()).digest()[:8], "big") >> 1 for clip in clips]
        lengths_s = [len(clip) / RATE for clip in clips]
        attempts = self._attempts(encoded, prompts, seeds, lengths_s, requests[0])
        replies = []
        for row, attempt in enumerate(attempts):
            stretches = [] if self._is_silence(attempt) else self._stretches(attempt.hypothesis, lengths_s[row])
            words: Sequence[Sequence[Word]] = [()] * len(stretches)
            if requests[row].word_timestamps:
                words = self._words(stretches, encoded[row], prompts[row], lengths_s[row], languages[row])
            replies.append(self._reply(attempt, tuple(map(_segment, stretches, words)), languages[row]))
        return replies

    def _encode(self, clips: Sequence[Any]) -> torch.Tensor:
        """Encoder states (b, positions, d)."""
        device = self._model.device
        features = self._features(
            clips, sampling_rate=RATE, return_tensors="pt", padding="max_length", device=str(device)
        ).input_features.to(device, self._model.dtype)
        states: torch.Tensor = self._model.model.encoder(features).last_hidden_state
        return states

    def _languages(self, request: Request, encoded: torch.Tensor) -> list[str]:
        if not self._vocabulary.languages:
            return ["en"] * len(encoded)
        if request.language:
            return [request.language] * len(encoded)
        return self._decoder.language(encoded)

    def _prompt(self, request: Request, language: str) -> list[int]:
        """What stands before the answer: context to lean on, the start token, language and task where there are any."""
        vocabulary, prompt = self._vocabulary, []
        if request.initial_prompt and request.initial_prompt.strip():
            tokens = self._tokenizer.encode(" " + request.initial_prompt.strip(), add_special_tokens=False)
            words = [token for token in tokens if token < vocabulary.eot]  # the user's text gives no commands
            prompt = [vocabulary.previous, *words[-(self._context // 2 - 1) :]]
        prompt.append(vocabulary.sot)
        if vocabulary.languages:
            prompt += [vocabulary.languages[language], vocabulary.tasks[request.task]]
        return prompt

    def _attempts(
        self,
        encoded: torch.Tensor,
        prompts: list[list[int]],
        seeds: list[int],
        lengths_s: list[float],
        request: Request,
    ) -> list[_Attempt]:
        """The first believable hypothesis of each row, else the most probable one. request: one of their kind."""
        best: dict[int, _Attempt] = {}
        waiting = list(range(len(encoded)))
        budget = min(self._context // 2, self._context - len(prompts[0]), request.max_new_tokens or self._context)
        for temperature in self._temperatures(request):
            hypotheses = self._decoder.decode(
                encoded[waiting],
                torch.tensor([prompts[row] for row in waiting], device=encoded.device),
                lengths_s=[lengths_s[row] for row in waiting],
                budget=budget,
                temperature=temperature,
                seeds=[seeds[row] for row in waiting] if temperature else (),
            )
            again = []
            for row, hypothesis in zip(waiting, hypotheses, strict=True):
                attempt = self._read(hypothesis, temperature)
                doubt = self._doubt(attempt)
                if row not in best or not doubt or self._merit(attempt) > self._merit(best[row]):
                    best[row] = attempt
                if doubt and not self._is_silence(attempt):
                    again.append(row)
            waiting = again
            if not waiting:
                break
        return [best[row] for row in range(len(encoded))]

    def _temperatures(self, request: Request) -> tuple[float, ...]:
        """As the fallback says; from the request's own on where it was asked before and not believed."""
        first = request.temperature
        higher = tuple(one for one in self._fallback.temperatures if one > first)
        return (first, *higher) if first else self._fallback.temperatures

    def _read(self, hypothesis: Hypothesis, temperature: float) -> _Attempt:
        text = self._text([token for token in hypothesis.tokens if token < self._vocabulary.eot])
        raw = text.strip().encode()
        return _Attempt(hypothesis, text, temperature, len(raw) / len(zlib.compress(raw)) if raw else 0.0)

    def _doubt(self, attempt: _Attempt) -> str | None:
        """Why an attempt should not be believed."""
        limits = self._fallback
        if limits.compression_ratio is not None and attempt.compression_ratio > limits.compression_ratio:
            return f"repeats itself (compression ratio {attempt.compression_ratio:.1f})"
        if limits.logprob is not None and attempt.hypothesis.avg_logprob < limits.logprob:
            return f"guessed (mean log probability {attempt.hypothesis.avg_logprob:.2f})"
        return None

    def _is_silence(self, attempt: _Attempt) -> bool:
        """No word at all, or guesswork where the model itself holds it more probable that nobody speaks."""
        if not any(sign.isalnum() for sign in attempt.text):  # what it hears in noise is often a lone full stop
            return True
        limits, hypothesis = self._fallback, attempt.hypothesis
        if limits.no_speech is None or hypothesis.no_speech_prob is None:
            return False
        sure = limits.logprob is not None and hypothesis.avg_logprob > limits.logprob
        return hypothesis.no_speech_prob > limits.no_speech and not sure

    def _merit(self, attempt: _Attempt) -> tuple[bool, float]:
        """Among doubtful attempts: one that does not loop, then the most probable."""
        most = self._fallback.compression_ratio
        return most is None or attempt.compression_ratio <= most, attempt.hypothesis.avg_logprob

    def _reply(self, attempt: _Attempt, segments: tuple[Segment, ...], language: str) -> Reply:
        silent = self._is_silence(attempt)
        hypothesis = attempt.hypothesis
        return Reply(
            text="" if silent else attempt.text.strip(),
            segments=segments,
            tokens=len(hypothesis.tokens),
            stop="end" if silent else hypothesis.stop,
            language=language,
            temperature=attempt.temperature,
            avg_logprob=round(hypothesis.avg_logprob, 4),
            no_speech_prob=None if hypothesis.no_speech_prob is None else round(hypothesis.no_speech_prob, 4),
            compression_ratio=round(attempt.compression_ratio, 3),
            unreliable=None if silent else self._doubt(attempt),
        )

    def _stretches(self, hypothesis: Hypothesis, length_s: float) -> list[_Stretch]:
        """Text between timestamps, none of it blank; what a missing one leaves open reaches to the end of the clip."""
        first, found = self._vocabulary.first_timestamp, []
        start_s, tokens, logprobs = 0.0, list[int](), list[float]()
        end = first + ceil(length_s / TIMESTAMP_S)
        for token, logprob in [*zip(hypothesis.tokens, hypothesis.logprobs, strict=True), (end, 0.0)]:
            if token < first:
                tokens.append(token)
                logprobs.append(logprob)
                continue
            stamp_s = min((token - first) * TIMESTAMP_S, length_s)
            text = self._text(tokens).strip()
            if text:
                found.append(_Stretch(start_s, max(stamp_s, start_s), text, tuple(tokens), tuple(logprobs)))
            start_s, tokens, logprobs = stamp_s, [], []
        return found

    def _words(
        self, stretches: Sequence[_Stretch], encoded: torch.Tensor, prompt: list[int], length_s: float, language: str
    ) -> list[tuple[Word, ...]]:
        """The words of each stretch. They are aligned without context, which takes attention from the audio."""
        bare = prompt[prompt.index(self._vocabulary.sot) :]
        return whisper_alignment.words(
            self._model,
            encoded,
            [*bare, self._vocabulary.no_timestamps],
            [whisper_alignment.Said(stretch.tokens, stretch.logprobs) for stretch in stretches],
            heads=self._heads,
            length_s=length_s,
            language=language,
            to_text=self._text,
        )

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)
        return text


def _segment(stretch: _Stretch, words: Sequence[Word]) -> Segment:
    """With words, its times are those of the first and the last of them."""
    start_s = words[0].start_s if words else round(stretch.start_s, 3)
    end_s = words[-1].end_s if words else round(stretch.end_s, 3)
    confidence = round(exp(sum(stretch.logprobs) / len(stretch.logprobs)), 3)
    return Segment(start_s, end_s, stretch.text, tuple(words), confidence=confidence)


def _load(folder: str, dtype: torch.dtype) -> tuple[Any, Any, Any]:
    """Model, tokenizer and feature extractor, held against each other: transformers makes up what it does not find."""
    loaded: Any = transformers.WhisperForConditionalGeneration.from_pretrained(
        folder,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    model, found = loaded
    whole(found, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.convert_tokens_to_ids("<|notimestamps|>") != model.generation_config.no_timestamps_token_id:
        raise ValueError("its tokenizer is missing, or of another model")
    features = transformers.WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
    if features.feature_size != model.config.num_mel_bins:
        raise ValueError(f"{features.feature_size} mel bins are extracted, and {model.config.num_mel_bins} are heard")
    return model, tokenizer, features
