import numpy as np

from naive.common import output, segments


def history(known_time, event_time, value, offsets, decision_time, decision_offsets, *, max_age_ns, back=1, window=1):
    out = [output(len(decision_time), value) for _ in range(5)]
    for (first, last), (begin, end) in zip(segments(offsets), segments(decision_offsets), strict=True):
        for decision in range(begin, end):
            t = int(decision_time[decision])
            vintages = {}
            for row in range(first, last):
                if known_time[row] <= t:
                    vintages.setdefault(int(event_time[row]), []).append(float(value[row]))
            if not vintages or t - max(vintages) > max_age_ns or np.isnan(vintages[max(vintages)][-1]):
                continue
            prints = [vintages[event] for event in sorted(vintages, reverse=True)]
            prints = [[x for x in each if not np.isnan(x)] for each in prints if not np.isnan(each[-1])]
            known, printed = [each[-1] for each in prints], [each[0] for each in prints]
            out[0][decision], out[1][decision] = known[0], printed[0]
            if len(known) > back:
                out[2][decision] = known[0] - known[back]
            if len(known) >= window:
                out[3][decision] = np.mean([x - p for x, p in zip(known[:window], printed[:window], strict=True)])
            before = known[1 : window + 1]
            if window > 1 and len(before) == window and len(set(before)) > 1:
                out[4][decision] = (known[0] - np.mean(before)) / np.std(before, ddof=1)
    return tuple(out)
