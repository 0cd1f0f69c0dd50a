package kudari.report;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.gson.JsonSerializer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import kudari.report.Comparison.ComparedRule;
import kudari.report.Comparison.Digit;
import kudari.report.Comparison.PrecisionRuns;
import kudari.report.Comparison.Training;

/** The comparison as JSON. It knows no NaN and no infinity, so those become null. */
final class Json {

    private static final Gson GSON = new GsonBuilder()
            .serializeNulls()
            .registerTypeAdapter(Double.class, (JsonSerializer<Double>) (x, type, context) -> number(x))
            .registerTypeAdapter(Float.class, (JsonSerializer<Float>) (x, type, context) -> number(x))
            .registerTypeAdapter(Digit.class, (JsonSerializer<Digit>) (digit, type, context) -> digit(digit))
            .create();

    /** One line of the table: a training without its curves. */
    private record Row(
            String rule,
            String settings,
            String trainingRate,
            List<String> state,
            String device,
            int steps,
            double finalLoss,
            double testAccuracy,
            double microsPerUpdate,
            double microsPerStep,
            double seconds) {

        static List<Row> of(Comparison comparison) {
            Map<String, ComparedRule> rules =
                    comparison.rules().stream().collect(Collectors.toMap(ComparedRule::name, Function.identity()));
            return comparison.trainings().stream()
                    .map(training -> of(training, rules.get(training.rule())))
                    .toList();
        }

        private static Row of(Training training, ComparedRule rule) {
            return new Row(
                    training.rule(),
                    training.settings(),
                    rule.trainingRate(),
                    rule.state(),
                    training.device(),
                    training.losses().size(),
                    training.finalLoss(),
                    training.finalAccuracy(),
                    training.microsPerUpdate(),
                    training.microsPerStep(),
                    training.seconds());
        }
    }

    /** One line of the table of precisions. */
    private record PrecisionRow(
            String name,
            String colour,
            double bytes,
            double finalLoss,
            double lowestLoss,
            double highestLoss,
            double testAccuracy,
            boolean withinFirst) {

        static List<PrecisionRow> of(List<PrecisionRuns> precisions) {
            List<PrecisionRow> rows = new ArrayList<>();
            for (PrecisionRuns runs : precisions)
                rows.add(new PrecisionRow(
                        runs.name(),
                        ChartColors.ofPrecision(rows.size()),
                        runs.bytes(),
                        runs.finalLoss(),
                        runs.lowestLoss(),
                        runs.highestLoss(),
                        runs.finalAccuracy(),
                        runs.isWithin(precisions.get(0))));
            return rows;
        }
    }

    private Json() {}

    /** The tables and the facts. */
    static String summary(Comparison comparison) {
        JsonObject summary = new JsonObject();
        summary.add("facts", GSON.toJsonTree(comparison.facts()));
        summary.add("rules", GSON.toJsonTree(Row.of(comparison)));
        summary.add("precisions", GSON.toJsonTree(PrecisionRow.of(comparison.precisions())));
        return GSON.newBuilder()
                        .setPrettyPrinting()
                        .disableHtmlEscaping()
                        .create()
                        .toJson(summary) + "\n";
    }

    /** All of it, for the page: safe between script tags, since Gson writes every angle bracket as an escape. */
    static String page(Comparison comparison) {
        JsonObject page = GSON.toJsonTree(comparison).getAsJsonObject();
        page.add("devices", GSON.toJsonTree(comparison.devices()));
        page.add("table", GSON.toJsonTree(Row.of(comparison)));
        page.add("precisionTable", GSON.toJsonTree(PrecisionRow.of(comparison.precisions())));
        page.add("colours", GSON.toJsonTree(comparison.colours()));
        return GSON.toJson(page);
    }

    private static JsonElement number(Number x) {
        return Double.isFinite(x.doubleValue()) ? new JsonPrimitive(x) : JsonNull.INSTANCE;
    }

    /** A byte a pixel, in base64: as text, numbers would make up most of the page. */
    private static JsonElement digit(Digit digit) {
        float[] pixels = digit.pixels();
        byte[] greys = new byte[pixels.length];
        for (int i = 0; i < greys.length; i++) greys[i] = (byte) Math.round(255 * Math.min(Math.max(pixels[i], 0), 1));
        JsonObject json = new JsonObject();
        json.addProperty("label", digit.label());
        json.addProperty("columns", digit.columns());
        json.addProperty("pixels", Base64.getEncoder().encodeToString(greys));
        return json;
    }
}
