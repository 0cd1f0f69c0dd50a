package kudari;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.stream.Stream;
import kudari.rule.Arithmetic;
import kudari.rule.MatrixRule;
import kudari.rule.Rule;
import kudari.rule.TensorRule;

/**
 * Steps on the CPU: the rule's own loop over pieces of tensors, in one share per thread. A thread begins with its own share, the same in every
 * step, for what it wrote last may still be in its cache; then it helps the others with theirs.
 */
final class CpuDriver extends Driver implements Workers.Job {

    /** The distance of two shares' counters, in ints, so that two threads do not write to the same cache line. */
    private static final int APART = 32;

    /** In so many portions a share is taken: of many small tensors several at a time, for to take one costs as much as its step. */
    private static final int PORTIONS = 64;

    /**
     * A piece of one tensor: elements {@code from} to {@code to} of its parameter, gradient, state and, if it has one, average. The rule's loop runs over them where parameter and
     * gradient are arrays, and over copies where one is not.
     *
     * @param value where the float32 value of the parameter is: its master, or itself
     * @param kept its master or its remainder, or the parameter itself where there is neither
     * @param key of the random bits, where the parameter is rounded stochastically
     * @param clipped takes the clipped gradient, where the loop needs no copies
     * @param factors of a rule that factors, whose loop finds them in the place of state
     * @param elementwise how many of the arrays of state are as long as the parameter
     * @param packed of each of them, where any is in fewer bits than float32, how; or null
     */
    private record Chunk(
            int tensor,
            int group,
            CpuTensor p,
            CpuTensor g,
            CpuTensor value,
            CpuTensor kept,
            Types types,
            long key,
            float[] clipped,
            float[][] s,
            float[] average,
            Optional<CpuFactors> factors,
            int elementwise,
            Packed[] packed,
            int from,
            int to) {

        /** Whether its loop runs over the arrays themselves. */
        boolean inPlace() {
            return p.array != null && g.array != null && factors.isEmpty() && packed.length == 0;
        }
    }

    /**
     * An array of state in fewer bits than float32: of a 16-bit type, or in blocks, with the largest magnitude of each.
     *
     * @param random whether it is rounded stochastically
     * @param key of its random bits
     */
    private record Packed(CpuTensor elements, float[] absmax, Blockwise blockwise, boolean random, long key) {

        void read(int from, int to, float[] into) {
            if (elements instanceof CpuBytes codes) blockwise.read(codes.bytes, absmax, from, to, into);
            else elements.read(from, to, into);
        }

        void write(int from, int to, float[] values, long step, Philox bits) {
            if (elements instanceof CpuBytes codes) blockwise.write(codes.bytes, absmax, from, to, values);
            else if (random) ((CpuShorts) elements).writeStochastic(from, to, values, key, step, bits);
            else elements.write(from, to, values);
        }
    }

    /** A thread's copies of a chunk's elements, and its part of what a rule gathers. */
    private record Tile(
            float[] p,
            float[] g,
            float[][] s,
            float[][] factors,
            float[] average,
            float[] u,
            CpuFactors.Room room,
            Philox random) {}

    /** A part of what is done for the moments of a tensor: so many tiles, or matrices, from one on. */
    private record Part(CpuFactors of, int n) {}

    private static final float[] NO_AVERAGE = {};
    private static final Packed[] NOT_PACKED = {};
    private static final double[] NO_LANES = {};

    /** A piece of one gradient, for its sum of squares; and of its parameter, where a rule asks for the sums of both. */
    private record Piece(CpuTensor g, Optional<CpuTensor> p, int from, int to) {}

    /** A tensor whose rule looks at all of it: its number, its group, its elements, the number that it keeps, and its first partial and the one behind its last. */
    private record Whole(int tensor, int group, TensorRule rule, long count, float[] n, int first, int end) {}

    /** An update that is made orthogonal before it is applied. */
    private record Matrix(float[] u, int rows, int columns, NewtonSchulz how, double scale) {

        int shorter() {
            return Math.min(rows, columns);
        }

