package kudari.spark;

import static jcuda.driver.JCudaDriver.cuCtxGetCurrent;
import static jcuda.driver.JCudaDriver.cuCtxSetCurrent;
import static jcuda.driver.JCudaDriver.cuEventCreate;
import static jcuda.driver.JCudaDriver.cuEventDestroy;
import static jcuda.driver.JCudaDriver.cuEventQuery;
import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;
import static jcuda.driver.JCudaDriver.cuThreadExchangeStreamCaptureMode;
import static kudari.CudaException.must;

import com.sun.jna.Pointer;
import com.sun.jna.ptr.IntByReference;
import com.sun.jna.ptr.PointerByReference;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import jcuda.driver.CUcontext;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.CUresult;
import jcuda.driver.CUstreamCaptureMode;
import kudari.Collective;
import kudari.CudaEngine;
import kudari.Dtype;
import kudari.Engine;
import kudari.Tensor;

/**
 * A collective whose tensors go from GPU to GPU by NVIDIA's NCCL, in the order of the engine's work: no call with tensors waits for the device. What is no
 * tensor, the numbers of {@link #allGather(double...)} and the communicator's name, goes by another collective.
 *
 * <p>NCCL only sends and receives here. Sums are the engine's, in the order of the ranks, so the bits are those of every other collective; NCCL's own sums
 * are in an order of its own. Each rank sends the bytes of a ring's reduce-scatter. Ranks must agree in the tensors' types, too: what has 16 bits is sent as
 * it is, and added up as floats.
 *
 * <p>No wait is without an end: a thread watches the communicator, and aborts it where NCCL reports an error, the task is to end, or the device stands at one
 * transfer longer than the timeout. What waits for the device then goes on, and the next call here says what has happened.
 */
final class NcclCollective implements Collective {

    /** The most elements of a shard that are received before they are added up: 16 MiB from every rank. */
    static final long CHUNK = 4 << 20;

    /** Between two looks at what NCCL or the device has come to. */
    private static final long PAUSE_NANOS = 50_000, WATCH_MILLIS = 10;

    /** Elements of a tensor. */
    private record Piece(Tensor tensor, long from, long to) {
        long count() {
            return to - from;
        }
    }

    /** What the stream passes before and after a group of transfers. */
    private record Marks(CUevent before, CUevent after) {}

    private final CudaEngine engine;
    private final Collective control;
    private final Nccl nccl;
    private final Duration timeout;
    private final BooleanSupplier isToEnd;
    private final long chunk;
    private final int rank, size;
    private final CUcontext context = new CUcontext();
    private final Pointer comm, stream;
    private final Thread watchdog;

    // What the watchdog sees, too, with the lock of this.
    private final Deque<Marks> underWay = new ArrayDeque<>(), free = new ArrayDeque<>();
    private long passed; // how many of them the stream has
    private String failure = "";
    private boolean aborted;
    private volatile boolean closed;

    /** What is received, and its sums. Kept, for a training makes the same calls again and again. */
    private Optional<Tensor> scratch = Optional.empty();

    /** Whether all ranks have met since the last transfer, so that nobody needs this one's communicator. */
    private boolean met = true;

    /**
     * Meets the other ranks, each of which calls this.
     *
     * @param engine of this rank
     * @param control of the same ranks, which is closed with this
     * @param timeout how long a rank waits for another before it gives up
     * @param isToEnd whether the task that this rank is, is to end
     * @throws Nccl.Unavailable on all ranks, if it cannot be used on one
     */
    static NcclCollective join(Engine engine, Collective control, Duration timeout, BooleanSupplier isToEnd) {
        return join(engine, control, timeout, isToEnd, Optional.empty(), CHUNK);
    }

