package kudari.report;

import java.awt.Color;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import kudari.rule.Rule;

/**
 * The colour of each rule, the same in every chart and whichever rules are compared: a rule's place among those that {@link Rule} permits
 * decides.
 */
final class ChartColors {

    /** Six of the colours of Okabe and Ito, which colour-blind readers can tell apart. */
    private static final List<String> COLOURS =
            List.of("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00");

    private static final String NO_RULE = "#8A8A8A";

    private ChartColors() {}

    /** The colour of every rule in the comparison, as #rrggbb. */
    static Map<String, String> of(Comparison comparison) {
        Map<String, String> colours = new LinkedHashMap<>();
        Stream.concat(
                        comparison.trajectories().stream().map(Comparison.Trajectory::rule),
                        comparison.trainings().stream().map(Comparison.Training::rule))
                .forEach(rule -> colours.put(rule, of(rule)));
        return colours;
    }

    /** The colour of the rule with a record of this name; grey if there is none. */
    static String of(String rule) {
        Class<?>[] rules = Rule.class.getPermittedSubclasses();
        return IntStream.range(0, rules.length)
                .filter(n -> rules[n].getSimpleName().equals(rule))
                .mapToObj(n -> n < COLOURS.size() ? COLOURS.get(n) : further(n - COLOURS.size()))
                .findFirst()
                .orElse(NO_RULE);
    }

    /** However many there are, steps of the golden ratio around the circle of hues keep them apart. No promise to the colour-blind. */
    private static String further(int n) {
        float hue = (float) (0.72 + n * (Math.sqrt(5) - 1) / 2);
        return String.format("#%06X", 0xFFFFFF & Color.HSBtoRGB(hue, 0.55f, 0.75f));
    }
}
