package kudari.nn;

/** How the weights of a layer start: normal numbers of mean 0, with a variance that keeps signals of one size through many layers. */
public enum Init {

    /** Variance 2 / inputs, for layers followed by ReLU (K. He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10). */
    HE(2),

    /**
     * Variance 1 / inputs, as the book has it. The paper takes 2 / (inputs + outputs) (X. Glorot and Y. Bengio, "Understanding the
     * difficulty of training deep feedforward neural networks", AISTATS 2010, equation 12), which is the same in a layer as wide as
     * its input.
     */
    XAVIER(1);

    private final double gain;

    Init(double gain) {
        this.gain = gain;
    }

    /** The standard deviation of the weights of a layer with so many inputs. */
    double deviation(int inputs) {
        return Math.sqrt(gain / inputs);
    }
}
