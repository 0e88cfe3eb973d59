"""The tables of docs/sentiment.md on accuracy, made of the results of evaluate_sentiment.py.

A table stands on the page between `<!-- table NAME -->` and `<!-- end -->`.
"""

import re
from typing import Any

from gpu_kernels.errors import DataError
from sentiment.embedded import TONES

EMBEDDED, SAME_DATA, ON_THE_SET = "embedded", "TF-IDF, same data", "TF-IDF, on the set"
ORDER = (EMBEDDED, SAME_DATA, "VADER", "Loughran-McDonald", "majority", ON_THE_SET)
# accuracy, macro-F1 as published; both were trained on PhraseBank or the SemEval headlines
PUBLISHED = {"PhraseBank 50Agree": (0.86, 0.84), "PhraseBank AllAgree": (0.97, 0.95)}
Results = dict[str, Any]


def two(number: float) -> str:
    """.753, 1.000, -.012"""
    return f"{number:.3f}".replace("0.", ".", 1) if abs(number) < 1 else f"{number:.3f}"


def interval(found: list[float]) -> str:
    return f"{two(found[0])} [{two(found[1])}, {two(found[2])}]"


def signed(found: list[float]) -> str:
    value, low, high = (("+" if number > 0 else "") + two(number) for number in found)
    return f"{value} [{low}, {high}]"


