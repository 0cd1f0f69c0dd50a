package kudari;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import jcuda.LibUtils;
import jcuda.driver.JCudaDriver;
import kudari.nn.Init;
import kudari.nn.Network;
import kudari.rule.Adam;
import kudari.softcuda.SoftCuda;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Native libraries come from the class path by way of folders that nobody else can write to. Each test in JVMs of its own. */
class NativesTest {

    private static final List<String> JCUDA = List.of("JCudaDriver", "JCudaRuntime", "JNvrtc", "JCublas2");

    @TempDir
    private Path folder;

    private Path temporary, home, mark;

    @BeforeEach
    void folders() throws IOException {
        SoftCuda.obstacle().ifPresent(Assumptions::abort);
        Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxr-xr-x")); // others get this far
        temporary = Files.createDirectory(folder.resolve("temporary"));
        home = Files.createDirectory(folder.resolve("home"));
        mark = folder.resolve("mark");
    }

    /** Uses every native library there is: JCuda's four, NVRTC and OpenBLAS. */
    static final class All {
        public static void main(String[] arguments) {
            try (CudaEngine engine = Engine.cuda(0)) {
                Tensor param = engine.tensor(new float[] {1});
                engine.optimizer(Adam.of(0.5)).update(param, engine.tensor(new float[] {1}));
                engine.cublas();
                jcuda.runtime.JCuda.initialize();
                System.out.println("cuda " + param.get()[0]);
            }
            try (Engine engine = Engine.cpu(1)) {
                new Network(engine, Init.HE, 1, 2, 2);
                System.out.println("openblas");
            }
            System.out.println("java.io.tmpdir " + System.getProperty("java.io.tmpdir"));
        }
    }

    /** Calls JCuda before there is an engine. */
    static final class Theirs {
        public static void main(String[] arguments) {
            CudaEngine.loadNatives();
            System.out.println(JCudaDriver.cuInit(0));
        }
    }

    private SoftCuda.Output run(Class<?> main, Map<String, String> environment, String... options) throws Exception {
        List<String> all = new ArrayList<>(List.of(
                "-Djava.io.tmpdir=" + temporary, "-Duser.home=" + home, "-Dkudari.cache=" + home.resolve("cache")));
        all.addAll(List.of(options));
        return SoftCuda.run(all, main, environment);
    }

