package kudari;

import java.util.List;
import java.util.Optional;

/**
 * What an optimizer has counted: all that another needs, beside the state, to go on where it stands.
 *
 * @param steps the number of steps done
 * @param skipped the number of steps left out because a gradient was not finite
 * @param groups the number of steps in which each group that is not frozen took part, in their order; a rule's bias correction counts these
 * @param lossScale where its loss scale stands, if it has one
 */
public record Counts(long steps, long skipped, List<Long> groups, Optional<LossScale.State> lossScale) {

    /** Beyond this a count is no training. */
    private static final long MOST = 1L << 53;

    /** Checks that the numbers are in range. */
    public Counts {
        check("steps", steps, MOST);
        check("skipped", skipped, MOST);
        groups = List.copyOf(groups);
        for (long group : groups) check("groups", group, steps);
    }

    /** Those of an optimizer without a loss scale. */
    public Counts(long steps, long skipped, List<Long> groups) {
        this(steps, skipped, groups, Optional.empty());
    }

    /** These, with a loss scale that stands somewhere. */
    public Counts lossScale(LossScale.State state) {
        return new Counts(steps, skipped, groups, Optional.of(state));
    }

    private static void check(String name, long count, long most) {
        if (count < 0 || count > most)
            throw new IllegalArgumentException(name + ": expected from 0 to " + most + ", got " + count);
    }
}
