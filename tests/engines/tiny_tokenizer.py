"""A small tokenizer of the kind that Qwen and Llama have: byte-level BPE, with special tokens and a chat template.

It is made here, from a few sentences, in a tenth of a second: any text can be encoded and comes back as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SENTENCES = [
    "You are a helpful assistant. Answer with the words that are said, and with nothing besides.",
    "Write down every word of this recording, as it is spoken, with punctuation.",
    "What is said about the harbour, and who says it? How many people speak, and how do they sound?",
    "The ship leaves at nine in the morning; nobody knew whether it would come back before the winter.",
    "Audio 1: Audio 2: Audio 3: system user assistant",
]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{{ part['text'] if 'text' in part else '' }}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A layout for text alone, as Qwen's language models have it."""


def make(
    special: Sequence[str], *, end: str, pad: str, template: str | None = CHATML, size: int = 400, **more: Any
) -> PreTrainedTokenizerFast:
    """A tokenizer of `size` tokens, at most, and the special ones behind them, in the order given.

    end, pad: which of them end an answer and fill up a batch. template: Jinja, None for none. more: of
    PreTrainedTokenizerFast, such as bos_token.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    bytes_ = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(bytes_), show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_special_tokens(list(special))
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=end,
        pad_token=pad,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        **more,
    )
    made.chat_template = template
    return made
