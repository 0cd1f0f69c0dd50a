package kudari.report;

import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.StringJoiner;
import java.util.function.Predicate;
import kudari.io.AppendFile;

/** A table that grows line by line. No line is ever held back, so a process that is killed leaves all the lines it wrote, each whole. */
final class CsvFile implements Closeable {

    /** Bytes of a line, more than any of ours has. */
    private static final int LONGEST = 1 << 16;

    private final AppendFile file;

    /**
     * Takes the file for this process alone and begins a table.
     *
     * @param overwrite whether what the file holds is removed; a file that holds anything but this header is refused else
     */
    static CsvFile begin(Path file, String header, boolean overwrite) throws IOException {
        return new CsvFile(file, header, line -> false, (end, size) -> overwrite || end == size);
    }

    /**
     * Takes the file for this process alone, and goes on behind its first lines, as long as they are to be kept. A file that holds something else
     * than a table of this header is refused.
     */
    static CsvFile resume(Path file, String header, Predicate<String> kept) throws IOException {
        return new CsvFile(file, header, kept, (end, size) -> end > 0 || size == 0);
    }

    /** Whether there is a table of this header. */
    static boolean isTable(Path file, String header) {
        if (!Files.isRegularFile(file)) return false; // reading from a pipe would wait for a writer
        byte[] expected = (header + "\n").getBytes(StandardCharsets.UTF_8);
        try (InputStream in = Files.newInputStream(file)) {
            return Arrays.equals(expected, in.readNBytes(expected.length));
        } catch (IOException e) {
            return false;
        }
    }

    /** Whether what a file holds behind the lines that are kept may be removed. */
    private interface Removal {
        boolean isAllowed(long kept, long size);
    }

    private CsvFile(Path file, String header, Predicate<String> kept, Removal removal) throws IOException {
        this.file = AppendFile.lock(file);
        try {
            long end = end(header, kept);
            if (!removal.isAllowed(end, Files.size(file)))
                throw new IOException(
                        file + ": there is a file of that name already, of another run; choose another folder");
            this.file.truncate(end); // only now: a second process that is refused must not empty the file of the first
            if (end == 0) write(header);
        } catch (IOException e) {
            this.file.close();
            throw e;
        }
    }

    /** Where the lines end that are to be kept; half a line is none. */
    private long end(String header, Predicate<String> kept) throws IOException {
        InputStream in = file.content();
        long end = 0;
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int b; (b = in.read()) >= 0; ) {
            if (b != '\n') {
                if (line.size() == LONGEST) break;
                line.write(b);
                continue;
            }
            String text = line.toString(StandardCharsets.UTF_8);
            if (end == 0 ? !text.equals(header) : !kept.test(text)) break;
            end += line.size() + 1;
            line.reset();
        }
        return end;
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
        file.append((line + "\n").getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public void close() throws IOException {
        file.close();
    }
}
