package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.File;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kudari.Engine;
import kudari.Tensor;
import kudari.rule.Sgd;
import kudari.softcuda.SoftCuda;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The command {@code doctor}: here as the machine is, and in JVMs of their own that lack or break one thing each. */
class DoctorTest {

    /** A line of the command's: its status, the component, the detail and, on a second line, how to fix it. */
    private static final String LINE = "(?:ok|--|!!)  \\S.{10}  \\S.*";

    @TempDir
    private Path folder;

    /** A run in a JVM of its own; never with a stack trace. */
    private static SoftCuda.Output doctor(List<String> options, Map<String, String> environment, String... arguments)
            throws Exception {
        SoftCuda.obstacle().ifPresent(Assumptions::abort);
        String[] all =
                Stream.concat(Stream.of("doctor"), Arrays.stream(arguments)).toArray(String[]::new);
        SoftCuda.Output run = SoftCuda.run(options, Main.class, environment, all);
        assertFalse((run.out() + run.err()).matches("(?s).*(\tat |Exception|Error:).*"), run.out() + run.err());
        return run;
    }

    /** The lines by what they are about, each with the sentence under it. */
    private static Map<String, String> lines(String out) {
        List<String> lines = new ArrayList<>();
        for (String line : out.lines().takeWhile(line -> !line.isEmpty()).toList()) {
            if (line.matches(LINE)) {
                lines.add(line);
            } else {
                assertTrue(line.matches(" {17}[A-Z].*\\."), "neither a line nor a sentence under it: " + line);
                lines.set(lines.size() - 1, lines.get(lines.size() - 1) + "\n" + line.strip());
            }
        }
        return lines.stream()
                .collect(Collectors.toMap(line -> line.substring(4, 15).strip(), line -> line));
    }

    private static void assertLine(SoftCuda.Output run, String what, String... parts) {
        String line = lines(run.out()).getOrDefault(what, "");
        for (String part : parts) assertTrue(line.contains(part), () -> "'" + part + "' is not in\n" + run.out());
    }

    /** This JVM's class path without the jars of that name. */
    private static List<String> without(String... jars) {
        String path = System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
        String left = Arrays.stream(path.split(File.pathSeparator))
                .filter(entry -> Arrays.stream(jars)
                        .noneMatch(
                                jar -> Path.of(entry).getFileName().toString().startsWith(jar)))
                .collect(Collectors.joining(File.pathSeparator));
        return List.of("-cp", left);
    }

    private static boolean lacks(String library) {
        return Stream.of("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/cuda/lib64", "/usr/lib/wsl/lib")
                .noneMatch(place -> Files.exists(Path.of(place, library)));
    }

    @Test
    void saysOnThisMachineThatTheCpuWorks() {
        StringWriter out = new StringWriter();
        assertEquals(0, Main.run(new PrintWriter(out, true), new PrintWriter(System.err), "doctor"), out::toString);
        Map<String, String> lines = lines(out.toString());
        for (String what : List.of("Java", "CPU engine", "OpenBLAS", "pictures")) {
            assertTrue(lines.get(what).startsWith("ok"), out::toString);
        }
        for (String what : List.of("JCuda", "CUDA driver", "NVRTC", "cuBLAS", "cache")) {
            assertTrue(lines.containsKey(what), out::toString);
        }
        lines.values().forEach(line -> assertEquals(!line.startsWith("ok"), line.contains("\n"), line));
    }

    @Test
    void saysWhereTextCannotBeDrawnWhatThePicturesNeed() throws Exception {
        Path noFonts = Files.writeString(folder.resolve("fonts.conf"), "<fontconfig></fontconfig>");
        SoftCuda.Output run = doctor(
                List.of("-Duser.home=" + folder, "-Djava.awt.headless=true"),
                Map.of("FONTCONFIG_FILE", noFonts.toString()));
        assertLine(run, "pictures", "!!", "no fonts", "Install fontconfig", "libharfbuzz0b");
        assertEquals(0, run.status(), run.out()); // the engine and its networks work all the same
    }

