package kudari.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import kudari.Counts;
import kudari.Engine;
import kudari.Group;
import kudari.LearningRate;
import kudari.LossScale;
import kudari.Optimizer;
import kudari.Schedule;
import kudari.Tensor;
import kudari.checkpoint.Safetensors.Values;
import kudari.rule.AdaGrad;
import kudari.rule.Adam;
import kudari.rule.Momentum;
import kudari.rule.RmsProp;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A run goes on with the same bits, or the checkpoint is refused. */
class CheckpointTest {

    private static final long SEED = 20;

    @TempDir
    private Path folder;

    private Path file;
    private Engine engine;

    @BeforeEach
    void open() {
        engine = Engine.cpu(1);
        file = folder.resolve("x.safetensors");
    }

    @AfterEach
    void close() {
        engine.close();
    }

    /** Parameters that descend a bowl whose gradient depends on the step. */
    private final class Run {

        private final Map<String, Tensor> params = new TreeMap<>(
                Map.of("W", engine.tensor(new float[] {1, -2, 3, -4, 5, -6}, 2, 3), "layer/b", engine.zeros(2)));
        private final Map<String, Tensor> grads = Map.of("W", engine.zeros(2, 3), "layer/b", engine.zeros(2));
        private final Optimizer optimizer;

        Run(Schedule schedule) {
            optimizer = engine.optimizer(schedule);
        }

        Run steps(int n) {
            for (int i = 0; i < n; i++) {
                long t = optimizer.steps() + 1;
                params.forEach((name, param) -> {
                    float[] p = param.get();
                    for (int j = 0; j < p.length; j++) p[j] = p[j] + (t % 3) - 1;
                    grads.get(name).set(p);
                });
                optimizer.update(params, grads);
            }
            return this;
        }

        Checkpoint checkpoint() {
            return Checkpoint.of(optimizer, params, Map.of("seed", "7", "data", "digits"));
        }
    }

    private static final Counts NONE = new Counts(0, 0, List.of(0L));

    static Stream<Schedule> schedules() {
        return Stream.of(
                t -> Sgd.of(0.1),
                LearningRate.cosine(0.1, 0, 60).warmUp(5).of(Momentum.of()),
                LearningRate.step(0.1, 10, 0.5).of(Adam.of()));
    }

    @ParameterizedTest
    @MethodSource("schedules")
    void aResumedRunHasTheBitsOfOneThatNeverStopped(Schedule schedule) throws IOException {
        Checkpoint whole = new Run(schedule).steps(60).checkpoint();
        new Run(schedule).steps(25).checkpoint().write(file);
        Run resumed = new Run(schedule);
        Checkpoint.read(file).restore(resumed.optimizer, resumed.params);
        assertSame(whole, resumed.steps(35).checkpoint());
        assertEquals(60, resumed.optimizer.steps());
    }

    @Test
    void aCheckpointSaysWhatItIs() throws IOException {
        new Run(t -> Adam.of(0.25)).steps(3).checkpoint().write(file);
        Checkpoint read = Checkpoint.read(file);
        assertEquals(3, read.steps());
        assertEquals(0, read.skipped());
        assertEquals(Adam.of(0.25).toString(), read.rule());
        assertEquals(Map.of("seed", "7", "data", "digits"), read.facts());
        Safetensors raw = Safetensors.read(file);
        assertEquals(
                "[params/W, params/layer/b, state/W/Adam.m, state/W/Adam.v, state/layer/b/Adam.m, state/layer/b/Adam.v]",
                raw.tensors().keySet().toString());
        assertTrue(raw.metadata().containsKey("kudari"), "the version");
        // By the polynomial, bit by bit, outside this program: 0xe3069283 for "123456789", which is published, and this
        // for the first eight.
        Values digits = new Values(new long[] {2}, new float[] {word("1234"), word("5678")});
        Map<String, Values> tensors = new TreeMap<>(Map.of("params/x", digits));
        new Checkpoint(NONE, "Sgd[lr=1]", new TreeMap<>(), new TreeMap<>(tensors)).write(file);
        assertEquals("6087809a", Safetensors.read(file).metadata().get("crc32c/params/x"), "of \"12345678\"");
    }

