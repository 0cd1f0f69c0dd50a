package kudari;

/** Makes matrices of one shape orthogonal on the CPU, one at a time. */
final class CpuNewtonSchulz implements NewtonSchulz.Work {

    private final Products products;
    private final NewtonSchulz how;
    private final int m, n;

    /** No longer than they need be: OpenBLAS's Java binding copies whole arrays. */
    private final float[][] x, squares;

    /**
     * For matrices of so many elements along the shorter side and along the longer.
     *
     * @param m at least 1
     */
    CpuNewtonSchulz(Products products, NewtonSchulz how, int m, int n) {
        this.how = how;
        this.products = products;
        this.m = m;
        this.n = n;
        x = new float[2][m * n];
        squares = new float[how.squares(m, n)][m * m];
    }

    /**
     * u ← scale times its orthogonal matrix.
     *
     * @param u [rows, columns], of which one is m and the other n
     */
    void orthogonalize(float[] u, int rows, int columns, double scale) {
        double sum = 0;
        for (float v : u) sum += (double) v * v;
        double by = how.factor(Math.sqrt(sum));
        boolean tall = rows > columns;
        copy(u, rows, columns, tall, by, x[0]);
        float[] result = x[how.iterate(this, m, n)];
        copy(result, m, n, tall, scale, u);
    }

    /** to ← by·from, or its transpose. */
    private static void copy(float[] from, int rows, int columns, boolean transposed, double by, float[] to) {
        int down = transposed ? 1 : columns, across = transposed ? rows : 1;
        for (int row = 0, i = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                to[row * down + column * across] = (float) (by * from[i++]);
            }
        }
    }

    @Override
    public void gram(int from, int square) {
        products.multiply(false, true, m, m, n, 1, x[from], x[from], 0, squares[square]);
    }

    @Override
    public void polynomial(int square, float a, float b, float c, int to) {
        float[] of = squares[square], sum = squares[to];
        for (int i = 0; i < sum.length; i++) sum[i] = b * of[i];
        for (int i = 0; i < sum.length; i += m + 1) sum[i] += a;
        products.multiply(false, false, m, m, m, c, of, of, 1, sum);
    }

    @Override
    public void multiply(int left, int right, int to) {
        products.multiply(false, false, m, m, m, 1, squares[left], squares[right], 0, squares[to]);
    }

    @Override
    public void apply(int square, int from, int to) {
        products.multiply(false, false, m, n, m, 1, squares[square], x[from], 0, x[to]);
    }
}
