package kudari;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;

/**
 * A collective by way of the host's memory, over anything that carries messages from one rank to another. What is a device's is copied to the host
 * and back, so every call waits for the engine's work before it.
 *
 * <p>Sums are in the order of the ranks. To sum n elements each of N ranks sends 2·(N − 1)/N · 4n bytes, the least that any way takes: every rank adds up
 * one shard, and then has all shards of the others.
 */
public abstract class HostCollective implements Collective {

    /** The most elements of a call: a message of all of them is one Java buffer. */
    private static final long MOST = Integer.MAX_VALUE / Float.BYTES;

    private final int rank, size;

    /** The vector of a call. Kept, for a training makes the same calls again and again. */
    private float[] vector = {};

    /**
     * A collective of one rank.
     *
     * @param rank its number, from 0
     * @param size the number of ranks
     */
    protected HostCollective(int rank, int size) {
        if (size < 1 || rank < 0 || rank >= size)
            throw new IllegalArgumentException("rank: expected from 0 to " + (size - 1) + ", got " + rank);
        this.rank = rank;
        this.size = size;
    }

    /**
     * Sends a message, and need not wait until it is there. Messages from one rank to another arrive in their order.
     *
     * @param to another rank
     * @param message from its position to its limit; the buffer is the transport's from here on
     */
    protected abstract void send(int to, ByteBuffer message);

    /**
     * Waits for the next message of a rank.
     *
     * @param from another rank
     * @return the message, from the buffer's position to its limit
     * @throws IllegalStateException if it does not come
     */
    protected abstract ByteBuffer receive(int from);

    @Override
    public final int rank() {
        return rank;
    }

    @Override
    public final int size() {
        return size;
    }

    @Override
    public void allReduce(List<Tensor> tensors) {
        long[] cuts = Collective.evenCuts(elements(tensors), size);
        read(tensors, 0);
        reduceScatter(cuts);
        allGather(cuts);
        write(tensors, 0);
    }

    @Override
    public void reduceScatter(List<Tensor> tensors, long[] cuts, List<Tensor> shard) {
        checkCuts(cuts, elements(tensors), elements(shard));
        read(tensors, 0);
        reduceScatter(cuts);
        write(shard, (int) cuts[rank]);
    }

    @Override
    public void allGather(List<Tensor> shard, long[] cuts, List<Tensor> tensors) {
        checkCuts(cuts, elements(tensors), elements(shard));
        reserve(cuts[size]);
        read(shard, (int) cuts[rank]);
        allGather(cuts);
        write(tensors, 0);
    }

    @Override
    public double[] allGather(double... own) {
        for (int n = 1; n < size; n++) {
            ByteBuffer message = message((long) own.length * Double.BYTES);
            message.asDoubleBuffer().put(own);
            send((rank + n) % size, message);
        }
        double[][] of = new double[size][];
        for (int r = 0; r < size; r++) of[r] = r == rank ? own.clone() : doubles(receive(r));
        return Arrays.stream(of).flatMapToDouble(Arrays::stream).toArray();
    }

    private static double[] doubles(ByteBuffer message) {
        double[] numbers = new double[message.remaining() / Double.BYTES];
        message.order(ByteOrder.LITTLE_ENDIAN).asDoubleBuffer().get(numbers);
        return numbers;
    }

    @Override
    public void broadcast(int root, List<Tensor> tensors) {
        if (root < 0 || root >= size)
            throw new IllegalArgumentException("root: expected a rank from 0 to " + (size - 1) + ", got " + root);
        int count = (int) elements(tensors);
        if (size == 1) return;
        if (rank == root) {
            read(tensors, 0);
            for (int n = 1; n < size; n++) send((rank + n) % size, message(0, count));
        } else {
            reserve(count);
            floats(root, count).get(vector, 0, count);
            write(tensors, 0);
        }
    }

    /** Adds up this rank's shard of the vector, in its place. */
    private void reduceScatter(long[] cuts) {
        // Each begins with the rank behind it, so that not all of them send to one.
        for (int n = 1; n < size; n++) {
            int to = (rank + n) % size;
            send(to, message((int) cuts[to], (int) cuts[to + 1]));
        }
        int from = (int) cuts[rank], count = (int) (cuts[rank + 1] - cuts[rank]);
        float[] own = rank == 0 || size == 1 ? vector : Arrays.copyOfRange(vector, from, from + count);
        float[] other = new float[size == 1 ? 0 : count];
        for (int r = 0; r < size; r++) {
            if (r == rank) {
                if (r > 0) add(vector, from, own, count);
                continue;
            }
            floats(r, count).get(r == 0 ? vector : other, r == 0 ? from : 0, count);
            if (r > 0) add(vector, from, other, count);
        }
    }

    private static void add(float[] sum, int from, float[] x, int count) {
        for (int i = 0; i < count; i++) sum[from + i] += x[i];
    }

    /** Has every rank's shard of the vector in its place, on every rank. */
    private void allGather(long[] cuts) {
        for (int n = 1; n < size; n++) send((rank + n) % size, message((int) cuts[rank], (int) cuts[rank + 1]));
        for (int n = 1; n < size; n++) {
            int from = (rank + size - n) % size, count = (int) (cuts[from + 1] - cuts[from]);
            floats(from, count).get(vector, (int) cuts[from], count);
        }
    }

    /** The number of elements of all of them, which this can take. */
    static long elements(List<Tensor> tensors) {
        long elements = 0;
        for (Tensor tensor : tensors) {
            tensor.checkOpen();
            elements += tensor.size();
        }
        if (elements > MOST)
            throw new IllegalArgumentException("tensors: expected at most " + MOST
                    + " elements in a call by way of the host, got " + elements + "; call more than once");
        return elements;
    }

    private void reserve(long elements) {
        if (vector.length < elements) vector = new float[(int) elements];
    }

    /** Copies tensors to the vector, one behind the other. */
    private void read(List<Tensor> tensors, int at) {
        reserve(at + elements(tensors));
        for (Tensor tensor : tensors) {
            float[] values = tensor instanceof CpuTensor onHost && onHost.array != null ? onHost.array : tensor.get();
            System.arraycopy(values, 0, vector, at, values.length);
            at += values.length;
        }
    }

    /** Copies a part of the vector to tensors. */
    private void write(List<Tensor> tensors, int at) {
        for (Tensor tensor : tensors) {
            int end = at + (int) tensor.size();
            if (tensor instanceof CpuTensor onHost && onHost.array != null)
                System.arraycopy(vector, at, onHost.array, 0, onHost.array.length);
            else tensor.set(Arrays.copyOfRange(vector, at, end));
            at = end;
        }
    }

    private ByteBuffer message(int from, int to) {
        ByteBuffer message = message((long) Float.BYTES * (to - from));
        message.asFloatBuffer().put(vector, from, to - from);
        return message;
    }

    private static ByteBuffer message(long bytes) {
        return ByteBuffer.allocate(Math.toIntExact(bytes)).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** The next message of a rank, which must be as long as this rank's own tensors say. */
    private FloatBuffer floats(int from, int count) {
        ByteBuffer message = receive(from);
        if (message.remaining() != Float.BYTES * count)
            throw new IllegalStateException("rank " + rank + ": expected " + Float.BYTES * count
                    + " bytes from rank " + from + ", got " + message.remaining()
                    + "; all ranks must make the same calls in the same order, with tensors of the same sizes");
        return message.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
    }
}
