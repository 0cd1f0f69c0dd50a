package kudari;

import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import kudari.rule.AdaGrad;
import kudari.rule.Adam;
import kudari.rule.Momentum;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** What an optimizer remembers, and what it refuses: before anything changes, and saying what came and what was expected. */
class OptimizerTest {

    private Engine engine;
    private Tensor w, dw, b, db;
    private Optimizer momentum;

    @BeforeEach
    void oneStep() {
        engine = Engines.open();
        w = engine.tensor(floats(1, 2, 3, 4, 5, 6), 2, 3);
        dw = engine.tensor(floats(1, 1, 1, 1, 1, 1), 2, 3);
        b = engine.tensor(floats(1, 2));
        db = engine.tensor(floats(1, 1));
        momentum = engine.optimizer(Momentum.of(0.5).momentum(0.5));
        momentum.update(Map.of("W", w, "b", b), Map.of("W", dw, "b", db));
    }

    @AfterEach
    void close() {
        engine.close();
    }

    @Test
    void aStepChangesParametersInPlaceAndCounts() {
        assertSameBits(floats(0.5, 1.5, 2.5, 3.5, 4.5, 5.5), w.get());
        assertSameBits(floats(0.5, 1.5), b.get());
        assertEquals(1, momentum.steps());
        assertSameBits(floats(-0.5, -0.5), momentum.state("b").get("v").get());
    }

    @Test
    void aNameAddedLaterStartsItsStateAtZeroAndTheOthersKeepTheirs() {
        Tensor c = engine.tensor(floats(8)), dc = engine.tensor(floats(1));
        momentum.update(Map.of("W", w, "b", b, "c", c), Map.of("W", dw, "b", db, "c", dc));
        assertSameBits(floats(7.5), c.get());
        assertSameBits(floats(-0.25, 0.75), b.get());
        assertSameBits(floats(-0.75, -0.75), momentum.state("b").get("v").get());
    }

    @Test
    void aNameLeftOutKeepsItsValueAndItsState() {
        momentum.update(Map.of("b", b), Map.of("b", db));
        assertSameBits(floats(0.5, 1.5, 2.5, 3.5, 4.5, 5.5), w.get());
        momentum.update(Map.of("W", w, "b", b), Map.of("W", dw, "b", db));
        assertEquals(-0.25f, w.get()[0], "p = 0.5, v = 0.5 · −0.5 − 0.5 = −0.75");
        assertEquals(3, momentum.steps());
    }

    @Test
    void aParameterMayMoveToAnotherTensorAndKeepsItsState() {
        Tensor moved = engine.tensor(b.get());
        momentum.update(Map.of("b", moved), Map.of("b", db));
        assertSameBits(floats(-0.25, 0.75), moved.get());
        assertSameBits(floats(0.5, 1.5), b.get());
    }

    @Test
    void theSameMapsMayChangeTheirTensorsBetweenSteps() {
        Map<String, Tensor> params = new HashMap<>(Map.of("b", b)), grads = new HashMap<>(Map.of("b", db));
        momentum.update(params, grads);
        grads.put("b", engine.tensor(floats(3, 3)));
        momentum.update(params, grads);
        assertSameBits(floats(-0.25 - 0.375 - 1.5, 0.75 - 0.375 - 1.5), b.get());
    }

    /** Whichever of them it is: the others are what they were. */
    @Test
    void oneTensorOfSeveralMayBeAnotherInTheSameMap() {
        for (String changed : List.of("x", "y", "z")) {
            Map<String, Tensor> params = new LinkedHashMap<>(), grads = new LinkedHashMap<>();
            for (String name : List.of("x", "y", "z")) {
                params.put(name, engine.zeros(1));
                grads.put(name, engine.tensor(floats(1)));
            }
            Optimizer sgd = engine.optimizer(Sgd.of(1));
            sgd.update(params, grads);
            Tensor before = params.put(changed, engine.zeros(1));
            sgd.update(params, grads);
            assertSameBits(floats(-1), before.get());
            assertSameBits(floats(-1), params.get(changed).get());
            grads.put(changed, engine.tensor(floats(4)));
            sgd.update(params, grads);
            params.forEach((name, param) -> assertSameBits(floats(name.equals(changed) ? -5 : -3), param.get()));
        }
    }