    /**
     * The same with a library.
     *
     * @param file the library's; none for where {@link Nccl#load()} looks
     * @param chunk elements that are added up at a time
     */
    static NcclCollective join(
            Engine engine,
            Collective control,
            Duration timeout,
            BooleanSupplier isToEnd,
            Optional<String> file,
            long chunk) {
        String rank = "rank " + control.rank() + ": ";
        Optional<Nccl> nccl = Optional.empty();
        String missing = "";
        try {
            if (!(engine instanceof CudaEngine))
                throw new Nccl.Unavailable(
                        "NCCL needs a GPU, got " + engine
                                + "; have Spark give one to each task (spark.task.resource.gpu.amount), or take Backend.BLOCKS");
            nccl = Optional.of(file.isPresent() ? Nccl.load(file.get()) : Nccl.load());
        } catch (Nccl.Unavailable e) {
            missing = rank + e.getMessage();
        }
        agree(control, missing);
        double[] versions = control.allGather(nccl.get().version);
        for (int r = 1; r < versions.length; r++) {
            if (versions[r] != versions[0])
                throw new Nccl.Unavailable("NCCL: expected the same version on all ranks, got "
                        + Nccl.text((int) versions[0]) + " on rank 0 and " + Nccl.text((int) versions[r]) + " on rank "
                        + r + "; install one version on all machines");
        }
        NcclCollective[] joined = {null};
        CudaEngine device = (CudaEngine) engine;
        Nccl library = nccl.get();
        String refused = "";
        try {
            Nccl.Id.ByValue id = name(library, control);
            device.inContext(
                    () -> joined[0] = new NcclCollective(device, control, library, id, timeout, isToEnd, chunk));
        } catch (Nccl.Unavailable e) {
            refused = rank + e.getMessage();
        }
        try {
            agree(control, refused);
        } catch (RuntimeException e) {
            if (joined[0] != null) joined[0].give(false);
            throw e;
        }
        return joined[0];
    }

    /** Throws on all ranks if one has something to say. */
    private static void agree(Collective control, String own) {
        double[] all = control.allGather(own.isEmpty() ? 0 : 1);
        if (!own.isEmpty()) throw new Nccl.Unavailable(own);
        for (int r = 0; r < all.length; r++) {
            if (all[r] != 0)
                throw new Nccl.Unavailable("rank " + control.rank() + ": rank " + r
                        + " cannot use NCCL, and the others are not to without it; the message of rank " + r
                        + " says why");
        }
    }

    /** That which rank 0 makes up, on all ranks. */
    private static Nccl.Id.ByValue name(Nccl nccl, Collective control) {
        Nccl.Id made = new Nccl.Id();
        int code = control.rank() == 0 ? nccl.calls.ncclGetUniqueId(made) : Nccl.SUCCESS;
        double[] bytes = new double[control.rank() == 0 && code == Nccl.SUCCESS ? made.bytes.length : 0];
        for (int n = 0; n < bytes.length; n++) bytes[n] = made.bytes[n];
        double[] all = control.allGather(bytes);
        if (code != Nccl.SUCCESS) throw new Nccl.Unavailable("ncclGetUniqueId: " + nccl.text(code, null));
        if (all.length == 0) throw new Nccl.Unavailable("rank 0 could not make up NCCL's name for this job");
        Nccl.Id.ByValue id = new Nccl.Id.ByValue();
        for (int n = 0; n < all.length; n++) id.bytes[n] = (byte) all[n];
        return id;
    }

    /** In the context of the engine. */
    private NcclCollective(
            CudaEngine engine,
            Collective control,
            Nccl nccl,
            Nccl.Id.ByValue id,
            Duration timeout,
            BooleanSupplier isToEnd,
            long chunk) {
        this.engine = engine;
        this.control = control;
        this.nccl = nccl;
        this.timeout = timeout;
        this.isToEnd = isToEnd;
        this.chunk = chunk;
        rank = control.rank();
        size = control.size();
        stream = new Pointer(engine.streamAddress());
        must(cuCtxGetCurrent(context), "cuCtxGetCurrent");
        PointerByReference made = new PointerByReference();
        int code = nccl.calls.ncclCommInitRankConfig(made, size, id, rank, new Nccl.Config());
        if (code != Nccl.SUCCESS && code != Nccl.IN_PROGRESS)
            throw new Nccl.Unavailable("ncclCommInitRankConfig: " + nccl.text(code, null));
        comm = made.getValue();
        try {
            settle("ncclCommInitRankConfig", "not all ranks have come");
        } catch (IllegalStateException e) {
            abort(e.getMessage());
            throw new Nccl.Unavailable(e.getMessage());
        }
        watchdog = new Thread(this::watch, "kudari watches NCCL");
        watchdog.setDaemon(true);
        watchdog.start();
    }

