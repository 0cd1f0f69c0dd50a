package kudari;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;

/**
 * The page of a folder of results: {@code raw.csv} and {@code facts.txt} into {@code README.md}, the prediction beside what was measured. {@code
 * gpu-check} writes it twice: when only the copy has been timed, and at the end.
 */
final class DeviceReport {

    /** The model: what a launch takes, and how much of the copy's bandwidth a step reaches. */
    static final double LAUNCH_US = 3, SHARE = 0.95;

    /** The model of what others do in mixed precision: how much of the copy's bandwidth their kernels reach, by the bytes that they move. */
    private static final double PEER_SHARE = 0.90;

    /** The model of a graph: what its launch takes with its first node, and what each further node takes. */
    static final double GRAPH_US = 3.5, NODE_US = 1.5;

    /** What a step of the network gives the device to do, one behind the other: kernels of ours, products of cuBLAS, and a copy of the batch's numbers. */
    static final int NETWORK_KERNELS = 17, NETWORK_PRODUCTS = 14, NETWORK_COPIES = 1;

    /** Of them the optimizer's: a kernel. */
    private static final int NETWORK_UPDATE = 1;

    /** What each takes, from and to: launched one by one, and as nodes of a graph. */
    private static final double NETWORK_LEAST_US = 2, NETWORK_MOST_US = 3, NODE_LEAST_US = 1.3, NODE_MOST_US = 2;

    private static final String COPY = "copy",
            OURS = DeviceBench.PLAIN,
            GRAPH = DeviceBench.GRAPH,
            LAUNCHES = "launches per step",
            FOREACH = "torch-foreach",
            LOOP = " (loop)",
            BYTES = "bytes per parameter";

    /** Other libraries', by their names in raw.csv, and on the page. */
    private static final Map<String, String> PEERS = new LinkedHashMap<>();

    static {
        PEERS.put("torch-fused", "PyTorch, fused");
        PEERS.put(FOREACH, "PyTorch, foreach");
        PEERS.put("torch-graph", "PyTorch, graph");
        PEERS.put("optax", "optax");
    }

    /** A line of raw.csv that tells a time. */
    private record Time(double device, double host) {}

    private record Key(String contender, Workload work) {}

    private final List<String> facts;
    private final Map<Key, List<Time>> times = new LinkedHashMap<>();
    private final Map<Key, String> launches = new LinkedHashMap<>();
    private final Map<Key, Integer> bytes = new LinkedHashMap<>();
    private final Map<String, List<String>> leftOut = new TreeMap<>();
    private double copyBytes;

    private DeviceReport(List<String> facts, List<String> raw) {
        this.facts = facts;
        for (String line : raw.subList(1, raw.size())) add(line.split(",", -1));
    }

    public static void main(String[] args) throws IOException {
        Path folder = Path.of(args[0]);
        String page =
                page(Files.readAllLines(folder.resolve("facts.txt")), Files.readAllLines(folder.resolve("raw.csv")));
        Files.writeString(folder.resolve("README.md"), page);
    }

    /** The page, from the lines of both files. */
    static String page(List<String> facts, List<String> raw) {
        return new DeviceReport(facts, raw).page();
    }

    private void add(String[] cells) {
        Key key = new Key(cells[0], new Workload(cells[2], cells[3]));
        String note = cells[10];
        if (note.equals(LAUNCHES)) launches.put(key, cells[7]);
        else if (note.equals(BYTES)) bytes.put(key, Integer.parseInt(cells[7]));
        else if (!note.isEmpty()) {
            leftOut.computeIfAbsent(cells[0] + ", round " + cells[1] + ", " + note, reason -> new ArrayList<>())
                    .add(cells[2] + " " + cells[3]);
        } else {
            times.computeIfAbsent(key, k -> new ArrayList<>())
                    .add(new Time(Double.parseDouble(cells[8]), Double.parseDouble(cells[9])));
            if (cells[2].equals(COPY)) copyBytes = 8 * Double.parseDouble(cells[5]);
        }
    }

