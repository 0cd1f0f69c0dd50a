package kudari.cli;

import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import kudari.CudaEngine;
import kudari.Engine;
import kudari.Evaluation;
import kudari.Group;
import kudari.Guard;
import kudari.LossScale;
import kudari.Optimizer;
import kudari.ShardedOptimizer;
import kudari.Tensor;
import kudari.data.Sampler;
import kudari.nn.Network;
import kudari.nn.Samples;
import kudari.nn.Score;
import kudari.spark.Rank;
import kudari.spark.TrainingLoop;

/**
 * What every rank of {@code train --spark} does: it draws the batches of the whole run, and trains on its part of each.
 *
 * @param arguments that decide the bits, as of the command line
 * @param until the number of batches of the whole run
 * @param saveEvery how often to save; 0 for after each epoch
 */
record RankTraining(List<String> arguments, long until, long saveEvery) implements TrainingLoop<Integer, double[]> {

    /** So many steps at most are told together. */
    private static final int WINDOW = 100;

    /**
     * What rank 0 tells of some steps.
     *
     * @param attempt of the job
     * @param before how many steps there were before them
     * @param skippedBefore how many of those were skipped
     * @param losses of each of them, the mean over all ranks
     * @param skipped how many of all steps were skipped
     * @param accuracy on the samples held out, NaN where it was not measured
     * @param seconds that the steps took
     * @param saved whether they were saved
     * @param lost whether they should have been, and the weights were not finite
     */
    record Told(
            long attempt,
            long before,
            long skippedBefore,
            double[] losses,
            long skipped,
            double accuracy,
            double seconds,
            boolean saved,
            boolean lost)
            implements Serializable {

        long step() {
            return before + losses.length;
        }
    }

    /** The loss and the accuracy on the samples held out; only rank 0's are looked at. */
    @Override
    public double[] run(Rank rank, Iterator<Integer> nothing) throws IOException {
        Train train = Train.of(arguments);
        checkDevice(train, rank.engine());
        TrainingCommand.Sets sets = train.samples();
        boolean first = rank.rank() == 0;
        Experiments.Data held = Experiments.Data.of(
                rank.engine(), sets.train(), first ? sets.test() : sets.test().head(1), train.seed);
        Network net = held.network(train.precision.dtype, train.hidden);
        Steps steps = steps(train, rank, net);
        Optimizer optimizer = steps.optimizer();
        Sampler batches = Sampler.epochs(sets.train().size(), train.batch, train.seed);
        long before = optimizer.steps() + optimizer.skipped(), skipped = optimizer.skipped();
        batches.seek(before);
        List<Double> losses = new ArrayList<>();
        net.onLoss(losses::add);
        int part = train.batch / rank.size();
        long clock = System.nanoTime();
        for (long step = before; step < until; ) {
            int[] batch = batches.next();
            net.gradient(held.train(), Arrays.copyOfRange(batch, part * rank.rank(), part * (rank.rank() + 1)), part);
            steps.update().run();
            step++;

            long samples = sets.train().size();
            boolean epoch = step * train.batch / samples > (step - 1) * train.batch / samples, last = step == until;
            boolean saves = last || (saveEvery == 0 ? epoch : step % saveEvery == 0);
            if (!epoch && !saves && step - before < WINDOW) continue;
            net.tellLosses();
            double[] means = means(rank, losses);
            double seconds = (System.nanoTime() - clock) / 1e9;
            Optional<Score> score = Optional.empty();
            if (epoch || last) score = score(steps, first, net, held.test());
            // The same on every rank, for the weights and these losses are.
            boolean good = saves && isFinite(net.params(), means);
            if (good) steps.save().run();
            rank.tell(new Told(
                    rank.attempt(),
                    before,
                    skipped,
                    means,
                    optimizer.skipped(),
                    score.map(Score::accuracy).orElse(Double.NaN),
                    seconds,
                    good,
                    saves && !good));
            before = step;
            skipped = optimizer.skipped();
            losses.clear();
            clock = System.nanoTime();
        }
        return score(steps, first, net, held.test())
                .map(score -> new double[] {score.loss(), score.accuracy()})
                .orElse(new double[0]);
    }

    /** How good the network is with the parameters that are to be used; only rank 0 looks, but all may be needed for it. */
    private static Optional<Score> score(Steps steps, boolean first, Network net, Samples samples) {
        List<Score> score = new ArrayList<>();
        steps.evaluating().accept(() -> {
            if (first) score.add(net.evaluate(samples));
        });
        return score.stream().findFirst();
    }

    /** Something that may fail as files do. */
    private interface Saving {
        void run() throws IOException;
    }

    /**
     * The steps of a run, from the newest checkpoint on.
     *
     * @param optimizer that counts them
     * @param update adds up the gradients of all ranks, and steps
     * @param evaluating does something with the parameters as they are to be used
     */
    private record Steps(Optimizer optimizer, Runnable update, Saving save, Consumer<Runnable> evaluating) {}

    private Steps steps(Train train, Rank rank, Network net) throws IOException {
        Guard guard = train.guard().scale(1.0 / rank.size());
        Optional<LossScale> scale = train.lossScale(net, rank.engine());
        Group[] groups = train.groups(train.rates(until));
        if (train.zero) {
            ShardedOptimizer sharded = new ShardedOptimizer(rank.engine(), rank.collective(), groups).guard(guard);
            scale.ifPresent(sharded::lossScale);
            rank.restore(sharded, net.params());
            return new Steps(
                    sharded.own(),
                    () -> sharded.update(net.params(), net.grads()),
                    () -> rank.save(sharded, net.params(), Map.of()),
                    body -> sharded.evaluating(net.params(), body));
        }
        Optimizer optimizer = rank.engine().optimizer(groups).guard(guard);
        scale.ifPresent(optimizer::lossScale);
        rank.restore(optimizer, net.params());
        return new Steps(
                optimizer,
                () -> {
                    rank.sum(net.grads());
                    optimizer.update(net.params(), net.grads());
                },
                () -> rank.save(optimizer, net.params(), Map.of()),
                body -> {
                    Evaluation using = optimizer.evaluating(net.params());
                    try {
                        body.run();
                    } finally {
                        using.close();
                    }
                });
    }

    private static void checkDevice(Train train, Engine engine) throws IOException {
        boolean gpu = engine instanceof CudaEngine;
        if (train.device.kind().equals(gpu ? "cpu" : "cuda"))
            throw new IOException("--device " + train.device + ": Spark gave the rank " + engine
                    + "; a GPU is given by spark.task.resource.gpu.amount and what belongs to it");
    }

    /** Of each step, the mean over the ranks, whose parts of a batch are of one size. */
    private static double[] means(Rank rank, List<Double> losses) {
        int count = losses.size();
        double[] all = rank.collective()
                .allGather(losses.stream().mapToDouble(loss -> loss).toArray());
        double[] means = new double[count];
        for (int n = 0; n < all.length; n++) means[n % count] += all[n];
        for (int n = 0; n < count; n++) means[n] /= rank.size();
        return means;
    }

    private static boolean isFinite(Map<String, Tensor> params, double[] losses) {
        if (!Double.isFinite(losses[losses.length - 1])) return false;
        for (Tensor param : params.values()) for (float x : param.get()) if (!Float.isFinite(x)) return false;
        return true;
    }
}
