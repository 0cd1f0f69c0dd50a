package kudari.report;

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

    /** For precisions: grey for float32, by which the others are measured, and four of the same colours. */
    private static final List<String> PRECISIONS = List.of("#808080", "#0072B2", "#009E73", "#E69F00", "#D55E00");

    private ChartColors() {}

    /** The colour of the nth precision, as #rrggbb. */
    static String ofPrecision(int n) {
        return n < PRECISIONS.size() ? PRECISIONS.get(n) : further(n - PRECISIONS.size());
    }

    /** The colour of each rule, as #rrggbb. */
    static Map<String, String> of(List<String> rules) {
        Map<String, String> colours = new LinkedHashMap<>();
        int further = 0;
        for (String rule : rules) colours.put(rule, ARTICLE.containsKey(rule) ? ARTICLE.get(rule) : further(further++));
        return colours;
    }

    /**
     * However many there are, steps of the golden ratio around the circle of hues keep neighbours far apart, and turns of two lightnesses those
     * that come near in hue; both lightnesses stand out from white and from black. Nobody tells thirty colours apart: the charts name their lines,
     * and bring out the one that is pointed at.
     */
    private static String further(int n) {
        return oklch(n % 2 == 0 ? 0.54 : 0.68, 0.16, 2 * Math.PI * (0.9 + n * (Math.sqrt(5) - 1) / 2));
    }

    /** A colour by lightness, chroma and hue as eyes measure them: B. Ottosson, "A perceptual color space for image processing" (2020). */
    private static String oklch(double lightness, double chroma, double hue) {
        double a = chroma * Math.cos(hue), b = chroma * Math.sin(hue);
        double l = Math.pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
        double m = Math.pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
        double s = Math.pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
        return "#"
                + hex(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s)
                + hex(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s)
                + hex(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
    }

    /** A part of an sRGB colour, from how much light it is. */
    private static String hex(double linear) {
        double light = Math.min(Math.max(linear, 0), 1);
        double part = light <= 0.0031308 ? 12.92 * light : 1.055 * Math.pow(light, 1 / 2.4) - 0.055;
        return String.format("%02X", Math.round(255 * part));
    }
}
