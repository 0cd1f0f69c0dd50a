package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kudari.report.Comparison.Point;
import kudari.report.Comparison.Trajectory;
import kudari.report.Report;
import kudari.rule.Rule;
import kudari.rule.TensorRule;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The command {@code compare}, as a user calls it. */
class CompareTest {

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter(), err = new StringWriter();

    private int kudari(String... args) {
        return Main.run(new PrintWriter(out, true), new PrintWriter(err, true), args);
    }

    private int small(Path into, String... more) {
        String[] args = {"compare", "--quick", "--data", "digits:300,100", "--batch", "16", "--out", into.toString()};
        String[] all = Arrays.copyOf(args, args.length + more.length);
        System.arraycopy(more, 0, all, args.length, more.length);
        return kudari(all);
    }

    /** x₃₀ and y₃₀ from the book's code in float64; float32 stays within 2e-6 of them. */
    @Test
    void theSixPathsEndWhereTheBooksDo() throws IOException {
        String six = "sgd,momentum,nesterov,adagrad,rmsprop,adam";
        assertEquals(0, small(folder, "--steps", "1", "--rules", six), err::toString);
        List<String> lines = Files.readAllLines(folder.resolve("trajectories.csv"));
        assertEquals("rule,step,x,y,f,device", lines.get(0));
        assertEquals(1 + 6 * 31, lines.size());
        Map.of(
                        "Sgd", new double[] {-0.35039299575231969, 0.084782316550432196},
                        "Momentum", new double[] {0.89641385849373301, 0.088085601715069711},
                        "Nesterov", new double[] {0.68961490169662087, -0.00067990583611719693},
                        "AdaGrad", new double[] {-0.12016232231416045, 2.486389893984459e-17},
                        "RmsProp", new double[] {-5.3513270404281918e-06, 1.5085100037516103e-11},
                        "Adam", new double[] {0.13600685239498186, 0.31824537553721943})
                .forEach((rule, end) -> {
                    for (int step = 0; step <= 30; step++) {
                        String[] at = row(lines, rule, step);
                        double x = point(at)[0], y = point(at)[1];
                        assertEquals(x * x / 20 + y * y, Float.parseFloat(at[4]), 1e-6 * 6.45, "f at step " + step);
                    }
                    String[] first = row(lines, rule, 0), last = row(lines, rule, 30);
                    assertArrayEquals(new double[] {-7, 2}, point(first));
                    assertArrayEquals(end, point(last), 2e-6, rule);
                });
    }

    private static String[] row(List<String> lines, String rule, int step) {
        String start = rule + "," + step + ",";
        return lines.stream()
                .filter(line -> line.startsWith(start))
                .findFirst()
                .orElseThrow()
                .split(",");
    }

    private static double[] point(String[] row) {
        return new double[] {Float.parseFloat(row[2]), Float.parseFloat(row[3])};
    }

    @Test
    void everyOutputIsThereAndTheTableNamesTheArticlesSix() throws IOException {
        assertEquals(0, small(folder, "--steps", "5"), err::toString);
        for (String name : List.of("report.html", "summary.json", "training.csv", "paths.png", "training.png")) {
            assertTrue(Files.size(folder.resolve(name)) > 0, name);
        }
        assertEquals(
                1 + 6 * 5, Files.readAllLines(folder.resolve("training.csv")).size());
        assertEquals(
                1 + 6 * 31,
                Files.readAllLines(folder.resolve("trajectories.csv")).size());
        JsonParser.parseString(Files.readString(folder.resolve("summary.json"))).getAsJsonObject();
        for (String rule : List.of("Sgd", "Momentum", "Nesterov", "AdaGrad", "RmsProp", "Adam")) {
            assertTrue(out.toString().contains("\n" + rule + " "), rule);
        }
    }

    @Test
    void theRulesAreThoseNamedInTheOrderNamed() throws IOException {
        assertEquals(0, small(folder, "--steps", "2", "--rules", "adamw,SGD,adagrad"), err::toString);
        assertEquals(List.of("AdamW", "Sgd", "AdaGrad"), ruleNames("training.csv"));
        assertEquals(List.of("AdamW", "Sgd", "AdaGrad"), ruleNames("trajectories.csv"));
        assertEquals(
                List.of("AdamW", "Sgd", "AdaGrad"),
                out.toString()
                        .lines()
                        .skip(1)
                        .map(line -> line.replaceFirst(" .*", ""))
                        .toList());
        for (String name : List.of("report.html", "summary.json", "paths.png", "training.png")) {
            assertTrue(Files.size(folder.resolve(name)) > 0, name);
        }
    }

