package kudari.test;

import java.io.IOException;
import java.lang.System.Logger.Level;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import kudari.CudaException;
import kudari.Engine;
import kudari.Guard;
import kudari.Optimizer;
import kudari.StateFormat;
import kudari.Tensor;
import kudari.rule.CustomRule;
import kudari.rule.Rule;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/**
 * What {@link Rule} promises, as tests of a rule of one's own:
 *
 * <pre>{@code
 * class AddSignTest extends RuleLaws {
 *     protected Rule rule() {
 *         return new AddSign(0.01, 0, 0);
 *     }
 * }
 * }</pre>
 *
 * <p>A rule with switches has such a class for each setting. What the rule is to compute these laws do not know: hold it against numbers from elsewhere
 * beside them.
 *
 * <p>{@link #theDeviceComputesTheBitsOfTheCpu} runs on the first CUDA device, and logs which that was. Where there is none it is skipped, and says why;
 * with {@code -Dkudari.device=cuda}, or {@code cuda:1}, it fails there, with {@code -Dkudari.device=cpu} it is always skipped.
 */
public abstract class RuleLaws {

    private static final System.Logger LOG = System.getLogger(RuleLaws.class.getName());

    private static final int SIZE = 1000;

    /** Enough for all threads of the CPU engine, and for several chunks. */
    private static final int LARGE = 70_000;

    private static final List<Guard> GUARDS = List.of(
            Guard.NONE.scale(0.25),
            Guard.skipNonFinite(),
            Guard.clipNorm(20),
            Guard.clipTensorNorm(2),
            Guard.clipValue(0.5).skips(true).maximizes(true));

    /** For JUnit. */
    protected RuleLaws() {}

    /** The rule, at a learning rate above 0 with which it is used. */
    protected abstract Rule rule();

    /** Where the Java text of its class is: if the test says nothing else, under {@code src/main/java} or {@code src/test/java}; none if it is not there. */
    protected Optional<Path> source() {
        String file = rule().getClass().getName().replaceFirst("\\$.*", "").replace('.', '/') + ".java";
        return Stream.of("src/main/java", "src/test/java")
                .map(folder -> Path.of(folder, file))
                .filter(Files::exists)
                .findFirst();
    }

    // ---- the record ----

    /** {@code lr(x)}, {@code l2(x)} and {@code decay(x)} give a rule with this one number changed, and leave the rule itself as it is. */
    @Test
    public void eachMethodChangesWhatItIsNamedFor() {
        Rule given = rule(), rule = given.l2(0.125).decay(0.25);
        require(given.lr() > 0, "rule(): expected one at a learning rate above 0, got " + given.lr());
        List<Double> before = List.of(given.lr(), 0.125, 0.25);
        require(
                before.equals(numbers(rule)),
                "l2(0.125).decay(0.25): expected lr, l2 and decay to be " + before + ", got " + numbers(rule));
        Rule[] changed = {rule.lr(0.375), rule.l2(0.375), rule.decay(0.375)};
        for (int n = 0; n < changed.length; n++) {
            Rule got = changed[n];
            List<Double> expected = new ArrayList<>(before);
            expected.set(n, 0.375);
            String what = List.of("lr", "l2", "decay").get(n) + "(0.375): expected ";
            require(
                    expected.equals(numbers(got)),
                    what + "lr, l2 and decay to be " + expected + ", got " + numbers(got));
            require(got.getClass() == rule.getClass(), what + rule.getClass() + ", got " + got.getClass());
            require(got.state().equals(rule.state()), what + "the state " + rule.state() + ", got " + got.state());
            require(kernel(got).equals(kernel(rule)), what + "the same kernel, got\n" + kernel(got));
            require(before.equals(numbers(rule)), what + "the rule itself left alone, got it changed");
        }
    }

    private static List<Double> numbers(Rule rule) {
        return List.of(rule.lr(), rule.l2(), rule.decay());
    }

    private static String kernel(Rule rule) {
        return rule instanceof CustomRule custom ? custom.kernel() : "";
    }

    /** The arrays of state have the same names and beginnings, and the same part in what is to be used, whenever they are asked for. */
    @Test
    public void theStateStaysWhatItIs() {
        Rule rule = rule();
        List<String> names = List.copyOf(rule.state());
        float[][] before = Elements.begun(rule, new float[1]).s();
        float[] used = evaluation(rule);
        try (Engine engine = Engine.cpu(1)) {
            engine.optimizer(rule).update(engine.zeros(1), engine.zeros(1));
        }
        require(names.equals(rule.state()), "state(): expected " + names + " again, got " + rule.state());
        float[][] after = Elements.begun(rule, new float[1]).s();
        for (int a = 0; a < before.length; a++) same(before[a], after[a], "initial(" + a + "), asked again");
        same(used, evaluation(rule), "evaluation(…), asked again");
    }

