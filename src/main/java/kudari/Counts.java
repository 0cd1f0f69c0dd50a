package kudari;

import java.util.List;

/**
 * What an optimizer has counted: all that another needs, beside the state, to go on where it stands.
 *
 * @param steps the number of steps done
 * @param skipped the number of steps left out because a gradient was not finite
 * @param groups the number of steps in which each group that is not frozen took part, in their order; a rule's bias correction counts these
 */
public record Counts(long steps, long skipped, List<Long> groups) {

    /** Beyond this a count is no training. */
    private static final long MOST = 1L << 53;

    /** Checks that the numbers are in range. */
    public Counts {
        check("steps", steps, MOST);
        check("skipped", skipped, MOST);
        groups = List.copyOf(groups);
        for (long group : groups) check("groups", group, steps);
    }

    private static void check(String name, long count, long most) {
        if (count < 0 || count > most)
            throw new IllegalArgumentException(name + ": expected from 0 to " + most + ", got " + count);
    }
}
