package kudari.spark;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import kudari.Tensor;
import kudari.checkpoint.Checkpoint;
import kudari.checkpoint.Safetensors.Values;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSError;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;

/**
 * The checkpoints of a job in a folder of any file system of Hadoop's, in parts:
 *
 * <pre>
 *   attempt-0000000002/_FROM                                      the checkpoint that the attempt goes on from, or nothing; ends in a newline
 *   attempt-0000000002/step-0000000600/part-00000-of-00003.safetensors
 *   attempt-0000000002/step-0000000600/_SUCCESS                   all parts are there</pre>
 *
 * <p>Only what the newest attempt committed counts, or what it goes on from: a process of an attempt before that was taken for dead, and was not, may
 * write what it likes. At most one more commit can come from it, for its peers are gone; so it removes nothing that is still needed, for two are kept.
 */
public final class ShardedCheckpoints {

    private static final String FROM = "_FROM", SUCCESS = "_SUCCESS";
    private static final Pattern ATTEMPT = Pattern.compile("attempt-(\\d{10})"),
            STEP = Pattern.compile("step-(\\d{10,18})"),
            PART = Pattern.compile("part-(\\d{5})-of-(\\d{5})\\.safetensors");

    /** Of one attempt, so many are kept. */
    private static final int KEPT = 2;

    private final Path folder;
    private final FileSystem files;

    /**
     * The checkpoints of a folder.
     *
     * @param folder as in {@code hdfs://host/models/digits} or {@code /shared/models/digits}; it need not exist
     * @throws IOException if there is no such file system
     */
    public ShardedCheckpoints(String folder, Configuration configuration) throws IOException {
        this.folder = new Path(folder);
        files = this.folder.getFileSystem(configuration);
    }

    /**
     * Claims the number of the next attempt, which goes on from the newest checkpoint there is.
     *
     * @throws IOException if the folder cannot be written, or another driver claims the same number
     */
    long begin(Optional<String> from) throws IOException {
        List<Long> numbers = numbers(folder, ATTEMPT);
        long attempt = numbers.isEmpty() ? 1 : numbers.get(numbers.size() - 1) + 1;
        create(new Path(attempt(attempt), FROM), false, out -> out.write((from.orElse("") + "\n").getBytes(UTF_8)));
        for (long old : numbers) {
            if (from.isPresent() && from.get().startsWith(attempt(old).getName() + "/")) continue;
            files.delete(attempt(old), true);
        }
        return attempt;
    }

    /**
     * The newest checkpoint that counts, as {@link #read} takes it; none if there is none.
     *
     * @throws IOException if the folder cannot be read
     */
    public Optional<String> newest() throws IOException {
        List<Long> attempts = new ArrayList<>(numbers(folder, ATTEMPT));
        Collections.reverse(attempts);
        for (long attempt : attempts) {
            List<Long> steps = new ArrayList<>(numbers(attempt(attempt), STEP));
            Collections.reverse(steps);
            for (long step : steps) {
                Path at = step(attempt, step);
                if (files.exists(new Path(at, SUCCESS)))
                    return Optional.of(attempt(attempt).getName() + "/" + at.getName());
            }
            Optional<String> from = from(attempt);
            if (from.isPresent()) return from.filter(text -> !text.isEmpty());
        }
        return Optional.empty();
    }

    /**
     * The same for the job of an attempt, to which the folder belongs until another job begins one.
     *
     * @throws IOException if another has, or the folder cannot be read
     */
    public Optional<String> newest(long attempt) throws IOException {
        List<Long> attempts = numbers(folder, ATTEMPT);
        long last = attempts.isEmpty() ? attempt : attempts.get(attempts.size() - 1);
        if (last > attempt)
            throw new IOException(folder + ": another job has begun attempt " + last + " here, after attempt " + attempt
                    + " of this one; give each a folder of its own");
        return newest();
    }

    /** What an attempt goes on from; none if the driver did not live to say so, and nobody has begun. */
    private Optional<String> from(long attempt) throws IOException {
        try (InputStream in = files.open(new Path(attempt(attempt), FROM))) {
            String text = new String(in.readAllBytes(), UTF_8);
            return text.endsWith("\n") ? Optional.of(text.strip()) : Optional.empty();
        } catch (FileNotFoundException e) {
            return Optional.empty();
        }
    }

