package kudari.data;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;

/** Labelled grey images, all of one size; never changes once made. */
public final class Dataset {

    private final int rows;
    private final int columns;
    private final int classes;
    private final byte[] pixels;
    private final byte[] labels;

    /**
     * Images and labels, copied from these arrays.
     *
     * @param rows the height of an image in pixels, at least 1
     * @param columns the width of an image in pixels, at least 1
     * @param classes the number of classes, 1 to 128
     * @param pixels unsigned, 0 (blank) to 255, {@code [labels.length][rows][columns]} in row-major order
     * @param labels one per image, from 0 up to but not including {@code classes}
     * @throws IllegalArgumentException if a number is out of range or the arrays do not fit together
     */
    public Dataset(int rows, int columns, int classes, byte[] pixels, byte[] labels) {
        require(rows >= 1, "rows", "at least 1", rows);
        int widest = Integer.MAX_VALUE / rows;
        require(columns >= 1 && columns <= widest, "columns", "1 to " + widest, columns);
        require(classes >= 1 && classes <= 128, "classes", "1 to 128", classes);
        long expected = (long) rows * columns * labels.length;
        require(
                pixels.length == expected,
                "pixels",
                labels.length + "·" + rows + "·" + columns + " = " + expected + " of them",
                pixels.length);
        this.rows = rows;
        this.columns = columns;
        this.classes = classes;
        this.pixels = pixels.clone();
        this.labels = labels.clone();
        for (int i = 0; i < labels.length; i++) {
            int label = this.labels[i];
            if (label < 0 || label >= classes) require(false, "labels[" + i + "]", "0 to " + (classes - 1), label);
        }
    }

    /** The number of images. */
    public int size() {
        return labels.length;
    }

    /** The height of an image, in pixels. */
    public int rows() {
        return rows;
    }

    /** The width of an image, in pixels. */
    public int columns() {
        return columns;
    }

    /** The number of pixels of one image, rows × columns. */
    public int features() {
        return rows * columns;
    }

    /** The number of classes; labels are below it. */
    public int classes() {
        return classes;
    }

    /**
     * The class of one image.
     *
     * @throws IllegalArgumentException if there is no such image
     */
    public int label(int i) {
        checkIndex("index", i);
        return labels[i];
    }

    /** Every sample as a network takes it: every pixel divided by 255, 0 (blank) to 1; {@code [size][features]} in row-major order. */
    public float[] x() {
        float[] x = new float[pixels.length];
        for (int i = 0; i < x.length; i++) x[i] = shade(pixels[i]);
        return x;
    }

    /** The class of every sample. */
    public int[] labels() {
        int[] labels = new int[size()];
        for (int i = 0; i < labels.length; i++) labels[i] = this.labels[i];
        return labels;
    }

    private static float shade(byte pixel) {
        return (pixel & 0xff) / 255f;
    }

    /**
     * Writes the first {@code count} samples that {@code indices} names into the start of two arrays. Nothing is allocated.
     *
     * @param indices which samples; one may come more than once
     * @param count how many of them
     * @param x receives {@code [count][features]} in row-major order, every pixel divided by 255: 0 (blank) to 1
     * @param labels receives {@code [count]}
     * @throws IllegalArgumentException if an index names no sample or an array is too short; nothing has been written then
     */
    public void gather(int[] indices, int count, float[] x, int[] labels) {
        require(count >= 0 && count <= indices.length, "count", "0 to indices.length = " + indices.length, count);
        long floats = (long) count * features();
        require(x.length >= floats, "x", "room for " + count + "·" + features() + " = " + floats + " floats", x.length);
        require(labels.length >= count, "labels", "room for " + count, labels.length);
        for (int k = 0; k < count; k++) checkIndex("indices", indices[k]);
        int to = 0;
        for (int k = 0; k < count; k++) {
            int from = indices[k] * features();
            for (int f = 0; f < features(); f++) x[to++] = shade(pixels[from + f]);
            labels[k] = this.labels[indices[k]];
        }
    }

    /**
     * The first images.
     *
     * @param n how many, 0 to {@link #size}
     * @throws IllegalArgumentException if there are fewer
     */
    public Dataset head(int n) {
        require(n >= 0 && n <= size(), "n", "0 to " + size(), n);
        return new Dataset(rows, columns, classes, Arrays.copyOf(pixels, n * features()), Arrays.copyOf(labels, n));
    }

    /** A fingerprint: the SHA-256 of the sizes, the pixels and the labels, in hexadecimal. Equal data has the same one, wherever it comes from. */
    public String sha256() {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e); // every Java has it
        }
        digest.update((rows + "," + columns + "," + classes + "," + size() + ";").getBytes(StandardCharsets.US_ASCII));
        digest.update(pixels);
        digest.update(labels);
        return HexFormat.of().formatHex(digest.digest());
    }

    @Override
    public String toString() {
        return size() + " images of " + rows + "×" + columns + " in " + classes + " classes";
    }

    private void checkIndex(String name, int i) {
        // The message is made only when it is needed: this is the path of every batch.
        if (i < 0 || i >= size()) require(false, name, "0 to " + (size() - 1), i);
    }

    private static void require(boolean holds, String name, String expected, int actual) {
        if (!holds) throw new IllegalArgumentException(name + ": expected " + expected + ", got " + actual);
    }
}
