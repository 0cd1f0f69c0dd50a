package kudari.checkpoint;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import kudari.Dtype;
import kudari.checkpoint.SafetensorsFile.TensorInfo;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Files of anybody's, well-formed and hostile, each built byte by byte from the definition of the format (the README of
 * huggingface/safetensors): none by our own writer.
 */
class SafetensorsFileTest {

    @TempDir
    private Path folder;

    private Path file;

    @BeforeEach
    void name() {
        file = folder.resolve("x.safetensors");
    }

    /** A file, and words of the sentence that refuses it; none for a file that is as it should be. */
    private record Case(String name, byte[] bytes, String words) {

        @Override
        public String toString() {
            return name;
        }
    }

    private static final List<Case> CASES = new ArrayList<>();

    static {
        // Every type, with as many bytes as it takes, and one more or less.
        String[] types =
                ("BOOL:8 U8:8 I8:8 F8_E5M2:8 F8_E4M3:8 F8_E8M0:8 F8_E4M3FNUZ:8 F8_E5M2FNUZ:8 I16:16 U16:16 F16:16"
                                + " BF16:16 I32:32 U32:32 F32:32 F64:64 I64:64 U64:64 C64:64 F4:4 F6_E2M3:6 F6_E3M2:6")
                        .split(" ");
        for (String type : types) {
            String name = type.split(":")[0];
            int bytes = 4 * Integer.parseInt(type.split(":")[1]) / 8; // for four elements
            good(tensor(name, "[2,2]", 0, bytes), bytes);
            bad(
                    tensor(name, "[2,2]", 0, bytes + 1),
                    bytes + 1,
                    "tensor 'a': expected " + bytes + " bytes for shape [2, 2] of " + name + ", got data_offsets [0, "
                            + (bytes + 1) + "]");
        }
        bad(tensor("F4", "[3]", 0, 2), 2, "tensor 'a': expected whole bytes, got 12 bits for shape [3] of F4");
        bad(tensor("F6_E2M3", "[2]", 0, 2), 2, "tensor 'a': expected whole bytes, got 12 bits");
        for (String type : List.of("f32", "F32 ", "", "FLOAT", "F128", "F3", "BF32", "\\u0000", "\\u001b[2J\\n"))
            bad(tensor(type, "[1]", 0, 4), 4, "tensor 'a': expected a dtype of [F4,");
        for (String type : List.of("32", "null", "true", "['F32']", "{'a':1}"))
            bad(
                    "{'a':{'dtype':" + type + ",'shape':[1],'data_offsets':[0,4]}}",
                    4,
                    "tensor 'a': dtype: expected a string");

        // Shapes and offsets.
        good(tensor("F32", "[]", 0, 4), 4);
        good(tensor("F32", "[0]", 0, 0), 0);
        good(tensor("F32", "[3,0,5]", 0, 0), 0);
        good(tensor("F32", "[0,9999999999]", 0, 0), 0);
        good(tensor("F32", "[ 1 , 1 ]", 0, 4), 4);
        good(tensor("U8", "[" + "1,".repeat(63) + "1]", 0, 1), 1);
        for (String number : List.of("-1", "-0", "1.0", "1e0", "1E2", "0.5", "1000000000000000000", "9".repeat(40))) {
            bad(tensor("F32", "[" + number + "]", 0, 4), 4, "tensor 'a': shape: expected whole numbers");
            bad(
                    "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0," + number + "]}}",
                    4,
                    "tensor 'a': data_offsets: expected whole");
        }
        for (String number : List.of("'1'", "null", "true", "[1]", "{}"))
            bad(tensor("F32", "[" + number + "]", 0, 4), 4, "tensor 'a': shape: expected whole numbers, got ");
        for (String number : List.of("01", "+1", "0x1", "1.", ".5", "NaN", "Infinity", "1_0", "\u0661"))
            bad(tensor("F32", "[" + number + "]", 0, 4), 4, "expected the format's JSON");
        for (String shape : List.of("1", "null", "'[1]'", "{}"))
            bad(tensor("F32", shape, 0, 4), 4, "expected the format's JSON, got something else at '$.a.shape'");
        bad(
                tensor("F32", "[4294967296,4294967296]", 0, 0),
                0,
                "shape [4294967296, 4294967296]: more elements than a file can hold");
        bad(tensor("F32", "[4611686018427387,2048]", 0, 0), 0, "more elements than a file can hold");
        bad(tensor("F64", "[144115188075855872]", 0, 0), 0, "more elements than a file can hold");
        bad(tensor("F32", "[4294967296,4294967296,0]", 0, 0), 0, "more elements than a file can hold");
        bad(tensor("F32", "[999999999999999]", 0, 4), 4, "tensor 'a': expected 3999999999999996 bytes");
        bad(tensor("U8", "[" + "1,".repeat(2_000) + "1]", 0, 1), 1, "tensor 'a': shape: expected at most 1000 numbers");
        bad(
                tensor("F32", "[[[[[[" + "[".repeat(100_000), 0, 4),
                4,
                "tensor 'a': shape: expected whole numbers, got BEGIN_ARRAY");
        for (String offsets : List.of("[]", "[0]", "[4,0]", "[0,4,8]", "[0,2,4]"))
            bad(
                    "{'a':{'dtype':'F32','shape':[1],'data_offsets':" + offsets + "}}",
                    4,
                    "tensor 'a': data_offsets: expected a begin and an end");

        // Where the bytes are: all of them one tensor's.
        good("{" + entry("b", 4, 8) + "," + entry("a", 0, 4) + "}", 8);
        good("{" + entry("a", 0, 4) + "," + empty("b", 0) + "," + empty("c", 4) + "," + empty("d", 4) + "}", 4);
        good("{" + empty("a", 0) + "," + empty("b", 0) + "}", 0);
        bad(
                "{" + entry("a", 0, 8) + "," + entry("b", 4, 12) + "}",
                12,
                "tensor 'b': begins at 4, before tensor 'a' ends, at 8");
        bad(
                "{" + entry("a", 0, 4) + "," + entry("b", 0, 4) + "}",
                4,
                "tensor 'b': begins at 0, before tensor 'a' ends, at 4");
        bad(
                "{" + entry("a", 0, 12) + "," + entry("b", 4, 8) + "}",
                12,
                "tensor 'b': begins at 4, before tensor 'a' ends, at 12");
        bad(
                "{" + entry("a", 0, 8) + "," + empty("b", 4) + "}",
                8,
                "tensor 'b': begins at 4, before tensor 'a' ends, at 8");
        bad(
                "{" + entry("a", 0, 4) + "," + entry("b", 8, 12) + "}",
                12,
                "tensor 'b': begins at 8, but tensor 'a' ends at 4: the bytes between");
        bad(
                "{" + entry("a", 4, 8) + "}",
                8,
                "tensor 'a': begins at 4, but the header ends at 0: the bytes between belong to no tensor");
        bad("{" + entry("a", 0, 4) + "," + empty("b", 8) + "}", 8, "tensor 'b': begins at 8, but tensor 'a' ends at 4");
        bad("{" + entry("a", 0, 4) + "}", 5, "1 bytes after the end of tensor 'a' that belong to no tensor");
        bad(
                "{" + entry("a", 0, 4) + "}",
                3,
                "tensor 'a': expected its bytes from 0 to 4, got a file with 3 after the header: truncated");
        bad("{" + entry("a", 0, 4) + "}", 0, "got a file with 0 after the header: truncated");
        bad("{" + entry("a", 0, 4) + "," + entry("b", 4, 8) + "}", 4, "tensor 'b': expected its bytes from 4 to 8");
        bad("{" + empty("a", 100) + "}", 0, "tensor 'a': expected its bytes from 100 to 100");
        bad("{" + entry("a", 0, 400_000_000_000_000L) + "}", 4, "truncated");
        bad("{}", 1, "1 bytes after the end of the header that belong to no tensor");

        // The keys.
        good("{'a':{'data_offsets':[0,4],'shape':[1],'dtype':'F32'}}", 4);
        good("{'a':{'\\u0064type':'F\\u00332','shape':[1],'data_offsets':[0,4]}}", 4);
        bad("{'a':{'dtype':'F32','shape':[1]}}", 4, "tensor 'a': expected dtype, shape and data_offsets, got only [");
        bad(
                "{'a':{'dtype':'F32','data_offsets':[0,4]}}",
                4,
                "tensor 'a': expected dtype, shape and data_offsets, got only [");
        bad(
                "{'a':{'shape':[1],'data_offsets':[0,4]}}",
                4,
                "tensor 'a': expected dtype, shape and data_offsets, got only [");
        bad("{'a':{}}", 0, "tensor 'a': expected dtype, shape and data_offsets, got only []");
        bad(
                "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4],'x':1}}",
                4,
                "tensor 'a': expected dtype, shape and data_offsets, got 'x'");
        bad("{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4],'Dtype':'F32'}}", 4, "got 'Dtype'");
        bad(
                "{'a':{'dtype':'F32','dtype':'F32','shape':[1],'data_offsets':[0,4]}}",
                4,
                "tensor 'a': the name 'dtype' comes twice");
        bad("{'a':{'dtype':'F32','shape':[1],'shape':[1],'data_offsets':[0,4]}}", 4, "the name 'shape' comes twice");
        bad(
                "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4],'data_offsets':[0,4]}}",
                4,
                "the name 'data_offsets' comes twice");
        bad("{" + entry("a", 0, 4) + "," + entry("a", 4, 8) + "}", 8, "the header: the name 'a' comes twice");
        bad("{" + entry("a", 0, 4) + "," + entry("\\u0061", 4, 8) + "}", 8, "the header: the name 'a' comes twice");
        bad("{'__metadata__':{},'__metadata__':{}}", 0, "the header: the name '__metadata__' comes twice");

        // Names.
        good("{" + entry("", 0, 4) + "}", 4);
        good("{" + entry("層.w", 0, 4) + "}", 4);
        good("{" + entry("🙂", 0, 4) + "," + entry("\\u0000", 4, 8) + "}", 8);
        good("{" + entry("\\ud83d\\ude42", 0, 4) + "}", 4);
        good("{" + entry("__metadata", 0, 4) + "}", 4);
        good("{" + entry("../../etc/passwd", 0, 4) + "}", 4);
        for (String half : List.of("\\ud800", "\\udc00", "\\udc00\\ud800", "\\ud800x", "\\ud800\\ud800\\udc00"))
            bad("{" + entry(half, 0, 4) + "}", 4, "half of a surrogate pair");
        bad("{'__metadata__':{'\\ud800':'x'}}", 0, "half of a surrogate pair");
        bad("{'__metadata__':{'x':'\\udfff'}}", 0, "__metadata__ 'x' '\\udfff': half of a surrogate pair");
        bad("{'" + "n".repeat(100_000) + "':1}", 0, "something else at");
        bad("{" + entry("n".repeat(100_000), 4, 8) + "}", 8, "n'… (100000 characters): begins at 4");
        bad("{" + entry("\\u001b[31m\\r\\u202e", 4, 8) + "}", 8, "tensor '\\u001b[31m\\u000d\\u202e': begins at 4");

        // Metadata.
        good("{'__metadata__':{}}", 0);
        good("{'__metadata__':{'format':'pt','':''}," + entry("a", 0, 4) + "}", 4);
        good("{" + entry("a", 0, 4) + ",'__metadata__':{'x':'{\\'y\\':1}'.}}".replace("'.", "'"), 4);
        for (String value : List.of("1", "null", "true", "{}", "[]", "['x']", "1.5"))
            bad("{'__metadata__':{'x':" + value + "}}", 0, "__metadata__ 'x': expected a string");
        for (String value : List.of("1", "null", "'x'", "[]", "[{}]", "true"))
            bad(
                    "{'__metadata__':" + value + "}",
                    0,
                    "expected the format's JSON, got something else at '$.__metadata__'");
        bad("{'__metadata__':{'x':'1','x':'1'}}", 0, "__metadata__: the name 'x' comes twice");

        // JSON, strictly.
        good("{}", 0);
        good("{ }", 0);
        good("{\t" + entry("a", 0, 4).replace(":", "\r\n:\n").replace(",", " ,\t") + "}", 4);
        for (String json : List.of(
                "{'a'}",
                "{'a':}",
                "{,}",
                "{'a':1,}",
                "{{}}",
                "{a:1}",
                "{\"a\":tru}",
                "{/**/}",
                "{//\n}",
                "{#\n}",
                "{'a'=1}",
                "{'a';1}",
                "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4]},}",
                "{'a':{'dtype':'F32','shape':[1,],'data_offsets':[0,4]}}",
                "{'a':{'dtype':'F32','shape':[,1],'data_offsets':[0,4]}}",
                "{'a':{'dtype':'F32' 'shape':[1],'data_offsets':[0,4]}}",
                "{'a\n':{}}",
                "{'\\x':{}}",
                "{'\\u12':{}}",
                "{'\\ug000':{}}",
                "{'a':1}",
                "{'a':null}",
                "{'a':[]}",
                "{'a':'F32'}",
                "{'__metadata__':{'x':'a\tb'}}",
                "{'__metadata__':{'x':'\0'}}",
                "{:}",
                "{'a':{]}",
                "{'a':{'shape':[}}}",
                "{\f}",
                "{\u00a0}",
                "{\ufeff}")) bad(json, 0, "the header: expected the format's JSON, got something else at '$");
        bad("{'a':".repeat(100_000) + "}", 0, "tensor 'a': expected dtype, shape and data_offsets, got 'a'");
        CASES.add(new Case("single quotes", file("{'a':{}}".getBytes(UTF_8), 0), "expected the format's JSON"));
        CASES.add(new Case("a comment", file("{/**/}".getBytes(UTF_8), 0), "expected the format's JSON"));
        for (String json : List.of("{}{}", "{} {}", "{},{}", "{}}")) bad(json, 0, "the header: ");
        for (String json :
                List.of("", "   ", "[]", "null", "1", "'x'", " {}", "\n{}", "\ufeff{}", "{} x", "x", "{", "}"))
            bad(json, 0, "the header: expected JSON from { to } and then spaces only, got ");

        // What fills a header up.
        for (int spaces = 1; spaces <= 8; spaces++) good("{}" + " ".repeat(spaces), 0);
        for (String padding : List.of("\n", "\t", "\r", "\0", " \0", "\u00a0", "\0 "))
            bad("{}" + padding, 0, "and then spaces only, got '{' to ");

        // UTF-8: stray, overlong, of half a pair, beyond Unicode, cut short.
        for (String hex : List.of(
                "ff",
                "fe",
                "80",
                "bf",
                "c0af",
                "c080",
                "c1bf",
                "e08080",
                "f0808080",
                "eda080",
                "edbfbf",
                "f4908080",
                "f5808080",
                "f8888080",
                "c3",
                "e282",
                "f09f99")) {
            ByteArrayOutputStream header = new ByteArrayOutputStream();
            header.writeBytes("{\"".getBytes(UTF_8));
            header.writeBytes(HexFormat.of().parseHex(hex));
            header.writeBytes("\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}".getBytes(UTF_8));
            CASES.add(new Case(
                    "bytes " + hex,
                    file(header.toByteArray(), 4),
                    "the header: expected UTF-8, got bytes that are not"));
        }

        // The length of the header.
        byte[] whole = file(json(tensor("F32", "[1]", 0, 4)).getBytes(UTF_8), 4);
        for (int length = 0; length < 8; length++)
            CASES.add(new Case(
                    "cut to " + length,
                    Arrays.copyOf(whole, length),
                    "expected the 8 bytes of a header's length, got a file of " + length));
        for (long length : new long[] {100_000_001, 1L << 32, Long.MAX_VALUE, Long.MIN_VALUE, -1})
            CASES.add(new Case(
                    "length " + length,
                    length(whole, length),
                    "expected a header of at most 100000000 bytes, got " + Long.toUnsignedString(length)));
        for (long length : new long[] {100_000_000, whole.length - 7})
            CASES.add(new Case(
                    "length " + length,
                    length(whole, length),
                    "expected a header of " + length + " bytes, got " + (whole.length - 8) + ": truncated"));
        for (long length : new long[] {0, 1, whole.length - 8, whole.length - 11, whole.length - 13})
            CASES.add(new Case("length " + length, length(whole, length), "the header: "));
        CASES.add(new Case("big-endian", length(whole, Long.reverseBytes(whole.length - 12)), "no safetensors file"));
        CASES.add(new Case("a zip", "PK\3\4 archive of another program".getBytes(UTF_8), "no safetensors file"));
        CASES.add(new Case("HTML", "<!DOCTYPE html><html></html>".getBytes(UTF_8), "no safetensors file"));

        // Large, and read in the time of its length.
        good("{" + " ".repeat(400_000) + "}", 0);
        good("{}" + " ".repeat(400_000), 0);
        bad("{" + " ".repeat(400_000) + "x", 0, "expected JSON from { to }");
        bad("{'a':" + "[".repeat(400_000) + "}", 0, "something else at '$.a'");
        bad(
                "{'a':{'dtype':'F32','shape':[" + "9".repeat(400_000) + "],'data_offsets':[0,4]}}",
                4,
                "the header: expected the format's JSON");
        StringBuilder many = new StringBuilder("{");
        for (int n = 0; n < 20_000; n++) many.append(n == 0 ? "" : ",").append(entry("t" + n, 4 * n, 4 * n + 4));
        good(many.append("}").toString(), 80_000);
    }