    /** The float whose four bytes in the file are these letters. */
    private static float word(String letters) {
        int bits = 0;
        for (int i = 3; i >= 0; i--) bits = bits << 8 | letters.charAt(i);
        return Float.intBitsToFloat(bits);
    }

    @Test
    void whatDoesNotFitIsNamedTensorByTensorAndNothingChanges() {
        Checkpoint momentum = new Run(t -> Momentum.of(0.1)).steps(2).checkpoint();
        Run adam = new Run(t -> Adam.of(0.1)).steps(1);
        Checkpoint before = adam.checkpoint();
        refused(
                () -> momentum.restore(adam.optimizer, adam.params),
                "'state/W/Adam.m' is missing",
                "'state/layer/b/Adam.m' is missing",
                "'state/W/Momentum.v' is not this run's");
        assertSame(before, adam.checkpoint());

        Run other = new Run(t -> Momentum.of(0.1)).steps(1);
        other.params.put("W", engine.zeros(3, 2));
        other.params.put("more", engine.zeros(1));
        other.params.remove("layer/b");
        refused(
                () -> momentum.restore(other.optimizer, other.params),
                "'params/W': expected shape [3, 2], got [2, 3]",
                "'state/W/Momentum.v': expected shape [3, 2], got [2, 3]",
                "'params/more' is missing",
                "'params/layer/b' is not this run's",
                "'state/layer/b/Momentum.v' is not this run's");
        assertEquals(1, other.optimizer.steps());
        assertArrayEquals(new float[6], other.params.get("W").get());
    }

    @Test
    void theFirstOfManyFaultsAreTold() {
        Checkpoint none = new Checkpoint(NONE, "Sgd[lr=1]", new TreeMap<>(), new TreeMap<>());
        Run run = new Run(t -> Sgd.of(1));
        for (int n = 0; n < 20; n++) run.params.put("p" + n, engine.zeros(1));
        refused(() -> none.restore(run.optimizer, run.params), "'params/W' is missing", "and 14 more");
        for (int n = 6; n < 20; n++) run.params.remove("p" + n);
        String eight = assertThrows(IllegalArgumentException.class, () -> none.restore(run.optimizer, run.params))
                .getMessage();
        assertFalse(eight.contains("more"), eight);
    }

    @Test
    void aSafetensorsFileOfOthersIsNoCheckpoint() throws IOException {
        Safetensors.of(Map.of("format", "pt"), Map.of("w", new Values(new long[] {1}, new float[] {1})))
                .write(file);
        unreadable("not a checkpoint of Kudari's");
        Safetensors.of(Map.of("kudari.checkpoint", "1"), Map.of()).write(file);
        unreadable("not a checkpoint of Kudari's: its metadata has no 'crc32c'");
    }

    @Test
    void aCheckpointOfAFormToComeIsNoDamage() throws IOException {
        new Run(t -> Sgd.of(1)).steps(1).checkpoint().write(file);
        Safetensors whole = Safetensors.read(file);
        Map<String, String> metadata = new TreeMap<>(whole.metadata());
        metadata.put("kudari.checkpoint", "3");
        resign(metadata, whole);
        unreadable("a checkpoint of form '3', of Kudari 'not from a jar'; this version reads form 2");
        metadata.put("kudari.checkpoint", "2");
        metadata.put("steps", "-1");
        resign(metadata, whole);
        unreadable("metadata 'steps': expected a number from 0 up, got '-1'");
        metadata.put("steps", "1");
        for (String groups : List.of("", "1,", "2", "-1", "99999999999999999")) {
            metadata.put("groups", groups);
            resign(metadata, whole);
            unreadable("groups");
        }
        metadata.put("groups", "1");
        String rule = metadata.remove("optimizer");
        resign(metadata, whole);
        unreadable("its metadata has no 'optimizer'");
        metadata.put("optimizer", rule);
        metadata.remove("crc32c/params/W");
        resign(metadata, whole);
        unreadable("damaged: tensor 'params/W': expected floats of CRC-32C none");
    }

    /** Writes a file whose header has the right sum, whatever it says. */
    private void resign(Map<String, String> metadata, Safetensors like) throws IOException {
        metadata.remove("crc32c");
        CRC32C crc = new CRC32C();
        crc.update(Safetensors.of(metadata, like.tensors()).header());
        metadata.put("crc32c", String.format("%08x", crc.getValue()));
        Safetensors.of(metadata, like.tensors()).write(file);
    }

