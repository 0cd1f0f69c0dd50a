package kudari.report;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.StringJoiner;
import java.util.function.Predicate;

/** A table that grows line by line. No line is ever held back, so a process that is killed leaves all the lines it wrote, each whole. */
final class CsvFile implements Closeable {

    private final Path file;
    private final FileChannel channel;

    /** Takes the file for this process alone, empties it and writes the header. */
    CsvFile(Path file, String header) throws IOException {
        this(file, header, line -> false);
    }

    /** Takes the file for this process alone, and goes on behind the first lines of a file of this header, as long as they are to be kept. */
    CsvFile(Path file, String header, Predicate<String> kept) throws IOException {
        this.file = file;
        try {
            channel = FileChannel.open(
                    file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw Report.failure("cannot write " + file, e);
        }
        try {
            lock();
            long end = end(header, kept);
            channel.truncate(end); // only now, lest a refused second process empty the file of the first
            channel.position(end);
            if (end == 0) write(header);
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    private void lock() throws IOException {
        FileLock lock;
        try {
            // The one byte behind everything: on Windows nobody else can read what is locked, and people look at a file
            // while it grows.
            lock = channel.tryLock(Long.MAX_VALUE - 1, 1, false);
        } catch (OverlappingFileLockException e) {
            lock = null; // held by this same process
        }
        if (lock == null) {
            throw new IOException(
                    file + " is being written by another run; wait until it ends, or choose another folder");
        }
    }

    /** Where the lines end that are to be kept; half a line is none. */
    private long end(String header, Predicate<String> kept) throws IOException {
        // Through this channel, for closing another one on the file would give up the lock.
        ByteBuffer bytes = ByteBuffer.allocate((int) Math.min(channel.size(), Integer.MAX_VALUE - 8));
        while (bytes.hasRemaining() && channel.read(bytes) >= 0) {}
        String text = new String(bytes.array(), 0, bytes.position(), StandardCharsets.ISO_8859_1); // a character a byte
        int at = 0;
        for (int end; (end = text.indexOf('\n', at)) >= 0; at = end + 1) {
            String line = text.substring(at, end);
            if (at == 0 ? !line.equals(header) : !kept.test(line)) break;
        }
        return at;
    }

    /** Adds a line. Floats are written as Java prints them, which reads back as the same float. */
    void row(Object... cells) throws IOException {
        StringJoiner line = new StringJoiner(",");
        for (Object cell : cells) line.add(quoted(cell.toString()));
        write(line.toString());
    }

    private static String quoted(String cell) {
        boolean plain = cell.chars().noneMatch(c -> c == ',' || c == '"' || c == '\n' || c == '\r');
        return plain ? cell : '"' + cell.replace("\"", "\"\"") + '"';
    }

    private void write(String line) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
        long start = channel.position();
        try {
            while (bytes.hasRemaining()) channel.write(bytes);
        } catch (IOException e) {
            channel.truncate(start); // half a line, where the disk was full, is no line
            throw Report.failure("cannot write " + file, e);
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
