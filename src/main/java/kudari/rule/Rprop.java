package kudari.rule;

import static kudari.rule.Arithmetic.clamp;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.sign;

import java.util.List;

/**
 * Rprop: each element has a step size of its own, which grows while its gradient keeps its sign and shrinks when it turns; the gradient's size plays no part.
 *
 * <pre>
 *   Δ ← Δ·η⁺ where g has the sign that it had, Δ·η⁻ where it has the other, within Δ_min … Δ_max; Δ = lr at first
 *   p ← p − Δ·sign(g), but where it has the other the element stands still, and the sign counts as 0 in the next step</pre>
 *
 * <p>It is made for gradients over all samples: those of small batches turn by chance. The Δ of the state is in units of lr, so that a schedule scales the
 * steps of this rule as it does those of any other. In libraries lr is where Δ starts and nothing else.
 *
 * <dl>
 *   <dt>Source
 *   <dd>M. Riedmiller and H. Braun, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm", IEEE International Conference
 *       on Neural Networks 1993; in the form of C. Igel and M. Hüsken, "Improving the Rprop Learning Algorithm", NC 2000, which they call iRprop⁻.
 *   <dt>Deviations
 *   <dd>signs are multiplied, not gradients, whose product may vanish. optax goes in each step where the step before was to go, {@link #optax(double)},
 *       and so nowhere in the first.
 *   <dt>State
 *   <dd>{@code size} and {@code last}, the step before, both in units of lr, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>{@link SignSgd} has one step size for all.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter: the size of the first step
 * @param grow η⁺, what a step size is multiplied by while the gradient keeps its sign, above 1
 * @param shrink η⁻, what it is multiplied by when the gradient turns, between 0 and 1
 * @param smallest Δ_min, positive, in units of parameter
 * @param largest Δ_max, at least Δ_min, in units of parameter
 * @param late whether a step is the one that was worked out in the step before
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Rprop(
        double lr, double grow, double shrink, double smallest, double largest, boolean late, double l2, double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Rprop {
        Check.common(lr, l2, decay);
        Check.require(grow > 1 && (float) grow <= Float.MAX_VALUE, "grow", "a finite number above 1", grow);
        Check.require(shrink > 0 && shrink < 1, "shrink", "a number between 0 and 1", shrink);
        Check.require((float) smallest >= Float.MIN_NORMAL, "smallest", "a positive number", smallest);
        Check.require(
                largest >= smallest && (float) largest <= Float.MAX_VALUE,
                "largest",
                "a finite number from smallest, " + smallest + ", up",
                largest);
    }

    /** PyTorch's Rprop at its defaults: lr 0.01, η 1.2 and 0.5, Δ from 1e-6 to 50. */
    public static Rprop of() {
        return of(0.01);
    }

    /** PyTorch's Rprop, with the paper's numbers: η 1.2 and 0.5, Δ from 1e-6 to 50. */
    @Preset(peer = Peer.PYTORCH, lr = 0.01)
    public static Rprop of(double lr) {
        return new Rprop(lr, 1.2, 0.5, 1e-6, 50, false, 0, 0);
    }

    /** optax's, which goes one step later; the same numbers. */
    @Preset(peer = Peer.OPTAX)
    public static Rprop optax(double lr) {
        return new Rprop(lr, 1.2, 0.5, 1e-6, 50, true, 0, 0);
    }

    @Override
    public Rprop lr(double lr) {
        return new Rprop(lr, grow, shrink, smallest, largest, late, l2, decay);
    }

    /** This rule with other factors of its step sizes: η⁺ and η⁻. */
    public Rprop factors(double grow, double shrink) {
        return new Rprop(lr, grow, shrink, smallest, largest, late, l2, decay);
    }

    /** This rule with another range of its step sizes. */
    public Rprop sizes(double smallest, double largest) {
        return new Rprop(lr, grow, shrink, smallest, largest, late, l2, decay);
    }

    @Override
    public Rprop l2(double l2) {
        return new Rprop(lr, grow, shrink, smallest, largest, late, l2, decay);
    }

    @Override
    public Rprop decay(double decay) {
        return new Rprop(lr, grow, shrink, smallest, largest, late, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("size", "last");
    }

    @Override
    public float initial(int array) {
        return array == 0 ? 1 : 0;
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) lr;
        k[3] = (float) (grow - 1);
        k[4] = (float) (1 - shrink);
        k[5] = lr == 0 ? Float.MIN_NORMAL : inUnitsOfRate(smallest);
        k[6] = inUnitsOfRate(largest);
        k[7] = late ? 0 : 1;
        k[8] = late ? 1 : 0;
    }

    /** A step size as the state has it, which is a normal number whatever the rate. */
    private float inUnitsOfRate(double size) {
        return (float) Math.max(Float.MIN_NORMAL, Math.min(size / lr, Float.MAX_VALUE));
    }

    /** Of the sign of a turn, −1, 0 or 1: {@code on} is 1 where the gradient keeps its sign, {@code back} where it has the other, {@code stays} 0 there. */
    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], lr = k[2], more = k[3], less = k[4], least = k[5], most = k[6];
        float now = k[7], late = k[8];
        float[] size = s[0], last = s[1];
        for (int i = from; i < to; i++) {
            float turn = sign(gradient(g[i], p[i], scale, l2)) * sign(last[i]);
            float on = 0.5f * (turn * turn + turn), back = on - turn;
            size[i] = clamp(size[i] * (1 + on * more - back * less), least, most);
        }
        for (int i = from; i < to; i++) {
            float pi = p[i], way = sign(gradient(g[i], pi, scale, l2)), turn = way * sign(last[i]);
            float stays = 1 - 0.5f * (turn * turn - turn), step = stays * (size[i] * way);
            float u = lr * (now * step + late * (stays * last[i]));
            last[i] = step;
            p[i] = descend(pi, u, decay, trust);
        }
    }
}
