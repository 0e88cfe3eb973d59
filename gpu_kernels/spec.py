"""What a feature is: the one record that `trifuse schema`, the report and the leak tests read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """Describes one column of the feature matrix.

    name     column name, `<family>_<what>[_<parameter>]`
    family   what it comes from: bar, book, trade, news, event, metric, site; region: metrics observed by region
    unit     "1" for pure numbers, else "bps", "USD", "minutes", ...
    clock    when a new value can appear, e.g. "each bar", "each item"
    meaning  one sentence with the formula
    missing  when the value is NaN
    source   paper or reference implementation
    """

    name: str
    family: str
    unit: str
    clock: str
    meaning: str
    missing: str
    source: str
