package kudari;

import static kudari.RulesTest.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import kudari.rule.AdEMAMix;
import kudari.rule.AdaBelief;
import kudari.rule.AdaGrad;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Ftrl;
import kudari.rule.Momentum;
import kudari.rule.RmsProp;
import kudari.rule.RmsPropCentered;
import kudari.rule.RmsPropMomentum;
import kudari.rule.Rule;
import kudari.rule.TensorRule;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Everything that can be asked of an optimizer, asked for together: every pair of options meets in every form of every rule, and after every update the
 * engine of the run, the CPU with one thread, and {@link Plain} agree in every bit. {@code -Dkudari.laws=all} has every four of them meet.
 */
class LawsTest {

    private static final long SEED = 20261126;

    /** Not on the GPU in software, which would take hours. */
    private static final boolean ALL =
            System.getProperty("kudari.laws", "pairs").equals("all") && !Engines.onSoftware();

    private static final int UPDATES = 10;

    /** Each has engines, and threads, of its own. */
    private static final int MOST_SHARES = 4;

    /** What the loss is multiplied by at first: so little that no gradient overflows float16 by itself. */
    private static final float LOSS_SCALE = 8;

    enum Clip {
        NOTHING(Guard.NONE),
        SKIP(Guard.skipNonFinite()),
        NORM(Guard.clipNorm(20)),
        TENSOR_NORM(Guard.clipTensorNorm(2)),
        VALUE(Guard.clipValue(0.5)),
        VALUE_AND_SKIP(Guard.clipValue(0.5).skips(true));

        final Guard guard;

        Clip(Guard guard) {
            this.guard = guard;
        }
    }

    enum Groups {
        ONE,
        EQUAL,
        OTHER_DECAYS,
        FROZEN,
        LATE
    }

    enum Rates {
        CONSTANT,
        SCHEDULE,
        CHANGED_HALF_WAY
    }

    enum Averages {
        NONE(Average.NONE),
        EMA(Average.ema(0.75)),
        LOOKAHEAD(Average.lookahead(3, 0.5));

        final Average average;

        Averages(Average average) {
            this.average = average;
        }
    }

    /** Of what types the parameters and their gradients are, and how the float32 value of parameters of 16 bits is kept. */
    enum Precision {
        FLOAT32(Dtype.F32, Dtype.F32, Master.FLOAT32),
        /** Where {@code a.bias} and {@code late} are of float32 all the same. */
        MIXED(Dtype.BF16, Dtype.F32, Master.FLOAT32),
        STOCHASTIC(Dtype.BF16, Dtype.BF16, Master.stochastic(1701)),
        BF16(Dtype.BF16, Dtype.BF16, Master.FLOAT32),
        /** And a master where the rule looks at whole tensors. */
        REMAINDER(Dtype.BF16, Dtype.BF16, Master.REMAINDER),
        F16(Dtype.F16, Dtype.F16, Master.FLOAT32),
        F16_BY_F32(Dtype.F16, Dtype.F32, Master.FLOAT32),
        STOCHASTIC_BY_F32(Dtype.BF16, Dtype.F32, Master.stochastic(-1)),
        BF16_NEAREST(Dtype.BF16, Dtype.F32, Master.NEAREST),
        F16_NEAREST(Dtype.F16, Dtype.F16, Master.NEAREST);
        final Dtype param, grad;
        final Master master;

        Precision(Dtype param, Dtype grad, Master master) {
            this.param = param;
            this.grad = grad;
            this.master = master;
        }

        Master master(Rule rule) {
            return this == REMAINDER && rule instanceof TensorRule ? Master.FLOAT32 : master;
        }

        Dtype param(String name) {
            return this == MIXED && (name.equals("a.bias") || name.equals("late")) ? Dtype.F32 : param;
        }
    }

