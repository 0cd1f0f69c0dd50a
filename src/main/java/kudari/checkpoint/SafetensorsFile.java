package kudari.checkpoint;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.ByteArrayInputStream;
import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import kudari.Dtype;
import kudari.io.Say;

/**
 * An open safetensors file, whichever program wrote it. Its header has been read and checked; its tensors are read one at a time.
 *
 * <pre>{@code
 * try (SafetensorsFile file = SafetensorsFile.open(Path.of("model.safetensors"))) {
 *     for (String name : file.tensors().keySet()) {
 *         TensorInfo tensor = file.tensors().get(name);
 *         if (tensor.dtype().hasFloats()) params.put(name, engine.tensor(file.floats(name), tensor.shape()));
 *     }
 * }
 * }</pre>
 *
 * <p>A file that breaks a rule of the format is refused as it is opened: a header of more than 100,000,000 bytes, or that is not the format's
 * JSON in UTF-8, followed by nothing but spaces; a name twice; half of a surrogate pair; bytes that are no tensor's, or two tensors'; an
 * extent, an offset or a size that is not what it should be. Beyond the format, an extent or offset has at most 18 digits, and a tensor at most
 * 1,000 extents. Reading takes time and memory in proportion to what is in the file, whatever its header claims.
 */
public final class SafetensorsFile implements Closeable {

    /** The most elements that every JVM lets one Java array have. */
    private static final long LARGEST_ARRAY = Integer.MAX_VALUE - 8;

    /** Bytes that go between file and array at a time: a whole number of elements of every type that is read as floats. */
    private static final int PIECE = 1 << 20;

    /** The most extents of a shape. */
    private static final int MOST_EXTENTS = 1_000;

    /**
     * What the header says of a tensor.
     *
     * @param dtype the type of its elements
     * @param shape its extents, outermost first; empty for a single number
     * @param begin where its bytes begin, counted from the end of the header
     * @param end where they end
     */
    public record TensorInfo(Dtype dtype, long[] shape, long begin, long end) {

        /** A copy of the extents. */
        @Override
        public long[] shape() {
            return shape.clone();
        }

        /** As in {@code BF16[784, 100]}. */
        @Override
        public String toString() {
            return dtype + Arrays.toString(shape);
        }

        /** The number of its bytes. */
        public long bytes() {
            return end - begin;
        }
    }

    /** What is wrong with a file, rather than with reading it. */
    private static final class Damage extends IOException {

        private static final long serialVersionUID = 1;

        Damage(String what) {
            super(what);
        }
    }

    private final Path file;

    /** Not a channel: on an interrupted thread that would only close. */
    private final RandomAccessFile in;

    /** Where the bytes of the tensors begin. */
    private final long start;

    private final SortedMap<String, String> metadata = new TreeMap<>();
    private final SortedMap<String, TensorInfo> tensors = new TreeMap<>();

    private SafetensorsFile(Path file, RandomAccessFile in) throws IOException {
        this.file = file;
        this.in = in;
        long size = in.length();
        if (size < 8) throw new Damage("expected the 8 bytes of a header's length, got a file of " + size);
        long length = next(8).getLong();
        if (length < 0 || length > Safetensors.LARGEST_HEADER)
            throw new Damage("expected a header of at most " + Safetensors.LARGEST_HEADER + " bytes, got "
                    + Long.toUnsignedString(length) + ": no safetensors file");
        if (length > size - 8)
            throw new Damage("expected a header of " + length + " bytes, got " + (size - 8) + ": truncated");
        start = 8 + length;
        parse(next((int) length).array());
        check(size - start);
    }

    /**
     * Opens a file and reads its header.
     *
     * @throws IOException if it cannot be read, is no regular file, or breaks a rule of the format; the message names the file and, where it is
     *     one tensor's, the tensor
     */
    public static SafetensorsFile open(Path file) throws IOException {
        try {
            BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
            if (attributes.isDirectory()) throw new IOException("it is a folder");
            if (!attributes.isRegularFile()) // a pipe would keep us waiting
            throw new IOException("it is a device, a pipe or a socket, not a regular file");
            if (!Files.isReadable(file)) throw new AccessDeniedException(null);
            RandomAccessFile in = new RandomAccessFile(file.toFile(), "r");
            try {
                return new SafetensorsFile(file, in);
            } catch (IOException | RuntimeException | Error e) {
                in.close();
                throw e;
            }
        } catch (IOException e) {
            throw failure(file, e);
        }
    }

    private static IOException failure(Path file, IOException e) {
        return e instanceof Damage
                ? new IOException(file + ": " + e.getMessage(), e)
                : Say.failure("cannot read " + file, e);
    }

    /** The strings of the header, by name. */
    public SortedMap<String, String> metadata() {
        return Collections.unmodifiableSortedMap(metadata);
    }

    /** What tensors there are, by name. */
    public SortedMap<String, TensorInfo> tensors() {
        return Collections.unmodifiableSortedMap(tensors);
    }

