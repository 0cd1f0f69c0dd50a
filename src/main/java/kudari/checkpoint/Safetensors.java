package kudari.checkpoint;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.gson.stream.JsonWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import kudari.Dtype;
import kudari.checkpoint.SafetensorsFile.TensorInfo;
import kudari.io.AtomicFile;
import kudari.io.Say;

/**
 * Named tensors of float32, bfloat16 and float16 and named strings, as a safetensors file: what Python's {@code safetensors} reads and writes. Files of
 * others, whose tensors may be of other types, are read by {@link SafetensorsFile}, too.
 *
 * <pre>
 *   8 bytes    the length of the header, little-endian
 *   header     JSON in UTF-8: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {"name": "text"}},
 *              filled up with spaces so that the floats begin at a multiple of 8
 *   floats     little-endian, row-major, one tensor after the other without a gap</pre>
 *
 * <p>Tensors and metadata are in the order of their names, so that equal contents are equal bytes.
 *
 * @param metadata strings by name
 * @param tensors values by name; {@code __metadata__} is not a name
 */
public record Safetensors(SortedMap<String, String> metadata, SortedMap<String, Values> tensors) {

    static final String METADATA = "__metadata__";

    /** The largest header that the format allows. */
    static final long LARGEST_HEADER = 100_000_000;

    /** Elements that go between array and file at a time. */
    static final int PIECE = 1 << 18;

    /**
     * The elements of one tensor, row-major, on the Java heap.
     *
     * @param dtype the type that they have in the file, {@code F32}, {@code BF16}, {@code F16} or {@code U8}; what it cannot hold is rounded as it is written
     * @param shape the extents, outermost first; empty for a single number
     * @param floats the elements, not a copy
     */
    public record Values(Dtype dtype, long[] shape, float[] floats) {

        /** Checks that the shape has as many elements as there are, and that the type can be written. */
        public Values {
            if (!dtype.isOfTensors())
                throw new IllegalArgumentException("dtype: expected F32, BF16, F16 or U8, got " + dtype);
            if (elements(shape) != floats.length) {
                throw new IllegalArgumentException("shape " + Arrays.toString(shape) + ": expected " + elements(shape)
                        + " values, got " + floats.length);
            }
        }

        /** Elements of float32. */
        public Values(long[] shape, float[] floats) {
            this(Dtype.F32, shape, floats);
        }

        /** How many bytes they have in the file. */
        private long bytes() {
            return (long) dtype.bits() / Byte.SIZE * floats.length;
        }

        /** The elements as the file holds them, piece by piece. */
        void pour(Sink sink) throws IOException {
            ByteBuffer piece = ByteBuffer.allocate(dtype.bits() / Byte.SIZE * Math.min(PIECE, floats.length))
                    .order(ByteOrder.LITTLE_ENDIAN);
            for (int from = 0; from < floats.length; from += PIECE) {
                dtype.put(piece.clear(), floats, from, Math.min(PIECE, floats.length - from));
                sink.accept(piece.flip());
            }
        }
    }

    /** Takes bytes, all of those that remain. */
    interface Sink {
        void accept(ByteBuffer bytes) throws IOException;
    }

    /** Copies the maps, and checks that every name and text can be written. */
    public Safetensors {
        metadata = Collections.unmodifiableSortedMap(new TreeMap<>(metadata));
        tensors = Collections.unmodifiableSortedMap(new TreeMap<>(tensors));
        metadata.forEach((name, text) -> {
            checkText("the name in the metadata", name);
            checkText("metadata " + Say.quoted(name), text);
        });
        tensors.forEach((name, values) -> {
            checkText("the name of a tensor", name);
            if (values == null) // a map may hold it
            throw new IllegalArgumentException("tensor " + Say.quoted(name) + ": expected values, got null");
        });
        if (tensors.containsKey(METADATA))
            throw new IllegalArgumentException("'" + METADATA + "': the format keeps this name for the metadata");
    }

    /** Tensors and strings, from any maps. */
    public static Safetensors of(Map<String, String> metadata, Map<String, Values> tensors) {
        return new Safetensors(sorted("metadata", metadata), sorted("tensors", tensors));
    }

    /**
     * Writes the file, whole or not at all, in the way of {@link AtomicFile}: whatever happens, the name holds the old file or the new one.
     *
     * @throws IOException if it cannot be written, on a full disk for example; a file of that name stays as it was then
     */
    public void write(Path file) throws IOException {
        AtomicFile.write(file, this::writeTo);
    }

