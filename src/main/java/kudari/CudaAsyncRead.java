package kudari;

import java.nio.FloatBuffer;

/** On a device the copy goes to a page of its own, in the stream's order. */
final class CudaAsyncRead extends AsyncRead {

    private final HostCopy copy;
    private final FloatBuffer page;

    CudaAsyncRead(CudaEngine engine, CudaTensor tensor) {
        super(tensor);
        copy = new HostCopy(engine, tensor.pointer, Float.BYTES * tensor.size(), tensor.toString());
        page = copy.page.asFloatBuffer();
    }

    @Override
    void copy(float[] into) {
        copy.start();
    }

    @Override
    void arrive(float[] into) {
        copy.await();
        page.get(0, into);
    }

    @Override
    void free() {
        copy.free();
    }
}
