package kudari.torch;

import java.lang.ref.Reference;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import kudari.CpuEngine;
import kudari.CudaEngine;
import kudari.Engine;
import kudari.Optimizer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.StringTensorDict;
import org.bytedeco.pytorch.StringTensorDictItem;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorBase;
import org.bytedeco.pytorch.global.torch;

/**
 * An optimizer of this library in the place of one of {@code torch::optim}: it steps the parameters of a module by their gradients, in libtorch's own
 * memory.
 *
 * <pre>{@code
 * try (CpuEngine engine = Engine.cpu();
 *         TorchOptimizer optimizer = new TorchOptimizer(engine.optimizer(AdamW.of(1e-3)), net.named_parameters())) {
 *     for (...) {
 *         net.zero_grad(true);
 *         loss(net.forward(batch)).backward();
 *         optimizer.step();
 *     }
 * }
 * }</pre>
 *
 * <p>Groups, guards, schedules and checkpoints go by the module's names, as {@code fc1.weight}. A step is over all parameters at once, those that require a
 * gradient and have one; the others keep their value and state, as PyTorch has it. It looks at where parameters and gradients are each time, so {@code
 * zero_grad} may leave zeros or nothing, and both may move. Every step is told to autograd, so that a graph that needs the old values is refused by it. A
 * parameter that a module has under two names is stepped once, under the first.
 *
 * <p>Gradients that come elsewhere in each step, as after {@code zero_grad(true)}, are laid out anew each time, which takes the host about a microsecond a
 * tensor. {@link Optimizer#zeroGradients} in the place of {@code zero_grad} leaves them where they are.
 *
 * <p><b>On a GPU</b> the engine works by the addresses that libtorch gives, in the order of the stream that it was opened with; that has to be the one
 * that libtorch works on when {@code step} is called. It has not run on a real GPU yet.
 *
 * <pre>{@code
 * CUstream_st stream = torch_cuda.getCurrentCUDAStream().stream();
 * CudaEngine engine = CudaEngine.open(0, Pointer.isNull(stream) ? 0 : stream.address());
 * }</pre>
 *
 * <p><b>Refused</b>, by name and before anything changes, is a parameter or gradient that is not contiguous (a transpose, a view, channels last); that is
 * not of float32; that is sparse; that is on another device than the engine, as after {@code to(device)}; that has more than 2²⁹ − 1 elements on the CPU,
 * where a buffer has no more; and a gradient of another shape than its parameter. A parameter that is no leaf of autograd's graph, or was made in inference mode, is refused at once.
 */
public final class TorchOptimizer implements AutoCloseable {

    /** What a buffer of bytes can have of floats. */
    private static final long LARGEST_BUFFER = Integer.MAX_VALUE / Float.BYTES;

    private final Optimizer optimizer;
    private final Engine engine;
    private final Predicate<TensorBase> isThere;
    private final List<Param> all = new ArrayList<>();

    /** Of the step: filled anew in each, and the same maps, for the optimizer to see that nothing has changed. */
    private final Map<String, kudari.Tensor> params = new LinkedHashMap<>(), grads = new LinkedHashMap<>();

    private boolean closed;

    /** A parameter of the module. */
    private final class Param {
        final String name;
        final Tensor tensor;
        final View value, grad;
        boolean frozen;

        Param(String name, Tensor theirs) {
            this.name = name;
            // A handle of our own, which no scope of the caller's takes away.
            tensor = new Tensor(theirs).retainReference();
            value = new View("param '" + name + "'");
            grad = new View("gradient of '" + name + "'");
        }

        void begin() {
            if (!tensor.is_leaf())
                throw new IllegalArgumentException(
                        value.what + ": expected a leaf of autograd's graph, got the result of an operation");
            if (tensor.is_inference())
                throw new IllegalArgumentException(
                        value.what
                                + ": expected a tensor that autograd knows, got one made in inference mode; make the module outside of it");
            frozen = optimizer.rule(name, value.of(tensor)).isEmpty();
        }
    }

    /** A tensor of libtorch as one of the engine's, over the same memory: the same one, as long as it is where it was. */
    private final class View {
        final String what;
        private long address;
        private long[] shape = {};
        private kudari.Tensor tensor;

        View(String what) {
            this.what = what;
        }

        kudari.Tensor of(Tensor theirs) {
            // By value: JavaCPP makes a new object of what a native call gives.
            if (theirs.layout().value != torch.Layout.Strided.value)
                throw refused("a dense tensor", "one of layout " + theirs.layout(), "take its to_dense()");
            if (!isThere.test(theirs))
                throw refused(
                        "a tensor in the memory of " + engine,
                        "one on " + theirs.device().str().getString(),
                        "open the engine on the module's device");
            if (theirs.scalar_type().value != torch.ScalarType.Float.value)
                throw refused(
                        "float32",
                        theirs.scalar_type().toString(),
                        "convert the module with to(ScalarType.Float, false)");
            if (!theirs.is_contiguous() || theirs.is_neg())
                throw refused("a contiguous tensor", "a view of other memory", "take its contiguous()");
            // No pointer where there is no element.
            Pointer data = theirs.data_ptr();
            long address = data == null ? 0 : data.address();
            if (tensor == null || address != this.address || !isOfShape(theirs)) {
                long[] shape = shapeOf(theirs);
                tensor = wrap(theirs, address, shape);
                this.shape = shape;
                this.address = address;
            }
            return tensor;
        }

