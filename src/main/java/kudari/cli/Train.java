package kudari.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.UUID;
import java.util.stream.Collectors;
import kudari.Engine;
import kudari.Group;
import kudari.Guard;
import kudari.LearningRate;
import kudari.LossScale;
import kudari.LossScaling;
import kudari.Master;
import kudari.Optimizer;
import kudari.Tensor;
import kudari.checkpoint.Checkpoint;
import kudari.checkpoint.Safetensors.Values;
import kudari.data.Dataset;
import kudari.data.Sampler;
import kudari.io.AtomicFile;
import kudari.nn.Network;
import kudari.nn.Score;
import kudari.report.RunWriter;
import kudari.rule.Rule;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;

/** One network, trained by one rule, which can be stopped at any moment and goes on later with the same bits. */
@Command(
        name = "train",
        header = "Trains a network by one rule, with checkpoints to go on from.",
        description = {
            "Writes into --out a table of every step, train.csv, the same curves as an event file for TensorBoard, and the checkpoint"
                    + " model.safetensors. A run that was stopped, by Ctrl-C or by kill -9, goes on with --resume from the last checkpoint"
                    + " and ends in the same bits as one that never stopped.",
            ""
        },
        sortOptions = false,
        exitCodeListHeading = Main.STATUS_HEADING,
        exitCodeList = {
            Main.DONE,
            Main.FAILED,
            Main.WRONG,
            "3:the run diverged: its loss or the norm of its gradients did not become finite again",
            Main.STOPPED
        },
        mixinStandardHelpOptions = true)
final class Train extends TrainingCommand {

    /** The exit status of a run that diverged. */
    private static final int DIVERGED = 3;

    /** So many steps in a row without a finite loss, or skipped, are no accident any more. */
    static final int PATIENCE = 50;

    /** More steps than any run has; a damaged or forged number is likely to be larger. */
    private static final long MOST_STEPS = 1_000_000_000_000L;

    /** The options that decide the bits, which a checkpoint holds and a run that goes on shares. */
    private static final List<String> SETTINGS = List.of(
            "rule", "lr", "decay", "average", "schedule", "hidden", "precision", "master", "batch", "clip", "seed");

    /** Where the samples were, and what they were: they may lie elsewhere now, but not be others. */
    private static final String DATA = "data", TRAIN = "train-sha256", TEST = "test-sha256";

    /**
     * What else a checkpoint holds: the name of the run, which its event files bear too, the batches drawn, the steps of the whole run, and for
     * people the widths of the network.
     */
    static final String RUN = Checkpoints.RUN, POSITION = "position", UNTIL = "until", WIDTHS = "widths";

    @Option(
            names = "--rule",
            paramLabel = "RULE",
            description =
                    "${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE}). muon takes matrices alone, and leaves the biases to"
                            + " adamw at a twentieth of the learning rate",
            defaultValue = "adam",
            converter = RuleOption.Converter.class,
            completionCandidates = RuleOption.Converter.class)
    RuleOption rule;

    @Option(names = "--lr", paramLabel = "RATE", description = "the highest learning rate (default: the rule's own)")
    private Double lr;

    @Option(
            names = "--decay",
            paramLabel = "RATE",
            description = "decoupled weight decay: a step takes the learning rate times so much of each parameter away"
                    + " (default: the rule's own, 0.01 for adamw and 0 for the others)")
    private Double decay;

    @Option(
            names = "--average",
            paramLabel = "PART",
            description =
                    "scores a moving average of the parameters, of which a step keeps so much, as 0.999; it is in the checkpoint,"
                            + " beside the state (default: none)")
    private Double average;

    @Option(
            names = "--schedule",
            paramLabel = "SHAPE",
            description =
                    "how the learning rate goes over the run: constant, step:EVERY,FACTOR, multi-step:FACTOR,AFTER...,"
                            + " exponential:FACTOR, inverse-time:DECAY, inverse-square-root, cyclic:LOW,UP,DOWN,"
                            + " cosine-restarts:FIRST,FACTOR, or, down to 0 at its end, linear, polynomial:POWER, cosine,"
                            + " stable-decay:LAST, one-cycle; any of them after a warm-up, as in warmup-cosine:STEPS or"
                            + " warmup-step:STEPS,EVERY,FACTOR (default: ${DEFAULT-VALUE})",
            defaultValue = "constant",
            converter = ScheduleOption.Converter.class)
    ScheduleOption schedule;

