package kudari;

import static kudari.OptimizerTest.refused;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.RecordComponent;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import kudari.rule.AdEMAMix;
import kudari.rule.AdaBelief;
import kudari.rule.AdaDelta;
import kudari.rule.AdaGrad;
import kudari.rule.Adafactor;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Adamax;
import kudari.rule.Adan;
import kudari.rule.Adopt;
import kudari.rule.AmsGrad;
import kudari.rule.Ftrl;
import kudari.rule.Lamb;
import kudari.rule.Lars;
import kudari.rule.Lion;
import kudari.rule.Madgrad;
import kudari.rule.MatrixRule.Precision;
import kudari.rule.Momentum;
import kudari.rule.Muon;
import kudari.rule.Muon.Coefficients;
import kudari.rule.Muon.Scaling;
import kudari.rule.NAdam;
import kudari.rule.Nesterov;
import kudari.rule.NovoGrad;
import kudari.rule.RAdam;
import kudari.rule.RmsProp;
import kudari.rule.RmsPropCentered;
import kudari.rule.RmsPropMomentum;
import kudari.rule.Rprop;
import kudari.rule.Rule;
import kudari.rule.ScheduleFreeAdamW;
import kudari.rule.ScheduleFreeSgd;
import kudari.rule.Sgd;
import kudari.rule.SignSgd;
import kudari.rule.Yogi;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Hyperparameters out of range are refused, by name and value. */
class RuleArgumentsTest {

