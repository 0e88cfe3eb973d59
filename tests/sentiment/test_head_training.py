"""The embedded head's own data: its sentences, its splits, its record; and that training gives what the record says."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from sentiment import embedded
from sentiment.text import words

pytestmark = pytest.mark.usefixtures("one_thread")


SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def script():  # type: ignore[no-untyped-def]
    sys.path.insert(0, str(SCRIPTS))
    try:
        import train_head
    finally:
        sys.path.remove(str(SCRIPTS))
    return train_head


@pytest.fixture(scope="module")
def record() -> dict:
    return json.loads((embedded.HEAD_FILE.parent / "record.json").read_text())


def test_sentences_are_the_same_every_time(script) -> None:  # type: ignore[no-untyped-def]
    first, again = script.template_sentences(500, 1), script.template_sentences(500, 1)
    assert first == again != script.template_sentences(500, 2)
    assert len({text for text, _ in first}) == 500
    assert min(Counter(tone for _, tone in first).values()) > 60


def test_direction_and_object_make_the_tone(script) -> None:  # type: ignore[no-untyped-def]
    for text, tone in script.template_sentences(2000, 3):
        if "net loss narrowed" in text.lower() or "net loss fell" in text.lower():
            assert tone == script.POSITIVE, text
        if "net profit narrowed" in text.lower() or "net loss rose" in text.lower():
            assert tone == script.NEGATIVE, text


def test_split_keeps_nearly_equal_texts_on_one_side(script) -> None:  # type: ignore[no-untyped-def]
    base = [(f"company {i} reports quarter number {i} with profit {i} up", i % 3) for i in range(300)]
    nearly = [(text + " !", tone) for text, tone in base]
    kept, taken = script.split(base + nearly, 20, "salt")
    assert taken
    for text, _ in taken:
        mine = words(text)
        assert max(len(mine & words(other)) / len(mine | words(other)) for other, _ in kept) < 0.8


def test_contradicting_and_repeated_tweets(script, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "tweets.csv"
    path.write_text(
        'text,label\n$A beats https://t.co/1,1\n"$B Beats, https://t.co/2",1\n$C cut,0\n$D cut,2\n$E,1\nquiet,2\n'
    )
    assert script.read_tweets(path) == [("beats", 2), ("quiet", 1)]


def test_training_learns_and_repeats_itself(script) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    tones = torch.randint(0, 3, (300,))
    states = torch.randn(300, embedded.WIDTH) * 3 + 1
    states[:, 10:70] += 4 * torch.nn.functional.one_hot(tones, 3).repeat(1, 20)
    states[:, 7] = 2.5  # a state that never moves
    chosen = {"hidden": 8, "dropout_in": 0.1, "dropout_hidden": 0.1, "weight_decay": 0.5, "epochs": 60, **script.FIXED}
    head = script.train(states, tones, torch.ones(300), chosen)
    again = script.train(states, tones, torch.ones(300), chosen)
    assert all(torch.equal(head[name], again[name]) for name in head)
    assert script.metrics(tones.tolist(), script.labels_of(head, states))["accuracy"] > 0.95
    assert torch.equal(head["W1"][:, 7], torch.zeros(8))


def test_a_missing_corpus_is_one_line(script, tmp_path: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "argv", ["train_head.py", "--data", str(tmp_path), "--check"])
    assert script.main() == 3
    assert "no file" in capsys.readouterr().err


def test_the_record_is_of_this_head(record: dict) -> None:
    assert record["head_sha256"] == embedded.file_sha256(embedded.HEAD_FILE)
    assert record["encoder"]["weights_sha256"] == embedded.WEIGHTS_SHA256
    assert embedded.HEAD_FILE.stat().st_size < 1_000_000
    trained = [path for path, file in record["files"].items() if "training" in file["used_for"]]
    assert trained == ["news/twitter_fin/sent_train.csv"]


@pytest.mark.data
def test_the_record_s_figures_are_this_head_s(script, record: dict, data_root: Path) -> None:  # type: ignore[no-untyped-def]
    path = data_root / "news/fiqa/fiqa_3class.json"
    assert record["files"]["news/fiqa/fiqa_3class.json"]["sha256"] == embedded.file_sha256(path)
    pairs = script.read_fiqa(path)
    states = script.pooled([script.clean(text) for text, _ in pairs])
    found = script.metrics([tone for _, tone in pairs], script.labels_of(embedded.load_head(), states))
    expected = record["results"]["FiQA"]["head"]
    assert found["macro_f1"] == pytest.approx(expected["macro_f1"], abs=0.005)
    # better than what the same tweets teach without the encoder
    assert found["macro_f1"] > record["results"]["FiQA"]["TF-IDF + logistic, same tweets"]["macro_f1"]
