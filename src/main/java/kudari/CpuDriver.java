package kudari;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.stream.Stream;
import kudari.rule.Rule;

/**
 * Steps on the CPU: the rule's own loop over pieces of tensors, in one share per thread. A thread begins with its own share, the same in every
 * step, for what it wrote last may still be in its cache; then it helps the others with theirs.
 */
final class CpuDriver extends Driver implements Workers.Job {

    /** The distance of two shares' counters, in ints, so that two threads do not write to the same cache line. */
    private static final int APART = 32;

    /**
     * Elements for a rule's loop: of a parameter, its gradient and its state.
     *
     * @param clipped takes the clipped gradient
     */
    private record Operands(float[] p, float[] g, float[] clipped, float[][] s) {}

    /** What a thread copies the elements of a tile to, and the arrays of state that it works on. */
    private record Tile(float[] p, float[] g, float[][] s, float[][] borrowed) {}

    /**
     * A piece of one tensor: elements {@code from} to {@code to} of its parameter, gradient and state.
     *
     * @param arrays all elements of the tensor where they are arrays; else null, and the loop runs over a tile at a time
     */
    private record Chunk(
            int tensor, int group, CpuTensor p, CpuTensor g, CpuTensor[] s, Operands arrays, int from, int to) {}

    /** A piece of one gradient, for its sum of squares. */
    private record Piece(CpuTensor g, int from, int to) {}

    /** What is shared out: the c-th piece of it, done by a thread. */
    private interface Work {
        void run(int c, int thread);
    }

    private final CpuEngine engine;
    private final Rule[] rules;
    private final Guard guard;
    private final boolean zeroes;
    private final float limit;
    private final double[][] lanes;
    private final AtomicIntegerArray next;
    private final Work apply = this::apply, zero = this::zero, sum = this::sum;

    /** For each step that was sent, at its number modulo their count, and for each group, its scalars. */
    private final float[][][] ring;

    private float[][] k;
    private Chunk[] chunks = {};

    /** Of each thread, where there is one whose loop cannot run over the tensors themselves. */
    private Tile[] tiles = {};

    private Piece[] pieces = {};

    /** Of each tensor: its first piece, and behind the last tensor the number of pieces; what its gradient, and its update, are multiplied by. */
    private int[] firsts = {0};

    private float[] scale = {}, trust = {};
    private double[] partials = {};
    private int shares = 1;
    private Work work = apply;
    private int count;
    private long done, skipped;
    private double norm;
    private final Tally tally = new Tally();

    /**
     * Steps of some groups.
     *
     * @param rules of each group, one of its kind, whose loop is run
     */
    CpuDriver(CpuEngine engine, Rule[] rules, Guard guard, boolean zeroes) {
        this.engine = engine;
        this.rules = rules;
        this.guard = guard;
        this.zeroes = zeroes;
        this.limit = guard.limit();
        this.lanes = new double[guard.reduces() ? engine.threads() : 0][Reduce.LANES];
        this.next = new AtomicIntegerArray(engine.threads() * APART);
        this.ring = new float[Control.RING][rules.length][Rule.SCALARS];
        this.k = ring[0];
    }

    @Override
    void load(Plan plan) {
        List<Chunk> chunks = new ArrayList<>();
        List<Piece> pieces = new ArrayList<>();
        int[] firsts = new int[plan.size() + 1];
        boolean tiled = false;
        for (int n = 0; n < plan.size(); n++) {
            CpuTensor p = (CpuTensor) plan.params()[n], g = (CpuTensor) plan.grads()[n];
            CpuTensor[] s = Arrays.copyOf(plan.state()[n], plan.state()[n].length, CpuTensor[].class);
            Operands arrays = arrays(p, g, s);
            tiled |= arrays == null;
            int size = (int) p.size();
            for (long from = 0; from < size; from += CpuEngine.CHUNK) {
                int to = (int) Math.min(from + CpuEngine.CHUNK, size);
                chunks.add(new Chunk(n, plan.groups()[n], p, g, s, arrays, (int) from, to));
            }
            for (long from = 0; guard.reduces() && from < size; from += Reduce.PIECE) {
                pieces.add(new Piece(g, (int) from, (int) Math.min(from + Reduce.PIECE, size)));
            }
            firsts[n + 1] = pieces.size();
        }
        if (tiled && tiles.length == 0)
            tiles = Stream.generate(this::tile).limit(engine.threads()).toArray(Tile[]::new);
        this.chunks = chunks.toArray(new Chunk[0]);
        this.pieces = pieces.toArray(new Piece[0]);
        this.firsts = firsts;
        this.partials = new double[pieces.size()];
        this.scale = filled(plan.size(), (float) guard.scale());
        this.trust = filled(plan.size(), 1);
        this.shares = engine.shares(plan.elements());
    }