def table(head: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def line(name: str, found: Results) -> str:
    """One line of the terminal: the set, and each model's macro-F1."""
    each = "  ".join(f"{model} {two(one['macro_f1'][0])}" for model, one in found["models"].items())
    return f"{name} ({found['texts']}): macro-F1 {each}"


def summary(results: Results) -> str:
    """Macro-F1 of each model on each set."""
    rows = []
    for name, found in results["sets"].items():
        models = found["models"]
        best = max((models[m]["macro_f1"][0] for m in ORDER if m in models and m != ON_THE_SET), default=0)
        cells = []
        for model in ORDER:
            if model not in models:
                cells.append("")
                continue
            value = models[model]["macro_f1"][0]
            text = interval(models[model]["macro_f1"]) if model == EMBEDDED else two(value)
            cells.append(f"**{text}**" if value == best and model != ON_THE_SET else text)
        published = two(PUBLISHED[name][1]) if name in PUBLISHED else ""
        rows.append([name, f"{found['texts']:,}", *cells, published])
    return table(["set", "texts", *ORDER, "FinBERT, published"], rows)


def accuracies(results: Results) -> str:
    """Accuracy of each model on each set."""
    rows = []
    for name, found in results["sets"].items():
        models = found["models"]
        cells = [
            (interval if model == EMBEDDED else lambda one: two(one[0]))(models[model]["accuracy"])
            if model in models
            else ""
            for model in ORDER
        ]
        rows.append([name, *cells, two(PUBLISHED[name][0]) if name in PUBLISHED else ""])
    return table(["set", *ORDER, "FinBERT, published"], rows)


def lead(results: Results) -> str:
    """The embedded model's macro-F1 minus each rival's, by the same resamples."""
    rivals = [model for model in ORDER if model not in (EMBEDDED, "majority")]
    rows = [
        [name]
        + [
            signed(found["models"][model]["embedded_minus_this"]["macro_f1"]) if model in found["models"] else ""
            for model in rivals
        ]
        for name, found in results["sets"].items()
    ]
    return table(["macro-F1, embedded minus", *rivals], rows)


def by_tone(results: Results) -> str:
    """Precision, recall and F1 of each tone, of the embedded model."""
    rows = []
    for name, found in results["sets"].items():
        for tone in TONES:
            one = found["models"][EMBEDDED]["by_tone"][tone]
            rows.append(
                [name if tone == TONES[0] else "", tone, f"{found['tones'][tone]:,}"]
                + [interval(one[part]) for part in ("precision", "recall", "f1")]
            )
    return table(["set", "tone", "texts", "precision", "recall", "F1"], rows)


def confusion(results: Results) -> str:
    """What the embedded model takes each tone for."""
    rows = []
    for name, found in results["sets"].items():
        for tone, counts in zip(TONES, found["models"][EMBEDDED]["confusion"], strict=True):
            rows.append([name if tone == TONES[0] else "", tone, *(f"{count:,}" for count in counts)])
    return table(["set", "is", *(f"taken for {tone}" for tone in TONES)], rows)


def levels(results: Results) -> str:
    """PhraseBank apart by how many annotators agree."""
    names = {"50": "50 to 65 %", "66": "66 to 74 %", "75": "75 to 99 %", "All": "all"}
    models = [EMBEDDED, SAME_DATA, ON_THE_SET]
    rows = []
    for level, found in results["levels"].items():
        rows.append(
            [names[level], f"{found['texts']:,}", " / ".join(f"{count:,}" for count in found["tones"])]
            + [f"{two(found[m]['accuracy'][0])} / {two(found[m]['macro_f1'][0])}" for m in models if m in found]
        )
    return table(["annotators who agree", "texts", "negative / neutral / positive", *models], rows)


def continuous(results: Results) -> str:
    """Scores against continuous labels: correlation and cosine."""
    sets = {name: found for name, found in results["sets"].items() if "cosine" in found["models"][EMBEDDED]}
    rows = []
    for name, found in sets.items():
        for model in ORDER:
            if "cosine" in (one := found["models"].get(model, {})):
                rows.append(
                    [name if model == EMBEDDED else "", model, interval(one["correlation"]), interval(one["cosine"])]
                )
    return table(["set", "model", "correlation", "cosine"], rows)


def tweets(results: Results) -> str:
    """Macro-F1 and accuracy on the tweets, cross-validated."""
    found = results["tweets_cross_validated"]
    rows = []
    if recorded := found[EMBEDDED]:
        each = [one["macro_f1"] for one in recorded["each"]]
        rows.append(
            [EMBEDDED, two(recorded["all"]["accuracy"]), two(recorded["all"]["macro_f1"])]
            + [two(recorded["all"]["f1"][tone]) for tone in TONES]
            + [f"{two(min(each))} to {two(max(each))}"]
        )
    rival = found[SAME_DATA]
    rows.append(
        [SAME_DATA, two(rival["accuracy"][0]), two(rival["macro_f1"][0])]
        + [two(rival["by_tone"][tone]["f1"][0]) for tone in TONES]
        + [""]
    )
    return table(["model", "accuracy", "macro-F1", *(f"F1 {tone}" for tone in TONES), "macro-F1 of a fold"], rows)


def calibrated(results: Results) -> str:
    """How far the probabilities can be taken at their word."""
    rows = []
    for name, found in results["sets"].items():
        for model in (EMBEDDED, SAME_DATA):
            one = found["models"][model]["calibration"]
            rows.append(
                [
                    *(name if model == EMBEDDED else "", model, interval(one["ece"]), two(one["ece_floor"])),
                    *(signed(one["overconfident"]), interval(one["brier"]), two(one["brier_shares"])),
                ]
            )
    return table(["set", "model", "ECE", "ECE if exact", "overconfident", "Brier", "Brier of the shares"], rows)


def probes(results: Results) -> str:
    """Probes hit, by kind."""
    found = results["probes"]
    models = [model for model in ORDER if model in found["models"]]
    rows = [
        [kind, str(count), *(str(found["models"][model]["kinds"][kind]) for model in models)]
        for kind, count in found["kinds"].items()
    ]
    rows.append(["**all**", str(found["probes"]), *(str(found["models"][model]["hits"]) for model in models)])
    rows.append(["pairs, both hit", str(found["pairs"]), *(str(found["models"][model]["pairs"]) for model in models)])
    return table(["kind", "probes", *models], rows)


TABLES = {
    "summary": summary,
    "accuracies": accuracies,
    "lead": lead,
    "by_tone": by_tone,
    "confusion": confusion,
    "levels": levels,
    "continuous": continuous,
    "tweets": tweets,
    "calibrated": calibrated,
    "probes": probes,
}
_PLACE = re.compile(r"<!-- table (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)


def filled(page: str, results: Results) -> str:
    """The page with each of its tables made anew.

    Raises DataError where a table has no place on the page, or a place names none.
    """
    if sorted(named := [match[1] for match in _PLACE.finditer(page)]) != sorted(TABLES):
        raise DataError(f"places of tables on the page: {named}", allowed=f"each once: {', '.join(TABLES)}")
    return _PLACE.sub(lambda match: f"<!-- table {match[1]} -->\n{TABLES[match[1]](results)}\n<!-- end -->", page)
