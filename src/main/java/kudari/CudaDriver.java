package kudari;

import static jcuda.driver.JCudaDriver.cuMemsetD8Async;
import static kudari.CudaException.must;

import java.nio.ByteBuffer;
import java.nio.LongBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import kudari.rule.MatrixRule;
import kudari.rule.Rule;
import kudari.rule.TensorRule;

/**
 * Steps on a CUDA device: {@code kernels/reduce.cu} where somebody guards the gradients, then one launch over the chunk table for each kind of rule.
 * The device counts the steps and finds the scalars of each by its number, so that a step is launches of the same arguments and nothing else; but where
 * other ranks have gradients that the guard is to see, the host reads this rank's sums, and tells the device those of all.
 */
final class CudaDriver extends Driver {

    /** Threads per block, as the kernels' launch bounds say. */
    static final int THREADS = 256;

    /** Blocks that a multiprocessor holds at a time: 2,048 threads. */
    static final int BLOCKS = 8;

    /** Elements of a chunk. */
    private static final int SMALLEST = 1024, LARGEST = 16_384;

    /** Where the structs of {@link #LAYOUT} have what the host writes or reads, in bytes. */
    private static final int SKIPPED = 8, OUTRAN = 16, NORM = 24, SLOT_BYTES = 40, GO = 48, SLOTS = 64, SLOT = 16;

    /** Elements of a vector whose moments one block takes, as in step.cuh. */
    private static final int VECTOR = 8192;

    private static final int SCALARS = Rule.SCALARS * Float.BYTES;

    /** Words of what a tensor is told, of the row of a piece, and of that of a tensor whose rule factors. */
    private static final int TOLD = 10, PIECE = 3, FACTORS = 17;

    /** Bytes, at a multiple of which an update begins. */
    private static final long ALIGNED = 256;

    /** When a tensor's sums are taken: in no pass; before the step, of its gradient; and by each kind of rule that gathers, in a pass of its own. */
    private static final int IN_NONE = 0, BY_GRADIENT = 1, BY_KIND = 2;

    /** What the host and the kernels share, before step.cuh. */
    static final String LAYOUT = """
            typedef unsigned long long u64;
            constexpr int K = %d, PULL = %d, BACK = %d, FLOOR = %d, RING = %d, SLOTS = %d;
            constexpr unsigned BY_GRADIENT = %d, TYPE_F32 = %d, TYPE_BF16 = %d;

            // An optimizer's own memory: what its steps count, and behind it, from byte SLOTS on, a ring in which a step finds what it is told.
            struct Control {
              u64 done, skipped;  // steps
              u64 outran;         // launches that found no scalars of their step, and so did nothing
              double norm;        // of the last step's gradients, over all of them
              u64 arrived;        // blocks at the end of the launch that is running
              u64 slotBytes;
              unsigned go;  // whether the step is done, or left out because a gradient is not finite
              float limit;  // the largest element of a gradient, infinite for any
            };

            // What the loss is multiplied by. CudaLossScale.java.
            struct Loss {
              float scale;           // first, for it is a tensor
              unsigned overflowed;   // whether a step has been left out since the scale last moved
              u64 good, left;        // steps since the last overflow or growth; overflows up to the one that makes it smaller
              const Control* mover;  // whose steps move it
              u64 interval, hysteresis;
              double growth, backoff;
              float floor, ceiling;
            };

            // The scalars of one step, sent ahead by the host: for each group K floats follow.
            struct alignas(16) Slot {
              u64 step;
            };

            // What one tensor is told: what its gradient, and its update and decay, are multiplied by. And where its rule looks at all of it,
            // TensorRule's sums; where the parameter begins, and the number that the rule keeps of it, if any; that number, as it was before
            // the step; in which pass they are told; how many elements it has; and of which key its random bits are.
            struct Factors;
            struct Told {
              float scale, trust;
              double xx, xp, pp;
              const void* p;
              float* number;
              float n;
              unsigned pass;
              u64 count;               // of elements
              const Factors* factors;  // where it is factored
              u64 key;
            };

            // The moments of one tensor whose rule factors them: its matrices, or of a vector its elements, as columns. CpuFactors.java.
            struct Factors {
              u64 first;  // of all tiles of its kind
              u64 rows, columns;
              const void *p, *g;  // p, or where its float32 value is
              float* v;           // of a vector, and null where it is factored
              float *row, *col, *rowFactors, *colFactors;
              double *rowSums, *colSums;  // of each row by tiles, and of tiles by each column
              u64* arrived;               // tiles of each matrix that are done
              unsigned width, deep;       // of a tile, in columns and in rows
              unsigned tensor, group;
              u64 across, down;  // tiles of a matrix
            };

            #line 1 "step.cuh"
            """.formatted(
                    Rule.SCALARS,
                    Control.PULL,
                    Control.BACK,
                    Control.FLOOR,
                    Control.RING,
                    SLOTS,
                    BY_GRADIENT,
                    Dtype.F32.ordinal(),
                    Dtype.BF16.ordinal());

