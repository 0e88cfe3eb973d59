"""The tables of docs/parking_lots.md, made of the results of evaluate_lots.py.

A table stands on the page between `<!-- table NAME -->` and `<!-- end -->`.
"""

import re
from typing import Any

Results = dict[str, Any]

_SCALES = {"1/1": "640 x 360, a space 22 pixels wide", "1/2": "half: 11 pixels", "1/4": "a quarter: 5.5 pixels"}


def table(head: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def scales(results: Results) -> str:
    rows = []
    for name, found in results["pklot"].items():
        all_frames, later, rivals = found["pooled"], found["without_the_first_frame"], found["rivals"]
        rows.append(
            [
                _SCALES[name],
                f"**{all_frames['mae']:.3f}**",
                f"**{all_frames['r']:.3f}**",
                f"{later['mae']:.3f}",
                f"{all_frames['space_accuracy']:.1%}".replace("%", " %"),
                f"{all_frames['space_auc']:.3f}",
                f"{all_frames['within_1_std']:.0%}, {all_frames['within_1.96_std']:.0%}".replace("%", " %"),
                *(f"{one['mae']:.3f} ({one['r']:.2f})" for one in rivals.values()),
            ]
        )
    named = ("no past of its own", "edge density", "texture of each space")
    head = ["scale", "MAE", "r", "MAE but the first frame", "spaces right", "AUC", "within 1, 1.96 std"]
    return table([*head, *(f"{name}: MAE (r)" for name in named)], rows)


def days(results: Results) -> str:
    rows = []
    for number, one in enumerate(results["pklot"]["1/1"]["days"].values()):
        rows.append(
            [
                one["date"] + (" (the first: little past)" if number == 0 else ""),
                "{:.2f} to {:.2f}".format(*one["fills"]),
                *(
                    f"{results['pklot'][scale]['days'][day]['mae']:.3f}"
                    for scale in _SCALES
                    for day in [_day(results, number)]
                ),
                f"{one['bias']:+.3f}",
                f"{one['space_accuracy']:.1%}".replace("%", " %"),
                f"{one['mean_std']:.3f}",
                f"{round(5 * one['within_1_std'])}, {round(5 * one['within_1.96_std'])} of 5",
            ]
        )
    head = ["day held out", "true fill", "MAE", "at half", "at a quarter", "bias", "spaces right", "mean std"]
    return table([*head, "within 1, 1.96 std"], rows)


def _day(results: Results, number: int) -> str:
    return list(results["pklot"]["1/1"]["days"])[number]


def satellite(results: Results) -> str:
    rows = []
    for one in results["spacenet"]["counted"]:
        where = f"{one['chip']} ({one['xmin']}, {one['ymin']})"
        told = f"{one['vehicles']:.0f} ± {one['std']:.1f}"
        known = f"{one['vehicles_known_rows']:.0f} ± {one['std_known_rows']:.1f}"
        rows.append([where, f"{one['hand']} ± {0.1 * one['hand']:.1f}", told, str(one["stall_rows"]), known])
    for name, kind in (("mean absolute error", "mae"), ("r", "r")):
        found = [results["spacenet"][key][kind] for key in ("counted_measures", "known_rows_measures")]
        rows.append([name, "", f"**{found[0]:.2f}**", "", f"{found[1]:.2f}"])
    found = [results["spacenet"][key] for key in ("counted_measures", "known_rows_measures")]
    told = [f"{one['vehicles']:.0f} ± {one['total_std']:.0f}" for one in found]
    rows.append(["all", str(found[0]["hand"]), told[0], "", told[1]])
    told = [f"{one['within_1_std']}, {one['within_1.96_std']} of {one['rows']}" for one in found]
    rows.append(["within 1, 1.96 std", "", f"**{told[0]}**", "", told[1]])
    head = ["chip (left, top)", "by hand", "vehicles, as fixed before", "rows of stalls it took"]
    return table([*head, "told the rows of stalls (after the look)"], rows)


def uncounted(results: Results) -> str:
    found = results["spacenet"]["uncounted_measures"]
    cells = [
        str(found["rows"]),
        str(found["hand"]),
        f"{found['vehicles']:.0f}",
        f"{found['mae']:.2f}",
        f"{found['r']:.2f}",
    ]
    within = f"{found['within_1_std']}, {found['within_1.96_std']} of {found['rows']}"
    return table(["rows", "by our eyes", "vehicles", "MAE", "r", "within 1, 1.96 std"], [[*cells, within]])


TABLES = {"scales": scales, "days": days, "satellite": satellite, "uncounted": uncounted}


def filled(page: str, results: Results) -> str:
    """The page with its tables made of the results."""
    for name, make in TABLES.items():
        pattern = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, count = pattern.subn(lambda match, make=make: match[1] + make(results) + "\n" + match[2], page)
        if count != 1:
            raise ValueError(f"the page has {count} places for the table {name}; allowed: one")
    return page
