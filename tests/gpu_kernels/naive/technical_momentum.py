from naive.common import each_bar, over_bars


def _changes(close, offsets, lag, formula):
    def each(close):
        return each_bar(len(close), lag, lambda i: formula(close[i], close[i - lag]))

    return over_bars([close], offsets, each)


def momentum(close, offsets, lag):
    return _changes(close, offsets, lag, lambda now, before: now - before)


def rate_of_change(close, offsets, lag):
    return _changes(close, offsets, lag, lambda now, before: 100 * (now - before) / before)


def rate_of_change_part(close, offsets, lag):
    return _changes(close, offsets, lag, lambda now, before: (now - before) / before)


def rate_of_change_ratio(close, offsets, lag):
    return _changes(close, offsets, lag, lambda now, before: now / before)


def rate_of_change_ratio_percent(close, offsets, lag):
    return _changes(close, offsets, lag, lambda now, before: 100 * now / before)
