package kudari.test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.EnumSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kudari.Engines;
import kudari.LawsRules;
import kudari.rule.CustomRule;
import kudari.rule.Rule;
import kudari.rule.TensorRule;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.opentest4j.TestAbortedException;

/** The laws hold for rules that are right, and each fails where a rule breaks it. */
class RuleLawsTest {

    /** What is wrong with a twin of {@link AddSign}, and the law that is to notice. */
    enum Damage {
        NONE(""),
        LR_LOSES_L2("eachMethodChangesWhatItIsNamedFor"),
        DECAY_IS_L2("eachMethodChangesWhatItIsNamedFor"),
        ANOTHER_KERNEL_AT_ANOTHER_RATE("eachMethodChangesWhatItIsNamedFor"),
        NAMES_CHANGE("theStateStaysWhatItIs"),
        NO_NAMES("theStateStaysWhatItIs"),
        BEGINNINGS_CHANGE("theStateStaysWhatItIs"),
        EVALUATION_CHANGES("theStateStaysWhatItIs"),
        SCALARS_COUNT_CALLS("theScalarsDependOnTheStepAlone"),
        SCALARS_OVERFLOW("theScalarsDependOnTheStepAlone"),
        THE_ENGINES_SCALAR("theScalarsDependOnTheStepAlone"),
        A_SCALAR_THAT_NOBODY_SETS("theScalarsDependOnTheStepAlone"),
        LOOKS_AT_NEIGHBOURS("anyCutOfTheRangeGivesTheSameBits"),
        GOES_BEYOND_THE_RANGE("anyCutOfTheRangeGivesTheSameBits"),
        CHANGES_THE_GRADIENT("anyCutOfTheRangeGivesTheSameBits"),
        CHANGES_THE_SCALARS("anyCutOfTheRangeGivesTheSameBits"),
        DEPENDS_ON_THE_THREAD("threadsDoNotChangeABit"),
        NO_SCALE("theGradientIsScaledAndPenalizedFirst"),
        NO_L2("theGradientIsScaledAndPenalizedFirst"),
        NO_TRUST("theUpdateIsTrustedAndDecaysLast"),
        NO_DECAY("theUpdateIsTrustedAndDecaysLast"),
        COUPLED_DECAY("theUpdateIsTrustedAndDecaysLast"),
        MOVES_AT_A_RATE_OF_ZERO("aRateOfZeroMovesNothing"),
        NO_NUMBER_AT_A_RATE_OF_ZERO("aRateOfZeroMovesNothing"),
        STATE_FADES("noStateBecomesSubnormal"),
        HIDDEN_STATE("aResumedRunEndsInTheBitsOfOneThatNeverStopped"),
        ANOTHER_LOOP_ON_THE_DEVICE("theDeviceComputesTheBitsOfTheCpu"),
        A_FUSED_OPERATION_ON_THE_DEVICE("theDeviceComputesTheBitsOfTheCpu");

        final String law;

        Damage(String law) {
            this.law = law;
        }
    }

    /** AddSign, but for what is wrong with it. */
    record Twin(Damage damage, AddSign right) implements CustomRule {

        private static int calls;
        private static final Map<float[], Integer> SEEN = Collections.synchronizedMap(new IdentityHashMap<>());

        private Twin with(AddSign other) {
            return new Twin(damage, other);
        }

        private boolean is(Damage other) {
            return damage == other;
        }

        @Override
        public double lr() {
            return right.lr();
        }

        @Override
        public double l2() {
            return right.l2();
        }

        @Override
        public double decay() {
            return right.decay();
        }

        @Override
        public Twin lr(double lr) {
            return with(is(Damage.LR_LOSES_L2) ? right.lr(lr).l2(0) : right.lr(lr));
        }

        @Override
        public Twin l2(double l2) {
            return with(right.l2(l2));
        }

