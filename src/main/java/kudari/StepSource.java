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
 * @param arrays with an element for each of the parameter's: those of state, the update where it is made orthogonal, a master's and an average's
 */
record StepSource(String file, String text, String function, int arrays) {

    /** Before the text: it leaves 0 in the gradients. */
    static final String ZEROES = "#define ZERO_GRADIENTS\n";

    /** Before the text: an average follows the parameters, in an array behind the rule's. */
    static final String AVERAGED = "#define AVERAGED\n";

    /** Before the text: the parameters are rounded of masters, in an array behind the rule's. */
    static final String MASTER = "#define MASTER\n";

    /** Before the text: of the parameters there are remainders, in an array behind the rule's. */
    static final String REMAINDER = "#define REMAINDER\n";

    /** Before the text: the parameters are rounded stochastically. */
    static final String STOCHASTIC = "#define STOCHASTIC\n";

    /** Before the text: state is rounded stochastically. */
    static final String RANDOM_STATE = "#define RANDOM_STATE\n";

    /** After what is put before a text: lines are counted as without it. */
    static final String LINES = "#line 1\n";

    private static final String HEADER = "step.cuh";

    static StepSource of(Rule rule, boolean averaged, boolean zeroes) {
        return of(rule, averaged, zeroes, Types.FLOAT32);
    }

    static StepSource of(Rule rule, boolean averaged, boolean zeroes, Types types) {
        Class<?> type = rule.getClass();
        String function = type.getSimpleName().toLowerCase(Locale.ROOT), file = "kernels/" + function + ".cu", text;
        if (rule instanceof CustomRule custom) {
            file = type.getName() + ".cu";
            text = custom.kernel();
            if (text == null) throw new IllegalStateException(type.getName() + ".kernel(): expected a text, got null");
            if (!text.contains(HEADER))
                throw new IllegalStateException(type.getName() + ".kernel(): expected a text that includes \"" + HEADER
                        + "\", got one that does not; begin it with #include \"" + HEADER + "\"");
        } else {
            text = Nvrtc.Source.of(function + ".cu").text();
        }
        int arrays = Driver.whole(rule)
                .map(TensorRule::elementwise)
                .orElse(rule.state().size() + (rule instanceof MatrixRule ? 1 : 0));
        String head = (zeroes ? ZEROES : "") + (averaged ? AVERAGED : "") + head(types) + head(rule, types)
                + "#define ARRAYS " + arrays + "\n" + LINES;
        return new StepSource(file, head + text, function, arrays + types.more(rule, averaged));
    }

    /** What says in which formats the state of a rule is; nothing where all of it is float32. */
    static String head(Rule rule, Types types) {
        StringBuilder formats = new StringBuilder();
        for (int n = 0; n < rule.state().size(); n++) {
            Dtype dtype = types.dtype(rule, n);
            if (dtype == Dtype.F32) continue;
            boolean signed = rule.compression(n) == Rule.Compression.SIGNED;
            formats.append("(a) == ")
                    .append(n)
                    .append(" ? ")
                    .append(dtype == Dtype.BF16 ? types.state().name() : signed ? "SIGNED" : "UNSIGNED")
                    .append(" : ");
        }
        int blockwise = types.blockwise(rule);
        return formats.isEmpty()
                ? ""
                : "#define FORMAT(a) (" + formats + "FLOAT32)\n"
                        + (types.state() == StateFormat.BFLOAT16_STOCHASTIC ? RANDOM_STATE : "")
                        + (blockwise == 0 ? "" : "#define BLOCKWISE " + blockwise + "\n");
    }

    /** What says of what types a step is. */
    static String head(Types types) {
        if (types.param() == Dtype.F32) return "";
        return "#define PARAM " + types.param() + "\n#define GRAD " + types.grad() + "\n"
                + (types.hasMaster() ? MASTER : "") + (types.hasRemainder() ? REMAINDER : "")
                + (types.isStochastic() ? STOCHASTIC : "");
    }
}
