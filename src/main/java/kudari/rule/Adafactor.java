package kudari.rule;

import static kudari.rule.Arithmetic.LARGEST;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.clamp;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.rate;

import java.util.List;

/**
 * Adafactor: {@link Adam} without a first moment, whose second moment of a matrix is made of a mean for each row and one for each column. Its state is
 * next to nothing.
 *
 * <pre>
 *   R ← β·R + (1 − β)·(mean of g² in each row + eps)
 *   C ← β·C + (1 − β)·(mean of g² in each column + eps)
 *   V = R·C/max(mean of R, floor)                            β = 1 − 1/t^exponent
 *   u = g/max(√V, floor)
 *   û = u/max(1, rms(u)/threshold)
 *   relative:   ρ = min(lr, 1/√t)
 *   else:       ρ = lr
 *   scaled:     p ← p − ρ·max(least, rms(p))·û
 *   else:       p ← p − ρ·û</pre>
 *
 * <p>where rms(·) is √(mean of squares) over a whole tensor. A matrix is the last two extents, those before them count matrices. A parameter of fewer than
 * two extents, or with one of the last two below {@code smallest}, is not factored: V is then the mean of g² of each element.
 *
 * <dl>
 *   <dt>Source
 *   <dd>N. Shazeer and M. Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", ICML 2018, arXiv:1804.04235, algorithms 4 to 6.
 *   <dt>Deviations
 *   <dd>none with {@link #of(double)} at lr 0.01, which is the article's largest ρ; means where it has sums. optax factors the two largest extents, and
 *       its decay is not multiplied by lr: its {@code weight_decay_rate} is lr·decay here. There is no momentum.
 *   <dt>State
 *   <dd>{@code row} and {@code col} of a matrix, 4 bytes for each row and column; {@code v} of what is not factored, 4 bytes per parameter. Those that a
 *       parameter does not have are tensors without elements. A step moves 28, and 44 of a vector.
 *   <dt>Neighbours
 *   <dd>{@link RmsProp} keeps the second moment of each element, {@link Lamb} both moments, and goes by the size of the tensor too.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up: the largest step, in units of the parameter's root mean square where {@code scaled}
 * @param exponent of the decay of means, a positive number; 0.8 in the article
 * @param eps ε₁, added to the squares of the gradient, 0 or positive
 * @param floor the least root of the second moment, and the least mean of rows, from 0 to 1
 * @param least ε₂, the least root mean square of the parameter, 0 or positive
 * @param threshold d, the largest root mean square of an update, positive
 * @param relative whether the rate falls with 1/√t below lr
 * @param scaled whether a step is as long, in proportion, as the parameter
 * @param smallest the smallest extent that is factored, 1 or more
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Adafactor(
        double lr,
        double exponent,
        double eps,
        double floor,
        double least,
        double threshold,
        boolean relative,
        boolean scaled,
        long smallest,
        double l2,
        double decay)
        implements FactoredRule {

    /** Checks that the hyperparameters are in range. */
    public Adafactor {
        Check.common(lr, l2, decay);
        Check.positive("exponent", exponent);
        Check.nonNegative("eps", eps, 1);
        Check.nonNegative("floor", floor, 1);
        Check.require(floor <= 1, "floor", "a number from 0 to 1", floor);
        Check.someEpsilon("eps, floor", eps, floor);
        Check.nonNegative("least", least, 1);
        Check.positive("threshold", threshold);
        Check.require(smallest >= 1, "smallest", "1 or more", smallest);
    }

    /** The article's, with its largest ρ, 0.01. */
    public static Adafactor of() {
        return of(0.01);
    }

    /** The article's, as in Keras: β from an exponent of 0.8, ε₁ = 1e-30, ε₂ = 0.001, d = 1, and a rate of 1/√t at most. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static Adafactor of(double lr) {
        return new Adafactor(lr, 0.8, 1e-30, 0, 0.001, 1, true, true, 1, 0, 0);
    }

    /** PyTorch's: ε₁ is a floor, the distance from 1 to the next float. */
    @Preset(peer = Peer.PYTORCH, lr = 0.01)
    public static Adafactor pytorch(double lr) {
        return of(lr).eps(0, 0x1p-23);
    }

    /** optax's: a rate that does not fall by itself, and no factors below an extent of 128. */
    @Preset(peer = Peer.OPTAX)
    public static Adafactor optax(double lr) {
        return of(lr).relative(false).smallest(128);
    }

    @Override
    public Adafactor lr(double lr) {
        return new Adafactor(lr, exponent, eps, floor, least, threshold, relative, scaled, smallest, l2, decay);
    }

    /** This rule with another exponent; PyTorch's {@code beta2_decay} and Keras's {@code beta_2_decay} without its sign, optax's {@code decay_rate}. */
    public Adafactor exponent(double exponent) {
        return new Adafactor(lr, exponent, eps, floor, least, threshold, relative, scaled, smallest, l2, decay);
    }

    /** This rule with another ε₁, added to the squares as in the article, and a floor of the root, as in PyTorch. */
    public Adafactor eps(double eps, double floor) {
        return new Adafactor(lr, exponent, eps, floor, least, threshold, relative, scaled, smallest, l2, decay);
    }

    /** This rule with another ε₂. */
    public Adafactor least(double least) {
        return new Adafactor(lr, exponent, eps, floor, least, threshold, relative, scaled, smallest, l2, decay);
    }

    /** This rule with another largest root mean square of an update. */
    public Adafactor threshold(double threshold) {
        return new Adafactor(lr, exponent, eps, floor, least, threshold, relative, scaled, smallest, l2, decay);
    }

    /** This rule with a rate that falls with 1/√t, or not; Keras's {@code relative_step}. */
    public Adafactor relative(boolean relative) {
        return new Adafactor(lr, exponent, eps, floor, least, threshold, relative, scaled, smallest, l2, decay);
    }

    /** This rule with steps in proportion to the parameter, or not; optax's {@code multiply_by_parameter_scale}. */
    public Adafactor scaled(boolean scaled) {
        return new Adafactor(lr, exponent, eps, floor, least, threshold, relative, scaled, smallest, l2, decay);
    }

    /** This rule with another smallest extent that is factored; optax's {@code min_dim_size_to_factor}. */
    public Adafactor smallest(long smallest) {
        return new Adafactor(lr, exponent, eps, floor, least, threshold, relative, scaled, smallest, l2, decay);
    }

    @Override
    public Adafactor l2(double l2) {
        return new Adafactor(lr, exponent, eps, floor, least, threshold, relative, scaled, smallest, l2, decay);
    }

    @Override
    public Adafactor decay(double decay) {
        return new Adafactor(lr, exponent, eps, floor, least, threshold, relative, scaled, smallest, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("row", "col", "v");
    }

    @Override
    public boolean factors(long[] param) {
        int last = param.length - 1;
        return last > 0 && Math.min(param[last - 1], param[last]) >= smallest;
    }

    @Override
    public void at(long t, float[] k) {
        // In the first step exactly 1, which leaves nothing of the zeros that the state begins with.
        double rest = StrictMath.exp(-exponent * StrictMath.log(t));
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) (1 - rest);
        k[3] = (float) rest;
        k[4] = (float) eps;
        k[5] = (float) floor;
        k[6] = (float) Math.min(1 / floor, Float.MAX_VALUE);
        k[7] = (float) least;
        k[8] = (float) threshold;
        k[9] = (float) (relative ? Math.min(lr, 1 / Math.sqrt(t)) : lr);
        k[10] = scaled ? 1 : 0;
    }

    @Override
    public float moment(float[] k, float before, double square) {
        double beta = k[2], rest = k[3], eps = k[4], moment = beta * before + rest * (square + eps);
        return flush((float) (moment > LARGEST ? LARGEST : moment), SQUARE);
    }

    @Override
    public float factor(float[] k, float moment, double mean) {
        double floor = k[5], held = mean < floor ? floor : mean, factor = Math.sqrt(held / moment);
        return (float) (moment == 0 || factor > LARGEST ? LARGEST : factor);
    }

    @Override
    public void gather(float[] k, float scale, int from, int to, float[] p, float[] g, float[][] s, float[] u) {
        float l2 = k[0], limit = k[6];
        float[] f = s[0];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2);
            u[i] = gi * clamp(f[i], limit);
        }
    }

    @Override
    public float trust(float[] k, double scale, double xx, double xp, double pp, double count, float[] n) {
        double least = k[7], threshold = k[8], lr = k[9], scaled = k[10];
        double size = Math.sqrt(pp / count), over = Math.sqrt(xx / count) / threshold;
        double by = scaled > 0 ? size > least ? size : least : 1;
        double trust = lr * by / (over > 1 ? over : 1);
        return (float) (trust > LARGEST ? LARGEST : trust);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], limit = k[6];
        float[] f = s[0];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2), u = gi * clamp(f[i], limit);
            p[i] = descend(pi, rate(trust, u), decay, 1);
        }
    }
}
