package kudari.checkpoint;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.JsonWriter;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.io.StringReader;
import java.io.StringWriter;
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
import kudari.io.AtomicFile;
import kudari.io.Say;

/**
 * Named float32 tensors and named strings, as a safetensors file: what Python's {@code safetensors} reads and writes.
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

    private static final String METADATA = "__metadata__";

    /** The largest header that the format allows. */
    private static final long LARGEST_HEADER = 100_000_000;

    /** The most elements that every JVM lets one Java array have. */
    private static final long LARGEST_ARRAY = Integer.MAX_VALUE - 8;

    /** Floats that go between array and file at a time. */
    private static final int PIECE = 1 << 18;

    /**
     * The elements of one tensor, row-major, on the Java heap.
     *
     * @param shape the extents, outermost first; empty for a single number
     * @param floats the elements, not a copy
     */
    public record Values(long[] shape, float[] floats) {

        /** Checks that the shape has as many elements as there are. */
        public Values {
            if (elements(shape) != floats.length) {
                throw new IllegalArgumentException("shape " + Arrays.toString(shape) + ": expected " + elements(shape)
                        + " values, got " + floats.length);
            }
        }

        /** The floats as the file holds them, piece by piece. */
        void pour(Sink sink) throws IOException {
            ByteBuffer piece =
                    ByteBuffer.allocate(4 * Math.min(PIECE, floats.length)).order(ByteOrder.LITTLE_ENDIAN);
            for (int from = 0; from < floats.length; from += PIECE) {
                int count = Math.min(PIECE, floats.length - from);
                piece.clear().limit(4 * count);
                piece.asFloatBuffer().put(floats, from, count);
                sink.accept(piece);
            }
        }
    }

    /** Takes bytes, all of those that remain. */
    interface Sink {
        void accept(ByteBuffer bytes) throws IOException;
    }

    /** What is wrong with a file, rather than with reading it. */
    private static final class Damage extends IOException {

        private static final long serialVersionUID = 1;

        Damage(String what) {
            super(what);
        }
    }

    /** Where the header says that a tensor is: bytes {@code begin} to {@code end} after it. */
    private record Place(String name, long[] shape, long begin, long end) {}

    /** Copies the maps. */
    public Safetensors {
        metadata = Collections.unmodifiableSortedMap(new TreeMap<>(metadata));
        tensors = Collections.unmodifiableSortedMap(new TreeMap<>(tensors));
        if (tensors.containsKey(METADATA))
            throw new IllegalArgumentException("'" + METADATA + "': the format keeps this name for the metadata");
    }

    /** Tensors and strings, from any maps. */
    public static Safetensors of(Map<String, String> metadata, Map<String, Values> tensors) {
        return new Safetensors(new TreeMap<>(metadata), new TreeMap<>(tensors));
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
        if (header.length > LARGEST_HEADER - 8) throw new IOException("a header of " + header.length + " bytes");
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
                json.name(entry.getKey()).beginObject().name("dtype").value("F32");
                json.name("shape").beginArray();
                for (long extent : entry.getValue().shape()) json.value(extent);
                json.endArray().name("data_offsets").beginArray().value(at);
                at += 4L * entry.getValue().floats().length;
                json.value(at).endArray().endObject();
            }
            json.endObject();
        } catch (IOException e) {
            throw new AssertionError(e); // a StringWriter throws none
        }
        return text.toString().getBytes(UTF_8);
    }

    /**
     * Reads a file, if all of it is as the format demands. Memory is taken only for bytes that are really there, whatever a header claims.
     *
     * @throws IOException if it cannot be read, holds anything but float32, or is damaged: truncated, too long, with gaps or overlaps, with a
     *     name twice; the message names the file and, where it is one tensor's, the tensor
     */
    public static Safetensors read(Path file) throws IOException {
        try (RandomAccessFile in = open(file)) {
            long size = in.length();
            if (size < 8) throw new Damage("expected the 8 bytes of a header's length, got a file of " + size);
            long length = fill(in, 8).getLong();
            if (length < 0 || length > LARGEST_HEADER)
                throw new Damage("expected a header of at most " + LARGEST_HEADER + " bytes, got "
                        + Long.toUnsignedString(length) + ": no safetensors file");
            if (length > size - 8)
                throw new Damage("expected a header of " + length + " bytes, got " + (size - 8) + ": truncated");
            SortedMap<String, String> metadata = new TreeMap<>();
            List<Place> places = parse(fill(in, (int) length), metadata);
            check(places, size - 8 - length);
            SortedMap<String, Values> tensors = new TreeMap<>();
            for (Place place : places) {
                float[] floats = new float[(int) ((place.end - place.begin) / 4)];
                for (int from = 0; from < floats.length; from += PIECE) {
                    int count = Math.min(PIECE, floats.length - from);
                    fill(in, 4 * count).asFloatBuffer().get(floats, from, count);
                }
                tensors.put(place.name, new Values(place.shape, floats));
            }
            return new Safetensors(metadata, tensors);
        } catch (Damage e) {
            throw new IOException(file + ": " + e.getMessage(), e);
        } catch (IOException e) {
            throw Say.failure("cannot read " + file, e);
        }
    }

    /** Not a channel: on an interrupted thread it would only close. */
    private static RandomAccessFile open(Path file) throws IOException {
        BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
        if (attributes.isDirectory()) throw new IOException("it is a folder");
        if (!attributes.isRegularFile())
            throw new IOException("it is not a regular file"); // a pipe would keep us waiting
        if (!Files.isReadable(file)) throw new AccessDeniedException(null);
        return new RandomAccessFile(file.toFile(), "r");
    }

    /** The next bytes of the file, from the first. */
    private static ByteBuffer fill(RandomAccessFile in, int count) throws IOException {
        byte[] bytes = new byte[count];
        try {
            in.readFully(bytes);
        } catch (EOFException e) {
            throw new Damage("it became shorter while it was read");
        }
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static List<Place> parse(ByteBuffer header, Map<String, String> metadata) throws Damage {
        String text;
        try {
            text = UTF_8.newDecoder().decode(header).toString(); // a new decoder replaces nothing
        } catch (CharacterCodingException e) {
            throw new Damage("the header: expected UTF-8, got bytes that are not");
        }
        String json = text.replaceFirst(" *$", "");
        if (!json.startsWith("{") || !json.endsWith("}"))
            throw new Damage("the header: expected JSON from { to } and then spaces only, got "
                    + (json.isEmpty()
                            ? "nothing"
                            : "'" + json.charAt(0) + "' to '" + json.charAt(json.length() - 1) + "'"));
        JsonReader reader = new JsonReader(new StringReader(json));
        reader.setStrictness(Strictness.STRICT);
        try {
            List<Place> places = new ArrayList<>();
            Set<String> names = new HashSet<>();
            reader.beginObject();
            while (reader.hasNext()) {
                String name = fresh(reader.nextName(), names, "the header");
                if (name.equals(METADATA)) strings(reader, metadata);
                else places.add(place(name, reader));
            }
            reader.endObject();
            if (reader.peek() != JsonToken.END_DOCUMENT) throw new Damage("the header: more than one JSON object");
            return places;
        } catch (Damage e) {
            throw e;
        } catch (IOException | IllegalStateException | NumberFormatException e) {
            throw new Damage("the header: expected the format's JSON, got something else at " + reader.getPath());
        }
    }

    private static void strings(JsonReader reader, Map<String, String> into) throws IOException {
        Set<String> names = new HashSet<>();
        reader.beginObject();
        while (reader.hasNext()) {
            String name = fresh(reader.nextName(), names, METADATA);
            if (reader.peek() != JsonToken.STRING) throw new Damage(METADATA + " '" + name + "': expected a string");
            into.put(name, reader.nextString());
        }
        reader.endObject();
    }

    private static Place place(String name, JsonReader reader) throws IOException {
        String what = "tensor '" + name + "'";
        long[] shape = {}, offsets = {};
        Set<String> keys = new HashSet<>();
        reader.beginObject();
        while (reader.hasNext()) {
            String key = fresh(reader.nextName(), keys, what);
            switch (key) {
                case "dtype" -> {
                    String dtype = reader.nextString();
                    if (!dtype.equals("F32"))
                        throw new Damage(what + ": expected dtype F32, the only one read here, got " + dtype);
                }
                case "shape" -> shape = numbers(what + ": shape", reader);
                case "data_offsets" -> offsets = numbers(what + ": data_offsets", reader);
                default -> throw new Damage(what + ": expected dtype, shape and data_offsets, got '" + key + "'");
            }
        }
        reader.endObject();
        if (keys.size() < 3) throw new Damage(what + ": expected dtype, shape and data_offsets, got only " + keys);
        if (offsets.length != 2 || offsets[0] > offsets[1])
            throw new Damage(what + ": data_offsets: expected a begin and an end, got " + Arrays.toString(offsets));
        long elements;
        try {
            elements = elements(shape);
        } catch (ArithmeticException e) {
            throw new Damage(what + ": shape " + Arrays.toString(shape) + ": more elements than a file can hold");
        }
        if (elements > LARGEST_ARRAY)
            throw new Damage(what + ": " + elements + " elements, but a Java array has at most " + LARGEST_ARRAY);
        if (offsets[1] - offsets[0] != 4 * elements)
            throw new Damage(what + ": expected 4 bytes for each of the " + elements + " elements of shape "
                    + Arrays.toString(shape) + ", got data_offsets " + Arrays.toString(offsets));
        return new Place(name, shape, offsets[0], offsets[1]);
    }

    private static long[] numbers(String what, JsonReader reader) throws IOException {
        List<Long> numbers = new ArrayList<>();
        reader.beginArray();
        while (reader.hasNext()) {
            String text = reader.peek() == JsonToken.NUMBER ? reader.nextString() : "no number";
            if (!text.matches("\\d{1,18}")) throw new Damage(what + ": expected whole numbers, got " + text);
            numbers.add(Long.parseLong(text));
        }
        reader.endArray();
        return numbers.stream().mapToLong(Long::longValue).toArray();
    }

    /** The name, which must not have come before. */
    private static String fresh(String name, Set<String> names, String where) throws Damage {
        if (!names.add(name)) throw new Damage(where + ": the name '" + name + "' comes twice");
        return name;
    }

    /** Puts the tensors in the order of their bytes, which must be all that there are, each of them one tensor's. */
    private static void check(List<Place> places, long size) throws Damage {
        places.sort(Comparator.comparingLong(Place::begin).thenComparingLong(Place::end));
        long at = 0;
        String before = "the header";
        for (Place place : places) {
            String what = "tensor '" + place.name + "'";
            if (place.end > size)
                throw new Damage(what + ": expected its bytes from " + place.begin + " to " + place.end
                        + ", got a file with " + size + " after the header: truncated");
            if (place.begin < at)
                throw new Damage(what + ": begins at " + place.begin + ", before " + before + " ends, at " + at);
            if (place.begin > at)
                throw new Damage(what + ": begins at " + place.begin + ", but " + before + " ends at " + at
                        + ": the bytes between are nobody's");
            at = place.end;
            before = what;
        }
        if (at < size) throw new Damage((size - at) + " bytes after the end of " + before + ", which are nobody's");
    }

    private static long elements(long[] shape) {
        long elements = 1;
        for (long extent : shape) {
            if (extent < 0)
                throw new IllegalArgumentException("shape " + Arrays.toString(shape) + ": an extent is negative");
            elements = Math.multiplyExact(elements, extent);
        }
        return elements;
    }
}