    /**
     * Of which arrays a row of the chunk table tells.
     *
     * @param first of the state
     * @param arrays so many from there on, with an element for each of the parameter's
     * @param blockwise of those in 8 bits the largest magnitudes, behind the rule's own state
     * @param more all arrays there
     */
    record Row(int first, int arrays, int blockwise, int more) {

        /** The kernels of rules without state have one place for it. */
        int words() {
            return 4 + Math.max(1, arrays + more);
        }
    }

    /** The kernels of one kind of rule, and its rows of the chunk table. */
    private static final class Launch {

        final CudaKernel kernel;

        /** Goes over all elements first, where the rule gathers or its update is made orthogonal. */
        final Optional<CudaKernel> gather;

        /** Takes the moments before that, where the rule factors them. */
        final Optional<CudaKernel> moments;

        /** How many arrays the rule's state has. */
        final int states;

        final Row row;

        /** Whether the rule looks at whole tensors, or has its update made orthogonal. */
        final boolean whole, matrix;

        int rows;

        /** In which moments are taken. */
        long tiles;

        Launch(
                CudaKernel kernel,
                Optional<CudaKernel> gather,
                Optional<CudaKernel> moments,
                Rule rule,
                int arrays,
                int blockwise,
                int more) {
            this.kernel = kernel;
            this.gather = gather;
            this.moments = moments;
            states = rule.state().size();
            row = new Row(moments.isPresent() ? states - 1 : 0, arrays, blockwise, more);
            whole = whole(rule).isPresent();
            matrix = rule instanceof MatrixRule;
        }

        /** When the sums over its tensors are taken. */
        int pass(int kind) {
            return !whole ? IN_NONE : gather.isPresent() ? BY_KIND + kind : BY_GRADIENT;
        }
    }

    private final CudaEngine engine;
    private final Guard guard;

    private final Rule[] rules;
    private final boolean[] averaged;
    private final boolean zeroes;
    private final Optional<CudaLossScale> lossScale;

    /** The kinds of rules and types that there have been, and the number of each by its text and by what it is of. */
    private final List<Launch> kinds = new ArrayList<>();

    private final Map<StepSource, Integer> bySource = new HashMap<>();
    private final Map<Kind, Integer> byKind = new HashMap<>();

    private record Kind(int group, Types types) {}

    /** Which of them counts the steps. */
    private int last;

    private final CudaKernel reduce;

    /** Where there are other ranks: who knows of their gradients, and the second half of reduce. */
    private OtherRanks others = OtherRanks.NONE;

    private Optional<CudaKernel> reduceRanks = Optional.empty();

    /** The partials of all ranks, and room for how many there is. */
    private CUdeviceptr allPartials = new CUdeviceptr();

    private int room;

    /** What the steps read, where its partials are, how many pieces are in it, and whether a rule asks for their sums. */
    private CUdeviceptr table, partials;

    private int pieces;
    private boolean sums;

    /** What makes updates orthogonal, where a rule asks for it, and the updates. */
    private final Optional<CudaNewtonSchulz> orthogonal;

    private Optional<Updates> updates = Optional.empty();

    /** step.cuh's Control, in device memory. */
    private final CUdeviceptr control;

    private final HostCopy look;
    private final Tally tally = new Tally();

    /** Where the ring has each step's scalars: pointers made once, for a step makes nothing. */
    private final CUdeviceptr[] ring = new CUdeviceptr[Control.RING];

    private final int slotBytes;

    /** What gives back all that this holds, the last first. */
    private final Deque<Runnable> frees = new ArrayDeque<>();

    /** On their way to the device: scalars, and tables. */
    private final Upload scalars;

