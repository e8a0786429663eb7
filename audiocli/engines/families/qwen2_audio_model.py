"""A Qwen2-Audio checkpoint in memory: clips and prompts in, what its language model is to go on from out.

The clips of a batch are encoded together, as every one is filled up to 30 s, and put in the place of their marks in the
prompts; several questions on one clip encode it once. What is answered is chosen in `chat`. Third parties: torch,
transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import transformers
from transformers.masking_utils import create_bidirectional_mask

from audiocli.engines import EngineOptions
from audiocli.engines.checkpoints import Checkpoint
from audiocli.engines.families import qwen2_audio
from audiocli.engines.families.chat import Chat, Manner, messages
from audiocli.engines.families.encodings import Encodings
from audiocli.engines.families.loading import loading, pretrained
from audiocli.engines.families.qwen2_audio import SHORTEST, audio_tokens
from audiocli.records import RATE, Request, Waveform

EXACT = ("model.audio_tower", "model.multi_modal_projector")
"""Not quantized: the ear is 8 % of the weights, and what it mishears nothing behind it can mend."""
END_MARKS = ("<|im_end|>", "<|endoftext|>")
TOGETHER = 8
"""Clips encoded at once, at most: their widest layer takes 1,500 × 5,120 numbers each, 123 MB in bf16."""


def load(checkpoint: Checkpoint, device: str, dtype: str, options: EngineOptions) -> Chat:
    """Raises ModelError where files are missing, broken or do not fit each other."""
    with loading(checkpoint):
        kind = transformers.Qwen2AudioForConditionalGeneration
        model = pretrained(kind, checkpoint.folder, device, dtype, options, exact=EXACT)
        processor = transformers.AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            checkpoint.folder, local_files_only=True, trust_remote_code=False
        )
        ear = Ear(model, processor.feature_extractor, options.downsample or 2)
        prompts = Prompts(model, processor, ear)
    advised = checkpoint.read_json("generation_config.json")
    limits = qwen2_audio.limits(checkpoint.read_json("config.json"), advised, options)
    penalty = float(advised.get("repetition_penalty") or 1.0)
    return Chat(
        model,
        processor.tokenizer,
        prompts.prepare,
        Manner(prompts.end_ids, prompts.pad_id, penalty, static_cache=options.compile),
        options.sampling,
        audio_tokens=partial(audio_tokens, pool=ear.pool),
        context=limits.context_tokens,
    )


class Ear:
    """Clips in, what the language model hears out."""

    def __init__(self, model: Any, features: Any, pool: int) -> None:
        """model: Qwen2AudioForConditionalGeneration; pool: encoder states put into one token, 2 or 4."""
        self.pool = pool
        self._tower, self._projector = model.model.audio_tower, model.model.multi_modal_projector
        self._features = features
        if features.feature_size != self._tower.num_mel_bins:
            raise ValueError(
                f"{features.feature_size} mel bins are extracted, and {self._tower.num_mel_bins} are heard"
            )
        self._tower.avg_pooler = torch.nn.AvgPool1d(pool, stride=pool)
        self._encodings = Encodings()

    def hear(self, clips: Sequence[Waveform]) -> list[torch.Tensor]:
        """Each clip's tokens (n, d) in the language model's space: one for each 40 ms, or 80 ms pooled by 4."""
        return self._encodings.get(clips, self._encode)

    def _encode(self, clips: Sequence[Waveform]) -> list[torch.Tensor]:
        """A few at a time; each of them fills 30 s, so that its company changes nothing of it."""
        groups = [clips[at : at + TOGETHER] for at in range(0, len(clips), TOGETHER)]
        return [tokens for group in groups for tokens in self._encode_together(group)]

    def _encode_together(self, clips: Sequence[Waveform]) -> list[torch.Tensor]:
        assert max(map(len, clips)) <= self._features.n_samples, "the feature extractor would cut off the rest"
        found = self._features(
            [np.pad(clip, (0, max(SHORTEST - len(clip), 0))) for clip in clips],
            sampling_rate=RATE,
            padding="max_length",
            return_attention_mask=True,
            return_tensors="pt",
            device=str(self._tower.conv1.weight.device),
        )
        states = self._tower(found.input_features, attention_mask=self._mask(found.attention_mask)).last_hidden_state
        counts = [audio_tokens(len(clip), self.pool) for clip in clips]
        assert states.shape[1] >= max(counts)
        return [self._projector(state[:count]).clone() for state, count in zip(states, counts, strict=True)]

    def _mask(self, frames: torch.Tensor) -> Any:
        """What the encoder may attend to: no states of padding. frames: (b, 3000) of the mel spectrogram, 1 or 0."""
        device, dtype = self._tower.conv1.weight.device, self._tower.conv1.weight.dtype
        positions = self._tower.config.max_source_positions
        states = (frames.sum(1, keepdim=True).to(device) - 1) // 2 + 1
        heard = (torch.arange(positions, device=device) < states).long()
        shape = torch.zeros(len(frames), positions, 1, device=device, dtype=dtype)
        return create_bidirectional_mask(config=self._tower.config, inputs_embeds=shape, attention_mask=heard)


class Prompts:
    """Requests in, embeddings for the language model out."""

    def __init__(self, model: Any, processor: Any, ear: Ear) -> None:
        self._embed = model.get_input_embeddings()
        self._tokenizer, self._template = processor.tokenizer, processor.chat_template
        self._ear = ear
        self._audio_id = int(model.config.audio_token_id)
        if self._tokenizer.convert_tokens_to_ids("<|AUDIO|>") != self._audio_id:
            raise ValueError("its tokenizer is missing, or of another model")
        ends = [self._tokenizer.eos_token_id, *map(self._tokenizer.convert_tokens_to_ids, END_MARKS)]
        self.end_ids = tuple(sorted({end for end in ends if end is not None}))
        self.pad_id: int = self._tokenizer.pad_token_id

    def prepare(self, requests: Sequence[Request]) -> Mapping[str, torch.Tensor]:
        """inputs_embeds (b, n, d) and attention_mask (b, n), padded on the left: the answer follows the last position.

        input_ids (b, n) go with them, for penalties; in place of a clip they hold its mark as often as it has tokens.
        """
        heard = iter(self._ear.hear([clip for request in requests for clip in request.clips]))
        rows_of = [self._row(request, [next(heard) for _ in request.clips]) for request in requests]
        ids, rows = zip(*rows_of, strict=True)
        return {
            "input_ids": _left(ids, self.pad_id),
            "inputs_embeds": _left(rows, 0.0),
            "attention_mask": _left([torch.ones_like(row) for row in ids], 0),
        }

    def _row(self, request: Request, clips: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids (n,), embeddings (n, d) of one prompt. clips: its own, encoded; they go where its marks are."""
        marked = self._tokens(request)
        places = (marked == self._audio_id).nonzero()[:, 0].tolist()
        assert len(places) == len(request.clips), "a mark for each clip, and none that the user wrote"
        pieces = list(torch.tensor_split(marked, places))
        ids, rows = [pieces[0]], [self._embed(pieces[0])]
        for clip, piece in zip(clips, pieces[1:], strict=True):
            ids += [marked.new_full((len(clip),), self._audio_id), piece[1:]]
            rows += [clip, self._embed(piece[1:])]
        return torch.cat(ids), torch.cat(rows)

    def _tokens(self, request: Request) -> torch.Tensor:
        """The prompt (n,) in the template's layout, one mark for each clip; marks that the user writes are text."""
        found = self._tokenizer.apply_chat_template(
            messages(request),
            chat_template=self._template,
            add_generation_prompt=True,
            sanitize_control_tokens=True,
            return_dict=True,
            return_tensors="pt",
        )
        ids: torch.Tensor = found["input_ids"][0].to(self._embed.weight.device)
        return ids


def _left(rows: Sequence[torch.Tensor], value: float) -> torch.Tensor:
    """Rows (n, …) of several lengths as one batch, `value` before the shorter ones."""
    padded: torch.Tensor = torch.nn.utils.rnn.pad_sequence(
        list(rows), batch_first=True, padding_value=value, padding_side="left"
    )
    return padded
