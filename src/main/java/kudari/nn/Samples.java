package kudari.nn;

import kudari.CpuEngine;
import kudari.Engine;
import kudari.Tensor;

/** Labelled examples in the memory of an engine, from which a {@link Network} takes its batches. They live until they, or the engine, are
 * closed. */
public final class Samples implements AutoCloseable {

    /** The labels are kept as floats, which are exact up to here. */
    private static final int MOST_CLASSES = 1 << 24;

    /** The inputs of one example after the other, [size, features]; and their labels, [size]. */
    final Tensor x, labels;

    final Engine engine;
    private final int size, features, classes;
    private final Scope scope = new Scope();

    /**
     * Examples of an engine.
     *
     * @param engine where they live
     * @param x the inputs of one example after the other, as many for each. On the CPU the array becomes the samples' own: leave it alone
     * @param labels the class of each example, counted from 0
     * @throws IllegalArgumentException if there are no labels, the inputs cannot be shared out among them, or a label is not from 0 up to
     *     but not including 2²⁴
     */
    public Samples(Engine engine, float[] x, int[] labels) {
        if (labels.length == 0) throw new IllegalArgumentException("labels: expected at least one, got none");
        if (x.length == 0 || x.length % labels.length != 0) {
            throw new IllegalArgumentException(
                    "x: expected a multiple of the number of labels, " + labels.length + ", got " + x.length);
        }
        this.engine = engine;
        size = labels.length;
        features = x.length / size;
        float[] classOf = new float[size];
        int largest = 0;
        for (int i = 0; i < size; i++) {
            if (labels[i] < 0 || labels[i] >= MOST_CLASSES) {
                throw new IllegalArgumentException(
                        "labels[" + i + "]: expected from 0 to " + (MOST_CLASSES - 1) + ", got " + labels[i]);
            }
            classOf[i] = labels[i];
            largest = Math.max(largest, labels[i]);
        }
        classes = largest + 1;
        try {
            this.x = scope.add(
                    engine instanceof CpuEngine cpu ? cpu.wrap(x, size, features) : engine.tensor(x, size, features),
                    Tensor::close);
            this.labels = scope.add(engine.tensor(classOf), Tensor::close);
        } catch (RuntimeException | Error e) {
            scope.abandon(e);
            throw e;
        }
    }

    /** The number of examples. */
    public int size() {
        return size;
    }

    /** The number of inputs of each. */
    public int features() {
        return features;
    }

    /** The least number of classes that the labels fit. */
    public int classes() {
        return classes;
    }

    /** Gives their memory back. Closing twice does nothing. */
    @Override
    public void close() {
        scope.close();
    }

    /** As in {@code 60000 samples of 784 inputs in 10 classes}. */
    @Override
    public String toString() {
        return size + " samples of " + features + " inputs in " + classes + " classes";
    }
}
