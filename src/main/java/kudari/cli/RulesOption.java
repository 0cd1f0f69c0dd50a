package kudari.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * Which rules are compared.
 *
 * @param rules in the order asked for, none of them twice
 */
record RulesOption(List<RuleOption> rules) {

    /** Reads {@code all}, or names with commas between them. */
    static final class Converter implements ITypeConverter<RulesOption> {
        @Override
        public RulesOption convert(String value) {
            if (value.equalsIgnoreCase("all")) return new RulesOption(RuleOption.ALL);
            RuleOption.Converter names = new RuleOption.Converter();
            List<RuleOption> rules = new ArrayList<>();
            Stream.of(value.split(",", -1)).map(names::convert).forEach(rule -> {
                if (rules.contains(rule))
                    throw new TypeConversionException("expected each rule once, got " + rule.name() + " twice");
                rules.add(rule);
            });
            return new RulesOption(rules);
        }
    }
}
