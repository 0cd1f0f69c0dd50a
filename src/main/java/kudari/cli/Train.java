package kudari.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import kudari.Engine;
import kudari.Guard;
import kudari.LearningRate;
import kudari.Optimizer;
import kudari.checkpoint.Checkpoint;
import kudari.data.Dataset;
import kudari.data.Sampler;
import kudari.nn.Network;
import kudari.nn.Score;
import kudari.report.Journal;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;

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
        mixinStandardHelpOptions = true)
final class Train extends Job {

    /** The options that decide the bits, which a checkpoint holds and a run that goes on shares. */
    private static final List<String> SETTINGS =
            List.of("rule", "lr", "schedule", "hidden", "batch", "data", "clip", "seed");

    /** What else a checkpoint holds: the batches drawn, the steps of the whole run, and for people the widths of the network. */
    private static final String POSITION = "position", UNTIL = "until", WIDTHS = "widths";

    @Option(
            names = "--rule",
            paramLabel = "RULE",
            description = "${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE})",
            defaultValue = "adam",
            converter = Contender.Converter.class,
            completionCandidates = Contender.Converter.class)
    private Contender rule;

    @Option(names = "--lr", paramLabel = "RATE", description = "the highest learning rate (default: the rule's own)")
    private Double lr;

    @Option(
            names = "--schedule",
            paramLabel = "SHAPE",
            description =
                    "how the learning rate goes over the run: constant, step:EVERY,FACTOR, exponential:FACTOR, or, down to 0 at"
                            + " its end, linear, polynomial:POWER, cosine, one-cycle; any of them after a warm-up, as in warmup-cosine:STEPS or"
                            + " warmup-step:STEPS,EVERY,FACTOR (default: ${DEFAULT-VALUE})",
            defaultValue = "constant",
            converter = Curve.Converter.class)
    private Curve schedule;

