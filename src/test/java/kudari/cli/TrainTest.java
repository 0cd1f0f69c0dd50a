package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import kudari.Dtype;
import kudari.LearningRate;
import kudari.LossScale;
import kudari.checkpoint.Checkpoint;
import kudari.checkpoint.Safetensors;
import kudari.checkpoint.Safetensors.Values;
import kudari.data.Digits;
import kudari.data.Sampler;
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
    @ValueSource(
            strings = {
                "--rule=adam",
                "--rule=adamw --decay=0.1",
                "--precision=bf16 --clip=0.5",
                "--precision=bf16 --master=remainder",
                "--precision=bf16 --master=stochastic --average=0.9",
                "--precision=bf16 --master=nearest --lr=0.01",
                "--precision=fp16",
                "--rule=momentum --clip=0.5",
                "--rule=schedulefreeadamw --average=0.9",
                "--rule=muon --decay=0.1 --schedule=step:20,0.5",
                "--rule=sgd --schedule=warmup-step:20,10,0.5"
            })
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

    /** At a rate of 0 the weights stay where they start; one step of SGD with decay ends lr·decay of that nearer to 0 than without. */
    @Test
    void theDecayIsTheRules() throws IOException {
        Path start = folder.resolve("start"), plain = folder.resolve("plain"), decayed = folder.resolve("decayed");
        trained(SMALL, start, "--rule=sgd", "--steps=1", "--lr=0");
        trained(SMALL, plain, "--rule=sgd", "--steps=1", "--lr=0.5");
        trained(SMALL, decayed, "--rule=sgd", "--steps=1", "--lr=0.5", "--decay=0.25");
        float[] from = weights(start), without = weights(plain), with = weights(decayed);
        for (int i = 0; i < from.length; i++) {
            // Two roundings of a number around the weight, half an ulp of 2⁻²³ each.
            double ulps = 0x1p-23 * (Math.abs(from[i]) + Math.abs(without[i]));
            assertEquals(without[i] - 0.125 * from[i], with[i], ulps, "weight " + i);
        }
    }

    @ParameterizedTest
    @CsvSource({"bf16, BF16", "fp16, F16"})
    void weightsOf16BitsAreSavedAsTheyAreWithTheirMasters(String precision, Dtype dtype) throws IOException {
        trained(SMALL, folder, "--steps=3", "--precision=" + precision);
        assertTrue(err.toString().contains("784-8-7-10 in " + precision + ", "), err::toString);
        SortedMap<String, Values> tensors = Checkpoint.read(model(folder)).tensors();
        for (String name : List.of("W1", "b1", "W3", "b3")) {
            assertEquals(dtype, tensors.get("params/" + name).dtype());
            assertEquals(
                    Dtype.F32, tensors.get("state/" + name + "/Adam.master").dtype());
        }
    }

    /** As GradScaler's, it begins at 2¹⁶; three good steps are on the way to the 2,000 that double it. */
    @Test
    void aRunInFloat16SavesItsLossScaleAndGoesOnWithIt() throws IOException {
        Path bf16 = folder.resolve("bf16"), fp16 = folder.resolve("fp16");
        trained(SMALL, bf16, "--steps=3", "--precision=bf16");
        assertEquals(Optional.empty(), Checkpoint.read(model(bf16)).counts().lossScale());
        trained(SMALL, fp16, "--steps=3", "--precision=fp16");
        assertEquals(
                Optional.of(new LossScale.State(65536, 3, 1, false)),
                Checkpoint.read(model(fp16)).counts().lossScale());
        trained(List.of("--device=cpu"), fp16, "--resume=" + model(fp16), "--steps=5");
        assertEquals(
                Optional.of(new LossScale.State(65536, 5, 1, false)),
                Checkpoint.read(model(fp16)).counts().lossScale());
    }

    /** SGD goes as far as its gradients are long; clipped, as far as the clip lets it. What float16 rounds is 2⁻¹¹ of a number. */
    @ParameterizedTest
    @ValueSource(strings = {"", " --clip=0.5"})
    void theLossScaleOfFloat16IsTakenOutAgain(String clip) throws IOException {
        Path fp32 = folder.resolve("fp32"), fp16 = folder.resolve("fp16");
        String options = "--rule=sgd --lr=0.1 --steps=10" + clip;
        trained(SMALL, fp32, options.split(" "));
        trained(SMALL, fp16, (options + " --precision=fp16").split(" "));
        List<String> expected = losses(fp32), actual = losses(fp16);
        for (int step = 1; step <= 10; step++)
            assertEquals(loss(expected.get(step)), loss(actual.get(step)), 0.01, "step " + step);
        assertTrue(loss(expected.get(1)) > loss(expected.get(10)) + 0.02, expected::toString);
    }

    private static double loss(String row) {
        return Double.parseDouble(row.split(",")[1]);
    }

    /** The bits of a remainder are those of a NaN in one of 256, which a checkpoint is not refused for. */
    @Test
    void aRunGoesOnByItsPrecisionAndMasterAndByNoOthers() throws IOException {
        Path bf16 = folder.resolve("bf16"), fp32 = folder.resolve("fp32");
        trained(SMALL, bf16, "--steps=3", "--precision=bf16", "--master=remainder");
        String resume = "--resume=" + model(bf16);
        for (String[] other : new String[][] {{"--precision=fp32", "bf16"}, {"--master=float32", "remainder"}}) {
            assertEquals(2, kudari("train", "--device=cpu", resume, other[0]), err::toString);
            String said = other[0].replace('=', ' ') + ": " + model(bf16) + " was trained with " + other[1]
                    + "; leave the option out, or begin anew without --resume";
            assertTrue(err.toString().contains(said), err::toString);
        }
        trained(List.of("--device=cpu"), bf16, resume, "--steps=5", "--precision=bf16", "--master=remainder");

        // From before there were others.
        trained(SMALL, fp32, "--steps=3");
        Checkpoint saved = Checkpoint.read(model(fp32));
        Map<String, String> facts = new TreeMap<>(saved.facts());
        assertEquals("fp32", facts.remove("precision"));
        write(saved, facts, saved.tensors(), model(fp32));
        assertEquals(2, kudari("train", "--device=cpu", "--resume=" + model(fp32), "--precision=bf16"));
        assertTrue(err.toString().contains("was trained with fp32; "), err::toString);
        trained(List.of("--device=cpu"), fp32, "--resume=" + model(fp32), "--steps=5");
        assertEquals("fp32", Checkpoint.read(model(fp32)).facts().get("precision"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--master=nearest                      | --master: expected --precision bf16 or fp16 beside it, got fp32",
                "--precision=bf16 --rule=muon --master=remainder | --rule muon: params 'W1': expected the master FLOAT32, for Muon looks at whole tensors",
                "--precision=bf16 --rule=adafactor --master=remainder | expected the master FLOAT32, for Adafactor looks at whole tensors",
                "--precision=fp16 --master=stochastic  | expected BF16, which alone is rounded stochastically",
                "--precision=fp16 --master=remainder   | expected BF16, which alone has a remainder",
                "--precision=bf16 --rule=lamb --master=remainder | expected the master FLOAT32, for Lamb looks at whole tensors"
            })
    void aTypeThatARuleOrAMasterDoesNotTakeIsRefusedBeforeAnythingIsDone(String options, String said) {
        assertEquals(2, kudari(train(SMALL, folder.resolve("out"), options.split(" +"))));
        assertTrue(err.toString().contains(said), err::toString);
        assertFalse(Files.exists(folder.resolve("out")));
    }

    /** What trains is what it is without an average; what is scored is not. */
    @Test
    void anAverageIsScoredAndDoesNotTrain() throws IOException {
        Path plain = folder.resolve("plain"), averaged = folder.resolve("averaged");
        trained(SMALL, plain, "--rule=sgd", "--steps=20", "--lr=0.5");
        String without = out.toString();
        trained(SMALL, averaged, "--rule=sgd", "--steps=20", "--lr=0.5", "--average=0.75");
        assertArrayEquals(weights(plain), weights(averaged));
        assertNotEquals(without, out.toString());
        assertTrue(Checkpoint.read(model(averaged)).tensors().containsKey("state/W1/Sgd.average"), "it is saved");
    }

    private float[] weights(Path into) throws IOException {
        return Checkpoint.read(model(into)).tensors().get("params/W1").floats();
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

    // ---- A run that goes wrong

    /**
     * Leaves a network, after 3 steps of one sample, whose loss is not finite for the few samples that have the most ink in the middle: there a
     * unit is excited that the others leave cold, and what comes out of it exceeds all bounds.
     *
     * @return the steps, from 4 to 40, that see such a sample
     */
    private List<Integer> poisoned(Path into, String... settings) throws IOException {
        List<String> all = new ArrayList<>(
                List.of("--data=digits:64,16", "--hidden=8", "--batch=1", "--device=cpu", "--threads=1", "--rule=sgd"));
        all.addAll(List.of(settings));
        trained(all, into, "--steps=3");
        float[] x = Digits.train(64, 1).x();
        int middle = 14 * 28 + 14;
        float[] ink = new float[64];
        for (int n = 0; n < 64; n++) ink[n] = x[n * 784 + middle];
        Arrays.sort(ink);
        float most = (ink[58] + ink[59]) / 2; // five samples have more
        Sampler sampler = Sampler.epochs(64, 1, 1);
        List<Integer> steps = new ArrayList<>();
        for (int step = 1; step <= 40; step++) {
            if (x[sampler.next()[0] * 784 + middle] > most && step > 3) steps.add(step);
        }
        assertEquals(List.of(6, 14), steps, "the seed's");

        Checkpoint saved = Checkpoint.read(model(into));
        SortedMap<String, Values> tensors = new TreeMap<>(saved.tensors());
        float[] w1 = tensors.get("params/W1").floats().clone(),
                w2 = tensors.get("params/W2").floats().clone();
        float[] b1 = tensors.get("params/b1").floats().clone();
        for (int in = 0; in < 784; in++) w1[in * 8] = in == middle ? 3e38f : 0;
        for (int out = 0; out < 10; out++) w2[out] = 1e10f;
        b1[0] = -3e38f * most;
        tensors.put("params/W1", new Values(new long[] {784, 8}, w1));
        tensors.put("params/W2", new Values(new long[] {8, 10}, w2));
        tensors.put("params/b1", new Values(new long[] {8}, b1));
        write(saved, saved.facts(), tensors, model(into));
        return steps;
    }

    private static void write(Checkpoint like, Map<String, String> facts, SortedMap<String, Values> tensors, Path file)
            throws IOException {
        new Checkpoint(like.counts(), like.rule(), new TreeMap<>(facts), tensors).write(file);
    }

    @Test
    void stepsThatWereSkippedAreCountedOverAllOfTheRunAndSaid() throws IOException {
        poisoned(folder, "--clip=1");
        String resume = "--resume=" + model(folder);
        trained(List.of("--device=cpu"), folder, resume, "--steps=10");
        assertEquals(1, Checkpoint.read(model(folder)).skipped());
        assertEquals(9, Checkpoint.read(model(folder)).steps());
        trained(List.of("--device=cpu"), folder, resume, "--steps=40", "--save-every=5");
        Checkpoint last = Checkpoint.read(model(folder));
        assertEquals(2, last.skipped());
        assertEquals("40", last.facts().get("position"));
        assertTrue(err.toString().contains("2 skipped, "), err::toString);
        assertTrue(out.toString().contains("40 steps, 2 of them skipped: "), out::toString);
    }

    @Test
    void aRunThatHasDivergedStopsAndKeepsTheLastGoodCheckpoint() throws IOException {
        int bad = poisoned(folder).get(0);
        String resume = "--resume=" + model(folder);
        assertEquals(3, kudari("train", "--device=cpu", resume, "--steps=100000", "--save-every=1", "--out=" + folder));
        Checkpoint good = Checkpoint.read(model(folder));
        assertEquals(bad - 1, good.steps(), "the step before the one that saw the sample");
        good.tensors().values().forEach(values -> {
            for (float x : values.floats()) assertTrue(Float.isFinite(x));
        });
        String said = err.toString().lines().reduce((one, next) -> next).orElseThrow();
        assertTrue(said.startsWith("kudari: the run has diverged: stopped after step "), said);
        assertTrue(said.contains("the last good checkpoint is " + model(folder) + ", after step " + (bad - 1)), said);
        assertTrue(said.contains("a lower --lr than 0.01") && said.contains("--clip 1"), said);
        assertTrue(losses(folder).size() < 200, "it does not go on for long");
        assertEquals("", out.toString());
    }

    @Test
    void aRunThatDivergesAtItsStartWritesNoCheckpoint() {
        List<String> settings =
                List.of("--rule=sgd", "--lr=1e30", "--data=digits:500,100", "--hidden=8", "--device=cpu");
        Path plain = folder.resolve("plain"), clipped = folder.resolve("clipped");
        assertEquals(3, kudari(train(settings, plain, "--epochs=3")), err::toString);
        assertFalse(Files.exists(model(plain)));
        assertEquals(3, kudari(train(settings, clipped, "--epochs=3", "--clip=1")), err::toString);
        assertFalse(Files.exists(model(clipped)));
        assertTrue(err.toString().contains("skipped, "), err::toString);
        assertTrue(err.toString().contains("no checkpoint was saved"), err::toString);
    }

    /** The table is cut off at 64 kB by the shell's ulimit, which the checkpoint does not reach. */
    @Test
    @EnabledOnOs(OS.LINUX)
    void aTableThatCannotBeWrittenDoesNotLoseTheRun() throws Exception {
        Path full = folder.resolve("disk full");
        List<String> command = new ArrayList<>(List.of("sh", "-c", "ulimit -f 128; exec \"$@\"", "sh"));
        command.addAll(
                java(full, List.of("--data=digits:40,10", "--hidden=3", "--steps=1000000"), "--save-every=1000000"));
        Process training = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("said").toFile())
                .start();
        assertTrue(training.waitFor(120, TimeUnit.SECONDS), "it ends");
        String said = Files.readString(folder.resolve("said"));
        assertEquals(1, training.exitValue(), said);
        Checkpoint saved = Checkpoint.read(model(full));
        assertTrue(saved.steps() > 0, said);
        assertTrue(
                said.contains("; the run is saved after step " + saved.steps() + "; to go on: scripts/kudari train"
                        + " --resume '" + model(full) + "'"),
                said);
        assertTrue(Files.readString(full.resolve("train.csv")).endsWith("\n"), "no half line");
    }

    // ---- A run owns its folder

    @Test
    void aFolderThatHoldsSomethingElseIsRefusedAndNothingInItIsTouched() throws IOException {
        for (String name : List.of("train.csv", "notes.txt", "model.safetensors")) {
            Path other = Files.createDirectory(folder.resolve("with " + name));
            Files.writeString(other.resolve(name), "mine\n");
            for (String more : List.of("--steps=2", "--steps=2 --overwrite")) {
                assertEquals(1, kudari(train(SMALL, other, more.split(" "))));
                assertTrue(
                        err.toString().contains("not from a run of kudari train; choose a new or empty one"),
                        err::toString);
                assertFalse(err.toString().contains("drawing"), "before anything is done: " + err);
                assertEquals("mine\n", Files.readString(other.resolve(name)));
            }
            try (Stream<Path> files = Files.list(other)) {
                assertEquals(1, files.count());
            }
        }
    }

    @Test
    void aFinishedRunIsReplacedOnlyWhereThatIsAskedFor() throws IOException {
        trained(SMALL, folder, "--steps", "5");
        byte[] finished = Files.readAllBytes(model(folder)), table = Files.readAllBytes(folder.resolve("train.csv"));
        assertEquals(1, kudari(train(SMALL, folder, "--steps", "3", "--seed", "2")));
        String last = err.toString();
        assertTrue(last.contains("holds a run already; choose another with --out"), last);
        assertTrue(last.contains("go on with --resume " + model(folder)) && last.contains("--overwrite"), last);
        assertArrayEquals(finished, Files.readAllBytes(model(folder)));
        assertArrayEquals(table, Files.readAllBytes(folder.resolve("train.csv")));
        trained(SMALL, folder, "--steps", "3", "--seed", "2", "--overwrite");
        assertEquals(3, Checkpoint.read(model(folder)).steps());
        assertEquals(4, losses(folder).size());
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(3, files.count(), "a table, a checkpoint and the curves of one run");
        }
    }

    @Test
    void aResumedRunGoesOnWhereItLived() throws IOException {
        Path home = folder.resolve("home");
        trained(SMALL, home, "--steps", "5");
        assertEquals(0, kudari("train", "--device=cpu", "--resume=" + model(home), "--steps=9"), err::toString);
        assertEquals(10, losses(home).size());
        assertEquals(9, Checkpoint.read(model(home)).steps());

        Path moved = Files.move(home, folder.resolve("moved"));
        assertEquals(0, kudari("train", "--device=cpu", "--resume=" + model(moved), "--steps=12"), err::toString);
        assertEquals(13, losses(moved).size());
    }

    /** Somebody tidied up; the table is that of the checkpoint beside it, unless another run's checkpoint is there. */
    @Test
    void aRunWhoseEventFilesAreGoneGoesOnInItsFolderAndNowhereElse() throws IOException {
        Path home = folder.resolve("home"), other = folder.resolve("other");
        trained(SMALL, home, "--steps", "5");
        trained(SMALL, other, "--steps", "8");
        removeEvents(home);
        removeEvents(other);
        List<String> five = losses(home);
        byte[] table = Files.readAllBytes(other.resolve("train.csv"));
        Path lodger = Files.copy(model(home), other.resolve("lodger.safetensors"));
        for (String more : List.of("--resume=" + lodger, "--resume=" + model(home) + " --out=" + other)) {
            assertEquals(1, kudari(("train --device=cpu --steps=9 " + more).split(" ")), err::toString);
            assertTrue(err.toString().contains("holds a run already"), err::toString);
        }
        assertArrayEquals(table, Files.readAllBytes(other.resolve("train.csv")));
        assertEquals(0, kudari("train", "--device=cpu", "--resume=" + model(home), "--steps=9"), err::toString);
        assertEquals(10, losses(home).size());
        assertEquals(five, losses(home).subList(0, 6));
    }

    private static void removeEvents(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.filter(f -> f.getFileName().toString().startsWith("events."))
                    .toList()) Files.delete(file);
        }
    }

    @Test
    void aResumedRunLeavesTheRunOfAnotherAlone() throws IOException {
        Path one = folder.resolve("one"), other = folder.resolve("other");
        trained(SMALL, one, "--steps", "5");
        trained(SMALL, other, "--steps", "8");
        byte[] table = Files.readAllBytes(other.resolve("train.csv")), model = Files.readAllBytes(model(other));
        String resume = "--resume=" + model(one);
        assertEquals(1, kudari("train", "--device=cpu", resume, "--steps=9", "--out=" + other));
        assertTrue(err.toString().contains("holds a run already"), err::toString);
        assertEquals(1, kudari("train", "--device=cpu", resume, "--steps=9", "--save=" + model(other)));
        assertTrue(err.toString().contains("not of this run"), err::toString);
        Path lodger = Files.copy(model(one), other.resolve("lodger.safetensors"));
        assertEquals(1, kudari("train", "--device=cpu", "--resume=" + lodger, "--steps=9"));
        assertTrue(err.toString().contains("holds a run already"), err::toString);
        assertArrayEquals(table, Files.readAllBytes(other.resolve("train.csv")));
        assertArrayEquals(model, Files.readAllBytes(model(other)));
    }

    @Test
    void aRunThatBranchesOffIntoANewFolderLeavesTheOldOneWhole() throws IOException {
        Path one = folder.resolve("one"), branch = folder.resolve("branch");
        trained(SMALL, one, "--steps", "5");
        byte[] model = Files.readAllBytes(model(one));
        trained(List.of("--device=cpu"), branch, "--resume=" + model(one), "--steps=9");
        assertArrayEquals(model, Files.readAllBytes(model(one)));
        assertEquals(9, Checkpoint.read(model(branch)).steps());
        assertEquals(
                List.of("6", "7", "8", "9"),
                losses(branch).stream().skip(1).map(row -> row.split(",")[0]).toList());
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void whereTheCheckpointGoesIsLookedAtBeforeAnythingIsTrained() throws Exception {
        Path out = folder.resolve("out"),
                pipe = folder.resolve("pipe"),
                mine = Files.writeString(folder.resolve("mine"), "mine");
        assertEquals(0, new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor());
        Map<Path, String> refused = Map.of(
                pipe,
                "not a regular file",
                folder,
                "it is a folder",
                mine.resolve("below"),
                "cannot be made",
                mine,
                "there is a file " + mine + " already",
                out.resolve("train.csv"),
                "the table of the run has this name");
        refused.forEach((file, words) -> {
            assertEquals(1, kudari(train(SMALL, out, "--steps=3", "--save=" + file)), err::toString);
            assertTrue(err.toString().contains(words), file + ": " + err);
            assertFalse(err.toString().contains("drawing"), "before anything is done: " + err);
        });
        assertEquals("mine", Files.readString(mine));
        assertFalse(Files.isRegularFile(pipe));
        assertEquals(1, kudari(train(SMALL, mine, "--steps=3")), err::toString);
        assertTrue(
                err.toString().contains("--out " + mine + ": the folder " + mine + " cannot be made"), err::toString);
        trained(SMALL, out, "--steps=3", "--save=" + mine, "--overwrite");
        assertEquals(3, Checkpoint.read(mine).steps());
    }

    // ---- Checkpoints

    @Test
    void soManyCheckpointsAreKeptAsAskedForAndEachCanBeGoneOnFrom() throws IOException {
        Path home = folder.resolve("home"), whole = folder.resolve("whole");
        trained(SMALL, whole, "--steps=20");
        trained(SMALL, home, "--steps=20", "--save-every=4", "--keep=3");
        assertEquals(
                List.of("model-step12.safetensors", "model-step16.safetensors", "model.safetensors"),
                checkpoints(home));
        for (int step : new int[] {12, 16})
            assertEquals(step, Checkpoint.read(older(home, step)).steps());
        assertSame(model(whole), model(home));

        Path back = older(home, 12);
        assertEquals(
                0, kudari("train", "--device=cpu", "--resume=" + back, "--save-every=4", "--keep=2"), err::toString);
        assertEquals(List.of("model-step16.safetensors", "model.safetensors"), checkpoints(home));
        assertEquals(16, Checkpoint.read(older(home, 16)).steps());
        assertSame(model(whole), model(home));
        assertEquals(losses(whole), losses(home));
    }

    @Test
    void checkpointsThatAnotherRunKeptAreNeitherRemovedNorTakenForThisRuns() throws IOException {
        trained(SMALL, folder.resolve("one"), "--steps=8", "--save-every=2", "--keep=4", "--save=" + model(folder));
        Files.delete(model(folder));
        byte[] theirs = Files.readAllBytes(older(folder, 4));
        String[] mine = train(
                SMALL,
                folder.resolve("two"),
                "--seed=2",
                "--steps=8",
                "--save-every=3",
                "--keep=2",
                "--save=" + model(folder));
        assertEquals(1, kudari(mine), err::toString);
        assertTrue(err.toString().contains("model-step") && err.toString().contains("--overwrite"), err::toString);
        assertFalse(err.toString().contains("drawing"), "before anything is done: " + err);

        String[] asked = Arrays.copyOf(mine, mine.length + 1);
        asked[mine.length] = "--overwrite";
        assertEquals(0, kudari(asked), err::toString);
        assertEquals("2", Checkpoint.read(older(folder, 6)).facts().get("seed"));
        assertArrayEquals(theirs, Files.readAllBytes(older(folder, 4)), "not in the way, and so not replaced");
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void aCheckpointThatIsTakenAwayMeanwhileIsNotMissed() throws Exception {
        Path home = folder.resolve("home"), file = model(home);
        Process training = start(
                home, List.of("--data=digits:40,10", "--hidden=20"), "--steps=1000000", "--save-every=10", "--keep=2");
        try {
            await(training, file, 0);
            Files.move(file, folder.resolve("mine"));
            await(training, file, 0);
            await(training, file, position(file));
        } finally {
            training.destroyForcibly().waitFor();
        }
    }

    @Test
    void aCheckpointThatAnotherRunMadeMeanwhileIsNotReplaced() throws IOException {
        trained(SMALL, folder.resolve("one"), "--steps=3");
        Checkpoint theirs = Checkpoint.read(model(folder.resolve("one")));
        Path shared = model(folder);
        Checkpoints mine = new Checkpoints(shared, 1, -1, "0123456789ab", false);
        theirs.write(shared);
        IOException e = assertThrows(IOException.class, () -> mine.write(theirs, 3));
        assertTrue(e.getMessage().contains(shared + " already, which is not of this run"), e.getMessage());
    }

    private Path older(Path into, int step) {
        return into.resolve("model-step" + step + ".safetensors");
    }

    private static List<String> checkpoints(Path into) throws IOException {
        try (Stream<Path> files = Files.list(into)) {
            return files.map(file -> file.getFileName().toString())
                    .filter(name -> name.startsWith("model"))
                    .sorted()
                    .toList();
        }
    }

    /** Images of 2 × 2 pixels, of two classes. */
    private static void idx(Path into, int shade) throws IOException {
        Files.createDirectories(into);
        for (String set : List.of("train", "t10k")) {
            byte[] images = new byte[16 + 8 * 4], labels = new byte[8 + 8];
            images[2] = labels[2] = 8;
            images[3] = 3;
            labels[3] = 1;
            images[7] = labels[7] = 8;
            images[11] = images[15] = 2;
            for (int i = 0; i < 8; i++) {
                labels[8 + i] = (byte) (i % 2);
                images[16 + 4 * i + i % 2] = (byte) (shade + i);
            }
            Files.write(into.resolve(set + "-images-idx3-ubyte"), images);
            Files.write(into.resolve(set + "-labels-idx1-ubyte"), labels);
        }
    }

    @Test
    void dataMayMoveButNotChange() throws IOException {
        Path data = folder.resolve("data"), run = folder.resolve("run");
        idx(data, 100);
        // From the working folder, as people name it; a run goes on in another.
        Path relative = Path.of("").toAbsolutePath().relativize(data.toAbsolutePath());
        trained(List.of("--data=mnist:" + relative, "--hidden=3", "--batch=2", "--device=cpu"), run, "--steps=4");
        assertEquals(
                "mnist:" + data.toAbsolutePath(),
                Checkpoint.read(model(run)).facts().get("data"));
        String resume = "--resume=" + model(run);

        Path moved = Files.move(data, folder.resolve("moved"));
        assertEquals(1, kudari("train", "--device=cpu", resume, "--steps=8"), err::toString);
        assertTrue(err.toString().contains("if the data has moved, say where to with --data"), err::toString);
        assertEquals(0, kudari("train", "--device=cpu", resume, "--steps=8", "--data=mnist:" + moved), err::toString);

        byte[] model = Files.readAllBytes(model(run)), table = Files.readAllBytes(run.resolve("train.csv"));
        idx(moved, 101);
        assertEquals(1, kudari("train", "--device=cpu", resume, "--steps=12"), err::toString);
        assertTrue(err.toString().contains("the samples to train on are not those of the run"), err::toString);
        assertArrayEquals(model, Files.readAllBytes(model(run)));
        assertArrayEquals(table, Files.readAllBytes(run.resolve("train.csv")));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "position | 90000000000000000 | do not fit its 'position'",
                "position | 2                 | do not fit its 'position'",
                "position | -1                | its 'position' is -1",
                "until    | 2                 | do not fit its 'position'",
                "until    | 90000000000000000 | do not fit its 'position'",
                "until    | 1e3               | its 'until' is 1e3",
                "rule     | evil\u001b[2J    | no checkpoint of this command",
                "hidden   | \u001b]0;x       | no checkpoint of this command",
                "hidden   | 9,9               | does not fit",
                "seed     | 2                 | are not those of the run",
                "data     | bogus\u009b2J    | no checkpoint of this command",
                "run      | ../../x           | choose another with --out",
            })
    void aForgedCheckpointIsRefusedAtOnceAndSteersNoTerminal(String fact, String value, String words)
            throws IOException {
        trained(SMALL, folder, "--steps", "3");
        Checkpoint saved = Checkpoint.read(model(folder));
        SortedMap<String, String> facts = new TreeMap<>(saved.facts());
        facts.put(fact, value.translateEscapes());
        Path forged = folder.resolve("forged.safetensors");
        write(saved, facts, saved.tensors(), forged);
        byte[] table = Files.readAllBytes(folder.resolve("train.csv"));
        int status = kudari("train", "--device=cpu", "--resume=" + forged);
        assertTrue(status == 1 || status == 2, status + ": " + err);
        assertTrue(err.toString().contains(words), err::toString);
        assertTrue(err.toString().lines().allMatch(line -> line.startsWith("kudari: ")), err::toString);
        assertTrue(err.toString().chars().allMatch(c -> c == '\n' || !Character.isISOControl(c)), err::toString);
        assertArrayEquals(table, Files.readAllBytes(folder.resolve("train.csv")));
    }

    @Test
    void theCheckpointHoldsTheSettings() throws IOException {
        trained(SMALL, folder, "--steps", "3", "--seed", "9", "--clip", "2", "--schedule", "warmup-linear:1");
        Checkpoint saved = Checkpoint.read(model(folder));
        SortedMap<String, String> facts = new TreeMap<>(saved.facts());
        assertTrue(facts.remove("run").matches("[0-9a-f]{12}"), saved.facts()::toString);
        assertEquals(Digits.train(64, 9).sha256(), facts.remove("train-sha256"));
        assertEquals(Digits.test(16, 9).sha256(), facts.remove("test-sha256"));
        assertEquals(
                "{batch=10, clip=2.0, data=digits:64,16, hidden=8,7, lr=0.001, position=3, precision=fp32,"
                        + " rule=adam, schedule=warmup-linear:1, seed=9, until=3, widths=784-8-7-10}",
                facts.toString());
        assertTrue(saved.rule().startsWith("Adam[lr="), saved.rule());
        assertArrayEquals(
                new long[] {784, 8}, saved.tensors().get("state/W1/Adam.m").shape());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "2 | --batch=64           | --batch 64: |was trained with 10",
                "2 | --rule=sgd           | --rule sgd: |was trained with adam",
                "2 | --lr=0.01            | --lr 0.01: |was trained with 0.001",
                "2 | --seed=2             | --seed 2: |was trained with 1",
                "2 | --decay=0.1          | --decay 0.1: |was trained with none",
                "2 | --average=0.9        | --average 0.9: |was trained with none",
                "2 | --clip=1             | --clip 1.0: |was trained with none",
                "2 | --precision=bf16     | --precision bf16: |was trained with fp32",
                "2 | --hidden=8           | --hidden 8: |was trained with 8,7",
                "1 | --data=digits:64,17  | --data digits:64,17: the samples held out are not those|begin anew",
                "0 | --data=digits:64,16  | on CPU|",
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
        assertTrue(err.toString().contains("damaged: tensor 'state/b3/Adam.v'"), err::toString);
        assertArrayEquals(damaged, Files.readAllBytes(file));

        Checkpoint right = checkpoint(whole);
        SortedMap<String, Values> tensors = new TreeMap<>(right.tensors());
        tensors.put("params/b3", new Values(new long[] {7}, new float[7]));
        tensors.remove("state/W1/Adam.m");
        new Checkpoint(right.counts(), right.rule(), right.facts(), tensors).write(file);
        assertEquals(1, kudari(resume));
        assertTrue(err.toString().contains("'params/b3': expected shape [10], got [7]"), err::toString);
        assertTrue(err.toString().contains("'state/W1/Adam.m' is missing"), err::toString);

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
                "2|--clip=-1                 |--clip: expected a positive norm that float32 can hold, got -1.0",
                "2|--lr=-1                   |--lr -1.0: lr: expected a finite number",
                "2|--rule=foo                |'foo'",
                "2|--lr=1e-50                |--lr 1.0E-50: lr: expected 0 or a number that float32 can hold",
                "2|--decay=-1                |--decay -1.0: decay: expected a finite number from 0 up, got -1.0",
                "2|--average=1               |--average 1.0: decay: expected a number from 0 up and below 1, got 1.0",
                "2|--decay=1e-50             |--decay: expected 0 or a number that float32 can hold when multiplied by",
                "2|--threads=2147483647      |--threads: expected at most 1024, got 2147483647",
                "2|--hidden=2147483647       |--hidden 2147483647: widths: expected at most 2147483639 weights in a layer",
                "1|--resume=/no/such/file    |/no/such/file: no such file",
                "1|--device=cuda:7           |cuda:7",
                "1|--save=/                  |cannot write /: it is a folder",
                "2|--clip=1e-300             |--clip: expected a positive norm that float32 can hold, got 1.0E-300",
                "1|--save=/dev/null/x        |--save /dev/null/x: the folder /dev/null cannot be made",
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
        for (ScheduleOption.Shape shape : ScheduleOption.Shape.values()) assertTrue(help.contains(shape.form()), help);
    }

    /** The command line of a training in a process of its own. */
    private static List<String> java(Path into, List<String> settings, String... more) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                Main.class.getName()));
        command.addAll(List.of(train(settings, into, more)));
        command.addAll(List.of("--device", "cpu", "--threads", "1"));
        return command;
    }

    /** A training in a process of its own. */
    private Process start(Path into, List<String> settings, String... more) throws IOException {
        // A background job ignores Ctrl-C, and so would its children, if env did not undo it.
        List<String> undo = OS.LINUX.isCurrentOs() ? List.of("env", "--default-signal=INT") : List.of();
        List<String> command = new ArrayList<>(undo);
        command.addAll(java(into, settings, more));
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

    @Test
    void ranksWithoutSparkAreRefusedAndBatchesThatTheyCannotShare() {
        assertEquals(2, kudari(train(SMALL, folder.resolve("a"), "--ranks", "2")));
        assertTrue(err.toString().contains("--ranks: expected --spark beside it, got none"), () -> err.toString());
        assertEquals(2, kudari(train(SMALL, folder.resolve("a"), "--zero")));
        assertTrue(err.toString().contains("--zero: expected --spark beside it, got none"), () -> err.toString());
        assertEquals(2, kudari(train(SMALL, folder.resolve("a"), "--spark", "--ranks", "3")));
        assertTrue(
                err.toString().contains("--batch: expected a multiple of --ranks 3, for each takes its part, got 10"),
                () -> err.toString());
        assertEquals(2, kudari(train(SMALL, folder.resolve("a"), "--spark", "--ranks", "0")));
        assertTrue(err.toString().contains("--ranks: expected at least 1, got 0"), () -> err.toString());
    }

    /** As in every build but that of scripts/kudari train --spark. */
    @Test
    void withoutSparkOnTheClassPathTheCommandSaysHowToGetIt() {
        assertEquals(1, kudari(train(SMALL, folder.resolve("a"), "--spark", "--ranks", "2")));
        assertTrue(
                err.toString().contains("scripts/kudari train --spark fetches and builds both"), () -> err.toString());
    }
}
