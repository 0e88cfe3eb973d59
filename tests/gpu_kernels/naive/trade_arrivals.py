import numpy as np

from naive.common import segments


def arrival_asymmetry(
    time, price_ticks, side, offsets, at, bid_ticks, ask_ticks, at_offsets, *, bands, half_life_ns, memory_ticks=4096
):
    out = np.full((len(bands) + 1, len(at)), np.nan)
    for (first, last), (begin, end) in zip(segments(offsets), segments(at_offsets), strict=True):
        for i in range(begin, end):
            if not 0 < bid_ticks[i] <= ask_ticks[i]:
                continue
            seen = [row for row in range(first, last) if time[row] <= at[i] and side[row]]
            holder = {int(price_ticks[row]) % memory_ticks: row for row in seen}
            rates = np.zeros((len(bands), 2))
            for row in seen:
                slot = int(price_ticks[row]) % memory_ticks
                # forgotten, if another level took the slot since
                taken = [r for r in seen if int(price_ticks[r]) % memory_ticks == slot and r > row]
                if price_ticks[holder[slot]] != price_ticks[row] or any(
                    price_ticks[r] != price_ticks[row] for r in taken
                ):
                    continue
                distance = abs(int(price_ticks[row]) - (int(bid_ticks[i]) + int(ask_ticks[i])) / 2)
                inside = [band for band, edge in enumerate(bands) if distance <= edge]
                if inside:
                    rates[inside[0], 0 if side[row] > 0 else 1] += 0.5 ** (float(at[i] - time[row]) / half_life_ns)
            for j, (bought, sold) in enumerate([*rates, rates.sum(0)]):
                if bought + sold > 0:
                    out[j, i] = (bought - sold) / (bought + sold)
    return out
