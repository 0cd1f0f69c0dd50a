package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import kudari.LearningRate;
import kudari.checkpoint.Checkpoint;
import kudari.checkpoint.Safetensors;
import kudari.checkpoint.Safetensors.Values;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The command {@code train}, as a user calls it, stops it and goes on. */
class TrainTest {

    private static final long SEED = 20;

    @TempDir
    private Path folder;

    private StringWriter out = new StringWriter(), err = new StringWriter();

    private int kudari(String... args) {
        out = new StringWriter();
        err = new StringWriter();
        return Main.run(new PrintWriter(out, true), new PrintWriter(err, true), args);
    }

    /** Small, and with a batch that does not divide the samples. */
    private static final List<String> SMALL =
            List.of("--data", "digits:64,16", "--hidden", "8,7", "--batch", "10", "--device", "cpu", "--threads", "1");

    private static String[] train(List<String> settings, Path into, String... more) {
        List<String> args = new ArrayList<>(List.of("train", "--out", into.toString()));
        args.addAll(settings);
        args.addAll(List.of(more));
        return args.toArray(String[]::new);
    }

    private void trained(List<String> settings, Path into, String... more) {
        assertEquals(0, kudari(train(settings, into, more)), () -> err.toString());
    }

    private Path model(Path into) {
        return into.resolve("model.safetensors");
    }

    @ParameterizedTest
    @ValueSource(strings = {"--rule=adam", "--rule=momentum --clip=0.5", "--rule=sgd --schedule=warmup-step:20,10,0.5"})
    void aResumedRunHasTheBitsOfOneThatNeverStopped(String options) throws IOException {
        List<String> settings = new ArrayList<>(SMALL);
        settings.addAll(List.of(options.split(" ")));
        Path whole = folder.resolve("whole"), parts = folder.resolve("parts");
        trained(settings, whole, "--steps", "60");
        trained(settings, parts, "--steps", "25");
        String resume = model(parts).toString();
        trained(List.of("--device", "cpu"), parts, "--steps", "60", "--resume", resume);
        assertSame(model(whole), model(parts));
        assertEquals(60, Checkpoint.read(model(parts)).steps());
        assertEquals(losses(whole), losses(parts));
        assertEquals(61, losses(parts).size());
    }

    @Test
    void aRunGoesOnInAnotherFolderAndLeavesItsCheckpointWhereItIsTold() throws IOException {
        Path first = folder.resolve("first"), second = folder.resolve("second"), file = folder.resolve("new/x");
        trained(SMALL, first, "--steps", "10");
        byte[] before = Files.readAllBytes(model(first));
        String[] more = {"--steps", "20", "--resume", model(first).toString(), "--save", file.toString()};
        trained(List.of("--device", "cpu"), second, more);
        assertArrayEquals(before, Files.readAllBytes(model(first)));
        assertEquals(20, Checkpoint.read(file).steps());
        assertTrue(losses(second).get(1).startsWith("11,"), () -> losses(second).toString());
        assertFalse(Files.exists(model(second)));
    }

    @Test
    void theTableSaysTheRateAndTheAccuracyOfItsSteps() throws IOException {
        trained(SMALL, folder, "--epochs", "3", "--lr", "0.5", "--schedule", "warmup-cosine:5");
        List<String> rows = Files.readAllLines(folder.resolve("train.csv"));
        assertEquals("step,loss,accuracy,lr,samples_per_second", rows.get(0));
        assertEquals(1 + 20, rows.size(), "3 epochs of 64 samples are 192, in batches of 10 the last of which is half");
        LearningRate rate = LearningRate.cosine(0.5, 0, 15).warmUp(5);
        for (int step = 1; step <= 20; step++) {
            String[] cells = rows.get(step).split(",");
            assertEquals(step, Integer.parseInt(cells[0]));
            assertEquals(rate.at(step), Double.parseDouble(cells[3]));
            assertTrue(Double.parseDouble(cells[4]) > 0, rows.get(step));
            // An epoch ends in the step that takes sample 64, 128, 192 of all that were drawn.
            assertEquals(List.of(7, 13, 20).contains(step), !cells[2].isEmpty(), rows.get(step));
        }
        try (Stream<Path> files = Files.list(folder)) {
            List<Path> events = files.filter(
                            file -> file.getFileName().toString().startsWith("events.out.tfevents."))
                    .toList();
            assertEquals(1, events.size());
            assertTrue(Files.size(events.get(0)) > 20 * 3 * 40, "a loss, a rate and a speed for each step");
        }
    }

