package kudari.nn;

import kudari.CpuEngine;
import kudari.Engine;
import kudari.Tensor;

/**
 * What a network asks of the machine it runs on. All matrices are row-major, with a row for each example; buffers may have more rows than
 * an operation uses. Nothing is checked, nothing is allocated on the heap, and nothing waits for a device.
 */
interface Dense {

    /** The dense operations on an engine. */
    static Dense on(Engine engine) {
        if (engine instanceof CpuEngine cpu) return new CpuDense(cpu);
        throw new UnsupportedOperationException(
                engine + ": networks run on the CPU engine only (Engine.cpu(), --device cpu)");
    }

    /** into ← {@code count} numbers of x, starting at {@code from}. */
    void load(float[] x, int from, int count, Tensor into);

    /** y ← x · weight + bias; x [rows, in], y [rows, out]. */
    void affine(Layer layer, int rows, Tensor x, Tensor y);

    /** y ← max(y, 0) over the first {@code count} elements; NaN stays NaN. */
    void relu(int count, Tensor y);

    /**
     * Softmax cross-entropy against labels {@code from} to {@code from + rows}. The logits become the gradient of the mean loss.
     *
     * @param logits [rows, classes]
     * @param outcome [2]: becomes the mean loss, and the number of rows whose label has the largest logit
     */
    void crossEntropy(int rows, int classes, Tensor logits, int[] labels, int from, Tensor outcome);

    /** dWeight ← xᵀ · dy, dBias ← the sum of the rows of dy from the first to the last; x [rows, in], dy [rows, out]. */
    void parameterGradient(Layer layer, int rows, Tensor x, Tensor dy);

    /** dx ← dy · weightᵀ; dy [rows, out], dx [rows, in]. */
    void inputGradient(Layer layer, int rows, Tensor dy, Tensor dx);

    /** dy ← 0 where y, which ReLU gave, is 0; over the first {@code count} elements. */
    void reluGradient(int count, Tensor y, Tensor dy);
}