    static Stream<Arguments> bad() {
        return Stream.of(
                bad("lr", "-0.1", () -> Sgd.of(-0.1)),
                bad("lr", "NaN", () -> Sgd.of(Double.NaN)),
                bad("lr", "Infinity", () -> Sgd.of(Double.POSITIVE_INFINITY)),
                bad("lr", "1.0E39", () -> Sgd.of(1e39)),
                bad("lr", "-0.1", () -> Momentum.of(-0.1)),
                bad("lr", "NaN", () -> Momentum.pytorch(Double.NaN)),
                bad("momentum", "1.0", () -> Momentum.of(0.1).momentum(1)),
                bad("momentum", "-0.5", () -> Momentum.of(0.1).momentum(-0.5)),
                bad("momentum", "NaN", () -> Momentum.of(0.1).momentum(Double.NaN)),
                bad("momentum", "0.99999999", () -> Momentum.of(0.1).momentum(0.99999999)),
                bad("dampening", "1.0", () -> Momentum.of(0.1).dampening(1)),
                bad("lr", "-0.1", () -> Nesterov.of(-0.1)),
                bad("momentum", "1.5", () -> Nesterov.pytorch(0.1).momentum(1.5)),
                bad("l2", "-1.0", () -> Sgd.of(0.1).l2(-1)),
                bad("l2", "1.0E-50", () -> Adam.of().l2(1e-50)),
                bad("decay", "NaN", () -> Momentum.of().decay(Double.NaN)),
                bad("decay", "-0.1", () -> AdamW.of().decay(-0.1)),
                bad("lr·decay", "1.0E40", () -> RmsProp.of(1e20).decay(1e20)),
                bad("lr", "NaN", () -> AdaGrad.of(Double.NaN)),
                bad("lrDecay", "-0.1", () -> AdaGrad.of().lrDecay(-0.1)),
                bad("initialAccumulator", "-1.0", () -> new AdaGrad(0.1, 0, -1, 1e-7, 0, 0, 0)),
                bad("eps", "1.0E-46", () -> new AdaGrad(0.1, 0, 0, 1e-46, 0, 0, 0)),
                bad("eps", "NaN", () -> new AdaGrad(0.1, 0, 0, Double.NaN, 0, 0, 0)),
                bad("epsRoot", "-1.0E-7", () -> new AdaGrad(0.1, 0, 0, 1e-7, -1e-7, 0, 0)),
                bad("initialAccumulator + eps + epsRoot", "0.0", () -> new AdaGrad(0.1, 0, 0, 0, 0, 0, 0)),
                // Which the first step would round to 0.
                bad("initialAccumulator + eps + epsRoot", "0.0", () -> new AdaGrad(0.1, 0, 1e-39, 0, 0, 0, 0)),
                bad("rho", "1.0", () -> new RmsProp(0.1, 1, 0, 1e-7, 0, false, 0, 0)),
                bad("epsRoot", "1.0E-50", () -> new RmsProp(0.1, 0.9, 0, 0, 1e-50, false, 0, 0)),
                bad("eps + epsRoot", "0.0", () -> new RmsProp(0.1, 0.9, 0, 0, 0, false, 0, 0)),
                bad("epsRoot", "1.0E-45", () -> RmsProp.of()
                        .biasCorrection(true)
                        .epsRoot(1e-45)),
                bad("momentum", "1.0", () -> RmsPropMomentum.of().momentum(1)),
                bad("eps + epsRoot", "0.0", () -> RmsPropMomentum.of().eps(0)),
                bad("rho", "1.0", () -> RmsPropCentered.of().rho(1)),
                bad("eps + epsRoot", "0.0", () -> RmsPropCentered.of().eps(0)),
                bad("lr", "-0.1", () -> Lion.of(-0.1)),
                bad("beta1", "1.0", () -> Lion.of().betas(1, 0.99)),
                bad("beta2", "-0.5", () -> Lion.of().betas(0.9, -0.5)),
                bad("lr", "NaN", () -> SignSgd.of(Double.NaN)),
                bad("grow", "1.0", () -> Rprop.of().factors(1, 0.5)),
                bad("shrink", "1.0", () -> Rprop.of().factors(1.2, 1)),
                bad("smallest", "0.0", () -> Rprop.of().sizes(0, 50)),
                bad("largest", "1.0E-7", () -> Rprop.of().sizes(1e-6, 1e-7)),
                bad("momentum", "1.0", () -> Madgrad.of().momentum(1)),
                bad("eps", "0.0", () -> Madgrad.of().eps(0)),
                bad("lasso", "-1.0", () -> Ftrl.of().lasso(-1)),
                bad("ridge", "NaN", () -> Ftrl.of().ridge(Double.NaN)),
                bad("initialAccumulator + beta", "0.0", () -> Ftrl.of().initialAccumulator(0)),
                bad("lr", "-1.0", () -> Adam.of(-1)),
                bad("beta1", "1.0", () -> new Adam(0.1, 1, 0.999, 0, 1e-7, 0, true, 0, 0)),
                bad("beta2", "NaN", () -> new Adam(0.1, 0.9, Double.NaN, 0, 1e-7, 0, true, 0, 0)),
                bad("epsHat", "1.0E-46", () -> new Adam(0.1, 0.9, 0.999, 0, 1e-46, 0, true, 0, 0)),
                bad("eps", "1.0E-44", () -> new Adam(0.1, 0.9, 0.999, 1e-44, 0, 0, true, 0, 0)),
                bad(
                        "epsRoot",
                        "Infinity",
                        () -> new Adam(0.1, 0.9, 0.999, 0, 1e-7, Double.POSITIVE_INFINITY, true, 0, 0)),
                bad("eps + epsHat + epsRoot", "0.0", () -> new Adam(0.1, 0.9, 0.999, 0, 0, 0, true, 0, 0)),
                bad("eps + epsHat + epsRoot", "0.0", () -> AmsGrad.of(0.1).epsHat(0)),
                // Which float32 holds, but not when it is corrected.
                bad("eps", "1.0E-45", () -> AmsGrad.pytorch(0.1).eps(1e-45)),
                bad("eps", "1.0E-45", () -> NAdam.of(0.1).eps(1e-45)),
                bad("eps", "1.0E-45", () -> RAdam.optax(0.1).eps(1e-45)),
                bad("eps", "1.0E-45", () -> Yogi.of(0.1).eps(1e-45)),
                bad("eps", "1.0E-45", () -> Adan.of(0.1).eps(1e-45)),
                bad("eps", "1.0E-45", () -> AdEMAMix.of(0.1).eps(1e-45)),
                bad("eps", "1.0E-45", () -> RmsPropMomentum.of(0.1)
                        .biasCorrection(true)
                        .eps(1e-45)),
                bad("eps + epsRoot", "0.0", () -> AdaBelief.of(0.1).eps(0).epsRoot(1e-39)),
                bad("psi", "-1.0", () -> NAdam.of(0.1).psi(-1)),
                bad("psi", "NaN", () -> NAdam.of(0.1).psi(Double.NaN)),
                bad("threshold", "3.0", () -> RAdam.of(0.1).threshold(3)),
                bad("eps + epsMax", "0.0", () -> Adamax.of(0.1).epsMax(1e-39)),
                bad("eps", "0.0", () -> AdaDelta.of(0.1).eps(0)),
                bad("eps + epsRoot", "0.0", () -> Yogi.of(0.1).eps(0)),
                bad("ahead", "-1.0", () -> Adan.of(0.1).ahead(-1)),
                bad("beta3", "1.0", () -> Adan.of(0.1).betas(0.98, 0.92, 1)),
                bad("alpha", "-1.0", () -> AdEMAMix.of(0.1).alpha(-1)),
                bad("warmUp", "-1.0", () -> AdEMAMix.of(0.1).warmUp(-1)),
                bad("beta", "0.0", () -> ScheduleFreeSgd.of().beta(0)),
                bad("beta", "1.0", () -> ScheduleFreeSgd.of().beta(1)),
                bad("warmUp", "-1.0", () -> ScheduleFreeSgd.of().warmUp(-1)),
                bad("beta1", "1.0E-39", () -> ScheduleFreeAdamW.of().betas(1e-39, 0.999)),
                bad("beta1", "NaN", () -> ScheduleFreeAdamW.of().betas(Double.NaN, 0.999)),
                bad("beta2", "1.0", () -> ScheduleFreeAdamW.of().betas(0.9, 1)),
                bad("eps", "0.0", () -> ScheduleFreeAdamW.of().eps(0)),
                bad("eps", "1.0E-45", () -> ScheduleFreeAdamW.of().eps(1e-45)),
                bad("warmUp", "-2.0", () -> ScheduleFreeAdamW.of().warmUp(-2)),
                bad("eps", "0.0", () -> Adopt.of(0.1).eps(0)),
                bad("momentum", "1.0", () -> Muon.of(0.1).momentum(1)),
                bad("iterations", "0.0", () -> Muon.of(0.1).iterations(0)),
                bad("iterations", "21.0", () -> Muon.of(0.1).iterations(21)),
                bad("eps", "0.0", () -> Muon.of(0.1).eps(0)),
                bad("momentum", "1.0", () -> Lars.of(0.1).momentum(1)),
                bad("coefficient", "0.0", () -> Lars.of(0.1).coefficient(0)),
                bad("coefficient", "1.0E-46", () -> Lars.of(0.1).coefficient(1e-46)),
                bad("eps", "-1.0", () -> Lars.of(0.1).eps(-1)),
                bad("beta2", "1.0", () -> NovoGrad.of(0.1).betas(0.9, 1)),
                bad("eps", "0.0", () -> NovoGrad.of(0.1).eps(0)),
                bad("momentDecay", "NaN", () -> NovoGrad.of(0.1).momentDecay(Double.NaN)),
                bad("eps", "0.0", () -> Lamb.of(0.1).eps(0)),
                // Which float32 holds, but not when it is corrected.
                bad("eps", "1.0E-45", () -> Lamb.of(0.1).eps(1e-45)),
                bad("least", "-1.0", () -> Lamb.of(0.1).clamp(-1, 10)),
                bad("most", "0.5", () -> Lamb.of(0.1).clamp(1, 0.5)),
                bad("most", "NaN", () -> Lamb.of(0.1).clamp(1, Double.NaN)),
                bad("most", "0.0", () -> Lamb.of(0.1).clamp(0, 0)),
                bad("most", "1.0E-46", () -> Lamb.of(0.1).clamp(0, 1e-46)),
                bad("exponent", "0.0", () -> Adafactor.of(0.1).exponent(0)),
                bad("eps, floor", "0.0", () -> Adafactor.of(0.1).eps(0, 0)),
                bad("floor", "1.5", () -> Adafactor.of(0.1).eps(0, 1.5)),
                bad("threshold", "0.0", () -> Adafactor.of(0.1).threshold(0)),
                bad("smallest", "0.0", () -> Adafactor.of(0.1).smallest(0)));
    }