        int longer() {
            return Math.max(rows, columns);
        }
    }

    /** Matrices of one shape that a thread makes orthogonal one after the other, in one place. */
    private record Turn(CpuNewtonSchulz place, List<Matrix> matrices) {}

    /** What is shared out: the pieces from one to another of it, done by a thread. */
    private interface Work {
        void run(int from, int to, int thread);
    }

    private final CpuEngine engine;
    private final Rule[] rules;
    private final boolean[] averaged;
    private final Guard guard;
    private final boolean zeroes;
    private final Optional<CpuLossScale> lossScale;
    private final float limit;

    /** What a gradient is multiplied by in this step where no norm is too large. */
    private double unclipped;

    private final double[][] lanes;
    private final AtomicIntegerArray next;
    private final Work apply = this::applyAll, zero = this::zeroAll, sum = this::sumAll, gather = this::gatherAll;
    private final Work moments = this::momentsAll, factor = this::factorAll;
    private final Work orthogonalize = this::orthogonalizeAll;

    /** For each step that was sent, at its number modulo their count, and for each group, its scalars. */
    private final float[][][] ring;

    private float[][] k;

    /** Where a rule asks for them. */
    private final Optional<Products> products;

    /** Of each thread, where there is a chunk that needs copies. */
    private Tile[] tiles = {};

    /**
     * The work over some tensors.
     *
     * @param gathered the chunks of the rules that gather
     * @param tiles in which the rules that factor take moments, and the matrices of which they do
     * @param turns the matrices that are made orthogonal
     * @param wholes the tensors of the rules that look at all of one
     * @param firsts the first piece of each tensor, and behind the last tensor the number of pieces
     * @param partials of each piece Σg²; and Σx², Σx·p and Σp² where a rule asks for it
     * @param scale what the gradient of each tensor is multiplied by
     * @param trust what its update is multiplied by
     * @param shares on how many threads
     */
    private record Laid(
            Chunk[] chunks,
            Chunk[] gathered,
            Part[] tiles,
            Part[] factored,
            Turn[] turns,
            Piece[] pieces,
            Whole[] wholes,
            int[] firsts,
            double[][] partials,
            float[] scale,
            float[] trust,
            int shares)
            implements Layout {
        @Override
        public void free() {
            // The garbage collector's.
        }
    }

    private Laid laid = new Laid(
            new Chunk[0],
            new Chunk[0],
            new Part[0],
            new Part[0],
            new Turn[0],
            new Piece[0],
            new Whole[0],
            new int[] {0},
            new double[4][0],
            new float[0],
            new float[0],
            1);
    private Work work = apply;
    private int count, portion;
    private long done, skipped;
    private double norm;
    private OtherRanks others = OtherRanks.NONE;
    private final Tally tally = new Tally();

    /**
     * Steps of some groups.
     *
     * @param rules of each group, one of its kind, whose loop is run
     * @param averaged of each group whether an average follows its parameters
     */
    CpuDriver(
            CpuEngine engine,
            Rule[] rules,
            boolean[] averaged,
            Guard guard,
            boolean zeroes,
            Optional<CpuLossScale> lossScale) {
        this.engine = engine;
        this.rules = rules;
        this.averaged = averaged;
        this.guard = guard;
        this.zeroes = zeroes;
        this.lossScale = lossScale;
        this.limit = guard.limit();
        boolean sums = guard.reduces() || Stream.of(rules).anyMatch(TensorRule.class::isInstance);
        this.lanes = new double[sums ? engine.threads() : 0][Reduce.LANES];
        this.next = new AtomicIntegerArray(engine.threads() * APART);
        this.ring = new float[Control.RING][rules.length][Rule.SCALARS];
        this.k = ring[0];
        boolean multiplies = Stream.of(rules).anyMatch(MatrixRule.class::isInstance);
        this.products = multiplies ? Optional.of(engine.products()) : Optional.empty();
    }

    @Override
    void join(OtherRanks others) {
        this.others = others;
    }

