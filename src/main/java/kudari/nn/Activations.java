package kudari.nn;

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

    private final Scope scope = new Scope();

    Activations(Engine engine, int rows, int... widths) {
        this.rows = rows;
        values = new Tensor[widths.length];
        try {
            for (int l = 0; l < widths.length; l++) values[l] = zeros(engine, rows, widths[l]);
            gradients = values.clone();
            for (int l = 1; l < widths.length - 1; l++) gradients[l] = zeros(engine, rows, widths[l]);
            labels = zeros(engine, rows);
            numbers = zeros(engine, rows);
        } catch (RuntimeException | Error e) {
            scope.abandon(e);
            throw e;
        }
    }

    private Tensor zeros(Engine engine, long... shape) {
        return scope.add(engine.zeros(shape), Tensor::close);
    }

    @Override
    public void close() {
        scope.close();
    }
}