    // ---- waits, each with an end ----

    /** Waits until NCCL has done on the host what it was asked for; not for the device. */
    private void settle(String call, String late) {
        long start = System.nanoTime();
        IntByReference result = new IntByReference();
        while (true) {
            synchronized (this) {
                checkAlive();
                int code = nccl.calls.ncclCommGetAsyncError(comm, result);
                if (code == Nccl.SUCCESS) code = result.getValue();
                if (code == Nccl.SUCCESS) return;
                if (code != Nccl.IN_PROGRESS) throw new IllegalStateException(call + ": " + nccl.text(code, comm));
            }
            if (isToEnd.getAsBoolean()) throw new IllegalStateException(call + ": the rank is to end");
            if (System.nanoTime() - start > timeout.toNanos())
                throw new IllegalStateException(
                        call + ": expected an end within " + timeout.toMillis() + " ms, got none; " + late);
            LockSupport.parkNanos(PAUSE_NANOS);
        }
    }

    private synchronized void checkAlive() {
        if (aborted) throw new IllegalStateException("rank " + rank + ": NCCL was aborted: " + failure);
    }

    /** Ends all that waits for NCCL, on the device, too; once. */
    private synchronized void abort(String why) {
        if (aborted) return;
        aborted = true;
        failure = why;
        nccl.calls.ncclCommAbort(comm);
    }

    private void watch() {
        // Looking at the stream breaks no capture of the engine's.
        int[] mode = {CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED};
        cuCtxSetCurrent(context);
        cuThreadExchangeStreamCaptureMode(mode);
        long at = -1, since = 0; // which transfer the stream stands at, and since when
        IntByReference result = new IntByReference();
        while (!closed) {
            synchronized (this) {
                if (aborted) return;
                Marks first = oldest();
                long now = first == null || !isPassed(first.before) ? -1 : passed;
                if (now != at) since = System.nanoTime();
                at = now;
                int code = nccl.calls.ncclCommGetAsyncError(comm, result);
                if (code == Nccl.SUCCESS) code = result.getValue();
                if (code != Nccl.SUCCESS && code != Nccl.IN_PROGRESS) abort(nccl.text(code, comm));
                else if (isToEnd.getAsBoolean())
                    abort("the rank is to end: another has failed, or the job was stopped");
                else if (at >= 0 && System.nanoTime() - since > timeout.toNanos())
                    abort("a transfer has not ended for " + timeout.toMillis()
                            + " ms; another rank is lost, or frozen, or slow, or makes other calls than this rank");
            }
            LockSupport.parkNanos(WATCH_MILLIS * 1_000_000);
        }
    }

    /** The marks that the stream has not passed; null if there are none. */
    private Marks oldest() {
        while (!underWay.isEmpty() && isPassed(underWay.getFirst().after)) {
            free.add(underWay.removeFirst());
            passed++;
        }
        return underWay.peekFirst();
    }

    /** Also where the device has failed: what waits then, waits for nobody. */
    private static boolean isPassed(CUevent event) {
        return cuEventQuery(event) != CUresult.CUDA_ERROR_NOT_READY;
    }

    private Marks marks() {
        synchronized (this) {
            oldest();
            if (!free.isEmpty()) return free.removeFirst();
        }
        Marks marks = new Marks(new CUevent(), new CUevent());
        must(cuEventCreate(marks.before, CUevent_flags.CU_EVENT_DISABLE_TIMING), "cuEventCreate");
        must(cuEventCreate(marks.after, CUevent_flags.CU_EVENT_DISABLE_TIMING), "cuEventCreate");
        return marks;
    }

