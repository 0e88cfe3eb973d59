from naive.common import each_bar, over_bars


def _since(values, i, window, best):
    last = values[i - window : i + 1].tolist()[::-1]
    return last.index(best(last))


def aroon(high, low, offsets, window):
    def formula(high, low):
        down = each_bar(len(low), window, lambda i: 100.0 * (window - _since(low, i, window, min)) / window)
        return down, each_bar(len(high), window, lambda i: 100.0 * (window - _since(high, i, window, max)) / window)

    return over_bars([high, low], offsets, formula)


def aroon_oscillator(high, low, offsets, window):
    down, up = aroon(high, low, offsets, window)
    return up - down
