package kudari.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Files laid out by hand, sound and damaged. */
class IdxTest {

    private static final String IMAGES = "train-images-idx3-ubyte", LABELS = "train-labels-idx1-ubyte";

    /** Two images of one row and three columns. */
    private static final int[] TWO_IMAGES = {
        0, 0, 8, 3, /* images */ 0, 0, 0, 2, /* rows */ 0, 0, 0, 1, /* columns */ 0, 0, 0, 3, 0, 51, 102, 153, 204, 255
    };

    private static final int[] TWO_LABELS = {0, 0, 8, 1, /* labels */ 0, 0, 0, 2, 9, 0};

    @TempDir
    private Path folder;

    @BeforeEach
    void writeSoundFiles() throws IOException {
        write(IMAGES, TWO_IMAGES);
        write(LABELS, TWO_LABELS);
    }

    @Test
    void imagesAndLabelsAreRead() throws IOException {
        checkTwo(Idx.train(folder));
    }

    @Test
    void theTestSetHasFilesOfItsOwn() throws IOException {
        write("t10k-images-idx3-ubyte", TWO_IMAGES);
        write("t10k-labels-idx1-ubyte", TWO_LABELS);
        Files.delete(folder.resolve(IMAGES));
        checkTwo(Idx.test(folder));
    }

    @Test
    void filesMayBeGzippedOrSpeltWithADot() throws IOException {
        Files.delete(folder.resolve(IMAGES));
        Files.write(folder.resolve(IMAGES + ".gz"), gzip(bytes(TWO_IMAGES)));
        Files.move(folder.resolve(LABELS), folder.resolve("train-labels.idx1-ubyte"));
        checkTwo(Idx.train(folder));
    }

    @Test
    void theBytesAndNotTheNameTellWhetherAFileIsGzipped() throws IOException {
        Files.write(folder.resolve(IMAGES), gzip(bytes(TWO_IMAGES)));
        Files.move(folder.resolve(LABELS), folder.resolve("train-labels.idx1-ubyte.gz"));
        checkTwo(Idx.train(folder));
    }

    @Test
    void noImagesAtAllAreASet() throws IOException {
        write(IMAGES, with(Arrays.copyOf(TWO_IMAGES, 16), 7, 0));
        write(LABELS, with(Arrays.copyOf(TWO_LABELS, 8), 7, 0));
        assertEquals(0, Idx.train(folder).size());
    }

    @Test
    void aLargeFileIsReadWhole() throws IOException {
        int count = 300_001; // more than any buffer, and no multiple of one
        byte[] images = Arrays.copyOf(bytes(0, 0, 8, 3, 0, 4, 0x93, 0xe1, 0, 0, 0, 1, 0, 0, 0, 1), 16 + count);
        byte[] labels = Arrays.copyOf(bytes(0, 0, 8, 1, 0, 4, 0x93, 0xe1), 8 + count);
        for (int i = 0; i < count; i++) {
            images[16 + i] = (byte) (i % 251);
            labels[8 + i] = (byte) (i % 7);
        }
        Files.write(folder.resolve(IMAGES), gzip(images));
        Files.write(folder.resolve(LABELS), labels);
        Dataset set = Idx.train(folder);
        float[] x = new float[1];
        int[] label = new int[1];
        for (int i = 0; i < count; i++) {
            set.gather(new int[] {i}, 1, x, label);
            assertEquals(i % 251 / 255f, x[0]);
            assertEquals(i % 7, label[0]);
        }
    }

    @Test
    void aMissingFileIsNamedWithAllItsSpellings() throws IOException {
        Files.delete(folder.resolve(LABELS));
        fails(
                "",
                "expected one of the files train-labels-idx1-ubyte, train-labels-idx1-ubyte.gz, "
                        + "train-labels.idx1-ubyte, train-labels.idx1-ubyte.gz, found none");
        Files.delete(folder.resolve(IMAGES));
        fails(
                "",
                "expected one of the files train-images-idx3-ubyte, train-images-idx3-ubyte.gz, "
                        + "train-images.idx3-ubyte, train-images.idx3-ubyte.gz, found none");
    }

    @Test
    void anEmptyFileIsAnError() throws IOException {
        write(IMAGES);
        fails(IMAGES, "at byte 0, expected 4 more bytes of the magic number, found the end of the file");
    }

    @Test
    void aWrongMagicNumberIsAnError() throws IOException {
        write(IMAGES, with(TWO_IMAGES, 3, 1));
        fails(IMAGES, "at byte 0, expected the magic number 0x00000803, found 0x00000801");
        write(IMAGES, TWO_IMAGES);
        write(LABELS, with(TWO_LABELS, 2, 0x0d));
        fails(LABELS, "at byte 0, expected the magic number 0x00000801, found 0x00000d01");
    }

    @Test
    void aFileThatEndsInItsHeaderIsAnError() throws IOException {
        write(IMAGES, Arrays.copyOf(TWO_IMAGES, 14));
        fails(IMAGES, "at byte 14, expected 2 more bytes of the number of columns, found the end of the file");
    }

    @Test
    void aFileThatEndsInItsDataIsAnError() throws IOException {
        write(IMAGES, Arrays.copyOf(TWO_IMAGES, 20));
        fails(IMAGES, "at byte 20, expected 2 more bytes of data, found the end of the file");
    }

