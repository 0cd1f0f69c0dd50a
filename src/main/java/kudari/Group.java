package kudari;

import java.util.Objects;
import java.util.Optional;
import kudari.rule.Rule;

/**
 * Which parameters follow which rule. An optimizer has a list of groups; the first whose pattern and extents fit a parameter takes it.
 *
 * <pre>{@code
 * Optimizer fine = engine.optimizer(
 *     Group.frozen("embed.*"),
 *     Group.of("head.*", AdamW.of(1e-3)),
 *     Group.vectors("*", AdamW.of(3e-4).decay(0)),
 *     Group.rest(LearningRate.cosine(3e-4, 0, 10_000).warmUp(500).of(AdamW.of())));
 * }</pre>
 *
 * @param pattern of names; {@code *} stands for any characters, dots among them, and for none
 * @param extents how many extents a parameter must have
 * @param schedule the rule of every step; none for parameters that stay as they are
 * @param mayBeEmpty whether the group is allowed to have no parameter at the first update
 * @param average what follows the parameters and is used in their place
 * @param master how the float32 value of a parameter of 16 bits is kept
 * @param state in how many bits the state is kept
 */
public record Group(
        String pattern,
        Extents extents,
        Optional<Schedule> schedule,
        boolean mayBeEmpty,
        Average average,
        Master master,
        StateFormat state) {

    /** How many extents a parameter of a group has. */
    public enum Extents {
        /** Any number. */
        ANY,
        /** At most one: biases, scales of a normalisation. */
        VECTOR,
        /** Two or more: weights of dense layers, convolutions, embeddings. */
        MATRIX;

        boolean fit(int count) {
            return this == ANY || (this == MATRIX) == (count >= 2);
        }
    }

    /** Checks that nothing is null. */
    public Group {
        Objects.requireNonNull(pattern, "pattern");
        Objects.requireNonNull(extents, "extents");
        Objects.requireNonNull(schedule, "schedule");
        Objects.requireNonNull(average, "average");
        Objects.requireNonNull(master, "master");
        Objects.requireNonNull(state, "state");
        if (schedule.isEmpty() && average.isKept())
            throw new IllegalArgumentException(
                    "frozen '" + pattern + "': expected no average, for nothing moves, got one");
    }

    /** The parameters of these names, by one rule for all steps. */
    public static Group of(String pattern, Rule rule) {
        return of(pattern, Schedule.of(rule));
    }

    /** The parameters of these names, by a schedule. */
    public static Group of(String pattern, Schedule schedule) {
        return new Group(
                pattern,
                Extents.ANY,
                Optional.of(Objects.requireNonNull(schedule, "schedule")),
                false,
                Average.NONE,
                Master.FLOAT32,
                StateFormat.FLOAT32);
    }

    /** Those with at most one extent, by one rule for all steps. */
    public static Group vectors(String pattern, Rule rule) {
        return vectors(pattern, Schedule.of(rule));
    }

    /** Those with at most one extent, by a schedule. */
    public static Group vectors(String pattern, Schedule schedule) {
        return new Group(
                pattern,
                Extents.VECTOR,
                Optional.of(Objects.requireNonNull(schedule, "schedule")),
                false,
                Average.NONE,
                Master.FLOAT32,
                StateFormat.FLOAT32);
    }

    /** Those with two extents or more, by one rule for all steps. */
    public static Group matrices(String pattern, Rule rule) {
        return matrices(pattern, Schedule.of(rule));
    }

    /** Those with two extents or more, by a schedule. */
    public static Group matrices(String pattern, Schedule schedule) {
        return new Group(
                pattern,
                Extents.MATRIX,
                Optional.of(Objects.requireNonNull(schedule, "schedule")),
                false,
                Average.NONE,
                Master.FLOAT32,
                StateFormat.FLOAT32);
    }

    /** All that no group before took, by one rule for all steps. */
    public static Group rest(Rule rule) {
        return of("*", rule);
    }

    /** All that no group before took, by a schedule. */
    public static Group rest(Schedule schedule) {
        return of("*", schedule);
    }

    /** Parameters that stay as they are: they need no gradient, have no state and are not in the norm. */
    public static Group frozen(String pattern) {
        return new Group(
                pattern, Extents.ANY, Optional.empty(), false, Average.NONE, Master.FLOAT32, StateFormat.FLOAT32);
    }

    /** This group, which may have no parameter at the first update: they come later, or never. */
    public Group orEmpty() {
        return new Group(pattern, extents, schedule, true, average, master, state);
    }

    /**
     * This group with an exponential moving average of each parameter (EMA), which {@link Optimizer#evaluating} puts in its place. Training is the same with
     * it as without.
     *
     * @param decay d, the fraction of the average kept per step, in [0, 1): 0.999 looks back over some 1,000 steps
     * @throws IllegalStateException if the group has {@link #lookahead}
     * @see Average
     */
    public Group average(double decay) {
        return with(Average.ema(decay));
    }

    /**
     * This group with Lookahead: after every k-th step the parameters go a part of the way back, to slow weights, which are what {@link
     * Optimizer#evaluating} puts in their place between.
     *
     * @param k the steps forward, at least 1; the paper's 5 or 10
     * @param alpha α, the part of the way from the slow weights to the parameters that is kept, above 0, at most 1; the paper's 0.5
     * @throws IllegalStateException if the group has {@link #average(double)}
     * @see Average
     */
    public Group lookahead(long k, double alpha) {
        return with(Average.lookahead(k, alpha));
    }

    /**
     * This group with another way to keep the float32 value of its parameters of 16 bits; without a word it is {@link Master#FLOAT32}. Those of float32 need
     * none: for them it changes nothing.
     */
    public Group master(Master master) {
        return new Group(pattern, extents, schedule, mayBeEmpty, average, master, state);
    }

    /**
     * This group with its state in another format; without a word it is {@link StateFormat#FLOAT32}. An optimizer refuses a format that the group's rule does
     * not take.
     */
    public Group state(StateFormat state) {
        return new Group(pattern, extents, schedule, mayBeEmpty, average, master, state);
    }

    private Group with(Average other) {
        if (average.isKept() && !average.name().equals(other.name()))
            throw new IllegalStateException("group " + this + ": expected one of average and lookahead, got both");
        return new Group(pattern, extents, schedule, mayBeEmpty, other, master, state);
    }

    /** Whether this group takes a parameter of this shape. */
    boolean takes(String name, long[] shape) {
        return extents.fit(shape.length) && takesName(name);
    }

    /** Whether this group takes parameters of a name, of the right extents. */
    boolean takesName(String name) {
        return matches(pattern, name);
    }

    /** Without backtracking into earlier stars: what a star has passed over, a later one can only pass over too. */
    private static boolean matches(String pattern, String name) {
        int p = 0, n = 0, star = -1, resume = 0;
        while (n < name.length()) {
            if (p < pattern.length() && pattern.charAt(p) == '*') {
                star = p++;
                resume = n;
            } else if (p < pattern.length() && pattern.charAt(p) == name.charAt(n)) {
                p++;
                n++;
            } else if (star >= 0) {
                p = star + 1;
                n = ++resume;
            } else {
                return false;
            }
        }
        while (p < pattern.length() && pattern.charAt(p) == '*') p++;
        return p == pattern.length();
    }

    /** As in {@code 'head.*'} or {@code vectors of '*'}. */
    @Override
    public String toString() {
        return (extents == Extents.VECTOR ? "vectors of " : extents == Extents.MATRIX ? "matrices of " : "") + "'"
                + pattern + "'";
    }
}
