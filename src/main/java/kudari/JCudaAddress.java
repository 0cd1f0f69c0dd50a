package kudari;

import java.lang.reflect.Constructor;
import jcuda.NativePointerObject;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUstream;

/** The addresses in JCuda's objects, which it neither shows nor takes. */
final class JCudaAddress {

    private JCudaAddress() {}

    /** The address that a pointer holds. */
    static long of(Pointer pointer) {
        return new ThatOfPointer(pointer).value();
    }

    /** The address that a handle is. */
    static long of(NativePointerObject handle) {
        return new ThatOfHandle(handle).value();
    }

    static CUdeviceptr pointer(long address) {
        return new CUdeviceptr().withByteOffset(address);
    }

    /**
     * A handle of a stream.
     *
     * @throws IllegalStateException if this JCuda makes none
     */
    static CUstream stream(long address) {
        if (address == 0) return new CUstream();
        try {
            Constructor<CUstream> constructor = CUstream.class.getDeclaredConstructor(long.class);
            constructor.setAccessible(true);
            return constructor.newInstance(address);
        } catch (ReflectiveOperationException | RuntimeException e) {
            throw new IllegalStateException("this version of JCuda takes no stream by its address", e);
        }
    }

    private static final class ThatOfPointer extends Pointer {

        ThatOfPointer(Pointer pointer) {
            super(pointer, 0);
        }

        long value() {
            return getNativePointer() + getByteOffset();
        }
    }

    private static final class ThatOfHandle extends NativePointerObject {

        ThatOfHandle(NativePointerObject handle) {
            super(handle);
        }

        long value() {
            return getNativePointer();
        }
    }
}
