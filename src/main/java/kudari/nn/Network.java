package kudari.nn;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.function.DoubleConsumer;
import kudari.Dtype;
import kudari.Engine;
import kudari.Tensor;

/**
 * A fully connected network that lives on an engine: ReLU between its layers, softmax cross-entropy at its end.
 *
 * <pre>  h₀ = x,   hₗ = max(hₗ₋₁·Wₗ + bₗ, 0),   logits = hₙ₋₁·Wₙ + bₙ,   loss = −log softmax(logits)[label]</pre>
 *
 * <pre>{@code
 * Network net = new Network(engine, Init.HE, 1, 784, 100, 10);
 * Samples samples = new Samples(engine, x, labels);
 * Optimizer adam = engine.optimizer(Adam.of());
 * for (...) {
 *     net.gradient(samples, batches.next(), 128);
 *     adam.update(net.params(), net.grads());
 * }
 * }</pre>
 *
 * <p>Samples, weights, activations and gradients are in the engine's memory from the first batch to the last. On the CPU the products are
 * OpenBLAS's, which the first network sets to one thread for the whole process; on a device they are cuBLAS's, by the engine's handle.
 *
 * <p>A network of bfloat16 or float16 trains in mixed precision: its weights, biases and activations, and the gradients of the latter, are of that type, each
 * rounded once, to nearest. Products and sums are taken in float32, the loss from the rounded logits in double; and {@link #grads} are of float32, for they
 * come out of sums over the batch that are, where rounding would only lose. What keeps small steps from being lost is the optimizer's: {@link
 * kudari.Group#master}. Float16 needs {@link #scaleLoss}, for gradients below 2⁻²⁵ are 0 in it.
 *
 * <p>On one machine and engine the results are the same to the last bit from run to run, whatever the number of threads of the engine. A network
 * belongs to its engine's thread, and its tensors live until it or the engine is closed. Numbers that are not finite raise nothing: they show
 * in the loss.
 */
public final class Network implements AutoCloseable {

    /** Rows that an evaluation takes at a time: as fast as more, and small enough for any cache. */
    private static final int EVALUATION_ROWS = 500;

    /** The longest array that Java makes. */
    private static final int MOST_WEIGHTS = Integer.MAX_VALUE - 8;

    private final Engine engine;
    private final Dtype dtype;
    private final Dense dense;
    private final int[] widths;
    private final Layer[] layers;
    private final Map<String, Tensor> params, grads;
    private final Losses losses;
    private Activations training, evaluation;

    /** What the passes of an evaluation came to, [passes, 2]; and the number of the next one's row. */
    private Tensor outcomes;

    private final Tensor place;

    /** What the gradient is multiplied by: a one of ours, or somebody's number. */
    private Tensor scale;

    /** The batch that is loaded: from which samples, and how many; none where there is none. */
    private Optional<Samples> loaded = Optional.empty();

    /** The numbers of its samples, as they were given, and how many. */
    private int[] rows = {};

    private int count;
    private boolean closed;
    private final Scope scope = new Scope();
    private final Runnable choose = this::choose, pass = this::pass;

    /**
     * A network with biases of 0 and normal weights from a {@link Random} of this seed, layer after layer in row-major order: the same
     * numbers on every machine and engine.
     *
     * @param engine where it lives
     * @param init the spread of the weights
     * @param seed any number
     * @param widths the number of inputs, then of units in each layer; the last is the number of classes
     * @throws IllegalArgumentException if there are fewer than two widths, one is not positive, or a layer has more weights than an array holds
     * @throws UnsupportedOperationException if the engine is the CPU and OpenBLAS is not there
     * @throws kudari.CudaException if the engine is a device and cuBLAS is not there
     */
    public Network(Engine engine, Init init, long seed, int... widths) {
        this(engine, Dtype.F32, init, seed, widths);
    }

