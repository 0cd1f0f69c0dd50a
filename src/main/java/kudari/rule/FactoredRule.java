package kudari.rule;

import java.util.Arrays;
import java.util.List;

/**
 * A rule whose second moment of a matrix is not kept: a mean for each row and one for each column stand for it. A matrix is the last two extents of a
 * parameter; those before them count its matrices. A parameter that is not factored, as a vector, has a second moment for each element.
 *
 * <p>A step over one tensor has the parts of a {@link TensorRule} that gathers, and one before them, in which x is the gradient as a guard leaves it, with
 * {@link #l2}, rounded to float:
 *
 * <pre>
 *   moment    row ← …, col ← …     of the mean of x² over each row and over each column
 *             v ← …                or of each x², where it is not factored
 *   factor    f                    of each element: that of its row, by the mean of all rows, times that of its column; or of its v
 *   gather    u ← …                which reads f</pre>
 *
 * <p>The loops of {@link #gather} and {@link #apply} find f in the place of all state, as the only array, as long as {@code p}: no engine keeps more of it
 * than a piece. Where {@code k[0]} is, is {@link #l2}.
 */
public sealed interface FactoredRule extends TensorRule permits Adafactor {

    /** Whether a parameter of this shape is factored. */
    boolean factors(long[] param);

    /** Whatever of {@code row}, {@code col} and {@code v} a parameter does not have has no elements. */
    @Override
    default long[] shape(int array, long[] param) {
        boolean factored = factors(param);
        if (array == 2) return factored ? new long[] {0} : param;
        if (!factored) return new long[] {0};
        long[] shape = Arrays.copyOf(param, param.length - 1);
        if (array == 1) shape[shape.length - 1] = param[param.length - 1];
        return shape;
    }

    @Override
    default long[] like(List<long[]> state) {
        long[] row = state.get(0), col = state.get(1), v = state.get(2);
        if (Arrays.equals(row, new long[] {0}) || col.length == 0) return v;
        long[] param = Arrays.copyOf(row, row.length + 1);
        param[row.length] = col[col.length - 1];
        return param;
    }

    @Override
    default int elementwise() {
        return 1;
    }

    @Override
    default boolean gathers() {
        return true;
    }

    /**
     * A moment after a step.
     *
     * @param k the scalars of the step, from {@link #at}
     * @param before the moment before it
     * @param square the mean of x²
     */
    float moment(float[] k, float before, double square);

    /**
     * By what a moment divides: one over its root.
     *
     * @param k the scalars of the step, from {@link #at}
     * @param moment of a row, of a column or of an element
     * @param mean of a row, the mean of the moments of all rows of its matrix; else 1
     */
    float factor(float[] k, float moment, double mean);
}
