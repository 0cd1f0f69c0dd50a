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

    Activations(Engine engine, int rows, int... widths) {
        this.rows = rows;
        values = new Tensor[widths.length];
        for (int l = 0; l < widths.length; l++) values[l] = engine.zeros(rows, widths[l]);
        gradients = values.clone();
        for (int l = 1; l < widths.length - 1; l++) gradients[l] = engine.zeros(rows, widths[l]);
        labels = engine.zeros(rows);
        numbers = engine.zeros(rows);
    }

    @Override
    public void close() {
        for (Tensor tensor : values) tensor.close();
        for (Tensor tensor : gradients) tensor.close();
        labels.close();
        numbers.close();
    }
}