    // ---- transfers ----

    /** Transfers of all ranks with each other, which begin together. */
    private void group(Runnable transfers) {
        met = false;
        engine.inContext(() -> {
            checkAlive();
            Marks marks = marks();
            must(cuEventRecord(marks.before, engine.stream()), "cuEventRecord");
            try {
                check(nccl.calls.ncclGroupStart(), "ncclGroupStart");
                int end;
                try {
                    transfers.run();
                } finally {
                    end = nccl.calls.ncclGroupEnd();
                }
                check(end, "ncclGroupEnd");
                settle("ncclGroupEnd", "another rank is lost, or makes other calls than this rank");
            } catch (IllegalStateException e) {
                abort(e.getMessage());
                throw e;
            }
            must(cuEventRecord(marks.after, engine.stream()), "cuEventRecord");
            synchronized (this) {
                underWay.add(marks);
            }
        });
    }

    private void check(int code, String call) {
        if (code != Nccl.SUCCESS && code != Nccl.IN_PROGRESS)
            throw new IllegalStateException("rank " + rank + ": " + call + ": " + nccl.text(code, comm));
    }

    private void send(List<Piece> pieces, int to) {
        for (Piece piece : pieces)
            check(
                    nccl.calls.ncclSend(address(piece), bytes(piece), Nccl.BYTES, to, comm, stream),
                    "ncclSend to rank " + to);
    }

    private void receive(List<Piece> pieces, int from) {
        for (Piece piece : pieces)
            check(
                    nccl.calls.ncclRecv(address(piece), bytes(piece), Nccl.BYTES, from, comm, stream),
                    "ncclRecv from rank " + from);
    }

    private Pointer address(Piece piece) {
        return new Pointer(engine.address(piece.tensor) + piece.from * width(piece.tensor));
    }

    private static long bytes(Piece piece) {
        return piece.count() * width(piece.tensor);
    }

    private static int width(Tensor tensor) {
        return tensor.dtype() == Dtype.F32 ? Float.BYTES : Short.BYTES;
    }

    /** The elements of a piece, as a tensor. */
    private Tensor tensor(Piece piece) {
        if (piece.count() == piece.tensor.size()) return piece.tensor;
        return engine.wrap(
                engine.address(piece.tensor) + piece.from * width(piece.tensor), piece.tensor.dtype(), piece.count());
    }

    /** Some elements of the vector that tensors are together. */
    private static List<Piece> pieces(List<Tensor> tensors, long from, long to) {
        List<Piece> pieces = new ArrayList<>();
        long begin = 0;
        for (Tensor tensor : tensors) {
            long end = begin + tensor.size();
            if (Math.max(from, begin) < Math.min(to, end))
                pieces.add(new Piece(tensor, Math.max(from, begin) - begin, Math.min(to, end) - begin));
            begin = end;
        }
        return pieces;
    }

    /** Copies one vector to another of as many elements, which may be cut otherwise. */
    private void copy(List<Piece> from, List<Piece> to) {
        int f = 0, t = 0;
        long fromDone = 0, toDone = 0;
        while (f < from.size() && t < to.size()) {
            Piece a = from.get(f), b = to.get(t);
            long count = Math.min(a.count() - fromDone, b.count() - toDone);
            Piece source = new Piece(a.tensor, a.from + fromDone, a.from + fromDone + count),
                    target = new Piece(b.tensor, b.from + toDone, b.from + toDone + count);
            if (!address(source).equals(address(target))) tensor(target).set(tensor(source));
            fromDone += count;
            toDone += count;
            if (fromDone == a.count()) {
                f++;
                fromDone = 0;
            }
            if (toDone == b.count()) {
                t++;
                toDone = 0;
            }
        }
    }

