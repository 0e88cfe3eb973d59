"""Sentences of our own with their tone: patterns whose slots are filled with invented names and figures.

    tone <tab> pattern        positive  {quarter} net profit at {company} climbed to {high}, from {low}.

Patterns are lines of training_sentences/*.tsv; one that starts with # is a comment. {high} and {low}, {highpct} and
{lowpct}, {highnumber} and {lownumber} are pairs of one unit and one way of writing, the first the larger. Companies,
people and brokers are invented.

The encoder's tokenizer is uncased and takes every punctuation mark apart, so that "EUR 12.4 mn.", "EUR 12.4 MN ." and
headline case are the same text to it: only differences that it can see are made here.
"""

import hashlib
import random
import re
from dataclasses import dataclass
from pathlib import Path

from tone_corpora import NEGATIVE, NEUTRAL, POSITIVE, Labelled

from gpu_kernels.errors import DataError
from sentiment.embedded import TONES

FOLDER = Path(__file__).parent / "training_sentences"
BLOCK = 8  # neighbouring patterns mirror each other: they are held out together
PAIRS = ("", "pct", "number")
_SLOT = re.compile(r"\{(\w*)\}")


def _list(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split(";")]


STARTS = _list(
    """Hal; Nor; Bright; Cas; Ostra; Pell; Kvar; Lume; Tess; Fair; Ard; Quil; Vant; Serra; Oak; Meri; Toll; Zeph; Cor;
    Hall; Brun; Dela; Elv; Fen; Gal; Hav; Isk; Jar; Kel; Lind; Mor; Nav; Orm; Pri; Rav; Sol; Tam; Ulv; Wend; Ybor"""
)
ENDS = _list(
    """den; via; well; tor; nova; worth; nio; nor; saro; moor; mark; lon; bridge; tek; hurst; dian; gate; yra; win;
    berg; ica; dal; ex; ora; field; stad; mont; line; sys; ander; etta; is; um; ford; holm"""
)
KINDS = _list(
    """; ; ; ; ; Group; plc; Inc.; Corp; Corporation; Ltd; AB; Oyj; ASA; SA; AG; Holdings; Bank; Foods; Steel; Energy;
    Systems; Pharma; Technologies; Shipping; Media; Motors; Paper; Airlines; Stores; Telecom; Engineering;
    Logistics; Software"""
)
FIRST = _list(
    """Anna; Peter; Maria; Jukka; Lars; Helen; David; Ingrid; Tom; Sofia; Erik; Claire; John; Mika; Laura; Henrik;
    Susan; Paul; Katarina; George; Emma; Olav; Nina; Robert; Elena; Mark; Petra; Simon; Riitta; Hugo"""
)
LAST = _list(
    """Halvard; Lindroos; Brandt; Whitcombe; Saarela; Mercer; Oksala; Delgado; Norling; Ashby; Falk; Rintala; Hooper;
    Stenmark; Vance; Koivula; Barlow; Ekdahl; Marsh; Tanner; Holt; Ruiz; Petrov; Lange; Quist; Drake; Sandell;
    Yarrow"""
)
BROKERS = _list(
    """Harrow Securities; Kestrel Bank; Lindqvist & Co; Norden Brokers; Palmer Reed; Stonebridge; Veritas Research;
    Ostberg Markets; Crane Capital; Whitfield Partners; Alder Equity; Morrow & Finch; Tidewater Advisors; Grayling
    Investment Bank"""
)
PRODUCTS = _list(
    """paper machines; elevators; mobile phones; wind turbines; packaging board; cranes; software; steel pipes; beer;
    diagnostic tests; network equipment; tractors; tyres; batteries; insulin pumps; engines; valves; fertiliser;
    furniture; chips; mining drills; ferries; solar panels; vaccines; games; bread; clothing; cameras; pulp; copper
    cable"""
)
INDUSTRIES = _list(
    """forest; construction; telecommunications; banking; retail; shipping; energy; mining; food; chemicals;
    automotive; pharmaceutical; packaging; media; insurance; steel; electronics; travel; textile; software"""
)
COUNTRIES = _list(
    """Finland; Sweden; Norway; Denmark; Germany; Poland; Russia; Estonia; Latvia; Lithuania; China; India; Brazil;
    Chile; France; Spain; Italy; the UK; the United States; Canada; Japan; South Korea; Turkey; Mexico; Australia;
    the Netherlands; South Africa; Vietnam; Hungary; Ukraine"""
)
CITIES = _list(
    """Helsinki; Stockholm; Oslo; Tampere; Turku; Copenhagen; Hamburg; London; Paris; Warsaw; Riga; Tallinn; Vilnius;
    Moscow; Shanghai; Mumbai; Madrid; Milan; Vienna; Prague; Boston; Chicago; Toronto; Leeds; Lyon; Gothenburg;
    Oulu; Rotterdam; Singapore; Sao Paulo"""
)
MONTHS = _list("January; February; March; April; May; June; July; August; September; October; November; December")
ORDINALS = ("first", "second", "third", "fourth")
PERIODS = _list(
    """the first half of {year}; the second half of {year}; January-June; January-September; January to March; the
    first nine months of the year; the fiscal year {year}; the period; {year}; the third quarter of {year}; the
    second quarter; April-June {year}; the financial year; the final quarter; the first half; the last three months
    of the year; the corresponding period of {year}; the 12-month period"""
)
# {0}: a figure in millions
MONEY = [
    "EUR {0} mn", "EUR{0}mn", "EUR {0} million", "{0} million euros", "EUR{0}m", "EUR {0}m", "{0} mln euros",
    "€{0} million",
    "${0} million", "${0}m", "${0} mln", "USD {0} mn", "US${0} million", "£{0}m", "GBP {0} million", "SEK {0} million",
    "SEK {0}m", "NOK {0} mn", "DKK {0} million", "CHF {0} million", "{0} million", "{0} mn", "{0} million crowns",
    "EUR {0} mn", "EUR {0} million", "EUR{0}m",
]  # fmt: skip
PERCENT = ["{} %", "{}%", "{} percent", "{} per cent", "{} pct", "{}%"]
# words after which "{quarter}" is a noun: "in the third quarter"; elsewhere an adjective: "third-quarter sales"
_NOUN_FOLLOWS = re.compile(
    r"\s*(?:$|[^\w\s]|(?:and|to|as|on|with|from|against|after|because|due|when|while|but|than|at|by|in|of|was|is|were|will|thanks|compared|versus|came|a|the)\b)"
)


