"""Sequence classifiers of a few thousand random weights, saved the way real ones are."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

WORDS = ["profit", "loss", "rises", "falls", "outlook", "cut", "shares", "beat", "the", "a", "of", "and", "net", "up"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]


def save_classifier(folder: Path, labels: list[str], *, outputs: list[int] | None = None, scale: float = 1.0) -> Path:
    """A classifier whose output k is the random output outputs[k] of one fixed network, labelled labels[k].

    So two folders whose labels and outputs are permuted alike hold the same function.
    """
    outputs = outputs or list(range(len(labels)))
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,  # random, yet far from the same for every text
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: k for k, label in enumerate(labels)},
    )
    model = BertForSequenceClassification(config)
    weight = torch.randn(max(4, len(labels)), config.hidden_size) * scale
    with torch.no_grad():
        model.classifier.weight.copy_(weight[outputs])
        model.classifier.bias.zero_()
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_encoder(folder: Path) -> Path:
    """The same without a classification head."""
    save_classifier(folder, ["negative", "neutral", "positive"])
    BertModel.from_pretrained(folder).save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path, more: Sequence[str] = ()) -> None:
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join([*VOCABULARY, *more]) + "\n")
    BertTokenizerFast(vocab=str(vocabulary), model_max_length=64).save_pretrained(folder)
