package kudari.djl;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import ai.djl.Model;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Activation;
import ai.djl.nn.Block;
import ai.djl.nn.Blocks;
import ai.djl.nn.Parameter;
import ai.djl.nn.SequentialBlock;
import ai.djl.nn.convolutional.Conv2d;
import ai.djl.nn.core.Linear;
import ai.djl.nn.norm.BatchNorm;
import ai.djl.nn.norm.LayerNorm;
import ai.djl.training.DefaultTrainingConfig;
import ai.djl.training.EasyTrain;
import ai.djl.training.Trainer;
import ai.djl.training.dataset.ArrayDataset;
import ai.djl.training.loss.Loss;
import ai.djl.training.optimizer.Optimizer;
import ai.djl.training.tracker.Tracker;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;
import kudari.CpuEngine;
import kudari.Engine;
import kudari.Group;
import kudari.Guard;
import kudari.LearningRate;
import kudari.checkpoint.Checkpoint;
import kudari.rule.AdaDelta;
import kudari.rule.AdaGrad;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Nesterov;
import kudari.rule.RmsProp;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Kudari's steps in loops of DJL, on the CPU. */
class DjlOptimizerTest {

    private static final List<String> NAMES =
            List.of("01Linear_weight", "01Linear_bias", "03Linear_weight", "03Linear_bias");

    private CpuEngine engine;
    private NDManager manager;

    @BeforeEach
    void open() {
        engine = Engine.cpu(2);
        manager = NDManager.newBaseManager();
    }

    @AfterEach
    void close() {
        manager.close();
        engine.close();
    }

    /** A block of one parameter of each of these values, named {@code 0}, {@code 1} and so on. */
    private Vectors vectors(float[]... values) {
        Vectors block = new Vectors(values.length);
        for (int n = 0; n < values.length; n++) block.parameter(n).setArray(trained(manager.create(values[n])));
        return block;
    }

    private static NDArray trained(NDArray array) {
        array.setRequiresGradient(true);
        return array;
    }

    /** One step, as {@code LocalParameterServer} asks for it. */
    private static void step(DjlOptimizer optimizer, Vectors block, NDArray... grads) {
        for (int n = 0; n < grads.length; n++)
            optimizer.update(block.parameter(n).getId(), block.parameter(n).getArray(), grads[n]);
    }

    /** DJL's own throws for the middle four. */
    static Stream<Rule> rules() {
        return Stream.of(
                Adam.of(0.02), RmsProp.of(0.01), Nesterov.of(0.05), AdaGrad.of(0.1), AdaDelta.of(1), AdamW.of(0.02));
    }

    @ParameterizedTest
    @MethodSource("rules")
    void itLearnsUnderEasyTrain(Rule rule) throws Exception {
        float[] points = Task.points(1, 640);
        ArrayDataset circle = new ArrayDataset.Builder()
                .setData(manager.create(points, new Shape(640, 2)))
                .optLabels(manager.create(Task.labels(points)))
                .setSampling(Task.BATCH, false)
                .build();
        try (Model model = Task.model(1);
                Trainer trainer = Task.trainer(model, new DjlOptimizer(model.getBlock(), engine.optimizer(rule)))) {
            EasyTrain.fit(trainer, 15, circle, null);
            float loss = 0;
            for (int batch = 0; batch < 10; batch++) loss += Task.backward(trainer, 1000 + batch) / 10;
            assertTrue(loss < 0.45, "loss " + loss); // it begins near ln 2
        }
    }

    @Test
    void djlsOwnRefuseWhatLearnsHere() {
        Vectors block = vectors(new float[] {1});
        NDArray grad = manager.ones(new Shape(1));
        for (Optimizer own : List.of(
                Optimizer.rmsprop().build(),
                Optimizer.nag()
                        .setLearningRateTracker(Tracker.fixed(1))
                        .setMomentum(0.9f)
                        .build(),
                Optimizer.adagrad().build(),
                Optimizer.adadelta().build()))
            assertThrows(
                    UnsupportedOperationException.class,
                    () -> own.update("id", block.parameter(0).getArray(), grad));
    }

