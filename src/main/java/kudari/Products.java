package kudari;

/** Products of matrices on the CPU. */
interface Products {

    /**
     * c ← factor·a·b + keep·c, of row-major matrices without gaps. What c held counts for nothing where {@code keep} is 0. Allocates nothing on the heap.
     *
     * @param transposedA whether a is the transpose of what is multiplied, as it lies in memory: [k, m], not [m, k]
     * @param transposedB the same of b: [n, k], not [k, n]
     * @param m the rows of the product
     * @param n its columns
     * @param k the terms of each of its sums
     * @param c [m, n]; another array than a and b
     */
    void multiply(
            boolean transposedA,
            boolean transposedB,
            int m,
            int n,
            int k,
            float factor,
            float[] a,
            float[] b,
            float keep,
            float[] c);

    /** Products by plain loops, for where OpenBLAS is not. */
    static Products loops() {
        return Products::loops;
    }

    private static void loops(
            boolean transposedA,
            boolean transposedB,
            int m,
            int n,
            int k,
            float factor,
            float[] a,
            float[] b,
            float keep,
            float[] c) {
        int acrossA = transposedA ? m : 1, downA = transposedA ? 1 : k;
        for (int i = 0; i < m; i++) {
            int row = i * n;
            for (int j = 0; j < n; j++) c[row + j] = keep == 0 ? 0 : keep * c[row + j];
            for (int l = 0; l < k && !transposedB; l++) {
                float by = factor * a[i * downA + l * acrossA];
                for (int j = 0, from = l * n; j < n; j++) c[row + j] += by * b[from + j];
            }
            for (int j = 0; j < n && transposedB; j++) {
                float sum = 0;
                for (int l = 0; l < k; l++) sum += a[i * downA + l * acrossA] * b[j * k + l];
                c[row + j] += factor * sum;
            }
        }
    }
}