    @Option(
            names = "--hidden",
            split = ",",
            paramLabel = "UNITS",
            description = "the units of each hidden layer (default: ${DEFAULT-VALUE})",
            defaultValue = "100,100,100,100")
    int[] hidden;

    @Option(
            names = "--precision",
            paramLabel = "fp32|bf16|fp16",
            description =
                    "of weights and activations: float32, or bfloat16 or float16 in mixed precision, where sums and"
                            + " state stay float32 (default: ${DEFAULT-VALUE})",
            defaultValue = "fp32")
    Precision precision;

    @Option(
            names = "--master",
            paramLabel = "float32|remainder|stochastic|nearest",
            description =
                    "what keeps steps smaller than a weight of 16 bits can show: a copy in float32, the other 16 bits of it,"
                            + " or rounding up or down at random; nearest keeps nothing, and loses them (default: float32)")
    private Master.Kind master;

    @Option(names = "--epochs", paramLabel = "N", description = "how often to go over the samples (default: 10)")
    private Integer epochs;

    @Option(names = "--steps", paramLabel = "N", description = "how many steps to do, instead of --epochs")
    private Long steps;

    @Option(
            names = "--data",
            paramLabel = "digits[:TRAIN,TEST]|mnist:DIR",
            description =
                    "digits drawn by the program, so many of them, or a folder of IDX files (default: ${DEFAULT-VALUE})",
            defaultValue = "digits",
            converter = DataOption.Converter.class)
    DataOption data;

    @Option(
            names = "--device",
            paramLabel = "auto|cpu|cuda[:N]",
            description = "where it runs (default: ${DEFAULT-VALUE})",
            defaultValue = "auto",
            converter = Device.Converter.class)
    Device device;

    @Option(
            names = "--clip",
            paramLabel = "NORM",
            description = "the largest norm of the gradients; longer ones are shortened (default: none)")
    Double clip;

    @Option(
            names = "--save",
            paramLabel = "FILE",
            description = "the checkpoint (default: model.safetensors in --out, or the file of --resume)")
    private Path save;

    @Option(
            names = "--save-every",
            paramLabel = "STEPS",
            description = "how often to save (default: after each epoch); always at the end")
    Long saveEvery;

    @Option(
            names = "--keep",
            paramLabel = "N",
            description =
                    "how many checkpoints to keep: the newest, and beside it the N − 1 before it, as model-step600.safetensors"
                            + " (default: ${DEFAULT-VALUE})",
            defaultValue = "1")
    int keep;

