package kudari;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/** A collective of ranks that are threads of a test: messages go through queues, one for each pair of ranks. */
public final class QueueCollective extends HostCollective {

    private final List<BlockingQueue<ByteBuffer>> queues;
    private final int seconds;

    QueueCollective(int rank, int size, List<BlockingQueue<ByteBuffer>> queues, int seconds) {
        super(rank, size);
        this.queues = queues;
        this.seconds = seconds;
    }

    /**
     * Those of all ranks.
     *
     * @param seconds that one waits for a message
     */
    public static List<QueueCollective> ofAll(int size, int seconds) {
        List<BlockingQueue<ByteBuffer>> queues = IntStream.range(0, size * size)
                .<BlockingQueue<ByteBuffer>>mapToObj(n -> new LinkedBlockingQueue<>())
                .toList();
        return IntStream.range(0, size)
                .mapToObj(rank -> new QueueCollective(rank, size, queues, seconds))
                .toList();
    }

    @Override
    protected void send(int to, ByteBuffer message) {
        queues.get(rank() * size() + to).add(message);
    }

    @Override
    protected ByteBuffer receive(int from) {
        try {
            ByteBuffer message = queues.get(from * size() + rank()).poll(seconds, TimeUnit.SECONDS);
            if (message == null) throw new IllegalStateException("nothing came from rank " + from);
            return message;
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void close() {
        // The garbage collector's.
    }
}