    @Test
    void whereALossScaleStandsIsReadOrNamed() throws IOException {
        Run run = new Run(t -> Sgd.of(1)).steps(1);
        run.checkpoint().write(file);
        Safetensors whole = Safetensors.read(file);
        Map<String, String> metadata = new TreeMap<>(whole.metadata());
        metadata.put("lossScale", "1.5E-10 3 2 true");
        resign(metadata, whole);
        assertEquals(
                new LossScale.State(1.5e-10f, 3, 2, true),
                Checkpoint.read(file).counts().lossScale().orElseThrow());
        for (String text : List.of(
                "",
                "65536",
                "65536.0 1 1",
                "NaN 1 1 true",
                "1.0 -1 1 true",
                "1.0 1 0 true",
                "1.0 1 1 maybe",
                "0.0 1 1 true",
                "1.0E-45 1 1 true",
                "1.0E99 1 1 true")) {
            metadata.put("lossScale", text);
            resign(metadata, whole);
            unreadable("expected");
        }
    }

    @Test
    void aFactMayNotTakeTheCheckpointsOwnName() {
        Run run = new Run(t -> Sgd.of(1)).steps(1);
        for (String name : new String[] {"steps", "optimizer", "crc32c", "crc32c/params/W"}) {
            refused(() -> Checkpoint.of(run.optimizer, run.params, Map.of(name, "")), "'" + name + "'");
        }
    }

    @Test
    void parametersThatNoUpdateHasSeenAreSavedWithoutStateAndGoOn() throws IOException {
        for (Rule rule : List.of(Sgd.of(0.1), Adam.of(0.1))) {
            Tensor head = engine.tensor(new float[] {1, 2}), backbone = engine.tensor(new float[] {3, 4, 5});
            Map<String, Tensor> params = Map.of("head", head, "backbone", backbone);
            Optimizer optimizer = engine.optimizer(rule);
            Checkpoint before = Checkpoint.of(optimizer, params, Map.of());
            assertEquals(
                    List.of("params/backbone", "params/head"),
                    List.copyOf(before.tensors().keySet()));
            optimizer.update(Map.of("head", head), Map.of("head", engine.tensor(new float[] {1, -1})));
            Checkpoint.of(optimizer, params, Map.of()).write(file);

            // Another run, which thaws what was frozen, has the bits of this one when it does the same.
            Map<String, Tensor> others = Map.of("head", engine.zeros(2), "backbone", engine.zeros(3));
            Optimizer other = engine.optimizer(rule);
            Checkpoint.read(file).restore(other, others);
            assertEquals(1, other.steps());
            Map<String, Tensor> grads =
                    Map.of("head", engine.tensor(new float[] {2, 3}), "backbone", engine.tensor(new float[] {1, 2, 3}));
            optimizer.update(params, grads);
            other.update(others, grads);
            assertSame(Checkpoint.of(optimizer, params, Map.of()), Checkpoint.of(other, others, Map.of()));

            Map<String, Tensor> third = Map.of("head", engine.zeros(2), "backbone", engine.zeros(3));
            before.restore(optimizer, third);
            assertEquals(0, optimizer.steps());
            assertArrayEquals(new float[] {3, 4, 5}, third.get("backbone").get());
        }
    }

    /** Momentum's buffer means something else where the learning rate is outside; so does the sum of AdaGrad to RmsProp's mean. */
    @Test
    void stateOfAnotherMeaningIsRefused() {
        Checkpoint outside = new Run(t -> Momentum.pytorch(0.1)).steps(2).checkpoint();
        Run inside = new Run(t -> Momentum.of(0.1)).steps(1);
        refused(
                () -> outside.restore(inside.optimizer, inside.params),
                "'state/W/Momentum.v' is missing",
                "'state/W/Momentum.b' is not this run's");
        Checkpoint sums = new Run(t -> AdaGrad.of(0.1)).steps(2).checkpoint();
        Run means = new Run(t -> RmsProp.of(0.1)).steps(1);
        refused(
                () -> sums.restore(means.optimizer, means.params),
                "'state/W/RmsProp.h' is missing",
                "'state/W/AdaGrad.h' is not this run's");
        assertEquals(1, means.optimizer.steps());
    }

