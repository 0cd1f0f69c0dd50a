package kudari;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasHandle;
import kudari.softcuda.SoftCuda;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** JCublas 12 on a machine that has only libcublas.so.13: its calls arrive there, through the library that src/test/cpp/cublas builds. */
class ForwardTest {

    private static final String NATIVE = "/lib/libJCublas2-12.6.0-linux-x86_64.so";

    /** What a libcublas.so.13 of three functions would be. */
    private static final String FAKE = """
            int cublasCreate_v2(void **handle) { *handle = (void *)719; return 0; }
            int cublasGetVersion_v2(void *handle, int *version) { *version = handle == (void *)719 ? 130019 : 0; return 0; }
            int cublasSetStream_v2(void *handle, void *stream) { return handle == (void *)719 && !stream ? 0 : 7; }
            """;

    @TempDir
    private Path folder;

    @BeforeEach
    void onlyWhereThereAreNatives() {
        assumeTrue(SoftCuda.obstacle().isEmpty(), SoftCuda.obstacle().orElse(""));
    }

    /** What a JVM is asked that has the libraries on its path. */
    static final class Probe {
        public static void main(String[] args) {
            cublasHandle handle = new cublasHandle();
            int[] version = new int[1];
            System.out.println(JCublas2.cublasCreate(handle));
            System.out.println(JCublas2.cublasGetVersion(handle, version) + " " + version[0]);
            System.out.println(JCublas2.cublasSetStream(handle, null));
            System.out.println(JCublas2.cublasDestroy(handle));
        }
    }

    @Test
    void callsArriveAndAFunctionThatIsNoMoreSaysSo() throws Exception {
        forward();
        Path source = Files.writeString(folder.resolve("fake.c"), FAKE);
        run(
                "gcc",
                "-shared",
                "-fPIC",
                "-Wl,-soname,libcublas.so.13",
                source + "",
                "-o",
                folder.resolve("libcublas.so.13") + "");
        String said = probe();
        assertEquals(List.of("0", "0 130019", "0", "15"), answers(said));
        assertTrue(said.contains("a function was called that libcublas.so.13 does not have"), said);
    }

    @Test
    void withNothingToForwardToItSaysWhatIsMissing() throws Exception {
        forward();
        String said = probe();
        assertTrue(said.contains("no library to forward to: libcublas.so.13"), said);
        assertEquals(List.of("15", "15 0", "15", "15"), answers(said));
    }

    private static List<String> answers(String said) {
        return said.lines().filter(line -> !line.startsWith("cublas: ")).toList();
    }

    private void forward() throws Exception {
        Path library = folder.resolve("JCublas2.so");
        try (InputStream in = ForwardTest.class.getResourceAsStream(NATIVE)) {
            Files.copy(in, library);
        }
        run("src/test/cpp/cublas/forward.sh", library.toString(), folder.toString());
        assertEquals(494, Files.readAllLines(folder.resolve("names.h")).size());
    }

    private String probe() throws Exception {
        return run(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                Probe.class.getName());
    }

    private String run(String... command) throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(List.of(command)).redirectErrorStream(true);
        builder.environment().put("LD_LIBRARY_PATH", folder.toString());
        Process process = builder.start();
        String said = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), said);
        return said;
    }
}
