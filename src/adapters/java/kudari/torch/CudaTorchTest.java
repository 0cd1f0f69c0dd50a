package kudari.torch;

import static jcuda.driver.JCudaDriver.cuCtxSetCurrent;
import static jcuda.driver.JCudaDriver.cuDeviceGet;
import static jcuda.driver.JCudaDriver.cuDevicePrimaryCtxRelease;
import static jcuda.driver.JCudaDriver.cuDevicePrimaryCtxRetain;
import static jcuda.driver.JCudaDriver.cuInit;
import static jcuda.driver.JCudaDriver.cuMemHostRegister;
import static jcuda.driver.JCudaDriver.cuMemHostUnregister;
import static jcuda.driver.JCudaDriver.cuStreamCreate;
import static jcuda.driver.JCudaDriver.cuStreamDestroy;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;
import static kudari.torch.Torch.fillGradients;
import static kudari.torch.Torch.net;
import static kudari.torch.Torch.values;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import kudari.CpuEngine;
import kudari.CudaEngine;
import kudari.Engine;
import kudari.Guard;
import kudari.Optimizer;
import kudari.rule.AdamW;
import kudari.rule.Nesterov;
import kudari.rule.RmsProp;
import kudari.rule.Rule;
import kudari.torch.Torch.Net;
import org.bytedeco.pytorch.LinearImpl;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.StringTensorDict;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Modules of libtorch, stepped by the CUDA engine by address and on a stream of somebody else's, over the GPU in software. There libtorch has no memory but the
 * host's, so that is registered with the driver, and each step awaited.
 */
class CudaTorchTest {

    private static final long SEED = 20261127;

    private final CUcontext context = new CUcontext();
    private final CUdevice device = new CUdevice();
    private final CUstream stream = new CUstream();
    private final List<Pointer> registered = new ArrayList<>();

