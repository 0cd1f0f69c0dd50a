package kudari;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;

/** On a device the copy goes to a page of its own, in the stream's order. */
final class CudaAsyncRead extends AsyncRead {

    private final HostCopy copy;
    private final Dtype dtype;

    /** The page, as elements of 32 bits and of 16. */
    private final FloatBuffer floats;

    private final ShortBuffer shorts;

    CudaAsyncRead(CudaEngine engine, CudaTensor tensor) {
        super(tensor);
        copy = new HostCopy(engine, tensor.pointer, tensor.bytes(), tensor.toString());
        dtype = tensor.dtype();
        floats = copy.page.asFloatBuffer();
        shorts = copy.page.asShortBuffer();
    }

    @Override
    void copy(float[] into) {
        copy.start();
    }

    @Override
    void arrive(float[] into) {
        copy.await();
        if (dtype == Dtype.U8) for (int i = 0; i < into.length; i++) into[i] = copy.page.get(i) & 0xff;
        else if (dtype.is16()) Conversion.widen(dtype, shorts, 0, into, 0, into.length);
        else floats.get(0, into);
    }

    @Override
    void free() {
        copy.free();
    }
}
