package kudari;

import java.util.Locale;
import kudari.rule.CustomRule;
import kudari.rule.MatrixRule;
import kudari.rule.Rule;
import kudari.rule.TensorRule;

/**
 * The kernel of a rule as text: {@code kernels/adam.cu} for {@code Adam}, and for a rule that is not ours what it says itself. Two rules are of one kind,
 * and are done in one launch, where these are equal.
 *
 * @param file what the compiler calls it
 * @param text with what is said of the rule before its first line
 * @param function its name
 * @param arrays with an element for each of the parameter's: those of state, the update where it is made orthogonal, and an average's
 */
record StepSource(String file, String text, String function, int arrays) {

    /** Before the text: it leaves 0 in the gradients. */
    static final String ZEROES = "#define ZERO_GRADIENTS\n";

    /** Before the text: an average follows the parameters, in an array behind the rule's. */
    static final String AVERAGED = "#define AVERAGED\n";

    /** After what is put before a text: lines are counted as without it. */
    static final String LINES = "#line 1\n";

    static StepSource of(Rule rule, boolean averaged, boolean zeroes) {
        Class<?> type = rule.getClass();
        String function = type.getSimpleName().toLowerCase(Locale.ROOT), file = "kernels/" + function + ".cu", text;
        if (rule instanceof CustomRule custom) {
            file = type.getName() + ".cu";
            text = custom.kernel();
            if (text == null) throw new IllegalStateException(type.getName() + ".kernel(): expected a text, got null");
        } else {
            text = Nvrtc.Source.of(function + ".cu").text();
        }
        int arrays = Driver.whole(rule)
                .map(TensorRule::elementwise)
                .orElse(rule.state().size() + (rule instanceof MatrixRule ? 1 : 0));
        String head = (zeroes ? ZEROES : "") + (averaged ? AVERAGED : "") + "#define ARRAYS " + arrays + "\n" + LINES;
        return new StepSource(file, head + text, function, arrays + (averaged ? 1 : 0));
    }
}
