"""Steps that Numba makes one by one, or too dear, put as vectors or single instructions."""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic


def decay_eight(target, place, source, lag, near, far):
    """Eight rows from `place` on of target[i] = source[i] + near source[i - lag] + far target[i - 8], as one vector. Of
    a plain loop Numba makes steps of one row, because a row needs one before it."""
    rows = slice(place, place + 8)
    target[rows] = source[rows] + near * source[place - lag : place - lag + 8] + far * target[place - 8 : place]


def _decay_eight_typed(_, target, place, source, lag, near, far):
    eight, index = ir.VectorType(ir.DoubleType(), 8), ir.IntType(32)

    def generate(context, builder, signature, arguments):
        def pointer(array, behind):
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            return builder.bitcast(builder.gep(data, [builder.sub(arguments[1], behind)]), eight.as_pointer())

        def rows(array, behind):
            return builder.load(pointer(array, behind), align=8)

        def times(number, vector):
            everywhere = builder.insert_element(ir.Constant(eight, ir.Undefined), number, ir.Constant(index, 0))
            lanes = ir.Constant(ir.VectorType(index, 8), [0] * 8)
            return builder.fmul(builder.shuffle_vector(everywhere, everywhere, lanes), vector)

        here, before = arguments[1].type(0), arguments[1].type(8)
        own = builder.fadd(rows(2, here), times(arguments[4], rows(2, arguments[3])))
        builder.store(builder.fadd(own, times(arguments[5], rows(0, before))), pointer(0, here), align=8)
        return context.get_dummy_value()

    return types.none(target, types.int64, source, types.int64, types.float64, types.float64), generate


def quotient(total, count, reciprocal):
    """total / count to the last bit, `reciprocal` being 1.0 / count of a whole `count` below 2**50: a product and what
    is left over (Markstein 1990), in a third of a division's time. `total` is finite."""
    return total / count


def _quotient_typed(_, total, count, reciprocal):
    def generate(context, builder, signature, arguments):
        total, count, reciprocal = arguments
        near = builder.fmul(total, reciprocal)
        left = builder.fma(builder.fneg(near), count, total)
        return builder.fma(left, reciprocal, near)

    return types.float64(types.float64, types.float64, types.float64), generate


ORDERED_GROUP = 16


def replace_in_order(ordered, groups, leaving, entering):
    """Takes `leaving` out of sorted numbers and puts `entering` in. `ordered` is float64, (groups + 1) * ORDERED_GROUP
    places, filled up with infinity, the last group with nothing else; no NaN.

    Whole vectors: the place from which on each number moves down is where `leaving` is not above it, and what stands in
    a place afterwards is the higher of what stood before it and the lower of its own and `entering`. No branch depends
    on the data, and no place is looked for."""
    place = np.searchsorted(ordered, leaving)
    ordered[place:-1] = ordered[place + 1 :].copy()
    place = np.searchsorted(ordered, entering)
    ordered[place + 1 :] = ordered[place:-1].copy()
    ordered[place] = entering


