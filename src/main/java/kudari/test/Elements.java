package kudari.test;

import java.util.Arrays;
import java.util.Random;
import kudari.rule.Rule;

/** A parameter, its gradient and its state. */
record Elements(float[] p, float[] g, float[][] s) {

    /** Each stands in a parameter, in a gradient and in state, with each. */
    private static final float[] SPECIAL = {
        0,
        -0.0f,
        1,
        -1,
        Float.POSITIVE_INFINITY,
        Float.NEGATIVE_INFINITY,
        Float.NaN,
        Float.MIN_VALUE,
        -1e-40f,
        Float.MIN_NORMAL,
        -1e-30f,
        2e38f,
        -Float.MAX_VALUE
    };

    /** State as it begins. */
    static Elements begun(Rule rule, float[] p) {
        float[][] s = new float[rule.state().size()][p.length];
        for (int a = 0; a < s.length; a++) Arrays.fill(s[a], rule.initial(a));
        return new Elements(p.clone(), new float[p.length], s);
    }

    /** Numbers as they are in a training, with state from 0 to 1; the same on every call. */
    static Elements random(Rule rule, int size) {
        Random random = new Random(20261127);
        Elements made = begun(rule, new float[size]);
        for (int i = 0; i < size; i++) {
            made.p[i] = (float) random.nextGaussian();
            made.g[i] = (float) random.nextGaussian();
            for (float[] array : made.s) array[i] = random.nextFloat();
        }
        return made;
    }

    /** Zeros of both signs, infinities, NaN, subnormal and huge numbers; a second array of state has them in another order. */
    static Elements special(Rule rule) {
        int n = SPECIAL.length, size = n * n * n;
        Elements made = begun(rule, new float[size]);
        for (int i = 0; i < size; i++) {
            made.p[i] = SPECIAL[i % n];
            made.g[i] = SPECIAL[i / n % n];
            for (int a = 0; a < made.s.length; a++) made.s[a][i] = SPECIAL[(i / n / n + a * (i % 5)) % n];
        }
        return made;
    }

    int size() {
        return p.length;
    }

    Elements copy() {
        float[][] state = s.clone();
        for (int a = 0; a < s.length; a++) state[a] = s[a].clone();
        return new Elements(p.clone(), g.clone(), state);
    }

    /** A step over some of them by a rule's own loop. */
    void step(Rule rule, float[] k, float scale, float trust, int from, int to) {
        rule.apply(k, scale, trust, from, to, p, g, s);
    }

    /** A step over all of them; of a copy. */
    Elements stepped(Rule rule, float[] k, float scale, float trust) {
        Elements copy = copy();
        copy.step(rule, k, scale, trust, 0, size());
        return copy;
    }
}