    /**
     * The same of a type, to which the weights are rounded.
     *
     * @param engine where it lives
     * @param dtype of weights, biases and activations: {@code F32}, {@code BF16} or {@code F16}
     * @param init the spread of the weights
     * @param seed any number
     * @param widths the number of inputs, then of units in each layer; the last is the number of classes
     * @throws IllegalArgumentException if it is another type, or as of {@link #Network(Engine, Init, long, int...)}
     */
    public Network(Engine engine, Dtype dtype, Init init, long seed, int... widths) {
        if (dtype == Dtype.U8 || !dtype.isOfTensors())
            throw new IllegalArgumentException("dtype: expected F32, BF16 or F16, got " + dtype);
        if (widths.length < 2) {
            throw new IllegalArgumentException(
                    "widths: expected at least inputs and classes, got " + Arrays.toString(widths));
        }
        for (int width : widths) {
            if (width < 1)
                throw new IllegalArgumentException("widths: expected positive numbers, got " + Arrays.toString(widths));
        }
        for (int l = 1; l < widths.length; l++) {
            long weights = Math.multiplyFull(widths[l - 1], widths[l]);
            if (weights > MOST_WEIGHTS)
                throw new IllegalArgumentException("widths: expected at most " + MOST_WEIGHTS
                        + " weights in a layer, got " + widths[l - 1] + " · " + widths[l]);
        }
        this.engine = engine;
        this.dtype = dtype;
        this.widths = widths.clone();
        this.layers = new Layer[widths.length - 1];
        Map<String, Tensor> params = new LinkedHashMap<>(), grads = new LinkedHashMap<>();
        this.params = Collections.unmodifiableMap(params);
        this.grads = Collections.unmodifiableMap(grads);
        Random random = new Random(seed);
        try {
            this.dense = scope.add(Dense.on(engine, dtype), Dense::close);
            for (int l = 0; l < layers.length; l++) {
                int in = widths[l], out = widths[l + 1];
                float[] weights = new float[in * out];
                double deviation = init.deviation(in);
                for (int i = 0; i < weights.length; i++) weights[i] = (float) (deviation * random.nextGaussian());
                Layer layer = new Layer(
                        in,
                        out,
                        mine(engine.tensor(weights, dtype, in, out)),
                        mine(engine.zeros(dtype, out)),
                        mine(engine.zeros(in, out)),
                        mine(engine.zeros(out)));
                params.put("W" + (l + 1), layer.weight());
                params.put("b" + (l + 1), layer.bias());
                grads.put("W" + (l + 1), layer.dWeight());
                grads.put("b" + (l + 1), layer.dBias());
                layers[l] = layer;
            }
            this.training = new Activations(engine, dtype, 0, this.widths);
            scope.add(this, net -> net.training.close());
            this.evaluation = new Activations(engine, dtype, 0, this.widths);
            scope.add(this, net -> net.evaluation.close());
            this.losses = scope.add(new Losses(engine), Losses::close);
            this.outcomes = engine.zeros(0, 2);
            scope.add(this, net -> net.outcomes.close());
            this.place = mine(engine.zeros(1));
            this.scale = mine(engine.tensor(new float[] {1}));
        } catch (RuntimeException | Error e) {
            scope.abandon(e);
            throw e;
        }
    }

    private Tensor mine(Tensor tensor) {
        return scope.add(tensor, Tensor::close);
    }

    /** The weights and biases, of the network's type: "W1" [inputs, units], "b1" [units], "W2", "b2", … in this order. */
    public Map<String, Tensor> params() {
        return params;
    }

    /** The gradient that {@link #gradient} left, of float32, under the names and in the order of {@link #params}. */
    public Map<String, Tensor> grads() {
        return grads;
    }

    /**
     * Computes the gradient of the mean loss of a batch, into {@link #grads}: {@link #load}, then {@link #gradient()}. Allocates nothing once it has
     * seen the largest batch, and returns at once where the engine works on its own.
     *
     * @param samples of this network's engine, from which the batch is taken
     * @param rows the numbers of the samples in the batch, counted from 0; one may come more than once
     * @param count how many of them: the first ones of the array
     * @throws IllegalArgumentException if the count is not from 1 to the length of the array, a number is that of no sample, or the
     *     samples' inputs or classes are not the network's; nothing has changed then
     */
    public void gradient(Samples samples, int[] rows, int count) {
        load(samples, rows, count);
        gradient();
    }

