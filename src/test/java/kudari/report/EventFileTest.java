package kudari.report;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What TensorBoard would find, read by a decoder that shares nothing with the writer. */
class EventFileTest {

    private static final String RUN = "0123456789ab", OTHER = "ba9876543210";

    @TempDir
    private Path folder;

    /**
     * The event, field by field: wall_time 1.5 is 0x3ff8 and six zero bytes; step 300 is 2 · 128 + 44, so ac 02; the summary of 12 bytes holds
     * a value of 10: the tag "abc" of 3 bytes, and 2, which is 0x40000000.
     */
    @Test
    void anEventIsTheBytesOfItsProtocolBuffer() {
        assertEquals(
                "09000000000000f83f" + "10ac02" + "2a0c" + "0a0a" + "0a03616263" + "1500000040",
                HexFormat.of().formatHex(EventFile.scalar(1.5, 300, "abc", 2).bytes()));
    }

    /**
     * CRC-32C of "123456789" is published, 0xe3069283. Its lowest 15 bits, 001 0010 1000 0011, go to the top: 0x2507c60d; plus 0xa282ead8 that is
     * 0xc78ab0e5. The length 9 in eight bytes has the sum that {@link #crc} gives, which knows the polynomial and nothing else.
     */
    @Test
    void aRecordIsLengthSumDataSum() {
        assertEquals(0xe3069283, crc("123456789".getBytes(UTF_8)));
        assertEquals(0xc78ab0e5, mask(0xe3069283));
        String record = HexFormat.of().formatHex(EventFile.record("123456789".getBytes(UTF_8)));
        assertEquals("0900000000000000", record.substring(0, 16));
        assertEquals("313233343536373839" + "e5b08ac7", record.substring(24));
        assertEquals(little(mask(crc(new byte[] {9, 0, 0, 0, 0, 0, 0, 0}))), record.substring(16, 24));
    }

    @Test
    void theCurvesAreReadBack() throws IOException {
        double before = System.currentTimeMillis() / 1e3;
        try (EventFile events = EventFile.create(folder, RUN, 0)) {
            events.scalar("loss", 1, 2.5f);
            events.scalar("損失", 1L << 40, Float.NaN);
        }
        List<Path> files = list();
        assertEquals(1, files.size());
        assertTrue(
                files.get(0).getFileName().toString().matches("events\\.out\\.tfevents\\.\\d{10}\\..+\\." + RUN),
                files::toString);
        List<Event> read = read(files.get(0));
        assertEquals(3, read.size());
        assertEquals("brain.Event:2", read.get(0).version);
        assertEquals(1, read.get(1).step);
        assertEquals("loss", read.get(1).tag);
        assertEquals(2.5f, read.get(1).value);
        assertEquals(1L << 40, read.get(2).step);
        assertEquals("損失", read.get(2).tag);
        assertTrue(Float.isNaN(read.get(2).value));
        for (Event event : read) assertTrue(event.time >= before && event.time < before + 60, "now: " + event.time);
    }

    @Test
    void aRunThatGoesOnHasAFileOfItsOwnThatTakesBackWhatCameAfter() throws IOException {
        EventFile.create(folder, RUN, 0).close();
        EventFile.create(folder, RUN, 25).close();
        List<Path> files = list();
        assertEquals(2, files.size(), "two in one second");
        assertEquals(1, read(files.get(0)).size());
        Event start = read(files.get(1)).get(1);
        assertEquals(26, start.step);
        assertEquals(1, start.status);
    }

    @Test
    void aFolderThatIsNotThereIsNamed() {
        Path nowhere = folder.resolve("nowhere");
        String message = assertThrows(IOException.class, () -> EventFile.create(nowhere, RUN, 0))
                .getMessage();
        assertTrue(
                message.startsWith("cannot read the folder " + nowhere) && message.endsWith("no such file or folder"),
                message);
    }

    @Test
    void aJournalIsATableAndItsCurves() throws IOException {
        try (RunWriter writer = RunWriter.open(folder.resolve("a/b"), RUN, 0, false)) {
            writer.step(1, 2.5f, OptionalDouble.empty(), 0.001, 1234.5);
            writer.step(2, 1.5f, OptionalDouble.of(0.75), 0.002, 1000);
            String message = assertThrows(IOException.class, () -> RunWriter.open(folder.resolve("a/b"), RUN, 0, false))
                    .getMessage();
            assertTrue(message.contains("being written by another run"), message);
        }
        Path csv = folder.resolve("a/b/train.csv");
        String header = "step,loss,accuracy,lr,samples_per_second";
        assertEquals(List.of(header, "1,2.5,,0.001,1235", "2,1.5,0.75,0.002,1000"), Files.readAllLines(csv));
        try (RunWriter writer = RunWriter.open(folder.resolve("a/b"), RUN, 1, false)) {
            writer.step(2, 1.25f, OptionalDouble.empty(), 0.004, 1);
        }
        assertEquals(List.of(header, "1,2.5,,0.001,1235", "2,1.25,,0.004,1"), Files.readAllLines(csv));
        Files.writeString(csv, header + "\n1,2.5,,0.001,1235\n2,7"); // and then the power failed
        RunWriter.open(folder.resolve("a/b"), RUN, 5, false).close();
        assertEquals(header + "\n1,2.5,,0.001,1235\n", Files.readString(csv));
        RunWriter.open(folder.resolve("a/b"), RUN, 0, false).close();
        assertEquals(header + "\n", Files.readString(csv));
        Files.writeString(csv, "another table\n1,2\n");
        String message = assertThrows(IOException.class, () -> RunWriter.open(folder.resolve("a/b"), RUN, 5, false))
                .getMessage();
        assertTrue(message.contains("of another run; choose another folder"), message);
        assertEquals("another table\n1,2\n", Files.readString(csv));
    }

