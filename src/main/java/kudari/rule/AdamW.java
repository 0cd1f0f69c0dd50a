package kudari.rule;

/**
 * AdamW: {@link Adam} in the paper's form, with weight decay that does not go through the means.
 *
 * <pre>  p ← p − α·m / (√v + ε·√c₂) − lr·λ·p</pre>
 *
 * <p>It is an {@code Adam} with a {@code decay}: the same loop, the same kernel, the same state.
 *
 * <p>Source: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv:1711.05101, algorithm 2.
 *
 * <p>As in PyTorch, whose λ is the paper's w, the decay is multiplied by the learning rate; PyTorch takes it off before the step and this beside it, which is the same
 * but for rounding: a factor of 1 − lr·λ, rounded to float, would lose every lr·λ below 6·10⁻⁸.
 */
public final class AdamW {

    private AdamW() {}

    /** PyTorch's AdamW at its defaults: lr 0.001, β 0.9 and 0.999, ε 1e-8, decay 0.01. */
    public static Adam of() {
        return of(0.001);
    }

    /** PyTorch's AdamW: β 0.9 and 0.999, ε 1e-8, decay 0.01. */
    @Preset(peer = Peer.PYTORCH, lr = 0.001)
    public static Adam of(double lr) {
        return Adam.pytorch(lr).decay(0.01);
    }

    /** Keras's AdamW: β 0.9 and 0.999, ε̂ 1e-7, decay 0.004. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static Adam keras(double lr) {
        return Adam.of(lr).decay(0.004);
    }

    /** optax's AdamW: β 0.9 and 0.999, ε 1e-8, decay 1e-4. */
    @Preset(peer = Peer.OPTAX)
    public static Adam optax(double lr) {
        return Adam.pytorch(lr).decay(1e-4);
    }
}