def _replace_in_order_typed(_, ordered, groups, leaving, entering):
    double, integer = ir.DoubleType(), ir.IntType(64)
    vector, places = ir.VectorType(double, ORDERED_GROUP), ir.VectorType(ir.IntType(32), ORDERED_GROUP)

    def generate(context, builder, signature, arguments):
        def run_of(one, other, first):
            lanes = ir.Constant(places, [first + lane for lane in range(ORDERED_GROUP)])
            return builder.shuffle_vector(one, other, lanes)

        def all_lanes(number):
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(one, one, ir.Constant(places, [0] * ORDERED_GROUP))

        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        data = builder.bitcast(data, vector.as_pointer())
        groups, leaving, entering = arguments[1], all_lanes(arguments[2]), all_lanes(arguments[3])
        first, before = builder.load(data, align=8), builder.block
        loop, done = builder.append_basic_block("group"), builder.append_basic_block("placed")
        builder.branch(loop)
        builder.position_at_end(loop)
        group, own, below = builder.phi(integer), builder.phi(vector), builder.phi(vector)
        following = builder.add(group, ir.Constant(integer, 1))
        above = builder.load(builder.gep(data, [following]), align=8)
        kept = builder.select(builder.fcmp_ordered("<", own, leaving), own, run_of(own, above, 1))
        lower = builder.select(builder.fcmp_ordered("<", kept, entering), kept, entering)
        under = run_of(below, kept, ORDERED_GROUP - 1)
        placed = builder.select(builder.fcmp_ordered(">", under, lower), under, lower)
        builder.store(placed, builder.gep(data, [group]), align=8)
        lowest = ir.Constant(vector, [float("-inf")] * ORDERED_GROUP)
        for phi, at_first, then in (
            (group, ir.Constant(integer, 0), following),
            (own, first, above),
            (below, lowest, kept),
        ):
            phi.add_incoming(at_first, before)
            phi.add_incoming(then, loop)
        builder.cbranch(builder.icmp_signed("<", following, groups), loop, done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.none(ordered, groups, leaving, entering), generate


def four_sums(target, place, step, source, first, stride, weights, taps):
    """Four neighbouring weighted sums of vectors of eight places, each sum's terms in order:

        target[place + k step + i] = sum over tap < taps of w[tap] source[first + (k + tap) stride + i],  k = 0, 1, 2, 3

    `target` is float64, `source` float32 or float64, `weights` float64: three zeros, the w, three zeros. What is read
    once serves four sums, which stay in registers; of a plain loop Numba makes a store for each term."""
    for k in range(4):
        total = np.zeros(8)
        for tap in range(taps + 3):
            at = first + tap * stride
            total = total + weights[tap + 3 - k] * source[at : at + 8].astype(np.float64)
        target[place + k * step : place + k * step + 8] = total


def _four_sums_typed(_, target, place, step, source, first, stride, weights, taps):
    double, integer, index = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
    eight, whole = ir.VectorType(double, 8), types.int64
    single = source.dtype == types.float32
    loaded = ir.VectorType(ir.FloatType() if single else double, 8)

    def generate(context, builder, signature, arguments):
        def data(argument):
            return context.make_array(signature.args[argument])(context, builder, arguments[argument]).data

        def number(value):
            return ir.Constant(integer, value)

        def everywhere(value):
            one = builder.insert_element(ir.Constant(eight, ir.Undefined), value, ir.Constant(index, 0))
            return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(index, 8), [0] * 8))

        out, values, factors = data(0), data(3), data(6)
        _, place, step, _, first, stride, _, taps = arguments
        before, loop, done = builder.block, builder.append_basic_block("tap"), builder.append_basic_block("summed")
        builder.branch(loop)
        builder.position_at_end(loop)
        tap, totals = builder.phi(integer), [builder.phi(eight) for _ in range(4)]
        at = builder.gep(values, [builder.add(first, builder.mul(tap, stride))])
        value = builder.load(builder.bitcast(at, loaded.as_pointer()), align=4 if single else 8)
        value = builder.fpext(value, eight) if single else value
        following, sums = builder.add(tap, number(1)), []
        for k, total in enumerate(totals):
            weight = everywhere(builder.load(builder.gep(factors, [builder.add(tap, number(3 - k))])))
            sums.append(builder.fadd(total, builder.fmul(weight, value)))
            total.add_incoming(ir.Constant(eight, [0.0] * 8), before)
            total.add_incoming(sums[k], loop)
        tap.add_incoming(number(0), before)
        tap.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, builder.add(taps, number(3))), loop, done)
        builder.position_at_end(done)
        for k, total in enumerate(sums):
            at = builder.gep(out, [builder.add(place, builder.mul(step, number(k)))])
            builder.store(total, builder.bitcast(at, eight.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.none(target, whole, whole, source, whole, whole, weights, whole), generate


def add_eights(target, place, source, first, stride, count):
    """target[place + i] += source[first + i] + source[first + stride + i] + ..., `count` terms in order, i = 0 to 7.
    `target` is float64, `source` float32 or float64."""
    for at in range(first, first + count * stride, stride):
        target[place : place + 8] += source[at : at + 8].astype(np.float64)


def _add_eights_typed(_, target, place, source, first, stride, count):
    double, integer = ir.DoubleType(), ir.IntType(64)
    eight, whole = ir.VectorType(double, 8), types.int64
    single = source.dtype == types.float32
    loaded = ir.VectorType(ir.FloatType() if single else double, 8)

    def generate(context, builder, signature, arguments):
        def data(argument):
            return context.make_array(signature.args[argument])(context, builder, arguments[argument]).data

        _, place, _, first, stride, count = arguments
        values, out = data(2), builder.bitcast(builder.gep(data(0), [place]), eight.as_pointer())
        start, before = builder.load(out, align=8), builder.block
        loop, done = builder.append_basic_block("term"), builder.append_basic_block("added")
        zero, one = ir.Constant(integer, 0), ir.Constant(integer, 1)
        builder.cbranch(builder.icmp_signed(">", count, zero), loop, done)
        builder.position_at_end(loop)
        term, total = builder.phi(integer), builder.phi(eight)
        at = builder.gep(values, [builder.add(first, builder.mul(term, stride))])
        value = builder.load(builder.bitcast(at, loaded.as_pointer()), align=4 if single else 8)
        added = builder.fadd(total, builder.fpext(value, eight) if single else value)
        following = builder.add(term, one)
        term.add_incoming(zero, before)
        term.add_incoming(following, loop)
        total.add_incoming(start, before)
        total.add_incoming(added, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
        builder.position_at_end(done)
        result = builder.phi(eight)
        result.add_incoming(start, before)
        result.add_incoming(added, loop)
        builder.store(result, out, align=8)
        return context.get_dummy_value()

    return types.none(target, whole, source, whole, whole, whole), generate


if not config.DISABLE_JIT:
    decay_eight = intrinsic(_decay_eight_typed)
    quotient = intrinsic(_quotient_typed)
    replace_in_order = intrinsic(_replace_in_order_typed)
    four_sums = intrinsic(_four_sums_typed)
    add_eights = intrinsic(_add_eights_typed)