    private Operands arrays(CpuTensor p, CpuTensor g, CpuTensor[] s) {
        float[][] arrays = Arrays.stream(s).map(array -> array.array).toArray(float[][]::new);
        if (p.array == null || g.array == null || Arrays.asList(arrays).contains(null)) return null;
        return new Operands(
                p.array, g.array, limit < Float.POSITIVE_INFINITY ? new float[g.array.length] : null, arrays);
    }

    private Tile tile() {
        int most =
                Arrays.stream(rules).mapToInt(rule -> rule.state().size()).max().orElseThrow();
        return new Tile(
                new float[CpuEngine.TILE],
                new float[Math.max(CpuEngine.TILE, Reduce.PIECE)],
                new float[most][CpuEngine.TILE],
                new float[most][]);
    }

    private static float[] filled(int size, float value) {
        float[] values = new float[size];
        Arrays.fill(values, value);
        return values;
    }

    @Override
    void send(long first, int steps, float[] k) {
        for (int n = 0, from = 0; n < steps; n++) {
            for (float[] group : ring[(int) ((first + n) % Control.RING)]) {
                System.arraycopy(k, from, group, 0, Rule.SCALARS);
                from += Rule.SCALARS;
            }
        }
    }

    @Override
    void step() {
        boolean go = !guard.reduces() || decide();
        k = ring[(int) ((done + 1) % Control.RING)];
        if (go) share(apply, chunks.length);
        else if (zeroes) share(zero, chunks.length);
        if (go) done++;
        else skipped++;
    }

    /** Takes the sums, and what follows from them: what each gradient is multiplied by, and whether the step is done. */
    private boolean decide() {
        share(sum, pieces.length);
        double[] lanes = this.lanes[0];
        norm = guard.scale() * Math.sqrt(Reduce.all(partials, lanes));
        float smallest = guard.factor(norm);
        Arrays.fill(scale, smallest);
        for (int n = 0; n < scale.length && guard.clip() == Guard.Clip.TENSOR_NORM; n++) {
            double own = guard.scale() * Math.sqrt(Reduce.tensor(partials, firsts[n], firsts[n + 1], lanes));
            scale[n] = guard.factor(own);
            smallest = n == 0 ? scale[n] : Math.min(smallest, scale[n]);
        }
        return Double.isFinite(norm) && smallest >= Float.MIN_NORMAL;
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
        Operands of = chunk.arrays;
        if (of != null) {
            apply(chunk, chunk.from, chunk.to, of.p, of.g, of.clipped, of.s);
        } else {
            for (int from = chunk.from; from < chunk.to; from += CpuEngine.TILE) {
                apply(chunk, from, Math.min(CpuEngine.TILE, chunk.to - from), tiles[thread]);
            }
        }
        if (zeroes) chunk.g.fill(chunk.from, chunk.to, 0);
    }

    /** So many elements of a tensor that is not in arrays. */
    private void apply(Chunk chunk, int from, int count, Tile tile) {
        float[] p = chunk.p.borrow(from, count, tile.p), g = chunk.g.borrow(from, count, tile.g);
        float[][] s = tile.borrowed;
        for (int a = 0; a < chunk.s.length; a++) s[a] = chunk.s[a].borrow(from, count, tile.s[a]);
        apply(chunk, 0, count, p, g, tile.g, s);
        chunk.p.giveBack(from, count, p);
        for (int a = 0; a < chunk.s.length; a++) chunk.s[a].giveBack(from, count, s[a]);
    }

    private void apply(Chunk chunk, int from, int to, float[] p, float[] g, float[] clipped, float[][] s) {
        float[] k = this.k[chunk.group];
        float scale = this.scale[chunk.tensor], floor = k[Control.FLOOR];
        if (limit < Float.POSITIVE_INFINITY) {
            clip(g, clipped, from, to, scale, limit);
            g = clipped;
            scale = 1;
        }
        rules[chunk.group].apply(k, scale, trust[chunk.tensor], from, to, p, g, s);
        if (floor > 0) {
            for (int i = from; i < to; i++) p[i] = (p[i] + floor) - floor;
        }
    }

    private static void clip(float[] g, float[] clipped, int from, int to, float scale, float limit) {
        for (int i = from; i < to; i++) clipped[i] = Math.max(-limit, Math.min(scale * g[i], limit));
    }

    private void zero(int c, int thread) {
        chunks[c].g.fill(chunks[c].from, chunks[c].to, 0);
    }

    private void sum(int c, int thread) {
        Piece piece = pieces[c];
        if (piece.g.array != null) {
            partials[c] = Reduce.piece(piece.g.array, piece.from, piece.to, lanes[thread]);
        } else {
            int count = piece.to - piece.from;
            piece.g.read(piece.from, count, tiles[thread].g);
            partials[c] = Reduce.piece(tiles[thread].g, 0, count, lanes[thread]);
        }
    }

    @Override
    void ask() {
        tally.set(done, skipped, norm);
    }

    @Override
    Tally heard() {
        return tally;
    }

    @Override
    void count(long done, long skipped) {
        this.done = done;
        this.skipped = skipped;
        norm = 0;
    }

    @Override
    void free() {
        // The garbage collector's.
    }
}