    /**
     * Has the next attempt begin with this, whatever there was.
     *
     * @param whole none to begin at the beginning
     * @return the number of the attempt before that one
     * @throws IOException if the folder cannot be written
     */
    public long seed(Optional<Checkpoint> whole) throws IOException {
        long attempt = begin(Optional.empty());
        if (whole.isEmpty()) return attempt;
        long step = whole.get().steps() + whole.get().skipped();
        write(attempt, step, 0, 1, whole.get());
        commit(attempt, step, 1);
        return attempt;
    }

    /**
     * Removes the attempts up to one, the last of a job, and the folder if nothing else is in it.
     *
     * @throws IOException if something cannot be removed
     */
    public void remove(long last) throws IOException {
        for (long attempt : numbers(folder, ATTEMPT)) if (attempt <= last) files.delete(attempt(attempt), true);
        if (files.exists(folder) && files.listStatus(folder).length == 0) files.delete(folder, false);
    }

    /** Writes a part, whole or not at all. */
    void write(long attempt, long step, int rank, int size, Checkpoint part) throws IOException {
        Path to = new Path(step(attempt, step), name(rank, size));
        Path halfWritten = new Path(step(attempt, step), "." + name(rank, size));
        java.nio.file.Path local = Files.createTempFile("kudari-", ".safetensors");
        try {
            part.write(local);
            create(halfWritten, true, out -> Files.copy(local, out));
        } finally {
            Files.deleteIfExists(local);
        }
        if (!files.rename(halfWritten, to)) throw new IOException("cannot rename " + halfWritten + " to " + to);
    }

    /** What is written into a file. */
    private interface Content {
        void write(OutputStream out) throws IOException;
    }

    private void create(Path file, boolean overwrite, Content content) throws IOException {
        try (OutputStream out = files.create(file, overwrite)) {
            content.write(out);
        } catch (FSError e) { // of a full disk, say
            throw new IOException("cannot write " + file + ": " + e.getCause().getMessage(), e);
        }
    }

    /** Says that all parts are there, and removes what is older than the last. */
    void commit(long attempt, long step, int size) throws IOException {
        create(new Path(step(attempt, step), SUCCESS), true, out -> out.write((size + "\n").getBytes(UTF_8)));
        List<Long> steps = numbers(attempt(attempt), STEP);
        for (long old : steps.subList(0, Math.max(0, steps.size() - KEPT))) files.delete(step(attempt, old), true);
    }

    /**
     * Reads a checkpoint and puts its parts together.
     *
     * @param checkpoint as {@link #newest} gives it
     * @throws IOException if a part is missing or damaged, or parts are not of one checkpoint
     */
    public Checkpoint read(String checkpoint) throws IOException {
        Path at = new Path(folder, checkpoint);
        List<Checkpoint> parts = new ArrayList<>();
        int expected = 0;
        FileStatus[] there = files.listStatus(at);
        Arrays.sort(there);
        for (FileStatus file : there) {
            Matcher part = PART.matcher(file.getPath().getName());
            if (!part.matches()) continue;
            expected = Integer.parseInt(part.group(2));
            parts.add(readPart(file.getPath()));
        }
        if (parts.isEmpty() || parts.size() != expected)
            throw new IOException(at + ": expected the " + (expected == 0 ? "" : expected + " ")
                    + "parts of a checkpoint, got " + (parts.isEmpty() ? "none" : parts.size())
                    + "; without this folder, ranks go on from the checkpoint before it");
        return joined(at, parts);
    }

    private Checkpoint readPart(Path file) throws IOException {
        java.nio.file.Path local = Files.createTempFile("kudari-", ".safetensors");
        try {
            try (InputStream in = files.open(file)) {
                Files.copy(in, local, StandardCopyOption.REPLACE_EXISTING);
            }
            return Checkpoint.read(local);
        } catch (FileNotFoundException e) {
            throw e; // which names the file
        } catch (IOException e) {
            String message = String.valueOf(e.getMessage());
            throw new IOException(file + ": " + message.replace(local + ": ", ""), e);
        } finally {
            Files.deleteIfExists(local);
        }
    }

