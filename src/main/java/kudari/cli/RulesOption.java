package kudari.cli;

import java.util.ArrayList;
import java.util.List;
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
            for (String name : value.split(",", -1)) {
                if (name.equalsIgnoreCase("all"))
                    throw new TypeConversionException("expected all, or names of rules, got '" + value + "'");
                RuleOption rule = names.convert(name);
                if (rules.contains(rule))
                    throw new TypeConversionException("expected each rule once, got " + name + " twice");
                rules.add(rule);
            }
            return new RulesOption(rules);
        }
    }
}
