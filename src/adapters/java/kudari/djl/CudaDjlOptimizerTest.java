package kudari.djl;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import ai.djl.Model;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Parameter;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.training.Trainer;
import ai.djl.training.optimizer.Optimizer;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import jcuda.Pointer;
import jcuda.driver.JCudaDriver;
import kudari.CudaEngine;
import kudari.Engine;
import kudari.Guard;
import kudari.Tensor;
import kudari.checkpoint.Checkpoint;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Nesterov;
import kudari.rule.RmsProp;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Steps by device address, on the GPU in software: DJL has its arrays in the host's memory, which is registered with CUDA for as long as a step takes. A
 * step that was asked for runs as late as it can, so these tests wait before DJL goes on, which on a GPU the stream sees to.
 */
class CudaDjlOptimizerTest {

    private NDManager manager;
    private final List<CudaEngine> engines = new ArrayList<>();

    @BeforeEach
    void open() {
        manager = NDManager.newBaseManager();
        for (int ordinal = 0; ordinal < 2; ordinal++) {
            CudaEngine engine = (CudaEngine) DjlOptimizer.engine(Device.gpu(ordinal));
            assertTrue(engine.toString().contains("software"), engine.toString());
            engines.add(engine);
        }
    }

    @AfterEach
    void close() {
        engines.forEach(Engine::close);
        manager.close();
    }

    private static void finish(Engine engine) {
        try (Tensor any = engine.zeros(1)) {
            any.get();
        }
    }

    /** Memory of the host that an engine's device may use. */
    private static final class Registered {
        private final CudaEngine engine;
        private final Map<Long, Pointer> pointers = new HashMap<>();

        Registered(CudaEngine engine) {
            this.engine = engine;
        }

        void add(NDArray array) {
            ByteBuffer buffer = array.toByteBuffer(true);
            Pointer pointer = Pointer.toBuffer(buffer);
            if (pointers.putIfAbsent(Memory.address(buffer), pointer) != null) return;
            engine.inContext(
                    () -> assertEquals(0, JCudaDriver.cuMemHostRegister(pointer, buffer.capacity(), 0), "register"));
        }

        void release() {
            finish(engine);
            engine.inContext(() -> pointers.values()
                    .forEach(pointer -> assertEquals(0, JCudaDriver.cuMemHostUnregister(pointer), "unregister")));
            pointers.clear();
        }
    }

    /** Between DJL and the optimizer: registers what it hands over, and keeps it until the step is done. */
    private static final class Registering extends Optimizer {

        private static final class Builder extends OptimizerBuilder<Builder> {
            @Override
            protected Builder self() {
                return this;
            }
        }

        private final DjlOptimizer optimizer;
        private final Registered memory;
        private final int count;
        private final List<NDArray> grads = new ArrayList<>();

        Registering(DjlOptimizer optimizer, CudaEngine engine, int count) {
            super(new Builder());
            this.optimizer = optimizer;
            this.memory = new Registered(engine);
            this.count = count;
        }

        @Override
        public void update(String id, NDArray weight, NDArray grad) {
            NDArray kept = grad.duplicate();
            grads.add(kept);
            memory.add(weight);
            memory.add(kept);
            optimizer.update(id, weight, kept);
            if (grads.size() < count) return;
            memory.release();
            grads.forEach(NDArray::close);
            grads.clear();
        }
    }

    static Stream<Arguments> runs() {
        return Stream.of(Adam.of(0.01), Nesterov.of(0.01), RmsProp.of(0.01))
                .flatMap(rule -> Stream.of(Guard.NONE, Guard.clipNorm(0.1)).map(guard -> Arguments.of(rule, guard)));
    }

