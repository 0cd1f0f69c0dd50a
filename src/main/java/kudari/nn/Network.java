package kudari.nn;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import kudari.Engine;
import kudari.Tensor;

/**
 * A fully connected network that lives on an engine: ReLU between its layers, softmax cross-entropy at its end.
 *
 * <pre>  h₀ = x,   hₗ = max(hₗ₋₁·Wₗ + bₗ, 0),   logits = hₙ₋₁·Wₙ + bₙ,   loss = −log softmax(logits)[label]</pre>
 *
 * <pre>{@code
 * Network net = new Network(engine, Init.HE, 1, 784, 100, 10);
 * Optimizer adam = engine.optimizer(Adam.of());
 * for (...) {
 *     net.gradient(x, labels, 128);
 *     adam.update(net.params(), net.grads());
 * }
 * }</pre>
 *
 * <p>On the CPU the products are OpenBLAS's, which the first network sets to one thread for the whole process.
 *
 * <p>On one machine the results are the same to the last bit from run to run, whatever the number of threads of the engine. A network
 * belongs to its engine's thread, and its tensors live until the engine is closed. Numbers that are not finite raise nothing: they show
 * in the loss.
 */
public final class Network {

    /** Rows that an evaluation takes at a time: as fast as more, and small enough for any cache. */
    private static final int EVALUATION_ROWS = 500;

    private final Engine engine;
    private final Dense dense;
    private final int[] widths;
    private final Layer[] layers;
    private final Map<String, Tensor> params, grads;
    private Pass training, evaluation;

    /**
     * A network with biases of 0 and normal weights from a {@link Random} of this seed, layer after layer in row-major order: the same
     * numbers on every machine and engine.
     *
     * @param engine where it lives
     * @param init the spread of the weights
     * @param seed any number
     * @param widths the number of inputs, then of units in each layer; the last is the number of classes
     * @throws IllegalArgumentException if there are fewer than two widths, or one is not positive
     * @throws UnsupportedOperationException if networks cannot run on this engine, or OpenBLAS is not there
     */
    public Network(Engine engine, Init init, long seed, int... widths) {
        if (widths.length < 2) {
            throw new IllegalArgumentException(
                    "widths: expected at least inputs and classes, got " + Arrays.toString(widths));
        }
        for (int width : widths) {
            if (width < 1)
                throw new IllegalArgumentException("widths: expected positive numbers, got " + Arrays.toString(widths));
        }
        this.engine = engine;
        this.dense = Dense.on(engine);
        this.widths = widths.clone();
        this.layers = new Layer[widths.length - 1];
        Map<String, Tensor> params = new LinkedHashMap<>(), grads = new LinkedHashMap<>();
        Random random = new Random(seed);
        for (int l = 0; l < layers.length; l++) {
            int in = widths[l], out = widths[l + 1];
            float[] weights = new float[Math.multiplyExact(in, out)];
            double deviation = init.deviation(in);
            for (int i = 0; i < weights.length; i++) weights[i] = (float) (deviation * random.nextGaussian());
            Layer layer = new Layer(
                    in,
                    out,
                    engine.tensor(weights, in, out),
                    engine.zeros(out),
                    engine.zeros(in, out),
                    engine.zeros(out));
            params.put("W" + (l + 1), layer.weight());
            params.put("b" + (l + 1), layer.bias());
            grads.put("W" + (l + 1), layer.dWeight());
            grads.put("b" + (l + 1), layer.dBias());
            layers[l] = layer;
        }
        this.params = Collections.unmodifiableMap(params);
        this.grads = Collections.unmodifiableMap(grads);
        this.training = new Pass(engine, 0, this.widths);
        this.evaluation = training;
    }

    /** The weights and biases: "W1" [inputs, units], "b1" [units], "W2", "b2", … in this order. */
    public Map<String, Tensor> params() {
        return params;
    }