        private boolean isOfShape(Tensor theirs) {
            // A single number is a vector of one, on every engine.
            if (shape.length != Math.max(1, theirs.dim())) return false;
            for (int n = 0; n < theirs.dim(); n++) if (shape[n] != theirs.size(n)) return false;
            return theirs.dim() > 0 || shape[0] == 1;
        }

        private long[] shapeOf(Tensor theirs) {
            long[] shape = new long[(int) Math.max(1, theirs.dim())];
            shape[0] = 1;
            for (int n = 0; n < theirs.dim(); n++) shape[n] = theirs.size(n);
            return shape;
        }

        private kudari.Tensor wrap(Tensor theirs, long address, long[] shape) {
            if (engine instanceof CudaEngine cuda) {
                try {
                    return cuda.wrap(address, shape);
                } catch (IllegalArgumentException e) {
                    throw new IllegalArgumentException(what + ": " + e.getMessage(), e);
                }
            }
            long size = theirs.numel();
            if (size > LARGEST_BUFFER)
                throw refused("at most " + LARGEST_BUFFER + " elements on the CPU", Arrays.toString(shape), "split it");
            FloatBuffer elements = size == 0
                    ? FloatBuffer.allocate(0)
                    : new FloatPointer(theirs.data_ptr()).capacity(size).asBuffer();
            return ((CpuEngine) engine).wrap(elements, shape);
        }

        private IllegalArgumentException refused(String expected, String got, String remedy) {
            return new IllegalArgumentException(what + ": expected " + expected + ", got " + got + "; " + remedy);
        }
    }

    /**
     * Takes an optimizer to the parameters of a module.
     *
     * @param optimizer on the engine of the device that the parameters are on; it stays the caller's, to be closed before this or after it
     * @param parameters as {@code module.named_parameters()}, which are kept as long as this is; parameters that the module is given later are not among them
     * @throws IllegalArgumentException if there are none, one is refused as above, or no group of the optimizer takes it
     */
    public TorchOptimizer(Optimizer optimizer, StringTensorDict parameters) {
        this(optimizer, parameters, optimizer.engine() instanceof CpuEngine ? TensorBase::is_cpu : TensorBase::is_cuda);
    }

    /**
     * The same, where the engine may reach other memory than that of its device.
     *
     * @param isThere whether it reaches a tensor's
     */
    TorchOptimizer(Optimizer optimizer, StringTensorDict parameters, Predicate<TensorBase> isThere) {
        this.optimizer = optimizer;
        this.engine = optimizer.engine();
        this.isThere = isThere;
        try {
            take(parameters);
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    private void take(StringTensorDict parameters) {
        Set<Long> seen = new HashSet<>();
        for (long n = 0; n < parameters.size(); n++) {
            StringTensorDictItem item = parameters.get(n);
            if (!seen.add(item.value().unsafeGetTensorImpl().address())) continue;
            Param param = new Param(item.key().getString(StandardCharsets.UTF_8), item.value());
            all.add(param);
            param.begin();
        }
        Reference.reachabilityFence(parameters);
        if (all.isEmpty()) throw new IllegalArgumentException("parameters: expected those of a module, got none");
    }

    /** The optimizer that does the steps: its schedules, counts and state, under the module's names. */
    public Optimizer optimizer() {
        return optimizer;
    }

    /**
     * One step: changes every parameter that requires a gradient and has one, in place.
     *
     * @throws IllegalArgumentException if a parameter or a gradient is refused, as the class says; nothing has changed then
     * @throws IllegalStateException if no parameter has a gradient, this is closed, or as {@link Optimizer#update(Map, Map)}; nothing has changed then
     */
    public void step() {
        checkOpen();
        for (Param param : all) look(param);
        if (grads.isEmpty())
            throw new IllegalStateException("step: expected gradients, got none of " + all.size()
                    + " parameters with one; call backward() on the loss before");
        optimizer.update(params, grads);
        for (Param param : all)
            if (grads.containsKey(param.name))
                param.tensor.unsafeGetTensorImpl().bump_version();
    }

    private void look(Param param) {
        Tensor grad = param.tensor.mutable_grad(); // libtorch's own, and no copy of the handle that were to be freed
        boolean steps = !param.frozen && param.tensor.requires_grad() && grad.defined();
        if (steps) grads.put(param.name, param.grad.of(grad));
        else grads.remove(param.name);
        if (steps || param.frozen) params.put(param.name, param.value.of(param.tensor));
        else params.remove(param.name);
    }

    /**
     * All parameters where they are now, by name, for {@link kudari.checkpoint.Checkpoint}: to be asked for anew where parameters may have moved, and
     * not to be used after {@link #close}.
     *
     * @throws IllegalArgumentException if one is refused, as the class says
     */
    public Map<String, kudari.Tensor> params() {
        checkOpen();
        Map<String, kudari.Tensor> params = new LinkedHashMap<>();
        for (Param param : all) params.put(param.name, param.value.of(param.tensor));
        return Collections.unmodifiableMap(params);
    }

    private void checkOpen() {
        if (closed) throw new IllegalStateException("the TorchOptimizer is closed");
    }

    /** Lets go of the parameters. The optimizer and the module stay, and may have been closed already. Closing twice does nothing. */
    @Override
    public void close() {
        if (closed) return;
        closed = true;
        for (Param param : all) param.tensor.close();
    }
}
