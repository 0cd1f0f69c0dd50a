package kudari.rule;

/**
 * A rule whose update is a matrix made orthogonal, and so a thing of products of matrices. A parameter has two extents or more; the first is that of the
 * rows, and all others together are the columns.
 *
 * <p>A step over one matrix has these parts:
 *
 * <pre>
 *   gather           state ← …,  u ← …        over the elements
 *   orthogonalise    u ← scale·O              by the engine: O has the singular vectors of u, and singular values near 1
 *   apply            the loop of {@link Rule}, which reads u</pre>
 *
 * <p>Behind the arrays of state both loops are given u, which is no state: nothing of it is kept from one step to the next.
 *
 * <p>No two libraries multiply matrices by the same additions in the same order, so engines agree only as far as float32 products do; on one machine and
 * engine a step gives the same bits each time.
 *
 * <p>O is come to by iterations X ← (a·I + b·A + c·A²)·X with A = X·Xᵀ, from X = u / max(margin·‖u‖, ε) in the Frobenius norm.
 */
public sealed interface MatrixRule extends Rule permits Muon {

    /** What a device's products take of each float32, whose sums stay float32. On the CPU all of it, whatever is asked for. */
    enum Precision {
        /** All of it: 24 bits. */
        FLOAT32,
        /** 11 bits, by tensor cores, some times as fast. */
        TF32,
        /** 8 bits, by tensor cores, faster still: what PyTorch's Muon does. */
        BFLOAT16
    }

    @Override
    default boolean isExact() {
        return false;
    }

    /**
     * The first of two loops over the elements: state moves on, and what is to be made orthogonal is left in u.
     *
     * @param s the state arrays, and behind them u, each as long as {@code p}; read and written
     * @see Rule#apply
     */
    void gather(float[] k, float scale, int from, int to, float[] p, float[] g, float[][] s);

    /** a, b and c of each iteration. */
    float[][] polynomials();

    /** What the norm is multiplied by before it divides. */
    double margin();

    /** ε, what u is divided by at the least. */
    double eps();

    /** Whether the iterations are taken in the Gram form where that saves products: in exact arithmetic the same. */
    boolean gram();

    /** In what precision a device multiplies. */
    Precision precision();

    /** What the orthogonal matrix is multiplied by. */
    double scale(long rows, long columns);

    /** Whether a schedule may go on from this rule to another: whether they differ only in what {@link #at} fills in. */
    boolean mayBecome(MatrixRule other);
}