    private static float[] evaluation(Rule rule) {
        float[] factors = new float[rule.state().size()];
        for (int a = 0; a < factors.length; a++) factors[a] = rule.evaluation(a);
        return factors;
    }

    /** The scalars of a step are the same however often, and after which other step, they are asked for, and finite; the engine's is left alone. */
    @Test
    public void theScalarsDependOnTheStepAlone() {
        Rule rule = rule();
        List<Long> steps = List.of(1L, 2L, 3L, 1000L, 1_000_000_000L);
        Map<Long, float[]> first = new HashMap<>();
        for (long t : steps) first.put(t, scalars(rule, t));
        List<Long> back = new ArrayList<>(steps);
        Collections.reverse(back);
        for (long t : back) {
            float[] k = scalars(rule, t);
            same(first.get(t), k, "at(" + t + ", k), asked again");
            for (float scalar : k)
                require(Float.isFinite(scalar), "at(" + t + ", k): expected finite numbers, got " + scalar);
            for (int own = Rule.SCALARS - 3; own < Rule.SCALARS; own++)
                require(k[own] == 0, "at(" + t + ", k): expected the last three of k, the engine's, left alone");
        }
        // What was there before must not matter.
        float[] other = new float[Rule.SCALARS];
        Arrays.fill(other, 7);
        rule.at(3, other);
        Elements start = Elements.random(rule, SIZE);
        same(
                start.stepped(rule, scalars(rule, 3), 1, 1),
                start.stepped(rule, other, 1, 1),
                "apply, where at leaves in k what it does not set");
    }

    // ---- the loop ----

    /** Elements do not depend on each other, and the loop changes the parameter and the state of its range and nothing else. */
    @Test
    public void anyCutOfTheRangeGivesTheSameBits() {
        Rule rule = rule().l2(0.01).decay(0.1);
        float[] k = scalars(rule, 3);
        for (Elements start : List.of(Elements.random(rule, SIZE), Elements.special(rule))) {
            int from = 10, to = start.size() - 10;
            Elements whole = start.copy(), single = start.copy(), cut = start.copy();
            float[] before = k.clone();
            whole.step(rule, k, 0.5f, 1, from, to);
            same(before, k, "k after apply, which reads it");
            same(start.g(), whole.g(), "g after apply, which reads it");
            for (int i : new int[] {0, from - 1, to, start.size() - 1}) {
                boolean untouched = bits(start.p()[i]) == bits(whole.p()[i]);
                for (int a = 0; a < start.s().length; a++) untouched &= bits(start.s()[a][i]) == bits(whole.s()[a][i]);
                require(untouched, "apply from " + from + " to " + to + ": expected element " + i + " left alone");
            }
            for (int i = to - 1; i >= from; i--) single.step(rule, k, 0.5f, 1, i, i + 1);
            same(whole, single, "apply, one element at a time from the last to the first");
            for (int[] piece : pieces(from, to)) cut.step(rule, k, 0.5f, 1, piece[0], piece[1]);
            same(whole, cut, "apply, in pieces in any order");
        }
    }

    /** From and to of pieces of a range, in any order; the same on every call. */
    private static List<int[]> pieces(int from, int to) {
        Random random = new Random(5);
        List<int[]> pieces = new ArrayList<>();
        for (int at = from; at < to; ) {
            int end = Math.min(to, at + 1 + random.nextInt(100));
            pieces.add(new int[] {at, end});
            at = end;
        }
        Collections.shuffle(pieces, random);
        return pieces;
    }

    /** It does not matter which thread does a piece, nor how many the engine has. */
    @Test
    public void threadsDoNotChangeABit() throws InterruptedException {
        Rule rule = rule();
        float[] k = scalars(rule, 3);
        Elements start = Elements.random(rule, LARGE), shared = start.copy();
        List<Thread> threads = new ArrayList<>();
        for (int n = 0; n < 4; n++) {
            int from = n * LARGE / 4, to = (n + 1) * LARGE / 4;
            threads.add(new Thread(() -> shared.step(rule, k, 1, 1, from, to)));
        }
        threads.forEach(Thread::start);
        for (Thread thread : threads) thread.join();
        same(start.stepped(rule, k, 1, 1), shared, "apply, by four threads");
        Training training = new Training(rule, Guard.clipNorm(20), StateFormat.FLOAT32, LARGE, false, 0);
        try (Engine one = Engine.cpu(1);
                Engine three = Engine.cpu(3)) {
            same(training.on(one), training.on(three), training + " on " + three);
        }
    }