    /**
     * Reads a tensor as floats, row-major. Values of a type that is not {@linkplain Dtype#isExact exact} are rounded to the nearest float.
     *
     * @throws IllegalArgumentException if there is no such tensor, its type {@linkplain Dtype#hasFloats has no floats}, or it has more elements
     *     than a Java array
     * @throws IOException if it cannot be read
     */
    public float[] floats(String name) throws IOException {
        TensorInfo tensor = tensor(name);
        Dtype dtype = tensor.dtype();
        if (!dtype.hasFloats())
            throw new IllegalArgumentException(
                    file + ": tensor " + Say.quoted(name) + ": its type " + dtype + " is read as bytes only");
        float[] floats = new float[length(name, Safetensors.elements(tensor.shape()), "elements")];
        int at = 0;
        try {
            in.seek(start + tensor.begin());
            while (at < floats.length) {
                int count = Math.min(PIECE * 8 / dtype.bits(), floats.length - at);
                ByteBuffer piece = next(count * dtype.bits() / 8);
                dtype.get(piece, floats, at, count);
                at += count;
            }
        } catch (IOException e) {
            throw failure(file, e);
        }
        return floats;
    }

    /**
     * Reads a tensor as the file holds it: little-endian, row-major.
     *
     * @throws IllegalArgumentException if there is no such tensor, or it has more bytes than a Java array
     * @throws IOException if it cannot be read
     */
    public byte[] bytes(String name) throws IOException {
        TensorInfo tensor = tensor(name);
        int length = length(name, tensor.bytes(), "bytes");
        try {
            in.seek(start + tensor.begin());
            return next(length).array();
        } catch (IOException e) {
            throw failure(file, e);
        }
    }

    private TensorInfo tensor(String name) {
        TensorInfo tensor = tensors.get(name);
        if (tensor == null) throw new IllegalArgumentException(file + ": no tensor " + Say.quoted(name));
        return tensor;
    }

    private int length(String name, long count, String what) {
        if (count > LARGEST_ARRAY)
            throw new IllegalArgumentException(file + ": tensor " + Say.quoted(name) + ": " + count + " " + what
                    + ", but a Java array has at most " + LARGEST_ARRAY);
        return (int) count;
    }