    /**
     * Chooses the batch of the next {@link #gradient()}: its numbers go to the engine's memory, in the order of the engine's work. A graph in which there is a
     * gradient takes the batch loaded last, which must be as large as the one that was loaded when it was captured, and of the same samples.
     *
     * @param samples of this network's engine, from which the batch is taken
     * @param rows the numbers of the samples in the batch, counted from 0; one may come more than once
     * @param count how many of them: the first ones of the array
     * @throws IllegalArgumentException as {@link #gradient(Samples, int[], int)}
     */
    public void load(Samples samples, int[] rows, int count) {
        check(samples);
        if (count < 1 || count > rows.length) {
            throw new IllegalArgumentException(
                    "count: expected from 1 to the number of rows, " + rows.length + ", got " + count);
        }
        for (int i = 0; i < count; i++) {
            if (rows[i] < 0 || rows[i] >= samples.size()) {
                throw new IllegalArgumentException(
                        "rows[" + i + "]: expected from 0 to " + (samples.size() - 1) + ", got " + rows[i]);
            }
        }
        if (engine.isCapturing())
            throw new IllegalStateException(
                    "capture: the numbers of a batch cannot be recorded; load it before each launch");
        if (training.rows < count) {
            Activations larger = new Activations(engine, dtype, count, widths);
            training.close();
            training = larger;
        }
        this.rows = rows;
        this.count = count;
        engine.inContext(choose);
        if (loaded.isEmpty() || loaded.get() != samples) loaded = Optional.of(samples);
    }

    private void choose() {
        dense.choose(rows, count, training);
    }

    /**
     * Computes the gradient of the mean loss of the batch last loaded, into {@link #grads}.
     *
     * @throws IllegalStateException if none is loaded
     */
    public void gradient() {
        checkOpen();
        if (loaded.isEmpty())
            throw new IllegalStateException("gradient: no batch is loaded; load(samples, rows, count) comes first");
        boolean isCapturing = engine.isCapturing();
        engine.inContext(pass);
        if (isCapturing) onLaunch(loaded.get(), count, training);
        else losses.advance();
    }

    private void pass() {
        dense.gather(loaded.get(), count, training);
        forward(training, count, losses.outcomes, losses.place);
        for (int l = layers.length - 1; l >= 0; l--) {
            dense.parameterGradient(layers[l], count, training.values[l], training.gradients[l + 1]);
            if (l == 0) break; // nobody asks for the gradient of the inputs
            dense.inputGradient(layers[l], count, training.gradients[l + 1], training.gradients[l]);
            dense.reluGradient((long) count * widths[l], training.values[l], training.gradients[l]);
        }
    }

    private void onLaunch(Samples samples, int count, Activations pass) {
        engine.onLaunch(() -> checkLoaded(samples, count, pass), losses::advance);
    }

    private void checkLoaded(Samples samples, int captured, Activations pass) {
        checkOpen();
        if (loaded.orElseThrow() == samples && count == captured && training == pass) return;
        throw new IllegalStateException("launch: expected a batch of " + captured + " out of " + samples
                + ", as when the graph was captured, and no larger one loaded since; got one of " + count + " out of "
                + loaded.orElseThrow() + "; capture another graph for it");
    }

    /**
     * From now on the gradient is that of the mean loss times a number, which the engine reads as it computes one; the losses that are told stay as they
     * are. What the network leaves is the optimizer's to divide again.
     *
     * @param scale a tensor of one element and of float32, which must stay open as long as gradients are computed; the scale of a loss, say. A graph that
     *     has been captured keeps the one of its time
     * @throws IllegalArgumentException if it has more elements, is of another type or of another engine
     */
    public void scaleLoss(Tensor scale) {
        checkOpen();
        if (scale.size() != 1 || scale.dtype() != Dtype.F32)
            throw new IllegalArgumentException("scale: expected a tensor of one element of F32, got " + scale);
        try (Tensor own = engine.zeros()) {
            own.set(scale); // refuses another engine's
        }
        this.scale = scale;
    }