    private static void good(String header, int data) {
        bad(header, data, "");
    }

    /** In a header every ' stands for a ". */
    private static void bad(String header, int data, String words) {
        String name = header.length() > 100 ? header.substring(0, 100) + "…" : header;
        CASES.add(new Case(
                CASES.size() + " " + name.replaceAll("\\p{C}", "?"),
                file(json(header).getBytes(UTF_8), data),
                words));
    }

    private static String json(String header) {
        return header.replace('\'', '"');
    }

    private static String tensor(String dtype, String shape, long begin, long end) {
        return "{'a':{'dtype':'" + dtype + "','shape':" + shape + ",'data_offsets':[" + begin + "," + end + "]}}";
    }

    /** A tensor of floats. */
    private static String entry(String name, long begin, long end) {
        return "'" + name + "':{'dtype':'F32','shape':[" + (end - begin) / 4 + "],'data_offsets':[" + begin + "," + end
                + "]}";
    }

    private static String empty(String name, long at) {
        return "'" + name + "':{'dtype':'F32','shape':[0],'data_offsets':[" + at + "," + at + "]}";
    }

    private static byte[] file(byte[] header, int data) {
        return length(
                ByteBuffer.allocate(8 + header.length + data)
                        .position(8)
                        .put(header)
                        .array(),
                header.length);
    }