    private Optional<Upload> tables = Optional.empty();

    /** The updates that are made orthogonal, one behind the other, and that work laid out. */
    private record Updates(
            CudaEngine engine, CUdeviceptr memory, List<CudaNewtonSchulz.Matrix> matrices, CudaNewtonSchulz.Laid laid) {

        long address(int matrix) {
            return JCudaAddress.of(memory) + matrices.get(matrix).at();
        }

        void free() {
            laid.free();
            engine.discard(memory);
        }
    }

    /**
     * The work over some tensors, in one block of device memory: for each kind of rule the rows of its chunks; the rows of the pieces to sum; the first
     * piece of each tensor; what each tensor is told; and room for the partials of each piece.
     *
     * @param bytes how many there are of it
     * @param sums whether a rule asks for the sums of its gradients
     * @param rows of chunks, of each kind
     * @param at where those of each kind begin, in words, as the parts do that follow
     * @param updates in memory of their own
     * @param tiles in which the moments of each kind are taken
     * @param factored tensors of each kind that have them
     * @param factorsAt where their rows begin
     */
    private record Table(
            CudaEngine engine,
            CUdeviceptr memory,
            long bytes,
            int[] rows,
            int[] at,
            int tensors,
            int pieces,
            boolean sums,
            int piecesAt,
            int firstsAt,
            int toldAt,
            int partialsAt,
            Optional<Updates> updates,
            long[] tiles,
            int[] factored,
            int[] factorsAt)
            implements Layout {

        long address(int word) {
            return JCudaAddress.of(memory) + (long) word * Long.BYTES;
        }

        @Override
        public void free() {
            updates.ifPresent(Updates::free);
            engine.discard(memory);
        }
    }

    /**
     * Steps of some groups.
     *
     * @param rules of each group, one of its kind
     * @param averaged of each group whether an average follows its parameters
     */
    CudaDriver(
            CudaEngine engine,
            Rule[] rules,
            boolean[] averaged,
            Guard guard,
            boolean zeroes,
            Optional<CudaLossScale> lossScale) {
        this.engine = engine;
        this.guard = guard;
        this.rules = rules;
        this.averaged = averaged;
        this.zeroes = zeroes;
        this.lossScale = lossScale;
        slotBytes = SLOT + rules.length * SCALARS;
        try {
            boolean multiplies = Stream.of(rules).anyMatch(MatrixRule.class::isInstance);
            orthogonal = multiplies ? Optional.of(new CudaNewtonSchulz(engine)) : Optional.empty();
            orthogonal.ifPresent(work -> frees.push(work::free));
            reduce = reduce("reduce");
            scalars = new Upload(engine, (long) Control.WINDOW * slotBytes, "the scalars of an optimizer");
            frees.push(scalars::free);
            long bytes = SLOTS + (long) Control.RING * slotBytes;
            control = engine.allocateBytes(bytes, "the control block of an optimizer");
            CUdeviceptr mine = control;
            frees.push(() -> engine.freeBytes(mine));
            look = new HostCopy(engine, control, SLOTS, "the counts of an optimizer");
            frees.push(look::free);
            must(() -> cuMemsetD8Async(mine, (byte) 0, bytes, engine.stream), "cuMemsetD8Async of the control block");
            long[] head = new long[SLOTS / Long.BYTES];
            head[SLOT_BYTES / Long.BYTES] = slotBytes;
            head[GO / Long.BYTES] = 1 | (long) Float.floatToRawIntBits(guard.limit()) << Integer.SIZE;
            engine.toDevice(control, head, "the control block");
        } catch (RuntimeException | Error e) {
            Engine.cleanUp(e, this::free);
            throw e;
        }
        for (int n = 0; n < ring.length; n++) ring[n] = control.withByteOffset(SLOTS + n * (long) slotBytes);
    }

    /** Of its control block, by which a loss scale knows it. */
    long address() {
        return JCudaAddress.of(control);
    }

    private CudaKernel reduce(String function) {
        return mine(
                engine.kernel("kernels/reduce.cu", Nvrtc.Source.of("reduce.cu").text(), function));
    }

    @Override
    void join(OtherRanks others) {
        this.others = others;
        reduceRanks = Optional.of(reduce("reduce_ranks"));
    }