    /** The gradient that {@link #gradient} left, under the names and in the order of {@link #params}. */
    public Map<String, Tensor> grads() {
        return grads;
    }

    /**
     * Computes the gradient of the mean loss of a batch, into {@link #grads}. Allocates nothing once it has seen the largest batch, and
     * returns at once where the engine works on its own.
     *
     * @param x the inputs of one example after the other, for as many examples as there are labels
     * @param labels the class of each example, counted from 0
     * @param count the number of examples in the batch: the first ones of the arrays
     * @throws IllegalArgumentException if the count is not from 1 to the number of labels, the inputs are not as many as the labels ask
     *     for, or a label of the batch is not a class; nothing has changed then
     */
    public void gradient(float[] x, int[] labels, int count) {
        check(x, labels, count);
        if (training.rows < count) training = new Pass(engine, count, widths);
        Pass pass = training;
        forward(pass, x, labels, 0, count);
        for (int l = layers.length - 1; l >= 0; l--) {
            dense.parameterGradient(layers[l], count, pass.values[l], pass.slopes[l + 1]);
            if (l == 0) break; // nobody asks for the gradient of the inputs
            dense.inputGradient(layers[l], count, pass.slopes[l + 1], pass.slopes[l]);
            dense.reluGradient(count * widths[l], pass.values[l], pass.slopes[l]);
        }
    }

    /**
     * The mean loss of the last batch given to {@link #gradient}, in nats per example; 0 before the first. Waits for the engine to have
     * computed it.
     */
    public float loss() {
        return training.outcome.get()[0];
    }

    /**
     * The mean loss and the accuracy over a set of examples of any size; {@link #grads} and {@link #loss} stay as they are.
     *
     * @param x the inputs of one example after the other, for as many examples as there are labels
     * @param labels the class of each example, counted from 0
     * @param count the number of examples in the set: the first ones of the arrays
     * @throws IllegalArgumentException as {@link #gradient}
     */
    public Score evaluate(float[] x, int[] labels, int count) {
        check(x, labels, count);
        int most = Math.min(count, EVALUATION_ROWS);
        if (evaluation.rows < most) evaluation = new Pass(engine, most, widths);
        double loss = 0, right = 0;
        for (int from = 0; from < count; from += most) {
            int rows = Math.min(most, count - from);
            forward(evaluation, x, labels, from, rows);
            float[] outcome = evaluation.outcome.get();
            loss += (double) rows * outcome[0];
            right += outcome[1];
        }
        return new Score(loss / count, right / count);
    }

    /** From the inputs of some rows to the outcome and the gradient of the logits. */
    private void forward(Pass pass, float[] x, int[] labels, int from, int rows) {
        int last = layers.length;
        dense.load(x, from * widths[0], rows * widths[0], pass.values[0]);
        for (int l = 0; l < last; l++) {
            dense.affine(layers[l], rows, pass.values[l], pass.values[l + 1]);
            if (l + 1 < last) dense.relu(rows * widths[l + 1], pass.values[l + 1]);
        }
        dense.crossEntropy(rows, widths[last], pass.values[last], labels, from, pass.outcome);
    }

    private void check(float[] x, int[] labels, int count) {
        if (count < 1 || count > labels.length) {
            throw new IllegalArgumentException(
                    "count: expected from 1 to the number of labels, " + labels.length + ", got " + count);
        }
        long inputs = (long) labels.length * widths[0];
        if (x.length != inputs) {
            throw new IllegalArgumentException("x: expected " + labels.length + " labels times " + widths[0]
                    + " inputs, " + inputs + " numbers, got " + x.length);
        }
        int classes = widths[widths.length - 1];
        for (int i = 0; i < count; i++) {
            if (labels[i] < 0 || labels[i] >= classes) {
                throw new IllegalArgumentException(
                        "labels[" + i + "]: expected a class from 0 to " + (classes - 1) + ", got " + labels[i]);
            }
        }
    }
}
