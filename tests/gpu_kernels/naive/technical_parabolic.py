import numpy as np

from naive.common import over_bars


def parabolic_stop_and_reverse(high, low, offsets, acceleration=0.02, maximum=0.2):
    """A downtrend is an uptrend of prices with their signs turned."""
    acceleration = min(acceleration, maximum)

    def formula(high, low):
        out = np.full(len(high), np.nan)
        if len(high) < 2:
            return out
        up, down = high[1] - high[0], low[0] - low[1]
        side = -1.0 if down > 0 and down > up else 1.0
        bars = {1.0: (high, low), -1.0: (-low, -high)}
        tops, bottoms = bars[side]
        level, extreme, speed = bottoms[0], tops[1], acceleration
        for i in range(1, len(high)):
            tops, bottoms = bars[side]
            yesterday = max(1, i - 1)
            if bottoms[i] <= level:
                level = max(extreme, tops[yesterday], tops[i])
                out[i] = side * level
                side, level = -side, -level
                tops, bottoms = bars[side]
                extreme, speed = tops[i], acceleration
            else:
                out[i] = side * level
                if tops[i] > extreme:
                    extreme, speed = tops[i], min(maximum, speed + acceleration)
            level = min(level + speed * (extreme - level), bottoms[yesterday], bottoms[i])
        return out

    return over_bars([high, low], offsets, formula)