    /** In how many bits the state is, of rules that take it. */
    enum States {
        FLOAT32,
        BFLOAT16,
        BFLOAT16_STOCHASTIC,
        BLOCKWISE_8BIT;

        StateFormat of(Rule rule) {
            StateFormat format = StateFormat.valueOf(name());
            return format.fits(rule) ? format : StateFormat.FLOAT32;
        }
    }

    /** How many choices each option has, in the order of {@link Case}; of precisions on the GPU in software three, {@link #precisionOf}. */
    private static final int[] CHOICES = {
        Clip.values().length,
        Groups.values().length,
        Rates.values().length,
        2,
        2,
        2,
        2,
        2,
        2,
        2,
        2,
        2,
        Averages.values().length,
        2,
        Engines.onSoftware() ? 3 : Precision.values().length,
        States.values().length
    };

    /** On the GPU in software float32 and two more, others for each rule, for each is kernels to compile. */
    private static Precision precisionOf(int choice, Rule rule) {
        Precision[] all = Precision.values();
        if (!Engines.onSoftware() || choice == 0) return all[choice];
        int turn = 2 * Rule.classes().indexOf(rule.getClass()) + choice - 1;
        return all[1 + turn % (all.length - 1)];
    }

    /** What is asked of an optimizer. */
    private record Case(
            Clip clip,
            Groups groups,
            Rates rates,
            boolean scales,
            boolean l2,
            boolean decay,
            boolean zeroes,
            boolean damage,
            boolean resumes,
            boolean looks,
            boolean captured,
            boolean maximizes,
            Averages averages,
            boolean scalesLoss,
            Precision precision,
            States states) {

        static Case of(int[] c, Rule rule) {
            return new Case(
                    Clip.values()[c[0]],
                    Groups.values()[c[1]],
                    Rates.values()[c[2]],
                    c[3] == 1,
                    c[4] == 1,
                    c[5] == 1,
                    c[6] == 1,
                    c[7] == 1,
                    c[8] == 1,
                    c[9] == 1,
                    c[10] == 1,
                    c[11] == 1,
                    Averages.values()[c[12]],
                    c[13] == 1,
                    precisionOf(c[14], rule),
                    States.values()[c[15]]);
        }

        /** The parameters, by name: a chunk and a bit, and what is smaller; where state is in blocks, of them enough, and a part of one. */
        Map<String, Integer> sizes(Rule rule) {
            boolean blocks = states.of(rule) == StateFormat.BLOCKWISE_8BIT;
            return Map.of("a.bias", 3, "b", blocks ? 4_400 : 1030, "frozen", 4, "late", 5, "z", 1);
        }

        Guard guard() {
            return (scales ? clip.guard.scale(0.25) : clip.guard).maximizes(maximizes);
        }

        /** Whether a step is left out where a gradient is not finite. */
        boolean skips() {
            return guard().skips() || scalesLoss;
        }
    }

    /** Every rule of which bits can be asked, in every form that libraries know, by the methods that take a learning rate and make one; and some forms more. */
    static Stream<Rule> rules() {
        Stream<Rule> named = RulesTest.TABLE.stream()
                .flatMap(row -> Stream.of(row.of().apply(1).getClass().getMethods()))
                .filter(method -> Modifier.isStatic(method.getModifiers())
                        && Arrays.equals(method.getParameterTypes(), new Class<?>[] {double.class}))
                .sorted(Comparator.comparing(Method::toString))
                .map(LawsTest::made);
        Stream<Rule> more = Stream.of(
                Momentum.of(0.01).dampening(0.5),
                AdaGrad.pytorch(0.01).lrDecay(0.1),
                Ftrl.of(0.01).beta(1).lasso(20).ridge(0.5),
                RmsProp.of(0.01).initialAccumulator(0.25),
                RmsProp.optax(0.01).biasCorrection(true),
                RmsPropMomentum.of(0.01).biasCorrection(true).initialAccumulator(0.25),
                RmsPropCentered.keras(0.01).momentum(0.9),
                AdamW.of(0.01),
                AdaBelief.of(0.01).epsRoot(0),
                AdEMAMix.of(0.01).betas(0.9, 0.999, 0.99),
                Adam.pytorch(0.01).epsRoot(0.5));
        return Stream.concat(named, more).distinct().filter(Rule::isExact);
    }