    // ---- the collective ----

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public void allReduce(List<Tensor> tensors) {
        long[] cuts = Collective.evenCuts(elements(tensors), size);
        List<Tensor> own = pieces(tensors, cuts[rank], cuts[rank + 1]).stream()
                .map(this::tensor)
                .toList();
        sum(tensors, cuts, own);
        gather(cuts, tensors);
    }

    @Override
    public void reduceScatter(List<Tensor> tensors, long[] cuts, List<Tensor> shard) {
        checkCuts(cuts, elements(tensors), elements(shard));
        if (!overlapsElsewhere(tensors, cuts, shard)) {
            sum(tensors, cuts, shard);
            return;
        }
        // What is still to be sent must not be written over.
        try (Tensor apart = engine.zeros(elements(shard))) {
            sum(tensors, cuts, List.of(apart));
            copy(pieces(List.of(apart), 0, apart.size()), pieces(shard, 0, apart.size()));
        }
    }

    @Override
    public void allGather(List<Tensor> shard, long[] cuts, List<Tensor> tensors) {
        checkCuts(cuts, elements(tensors), elements(shard));
        long count = elements(shard);
        List<Piece> from = pieces(shard, 0, count), to = pieces(tensors, cuts[rank], cuts[rank + 1]);
        if (overlapsElsewhere(tensors, cuts, shard)) {
            try (Tensor apart = engine.zeros(count)) {
                List<Piece> between = pieces(List.of(apart), 0, count);
                copy(from, between);
                copy(between, to);
            }
        } else copy(from, to);
        gather(cuts, tensors);
    }

    @Override
    public void broadcast(int root, List<Tensor> tensors) {
        if (root < 0 || root >= size)
            throw new IllegalArgumentException("root: expected a rank from 0 to " + (size - 1) + ", got " + root);
        List<Piece> all = pieces(tensors, 0, elements(tensors));
        if (size == 1 || all.isEmpty()) return;
        group(() -> {
            if (rank != root) receive(all, root);
            else for (int n = 1; n < size; n++) send(all, (rank + n) % size);
        });
    }

    @Override
    public double[] allGather(double... own) {
        engine.inContext(() -> must(cuStreamSynchronize(engine.stream()), "cuStreamSynchronize"));
        checkAlive();
        double[] all = control.allGather(own);
        checkAlive();
        met = true;
        return all;
    }

    /** Adds up this rank's shard of the vector. */
    private void sum(List<Tensor> tensors, long[] cuts, List<Tensor> shard) {
        long most = 0;
        for (int r = 0; r < size; r++) most = Math.max(most, cuts[r + 1] - cuts[r]);
        // As many groups on every rank, though some have nothing more to receive.
        for (long at = 0; at < most; at += chunk) sum(tensors, cuts, shard, at);
    }

    private void sum(List<Tensor> tensors, long[] cuts, List<Tensor> shard, long at) {
        List<Piece> own = chunk(tensors, cuts, rank, at);
        long count = own.stream().mapToLong(Piece::count).sum();
        // Places for the sums, and for what each of the others sends.
        long scratch = count == 0 ? 0 : engine.address(scratch(count * size));
        List<List<Tensor>> of = new ArrayList<>();
        for (int r = 0, place = 1; r < size; r++) {
            List<Tensor> parts = new ArrayList<>();
            long address = scratch + Float.BYTES * count * place;
            for (Piece piece : own) {
                parts.add(r == rank ? tensor(piece) : engine.wrap(address, piece.tensor.dtype(), piece.count()));
                address += (bytes(piece) + Float.BYTES - 1) / Float.BYTES * Float.BYTES; // aligned for any type
            }
            of.add(parts);
            if (r != rank) place++;
        }
        if (size > 1)
            group(() -> {
                for (int n = 1; n < size; n++) {
                    int to = (rank + n) % size, from = (rank + size - n) % size;
                    send(chunk(tensors, cuts, to, at), to);
                    receive(pieces(of.get(from), 0, count), from);
                }
            });
        if (count == 0) return;
        List<Tensor> sums = new ArrayList<>();
        long address = scratch;
        for (int p = 0; p < own.size(); p++) {
            Tensor sum = engine.wrap(address, Dtype.F32, own.get(p).count());
            sum.set(of.get(0).get(p));
            for (int r = 1; r < size; r++) sum.add(of.get(r).get(p), 1);
            sums.add(sum);
            address += Float.BYTES * sum.size();
        }
        copy(pieces(sums, 0, count), pieces(shard, at, at + count));
    }

