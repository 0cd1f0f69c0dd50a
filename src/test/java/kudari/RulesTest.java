package kudari;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.DoubleFunction;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kudari.rule.AdEMAMix;
import kudari.rule.AdaBelief;
import kudari.rule.AdaDelta;
import kudari.rule.AdaGrad;
import kudari.rule.Adafactor;
import kudari.rule.Adam;
import kudari.rule.Adamax;
import kudari.rule.Adan;
import kudari.rule.Adopt;
import kudari.rule.AmsGrad;
import kudari.rule.CustomRule;
import kudari.rule.FactoredRule;
import kudari.rule.Ftrl;
import kudari.rule.Lamb;
import kudari.rule.Lars;
import kudari.rule.Lion;
import kudari.rule.Madgrad;
import kudari.rule.MatrixRule;
import kudari.rule.Momentum;
import kudari.rule.NAdam;
import kudari.rule.Nesterov;
import kudari.rule.NovoGrad;
import kudari.rule.RAdam;
import kudari.rule.RmsProp;
import kudari.rule.RmsPropCentered;
import kudari.rule.RmsPropMomentum;
import kudari.rule.Rprop;
import kudari.rule.Rule;
import kudari.rule.ScheduleFreeAdamW;
import kudari.rule.ScheduleFreeSgd;
import kudari.rule.Sgd;
import kudari.rule.SignSgd;
import kudari.rule.TensorRule;
import kudari.rule.Yogi;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The table of rules, and the laws that hold for every row of it. */
class RulesTest {

    /**
     * One rule.
     *
     * @param of the rule with its defaults and this learning rate
     * @param toyRate the learning rate of the book's picture
     * @param first x and y of the book's picture after one step, from the book's own code in float64, or another library's; {@link #UNPUBLISHED} where
     *     nobody's numbers are known
     * @param thirtieth and after thirty
     * @param reference the definition in float64, from this start and with this learning rate
     * @param rounded one step in float arithmetic with its error bound: p, then the state, before and after
     * @param hand a rule, its gradients, and the p and state that follow, worked out by hand in numbers that float holds exactly
     */
    record Row(
            DoubleFunction<Rule> of,
            double toyRate,
            double[] first,
            double[] thirtieth,
            Definition reference,
            FloatStep rounded,
            Hand hand) {

        @Override
        public String toString() {
            return of.apply(toyRate).getClass().getSimpleName();
        }
    }

    interface Definition {
        Reference at(double p, double lr);
    }

    interface FloatStep {
        void step(Rounded[] ps, Rounded g, double lr, int t);
    }

    /**
     * Steps worked out by hand, from p = 8.
     *
     * @param gradients one a step
     * @param p after each step
     * @param state after each step, an array of it a row
     */
    record Hand(Rule rule, float[] gradients, float[] p, float[][] state) {}

    /** Nobody has printed the path of this rule. */
    private static final double[] UNPUBLISHED = {};

    /** Half of the last of the twelve digits that a library's path was printed with, and the roundings of double. */
    private static final double PRINTED = 5e-12 + 1e-12;

