package kudari.spark;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import kudari.Optimizer;
import kudari.nn.Network;
import kudari.nn.Samples;

/**
 * The training of the tests.
 *
 * @param steps to train for
 * @param saveEvery so many steps, or 0 for never
 * @param fault what happens on the way
 */
record DigitsLoop(int steps, int saveEvery, Fault fault) implements TrainingLoop<Digit, DigitsLoop.Result> {

    /** Something that befalls a rank before a step. */
    interface Fault extends java.io.Serializable {
        void before(Rank rank, long step) throws IOException;
    }

    /**
     * What a rank came to.
     *
     * @param began the step that this attempt began with
     * @param process of the rank
     */
    record Result(float[] weights, long attempt, long began, long process, String engine)
            implements java.io.Serializable {}

    static final Fault NONE = (rank, step) -> {};

    @Override
    public Result run(Rank rank, Iterator<Digit> digits) throws IOException {
        List<Digit> mine = new ArrayList<>();
        digits.forEachRemaining(mine::add);
        Network net = Digit.network(rank.engine());
        Samples samples = Digit.samples(rank.engine(), mine);
        Optimizer adam = Digit.adam(rank.engine(), rank.size());
        rank.restore(adam, net.params());
        long began = adam.steps();
        for (long step = began; step < steps; ) {
            fault.before(rank, step);
            net.gradient(samples, Digit.rows(step), Digit.BATCH);
            rank.sum(net.grads());
            adam.update(net.params(), net.grads());
            step++;
            if (saveEvery > 0 && step % saveEvery == 0) rank.save(adam, net.params(), Map.of());
        }
        return new Result(
                Digit.weights(net.params()),
                rank.attempt(),
                began,
                ProcessHandle.current().pid(),
                rank.engine().toString());
    }
}