    private String page() {
        Page page = new Page();
        page.line("# A run of gpu-check");
        if (software()) page.line("").line("**On the GPU in software: no figure on this page means anything.**");
        page.line("");
        for (String fact : facts) page.line("- " + fact);
        double copy = copied("before");
        page.line("").line("## Prediction and measurement").line("");
        page.line("Copying on the device moved " + text(copy / 1e6, "%.3f")
                + " TB/s before the steps (read and written, the median), " + text(copied("after") / 1e6, "%.3f")
                + " after them.");
        page.line("The model, written before any step was timed: a step takes " + (int) LAUNCH_US
                + " µs for each launch (with clipping there are two) and the time");
        page.line(
                "in which its ideal bytes move at " + text(SHARE, "%.2f")
                        + " of the copy before. A small set stays in the L2 and may be faster. The share is of the copy before.");
        page.line("");
        page.line("| rule | tensors | bytes a parameter | µs predicted | share predicted | µs measured | p10 to p90"
                + " | share measured | GB/s | host, µs a call |");
        page.line("| --- | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |");
        for (Workload work : works(false)) {
            double bytes = work.bytes() * (double) work.parameters(), ideal = bytes / copy;
            OptionalDouble predicted = predicted(work, copy);
            Key key = new Key(OURS, work);
            OptionalDouble us = at(key, 0.5, Time::device);
            page.row(
                    work.rule(),
                    work.shape(),
                    "" + work.bytes(),
                    text(predicted, "%,.1f"),
                    predicted.isEmpty() ? "" : text(100 * ideal / predicted.getAsDouble(), "%.1f %%"),
                    text(us, "%,.1f"),
                    span(key),
                    us.isEmpty() ? "" : text(100 * ideal / us.getAsDouble(), "%.1f %%"),
                    us.isEmpty() ? "" : text(bytes / us.getAsDouble() / 1e3, "%,.1f"),
                    text(at(key, 0.5, Time::host), "%.2f"));
        }
        mixed(page, copy);
        graph(page, copy);
        peers(page);
        network(page);
        page.line("").line("## Left out").line("");
        if (leftOut.isEmpty()) page.line("Nothing.");
        leftOut.forEach((why, what) -> page.line("- " + why + ": " + String.join("; ", what)));
        return page.toString();
    }

    /** What the bytes and the launches take; none where products take the time. */
    private static OptionalDouble predicted(Workload work, double copy) {
        if (work.multiplies()) return OptionalDouble.empty();
        return OptionalDouble.of(work.kernels() * LAUNCH_US + work.bytes() * (double) work.parameters() / copy / SHARE);
    }

    private void mixed(Page page, double copy) {
        page.line("").line("## Mixed precision").line("");
        page.line("A whole step of AdamW from gradients of 16 bits on: divided by a loss scale that moves (scaled),"
                + " clipped by their norm (clipped), the step, and the parameters rounded.");
        page.line("Ours keep a float32 master, the remainder of one, or none, and round stochastically or to nearest."
                + " PyTorch's fused AdamW over bfloat16 has states of bfloat16 (nearest);");
        page.line(
                "with a master it is the loop that people write: gradients copied to float32, unscale_, clip_grad_norm_, step, update, parameters copied back.");
        page.line(
                "Without a type all is float32. Bytes and the share of the copy before are each contender's own: what a step of it must move. Predicted before any was timed: ours as above,");
        page.line("theirs at " + text(PEER_SHARE, "%.2f")
                        + " of the copy by their bytes; the last column is theirs by ours.")
                .line("");
        page.line(
                "| rule | tensors | contender | bytes a parameter | launches | µs predicted | µs measured | p10 to p90"
                        + " | share | host, µs a call | ÷ Kudari |");
        page.line("| --- | --- | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |");
        for (Workload work : works(true)) {
            Key ours = new Key(OURS, work);
            mixed(page, copy, ours, "Kudari", work.bytes(), "" + work.kernels(), predicted(work, copy));
            for (String peer : PEERS.keySet()) {
                Key key = new Key(peer, work);
                if (at(key, 0.5, Time::device).isEmpty() || !bytes.containsKey(key)) continue;
                double moved = bytes.get(key) * (double) work.parameters();
                mixed(
                        page,
                        copy,
                        key,
                        PEERS.get(peer),
                        bytes.get(key),
                        launches.getOrDefault(key, ""),
                        OptionalDouble.of(moved / copy / PEER_SHARE));
            }
        }
    }

