package kudari.spark;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import kudari.HostCollective;
import kudari.spark.Blocks.Place;
import org.apache.spark.BarrierTaskContext;
import org.apache.spark.TaskKilledException;
import scala.Option;
import scala.concurrent.Future;
import scala.runtime.BoxedUnit;
import scala.util.Try;

/** A collective whose messages are {@link Blocks}. Every wait has an end: a message, a peer that cannot be reached, a task that is to end, the timeout. */
final class BlockCollective extends HostCollective {

    /** Between two looks whether a block has come, of which Spark tells nobody: long beside a look, short beside a message. */
    private static final long PAUSE_NANOS = 100_000;

    /** One look of so many is for a message that memory had no room for. */
    private static final int ELSEWHERE = 100;

    /** A message under way. */
    private record Sending(int to, Future<BoxedUnit> done) {}

    private final BarrierTaskContext context;
    private final Blocks blocks;
    private final Duration timeout;
    private final String name;
    private final Place[] peers;

    /** How many messages went to each rank, and came from it. */
    private final long[] sent, received;

    private final Deque<Sending> underWay = new ArrayDeque<>();

    private BlockCollective(BarrierTaskContext context, Blocks blocks, Duration timeout, String name, Place[] peers) {
        super(context.partitionId(), peers.length);
        this.context = context;
        this.blocks = blocks;
        this.timeout = timeout;
        this.name = name;
        this.peers = peers;
        sent = new long[peers.length];
        received = new long[peers.length];
    }

    /**
     * Meets the other ranks; takes a second, for Spark looks only so often whether all have come.
     *
     * @param context of a task of a barrier stage, each of which is a rank
     * @param job the same for all attempts of a job, and no other's
     * @param attempt whose messages are told from those of the attempts before
     * @param timeout how long a rank waits for another before it gives up
     */
    static BlockCollective join(BarrierTaskContext context, String job, long attempt, Duration timeout) {
        Blocks blocks = new Blocks();
        String name = job + "_rank_";
        // What was sent to attempts before, who did not live to read it. Nobody sends before all have met.
        blocks.removeAll(name);
        String[] all = context.allGather(blocks.here().toString());
        Place[] peers = new Place[all.length];
        for (int r = 0; r < peers.length; r++) peers[r] = Place.of(all[r]);
        return new BlockCollective(context, blocks, timeout, name + attempt + "_", peers);
    }

    @Override
    protected void send(int to, ByteBuffer message) {
        checkAlive();
        underWay.add(new Sending(to, blocks.push(peers[to], name(rank(), to, sent[to]++), message)));
        checkSent();
    }

    @Override
    protected ByteBuffer receive(int from) {
        String message = name(from, rank(), received[from]++);
        long start = System.nanoTime();
        for (long look = 1; ; look++) {
            Optional<ByteBuffer> come = look % ELSEWHERE == 0 ? blocks.takeFromAnywhere(message) : blocks.take(message);
            if (come.isPresent()) return come.get();
            checkAlive();
            checkSent();
            if (System.nanoTime() - start > timeout.toNanos())
                throw new IllegalStateException("rank " + rank() + ": nothing came from rank " + from + " on "
                        + peers[from].host() + " for " + timeout.toMillis()
                        + " ms; it is frozen, or slow, or makes other calls than this rank");
            LockSupport.parkNanos(PAUSE_NANOS);
        }
    }

    private String name(int from, int to, long number) {
        return name + from + "_" + to + "_" + number;
    }

    /** A task that is to end is told so, and not stopped. */
    private void checkAlive() {
        if (context.isInterrupted())
            throw new TaskKilledException("rank " + rank() + " is to end: another has failed, or the job was stopped");
    }

    private void checkSent() {
        underWay.removeIf(sending -> {
            Option<Try<BoxedUnit>> end = sending.done.value();
            if (end.isEmpty()) return false;
            if (end.get().isFailure()) {
                Throwable cause = end.get().failed().get();
                throw new IllegalStateException(
                        "rank " + rank() + ": cannot send to rank " + sending.to + " on " + peers[sending.to].host()
                                + ": " + cause.getMessage(),
                        cause);
            }
            return true;
        });
    }

    @Override
    public void close() {
        blocks.close(); // whose messages are read, or removed by the next attempt
    }
}