        @Override
        public Twin decay(double decay) {
            return with(is(Damage.DECAY_IS_L2) ? right.l2(decay) : right.decay(decay));
        }

        @Override
        public List<String> state() {
            if (is(Damage.NO_NAMES)) return List.of("");
            return is(Damage.NAMES_CHANGE) ? List.of("m" + calls++) : right.state();
        }

        @Override
        public float initial(int array) {
            return is(Damage.BEGINNINGS_CHANGE) ? calls++ : 0;
        }

        @Override
        public float evaluation(int array) {
            return is(Damage.EVALUATION_CHANGES) ? calls++ : 0;
        }

        @Override
        public void at(long t, float[] k) {
            right.at(t, k);
            if (is(Damage.SCALARS_COUNT_CALLS)) k[3] = 1f / (2 + calls++);
            if (is(Damage.SCALARS_OVERFLOW)) k[5] = (float) Math.pow(2, t);
            if (is(Damage.THE_ENGINES_SCALAR)) k[Rule.SCALARS - 3] = 1;
            if (is(Damage.NO_L2)) k[0] = 0;
            if (is(Damage.NO_DECAY) || is(Damage.COUPLED_DECAY)) k[1] = 0;
            if (is(Damage.COUPLED_DECAY)) k[0] = (float) (l2() + decay());
            if (is(Damage.MOVES_AT_A_RATE_OF_ZERO)) k[2] = Math.max(k[2], 1e-3f);
        }

        @Override
        public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
            float[] m = s[0], before = m.clone(), start = p.clone();
            right.apply(k, is(Damage.NO_SCALE) ? 1 : scale, is(Damage.NO_TRUST) ? 1 : trust, from, to, p, g, s);
            int seen = is(Damage.HIDDEN_STATE) ? SEEN.merge(p, 1, Integer::sum) : 0;
            boolean helper = !Thread.currentThread().getName().equals("main");
            for (int i = from; i < to; i++) {
                if (is(Damage.A_SCALAR_THAT_NOBODY_SETS)) p[i] += k[9];
                if (is(Damage.LOOKS_AT_NEIGHBOURS)) p[i] += g[Math.max(from, i - 1)];
                if (is(Damage.CHANGES_THE_GRADIENT)) g[i] = 0;
                if (is(Damage.DEPENDS_ON_THE_THREAD) && helper) p[i]++;
                if (is(Damage.NO_NUMBER_AT_A_RATE_OF_ZERO)) p[i] -= k[2] * (m[i] * 1e30f);
                if (is(Damage.STATE_FADES)) m[i] = k[3] * before[i] + k[4] * (scale * g[i] + k[0] * start[i]);
                if (is(Damage.HIDDEN_STATE)) p[i] += seen;
            }
            if (is(Damage.GOES_BEYOND_THE_RANGE) && to < p.length) m[to]++;
            if (is(Damage.CHANGES_THE_SCALARS)) k[2] /= 2;
        }

