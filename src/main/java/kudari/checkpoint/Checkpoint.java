package kudari.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.zip.CRC32C;
import kudari.Counts;
import kudari.Dtype;
import kudari.LossScale;
import kudari.Optimizer;
import kudari.StateArray;
import kudari.Tensor;
import kudari.checkpoint.Safetensors.Values;
import kudari.io.Say;
import kudari.rule.CustomRule;
import kudari.rule.Rule;

/**
 * A run as it stood after a step: all that another run needs to go on with the same bits, as if the first had never stopped.
 *
 * <pre>{@code
 * Checkpoint.of(adam, net.params(), Map.of("position", "600")).write(Path.of("model.safetensors"));
 * ...
 * Checkpoint saved = Checkpoint.read(Path.of("model.safetensors"));
 * saved.restore(adam, net.params());
 * sampler.seek(Long.parseLong(saved.facts().get("position")));
 * }</pre>
 *
 * <p>On disk it is a {@linkplain Safetensors safetensors file}, which other programs read too, with the tensors {@code params/W1}, {@code
 * state/W1/Adam.m} and so on, so that state that means something else has another name. Its metadata holds the counts ({@code steps}, {@code
 * skipped}, {@code groups}, and {@code lossScale} where there is one), the rules (as {@code optimizer}), the facts, the version of Kudari, and a CRC-32C of
 * every tensor ({@code crc32c/params/W1}) and of the header ({@code crc32c}), so that a damaged file is told from a whole one.
 *
 * @param counts the steps done and left out
 * @param rule the rules of the last step, as their records print, {@code Adam[lr=0.001, beta1=0.9, …]}, for people who look into the file
 * @param facts what the run wants to know again, by names of its own
 * @param tensors by the names they have in the file
 */
