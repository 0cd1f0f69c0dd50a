package kudari.checkpoint;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import kudari.Dtype;
import kudari.checkpoint.Safetensors.Values;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The file format, byte by byte, and all that is no file of it. */
class SafetensorsTest {

    @TempDir
    private Path folder;

    private Path file;

    @BeforeEach
    void name() {
        file = folder.resolve("x.safetensors");
    }

    /**
     * The header has 5 + 15 + 12 + 20 + 2 = 54 characters: {@code {"a":}, {@code {"dtype":"F32",}, {@code "shape":[2],}, {@code
     * "data_offsets":[0,8]} and two braces; two spaces make it 56, which is 0x38. 1 is 0x3f800000 and −2.5 is −1.25 · 2: 0xc0200000.
     */
    @Test
    void theBytesAreThoseOfTheFormat() throws IOException {
        Safetensors.of(Map.of(), Map.of("a", new Values(new long[] {2}, new float[] {1, -2.5f})))
                .write(file);
        String header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
        byte[] expected = HexFormat.of()
                .parseHex("3800000000000000" + HexFormat.of().formatHex(header.getBytes(UTF_8)) + "2020" + "0000803f"
                        + "000020c0");
        assertArrayEquals(expected, Files.readAllBytes(file));
    }

    /**
     * Each header is padded with spaces to 56 characters, which is 0x38. The numbers as 16 bits by hand: bfloat16's are float's upper
     * halves, 0x3f80 and 0xc020; float16's 1 is 0x3c00 and −1.25 · 2¹ is 0xc100; 0.1f is 1.6 · 2⁻⁴, whose fractions 0.6 · 128 = 76.8 and 0.6 · 1024 = 614.4
     * are rounded.
     */
    @Test
    void theBytesOf16BitTypesAreThoseOfTheFormat() throws IOException {
        for (String[] type : new String[][] {{"BF16", "803f20c0cd3d"}, {"F16", "003c00c1662e"}}) {
            Dtype dtype = Dtype.valueOf(type[0]);
            Safetensors.of(Map.of(), Map.of("a", new Values(dtype, new long[] {3}, new float[] {1, -2.5f, 0.1f})))
                    .write(file);
            String header = "{\"a\":{\"dtype\":\"" + type[0] + "\",\"shape\":[3],\"data_offsets\":[0,6]}}";
            byte[] expected = HexFormat.of()
                    .parseHex("3800000000000000"
                            + HexFormat.of()
                                    .formatHex(String.format("%-56s", header).getBytes(UTF_8)) + type[1]);
            assertArrayEquals(expected, Files.readAllBytes(file));
            Values read = Safetensors.read(file).tensors().get("a");
            assertEquals(dtype, read.dtype());
            Safetensors.read(file).write(file);
            assertArrayEquals(expected, Files.readAllBytes(file));
        }
    }

    @Test
    void valuesAreOfATypeThatTensorsHave() throws IOException {
        assertEquals(
                "dtype: expected F32, BF16, F16 or U8, got F64",
                assertThrows(IllegalArgumentException.class, () -> new Values(Dtype.F64, new long[] {1}, new float[1]))
                        .getMessage());
        for (String dtype : List.of("U8", "I8")) {
            write(
                    "{\"a\":{\"dtype\":\"" + dtype + "\",\"shape\":[2],\"data_offsets\":[0,2]}}",
                    new byte[] {3, (byte) 255});
            Values read = Safetensors.read(file).tensors().get("a");
            assertEquals(dtype.equals("U8") ? Dtype.U8 : Dtype.F32, read.dtype());
            assertArrayEquals(new float[] {3, dtype.equals("U8") ? 255 : -1}, read.floats());
        }
    }

