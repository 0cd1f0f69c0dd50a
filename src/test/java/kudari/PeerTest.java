package kudari;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.RecordComponent;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.TreeMap;
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
import kudari.rule.AmsGrad;
import kudari.rule.Ftrl;
import kudari.rule.Lamb;
import kudari.rule.Lars;
import kudari.rule.Madgrad;
import kudari.rule.Momentum;
import kudari.rule.NAdam;
import kudari.rule.Nesterov;
import kudari.rule.NovoGrad;
import kudari.rule.Peer;
import kudari.rule.Preset;
import kudari.rule.RAdam;
import kudari.rule.RmsProp;
import kudari.rule.RmsPropCentered;
import kudari.rule.RmsPropMomentum;
import kudari.rule.Rprop;
import kudari.rule.Rule;
import kudari.rule.ScheduleFreeAdamW;
import kudari.rule.Sgd;
import kudari.rule.SignSgd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Other libraries' rules, with their defaults. */
class PeerTest {

    /** The classes whose factories say whose they are. */
    static Stream<Class<?>> types() {
        return Stream.concat(Rule.classes().stream(), Stream.of(AdamW.class));
    }

    private static Class<?> type(String name) {
        return types().filter(type -> type.getSimpleName().equals(name))
                .findFirst()
                .orElseThrow();
    }

