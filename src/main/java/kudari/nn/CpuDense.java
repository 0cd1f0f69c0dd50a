package kudari.nn;

import java.util.Arrays;
import java.util.Map;
import java.util.WeakHashMap;
import kudari.CpuEngine;
import kudari.Dtype;
import kudari.OpenBlas;
import kudari.Tensor;

/**
 * The dense operations on the CPU: OpenBLAS for the products, plain loops for the rest. Both work on arrays of floats: what is of 16 bits is widened before and
 * rounded after.
 */
final class CpuDense implements Dense {

    private final CpuEngine engine;
    private final OpenBlas openBlas;

    /** Of the tensors of 16 bits that have been worked on, float32 of the same shapes; they go with them. */
    private final Map<Tensor, Tensor> wide = new WeakHashMap<>();

    CpuDense(CpuEngine engine) {
        this.engine = engine;
        try {
            openBlas = engine.openBlas();
        } catch (UnsupportedOperationException e) {
            throw new UnsupportedOperationException("a network needs OpenBLAS: " + e.getMessage(), e.getCause());
        }
    }

    @Override
    public void choose(int[] rows, int count, Activations into) {
        float[] numbers = engine.array(into.numbers);
        for (int i = 0; i < count; i++) numbers[i] = Float.intBitsToFloat(rows[i]);
    }

    @Override
    public void gather(Samples samples, int count, Activations pass) {
        float[] x = engine.array(samples.x), toX = room(pass.values[0]);
        float[] labels = engine.array(samples.labels), toLabels = engine.array(pass.labels);
        float[] numbers = engine.array(pass.numbers);
        int features = samples.features();
        for (int i = 0; i < count; i++) {
            int row = Float.floatToRawIntBits(numbers[i]);
            System.arraycopy(x, row * features, toX, i * features, features);
            toLabels[i] = labels[row];
        }
        round(pass.values[0]);
    }

    @Override
    public void affine(Layer layer, int rows, Tensor x, float lowerBound, Tensor sums, Tensor y) {
        float[] values = room(y), bias = widened(layer.bias());
        for (int row = 0; row < rows; row++) System.arraycopy(bias, 0, values, row * layer.out(), layer.out());
        multiply(rows, layer.out(), layer.in(), false, widened(x), false, widened(layer.weight()), 1, values);
        int count = rows * layer.out();
        for (int i = 0; i < count; i++) values[i] = Math.max(values[i], lowerBound);
        round(y);
    }

    @Override
    public void crossEntropy(
            int rows, int classes, Tensor logits, Tensor labels, Tensor scale, Tensor outcomes, Tensor at) {
        float[] z = widened(logits), classOf = engine.array(labels);
        double loss = 0, share = 1.0 / rows, factor = share * engine.array(scale)[0];
        int right = 0;
        for (int n = 0; n < rows; n++) {
            int start = n * classes, end = start + classes, label = start + (int) classOf[n];
            int largest = start;
            for (int i = start + 1; i < end; i++) if (z[i] > z[largest]) largest = i;
            // exp of what is left after the largest logit is taken away lies in 0 to 1: it cannot overflow, and the sum
            // is at least 1.
            float shift = z[largest];
            double below = shift - z[label], sum = 0;
            for (int i = start; i < end; i++) sum += Math.exp(z[i] - shift);
            double logSum = Math.log(sum);
            for (int i = start; i < end; i++) z[i] = (float) (Math.exp((z[i] - shift) - logSum) * factor);
            z[label] -= (float) factor;
            loss += below + logSum;
            if (largest == label && sum == sum) right++; // a row with NaN in it is never right
        }
        float[] results = engine.array(outcomes), row = engine.array(at);
        int result = 2 * (int) row[0];
        results[result] = (float) (loss * share);
        results[result + 1] = right;
        row[0] = result + 2 < results.length ? row[0] + 1 : 0;
        round(logits);
    }

    @Override
    public void parameterGradient(Layer layer, int rows, Tensor x, Tensor dy) {
        float[] d = widened(dy), sums = engine.array(layer.dBias());
        multiply(layer.in(), layer.out(), rows, true, widened(x), false, d, 0, engine.array(layer.dWeight()));
        Arrays.fill(sums, 0);
        for (int row = 0, i = 0; row < rows; row++) {
            for (int unit = 0; unit < sums.length; unit++) sums[unit] += d[i++];
        }
    }

    @Override
    public void inputGradient(Layer layer, int rows, Tensor dy, Tensor dx) {
        multiply(rows, layer.in(), layer.out(), false, widened(dy), true, widened(layer.weight()), 0, room(dx));
        round(dx);
    }

    @Override
    public void reluGradient(long count, Tensor y, Tensor dy) {
        float[] values = widened(y), d = widened(dy);
        int end = (int) count; // an array has no more
        for (int i = 0; i < end; i++) {
            // A mask of 32 ones unless y is +0, where ReLU clips. A branch here is mispredicted every other time, and
            // costs 12 times as much.
            int y32 = Float.floatToRawIntBits(values[i]);
            int mask = (y32 | -y32) >> 31;
            d[i] = Float.intBitsToFloat(Float.floatToRawIntBits(d[i]) & mask);
        }
        round(dy);
    }

    @Override
    public void close() {
        // The garbage collector's.
    }

    /** The tensor in float32: itself, if it is, or what goes with it. */
    private Tensor wide(Tensor tensor) {
        if (tensor.dtype() == Dtype.F32) return tensor;
        Tensor floats = wide.get(tensor);
        if (floats == null) wide.put(tensor, floats = engine.zeros(tensor.shape()));
        return floats;
    }

    /** An array for the elements of a tensor, whatever is in it; {@link #round} puts them there. */
    private float[] room(Tensor tensor) {
        return engine.array(wide(tensor));
    }

    /** The same, with the elements in it. */
    private float[] widened(Tensor tensor) {
        Tensor floats = wide(tensor);
        if (floats != tensor) floats.set(tensor);
        return engine.array(floats);
    }

    /** Rounds what has been left in a tensor's array. */
    private void round(Tensor tensor) {
        Tensor floats = wide(tensor);
        if (floats != tensor) tensor.set(floats);
    }

    /** c ← a · b + keep·c, where the product is [m, n], a sum of k terms. */
    private void multiply(
            int m,
            int n,
            int k,
            boolean transposedA,
            float[] a,
            boolean transposedB,
            float[] b,
            float keep,
            float[] c) {
        openBlas.multiply(transposedA, transposedB, m, n, k, 1, a, b, keep, c);
    }
}
