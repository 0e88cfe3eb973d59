"""Models by name: what is accepted, what is refused, and that labels count by their names."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from tiny_models import save_classifier, save_encoder, save_tokenizer

from gpu_kernels.errors import ArgumentError, ModelError
from sentiment.model import load, map_labels
from sentiment.score import Scorer, score

pytestmark = pytest.mark.usefixtures("one_thread")


def tones(scores: pl.DataFrame) -> pl.DataFrame:
    return scores.drop("model", "model_sha256")


TEXTS = ["net profit rises", "loss", "shares falls and outlook cut", "the a of 12 up", "beat"]


class TestLabels:
    @pytest.mark.parametrize(
        ("labels", "outputs"),
        [
            (["negative", "neutral", "positive"], [0, 1, 2]),
            (["positive", "negative", "neutral"], [2, 0, 1]),
            (["Neutral", "Positive", "Negative"], [1, 2, 0]),
            (["Bearish", "Bullish", "Neutral"], [0, 2, 1]),
            (["NEG", "NEU", "POS"], [0, 1, 2]),
            (["NEUTRAL", "BULLISH", " BEARISH "], [1, 2, 0]),
        ],
    )
    def test_order_is_taken_from_the_names(self, tmp_path: Path, labels: list[str], outputs: list[int]) -> None:
        reference = score(TEXTS, save_classifier(tmp_path / "reference", ["negative", "neutral", "positive"]))
        found = score(TEXTS, save_classifier(tmp_path / "permuted", labels, outputs=outputs))
        assert tones(found).equals(tones(reference))
        assert reference["score"].n_unique() == len(TEXTS)

    def test_names_that_say_nothing_are_refused(self, tmp_path: Path) -> None:
        folder = save_classifier(tmp_path / "m", ["LABEL_0", "LABEL_1", "LABEL_2"])
        with pytest.raises(ModelError, match=r"LABEL_0.*allowed: three labels.*labels=\{"):
            load(folder)

    def test_an_explicit_map_is_taken(self, tmp_path: Path) -> None:
        plain = score(TEXTS, save_classifier(tmp_path / "a", ["negative", "neutral", "positive"]))
        folder = save_classifier(tmp_path / "b", ["LABEL_0", "LABEL_1", "LABEL_2"])
        labels = {"LABEL_0": "negative", "LABEL_1": "neutral", "LABEL_2": "positive"}
        assert score(TEXTS, folder, labels=labels)["score"].equals(plain["score"])
        swapped = {"LABEL_0": "positive", "LABEL_1": "neutral", "LABEL_2": "negative"}
        assert (score(TEXTS, folder, labels=swapped)["score"] == -plain["score"]).all()

    def test_an_explicit_map_of_other_names_is_refused(self) -> None:
        with pytest.raises(ModelError, match="labels= names"):
            map_labels({0: "a", 1: "b", 2: "c"}, {"x": "negative", "b": "neutral", "c": "positive"})

    def test_a_tone_named_twice_is_refused(self) -> None:
        with pytest.raises(ModelError, match="mapped to"):
            map_labels({0: "a", 1: "b", 2: "c"}, {"a": "negative", "b": "negative", "c": "positive"})

    @pytest.mark.parametrize(
        "labels",
        [
            ["negative"],
            ["NEGATIVE", "POSITIVE"],
            ["LABEL_0", "LABEL_1"],
            ["negative", "neutral", "positive", "mixed"],
            ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"],
        ],
    )
    def test_wrong_number_of_labels(self, tmp_path: Path, labels: list[str]) -> None:
        with pytest.raises(
            ModelError, match=rf"tells {len(labels)} labels apart, .*{labels[0]}.*; allowed: three labels"
        ):
            load(save_classifier(tmp_path / "m", labels))

    def test_many_labels_stay_one_short_line(self) -> None:
        with pytest.raises(ModelError, match="tells 1000 labels apart") as caught:
            map_labels({k: f"class {k}" for k in range(1000)})
        assert len(str(caught.value)) < 600

    def test_labels_that_do_not_exclude_each_other_are_refused(self, tmp_path: Path) -> None:
        folder = save_classifier(tmp_path / "m", ["negative", "neutral", "positive"])
        text = (folder / "config.json").read_text()
        wanted = '"problem_type": "multi_label_classification", "model_type": "bert"'
        (folder / "config.json").write_text(text.replace('"model_type": "bert"', wanted))
        with pytest.raises(ModelError, match="a model of multi_label_classification"):
            load(folder)

    def test_labels_for_the_embedded_model_are_refused(self) -> None:
        with pytest.raises(ArgumentError, match="leave labels out"):
            load("embedded", labels={"LABEL_0": "negative"})


class TestFolders:
    def test_pickled_weights_are_refused(self, tmp_path: Path) -> None:
        folder = save_classifier(tmp_path / "m", ["negative", "neutral", "positive"])
        (folder / "model.safetensors").unlink()
        torch.save({}, folder / "pytorch_model.bin")
        with pytest.raises(ModelError, match=r"no safetensors weights, only pytorch_model\.bin"):
            load(folder)

    def test_pointers_and_adapters_are_told_from_models(self, tmp_path: Path) -> None:
        folder = save_classifier(tmp_path / "m", ["negative", "neutral", "positive"])
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
        (folder / "model.safetensors").write_text(pointer)
        with pytest.raises(ModelError, match=r"a pointer of Git LFS.*git lfs pull"):
            load(folder)
        (folder / "config.json").rename(folder / "adapter_config.json")
        with pytest.raises(ModelError, match=r"only an adapter's; merge"):
            load(folder)

    def test_damaged_weights(self, tmp_path: Path) -> None:
        folder = save_classifier(tmp_path / "m", ["negative", "neutral", "positive"])
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(ModelError, match="cannot be loaded"):
            load(folder)

    def test_weights_that_are_not_numbers(self, tmp_path: Path) -> None:
        folder = save_classifier(tmp_path / "m", ["negative", "neutral", "positive"], scale=float("nan"))
        with pytest.raises(ModelError, match="not finite"):
            score(["net profit"], folder)

    def test_an_encoder_without_a_head_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"lacks the weights .*classification head"):
            load(save_encoder(tmp_path / "m"))

    def test_no_tokenizer(self, tmp_path: Path) -> None:
        folder = save_classifier(tmp_path / "m", ["negative", "neutral", "positive"])
        for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
            (folder / name).unlink(missing_ok=True)
        with pytest.raises(ModelError, match="no tokenizer"):
            load(folder)

    def test_a_tokenizer_of_another_model(self, tmp_path: Path) -> None:
        folder = save_classifier(tmp_path / "m", ["negative", "neutral", "positive"])
        save_tokenizer(folder, [f"word{i}" for i in range(50)])
        with pytest.raises(ModelError, match=r"140 tokens.*91"):
            load(folder)

    def test_weights_of_other_sizes(self, tmp_path: Path) -> None:
        folder = save_classifier(tmp_path / "m", ["negative", "neutral", "positive"])
        config = (folder / "config.json").read_text()
        (folder / "config.json").write_text(config.replace('"hidden_size": 16', '"hidden_size": 32'))
        with pytest.raises(ModelError, match=r"of other sizes than its config\.json"):
            load(folder)

    def test_no_name_is_not_this_folder(self) -> None:
        with pytest.raises(ModelError, match="no model folder ''"):
            load("")

    def test_no_config_and_no_folder_and_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"no config\.json"):
            load(tmp_path)
        with pytest.raises(ModelError, match="no model folder"):
            load(tmp_path / "absent")
        (tmp_path / "file").touch()
        with pytest.raises(ModelError, match="is a file"):
            load(tmp_path / "file")

    def test_config_that_asks_for_its_own_code_is_not_run(self, tmp_path: Path) -> None:
        folder = save_classifier(tmp_path / "m", ["negative", "neutral", "positive"])
        text = (folder / "config.json").read_text()
        own = (
            '"model_type": "ours", "auto_map": {"AutoConfig": "code.C", "AutoModelForSequenceClassification": "code.M"}'
        )
        (folder / "config.json").write_text(text.replace('"model_type": "bert"', own))
        (folder / "code.py").write_text("raise SystemExit('ran')\n")
        with pytest.raises(ModelError, match="cannot be loaded"):
            load(folder)


class TestIdentity:
    def test_hash_tells_weights_labels_and_length_apart(self, tmp_path: Path) -> None:
        first = save_classifier(tmp_path / "a", ["negative", "neutral", "positive"])
        copy = shutil.copytree(first, tmp_path / "b")
        other = save_classifier(tmp_path / "c", ["negative", "neutral", "positive"], scale=2.0)
        relabelled = save_classifier(tmp_path / "d", ["positive", "neutral", "negative"])
        assert Scorer(first).sha256 == Scorer(copy).sha256
        hashes = [Scorer(folder).sha256 for folder in (first, other, relabelled)] + [
            Scorer(first, max_length=16).sha256
        ]
        assert len(set(hashes)) == 4
        assert Scorer(first).identifier == "a"

    def test_max_length_beyond_the_model(self, tmp_path: Path) -> None:
        folder = save_classifier(tmp_path / "m", ["negative", "neutral", "positive"])
        assert load(folder).max_length == 62
        for length in (3, 63, 100_000):
            with pytest.raises(ArgumentError, match=f"max_length={length}.*8 to 62"):
                load(folder, max_length=length)


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_hub_name_without_a_network(tmp_path: Path) -> None:
    code = (
        "import sentiment.model as m, gpu_kernels.errors as e\n"
        "try: m.load('owner/name')\nexcept e.ModelError as x: print(x)"
    )
    found = run_python(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert "'owner/name' is not in the local hub cache" in found
    assert "embedded" in found
    assert "\n" not in found


def test_a_missing_package_is_one_line() -> None:
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "import sentiment.model as m, gpu_kernels.errors as e\n"
        "try: m.load()\nexcept e.ModelError as x: print(x)"
    )
    assert run_python(code) == (
        "scoring texts needs the package transformers, which is not installed; .venv/bin/pip install -e '.[sentiment]'"
    )


def test_loading_and_scoring_write_nothing_to_the_terminal(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "m", ["negative", "neutral", "positive"])
    code = (
        f"from sentiment.score import score; print(score(['net profit ' * 5000], {str(folder)!r})['truncated'].item())"
    )
    assert run_python(code) == "True"
