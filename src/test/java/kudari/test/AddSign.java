package kudari.test;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.rate;
import static kudari.rule.Arithmetic.sign;

import java.util.List;
import kudari.rule.CustomRule;

/** A rule that is none of ours: AddSign, of I. Bello et al., "Neural Optimizer Search with Reinforcement Learning", ICML 2017. Its kernel is a resource. */
public record AddSign(double lr, double beta, double l2, double decay) implements CustomRule {

    @Override
    public AddSign lr(double lr) {
        return new AddSign(lr, beta, l2, decay);
    }

    @Override
    public AddSign l2(double l2) {
        return new AddSign(lr, beta, l2, decay);
    }

    @Override
    public AddSign decay(double decay) {
        return new AddSign(lr, beta, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m");
    }

    @Override
    public Compression compression(int array) {
        return Compression.SIGNED;
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) lr;
        k[3] = (float) beta;
        k[4] = (float) (1 - beta);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], lr = k[2], beta = k[3], rest = k[4];
        float[] m = s[0];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            m[i] = flush(beta * m[i] + rest * gi, MEAN);
            float u = rate(lr, (1 + sign(gi) * sign(m[i])) * gi);
            p[i] = descend(pi, u, decay, trust);
        }
    }
}
