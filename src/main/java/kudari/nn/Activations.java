package kudari.nn;

import java.util.Arrays;
import java.util.Optional;
import kudari.CudaEngine;
import kudari.Dtype;
import kudari.Engine;
import kudari.Tensor;

/**
 * The memory of one way through a network, for up to so many rows. Training and evaluation have one each, so that large batches in one do
 * not make the buffers of the other large: OpenBLAS's Java binding copies whole arrays.
 */
final class Activations implements AutoCloseable {

    final int rows;
    final Tensor[] values; // [l]: what goes into layer l, [rows, in]; the last are the logits, [rows, classes]
    final Tensor[]
            gradients; // [l]: the gradient of values[l]; the last is in the logits' memory, the first is not used
    final Tensor labels; // [rows]
    final Tensor numbers; // [rows]: of the samples; an int takes the room of a float

    /** Products on a device on their way into values of 16 bits, [rows, the largest width]. */
    private final Optional<Tensor> sums;

    private final Scope scope = new Scope();

    /**
     * The memory of a pass.
     *
     * @param dtype of the values and their gradients
     */
    Activations(Engine engine, Dtype dtype, int rows, int... widths) {
        this.rows = rows;
        values = new Tensor[widths.length];
        try {
            for (int l = 0; l < widths.length; l++) values[l] = zeros(engine, dtype, rows, widths[l]);
            gradients = values.clone();
            for (int l = 1; l < widths.length - 1; l++) gradients[l] = zeros(engine, dtype, rows, widths[l]);
            labels = zeros(engine, Dtype.F32, rows);
            numbers = zeros(engine, Dtype.F32, rows);
            int widest = Arrays.stream(widths).skip(1).max().orElseThrow();
            sums = dtype != Dtype.F32 && engine instanceof CudaEngine
                    ? Optional.of(zeros(engine, Dtype.F32, rows, widest))
                    : Optional.empty();
        } catch (RuntimeException | Error e) {
            scope.abandon(e);
            throw e;
        }
    }

    private Tensor zeros(Engine engine, Dtype dtype, long... shape) {
        return scope.add(engine.zeros(dtype, shape), Tensor::close);
    }

    /** Where products go whose activations are values[l]. */
    Tensor sums(int l) {
        return sums.orElse(values[l]);
    }

    @Override
    public void close() {
        scope.close();
    }
}