    private static byte[] length(byte[] file, long length) {
        byte[] other = file.clone();
        ByteBuffer.wrap(other).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
        return other;
    }

    static List<Case> cases() {
        return CASES;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void aFileIsReadOrRefusedInOneSentence(Case one) throws IOException {
        Files.write(file, one.bytes);
        if (one.words.isEmpty()) {
            try (SafetensorsFile read = SafetensorsFile.open(file)) {
                long bytes = 0;
                for (Map.Entry<String, TensorInfo> tensor : read.tensors().entrySet()) {
                    bytes += read.bytes(tensor.getKey()).length;
                    if (tensor.getValue().dtype().hasFloats()) read.floats(tensor.getKey());
                }
                long length = ByteBuffer.wrap(one.bytes)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .getLong();
                assertEquals(one.bytes.length - 8 - length, bytes, "every byte is a tensor's");
            }
            return;
        }
        String message = assertThrows(IOException.class, () -> SafetensorsFile.open(file))
                .getMessage();
        assertTrue(message.startsWith(file + ": ") && message.contains(one.words), message);
        assertTrue(message.length() < 1_000, message);
        assertTrue(message.chars().noneMatch(c -> Character.isISOControl(c) || c == 0x202e), message);
        assertEquals(
                message,
                assertThrows(IOException.class, () -> Safetensors.read(file)).getMessage());
    }

    // ---- The values

    /** Element by element, the bytes by hand from the definition of the type: sign, exponent, fraction. */
    static Stream<Object[]> values() {
        return Stream.of(
                new Object[] {"BOOL", "000102ff", floats(0, 1, 1, 1)},
                new Object[] {"U8", "007f80ff", floats(0, 127, 128, 255)},
                new Object[] {"I8", "007f80ff", floats(0, 127, -128, -1)},
                new Object[] {"U16", "0000ff7f0080ffff", floats(0, 32_767, 32_768, 65_535)},
                new Object[] {"I16", "0000ff7f0080ffff", floats(0, 32_767, -32_768, -1)},
                // binary16: 1 is 0 01111 0000000000; the largest is 65504, the smallest 2^-24 and, normal, 2^-14
                new Object[] {"F16", "003c00c0ff7b0100", floats(1, -2, 65_504, 0x1p-24f)},
                new Object[] {"F16", "00048083ff030080", floats(0x1p-14f, -0x1.cp-15f, 0x1.ff8p-15f, -0f)},
                new Object[] {
                    "F16", "007c00fc5535", floats(Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, 0x1.554p-2f)
                },
                new Object[] {"BF16", "803f20c0807f0100", floats(1, -2.5f, Float.POSITIVE_INFINITY, 0x1p-133f)},
                new Object[] {"F32", "0000803f000020c001000000", floats(1, -2.5f, Float.MIN_VALUE)},
                // 2^24 + 1 lies between two floats, and goes to the even one; 2^24 + 3 as well
                new Object[] {"I32", "0100000103000001ffffffff00000080", floats(0x1p24f, 0x1.000004p24f, -1, -0x1p31f)},
                new Object[] {"U32", "01000001ffffffff00000080", floats(0x1p24f, 0x1p32f, 0x1p31f)},
                new Object[] {"I64", "0100000100000000ffffffffffffffff", floats(0x1p24f, -1)},
                new Object[] {"I64", "00000000000000800000000000000040", floats(-0x1p63f, 0x1p62f)},
                new Object[] {"U64", "0000000000000080ffffffffffffffff", floats(0x1p63f, 0x1p64f)},
                // 2^63 + 2^39 is half-way to the next float, and goes to the even one, 2^63; one more goes up
                new Object[] {"U64", "00000000800000800100000080000080", floats(0x1p63f, 0x1.000002p63f)},
                // 1/3, and 1e300, which is beyond every float
                new Object[] {"F64", "555555555555d53f9c7500883ce4377e", floats(0x1.555556p-2f, Float.POSITIVE_INFINITY)
                });
    }

    private static float[] floats(float... floats) {
        return floats;
    }

    @ParameterizedTest
    @MethodSource("values")
    void elementsAreReadAsTheFloatsTheyAre(String dtype, String hex, float[] expected) throws IOException {
        write(dtype, HexFormat.of().parseHex(hex), expected.length);
        try (SafetensorsFile read = SafetensorsFile.open(file)) {
            float[] floats = read.floats("a");
            for (int n = 0; n < expected.length; n++)
                assertEquals(
                        Float.floatToRawIntBits(expected[n]),
                        Float.floatToRawIntBits(floats[n]),
                        floats[n] + " at " + n);
            assertEquals(expected.length, floats.length);
            assertArrayEquals(HexFormat.of().parseHex(hex), read.bytes("a"));
        }
    }

    /** All 65,536 of them against the definition, worked out in double: (-1)^s · 2^(e-15) · (1 + f/1024). */
    @Test
    void everyHalfIsTheFloatItIs() throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(2 * 65_536).order(ByteOrder.LITTLE_ENDIAN);
        for (int n = 0; n < 65_536; n++) bytes.putShort((short) n);
        write("F16", bytes.array(), 65_536);
        try (SafetensorsFile read = SafetensorsFile.open(file)) {
            float[] floats = read.floats("a");
            for (int n = 0; n < 65_536; n++) {
                int exponent = n >> 10 & 31, fraction = n & 1023;
                double magnitude = exponent == 31
                        ? fraction == 0 ? Double.POSITIVE_INFINITY : Double.NaN
                        : exponent == 0
                                ? fraction * Math.pow(2, -24)
                                : Math.pow(2, exponent - 15) * (1 + fraction / 1024.0);
                double expected = n < 32_768 ? magnitude : -magnitude;
                assertEquals(expected, floats[n], "half " + n);
            }
        }
    }

