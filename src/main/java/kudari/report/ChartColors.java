package kudari.report;

import java.awt.Color;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The colours of the rules, the same in every chart of a comparison. */
final class ChartColors {

    /** Six of the colours of Okabe and Ito, which colour-blind readers can tell apart, for the article's rules: whatever else is compared. */
    private static final Map<String, String> ARTICLE = Map.of(
            "Sgd", "#0072B2",
            "Momentum", "#E69F00",
            "Nesterov", "#009E73",
            "AdaGrad", "#CC79A7",
            "RmsProp", "#56B4E9",
            "Adam", "#D55E00");

    private ChartColors() {}

    /** The colour of each rule, as #rrggbb. */
    static Map<String, String> of(List<String> rules) {
        Map<String, String> colours = new LinkedHashMap<>();
        int further = 0;
        for (String rule : rules) colours.put(rule, ARTICLE.containsKey(rule) ? ARTICLE.get(rule) : further(further++));
        return colours;
    }

    /**
     * However many there are, steps of the golden ratio around the circle of hues keep neighbours far apart, and turns of dark and light those
     * that come near in hue. Nobody tells thirty colours apart: the charts name their lines, and bring out the one that is pointed at.
     */
    private static String further(int n) {
        float hue = (float) (0.72 + n * (Math.sqrt(5) - 1) / 2);
        Color colour = Color.getHSBColor(hue, n % 2 == 0 ? 0.55f : 0.85f, n % 2 == 0 ? 0.78f : 0.6f);
        return String.format("#%06X", 0xFFFFFF & colour.getRGB());
    }
}