    private void assertAllRan(SoftCuda.Output run) {
        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("cuda 0.5") && run.out().contains("openblas"), run.out());
        assertTrue(run.out().contains("java.io.tmpdir " + temporary + "\n"), run.out());
        assertFalse(Files.exists(mark), "a planted library ran");
    }

    /** A library that leaves the mark when it is loaded. */
    private Path library() throws IOException, InterruptedException {
        Path source = Files.writeString(
                folder.resolve("planted.cpp"),
                "#include <fstream>\n__attribute__((constructor)) static void run() { std::ofstream(\"" + mark
                        + "\") << 1; }\n");
        Path library = folder.resolve("planted.so");
        String compiler = System.getenv().getOrDefault("CXX", "g++");
        Process process = new ProcessBuilder(compiler, "-shared", "-fPIC", "-o", library.toString(), source.toString())
                .inheritIO()
                .start();
        assertEquals(0, process.waitFor());
        return library;
    }

    private static String fileName(String library) {
        return LibUtils.createLibraryFileName(LibUtils.createPlatformLibraryName(library + "-12.6.0"));
    }

    /** What lies under a folder, but for what the JVM itself puts there. */
    private static List<Path> under(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(file ->
                            Files.isRegularFile(file) && !file.toString().contains("hsperfdata"))
                    .sorted()
                    .toList();
        }
    }

    @Test
    void aLibraryPlantedWhereJCudaLooksIsNotLoaded() throws Exception {
        Path planted = library();
        List<Path> files = new ArrayList<>();
        for (String library : JCUDA) files.add(Files.copy(planted, temporary.resolve(fileName(library))));
        assertAllRan(run(All.class, Map.of()));
        assertEquals(files.stream().sorted().toList(), under(temporary), "nothing else was left there");
    }

    @Test
    void norIfAProgramCallsJCudaFirst() throws Exception {
        Path planted = library();
        for (String library : JCUDA) Files.copy(planted, temporary.resolve(fileName(library)));
        SoftCuda.Output run = run(Theirs.class, Map.of());
        assertEquals("0\n", run.out(), run.err());
        assertFalse(Files.exists(mark), "a planted library ran");
    }

    /** As another user makes it who knows that JavaCPP will look there, if the home cannot be written. */
    @Test
    void aFolderPlantedWhereJavaCppLooksIsNotUsed() throws Exception {
        Path nowhere = Files.createFile(folder.resolve("nowhere"));
        Path planted = Files.createDirectories(
                temporary.resolve(".javacpp-" + System.getProperty("user.name")).resolve("cache"));
        Files.setPosixFilePermissions(planted, PosixFilePermissions.fromString("rwxrwxrwx"));
        assertAllRan(run(All.class, Map.of(), "-Duser.home=" + nowhere));
        assertEquals(List.of(), under(temporary));
    }

    @Test
    void everyFileThatIsUnpackedIsThisUsersAlone() throws Exception {
        assertAllRan(run(All.class, Map.of()));
        Path cache = home.resolve("cache");
        for (String library : JCUDA)
            assertTrue(under(cache).contains(cache.resolve("natives").resolve(fileName(library))));
        for (Path file : under(cache)) {
            assertEquals(
                    "rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)), file::toString);
            assertEquals(
                    "rwx------",
                    PosixFilePermissions.toString(Files.getPosixFilePermissions(file.getParent())),
                    file::toString);
        }
        assertEquals(List.of(), under(temporary));
    }

    @Test
    void whatIsNotTheClassPathsIsReplaced() throws Exception {
        Path planted = library();
        Path natives = Files.createDirectories(home.resolve("cache").resolve("natives"));
        Files.setPosixFilePermissions(natives, PosixFilePermissions.fromString("rwx------"));
        Path elsewhere = Files.copy(planted, folder.resolve("elsewhere"));
        Files.createSymbolicLink(natives.resolve(fileName("JCudaDriver")), elsewhere);
        Files.copy(planted, natives.resolve(fileName("JCudaRuntime")));
        Files.write(natives.resolve(fileName("JNvrtc")), new byte[100]);
        assertAllRan(run(All.class, Map.of()));
        for (String library : JCUDA) {
            Path file = natives.resolve(fileName(library));
            assertTrue(Files.isRegularFile(file, java.nio.file.LinkOption.NOFOLLOW_LINKS) && Files.size(file) > 10_000);
        }
        assertEquals(Files.size(planted), Files.size(elsewhere), "what the link led to is as it was");
    }

    @Test
    void aFolderThatOthersCanWriteToIsNotUsedAndTheReasonIsLogged() throws Exception {
        Path cache = Files.createDirectories(home.resolve("cache"));
        Path natives = Files.createDirectory(cache.resolve("natives"));
        Files.copy(library(), natives.resolve(fileName("JCudaDriver")));
        for (Path open : List.of(natives, cache)) {
            Files.setPosixFilePermissions(natives, PosixFilePermissions.fromString("rwx------"));
            Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxrwxrwx"));
            SoftCuda.Output run = run(All.class, Map.of());
            assertAllRan(run);
            assertTrue(run.err().contains(open + " can be written by others (rwxrwxrwx)"), run.err());
            assertEquals(List.of(), under(temporary), "what was unpacked elsewhere is gone");
        }
    }

    @Test
    void aFolderOfAnotherUserIsNotUsed() throws Exception {
        assumeTrue(System.getProperty("user.name").equals("root"), "only root can give a folder away");
        Path natives = Files.createDirectories(home.resolve("cache").resolve("natives"));
        Files.setAttribute(natives, "unix:uid", 12345);
        SoftCuda.Output run = run(All.class, Map.of());
        assertAllRan(run);
        assertTrue(run.err().contains(natives + " belongs to another user"), run.err());
        assertEquals(List.of(), under(temporary));
    }

    /** As in a container whose user has no entry in passwd, and whose disk is read-only. */
    @Test
    void withoutAHomeEverythingRunsFromAFolderThatIsGoneAfterwards() throws Exception {
        Path nowhere = Files.createFile(folder.resolve("nowhere"));
        for (String set : List.of("?", nowhere.toString())) {
            Map<String, String> environment = new HashMap<>();
            environment.put("HOME", set);
            environment.put("XDG_CACHE_HOME", "");
            List<String> options = List.of("-Djava.io.tmpdir=" + temporary, "-Duser.home=" + set);
            SoftCuda.Output run = SoftCuda.run(options, All.class, environment);
            assertAllRan(run);
            assertEquals(List.of(), under(temporary));
            assertFalse(new File("?").exists(), "a folder named ?");
        }
    }
}