    private static Arguments bad(String name, String value, Executable call) {
        return Arguments.of(name, value, call);
    }

    @ParameterizedTest(name = "{0} = {1}")
    @MethodSource("bad")
    void anArgumentOutOfRangeIsRefusedByNameAndValue(String name, String value, Executable call) {
        refused(IllegalArgumentException.class, call, name + ": expected ", ", got " + value);
    }

    @Test
    void aChoiceThatIsNoneIsRefusedByName() {
        refused(NullPointerException.class, () -> Muon.of().coefficients(null), "coefficients");
        refused(NullPointerException.class, () -> Muon.of().precision(null), "precision");
        refused(NullPointerException.class, () -> Muon.of().scaling(null), "scaling");
    }

    @Test
    void theEdgesOfTheRangesAreLegal() {
        assertDoesNotThrow(() -> {
            Sgd.of(0);
            Sgd.of(Float.MAX_VALUE);
            Momentum.of(0).momentum(0);
            Muon.of(0).momentum(0).iterations(1).iterations(20);
            new AdaGrad(0, 0, 0, Float.MIN_VALUE, 0, 0, 0);
            new RmsProp(0, 0, 0, 0, Float.MIN_VALUE, false, 0, 0);
            new Adam(0, 0, 0, 0, Float.MIN_VALUE, 0, true, 0, 0);
        });
    }

