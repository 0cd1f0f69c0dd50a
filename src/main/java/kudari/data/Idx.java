package kudari.data;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * Reads MNIST and its relatives (Fashion-MNIST, Kuzushiji-MNIST: ten classes) from a folder of IDX files. They may be gzipped, with or
 * without {@code .gz} at the end of the name, and a name may read {@code train-images-idx3-ubyte} or {@code train-images.idx3-ubyte}.
 *
 * <p>Every fault is an {@link IOException} that names the file, the offset of the byte (of the unpacked data, where the file is gzipped),
 * what was expected there and what was found. Memory is taken only for bytes that are really there, whatever a header claims.
 */
public final class Idx {

    private static final int CLASSES = 10;

    /** Far more than any of these files has, and so few that the pixels of one image can be counted in an int. */
    private static final int LARGEST_SIDE = 1 << 15;

    private Idx() {}

    /**
     * The training set: {@code train-images-idx3-ubyte} and {@code train-labels-idx1-ubyte}.
     *
     * @throws IOException if a file is missing, damaged, or at odds with the other
     */
    public static Dataset train(Path folder) throws IOException {
        return read(folder, "train");
    }

    /**
     * The test set: {@code t10k-images-idx3-ubyte} and {@code t10k-labels-idx1-ubyte}.
     *
     * @throws IOException if a file is missing, damaged, or at odds with the other
     */
    public static Dataset test(Path folder) throws IOException {
        return read(folder, "t10k");
    }

    private static Dataset read(Path folder, String split) throws IOException {
        Path imageFile = find(folder, split + "-images", "idx3-ubyte");
        Path labelFile = find(folder, split + "-labels", "idx1-ubyte");
        int count, rows, columns;
        byte[] pixels, labels;
        try (Reader in = new Reader(imageFile)) {
            in.magic(0x00000803);
            count = in.number("images", 0, Integer.MAX_VALUE);
            rows = in.number("rows", 1, LARGEST_SIDE);
            columns = in.number("columns", 1, LARGEST_SIDE);
            pixels = in.rest((long) count * rows, columns);
        }
        try (Reader in = new Reader(labelFile)) {
            in.magic(0x00000801);
            int found = in.number("labels", 0, Integer.MAX_VALUE);
            if (found != count) {
                throw in.fault(4, count + " labels, the number of images in " + imageFile.getFileName(), "" + found);
            }
            labels = in.rest(count, 1);
            for (int i = 0; i < count; i++) {
                int label = labels[i] & 0xff;
                if (label >= CLASSES) throw in.fault(8L + i, "a label, 0 to " + (CLASSES - 1), "" + label);
            }
        }
        return new Dataset(rows, columns, CLASSES, pixels, labels);
    }

    private static Path find(Path folder, String stem, String kind) throws IOException {
        List<String> names =
                List.of(stem + "-" + kind, stem + "-" + kind + ".gz", stem + "." + kind, stem + "." + kind + ".gz");
        for (String name : names) {
            Path file = folder.resolve(name);
            if (Files.isRegularFile(file)) return file;
        }
        throw new IOException(folder + ": expected one of the files " + String.join(", ", names) + ", found none");
    }

    /** One file, unpacked, and how far it has been read. */
    private static final class Reader implements AutoCloseable {

        /** The longest array that every JVM can make. */
        private static final int LONGEST = Integer.MAX_VALUE - 8;

        private final Path file;
        private InputStream in;
        private long offset;

        Reader(Path file) throws IOException {
            this.file = file;
            this.in = new BufferedInputStream(Files.newInputStream(file), 1 << 16);
            try {
                in.mark(2);
                boolean zipped = in.read() == 0x1f && in.read() == 0x8b;
                in.reset();
                if (zipped) in = new GZIPInputStream(in, 1 << 16);
            } catch (EOFException | ZipException e) {
                in.close();
                throw damaged(e);
            }
        }

        /** Reads the magic number, which must be this one. */
        void magic(int expected) throws IOException {
            int found = int32("the magic number");
            if (found != expected) {
                throw fault(0, String.format("the magic number 0x%08x", expected), String.format("0x%08x", found));
            }
        }

        /** Reads how many of something there are, which must be within bounds. */
        int number(String what, int least, int most) throws IOException {
            int found = int32("the number of " + what);
            if (found < least || found > most) {
                String range = least + " to " + most;
                throw fault(offset - 4, "the number of " + what + ", " + range, Integer.toUnsignedString(found));
            }
            return found;
        }

        /** Reads a·b bytes, after which the file must end. */
        byte[] rest(long a, int b) throws IOException {
            if (a > LONGEST / b) {
                throw fault(4, "sizes with a product of at most " + LONGEST, "a product of " + a + "·" + b);
            }
            byte[] bytes = exactly((int) a * b, "data");
            if (upTo(1).length > 0) throw fault(offset - 1, "the end of the file", "more data");
            return bytes;
        }

        IOException fault(long at, String expected, String found) {
            return new IOException(file + ": at byte " + at + ", expected " + expected + ", found " + found);
        }

        private int int32(String what) throws IOException {
            return ByteBuffer.wrap(exactly(4, what)).getInt();
        }

        private byte[] exactly(int count, String what) throws IOException {
            byte[] bytes = upTo(count);
            if (bytes.length < count) {
                throw fault(offset, (count - bytes.length) + " more bytes of " + what, "the end of the file");
            }
            return bytes;
        }

        /** Reads so many bytes or, where the file ends, fewer. The array grows with what is really there. */
        private byte[] upTo(int count) throws IOException {
            byte[] bytes = new byte[Math.min(count, 1 << 16)];
            int have = 0;
            while (have < count) {
                if (have == bytes.length) bytes = Arrays.copyOf(bytes, (int) Math.min(count, 2L * have));
                int read;
                try {
                    read = in.read(bytes, have, bytes.length - have);
                } catch (EOFException | ZipException e) {
                    throw damaged(e);
                }
                if (read < 0) return Arrays.copyOf(bytes, have);
                have += read;
                offset += read;
            }
            return bytes;
        }

        private IOException damaged(IOException cause) {
            String found = cause instanceof EOFException ? "the end of the file" : "'" + cause.getMessage() + "'";
            IOException fault = fault(offset, "sound gzip data", found);
            fault.initCause(cause);
            return fault;
        }

        @Override
        public void close() throws IOException {
            in.close();
        }
    }
}
