"""Features by what a person may call them: a family, a name, a group of features of bars or news, or TA-Lib's name."""

import difflib
import re

from fusion.features import REGISTRY, bar
from fusion.features.bar_names import near
from fusion.features.site_names import REGION_GROUPS, SITE_GROUPS
from fusion.features.ticks import is_meant
from gpu_kernels.errors import ConfigError
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.technical.names import TA_LIB
from sentiment import features as news
from sources.schema import TABLES

PLACES = {**SITE_GROUPS, **REGION_GROUPS}
FEATURES_OF_TA_LIB = {
    "SMA": "sma_gap",
    "EMA": "ema_gap",
    "WMA": "wma_gap",
    "DEMA": "dema_gap",
    "TEMA": "tema_gap",
    "T3": "t3_gap",
    "TRIMA": "trima_gap",
    "KAMA": "kama_gap",
    "BBANDS": "bollinger",
    "LINEARREG_SLOPE": "slope",
    "BOP": "balance_of_power",
    "MOM": "return",
    "ROC": "return",
    "RSI": "rsi",
    "CMO": "cmo",
    "MACD": "macd",
    "PPO": "ppo",
    "TRIX": "trix",
    "WILLR": "williams_r",
    "STOCH": "stochastic",
    "STOCHRSI": "stochastic_rsi",
    "CCI": "cci",
    "ULTOSC": "ultimate",
    "AROONOSC": "aroon",
    "ATR": "atr",
    "NATR": "atr",
    "PLUS_DI": "plus_di",
    "MINUS_DI": "minus_di",
    "ADX": "adx",
    "ADXR": "adxr",
    "SAR": "parabolic_gap",
    "OBV": "obv_share",
    "ADOSC": "chaikin",
    "MFI": "mfi",
}
"""TA-Lib's name -> the first words, after bar_, of the features that are made of it or tell the same (bar_return_<bars>
is a log return in basis points, MOM a difference); of the others there is none."""


def specs_of(name: str | None, *, some: bool = True) -> list[FeatureSpec]:
    """The specs that a name may mean, all without one: by name, group or TA-Lib's name, else by a word of what they
    mean. Raises ConfigError where there are none and there must be some."""
    if name is None:
        return list(REGISTRY)
    found = [spec for spec in REGISTRY if name == spec.family or is_meant(spec, name)]
    if len(found) == 1 and found[0].family == "news" and name != found[0].name and any(map(str.isdigit, name)):
        found = [news.GROUPS.asked_spec(name)]  # its durations in what it means
    if not found:  # the name of a group may be one of bars and one of news
        found = [feature.spec for feature in bar.features_of(name)] if name in (*bar.GROUPS, bar.VOLATILITY) else []
        found += news.GROUPS.specs_of(name) if name in news.GROUPS.names else []
        found += [feature.spec for feature in PLACES.get(name, ())]
    if found or not some:
        return found
    if name.upper() in TA_LIB:
        if name.upper() not in FEATURES_OF_TA_LIB:
            function = TA_LIB[name.upper()].function
            raise ConfigError(
                f"{name!r} is no feature", hint=f"in Python it is {function.__module__}.{function.__name__}"
            )
        name = f"bar_{FEATURES_OF_TA_LIB[name.upper()]}"
        return [spec for spec in REGISTRY if is_meant(spec, name)]
    for words in (name.lower(), f"bar_{name.lower()}", f"news_{name.lower()}"):
        if found := [spec for spec in REGISTRY if is_meant(spec, words)]:
            return found
    word = re.compile(rf"\b{re.escape(name)}", re.IGNORECASE)
    if found := [spec for spec in REGISTRY if word.search(f"{spec.meaning} {spec.source}")]:
        return found
    raise _unknown(name)


def _unknown(name: str) -> ConfigError:
    families = sorted({spec.family for spec in REGISTRY})
    names = [*TABLES, *families, *(spec.name for spec in REGISTRY), *TA_LIB]
    close = [
        *near({**bar.GROUPS, bar.VOLATILITY: ()}, name),
        *news.GROUPS.near(name),
        *difflib.get_close_matches(name, names, 3),
    ]
    meant = " or ".join(list(dict.fromkeys(close))[:4])
    return ConfigError(
        f"{name!r} is no table, group or feature" + (f"; did you mean {meant}?" if meant else ""),
        allowed=", ".join(
            dict.fromkeys([*TABLES, *families, *bar.GROUPS, bar.VOLATILITY, *news.GROUPS.names, *PLACES])
        ),
        hint="`trifuse schema` lists all features",
    )