    private Launch launch(Rule rule, int blockwise, int more, StepSource step) {
        CudaKernel kernel = mine(engine.kernel(step.file(), step.text(), step.function()));
        boolean gathers = rule instanceof MatrixRule
                || whole(rule).map(TensorRule::gathers).orElse(false);
        Optional<CudaKernel> gather = gathers
                ? Optional.of(mine(engine.kernel(step.file(), step.text(), step.function() + "_gather")))
                : Optional.empty();
        Optional<CudaKernel> moments = factored(rule)
                .map(factors -> mine(engine.kernel(step.file(), step.text(), step.function() + "_moments")));
        return new Launch(kernel, gather, moments, rule, step.arrays() - more, blockwise, more);
    }

    /** The number of the kind of a group's parameters of some types, whose kernels are compiled when one is first seen. */
    private int kind(int group, Types types) {
        Kind kind = new Kind(group, types);
        Integer known = byKind.get(kind);
        if (known != null) return known;
        StepSource step = StepSource.of(rules[group], averaged[group], zeroes, types);
        Integer same = bySource.get(step);
        if (same == null) {
            Launch launch = launch(
                    rules[group], types.blockwise(rules[group]), types.more(rules[group], averaged[group]), step);
            same = kinds.size();
            kinds.add(launch);
            bySource.put(step, same);
        }
        byKind.put(kind, same);
        return same;
    }

    private CudaKernel mine(CudaKernel kernel) {
        frees.push(kernel::close);
        return kernel;
    }