    /** DJL's formula in double over the gradients, and how far float32 may be from it, by the roundings of every step. */
    @Test
    void sixtyStepsOnTheSameGradientsAreThoseOfDjlsAdam() {
        Random random = new Random(5);
        float[] start = Task.floats(random, 500);
        Vectors block = vectors(start);
        NDArray theirs = trained(manager.create(start));
        Optimizer own =
                Optimizer.adam().optLearningRateTracker(Tracker.fixed(0.001f)).build();
        // Their hyperparameters are floats.
        DjlOptimizer ours = new DjlOptimizer(
                block, engine.optimizer(Adam.of(0.001f).betas(0.9f, 0.999f).epsHat(1e-8f)));
        double b1 = 0.9f, b2 = 0.999f, eps = 1e-8f, ulp = Math.scalb(1, -24);
        double[] p = new double[500], m = new double[500], v = new double[500];
        double[] errorP = new double[500], errorM = new double[500], errorV = new double[500];
        for (int i = 0; i < 500; i++) p[i] = start[i];
        for (int t = 1; t <= 60; t++) {
            float[] g = Task.floats(random, 500);
            own.update("id", theirs, manager.create(g));
            step(ours, block, manager.create(g));
            double rate = 0.001f * Math.sqrt(1 - Math.pow(b2, t)) / (1 - Math.pow(b1, t));
            for (int i = 0; i < 500; i++) {
                errorM[i] = b1 * errorM[i] + 4 * ulp * (b1 * Math.abs(m[i]) + (1 - b1) * Math.abs(g[i]));
                errorV[i] = b2 * errorV[i] + 5 * ulp * (b2 * v[i] + (1 - b2) * g[i] * g[i]);
                m[i] = b1 * m[i] + (1 - b1) * g[i];
                v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
                double root = Math.sqrt(v[i]) + eps, step = rate * m[i] / root;
                // The root's error is at most half of the mean's, as long as that is small; five operations and the
                // rate are rounded.
                double error = rate * errorM[i] / root + Math.abs(step) * (errorV[i] / v[i] + 6 * ulp);
                p[i] -= step;
                errorP[i] += 1.01 * error + ulp * Math.abs(p[i]);
            }
        }
        float[] here = block.parameter(0).getArray().toFloatArray(), there = theirs.toFloatArray();
        for (int i = 0; i < 500; i++) {
            assertEquals(p[i], here[i], errorP[i], "ours at " + i);
            assertEquals(p[i], there[i], errorP[i], "DJL's at " + i);
            assertTrue(errorP[i] < 0.06 / 1000, "the bound says nothing: " + errorP[i]); // 60 steps of about 0.001
        }
    }

    @Test
    void layersOfAllKindsAreStepped() {
        Block block = new SequentialBlock()
                .add(Conv2d.builder()
                        .setKernelShape(new Shape(3, 3))
                        .setFilters(4)
                        .build())
                .add(BatchNorm.builder().build())
                .add(Activation.reluBlock())
                .add(Blocks.batchFlattenBlock())
                .add(LayerNorm.builder().build())
                .add(Linear.builder().setUnits(3).optBias(false).build());
        try (Model model = Model.newInstance("kinds")) {
            model.setBlock(block);
            var sgd = engine.optimizer(Sgd.of(0.1));
            try (Trainer trainer = model.newTrainer(
                    new DefaultTrainingConfig(Loss.l2Loss()).optOptimizer(new DjlOptimizer(block, sgd)))) {
                trainer.initialize(new Shape(2, 1, 6, 6));
                for (int step = 0; step < 3; step++) {
                    NDArray x = manager.create(Task.floats(new Random(step), 72), new Shape(2, 1, 6, 6));
                    try (var collector = trainer.newGradientCollector()) {
                        NDList out = trainer.forward(new NDList(x));
                        collector.backward(trainer.getLoss().evaluate(new NDList(manager.ones(new Shape(2, 3))), out));
                    }
                    Map<String, float[]> expected = new LinkedHashMap<>();
                    for (var pair : block.getParameters()) {
                        NDArray array = pair.getValue().getArray();
                        float[] p = array.toFloatArray();
                        if (pair.getValue().requiresGradient()) {
                            float[] g = array.getGradient().toFloatArray();
                            for (int i = 0; i < p.length; i++) p[i] -= 0.1f * g[i];
                        }
                        expected.put(pair.getKey(), p);
                    }
                    trainer.step();
                    expected.forEach((name, p) -> assertArrayEquals(p, Task.floats(model, name), name));
                }
            }
            assertFalse(sgd.knows("02BatchNorm_runningMean"));
            assertTrue(sgd.knows("01Conv2d_weight") && sgd.knows("02BatchNorm_gamma"));
        }
    }

    @Test
    void groupsTakeTheNamesOfTheBlock() {
        var optimizer =
                engine.optimizer(Group.frozen("03*"), Group.vectors("*", Sgd.of(0.1)), Group.rest(Adam.of(0.01)));
        try (Model model = Task.model(2);
                Trainer trainer = Task.trainer(model, new DjlOptimizer(model.getBlock(), optimizer))) {
            assertEquals(NAMES, model.getBlock().getParameters().keys());
            List<float[]> before =
                    NAMES.stream().map(name -> Task.floats(model, name)).toList();
            Task.train(trainer, 0, 3);
            for (int n = 0; n < NAMES.size(); n++)
                assertEquals(n >= 2, Arrays.equals(before.get(n), Task.floats(model, NAMES.get(n))), NAMES.get(n));
            assertEquals(Set.of("m", "v"), optimizer.state("01Linear_weight").keySet());
            assertEquals(Set.of(), optimizer.state("01Linear_bias").keySet());
            assertEquals(List.of(3L, 3L), optimizer.counts().groups());
            for (String name : NAMES) assertZeroGradient(model, name); // those of frozen parameters too
        }
    }