@dataclass(frozen=True)
class Pattern:
    """One line of a file: its tone, its text with slots, the file's name and the line's number."""

    tone: int
    text: str
    source: str
    line: int


def read(folder: Path = FOLDER) -> list[Pattern]:
    """All patterns of the folder's *.tsv files, in the order of names and lines.

    Raises DataError, one line, on a line that is not `tone<tab>pattern`, an unknown tone or slot, a pattern that
    comes twice, or a folder without patterns.
    """
    found: list[Pattern] = []
    seen: dict[str, str] = {}
    for path in sorted(folder.glob("*.tsv")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            place = f"{path.name}:{number}"
            tone, tab, text = line.partition("\t")
            if not tab or tone not in TONES or not text.strip() or "\t" in text:
                raise DataError(
                    f"{place}: {line[:60]!r}", allowed="a tone, a tab, a pattern; tones " + ", ".join(TONES)
                )
            slots = _SLOT.findall(text)
            if unknown := set(slots) - SLOTS.keys() or "{" in _SLOT.sub("", text):
                raise DataError(f"{place}: slots {unknown}", allowed=", ".join(sorted(SLOTS)))
            if text.strip() in seen:
                raise DataError(f"{place}: this pattern also stands at {seen[text.strip()]}", hint="take one away")
            seen[text.strip()] = place
            found.append(Pattern(TONES.index(tone), text.strip(), path.stem, number))
    if not found:
        raise DataError(f"no patterns in {folder}", allowed="*.tsv files of tone<tab>pattern")
    return found


def split_patterns(patterns: list[Pattern], percent: int) -> tuple[list[Pattern], list[Pattern]]:
    """(kept, held out): `percent` of the blocks of neighbouring lines, by a hash of file and place."""

    def is_held(pattern: Pattern) -> bool:
        place = f"{pattern.source} {pattern.line // BLOCK}"
        return int(hashlib.sha256(place.encode()).hexdigest(), 16) % 100 < percent

    return [p for p in patterns if not is_held(p)], [p for p in patterns if is_held(p)]


def fill(patterns: list[Pattern], times: int, seed: int) -> Labelled:
    """Each pattern filled `times` times, and some of the results joined with a neutral sentence, which leaves the tone.

    The same patterns, times and seed give the same sentences.
    """
    draw = random.Random(seed)
    plain = [pattern for pattern in patterns if pattern.tone == NEUTRAL] or patterns
    found = []
    for _ in range(times):
        for pattern in patterns:
            text = fill_one(pattern.text, draw)
            chance = draw.random()
            if chance < 0.06:
                text = f"{_ended(text)} {fill_one(draw.choice(plain).text, draw)}"
            elif chance < 0.12:
                text = f"{_ended(fill_one(draw.choice(plain).text, draw))} {text}"
            found.append((text, pattern.tone))
    return found


def _ended(text: str) -> str:
    return text if text[-1] in ".!?" else text + "."


def fill_one(text: str, draw: random.Random) -> str:
    """A pattern's text with every slot filled; a slot's second appearance gets the same words."""
    values = _figures(text, draw)
    result, end = [], 0
    for match in _SLOT.finditer(text):
        slot = match[1]
        if slot == "quarter":
            value = _quarter(draw, noun=_NOUN_FOLLOWS.match(text, match.end()) is not None, first=match.start() == 0)
        else:
            if slot not in values:
                values[slot] = SLOTS[slot](draw)
                while slot == "company2" and values[slot] == values.get("company"):
                    values[slot] = SLOTS[slot](draw)
            value = values[slot]
        result += [text[end : match.start()], value]
        end = match.end()
    return "".join([*result, text[end:]])


def company(draw: random.Random) -> str:
    return f"{draw.choice(STARTS)}{draw.choice(ENDS)} {draw.choice(KINDS)}".strip()


def _quarter(draw: random.Random, *, noun: bool, first: bool) -> str:
    number = draw.randrange(4)
    if draw.random() < 0.4:
        return f"Q{number + 1}"
    if noun:
        return f"the {ORDINALS[number]} quarter"
    word = f"{ORDINALS[number]}-quarter"
    return word.capitalize() if first else word


def _figures(text: str, draw: random.Random) -> dict[str, str]:
    """The money, percentages and counts of a sentence, each kind written in one way, high above low."""
    small = re.search(r"a share|per share|\bEPS\b|price|target|a barrel|an? ounce|a tonne|objective|per user", text)
    values: dict[str, str] = {}
    form = draw.choice(MONEY)
    if small:
        form = re.sub(r"(?i)\s?(?:mn|million|mln|m\b)", "", form).strip()
        form = form if re.search(r"[^\d{} .]", form) else "{0} euros"
    elif draw.random() < 0.12:
        form = re.sub(r"\bmillion\b", "billion", form.replace("mln", "bln").replace("mn", "bn"))
        form = re.sub(r"m$", "bn", form)
    low = draw.uniform(0.1, 20) if small else 10 ** draw.uniform(-0.3, 3.3)
    digits = 2 if small else draw.choice((0, 1, 1, 1, 2)) if low < 100 else draw.choice((0, 0, 1))
    values["low"], values["high"] = _pair(draw, low, digits, form)
    values["money"] = _pair(draw, 10 ** draw.uniform(-0.3, 3.3) if not small else low, digits, form)[0]
    percent = draw.choice(PERCENT)
    low = draw.choice((draw.uniform(0.5, 15), draw.uniform(2, 45)))
    values["lowpct"], values["highpct"] = _pair(draw, low, draw.choice((0, 1, 1)), percent)
    values["pct"] = percent.format(
        _written(draw.choice((draw.uniform(0.5, 12), draw.uniform(3, 60))), draw.choice((0, 1)))
    )
    values["lownumber"], values["highnumber"] = _pair(draw, 10 ** draw.uniform(1.3, 4.5), 0, "{}")
    values["number"] = _written(10 ** draw.uniform(1.1, 4.5), 0)
    return values


def _pair(draw: random.Random, low: float, digits: int, form: str) -> tuple[str, str]:
    """(low, high) written alike, and different as written."""
    high = low * draw.choice((draw.uniform(1.03, 1.3), draw.uniform(1.2, 2.5)))
    return form.format(_written(low, digits)), form.format(
        _written(max(high, round(low, digits) + 10.0**-digits), digits)
    )


def _written(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


SLOTS = {
    **dict.fromkeys((f"{size}{kind}" for size in ("high", "low") for kind in PAIRS), str),
    **dict.fromkeys(("money", "pct", "number", "quarter"), str),
    "company": company,
    "company2": company,
    "product": lambda draw: draw.choice(PRODUCTS),
    "industry": lambda draw: draw.choice(INDUSTRIES),
    "country": lambda draw: draw.choice(COUNTRIES),
    "city": lambda draw: draw.choice(CITIES),
    "person": lambda draw: f"{draw.choice(FIRST)} {draw.choice(LAST)}",
    "analyst": lambda draw: draw.choice(BROKERS),
    "period": lambda draw: draw.choice(PERIODS).format(year=draw.randrange(2004, 2026)),
    "year": lambda draw: str(draw.randrange(2004, 2027)),
    "month": lambda draw: draw.choice(MONTHS),
    "date": lambda draw: draw.choice(("{1} {0}", "{0} {1}", "{0} {1}, {2}")).format(
        draw.choice(MONTHS), draw.randrange(1, 29), draw.randrange(2004, 2027)
    ),
}

# --- direction and object together: "loss narrowed" is good news, "profit narrowed" is bad ----------------------------

GAINS = _list(
    """operating profit; net profit; pre-tax profit; net sales; revenue; earnings per share; order intake; gross
    margin; cash flow from operations; EBITDA; turnover; comparable sales; orders received; market share; earnings;
    exports; production; passenger numbers; customer satisfaction; net interest income; operating margin;
    profitability; demand"""
)
PAINS = _list(
    """net loss; operating loss; pre-tax loss; loss per share; loan losses; impairment charges; net debt; the default
    rate; bad loans; raw material costs; customer complaints; restructuring costs; cash burn; staff turnover;
    warranty claims; costs; operating expenses; the loss; unemployment; debt"""
)
UP = _list("rose; increased; grew; climbed; jumped; surged; went up; was up; moved higher; more than doubled")
DOWN = _list("fell; decreased; declined; dropped; shrank; slipped; went down; was down; moved lower; halved")
UP_GAIN, DOWN_GAIN = [*UP, "improved", "strengthened"], [*DOWN, "weakened", "worsened", "narrowed", "deteriorated"]
UP_PAIN, DOWN_PAIN = [*UP, "widened", "deepened", "worsened"], [*DOWN, "narrowed", "eased", "was reduced", "improved"]
FORMS = [
    "{company}'s METRIC VERB in {period}",
    "{company} said its METRIC VERB to NOW from BEFORE a year earlier",
    "METRIC VERB to NOW in {period} from BEFORE",
    "METRIC VERB by {pct} to NOW in {period}",
    "{company}: METRIC VERB {pct}",
    "METRIC of {company} came to NOW, WAY from BEFORE the year before",
    "METRIC amounted to NOW in {period}, compared to BEFORE a year earlier",
    "METRIC VERB",
    "{company} METRIC VERB in {quarter}",
]


def metric_sentences(count: int, seed: int) -> Labelled:
    """`count` sentences in which a quantity that is good or bad to have goes up or down."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        gain, up = draw.random() < 0.6, draw.random() < 0.5
        verb = draw.choice({(1, 1): UP_GAIN, (1, 0): DOWN_GAIN, (0, 1): UP_PAIN, (0, 0): DOWN_PAIN}[gain, up])
        text = draw.choice(FORMS).replace("METRIC", draw.choice(GAINS if gain else PAINS)).replace("VERB", verb)
        text = text.replace("NOW", "{high}" if up else "{low}").replace("BEFORE", "{low}" if up else "{high}")
        text = fill_one(text.replace("WAY", "up" if up else "down"), draw)
        found.append((text[0].upper() + text[1:], POSITIVE if gain == up else NEGATIVE))
    return found
