package kudari.report;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Stream;

/** The colour of each rule, the same in every chart: those of Okabe and Ito, which colour-blind readers can tell apart. */
final class Palette {

    private static final Map<String, String> RULES = Map.of(
            "Sgd", "#0072B2",
            "Momentum", "#E69F00",
            "Nesterov", "#009E73",
            "AdaGrad", "#CC79A7",
            "RmsProp", "#56B4E9",
            "Adam", "#D55E00");

    private Palette() {}

    /** The colour of every rule in the comparison, as #rrggbb; grey for a rule that has none yet. */
    static Map<String, String> of(Comparison comparison) {
        Map<String, String> colours = new LinkedHashMap<>();
        Stream.concat(
                        comparison.trajectories().stream().map(Comparison.Trajectory::rule),
                        comparison.trainings().stream().map(Comparison.Training::rule))
                .forEach(rule -> colours.put(rule, of(rule)));
        return colours;
    }

    static String of(String rule) {
        return RULES.getOrDefault(rule, "#8A8A8A");
    }
}