    private static void assertZeroGradient(Model model, String name) {
        try (NDArray grad =
                model.getBlock().getParameters().get(name).getArray().getGradient()) {
            assertArrayEquals(new float[(int) grad.size()], grad.toFloatArray(), name);
        }
    }

    @Test
    void whatDjlFreezesStaysAndGoesOnLater() {
        var optimizer = engine.optimizer(Adam.of(0.01));
        try (Model model = Task.model(3);
                Trainer trainer = Task.trainer(model, new DjlOptimizer(model.getBlock(), optimizer))) {
            Parameter weight = model.getBlock().getParameters().get("01Linear_weight");
            Task.train(trainer, 0, 2);
            weight.freeze(true);
            float[] before = weight.getArray().toFloatArray();
            Task.train(trainer, 2, 4);
            assertArrayEquals(before, weight.getArray().toFloatArray());
            weight.freeze(false);
            Task.train(trainer, 4, 5);
            assertFalse(Arrays.equals(before, weight.getArray().toFloatArray()));
            assertEquals(5, optimizer.steps());
        }
    }

    @Test
    void theNormIsThatOfTheWholeModel() {
        Vectors block = vectors(new float[] {1, 1}, new float[] {1});
        var sgd = engine.optimizer(Sgd.of(1)).guard(Guard.clipNorm(1));
        step(new DjlOptimizer(block, sgd), block, manager.create(new float[] {3, 0}), manager.create(new float[] {4}));
        assertEquals(5, sgd.norm());
        assertArrayEquals(new float[] {0.4f, 1}, block.parameter(0).getArray().toFloatArray(), 1e-7f);
        assertArrayEquals(new float[] {0.2f}, block.parameter(1).getArray().toFloatArray(), 1e-7f);
    }

    @Test
    void gradientsAreZeroAfterAStepAndAfterOneThatIsLeftOut() {
        var optimizer = engine.optimizer(Sgd.of(0.1)).guard(Guard.skipNonFinite());
        try (Model model = Task.model(4);
                Trainer trainer = Task.trainer(model, new DjlOptimizer(model.getBlock(), optimizer))) {
            Task.train(trainer, 0, 1);
            for (String name : NAMES) assertZeroGradient(model, name);
            List<float[]> before =
                    NAMES.stream().map(name -> Task.floats(model, name)).toList();
            Task.backward(trainer, 1);
            try (NDArray grad = model.getBlock()
                    .getParameters()
                    .get(NAMES.get(0))
                    .getArray()
                    .getGradient()) {
                grad.set(new NDIndex(0, 0), Float.NaN);
            }
            trainer.step();
            assertEquals(1, optimizer.skipped());
            for (int n = 0; n < NAMES.size(); n++) {
                assertArrayEquals(before.get(n), Task.floats(model, NAMES.get(n)));
                assertZeroGradient(model, NAMES.get(n));
            }
        }
    }

    @Test
    void aSingleNumberIsAParameter() {
        Vectors block = new Vectors(1);
        block.parameter(0).setArray(trained(manager.create(2f)));
        step(new DjlOptimizer(block, engine.optimizer(Sgd.of(0.5))), block, manager.create(3f));
        assertEquals(0.5f, block.parameter(0).getArray().getFloat());
        assertEquals(new Shape(), block.parameter(0).getArray().getShape());
    }

    @Test
    void aGradientMayBeTheParametersOwn() {
        Vectors block = vectors(new float[] {1, 2});
        NDArray param = block.parameter(0).getArray();
        try (var collector = ai.djl.engine.Engine.getInstance().newGradientCollector()) {
            collector.backward(param.square().sum());
        }
        step(new DjlOptimizer(block, engine.optimizer(Sgd.of(0.25))), block, param.getGradient());
        assertArrayEquals(new float[] {0.5f, 1}, param.toFloatArray());
        assertArrayEquals(new float[2], param.getGradient().toFloatArray());
    }

    @Test
    void aGraphThatNeedsTheOldValuesIsRefused() {
        Vectors block = vectors(new float[] {1, 2});
        NDArray param = block.parameter(0).getArray();
        DjlOptimizer optimizer = new DjlOptimizer(block, engine.optimizer(Sgd.of(0.25)));
        try (var collector = ai.djl.engine.Engine.getInstance().newGradientCollector()) {
            NDArray first = param.square().sum(), second = param.square().sum();
            collector.backward(first);
            step(optimizer, block, param.getGradient());
            String message = assertThrows(EngineException.class, () -> collector.backward(second))
                    .getMessage();
            assertTrue(message.contains("modified by an inplace operation"), message);
        }
        assertArrayEquals(new float[] {0.5f, 1}, param.toFloatArray());
    }