    @Test
    void allWorksOnTheGpuInSoftware() throws Exception {
        SoftCuda.Output run = doctor(List.of(), Map.of());
        assertEquals(0, run.status(), run.out());
        assertLine(run, "CUDA driver", "ok", "CUDA 12.6");
        assertLine(run, "cuda:0", "ok", "Kudari software GPU", "compute capability 9.0", "16.0 GB of 16.0 GB free");
        assertLine(run, "NVRTC", "ok", "12.", "compiles for sm_90");
        assertLine(run, "a step", "ok", "bit for bit");
        assertLine(run, "cuBLAS", "ok", "libcublas.so.12", "opens on cuda:0");
        assertLine(run, "cache", "ok", "kudari", "B of room");
        assertTrue(run.out().endsWith("The CPU engine works; the CUDA engine works.\n"), run.out());
    }

    @ParameterizedTest(name = "{0}={1}")
    @CsvSource(
            delimiter = '|',
            value = {
                "SOFTCUDA_VERSION | 12020       | CUDA driver | for CUDA 12.2        | 12.6 or later      | Install a newer NVIDIA driver",
                "SOFTCUDA_DEVICES | 0           | devices     | CUDA_ERROR_NO_DEVICE | No CUDA device     | CUDA_VISIBLE_DEVICES",
                "SOFTCUDA_FAIL    | cuInit:0:803| devices     | cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH | do not match | restart",
                "SOFTCUDA_FAIL    | cuInit:0:999| devices     | cuInit: CUDA_ERROR_UNKNOWN | See what nvidia-smi says | of the driver",
                "SOFTCUDA_FAIL    | cuDevicePrimaryCtxRetain:0:46 | cuda:0 | Kudari software GPU | cannot be opened | The device is busy or forbidden",
                "SOFTCUDA_FAIL    | cuDevicePrimaryCtxRetain:0:2  | cuda:0 | Kudari software GPU | cannot be opened | memory is full: close what else uses it",
                "SOFTCUDA_FAIL    | cuMemAlloc:0:2 | a step   | CUDA_ERROR_OUT_OF_MEMORY | memory is full | close what else uses it",
                "SOFTCUDA_USED    | 17000000000    | cuda:0   | of 16.0 GB free      | Other programs hold nearly all of its memory | nvidia-smi",
            })
    void aBrokenGpuIsSaidAndTheCpuStillWorks(
            String variable, String value, String what, String found, String more, String fix) throws Exception {
        SoftCuda.Output run = doctor(List.of(), Map.of(variable, value));
        assertEquals(0, run.status(), run.out());
        assertLine(run, what, "!!", found, more, fix);
        assertTrue(run.out().contains("The CPU engine works"), run.out());
    }

    @Test
    void aMissingDriverIsAbsentNotBroken() throws Exception {
        assumeTrue(lacks("libcuda.so.1"), "this machine has a driver");
        SoftCuda.Output run = doctor(List.of(), Map.of("LD_LIBRARY_PATH", ""));
        assertEquals(0, run.status(), run.out());
        assertLine(run, "CUDA driver", "--", "no CUDA driver (libcuda.so.1)", "Install NVIDIA's driver for CUDA 12.6");
        assertTrue(run.out().endsWith("The CPU engine works; the CUDA engine does not.\n"), run.out());
    }

    @Test
    void librariesOfCuda13AloneAreNotEnough() throws Exception {
        assumeTrue(lacks("libnvrtc.so.12") && lacks("libcublas.so.12"), "this machine has CUDA 12's");
        Files.createFile(folder.resolve("libnvrtc.so.13"));
        Files.createFile(folder.resolve("libcublas.so.13"));
        SoftCuda.Output run = doctor(without("cuda-redist"), Map.of("LD_LIBRARY_PATH", folder.toString()));
        assertLine(run, "NVRTC", "!!", "only of CUDA 13 (" + folder, "cuda-nvrtc-12-9", "org.bytedeco:cuda-redist");
        assertLine(run, "cuBLAS", "!!", "only of CUDA 13 (" + folder, "libcublas-12-9", "beside");
        assertEquals(0, run.status(), run.out());
    }

    /** Opens the best engine and takes a step on it. */
    static final class Best {
        public static void main(String[] arguments) {
            try (Engine engine = Engine.open()) {
                Tensor param = engine.tensor(new float[] {1});
                engine.optimizer(Sgd.of(0.5)).update(param, engine.tensor(new float[] {1}));
                System.out.println(engine.getClass().getSimpleName() + " " + param.get()[0]);
            }
        }
    }