    @Override
    Layout layout(Plan plan, Optional<Layout> old) {
        List<Chunk> chunks = new ArrayList<>(), gathered = new ArrayList<>();
        List<Part> parts = new ArrayList<>(), factored = new ArrayList<>();
        List<Piece> pieces = new ArrayList<>();
        List<Whole> wholes = new ArrayList<>();
        List<Matrix> matrices = new ArrayList<>();
        int[] firsts = new int[plan.size() + 1];
        boolean copies = false;
        for (int n = 0; n < plan.size(); n++) {
            CpuTensor p = (CpuTensor) plan.params()[n], g = (CpuTensor) plan.grads()[n];
            int tensor = n, group = plan.groups()[n], first = pieces.size();
            Optional<TensorRule> whole = whole(rules[group]);
            boolean isMatrix = rules[group] instanceof MatrixRule;
            boolean gathers = whole.isPresent() && whole.get().gathers() || isMatrix;
            boolean inArrays = p.array != null && g.array != null;
            Types types = plan.types()[n];
            Packed[] packed = packed(rules[group], types, plan.state()[n], plan.keys()[n]);
            copies |= !inArrays || whole.isPresent() || isMatrix || packed.length > 0;
            float[] clipped = inArrays && limit < Float.POSITIVE_INFINITY ? new float[g.array.length] : null;
            CpuTensor value = (CpuTensor) plan.value(n, averaged[group]);
            CpuTensor kept = types.hasRemainder() ? (CpuTensor) plan.kept(n, averaged[group]) : value;
            int states = plan.state()[n].length, own = states - types.more(rules[group], averaged[group]);
            float[][] s = new float[own + (isMatrix ? 1 : 0)][];
            for (int a = 0; a < own; a++)
                if (packed.length == 0 || packed[a] == null) s[a] = engine.array(plan.state()[n][a]);
            if (isMatrix) {
                s[own] = new float[(int) p.size()];
                if (p.size() > 0) matrices.add(matrix((MatrixRule) rules[group], p, s[own]));
            }
            float[] average = averaged[group] ? engine.array(plan.state()[n][states - 1]) : NO_AVERAGE;
            Optional<CpuFactors> factors = p.size() == 0
                    ? Optional.empty()
                    : Driver.factored(rules[group]).map(rule -> new CpuFactors(tensor, group, rule, value, g, s));
            int elementwise =
                    factors.isPresent() ? 0 : whole.map(TensorRule::elementwise).orElse(s.length);
            for (int t = 0; factors.isPresent() && t < factors.get().tiles(); t++)
                parts.add(new Part(factors.get(), t));
            for (int m = 0; factors.isPresent() && m < factors.get().matrices(); m++)
                factored.add(new Part(factors.get(), m));
            for (long from = 0; from < p.size(); from += CpuEngine.CHUNK) {
                int to = (int) Math.min(from + CpuEngine.CHUNK, p.size());
                Chunk chunk = new Chunk(
                        n,
                        group,
                        p,
                        g,
                        value,
                        kept,
                        types,
                        plan.keys()[n],
                        clipped,
                        s,
                        average,
                        factors,
                        elementwise,
                        packed,
                        (int) from,
                        to);
                chunks.add(chunk);
                if (gathers) gathered.add(chunk);
            }
            Optional<CpuTensor> summed = whole.isPresent() && !gathers ? Optional.of(value) : Optional.empty();
            for (long from = 0; (guard.reduces() || whole.isPresent()) && from < g.size(); from += Reduce.PIECE) {
                pieces.add(new Piece(g, summed, (int) from, (int) Math.min(from + Reduce.PIECE, g.size())));
            }
            firsts[n + 1] = pieces.size();
            if (whole.isPresent() && p.size() > 0) {
                float[] number = factors.isEmpty() && elementwise < s.length ? s[elementwise] : new float[1];
                wholes.add(new Whole(n, group, whole.get(), p.size(), number, first, pieces.size()));
            }
        }
        if (copies && tiles.length == 0) tiles = tiles();
        return new Laid(
                chunks.toArray(new Chunk[0]),
                gathered.toArray(new Chunk[0]),
                parts.toArray(new Part[0]),
                factored.toArray(new Part[0]),
                turns(matrices).toArray(new Turn[0]),
                pieces.toArray(new Piece[0]),
                wholes.toArray(new Whole[0]),
                firsts,
                new double[4][pieces.size()],
                filled(plan.size(), (float) guard.signedScale()),
                filled(plan.size(), 1),
                engine.shares(plan.elements()));
    }