    private List<String> ruleNames(String table) throws IOException {
        return Files.readAllLines(folder.resolve(table)).stream()
                .skip(1)
                .map(line -> line.replaceFirst(",.*", ""))
                .distinct()
                .toList();
    }

    /** Defaults that nobody tuned, and the summary says what they are. */
    @Test
    void allRulesAreComparedWhereTheyAreAskedForAndEachSaysWhatItIs() throws IOException {
        assertEquals(0, small(folder, "--steps", "1", "--rules", "all", "--lr", "sgd=0.5"), err::toString);
        List<String> all = new ArrayList<>(
                Rule.classes().stream().map(Class::getSimpleName).toList());
        all.add("AdamW");
        assertEquals(all, ruleNames("training.csv"));
        assertEquals(all, ruleNames("trajectories.csv"));
        JsonArray rows = JsonParser.parseString(Files.readString(folder.resolve("summary.json")))
                .getAsJsonObject()
                .getAsJsonArray("rules");
        assertEquals(all.size(), rows.size());
        for (JsonElement row : rows) {
            JsonObject rule = row.getAsJsonObject();
            String name = rule.get("rule").getAsString(),
                    settings = rule.get("settings").getAsString();
            Rule defaults = new RuleOption.Converter().convert(name).defaults();
            String from = Map.of("Sgd", "--lr", "Adam", "the default of the book", "AdamW", "the default of PyTorch")
                    .get(name);
            String said = rule.get("trainingRate").getAsString();
            if (from != null) assertEquals(from, said);
            assertTrue(
                    said.matches("--lr|the default of (the book|PyTorch|Keras|optax)|each rule's own default"), said);
            double lr = name.equals("Sgd") ? 0.5 : defaults.lr();
            assertEquals(lr, Double.parseDouble(settings.replaceFirst("lr ([^,]+).*", "$1")), settings);
            int arrays = defaults instanceof TensorRule whole
                    ? whole.elementwise()
                    : defaults.state().size();
            assertEquals(arrays, rule.getAsJsonArray("state").size(), name);
            // Muon takes no biases, and the report says who does: at a twentieth of its 0.02.
            assertEquals(name.equals("Muon"), settings.endsWith("; vectors by AdamW, lr 0.001"), settings);
        }
        List<String> table = out.toString().lines().toList();
        assertEquals(1 + all.size(), table.size());
        for (String line : table) assertTrue(line.length() <= 80, line);
    }

    /** What the command line needs of a rule: the factories of a name that every rule has. */
    @Test
    void everyRuleThatThereIsCanBeNamedInAnyCaseAndMadeWithARate() {
        for (Class<?> rule : Rule.classes()) {
            String name = rule.getSimpleName();
            for (String written : List.of(name, name.toLowerCase(Locale.ROOT), name.toUpperCase(Locale.ROOT))) {
                RuleOption option = new RuleOption.Converter().convert(written);
                assertTrue(RuleOption.describe(option.defaults()).startsWith("lr "), name);
                assertEquals(rule, option.defaults().getClass());
                assertEquals(rule, option.onThePath().getClass());
                assertEquals(0.125, option.withRate(0.125).lr());
                assertThrows(IllegalArgumentException.class, () -> option.withRate(-1), name);
            }
        }
    }

    /** Everything but the times: the same seed gives the same bits, on any number of threads. */
    @Test
    void theSameSeedGivesTheSameRun() throws IOException {
        Path again = folder.resolve("again"), other = folder.resolve("other");
        assertEquals(0, small(folder, "--steps", "20", "--rules", "adam", "--threads", "1"), err::toString);
        assertEquals(0, small(again, "--steps", "20", "--rules", "adam", "--threads", "2"), err::toString);
        assertEquals(0, small(other, "--steps", "20", "--rules", "adam", "--seed", "2"), err::toString);
        String losses = Files.readString(folder.resolve("training.csv"));
        assertEquals(losses, Files.readString(again.resolve("training.csv")));
        assertFalse(losses.equals(Files.readString(other.resolve("training.csv"))), "another seed, another run");
    }