    @Test
    void moreThanGoesThroughAtATimeIsReadWhole() throws IOException {
        int count = 1_500_000;
        ByteBuffer bytes = ByteBuffer.allocate(2 * count).order(ByteOrder.LITTLE_ENDIAN);
        for (int n = 0; n < count; n++) bytes.putShort((short) n);
        write("U16", bytes.array(), count);
        try (SafetensorsFile read = SafetensorsFile.open(file)) {
            float[] floats = read.floats("a");
            for (int n = 0; n < count; n++) assertEquals(n & 0xffff, floats[n]);
        }
    }

    @Test
    void whatHasNoFloatsIsReadAsBytesAndBarsNothing() throws IOException {
        byte[] data = {0, 0, (byte) 0x80, 0x3f, 0x38, (byte) 0xc0};
        String header =
                "{'w':{'dtype':'F32','shape':[],'data_offsets':[0,4]},'q':{'dtype':'F8_E4M3','shape':[2],'data_offsets':[4,6]}}";
        byte[] whole = file(json(header).getBytes(UTF_8), data.length);
        System.arraycopy(data, 0, whole, whole.length - data.length, data.length);
        Files.write(file, whole);
        try (SafetensorsFile read = SafetensorsFile.open(file)) {
            assertEquals(Dtype.F8_E4M3, read.tensors().get("q").dtype());
            read.tensors().get("q").shape()[0] = 7; // of a copy
            assertEquals("F8_E4M3[2]", read.tensors().get("q").toString());
            assertArrayEquals(new byte[] {0x38, (byte) 0xc0}, read.bytes("q"));
            assertArrayEquals(new float[] {1}, read.floats("w"));
            assertEquals(
                    file + ": tensor 'q': its type F8_E4M3 is read as bytes only",
                    assertThrows(IllegalArgumentException.class, () -> read.floats("q"))
                            .getMessage());
            assertEquals(
                    file + ": no tensor 'x'",
                    assertThrows(IllegalArgumentException.class, () -> read.bytes("x"))
                            .getMessage());
            assertThrows(
                    UnsupportedOperationException.class, () -> read.tensors().remove("w"));
        }
    }

