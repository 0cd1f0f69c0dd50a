package kudari.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kudari.Dtype;
import kudari.Engine;
import kudari.Group;
import kudari.LearningRate;
import kudari.Master;
import kudari.Optimizer;
import kudari.data.Dataset;
import kudari.io.Say;
import kudari.report.Comparison;
import kudari.report.Comparison.BatchingRun;
import kudari.report.Comparison.ComparedRule;
import kudari.report.Comparison.PrecisionRuns;
import kudari.report.Comparison.Training;
import kudari.report.Comparison.Trajectory;
import kudari.report.Report;
import kudari.rule.Rule;
import kudari.rule.TensorRule;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;

/** The main job: the optimizers compared as the article and the book compare them, drawn into a folder. */
@Command(
        name = "compare",
        header = "Compares the optimizers as the article and the book do, and draws it.",
        description = {
            "Three experiments: the paths of the rules over the contours of f(x, y) = x²/20 + y²; their losses on a network of four hidden"
                    + " layers of 100, from the same weights on the same batches; and gradient descent with the full batch, mini-batches and"
                    + " single samples.",
            "",
            "With --precision another experiment in their place: one rule on the network in float32, and in bfloat16 with each way to keep what"
                    + " a weight of 16 bits cannot hold, from the same weights on the same batches, for several seeds. By default that is 15"
                    + " trainings, some 100 s of CPU time.",
            ""
        },
        sortOptions = false,
        exitCodeListHeading = Main.STATUS_HEADING,
        exitCodeList = {Main.DONE, Main.FAILED, Main.WRONG, Main.STOPPED},
        mixinStandardHelpOptions = true)
final class Compare extends TrainingCommand {

    /** The network of the book, between the inputs of the data and its classes. */
    private static final int[] HIDDEN = {100, 100, 100, 100};

    @Option(
            names = "--device",
            split = ",",
            paramLabel = "auto|cpu|cuda[:N]",
            description =
                    "where it runs (default: ${DEFAULT-VALUE}); cpu,cuda runs on both and shows them side by side",
            defaultValue = "auto",
            converter = Device.Converter.class)
    private List<Device> devices;

    @Option(
            names = "--data",
            paramLabel = "digits[:TRAIN,TEST]|mnist:DIR",
            description =
                    "digits drawn by the program, so many of them (by default 60000,10000), or a folder of IDX files",
            converter = DataOption.Converter.class)
    private DataOption data;

    @Option(
            names = "--rules",
            paramLabel = "all|RULE[,RULE...]",
            description = "which rules, of ${COMPLETION-CANDIDATES} (default: the article's six, ${DEFAULT-VALUE})",
            defaultValue = "sgd,momentum,nesterov,adagrad,rmsprop,adam",
            converter = RulesOption.Converter.class,
            completionCandidates = RuleOption.Converter.class)
    private RulesOption rules;

    @Option(
            names = "--precision",
            description =
                    "compares precisions and not rules; --rules then names one (default: adam, at a rate of 1e-4)")
    private boolean precision;

    @Option(
            names = "--seeds",
            paramLabel = "N",
            description = "with --precision, of weights and batches, from --seed on (default: 3)")
    private Integer seeds;

    @Option(names = "--steps", paramLabel = "N", description = "steps of each rule on the network (default: 2000)")
    private Integer steps;

    @Option(
            names = "--lr",
            paramLabel = "RULE=RATE",
            description = "a rule's learning rate on the network (default: the rule's own)",
            converter = RuleOption.Converter.class) // of the rule; the rate's is picocli's own
    private Map<RuleOption, Double> rates = new LinkedHashMap<>();