    @Test
    void aGradientMayBeFreedBeforeTheLastHasCome() {
        Vectors block = vectors(new float[1 << 20], new float[1]);
        DjlOptimizer optimizer = new DjlOptimizer(block, engine.optimizer(Sgd.of(1)));
        NDArray first = manager.ones(new Shape(1 << 20));
        optimizer.update(block.parameter(0).getId(), block.parameter(0).getArray(), first);
        first.subi(5);
        first.close();
        optimizer.update(block.parameter(1).getId(), block.parameter(1).getArray(), manager.ones(new Shape(1)));
        assertEquals(-1 << 20, block.parameter(0).getArray().sum().getFloat());
    }

    @Test
    void aParameterThatHasMovedIsSteppedWhereItIs() {
        Vectors block = vectors(new float[] {1, 2});
        DjlOptimizer optimizer = new DjlOptimizer(block, engine.optimizer(Sgd.of(1)));
        NDArray param = block.parameter(0).getArray();
        step(optimizer, block, manager.create(new float[] {1, 1}));
        assertArrayEquals(new float[] {0, 1}, param.toFloatArray());

        ByteBuffer elsewhere = ByteBuffer.allocateDirect(8).order(ByteOrder.nativeOrder());
        elsewhere.putFloat(0, 10).putFloat(4, 20);
        param.set(elsewhere); // DJL now has the tensor in this buffer
        step(optimizer, block, manager.create(new float[] {1, 1}));
        assertArrayEquals(new float[] {9, 19}, param.toFloatArray());

        param.intern(manager.create(new float[] {30, 40}));
        step(optimizer, block, manager.create(new float[] {1, 1}));
        assertArrayEquals(new float[] {29, 39}, param.toFloatArray());
    }

    @Test
    void aShorterParameterAtTheSamePlaceIsSteppedAsFarAsItGoes() {
        Vectors block = vectors(new float[4]);
        DjlOptimizer optimizer = new DjlOptimizer(block, engine.optimizer(Sgd.of(1)));
        NDArray all = block.parameter(0).getArray();
        step(optimizer, block, manager.ones(new Shape(4)));
        try (NDArray half = all.stopGradient().get(new NDIndex("0:2"))) {
            optimizer.update(block.parameter(0).getId(), half, manager.ones(new Shape(2)));
        }
        assertArrayEquals(new float[] {-2, -2, -1, -1}, all.toFloatArray());
    }

    /** DJL goes on saying the shape that it knew. */
    @Test
    void aParameterThatTakesOverAnArrayOfAnotherSizeIsRefused() {
        Vectors block = vectors(new float[] {1, 2});
        DjlOptimizer optimizer = new DjlOptimizer(block, engine.optimizer(Sgd.of(1)));
        NDArray param = block.parameter(0).getArray();
        step(optimizer, block, manager.create(new float[] {1, 1}));
        param.intern(manager.create(new float[] {30}));
        String message = assertThrows(
                        IllegalArgumentException.class,
                        () -> step(optimizer, block, manager.create(new float[] {1, 1})))
                .getMessage();
        assertEquals(
                "parameter '0': expected 2 elements, as its shape [2] says, got memory of 1; make the model's block, and this, anew",
                message);
    }

    @Test
    void aParameterThatTakesOverAnotherArrayOrGoesToAnotherManagerIsSteppedWhereItIs() {
        Vectors block = new Vectors(1);
        Shape shape = new Shape(2, 2);
        block.parameter(0).setArray(trained(manager.ones(shape)));
        DjlOptimizer optimizer = new DjlOptimizer(block, engine.optimizer(Sgd.of(1)));
        NDArray one = manager.ones(shape), param = block.parameter(0).getArray();
        try (NDManager own = manager.newSubManager()) {
            param.attach(own);
            step(optimizer, block, one);
            param.attach(manager);
        } // what was made of it goes with its manager
        step(optimizer, block, one);
        assertEquals(-1, param.getFloat(1, 1));
        param.intern(trained(manager.full(shape, 7f))); // the same object over other memory
        step(optimizer, block, one);
        assertEquals(6, param.getFloat(1, 1));
        param.intern(trained(manager.ones(shape)).transpose());
        String message = assertThrows(IllegalArgumentException.class, () -> step(optimizer, block, manager.ones(shape)))
                .getMessage();
        assertTrue(message.startsWith("parameter '0': expected a contiguous array"), message);
    }

