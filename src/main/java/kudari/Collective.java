package kudari;

import java.util.Arrays;
import java.util.List;

/**
 * What the ranks of one training job do together with tensors of theirs. A rank is one process, or one thread, with an engine of its own.
 *
 * <pre>{@code
 * net.gradient(samples, batches.next(), 32);                     // each rank its own samples
 * collective.allReduce(List.copyOf(net.grads().values()));       // now the sum, the same on all
 * adam.update(net.params(), net.grads());                        // with Guard.NONE.scale(1.0 / collective.size())
 * }</pre>
 *
 * <p>Every rank makes the same calls in the same order, with tensors of its engine of the same sizes. The tensors of a call count as one vector, in the
 * order of the list; a call is in the order of the engine's work, and belongs to the engine's thread.
 *
 * <p>A sum over ranks is ((x₀ + x₁) + x₂) + …, in the order of the ranks, each addition rounded to float: what one process gets that adds the
 * ranks' tensors by {@link Tensor#add} in this order. Tensors of 16 bits are added up as floats, and rounded once, at the end. An implementation that adds in another order says so.
 *
 * <p>A call that fails on one rank, or that another rank does not make, fails on all of them, on some after a timeout; tensors may then hold anything,
 * and the job goes on from a checkpoint.
 */
public interface Collective extends AutoCloseable {

    /** The number of this rank, from 0. */
    int rank();

    /** The number of ranks. */
    int size();

    /** Puts the sum over all ranks in the place of the tensors, on every rank. */
    void allReduce(List<Tensor> tensors);

    /**
     * Puts a part of the sum over all ranks into some tensors: rank r gets the elements {@code cuts[r]} up to but not including {@code cuts[r + 1]}.
     *
     * @param tensors which stay as they are, where they are not in the shard
     * @param cuts the same on every rank: {@link #size} + 1 numbers, from 0 up to the number of elements; {@link #evenCuts}, say
     * @param shard of as many elements, all together, as this rank gets; may be some of the tensors
     */
    void reduceScatter(List<Tensor> tensors, long[] cuts, List<Tensor> shard);

    /**
     * Puts what each rank has of a vector together, on every rank: the other half of {@link #reduceScatter}.
     *
     * @param shard this rank's elements, {@code cuts[rank]} up to but not including {@code cuts[rank + 1]}
     * @param cuts as of {@link #reduceScatter}
     * @param tensors that get all elements
     */
    void allGather(List<Tensor> shard, long[] cuts, List<Tensor> tensors);

    /**
     * The numbers of all ranks, one rank's after the other's. Waits for the engine's work, and for all ranks: who has got an answer knows that every rank has
     * come here.
     *
     * @param own this rank's; as many as it likes, or none
     */
    double[] allGather(double... own);

    /**
     * Copies one rank's tensors to all others.
     *
     * @param root the rank whose tensors stay as they are
     */
    void broadcast(int root, List<Tensor> tensors);

    /** Gives back what it holds. */
    @Override
    void close();

    /** That of one rank, who is alone. */
    static Collective local() {
        return new LocalCollective();
    }

    /**
     * For those who write a collective: whether a vector can be cut so, and a shard is this rank's by the cuts.
     *
     * @param cuts as they were given
     * @param elements of the whole vector
     * @param own elements of the shard that was given
     * @throws IllegalArgumentException if not
     */
    default void checkCuts(long[] cuts, long elements, long own) {
        int rank = rank(), size = size();
        boolean rises = cuts.length == size + 1 && cuts[0] == 0 && cuts[size] == elements;
        for (int r = 0; r < size && rises; r++) rises = cuts[r] <= cuts[r + 1];
        if (!rises)
            throw new IllegalArgumentException("cuts: expected " + (size + 1) + " numbers that rise from 0 to "
                    + elements + ", got " + Arrays.toString(cuts));
        if (own != cuts[rank + 1] - cuts[rank])
            throw new IllegalArgumentException("shard: expected " + (cuts[rank + 1] - cuts[rank])
                    + " elements, which rank " + rank + " has by " + Arrays.toString(cuts) + ", got " + own);
    }

    /**
     * A vector cut into shards that differ by one element at most.
     *
     * @param elements of the whole vector
     * @param size the number of shards
     */
    static long[] evenCuts(long elements, int size) {
        if (elements < 0 || size < 1)
            throw new IllegalArgumentException(
                    "expected elements from 0 up and a size from 1 up, got " + elements + " and " + size);
        long[] cuts = new long[size + 1];
        long each = elements / size, over = elements % size;
        for (int r = 0; r < size; r++) cuts[r + 1] = cuts[r] + each + (r < over ? 1 : 0);
        return cuts;
    }
}
