package kudari.djl;

import ai.djl.Device;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import kudari.CpuEngine;
import kudari.CudaEngine;
import kudari.Engine;
import kudari.Tensor;

/** DJL's arrays as tensors of an engine, in the memory where they are. */
abstract sealed class Memory {

    /** The most elements: DJL tells memory by a buffer, which has at most so many bytes. */
    static final long LARGEST = Integer.MAX_VALUE / Float.BYTES;

    /**
     * A parameter's array, which it was when it was last looked at.
     *
     * @param none a view of it without elements: what changes that in place, as far as autograd knows, changes the array
     */
    private record Known(PtNDArray array, long handle, PtNDArray none) {

        boolean isStill(PtNDArray given) {
            return array == given && handle == given.getHandle() && !none.isReleased();
        }
    }

    /** A tensor, and where it begins. */
    private record Placed(long address, Tensor tensor) {}

    private final Map<String, Known> parameters = new HashMap<>();
    private final Map<String, Placed> placed = new HashMap<>();

    static Memory of(Engine engine) {
        return engine instanceof CudaEngine cuda ? new OnDevice(cuda) : new OnHost((CpuEngine) engine);
    }

    static String gradient(String name) {
        return "the gradient of '" + name + "'";
    }

    /** A parameter, where it is now. */
    final Tensor parameter(String name, PtNDArray array) {
        String what = DjlOptimizer.parameter(name);
        Known known = parameters.get(name);
        if (known == null || !known.isStill(array)) {
            if (!isContiguous(what, array))
                throw new IllegalArgumentException(
                        what + ": expected a contiguous array, got one with other strides; train a duplicate() of it");
            if (known != null) known.none.close();
            try (PtNDArray detached = JniUtils.detachGradient(array);
                    PtNDArray flat = detached.flatten()) {
                parameters.put(name, new Known(array, array.getHandle(), JniUtils.slice(flat, 0, 0, 0, 1)));
            }
        }
        return tensor(what, array);
    }

    /** Tells autograd that a parameter has changed, so that a graph which needs its old values is refused by it. */
    final void changed(String name) {
        parameters.get(name).none.negi();
    }

    /**
     * A gradient, for as long as a step is gathered.
     *
     * @param held receives what is to be closed after the step
     */
    abstract Tensor gradient(String name, PtNDArray grad, List<PtNDArray> held);

    abstract boolean isContiguous(String what, PtNDArray array);

    /** The elements in a buffer, at the address where they are: they are not read, which on a device nobody could. */
    abstract ByteBuffer buffer(String what, PtNDArray array);

    abstract Tensor wrap(long address, ByteBuffer buffer, long[] shape);

    /** The tensor of an array: the one of last time, where it is still there. */
    final Tensor tensor(String what, PtNDArray array) {
        ByteBuffer buffer = buffer(what, array);
        long[] shape = shape(array);
        long address = address(buffer);
        long elements = 1, there = buffer.capacity() / Float.BYTES;
        for (long extent : shape) elements *= extent;
        if (elements != there) // DJL goes on saying the shape it knew when an array has taken over another's memory
        throw new IllegalArgumentException(what + ": expected " + elements + " elements, as its shape "
                + Arrays.toString(shape) + " says, got memory of " + there
                + "; make the model's block, and this, anew");
        Placed last = placed.get(what);
        if (last != null && last.address == address && Arrays.equals(last.tensor.shape(), shape)) return last.tensor;
        Tensor tensor = wrap(address, buffer, shape);
        placed.put(what, new Placed(address, tensor));
        return tensor;
    }

    /** A single number is a vector of one, as on the CPU. */
    static long[] shape(PtNDArray array) {
        long[] shape = array.getShape().getShape();
        return shape.length == 0 ? new long[] {1} : shape;
    }

    static long address(ByteBuffer buffer) {
        return buffer.capacity() == 0 ? 0 : Pointer.nativeValue(Native.getDirectBufferPointer(buffer));
    }

    /** In the host's memory, by DJL's public methods. */
    private static final class OnHost extends Memory {