    /** Of a rank's shard. */
    private List<Piece> chunk(List<Tensor> tensors, long[] cuts, int of, long at) {
        return pieces(tensors, Math.min(cuts[of] + at, cuts[of + 1]), Math.min(cuts[of] + at + chunk, cuts[of + 1]));
    }

    /** Has every rank's shard of the vector in its place, on every rank. */
    private void gather(long[] cuts, List<Tensor> tensors) {
        if (size == 1 || cuts[size] == 0) return;
        group(() -> {
            for (int n = 1; n < size; n++) {
                int to = (rank + n) % size, from = (rank + size - n) % size;
                send(pieces(tensors, cuts[rank], cuts[rank + 1]), to);
                receive(pieces(tensors, cuts[from], cuts[from + 1]), from);
            }
        });
    }

    private Tensor scratch(long count) {
        if (scratch.isEmpty() || scratch.get().size() < count) {
            scratch.ifPresent(Tensor::close);
            scratch = Optional.of(engine.zeros(count));
        }
        return scratch.get();
    }

    /** Whether a shard is some of the tensors, but not where it stands in them. */
    private boolean overlapsElsewhere(List<Tensor> tensors, long[] cuts, List<Tensor> shard) {
        long at = cuts[rank];
        for (Tensor part : shard) {
            long from = engine.address(part), to = from + part.size() * width(part), begin = 0;
            for (Tensor tensor : tensors) {
                long first = engine.address(tensor), last = first + tensor.size() * width(tensor);
                boolean inPlace = part.dtype() == tensor.dtype() && from == first + (at - begin) * width(tensor);
                if (from < last && first < to && !inPlace) return true;
                begin += tensor.size();
            }
            at += part.size();
        }
        return false;
    }

    private long elements(List<Tensor> tensors) {
        if (engine.isCapturing())
            throw new IllegalStateException(
                    "capture: what ranks do together cannot be recorded; capture what is before it and after it");
        long elements = 0;
        for (Tensor tensor : tensors) {
            engine.address(tensor); // open, and the engine's
            elements += tensor.size();
        }
        return elements;
    }

    @Override
    public void close() {
        try {
            give(met);
        } finally {
            control.close();
        }
    }

    /**
     * Gives back the communicator and what belongs to it.
     *
     * @param done whether all ranks are; else others may wait for this one, and nobody is to wait for them
     */
    private void give(boolean done) {
        if (closed) return;
        engine.inContext(() -> {
            if (done) {
                try {
                    synchronized (this) {
                        checkAlive();
                        check(nccl.calls.ncclCommFinalize(comm), "ncclCommFinalize");
                    }
                    settle("ncclCommFinalize", "another rank does not close its communicator");
                    synchronized (this) {
                        checkAlive();
                        aborted = true; // nobody is to touch it any more
                        nccl.calls.ncclCommDestroy(comm);
                    }
                } catch (IllegalStateException e) {
                    abort(e.getMessage());
                }
            } else abort("the rank has failed, or was closed before all ranks had met");
            closed = true;
            LockSupport.unpark(watchdog);
            try {
                watchdog.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            cuStreamSynchronize(engine.stream()); // which passes the events
            underWay.addAll(free);
            for (Marks marks : underWay) {
                cuEventDestroy(marks.before);
                cuEventDestroy(marks.after);
            }
            scratch.ifPresent(Tensor::close);
        });
    }

    /** As in {@code NCCL 2.23.4}. */
    @Override
    public String toString() {
        return "NCCL " + Nccl.text(nccl.version);
    }
}
