import math

import numpy as np

from naive.common import segments

SECOND = 10**9


def _class(value, limits):
    return sum(value >= limit for limit in limits)


def _mean_size(bids, asks):
    if not (bids[0] > 0 and asks[0] > 0):
        return np.nan
    held = [size for size in (*bids, *asks) if size != 0]
    return sum(held) / len(held)


def spoofing(  # noqa: PLR0912
    time,
    price_ticks,
    placed,
    origin,
    gone,
    side,
    bid_ticks,
    bid_sizes,
    ask_ticks,
    ask_sizes,
    offsets,
    trade_time,
    trade_lots,
    aggressor,
    trade_offsets,
    *,
    large=0.5,
    away_ticks=3,
    min_age_ns=SECOND // 5,
    max_age_ns=12 * SECOND,
    before_ns=0,
    together_ns=SECOND // 10,
    half_life_ns=100 * SECOND,
    clear=2.0,
    opposite=1.0,
):
    rows = len(time)
    score, began, group = np.zeros(rows), np.full(rows, -1), np.zeros((2, rows))
    clean = [sizes.astype(np.float64) for sizes in (bid_sizes, ask_sizes)]

    def age_of(age):
        return _class(age, (max_age_ns / 8, max_age_ns / 4, max_age_ns / 2))

    for (first, last), (begin, end) in zip(segments(offsets), segments(trade_offsets), strict=True):
        watched, ended, groups = [], [], {1: None, -1: None}
        for row in range(first, last):
            now = time[row]
            # each row's book held until the next row; the clock of the typical size stops where nobody knows it
            spans = [(_mean_size(bid_sizes[:, r], ask_sizes[:, r]), time[r + 1] - time[r]) for r in range(first, row)]
            spans = [(size, span) for size, span in spans if not math.isnan(size)]
            since, weights = 0, []
            for _, span in reversed(spans):
                weights.append(2.0 ** (-since / half_life_ns) - 2.0 ** (-(since + span) / half_life_ns))
                since += span
            weights.reverse()
            total = sum(weights)
            typical = (
                sum(w * size for w, (size, _) in zip(weights, spans, strict=True)) / total if total > 0 else np.nan
            )
            known = [t for t in range(begin, end) if trade_time[t] <= now and trade_lots[t] > 0]

            def traded(sign, since, until, known=known):
                return sum(int(trade_lots[t]) for t in known if aggressor[t] == sign and since < trade_time[t] <= until)

            if math.isnan(bid_sizes[0, row]) or math.isnan(ask_sizes[0, row]):
                watched, groups = [], {1: None, -1: None}
                score[row], group[:, row] = np.nan, np.nan
                continue
            for old in [order for order in watched if now - order["began"] > max_age_ns]:
                watched.remove(old)
                ended.append((old["class"], 3, old["left"], False))
            taken = [order for order in watched if order["row"] == origin[row]]
            for order in taken:
                lots = min(int(gone[0, row]), order["left"])
                filled = min(int(gone[1, row]), order["left"] - lots)
                order["left"] -= lots + filled
                order["filled"] += filled
                age = now - order["began"]
                ended.append((order["class"], age_of(age), filled, False))
                ended.append((order["class"], age_of(age), lots, True))
                if lots > 0 and age >= min_age_ns and order["filled"] <= 0.1 * order["placed"]:
                    one = groups[order["side"]]
                    if one is None or now - one["last"] > together_ns:
                        one = groups[order["side"]] = {"began": order["began"], "size": 0.0, "given": 0.0}
                    one["began"], one["last"] = min(one["began"], order["began"]), now
                    one["size"] += lots / typical
                    seller = -order["side"]
                    volume = traded(seller, one["began"] - before_ns, now)
                    # a trade counts from the row that first knows it
                    counted = [t for t in known if aggressor[t] == seller]
                    heard = [time[first:last][np.searchsorted(time[first:last], trade_time[t])] for t in counted]
                    faded = sum(
                        trade_lots[t] * 2.0 ** (-(now - at) / half_life_ns)
                        for t, at in zip(counted, heard, strict=True)
                    )
                    lived = 1.0 - 2.0 ** (-(now - time[first]) / half_life_ns)
                    rate = faded * math.log(2.0) / (half_life_ns * lived) if lived > 0 else 0.0
                    expected = rate * (now - one["began"] + before_ns)
                    share = volume / (volume + expected) if volume > 0 else 0.0
                    whole = math.log2(1.0 + (one["size"] * (1.0 - opposite + opposite * share) / clear) ** 2)
                    score[row] = max(whole - one["given"], 0.0)
                    one["given"] = max(whole, one["given"])
                    began[row], group[:, row] = one["began"], (one["size"], share)
                if order["left"] <= 0:
                    watched.remove(order)
            ticks, sizes = (bid_ticks, bid_sizes) if side[row] > 0 else (ask_ticks, ask_sizes)
            shown = [t for t, s in zip(ticks[:, row], sizes[:, row], strict=True) if s > 0]
            distance = abs(int(price_ticks[row]) - int(ticks[0, row]))
            behind = (price_ticks[row] - ticks[0, row]) * side[row] < 0
            if (
                placed[row] > 0
                and placed[row] >= large * typical
                and price_ticks[row] in shown[1:]
                and behind
                and distance >= away_ticks
            ):
                kind = (_class(placed[row] / typical, (2 * large, 4 * large)),
                        _class(distance, (2 * away_ticks, 4 * away_ticks)))  # fmt: skip
                watched.append({
                    "row": row, "side": int(side[row]), "tick": price_ticks[row], "began": now,
                    "left": int(placed[row]),
                    "placed": int(placed[row]), "filled": 0, "class": kind,
                })  # fmt: skip
            for order in watched:
                age, prior = age_of(now - order["began"]), 5 * typical
                reached = [(of, lots, gone_) for of, at, lots, gone_ in ended if at >= age]
                every = (sum(lots for _, lots, gone_ in reached if gone_) + prior / 2) / (
                    sum(lots for _, lots, _ in reached) + prior
                )
                mine = [(lots, gone_) for of, lots, gone_ in reached if of == order["class"]]
                vanish = (sum(lots for lots, gone_ in mine if gone_) + every * prior) / (
                    sum(lots for lots, _ in mine) + prior
                )
                k = 0 if order["side"] > 0 else 1
                ticks, sizes = ((bid_ticks, bid_sizes), (ask_ticks, ask_sizes))[k]
                for level in range(len(ticks)):
                    if ticks[level, row] == order["tick"] and sizes[level, row] > 0:
                        clean[k][level, row] = max(clean[k][level, row] - order["left"] * vanish, 0.0)
    return score, began, group, clean[0], clean[1]
