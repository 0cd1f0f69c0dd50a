package kudari.softcuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import kudari.softcuda.SoftCuda.Case;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** JCublas over the GPU in software computes what plain loops in Java compute, and every fault that {@link CublasProbe} plants is caught. */
class CublasTest {

    private static final Map<String, Case> CASES = new HashMap<>();
    private static SoftCuda.Output output = new SoftCuda.Output(-1, "", "");

    @BeforeAll
    static void runProbe() throws Exception {
        if (SoftCuda.obstacle().isPresent()) {
            System.err.println("SKIPPED: " + SoftCuda.obstacle().get() + " Nothing of cuBLAS is tested.");
            return;
        }
        output = SoftCuda.run(CublasProbe.class, Map.of());
        CASES.putAll(output.cases());
        assertEquals(0, output.status(), output.err());
    }

    @BeforeEach
    void skipWhereItCannotBe() {
        SoftCuda.obstacle().ifPresent(Assumptions::abort);
    }

    private static Case of(String name) {
        assertTrue(CASES.containsKey(name), () -> "the probe did not come to '" + name + "':\n" + output.err());
        return CASES.get(name);
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(
            strings = {
                "products",
                "products of any bits",
                "products of nothing",
                "beta of zero over memory never written",
                "batches",
                "matrices and vectors",
                "sums of vectors",
                "what a handle remembers"
            })
    void equalsJavaInBits(String name) {
        assertEquals(new Case(0, "[]"), of(name));
    }

    /** As plain loops in double do, within what a sum in float32 may be off, and half of what two neighbours of the result's type are apart. */
    @ParameterizedTest(name = "{0}")
    @ValueSource(
            strings = {
                "products of bfloat16",
                "products of float16",
                "products of bfloat16 in float32",
                "products of float16 in float32",
                "batches of bfloat16",
                "batches of float16"
            })
    void multiplies16BitsInFloat32AndRoundsOnce(String name) {
        assertEquals(new Case(0, "[]"), of(name));
    }

    static Stream<Arguments> order() {
        return Stream.of(
                Arguments.of("result read beside the stream in mode late", 5),
                Arguments.of("result read beside the stream in mode eager", 11),
                Arguments.of("factor on the device changed in mode late", 65),
                Arguments.of("factor on the device changed in mode eager", 11),
                Arguments.of("factor on the host changed in mode late", 11),
                Arguments.of("factor on the host changed in mode eager", 11),
                Arguments.of("after what the stream holds", 32));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("order")
    void runsAsLateAsItMay(String name, int seen) {
        assertEquals(new Case(seen, "[]"), of(name));
    }

    static Stream<Arguments> faults() {
        return Stream.of(
                fault(
                        "C out of bounds",
                        700,
                        "out of bounds: writes C, 3 x 3 with a stride of 4, 44 bytes across the end of allocation",
                        "kernel cublasSgemm"),
                fault("B in no allocation", 700, "out of bounds: reads B", "in no allocation"),
                fault(
                        "A never written",
                        719,
                        "read of memory never written: row 1, column 2 of A, 3 x 3",
                        "28 bytes into allocation"),
                fault("C kept and never written", 719, "read of memory never written: row 0, column 0 of C"),
                fault("A misaligned", 716, "misaligned access: A"),
                fault("A freed while queued", 700, "use after free: 0 bytes into allocation"),
                fault("C is B", 719, "overlap: B, 3 x 3"),
                fault("batches of C overlap", 719, "overlap: C, 3 x 1", "kernel cublasSgemmStridedBatched"),
                fault("wrong stream", 719, "read of memory never written: row 0, column 0 of A"),
                fault("factor on the host in pointer mode device", 700, "out of bounds: reads alpha"),
                fault("workspace freed", 700, "use after free", "allocation"),
                fault("lost for good", 13, "out of bounds: writes C"),
                fault("work fails when it runs", 719),
                fault("a call fails and loses the context", 700),
                fault("second product fails", 1300),
                fault("leading dimension too small", 7),
                fault("factor on the device in pointer mode host", 7, "cublasSgemm_v2: alpha is in device memory"),
                fault("stream destroyed", 13, "cublasSgemm: the handle's stream is none of the current context"),
                fault("handle of another context", 1, "cublasSetMathMode: the handle was made in another context"),
                fault("handle whose context was destroyed", 1, "cublasSetMathMode: the handle's context was destroyed"),
                fault("handle destroyed twice", 1, "cublasDestroy_v2: the handle is none, or was destroyed"),
                fault(
                        "types that do not go together",
                        15,
                        "cublasGemmEx: expected A and B of one type",
                        "got types 14, 2, 0"),
                fault("a result of another 16 bits", 15, "got types 14, 14, 2"),
                fault("a sum in float16", 15, "computed in 64"),
                fault("C of 16 bits out of bounds", 700, "out of bounds: writes C, 3 x 3", "18 bytes across"),
                fault("A of 16 bits is C", 719, "overlap: A, 3 x 3"),
                fault("missing call", 15));
    }

    private static Arguments fault(String name, int code, String... message) {
        return Arguments.of(name, code, List.of(message));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("faults")
    void catchesAndNames(String name, int code, List<String> message) {
        Case found = of(name);
        assertEquals(code, found.code(), found.errors());
        for (String part : message)
            assertTrue(found.errors().contains(part), () -> "'" + part + "' is not in " + found.errors());
    }

    @Test
    void reportsAHandleThatIsLeft() {
        assertEquals(0, of("handle not destroyed").code());
        assertEquals(2, left("left when its context was destroyed"), output.err()); // and that of the other context
        assertEquals(1, left("left at exit"), output.err());
    }

    /** How many handles of all cases' were reported so. */
    private static long left(String when) {
        return output.err()
                .lines()
                .filter(line ->
                        line.matches("softcuda: " + when + ": allocation \\d+ \\(cublasCreate_v2\\) of \\d+ bytes"))
                .count();
    }

    @Test
    void saysWhatIsMissing() {
        assertTrue(output.err().contains("softcuda: cublasDasum_v2 is not implemented"), output.err());
    }

    @Test
    void countsCallsAndBytes() {
        JsonObject stats = answer("stats of two products").getAsJsonObject();
        assertEquals(2, stats.getAsJsonObject("calls").get("cublasSgemm_v2").getAsInt());
        assertEquals(2, stats.get("launches").getAsInt());
        JsonArray launches = answer("launches of two products").getAsJsonArray();
        for (JsonElement launch : launches)
            assertEquals("cublasSgemm", launch.getAsJsonObject().get("kernel").getAsString());
        assertEquals(4 * (6 + 12), bytes(launches.get(0), "bytes_read"), "beta is zero: C is not read");
        assertEquals(4 * (6 + 12 + 8), bytes(launches.get(1), "bytes_read"));
        assertEquals(4 * 8, bytes(launches.get(1), "bytes_written"));
    }

    /** How fast is printed and not asserted: it takes some 1 ms, and longer where others are at work. */
    @Test
    void theProductsOfATrainingStepAreAllCounted() {
        JsonArray launches = answer("launches of 128 x 784 x 100").getAsJsonArray();
        assertEquals(20, launches.size());
        double best = StreamSupport.stream(launches.spliterator(), false)
                .mapToDouble(launch -> launch.getAsJsonObject().get("ms").getAsDouble())
                .min()
                .orElseThrow();
        System.out.println("the fastest of 20 products of 128 x 784 x 100: " + best + " ms");
        for (JsonElement launch : launches) {
            assertEquals(4 * (128 * 784 + 784 * 100), bytes(launch, "bytes_read"));
            assertEquals(4 * 128 * 100, bytes(launch, "bytes_written"));
        }
    }

    private static long bytes(JsonElement launch, String what) {
        return launch.getAsJsonObject().get(what).getAsLong();
    }

    /** What the probe printed of an answer of softcuda's. */
    private static JsonElement answer(String label) {
        return output.out()
                .lines()
                .filter(line -> line.startsWith(label + ": "))
                .map(line -> JsonParser.parseString(line.substring(label.length() + 2)))
                .findFirst()
                .orElseThrow();
    }
}
