"""Sentences of our own with their tone, for what financial tweets seldom show.

Direction and object together ("loss narrowed" is good news, "profit narrowed" is bad), figures against those of a year
before, and company statements that say nothing good or bad. Companies and figures are invented.
"""

import random

NEGATIVE, NEUTRAL, POSITIVE = range(3)


def _list(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split(";")]


COMPANIES = _list(
    """Halden; Norvia; Brightwell; Castor Lane; Ostrava Tech; Pellworth; Kvarn; Lumenor; Tessaro; Fairmoor; Ardent
    Foods; Quillon; Vantbridge; Serrano Steel; Oakhurst; Meridian Paper; Tollgate; Zephyra; Corwin; Hallberg"""
)
GAINS = _list(
    """operating profit; net profit; pre-tax profit; net sales; revenue; earnings per share; order intake; gross
    margin; cash flow from operations; EBITDA; turnover; comparable sales; orders received; market share; earnings;
    exports; production; passenger numbers; customer satisfaction; net interest income"""
)
PAINS = _list(
    """net loss; operating loss; pre-tax loss; loss per share; loan losses; impairment charges; net debt; default rate;
    bad loans; raw material costs; customer complaints; restructuring costs; cash burn; staff turnover; warranty
    claims"""
)
UP = _list("""rose; increased; grew; climbed; jumped; surged; went up; was up; moved higher; more than doubled""")
DOWN = _list("""fell; decreased; declined; dropped; shrank; slipped; went down; was down; moved lower; halved""")
UP_GAIN, DOWN_GAIN = [*UP, "improved", "strengthened"], [*DOWN, "weakened", "worsened", "narrowed", "deteriorated"]
UP_PAIN, DOWN_PAIN = [*UP, "widened", "deepened", "worsened"], [*DOWN, "narrowed", "eased", "was reduced", "improved"]
WHEN = _list(
    """in the third quarter; in the first half of the year; during the period; in the fiscal year; in January to March;
    in the second quarter of 2011; for the full year; last month; year on year"""
)
GOOD = [
    "{c} raised its full-year outlook after a strong {q} quarter",
    "{c} beat analysts' expectations for the {q} quarter",
    "{c} won an order worth {m} for its new product line",
    "{c} swung to a profit of {m} from a loss of {n} a year earlier",
    "{c} returned to profit {w}",
    "{c} turned a loss of {n} into a profit of {m}",
    "{c} increases its dividend on record earnings",
    "{c} expects demand to strengthen and margins to improve",
    "{c} shares jumped after the company lifted its guidance",
    "Analysts upgrade {c} to buy on better growth prospects",
    "{c} signed a long-term supply agreement that will add {m} to its annual sales",
    "The savings programme of {c} has lowered costs faster than planned",
    "{c} gained market share from its rivals {w}",
    "{c} says deliveries reached a record {w}",
    "{c} cut its debt by {m} and its interest bill fell",
    "Regulators cleared {c} of all charges",
    "{c} will hire {k} more people as orders pick up",
    "The new plant makes {c} more efficient and doubles its capacity",
]
BAD = [
    "{c} cut its full-year outlook after a weak {q} quarter",
    "{c} missed analysts' expectations for the {q} quarter",
    "{c} lost a contract worth {m} to a rival",
    "{c} swung to a loss of {m} from a profit of {n} a year earlier",
    "{c} slipped into the red {w}",
    "{c} turned a profit of {n} into a loss of {m}",
    "{c} suspends its dividend as earnings collapse",
    "{c} expects demand to weaken and margins to shrink",
    "{c} shares plunged after the company issued a profit warning",
    "Analysts downgrade {c} to sell on poor growth prospects",
    "{c} will lay off {k} employees and close its oldest plant",
    "{c} recalls {k} units over a safety defect",
    "{c} starts negotiations on temporary layoffs of {k} people",
    "{c} lost market share to its rivals {w}",
    "{c} says deliveries were delayed by strikes and shortages",
    "{c} breached its loan covenants and needs fresh capital",
    "Regulators fined {c} {m}",
    "{c} files for bankruptcy protection",
]
PLAIN = [
    "{c} will publish its interim report on {d}",
    "{c} appoints a new chief financial officer",
    "{c} and {e} have signed a letter of intent",
    "The annual general meeting of {c} will be held on {d}",
    "{c} employs {k} people in {q} countries",
    "{c} is headquartered in the north and makes packaging machines",
    "The value of the order was not disclosed",
    "{c} has agreed to sell its property unit to {e} for {m}",
    "The company's {g} totalled {m} {w}",
    "{c} reported {g} of {m} {w}",
    "The shares carry a right to a dividend from {d}",
    "{c} transferred {k} own shares to its employees",
    "The board proposes that the number of members be {q}",
    "{c} supplies the software to {e}, which runs {k} stores",
    "The contract includes design, delivery and installation",
    "{c} will move its head office to a new building next year",
    "The transaction is expected to close on {d}",
    "{c} plans to build a terminal near the harbour",
    "The total floor area of the building is {k} square metres",
    "{c} reiterates its outlook",
    "Analysts at {e} keep {c} at hold",
    "{e} says it has no plans to change its stake in {c}",
]
AMOUNTS = ["EUR {:.1f} mn", "EUR{:.1f}m", "${:.1f} million", "{:.1f} million euros"]
QUARTERS, MONTHS = ("first", "second", "third", "fourth"), ("March", "May", "August", "October")