    @Test
    void aNetworkLearnsAndTheLineOfAnEpochSaysSo() {
        trained(List.of("--data", "digits:2000,500", "--hidden", "50", "--device", "cpu"), folder, "--epochs", "4");
        assertTrue(err.toString().contains("kudari: epoch 3, step 47 of 63: loss "), err::toString);
        assertTrue(err.toString().contains("samples/s"), err::toString);
        String said = out.toString();
        double percent = Double.parseDouble(said.replaceAll("(?s).*accuracy (.*) %.*", "$1"));
        assertTrue(percent > 60, said);
    }

    @Test
    void stepsThatWereSkippedAreCountedOverAllOfTheRun() throws IOException {
        List<String> settings = new ArrayList<>(SMALL);
        settings.addAll(List.of("--rule", "sgd", "--lr", "1e30", "--clip", "1"));
        trained(settings, folder, "--steps", "10");
        Checkpoint first = Checkpoint.read(model(folder));
        assertTrue(first.skipped() > 0, "it diverged");
        assertEquals(10, first.steps() + first.skipped());
        trained(
                List.of("--device", "cpu"),
                folder,
                "--steps",
                "15",
                "--resume",
                model(folder).toString());
        Checkpoint second = Checkpoint.read(model(folder));
        assertEquals(first.skipped() + 5, second.skipped());
        assertEquals("15", second.facts().get("position"));
        assertTrue(err.toString().contains("steps skipped"), err::toString);
    }