    @Test
    void aPartMayBeRestoredAndWhatWasLeftIsSaid() {
        Checkpoint saved = new Run(t -> Adam.of(0.1)).steps(3).checkpoint();
        Run run = new Run(t -> Adam.of(0.1));
        run.params.put("head", engine.tensor(new float[] {7}));
        run.params.put("layer/b", engine.tensor(new float[] {8, 8, 8}));
        assertEquals(
                List.of(
                        "'params/head' is missing",
                        "'params/layer/b': expected shape [3], got [2]",
                        "'state/layer/b/Adam.m': expected shape [3], got [2]",
                        "'state/layer/b/Adam.v': expected shape [3], got [2]"),
                saved.restoreWhatFits(run.optimizer, run.params));
        assertEquals(3, run.optimizer.steps());
        assertArrayEquals(
                saved.tensors().get("params/W").floats(), run.params.get("W").get());
        assertArrayEquals(
                saved.tensors().get("state/W/Adam.m").floats(),
                run.optimizer.state("W").get("m").get());
        assertArrayEquals(new float[] {7}, run.params.get("head").get());
        assertArrayEquals(new float[] {8, 8, 8}, run.params.get("layer/b").get());
        assertFalse(run.optimizer.knows("layer/b"));
    }

    @Test
    void stateIsRestoredWholeOrNotAtAll() {
        Checkpoint saved = new Run(t -> Adam.of(0.1)).steps(3).checkpoint();
        SortedMap<String, Safetensors.Values> some = new TreeMap<>(saved.tensors());
        some.remove("state/W/Adam.v");
        Checkpoint part = new Checkpoint(saved.counts(), saved.rule(), saved.facts(), some);
        Run run = new Run(t -> Adam.of(0.1));
        assertEquals(List.of("'state/W/Adam.v' is missing"), part.restoreWhatFits(run.optimizer, run.params));
        assertFalse(run.optimizer.knows("W"));
        assertTrue(run.optimizer.knows("layer/b"));
    }

    @Test
    void amongOtherGroupsEachGoesOnAfterAllSteps() {
        Checkpoint saved = new Run(t -> Adam.of(0.1)).steps(3).checkpoint();
        Run run = new Run(t -> Adam.of(0.1));
        Optimizer two = engine.optimizer(
                Group.of("W", Adam.of(0.1)), Group.of("layer/*", Adam.of(0.1)).orEmpty());
        assertEquals(List.of(), saved.restoreWhatFits(two, run.params));
        assertEquals(new Counts(3, 0, List.of(3L, 3L)), two.counts());
    }

    /** What has no state of its own must not take another's for it, whose name begins with its own. */
    @Test
    void aNameThatBeginsAnotherIsAnother() {
        Optimizer adam = engine.optimizer(Adam.of(0.1));
        Tensor a = engine.zeros(1), b = engine.zeros(2);
        adam.update(Map.of("a/b", b), Map.of("a/b", engine.tensor(new float[] {1, 2})));
        Checkpoint saved = Checkpoint.of(adam, Map.of("a", a, "a/b", b), Map.of());
        Optimizer other = engine.optimizer(Adam.of(0.1));
        saved.restore(other, Map.of("a", engine.zeros(1), "a/b", engine.zeros(2)));
        assertFalse(other.knows("a"));
        assertTrue(other.knows("a/b"));
    }

