package kudari;

import java.util.Optional;
import kudari.rule.FactoredRule;
import kudari.rule.Rule;
import kudari.rule.TensorRule;

/** Does the steps of one optimizer on one engine. It holds the scalars of the steps to come, and what has been counted. The facade has checked. */
abstract class Driver {

    /** What has been counted: steps done, steps left out, launches that found no scalars; and the norm of the last step's gradients. */
    static final class Tally {
        long done, skipped, outran;
        double norm;

        void set(long done, long skipped, long outran, double norm) {
            this.done = done;
            this.skipped = skipped;
            this.outran = outran;
            this.norm = norm;
        }
    }

    /** The work over some tensors, laid out. */
    interface Layout {
        void free();
    }

    /**
     * Lays out the work over these tensors: once for every set of tensors, not once a step.
     *
     * @param old of tensors with the same names, which may be laid out no more: this one takes its place, or frees it; none where there is none
     */
    abstract Layout layout(Plan plan, Optional<Layout> old);

    /** Has norms be those over more ranks than this, which every step then waits for. */
    abstract void join(OtherRanks others);

    /** Makes this the work of the steps to come. */
    abstract void use(Layout layout);

    /**
     * Takes the scalars of some steps, which stand at the same places of the ring whatever they were before.
     *
     * @param first the number of the first step
     * @param steps how many; none lies beyond the end of the ring
     * @param k for each step and each group {@link kudari.rule.Rule#SCALARS} scalars
     */
    abstract void send(long first, int steps, float[] k);

    /** Whether a step has failed when a part of it was done, which nobody can take back. */
    boolean isTorn;

    /** Does the next step. Nothing is allocated. Where it throws, {@link #isTorn} says whether it has changed something. */
    abstract void step();

    /** Asks for the counts as they are now, to be had by {@link #heard}; nothing waits. */
    abstract void ask();

    /** The counts that were last asked for, in an object that the next call fills anew. */
    abstract Tally heard();

    /** Counts from here on. */
    abstract void count(long done, long skipped);

    /** Frees what this takes of the engine's memory; the tensors stay. */
    abstract void free();

    /** A rule as one that factors its second moment, if it is one. */
    static Optional<FactoredRule> factored(Rule rule) {
        return rule instanceof FactoredRule factored ? Optional.of(factored) : Optional.empty();
    }

    /** A rule as one that looks at whole tensors, if it is one. */
    static Optional<TensorRule> whole(Rule rule) {
        return rule instanceof TensorRule whole ? Optional.of(whole) : Optional.empty();
    }
}