    static Stream<Rule> rules() {
        return Stream.concat(RulesTest.TABLE.stream().map(row -> row.of().apply(0.5)), Stream.of(Muon.of(0.5)));
    }

    /** What is no number or negative, a fraction that keeps all, and what float32 cannot tell from 0. */
    @ParameterizedTest
    @MethodSource("rules")
    void noNumberOfAnyRuleIsLeftUnchecked(Rule rule) throws ReflectiveOperationException {
        RecordComponent[] components = rule.getClass().getRecordComponents();
        Constructor<?> constructor = rule.getClass()
                .getConstructor(
                        Stream.of(components).map(RecordComponent::getType).toArray(Class<?>[]::new));
        Object[] values = new Object[components.length];
        for (int n = 0; n < values.length; n++)
            values[n] = components[n].getAccessor().invoke(rule);
        for (int n = 0; n < values.length; n++) {
            String name = components[n].getName();
            Object[] changed = values.clone();
            if (components[n].getType() != double.class) continue;
            for (double bad : new double[] {Double.NaN, -1, 1, 1e-50}) {
                if (bad == 1 && !FRACTIONS.contains(name)) continue;
                if (bad == 1e-50 && !name.startsWith("eps") && !VANISHING.contains(name)) continue;
                changed[n] = bad;
                Throwable refusal = assertThrows(
                                InvocationTargetException.class,
                                () -> constructor.newInstance(changed),
                                () -> name + " of " + bad + " is taken")
                        .getCause();
                assertEquals(IllegalArgumentException.class, refusal.getClass());
                assertTrue(refusal.getMessage().startsWith(name + ": expected "), refusal.getMessage());
                assertTrue(refusal.getMessage().endsWith(", got " + bad), refusal.getMessage());
            }
        }
    }