    @ParameterizedTest
    @MethodSource("runs")
    void fortyStepsByAddressAreTheBitsOfTheCpu(Rule rule, Guard guard) {
        CudaEngine cuda = engines.get(0);
        try (Engine cpu = Engine.cpu(1);
                Model expected = Task.model(1);
                Model model = Task.model(1)) {
            var optimizer = cuda.optimizer(rule).guard(guard);
            int count = model.getBlock().getParameters().size();
            try (Trainer there = Task.trainer(
                            expected,
                            new DjlOptimizer(
                                    expected.getBlock(), cpu.optimizer(rule).guard(guard)));
                    Trainer here = Task.trainer(
                            model, new Registering(new DjlOptimizer(model.getBlock(), optimizer), cuda, count))) {
                Task.train(there, 0, 40);
                Task.train(here, 0, 10);
                long allocated = cuda.allocated();
                Task.train(here, 10, 40);
                assertEquals(40, optimizer.steps());
                assertEquals(allocated, cuda.allocated());
            }
            for (String name : model.getBlock().getParameters().keys())
                assertArrayEquals(Task.floats(expected, name), Task.floats(model, name), name);
        }
    }

    /** An array that says it is on a GPU; its memory is another's. */
    private static final class OnGpu extends PtNDArray {
        private final Device device;

        OnGpu(NDArray of, Device device) {
            super((PtNDManager) of.getManager(), ((PtNDArray) of).getHandle());
            this.device = device;
        }

        @Override
        public Device getDevice() {
            return device;
        }

        @Override
        public void close() {
            // The other closes it.
        }
    }

    /** Two parameters on two devices, as DJL's parameter server steps them: the same gradient for both copies. */
    private final class TwoDevices {
        final Vectors block = new Vectors(2);
        final Map<Device, kudari.Optimizer> optimizers = new LinkedHashMap<>();
        final Map<Device, List<NDArray>> copies = new LinkedHashMap<>();
        final DjlOptimizer optimizer;

        TwoDevices(Rule rule) {
            for (int ordinal = 0; ordinal < 2; ordinal++) {
                Device device = Device.gpu(ordinal);
                optimizers.put(device, engines.get(ordinal).optimizer(rule).guard(Guard.clipNorm(1)));
                copies.put(device, List.of(manager.create(new float[] {1, 2, 3}), manager.create(new float[] {4})));
            }
            for (int n = 0; n < 2; n++) {
                NDArray first = new OnGpu(copies.get(Device.gpu(0)).get(n), Device.gpu(0));
                block.parameter(n).setArray(first);
            }
            optimizer = new DjlOptimizer(block, optimizers);
        }

        /** The copies, to be released. */
        List<Registered> registered() {
            List<Registered> memories = engines.stream().map(Registered::new).toList();
            for (int ordinal = 0; ordinal < 2; ordinal++)
                copies.get(Device.gpu(ordinal)).forEach(memories.get(ordinal)::add);
            return memories;
        }

        void step(float[]... grads) {
            List<Registered> memories = engines.stream().map(Registered::new).toList();
            List<NDArray> kept = new ArrayList<>();
            for (int n = 0; n < 2; n++) {
                for (int ordinal = 0; ordinal < 2; ordinal++) {
                    Device device = Device.gpu(ordinal);
                    NDArray grad = manager.create(grads[n]),
                            weight = copies.get(device).get(n);
                    kept.add(grad);
                    memories.get(ordinal).add(weight);
                    memories.get(ordinal).add(grad);
                    optimizer.update(block.parameter(n).getId(), new OnGpu(weight, device), new OnGpu(grad, device));
                }
            }
            memories.forEach(Registered::release);
            kept.forEach(NDArray::close);
        }
    }

    @Test
    void everyDeviceHasItsStateAndTheNormOfTheWholeModel() {
        TwoDevices two = new TwoDevices(Sgd.of(1));
        two.step(new float[] {0, 3, 0}, new float[] {4}); // of norm 5
        for (Device device : two.copies.keySet()) {
            assertEquals(5, two.optimizers.get(device).norm());
            assertArrayEquals(
                    new float[] {1, 1.4f, 3}, two.copies.get(device).get(0).toFloatArray(), 1e-6f);
            assertArrayEquals(new float[] {3.2f}, two.copies.get(device).get(1).toFloatArray(), 1e-6f);
        }
    }