    /** TensorBoard reads the files of a folder in the order of their names. */
    @Test
    void aClockThatIsSetBackDoesNotDisorderTheFiles() throws IOException {
        String ahead = "events.out.tfevents.5000000000.host." + RUN;
        Files.createFile(folder.resolve(ahead));
        EventFile.create(folder, RUN, 25).close();
        List<Path> files = list();
        assertEquals(ahead, files.get(0).getFileName().toString(), files::toString);
        assertTrue(
                files.get(1).getFileName().toString().startsWith("events.out.tfevents.5000000001."), files::toString);
    }

    @Test
    void aRunIsReplacedWithItsCurvesOrLeftAlone() throws IOException {
        try (RunWriter writer = RunWriter.open(folder, OTHER, 0, false)) {
            writer.step(1, 2.5f, OptionalDouble.empty(), 0.001, 1);
        }
        Path theirs = list().get(0),
                csv = folder.resolve("train.csv"),
                tensorFlow = folder.resolve("events.out.tfevents.7.host");
        Files.createFile(tensorFlow);
        assertTrue(RunWriter.isOf(folder, OTHER) && !RunWriter.isOf(folder, RUN) && RunWriter.isRun(folder));
        byte[] table = Files.readAllBytes(csv);
        for (long from : new long[] {0, 1}) {
            String message = assertThrows(IOException.class, () -> RunWriter.open(folder, RUN, from, false))
                    .getMessage();
            assertTrue(message.contains("of another run"), message);
            assertArrayEquals(table, Files.readAllBytes(csv));
            assertTrue(Files.exists(theirs));
        }
        RunWriter.open(folder, RUN, 0, true).close();
        assertEquals(List.of("step,loss,accuracy,lr,samples_per_second"), Files.readAllLines(csv));
        assertFalse(Files.exists(theirs), "TensorBoard would draw both into one curve");
        assertTrue(Files.exists(tensorFlow), "somebody else's");
        assertTrue(RunWriter.isOf(folder, RUN) && !RunWriter.isOf(folder, OTHER));
    }

    private List<Path> list() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().toList();
        }
    }

    /** What an event says; 0 or "" where it says nothing. */
    private static final class Event {
        private double time;
        private long step, status;
        private String version = "", tag = "";
        private float value;
    }

    private static List<Event> read(Path file) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        List<Event> events = new ArrayList<>();
        while (in.hasRemaining()) {
            byte[] length = new byte[8];
            in.mark().get(length);
            byte[] data = new byte[(int) in.reset().getLong()];
            assertEquals(mask(crc(length)), in.getInt(), "sum of the length");
            in.get(data);
            assertEquals(mask(crc(data)), in.getInt(), "sum of the data");
            Event event = new Event();
            decode(ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN), "", event);
            events.add(event);
        }
        return events;
    }

    /** Goes down a message; where it is in it, is the numbers of the fields. */
    private static void decode(ByteBuffer in, String where, Event event) {
        while (in.hasRemaining()) {
            long key = varint(in);
            String field = where + "/" + (key >> 3);
            switch ((int) (key & 7)) {
                case 0 -> {
                    long n = varint(in);
                    if (field.equals("/2")) event.step = n;
                    else if (field.equals("/7/1")) event.status = n;
                    else throw new AssertionError(field);
                }
                case 1 -> {
                    assertEquals("/1", field);
                    event.time = in.getDouble();
                }
                case 5 -> {
                    assertEquals("/5/1/2", field);
                    event.value = in.getFloat();
                }
                case 2 -> {
                    byte[] bytes = new byte[(int) varint(in)];
                    in.get(bytes);
                    if (field.equals("/3")) event.version = new String(bytes, UTF_8);
                    else if (field.equals("/5/1/1")) event.tag = new String(bytes, UTF_8);
                    else decode(ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN), field, event);
                }
                default -> throw new AssertionError("kind " + (key & 7));
            }
        }
    }

    private static long varint(ByteBuffer in) {
        long n = 0;
        for (int shift = 0; ; shift += 7) {
            byte b = in.get();
            n |= (long) (b & 127) << shift;
            if (b >= 0) return n;
        }
    }

    private static int crc(byte[] bytes) {
        int crc = -1;
        for (byte b : bytes) {
            crc ^= b & 255;
            for (int bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ ((crc & 1) == 1 ? 0x82f63b78 : 0);
        }
        return ~crc;
    }

    private static int mask(int crc) {
        return (crc >>> 15 | crc << 17) + 0xa282ead8;
    }

    private static String little(int n) {
        return HexFormat.of()
                .formatHex(ByteBuffer.allocate(4)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putInt(n)
                        .array());
    }
}