    @Test
    void aParameterThatWasNeverInitializedIsNoPartOfAStep() {
        Vectors block = new Vectors(2);
        block.parameter(0).setArray(trained(manager.create(new float[] {1})));
        var sgd = engine.optimizer(Sgd.of(1));
        step(new DjlOptimizer(block, sgd), block, manager.ones(new Shape(1)));
        assertEquals(1, sgd.steps());
        assertEquals(0, block.parameter(0).getArray().getFloat());
    }

    /** It was stepped one step late, by a gradient of the step before, or never: the step's end zeroed what had not come. */
    @Test
    void aParameterThatTheBlockIsGivenLaterIsSteppedWithTheOthers() {
        Vectors block = vectors(new float[] {1});
        var sgd = engine.optimizer(Sgd.of(1));
        DjlOptimizer optimizer = new DjlOptimizer(block, sgd);
        NDArray one = manager.ones(new Shape(1));
        step(optimizer, block, one);
        block.add().setArray(trained(manager.create(new float[] {10})));
        step(optimizer, block, one, one.mul(2));
        assertEquals(2, sgd.steps());
        assertEquals(-1, block.parameter(0).getArray().getFloat());
        assertEquals(8, block.parameter(1).getArray().getFloat());
        step(optimizer, block, one, one.mul(4));
        assertEquals(4, block.parameter(1).getArray().getFloat());
    }

    @Test
    void aGradientWithOtherStridesIsTakenInTheOrderOfItsElements() {
        Vectors block = new Vectors(2);
        block.parameter(0).setArray(trained(manager.zeros(new Shape(2, 3))));
        block.parameter(1).setArray(trained(manager.zeros(new Shape(3))));
        NDArray columns = manager.create(new float[] {1, 2, 3, 4, 5, 6}, new Shape(3, 2));
        step(
                new DjlOptimizer(block, engine.optimizer(Sgd.of(1))),
                block,
                columns.transpose(),
                columns.get(new NDIndex(":, 1")));
        assertArrayEquals(
                new float[] {-1, -3, -5, -2, -4, -6},
                block.parameter(0).getArray().toFloatArray());
        assertArrayEquals(
                new float[] {-2, -4, -6}, block.parameter(1).getArray().toFloatArray());
    }

    @Test
    void whatCannotBeSteppedInPlaceIsRefusedByName() {
        NDArray two = manager.zeros(new Shape(2, 2)), grad = manager.ones(new Shape(2, 2));
        assertRefused("parameter '0': expected a contiguous array", two.transpose(), grad);
        assertRefused("parameter '0': expected a contiguous array", two.get(new NDIndex(":, 1")), grad);
        assertRefused("parameter '0': expected float32, got float64", two.toType(DataType.FLOAT64, true), grad);
        assertRefused("the gradient of '0': expected float32, got int32", two, grad.toType(DataType.INT32, true));
        assertRefused("grads '0': expected shape [2, 2], got [2]", two, manager.ones(new Shape(2)));
        assertRefused(
                "the gradient of '0': expected a dense array, got a sparse one",
                two,
                manager.createCoo(FloatBuffer.wrap(new float[] {1}), new long[][] {{0}, {1}}, new Shape(2, 2)));
        NDArray large = manager.create(new Shape(1 << 29)); // of memory that nobody touches
        assertRefused("parameter '0': expected at most 536870911 elements, got 536870912", large, large);
        NDArray closed = manager.ones(new Shape(2, 2));
        closed.close();
        assertRefused("the gradient of '0' is closed", two, closed);
        assertRefused("parameter '0' is closed", closed, grad);
        assertArrayEquals(new float[4], two.toFloatArray());
    }

    private void assertRefused(String message, NDArray weight, NDArray grad) {
        Vectors block = vectors(new float[4]);
        var sgd = engine.optimizer(Sgd.of(1));
        DjlOptimizer optimizer = new DjlOptimizer(block, sgd);
        RuntimeException e = assertThrows(
                RuntimeException.class,
                () -> optimizer.update(block.parameter(0).getId(), weight, grad));
        assertTrue(e.getMessage().startsWith(message), e.toString());
        assertEquals(0, sgd.steps());
        step(optimizer, block, manager.ones(new Shape(4))); // and nothing is left of it
        assertArrayEquals(
                new float[] {-1, -1, -1, -1}, block.parameter(0).getArray().toFloatArray());
    }

