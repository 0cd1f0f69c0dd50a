package kudari;

import java.nio.FloatBuffer;

/** On a device the copy goes to a page of its own, in the stream's order. */
final class CudaReading extends Reading {

    private final CudaLook look;
    private final FloatBuffer page;

    CudaReading(CudaEngine engine, CudaTensor tensor) {
        super(tensor);
        look = new CudaLook(engine, tensor.pointer, Float.BYTES * tensor.size(), tensor.toString());
        page = look.page.asFloatBuffer();
    }

    @Override
    void copy(float[] into) {
        look.ask();
    }

    @Override
    void arrive(float[] into) {
        look.await();
        page.get(0, into);
    }
}
