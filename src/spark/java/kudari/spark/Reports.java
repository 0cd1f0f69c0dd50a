package kudari.spark;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.Serializable;
import java.nio.ByteBuffer;
import java.util.Optional;
import java.util.function.Consumer;
import kudari.spark.Blocks.Place;
import scala.concurrent.Await;
import scala.concurrent.duration.Duration;

/** What rank 0 tells the driver on the way, in order: objects, as blocks. */
final class Reports {

    private static final int TIMEOUT_SECONDS = 60;

    private final Blocks blocks = new Blocks();
    private final String name;
    private long next;

    /**
     * Those of an attempt of a job; one object to tell, in the task, and one to hear, in the driver.
     *
     * @param job the same for all attempts of a job, and no other's
     */
    Reports(String job, long attempt) {
        name = job + "_told_" + attempt + "_";
    }

    /** This process, for who tells. */
    static Place here() {
        return new Blocks().here();
    }

    /** Tells the driver, and waits until it has it. */
    void tell(Place driver, Serializable report) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(report);
        } catch (IOException e) {
            throw new IllegalArgumentException("tell: expected what can be serialized, got " + report, e);
        }
        try {
            Await.result(
                    blocks.push(driver, name + next++, ByteBuffer.wrap(bytes.toByteArray())),
                    Duration.create(TIMEOUT_SECONDS, "s"));
        } catch (Exception e) {
            throw new IllegalStateException("cannot tell the driver on " + driver.host() + ": " + e.getMessage(), e);
        }
    }

    /** Passes on all that has come, in order. */
    void hear(Consumer<Object> listener) {
        for (Optional<ByteBuffer> report = blocks.take(name + next);
                report.isPresent();
                report = blocks.take(name + next)) {
            next++;
            byte[] bytes = new byte[report.get().remaining()];
            report.get().get(bytes);
            try (ObjectInputStream in = new LoadedObjects(bytes)) {
                listener.accept(in.readObject());
            } catch (IOException | ClassNotFoundException e) {
                throw new IllegalStateException("what a rank told cannot be read: " + e.getMessage(), e);
            }
        }
    }

    /** Objects of the program's classes, which under spark-submit another loader has than this class. */
    private static final class LoadedObjects extends ObjectInputStream {

        LoadedObjects(byte[] bytes) throws IOException {
            super(new ByteArrayInputStream(bytes));
        }

        @Override
        protected Class<?> resolveClass(java.io.ObjectStreamClass of) throws IOException, ClassNotFoundException {
            try {
                return Class.forName(of.getName(), false, Thread.currentThread().getContextClassLoader());
            } catch (ClassNotFoundException e) {
                return super.resolveClass(of); // of a primitive type, say
            }
        }
    }
}