    /** None where all of the state is float32. */
    private Packed[] packed(Rule rule, Types types, Tensor[] state, long key) {
        int own = rule.state().size(), blocks = 0;
        Packed[] packed = new Packed[own];
        boolean any = false;
        for (int a = 0; a < own; a++) {
            Dtype dtype = types.dtype(rule, a);
            if (dtype == Dtype.F32) continue;
            any = true;
            float[] absmax = dtype == Dtype.U8 ? engine.array(state[own + blocks++]) : NO_AVERAGE;
            packed[a] = new Packed(
                    (CpuTensor) state[a],
                    absmax,
                    Blockwise.of(rule.compression(a) == Rule.Compression.SIGNED),
                    types.state() == StateFormat.BFLOAT16_STOCHASTIC,
                    Philox.key(key, a));
        }
        return any ? packed : NOT_PACKED;
    }

    private static Matrix matrix(MatrixRule rule, CpuTensor p, float[] u) {
        int rows = Math.toIntExact(p.shape()[0]), columns = Math.toIntExact(p.size() / rows);
        return new Matrix(u, rows, columns, NewtonSchulz.of(rule), rule.scale(rows, columns));
    }

    /** Of each shape as many as threads can take at once, for each needs a place of some times a matrix's size. */
    private List<Turn> turns(List<Matrix> matrices) {
        Map<List<Object>, List<Matrix>> shapes = new LinkedHashMap<>();
        for (Matrix matrix : matrices)
            shapes.computeIfAbsent(List.of(matrix.how, matrix.shorter(), matrix.longer()), shape -> new ArrayList<>())
                    .add(matrix);
        List<Turn> turns = new ArrayList<>();
        for (List<Matrix> same : shapes.values()) {
            Matrix one = same.get(0);
            int places = Math.min(engine.threads(), same.size());
            for (int n = 0; n < places; n++) {
                CpuNewtonSchulz place =
                        new CpuNewtonSchulz(products.orElseThrow(), one.how, one.shorter(), one.longer());
                turns.add(new Turn(place, same.subList(same.size() * n / places, same.size() * (n + 1) / places)));
            }
        }
        return turns;
    }

    @Override
    void use(Layout layout) {
        laid = (Laid) layout;
    }

    private Tile[] tiles() {
        int state = 0;
        for (Rule rule : rules) state = Math.max(state, rule.state().size() + (rule instanceof MatrixRule ? 1 : 0));
        Tile[] tiles = new Tile[engine.threads()];
        for (int thread = 0; thread < tiles.length; thread++) {
            float[][] arrays = engine.tile(thread, 4 + state), s = Arrays.copyOfRange(arrays, 4, 4 + state);
            CpuFactors.Room room = new CpuFactors.Room(
                    arrays[0],
                    arrays[1],
                    lanes.length > 0 ? lanes[thread] : NO_LANES,
                    lanes.length > 0 ? new double[Reduce.LANES] : NO_LANES);
            tiles[thread] = new Tile(
                    arrays[0],
                    arrays[1],
                    s,
                    new float[][] {state > 0 ? s[0] : NO_AVERAGE},
                    arrays[2],
                    arrays[3],
                    room,
                    new Philox());
        }
        return tiles;
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
        k = ring[(int) ((done + 1) % Control.RING)];
        unclipped =
                lossScale.isPresent() ? guard.signedScale() / lossScale.get().scale() : guard.signedScale();
        if (guard.reduces() || laid.wholes.length > 0) share(sum, laid.pieces.length);
        boolean go = !guard.reduces() || decide();
        if (lossScale.isPresent()) lossScale.get().decided(go, this);
        if (go) {
            isTorn = true;
            move();
            isTorn = false;
        } else if (zeroes) share(zero, laid.chunks.length);
        if (go) done++;
        else skipped++;
    }