    private static Rule made(Method method) {
        try {
            return (Rule) method.invoke(null, 0.01);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(method + " makes a rule of a learning rate", e);
        }
    }

    @ParameterizedTest
    @MethodSource("rules")
    void theEnginesAndThePlainestJavaAgreeInEveryBit(Rule rule) {
        // In shares: of the time on the GPU in software most is NVRTC's, which compiles for several threads at once.
        List<int[]> cases = casesOf(rule);
        int shares = Math.min(Runtime.getRuntime().availableProcessors(), MOST_SHARES);
        assertAll(IntStream.range(0, shares).parallel().mapToObj(share -> () -> {
            try (Engine engine = Engines.open();
                    Engine cpu = Engine.cpu(1)) {
                for (int n = share; n < cases.size(); n += shares)
                    run(rule, Case.of(cases.get(n), rule), List.of(engine, cpu));
            }
        }));
    }

    /** All cases; on the GPU in software, where each takes long, the forms of one rule share them. */
    private static List<int[]> casesOf(Rule rule) {
        if (!Engines.onSoftware()) return CASES;
        List<Rule> forms =
                rules().filter(form -> form.getClass() == rule.getClass()).toList();
        List<int[]> share = new ArrayList<>();
        for (int n = forms.indexOf(rule); n < CASES.size(); n += forms.size()) share.add(CASES.get(n));
        return share;
    }

    private static final List<int[]> CASES = covering(ALL ? 4 : 2, new Random(SEED));

    private static void run(Rule base, Case c, List<Engine> engines) {
        Rule rule = base.l2(c.l2 ? 0.01 : 0).decay(c.decay ? 0.01 : 0);
        List<Runner> runners = new ArrayList<>();
        for (Engine engine : engines) runners.add(new Runner(engine, rule, c));
        Plain plain = new Plain(c.guard().skips(c.skips()), c.averages.average);
        plain.scalesLoss = c.scalesLoss;
        if (c.scalesLoss) plain.lossScale = LOSS_SCALE;
        plain.master = c.precision.master(rule);
        plain.format = c.states.of(rule);
        for (Rule each : rulesOf(rule, c)) {
            plain.groups.add(t -> schedule(each, c, 1).rule(t));
            plain.counts.add(0L);
        }
        Random random = new Random(SEED);
        Map<String, float[]> start = new TreeMap<>();
        c.sizes(rule).forEach((name, size) -> start.put(name, new float[size]));
        start.forEach((name, values) -> {
            for (int i = 0; i < values.length; i++) values[i] = (float) random.nextGaussian();
            Dtype type = c.precision.param(name);
            if (type != Dtype.F32) plain.types.put(name, type);
            plain.params.put(name, rounded(values, type));
        });
        for (Runner runner : runners)
            start.forEach((name, values) -> runner.p.get(name).set(values));

        for (int t = 1; t <= UPDATES; t++) {
            String what = rule + ", " + c + ", update " + t;
            Map<String, float[]> grads = new TreeMap<>();
            for (String name : start.keySet()) {
                boolean leftOut = name.equals("frozen") && c.groups == Groups.FROZEN && t % 2 == 0
                        || name.equals("late") && c.groups == Groups.LATE && (t < 4 || t == 8);
                if (!leftOut) grads.put(name, rounded(gradient(random, start.get(name).length), c.precision.grad));
            }
            for (float[] grad : grads.values())
                for (int i = 0; i < grad.length; i++) grad[i] *= plain.lossScale; // a power of two, exact
            if (c.damage && t == 3) grads.get("b")[1029] = Float.NaN;
            if (c.damage && t == 6) grads.get("a.bias")[1] = Float.NEGATIVE_INFINITY;
            if (c.rates == Rates.CHANGED_HALF_WAY && t == 5) {
                List<Rule> rules = rulesOf(rule, c);
                for (int n = 0; n < rules.size(); n++) {
                    Rule each = rules.get(n);
                    plain.groups.set(n, step -> schedule(each, c, 5).rule(step));
                }
                runners.forEach(Runner::change);
            }
            if (c.resumes && t == 7) runners.forEach(Runner::resume);
            plain.update(grads, groupsOf(c, start.keySet()));
            for (Runner runner : runners) {
                runner.update(grads);
                try {
                    runner.check(plain, grads.keySet(), t);
                } catch (AssertionError e) {
                    throw new AssertionError(runner.engine + ": " + what + ": " + e.getMessage(), e);
                }
            }
        }
        runners.forEach(Runner::close);
        assertTrue(!c.damage || c.skips() == (plain.skipped == 2), "steps that were to be left out were");
    }