public record Checkpoint(
        Counts counts, String rule, SortedMap<String, String> facts, SortedMap<String, Values> tensors) {

    private static final String FORM = "kudari.checkpoint", VERSION = "kudari", CRC = "crc32c";
    private static final String STEPS = "steps",
            SKIPPED = "skipped",
            GROUPS = "groups",
            RULE = "optimizer",
            LOSS_SCALE = "lossScale";
    private static final List<String> OURS = List.of(FORM, VERSION, CRC, STEPS, SKIPPED, GROUPS, RULE, LOSS_SCALE);

    /** The form of the file that this version reads and writes. */
    private static final String THIS_FORM = "2";

    /** So many faults are told; a checkpoint of another network has one for every tensor. */
    private static final int TOLD = 8;

    /** Copies the maps, and checks that all of it can be written and read again, and that the facts have names of their own. */
    public Checkpoint {
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

    private static boolean isOurs(String name) {
        return OURS.contains(name) || name.startsWith(CRC + "/");
    }

    /**
     * The state of a run. Waits for the engine.
     *
     * @param optimizer which has the state of those of the parameters that it has updated; the others are saved without
     * @param params the parameters by name
     * @param facts what the run wants to know again
     * @throws IllegalArgumentException if a fact has no text, or a name that the checkpoint itself uses
     * @throws IllegalStateException within {@link Optimizer#evaluating}, when the parameters are not those that train; or if a step has failed half done
     */
    public static Checkpoint of(Optimizer optimizer, Map<String, Tensor> params, Map<String, String> facts) {
        if (optimizer.isEvaluating())
            throw new IllegalStateException(
                    "a checkpoint: expected parameters that hold what trains, got an open evaluation, in which they hold what is to be used;"
                            + " close it first");
        SortedMap<String, Values> tensors = new TreeMap<>();
        SortedSet<String> rules = new TreeSet<>();
        Safetensors.sorted("params", params).forEach((name, param) -> {
            tensors.put(param(name), copy(param));
            optimizer.rule(name, param).ifPresent(rule -> {
                rules.add(rule.toString());
                if (!optimizer.knows(name)) return;
                optimizer.state(name).forEach((array, tensor) -> tensors.put(state(name, rule, array), copy(tensor)));
            });
        });
        return new Checkpoint(
                optimizer.counts(), String.join("; ", rules), Safetensors.sorted("facts", facts), tensors);
    }

    /** The number of steps done. */
    public long steps() {
        return counts.steps();
    }

    /** The number of steps left out because a gradient was not finite. */
    public long skipped() {
        return counts.skipped();
    }

    /**
     * Puts a run where this one stood: sets the parameters, the state and the counts. A parameter that was saved without state gets it
     * when an update first sees it, as it would have. What hyperparameters the run had, its learning rate or the seed of its {@linkplain
     * kudari.Master#stochastic stochastic rounding}, is the program's to say again: with others the run goes on by those.
     *
     * @param optimizer of the same kinds of rules in as many groups; what it knew is forgotten
     * @param params the parameters by name, of the same shapes and types
     * @throws IllegalArgumentException if a tensor is missing, unknown or of another shape or type, or there are more or fewer groups: the message names
     *     each, and nothing has changed then
     */
    public void restore(Optimizer optimizer, Map<String, Tensor> params) {
        Fit fit = fit(optimizer, params);
        if (!fit.faults.isEmpty())
            throw new IllegalArgumentException("the checkpoint does not fit: " + told(fit.faults)
                    + "; a run goes on with the names, shapes, types and groups that it was saved with, or in part, by"
                    + " restoreWhatFits");
        restore(optimizer, params, fit, counts);
    }

    /**
     * Restores what fits, as where a part of a network is new: parameters of the same name, shape and type, and the state of those whose rule is of the
     * same kind. The others stay as they are, and get new state; so does a master, a remainder or an average that the run had not. Where there are as many groups, their counts are restored; otherwise each goes on
     * after as many steps as the run had done. A loss scale that the run had not stays as it is.
     *
     * @return what was left, a sentence for each tensor; empty if all of it fits
     */
    public List<String> restoreWhatFits(Optimizer optimizer, Map<String, Tensor> params) {
        Fit fit = fit(optimizer, params);
        int groups = (int) optimizer.groups().stream()
                .filter(group -> group.schedule().isPresent())
                .count();
        List<Long> each = groups == counts.groups().size() ? counts.groups() : Collections.nCopies(groups, steps());
        Optional<LossScale.State> scale =
                optimizer.lossScale().map(own -> counts.lossScale().orElseGet(own::state));
        restore(optimizer, params, fit, new Counts(steps(), skipped(), each, scale));
        return fit.faults;
    }

    /** What of this fits: the tensors of the file; and the parameters whose state is among them, with their rules. */
    private record Fit(Set<String> values, Map<String, Rule> rules, List<String> faults) {}

    /** What a tensor of the file has to be like. */
    private record Like(Dtype dtype, long[] shape) {}

    private Fit fit(Optimizer optimizer, Map<String, Tensor> params) {
        Map<String, Like> expected = new TreeMap<>();
        Map<String, Rule> rules = new HashMap<>();
        params.forEach((name, param) -> {
            expected.put(param(name), new Like(param.dtype(), param.shape()));
            if (!hasState(name)) return;
            optimizer.rule(name, param).ifPresent(rule -> {
                rules.put(name, rule);
                for (StateArray array : optimizer.stateArrays(name, param))
                    expected.put(state(name, rule, array.name()), new Like(array.dtype(), array.shape()));
            });
        });
        List<String> faults = new ArrayList<>();
        Set<String> fitting = new TreeSet<>();
        expected.forEach((name, like) -> {
            Values values = tensors.get(name);
            if (values == null) faults.add(Say.quoted(name) + " is missing");
            else if (!Arrays.equals(values.shape(), like.shape()))
                faults.add(Say.quoted(name) + ": expected shape " + Arrays.toString(like.shape()) + ", got "
                        + Arrays.toString(values.shape()));
            else if (values.dtype() != like.dtype())
                faults.add(Say.quoted(name) + ": expected " + like.dtype() + ", got " + values.dtype());
            else fitting.add(name);
        });
        boolean scales = optimizer.lossScale().isPresent();
        if (scales && counts.lossScale().isEmpty())
            faults.add("the loss scale is missing: expected where the optimizer's goes on, got a run that had none");
        if (!scales && counts.lossScale().isPresent())
            faults.add("the loss scale: expected an optimizer that has one, by Optimizer.lossScale, as the run had, got"
                    + " one without");
        for (String name : tensors.keySet()) {
            if (!expected.containsKey(name)) faults.add(Say.quoted(name) + " is not this run's");
        }
        // Of another type it may have state that fits, with a master that would take its place.
        rules.keySet().removeIf(name -> !fitting.contains(param(name)));
        rules.entrySet().removeIf(entry -> !optimizer.stateArrays(entry.getKey(), params.get(entry.getKey())).stream()
                .filter(array -> array.isOf(entry.getValue()))
                .allMatch(array -> fitting.contains(state(entry.getKey(), entry.getValue(), array.name()))));
        return new Fit(fitting, rules, faults);
    }

    private void restore(Optimizer optimizer, Map<String, Tensor> params, Fit fit, Counts counts) {
        List<Tensor> made = new ArrayList<>();
        try {
            Map<String, Map<String, Tensor>> state = new HashMap<>();
            fit.rules.forEach((name, rule) -> state.put(name, placeholders(name, params.get(name), optimizer, made)));
            optimizer.resume(counts, state);
        } finally {
            made.forEach(Tensor::close);
        }
        params.forEach((name, param) -> {
            if (fit.values.contains(param(name)))
                param.set(tensors.get(param(name)).floats());
        });
        fit.rules.forEach((name, rule) -> {
            if (!optimizer.knows(name)) return; // there is no state
            optimizer.state(name).forEach((array, tensor) -> {
                String saved = state(name, rule, array);
                if (fit.values.contains(saved)) tensor.set(tensors.get(saved).floats());
                else if (tensor.dtype() == Dtype.F32)
                    tensor.set(params.get(name)); // a master or an average that was not saved begins as the parameter
                else tensor.zero(); // a remainder, as nothing
            });
        });
    }

    /** What stands in for state, which the optimizer copies: the parameter, where it has the shape and the type, or a tensor made for it. */
    private static Map<String, Tensor> placeholders(String name, Tensor param, Optimizer optimizer, List<Tensor> made) {
        Map<String, Tensor> arrays = new LinkedHashMap<>();
        for (StateArray like : optimizer.stateArrays(name, param)) {
            Tensor array = param;
            if (!Arrays.equals(like.shape(), param.shape()) || param.dtype() != like.dtype())
                made.add(array = optimizer.engine().zeros(like.dtype(), like.shape()));
            arrays.put(like.name(), array);
        }
        return arrays;
    }

    /** Whether the parameter was saved with state, be it another rule's. */
    private boolean hasState(String name) {
        String prefix = "state/" + name + "/";
        return tensors.tailMap(prefix).keySet().stream()
                .takeWhile(key -> key.startsWith(prefix))
                .anyMatch(key -> key.indexOf('/', prefix.length()) < 0); // beyond it, another parameter's
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
        metadata.put(STEPS, String.valueOf(steps()));
        metadata.put(SKIPPED, String.valueOf(skipped()));
        metadata.put(GROUPS, counts.groups().stream().map(String::valueOf).collect(Collectors.joining(",")));
        metadata.put(RULE, rule);
        counts.lossScale()
                .ifPresent(scale -> metadata.put(
                        LOSS_SCALE,
                        scale.scale() + " " + scale.good() + " " + scale.left() + " " + scale.overflowed()));
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
        return new Checkpoint(counts(file, metadata), rule, facts, content.tensors());
    }

    private static Counts counts(Path file, Map<String, String> metadata) throws IOException {
        String groups = metadata.get(GROUPS);
        // One by one: a pattern for all of them at once needs a deeper stack the more there are.
        String[] each = groups == null ? new String[0] : groups.split(",", -1);
        if (each.length == 0 || !Arrays.stream(each).allMatch(group -> group.matches("\\d{1,16}")))
            throw new IOException(
                    file + ": metadata '" + GROUPS + "': expected numbers with commas between, got " + said(groups));
        try {
            return new Counts(
                    count(file, metadata, STEPS),
                    count(file, metadata, SKIPPED),
                    Arrays.stream(each).map(Long::valueOf).toList(),
                    lossScale(file, metadata.get(LOSS_SCALE)));
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": metadata: " + e.getMessage(), e);
        }
    }

    /** Scale, good, left and overflowed, as in {@code 65536.0 12 1 false}; none in files of runs without a loss scale. */
    private static Optional<LossScale.State> lossScale(Path file, String text) throws IOException {
        if (text == null) return Optional.empty();
        if (!text.matches("\\d{1,10}\\.\\d{1,10}(E-?\\d{1,2})? \\d{1,18} \\d{1,18} (true|false)"))
            throw new IOException(file + ": metadata '" + LOSS_SCALE
                    + "': expected a scale, two numbers and true or false, got " + said(text));
        String[] parts = text.split(" ");
        return Optional.of(new LossScale.State(
                Float.parseFloat(parts[0]),
                Long.parseLong(parts[1]),
                Long.parseLong(parts[2]),
                Boolean.parseBoolean(parts[3])));
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

    private static String state(String name, Rule rule, String array) {
        // Two classes of one simple name are two rules.
        Class<?> type = rule.getClass();
        return "state/" + name + "/" + (rule instanceof CustomRule ? type.getName() : type.getSimpleName()) + "."
                + array;
    }

    private static Values copy(Tensor tensor) {
        return new Values(tensor.dtype(), tensor.shape(), tensor.get());
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
