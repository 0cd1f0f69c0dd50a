package kudari;

/** On the CPU the copy is made at once. */
final class CpuAsyncRead extends AsyncRead {

    private final CpuTensor tensor;

    CpuAsyncRead(CpuTensor tensor) {
        super(tensor);
        this.tensor = tensor;
    }

    @Override
    void copy(float[] into) {
        tensor.read(into);
    }

    @Override
    void arrive(float[] into) {
        // It has.
    }

    @Override
    void free() {
        // The garbage collector's.
    }
}
