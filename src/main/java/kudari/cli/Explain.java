package kudari.cli;

import java.io.PrintWriter;
import java.util.Iterator;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kudari.Explanation;
import kudari.io.Say;
import kudari.rule.Peer;
import kudari.rule.Rule;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/** What a rule computes, and what other libraries would do in its place. */
@Command(
        name = "explain",
        header = "Says what a rule computes, and what other libraries do in its place.",
        description = {
            "The formula with the numbers in it, how a program writes it, which numbers of PyTorch, Keras, optax, DL4J and the book are others, and how"
                    + " far apart that takes the first steps.",
            ""
        },
        sortOptions = false,
        exitCodeListHeading = Main.STATUS_HEADING,
        exitCodeList = {Main.DONE, Main.FAILED, Main.WRONG},
        mixinStandardHelpOptions = true)
final class Explain implements Callable<Integer> {

    /** Reads a library's name in upper or lower case, and lists the names for the help text. */
    static final class Library implements ITypeConverter<Peer>, Iterable<String> {

        @Override
        public Peer convert(String value) {
            return Stream.of(Peer.values())
                    .filter(peer -> name(peer).equalsIgnoreCase(value))
                    .findFirst()
                    .orElseThrow(() -> new TypeConversionException(
                            "expected one of " + String.join(", ", this) + ", got '" + value + "'"));
        }

        @Override
        public Iterator<String> iterator() {
            return Stream.of(Peer.values()).map(Library::name).iterator();
        }

        static String name(Peer peer) {
            return peer.name().toLowerCase(Locale.ROOT);
        }
    }

    @Spec
    private CommandSpec spec;

    @Parameters(
            paramLabel = "RULE",
            description = "${COMPLETION-CANDIDATES}",
            converter = RuleOption.Converter.class,
            completionCandidates = RuleOption.Converter.class)
    private RuleOption rule;

    @Option(
            names = "--like",
            paramLabel = "LIBRARY",
            description = "with whose defaults and conventions: ${COMPLETION-CANDIDATES} (default: those of of(lr))",
            converter = Library.class,
            completionCandidates = Library.class)
    private Peer like;

    @Option(
            names = "--lr",
            paramLabel = "RATE",
            description = "the learning rate (default: the library's, or that of of() where it has none)")
    private Double lr;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        out.println(Explanation.of(rule.type(), explained()));
        if (like != null && !like.conventions().isEmpty()) {
            out.println();
            Say.wrapped("", like.conventions(), Explanation.WIDTH).forEach(out::println);
        }
        out.flush();
        return 0;
    }

    private Rule explained() {
        double rate = lr != null ? lr : rate();
        try {
            if (like == null) return rule.withRate(rate);
            return like.rule(rule.type(), rate)
                    .orElseThrow(() -> refusal("--like " + Library.name(like) + ": expected a library that has " + rule
                            + ", one of " + having() + ", got " + like));
        } catch (IllegalArgumentException e) {
            throw refusal("--lr " + rate + ": " + e.getMessage());
        }
    }

    private double rate() {
        return like == null ? own() : like.lr(rule.type()).orElseGet(this::own);
    }

    private double own() {
        return rule.defaults().lr();
    }

    private String having() {
        return Stream.of(Peer.values())
                .filter(peer -> peer.factory(rule.type()).isPresent())
                .map(Library::name)
                .collect(Collectors.joining(", "));
    }

    private ParameterException refusal(String sentence) {
        return new ParameterException(spec.commandLine(), sentence);
    }
}