        private final CpuEngine engine;
        private final Map<String, Tensor> copies = new HashMap<>();

        OnHost(CpuEngine engine) {
            this.engine = engine;
        }

        /** A copy: DJL may free the gradient right after it was handed over, and a Java buffer that it is in goes with it. */
        @Override
        Tensor gradient(String name, PtNDArray grad, List<PtNDArray> held) {
            long[] shape = shape(grad);
            Tensor copy = copies.get(name);
            if (copy == null || !Arrays.equals(copy.shape(), shape)) copies.put(name, copy = engine.zeros(shape));
            floats(buffer(gradient(name), grad)).get(engine.array(copy));
            return copy;
        }

        /** DJL copies what is not contiguous before it gives a buffer: each time to another place. */
        @Override
        boolean isContiguous(String what, PtNDArray array) {
            if (array.size() < 2) return true;
            try (PtNDArray flat = array.flatten()) {
                return address(buffer(what, flat)) == address(buffer(what, array));
            }
        }

        @Override
        ByteBuffer buffer(String what, PtNDArray array) {
            if (!array.getDevice().equals(Device.cpu()))
                throw new IllegalArgumentException(
                        what + " is on " + array.getDevice() + ": expected an array in the memory of " + engine
                                + "; DjlOptimizer.engine opens the engine of a device");
            return array.toByteBuffer(true);
        }

        private static FloatBuffer floats(ByteBuffer buffer) {
            return buffer.asFloatBuffer();
        }

        @Override
        Tensor wrap(long address, ByteBuffer buffer, long[] shape) {
            return engine.wrap(floats(buffer), shape);
        }
    }

    /** In a device's memory, by two methods of DJL's that are not public. */
    private static final class OnDevice extends Memory {

        private final CudaEngine engine;
        private final Object library;
        private final Method directByteBuffer, isContiguous;

        OnDevice(CudaEngine engine) {
            this.engine = engine;
            try {
                Class<?> type = Class.forName("ai.djl.pytorch.jni.PyTorchLibrary");
                Field single = type.getDeclaredField("LIB");
                single.setAccessible(true);
                library = single.get(null);
                directByteBuffer = method(type, "torchDirectByteBuffer");
                isContiguous = method(type, "torchIsContiguous");
            } catch (ReflectiveOperationException | RuntimeException e) {
                throw new UnsupportedOperationException(
                        "on a GPU expected DJL's PyTorch engine as of 0.36.0, whose class PyTorchLibrary tells where arrays are; got "
                                + e,
                        e);
            }
        }

        private static Method method(Class<?> type, String name) throws NoSuchMethodException {
            Method method = type.getDeclaredMethod(name, long.class);
            method.setAccessible(true);
            return method;
        }

        private Object call(Method method, PtNDArray array) {
            try {
                return method.invoke(library, array.getHandle());
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException("DJL's " + method.getName() + ": " + e.getCause(), e);
            }
        }

        /** The gradient itself, under a handle of our own, which keeps it: a device's memory is PyTorch's, and in order on its stream. */
        @Override
        Tensor gradient(String name, PtNDArray grad, List<PtNDArray> held) {
            String what = gradient(name);
            PtNDArray ours = (PtNDArray) grad.stopGradient();
            held.add(ours);
            if (!isContiguous(what, ours)) {
                ours = ours.flatten().reshape(grad.getShape());
                held.add(ours);
                if (!isContiguous(what, ours))
                    throw new IllegalArgumentException(
                            what + ": expected a contiguous array, got one with other strides");
            }
            return tensor(what, ours);
        }

        @Override
        boolean isContiguous(String what, PtNDArray array) {
            return (boolean) call(isContiguous, array);
        }

        @Override
        ByteBuffer buffer(String what, PtNDArray array) {
            return (ByteBuffer) call(directByteBuffer, array);
        }

        @Override
        Tensor wrap(long address, ByteBuffer buffer, long[] shape) {
            return engine.wrap(address, shape);
        }
    }
}