    /** More elements than an array has, in a file with a hole: told as soon as they are asked for, and no bar to the rest. */
    @Test
    @EnabledOnOs(OS.LINUX)
    void aTensorTooLargeForAnArrayIsSaid() throws IOException {
        String header =
                "{'b':{'dtype':'U8','shape':[3000000000],'data_offsets':[0,3000000000]},'c':{'dtype':'U8','shape':[1],'data_offsets':[3000000000,3000000001]}}";
        Files.write(file, file(json(header).getBytes(UTF_8), 0));
        try (RandomAccessFile hole = new RandomAccessFile(file.toFile(), "rw")) {
            hole.setLength(hole.length() + 3_000_000_001L);
        }
        try (SafetensorsFile read = SafetensorsFile.open(file)) {
            assertEquals(3_000_000_000L, read.tensors().get("b").bytes());
            String message = assertThrows(IllegalArgumentException.class, () -> read.floats("b"))
                    .getMessage();
            assertTrue(message.contains("tensor 'b': 3000000000 elements, but a Java array has at most"), message);
            assertThrows(IllegalArgumentException.class, () -> read.bytes("b"));
            assertArrayEquals(new float[] {0}, read.floats("c"));
        }
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void aPipeIsRefusedAndNotWaitedFor() throws Exception {
        assertEquals(0, new ProcessBuilder("mkfifo", file.toString()).start().waitFor());
        assertEquals(
                "cannot read " + file + ": it is a device, a pipe or a socket, not a regular file",
                assertThrows(IOException.class, () -> SafetensorsFile.open(file))
                        .getMessage());
    }

    private void write(String dtype, byte[] data, int elements) throws IOException {
        byte[] whole =
                file(json(tensor(dtype, "[" + elements + "]", 0, data.length)).getBytes(UTF_8), data.length);
        System.arraycopy(data, 0, whole, whole.length - data.length, data.length);
        Files.write(file, whole);
    }
}
