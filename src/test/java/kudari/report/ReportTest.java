package kudari.report;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import kudari.report.Comparison.BatchingRun;
import kudari.report.Comparison.ComparedRule;
import kudari.report.Comparison.DataPoint;
import kudari.report.Comparison.Digit;
import kudari.report.Comparison.Facts;
import kudari.report.Comparison.Point;
import kudari.report.Comparison.PrecisionRuns;
import kudari.report.Comparison.Training;
import kudari.report.Comparison.Trajectory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class ReportTest {

    private static final List<String> RULES = List.of("Sgd", "Momentum", "Nesterov", "AdaGrad", "RmsProp", "Adam");
    private static final Facts FACTS =
            new Facts("a \"quoted\" device", "</script><script>alert(1)", "3-2-1", 42, "{{script}}", "today", "a\\b\n");

    @TempDir
    Path folder;

    // ---- The tables

    @Test
    void thePathsAreATableOfStepsFromZero() throws IOException {
        try (Report report = Report.open(folder, false)) {
            report.trajectory(new Trajectory(
                    "Sgd", "", "CPU", List.of(new Point(-7, 2, 6.45f), new Point(-6.335f, -1.8f, 5.25f))));
        }
        assertEquals(
                List.of("rule,step,x,y,f,device", "Sgd,0,-7.0,2.0,6.45,CPU", "Sgd,1,-6.335,-1.8,5.25,CPU"),
                Files.readAllLines(folder.resolve("trajectories.csv")));
    }

    @Test
    void everyFloatReadsBackAsItself() throws IOException {
        List<Float> losses = List.of(
                0.1f, -0f, Float.MIN_VALUE, Float.MAX_VALUE, 2.0000002f, Float.NaN, Float.POSITIVE_INFINITY, 1 / 3f);
        try (Report report = Report.open(folder, false)) {
            for (int i = 0; i < losses.size(); i++) report.loss("Adam", i + 1, losses.get(i), "CPU");
        }
        List<String> lines = Files.readAllLines(folder.resolve("training.csv"));
        assertEquals("rule,step,loss,device", lines.get(0));
        List<Float> read = new ArrayList<>();
        for (String line : lines.subList(1, lines.size())) read.add(Float.valueOf(line.split(",")[2]));
        assertEquals(losses, read);
    }

    @Test
    void aLineIsOnDiskAsSoonAsItIsWritten() throws IOException {
        try (Report report = Report.open(folder, false)) {
            for (int step = 1; step <= 3; step++) {
                report.loss("Adam", step, 0.5f, "CPU");
                String text = Files.readString(folder.resolve("training.csv"));
                assertTrue(text.endsWith("Adam," + step + ",0.5,CPU\n"), text);
            }
        }
    }

    @Test
    void aNameWithACommaOrAQuoteStaysOneCell() throws IOException {
        try (Report report = Report.open(folder, false)) {
            report.loss("Adam, \"mine\"", 1, 1, "CPU");
        }
        assertEquals(
                "\"Adam, \"\"mine\"\"\",1,1.0,CPU",
                Files.readAllLines(folder.resolve("training.csv")).get(1));
    }

    // ---- One run to a folder

    @Test
    void aSecondRunInTheSameFolderIsRefusedAndHarmsNothing() throws IOException {
        try (Report first = Report.open(folder, false)) {
            first.loss("Adam", 1, 0.5f, "CPU");
            IOException refused = assertThrows(IOException.class, () -> Report.open(folder, false));
            assertTrue(refused.getMessage().contains("another run"), refused.getMessage());
            first.loss("Adam", 2, 0.25f, "CPU");
        }
        assertEquals(
                List.of("rule,step,loss,device", "Adam,1,0.5,CPU", "Adam,2,0.25,CPU"),
                Files.readAllLines(folder.resolve("training.csv")));
    }

    @Test
    void aSecondProcessIsRefusedToo() throws Exception {
        try (Report first = Report.open(folder, false)) {
            String output = anotherProcess(Map.of());
            assertTrue(output.contains("is being written by another run"), output);
            first.loss("Adam", 1, 0.5f, "CPU");
        }
    }

    /** What another process does. */
    static final class Other {
        public static void main(String[] folder) throws IOException {
            try (Report report = Report.open(Path.of(folder[0]), false)) {
                report.write(comparison());
            }
        }
    }

    private String anotherProcess(Map<String, String> environment) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Duser.home=" + folder, // Java remembers there which fonts it has found
                "-cp",
                System.getProperty("java.class.path"),
                Other.class.getName(),
                folder.toString());
        builder.environment().putAll(environment);
        Process process = builder.redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        process.waitFor();
        return output;
    }

    @Test
    void aClosedReportLeavesTheFolderToTheNext() throws IOException {
        Report.open(folder, false).close();
        Report.open(folder, false).close();
    }

    @Test
    void linesOfAnEarlierRunAreRemovedOnlyWhereThatIsAskedFor() throws IOException {
        try (Report first = Report.open(folder, false)) {
            first.loss("Adam", 1, 0.5f, "CPU");
        }
        IOException e = assertThrows(IOException.class, () -> Report.open(folder, false));
        assertTrue(e.getMessage().contains("of another run; choose another folder"), e.getMessage());
        List<String> lines = List.of("rule,step,loss,device", "Adam,1,0.5,CPU");
        assertEquals(lines, Files.readAllLines(folder.resolve("training.csv")));
        Report.open(folder, true).close();
        assertEquals(lines.subList(0, 1), Files.readAllLines(folder.resolve("training.csv")));
    }

    @Test
    void aFolderThatCannotBeMadeGetsOneSentence() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "");
        for (Path impossible : List.of(file, file.resolve("below"))) {
            IOException e = assertThrows(IOException.class, () -> Report.open(impossible, false));
            assertTrue(e.getMessage().startsWith("cannot make the folder " + impossible + ": "), e.getMessage());
            assertFalse(e.getMessage().contains("\n"), e.getMessage());
        }
    }

    @Test
    void aFileThatCannotBeWrittenGetsOneSentence() throws IOException {
        Files.createDirectory(folder.resolve("training.csv"));
        IOException e = assertThrows(IOException.class, () -> Report.open(folder, false));
        assertTrue(e.getMessage().startsWith("cannot write " + folder.resolve("training.csv") + ": "), e.getMessage());
        Files.delete(folder.resolve("training.csv"));
        Report.open(folder, false).close(); // the failure has let go of trajectories.csv
    }

    // ---- Old or new, nothing between

    @Test
    void theFilesAreReplacedAndNothingElseIsLeft() throws IOException {
        Files.writeString(folder.resolve("summary.json"), "old");
        write(comparison());
        assertEquals(
                Set.of("trajectories.csv", "training.csv", "report.html", "summary.json", "paths.png", "training.png"),
                names());
        assertTrue(Files.readString(folder.resolve("summary.json")).startsWith("{"));
    }

    @Test
    void aFileThatCannotBeReplacedStaysAsItWas() throws IOException {
        Files.createDirectories(folder.resolve("report.html").resolve("occupied"));
        IOException e = assertThrows(IOException.class, () -> write(comparison()));
        assertTrue(e.getMessage().startsWith("cannot write " + folder.resolve("report.html") + ": "), e.getMessage());
        assertTrue(Files.exists(folder.resolve("report.html").resolve("occupied")));
        assertEquals(Set.of("trajectories.csv", "training.csv", "report.html", "summary.json"), names());
    }

    private Set<String> names() throws IOException {
        Set<String> names = new HashSet<>();
        try (Stream<Path> files = Files.list(folder)) {
            files.forEach(file -> names.add(file.getFileName().toString()));
        }
        return names;
    }

    // ---- The summary

    @Test
    void theSummaryHoldsTheTableAndTheFacts() throws IOException {
        write(comparison());
        JsonObject summary = parse(Files.readString(folder.resolve("summary.json")));
        JsonObject facts = summary.getAsJsonObject("facts");
        assertEquals(FACTS.device(), facts.get("device").getAsString());
        assertEquals(FACTS.data(), facts.get("data").getAsString());
        assertEquals(FACTS.command(), facts.get("command").getAsString());
        assertEquals(42, facts.get("seed").getAsLong());
        JsonArray rules = summary.getAsJsonArray("rules");
        assertEquals(RULES.size(), rules.size());
        JsonObject sgd = rules.get(0).getAsJsonObject();
        assertEquals("Sgd", sgd.get("rule").getAsString());
        assertEquals("lr 0.01", sgd.get("settings").getAsString());
        assertEquals(0.5, sgd.get("finalLoss").getAsDouble()); // 100 steps at ½, the 20 before at 2
        assertEquals(0.75, sgd.get("testAccuracy").getAsDouble());
        assertEquals(12.5, sgd.get("microsPerUpdate").getAsDouble());
        assertEquals(80, sgd.get("microsPerStep").getAsDouble());
        assertEquals(3, sgd.get("seconds").getAsDouble());
    }

    @Test
    void whatIsNoNumberIsNullInJson() throws IOException {
        write(diverged());
        JsonObject row = parse(Files.readString(folder.resolve("summary.json")))
                .getAsJsonArray("rules")
                .get(0)
                .getAsJsonObject();
        for (String figure : List.of("finalLoss", "testAccuracy", "microsPerUpdate", "microsPerStep", "seconds")) {
            assertTrue(row.get(figure).isJsonNull(), figure);
        }
        JsonObject page = dataOf(Files.readString(folder.resolve("report.html")));
        JsonArray losses =
                page.getAsJsonArray("trainings").get(0).getAsJsonObject().getAsJsonArray("losses");
        assertEquals("[2.5,null,null,null]", losses.toString());
    }

    // ---- The page

    @Test
    void thePageHoldsAllTheDataAndReadsItBack() throws IOException {
        write(comparison());
        JsonObject data = dataOf(Files.readString(folder.resolve("report.html")));
        assertEquals(FACTS.data(), data.getAsJsonObject("facts").get("data").getAsString());
        assertEquals(
                FACTS.versions(), data.getAsJsonObject("facts").get("versions").getAsString());
        for (String part : List.of("trajectories", "trainings", "table")) {
            List<String> rules = new ArrayList<>();
            for (JsonElement entry : data.getAsJsonArray(part)) {
                rules.add(entry.getAsJsonObject().get("rule").getAsString());
            }
            assertEquals(RULES, rules, part);
        }
        assertEquals(
                120,
                data.getAsJsonArray("trainings")
                        .get(0)
                        .getAsJsonObject()
                        .getAsJsonArray("losses")
                        .size());
        assertEquals(3, data.getAsJsonArray("batchingRuns").size());
        JsonObject digit = data.getAsJsonArray("digits").get(0).getAsJsonObject();
        assertEquals(7, digit.get("label").getAsInt());
        byte[] greys = Base64.getDecoder().decode(digit.get("pixels").getAsString());
        assertArrayEquals(new byte[] {0, (byte) 255, 51, 0}, greys);
    }

    @Test
    void thePageAsksTheNetworkForNothing() throws IOException {
        write(comparison());
        String page = Files.readString(folder.resolve("report.html"));
        assertTrue(page.contains("default-src 'none'"), "the policy by which the browser refuses");
        String ours = page.replace(resource("/META-INF/resources/webjars/echarts/5.5.0/echarts.common.min.js"), "");
        assertTrue(ours.length() < page.length(), "the chart library is inside");
        for (String load :
                List.of("src\\s*=", "@import", "url\\(", "fetch\\(", "XMLHttpRequest", "import\\(", "https?://")) {
            assertFalse(Pattern.compile(load).matcher(ours).find(), load);
        }
        assertFalse(Pattern.compile("href=\"(?!data:,\")").matcher(ours).find(), "href");
    }

    @Test
    void noPlaceholderOfThePageIsLeftOpen() throws IOException {
        write(comparison());
        String page = Files.readString(folder.resolve("report.html"));
        assertFalse(page.replace(FACTS.versions(), "").contains("{{data}}"));
        assertTrue(page.contains("\"" + FACTS.versions() + "\""), "what looks like a placeholder in the data is data");
        assertEquals(3, page.split("</script>", -1).length - 1, "the data closes no script");
    }

    @Test
    void partsMayBeMissing() throws IOException {
        write(new Comparison(List.of(), List.of(), List.of(), List.of(), List.of(), FACTS));
        assertEquals(Set.of("trajectories.csv", "training.csv", "report.html", "summary.json"), names());
    }

    /** A rule that is added has a colour of its own without anybody's giving it one, and the article's six keep theirs. */
    @Test
    void everyRuleHasAColourOfItsOwn() {
        List<String> many = new ArrayList<>(RULES);
        for (int n = 1; n <= 34; n++) many.add(2 * (n % 4), "Rule" + n);
        Map<String, String> colours = ChartColors.of(many);
        assertEquals(many, List.copyOf(colours.keySet()));
        assertEquals(40, Set.copyOf(colours.values()).size(), colours::toString);
        Map<String, String> six = ChartColors.of(RULES);
        for (String rule : RULES) assertEquals(six.get(rule), colours.get(rule));
    }

    /** By the contrast of WCAG 2.1, which asks for 3 where a picture must be understood; on white, the book's six have as little as 2.2. */
    @Test
    void everyColourStandsOutFromThePageByDayAndByNight() {
        List<String> many = new ArrayList<>();
        for (int n = 0; n < 40; n++) many.add("Rule" + n);
        double white = luminance("#FFFFFF"), card = luminance("#1C1E21");
        for (String colour : ChartColors.of(many).values()) {
            assertTrue((white + 0.05) / (luminance(colour) + 0.05) > 2.5, colour);
            assertTrue((luminance(colour) + 0.05) / (card + 0.05) > 3, colour);
        }
    }

    private static double luminance(String colour) {
        double sum = 0, weights[] = {0.2126, 0.7152, 0.0722};
        for (int n = 0; n < 3; n++) {
            double part = Integer.parseInt(colour.substring(1 + 2 * n, 3 + 2 * n), 16) / 255.0;
            sum += weights[n] * (part <= 0.04045 ? part / 12.92 : Math.pow((part + 0.055) / 1.055, 2.4));
        }
        return sum;
    }

    @Test
    void thePageKnowsOfEachRuleItsStateAndWhereItsRatesComeFrom() throws IOException {
        write(comparison());
        JsonObject data = dataOf(Files.readString(folder.resolve("report.html")));
        JsonObject sgd = data.getAsJsonArray("rules").get(0).getAsJsonObject();
        assertEquals("Sgd", sgd.get("name").getAsString());
        assertEquals("the book's picture", sgd.get("pathRate").getAsString());
        assertEquals("each rule's own default", sgd.get("trainingRate").getAsString());
        JsonObject row = data.getAsJsonArray("table").get(1).getAsJsonObject();
        assertEquals("[\"v\"]", row.get("state").toString());
        assertEquals("each rule's own default", row.get("trainingRate").getAsString());
        assertEquals(RULES, List.copyOf(data.getAsJsonObject("colours").keySet()));
    }

    @Test
    void aTrainingOfARuleThatIsNotComparedIsRefused() {
        String message = assertThrows(
                        IllegalArgumentException.class,
                        () -> new Comparison(
                                rules(List.of("Sgd")),
                                List.of(),
                                List.of(training("Adam", "CPU", 1)),
                                List.of(),
                                List.of(),
                                FACTS))
                .getMessage();
        assertEquals("rules: expected Adam among [Sgd]", message);
    }

    // ---- The pictures

    /** Eight are told apart in one chart; more have a panel each, on which their line is drawn in their colour over the others in grey. */
    @Test
    void moreRulesThanColoursTellApartHaveAChartEach() throws IOException {
        List<String> many = new ArrayList<>(RULES);
        for (int n = 1; n <= 3; n++) many.add("Rule" + n);
        List<Training> trainings = new ArrayList<>();
        for (String rule : many) trainings.add(training(rule, Collections.nCopies(60, 1f + many.indexOf(rule))));
        int eight = heightOf(PngCharts.training(of(trainings.subList(0, 8).toArray(Training[]::new))));
        assertEquals(2 * 640, eight);
        byte[] nine = PngCharts.training(of(trainings.toArray(Training[]::new)));
        Files.write(folder.resolve("nine.png"), nine);
        assertDrawn("nine.png", 2 * 1200, many);
        BufferedImage image = ImageIO.read(new ByteArrayInputStream(nine));
        int panel = image.getWidth() / 3;
        int sgd = pixel(ChartColors.of(many).get("Sgd"));
        for (int x = panel; x < image.getWidth(); x++) {
            for (int y = 0; y < image.getHeight(); y++) assertTrue(image.getRGB(x, y) != sgd, "only on its own");
        }
    }

    @Test
    void thePicturesAreDrawnAtTwiceTheirSize() throws IOException {
        write(comparison());
        assertDrawn("paths.png", 2 * 1200, RULES);
        assertDrawn("training.png", 2 * 1200, RULES);
    }

    @Test
    void aRuleThatDivergedDoesNotStopThePictures() throws IOException {
        write(diverged());
        assertDrawn("paths.png", 2 * 400, List.of("Sgd"));
        assertDrawn("training.png", 2 * 1200, List.of("Adam"));
    }

    /** Of a window of 3: (2), (2, 300, 2), (300, 2, 4), (2, 4, 6), (4, 6); of 5: (5), (5, 9, 4), (5, 9, 4, 2), (9, 4, 2). */
    @Test
    void theCurveIsTheMedianOfTheStepsAroundEach() {
        assertArrayEquals(
                new double[] {2, 2, 4, 4, 5}, PngCharts.medians(List.of(2f, 300f, 2f, 4f, 6f), 3), "a window of 3");
        assertArrayEquals(
                new double[] {5, 5, 4.5, 4}, PngCharts.medians(List.of(5f, 9f, 4f, 2f), 5), "as many as there are");
        assertArrayEquals(new double[] {2, 300, 2}, PngCharts.medians(List.of(2f, 300f, 2f), 1), "every step");
        assertArrayEquals(new double[0], PngCharts.medians(List.of(), 51));
    }

    @Test
    void aLossThatIsNoNumberIsAGapAndDoesNotSpoilItsNeighbours() {
        List<Float> losses = List.of(1f, Float.NaN, 3f, 5f, Float.POSITIVE_INFINITY);
        assertArrayEquals(
                new double[] {1, Double.NaN, 4, 4, Double.NaN},
                PngCharts.medians(losses, 3)); // (1), –, (3, 5), (3, 5), –
    }

    /** RMSprop's second step on the network: for a mean of 51 steps it is a tower with a wall at either side. */
    @Test
    void oneStepThatShootsUpDrawsNoTower() {
        List<Float> losses = new ArrayList<>(Collections.nCopies(120, 2f));
        losses.set(1, 303f);
        losses.set(60, 40f);
        for (double median : PngCharts.medians(losses, 51)) assertEquals(2, median);
    }

    @Test
    void whatAPictureCutsOffItSays() {
        List<Training> trainings = List.of(
                training("Sgd", "CPU", 2, 1, 0.5f),
                training("RmsProp", "CPU", 2, 303, 150, 2, 1),
                training("Adam", "CPU", 2, 0.0005f, Float.NaN, 0.0004f, Float.POSITIVE_INFINITY));
        assertEquals(
                List.of(
                        "Above the chart: RmsProp in 2 steps, up to 303 at step 2.",
                        "Below the chart: Adam in 2 steps, down to 0.000400 at step 4.",
                        "Not a finite number: Adam in 2 steps, first at step 3."),
                PngCharts.cutOff(trainings, 0.001, 100));
        assertEquals(List.of(), PngCharts.cutOff(trainings.subList(0, 2), 0.5, 303), "on the edge is on the chart");
        assertEquals(
                List.of("Above the chart: Sgd on cuda:0 in 1 step, up to 9.00 at step 1."),
                PngCharts.cutOff(List.of(training("Sgd", "CPU", 2), training("Sgd", "cuda:0", 9)), 1, 5));
    }

    @Test
    void thePictureHasTheSentencesUnderIt() throws IOException {
        List<Float> fine = Collections.nCopies(60, 2f), spike = new ArrayList<>(fine);
        spike.set(30, 500f);
        int without = heightOf(PngCharts.training(of(training("Adam", fine))));
        byte[] with = PngCharts.training(of(training("Adam", spike)));
        assertTrue(heightOf(with) > without, "a line of text");
        int below = 0;
        BufferedImage image = ImageIO.read(new ByteArrayInputStream(with));
        for (int y = without - 20; y < image.getHeight(); y++) {
            for (int x = 0; x < image.getWidth(); x++) if (image.getRGB(x, y) != 0xFFFFFFFF) below++;
        }
        assertTrue(below > 200, below + " pixels of text");
        byte[] lost =
                PngCharts.training(of(training("Adam", fine), training("Sgd", Collections.nCopies(60, Float.NaN))));
        assertTrue(heightOf(lost) > without, "a rule that was never a number is not passed over in silence");
    }

    /** Two level lines, of which the upper one is the second device's: it has pixels in some places and gaps in others. */
    @Test
    void whatIsCalledDashedIsDashed() throws IOException {
        byte[] png = PngCharts.training(of(
                new Training("Adam", "", "CPU", Collections.nCopies(2000, 2f), List.of(), 1, 1, 1),
                new Training("Adam", "", "cuda:0", Collections.nCopies(2000, 5f), List.of(), 1, 1, 1)));
        BufferedImage image = ImageIO.read(new ByteArrayInputStream(png));
        int adam = pixel(ChartColors.of(List.of("Adam")).get("Adam"));
        List<Integer> rows = new ArrayList<>(); // the pixels of the colour in each row that has many
        for (int y = 0; y < image.getHeight(); y++) {
            int pixels = 0;
            for (int x = 0; x < image.getWidth(); x++) if (image.getRGB(x, y) == adam) pixels++;
            if (pixels > 300) rows.add(pixels);
        }
        int dashed = rows.get(0), solid = rows.get(rows.size() - 1);
        assertTrue(dashed < 0.8 * solid && dashed > 0.3 * solid, rows::toString);
    }

    private static int heightOf(byte[] png) throws IOException {
        return ImageIO.read(new ByteArrayInputStream(png)).getHeight();
    }

    private static Training training(String rule, List<Float> losses) {
        return new Training(rule, "", "CPU", losses, List.of(), 1, 1, 1);
    }

    private static Training training(String rule, String device, float... losses) {
        List<Float> list = new ArrayList<>();
        for (float loss : losses) list.add(loss);
        return new Training(rule, "", device, list, List.of(), 1, 1, 1);
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void aMachineWithoutFontsGetsAllButThePicturesAndASentenceThatSaysSo(@TempDir Path elsewhere) throws Exception {
        Path noFonts = Files.writeString(elsewhere.resolve("fonts.conf"), "<fontconfig></fontconfig>");
        String output = anotherProcess(Map.of("FONTCONFIG_FILE", noFonts.toString()));
        assertTrue(output.contains("no pictures: Java finds no fonts on this machine"), output);
        assertTrue(names().containsAll(Set.of("trajectories.csv", "training.csv", "report.html", "summary.json")));
        assertFalse(names().contains("paths.png"));
    }

    @Test
    void aLibraryThatJavaCannotLoadForTextIsNamed() {
        Throwable failure =
                new UnsatisfiedLinkError("libfontmanager.so: libharfbuzz.so.0: cannot open shared object file");
        assertTrue(new PngCharts.NoFonts(failure).getMessage().endsWith(": " + failure.getMessage()));
        assertTrue(Report.FONTS.contains("libharfbuzz0b"));
    }

    /** Each rule's line must be there: a good many pixels of exactly its colour. */
    private void assertDrawn(String name, int width, List<String> rules) throws IOException {
        BufferedImage image = ImageIO.read(folder.resolve(name).toFile());
        assertEquals(width, image.getWidth(), name);
        for (String rule : rules) {
            int colour = pixel(ChartColors.of(rules).get(rule));
            int pixels = 0;
            for (int y = 0; y < image.getHeight(); y++) {
                for (int x = 0; x < width; x++) if (image.getRGB(x, y) == colour) pixels++;
            }
            assertTrue(pixels > 50, name + ": " + pixels + " pixels of " + rule);
        }
    }

    private static int pixel(String colour) {
        return 0xFF000000 | Integer.parseInt(colour.substring(1), 16);
    }

    // ---- What is reported

    private void write(Comparison comparison) throws IOException {
        try (Report report = Report.open(folder, false)) {
            report.write(comparison);
        }
    }

    private static Comparison comparison() {
        List<Trajectory> trajectories = new ArrayList<>();
        List<Training> trainings = new ArrayList<>();
        List<Float> losses = new ArrayList<>();
        for (int step = 1; step <= 120; step++) losses.add(step <= 20 ? 2f : 0.5f);
        for (int n = 0; n < RULES.size(); n++) {
            List<Point> points = new ArrayList<>();
            for (int step = 0; step <= 30; step++) points.add(new Point(-7 + step / 5f, 2 - n, 0));
            trajectories.add(new Trajectory(RULES.get(n), "lr 0.1", "CPU", points));
            float scale = n + 1;
            trainings.add(new Training(
                    RULES.get(n),
                    "lr 0.01",
                    "CPU",
                    losses.stream().map(loss -> loss * scale).toList(),
                    List.of(new DataPoint(1, 0.1), new DataPoint(120, 0.75)),
                    12.5,
                    80,
                    3));
        }
        List<BatchingRun> batchingRuns = Stream.of("full batch", "single samples", "mini-batches")
                .map(name -> new BatchingRun(name, "lr 1", List.of(new DataPoint(10, 2), new DataPoint(20, 1))))
                .toList();
        return new Comparison(
                rules(RULES),
                trajectories,
                trainings,
                batchingRuns,
                List.of(new Digit(7, 2, new float[] {0, 1, 0.2f, -1})),
                FACTS);
    }

    private static List<ComparedRule> rules(List<String> names) {
        return names.stream()
                .map(name -> new ComparedRule(
                        name,
                        name.equals("Sgd") ? List.of() : List.of("v"),
                        "the book's picture",
                        "each rule's own default"))
                .toList();
    }

    /** Trainings and nothing else. */
    private static Comparison of(Training... trainings) {
        List<String> names = Stream.of(trainings).map(Training::rule).distinct().toList();
        return new Comparison(rules(names), List.of(), List.of(trainings), List.of(), List.of(), FACTS);
    }

    private static Comparison diverged() {
        float nan = Float.NaN, infinity = Float.POSITIVE_INFINITY;
        List<Point> points = List.of(new Point(-7, 2, 6), new Point(7, -2, 6), new Point(infinity, nan, nan));
        List<Float> losses = List.of(2.5f, infinity, Float.NEGATIVE_INFINITY, nan);
        Training lost = new Training(
                "Sgd",
                "lr 9",
                "CPU",
                losses,
                List.of(new DataPoint(4, Double.NaN)),
                Double.NaN,
                Double.NaN,
                Double.POSITIVE_INFINITY);
        List<Float> fine = new ArrayList<>();
        for (int step = 0; step < 100; step++) fine.add(2.5f);
        Training still = new Training("Adam", "lr 0", "CPU", fine, List.of(), 1, 1, 1);
        return new Comparison(
                rules(List.of("Sgd", "Adam")),
                List.of(new Trajectory("Sgd", "lr 9", "CPU", points)),
                List.of(lost, still),
                List.of(),
                List.of(),
                FACTS);
    }

    /** Two seeds of float32 and of another precision: of the last, both are above the first's. */
    private static Comparison precisions() {
        List<PrecisionRuns> runs = new ArrayList<>();
        for (float[] losses : new float[][] {{1, 2}, {1.25f, 1.25f}, {3, 5}}) {
            List<Training> seeds = new ArrayList<>();
            for (float loss : losses) seeds.add(training("seed", Collections.nCopies(120, loss)));
            runs.add(new PrecisionRuns("precision " + runs.size(), "Adam", 10, seeds));
        }
        return new Comparison(List.of(), List.of(), List.of(), List.of(), List.of(), runs, FACTS);
    }

    @Test
    void precisionsAreMeasuredByTheSpreadOfTheFirst() throws IOException {
        write(precisions());
        assertEquals(
                Set.of("trajectories.csv", "training.csv", "report.html", "summary.json", "precision.png"), names());
        JsonArray rows = parse(Files.readString(folder.resolve("summary.json"))).getAsJsonArray("precisions");
        List<String> figures = new ArrayList<>();
        for (JsonElement each : rows) {
            JsonObject row = each.getAsJsonObject();
            figures.add(row.get("lowestLoss").getAsDouble() + " "
                    + row.get("finalLoss").getAsDouble() + " "
                    + row.get("highestLoss").getAsDouble() + " " + row.get("withinFirst"));
        }
        assertEquals(List.of("1.0 1.5 2.0 true", "1.25 1.25 1.25 true", "3.0 4.0 5.0 false"), figures);
        JsonObject data = dataOf(Files.readString(folder.resolve("report.html")));
        assertEquals(rows, data.getAsJsonArray("precisionTable"));
        assertEquals(3, data.getAsJsonArray("precisions").size());
        assertThrows(IllegalArgumentException.class, () -> new PrecisionRuns("none", "Adam", 10, List.of()));
    }

    /** From 1 to 10 on a logarithmic axis: the band of the first precision from 1 to 2, lines at 1.5, 1.25 and 4. */
    @Test
    void thePictureOfPrecisionsHasALineForEachBeforeTheBandOfTheFirst() throws IOException {
        BufferedImage image = ImageIO.read(new ByteArrayInputStream(PngCharts.precision(precisions())));
        int[] column = image.getRGB(image.getWidth() / 3, 0, 1, image.getHeight(), null, 0, 1);
        int band = pixel("#E6E6E6"); // a fifth of #808080, the rest white
        List<Integer> rows = new ArrayList<>();
        for (int n = 0; n < 3; n++) {
            int line = pixel(ChartColors.ofPrecision(n));
            int[] own = IntStream.range(0, column.length)
                    .filter(y -> column[y] == line)
                    .toArray();
            assertTrue(own.length > 0, "line " + n);
            rows.add(own[own.length / 2]);
        }
        int[] bands =
                IntStream.range(0, column.length).filter(y -> column[y] == band).toArray();
        double decade = (rows.get(1) - rows.get(2)) / Math.log10(4 / 1.25);
        assertEquals(Math.log10(1.5 / 1.25) * decade, rows.get(1) - rows.get(0), 3);
        assertEquals(Math.log10(2 / 1.25) * decade, rows.get(1) - bands[0], 3, "the band's upper edge");
        assertEquals(Math.log10(1 / 1.25) * decade, rows.get(1) - bands[bands.length - 1], 5, "and its lower");
    }

    private static JsonObject dataOf(String page) {
        String open = "<script type=\"application/json\" id=\"data\">";
        int from = page.indexOf(open) + open.length();
        return parse(page.substring(from, page.indexOf("</script>", from)));
    }

    /** By the letter of the standard: no NaN, no trailing commas. */
    private static JsonObject parse(String json) {
        JsonReader reader = new JsonReader(new StringReader(json));
        reader.setStrictness(Strictness.STRICT);
        return JsonParser.parseReader(reader).getAsJsonObject();
    }

    private static String resource(String name) throws IOException {
        try (var resource = ReportTest.class.getResourceAsStream(name)) {
            return new String(resource.readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