    @BeforeEach
    void open() {
        CudaEngine.loadNatives();
        must(cuInit(0));
        must(cuDeviceGet(device, 0));
        must(cuDevicePrimaryCtxRetain(context, device));
        must(cuCtxSetCurrent(context));
        must(cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING));
    }

    @AfterEach
    void close() {
        registered.forEach(pointer -> must(cuMemHostUnregister(pointer)));
        must(cuStreamDestroy(stream));
        must(cuDevicePrimaryCtxRelease(device));
    }

    private static void must(int code) {
        assertEquals(0, code);
    }

    private void register(Tensor tensor) {
        if (tensor.numel() == 0) return;
        Pointer pointer = Pointer.to(tensor.data_ptr().asByteBuffer());
        must(cuMemHostRegister(pointer, 4 * tensor.numel(), 0));
        registered.add(pointer);
    }

    static Stream<Arguments> guarded() {
        return Stream.of(
                Arguments.of(AdamW.of(0.01), Guard.clipNorm(1)),
                Arguments.of(Nesterov.of(0.01), Guard.NONE),
                Arguments.of(RmsProp.of(0.01), Guard.clipValue(0.75)));
    }

    @ParameterizedTest
    @MethodSource("guarded")
    void aStepByAddressHasTheBitsOfTheCpu(Rule rule, Guard guard) {
        Net onCuda = net(SEED), onCpu = net(SEED);
        fillGradients(onCuda, new Random(SEED));
        StringTensorDict named = onCuda.named_parameters();
        for (long n = 0; n < named.size(); n++) {
            register(named.get(n).value());
            register(named.get(n).value().grad());
        }
        try (CudaEngine cuda = CudaEngine.open(0, stream);
                CpuEngine cpu = Engine.cpu(1);
                Optimizer cudas = cuda.optimizer(rule).guard(guard);
                TorchOptimizer one = new TorchOptimizer(cudas, named, tensor -> true);
                TorchOptimizer other = new TorchOptimizer(cpu.optimizer(rule).guard(guard), onCpu.named_parameters())) {
            assertTrue(cuda.toString().contains("software"), cuda.toString());
            long allocated = 0;
            for (int step = 0; step < 20; step++) {
                setGradients(onCuda, step);
                setGradients(onCpu, step);
                one.step();
                must(cuStreamSynchronize(stream));
                other.step();
                if (step == 0) allocated = cuda.allocated();
            }
            assertEquals(allocated, cuda.allocated());
            Map<String, float[]> expected = values(onCpu);
            values(onCuda).forEach((name, values) -> assertArrayEquals(expected.get(name), values, 0f, name));
        }
    }

    /** Writes gradients where those of before are. */
    private static void setGradients(Module net, int step) {
        Random random = new Random(step);
        StringTensorDict named = net.named_parameters();
        for (long n = 0; n < named.size(); n++) {
            Tensor param = named.get(n).value();
            Tensor values = Torch.tensor(Torch.random((int) param.numel(), random), param);
            if (param.grad().defined()) param.mutable_grad().copy_(values);
            else param.mutable_grad().put(values);
        }
    }

    /** As zero_grad(true) leaves it to libtorch where the next gradients are: here in ten places in turn, two more than are kept laid out. */
    @Test
    void gradientsThatMoveCostNoDeviceMemory() {
        LinearImpl onCuda = linear(), onCpu = linear();
        register(onCuda.weight());
        register(onCuda.bias());
        Random random = new Random(SEED);
        List<List<Tensor>> places = new ArrayList<>();
        for (int n = 0; n < 10; n++) {
            List<Tensor> grads = new ArrayList<>();
            for (Tensor param : List.of(onCuda.weight(), onCuda.bias())) {
                grads.add(Torch.tensor(Torch.random((int) param.numel(), random), param));
                register(grads.get(grads.size() - 1));
            }
            places.add(grads);
        }
        try (CudaEngine cuda = CudaEngine.open(0, stream);
                CpuEngine cpu = Engine.cpu(1);
                TorchOptimizer one =
                        new TorchOptimizer(cuda.optimizer(AdamW.of(0.01)), onCuda.named_parameters(), tensor -> true);
                TorchOptimizer other = new TorchOptimizer(cpu.optimizer(AdamW.of(0.01)), onCpu.named_parameters())) {
            long allocated = 0;
            for (int step = 0; step < 40; step++) {
                for (LinearImpl layer : List.of(onCuda, onCpu)) {
                    layer.weight().mutable_grad().put(places.get(step % 10).get(0));
                    layer.bias().mutable_grad().put(places.get(step % 10).get(1));
                }
                one.step();
                must(cuStreamSynchronize(stream));
                other.step();
                if (step == 0) allocated = cuda.allocated();
            }
            assertEquals(allocated, cuda.allocated());
            assertArrayEquals(values(onCpu.weight()), values(onCuda.weight()), 0f);
        }
    }

    private static LinearImpl linear() {
        torch.manual_seed(SEED);
        return new LinearImpl(3, 2);
    }

    /** What the caller passes through the public constructor must be the device's own. */
    @Test
    void memoryOfTheHostIsRefused() {
        Net net = net(SEED);
        try (CudaEngine cuda = CudaEngine.open(0, stream)) {
            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class,
                    () -> new TorchOptimizer(cuda.optimizer(AdamW.of()), net.named_parameters()));
            assertTrue(e.getMessage().contains("memory of cuda:0"), e.getMessage());
            assertTrue(e.getMessage().contains("on cpu"), e.getMessage());
            e = assertThrows(
                    IllegalArgumentException.class,
                    () -> new TorchOptimizer(cuda.optimizer(AdamW.of()), net.named_parameters(), tensor -> true));
            assertTrue(e.getMessage().contains("param 'gain'"), e.getMessage());
            assertTrue(e.getMessage().contains("CUDA does not know"), e.getMessage());
        }
    }
}