    private static float[] rounded(float[] values, Dtype type) {
        float[] rounded = values.clone();
        for (int i = 0; i < rounded.length; i++) rounded[i] = Plain.nearest(type, rounded[i]);
        return rounded;
    }

    /** Multiples of 1/1024 up to 4, a quarter of them 0: their squares add up exactly in double, in whatever order. */
    private static float[] gradient(Random random, int size) {
        float[] gradient = new float[size];
        for (int i = 0; i < size; i++) gradient[i] = random.nextInt(4) == 0 ? 0 : (random.nextInt(8193) - 4096) / 1024f;
        return gradient;
    }

    private static List<Rule> rulesOf(Rule rule, Case c) {
        return switch (c.groups) {
            case ONE, FROZEN -> List.of(rule);
            case EQUAL -> List.of(rule, rule, rule);
            case OTHER_DECAYS -> List.of(rule.decay(0), rule.decay(0.25).l2(0.125));
            case LATE -> List.of(rule, rule);
        };
    }

    private static Map<String, Integer> groupsOf(Case c, Set<String> names) {
        Map<String, Integer> groups = new HashMap<>();
        for (String name : names)
            groups.put(
                    name,
                    switch (c.groups) {
                        case ONE -> 0;
                        case EQUAL -> name.startsWith("a") ? 0 : name.equals("b") ? 1 : 2;
                        case OTHER_DECAYS -> name.endsWith(".bias") ? 0 : 1;
                        case FROZEN -> name.equals("frozen") ? -1 : 0;
                        case LATE -> name.equals("late") ? 0 : 1;
                    });
        return groups;
    }

    private static Schedule schedule(Rule rule, Case c, int from) {
        return switch (c.rates) {
            case CONSTANT -> Schedule.of(rule);
            case SCHEDULE -> LearningRate.cosine(0.02, 0.001, 6).warmUp(2).of(rule);
            case CHANGED_HALF_WAY -> from == 1 ? Schedule.of(rule) : t -> rule.lr(0.5 / t);
        };
    }

    /** An optimizer of one engine. */
    private static final class Runner {
        final Engine engine;
        final Case c;
        final List<Rule> rules;
        final Map<String, Tensor> p = new HashMap<>(), g = new HashMap<>();
        final LossScale scale;
        Optimizer optimizer;

        /** Of the parameters of an update, the update as it was recorded. */
        final Map<Set<String>, Graph> graphs = new HashMap<>();

        int from = 1;

        Runner(Engine engine, Rule rule, Case c) {
            this.engine = engine;
            this.c = c;
            rules = rulesOf(rule, c);
            scale = engine.lossScale(LossScaling.dynamic().initial(LOSS_SCALE).interval(2));
            c.sizes(rule).forEach((name, size) -> {
                p.put(name, engine.zeros(c.precision.param(name), size));
                g.put(name, engine.zeros(c.precision.grad, size));
            });
            optimizer = make();
        }