    private static final Set<String> FRACTIONS =
            Set.of("beta1", "beta2", "beta3", "rho", "momentum", "dampening", "shrink");

    private static final Set<String> VANISHING =
            Set.of("l2", "initialAccumulator", "beta", "lasso", "ridge", "least", "floor");

    /** Of PyTorch, TensorFlow and Keras: the sums and means of squares; of optax's Yogi the mean of gradients, too. */
    @Test
    void anAccumulatorStartsWhereItIsToldAndNoOtherArrayDoes() {
        for (Rule rule : List.of(
                AdaGrad.of().initialAccumulator(0.25),
                RmsProp.of().initialAccumulator(0.25),
                RmsPropMomentum.of().initialAccumulator(0.25),
                RmsPropCentered.of().initialAccumulator(0.25),
                Ftrl.of().initialAccumulator(0.25),
                Yogi.of().initialAccumulator(0.25))) {
            for (int array = 0; array < rule.state().size(); array++)
                assertEquals(array == 0 || rule instanceof Yogi ? 0.25f : 0, rule.initial(array), rule + ": " + array);
        }
    }

    /** The defaults of «ゼロから作る Deep Learning», chapter 6. */
    @Test
    void theDefaultsAreTheBooks() {
        assertEquals(new Sgd(0.01, 0, 0), Sgd.of());
        assertEquals(new Momentum(0.01, 0.9, 0, true, 0, 0), Momentum.of());
        assertEquals(new Nesterov(0.01, 0.9, true, 0, 0), Nesterov.of());
        assertEquals(new AdaGrad(0.01, 0, 0, 1e-7, 0, 0, 0), AdaGrad.of());
        assertEquals(new RmsProp(0.01, 0.99, 0, 1e-7, 0, false, 0, 0), RmsProp.of());
        assertEquals(new Adam(0.001, 0.9, 0.999, 0, 1e-7, 0, true, 0, 0), Adam.of());
    }