    /** State goes by names, though the tensors are the same ones in the same order, in the same maps or in none. */
    @Test
    void aTensorUnderAnotherNameIsAnotherParameter() {
        Map<String, Tensor> params = new HashMap<>(Map.of("b", b)), grads = new HashMap<>(Map.of("b", db));
        momentum.update(params, grads);
        params.put("c", params.remove("b"));
        grads.put("c", grads.remove("b"));
        momentum.update(params, grads);
        momentum.update(b, db);
        assertSameBits(floats(-0.75, -0.75), momentum.state("b").get("v").get());
        assertSameBits(floats(-0.5, -0.5), momentum.state("c").get("v").get());
        assertSameBits(
                floats(-0.5, -0.5), momentum.state(Optimizer.SINGLE).get("v").get());
        assertSameBits(floats(-0.25 - 0.5 - 0.5, 0.75 - 0.5 - 0.5), b.get());
    }

    @Test
    void anEmptySetAndATensorOfNoElementsAreLegal() {
        momentum.update(Map.of(), Map.of());
        Tensor none = engine.zeros(0, 5);
        momentum.update(Map.of("none", none), Map.of("none", engine.zeros(0, 5)));
        assertEquals(0, none.get().length);
        assertEquals(3, momentum.steps());
    }

    /** As PyTorch refuses an empty list: whoever has filled no map yet would train nothing and hear of nothing. Later a step may be of no parameter. */
    @Test
    void aFirstUpdateOfNothingIsRefused() {
        Optimizer fresh = engine.optimizer(Momentum.of());
        refused(IllegalArgumentException.class, () -> fresh.update(Map.of(), Map.of()), "params", "got none");
        assertEquals(0, fresh.steps());
        fresh.update(b, db);
        fresh.update(Map.of(), Map.of());
        assertEquals(2, fresh.steps());
    }

    @Test
    void aSinglePairIsTheMapOfOne() {
        Tensor p = engine.tensor(floats(8)), g = engine.tensor(floats(1));
        Optimizer single = engine.optimizer(Momentum.of(0.5).momentum(0.5));
        single.update(p, g);
        single.update(p, g);
        assertSameBits(floats(8 - 0.5 - 0.75), p.get());
        assertSameBits(floats(-0.75), single.state(Optimizer.SINGLE).get("v").get());
    }

    /** Though it was the first of several in the update before, or there was none. */
    @Test
    void aSinglePairIsNoPartOfAMap() {
        Tensor p = engine.tensor(floats(8)), q = engine.tensor(floats(8)), g = engine.tensor(floats(1));
        Map<String, Tensor> params = new LinkedHashMap<>(), grads = new LinkedHashMap<>();
        params.put(Optimizer.SINGLE, p);
        params.put("q", q);
        params.keySet().forEach(name -> grads.put(name, g));
        Optimizer sgd = engine.optimizer(Sgd.of(1));
        sgd.update(params, grads);
        sgd.update(p, g);
        sgd.update(Map.of(), Map.of());
        sgd.update(p, g);
        assertSameBits(floats(5), p.get());
        assertSameBits(floats(7), q.get());
    }

    @Test
    void aScheduleGivesTheRuleOfEachStep() {
        Tensor p = engine.tensor(floats(8)), g = engine.tensor(floats(1));
        Optimizer halving = engine.optimizer(t -> Sgd.of(Math.pow(0.5, t)));
        for (int t = 0; t < 3; t++) halving.update(p, g);
        assertSameBits(floats(8 - 0.5 - 0.25 - 0.125), p.get());
    }

    @Test
    void aScheduleThatChangesTheKindOfRuleIsRefusedAndTheStepIsNotCounted() {
        Optimizer fickle = engine.optimizer(t -> t < 2 ? Sgd.of(0.5) : Adam.of(0.5));
        fickle.update(b, db);
        refused(IllegalStateException.class, () -> fickle.update(b, db), "Adam[", "step 2", "Sgd");
        assertEquals(1, fickle.steps());
        assertSameBits(floats(0, 1), b.get());
    }

    @Test
    void stateStartsWhereTheRuleSays() {
        Tensor p = engine.tensor(floats(8)), g = engine.tensor(floats(0));
        Optimizer keras = engine.optimizer(new AdaGrad(0.5, 0, 0.125, 0, 1e-7, 0, 0));
        keras.update(p, g);
        assertSameBits(floats(0.125), keras.state(Optimizer.SINGLE).get("h").get());
    }

    @Test
    void stateOfANameNeverSeenIsRefused() {
        refused(IllegalArgumentException.class, () -> momentum.state("x"), "'x'", "[W, b]");
    }