        private Optimizer make() {
            List<Schedule> s =
                    rules.stream().map(rule -> schedule(rule, c, from)).toList();
            Group[] groups =
                    switch (c.groups) {
                        case ONE -> new Group[] {Group.rest(s.get(0))};
                        case EQUAL ->
                            new Group[] {Group.of("a*", s.get(0)), Group.of("b", s.get(1)), Group.rest(s.get(2))};
                        case OTHER_DECAYS -> new Group[] {Group.of("*.bias", s.get(0)), Group.rest(s.get(1))};
                        case FROZEN -> new Group[] {Group.frozen("fro*"), Group.rest(s.get(0))};
                        case LATE -> new Group[] {Group.of("late", s.get(0)).orEmpty(), Group.rest(s.get(1))};
                    };
            for (int n = 0; n < groups.length; n++)
                groups[n] = averaged(groups[n], c.averages)
                        .master(c.precision.master(rules.get(0)))
                        .state(groups[n].schedule().isEmpty() ? StateFormat.FLOAT32 : c.states.of(rules.get(0)));
            Optimizer made = engine.optimizer(groups).guard(c.guard());
            if (c.scalesLoss) made.lossScale(scale);
            return c.zeroes ? made.zeroGradients() : made;
        }

        private static Group averaged(Group group, Averages averages) {
            if (group.schedule().isEmpty()) return group;
            return switch (averages) {
                case NONE -> group;
                case EMA -> group.average(0.75);
                case LOOKAHEAD -> group.lookahead(3, 0.5);
            };
        }

        void change() {
            from = 5;
            int n = 0;
            for (Group group : optimizer.groups()) {
                if (group.schedule().isPresent())
                    optimizer.schedule(group.pattern(), schedule(rules.get(n++), c, from));
            }
        }

        void resume() {
            Map<String, Map<String, Tensor>> saved = new HashMap<>();
            for (String name : p.keySet()) if (optimizer.knows(name)) saved.put(name, optimizer.state(name));
            Optimizer resumed = make();
            resumed.resume(optimizer.counts(), saved);
            closeOptimizer();
            optimizer = resumed;
        }

        private void closeOptimizer() {
            graphs.values().forEach(Graph::close);
            graphs.clear();
            optimizer.close();
        }

        void close() {
            closeOptimizer();
            scale.close();
            p.values().forEach(Tensor::close);
            g.values().forEach(Tensor::close);
        }

        void update(Map<String, float[]> grads) {
            Map<String, Tensor> params = new HashMap<>(), gradients = new HashMap<>();
            grads.forEach((name, values) -> {
                g.get(name).set(values);
                gradients.put(name, g.get(name));
                params.put(name, p.get(name));
            });
            if (c.groups == Groups.FROZEN) params.put("frozen", p.get("frozen"));
            Graph graph = graphs.get(params.keySet());
            if (graph != null) {
                graph.launch();
                return;
            }
            optimizer.update(params, gradients);
            if (c.captured) graphs.put(params.keySet(), engine.capture(() -> optimizer.update(params, gradients)));
        }

        /** While an evaluation is open each parameter is what is to be used of it, and afterwards what it was. */
        private void checkUsed(Plain plain) {
            try (Evaluation using = optimizer.evaluating(p)) {
                assertTrue(optimizer.isEvaluating(), using::toString);
                plain.states.forEach((name, arrays) -> assertSameBits(
                        plain.used(name, rules.get(0)), p.get(name).get()));
                if (c.groups == Groups.FROZEN)
                    assertSameBits(plain.params.get("frozen"), p.get("frozen").get());
            }
            plain.params.forEach(
                    (name, values) -> assertSameBits(values, p.get(name).get()));
        }

