package kudari;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/** Runs {@link StepBenchmark} and prints its figures as the table of the README. Reached by {@code scripts/bench}. */
final class Bench {

    /**
     * Behind a rule whose parameters and gradients are in direct buffers, or bfloat16, of which a master takes the bytes that they do not; or whose state is of
     * 8 bits.
     */
    private static final String DIRECT = " direct", BF16 = " bf16", BITS = " 8bit";

    private Bench() {}

    public static void main(String[] args) throws RunnerException, IOException {
        ChainedOptionsBuilder options = new OptionsBuilder().include(StepBenchmark.class.getName());
        Stream<String> rules = RulesTest.TABLE.stream().map(RulesTest.Row::toString);
        Map<String, String[]> chosen = new HashMap<>(); // the builder adds to what it was told before
        chosen.put("what", Stream.concat(Stream.of("copy", "triad"), rules).toArray(String[]::new));
        for (int n = 0; n < args.length; n += 2) {
            if (n + 1 == args.length
                    || !Set.of("--what", "--params", "--memory").contains(args[n])) {
                System.err.println(
                        "usage: scripts/bench [--what copy,triad,Adam,…] [--params 10000000,148x1024,…] [--memory array,direct,bf16,8bit], got "
                                + String.join(" ", args));
                System.exit(2);
            }
            chosen.put(args[n].substring(2), args[n + 1].split(","));
        }
        chosen.forEach(options::param);
        // By size, then by what was timed: microseconds per step.
        Map<String, Map<String, Double>> times = new LinkedHashMap<>();
        try (PrintWriter csv = new PrintWriter(Files.newBufferedWriter(Path.of("target", "bench.csv")))) {
            csv.println("params,what,microseconds,error");
            for (RunResult result : new Runner(options.build()).run()) {
                String params = result.getParams().getParam("params"),
                        what = result.getParams().getParam("what");
                String memory = result.getParams().getParam("memory");
                if (!memory.equals("array")) what += " " + memory;
                double time = result.getPrimaryResult().getScore();
                times.computeIfAbsent(params, key -> new LinkedHashMap<>()).put(what, time);
                csv.println(params + "," + what + "," + time + ","
                        + result.getPrimaryResult().getScoreError());
            }
        }
        System.out.println();
        System.out.println("| parameters | what | µs per step | GB/s | of the better of copy and triad |");
        System.out.println("| --- | --- | ---: | ---: | ---: |");
        times.forEach((params, byWhat) -> {
            double count = Arrays.stream(Workload.sizes(params)).asLongStream().sum();
            double memory = Math.max(rate("copy", count, byWhat), rate("triad", count, byWhat));
            byWhat.forEach((what, time) -> {
                double rate = rate(what, count, byWhat);
                String share = memory > 0 ? String.format(Locale.ROOT, "%.2f", rate / memory) : "";
                System.out.printf(Locale.ROOT, "| %s | %s | %,.1f | %.1f | %s |%n", params, what, time, rate, share);
            });
        });
    }

    /** Gigabytes per second, each array counted once for every read and every write; 0 where it was not timed. */
    private static double rate(String what, double count, Map<String, Double> times) {
        if (!times.containsKey(what)) return 0;
        String rule = what.replace(DIRECT, "").replace(BF16, "").replace(BITS, "");
        int bytes =
                switch (what) {
                    case "copy" -> 8;
                    case "triad" -> 12;
                    // A rule's are 12 of the parameter and its gradient, and 8 of each array, which are 2 in 8 bits.
                    default ->
                        what.endsWith(BITS)
                                ? 12 + (new Workload(rule, "0").bytes() - 12) / 4
                                : new Workload(rule, "0").bytes();
                };
        return bytes * count / times.get(what) / 1e3;
    }
}
