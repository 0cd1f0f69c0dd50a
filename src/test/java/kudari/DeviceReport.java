package kudari;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
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

    /** What a step of the network gives the device to do, one behind the other: kernels of ours, products of cuBLAS, copies of some bytes. */
    static final int NETWORK_KERNELS = 17, NETWORK_PRODUCTS = 14, NETWORK_COPIES = 2;

    /** Of them the optimizer's: a copy of the step's scalars, and a kernel. */
    private static final int NETWORK_UPDATE = 2;

    /** What each takes, from and to. */
    private static final int NETWORK_LEAST_US = 2, NETWORK_MOST_US = 3;

    private static final String COPY = "copy", OURS = "kudari", LAUNCHES = "launches per step";
    private static final List<String> TORCH = List.of("torch-fused", "torch-foreach", "torch-graph");

    /** A line of raw.csv that tells a time. */
    private record Time(double device, double host) {}

    private record Key(String contender, Workload work) {}

    private final List<String> facts;
    private final Map<Key, List<Time>> times = new LinkedHashMap<>();
    private final Map<Key, String> launches = new LinkedHashMap<>();
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
        page.line(
                "| rule | tensors | µs predicted | share predicted | µs measured | p10 to p90 | share measured | host, µs a call |");
        page.line("| --- | --- | ---: | ---: | ---: | --- | ---: | ---: |");
        for (Workload work : works()) {
            double ideal = work.bytes() * (double) work.parameters() / copy;
            double predicted = (work.clips() ? 2 : 1) * LAUNCH_US + ideal / SHARE;
            Key key = new Key(OURS, work);
            OptionalDouble us = at(key, 0.5, Time::device);
            page.row(
                    work.rule(),
                    work.shape(),
                    text(predicted, "%,.1f"),
                    text(100 * ideal / predicted, "%.1f %%"),
                    text(us, "%,.1f"),
                    span(key),
                    us.isEmpty() ? "" : text(100 * ideal / us.getAsDouble(), "%.1f %%"),
                    text(at(key, 0.5, Time::host), "%.2f"));
        }
        torch(page);
        network(page);
        page.line("").line("## Left out").line("");
        if (leftOut.isEmpty()) page.line("Nothing.");
        leftOut.forEach((why, what) -> page.line("- " + why + ": " + String.join("; ", what)));
        return page.toString();
    }

    private void torch(Page page) {
        page.line("").line("## Beside PyTorch").line("");
        List<Workload> works = works();
        if (times.keySet().stream().noneMatch(key -> TORCH.contains(key.contender) && works.contains(key.work))) {
            page.line("It was not timed.");
            return;
        }
        page.line("Medians in µs; the last column is the fastest of PyTorch's by ours.")
                .line("");
        page.line("| rule | tensors | Kudari | fused | foreach | graph | PyTorch ÷ Kudari |");
        page.line("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
        for (Workload work : works) {
            OptionalDouble ours = at(new Key(OURS, work), 0.5, Time::device);
            List<OptionalDouble> theirs = TORCH.stream()
                    .map(contender -> at(new Key(contender, work), 0.5, Time::device))
                    .toList();
            double best = theirs.stream()
                    .filter(OptionalDouble::isPresent)
                    .mapToDouble(OptionalDouble::getAsDouble)
                    .min()
                    .orElse(Double.NaN);
            if (ours.isEmpty() || Double.isNaN(best)) continue;
            page.row(
                    work.rule(),
                    work.shape(),
                    text(ours, "%,.1f"),
                    text(theirs.get(0), "%,.1f"),
                    text(theirs.get(1), "%,.1f"),
                    text(theirs.get(2), "%,.1f"),
                    text(best / ours.getAsDouble(), "%.2f"));
        }
        Map<Key, String> ofSteps = new LinkedHashMap<>(launches);
        ofSteps.keySet().removeIf(key -> key.work.rule().equals(DeviceBench.NETWORK));
        if (ofSteps.isEmpty()) return;
        page.line("")
                .line("Kernels that a step of PyTorch launches, by its own profiler (Kudari: 1, with clipping 2):")
                .line("");
        page.line("| rule | tensors | contender | kernels |").line("| --- | --- | --- | ---: |");
        ofSteps.forEach((key, count) -> page.row(key.work.rule(), key.work.shape(), key.contender, count));
    }

    private void network(Page page) {
        int kernels = NETWORK_KERNELS + NETWORK_PRODUCTS, all = kernels + NETWORK_COPIES;
        String predicted = NETWORK_LEAST_US * all + " to " + NETWORK_MOST_US * all;
        page.line("").line("## The network").line("");
        page.line(
                DeviceBench.NETWORK_SHAPE
                        + ", the network of the comparison, trained by Adam at its defaults on samples in the device's memory,");
        page.line(
                "in float32 without TF32. A step is a batch's gradient and the update; the optimizer's share is 1 − gradient ÷ step.");
        page.line("");
        page.line("Predicted before any was timed: a step of ours is bound by launches. It is " + NETWORK_KERNELS
                + " kernels of ours, " + NETWORK_PRODUCTS + " products of cuBLAS and " + NETWORK_COPIES);
        page.line("copies of some bytes, each waiting for the one before; at " + NETWORK_LEAST_US + " to "
                + NETWORK_MOST_US + " µs for each that is " + predicted + " µs, and " + NETWORK_UPDATE + " of the "
                + all + " are the optimizer's.");
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
        List<String> theirs = List.of("400 to 700", "400 to 700", "60 to 100");
        for (int n = 0; n < TORCH.size(); n++) {
            String contender = TORCH.get(n),
                    counted = launches.getOrDefault(network(contender, DeviceBench.NETWORK), "");
            network(page, "PyTorch, " + contender.substring("torch-".length()), contender, theirs.get(n), counted);
        }
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
                step.isEmpty() || ours.isEmpty() ? "" : text(step.getAsDouble() / ours.getAsDouble(), "%.2f"));
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

    /** What anybody was timed at; before anything was, all that is to be timed. */
    private List<Workload> works() {
        List<Workload> works = new ArrayList<>(Workload.all(software() ? Workload.SMALL : Workload.SHAPES));
        List<Workload> timed = times.keySet().stream().map(Key::work).toList();
        if (!Collections.disjoint(timed, works)) works.retainAll(timed);
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
