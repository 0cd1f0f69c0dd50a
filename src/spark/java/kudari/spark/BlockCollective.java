package kudari.spark;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.locks.LockSupport;
import kudari.HostCollective;
import org.apache.spark.BarrierTaskContext;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskKilledException;
import org.apache.spark.network.buffer.NioManagedBuffer;
import org.apache.spark.storage.BlockData;
import org.apache.spark.storage.BlockId;
import org.apache.spark.storage.BlockManager;
import org.apache.spark.storage.StorageLevel;
import org.apache.spark.storage.TestBlockId;
import scala.Option;
import scala.collection.Iterator;
import scala.concurrent.Future;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;
import scala.runtime.AbstractFunction1;
import scala.runtime.BoxedUnit;
import scala.util.Try;

/**
 * A collective over Spark's own block transfer: a message is a block, pushed to the executor of the rank that waits for it. So it opens no port and needs
 * no library that Spark has not, and is authenticated and encrypted where Spark is. The idea is BigDL's (arXiv 1804.05839).
 *
 * <p>Spark keeps this transfer to itself ({@code private[spark]}); the tests say with which versions it works.
 */
final class BlockCollective extends HostCollective {

    /** Between two looks whether a block has come: Spark tells nobody. Long beside a look, short beside a message. */
    private static final long PAUSE_NANOS = 100_000;

    /** What is never evicted unread: on disk at worst. */
    private static final StorageLevel LEVEL = StorageLevel.MEMORY_AND_DISK_SER();

    private static final ClassTag<Object> BYTES = ClassTag$.MODULE$.Object();

    /** Where a rank is. */
    private record Peer(String executor, String host, int port) {

        static Peer of(String text) {
            String[] parts = text.split(" ");
            return new Peer(parts[0], parts[1], Integer.parseInt(parts[2]));
        }
    }

    /** A block under way. */
    private record Sending(int to, Future<BoxedUnit> done) {}

    private final BarrierTaskContext context;
    private final BlockManager blocks;
    private final Duration timeout;
    private final String name;
    private final Peer[] peers;

    /** How many messages went to each rank, and came from it. */
    private final long[] sent, received;

    private final Deque<Sending> underWay = new ArrayDeque<>();

    private BlockCollective(
            BarrierTaskContext context, BlockManager blocks, Duration timeout, String name, Peer[] peers) {
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
        BlockManager blocks = SparkEnv.get().blockManager();
        String jobs = "kudari_" + job + "_", name = jobs + attempt + "_";
        // What attempts before were sent and did not live to read.
        removeAll(blocks, new TestBlockId(jobs).name(), new TestBlockId(name).name());
        var here = blocks.blockManagerId();
        String[] all = context.allGather(here.executorId() + " " + here.host() + " " + here.port());
        Peer[] peers = new Peer[all.length];
        for (int r = 0; r < peers.length; r++) peers[r] = Peer.of(all[r]);
        return new BlockCollective(context, blocks, timeout, name, peers);
    }

    /** A function that can be asked which blocks are meant. */
    private static final class Named extends AbstractFunction1<BlockId, Object> {

        private final String prefix, but;

        Named(String prefix, String but) {
            this.prefix = prefix;
            this.but = but;
        }

        @Override
        public Object apply(BlockId id) {
            return id.name().startsWith(prefix) && !id.name().startsWith(but);
        }
    }

    private static void removeAll(BlockManager blocks, String prefix, String but) {
        Iterator<BlockId> old =
                blocks.getMatchingBlockIds(new Named(prefix, but)).iterator();
        while (old.hasNext()) blocks.removeBlock(old.next(), true);
    }

    @Override
    protected void send(int to, ByteBuffer message) {
        checkAlive();
        Peer peer = peers[to];
        underWay.add(new Sending(
                to,
                blocks.blockTransferService()
                        .uploadBlock(
                                peer.host(),
                                peer.port(),
                                peer.executor(),
                                id(rank(), to, sent[to]++),
                                new NioManagedBuffer(message),
                                LEVEL,
                                BYTES)));
        checkSent();
    }

    @Override
    protected ByteBuffer receive(int from) {
        BlockId id = id(from, rank(), received[from]++);
        long start = System.nanoTime();
        while (true) {
            Option<BlockData> block = blocks.getLocalBytes(id);
            if (block.isDefined()) return take(id, block.get());
            checkAlive();
            checkSent();
            if (System.nanoTime() - start > timeout.toNanos())
                throw new IllegalStateException("rank " + rank() + ": nothing came from rank " + from + " on "
                        + peers[from].host() + " for " + timeout.toMillis()
                        + " ms; it is frozen, or slow, or makes other"
                        + " calls than this rank");
            LockSupport.parkNanos(PAUSE_NANOS);
        }
    }

    private ByteBuffer take(BlockId id, BlockData block) {
        ByteBuffer message;
        try {
            message = block.toByteBuffer();
            // What is not the collector's is gone with the block.
            if (message.isDirect())
                message = ByteBuffer.allocate(message.remaining()).put(message).flip();
        } finally {
            blocks.releaseLockAndDispose(id, block, Option.empty());
        }
        blocks.removeBlock(id, true);
        return message;
    }

    private BlockId id(int from, int to, long number) {
        return new TestBlockId(name + from + "_" + to + "_" + number);
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
        // Its blocks are read, or removed by the next attempt.
    }
}
