package kudari;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import kudari.rule.AdaGrad;
import kudari.rule.Adam;
import kudari.rule.Momentum;
import kudari.rule.Nesterov;
import kudari.rule.RmsProp;
import kudari.rule.Rule;
import kudari.rule.ScheduleFreeAdamW;
import kudari.rule.ScheduleFreeSgd;
import kudari.rule.Sgd;
import kudari.rule.TensorRule;

/**
 * An optimizer in the plainest Java, written from the documentation of rules, groups and guards and not from their loops: element by element, one
 * float operation after the other, without windows, rings, chunks or threads. What the engines compute is held against it to the last bit.
 *
 * <p>Its sums of squares are taken in one plain loop. That they are those of the engines' trees of additions, too, is for whoever gives it gradients to
 * see to: multiples of a power of two whose squares add up without rounding. Those over one tensor, of rules that look at it, are in the engines' order.
 */
final class Plain {

    /** What a group of names is told. */
    interface Rules {
        Rule rule(long t);
    }

    /** The parameters, numbers of their types. */
    final Map<String, float[]> params = new TreeMap<>();

    /** Of those that are not of float32 the type, and how the float32 value of each is kept. */
    final Map<String, Dtype> types = new HashMap<>();

    Master master = Master.FLOAT32;

    /** In how many bits the state is; of those in 8 bits the codes, and behind the rule's arrays the largest magnitude of each block. */
    StateFormat format = StateFormat.FLOAT32;

    /** The float32 values of parameters that have remainders. */
    private final Map<String, float[]> values = new HashMap<>();

    final Map<String, float[][]> states = new HashMap<>();
    private final Guard guard;

    /** What gradients are of: where they are of a loss times a scale, that is halved by an overflow and doubled after two good steps. */
    boolean scalesLoss;

    float lossScale = 1;
    long good;

    /** What a gradient is multiplied by where no norm is too large. */
    private double by;

    final Average average;
    final List<Rules> groups = new ArrayList<>();
    final List<Long> counts = new ArrayList<>();
    long steps, skipped;
    double norm;

    Plain(Guard guard, Average average) {
        this.guard = guard;
        this.average = average;
    }

    /** A step over some parameters: of each name its group, or −1 for one that is frozen. */
    void update(Map<String, float[]> grads, Map<String, Integer> groupOf) {
        Map<String, Double> norms = new HashMap<>();
        by = guard.scale() / lossScale;
        double sum = 0;
        for (String name : grads.keySet()) {
            if (groupOf.get(name) < 0) continue;
            double own = 0;
            for (float g : grads.get(name)) own += (double) g * g;
            norms.put(name, by * Math.sqrt(own));
            sum += own;
        }
        norm = by * Math.sqrt(sum);
        if (guard.skips() && !Double.isFinite(norm)) {
            skipped++;
            if (scalesLoss) lossScale /= 2;
            good = 0;
            return;
        }
        if (scalesLoss && ++good == 2) {
            lossScale *= 2;
            good = 0;
        }
        steps++;
        for (int n = 0; n < groups.size(); n++) {
            if (groupOf.entrySet().stream().noneMatch(of(n, grads))) continue;
            counts.set(n, counts.get(n) + 1);
            Rule rule = groups.get(n).rule(steps);
            for (String name : grads.keySet()) {
                if (groupOf.get(name) == n) step(name, rule, counts.get(n), grads.get(name), norms.get(name));
            }
        }
    }

    private static Predicate<Map.Entry<String, Integer>> of(int group, Map<String, float[]> grads) {
        return entry -> entry.getValue() == group && grads.containsKey(entry.getKey());
    }

    /** The rules that {@link #move} has lines of. Any other goes by its own loop, of one element at a time. */
    private static final Set<Class<?>> WRITTEN =
            Set.of(Sgd.class, Momentum.class, Nesterov.class, AdaGrad.class, RmsProp.class, Adam.class);