    /** A gradient is multiplied by {@code scale} and gets {@code l2·p}, before anything else. */
    @Test
    public void theGradientIsScaledAndPenalizedFirst() {
        Rule rule = rule().l2(0).decay(0);
        Elements start = Elements.random(rule, SIZE);
        float[] plain = scalars(rule, 3);
        for (float scale : new float[] {0.25f, -1}) {
            Elements scaled = start.copy();
            for (int i = 0; i < SIZE; i++) scaled.g()[i] = scale * start.g()[i];
            close(scaled.stepped(rule, plain, 1, 1), start.stepped(rule, plain, scale, 1), "apply with scale " + scale);
        }
        Rule penalized = rule.l2(0.125);
        Elements grown = start.copy();
        for (int i = 0; i < SIZE; i++) grown.g()[i] = start.g()[i] + 0.125f * start.p()[i];
        close(
                grown.stepped(rule, plain, 1, 1),
                start.stepped(penalized, scalars(penalized, 3), 1, 1),
                "apply with l2 0.125");
    }

    /** The update and the decay are multiplied by {@code trust}, after everything else; the decay takes {@code lr·decay·p}. */
    @Test
    public void theUpdateIsTrustedAndDecaysLast() {
        Rule rule = rule().l2(0).decay(0);
        Rule decays = rule.decay(0.25 / rule.lr());
        Elements start = Elements.random(rule, SIZE);
        float[] k = scalars(rule, 3), decaying = scalars(decays, 3);
        Elements plain = start.stepped(rule, k, 1, 1), decayed = start.stepped(decays, decaying, 1, 1);
        Elements still = start.stepped(decays, decaying, 1, 0);
        same(start.p(), still.p(), "p after apply with trust 0");
        for (int a = 0; a < start.s().length; a++) {
            same(plain.s()[a], still.s()[a], "state " + a + " after apply with trust 0 and decay");
            same(plain.s()[a], decayed.s()[a], "state " + a + " after apply with decay");
        }
        double quarter = (float) (decays.lr() * decays.decay());
        for (int i = 0; i < SIZE; i++) {
            double p = start.p()[i], without = plain.p()[i], with = decayed.p()[i], off = without - with - quarter * p;
            // Four roundings, of numbers that are no larger than these.
            double allowed = 0x1p-22 * (Math.abs(p) + Math.abs(without) + Math.abs(with));
            require(
                    Math.abs(off) <= allowed,
                    "apply with lr·decay 0.25: expected " + (without - quarter * p) + " of " + p + ", got " + with);
        }
        // From 0 a step goes as far as its update.
        Elements origin = new Elements(new float[SIZE], start.g(), start.s());
        Elements full = origin.stepped(rule, k, 1, 1), half = origin.stepped(rule, k, 1, 0.5f);
        for (int i = 0; i < SIZE; i++) full.p()[i] *= 0.5f;
        close(full, half, "apply with trust 0.5 from parameters of 0");
    }

    /** At a rate of 0 no finite gradient moves a parameter, though the state overflow. */
    @Test
    public void aRateOfZeroMovesNothing() {
        float[] start = {1, -1, 1e-30f, 3e38f, 0, -5, Float.MIN_VALUE, 1e10f};
        float[] gradient = {2e38f, 2e38f, -2e38f, 2e38f, 1, Float.MAX_VALUE, 2e38f, 0};
        for (Rule rule :
                List.of(rule().lr(0).l2(0).decay(0), rule().lr(0).l2(0.01).decay(0.1))) {
            Elements all = Elements.begun(rule, start);
            for (int t = 1; t <= 60; t++) {
                for (int i = 0; i < gradient.length; i++) all.g()[i] = t <= 40 ? gradient[i] : -gradient[i];
                all.step(rule, scalars(rule, t), 1, 1, 0, all.size());
                same(start, all.p(), "p after step " + t + " at a learning rate of 0");
            }
        }
    }