    private void mixed(
            Page page, double copy, Key key, String name, int bytes, String launches, OptionalDouble predicted) {
        OptionalDouble us = at(key, 0.5, Time::device);
        double ideal = bytes * (double) key.work.parameters() / copy;
        page.row(
                key.work.rule(),
                key.work.shape(),
                name,
                "" + bytes,
                launches,
                text(predicted, "%,.1f"),
                text(us, "%,.1f"),
                span(key),
                us.isEmpty() ? "" : text(100 * ideal / us.getAsDouble(), "%.1f %%"),
                text(at(key, 0.5, Time::host), "%.2f"),
                key.contender.equals(OURS) ? "" : ratio(us, at(new Key(OURS, key.work), 0.5, Time::device)));
    }

    private void graph(Page page, double copy) {
        page.line("").line("## As a CUDA graph").line("");
        page.line(
                "The same updates, captured by `Engine.capture` and launched. Predicted before any was timed: a launch of a graph takes the device "
                        + text(GRAPH_US, "%.1f") + " µs with its first");
        page.line(
                "kernel and " + text(NODE_US, "%.1f")
                        + " µs for each further one. An update alone is one kernel, and gains nothing; with clipping it is two, and gains a little. A call");
        page.line(
                "costs the host about the same either way, 2 to 6 µs, most of it the driver's: of Java's part a launch of a kernel is 0.2 µs, of a graph 0.02.");
        page.line("What a graph is for is many kernels in a row, as in a step of the network below.")
                .line("");
        page.line(
                "| rule | tensors | µs predicted | µs measured | p10 to p90 | update, µs measured | update ÷ graph | host, µs a call | update's |");
        page.line("| --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |");
        for (Workload work : works(false)) {
            if (!work.inGraph() || work.multiplies()) continue;
            Key key = new Key(GRAPH, work), plain = new Key(OURS, work);
            OptionalDouble us = at(key, 0.5, Time::device), update = at(plain, 0.5, Time::device);
            page.row(
                    work.rule(),
                    work.shape(),
                    text(
                            predicted(work, copy).getAsDouble()
                                    - work.kernels() * LAUNCH_US
                                    + GRAPH_US
                                    + (work.kernels() - 1) * NODE_US,
                            "%,.1f"),
                    text(us, "%,.1f"),
                    span(key),
                    text(update, "%,.1f"),
                    ratio(update, us),
                    text(at(key, 0.5, Time::host), "%.2f"),
                    text(at(plain, 0.5, Time::host), "%.2f"));
        }
    }

    private void peers(Page page) {
        page.line("").line("## Beside other libraries").line("");
        List<Workload> works = works(false);
        for (String peer : PEERS.keySet()) {
            if (times.keySet().stream().noneMatch(key -> key.contender.equals(peer) && works.contains(key.work)))
                page.line("- " + PEERS.get(peer) + ": not timed.");
        }
        page.line("")
                .line("Medians in µs; the last column is the fastest of theirs by the faster of ours.")
                .line("");
        page.line("| rule | tensors | Kudari | Kudari, graph | " + String.join(" | ", PEERS.values())
                + " | theirs ÷ Kudari |");
        page.line("| --- | --- | ---: | ---: |" + " ---: |".repeat(PEERS.size() + 1));
        boolean loops = false;
        for (Workload work : works) {
            List<OptionalDouble> ours = medians(List.of(OURS, GRAPH), work), theirs = medians(PEERS.keySet(), work);
            if (least(ours).isEmpty() || least(theirs).isEmpty()) continue;
            List<String> cells = new ArrayList<>(List.of(work.rule(), work.shape()));
            for (OptionalDouble us : ours) cells.add(text(us, "%,.1f"));
            int n = 0;
            for (String peer : PEERS.keySet()) {
                OptionalDouble us = theirs.get(n++);
                boolean isLoop = us.isPresent() && work.multiplies() && peer.equals(FOREACH);
                cells.add(text(us, isLoop ? "%,.1f" + LOOP : "%,.1f"));
                loops |= isLoop;
            }
            cells.add(ratio(least(theirs), least(ours)));
            page.row(cells.toArray(String[]::new));
        }
        if (loops)
            page.line("")
                    .line(
                            LOOP.strip()
                                    + ": PyTorch's Muon is a loop over the tensors, one after the other, for it has no foreach.");
        launches(page);
    }

