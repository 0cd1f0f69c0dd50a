package kudari.report;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import kudari.io.AppendFile;
import kudari.io.Say;

/**
 * Curves as TensorBoard reads them: a file {@code events.out.tfevents.SECONDS.HOST.RUN}, to which every number is added at once. TensorBoard takes
 * all such files of a folder for one run.
 *
 * <p>The file is a sequence of records: the length (8 bytes, little-endian) and its sum, the data and its sum. A sum is the CRC-32C, turned
 * right by 15 bits, plus 0xa282ead8, and takes 4 bytes. The data is an {@code Event} in protocol buffers, in which every field is its number
 * and kind in one byte and then its value. Source: TensorFlow's {@code record_writer.cc}, {@code event.proto} and {@code summary.proto}.
 */
public final class EventFile implements Closeable {

    // The fields of the messages: number · 8 + kind; 0 a number of as many bytes as it needs, 1 eight bytes, 2 a length
    // and bytes, 5 four bytes.
    private static final int WALL_TIME = 1 * 8 + 1, STEP = 2 * 8, FILE_VERSION = 3 * 8 + 2; // of Event
    private static final int SUMMARY = 5 * 8 + 2, SESSION_LOG = 7 * 8 + 2; // of Event
    private static final int VALUE = 1 * 8 + 2; // of Summary
    private static final int TAG = 1 * 8 + 2, SIMPLE_VALUE = 2 * 8 + 5; // of Summary.Value
    private static final int STATUS = 1 * 8, START = 1; // of SessionLog

    private static final String PREFIX = "events.out.tfevents.";
    private static final Pattern FILE = Pattern.compile("events\\.out\\.tfevents\\.(\\d{1,18})(\\..*)");

    /** How the names of our files end. */
    private static final Pattern RUN = Pattern.compile("\\.[0-9a-f]{12}$");

    private final AppendFile file;

    private EventFile(AppendFile file) {
        this.file = file;
    }

    /**
     * Begins a new file in a folder that is there.
     *
     * @param run the name of the run, of letters and digits, which ends the name of each of its files
     * @param from the steps that were done before; where they are not 0, what the folder's older files tell of later steps counts no more
     * @throws IOException if the file cannot be made
     */
    public static EventFile create(Path folder, String run, long from) throws IOException {
        // TensorBoard reads the files of a folder in the order of their names: behind the last one, whatever the clock
        // says.
        long seconds = System.currentTimeMillis() / 1000;
        for (Matcher file : files(folder)) seconds = Math.max(seconds, Long.parseLong(file.group(1)) + 1);
        for (; ; seconds++) { // another process may have taken the name
            Path file = folder.resolve(PREFIX + seconds + "." + host() + "." + run);
            try {
                EventFile events = new EventFile(AppendFile.create(file));
                events.add(event(now(), 0).text(FILE_VERSION, "brain.Event:2"));
                if (from > 0) {
                    Message start = new Message().number(STATUS, START);
                    events.add(event(now(), from + 1).message(SESSION_LOG, start));
                }
                return events;
            } catch (FileAlreadyExistsException e) {
                continue;
            } catch (IOException e) {
                throw Say.failure("cannot write " + file, e);
            }
        }
    }

    /** Whether a folder has event files of a run. */
    static boolean isOf(Path folder, String run) throws IOException {
        return files(folder).stream().anyMatch(file -> file.group(2).endsWith("." + run));
    }

    /** Whether a folder has event files, of whichever run. */
    static boolean areIn(Path folder) throws IOException {
        return !files(folder).isEmpty();
    }

    /** Removes the event files of all runs of ours but one. */
    static void removeOthers(Path folder, String run) throws IOException {
        for (Matcher file : files(folder)) {
            boolean ours = RUN.matcher(file.group(2)).find() && !file.group(2).endsWith("." + run);
            if (ours) Files.deleteIfExists(folder.resolve(file.group()));
        }
    }

    private static List<Matcher> files(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> FILE.matcher(file.getFileName().toString()))
                    .filter(Matcher::matches)
                    .toList();
        } catch (IOException e) {
            throw Say.failure("cannot read the folder " + folder, e);
        }
    }

    /** Adds a point to a curve. */
    public void scalar(String curve, long step, float value) throws IOException {
        add(scalar(now(), step, curve, value));
    }

    static Message scalar(double seconds, long step, String curve, float value) {
        Message point = new Message().text(TAG, curve).four(SIMPLE_VALUE, Float.floatToRawIntBits(value));
        return event(seconds, step).message(SUMMARY, new Message().message(VALUE, point));
    }

    private static Message event(double seconds, long step) {
        return new Message()
                .eight(WALL_TIME, Double.doubleToRawLongBits(seconds))
                .number(STEP, step);
    }

    private void add(Message event) throws IOException {
        file.append(record(event.bytes()));
    }

    static byte[] record(byte[] data) {
        ByteBuffer record = ByteBuffer.allocate(data.length + 16).order(ByteOrder.LITTLE_ENDIAN);
        record.putLong(data.length);
        record.putInt(sum(record.array(), 8));
        return record.put(data).putInt(sum(data, data.length)).array();
    }

    private static int sum(byte[] bytes, int count) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, 0, count);
        return Integer.rotateRight((int) crc.getValue(), 15) + 0xa282ead8;
    }

    /** A protocol buffer that grows field by field. */
    static final class Message {

        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        byte[] bytes() {
            return bytes.toByteArray();
        }

        /** Seven bits a byte, the lowest first; the eighth says that more follow. */
        private void number(long n) {
            for (; (n & ~0x7f) != 0; n >>>= 7) bytes.write((int) (n & 0x7f | 0x80));
            bytes.write((int) n);
        }

        Message number(int field, long n) {
            bytes.write(field);
            number(n);
            return this;
        }

        Message four(int field, int bits) {
            bytes.write(field);
            bytes.writeBytes(ByteBuffer.allocate(4)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putInt(bits)
                    .array());
            return this;
        }

        Message eight(int field, long bits) {
            bytes.write(field);
            bytes.writeBytes(ByteBuffer.allocate(8)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(bits)
                    .array());
            return this;
        }

        Message text(int field, String text) {
            return counted(field, text.getBytes(UTF_8));
        }

        Message message(int field, Message inner) {
            return counted(field, inner.bytes());
        }

        private Message counted(int field, byte[] content) {
            bytes.write(field);
            number(content.length);
            bytes.writeBytes(content);
            return this;
        }
    }

    private static double now() {
        return System.currentTimeMillis() / 1e3;
    }

    private static String host() {
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException e) {
            return "localhost"; // a machine that does not know its own name
        }
    }

    @Override
    public void close() throws IOException {
        file.close();
    }
}
