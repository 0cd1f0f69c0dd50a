package kudari.nn;

import kudari.CpuEngine;
import kudari.CudaEngine;
import kudari.Dtype;
import kudari.Engine;
import kudari.Tensor;

/**
 * What a network asks of the machine it runs on. All matrices are row-major, with a row for each example; buffers may have more rows than
 * an operation uses. Nothing is checked, nothing is allocated on the heap, and nothing waits for a device.
 *
 * <p>Weights, biases, activations and their gradients are of one type, of float32 or 16 bits; all else is of float32. Whatever the type, an operation computes
 * in float32, and in double where it says so, and what it leaves is rounded once.
 */
interface Dense {

    /** The dense operations on an engine, over activations of a type. */
    static Dense on(Engine engine, Dtype dtype) {
        return engine instanceof CudaEngine cuda ? new CudaDense(cuda, dtype) : new CpuDense((CpuEngine) engine);
    }

    /** The numbers of some samples, the first {@code count} of these, into those of a pass. */
    void choose(int[] rows, int count, Activations into);

    /** The samples chosen for a pass, so many, into its inputs and labels. */
    void gather(Samples samples, int count, Activations pass);

    /**
     * y ← max(x · weight + bias, lowerBound), NaN staying NaN; x [rows, in], y [rows, out].
     *
     * @param sums of float32, where a device may leave x · weight: y itself, where that is of float32
     */
    void affine(Layer layer, int rows, Tensor x, float lowerBound, Tensor sums, Tensor y);

    /**
     * Softmax cross-entropy, in double. The logits become the gradient of the mean loss, times a scale.
     *
     * @param logits [rows, classes]
     * @param labels [rows]
     * @param scale a tensor of one element
     * @param outcomes [any, 2]: a row of it becomes the mean loss, and the number of rows whose label has the largest logit
     * @param at the number of that row, a tensor of one element, which is then one more, or 0 after the last
     */
    void crossEntropy(int rows, int classes, Tensor logits, Tensor labels, Tensor scale, Tensor outcomes, Tensor at);

    /** Gives back what it holds. */
    void close();

    /** dWeight ← xᵀ · dy, dBias ← the sum of the rows of dy; x [rows, in], dy [rows, out]. */
    void parameterGradient(Layer layer, int rows, Tensor x, Tensor dy);

    /** dx ← dy · weightᵀ; dy [rows, out], dx [rows, in]. */
    void inputGradient(Layer layer, int rows, Tensor dy, Tensor dx);

    /** dy ← 0 where y, which ReLU gave, is 0; over the first {@code count} elements. */
    void reluGradient(long count, Tensor y, Tensor dy);
}