    private List<OptionalDouble> medians(Collection<String> contenders, Workload work) {
        return contenders.stream()
                .map(contender -> at(new Key(contender, work), 0.5, Time::device))
                .toList();
    }

    private static OptionalDouble least(List<OptionalDouble> times) {
        return times.stream().flatMapToDouble(OptionalDouble::stream).min();
    }

    private static String ratio(OptionalDouble a, OptionalDouble b) {
        return a.isEmpty() || b.isEmpty() ? "" : text(a.getAsDouble() / b.getAsDouble(), "%.2f");
    }

    private void launches(Page page) {
        Map<Key, String> ofSteps = new LinkedHashMap<>(launches);
        ofSteps.keySet().removeIf(key -> key.work.rule().equals(DeviceBench.NETWORK) || key.work.mixed());
        if (ofSteps.isEmpty()) return;
        page.line("")
                .line("Kernels that a step of PyTorch launches, by its own profiler (Kudari: 1, with clipping 2):")
                .line("");
        page.line("| rule | tensors | contender | kernels |").line("| --- | --- | --- | ---: |");
        ofSteps.forEach((key, count) -> page.row(key.work.rule(), key.work.shape(), key.contender, count));
    }

    private void network(Page page) {
        int kernels = NETWORK_KERNELS + NETWORK_PRODUCTS, all = kernels + NETWORK_COPIES;
        String predicted = between(NETWORK_LEAST_US * all, NETWORK_MOST_US * all),
                inGraph = between(NODE_LEAST_US * all, NODE_MOST_US * all);
        page.line("").line("## The network").line("");
        page.line(
                DeviceBench.NETWORK_SHAPE
                        + ", the network of the comparison, trained by Adam at its defaults on samples in the device's memory,");
        page.line(
                "in float32 without TF32. A step is a batch's gradient and the update; the optimizer's share is 1 − gradient ÷ step.");
        page.line("");
        page.line("Predicted before any was timed: a step of ours is bound by launches. It is " + NETWORK_KERNELS
                + " kernels of ours, " + NETWORK_PRODUCTS + " products of cuBLAS and " + NETWORK_COPIES);
        page.line("copy of some bytes, each waiting for the one before; at " + (int) NETWORK_LEAST_US + " to "
                + (int) NETWORK_MOST_US + " µs for each that is " + predicted + " µs, and " + NETWORK_UPDATE
                + " of the "
                + all + " is the optimizer's.");
        page.line("As a graph, launched after the copy, each takes " + text(NODE_LEAST_US, "%.1f") + " to "
                + text(NODE_MOST_US, "%.1f") + " µs, for the host no longer has to keep up: " + inGraph
                + " µs. A call then takes the host");
        page.line("5 to 15 µs where launching one by one takes it 60 to 120.");
        page.line(
                "PyTorch's fused and foreach are bound by what the host does for each of their kernels, its graph is not: what the table says of them");
        page.line(
                "is a guess. Nobody reads a loss in the loop; ours still sends them to the host, a window of 128 at a time.");
        page.line("");
        page.line(
                "| contender | µs predicted | µs a step | p10 to p90 | of it gradient | optimizer's share | steps per second | host, µs a call | kernels"
                        + " | ÷ Kudari |");
        page.line("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
        network(page, "Kudari", OURS, predicted, "" + kernels);
        network(page, "Kudari, graph", GRAPH, inGraph, "" + kernels);
        Map<String, String> theirs =
                Map.of("torch-fused", "400 to 700", "torch-foreach", "400 to 700", "torch-graph", "60 to 100");
        for (String peer : PEERS.keySet()) {
            if (!theirs.containsKey(peer)) continue; // optax is rules and no networks
            String counted = launches.getOrDefault(network(peer, DeviceBench.NETWORK), "");
            network(page, PEERS.get(peer), peer, theirs.get(peer), counted);
        }
    }

    private static String between(double least, double most) {
        return Math.round(least) + " to " + Math.round(most);
    }

    private void network(Page page, String name, String contender, String predicted, String kernels) {
        Key key = network(contender, DeviceBench.NETWORK);
        OptionalDouble step = at(key, 0.5, Time::device);
        OptionalDouble gradient = at(network(contender, DeviceBench.GRADIENT), 0.5, Time::device);
        OptionalDouble ours = at(network(OURS, DeviceBench.NETWORK), 0.5, Time::device);
        page.row(
                name,
                predicted,
                text(step, "%,.1f"),
                span(key),
                text(gradient, "%,.1f"),
                step.isEmpty() || gradient.isEmpty()
                        ? ""
                        : text(100 * (1 - gradient.getAsDouble() / step.getAsDouble()), "%.1f %%"),
                step.isEmpty() ? "" : text(1e6 / step.getAsDouble(), "%,.0f"),
                text(at(key, 0.5, Time::host), "%.1f"),
                kernels,
                ratio(step, ours));
    }

    private static Key network(String contender, String what) {
        return new Key(contender, new Workload(what, DeviceBench.NETWORK_SHAPE));
    }

    private boolean software() {
        return facts.stream().anyMatch(fact -> fact.contains("software GPU"));
    }

    /** Bytes that the copy moved in a microsecond; NaN where it was not timed. */
    private double copied(String when) {
        return copyBytes
                / at(new Key(OURS, new Workload(COPY, when)), 0.5, Time::device).orElse(Double.NaN);
    }

    /** What anybody was timed at, in mixed precision or not; before anything was, all that is to be timed. */
    private List<Workload> works(boolean mixed) {
        List<Workload> works = new ArrayList<>(Workload.all(software() ? Workload.SMALL : Workload.SHAPES));
        List<Workload> timed = times.keySet().stream().map(Key::work).toList();
        if (!Collections.disjoint(timed, works)) works.retainAll(timed);
        works.removeIf(work -> work.mixed() != mixed);
        return works;
    }

    /** A quantile of what was measured; empty where nothing was. */
    private OptionalDouble at(Key key, double quantile, ToDoubleFunction<Time> of) {
        List<Time> measured = times.getOrDefault(key, List.of());
        if (measured.isEmpty()) return OptionalDouble.empty();
        double[] sorted = measured.stream().mapToDouble(of).sorted().toArray();
        return OptionalDouble.of(sorted[(int) Math.round(quantile * (sorted.length - 1))]);
    }

    private String span(Key key) {
        OptionalDouble low = at(key, 0.1, Time::device), high = at(key, 0.9, Time::device);
        return low.isEmpty() ? "" : text(low, "%,.1f") + " to " + text(high, "%,.1f");
    }

    private static String text(OptionalDouble value, String format) {
        return value.isEmpty() ? "" : text(value.getAsDouble(), format);
    }

    private static String text(double value, String format) {
        return Double.isNaN(value) ? "?" : String.format(Locale.ROOT, format, value);
    }

    private static final class Page {

        private final StringBuilder text = new StringBuilder();

        Page line(String line) {
            text.append(line).append('\n');
            return this;
        }

        void row(String... cells) {
            line("| " + String.join(" | ", Arrays.asList(cells)) + " |");
        }

        @Override
        public String toString() {
            return text.toString();
        }
    }
}
