"""Sums over the returns of a session as vector code. A compiler may not reorder additions of floats, so one running sum
waits for each; here `lanes.shape[0]` sums run side by side and are added at the end, in one order on every machine. CPU
loops bring `LANES` of them; a thread on CUDA, whose neighbours run beside it anyway, brings one."""

from gpu_kernels._jit import body

LANES = 32


@body
def _total(lanes):
    total = 0.0
    for k in range(lanes.shape[0]):
        total += lanes[k]
    return total


@body
def dot(values, first, last, lag, lanes):
    """Sum of values[i] values[i - lag] over first <= i < last."""
    width = lanes.shape[0]
    lanes[:] = 0.0
    whole = first + max(last - first, 0) // width * width
    for i in range(first, whole, width):
        now, before = values[i : i + width], values[i - lag : i - lag + width]
        for k in range(lanes.shape[0]):
            lanes[k] += now[k] * before[k]
    for i in range(whole, last):
        lanes[i - whole] += values[i] * values[i - lag]
    return _total(lanes)


@body
def squared_steps(prices, first, last, every, lanes):
    """Sum of (prices[i + every] - prices[i])² over first <= i < last."""
    width = lanes.shape[0]
    lanes[:] = 0.0
    whole = first + max(last - first, 0) // width * width
    for i in range(first, whole, width):
        now, later = prices[i : i + width], prices[i + every : i + every + width]
        for k in range(lanes.shape[0]):
            step = later[k] - now[k]
            lanes[k] += step * step
    for i in range(whole, last):
        step = prices[i + every] - prices[i]
        lanes[i - whole] += step * step
    return _total(lanes)