    @Test
    void theCheckpointHoldsTheSettings() throws IOException {
        trained(SMALL, folder, "--steps", "3", "--seed", "9", "--clip", "2", "--schedule", "warmup-linear:1");
        Checkpoint saved = Checkpoint.read(model(folder));
        assertEquals(
                "{batch=10, clip=2.0, data=digits:64,16, hidden=8,7, lr=0.001, position=3, rule=adam,"
                        + " schedule=warmup-linear:1, seed=9, until=3, widths=784-8-7-10}",
                saved.facts().toString());
        assertTrue(saved.rule().startsWith("Adam[lr="), saved.rule());
        assertArrayEquals(new long[] {784, 8}, saved.tensors().get("state/W1/m").shape());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "2 | --batch=64           | --batch 64: |was trained with 10",
                "2 | --rule=sgd           | --rule sgd: |was trained with adam",
                "2 | --lr=0.01            | --lr 0.01: |was trained with 0.001",
                "2 | --seed=2             | --seed 2: |was trained with 1",
                "2 | --clip=1             | --clip 1.0: |was trained with none",
                "2 | --hidden=8           | --hidden 8: |was trained with 8,7",
                "2 | --data=digits        | --data digits:60000,10000: |was trained with digits:64,16",
                "2 | --steps=30           | --steps 30: the schedule cosine spans the 20 steps|begin anew",
                "2 | --epochs=1           | --epochs 1: the schedule cosine spans the 20 steps|begin anew",
                "0 | --steps=20           | on CPU|",
                "0 | --batch=10           | on CPU|",
                "0 | --lr=1e-3            | on CPU|",
            })
    void aRunThatGoesOnKeepsItsSettings(int status, String option, String words, String more) {
        trained(SMALL, folder, "--steps", "20", "--schedule", "cosine");
        String[] args = train(
                List.of("--device", "cpu"), folder, "--resume", model(folder).toString(), option);
        assertEquals(status, kudari(args), err::toString);
        assertTrue(err.toString().contains(words), err::toString);
        if (more != null) assertTrue(err.toString().contains(more), err::toString);
    }

    @Test
    void aCheckpointThatIsNoneIsRefusedAndNothingIsOverwritten() throws IOException {
        trained(SMALL, folder, "--steps", "3");
        Path csv = folder.resolve("train.csv"), file = model(folder);
        byte[] table = Files.readAllBytes(csv), whole = Files.readAllBytes(file), damaged = whole.clone();
        damaged[damaged.length - 5] ^= 64;
        Files.write(file, damaged);
        String[] resume = train(List.of("--device", "cpu"), folder, "--steps", "9", "--resume", file.toString());
        assertEquals(1, kudari(resume));
        assertTrue(err.toString().contains("damaged: tensor 'state/b3/v'"), err::toString);
        assertArrayEquals(damaged, Files.readAllBytes(file));

        Checkpoint right = checkpoint(whole);
        SortedMap<String, Values> tensors = new TreeMap<>(right.tensors());
        tensors.put("params/b3", new Values(new long[] {7}, new float[7]));
        tensors.remove("state/W1/m");
        new Checkpoint(right.steps(), 0, right.rule(), right.facts(), tensors).write(file);
        assertEquals(1, kudari(resume));
        assertTrue(err.toString().contains("'params/b3': expected shape [10], got [7]"), err::toString);
        assertTrue(err.toString().contains("'state/W1/m' is missing"), err::toString);

        Safetensors.of(Map.of(), Map.of()).write(file);
        assertEquals(1, kudari(resume));
        assertTrue(err.toString().contains("not a checkpoint of Kudari's"), err::toString);
        assertArrayEquals(table, Files.readAllBytes(csv));
    }

    private Checkpoint checkpoint(byte[] bytes) throws IOException {
        return Checkpoint.read(Files.write(folder.resolve("copy"), bytes));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "2|--schedule=cosin          |expected one of constant, step:EVERY,FACTOR",
                "2|--schedule=warmup-linear:9|warmup-linear:9: expected a warm-up of fewer steps than the run's 7, got 9",
                "2|--steps=0                 |--steps: expected at least 1, got 0",
                "2|--epochs=0                |--epochs: expected at least 1, got 0",
                "2|--steps=5 --epochs=5      |--steps and --epochs: expected one of them, got both",
                "2|--save-every=0            |--save-every: expected at least 1, got 0",
                "2|--batch=0                 |--batch: expected at least 1, got 0",
                "2|--hidden=8,0              |--hidden: expected at least 1, got 0",
                "2|--threads=0               |--threads: expected at least 1, got 0",
                "2|--clip=-1                 |--clip: expected a positive, finite norm, got -1.0",
                "2|--lr=-1                   |--lr -1.0: lr: expected a finite number",
                "2|--rule=foo                |'foo'",
                "1|--resume=/no/such/file    |/no/such/file: no such file",
                "1|--device=cuda:7           |cuda:7",
                "1|--save=/dev/null/x        |--save /dev/null/x: its folder /dev/null cannot be made",
                "1|--data=mnist:/no/such     |/no/such",
            })
    void whatCannotBeDoneGetsOneLineAndItsStatus(int status, String args, String words) {
        List<String> few = List.of("--data=digits:64,16", "--batch=10");
        boolean data = args.contains("--data"), batch = args.contains("--batch");
        List<String> settings = few.stream()
                .filter(a -> !(data && a.contains("data") || batch && a.contains("batch")))
                .toList();
        String[] more = (args.contains("--schedule") ? args + " --epochs=1" : args).split(" ");
        assertEquals(status, kudari(train(settings, folder.resolve("out"), more)), err::toString);
        String last = err.toString().lines().reduce((a, b) -> b).orElseThrow();
        assertTrue(last.startsWith("kudari: ") && last.contains(words), err::toString);
        assertEquals("", out.toString());
    }

    @Test
    void helpNamesEverySchedule() {
        assertEquals(0, kudari("train", "--help"));
        String help = out.toString().replaceAll("\\s+", " ");
        for (Curve.Shape shape : Curve.Shape.values()) assertTrue(help.contains(shape.form()), help);
    }

    /** A training in a process of its own. */
    private Process start(Path into, List<String> settings, String... more) throws IOException {
        // A background job ignores Ctrl-C, and so would its children, if env did not undo it.
        List<String> undo = OS.LINUX.isCurrentOs() ? List.of("env", "--default-signal=INT") : List.of();
        List<String> command = new ArrayList<>(undo);
        command.addAll(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                Main.class.getName()));
        command.addAll(List.of(train(settings, into, more)));
        command.addAll(List.of("--device", "cpu", "--threads", "1"));
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(into.resolveSibling("said").toFile())
                .start();
    }

    /** Waits until the checkpoint is another than it was. */
    private void await(Process training, Path file, long before) throws Exception {
        for (int n = 0; n < 6_000 && position(file) == before; n++) {
            assertTrue(training.isAlive(), Files.readString(folder.resolve("said")));
            Thread.sleep(10);
        }
        assertTrue(position(file) > before, "it saves");
    }

    private static long position(Path file) throws IOException {
        return Files.exists(file) ? Long.parseLong(Checkpoint.read(file).facts().get("position")) : 0;
    }

    /**
     * Killed in the middle of whatever it does, most of which is writing checkpoints of 3 MB: every time the file is whole, and the run that
     * was killed again and again ends in the bits of one that was left in peace. So many times as -Dkudari.kills says.
     */
    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aRunThatIsKilledAgainAndAgainLosesNothing() throws Exception {
        int kills = Integer.getInteger("kudari.kills", 5);
        String until = String.valueOf(100 * kills); // more than it gets to
        List<String> settings = List.of(
                "--data=digits:40,10", "--hidden=300", "--batch=7", "--schedule=warmup-cosine:5", "--steps=" + until);
        Path killed = folder.resolve("killed"), file = model(killed);
        Random random = new Random(SEED);
        int halfWritten = 0;
        for (int n = 0; n < kills; n++) {
            long before = position(file);
            List<String> options = n == 0 ? settings : List.of("--resume=" + file);
            Process training = start(killed, options, "--save-every=1");
            await(training, file, before);
            Thread.sleep(random.nextInt(150));
            assertTrue(training.isAlive(), Files.readString(folder.resolve("said")));
            training.destroyForcibly().waitFor();
            Checkpoint.read(file); // or throws
            try (Stream<Path> files = Files.list(killed)) {
                halfWritten +=
                        (int) files.filter(f -> f.toString().endsWith(".tmp")).count();
            }
        }
        System.out.println("seed " + SEED + ": killed " + kills + " times, " + halfWritten
                + " of them while a checkpoint was written, the last after step " + position(file) + " of " + until);
        trained(List.of("--device=cpu", "--resume=" + file), killed, "--save-every=1000000");
        Path peace = folder.resolve("peace");
        trained(settings, peace, "--device=cpu", "--save-every=1000000");
        assertSame(model(peace), file);
        assertEquals(losses(peace), losses(killed));
    }

    @ParameterizedTest
    @CsvSource({"INT, 130", "TERM, 143"})
    @EnabledOnOs(OS.LINUX)
    void ctrlCAndKillFinishTheStepSaveAndSayHowToGoOn(String signal, int status) throws Exception {
        Path stopped = folder.resolve("stopped"), file = model(stopped);
        List<String> settings = List.of("--data=digits:40,10", "--hidden=20", "--schedule=linear", "--steps=1000000");
        Process training = start(stopped, settings);
        await(training, file, 0);
        // The shell's own kill: not every machine has the program.
        int sent = new ProcessBuilder("sh", "-c", "kill -" + signal + " " + training.pid())
                .start()
                .waitFor();
        assertEquals(0, sent, "kill -" + signal);
        assertTrue(training.waitFor(60, TimeUnit.SECONDS), "it ends");
        String said = Files.readString(folder.resolve("said"));
        assertEquals(status, training.exitValue(), said);
        assertTrue(
                said.contains(
                        "stopped after step " + position(file) + "; to go on: scripts/kudari train --resume " + file),
                said);
        assertEquals(position(file) + 1, losses(stopped).size(), "every step up to the checkpoint, and the header");
    }

    /** Step, loss and rate of every line. */
    static List<String> losses(Path into) {
        try {
            return Files.readAllLines(into.resolve("train.csv")).stream()
                    .map(line -> line.split(","))
                    .map(cells -> cells[0] + "," + cells[1] + "," + cells[3])
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static void assertSame(Path expected, Path actual) throws IOException {
        Checkpoint a = Checkpoint.read(expected), b = Checkpoint.read(actual);
        assertEquals(a.steps(), b.steps());
        assertEquals(a.tensors().keySet(), b.tensors().keySet());
        a.tensors().forEach((name, values) -> {
            float[] floats = b.tensors().get(name).floats();
            for (int i = 0; i < floats.length; i++)
                assertEquals(
                        Float.floatToRawIntBits(values.floats()[i]),
                        Float.floatToRawIntBits(floats[i]),
                        name + " " + i);
        });
    }
}
