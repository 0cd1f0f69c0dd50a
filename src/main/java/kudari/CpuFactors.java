package kudari;

import java.util.Arrays;
import kudari.rule.Arithmetic;
import kudari.rule.FactoredRule;

/**
 * The moments of one tensor whose rule factors them, and the factors that follow: by the additions of {@code kernels/step.cuh}, in the same order.
 *
 * <p>A matrix is cut into tiles of at most {@link #WIDE} columns. In a tile so many rows stand side by side as have room in {@link Reduce#LANES} lanes, and
 * {@link #DEEP} times as many are in it. A row's sum over a tile is that of {@link Reduce}. A column's goes down every lane first, then over the lanes. The
 * sums over the tiles of a row, and of a column, follow one after the other.
 */
final class CpuFactors {

    /** The most columns of a tile, and how many rows of it a lane goes down. */
    static final int WIDE = 256, DEEP = 64;

    final int tensor, group;
    final FactoredRule rule;
    final CpuTensor p, g;

    /** The state, of which one kind has no elements. */
    private final float[] row, col, v;

    /** Of a matrix, and how many there are; of a vector its elements are columns of one row. */
    final int rows, columns, matrices;

    /** The width of a tile in lanes, a power of two times four; rows side by side; rows of a tile; tiles of a row, and of a column. */
    private final int width, side, deep, across, down;

    private final double[] rowSums, colSums;
    private final float[] rowFactors, colFactors;

    /**
     * A tensor of some elements.
     *
     * @param p where its float32 value is
     * @param s its state
     */
    CpuFactors(int tensor, int group, FactoredRule rule, CpuTensor p, CpuTensor g, float[][] s) {
        this.tensor = tensor;
        this.group = group;
        this.rule = rule;
        this.p = p;
        this.g = g;
        row = s[0];
        col = s[1];
        v = s[2];
        long[] shape = p.shape();
        boolean whole = v.length > 0;
        columns = whole ? v.length : (int) shape[shape.length - 1];
        rows = whole ? 1 : (int) shape[shape.length - 2];
        matrices = whole ? 1 : row.length / rows;
        width = width(columns);
        side = Reduce.LANES / width;
        deep = side * DEEP;
        across = up(columns, width);
        down = up(rows, deep);
        rowSums = new double[row.length * across];
        colSums = new double[col.length * down];
        rowFactors = new float[row.length];
        colFactors = new float[col.length];
    }

    /** Lanes of a tile of a matrix with so many columns. */
    static int width(long columns) {
        int width = 4;
        while (width < columns && width < WIDE) width *= 2;
        return width;
    }

    private static int up(int x, int by) {
        return (int) (((long) x + by - 1) / by);
    }

    private boolean isFactored() {
        return v.length == 0;
    }

    /** In how many pieces the moments are taken: tiles, or chunks of a vector. */
    int tiles() {
        return isFactored() ? matrices * down * across : up(v.length, CpuEngine.CHUNK);
    }

    /** A thread's room: copies of elements, and sums. */
    record Room(float[] p, float[] g, double[] lanes, double[] sums) {}

    /** One of the {@link #tiles}. The gradient is multiplied by {@code scale}, and each element of it clipped before that if there is a limit. */
    void tile(int n, float[] k, float scale, float limit, Room room) {
        if (!isFactored()) {
            int from = n * CpuEngine.CHUNK, count = Math.min(CpuEngine.CHUNK, v.length - from);
            gradients(from, count, k, scale, limit, room);
            for (int i = 0; i < count; i++) v[from + i] = rule.moment(k, v[from + i], (double) room.g[i] * room.g[i]);
            return;
        }
        int matrix = n / (down * across), strip = n / across % down, part = n % across;
        int column = part * width, count = Math.min(width, columns - column);
        int first = strip * deep, end = Math.min(first + deep, rows);
        double[] sums = room.sums;
        Arrays.fill(sums, 0, Reduce.LANES, 0);
        for (int r = first; r < end; r++) {
            int at = matrix * rows + r;
            gradients(at * columns + column, count, k, scale, limit, room);
            rowSums[at * across + part] = Reduce.piece(room.g, 0, count, room.lanes);
            for (int i = 0, lane = r % side * width; i < count; i++) sums[lane + i] += (double) room.g[i] * room.g[i];
        }
        for (int i = 0, to = (matrix * down + strip) * columns + column; i < count; i++) {
            double sum = 0;
            for (int lane = i; lane < Reduce.LANES; lane += width) sum += sums[lane];
            colSums[to + i] = sum;
        }
    }

    /** The gradients that the rule sees, to where the room has them. */
    private void gradients(int from, int count, float[] k, float scale, float limit, Room room) {
        p.read(from, from + count, room.p);
        g.read(from, from + count, room.g);
        float by = scale;
        if (limit < Float.POSITIVE_INFINITY) {
            CpuDriver.clip(room.g, room.g, 0, count, scale, limit);
            by = 1;
        }
        for (int i = 0; i < count; i++) room.g[i] = Arithmetic.gradient(room.g[i], room.p[i], by, k[0]);
    }

    /** How many matrices are factored. */
    int matrices() {
        return isFactored() ? matrices : 0;
    }

    /** The moments of one matrix, when all its tiles are done, and its factors. */
    void matrix(int matrix, float[] k, double[] lanes) {
        int first = matrix * rows;
        Arrays.fill(lanes, 0, Reduce.THREADS, 0);
        for (int r = 0; r < rows; r++) {
            double sum = 0;
            for (int part = 0; part < across; part++) sum += rowSums[(first + r) * across + part];
            row[first + r] = rule.moment(k, row[first + r], sum / columns);
            lanes[r % Reduce.THREADS] += row[first + r];
        }
        double mean = Reduce.tree(lanes, Reduce.THREADS) / rows;
        for (int r = first; r < first + rows; r++) rowFactors[r] = rule.factor(k, row[r], mean);
        for (int c = 0, at = matrix * columns; c < columns; c++, at++) {
            double sum = 0;
            for (int strip = 0; strip < down; strip++) sum += colSums[(matrix * down + strip) * columns + c];
            col[at] = rule.moment(k, col[at], sum / rows);
            colFactors[at] = rule.factor(k, col[at], 1);
        }
    }

    /** What some elements are multiplied by. */
    void factors(int from, int to, float[] k, float[] f) {
        if (!isFactored()) {
            for (int i = from; i < to; i++) f[i - from] = rule.factor(k, v[i], 1);
            return;
        }
        for (int i = from; i < to; ) {
            int r = i / columns, c = i % columns, end = Math.min(to, i - c + columns), at = r / rows * columns + c;
            for (float by = rowFactors[r]; i < end; i++, at++) f[i - from] = by * colFactors[at];
        }
    }
}