    @Test
    void aStepThatMissesAParameterIsNotDoneAndSaysSo() {
        Vectors block = vectors(new float[] {1}, new float[] {2}, new float[] {3});
        var sgd = engine.optimizer(Sgd.of(1));
        DjlOptimizer optimizer = new DjlOptimizer(block, sgd);
        NDArray one = manager.ones(new Shape(1));
        step(optimizer, block, one, one);
        String message = assertThrows(IllegalStateException.class, () -> step(optimizer, block, one, one))
                .getMessage();
        assertTrue(message.startsWith("'0' came again before [2] came, so no step was done: "), message);
        assertEquals(0, sgd.steps());
        step(optimizer, block, one, one, one);
        assertEquals(1, sgd.steps());
        assertEquals(2, block.parameter(2).getArray().getFloat());
    }

    @Test
    void whatCameBeforeAnArrayThatIsRefusedIsForgotten() {
        Vectors block = vectors(new float[] {1}, new float[] {2});
        DjlOptimizer optimizer = new DjlOptimizer(block, engine.optimizer(Sgd.of(1)));
        NDArray one = manager.ones(new Shape(1));
        assertThrows(
                IllegalArgumentException.class, () -> step(optimizer, block, one, one.toType(DataType.FLOAT64, true)));
        step(optimizer, block, one.mul(2), one);
        assertEquals(-1, block.parameter(0).getArray().getFloat());
    }

    @Test
    void aParameterThatIsClosedBeforeTheLastHasComeIsRefusedAndNothingChanges() {
        Vectors block = vectors(new float[] {1}, new float[] {2});
        var sgd = engine.optimizer(Sgd.of(1));
        DjlOptimizer optimizer = new DjlOptimizer(block, sgd);
        NDArray one = manager.ones(new Shape(1)), first = block.parameter(0).getArray();
        step(optimizer, block, one);
        first.close();
        String message = assertThrows(
                        IllegalStateException.class,
                        () -> optimizer.update(
                                block.parameter(1).getId(), block.parameter(1).getArray(), one))
                .getMessage();
        assertEquals("parameter '0' is closed", message);
        assertEquals(0, sgd.steps());
        assertEquals(2, block.parameter(1).getArray().getFloat());
    }

    @Test
    void noGradientIsRefusedByName() {
        Vectors block = vectors(new float[] {1});
        DjlOptimizer optimizer = new DjlOptimizer(block, engine.optimizer(Sgd.of(1)));
        String message = assertThrows(IllegalArgumentException.class, () -> step(optimizer, block, (NDArray) null))
                .getMessage();
        assertEquals("the gradient of '0': expected an array of DJL's PyTorch engine, got null", message);
    }

    @Test
    void aModelThatIsLoadedAgainIsWhatIsSavedAndRestored(@TempDir Path folder) throws Exception {
        try (Model model = Task.model(14)) {
            DjlOptimizer optimizer = new DjlOptimizer(model.getBlock(), engine.optimizer(Adam.of(0.01)));
            try (Trainer trainer = Task.trainer(model, optimizer)) {
                Task.train(trainer, 0, 2);
            }
            Checkpoint second = optimizer.checkpoint(Map.of());
            model.save(folder, "circle");
            float[] loaded = Task.floats(model, NAMES.get(0));
            try (Trainer trainer = Task.trainer(model, optimizer)) {
                Task.train(trainer, 2, 4);
                NDArray old = model.getBlock().getParameters().get(NAMES.get(1)).getArray();
                model.load(folder, "circle"); // puts other arrays into the block; the trainer's are still there
                Checkpoint third = optimizer.checkpoint(Map.of());
                assertArrayEquals(
                        loaded, third.tensors().get("params/01Linear_weight").floats());
                old.close();
                model.getBlock().getParameters().get(NAMES.get(0)).getArray().set(new float[32]);
                optimizer.restore(second);
                assertArrayEquals(loaded, Task.floats(model, NAMES.get(0)));
            }
        }
    }

    /** As a trainer does whose model was loaded again meanwhile. */
    @Test
    void anArrayThatIsNotTheBlocksIsSavedIfItWasSteppedLast() {
        Vectors block = vectors(new float[] {1});
        DjlOptimizer optimizer = new DjlOptimizer(block, engine.optimizer(Sgd.of(1)));
        NDArray one = manager.ones(new Shape(1)), other = trained(manager.create(new float[] {5}));
        step(optimizer, block, one);
        optimizer.update(block.parameter(0).getId(), other, one);
        assertArrayEquals(
                new float[] {4},
                optimizer.checkpoint(Map.of()).tensors().get("params/0").floats());
    }

    @Test
    void aStepHalfGatheredIsForgottenByARestore() {
        Vectors block = vectors(new float[] {1}, new float[] {2});
        var sgd = engine.optimizer(Sgd.of(1));
        DjlOptimizer optimizer = new DjlOptimizer(block, sgd);
        NDArray one = manager.ones(new Shape(1));
        Checkpoint saved = optimizer.checkpoint(Map.of());
        step(optimizer, block, one);
        optimizer.restore(saved);
        step(optimizer, block, one, one);
        assertEquals(1, sgd.steps());
    }