    /** Each group goes on from its own step, one that began late, and one that has not begun, among them. */
    @Test
    void groupsGoOnFromTheirOwnCounts() throws IOException {
        Group[] groups = {
            Group.of("a", Adam.of(0.1)),
            Group.of("b", Adam.of(0.1)).orEmpty(),
            Group.frozen("c").orEmpty(),
            Group.of("d", Sgd.of(0.1)).orEmpty()
        };
        Map<String, Tensor> one = Map.of("a", engine.zeros(1)), both = Map.of("a", one.get("a"), "b", engine.zeros(1));
        Map<String, Tensor> g = Map.of("a", engine.tensor(new float[] {1}), "b", engine.tensor(new float[] {2}));
        Optimizer first = engine.optimizer(groups);
        for (int t = 0; t < 3; t++) first.update(one, Map.of("a", g.get("a")));
        for (int t = 0; t < 2; t++) first.update(both, g);
        assertEquals(new Counts(5, 0, List.of(5L, 2L, 0L)), first.counts());
        Checkpoint.of(first, both, Map.of()).write(file);
        Map<String, Tensor> others = Map.of("a", engine.zeros(1), "b", engine.zeros(1));
        Optimizer second = engine.optimizer(groups);
        Checkpoint.read(file).restore(second, others);
        assertEquals(first.counts(), second.counts());
        for (int t = 0; t < 70; t++) {
            first.update(both, g);
            second.update(others, g);
        }
        assertSame(Checkpoint.of(first, both, Map.of()), Checkpoint.of(second, others, Map.of()));
        Optimizer fewer = engine.optimizer(Adam.of(0.1));
        refused(
                () -> Checkpoint.read(file).restore(fewer, others),
                "groups: expected the counts of 1 group",
                "got those of 3");
    }

    @Test
    void aScalarKeepsItsEmptyShape() throws IOException {
        Map<String, Tensor> params = Map.of("scale", engine.tensor(new float[] {2.5f}, new long[0]));
        Optimizer adam = engine.optimizer(Adam.of(0.1));
        adam.update(params, Map.of("scale", engine.tensor(new float[] {1}, new long[0])));
        Checkpoint.of(adam, params, Map.of()).write(file);
        assertArrayEquals(
                new long[0],
                Safetensors.read(file).tensors().get("state/scale/Adam.m").shape());
        Map<String, Tensor> others = Map.of("scale", engine.zeros());
        Checkpoint.read(file).restore(engine.optimizer(Adam.of(0.1)), others);
        assertArrayEquals(params.get("scale").get(), others.get("scale").get());
        refused(
                () -> Checkpoint.read(file).restore(engine.optimizer(Adam.of(0.1)), Map.of("scale", engine.zeros(1))),
                "'params/scale': expected shape [1], got []");
    }

    @Test
    void whatCouldNotBeReadAgainIsRefusedBeforeItIsWritten() {
        Run run = new Run(t -> Sgd.of(1)).steps(1);
        Map<String, String> facts = new HashMap<>();
        facts.put("seed", null);
        refused(() -> Checkpoint.of(run.optimizer, run.params, facts), "'seed': expected text, got null");
        facts.clear();
        facts.put(null, "7");
        refused(() -> Checkpoint.of(run.optimizer, run.params, facts), "facts: a name is null");
        String half = String.valueOf((char) 0xd800);
        refused(
                () -> Checkpoint.of(run.optimizer, run.params, Map.of("a" + half, "")),
                "'a\\ud800': half of a surrogate pair at 1");
        refused(
                () -> Checkpoint.of(run.optimizer, run.params, Map.of("a", half)),
                "metadata 'a' '\\ud800': half of a surrogate pair at 0");
        refused(
                () -> Checkpoint.of(run.optimizer, Map.of(half, engine.zeros(1)), Map.of()),
                "'params/\\ud800': half of a surrogate pair at 7");
        refused(() -> new Counts(1, -1, List.of()), "skipped: expected from 0 to 9007199254740992, got -1");
        refused(() -> new Counts(1, 0, List.of(2L)), "groups: expected from 0 to 1, got 2");
        for (long steps : new long[] {-1, Long.MIN_VALUE, 1_000_000_000_000_000_000L, Long.MAX_VALUE}) {
            refused(() -> new Counts(steps, 0, List.of()), "steps: expected from 0 to 9007199254740992, got " + steps);
        }
        assertFalse(Files.exists(file));
    }

    @Test
    void aRunOfManyGroupsIsReadAgain() throws IOException {
        Counts counts = new Counts(1, 0, Collections.nCopies(50_000, 1L));
        new Checkpoint(counts, "Sgd", new TreeMap<>(), new TreeMap<>()).write(file);
        assertEquals(counts, Checkpoint.read(file).counts());
    }

    @Test
    void theLargestCountIsReadAgain() throws IOException {
        long most = 1L << 53;
        new Checkpoint(new Counts(most, most, List.of(most)), "Sgd[lr=1]", new TreeMap<>(), new TreeMap<>())
                .write(file);
        assertEquals(most, Checkpoint.read(file).steps());
        assertEquals(most, Checkpoint.read(file).skipped());
    }