    @Test
    void missingAndExtraGradientsAreRefused() {
        unchanged(Map.of("W", w, "b", b), Map.of("W", dw), "grads", "missing [b]");
        unchanged(Map.of("W", w), Map.of("W", dw, "x", db), "grads", "unknown [x]");
        unchanged(Map.of("W", w, "b", b), Map.of("W", dw, "x", db), "grads", "missing [b]", "unknown [x]");
    }

    @Test
    void anotherShapeIsRefused() {
        unchanged(Map.of("W", w), Map.of("W", engine.zeros(3, 2)), "grads 'W'", "[2, 3]", "[3, 2]");
        unchanged(Map.of("W", w), Map.of("W", engine.zeros(6)), "grads 'W'", "[2, 3]", "[6]");
        unchanged(Map.of("b", engine.zeros(3)), Map.of("b", engine.zeros(3)), "params 'b'", "state", "[2]", "[3]");
    }

    @Test
    void aTensorOfAnotherEngineIsRefused() {
        try (Engine other = Engine.cpu(1)) {
            unchanged(Map.of("b", other.zeros(2)), Map.of("b", db), "params 'b'", "CPU (1 thread)");
            unchanged(Map.of("b", b), Map.of("b", other.zeros(2)), "grads 'b'", "CPU (1 thread)");
        }
    }

    @Test
    void aTensorThatIsNullIsRefused() {
        Map<String, Tensor> nothing = new HashMap<>();
        nothing.put("b", null);
        unchanged(Map.of("b", b), nothing, "grads 'b'", "null");
        unchanged(nothing, Map.of("b", db), "params 'b'", "null");
    }

    @Test
    void oneMemoryUnderTwoNamesIsRefused() {
        Map<String, Tensor> twice = new LinkedHashMap<>();
        twice.put("b", b);
        twice.put("c", b);
        unchanged(twice, Map.of("b", db, "c", db), "params 'c'", "params 'b'");
        unchanged(Map.of("b", b), Map.of("b", b), "grads 'b'", "params 'b'");
    }

    @Test
    void oneGradientMayServeTwoParameters() {
        Tensor c = engine.tensor(floats(1, 2));
        engine.optimizer(Sgd.of(0.5)).update(Map.of("b", b, "c", c), Map.of("b", db, "c", db));
        assertSameBits(floats(0, 1), b.get());
        assertSameBits(floats(0.5, 1.5), c.get());
    }

    @Test
    void anotherThreadIsRefused() {
        Executable[] calls = {
            () -> momentum.update(b, db), () -> b.get(), () -> b.set(1, 2), () -> engine.zeros(1), () -> engine.close()
        };
        String owner = Thread.currentThread().getName();
        for (Executable call : calls) {
            CompletableFuture<Void> refusal = new CompletableFuture<>();
            Thread thread = new Thread(
                    () -> {
                        try {
                            refused(IllegalStateException.class, call, "'" + owner + "'", "'intruder'");
                            refusal.complete(null);
                        } catch (Throwable t) {
                            refusal.completeExceptionally(t);
                        }
                    },
                    "intruder");
            thread.start();
            refusal.join();
        }
        assertSameBits(floats(0.5, 1.5), b.get());
    }

    @Test
    void aClosedEngineIsRefusedAndMayBeClosedAgain() {
        engine.close();
        engine.close();
        refused(IllegalStateException.class, () -> momentum.update(b, db), "closed");
        refused(IllegalStateException.class, () -> b.get(), "closed");
        refused(IllegalStateException.class, () -> b.set(1, 2), "closed");
        refused(IllegalStateException.class, () -> engine.zeros(1), "closed");
        refused(IllegalStateException.class, () -> engine.optimizer(Sgd.of(1)), "closed");
    }

    @Test
    void resumingFromStateThatDoesNotFitIsRefused() {
        Map<String, Tensor> adams = Map.of("m", engine.zeros(2), "v", engine.zeros(2));
        Executable[] calls = {
            () -> momentum.resume(1, Map.of("b", adams)),
            () -> momentum.resume(-1, Map.of()),
            () -> engine.optimizer(Adam.of(1))
                    .resume(1, Map.of("b", Map.of("m", engine.zeros(2), "v", engine.zeros(3)))),
            () -> engine.optimizer(Group.frozen("b"), Group.rest(Adam.of()).orEmpty())
                    .resume(1, Map.of("b", adams))
        };
        refused(IllegalArgumentException.class, calls[0], "'b'", "[v]", "[m, v]");
        refused(IllegalArgumentException.class, calls[1], "steps", "-1");
        refused(IllegalArgumentException.class, calls[2], "'b'", "[2]", "[3]");
        refused(IllegalArgumentException.class, calls[3], "'b'", "expected []", "[m, v]");
        assertEquals(1, momentum.steps());
    }