    @Option(
            names = "--resume",
            paramLabel = "FILE",
            description = "goes on from this checkpoint, with its settings; device, --steps and places may be others")
    Path resume;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description =
                    "the folder to write, new or empty (default: training, or the folder of the file of --resume, where a run that goes"
                            + " on continues its table)")
    private Path out;

    @Option(
            names = "--spark",
            paramLabel = "MASTER",
            arity = "0..1",
            fallbackValue = "local-cluster",
            description =
                    "trains on --ranks executors of Apache Spark, each on its part of every batch: of a cluster (spark://HOST:PORT, yarn, k8s://...), or"
                            + " on this machine (local-cluster, if no master is named)")
    String spark;

    /** For {@code kudari.spark.Backend}, which not every build has. */
    private static final List<String> BACKENDS = List.of("blocks", "nccl", "nccl-or-blocks");

    @Option(names = "--ranks", paramLabel = "N", description = "how many, with --spark (default: 2)")
    private Integer ranks;

    @Option(
            names = "--zero",
            description =
                    "with --spark: each rank keeps the state of its share of the parameters alone, and steps those; the bits are the same")
    boolean zero;

    @Option(
            names = "--backend",
            paramLabel = "NAME",
            description =
                    "with --spark: how ranks send each other gradients: blocks, Spark's own transfer; nccl, NVIDIA's library, from GPU to GPU; or"
                            + " nccl-or-blocks, the second where all ranks can (default: blocks); the bits are the same")
    String backend;

    @Option(
            names = "--shards",
            paramLabel = "URI",
            description =
                    "with --spark: the folder in which the ranks leave what they go on from where one is lost, on a file system that all of them"
                            + " reach, as in hdfs://HOST/DIR; removed at the end (default: shards in --out)")
    String shards;

    @Override
    public Integer call() throws IOException {
        Optional<Checkpoint> saved = resume == null ? Optional.empty() : Optional.of(Checkpoint.read(resume));
        if (saved.isPresent()) take(saved.get());
        check();
        Places places = places(saved);
        Sets sets = samples();
        Experiments.check(data, sets.train(), sets.test());
        if (saved.isPresent()) sameSamples(saved.get(), sets);
        if (spark != null) return onSpark().train(this, saved, places, sets);
        try (Engine engine = device.open(threads)) {
            return new Run(engine, sets, saved, places).go();
        }
    }

    /** The part of the command that needs Spark, which not every build has. */
    interface OnSpark {

        /** Trains, and returns the exit status. */
        int train(Train command, Optional<Checkpoint> saved, Places places, Sets sets) throws IOException;
    }

    private static OnSpark onSpark() throws IOException {
        try {
            Class.forName(
                    "org.apache.spark.api.java.JavaSparkContext"); // which the other would ask for only when it runs
            return (OnSpark) Class.forName("kudari.cli.SparkTrain")
                    .getDeclaredConstructor()
                    .newInstance();
        } catch (ReflectiveOperationException | LinkageError e) {
            throw new IOException(
                    "--spark: expected Kudari's part for Spark and Spark itself on the class path, got " + e
                            + "; scripts/kudari train --spark fetches and builds both",
                    e);
        }
    }

    /** The command as a rank is given it, without where it runs and writes. */
    static Train of(List<String> arguments) {
        Train train = new Train();
        new CommandLine(train).setCaseInsensitiveEnumValuesAllowed(true).parseArgs(arguments.toArray(new String[0]));
        return train;
    }

    /** Arguments for {@link #of}: all that decides the bits. */
    List<String> arguments() {
        SortedMap<String, String> settings = settings();
        settings.put(DATA, data.argument());
        settings.put("device", device.toString());
        List<String> arguments = new ArrayList<>();
        settings.forEach((name, value) -> arguments.add("--" + name + "=" + value));
        if (zero) arguments.add("--zero");
        return arguments;
    }

    /** What a command that goes on needs beside {@link #goOn}, to go on as this one does. */
    String onSparkAgain() {
        return " --spark" + (spark.equals("local-cluster") ? "" : " " + word(spark)) + " --ranks " + ranks()
                + (zero ? " --zero" : "") + (backend == null ? "" : " --backend " + backend)
                + (shards == null ? "" : " --shards " + word(shards));
    }

    /** How many ranks train, with --spark. */
    int ranks() {
        return ranks == null ? 2 : ranks;
    }

    /**
     * Where the run writes.
     *
     * @param run its name
     * @param file the checkpoint
     * @param goesOn whether the table that is there is this run's
     */
    record Places(String run, Path out, Path file, boolean goesOn) {}

    /** Finds out where the run is to write, and that it may, before anything is trained. */
    private Places places(Optional<Checkpoint> saved) throws IOException {
        Path home = resume == null
                ? Path.of("training")
                : Checkpoints.newest(resume).resolveSibling("");
        Path out = this.out != null ? this.out : home;
        boolean goesHome = resume != null && same(out, home);
        Path file = save != null ? save : goesHome ? Checkpoints.newest(resume) : out.resolve("model.safetensors");
        String run = saved.map(s -> s.facts().get(RUN))
                .filter(name -> name.matches("[0-9a-f]{12}"))
                .orElseGet(() -> UUID.randomUUID().toString().replace("-", "").substring(20));

        boolean goesOn = saved.isPresent() && (RunWriter.isOf(out, run) || goesHome && isAtHome(out, run));
        if (!goesOn)
            claim(
                    out,
                    RunWriter.isRun(out),
                    resume == null && Files.exists(file) ? "go on with --resume " + word(file) + ", or " : "or ");
        String option = save != null ? "--save " + save : "--out " + out;
        Path folder = file.toAbsolutePath().getParent();
        if (folder != null) makeFolder(option, folder); // the root has none
        if (same(file, out.resolve(RunWriter.TABLE)))
            throw new IOException(option + ": the table of the run has this name; choose another");
        AtomicFile.check(file);
        new Checkpoints(file, keep, -1, run, overwrite).check();
        return new Places(run, out, file, goesOn);
    }

    /**
     * Whether a run may go on in the folder of its checkpoint, which has no event files of it: the checkpoint was brought along without its table, or
     * somebody removed the event files, and of those who may have made the table no other left a checkpoint.
     */
    private static boolean isAtHome(Path folder, String run) throws IOException {
        if (!Files.exists(folder.resolve(RunWriter.TABLE))) return true;
        Path model = folder.resolve("model.safetensors");
        return !RunWriter.hasEvents(folder) && (!Files.exists(model) || Checkpoints.isOf(model, run));
    }

    private static boolean same(Path one, Path other) throws IOException {
        Path a = one.toAbsolutePath().normalize(), b = other.toAbsolutePath().normalize();
        return a.equals(b) || Files.exists(a) && Files.exists(b) && Files.isSameFile(a, b);
    }

    Sets samples() throws IOException {
        try {
            return read(data);
        } catch (IOException e) {
            if (resume == null || given(DATA)) throw e;
            throw new IOException(e.getMessage() + "; if the data has moved, say where to with --data", e);
        }
    }

    /** The samples may have moved, but not changed. */
    private void sameSamples(Checkpoint saved, Sets sets) throws IOException {
        same("to train on", saved.facts().get(TRAIN), sets.train());
        same("held out", saved.facts().get(TEST), sets.test());
    }

    private void same(String which, String expected, Dataset actual) throws IOException {
        if (actual.sha256().equals(expected)) return;
        throw new IOException(
                "--data " + data.argument() + ": the samples " + which + " are not those of the run that " + resume
                        + " is of (SHA-256 " + actual.sha256() + ", expected " + expected
                        + "); say with --data where those are, or begin anew without --resume");
    }

    /** The settings that a checkpoint holds; one from before there were others is of float32. */
    private static SortedMap<String, String> held(Checkpoint saved) {
        SortedMap<String, String> held = new TreeMap<>(saved.facts());
        held.putIfAbsent("precision", Precision.FP32.toString());
        return held;
    }

    /** Takes the settings of a checkpoint, which the command line may repeat but not change. */
    private void take(Checkpoint saved) throws IOException {
        CommandLine theirs = new CommandLine(new Train()).setCaseInsensitiveEnumValuesAllowed(true);
        List<String> names = new ArrayList<>(SETTINGS);
        names.add(DATA);
        SortedMap<String, String> settings = held(saved);
        try {
            theirs.parseArgs(names.stream()
                    .filter(settings::containsKey)
                    .map(name -> "--" + name + "=" + settings.get(name))
                    .toArray(String[]::new));
        } catch (ParameterException e) {
            throw new IOException(resume + ": no checkpoint of this command: " + e.getMessage(), e);
        }
        for (String name : names) {
            OptionSpec option = spec.findOption("--" + name);
            if (!given(name))
                option.setValue(theirs.getCommandSpec().findOption("--" + name).getValue());
        }
        SortedMap<String, String> mine = settings();
        for (String name : SETTINGS) {
            String ours = mine.get(name), held = settings.get(name);
            if (!Objects.equals(ours, held)) {
                throw refusal("--" + name + " " + ours + ": " + resume + " was trained with "
                        + (held == null ? "none" : held) + "; leave the option out, or begin anew without --resume");
            }
        }
    }

    /** The settings as the command line would give them. */
    private SortedMap<String, String> settings() {
        SortedMap<String, String> settings = new TreeMap<>();
        settings.put("rule", rule.name());
        settings.put("lr", String.valueOf(rate()));
        if (decay != null) settings.put("decay", String.valueOf(decay));
        if (average != null) settings.put("average", String.valueOf(average));
        settings.put("schedule", schedule.toString());
        settings.put("hidden", Arrays.stream(hidden).mapToObj(String::valueOf).collect(Collectors.joining(",")));
        settings.put("precision", precision.toString());
        if (master != null || precision != Precision.FP32)
            settings.put("master", master().kind().name().toLowerCase(Locale.ROOT));
        settings.put("batch", String.valueOf(batch));
        if (clip != null) settings.put("clip", String.valueOf(clip));
        settings.put("seed", String.valueOf(seed));
        return settings;
    }

    private double rate() {
        return lr == null ? rule.defaults().lr() : lr;
    }

    Rule rule() {
        Rule chosen = rule.withRate(rate());
        return decay == null ? chosen : chosen.decay(decay);
    }

    Group[] groups(LearningRate rates) {
        Group[] groups = RuleOption.groups(rates, rule());
        for (int n = 0; n < groups.length; n++) {
            groups[n] = groups[n].master(master());
            if (average != null) groups[n] = groups[n].average(average);
        }
        return groups;
    }

    /** How weights of 16 bits are kept. */
    Master master() {
        Master.Kind kind = master == null ? Master.Kind.FLOAT32 : master;
        return kind == Master.Kind.STOCHASTIC ? Master.stochastic(seed) : new Master(kind, 0);
    }

    /** What happens to gradients before a step. */
    Guard guard() {
        return clip == null ? Guard.NONE : Guard.clipNorm(clip);
    }

    /** The scale of a network's loss, where its type needs one. */
    Optional<LossScale> lossScale(Network net, Engine engine) {
        if (precision != Precision.FP16) return Optional.empty();
        LossScale scale = engine.lossScale(LossScaling.dynamic());
        net.scaleLoss(scale.tensor());
        return Optional.of(scale);
    }

    /** Tries a step, on next to nothing: not every rule takes every type and master, and who refuses says why. */
    private void checkPrecision() {
        if (precision == Precision.FP32) {
            if (master != null) throw refusal("--master: expected --precision bf16 or fp16 beside it, got fp32");
            return;
        }
        try (Engine cpu = Engine.cpu(1)) {
            Map<String, Tensor> params =
                    Map.of("W1", cpu.zeros(precision.dtype, 1, 1), "b1", cpu.zeros(precision.dtype, 1));
            Map<String, Tensor> grads = Map.of("W1", cpu.zeros(1, 1), "b1", cpu.zeros(1));
            cpu.optimizer(groups(LearningRate.constant(rate()))).update(params, grads);
        } catch (IllegalArgumentException e) {
            throw refusal("--precision " + precision + ", --master "
                    + settings().get("master") + ", --rule " + rule.name() + ": " + e.getMessage());
        }
    }

    private void check() {
        if (steps != null && epochs != null) throw refusal("--steps and --epochs: expected one of them, got both");
        if (steps != null) atLeastOne("--steps", steps);
        if (epochs != null) atLeastOne("--epochs", epochs);
        if (saveEvery != null) atLeastOne("--save-every", saveEvery);
        atLeastOne("--keep", keep);
        atLeastOne("--batch", batch);
        checkThreads();
        for (int units : hidden) atLeastOne("--hidden", units);
        String alone = ranks != null
                ? "--ranks"
                : shards != null ? "--shards" : backend != null ? "--backend" : zero ? "--zero" : "";
        if (spark == null && !alone.isEmpty()) throw refusal(alone + ": expected --spark beside it, got none");
        atLeastOne("--ranks", ranks());
        if (backend != null && !BACKENDS.contains(backend))
            throw refusal("--backend: expected " + String.join(", ", BACKENDS) + ", got " + backend);
        if (spark != null && batch % ranks() != 0)
            throw refusal(
                    "--batch: expected a multiple of --ranks " + ranks() + ", for each takes its part, got " + batch);
        if (clip != null && !(clip.floatValue() > 0 && clip.floatValue() < Float.POSITIVE_INFINITY))
            throw refusal("--clip: expected a positive norm that float32 can hold, got " + clip);
        try {
            rule.withRate(rate());
        } catch (IllegalArgumentException e) {
            throw refusal("--lr " + lr + ": " + e.getMessage());
        }
        try {
            rule();
        } catch (IllegalArgumentException e) {
            throw refusal("--decay " + decay + ": " + e.getMessage());
        }
        try {
            groups(LearningRate.constant(rate()));
        } catch (IllegalArgumentException e) {
            throw refusal("--average " + average + ": " + e.getMessage());
        }
        checkPrecision();
        if (decay != null && decay > 0 && rate() > 0 && (float) (rate() * decay) == 0)
            throw refusal("--decay: expected 0 or a number that float32 can hold when multiplied by the learning rate "
                    + rate() + ", got " + decay);
    }

    /** How many batches the whole run takes, those before a checkpoint among them. */
    long until(int samples, Optional<Checkpoint> saved) {
        String option = steps != null ? "--steps " + steps : "--epochs " + (epochs == null ? 10 : epochs);
        long asked =
                steps != null ? steps : (Math.multiplyFull(epochs == null ? 10 : epochs, samples) + batch - 1) / batch;
        if (asked > MOST_STEPS) throw refusal(option + ": expected at most " + MOST_STEPS + " steps, got " + asked);
        if (saved.isEmpty()) return asked;
        long before = number(saved.get(), UNTIL), done = number(saved.get(), POSITION);
        if (before > MOST_STEPS
                || done > before
                || done != saved.get().steps() + saved.get().skipped())
            throw refusal("--resume " + resume + ": no checkpoint of this command: "
                    + saved.get().steps() + " steps done and " + saved.get().skipped() + " skipped do not fit its '"
                    + POSITION + "', " + done + ", and '" + UNTIL + "', " + before);
        if (steps == null && epochs == null) return before;
        if (asked != before && schedule.spansTheRun())
            throw refusal(option + ": the schedule " + schedule + " spans the " + before + " steps that " + resume
                    + " was to have, and would be another; leave the option out, or begin anew without --resume");
        if (asked < done)
            throw refusal(
                    option + ": expected no fewer steps than " + resume + " has done, " + done + ", got " + asked);
        return asked;
    }

    long number(Checkpoint saved, String name) {
        String text = String.valueOf(saved.facts().get(name));
        if (!text.matches("\\d{1,18}"))
            throw refusal("--resume " + resume + ": no checkpoint of this command: its '" + name + "' is " + text);
        return Long.parseLong(text);
    }

    /** Where the checkpoints go of a run that begins after so many batches. */
    Checkpoints checkpoints(Places places, long position) throws IOException {
        boolean there = resume != null && same(resume, places.file());
        return new Checkpoints(places.file(), keep, there ? position : -1, places.run(), overwrite);
    }

    /** What a checkpoint holds beside parameters and state, but for the position. */
    SortedMap<String, String> facts(Places places, Sets sets, long until) {
        SortedMap<String, String> facts = settings();
        facts.put(RUN, places.run());
        facts.put(DATA, data.argument());
        facts.put(TRAIN, sets.train().sha256());
        facts.put(TEST, sets.test().sha256());
        facts.put(UNTIL, String.valueOf(until));
        facts.put(WIDTHS, Experiments.describe(sets.train(), hidden));
        return facts;
    }

    /** A run on an engine, from where the checkpoint stood, or from the start. */
    private final class Run {

        private final Sets sets;
        private final Places places;
        private final long until;
        private final LearningRate rates;
        private final Engine engine;
        private final Experiments.Data held;
        private final Network net;
        private final Optimizer optimizer;
        private final Sampler batches;
        private final Checkpoints checkpoints;
        private final SortedMap<String, String> facts;

        Run(Engine engine, Sets sets, Optional<Checkpoint> saved, Places places) throws IOException {
            this.engine = engine;
            this.sets = sets;
            this.places = places;
            until = until(sets.train().size(), saved);
            rates = rates(until);
            held = Experiments.Data.of(engine, sets.train(), sets.test(), seed);
            try {
                net = held.network(precision.dtype, hidden);
            } catch (IllegalArgumentException e) {
                throw refusal("--hidden " + settings().get("hidden") + ": " + e.getMessage());
            }
            optimizer = engine.optimizer(groups(rates)).guard(guard());
            lossScale(net, engine).ifPresent(optimizer::lossScale);
            batches = Sampler.epochs(sets.train().size(), batch, seed);
            if (saved.isPresent()) {
                try {
                    saved.get().restore(optimizer, net.params());
                } catch (IllegalArgumentException e) {
                    throw new IOException(resume + ": " + e.getMessage(), e);
                }
                batches.seek(number(saved.get(), POSITION));
            }
            checkpoints = checkpoints(places, batches.position());
            facts = facts(places, sets, until);
        }

        /** Trains to the last step, or until the process is asked to end, or the run has diverged. */
        int go() throws IOException {
            long start = batches.position();
            sayWhat(engine.toString(), facts, start, until, places);
            try (Interruption interruption = new Interruption()) {
                MetricsLog metrics;
                boolean saved;
                try (RunWriter writer = open(places, start);
                        Progress progress = new Progress("train", until, start)) {
                    metrics = new MetricsLog(writer, rates, batch, start, optimizer.skipped());
                    saved = train(metrics, progress, interruption);
                }
                long step = batches.position();
                if (interruption.asked() && step < until) {
                    say("stopped after step " + step
                            + (saved ? "" : ", which was not saved: " + metrics.complaint()) + "; "
                            + (checkpoints.saved() < 0
                                    ? "nothing was saved"
                                    : "to go on: " + goOn(places, checkpoints)));
                    return Interruption.STATUS;
                }
                if (!saved) return diverged(metrics, step, checkpoints);
                return done(Experiments.score(net, optimizer, held.test()), until, metrics, sets, checkpoints);
            }
        }

        /** Whether the run stands saved as it ended; if not, it has diverged, or was asked to end while its loss was not finite. */
        private boolean train(MetricsLog metrics, Progress progress, Interruption interruption) throws IOException {
            try (TrainingStep training = new TrainingStep(
                    engine, net, held.train(), batch, () -> optimizer.update(net.params(), net.grads()))) {
                return train(training, metrics, progress, interruption);
            }
        }

        private boolean train(TrainingStep training, MetricsLog metrics, Progress progress, Interruption interruption)
                throws IOException {
            net.onLoss(metrics::tell);
            boolean saved = true;
            long step = batches.position();
            for (boolean last = step == until; !last; ) {
                training.run(batches.next());
                step++;
                progress.advance(1);

                last = step == until || interruption.asked();
                boolean epoch = step * batch / sets.train().size()
                        > (step - 1) * batch / sets.train().size();
                boolean saves = last || (saveEvery == null ? epoch : step % saveEvery == 0);
                long skipped = metrics.skipped();
                if (epoch || saves) { // waits, as nothing else here does
                    net.tellLosses();
                    metrics.count(step, optimizer.skipped());
                }
                if (metrics.isEmpty()) continue;
                metrics.stopClock(step);
                boolean judges = epoch || step == until;
                OptionalDouble accuracy = judges
                        ? OptionalDouble.of(
                                Experiments.score(net, optimizer, held.test()).accuracy())
                        : OptionalDouble.empty();
                try {
                    metrics.write(accuracy);
                } catch (IOException e) { // the disk of the table is full, say; that of the checkpoint may not be
                    if (save(metrics, step))
                        throw new IOException(
                                e.getMessage() + "; the run is saved after step " + step + "; to go on: "
                                        + goOn(places, checkpoints),
                                e);
                    throw e;
                }
                if (metrics.lost() >= PATIENCE) return false;
                if (saves) {
                    saved = save(metrics, step);
                    if (!saved && metrics.lost() == 0) return false; // the weights are no numbers any more
                }
                progress.say(metrics.toString());
                if ((epoch || metrics.skipped() > skipped) && !progress.watched()) sayEpoch(sets, step, until, metrics);
                metrics.startClock(step);
            }
            return saved;
        }

        /** Saves the run as it stands, unless that is worth nothing; whether it did. */
        private boolean save(MetricsLog metrics, long step) throws IOException {
            if (metrics.lost() > 0) return false;
            facts.put(POSITION, String.valueOf(step));
            Checkpoint checkpoint = Checkpoint.of(optimizer, net.params(), facts);
            if (!isFinite(checkpoint)) return false;
            checkpoints.write(checkpoint, step);
            return true;
        }
    }

    /** The table of the run, from a step on. */
    RunWriter open(Places places, long start) throws IOException {
        return places.goesOn()
                ? RunWriter.resume(places.out(), places.run(), start)
                : RunWriter.open(places.out(), places.run(), start, overwrite);
    }

    void sayWhat(String where, Map<String, String> facts, long start, long until, Places places) {
        say(String.format(
                Locale.ROOT,
                "on %s, %s%s, %s by %s from step %,d to %,d, into %s",
                where,
                facts.get(WIDTHS),
                precision == Precision.FP32 ? "" : " in " + precision,
                schedule,
                rule,
                start,
                until,
                places.out()));
    }

    void sayEpoch(Sets sets, long step, long until, MetricsLog metrics) {
        say(String.format(
                Locale.ROOT,
                "epoch %,d, step %,d of %,d: %s",
                step * batch / sets.train().size(),
                step,
                until,
                metrics));
    }

    /** Says what a run has come to. */
    int done(Score score, long until, MetricsLog metrics, Sets sets, Checkpoints checkpoints) {
        spec.commandLine()
                .getOut()
                .printf(
                        Locale.ROOT,
                        "%s, %,d steps%s: on %,d samples held out, loss %.6f and accuracy %.2f %%%n",
                        rule,
                        until,
                        metrics.skipped() == 0
                                ? ""
                                : String.format(Locale.ROOT, ", %,d of them skipped", metrics.skipped()),
                        sets.test().size(),
                        score.loss(),
                        100 * score.accuracy());
        say("the checkpoint is " + checkpoints);
        return 0;
    }

    int diverged(MetricsLog metrics, long step, Checkpoints checkpoints) {
        String what = metrics.lost() == 0 ? "weights or state are not finite" : metrics.complaint();
        String left = checkpoints.saved() >= 0
                ? "the last good checkpoint is " + checkpoints + ", after step " + checkpoints.saved()
                : resume != null
                        ? "the last good checkpoint is " + resume
                        : "no checkpoint was saved: the model was never without NaN or infinity";
        say("the run has diverged: stopped after step " + step + ", " + what + "; " + left
                + "; try a lower --lr than " + rate() + ", a warm-up (as in --schedule warmup-cosine:100)"
                + (clip == null ? ", or --clip 1" : ", or a lower --clip than " + clip));
        return DIVERGED;
    }

    /** The command that goes on from the newest checkpoint, to the same places. */
    String goOn(Places places, Checkpoints checkpoints) throws IOException {
        boolean home = same(places.out(), places.file().resolveSibling(""));
        boolean named = home || same(places.file(), places.out().resolve("model.safetensors"));
        return "scripts/kudari train --resume " + word(checkpoints) + (home ? "" : " --out " + word(places.out()))
                + (named ? "" : " --save " + word(places.file()));
    }

    /** State that has become infinite only stops its weights; what is not a number takes them along. */
    static boolean isFinite(Checkpoint checkpoint) {
        for (Map.Entry<String, Values> tensor : checkpoint.tensors().entrySet()) {
            if (tensor.getKey().endsWith(".remainder")) continue; // the bits of no number
            boolean param = tensor.getKey().startsWith("params/");
            for (float x : tensor.getValue().floats()) {
                if (param ? !Float.isFinite(x) : Float.isNaN(x)) return false;
            }
        }
        return true;
    }

    LearningRate rates(long until) {
        try {
            return schedule.over(rate(), until);
        } catch (IllegalArgumentException e) {
            throw refusal("--schedule " + e.getMessage());
        }
    }

    private boolean given(String name) {
        return spec.commandLine().getParseResult().hasMatchedOption("--" + name);
    }
}