    /** As the format's own writer has it: the metadata first, other names in another order than ours, unescaped, no padding needed. */
    @Test
    void aFileOfAnotherProgramIsRead() throws IOException {
        write(
                "{\"__metadata__\":{\"format\":\"pt\"},\"層.w\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[4,12]},"
                        + " \"b\" : {\"data_offsets\":[0,4],\"shape\":[],\"dtype\":\"F32\"}}",
                floats(7, 1, 2));
        Safetensors read = Safetensors.read(file);
        assertEquals(Map.of("format", "pt"), read.metadata());
        assertEquals(List.of("b", "層.w"), List.copyOf(read.tensors().keySet()));
        assertArrayEquals(new long[] {1, 2}, read.tensors().get("層.w").shape());
        assertArrayEquals(new float[] {1, 2}, read.tensors().get("層.w").floats());
        assertArrayEquals(new long[] {}, read.tensors().get("b").shape());
        assertArrayEquals(new float[] {7}, read.tensors().get("b").floats());
    }

    @Test
    void whatIsWrittenIsReadToTheLastBit() throws IOException {
        float[] odd = {Float.intBitsToFloat(0x7fc12345), -0f, Float.MIN_VALUE, Float.NEGATIVE_INFINITY, 1, 2};
        float[] long_ = new float[300_000]; // more than goes through at a time
        for (int i = 0; i < long_.length; i++) long_[i] = i;
        Safetensors whole = Safetensors.of(
                Map.of("text", "«\"\\\n\u2028</script>»", "", ""),
                Map.of(
                        "odd", new Values(new long[] {2, 3}, odd),
                        "none", new Values(new long[] {0, 5}, new float[0]),
                        "\"日本\"\n", new Values(new long[] {}, new float[] {3}),
                        "long", new Values(new long[] {300_000}, long_)));
        whole.write(file);
        Safetensors read = Safetensors.read(file);
        assertEquals(whole.metadata(), read.metadata());
        assertEquals(whole.tensors().keySet(), read.tensors().keySet());
        whole.tensors().forEach((name, values) -> {
            assertArrayEquals(values.shape(), read.tensors().get(name).shape(), name);
            assertArrayEquals(
                    bits(values.floats()), bits(read.tensors().get(name).floats()), name);
        });
        assertEquals(
                0,
                ByteBuffer.wrap(Files.readAllBytes(file))
                                .order(ByteOrder.LITTLE_ENDIAN)
                                .getLong()
                        % 8);
    }

    @Test
    void equalContentsAreEqualBytes() throws IOException {
        Values one = new Values(new long[] {1}, new float[] {1});
        Safetensors.of(Map.of("x", "1", "y", "2"), Map.of("a", one, "b", one)).write(file);
        byte[] bytes = Files.readAllBytes(file);
        Safetensors.read(file).write(file);
        assertArrayEquals(bytes, Files.readAllBytes(file));
        assertEquals(List.of(file), list());
    }

    /** What floats hold exactly is read; another type is named, and SafetensorsFile has the rest. */
    @Test
    void aFileWithATypeThatIsNoFloatsIsReadTensorByTensor() throws IOException {
        write(
                "{\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}",
                new byte[] {(byte) 0x80, 0x3f, 0x20, (byte) 0xc0});
        assertArrayEquals(
                new float[] {1, -2.5f},
                Safetensors.read(file).tensors().get("a").floats());
        write("{\"a\\u001b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}", new byte[8]);
        refused(
                "tensor 'a\\u001b': expected a type whose values are floats, got I64; read this file with SafetensorsFile");
    }