    @Test
    void aCheckpointGoesToEveryDevice() {
        TwoDevices two = new TwoDevices(AdamW.of(0.1)), other = new TwoDevices(AdamW.of(0.1));
        two.step(new float[] {1, -2, 3}, new float[] {4});
        Registered memory = new Registered(engines.get(0));
        two.copies.get(Device.gpu(0)).forEach(memory::add);
        other.copies.get(Device.gpu(0)).forEach(memory::add);
        Checkpoint saved = two.optimizer.checkpoint(Map.of());
        other.optimizer.restore(saved);
        memory.release();
        // DJL makes the copies on the other devices, of what has been restored on the first.
        for (int n = 0; n < 2; n++)
            other.copies
                    .get(Device.gpu(1))
                    .get(n)
                    .set(other.copies.get(Device.gpu(0)).get(n).toFloatArray());
        for (TwoDevices each : List.of(two, other)) each.step(new float[] {-1, 2, 1}, new float[] {0});
        for (Device device : two.copies.keySet())
            for (int n = 0; n < 2; n++)
                assertArrayEquals(
                        two.copies.get(Device.gpu(0)).get(n).toFloatArray(),
                        other.copies.get(device).get(n).toFloatArray());
    }

    /** Also in the middle of a run, when DJL has long made the copies. */
    @Test
    void aRestoreReachesTheCopiesOfEveryDevice() {
        TwoDevices two = new TwoDevices(AdamW.of(0.1));
        two.step(new float[] {1, -2, 3}, new float[] {4});
        List<Registered> memories = two.registered();
        Checkpoint saved = two.optimizer.checkpoint(Map.of());
        memories.forEach(Registered::release);
        List<float[]> expected = two.copies.get(Device.gpu(0)).stream()
                .map(NDArray::toFloatArray)
                .toList();
        two.step(new float[] {-1, 2, 1}, new float[] {1});
        memories = two.registered();
        two.optimizer.restore(saved);
        memories.forEach(Registered::release);
        for (Device device : two.copies.keySet())
            for (int n = 0; n < 2; n++)
                assertArrayEquals(expected.get(n), two.copies.get(device).get(n).toFloatArray(), device.toString());
    }

    @Test
    void memoryThatCudaDoesNotKnowIsRefused() {
        Vectors block = new Vectors(1);
        Parameter parameter = block.parameter(0);
        parameter.setArray(manager.ones(new Shape(3)));
        var sgd = engines.get(0).optimizer(Sgd.of(1));
        String message = assertThrows(IllegalArgumentException.class, () -> new DjlOptimizer(block, sgd)
                        .update(parameter.getId(), parameter.getArray(), manager.ones(new Shape(3))))
                .getMessage();
        assertTrue(message.contains("expected that of device memory, got one that CUDA does not know"), message);
        assertEquals(0, sgd.steps());
    }

    @Test
    void aParameterWithOtherStridesIsRefused() {
        NDArray square = manager.arange(4f).reshape(2, 2);
        for (NDArray strange : List.of(square.transpose(), square.get(new NDIndex(":, 1")))) {
            Vectors block = new Vectors(1);
            Parameter parameter = block.parameter(0);
            parameter.setArray(strange);
            DjlOptimizer optimizer = new DjlOptimizer(block, engines.get(0).optimizer(Sgd.of(1)));
            String message = assertThrows(
                            IllegalArgumentException.class,
                            () -> optimizer.update(parameter.getId(), strange, strange.duplicate()))
                    .getMessage();
            assertTrue(message.startsWith("parameter '0': expected a contiguous array"), message);
        }
    }
}
