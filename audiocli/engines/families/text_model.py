"""A causal language model in memory: questions about text in, Replies out.

Laid out by the chat template of its tokenizer; without one the words are put plainly. A prompt that does not fit is
refused, never shortened. What is answered is chosen in chat. Third parties: torch, transformers.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import transformers
from jinja2 import TemplateError

from audiocli.engines import EngineOptions
from audiocli.engines.checkpoints import Checkpoint
from audiocli.engines.families.chat import FEWEST_TOKENS, Chat
from audiocli.engines.families.generic import context_tokens
from audiocli.engines.families.generic_inputs import HERE, folded, left
from audiocli.engines.families.generic_model import manner
from audiocli.engines.families.loading import loading, pretrained
from audiocli.errors import EngineError
from audiocli.records import Reply, Request


class Text:
    """See `audiocli.engines.families.Model`."""

    def __init__(self, checkpoint: Checkpoint, device: str, dtype: str, options: EngineOptions) -> None:
        """Raises ModelError where files are missing, broken, or of another model."""
        self._context = context_tokens(checkpoint.read_json("config.json"))
        with loading(checkpoint):
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(checkpoint.folder, **HERE)
            self._model = pretrained(transformers.AutoModelForCausalLM, checkpoint.folder, device, dtype, options)
            words = self._model.get_input_embeddings().num_embeddings
            if len(self._tokenizer) > words:
                raise ValueError(f"its tokenizer knows {len(self._tokenizer)} tokens, the model {words}")
            advised = manner(checkpoint.read_json("generation_config.json"), self._tokenizer, options.compile)
        self._pad_id = advised.pad_id
        self._chat = Chat(
            self._model,
            self._tokenizer,
            self._prepare,
            advised,
            options.sampling,
            audio_tokens=lambda samples: 0,
            context=self._context,
        )

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        return self._chat.answer(requests)

    def size(self, request: Request) -> int:
        return self._chat.size(request)

    def kind(self, request: Request) -> Hashable:
        return self._chat.kind(request)

    def _prepare(self, requests: Sequence[Request]) -> Mapping[str, Any]:
        """input_ids and attention_mask (b, n), filled up on the left."""
        rows = [torch.tensor(self._ids(request)) for request in requests]
        return {
            "input_ids": left(rows, self._pad_id).to(self._model.device),
            "attention_mask": left([torch.ones_like(row) for row in rows], 0).to(self._model.device),
        }

    def _ids(self, request: Request) -> list[int]:
        """The prompt's tokens. Raises EngineError where they leave no room for an answer."""
        ids = self._templated(request) if self._tokenizer.chat_template else self._plain(request)
        if self._context and len(ids) + FEWEST_TOKENS > self._context:
            raise EngineError(
                f"a prompt of {len(ids)} tokens does not fit into the model's {self._context}, of which an answer "
                f"takes {FEWEST_TOKENS} and more"
            )
        return ids

    def _templated(self, request: Request) -> list[int]:
        user = {"role": "user", "content": request.prompt}
        if not request.system:
            return self._laid_out([user])
        try:
            return self._laid_out([{"role": "system", "content": request.system}, user])
        except TemplateError:  # some templates refuse system prompts (Gemma 2's)
            return self._laid_out([{"role": "user", "content": folded(request).prompt}])

    def _laid_out(self, conversation: list[dict[str, str]]) -> list[int]:
        """Marks in the texts stay text. Models that can think aloud are asked for the answer alone."""
        found = self._tokenizer.apply_chat_template(
            conversation,
            add_generation_prompt=True,
            sanitize_control_tokens=True,
            return_dict=True,
            enable_thinking=False,
        )
        return list(found["input_ids"])

    def _plain(self, request: Request) -> list[int]:
        return list(self._tokenizer.encode(folded(request).prompt + "\n\n", split_special_tokens=True))
