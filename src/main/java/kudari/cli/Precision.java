package kudari.cli;

import java.util.Locale;
import kudari.Dtype;

/** What the weights and the activations of a network are, as {@code --precision} says. */
enum Precision {
    /** Float32. */
    FP32(Dtype.F32),
    /** Bfloat16, in mixed precision. */
    BF16(Dtype.BF16),
    /** Float16, in mixed precision, where small gradients need a loss scale. */
    FP16(Dtype.F16);

    final Dtype dtype;

    Precision(Dtype dtype) {
        this.dtype = dtype;
    }

    /** As it is written on the command line. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