        void check(Plain plain, Set<String> names, int t) {
            plain.params.forEach(
                    (name, values) -> assertSameBits(values, p.get(name).get()));
            plain.states.forEach((name, arrays) -> {
                List<Tensor> state = List.copyOf(optimizer.state(name).values());
                assertEquals(arrays.length, state.size());
                for (int n = 0; n < arrays.length; n++)
                    assertSameBits(arrays[n], state.get(n).get());
            });
            if (c.zeroes)
                for (String name : names)
                    if (plain.states.containsKey(name))
                        assertSameBits(
                                new float[(int) g.get(name).size()], g.get(name).get());
            if (!c.looks && t < UPDATES) return;
            checkUsed(plain);
            Counts counts = new Counts(plain.steps, plain.skipped, plain.counts);
            if (c.scalesLoss) counts = counts.lossScale(new LossScale.State(plain.lossScale, plain.good, 1, false));
            assertEquals(counts, optimizer.counts());
            if (c.skips()) assertEquals(plain.norm, optimizer.norm());
        }
    }

    // ---- which cases ----

    @Test
    void everyPairOfOptionsMeets() {
        Set<List<Integer>> met = new HashSet<>();
        for (int[] c : covering(2, new Random(SEED))) met.addAll(choicesOf(c, 2));
        int expected = 0;
        for (int a = 0; a < CHOICES.length; a++)
            for (int b = a + 1; b < CHOICES.length; b++) expected += CHOICES[a] * CHOICES[b];
        assertEquals(expected, met.size());
    }

    /** Cases in which all choices of every so many options meet: each begins with some that have not met, and then takes what meets most that have not. */
    private static List<int[]> covering(int options, Random random) {
        Set<List<Integer>> left = new LinkedHashSet<>();
        addAll(new int[CHOICES.length], 0, options, left);
        List<int[]> cases = new ArrayList<>();
        while (!left.isEmpty()) {
            int[] c =
                    left.iterator().next().stream().mapToInt(Integer::intValue).toArray();
            for (int n = 0; n < c.length; n++) {
                if (c[n] >= 0) continue;
                int best = -1, most = -1;
                int offset = random.nextInt(CHOICES[n]);
                for (int choice = 0; choice < CHOICES[n]; choice++) {
                    c[n] = (choice + offset) % CHOICES[n];
                    int meets = 0;
                    for (List<Integer> each : choicesOf(c, options)) if (left.contains(each)) meets++;
                    if (meets > most) {
                        most = meets;
                        best = c[n];
                    }
                }
                c[n] = best;
            }
            left.removeAll(choicesOf(c, options));
            cases.add(c);
        }
        return cases;
    }

    /** Adds all choices of so many of the options from one on: −1 stands where there is no choice. */
    private static void addAll(int[] c, int from, int options, Set<List<Integer>> all) {
        if (from == c.length) {
            if (options == 0) all.add(list(c));
            return;
        }
        c[from] = -1;
        addAll(c, from + 1, options, all);
        for (int choice = 0; options > 0 && choice < CHOICES[from]; choice++) {
            c[from] = choice;
            addAll(c, from + 1, options - 1, all);
        }
    }

    /** What a case has of the choices of so many options. */
    private static Set<List<Integer>> choicesOf(int[] c, int options) {
        Set<List<Integer>> all = new HashSet<>();
        addSome(c, c.clone(), 0, options, all);
        return all;
    }

    private static void addSome(int[] c, int[] some, int from, int options, Set<List<Integer>> all) {
        if (from == c.length) {
            if (options == 0) all.add(list(some));
            return;
        }
        some[from] = -1;
        addSome(c, some, from + 1, options, all);
        if (options > 0 && c[from] >= 0) {
            some[from] = c[from];
            addSome(c, some, from + 1, options - 1, all);
        }
    }

    private static List<Integer> list(int[] c) {
        return Arrays.stream(c).boxed().toList();
    }
}