    @Override
    Layout layout(Plan plan, Optional<Layout> old) {
        int tensors = plan.size();
        long size = chunkSize(engine.multiprocessors * (long) BLOCKS, plan.elements());
        int[] kindOf = new int[tensors];
        for (int n = 0; n < tensors; n++) kindOf[n] = kind(plan.groups()[n], plan.types()[n]);
        if (kinds.isEmpty()) kind(0, Types.FLOAT32); // which counts the steps
        int[] rows = new int[kinds.size()], at = new int[kinds.size()];
        int[] factored = new int[kinds.size()], factorsAt = new int[kinds.size()];
        long[] tiles = new long[kinds.size()];
        long pieces = 0, arrived = 0, scratch = 0;
        boolean whole = false, sums = false;
        for (int n = 0; n < tensors; n++) {
            long elements = plan.params()[n].size();
            int kind = kindOf[n];
            Launch launch = kinds.get(kind);
            rows[kind] += Math.toIntExact(up(elements, size(launch, size)));
            int named = plan.state()[n].length - launch.row.more;
            if (named != launch.states)
                throw new IllegalStateException(launch.kernel + ": its rule named " + named
                        + " arrays of state, and then " + launch.states + ": expected the same each time");
            if (guard.reduces() || launch.whole) pieces += up(elements, Reduce.PIECE);
            whole |= launch.whole;
            sums |= launch.pass(kind) == BY_GRADIENT;
            if (launch.moments.isEmpty() || elements == 0) continue;
            Factors factors = Factors.of(plan, n);
            factored[kind]++;
            arrived += factors.matrices;
            scratch += factors.scratch();
        }
        int words = 0;
        for (int kind = 0; kind < rows.length; kind++) {
            at[kind] = words;
            words = Math.addExact(
                    words, Math.multiplyExact(rows[kind], kinds.get(kind).row.words()));
        }
        int piecesAt = words,
                firstsAt = Math.addExact(piecesAt, Math.multiplyExact(PIECE, Math.toIntExact(pieces))),
                toldAt = firstsAt + tensors + 1,
                arrivedAt = Math.addExact(toldAt, Math.multiplyExact(TOLD, tensors)),
                partialsAt = Math.addExact(arrivedAt, Math.toIntExact(arrived));
        for (int kind = 0; kind < kinds.size(); kind++) {
            factorsAt[kind] = partialsAt;
            partialsAt = Math.addExact(partialsAt, Math.multiplyExact(FACTORS, factored[kind]));
        }
        ByteBuffer page = page(Math.multiplyExact(partialsAt, Long.BYTES));
        LongBuffer to = page.asLongBuffer();
        long scratchAt = partialsAt + (whole ? 4 : 1) * pieces, bytes = (scratchAt + scratch) * Long.BYTES;
        Optional<Table> before = old.map(Table.class::cast);
        // In the place of the old one, in the stream's order; but a graph reads what was there when it was recorded.
        boolean fits = before.isPresent() && before.get().bytes >= bytes && !engine.isRead(before.get().memory);
        Optional<Updates> known = before.flatMap(Table::updates), updates = updates(plan, known);
        CUdeviceptr memory;
        try {
            memory = fits ? before.get().memory : engine.allocateBytes(bytes, "the chunk table");
        } catch (CudaException e) {
            if (!updates.equals(known)) updates.ifPresent(of -> Engine.cleanUp(e, of::free));
            throw e;
        }
        long base = JCudaAddress.of(memory), free = base + scratchAt * Long.BYTES;
        int arrivals = arrivedAt;
        for (int word = arrivedAt; word < arrivedAt + arrived; word++) page.putLong(word * Long.BYTES, 0);
        int[] chunk = at.clone(), factors = factorsAt.clone();
        int piece = 0, matrix = 0;
        for (int n = 0; n < tensors; n++) {
            int kind = kindOf[n];
            Launch launch = kinds.get(kind);
            long update = launch.matrix && plan.params()[n].size() > 0
                    ? updates.orElseThrow().address(matrix++)
                    : 0;
            chunk[kind] = putChunks(to.position(chunk[kind]), plan, n, size(launch, size), launch.row, update);
            to.put(firstsAt + n, piece);
            Tensor grad = plan.grads()[n], value = plan.value(n, averaged[plan.groups()[n]]);
            long elements = grad.size();
            long types =
                    (long) grad.dtype().ordinal() << 32 | (long) value.dtype().ordinal() << 48;
            int pass = launch.pass(kind);
            to.position(piecesAt + PIECE * piece);
            for (long from = 0; (guard.reduces() || launch.whole) && from < elements; from += Reduce.PIECE, piece++) {
                to.put(Math.min(Reduce.PIECE, elements - from) | types).put(address(grad, from));
                to.put(pass == BY_GRADIENT ? address(value, from) : 0);
            }
            long number = launch.moments.isEmpty() && launch.row.arrays < launch.states
                    ? address(plan.state()[n][launch.row.arrays], 0)
                    : 0;
            to.position(toldAt + TOLD * n);
            to.put(pair(Float.floatToRawIntBits((float) guard.signedScale()), Float.floatToRawIntBits(1f)));
            to.put(0L)
                    .put(0L)
                    .put(0L)
                    .put(address(plan.params()[n], 0))
                    .put(number)
                    .put(pair(0, pass))
                    .put(elements);
            Optional<Factors> of =
                    launch.moments.isEmpty() || elements == 0 ? Optional.empty() : Optional.of(Factors.of(plan, n));
            to.put(of.filter(Factors::factored)
                    .map(f -> base + (long) factors[kind] * Long.BYTES)
                    .orElse(0L));
            to.put(plan.keys()[n]);
            if (of.isEmpty()) continue;
            to.position(factors[kind]);
            of.get().put(to, tiles[kind], plan, n, value, base + (long) arrivals * Long.BYTES, free);
            factors[kind] = to.position();
            tiles[kind] += of.get().tiles;
            arrivals += of.get().matrices;
            free += of.get().scratch() * Long.BYTES;
        }
        to.put(firstsAt + tensors, piece);
        page.position(partialsAt * Long.BYTES);

        try {
            tables.get().send(memory);
        } catch (CudaException e) {
            if (!fits) engine.discard(memory);
            if (!updates.equals(known)) updates.ifPresent(of -> Engine.cleanUp(e, of::free));
            throw e;
        }
        if (!updates.equals(known)) known.ifPresent(Updates::free);
        if (!fits) before.ifPresent(table -> engine.discard(table.memory));
        return new Table(
                engine,
                memory,
                fits ? before.get().bytes : bytes,
                rows,
                at,
                tensors,
                piece,
                sums,
                piecesAt,
                firstsAt,
                toldAt,
                partialsAt,
                updates,
                tiles,
                factored,
                factorsAt);
    }