    private void step(String name, Rule rule, long t, float[] grad, double ownNorm) {
        float[] param = params.get(name);
        float[][] s = states.computeIfAbsent(name, key -> start(name, rule, param));
        int kept = s.length - (average.isKept() ? 2 : 1);
        boolean split = types.containsKey(name) && master.kind() == Master.Kind.REMAINDER;
        float[] p = hasMaster(name) ? s[kept] : split ? values.computeIfAbsent(name, key -> param.clone()) : param;
        float[][] own = unpacked(rule, s, p.length);
        move(rule, t, grad, ownNorm, p, own);
        pack(name, rule, own, s);
        if (average.isKept()) average(p, s[s.length - 1], t);
        for (int i = 0; i < p.length && split; i++) {
            param[i] = nearestAway(p[i]);
            int rest = p[i] == p[i] ? Float.floatToRawIntBits(p[i]) - Float.floatToRawIntBits(param[i]) : 0;
            s[kept][i] = Float.intBitsToFloat(rest << 16);
        }
        for (int i = 0; i < p.length && types.containsKey(name) && !split; i++)
            param[i] = hasMaster(name) || master.kind() == Master.Kind.NEAREST
                    ? nearest(types.get(name), p[i])
                    : stochastic(p[i], random(Philox.key(master.seed(), name), i));
    }

    private boolean hasMaster(String name) {
        return types.containsKey(name) && master.kind() == Master.Kind.FLOAT32;
    }

    /** The nearest number of a type, ties to even; as the format is defined. */
    static float nearest(Dtype type, float x) {
        if (type == Dtype.F32 || x == 0 || !Float.isFinite(x)) return x;
        double unit = unit(type, x), rounded = Math.rint(x / unit) * unit;
        double largest = type == Dtype.F16 ? 65504 : 0x1.fep127;
        return Math.abs(rounded) > largest ? (float) Math.copySign(Double.POSITIVE_INFINITY, rounded) : (float) rounded;
    }

    /** The nearest bfloat16, ties away from zero. */
    private static float nearestAway(float x) {
        if (x == 0 || !Float.isFinite(x)) return x;
        double unit = unit(Dtype.BF16, x), rounded = Math.floor(Math.abs(x) / unit + 0.5) * unit;
        return (float) Math.copySign(rounded > 0x1.fep127 ? Double.POSITIVE_INFINITY : rounded, x);
    }

    /** How far the numbers of a type are from each other where x is. */
    private static double unit(Dtype type, float x) {
        int fraction = type == Dtype.F16 ? 10 : 7, least = type == Dtype.F16 ? -14 : -126;
        return Math.scalb(1.0, Math.max(Math.getExponent(x), least) - fraction);
    }

    /** Of the two bfloat16 around x the farther from zero where what x has beyond the nearer, in 65536ths of their distance, and the random bits make a whole. */
    private static float stochastic(float x, int random) {
        if (x == 0 || !Float.isFinite(x)) return x;
        double unit = unit(Dtype.BF16, x), m = Math.abs((double) x) / unit, below = Math.floor(m);
        double up = (m - below) * 65536 + random >= 65536 ? 1 : 0;
        return (float) Math.copySign((below + up) * unit, x);
    }

    private int random(long key, int i) {
        return philox.bits(key, steps, i / Philox.ELEMENTS, 1)[i % Philox.ELEMENTS];
    }

    private final Philox philox = new Philox();

    /** What is to be used of a parameter: its average; else, under a Schedule-Free rule, what lies beyond it as seen from z. */
    float[] used(String name, Rule rule) {
        float[] used = params.get(name).clone();
        float[][] s = states.get(name);
        if (average.isKept()) {
            for (int i = 0; i < used.length; i++)
                used[i] = nearest(types.getOrDefault(name, Dtype.F32), s[s.length - 1][i]);
            return used;
        }
        double beta = rule instanceof ScheduleFreeSgd sgd
                ? sgd.beta()
                : rule instanceof ScheduleFreeAdamW adam ? adam.beta1() : 1;
        if (beta == 1) return used;
        float beyond = (float) (1 - 1 / beta);
        float[] d = s[rule.state().size() - 1];
        float[] from = hasMaster(name) ? s[s.length - 1] : values.getOrDefault(name, used);
        for (int i = 0; i < used.length; i++)
            used[i] = nearest(types.getOrDefault(name, Dtype.F32), from[i] + beyond * d[i]);
        return used;
    }

    /** Of what type an array of a rule is. */
    Dtype packing(Rule rule, int array, int elements) {
        Rule.Compression compression = rule.compression(array);
        if (format == StateFormat.BFLOAT16 && compression == Rule.Compression.SIGNED) return Dtype.BF16;
        if (format == StateFormat.BFLOAT16_STOCHASTIC && compression != Rule.Compression.NONE) return Dtype.BF16;
        boolean blocks = format == StateFormat.BLOCKWISE_8BIT && elements >= 4096;
        return blocks && compression != Rule.Compression.NONE ? Dtype.U8 : Dtype.F32;
    }

