package kudari.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class DatasetTest {

    /** Three images of one row and two columns. */
    private final Dataset three =
            new Dataset(1, 2, 10, new byte[] {0, (byte) 255, 51, 102, (byte) 153, (byte) 204}, new byte[] {7, 0, 9});

    @Test
    void itSaysWhatItHolds() {
        assertEquals(3, three.size());
        assertEquals(1, three.rows());
        assertEquals(2, three.columns());
        assertEquals(2, three.features());
        assertEquals(10, three.classes());
        assertEquals(7, three.label(0));
        assertEquals(9, three.label(2));
        assertEquals("3 images of 1×2 in 10 classes", three.toString());
    }

    @Test
    void gatheredPixelsAreUnsignedAndGoFrom0To1() {
        float[] x = new float[6];
        int[] labels = new int[3];
        three.gather(new int[] {2, 0, 2}, 3, x, labels);
        assertArrayEquals(new float[] {0.6f, 0.8f, 0, 1, 0.6f, 0.8f}, x);
        assertArrayEquals(new int[] {9, 7, 9}, labels);
    }

    @Test
    void onlyTheFirstCountIndicesAreGatheredAndTheRestIsUntouched() {
        float[] x = {-1, -1, -1};
        int[] labels = {-1, -1};
        three.gather(new int[] {1, 99}, 1, x, labels);
        assertArrayEquals(new float[] {0.2f, 0.4f, -1}, x);
        assertArrayEquals(new int[] {0, -1}, labels);
        three.gather(new int[0], 0, new float[0], new int[0]);
    }

    @Test
    void badGatheringIsNamedAndWritesNothing() {
        float[] x = {-1, -1, -1, -1};
        int[] labels = {-1, -1};
        refuses("indices: expected 0 to 2, got 3", () -> three.gather(new int[] {0, 3}, 2, x, labels));
        refuses("indices: expected 0 to 2, got -1", () -> three.gather(new int[] {0, -1}, 2, x, labels));
        refuses("count: expected 0 to indices.length = 1, got 2", () -> three.gather(new int[] {0}, 2, x, labels));
        refuses("count: expected 0 to indices.length = 1, got -1", () -> three.gather(new int[] {0}, -1, x, labels));
        refuses("x: expected room for 3·2 = 6 floats, got 4", () -> three.gather(new int[3], 3, x, new int[3]));
        refuses("labels: expected room for 2, got 1", () -> three.gather(new int[2], 2, x, new int[1]));
        assertArrayEquals(new float[] {-1, -1, -1, -1}, x);
        assertArrayEquals(new int[] {-1, -1}, labels);
    }

    @Test
    void theHeadIsTheFirstImages() {
        Dataset two = three.head(2);
        assertEquals(2, two.size());
        assertEquals(7, two.label(0));
        float[] x = new float[4];
        two.gather(new int[] {0, 1}, 2, x, new int[2]);
        assertArrayEquals(new float[] {0, 1, 0.2f, 0.4f}, x);
        assertEquals(3, three.head(3).size());
        assertEquals(0, three.head(0).size());
        refuses("index: expected 0 to 1, got 2", () -> two.label(2));
        refuses("n: expected 0 to 3, got 4", () -> three.head(4));
        refuses("n: expected 0 to 3, got -1", () -> three.head(-1));
    }

    @Test
    void theArraysItIsMadeFromAreCopied() {
        byte[] pixels = {(byte) 255}, labels = {3};
        Dataset one = new Dataset(1, 1, 10, pixels, labels);
        Arrays.fill(pixels, (byte) 0);
        Arrays.fill(labels, (byte) 0);
        float[] x = new float[1];
        one.gather(new int[] {0}, 1, x, new int[1]);
        assertEquals(1, x[0]);
        assertEquals(3, one.label(0));
    }

    @Test
    void whatDoesNotFitTogetherIsRefused() {
        refuses("rows: expected at least 1, got 0", () -> new Dataset(0, 1, 10, new byte[0], new byte[0]));
        refuses("columns: expected 1 to 1073741823, got 0", () -> new Dataset(2, 0, 10, new byte[0], new byte[0]));
        refuses(
                "columns: expected 1 to 32768, got 65537",
                () -> new Dataset(65535, 65537, 10, new byte[0], new byte[0]));
        refuses("classes: expected 1 to 128, got 129", () -> new Dataset(1, 1, 129, new byte[0], new byte[0]));
        refuses("pixels: expected 2·1·2 = 4 of them, got 3", () -> new Dataset(1, 2, 10, new byte[3], new byte[2]));
        refuses("labels[1]: expected 0 to 9, got 10", () -> new Dataset(1, 1, 10, new byte[2], new byte[] {0, 10}));
        refuses("labels[0]: expected 0 to 9, got -1", () -> new Dataset(1, 1, 10, new byte[1], new byte[] {-1}));
    }

    @Test
    void itMayBeEmpty() {
        Dataset empty = new Dataset(28, 28, 10, new byte[0], new byte[0]);
        assertEquals(0, empty.size());
        assertEquals(0, empty.head(0).size());
    }

    private static void refuses(String message, Executable action) {
        assertEquals(
                message, assertThrows(IllegalArgumentException.class, action).getMessage());
    }
}