    /**
     * The moments of one tensor of a rule that factors, as {@link CpuFactors} has them.
     *
     * @param factored or a vector, of which the elements are columns
     * @param across tiles of a matrix in each row, and {@code down} in each column
     * @param tiles of all matrices, or pieces of a vector
     */
    private record Factors(
            boolean factored,
            long rows,
            long columns,
            int matrices,
            int width,
            int deep,
            long across,
            long down,
            long tiles) {

        static Factors of(Plan plan, int n) {
            long[] shape = plan.params()[n].shape();
            long elements = plan.params()[n].size();
            if (plan.state()[n][2].size() > 0)
                return new Factors(false, 1, elements, 0, 0, 0, 0, 0, up(elements, VECTOR));
            long rows = shape[shape.length - 2], columns = Math.toIntExact(shape[shape.length - 1]);
            int matrices = Math.toIntExact(elements / rows / columns), width = CpuFactors.width(columns);
            int deep = Reduce.LANES / width * CpuFactors.DEEP;
            long across = up(columns, width), down = up(rows, deep);
            return new Factors(true, rows, columns, matrices, width, deep, across, down, matrices * across * down);
        }

        /** Words of its sums and factors. */
        long scratch() {
            return matrices * (rows * across + columns * down) + up(matrices * rows, 2) + up(matrices * columns, 2);
        }

        void put(LongBuffer to, long first, Plan plan, int n, Tensor value, long arrived, long free) {
            Tensor[] state = plan.state()[n];
            long colSums = free + matrices * rows * across * Long.BYTES;
            long rowFactors = colSums + matrices * columns * down * Long.BYTES;
            long colFactors = rowFactors + up(matrices * rows, 2) * Long.BYTES;
            to.put(first).put(rows).put(columns).put(address(value, 0)).put(address(plan.grads()[n], 0));
            to.put(factored ? 0 : address(state[2], 0))
                    .put(address(state[0], 0))
                    .put(address(state[1], 0));
            to.put(rowFactors).put(colFactors).put(free).put(colSums).put(arrived);
            to.put(pair(width, deep)).put(pair(n, plan.groups()[n])).put(across).put(down);
        }
    }

    /** Room for the updates that are made orthogonal: what there is, where it is for the same. None where there are none. */
    private Optional<Updates> updates(Plan plan, Optional<Updates> known) {
        List<CudaNewtonSchulz.Matrix> matrices = new ArrayList<>();
        long bytes = 0;
        for (int n = 0; n < plan.size(); n++) {
            long elements = plan.params()[n].size();
            if (!(rules[plan.groups()[n]] instanceof MatrixRule rule) || elements == 0) continue;
            int rows = Math.toIntExact(plan.params()[n].shape()[0]), columns = Math.toIntExact(elements / rows);
            matrices.add(new CudaNewtonSchulz.Matrix(
                    bytes, rows, columns, NewtonSchulz.of(rule), rule.scale(rows, columns)));
            bytes += ALIGNED * up(elements * Float.BYTES, ALIGNED);
        }
        if (matrices.isEmpty()) return Optional.empty();
        if (known.isPresent() && known.get().matrices.equals(matrices)) return known;
        CUdeviceptr memory = engine.allocateBytes(bytes, "the updates of matrices");
        try {
            long all = bytes;
            // A step that is left out makes nothing of them, but goes over them.
            must(() -> cuMemsetD8Async(memory, (byte) 0, all, engine.stream), "cuMemsetD8Async of the updates");
            CudaNewtonSchulz.Laid laid = orthogonal.orElseThrow().layout(JCudaAddress.of(memory), matrices);
            return Optional.of(new Updates(engine, memory, matrices, laid));
        } catch (CudaException e) {
            engine.discard(memory);
            throw e;
        }
    }

    /** To write a table to. */
    private ByteBuffer page(int bytes) {
        if (tables.isEmpty() || tables.get().capacity() < bytes) {
            Upload larger = new Upload(engine, bytes, "the layout of tensors that no update has seen");
            Optional<Upload> outgrown = tables;
            tables = Optional.of(larger);
            outgrown.ifPresent(this::free);
        }
        return tables.get().page();
    }

    private void free(Upload upload) {
        engine.finish();
        upload.free();
    }