    @Test
    void resumingForgetsWhatWasKnownAndCopiesWhatIsGiven() {
        Tensor v = engine.tensor(floats(4, 4));
        momentum.resume(7, Map.of("b", Map.of("v", v)));
        assertEquals(7, momentum.steps());
        refused(IllegalArgumentException.class, () -> momentum.state("W"), "'W'", "[b]");
        momentum.update(b, db); // not "b": starts at zero
        momentum.update(Map.of("b", b), Map.of("b", db));
        assertSameBits(floats(1.5, 1.5), momentum.state("b").get("v").get());
        assertSameBits(floats(4, 4), v.get());
    }

    /** Of a rule without state a checkpoint says the name alone; the group is that of the tensor that comes, not the first of that name. */
    @Test
    void aParameterWithoutStateIsResumedInTheGroupOfItsShape() {
        Optimizer groups = engine.optimizer(
                Group.vectors("*", Sgd.of(1)).orEmpty(), Group.rest(Sgd.of(0.5)).orEmpty());
        groups.resume(3, Map.of("W", Map.of()));
        Tensor matrix = engine.zeros(1, 2);
        groups.update(Map.of("W", matrix), Map.of("W", engine.tensor(floats(1, 2), 1, 2)));
        assertSameBits(floats(-0.5, -1), matrix.get());
        assertEquals(4, groups.steps());
    }

    /** A rule without state keeps nothing that has a shape. */
    @Test
    void aParameterWithoutStateMayComeBackInAnotherShape() {
        Optimizer sgd = engine.optimizer(Sgd.of(1));
        sgd.update(Map.of("W", engine.zeros(2)), Map.of("W", engine.zeros(2)));
        Tensor longer = engine.zeros(3);
        sgd.update(Map.of("W", longer), Map.of("W", engine.tensor(floats(1, 2, 3))));
        assertSameBits(floats(-1, -2, -3), longer.get());
    }

    /** By hand: v = −1, p = −1; v becomes 4; then v = 2 − 1, p = −1 + 1. The maps are those of the step before, the state is not. */
    @Test
    void theSameMapsAfterAResumeStepFromTheResumedState() {
        Tensor p = engine.zeros(1);
        Map<String, Tensor> params = Map.of("p", p), grads = Map.of("p", engine.tensor(floats(1)));
        Optimizer optimizer = engine.optimizer(Momentum.of(1).momentum(0.5));
        optimizer.update(params, grads);
        optimizer.resume(0, Map.of("p", Map.of("v", engine.tensor(floats(4)))));
        optimizer.update(params, grads);
        assertSameBits(floats(0), p.get());
        assertSameBits(floats(1), optimizer.state("p").get("v").get());
    }

    @Test
    void aSingleNumberWithoutExtentsIsResumed() {
        Tensor x = engine.zeros(), dx = engine.zeros();
        dx.set(1);
        Optimizer first = engine.optimizer(Momentum.of(0.5).momentum(0.5));
        first.update(x, dx);
        Optimizer second = engine.optimizer(Momentum.of(0.5).momentum(0.5));
        second.resume(1, Map.of(Optimizer.SINGLE, first.state(Optimizer.SINGLE)));
        second.update(x, dx);
        assertSameBits(floats(-0.5 - 0.75), x.get());
    }

    @Test
    void aSinglePairMayChangeItsGradientBetweenSteps() {
        Optimizer single = engine.optimizer(Sgd.of(0.5));
        single.update(b, db);
        single.update(b, engine.tensor(floats(3, 3)));
        assertSameBits(floats(-1.5, -0.5), b.get());
    }

    @Test
    void aNullNameIsNamed() {
        Map<String, Tensor> unnamed = new HashMap<>();
        unnamed.put(null, b);
        unchanged(unnamed, Map.of("b", db), "params", "null");
    }

    /** Among ten thousand, what is missing is named, and the message stays short. */
    @Test
    void aGradientMissingAmongManyIsNamed() {
        Map<String, Tensor> params = new HashMap<>(), grads = new HashMap<>();
        for (int n = 0; n < 10_000; n++) params.put("layer" + n, engine.zeros(0));
        params.forEach((name, param) -> grads.put(name, engine.zeros(0)));
        grads.remove("layer777");
        unchanged(params, grads, "missing [layer777]");
        grads.clear();
        String message = assertThrows(IllegalArgumentException.class, () -> engine.optimizer(Sgd.of(1))
                        .update(params, grads))
                .getMessage();
        assertEquals(true, message.contains("layer0") && message.contains("9992 more"), message);
        assertEquals(true, message.length() < 300, message);
    }