    /** The values of bitsandbytes' dynamic map, by the steps of its own making of them: for each decade the means of neighbouring points of an even cut. */
    static float[] dynamicMap(boolean signed) {
        List<Double> all = new ArrayList<>(List.of(0.0, 1.0));
        for (int decade = 0; decade < 7; decade++) {
            int points = (signed ? 1 << decade : 2 << decade) + 1;
            for (int i = 1; i < points; i++) {
                double mean = (0.1 + 0.9 * (i - 1) / (points - 1) + 0.1 + 0.9 * i / (points - 1)) / 2;
                double value = mean * Math.pow(10, decade - 6);
                all.add(value);
                if (signed) all.add(-value);
            }
        }
        all.sort(null);
        float[] map = new float[all.size()];
        for (int i = 0; i < map.length; i++) map[i] = all.get(i).floatValue();
        return map;
    }

    private static final float[] SIGNED = dynamicMap(true), UNSIGNED = dynamicMap(false);

    private static float[] map(Rule rule, int array) {
        return rule.compression(array) == Rule.Compression.SIGNED ? SIGNED : UNSIGNED;
    }

    /** The float32 state that a step begins with. */
    private float[][] unpacked(Rule rule, float[][] s, int elements) {
        float[][] own = s.clone();
        int block = rule.state().size();
        for (int a = 0; a < rule.state().size(); a++) {
            if (packing(rule, a, elements) != Dtype.U8) continue;
            float[] largest = s[block++];
            own[a] = new float[elements];
            for (int i = 0; i < elements; i++) own[a][i] = map(rule, a)[(int) s[a][i]] * largest[i / 256];
        }
        return own;
    }

    /** The other way round. */
    private void pack(String name, Rule rule, float[][] own, float[][] s) {
        int block = rule.state().size();
        for (int a = 0; a < rule.state().size(); a++) {
            Dtype packing = packing(rule, a, own[a].length);
            for (int i = 0; i < own[a].length && packing == Dtype.BF16; i++)
                s[a][i] = format == StateFormat.BFLOAT16
                        ? nearest(Dtype.BF16, own[a][i])
                        : stochastic(own[a][i], random(Philox.key(Philox.key(master.seed(), name), a), i));
            if (packing != Dtype.U8) continue;
            float[] largest = s[block++], map = map(rule, a);
            Arrays.fill(largest, 0);
            for (int i = 0; i < own[a].length; i++) {
                float so = Math.max(largest[i / 256], Math.abs(own[a][i]));
                largest[i / 256] = Float.isFinite(so) ? so : Float.NaN;
            }
            for (int i = 0; i < own[a].length; i++) {
                float of = largest[i / 256], x = of >= Float.MIN_NORMAL ? own[a][i] * (1 / of) : own[a][i] * 0;
                int code = 0;
                while (code < 255 && x > (map[code] + map[code + 1]) * 0.5f) code++;
                s[a][i] = code;
            }
        }
    }

    private void average(float[] p, float[] a, long t) {
        if (average.back() && t % average.every() != 0) return;
        float part = (float) average.pull();
        for (int i = 0; i < p.length; i++) {
            a[i] = mean(a[i] + part * (p[i] - a[i]));
            if (average.back()) p[i] = a[i];
        }
    }

    private void move(Rule rule, long t, float[] grad, double ownNorm, float[] p, float[][] s) {
        double held = guard.clip() == Guard.Clip.NORM ? norm : ownNorm;
        boolean byNorm = guard.clip() == Guard.Clip.NORM || guard.clip() == Guard.Clip.TENSOR_NORM;
        float scale = (float) (byNorm && held > guard.max() ? by * (guard.max() / held) : by);
        if (guard.maximizes()) scale = -scale;
        float[] k = new float[Rule.SCALARS], own = new float[p.length];
        rule.at(t, k);
        if (rule instanceof TensorRule) {
            boolean limited = guard.clip() == Guard.Clip.VALUE;
            float max = (float) guard.max();
            for (int i = 0; i < p.length; i++)
                own[i] = limited ? Math.max(-max, Math.min(scale * grad[i], max)) : grad[i];
            WholeTensor.step(rule, k, limited ? 1 : scale, p, own, s);
            return;
        }
        for (int i = 0; i < p.length; i++) {
            float g = scale * grad[i];
            if (guard.clip() == Guard.Clip.VALUE) {
                float max = (float) guard.max();
                if (g > max) g = max;
                if (g < -max) g = -max;
            }
            if (!WRITTEN.contains(rule.getClass())) {
                own[i] = g;
                rule.apply(k, 1, 1, i, i + 1, p, own, s);
                continue;
            }
            float l2 = (float) rule.l2(), decay = (float) (rule.lr() * rule.decay());
            g = g + l2 * p[i];
            float u = move(rule, t, g, s, i);
            p[i] = p[i] - (u + decay * p[i]);
        }
    }

