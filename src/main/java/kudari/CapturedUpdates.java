package kudari;

import java.util.Arrays;

/** The updates of one optimizer in a graph. */
final class CapturedUpdates implements CudaGraph.Part {

    private final Optimizer optimizer;

    /** The optimizer's {@link Optimizer#generation} when they were recorded. */
    final int generation;

    /** Which of its groups take part. */
    boolean[] active = {};

    private int count;

    CapturedUpdates(Optimizer optimizer) {
        this.optimizer = optimizer;
        generation = optimizer.generation();
    }

    boolean isOf(Optimizer optimizer) {
        return this.optimizer == optimizer;
    }

    int count() {
        return count;
    }

    /**
     * Counts one more.
     *
     * @throws IllegalStateException if other groups take part in it, or there are too many for the ring of scalars
     */
    void add(boolean[] active) {
        if (count > 0 && !Arrays.equals(active, this.active))
            throw new IllegalStateException(
                    "capture: all updates of an optimizer in one graph are to be of parameters of the"
                            + " same groups; capture a graph for each");
        if (count == Control.MOST_CAPTURED)
            throw new IllegalStateException("capture: expected at most " + Control.MOST_CAPTURED
                    + " updates of one optimizer in a graph, got more");
        this.active = active;
        count++;
    }

    @Override
    public void before() {
        optimizer.before();
    }

    @Override
    public void prepare() {
        optimizer.prepare(this);
    }

    @Override
    public void launched() {
        optimizer.launched(this);
    }
}
