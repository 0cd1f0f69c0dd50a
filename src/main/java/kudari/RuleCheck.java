package kudari;

import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import kudari.rule.CustomRule;
import kudari.rule.Rule;

/** What is asked of a rule before anything is built on it. Ours have seen to it themselves. */
final class RuleCheck {

    /** Some shape of a parameter. */
    private static final long[] SHAPE = {3, 2};

    private RuleCheck() {}

    /**
     * The rule.
     *
     * @throws IllegalArgumentException if it is not ours, and a rate or the names of its state are not as {@link Rule} says
     */
    static Rule checked(Rule rule) {
        if (!(rule instanceof CustomRule)) return rule;
        check(rule, "lr", rule.lr());
        check(rule, "l2", rule.l2());
        check(rule, "decay", rule.decay());
        check(rule, "lr·decay", rule.lr() * rule.decay());
        checkState(rule, rule.state());
        return rule;
    }

    private static void check(Rule rule, String what, double value) {
        if (!(value >= 0 && (float) value <= Float.MAX_VALUE))
            throw new IllegalArgumentException(
                    name(rule) + ": " + what + ": expected a finite number from 0 up, got " + value);
    }

    private static void checkState(Rule rule, List<String> state) {
        String what = name(rule) + ": state(): expected ";
        if (state == null) throw new IllegalArgumentException(what + "the names of the arrays, got null");
        if (state.size() > CustomRule.MOST_ARRAYS)
            throw new IllegalArgumentException(
                    what + "at most " + CustomRule.MOST_ARRAYS + " arrays, got " + state.size());
        // As they are in the names of a checkpoint's tensors.
        for (String array : state)
            if (array == null || !array.matches("\\w+"))
                throw new IllegalArgumentException(what + "names of letters, digits and _, got " + state);
        if (new HashSet<>(state).size() < state.size())
            throw new IllegalArgumentException(what + "a name for each array, got " + state);
        for (int n = 0; n < state.size(); n++) {
            checkFinite(rule, "initial(" + n + ")", rule.initial(n));
            checkFinite(rule, "evaluation(" + n + ")", rule.evaluation(n));
            checkCompression(rule, n);
        }
        for (int n = 0; n < state.size(); n++)
            if (!Arrays.equals(SHAPE, rule.shape(n, SHAPE)))
                throw new IllegalArgumentException(name(rule) + ": shape(" + n
                        + ", …): expected the parameter's shape, which all state of a rule of one's own has, got "
                        + Arrays.toString(rule.shape(n, SHAPE)) + " for " + Arrays.toString(SHAPE));
    }

    private static void checkCompression(Rule rule, int n) {
        Rule.Compression compression = rule.compression(n);
        String what = name(rule) + ": compression(" + n + "): expected ";
        if (compression == null) throw new IllegalArgumentException(what + "NONE, SIGNED or UNSIGNED, got null");
        if (compression != Rule.Compression.NONE && rule.evaluation(n) != 0)
            throw new IllegalArgumentException(what + "NONE, for evaluation(" + n + ") is " + rule.evaluation(n)
                    + ", and what is used of an array is its float32, got " + compression);
    }

    private static void checkFinite(Rule rule, String what, float value) {
        if (!Float.isFinite(value))
            throw new IllegalArgumentException(name(rule) + ": " + what + ": expected a finite number, got " + value);
    }

    /** As messages name it. */
    static String name(Rule rule) {
        return rule.getClass().getSimpleName();
    }

    /** What became of a call of a rule that threw. */
    static IllegalStateException failed(Rule rule, String call, RuntimeException e) {
        return new IllegalStateException(
                name(rule) + "." + call + ": "
                        + (e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage()),
                e);
    }
}