        @Override
        public String kernel() {
            String text = right.kernel().replace("addsign", "twin");
            if (is(Damage.ANOTHER_KERNEL_AT_ANOTHER_RATE)) return text + "// " + lr();
            if (is(Damage.ANOTHER_LOOP_ON_THE_DEVICE)) return text.replace("(1 + ", "(0 + ");
            if (is(Damage.A_FUSED_OPERATION_ON_THE_DEVICE))
                return text.replace("beta * m[i] + rest * gi", "__fmaf_rn(beta, m[i], rest * gi)");
            return text;
        }
    }

    /** The laws of a rule. */
    private static final class Laws extends RuleLaws {
        private final Rule rule;
        private final Optional<Path> source;

        Laws(Rule rule, Optional<Path> source) {
            this.rule = rule;
            this.source = source;
        }

        @Override
        protected Rule rule() {
            return rule;
        }

        @Override
        protected Optional<Path> source() {
            return source;
        }

        /** Without the wrapping of reflection. */
        void run(String law) throws Throwable {
            try {
                RuleLaws.class.getMethod(law).invoke(this);
            } catch (InvocationTargetException e) {
                throw e.getCause();
            }
        }
    }

    private static Laws laws(Rule rule) {
        return new Laws(rule, Optional.empty());
    }

    private static Laws twin(Damage damage) {
        return laws(new Twin(damage, new AddSign(0.01, 0.9, 0, 0)));
    }

    private static List<String> all() {
        return Stream.of(RuleLaws.class.getMethods())
                .filter(method -> method.isAnnotationPresent(Test.class))
                .map(Method::getName)
                .sorted()
                .toList();
    }

    /** All of them but those on a device, which take long there, and the texts, which are not where those of others are. */
    private static void holdOnTheCpu(Laws laws, String... but) throws Throwable {
        for (String law : all()) {
            if (List.of(but).contains(law) || law.startsWith("theDevice") || law.startsWith("javaAndCuda")) continue;
            // What looks at a whole tensor, which a rule of one's own does not, has trust in lines of its own.
            if (law.startsWith("theUpdateIsTrusted") && laws.rule() instanceof TensorRule) continue;
            laws.run(law);
        }
    }

    @ParameterizedTest
    @MethodSource("kudari.LawsRules#all")
    void theyHoldForEveryRuleOfOurs(Rule rule) throws Throwable {
        assumeTrue(!Engines.onCuda(), "they ran on the CPU");
        if (LawsRules.decaysInside(rule)) holdOnTheCpu(laws(rule), "theUpdateIsTrustedAndDecaysLast");
        else holdOnTheCpu(laws(rule));
    }

    @Test
    void theyHoldForTheTwinThatIsNotDamaged() throws Throwable {
        holdOnTheCpu(twin(Damage.NONE));
        if (Engines.onCuda()) twin(Damage.NONE).run("theDeviceComputesTheBitsOfTheCpu");
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "NONE")
    void eachNoticesWhatIsWrong(Damage damage) {
        assumeTrue(Engines.onCuda() || !damage.law.startsWith("theDevice"), "there is no device");
        Throwable thrown = assertThrows(Throwable.class, () -> twin(damage).run(damage.law));
        assertFalse(thrown instanceof TestAbortedException, "skipped");
        boolean refused = damage == Damage.NO_NAMES || damage == Damage.NAMES_CHANGE;
        assertTrue(thrown instanceof AssertionError || refused, thrown.toString());
    }

    @Test
    void everyLawHasSomethingToNotice() {
        Set<String> noticed = EnumSet.complementOf(EnumSet.of(Damage.NONE)).stream()
                .map(damage -> damage.law)
                .collect(Collectors.toSet());
        noticed.add("javaAndCudaSayTheSame"); // below
        assertEquals(Set.copyOf(all()), noticed);
    }

    @Test
    void aDifferenceOfTheTextsIsNoticed(@TempDir Path folder) throws Throwable {
        String java = Files.readString(Path.of("src/test/java/kudari/test/AddSign.java"));
        Path same = Files.writeString(
                folder.resolve("same.java"), java.replace("i++", "++i").replace(" = k[0]", "=k[0]"));
        Path other = Files.writeString(folder.resolve("other.java"), java.replace("beta * m[i] +", "beta * m[i] -"));
        Path more = Files.writeString(
                folder.resolve("more.java"), java.replace("decay, trust);\n", "decay, trust);\np[i]++;"));
        Rule rule = new AddSign(0.01, 0.9, 0, 0);
        new Laws(rule, Optional.of(same)).run("javaAndCudaSayTheSame");
        for (Path path : List.of(other, more))
            assertThrows(AssertionError.class, () -> new Laws(rule, Optional.of(path)).run("javaAndCudaSayTheSame"));
        assertThrows(TestAbortedException.class, () -> laws(rule).run("javaAndCudaSayTheSame"));
    }
}