    private float[][] start(String name, Rule rule, float[] p) {
        List<float[]> s = new ArrayList<>(), largest = new ArrayList<>();
        double start = rule instanceof AdaGrad a
                ? a.initialAccumulator()
                : rule instanceof RmsProp r ? r.initialAccumulator() : 0;
        for (int a = 0; a < rule.state().size(); a++) {
            float[] array = new float[(int) Tensor.size(rule.shape(a, new long[] {p.length}))];
            Arrays.fill(array, WRITTEN.contains(rule.getClass()) ? (float) start : rule.initial(a));
            s.add(array);
            if (packing(rule, a, p.length) != Dtype.U8) continue;
            float[] map = map(rule, a);
            int zero = 0;
            while (map[zero] != 0) zero++;
            Arrays.fill(array, zero);
            largest.add(new float[(p.length + 255) / 256]);
        }
        s.addAll(largest);
        if (hasMaster(name)) s.add(p.clone());
        else if (types.containsKey(name) && master.kind() == Master.Kind.REMAINDER) s.add(new float[p.length]);
        if (average.isKept()) s.add(p.clone());
        return s.toArray(new float[0][]);
    }

    /** What a rule takes off a parameter; its state moves on. */
    private static float move(Rule rule, long t, float g, float[][] s, int i) {
        if (rule instanceof Sgd r) return (float) r.lr() * g;
        if (rule instanceof Momentum r) {
            double taken = t == 1 ? 1 : 1 - r.dampening();
            float now = (float) (r.inside() ? -r.lr() * taken : taken) * g;
            s[0][i] = mean((float) r.momentum() * s[0][i] + now);
            return r.inside() ? -s[0][i] : (float) r.lr() * s[0][i];
        }
        if (rule instanceof Nesterov r) {
            float now = r.inside() ? -(float) r.lr() * g : g;
            s[0][i] = mean((float) r.momentum() * s[0][i] + now);
            float ahead = (float) r.momentum() * s[0][i] + now;
            return r.inside() ? -ahead : (float) r.lr() * ahead;
        }
        if (rule instanceof AdaGrad r) {
            s[0][i] = square(s[0][i] + g * g);
            float lr = (float) (r.lr() / (1 + (t - 1) * r.lrDecay()));
            return lr * g / (root(s[0][i] + (float) r.epsRoot()) + (float) r.eps());
        }
        if (rule instanceof RmsProp r) {
            s[0][i] = square((float) r.rho() * s[0][i] + (float) (1 - r.rho()) * (g * g));
            double c = r.biasCorrection() ? 1 - StrictMath.pow(r.rho(), t) : 1;
            float lr = (float) (r.lr() * Math.sqrt(c)), eps = (float) (r.eps() * Math.sqrt(c));
            return lr * g / (root(s[0][i] + (float) (r.epsRoot() * c)) + eps);
        }
        Adam r = (Adam) rule;
        double c1 = r.biasCorrection() ? 1 - StrictMath.pow(r.beta1(), t) : 1;
        double c2 = r.biasCorrection() ? 1 - StrictMath.pow(r.beta2(), t) : 1;
        s[0][i] = mean((float) r.beta1() * s[0][i] + (float) (1 - r.beta1()) * g);
        s[1][i] = square((float) r.beta2() * s[1][i] + (float) (1 - r.beta2()) * (g * g));
        float alpha = (float) (r.lr() * Math.sqrt(c2) / c1);
        float eps = (float) (r.epsHat() + r.eps() * Math.sqrt(c2));
        return alpha * s[0][i] / (root(s[1][i] + (float) (r.epsRoot() * c2)) + eps);
    }

    private static float root(float x) {
        return (float) Math.sqrt(x);
    }

    private static float mean(float x) {
        return x + 0x1p-78f - 0x1p-78f;
    }

    private static float square(float x) {
        return x + 0x1p-102f - 0x1p-102f;
    }
}