    /** PyTorch 2.13's, Keras 3's and optax's, as their documentation prints them; PyTorch's λ of AdamW is 0.01. */
    @Test
    void theConventionsAreTheLibraries() {
        assertEquals(new Momentum(0.1, 0.9, 0, false, 0, 0), Momentum.pytorch(0.1));
        assertEquals(new Nesterov(0.1, 0.9, false, 0, 0), Nesterov.pytorch(0.1));
        assertEquals(new AdaGrad(0.01, 0, 0, 1e-10, 0, 0, 0), AdaGrad.pytorch(0.01));
        assertEquals(new AdaGrad(0.001, 0, 0.1, 0, 1e-7, 0, 0), AdaGrad.keras(0.001));
        assertEquals(new RmsProp(0.01, 0.99, 0, 1e-8, 0, false, 0, 0), RmsProp.pytorch(0.01));
        assertEquals(new RmsProp(0.001, 0.9, 0, 0, 1e-7, false, 0, 0), RmsProp.keras(0.001));
        assertEquals(new RmsProp(0.001, 0.9, 0, 0, 1e-8, false, 0, 0), RmsProp.optax(0.001));
        assertEquals(new Lion(0.001, 0.9, 0.99, 0, 0.001), Lion.optax(0.001));
        assertEquals(new Adam(0.001, 0.9, 0.999, 1e-8, 0, 0, true, 0, 0), Adam.pytorch(0.001));
        assertEquals(new Adam(0.001, 0.9, 0.999, 1e-8, 0, 0, true, 0, 0.01), AdamW.of());
        assertEquals(new Adam(0.001, 0.9, 0.999, 0, 0, 1e-7, false, 0, 0), Adam.article(0.001));
        assertEquals(new AmsGrad(0.001, 0.9, 0.999, 0, 1e-7, 0, false, 0, 0), AmsGrad.of());
        assertEquals(new AmsGrad(0.1, 0.9, 0.999, 1e-8, 0, 0, false, 0, 0), AmsGrad.pytorch(0.1));
        assertEquals(new AmsGrad(0.1, 0.9, 0.999, 1e-8, 0, 0, true, 0, 0), AmsGrad.optax(0.1));
        assertEquals(new AdaBelief(0.001, 0.9, 0.999, 1e-16, 1e-16, 0, 0), AdaBelief.of());
        assertEquals(new NAdam(0.002, 0.9, 0.999, 0.004, 1e-8, 0, 0), NAdam.of());
        assertEquals(new NAdam(0.1, 0.9, 0.999, 1, 1e-7, 0, 0), NAdam.keras(0.1));
        assertEquals(new NAdam(0.1, 0.9, 0.999, Double.POSITIVE_INFINITY, 1e-8, 0, 0), NAdam.optax(0.1));
        assertEquals(new RAdam(0.001, 0.9, 0.999, 5, 0, 1e-8, 0, 0), RAdam.of());
        assertEquals(new RAdam(0.1, 0.9, 0.999, 5, 1e-8, 0, 0, 0), RAdam.optax(0.1));
        assertEquals(new Adamax(0.002, 0.9, 0.999, 0, 1e-8, 0, 0), Adamax.of());
        assertEquals(new Adamax(0.001, 0.9, 0.999, 1e-7, 0, 0, 0), Adamax.keras(0.001));
        assertEquals(new AdaDelta(1, 0.9, 1e-6, 0, 0), AdaDelta.of());
        assertEquals(new AdaDelta(0.001, 0.95, 1e-7, 0, 0), AdaDelta.keras(0.001));
        assertEquals(new Yogi(0.01, 0.9, 0.999, 1e-6, 1e-3, 0, 0, 0), Yogi.of());
        assertEquals(new Adan(0.001, 0.98, 0.92, 0.99, 0.92, 1e-8, 0, 0, 0), Adan.of());
        assertEquals(new Adan(0.1, 0.98, 0.92, 0.99, 0.08, 1e-8, 1e-8, 0, 0), Adan.optax(0.1));
        assertEquals(new AdEMAMix(0.001, 0.9, 0.999, 0.9999, 5, 0, 1e-8, 0, 0, 0), AdEMAMix.of());
        assertEquals(new Adopt(0.001, 0.9, 0.9999, 1e-6, true, 0, 0), Adopt.of());
        assertEquals(new Adafactor(0.01, 0.8, 1e-30, 0, 0.001, 1, true, true, 1, 0, 0), Adafactor.of());
        assertEquals(new Adafactor(0.5, 0.8, 0, 0x1p-23, 0.001, 1, true, true, 1, 0, 0), Adafactor.pytorch(0.5));
        assertEquals(new Adafactor(0.5, 0.8, 1e-30, 0, 0.001, 1, false, true, 128, 0, 0), Adafactor.optax(0.5));
        assertEquals(new Lars(1, 0.9, 0.001, 0, false, 0, 0), Lars.of());
        assertEquals(new Lars(0.5, 0.9, 0.001, 0, true, 0, 0), Lars.original(0.5));
        assertEquals(new NovoGrad(0.01, 0.9, 0.25, 1e-6, 0, true, false, false, 0, 0), NovoGrad.of());
        assertEquals(new NovoGrad(0.5, 0.9, 0.999, 1e-8, 0, false, true, true, 0, 0), NovoGrad.apex(0.5));
        assertEquals(new ScheduleFreeSgd(1, 0.9, 0, 0, 0), ScheduleFreeSgd.of());
        assertEquals(new ScheduleFreeAdamW(0.0025, 0.9, 0.999, 1e-8, 0, 0, 0), ScheduleFreeAdamW.of());
        assertEquals(
                new Muon(
                        0.02,
                        0.95,
                        true,
                        false,
                        Coefficients.JORDAN,
                        5,
                        1e-7,
                        true,
                        Precision.FLOAT32,
                        Scaling.ORIGINAL,
                        0,
                        0),
                Muon.of());
        double any = Double.POSITIVE_INFINITY;
        assertEquals(new Lamb(0.001, 0.9, 0.999, 1e-6, 0, any, true, true, true, 0, 0), Lamb.of());
        assertEquals(new Lamb(0.5, 0.9, 0.999, 1e-7, 0, any, true, false, true, 0, 0), Lamb.keras(0.5));
        assertEquals(new Lamb(0.5, 0.9, 0.999, 1e-6, 0, any, true, true, false, 0, 0.01), Lamb.apex(0.5));
        assertEquals(new Lamb(0.5, 0.9, 0.999, 1e-8, 0.01, 10, false, true, true, 0, 0), Lamb.deepSpeed(0.5));
    }

