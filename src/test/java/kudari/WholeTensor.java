package kudari;

import kudari.rule.FactoredRule;
import kudari.rule.Rule;
import kudari.rule.TensorRule;

/** A step of a rule over one tensor, all of it in one piece: its loops, with the sums that it asks for between them, in the order of {@link ReduceTest}. */
final class WholeTensor {

    private WholeTensor() {}

    /** The loops alone, over some elements. */
    static void loops(
            Rule rule, float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float[][] own = arrays(rule, k, scale, from, to, p, g, s);
        if (rule instanceof TensorRule whole && whole.gathers())
            whole.gather(k, scale, from, to, p, g, own, new float[p.length]);
        rule.apply(k, scale, trust, from, to, p, g, own);
    }

    /** A step over all elements. */
    static void step(Rule rule, float[] k, float scale, float[] p, float[] g, float[][] s) {
        int size = p.length;
        if (rule instanceof TensorRule whole && size > 0) {
            float[][] own = arrays(rule, k, scale, 0, size, p, g, s);
            boolean keeps = !(rule instanceof FactoredRule) && whole.elementwise() < s.length;
            float[] x = g, n = keeps ? s[whole.elementwise()] : new float[1];
            if (whole.gathers()) whole.gather(k, scale, 0, size, p, g, own, x = new float[size]);
            double xp = whole.gathers() ? 0 : ReduceTest.tensor(x, p);
            float trust = whole.trust(
                    k, whole.gathers() ? 1 : scale, ReduceTest.tensor(x, x), xp, ReduceTest.tensor(p, p), size, n);
            rule.apply(k, scale, trust, 0, size, p, g, own);
        } else {
            rule.apply(k, scale, 1, 0, size, p, g, s);
        }
    }

    /** What the loops find in the place of state: of a rule that factors, of a vector, by what its moments divide, which have moved on. */
    private static float[][] arrays(
            Rule rule, float[] k, float scale, int from, int to, float[] p, float[] g, float[][] s) {
        if (!(rule instanceof FactoredRule factored)) return s;
        float[] f = new float[p.length], v = s[2];
        for (int i = from; i < to; i++) {
            float x = scale * g[i] + k[0] * p[i];
            v[i] = factored.moment(k, v[i], (double) x * x);
            f[i] = factored.factor(k, v[i], 1);
        }
        return new float[][] {f};
    }
}