    @Override
    void use(Layout layout) {
        Table table = (Table) layout;
        this.table = table.memory;
        long control = JCudaAddress.of(this.control), told = table.address(table.toldAt);
        long partials = table.address(table.partialsAt), firsts = table.address(table.firstsAt);
        this.partials = table.memory.withByteOffset((long) table.partialsAt * Long.BYTES);
        pieces = table.pieces;
        sums = table.sums;
        updates = table.updates;
        reduce.set(0, table.address(table.piecesAt))
                .set(1, (long) table.pieces)
                .set(2, partials)
                .set(3, firsts)
                .set(4, (long) table.tensors)
                .set(5, told)
                .set(6, control)
                .set(7, guard.reduces() ? 1L : 0)
                .set(8, clipsEach() ? 1L : 0)
                .set(9, guard.maxNorm())
                .set(10, guard.signedScale())
                .set(11, lossScale())
                .set(12, reduceRanks.isEmpty() ? 1L : 0);
        reduceRanks.ifPresent(kernel -> kernel.set(2, told)
                .set(3, (long) table.tensors)
                .set(4, control)
                .set(5, clipsEach() ? 1L : 0)
                .set(7, guard.maxNorm())
                .set(8, guard.signedScale())
                .set(9, lossScale()));
        last = 0;
        for (int kind = 0; kind < table.rows.length; kind++) if (table.rows[kind] > 0) last = kind;
        for (int kind = 0; kind < kinds.size(); kind++) {
            int of = kind;
            Launch launch = kinds.get(kind);
            launch.rows = kind < table.rows.length ? table.rows[kind] : 0;
            if (kind >= table.rows.length) continue; // it is of types that came later
            walks(launch.kernel, table, kind).set(4, kind == last ? 1L : 0);
            launch.tiles = table.tiles[kind];
            if (launch.gather.isEmpty()) continue;
            launch.moments.ifPresent(moments -> moments.set(0, table.address(table.factorsAt[of]))
                    .set(1, (long) table.factored[of])
                    .set(2, table.tiles[of])
                    .set(3, told)
                    .set(4, control));
            walks(launch.gather.get(), table, kind)
                    .set(4, partials)
                    .set(5, firsts)
                    .set(6, (long) table.tensors)
                    .set(7, (long) table.pieces)
                    .set(8, (long) launch.pass(kind));
        }
    }

    private boolean clipsEach() {
        return guard.clip() == Guard.Clip.TENSOR_NORM;
    }

    private long lossScale() {
        return lossScale.map(CudaLossScale::address).orElse(0L);
    }

    private CudaKernel walks(CudaKernel kernel, Table table, int kind) {
        return kernel.set(0, table.address(table.at[kind]))
                .set(1, (long) table.rows[kind])
                .set(2, table.address(table.toldAt))
                .set(3, JCudaAddress.of(control));
    }

    /**
     * The rows of one tensor: count, p, g, the arrays of state, of which the last is the update if it has an address; those behind all state; tensor and group.
     */
    static int putChunks(LongBuffer to, Plan plan, int n, long size, Row row, long update) {
        long elements = plan.params()[n].size();
        Tensor[] state = plan.state()[n];
        for (long from = 0; from < elements; from += size) {
            int end = to.position() + row.words(), kept = state.length - row.more;
            to.put(Math.min(size, elements - from));
            to.put(address(plan.params()[n], from)).put(address(plan.grads()[n], from));
            for (int a = 0; a < row.arrays - (update == 0 ? 0 : 1); a++) to.put(address(state[row.first + a], from));
            if (update != 0) to.put(update + from * Float.BYTES);
            for (int a = 0; a < row.more; a++)
                to.put(address(state[kept + a], a < row.blockwise ? from / Blockwise.BLOCK : from));
            to.put(end - 1, n | (long) plan.groups()[n] << Integer.SIZE).position(end);
        }
        return to.position();
    }

    private static long pair(int low, int high) {
        return low & 0xffff_ffffL | (long) high << Integer.SIZE;
    }

    /** Elements of a chunk of a kind: those of a rule that gathers are whole pieces, of which it sums up what it gathers; of state in 8 bits, whole blocks. */
    private static long size(Launch launch, long size) {
        long whole = launch.gather.isPresent() ? Reduce.PIECE : launch.row.blockwise > 0 ? Blockwise.BLOCK : 1;
        return whole * up(size, whole);
    }

    /** Of an element. */
    private static long address(Tensor tensor, long element) {
        return ((CudaTensor) tensor).address + tensor.dtype().bytes(element);
    }

    /**
     * How many elements a chunk has, at most: so many that all blocks have as many chunks as each other, and a launch does not wait for one that
     * has one more; a multiple of 8, for 16 bytes at a time.
     */
    static long chunkSize(long blocks, long elements) {
        long rounds = Math.max(1, up(elements, blocks * LARGEST));
        return Math.max(SMALLEST, 8 * up(elements, 8 * blocks * rounds));
    }