    /** The same of every rule and every value that it has a method for; of the rule as it is made, and with all of them changed, which no method resets. */
    @ParameterizedTest
    @MethodSource("rules")
    void aMethodNamedLikeAValueChangesThatValueAlone(Rule rule) throws ReflectiveOperationException {
        changesThatAlone(changesThatAlone(rule));
    }

    /** Gives the rule with every value changed. */
    private static Rule changesThatAlone(Rule rule) throws ReflectiveOperationException {
        Rule all = rule;
        for (RecordComponent component : rule.getClass().getRecordComponents()) {
            String name = component.getName();
            Method method;
            try {
                method = rule.getClass().getMethod(name, component.getType());
            } catch (NoSuchMethodException e) {
                continue; // betas
            }
            Object value = another(component.getType(), component.getAccessor().invoke(rule));
            if (name.equals("threshold")) value = 4.25; // RAdam's, from 4 up
            Object changed = method.invoke(all, value);
            for (RecordComponent each : rule.getClass().getRecordComponents()) {
                boolean other = name.startsWith("eps") && each.getName().startsWith("eps");
                Object before = each.getAccessor().invoke(all),
                        after = each.getAccessor().invoke(changed);
                if (each.getName().equals(name)) assertEquals(value, after, name);
                else if (!other || !after.equals(0.0)) assertEquals(before, after, component + " and " + each);
            }
            all = (Rule) changed;
        }
        return all;
    }

    private static Object another(Class<?> type, Object value) {
        if (type == boolean.class) return !(boolean) value;
        if (type == int.class) return 7;
        if (type == long.class) return 7L;
        if (!type.isEnum()) return 0.375;
        Object[] all = type.getEnumConstants();
        return all[(((Enum<?>) value).ordinal() + 1) % all.length];
    }

    /** The values of the methods that change more than one. */
    private static final Map<String, List<String>> TOGETHER = Map.of(
            "betas", List.of("beta1", "beta2", "beta3"),
            "clamp", List.of("least", "most"),
            "eps", List.of("eps", "floor"),
            "factors", List.of("grow", "shrink"),
            "sizes", List.of("smallest", "largest"));

    @ParameterizedTest
    @MethodSource("rules")
    void aMethodOfSeveralValuesChangesThoseAlone(Rule rule) throws ReflectiveOperationException {
        for (Method method : rule.getClass().getMethods()) {
            int values = method.getParameterCount();
            if (method.getReturnType() != rule.getClass() || values < 2 || Modifier.isStatic(method.getModifiers()))
                continue;
            List<String> names = TOGETHER.get(method.getName()).subList(0, values);
            Object[] given = new Object[values];
            for (int n = 0; n < values; n++) given[n] = method.getName().equals("factors") ? 1.5 - n : 0.125 * (n + 1);
            Object changed = method.invoke(rule, given);
            for (RecordComponent each : rule.getClass().getRecordComponents()) {
                int at = names.indexOf(each.getName());
                assertEquals(
                        at < 0 ? each.getAccessor().invoke(rule) : given[at],
                        each.getAccessor().invoke(changed),
                        method.getName() + " and " + each.getName());
            }
        }
    }

