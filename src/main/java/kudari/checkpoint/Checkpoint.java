package kudari.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.zip.CRC32C;
import kudari.Optimizer;
import kudari.Tensor;
import kudari.checkpoint.Safetensors.Values;
import kudari.io.Say;

/**
 * A run as it stood after a step: all that another run needs to go on with the same bits, as if the first had never stopped.
 *
 * <pre>{@code
 * Checkpoint.of(adam, adam.skipped(), net.params(), Map.of("position", "600")).write(Path.of("model.safetensors"));
 * ...
 * Checkpoint saved = Checkpoint.read(Path.of("model.safetensors"));
 * saved.restore(adam, net.params());
 * sampler.seek(Long.parseLong(saved.facts().get("position")));
 * }</pre>
 *
 * <p>On disk it is a {@linkplain Safetensors safetensors file}, which other programs read too, with the tensors {@code params/W1}, {@code
 * state/W1/m} and so on. Its metadata holds steps, skipped, the rule (as {@code optimizer}), the facts, the version of Kudari, and a CRC-32C of
 * every tensor ({@code crc32c/params/W1}) and of the header ({@code crc32c}), so that a damaged file is told from a whole one.
 *
 * @param steps the number of steps done
 * @param skipped the number of steps left out, because the norm of the gradients was not finite
 * @param rule the rule of the step to come, as its record prints: {@code Adam[lr=0.001, beta1=0.9, …]}
 * @param facts what the run wants to know again, by names of its own
 * @param tensors by the names they have in the file
 */