    @Test
    void aParameterOrAGradientThatIsNullIsNamed() {
        for (Optimizer optimizer : new Optimizer[] {momentum, engine.optimizer(Sgd.of(1))}) {
            refused(NullPointerException.class, () -> optimizer.update(null, db), "param");
            refused(NullPointerException.class, () -> optimizer.update(b, null), "grad");
            refused(NullPointerException.class, () -> optimizer.update(null, Map.of()), "params");
            refused(NullPointerException.class, () -> optimizer.update(Map.of(), null), "grads");
        }
        assertEquals(1, momentum.steps());
    }

    /** Whether or not the parameter that the state is of takes part. */
    @Test
    void anOptimizersOwnStateIsNoParameterAndNoGradient() {
        Tensor own = momentum.state("b").get("v"), g = engine.zeros(2);
        unchanged(Map.of("b", b, "x", own), Map.of("b", db, "x", g), "state of 'b'", "params 'x'");
        unchanged(Map.of("b", b), Map.of("b", own), "state of 'b'", "grads 'b'");
        unchanged(Map.of("x", own), Map.of("x", g), "state of 'b'", "params 'x'");
    }

    @Test
    void nullIsRefusedWhereItIsGivenAndByName() {
        refused(NullPointerException.class, () -> Schedule.of(null), "rule");
        refused(NullPointerException.class, () -> LearningRate.constant(1).of(null), "rule");
        refused(NullPointerException.class, () -> Group.of("*", (Rule) null), "rule");
        refused(NullPointerException.class, () -> Group.matrices("*", (Schedule) null), "schedule");
        refused(NullPointerException.class, () -> engine.optimizer((Rule) null), "rule");
        refused(NullPointerException.class, () -> engine.optimizer(Group.rest(Sgd.of(1)), null), "group");
    }

    @Test
    void aPatternThatNamesNoGroupOrSeveralIsRefused() {
        Optimizer groups = engine.optimizer(
                Group.vectors("*", Sgd.of(1)),
                Group.rest(Sgd.of(1)),
                Group.frozen("f").orEmpty());
        Schedule next = Schedule.of(Sgd.of(2));
        refused(IllegalStateException.class, () -> groups.schedule(next), "pattern", "vectors of '*'");
        refused(IllegalArgumentException.class, () -> groups.schedule("f", next), "'f'", "with a rule", "none of");
        refused(
                IllegalArgumentException.class,
                () -> groups.schedule("*", next),
                "'*'",
                "one group",
                "that of 2",
                "'**'");
        Optimizer apart = engine.optimizer(
                Group.vectors("*", Sgd.of(1)),
                Group.rest(Sgd.of(1)),
                Group.of("**", Sgd.of(1)).orEmpty());
        refused(IllegalArgumentException.class, () -> apart.schedule("x*", next), "'x*'", "none of");
        apart.schedule("**", next);
    }

    @Test
    void aTensorOfAnotherEngineOfTheSameKindIsSaidToBeAnothers() {
        try (Engine other = Engines.open()) {
            Tensor theirs = other.zeros(1);
            Optimizer sgd = engine.optimizer(Sgd.of(1));
            refused(IllegalArgumentException.class, () -> sgd.update(theirs, engine.zeros(1)), "another engine");
        }
    }

    /** An update that must be refused and leave parameters, state and the count as they are. */
    private void unchanged(Map<String, Tensor> params, Map<String, Tensor> grads, String... words) {
        refused(IllegalArgumentException.class, () -> momentum.update(params, grads), words);
        assertSameBits(floats(0.5, 1.5, 2.5, 3.5, 4.5, 5.5), w.get());
        assertSameBits(floats(0.5, 1.5), b.get());
        assertSameBits(floats(-0.5, -0.5), momentum.state("b").get("v").get());
        assertEquals(1, momentum.steps());
    }

    static void refused(Class<? extends Exception> kind, Executable call, String... words) {
        String message = assertThrows(kind, call).getMessage();
        for (String word : words) {
            if (!message.contains(word)) throw new AssertionError("expected '" + word + "' in: " + message);
        }
    }
}
