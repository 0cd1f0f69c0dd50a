package kudari;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import java.util.logging.StreamHandler;
import java.util.stream.Stream;
import kudari.io.PrivateFolder;
import kudari.softcuda.SoftCuda;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** The cache of compiled kernels: whatever happens to its files, a kernel is compiled right. */
class NvrtcTest {

    @TempDir
    private Path folder;

    private final Nvrtc.Source source = Nvrtc.Source.of("sgd.cu");

    @BeforeEach
    void cacheHere() {
        Nvrtc.load(); // where it was unpacked before
        System.setProperty("kudari.cache", folder.toString());
    }

    @AfterEach
    void cacheWhereItWas() {
        System.clearProperty("kudari.cache");
    }

    private List<Path> files() throws IOException {
        try (Stream<Path> files = Files.list(folder.resolve("kernels"))) {
            return files.toList();
        }
    }

    @Test
    void aFolderOfTheLinkersWhoseNameIsNoPathIsLeftOut() {
        assertEquals(List.of(), Libraries.path("/in another locale\0").toList());
    }

    @Test
    void aKernelIsKeptAndFoundAgain() throws IOException {
        byte[] code = Nvrtc.compile(source, 90, false);
        assertEquals(1, files().size());
        Files.setLastModifiedTime(files().get(0), FileTime.fromMillis(0));
        assertArrayEquals(code, Nvrtc.compile(source, 90, false));
        assertEquals(0, Files.getLastModifiedTime(files().get(0)).toMillis(), "it was not written again");
    }

    @Test
    void anotherTextOptionOrDeviceIsAnotherFile() throws IOException {
        Nvrtc.compile(source, 90, false);
        Nvrtc.compile(source, 90, true);
        Nvrtc.compile(source, 80, false);
        Nvrtc.compile(new Nvrtc.Source(source.name(), source.text() + "\n", source.header()), 90, false);
        assertEquals(4, files().size());
    }

    /** No file that is not there yet is damaged, nor somebody else's. */
    @Test
    void aFirstCompilationWarnsOfNothing() throws Throwable {
        String log = log(() -> {
            Nvrtc.compile(source, 90, false);
            Nvrtc.compile(source, 90, false);
        });
        assertFalse(log.contains("WARNING"), log);
        assertEquals(1, files().size());
    }

    @Test
    void whatAKernelIsMadeOfIsEachForItself() {
        assertNotEquals(KernelCache.of("ab", "c"), KernelCache.of("a", "bc"));
    }

    @Test
    void aDamagedFileIsCompiledAgain() throws IOException {
        byte[] code = Nvrtc.compile(source, 90, false);
        Path file = files().get(0);
        byte[] bytes = Files.readAllBytes(file);
        bytes[bytes.length / 2] ^= 1;
        for (byte[] damaged : new byte[][] {bytes, {}, {1, 2, 3}, new byte[40]}) {
            Files.write(file, damaged);
            assertArrayEquals(code, Nvrtc.compile(source, 90, false));
            assertTrue(Files.size(file) > code.length, "and mended");
        }
    }

