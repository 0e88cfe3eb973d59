"""Training of the adapter: corpora and splits, sentences of our own, the loop, the script."""

import random
import re
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_models import WORDS, save_classifier
from transformers import BertForSequenceClassification, BertTokenizerFast

from gpu_kernels.errors import ArgumentError, DataError
from sentiment import embedded
from sentiment.model import load
from sentiment.score import score
from sentiment.text import clean, words

pytestmark = pytest.mark.usefixtures("one_thread")

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def script():  # type: ignore[no-untyped-def]
    """The script's modules: corpora, sentences, loop, command."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        import adapter_training
        import tone_corpora
        import train_adapter
        import training_sentences
    finally:
        sys.path.remove(str(SCRIPTS))
    return SimpleNamespace(
        corpora=tone_corpora, sentences=training_sentences, loop=adapter_training, command=train_adapter
    )


class TestCorpora:
    def test_split_keeps_nearly_equal_texts_on_one_side(self, script) -> None:  # type: ignore[no-untyped-def]
        base = [(f"company {i} reports quarter number {i} with profit {i} up", i % 3) for i in range(300)]
        nearly = [(text + " !", tone) for text, tone in base]
        pairs = [script.corpora.split(base + nearly, 20, "salt"), *script.corpora.folds(base + nearly, 3, "salt")]
        for kept, taken in pairs:
            assert taken
            for text, _ in taken:
                mine = words(text)
                assert max(len(mine & words(other)) / len(mine | words(other)) for other, _ in kept) < 0.8

    def test_folds_take_each_text_once(self, script) -> None:  # type: ignore[no-untyped-def]
        texts = [(" ".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=12)), i % 3) for i in range(90)]
        taken = [pair for _, part in script.corpora.folds(texts, 4, "salt") for pair in part]
        assert sorted(taken) == sorted(texts)

    def test_contradicting_and_repeated_tweets(self, script, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        path = tmp_path / "tweets.csv"
        path.write_text(
            'text,label\n$A beats https://t.co/1,1\n"$B Beats, https://t.co/2",1\n$C cut,0\n$D cut,2\n$E,1\nquiet,2\n'
        )
        assert script.corpora.read_tweets(path) == [("beats", 2), ("quiet", 1)]

    def test_similarity_is_jaccard_s_with_all_figures_one_word(self, script) -> None:  # type: ignore[no-untyped-def]
        found = script.corpora.largest_similarity(
            ["profit rose to 5 mn", "profit rose to 7 mn", "nothing alike", "profit rose"],
            ["Profit rose to 12.4 mn", "x"],
        )
        assert found.tolist() == pytest.approx([1, 1, 0, 2 / 5])

    def test_own_files(self, script, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        (tmp_path / "a.csv").write_text("label,title\nBullish,profit up\nneg,loss\n")
        (tmp_path / "b.txt").write_bytes("Profit of caf\xe9 A@B rose@positive\n\nThe end@neutral\n".encode("latin-1"))
        assert script.command.read_own(f"{tmp_path}/a.csv:title:label") == [("profit up", 2), ("loss", 0)]
        assert script.command.read_own(f"{tmp_path}/b.txt") == [("Profit of café A@B rose", 2), ("The end", 1)]
        with pytest.raises(DataError, match="has no column text"):
            script.command.read_own(f"{tmp_path}/a.csv:text:label")
        with pytest.raises(DataError, match="no file"):
            script.command.read_own(f"{tmp_path}/absent.csv:text:label")
        with pytest.raises(ArgumentError, match=r"FILE\.csv:TEXT:LABEL"):
            script.command.read_own(f"{tmp_path}/a.csv:title")
        (tmp_path / "c.csv").write_text("text,label\nfine,positive\nwhat,maybe\n")
        with pytest.raises(DataError, match=r"c\.csv:3: label 'maybe'"):
            script.command.read_own(f"{tmp_path}/c.csv:text:label")


class TestSentences:
    def test_files_are_well_formed(self, script) -> None:  # type: ignore[no-untyped-def]
        patterns = script.sentences.read()
        assert len(patterns) > 500
        assert min(Counter(pattern.tone for pattern in patterns).values()) > 100

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("positive profit up", "positive profit up"),
            ("good\tprofit up", "'good"),
            ("positive\tprofit of {dollars}", "dollars"),
            ("positive\tprofit of {money", "allowed"),
            ("positive\t ", "allowed"),
            ("negative\tProfit up", r"also stands at a\.tsv:1"),
        ],
    )
    def test_bad_lines_are_told(self, script, tmp_path: Path, line: str, message: str) -> None:  # type: ignore[no-untyped-def]
        (tmp_path / "a.tsv").write_text(f"positive\tProfit up\n# a comment\n{line}\n")
        with pytest.raises(DataError, match=rf"a\.tsv:3.*{message}"):
            script.sentences.read(tmp_path)

    def test_no_patterns(self, script, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        with pytest.raises(DataError, match="no patterns"):
            script.sentences.read(tmp_path)

    def test_the_same_every_time_and_nothing_left_open(self, script) -> None:  # type: ignore[no-untyped-def]
        patterns = script.sentences.read()
        first, again = script.sentences.fill(patterns, 2, 1), script.sentences.fill(patterns, 2, 1)
        assert first == again != script.sentences.fill(patterns, 2, 2)
        assert len(first) == 2 * len(patterns)
        assert not [text for text, _ in first if "{" in text or "}" in text or "  " in text]

    def test_high_is_above_low_and_written_alike(self, script) -> None:  # type: ignore[no-untyped-def]
        draw = random.Random(4)
        for _ in range(3000):
            kind = draw.choice(["", "pct", "number"])
            text = script.sentences.fill_one(f"{{high{kind}}}|{{low{kind}}}" + draw.choice(["", " a share"]), draw)
            high, low = (re.search(r"\d[\d,.]*\d|\d", part) for part in text.split("|"))
            assert high
            assert low
            assert float(high[0].replace(",", "")) > float(low[0].replace(",", "")), text
            left, right = (re.sub(r"[\d,.]+", "", part.replace(" a share", "")) for part in text.split("|"))
            assert left == right

    def test_two_companies_differ_and_a_name_comes_back(self, script) -> None:  # type: ignore[no-untyped-def]
        draw = random.Random(4)
        for _ in range(500):
            one, two, again = script.sentences.fill_one("{company}|{company2}|{company}", draw).split("|")
            assert one == again != two

    def test_quarters_are_words_or_adjectives(self, script) -> None:  # type: ignore[no-untyped-def]
        draw = random.Random(1)
        noun = {script.sentences.fill_one("in {quarter}, sales", draw) for _ in range(100)}
        adjective = {script.sentences.fill_one("{quarter} sales", draw) for _ in range(100)}
        assert {"in Q3, sales", "in the third quarter, sales"} <= noun
        assert {"Q1 sales", "First-quarter sales"} <= adjective
        assert len(noun) == len(adjective) == 8

    def test_held_out_patterns_are_whole_blocks(self, script) -> None:  # type: ignore[no-untyped-def]
        patterns = script.sentences.read()
        kept, held = script.sentences.split_patterns(patterns, 15)
        assert len(kept) + len(held) == len(patterns)
        assert 0.05 < len(held) / len(patterns) < 0.3
        size = script.sentences.BLOCK
        assert not {(p.source, p.line // size) for p in kept} & {(p.source, p.line // size) for p in held}

    def test_direction_and_object_make_the_tone(self, script) -> None:  # type: ignore[no-untyped-def]
        seen = 0
        for text, tone in script.sentences.metric_sentences(4000, 3):
            if re.search("net loss (narrowed|fell|was reduced)|costs (fell|eased)", text.lower()):
                assert tone == 2, text
                seen += 1
            if re.search("net profit (narrowed|fell)|net loss (rose|widened)|costs (rose|grew)", text.lower()):
                assert tone == 0, text
                seen += 1
        assert seen > 20

    @pytest.mark.data
    def test_no_training_sentence_resembles_the_evaluation_sets(self, script, data_root: Path) -> None:  # type: ignore[no-untyped-def]
        others = [clean(text) for texts in script.command.evaluated(data_root).values() for text, _ in texts]
        recipe = script.loop.Recipe(epochs=1, sentences=1)
        epochs, left_out = script.command.epochs_of([("a tweet", 1)], script.sentences.read(), recipe, others)
        (tweets, own), *more = epochs
        assert not more
        assert tweets == [("a tweet", 1)]
        assert 0 < left_out < 0.1 * len(own)  # few come near, and those are found
        sets = [frozenset("0" if word[0].isdigit() else word for word in words(text)) for text in others]
        for text, _ in random.Random(2).sample(own, 40):  # by the definition, one by one
            mine = frozenset("0" if word[0].isdigit() else word for word in words(text))
            assert max(len(mine & other) / len(mine | other) for other in sets) < script.command.RESEMBLES


class TestLoop:
    def test_a_layer_starts_as_it_was(self, script) -> None:  # type: ignore[no-untyped-def]
        linear = torch.nn.Linear(6, 4)
        layer = script.loop.LowRank(linear, 2, 3.0, 0.0)
        x = torch.randn(5, 6)
        assert torch.equal(layer(x), linear(x))
        with torch.no_grad():
            layer.lora_B.normal_()
        assert torch.allclose(
            layer(x), x @ (linear.weight + 3 * layer.lora_B @ layer.lora_A).T + linear.bias, atol=1e-5
        )

    def test_batches_take_each_row_once_and_sort_by_length(self, script) -> None:  # type: ignore[no-untyped-def]
        lengths = [random.Random(i).randrange(5, 60) for i in range(1000)]
        found = list(script.loop.batches(lengths, 16, torch.Generator().manual_seed(1)))
        assert sorted(row for batch in found for row in batch) == list(range(1000))
        spread = [max(lengths[r] for r in batch) - min(lengths[r] for r in batch) for batch in found]
        assert sum(spread) / len(spread) < 10
        assert [lengths[batch[0]] for batch in found] != sorted(lengths[batch[0]] for batch in found)

    def test_training_learns_repeats_itself_and_leaves_the_encoder(self, script, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        folder = save_classifier(tmp_path / "m", list(embedded.TONES))
        tokenizer = BertTokenizerFast.from_pretrained(folder)
        draw = random.Random(3)
        texts = []
        for _ in range(96):
            tone = draw.randrange(3)
            texts.append((" ".join([("loss", "of", "profit")[tone], *draw.choices(WORDS[6:], k=2)]), tone))
        recipe = script.loop.Recipe(
            rank=4,
            alpha=8,
            epochs=12,
            batch=16,
            learning_rate=0.01,
            head_learning_rate=0.01,
            consistency=0.5,
            balance=0.5,
        )

        def trained():  # type: ignore[no-untyped-def]
            model = BertForSequenceClassification.from_pretrained(folder)
            before = {name: p.clone() for name, p in model.named_parameters()}
            tensors = script.loop.train(model, tokenizer, [[texts[:40], texts[40:]]] * 16, recipe, progress=False)
            for name, parameter in model.named_parameters():
                own = name.replace(".linear.", ".")
                if own in before and own not in script.loop.lora.WHOLE:
                    assert torch.equal(parameter, before[own])
            return tensors, before

        (first, before), (again, _) = trained(), trained()
        assert all(torch.equal(first[name], again[name]) for name in first)
        state = {name.removeprefix("bert."): p for name, p in before.items() if name.startswith("bert.")}
        adapter = script.loop.lora.Adapter(first, 8 / 4, "0" * 64)
        model = BertForSequenceClassification.from_pretrained(folder).eval()
        model.load_state_dict(script.loop.lora.merge(state, adapter, base_sha256="0" * 64), strict=True)
        found = script.loop.logits_of(model, tokenizer, [text for text, _ in texts]).argmax(1).tolist()
        assert script.corpora.metrics([tone for _, tone in texts], found)["accuracy"] > 0.9

    def test_temperature_is_found_and_taken_out(self, script) -> None:  # type: ignore[no-untyped-def]
        torch.manual_seed(2)
        logits = torch.randn(20000, 3) * 2
        tones = torch.distributions.Categorical(logits=logits).sample()
        assert script.loop.temperature(logits * 2.5, tones) == pytest.approx(2.5, rel=0.05)
        tensors = {"classifier.weight": torch.ones(3, 4), "classifier.bias": torch.ones(3), "x": torch.ones(1)}
        cooled = script.loop.cooled(tensors, 4.0)
        assert [float(cooled[name].max()) for name in sorted(cooled)] == [0.25, 0.25, 1.0]

    def test_balance(self, script) -> None:  # type: ignore[no-untyped-def]
        tones = torch.tensor([0] * 10 + [1] * 60 + [2] * 30)
        full = script.loop.weights_of(tones, 1.0)
        assert [float(full[tones == k].sum()) for k in range(3)] == pytest.approx([100 / 3] * 3, rel=1e-5)
        assert torch.equal(script.loop.weights_of(tones, 0.0), torch.ones(100))


class TestCommand:
    def run(self, script, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:  # type: ignore[no-untyped-def]
        monkeypatch.setattr(sys, "argv", ["train_adapter.py", *arguments])
        return script.command.main()

    def test_a_missing_corpus_is_one_line(self, script, tmp_path: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
        assert self.run(script, monkeypatch, "--data", str(tmp_path), "--check") == 3
        told = capsys.readouterr().err
        assert told.startswith("error: no file")
        assert told.count("\n") == 1

    def test_own_files_need_a_folder(self, script, tmp_path: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
        assert self.run(script, monkeypatch, "--train", f"{tmp_path}/a.csv:text:label") != 0
        assert "--out my_model" in capsys.readouterr().err

    def test_own_files_make_a_plain_model(self, script, tmp_path: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
        """Two tones by made-up words, which only this training can teach; a few seconds."""
        draw = random.Random(1)
        rows = []
        for i in range(140):
            tone = ("negative", "neutral", "positive")[i % 3]
            word = {"negative": "grumbo", "neutral": "table", "positive": "zappily"}[tone]
            rows.append(f'"{word} {draw.choice(["fund", "house", "index"])} {i}",{tone}')
        (tmp_path / "own.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
        monkeypatch.setattr(script.command, "CHOSEN", script.loop.Recipe(epochs=4, batch=8))
        out = tmp_path / "model"
        assert self.run(script, monkeypatch, "--train", f"{tmp_path}/own.csv:text:label", "--out", str(out)) == 0
        assert "held out: accuracy" in capsys.readouterr().out
        assert load(out).identifier == "model"
        found = score(["grumbo fund 999", "zappily house 999", "table index 999"], out)
        assert [max(embedded.TONES, key=row.__getitem__) for row in found.to_dicts()] == [
            "negative",
            "positive",
            "neutral",
        ]