    /**
     * The defaults that the libraries document, and the book has. Who writes a momentum without its size means 0.9 everywhere: PyTorch, optax and
     * Keras have 0, which is Sgd. What is not named is 0 or false. A rate of – must be given, a line of – is not there.
     */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "BOOK    | Sgd      | 0.01  |",
                "PYTORCH | Sgd      | 0.001 |",
                "OPTAX   | Sgd      | –     |",
                "KERAS   | Sgd      | 0.01  |",
                "DL4J    | Sgd      | 0.001 |",
                "BOOK    | Momentum | 0.01  | momentum=0.9 inside=true",
                "PYTORCH | Momentum | 0.001 | momentum=0.9",
                "OPTAX   | Momentum | –     | momentum=0.9",
                "KERAS   | Momentum | 0.01  | momentum=0.9 inside=true",
                "DL4J    | Momentum | –     | –",
                "BOOK    | Nesterov | 0.01  | momentum=0.9 inside=true",
                "PYTORCH | Nesterov | 0.001 | momentum=0.9",
                "OPTAX   | Nesterov | –     | momentum=0.9",
                "KERAS   | Nesterov | 0.01  | momentum=0.9 inside=true",
                "DL4J    | Nesterov | 0.1   | momentum=0.9 inside=true",
                "BOOK    | AdaGrad  | 0.01  | eps=1e-7",
                "PYTORCH | AdaGrad  | 0.01  | eps=1e-10",
                "OPTAX   | AdaGrad  | –     | initialAccumulator=0.1 epsRoot=1e-7",
                "KERAS   | AdaGrad  | 0.001 | initialAccumulator=0.1 epsRoot=1e-7",
                "DL4J    | AdaGrad  | 0.1   | initialAccumulator=1e-6 eps=1e-6",
                "BOOK    | RmsProp  | 0.01  | rho=0.99 eps=1e-7",
                "PYTORCH | RmsProp  | 0.01  | rho=0.99 eps=1e-8",
                "OPTAX   | RmsProp  | –     | rho=0.9 epsRoot=1e-8",
                "KERAS   | RmsProp  | 0.001 | rho=0.9 epsRoot=1e-7",
                "DL4J    | RmsProp  | 0.1   | rho=0.95 eps=1e-8 initialAccumulator=1e-8",
                "BOOK    | Adam     | 0.001 | beta1=0.9 beta2=0.999 epsHat=1e-7 biasCorrection=true",
                "PYTORCH | Adam     | 0.001 | beta1=0.9 beta2=0.999 eps=1e-8 biasCorrection=true",
                "OPTAX   | Adam     | –     | beta1=0.9 beta2=0.999 eps=1e-8 biasCorrection=true",
                "KERAS   | Adam     | 0.001 | beta1=0.9 beta2=0.999 epsHat=1e-7 biasCorrection=true",
                "DL4J    | Adam     | 0.001 | beta1=0.9 beta2=0.999 epsHat=1e-8 biasCorrection=true",
                "BOOK    | AdamW    | –     | –",
                "PYTORCH | AdamW    | 0.001 | beta1=0.9 beta2=0.999 eps=1e-8 decay=0.01 biasCorrection=true",
                "OPTAX   | AdamW    | –     | beta1=0.9 beta2=0.999 eps=1e-8 decay=1e-4 biasCorrection=true",
                "KERAS   | AdamW    | 0.001 | beta1=0.9 beta2=0.999 epsHat=1e-7 decay=0.004 biasCorrection=true",
                "DL4J    | AdamW    | –     | –",
                "PYTORCH | RmsPropMomentum | 0.01  | rho=0.99 momentum=0.9 eps=1e-8",
                "KERAS   | RmsPropMomentum | 0.001 | rho=0.9 momentum=0.9 inside=true epsRoot=1e-7",
                "OPTAX   | RmsPropMomentum | –     | rho=0.9 momentum=0.9 inside=true epsRoot=1e-8",
                "PYTORCH | RmsPropCentered | 0.01  | rho=0.99 eps=1e-8",
                "KERAS   | RmsPropCentered | 0.001 | rho=0.9 inside=true epsRoot=1e-7",
                "OPTAX   | RmsPropCentered | –     | rho=0.9 inside=true epsRoot=1e-8",
                "PYTORCH | AdaDelta | 1     | rho=0.9 eps=1e-6",
                "OPTAX   | AdaDelta | –     | rho=0.9 eps=1e-6",
                "KERAS   | AdaDelta | 0.001 | rho=0.95 eps=1e-7",
                "DL4J    | AdaDelta | 1     | rho=0.95 eps=1e-6",
                "PYTORCH | Adamax   | 0.002 | beta1=0.9 beta2=0.999 epsMax=1e-8",
                "OPTAX   | Adamax   | –     | beta1=0.9 beta2=0.999 epsMax=1e-8",
                "KERAS   | Adamax   | 0.001 | beta1=0.9 beta2=0.999 eps=1e-7",
                "DL4J    | Adamax   | 0.001 | beta1=0.9 beta2=0.999 epsMax=1e-32",
                "PYTORCH | NAdam    | 0.002 | beta1=0.9 beta2=0.999 psi=0.004 eps=1e-8",
                "OPTAX   | NAdam    | –     | beta1=0.9 beta2=0.999 psi=Infinity eps=1e-8",
                "KERAS   | NAdam    | 0.001 | beta1=0.9 beta2=0.999 psi=1 eps=1e-7",
                "DL4J    | NAdam    | –     | –",
                "PYTORCH | RAdam    | 0.001 | beta1=0.9 beta2=0.999 threshold=5 epsHat=1e-8",
                "OPTAX   | RAdam    | –     | beta1=0.9 beta2=0.999 threshold=5 eps=1e-8",
                "PYTORCH | AmsGrad  | 0.001 | beta1=0.9 beta2=0.999 eps=1e-8",
                "OPTAX   | AmsGrad  | –     | beta1=0.9 beta2=0.999 corrected=true eps=1e-8",
                "KERAS   | AmsGrad  | 0.001 | beta1=0.9 beta2=0.999 epsHat=1e-7",
                "DL4J    | AmsGrad  | 0.001 | beta1=0.9 beta2=0.999 epsHat=1e-8",
                "OPTAX   | AdaBelief | –     | beta1=0.9 beta2=0.999 eps=1e-16 epsRoot=1e-16",
                "DL4J    | AdaBelief | 0.001 | beta1=0.9 beta2=0.999 eps=1e-14 epsRoot=1e-14",
                "OPTAX   | Lion     | –     | beta1=0.9 beta2=0.99 decay=0.001",
                "KERAS   | Lion     | 0.001 | beta1=0.9 beta2=0.99",
                "OPTAX   | SignSgd  | –     | ",
                "PYTORCH | Rprop    | 0.01  | grow=1.2 shrink=0.5 smallest=1e-6 largest=50",
                "OPTAX   | Rprop    | –     | grow=1.2 shrink=0.5 smallest=1e-6 largest=50 late=true",
                "OPTAX   | Madgrad  | –     | momentum=0.9 eps=1e-6",
                "KERAS   | Ftrl     | 0.001 | initialAccumulator=0.1",
                "OPTAX   | Yogi     | –     | beta1=0.9 beta2=0.999 initialAccumulator=1e-6 eps=0.001",
                "OPTAX   | Adan     | –     | beta1=0.98 beta2=0.92 beta3=0.99 ahead=0.08 eps=1e-8 epsRoot=1e-8",
                "OPTAX   | AdEMAMix | –     | beta1=0.9 beta2=0.999 beta3=0.9999 alpha=5 eps=1e-8",
                "OPTAX   | ScheduleFreeSgd   | 1      | beta=0.9",
                "OPTAX   | ScheduleFreeAdamW | 0.0025 | beta1=0.9 beta2=0.999 eps=1e-8",
                "OPTAX   | Adopt    | –     | beta1=0.9 beta2=0.9999 eps=1e-6 clips=true",
                "OPTAX   | Lars     | –     | momentum=0.9 coefficient=0.001",
                "OPTAX   | NovoGrad | –     | beta1=0.9 beta2=0.25 eps=1e-6 normed=true",
                "OPTAX   | Lamb     | –     | beta1=0.9 beta2=0.999 eps=1e-6 most=Infinity corrected=true inside=true everywhere=true",
                "PYTORCH | Adafactor | 0.01 | exponent=0.8 floor=1.1920928955078125e-7 least=0.001 threshold=1 relative=true scaled=true",
                "OPTAX   | Adafactor | –     | exponent=0.8 eps=1e-30 least=0.001 threshold=1 scaled=true smallest=128",
                "KERAS   | Adafactor | 0.001 | exponent=0.8 eps=1e-30 least=0.001 threshold=1 relative=true scaled=true",
                "KERAS   | Lamb     | 0.001 | beta1=0.9 beta2=0.999 eps=1e-7 most=Infinity corrected=true everywhere=true",
                "PYTORCH | Muon     | 0.001 | momentum=0.95 nesterov=true coefficients=JORDAN iterations=5 eps=1e-7 gram=true scaling=ORIGINAL decay=0.1",
                "KERAS   | Muon     | 0.001 | momentum=0.95 nesterov=true coefficients=JORDAN iterations=5 eps=1e-7 gram=true scaling=MATCH_RMS_ADAMW decay=0.004",
                "OPTAX   | Muon     | –     | momentum=0.95 nesterov=true biasCorrection=true coefficients=JORDAN iterations=5 eps=1e-8 gram=true scaling=ORIGINAL_IN_OUT",
                "DL4J    | Muon     | –     | –",
            })
    void theDefaultsAreTheLibrarys(Peer peer, String name, String lr, String numbers) {
        Class<?> type = type(name);
        OptionalDouble rate = lr.equals("–") ? OptionalDouble.empty() : OptionalDouble.of(Double.parseDouble(lr));
        assertEquals(rate, peer.lr(type));
        Optional<Rule> rule = peer.rule(type, 0.25);
        assertEquals(peer.rule(type).map(r -> r.lr(0.25)), rate.isPresent() ? rule : Optional.empty());
        if (rate.isPresent())
            assertEquals(rate.getAsDouble(), peer.rule(type).orElseThrow().lr());
        if ("–".equals(numbers)) {
            assertEquals(Optional.empty(), rule);
            return;
        }
        Map<String, String> expected = new TreeMap<>(Map.of("lr", "0.25"));
        for (String number : numbers == null ? new String[0] : numbers.split(" "))
            expected.put(number.split("=")[0], number.split("=")[1]);
        Map<String, String> left = new TreeMap<>(expected);
        for (RecordComponent component : rule.orElseThrow().getClass().getRecordComponents()) {
            String said = left.remove(component.getName());
            Object value = RulePage.value(rule.get(), component);
            if (value instanceof Double number)
                assertEquals(said == null ? 0 : Double.parseDouble(said), number, component.getName());
            else if (value instanceof Boolean is) assertEquals(Boolean.parseBoolean(said), is, component.getName());
            else if (said != null) assertEquals(said, value.toString(), component.getName());
        }
        assertEquals(Map.of(), left, "not a hyperparameter of " + name);
    }

    /**
     * The libraries themselves, in float64, on f = x²/20 + y² from (−7, 2): x and y after 1 and after 30 steps. DL4J's are numpy's, by its source.
     * Where y is given as 0 it was printed as some 10⁻¹¹ or less.
     */
    static Stream<Arguments> valleys() {
        return Stream.of(
                valley(Peer.PYTORCH, Sgd.class, 0.95, -6.335, -1.8, -0.350392995752, 0.0847823165504),
                valley(Peer.PYTORCH, Momentum.class, 0.1, -6.93, 1.6, 0.896413858494, 0.0880856017151),
                valley(Peer.PYTORCH, Nesterov.class, 0.1, -6.867, 1.24, 0.689614901697, -0.000679905836117),
                valley(Peer.PYTORCH, AdaGrad.class, 1.5, -5.50000000021, 0.500000000038, -0.120162247247, 0),
                valley(Peer.PYTORCH, RmsProp.class, 0.3, -4.00000042857, -0.999999925, -5.35117002639e-6, 0),
                valley(Peer.PYTORCH, Adam.class, 0.3, -6.70000000429, 1.70000000075, 0.136014617326, 0.318245388896),
                valley(Peer.PYTORCH, AdamW.class, 0.3, -6.67900000429, 1.69400000075, 0.263195815372, 0.305322188934),
                valley(Peer.OPTAX, AdaGrad.class, 1.5, -5.63301655055, 0.504665645806, -0.158857053316, 0),
                valley(Peer.OPTAX, RmsProp.class, 0.3, -6.05131679875, 1.05131670491, -0.153911009277, 0),
                valley(Peer.OPTAX, Sgd.class, 0.95, -6.335, -1.8, -0.350392995752, 0.0847823165504),
                valley(Peer.OPTAX, Adam.class, 0.3, -6.70000000429, 1.70000000075, 0.136014617326, 0.318245388896),
                valley(Peer.KERAS, AdaGrad.class, 1.5, -5.63301655055, 0.504665645806, -0.158857053316, 0),
                valley(Peer.KERAS, RmsProp.class, 0.3, -6.05131766999, 1.0513167316, -0.153911860539, 0),
                valley(Peer.KERAS, Adam.class, 0.3, -6.70000135526, 1.70000023717, 0.136006852395, 0.318245375537),
                valley(Peer.DL4J, Adam.class, 0.3, -6.70000013553, 1.70000002372, 0.13601391672, 0.318245388308),
                valley(Peer.DL4J, AdaGrad.class, 1.5, -5.50000367346, 0.500000421875, -0.120163384899, 0),
                valley(Peer.DL4J, RmsProp.class, 0.3, -5.65835955933, 0.658359236466, -0.056653591694, 0),
                valley(
                        Peer.PYTORCH,
                        RmsPropMomentum.class,
                        0.03,
                        -6.70000004286,
                        1.7000000075,
                        0.869540369614,
                        -0.339778639352),
                valley(Peer.PYTORCH, RmsPropCentered.class, 0.1, -5.99496232904, 0.994962209993, -0.594322946158, 0),
                valley(Peer.PYTORCH, NAdam.class, 0.3, -6.68306447102, 1.68306446729, -1.07320233608, -0.0273879642756),
                valley(Peer.PYTORCH, RAdam.class, 0.3, -6.79, 0.8, -5.4337724905, -0.478026608355),
                valley(Peer.PYTORCH, Adamax.class, 0.3, -6.70000000429, 1.70000000075, -1.04069998877, -0.137167845962),
                valley(Peer.PYTORCH, AdaDelta.class, 1, -6.99683775461, 1.99683772333, -6.8930685075, 1.89458843278),
                valley(
                        Peer.OPTAX,
                        RmsPropMomentum.class,
                        0.03,
                        -6.90513167988,
                        1.90513167049,
                        -0.0828752805184,
                        0.276022896936),
                valley(
                        Peer.OPTAX,
                        RmsPropCentered.class,
                        0.1,
                        -6.66666670446,
                        1.66666666782,
                        -1.47593511035,
                        0.00111982569324),
                valley(Peer.OPTAX, AmsGrad.class, 0.3, -6.70000000429, 1.70000000075, -1.09332432365, -0.14437608302),
                valley(Peer.OPTAX, NAdam.class, 0.3, -6.55789474316, 1.55789473795, 0.0696089770443, 0.156851878168),
                valley(Peer.OPTAX, AdaBelief.class, 0.3, -6.66666666667, 1.66666666667, 1.27127402591, 0.249797155786),
                valley(Peer.OPTAX, SignSgd.class, 0.1, -6.9, 1.9, -4, 0),
                valley(Peer.OPTAX, Rprop.class, 0.1, -7, 2, -0.0425085332098, 0.0333152398099),
                valley(Peer.OPTAX, Madgrad.class, 0.1, -6.98087061294, 1.96580028234, -4.0144433869, -0.178297870876),
                valley(
                        Peer.OPTAX,
                        ScheduleFreeAdamW.class,
                        0.3,
                        -6.70000000429,
                        1.70000000075,
                        -2.65657632558,
                        -0.171442035599),
                valley(Peer.KERAS, Ftrl.class, 0.5, -3.66248441799, 1.34393313247, -1.08879892066, 0.00651012842998),
                valley(Peer.OPTAX, Adan.class, 0.3, -6.70000000735, 1.70000000084, 1.19243984023, 0.165132315663),
                valley(Peer.OPTAX, NovoGrad.class, 0.1, -6.90000014286, 1.900000025, -0.593080452522, -0.093737864189),
                valley(Peer.OPTAX, Lamb.class, 0.1, -6.3, 1.8, -0.296738107927, 0.0847823165504),
                valley(Peer.PYTORCH, Adafactor.class, 0.3, -4.9, 1.4, -0.23229669844, 0.0663704852685),
                valley(Peer.OPTAX, Adafactor.class, 0.3, -4.9, 1.4, -0.180475465777, 0.0515644187935),
                valley(Peer.OPTAX, Lars.class, 0.1, -6.9993, 1.9998, -6.85126113529, 1.95750318151),
                valley(Peer.OPTAX, AdEMAMix.class, 0.3, -6.69985000429, 1.69985000075, 0.182311361764, 0.31923970194),
                valley(
                        Peer.KERAS,
                        RmsPropMomentum.class,
                        0.03,
                        -6.905131767,
                        1.90513167316,
                        -0.082876726351,
                        0.276022888042),
                valley(
                        Peer.KERAS,
                        RmsPropCentered.class,
                        0.1,
                        -6.66666704459,
                        1.66666667824,
                        -1.47593848647,
                        0.00111982645152),
                valley(Peer.KERAS, AmsGrad.class, 0.3, -6.70000135526, 1.70000023717, 0.135424698058, 0.318163561179),
                valley(Peer.KERAS, Adamax.class, 0.3, -6.70000004286, 1.7000000075, -1.04070043456, -0.137167860468),
                valley(Peer.KERAS, AdaDelta.class, 1, -6.99858578932, 1.99858578653, -6.95515315419, 1.95543685831),
                valley(Peer.DL4J, AdaBelief.class, 0.3, -6.66666666667, 1.66666666667, 1.27127402583, 0.249797155787),
                valley(Peer.BOOK, Sgd.class, 0.95, -6.335, -1.8, -0.35039299575231969, 0.084782316550432196),
                valley(Peer.BOOK, Momentum.class, 0.1, -6.93, 1.6, 0.89641385849373301, 0.088085601715069711),
                valley(Peer.BOOK, Nesterov.class, 0.1, -6.867, 1.24, 0.68961490169662087, -0.00067990583611719693),
                valley(Peer.BOOK, AdaGrad.class, 1.5, -5.5000002142856834, 0.5000000375, -0.12016232231416045, 0),
                valley(Peer.BOOK, RmsProp.class, 0.3, -4.0000042857081644, -0.99999925000018575, -5.3513270404e-6, 0),
                valley(
                        Peer.BOOK,
                        Adam.class,
                        0.3,
                        -6.7000013552557318,
                        1.7000002371706371,
                        0.13600685239498186,
                        0.31824537553721943));
    }

    private static Arguments valley(Peer peer, Class<?> type, double lr, double... golden) {
        return Arguments.of(peer, type, lr, golden);
    }

    /** A step rounds a number below 8, by half a unit in its last place at most; 30 of them. What the other roundings do is less. */
    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("valleys")
    void itsRuleTakesItsPath(Peer peer, Class<?> type, double lr, double[] golden) {
        try (Engine engine = Engines.open()) {
            Valley valley = new Valley(engine);
            Optimizer optimizer = engine.optimizer(peer.rule(type, lr).orElseThrow());
            for (int t = 1; t <= 30; t++) {
                valley.step(optimizer);
                if (t == 1) assertArrayEquals(Arrays.copyOf(golden, 2), valley.xy(), 2e-6);
            }
            assertArrayEquals(Arrays.copyOfRange(golden, 2, 4), valley.xy(), 30 * 0x1p-22);
        }
    }

    /** Also those of rules to come. */
    @ParameterizedTest
    @MethodSource("types")
    void aFactoryThatIsSomebodysTakesALearningRateAndIsNobodyElses(Class<?> type) throws Exception {
        for (Peer peer : Peer.values()) {
            List<Method> factories = Stream.of(type.getMethods())
                    .filter(method -> Stream.of(method.getAnnotationsByType(Preset.class))
                            .anyMatch(preset -> preset.peer() == peer))
                    .toList();
            assertTrue(factories.size() <= 1, () -> peer + ": " + factories);
            assertEquals(factories.stream().findFirst(), peer.factory(type));
            for (Method factory : factories) {
                assertTrue(Modifier.isStatic(factory.getModifiers()), factory::toString);
                assertEquals(List.of(double.class), List.of(factory.getParameterTypes()));
                assertEquals(0.375, peer.rule(type, 0.375).orElseThrow().lr());
            }
        }
    }

    @Test
    void aRateThatIsNoneIsRefusedByTheRule() {
        String message = assertThrows(IllegalArgumentException.class, () -> Peer.KERAS.rule(Adam.class, -1))
                .getMessage();
        assertEquals("lr: expected a finite number from 0 up, got -1.0", message);
        assertEquals(Optional.empty(), Peer.KERAS.rule(String.class, -1));
    }
}