    @Test
    void aGraphThatNeedsWhatARestoreReplacedIsRefused() {
        Vectors block = vectors(new float[] {3});
        DjlOptimizer optimizer = new DjlOptimizer(block, engine.optimizer(Sgd.of(1)));
        NDArray weight = block.parameter(0).getArray();
        Checkpoint saved = optimizer.checkpoint(Map.of());
        try (var collector = ai.djl.engine.Engine.getInstance().newGradientCollector()) {
            NDArray square = weight.square().sum();
            optimizer.restore(saved);
            assertThrows(EngineException.class, () -> collector.backward(square));
        }
    }

    @Test
    void stateOfWhatIsFrozenLaterIsSavedToo() {
        Checkpoint saved;
        try (Model model = Task.model(12)) {
            DjlOptimizer optimizer = new DjlOptimizer(model.getBlock(), engine.optimizer(Adam.of(0.01)));
            try (Trainer trainer = Task.trainer(model, optimizer)) {
                Task.train(trainer, 0, 2);
                model.getBlock().getParameters().get(NAMES.get(0)).freeze(true);
                Task.train(trainer, 2, 3);
                saved = optimizer.checkpoint(Map.of());
            }
        }
        try (Model model = Task.model(13)) {
            model.getBlock().getParameters().get(NAMES.get(0)).freeze(true);
            var adam = engine.optimizer(Adam.of(0.01));
            new DjlOptimizer(model.getBlock(), adam).restore(saved);
            assertArrayEquals(saved.tensors().get("params/01Linear_weight").floats(), Task.floats(model, NAMES.get(0)));
            assertArrayEquals(
                    saved.tensors().get("state/01Linear_weight/Adam.m").floats(),
                    adam.state(NAMES.get(0)).get("m").get());
            assertEquals(3, adam.steps());
        }
    }

    @Test
    void strangersAreRefused() {
        DjlOptimizer optimizer = new DjlOptimizer(vectors(new float[1]), engine.optimizer(Sgd.of(1)));
        NDArray one = manager.ones(new Shape(1));
        String message = assertThrows(IllegalArgumentException.class, () -> optimizer.update("uid-1", one, one))
                .getMessage();
        assertEquals(
                "parameter id 'uid-1': expected one of the block's parameters, got none of [0]; give this the trainer's block, and where that has other layers now, make the trainer anew",
                message);
    }

    /** As DJL's trainer has it, which goes on with what it once saw. */
    @Test
    void aLayerThatTheBlockNoLongerHasIsRefusedAndANewTrainerGoesOn() {
        try (Model model = Task.model(14)) {
            SequentialBlock block = (SequentialBlock) model.getBlock();
            var sgd = engine.optimizer(Sgd.of(0.1));
            DjlOptimizer optimizer = new DjlOptimizer(block, sgd);
            try (Trainer trainer = Task.trainer(model, optimizer)) {
                Task.train(trainer, 0, 2);
                block.removeLastBlock(); // 2-16: as many classes as there are outputs
                Task.backward(trainer, 2);
                String message = assertThrows(IllegalArgumentException.class, trainer::step)
                        .getMessage();
                assertTrue(message.endsWith("make the trainer anew"), message);
            }
            long before = sgd.steps(); // what is still there may have come first, and been stepped
            try (Trainer trainer = Task.trainer(model, optimizer)) {
                Task.train(trainer, 2, 4);
            }
            assertEquals(before + 2, sgd.steps());
        }
    }

    @Test
    void aLayerThatTheBlockHasTwiceIsSteppedOnce() {
        Vectors twice = vectors(new float[] {1});
        SequentialBlock block = new SequentialBlock().add(twice).add(twice);
        assertEquals(2, block.getParameters().size());
        var sgd = engine.optimizer(Sgd.of(1));
        DjlOptimizer optimizer = new DjlOptimizer(block, sgd);
        step(optimizer, twice, manager.ones(new Shape(1)));
        assertEquals(1, sgd.steps());
        assertEquals(0, twice.parameter(0).getArray().getFloat());
        assertEquals(
                Set.of("params/01Vectors_0"),
                optimizer.checkpoint(Map.of()).tensors().keySet());
    }

    @Test
    void aParameterOnAnotherDeviceThanItIsToBeTrainedOnIsNotSaved() {
        Vectors block = vectors(new float[1]);
        DjlOptimizer optimizer = new DjlOptimizer(block, Map.of(Device.gpu(1), engine.optimizer(Sgd.of(1))));
        String message = assertThrows(IllegalStateException.class, () -> optimizer.checkpoint(Map.of()))
                .getMessage();
        assertEquals(
                "parameter '0' is on cpu(), and is to be trained on gpu(1): load the model there, or do a step before",
                message);
    }

