"""Small models with random weights, in the folders that a recipe names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ("the proof shows a symmetry of numbers", "buy cheap shoes now click here", "1 2 3 . , ! ? ( ) @ # …")


def save_classifier(folder: Path, **config: Any) -> str:
    """A BERT of two layers with a classifier; `config` says of how many labels."""
    from transformers import BertForSequenceClassification

    return _save(folder, BertForSequenceClassification, config)


def save_encoder(folder: Path, **config: Any) -> str:
    """The same BERT without a classifier."""
    from transformers import BertModel

    return _save(folder, BertModel, config)


def tokenizer() -> Tokenizer:
    """Words, word pieces of single letters, and BERT's special tokens."""
    words = dict.fromkeys(" ".join(WORDS).split())
    letters = [chr(code) for code in range(33, 127)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *letters, *(f"##{letter}" for letter in letters)]
    made = Tokenizer(models.WordPiece({piece: place for place, piece in enumerate(dict.fromkeys(pieces))}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return made


def _save(folder: Path, kind: Any, config: dict[str, Any]) -> str:
    import torch
    from transformers import BertConfig

    made = tokenizer()
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    shape |= {"max_position_embeddings": 64, "vocab_size": made.get_vocab_size(), "initializer_range": 0.3}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        kind(BertConfig(**{**shape, **config})).save_pretrained(folder)
    made.save(str(folder / "tokenizer.json"))
    return str(folder)