    /** Without gradients no state becomes subnormal: neither what has gathered nor what is as small as a normal number can be. */
    @Test
    public void noStateBecomesSubnormal() {
        Rule rule = rule().l2(0).decay(0);
        Elements gathered = Elements.begun(rule, new float[64]), tiny = Elements.begun(rule, new float[64]);
        Arrays.fill(gathered.p(), 1);
        for (int t = 1; t <= 100; t++) {
            for (int i = 0; i < 64; i++) gathered.g()[i] = (float) Math.pow(10, -3 * (i % 5)) * (i % 2 == 0 ? 1 : -1);
            gathered.step(rule, scalars(rule, t), 1, 1, 0, 64);
        }
        Arrays.fill(gathered.g(), 0);
        for (float[] array : tiny.s())
            for (int i = 0; i < 64; i++) array[i] = 1e-37f * (1 + i % 8) * (i % 2 == 0 ? 1 : -1);
        for (int t = 101; t <= 20_000; t++) {
            float[] k = scalars(rule, t);
            for (Elements each : List.of(gathered, tiny)) {
                each.step(rule, k, 1, 1, 0, 64);
                for (int a = 0; a < each.s().length && (t < 1_000 || t % 100 == 0); a++)
                    for (float x : each.s()[a])
                        require(
                                !(x != 0 && Math.abs(x) < Float.MIN_NORMAL),
                                "state " + rule.state().get(a)
                                        + ": expected no subnormal number without gradients, got " + x + " at step " + t
                                        + "; round it by Arithmetic.flush");
            }
        }
    }

    // ---- the engines ----

    /** A run that goes on from a checkpoint, in other memory, ends in the bits of one that never stopped. */
    @Test
    public void aResumedRunEndsInTheBitsOfOneThatNeverStopped() {
        try (Engine engine = Engine.cpu(1)) {
            Training.Left never =
                    new Training(rule(), Guard.skipNonFinite(), StateFormat.FLOAT32, SIZE, false, 0).on(engine);
            for (int stop : new int[] {1, 6, 11}) {
                Training training = new Training(rule(), Guard.skipNonFinite(), StateFormat.FLOAT32, SIZE, false, stop);
                same(never, training.on(engine), training.toString());
            }
        }
    }

    /**
     * Trainings with groups, guards, a schedule, state in every format that the rule takes, checkpoints and graphs, and a step over special values. What a NaN carries may differ. Skipped if there is
     * no CUDA device and none was asked for, and if the rule is not {@linkplain Rule#isExact exact}.
     */
    @Test
    public void theDeviceComputesTheBitsOfTheCpu() {
        try (Engine device = device();
                Engine cpu = Engine.cpu(1)) {
            Rule rule = rule();
            Assumptions.assumeTrue(rule.isExact(), rule + " says that its bits are not every engine's");
            LOG.log(Level.INFO, rule + " on " + device);
            for (Guard guard : GUARDS) sameTrainings(rule, guard, StateFormat.FLOAT32, cpu, device);
            for (StateFormat format : StateFormat.values())
                if (format != StateFormat.FLOAT32 && format.fits(rule))
                    sameTrainings(rule, Guard.skipNonFinite(), format, cpu, device);
            for (Rule each : List.of(rule, rule.l2(0.01).decay(0.1))) {
                Elements special = Elements.special(each);
                same(twoSteps(each, special, cpu), twoSteps(each, special, device), "special values on " + device);
            }
        }
    }

    private static void sameTrainings(Rule rule, Guard guard, StateFormat state, Engine cpu, Engine device) {
        Training.Left expected = new Training(rule, guard, state, 5000, false, 0).on(cpu);
        for (boolean captured : new boolean[] {false, true}) {
            Training training = new Training(rule, guard, state, 5000, captured, captured ? 6 : 0);
            same(expected, training.on(device), training + " on " + device);
        }
    }

    private static Elements twoSteps(Rule rule, Elements start, Engine engine) {
        Map<String, Tensor> state = new LinkedHashMap<>();
        for (int a = 0; a < start.s().length; a++) state.put(rule.state().get(a), engine.tensor(start.s()[a]));
        Tensor p = engine.tensor(start.p()), g = engine.tensor(start.g());
        try (Optimizer optimizer = engine.optimizer(rule)) {
            optimizer.resume(4, Map.of(Optimizer.SINGLE, state));
            for (int t = 0; t < 2; t++) optimizer.update(p, g);
            float[][] s = new float[start.s().length][];
            for (int a = 0; a < s.length; a++)
                s[a] = optimizer
                        .state(Optimizer.SINGLE)
                        .get(rule.state().get(a))
                        .get();
            return new Elements(p.get(), g.get(), s);
        }
    }