    /** The next bytes of the file. */
    private ByteBuffer next(int count) throws IOException {
        byte[] bytes = new byte[count];
        try {
            in.readFully(bytes);
        } catch (EOFException e) {
            throw new Damage("it became shorter while it was read");
        }
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private void parse(byte[] header) throws IOException {
        int end = header.length;
        while (end > 0 && header[end - 1] == ' ') end--; // what fills it up
        if (end == 0 || header[0] != '{' || header[end - 1] != '}')
            throw new Damage("the header: expected JSON from { to } and then spaces only, got "
                    + (end == 0 ? "nothing" : shown(header[0]) + " to " + shown(header[end - 1])));
        // A decoder that replaces nothing, and decodes piece by piece: a header may be large.
        JsonReader json =
                new JsonReader(new InputStreamReader(new ByteArrayInputStream(header, 0, end), UTF_8.newDecoder()));
        json.setStrictness(Strictness.STRICT);
        try {
            Set<String> names = new HashSet<>();
            json.beginObject();
            while (json.hasNext()) {
                String name = fresh(json.nextName(), names, "the header");
                if (name.equals(Safetensors.METADATA)) strings(json);
                else tensors.put(name, tensor("tensor " + Say.quoted(name), json));
            }
            json.endObject();
            if (json.peek() != JsonToken.END_DOCUMENT) throw new Damage("the header: more than one JSON object");
        } catch (Damage e) {
            throw e;
        } catch (CharacterCodingException e) {
            throw new Damage("the header: expected UTF-8, got bytes that are not, after " + Say.quoted(json.getPath()));
        } catch (IOException | IllegalStateException | NumberFormatException e) {
            throw new Damage(
                    "the header: expected the format's JSON, got something else at " + Say.quoted(json.getPath()));
        }
    }

    private static String shown(byte b) {
        return b >= ' ' && b < 127 ? "'" + (char) b + "'" : String.format("0x%02x", b);
    }

    private void strings(JsonReader json) throws IOException {
        Set<String> names = new HashSet<>();
        json.beginObject();
        while (json.hasNext()) {
            String name = fresh(json.nextName(), names, Safetensors.METADATA);
            String what = Safetensors.METADATA + " " + Say.quoted(name);
            if (json.peek() != JsonToken.STRING) throw new Damage(what + ": expected a string");
            metadata.put(name, whole(what, json.nextString()));
        }
        json.endObject();
    }

    private static TensorInfo tensor(String what, JsonReader json) throws IOException {
        Dtype dtype = null;
        List<Long> shape = List.of(), offsets = List.of();
        Set<String> keys = new HashSet<>();
        json.beginObject();
        while (json.hasNext()) {
            String key = fresh(json.nextName(), keys, what);
            switch (key) {
                case "dtype" -> dtype = dtype(what, json);
                case "shape" -> shape = numbers(what + ": shape", json);
                case "data_offsets" -> offsets = numbers(what + ": data_offsets", json);
                default -> throw new Damage(what + ": expected dtype, shape and data_offsets, got " + Say.quoted(key));
            }
        }
        json.endObject();
        if (dtype == null || keys.size() < 3)
            throw new Damage(what + ": expected dtype, shape and data_offsets, got only " + keys);
        if (offsets.size() != 2 || offsets.get(0) > offsets.get(1))
            throw new Damage(what + ": data_offsets: expected a begin and an end, got " + shown(offsets));
        long begin = offsets.get(0), end = offsets.get(1);
        long[] extents = shape.stream().mapToLong(Long::longValue).toArray();
        long bits;
        try {
            bits = Math.multiplyExact(Safetensors.elements(extents), (long) dtype.bits());
        } catch (ArithmeticException | IllegalArgumentException e) {
            throw new Damage(what + ": shape " + shown(shape) + ": more elements than a file can hold");
        }
        if (bits % 8 != 0)
            throw new Damage(
                    what + ": expected whole bytes, got " + bits + " bits for shape " + shown(shape) + " of " + dtype);
        if (end - begin != bits / 8)
            throw new Damage(what + ": expected " + bits / 8 + " bytes for shape " + shown(shape) + " of " + dtype
                    + ", got data_offsets " + shown(offsets));
        return new TensorInfo(dtype, extents, begin, end);
    }

    private static Dtype dtype(String what, JsonReader json) throws IOException {
        if (json.peek() != JsonToken.STRING) throw new Damage(what + ": dtype: expected a string, got " + json.peek());
        String name = json.nextString();
        for (Dtype dtype : Dtype.values()) {
            if (dtype.name().equals(name)) return dtype;
        }
        throw new Damage(
                what + ": expected a dtype of " + Arrays.toString(Dtype.values()) + ", got " + Say.quoted(name));
    }

    private static List<Long> numbers(String what, JsonReader json) throws IOException {
        List<Long> numbers = new ArrayList<>();
        json.beginArray();
        while (json.hasNext()) {
            JsonToken token = json.peek();
            if (token != JsonToken.NUMBER) throw new Damage(what + ": expected whole numbers, got " + token);
            String text = json.nextString();
            if (!text.matches("\\d{1,18}"))
                throw new Damage(
                        what + ": expected whole numbers from 0 up, of at most 18 digits, got " + Say.quoted(text));
            if (numbers.size() == MOST_EXTENTS)
                throw new Damage(what + ": expected at most " + MOST_EXTENTS + " numbers, got more");
            numbers.add(Long.parseLong(text));
        }
        json.endArray();
        return numbers;
    }

    /** The numbers, or the first of them. */
    private static String shown(List<Long> numbers) {
        return numbers.size() <= 8
                ? numbers.toString()
                : numbers.subList(0, 8) + " and " + (numbers.size() - 8) + " more";
    }

    /** The name, which must not have come before. */
    private static String fresh(String name, Set<String> names, String where) throws Damage {
        if (!names.add(name)) throw new Damage(where + ": the name " + Say.quoted(name) + " comes twice");
        return whole(where + ": a name", name);
    }

    /** The text, which must have both halves of every surrogate pair. */
    private static String whole(String what, String text) throws Damage {
        try {
            Safetensors.checkText(what, text);
            return text;
        } catch (IllegalArgumentException e) {
            throw new Damage(e.getMessage());
        }
    }

    /** The tensors' bytes must be all that there are, each of them one tensor's. */
    private void check(long size) throws Damage {
        List<Map.Entry<String, TensorInfo>> places = new ArrayList<>(tensors.entrySet());
        places.sort(Map.Entry.comparingByValue(
                Comparator.comparingLong(TensorInfo::begin).thenComparingLong(TensorInfo::end)));
        long at = 0;
        String before = "the header";
        for (Map.Entry<String, TensorInfo> place : places) {
            String what = "tensor " + Say.quoted(place.getKey());
            long begin = place.getValue().begin(), end = place.getValue().end();
            if (end > size)
                throw new Damage(what + ": expected its bytes from " + begin + " to " + end + ", got a file with "
                        + size + " after the header: truncated");
            if (begin < at) throw new Damage(what + ": begins at " + begin + ", before " + before + " ends, at " + at);
            if (begin > at)
                throw new Damage(what + ": begins at " + begin + ", but " + before + " ends at " + at
                        + ": the bytes between belong to no tensor");
            at = end;
            before = what;
        }
        if (at < size)
            throw new Damage((size - at) + " bytes after the end of " + before + " that belong to no tensor");
    }

    /** Lets go of the file. */
    @Override
    public void close() throws IOException {
        in.close();
    }
}