    @Option(
            names = "--hidden",
            split = ",",
            paramLabel = "UNITS",
            description = "the units of each hidden layer (default: ${DEFAULT-VALUE})",
            defaultValue = "100,100,100,100")
    private int[] hidden;

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
            converter = Source.Converter.class)
    private Source data;

    @Option(
            names = "--device",
            paramLabel = "auto|cpu|cuda[:N]",
            description = "where it runs (default: ${DEFAULT-VALUE})",
            defaultValue = "auto",
            converter = Device.Converter.class)
    private Device device;

    @Option(
            names = "--clip",
            paramLabel = "NORM",
            description = "the largest norm of the gradients; longer ones are shortened (default: none)")
    private Double clip;

    @Option(
            names = "--save",
            paramLabel = "FILE",
            description = "the checkpoint (default: model.safetensors in --out, or the file of --resume)")
    private Path save;

    @Option(
            names = "--save-every",
            paramLabel = "STEPS",
            description = "how often to save (default: after each epoch); always at the end")
    private Long saveEvery;

    @Option(
            names = "--resume",
            paramLabel = "FILE",
            description = "goes on from this checkpoint, with its settings; device, --steps and places may be others")
    private Path resume;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description =
                    "the folder to write (default: ${DEFAULT-VALUE}); a run that goes on there continues its table",
            defaultValue = "training")
    private Path out;

    @Override
    public Integer call() throws IOException {
        Optional<Checkpoint> saved = resume == null ? Optional.empty() : Optional.of(Checkpoint.read(resume));
        if (saved.isPresent()) take(saved.get());
        check();
        if (save != null) makeFolder(save);
        say("reading " + data);
        Dataset train = data.train(seed), test = data.test(seed);
        Experiments.check(data, train, test);
        try (Engine engine = device.open(threads)) {
            return run(engine, train, test, saved);
        }
    }

    /** Now, and not when the first epoch has been trained. */
    private static void makeFolder(Path file) throws IOException {
        Path folder = file.toAbsolutePath().getParent();
        try {
            if (folder != null) Files.createDirectories(folder);
        } catch (IOException e) {
            throw new IOException("--save " + file + ": its folder " + folder + " cannot be made", e);
        }
    }

    /** Takes the settings of a checkpoint, which the command line may repeat but not change. */
    private void take(Checkpoint saved) {
        CommandLine theirs = new CommandLine(new Train()).setCaseInsensitiveEnumValuesAllowed(true);
        theirs.parseArgs(saved.facts().entrySet().stream()
                .filter(fact -> SETTINGS.contains(fact.getKey()))
                .map(fact -> "--" + fact.getKey() + "=" + fact.getValue())
                .toArray(String[]::new));
        for (String name : SETTINGS) {
            OptionSpec option = spec.findOption("--" + name);
            if (!given(name))
                option.setValue(theirs.getCommandSpec().findOption("--" + name).getValue());
        }
        SortedMap<String, String> mine = settings();
        for (String name : SETTINGS) {
            String ours = mine.get(name), held = saved.facts().get(name);
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
        settings.put("schedule", schedule.toString());
        settings.put("hidden", Arrays.stream(hidden).mapToObj(String::valueOf).collect(Collectors.joining(",")));
        settings.put("batch", String.valueOf(batch));
        settings.put("data", data.argument());
        if (clip != null) settings.put("clip", String.valueOf(clip));
        settings.put("seed", String.valueOf(seed));
        return settings;
    }

    private double rate() {
        return lr == null ? rule.defaults().lr() : lr;
    }

    private void check() {
        if (steps != null && epochs != null) throw refusal("--steps and --epochs: expected one of them, got both");
        if (steps != null) atLeastOne("--steps", steps);
        if (epochs != null) atLeastOne("--epochs", epochs);
        if (saveEvery != null) atLeastOne("--save-every", saveEvery);
        atLeastOne("--batch", batch);
        atLeastOne("--threads", threads);
        for (int units : hidden) atLeastOne("--hidden", units);
        if (clip != null && !(clip > 0 && clip < Double.POSITIVE_INFINITY))
            throw refusal("--clip: expected a positive, finite norm, got " + clip);
        try {
            rule.withRate(rate());
        } catch (IllegalArgumentException e) {
            throw refusal("--lr " + lr + ": " + e.getMessage());
        }
    }

    /** How many batches the whole run takes, those before a checkpoint among them. */
    private long until(int samples, Optional<Checkpoint> saved) {
        String option = steps != null ? "--steps " + steps : "--epochs " + (epochs == null ? 10 : epochs);
        long asked =
                steps != null ? steps : (Math.multiplyFull(epochs == null ? 10 : epochs, samples) + batch - 1) / batch;
        if (saved.isEmpty()) return asked;
        long before = number(saved.get(), UNTIL), done = number(saved.get(), POSITION);
        if (steps == null && epochs == null) return before;
        if (asked != before && schedule.spansTheRun())
            throw refusal(option + ": the schedule " + schedule + " spans the " + before + " steps that " + resume
                    + " was to have, and would be another; leave the option out, or begin anew without --resume");
        if (asked < done)
            throw refusal(
                    option + ": expected no fewer steps than " + resume + " has done, " + done + ", got " + asked);
        return asked;
    }

    private long number(Checkpoint saved, String name) {
        String text = String.valueOf(saved.facts().get(name));
        if (!text.matches("\\d{1,18}"))
            throw refusal("--resume " + resume + ": no checkpoint of this command: its '" + name + "' is " + text);
        return Long.parseLong(text);
    }

    /** Trains on an engine from where the checkpoint stood, or from the start, to the last step or until the process is asked to end. */
    private int run(Engine engine, Dataset train, Dataset test, Optional<Checkpoint> saved) throws IOException {
        long until = until(train.size(), saved);
        LearningRate rates = rates(until);
        Experiments.Data held = Experiments.Data.of(engine, train, test, seed);
        Network net = held.network(hidden);
        Optimizer optimizer = engine.optimizer(rates.of(rule.defaults()));
        if (clip != null) optimizer.guard(Guard.clipNorm(clip));
        Sampler batches = Sampler.epochs(train.size(), batch, seed);
        long skipped = 0;
        if (saved.isPresent()) {
            try {
                saved.get().restore(optimizer, net.params());
            } catch (IllegalArgumentException e) {
                throw new IOException(resume + ": " + e.getMessage(), e);
            }
            batches.seek(number(saved.get(), POSITION));
            skipped = saved.get().skipped();
        }
        SortedMap<String, String> facts = settings();
        facts.put(UNTIL, String.valueOf(until));
        facts.put(WIDTHS, Experiments.describe(train, hidden));
        Path file = save != null ? save : resume != null ? resume : out.resolve("model.safetensors");

        long step = batches.position();
        say(String.format(
                Locale.ROOT,
                "on %s, %s, %s by %s from step %,d to %,d, into %s",
                engine,
                facts.get(WIDTHS),
                schedule,
                rule,
                step,
                until,
                out));
        try (Interruption interruption = new Interruption();
                Journal journal = Journal.open(out, step);
                Progress progress = new Progress("train", until)) {
            Ledger ledger = new Ledger(journal, rates, batch, step);
            net.onLoss(ledger::tell);
            progress.advance(step);
            long left = skipped;
            for (boolean last = step == until; !last; ) {
                net.gradient(held.train(), batches.next(), batch);
                optimizer.update(net.params(), net.grads());
                step++;
                progress.advance(1);

                last = step == until || interruption.asked();
                boolean epoch = step * batch / train.size() > (step - 1) * batch / train.size();
                boolean saves = last || (saveEvery == null ? epoch : step % saveEvery == 0);
                if (epoch || saves) net.tellLosses(); // waits, as nothing else here does
                if (ledger.isEmpty()) continue;
                ledger.stopClock(step);
                boolean judges = epoch || step == until;
                OptionalDouble accuracy =
                        judges ? OptionalDouble.of(net.evaluate(held.test()).accuracy()) : OptionalDouble.empty();
                if (clip != null && (epoch || saves)) left = skipped + optimizer.skipped(); // waits, too
                ledger.write(accuracy, left);
                if (saves) {
                    facts.put(POSITION, String.valueOf(batches.position()));
                    Checkpoint.of(optimizer, left, net.params(), facts).write(file);
                }
                progress.say(ledger.toString());
                if (epoch && !progress.watched()) {
                    say(String.format(
                            Locale.ROOT,
                            "epoch %,d, step %,d of %,d: %s",
                            step * batch / train.size(),
                            step,
                            until,
                            ledger));
                }
                ledger.startClock(step);
            }
            if (step < until) {
                say("stopped after step " + step + "; to go on: scripts/kudari train --resume " + file + " --out "
                        + out);
                return 130;
            }
        }
        Score score = net.evaluate(held.test());
        spec.commandLine()
                .getOut()
                .printf(
                        Locale.ROOT,
                        "%s, %,d steps: on %,d samples held out, loss %.6f and accuracy %.2f %%%n",
                        rule,
                        until,
                        test.size(),
                        score.loss(),
                        100 * score.accuracy());
        say("the checkpoint is " + file);
        return 0;
    }

    private LearningRate rates(long until) {
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