    private void move() {
        if (laid.tiles.length > 0) share(moments, laid.tiles.length);
        if (laid.factored.length > 0) share(factor, laid.factored.length);
        if (laid.gathered.length > 0) share(gather, laid.gathered.length);
        if (laid.turns.length > 0) share(orthogonalize, laid.turns.length);
        double[][] partials = laid.partials;
        for (Whole whole : laid.wholes) {
            TensorRule rule = whole.rule;
            double[] lanes = this.lanes[0];
            double xx = Reduce.tensor(partials[1], whole.first, whole.end, lanes);
            double xp = rule.gathers() ? 0 : Reduce.tensor(partials[2], whole.first, whole.end, lanes);
            double pp = Reduce.tensor(partials[3], whole.first, whole.end, lanes);
            double scale = rule.gathers() || limit < Float.POSITIVE_INFINITY ? 1 : laid.scale[whole.tensor];
            laid.trust[whole.tensor] = rule.trust(k[whole.group], scale, xx, xp, pp, whole.count, whole.n);
        }
        share(apply, laid.chunks.length);
    }

    /** What follows from the sums of squares: what each gradient is multiplied by, and whether the step is done. */
    private boolean decide() {
        double[] lanes = this.lanes[0], partials = laid.partials[0];
        float[] scale = laid.scale;
        int[] firsts = laid.firsts;
        double by = Math.abs(unclipped);
        norm = by * Math.sqrt(Reduce.all(others.partials(partials), lanes));
        // A factor that float holds as a subnormal, or not at all, would clip to something else.
        boolean vanishes = false;
        if (guard.clip() == Guard.Clip.TENSOR_NORM) {
            for (int n = 0; n < scale.length; n++) {
                double own = by * Math.sqrt(Reduce.tensor(partials, firsts[n], firsts[n + 1], lanes));
                scale[n] = guard.factor(own, unclipped);
                vanishes |= Math.abs(scale[n]) < Float.MIN_NORMAL;
            }
            vanishes = others.any(vanishes);
        } else {
            float all = guard.factor(norm, unclipped);
            Arrays.fill(scale, all);
            vanishes = Math.abs(all) < Float.MIN_NORMAL;
        }
        return Double.isFinite(norm) && !vanishes && (float) by <= Float.MAX_VALUE;
    }

    /** Does so many pieces of work, on as many threads as share it. */
    private void share(Work work, int count) {
        this.work = work;
        this.count = count;
        int shares = laid.shares;
        portion = Math.max(1, shares == 1 ? count : count / (shares * PORTIONS));
        for (int share = 0; share < shares; share++) next.set(share * APART, start(share));
        if (shares == 1) run(0);
        else engine.run(this);
    }

    private int fetch(int share) {
        return next.getAndAdd(share * APART, portion);
    }

    private int start(int share) {
        return (int) ((long) count * share / laid.shares);
    }

    @Override
    public void run(int thread) {
        int shares = laid.shares;
        for (int n = 0; n < shares; n++) {
            int share = (thread + n) % shares, end = start(share + 1);
            for (int c = fetch(share); c < end; c = fetch(share)) work.run(c, Math.min(c + portion, end), thread);
        }
    }

    private void applyAll(int from, int to, int thread) {
        for (int c = from; c < to; c++) apply(c, thread);
    }

    private void zeroAll(int from, int to, int thread) {
        for (int c = from; c < to; c++) zero(c);
    }

    private void gatherAll(int from, int to, int thread) {
        for (int c = from; c < to; c++) gather(laid.gathered[c], thread);
    }