    static final List<Row> TABLE = List.of(
            new Row(
                    Sgd::of,
                    0.95,
                    xy(-6.335, -1.8),
                    xy(-0.35039299575231969, 0.084782316550432196),
                    Reference::sgd,
                    (s, g, lr, t) -> s[0] = s[0].minus(Rounded.once(lr).times(g)),
                    new Hand(Sgd.of(0.5), floats(1, 3, -3), floats(7.5, 6, 7.5), new float[][] {})),
            new Row(
                    Momentum::of,
                    0.1,
                    xy(-6.93, 1.6),
                    xy(0.89641385849373301, 0.088085601715069711),
                    (p, lr) -> Reference.momentum(p, lr, 0.9),
                    (s, g, lr, t) -> {
                        s[1] = Rounded.once(0.9)
                                .times(s[1])
                                .plus(Rounded.once(-lr).times(g));
                        s[0] = s[0].plus(Rounded.exact(1).times(s[1]));
                    },
                    new Hand(Momentum.of(0.5).momentum(0.5), floats(1, 3, -3), floats(7.5, 5.75, 6.375), new float[][] {
                        floats(-0.5, -1.75, 0.625)
                    })),
            new Row(
                    Nesterov::of,
                    0.1,
                    xy(-6.867, 1.24),
                    xy(0.68961490169662087, -0.00067990583611719693),
                    (p, lr) -> Reference.nesterov(p, lr, 0.9),
                    (s, g, lr, t) -> {
                        Rounded carried = Rounded.once(0.81).times(s[1]);
                        s[0] = s[0].plus(carried.plus(Rounded.once(-1.9 * lr).times(g)));
                        s[1] = Rounded.once(0.9)
                                .times(s[1])
                                .plus(Rounded.once(-lr).times(g));
                    },
                    new Hand(
                            Nesterov.of(0.5).momentum(0.5),
                            floats(1, 3, -3),
                            floats(7.25, 4.875, 6.6875),
                            new float[][] {floats(-0.5, -1.75, 0.625)})),
            new Row(
                    AdaGrad::of,
                    1.5,
                    xy(-5.5000002142856834, 0.50000003749999911),
                    xy(-0.12016232231416045, 2.486389893984459e-17),
                    (p, lr) -> Reference.adaGrad(p, lr, 0, 1e-7, 0),
                    (s, g, lr, t) -> {
                        s[1] = s[1].plus(g.times(g));
                        Rounded root = s[1].plus(Rounded.exact(0)).sqrt().plus(Rounded.once(1e-7));
                        s[0] = s[0].minus(Rounded.once(lr).times(g).over(root));
                    },
                    new Hand(
                            new AdaGrad(0.5, 0, 0, 3, 0, 0, 0),
                            floats(3, 4, -12),
                            floats(7.75, 7.5, 7.875),
                            new float[][] {floats(9, 25, 169)})),
            new Row(
                    RmsProp::of,
                    0.3,
                    xy(-4.0000042857081644, -0.99999925000018575),
                    xy(-5.3513270404281918e-06, 1.5085100037516103e-11),
                    (p, lr) -> Reference.rmsProp(p, lr, 0.99, 1e-7, 0),
                    (s, g, lr, t) -> {
                        s[1] = Rounded.once(0.99)
                                .times(s[1])
                                .plus(Rounded.once(1 - 0.99).times(g.times(g)));
                        Rounded root = s[1].plus(Rounded.exact(0)).sqrt().plus(Rounded.once(1e-7));
                        s[0] = s[0].minus(Rounded.once(lr).times(g).over(root));
                    },
                    new Hand(
                            new RmsProp(0.6875, 0.75, 0, 0.375, 0, false, 0, 0),
                            floats(2, 1, -2.75),
                            floats(7, 6.5, 7.4453125),
                            new float[][] {floats(1, 1, 2.640625)})),
            new Row(
                    RmsPropMomentum::of,
                    0.03,
                    xy(-6.70000004286, 1.7000000075),
                    xy(0.869540369614, -0.339778639352),
                    (p, lr) -> Reference.rmsPropMomentum(p, lr, 0.99, 0.9, 1e-8, 0),
                    (s, g, lr, t) -> {
                        s[1] = mean(0.99, s[1], g.times(g));
                        Rounded root = s[1].plus(Rounded.exact(0)).sqrt().plus(Rounded.once(1e-8));
                        s[2] = Rounded.once(0.9)
                                .times(s[2])
                                .plus(Rounded.exact(1).times(g).over(root));
                        s[0] = s[0].minus(Rounded.once(lr).times(s[2]));
                    },
                    // RmsProp's steps of 1, 0.5 and -0.9453125, gathered.
                    new Hand(
                            new RmsPropMomentum(0.6875, 0.75, 0.5, true, 0, 0.375, 0, false, 0, 0),
                            floats(2, 1, -2.75),
                            floats(7, 6, 6.4453125),
                            new float[][] {floats(1, 1, 2.640625), floats(1, 1, -0.4453125)})),
            new Row(
                    RmsPropCentered::of,
                    0.1,
                    xy(-5.99496232904, 0.994962209993),
                    xy(-0.594322946158, 9.74468047587e-09),
                    (p, lr) -> Reference.rmsPropCentered(p, lr, 0.99, 1e-8, 0),
                    (s, g, lr, t) -> {
                        s[1] = mean(0.99, s[1], g.times(g));
                        s[2] = mean(0.99, s[2], g);
                        Rounded variance = s[1].minus(s[2].times(s[2]));
                        Rounded root = variance.plus(Rounded.exact(0)).sqrt().plus(Rounded.once(1e-8));
                        s[3] = Rounded.exact(0).times(s[3]).plus(g.over(root));
                        s[0] = s[0].minus(Rounded.once(lr).times(s[3]));
                    },
                    // Variances of 16, 9 and 7.5625, so D is 5, 4 and 3.75, and lr·g/D is 1, 0.9375 and 0.25.
                    new Hand(
                            new RmsPropCentered(0.625, 0.5, 0.5, true, 0, 1, 0, 0, 0),
                            floats(8, 6, 1.5),
                            floats(7, 5.5625, 4.59375),
                            new float[][] {floats(32, 34, 18.125), floats(4, 5, 3.25), floats(1, 1.4375, 0.96875)})),
            new Row(
                    Lion::of,
                    0.1,
                    xy(-6.9, 1.9),
                    xy(-4, -1),
                    (p, lr) -> Reference.lion(p, lr, 0.9, 0.99),
                    (s, g, lr, t) -> {
                        Rounded mixed = mean(0.9, s[1], g);
                        s[0] = s[0].minus(Rounded.once(lr).times(mixed.sign()));
                        s[1] = mean(0.99, s[1], g);
                    },
                    // The third gradient is against the mean, which is stronger.
                    new Hand(new Lion(0.5, 0.5, 0.75, 0, 0), floats(1, 3, -0.5), floats(7.5, 7, 6.5), new float[][] {
                        floats(0.25, 0.9375, 0.578125)
                    })),
            new Row(
                    SignSgd::of,
                    0.1,
                    xy(-6.9, 1.9),
                    xy(-4, -6.38378239159e-16),
                    Reference::signSgd,
                    (s, g, lr, t) -> s[0] = s[0].minus(Rounded.once(lr).times(g.sign())),
                    new Hand(SignSgd.of(0.5), floats(3, 0, -0.25), floats(7.5, 7.5, 8), new float[][] {})),
            new Row(
                    Rprop::of,
                    0.1,
                    UNPUBLISHED, // optax's, which goes one step later, is in ConventionsTest
                    UNPUBLISHED,
                    (p, lr) -> Reference.rprop(p, lr, 1.2, 0.5, 1e-6, 50, false),
                    (s, g, lr, t) -> {
                        double turn = g.sign().value() * s[2].sign().value();
                        Rounded factor = Rounded.exact(1)
                                .plus(Rounded.exact(turn > 0 ? 1 : 0).times(Rounded.once(1.2 - 1)))
                                .minus(Rounded.exact(turn < 0 ? 1 : 0).times(Rounded.exact(0.5)));
                        s[1] = (t == 1 ? Rounded.exact(1) : s[1])
                                .times(factor)
                                .clamp(Rounded.once(1e-6 / lr), Rounded.once(50 / lr));
                        s[2] = turn < 0 ? Rounded.exact(0) : s[1].times(g.sign());
                        s[0] = s[0].minus(Rounded.once(lr).times(s[2]));
                    },
                    // The third gradient turns.
                    new Hand(
                            new Rprop(0.5, 1.5, 0.5, 0.125, 64, false, 0, 0),
                            floats(3, 1, -2, -1, -7),
                            floats(7.5, 6.75, 6.75, 7.125, 7.6875),
                            new float[][] {floats(1, 1.5, 0.75, 0.75, 1.125), floats(1, 1.5, -0.0, -0.75, -1.125)})),
            new Row(
                    Madgrad::of,
                    0.1,
                    UNPUBLISHED, // optax's, which has λ in float32, is in ConventionsTest
                    UNPUBLISHED,
                    (p, lr) -> Reference.madgrad(p, lr, 0.9, 1e-6),
                    (s, g, lr, t) -> {
                        Rounded weighted =
                                Rounded.once((lr + 1e-6) * Math.sqrt(t)).times(g);
                        s[1] = s[1].plus(weighted.times(g));
                        s[2] = s[2].plus(weighted);
                        Rounded offset = s[2].over(s[1].cubeRoot().plus(Rounded.once(1e-6)));
                        Rounded u = Rounded.once(1 - 0.9).times(s[3].plus(offset));
                        s[3] = s[3].minus(u);
                        s[0] = s[0].minus(u);
                    },
                    // λ is 4, so v is 1, s 2, and z, 1 below the start, is approached by halves.
                    new Hand(new Madgrad(3, 0.5, 1, 0, 0), floats(0.5, 0, 0), floats(7.5, 7.25, 7.125), new float[][] {
                        floats(1, 1, 1), floats(2, 2, 2), floats(-0.5, -0.75, -0.875)
                    })),
            new Row(
                    Ftrl::of,
                    0.5,
                    xy(-3.66248441799, 1.34393313247),
                    xy(-1.08879892066, 0.00651012842998),
                    (p, lr) -> Reference.ftrl(p, lr, 0.1, 0, 0, 0),
                    (s, g, lr, t) -> {
                        Rounded before = t == 1 ? Rounded.once(0.1) : s[1];
                        s[1] = before.plus(g.times(g));
                        Rounded grown = s[1].sqrt().minus(before.sqrt());
                        s[2] = s[2].plus(Rounded.once(lr).times(g)).minus(grown.times(s[0]));
                        Rounded u = s[0].plus(s[2].over(s[1].sqrt().plus(Rounded.exact(0))));
                        s[0] = s[0].minus(Rounded.exact(1).times(u));
                    },
                    // √n is 3, then 5, 13 and 13, and what it is added to 2 + 2/2.
                    new Hand(
                            new Ftrl(0.5, 9, 2, 1, 2, 0, 0),
                            floats(4, -12, 0),
                            floats(1.6875, 2.0625, 2.0625),
                            new float[][] {floats(25, 169, 169), floats(-14, -33.5, -33.5)})),
            new Row(
                    Adam::of,
                    0.3,
                    xy(-6.7000013552557318, 1.7000002371706371),
                    xy(0.13600685239498186, 0.31824537553721943),
                    (p, lr) -> Reference.adamOfTheBook(p, lr, 0.9, 0.999, 1e-7),
                    (s, g, lr, t) -> {
                        double rate = lr * Math.sqrt(1 - Math.pow(0.999, t)) / (1 - Math.pow(0.9, t));
                        s[1] = Rounded.once(0.9)
                                .times(s[1])
                                .plus(Rounded.once(1 - 0.9).times(g));
                        s[2] = Rounded.once(0.999)
                                .times(s[2])
                                .plus(Rounded.once(1 - 0.999).times(g.times(g)));
                        Rounded root = s[2].plus(Rounded.exact(0)).sqrt().plus(Rounded.once(1e-7));
                        s[0] = s[0].minus(Rounded.once(rate).times(s[1]).over(root));
                    },
                    new Hand(
                            new Adam(21 / 64.0, 0.5, 0, 0, 1, 0, true, 0, 0),
                            floats(1, 3, -3),
                            floats(7.8359375, 7.64453125, 7.703125),
                            new float[][] {floats(0.5, 1.75, -0.625), floats(1, 9, 9)})),
            new Row(
                    AmsGrad::of,
                    0.3,
                    xy(-6.70000135526, 1.70000023717), // Keras
                    xy(0.135424698058, 0.318163561179),
                    (p, lr) -> Reference.amsGrad(p, lr, 0.9, 0.999, 1e-7),
                    (s, g, lr, t) -> {
                        double rate = lr * Math.sqrt(1 - Math.pow(0.999, t)) / (1 - Math.pow(0.9, t));
                        s[1] = mean(0.9, s[1], g);
                        s[2] = mean(0.999, s[2], g.times(g));
                        s[3] = s[3].larger(Rounded.exact(1).times(s[2]));
                        Rounded root = s[3].plus(Rounded.exact(0)).sqrt().plus(Rounded.once(1e-7));
                        s[0] = s[0].minus(Rounded.once(rate).times(s[1]).over(root));
                    },
                    new Hand(
                            new AmsGrad(21 / 64.0, 0.5, 0, 0, 1, 0, false, 0, 0),
                            floats(3, 1, -3),
                            floats(8 - 63 / 256.0, 8 - 98 / 256.0, 8 - 77 / 256.0),
                            new float[][] {floats(1.5, 1.25, -0.875), floats(9, 1, 9), floats(9, 9, 9)})),
            new Row(
                    AdaBelief::of,
                    0.3,
                    xy(-6.66666666667, 1.66666666667), // optax
                    xy(1.27127402591, 0.249797155786),
                    (p, lr) -> Reference.adaBelief(p, lr, 0.9, 0.999, 1e-16, 1e-16),
                    (s, g, lr, t) -> {
                        double root = Math.sqrt(1 - Math.pow(0.999, t)), rate = lr * root / (1 - Math.pow(0.9, t));
                        s[1] = mean(0.9, s[1], g);
                        Rounded off = g.minus(s[1]);
                        s[2] = mean(0.999, s[2], off.times(off)).plus(Rounded.once(1e-16));
                        Rounded under = s[2].sqrt().plus(Rounded.once(1e-16 * root));
                        s[0] = s[0].minus(Rounded.once(rate).times(s[1]).over(under));
                    },
                    new Hand(
                            new AdaBelief(21 / 64.0, 0.5, 0, 0, 7, 0, 0),
                            floats(6, 9, 0),
                            floats(8 - 63 / 128.0, 8 - 147 / 128.0, 8 - 183 / 128.0),
                            new float[][] {floats(3, 6, 3), floats(16, 16, 16)})),
            new Row(
                    NAdam::of,
                    0.3,
                    xy(-6.68306447102, 1.68306446729), // PyTorch
                    xy(-1.07320233608, -0.0273879642756),
                    (p, lr) -> Reference.nadam(p, lr, 0.9, 0.999, 0.004, 1e-8),
                    (s, g, lr, t) -> {
                        double root = Math.sqrt(1 - Math.pow(0.999, t)), product = 1;
                        for (int i = 1; i <= t; i++) product *= Reference.nadamMomentum(0.9, 0.004, i);
                        double now = Reference.nadamMomentum(0.9, 0.004, t);
                        double next = Reference.nadamMomentum(0.9, 0.004, t + 1);
                        s[1] = mean(0.9, s[1], g);
                        s[2] = mean(0.999, s[2], g.times(g));
                        Rounded over = Rounded.once(lr * root * (1 - now) / (1 - product))
                                .times(g)
                                .plus(Rounded.once(lr * root * next / (1 - product * next))
                                        .times(s[1]));
                        Rounded under = s[2].sqrt().plus(Rounded.once(1e-8 * root));
                        s[0] = s[0].minus(over.over(under));
                    },
                    new Hand(
                            new NAdam(105 / 64.0, 0.5, 0, Double.POSITIVE_INFINITY, 1, 0, 0),
                            floats(3, 1, -3),
                            floats(8 - 420 / 256.0, 8 - 710 / 256.0, 8 - 481 / 256.0),
                            new float[][] {floats(1.5, 1.25, -0.875), floats(9, 1, 9)})),
            new Row(
                    RAdam::of,
                    0.3,
                    xy(-6.79, 0.8), // PyTorch
                    xy(-5.4337724905, -0.478026608355),
                    (p, lr) -> Reference.radam(p, lr, 0.9, 0.999, 1e-8),
                    (s, g, lr, t) -> {
                        double c1 = 1 - Math.pow(0.9, t), r = Reference.rectification(0.999, t);
                        double root = Math.sqrt(1 - Math.pow(0.999, t));
                        s[1] = mean(0.9, s[1], g);
                        s[2] = mean(0.999, s[2], g.times(g));
                        Rounded under = s[2].sqrt().plus(Rounded.once(1e-8));
                        if (r == 0) s[0] = s[0].minus(Rounded.once(lr / c1).times(s[1]));
                        else
                            s[0] = s[0].minus(
                                    Rounded.once(lr * r * root / c1).times(s[1]).over(under));
                    },
                    new Hand(
                            new RAdam(21 / 64.0, 0.5, 0.75, 5, 0, 1, 0, 0),
                            floats(1, 3, -3),
                            floats(8 - 21 / 64.0, 8 - 70 / 64.0, 8 - 55 / 64.0),
                            new float[][] {floats(0.5, 1.75, -0.625), floats(0.25, 2.4375, 4.078125)})),
            new Row(
                    Adamax::of,
                    0.3,
                    xy(-6.70000000429, 1.70000000075), // PyTorch
                    xy(-1.04069998877, -0.137167845962),
                    (p, lr) -> Reference.adamax(p, lr, 0.9, 0.999, 1e-8),
                    (s, g, lr, t) -> {
                        s[1] = mean(0.9, s[1], g);
                        s[2] = Rounded.once(0.999).times(s[2]).larger(g.abs().plus(Rounded.once(1e-8)));
                        Rounded over = Rounded.once(lr / (1 - Math.pow(0.9, t))).times(s[1]);
                        s[0] = s[0].minus(over.over(s[2].plus(Rounded.exact(0))));
                    },
                    new Hand(
                            new Adamax(21 / 64.0, 0.5, 0.5, 0, 1, 0, 0),
                            floats(3, 0, -7),
                            floats(8 - 126 / 512.0, 8 - 210 / 512.0, 8 - 135 / 512.0),
                            new float[][] {floats(1.5, 0.75, -3.125), floats(4, 2, 8)})),
            new Row(
                    AdaDelta::of,
                    1,
                    xy(-6.99683775461, 1.99683772333), // PyTorch
                    xy(-6.8930685075, 1.89458843278),
                    (p, lr) -> Reference.adaDelta(p, lr, 0.9, 1e-6),
                    (s, g, lr, t) -> {
                        s[1] = mean(0.9, s[1], g.times(g));
                        Rounded own = s[2].plus(Rounded.once(1e-6)).sqrt();
                        Rounded step =
                                own.over(s[1].plus(Rounded.once(1e-6)).sqrt()).times(g);
                        s[2] = mean(0.9, s[2], step.times(step));
                        s[0] = s[0].minus(Rounded.once(lr).times(step));
                    },
                    // Two steps in a row are never rational.
                    new Hand(new AdaDelta(0.5, 0.25, 1, 0, 0), floats(0, 2, 0), floats(8, 7.5, 7.5), new float[][] {
                        floats(0, 3, 0.75), floats(0, 0.75, 0.1875)
                    })),
            new Row(
                    Yogi::of,
                    0.3,
                    UNPUBLISHED,
                    UNPUBLISHED,
                    (p, lr) -> Reference.yogi(p, lr, 0.9, 0.999, 1e-6, 1e-3),
                    (s, g, lr, t) -> {
                        if (t == 1) s[1] = s[2] = Rounded.once(1e-6);
                        double root = Math.sqrt(1 - Math.pow(0.999, t)), rate = lr * root / (1 - Math.pow(0.9, t));
                        Rounded square = g.times(g);
                        s[1] = mean(0.9, s[1], g);
                        s[2] = s[2].minus(Rounded.once(1 - 0.999)
                                .times(square)
                                .times(s[2].minus(square).sign()));
                        Rounded under = s[2].plus(Rounded.exact(0)).sqrt().plus(Rounded.once(1e-3 * root));
                        s[0] = s[0].minus(Rounded.once(rate).times(s[1].over(under)));
                    },
                    new Hand(
                            new Yogi(21 / 64.0, 0.5, 0, 0, 3, 0, 0, 0),
                            floats(5, 12, -12),
                            floats(8 - 210 / 1024.0, 8 - 413 / 1024.0, 8 - 299 / 1024.0),
                            new float[][] {floats(2.5, 7.25, -2.375), floats(25, 169, 25)})),
            new Row(
                    Adan::of,
                    0.3,
                    UNPUBLISHED, // optax's form of it is in ConventionsTest
                    UNPUBLISHED,
                    (p, lr) -> Reference.adan(p, lr, 0.98, 0.92, 0.99, 1e-8, 0),
                    (s, g, lr, t) -> {
                        double c1 = 1 - Math.pow(0.98, t), c2 = 1 - Math.pow(0.92, t), c3 = 1 - Math.pow(0.99, t);
                        Rounded change = t == 1 ? Rounded.exact(0) : g.minus(s[4]);
                        Rounded next = g.plus(Rounded.once(0.92).times(change));
                        s[1] = mean(0.98, s[1], g);
                        s[2] = mean(0.92, s[2], change);
                        s[3] = mean(0.99, s[3], next.times(next));
                        s[4] = g;
                        Rounded over = s[1].plus(Rounded.once(0.92 * c1 / c2).times(s[2]));
                        Rounded under = s[3].plus(Rounded.exact(0)).sqrt().plus(Rounded.once(1e-8 * Math.sqrt(c3)));
                        s[0] = s[0].minus(Rounded.once(lr * Math.sqrt(c3) / c1).times(over.over(under)));
                    },
                    new Hand(
                            new Adan(21 / 64.0, 0.5, 0.5, 0, 0.5, 3, 0, 0, 0),
                            floats(5, -7, 1),
                            floats(8 - 210 / 1024.0, 8 - 63 / 1024.0, 8 - 57 / 1024.0),
                            new float[][] {
                                floats(2.5, -2.25, -0.625), floats(0, -6, 1), floats(25, 169, 25), floats(5, -7, 1)
                            })),
            new Row(
                    AdEMAMix::of,
                    0.3,
                    xy(-6.69985000429, 1.69985000075), // optax
                    xy(0.182311361764, 0.31923970194),
                    (p, lr) -> Reference.adEMAMix(p, lr, 0.9, 0.999, 0.9999, 5, 1e-8),
                    (s, g, lr, t) -> {
                        double root = Math.sqrt(1 - Math.pow(0.999, t));
                        s[1] = mean(0.9, s[1], g);
                        s[2] = mean(0.9999, s[2], g);
                        s[3] = mean(0.999, s[3], g.times(g));
                        Rounded over = Rounded.once(lr * root / (1 - Math.pow(0.9, t)))
                                .times(s[1])
                                .plus(Rounded.once(lr * root * 5).times(s[2]));
                        Rounded under = s[3].plus(Rounded.exact(0)).sqrt().plus(Rounded.once(1e-8 * root));
                        s[0] = s[0].minus(over.over(under));
                    },
                    new Hand(
                            new AdEMAMix(21 / 64.0, 0.5, 0, 0.75, 2, 0, 1, 0, 0, 0),
                            floats(3, 1, -3),
                            floats(8 - 3024 / 8192.0, 8 - 7448 / 8192.0, 8 - 6587 / 8192.0),
                            new float[][] {floats(1.5, 1.25, -0.875), floats(0.75, 0.8125, -0.140625), floats(9, 1, 9)
                            })),
            new Row(
                    Adopt::of,
                    0.3,
                    UNPUBLISHED,
                    UNPUBLISHED,
                    (p, lr) -> Reference.adopt(p, lr, 0.9, 0.9999, 1e-6),
                    (s, g, lr, t) -> {
                        Rounded normed = g.over(s[2].sqrt().larger(Rounded.once(1e-6)));
                        double limit = (float) Math.pow(t - 1, 0.25);
                        if (t > 1) s[1] = mean(0.9, s[1], normed.clamp(limit, limit * 0x1p-24));
                        s[2] = t == 1 ? g.times(g) : mean(0.9999, s[2], g.times(g));
                        s[0] = s[0].minus(Rounded.once(lr).times(s[1]));
                    },
                    new Hand(
                            new Adopt(0.5, 0.5, 0, 1, true, 0, 0),
                            floats(4, 8, -6),
                            floats(8, 7.75, 7.8125),
                            new float[][] {floats(0, 0.5, -0.125), floats(16, 64, 36)})),
            new Row(
                    ScheduleFreeSgd::of,
                    0.5,
                    UNPUBLISHED,
                    UNPUBLISHED,
                    (p, lr) -> Reference.scheduleFreeSgd(p, lr, 0.9, 0, 0),
                    (s, g, lr, t) -> averaged(s, 1, Rounded.once(lr).times(g), 0.9, t),
                    // z is 7.5, 9.5 and 8.5, and x, their average, 7.5, 8.5 and 8.5.
                    new Hand(
                            new ScheduleFreeSgd(0.5, 0.5, 0, 0, 0),
                            floats(1, -4, 2),
                            floats(7.5, 9, 8.5),
                            new float[][] {floats(0, 0.5, 0)})),
            new Row(
                    ScheduleFreeAdamW::of,
                    0.3,
                    xy(-6.70000000429, 1.70000000075), // optax
                    xy(-2.65657632558, -0.171442035599),
                    (p, lr) -> Reference.scheduleFreeAdamW(p, lr, 0.9, 0.999, 1e-8, 0, 0),
                    (s, g, lr, t) -> {
                        double root = Math.sqrt(1 - Math.pow(0.999, t));
                        s[1] = mean(0.999, s[1], g.times(g));
                        Rounded under = s[1].sqrt().plus(Rounded.once(1e-8 * root));
                        averaged(s, 2, Rounded.once(lr * root).times(g).over(under), 0.9, t);
                    },
                    // Steps of 1.5, -1 and 0.5: z is 6.5, 7.5 and 7, and x 6.5, 7 and 7.
                    new Hand(
                            new ScheduleFreeAdamW(2, 0.5, 0, 3, 0, 0, 0),
                            floats(9, -3, 1),
                            floats(6.5, 7.25, 7),
                            new float[][] {floats(81, 9, 1), floats(0, 0.25, 0)})),
            new Row(
                    Lars::of,
                    0.1,
                    xy(-6.9993, 1.9998), // optax
                    xy(-6.85126113529, 1.95750318151),
                    (p, lr) -> Reference.lars(p, lr, 0.9, 0.001),
                    (s, g, lr, t) -> {
                        Rounded ratio = Rounded.once(0.001).times(s[0].abs()).over(g.abs());
                        Rounded rate = Rounded.once(lr).times(ratio);
                        s[1] = Rounded.once(0.9).times(s[1]).plus(rate.times(g));
                        s[0] = s[0].minus(s[1]);
                    },
                    // Ratios of 4/2, 3.5/3.5 and 2.625/6.
                    new Hand(
                            new Lars(0.5, 0.5, 0.5, 1, false, 0, 0),
                            floats(1, 2.5, -5),
                            floats(7, 5.25, 5.46875),
                            new float[][] {floats(1, 1.75, -0.21875)})),
            new Row(
                    NovoGrad::of,
                    0.1,
                    xy(-6.90000014286, 1.900000025), // optax
                    xy(-0.593080452522, -0.093737864189),
                    (p, lr) -> Reference.novoGrad(p, lr, 0.9, 0.25, 1e-6),
                    (s, g, lr, t) -> {
                        Rounded square = g.times(g);
                        Rounded mean = Rounded.once(0.25)
                                .times(s[2].times(s[2]))
                                .plus(Rounded.once(0.75).times(square));
                        s[2] = (t == 1 ? square : mean).sqrt();
                        Rounded normed = Rounded.exact(1)
                                .over(s[2].plus(Rounded.once(1e-6)))
                                .times(g);
                        s[1] = Rounded.once(0.9).times(s[1]).plus(normed);
                        s[0] = s[0].minus(Rounded.once(lr).times(s[1]));
                    },
                    // 0.75·9 + 0.25·9 is 9, and with 169 in the place of the second 49.
                    new Hand(
                            new NovoGrad(0.5, 0.5, 0.75, 1, 0, true, false, false, 0, 0),
                            floats(3, -3, -13),
                            floats(7.625, 7.8125, 8.71875),
                            new float[][] {floats(0.75, -0.375, -1.8125), floats(3, 3, 7)})),
            new Row(
                    Lamb::of,
                    0.1,
                    xy(-6.3, 1.8), // optax
                    xy(-0.296738107927, 0.0847823165504),
                    (p, lr) -> Reference.lamb(p, lr, 0.9, 0.999, 1e-6),
                    (s, g, lr, t) -> {
                        double root = Math.sqrt(1 - Math.pow(0.999, t));
                        s[1] = mean(0.9, s[1], g);
                        s[2] = mean(0.999, s[2], g.times(g));
                        Rounded u = Rounded.once(root / (1 - Math.pow(0.9, t)))
                                .times(s[1])
                                .over(s[2].sqrt().plus(Rounded.once(1e-6 * root)));
                        // Whatever u is, ‖p‖/‖u‖ of its own float is times it: the sign, and the roundings of the ratio
                        // and of two products.
                        Rounded unit = u.sign().times(Rounded.exact(1)).times(Rounded.exact(1));
                        s[0] = s[0].minus(Rounded.once(lr).times(unit).times(s[0].abs()));
                    },
                    // u is 1/4 twice, then 0, and the rates 21/32 and 7/16.
                    new Hand(
                            new Lamb(21 / 64.0, 0.5, 0, 1, 0, 64, false, true, true, 0, 0),
                            floats(1, 0, -0.25),
                            floats(2.75, 1.546875, 1.546875),
                            new float[][] {floats(0.5, 0.25, 0), floats(1, 0, 0.0625)})),
            new Row(
                    Adafactor::of,
                    0.3,
                    xy(-4.9, 1.4), // PyTorch
                    xy(-0.23229669844, 0.0663704852685),
                    (p, lr) -> Reference.adafactor(p, lr, 0.8, 1e-30, 0.001, 1),
                    (s, g, lr, t) -> {
                        double rest = Math.pow(t, -0.8);
                        s[3] = mean(1 - rest, s[3], g.times(g));
                        Rounded u = g.times(Rounded.exact(1).over(s[3].sqrt()));
                        Rounded size = s[0].abs().larger(Rounded.once(0.001));
                        Rounded rate = Rounded.once(Math.min(lr, 1 / Math.sqrt(t)));
                        Rounded trust = rate.times(size).over(u.abs().larger(Rounded.exact(1)));
                        s[0] = s[0].minus(trust.times(u));
                    },
                    // Of a vector: u is 1 or −1, halved, and a quarter of p its unit.
                    new Hand(
                            new Adafactor(0.25, 1, 0, 0x1p-10, 0.5, 0.5, true, true, 1, 0, 0),
                            floats(4, -4, 4),
                            floats(7, 7.875, 6.890625),
                            new float[][] {floats(16, 16, 16)})));