    @Test
    void aLearningRateIsTheRulesOnTheNetwork() throws IOException {
        assertEquals(0, small(folder, "--steps", "3", "--rules", "sgd,adam", "--lr", "sgd=0"), err::toString);
        assertTrue(out.toString().contains("Sgd") && !out.toString().contains("RmsProp"), out::toString);
        String summary = Files.readString(folder.resolve("summary.json"));
        assertTrue(summary.contains("lr 0.001"), summary);
        assertFalse(summary.contains("\"lr 0.01\""), summary);
    }

    /** The loss of step 1 is taken before any rule has moved: it shows the weights and the batch, and nothing else. */
    @Test
    void everyRuleStartsFromTheSameWeightsOnTheSameBatch() throws IOException {
        assertEquals(0, small(folder, "--steps", "2"), err::toString);
        Set<String> firsts = Files.readAllLines(folder.resolve("training.csv")).stream()
                .filter(line -> line.contains(",1,"))
                .map(line -> line.substring(line.indexOf(",1,")))
                .collect(Collectors.toSet());
        assertEquals(1, firsts.size(), firsts::toString);
    }

    @Test
    void theTableSaysWhatTheSummarySays() throws IOException {
        assertEquals(0, small(folder, "--steps", "60", "--rules", "adam"), err::toString);
        String row = out.toString()
                .lines()
                .filter(line -> line.startsWith("Adam"))
                .findFirst()
                .orElseThrow();
        double percent =
                Double.parseDouble(row.substring(0, row.indexOf('%')).trim().replaceFirst(".* ", ""));
        JsonObject adam = JsonParser.parseString(Files.readString(folder.resolve("summary.json")))
                .getAsJsonObject()
                .getAsJsonArray("rules")
                .get(0)
                .getAsJsonObject();
        assertEquals(100 * adam.get("testAccuracy").getAsDouble(), percent, 0.005);
        assertTrue(percent > 20, "better than chance, and in percent: " + percent);
    }

    /** What the option is there to show. The bytes: of a weight, what is kept beside it, and Adam's two arrays. */
    @Test
    void nearestStallsAndWhatKeepsTheStepsEndsWithinTheSpreadOfFloat32() throws IOException {
        String[] args = {
            "compare", "--precision", "--data=digits:600,200", "--batch=32", "--steps=200", "--out=" + folder
        };
        assertEquals(0, kudari(args), err::toString);
        Map<String, String> rows = Map.of(
                "fp32", "12 yes",
                "bf16 master", "14 yes",
                "bf16 remainder", "12 yes",
                "bf16 stochastic", "10 yes",
                "bf16 nearest", "10 no");
        JsonArray summary = JsonParser.parseString(Files.readString(folder.resolve("summary.json")))
                .getAsJsonObject()
                .getAsJsonArray("precisions");
        assertEquals(rows.size(), summary.size());
        for (JsonElement each : summary) {
            JsonObject row = each.getAsJsonObject();
            String name = row.get("name").getAsString();
            boolean within = row.get("withinFirst").getAsBoolean();
            assertEquals(rows.get(name), row.get("bytes").getAsInt() + (within ? " yes" : " no"), name);
            String printed = out.toString()
                    .lines()
                    .filter(line -> line.startsWith(name + " "))
                    .findFirst()
                    .orElseThrow();
            String loss =
                    String.format(Locale.ROOT, "%.6f", row.get("finalLoss").getAsDouble());
            assertTrue(printed.contains(loss) && printed.endsWith(within ? " yes" : " no"), printed);
        }
        assertTrue(Files.size(folder.resolve("precision.png")) > 0);
        List<String> losses = Files.readAllLines(folder.resolve("training.csv"));
        assertEquals(1 + 5 * 3 * 200, losses.size());
        for (String name : rows.keySet())
            for (int seed = 1; seed <= 3; seed++) row(losses, name + " seed " + seed, 200);
        assertEquals(
                row(losses, "bf16 master seed 2", 1)[2],
                row(losses, "bf16 nearest seed 2", 1)[2],
                "the same weights and batch");
    }

