package kudari;

import kudari.rule.Rule;
import kudari.rule.TensorRule;

/** A step of a rule over one tensor, all of it in one piece: its loops, with the sums that it asks for between them, in the order of {@link ReduceTest}. */
final class WholeTensor {

    private WholeTensor() {}

    /** The loops alone, over some elements. */
    static void loops(
            Rule rule, float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        if (rule instanceof TensorRule whole && whole.gathers())
            whole.gather(k, scale, from, to, p, g, s, new float[p.length]);
        rule.apply(k, scale, trust, from, to, p, g, s);
    }

    /** A step over all elements. */
    static void step(Rule rule, float[] k, float scale, float[] p, float[] g, float[][] s) {
        int size = p.length;
        if (rule instanceof TensorRule whole && size > 0) {
            float[] x = g, n = whole.elementwise() < rule.state().size() ? s[whole.elementwise()] : new float[1];
            if (whole.gathers()) whole.gather(k, scale, 0, size, p, g, s, x = new float[size]);
            double xp = whole.gathers() ? 0 : ReduceTest.tensor(x, p);
            float trust = whole.trust(
                    k, whole.gathers() ? 1 : scale, ReduceTest.tensor(x, x), xp, ReduceTest.tensor(p, p), n);
            rule.apply(k, scale, trust, 0, size, p, g, s);
        } else {
            rule.apply(k, scale, 1, 0, size, p, g, s);
        }
    }
}