    private static Checkpoint joined(Path at, List<Checkpoint> parts) throws IOException {
        SortedMap<String, Values> tensors = new TreeMap<>();
        TreeSet<String> rules = new TreeSet<>();
        Checkpoint first = parts.get(0);
        for (Checkpoint part : parts) {
            if (!part.counts().equals(first.counts()) || !part.facts().equals(first.facts()))
                throw new IOException(at + ": the parts are of different checkpoints: " + part.counts() + " "
                        + part.facts() + " and " + first.counts() + " " + first.facts());
            tensors.putAll(part.tensors());
            if (!part.rule().isEmpty()) rules.addAll(Arrays.asList(part.rule().split("; ")));
        }
        return new Checkpoint(first.counts(), String.join("; ", rules), first.facts(), tensors);
    }

    /** The parameters that a rank writes: of about as many elements as the other ranks'. */
    static SortedMap<String, Tensor> shard(Map<String, Tensor> params, int rank, int size) {
        long all = params.values().stream().mapToLong(Tensor::size).sum(), before = 0;
        SortedMap<String, Tensor> mine = new TreeMap<>();
        for (Map.Entry<String, Tensor> param : new TreeMap<>(params).entrySet()) {
            long elements = param.getValue().size();
            // By where its middle lies.
            double middle = (before + elements / 2.0) / Math.max(1, all);
            if ((int) Math.min(size - 1, middle * size) == rank) mine.put(param.getKey(), param.getValue());
            before += elements;
        }
        return mine;
    }

    /** What a checkpoint says of some parameters. */
    static Checkpoint only(Checkpoint whole, Set<String> names) {
        SortedMap<String, Values> tensors = new TreeMap<>();
        whole.tensors().forEach((key, values) -> {
            // params/NAME, or state/NAME/ARRAY, and there may be strokes in a name, but not in an array's.
            String name = key.substring(key.indexOf('/') + 1);
            if (key.startsWith("state/")) name = name.substring(0, name.lastIndexOf('/'));
            if (names.contains(name)) tensors.put(key, values);
        });
        return new Checkpoint(whole.counts(), whole.rule(), whole.facts(), tensors);
    }

    /** Throws if a checkpoint has not these parameters, of their shapes and types. */
    static void check(Checkpoint whole, Map<String, Tensor> params) {
        for (Map.Entry<String, Tensor> param : new TreeMap<>(params).entrySet()) {
            Tensor tensor = param.getValue();
            Values values = whole.tensors().get("params/" + param.getKey());
            if (values == null || values.dtype() != tensor.dtype() || !Arrays.equals(values.shape(), tensor.shape()))
                throw new IllegalArgumentException("the checkpoint does not fit: '" + param.getKey() + "': expected "
                        + tensor.dtype() + Arrays.toString(tensor.shape()) + ", got "
                        + (values == null ? "none" : values.dtype() + Arrays.toString(values.shape()))
                        + "; a run goes on with the names, shapes and types that it was saved with");
        }
    }

    /** Puts parameters where a checkpoint has them, without state. */
    static void restore(Checkpoint whole, Map<String, Tensor> params) {
        params.forEach(
                (name, param) -> param.set(whole.tensors().get("params/" + name).floats()));
    }

    /** The numbers in the names of what is in a folder, from the lowest up. */
    private List<Long> numbers(Path in, Pattern name) throws IOException {
        FileStatus[] there;
        try {
            there = files.listStatus(in);
        } catch (FileNotFoundException e) {
            return List.of();
        }
        return Arrays.stream(there)
                .map(file -> name.matcher(file.getPath().getName()))
                .filter(Matcher::matches)
                .map(matcher -> Long.valueOf(matcher.group(1)))
                .sorted()
                .collect(Collectors.toList());
    }

    private Path attempt(long attempt) {
        return new Path(folder, String.format(Locale.ROOT, "attempt-%010d", attempt));
    }

    private Path step(long attempt, long step) {
        return new Path(attempt(attempt), String.format(Locale.ROOT, "step-%010d", step));
    }

    private static String name(int rank, int size) {
        return String.format(Locale.ROOT, "part-%05d-of-%05d.safetensors", rank, size);
    }
}