    @Test
    void aFolderThatCannotBeWrittenIsDoneWithout() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "in the way");
        System.setProperty("kudari.cache", file.toString());
        assertFalse(Nvrtc.compile(source, 90, false).length == 0);
        assertEquals("in the way", Files.readString(file));
    }

    @Test
    void manyAtOnceLeaveOneWholeFile() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(4);
        List<Future<byte[]>> codes = new ArrayList<>();
        Callable<byte[]> compile = () -> Nvrtc.compile(source, 90, false);
        for (int n = 0; n < 8; n++) codes.add(threads.submit(compile));
        for (Future<byte[]> code : codes) assertArrayEquals(codes.get(0).get(), code.get());
        threads.shutdown();
        assertEquals(1, files().size());
    }

    @Test
    void aDeviceNewerThanTheCompilerGetsPtx() {
        byte[] code = Nvrtc.compile(source, 999, false);
        assertTrue(new String(code, UTF_8).contains(".visible .entry sgd"));
    }

    // ---- what others left ----

    @Test
    void whatIsNoRegularFileOfThisUsersIsCompiledAgain() throws Throwable {
        byte[] code = Nvrtc.compile(source, 90, false);
        Path file = files().get(0), whole = Files.copy(file, folder.resolve("whole"));
        for (Executable plant : List.<Executable>of(
                () -> assertEquals(0, run("mkfifo", file.toString())), // reading would wait for ever
                () -> Files.createSymbolicLink(file, whole),
                () -> Files.setPosixFilePermissions(
                        Files.copy(whole, file), PosixFilePermissions.fromString("rw-rw-rw-")))) {
            Files.delete(file);
            plant.execute();
            String log = log(() -> assertArrayEquals(code, Nvrtc.compile(source, 90, false)));
            assertTrue(log.contains(file + " is not a regular file that only you can write"), log);
            assertTrue(PrivateFolder.isTrusted(file), "and replaced");
        }
    }

    @Test
    void aFileOf3GbIsNotRead() throws Throwable {
        byte[] code = Nvrtc.compile(source, 90, false);
        Path file = files().get(0);
        try (RandomAccessFile huge = new RandomAccessFile(file.toFile(), "rw")) {
            huge.setLength(3L << 30); // takes no room on the disk
        }
        String log = log(() -> assertArrayEquals(code, Nvrtc.compile(source, 90, false)));
        assertTrue(log.contains(file + " is damaged"), log);
        assertTrue(Files.size(file) < 1 << 20);
    }

    @Test
    void aFolderThatOthersCanWriteToIsNotUsed() throws Throwable {
        byte[] code = Nvrtc.compile(source, 90, false);
        Path file = files().get(0);
        Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxr-xr-x")); // others get this far
        Files.setPosixFilePermissions(file.getParent(), PosixFilePermissions.fromString("rwxrwxrwx"));
        Files.write(file, new byte[100]);
        String log = log(() -> assertArrayEquals(code, Nvrtc.compile(source, 90, false)));
        assertTrue(log.contains(file.getParent() + " can be written by others (rwxrwxrwx)"), log);
        assertEquals(100, Files.size(file), "neither read nor written");
    }

    @Test
    void theOldestGoWhereThereAreTooMany() throws IOException {
        String kernel = "0123456789abcdef".repeat(4).substring(1);
        for (int n = 0; n < 5; n++) {
            Path file = Files.write(folder.resolve(kernel + n), new byte[100]);
            Files.setLastModifiedTime(file, FileTime.fromMillis(1000 * (5 - n))); // 4 is the oldest
        }
        // A folder for caches may be a folder of something else, too.
        Path foreign = Files.write(folder.resolve("kernel.cu"), new byte[100]);
        Files.setLastModifiedTime(foreign, FileTime.fromMillis(0));
        Files.write(folder.resolve(".kudari-1.tmp"), new byte[100]); // of a process that was killed
        Files.setLastModifiedTime(folder.resolve(".kudari-1.tmp"), FileTime.fromMillis(1));
        Path named = Files.createDirectory(folder.resolve(kernel + "f")); // no file, whatever its name
        Files.setLastModifiedTime(named, FileTime.fromMillis(0));
        KernelCache.evict(folder, 250);
        assertTrue(Files.isDirectory(named));
        assertEquals(
                List.of(kernel + 0, kernel + 1, "kernel.cu"),
                under(folder).stream()
                        .map(file -> file.getFileName().toString())
                        .sorted()
                        .toList());
    }

    // ---- a full disk ----

    /** What was logged meanwhile. */
    private static String log(Executable work) throws Throwable {
        ByteArrayOutputStream log = new ByteArrayOutputStream();
        StreamHandler handler = new StreamHandler(log, new SimpleFormatter());
        Logger logger = Logger.getLogger("kudari");
        logger.addHandler(handler);
        try {
            work.execute();
        } finally {
            logger.removeHandler(handler);
            handler.close();
        }
        return log.toString(UTF_8);
    }

    private static int warnings(String log) {
        return log.split("cannot keep a compiled kernel", -1).length - 1;
    }

    private static List<Path> under(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(Files::isRegularFile).toList();
        }
    }

    private static int run(String... command) throws IOException, InterruptedException {
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start()
                .waitFor();
    }

    /** Does it on a disk of so many KB, where one can be made. */
    private void onDisk(int kilobytes, Executable work) throws Throwable {
        assumeTrue(
                Files.isExecutable(Path.of("/bin/mount"))
                        && run("mount", "-t", "tmpfs", "-o", "size=" + kilobytes + "k", "tmpfs", folder.toString())
                                == 0,
                "a small disk can be mounted only by root, on Linux, outside most containers;"
                        + " aFileThatCannotGrowIsDoneWithout tries a small file instead");
        try {
            work.execute();
        } finally {
            assertEquals(0, run("umount", folder.toString()));
        }
    }

    @Test
    void aFullDiskIsDoneWithout() throws Throwable {
        byte[] code = Nvrtc.compile(source, Nvrtc.options(90, false)).code();
        onDisk(16, () -> {
            Path ballast = folder.resolve("ballast");
            assertThrows(IOException.class, () -> Files.write(ballast, new byte[1 << 20]), "the disk is full");
            String log = log(() -> assertArrayEquals(code, Nvrtc.compile(source, 90, false)));
            assertEquals(1, warnings(log), log);
            assertTrue(log.contains("No space left on device"), log);
            assertEquals(List.of(ballast), under(folder), "no half file is left");
            Files.delete(ballast);
            assertArrayEquals(code, Nvrtc.compile(source, 90, false));
            assertEquals(1, files().size(), "with room again, it is kept");
        });
    }

    @Test
    void nvrtcIsNotUnpackedByHalves() throws Throwable {
        onDisk(
                16 << 10,
                () -> { // room for the builtins, not for the compiler
                    Path into = folder.resolve("nvrtc");
                    Files.createDirectory(into);
                    IOException e = assertThrows(IOException.class, () -> Nvrtc.unpack(into));
                    assertTrue(e.getMessage().contains("No space left on device"), e.getMessage());
                    assertEquals(
                            List.of(into.resolve("libnvrtc-builtins.so.12.9")), under(into), "the one that fitted");
                });
    }

    /** Forbids itself files of more than 4 KB, once all is loaded: then writing fails in the middle, as on a full disk. */
    static final class Limited {
        public static void main(String[] arguments) throws Exception {
            Nvrtc.load();
            String self = Long.toString(ProcessHandle.current().pid());
            if (run("prlimit", "--fsize=4096", "--pid", self) != 0) throw new IOException("no prlimit");
            System.setProperty("kudari.cache", arguments[0]);
            System.out.println(Nvrtc.compile(Nvrtc.Source.of("sgd.cu"), 90, false).length);
            try {
                Nvrtc.unpack(Path.of(arguments[0]));
            } catch (IOException e) {
                System.out.println(e.getMessage());
            }
        }
    }

    @Test
    void aFileThatCannotGrowIsDoneWithout() throws Exception {
        SoftCuda.obstacle().ifPresent(Assumptions::abort);
        SoftCuda.Output limited = SoftCuda.run(Limited.class, Map.of(), folder.toString());
        assertEquals(0, limited.status(), limited.err());
        List<String> lines = limited.out().lines().toList();
        int length = Nvrtc.compile(source, Nvrtc.options(90, false)).code().length;
        assertTrue(length > 4096, "the kernel would not fit: " + length);
        assertEquals("" + length, lines.get(0));
        assertEquals(1, warnings(limited.err()), limited.err());
        assertTrue(lines.get(1).startsWith("cannot write " + folder.resolve("libnvrtc")), lines.get(1));
        assertEquals(List.of(), under(folder), "no half file is left");
    }

    // ---- unpacking, cut short ----

    /** Unpacks into the folder given. */
    static final class Unpacker {
        public static void main(String[] arguments) throws IOException {
            Nvrtc.unpack(Path.of(arguments[0]));
        }
    }

    @Test
    void aKilledUnpackingLeavesNothingThatIsTakenForTheWhole() throws Exception {
        Process unpacker = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        Unpacker.class.getName(),
                        folder.toString())
                .inheritIO()
                .start();
        Path whole = folder.resolve("libnvrtc.so.12");
        while (unpacker.isAlive() && half() == 0) Thread.sleep(1);
        unpacker.destroyForcibly().waitFor(); // SIGKILL
        assertTrue(half() > 0, "it was in the middle");
        assertFalse(Files.exists(whole));
        Nvrtc.unpack(folder);
        assertEquals(size("libnvrtc.so.12"), Files.size(whole));
    }

    /** How much of the compiler lies there under another name than its own. */
    private long half() throws IOException {
        long builtins = size("libnvrtc-builtins.so.12.9"); // which come first
        for (Path file : under(folder)) {
            String name = file.getFileName().toString();
            if (name.startsWith(".kudari-") && Files.size(file) > builtins) return Files.size(file);
        }
        return 0;
    }

    private static long size(String name) throws IOException {
        return Nvrtc.class
                .getResource("/org/bytedeco/cuda/linux-x86_64/" + name)
                .openConnection()
                .getContentLengthLong();
    }

    @Test
    void aLibraryThatWasCutShortIsReplaced() throws IOException {
        Path builtins = folder.resolve("libnvrtc-builtins.so.12.9");
        Nvrtc.unpack(folder);
        byte[] whole = Files.readAllBytes(builtins);
        Files.write(builtins, new byte[1000]);
        Nvrtc.unpack(folder);
        assertArrayEquals(whole, Files.readAllBytes(builtins));
    }

    // ---- which one ----

    @Test
    void whereOnlyCuda13IsTheMessageSaysSo() throws IOException {
        Files.createFile(folder.resolve("libnvrtc.so.13"));
        String message = Nvrtc.missing(List.of(folder)).getMessage();
        assertTrue(message.contains("only of CUDA 13 (" + folder), message);
        assertTrue(message.contains("beside") && message.contains("org.bytedeco:cuda-redist"), message);
        assertTrue(Nvrtc.missing(List.of()).getMessage().startsWith("no NVRTC (libnvrtc.so.12);"));
    }

    /** Loads NVRTC and compiles. */
    static final class Loader {
        public static void main(String[] arguments) {
            System.out.println(Nvrtc.load());
            System.out.println(Nvrtc.compile(Nvrtc.Source.of("sgd.cu"), Nvrtc.options(90, false))
                            .code()
                            .length
                    > 0);
        }
    }

    @Test
    void theSystemsIsTakenBeforeTheArtifactsAndLogged() throws Exception {
        SoftCuda.obstacle().ifPresent(Assumptions::abort);
        Nvrtc.unpack(folder);
        SoftCuda.Output loaded = SoftCuda.run(Loader.class, Map.of("LD_LIBRARY_PATH", folder.toString()));
        assertEquals(List.of(folder.toString(), "true"), loaded.out().lines().toList(), loaded.err());
        assertTrue(loaded.err().contains("NVRTC 12.9 from " + folder), loaded.err());
    }

    @Test
    void oneThatCannotBeLoadedIsLoggedAndTheNextTaken() throws Exception {
        SoftCuda.obstacle().ifPresent(Assumptions::abort);
        Files.writeString(folder.resolve("libnvrtc.so.12"), "no library");
        Files.createFile(folder.resolve("libnvrtc.so.13"));
        SoftCuda.Output loaded = SoftCuda.run(Loader.class, Map.of("LD_LIBRARY_PATH", folder.toString()));
        assertEquals(0, loaded.status(), loaded.err());
        assertTrue(loaded.err().contains("NVRTC is in " + folder + ", but cannot be loaded"), loaded.err());
        assertTrue(loaded.out().endsWith("true\n"), loaded.out());
    }
}