    @Option(names = "--quick", description = "all parts in small, in seconds: 200 steps, 6000 digits")
    private boolean quick;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description = "the folder to write, new or empty (default: ${DEFAULT-VALUE})",
            defaultValue = "comparison")
    private Path out;

    @Override
    public Integer call() throws IOException {
        if (steps == null) steps = quick ? 200 : 2000;
        if (data == null) data = quick ? DataOption.digits(6_000, 1_000) : DataOption.digits(60_000, 10_000);
        atLeastOne("--steps", steps);
        atLeastOne("--batch", batch);
        checkThreads();
        if (precision) checkOneRule();
        else if (seeds != null) throw refusal("--seeds: expected --precision beside it");
        for (RuleOption option : rates.keySet()) {
            if (!rules.rules().contains(option)) throw refusal("--lr " + option + ": the rule is not among --rules");
        }
        Map<RuleOption, Rule> onTheNetwork = new LinkedHashMap<>();
        for (RuleOption option : rules.rules()) onTheNetwork.put(option, ruleOf(option));

        for (int n = 0; n < devices.size(); n++) {
            Device device = devices.get(n);
            if (devices.indexOf(device) < n) throw refusal("--device: " + device + " is named twice");
        }
        if (precision && devices.size() > 1) throw refusal("--precision: expected one --device, got " + devices.size());
        if (precision)
            for (Kept kept : Kept.values())
                bytes(kept, onTheNetwork.get(rules.rules().get(0)));

        claim(out, Report.isComparison(out), "or ");
        List<Engine> engines = new ArrayList<>();
        try {
            for (Device device : devices) engines.add(device.open(threads)); // all, before anything is begun
            try (Interruption interruption = new Interruption()) {
                return run(engines, onTheNetwork, interruption); // with what is to be said of it: then the process ends
            }
        } finally {
            engines.forEach(Engine::close);
        }
    }

    private int run(List<Engine> engines, Map<RuleOption, Rule> onTheNetwork, Interruption interruption)
            throws IOException {
        try (Report report = Report.open(out, overwrite)) {
            say("on " + where(engines) + ", seed " + seed + ", into " + out);
            Comparison comparison = precision
                    ? comparePrecisions(engines.get(0), report, onTheNetwork, interruption)
                    : compare(engines, report, onTheNetwork, interruption);
            // First, for it is what survives a full disk.
            if (precision) precisionTable(comparison);
            else table(comparison);
            report.write(comparison);
            say("open " + out.resolve("report.html"));
            return 0;
        } catch (Interruption.Stopped e) {
            say("stopped; " + out.resolve("training.csv")
                    + " holds the steps that were done; a comparison cannot go on, but begin anew"
                    + " with --overwrite");
            return Interruption.STATUS;
        }
    }

    private static String where(List<Engine> engines) {
        return engines.stream().map(Engine::toString).collect(Collectors.joining(" and "));
    }

    private Comparison compare(
            List<Engine> engines, Report report, Map<RuleOption, Rule> onTheNetwork, Interruption interruption)
            throws IOException {
        List<Trajectory> trajectories = new ArrayList<>();
        for (Engine engine : engines) {
            for (RuleOption option : onTheNetwork.keySet()) {
                Trajectory trajectory = Experiments.path(engine, option);
                report.trajectory(trajectory);
                trajectories.add(trajectory);
            }
        }

        Sets sets = read(interruption);
        Dataset train = sets.train(), test = sets.test();
        List<Training> trainings = new ArrayList<>();
        List<BatchingRun> batchingRuns = List.of();
        try (Progress progress = new Progress("network", (long) steps * onTheNetwork.size() * engines.size(), 0)) {
            for (Engine engine : engines) {
                Experiments.Data held = Experiments.Data.of(engine, train, test, seed);
                for (Map.Entry<RuleOption, Rule> entry : onTheNetwork.entrySet()) {
                    String name = entry.getKey().toString();
                    progress.say(engines.size() == 1 ? name : name + " on " + Experiments.nameOf(engine));
                    trainings.add(Experiments.train(
                            name,
                            engine.optimizer(RuleOption.groups(
                                    LearningRate.constant(entry.getValue().lr()), entry.getValue())),
                            held,
                            Dtype.F32,
                            HIDDEN,
                            batch,
                            steps,
                            report,
                            progress,
                            System::nanoTime,
                            interruption));
                }
                // On the first alone: it is about the samples, not about what it runs on.
                if (batchingRuns.isEmpty())
                    batchingRuns = Experiments.batchingRuns(held, quick ? 5_000 : 60_000, interruption);
            }
        }

        return new Comparison(
                rules.rules().stream().map(this::facts).toList(),
                trajectories,
                trainings,
                batchingRuns,
                Experiments.sheet(train),
                facts(engines, sets));
    }

    private Sets read(Interruption interruption) throws IOException {
        Sets sets = read(data);
        interruption.check();
        check(sets.train(), sets.test());
        return sets;
    }

    private Comparison.Facts facts(List<Engine> engines, Sets sets) {
        Dataset train = sets.train(), test = sets.test();
        String versions = Main.version() + ", Java " + System.getProperty("java.version") + ", "
                + System.getProperty("os.name") + " " + System.getProperty("os.arch");
        return new Comparison.Facts(
                where(engines),
                String.format(Locale.ROOT, "%s (%,d to train on, %,d held out)", data, train.size(), test.size()),
                Experiments.describe(train, HIDDEN) + ", ReLU, He initialisation, batches of " + batch,
                seed,
                versions,
                ZonedDateTime.now().format(DateTimeFormatter.RFC_1123_DATE_TIME),
                commandLine());
    }

    // ---- Precisions

    /** The precisions that are compared: the type of the weights and how their float32 values are kept. */
    private enum Kept {
        FLOAT32("fp32", Dtype.F32, Master.Kind.FLOAT32),
        MASTER("bf16 master", Dtype.BF16, Master.Kind.FLOAT32),
        REMAINDER("bf16 remainder", Dtype.BF16, Master.Kind.REMAINDER),
        STOCHASTIC("bf16 stochastic", Dtype.BF16, Master.Kind.STOCHASTIC),
        NEAREST("bf16 nearest", Dtype.BF16, Master.Kind.NEAREST);

        private final String title;
        private final Dtype dtype;
        private final Master.Kind kind;

        Kept(String title, Dtype dtype, Master.Kind kind) {
            this.title = title;
            this.dtype = dtype;
            this.kind = kind;
        }

        Optimizer optimizer(Engine engine, Rule rule, long seed) {
            Master master = kind == Master.Kind.STOCHASTIC ? Master.stochastic(seed) : new Master(kind, 0);
            Group[] groups = RuleOption.groups(LearningRate.constant(rule.lr()), rule);
            return engine.optimizer(
                    Stream.of(groups).map(group -> group.master(master)).toArray(Group[]::new));
        }
    }

    /** Without --rules it is Adam, at a rate at which many a step is less than half the distance of two bfloat16. */
    private void checkOneRule() {
        boolean named = spec.commandLine().getParseResult().hasMatchedOption("--rules");
        if (!named) {
            rules = new RulesOption(List.of(new RuleOption.Converter().convert("adam")));
            rates.putIfAbsent(rules.rules().get(0), 1e-4);
        }
        if (rules.rules().size() > 1)
            throw refusal("--precision: expected one rule in --rules, got "
                    + rules.rules().size());
        if (seeds == null) seeds = 3;
        atLeastOne("--seeds", seeds);
    }

    /**
     * The bytes of a weight and its state, found by a step on a small matrix. Not every rule takes every type and master, and who refuses says why.
     */
    private double bytes(Kept kept, Rule rule) {
        int size = 64;
        try (Engine cpu = Engine.cpu(1);
                Optimizer optimizer = kept.optimizer(cpu, rule, seed)) {
            optimizer.update(
                    Map.of("W", cpu.zeros(kept.dtype, size, size), "b", cpu.zeros(kept.dtype, size)),
                    Map.of("W", cpu.zeros(size, size), "b", cpu.zeros(size)));
            double state = optimizer.state("W").values().stream()
                    .mapToDouble(array -> (double) array.size() * array.dtype().bits())
                    .sum();
            return (kept.dtype.bits() + state / size / size) / Byte.SIZE;
        } catch (IllegalArgumentException e) {
            throw refusal(
                    "--precision, --rules " + rules.rules().get(0).name() + ", " + kept.title + ": " + e.getMessage());
        }
    }

    private Comparison comparePrecisions(
            Engine engine, Report report, Map<RuleOption, Rule> onTheNetwork, Interruption interruption)
            throws IOException {
        Rule rule = onTheNetwork.get(rules.rules().get(0));
        Sets sets = read(interruption);
        Experiments.Data held = Experiments.Data.of(engine, sets.train(), sets.test(), seed);
        List<PrecisionRuns> precisions = new ArrayList<>();
        try (Progress progress = new Progress("network", (long) steps * seeds * Kept.values().length, 0)) {
            for (Kept kept : Kept.values()) {
                List<Training> trainings = new ArrayList<>();
                for (int n = 0; n < seeds; n++) {
                    long each = seed + n; // and behind the largest the smallest
                    String name = kept.title + " seed " + each;
                    progress.say(name);
                    try (Optimizer optimizer = kept.optimizer(engine, rule, each)) {
                        trainings.add(Experiments.train(
                                name,
                                optimizer,
                                held.withSeed(each),
                                kept.dtype,
                                HIDDEN,
                                batch,
                                steps,
                                report,
                                progress,
                                System::nanoTime,
                                interruption));
                    }
                }
                precisions.add(
                        new PrecisionRuns(kept.title, rules.rules().get(0).toString(), bytes(kept, rule), trainings));
            }
        }
        return new Comparison(
                List.of(),
                List.of(),
                List.of(),
                List.of(),
                Experiments.sheet(sets.train()),
                precisions,
                facts(List.of(engine), sets));
    }

    private void precisionTable(Comparison comparison) {
        String row = "%-15s  %5s  %10s  %8s  %8s  %8s  %s%n";
        var print = spec.commandLine().getOut();
        print.printf(row, "precision", "bytes", "final loss", "lowest", "highest", "accuracy", "within fp32's");
        List<PrecisionRuns> all = comparison.precisions();
        for (PrecisionRuns runs : all) {
            print.printf(
                    row,
                    runs.name(),
                    Say.number(runs.bytes()),
                    loss(runs.finalLoss()),
                    loss(runs.lowestLoss()),
                    loss(runs.highestLoss()),
                    figure("%.2f %%", 100 * runs.finalAccuracy()),
                    seeds == 1 ? "–" : runs.isWithin(all.get(0)) ? "yes" : "no"); // one alone spreads nowhere
        }
        print.flush();
    }

    // ---- What both kinds have

    private ComparedRule facts(RuleOption option) {
        Rule rule = option.defaults();
        return new ComparedRule(
                option.toString(),
                rule instanceof TensorRule whole ? rule.state().subList(0, whole.elementwise()) : rule.state(),
                option.rateOnThePath(),
                rates.containsKey(option) ? "--lr" : option.rateOfDefaults());
    }

    /** The command line that repeats this run, quoted for a shell. */
    private String commandLine() {
        return spec.commandLine().getParent().getParseResult().originalArgs().stream()
                .map(TrainingCommand::word)
                .collect(Collectors.joining(" ", "scripts/kudari ", ""));
    }

    private Rule ruleOf(RuleOption option) {
        Double rate = rates.get(option);
        try {
            return rate == null ? option.defaults() : option.withRate(rate);
        } catch (IllegalArgumentException e) {
            throw new ParameterException(
                    spec.commandLine(), "--lr " + option.name() + "=" + rate + ": " + e.getMessage());
        }
    }

    /** Data that a network cannot be trained and judged on is refused before anything is trained. */
    private void check(Dataset train, Dataset test) throws IOException {
        Experiments.check(data, train, test);
        if ((long) batch * train.features() > Integer.MAX_VALUE - 8) {
            throw refusal("--batch: expected at most " + (Integer.MAX_VALUE - 8) / train.features()
                    + " for this data, got " + batch);
        }
    }

    /** In 80 columns, if no rule has a name of more than 20 letters. */
    private void table(Comparison comparison) {
        int rule = comparison.rules().stream()
                .mapToInt(each -> each.name().length())
                .max()
                .orElse(0);
        String row = "%-" + Math.max(rule, 4) + "s  %-6s  %10s  %8s  %9s  %8s  %7s%n";
        var print = spec.commandLine().getOut();
        print.printf(row, "rule", "device", "final loss", "accuracy", "µs/update", "µs/step", "seconds");
        for (Training training : comparison.trainings()) {
            print.printf(
                    row,
                    training.rule(),
                    training.device(),
                    loss(training.finalLoss()),
                    figure("%.2f %%", 100 * training.finalAccuracy()),
                    figure("%.1f", training.microsPerUpdate()),
                    figure("%.1f", training.microsPerStep()),
                    figure("%.1f", training.seconds()));
        }
        print.flush();
    }

    private static String loss(double loss) {
        return Double.isFinite(loss) ? figure(loss < 1000 ? "%.6f" : "%.3e", loss) : "diverged";
    }

    /** A dash for what was not measured. */
    private static String figure(String format, double value) {
        return Double.isNaN(value) ? "–" : String.format(Locale.ROOT, format, value);
    }
}