    private void momentsAll(int from, int to, int thread) {
        for (int c = from; c < to; c++) {
            CpuFactors of = laid.tiles[c].of;
            of.tile(laid.tiles[c].n, k[of.group], laid.scale[of.tensor], limit, tiles[thread].room);
        }
    }

    private void factorAll(int from, int to, int thread) {
        for (int c = from; c < to; c++) {
            CpuFactors of = laid.factored[c].of;
            of.matrix(laid.factored[c].n, k[of.group], lanes[thread]);
        }
    }

    private void orthogonalizeAll(int from, int to, int thread) {
        for (int t = from; t < to; t++) {
            Turn turn = laid.turns[t];
            for (int n = 0; n < turn.matrices.size(); n++) {
                Matrix matrix = turn.matrices.get(n);
                turn.place.orthogonalize(matrix.u, matrix.rows, matrix.columns, matrix.scale);
            }
        }
    }

    private void sumAll(int from, int to, int thread) {
        for (int c = from; c < to; c++) sum(c, thread);
    }

    private void apply(int c, int thread) {
        Chunk chunk = laid.chunks[c];
        if (chunk.inPlace())
            apply(chunk, chunk.p.array, chunk.g.array, chunk.clipped, chunk.s, chunk.average, chunk.from, chunk.to);
        else applyToCopies(chunk, tiles[thread]);
        if (zeroes) chunk.g.fill(chunk.from, chunk.to, 0);
    }

    private void applyToCopies(Chunk chunk, Tile tile) {
        float[][] s = load(chunk, tile);
        int from = chunk.from, count = chunk.to - from;
        boolean averages = from > 0 && chunk.average.length > 0; // as of the state, the first elements are there
        float[] average = averages ? tile.average : chunk.average;
        if (averages) System.arraycopy(chunk.average, from, average, 0, count);
        apply(chunk, tile.p, tile.g, tile.g, s, average, 0, count);
        if (chunk.value != chunk.p) chunk.value.write(from, chunk.to, tile.p);
        if (chunk.types.hasRemainder())
            ((CpuShorts) chunk.p).writeSplit(from, chunk.to, (CpuShorts) chunk.kept, tile.p);
        else if (chunk.types.isStochastic())
            ((CpuShorts) chunk.p).writeStochastic(from, chunk.to, tile.p, chunk.key, done + 1, tile.random);
        else chunk.p.write(from, chunk.to, tile.p);
        store(chunk, tile, s);
        if (averages) System.arraycopy(average, 0, chunk.average, from, count);
    }

    /** Copies a chunk's elements to where a tile begins, for a loop has one index for all arrays. The first elements of the state are there. */
    private float[][] load(Chunk chunk, Tile tile) {
        int from = chunk.from, to = chunk.to;
        if (chunk.types.hasRemainder()) ((CpuShorts) chunk.p).readJoined(from, to, (CpuShorts) chunk.kept, tile.p);
        else chunk.value.read(from, to, tile.p);
        chunk.g.read(from, to, tile.g);
        if (chunk.factors.isPresent()) {
            chunk.factors.get().factors(from, to, k[chunk.group], tile.factors[0]);
            return tile.factors;
        }
        Packed[] packed = chunk.packed;
        if (from == 0 && packed.length == 0) return chunk.s;
        for (int n = 0; n < chunk.elementwise; n++) {
            if (chunk.s[n] == null) packed[n].read(from, to, tile.s[n]);
            else System.arraycopy(chunk.s[n], from, tile.s[n], 0, to - from);
        }
        return tile.s;
    }

    private void store(Chunk chunk, Tile tile, float[][] s) {
        int from = chunk.from, to = chunk.to;
        for (int n = 0; n < chunk.elementwise && s != chunk.s; n++) {
            if (chunk.s[n] == null) chunk.packed[n].write(from, to, s[n], done + 1, tile.random);
            else System.arraycopy(s[n], 0, chunk.s[n], from, to - from);
        }
    }

