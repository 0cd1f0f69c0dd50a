package kudari.softcuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.JCudaDriver;
import kudari.softcuda.SoftCuda.Case;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The GPU in software computes what Java computes, and catches every fault that {@link Probe} plants. */
class SoftCudaTest {

    private static final Map<String, Case> CASES = new LinkedHashMap<>();
    private static SoftCuda.Output output = new SoftCuda.Output(-1, "", "");
    private static List<String> log = List.of();

    @BeforeAll
    static void runProbe(@TempDir Path folder) throws Exception {
        if (SoftCuda.obstacle().isPresent()) {
            System.err.println("SKIPPED: " + SoftCuda.obstacle().get() + " Nothing of the CUDA path is tested.");
            return;
        }
        Path file = folder.resolve("log");
        output = SoftCuda.run(Probe.class, Map.of("SOFTCUDA_LOG", file.toString()));
        log = Files.readAllLines(file);
        CASES.putAll(output.cases());
        assertEquals(0, output.status(), output.err());
    }

    @BeforeEach
    void skipWhereItCannotBe() {
        SoftCuda.obstacle().ifPresent(Assumptions::abort); // each test, so that each is counted as skipped
    }

    private static Case of(String name) {
        assertTrue(CASES.containsKey(name), () -> "the probe did not come to '" + name + "':\n" + output.err());
        return CASES.get(name);
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(
            strings = {
                "saxpy",
                "adam",
                "adam of a million",
                "reduce",
                "shuffle",
                "scalars",
                "variables",
                "warp synchronous",
                "atomics"
            })
    void equalsJavaInBits(String name) {
        assertEquals(new Case(0, "[]"), of(name));
    }

    static Stream<Arguments> faults() {
        return Stream.of(
                fault(
                        "out of bounds",
                        700,
                        "out of bounds: writes 4 bytes",
                        "0 bytes behind the end of allocation",
                        "of 12 bytes",
                        "kernel outOfBounds, block (0,0,0), thread (3,0,0)",
                        "PTX line ",
                        "st.global"),
                fault("out of bounds by much", 700, "out of bounds", "in no allocation"),
                fault("use after free", 700, "use after free: 12 bytes into allocation"),
                fault("freed while queued", 700, "use after free"),
                fault("misaligned", 716, "misaligned access: writes 4 bytes", "kernel misaligned"),
                fault("unwritten", 719, "read of memory never written: 4 bytes, 0 bytes into allocation", "ld.global"),
                fault("unwritten to the host", 719, "cuMemcpyDtoH_v2: read of memory never written: byte 0"),
                fault("unwritten shared", 719, "never written", "shared memory", "thread (0,0,0)"),
                fault(
                        "race",
                        719,
                        "race in shared memory: writes byte 4",
                        "which thread (0,0,0) has read since the last barrier"),
                fault(
                        "race of writers",
                        719,
                        "race in shared memory: writes byte",
                        "has written since the last barrier"),
                fault("barrier of some", 719, "barrier not met by all threads: thread (50,0,0) has ended", "bar.sync"),
                fault("shuffle of some", 719, "shuffle of lane 0 reads lane 20, which takes no part", "shfl.sync"),
                fault("endless", 702, "endless loop"),
                fault("write to constant", 700, "write to constant memory: table"),
                fault("local bounds", 700, "out of bounds: writes 4 bytes at offset 400 of local memory"),
                fault("unknown instruction", 218, "unknown instruction in frobnicate.f32; PTX line "),
                fault("unknown modifier", 218, "unknown modifier .sideways in add.rn.sideways.f32; PTX line "),
                fault("cubin", 209),
                fault("too many threads", 1, "kernel adam", "beyond the limits"),
                fault(
                        "copy out of bounds",
                        1,
                        "cuMemcpyHtoD_v2: out of bounds: 12 bytes",
                        "across the end of allocation"),
                fault("lost for good", 716, "misaligned"),
                fault("missing call", 801));
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

    static Stream<Arguments> order() {
        return Stream.of(
                Arguments.of("pinned page overwritten in mode late", 8),
                Arguments.of("pinned page overwritten in mode eager", 7),
                Arguments.of("heap array overwritten in mode late", 7),
                Arguments.of("heap array overwritten in mode eager", 7),
                Arguments.of("result read without waiting in mode late", 0),
                Arguments.of("result read without waiting in mode eager", 3),
                Arguments.of("copy beside the stream in mode late", 5),
                Arguments.of("copy beside the stream in mode eager", 6),
                Arguments.of("event", 6),
                Arguments.of("graph", 8));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("order")
    void runsAsLateAsItMay(String name, int seen) {
        assertEquals(new Case(seen, "[]"), of(name));
    }

    @Test
    void obeysInstructionsAsByHand() throws Exception {
        Process test = new ProcessBuilder("src/test/cpp/softcuda/test.sh")
                .redirectErrorStream(true)
                .start();
        String out = new String(test.getInputStream().readAllBytes());
        assertEquals(0, test.waitFor(), out);
    }

    /** Of 6,000 texts: no crash and no hang, or the probe would not come to its end, and no memory without bounds. */
    @Test
    void takesDamagedPtxOrRefusesItWithALine() throws Exception {
        Map<String, Case> cases = SoftCuda.run(MutationProbe.class, Map.of()).cases();
        assertEquals(new Case(0, "[]"), cases.get("damaged"));
        int loaded = cases.get("loaded").code(), refused = cases.get("refused").code();
        assertEquals(6000, loaded + refused);
        assertTrue(loaded > 500 && refused > 1000, loaded + " loaded, " + refused + " refused");
        assertTrue(cases.get("peak in MB").code() < 1500, cases.toString());
    }

    @Test
    void failsOnDemand() {
        assertEquals(200, of("second allocation fails").code());
        assertEquals(719, of("launch fails").code());
        assertEquals(700, of("kernel fails when it runs").code());
    }

    @Test
    void dropsLaunches() {
        assertEquals(new Case(0, "[]"), of("a dropped launch"));
    }

    /** Tries to take the device twice. */
    static final class Taker {
        public static void main(String[] arguments) {
            Probe.must(JCudaDriver.cuInit(0));
            CUdevice device = new CUdevice();
            Probe.must(JCudaDriver.cuDeviceGet(device, 0));
            for (int n = 0; n < 2; n++) {
                System.out.println(JCudaDriver.cuDevicePrimaryCtxRetain(new CUcontext(), device));
            }
        }
    }

    @ParameterizedTest(name = "n = {0}: {1}, then {2}")
    @CsvSource({"0, 46, 46", "1, 46, 0", "2, 0, 46"})
    void failsAsTheEnvironmentSays(int n, int first, int second) throws Exception {
        String told = "cuDevicePrimaryCtxRetain:" + n + ":46";
        SoftCuda.Output taken = SoftCuda.run(Taker.class, Map.of("SOFTCUDA_FAIL", told));
        assertEquals(List.of("" + first, "" + second), taken.out().lines().toList(), taken.err());
    }

    @Test
    void reportsWhatIsLeft() {
        assertTrue(output.err().contains("left when its context was destroyed"), output.err());
        assertTrue(output.err().contains("of 777 bytes"), output.err());
        assertTrue(output.err().contains("left at exit: allocation"), output.err());
        JsonArray left = JsonParser.parseString(log.get(log.size() - 1))
                .getAsJsonObject()
                .getAsJsonArray("left");
        assertEquals(1, left.size());
        assertEquals(12345, left.get(0).getAsJsonObject().get("bytes").getAsInt());
        assertTrue(output.err().contains("softcuda: cuCtxGetLimit is not implemented"), output.err());
    }

    @Test
    void countsBytesAndInstructions() {
        JsonObject saxpy = log.stream()
                .map(line -> JsonParser.parseString(line).getAsJsonObject())
                .filter(e -> e.get("event").getAsString().equals("launch"))
                .filter(e -> e.get("kernel").getAsString().equals("saxpy"))
                .reduce((a, b) -> b)
                .orElseThrow();
        assertEquals(8 * 1024, saxpy.get("bytes_read").getAsLong());
        assertEquals(4 * 1024, saxpy.get("bytes_written").getAsLong());
        assertEquals("{\"4\":2048}", saxpy.get("reads").toString());
        JsonObject instructions = saxpy.getAsJsonObject("instructions");
        assertEquals(1024, instructions.get("mul.rn.f32").getAsLong());
        assertEquals(1024, instructions.get("add.rn.f32").getAsLong());

        JsonObject adam = log.stream()
                .map(line -> JsonParser.parseString(line).getAsJsonObject())
                .filter(e -> e.has("kernel") && e.get("kernel").getAsString().equals("adam"))
                .reduce((a, b) -> b)
                .orElseThrow();
        assertEquals(1_000_000, adam.getAsJsonObject("reads").get("16").getAsLong());
        assertEquals(750_000, adam.getAsJsonObject("writes").get("16").getAsLong());
        System.out.println("softcuda: a step of Adam over a million parameters: " + adam.get("ms") + " ms");
    }
}
