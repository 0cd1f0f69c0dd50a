package kudari.report;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;

/**
 * All that a comparison found. Any part may be empty, and any figure NaN or infinite where a rule diverged: the report leaves a gap there.
 *
 * @param rules the rules compared, in the order in which they are shown
 * @param trajectories the path of each rule over f(x, y) = x²/20 + y², on each device
 * @param trainings the run of each rule on the network, on each device
 * @param batchingRuns gradient descent with different samples behind the gradient
 * @param digits some of the samples that the network learns
 * @param precisions one rule's runs in each precision, those of float32 first
 * @param facts what, where and when
 */
public record Comparison(
        List<ComparedRule> rules,
        List<Trajectory> trajectories,
        List<Training> trainings,
        List<BatchingRun> batchingRuns,
        List<Digit> digits,
        List<PrecisionRuns> precisions,
        Facts facts) {

    /** Copies the lists. Whatever has a trajectory or a training must be among the rules. */
    public Comparison {
        rules = List.copyOf(rules);
        trajectories = List.copyOf(trajectories);
        trainings = List.copyOf(trainings);
        batchingRuns = List.copyOf(batchingRuns);
        digits = List.copyOf(digits);
        precisions = List.copyOf(precisions);
        Set<String> names = rules.stream().map(ComparedRule::name).collect(Collectors.toSet());
        Stream.concat(
                        trajectories.stream().map(Trajectory::rule),
                        trainings.stream().map(Training::rule))
                .filter(rule -> !names.contains(rule))
                .findFirst()
                .ifPresent(rule -> {
                    throw new IllegalArgumentException("rules: expected " + rule + " among " + names);
                });
    }

    /** A comparison of rules, without precisions. */
    public Comparison(
            List<ComparedRule> rules,
            List<Trajectory> trajectories,
            List<Training> trainings,
            List<BatchingRun> batchingRuns,
            List<Digit> digits,
            Facts facts) {
        this(rules, trajectories, trainings, batchingRuns, digits, List.of(), facts);
    }

    /** The devices of the trainings, in their order. The first one's lines are solid, those of others are not. */
    List<String> devices() {
        return trainings.stream().map(Training::device).distinct().toList();
    }

    /** The colour of each rule, as #rrggbb. */
    Map<String, String> colours() {
        return ChartColors.of(rules.stream().map(ComparedRule::name).toList());
    }

    /**
     * A rule, whatever its learning rate.
     *
     * @param name its name, as the trajectories and trainings have it
     * @param state the names of its state arrays, by whose number the page groups the rules
     * @param pathRate where its learning rate over f comes from, to be read by people, as in "the book's picture"
     * @param trainingRate where its learning rate on the network comes from, as in "the default of the book"
     */
    public record ComparedRule(String name, List<String> state, String pathRate, String trainingRate) {

        /** Copies the list. */
        public ComparedRule {
            state = List.copyOf(state);
        }
    }

    /**
     * The path of one rule.
     *
     * @param rule the rule's name
     * @param settings its hyperparameters, to be read by people
     * @param device what it ran on, in a word, as in "cuda:0"
     * @param points where it was: the start, then one point after each step
     */
    public record Trajectory(String rule, String settings, String device, List<Point> points) {

        /** Copies the points, of which there must be at least one. */
        public Trajectory {
            points = List.copyOf(points);
            if (points.isEmpty())
                throw new IllegalArgumentException("points of " + rule + ": expected at least one, got none");
        }
    }

    /** A point (x, y) and the value f of the function there. */
    public record Point(float x, float y, float f) {}

    /**
     * The run of one rule.
     *
     * @param rule the rule's name
     * @param settings its hyperparameters, to be read by people
     * @param device what it ran on, in a word, as in "cuda:0"
     * @param losses the loss of each step, from step 1
     * @param accuracies the accuracy on held-out data, from 0 to 1, after some of the steps, the last one among them
     * @param microsPerUpdate how long the optimizer's part of a step took, in microseconds: the median over the run; NaN where an update only
     *     sets a device to work, so that the host's clock knows nothing of it
     * @param microsPerStep how long a whole step took, gradient and update, in microseconds: the median over the run
     * @param seconds how long the run took, evaluations and writing included
     */
    public record Training(
            String rule,
            String settings,
            String device,
            List<Float> losses,
            List<DataPoint> accuracies,
            double microsPerUpdate,
            double microsPerStep,
            double seconds) {

        /** Copies the lists. */
        public Training {
            losses = List.copyOf(losses);
            accuracies = List.copyOf(accuracies);
        }

        /** The mean loss of the last 100 steps; NaN where there are none. */
        public double finalLoss() {
            return losses.stream()
                    .skip(Math.max(0, losses.size() - 100))
                    .mapToDouble(Float::doubleValue)
                    .average()
                    .orElse(Double.NaN);
        }

        /** The last accuracy; NaN where there is none. */
        public double finalAccuracy() {
            return accuracies.isEmpty()
                    ? Double.NaN
                    : accuracies.get(accuracies.size() - 1).value();
        }
    }

    /**
     * Gradient descent with one kind of samples behind its gradient.
     *
     * @param name the kind, as in "mini-batches"
     * @param settings learning rate, batch size and the like, to be read by people
     * @param losses the loss after so many samples seen
     */
    public record BatchingRun(String name, String settings, List<DataPoint> losses) {

        /** Copies the losses. */
        public BatchingRun {
            losses = List.copyOf(losses);
        }
    }

    /**
     * The runs of one rule with its weights in one precision, from several seeds.
     *
     * @param name the precision, as in "bf16 stochastic"
     * @param rule the rule's name
     * @param bytes of a parameter and its state
     * @param trainings one for each seed, in the same order for every precision
     */
    public record PrecisionRuns(String name, String rule, double bytes, List<Training> trainings) {

        /** Copies the trainings, of which there must be at least one. */
        public PrecisionRuns {
            trainings = List.copyOf(trainings);
            if (trainings.isEmpty())
                throw new IllegalArgumentException("trainings of " + name + ": expected at least one, got none");
        }

        /** The mean of the seeds' final losses. */
        public double finalLoss() {
            return finalLosses().average().orElseThrow();
        }

        /** The lowest of the seeds' final losses. */
        public double lowestLoss() {
            return finalLosses().min().orElseThrow();
        }

        /** The highest of the seeds' final losses. */
        public double highestLoss() {
            return finalLosses().max().orElseThrow();
        }

        /** The mean of the seeds' final accuracies. */
        public double finalAccuracy() {
            return trainings.stream()
                    .mapToDouble(Training::finalAccuracy)
                    .average()
                    .orElseThrow();
        }

        /** Whether the mean final loss lies between the lowest and the highest of other runs. */
        public boolean isWithin(PrecisionRuns others) {
            return finalLoss() >= others.lowestLoss() && finalLoss() <= others.highestLoss();
        }

        private DoubleStream finalLosses() {
            return trainings.stream().mapToDouble(Training::finalLoss);
        }
    }

    /** A value measured at a step, or after so many samples. */
    public record DataPoint(long at, double value) {}

    /**
     * A picture of a digit.
     *
     * @param label what it is
     * @param columns the pixels in a row
     * @param pixels row by row, from 0 (paper) to 1 (ink)
     */
    public record Digit(int label, int columns, float[] pixels) {

        /** Copies the pixels. */
        public Digit {
            pixels = pixels.clone();
        }

        @Override
        public float[] pixels() {
            return pixels.clone();
        }
    }

    /**
     * What, where and when; printed as they come.
     *
     * @param device what it ran on
     * @param data the name of the data set, with the numbers of samples
     * @param network layers, initialisation, batch size
     * @param seed of everything random
     * @param versions of Kudari, Java and whatever else decides the figures
     * @param time date and time of the run
     * @param command the command line that repeats it
     */
    public record Facts(
            String device, String data, String network, long seed, String versions, String time, String command) {}
}