public record Checkpoint(
        long steps, long skipped, String rule, SortedMap<String, String> facts, SortedMap<String, Values> tensors) {

    private static final String FORM = "kudari.checkpoint", VERSION = "kudari", CRC = "crc32c";
    private static final String STEPS = "steps", SKIPPED = "skipped", RULE = "optimizer";
    private static final List<String> OURS = List.of(FORM, VERSION, CRC, STEPS, SKIPPED, RULE);

    /** The form of the file that this version reads and writes. */
    private static final String THIS_FORM = "1";

    /** So many faults are told; a checkpoint of another network has one for every tensor. */
    private static final int TOLD = 8;

    /** The largest count that a file holds, in 18 digits. */
    private static final long MOST_STEPS = 999_999_999_999_999_999L;

    /** Copies the maps, and checks that all of it can be written and read again, and that the facts have names of their own. */
    public Checkpoint {
        checkCount(STEPS, steps);
        checkCount(SKIPPED, skipped);
        Safetensors.checkText("rule", rule);
        Safetensors content = Safetensors.of(facts, tensors);
        facts = content.metadata();
        tensors = content.tensors();
        for (String name : facts.keySet()) {
            if (isOurs(name))
                throw new IllegalArgumentException(
                        "fact " + Say.quoted(name) + ": the checkpoint itself uses this name");
        }
    }

    private static void checkCount(String what, long count) {
        if (count < 0 || count > MOST_STEPS)
            throw new IllegalArgumentException(what + ": expected 0 to " + MOST_STEPS + ", got " + count);
    }

    private static boolean isOurs(String name) {
        return OURS.contains(name) || name.startsWith(CRC + "/");
    }

    /**
     * The state of a run. Waits for the engine.
     *
     * @param optimizer which has the state of those of the parameters that it has updated; the others are saved without
     * @param skipped the number of steps left out over all of the run; {@link Optimizer#skipped} counts from where it resumed
     * @param params the parameters by name
     * @param facts what the run wants to know again
     * @throws IllegalArgumentException if a fact has no text, or a name that the checkpoint itself uses, or a count is negative or has more
     *     than 18 digits
     */
    public static Checkpoint of(
            Optimizer optimizer, long skipped, Map<String, Tensor> params, Map<String, String> facts) {
        SortedMap<String, Values> tensors = new TreeMap<>();
        Safetensors.sorted("params", params).forEach((name, param) -> {
            tensors.put(param(name), copy(param));
            stateOf(optimizer, name).forEach((array, tensor) -> tensors.put(state(name, array), copy(tensor)));
        });
        return new Checkpoint(
                optimizer.steps(), skipped, optimizer.rule().toString(), Safetensors.sorted("facts", facts), tensors);
    }

    /** The state of a parameter; nothing if no update has seen it, as where it is frozen, or before the first step. */
    private static Map<String, Tensor> stateOf(Optimizer optimizer, String name) {
        try {
            return optimizer.state(name);
        } catch (IllegalArgumentException e) {
            return Map.of();
        }
    }

    /**
     * Puts a run where this one stood: sets the parameters, the state and the step count. A parameter that was saved without state gets it
     * when an update first sees it, as it would have.
     *
     * @param optimizer of the same kind of rule; what it knew is forgotten
     * @param params the parameters by name, of the same shapes
     * @throws IllegalArgumentException if the kind of rule is another, or a tensor is missing, unknown or of another shape: the message names
     *     each, and nothing has changed then
     */
    public void restore(Optimizer optimizer, Map<String, Tensor> params) {
        List<String> arrays = optimizer.rule().state();
        Map<String, Tensor> expected = new TreeMap<>();
        // The parameters stand in for their state, whose shape they have: the optimizer copies what it is given, and
        // memory of a device would
        // otherwise be taken twice until the engine is closed.
        Map<String, Map<String, Tensor>> shapes = new HashMap<>();
        params.forEach((name, param) -> {
            expected.put(param(name), param);
            if (!hasState(name)) return;
            Map<String, Tensor> state = new LinkedHashMap<>();
            for (String array : arrays) {
                expected.put(state(name, array), param);
                state.put(array, param);
            }
            shapes.put(name, state);
        });
        List<String> faults = new ArrayList<>();
        String kind = optimizer.rule().getClass().getSimpleName();
        if (!rule.startsWith(kind + "[")) faults.add("expected the rule " + kind + ", got " + Say.quoted(rule));
        expected.forEach((name, like) -> {
            Values values = tensors.get(name);
            if (values == null) faults.add(Say.quoted(name) + " is missing");
            else if (!Arrays.equals(values.shape(), like.shape()))
                faults.add(Say.quoted(name) + ": expected shape " + Arrays.toString(like.shape()) + ", got "
                        + Arrays.toString(values.shape()));
        });
        for (String name : tensors.keySet()) {
            if (!expected.containsKey(name)) faults.add(Say.quoted(name) + " is not this run's");
        }
        if (!faults.isEmpty()) throw new IllegalArgumentException("the checkpoint does not fit: " + told(faults));

        optimizer.resume(steps, shapes);
        params.forEach((name, param) -> {
            stateOf(optimizer, name)
                    .forEach((array, tensor) ->
                            tensor.set(tensors.get(state(name, array)).floats()));
            param.set(tensors.get(param(name)).floats());
        });
    }

    /** Whether the parameter was saved with state, be it another rule's. */
    private boolean hasState(String name) {
        String prefix = state(name, "");
        SortedMap<String, Values> behind = tensors.tailMap(prefix);
        return !behind.isEmpty() && behind.firstKey().startsWith(prefix);
    }

    /**
     * Writes the file, whole or not at all.
     *
     * @throws IOException if it cannot be written; a file of that name stays as it was then
     * @see Safetensors#write
     */
    public void write(Path file) throws IOException {
        Map<String, String> metadata = new TreeMap<>(facts);
        String version = Checkpoint.class.getPackage().getImplementationVersion();
        metadata.put(FORM, THIS_FORM);
        metadata.put(VERSION, version == null ? "not from a jar" : version);
        metadata.put(STEPS, String.valueOf(steps));
        metadata.put(SKIPPED, String.valueOf(skipped));
        metadata.put(RULE, rule);
        for (Map.Entry<String, Values> tensor : tensors.entrySet())
            metadata.put(CRC + "/" + tensor.getKey(), crc(tensor.getValue()));
        metadata.put(CRC, crc(metadata, tensors));
        Safetensors.of(metadata, tensors).write(file);
    }

    /**
     * Reads a file that {@link #write} wrote.
     *
     * @throws IOException if it cannot be read, is damaged, or is no checkpoint of Kudari's; the message names the file and every tensor that
     *     is damaged
     */
    public static Checkpoint read(Path file) throws IOException {
        Safetensors content = Safetensors.read(file);
        Map<String, String> metadata = new TreeMap<>(content.metadata());
        String form = metadata.get(FORM), crc = metadata.remove(CRC);
        if (form == null || crc == null)
            throw new IOException(file + ": a safetensors file, but not a checkpoint of Kudari's: its metadata has no '"
                    + (form == null ? FORM : CRC) + "'");
        List<String> faults = new ArrayList<>();
        for (Map.Entry<String, Values> tensor : content.tensors().entrySet()) {
            String expected = metadata.get(CRC + "/" + tensor.getKey()), actual = crc(tensor.getValue());
            if (!actual.equals(expected))
                faults.add("tensor " + Say.quoted(tensor.getKey()) + ": expected floats of CRC-32C " + said(expected)
                        + ", got " + actual);
        }
        String actual = crc(metadata, content.tensors());
        if (!actual.equals(crc)) faults.add("the header: expected CRC-32C " + said(crc) + ", got " + actual);
        if (!faults.isEmpty()) throw new IOException(file + ": damaged: " + told(faults));
        if (!form.equals(THIS_FORM))
            throw new IOException(file + ": a checkpoint of form " + said(form) + ", of Kudari "
                    + said(metadata.get(VERSION)) + "; this version reads form " + THIS_FORM);

        SortedMap<String, String> facts = new TreeMap<>(metadata);
        facts.keySet().removeIf(Checkpoint::isOurs);
        String rule = metadata.get(RULE);
        if (rule == null) throw new IOException(file + ": its metadata has no '" + RULE + "'");
        return new Checkpoint(
                count(file, metadata, STEPS), count(file, metadata, SKIPPED), rule, facts, content.tensors());
    }

    private static long count(Path file, Map<String, String> metadata, String name) throws IOException {
        String text = metadata.get(name);
        if (text == null || !text.matches("\\d{1,18}"))
            throw new IOException(file + ": metadata '" + name + "': expected a number from 0 up, got " + said(text));
        return Long.parseLong(text);
    }

    /** What a file says, or that it says nothing. */
    private static String said(String text) {
        return text == null ? "none" : Say.quoted(text);
    }

    private static String param(String name) {
        return "params/" + name;
    }

    private static String state(String name, String array) {
        return "state/" + name + "/" + array;
    }

    private static Values copy(Tensor tensor) {
        return new Values(tensor.shape(), tensor.get());
    }

    private static String crc(Values values) {
        CRC32C crc = new CRC32C();
        try {
            values.pour(crc::update);
        } catch (IOException e) {
            throw new AssertionError(e); // a sum throws none
        }
        return hex(crc);
    }

    /** Of all that the file says beside the floats and this sum itself. */
    private static String crc(Map<String, String> metadata, Map<String, Values> tensors) {
        CRC32C crc = new CRC32C();
        crc.update(Safetensors.of(metadata, tensors).header());
        return hex(crc);
    }

    private static String hex(CRC32C crc) {
        return String.format("%08x", crc.getValue());
    }

    private static String told(List<String> faults) {
        List<String> first = faults.subList(0, Math.min(TOLD, faults.size()));
        return String.join("; ", first) + (faults.size() > TOLD ? "; and " + (faults.size() - TOLD) + " more" : "");
    }
}
