package kudari;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
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
    void aKernelIsKeptAndFoundAgain() throws IOException {
        byte[] code = Nvrtc.compile(source, 90, false);
        assertEquals(1, files().size());
        Files.setLastModifiedTime(files().get(0), java.nio.file.attribute.FileTime.fromMillis(0));
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
        assertTrue(new String(code, java.nio.charset.StandardCharsets.UTF_8).contains(".visible .entry sgd"));
    }
}