    /** Whoever has a terminal that obeys: the file may say anything. */
    @Test
    void whatAFileSaysIsEscapedInMessages() throws IOException {
        String evil = "\33[2J\n\u202e";
        new Checkpoint(
                        NONE,
                        evil,
                        new TreeMap<>(),
                        new TreeMap<>(Map.of(evil, new Values(new long[] {0}, new float[0]))))
                .write(file);
        Run run = new Run(t -> Sgd.of(1));
        String message = assertThrows(IllegalArgumentException.class, () -> Checkpoint.read(file)
                        .restore(run.optimizer, run.params))
                .getMessage();
        assertTrue(message.contains("'\\u001b[2J\\u000a\\u202e' is not this run's"), message);
        assertTrue(message.chars().noneMatch(c -> c < ' ' || c == 0x202e), message);
        Safetensors whole = Safetensors.read(file);
        Map<String, String> metadata = new TreeMap<>(whole.metadata());
        metadata.put("kudari.checkpoint", evil);
        metadata.put("kudari", evil);
        resign(metadata, whole);
        unreadable("a checkpoint of form '\\u001b[2J");
    }

    @Test
    void aDamagedTensorIsNamed() throws IOException {
        new Run(t -> Adam.of(0.1)).steps(2).checkpoint().write(file);
        byte[] bytes = Files.readAllBytes(file);
        bytes[bytes.length - 1] ^= 1; // the last float of the last tensor
        Files.write(file, bytes);
        unreadable("damaged: tensor 'state/layer/b/Adam.v': expected floats of CRC-32C ");
    }

    @Test
    void noTruncatedCheckpointIsRead() throws IOException {
        new Run(t -> Adam.of(0.1)).steps(2).checkpoint().write(file);
        byte[] whole = Files.readAllBytes(file);
        for (int length = 0; length < whole.length; length++) {
            Files.write(file, Arrays.copyOf(whole, length));
            unreadable(file.toString());
        }
    }

    /** Bytes changed at random, one to four of them, anywhere: no such file is read. */
    @Test
    void noCheckpointWithChangedBytesIsRead() throws IOException {
        new Run(t -> Adam.of(0.1)).steps(2).checkpoint().write(file);
        byte[] whole = Files.readAllBytes(file);
        Random random = new Random(SEED);
        for (int n = 0; n < 2_000; n++) {
            byte[] changed = whole.clone();
            for (int k = random.nextInt(4); k >= 0; k--) {
                changed[random.nextInt(changed.length)] ^= (byte) (1 + random.nextInt(255));
            }
            if (Arrays.equals(whole, changed)) continue; // the same byte twice
            Files.write(file, changed);
            unreadable(file.toString());
        }
    }

    /** One bit of each byte in turn. */
    @Test
    void everyByteOfAFileCounts() throws IOException {
        new Run(t -> Sgd.of(0.1)).steps(2).checkpoint().write(file);
        byte[] whole = Files.readAllBytes(file);
        Random random = new Random(SEED);
        for (int at = 0; at < whole.length; at++) {
            byte[] changed = whole.clone();
            changed[at] ^= (byte) (1 << random.nextInt(8));
            Files.write(file, changed);
            unreadable(file.toString());
        }
    }

    private void unreadable(String words) {
        String message =
                assertThrows(IOException.class, () -> Checkpoint.read(file)).getMessage();
        assertTrue(message.contains(words), message);
        assertFalse(message.contains("\n"), message);
    }

    private static void refused(Executable call, String... words) {
        String message = assertThrows(IllegalArgumentException.class, call).getMessage();
        for (String word : words) assertTrue(message.contains(word), message);
    }

    private static void assertSame(Checkpoint expected, Checkpoint actual) {
        assertEquals(expected.steps(), actual.steps());
        assertEquals(expected.rule(), actual.rule());
        assertEquals(expected.tensors().keySet(), actual.tensors().keySet());
        expected.tensors().forEach((name, values) -> {
            float[] floats = actual.tensors().get(name).floats();
            for (int i = 0; i < floats.length; i++) {
                assertEquals(
                        Float.floatToRawIntBits(values.floats()[i]),
                        Float.floatToRawIntBits(floats[i]),
                        name + " " + i);
            }
        });
    }
}