    /** The file of the row T5: a pattern that looks for the last spaces from each of them took minutes. */
    @Test
    void aHeaderOfSpacesIsReadInTheTimeOfItsLength() throws IOException {
        for (String header : List.of("{" + " ".repeat(400_000) + "}", "{}" + " ".repeat(400_000))) {
            write(header, new byte[0]);
            assertTimeoutPreemptively(Duration.ofSeconds(20), () -> Safetensors.read(file));
        }
        write("{" + " ".repeat(400_000) + "x", new byte[0]);
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> refused("expected JSON from { to }"));
    }

    @Test
    void aHeaderTooLongForTheFormatOrTheFileIsRefusedBeforeMemoryIsTaken() throws IOException {
        for (long length : new long[] {100_000_001, Long.MAX_VALUE, -1}) {
            Files.write(file, number(length));
            refused("expected a header of at most 100000000 bytes, got " + Long.toUnsignedString(length));
        }
        Files.write(file, number(100_000_000));
        refused("expected a header of 100000000 bytes, got 0: truncated");
        Files.write(file, new byte[7]);
        refused("expected the 8 bytes of a header's length, got a file of 7");
        Files.delete(file);
        refused("cannot read", "no such file");
        Files.createDirectory(file);
        refused("cannot read", "it is a folder");
    }

    @Test
    void noTruncatedFileIsRead() throws IOException {
        Safetensors.of(Map.of("x", "y"), Map.of("a", new Values(new long[] {2}, new float[] {1, 2})))
                .write(file);
        byte[] whole = Files.readAllBytes(file);
        for (int length = 0; length < whole.length; length++) {
            Files.write(file, Arrays.copyOf(whole, length));
            refused(file.toString());
        }
    }

    @Test
    void valuesThatDoNotFitTheirShapeAndTheNameOfTheMetadataAreRefused() {
        assertEquals(
                "shape [2, 3]: expected 6 values, got 5",
                assertThrows(IllegalArgumentException.class, () -> new Values(new long[] {2, 3}, new float[5]))
                        .getMessage());
        assertEquals(
                "shape [-1, -2]: an extent is negative",
                assertThrows(IllegalArgumentException.class, () -> new Values(new long[] {-1, -2}, new float[2]))
                        .getMessage());
        assertThrows(IllegalArgumentException.class, () -> new Values(new long[] {1L << 40, 1L << 40}, new float[2]));
        String half = "x" + (char) 0xdc00;
        assertThrows(IllegalArgumentException.class, () -> Safetensors.of(Map.of(half, ""), Map.of()));
        assertThrows(IllegalArgumentException.class, () -> Safetensors.of(Map.of("", half), Map.of()));
        assertThrows(
                IllegalArgumentException.class,
                () -> Safetensors.of(Map.of(), Map.of(half, new Values(new long[] {}, new float[1]))));
        Map<String, Values> tensors = Map.of("__metadata__", new Values(new long[] {}, new float[1]));
        assertThrows(IllegalArgumentException.class, () -> Safetensors.of(Map.of(), tensors));
    }

    @Test
    void whereNothingCanBeWrittenNothingIsLeft() throws IOException {
        Safetensors none = Safetensors.of(Map.of(), Map.of());
        Path nowhere = folder.resolve("no").resolve("x");
        String message =
                assertThrows(IOException.class, () -> none.write(nowhere)).getMessage();
        assertEquals("cannot write " + nowhere + ": no such file or folder", message);
        Files.createDirectories(file.resolve("full"));
        assertTrue(assertThrows(IOException.class, () -> none.write(file))
                .getMessage()
                .startsWith("cannot write "));
        assertEquals(List.of(file), list());
    }

    /** Each of two threads writes its own file over and over under one name: none of the writes fails, and none of the files is a mixture. */
    @Test
    void twoWritersOfOneFileHinderNobody() throws Exception {
        List<Callable<Void>> writers = new ArrayList<>();
        for (int writer = 0; writer < 2; writer++) {
            float[] floats = new float[50_000 + 20_000 * writer];
            Arrays.fill(floats, writer);
            Safetensors content = Safetensors.of(Map.of(), Map.of("a", new Values(new long[] {floats.length}, floats)));
            writers.add(() -> {
                for (int n = 0; n < 30; n++) {
                    content.write(file);
                    float[] read = Safetensors.read(file).tensors().get("a").floats();
                    assertEquals(50_000 + 20_000 * (int) read[0], read.length);
                    for (float one : read) assertEquals(read[0], one);
                }
                return null;
            });
        }
        ExecutorService threads = Executors.newFixedThreadPool(2);
        try {
            for (Future<Void> writer : threads.invokeAll(writers)) writer.get();
        } finally {
            threads.shutdown();
        }
        assertEquals(List.of(file), list());
    }

    @Test
    void anInterruptedThreadWritesAndReadsAndStaysInterrupted() throws IOException {
        Safetensors content =
                Safetensors.of(Map.of("x", "1"), Map.of("a", new Values(new long[] {1}, new float[] {2})));
        Thread.currentThread().interrupt();
        try {
            content.write(file);
            assertEquals(content.metadata(), Safetensors.read(file).metadata());
        } finally {
            assertTrue(Thread.interrupted());
        }
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aSymbolicLinkStaysAndWhatItPointsToIsWritten() throws IOException {
        Path target = Files.createDirectory(folder.resolve("elsewhere")).resolve("real");
        Files.createSymbolicLink(file, Path.of("elsewhere", "real"));
        for (String text : List.of("while it dangles", "over a file")) {
            Safetensors.of(Map.of("x", text), Map.of()).write(file);
            assertTrue(Files.isSymbolicLink(file));
            assertFalse(Files.isSymbolicLink(target));
            assertEquals(Map.of("x", text), Safetensors.read(target).metadata());
        }
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void whatIsNoRegularFileIsNotReplaced() throws Exception {
        assertEquals(0, new ProcessBuilder("mkfifo", file.toString()).start().waitFor());
        String message = assertThrows(IOException.class, () -> Safetensors.of(Map.of(), Map.of())
                        .write(file))
                .getMessage();
        assertTrue(message.startsWith("cannot write " + file + ": "), message);
        assertTrue(Files.readAttributes(file, BasicFileAttributes.class).isOther(), "it still is what it was");
        assertEquals(List.of(file), list());
    }

    /** A process that may write no file of more than 64 blocks meets what a full disk is: an error in the middle of the bytes. */
    @Test
    @EnabledOnOs(OS.LINUX)
    void aDiskThatIsFullLeavesTheOldFileAndOneSentence() throws Exception {
        Safetensors.of(Map.of("old", "yes"), Map.of()).write(file);
        Path said = folder.resolve("said");
        Process full = new ProcessBuilder(
                        "bash",
                        "-c",
                        "trap '' XFSZ; ulimit -f 64; exec \"$@\"",
                        "bash",
                        java(),
                        "-XX:-UsePerfData",
                        "-cp",
                        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                        Full.class.getName(),
                        file.toString())
                .redirectErrorStream(true)
                .redirectOutput(said.toFile())
                .start();
        assertTrue(full.waitFor(60, TimeUnit.SECONDS), "it ends");
        assertEquals("cannot write " + file + ": File too large\n", Files.readString(said));
        assertEquals(Map.of("old", "yes"), Safetensors.read(file).metadata());
        assertEquals(List.of(said, file), list());
    }

    /** Writes a large file. */
    static final class Full {

        private Full() {}

        /** Says what came of it. */
        public static void main(String[] args) {
            Values values = new Values(new long[] {1_000_000}, new float[1_000_000]);
            try {
                Safetensors.of(Map.of(), Map.of("a", values)).write(Path.of(args[0]));
                System.out.println("written");
            } catch (IOException e) {
                System.out.println(e.getMessage());
            }
        }
    }

    private static String java() {
        return Path.of(System.getProperty("java.home"), "bin", "java").toString();
    }

    private void refused(String... words) {
        String message =
                assertThrows(IOException.class, () -> Safetensors.read(file)).getMessage();
        for (String word : words) assertTrue(message.contains(word), message);
        assertTrue(message.contains(file.toString()), message);
    }

    private List<Path> list() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().toList();
        }
    }

    private void write(String header, byte[] data) throws IOException {
        write(header.getBytes(UTF_8), data);
    }

    private void write(byte[] header, byte[] data) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(number(header.length));
        bytes.write(header);
        bytes.write(data);
        Files.write(file, bytes.toByteArray());
    }

    private static byte[] number(long n) {
        return ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(n).array();
    }

    private static byte[] floats(float... floats) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * floats.length).order(ByteOrder.LITTLE_ENDIAN);
        for (float f : floats) bytes.putFloat(f);
        return bytes.array();
    }

    private static int[] bits(float[] floats) {
        int[] bits = new int[floats.length];
        for (int i = 0; i < bits.length; i++) bits[i] = Float.floatToRawIntBits(floats[i]);
        return bits;
    }
}
