"""Steps of a recursion that Numba does not see can be taken for several rows at once."""

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


if not config.DISABLE_JIT:
    decay_eight = intrinsic(_decay_eight_typed)