    private static long up(long x, long by) {
        return (x + by - 1) / by;
    }

    @Override
    void send(long first, int steps, float[] k) {
        ByteBuffer to = scalars.page();
        for (int n = 0, from = 0, scalars = slotBytes / Float.BYTES - SLOT / Float.BYTES; n < steps; n++) {
            to.putLong(first + n).putLong(0);
            for (int end = from + scalars; from < end; from++) to.putFloat(k[from]);
        }
        scalars.send(ring[(int) (first % Control.RING)]);
    }

    @Override
    void step() {
        if (engine.recording().isPresent()) engine.recording().get().reads(table);
        if (reduceRanks.isPresent()) engine.checkNotCapturing("a step that waits for the gradients of other ranks");
        if (guard.reduces() || sums) reduce.start(Math.max(1, engine.blocks(pieces)), THREADS);
        if (reduceRanks.isPresent()) meet(reduceRanks.get());
        try {
            // The last one runs even without chunks, for it counts the step.
            for (int kind = 0; kind <= last; kind++) {
                Launch launch = kinds.get(kind);
                int blocks = engine.blocks(launch.rows), tiles = (int) Math.min(launch.tiles, Integer.MAX_VALUE);
                if (launch.moments.isPresent()) move(launch.moments.get(), engine.blocks(tiles));
                if (launch.gather.isPresent()) move(launch.gather.get(), blocks);
                if (launch.matrix && updates.isPresent()) orthogonal.get().orthogonalize(updates.get().laid);
                move(launch.kernel, kind == last ? Math.max(1, blocks) : blocks);
            }
        } catch (CudaException e) {
            if (!isTorn) throw e;
            throw new CudaException(e.what() + ", with the step half done", e.fix());
        }
        isTorn = false;
    }

    /** Has the step decided by the sums of all ranks. */
    private void meet(CudaKernel decides) {
        double[] own = new double[pieces];
        engine.toHost(Pointer.to(own), partials, (long) pieces * Double.BYTES, "the sums of a rank's gradients");
        double[] all = others.partials(own);
        boolean vanishes = false;
        if (clipsEach()) {
            int[] go = new int[1];
            engine.toHost(Pointer.to(go), control.withByteOffset(GO), Integer.BYTES, "whether a factor vanishes");
            vanishes = others.any(go[0] == 0);
        }
        if (all.length > 0) {
            reserve(all.length);
            engine.toDevice(
                    allPartials,
                    Arrays.stream(all).mapToLong(Double::doubleToRawLongBits).toArray(),
                    "the sums of all ranks' gradients");
        }
        decides.set(0, JCudaAddress.of(allPartials))
                .set(1, (long) all.length)
                .set(6, vanishes ? 1L : 0)
                .start(1, THREADS);
    }

    private void reserve(int partials) {
        if (room >= partials) return;
        CUdeviceptr outgrown = allPartials;
        allPartials = engine.allocateBytes((long) partials * Double.BYTES, "the sums of all ranks' gradients");
        room = partials;
        engine.discard(outgrown);
    }

    /** Launches what changes parameters or state; where that is recorded, nothing changes yet. */
    private void move(CudaKernel kernel, int blocks) {
        kernel.start(blocks, THREADS);
        isTorn |= blocks > 0 && engine.recording().isEmpty();
    }

    @Override
    void ask() {
        look.start();
    }

    @Override
    Tally heard() {
        look.await();
        tally.set(
                look.page.getLong(0), look.page.getLong(SKIPPED), look.page.getLong(OUTRAN), look.page.getDouble(NORM));
        return tally;
    }

    @Override
    void count(long done, long skipped) {
        engine.toDevice(control, new long[] {done, skipped, 0, 0}, "the counts of an optimizer");
    }

    /** Everything, whatever fails; the first failure is told. */
    @Override
    void free() {
        engine.finish();
        tables.ifPresent(upload -> frees.push(upload::free));
        frees.push(() -> engine.freeBytes(allPartials));
        CudaException failure = null;
        for (Runnable free : frees) {
            try {
                free.run();
            } catch (CudaException e) {
                if (failure == null) failure = e;
                else failure.addSuppressed(e);
            }
        }
        frees.clear();
        if (failure != null) throw failure;
    }
}
