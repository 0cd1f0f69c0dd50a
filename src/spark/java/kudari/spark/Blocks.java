package kudari.spark;

import java.nio.ByteBuffer;
import java.util.Optional;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.ThreadPoolExecutor.CallerRunsPolicy;
import java.util.concurrent.TimeUnit;
import org.apache.spark.SparkEnv;
import org.apache.spark.network.buffer.NioManagedBuffer;
import org.apache.spark.storage.BlockData;
import org.apache.spark.storage.BlockId;
import org.apache.spark.storage.BlockManager;
import org.apache.spark.storage.StorageLevel;
import org.apache.spark.storage.TestBlockId;
import org.apache.spark.util.io.ChunkedByteBuffer;
import scala.Option;
import scala.collection.Iterator;
import scala.concurrent.Future;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;
import scala.runtime.BoxedUnit;

/**
 * Messages as blocks of Spark's, pushed to the process that waits for them. So nothing listens that Spark has not opened, no library is needed that Spark
 * has not, and all is authenticated and encrypted where Spark is. The idea is BigDL's (arXiv 1804.05839).
 *
 * <p>Spark keeps this to itself ({@code private[spark]}): this class is all that knows of it, and the tests say with which versions it works.
 */
final class Blocks {

    /** What is never evicted unread: on disk at worst. */
    private static final StorageLevel LEVEL = StorageLevel.MEMORY_AND_DISK_SER();

    private static final ClassTag<Object> BYTES = ClassTag$.MODULE$.Object();

    /** How many at once tell the driver. */
    private static final int REMOVERS = 4;

    /** Of messages that have been read: so many wait, and then who reads removes. */
    private static final int UNREMOVED = 64;

    private final BlockManager manager = SparkEnv.get().blockManager();

    /** Removes what has been read, for Spark tells its driver of each, and waits for the answer: a millisecond or two. */
    private final ThreadPoolExecutor remover = new ThreadPoolExecutor(
            REMOVERS,
            REMOVERS,
            1,
            TimeUnit.SECONDS,
            new ArrayBlockingQueue<>(UNREMOVED),
            Blocks::daemon,
            new CallerRunsPolicy());

    /** Whoever hears reports closes nothing, and a driver may run many jobs: threads with nothing to remove end by themselves. */
    Blocks() {
        remover.allowCoreThreadTimeOut(true);
    }

    /** A process that takes blocks. */
    record Place(String executor, String host, int port) {

        static Place of(String text) {
            String[] parts = text.split(" ");
            return new Place(parts[0], parts[1], Integer.parseInt(parts[2]));
        }

        /** As {@link #of} reads it. */
        @Override
        public String toString() {
            return executor + " " + host + " " + port;
        }
    }

    /** This process. */
    Place here() {
        var id = manager.blockManagerId();
        return new Place(id.executorId(), id.host(), id.port());
    }

    /** Begins to send a message, whose buffer is Spark's from here on. */
    Future<BoxedUnit> push(Place to, String name, ByteBuffer message) {
        return manager.blockTransferService()
                .uploadBlock(
                        to.host(), to.port(), to.executor(), id(name), new NioManagedBuffer(message), LEVEL, BYTES);
    }

    private static Thread daemon(Runnable work) {
        Thread thread = new Thread(work, "kudari removes messages");
        thread.setDaemon(true);
        return thread;
    }

    /**
     * A message that has come to this process and is in its memory, which is then no longer here. Spark has it locked until its driver knows of it, which
     * takes longer than the message: this reads it all the same, for it is whole when it is there.
     */
    Optional<ByteBuffer> take(String name) {
        BlockId id = id(name);
        Option<ChunkedByteBuffer> bytes = manager.memoryStore().getBytes(id);
        if (bytes.isEmpty()) return Optional.empty();
        ByteBuffer message = onHeap(bytes.get().toByteBuffer());
        remover.execute(() -> manager.removeBlock(id, true));
        return Optional.of(message);
    }

    /** A message wherever Spark keeps it, on disk, say. Waits until the driver knows of one that is just coming. */
    Optional<ByteBuffer> takeFromAnywhere(String name) {
        BlockId id = id(name);
        Option<BlockData> block = manager.getLocalBytes(id);
        if (block.isEmpty()) return Optional.empty();
        ByteBuffer message;
        try {
            message = onHeap(block.get().toByteBuffer());
        } finally {
            manager.releaseLockAndDispose(id, block.get(), Option.empty());
        }
        manager.removeBlock(id, true);
        return Optional.of(message);
    }

    /** What is not the collector's is gone with the block. */
    private static ByteBuffer onHeap(ByteBuffer message) {
        return message.isDirect()
                ? ByteBuffer.allocate(message.remaining()).put(message).flip()
                : message;
    }

    /** Takes no more; what has been read is still removed. */
    void close() {
        remover.shutdown();
    }

    /** Removes the messages here whose names begin so. */
    void removeAll(String prefix) {
        String begin = id(prefix).name();
        Iterator<BlockId> old =
                manager.getMatchingBlockIds(id -> id.name().startsWith(begin)).iterator();
        while (old.hasNext()) manager.removeBlock(old.next(), true);
    }

    /** The only kind of block whose names are free, and of which Spark keeps no account for its pages. */
    private static BlockId id(String name) {
        return new TestBlockId("kudari_" + name);
    }
}
