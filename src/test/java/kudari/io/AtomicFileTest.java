package kudari.io;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Whatever is written, by whomever, and whatever fails: the name holds one version, whole. */
class AtomicFileTest {

    private static final long SEED = 41;

    @TempDir
    private Path folder;

    private Path file;

    @BeforeEach
    void name() {
        file = folder.resolve("file");
    }

    @Test
    void aFileIsMadeAndReplacedAndNothingElseIsLeft() throws IOException {
        AtomicFile.write(file, "one".getBytes(UTF_8));
        assertEquals("one", Files.readString(file));
        AtomicFile.write(file, new byte[0]);
        assertEquals("", Files.readString(file));
        AtomicFile.write(file, out -> {
            out.write('t');
            out.write("wo".getBytes(UTF_8));
            out.close(); // which is allowed
        });
        assertEquals("two", Files.readString(file));
        assertEquals(List.of("file"), list(folder));
    }

    @Test
    @DisabledOnOs(OS.WINDOWS) // where the whole path may be no longer
    void aNameAsLongAsTheSystemAllowsIsWritten() throws IOException {
        Path longest = folder.resolve("x".repeat(255));
        AtomicFile.write(longest, "one".getBytes(UTF_8));
        assertEquals("one", Files.readString(longest));
    }

    @Test
    void aNameWithoutAFolderIsOneInTheWorkingFolder() throws IOException {
        Path here = Path.of("AtomicFileTest-" + System.nanoTime());
        try {
            AtomicFile.write(here, "one".getBytes(UTF_8));
            assertEquals("one", Files.readString(here));
        } finally {
            Files.deleteIfExists(here);
        }
    }

    /** An error of a disk, an error of the program, a source that is closed: in the middle of the bytes. */
    @Test
    void aWriteThatFailsLeavesTheOldFileAndNothingElse() throws IOException {
        AtomicFile.write(file, "old".getBytes(UTF_8));
        IOException full = new IOException("No space left on device");
        IOException e = assertThrows(
                IOException.class,
                () -> AtomicFile.write(file, out -> {
                    out.write(new byte[100_000]);
                    throw full;
                }));
        assertEquals("cannot write " + file + ": No space left on device", e.getMessage());
        assertSame(full, e.getCause());
        assertThrows(
                IllegalStateException.class,
                () -> AtomicFile.write(file, out -> {
                    out.write(1);
                    throw new IllegalStateException("of the content");
                }));
        assertEquals("old", Files.readString(file));
        assertEquals(List.of("file"), list(folder));
    }

    // ---- Interrupts

    @Test
    void anInterruptBeforeOrWithinAWriteStopsNothingAndIsNotForgotten() throws IOException {
        Thread.currentThread().interrupt();
        try {
            AtomicFile.write(file, "before".getBytes(UTF_8));
        } finally {
            assertTrue(Thread.interrupted(), "before");
        }
        assertEquals("before", Files.readString(file));
        try {
            AtomicFile.write(file, out -> {
                out.write("with".getBytes(UTF_8));
                Thread.currentThread().interrupt();
                out.write("in".getBytes(UTF_8));
            });
        } finally {
            assertTrue(Thread.interrupted(), "within");
        }
        assertEquals("within", Files.readString(file));
        assertEquals(List.of("file"), list(folder));
    }

    /** Interrupts that come at any moment, the forcing to disk among them. */
    @Test
    void aRainOfInterruptsStopsNoWrite() throws Exception {
        Thread writer = Thread.currentThread();
        AtomicBoolean over = new AtomicBoolean();
        Thread rain = new Thread(() -> {
            while (!over.get()) {
                writer.interrupt();
                Thread.onSpinWait();
            }
        });
        rain.start();
        try {
            for (int n = 0; n < 50; n++) {
                byte[] bytes = version(n);
                AtomicFile.write(file, bytes);
                assertArrayEquals(bytes, Files.readAllBytes(file));
            }
        } finally {
            over.set(true);
            while (rain.isAlive()) Thread.interrupted(); // lest join be interrupted
            Thread.interrupted();
        }
        assertEquals(List.of("file"), list(folder));
    }