    private static Engine device() {
        String asked = System.getProperty("kudari.device", "");
        Assumptions.assumeFalse(asked.equals("cpu"), "on the CPU alone: kudari.device is cpu");
        Matcher named = Pattern.compile("(?:cuda|soft)?(?::(\\d+))?").matcher(asked);
        require(named.matches(), "kudari.device: expected cpu, cuda or cuda:N, got " + asked);
        try {
            return Engine.cuda(named.group(1) == null ? 0 : Integer.parseInt(named.group(1)));
        } catch (CudaException e) {
            Assumptions.assumeFalse(asked.isEmpty(), "on the CPU alone: " + e.getMessage());
            throw e;
        }
    }

    /**
     * The loop in Java and the kernel are the same statements, but for what each language writes in its own way. Skipped if {@link #source} gives none.
     */
    @Test
    public void javaAndCudaSayTheSame() throws IOException {
        Rule rule = rule();
        Assumptions.assumeTrue(rule instanceof CustomRule, "its kernel is one of ours");
        Path source = source().orElse(Path.of(""));
        Assumptions.assumeTrue(
                Files.isRegularFile(source),
                rule.getClass() + ": its Java text is not there; let source() say where it is");
        String name = rule.getClass().getSimpleName(), text = Files.readString(source);
        Matcher declared = Pattern.compile("\\b(record|class) " + name + "\\b").matcher(text);
        require(
                declared.find(),
                source + ": expected the " + (rule.getClass().isRecord() ? "record " : "class ") + name);
        List<String> java = LoopText.statements(text.substring(declared.start()), "void apply(");
        List<String> cuda = LoopText.statements(kernel(rule), "STEP(" + name.toLowerCase(Locale.ROOT) + ",");
        for (int n = 0; n < Math.max(java.size(), cuda.size()); n++) {
            String here = n < java.size() ? java.get(n) : "the end", there = n < cuda.size() ? cuda.get(n) : "the end";
            require(here.equals(there), "statement " + (n + 1) + ": Java has\n  " + here + "\nand CUDA\n  " + there);
        }
    }

    // ---- what they are held by ----

    private static float[] scalars(Rule rule, long t) {
        float[] k = new float[Rule.SCALARS];
        rule.at(t, k);
        return k;
    }

    private static void require(boolean holds, String message) {
        if (!holds) throw new AssertionError(message);
    }

    private static int bits(float x) {
        return Float.floatToIntBits(x);
    }

    private static void same(Training.Left expected, Training.Left actual, String what) {
        require(
                expected.values().keySet().equals(actual.values().keySet()),
                what + ": expected " + expected.values().keySet() + ", got "
                        + actual.values().keySet());
        expected.values().forEach((name, values) -> same(values, actual.values().get(name), what + ": " + name));
        require(
                expected.counts().equals(actual.counts()),
                what + ": expected " + expected.counts() + ", got " + actual.counts());
    }

    private static void same(Elements expected, Elements actual, String what) {
        same(expected.p(), actual.p(), what + ": p");
        for (int a = 0; a < expected.s().length; a++) same(expected.s()[a], actual.s()[a], what + ": state " + a);
    }

    /** The same bits, but for what a NaN carries. */
    private static void same(float[] expected, float[] actual, String what) {
        int i = Arrays.mismatch(expected, actual);
        require(i < 0, what + ": element " + i + ": expected " + at(expected, i) + ", got " + at(actual, i));
    }

    /** The same numbers, where a 0 may have another sign, and what is smaller than any normal number may be off. */
    private static void close(Elements expected, Elements actual, String what) {
        close(expected.p(), actual.p(), what + ": p");
        for (int a = 0; a < expected.s().length; a++) close(expected.s()[a], actual.s()[a], what + ": state " + a);
    }

    private static void close(float[] expected, float[] actual, String what) {
        for (int i = 0; i < expected.length; i++)
            require(
                    Math.abs(expected[i] - actual[i]) <= Float.MIN_NORMAL,
                    what + ": element " + i + ": expected " + expected[i] + ", got " + actual[i]);
    }

    private static String at(float[] values, int i) {
        return i < 0 ? "" : values[i] + " (" + Float.toHexString(values[i]) + ")";
    }
}