    @Test
    void aDeviceWithoutACompilerEndsInTheCpuWithTheReason() throws Exception {
        assumeTrue(lacks("libnvrtc.so.12"), "this machine has NVRTC");
        SoftCuda.Output run = SoftCuda.run(without("cuda-redist"), Best.class, Map.of());
        assertEquals("CpuEngine 0.5\n", run.out(), run.err());
        assertTrue(
                run.err().contains("because no NVRTC (libnvrtc.so.12)")
                        && run.err().contains("org.bytedeco:cuda-redist"),
                run.err());
        SoftCuda.Output doctor = doctor(without("cuda-redist"), Map.of());
        assertLine(doctor, "NVRTC", "no NVRTC (libnvrtc.so.12)", "org.bytedeco:cuda-redist");
        assertLine(doctor, "cuda:0", "ok");
    }

    @Test
    void withoutADriverNoNativeLibraryIsTouched() throws Exception {
        assumeTrue(lacks("libcuda.so.1"), "this machine has a driver");
        SoftCuda.Output run = SoftCuda.run(
                List.of("-Dkudari.cache=" + folder, "-Xlog:library=info"), Best.class, Map.of("LD_LIBRARY_PATH", ""));
        assertTrue(run.out().endsWith("CpuEngine 0.5\n"), run.out() + run.err());
        assertTrue(run.err().contains("because cuda:0: no CUDA driver (libcuda.so.1)"), run.err());
        assertFalse(
                (run.out() + run.err()).matches("(?s).*(libJ(Cuda|Nv|Cub)|native access).*"), run.out() + run.err());
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(List.of(), files.toList(), "nothing was unpacked");
        }
    }

    @Test
    void missingNativesOfJCudaAreNamed() throws Exception {
        List<String> options = new ArrayList<>(without("jcuda-natives"));
        options.add("-Djava.io.tmpdir=" + folder); // where JCuda would find what it once unpacked
        SoftCuda.Output run = doctor(options, Map.of());
        assertLine(run, "JCuda", "!!", "libJCudaRuntime", "Put org.jcuda:jcuda-natives", "linux-x86_64");
        assertEquals(0, run.status(), run.out());
    }

    @Test
    void withoutOpenBlasTheCpuPathDoesNotWork() throws Exception {
        SoftCuda.Output run = doctor(without("openblas"), Map.of());
        assertLine(run, "OpenBLAS", "!!", "Networks on the CPU need it: put org.bytedeco:openblas on the class path");
        assertEquals(1, run.status(), run.out());
        assertTrue(run.out().contains("The CPU engine does not work"), run.out());
    }

    @Test
    void aCacheThatCannotBeWrittenIsNamed() throws Exception {
        Path file = Files.createFile(folder.resolve("file"));
        SoftCuda.Output run = doctor(List.of("-Dkudari.cache=" + file), Map.of());
        assertLine(run, "cache", "!!", file + "/kernels: Not a directory", "-Dkudari.cache=FOLDER");
        assertEquals(0, run.status(), run.out());
    }

    @Test
    void jsonSaysTheSame() throws Exception {
        String[] broken = {"SOFTCUDA_FAIL", "cuDevicePrimaryCtxRetain:0:46"};
        Map<String, String> lines =
                lines(doctor(List.of(), Map.of(broken[0], broken[1])).out());
        SoftCuda.Output run = doctor(List.of(), Map.of(broken[0], broken[1]), "--json");
        JsonObject diagnosis = JsonParser.parseString(run.out()).getAsJsonObject();
        assertTrue(diagnosis.get("cpu").getAsBoolean());
        assertFalse(diagnosis.get("cuda").getAsBoolean());
        assertEquals(lines.size(), diagnosis.getAsJsonArray("checks").size());
        for (JsonElement element : diagnosis.getAsJsonArray("checks")) {
            JsonObject check = element.getAsJsonObject();
            String line = lines.get(check.get("name").getAsString());
            assertTrue(line.startsWith(check.get("status").getAsString()), line);
            if (!line.startsWith("ok  cache"))
                assertTrue(line.contains(check.get("detail").getAsString()), line);
            assertEquals(line.contains("\n"), !check.get("fix").getAsString().isEmpty(), line);
        }
    }
}