    /** The Schedule-Free step of z, without warm-up, as it moves p and the array that has z − p. */
    private static void averaged(Rounded[] s, int d, Rounded step, double beta, int t) {
        Rounded before = s[d];
        s[d] = Rounded.once(1 - 1.0 / t).times(before.minus(Rounded.once(beta).times(step)));
        s[0] = s[0].minus(step.minus(before).plus(s[d]));
    }

    /** β·m + (1 − β)·x, as every mean is taken. */
    private static Rounded mean(double beta, Rounded m, Rounded x) {
        return Rounded.once(beta).times(m).plus(Rounded.once(1 - beta).times(x));
    }

    static List<Row> table() {
        return TABLE;
    }

    /** The size of a set of gradients that a law is tried on, and its seed. */
    private static final int SIZE = 1000;

    private static final long SEED = 20261123;

    @Test
    void theTableIsComplete() {
        Set<Class<?>> rows =
                TABLE.stream().map(row -> row.of.apply(1).getClass()).collect(Collectors.toSet());
        Set<Class<?>> expected = new HashSet<>(Set.of(Rule.class.getPermittedSubclasses()));
        assertTrue(expected.remove(CustomRule.class), "whose rules are not ours");
        assertTrue(expected.remove(TensorRule.class), "which is no rule");
        expected.addAll(Set.of(TensorRule.class.getPermittedSubclasses()));
        assertTrue(expected.remove(FactoredRule.class), "nor is that");
        expected.addAll(Set.of(FactoredRule.class.getPermittedSubclasses()));
        assertTrue(
                expected.remove(MatrixRule.class),
                "whose laws are in MuonTest, for they are not of bits, nor of vectors");
        assertEquals(expected, rows);
        expected.addAll(Set.of(MatrixRule.class.getPermittedSubclasses()));
        assertEquals(expected, Set.copyOf(Rule.classes()));
    }

