"""Headline templates by tone, written for the simulator; no text model may be trained on them.

PLAIN  the words carry the tone
HARD   a word list gets them wrong: the loss narrows, the beat comes with a warning, the recall widens
PAIR   about two companies, with the same tone for both
"""

NEGATIVE, NEUTRAL, POSITIVE = -1, 0, 1

PLAIN: dict[int, tuple[str, ...]] = {
    NEGATIVE: (
        "{name} cuts full-year outlook as {product} demand weakens",
        "{name} shares slide after {quarter} sales miss estimates",
        "{name} posts surprise {quarter} loss on higher costs",
        "{name} warns of lower margins in {region}",
        "{name} to close {count} sites and cut jobs as sales fall",
        "{name} finance chief resigns amid accounting review",
        "{name} delays {product} launch after failed tests",
        "{name} hit with lawsuit over faulty {product}",
        "Regulators open probe into {name} sales practices",
        "{name} downgraded to sell on slowing growth in {region}",
        "{name} recalls {product} after safety complaints",
        "{name} loses key supply contract worth {money}",
        "Credit agency lowers {name} rating to one notch above junk",
        "{name} suspends dividend to preserve cash",
        "{name} reports data breach affecting customers in {region}",
        "Strike halts shipments at {name} warehouses",
        "{name} writes down {money} on troubled {product} unit",
        "{name} says orders dropped {pct} percent in {quarter}",
        "{name} profit tumbles {pct} percent on weak {product} sales",
        "Short seller accuses {name} of inflating {product} revenue",
        "{name} misses revenue target for second straight quarter",
        "{name} withdraws guidance, citing deteriorating demand",
        "Analysts slash {name} price targets after dismal update",
        "{name} fined {money} for misleading investors",
    ),
    NEUTRAL: (
        "{name} to report {quarter} results next Thursday",
        "{name} names new head of {product} for {region}",
        "{name} to present at investor conference in {region}",
        "{name} schedules annual meeting of shareholders",
        "{name} files quarterly report with regulator",
        "{name} moves headquarters staff to new office in {region}",
        "{name} appoints two independent directors",
        "{name} confirms date of {product} event",
        "{name} changes ticker listing to new share class",
        "{name} renews lease on {region} distribution centre",
        "{name} to take part in {product} trade fair",
        "{name} announces routine auditor rotation",
        "{name} publishes annual sustainability report",
        "{name} completes previously announced share conversion",
        "Analyst initiates coverage of {name} with hold rating",
        "{name} updates terms of its customer programme",
        "{name} says {quarter} call will start one hour later than usual",
        "{name} registers shares for employee plan",
        "{name} holds {product} workshop for suppliers",
        "{name} to webcast presentation by chief executive",
        "{name} sets record date for shareholder vote",
        "{name} opens visitor centre at its {region} site",
        "{name} renames its {product} division",
        "{name} reiterates its existing full-year guidance",
    ),
    POSITIVE: (
        "{name} raises full-year outlook on strong {product} demand",
        "{name} shares jump after {quarter} sales beat estimates",
        "{name} posts record {quarter} profit",
        "{name} lifts dividend by {pct} percent",
        "{name} announces {money} share buyback",
        "{name} wins {money} contract in {region}",
        "{name} upgraded to buy as margins improve",
        "{name} says {product} orders surged {pct} percent",
        "{name} expands {product} range after strong early sales",
        "{name} beats profit expectations for fifth straight quarter",
        "Credit agency raises {name} rating on robust cash flow",
        "{name} reports strongest {quarter} growth in {region} since listing",
        "{name} secures approval for new {product} plant",
        "{name} gains market share in {region}",
        "{name} to hire {count} staff as demand grows",
        "{name} launches {product} to enthusiastic reviews",
        "{name} signs multi-year partnership with leading {product} supplier",
        "{name} online sales climb {pct} percent, topping forecasts",
        "{name} sees margins improving further next year",
        "Analysts raise {name} price targets after upbeat update",
        "{name} earnings rise {pct} percent on {product} boom",
        "{name} pays down {money} of debt ahead of plan",
        "{name} customer growth accelerates in {region}",
        "{name} settles patent case on favourable terms",
    ),
}

HARD: dict[int, tuple[str, ...]] = {
    NEGATIVE: (
        "{name} beats lowered bar but warns on next quarter",
        "{name} recall of {product} widens",
        "{name} profit growth evaporates as {product} boom fades",
        "{name} strong sales mask collapsing margins, filing shows",
        "{name} fails to win approval for promising {product}",
        "{name} gains prove short-lived as {region} orders are cancelled",
        "Rival's record quarter comes at expense of {name}",
        "{name} rally looks overdone, says former bull",
        "Not the improvement investors hoped for at {name}",
        "{name} no longer expects to return to growth this year",
    ),
    NEUTRAL: (
        "{name} loss in {quarter} in line with forecasts",
        "{name} gains on {product} offset by declines in {region}",
        "{name} denies it is in talks on sale of {product} unit",
        "{name} dispute with supplier neither settled nor escalated",
        "{name} profit unchanged as higher sales meet higher costs",
        "{name} moves {product} risk team to {region}",
        "{name} crash-test facility opens in {region}",
        "{name} to explain best practice in {product} recalls at conference",
        "{name} wins and losses in {region} cancel out, analysts say",
        "{name} beats one forecast and misses another, shares flat",
    ),
    POSITIVE: (
        "{name} loss narrows more than expected",
        "{name} {quarter} sales decline not as bad as feared",
        "{name} escapes fine as regulators drop probe",
        "{name} says worst of {product} slump is over",
        "{name} cuts debt and ends costly {product} dispute",
        "Short sellers retreat from {name} after claims are debunked",
        "{name} sees no further writedowns at {product} unit",
        "{name} recall far smaller than first thought",
        "{name} halts losses in {region} a year early",
        "{name} shrugs off weak sector to avoid guidance cut",
    ),
}

PAIR: dict[int, tuple[str, ...]] = {
    NEGATIVE: (
        "{name} and {other} both cut forecasts as {product} demand fades",
        "{name}, {other} fall after regulator targets sector",
        "Costs squeeze {name} and {other}, analysts cut estimates",
        "{name}, {other} hit by {region} supply disruption",
    ),
    NEUTRAL: (
        "{name} and {other} to report results next week",
        "{name}, {other} to speak at {product} conference",
        "{name} and {other} join industry body on {product} standards",
        "Factbox: how {name} and {other} compare in {region}",
    ),
    POSITIVE: (
        "{name} and {other} both raise forecasts on {product} demand",
        "{name}, {other} climb as {region} spending beats estimates",
        "Falling costs lift {name} and {other}, analysts raise estimates",
        "{name} and {other} win shares of {money} order",
    ),
}

PRODUCTS = {
    "retailer": ("home goods", "footwear", "grocery", "seasonal apparel", "furniture", "loyalty card", "garden"),
    "tech": ("cloud storage", "server chips", "payments software", "smart speakers", "security software", "sensors"),
}
REGIONS = ("the Midwest", "Europe", "Canada", "the Southwest", "Asia", "Latin America", "the Northeast")
QUARTERS = ("first-quarter", "second-quarter", "third-quarter", "fourth-quarter", "holiday")

# how a wire repeats an item
REPEATS = ("UPDATE 1-{text}", "RPT-{text}", "{text} - newswire", "{text}", "CORRECTED-{text}")
