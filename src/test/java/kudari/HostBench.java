package kudari;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/**
 * Times what the host does in {@link Optimizer#update} on a CUDA device, for 1,000 tensors that stay the same: the engine's own work, JCuda's, and no
 * driver's. For that the GPU in software drops the launches. {@code scripts/bench host} runs it and prints a table.
 *
 * <p>It counts no steps either, so that under a guard the engine never sends more scalars; they cost what they cost without one.
 */
final class HostBench {

    private static final int TENSORS = 1000, ELEMENTS = 16, UPDATES = 20_000;

    private HostBench() {}

    public static void main(String[] args) {
        if (args.length > 0 || !"drop".equals(System.getenv("SOFTCUDA_MODE"))) {
            System.err.println("usage: scripts/bench host, got " + String.join(" ", args));
            System.exit(2);
        }
        System.out.println("| rule | µs per update | with a guard | 99 in 100 below | with a guard |");
        System.out.println("| --- | ---: | ---: | ---: | ---: |");
        for (boolean heard : new boolean[] {false, true}) { // the first time is for the JVM's compiler
            for (RulesTest.Row row : RulesTest.TABLE) {
                double[] plain = time(row.toString(), Guard.NONE), guarded = time(row.toString(), Guard.clipNorm(1));
                if (!heard) continue;
                System.out.printf(
                        Locale.ROOT,
                        "| %s | %.2f | %.2f | %.2f | %.2f |%n",
                        row,
                        plain[UPDATES / 2],
                        guarded[UPDATES / 2],
                        plain[UPDATES / 100 * 99],
                        guarded[UPDATES / 100 * 99]);
            }
        }
    }

    /** The microseconds of each update, in order of size. */
    private static double[] time(String rule, Guard guard) {
        double[] times = new double[UPDATES];
        try (Engine engine = Engine.cuda(0)) {
            Map<String, Tensor> params = tensors(engine), grads = tensors(engine);
            Optimizer optimizer = engine.optimizer(Workload.rule(rule)).guard(guard);
            for (int n = 0; n < UPDATES; n++) {
                long start = System.nanoTime();
                optimizer.update(params, grads);
                times[n] = (System.nanoTime() - start) / 1e3;
            }
        }
        Arrays.sort(times);
        return times;
    }

    private static Map<String, Tensor> tensors(Engine engine) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (int n = 0; n < TENSORS; n++) tensors.put("W" + n, engine.zeros(ELEMENTS));
        return tensors;
    }
}
