package kudari;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicIntegerArray;
import kudari.rule.Rule;

/**
 * Steps on the CPU: the rule's own loop over pieces of tensors, in one share per thread. A thread begins with its own share, the same in every
 * step, for what it wrote last may still be in its cache; then it helps the others with theirs.
 */
final class CpuSteps extends Steps implements Workers.Job {

    /** The counters of two shares are so many ints apart, lest two threads write the same line of cache. */
    private static final int APART = 32;

    /** A piece of one tensor: elements {@code from} to {@code to} of its parameter, gradient and state, and of its clipped gradient. */
    private record Chunk(float[] p, float[] g, float[][] s, float[] clipped, int from, int to) {}

    /** A piece of one gradient, for the norm. */
    private record Piece(float[] g, int from, int to) {}

    /** What is shared out: the c-th piece of it, done by a thread. */
    private interface Work {
        void run(int c, int thread);
    }

    private final CpuEngine engine;
    private final Rule rule;
    private final Scalars scalars;
    private final double max;
    private final float[] k = new float[Rule.SCALARS];
    private final double[][] lanes;
    private final AtomicIntegerArray next;
    private final Work apply = this::apply, sum = this::sum;
    private Chunk[] chunks = {};
    private Piece[] pieces = {};
    private double[] partials = {};
    private int shares = 1;
    private Work work = apply;
    private int count;
    private float coefficient = 1;
    private long done, skipped;
    private double norm;

    /**
     * Steps of a rule.
     *
     * @param rule of the kind whose loop is run
     * @param max the largest norm, or infinity, and then no norm is taken
     */
    CpuSteps(CpuEngine engine, Rule rule, Scalars scalars, double max) {
        this.engine = engine;
        this.rule = rule;
        this.scalars = scalars;
        this.max = max;
        this.lanes = new double[clips() ? engine.threads() : 0][Norm.LANES];
        this.next = new AtomicIntegerArray(engine.threads() * APART);
    }

    private boolean clips() {
        return max < Double.POSITIVE_INFINITY;
    }

    @Override
    void bind(Tensor[] params, Tensor[] grads, Tensor[][] state) {
        List<Chunk> chunks = new ArrayList<>();
        List<Piece> pieces = new ArrayList<>();
        long elements = 0;
        for (int n = 0; n < params.length; n++) {
            float[] p = engine.array(params[n]), g = engine.array(grads[n]);
            float[][] s = new float[state[n].length][];
            for (int a = 0; a < s.length; a++) s[a] = engine.array(state[n][a]);
            float[] clipped = clips() ? new float[g.length] : g;
            for (long from = 0; from < p.length; from += CpuEngine.CHUNK) {
                chunks.add(new Chunk(p, g, s, clipped, (int) from, (int) Math.min(from + CpuEngine.CHUNK, p.length)));
            }
            for (long from = 0; clips() && from < g.length; from += Norm.PIECE) {
                pieces.add(new Piece(g, (int) from, (int) Math.min(from + Norm.PIECE, g.length)));
            }
            elements += p.length;
        }
        this.chunks = chunks.toArray(new Chunk[0]);
        this.pieces = pieces.toArray(new Piece[0]);
        this.partials = new double[pieces.size()];
        this.shares = engine.shares(elements);
    }

    @Override
    void next() {
        scalars.at(done + 1, k);
        if (clips()) {
            share(sum, pieces.length);
            norm = Norm.of(partials, lanes[0]);
            if (!Double.isFinite(norm)) {
                skipped++;
                return;
            }
            coefficient = Norm.coefficient(norm, max);
        }
        share(apply, chunks.length);
        done++;
    }

    /** Does so many pieces of work, on as many threads as share it. */
    private void share(Work work, int count) {
        this.work = work;
        this.count = count;
        for (int share = 0; share < shares; share++) next.set(share * APART, start(share));
        if (shares == 1) run(0);
        else engine.run(this);
    }

    private int start(int share) {
        return (int) ((long) count * share / shares);
    }

    @Override
    public void run(int thread) {
        for (int n = 0; n < shares; n++) {
            int share = (thread + n) % shares, end = start(share + 1);
            for (int c = next.getAndIncrement(share * APART); c < end; c = next.getAndIncrement(share * APART)) {
                work.run(c, thread);
            }
        }
    }

    private void apply(int c, int thread) {
        Chunk chunk = chunks[c];
        float[] g = chunk.g;
        if (coefficient != 1) { // else the product would be the gradient itself
            g = chunk.clipped;
            for (int i = chunk.from; i < chunk.to; i++) g[i] = chunk.g[i] * coefficient;
        }
        rule.apply(k, chunk.from, chunk.to, chunk.p, g, chunk.s);
    }

    private void sum(int c, int thread) {
        partials[c] = Norm.piece(pieces[c].g, pieces[c].from, pieces[c].to, lanes[thread]);
    }

    @Override
    long done() {
        return done;
    }

    @Override
    void resume(long done) {
        this.done = done;
        skipped = 0;
        norm = 0;
    }

    @Override
    long skipped() {
        return skipped;
    }

    @Override
    double norm() {
        return norm;
    }

    @Override
    void free() {
        // The garbage collector's.
    }
}
