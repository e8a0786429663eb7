"""A Whisper checkpoint in memory: clips in, Replies out.

Every clip is padded to the model's full 30 s: shorter input is outside what it was trained on, and word error rates say
so. An answer that repeats itself or was guessed is asked for again at rising temperatures (`Fallback`).
Third parties: torch, transformers.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Any

import torch
import transformers
from transformers.utils import logging as transformers_logging

from audiocli.engines import Fallback
from audiocli.engines.checkpoints import Checkpoint
from audiocli.engines.families import whisper_alignment, whisper_decoding
from audiocli.engines.families.whisper_decoding import TIMESTAMP_S, Hypothesis
from audiocli.errors import ModelError
from audiocli.records import RATE, Reply, Request, Segment, Word


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One hypothesis, read."""

    hypothesis: Hypothesis
    text: str
    temperature: float
    compression_ratio: float


class Whisper:
    """See `audiocli.engines.families.Model`."""

    def __init__(self, checkpoint: Checkpoint, device: str, dtype: str, fallback: Fallback) -> None:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        folder = str(checkpoint.folder)
        try:
            model: Any = transformers.WhisperForConditionalGeneration.from_pretrained(
                folder, dtype=getattr(torch, dtype), use_safetensors=True, local_files_only=True
            )
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._features: Any = transformers.WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as exc:
            raise ModelError(f"model {checkpoint.name!r} cannot be loaded: {str(exc).splitlines()[0]}") from exc
        self._model = model.to(device).eval()
        self._vocabulary = whisper_decoding.vocabulary(model.generation_config, device)
        self._decoder = whisper_decoding.Decoder(self._model, self._vocabulary)
        self._heads: Sequence[Sequence[int]] = getattr(model.generation_config, "alignment_heads", None) or ()
        self._context = int(model.config.max_target_positions)
        self._fallback = fallback

    @torch.inference_mode()
    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        clips = [request.clips[0] for request in requests]
        encoded = self._encode(clips)
        languages = self._languages(requests[0], encoded)
        prompts = [self._prompt(requests[0], language) for language in languages]
        seeds = [int.from_bytes(hashlib.sha256(clip.tobytes()).digest()[:8], "big") >> 1 for clip in clips]
        replies = []
        lengths_s = [len(clip) / RATE for clip in clips]
        for row, attempt in enumerate(self._attempts(encoded, prompts, seeds, lengths_s)):
            request, length_s = requests[row], lengths_s[row]
            segments = self._segments(attempt.hypothesis, length_s)
            if request.word_timestamps:
                segments = self._with_words(segments, attempt, encoded[row], prompts[row], length_s, languages[row])
            replies.append(self._reply(attempt, segments, languages[row]))
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
            words = self._tokenizer.encode(" " + request.initial_prompt.strip(), add_special_tokens=False)
            prompt = [vocabulary.previous, *words[-(self._context // 2 - 1) :]]
        prompt.append(vocabulary.sot)
        if vocabulary.languages:
            prompt += [vocabulary.languages[language], vocabulary.tasks[request.task]]
        return prompt

    def _attempts(
        self, encoded: torch.Tensor, prompts: list[list[int]], seeds: list[int], lengths_s: list[float]
    ) -> list[_Attempt]:
        """The first believable hypothesis of each row, else the most probable one."""
        best: dict[int, _Attempt] = {}
        waiting = list(range(len(encoded)))
        budget = min(self._context // 2, self._context - len(prompts[0]))
        for temperature in self._fallback.temperatures:
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
                if row not in best or not doubt or _merit(attempt) > _merit(best[row]):
                    best[row] = attempt
                if doubt and not self._is_silence(attempt):
                    again.append(row)
            waiting = again
            if not waiting:
                break
        return [best[row] for row in range(len(encoded))]

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
        """Guesswork where the model itself holds it more probable that nobody speaks."""
        limits, hypothesis = self._fallback, attempt.hypothesis
        if limits.no_speech is None or hypothesis.no_speech_prob is None:
            return False
        sure = limits.logprob is not None and hypothesis.avg_logprob > limits.logprob
        return hypothesis.no_speech_prob > limits.no_speech and not sure

    def _reply(self, attempt: _Attempt, segments: list[Segment], language: str) -> Reply:
        silent = self._is_silence(attempt)
        hypothesis = attempt.hypothesis
        return Reply(
            text="" if silent else attempt.text.strip(),
            segments=() if silent else tuple(segments),
            tokens=len(hypothesis.tokens),
            stop="end" if silent else hypothesis.stop,
            language=language,
            temperature=attempt.temperature,
            avg_logprob=round(hypothesis.avg_logprob, 4),
            no_speech_prob=None if hypothesis.no_speech_prob is None else round(hypothesis.no_speech_prob, 4),
            compression_ratio=round(attempt.compression_ratio, 3),
            unreliable=None if silent else self._doubt(attempt),
        )

    def _segments(self, hypothesis: Hypothesis, length_s: float) -> list[Segment]:
        """Text between timestamps; what a missing one leaves open reaches to the end of the clip."""
        first, segments = self._vocabulary.first_timestamp, []
        start_s, said, logprobs = 0.0, [], []
        for token, logprob in zip(hypothesis.tokens, hypothesis.logprobs, strict=True):
            if token < first:
                said.append(token)
                logprobs.append(logprob)
                continue
            stamp_s = min((token - first) * TIMESTAMP_S, length_s)
            segments += self._segment(start_s, stamp_s, said, logprobs)
            start_s, said, logprobs = stamp_s, [], []
        return segments + self._segment(start_s, length_s, said, logprobs)

    def _segment(self, start_s: float, end_s: float, said: list[int], logprobs: list[float]) -> list[Segment]:
        text = self._text(said).strip()
        if not text:
            return []
        confidence = round(exp(sum(logprobs) / len(logprobs)), 3)
        return [Segment(round(start_s, 3), round(max(end_s, start_s), 3), text, confidence=confidence)]

    def _with_words(
        self,
        segments: list[Segment],
        attempt: _Attempt,
        encoded: torch.Tensor,
        prompt: list[int],
        length_s: float,
        language: str,
    ) -> list[Segment]:
        """The same segments with their words; their times are then those of their first and last word."""
        pairs = zip(attempt.hypothesis.tokens, attempt.hypothesis.logprobs, strict=True)
        spoken = [(token, logprob) for token, logprob in pairs if token < self._vocabulary.eot]
        aligned = whisper_alignment.words(
            self._model,
            encoded,
            [*prompt, self._vocabulary.no_timestamps],
            [token for token, _ in spoken],
            [logprob for _, logprob in spoken],
            heads=self._heads,
            length_s=length_s,
            language=language,
            to_text=self._text,
        )
        return _spread(segments, aligned)

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)
        return text


def _merit(attempt: _Attempt) -> tuple[bool, float]:
    """Among doubtful attempts: one that does not loop, then the most probable."""
    return attempt.compression_ratio <= 2.4, attempt.hypothesis.avg_logprob


def _spread(segments: list[Segment], words: list[Word]) -> list[Segment]:
    """Give each segment the words that make up its text, counted by letters, as both came from the same tokens."""
    found, waiting = [], list(words)
    for segment in segments:
        due, taken = len("".join(segment.text.split())), []
        while waiting and due > 0:
            due -= len("".join(waiting[0].text.split()))
            taken.append(waiting.pop(0))
        if taken:
            segment = replace(segment, start_s=taken[0].start_s, end_s=taken[-1].end_s, words=tuple(taken))
        found.append(segment)
    return found