    /** Over copies, for a thread's part of what is gathered begins where they do. */
    private void gather(Chunk chunk, int thread) {
        Tile tile = tiles[thread];
        float[][] s = load(chunk, tile);
        float[] p = tile.p, g = tile.g, u = tile.u;
        float scale = laid.scale[chunk.tensor];
        int count = chunk.to - chunk.from, first = laid.firsts[chunk.tensor] + chunk.from / Reduce.PIECE;
        if (limit < Float.POSITIVE_INFINITY) {
            clip(g, g, 0, count, scale, limit);
            scale = 1;
        }
        if (rules[chunk.group] instanceof MatrixRule matrix) {
            matrix.gather(k[chunk.group], scale, 0, count, p, g, s);
            store(chunk, tile, s);
            return;
        }
        ((TensorRule) rules[chunk.group]).gather(k[chunk.group], scale, 0, count, p, g, s, u);
        store(chunk, tile, s);
        for (int from = 0; from < count; from += Reduce.PIECE) {
            int to = Math.min(from + Reduce.PIECE, count), piece = first + from / Reduce.PIECE;
            laid.partials[1][piece] = Reduce.piece(u, from, to, lanes[thread]);
            laid.partials[3][piece] = Reduce.piece(p, from, to, lanes[thread]);
        }
    }

    private void apply(
            Chunk chunk, float[] p, float[] g, float[] clipped, float[][] s, float[] average, int from, int to) {
        float[] k = this.k[chunk.group];
        float scale = laid.scale[chunk.tensor], floor = k[Control.FLOOR];
        if (limit < Float.POSITIVE_INFINITY) {
            clip(g, clipped, from, to, scale, limit);
            g = clipped;
            scale = 1;
        }
        Rule rule = rules[chunk.group];
        try {
            rule.apply(k, scale, laid.trust[chunk.tensor], from, to, p, g, s);
        } catch (RuntimeException e) {
            throw RuleCheck.failed(rule, "apply, with the step half done", e);
        }
        if (floor > 0) {
            for (int i = from; i < to; i++) p[i] = (p[i] + floor) - floor;
        }
        if (k[Control.PULL] > 0) {
            follow(average, p, k[Control.PULL], from, to);
            if (k[Control.BACK] > 0) System.arraycopy(average, from, p, from, to - from);
        }
    }

    private static void follow(float[] average, float[] p, float pull, int from, int to) {
        for (int i = from; i < to; i++) average[i] = Arithmetic.follow(average[i], p[i], pull);
    }

    static void clip(float[] g, float[] clipped, int from, int to, float scale, float limit) {
        for (int i = from; i < to; i++) clipped[i] = Math.max(-limit, Math.min(scale * g[i], limit));
    }

    private void zero(int c) {
        Chunk chunk = laid.chunks[c];
        chunk.g.fill(chunk.from, chunk.to, 0);
    }

    private void sum(int c, int thread) {
        Piece piece = laid.pieces[c];
        if (!guard.reduces() && piece.p.isEmpty()) return;
        double[] lanes = this.lanes[thread];
        float[] g = piece.g.array;
        int from = piece.from, to = piece.to;
        boolean limited = limit < Float.POSITIVE_INFINITY;
        if (g == null || piece.p.isPresent() && (limited || piece.p.get().array == null)) {
            g = tiles[thread].g;
            piece.g.read(from, to, g);
            to -= from;
            from = 0;
        }
        if (guard.reduces()) laid.partials[0][c] = Reduce.piece(g, from, to, lanes);
        if (piece.p.isEmpty()) return;
        float[] p = piece.p.get().array;
        if (g != piece.g.array) {
            p = tiles[thread].p;
            piece.p.get().read(piece.from, piece.to, p);
        }
        if (limited) clip(g, g, from, to, (float) unclipped, limit);
        laid.partials[1][c] = Reduce.piece(g, from, to, lanes);
        laid.partials[2][c] = Reduce.piece(g, p, from, to, lanes);
        laid.partials[3][c] = Reduce.piece(p, from, to, lanes);
    }

    @Override
    void ask() {
        tally.set(done, skipped, 0, norm);
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
