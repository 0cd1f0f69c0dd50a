package kudari;

import static kudari.OptimizerTest.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.OptionalDouble;
import java.util.function.DoubleFunction;
import java.util.stream.Stream;
import kudari.Explanation.Difference;
import kudari.rule.AdaDelta;
import kudari.rule.AdaGrad;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Adan;
import kudari.rule.Ftrl;
import kudari.rule.Lamb;
import kudari.rule.Lars;
import kudari.rule.Momentum;
import kudari.rule.Muon;
import kudari.rule.NAdam;
import kudari.rule.Nesterov;
import kudari.rule.NovoGrad;
import kudari.rule.Peer;
import kudari.rule.RAdam;
import kudari.rule.RmsProp;
import kudari.rule.RmsPropMomentum;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What is said of a rule, and of what others do in its place. */
class ExplanationTest {

    static Stream<Arguments> formulas() {
        return Stream.of(
                Arguments.of(Sgd.of(0.5), List.of("u = 0.5·g        p ← p − u")),
                Arguments.of(Momentum.of(0.5), List.of("v ← 0.9·v − 0.5·g,  p ← p + v")),
                Arguments.of(
                        Nesterov.pytorch(0.5).momentum(0.75), List.of("b ← 0.75·b + g,  p ← p − 0.5·(0.75·b + g)")),
                Arguments.of(
                        AdaGrad.of(0.5), List.of("h ← h + g²", "p ← p − lrₜ·g / (√h + 1e-7)        with lrₜ = 0.5")),
                Arguments.of(RmsProp.pytorch(0.5), List.of("h ← 0.99·h + 0.01·g²", "p ← p − 0.5·g / (√h + 1e-8)")),
                Arguments.of(RmsProp.keras(0.5), List.of("h ← 0.9·h + 0.1·g²", "p ← p − 0.5·g / √(h + 1e-7)")),
                Arguments.of(
                        RmsProp.pytorch(0.5).l2(0.25).decay(0.125),
                        List.of(
                                "g ← g + 0.25·p",
                                "h ← 0.99·h + 0.01·g²",
                                "p ← p − 0.5·g / (√h + 1e-8)",
                                "p ← p − 0.5·0.125·p        in the same step, with the p from before it")),
                Arguments.of(
                        Adam.of(0.5),
                        List.of(
                                "m ← 0.9·m + 0.1·g",
                                "v ← 0.999·v + 0.001·g²",
                                "p ← p − α·m / (√v + 1e-7)        with α = 0.5·√c₂/c₁",
                                "cᵢ = 1 − βᵢᵗ")),
                Arguments.of(
                        Adam.article(0.5).betas(0.25, 0.125),
                        List.of(
                                "m ← 0.25·m + 0.75·g",
                                "v ← 0.125·v + 0.875·g²",
                                "p ← p − α·m / √(v + 1e-7·c₂)        with α = 0.5·√c₂/c₁",
                                "cᵢ = 1")),
                Arguments.of(
                        RmsPropMomentum.keras(0.5).biasCorrection(true),
                        List.of("h ← 0.9·h + 0.1·g²", "D = √(h/(1 − ρᵗ) + 1e-7)", "v ← 0.9·v + 0.5·g/D,  p ← p − v")),
                Arguments.of(
                        AdaGrad.pytorch(0.5).lrDecay(0.25),
                        List.of("h ← h + g²", "p ← p − lrₜ·g / (√h + 1e-10)        with lrₜ = 0.5/(1 + 0.25·(t − 1))")),
                Arguments.of(
                        NAdam.keras(0.5),
                        List.of(
                                "m ← 0.9·m + 0.1·g",
                                "v ← 0.999·v + 0.001·g²",
                                "μₜ = 0.9·(1 − ½·0.96^t),  Πₜ = μ₁·…·μₜ,  c₂ = 1 − β₂ᵗ",
                                "p ← p − 0.5·√c₂·((1 − μₜ)/(1 − Πₜ)·g + μₜ₊₁/(1 − Πₜ₊₁)·m) / (√v + 1e-7·√c₂)")),
                Arguments.of(
                        Ftrl.of(0.5).ridge(0.25),
                        List.of(
                                "n ← n + g²",
                                "z ← z + 0.5·g − (√n − √n_before)·p",
                                "p ← −(z − clamp(z, ±0)) / (√n + 0.5·0.25)")),
                Arguments.of(
                        Muon.of(0.5),
                        List.of("m ← 0.95·m + 0.05·g", "u = 0.05/cₜ·g + 0.95/cₜ₊₁·m", "p ← p − 0.5·s·O(u)", "cₜ = 1")),
                Arguments.of(
                        RAdam.optax(0.5),
                        List.of(
                                "m ← 0.9·m + 0.1·g",
                                "v ← 0.999·v + 0.001·g²",
                                "ρₜ = ρ∞ − 2·t·β₂ᵗ/c₂,  ρ∞ = 2/0.001 − 1,  cᵢ = 1 − βᵢᵗ",
                                "ρₜ > 5:  p ← p − 0.5·rₜ·√c₂/c₁·m / (√v + 1e-8·√c₂)",
                                "else:  p ← p − 0.5/c₁·m",
                                "rₜ = √((ρₜ − 4)·(ρₜ − 2)·ρ∞ / ((ρ∞ − 4)·(ρ∞ − 2)·ρₜ))")),
                Arguments.of(
                        Lars.original(0.5).l2(0.25),
                        List.of(
                                "g ← g + 0.25·p",
                                "r = 0.001·‖p‖/(‖g‖ + 0.25·‖p‖)     of the gradient before 0.25·p is added",
                                "v ← 0.9·v + 0.5·r·g",
                                "p ← p − v")),
                Arguments.of(
                        Lamb.keras(0.5).decay(0.25),
                        List.of(
                                "m ← 0.9·m + 0.1·g",
                                "v ← 0.999·v + 0.001·g²",
                                "u = m/c₁ / (√(v/c₂) + 1e-7)         with cᵢ = 1 − βᵢᵗ",
                                "p ← p − 0.5·r·u − 0.5·0.25·p          with r = ‖p‖/‖u‖")),
                Arguments.of(
                        Lamb.of(0.5),
                        List.of(
                                "m ← 0.9·m + 0.1·g",
                                "v ← 0.999·v + 0.001·g²",
                                "u = m/c₁ / (√(v/c₂) + 1e-6)         with cᵢ = 1 − βᵢᵗ",
                                "p ← p − 0.5·r·w                   with r = ‖p‖/‖w‖, w = u")),
                Arguments.of(
                        NovoGrad.of(0.5),
                        List.of(
                                "n ← √(0.25·n² + 0.75·‖g‖²)            and ‖g‖ in the first step",
                                "m ← 0.9·m + a·(g/(n/√c₂ + 1e-6))",
                                "p ← p − 0.5/c₁·m",
                                "cᵢ = 1",
                                "a = 1")),
                Arguments.of(
                        Adam.pytorch(0.5).betas(0, 0.5).epsRoot(1e-6),
                        List.of(
                                "m ← g",
                                "v ← 0.5·v + 0.5·g²",
                                "p ← p − α·m / (√(v + 1e-6·c₂) + 1e-8·√c₂)        with α = 0.5·√c₂/c₁",
                                "cᵢ = 1 − βᵢᵗ")));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("formulas")
    void theFormulaHasTheNumbersOfTheRule(Rule rule, List<String> lines) {
        assertEquals(lines, Explanation.of(rule).formula());
    }

    @Test
    void itNamesTheMethodsForOtherValuesAndTheRulesNearby() {
        String said = Explanation.of(RmsProp.of()).toString().replaceAll("\\s+", " ");
        assertTrue(
                said.contains(
                        "Change: .biasCorrection(…), .decay(…), .eps(…), .epsRoot(…), .initialAccumulator(…), .l2(…), .rho(…) Nearby: "),
                said);
        assertTrue(said.contains("RmsPropCentered"), said);
    }

    /** Where two float64 walks stand, down a number of times f: the book's algorithms, written out. */
    private interface Walk {
        double[] to(int steps, double scale);
    }

    private static Walk walk(DoubleFunction<Reference> references) {
        return (steps, scale) -> {
            Reference x = references.apply(-7), y = references.apply(2);
            for (int t = 1; t <= steps; t++) {
                x.step(scale * x.p / 10);
                y.step(scale * y.p * 2);
            }
            return new double[] {x.p, y.p};
        };
    }

    /** Of the definitions in float64, over the whole history, before the rate falls and where gradients are faint. */
    static Stream<Arguments> walks() {
        return Stream.of(
                Arguments.of(
                        Explanation.of(RmsProp.pytorch(0.05)),
                        Peer.KERAS,
                        walk(p -> Reference.rmsProp(p, 0.05, 0.99, 1e-8, 0)),
                        walk(p -> Reference.rmsProp(p, 0.05, 0.9, 0, 1e-7))),
                Arguments.of(
                        Explanation.of(AdaGrad.of(0.5)),
                        Peer.OPTAX,
                        walk(p -> Reference.adaGrad(p, 0.5, 0, 1e-7, 0)),
                        walk(p -> Reference.adaGrad(p, 0.5, 0.1, 0, 1e-7))),
                Arguments.of(
                        Explanation.of(AdaGrad.of(0.01)),
                        Peer.PYTORCH,
                        walk(p -> Reference.adaGrad(p, 0.01, 0, 1e-7, 0)),
                        walk(p -> Reference.adaGrad(p, 0.01, 0, 1e-10, 0))),
                Arguments.of(
                        Explanation.of(Adam.of(0.25)),
                        Peer.PYTORCH,
                        walk(p -> Reference.adamOfTheBook(p, 0.25, 0.9, 0.999, 1e-7)),
                        walk(p -> Reference.adamOfThePaper(p, 0.25, 0.9, 0.999, 1e-8, 0))),
                Arguments.of(
                        Explanation.of(Adam.of(0.25)),
                        Peer.DL4J,
                        walk(p -> Reference.adamOfTheBook(p, 0.25, 0.9, 0.999, 1e-7)),
                        walk(p -> Reference.adamOfTheBook(p, 0.25, 0.9, 0.999, 1e-8))));
    }

    /** Float32 leaves two units in the last place of a number from 4 to 8 on each walk, in each of ten steps. */
    @ParameterizedTest(name = "{1} {2}")
    @MethodSource("walks")
    void howFarApartIsThatOfTheDefinitions(Explanation explanation, Peer peer, Walk mine, Walk theirs) {
        int[] steps = {1, 10, 100, 10};
        double[] scales = {1, 1, 1, 1e-6f};
        Difference difference = difference(explanation, peer);
        for (int n : new int[] {0, 1, 3}) {
            double[] a = mine.to(steps[n], scales[n]), b = theirs.to(steps[n], scales[n]);
            double way = Math.hypot(a[0] + 7, a[1] - 2), between = Math.hypot(a[0] - b[0], a[1] - b[1]);
            double error = steps[n] * 2 * 0x1p-21;
            assertEquals(way, explanation.way().get(n), error);
            assertEquals(between / way, difference.apart().get(n), 2 * error / way + error * between / way / way);
        }
    }

    private static Difference difference(Explanation explanation, Peer peer) {
        return explanation.peers().stream()
                .filter(difference -> difference.peer() == peer)
                .findFirst()
                .orElseThrow();
    }

    /**
     * By hand, in float64: the velocity inside, v ← 0.9·v − lr·g, and outside, b ← 0.9·b + g; 50 steps at 0.05 and 50 at 0.005. They part only at the
     * fall, where the velocity outside is worth a tenth at once.
     */
    @Test
    void momentumInsideAndOutsidePartWhereTheRateFalls() {
        double[] in = {-7, 2}, out = {-7, 2}, v = {0, 0}, b = {0, 0}, slope = {0.1, 2};
        for (int t = 1; t <= 100; t++) {
            double lr = t <= 50 ? 0.05 : 0.005;
            for (int i = 0; i < 2; i++) {
                v[i] = 0.9 * v[i] - lr * slope[i] * in[i];
                in[i] += v[i];
                b[i] = 0.9 * b[i] + slope[i] * out[i];
                out[i] -= lr * b[i];
            }
        }
        double way = Math.hypot(in[0] + 7, in[1] - 2), between = Math.hypot(in[0] - out[0], in[1] - out[1]);
        assertTrue(between > 0.01, "they have parted: " + between);
        Explanation explanation = Explanation.of(Momentum.of(0.05));
        double error = 100 * 2 * 0x1p-21;
        assertEquals(way, explanation.way().get(2), error);
        assertEquals(
                between / way, difference(explanation, Peer.PYTORCH).apart().get(2), 2 * error);
        assertEquals(0, difference(explanation, Peer.PYTORCH).apart().get(1), 1e-6, "while the rate is constant");
    }

    @Test
    void whatDiffersIsNamed() {
        Explanation explanation = Explanation.of(RmsProp.pytorch(0.25));
        assertEquals("RmsProp.pytorch(0.25)", explanation.call());
        Difference keras = difference(explanation, Peer.KERAS), torch = difference(explanation, Peer.PYTORCH);
        assertEquals(List.of("rho 0.9, not 0.99", "eps 0, not 1e-8", "epsRoot 1e-7, not 0"), keras.others());
        assertEquals("RmsProp.keras(0.25)", keras.call());
        assertEquals(RmsProp.keras(0.25), keras.rule());
        assertEquals(OptionalDouble.of(0.001), keras.lr());
        assertEquals(List.of(), torch.others());
        assertEquals(List.of(0.0, 0.0, 0.0, 0.0), torch.apart());
        assertEquals(OptionalDouble.empty(), difference(explanation, Peer.OPTAX).lr());
        assertEquals(
                List.of("not inside"),
                difference(Explanation.of(Momentum.of()), Peer.OPTAX).others());
        assertEquals(
                List.of("inside"),
                difference(Explanation.of(Momentum.pytorch(1)), Peer.BOOK).others());
        String own = Explanation.of(Adam.of(0.25).betas(0.5, 0.75)).call();
        assertTrue(own.startsWith("Adam[lr=0.25, beta1=0.5"), own);
        assertEquals("Adan.of(0.25)", Explanation.of(Adan.of(0.25)).call(), "which is no library's");
    }

    /** ε = 1e-10 in the place of 1e-7 is nothing beside √h, and much where h is faint. */
    @Test
    void anEpsilonIsFeltWhereGradientsAreFaint() {
        Difference torch = difference(Explanation.of(AdaGrad.of(0.01)), Peer.PYTORCH);
        assertEquals(List.of(0.0, 0.0, 0.0), torch.apart().subList(0, 3));
        assertTrue(torch.apart().get(3) > 0.01, torch::toString);
        String text = Explanation.of(AdaGrad.of(0.01)).toString();
        assertTrue(text.matches("(?s).*AdaGrad\\.pytorch\\(0\\.01\\) +0 +0 +0 +\\d\\.\\d %\n.*"), text);
    }

    @Test
    void adamWIsHeldAgainstAdamWs() {
        Explanation explanation = Explanation.of(AdamW.class, AdamW.of(0.25));
        assertEquals("AdamW.of(0.25)", explanation.call());
        assertEquals(
                List.of("decay 1e-4, not 0.01"),
                difference(explanation, Peer.OPTAX).others());
        String text = explanation.toString();
        assertTrue(text.contains("Without it, or with another formula: DL4J, the book."), text);
        assertTrue(text.contains("I. Loshchilov and F. Hutter"), text);
        assertEquals(
                List.of("decay 0, not 0.01"),
                difference(Explanation.of(AdamW.of(0.25)), Peer.OPTAX).others());
        refused(
                IllegalArgumentException.class,
                () -> Explanation.of(AdamW.class, Sgd.of(0.25)),
                "type: expected the class with the factories of Sgd, got AdamW, which makes Adam");
    }

    static Stream<Rule> large() {
        double lr = 1.2345678e30;
        return Stream.of(AdaDelta.keras(lr), Adan.optax(lr), Momentum.of(lr), Sgd.of(1.2345678e15));
    }

    /** At such a rate the distances have as many digits as numbers can. */
    @ParameterizedTest
    @MethodSource("large")
    void numbersOfAnySizeStayInTheirColumns(Rule rule) {
        String said = Explanation.of(rule).toString();
        assertTrue(said.lines().allMatch(line -> line.length() <= Explanation.WIDTH), said);
        assertTrue(said.contains("e+"), said);
    }

    @Test
    void aRuleThatGoesNowhereOrTooFarIsExplained() {
        String still = Explanation.of(Adam.of(0)).toString();
        assertTrue(still.contains("Adam.pytorch(0)") && !still.contains("NaN"), still);
        String far = Explanation.of(Momentum.of(1e30)).toString();
        assertTrue(far.contains("far"), far);
    }

    static Stream<Class<?>> types() {
        return PeerTest.types();
    }

    /** Also those to come: their documentation must be of the form that is read here. */
    @ParameterizedTest
    @MethodSource("types")
    void everyRuleIsExplainedFromItsOwnPage(Class<?> type) throws Exception {
        Rule rule = (Rule) type.getMethod("of", double.class).invoke(null, 0.0375);
        Explanation explanation = Explanation.of(type, rule);
        assertFalse(explanation.formula().isEmpty(), "a formula in the first <pre>");
        assertTrue(String.join("\n", explanation.formula()).contains("0.0375"), "with its rate: " + explanation);
        for (Peer peer : Peer.values()) {
            peer.rule(type, 0.0375).ifPresent(theirs -> {
                List<String> formula = Explanation.of(type, theirs).formula();
                // An ε is always a hyperparameter; one that is left has no comma after it in its @param.
                assertFalse(String.join("\n", formula).contains("ε"), peer + ": every ε is a number in " + formula);
            });
        }
        assertFalse(RulePage.of(type).part("Source").isEmpty(), "a source");
        String text = explanation.toString();
        for (String line : text.lines().toList()) assertTrue(line.length() <= 80, line);
        assertFalse(text.contains("{@") || text.contains("<"), text);
    }
}