    private void writeTo(OutputStream out) throws IOException {
        byte[] header = header();
        if (header.length > LARGEST_HEADER - 8)
            throw new IOException("expected names and metadata of at most " + (LARGEST_HEADER - 8)
                    + " bytes, which the format allows, got " + header.length);
        int padded = (header.length + 7) / 8 * 8;
        ByteBuffer start = ByteBuffer.allocate(8 + padded).order(ByteOrder.LITTLE_ENDIAN);
        start.putLong(padded).put(header);
        while (start.hasRemaining()) start.put((byte) ' ');
        out.write(start.array());
        for (Values values : tensors.values()) values.pour(piece -> out.write(piece.array(), 0, piece.limit()));
    }

    /** The header without its padding: the same bytes for the same contents, but for the values. */
    byte[] header() {
        StringWriter text = new StringWriter();
        try (JsonWriter json = new JsonWriter(text)) {
            json.beginObject();
            if (!metadata.isEmpty()) {
                json.name(METADATA).beginObject();
                for (Map.Entry<String, String> entry : metadata.entrySet())
                    json.name(entry.getKey()).value(entry.getValue());
                json.endObject();
            }
            long at = 0;
            for (Map.Entry<String, Values> entry : tensors.entrySet()) {
                json.name(entry.getKey())
                        .beginObject()
                        .name("dtype")
                        .value(entry.getValue().dtype().name());
                json.name("shape").beginArray();
                for (long extent : entry.getValue().shape()) json.value(extent);
                json.endArray().name("data_offsets").beginArray().value(at);
                at += entry.getValue().bytes();
                json.value(at).endArray().endObject();
            }
            json.endObject();
        } catch (IOException e) {
            throw new AssertionError(e); // a StringWriter throws none
        }
        return text.toString().getBytes(UTF_8);
    }

    /**
     * Reads a file, if all of it is as the format demands, and all of its tensors are of types whose values are floats: {@linkplain
     * Dtype#isExact exactly}. Those of {@code BF16} and {@code F16} are written again as they are, others that are not {@code F32} as float32. A {@link SafetensorsFile} takes the tensors one by one, whatever the types of the others.
     *
     * @throws IOException if it cannot be read, breaks a rule of the format, or holds a tensor that floats cannot hold; the message names the
     *     file and, where it is one tensor's, the tensor
     */
    public static Safetensors read(Path file) throws IOException {
        try (SafetensorsFile in = SafetensorsFile.open(file)) {
            SortedMap<String, Values> tensors = new TreeMap<>();
            for (Map.Entry<String, TensorInfo> entry : in.tensors().entrySet()) {
                String name = entry.getKey();
                TensorInfo tensor = entry.getValue();
                if (!tensor.dtype().isExact())
                    throw new IOException(
                            file + ": tensor " + Say.quoted(name) + ": expected a type whose values are floats, got "
                                    + tensor.dtype() + "; read this file with SafetensorsFile, tensor by tensor");
                Dtype dtype = tensor.dtype().isOfTensors() ? tensor.dtype() : Dtype.F32;
                tensors.put(name, new Values(dtype, tensor.shape(), in.floats(name)));
            }
            return new Safetensors(in.metadata(), tensors);
        }
    }

    /** In the order of the names, none of which may be null. */
    static <T> SortedMap<String, T> sorted(String what, Map<String, T> byName) {
        SortedMap<String, T> sorted = new TreeMap<>();
        byName.forEach((name, value) -> {
            if (name == null) throw new IllegalArgumentException(what + ": a name is null");
            sorted.put(name, value);
        });
        return sorted;
    }

    /** Throws unless a text can be written: a half of a surrogate pair is no character, and would be read as another. */
    static void checkText(String what, String text) {
        if (text == null) throw new IllegalArgumentException(what + ": expected text, got null"); // a map may hold it
        for (int at = 0; at < text.length(); at++) {
            char c = text.charAt(at);
            if (!Character.isSurrogate(c)) continue;
            if (Character.isHighSurrogate(c) && at + 1 < text.length() && Character.isLowSurrogate(text.charAt(at + 1)))
                at++;
            else
                throw new IllegalArgumentException(what + " " + Say.quoted(text) + ": half of a surrogate pair at " + at
                        + ", which no file can hold");
        }
    }

    static long elements(long[] shape) {
        long elements = 1;
        for (long extent : shape) {
            if (extent < 0)
                throw new IllegalArgumentException("shape " + Arrays.toString(shape) + ": an extent is negative");
            try {
                elements = Math.multiplyExact(elements, extent);
            } catch (ArithmeticException e) {
                throw new IllegalArgumentException(
                        "shape " + Arrays.toString(shape) + ": more elements than a file can hold", e);
            }
        }
        return elements;
    }
}