    // ---- Symbolic links

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void linksStayAndWhatTheyPointToIsWritten() throws IOException {
        Path elsewhere = Files.createDirectory(folder.resolve("elsewhere"));
        Path alias = Files.createSymbolicLink(folder.resolve("alias"), Path.of("elsewhere"));
        Files.createSymbolicLink(elsewhere.resolve("second"), Path.of("..", "third"));
        Files.createSymbolicLink(folder.resolve("third"), elsewhere.resolve("real"));
        Files.createSymbolicLink(file, Path.of("alias", "second")); // file → alias/second → third → elsewhere/real
        for (String text : List.of("where nothing was", "over a file")) {
            AtomicFile.write(file, text.getBytes(UTF_8));
            assertTrue(Files.isRegularFile(elsewhere.resolve("real"), LinkOption.NOFOLLOW_LINKS));
            assertEquals(text, Files.readString(elsewhere.resolve("real")));
            for (Path link : List.of(file, alias, elsewhere.resolve("second"), folder.resolve("third")))
                assertTrue(Files.isSymbolicLink(link), link.toString());
        }
        assertEquals(List.of("real", "second"), list(elsewhere));
        assertEquals(List.of("alias", "elsewhere", "file", "third"), list(folder));
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aLinkIntoAFolderThatIsNotThereAndALoopAreRefused() throws IOException {
        Files.createSymbolicLink(file, Path.of("nowhere", "real"));
        refused(file, "no such file or folder");
        Path loop = folder.resolve("loop");
        Files.createSymbolicLink(loop, Path.of("pool"));
        Files.createSymbolicLink(folder.resolve("pool"), Path.of("loop"));
        refused(loop, "");
        assertEquals(List.of("file", "loop", "pool"), list(folder));
    }

    // ---- What is no regular file

    @Test
    void aFolderIsRefusedAndSoIsOneThatIsMissing() throws IOException {
        Files.createDirectory(file);
        refused(file, "it is a folder");
        refused(folder.resolve("nowhere").resolve("file"), "no such file or folder");
        refused(file.getRoot(), "it is a folder");
        assertEquals(List.of("file"), list(folder));
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void aPipeOrASocketIsRefusedAndStaysWhatItIs() throws Exception {
        // No device here: as root, a fault would replace it for the whole machine.
        assertEquals(0, new ProcessBuilder("mkfifo", file.toString()).start().waitFor());
        refused(file, "it is a device, a pipe or a socket, not a regular file");
        Path socket = folder.resolve("socket");
        try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            server.bind(UnixDomainSocketAddress.of(socket));
            refused(socket, "it is a device, a pipe or a socket, not a regular file");
            Path link = Files.createSymbolicLink(folder.resolve("link"), socket);
            refused(link, "it is a device, a pipe or a socket, not a regular file");
        }
        assertFalse(Files.isRegularFile(file) || Files.isRegularFile(socket));
        assertEquals(List.of("file", "link", "socket"), list(folder));
    }

    @Test
    void aCheckOfAPlaceWhereAFileCanBeWrittenChangesNothing() throws IOException {
        AtomicFile.check(file);
        assertEquals(List.of(), list(folder));
        Files.writeString(file, "old");
        AtomicFile.check(file);
        assertEquals("old", Files.readString(file));
        assertEquals(List.of("file"), list(folder));
    }

    // ---- Permissions

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aFileKeepsItsPermissionsAndANewOneGetsWhatAnyNewFileGets() throws IOException {
        AtomicFile.write(file, new byte[1]);
        assertEquals(permissions(Files.createFile(folder.resolve("any"))), permissions(file));
        for (String permissions : List.of("rw-------", "rw-rw-rw-", "rwxr-x---")) {
            Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(permissions));
            AtomicFile.write(file, out -> {
                // While it is written nobody can read it who could not read the old one.
                String meanwhile = permissions(folder.resolve(temporary()));
                for (int n = 0; n < 9; n++)
                    assertTrue(
                            meanwhile.charAt(n) == '-' || permissions.charAt(n) != '-', permissions + " " + meanwhile);
                out.write(2);
            });
            assertEquals(permissions, permissions(file));
        }
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aFileThatMayNotBeWrittenIsNotReplacedEither() throws IOException {
        AtomicFile.write(file, "old".getBytes(UTF_8));
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("r--r--r--"));
        if (Files.isWritable(file)) AtomicFile.write(file, "by root".getBytes(UTF_8));
        else refused(file, "permission denied");
        assertEquals("r--r--r--", permissions(file));
    }

    private static String permissions(Path file) throws IOException {
        return PosixFilePermissions.toString(Files.getPosixFilePermissions(file));
    }

    private String temporary() throws IOException {
        List<String> names = new ArrayList<>(list(folder));
        names.removeIf(name -> !name.endsWith(".tmp"));
        assertEquals(1, names.size(), names.toString());
        return names.get(0);
    }

    // ---- Many writers