def template_sentences(count: int, seed: int) -> list[tuple[str, int]]:
    """`count` different sentences with their tones: half of the metric kind, half of the plain lists."""
    draw = random.Random(seed)
    found: dict[str, int] = {}
    while len(found) < count:
        text, tone = _metric_sentence(draw) if draw.random() < 0.5 else _list_sentence(draw)
        found.setdefault(text, tone)
    return list(found.items())


def _amount(draw: random.Random, number: float) -> str:
    return draw.choice(AMOUNTS).format(number)


def _metric_sentence(draw: random.Random) -> tuple[str, int]:
    gain, up = draw.random() < 0.6, draw.random() < 0.5
    metric = draw.choice(GAINS if gain else PAINS)
    verb = draw.choice({(1, 1): UP_GAIN, (1, 0): DOWN_GAIN, (0, 1): UP_PAIN, (0, 0): DOWN_PAIN}[gain, up])
    low = draw.uniform(0.5, 90)
    high = low * draw.uniform(1.05, 2.5)
    now, before = (high, low) if up else (low, high)
    form = draw.choice(AMOUNTS)
    now_text, before_text = form.format(now), form.format(before)
    company, when = draw.choice(COMPANIES), draw.choice(WHEN)
    percent = f"{100 * abs(now / before - 1):.0f} {draw.choice(['%', 'percent', 'pct'])}"
    text = draw.choice(
        [
            f"{company}'s {metric} {verb} {when}",
            f"{company} said its {metric} {verb} to {now_text} from {before_text} a year earlier",
            f"{metric} {verb} to {now_text} {when} from {before_text}",
            f"{metric} {verb} by {percent} to {now_text} {when}",
            f"{company}: {metric} {verb} {percent}",
            f"{metric} of {company} came to {now_text}, {'up' if up else 'down'} from {before_text} the year before",
            f"{metric} amounted to {now_text} {when}, compared to {before_text} a year earlier",
        ]
    )
    return text[0].upper() + text[1:], POSITIVE if gain == up else NEGATIVE


def _list_sentence(draw: random.Random) -> tuple[str, int]:
    tone = draw.choice((NEGATIVE, NEUTRAL, NEUTRAL, POSITIVE))
    text = draw.choice((BAD, PLAIN, GOOD)[tone]).format(
        c=draw.choice(COMPANIES),
        e=draw.choice(COMPANIES),
        g=draw.choice(GAINS[:5]),
        k=draw.randrange(20, 9000),
        m=_amount(draw, draw.uniform(0.5, 90)),
        n=_amount(draw, draw.uniform(0.5, 90)),
        w=draw.choice(WHEN),
        d=f"{draw.randrange(1, 29)} {draw.choice(MONTHS)}",
        q=draw.randrange(3, 30) if tone == NEUTRAL else draw.choice(QUARTERS),
    )
    return text, tone