    @Test
    void precisionsTakeAnotherRuleAndItsRate() throws IOException {
        String[] args = {"--precision", "--rules=sgd", "--lr=sgd=0.5", "--seeds=1", "--seed=4", "--steps=2"};
        assertEquals(0, small(folder, args), err::toString);
        assertTrue(out.toString().lines().skip(1).allMatch(line -> line.endsWith("  –")), out::toString);
        List<String> lines = Files.readAllLines(folder.resolve("training.csv"));
        assertEquals(1 + 5 * 2, lines.size());
        row(lines, "bf16 stochastic seed 4", 2);
        assertTrue(Files.readString(folder.resolve("report.html")).contains("\"settings\":\"lr 0.5\""));
    }

    @Test
    void theSeedsGoOnBehindTheLargest() throws IOException {
        String[] args = {"--precision", "--seeds=2", "--seed=" + Long.MAX_VALUE, "--steps=1"};
        assertEquals(0, small(folder, args), err::toString);
        List<String> lines = Files.readAllLines(folder.resolve("training.csv"));
        row(lines, "fp32 seed " + Long.MAX_VALUE, 1);
        row(lines, "fp32 seed " + Long.MIN_VALUE, 1);
    }

    @Test
    void aFolderThatCannotBeMadeIsToldWithTheReason() throws IOException {
        Path file = Files.writeString(folder.resolve("mine"), "mine\n");
        assertEquals(1, small(file));
        String words = "--out " + file + ": the folder " + file + " cannot be made: there is a file of that name";
        assertTrue(err.toString().contains(words), err::toString);
        assertEquals("mine\n", Files.readString(file));
    }

    @Test
    void aRateForARuleLeftOutIsRefused() {
        assertEquals(2, small(folder, "--rules", "adam", "--lr", "sgd=1"));
        assertTrue(err.toString().contains("--lr Sgd"), err::toString);
    }

    @Test
    void aRuleThatDivergesDoesNotStopTheOthers() throws IOException {
        assertEquals(0, small(folder, "--steps", "30", "--rules", "sgd,adam", "--lr", "sgd=1e30"), err::toString);
        assertTrue(Files.readString(folder.resolve("training.csv")).contains("NaN"), "SGD diverged");
        JsonParser.parseString(Files.readString(folder.resolve("summary.json"))).getAsJsonObject();
    }

    @Test
    void aFolderThatHoldsSomethingElseIsRefusedAndNothingInItIsTouched() throws IOException {
        for (String name : List.of("training.csv", "trajectories.csv", "summary.json")) {
            Path other = Files.createDirectory(folder.resolve("with " + name));
            Files.writeString(other.resolve(name), "mine\n");
            for (String[] more : new String[][] {{}, {"--overwrite"}}) {
                assertEquals(1, small(other, more));
                assertTrue(
                        err.toString().contains("not from a run of kudari compare; choose a new or empty one"),
                        err::toString);
                assertEquals("mine\n", Files.readString(other.resolve(name)));
            }
            try (Stream<Path> files = Files.list(other)) {
                assertEquals(1, files.count());
            }
        }
    }

    @Test
    void aComparisonIsReplacedOnlyWhereThatIsAskedFor() throws IOException {
        assertEquals(0, small(folder, "--steps", "2", "--rules", "sgd"), err::toString);
        String before = Files.readString(folder.resolve("training.csv"));
        assertEquals(1, small(folder, "--steps", "3", "--rules", "adam"));
        assertTrue(err.toString().contains("holds a run already"), err::toString);
        assertTrue(err.toString().contains("--overwrite"), err::toString);
        assertEquals(before, Files.readString(folder.resolve("training.csv")));
        assertEquals(0, small(folder, "--steps", "3", "--rules", "adam", "--overwrite"), err::toString);
        assertTrue(Files.readString(folder.resolve("training.csv")).contains("Adam,3,"));
        assertFalse(Files.readString(folder.resolve("training.csv")).contains("Sgd"));
    }