    /**
     * Threads of processes write versions of a file over one another, half of the processes are killed while they do, and others read all the
     * while: every reading is one version, whole; no write fails; only who was killed leaves something. So many writes as -Dkudari.writes
     * says, 200 being the measure of a thorough test.
     */
    @Test
    @EnabledOnOs({OS.LINUX, OS.MAC})
    void manyWritersSomeOfThemKilledLoseNothing() throws Exception {
        int writes = Integer.getInteger("kudari.writes", 20), processes = 4, threads = 2;
        AtomicFile.write(file, version(0));
        Path bystander = Files.writeString(folder.resolve(".kudari-of-another-machine.tmp"), "being written");
        List<Process> started = new ArrayList<>();
        List<Path> said = new ArrayList<>();
        AtomicBoolean over = new AtomicBoolean();
        ExecutorService readers = Executors.newFixedThreadPool(2);
        try {
            List<Future<Integer>> readings = new ArrayList<>();
            Callable<Integer> reader = () -> {
                int read = 0;
                for (; !over.get(); read++) assertWhole(Files.readAllBytes(file));
                return read;
            };
            for (int n = 0; n < 2; n++) readings.add(readers.submit(reader));

            // The even ones do their share and end; the odd ones go on until they are killed.
            int share = (writes + processes * threads - 1) / (processes * threads);
            for (int n = 0; n < processes; n++) {
                said.add(folder.resolve("said-" + n));
                started.add(writer(n, threads, n % 2 == 0 ? share : Integer.MAX_VALUE, said.get(n)));
            }
            Random random = new Random(SEED);
            int kills = 0;
            for (int n = 1; n < processes; n += 2) {
                for (int left = Math.max(1, share / 5); left > 0; left--) { // killed and begun anew
                    Process victim = started.get(n);
                    await(victim, said.get(n));
                    Thread.sleep(random.nextInt(40));
                    victim.destroyForcibly().waitFor();
                    kills++;
                    assertWhole(Files.readAllBytes(file));
                    if (left > 1) {
                        Files.delete(said.get(n));
                        started.set(n, writer(n, threads, Integer.MAX_VALUE, said.get(n)));
                    }
                }
            }
            for (int n = 0; n < processes; n += 2) {
                assertTrue(started.get(n).waitFor(300, TimeUnit.SECONDS), "it ends");
                assertEquals(0, started.get(n).exitValue(), Files.readString(said.get(n)));
                assertEquals(threads * share, Files.readAllLines(said.get(n)).size());
            }
            over.set(true);
            for (Future<Integer> reading : readings) assertTrue(reading.get() > 0);
            assertWhole(Files.readAllBytes(file));
            assertEquals("being written", Files.readString(bystander));
            List<String> left = new ArrayList<>(list(folder));
            left.removeIf(name -> !name.endsWith(".tmp"));
            assertTrue(left.size() <= 1 + kills * threads, left.toString());
            System.out.println("seed " + SEED + ": " + kills + " writers killed, " + (left.size() - 1)
                    + " writes of theirs cut short");
        } finally {
            over.set(true);
            readers.shutdownNow();
            for (Process process : started) process.destroyForcibly().waitFor();
        }
    }

    private Process writer(int number, int threads, int writes, Path said) throws IOException {
        return new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-XX:-UsePerfData",
                        "-cp",
                        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                        Writer.class.getName(),
                        file.toString(),
                        String.valueOf(1000 * number),
                        String.valueOf(threads),
                        String.valueOf(writes))
                .redirectErrorStream(true)
                .redirectOutput(said.toFile())
                .start();
    }

    /** Waits for a first write of its own. */
    private static void await(Process writer, Path said) throws Exception {
        for (int n = 0; n < 6_000 && Files.size(said) == 0; n++) {
            assertTrue(writer.isAlive(), Files.readString(said));
            Thread.sleep(10);
        }
        assertTrue(Files.size(said) > 0, "it writes");
    }

    /** Writes versions of a file from several threads, and says a line for each that is written. */
    static final class Writer {

        private Writer() {}

        /** Ends with status 1 if a write fails. */
        public static void main(String[] args) throws InterruptedException {
            Path file = Path.of(args[0]);
            int first = Integer.parseInt(args[1]), threads = Integer.parseInt(args[2]);
            List<Thread> running = new ArrayList<>();
            for (int thread = 0; thread < threads; thread++) {
                int begin = first + 100 * thread;
                Thread writer = new Thread(() -> {
                    for (int n = 0; n < Integer.parseInt(args[3]); n++) {
                        try {
                            AtomicFile.write(file, version(begin + n % 100));
                            System.out.println("written");
                        } catch (IOException | RuntimeException e) {
                            System.out.println(e);
                            System.exit(1);
                        }
                    }
                });
                running.add(writer);
                writer.start();
            }
            for (Thread writer : running) writer.join();
        }
    }

    /** Bytes that are told from every other version's, and from any part or mixture of them: the number, then what only it has. */
    private static byte[] version(int number) {
        Random random = new Random(SEED + number);
        byte[] bytes = new byte[4 + 20_000 + random.nextInt(200_000)];
        random.nextBytes(bytes);
        ByteBuffer.wrap(bytes).putInt(number);
        return bytes;
    }

    private static void assertWhole(byte[] bytes) {
        assertTrue(bytes.length > 4, "empty");
        assertTrue(Arrays.equals(version(ByteBuffer.wrap(bytes).getInt()), bytes), "no version, or not all of one");
    }

    private static void refused(Path file, String why) {
        for (Executable attempt :
                List.<Executable>of(() -> AtomicFile.write(file, new byte[] {1}), () -> AtomicFile.check(file))) {
            String message = assertThrows(IOException.class, attempt).getMessage();
            assertTrue(message.startsWith("cannot write " + file + ": " + why), message);
            assertFalse(message.contains("\n") || message.endsWith("null"), message);
        }
    }

    private static List<String> list(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(path -> path.getFileName().toString()).sorted().toList();
        }
    }
}