    /** A wither changes what it names and nothing else; ε and ε̂ take each other's place. */
    @Test
    void aWitherChangesWhatItNames() {
        assertEquals(new Sgd(1, 2, 3), Sgd.of(9).lr(1).l2(2).decay(3));
        assertEquals(
                new Momentum(1, 0.5, 0.25, false, 2, 3),
                Momentum.pytorch(9).lr(1).momentum(0.5).dampening(0.25).l2(2).decay(3));
        assertEquals(
                new Nesterov(1, 0.5, true, 2, 3),
                Nesterov.of(9).lr(1).momentum(0.5).l2(2).decay(3));
        assertEquals(
                new AdaGrad(1, 0.5, 4, 5, 6, 2, 3),
                AdaGrad.of(9)
                        .lr(1)
                        .lrDecay(0.5)
                        .initialAccumulator(4)
                        .eps(5)
                        .epsRoot(6)
                        .l2(2)
                        .decay(3));
        assertEquals(
                new RmsProp(1, 0.5, 4, 5, 6, true, 2, 3),
                RmsProp.of(9)
                        .biasCorrection(true)
                        .lr(1)
                        .rho(0.5)
                        .initialAccumulator(4)
                        .eps(5)
                        .epsRoot(6)
                        .l2(2)
                        .decay(3));
        assertEquals(
                new RmsPropMomentum(1, 0.5, 0.25, false, 4, 5, 6, true, 2, 3),
                RmsPropMomentum.of(9)
                        .biasCorrection(true)
                        .lr(1)
                        .rho(0.5)
                        .momentum(0.25)
                        .initialAccumulator(4)
                        .eps(5)
                        .epsRoot(6)
                        .l2(2)
                        .decay(3));
        assertEquals(
                new RmsPropCentered(1, 0.5, 0.25, false, 4, 5, 6, 2, 3),
                RmsPropCentered.of(9)
                        .lr(1)
                        .rho(0.5)
                        .momentum(0.25)
                        .initialAccumulator(4)
                        .eps(5)
                        .epsRoot(6)
                        .l2(2)
                        .decay(3));
        assertEquals(
                new Lion(1, 0.5, 0.25, 2, 3),
                Lion.of(9).lr(1).betas(0.5, 0.25).l2(2).decay(3));
        assertEquals(
                new Rprop(1, 4, 0.5, 5, 6, true, 2, 3),
                Rprop.optax(9).lr(1).factors(4, 0.5).sizes(5, 6).l2(2).decay(3));
        assertEquals(
                new Madgrad(1, 0.5, 4, 2, 3),
                Madgrad.of(9).lr(1).momentum(0.5).eps(4).l2(2).decay(3));
        assertEquals(
                new Ftrl(1, 4, 5, 6, 7, 2, 3),
                Ftrl.of(9)
                        .lr(1)
                        .initialAccumulator(4)
                        .beta(5)
                        .lasso(6)
                        .ridge(7)
                        .l2(2)
                        .decay(3));
        assertEquals(
                new ScheduleFreeSgd(1, 0.5, 4, 2, 3),
                ScheduleFreeSgd.of(9).lr(1).beta(0.5).warmUp(4).l2(2).decay(3));
        assertEquals(
                new ScheduleFreeAdamW(1, 0.5, 0.25, 5, 4, 2, 3),
                ScheduleFreeAdamW.of(9)
                        .lr(1)
                        .betas(0.5, 0.25)
                        .eps(5)
                        .warmUp(4)
                        .l2(2)
                        .decay(3));
        assertEquals(new SignSgd(1, 2, 3), SignSgd.of(9).lr(1).l2(2).decay(3));
        Adam adam = Adam.of(9).lr(1).betas(0.5, 0.25).epsRoot(6).l2(2).decay(3);
        assertEquals(new Adam(1, 0.5, 0.25, 4, 0, 6, true, 2, 3), adam.eps(4));
        assertEquals(new Adam(1, 0.5, 0.25, 0, 5, 6, true, 2, 3), adam.eps(4).epsHat(5));
    }
}
