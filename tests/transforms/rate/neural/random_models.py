"""Small models with random weights, in the folders that a recipe names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

WORDS = ("the proof shows a symmetry of numbers", "buy cheap shoes now click here", "1 2 3 . , ! ? ( ) @ # …")


def save_classifier(folder: Path, words: Tokenizer | None = None, **config: Any) -> str:
    """A BERT of two layers with a classifier; `config` says of how many labels. `words`: its tokenizer, if it is another."""
    from transformers import BertForSequenceClassification

    return _save(folder, BertForSequenceClassification, config, words or tokenizer())


def save_encoder(folder: Path, **config: Any) -> str:
    """The same BERT without a classifier."""
    from transformers import BertModel

    return _save(folder, BertModel, config, tokenizer())


def save_static(folder: Path, tensors: Mapping[str, np.ndarray] | None = None) -> str:
    """A static embedding of eight numbers for each token, or of these tensors."""
    folder.mkdir()
    vectors = np.random.default_rng(4).normal(0, 1, (tokenizer().get_vocab_size(), 8)).astype(np.float32)
    save_file(dict(tensors or {"embeddings": vectors}), folder / "model.safetensors")
    tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text('{"model_type": "model2vec"}')
    return str(folder)


def tokenizer() -> Tokenizer:
    """Words, word pieces of single letters, and BERT's special tokens."""
    words = dict.fromkeys(" ".join(WORDS).split())
    letters = [chr(code) for code in range(33, 127)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *letters, *(f"##{letter}" for letter in letters)]
    return _of_bert(models.WordPiece({piece: place for place, piece in enumerate(dict.fromkeys(pieces))}, unk_token="[UNK]"))


def trained_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """`size` word pieces of texts, and BERT's special tokens."""
    made = _of_bert(models.WordPiece(unk_token="[UNK]"))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False))
    return made


def _of_bert(pieces: models.Model) -> Tokenizer:
    made = Tokenizer(pieces)
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return made


def _save(folder: Path, kind: Any, config: dict[str, Any], made: Tokenizer) -> str:
    import torch
    from transformers import BertConfig

    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    shape |= {"max_position_embeddings": 64, "vocab_size": made.get_vocab_size(), "initializer_range": 0.3}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        kind(BertConfig(**{**shape, **config})).save_pretrained(folder)
    made.save(str(folder / "tokenizer.json"))
    return str(folder)