    @Test
    void aDeviceWithoutAnOptimizerIsRefused() {
        Vectors block = vectors(new float[1]);
        DjlOptimizer optimizer = new DjlOptimizer(block, Map.of(Device.gpu(1), engine.optimizer(Sgd.of(1))));
        String message = assertThrows(
                        IllegalArgumentException.class, () -> step(optimizer, block, manager.ones(new Shape(1))))
                .getMessage();
        assertEquals(
                "parameter '0' is on cpu(): expected one on [gpu(1)]; to train on several devices, give an optimizer for each",
                message);
        assertThrows(IllegalArgumentException.class, () -> new DjlOptimizer(block, Map.of()));
        assertThrows(IllegalArgumentException.class, () -> DjlOptimizer.engine(Device.of("mps", 0)));
    }

    @Test
    void aTrackerIsASchedule() {
        Vectors block = vectors(new float[] {0});
        LearningRate half = DjlOptimizer.learningRate(
                Tracker.factor().setBaseValue(1).setFactor(0.5f).build());
        DjlOptimizer optimizer = new DjlOptimizer(block, engine.optimizer(half.of(Sgd.of())));
        for (float expected : new float[] {-0.5f, -0.75f, -0.875f}) { // 1/2, 1/4, 1/8, as DJL's own would
            step(optimizer, block, manager.ones(new Shape(1)));
            assertEquals(expected, block.parameter(0).getArray().getFloat());
        }
    }

    @Test
    void aRunGoesOnFromACheckpointWithTheSameBits(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("run.safetensors");
        List<float[]> expected = new ArrayList<>();
        try (Model model = Task.model(6)) {
            DjlOptimizer optimizer = new DjlOptimizer(model.getBlock(), engine.optimizer(AdamW.of(0.01)));
            try (Trainer trainer = Task.trainer(model, optimizer)) {
                Task.train(trainer, 0, 10);
                Checkpoint saved = optimizer.checkpoint(Map.of("batch", "10"));
                assertTrue(
                        saved.tensors().containsKey("state/01Linear_weight/Adam.m"),
                        () -> "" + saved.tensors().keySet());
                saved.write(file);
                Task.train(trainer, 10, 20);
                for (String name : NAMES) expected.add(Task.floats(model, name));
            }
        }
        try (Model model = Task.model(7)) { // other weights, other ids
            DjlOptimizer optimizer = new DjlOptimizer(model.getBlock(), engine.optimizer(AdamW.of(0.01)));
            try (Trainer trainer = Task.trainer(model, optimizer)) {
                Checkpoint saved = Checkpoint.read(file);
                optimizer.restore(saved);
                Task.train(trainer, Integer.parseInt(saved.facts().get("batch")), 20);
                for (int n = 0; n < NAMES.size(); n++)
                    assertArrayEquals(expected.get(n), Task.floats(model, NAMES.get(n)), NAMES.get(n));
            }
        }
    }

    @Test
    void aNewTrainerOfTheSameModelGoesOn() {
        var sgd = engine.optimizer(Sgd.of(0.1));
        try (Model model = Task.model(8)) {
            DjlOptimizer optimizer = new DjlOptimizer(model.getBlock(), sgd);
            for (int n = 0; n < 3; n++) {
                try (Trainer trainer = Task.trainer(model, optimizer)) {
                    Task.train(trainer, n, n + 1);
                }
            }
            assertEquals(3, sgd.steps());
        }
    }

    @Test
    void theEngineMayBeClosedFirst() {
        Engine own = Engine.cpu(1);
        Model model = Task.model(9);
        Trainer trainer = Task.trainer(model, new DjlOptimizer(model.getBlock(), own.optimizer(Adam.of())));
        Task.train(trainer, 0, 2);
        own.close();
        Task.backward(trainer, 2);
        assertTrue(assertThrows(IllegalStateException.class, trainer::step)
                .getMessage()
                .endsWith("is closed"));
        trainer.close();
        model.close();
    }

    @Test
    void theModelMayBeClosedFirst() {
        Engine own = Engine.cpu(1);
        Model model = Task.model(10);
        var adam = own.optimizer(Adam.of());
        DjlOptimizer optimizer = new DjlOptimizer(model.getBlock(), adam);
        Trainer trainer = Task.trainer(model, optimizer);
        Task.train(trainer, 0, 2);
        trainer.close();
        model.close();
        assertThrows(IllegalStateException.class, () -> optimizer.checkpoint(Map.of()));
        try (Model other = Task.model(11)) { // at the same addresses, it may be
            Trainer again = Task.trainer(other, new DjlOptimizer(other.getBlock(), adam));
            Task.train(again, 0, 2);
            assertEquals(4, adam.steps());
            adam.close();
            own.close();
            again.close();
        }
    }
}