    /**
     * The mean loss of the last batch given to {@link #gradient}, in nats per example; 0 before the first. Waits for the engine to have
     * computed it.
     */
    public float loss() {
        return losses.last();
    }

    /**
     * Reports the mean loss of every batch from now on, in order. Losses are copied from a device one window at a time and one window late, so
     * that no step waits for them: {@link #gradient} reports them, and {@link #tellLosses} reports the rest.
     *
     * @param listener receives each loss, a float32 in nats per example. What it throws goes to the caller, and the remaining losses of that
     *     window are not reported
     */
    public void onLoss(DoubleConsumer listener) {
        losses.tell(listener);
    }

    /** Reports to the listener of {@link #onLoss} all losses not yet reported; waits until the engine has computed them. */
    public void tellLosses() {
        losses.tellAll();
    }

    /** The mean loss and the accuracy over all samples; {@link #grads} and {@link #loss} stay as they are. Waits. */
    public Score evaluate(Samples samples) {
        check(samples);
        int n = samples.size(), most = Math.min(n, EVALUATION_ROWS), passes = (n - 1) / most + 1;
        if (engine.isCapturing())
            throw new IllegalStateException("capture: an evaluation cannot be recorded, for it reads what it came to");
        Score[] score = new Score[1];
        engine.inContext(() -> score[0] = evaluate(samples, n, most, passes));
        return score[0];
    }

    private Score evaluate(Samples samples, int n, int most, int passes) {
        if (evaluation.rows < most) {
            Activations larger = new Activations(engine, dtype, most, widths);
            evaluation.close();
            evaluation = larger;
        }
        if (outcomes.size() != 2L * passes) {
            Tensor others = engine.zeros(passes, 2);
            outcomes.close();
            outcomes = others;
        }
        place.zero();
        int[] rows = new int[most];
        for (int pass = 0; pass < passes; pass++) {
            int from = pass * most, count = Math.min(most, n - from);
            for (int i = 0; i < count; i++) rows[i] = from + i;
            dense.choose(rows, count, evaluation);
            dense.gather(samples, count, evaluation);
            forward(evaluation, count, outcomes, place);
        }
        float[] found = outcomes.get(); // one wait for all
        double loss = 0, right = 0;
        for (int pass = 0; pass < passes; pass++) {
            loss += (double) Math.min(most, n - pass * most) * found[2 * pass];
            right += found[2 * pass + 1];
        }
        return new Score(loss / n, right / n);
    }

    /** From the inputs of some rows to their outcome and the gradient of the logits. */
    private void forward(Activations pass, int rows, Tensor outcomes, Tensor at) {
        int last = layers.length;
        for (int l = 0; l < last; l++) {
            float lowerBound = l + 1 < last ? 0 : Float.NEGATIVE_INFINITY; // ReLU, but for the logits
            dense.affine(layers[l], rows, pass.values[l], lowerBound, pass.sums(l + 1), pass.values[l + 1]);
        }
        dense.crossEntropy(rows, widths[last], pass.values[last], pass.labels, scale, outcomes, at);
    }

    /** Gives its memory back: parameters, gradients and all that it works in. Closing twice does nothing. */
    @Override
    public void close() {
        scope.close();
        closed = true;
    }

    private void checkOpen() {
        if (closed) throw new IllegalStateException("the network is closed");
    }

    private void check(Samples samples) {
        checkOpen();
        int classes = widths[widths.length - 1];
        if (samples.features() != widths[0] || samples.classes() > classes) {
            throw new IllegalArgumentException(
                    "samples: expected " + widths[0] + " inputs and at most " + classes + " classes, got " + samples);
        }
        if (samples.engine != engine) {
            throw new IllegalArgumentException(
                    "samples: expected some of this network's engine, " + engine + ", got some of " + samples.engine);
        }
    }
}