    @ParameterizedTest(name = "cut to {0} bytes")
    @ValueSource(ints = {0, 1, 2, 3, 4, 7, 8, 11, 12, 15, 16, 17, 21})
    void noPartOfAFileIsTakenForTheWhole(int length) throws IOException {
        write(IMAGES, Arrays.copyOf(TWO_IMAGES, length));
        String message =
                assertThrows(IOException.class, () -> Idx.train(folder)).getMessage();
        assertTrue(
                message.contains("at byte " + length + ",") && message.contains("found the end of the file"), message);
    }

    @Test
    void aFileThatGoesOnIsAnError() throws IOException {
        write(IMAGES, Arrays.copyOf(TWO_IMAGES, 23));
        fails(IMAGES, "at byte 22, expected the end of the file, found more data");
    }

    @Test
    void imagesAndLabelsMustBeEqualInNumber() throws IOException {
        write(LABELS, 0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3);
        fails(LABELS, "at byte 4, expected 2 labels, the number of images in train-images-idx3-ubyte, found 3");
    }

    @Test
    void aLabelAbove9IsAnError() throws IOException {
        write(LABELS, with(TWO_LABELS, 9, 10));
        fails(LABELS, "at byte 9, expected a label, 0 to 9, found 10");
        write(LABELS, with(TWO_LABELS, 8, 255));
        fails(LABELS, "at byte 8, expected a label, 0 to 9, found 255");
    }

    @Test
    void imagesWithoutPixelsAreAnError() throws IOException {
        write(IMAGES, with(TWO_IMAGES, 11, 0));
        fails(IMAGES, "at byte 8, expected the number of rows, 1 to 32768, found 0");
        write(IMAGES, with(TWO_IMAGES, 15, 0));
        fails(IMAGES, "at byte 12, expected the number of columns, 1 to 32768, found 0");
    }

    /** Each claims some 2 GB or more, and the file has 6 bytes of data. */
    @Test
    void anAbsurdClaimIsAnErrorAndTakesNoMemory() throws IOException {
        write(IMAGES, with(TWO_IMAGES, 4, 255));
        fails(IMAGES, "at byte 4, expected the number of images, 0 to 2147483647, found 4278190082");
        write(IMAGES, with(TWO_IMAGES, 8, 127));
        fails(IMAGES, "at byte 8, expected the number of rows, 1 to 32768, found 2130706433");
        write(IMAGES, with(TWO_IMAGES, 4, 127));
        fails(
                IMAGES,
                "at byte 4, expected sizes with a product of at most 2147483639, found a product of 2130706434·3");
        write(IMAGES, with(with(TWO_IMAGES, 4, 42), 7, 0));
        fails(
                IMAGES,
                "at byte 22, expected " + (42L * (1 << 24) * 3 - 6) + " more bytes of data, found the end of the file");
    }

    @Test
    void aGzipFileThatIsCutAnywhereIsAnError() throws IOException {
        byte[] whole = gzip(bytes(TWO_IMAGES));
        for (int length = 2; length < whole.length; length++) {
            Files.write(folder.resolve(IMAGES), Arrays.copyOf(whole, length));
            String message =
                    assertThrows(IOException.class, () -> Idx.train(folder)).getMessage();
            assertTrue(
                    message.startsWith(folder.resolve(IMAGES) + ": at byte ")
                            && message.endsWith("expected sound gzip data, found the end of the file"),
                    message);
        }
    }

    @Test
    void aGzipFileWithAFalseChecksumIsAnError() throws IOException {
        byte[] zipped = gzip(bytes(TWO_IMAGES));
        zipped[zipped.length - 8] ^= 1; // the CRC is the eighth byte from the end
        Files.write(folder.resolve(IMAGES), zipped);
        fails(IMAGES, "at byte 22, expected sound gzip data, found 'Corrupt GZIP trailer'");
    }

    @Test
    void aGzipFileWithADamagedHeaderIsAnError() throws IOException {
        byte[] zipped = gzip(bytes(TWO_IMAGES));
        zipped[2] = 7; // 8, deflate, is the only method there is
        Files.write(folder.resolve(IMAGES), zipped);
        fails(IMAGES, "at byte 0, expected sound gzip data, found 'Unsupported compression method'");
    }

    private static void checkTwo(Dataset set) {
        assertEquals(2, set.size());
        assertEquals(1, set.rows());
        assertEquals(3, set.columns());
        assertEquals(10, set.classes());
        float[] x = new float[6];
        int[] labels = new int[2];
        set.gather(new int[] {0, 1}, 2, x, labels);
        assertArrayEquals(new float[] {0, 0.2f, 0.4f, 0.6f, 0.8f, 1}, x);
        assertArrayEquals(new int[] {9, 0}, labels);
    }

    /** Reading fails, and the message is the path of this name in the folder, then this. */
    private void fails(String name, String message) {
        IOException thrown = assertThrows(IOException.class, () -> Idx.train(folder));
        assertEquals(folder.resolve(name) + ": " + message, thrown.getMessage());
    }

    private void write(String name, int... bytes) throws IOException {
        Files.write(folder.resolve(name), bytes(bytes));
    }

    private static int[] with(int[] bytes, int at, int value) {
        int[] changed = bytes.clone();
        changed[at] = value;
        return changed;
    }

    private static byte[] bytes(int... values) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < values.length; i++) bytes[i] = (byte) values[i];
        return bytes;
    }

    private static byte[] gzip(byte[] bytes) throws IOException {
        ByteArrayOutputStream zipped = new ByteArrayOutputStream();
        try (OutputStream out = new GZIPOutputStream(zipped)) {
            out.write(bytes);
        }
        return zipped.toByteArray();
    }
}