    @ParameterizedTest
    @MethodSource("table")
    void threeStepsWorkedOutByHand(Row row) {
        Hand hand = row.hand;
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(floats(8)), g = engine.zeros(1);
            Optimizer optimizer = engine.optimizer(hand.rule);
            for (int t = 0; t < hand.gradients.length; t++) {
                g.set(hand.gradients[t]);
                optimizer.update(p, g);
                assertEquals(hand.p[t], p.get()[0], "p after step " + (t + 1));
                // Without what a vector has no elements of.
                List<Map.Entry<String, Tensor>> state = optimizer.state(Optimizer.SINGLE).entrySet().stream()
                        .filter(array -> array.getValue().size() > 0)
                        .toList();
                assertEquals(hand.state.length, state.size());
                for (int a = 0; a < state.size(); a++) {
                    assertEquals(
                            hand.state[a][t],
                            state.get(a).getValue().get()[0],
                            state.get(a).getKey() + " after step " + (t + 1));
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("table")
    void theReferenceWalksTheBooksPath(Row row) {
        Reference x = row.reference.at(-7, row.toyRate), y = row.reference.at(2, row.toyRate);
        for (int t = 1; t <= 30; t++) {
            x.step(x.p / 10);
            y.step(2 * y.p);
            if (t == 1 && row.first != UNPUBLISHED) assertArrayEquals(row.first, xy(x.p, y.p), PRINTED);
        }
        if (row.thirtieth != UNPUBLISHED) assertArrayEquals(row.thirtieth, xy(x.p, y.p), PRINTED);
    }

    @ParameterizedTest
    @MethodSource("table")
    void theEngineWalksTheBooksPath(Row row) {
        Reference x = row.reference.at(-7, row.toyRate), y = row.reference.at(2, row.toyRate);
        try (Engine engine = Engines.open()) {
            Valley valley = new Valley(engine);
            Optimizer optimizer = engine.optimizer(row.of.apply(row.toyRate));
            for (int t = 1; t <= 30; t++) {
                valley.step(optimizer);
                x.step(x.p / 10);
                y.step(2 * y.p);
                if (t == 1) assertArrayEquals(xy(x.p, y.p), valley.xy(), 2e-6);
            }
            assertArrayEquals(xy(x.p, y.p), valley.xy(), carried(row.of.apply(row.toyRate)));
        }
    }

    /**
     * How far a float path may be off after thirty steps. What rounding adds dies away where a smaller gradient makes a smaller step. Steps by the sign
     * alone carry to the end what each loses: half of the last bit of a number below 8. Rprop's, of which the first fifteen cover 7, are themselves off
     * by three roundings for each time that they grew.
     */
    static double carried(Rule rule) {
        double steps = 30 * 0x1p-22;
        if (rule instanceof Rprop) return steps + 7 * 15 * 3 * 0x1p-24;
        // Where norms are divided by, one element goes by its sign, too, after some roundings of a step of at most a
        // tenth.
        if (rule instanceof TensorRule) return 2 * steps;
        return rule instanceof Lion || rule instanceof SignSgd ? steps : 2e-6;
    }

    /**
     * The float32 engine against the float64 definition, over 50 steps of gradients from 1e-6 to 1e6. The bound is not chosen: it follows the
     * step's own operations by running error analysis, see {@link Rounded}. Its one margin, 1 + 1e-6, is for the roundings of double.
     */
    @ParameterizedTest
    @MethodSource("table")
    void floatStaysWithinItsErrorBoundOfTheDefinition(Row row) {
        Random random = new Random(SEED);
        double lr = 0.01;
        Rule rule = row.of.apply(lr);
        // Of a rule that looks at a whole tensor the definition is that of tensors of one element, many of which take
        // the GPU in software long.
        boolean whole = rule instanceof TensorRule;
        int size = whole && Engines.onSoftware() ? SIZE / 10 : SIZE;
        float[] start = new float[size];
        for (int i = 0; i < size; i++) start[i] = (float) random.nextGaussian();
        Reference[] exact = new Reference[size];
        Rounded[][] bound = new Rounded[size][1 + rule.state().size()];
        for (int i = 0; i < size; i++) {
            exact[i] = row.reference.at(start[i], lr);
            Arrays.fill(bound[i], Rounded.exact(0));
            bound[i][0] = Rounded.exact(start[i]);
        }
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(start), g = engine.zeros(size);
            Map<String, Tensor> ps = new LinkedHashMap<>(), gs = new LinkedHashMap<>();
            for (int i = 0; i < size && whole; i++) {
                ps.put("p" + i, engine.tensor(floats(start[i])));
                gs.put("p" + i, engine.zeros(1));
            }
            Optimizer optimizer = engine.optimizer(rule);
            float[] gradient = new float[size];
            double worst = 0;
            for (int t = 1; t <= 50; t++) {
                for (int i = 0; i < size; i++) {
                    gradient[i] = (float) (random.nextGaussian() * Math.pow(10, 12 * random.nextDouble() - 6));
                    exact[i].step(gradient[i]);
                    row.rounded.step(bound[i], Rounded.exact(gradient[i]), lr, t);
                }
                float[] actual = new float[size];
                if (whole) {
                    for (int i = 0; i < size; i++) gs.get("p" + i).set(gradient[i]);
                    optimizer.update(ps, gs);
                    for (int i = 0; i < size; i++) actual[i] = ps.get("p" + i).get()[0];
                } else {
                    g.set(gradient);
                    optimizer.update(p, g);
                    actual = p.get();
                }
                for (int i = 0; i < size; i++) {
                    double off = Math.abs(actual[i] - exact[i].p), allowed = bound[i][0].error() * (1 + 1e-6);
                    assertTrue(
                            off <= allowed,
                            "element " + i + " at step " + t + ": off by " + off + ", allowed " + allowed);
                    worst = Math.max(worst, off / allowed);
                }
            }
            assertTrue(
                    worst > 1e-3,
                    "a bound a thousand times too wide says nothing; the worst error is " + worst + " of it");
        }
    }

    @ParameterizedTest
    @MethodSource("table")
    void halvesMakeTheWholeAndNeighboursStayUntouched(Row row) {
        Rule rule = row.of.apply(0.01);
        float[] k = new float[Rule.SCALARS];
        rule.at(3, k);
        float[][] whole = randomArrays(rule), halves = randomArrays(rule), before = randomArrays(rule);
        WholeTensor.loops(rule, k, 1, 1, 10, SIZE - 10, whole[0], whole[1], state(whole));
        WholeTensor.loops(rule, k, 1, 1, SIZE / 3, SIZE - 10, halves[0], halves[1], state(halves));
        WholeTensor.loops(rule, k, 1, 1, 10, SIZE / 3, halves[0], halves[1], state(halves));
        for (int a = 0; a < whole.length; a++) {
            assertSameBits(whole[a], halves[a]);
            for (int i : new int[] {0, 9, SIZE - 10, SIZE - 1}) assertEquals(before[a][i], whole[a][i]);
        }
        assertSameBits(before[1], whole[1]);
    }

    /** Names stand in checkpoints, so they are told, and stay. */
    @ParameterizedTest
    @MethodSource("kudari.LawsTest#rules")
    void theNamesOfTheStateAreThoseOfThePage(Rule rule) {
        String told = RulePage.of(rule.getClass()).part("State");
        for (String name : rule.state()) {
            assertTrue(Pattern.compile("\\b" + name + "\\b").matcher(told).find(), name + " is not in: " + told);
        }
    }

    /** Those whose arrays start at 0 and have nothing added but squares, and which of their arrays those are. */
    static Stream<Arguments> squares() {
        return Stream.of(
                Arguments.of(AdaGrad.of(0.01), "h"),
                Arguments.of(RmsProp.of(0.01), "h"),
                Arguments.of(RmsPropMomentum.of(0.01), "h"),
                Arguments.of(RmsPropCentered.of(0.01), "h"),
                Arguments.of(Madgrad.of(0.01), "v"),
                Arguments.of(Ftrl.of(0.01).beta(1).initialAccumulator(0), "n"),
                Arguments.of(Adam.of(0.01), "v"),
                Arguments.of(AmsGrad.of(0.01), "v"),
                Arguments.of(AdaBelief.of(0.01).epsRoot(0), "s"),
                Arguments.of(NAdam.of(0.01), "v"),
                Arguments.of(RAdam.of(0.01), "v"),
                Arguments.of(AdaDelta.of(0.01), "h"),
                Arguments.of(Yogi.of(0.01).initialAccumulator(0), "v"),
                Arguments.of(Adan.of(0.01), "n"),
                Arguments.of(AdEMAMix.of(0.01), "v"),
                Arguments.of(Adopt.of(0.01), "v"),
                Arguments.of(ScheduleFreeAdamW.of(0.01), "v"));
    }

    /** A gradient 2⁵⁰ times smaller has a square 2¹⁰⁰ times smaller; a thousandth of that, some 2⁻¹¹⁰, is rounded to a multiple of 2⁻¹²⁶. */
    @ParameterizedTest
    @MethodSource("squares")
    void theSquareOfAFaintGradientIsKept(Rule rule, String name) {
        int array = rule.state().indexOf(name);
        float[][] strong = randomArrays(rule), faint = randomArrays(rule);
        for (int a = 2; a < strong.length; a++) {
            Arrays.fill(strong[a], 0);
            Arrays.fill(faint[a], 0);
        }
        for (int i = 0; i < SIZE; i++) {
            strong[1][i] = Math.copySign(1 + Math.abs(strong[1][i]), strong[1][i]); // 1 to some 4
            faint[1][i] = strong[1][i] * 0x1p-50f;
        }
        float[] k = new float[Rule.SCALARS];
        rule.at(1, k);
        WholeTensor.loops(rule, k, 1, 1, 0, SIZE, strong[0], strong[1], state(strong));
        WholeTensor.loops(rule, k, 1, 1, 0, SIZE, faint[0], faint[1], state(faint));
        for (int i = 0; i < SIZE; i++) {
            assertTrue(strong[2 + array][i] > 0);
            float expected = strong[2 + array][i] * 0x1p-100f;
            assertEquals(expected, faint[2 + array][i], expected * 0x1p-15f);
        }
    }

    /** Bit for bit: {@link Rule} says that a rule sees scale·g + l2·p, wherever its loops look at a gradient. */
    @ParameterizedTest
    @MethodSource("table")
    void aScaleAndCoupledDecayAreAnotherGradientAndNothingElse(Row row) {
        Rule plain = row.of.apply(0.01), coupled = plain.l2(0.25);
        float[][] a = randomArrays(plain), b = randomArrays(plain);
        float[] k = new float[Rule.SCALARS];
        for (int t = 1; t <= 5; t++) {
            for (int i = 0; i < SIZE; i++) {
                float scaled = -0.375f * a[1][i], share = 0.25f * a[0][i];
                b[1][i] = scaled + share;
            }
            coupled.at(t, k);
            WholeTensor.loops(coupled, k, -0.375f, 1, 0, SIZE, a[0], a[1], state(a));
            plain.at(t, k);
            WholeTensor.loops(plain, k, 1, 1, 0, SIZE, b[0], b[1], state(b));
            assertSameBits(b[0], a[0]);
            for (int n = 2; n < a.length; n++) assertSameBits(b[n], a[n]);
        }
    }

    /**
     * {@link Rule} says p − trust·(u + lr·decay·p), where u is what the step takes off without either, known up to a rounding of p. Each of the three
     * other operations rounds once. The state hears nothing of it. Those whose decay is in u have no other.
     */
    @ParameterizedTest
    @MethodSource("table")
    void trustAndDecoupledDecayChangeTheParameterAlone(Row row) {
        Rule plain = row.of.apply(0.5), decoupled = plain.decay(LawsRules.decaysInside(plain) ? 0 : 0.25);
        // Those have trust in lines of their own.
        float trust = plain instanceof TensorRule && !(plain instanceof Lamb) ? 1 : 0.375f;
        float[][] before = randomArrays(plain), without = randomArrays(plain), with = randomArrays(plain);
        float[] k = new float[Rule.SCALARS];
        plain.at(3, k);
        WholeTensor.loops(plain, k, 1, 1, 0, SIZE, without[0], without[1], state(without));
        decoupled.at(3, k);
        WholeTensor.loops(decoupled, k, 1, trust, 0, SIZE, with[0], with[1], state(with));
        for (int i = 0; i < SIZE; i++) {
            double p = before[0][i], u = p - without[0][i], decay = 0.5 * decoupled.decay() * p;
            double expected = p - trust * (u + decay);
            double allowed = 4 * 0x1p-24 * (Math.abs(p) + Math.abs(u) + Math.abs(decay));
            assertEquals(expected, with[0][i], allowed, "element " + i);
        }
        for (int n = 2; n < with.length; n++) assertSameBits(without[n], with[n]);
    }

    @ParameterizedTest
    @MethodSource("table")
    void aRateOfZeroLeavesTheParametersUntouched(Row row) {
        try (Engine engine = Engines.open()) {
            float[] start = randomArrays(row.of.apply(0))[0];
            Tensor p = engine.tensor(start), g = engine.tensor(randomArrays(row.of.apply(0))[1]);
            Optimizer optimizer = engine.optimizer(row.of.apply(0));
            for (int t = 0; t < 10; t++) optimizer.update(p, g);
            assertSameBits(start, p.get());
        }
    }

    @ParameterizedTest
    @MethodSource("table")
    void aResumedRunComputesTheBitsOfOneThatNeverStopped(Row row) {
        Rule rule = row.of.apply(0.01);
        float[] start = randomArrays(rule)[0];
        try (Engine engine = Engines.open()) {
            Tensor straight = engine.tensor(start), first = engine.tensor(start), g = engine.zeros(SIZE);
            Optimizer never = engine.optimizer(rule), stopped = engine.optimizer(rule);
            Random random = new Random(SEED);
            for (int t = 1; t <= 20; t++) {
                g.set(gradient(random));
                never.update(Map.of("W", straight), Map.of("W", g));
                stopped.update(Map.of("W", first), Map.of("W", g));
                if (t == 7) {
                    Optimizer resumed = engine.optimizer(rule);
                    resumed.resume(stopped.steps(), Map.of("W", stopped.state("W")));
                    stopped = resumed;
                }
            }
            assertSameBits(straight.get(), first.get());
            assertEquals(20, stopped.steps());
            assertSameState(never.state("W"), stopped.state("W"));
        }
    }

    @ParameterizedTest
    @MethodSource("table")
    void manyTensorsAtOnceEqualTheRulesLoopOverEach(Row row) {
        Rule rule = row.of.apply(0.01);
        Random random = new Random(SEED);
        try (Engine engine = Engines.open()) {
            Map<String, Tensor> params = new LinkedHashMap<>(), grads = new LinkedHashMap<>();
            Map<String, float[][]> expected = new LinkedHashMap<>();
            for (int size : new int[] {0, 1, 3, 255, 256, 257, 1000, 16_383, 16_384, 16_385, 100_003}) {
                float[] values = uniform(random, size);
                float[][] arrays = new float[2 + rule.state().size()][size];
                arrays[0] = values.clone();
                for (int a = 2; a < arrays.length; a++) {
                    arrays[a] = new float[(int) Tensor.size(rule.shape(a - 2, new long[] {size}))];
                    Arrays.fill(arrays[a], rule.initial(a - 2));
                }
                expected.put("W" + size, arrays);
                params.put("W" + size, engine.tensor(values));
                grads.put("W" + size, engine.zeros(size));
            }
            Optimizer optimizer = engine.optimizer(rule);
            float[] k = new float[Rule.SCALARS];
            for (int t = 1; t <= 5; t++) {
                rule.at(t, k);
                for (Map.Entry<String, float[][]> entry : expected.entrySet()) {
                    float[][] arrays = entry.getValue();
                    arrays[1] = uniform(random, arrays[0].length);
                    grads.get(entry.getKey()).set(arrays[1]);
                    WholeTensor.step(rule, k, 1, arrays[0], arrays[1], state(arrays));
                }
                optimizer.update(params, grads);
            }
            expected.forEach((name, arrays) -> {
                assertSameBits(arrays[0], params.get(name).get());
                List<Tensor> state = List.copyOf(optimizer.state(name).values());
                for (int a = 0; a < state.size(); a++)
                    assertSameBits(arrays[2 + a], state.get(a).get());
            });
        }
    }

    private static float[] uniform(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = random.nextFloat() - 0.5f;
        return values;
    }

    static Stream<Pair> degenerateForms() {
        Rule sgd = Sgd.of(0.01);
        return Stream.of(
                new Pair("Momentum with μ = 0 is Sgd", Momentum.of(0.01).momentum(0), sgd, 1),
                new Pair(
                        "Momentum outside with μ = 0 is Sgd",
                        Momentum.pytorch(0.01).momentum(0),
                        sgd,
                        1),
                new Pair("Nesterov with μ = 0 is Sgd", Nesterov.of(0.01).momentum(0), sgd, 1),
                new Pair(
                        "Nesterov outside with μ = 0 is Sgd",
                        Nesterov.pytorch(0.01).momentum(0),
                        sgd,
                        1),
                new Pair(
                        "Adam with β₁ = 0 is RmsProp when the correction has died away",
                        new Adam(0.01, 0, 0.99, 0, 1e-7, 0, true, 0, 0),
                        RmsProp.of(0.01),
                        1_000_000),
                new Pair(
                        "Adam without bias correction is Adam when the correction has died away",
                        Adam.of(0.01).biasCorrection(false),
                        Adam.of(0.01),
                        1_000_000),
                new Pair(
                        "Adam's two places for ε agree when the correction has died away",
                        new Adam(0.01, 0.9, 0.99, 0, 1e-7, 0, true, 0, 0),
                        new Adam(0.01, 0.9, 0.99, 1e-7, 0, 0, true, 0, 0),
                        1_000_000));
    }

    record Pair(String name, Rule rule, Rule simpler, long t) {
        @Override
        public String toString() {
            return name;
        }
    }

    @ParameterizedTest
    @MethodSource("degenerateForms")
    void aRuleReducesToItsNeighbour(Pair pair) {
        float[][] a = randomArrays(pair.rule), b = randomArrays(pair.simpler);
        // The last state array is the one the two have in common: h and v.
        if (!pair.simpler.state().isEmpty()) b[b.length - 1] = a[a.length - 1].clone();
        if (pair.simpler.state().isEmpty()) for (int s = 2; s < a.length; s++) Arrays.fill(a[s], 0);
        float[] k = new float[Rule.SCALARS];
        for (int step = 0; step < 5; step++) {
            pair.rule.at(pair.t + step, k);
            pair.rule.apply(k, 1, 1, 0, SIZE, a[0], a[1], state(a));
            pair.simpler.at(pair.t + step, k);
            pair.simpler.apply(k, 1, 1, 0, SIZE, b[0], b[1], state(b));
        }
        assertSameBits(b[0], a[0]);
    }

    /** A parameter, a gradient and state that is positive, as sums and means of squares are; the same on every call. */
    private static float[][] randomArrays(Rule rule) {
        Random random = new Random(SEED);
        float[][] arrays = new float[2 + rule.state().size()][SIZE];
        for (int i = 0; i < SIZE; i++) {
            arrays[0][i] = (float) random.nextGaussian();
            arrays[1][i] = (float) random.nextGaussian();
        }
        for (int a = 2; a < arrays.length; a++) for (int i = 0; i < SIZE; i++) arrays[a][i] = random.nextFloat();
        return arrays;
    }

    private static float[] gradient(Random random) {
        float[] gradient = new float[SIZE];
        for (int i = 0; i < SIZE; i++) gradient[i] = (float) random.nextGaussian();
        return gradient;
    }

    private static float[][] state(float[][] arrays) {
        return Arrays.copyOfRange(arrays, 2, arrays.length);
    }

    static void assertSameState(Map<String, Tensor> expected, Map<String, Tensor> actual) {
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach(
                (name, tensor) -> assertSameBits(tensor.get(), actual.get(name).get()));
    }

    /** The same bits, but for what a NaN carries. */
    static void assertSameBits(float[] expected, float[] actual) {
        assertEquals(expected.length, actual.length);
        int i = Arrays.mismatch(expected, actual); // tells −0 from 0, and no NaN from another
        if (i >= 0)
            assertEquals(Float.floatToIntBits(expected[i]), Float.floatToIntBits(actual[i]), "bits of element " + i);
    }

    private static double[] xy(double x, double y) {
        return new double[] {x, y};
    }

    static double[] doubles(float[] values) {
        double[] doubles = new double[values.length];
        for (int i = 0; i < values.length; i++) doubles[i] = values[i];
        return doubles;
    }

    static float[] floats(double... values) {
        float[] floats = new float[values.length];
        for (int i = 0; i < values.length; i++) floats[i] = (float) values[i];
        return floats;
    }
}
