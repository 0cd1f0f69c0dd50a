package kudari.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.Constructor;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeSet;
import kudari.Dtype;
import kudari.Engine;
import kudari.Optimizer;
import kudari.Tensor;
import kudari.checkpoint.Checkpoint;
import kudari.rule.Adam;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FSError;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.util.Progressable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class ShardedCheckpointsTest {

    @TempDir
    Path folder;

    private final Engine engine = Engine.cpu(1);
    private final Map<String, Tensor> params = new LinkedHashMap<>(), grads = new LinkedHashMap<>();
    private final Optimizer adam = engine.optimizer(Adam.of(0.1));
    private ShardedCheckpoints checkpoints;

    @BeforeEach
    void train() throws IOException {
        checkpoints = new ShardedCheckpoints(folder.toUri().toString(), new Configuration());
        for (int n = 0; n < 5; n++) {
            params.put("w" + n, engine.tensor(new float[] {n, 2 * n, -n}));
            grads.put("w" + n, engine.tensor(new float[] {1, -n, 0.5f}));
        }
        adam.update(params, grads);
    }

    @AfterEach
    void close() {
        engine.close();
    }

    /** As the ranks of an attempt do, and rank 0 at last. */
    private void save(long attempt, long step, int size) throws IOException {
        write(attempt, step, size);
        checkpoints.commit(attempt, step, size);
    }

    private void write(long attempt, long step, int size) throws IOException {
        for (int r = 0; r < size; r++) {
            Checkpoint part = Checkpoint.of(adam, ShardedCheckpoints.shard(params, r, size), Map.of("fact", "told"));
            checkpoints.write(attempt, step, r, size, part);
        }
    }

    private static String at(long attempt, long step) {
        return String.format("attempt-%010d/step-%010d", attempt, step);
    }

    @Test
    void everyParameterIsInOnePart() {
        for (int size = 1; size <= 7; size++) {
            TreeSet<String> names = new TreeSet<>();
            int count = 0;
            for (int r = 0; r < size; r++) {
                SortedMap<String, Tensor> part = ShardedCheckpoints.shard(params, r, size);
                names.addAll(part.keySet());
                count += part.size();
                assertTrue(part.size() <= Math.ceil(5.0 / size), size + ": " + part.keySet());
            }
            assertEquals(new TreeSet<>(params.keySet()), names);
            assertEquals(5, count);
        }
    }

    @Test
    void partsPutTogetherAreTheWhole() throws IOException {
        Checkpoint whole = Checkpoint.of(adam, params, Map.of("fact", "told"));
        for (int size : new int[] {1, 2, 7}) { // of seven, some have no parameter
            long attempt = checkpoints.begin(Optional.empty());
            save(attempt, 1, size);
            Checkpoint read = checkpoints.read(at(attempt, 1));
            assertEquals(whole.counts(), read.counts());
            assertEquals(whole.rule(), read.rule());
            assertEquals(whole.facts(), read.facts());
            assertEquals(whole.tensors().keySet(), read.tensors().keySet());
            whole.tensors()
                    .forEach((name, values) -> assertArrayEquals(
                            values.floats(), read.tensors().get(name).floats()));
        }
    }

    @Test
    void whatIsNotCommittedIsNotThere() throws IOException {
        assertEquals(Optional.empty(), checkpoints.newest());
        assertEquals(1, checkpoints.begin(Optional.empty()));
        save(1, 10, 2);
        write(1, 20, 2);
        assertEquals(Optional.of(at(1, 10)), checkpoints.newest());
        checkpoints.commit(1, 20, 2);
        assertEquals(Optional.of(at(1, 20)), checkpoints.newest());
    }

    @Test
    void whatAnAttemptCommitsThatWasTakenForDeadDoesNotCount() throws IOException {
        checkpoints.begin(Optional.empty());
        save(1, 10, 2);
        write(1, 20, 2);
        assertEquals(2, checkpoints.begin(checkpoints.newest()));
        checkpoints.commit(1, 20, 2); // attempt 1 thaws
        assertEquals(Optional.of(at(1, 10)), checkpoints.newest());
        checkpoints.read(at(1, 10)); // and has not taken away what attempt 2 goes on from
        save(2, 15, 2);
        save(1, 30, 2);
        assertEquals(Optional.of(at(2, 15)), checkpoints.newest());
    }

    @Test
    void anAttemptThatNobodyBeganDoesNotCount() throws IOException {
        checkpoints.begin(Optional.empty());
        save(1, 10, 1);
        // The driver died before, or while, it said what the attempt goes on from.
        Files.createDirectories(folder.resolve("attempt-0000000002"));
        assertEquals(Optional.of(at(1, 10)), checkpoints.newest());
        Files.createDirectories(folder.resolve("attempt-0000000003"));
        Files.writeString(folder.resolve("attempt-0000000003/_FROM"), "attempt-00");
        assertEquals(Optional.of(at(1, 10)), checkpoints.newest());
        assertEquals(4, checkpoints.begin(checkpoints.newest()));
        assertEquals(Optional.of(at(1, 10)), checkpoints.newest());
    }

    @Test
    void twoOfAnAttemptAreKeptAndWhatTheNextGoesOnFrom() throws IOException {
        checkpoints.begin(Optional.empty());
        for (long step = 10; step <= 40; step += 10) save(1, step, 2);
        assertEquals(
                new TreeSet<>(List.of("_FROM", "step-0000000030", "step-0000000040")), names("attempt-0000000001"));
        checkpoints.begin(checkpoints.newest());
        save(2, 50, 2);
        checkpoints.begin(checkpoints.newest());
        assertEquals(new TreeSet<>(List.of("attempt-0000000002", "attempt-0000000003")), names("."));
        checkpoints.read(checkpoints.newest().orElseThrow());
    }

    private TreeSet<String> names(String in) throws IOException {
        TreeSet<String> names = new TreeSet<>();
        try (var files = Files.list(folder.resolve(in))) {
            files.map(file -> file.getFileName().toString())
                    .filter(name -> !name.endsWith(".crc"))
                    .forEach(names::add);
        }
        return names;
    }

    @Test
    void twoDriversDoNotGetTheSameAttempt() throws IOException {
        ShardedCheckpoints other = new ShardedCheckpoints(folder.toUri().toString(), new Configuration());
        assertEquals(1, checkpoints.begin(Optional.empty()));
        assertEquals(2, other.begin(Optional.empty()));
        assertEquals(3, checkpoints.begin(Optional.empty()));
    }

    @Test
    void whoseFolderAnotherHasTakenOverIsToldSoAndLeavesIt() throws IOException {
        checkpoints.begin(Optional.empty());
        save(1, 10, 2);
        assertEquals(Optional.of(at(1, 10)), checkpoints.newest(1));
        ShardedCheckpoints other = new ShardedCheckpoints(folder.toUri().toString(), new Configuration());
        other.begin(Optional.empty());
        save(2, 3, 2);
        IOException e = assertThrows(IOException.class, () -> checkpoints.newest(1));
        assertTrue(
                e.getMessage()
                        .endsWith(
                                "another job has begun attempt 2 here, after attempt 1 of this one; give each a folder of its own"),
                e.getMessage());
        checkpoints.remove(1);
        assertEquals(Optional.of(at(2, 3)), other.newest(2));
        other.remove(2);
        assertTrue(Files.notExists(folder));
    }

    @Test
    void aDamagedOrMissingPartIsNamed() throws IOException {
        checkpoints.begin(Optional.empty());
        save(1, 1, 2);
        Path part = folder.resolve(at(1, 1)).resolve("part-00001-of-00002.safetensors");
        byte[] bytes = Files.readAllBytes(part);
        bytes[bytes.length - 1] ^= 1;
        Files.delete(part.resolveSibling("." + part.getFileName() + ".crc")); // Hadoop's own
        Files.write(part, bytes);
        IOException damaged = assertThrows(IOException.class, () -> checkpoints.read(at(1, 1)));
        assertTrue(damaged.getMessage().contains("part-00001-of-00002.safetensors"), damaged.getMessage());
        assertTrue(damaged.getMessage().contains("damaged"), damaged.getMessage());
        assertTrue(!damaged.getMessage().contains("kudari-"), damaged.getMessage()); // the copy that was read
        Files.delete(part);
        IOException missing = assertThrows(IOException.class, () -> checkpoints.read(at(1, 1)));
        assertTrue(missing.getMessage().contains("expected the 2 parts of a checkpoint, got 1;"), missing.getMessage());
        Files.delete(part.resolveSibling("part-00000-of-00002.safetensors"));
        IOException alone = assertThrows(IOException.class, () -> checkpoints.read(at(1, 1)));
        assertTrue(alone.getMessage().contains("expected the parts of a checkpoint, got none;"), alone.getMessage());
    }

    @Test
    void partsOfDifferentCheckpointsAreRefused() throws IOException {
        SortedMap<String, Tensor> one = ShardedCheckpoints.shard(params, 0, 2),
                other = ShardedCheckpoints.shard(params, 1, 2);
        checkpoints.write(1, 1, 0, 2, Checkpoint.of(adam, one, Map.of("fact", "told")));
        checkpoints.write(1, 1, 1, 2, Checkpoint.of(adam, other, Map.of("fact", "another")));
        IOException facts = assertThrows(IOException.class, () -> checkpoints.read(at(1, 1)));
        assertTrue(facts.getMessage().contains("the parts are of different checkpoints"), facts.getMessage());
        adam.update(params, grads);
        checkpoints.write(1, 1, 1, 2, Checkpoint.of(adam, other, Map.of("fact", "told")));
        IOException counts = assertThrows(IOException.class, () -> checkpoints.read(at(1, 1)));
        assertTrue(counts.getMessage().contains("the parts are of different checkpoints"), counts.getMessage());
    }

    @Test
    void stepsOfMoreThanTenDigitsAreInOrder() throws IOException {
        checkpoints.begin(Optional.empty());
        save(1, 9_999_999_999L, 1);
        save(1, 10_000_000_000L, 1);
        assertEquals(Optional.of("attempt-0000000001/step-10000000000"), checkpoints.newest());
    }

    /** A file system whose renames fail without an exception, as Hadoop's may. */
    public static final class NoRenames extends RawLocalFileSystem {

        @Override
        public URI getUri() {
            return URI.create("norenames:///");
        }

        @Override
        public boolean rename(org.apache.hadoop.fs.Path from, org.apache.hadoop.fs.Path to) {
            return false;
        }
    }

    @Test
    void aPartThatCannotBeRenamedIsNotThoughtWritten() throws IOException {
        Configuration configuration = new Configuration();
        configuration.setClass("fs.norenames.impl", NoRenames.class, FileSystem.class);
        ShardedCheckpoints at = new ShardedCheckpoints("norenames://" + folder, configuration);
        IOException e =
                assertThrows(IOException.class, () -> at.write(1, 1, 0, 1, Checkpoint.of(adam, params, Map.of())));
        assertTrue(e.getMessage().startsWith("cannot rename norenames:" + folder), e.getMessage());
    }

    /** A disk that is full, which Hadoop tells by an Error. */
    public static final class FullDisk extends RawLocalFileSystem {

        @Override
        public URI getUri() {
            return URI.create("full:///");
        }

        @Override
        public FSDataOutputStream create(
                org.apache.hadoop.fs.Path file,
                boolean overwrite,
                int buffer,
                short replication,
                long block,
                Progressable progress)
                throws IOException {
            OutputStream full = new OutputStream() {
                @Override
                public void write(int b) throws IOException {
                    try {
                        Constructor<FSError> error = FSError.class.getDeclaredConstructor(Throwable.class);
                        error.setAccessible(true);
                        throw error.newInstance(new IOException("No space left on device"));
                    } catch (ReflectiveOperationException e) {
                        throw new IOException(e);
                    }
                }
            };
            return new FSDataOutputStream(full, null);
        }
    }

    @Test
    void aFullDiskIsAnExceptionThatNamesTheFile() throws IOException {
        Configuration configuration = new Configuration();
        configuration.setClass("fs.full.impl", FullDisk.class, FileSystem.class);
        ShardedCheckpoints full = new ShardedCheckpoints("full://" + folder, configuration);
        for (Executable write : List.<Executable>of(
                () -> full.begin(Optional.empty()),
                () -> full.write(1, 1, 0, 1, Checkpoint.of(adam, params, Map.of())),
                () -> full.commit(1, 1, 1))) {
            IOException e = assertThrows(IOException.class, write);
            assertTrue(e.getMessage().startsWith("cannot write full:" + folder), e.getMessage());
            assertTrue(e.getMessage().endsWith(": No space left on device"), e.getMessage());
        }
    }

    /** A frozen one is nobody's, and no optimizer looks at its type. */
    @Test
    void aParameterOfAnotherTypeIsRefused() {
        Checkpoint saved = Checkpoint.of(adam, params, Map.of());
        ShardedCheckpoints.check(saved, params);
        Map<String, Tensor> other = Map.of("w1", engine.zeros(Dtype.BF16, 3));
        String message = assertThrows(IllegalArgumentException.class, () -> ShardedCheckpoints.check(saved, other))
                .getMessage();
        assertEquals(
                "the checkpoint does not fit: 'w1': expected BF16[3], got F32[3]; a run goes on with the names, shapes and types that it was saved with",
                message);
        assertThrows(
                IllegalArgumentException.class,
                () -> ShardedCheckpoints.check(saved, Map.of("w1", engine.zeros(3, 1))));
        assertThrows(
                IllegalArgumentException.class, () -> ShardedCheckpoints.check(saved, Map.of("x", engine.zeros(3))));
    }
}