    @Test
    void aFolderThatAnotherRunWritesToIsLeftAlone() throws IOException {
        try (Report running = Report.open(folder, false)) {
            running.loss("Adam", 1, 2, "CPU");
            running.trajectory(new Trajectory("Adam", "", "CPU", List.of(new Point(1, 2, 3))));
            assertEquals(1, small(folder));
            assertTrue(err.toString().contains(folder.toString()), err::toString);
        }
        assertEquals(
                List.of("rule,step,loss,device", "Adam,1,2.0,CPU"), Files.readAllLines(folder.resolve("training.csv")));
        assertEquals(
                List.of("rule,step,x,y,f,device", "Adam,0,1.0,2.0,3.0,CPU"),
                Files.readAllLines(folder.resolve("trajectories.csv")));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "2|--device=gpu                |got 'gpu'",
                "2|--rules=sgd,foo             |expected one of sgd, momentum, nesterov, adagrad, rmsprop, ",
                "2|--rules=sgd,foo             |'foo'",
                "2|--rules=nesterow            |got 'nesterow'; did you mean nesterov?",
                "2|--rules=NESTE               |got 'NESTE'; did you mean nesterov?",
                "2|--rules=adamv               |got 'adamv'; did you mean adam or adamw?",
                "2|--rules=sgd,adam,SGD        |expected each rule once, got SGD twice",
                "2|--rules=all,sgd             |expected all, or names of rules, got 'all,sgd'",
                "2|--rules=                    |got ''",
                "2|--lr=sgdd=1                 |got 'sgdd'; did you mean sgd?",
                "2|--lr=adam=1e-50             |--lr adam=1.0E-50: lr: expected 0 or a number that float32 can hold",
                "2|--threads=2147483647        |--threads: expected at most 1024, got 2147483647",
                "2|--steps=0                   |--steps: expected at least 1, got 0",
                "2|--steps=many                |'many'",
                "2|--batch=0                   |--batch: expected at least 1, got 0",
                "2|--threads=0                 |--threads: expected at least 1, got 0",
                "2|--lr=adam=-1                |--lr adam=-1.0: lr: expected a finite number",
                "2|--lr=foo=1                  |'foo'",
                "2|--data=mnist                |'mnist'",
                "2|--data=digits:0,1           |'digits:0,1'",
                "2|--bogus                     |'--bogus'",
                "2|surplus                     |'surplus'",
                "2|--device=cpu,cpu            |--device: cpu is named twice",
                "2|--seeds=2                   |--seeds: expected --precision beside it",
                "2|--precision --seeds=0       |--seeds: expected at least 1, got 0",
                "2|--precision --rules=sgd,adam|--precision: expected one rule in --rules, got 2",
                "2|--precision --device=cpu,cuda|--precision: expected one --device, got 2",
                "2|--precision --lr=sgd=1      |--lr Sgd: the rule is not among --rules",
                "2|--precision --rules=muon    |--precision, --rules muon, bf16 remainder: ",
                "2|--precision --rules=lamb    |--precision, --rules lamb, bf16 remainder: ",
                "1|--device=cuda               |cuda:0: no CUDA driver",
                "1|--device=cpu,cuda           |cuda:0: no CUDA driver",
                "1|--device=cuda:7             |cuda:7",
                "1|--data=mnist:/no/such/place |/no/such/place"
            })
    void whatCannotBeDoneGetsOneLineAndItsStatus(int status, String args, String words) {
        Stream<String> first =
                Stream.of("compare", "--quick", "--out", folder.resolve("out").toString());
        assertEquals(
                status, kudari(Stream.concat(first, Stream.of(args.split(" "))).toArray(String[]::new)));
        List<String> said =
                err.toString().lines().filter(line -> !line.contains("seed 1")).toList();
        String last = said.get(said.size() - 1);
        assertTrue(last.startsWith("kudari: ") && last.contains(words), err::toString);
        if (status == 2) assertEquals(1, said.size(), err::toString);
        assertEquals("", out.toString());
    }

    @Test
    void helpIsEverywhere() {
        assertEquals(0, kudari("--help"));
        assertEquals(0, kudari("compare", "--help"));
        assertEquals(0, kudari("help", "compare"));
        assertEquals(0, kudari());
        assertTrue(out.toString().contains("--quick"));
        assertEquals("", err.toString());
        assertEquals(2, kudari("bogus"));
        assertTrue(err.toString().contains("'bogus'"));
    }
}
